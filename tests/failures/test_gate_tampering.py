"""Whatever is done to a thread around a guarded node: what was approved is one action, and runs at most once."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain_core.messages import HumanMessage
from langgraph.cache.memory import InMemoryCache
from langgraph.errors import NodeError
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import CachePolicy, Command, Send, interrupt

from failures.test_forged_resumes import FORGED
from failures.world import GO, ONCE, SEND, THREE_TIMES, Torn
from gates import POLICY, Release, State, told
from langgraph_signoff import ActionRefused, GraphRefused, RepeatedKey, StillRunning, Unidentified, UnknownQuestion

EVIL = "6.6"
DEPLOYED = (["deploy 1.0"], ["executed"], ["deployed 1.0"])
REJECTED = "deploy was not run: rejected by ana. Do not propose the same call again unless the user asks for it."


@pytest.fixture(params=["sync", "async"])
def release(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Release]:
    """A release whose nodes are functions, or coroutines."""
    made = Release(tmp_path, request.param)
    yield made
    made.close()


@pytest.fixture(params=["async", "sync in async"])
def looped(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Release]:
    """A release that is driven by a loop."""
    made = Release(tmp_path, request.param)
    yield made
    made.close()


def _prepared(release: Release, **options: Any) -> None:
    """A step that has nothing to guard, the guarded one, and one after it."""
    release.open(lambda state: {"round": 1}, release.gated(refused=told, **options), lambda state: {"log": ["after"]})


def _bare(release: Release) -> None:
    """The same with a plain `interrupt()`, as the documentation of LangGraph shows it."""

    def deploy(state: State) -> dict[str, Any]:
        if interrupt("deploy?") is None:
            return {"log": ["refused"]}
        release.effect(f"deploy {state['version']}")
        return {"log": [f"deployed {state['version']}"]}

    release.open(lambda state: {"round": 1}, deploy, lambda state: {"log": ["after"]})


# What is done is swapped -----------------------------------------------------------------------------------------------------


def _knock(release: Release) -> Any:
    return {i.id: True for i in release.state().interrupts} or True


SWAPS: dict[str, Callable[[Release], Any]] = {
    "update": lambda release: release.update({"version": EVIL}),
    "update in the name of the step before": lambda release: release.update({"version": EVIL}, as_node="n0"),
    "resume with an update": lambda release: release.invoke(
        Command(resume=_knock(release), update={"version": EVIL}),
    ),
    "resume with an update and a goto": lambda release: release.invoke(
        Command(resume=_knock(release), update={"version": EVIL}, goto="n1"),
    ),
}
KEYS: dict[str, dict[str, Any]] = {"no key": {}, "a key": {"key": lambda state: state["round"]}}


@pytest.mark.parametrize("swap", SWAPS)
@pytest.mark.parametrize("options", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("first", ["approve", "swap"])
def test_an_action_that_is_swapped_does_not_run_by_the_approval_of_another(
    release: Release, swap: str, options: dict[str, Any], first: str
) -> None:
    _prepared(release, **options)
    seen = release.start().tickets[0]
    if first == "approve":
        release.signoff.approve(seen, by="ana")
    SWAPS[swap](release)
    assert release.state().values["version"] == EVIL
    if first == "swap":
        release.signoff.approve(seen, by="ana")
    assert release.resume().status == "pending_approval", "the swap is asked about"
    [ticket] = release.signoff.pending()
    assert ticket.args == {"version": EVIL}
    assert release.say("reject").status == "completed"
    release.assert_ends([], ["approved", "rejected"], [REJECTED, "after"])


@pytest.mark.parametrize("swap", ["update", "resume with an update"])
def test_a_bare_interrupt_does_what_was_swapped_in(plain: Release, swap: str) -> None:
    _bare(plain)
    plain.invoke({"version": "1.0"})
    SWAPS[swap](plain)
    if plain.state().next:
        plain.invoke(None)
        plain.invoke(Command(resume=True))
    assert plain.effects == [f"deploy {EVIL}"]


def test_swapping_back_gives_the_approved_action_its_approval_again(release: Release) -> None:
    _prepared(release)
    release.signoff.approve(release.start().tickets[0], by="ana")
    release.update({"version": EVIL})
    assert release.resume().tickets[0].args == {"version": EVIL}
    release.update({"version": "1.0"})
    assert release.resume().status == "completed"
    release.assert_ends(["deploy 1.0"], ["executed", "withdrawn"], ["deployed 1.0", "after"])


def test_an_approval_of_one_thread_is_none_in_another(release: Release) -> None:
    release.open()
    release.signoff.approve(release.start(thread="one").tickets[0], by="ana")
    assert release.start(thread="two").status == "pending_approval"
    assert release.resume(thread="two").did == "nothing: it waits"
    assert release.effects == []
    assert release.resume(thread="one").status == "completed"
    assert release.effects == ["deploy 1.0"]


@pytest.mark.parametrize("kind", ["%", "opened", "decided"])
def test_an_approved_action_that_is_no_longer_on_record_does_not_run(release: Release, kind: str) -> None:
    release.open(refused=told, apply=lambda state, args: {**state, **args})
    ticket = release.start().tickets[0]
    release.signoff.revise(ticket, by="ana", args={"version": "1.1"})
    statement = "UPDATE contents SET salt = NULL, data = NULL WHERE hash IN (SELECT contents_hash FROM entries WHERE kind LIKE ?)"
    with closing(sqlite3.connect(release.folder / "signoff.db")) as db, db:
        assert db.execute(statement, (kind,)).rowcount, "something was erased"
    assert release.resume().status == "completed"
    assert (release.effects, release.standings) == ([], ["approved"])
    assert release.log() == ["deploy was not run: what was approved is no longer on record. Do not propose it again."]


# Past the gate ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", ["", "approve"])
def test_a_goto_past_the_gate_runs_nothing_that_was_not_approved(release: Release, verdict: str) -> None:
    _prepared(release)
    ticket = release.start().tickets[0]
    if verdict:
        release.signoff.approve(ticket, by="ana")
    release.invoke(Command(goto="n2"))
    assert release.effects in ([], ["deploy 1.0"] if verdict else [])
    if not verdict:
        release.signoff.reject(ticket, by="ana")
    assert release.resume().status == "completed"
    assert release.effects == (["deploy 1.0"] if verdict else [])
    assert release.standings == (["executed"] if verdict else ["rejected"])


def test_a_goto_to_the_gate_asks_again_or_says_that_its_key_is_used(release: Release) -> None:
    _prepared(release)
    release.start()
    release.invoke(Command(goto="n1"))
    assert release.resume().did == "nothing: it waits", "one question, twice"
    release.say()
    with pytest.raises(RepeatedKey):
        release.invoke(Command(goto="n1"))
    assert (release.effects, release.standings) == (["deploy 1.0"], ["executed"])


@pytest.mark.parametrize("verdict", ["", "approve", "executed"])
@pytest.mark.parametrize("version", ["1.0", EVIL])
def test_a_task_that_is_sent_to_the_gate_borrows_no_approval(release: Release, version: str, verdict: str) -> None:
    _prepared(release)
    ticket = release.start().tickets[0]
    if verdict:
        release.signoff.approve(ticket, by="ana")
    if verdict == "executed":
        release.resume()
    with suppress(RepeatedKey):
        release.invoke(Command(goto=Send("n1", {"version": version})))
    for _ in range(2):
        for other in release.signoff.pending():
            if other.id != ticket.id:
                release.signoff.reject(other, by="ana")
        with suppress(RepeatedKey):
            release.resume()
    assert release.effects in ([], ["deploy 1.0"] if verdict else [])
    assert release.signoff.verify().broken == []


def test_a_step_that_is_done_over_comes_back_to_the_same_question(release: Release) -> None:
    _prepared(release)
    ticket = release.start().tickets[0]
    release.update({"round": 1}, as_node="n0")
    assert [again.id for again in release.resume().tickets] == [ticket.id]
    assert release.say().status == "completed"
    release.assert_ends(["deploy 1.0"], ["executed"], ["deployed 1.0", "after"])


# Replay -----------------------------------------------------------------------------------------------------------------------

STAGES = {
    "pending": ([], ["pending"]),
    "approved": (["deploy 1.0"], ["executed"]),
    "executed": (["deploy 1.0"], ["executed"]),
    "rejected": ([], ["rejected"]),
}


@pytest.mark.parametrize("stage", STAGES)
def test_replaying_every_checkpoint_runs_at_most_what_is_approved_and_that_once(release: Release, stage: str) -> None:
    effects, standings = STAGES[stage]
    _prepared(release)
    ticket = release.start().tickets[0]
    if stage in ("approved", "executed"):
        release.signoff.approve(ticket, by="ana")
    if stage == "rejected":
        release.signoff.reject(ticket, by="ana")
    if stage in ("executed", "rejected"):
        assert release.resume().status == "completed"
    history = release.checkpoints()
    assert len(history) >= 3
    for snapshot in history * 2:
        release.invoke(None, config=snapshot.config)
        release.invoke(Command(resume=True), config=snapshot.config)
        assert release.effects in ([], effects)
    assert (release.effects, release.standings) == (effects, standings), "and no other question was asked"
    assert release.signoff.verify().broken == []


def test_a_bare_interrupt_runs_again_when_its_checkpoint_is_replayed(plain: Release) -> None:
    _bare(plain)
    plain.invoke({"version": "1.0"})
    paused = plain.state().config
    plain.invoke(Command(resume=True))
    plain.invoke(Command(resume=True), config=paused)
    assert plain.effects == ["deploy 1.0"] * 2


def test_a_fork_of_a_loop_is_answered_up_to_where_it_left_off(release: Release) -> None:
    """Three rounds, forked from before the second: the first two are on record, the third is asked about when it comes."""

    def count(state: State) -> dict[str, Any]:
        return {"round": state.get("round", 0) + 1}

    builder = StateGraph(State).add_node("count", count)
    builder.add_node("n0", release.gated(key=lambda state: state["round"]))
    builder.add_edge(START, "count").add_edge("count", "n0")
    builder.add_conditional_edges("n0", lambda state: "count" if state["round"] < 3 else "__end__")
    release.graph = release.compile(builder)
    release.start()
    release.say()
    release.say()
    assert release.effects == ["deploy 1.0"] * 2
    [before] = [s for s in release.checkpoints() if s.next == ("n0",) and s.values["round"] == 2]
    release.update(None, config=before.config)
    assert release.resume().status == "pending_approval"
    assert release.effects == ["deploy 1.0"] * 2
    assert release.say().status == "completed"
    release.assert_ends(["deploy 1.0"] * 3, ["executed"] * 3, ["deployed 1.0"] * 3)


def _inside(release: Release, *, rounds: int = 1, **options: Any) -> None:
    """A guarded node of a graph that is a node, which is run again and again."""

    def count(state: State) -> dict[str, Any]:
        return {"round": state.get("round", 0) + 1}

    inner = StateGraph(Inner).add_node("n0", release.gated(**options)).add_edge(START, "n0").compile()
    builder = StateGraph(State).add_node("count", count).add_node("sub", inner)
    builder.add_edge(START, "count").add_edge("count", "sub")
    builder.add_conditional_edges("sub", lambda state: "count" if state["round"] < rounds else "__end__")
    release.graph = release.compile(builder)


class Inner(TypedDict, total=False):
    """What a graph that is a node knows; it tells nothing."""

    version: str
    round: int


@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_a_gate_inside_keeps_its_ticket_through_updates_forks_and_replays(release: Release, verdict: str) -> None:
    effects, standing = (["deploy 1.0"], "executed") if verdict == "approve" else ([], "rejected")
    _inside(release)
    release.start()
    release.update({"log": ["changed"]})
    assert release.resume().status == "pending_approval"
    assert release.say(verdict).status == "completed"
    for snapshot in release.checkpoints():
        release.invoke(None, config=snapshot.config)
        assert (release.effects, release.standings) == (effects, [standing])
    paused = next(s for s in release.checkpoints() if s.next == ("sub",))
    release.update(None, config=paused.config)
    assert release.resume().status == "completed"
    assert (release.effects, release.standings) == (effects, [standing])


def test_a_gate_inside_that_is_come_to_again_needs_a_key(release: Release) -> None:
    _inside(release, rounds=3)
    release.start()
    with pytest.raises(RepeatedKey):
        release.say()
    assert (release.effects, release.standings) == (["deploy 1.0"], ["executed"])


def test_a_gate_inside_with_a_key_for_each_round_runs_each_round_once(release: Release) -> None:
    _inside(release, rounds=3, key=lambda state: state["round"])
    release.start()
    assert [release.say().status for _ in range(3)] == ["pending_approval", "pending_approval", "completed"]
    assert (release.effects, release.standings) == (["deploy 1.0"] * 3, ["executed"] * 3)


@pytest.mark.parametrize("around", [True, False], ids=["around the task", "inside it"])
@pytest.mark.parametrize("stage", ["approved", "executed", "rejected"])
def test_replaying_a_workflow_runs_its_task_once(plain: Release, stage: str, around: bool) -> None:
    def deploy(version: str) -> str:
        plain.effect(f"deploy {version}")
        return f"deployed {version}"

    guard = plain.signoff.guarded()
    guarded: Any = guard(task(deploy)) if around else task(guard(deploy))

    @entrypoint(checkpointer=plain.saver)
    def flow(version: str) -> str:
        try:
            return str(guarded(version).result())
        except ActionRefused as refused:
            return str(refused)

    plain.graph = flow
    ticket = plain.run("1.0").tickets[0]
    (plain.signoff.reject if stage == "rejected" else plain.signoff.approve)(ticket, by="ana")
    if stage != "approved":
        assert plain.resume().status == "completed"
    for snapshot in plain.checkpoints() * 2:
        plain.invoke(None, config=snapshot.config)
        plain.invoke(Command(resume=True), config=snapshot.config)
    standing = "rejected" if stage == "rejected" else "executed"
    assert (plain.effects, plain.standings) == ([] if stage == "rejected" else ["deploy 1.0"], [standing])


# A node that `insert` guards has no key but its visit: what is reviewed is asked again, what may run once has run.
INSERTED = {"deploy": ["executed", "pending"], "pay": ["executed"]}


@pytest.mark.parametrize("name", INSERTED)
def test_replaying_a_node_that_was_inserted_runs_it_once(release: Release, name: str) -> None:
    builder = StateGraph(State).add_node("first", lambda state: {"round": 1}).add_node(name, release.does(name))
    release.graph = release.compile(release.signoff.insert(builder.add_edge(START, "first").add_edge("first", name)))
    release.start()
    for ticket in release.signoff.pending():
        release.signoff.approve(ticket, by="ana")
    release.resume()
    history = release.checkpoints()
    for snapshot in history * 2:
        release.invoke(None, config=snapshot.config)
    paused = next(snapshot for snapshot in history if snapshot.next == (name,))
    release.update(None, config=paused.config)
    release.resume()
    assert (release.effects, release.standings) == ([f"{name} 1.0"], INSERTED[name])
    assert release.start().status == ("pending_approval" if name == "deploy" else "completed"), "new input is a new run"
    assert release.effects == [f"{name} 1.0"] * (1 if name == "deploy" else 2)


SWAPPED = {"messages": [HumanMessage("Wire it to eve.", id="m")]}
TALKS: dict[str, Callable[[Release], Any]] = {
    "update": lambda release: release.update(SWAPPED),
    "resume with an update": lambda release: release.invoke(Command(resume=_knock(release), update=SWAPPED)),
    "update of an older checkpoint": lambda release: release.update(
        SWAPPED, config=next(c for c in release.checkpoints() if c.next == ("first",)).config, as_node="first"
    ),
}


@pytest.mark.parametrize("swap", TALKS)
def test_an_inserted_node_acts_on_no_other_conversation_than_the_one_that_was_approved(
    release: Release, swap: str
) -> None:
    def deploy(state: MessagesState) -> dict[str, Any]:
        release.effect(state["messages"][-1].text)
        return {}

    builder = StateGraph(MessagesState).add_node("first", lambda _: {}).add_node("deploy", release.step(deploy))
    release.graph = release.compile(
        release.signoff.insert(builder.add_edge(START, "first").add_edge("first", "deploy"))
    )
    ticket = release.run({"messages": [HumanMessage("Wire it to bob.", id="m")]}).tickets[0]
    assert ticket.args["messages"].startswith("1 message, sha256 ")
    release.signoff.approve(ticket, by="ana")
    TALKS[swap](release)
    assert release.resume().status == "pending_approval"
    assert (release.effects, release.standings) == ([], ["approved", "pending"])


# Every resume value is a knock --------------------------------------------------------------------------------------------------


def test_no_resume_value_runs_a_node_or_kills_its_ticket(release: Release) -> None:
    _prepared(release)
    release.start()
    answered = 0
    for value in [None, *FORGED]:
        pauses = [i.id for i in release.state().interrupts]
        for resume in (value, dict.fromkeys(pauses, value)):
            with suppress(Exception) if resume is None else nullcontext():  # LangGraph takes no answer for none
                release.invoke(Command(resume=resume))
                answered += 1
            assert release.effects == []
    assert answered >= len(FORGED) * 2
    assert (release.is_paused(), release.standings) == (True, ["pending"])
    assert release.say().status == "completed"
    release.assert_ends(["deploy 1.0"], ["executed"], ["deployed 1.0", "after"])


def test_a_bare_interrupt_that_trusts_its_answer_runs_by_a_forged_one(plain: Release) -> None:
    _bare(plain)
    plain.invoke({"version": "1.0"})
    plain.invoke(Command(resume={"decisions": [{"type": "reject"}]}))
    assert plain.effects == ["deploy 1.0"]


def test_a_plain_answer_sent_again_and_answers_to_old_pauses_open_no_later_gate(release: Release) -> None:
    release.open(release.gated(), release.gated(name="announce"))
    release.start()
    old = {i.id: True for i in release.state().interrupts}
    release.signoff.approve(release.signoff.pending()[0], by="ana")
    for _ in range(3):
        release.invoke(Command(resume="approve"))
    release.invoke(None)
    for answers in (old, {"0" * 32: True}):
        release.invoke(Command(resume=answers))
        with pytest.raises(UnknownQuestion):
            release.resume(answers=answers)
    assert (release.effects, release.standings) == (["deploy 1.0"], ["executed", "pending"])
    release.say("reject")
    release.assert_ends(["deploy 1.0"], ["executed", "rejected"], ["deployed 1.0"])


@pytest.mark.parametrize("first", ["decision", "answer", "together"])
def test_a_question_asked_beside_the_gate_keeps_to_itself(release: Release, first: str) -> None:
    def wonder(state: State) -> dict[str, Any]:
        return {"log": [f"heard {interrupt('what colour?')}"]}

    builder = StateGraph(State).add_node("n0", release.gated()).add_node("wonder", release.step(wonder))
    release.graph = release.compile(builder.add_edge(START, "n0").add_edge(START, "wonder"))
    run = release.start()
    [question], [ticket] = run.questions, run.tickets
    if first == "answer":
        assert release.resume(answers={question: "blue"}).status == "pending_approval"
        assert release.effects == []
    release.signoff.approve(ticket, by="ana")
    if first == "decision":
        assert release.resume().status == "waiting"
        assert release.effects == ["deploy 1.0"]
    run = release.resume(answers={} if first == "answer" else {question: "blue"})
    assert run.status == "completed"
    assert sorted(release.log()) == ["deployed 1.0", "heard blue"]
    assert (release.effects, release.standings) == (["deploy 1.0"], ["executed"])


# What LangGraph may do to a node ------------------------------------------------------------------------------------------------


def _open(release: Release, node: Any, **options: Any) -> None:
    """One guarded node, with these options of `add_node`."""
    gate = release.gated(node, refused=told)
    release.graph = release.compile(StateGraph(State).add_node("n0", gate, **options).add_edge(START, "n0"))


@pytest.mark.filterwarnings("ignore:node 'n0' has a RetryPolicy")
def test_a_retry_policy_tries_an_approved_node_once(release: Release) -> None:
    def deploy(state: State) -> dict[str, Any]:
        release.effect(f"deploy {state['version']}")
        raise ValueError("boom")

    _open(release, release.step(deploy), retry_policy=THREE_TIMES)
    release.start()
    assert release.say().status == "completed"
    text = "deploy failed: ValueError('boom'). It was tried once, as approved, and is not tried again."
    release.assert_ends(["deploy 1.0"], ["failed"], [text])


@pytest.mark.parametrize("door", ["gate", "tools"])
def test_an_error_handler_does_not_go_on_in_place_of_who_still_runs_it(release: Release, door: str) -> None:
    """LangGraph gives a node's error to its handler; a second runner's would finish the thread, and the first one's result be lost."""

    def handled(state: Any) -> dict[str, Any]:
        release.effect("handled")
        return {}

    release.signoff = release.new_signoff(POLICY.replace("nodes:", "tools: {send: review}\nnodes:"), wait=0.1)
    if door == "gate":
        builder = StateGraph(State).add_node("n0", release.gated(), error_handler=handled).add_edge(START, "n0")
        release.graph = release.compile(builder)
        ticket = release.start().tickets[0]
    else:
        gate = release.signoff.tool_node(release.tools())
        release.graph = release.compile(release.agent([SEND, "done"], gate, error_handler=handled))
        ticket = release.run(GO).tickets[0]
    release.signoff.approve(ticket, by="ana")
    first = release.new_signoff(POLICY)
    case, _ = first.claims.claim(ticket.id)
    with pytest.raises(StillRunning):
        release.invoke(None)
    with pytest.raises(StillRunning):
        release.resume()
    first.claims.release(case)
    assert release.resume().status == "completed"
    assert release.effects == (["deploy 1.0"] if door == "gate" else list(ONCE))


def test_an_error_handler_gets_the_nodes_own_error(release: Release) -> None:
    def deploy(state: State) -> dict[str, Any]:
        release.effect(f"deploy {state['version']}")
        raise ValueError("boom")

    def handled(state: State, error: NodeError) -> dict[str, Any]:
        return {"log": [f"handled {error.error!r}"]}

    _open(release, release.step(deploy), error_handler=handled)
    release.start()
    assert release.say().status == "completed"
    release.assert_ends(["deploy 1.0"], ["failed"], ["handled ValueError('boom')"])


# What a person says of the node that a timeout cut off, and where it ends.
CUT_OFF: dict[str, tuple[list[str], list[str], list[str]]] = {
    "happened": (["start"], ["executed"], ["by hand"]),
    "did_not_happen": (["start", "start", "deploy 1.0"], ["executed"], ["deployed 1.0"]),
    "give_up": (["start"], ["failed"], ["deploy was not completed: nobody could say whether it happened."]),
}


@pytest.mark.filterwarnings("ignore:node 'n0' has a timeout")
@pytest.mark.parametrize("answer", CUT_OFF)
def test_a_timeout_leaves_a_running_node_in_doubt(tmp_path: Path, answer: str) -> None:
    release = Release(tmp_path, "async")

    async def deploy(state: State) -> dict[str, Any]:
        release.effect("start")
        if len(release.effects) == 1:
            await asyncio.sleep(30)
        release.effect(f"deploy {state['version']}")
        return {"log": [f"deployed {state['version']}"]}

    _open(release, deploy, timeout=0.5)
    release.start()
    run = release.say()
    assert (run.status, release.standings) == ("failed", ["in_doubt"])
    assert "NodeTimeoutError" in run.error
    run = release.resume()
    assert run.status == "in_doubt", "it is asked whether it happened"
    result = {"log": ["by hand"]} if answer == "happened" else None
    release.signoff.settle(run.tickets[0], answer, by="ana", result=result)
    assert release.resume().status == "completed"
    release.assert_ends(*CUT_OFF[answer])
    release.close()


def test_a_run_that_is_cancelled_at_any_moment_has_its_effect_once_in_the_end(
    looped: Release, rng: random.Random, request: pytest.FixtureRequest
) -> None:
    def deploy(state: State) -> dict[str, Any]:
        time.sleep(0.01)
        looped.effect(f"deploy {state['version']}")
        time.sleep(0.01)
        return {"log": [f"deployed {state['version']}"]}

    async def adeploy(state: State) -> dict[str, Any]:
        await asyncio.sleep(0.01)
        looped.effect(f"deploy {state['version']}")
        await asyncio.sleep(0.01)
        return {"log": [f"deployed {state['version']}"]}

    looped.open(node=adeploy if looped.way == "async" else deploy)
    left = [_cancelled(looped, rng, f"t{n}") for n in range(100 if request.config.getoption("--long") else 10)]
    assert set(left) <= {"pending", "approved", "running", "in_doubt", "executed"}
    assert len(set(left)) >= 2, f"the moments differed: {left}"


def _cancelled(release: Release, rng: random.Random, thread: str) -> str:
    effect, update = f"deploy {thread}", {"log": [f"deployed {thread}"]}
    release.signoff.approve(release.start(thread=thread, version=thread).tickets[0], by="ana")

    left = release.cancelled(rng, effect, update, thread=thread)
    assert release.log(thread) == update["log"]
    return left


def test_a_node_with_a_cache_is_refused_and_run_all_the_same_it_does_nothing_in_another_thread(
    release: Release,
) -> None:
    node = release.gated()
    builder = StateGraph(State).add_node("n0", node, cache_policy=CachePolicy(key_func=lambda state: "same"))
    release.graph = release.compile(builder.add_edge(START, "n0"), cache=InMemoryCache())
    for call in (release.start, release.resume):
        with pytest.raises(GraphRefused, match="CachePolicy"):
            call()
    release.invoke({"version": "1.0"}, thread="one")
    release.signoff.approve(release.signoff.pending()[0], by="ana")
    release.invoke(Command(resume=True), thread="one")
    release.invoke({"version": "1.0"}, thread="two")
    assert release.effects == ["deploy 1.0"], "a cached answer is a wrong answer, but it runs nothing"


def test_a_run_that_saves_only_at_its_end_runs_nothing_that_needs_a_ticket(release: Release) -> None:
    release.open(release.gated(name="look"), release.gated())
    with pytest.raises(Unidentified, match='durability="exit" can lose the paused thread'):
        release.invoke({"version": "1.0"}, durability="exit")
    assert release.effects == ["look 1.0"]


# Another policy -----------------------------------------------------------------------------------------------------------------

# What was said under the old policy, what the new one would say: the effects, the standing, the log.
CHANGES: dict[tuple[str, str], tuple[list[str], list[str], list[str]]] = {
    ("", "allow"): ([], ["pending"], []),
    ("", "deny"): ([], ["pending"], []),
    ("approve", "deny"): DEPLOYED,
    ("reject", "allow"): ([], ["rejected"], [REJECTED]),
}


@pytest.mark.parametrize(("verdict", "new"), CHANGES)
def test_what_is_ruled_once_stays_ruled(release: Release, verdict: str, new: str) -> None:
    effects, standings, log = CHANGES[verdict, new]
    release.open(refused=told)
    ticket = release.start().tickets[0]
    if verdict:
        getattr(release.signoff, verdict)(ticket, by="ana")
    release.open(policy=POLICY.replace("deploy: review", f"deploy: {new}"), refused=told)
    release.invoke(Command(resume=True))
    assert release.effects == effects
    assert (release.standings, release.log()) == (standings, log)


# A graph that is a node -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["did_not_happen", "happened"])
def test_a_guarded_graph_that_is_cut_off_goes_on_where_it_was(release: Release, answer: str) -> None:
    def second(state: State) -> dict[str, Any]:
        if "second 1.0" not in release.effects:
            release.effect("second 1.0")
            raise Torn
        release.effect("third 1.0")
        return {"log": ["finished"]}

    steps = {"first": release.does("first"), "second": release.step(second)}
    inner = StateGraph(State).add_sequence(list(steps.items())).add_edge(START, "first").compile()
    release.open(node=inner)
    release.start()
    with pytest.raises(Torn):
        release.say()
    run = release.resume()
    assert (run.status, release.effects) == ("in_doubt", ["first 1.0", "second 1.0"])
    release.signoff.settle(run.tickets[0], answer, by="ana", result={"log": ["seen"]} if answer == "happened" else None)
    assert release.resume().status == "completed"
    if answer == "happened":
        release.assert_ends(["first 1.0", "second 1.0"], ["executed"], ["seen"])
    else:
        release.assert_ends(["first 1.0", "second 1.0", "third 1.0"], ["executed"], ["firsted 1.0", "finished"])

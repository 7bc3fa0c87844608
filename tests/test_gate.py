"""The gate before any node: what it is about to do waits for its decision, and runs at most once."""

from __future__ import annotations

import functools
import operator
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import CachePolicy, Command, RetryPolicy, Send, StreamWriter, interrupt
from pydantic import BaseModel

from failures.world import Torn, as_coroutine
from gates import POLICY, WAYS, Release, State, action, told
from langgraph_signoff import (
    Answer,
    GraphRefused,
    Happened,
    Policy,
    PolicyError,
    RepeatedKey,
    RevisionRefused,
    TicketClosed,
    UngatedCall,
    Unidentified,
)
from langgraph_signoff.masking import MASK

DEPLOYED = (["deploy 1.0"], ["executed"], ["deployed 1.0"])


@pytest.fixture(params=WAYS)
def release(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Release]:
    """A release in each of the three ways."""
    made = Release(tmp_path, request.param)
    yield made
    made.close()


# Nodes of every kind -----------------------------------------------------------------------------------------------------------


class Crew:
    """An object whose method is a node, and that is one itself."""

    place: str = "here"

    def __init__(self, release: Release) -> None:
        self.release = release

    def deploy(self, state: State) -> dict[str, Any]:
        return self.release.does()(state)

    def __call__(self, state: State) -> dict[str, Any]:
        return self.release.does()(state)


class AsyncCrew(Crew):
    """The same, async."""

    async def deploy(self, state: State) -> dict[str, Any]:
        return await self.release.does()(state)

    async def __call__(self, state: State) -> dict[str, Any]:
        return await self.release.does()(state)


def _with_more(release: Release) -> Any:
    do = release.does()

    def deploy(
        state: State, config: RunnableConfig, *, runtime: Runtime[Any], store: BaseStore, writer: StreamWriter
    ) -> Any:
        assert config["configurable"]["thread_id"] == "t"
        assert runtime.store is store is not None
        writer({"deploys": state["version"]})
        return do(state)

    async def adeploy(
        state: State, config: RunnableConfig, *, runtime: Runtime[Any], store: BaseStore, writer: StreamWriter
    ) -> Any:
        return await deploy(state, config, runtime=runtime, store=store, writer=writer)

    return adeploy if release.way == "async" else deploy


def _partial(release: Release) -> Any:
    do = release.does()
    if release.way == "async":

        async def adeploy(place: str, state: State) -> dict[str, Any]:
            assert place == "here"
            return await do(state)

        return functools.partial(adeploy, "here")

    def deploy(place: str, state: State) -> dict[str, Any]:
        assert place == "here"
        return do(state)

    return functools.partial(deploy, "here")


def _crew(release: Release) -> Crew:
    return (AsyncCrew if release.way == "async" else Crew)(release)


def _graph(release: Release) -> Any:
    return StateGraph(State).add_node("do", release.does()).add_edge(START, "do").compile()


KINDS: dict[str, Callable[[Release], Any]] = {
    "a function": lambda release: release.does(),
    "a function with everything injected": _with_more,
    "a method": lambda release: _crew(release).deploy,
    "an object that can be called": _crew,
    "a partial": _partial,
    "a runnable": lambda release: RunnableLambda(release.does()),
    "a chain of runnables": lambda release: RunnableLambda(release.does()) | RunnableLambda(lambda update: update),
    "a graph": _graph,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_node_of_any_kind_waits_for_its_decision_and_runs_once(release: Release, kind: str) -> None:
    release.store = InMemoryStore()
    release.open(node=KINDS[kind](release))
    run = release.start()
    assert (run.status, release.effects) == ("pending_approval", [])
    [ticket] = run.tickets
    assert (ticket.tool, ticket.args, ticket.rule) == ("deploy", {"version": "1.0"}, "nodes.deploy.otherwise")
    assert release.resume().did == "nothing: it waits"
    assert release.say().status == "completed"
    assert release.resume().did == "nothing: it has finished"
    release.assert_ends(*DEPLOYED)


@pytest.mark.parametrize("kind", ["a function with everything injected", "a chain of runnables", "a graph"])
def test_a_node_of_any_kind_that_is_rejected_does_not_run(release: Release, kind: str) -> None:
    release.store = InMemoryStore()
    release.open(node=KINDS[kind](release), refused=told)
    release.start()
    assert release.say("reject", reason="not on a Friday").status == "completed"
    assert (release.effects, release.standings) == ([], ["rejected"])
    assert "deploy was not run: rejected by ana: not on a Friday." in release.log()[0]


class Narrow(TypedDict):
    """Less than the whole state."""

    version: str


def narrow(state: Narrow) -> dict[str, Any]:
    """Sees no more than it asks for."""
    return {"log": sorted(state)}


def jump(state: State) -> Command[Literal["left", "right"]]:
    """Says where it may go."""
    return Command(goto="right", update={"log": [f"from {state['version']}"]})


class Jumper:
    """Says the same as an object."""

    elsewhere: int = 0

    def __call__(self, state: Narrow) -> Command[Literal["left", "right"]]:
        return Command(goto="left", update={"log": sorted(state)})


HINTED: dict[str, Any] = {
    "a function": narrow,
    "a coroutine": as_coroutine(narrow),
    "a jump": jump,
    "an object": Jumper(),
    "a partial": functools.partial(narrow),
    "a runnable": RunnableLambda(narrow),
}


@pytest.mark.parametrize("node", HINTED.values(), ids=HINTED)
def test_langgraph_reads_the_same_of_a_guarded_node(plain: Release, node: Any) -> None:
    def spec(added: Any) -> Any:
        found = StateGraph(State).add_node("n", added).nodes["n"]
        return found.input_schema, found.ends, StateGraph(State).add_node(added).nodes.keys()

    assert spec(plain.gated(node))[:2] == spec(node)[:2]
    if not isinstance(node, RunnableLambda):
        assert spec(plain.gated(node))[2] == spec(node)[2], "its name"


def test_a_guarded_node_gets_what_its_hint_asks_for_and_its_action_sees_the_same(release: Release) -> None:
    seen = list[Any]()
    node = release.step(narrow)
    release.open(node=node, action=lambda state: seen.append(sorted(state)) or dict(state))
    release.start(round=3)
    release.say()
    assert release.log() == ["version"] == seen[0]


@pytest.mark.parametrize("to", ["left", "right"])
def test_a_command_goes_where_it_goes_and_leaves_its_update(release: Release, to: str) -> None:
    def jump(state: State) -> Command[Literal["left", "right"]]:
        release.effect("jump")
        return Command(goto=to, update={"log": [f"from {state['version']}"]})  # type: ignore[arg-type]  # one of both

    builder = StateGraph(State).add_node("n0", release.gated(release.step(jump)))
    for side in ("left", "right"):
        builder.add_node(side, lambda state, side=side: {"log": [side]})
    release.graph = release.compile(builder.add_edge(START, "n0"))
    release.start()
    assert release.say().status == "completed"
    release.assert_ends(["jump"], ["executed"], ["from 1.0", to])


def _inside(release: Release, node: Any, **options: Any) -> None:
    """A graph whose second node is a graph of this node."""
    inner = StateGraph(State).add_node("inner", node, **options).add_edge(START, "inner").compile()
    builder = StateGraph(State).add_node("sub", inner).add_node("after", lambda state: {"log": ["after"]})
    release.graph = release.compile(builder.add_edge(START, "sub"))


def test_a_command_to_the_graph_around_gets_there(release: Release) -> None:
    def leave(state: State) -> Command[Any]:
        release.effect("leave")
        return Command(graph=Command.PARENT, goto="after", update={"log": [f"left {state['version']}"]})

    _inside(release, release.gated(release.step(leave)))
    release.start()
    assert release.say().status == "completed"
    release.assert_ends(["leave"], ["executed"], ["left 1.0", "after"])


@pytest.mark.parametrize("name", ["deploy", "note"])
def test_a_guarded_graph_may_leave_for_the_graph_around(release: Release, name: str) -> None:
    def leave(state: State) -> Command[Any]:
        release.effect("leave")
        return Command(graph=Command.PARENT, goto="after", update={"log": [f"left {state['version']}"]})

    inner = StateGraph(State).add_node("inner", release.step(leave)).add_edge(START, "inner").compile()
    builder = (
        StateGraph(State).add_node("sub", release.gated(inner, name)).add_node("after", lambda _: {"log": ["after"]})
    )
    release.graph = release.compile(builder.add_edge(START, "sub"))
    run = release.start()
    assert (run if name == "note" else release.say()).status == "completed"
    release.assert_ends(["leave"], ["executed"], ["left 1.0", "after"])


def test_a_node_inside_a_graph_that_is_a_node_is_guarded_there(release: Release) -> None:
    _inside(release, release.gated())
    run = release.start()
    assert run.status == "pending_approval"
    assert run.tickets[0].thread_id == "t"
    assert release.say().status == "completed"
    release.assert_ends(*DEPLOYED)


class Asked(BaseModel):
    """A state that pydantic checks."""

    version: str
    log: Annotated[list[str], operator.add] = []


@dataclass
class Kept:
    """A state that is a dataclass."""

    version: str
    log: Annotated[list[str], operator.add] = field(default_factory=list)


@pytest.mark.parametrize("schema", [Asked, Kept])
def test_a_state_of_another_kind_is_seen_by_the_action_and_the_node(release: Release, schema: Any) -> None:
    def deploy(state: Any) -> dict[str, Any]:
        release.effect(f"deploy {state.version}")
        return {"log": [f"deployed {state.version}"]}

    gate = release.gated(release.step(deploy), action=lambda state: {"version": state.version})
    release.graph = release.compile(StateGraph(schema).add_node("n0", gate).add_edge(START, "n0"))
    release.start()
    release.say()
    release.assert_ends(*DEPLOYED)


def test_what_a_node_returns_to_be_run_in_its_place_runs_behind_its_gate(release: Release) -> None:
    does = RunnableLambda(release.does())
    release.open(node=release.step(lambda state: does), refused=told)
    release.start()
    assert release.say().status == "completed"
    release.assert_ends(*DEPLOYED)
    [entry] = [entry for entry in release.signoff.history(release.tickets()[0]) if entry.kind == "executed"]
    assert "deployed 1.0" in str(entry.contents)


def test_a_guarded_node_is_not_run_outside_of_a_graph(plain: Release) -> None:
    with pytest.raises(UngatedCall, match="'deploy' is guarded and runs only inside a graph"):
        plain.gated()({"version": "1.0"})
    assert plain.effects == []


# A graph that is a node ---------------------------------------------------------------------------------------------------------


def _asking(release: Release) -> Any:
    """A graph that prepares, asks something of its own, and then deploys."""

    def prepare(state: State) -> dict[str, Any]:
        release.effect("prepare")
        return {"log": ["prepared"]}

    def ask(state: State) -> dict[str, Any]:
        return {"log": [f"heard {interrupt('which region?')}"]}

    steps = {"prepare": release.step(prepare), "ask": release.step(ask), "do": release.does()}
    return StateGraph(State).add_sequence(list(steps.items())).add_edge(START, "prepare").compile()


def test_langgraph_finds_a_guarded_graph(plain: Release) -> None:
    inner = _asking(plain)
    plain.open(node=inner)
    assert [(name, graph) for name, graph in plain.graph.get_subgraphs()] == [("n0", inner)]


def test_a_guarded_graph_that_pauses_itself_goes_on_under_the_same_claim(release: Release) -> None:
    release.open(node=_asking(release))
    release.start()
    run = release.say()
    assert (run.status, list(run.questions.values())) == ("waiting", ["which region?"])
    assert (release.effects, release.standings) == (["prepare"], ["running"])
    assert release.resume().status == "waiting", "a resume without an answer leaves the question alone"
    run = release.resume(answers=dict.fromkeys(run.questions, "north"))
    assert run.status == "completed"
    # A node's update is its graph's whole state; the log adds it up, as without a gate.
    release.assert_ends(["deploy 1.0", "prepare"], ["executed"], ["prepared", "heard north", "deployed 1.0"])
    kinds = [entry.kind for entry in release.signoff.history(release.tickets()[0])]
    assert kinds == ["opened", "decided", "claimed", "suspended", "claimed", "executed"]


def test_a_guarded_graph_asks_nothing_before_it_may_run(release: Release) -> None:
    release.open(node=_asking(release), refused=told)
    assert release.start().questions == {}
    release.invoke(Command(resume="north"))
    assert release.say("reject").status == "completed"
    assert (release.effects, release.standings) == ([], ["rejected"])


def test_a_node_that_pauses_itself_hears_its_own_answer(release: Release) -> None:
    def deploy(state: State) -> dict[str, Any]:
        region = interrupt("which region?")
        release.effect(f"deploy {region}")
        return {"log": [f"deployed {region}"]}

    release.open(node=release.step(deploy))
    release.start()
    run = release.say()
    assert run.status == "waiting"
    run = release.resume(answers=dict.fromkeys(run.questions, "north"))
    assert run.status == "completed"
    release.assert_ends(["deploy north"], ["executed"], ["deployed north"])


# Several at once ----------------------------------------------------------------------------------------------------------------

# Three nodes of one step: what is said of each, its effect, its end, and its word in the log.
FAN = {
    "deploy": ("approve", ["deploy 1.0"], "executed", "deployed 1.0"),
    "announce": ("reject", [], "rejected", "announce was not run: rejected by ana"),
    "drop": ("", [], "denied", "drop was not run: the policy does not permit"),
    "look": ("", ["look 1.0"], "", "looked 1.0"),
}


@pytest.mark.parametrize("together", [True, False], ids=["decided together", "one by one"])
def test_each_of_several_nodes_at_once_gets_its_own_decision(release: Release, together: bool) -> None:
    builder = StateGraph(State)
    for name in FAN:
        builder.add_node(name, release.gated(name=name, refused=told)).add_edge(START, name)
    release.graph = release.compile(builder)
    run = release.start()
    assert sorted(ticket.tool for ticket in run.tickets) == ["announce", "deploy"]
    assert release.effects == ["look 1.0"]
    for ticket in run.tickets:
        getattr(release.signoff, FAN[ticket.tool][0])(ticket, by="ana")
        if not together:
            release.resume()
    assert release.resume().status == "completed"
    assert release.effects == sorted(effect for _, effects, _, _ in FAN.values() for effect in effects)
    assert {ticket.tool: ticket.standing for ticket in release.tickets()} == {
        name: standing for name, (_, _, standing, _) in FAN.items() if standing
    }
    for word in (row[3] for row in FAN.values()):
        assert len([line for line in release.log() if word in line]) == 1


def _sent(release: Release, versions: list[str], **options: Any) -> None:
    """A node for each version, in one step."""

    def spread(state: State) -> list[Send]:
        return [Send("n0", {"version": version}) for version in versions]

    builder = StateGraph(State).add_node("n0", release.gated(**options)).add_conditional_edges(START, spread, ["n0"])
    release.graph = release.compile(builder)


def test_a_node_that_is_sent_several_times_asks_for_each(release: Release) -> None:
    _sent(release, ["1.0", "2.0", "3.0"], key=lambda state: state["version"], refused=told)
    run = release.start()
    assert sorted(ticket.args["version"] for ticket in run.tickets) == ["1.0", "2.0", "3.0"]
    for ticket in run.tickets:
        decide = release.signoff.reject if ticket.args["version"] == "2.0" else release.signoff.approve
        decide(ticket, by="ana")
    assert release.resume().status == "completed"
    assert release.effects == ["deploy 1.0", "deploy 3.0"]
    assert sorted(release.standings) == ["executed", "executed", "rejected"]


KEYLESS: dict[str, dict[str, Any]] = {"no key": {}, "the same key": {"key": lambda state: "deploy"}}


@pytest.mark.parametrize(
    ("name", "options", "versions"),
    [
        ("deploy", "no key", ["1.0", "1.0"]),
        ("deploy", "the same key", ["1.0", "2.0"]),
        ("pay", "no key", ["1.0", "2.0"]),
        ("pay", "the same key", ["1.0", "1.0"]),
    ],
)
def test_nodes_that_are_sent_under_one_key_are_refused_and_none_runs_twice(
    release: Release, name: str, options: str, versions: list[str]
) -> None:
    _sent(release, versions, node=release.does(name), name=name, **KEYLESS[options])
    with suppress(RepeatedKey):
        release.start()  # two that come at one moment may both ask before either sees the other
    for ticket in release.signoff.pending():
        release.signoff.approve(ticket, by="ana")
    for _ in range(2):
        with pytest.raises(RepeatedKey):
            release.resume()
    assert len(release.effects) == len(set(release.effects)), "nothing ran twice"


# In a loop ----------------------------------------------------------------------------------------------------------------------


def _loop(release: Release, rounds: int = 3, **options: Any) -> None:
    """A guarded node that is run again and again."""

    def count(state: State) -> dict[str, Any]:
        return {"round": state.get("round", 0) + 1}

    builder = StateGraph(State).add_node("count", count).add_node("n0", release.gated(**options))
    builder.add_edge(START, "count").add_edge("count", "n0")
    builder.add_conditional_edges("n0", lambda state: "count" if state["round"] < rounds else END, ["count", END])
    release.graph = release.compile(builder)


LOOPS: dict[str, dict[str, Any]] = {
    **KEYLESS,
    "a key that is missing": {"key": lambda state: state.get("id")},
    "a key that comes again": {"key": lambda state: state["round"] % 2},
}


@pytest.mark.parametrize("does", ["the same", "something else"])
@pytest.mark.parametrize("options", LOOPS.values(), ids=LOOPS)
def test_a_node_that_comes_to_a_used_key_is_an_error_before_it_does_anything(
    release: Release, options: dict[str, Any], does: str
) -> None:
    numbered = {"action": lambda state: {"round": state["round"]}} if does == "something else" else {}
    _loop(release, **{**numbered, **options})
    run = release.start()
    with pytest.raises(RepeatedKey, match="give"):  # noqa: PT012  # the round in which it comes differs
        for _ in range(3):
            release.signoff.approve(run.tickets[0], by="ana")
            run = release.resume()
    assert set(release.standings) == {"executed"}
    assert len(release.effects) == len(release.standings) < 3


@pytest.mark.parametrize("name", ["deploy", "note", "pay", "look"])
def test_a_loop_with_a_key_for_each_round_runs_each_round_once(release: Release, name: str) -> None:
    _loop(release, node=release.does(name), name=name, key=lambda state: state["round"])
    run = release.start()
    for _ in range(3):
        for ticket in run.tickets:
            release.signoff.approve(ticket, by="ana")
        run = release.resume()
    assert run.status == "completed"
    recorded = [] if name == "look" else ["executed"] * 3
    release.assert_ends([f"{name} 1.0"] * 3, recorded, [f"{name}ed 1.0"] * 3)


def test_a_loop_without_a_key_is_an_error_also_after_an_update_of_the_state(release: Release) -> None:
    _loop(release)
    release.start()
    release.update({"log": ["changed"]})
    with pytest.raises(RepeatedKey):
        release.say()
    assert (release.effects, release.standings) == (["deploy 1.0"], ["executed"])
    assert release.log() == ["changed", "deployed 1.0"]


@pytest.mark.parametrize("name", ["note", "pay"])
def test_a_loop_without_a_key_runs_once_where_each_run_goes_on_record(release: Release, name: str) -> None:
    _loop(release, node=release.does(name), name=name)
    with pytest.raises(RepeatedKey):
        release.start()
    assert (release.effects, release.standings) == ([f"{name} 1.0"], ["executed"])


def test_a_node_that_is_allowed_and_leaves_no_record_needs_no_key(release: Release) -> None:
    _loop(release, node=release.does("look"), name="look")
    assert release.start().status == "completed"
    release.assert_ends(["look 1.0"] * 3, [], ["looked 1.0"] * 3)


def test_a_key_may_be_any_json_in_any_order(plain: Release) -> None:
    keys = iter([{"a": 1, "b": [2]}, {"b": [2], "a": 1}])
    plain.open(key=lambda state: next(keys))
    plain.start()
    assert plain.say().status == "completed", "the second pass named the same ticket"
    plain.assert_ends(*DEPLOYED)


# Which run of a node it is --------------------------------------------------------------------------------------------------


def test_a_state_that_is_updated_while_the_node_waits_leaves_its_ticket_good(release: Release) -> None:
    release.open()
    release.start()
    release.update({"round": 7})
    assert release.say().status == "completed"
    release.assert_ends(*DEPLOYED)


@pytest.mark.parametrize(
    ("verdict", "standing", "text"),
    [("reject", "rejected", "rejected by ana"), ("withdraw", "withdrawn", "the request was withdrawn")],
)
def test_a_state_that_is_updated_before_a_refusal_is_heard_hears_it(
    release: Release, verdict: str, standing: str, text: str
) -> None:
    release.open(refused=told)
    ticket = release.start().tickets[0]
    release.update({"round": 7})
    getattr(release.signoff, verdict)(ticket, by="ana")
    assert release.resume().status == "completed"
    assert (release.effects, release.standings) == ([], [standing])
    assert text in release.log()[0]


def test_every_checkpoint_that_is_replayed_gets_the_answer_on_record(release: Release) -> None:
    release.open(lambda state: {"round": 1}, release.gated())
    release.start()
    release.say()
    history = release.checkpoints()
    assert len(history) >= 4
    for snapshot in history:
        for input in (None, Command(resume=True)):
            release.invoke(input, config=snapshot.config)
            assert release.log() == ["deployed 1.0"]
    release.assert_ends(*DEPLOYED)


def test_a_fork_gets_the_answer_on_record(release: Release) -> None:
    release.open()
    release.start()
    paused = release.state().config
    release.say()
    release.update(None, config=paused)
    assert release.state().next == ("n0",), "the head of the thread is the fork"
    assert release.resume().status == "completed"
    release.assert_ends(*DEPLOYED)


def test_a_fork_that_does_something_else_under_the_same_key_is_refused(release: Release) -> None:
    release.open()
    release.start()
    before = release.state().config
    release.say()
    release.update({"version": "9.9"}, config=before)
    with pytest.raises(RepeatedKey):
        release.resume()
    release.update(None, config=before)
    assert release.resume().status == "completed", "the way back"
    release.assert_ends(*DEPLOYED)


@pytest.mark.parametrize("again", ["1.0", "2.0"])
@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_a_second_run_without_a_key_says_that_it_needs_one(release: Release, verdict: str, again: str) -> None:
    release.open()
    release.start()
    release.say(verdict)
    effects = release.effects
    if (verdict, again) == ("reject", "2.0"):
        assert release.start(version=again).status == "pending_approval", "nothing has used the key"
    else:
        with pytest.raises(RepeatedKey, match="'deploy' runs again in this thread under the same key; give key=, a"):
            release.start(version=again)
    assert release.effects == effects


@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_new_input_while_the_node_waits_keeps_its_ticket_until_it_has_an_answer(release: Release, verdict: str) -> None:
    release.open()
    first = release.start()
    second = release.start()
    assert [ticket.id for ticket in second.tickets] == [ticket.id for ticket in first.tickets], "the same action"
    assert release.say(verdict).status == "completed"
    release.assert_ends(*(DEPLOYED if verdict == "approve" else ([], ["rejected"], [])))


def test_an_update_in_the_name_of_the_node_passes_it_by_and_withdraws_its_ticket(release: Release) -> None:
    release.open(release.gated(), lambda state: {"log": ["after"]})
    ticket = release.start().tickets[0]
    release.update({"log": ["deployed, believe me"]}, as_node="n0")
    assert release.resume().status == "completed"
    with pytest.raises(TicketClosed):
        release.signoff.approve(ticket, by="ana")
    release.assert_ends([], ["withdrawn"], ["deployed, believe me", "after"])


# What the policy says -------------------------------------------------------------------------------------------------------------

# By the node's name: its effect, the standing on record, its word in the log.
RULED = {
    "look": (["look 1.0"], [], "looked 1.0"),
    "note": (["note 1.0"], ["executed"], "noteed 1.0"),
    "pay": (["pay 1.0"], ["executed"], "payed 1.0"),
    "drop": (
        [],
        ["denied"],
        "drop was not run: the policy does not permit this call (denied). Do not propose it again.",
    ),
}


@pytest.mark.parametrize("name", RULED)
def test_what_needs_no_person_is_done_or_refused_at_once(release: Release, name: str) -> None:
    effects, standings, line = RULED[name]
    release.open(node=release.does(name), name=name, refused=told)
    run = release.start()
    assert (run.status, run.tickets) == ("completed", ())
    release.assert_ends(effects, standings, [line])


def test_without_refused_the_graph_goes_on_without_an_update(release: Release) -> None:
    release.open(release.gated(name="drop"), release.gated(), lambda state: {"log": ["after"]})
    release.start()
    assert release.say("reject").status == "completed"
    release.assert_ends([], ["denied", "rejected"], ["after"])


def test_rules_read_the_action_and_what_the_thread_did_before(release: Release) -> None:
    policy = """
version: 1
tools: {deploy: allow}
nodes:
  deploy:
    rules:
      - {when: "args.version.startsWith('0.')", then: allow, reason_code: not_released}
      - {when: "has(history.ran.deploy) && history.ran.deploy >= 2", then: deny, reason_code: often_enough}
"""
    release.signoff = release.new_signoff(policy)
    _loop(release, rounds=4, key=lambda state: state["round"], refused=told)
    assert release.start(version="0.9").status == "completed"
    assert release.effects == ["deploy 0.9"] * 2, "each run counts, the third is denied"
    run = release.start(version="1.0", thread="other")
    assert run.tickets[0].reason_code == "default_review", "a tool of that name is another matter"


@pytest.mark.filterwarnings("ignore:launch")
def test_a_node_that_no_entry_names_is_reviewed(release: Release) -> None:
    release.open(name="launch")
    run = release.start()
    assert [(ticket.tool, ticket.reason_code) for ticket in run.tickets] == [("launch", "unlisted_tool")]


def test_what_is_allowed_runs_without_a_checkpointer_and_what_needs_a_ticket_does_not(release: Release) -> None:
    for name, error in (("look", None), ("deploy", "needs a ticket, but the graph has no checkpointer")):
        node = release.gated(release.does(name), name)
        release.graph = StateGraph(State).add_node("n0", node).add_edge(START, "n0").compile()
        if error:
            with pytest.raises(Unidentified, match=error):
                release.invoke({"version": "1.0"})
        else:
            release.invoke({"version": "1.0"})
    assert release.effects == ["look 1.0"]


def test_an_action_that_is_no_object_is_an_error(release: Release) -> None:
    release.open(action=lambda state: state["version"])
    run = release.start()
    assert (run.status, release.effects) == ("failed", [])
    assert "the action of 'deploy' must be a dict of what it is about to do, not '1.0'" in run.error


# What a reviewer sees ---------------------------------------------------------------------------------------------------------------


class Talk(MessagesState, total=False):
    """A conversation that leads to a release."""

    version: str


def test_a_ticket_says_who_asks_for_what_and_why(release: Release) -> None:
    release.signoff = release.new_signoff(POLICY, requester=lambda runtime: runtime.context["user"])
    node = release.step(lambda state: {"version": state["version"]})
    gate = release.gated(node, agent="releaser", resource=lambda state: f"shop {state['version']}")
    builder = StateGraph(Talk, context_schema=dict).add_node("n0", gate).add_edge(START, "n0")
    release.graph = release.compile(builder, name="shop")
    said = [HumanMessage("Ship it!", id="h1")]
    release.invoke({"version": "1.0", "messages": said}, context={"user": "dan"})
    [ticket] = release.signoff.pending()
    seen = (ticket.agent, ticket.requester, ticket.resource, ticket.trigger)
    assert seen == ("releaser", "dan", "shop 1.0", "Ship it!")
    assert ticket.options == ("approve", "reject", "revise")


@pytest.mark.parametrize("messages", [None, 5, "a text", {"a": 1}, ["a", 2]])
def test_a_state_may_keep_anything_under_the_name_of_messages(plain: Release, messages: Any) -> None:
    class Odd(TypedDict, total=False):
        version: str
        messages: Any

    plain.graph = plain.compile(StateGraph(Odd).add_node("n0", plain.gated(lambda _: None)).add_edge(START, "n0"))
    run = plain.run({"version": "1.0", "messages": messages})
    assert run.status == "pending_approval"
    assert run.tickets[0].trigger == ""


def test_a_trigger_of_its_own_is_shown(release: Release) -> None:
    release.open(trigger=lambda state: f"version {state['version']} is tested")
    assert release.start().tickets[0].trigger == "version 1.0 is tested"


SECRET = "version: 1\nnodes: {deploy: {redact: [args.pin], describe: 'Deploy {args.version}'}}"


def test_a_secret_of_the_action_is_masked_wherever_it_is_shown_and_counts(release: Release) -> None:
    ran = list[Any]()

    def apply(state: State, args: dict[str, Any]) -> State:
        ran.append(args)
        return {**state, "version": args["version"]}

    release.open(policy=SECRET, action=lambda state: {**action(state), "pin": 4711}, apply=apply)
    [ticket] = release.start().tickets
    assert ticket.args == {"version": "1.0", "pin": MASK}
    assert ticket.description == "Deploy 1.0"
    [pause] = release.state().interrupts
    assert "4711" not in str(pause.value)
    release.signoff.revise(ticket, by="ana", args={"version": "1.1", "pin": MASK})
    assert release.resume().status == "completed"
    assert ran == [{"version": "1.1", "pin": 4711}], "the masked one keeps its value"
    release.assert_ends(["deploy 1.1"], ["executed"], ["deployed 1.1"])


# What a reviewer says ----------------------------------------------------------------------------------------------------------------


def test_refused_gets_the_state_the_ticket_and_the_words(release: Release) -> None:
    seen = list[Any]()

    def refused(state: Any, ticket: Any, text: str) -> Any:
        seen.append((state["version"], ticket.standing, ticket.decisions[-1].reason, text))
        return Command(update={"log": ["refused"]}, goto="n1")

    release.open(release.gated(refused=refused), lambda state: {"log": ["n1"]})
    release.start()
    release.say("reject", reason="not on a Friday")
    text = (
        "deploy was not run: rejected by ana: not on a Friday. "
        "Do not propose the same call again unless the user asks for it."
    )
    assert seen == [("1.0", "rejected", "not on a Friday", text)]
    assert release.log()[0] == "refused"


def test_what_is_sent_back_is_proposed_again_under_a_new_key(release: Release) -> None:
    def write(state: State) -> dict[str, Any]:
        number = state.get("round", 0) + 1
        return {"round": number, "version": f"{number}.0"}

    gate = release.gated(key=lambda state: state["round"], refused=told)
    builder = StateGraph(State).add_node("write", write).add_node("n0", gate)
    builder.add_edge(START, "write").add_edge("write", "n0")
    builder.add_conditional_edges("n0", lambda state: END if "deployed" in state["log"][-1] else "write")
    release.graph = release.compile(builder)
    first = release.start().tickets[0]
    assert release.say("revise", feedback="one more test").status == "pending_approval"
    [second] = release.signoff.pending()
    assert (second.previous, second.args) == (first.id, {"version": "2.0"})
    assert second.difference == ({"op": "replace", "path": "/version", "value": "2.0"},)
    assert release.say().status == "completed"
    log = ["deploy was not run: ana sent it back: one more test. You may propose it again with that in mind."]
    release.assert_ends(["deploy 2.0"], ["returned", "executed"], [*log, "deployed 2.0"])


def _apply(state: State, args: dict[str, Any]) -> State:
    return {**state, "version": args["version"]}


def test_an_edit_runs_in_place_of_the_action(release: Release) -> None:
    release.open(apply=_apply)
    release.start()
    assert release.say("revise", args={"version": "1.1"}).status == "completed"
    release.assert_ends(["deploy 1.1"], ["executed"], ["deployed 1.1"])
    [ticket] = release.tickets()
    assert ticket.args == {"version": "1.1"}
    assert ticket.decisions[0].patch == ({"op": "replace", "path": "/version", "value": "1.1"},)


def test_an_edit_is_ruled_again_and_asks_again_where_another_must_approve(release: Release) -> None:
    policy = """
version: 1
nodes:
  deploy:
    rules:
      - {when: "args.version == '6.6'", then: deny, reason_code: cursed}
      - {when: "args.version == '2.0'", then: review, approvals: 2}
"""
    release.open(policy=policy, apply=_apply)
    ticket = release.start().tickets[0]
    with pytest.raises(RevisionRefused, match="cursed"):
        release.signoff.revise(ticket, by="ana", args={"version": "6.6"})
    release.signoff.revise(ticket, by="ana", args={"version": "2.0"})
    assert release.resume().status == "pending_approval"
    release.signoff.approve(release.signoff.pending()[0], by="cem")
    assert release.resume().status == "completed"
    release.assert_ends(["deploy 2.0"], ["executed"], ["deployed 2.0"])


def test_an_edit_that_nobody_would_read_is_refused(release: Release) -> None:
    release.open(apply=_apply)
    ticket = release.start().tickets[0]
    with pytest.raises(RevisionRefused, match="deploy takes no argument versoin"):
        release.signoff.revise(ticket, by="ana", args={"versoin": "1.1"})
    release.say()
    release.assert_ends(*DEPLOYED)


def test_without_apply_an_action_can_be_sent_back_and_not_edited(release: Release) -> None:
    release.open(refused=told)
    ticket = release.start().tickets[0]
    with pytest.raises(RevisionRefused, match="deploy acts on its graph's state, not on these; send it back"):
        release.signoff.revise(ticket, by="ana", args={"version": "1.1"})
    [pause] = release.state().interrupts
    assert pause.value["review_configs"][0]["allowed_decisions"] == ["approve", "reject"]
    release.say("revise", feedback="later")
    assert (release.effects, release.standings) == ([], ["returned"])


# How it ends --------------------------------------------------------------------------------------------------------------------------


def _raises(release: Release) -> Any:
    def deploy(state: State) -> dict[str, Any]:
        release.effect(f"deploy {state['version']}")
        raise ConnectionError("the host is gone")

    return release.step(deploy)


def test_a_node_that_fails_fails_the_run_and_is_not_run_again(release: Release) -> None:
    release.open(release.gated(_raises(release), refused=told), lambda state: {"log": ["after"]})
    release.start()
    run = release.say()
    assert (run.status, run.error) == ("failed", "ConnectionError: the host is gone")
    assert release.standings == ["failed"]
    assert release.resume().status == "completed"
    text = "deploy failed: ConnectionError('the host is gone'). It was tried once, as approved, and is not tried again."
    release.assert_ends(["deploy 1.0"], ["failed"], [text, "after"])


def _torn(release: Release, *, before: bool = False) -> Any:
    """A node that is torn off at its first run, before its effect or after it."""

    def deploy(state: State) -> dict[str, Any]:
        first = not (release.folder / "torn").exists()
        (release.folder / "torn").touch()
        if first and before:
            raise Torn
        release.effect(f"deploy {state['version']}")
        if first:
            raise Torn
        return {"log": [f"deployed {state['version']}"]}

    return release.step(deploy)


def _in_doubt(release: Release, *, before: bool = False, policy: str = POLICY, **options: Any) -> Any:
    release.signoff = release.new_signoff(policy)
    release.open(node=_torn(release, before=before), **options)
    release.start()
    release.signoff.approve(release.signoff.pending()[0], by="ana")
    with pytest.raises(Torn):
        release.resume()
    return release.resume()


UNKNOWN = (
    "deploy was not completed: nobody could say whether it happened.",
    "It is unknown whether deploy happened: its run was cut off",
)
# What is said of a node that was torn off, with which result: the effects, the standing, the log.
SAID: dict[str, tuple[str, Any, bool, list[str], str, list[str]]] = {
    "happened, with an update": ("happened", {"log": ["seen"]}, False, ["deploy 1.0"], "executed", ["seen"]),
    "happened, in words": ("happened", "seen by me", False, ["deploy 1.0"], "executed", []),
    "happened, in a list": ("happened", ["seen"], False, ["deploy 1.0"], "executed", []),
    "happened": ("happened", None, False, ["deploy 1.0"], "executed", []),
    "did not happen": ("did_not_happen", None, True, ["deploy 1.0"], "executed", ["deployed 1.0"]),
    "give up": ("give_up", None, True, [], "failed", [UNKNOWN[0]]),
}


@pytest.mark.parametrize("said", SAID)
def test_a_node_that_was_cut_off_ends_as_a_person_says(release: Release, said: str) -> None:
    answer, result, before, effects, standing, log = SAID[said]
    run = _in_doubt(release, before=before, refused=told)
    assert run.status == "in_doubt"
    release.signoff.settle(run.tickets[0], answer, by="ana", result=result)
    assert release.resume().status == "completed"
    release.assert_ends(effects, [standing], log)


# What a probe finds of a node that was torn off before its effect: the effects, the standing, the log; None: a person is asked.
FOUND: dict[str, tuple[Any, tuple[list[str], list[str], list[str]] | None]] = {
    "it happened": (Happened(result={"log": ["found"]}), ([], ["executed"], ["found"])),
    "it happened, in words": (Happened(result="found"), ([], ["executed"], [])),
    "it did not happen": (Answer.DID_NOT_HAPPEN, DEPLOYED),
    "nothing": (None, None),
}


@pytest.mark.parametrize("found", FOUND)
def test_a_node_that_was_cut_off_is_first_looked_up(release: Release, found: str) -> None:
    answer, ends = FOUND[found]
    asked = list[Any]()
    run = _in_doubt(release, before=True, verify=lambda about: asked.append(about.args) or answer)
    assert asked == [{"version": "1.0"}]
    assert run.status == ("completed" if ends else "in_doubt")
    if ends:
        release.assert_ends(*ends)


def test_an_idempotent_node_that_was_cut_off_runs_again_under_the_same_key(release: Release) -> None:
    idempotent = "version: 1\nnodes: {deploy: {idempotent: true}}"
    keys = list[str]()

    def apply(state: State, args: dict[str, Any]) -> State:  # the shape of `apply`
        return state

    def watched(node: Any) -> Any:
        def deploy(state: State) -> Any:
            about = release.signoff.current_action()
            assert about
            keys.append(about.key)
            assert (about.tool, about.approved_by) == ("deploy", ("ana",))
            return node(state)

        async def adeploy(state: State) -> Any:
            return await deploy(state)

        return adeploy if release.way == "async" else deploy

    release.signoff = release.new_signoff(idempotent)
    release.open(node=watched(_torn(release, before=True)), apply=apply)
    release.start()
    with pytest.raises(Torn):
        release.say()
    assert release.resume().status == "completed"
    assert len(keys) == 2
    assert len(set(keys)) == 1
    release.assert_ends(*DEPLOYED)


def test_what_cannot_be_kept_is_kept_as_its_text(release: Release) -> None:
    lock = threading.Lock()

    def deploy(state: State) -> dict[str, Any]:
        release.effect(f"deploy {state['version']}")
        return {"log": [lock], "version": state["version"]}

    release.open(node=release.step(deploy))
    release.start()
    assert release.say().status == "completed"
    [line] = release.log()
    assert line.startswith("<unlocked _thread.lock object")
    assert (release.effects, release.standings) == (["deploy 1.0"], ["executed"])


# What LangGraph may do to it ------------------------------------------------------------------------------------------------------------


def test_check_warns_of_what_a_guarded_node_does_not_do_and_refuses_a_cache(plain: Release) -> None:
    def graph(node: Any, **options: Any) -> Any:
        return plain.compile(StateGraph(State).add_node("n0", node, **options).add_edge(START, "n0"))

    gate = plain.gated(as_coroutine(plain.does()))
    assert plain.signoff.check(graph(gate)) == []
    retried = graph(gate, retry_policy=RetryPolicy(), timeout=5)
    assert plain.signoff.check(retried) == [
        "node 'n0' has a RetryPolicy: an approved call is tried once all the same; retry inside the tool",
        "node 'n0' has a timeout: a call that it cuts off is in doubt; put the timeout inside the tool",
    ]
    with pytest.raises(GraphRefused, match=r"node 'n0' has a CachePolicy, .*; remove it"):
        plain.signoff.check(graph(gate, cache_policy=CachePolicy()))
    with pytest.raises(GraphRefused, match="no checkpointer"):
        plain.signoff.check(StateGraph(State).add_node("n0", gate).add_edge(START, "n0").compile())
    unnamed = graph(plain.gated(name="launch"))
    assert plain.signoff.check(unnamed) == [
        "launch: no entry of the policy names this node; every run of it will be reviewed"
    ]
    inner = StateGraph(State).add_node("inner", gate, cache_policy=CachePolicy()).add_edge(START, "inner").compile()
    with pytest.raises(GraphRefused, match="node 'inner' has a CachePolicy"):
        plain.signoff.check(graph(inner))


def test_a_policy_is_held_against_the_nodes_of_a_graph(tmp_path: Path) -> None:
    from cli_support import Desk

    desk = Desk(tmp_path)
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "langgraph.json").write_text('{"graphs": {"shop": "./shop.py:shop"}}')
    told = {
        "nodes: {depoly: review}": (2, "nodes.depoly: the graph has no node depoly"),
        "tools: {look: review}\nnodes: {'d*': review}": (2, "tools.look: the graph has no tool look"),
        "": (0, "warning: deploy: no entry of the policy names this node; every run of it will be reviewed"),
    }
    for nodes, (code, words) in told.items():
        (tmp_path / "signoff.yaml").write_text(f"version: 1\n{nodes}\n")
        ended = desk.run("policy", "check", "--graph", "shop")
        assert ended.code == code
        assert words in ended.out + ended.err
        assert "d*" not in ended.err


SHOP = """
from langgraph.graph import START, StateGraph
from langgraph_signoff import Signoff

def shop():
    gate = Signoff("signoff.db").gate("deploy", action=lambda state: state)
    return StateGraph(dict).add_node("n0", gate(lambda state: None)).add_edge(START, "n0")
"""


def test_a_policy_that_names_no_node_of_a_graph_is_told_so_by_name() -> None:
    policy = Policy.parse(POLICY)
    with pytest.raises(PolicyError, match="note: the graph has no node note"):
        policy.check_graph([], ["deploy", "announce", "pay", "look", "drop"])
    policy.check_graph([], ["deploy", "announce", "note", "pay", "look", "drop"])

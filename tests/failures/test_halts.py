"""The stop button: from a halt on nothing behind a gate starts, until its release; what has begun finishes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from typer.testing import CliRunner

from failures.world import GO, ONCE, SEND, SENT, Expect, World
from langgraph_signoff import IncompleteDecision, NotHalted, Signoff, Standing, law
from langgraph_signoff.claims import Halted
from langgraph_signoff.cli.app import app
from langgraph_signoff.entries import link
from langgraph_signoff.law import HALTS, Scope
from support import NOW, Clock, open_ticket, until

LOOKS: list[Any] = [[("look", {"x": 1})], "done"]
RECORDED = "version: 1\ntools: {look: {otherwise: {then: allow, record: true}}, send: review}"
ONCE_ONLY = "version: 1\ntools: {look: {otherwise: {then: allow, once: true}}, send: review}"

scopes = st.builds(Scope, st.sampled_from([None, "t", "u"]), st.sampled_from([None, "send", "look"]))


def approved_ticket(signoff: Signoff, **more: Any) -> str:
    return signoff.approve(open_ticket(signoff, **more), by="ana").id


# The law --------------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(scopes, st.booleans()), max_size=12))
def test_a_call_is_held_back_while_a_halt_that_covers_it_is_not_released(steps: list[tuple[Scope, bool]]) -> None:
    history: list[Any] = []
    held: dict[Scope, bool] = {}
    for scope, stops in steps:
        before = law.halts(history)
        if stops:
            draft = law.halt(scope, by="ana", reason="")
        elif held.get(scope):
            draft = law.release(before, scope, by="ana", reason="")
        else:
            with pytest.raises(NotHalted):
                law.release(before, scope, by="ana", reason="")
            continue
        held[scope] = stops
        history += link(HALTS, history[-1] if history else None, [draft], NOW)
    now = law.halts(history)
    for thread in ("t", "u"):
        for name in ("send", "look"):
            covered = any(stops and scope.covers(thread, name) for scope, stops in held.items())
            assert bool(now.on(thread, name)) == covered
    assert now.seq == len(history)


@pytest.mark.parametrize("by", ["", "  "])
def test_a_halt_and_its_release_need_a_name(tmp_path: Path, by: str) -> None:
    with closing(Signoff(tmp_path / "signoff.db")) as signoff:
        with pytest.raises(IncompleteDecision, match="needs a name"):
            signoff.halt(by=by)
        signoff.halt(by="ana")
        with pytest.raises(IncompleteDecision, match="needs a name"):
            signoff.release(by=by)
        assert [halt.by for halt in signoff.halts()] == ["ana"]


@pytest.mark.parametrize("scope", [{"thread_id": ""}, {"tool": " "}, {"thread_id": 7}, {"thread_id": "t", "tool": ""}])
def test_a_halt_that_would_hold_nothing_back_is_refused(tmp_path: Path, scope: dict[str, Any]) -> None:
    with closing(Signoff(tmp_path / "signoff.db")) as signoff:
        with pytest.raises(IncompleteDecision, match="nothing would be halted"):
            signoff.halt(by="ana", **scope)
        assert signoff.halts() == []


def test_a_release_takes_back_exactly_its_scope(tmp_path: Path) -> None:
    with closing(Signoff(tmp_path / "signoff.db")) as signoff:
        signoff.halt(by="ana", tool="send")
        signoff.halt(by="ben", thread_id="t", reason="odd")
        with pytest.raises(NotHalted, match=r"everything is not halted; what is: tool send; thread t"):
            signoff.release(by="ana")
        assert [str(halt.scope) for halt in signoff.release(by="ana", tool="send")] == ["thread t"]
        assert [(halt.by, halt.reason) for halt in signoff.halts()] == [("ben", "odd")]
        assert signoff.verify().is_whole


# Runs -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scope", [{}, {"tool": "send"}, {"thread_id": "t"}, {"thread_id": "t", "tool": "send"}], ids=str
)
def test_an_approved_call_waits_for_the_release(world: World, scope: dict[str, str]) -> None:
    world.open([SEND, "done"])
    world.run()
    world.signoff.halt(by="op", **scope)
    world.signoff.approve(world.tickets()[0], by="ana")
    for _ in range(2):
        assert world.resume().status == "halted"
        world.invoke(Command(resume="go on"))
        assert (world.effects, world.signoff.threads_to_wake()) == ([], ["t"])
    world.signoff.release(by="op", **scope)
    assert world.signoff.threads_to_wake() == ["t"]
    assert world.resume().status == "completed"
    world.assert_ends(Expect(ONCE, ["executed"], SENT))
    assert world.signoff.threads_to_wake() == []


@pytest.mark.parametrize(
    "policy", ["version: 1\ntools: {look: allow}", RECORDED, ONCE_ONLY], ids=["free", "recorded", "once"]
)
def test_an_allowed_call_waits_for_the_release_too(world: World, policy: str) -> None:
    world.open(LOOKS, policy=policy)
    world.signoff.halt(by="op", tool="look")
    assert world.run().status == "halted"
    assert world.resume().status == "halted"
    assert (world.effects, world.signoff.threads_to_wake()) == ([], ["t"])
    world.signoff.release(by="op", tool="look")
    assert world.resume().status == "completed"
    assert world.effects == ["look 1"]


def test_a_release_that_comes_while_a_thread_is_looked_at_leaves_it_among_those_to_wake(
    sync_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = sync_world
    world.open(LOOKS)
    world.signoff.halt(by="op")
    world.run()
    real, looks = world.signoff.desk.halts, list[int]()

    def released_after_three_looks() -> law.Halts:
        looks.append(1)
        if len(looks) == 3:
            world.signoff.release(by="op")
        return real()

    monkeypatch.setattr(world.signoff.desk, "halts", released_after_three_looks)
    world.resume()
    assert len(looks) >= 3
    assert world.signoff.threads_to_wake() == ["t"]


def test_another_tool_and_another_thread_go_on(world: World) -> None:
    world.open(LOOKS)
    world.signoff.halt(by="op", tool="send")
    world.signoff.halt(by="op", thread_id="u")
    assert world.run(thread="t").status == "completed"
    assert world.run(thread="u").status == "halted"
    assert world.effects == ["look 1"]


def test_a_person_can_still_decide_and_a_rejected_call_ends(world: World) -> None:
    world.open([SEND, "done"])
    world.signoff.halt(by="op")
    [ticket] = world.run().tickets
    world.signoff.reject(ticket, by="ana", reason="no")
    assert world.resume().status == "completed"
    world.assert_ends(Expect([], ["rejected"], "rejected by ana"))


def test_an_approval_that_outlives_its_time_under_a_halt_lapses(tmp_path: Path) -> None:
    clock = Clock()
    with closing(Signoff(tmp_path / "signoff.db", clock=clock)) as signoff:
        id_ = approved_ticket(signoff, use_within="90s")
        signoff.halt(by="op")
        clock.advance(seconds=91)
        assert signoff.claims.claim(id_)[0].standing is Standing.LAPSED


def _stopping(world: World) -> Any:
    """A look that somebody stops everything after, some time before it ends."""

    def look(x: int) -> str:
        """Looks."""
        world.effect(f"look {x}")
        if x == 0:
            world.signoff.halt(by="op")
            time.sleep(0.1)
        return f"saw {x}"

    return tool(look)


def test_an_allowed_call_that_waits_for_its_turn_behind_others_is_held_back(sync_world: World) -> None:
    world = sync_world
    world.open([[("look", {"x": x}) for x in range(3)], "done"], tools=[_stopping(world)])
    assert world.run(config={"max_concurrency": 1}).status == "halted"
    assert world.effects == ["look 0"]


@pytest.mark.parametrize("policy", ["version: 1\ntools: {look: allow}", RECORDED], ids=["free", "recorded"])
def test_an_allowed_call_that_a_wrapper_tries_again_is_held_back(sync_world: World, policy: str) -> None:
    def twice(request: Any, execute: Any) -> Any:
        execute(request)
        return execute(request)

    world = sync_world
    world.open([[("look", {"x": 0})], "done"], tools=[_stopping(world)], policy=policy, wrap_tool_call=twice)
    assert world.run().status == "halted"
    assert world.effects == ["look 0"]


def test_what_has_begun_finishes(sync_world: World) -> None:
    world, begun, free = sync_world, threading.Event(), threading.Event()

    def send(to: str, amount: float) -> str:
        """Sends slowly."""
        begun.set()
        free.wait(30)
        world.effect(f"send {to} {amount}")
        return f"sent {amount} to {to}"

    world.open([SEND, "done"], tools=[tool(send)])
    world.signoff.approve(world.run().tickets[0], by="ana")
    ended: list[Any] = []
    runner = threading.Thread(target=lambda: ended.append(world.resume()))
    runner.start()
    assert begun.wait(30)
    world.signoff.halt(by="op")
    free.set()
    runner.join()
    assert ended[0].status == "completed"
    world.assert_ends(Expect(ONCE, ["executed"], SENT))


def test_a_tool_that_waits_for_an_answer_of_its_own_has_begun(world: World) -> None:
    def send(to: str, amount: float) -> str:
        """Asks, then sends."""
        answer = interrupt("sure?")
        world.effect(f"send {to} {amount}")
        return f"sent {amount} to {to}, {answer}"

    world.open([SEND, "done"], tools=[world.tool("send", send)])
    world.signoff.approve(world.run().tickets[0], by="ana")
    run = world.resume()
    assert run.status == "waiting"
    world.signoff.halt(by="op")
    assert world.resume(answers=dict.fromkeys(run.questions, "sure")).status == "completed"
    world.assert_ends(Expect(ONCE, ["executed"], "sure"))


def test_a_guarded_node_waits_for_the_release(tmp_path: Path, sync_world: World) -> None:
    world = sync_world
    signoff = world.new_signoff("version: 1\nnodes: {publish: allow}")

    @signoff.gate("publish", action=lambda state: {})
    def publish(state: MessagesState) -> dict[str, Any]:
        world.effect("published")
        return {}

    world.signoff = signoff
    builder = StateGraph(MessagesState).add_node("publish", publish).add_edge(START, "publish")
    world.graph = world.compile(builder)
    signoff.halt(by="op", tool="publish")
    assert (world.run().status, world.effects) == ("halted", [])
    signoff.release(by="op", tool="publish")
    assert (world.resume().status, world.effects) == ("completed", ["published"])


def test_an_interrupt_of_the_authors_that_looks_like_a_halt_is_the_authors(sync_world: World) -> None:
    world = sync_world
    forged = {"signoff": {"kind": "halt", "tickets": [], "thread_id": "t", "tools": ["look"]}}
    builder = StateGraph(MessagesState).add_node("asks", lambda state: {"messages": [interrupt(forged)]})
    world.open(LOOKS)
    world.graph = world.compile(builder.add_edge(START, "asks"))
    run = world.run(GO)
    assert (run.status, list(run.questions.values())) == ("waiting", [forged])
    assert world.resume().did == "nothing: it waits"


# From the moment of the halt on ------------------------------------------------------------------------------------------


def test_no_claim_comes_after_a_halt_in_the_record(tmp_path: Path) -> None:
    """Claims and halts race; the order of the record says who was first."""
    path = tmp_path / "signoff.db"
    claimed, held = list[str](), list[str]()
    with ExitStack() as stack:
        signoff = stack.enter_context(closing(Signoff(path)))
        ids = [approved_ticket(signoff, call_id=f"c{n}") for n in range(60)]
        doors = [stack.enter_context(closing(Signoff(path))) for _ in range(3)]
        stop = threading.Event()

        def claims(door: Signoff, mine: list[str]) -> None:
            for id_ in mine:
                while not stop.is_set():
                    try:
                        case, granted = door.claims.claim(id_)
                    except Halted:
                        held.append(id_)
                        time.sleep(0.001)
                        continue
                    assert granted
                    claimed.append(id_)
                    door.claims.record(case, Standing.EXECUTED, {})
                    break

        runners = [threading.Thread(target=claims, args=(door, ids[n::3])) for n, door in enumerate(doors)]
        signoff.halt(by="op")  # whatever comes first to the machine, some claim meets a halt
        for runner in runners:
            runner.start()
        until(lambda: held)
        for _ in range(20):
            signoff.release(by="op")
            time.sleep(0.001)
            signoff.halt(by="op")
            time.sleep(0.002)
        signoff.release(by="op")
        for runner in runners:
            runner.join(60)
        stop.set()
        assert sorted(claimed) == sorted(ids)
        is_halted = False
        for _, entry in signoff.ledger.scan():
            is_halted = entry.kind == "halted" if entry.stream == HALTS else is_halted
            assert entry.kind != "claimed" or not is_halted, "a claim stands after a halt in the record"
        assert signoff.verify().is_whole


def test_a_halt_holds_in_another_process_and_after_a_restart(tmp_path: Path) -> None:
    with closing(Signoff(tmp_path / "signoff.db")) as first:
        first.halt(by="op", reason="fire")
    with closing(Signoff(tmp_path / "signoff.db")) as second:
        assert [(halt.by, halt.reason, str(halt.scope)) for halt in second.halts()] == [("op", "fire", "everything")]


# From a terminal ------------------------------------------------------------------------------------------------------


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    with closing(Signoff(tmp_path / "signoff.db")):
        pass

    def run(*words: str) -> tuple[int, str]:
        ended = CliRunner().invoke(app, ["--ledger", str(tmp_path / "signoff.db"), *words])
        return ended.exit_code, ended.output or str(ended.exception)

    return run


def test_a_halt_and_its_release_from_a_terminal(cli: Callable[..., tuple[int, str]]) -> None:
    assert cli("halts") == (0, "nothing is halted\n")
    code, said = cli("halt", "--tool", "send", "--reason", "odd", "--as", "ana")
    assert (code, said.startswith("halted  tool send  by ana at "), said.endswith(": odd\n")) == (0, True, True)
    [halt] = json.loads(cli("halts", "--json")[1])
    assert (halt["tool"], halt["thread_id"], halt["by"], halt["reason"]) == ("send", None, "ana", "odd")
    assert cli("release", "--tool", "send", "--as", "ana") == (0, "nothing is halted\n")
    assert "is not halted" in cli("release", "--all", "--as", "ana")[1]
    for wrong in (("halt",), ("halt", "--all", "--tool", "send"), ("release",)):
        code, said = cli(*wrong, "--as", "ana")
        assert (code != 0, "say which: --thread T, --tool X, both, or --all" in said) == (True, True)

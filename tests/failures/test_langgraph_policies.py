"""What LangGraph may do to a node (try again, cut off, cancel, cache, save late) uses no approval twice and none of another."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
import time
from contextlib import closing
from typing import Any

import pytest
from langgraph.cache.memory import InMemoryCache
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import CachePolicy

from failures.world import GO, MODES, ONCE, SEND, SENT, THREE_TIMES, Command, Expect, World, bare_agent
from langgraph_signoff import GraphRefused, StillRunning, Unidentified
from langgraph_signoff.ledger import sqlite_file

TRIED_ONCE = "It was tried once, as approved, and is not tried again."
CUT_OFF = "start bob"
IDEMPOTENT = "version: 1\ntools: {send: {idempotent: true}}"
# A timeout or a cancellation leaves each of these behind, whichever moment it hits; then a person or the record says the rest.


@pytest.mark.filterwarnings("ignore:node 'tools' has a RetryPolicy")
def test_a_retry_policy_tries_an_approved_call_once(world: World) -> None:
    world.open([SEND, "done"], tools=[world.failing(ValueError("boom"))], node={"retry_policy": THREE_TIMES})
    world.signoff.approve(world.run().tickets[0], by="ana")
    assert world.resume().status == "completed"
    world.assert_ends(Expect(ONCE, ["failed"], TRIED_ONCE))


def test_a_bare_interrupt_under_a_retry_policy_runs_one_approval_three_times(sync_world: World) -> None:
    bare_agent(sync_world, [SEND, "done"])
    send = sync_world.send

    def fail(**args: Any) -> str:
        send(**args)
        raise ValueError("boom")

    sync_world.send = fail  # type: ignore[method-assign]  # the bare agent calls it
    sync_world.graph.nodes["tools"].retry_policy = [THREE_TIMES]
    sync_world.invoke(GO)
    with pytest.raises(ValueError, match="boom"):
        sync_world.invoke(Command(resume=True))
    assert sync_world.effects == list(ONCE) * 3


# Cut off -----------------------------------------------------------------------------------------------------------------


def _hanging(world: World, seconds: float) -> Any:
    """A coroutine that hangs once, before its effect."""

    async def send(to: str, amount: float = 5.0) -> str:
        """Sends."""
        world.effect(CUT_OFF)
        if world.effects.count(CUT_OFF) == 1:
            await asyncio.sleep(seconds)
        return world.send(to, amount)

    return world.tool("send", send, as_async=False)


def _held(world: World) -> Any:
    """A function that holds a thread before its effect, until it is let go."""

    def send(to: str, amount: float = 5.0) -> str:
        """Sends."""
        world.effect(CUT_OFF)
        while not (world.folder / "go").exists():
            time.sleep(0.02)
        return world.send(to, amount)

    return world.tool("send", send, as_async=False)


# What a person says of the call that a timeout cut off, and where it ends.
SAID = {
    "happened": Expect([CUT_OFF], ["executed"], "sent by hand"),
    "did_not_happen": Expect([CUT_OFF, CUT_OFF, *ONCE], ["executed"], SENT),
    "give_up": Expect([CUT_OFF], ["failed"], "was not completed"),
}


@pytest.mark.filterwarnings("ignore:node 'tools' has a timeout")
@pytest.mark.parametrize("answer", SAID)
def test_a_node_timeout_leaves_a_running_call_in_doubt(async_world: World, answer: str) -> None:
    world = async_world
    world.open([SEND, "done"], tools=[_hanging(world, 30)], node={"timeout": 0.5})
    world.signoff.approve(world.run().tickets[0], by="ana")
    run = world.resume()
    assert run.status == "failed"
    assert "NodeTimeoutError" in run.error
    assert [t.standing for t in world.tickets()] == ["in_doubt"]
    run = world.resume()
    assert run.status == "in_doubt", "it is asked whether it happened"
    assert run.tickets[0].options == ("happened", "did_not_happen", "give_up")
    result = "sent by hand" if answer == "happened" else None
    world.signoff.settle(run.tickets[0], answer, by="ana", result=result)
    assert world.resume().status == "completed"
    world.assert_ends(SAID[answer])


@pytest.mark.filterwarnings("ignore:node 'tools' has a timeout")
def test_an_idempotent_call_that_was_cut_off_runs_again_with_the_same_key(async_world: World) -> None:
    world, keys = async_world, []

    async def send(to: str, amount: float = 5.0) -> str:
        """Sends."""
        keys.append(world.signoff.current_action().key)
        if len(keys) == 1:
            await asyncio.sleep(30)
        return world.send(to, amount)

    world.open(
        [SEND, "done"], tools=[world.tool("send", send, as_async=False)], policy=IDEMPOTENT, node={"timeout": 0.5}
    )
    world.signoff.approve(world.run().tickets[0], by="ana")
    assert world.resume().status == "failed"
    assert world.resume().status == "completed"
    assert len(keys) == 2
    assert len(set(keys)) == 1
    world.assert_ends(Expect(ONCE, ["executed"], SENT))


@pytest.mark.filterwarnings("ignore:node 'tools' has a timeout")
def test_a_call_that_was_cut_off_is_first_asked_about_by_its_own_probe(async_world: World) -> None:
    from langgraph_signoff import Happened

    world = async_world
    probes = {"send": lambda about: Happened(result=f"found {about.args['to']}")}
    world.open([SEND, "done"], tools=[_hanging(world, 30)], node={"timeout": 0.5}, verify=probes)
    world.signoff.approve(world.run().tickets[0], by="ana")
    assert world.resume().status == "failed"
    assert world.resume().status == "completed"
    world.assert_ends(Expect([CUT_OFF], ["executed"], "found bob"))


@pytest.mark.filterwarnings("ignore:node 'tools' has a timeout")
def test_a_thread_that_outlives_its_node_finishes_its_claim_and_is_not_run_beside(async_world: World) -> None:
    world = async_world

    world.open([SEND, "done"], tools=[_held(world)], node={"timeout": 0.5})
    world.signoff.approve(world.run().tickets[0], by="ana")
    assert world.resume().status == "failed"
    assert [t.standing for t in world.tickets()] == ["running"], "its thread still runs, and its claim is kept"
    assert world.resume().status == "failed", "a second runner waits for it, and is cut off too"
    (world.folder / "go").touch()
    while world.resume().status != "completed":
        pass
    world.assert_ends(Expect([CUT_OFF, *ONCE], ["executed"], SENT))


@pytest.mark.filterwarnings("ignore:node 'tools' has a timeout")
def test_calls_with_a_timeout_find_room_to_run_where_one_task_runs_at_a_time(async_world: World) -> None:
    world, narrow = async_world, {"max_concurrency": 1}
    world.open([[("send", {"to": "bob"}), ("send", {"to": "eve"})], "done"], node={"timeout": 20.0})
    for ticket in world.run(config=narrow).tickets:
        world.signoff.approve(ticket, by="ana")
    assert world.resume(config=narrow).status == "completed"
    world.assert_ends(Expect([*ONCE, "send eve 5.0"], ["executed"] * 2, "sent 5.0 to eve"))


def test_a_second_runner_says_that_the_first_still_runs(async_world: World) -> None:
    world = async_world

    world.open([SEND, "done"], tools=[_held(world)])
    world.signoff.claims.wait = 0.2
    world.signoff.approve(world.run().tickets[0], by="ana")
    run = world.later(world.graph.ainvoke(Command(resume=True), world.config("t")))
    while CUT_OFF not in world.effects:
        time.sleep(0.02)
    with pytest.raises(StillRunning):
        world.invoke(None)
    (world.folder / "go").touch()
    run.result(30)
    world.assert_ends(Expect([CUT_OFF, *ONCE], ["executed"], SENT))


# Whatever a cancellation at some moment leaves behind, one approval has one effect in the end. What is in doubt is settled by
# looking at the effects, as a person would.
AFTER_A_CANCELLATION = {"pending", "approved", "running", "in_doubt", "executed"}


def test_a_run_that_is_cancelled_at_any_moment_has_its_effect_once_in_the_end(
    tmp_path: Any, rng: random.Random, request: pytest.FixtureRequest
) -> None:
    rounds = 200 if request.config.getoption("--long") else 24
    left_behind = []
    for mode in [mode for mode in MODES if mode.is_async]:
        for as_async in (True, False):
            world = World(tmp_path / f"{mode}-{as_async}", mode)
            left_behind += [_cancelled(world, rng, as_async, n) for n in range(rounds // 4)]
            world.close()
    assert set(left_behind) <= AFTER_A_CANCELLATION
    assert len(set(left_behind)) >= 3, f"the moments differed: {left_behind}"


def _cancelled(world: World, rng: random.Random, as_async: bool, number: int) -> str:
    effect = f"send {number} 5.0"

    async def asend(to: str, amount: float = 5.0) -> str:
        """Sends."""
        await asyncio.sleep(0.01)
        told = world.send(to, amount)
        await asyncio.sleep(0.01)
        return told

    def send(to: str, amount: float = 5.0) -> str:
        """Sends."""
        time.sleep(0.01)
        told = world.send(to, amount)
        time.sleep(0.01)
        return told

    tool = world.tool("send", asend if as_async else send, as_async=False)
    thread = f"t{number}"
    world.open([[("send", {"to": str(number)})], "done"], tools=[tool])
    world.signoff.approve(world.run(thread=thread).tickets[0], by="ana")

    left = world.cancelled(rng, effect, "sent", thread=thread)
    assert "sent" in world.told(thread)[-1].text
    return left


@pytest.mark.filterwarnings("ignore:node 'tools' has a RetryPolicy")
@pytest.mark.parametrize("node", [{}, {"retry_policy": THREE_TIMES}])
def test_a_run_that_is_cancelled_while_its_claim_fails_runs_nothing_and_keeps_its_approval(
    async_world: World, monkeypatch: pytest.MonkeyPatch, node: dict[str, Any]
) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT", 0.05)
    world, under_way, cancelled = async_world, threading.Event(), threading.Event()
    world.open([SEND, "done"], node=node)
    world.signoff.approve(world.run().tickets[0], by="ana")

    def on_statement(text: str) -> None:
        if text == "BEGIN IMMEDIATE":
            under_way.set()
            cancelled.wait(30)

    async def cut() -> Any:
        run = asyncio.create_task(world.graph.ainvoke(Command(resume=True), world.config("t")))
        assert await asyncio.to_thread(under_way.wait, 30)
        run.cancel()
        await asyncio.sleep(0.05)
        cancelled.set()
        return await asyncio.gather(run, return_exceptions=True)

    world.signoff.close()
    world.signoff.ledger._connection().set_trace_callback(on_statement)
    with closing(sqlite3.connect(world.folder / "signoff.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        [ended] = world.wait(cut())
    assert isinstance(ended, asyncio.CancelledError)
    assert [entry.kind for entry in world.signoff.history(world.tickets()[0])] == ["opened", "decided"]
    assert world.effects == []
    assert world.resume().status == "completed"
    world.assert_ends(Expect(ONCE, ["executed"], SENT))


# Cached and not saved -----------------------------------------------------------------------------------------------------


def test_a_cached_node_is_refused_before_it_runs(world: World) -> None:
    world.open([SEND, "done"], node={"cache_policy": CachePolicy(key_func=lambda state: "same")})
    with pytest.raises(GraphRefused, match=r"node 'tools' has a CachePolicy, .*; remove it"):
        world.run()
    with pytest.raises(GraphRefused, match="CachePolicy"):
        world.resume()
    assert world.effects == []


def test_a_cached_node_that_is_run_all_the_same_runs_nothing_of_another_thread(world: World) -> None:
    world.open([SEND, "done"], node={"cache_policy": CachePolicy(key_func=lambda state: "same")})
    gate = world.agent(
        [SEND, "done"], world.graph.nodes["tools"].bound, cache_policy=CachePolicy(key_func=lambda s: "k")
    )
    world.graph = world.compile(gate, cache=InMemoryCache())
    world.invoke(GO, thread="one")
    world.signoff.approve(world.tickets("one")[0], by="ana")
    world.invoke(Command(resume=True), thread="one")
    assert world.effects == list(ONCE)
    world.invoke(GO, thread="two")
    assert world.effects == list(ONCE), "a cached answer is a wrong answer, but it runs nothing and uses no approval"


def test_a_bare_interrupt_in_a_cached_node_leaks_its_approval(sync_world: World) -> None:
    bare_agent(sync_world, [SEND, "done"])
    sync_world.graph.cache = InMemoryCache()
    sync_world.graph.nodes["tools"].cache_policy = CachePolicy(key_func=lambda state: "same")
    sync_world.invoke(GO, thread="one")
    sync_world.invoke(Command(resume=True), thread="one")
    sync_world.invoke(GO, thread="two")
    assert not sync_world.state("two").interrupts, "the second thread was never asked"


def test_a_graph_without_a_checkpointer_is_refused_and_runs_nothing_that_needs_a_ticket(world: World) -> None:
    world.open([SEND, "done"])
    world.graph = world.agent([SEND, "done"], world.graph.nodes["tools"].bound).compile()
    with pytest.raises(GraphRefused, match=r"the graph has no checkpointer, .*; compile it with one"):
        world.run()
    with pytest.raises(
        Unidentified, match="send needs a ticket, but the graph has no checkpointer; compile it with one"
    ):
        world.invoke(GO)
    assert world.effects == []


def test_a_run_without_a_thread_runs_what_is_allowed_and_nothing_that_needs_a_ticket(world: World) -> None:
    world.open([[("look", {"x": 1})], SEND, "done"])
    world.graph = world.agent([[("look", {"x": 1})], SEND], world.graph.nodes["tools"].bound).compile()
    with pytest.raises(Unidentified, match="send needs a ticket, but the run has no thread"):
        world.invoke(GO, config={"configurable": {}})
    assert world.effects == ["look 1"]


def test_a_run_that_saves_only_at_its_end_runs_nothing_that_needs_a_ticket(world: World) -> None:
    world.open([[("look", {"x": 1})], SEND, "done"])
    with pytest.raises(Unidentified, match='send needs a ticket, but durability="exit" can lose the paused thread'):
        world.invoke(GO, durability="exit")
    assert world.effects == ["look 1"]
    with pytest.raises(GraphRefused, match='durability="exit" can lose a paused thread'):
        world.run(config={"configurable": {"__pregel_durability": "exit"}})
    assert world.tickets() == []


@pytest.mark.parametrize("durability", ["sync", "async"])
def test_the_other_durabilities_hold_a_ticket(world: World, durability: str) -> None:
    world.open([SEND, "done"])
    world.invoke(GO, durability=durability)
    world.signoff.approve(world.tickets()[0], by="ana")
    world.invoke(Command(resume=True), durability=durability)
    world.assert_ends(Expect(ONCE, ["executed"], SENT))


WARNED = {
    "retry_policy": (THREE_TIMES, "node 'tools' has a RetryPolicy: an approved call is tried once all the same"),
    "timeout": (5.0, "node 'tools' has a timeout: a call that it cuts off is in doubt"),
}


@pytest.mark.parametrize("option", WARNED)
def test_check_warns_of_what_works_otherwise_than_one_may_think(async_world: World, option: str) -> None:
    value, sentence = WARNED[option]
    graph = async_world.open([SEND], node={option: value})
    [warning] = async_world.signoff.check(graph)
    assert warning.startswith(sentence)
    with pytest.warns(UserWarning, match=option.split("_")[0].capitalize() if option == "retry_policy" else option):
        async_world.run()


def test_check_has_nothing_to_say_of_a_sound_graph_and_names_a_tool_without_a_rule(sync_world: World) -> None:
    assert sync_world.signoff.check(sync_world.open([SEND])) == []
    graph = sync_world.open([SEND], policy="version: 1\ntools: {look: allow}")
    [warning] = sync_world.signoff.check(graph)
    assert warning.startswith("send: no entry of the policy names this tool")


def test_check_looks_into_subgraphs(sync_world: World) -> None:
    world = sync_world
    world.open([SEND, "done"])
    inner = world.agent([SEND], world.graph.nodes["tools"].bound, cache_policy=CachePolicy()).compile()
    outer = world.agent([SEND], inner).compile(checkpointer=InMemorySaver())
    with pytest.raises(GraphRefused, match="CachePolicy"):
        world.signoff.check(outer)

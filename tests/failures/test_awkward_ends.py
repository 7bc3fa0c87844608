"""Whatever a tool returns or raises, whatever a probe says, whenever it is cut off: it goes on record and the thread ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langgraph.types import Command, Send

from failures.world import ONCE, SEND, Expect, Torn, World
from langgraph_signoff import Answer
from langgraph_signoff.nodes.messages import keep_error, keep_result


class Unspeakable(Exception):
    """An error that cannot even be spelled."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class Mute:
    """An object that cannot be spelled."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")


def _sending(world: World, end: Callable[[str], Any]) -> Any:
    def send(to: str, amount: float = 5.0) -> Any:
        """Sends."""
        world.send(to, amount)
        return end("call-0-0")

    return world.tool("send", send)


def _raise(error: BaseException) -> Any:
    raise error


ENDS: dict[str, tuple[Callable[[str], Any], str]] = {
    "a block with bytes": (lambda _: [{"type": "text", "text": "t", "extra": b"\xff"}], "executed"),
    "a block with a date": (
        lambda _: [{"type": "text", "text": "t", "at": datetime(2026, 1, 1, tzinfo=UTC)}],
        "executed",
    ),
    "keys of two types": (lambda _: [{"type": "text", "text": "t", "extra": {1: "a", "b": 2}}], "executed"),
    "a jump with a lock": (
        lambda id_: Command(
            update={"messages": [ToolMessage("x", tool_call_id=id_)]}, goto=Send("agent", threading.Lock())
        ),
        "executed",
    ),
    "an object without words": (lambda _: Mute(), "failed"),
    "an error without words": (lambda _: _raise(Unspeakable()), "failed"),
}


@pytest.mark.parametrize("name", ENDS)
def test_whatever_a_tool_gives_is_on_record_and_the_thread_can_go_on(world: World, name: str) -> None:
    end, standing = ENDS[name]
    world.open([SEND, "done"], tools=[_sending(world, end)])
    world.run()
    world.signoff.approve(world.signoff.pending()[0], by="ana")
    world.resume()
    for _ in range(2):
        if world.status().status != "completed":
            world.resume()
    assert [t.standing for t in world.tickets()] == [standing]
    assert world.effects == list(ONCE)
    assert world.signoff.verify().broken == []


def test_keeping_a_result_or_an_error_never_raises() -> None:
    for response in (
        Mute(),
        {"k": Mute()},
        [Mute()],
        {1: threading.Lock()},
        float("nan"),
        "\ud800",
        Command(goto=Send("a", Mute())),
    ):
        contents, kept = keep_result(response, name="send", tell=str)
        assert contents["blob"]
        keep_result(kept, name="send", tell=str)
    assert keep_error(Unspeakable()) == {"error": "<Unspeakable>", "type": "Unspeakable", "repr": "<Unspeakable>"}


@pytest.mark.parametrize("found", [True, {"yes"}, "perhaps", object()], ids=["true", "a set", "a word", "an object"])
def test_a_probe_that_answers_nonsense_leaves_it_to_a_person(world: World, found: Any) -> None:
    run = _in_doubt(world, lambda _: found)
    assert run.status == "in_doubt"
    world.signoff.settle(run.tickets[0], "happened", by="ana", result="yes")
    assert world.resume().status == "completed"
    world.assert_ends(Expect(ONCE, ["executed"], "yes"))


def test_a_person_may_be_faster_than_the_probe(world: World) -> None:
    def slow(about: Any) -> Answer:
        world.signoff.settle(about.ticket_id, "happened", by="ana", result="yes")
        return Answer.DID_NOT_HAPPEN

    assert _in_doubt(world, slow).status == "completed"
    world.assert_ends(Expect(ONCE, ["executed"], "yes"))


def _in_doubt(world: World, probe: Any) -> Any:
    world.open([SEND, "done"], tools=[_sending(world, lambda _: _raise(Torn()))], verify={"send": probe})
    world.run()
    world.signoff.approve(world.signoff.pending()[0], by="ana")
    with pytest.raises(Torn):
        world.resume()
    return world.resume()


def test_a_call_that_is_cut_off_between_its_claim_and_its_start_gives_the_claim_back(
    sync_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = sync_world
    world.open([SEND, "done"])
    world.run()
    world.signoff.approve(world.signoff.pending()[0], by="ana")
    claim = world.signoff.claims.claim

    def interrupted(*about: Any) -> Any:
        claim(*about)
        raise KeyboardInterrupt

    monkeypatch.setattr(world.signoff.claims, "claim", interrupted)
    with pytest.raises(KeyboardInterrupt):
        world.resume()
    assert [t.standing for t in world.tickets()] == ["approved"]
    monkeypatch.undo()
    assert world.resume().status == "completed"
    world.assert_ends(Expect(ONCE, ["executed"], "sent 5.0 to bob"))


def test_siblings_that_a_wrapper_leaves_free_run_once_while_the_call_it_changed_is_asked_about(
    sync_world: World,
) -> None:
    def bigger(request: Any, execute: Any) -> Any:
        call = request.tool_call
        if call["args"].get("amount") == 2:
            request = request.override(tool_call={**call, "args": {**call["args"], "amount": 99}})
        return execute(request)

    policy = "version: 1\ntools: {send: {rules: [{when: 'args.amount <= 10', then: allow}]}}"
    calls = [("send", {"to": name, "amount": amount}) for name, amount in (("a", 1), ("b", 2), ("c", 3))]
    sync_world.open([calls, "done"], policy=policy, wrap_tool_call=bigger)
    sync_world.run()
    sync_world.signoff.approve(sync_world.signoff.pending()[0], by="ana")
    assert sync_world.resume().status == "completed"
    assert sync_world.effects == ["send a 1.0", "send b 99.0", "send c 3.0"]

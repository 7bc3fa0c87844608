"""Other people's wrappers stand outside the claim: they may try again, swap, swallow or keep, and the approval is used once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langgraph.prebuilt import ToolNode
from langgraph.types import interrupt

from failures.world import GO, ONCE, SEND, SENT, Command, Expect, World
from langgraph_signoff import UngatedCall


def _open(world: World, wrap: Callable[..., Any], awrap: Callable[..., Any], **options: Any) -> None:
    """The agent with a wrapper, in the form that its mode uses."""
    wrappers = {"awrap_tool_call": awrap} if world.mode.is_async else {"wrap_tool_call": wrap}
    world.open([SEND, "done"], **{**wrappers, **options})


def _swap(request: Any, **args: Any) -> Any:
    call = request.tool_call
    return request.override(tool_call={**call, "args": {**call["args"], **args}})


# A wrapper that calls three times ------------------------------------------------------------------------------------------


def _three(request: Any, execute: Any) -> Any:
    return [execute(request) for _ in range(3)][-1]


async def _athree(request: Any, execute: Any) -> Any:
    return [await execute(request) for _ in range(3)][-1]


def test_a_wrapper_that_calls_three_times_runs_the_tool_once(world: World) -> None:
    _open(world, _three, _athree)
    world.run()
    assert world.approve_all().status == "completed"
    world.assert_ends(Expect(ONCE, ["executed"], SENT))


def test_the_same_wrapper_around_a_plain_tool_node_runs_it_three_times(sync_world: World) -> None:
    sync_world.graph = sync_world.compile(
        sync_world.agent([SEND, "done"], ToolNode(sync_world.tools(), wrap_tool_call=_three))
    )
    sync_world.invoke(GO)
    assert sync_world.effects == list(ONCE) * 3


def test_a_wrapper_that_tries_again_after_an_error_gets_the_same_error(world: World) -> None:
    seen: list[str] = []

    def retry(request: Any, execute: Any) -> Any:
        for _ in range(3):
            try:
                return execute(request)
            except Exception as error:
                seen.append(repr(error))
        return ToolMessage("gave up", tool_call_id=request.tool_call["id"])

    async def aretry(request: Any, execute: Any) -> Any:
        for _ in range(3):
            try:
                return await execute(request)
            except Exception as error:
                seen.append(repr(error))
        return ToolMessage("gave up", tool_call_id=request.tool_call["id"])

    _open(world, retry, aretry, tools=[world.failing(ValueError("boom"))])
    world.run()
    assert world.approve_all().status == "completed"
    assert seen == ["ValueError('boom')"] * 3
    world.assert_ends(Expect(ONCE, ["failed"], "gave up"))


# A wrapper that swaps ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_a_wrapper_that_swaps_arguments_makes_another_call(world: World, verdict: str) -> None:
    def wrap(request: Any, execute: Any) -> Any:
        return execute(_swap(request, to="eve"))

    async def awrap(request: Any, execute: Any) -> Any:
        return await execute(_swap(request, to="eve"))

    _open(world, wrap, awrap)
    world.run()
    assert world.approve_all().status == "pending_approval", "the swapped call needs its own decision"
    [ticket] = world.signoff.pending()
    assert ticket.args["to"] == "eve"
    getattr(world.signoff, verdict)(ticket, by="ana")
    assert world.resume().status == "completed"
    table = {
        "approve": Expect(["send eve 5.0"], ["approved", "executed"], "sent 5.0 to eve"),
        "reject": Expect([], ["approved", "rejected"], "rejected by ana"),
    }
    world.assert_ends(table[verdict])


def test_a_wrapper_that_swaps_an_allowed_call_for_a_reviewed_one_is_asked(world: World) -> None:
    def to_send(request: Any) -> Any:
        call = {**request.tool_call, "name": "send", "args": {"to": "eve"}}
        return request.override(tool_call=call, tool=world.graph.nodes["tools"].bound.tools_by_name["send"])

    def wrap(request: Any, execute: Any) -> Any:
        return execute(to_send(request))

    async def awrap(request: Any, execute: Any) -> Any:
        return await execute(to_send(request))

    _open(world, wrap, awrap)
    world.graph = world.compile(world.agent([[("look", {"x": 1})], "done"], world.graph.nodes["tools"].bound))
    assert world.run().status == "pending_approval"
    assert world.effects == []
    assert world.approve_all().status == "completed"
    world.assert_ends(Expect(["send eve 5.0"], ["executed"], "sent 5.0 to eve"))


def test_a_tool_that_a_wrapper_brings_runs_behind_the_gate_too(world: World) -> None:
    other = world.tool("wire", world.send)

    def wire(request: Any) -> Any:
        return request.override(tool_call={**request.tool_call, "name": "wire"}, tool=other)

    def wrap(request: Any, execute: Any) -> Any:
        return execute(wire(request))

    async def awrap(request: Any, execute: Any) -> Any:
        return await execute(wire(request))

    _open(world, wrap, awrap)
    world.run()
    assert world.approve_all().status == "pending_approval"
    assert world.signoff.pending()[0].tool == "wire", "a tool that no rule names is reviewed"
    assert world.effects == []
    assert world.approve_all().status == "completed"
    world.assert_ends(Expect(ONCE, ["approved", "executed"], SENT))


# A wrapper that swallows ---------------------------------------------------------------------------------------------------


def test_a_wrapper_that_swallows_every_exception_swallows_its_own_question_and_runs_nothing(world: World) -> None:
    def wrap(request: Any, execute: Any) -> Any:
        try:
            return execute(_swap(request, to="eve"))
        except Exception as error:
            return ToolMessage(f"swallowed {type(error).__name__}", tool_call_id=request.tool_call["id"])

    async def awrap(request: Any, execute: Any) -> Any:
        try:
            return await execute(_swap(request, to="eve"))
        except Exception as error:
            return ToolMessage(f"swallowed {type(error).__name__}", tool_call_id=request.tool_call["id"])

    _open(world, wrap, awrap)
    world.run()
    assert world.approve_all().status == "completed"
    world.assert_ends(Expect([], ["approved", "withdrawn"], "swallowed GraphInterrupt"))


def test_a_wrapper_that_swallows_exceptions_does_not_swallow_the_pause_of_the_call_itself(world: World) -> None:
    def wrap(request: Any, execute: Any) -> Any:
        try:
            return execute(request)
        except Exception:
            return ToolMessage("swallowed", tool_call_id=request.tool_call["id"])

    async def awrap(request: Any, execute: Any) -> Any:
        try:
            return await execute(request)
        except Exception:
            return ToolMessage("swallowed", tool_call_id=request.tool_call["id"])

    _open(world, wrap, awrap)
    assert world.run().status == "pending_approval"
    assert world.approve_all().status == "completed"
    world.assert_ends(Expect(ONCE, ["executed"], SENT))


# A wrapper that calls from elsewhere, or not at all ------------------------------------------------------------------------


@pytest.mark.parametrize("swaps", [False, True])
def test_a_wrapper_may_call_from_a_thread_of_its_own(sync_world: World, swaps: bool) -> None:
    def wrap(request: Any, execute: Any) -> Any:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(execute, _swap(request, amount=6.0) if swaps else request).result()

    sync_world.open([SEND, "done"], wrap_tool_call=wrap)
    sync_world.run()
    if swaps:
        assert sync_world.approve_all().status == "pending_approval"
    assert sync_world.approve_all().status == "completed"
    amount = 6.0 if swaps else 5.0
    standings = ["approved", "executed"] if swaps else ["executed"]
    sync_world.assert_ends(Expect([f"send bob {amount}"], standings, f"sent {amount} to bob"))


def test_a_wrapper_that_calls_from_many_threads_at_once_runs_the_tool_once(sync_world: World) -> None:
    def wrap(request: Any, execute: Any) -> Any:
        ready = threading.Barrier(8)

        def one(_: int) -> Any:
            ready.wait(10)
            return execute(request)

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(one, range(8)))
        assert {answer.text for answer in answers} == {SENT}
        return answers[0]

    sync_world.open([SEND, "done"], wrap_tool_call=wrap)
    sync_world.run()
    assert sync_world.approve_all().status == "completed"
    sync_world.assert_ends(Expect(ONCE, ["executed"], SENT))


def test_a_wrapper_that_keeps_results_uses_no_approval(world: World) -> None:
    kept: dict[str, Any] = {}

    def wrap(request: Any, execute: Any) -> Any:
        key = str(request.tool_call["args"])
        if key not in kept:
            kept[key] = execute(request)
        return kept[key]

    async def awrap(request: Any, execute: Any) -> Any:
        key = str(request.tool_call["args"])
        if key not in kept:
            kept[key] = await execute(request)
        return kept[key]

    _open(world, wrap, awrap)
    for thread in ("one", "two"):
        world.run(thread=thread)
        world.signoff.approve(world.tickets(thread)[0], by="ana")
        assert world.resume(thread=thread).status == "completed"
    assert world.effects == list(ONCE)
    assert [world.tickets(t)[0].standing for t in ("one", "two")] == ["executed", "approved"]


def test_a_wrapper_that_never_calls_leaves_the_approval_unused(world: World) -> None:
    def wrap(request: Any, execute: Any) -> Any:
        return ToolMessage("not today", tool_call_id=request.tool_call["id"])

    async def awrap(request: Any, execute: Any) -> Any:
        return wrap(request, execute)

    _open(world, wrap, awrap)
    world.run()
    assert world.approve_all().status == "completed"
    world.assert_ends(Expect([], ["approved"], "not today"))


# Outside of the node -------------------------------------------------------------------------------------------------------


def _gated_send(world: World) -> Any:
    return world.open([SEND, "done"]).nodes["tools"].bound.tools_by_name["send"]


@pytest.mark.parametrize(
    "input",
    [
        {"to": "bob"},
        {"name": "send", "args": {"to": "bob"}, "id": "call-0-0", "type": "tool_call"},
        "bob",
    ],
)
async def test_a_gated_tool_does_not_run_outside_of_its_node(world: World, input: Any) -> None:
    send = _gated_send(world)
    with pytest.raises(UngatedCall, match="send is gated and runs only inside its gated node"):
        send.invoke(input)
    with pytest.raises(UngatedCall):
        await send.ainvoke(input)
    with pytest.raises(UngatedCall):
        send.run({"to": "bob"})
    assert world.effects == []
    assert world.tickets() == []


def test_a_node_that_calls_the_gated_tool_itself_runs_nothing(sync_world: World) -> None:
    world = sync_world
    send = _gated_send(world)
    node = lambda state: {"messages": [send.invoke(state["messages"][-1].tool_calls[0])]}  # noqa: E731  # a node of one line
    world.graph = world.compile(world.agent([SEND, "done"], node))
    with pytest.raises(UngatedCall):
        world.invoke(GO)
    assert world.effects == []


def test_resuming_by_a_plain_invoke_uses_the_decision_that_is_on_record(world: World) -> None:
    world.open([SEND, "done"])
    world.signoff.approve(world.run().tickets[0], by="ana")
    world.invoke(Command(resume={"decisions": [{"type": "reject"}]}))
    world.assert_ends(Expect(ONCE, ["executed"], SENT))


# A wrapper that asks, around a tool that asks ----------------------------------------------------------------------------


def _asks(world: World) -> Any:
    def send(to: str, amount: float = 5.0) -> str:
        """Sends, when its own question is answered."""
        world.effect(f"send {to} {interrupt(f'send to {to}?')}")
        return f"sent to {to}"

    return world.tool("send", send)


def _to_the_end(world: World) -> Any:
    """Approves every ticket, answers every question with its own words."""
    run = world.run()
    for _ in range(8):
        if run.status not in ("pending_approval", "waiting"):
            break
        for ticket in run.tickets:
            world.signoff.approve(ticket, by="ana")
        run = world.resume(answers={id_: f"yes to: {asked}" for id_, asked in run.questions.items()})
    return run


def test_a_wrapper_that_asks_after_the_tool_has_asked_hears_its_own_answer(world: World) -> None:
    heard: list[str] = []

    def after(request: Any, execute: Any) -> Any:
        told = execute(request)
        heard.append(interrupt("was that right?"))
        return told

    async def aafter(request: Any, execute: Any) -> Any:
        told = await execute(request)
        heard.append(interrupt("was that right?"))
        return told

    _open(world, after, aafter, tools=[_asks(world)])
    assert _to_the_end(world).status == "completed"
    assert (world.effects, heard) == (["send bob yes to: send to bob?"], ["yes to: was that right?"])


@pytest.mark.parametrize("inbox_schema", ["langchain", "agent-inbox"])
@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_a_wrapper_that_asks_after_the_call_hears_a_plain_answer_whatever_became_of_the_call(
    world: World, verdict: str, inbox_schema: str
) -> None:
    heard: list[str] = []

    def after(request: Any, execute: Any) -> Any:
        told = execute(request)
        heard.append(interrupt("was that right?"))
        return told

    async def aafter(request: Any, execute: Any) -> Any:
        told = await execute(request)
        heard.append(interrupt("was that right?"))
        return told

    world.signoff = world.new_signoff(inbox_schema=inbox_schema)
    wrapper = {"awrap_tool_call": aafter} if world.mode.is_async else {"wrap_tool_call": after}
    world.graph = world.compile(world.agent([SEND, "done"], world.signoff.tool_node(world.tools(), **wrapper)))
    [ticket] = world.run().tickets
    getattr(world.signoff, verdict)(ticket, by="ana")
    world.invoke(Command(resume="a knock"))
    assert (heard, world.status().status) == ([], "waiting"), "the knock was taken for an answer"
    world.invoke(Command(resume="yes"))
    assert (heard, world.status().status) == (["yes"], "completed")
    assert world.effects == (list(ONCE) if verdict == "approve" else [])


def test_a_wrapper_that_makes_two_calls_of_one_gets_both_done_and_each_its_own_answer(world: World) -> None:
    def two(request: Any, execute: Any) -> Any:
        return [execute(_swap(request, to=to)) for to in ("ann", "bea")][-1]

    async def atwo(request: Any, execute: Any) -> Any:
        return [await execute(_swap(request, to=to)) for to in ("ann", "bea")][-1]

    _open(world, two, atwo, tools=[_asks(world)])
    assert _to_the_end(world).status == "completed"
    assert world.effects == ["send ann yes to: send to ann?", "send bea yes to: send to bea?"]
    assert {t.args["to"]: t.standing for t in world.tickets() if t.outcome} == {"ann": "executed", "bea": "executed"}

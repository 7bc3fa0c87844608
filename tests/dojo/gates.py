"""Ways to play a world: with no gate, behind LangGraph's bare `interrupt()`, and behind ours."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Literal
from uuid import uuid4

from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt

from langgraph_signoff import Signoff, Ticket
from langgraph_signoff.masking import MASK

from .replay import Play, World, graph, tools
from .scripts import Step

Word = Literal["approve", "reject"] | dict[str, Any]
"""What a reviewer says of a step; a dict holds the arguments to run instead."""

Reviewer = Callable[[Step], Word]


def approve_everything(step: Step) -> Word:
    return "approve"


def reject_everything(step: Step) -> Word:
    return "reject"


def put_right(step: Step) -> Word:
    """Revises a mistake back to the right arguments."""
    return "approve" if step.args == step.right else dict(step.right)


def reject_the_attacker(step: Step) -> Word:
    return "reject" if step.attacker else "approve"


def ungated(world: World) -> World:
    """Plays a world through a plain ToolNode."""
    compiled = graph(world, ToolNode(tools(world)), InMemorySaver())
    compiled.invoke({"messages": [("user", world.prompt)]}, _ALONE)
    return world


def bare_interrupt(reviewer: Reviewer, gated: Callable[[World], bool]) -> Play:
    """Plays worlds with those steps behind a bare `interrupt()` that `gated` picks."""

    def play(world: World) -> World:
        compiled = graph(world, _interrupting(world, gated), InMemorySaver())
        state = compiled.invoke({"messages": [("user", world.prompt)]}, _ALONE)
        while "__interrupt__" in state:
            world.paused()
            state = compiled.invoke(Command(resume=reviewer(world.step)), _ALONE)
        return world

    return play


def signed(signoff: Signoff, reviewer: Reviewer) -> Play:
    """Plays worlds through our gate, in one process."""

    def play(world: World) -> World:
        compiled, thread_id = graph(world, signoff.tool_node(tools(world)), InMemorySaver()), uuid4().hex
        run = signoff.run(compiled, {"messages": [("user", world.prompt)]}, thread_id=thread_id, config=MANY_STEPS)
        while run.status == "pending_approval":
            world.paused()
            for ticket in run.tickets:
                decide(signoff, ticket, world.step, reviewer)
            world.decided()
            run = signoff.resume(compiled, thread_id=thread_id, config=MANY_STEPS)
        assert run.status == "completed", run
        return world

    return play


def decide(signoff: Signoff, ticket: Ticket, step: Step, reviewer: Reviewer) -> None:
    """Puts the reviewer's word on a ticket, which must be about the step."""
    assert ticket.tool == step.tool
    assert {name: value for name, value in step.args.items() if ticket.args[name] not in (value, MASK)} == {}
    match reviewer(step):
        case "approve":
            signoff.approve(ticket, by="ana")
        case "reject":
            signoff.reject(ticket, by="ana", reason="Nobody asked for this.")
        case args:
            signoff.revise(ticket, by="ana", args=args)


def changing(world: World) -> bool:
    """Gates every tool that changes state."""
    return world.step.changes_state


def at(places: Collection[int]) -> Callable[[World], bool]:
    """Gates the steps at these places."""
    return lambda world: world.turn in places


def _interrupting(world: World, gated: Callable[[World], bool]) -> Callable[..., Any]:
    node = ToolNode(tools(world))

    def gate(state: MessagesState, config: RunnableConfig) -> Any:
        call = state["messages"][-1].tool_calls[0]
        word = interrupt(call) if gated(world) else "approve"
        if word == "reject":
            refusal = ToolMessage("Refused by a person.", tool_call_id=call["id"], status="error")
            return {"messages": [refusal]}
        if isinstance(word, dict):
            call = {**call, "args": word}
        return node.invoke({"messages": [AIMessage("", tool_calls=[call])]}, config)

    return gate


MANY_STEPS = RunnableConfig(recursion_limit=100)
_ALONE = RunnableConfig(configurable={"thread_id": "t"}, recursion_limit=100)

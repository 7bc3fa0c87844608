"""The graphs of the failure suite whose risky step is no tool: a node that is sent each call, guarded by hand or by `insert`, and a task."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from langchain_core.messages import AIMessage, ToolMessage
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Send

from langgraph_signoff import ActionRefused, Signoff
from langgraph_signoff.testing import ScriptedModel
from langgraph_signoff.vocabulary import CurrentAction, Happened

DOORS = ("node", "inserted", "task")


def answer(text: Any, call_id: str = "call-0-0") -> dict[str, Any]:
    """What a guarded node leaves in the state: the update that a person or a probe says in its place."""
    return {"messages": [{"role": "tool", "content": str(text), "tool_call_id": call_id}]}


def make_graph(door: str, lines: list[Any], send: Any, signoff: Signoff | None, probe: Any, saver: Any) -> Any:
    """The same story as with tools. `send`: a function or a coroutine function that has the effect; no `signoff`: no gate."""
    if door == "task":
        guard = signoff.guarded("send", key=_whom, verify=probe) if signoff else lambda bare: bare
        return _workflow(lines, guard(task(send)), saver, send)
    return _graph(door, lines, send, signoff, probe and _as_update(probe)).compile(checkpointer=saver)


def _whom(to: str, amount: float = 5.0) -> Any:  # the task's own signature
    return to


def _as_update(probe: Callable[[CurrentAction], Any]) -> Callable[[CurrentAction], Any]:
    def look(about: CurrentAction) -> Any:
        found = probe(about)
        return Happened(result=answer(found.result)) if isinstance(found, Happened) else found

    return look


def _graph(door: str, lines: list[Any], send: Any, signoff: Signoff | None, probe: Any) -> Any:
    model = ScriptedModel([line if isinstance(line, str) else [(n, args) for n, args in line] for line in lines])

    def agent(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    def each(state: MessagesState) -> Any:
        said = state["messages"][-1]
        return [Send("send", {"call": call, "said": said.id}) for call in said.tool_calls] or END

    def act(given: Any) -> dict[str, Any]:
        return {"messages": [ToolMessage(send(**given["call"]["args"]), tool_call_id=given["call"]["id"])]}

    async def aact(given: Any) -> dict[str, Any]:
        return {"messages": [ToolMessage(await send(**given["call"]["args"]), tool_call_id=given["call"]["id"])]}

    def refused(given: Any, ticket: Any, text: str) -> dict[str, Any]:  # the shape of `refused`
        return {"messages": [ToolMessage(text, tool_call_id=given["call"]["id"], status="error")]}

    def args(given: Any) -> Any:
        return given["call"]["args"]

    node: Any = aact if _is_async(send) else act
    if signoff and door == "node":
        key = lambda given: [given["said"], given["call"]["id"]]  # noqa: E731  # the shape of `key`
        node = signoff.gate("send", action=args, key=key, refused=refused, verify=probe)(node)
    builder = StateGraph(MessagesState).add_node("agent", agent).add_node("send", node)
    builder.add_edge(START, "agent").add_edge("send", "agent").add_conditional_edges("agent", each, ["send", END])
    if signoff and door == "inserted":
        probes = {"send": probe} if probe else {}
        return signoff.insert(builder, actions={"send": args}, refused={"send": refused}, verify=probes)
    return builder


def _workflow(lines: list[Any], send: Any, saver: Any, plain: Any) -> Any:
    if _is_async(plain):

        @entrypoint(checkpointer=saver)
        async def aflow(_: Any) -> Any:
            told = []
            for call_id, args in _calls(lines):
                try:
                    told.append(ToolMessage(str(await send(**args)), tool_call_id=call_id))
                except ActionRefused as refused:
                    told.append(ToolMessage(str(refused), tool_call_id=call_id, status="error"))
            return {"messages": [*told, AIMessage("Done.")]}

        return aflow

    @entrypoint(checkpointer=saver)
    def flow(_: Any) -> Any:
        told = []
        for call_id, args in _calls(lines):
            try:
                told.append(ToolMessage(str(send(**args).result()), tool_call_id=call_id))
            except ActionRefused as refused:
                told.append(ToolMessage(str(refused), tool_call_id=call_id, status="error"))
        return {"messages": [*told, AIMessage("Done.")]}

    return flow


def _calls(lines: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for turn, line in enumerate(lines):
        for place, (_, args) in enumerate(line):
            yield f"call-{turn}-{place}", args


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function)

"""The gated tool node: a drop-in for `langgraph.prebuilt.ToolNode`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any

from langchain_core.messages import AIMessage, ToolCall, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langchain_core.tools import tool as create_tool
from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp, GraphInterrupt
from langgraph.func import task
from langgraph.prebuilt import ToolNode
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.runtime import Runtime
from langgraph.types import Send
from pydantic import ValidationError
from pydantic.v1 import ValidationError as ValidationErrorV1

from langgraph_signoff.nodes.gated_tool import PASSAGE, GatedTool, Passage, passing
from langgraph_signoff.nodes.heart import Heart
from langgraph_signoff.nodes.internals import can_call_tasks, room
from langgraph_signoff.nodes.messages import RecordedFailure
from langgraph_signoff.nodes.schema import Refused
from langgraph_signoff.nodes.steps import adrive, drive
from langgraph_signoff.nodes.stopped import Stopped, unhandled
from langgraph_signoff.nodes.turn import (
    TAG,
    Call,
    Requester,
    Scene,
    Setting,
    index_of,
    last_answer,
    messages_of,
    proposed_in,
)


@dataclass(frozen=True, slots=True)
class _Part:
    """One call of an input, of which ToolNode should think as it thinks of the whole."""

    call: ToolCall
    kind: Any
    state: Any


class GatedToolNode(ToolNode):
    """A ToolNode whose tools run only as the policy or a person permits.

    Given a whole message, nothing of the turn runs until all its reviewed calls are decided, in one pause that shows them
    all. Given one call per task (`send_tool_calls`), each call waits for itself alone. `agent` names who acts;
    `trigger(messages)`, `resource(call)` and `confidence(call)` tell a reviewer more.
    """

    def __init__(
        self,
        tools: Sequence[BaseTool | Callable[..., Any]],
        *,
        heart: Heart,
        requester: Requester | None = None,
        agent: str = "",
        trigger: Callable[[Sequence[Any]], str] | None = None,
        resource: Callable[[ToolCall], str | None] | None = None,
        confidence: Callable[[ToolCall], float] | None = None,
        wrap_tool_call: Any = None,
        awrap_tool_call: Any = None,
        **options: Any,
    ) -> None:
        gated = [GatedTool.around(tool if isinstance(tool, BaseTool) else create_tool(tool), heart) for tool in tools]
        wrap = _gate_inside(wrap_tool_call, heart) if wrap_tool_call else None
        awrap = _agate_inside(awrap_tool_call, heart) if awrap_tool_call else None
        super().__init__(gated, wrap_tool_call=wrap, awrap_tool_call=awrap, **options)
        self._heart, self._is_wrapped = heart, bool(wrap or awrap)
        self._setting = Setting(requester, agent, trigger, resource, confidence)

    @property
    def heart(self) -> Heart:
        """What rules here."""
        return self._heart

    def _func(self, input: Any, config: RunnableConfig, runtime: Runtime[Any]) -> Any:
        with unhandled():
            passage = self._passage(input, config, runtime)
            drive(self._heart.admit(passage.calls))
            passage = passage.admitted()
            if self._may_share(passage, input, config):
                return self._inside(passage, input, config, runtime)
            with room() as context:
                futures = context.run(_started, self._bodies(input, passage, runtime))
                return self._joined(_results(futures), input)

    async def _afunc(self, input: Any, config: RunnableConfig, runtime: Runtime[Any]) -> Any:
        with unhandled():
            passage = self._passage(input, config, runtime)
            await adrive(self._heart.admit(passage.calls))
            passage = passage.admitted()
            if self._may_share(passage, input, config):
                return await self._ainside(passage, input, config, runtime)
            with room() as context:
                futures = context.run(_started, self._abodies(input, passage, runtime))
                return self._joined(await _aresults(futures), input)

    def _inside(self, passage: Passage, input: Any, config: RunnableConfig, runtime: Runtime[Any]) -> Any:
        with passing(passage):
            try:
                return super()._func(input, config, runtime)
            except RecordedFailure as failure:
                return self._told(failure, input)

    async def _ainside(self, passage: Passage, input: Any, config: RunnableConfig, runtime: Runtime[Any]) -> Any:
        with passing(passage):
            try:
                return await super()._afunc(input, config, runtime)
            except RecordedFailure as failure:
                return self._told(failure, input)

    def _may_share(self, passage: Passage, input: Any, config: RunnableConfig) -> bool:
        # What pauses runs its siblings in the same task again. A wrapper may yet make a free call one that pauses.
        if len(self._parse_input(input)[0]) < 2:
            return True
        return all(call.is_free for call in passage.calls) and not (self._is_wrapped and can_call_tasks(config))

    def _passage(self, input: Any, config: RunnableConfig, runtime: Runtime[Any]) -> Passage:
        proposed, kind = self._parse_input(input)
        messages = messages_of(self._extract_state(input, config), self._messages_key)
        message = last_answer(messages)
        if kind == "tool_calls" and proposed:
            message, _ = proposed_in(messages, proposed[0]) or (None, 0)
        scene = self._setting.scene(message, messages, config, runtime)
        calls = [
            self._call(scene, call, self._index(message, call, place, kind)) for place, call in enumerate(proposed)
        ]
        return Passage(scene, tuple(call for call in calls if call), partial(index_of, message), self._is_wrapped)

    def _index(self, message: AIMessage | None, call: ToolCall, place: int, kind: str) -> int:
        return index_of(message, call) if kind == "tool_calls" else place

    def _call(self, scene: Scene, proposed: ToolCall, index: int) -> Call | None:
        tool = self.tools_by_name.get(proposed["name"])
        if not isinstance(tool, GatedTool):
            return None  # ToolNode answers for a tool that nobody registered
        about = (proposed, index, tool.name, tool.schema_of_call)
        try:
            return scene.call(*about)
        except (ValidationError, ValidationErrorV1, Refused):
            return scene.refused(*about)
        except Exception:
            return None  # the gated tool meets the same error again, where ToolNode makes its own message of it

    def _bodies(self, input: Any, passage: Passage, runtime: Runtime[Any]) -> list[tuple[str, Callable[[], Any]]]:
        bodies: list[tuple[str, Callable[[], Any]]] = []
        for name, one, alone in self._apart(input, passage):

            def body(one: Any = one, alone: Passage = alone) -> Any:
                return self._inside(alone, one, get_config(), runtime)

            bodies.append((name, body))
        return bodies

    def _abodies(
        self, input: Any, passage: Passage, runtime: Runtime[Any]
    ) -> list[tuple[str, Callable[[], Awaitable[Any]]]]:
        bodies: list[tuple[str, Callable[[], Awaitable[Any]]]] = []
        for name, one, alone in self._apart(input, passage):

            async def body(one: Any = one, alone: Passage = alone) -> Any:
                return await self._ainside(alone, one, get_config(), runtime)

            bodies.append((name, body))
        return bodies

    def _told(self, failure: RecordedFailure, input: Any) -> Any:
        # The first time the error went through; raised again on every pass, it would keep the thread from ever finishing.
        [call], kind = self._parse_input(input)
        answer = ToolMessage(failure.told(call["name"]), name=call["name"], tool_call_id=call["id"], status="error")
        return self._combine_tool_outputs([answer], kind)

    def _apart(self, input: Any, passage: Passage) -> list[tuple[str, _Part, Passage]]:
        # One task for each call: it counts its own pauses, and LangGraph keeps what a finished one returned.
        proposed, kind = self._parse_input(input)
        state = self._extract_state(input, get_config())
        parts = []
        for place, call in enumerate(proposed):
            own = tuple(c for c in passage.calls if _is(c, call, self._index(passage.scene.message, call, place, kind)))
            index = partial(self._index, passage.scene.message, place=place, kind=kind)
            alone = Passage(passage.scene, own, index, self._is_wrapped)
            parts.append((f"{call['name']}:{place}", _Part(call, kind, state), alone))
        return parts

    def _parse_input(self, input: Any) -> Any:
        return ([input.call], input.kind) if isinstance(input, _Part) else super()._parse_input(input)

    def _extract_state(self, input: Any, config: RunnableConfig) -> Any:
        return input.state if isinstance(input, _Part) else super()._extract_state(input, config)

    def _joined(self, outputs: list[Any], input: Any) -> Any:
        _, kind = self._parse_input(input)
        flat = [item for output in outputs for item in _items(output, self._messages_key)]
        return self._combine_tool_outputs(flat, kind)


def _started(bodies: Sequence[tuple[str, Callable[[], Any]]]) -> list[Any]:
    futures = []
    for name, body in bodies:
        as_task: Any = task(name=name)
        futures.append(as_task(body)())
    return futures


def _results(futures: Sequence[Any]) -> list[Any]:
    results, errors = [], list[Exception]()
    for future in futures:
        try:
            results.append(future.result())
        except Exception as error:
            errors.append(error)
    _raise(errors)
    return results


async def _aresults(futures: Sequence[Any]) -> list[Any]:
    results, errors = [], list[Exception]()
    for future in futures:
        try:
            results.append(await future)
        except Exception as error:
            errors.append(error)
    _raise(errors)
    return results


def _raise(errors: Sequence[Exception]) -> None:
    for error in errors:
        if isinstance(error, Stopped) or not isinstance(error, GraphBubbleUp):
            raise error
    # The node shows what any of its calls waits for: LangGraph shows nothing of a called task.
    pauses = [pause for error in errors if isinstance(error, GraphInterrupt) for pause in error.args[0]]
    if pauses:
        raise GraphInterrupt(tuple(pauses))
    if errors:
        raise errors[0]


def _items(output: Any, key: str) -> list[Any]:
    if isinstance(output, dict):
        return list(output[key])
    if isinstance(output, list):
        return [item for part in output for item in _items(part, key)]
    return [output]


def _is(call: Call, proposed: ToolCall, index: int) -> bool:
    return call.proposed.proposal.endswith(f", {index}]") and call.proposed.call_id == (proposed["id"] or "")


def _gate_inside(wrap: Any, heart: Heart) -> Any:
    def wrapped(request: ToolCallRequest, execute: Any) -> Any:
        context = copy_context()

        def go(inner: ToolCallRequest) -> Any:
            # A wrapper may call from a thread of its own, which knows nothing of this turn.
            gated = _gated(inner, heart)
            return execute(gated) if PASSAGE.get() else context.copy().run(execute, gated)

        return wrap(request, go)

    return wrapped


def _agate_inside(wrap: Any, heart: Heart) -> Any:
    async def wrapped(request: ToolCallRequest, execute: Any) -> Any:
        return await wrap(request, lambda inner: execute(_gated(inner, heart)))

    return wrapped


def _gated(request: ToolCallRequest, heart: Heart) -> ToolCallRequest:
    # A wrapper may bring a tool of its own; it runs behind the gate like the others.
    if request.tool is None or isinstance(request.tool, GatedTool):
        return request
    return request.override(tool=GatedTool.around(request.tool, heart))


def send_tool_calls(
    state: Any, *, node: str = "tools", messages_key: str = "messages", end: str = "__end__"
) -> list[Send] | str:
    """A conditional edge that gives each proposed call a task of its own, so that allowed ones need not wait for others."""
    messages = messages_of(state, messages_key)
    message = messages[-1] if messages else None
    if not isinstance(message, AIMessage) or not message.tool_calls:
        return end
    return [
        Send(node, [{**call, "type": "tool_call", TAG: {"message_id": message.id, "index": index}}])
        for index, call in enumerate(message.tool_calls)
    ]

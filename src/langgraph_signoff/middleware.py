"""The gate for agents of LangChain's `create_agent`: a middleware that stands anywhere among others (extra `langchain`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.runtime import get_runtime

from langgraph_signoff.nodes.closures import Gating
from langgraph_signoff.nodes.gated_tool import PASSAGE, GatedTool, Passage, Stopped
from langgraph_signoff.nodes.heart import Heart
from langgraph_signoff.nodes.messages import RecordedFailure
from langgraph_signoff.nodes.turn import Setting, index_of, messages_of, proposing_message
from langgraph_signoff.policy import Policy
from langgraph_signoff.signoff import Signoff
from langgraph_signoff.vocabulary import Probe

Answer = Any
"""What a tool call gives an agent: a ToolMessage or a Command."""

_MOST_TOOLS = 1000  # how many gated tools are kept ready; an agent that makes new ones for ever forgets the oldest


class SignoffMiddleware(AgentMiddleware[Any, Any, Any], Gating):
    """Rules on each tool call of an agent, pauses before risky ones, and runs what was approved at most once.

    It may stand before or after any other middleware: the claim is put around the tool itself, and a tool that an inner
    middleware brings by `request.override(tool=...)` runs behind it like the agent's own. Put it last where an inner one
    makes a request of its own. The options are those of `Signoff.tool_node`.
    """

    def __init__(
        self,
        signoff: Signoff,
        *,
        verify: Mapping[str, Probe] | None = None,
        agent: str = "",
        trigger: Callable[[Sequence[Any]], str] | None = None,
        resource: Callable[[ToolCall], str | None] | None = None,
        confidence: Callable[[ToolCall], float] | None = None,
    ) -> None:
        super().__init__()
        self._heart = signoff.heart(verify or {})
        self._gates = _Gates(self._heart)
        self._setting = Setting(signoff.requester, agent, trigger, resource, confidence)

    @property
    def policy(self) -> Policy:
        """The policy that rules here."""
        return self._heart.policy

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Answer]) -> Answer:
        """Lets a call through, asks, or answers from the record."""
        token = PASSAGE.set(self._passage(request))
        try:
            return handler(self._gates.request(request))
        except RecordedFailure as failure:
            return _told(failure, request.tool_call)
        except Stopped as stopped:
            raise _typed(stopped) from stopped.__cause__
        finally:
            PASSAGE.reset(token)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Answer]]
    ) -> Answer:
        """The same for async."""
        token = PASSAGE.set(self._passage(request))
        try:
            return await handler(self._gates.request(request))
        except RecordedFailure as failure:
            return _told(failure, request.tool_call)
        except Stopped as stopped:
            raise _typed(stopped) from stopped.__cause__
        finally:
            PASSAGE.reset(token)

    def _passage(self, request: ToolCallRequest) -> Passage:
        messages = messages_of(request.state, "messages")
        message = proposing_message(messages, request.tool_call) or _with_call(messages, request.tool_call["id"])
        scene = self._setting.scene(message, messages, request.runtime.config, get_runtime())
        return Passage(scene, (), partial(index_of, message))


class _Gates:
    """The gated tools of an agent, each made once."""

    def __init__(self, heart: Heart) -> None:
        self._heart = heart
        self._made: dict[int, GatedTool] = {}

    def tool(self, tool: BaseTool) -> GatedTool:
        """The gate around a tool."""
        made = self._made.get(id(tool))
        if made is None or not made.guards(tool):
            if len(self._made) >= _MOST_TOOLS:
                self._made.pop(next(iter(self._made)), None)
            made = self._made[id(tool)] = GatedTool.around(tool, self._heart)
        return made

    def request(self, request: ToolCallRequest) -> ToolCallRequest:
        """The request with its tool behind a gate, whatever an inner middleware makes of it."""
        given = {field.name: getattr(request, field.name) for field in fields(ToolCallRequest)}
        return _GatedRequest(**given, gates=self)


@dataclass
class _GatedRequest(ToolCallRequest):
    gates: _Gates

    def __post_init__(self) -> None:
        object.__setattr__(self, "tool", self.tool and self.gates.tool(self.tool))

    def __setattr__(self, name: str, value: Any) -> None:
        is_late = name == "tool" and value is not None and "gates" in vars(self)
        super().__setattr__(name, self.gates.tool(value) if is_late else value)


def _with_call(messages: Sequence[BaseMessage], call_id: str | None) -> AIMessage | None:
    # An outer middleware may have made another call of it, under another name.
    for message in reversed(messages):
        if isinstance(message, AIMessage) and any(call["id"] == call_id for call in message.tool_calls):
            return message
    return None


def _told(failure: RecordedFailure, call: ToolCall) -> ToolMessage:
    # The first time the error went through; raised again on every pass, it would keep the thread from ever finishing.
    return ToolMessage(failure.told(call["name"]), name=call["name"], tool_call_id=call["id"], status="error")


def _typed(stopped: Stopped) -> Stopped:
    """The same, which a caller can also catch as the error that it carries: no node of ours takes it out again."""
    error = stopped.error
    if isinstance(error, Stopped):
        return error
    kind = type(error)
    typed: Stopped = type(kind.__name__, (Stopped, kind), {"__init__": Stopped.__init__})(error)
    vars(typed).update(vars(error))
    return typed

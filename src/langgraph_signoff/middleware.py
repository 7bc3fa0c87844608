"""The gate for agents of LangChain's `create_agent` and of deepagents: a middleware that stands anywhere among others.

It comes with the extra `langchain`.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.config import get_config
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.runtime import get_runtime

from langgraph_signoff.errors import GraphRefused
from langgraph_signoff.nodes.closures import Gating, sub_agents
from langgraph_signoff.nodes.gated_tool import GatedTool, Passage, passing
from langgraph_signoff.nodes.heart import Heart
from langgraph_signoff.nodes.messages import RecordedFailure
from langgraph_signoff.nodes.reach import reached
from langgraph_signoff.nodes.stopped import Stopped, unhandled
from langgraph_signoff.nodes.turn import Setting, messages_of, proposed_in
from langgraph_signoff.signoff import Signoff
from langgraph_signoff.vocabulary import Probe, Undoing

Answer = Any
"""What a tool call gives an agent: a ToolMessage or a Command."""

_MOST_TOOLS = 1000  # how many gated tools are kept ready; an agent that makes new ones for ever forgets the oldest


class SignoffMiddleware(AgentMiddleware[Any, Any, Any], Gating):
    """Rules on each tool call of an agent, pauses before risky ones, and runs what was approved at most once.

    It may stand before or after any other middleware: the claim is put around the tool itself, and a tool that an inner
    middleware brings by `request.override(tool=...)` runs behind it like the agent's own. Put it last where an inner one
    makes a request of its own. The options are those of `Signoff.tool_node`; `trusted` names sub-agents of a deep agent
    that the author vouches for.
    """

    def __init__(
        self,
        signoff: Signoff,
        *,
        verify: Mapping[str, Probe] | None = None,
        undo: Mapping[str, Undoing] | None = None,
        agent: str = "",
        trigger: Callable[[Sequence[Any]], str] | None = None,
        resource: Callable[[ToolCall], str | None] | None = None,
        confidence: Callable[[ToolCall], float] | None = None,
        trusted: Collection[str] = (),
    ) -> None:
        super().__init__()
        self._heart, self._trusted = signoff.heart(verify, undo), trusted
        self._gates = _Gates(self._heart, trusted)
        self._setting = Setting(signoff.requester, agent, trigger, resource, confidence)
        insert: Callable[..., Any] = signoff.insert
        options = {"agent": agent, "trigger": trigger, "resource": resource, "confidence": confidence}
        self._insert = partial(insert, verify=verify, undo=undo, **options)

    @property
    def heart(self) -> Heart:
        """What rules here."""
        return self._heart

    def subagents(self, specs: Sequence[Mapping[str, Any]] = ()) -> list[Any]:
        """The sub-agents of a deep agent, gated as this one is: give `create_deep_agent(subagents=...)` what it returns.

        Without one that is named `general-purpose`, deepagents' own is added: it would not be gated otherwise. Raises
        GraphRefused as `subagent` does.
        """
        from deepagents.middleware.subagents import GENERAL_PURPOSE_SUBAGENT as GENERAL

        own = [] if any(spec["name"] == GENERAL["name"] for spec in specs) else [GENERAL]
        return [self.subagent(spec) for spec in [*own, *specs]]

    def subagent(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """One sub-agent, gated; of a compiled one a gated copy, see `Signoff.insert`.

        Raises GraphRefused for one that cannot be gated, and for a remote one, unless it is `trusted`.
        """
        if spec["name"] in self._trusted:
            return {**spec}
        if "graph_id" in spec:
            raise GraphRefused(
                f"the tools of {spec['name']!r} run on another server, out of reach of this gate; gate them there, and "
                "name it in trusted="
            )
        if "runnable" in spec:
            graph = spec["runnable"]
            found = next(reached(graph, is_named=partial(self.heart.policy.names, kind="node")), None)
            return {**spec, "runnable": self._insert(graph) if found else graph}
        others = [one for one in spec.get("middleware", []) if one.name != self.name]
        return {**spec, "middleware": [*others, self]}

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Answer]) -> Answer:
        """Lets a call through, asks, or answers from the record."""
        with unhandled(), passing(self._passage(request)):
            try:
                return handler(self._gates.request(request))
            except RecordedFailure as failure:
                return _told(failure, request.tool_call)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Answer]]
    ) -> Answer:
        """The same for async."""
        with unhandled(), passing(self._passage(request)):
            try:
                return await handler(self._gates.request(request))
            except RecordedFailure as failure:
                return _told(failure, request.tool_call)

    def _passage(self, request: ToolCallRequest) -> Passage:
        messages = messages_of(request.state, "messages")
        proposed = proposed_in(messages, request.tool_call)
        message, index = proposed or (_with_call(messages, request.tool_call["id"]), 0)
        get_config()  # raises in a thread without LangGraph's context: what would be approved there could never run
        # Only who asks it pays for looking it up; of the server's user the tool's own knows too.
        runtime: Any = get_runtime() if self._setting.requester else request.runtime
        scene = self._setting.scene(message, messages, request.runtime.config, runtime)
        return Passage(scene, (), lambda _: index, is_shared=True)  # any of the other middlewares may ask


for _hook in (SignoffMiddleware.wrap_tool_call, SignoffMiddleware.awrap_tool_call):
    # LangChain asks for it at each call, and making it anew takes longer than the whole ruling.
    vars(_hook)["__signature__"] = inspect.signature(_hook)

_NOTHING = (None, None)


class _Gates:
    """The gated tools of an agent, each made once."""

    def __init__(self, heart: Heart, trusted: Collection[str]) -> None:
        self._heart, self._trusted = heart, trusted
        self._made: dict[int, tuple[BaseTool, GatedTool]] = {}

    def tool(self, tool: BaseTool) -> GatedTool:
        """The gate around a tool."""
        known, made = self._made.get(id(tool), _NOTHING)
        # Of one that is gone another may have the id.
        if made is None or known is not tool:
            self._check(tool)
            if len(self._made) >= _MOST_TOOLS:
                self._made.pop(next(iter(self._made)), None)
            made = GatedTool.around(tool, self._heart)
            self._made[id(tool)] = tool, made
        return made

    def request(self, request: ToolCallRequest) -> ToolCallRequest:
        """The request with its tool behind a gate, whatever an inner middleware makes of it."""
        gated = object.__new__(_GatedRequest)  # the request is whole already, and each call pays for checking it again
        vars(gated).update(vars(request), gates=self, tool=request.tool and self.tool(request.tool))
        return gated

    def _check(self, tool: BaseTool) -> None:
        try:
            self._refuse_ungated_subagents(tool)
        except GraphRefused as error:
            raise Stopped(error) from error

    def _refuse_ungated_subagents(self, tool: BaseTool) -> None:
        is_named = partial(self._heart.policy.names, kind="node")
        for name, graph in sub_agents(tool).items():
            if name not in self._trusted and (found := next(reached(graph, is_named=is_named), None)):
                raise GraphRefused(
                    f"the sub-agent {name!r} reaches {found}, which would run ungated; give create_deep_agent the "
                    "subagents= that SignoffMiddleware.subagents([...]) returns, or name it in trusted="
                )


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

"""What the model proposed in one turn, named so that every pass and every replay finds the same tickets."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall
from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from langgraph_signoff.errors import Unidentified
from langgraph_signoff.law import STRICTNESS, Halts
from langgraph_signoff.nodes.internals import ends_unsaved, has_checkpointer
from langgraph_signoff.nodes.schema import ToolSchema
from langgraph_signoff.vocabulary import Action, Json, Kind, Ruling

TAG = "signoff"
"""The key under which `send_tool_calls` notes where a single call was proposed: `{"message_id":…,"index":…}`."""


Requester = Callable[[Runtime[Any]], str | None]
"""Whom the agent acts for, from a trusted source: the run's context, or the server's authenticated user."""


_FRESH = 0.05  # seconds for which a look at the halts is good enough to start what needs no claim


@dataclass(slots=True)
class Call:
    """One proposed call on its way through the gate. `id` is the ticket id it has, or would have.

    `proposed`: what names it and what it would run with; `action` tells the rest.
    `is_refused`: the tool's schema does not take its arguments; only a ticket opened under an earlier schema knows it.
    `adjust`: what else has a say in its ruling, after the policy. `doubted`: whether an advisor wants a person's word on it.
    `looked_at`: when somebody last saw that no halt holds it back, by the monotonic clock.
    """

    proposed: Proposal | Action
    id: str
    siblings: tuple[str, ...] = ()
    ruling: Ruling | None = None
    known: bool = False
    trouble: str = ""
    is_refused: bool = False
    notes: tuple[str, ...] = ()
    adjust: Callable[[Ruling], Ruling] | None = None
    doubted: bool = False
    looked_at: float = -math.inf
    halts: Halts | None = None

    @property
    def action(self) -> Action:
        """All that is known of it, put together for who first wants to know: of a call that simply runs, nobody does."""
        if isinstance(self.proposed, Proposal):
            self.proposed = self.proposed.action()
        return self.proposed

    def hold_back(self, ruling: Ruling) -> Ruling:
        """The ruling, made stricter since the policy spoke, or what else has a say in it where that is stricter still."""
        adjusted = self.adjust(ruling) if self.adjust else ruling
        return max(ruling, adjusted, key=lambda each: STRICTNESS[each.mode])

    @property
    def is_question(self) -> bool:
        """Whether a person is asked something, and nothing of it runs."""
        return self.proposed.kind == "question"

    @property
    def is_free(self) -> bool:
        """Whether the policy lets it run with nothing written, and nothing was."""
        return not self.known and self.ruling is not None and not self.ruling.needs_record

    @property
    def has_fresh_look(self) -> bool:
        """Whether somebody has looked at the halts so lately that it may start on that."""
        return time.monotonic() - self.looked_at <= _FRESH

    @property
    def is_seen_unhalted(self) -> bool:
        """Whether somebody has just seen that nothing at all is halted."""
        return self.halts is not None and not self.halts.active and self.has_fresh_look

    @property
    def starts_unclaimed(self) -> bool:
        """Whether nothing but a look at the halts stands before its start."""
        return self.is_free or (self.ruling is not None and self.ruling.only_records)


class Scene(NamedTuple):
    """Where a turn takes place: what every call of it shares. `trigger`: what its author's function says of it, if there is one."""

    thread_id: str
    message: AIMessage | None
    messages: Sequence[Any]
    trigger: str | None
    config: RunnableConfig
    agent: str
    requester: str | None
    trouble: str
    resource: Callable[[ToolCall], str | None] | None = None
    confidence: Callable[[ToolCall], float] | None = None

    def call(self, proposed: ToolCall, index: int, tool: str, schema: ToolSchema) -> Call:
        """The call at `index` of the message. Raises what the tool's schema raises if it refuses the arguments."""
        args = schema.proposed(proposed["args"])
        return self._call(proposed, index, tool, schema, args, schema.parse(args))

    def refused(self, proposed: ToolCall, index: int, tool: str, schema: ToolSchema) -> Call:
        """The call at `index` of the message whose arguments the tool's schema refuses."""
        call = self._call(proposed, index, tool, schema, schema.proposed(proposed["args"]), {})
        call.is_refused = True
        return call

    def _call(
        self,
        proposed: ToolCall,
        index: int,
        tool: str,
        schema: ToolSchema,
        args: dict[str, Json],
        parsed: dict[str, Json],
    ) -> Call:
        hash_ = schema.digest(tool, args)
        message_id = (self.message.id if self.message else None) or ""
        call_id = proposed["id"] or ""
        key = _array([message_id, call_id, index])
        resource = self.resource(proposed) if self.resource else None
        confidence = self.confidence(proposed) if self.confidence else 0.0
        proposal = Proposal(
            self, schema, tool, schema.kind, args, parsed, hash_, key, message_id, call_id, resource, confidence
        )
        siblings = tuple([c["name"] for c in self.message.tool_calls[:index]]) if self.message else ()
        trouble = self.trouble or ("" if message_id else _NO_MESSAGE_ID if self.message else _NO_MESSAGE)
        return Call(proposal, ticket_id(self.thread_id, key, hash_), siblings, trouble=trouble)


class Proposal(NamedTuple):
    """A tool call as a message proposes it, before anybody asks where and for whom. Its words are those of an Action."""

    scene: Scene
    schema: ToolSchema
    tool: str
    kind: Kind
    args: dict[str, Json]
    parsed: dict[str, Json]
    digest: str
    proposal: str
    message_id: str
    call_id: str
    resource: str | None
    confidence: float

    def action(self) -> Action:
        """All that is known of the call."""
        turn, trigger = last_human(self.scene.messages)
        form = self.schema.form
        return Action(
            thread_id=self.scene.thread_id,
            kind=self.kind,
            proposal=self.proposal,
            tool=self.tool,
            args=self.args,
            parsed=self.parsed,
            digest=self.digest,
            message_id=self.message_id,
            call_id=self.call_id,
            turn=turn,
            graph=graph_of(self.scene.config),
            agent=self.scene.agent or agent_of(self.scene.config),
            requester=self.scene.requester,
            resource=self.resource,
            trigger=trigger if self.scene.trigger is None else self.scene.trigger,
            confidence=self.confidence,
            args_schema=self.schema.json_schema,
            answer_schema=form.schema if form else {},
            editable=form is None,
        )


@dataclass(frozen=True, slots=True)
class Setting:
    """What the author of a gate tells of the calls behind it: who acts, for whom, and what a reviewer should know."""

    requester: Requester | None = None
    agent: str = ""
    trigger: Callable[[Sequence[Any]], str] | None = None
    resource: Callable[[ToolCall], str | None] | None = None
    confidence: Callable[[ToolCall], float] | None = None

    def scene(
        self, message: AIMessage | None, messages: Sequence[Any], config: RunnableConfig, runtime: Runtime[Any]
    ) -> Scene:
        """The scene of a turn that this message proposes."""
        thread_id, trouble = where_from(config)
        return Scene(
            thread_id=thread_id,
            message=message,
            messages=messages,
            trigger=self.trigger(messages) if self.trigger else None,
            config=config,
            agent=self.agent or (message.name if message and message.name else ""),
            requester=requester_of(config, runtime, self.requester),
            trouble=trouble,
            resource=self.resource,
            confidence=self.confidence,
        )


_array: Callable[[list[Json]], str] = json.JSONEncoder().encode  # as `json.dumps` gives it, which every call pays for

_NO_MESSAGE = "no message of the thread proposes it; leave a call its id"
_NO_MESSAGE_ID = "the message that proposes it has no id; keep messages in a channel with add_messages, which gives ids"


def ticket_id(thread_id: str, proposal: str, hash_: str) -> str:
    """128 bits in hex over what names a call: thread, proposal, digest."""
    return hashlib.sha256(_array([thread_id, proposal, hash_]).encode()).hexdigest()[:32]


def identified(call: Call) -> Call:
    """The call itself. Raises Unidentified if no ticket could be found again for it."""
    if call.trouble:
        raise Unidentified(f"{call.action.tool} needs a ticket, but {call.trouble}")
    return call


def where_from(config: RunnableConfig) -> tuple[str, str]:
    """The thread of a run, and what keeps it from holding a ticket; the second is empty when nothing does."""
    configurable = config.get("configurable", {})
    thread_id = str(configurable.get("thread_id") or "")
    if not thread_id:
        return "", 'the run has no thread; invoke the graph with {"configurable": {"thread_id": ...}}'
    if not has_checkpointer(configurable):
        return thread_id, "the graph has no checkpointer; compile it with one"
    if ends_unsaved(configurable):
        return thread_id, 'durability="exit" can lose the paused thread; use "async" or "sync"'
    return thread_id, ""


def graph_of(config: RunnableConfig) -> str:
    """The name under which the run's graph is known, empty if it has none."""
    return str(config.get("metadata", {}).get("graph_id") or "")


def agent_of(config: RunnableConfig) -> str:
    """The name that LangChain gives the agent whose run this is, a sub-agent's before its caller's; empty if it has none."""
    return str(config.get("metadata", {}).get("lc_agent_name") or "")


ON_BEHALF, PERMISSIONS = "signoff:on-behalf-of:", "langgraph_auth_permissions"
"""Begins the permission that the server's guard gives a run which only goes on with what somebody else has begun.

LangGraph Server keeps the permissions of a run in a part of its config that no client can write.
"""


def requester_of(config: RunnableConfig, runtime: Runtime[Any], ask: Requester | None) -> str | None:
    """Whom the agent acts for: what the server's guard says of a run that was woken, what `ask` says, else the server's user."""
    permissions = config.get("configurable", {}).get(PERMISSIONS) or ()
    for permission in permissions:
        if permission.startswith(ON_BEHALF):
            return permission.removeprefix(ON_BEHALF) or None
    if ask:
        return ask(runtime)
    server = getattr(runtime, "server_info", None)
    return str(server.user.identity) if server and server.user else None


def messages_of(state: Any, key: str) -> list[BaseMessage]:
    """The messages of a graph state: a list, or a dict or object that holds one."""
    if isinstance(state, list):
        return [m for m in state if isinstance(m, BaseMessage)]
    found = state.get(key, []) if isinstance(state, dict) else getattr(state, key, [])
    return list(found)


def last_answer(messages: Sequence[BaseMessage]) -> AIMessage | None:
    """The last AI message."""
    return next((message for message in reversed(messages) if isinstance(message, AIMessage)), None)


def proposed_in(messages: Sequence[BaseMessage], call: ToolCall) -> tuple[AIMessage, int] | None:
    """The last AI message that proposes this very call, and where the call stands in it."""
    for message in reversed(messages):
        if isinstance(message, AIMessage) and (index := _index(message, call)) is not None:
            return message, index
    return None


def index_of(message: AIMessage | None, call: ToolCall) -> int:
    """Where a single call stands in its message, 0 if it is not there."""
    tag: dict[str, Json] = call.get(TAG) or {}  # type: ignore[assignment]  # a key of ours beside ToolCall's own
    if tag and message is not None and tag.get("message_id") == message.id:
        return int(tag["index"])
    return (_index(message, call) if message else None) or 0


def _index(message: AIMessage, call: ToolCall) -> int | None:
    same = None
    for index, proposed in enumerate(message.tool_calls):
        if proposed["id"] == call["id"] and proposed["name"] == call["name"]:
            if proposed["args"] == call["args"]:
                return index
            same = index if same is None else same
    return same


def last_human(messages: Sequence[BaseMessage]) -> tuple[str, str]:
    """The id and the text of the last human message, both empty if there is none."""
    for place in range(len(messages) - 1, -1, -1):
        message = messages[place]
        if isinstance(message, HumanMessage):
            return message.id or f"#{place}", message.text
    return "", ""

"""What is proposed, and what a call can know of itself while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field

from langgraph_signoff.vocabulary.base import Json, Word
from langgraph_signoff.vocabulary.decisions import Answer

Kind = Literal["tool", "node", "undo", "outcome", "question", "audit", "plan"]
"""What a ticket is about: the call of a tool, the run of a node or task, the undoing of one of them, all that a run has done, a
question to a person, a look at one action that has run, or a plan of several calls."""


class Action(Word):
    """A proposed call of one tool, or run of one node, bound to the place in a thread where it was proposed."""

    thread_id: str
    kind: Kind = "tool"
    proposal: str = Field(
        description="Names the proposal within the thread: message id, call id and index, or a node's key."
    )
    tool: str
    args: dict[str, Json] = Field(description="The arguments as proposed, injected ones left out.")
    parsed: dict[str, Json] = Field(
        description="The arguments as the tool's schema parsed them, as JSON: what is ruled and shown."
    )
    digest: str = Field(description="SHA-256 over the canonical JSON of tool and proposed arguments, in hex.")
    message_id: str = ""
    call_id: str = ""
    turn: str = Field(default="", description="Id of the human message that this turn answers.")
    graph: str = ""
    agent: str = ""
    requester: str | None = None
    resource: str | None = None
    trigger: str = ""
    confidence: float = 0.0
    args_schema: dict[str, Json] = Field(default_factory=dict, description="JSON Schema of the arguments.")
    answer_schema: dict[str, Json] = Field(
        default_factory=dict, description="Of a question: JSON Schema of its answer."
    )
    visit: str = Field(
        default="", description="Which visit of a node this is, in LangGraph's terms: step, path and place."
    )
    editable: bool = Field(default=True, description="Whether it would run with arguments that a reviewer changed.")
    hidden: list[Json] = Field(
        default_factory=list,
        description="Values that are masked wherever they are quoted, beside those that the policy hides.",
    )
    reports: tuple[str, ...] = Field(
        default=(), description="Of an outcome: the tickets that it reports. They and its visit outlast an erasure."
    )


class Counts(Word):
    """How often a thread has proposed, run and been refused each tool; the policy's `history`."""

    proposed: dict[str, int] = Field(default_factory=dict)
    ran: dict[str, int] = Field(default_factory=dict)
    refused: dict[str, int] = Field(default_factory=dict)


class CurrentAction(Word):
    """What a gated tool can know of the call it is running. `key` stays the same across retries of one approval."""

    ticket_id: str
    key: str
    tool: str
    args: dict[str, Json]
    thread_id: str
    attempt: int = 1
    approved_by: tuple[str, ...] = ()


class Happened(Word):
    """What a tool's `verify` probe returns when it finds that the call happened: with the result, if it can tell."""

    result: Json = None


Probe = Callable[[CurrentAction], Happened | Answer | None]
"""Asked whether a call whose runner died has happened: `Happened(result)`, `Answer.DID_NOT_HAPPEN`, or None for unknown."""

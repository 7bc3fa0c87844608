"""The words of this package: frozen models, plain JSON in and out.

Times are timezone-aware UTC datetimes. Durations are written `90s`, `15m`, `2h` or `3d`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from langgraph_signoff.durations import Duration

Json = Any
"""A value that JSON can hold: null, bool, number, string, list, or object with string keys."""

InboxSchema = Literal["langchain", "agent-inbox"]
"""The form in which a pause shows its tickets: LangChain's `HITLRequest`, or the `HumanInterrupt` list of Agent Inbox."""


class Word(BaseModel):
    """Base of the words: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Risk(Word):
    """What an error would cost, as the policy states it for a tool; None and empty mean unstated."""

    reversible: bool | None = None
    blast_radius: Literal["one", "some", "all"] | None = None
    compliance: tuple[str, ...] = ()
    stakes: Literal["low", "medium", "high"] | None = None


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


class Requirements(Word):
    """What a decision needs. Each clause of `reviewers` names people and `group:` names; a person must be in every clause."""

    queue: str = "default"
    reviewers: tuple[tuple[str, ...], ...] = ()
    approvals: int = 1
    rejections: int = 1
    not_requester: bool = True
    window: Duration = timedelta(hours=24)
    use_within: Duration = timedelta(hours=24)
    on_timeout: Literal["deny"] = "deny"
    reason: Literal["required", "optional"] = "optional"
    max_revisions: int = 3
    reask: int = 0
    priority: int = 0


class OnFlag(Word):
    """What a flag sets off besides the entry that says so: the undo that the tool declares, or the call of another tool."""

    undo: bool = False
    tool: str = Field(default="", max_length=200, description="The tool to call; it is gated like any other.")
    args: dict[str, Json] = Field(
        default_factory=dict, description="What to call it with; may quote the action and the flag."
    )


class Audit(Word):
    """How an action that runs at once is chosen to be looked at afterwards, and what a flag sets off."""

    sample: float = Field(default=1.0, description="The share that is chosen, 0 to 1, of actions with these stakes.")
    new_until: int = Field(default=20, description="How many actions of a tool are all chosen before it is sampled.")
    on_flag: OnFlag = OnFlag()


class Planned(Word):
    """The step of an approved plan that a call is a use of, counted from 1; `plan` is the plan's ticket id."""

    plan: str
    step: int
    approved_by: tuple[str, ...] = ()


class Ruling(Word):
    """What the policy says of an action, by which rule of which policy version."""

    mode: Literal["allow", "review", "deny"]
    reason_code: str
    rule: str = Field(description="Where the rule stands in the policy, such as `tools.send_money.rules.2`.")
    policy_version: str
    detail: str = Field(default="", description="What went wrong, when the reason code is `policy_error`.")
    risk: Risk = Risk()
    requirements: Requirements = Requirements()
    record: bool = False
    once: bool = False
    idempotent: bool = False
    at_the_end: bool = Field(
        default=False, description="Whether a person reviews it with the outcome of its run, and not before it."
    )
    describe: str = ""
    redact: tuple[str, ...] = ()
    audit: Audit | None = Field(default=None, description="Only beside allow, once and record.")
    planned: Planned | None = None

    @property
    def rests_on_plan(self) -> bool:
        """Whether a person would have been asked if no plan permitted it."""
        return self.planned is not None and self.reason_code == PLANNED

    @property
    def needs_record(self) -> bool:
        """Whether anything must be written before or after the call."""
        return self.mode != "allow" or self.record or self.once

    @property
    def only_records(self) -> bool:
        """Whether it is allowed as often as it is called, and each run goes on record."""
        return self.mode == "allow" and not self.once


PLANNED = "planned"
"""The reason code of a call that runs because an approved plan permits it."""


class Use(Word):
    """One call that ran, or was about to, on a step of a plan."""

    step: int = Field(description="Counted from 1.")
    ticket: str
    at: datetime


class Advice(Word):
    """What an advisor says of an action before a person does: a stricter mode than the policy's, a note for the reviewer."""

    mode: Literal["review", "deny"] | None = None
    note: str = Field(default="", max_length=2000)
    reason_code: str = Field(default="advised", pattern=r"^[a-z][a-z0-9_]{0,63}$")


Advisor = Callable[[Action, Ruling], Advice | None]
"""A scanner, a rule or a model that looks at what the policy would allow or review. It sees the arguments unmasked."""


class Verdict(StrEnum):
    """What a reviewer can say."""

    APPROVE = "approve"
    REJECT = "reject"
    REVISE = "revise"
    ANSWER = "answer"
    COMMENT = "comment"
    CONFIRM = "confirm"
    FLAG = "flag"


class Answer(StrEnum):
    """What a person, or the tool's own probe, can say of a call whose runner died."""

    HAPPENED = "happened"
    DID_NOT_HAPPEN = "did_not_happen"
    GIVE_UP = "give_up"


class Standing(StrEnum):
    """What a ticket's history permits at an instant."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    RETURNED = "returned"
    EXPIRED = "expired"
    LAPSED = "lapsed"
    WITHDRAWN = "withdrawn"
    RUNNING = "running"
    EXECUTED = "executed"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    DENIED = "denied"
    ANSWERED = "answered"
    UNDER_AUDIT = "under_audit"
    CONFIRMED = "confirmed"
    FLAGGED = "flagged"
    UNREVIEWED = "unreviewed"

    @property
    def is_final(self) -> bool:
        """Whether nothing can follow but a late outcome or a comment."""
        return self not in _OPEN

    @property
    def is_silence(self) -> bool:
        """Whether time ended it: nobody decided, or nobody used the approval."""
        return self in (Standing.EXPIRED, Standing.LAPSED)


_OPEN = frozenset({Standing.PENDING, Standing.APPROVED, Standing.RUNNING, Standing.IN_DOUBT, Standing.UNDER_AUDIT})

AUDITS = (Standing.UNDER_AUDIT, Standing.CONFIRMED, Standing.FLAGGED, Standing.UNREVIEWED)
"""How the audit of an action can stand; nothing else stands so."""


class Decision(Word):
    """What one reviewer said about one generation of one ticket."""

    verdict: Verdict
    by: str
    at: datetime
    generation: int
    reason: str = ""
    digest: str = ""
    seen: str = Field(default="", description="SHA-256 of the payload that was shown, in hex.")
    patch: tuple[dict[str, Json], ...] = Field(
        default=(), description="RFC 6902, from the shown arguments to the edit."
    )
    answer: Json = Field(default=None, description="What was answered, if this is an answer.")
    groups: tuple[str, ...] = ()


class Reply(Word):
    """What one person says of one ticket, before the law has heard it.

    `says`: approve, reject, or revise with `args` or else with words in `reason`; to a question answer, with its `value`; of
    a call in doubt an `Answer`, with the `value` that it gave. `digest` and `generation` name what they were shown.
    """

    ticket_id: str
    says: Answer | Verdict
    digest: str = ""
    generation: int | None = None
    reason: str = ""
    args: dict[str, Json] | None = None
    value: Json = None


class Outcome(Word):
    """What the world gave: executed with a result, failed with an error, or settled by someone's word."""

    standing: Standing
    at: datetime
    result: Json = Field(default=None, description="A JSON rendering of what the tool returned.")
    error: str = ""
    attempt: int = 1
    by: str = Field(default="", description="Who settled it, when no runner could.")


SHORTEST_DIGEST = 12
"""How many first characters name a digest; `show` prints 16."""


class Happened(Word):
    """What a tool's `verify` probe returns when it finds that the call happened: with the result, if it can tell."""

    result: Json = None


class CurrentAction(Word):
    """What a gated tool can know of the call it is running. `key` stays the same across retries of one approval."""

    ticket_id: str
    key: str
    tool: str
    args: dict[str, Json]
    thread_id: str
    attempt: int = 1
    approved_by: tuple[str, ...] = ()


class Done(Word):
    """What is to be undone: the recorded call, with the arguments that ran and, as JSON, what it returned."""

    ticket_id: str
    thread_id: str
    tool: str
    args: dict[str, Json]
    result: Json = None


@dataclass(frozen=True, slots=True)
class Undo:
    """A LangChain tool that undoes another tool's call, and what it is to be called with."""

    tool: Any
    args: Callable[[Done], Mapping[str, Json]]


Undoing = Callable[[Done], Any] | Undo
"""What undoes a call. A function is recorded as `undo_` and the name of what it undoes, a tool under its own name."""


class Left(Word):
    """An action that a rollback could not undo, for a person to look at."""

    ticket_id: str
    tool: str
    why: str


class Rollback(Word):
    """What came of undoing a run's actions: ticket ids of those that are undone, the newest first, and what is left."""

    undone: tuple[str, ...] = ()
    left: tuple[Left, ...] = ()


class FollowUp(Word):
    """What has come of a flag. `tickets`: of what was done for it, or of what it waits for; `why` a person must look, or waits.

    undo, call: it is done. alert: a person must look to it. wait: a decision comes first, or another runner. left: it is not for
    this graph to do.
    """

    audit: str
    did: Literal["undo", "call", "alert", "wait", "left"]
    tickets: tuple[str, ...] = ()
    why: str = ""

    def __str__(self) -> str:
        from langgraph_signoff.render import follow_up_text

        return follow_up_text(self)


class Ticket(Word):
    """A ruled action put before reviewers, as it stood when it was read. Masked fields are masked here."""

    id: str
    kind: Kind
    standing: Standing
    thread_id: str
    tool: str
    args: dict[str, Json] = Field(description="The arguments as they would run.")
    digest: str = Field(description="Names what is decided: give it back as `if_digest`.")
    generation: int
    seq: int = Field(description="The last entry that this view has read.")
    queue: str
    priority: int
    opened_at: datetime
    due_at: datetime | None = Field(
        description="When silence changes something: a pending one expires, an approved one lapses, a doubt goes unanswered, a "
        "plan ends."
    )
    reason_code: str
    rule: str
    policy_version: str
    risk: Risk
    requirements: Requirements
    options: tuple[str, ...]
    graph: str = ""
    agent: str = ""
    requester: str | None = None
    resource: str | None = None
    trigger: str = ""
    confidence: float = 0.0
    description: str = ""
    detail: str = ""
    previous: str | None = None
    difference: tuple[dict[str, Json], ...] = Field(
        default=(), description="RFC 6902, from the previous proposal to this one."
    )
    args_schema: dict[str, Json] = Field(default_factory=dict)
    answer_schema: dict[str, Json] = Field(default_factory=dict, description="Of a question: what its answer must fit.")
    editable: bool = Field(default=True, description="Whether revise takes args=; feedback= it always takes.")
    notes: tuple[str, ...] = Field(default=(), description="What advisors said of it.")
    decisions: tuple[Decision, ...] = ()
    approved_by: tuple[str, ...] = Field(default=(), description="Whose approval of this generation counts.")
    outcome: Outcome | None = None
    rollback: Rollback | None = Field(default=None, description="What came of undoing what a rejected run had done.")
    erased: bool = False
    about: str = Field(default="", description="Of an audit: the ticket of the action that it looks at.")
    audit: str = Field(default="", description="Of an action that was chosen for one: the ticket of its audit.")
    on_flag: OnFlag | None = Field(default=None, description="Of an audit: what a flag sets off.")
    follow_up: FollowUp | None = Field(default=None, description="Of a flagged audit: what has come of it.")
    planned: Planned | None = Field(default=None, description="The step of a plan that let it run without asking.")
    uses: tuple[Use, ...] = Field(default=(), description="Of a plan: the calls that ran on it.")
    ended: str = Field(default="", description="Of a plan: why it no longer holds.")

    @property
    def seen(self) -> str:
        """SHA-256 in hex of what this ticket shows a reviewer: kept with the decision, so that it can be told later."""
        shown = json.dumps(self.model_dump(exclude=_NOT_SHOWN), default=str)
        return hashlib.sha256(shown.encode("ascii")).hexdigest()

    @property
    def choices(self) -> tuple[str, ...]:
        """Of a question with options: what can be answered."""
        return tuple(self.answer_schema.get("enum", ()))

    @property
    def answer(self) -> Json:
        """What a question that is answered was answered with; None if it is not."""
        said = [each for each in self.decisions if each.verdict is Verdict.ANSWER]
        return said[-1].answer if said and self.standing is Standing.ANSWERED else None

    def _repr_html_(self) -> str:
        from langgraph_signoff.cards import ticket_html

        return ticket_html(self)

    def __str__(self) -> str:
        from langgraph_signoff.render import ticket_text

        return ticket_text(self)


Probe = Callable[[CurrentAction], Happened | Answer | None]
"""Asked whether a call whose runner died has happened: `Happened(result)`, `Answer.DID_NOT_HAPPEN`, or None for unknown."""


_HISTORY = {"standing", "seq", "decisions", "approved_by", "outcome", "rollback", "erased", "options", "audit"}
_NOT_SHOWN = _HISTORY | {"uses", "ended", "follow_up"}


class Run(Word):
    """What `run`, `resume` and `status` give back."""

    status: Literal["completed", "pending_approval", "in_doubt", "halted", "waiting", "stalled", "failed"]
    thread_id: str
    output: Any = None
    tickets: tuple[Ticket, ...] = Field(default=(), description="Those that the thread waits for.")
    questions: Mapping[str, Any] = Field(default_factory=dict, description="The author's own interrupts: id to value.")
    error: str = ""
    went_on: bool = Field(default=False, description="Whether this call ran the graph.")
    did: str = Field(default="", description="What this call did, in a sentence.")

    def _repr_html_(self) -> str:
        from langgraph_signoff.cards import run_html

        return run_html(self)

    def __str__(self) -> str:
        from langgraph_signoff.render import run_text

        return run_text(self)

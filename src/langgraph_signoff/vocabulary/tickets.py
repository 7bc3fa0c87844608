"""What reviewers are shown, and what a run came to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from langgraph_signoff.vocabulary.actions import Kind
from langgraph_signoff.vocabulary.base import Json, Word
from langgraph_signoff.vocabulary.decisions import Decision, Inquiry, Outcome, Standing, Verdict
from langgraph_signoff.vocabulary.rulings import Granted, OnFlag, Planned, Requirements, Risk
from langgraph_signoff.vocabulary.undoing import FollowUp, Rollback


class Use(Word):
    """One call that ran, or was about to, on a step of a plan."""

    step: int = Field(description="Counted from 1.")
    ticket: str
    at: datetime


class Reviewer(Word):
    """Somebody whom the policy knows, whether they may decide a ticket now, and why or why not."""

    name: str
    groups: tuple[str, ...] = ()
    may: bool
    why: str


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
    templates: dict[str, str] = Field(default_factory=dict, description="Reasons that are often given, by short names.")
    editable: bool = Field(default=True, description="Whether revise takes args=; feedback= it always takes.")
    notes: tuple[str, ...] = Field(default=(), description="What advisors said of it.")
    decisions: tuple[Decision, ...] = ()
    approved_by: tuple[str, ...] = Field(default=(), description="Whose approval of this generation counts.")
    waits_for: tuple[str, ...] = Field(
        default=(), description="Whose approval is missing where people of several groups must approve, in words."
    )
    assignee: str = Field(default="", description="Whose it is to decide it.")
    taker: str = Field(default="", description="Who has it in hand now, so that nobody else need read it.")
    taken_until: datetime | None = None
    inquiries: tuple[Inquiry, ...] = Field(default=(), description="What reviewers have asked about it, and were told.")
    escalated_to: tuple[str, ...] = Field(default=(), description="Who may decide too, since nobody else has for long.")
    outcome: Outcome | None = None
    rollback: Rollback | None = Field(default=None, description="What came of undoing what a rejected run had done.")
    erased: bool = False
    about: str = Field(default="", description="Of an audit: the ticket of the action that it looks at.")
    audit: str = Field(default="", description="Of an action that was chosen for one: the ticket of its audit.")
    on_flag: OnFlag | None = Field(default=None, description="Of an audit: what a flag sets off.")
    follow_up: FollowUp | None = Field(default=None, description="Of a flagged audit: what has come of it.")
    planned: Planned | None = Field(default=None, description="The step of a plan that let it run without asking.")
    granted: Granted | None = Field(default=None, description="The grant that let it run, or kept it from running.")
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


_HISTORY = {
    "standing",
    "seq",
    "decisions",
    "approved_by",
    "waits_for",
    "assignee",
    "taker",
    "taken_until",
    "escalated_to",
    "outcome",
    "rollback",
    "erased",
    "options",
    "audit",
}


_NOT_SHOWN = _HISTORY | {"uses", "ended", "follow_up"}


class Stuck(Word):
    """A ticket that does not move, why, and since when."""

    ticket: Ticket
    why: Literal["dead", "in_doubt", "unused", "in_hand", "unwoken"]
    since: datetime


class LeftOut(Word):
    """A ticket that was not decided together with others, and why."""

    ticket_id: str
    why: str


class Batch(Word):
    """Tickets that one person decides together: as shown, or as decided. Each keeps its own entry on the record."""

    verdict: Verdict
    by: str
    reason: str = ""
    tickets: tuple[Ticket, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    more: bool = Field(default=False, description="Whether there are more that fit than were looked at.")


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

"""What people say, and how a ticket stands after it."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import Field

from langgraph_signoff.vocabulary.base import Json, Word


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
    behalf: str = Field(default="", description="In whose name, if they stood in for somebody who was away.")
    at: datetime
    generation: int
    reason: str = ""
    digest: str = ""
    seen: str = Field(default="", description="SHA-256 of the payload that was shown, in hex.")
    patch: tuple[dict[str, Json], ...] = Field(
        default=(), description="RFC 6902, from the shown arguments to the edit."
    )
    answer: Json = Field(default=None, description="What was answered, if this is an answer.")
    checked: dict[str, str] = Field(default_factory=dict, description="The answers to the checklist, by item.")
    groups: tuple[str, ...] = ()

    @property
    def principal(self) -> str:
        """Whose word it is: nobody's counts twice."""
        return self.behalf or self.by

    @property
    def who(self) -> str:
        """Who said it, and for whom, such as `cem for ana`."""
        return f"{self.by} for {self.behalf}" if self.behalf else self.by


class Inquiry(Word):
    """What a reviewer wanted to know before deciding, of whom, and what they were told."""

    number: int = Field(description="Counted from 1.")
    by: str
    of: str
    at: datetime
    text: str = ""
    answer: str = ""
    answered_by: str = Field(default="", description="Empty while it is open.")
    answered_at: datetime | None = None


class Reply(Word):
    """What one person says of one ticket, before the law has heard it.

    `says`: approve, reject, or revise with `args` or else with words in `reason`; to a question answer, with its `value`; of
    a call in doubt an `Answer`, with the `value` that it gave. A text that answers is read as somebody's words: as JSON, where
    the question does not ask for a text. `digest` and `generation` name what they were shown.
    """

    ticket_id: str
    says: Answer | Verdict
    digest: str = ""
    generation: int | None = None
    reason: str = ""
    args: dict[str, Json] | None = None
    value: Json = None
    checked: dict[str, str] = Field(default_factory=dict, description="With an approval: answers to the checklist.")
    read_for: timedelta | None = Field(default=None, description="How long they had it before them, if anybody knows.")


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

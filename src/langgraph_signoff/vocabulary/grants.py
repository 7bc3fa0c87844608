"""Standing permissions and rejections: what a person has said of calls to come."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal

from pydantic import AwareDatetime, Field

from langgraph_signoff.vocabulary.base import Amount, Json, Word


class Total(Word):
    """What all calls of a grant may come to together: `sum` says what one adds, as CEL such as `args.amount`."""

    sum: str = Field(min_length=1, max_length=1000)
    limit: Amount = Field(gt=0)


class Terms(Word):
    """Which calls a grant is about, and when it ends. What is None says nothing of it; either `args` or `when` is given."""

    tool: str = Field(min_length=1, max_length=200)
    kind: Literal["tool", "node"] = "tool"
    args: dict[str, Json] | None = Field(default=None, description="The exact arguments, as a ticket shows them.")
    when: str = Field(default="", max_length=10_000, description="A CEL expression over args, actor, requester, ...")
    resource: str | None = None
    agent: str | None = None
    requester: str | None = None
    until: AwareDatetime
    uses: int | None = Field(default=None, strict=True, ge=1, le=1_000_000, description="How many calls, at most.")
    total: Total | None = None


class Grant(Terms):
    """A standing permission or rejection, as it stood when it was read."""

    id: str
    effect: Literal["allow", "reject"]
    given_by: tuple[str, ...] = Field(description="Who gave it, and who has seconded it.")
    reason: str
    at: datetime
    ticket: str = Field(default="", description="The ticket with which it was given.")
    is_backed: bool = Field(description="Whether those who gave it were enough for some call of it, as the policy was.")
    used: int = 0
    spent: Amount = Decimal(0)
    ended: str = Field(default="", description="Why it no longer holds.")
    redact: tuple[str, ...] = ()

    @property
    def is_used_up(self) -> bool:
        """Whether no use, or nothing of its total, is left."""
        is_spent = self.total is not None and self.spent >= self.total.limit
        return is_spent or (self.uses is not None and self.used >= self.uses)

    @property
    def stands(self) -> bool:
        """Whether calls may still be a use of it."""
        return not self.ended and not self.is_used_up

    def __str__(self) -> str:
        from langgraph_signoff.render import grant_text

        return grant_text(self)

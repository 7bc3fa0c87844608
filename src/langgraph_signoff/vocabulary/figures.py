"""What an operator sees of many tickets at once."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from langgraph_signoff.vocabulary.base import Word


class Load(Word):
    """What one reviewer has in hand of a queue now, and how many words they have said on its tickets in the time looked at."""

    name: str
    in_hand: int = 0
    said: int = 0


class Queue(Word):
    """How a queue does: now, and over the last `days`. Times to decision are seconds, from opened to the word that decided."""

    name: str
    waiting: int = Field(description="Tickets that wait for a decision and are not past due.")
    overdue: int = Field(description="Tickets that are past due, and nobody has written it down yet.")
    in_doubt: int
    oldest: datetime | None = Field(default=None, description="When the oldest that waits was opened.")
    days: int
    decided: int = Field(default=0, description="Tickets that people decided in that time.")
    median: float | None = Field(default=None, description="Half of them took no longer.")
    p95: float | None = Field(default=None, description="19 of 20 took no longer.")
    expired: int = Field(default=0, description="Tickets that ended in that time because nobody decided them.")
    reviewers: tuple[Load, ...] = Field(default=(), description="Who has any of it in hand or has said anything.")

    @property
    def expired_share(self) -> float | None:
        """The share of expired tickets in all that ended in that time, 0 to 1; None if none did."""
        ended = self.decided + self.expired
        return self.expired / ended if ended else None


class Flip(Word):
    """Tickets of one tool that another policy would rule otherwise, by one of its rules and in one way."""

    tool: str
    was: str = Field(description="What was ruled: allow, audit, review or deny.")
    would_be: str
    rule: str = Field(description="The rule of the other policy.")
    reason_code: str
    needs: tuple[str, ...] = Field(
        default=(), description="Where both review: what a decision would need otherwise, as `Requirements` names it."
    )
    count: int
    examples: tuple[str, ...] = Field(description="Ids of some of them.")


class Simulation(Word):
    """What tickets would have been under another policy: those that wait now, and those of the last `days`."""

    policy_version: str
    days: int
    ruled: int = Field(description="How many were ruled again.")
    flips: tuple[Flip, ...] = Field(default=(), description="Those that would be ruled otherwise, the most first.")
    erased: int = Field(default=0, description="How many have lost the arguments that would have been ruled.")
    unreadable: int = Field(default=0, description="How many cannot be ruled again; `signoff verify` tells why.")
    uncertain: int = Field(
        default=0, description="How many of those ruled depend on counts that the record does not hold in full."
    )

    @property
    def flipped(self) -> int:
        """How many would be ruled otherwise."""
        return sum(flip.count for flip in self.flips)

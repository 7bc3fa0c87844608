"""Why an action was ruled as it was, and how it would be ruled otherwise."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from langgraph_signoff.vocabulary.base import Json, Word
from langgraph_signoff.vocabulary.rulings import Ruling


class Tried(Word):
    """One rule that was looked at, in the order in which the policy looks at them; the last one decided."""

    rule: str
    then: Literal["allow", "audit", "review", "deny"]
    when: str = Field(default="", description="Its expression; empty where it always holds.")
    said: Literal["true", "false", "error"]
    error: str = ""


class Why(Word):
    """Why a ticket was ruled as it was: by which rule, from which values, and how the policy in force would rule it now."""

    ticket_id: str
    ruling: Ruling
    written: Json = Field(
        default=None, description="The rule as the policy of that version has it; null where none has."
    )
    tried: tuple[Tried, ...] = Field(
        default=(), description="The rules that were looked at; empty where it cannot be told."
    )
    read: dict[str, Json] = Field(default_factory=dict, description="What their expressions read, secrets masked.")
    notes: tuple[str, ...] = Field(default=(), description="What advisors said.")
    doubt: str = Field(default="", description="What of this could not be found out, and why.")
    needs: tuple[str, ...] = Field(
        default=(), description="Where both review: what a decision would need otherwise, as `Requirements` names it."
    )
    now: Ruling | None = Field(default=None, description="How the policy in force would rule it now, if that differs.")

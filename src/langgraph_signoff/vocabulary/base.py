"""What every word is made of."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

Json = Any
"""A value that JSON can hold: null, bool, number, string, list, or object with string keys."""


InboxSchema = Literal["langchain", "agent-inbox"]
"""The form in which a pause shows its tickets: LangChain's `HITLRequest`, or the `HumanInterrupt` list of Agent Inbox."""


def _as_number(amount: Decimal) -> int | float:
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def plain(amount: Decimal) -> str:
    """A number as people write it: `5`, not `5.0` or `5E+2`."""
    return f"{amount.normalize():f}"


Amount = Annotated[Decimal, Field(allow_inf_nan=False), PlainSerializer(_as_number)]
"""A finite decimal number; its JSON is a number."""


class Word(BaseModel):
    """Base of the words: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

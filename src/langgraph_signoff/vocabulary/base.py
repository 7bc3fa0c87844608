"""What every word is made of."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Json = Any
"""A value that JSON can hold: null, bool, number, string, list, or object with string keys."""


InboxSchema = Literal["langchain", "agent-inbox"]
"""The form in which a pause shows its tickets: LangChain's `HITLRequest`, or the `HumanInterrupt` list of Agent Inbox."""


class Word(BaseModel):
    """Base of the words: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

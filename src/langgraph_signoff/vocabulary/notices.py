"""Whom a ticket is told to, and what came of telling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from pydantic import Field

from langgraph_signoff.vocabulary.base import Word

Event = Literal[
    "opened",
    "revised",
    "assigned",
    "reminded",
    "escalated",
    "info_requested",
    "info_given",
    "decided",
    "expired",
    "lapsed",
    "withdrawn",
    "executed",
    "failed",
    "in_doubt",
]
"""What can be told of a ticket: that it waits, waits changed, is somebody's, is due soon, is the backup's too, was asked about
and answered, was decided, ended by silence, ran out unused, was abandoned, ran, failed, or that nobody knows whether it ran."""

EVENTS: tuple[Event, ...] = get_args(Event)

USUAL: tuple[Event, ...] = (
    "opened",
    "revised",
    "assigned",
    "reminded",
    "escalated",
    "info_requested",
    "info_given",
    "expired",
    "lapsed",
    "failed",
    "in_doubt",
)
"""What is told where nothing else is said: what somebody has to do, and what went wrong."""


class Notify(Word):
    """A channel that hears of tickets, and of which of their events."""

    channel: str
    on: tuple[Event, ...] = USUAL


class Delivery(Word):
    """What one delivery of notices came to."""

    sent: int = 0
    put_off: int = Field(default=0, description="Not taken by their channel; they are tried again.")
    given_up: int = Field(default=0, description="Tried for long enough; nobody was told.")
    problems: Mapping[str, str] = Field(default_factory=dict, description="What is wrong with a channel, by its name.")

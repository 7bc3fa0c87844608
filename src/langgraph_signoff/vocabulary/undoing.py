"""What takes back what has run, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from langgraph_signoff.vocabulary.base import Json, Word


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
    """What has come of a flag, or of a timeout with a fallback: of the ticket `about`.

    `tickets`: of what was done for it, or of what it waits for; `why` a person must look, or waits.
    undo, call: it is done. alert: a person must look to it. wait: a decision comes first, or another runner. left: it is not for
    this graph to do.
    """

    about: str
    did: Literal["undo", "call", "alert", "wait", "left"]
    tickets: tuple[str, ...] = ()
    why: str = ""

    def __str__(self) -> str:
        from langgraph_signoff.render import follow_up_text

        return follow_up_text(self)

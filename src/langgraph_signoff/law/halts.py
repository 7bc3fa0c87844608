"""The stop button: what is halted, folded from the record's one stream of halts. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from langgraph_signoff.entries import Draft, Entry, moment
from langgraph_signoff.errors import IncompleteDecision, NotHalted

HALTS = "halts"
"""The stream that holds every halt and every release."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a halt holds back: one thread, one tool (or node), or everything when both are None."""

    thread_id: str | None = None
    tool: str | None = None

    def covers(self, thread_id: str, tool: str) -> bool:
        """Whether a call of this tool in this thread is held back."""
        return self.thread_id in (None, thread_id) and self.tool in (None, tool)

    def __str__(self) -> str:
        parts = [f"thread {self.thread_id}"] if self.thread_id is not None else []
        parts += [f"tool {self.tool}"] if self.tool is not None else []
        return ", ".join(parts) or "everything"


@dataclass(frozen=True, slots=True)
class Halt:
    """Who has stopped what, when and why."""

    scope: Scope
    by: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Halts:
    """The halts that hold now. `seq`: the last entry they were read from."""

    seq: int
    active: tuple[Halt, ...] = ()

    def on(self, thread_id: str, tool: str) -> Halt | None:
        """The halt that holds a call back, if one does."""
        return next((halt for halt in self.active if halt.scope.covers(thread_id, tool)), None)


def halts(history: Sequence[Entry]) -> Halts:
    """Reads the stream of halts: a later halt of the same scope replaces the one before it."""
    active: dict[Scope, Halt] = {}
    for entry in history:
        body = entry.body
        scope = Scope(body["thread_id"], body["tool"])
        active.pop(scope, None)
        if entry.kind == "halted":
            active[scope] = Halt(scope, body["by"], moment(entry.at), body["reason"])
    return Halts(history[-1].seq if history else 0, tuple(active.values()))


def halt(scope: Scope, *, by: str, reason: str) -> Draft:
    """What stopping adds to the record. Anybody may stop; it takes a name."""
    named = [name for name in (scope.thread_id, scope.tool) if name is not None]
    if not all(isinstance(name, str) and name.strip() for name in named):
        raise IncompleteDecision(
            f"nothing would be halted: {named!r} names no thread and no tool; give it as text, or leave it out"
        )
    return Draft("halted", _words(scope, by, reason))


def release(held: Halts, scope: Scope, *, by: str, reason: str) -> Draft:
    """What a release adds. Raises NotHalted if nothing of this scope is held."""
    if scope not in {each.scope for each in held.active}:
        raise NotHalted(f"{scope} is not halted; what is: {'; '.join(str(h.scope) for h in held.active) or 'nothing'}")
    return Draft("released", _words(scope, by, reason))


def _words(scope: Scope, by: str, reason: str) -> dict[str, str | None]:
    if not by.strip():
        raise IncompleteDecision("a halt, and its release, needs a name: give by=")
    return {"thread_id": scope.thread_id, "tool": scope.tool, "by": by.strip(), "reason": reason.strip()}

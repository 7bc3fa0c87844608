"""What the policy says of one tool, ready to be asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from langgraph_signoff.policy.expressions import (
    EVERY_TOOL,
    KINDS,
    OWN_TOOL,
    VARIABLES,
    Expression,
    compile_chain,
    places,
    risk_facts,
)
from langgraph_signoff.vocabulary import Action, Counts, Json, Requirements, Ruling, Tried

if TYPE_CHECKING:
    from langgraph_signoff.policy.document import Budget

DEEPEST_ARGUMENT = 64


@dataclass(frozen=True)
class Branch:
    """A rule and the ruling it gives; without `when` it always holds."""

    when: Expression | None
    ruling: Ruling


class Rulebook:
    """The rules of one tool: denials first, then the others in order, then `otherwise`; `doubt` is the ruling when one fails."""

    def __init__(
        self,
        branches: Sequence[Branch],
        *,
        otherwise: Ruling,
        doubt: Ruling,
        variables: Mapping[str, Json],
        budgets: Sequence[Budget] = (),
    ) -> None:
        self.budgets = tuple(budgets)
        conditions = [branch.when for branch in branches]
        expressions = [when for when in conditions if when]
        self._branches, self.doubt, self._vars = tuple(branches), doubt, variables
        # Number -1 is what a chain gives when nothing holds: the last ruling.
        self._rulings = (*(branch.ruling for branch in branches), otherwise)
        self._chain = compile_chain(conditions) if conditions else None
        self._reads = self._readers(frozenset[str]().union(*(when.variables for when in expressions)), variables)
        self._chain_reads = {
            name: read for name, read in self._reads.items() if self._chain and name in self._chain.variables
        }
        self.counts = frozenset[str]().union(*(when.counts for when in expressions))
        """Whose counts it reads, as `Expression.counts` has them."""
        self._counted = frozenset[str]().union(*(when.counts for when in expressions)) - {OWN_TOOL, EVERY_TOOL}
        self.needs_history = "history" in self._reads
        is_free = not (branches or budgets) and otherwise.word == "allow" and not otherwise.needs_record
        self._free = otherwise if is_free else None

    @property
    def modes(self) -> tuple[str, ...]:
        """What it can rule, as far as its rules say."""
        return tuple(dict.fromkeys(ruling.word for ruling in self._rulings))

    @property
    def records(self) -> bool:
        """Whether every action leaves a record, whatever is ruled."""
        return all(ruling.needs_record for ruling in self._rulings)

    @property
    def put_off(self) -> tuple[Requirements, ...]:
        """What its reviews need that can wait for the outcome of their run."""
        return tuple(ruling.requirements for ruling in self._rulings if ruling.at_the_end)

    @property
    def reviews(self) -> tuple[Ruling, ...]:
        """Its rulings that put a call before people."""
        return tuple(ruling for ruling in self._rulings if ruling.mode == "review")

    def lets_run(self, parsed: Mapping[str, Json]) -> Ruling | None:
        """Its one ruling, if that lets a call run with nothing written, and the arguments are sound; None otherwise."""
        return None if self._free is None or flaw(parsed) else self._free

    def decide(self, action: Action, *, now: datetime, history: Counts) -> Ruling:
        """The ruling on an action; the same object for the same rule, and never an allow where anything was in doubt."""
        if not self._branches and self._rulings[-1].mode == "deny":
            return self._rulings[-1]
        found = flaw(action.parsed)
        if found:
            return self._one_by_one(action, now, history, f"args{found}")
        if "confidence" in self._reads and not math.isfinite(action.confidence):
            return self._one_by_one(action, now, history, f"confidence: is {action.confidence}")
        if not self._branches:
            return self._rulings[-1]
        said = self._all_at_once(action, now, history)
        if type(said) is int:
            return self._rulings[said]
        if type(said) is list:
            for number in said:
                if number >= 0:
                    return self._rulings[number]
            return self._rulings[-1]
        return self._one_by_one(action, now, history, "")

    def _all_at_once(self, action: Action, now: datetime, history: Counts) -> object:
        if not self._chain:
            return None
        try:
            facts = {name: read(action, now, history) for name, read in self._chain_reads.items()}
            for name, field in self._chain.fields:
                if field in action.parsed:
                    facts[name] = action.parsed[field]
            return self._chain.program.eval(data=facts).plain_value()
        except Exception:  # a text that is no UTF-8, an exhausted budget: asked one by one, each says for itself
            return None

    def _one_by_one(self, action: Action, now: datetime, history: Counts, doubt: str) -> Ruling:
        # What cannot be compared is kept from the expressions; a denial that does not read it still holds.
        kept = {"args", "confidence"} if doubt else ()
        facts = {name: read(action, now, history) for name, read in self._reads.items() if name not in kept}
        rule = self.doubt.rule
        for branch in self._branches:
            if doubt and branch.ruling.mode != "deny":
                break
            try:
                if branch.when is None or branch.when.holds(facts):
                    return branch.ruling
            except Exception as error:  # whatever an expression fails with is doubt
                if not doubt:
                    rule = branch.ruling.rule
                    doubt = f"{rule}.when: {self._words(error)}"
        return self.doubt.model_copy(update={"detail": doubt, "rule": rule}) if doubt else self._rulings[-1]

    def try_out(self, action: Action, *, now: datetime, history: Counts) -> tuple[list[Tried], dict[str, Json]]:
        """The rules in the order in which they are looked at, up to the one that holds, and the places that they read."""
        facts = {
            name: read(action, now, history) for name, read in self._readers(frozenset(VARIABLES), self._vars).items()
        }
        tried, read = list[Tried](), dict[str, Json]()
        doubt = flaw(action.parsed)
        for branch in self._branches:
            tried.append(self._try_out(branch, facts, f"args{doubt}" if doubt else ""))
            if branch.when:
                read |= {place: _at(facts, place) for place in places(branch.when, action.tool)}
            if tried[-1].said == "true":
                return tried, read
        last = self._rulings[-1]
        return [*tried, Tried(rule=last.rule, then=last.word, said="true")], read

    def _try_out(self, branch: Branch, facts: Mapping[str, Any], doubt: str) -> Tried:
        about: dict[str, Any] = {"rule": branch.ruling.rule, "then": branch.ruling.word}
        if branch.when is None:
            return Tried(**about, said="true")
        try:
            if doubt and "args" in branch.when.variables:
                return Tried(**about, when=branch.when.text, said="error", error=doubt)
            return Tried(**about, when=branch.when.text, said="true" if branch.when.holds(facts) else "false")
        except Exception as error:  # whatever an expression fails with is doubt
            return Tried(**about, when=branch.when.text, said="error", error=self._words(error))

    def _words(self, error: Exception) -> str:
        # CEL quotes keys and values; where arguments are secret only the kind of the error is told.
        words = str(error).split(":")[0] if self.doubt.redact else str(error)
        return _printable(words[:300])

    def _readers(
        self, names: frozenset[str], variables: Mapping[str, Json]
    ) -> dict[str, Callable[[Action, datetime, Counts], Any]]:
        constants, risk = dict(variables), risk_facts(self.doubt.risk)
        readers: dict[str, Callable[[Action, datetime, Counts], Any]] = {
            "tool": lambda action, _now, _history: action.tool,
            "args": lambda action, _now, _history: action.parsed,
            "actor": lambda action, _now, _history: action.agent,
            "requester": lambda action, _now, _history: action.requester or "",
            "thread": lambda action, _now, _history: action.thread_id,
            "confidence": lambda action, _now, _history: float(action.confidence),
            "risk": lambda _action, _now, _history: risk,
            "vars": lambda _action, _now, _history: constants,
            "now": lambda _action, now, _history: now,
            "history": lambda action, _now, history: self._history(action.tool, history),
        }
        return {name: read for name, read in readers.items() if name in names}

    def _history(self, tool: str, history: Counts) -> dict[str, dict[str, int]]:
        zeros = dict.fromkeys((*self._counted, tool), 0)
        return {kind: zeros | getattr(history, kind) for kind in KINDS}


def _at(facts: Mapping[str, Any], place: str) -> Json:
    # An argument may have a dot in its name only where CEL reads it otherwise.
    value: Any = facts
    for key in place.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def flaw(value: Json, depth: int = 0) -> str:
    """Where and why a value is none that expressions can compare, such as `.items.0: is NaN`; empty if it is."""
    kind = type(value)
    if kind is str:
        return "" if value.isascii() or _encodes(value) else ": is no Unicode text"
    if kind is int:
        return "" if -(2**63) <= value < 2**63 else ": is a number beyond 64 bits"
    if kind is float:
        return "" if math.isfinite(value) else f": is {value}"
    if kind is bool or value is None:
        return ""
    if depth > DEEPEST_ARGUMENT:
        return ": is nested too deeply"
    if kind is dict:
        is_sound = all(map(_is_text, value))
        return _flaw_of_items(value.items(), depth) if is_sound else ": has a key that is no text"
    if kind is list:
        return _flaw_of_items(enumerate(value), depth)
    return f": is a {kind.__name__}, not JSON"


def _flaw_of_items(items: Iterable[tuple[object, Json]], depth: int) -> str:
    for key, item in items:
        found = flaw(item, depth + 1)
        if found:
            return f".{_printable(str(key)[:40])}{found}"
    return ""


def _is_text(key: object) -> bool:
    return type(key) is str and (key.isascii() or _encodes(key))


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _printable(text: str) -> str:
    return text if text.isprintable() else ascii(text)

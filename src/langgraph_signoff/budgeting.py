"""Budgets at work: calls that would spend too much are put before people, and what starts is counted as it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import NamedTuple

from langgraph_signoff.desk import Desk
from langgraph_signoff.entries import Entry, link
from langgraph_signoff.errors import LedgerCorrupt
from langgraph_signoff.law import Case
from langgraph_signoff.law import budgets as law
from langgraph_signoff.vocabulary import OVER_BUDGET, Charge, Ruling


class Purse:
    """What is left of budgets, as one message finds it, and what its calls would take."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._taken: dict[str, Decimal] = {}

    def ruled(self, ruling: Ruling, *, review: Callable[[], Ruling]) -> Ruling:
        """The ruling; a review if the call would spend too much. `review`: what people are asked where the policy asks nobody."""
        if not ruling.charges or ruling.mode == "deny":
            return ruling
        now = self._desk.clock()
        streams = [law.stream(charge, now) for charge in ruling.charges]
        spent = [
            before + self._taken.get(name, Decimal(0))
            for name, before in zip(streams, self._spent(streams), strict=True)
        ]
        found = list(zip(ruling.charges, spent, strict=True))
        if over := [pair for pair in found if law.is_over(*pair)]:
            return over_budget(ruling, _words(over), review=review)
        if ruling.mode == "review":
            return ruling if ruling.detail else ruling.model_copy(update={"detail": _words(found)})
        for name, charge in zip(streams, ruling.charges, strict=True):
            self._taken[name] = self._taken.get(name, Decimal(0)) + charge.amount
        return ruling

    def _spent(self, streams: Sequence[str]) -> list[Decimal]:
        lasts = _lasts(self._desk, streams)
        return [law.spent(lasts.get(name)) for name in streams]


def over_budget(ruling: Ruling, detail: str, *, review: Callable[[], Ruling]) -> Ruling:
    """The ruling that puts a call before people because it would spend too much."""
    asked = ruling if ruling.mode == "review" else review()
    redact = tuple(dict.fromkeys(ruling.redact + asked.redact))
    about = {"mode": "review", "reason_code": OVER_BUDGET, "detail": detail, "rule": ruling.rule, "redact": redact}
    return asked.model_copy(update={**about, "charges": ruling.charges, "at_the_end": False})


class Spending(NamedTuple):
    """What the start of a call adds to its budgets; with `over`, why it may not start without a person."""

    entries: list[Entry]
    over: str = ""


def spending(desk: Desk, case: Case) -> Spending:
    """What the start of a call adds to its budgets, once a generation, whoever has let it through."""
    if not case.ruling.charges or case.counted == case.generation:
        return Spending([])
    now = desk.clock()
    streams = [law.stream(charge, now) for charge in case.ruling.charges]
    lasts, entries, over = _lasts(desk, streams), list[Entry](), list[tuple[Charge, Decimal]]()
    for charge, name in zip(case.ruling.charges, streams, strict=True):
        last = lasts.get(name)
        before = law.spent(last)
        if law.is_over(charge, before):
            over.append((charge, before))
        entries += link(name, last, [law.spend(charge, before, case.id, now)], now)
    # What a person has approved is counted, and needs no room.
    return Spending(entries, _words(over) if over and case.ruling.mode == "allow" else "")


def _lasts(desk: Desk, streams: Sequence[str]) -> dict[str, Entry]:
    try:
        lasts = {name: last for name, (_, last) in desk.ledger.first_and_last(streams).items()}
        for last in lasts.values():
            law.spent(last)
    except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        raise LedgerCorrupt("a budget cannot be read; `signoff verify` names what was changed") from error
    return lasts


def _words(charges: Sequence[tuple[Charge, Decimal]]) -> str:
    return "; ".join(law.words(charge, before) for charge, before in charges)

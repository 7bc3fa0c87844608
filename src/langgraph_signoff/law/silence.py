"""What the clock adds to a ticket: reminders, escalations, and the end that silence brings. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from langgraph_signoff.entries import Draft
from langgraph_signoff.law.case import Case
from langgraph_signoff.vocabulary import Panel, Requirements, Slot, Standing

_UNDECIDED = (Standing.PENDING, Standing.UNDER_AUDIT)


def silence(case: Case, now: datetime) -> list[Draft]:
    """What the clock adds to a history that was read as it was `recorded`: all that has come due, in the order of time."""
    return [draft for moment, draft in sorted(_moments(case), key=lambda each: each[0]) if moment <= now]


def next_at(case: Case) -> datetime | None:
    """When the clock will next add something to a history that was read as it was `recorded`; None if never."""
    return min((moment for moment, _ in _moments(case)), default=None)


def level_at(case: Case, now: datetime) -> int:
    """How many escalations have come due, whether or not anybody has written them down."""
    return case.level + sum(draft.kind == "escalated" and moment <= now for moment, draft in _moments(case))


def widened(requirements: Requirements, level: int) -> Requirements:
    """What a decision needs after so many escalations: those to whom it came may stand in for any reviewer."""
    names = tuple(dict.fromkeys(who for step in requirements.escalations[:level] for who in step.to))
    if not names:
        return requirements
    reviewers = tuple(tuple(dict.fromkeys((*clause, *names))) for clause in requirements.reviewers)
    panels = tuple(_open_to(panel, names) for panel in requirements.panels)
    return requirements.model_copy(update={"reviewers": reviewers, "panels": panels})


def _open_to(panel: Panel, names: tuple[str, ...]) -> Panel:
    def slot(written: Slot) -> Slot:
        return written.model_copy(update={"who": tuple(dict.fromkeys((*written.who, *names)))})

    levels = tuple(tuple(tuple(map(slot, slots)) for slots in level) for level in panel.levels)
    return panel.model_copy(update={"levels": levels})


def _moments(case: Case) -> Iterator[tuple[datetime, Draft]]:
    if case.standing in _UNDECIDED:
        yield from _before_the_end(case)
    if case.expires_at is not None:
        yield case.expires_at, _end(case)


def _before_the_end(case: Case) -> Iterator[tuple[datetime, Draft]]:
    needs = case.requirements
    span, on_clock = case.due_at - case.opened_at, dict(needs.clock_shares)
    for number, share in enumerate(needs.reminders[case.reminded :], start=case.reminded + 1):
        yield case.opened_at + on_clock.get(share, share) * span, Draft("reminded", {"number": number})
    for number, step in enumerate(needs.escalations[case.level :], start=case.level + 1):
        yield (
            case.opened_at + on_clock.get(step.at, step.at) * span,
            Draft("escalated", {"level": number, "to": list(step.to)}),
        )


def _end(case: Case) -> Draft:
    return Draft(_ENDS.get(case.standing, "told_unknown"), {})


_ENDS = {
    Standing.PENDING: "expired",
    Standing.UNDER_AUDIT: "unreviewed",
    Standing.APPROVED: "lapsed",
    Standing.EXECUTED: "ended",
}

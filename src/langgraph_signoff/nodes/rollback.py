"""Undoing what a run has done: the newest first, each once, each on a ticket of its own, through the one heart."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial
from typing import Any

from langgraph_signoff.law import Case
from langgraph_signoff.nodes import messages
from langgraph_signoff.nodes.heart import Heart
from langgraph_signoff.nodes.reversal import Admit, Reversal, name_of, recall, undo_id
from langgraph_signoff.nodes.steps import Io, Step, Steps
from langgraph_signoff.view import hush_of
from langgraph_signoff.vocabulary import Left, Rollback, Standing


def rollback(heart: Heart, cases: Sequence[Case], *, admit: Admit) -> Steps[Rollback]:
    """Undoes those of these cases that ran, the newest first. To be driven again after a pause or a crash: it goes on.

    An undo that fails is not tried again without a person, who approves another try or rejects it, and then the rest follows.
    When nobody says, or knows, what became of an undo, the rest is left as it is: what came earlier may be needed by it.
    """
    undone: list[str] = []
    # What is on record for the report alone has nothing to take back, unless its gate says otherwise.
    cases = [case for case in cases if not case.ruling.for_report or _tool(case) in heart.undoings]
    left = [Left(ticket_id=case.id, tool=_tool(case), why=why) for case in cases if (why := _unknown(case))]
    ran = yield Io(partial(_newest_first, heart, [case for case in cases if case.standing is Standing.EXECUTED]))
    for place, case in enumerate(ran):
        end = yield from _undo(heart, case, admit)
        if end is None:
            undone.append(case.id)
            continue
        left.append(Left(ticket_id=case.id, tool=_tool(case), why=end[1]))
        if end[0]:
            left += [Left(ticket_id=c.id, tool=_tool(c), why=f"not tried: {end[1]}") for c in ran[place + 1 :]]
            break
    return Rollback(undone=tuple(undone), left=tuple(left))


def undone(heart: Heart, cases: Sequence[Case]) -> set[str]:
    """The ids of those of these cases that have been undone, whoever ordered it."""
    done, attempt, waiting = set[str](), 0, {undo_id(case, 0): case for case in cases}
    while rows := heart.desk.ledger.rows(list(waiting)):
        done |= {waiting[id_].id for id_, row in rows.items() if row.standing == Standing.EXECUTED}
        failed = [waiting[id_] for id_, row in rows.items() if row.standing == Standing.FAILED]
        attempt += 1
        waiting = {undo_id(case, attempt): case for case in failed}
    return done


_WHY = {
    Standing.FAILED: "it failed, and nobody knows what it left behind",
    Standing.IN_DOUBT: "nobody knows whether it happened",
    Standing.RUNNING: "it is still running",
}

_GOES_ON = (Standing.REJECTED, Standing.RETURNED, Standing.DENIED)


def _unknown(case: Case) -> str:
    """Why nobody can say what a case has left behind; empty if somebody can."""
    # It has no claim, whose owner could be found dead.
    if case.ruling.only_records and case.standing is Standing.APPROVED:
        return "it was let through, and nobody knows whether it happened"
    return _WHY.get(case.standing, "")


def _tool(case: Case) -> str:
    return str(case.opening["tool"])


def _newest_first(heart: Heart, cases: Sequence[Case]) -> list[Case]:
    # By the order of the record: clocks jump.
    ran = {case.id: case for case in cases}
    return [ran[id_] for id_ in reversed(heart.desk.ledger.in_order(list(ran), "executed"))]


def _undo(heart: Heart, case: Case, admit: Admit) -> Generator[Step, Any, tuple[bool, str] | None]:
    """None if it is undone; else whether that stops the rollback, and why it is left."""
    attempt, failure = 0, ""
    while True:
        end = yield Io(partial(_on_record, heart, case, attempt))
        if end is not None and end.standing.is_final:
            recall(end)
        elif why := _cannot(heart, case, end):
            return end is not None, why
        else:
            reversal = yield Io(partial(Reversal, heart, case, attempt=attempt, failure=failure))
            end = yield from reversal.steps(admit)
        if end.standing is Standing.EXECUTED:
            return None
        if end.standing is not Standing.FAILED:
            return end.standing not in _GOES_ON, hush_of(end)(messages.end(end, _tool(end)))
        attempt, failure = attempt + 1, _failure(end)


def _on_record(heart: Heart, case: Case, attempt: int) -> Case | None:
    id_ = undo_id(case, attempt)
    return heart.desk.case(id_) if id_ in heart.desk.ledger.rows([id_]) else None


def _cannot(heart: Heart, case: Case, begun: Case | None) -> str:
    """Why nothing can be tried, empty if it can."""
    undoing = heart.undoings.get(_tool(case))
    if undoing is None:
        return "no undo is declared for it, or not the same at each of its gates"
    if case.erased:
        return "what it was about has been erased"
    name = name_of(undoing, _tool(case))
    if begun and _tool(begun) != name:
        return f"{_tool(begun)} was to undo it (ticket {begun.id[:12]}), and now {name} would: nobody has ordered that"
    return ""


def _failure(end: Case) -> str:
    return (end.outcome.error or str(end.outcome.result or "")) if end.outcome else ""

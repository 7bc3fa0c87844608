"""Which threads may have something to go on with, found in the ledger alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from langgraph_signoff.ledger import Query, Row, stamp
from langgraph_signoff.vocabulary import Standing

if TYPE_CHECKING:
    from langgraph_signoff.signoff import Signoff

_PAGE = 500
_OPEN = (Standing.APPROVED, Standing.RUNNING, Standing.IN_DOUBT)
_ENDED = tuple(s for s in Standing if s.is_final and s is not Standing.DENIED)


def threads_to_wake(signoff: Signoff, *, since: timedelta) -> list[str]:
    """Threads with an approved call, one whose runner is gone, or one that ended and was asked within `since`; each once.

    Nothing in the ledger says yet whether a thread has gone on since. Waking one that has does nothing.
    """
    earliest = stamp(signoff.desk.clock() - since)
    rows = [row for row in _rows(signoff, Query(standings=_OPEN, limit=_PAGE)) if _can_go_on(signoff, row)]
    rows += [r for r in _rows(signoff, Query(standings=_ENDED, reviewed=True, limit=_PAGE)) if r.opened_at >= earliest]
    return list(dict.fromkeys(row.thread_id for row in sorted(rows, key=lambda row: row.opened_at)))


def recorded_graph(signoff: Signoff, thread_id: str) -> str:
    """The graph that the newest ticket of a thread names; empty if it has none."""
    rows = list(_rows(signoff, Query(thread_id=thread_id, limit=_PAGE)))
    return max(rows, key=lambda row: row.opened_at).graph if rows else ""


def _can_go_on(signoff: Signoff, row: Row) -> bool:
    match Standing(row.standing):
        case Standing.RUNNING:
            return not signoff.claims.is_alive(signoff.desk.case(row.id))
        case Standing.IN_DOUBT:
            return row.told
    return True


def _rows(signoff: Signoff, query: Query) -> Iterator[Row]:
    while rows := signoff.ledger.find(query):
        yield from rows
        query = replace(query, after=rows[-1])

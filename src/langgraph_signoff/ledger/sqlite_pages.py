"""Pages of standings: each a few ranges of one index, however many rows there are; those of several standings are merged."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Any

from langgraph_signoff.ledger import Query
from langgraph_signoff.vocabulary import Standing

Found = list[tuple[Any, ...]]
Read = Callable[[str, tuple[object, ...]], Found]

_KEY = "priority, due_at, id"
_BY_TIME = {"due_before": "due_at", "next_before": "next_at", "idle_before": "idle_since"}
_ENDED_BY_SILENCE = (Standing.PENDING, Standing.UNDER_AUDIT)


def select(read: Read, columns: str, query: Query) -> Found:
    """These columns of the rows that a query describes, in its order."""
    if _time(query):
        return _page(read, columns, query)
    if query.thread_id is not None:
        ranges = [_by_urgency(read, columns, query)]
    else:
        # Several standings are several ranges: asked for together, SQLite would read and sort all of them.
        ranges = [_by_urgency(read, columns, _of(query, standing)) for standing in query.standings or tuple(Standing)]
    rows = heapq.merge(*ranges, key=_urgency) if len(ranges) > 1 else ranges[0]
    return [row[3:] for row in islice(rows, query.limit)]


def _of(query: Query, standing: str) -> Query:
    ends = query.ended_by if standing in _ENDED_BY_SILENCE else None
    return replace(query, standings=(standing,), due_after=query.due_after or ends)


def _by_urgency(read: Read, columns: str, query: Query) -> Found:
    columns = f"{_KEY}, {columns}"
    if query.after is None and query.due_after is None:
        return _page(read, columns, query)
    # Peers of the last row first, then what is less urgent: each priority is one range of an index, without what is overdue.
    found, priority = Found(), query.after.priority if query.after else _next_priority(read, query, None)
    while priority is not None and len(found) < query.limit:
        rest = replace(query, limit=query.limit - len(found))
        found += _page(read, columns, rest, "priority = ?", priority)
        query = replace(query, after=None)
        priority = _next_priority(read, query, priority) if len(found) < query.limit else None
    return found


def _next_priority(read: Read, query: Query, last: int | None) -> int | None:
    query = replace(query, after=None, due_after=None)
    where, values = _conditions(query) if last is None else _conditions(query, "priority < ?", last)
    found = read(f"SELECT priority FROM standings WHERE {where} ORDER BY priority DESC LIMIT 1", tuple(values))
    return found[0][0] if found else None


def _urgency(row: tuple[Any, ...]) -> tuple[int, str, str]:
    return -row[0], row[1] or "", row[2]


def _page(read: Read, columns: str, query: Query, *more: str | int) -> Found:
    where, values = _conditions(query, *more)
    order = f"{_time(query)}, id" if _time(query) else "priority DESC, due_at, id"
    text = f"SELECT {columns} FROM standings WHERE {where} ORDER BY {order} LIMIT ?"
    return read(text, (*values, query.limit))


def _time(query: Query) -> str:
    return next((column for name, column in _BY_TIME.items() if getattr(query, name) is not None), "")


def _conditions(query: Query, *more: str | int) -> tuple[str, list[object]]:
    free = "+" if _time(query) else ""  # keeps SQLite from an index that does not come in the order of time
    parts, values = _standings(query), list[object]()
    for condition, value in (
        (f"{free}queue = ?", query.queue),
        ("thread_id = ?", query.thread_id),
        (f"{free}tool = ?", query.tool),
        ("reviewed = ?", query.reviewed),
        ("told = ?", query.told),
        ("asked = ?", query.asked),
        ("in_hand <> '' AND in_hand = ?", query.in_hand),
        ("due_at <= ?", query.due_before),
        ("due_at > ?", query.due_after),
        ("next_at <= ?", query.next_before),
        ("idle_since <= ?", query.idle_before),
    ):
        if value is not None:
            parts.append(condition)
            values.append(value)
    if more:
        parts.append(str(more[0]))
        values += more[1:]
    if query.after is not None:
        column = _time(query) or "due_at"
        last = getattr(query.after, column)
        # A row without a due time comes before those that have one.
        parts.append(f"({column}, id) > (?, ?)" if last else "(due_at IS NOT NULL OR id > ?)")
        values += [last, query.after.id] if last else [query.after.id]
    return " AND ".join(parts) or "1", values


def _standings(query: Query) -> list[str]:
    if not query.standings:
        return []
    names = ", ".join(repr(str(name)) for name in query.standings)
    # A thread or a time is the narrower range: the sign keeps SQLite from the index by standing.
    if query.thread_id is not None or _time(query):
        return [f"+standing IN ({names})"]
    # The literal lets SQLite use the partial indexes.
    return [f"standing = {names}"]

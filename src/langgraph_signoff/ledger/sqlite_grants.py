"""How grants are kept and found in a SQLite file."""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter
from typing import Any

from langgraph_signoff.entries import GrantRow
from langgraph_signoff.ledger import GrantQuery

_GRANT = ", ".join(field.name for field in fields(GrantRow))
GRANT_VALUES = attrgetter(*(field.name for field in fields(GrantRow)))
"""The values of a row, as `PUT_GRANT` takes them."""

PUT_GRANT = f"""
    INSERT INTO grants ({_GRANT}) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET digest = excluded.digest, ended = excluded.ended, seq = excluded.seq
"""
FIND_GRANT_IDS = "SELECT id FROM grants WHERE id >= ? AND id < ? ORDER BY id LIMIT 2"
READ_USE = """
    SELECT EXISTS (
        SELECT 1 FROM entries WHERE kind = 'used' AND stream = ?
        AND CASE WHEN json_valid(body) THEN json_extract(body, '$.ticket') END = ?
    )
"""


def find_grants(query: GrantQuery) -> tuple[str, tuple[object, ...]]:
    """The statement that finds what a query describes, what ends first first, and its values."""
    known: list[tuple[str, object]] = [
        ("id = ?", query.id),
        ("tool = ?", query.tool),
        ("digest IN ('', ?)", query.digest),
        ("until > ?", query.until_after),
        ("until <= ?", query.until_before),
    ]
    # The literal lets SQLite use the partial indexes.
    parts = [part for part, value in known if value is not None] + (["ended = 0"] if query.standing else [])
    values = [value for _, value in known if value is not None]
    if query.after is not None:
        parts.append("(until, id) > (?, ?)")
        values += [query.after.until, query.after.id]
    where = " AND ".join(parts) or "1"
    return f"SELECT {_GRANT} FROM grants WHERE {where} ORDER BY until, id LIMIT ?", (*values, query.limit)


def to_grant(values: tuple[Any, ...]) -> GrantRow:
    """The row that was found."""
    return GrantRow(*(*values[:4], bool(values[4]), values[5]))

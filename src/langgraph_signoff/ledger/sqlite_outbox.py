"""The outbox in SQLite: the statements that add, find and change notices."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

from langgraph_signoff.entries import Notice

_NOTICE = ", ".join(field.name for field in fields(Notice))
_VALUES = attrgetter(*(field.name for field in fields(Notice)))

ADD_NOTICE = f"INSERT OR IGNORE INTO outbox ({_NOTICE}) VALUES ({', '.join('?' * len(fields(Notice)))})"
READ_CHANNELS = "SELECT DISTINCT channel FROM outbox WHERE state = 'waiting' AND at <= ? ORDER BY channel"
READ_DUE = (
    f"SELECT {_NOTICE} FROM outbox WHERE state = 'waiting' AND channel = ? AND at <= ? ORDER BY at, seq LIMIT 100"
)
READ_UNSENT = f"SELECT {_NOTICE} FROM outbox WHERE state <> 'sent' ORDER BY since, seq"
READ_OF_TICKET = f"SELECT {_NOTICE} FROM outbox WHERE ticket = ? ORDER BY seq, channel, person"
CHANGE_NOTICE = """
    UPDATE outbox SET state = ?, at = ?, tries = ?, owner = ?, until = ?, problem = ?
    WHERE entry = ? AND channel = ? AND person = ? AND state = ? AND at = ? AND tries = ? AND owner = ? AND until = ?
"""
DROP_NOTICE = """
    DELETE FROM outbox
    WHERE entry = ? AND channel = ? AND person = ? AND state = ? AND at = ? AND tries = ? AND owner = ? AND until = ?
"""


def add(db: sqlite3.Connection, notices: Iterable[Notice]) -> None:
    """Adds notices; one that is there stays as it is."""
    db.executemany(ADD_NOTICE, map(_VALUES, notices))


def found(ticket: str | None) -> tuple[str, tuple[object, ...]]:
    """The statement that reads the notices of a ticket, or those that nobody has got, and its values."""
    return (READ_UNSENT, ()) if ticket is None else (READ_OF_TICKET, (ticket,))


def swap(db: sqlite3.Connection, old: Notice, new: Sequence[Notice]) -> bool:
    """Puts others in the place of a notice that is still as it was read; says whether it was."""
    was = (old.entry, old.channel, old.person, old.state, old.at, old.tries, old.owner, old.until)
    if len(new) == 1 and new[0].person == old.person:
        [now] = new
        changed = (now.state, now.at, now.tries, now.owner, now.until, now.problem)
        return db.execute(CHANGE_NOTICE, (*changed, *was)).rowcount == 1
    if db.execute(DROP_NOTICE, was).rowcount != 1:
        return False
    add(db, new)
    return True


def to_notices(rows: Iterable[tuple[Any, ...]]) -> list[Notice]:
    """The notices that rows hold."""
    return [Notice(*row) for row in rows]

"""The ledger in one SQLite file: WAL, `synchronous=FULL`, one writer at a time."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from langgraph_signoff.entries import Entry, GrantRow, Lease, Notice, Row, Wake
from langgraph_signoff.errors import LedgerCorrupt, StaleTicket
from langgraph_signoff.ledger import GrantQuery, Length, Query, sqlite_outbox
from langgraph_signoff.ledger import sqlite_overview as overview
from langgraph_signoff.ledger import sqlite_statements as sql
from langgraph_signoff.ledger.sqlite_file import FAILURES, connect, has_our_schema, translate
from langgraph_signoff.ledger.sqlite_grants import (
    FIND_GRANT_IDS,
    GRANT_VALUES,
    PUT_GRANT,
    READ_USE,
    find_grants,
    to_grant,
)
from langgraph_signoff.ledger.sqlite_pages import select


class SqliteLedger:
    """A ledger in a file of its own, shared by any number of threads and processes on one machine."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = str(path)
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        _OPEN.add(self)
        with self._lock, self._errors():
            self._connection()

    def history(self, stream: str) -> list[Entry]:
        """All entries of a stream in order."""
        return [Entry(*row) for row in self._read(sql.READ_HISTORY, (stream,))]

    def histories(self, query: Query) -> dict[str, list[Entry]]:
        """The entries of all the tickets that a query describes, read in one statement."""
        found: dict[str, list[Entry]] = {id_: [] for (id_,) in self._select("id", query)}
        for row in self._read(sql.READ_HISTORIES, (json.dumps(list(found)),)):
            found[row[0]].append(Entry(*row))
        return found

    def append(
        self,
        entries: Sequence[Entry],
        rows: Sequence[Row] = (),
        policies: Iterable[tuple[str, str]] = (),
        wakes: Iterable[Wake] = (),
        ends: Mapping[str, int] | None = None,
        notices: Iterable[Notice] = (),
        grants: Iterable[GrantRow] = (),
    ) -> None:
        """Adds all of it in one transaction that is on the disk when this returns."""
        with self._transaction() as db:
            for stream, seq in (ends or {}).items():
                if db.execute(sql.READ_END, (stream,)).fetchone()[0] != seq:
                    raise StaleTicket(stream, seq + 1)
            db.executemany(sql.ADD_POLICY, policies)
            for entry in entries:
                self._add(db, entry)
            db.executemany(sql.PUT_ROW, map(sql.ROW_VALUES, rows))
            db.executemany(sql.ADD_WAKE, ((wake.thread_id, wake.entry, wake.since) for wake in wakes))
            sqlite_outbox.add(db, notices)
            db.executemany(PUT_GRANT, map(GRANT_VALUES, grants))

    def _add(self, db: sqlite3.Connection, entry: Entry) -> None:
        chained = (entry.prev, entry.hash, entry.contents_hash)
        try:
            db.execute(sql.ADD_ENTRY, (entry.stream, entry.seq, entry.at, entry.kind, entry.body_json, *chained))
            if entry.contents_hash:
                db.execute(sql.ADD_CONTENTS, (entry.contents_hash, entry.salt, entry.contents_json))
        except sqlite3.IntegrityError as error:
            raise StaleTicket(entry.stream, entry.seq) from error

    def first_and_last(self, streams: Sequence[str]) -> dict[str, tuple[Entry, Entry]]:
        """The first and the last entry of each of these streams."""
        found: dict[str, list[Entry]] = {}
        for row in self._read(sql.READ_FIRST_AND_LAST, (json.dumps(list(streams)),)):
            found.setdefault(row[0], []).append(Entry(*row))
        return {stream: (entries[0], entries[-1]) for stream, entries in found.items()}

    def is_used(self, stream: str, ticket_id: str) -> bool:
        """Whether a `used` entry of a stream names this ticket."""
        return bool(self._read(READ_USE, (stream, ticket_id))[0][0])

    def grants(self, query: GrantQuery) -> list[GrantRow]:
        """The grants that a query describes, what ends first first."""
        return [to_grant(row) for row in self._read(*find_grants(query))]

    def grant_ids(self, prefix: str) -> list[str]:
        """At most two ids of grants that begin with `prefix`."""
        return [row[0] for row in self._read(FIND_GRANT_IDS, (prefix, prefix + "\x7f"))]

    def in_order(self, streams: Sequence[str], kind: str) -> list[str]:
        """Those of these streams that hold an entry of this kind, in the order of writing."""
        return [row[0] for row in self._read(sql.READ_ORDER, (json.dumps(list(streams)), kind))]

    def rows(self, ids: Sequence[str]) -> dict[str, Row]:
        """The rows of these tickets, by id."""
        return {row[0]: _row(row) for row in self._read(sql.READ_ROWS, (json.dumps(list(ids)),))}

    def known_and_end(self, ids: Sequence[str], stream: str) -> tuple[dict[str, bool], int]:
        """Those of these tickets that there are, and the number of a stream's last entry."""
        # One call is most of them: each pays for this, and one value is cheaper than a table of them.
        if len(ids) == 1:
            found = self._read(sql.READ_KNOWN_AND_END, (stream, ids[0]))
        else:
            found = self._read(sql.READ_ALL_KNOWN_AND_END, (stream, json.dumps(list(ids))))
        return {id_: bool(reviewed) for _, id_, reviewed in found if id_ is not None}, found[0][0]

    def find(self, query: Query) -> list[Row]:
        """The rows that a query describes, most urgent first."""
        return [_row(row) for row in self._select(sql.ROW_COLUMNS, query)]

    def _select(self, columns: str, query: Query) -> list[tuple[Any, ...]]:
        return select(self._read, columns, query)

    def loads(self) -> dict[str, int]:
        """How many tickets each has in hand."""
        return dict(self._read(sql.COUNT_IN_HAND, ()))

    def ids(self, prefix: str) -> list[str]:
        """At most two ticket ids that begin with `prefix`."""
        return [row[0] for row in self._read(sql.FIND_IDS, (prefix, prefix + "\x7f"))]

    def asked(self) -> list[str]:
        """Whom the tickets that wait ask for a word."""
        return [row[0] for row in self._read(overview.READ_ASKED, ())]

    def queues(self) -> list[str]:
        """Every queue that a ticket is in, or was."""
        return [row[0] for row in self._read(overview.READ_QUEUES, ())]

    def length(self, queue: str, now: str) -> Length:
        """How many tickets of a queue wait."""
        [(waiting, overdue, in_doubt, oldest)] = self._read(overview.READ_LENGTH, {"now": now, "queue": queue})
        return Length(int(waiting), int(overdue), int(in_doubt), oldest)

    def count_openings(self, since: str) -> int:
        """How many tickets were not opened before, or are pending."""
        return int(self._read(overview.COUNT_OPENINGS, (since,))[0][0])

    def openings(self, since: str) -> Iterator[Entry]:
        """The first entry of each of them."""
        statement, last = overview.READ_OPENINGS.format(entry=sql.ENTRY_COLUMNS), ""
        while page := self._read(statement, (last, since)):
            yield from (Entry(*row) for row in page)
            last = self._onwards(last, page[-1][0])

    def count_said(self, since: str) -> int:
        """How much `decided` and `words` will give."""
        return int(self._read(overview.COUNT_SAID, {"since": since})[0][0])

    def decided(self, since: str) -> Iterator[tuple[str, str, str, str]]:
        """Of each ticket whose last word is not older: queue, standing, when it was opened, when the word was said."""
        return overview.decided(self._read, since)

    def words(self, since: str) -> Iterator[tuple[str, str, str]]:
        """Of each word that is not older: its ticket's queue, who said it, and which it is."""
        return overview.words(self._read, since)

    def tally(self, thread_id: str, message_id: str) -> list[tuple[str, str, int]]:
        """How often each tool stands how in a thread, one message left out."""
        return self._read(sql.TALLY, (thread_id, message_id))

    def audited(self, entry: str, tool: str, most: int) -> int:
        """How many actions of a tool were chosen for an audit; stops counting at `most`."""
        return int(self._read(sql.COUNT_AUDITED, (entry, tool, most))[0][0])

    def secret(self) -> bytes:
        """The secret of this ledger, empty before the first."""
        found = self._read(sql.READ_SECRET, ())
        return bytes(found[0][0]) if found else b""

    def keep_secret(self, secret: bytes) -> bytes:
        """Keeps this secret, unless there is one; the one that is there."""
        self._read(sql.ADD_SECRET, (secret,))
        return self.secret()

    def policy(self, version: str) -> str | None:
        """The policy document of a version."""
        found = self._read(sql.READ_POLICY, (version,))
        return found[0][0] if found else None

    def policies(self) -> Iterator[tuple[str, str]]:
        """Every stored policy."""
        return iter(self._read(sql.READ_POLICIES, ()))

    def lease(self, name: str) -> Lease | None:
        """Who holds a name."""
        found = self._read(sql.READ_LEASE, (name,))
        return Lease(*found[0]) if found else None

    def swap_lease(self, name: str, old: Lease | None, new: Lease | None) -> bool:
        """Compare and set. Not synced: a lease that a power cut loses has no owner left."""
        with self._unsynced() as db:
            return self._swap(db, name, old, new).rowcount == 1

    def _swap(self, db: sqlite3.Connection, name: str, old: Lease | None, new: Lease | None) -> sqlite3.Cursor:
        if old is None:
            assert new is not None, "a lease is taken, moved or dropped"
            return db.execute(sql.ADD_LEASE, (name, new.token, new.owner, new.until))
        if new is None:
            return db.execute(sql.DROP_LEASE, (name, old.token, old.until))
        return db.execute(sql.MOVE_LEASE, (new.token, new.owner, new.until, name, old.token, old.until))

    def wakes(self) -> list[Wake]:
        """Every thread to wake."""
        return [Wake(*row) for row in self._read(sql.READ_WAKES, ())]

    def stale_wakes(self, before: str, after: Wake | None = None) -> list[Wake]:
        """A page of the threads to wake since `before` or longer."""
        last = (after.since, after.thread_id) if after else ("", "")
        return [Wake(*row) for row in self._read(sql.READ_STALE_WAKES, (before, *last))]

    def wake(self, thread_id: str) -> Wake | None:
        """What says that a thread is to be woken."""
        found = self._read(sql.READ_WAKE, (thread_id,))
        return Wake(*found[0]) if found else None

    def drop_wake(self, wake: Wake) -> None:
        """Not synced: what a power cut brings back is looked at once more."""
        with self._unsynced() as db:
            db.execute(sql.DROP_WAKE, (wake.thread_id, wake.entry))

    def due_channels(self, now: str) -> list[str]:
        """The channels that have something to send."""
        return [row[0] for row in self._read(sqlite_outbox.READ_CHANNELS, (now,))]

    def due_notices(self, channel: str, now: str) -> list[Notice]:
        """The first hundred notices of a channel that are to be tried by now."""
        return sqlite_outbox.to_notices(self._read(sqlite_outbox.READ_DUE, (channel, now)))

    def notices(self, ticket: str | None = None) -> list[Notice]:
        """The notices of a ticket, or those that nobody has got."""
        return sqlite_outbox.to_notices(self._read(*sqlite_outbox.found(ticket)))

    def swap_notice(self, old: Notice, new: Sequence[Notice]) -> bool:
        """Compare and set."""
        with self._transaction() as db:
            return sqlite_outbox.swap(db, old, new)

    def scan(self, after: int = 0) -> Iterator[tuple[int, Entry]]:
        """Every entry in the order of writing, a thousand at a time."""
        while page := self._read(sql.READ_ENTRIES, (after,)):
            for position, *values in page:
                yield position, Entry(*values)
            after = self._onwards(after, page[-1][0])

    def last(self) -> int:
        """The position of the newest entry."""
        return int(self._read(sql.READ_LAST, ())[0][0])

    def all_rows(self) -> Iterator[Row]:
        """Every row of standings, a thousand at a time."""
        last = ""
        while page := self._read(sql.READ_ALL_ROWS, (last,)):
            yield from map(_row, page)
            last = self._onwards(last, page[-1][0])

    def _onwards(self, last: Any, place: Any) -> Any:
        # In a damaged file the next page can begin before the last one, for ever.
        if type(place) is not type(last) or place <= last:
            raise LedgerCorrupt(f"{self.path}: {place!r} stands after {last!r}; restore it from a copy")
        return place

    def erase(self, entry: Entry, row: Row | GrantRow) -> int:
        """Erases the contents of a stream's entries, in the file and in its log."""
        with self._lock:
            with self._transaction() as db:
                erased = db.execute(sql.ERASE, (entry.stream,)).rowcount
                self._add(db, entry)
                if isinstance(row, Row):
                    db.execute(sql.REPLACE_ROW, sql.ROW_VALUES(row))
                else:
                    db.execute(PUT_GRANT, GRANT_VALUES(row))
            # The log keeps old pages until it is taken into the file and cut; a reader at work puts that off.
            self._read("PRAGMA wal_checkpoint(TRUNCATE)", ())
            return erased

    def check(self) -> list[str]:
        """Damage that SQLite finds, and a schema that is not the one this version makes."""
        damage = [row[0] for row in self._read("PRAGMA integrity_check", ()) if row[0] != "ok"]
        with self._lock, self._errors():
            ours = has_our_schema(self._connection())
        if not ours:
            damage.append("the tables, indexes or triggers are not those that this version made")
        return damage

    def close(self) -> None:
        """Closes the file; using the ledger again opens it again."""
        with self._lock:
            if self._db is not None:
                self._db.close()
            self._db = None

    def _read(self, statement: str, values: tuple[object, ...] | dict[str, object]) -> list[tuple[Any, ...]]:
        # On the way of every call: a context manager for the errors would cost more than some of the statements.
        try:
            with self._lock:
                return (self._db or self._connection()).execute(statement, values).fetchall()
        except FAILURES as error:
            raise translate(error, self.path) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._errors():
            db = self._connection()
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    @contextmanager
    def _unsynced(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._errors():
            db = self._connection()
            db.execute("PRAGMA synchronous = NORMAL")
            try:
                yield db
            finally:
                db.execute("PRAGMA synchronous = FULL")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            raise translate(error, self.path) from error

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = connect(self.path)
        return self._db


_OPEN: weakref.WeakSet[SqliteLedger] = weakref.WeakSet()
_held_back: list[SqliteLedger] = []


def _before_fork() -> None:
    # SQLite's locks do not survive a fork, and a child that only closes a connection harms its parent's.
    for ledger in list(_OPEN):
        ledger._lock.acquire()
        ledger.close()
        _held_back.append(ledger)


def _after_fork() -> None:
    while _held_back:
        _held_back.pop()._lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


_SAID = slice(*(list(Row.__slots__).index(name) for name in ("reviewed", "audited")))


def _row(values: tuple[Any, ...]) -> Row:
    return Row(*values[: _SAID.start], *map(bool, values[_SAID]), *values[_SAID.stop :])

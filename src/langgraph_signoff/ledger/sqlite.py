"""The ledger in one SQLite file: WAL, `synchronous=FULL`, one writer at a time."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from importlib import resources
from operator import attrgetter
from pathlib import Path

from langgraph_signoff.errors import LedgerCorrupt, LedgerError, LedgerUnavailable, LedgerVersion, StaleTicket
from langgraph_signoff.ledger import Query
from langgraph_signoff.ledger.entries import Entry, Lease, Row

APPLICATION_ID = 0x5160FF  # marks the file as ours
BUSY_TIMEOUT = 5.0  # seconds that a writer waits for another one

_ROW = ", ".join(field.name for field in fields(Row))
_VALUES = attrgetter(*(field.name for field in fields(Row)))
_ENTRY = "stream, seq, at, kind, body, prev, entries.hash, content, salt, data"

READ_HISTORY = (
    f"SELECT {_ENTRY} FROM entries LEFT JOIN contents ON contents.hash = content WHERE stream = ? ORDER BY seq"
)
READ_ENTRIES = f"SELECT position, {_ENTRY} FROM entries LEFT JOIN contents ON contents.hash = content WHERE position > ? ORDER BY position LIMIT 1000"
ADD_ENTRY = "INSERT INTO entries (stream, seq, at, kind, body, prev, hash, content) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
ADD_CONTENTS = "INSERT INTO contents (hash, salt, data) VALUES (?, ?, ?)"
ADD_POLICY = "INSERT OR IGNORE INTO policies (version, document) VALUES (?, ?)"
# Only what can change is set: SQLite rewrites every index whose column is named.
PUT_ROW = f"""
    INSERT INTO standings ({_ROW}) VALUES ({", ".join("?" * len(fields(Row)))})
    ON CONFLICT (id) DO UPDATE SET
        standing = excluded.standing, due_at = excluded.due_at, queue = excluded.queue, priority = excluded.priority,
        reason_code = excluded.reason_code, seq = excluded.seq, told = excluded.told
"""
READ_POLICY = "SELECT document FROM policies WHERE version = ?"
READ_POLICIES = "SELECT version, document FROM policies ORDER BY version"
READ_LEASE = "SELECT token, owner, until FROM leases WHERE name = ?"
ADD_LEASE = "INSERT OR IGNORE INTO leases (name, token, owner, until) VALUES (?, ?, ?, ?)"
MOVE_LEASE = "UPDATE leases SET token = ?, owner = ?, until = ? WHERE name = ? AND token = ? AND until = ?"
DROP_LEASE = "DELETE FROM leases WHERE name = ? AND token = ? AND until = ?"
FIND_IDS = "SELECT id FROM standings WHERE id >= ? AND id < ? ORDER BY id LIMIT 2"
TALLY = "SELECT tool, standing, count(*) FROM standings WHERE thread_id = ? AND message_id <> ? GROUP BY tool, standing"
ERASE = "UPDATE contents SET salt = NULL, data = NULL WHERE data IS NOT NULL AND hash IN (SELECT content FROM entries WHERE stream = ?)"
READ_SCHEMA = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name"


class SqliteLedger:
    """A ledger in a file of its own, shared by any number of threads and processes on one machine."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = str(path)
        self._lock = threading.RLock()
        self._pid = 0
        self._db: sqlite3.Connection | None = None
        with self._errors():
            self._connection()

    def history(self, stream: str) -> list[Entry]:
        """All entries of a stream in order."""
        return [Entry(*row) for row in self._read(READ_HISTORY, (stream,))]

    def append(
        self, entries: Sequence[Entry], rows: Sequence[Row] = (), policies: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Adds all of it in one transaction that is on the disk when this returns."""
        with self._transaction() as db:
            db.executemany(ADD_POLICY, policies)
            for entry in entries:
                self._add(db, entry)
            db.executemany(PUT_ROW, map(_VALUES, rows))

    def _add(self, db: sqlite3.Connection, entry: Entry) -> None:
        if entry.content:
            db.execute(ADD_CONTENTS, (entry.content, entry.salt, entry.data))
        values = (entry.stream, entry.seq, entry.at, entry.kind, entry.text, entry.prev, entry.hash, entry.content)
        try:
            db.execute(ADD_ENTRY, values)
        except sqlite3.IntegrityError as error:
            raise StaleTicket(entry.stream, entry.seq) from error

    def rows(self, ids: Sequence[str]) -> dict[str, Row]:
        """The rows of these tickets, by id."""
        marks = ", ".join("?" * len(ids))
        return {
            row[0]: _row(row) for row in self._read(f"SELECT {_ROW} FROM standings WHERE id IN ({marks})", tuple(ids))
        }

    def find(self, query: Query) -> list[Row]:
        """The rows that a query describes, most urgent first."""
        where, values = _conditions(query)
        text = f"SELECT {_ROW} FROM standings WHERE {where} ORDER BY priority DESC, due_at, id LIMIT ?"
        return [_row(row) for row in self._read(text, (*values, query.limit))]

    def ids(self, prefix: str) -> list[str]:
        """At most two ticket ids that begin with `prefix`."""
        return [row[0] for row in self._read(FIND_IDS, (prefix, prefix + "\x7f"))]

    def tally(self, thread_id: str, message_id: str) -> list[tuple[str, str, int]]:
        """How often each tool stands how in a thread, one message left out."""
        return self._read(TALLY, (thread_id, message_id))

    def policy(self, version: str) -> str | None:
        """The policy document of a version."""
        found = self._read(READ_POLICY, (version,))
        return found[0][0] if found else None

    def policies(self) -> Iterator[tuple[str, str]]:
        """Every stored policy."""
        return iter(self._read(READ_POLICIES, ()))

    def lease(self, name: str) -> Lease | None:
        """Who holds a name."""
        found = self._read(READ_LEASE, (name,))
        return Lease(*found[0]) if found else None

    def swap_lease(self, name: str, old: Lease | None, new: Lease | None) -> bool:
        """Compare and set. Not synced: a lease that a power cut loses has no owner left."""
        with self._lock, self._errors():
            db = self._connection()
            db.execute("PRAGMA synchronous = NORMAL")
            try:
                return self._swap(db, name, old, new).rowcount == 1
            finally:
                db.execute("PRAGMA synchronous = FULL")

    def _swap(self, db: sqlite3.Connection, name: str, old: Lease | None, new: Lease | None) -> sqlite3.Cursor:
        if old is None:
            assert new is not None, "a lease is taken, moved or dropped"
            return db.execute(ADD_LEASE, (name, new.token, new.owner, new.until))
        if new is None:
            return db.execute(DROP_LEASE, (name, old.token, old.until))
        return db.execute(MOVE_LEASE, (new.token, new.owner, new.until, name, old.token, old.until))

    def scan(self, after: int = 0) -> Iterator[tuple[int, Entry]]:
        """Every entry in the order of writing, a thousand at a time."""
        while page := self._read(READ_ENTRIES, (after,)):
            for position, *values in page:
                yield position, Entry(*values)
            after = page[-1][0]

    def all_rows(self) -> Iterator[Row]:
        """Every row of standings, a thousand at a time."""
        last = ""
        while page := self._read(f"SELECT {_ROW} FROM standings WHERE id > ? ORDER BY id LIMIT 1000", (last,)):
            yield from map(_row, page)
            last = page[-1][0]

    def erase(self, stream: str) -> int:
        """Erases the contents of a stream's entries."""
        with self._transaction() as db:
            return db.execute(ERASE, (stream,)).rowcount

    def check(self) -> list[str]:
        """Damage that SQLite finds, and a schema that is not the one this version makes."""
        damage = [row[0] for row in self._read("PRAGMA integrity_check", ()) if row[0] != "ok"]
        if self._read(READ_SCHEMA, ()) != _expected_schema():
            damage.append("the tables, indexes or triggers are not those that this version made")
        return damage

    def close(self) -> None:
        """Closes the file; using the ledger again opens it again."""
        with self._lock:
            if self._db is not None and self._pid == os.getpid():
                self._db.close()
            self._db = None

    def _read(self, statement: str, values: tuple[object, ...]) -> list[tuple]:  # type: ignore[type-arg]  # rows have no one shape
        with self._lock, self._errors():
            return self._connection().execute(statement, values).fetchall()

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
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise _translate(error, self.path) from error

    def _connection(self) -> sqlite3.Connection:
        # A connection does not survive a fork.
        if self._db is None or self._pid != os.getpid():
            self._db, self._pid = _connect(self.path), os.getpid()
        return self._db


def _connect(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
    try:
        _use_wal(db)
        db.execute("PRAGMA synchronous = FULL")
        _migrate(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _use_wal(db: sqlite3.Connection) -> None:
    # The busy timeout does not cover the change of journal mode, and two processes may meet in it.
    end = time.monotonic() + BUSY_TIMEOUT
    while db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


def _migrate(db: sqlite3.Connection, path: str) -> None:
    steps = migrations()
    if _version(db, path, len(steps)) == len(steps):
        return
    db.execute("BEGIN IMMEDIATE")
    for number in range(_version(db, path, len(steps)), len(steps)):
        for statement in _statements(steps[number]):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {number + 1}")
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute("COMMIT")


def _version(db: sqlite3.Connection, path: str, known: int) -> int:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    ours = db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    if not ours and db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise LedgerCorrupt(f"{path} is an SQLite file of another program; name a file of its own for the ledger")
    if version > known:
        raise LedgerVersion(f"{path} has format {version}, this version reads up to {known}; upgrade langgraph-signoff")
    return version


def migrations() -> list[str]:
    """The numbered SQL files, in order."""
    folder = resources.files("langgraph_signoff.ledger") / "migrations" / "sqlite"
    return [
        file.read_text("utf-8")
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".sql")
    ]


def _statements(script: str) -> Iterator[str]:
    # `executescript` would commit half-way; a statement may hold semicolons of its own.
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _expected_schema() -> list[tuple[str, str]]:
    with sqlite3.connect(":memory:") as db:
        for script in migrations():
            db.executescript(script)
        schema = db.execute(READ_SCHEMA).fetchall()
    db.close()
    return schema


def _row(values: tuple) -> Row:  # type: ignore[type-arg]  # rows have no one shape
    return Row(*values[:-2], bool(values[-2]), bool(values[-1]))


def _conditions(query: Query) -> tuple[str, list[object]]:
    # The literal lets SQLite use the partial indexes.
    parts = [f"standing IN ({', '.join(repr(str(s)) for s in query.standings)})"] if len(query.standings) > 1 else []
    parts += [f"standing = '{query.standings[0]}'"] if len(query.standings) == 1 else []
    values: list[object] = []
    for column, value in (
        ("queue", query.queue),
        ("thread_id", query.thread_id),
        ("tool", query.tool),
        ("reviewed", query.reviewed),
    ):
        if value is not None:
            parts.append(f"{column} = ?")
            values.append(value)
    if query.due_before is not None:
        parts.append("due_at <= ?")
        values.append(query.due_before)
    if query.after is not None:
        last = query.after
        parts.append("(-priority, coalesce(due_at, ''), id) > (?, ?, ?)")
        values += [-last.priority, last.due_at or "", last.id]
    return " AND ".join(parts) or "1", values


def _translate(error: Exception, path: str) -> LedgerError:
    text = str(error)
    if isinstance(error, sqlite3.DatabaseError) and (
        "malformed" in text or "not a database" in text or type(error) is sqlite3.DatabaseError
    ):
        return LedgerCorrupt(f"{path}: {text}; restore it from a copy")
    if not Path(path).parent.is_dir():
        text += f" (there is no folder {Path(path).parent})"
    return LedgerUnavailable(f"{path}: {text}; nothing was run")

"""The file under the ledger: opened, told from others, brought to this version's schema, and its errors named."""

from __future__ import annotations

import functools
import sqlite3
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from langgraph_signoff.errors import LedgerCorrupt, LedgerError, LedgerUnavailable, LedgerVersion

APPLICATION_ID = 0x5160FF  # marks the file as ours
BUSY_TIMEOUT = 5.0  # seconds that a writer waits for another one

READ_FORMAT = """
    SELECT user_version, application_id, (SELECT count(*) FROM sqlite_master)
    FROM pragma_user_version, pragma_application_id
"""
READ_SCHEMA = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name"


def connect(path: str) -> sqlite3.Connection:
    """A connection to the ledger at `path`, which is made or migrated if need be. Raises LedgerError, sqlite3.Error."""
    db = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
    try:
        _version(db, path, len(migrations()))  # before anything is written into a file that may be somebody else's
        _use_wal(db, path)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA secure_delete = ON")
        _migrate(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _use_wal(db: sqlite3.Connection, path: str) -> None:
    # The busy timeout does not cover the change of journal mode, and two processes may meet in it.
    end = time.monotonic() + BUSY_TIMEOUT
    mode = db.execute("PRAGMA journal_mode").fetchone()[0]
    while mode != "wal":
        try:
            mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
        if mode == "wal":
            return
        if time.monotonic() > end:
            raise LedgerUnavailable(f"{path} cannot be shared (journal mode {mode}, not WAL); put it on a local disk")
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
    # One statement, so one snapshot: another process may be making the tables just now.
    version, application, tables = db.execute(READ_FORMAT).fetchone()
    if tables and application != APPLICATION_ID:
        raise LedgerCorrupt(f"{path} is an SQLite file of another program; name a file of its own for the ledger")
    if version > known:
        raise LedgerVersion(f"{path} has format {version}, this version reads up to {known}; upgrade langgraph-signoff")
    return int(version)


@functools.cache
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


def has_our_schema(db: sqlite3.Connection) -> bool:
    """Whether tables, indexes and triggers are those that this version makes."""
    return bool(db.execute(READ_SCHEMA).fetchall() == _schema_made_by(*migrations()))


@functools.cache
def _schema_made_by(*scripts: str) -> list[tuple[str, str]]:
    with sqlite3.connect(":memory:") as db:
        for script in scripts:
            db.executescript(script)
        schema = db.execute(READ_SCHEMA).fetchall()
    db.close()
    return schema


# What Python's driver raises for a value that no column can hold.
_NO_VALUE = (UnicodeEncodeError, OverflowError, sqlite3.ProgrammingError, sqlite3.InterfaceError)

FAILURES = (sqlite3.Error, OSError, UnicodeDecodeError, *_NO_VALUE)
"""What reading and writing the file can raise; `translate` names it."""

_UNAVAILABLE = frozenset(
    {
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_TOOBIG,
    }
)


def translate(error: Exception, path: str) -> LedgerError:
    """The error of ours for one of `FAILURES`: whether the file is damaged, or cannot be had just now."""
    text = str(error)
    if isinstance(error, _NO_VALUE):
        return LedgerUnavailable(f"{path} cannot hold this: {text}; nothing was run")
    # Our statements are right: where SQLite cannot make sense of one, or of a text that it reads, the file is not.
    if isinstance(error, UnicodeDecodeError) or (
        isinstance(error, sqlite3.DatabaseError) and _code(error) not in _UNAVAILABLE
    ):
        return LedgerCorrupt(f"{path}: {text}; restore it from a copy")
    if not Path(path).parent.is_dir():
        text += f" (there is no folder {Path(path).parent})"
    return LedgerUnavailable(f"{path}: {text}; nothing was run")


def _code(error: sqlite3.Error) -> int:
    # The low byte; the others tell more of the same. None was given for a text that is no UTF-8.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF

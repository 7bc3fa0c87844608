"""Many tickets: the first page, decisions a second, and memory."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import psutil
from measure import Figure, in_turn, microseconds

from langgraph_signoff import Action, Policy, Signoff
from langgraph_signoff.ledger import Row
from langgraph_signoff.records import Opening

NOW = datetime.now(UTC)
POLICY = Policy(tools={"send": "review"})
SCHEMA = {"type": "object", "properties": {"to": {"type": "string"}, "amount": {"type": "number"}}}

PAGE = """
    SELECT * FROM (SELECT id FROM standings WHERE standing = 'pending' ORDER BY priority DESC, due_at, id LIMIT 50) page
    JOIN entries ON stream = page.id LEFT JOIN contents ON contents.hash = contents_hash
"""
# Copies of one ticket under other ids: a million real openings would take minutes and read the same.
COPY_ENTRIES = """
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
    INSERT INTO entries (stream, seq, at, kind, body, contents_hash, prev, hash)
    SELECT printf('%032x', i * 2654435761), seq, at, kind, body, contents_hash, prev, hash FROM n, entries WHERE stream = ?
"""
_KEPT = ", ".join(field.name for field in fields(Row) if field.name not in ("id", "thread_id"))
COPY_ROWS = f"""
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
    INSERT INTO standings (id, thread_id, {_KEPT})
    SELECT printf('%032x', i * 2654435761), thread_id || i, {_KEPT} FROM n, (SELECT * FROM standings WHERE {{which}} LIMIT 1)
"""


def opening(number: int) -> Opening:
    """The opening of one ticket."""
    args = {"to": "bob", "amount": 7.0}
    hash_ = hashlib.sha256(str(number).encode()).hexdigest()
    action = Action(
        thread_id=f"t{number}",
        proposal=str(number),
        tool="send",
        args=args,
        parsed=args,
        digest=hash_,
        args_schema=SCHEMA,
    )
    return Opening(hash_[:32], action, POLICY.rule(action, now=NOW))


def filled(path: Path, count: int) -> Signoff:
    """A ledger with that many pending tickets."""
    signoff = Signoff(path, policy=POLICY)
    first = opening(0)
    signoff.desk.open([first], policy=(POLICY.version, POLICY.document))
    with sqlite3.connect(path) as db:
        db.execute(COPY_ENTRIES, (count, first.id))
        db.execute(COPY_ROWS.format(which="id = ?"), (count, first.id))
    db.close()
    return signoff


def page_figures(folder: Path, *, rounds: int, many: int) -> list[Figure]:
    """The first page among many tickets."""
    large, small = filled(folder / "large.db", many), filled(folder / "small.db", 1_000)
    bare = sqlite3.connect(folder / "large.db")
    medians = in_turn(
        {
            "bare": lambda: bare.execute(PAGE).fetchall(),
            "many": lambda: large.pending(),
            "few": lambda: small.pending(),
        },
        rounds=rounds,
    )
    assert len(large.pending()) == len(small.pending()) == 50
    bare.close()
    return [
        Figure(
            f"first page of {many:,} pending",
            "the same rows by bare SQL",
            medians["many"] / medians["bare"],
            3.0,
            microseconds(medians),
        ),
        Figure(f"first page of {many:,} pending", "of 1,000", medians["many"] / medians["few"], 1.5, ""),
    ]


def decision_figures(folder: Path, *, rounds: int) -> list[Figure]:
    """Decisions of one process, against a bare transaction that writes as many rows into the same tables."""
    signoff = Signoff(folder / "decisions.db", policy=POLICY)
    count = rounds + 20
    policy = (POLICY.version, POLICY.document)
    signoff.desk.open([opening(n) for n in range(2 * count)], policy=policy)
    tickets = iter([signoff.ticket(opening(n).id) for n in range(count)])
    others = iter([opening(n).id for n in range(count, 2 * count)])
    bare = sqlite3.connect(folder / "decisions.db", isolation_level=None)
    bare.execute("PRAGMA synchronous = FULL")

    def decide() -> None:
        signoff.approve(next(tickets), by="ana", reason="fine")

    def write() -> None:
        id_ = next(others)
        bare.execute("BEGIN IMMEDIATE")
        bare.execute("INSERT INTO contents (hash, salt, data) VALUES (?, ?, ?)", (id_ * 2, "s" * 32, "x" * 200))
        bare.execute(
            "INSERT INTO entries (stream, seq, at, kind, body, contents_hash, prev, hash) VALUES (?, 2, ?, 'bare', ?, ?, ?, ?)",
            (id_, "2026-01-01T00:00:00.000000Z", "x" * 200, id_ * 2, "p" * 64, "h" * 64),
        )
        bare.execute("UPDATE standings SET standing = 'bare', due_at = '2027' WHERE id = ?", (id_,))
        bare.execute("COMMIT")

    medians = in_turn({"bare": write, "decide": decide}, rounds=rounds)
    bare.close()
    rate = f"{1 / medians['decide']:,.0f} decisions a second; {microseconds(medians)}"
    return [Figure("a decision", "a bare transaction of as many rows", medians["decide"] / medians["bare"], 2.0, rate)]


def memory_figures(folder: Path, *, count: int) -> list[Figure]:
    """Resident memory after a tenth and after all of the tickets were listed and decided by this process."""
    signoff = Signoff(folder / "memory.db", policy=POLICY)
    process = psutil.Process(os.getpid())
    for start in range(0, count, 5_000):
        signoff.desk.open([opening(n) for n in range(start, start + 5_000)], policy=(POLICY.version, POLICY.document))
    early, done = 0, 0
    with sqlite3.connect(folder / "memory.db") as db:
        db.execute("PRAGMA synchronous = OFF")
    while page := signoff.pending(limit=50):
        for ticket in page:
            signoff.approve(ticket, by="ana")
        done += len(page)
        if done == count // 10:
            early = process.memory_info().rss
    late = process.memory_info().rss
    assert done == count, f"{done} of {count} were decided"
    detail = f"{early / 2**20:.0f} MiB after {count // 10:,}, {late / 2**20:.0f} MiB after {count:,}"
    return [Figure(f"memory, {count:,} listed and decided", f"after {count // 10:,}", late / early, 1.1, detail)]

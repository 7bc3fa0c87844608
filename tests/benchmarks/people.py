"""An operator's day among a million tickets and ten thousand people, against a thousand tickets: every command, and both that may grow."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from measure import Figure, in_turn, microseconds, seconds

from langgraph_signoff import Action, Policy, Query, Signoff, Standing
from langgraph_signoff.canonical import digest
from langgraph_signoff.entries import Entry, Row, Wake, link, stamp
from langgraph_signoff.law import recorded
from langgraph_signoff.ledger import Draft
from langgraph_signoff.ledger.sqlite_statements import ADD_CONTENTS, ADD_ENTRY, ADD_WAKE, PUT_ROW
from langgraph_signoff.liveness import me
from langgraph_signoff.records import Opening, to_draft, to_row
from langgraph_signoff.vocabulary import Counts, Ruling

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
FEW = 1_000
PEOPLE, GROUPS = 10_000, 100
ME = "p00001"
BASE = 20_000  # tickets that are made one by one; more are copies of them under other ids
DONE = ("executed", "rejected", "expired", "denied")
LEFT = {"pending": 0.05, "approved": 0.002, "running": 0.001, "in_doubt": 0.001, "taken": 0.002, "overdue": 0.01}
"""How many of the tickets stand otherwise than done; of those pending one percent are in the queue of the one who asks."""


def policy_text() -> str:
    """A policy with ten thousand people in a hundred groups, each with a queue."""
    people = "".join(f"  p{n:05d}: {{groups: [g{n % GROUPS:02d}]}}\n" for n in range(PEOPLE))
    queues = "".join(
        f"  q{n:02d}: {{owner: p{n:05d}, backup: [p{n:05d}], reviewers: ['group:g{n:02d}'], window: 30d}}\n"
        for n in range(GROUPS)
    )
    tools = "".join(
        f"  send{n:02d}: {{rules: [{{when: args.amount > 5.0, then: review, queue: q{n:02d}}}], otherwise: allow}}\n"
        for n in range(GROUPS)
    )
    return f"version: 1\npeople:\n{people}queues:\n{queues}tools:\n{tools}"


@dataclass(frozen=True)
class Filled:
    """A ledger with its tickets, and what is measured on it."""

    signoff: Signoff
    pending: Iterator[str]
    count: int

    def commands(self) -> dict[str, Callable[[], object]]:
        """Everything that an operator asks, by name."""
        signoff, some = self.signoff, next(self.pending)
        waits = (Standing.PENDING, Standing.IN_DOUBT)
        return {
            "list": lambda: signoff.find(Query(waits)),
            "list --queue": lambda: signoff.find(Query(waits, queue="q01")),
            "list --tool": lambda: signoff.find(Query(waits, tool="send01")),
            "list --all": lambda: signoff.find(Query()),
            "list --mine": lambda: signoff.mine(by=ME),
            "list --overdue": lambda: signoff.overdue(),
            "list --stuck": lambda: signoff.stuck(),
            "show": lambda: signoff.ticket(some[:31]),
            "who": lambda: signoff.who(some),
            "why": lambda: signoff.why(some),
            "take": lambda: signoff.take(some, by="p00001"),
            "approve": lambda: signoff.approve(signoff.ticket(next(self.pending)), by=ME),
        }


def filled(path: Path, policy: Policy, count: int) -> Filled:
    """A ledger with so many tickets of every kind, each with the history that its like would have."""
    signoff = Signoff(path, policy=policy, clock=lambda: NOW)
    mine: list[str] = []
    db = sqlite3.connect(path, isolation_level=None)
    for pragma in ("synchronous = OFF", "cache_size = -1000000"):
        db.execute(f"PRAGMA {pragma}")
    db.execute("BEGIN")
    db.execute("INSERT INTO policies (version, document) VALUES (?, ?)", (policy.version, policy.document))
    for entries, row, wake in _tickets(policy, min(count, BASE)):
        for entry in entries:
            chained = (entry.prev, entry.hash, entry.contents_hash)
            db.execute(ADD_ENTRY, (entry.stream, entry.seq, entry.at, entry.kind, entry.body_json, *chained))
            if entry.contents_hash:
                db.execute(ADD_CONTENTS, (entry.contents_hash, entry.salt, entry.contents_json))
        db.execute(PUT_ROW, tuple(getattr(row, name) for name in Row.__slots__))
        if wake:
            db.execute(ADD_WAKE, (wake.thread_id, wake.entry, wake.since))
        if row.standing == "pending" and row.queue == "q01" and not row.in_hand and (row.due_at or "") > stamp(NOW):
            mine.append(row.id)
    for statement in COPIES:
        db.execute(statement, (count // BASE - 1,))
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return Filled(signoff, iter(mine), count)


_COPY = "WITH RECURSIVE n(i) AS (SELECT 1 WHERE ?1 >= 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)"
_ID = (
    "substr({id}, i % 20 + 1, 8) || substr({id}, 9, 20) || printf('%04x', i)"  # as scattered as the ids of real tickets
)
_KEPT = ", ".join(name for name in Row.__slots__ if name not in ("id", "thread_id"))
COPIES = (
    f"""{_COPY} INSERT INTO entries (stream, seq, at, kind, body, contents_hash, prev, hash)
        SELECT {_ID.format(id="stream")}, seq, at, kind, body, contents_hash, prev, hash FROM n, entries""",
    f"""{_COPY} INSERT INTO wakes (thread_id, entry, since) SELECT thread_id || '-' || i, entry, since FROM n, wakes""",
    f"""{_COPY} INSERT INTO standings (id, thread_id, {_KEPT})
        SELECT {_ID.format(id="id")}, thread_id || '-' || i, {_KEPT} FROM n, standings""",
)


def _tickets(policy: Policy, count: int) -> Iterator[tuple[list[Entry], Row, Wake | None]]:
    chance = random.Random(5)
    kinds = [*LEFT, *DONE]
    weights = [*LEFT.values(), *[(1 - sum(LEFT.values())) / len(DONE)] * len(DONE)]
    drawn = chance.choices(kinds, weights, k=count)
    # A page of each kind that is listed, and enough for whoever asks, also among few tickets.
    sure = [kind for kind in LEFT for _ in range(60)] + ["mine"] * 400
    drawn[: len(sure)] = sure
    rulings = [policy.rule(_action(0, place), now=NOW, history=Counts()) for place in range(GROUPS)]
    for number, kind in enumerate(drawn):
        yield _made(number, kind, rulings, chance)


def _made(
    number: int, kind: str, rulings: Sequence[Ruling], chance: random.Random
) -> tuple[list[Entry], Row, Wake | None]:
    place = 1 if kind == "mine" else chance.randrange(GROUPS)
    action, ruling = _action(number, place), rulings[place]
    age = {"overdue": timedelta(days=31), "mine": timedelta(days=1)}.get(kind, timedelta(days=29 * chance.random()))
    if kind == "denied":
        ruling = ruling.model_copy(update={"mode": "deny"})
    id_ = f"{chance.getrandbits(128):032x}"
    entries = link(id_, None, [to_draft(Opening(id_, action, ruling))], NOW - age)
    for hours, draft in enumerate(_life(kind, action.digest), start=1):
        is_fresh = draft.kind == "taken" and number % 2
        at = NOW - timedelta(minutes=10) if is_fresh else NOW - age + timedelta(hours=hours * chance.random())
        entries += link(id_, entries[-1], [draft], at)
    wake = Wake(action.thread_id, entries[-1].hash, entries[-1].at) if kind in ("approved", "running") else None
    return entries, to_row(recorded(entries)), wake


def _action(number: int, place: int) -> Action:
    args = {"to": "bob", "amount": 7.0}
    names = {"thread_id": f"t{number}", "proposal": str(number), "message_id": f"m{number}"}
    return Action(
        tool=f"send{place:02d}", args=args, parsed=args, digest=digest("send", {**args, "n": number}), **names
    )


def _life(kind: str, named: str) -> list[Draft]:
    said: dict[str, Any] = {"by": "p00002", "generation": 1, "groups": []}
    words = {"reason": "", "digest": named, "seen": ""}
    approved = Draft("decided", {**said, "verdict": "approve"}, words)
    owner = me().replace('"pid": ', '"pid": 9')
    claimed = Draft("claimed", {"attempt": 1, "generation": 1, "owner": owner, "lease": 10.0})
    executed = Draft("executed", {"attempt": 1}, {"rendering": "sent"})
    return {
        "executed": [approved, claimed, executed],
        "rejected": [Draft("decided", {**said, "verdict": "reject"}, words)],
        "expired": [Draft("expired", {})],
        "approved": [approved],
        "running": [approved, claimed],
        "in_doubt": [approved, claimed, Draft("in_doubt", {"attempt": 1, "found_by": owner})],
        "taken": [Draft("taken", {"by": "p00003", "until": stamp(NOW + timedelta(minutes=30))})],
    }.get(kind, [])


def figures(folder: Path, *, rounds: int, many: int) -> list[Figure]:
    """Every command among many tickets against the same among few; and what grows, by how much."""
    text = policy_text()
    took = seconds(lambda: Policy.parse(text))
    policy = Policy.parse(text)
    restored = seconds(lambda: Policy.restore(policy.document))
    start = time.perf_counter()
    small, large = filled(folder / "few.db", policy, FEW), filled(folder / "many.db", policy, many)
    built = time.perf_counter() - start
    about = f"parsing YAML {took:.1f} s, from the record {restored:.2f} s; ledgers built in {built:.0f} s"
    found = [Figure(f"a policy with {PEOPLE:,} people", "the one on record", took / restored, None, about)]
    few, lots = small.commands(), large.commands()
    for name in few:
        medians = in_turn({"few": few[name], "many": lots[name]}, rounds=rounds, warm=3)
        ratio = medians["many"] / medians["few"]
        found.append(Figure(f"`{name}`, {many:,} tickets", f"{FEW:,}", ratio, 2.0, microseconds(medians)))
    return [*found, *_growing(small, large)]


def _growing(small: Filled, large: Filled) -> list[Figure]:
    other = Policy(tools={"send*": "review"})
    asked: dict[str, Callable[[Filled], object]] = {
        "queue": lambda made: made.signoff.queues(days=30),
        "simulate": lambda made: made.signoff.simulate(other, days=30),
    }
    found = []
    for name, ask in asked.items():
        few, many = seconds(partial(ask, small)), seconds(partial(ask, large))
        each = (many / large.count) / (few / small.count)
        detail = f"{few:.2f} s and {many:.1f} s"
        found.append(Figure(f"`{name}`, a ticket of {large.count:,}", f"a ticket of {FEW:,}", each, None, detail))
    return found

"""What several tests need: a clock that is told the time, tickets without a graph, a small agent, another process."""

from __future__ import annotations

import itertools
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph

from langgraph_signoff import Action, Audit, Policy, Requirements, Ruling, Signoff, Ticket
from langgraph_signoff.canonical import digest
from langgraph_signoff.law import audit_id
from langgraph_signoff.ledger import Draft, sqlite_file
from langgraph_signoff.records import Opening
from langgraph_signoff.testing import ScriptedModel

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)

_numbers = itertools.count(1)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab/~.", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "pin", "0", "b"]), inner, max_size=3)
    ),
    max_leaves=8,
)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


def opening(args: dict[str, Any] | None = None, *, mode: str = "review", **more: Any) -> Opening:
    """A ruled call of `send`; `more` goes to its requirements, its ruling or its action, whichever has such a field."""
    number = next(_numbers)
    args = {"to": "bob", "amount": 5} if args is None else args
    requirements = {key: more.pop(key) for key in list(more) if key in Requirements.model_fields}
    revisers = more.pop("revisers", ())
    rules = {key: more.pop(key) for key in list(more) if key in Ruling.model_fields}
    action = {"thread_id": f"t-{number}", "proposal": f"p-{number}", "tool": "send", "message_id": f"m-{number}"} | more
    ruling = {"mode": mode, "reason_code": "test", "rule": "tools.send", "policy_version": Policy().version} | rules
    return Opening(
        id=f"{number:032x}",
        action=Action(args=args, parsed=args, digest=digest(action["tool"], args), **action),
        ruling=Ruling(requirements=Requirements(**requirements), **ruling),
        revisers=revisers,
    )


def open_ticket(signoff: Signoff, args: dict[str, Any] | None = None, **more: Any) -> Ticket:
    """A ticket in the ledger, as the gate would have opened it."""
    policy = signoff.policy
    made = opening(args, policy_version=policy.version, **more)
    signoff.desk.open([made], policy=(policy.version, policy.document))
    return signoff.ticket(made.id)


def open_audit(signoff: Signoff, args: dict[str, Any] | None = None, **more: Any) -> Ticket:
    """The audit of a call that has run, as the gate would have left it."""
    about = {"mode": "allow", "once": True, "record": True, "rule": "tools.send.otherwise", "audit": Audit()}
    action = open_ticket(signoff, args, **(about | more))
    signoff.desk.write(action.id, lambda _: [Draft("executed", {"attempt": 1}, {"rendering": "sent"})])
    return signoff.ticket(audit_id(action.id))


def as_of_version(path: Path, version: int) -> None:
    """Makes of a ledger the file that an earlier version of its schema would have left."""
    newer = path.with_suffix(".newer")
    path.rename(newer)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for script in sqlite_file.migrations()[:version]:
            db.executescript(script)
        db.execute("ATTACH ? AS newer", (str(newer),))
        for (table,) in db.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall():
            columns = ", ".join(row[1] for row in db.execute(f"PRAGMA main.table_info({table})"))
            db.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM newer.{table}")
        db.execute(f"PRAGMA user_version = {version}")
        db.execute(f"PRAGMA application_id = {sqlite_file.APPLICATION_ID}")


def forge(path: Path, *statements: str) -> None:
    """Changes a ledger's file as somebody with write access to it could, and puts the schema back."""
    with closing(sqlite3.connect(path)) as db:
        triggers = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            db.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            assert db.execute(statement).rowcount, f"{statement} changed nothing"
        for _, sql in triggers:
            db.execute(sql)
        db.commit()


@contextmanager
def agent(
    signoff: Signoff,
    tools: Sequence[Callable[..., Any]],
    script: Sequence[Any],
    *,
    threads: str | Path = ":memory:",
    **gate: Any,
) -> Iterator[Any]:
    """A graph of a scripted model and its gated tools; `gate` are options of the gate."""
    model = ScriptedModel(script)
    builder = StateGraph(MessagesState)
    builder.add_node("agent", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_node("tools", signoff.tool_node(list(tools), **gate))
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", lambda state: "tools" if state["messages"][-1].tool_calls else END)
    builder.add_edge("tools", "agent")
    db = sqlite3.connect(threads, check_same_thread=False)
    try:
        yield builder.compile(checkpointer=SqliteSaver(db))
    finally:
        db.close()


def until(true: Callable[[], object], *, seconds: float = 20) -> None:
    """Waits for something that has to come."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


HOLDER = """
import sys, time
from langgraph_signoff import Signoff
signoff = Signoff(sys.argv[1], lease=float(sys.argv[3]))
if sys.argv[2].startswith("thread:"):
    print(signoff.leases.take(sys.argv[2]), flush=True)
else:
    print(signoff.claims.claim(sys.argv[2])[1], flush=True)
time.sleep(60)
"""


@contextmanager
def holder(path: Path, name: str, lease: float = 0.5) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a claim, or a thread, and does not let go."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, path, name, str(lease)], stdout=-1, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "True\n"
            yield process
        finally:
            process.kill()

"""A call that is audited beside one that is only run once, and the count that says whether a tool is new among many audits."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cycle import ASK, build, look, look_script
from langgraph.checkpoint.sqlite import SqliteSaver
from measure import Figure, in_turn, microseconds
from tickets import COPY_ROWS

from langgraph_signoff import Policy, Signoff

WAYS: dict[str, dict[str, Any]] = {
    "once": {"then": "allow", "once": True},
    "not looked at": {"then": "audit", "sample": 0.0, "new_until": 0},
    "looked at": {"then": "audit", "sample": 1.0, "new_until": 0},
}


def figures(folder: Path, *, rounds: int, many: int) -> list[Figure]:
    """Whole invocations of an agent that calls one tool; then the count, and the first page, among many audits."""
    saver = SqliteSaver(sqlite3.connect(folder / "audit_threads.db", check_same_thread=False))
    ids = itertools.count()
    signoffs: dict[str, Signoff] = {}

    def invoked(name: str, way: dict[str, Any]) -> Callable[[], object]:
        policy = Policy(tools={"look": {"risk": {"reversible": True}, "otherwise": way}})
        signoffs[name] = Signoff(folder / f"audit {name}.db", policy=policy)
        graph = build(signoffs[name].tool_node([look]), look_script(), saver)
        return lambda: graph.invoke(ASK, {"configurable": {"thread_id": f"a{next(ids)}"}})

    calls = in_turn({name: invoked(name, way) for name, way in WAYS.items()}, rounds=rounds)
    ledger = signoffs["looked at"].ledger
    with sqlite3.connect(folder / "audit looked at.db") as db:
        db.execute(COPY_ROWS.format(which="audited <> ''"), (many,))
    db.close()
    counts = in_turn(
        {
            "few": lambda: signoffs["once"].ledger.audited("tools.look", "look", 20),
            "many": lambda: ledger.audited("tools.look", "look", 20),
        },
        rounds=10 * rounds,
    )
    for signoff in signoffs.values():
        signoff.close()
    return [
        Figure(
            "an audited call", "an allowed one, once", calls["looked at"] / calls["once"], None, microseconds(calls)
        ),
        Figure("one that is not looked at", "an allowed one, once", calls["not looked at"] / calls["once"], None, ""),
        Figure(f"is a tool new, {many:,} audits", "none", counts["many"] / counts["few"], None, microseconds(counts)),
    ]

"""An agent that pays, looks and drops, on real files; every payment is a row outside of the graph."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from langgraph_signoff import Policy, Signoff
from support import Clock


class Payments:
    """What such an agent works with: a front door to a ledger under this policy, its tools, and what it has paid."""

    def __init__(self, folder: Path, stack: ExitStack, policy: str) -> None:
        self.folder, self.clock, self.policy, self._stack = folder, Clock(), policy, stack
        with closing(sqlite3.connect(folder / "bank.db")) as db:
            db.execute("CREATE TABLE IF NOT EXISTS paid (who TEXT, amount REAL)")
        self.signoff = self.new_signoff()
        self.graph: Any = None

    def new_signoff(self, policy: str | None = None, **options: Any) -> Signoff:
        """Another process's front door to the same ledger."""
        given = {"clock": self.clock, "wait": 0.5, **options}
        made = Signoff(self.folder / "signoff.db", policy=Policy.parse(policy or self.policy), **given)
        self._stack.callback(made.close)
        return made

    def pay(self, to: str, amount: float = 5.0, pin: str = "none") -> str:
        """Pays."""
        with closing(sqlite3.connect(self.folder / "bank.db")) as db, db:
            db.execute("INSERT INTO paid VALUES (?, ?)", (to, amount))
        return f"paid {amount:g} to {to}"

    def look(self, x: int) -> str:
        """Looks."""
        return f"saw {x}"

    def drop(self, x: int) -> str:
        """Drops."""
        raise AssertionError("nobody lets it run")

    @property
    def paid(self) -> list[tuple[str, float]]:
        with closing(sqlite3.connect(self.folder / "bank.db")) as db:
            return db.execute("SELECT who, amount FROM paid ORDER BY rowid").fetchall()

"""The payroll of a month, as a workflow of LangGraph's Functional API: small payments are made alone, larger ones wait.

`guarded` stands around the task that pays. The arguments of a call are the action, `key` names it; a refusal is an exception,
which the workflow may catch.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task

from langgraph_signoff import ActionRefused, Answer, CurrentAction, Happened, Signoff

POLICY = Path(__file__).with_suffix(".yaml")
MAY = {"month": "2026-05", "pay": {"ada": 420.0, "bo": 3100.0, "cleo": 9400.0}}


class Bank:
    """An account in one SQLite file, made on first use."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "payroll.db"
        with closing(self._open()) as db, db:
            db.execute("CREATE TABLE IF NOT EXISTS payments (month TEXT, person TEXT, amount REAL)")

    def transfer(self, month: str, person: str, amount: float) -> None:
        """Moves the money: what nobody can take back."""
        with closing(self._open()) as db, db:
            db.execute("INSERT INTO payments VALUES (?, ?, ?)", (month, person, amount))

    def payments(self) -> list[tuple[str, str, float]]:
        """Every payment so far: month, person, amount."""
        with closing(self._open()) as db:
            return db.execute("SELECT month, person, amount FROM payments ORDER BY person").fetchall()

    def look_up(self, about: CurrentAction) -> Happened | Answer:
        """Whether a payment was made whose process died: the probe that is asked before a person is."""
        paid = {(month, person): amount for month, person, amount in self.payments()}
        amount = paid.get((about.args["month"], about.args["person"]))
        return Answer.DID_NOT_HAPPEN if amount is None else Happened(result=_receipt(about.args["person"], amount))

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path)


def _receipt(person: str, amount: float) -> str:
    return f"{person} has got {amount:.2f} EUR"


def build(bank: Bank, *, signoff: Signoff, checkpointer: Any = None) -> Any:
    """The workflow. It pays one after the other, and tells what came of each."""

    @signoff.guarded(key=lambda month, person, amount: [month, person], verify=bank.look_up)  # noqa: ARG005  # the task's own
    @task
    def pay(month: str, person: str, amount: float) -> str:
        bank.transfer(month, person, amount)
        return _receipt(person, amount)

    @entrypoint(checkpointer=checkpointer)
    def payroll(due: Mapping[str, Any]) -> list[str]:
        told = []
        for person, amount in due["pay"].items():
            try:
                told.append(pay(due["month"], person, amount).result())
            except ActionRefused as refused:
                told.append(str(refused))
        return told

    payroll.name = "payroll"  # LangGraph calls every workflow the same; a ticket shows this
    return payroll


async def graph() -> Any:
    """What `langgraph.json` names. A server calls it on its event loop, where opening files is forbidden."""
    return await asyncio.to_thread(lambda: build(Bank(Path()), signoff=Signoff("signoff.db", policy=POLICY)))


if __name__ == "__main__":
    account = Bank(Path())
    gate = Signoff("signoff.db", policy=POLICY)
    workflow = build(account, signoff=gate, checkpointer=InMemorySaver())
    run = gate.run(workflow, MAY, thread_id="payroll-2026-05")
    while run.status == "pending_approval":  # ada is paid at once; bo waits for a person, cleo for two
        print(run, account.payments(), sep="\n")
        for by in ("ana", "ben")[: run.tickets[0].requirements.approvals]:
            gate.approve(gate.ticket(run.tickets[0].id), by=by, reason="as contracted")
        run = gate.resume(workflow, thread_id="payroll-2026-05")
    print("\n".join(run.output), account.payments(), sep="\n")

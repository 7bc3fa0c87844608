"""A customer-service agent that acts at once, and is looked at afterwards: nobody waits for what can be taken back.

Labels and small credits need no person. A sample of them is put before the quality team for two days, all of the first of each
kind; a credit that they flag is taken back, a label becomes a case, both outside of the run. Only a large credit is asked before.

    python graphs/customer_service.py         # acts; then the quality team flags one action, and it is undone

Files go to the current folder.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import tools_condition

from langgraph_signoff import Done, Signoff
from langgraph_signoff.testing import Line, ScriptedModel

POLICY = Path(__file__).with_suffix(".yaml")
REQUEST = "This is ada@example.com. My last parcel came late, and I am very angry!"
SCRIPT: list[Line] = [
    [("find_customer", {"email": "ada@example.com"})],
    [
        ("give_credit", {"customer": 3, "amount": 15.0, "why": "a late parcel"}),
        ("set_label", {"customer": 3, "label": "angry"}),
    ],
    "We are sorry, and have given you 15 EUR.",
]


def books(folder: Path) -> closing[sqlite3.Connection]:
    """Customers, credits and cases, in an SQLite file that is made on first use."""
    db = sqlite3.connect(folder / "service.db", timeout=10)
    with db:
        db.execute("CREATE TABLE IF NOT EXISTS customers (id INTEGER PRIMARY KEY, email TEXT, label TEXT)")
        db.execute("CREATE TABLE IF NOT EXISTS credits (id INTEGER PRIMARY KEY, customer INTEGER, amount REAL)")
        db.execute("CREATE TABLE IF NOT EXISTS cases (customer INTEGER, text TEXT)")
        db.execute("INSERT OR IGNORE INTO customers VALUES (3, 'ada@example.com', '')")
    return closing(db)


def write(folder: Path, statement: str, *values: Any) -> Any:
    """The first row that a statement gives, once it is written."""
    with books(folder) as db, db:
        return db.execute(statement, values).fetchone()


def tools(folder: Path) -> list[BaseTool]:
    """What the agent may call. A credit returns what its undo needs."""

    @tool
    def find_customer(email: str) -> str:
        """Look up a customer by email."""
        return str(write(folder, "SELECT id, label FROM customers WHERE email = ?", email))

    @tool
    def set_label(customer: int, label: str) -> str:
        """Label a customer."""
        write(folder, "UPDATE customers SET label = ? WHERE id = ?", label, customer)
        return f"customer {customer} is {label}"

    @tool
    def give_credit(customer: int, amount: float, why: str) -> dict[str, int]:  # noqa: ARG001  # for the reviewer
        """Give a customer an amount in EUR."""
        return {"credit": write(folder, "INSERT INTO credits VALUES (NULL, ?, ?) RETURNING id", customer, amount)[0]}

    @tool
    def open_case(customer: int, text: str) -> str:
        """Open a case for a colleague."""
        write(folder, "INSERT INTO cases VALUES (?, ?)", customer, text)
        return "a case is open"

    return [find_customer, set_label, give_credit, open_case]


def take_back(folder: Path, done: Done) -> str:
    """Undoes a credit, by what it has returned."""
    write(folder, "DELETE FROM credits WHERE id = ?", done.result["credit"])
    return f"{done.args['amount']} EUR taken back"


def build(folder: Path, *, signoff: Signoff, script: Sequence[Line] = SCRIPT, checkpointer: Any = None) -> Any:
    """The agent on the books in `folder`."""
    model, undo = ScriptedModel(script), {"give_credit": partial(take_back, folder)}
    builder = StateGraph(MessagesState)
    builder.add_node("agent", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_node("tools", signoff.tool_node(tools(folder), undo=undo, agent="service"))
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", tools_condition)
    builder.add_edge("tools", "agent")
    return builder.compile(checkpointer=checkpointer, name="customer_service")


async def graph() -> Any:
    """What `langgraph.json` names. A server calls it on its event loop, where opening files is forbidden."""
    return await asyncio.to_thread(lambda: build(Path(), signoff=Signoff("signoff.db", policy=POLICY)))


if __name__ == "__main__":
    gate = Signoff("signoff.db", policy=POLICY)
    compiled = build(Path(), signoff=gate, checkpointer=InMemorySaver())
    print(gate.run(compiled, {"messages": [("user", REQUEST)]}, thread_id="ada").status)  # completed: nobody was asked
    for audit in gate.audits(tool="give_credit"):
        print(audit)
        gate.flag(audit, by="ana", reason="the parcel was on time")
    print(*gate.follow_up(compiled), sep="\n")

"""A recall: the agent finds who bought the broken kettle, and has all refunds and letters approved as one plan.

One decision instead of six. When the agent then wants to pay somebody a little more, a person is asked about that very call.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph

from langgraph_signoff import Signoff
from langgraph_signoff.testing import Line, ScriptedModel

POLICY = Path(__file__).with_suffix(".yaml")
REQUEST = "The kettles of last week leak. Pay everybody back, then write to them."
PAID = {11: 24.0, 12: 24.0, 13: 19.5}
BUYERS = ["kim", "lee", "max"]
LETTER = {"customer": {"one_of": BUYERS}, "letter": {"like": "recall-*"}}
STEPS = [
    *({"tool": "refund", "args": {"order": order, "amount": price}} for order, price in PAID.items()),
    {"tool": "write_to", "args": LETTER, "times": 3},
]
SCRIPT: list[Line] = [
    [("find_orders", {"item": "kettle"})],
    [("propose_plan", {"steps": STEPS, "valid_for": "30m"})],
    [("refund", {"order": order, "amount": price}) for order, price in PAID.items()],
    [("write_to", {"customer": name, "letter": "recall-en"}) for name in BUYERS],
    [("refund", {"order": 12, "amount": 50.0})],  # Lee was angry on the phone: no step of the plan says that
    "Everybody has their money back, and a letter.",
]


class Shop:
    """Orders, refunds and letters in one SQLite file, made on first use."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "refunds.db"
        with closing(self._open()) as db, db:
            db.execute(
                "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, customer TEXT, price REAL, item TEXT)"
            )
            db.execute("CREATE TABLE IF NOT EXISTS done (what TEXT, whom TEXT, how TEXT)")
            bought = [(*sale, "kettle") for sale in zip(PAID, BUYERS, PAID.values(), strict=True)]
            db.executemany("INSERT OR IGNORE INTO orders VALUES (?, ?, ?, ?)", bought)

    def tools(self) -> list[BaseTool]:
        """What the agent may call."""

        @tool
        def find_orders(item: str) -> str:
            """Find who ordered an item, and what they paid."""
            return str(self._all("SELECT id, customer, price FROM orders WHERE item = ?", item))

        @tool
        def refund(order: int, amount: float) -> str:
            """Pay back an amount for an order."""
            self._note("refund", str(order), str(amount))
            return f"{amount} EUR for order {order} paid back"

        @tool
        def write_to(customer: str, letter: str) -> str:
            """Send a customer one of our letters."""
            self._note("letter", customer, letter)
            return f"sent {letter} to {customer}"

        return [find_orders, refund, write_to]

    def done(self) -> list[tuple[str, str, str]]:
        """Every refund and every letter so far."""
        return self._all("SELECT what, whom, how FROM done ORDER BY rowid")

    def _note(self, *done: str) -> None:
        with closing(self._open()) as db, db:
            db.execute("INSERT INTO done VALUES (?, ?, ?)", done)

    def _all(self, statement: str, *values: Any) -> list[Any]:
        with closing(self._open()) as db:
            return db.execute(statement, values).fetchall()

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path)


def build(shop: Shop, *, signoff: Signoff, script: Sequence[Line] = SCRIPT, checkpointer: Any = None) -> Any:
    """The agent; its plans may have steps of its other tools."""
    tools = [*shop.tools(), signoff.plan(shop.tools())]
    model = ScriptedModel(script).bind_tools(tools)
    builder = StateGraph(MessagesState)
    builder.add_node("agent", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_node("tools", signoff.tool_node(tools))
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", lambda s: "tools" if s["messages"][-1].tool_calls else END, ["tools", END])
    builder.add_edge("tools", "agent")
    return builder.compile(checkpointer=checkpointer, name="planned_refunds")


async def graph() -> Any:
    """What `langgraph.json` names. A server calls it on its event loop, where opening files is forbidden."""
    return await asyncio.to_thread(lambda: build(Shop(Path()), signoff=Signoff("signoff.db", policy=POLICY)))


if __name__ == "__main__":
    desk, books = Signoff("signoff.db", policy=POLICY), Shop(Path())
    agent = build(books, signoff=desk, checkpointer=InMemorySaver())
    run = desk.run(agent, {"messages": [("user", REQUEST)]}, thread_id="recall-1")
    print(run)  # the plan, as a list of six calls
    desk.approve(run.tickets[0], by="ana", reason="matches the recall")
    run = desk.resume(agent, thread_id="recall-1")
    print(run, *books.done(), sep="\n")  # all six are done; fifty euros more wait for a person
    desk.reject(run.tickets[0], by="ana", reason="nobody gets more than they paid")
    print(desk.resume(agent, thread_id="recall-1").output["messages"][-1].text)

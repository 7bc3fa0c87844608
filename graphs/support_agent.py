"""A support agent of LangChain's `create_agent` on a real shop database: small refunds run alone, larger ones wait for a person.

The gate is one middleware among others. An advisor looks into the books first: a second refund of one order waits too.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import ToolRetryMiddleware
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver

from langgraph_signoff import Action, Advice, Ruling, Signoff
from langgraph_signoff.middleware import SignoffMiddleware
from langgraph_signoff.testing import Line, ScriptedModel

POLICY = Path(__file__).with_suffix(".yaml")
REQUEST = "Order 7 arrived broken, and order 9 never came. I want my money back."
SCRIPT: list[Line] = [
    [("find_order", {"order": 7}), ("find_order", {"order": 9})],
    [("refund", {"order": 7, "amount": 12.5}), ("refund", {"order": 9, "amount": 240.0})],
    "Your refunds are on their way.",
]


class Shop:
    """Orders and refunds in one SQLite file, made on first use."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "shop.db"
        with closing(self._open()) as db, db:
            db.execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, item TEXT, price REAL)")
            db.execute("CREATE TABLE IF NOT EXISTS refunds (order_id INTEGER, amount REAL)")
            db.executemany(
                "INSERT OR IGNORE INTO orders VALUES (?, ?, ?)", [(7, "cup", 12.5), (9, "coffee mill", 240.0)]
            )

    def tools(self) -> list[BaseTool]:
        """What the agent may call."""

        @tool
        def find_order(order: int) -> str:
            """Look up an order by its number."""
            found = self._all("SELECT item, price FROM orders WHERE id = ?", order)
            return f"order {order}: {found[0][0]}, {found[0][1]} EUR" if found else f"there is no order {order}"

        @tool
        def refund(order: int, amount: float) -> str:
            """Pay back an amount for an order."""
            with closing(self._open()) as db, db:
                db.execute("INSERT INTO refunds VALUES (?, ?)", (order, amount))
            return f"{amount} EUR for order {order} paid back"

        return [find_order, refund]

    def refunds(self) -> list[tuple[int, float]]:
        """Every refund so far: order and amount."""
        return self._all("SELECT order_id, amount FROM refunds ORDER BY rowid")

    def second_refund(self, action: Action, ruling: Ruling) -> Advice | None:  # noqa: ARG002  # an advisor's shape
        """An advisor: whoever wants an order paid back again asks a person."""
        order = action.parsed.get("order")
        if action.tool != "refund" or not self._all("SELECT 1 FROM refunds WHERE order_id = ?", order):
            return None
        return Advice(mode="review", note=f"order {order} was paid back before", reason_code="second_refund")

    def _all(self, statement: str, *values: Any) -> list[Any]:
        with closing(self._open()) as db:
            return db.execute(statement, values).fetchall()

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path)


def gate(shop: Shop) -> Signoff:
    """The gate, with the advisor who knows the books."""
    return Signoff(shop.path.with_name("signoff.db"), policy=POLICY, advisors=[shop.second_refund])


def build(shop: Shop, *, signoff: Signoff, script: Sequence[Line] = SCRIPT, checkpointer: Any = None) -> Any:
    """The agent. A tool that fails is tried again by LangChain's middleware, but never under one approval."""
    retry = ToolRetryMiddleware(max_retries=2, initial_delay=0)
    return create_agent(
        ScriptedModel(script),
        shop.tools(),
        middleware=[retry, SignoffMiddleware(signoff, agent="support")],
        checkpointer=checkpointer,
        name="support_agent",
    )


async def graph() -> Any:
    """What `langgraph.json` names. A server calls it on its event loop, where opening files is forbidden."""

    def make() -> Any:
        shop = Shop(Path())
        return build(shop, signoff=gate(shop))

    return await asyncio.to_thread(make)


if __name__ == "__main__":
    books = Shop(Path())
    desk = gate(books)
    agent = build(books, signoff=desk, checkpointer=InMemorySaver())
    run = desk.run(agent, {"messages": [("user", REQUEST)]}, thread_id="support-1")
    print(run, books.refunds(), sep="\n")  # the cup is paid back, the coffee mill waits
    desk.approve(run.tickets[0], by="ana", reason="the parcel is lost")
    print(desk.resume(agent, thread_id="support-1").output["messages"][-1].text, books.refunds(), sep="\n")

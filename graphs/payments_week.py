"""A clerk that pays invoices as they come in, and the people who answer for it: what a queue is like through one week.

Small invoices are paid alone. The others wait for people, in queues with an owner, a backup and an end; what nobody decides in time
is not paid, and a letter goes out instead. The model only names an invoice: whom it is from and what it comes to is in the books.

    python graphs/payments_week.py      # runs until it waits (`signoff list`); again, once decided or overdue: goes on

Files go to the current folder. The model is scripted; `SIGNOFF_MODEL=openai:gpt-5` takes a real one.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import BaseModel, model_validator
from pydantic.json_schema import SkipJsonSchema

from langgraph_signoff import Signoff
from langgraph_signoff.testing import Line, ScriptedModel

POLICY = Path(__file__).with_suffix(".yaml")
TABLES = ["invoices (invoice UNIQUE, supplier, amount, urgent)", "payments (invoice, amount)", "letters (text)"]
BOOKED = "SELECT supplier, amount, urgent, invoice IN (SELECT invoice FROM payments) FROM invoices WHERE invoice = ?"


def books(folder: Path, statement: str, *values: Any) -> list[Any]:
    """The rows that a statement gives, once it is written. The books are an SQLite file that is made on first use."""
    with closing(sqlite3.connect(folder / "books.db", timeout=10)) as db, db:
        for table in TABLES:
            db.execute(f"CREATE TABLE IF NOT EXISTS {table}")
        return db.execute(statement, values).fetchall()


def receive(folder: Path, invoice: int, supplier: str, amount: str, urgent: bool = False) -> dict[str, Any]:
    """Puts an invoice into the books, once; what the clerk is told of it."""
    books(folder, "INSERT OR IGNORE INTO invoices VALUES (?, ?, ?, ?)", invoice, supplier, amount, urgent)
    return {"messages": [("user", f"Invoice {invoice} has come in: please pay it.")]}


def tools(folder: Path) -> list[BaseTool]:
    """What the clerk may call, on the books in `folder`."""

    class Payment(BaseModel):
        invoice: int
        supplier: SkipJsonSchema[str] = ""
        amount: SkipJsonSchema[Decimal] = Decimal(0)
        urgent: SkipJsonSchema[bool] = False
        paid: SkipJsonSchema[bool] = False

        @model_validator(mode="after")
        def as_booked(self) -> Payment:
            if not (found := books(folder, BOOKED, self.invoice)):
                raise ValueError(f"there is no invoice {self.invoice}")
            self.supplier, amount, urgent, paid = found[0]
            self.amount, self.urgent, self.paid = Decimal(amount), bool(urgent), bool(paid)
            return self

    @tool(args_schema=Payment)
    def pay(invoice: int, supplier: str, amount: Decimal, urgent: bool, paid: bool) -> str:  # noqa: ARG001  # ruled on
        """Pay an invoice in full."""
        books(folder, "INSERT INTO payments VALUES (?, ?)", invoice, str(amount))
        return f"{amount} EUR paid to {supplier}"

    @tool
    def write_to(supplier: str, text: str) -> None:
        """Send a supplier a letter."""
        books(folder, "INSERT INTO letters VALUES (?)", f"To {supplier}: {text}")

    return [pay, write_to]


def clerk(messages: list[Any]) -> Line:
    """What the scripted model says: it pays the invoice that it is told of, and repeats what the tool said."""
    said = messages[-1].text
    return [("pay", {"invoice": int(said.split()[1])})] if messages[-1].type == "human" else said


def build(folder: Path, *, signoff: Signoff, model: str | BaseChatModel | None = None, checkpointer: Any = None) -> Any:
    """The clerk on the books in `folder`. `model`: a chat model or its name; a script if left out."""
    if isinstance(model, str):
        from langchain.chat_models import init_chat_model

        model = init_chat_model(model)
    chat = (model or ScriptedModel(clerk)).bind_tools(tools(folder))
    builder = StateGraph(MessagesState)
    builder.add_node("clerk", lambda state: {"messages": [chat.invoke(state["messages"])]})
    builder.add_node("tools", signoff.tool_node(tools(folder), agent="clerk"))
    builder.add_conditional_edges("clerk", signoff.send_tool_calls, ["tools", END])
    builder.add_edge(START, "clerk").add_edge("tools", "clerk")
    return builder.compile(checkpointer=checkpointer, name="payments_week")


async def graph() -> Any:
    """What `langgraph.json` names. A server calls it on its event loop, where opening files is forbidden."""
    model = os.environ.get("SIGNOFF_MODEL")
    return await asyncio.to_thread(lambda: build(Path(), signoff=Signoff("signoff.db", policy=POLICY), model=model))


def main() -> None:
    """Starts the thread, or goes on with it, and sends the letter if one is due."""
    signoff = Signoff("signoff.db", policy=POLICY)
    with SqliteSaver.from_conn_string("checkpoints.db") as saver:
        compiled = build(Path(), signoff=signoff, model=os.environ.get("SIGNOFF_MODEL"), checkpointer=saver)
        run = signoff.resume(compiled, thread_id="invoice-102", start=receive(Path(), 102, "Night Power", "312.40"))
        print(run, *signoff.follow_up(compiled), *books(Path(), "SELECT * FROM payments"), sep="\n")


if __name__ == "__main__":
    main()

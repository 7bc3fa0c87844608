"""An agent that pays invoices: up to 100 EUR on its own, more with a person's word, above 5,000 EUR with two, to some never.

The thresholds are in `transfer.yaml`. Amounts are decimals from the model's call to the bank. Each call is a task of its own, so
a small transfer need not wait for a large one. If a process dies while it pays, the bank is asked whether the money went out.

    python graphs/transfer.py         # runs until it waits (`signoff list`); again, once decided or overdue: goes on

Files go to the current folder. The model is scripted; `SIGNOFF_MODEL=openai:gpt-5` takes a real one.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import AfterValidator, Field

from langgraph_signoff import Answer, CurrentAction, Happened, Signoff
from langgraph_signoff.testing import Line, ScriptedModel

POLICY = Path(__file__).with_suffix(".yaml")
REQUEST = "Pay the open invoices: 80 EUR to Acme, 1,140.50 EUR to Globex, 9,800 EUR to Initech, 60 EUR to Mallory."
SCRIPT: list[Line] = [
    [
        ("transfer", {"iban": "DE02 1203 0000 0000 2020 51", "amount": "80", "reference": "Acme 17"}),
        ("transfer", {"iban": "DE02 5001 0517 0137 0750 30", "amount": "1140.50", "reference": "Globex 114"}),
        ("transfer", {"iban": "DE02 1001 0010 0006 8201 01", "amount": "9800", "reference": "Initech 3"}),
        ("transfer", {"iban": "de02 3006 0601 0502 5000 01", "amount": "60", "reference": "Mallory 1"}),
    ],
    "I have looked after the invoices.",
]

Iban = Annotated[
    str,
    AfterValidator(lambda iban: iban.replace(" ", "").upper()),
    Field(pattern="^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$"),
]
Euros = Annotated[Decimal, Field(gt=0, max_digits=11, decimal_places=2)]


def bank(folder: Path) -> closing[sqlite3.Connection]:
    """What was paid, in an SQLite file that is made on first use."""
    db = sqlite3.connect(folder / "bank.db", timeout=10)
    db.execute("CREATE TABLE IF NOT EXISTS paid (key TEXT PRIMARY KEY, iban TEXT, amount TEXT, reference TEXT)")
    return closing(db)


def transfer_from(folder: Path) -> BaseTool:
    """The tool, on the bank in `folder`."""

    @tool
    def transfer(iban: Iban, amount: Euros, reference: str) -> str:
        """Transfer an amount in EUR."""
        about = Signoff.current_action()
        assert about is not None, "the policy lets no transfer run without a record"
        with bank(folder) as db, db:
            db.execute("INSERT INTO paid VALUES (?, ?, ?, ?)", (about.key, iban, str(amount), reference))
        return f"{amount} EUR paid to {iban}"

    return transfer


def was_paid(folder: Path, about: CurrentAction) -> Happened | Answer:
    """The probe: whether a transfer went out whose process died before it could say so."""
    with bank(folder) as db:
        found = db.execute("SELECT amount, iban FROM paid WHERE key = ?", (about.key,)).fetchone()
    return Happened(result=f"{found[0]} EUR paid to {found[1]}") if found else Answer.DID_NOT_HAPPEN


def build(folder: Path, *, signoff: Signoff, model: str | BaseChatModel | None = None, checkpointer: Any = None) -> Any:
    """The agent and its bank in `folder`. `model`: a chat model or its name; a script if left out."""
    if isinstance(model, str):
        from langchain.chat_models import init_chat_model

        model = init_chat_model(model)
    tools, probes = [transfer_from(folder)], {"transfer": partial(was_paid, folder)}
    chat = (model or ScriptedModel(SCRIPT)).bind_tools(tools)
    builder = StateGraph(MessagesState)
    builder.add_node("agent", lambda state: {"messages": [chat.invoke(state["messages"])]})
    builder.add_node("tools", signoff.tool_node(tools, verify=probes, agent="payer"))
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", signoff.send_tool_calls, ["tools", END])
    builder.add_edge("tools", "agent")
    return builder.compile(checkpointer=checkpointer, name="transfer")


async def graph() -> Any:
    """What `langgraph.json` names. A server calls it on its event loop, where opening files is forbidden."""
    model = os.environ.get("SIGNOFF_MODEL")
    return await asyncio.to_thread(lambda: build(Path(), signoff=Signoff("signoff.db", policy=POLICY), model=model))


def main() -> None:
    """Starts the thread, or goes on with it."""
    signoff = Signoff("signoff.db", policy=POLICY)
    with SqliteSaver.from_conn_string("checkpoints.db") as saver:
        compiled = build(Path(), signoff=signoff, model=os.environ.get("SIGNOFF_MODEL"), checkpointer=saver)
        run = signoff.resume(compiled, thread_id="invoices", start={"messages": [("user", REQUEST)]})
    with bank(Path()) as db:
        print(run, *db.execute("SELECT amount, iban, reference FROM paid"), sep="\n")


if __name__ == "__main__":
    main()

"""A sales assistant that reads a deal and proposes a new status for it: the deal changes only with a person's word, in four hours.

The ticket shows the whole move, such as "from offer to won": what the deal is now is not the model's word, the tool's schema
reads it from the books. If the deal has moved meanwhile, that was not what a person approved, and the call is asked again.

    python graphs/deal_status.py        # runs until it waits (`signoff list`); again, once decided or overdue: goes on

Files go to the current folder. The model is scripted; `SIGNOFF_MODEL=openai:gpt-5` takes a real one.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import tools_condition
from pydantic import BaseModel, model_validator
from pydantic.json_schema import SkipJsonSchema

from langgraph_signoff import Signoff
from langgraph_signoff.testing import Line, ScriptedModel

POLICY = Path(__file__).with_suffix(".yaml")
REQUEST = "Northwind wrote: we sign on Monday. Please bring deal 12 up to date."
SCRIPT: list[Line] = [[("read_deal", {"deal": 12})], [("set_status", {"deal": 12, "status": "won"})]]

Status = Literal["open", "offer", "won", "lost"]


def books(folder: Path) -> closing[sqlite3.Connection]:
    """The deals of a company, in an SQLite file that is made on first use."""
    db = sqlite3.connect(folder / "deals.db", timeout=10)
    db.execute("CREATE TABLE IF NOT EXISTS deals (id INTEGER PRIMARY KEY, client TEXT, status TEXT)")
    with db:
        db.execute("INSERT OR IGNORE INTO deals VALUES (12, 'Northwind', 'offer'), (14, 'Fabrikam', 'lost')")
    return closing(db)


def status_of(folder: Path, deal: int) -> str:
    """What a deal is now; empty if there is no such deal."""
    with books(folder) as db:
        return next((status for (status,) in db.execute("SELECT status FROM deals WHERE id = ?", (deal,))), "")


def tools(folder: Path) -> list[BaseTool]:
    """What the assistant may call."""

    class SetStatus(BaseModel):
        deal: int
        status: Status
        now: SkipJsonSchema[str] = ""

        @model_validator(mode="after")
        def read_now(self) -> SetStatus:
            self.now = status_of(folder, self.deal)
            return self

    @tool
    def read_deal(deal: int) -> str:
        """Look up the status of a deal."""
        return status_of(folder, deal) or f"there is no deal {deal}"

    @tool(args_schema=SetStatus)
    def set_status(deal: int, status: Status, now: str) -> str:
        """Change the status of a deal."""
        with books(folder) as db, db:
            changed = db.execute("UPDATE deals SET status = ? WHERE id = ? AND status = ?", (status, deal, now))
        return f"deal {deal} is {status}" if changed.rowcount else f"deal {deal} is no longer {now}"

    return [read_deal, set_status]


def build(folder: Path, *, signoff: Signoff, model: str | BaseChatModel | None = None, checkpointer: Any = None) -> Any:
    """The agent on the deals in `folder`. `model`: a chat model or its name; a script if left out."""
    if isinstance(model, str):
        from langchain.chat_models import init_chat_model

        model = init_chat_model(model)
    chat = (model or ScriptedModel(SCRIPT)).bind_tools(tools(folder))
    builder = StateGraph(MessagesState)
    builder.add_node("agent", lambda state: {"messages": [chat.invoke(state["messages"])]})
    builder.add_node("tools", signoff.tool_node(tools(folder), agent="sales-assistant"))
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", tools_condition)
    builder.add_edge("tools", "agent")
    return builder.compile(checkpointer=checkpointer, name="deal_status")


async def graph() -> Any:
    """What `langgraph.json` names. A server calls it on its event loop, where opening files is forbidden."""
    model = os.environ.get("SIGNOFF_MODEL")
    return await asyncio.to_thread(lambda: build(Path(), signoff=Signoff("signoff.db", policy=POLICY), model=model))


def main() -> None:
    """Starts the thread, or goes on with it."""
    signoff = Signoff("signoff.db", policy=POLICY)
    with SqliteSaver.from_conn_string("checkpoints.db") as saver:
        compiled = build(Path(), signoff=signoff, model=os.environ.get("SIGNOFF_MODEL"), checkpointer=saver)
        run = signoff.resume(compiled, thread_id="deal-12", start={"messages": [("user", REQUEST)]})
    print(run, status_of(Path(), 12), sep="\n")


if __name__ == "__main__":
    main()

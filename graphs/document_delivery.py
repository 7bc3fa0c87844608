"""A client asks for a document: it goes out only with a person's word, for which there is one business day.

Without one the client gets a holding message, once, that acknowledges receipt. That message passes the gate like any other: the
policy allows it, and it goes on record. The request stays `pending` in the books, and a later run asks again.

    python graphs/document_delivery.py     # runs until it waits (`signoff list`); again, once decided or overdue: goes on

Files go to the current folder. No model is involved.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph

from langgraph_signoff import Run, Signoff, Ticket, UnknownThread

POLICY = Path(__file__).with_suffix(".yaml")
SCHEMA = """
CREATE TABLE IF NOT EXISTS requests (request INTEGER PRIMARY KEY, email TEXT, document TEXT, text TEXT, status TEXT);
CREATE TABLE IF NOT EXISTS outbox (email TEXT, text TEXT);
INSERT OR IGNORE INTO requests VALUES (31, 'ada@example.com', 'price list', 'A cup is 12.50 EUR.', 'pending');
"""


class State(TypedDict, total=False):
    """A request as the books had it when this round of asking began, and what came of it."""

    request: int
    round: int
    email: str
    document: str
    text: str
    status: str
    acknowledged: bool


def books(folder: Path) -> closing[sqlite3.Connection]:
    """Requests and what was sent, in an SQLite file that is made on first use."""
    db = sqlite3.connect(folder / "documents.db", timeout=10)
    db.row_factory = sqlite3.Row
    db.executescript(SCHEMA)
    return closing(db)


def build(folder: Path, *, signoff: Signoff, checkpointer: Any = None) -> Any:
    """The graph on the books in `folder`."""

    def look_up(state: State) -> dict[str, Any]:
        with books(folder) as db:
            row = db.execute("SELECT * FROM requests WHERE request = :request", state).fetchone()
        return {**row, "round": state.get("round", 0) + 1}

    def undelivered(state: State, ticket: Ticket, text: str) -> State:  # noqa: ARG001  # the shape of `refused`
        is_silence = ticket.standing.is_silence
        return {"status": "pending" if is_silence else str(ticket.standing)}

    @signoff.gate(
        "deliver_document",
        action=lambda state: {name: state[name] for name in ("email", "document", "text")},
        key=lambda state: state["round"],
        refused=undelivered,
    )
    def deliver(state: State) -> State:
        with books(folder) as db, db:
            db.execute("INSERT INTO outbox VALUES (:email, :text)", state)
        return {"status": "delivered"}

    @signoff.gate("send_holding_message", action=lambda s: {"email": s["email"]}, key=lambda s: s["round"])
    def acknowledge(state: State) -> State:
        with books(folder) as db, db:
            db.execute("INSERT INTO outbox VALUES (:email, 'We have received your request.')", state)
        return {"acknowledged": True}

    def note(state: State) -> None:
        with books(folder) as db, db:
            db.execute("UPDATE requests SET status = :status WHERE request = :request", state)

    def after(state: State) -> str:
        return "acknowledge" if state["status"] == "pending" and "acknowledged" not in state else "note"

    builder = StateGraph(State).add_node(look_up).add_node(deliver).add_node(acknowledge).add_node(note)
    builder.add_edge(START, "look_up")
    builder.add_conditional_edges("look_up", lambda s: "deliver" if s["status"] == "pending" else END, ["deliver", END])
    builder.add_conditional_edges("deliver", after, ["acknowledge", "note"])
    builder.add_edge("acknowledge", "note")
    return builder.compile(checkpointer=checkpointer, name="document_delivery")


def ask(graph: Any, request: int, *, signoff: Signoff) -> Run:
    """One run of a request: goes on with the question it has asked; when there is none, asks."""
    with suppress(UnknownThread):
        if (run := signoff.resume(graph, thread_id=f"request-{request}")).status != "completed":
            return run
    return signoff.run(graph, {"request": request}, thread_id=f"request-{request}")


async def graph() -> Any:
    """What `langgraph.json` names. A server calls it on its event loop, where opening files is forbidden."""
    return await asyncio.to_thread(lambda: build(Path(), signoff=Signoff("signoff.db", policy=POLICY)))


def main() -> None:
    """One run of a request."""
    signoff = Signoff("signoff.db", policy=POLICY)
    with SqliteSaver.from_conn_string("checkpoints.db") as saver:
        run = ask(build(Path(), signoff=signoff, checkpointer=saver), 31, signoff=signoff)
    print(run, run.output, sep="\n")


if __name__ == "__main__":
    main()

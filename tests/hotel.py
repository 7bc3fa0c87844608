"""An agent that books rooms under outcome review, and what it and its undoings did: a ledger, threads and effects in files."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph

from langgraph_signoff import Done, Rollback, Run, Signoff, Ticket
from langgraph_signoff.testing import ScriptedModel
from support import Clock

POLICY = """
version: 1
supervision: hybrid
tools:
  book: {risk: {reversible: true}, otherwise: review}
  ring: {otherwise: {then: allow, record: true}}
  pay: {risk: {reversible: false, stakes: high}, otherwise: review}
  look: allow
nodes:
  outcome: {otherwise: {then: review, window: 2h, max_revisions: 1}}
"""

BOOKS = [[("book", {"room": "1"})], [("book", {"room": "2"})], "Two rooms."]


class Hotel:
    """An agent under outcome review. `undo`: instead of cancelling what was booked; `review`: more of the review's options."""

    def __init__(
        self,
        path: Path,
        script: Sequence[Any] = BOOKS,
        policy: str = POLICY,
        *,
        undo: Mapping[str, Any] | None = None,
        review: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.path, self.clock = path, Clock()
        (path / "signoff.yaml").write_text(policy)
        self.signoff = self.open(**options)
        self.model = ScriptedModel(list(script))
        self.db = sqlite3.connect(path / "threads.db", check_same_thread=False)
        self.rolled: list[Rollback] = []
        self.undo = dict(undo or {"book": self.cancel})
        self.options = {"back_to": "agent", "then": "publish", "rejected": self.note, **(review or {})}
        self.graph = self.builder().compile(checkpointer=SqliteSaver(self.db))

    def open(self, **options: Any) -> Signoff:
        given = {"clock": self.clock, "lease": 0.5, **options}
        return Signoff(self.path / "signoff.db", policy=self.path / "signoff.yaml", **given)

    def builder(self) -> StateGraph:
        builder = StateGraph(MessagesState)
        builder.add_node("agent", self.think)
        builder.add_node("tools", self.tools())
        builder.add_node("outcome", self.signoff.outcome_review("outcome", **self.options))
        builder.add_node("publish", self.publish)
        builder.add_edge(START, "agent")
        builder.add_conditional_edges("agent", self.way("outcome"))
        builder.add_edge("tools", "agent")
        return builder

    def think(self, state: MessagesState) -> dict[str, Any]:
        return {"messages": [self.model.invoke(state["messages"])]}

    def tools(self, **options: Any) -> Any:
        given = {"undo": self.undo, **options}
        return self.signoff.tool_node([self.book, self.ring, self.pay, self.look], **given)

    @staticmethod
    def way(end: str) -> Any:
        """To the tools, or to the end."""
        return lambda state: "tools" if state["messages"][-1].tool_calls else end

    # What is done -----------------------------------------------------------------------------------------------------

    def effect(self, text: str) -> None:
        """Writes a line outside of the process."""
        with (self.path / "effects.txt").open("a") as file:
            file.write(text + "\n")

    @property
    def effects(self) -> list[str]:
        """Every effect so far."""
        path = self.path / "effects.txt"
        return path.read_text().splitlines() if path.exists() else []

    def note(self, state: MessagesState, done: Rollback) -> None:  # the shape of `rejected`
        self.rolled.append(done)

    def book(self, room: str) -> dict[str, str]:
        """Books a room."""
        self.effect(f"book {room}")
        return {"booking": f"b-{room}"}

    def ring(self, room: str) -> str:
        """Rings in a room."""
        self.effect(f"ring {room}")
        return "rung"

    def pay(self, amount: float) -> str:
        """Pays."""
        self.effect(f"pay {amount}")
        return "paid"

    def look(self) -> str:
        """Looks."""
        return "nice"

    def cancel(self, done: Done) -> str:
        self.effect(f"cancel {done.result['booking']}")
        return "cancelled"

    def publish(self, state: MessagesState) -> None:  # a node
        self.effect("publish")

    # The people -------------------------------------------------------------------------------------------------------

    def run(self, text: str = "Book two rooms", *, graph: Any = None, thread: str = "t-1") -> Run:
        return self.signoff.run(graph or self.graph, {"messages": [("user", text)]}, thread_id=thread)

    def resume(self) -> Run:
        return self.signoff.resume(self.graph, thread_id="t-1")

    def asked(self) -> Ticket:
        [ticket] = self.signoff.pending()
        return ticket

    def rejected(self) -> Run:
        """Rejects the outcome of a run, and lets it roll back."""
        self.signoff.reject(self.run().tickets[0], by="ana", reason="the wrong hotel")
        return self.resume()

    @property
    def config(self) -> dict[str, Any]:
        return {"configurable": {"thread_id": "t-1"}}

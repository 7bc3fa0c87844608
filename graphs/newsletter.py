"""A newsletter of another team, gated as it is: its tools go behind a gate, and the node that mails to everybody is guarded.

`newsletter` knows nothing of a gate, and stays as it was. `insert` gives a gated copy, or says what it cannot be sure of.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from langgraph_signoff import Signoff, Ticket
from langgraph_signoff.testing import Line, ScriptedModel

POLICY = Path(__file__).with_suffix(".yaml")
READERS = ("ada@example.com", "bo@example.com", "cleo@example.com")
REQUEST = "Write the issue of May. Bo has left us."
SCRIPT: list[Line] = [
    [("readers", {}), ("strike_off", {"address": "bo@example.com"})],
    "# The issue of May\nWe deliver everywhere now.",
]


class State(MessagesState, total=False):
    """A talk that ends in an issue, and to how many readers that was mailed."""

    mailed: int


def newsletter(folder: Path, model: BaseChatModel) -> StateGraph[State]:
    """The other team's graph: a model writes with the help of tools, a node mails what it wrote into the folder `outbox`."""
    book = folder / "readers.txt"
    if not book.exists():
        book.write_text("\n".join(READERS))

    @tool
    def readers() -> str:
        """How many readers there are."""
        return f"{len(book.read_text().split())} readers"

    @tool
    def strike_off(address: str) -> str:
        """Take a reader off the list."""
        book.write_text("\n".join(name for name in book.read_text().split() if name != address))
        return f"{address} is off the list"

    def write(state: State) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    def mail(state: State) -> dict[str, Any]:
        names = book.read_text().split()
        (folder / "outbox").mkdir(exist_ok=True)
        for name in names:
            (folder / "outbox" / name).write_text(state["messages"][-1].text)
        return {"mailed": len(names)}

    def next_step(state: State) -> str:
        said = state["messages"][-1]
        return "tools" if isinstance(said, AIMessage) and said.tool_calls else "mail"

    builder = StateGraph(State)
    builder.add_node("write", write)
    builder.add_node("tools", ToolNode([readers, strike_off]))
    builder.add_node("mail", mail)
    builder.add_edge(START, "write")
    builder.add_conditional_edges("write", next_step, ["tools", "mail"])
    builder.add_edge("tools", "write")
    builder.add_edge("mail", END)
    return builder


def build(folder: Path, *, signoff: Signoff, script: Sequence[Line] = SCRIPT, checkpointer: Any = None) -> Any:
    """The same graph behind the gate."""

    def about(state: State) -> dict[str, Any]:
        issue = state["messages"][-1].text
        digest = hashlib.sha256(issue.encode()).hexdigest()
        return {
            "title": issue.partition("\n")[0],
            "sha256": digest,
            "readers": len((folder / "readers.txt").read_text().split()),
        }

    def kept_back(state: State, ticket: Ticket, text: str) -> dict[str, Any]:  # noqa: ARG001  # the words say enough
        return {"messages": [AIMessage(text)], "mailed": 0}

    theirs = newsletter(folder, ScriptedModel(script))
    ours = signoff.insert(theirs, actions={"mail": about}, refused={"mail": kept_back})
    return ours.compile(checkpointer=checkpointer, name="newsletter")


async def graph() -> Any:
    """What `langgraph.json` names. A server calls it on its event loop, where opening files is forbidden."""
    return await asyncio.to_thread(lambda: build(Path(), signoff=Signoff("signoff.db", policy=POLICY)))


if __name__ == "__main__":
    gate = Signoff("signoff.db", policy=POLICY)
    gated = build(Path(), signoff=gate, checkpointer=InMemorySaver())
    print(gate.explain(gated))
    run = gate.run(gated, {"messages": [("user", REQUEST)]}, thread_id="may")
    while run.status == "pending_approval":  # first the reader to strike off, then the issue
        print(run)
        gate.approve(run.tickets[0], by="ana")
        run = gate.resume(gated, thread_id="may")
    print(run.status, run.output["mailed"])

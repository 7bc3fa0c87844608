"""A release without an agent: a page is built, published to staging alone, and to production only with a person's word.

The gate stands before a plain node in a loop: `action` says what the node is about to do, `key` names each round of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

from langgraph_signoff import Signoff, Ticket

POLICY = Path(__file__).with_suffix(".yaml")
TARGETS = ("staging", "production")


class State(TypedDict, total=False):
    """A version on its way out: `page` is its text, `left` the targets still to come."""

    version: str
    changes: list[str]
    page: str
    left: list[str]
    report: Annotated[list[str], operator.add]


def build(site: Path, *, signoff: Signoff, checkpointer: Any = None) -> Any:
    """The graph; it publishes into the folders `staging` and `production` of `site`."""

    def write(state: State) -> State:
        lines = [f"# {state['version']}", *(f"- {change}" for change in state["changes"])]
        return {"page": "\n".join(lines) + "\n", "left": list(TARGETS)}

    def about(state: State) -> dict[str, Any]:
        page = state["page"]
        return {
            "target": state["left"][0],
            "version": state["version"],
            "changes": len(page.splitlines()) - 1,
            "sha256": hashlib.sha256(page.encode()).hexdigest(),
        }

    def kept_back(state: State, ticket: Ticket, text: str) -> State:  # noqa: ARG001  # the text says enough
        return {"left": state["left"][1:], "report": [text]}

    @signoff.gate(
        "publish", action=about, key=lambda state: f"{state['version']} {state['left'][0]}", refused=kept_back
    )
    def publish(state: State) -> State:
        target = state["left"][0]
        folder = site / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{state['version']}.md").write_text(state["page"])
        return {"left": state["left"][1:], "report": [f"{state['version']} is on {target}"]}

    builder = StateGraph(State)
    builder.add_node("write", write)
    builder.add_node("publish", publish)
    builder.add_edge(START, "write")
    builder.add_edge("write", "publish")
    builder.add_conditional_edges("publish", lambda state: "publish" if state["left"] else END, ["publish", END])
    return builder.compile(checkpointer=checkpointer, name="release")


async def graph() -> Any:
    """What `langgraph.json` names. A server calls it on its event loop, where opening files is forbidden."""
    return await asyncio.to_thread(lambda: build(Path("site"), signoff=Signoff("signoff.db", policy=POLICY)))


if __name__ == "__main__":
    gate = Signoff("signoff.db", policy=POLICY)
    compiled = build(Path("site"), signoff=gate, checkpointer=InMemorySaver())
    request: State = {"version": "1.4.0", "changes": ["Pays invoices", "Sends receipts"]}
    run = gate.run(compiled, request, thread_id="release-1.4.0")
    print(run)  # staging is done, production waits
    gate.approve(run.tickets[0], by="ana", reason="staging looks right")
    print("\n".join(gate.resume(compiled, thread_id="release-1.4.0").output["report"]))

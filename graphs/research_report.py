"""A research agent that writes its report section by section, unasked, and is reviewed once, for the outcome.

What can be taken back runs at once and is on record: a section is a file, and its undo removes it. What cannot, ordering a
paper, is asked for before. Rejected, the sections are removed, the newest first; approved, the report is published.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from langgraph_signoff import Done, Signoff
from langgraph_signoff.testing import Line, ScriptedModel

POLICY = Path(__file__).with_suffix(".yaml")
REQUEST = "What is known about heat pumps in old houses?"
PAPERS = {
    "field-trial": "Field trial of 77 heat pumps in houses built before 1979: seasonal factor 3.1 on average.",
    "noise": "Survey of 400 neighbours: 9% hear the outdoor unit at night.",
    "costs": "(abstract only; the paper costs 35 EUR)",
}
SCRIPT: list[Line] = [
    [("search", {"words": "heat pumps"})],
    [("write_section", {"title": "Efficiency", "text": "In 77 old houses the seasonal factor was 3.1 (field-trial)."})],
    [("write_section", {"title": "Noise", "text": "9% of 400 neighbours hear the unit at night (noise)."})],
    "Two sections, two sources; costs are left out, as the paper was not ordered.",
]


def undo_write(drafts: Path, done: Done) -> str:
    """Takes a section back."""
    (drafts / f"{done.args['title']}.md").unlink(missing_ok=True)
    return f"{done.args['title']} removed"


def tools_for(drafts: Path) -> list[BaseTool]:
    """What the agent may call; it writes into `drafts`."""

    @tool
    def search(words: str) -> dict[str, str]:
        """Search the library."""
        return {name: text for name, text in PAPERS.items() if words}

    @tool
    def write_section(title: str, text: str) -> str:
        """Write a section of the report."""
        drafts.mkdir(parents=True, exist_ok=True)
        (drafts / f"{title}.md").write_text(f"## {title}\n\n{text}\n")
        return f"{title} written"

    @tool
    def order_paper(name: str) -> str:
        """Order a paper; it is paid for at once."""
        return f"{name} ordered"

    return [search, write_section, order_paper]


def build(folder: Path, *, signoff: Signoff, script: Sequence[Line] = SCRIPT, checkpointer: Any = None) -> Any:
    """The graph: the agent writes into `drafts`, and after the review `report.md` is published."""
    drafts, model = folder / "drafts", ScriptedModel(script)

    def publish(state: MessagesState) -> None:  # noqa: ARG001  # a node
        sections = sorted(drafts.glob("*.md"), key=lambda file: file.stat().st_mtime_ns)
        (folder / "report.md").write_text("\n".join(file.read_text() for file in sections))

    review = signoff.outcome_review("review", back_to="agent", then="publish")
    undo = {"write_section": lambda done: undo_write(drafts, done)}
    builder = StateGraph(MessagesState)
    builder.add_node("agent", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_node("tools", signoff.tool_node(tools_for(drafts), undo=undo))
    builder.add_node("review", review, destinations=("agent", "publish"))
    builder.add_node("publish", publish)
    builder.add_edge(START, "agent")
    builder.add_conditional_edges(
        "agent", lambda state: "tools" if state["messages"][-1].tool_calls else "review", ["tools", "review"]
    )
    builder.add_edge("tools", "agent")
    return builder.compile(checkpointer=checkpointer, name="research_report")


async def graph() -> Any:
    """What `langgraph.json` names. A server calls it on its event loop, where opening files is forbidden."""
    return await asyncio.to_thread(lambda: build(Path("research"), signoff=Signoff("signoff.db", policy=POLICY)))


if __name__ == "__main__":
    gate = Signoff("signoff.db", policy=POLICY)
    compiled = build(Path("research"), signoff=gate, checkpointer=InMemorySaver())
    run = gate.run(compiled, {"messages": [("user", REQUEST)]}, thread_id="research-1")
    print(run)  # both sections are written; one question is left, and it is about all of it
    gate.approve(run.tickets[0], by="ana", reason="both sources say so")
    print(gate.resume(compiled, thread_id="research-1").status, Path("research/report.md").read_text(), sep="\n")

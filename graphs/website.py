"""A deep agent that keeps a website: sub-agents write and publish, and every page that goes online waits for a person.

`gate.subagents([...])` puts the gate into sub-agents of each kind. A ticket says which of them asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from deepagents import create_deep_agent
from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver

from langgraph_signoff import Signoff
from langgraph_signoff.middleware import SignoffMiddleware
from langgraph_signoff.testing import Line, ScriptedModel

POLICY = Path(__file__).with_suffix(".yaml")
REQUEST = "We are closed on Monday. Tell our visitors."
NOTICE = "We are closed on Monday, 7 December."
EDITOR: list[Line] = [[("draft", {"page": "hours", "text": NOTICE})], "The draft `hours` says when we are closed."]
PUBLISHER: list[Line] = [
    [("publish", {"page": "hours"}), ("publish", {"page": "home"})],
    "What may be online is online.",
]
MAIN: list[Line] = [
    [("task", {"subagent_type": "editor", "description": "Draft a notice for the page `hours`."})],
    [("task", {"subagent_type": "publisher", "description": "Put the changed pages online."})],
    "Done.",
]


class Website:
    """Drafts and pages, each a file in a folder."""

    def __init__(self, folder: Path) -> None:
        self._drafts, self._pages = folder / "drafts", folder / "pages"

    def tools(self) -> list[Callable[..., str]]:
        """What the editor and the publisher may call."""

        def draft(page: str, text: str) -> str:
            """Write the draft of a page."""
            return self._write(self._drafts, page, text)

        def publish(page: str) -> str:
            """Put the draft of a page online."""
            source = self._drafts / f"{page}.md"
            return self._write(self._pages, page, source.read_text()) if source.exists() else f"{page} has no draft"

        return [draft, publish]

    def online(self) -> dict[str, str]:
        """What visitors see: pages by name."""
        return {page.stem: page.read_text() for page in sorted(self._pages.glob("*.md"))}

    def _write(self, folder: Path, page: str, text: str) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{page}.md").write_text(text)
        return f"{page} is in {folder.name}"


def build(
    website: Website, *, signoff: Signoff, publisher: Sequence[Line] = PUBLISHER, checkpointer: Any = None
) -> Any:
    """The agent: it only delegates, to a sub-agent that is declared and to one that was built elsewhere."""
    gate = SignoffMiddleware(signoff)
    draft, publish = website.tools()
    editor = {
        "name": "editor",
        "description": "writes drafts",
        "system_prompt": "You write short notices.",
        "model": ScriptedModel(EDITOR),
        "tools": [draft],
    }
    built_elsewhere = create_agent(ScriptedModel(publisher), [publish], name="publisher")
    return create_deep_agent(
        ScriptedModel(MAIN),
        middleware=[gate],
        subagents=gate.subagents(
            [editor, {"name": "publisher", "description": "puts pages online", "runnable": built_elsewhere}]
        ),
        checkpointer=checkpointer,
        name="website",
    )


async def graph() -> Any:
    """What `langgraph.json` names. A server calls it on its event loop, where opening files is forbidden."""
    return await asyncio.to_thread(
        lambda: build(Website(Path("website")), signoff=Signoff("signoff.db", policy=POLICY))
    )


if __name__ == "__main__":
    site = Website(Path("website"))
    desk = Signoff("signoff.db", policy=POLICY)
    agent = build(site, signoff=desk, checkpointer=InMemorySaver())
    run = desk.run(agent, {"messages": [("user", REQUEST)]}, thread_id="website-1")
    print(run, site.online(), sep="\n")  # the publisher waits; nothing is online yet
    for ticket in run.tickets:
        if ticket.args["page"] == "hours":
            desk.approve(ticket, by="ana")
        else:
            desk.reject(ticket, by="ana", reason="the front page stays as it is")
    print(desk.resume(agent, thread_id="website-1").output["messages"][-1].text, site.online(), sep="\n")

"""`follow-up`: does what flags and timeouts ask for. It loads graphs, for their gates know the undos and the tools."""

from __future__ import annotations

from pathlib import Path

import typer

from langgraph_signoff.cli.command import READS, command
from langgraph_signoff.cli.options import CHECKPOINTER, CONFIG, GRAPH
from langgraph_signoff.cli.resuming import stdout_kept
from langgraph_signoff.cli.shell import Shell
from langgraph_signoff.render import SHORT_ID
from langgraph_signoff.vocabulary import FollowUp


def follow_up(shell: Shell, graph: GRAPH = None, config: CONFIG = None, checkpointer: CHECKPOINTER = None) -> None:
    """Do what flags ask for, and calls on timeout: undo an action, or call a tool.

    Each is done once, outside of any run, and gated like anything else: what waits for a decision is done by the next
    follow-up after it. Made for cron; without --graph it asks every graph of langgraph.json.
    """
    import asyncio

    _ = shell.signoff  # a ledger that is not there is said before the graphs are loaded
    with stdout_kept(shell):
        found = asyncio.run(_follow_up(shell, graph, config, checkpointer))
    shell.tell(found, lambda: "\n".join(map(_line, found)) if found else "nothing is asked for")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "follow-up", *READS, "policy")(follow_up)


async def _follow_up(shell: Shell, graph: str | None, config: Path | None, checkpointer: str | None) -> list[FollowUp]:
    from langgraph_signoff.cli.graphs import Graphs

    found: dict[str, FollowUp] = {}
    async with Graphs(config, checkpointer) as graphs:
        loaded = {name: await graphs.load(name) for name in (graphs.names if graph is None else [graph])}
        known = {name: {name, loaded[name].get_name()} if name in loaded else {name} for name in graphs.names}
        for name, one_graph in loaded.items():
            others = set[str]().union(*known.values()) - known[name]
            for one in await shell.signoff.afollow_up(one_graph, others=others):
                if one.did != "left" or one.about not in found:
                    found[one.about] = one
    return list(found.values())


def _line(found: FollowUp) -> str:
    return f"{found.about[:SHORT_ID]}  {found}"

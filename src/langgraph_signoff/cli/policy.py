"""`policy check` and `policy schema`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from langgraph_signoff.cli.command import CHECKS, command
from langgraph_signoff.cli.exits import USAGE, Unusable
from langgraph_signoff.cli.options import CONFIG, GRAPH
from langgraph_signoff.cli.shell import POLICY, Shell
from langgraph_signoff.errors import PolicyError
from langgraph_signoff.policy import Policy


def check(
    shell: Shell,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help=f"The policy's file. [{POLICY}]")] = None,
    graph: GRAPH = None,
    config: CONFIG = None,
) -> None:
    """Check a policy file; with --graph also whether it fits that graph's tools."""
    place = file or shell.policy or Path(POLICY)
    try:
        policy = Policy.load(place)
        found = _against(policy, graph, config) if graph else []
    except PolicyError as error:
        if not shell.json:
            raise
        shell.tell({"ok": False, "mistakes": [asdict(mistake) for mistake in error.mistakes]}, str)
        raise typer.Exit(USAGE) from error
    shell.tell(
        {"ok": True, "version": policy.version, "warnings": found},
        lambda: "\n".join(
            [*(f"warning: {text}" for text in found), f"{place} is right: version {policy.version[:12]}"]
        ),
    )


def schema(shell: Shell) -> None:  # noqa: ARG001  # it is JSON in any case
    """Print the JSON Schema of the policy file, for editors."""
    Shell(json=True).tell(Policy.json_schema(), str)


def register(app: typer.Typer) -> None:
    """Adds these commands."""
    policy = typer.Typer(
        name="policy", help="Check a policy file; print its JSON Schema.", no_args_is_help=True, rich_markup_mode=None
    )
    command(policy, "check", *CHECKS)(check)
    command(policy, "schema", *CHECKS)(schema)
    app.add_typer(policy)


def _against(policy: Policy, name: str, config: Path | None) -> list[str]:
    import asyncio

    from langgraph_signoff.cli.graphs import Graphs
    from langgraph_signoff.nodes.checks import gated

    async def names() -> tuple[list[str], list[str], list[str]]:
        async with Graphs(config) as graphs:
            return gated(await graphs.load(name))

    found = asyncio.run(names())
    if not any(found):
        raise Unusable(f"the graph {name!r} has no gated node, so no policy rules there")
    policy.check_graph(*found)
    return policy.warnings(*found)

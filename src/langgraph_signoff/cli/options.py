"""The options and arguments that several commands share, and how a ticket's id is completed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from langgraph_signoff.cli.shell import LEDGER, POLICY, Shell
from langgraph_signoff.render import SHORT_ID, printable

_MOST_SHOWN = 200


def complete_id(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The open tickets whose ids begin so, with what they are; empty whenever anything is in the way."""
    try:
        return _open_tickets(_ledger(ctx), incomplete)
    except Exception:  # a completion never prints an error into the line that is being typed
        return []


def _open_tickets(place: Path, incomplete: str) -> list[tuple[str, str]]:
    from langgraph_signoff.ledger import Query
    from langgraph_signoff.vocabulary import Standing

    ledger = Shell(ledger=place).signoff.ledger
    waiting = (Standing.PENDING, Standing.IN_DOUBT, Standing.APPROVED, Standing.UNDER_AUDIT)
    rows = ledger.find(Query(standings=waiting, limit=_MOST_SHOWN))
    return [
        (row.id[:SHORT_ID] if len(incomplete) <= SHORT_ID else row.id, printable(f"{row.standing} {row.tool}"))
        for row in rows
        if row.id.startswith(incomplete)
    ]


def _ledger(ctx: typer.Context) -> Path:
    import os

    context, given = ctx, None
    while context is not None and given is None:
        given, context = context.params.get("ledger"), context.parent  # type: ignore[assignment]  # the root has none
    return Path(given or os.environ.get("SIGNOFF_LEDGER") or LEDGER)


TICKET = Annotated[
    str, typer.Argument(metavar="ID", help="The ticket: its id, or the beginning of it.", autocompletion=complete_id)
]
REASON = Annotated[
    str,
    typer.Option("--reason", "-r", metavar="TEXT", help="Why; it joins the record, and a refusal tells the agent."),
]
GRAPH = Annotated[str | None, typer.Option("--graph", metavar="NAME", help="A graph's name in langgraph.json.")]
CONFIG = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Names the graphs and the checkpointer. [langgraph.json]"),
]
CHECKPOINTER = Annotated[
    str | None, typer.Option("--checkpointer", metavar="URL", help="Instead of langgraph.json's: sqlite:///FILE.")
]

LEDGER_OPTION = Annotated[
    Path | None, typer.Option("--ledger", metavar="PATH", help=f"The ledger's file, or SIGNOFF_LEDGER. [{LEDGER}]")
]
POLICY_OPTION = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        metavar="PATH",
        help=f"The policy's file, or SIGNOFF_POLICY. [{POLICY} if there is one; "
        "without, each ticket's recorded policy judges]",
    ),
]
NAME_OPTION = Annotated[str | None, typer.Option("--as", metavar="NAME", help="Who decides. [the OS user]")]
JSON_OPTION = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
URL_OPTION = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="The ledger of the server there, instead of a file.")
]
HEADERS_OPTION = Annotated[
    list[str] | None,
    typer.Option(
        "--header",
        metavar="'NAME: VALUE'",
        help="Tells the server who you are; may be given again. [Authorization: Bearer SIGNOFF_TOKEN]",
    ),
]

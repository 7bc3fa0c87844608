"""Naming a ticket on the command line, and completing its id."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from langgraph_signoff.cli.shell import LEDGER, Shell
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
    rows = ledger.find(Query(standings=(Standing.PENDING, Standing.IN_DOUBT, Standing.APPROVED), limit=_MOST_SHOWN))
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
REASON = Annotated[str, typer.Option("--reason", "-r", help="Why; it joins the record, and the agent is told.")]

"""`watch`: what comes onto the record, as it comes."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from langgraph_signoff.cli.command import READS, command
from langgraph_signoff.cli.history import entry_text
from langgraph_signoff.cli.shell import Shell
from langgraph_signoff.render import SHORT_ID, printable

EVERYTHING = Annotated[bool, typer.Option("--all", help="From the beginning of the record.")]


def watch(shell: Shell, everything: EVERYTHING = False) -> None:
    """Show rulings, tickets, decisions and outcomes live, until Ctrl-C.

    With --json each is one line of JSON. Allowed calls that the policy does not record are not seen.
    """
    try:
        for event in shell.signoff.watch(after=0 if everything else None):
            print(json.dumps(event) if shell.json else _line(event), flush=True)
    except KeyboardInterrupt:
        return


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "watch", *READS)(watch)


def _line(event: dict[str, Any]) -> str:
    about = " ".join(filter(None, (event["stream"][:SHORT_ID], event["tool"], event["thread_id"])))
    return f"{printable(about.replace(chr(10), ' '))}  {printable(entry_text(event).replace(chr(10), ' / '))}"

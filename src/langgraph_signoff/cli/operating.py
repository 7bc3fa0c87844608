"""`why`: what an operator asks of one ticket."""

from __future__ import annotations

import typer

from langgraph_signoff.cli import screen
from langgraph_signoff.cli.command import READS, command
from langgraph_signoff.cli.options import TICKET
from langgraph_signoff.cli.shell import Shell
from langgraph_signoff.render import LABEL_WIDTH, why_lines


def why(shell: Shell, ticket: TICKET) -> None:
    """Why a ticket was ruled as it was: which rule of which policy, which values; and how the policy in force would rule it."""
    found = shell.signoff.why(ticket)
    if shell.json:
        shell.tell(found, str)
    else:
        screen.show_lines(why_lines(found), width=LABEL_WIDTH)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "why", *READS, "policy")(why)

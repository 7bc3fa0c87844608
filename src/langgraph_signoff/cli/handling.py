"""`take`, `assign`, `extend` and the others: what people do with a ticket before it is decided."""

from __future__ import annotations

from typing import Annotated

import typer

from langgraph_signoff.cli.command import DECIDES, ELSEWHERE, Body, command
from langgraph_signoff.cli.options import REASON, TICKET
from langgraph_signoff.cli.shell import Shell, to_span
from langgraph_signoff.render import SHORT_ID, in_hand_text, printable, time_text
from langgraph_signoff.vocabulary import Ticket

WORDS = Annotated[str, typer.Argument(metavar="TEXT", help="The words.")]


def take(shell: Shell, ticket: TICKET) -> None:
    """Take a ticket in hand for a while, so that nobody else reads it meanwhile; whoever may decide it still may."""
    found = shell.desk.take(ticket, by=shell.by)
    _tell(shell, found, in_hand_text(found))


def put_back(shell: Shell, ticket: TICKET) -> None:
    """Put back a ticket that you have taken, or that was assigned to you."""
    _tell(shell, shell.desk.put_back(ticket, by=shell.by), f"put back, by {shell.by}")


def assign(
    shell: Shell,
    ticket: TICKET,
    to: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Who is to decide it; left out, who has least in hand of those who may."),
    ] = None,
    reason: REASON = "",
) -> None:
    """Assign a ticket to somebody who may decide it: as its queue's owner, as a backup, or as one who may decide it too."""
    found = shell.desk.assign(ticket, to=to, by=shell.by, reason=reason)
    _tell(shell, found, in_hand_text(found))


def extend(
    shell: Shell,
    ticket: TICKET,
    reason: REASON = "",
    span: Annotated[str | None, typer.Option("--for", metavar="SPAN", help="Less than it had, such as 2h.")] = None,
) -> None:
    """Give a ticket more time to be decided in, once: as much as it had. The reason stays on record."""
    more = to_span(span, "--for") if span is not None else None
    found = shell.desk.extend(ticket, by=shell.by, reason=reason, span=more)
    _tell(shell, found, f"due {time_text(found.due_at)}")


def request_info(
    shell: Shell,
    ticket: TICKET,
    text: WORDS,
    of: Annotated[str, typer.Option("--of", metavar="NAME", help="Whom; else its requester, else its owner.")] = "",
) -> None:
    """Ask something before you decide. The ticket goes on waiting, and the answer joins it."""
    found = shell.desk.request_info(ticket, text, by=shell.by, of=of)
    _tell(shell, found, f"it waits for a word of {found.inquiries[-1].of}")


def give_info(shell: Shell, ticket: TICKET, text: WORDS) -> None:
    """Answer what you have been asked about a ticket."""
    _tell(shell, shell.desk.give_info(ticket, text, by=shell.by), f"told, by {shell.by}")


def register(app: typer.Typer) -> None:
    """Adds these commands."""
    bodies: dict[str, Body] = {"take": take, "put-back": put_back, "assign": assign, "extend": extend}
    bodies |= {"request-info": request_info, "give-info": give_info}
    for name, body in bodies.items():
        command(app, name, *DECIDES, *ELSEWHERE)(body)


def _tell(shell: Shell, ticket: Ticket, text: str) -> None:
    shell.tell(ticket, lambda: f"{ticket.id[:SHORT_ID]}  {printable(text)}")

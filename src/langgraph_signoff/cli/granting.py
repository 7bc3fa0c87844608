"""`grant`, `grants`, `second` and `revoke`: what people say of calls to come."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from langgraph_signoff.cli import screen
from langgraph_signoff.cli.command import DECIDES, READS, command
from langgraph_signoff.cli.exits import Unusable
from langgraph_signoff.cli.options import REASON
from langgraph_signoff.cli.shell import Shell, read_object
from langgraph_signoff.render import grant_text
from langgraph_signoff.vocabulary import Grant, Ticket

GRANT = Annotated[str, typer.Argument(metavar="ID", help="The grant: its id, or the beginning of it.")]
UNTIL = Annotated[
    str, typer.Option("--for", metavar="SPAN", help="How long it holds, such as 8h or 30d; 366d at most.")
]
USES = Annotated[int | None, typer.Option("--uses", metavar="N", help="For so many calls at most.")]
WHEN = Annotated[str, typer.Option("--when", metavar="CEL", help="For all calls with arguments like these, as CEL.")]
SUM = Annotated[
    str | None, typer.Option("--sum", metavar="CEL", help="With --limit: what a call adds, as args.amount.")
]
LIMIT = Annotated[str | None, typer.Option("--limit", metavar="N", help="What all its calls may come to together.")]


def grant(
    shell: Shell,
    about: Annotated[str, typer.Argument(metavar="TOOL", help="The tool; with --ticket the id of a ticket of it.")],
    until: UNTIL,
    reason: REASON = "",
    ticket: Annotated[bool, typer.Option("--ticket", help="For the same call as this ticket's.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="Reject such calls, instead of permitting them.")] = False,
    args: Annotated[
        str | None, typer.Option("--args", metavar="JSON", help="For exactly these arguments, as `show` has them.")
    ] = None,
    when: WHEN = "",
    uses: USES = None,
    sum: SUM = None,
    limit: LIMIT = None,
    agent: Annotated[str | None, typer.Option(metavar="NAME", help="Only for calls of this agent.")] = None,
    requester: Annotated[str | None, typer.Option(metavar="NAME", help="Only for calls on behalf of them.")] = None,
    resource: Annotated[str | None, typer.Option(metavar="X", help="Only for calls about this resource.")] = None,
    node: Annotated[bool, typer.Option("--node", help="TOOL is a guarded node or task.")] = False,
) -> None:
    """Let calls to come run without asking, or reject them, until that ends or is revoked.

    Say which with --args, --when or --ticket. The policy's denials and its `always_ask` come before it, and a rejection before
    a permission; a tool with high stakes takes --uses or --sum and --limit.
    """
    which: Ticket | str = shell.signoff.ticket(about) if ticket else about
    given = shell.signoff.grant(
        which,
        by=shell.by,
        reason=reason,
        until=until,
        effect="reject" if reject else "allow",
        args=read_object(args, "--args") if args is not None else None,
        when=when,
        agent=agent,
        requester=requester,
        resource=resource,
        uses=uses,
        total=total_of(sum, limit),
        kind="node" if node else "tool",
    )
    _tell(shell, given)


def total_of(sum: str | None, limit: str | None) -> dict[str, Any] | None:
    """What --sum and --limit say together."""
    if (sum is None) != (limit is None):
        raise Unusable("--sum and --limit go together: what a call adds, and what all may come to")
    return None if sum is None else {"sum": sum, "limit": limit}


def second(shell: Shell, grant: GRANT) -> None:
    """Give a grant as well, where the policy wants several people: it counts as your word too."""
    _tell(shell, shell.signoff.second(grant, by=shell.by))


def revoke(shell: Shell, grant: GRANT, reason: REASON = "") -> None:
    """End a grant at once: what has begun finishes, every later call is ruled without it."""
    _tell(shell, shell.signoff.revoke(grant, by=shell.by, reason=reason))


def grants(
    shell: Shell,
    tool: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this tool.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those too that have ended.")] = False,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many.")] = 50,
) -> None:
    """What is permitted and rejected without asking, what ends first first."""
    found = shell.signoff.grants(tool=tool, ended=everything, limit=limit)
    if shell.json:
        shell.tell(found, str)
    else:
        screen.show_grants(found, more=len(found) == limit)


def register(app: typer.Typer) -> None:
    """Adds these commands."""
    command(app, "grant", *DECIDES)(grant)
    command(app, "second", *DECIDES)(second)
    command(app, "revoke", *DECIDES)(revoke)
    command(app, "grants", *READS)(grants)


def _tell(shell: Shell, grant: Grant) -> None:
    shell.tell(grant, lambda: grant_text(grant))

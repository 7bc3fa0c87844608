"""`list` and `show`: what waits, and what it is."""

from __future__ import annotations

from typing import Annotated

import typer

from langgraph_signoff.cli import screen
from langgraph_signoff.cli.command import DECIDES, ELSEWHERE, READS, command
from langgraph_signoff.cli.exits import Unusable
from langgraph_signoff.cli.options import TICKET
from langgraph_signoff.cli.shell import Shell
from langgraph_signoff.cli.worklists import Worklist
from langgraph_signoff.errors import UnknownTicket
from langgraph_signoff.justification import to_markdown
from langgraph_signoff.ledger import Query, stamp
from langgraph_signoff.render import SHORT_ID, counted, is_report, reviewers_text
from langgraph_signoff.vocabulary import Standing

_MINE = "What waits for your word: what you may decide, have taken, or were assigned."
_OVERDUE = "What time has ended, and `signoff expire` has not written down yet."
_STUCK = (
    "What does not move: run by a process that is gone, in doubt; and for longer than --for: approved and not used, "
    "in somebody's hand, or in a thread that could go on and that nobody has resumed."
)

WAITS = (Standing.PENDING, Standing.IN_DOUBT)
_STANDINGS = f"Only what stands so, may be given again: {', '.join(Standing)}. [{', '.join(WAITS)}]"


def list_tickets(
    shell: Shell,
    queue: Annotated[str | None, typer.Option(metavar="NAME", help="Only this queue.")] = None,
    thread: Annotated[str | None, typer.Option(metavar="T", help="Only this thread.")] = None,
    tool: Annotated[str | None, typer.Option(metavar="NAME", help="Only this tool.")] = None,
    standing: Annotated[list[Standing] | None, typer.Option(metavar="STANDING", help=_STANDINGS)] = None,
    audits: Annotated[bool, typer.Option("--audits", help="What has run and waits for a look.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Whatever its standing, denied calls too.")] = False,
    mine: Annotated[bool, typer.Option("--mine", help=_MINE)] = False,
    overdue: Annotated[bool, typer.Option("--overdue", help=_OVERDUE)] = False,
    stuck: Annotated[bool, typer.Option("--stuck", help=_STUCK)] = False,
    span: Annotated[str, typer.Option("--for", metavar="SPAN", help="With --stuck: for how long.")] = "1h",
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many.")] = 50,
) -> None:
    """What waits for a person, most urgent first."""
    chosen = [name for name, is_on in (("mine", mine), ("overdue", overdue), ("stuck", stuck)) if is_on]
    if chosen:
        if len(chosen) + everything + bool(standing) + (audits and not mine) > 1:
            raise Unusable("give one of --mine, --overdue, --stuck, --standing, --all; --audits goes with --mine only")
        where = {"queue": queue, "thread_id": thread, "tool": tool}
        Worklist(shell=shell, limit=limit, where=where, audits=audits, span=span).show(chosen[0])
        return
    waits = (Standing.UNDER_AUDIT,) if audits else WAITS
    wanted = tuple(Standing) if everything and not standing else tuple(standing or waits)
    asked = () if len(wanted) == len(Standing) else wanted
    found = shell.desk.find(Query(asked, queue=queue, thread_id=thread, tool=tool, limit=limit + 1))
    if shell.json:
        shell.tell(found[:limit], str)
    else:
        screen.show_list(found[:limit], now=shell.now, more=len(found) > limit, filtered=wanted != WAITS)
        if wanted == WAITS:
            _hint(shell)


def _hint(shell: Shell) -> None:
    query = Query((Standing.UNDER_AUDIT,), due_after=stamp(shell.now), limit=100)
    found = len(shell.signoff.ledger.find(query) if shell.url is None else shell.desk.find(query))
    if found:
        count = (
            "100 or more actions wait"
            if found == 100
            else f"{counted(found, 'action')} {'waits' if found == 1 else 'wait'}"
        )
        print(f"{count} for a look: signoff list --audits")


def show(shell: Shell, ticket: TICKET) -> None:
    """A ticket: all that a decision needs, and its digest."""
    found = shell.desk.ticket(ticket)
    if shell.json:
        shell.tell(found, str)
    else:
        screen.show_ticket(found)


def who(shell: Shell, ticket: TICKET) -> None:
    """Who may decide a ticket and why, and who may not."""
    found = shell.desk.who(ticket)
    shell.tell(found, lambda: reviewers_text(found))


def report(shell: Shell, ticket: TICKET) -> None:
    """What a run did and why it may stand, as Markdown: of a ticket that asks for a run's outcome."""
    found = shell.desk.ticket(ticket)
    if not is_report(found):
        raise UnknownTicket(f"ticket {found.id[:SHORT_ID]} asks for no run's outcome; `signoff show` tells what it is")
    shell.tell(found.args, lambda: to_markdown(found.args))


def register(app: typer.Typer) -> None:
    """Adds these commands."""
    command(app, "list", *DECIDES, *ELSEWHERE)(list_tickets)
    command(app, "show", *READS, *ELSEWHERE)(show)
    command(app, "who", *READS, "policy", *ELSEWHERE)(who)
    command(app, "report", *READS, *ELSEWHERE)(report)

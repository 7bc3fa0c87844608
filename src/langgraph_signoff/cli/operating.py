"""`why`, `queue` and `simulate`: what an operator asks of one ticket, and of all of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from langgraph_signoff.cli import screen
from langgraph_signoff.cli.command import READS, command
from langgraph_signoff.cli.exits import Unusable
from langgraph_signoff.cli.options import TICKET
from langgraph_signoff.cli.progress import bar
from langgraph_signoff.cli.shell import Shell
from langgraph_signoff.policy import Policy
from langgraph_signoff.render import LABEL_WIDTH, SHORT_ID, counted, printable, why_lines
from langgraph_signoff.vocabulary import Flip, Load, Queue, Simulation

DAYS = Annotated[int, typer.Option("--days", min=1, max=36_500, metavar="N", help="Over the last so many days.")]
_MOST_LOADS = 20


def why(shell: Shell, ticket: TICKET) -> None:
    """Why a ticket was ruled as it was: which rule of which policy, which values; and how the policy in force would rule it."""
    found = shell.signoff.why(ticket)
    if shell.json:
        shell.tell(found, str)
    else:
        screen.show_lines(why_lines(found), width=LABEL_WIDTH)


def queue(
    shell: Shell,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Only this queue, with all its reviewers.")] = None,
    days: DAYS = 30,
) -> None:
    """How each queue does: what waits now, and over the last days how long decisions took, what expired, who decided.

    Times run from a ticket's opening to the word that decided it, as the record has them: half of the decisions took no longer
    than the median, 19 of 20 no longer than p95. `in hand` is what a reviewer has taken or was assigned now, `said` how many
    words they gave in those days. The share of expired tickets is that in all that were decided or expired in those days.
    """
    with bar("reading what was decided") as progress:
        found = shell.signoff.queues(name, days=days, progress=progress)
    if name is not None and not found:
        known = ", ".join(shell.signoff.ledger.queues()) or "none yet"
        raise Unusable(f"no ticket is or was in a queue {name!r}; the queues of this ledger: {known}")
    if shell.json:
        shell.tell([{**each.model_dump(), "expired_share": each.expired_share} for each in found], str)
    elif not found:
        print("there is no ticket in any queue")
    else:
        _show(found, shell.now, days, whole=name is not None)


def _show(found: list[Queue], now: datetime, days: int, *, whole: bool) -> None:
    header = ["queue", "waiting", "overdue", "in doubt", "oldest", f"decided in {days}d", "median", "p95", "expired"]
    screen.show_table(header, [_cells(each, now) for each in found])
    for each in found:
        if each.reviewers:
            print()
            loads = each.reviewers if whole else each.reviewers[:_MOST_LOADS]
            screen.show_table([f"{each.name}: reviewer", "in hand", f"said in {days}d"], list(map(_load, loads)))
            if len(loads) < len(each.reviewers):
                print(f"(the first {len(loads)} of {len(each.reviewers)}; all with: signoff queue NAME)")


def _cells(each: Queue, now: datetime) -> list[str]:
    share = "" if each.expired_share is None else f"{each.expired} ({each.expired_share:.0%})"
    oldest = screen.span_text(now - each.oldest) if each.oldest else ""
    counts = [each.waiting, each.overdue, each.in_doubt]
    return [each.name, *map(str, counts), oldest, str(each.decided), _span(each.median), _span(each.p95), share]


def _load(load: Load) -> list[str]:
    return [load.name, str(load.in_hand), str(load.said)]


def _span(seconds: float | None) -> str:
    return "" if seconds is None else screen.seconds_text(seconds)


def simulate(shell: Shell, days: DAYS = 30) -> None:
    """What the tickets that wait and those of the last days would have been under another policy: --policy FILE.

    Each is ruled on the arguments that it froze when it was opened, as of that moment, with the counts of its thread as the record
    has them. A call that was allowed and not recorded has left nothing to be ruled again. Nothing is written.
    """
    if shell.policy_file is None:
        raise Unusable("name the other policy: --policy FILE")
    policy = Policy.load(shell.policy_file)
    with bar("ruling again") as progress:
        found = shell.signoff.simulate(policy, days=days, progress=progress)
    if shell.json:
        shell.tell({**found.model_dump(), "flipped": found.flipped}, str)
        return
    if found.flips:
        screen.show_table(
            ["tool", "was", "would be", "by rule", "because", "tickets", "such as"], list(map(_flip, found.flips))
        )
    print(printable(_summary(found, str(shell.policy_file))))


def _flip(flip: Flip) -> list[str]:
    would_be = f"{flip.would_be}, other {', '.join(flip.needs)}" if flip.needs else flip.would_be
    examples = " ".join(id_[:SHORT_ID] for id_ in flip.examples)
    return [flip.tool, flip.was, would_be, flip.rule, flip.reason_code, str(flip.count), examples]


def _summary(found: Simulation, name: str) -> str:
    lines = [f"{found.flipped} of {counted(found.ruled, 'ticket')} would be ruled otherwise by {name}"]
    if found.erased:
        lines.append(f"{counted(found.erased, 'ticket')} could not be ruled: what they were about has been erased")
    if found.unreadable:
        lines.append(f"{counted(found.unreadable, 'ticket')} cannot be read; `signoff verify` names what was changed")
    if found.uncertain:
        lines.append(f"{counted(found.uncertain, 'ticket')} depend on counts that the record does not hold in full")
    return "\n".join(lines)


def register(app: typer.Typer) -> None:
    """Adds these commands."""
    command(app, "why", *READS, "policy")(why)
    command(app, "queue", *READS)(queue)
    command(app, "simulate", *READS, "policy")(simulate)

"""`delegate` and `delegations`: who decides in whose place while they are away."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from langgraph_signoff.cli.command import DECIDES, READS, command
from langgraph_signoff.cli.exits import Unusable
from langgraph_signoff.cli.options import REASON
from langgraph_signoff.cli.shell import Shell
from langgraph_signoff.durations import parse_duration
from langgraph_signoff.law import Delegation
from langgraph_signoff.ledger import stamp
from langgraph_signoff.render import printable, time_text

UNTIL = Annotated[
    str | None, typer.Option("--until", metavar="WHEN", help="2026-12-24, 2026-12-24T18:00+01:00 (else UTC), or 5d.")
]
FROM = Annotated[str | None, typer.Option("--from", metavar="WHEN", help="When it begins; now, if left out.")]
END = Annotated[bool, typer.Option("--end", help="They are back: nobody decides in their place any more.")]


def delegate(
    shell: Shell,
    absent: Annotated[str, typer.Argument(metavar="WHO", help="Who is away.")],
    deputy: Annotated[str | None, typer.Argument(metavar="[DEPUTY]", help="Who decides in their place.")] = None,
    until: UNTIL = None,
    start: FROM = None,
    end: END = False,
    reason: REASON = "",
) -> None:
    """Let somebody decide in the place of one who is away.

    It is for who is away to say, or for the owner of a queue, of that queue only. Both names stand on each decision, and count
    once.
    """
    if end != (deputy is None):
        raise Unusable("give who decides in their place, or --end")
    if deputy is None:
        held = shell.signoff.end_delegation(absent, by=shell.by)
    elif until is None:
        raise Unusable("say --until when")
    else:
        now = shell.now
        span = {"until": _moment("--until", until, now), "start": _moment("--from", start, now) if start else now}
        held = shell.signoff.delegate(absent, to=deputy, by=shell.by, reason=reason, **span)
    _tell(shell, held)


def delegations(shell: Shell) -> None:
    """Who stands in for whom, now or later."""
    _tell(shell, shell.signoff.delegations())


def register(app: typer.Typer) -> None:
    """Adds these commands."""
    command(app, "delegate", *DECIDES)(delegate)
    command(app, "delegations", *READS)(delegations)


def _moment(option: str, given: str, now: datetime) -> datetime:
    try:
        return now + parse_duration(given)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(given)
    except ValueError as error:
        raise Unusable(f"{option} {given!r} is no moment; write 2026-12-24, 2026-12-24T18:00, or 5d") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _tell(shell: Shell, held: list[Delegation]) -> None:
    words = [
        {"absent": each.absent, "deputy": each.deputy, "start": stamp(each.start), "until": stamp(each.until)}
        | {"by": each.by, "reason": each.reason}
        for each in held
    ]
    shell.tell(words, lambda: "\n".join(map(_line, held)) if held else "nobody stands in for anybody")


def _line(each: Delegation) -> str:
    why = f": {each.reason}" if each.reason else ""
    span = f"{time_text(each.start)} to {time_text(each.until)}"
    return printable(f"{each.deputy} for {each.absent}  {span}  by {each.by}{why}")

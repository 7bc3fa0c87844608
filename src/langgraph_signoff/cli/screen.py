"""What a person sees: the list in ten seconds, a ticket on one screen. Only here and in the demo Rich is loaded."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from langgraph_signoff.render import (
    LABEL_WIDTH,
    SHORT_ID,
    Lines,
    aligned,
    asked_by_text,
    grant_id,
    grant_lines,
    printable,
    risk_text,
    ticket_lines,
    what_text,
)
from langgraph_signoff.vocabulary import Grant, Standing, Ticket

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_NARROW, _WIDE = 72, 110  # columns of a terminal below which a column of the list gives way
_SOON = timedelta(minutes=15)
_MOST_WHAT = 200  # characters of a call in the list; `show` has all of it
_ENDLESS = 100_000  # columns of what is no terminal: nothing is cut or broken in a file or a pipe

_NO_WORDS: Mapping[str, str] = {}

_COLOURS = {
    Standing.PENDING: "yellow",
    Standing.APPROVED: "green",
    Standing.EXECUTED: "green",
    Standing.ANSWERED: "green",
    Standing.RUNNING: "blue",
    Standing.UNDER_AUDIT: "blue",
    Standing.CONFIRMED: "green",
    Standing.UNREVIEWED: "dim",
}


def show_list(
    tickets: Sequence[Ticket], *, now: datetime, more: bool, filtered: bool, why: Mapping[str, str] = _NO_WORDS
) -> None:
    """Prints tickets as a table: id, what, why, who asked, and how long there is; `why` a list has them, by id."""
    from rich.table import Table
    from rich.text import Text

    if not tickets:
        print("no ticket fits" if filtered else "nothing waits for a decision")
        return
    console = _console()
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="bold")
    columns = _columns(console, tickets, filtered=filtered)
    columns[2:2] = ["because"] if why else []
    for column in columns:
        table.add_column(column, no_wrap=column in ("id", "standing", "due in", "because"), overflow="fold")
    for ticket in tickets:
        cells = _cells(ticket, now, is_wide=console.width >= _WIDE)
        cells["because"] = (_one_line(why.get(ticket.id, "")), "red")
        table.add_row(*(Text(*cells[column]) for column in columns))
    console.print(table)
    if more:
        print(f"(the first {len(tickets)}; more with --limit)")


def show_grants(grants: Sequence[Grant], *, more: bool) -> None:
    """Prints grants as a table: id, what it does, to which calls, until when, how much is used, who gave it."""
    from rich.table import Table
    from rich.text import Text

    if not grants:
        print("nothing is granted")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="bold")
    for column in ("id", "does", "calls", "until", "used", "given by"):
        table.add_column(column, no_wrap=column in ("id", "does"), overflow="fold")
    for grant in grants:
        words = dict(grant_lines(grant))
        ended = grant.ended or ("used up" if grant.is_used_up else "")
        state = ended or ("" if grant.is_backed else "waits for a second")
        cells = [grant_id(grant.id), "permits" if grant.effect == "allow" else "rejects", words["call"]]
        cells += [state or words["until"], words["used"], " and ".join(grant.given_by)]
        table.add_row(*(Text(_one_line(cell)) for cell in cells))
    _console().print(table)
    if more:
        print(f"(the first {len(grants)}; more with --limit)")


def _columns(console: Console, tickets: Sequence[Ticket], *, filtered: bool) -> list[str]:
    mixed = filtered or any(ticket.standing is not Standing.PENDING for ticket in tickets)
    in_hand = any(_in_hand(ticket) for ticket in tickets)
    columns = ["id", "due in", "standing" if mixed else "", "in hand" if in_hand else "", "what"]
    columns += ["why"] if console.width >= _NARROW else []
    columns += ["asked by"] if console.width >= _WIDE and any(asked_by_text(ticket) for ticket in tickets) else []
    return [column for column in columns if column]


def _cells(ticket: Ticket, now: datetime, *, is_wide: bool) -> dict[str, tuple[str, str]]:
    left = ticket.due_at - now if ticket.due_at else None
    soon = left is not None and left <= _SOON and ticket.standing is not Standing.APPROVED
    return {
        "id": (ticket.id[:SHORT_ID], "bold"),
        "due in": (span_text(left) if left else "", "red" if soon else ""),
        "standing": (str(ticket.standing), _COLOURS.get(ticket.standing, "red")),
        "in hand": (_one_line(_in_hand(ticket)), ""),
        "what": (_one_line(what_text(ticket)), ""),
        "why": (_one_line(_why(ticket) if is_wide else ticket.reason_code), "dim"),
        "asked by": (_one_line(asked_by_text(ticket)), ""),
    }


def _why(ticket: Ticket) -> str:
    return ": ".join(filter(None, (ticket.reason_code, risk_text(ticket.risk))))


def _in_hand(ticket: Ticket) -> str:
    return ticket.taker or (f"({ticket.assignee})" if ticket.assignee else "")


def _one_line(text: str) -> str:
    line = printable(" ".join(text.split("\n")))
    return line if len(line) <= _MOST_WHAT else line[:_MOST_WHAT] + "…"


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """Prints a table; all but the first `left` columns stand to the right."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="bold")
    for place, title in enumerate(header):
        table.add_column(Text(_one_line(title)), overflow="fold", justify="left" if place < left else "right")
    for row in rows:
        table.add_row(*(Text(_one_line(cell)) for cell in row))
    _console().print(table)


def seconds_text(seconds: float) -> str:
    """A span in seconds, in its two largest units."""
    return span_text(timedelta(seconds=seconds))


def span_text(span: timedelta) -> str:
    """A span in its two largest units, such as `2h 5m`."""
    seconds = max(0, int(span.total_seconds()))
    parts = [(seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s")]
    first = next((place for place, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count}{unit}" for count, unit in parts[first : first + 2] if count) or "0s"


def show_ticket(ticket: Ticket) -> None:
    """Prints a ticket."""
    show_lines(ticket_lines(ticket), width=LABEL_WIDTH, bold=("what", "call", "steps"))


def show_lines(lines: Lines, *, width: int, bold: Sequence[str] = ()) -> None:
    """Prints labels of that width and their texts; on a terminal long texts are broken beside their labels."""
    if sys.stdout.isatty():
        _console().print(grid(lines, bold=bold))
    else:
        print(aligned(lines, width=width))


def grid(lines: Lines, *, bold: Sequence[str] = ()) -> Table:
    """Labels and texts as a table that fits any console."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in lines:
        table.add_row(Text(label, "dim"), Text(printable(text), "bold" if label in bold else ""))
    return table


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else _ENDLESS)

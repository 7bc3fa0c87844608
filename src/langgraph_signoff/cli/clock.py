"""`expire` and `run-clock`: what time brings, once from cron, or continuously."""

from __future__ import annotations

import json
import signal
import sys
import threading
from typing import Annotated

import typer

from langgraph_signoff.cli.command import READS, command
from langgraph_signoff.cli.exits import Unusable
from langgraph_signoff.cli.shell import Shell
from langgraph_signoff.cli.telling import Sender
from langgraph_signoff.durations import parse_duration
from langgraph_signoff.errors import LedgerCorrupt, LedgerError
from langgraph_signoff.render import printable


def expire(shell: Shell) -> None:
    """Do all that is due, and print the threads to wake.

    Reminders, escalations and ends go on record, each once, however often this runs; it also seals the record. Reading and
    resuming count what is overdue as ended in any case.
    """
    threads = shell.signoff.expire()
    shell.tell({"threads": threads}, lambda: "\n".join(threads) if threads else "nothing was overdue")


EVERY = Annotated[str, typer.Option("--every", metavar="SPAN", help="How often to look at least, such as 30s.")]


def run_clock(shell: Shell, every: EVERY = "30s") -> None:
    """Do what `expire` does, as soon as it is due, until Ctrl-C or SIGTERM.

    Prints the threads to wake, a line each; with --json a line for each time that there are some. Where the policy names
    channels it also does what `notify` does. An error of the ledger is said, and it is asked again.
    """
    try:
        most = parse_duration(every).total_seconds()
    except ValueError as error:
        raise Unusable(f"--every: {error}") from error
    sender = Sender(shell) if shell.signoff.policy.tells else None
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    while not stop.is_set():
        stop.wait(_tick(shell, most, sender))


def register(app: typer.Typer) -> None:
    """Adds these commands."""
    command(app, "expire", *READS)(expire)
    command(app, "run-clock", *READS, "policy")(run_clock)


def _tick(shell: Shell, most: float, sender: Sender | None) -> float:
    try:
        _end(shell)
        if sender:
            sender.send()
        # What cannot be written down stays due: it must not keep the machine busy.
        return min(most, max(1.0, shell.signoff.seconds_to_next_moment()))
    except LedgerError as error:
        _say(error)
        return most


def _end(shell: Shell) -> None:
    try:
        if threads := shell.signoff.expire():
            print(json.dumps({"threads": threads}) if shell.json else printable("\n".join(threads)), flush=True)
    except LedgerCorrupt as error:
        # Of the others people are to hear all the same.
        _say(error)


def _say(error: LedgerError) -> None:
    print(f"signoff: {printable(str(error))}", file=sys.stderr, flush=True)

"""`expire`, `seal`, `verify`: what time has ended, and whether the record is whole."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from langgraph_signoff.cli.command import READS, command
from langgraph_signoff.cli.exits import BROKEN, Unusable
from langgraph_signoff.cli.shell import Shell
from langgraph_signoff.vocabulary import SHORTEST_DIGEST


def expire(shell: Shell) -> None:
    """End what is overdue, and print the threads to wake.

    It also seals the record. Reading and resuming count what is overdue as ended in any case.
    """
    threads = shell.signoff.expire()
    shell.tell({"threads": threads}, lambda: "\n".join(threads) if threads else "nothing was overdue")


def seal(shell: Shell) -> None:
    """Chain the record so far into one hash.

    Note it elsewhere: `verify --seal HASH` tells later whether the end was cut off.
    """
    found = shell.signoff.seal()
    shell.tell({"seal": found}, lambda: found or "the record is empty")


def verify(
    shell: Shell,
    seal: Annotated[
        str | None, typer.Option("--seal", metavar="HASH", help="A seal that you noted; it must be there.")
    ] = None,
) -> None:
    """Check the whole record; say what is broken."""
    if seal is not None and len(seal) < SHORTEST_DIGEST:
        raise Unusable(f"--seal {seal!r}: give at least {SHORTEST_DIGEST} characters of the seal")
    report = shell.signoff.verify(seal=seal)
    shell.tell({**asdict(report), "is_whole": report.is_whole}, lambda: str(report))
    if not report.is_whole:
        raise typer.Exit(BROKEN)


def register(app: typer.Typer) -> None:
    """Adds these commands."""
    command(app, "expire", *READS)(expire)
    command(app, "seal", *READS)(seal)
    command(app, "verify", *READS)(verify)

"""`halt`, `release`, `seal`, `verify`: what holds for the whole record, and whether it is whole."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from langgraph_signoff.cli.command import READS, command
from langgraph_signoff.cli.exits import BROKEN, Unusable
from langgraph_signoff.cli.options import REASON
from langgraph_signoff.cli.shell import Shell
from langgraph_signoff.law import Halt
from langgraph_signoff.ledger import stamp
from langgraph_signoff.render import time_text
from langgraph_signoff.vocabulary import SHORTEST_DIGEST

THREAD = Annotated[str | None, typer.Option("--thread", metavar="T", help="Only this thread.")]
TOOL = Annotated[str | None, typer.Option("--tool", metavar="X", help="Only this tool or node.")]
EVERYTHING = Annotated[bool, typer.Option("--all", help="Everything behind a gate.")]


def halt(
    shell: Shell, thread: THREAD = None, tool: TOOL = None, everything: EVERYTHING = False, reason: REASON = ""
) -> None:
    """Stop: from now on nothing of it starts.

    What has begun finishes and is recorded. Runs that come to it end as halted, until `release`.
    """
    _name_one(thread, tool, everything)
    _tell(shell, shell.signoff.halt(by=shell.by, reason=reason, thread_id=thread, tool=tool))


def release(
    shell: Shell, thread: THREAD = None, tool: TOOL = None, everything: EVERYTHING = False, reason: REASON = ""
) -> None:
    """Take back a halt of exactly this scope.

    `resume --all` then wakes the threads that have come to it.
    """
    _name_one(thread, tool, everything)
    _tell(shell, shell.signoff.release(by=shell.by, reason=reason, thread_id=thread, tool=tool))


def halts(shell: Shell) -> None:
    """What is halted, by whom and why."""
    _tell(shell, shell.signoff.halts())


def _name_one(thread: str | None, tool: str | None, everything: bool) -> None:
    if (thread is None and tool is None) != everything:
        raise Unusable("say which: --thread T, --tool X, both, or --all")


def _tell(shell: Shell, held: list[Halt]) -> None:
    words = [{**asdict(halt.scope), "by": halt.by, "at": stamp(halt.at), "reason": halt.reason} for halt in held]
    shell.tell(words, lambda: "\n".join(map(_line, held)) if held else "nothing is halted")


def _line(halt: Halt) -> str:
    why = f": {halt.reason}" if halt.reason else ""
    return f"halted  {halt.scope}  by {halt.by} at {time_text(halt.at)}{why}"


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
    command(app, "halt", *READS, "name")(halt)
    command(app, "release", *READS, "name")(release)
    command(app, "halts", *READS)(halts)
    command(app, "seal", *READS)(seal)
    command(app, "verify", *READS)(verify)

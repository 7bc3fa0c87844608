"""`notify`: sends what people are to be told, and says what has reached nobody."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import asdict
from typing import Annotated

import typer

from langgraph_signoff.cli.command import READS, command
from langgraph_signoff.cli.exits import NO, Unusable
from langgraph_signoff.cli.shell import Shell
from langgraph_signoff.errors import LedgerUnavailable
from langgraph_signoff.ledger import Notice
from langgraph_signoff.render import SHORT_ID, printable
from langgraph_signoff.vocabulary import Delivery

EVERY = 1.0  # seconds between two looks of `--watch`

WATCH = Annotated[bool, typer.Option("--watch", help="Go on sending what comes up, until Ctrl-C or SIGTERM.")]
FAILED = Annotated[bool, typer.Option("--failed", help="Send nothing; list what has reached nobody, and why.")]
AGAIN = Annotated[bool, typer.Option("--again", help="Also try what has been given up.")]


def notify(shell: Shell, watch: WATCH = False, failed: FAILED = False, again: AGAIN = False) -> None:
    """Send what people are to be told, by the channels of the policy.

    To be run from cron, or kept running with --watch. What a channel does not take is tried again, ever more rarely, for three
    days. Ends with 1 if a channel cannot be used or has not taken a message, or something was given up.
    """
    if failed:
        if watch or again:
            raise Unusable("--failed only lists; leave --watch and --again out")
        found = shell.signoff.notices()
        shell.tell([asdict(notice) for notice in found], lambda: _lines(found))
        return
    if again:
        shell.signoff.try_again()
    if watch:
        _watch(shell)
        return
    done = shell.signoff.deliver(os.environ)
    shell.tell(done.model_dump(mode="json"), lambda: _text(done))
    if done.given_up or done.problems:
        raise typer.Exit(NO)


class Sender:
    """Sends again and again, and says what is new: what was sent or given up, and what is wrong with a channel."""

    def __init__(self, shell: Shell) -> None:
        self._shell, self._told = shell, dict[str, str]()

    def send(self) -> None:
        """Sends what is due. Raises LedgerError."""
        done = self._shell.signoff.deliver(os.environ)
        new = {channel: problem for channel, problem in done.problems.items() if self._told.get(channel) != problem}
        if done.sent or done.given_up or new:
            said = done.model_copy(update={"problems": new})
            print(said.model_dump_json() if self._shell.json else printable(_text(said)), flush=True)
        self._told |= done.problems


def _watch(shell: Shell) -> None:
    sender = Sender(shell)
    # Ended by a service manager as by Ctrl-C: the message that is under way is finished.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while True:
            try:
                sender.send()
            except LedgerUnavailable as error:
                print(f"signoff: {printable(str(error))}", file=sys.stderr, flush=True)
            time.sleep(EVERY)
    except KeyboardInterrupt:
        return


def _text(done: Delivery) -> str:
    counts = ((done.sent, "sent"), (done.put_off, "to be tried again"), (done.given_up, "given up"))
    said = ", ".join(f"{number} {what}" for number, what in counts if number) or "nothing was sent"
    return "\n".join([said, *(f"{channel}: {problem}" for channel, problem in done.problems.items())])


def _lines(found: list[Notice]) -> str:
    return "\n".join(map(_line, found)) if found else "all has been sent"


def _line(notice: Notice) -> str:
    to = notice.channel + (f" to {notice.person}" if notice.person else "")
    then = "given up" if notice.state == "given_up" else f"due at {notice.at[:19]}Z"
    why = f": {notice.problem}" if notice.problem else ""
    return f"{notice.ticket[:SHORT_ID]}  {notice.event}  {to}  tried {notice.tries} times, {then}{why}"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "notify", *READS, "policy")(notify)

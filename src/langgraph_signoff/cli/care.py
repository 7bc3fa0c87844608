"""What the policy wants of whoever approves: the checklist, the time to read; and reasons that are often given."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Annotated

import typer

from langgraph_signoff.cli.asking import ask
from langgraph_signoff.cli.exits import Unusable
from langgraph_signoff.cli.shell import Shell
from langgraph_signoff.errors import TooFast
from langgraph_signoff.render import printable
from langgraph_signoff.vocabulary import Ticket

CHECKS = Annotated[
    list[str] | None,
    typer.Option(
        "--check", metavar="N=ANSWER", help="Your answer to item N of the checklist, such as 1=yes; repeat it."
    ),
]
TEMPLATE = Annotated[
    str | None,
    typer.Option("--template", metavar="NAME", help="A reason that the policy has ready; --reason adds to it."),
]


class Reading:
    """How long a person has had a ticket before them at this terminal."""

    def __init__(self, *, is_shown: bool) -> None:
        self._since = time.monotonic() if is_shown else None

    @property
    def span(self) -> timedelta | None:
        """Since it was shown; None if nobody saw it here."""
        return None if self._since is None else timedelta(seconds=time.monotonic() - self._since)


def reason_of(seen: Ticket, template: str | None, reason: str) -> str:
    """The words of a template, and what is added to them."""
    if template is None:
        return reason
    if template not in seen.templates:
        known = ", ".join(seen.templates) or "none"
        raise Unusable(f"--template {template!r}: the policy has {known} for {seen.tool}")
    return ": ".join(filter(None, (seen.templates[template], reason)))


def answers(shell: Shell, seen: Ticket, given: Sequence[str]) -> dict[str, str]:
    """The answers to a ticket's checklist, by item; on a terminal what is not given is asked."""
    items, found = seen.requirements.checklist, dict[str, str]()
    for text in given:
        number, _, said = text.partition("=")
        if not (number.isdecimal() and 1 <= int(number) <= len(items) and said.strip()):
            raise Unusable(f"--check {text!r}: write N=ANSWER, N from 1 to {len(items)}")
        found[items[int(number) - 1]] = said.strip()
    for item in items if shell.asks else ():
        if item not in found:
            found[item] = str(typer.prompt(printable(item)))
    return found


def once_more(shell: Shell, decide: Callable[[], Ticket], *, is_shown: bool) -> Ticket:
    """The decision; on a terminal, who was too fast is asked once more."""
    try:
        return decide()
    except TooFast as haste:
        if not (shell.asks and is_shown):
            raise
        print(printable(str(haste)))
        ask("You have read it, and mean it?")
        return decide()

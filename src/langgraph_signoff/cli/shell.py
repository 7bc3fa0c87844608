"""What every command knows of where it was called: which ledger, which policy, who asks, and how to answer."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langgraph_signoff.canonical import strict_json
from langgraph_signoff.cli.exits import Unusable
from langgraph_signoff.durations import parse_duration
from langgraph_signoff.errors import IncompleteDecision, LedgerUnavailable
from langgraph_signoff.output import to_json
from langgraph_signoff.render import printable
from langgraph_signoff.vocabulary import Json

if TYPE_CHECKING:
    from langgraph_signoff.server.client import Remote
    from langgraph_signoff.signoff import Signoff

LEDGER, POLICY = "signoff.db", "signoff.yaml"


@dataclass(frozen=True)
class Shell:
    """The options that all commands share; None means not given. What was given after a command's name wins."""

    ledger: Path | None = None
    policy: Path | None = None
    name: str | None = None
    json: bool = False
    url: str | None = None
    headers: Sequence[str] | None = None

    def over(self, other: Shell) -> Shell:
        """These options, and the others' where these are not given; headers add up."""
        return Shell(
            self.ledger or other.ledger,
            self.policy or other.policy,
            self.name or other.name,
            self.json or other.json,
            self.url or other.url,
            [*(other.headers or ()), *(self.headers or ())],
        )

    @property
    def desk(self) -> Signoff | Remote:
        """Where tickets are read and decided: the ledger, or with --url that of a server."""
        return self.signoff if self.url is None else self.remote

    @cached_property
    def remote(self) -> Remote:
        """The server's ledger."""
        from langgraph_signoff.server.client import Remote

        return Remote(self.url or "", headers=dict(map(_header, self.headers or ())))

    @cached_property
    def signoff(self) -> Signoff:
        """The ledger, which must be there already, and the policy, which is read on first use."""
        from langgraph_signoff.signoff import Signoff

        if self.url is not None:
            raise Unusable("this command works on a ledger's file: run it where that is, without --url")

        place = self.ledger or Path(LEDGER)
        if not place.exists():
            raise LedgerUnavailable(f"there is no ledger at {place}; name it with --ledger or SIGNOFF_LEDGER")
        return Signoff(place, policy=self.policy_file)

    @property
    def now(self) -> datetime:
        """The time by which tickets are due: that of the ledger's machine, as of the last look at it."""
        return self.signoff.desk.clock() if self.url is None else self.remote.now

    @property
    def policy_file(self) -> Path | None:
        """The policy that was named, or `signoff.yaml` if there is one; without, the recorded policies judge."""
        if self.policy is None and Path(POLICY).exists():
            return Path(POLICY)
        return self.policy

    @property
    def by(self) -> str:
        """Who decides: --as, or the user of this process; at a server, whom it takes us for."""
        if self.url is not None and self.name is None:
            return self.remote.user
        name = (os_user() if self.name is None else self.name).strip()
        if not name:
            raise IncompleteDecision("a decision needs a name: give --as NAME")
        return name

    @property
    def asks(self) -> bool:
        """Whether there is a person to ask: a terminal on both sides, and no JSON wanted."""
        return not self.json and sys.stdin.isatty() and sys.stdout.isatty()

    def tell(self, value: Any, text: Callable[[], str]) -> None:
        """Prints `value` as JSON if that was asked for, else the text."""
        print(to_json(value) if self.json else printable(text()))


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not (colon and name.strip()):
        raise Unusable(f"--header {name!r} is not written as 'NAME: VALUE'")
    return name.strip(), value.strip()


def os_user() -> str:
    """The user that this process runs as; empty if the system has no name for it."""
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        pass
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def to_span(text: str, what: str) -> timedelta:
    """A duration such as `2h`. Raises Unusable that names the option."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise Unusable(f"{what}: {error}") from error


def read_json(text: str, what: str) -> Json:
    """Strict JSON: no NaN, no duplicate keys. Raises Unusable that names the place."""
    try:
        return strict_json(text)
    except json.JSONDecodeError as error:
        raise Unusable(f"{what} is not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from error
    except (ValueError, RecursionError) as error:
        raise Unusable(f"{what} is not JSON: {error}") from error


def read_object(text: str, what: str) -> dict[str, Json]:
    """Strict JSON that is an object. Raises Unusable."""
    value = read_json(text, what)
    if not isinstance(value, dict):
        raise Unusable(f'{what} is not a JSON object such as {{"amount": 5}}')
    return value

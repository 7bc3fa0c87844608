"""What every command knows of where it was called: which ledger, which policy, who asks, and how to answer."""

from __future__ import annotations

import getpass
import json
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langgraph_signoff.canonical import strict_json
from langgraph_signoff.cli.exits import Unusable
from langgraph_signoff.errors import IncompleteDecision, LedgerUnavailable
from langgraph_signoff.render import printable
from langgraph_signoff.vocabulary import Json, Word

if TYPE_CHECKING:
    from langgraph_signoff.signoff import Signoff

LEDGER, POLICY = "signoff.db", "signoff.yaml"


@dataclass(frozen=True)
class Shell:
    """The options that all commands share; None means not given. What was given after a command's name wins."""

    ledger: Path | None = None
    policy: Path | None = None
    name: str | None = None
    json: bool = False

    def over(self, other: Shell) -> Shell:
        """These options, and the others' where these are not given."""
        return Shell(
            self.ledger or other.ledger, self.policy or other.policy, self.name or other.name, self.json or other.json
        )

    @cached_property
    def signoff(self) -> Signoff:
        """The ledger, which must be there already, and the policy, which is read on first use."""
        from langgraph_signoff.signoff import Signoff

        place = self.ledger or Path(LEDGER)
        if not place.exists():
            raise LedgerUnavailable(f"there is no ledger at {place}; name it with --ledger or SIGNOFF_LEDGER")
        return Signoff(place, policy=self.policy_file)

    @property
    def policy_file(self) -> Path | None:
        """The policy that was named, or `signoff.yaml` if there is one; without, the recorded policies judge."""
        if self.policy is None and Path(POLICY).exists():
            return Path(POLICY)
        return self.policy

    @property
    def by(self) -> str:
        """Who decides: --as, or the user of this process."""
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


def to_json(value: Any) -> str:
    """Indented ASCII JSON of words or plain data; NaN and infinities become strings, and what is no JSON its `repr`."""
    from pydantic_core import to_jsonable_python

    return json.dumps(_spelled(to_jsonable_python(_opened(value), fallback=repr)), indent=2)


def _opened(value: Any) -> Any:
    # A model in its JSON form would say null for NaN.
    if isinstance(value, Word):
        return value.model_dump()
    if isinstance(value, dict):
        return {key: _opened(item) for key, item in value.items()}
    return [_opened(item) for item in value] if isinstance(value, list | tuple) else value


def _spelled(value: Json) -> Json:
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    if isinstance(value, dict):
        return {key: _spelled(item) for key, item in value.items()}
    return [_spelled(item) for item in value] if isinstance(value, list) else value


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

"""A policy that tells people, tickets as the gate would open them under it, and what the tests hear with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from langgraph_signoff import Policy, Signoff, Ticket
from support import opening

SECRET = "whsec_" + "c2lnbm9mZi1zaWdub2ZmLXNpZ25vZmYtc2lnbm9mZg=="

PEOPLE = {
    "ana": {"groups": ["finance"], "address": "ana@example.org"},
    "bo": {"groups": ["finance"], "address": "bo@example.org"},
    "cem": {"groups": ["leads"], "address": "cem@example.org"},
    "eda": {"address": "eda@example.org"},
}

ALL = ["opened", "revised", "assigned", "reminded", "escalated", "info_requested", "info_given", "decided", "expired"]
ALL += ["lapsed", "withdrawn", "executed", "failed", "in_doubt"]


def policy(*notify: Any, channels: dict[str, Any], queue: dict[str, Any] | None = None, **more: Any) -> Policy:
    """A queue `payments` whose tickets these channels hear of."""
    payments = {"owner": "eda", "reviewers": ["group:finance"], "backup": ["group:leads"], "notify": list(notify)}
    tools = {"send": {"otherwise": {"then": "review", "queue": "payments"}, "redact": ["args.pin"]}}
    queues = {"payments": {**payments, **(queue or {})}}
    return Policy(**{"people": PEOPLE, "tools": tools, **more}, channels=channels, queues=queues)


def ask(signoff: Signoff, args: dict[str, Any] | None = None, **more: Any) -> Ticket:
    """A ticket as the policy rules it; `more` goes to the action."""
    made = opening(args, **more)
    ruling = signoff.policy.rule(made.action, now=signoff.desk.clock())
    signoff.desk.open([replace(made, ruling=ruling)], policy=(signoff.policy.version, signoff.policy.document))
    return signoff.ticket(made.id)


def diary(folder: Path, name: str = "diary") -> dict[str, Any]:
    """A channel that writes each message as a line of a file."""
    return {"command": ["sh", "-c", 'said=$(cat); printf "%s\\n" "$said" >> "$0"', str(folder / name)]}


def told(folder: Path, name: str = "diary") -> list[dict[str, Any]]:
    """What a diary has been told, in order."""
    file = folder / name
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def heard(folder: Path, name: str = "diary") -> list[str]:
    """The events that a diary has been told, in order."""
    return [one["data"]["event"] for one in told(folder, name)]


def owed(signoff: Signoff, ticket: Ticket) -> list[str]:
    """Which events of a ticket stand in the outbox, by channel."""
    return [f"{notice.channel}:{notice.event}" for notice in signoff.notices(ticket)]

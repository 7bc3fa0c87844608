"""What a message says: enough to know what waits and where; no secret, and no argument unless the queue lets it leave."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langgraph_signoff.entries import Entry, Notice, stamp
from langgraph_signoff.law import ASKS, Case
from langgraph_signoff.render import SHORT_ID, asked_by_text, printable, time_text
from langgraph_signoff.view import hush_of, to_ticket
from langgraph_signoff.vocabulary import Standing, Ticket

_LONGEST = 8_000  # characters of what the call says; a channel may take no more

_TITLES = {
    "opened": "decision wanted",
    "revised": "changed, decision wanted",
    "assigned": "assigned",
    "reminded": "still waits for a decision",
    "escalated": "escalated, decision wanted",
    "info_requested": "a reviewer asks",
    "info_given": "answered, decision wanted",
    "decided": "decided",
    "expired": "expired, nobody decided",
    "lapsed": "approved and not used in time",
    "withdrawn": "withdrawn",
    "executed": "done",
    "failed": "failed",
    "in_doubt": "in doubt, nobody knows whether it happened",
}


_WAITS = (Standing.PENDING, Standing.UNDER_AUDIT, Standing.IN_DOUBT)


@dataclass(frozen=True, slots=True)
class Message:
    """What leaves by a channel: a title and lines for people, data for programs. `id` is the same whenever it is tried."""

    id: str
    title: str
    text: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a message is for, where it is for one person; `link` is theirs, empty if there is none."""

    person: str = ""
    address: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class News:
    """What is to be told: an entry of a ticket, the ticket as it stands now, and whether its arguments may leave."""

    case: Case
    entry: Entry
    notice: Notice
    shows_arguments: bool


def compose(news: News, to: Recipient) -> Message:
    """The message that tells somebody the news."""
    ticket, notice = to_ticket(news.case), news.notice
    about = _about(ticket, notice) | _said(news)
    about |= _call(news.case, ticket) if news.shows_arguments else {}
    about |= {key: value for key in ("person", "address", "link") if (value := getattr(to, key))}
    id_ = hashlib.sha256(json.dumps([notice.entry, notice.channel, notice.person]).encode()).hexdigest()[:32]
    is_over = notice.event in ASKS and ticket.standing not in _WAITS
    title = _line(f"{ticket.tool}: {ticket.standing if is_over else _TITLES[notice.event]} ({ticket.id[:SHORT_ID]})")
    data = {"type": f"signoff.{notice.event}", "timestamp": notice.since, "data": about}
    return Message(id_, title, _text(ticket, about), data)


def _about(ticket: Ticket, notice: Notice) -> dict[str, Any]:
    needs = ticket.requirements
    return {
        "event": notice.event,
        "ticket": ticket.id,
        "seq": notice.seq,
        "kind": ticket.kind,
        "tool": ticket.tool,
        "standing": str(ticket.standing),
        "queue": ticket.queue,
        "priority": ticket.priority,
        "owner": needs.owner,
        "reviewers": [list(clause) for clause in needs.reviewers],
        "assignee": ticket.assignee,
        "opened_at": stamp(ticket.opened_at),
        "due_at": stamp(ticket.due_at) if ticket.due_at else None,
        "generation": ticket.generation,
        "reason_code": ticket.reason_code,
        "thread_id": ticket.thread_id,
        "graph": ticket.graph,
        "agent": ticket.agent,
        "requester": ticket.requester,
        "risk": ticket.risk.model_dump(mode="json"),
    }


def _said(news: News) -> dict[str, Any]:
    body, told = news.entry.body, dict[str, Any]()
    if "verdict" in body:
        told = {"by": body["by"], "verdict": body["verdict"]}
    # Whoever says why may quote the call.
    reason = news.entry.contents.get("reason")
    return told | ({"reason": hush_of(news.case)(reason)} if reason and news.shows_arguments else {})


def _call(case: Case, ticket: Ticket) -> dict[str, Any]:
    hush = hush_of(case)
    said = json.dumps({"description": hush(ticket.description), "args": hush(ticket.args)})
    if len(said) > _LONGEST:
        said = json.dumps({"description": "too long for a message", "args": None})
    # No receiver of JSON reads NaN.
    return {**json.loads(said, parse_constant=str), "digest": ticket.digest}


def _text(ticket: Ticket, about: Mapping[str, Any]) -> str:
    asked = " and ".join(" or ".join(clause) for clause in about["reviewers"])
    args = (about.get("args") or {}).items()
    lines = [
        ("ticket", ticket.id[:SHORT_ID]),
        ("tool", ticket.tool),
        ("what", about.get("description", "")),
        *(("with", f"{name} = {json.dumps(value, ensure_ascii=False)}") for name, value in args),
        ("stands", about["standing"]),
        ("decided", " by ".join(filter(None, (about.get("verdict"), about.get("by"))))),
        ("reason", about.get("reason", "")),
        ("queue", f"{ticket.queue}, {asked}" if asked else ticket.queue),
        ("owner", about["owner"]),
        ("assigned", about["assignee"]),
        ("asked by", asked_by_text(ticket)),
        ("due", time_text(ticket.due_at)),
        ("decide", about.get("link", "")),
    ]
    # One line each, whatever the call says: no text of an agent passes for a field of ours.
    return "\n".join(f"{label}: {_line(text)}" for label, text in lines if text)


def _line(text: str) -> str:
    return " ".join(printable(text).split())

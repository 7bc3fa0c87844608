"""What a pause shows: LangChain's `HITLRequest`, so that existing clients display it, with our ticket ids beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from langgraph.types import Interrupt

from langgraph_signoff.law import Case, Halt
from langgraph_signoff.render import answer_text, steps_text, what_text
from langgraph_signoff.view import to_ticket
from langgraph_signoff.vocabulary import Standing, Ticket

KEY = "signoff"
"""The key of an interrupt's value that marks it as ours: `{"kind": "approval"|"doubt"|"halt", "tickets": [ids]}`."""


def pause(cases: Sequence[Case]) -> dict[str, Any]:
    """The value of one interrupt that shows these tickets, in their order."""
    tickets = [to_ticket(case) for case in cases]
    kind = "doubt" if any(ticket.standing is Standing.IN_DOUBT for ticket in tickets) else "approval"
    return {
        "action_requests": [_request(ticket) for ticket in tickets],
        "review_configs": [_config(ticket) for ticket in tickets],
        KEY: {"kind": kind, "tickets": [ticket.id for ticket in tickets]},
    }


def halt_pause(thread_id: str, tools: Sequence[str], tickets: Sequence[str], halt: Halt) -> dict[str, Any]:
    """The value of one interrupt at which calls of these tools wait for a release; nobody is asked anything."""
    mark = {"kind": "halt", "tickets": list(tickets), "thread_id": thread_id, "tools": list(tools)}
    return {"action_requests": [], "review_configs": [], KEY: mark, "halted": f"{halt.scope}, by {halt.by}"}


def halted_calls(value: Any, id_: str) -> tuple[str, list[str]] | None:
    """The thread and the tools of an interrupt of ours that waits for a release; None if it is another's, or another."""
    mark = value.get(KEY) if isinstance(value, dict) else None
    if not isinstance(mark, dict) or mark.get("kind") != "halt" or pause_id(value) != id_:
        return None
    return mark["thread_id"], mark["tools"]


def pause_id(value: Mapping[str, Any]) -> str:
    """The id of the interrupt that shows this: it stays while it is asked, and no other has it."""
    return hashlib.sha256(json.dumps(value[KEY]).encode()).hexdigest()[:32]


def is_ours(pause: Interrupt) -> bool:
    """Whether an interrupt is a pause of ours: it has the id that its own value gives."""
    mark = pause.value.get(KEY) if isinstance(pause.value, dict) else None
    return isinstance(mark, dict) and pause_id(pause.value) == pause.id


def tickets_of(value: Any) -> list[str]:
    """The ticket ids that an interrupt's value names; empty if the interrupt is not ours."""
    mark = value.get(KEY) if isinstance(value, dict) else None
    ids = mark.get("tickets") if isinstance(mark, dict) else None
    return [str(id_) for id_ in ids] if isinstance(ids, list) else []


def is_doubt(value: Any) -> bool:
    """Whether an interrupt of ours asks if a call happened, not whether it may."""
    mark = value.get(KEY) if isinstance(value, dict) else None
    return isinstance(mark, dict) and mark.get("kind") == "doubt"


def _request(ticket: Ticket) -> dict[str, Any]:
    return {"name": ticket.tool, "args": ticket.args, "description": _description(ticket)}


def _config(ticket: Ticket) -> dict[str, Any]:
    if ticket.standing is Standing.IN_DOUBT:
        return {"action_name": ticket.tool, "allowed_decisions": ["respond"]}
    if ticket.kind == "question":
        return {"action_name": ticket.tool, "allowed_decisions": ["respond", "reject"]}
    allowed = ["approve", "edit", "reject"] if ticket.editable else ["approve", "reject"]
    return {"action_name": ticket.tool, "allowed_decisions": allowed}


def _description(ticket: Ticket) -> str:
    if ticket.standing is Standing.IN_DOUBT:
        return f"Did {ticket.tool} happen? Its run was cut off. Settle ticket {ticket.id[:12]}."
    if ticket.kind == "question":
        return f"{what_text(ticket)} ({ticket.reason_code}). Answer ticket {ticket.id[:12]} with {answer_text(ticket)}."
    what = ticket.description or f"{ticket.tool} needs a decision"
    steps = f"\n{steps_text(ticket)}" if ticket.kind == "plan" else ""
    return f"{what} ({ticket.reason_code}). Decide ticket {ticket.id[:12]}.{steps}"

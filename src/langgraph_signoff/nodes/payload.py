"""What a pause shows, in a form that existing clients display, with our tickets named beside it.

The form is LangChain's `HITLRequest`; for the inbox schema `agent-inbox` it is the older list of `HumanInterrupt`, as
langchain-ai/agent-inbox reads it (`src/components/agent-inbox/contexts/utils.ts`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langgraph_signoff.law import Case, Halt
from langgraph_signoff.render import answer_text, steps_text, what_text
from langgraph_signoff.view import to_ticket
from langgraph_signoff.vocabulary import InboxSchema, Kind, Standing, Ticket

KEY = "signoff"
"""The key of an interrupt's value, or of each item of it, that marks it as ours.

`{"kind": "approval"|"doubt"|"halt", "tickets": [ids], "shown": [{"kind": ..., "digest": ..., "generation": ...}]}`: of each
ticket its kind and what was shown, in their order.
"""

AS_LANGCHAIN: InboxSchema = "langchain"


def pause(cases: Sequence[Case], schema: InboxSchema = AS_LANGCHAIN) -> Any:
    """The value of one interrupt that shows these tickets, in their order."""
    tickets = [to_ticket(case) for case in cases]
    kind = "doubt" if any(ticket.standing is Standing.IN_DOUBT for ticket in tickets) else "approval"
    mark = {
        "kind": kind,
        "tickets": [ticket.id for ticket in tickets],
        "shown": [{"kind": t.kind, "digest": t.digest, "generation": t.generation} for t in tickets],
    }
    if schema == "agent-inbox":
        return [{**_human_interrupt(ticket), KEY: mark} for ticket in tickets]
    return {
        "action_requests": [_request(ticket) for ticket in tickets],
        "review_configs": [_config(ticket) for ticket in tickets],
        KEY: mark,
    }


def halt_pause(thread_id: str, tools: Sequence[str], tickets: Sequence[str], halt: Halt) -> dict[str, Any]:
    """The value of one interrupt at which calls of these tools wait for a release; nobody is asked anything."""
    mark = {"kind": "halt", "tickets": list(tickets), "thread_id": thread_id, "tools": list(tools)}
    return {"action_requests": [], "review_configs": [], KEY: mark, "halted": f"{halt.scope}, by {halt.by}"}


@dataclass(frozen=True, slots=True)
class Shown:
    """What a pause shows of one ticket. `args` are masked as they were shown."""

    ticket_id: str
    kind: Kind
    digest: str
    generation: int
    tool: str
    args: dict[str, Any]


def shown(value: Any) -> list[Shown]:
    """What a pause of ours shows, ticket by ticket."""
    mark, calls = mark_of(value), _calls(value)
    about = zip(mark["tickets"], mark["shown"], calls, strict=True) if calls else ()
    return [Shown(id_, seen["kind"], seen["digest"], seen["generation"], *call) for id_, seen, call in about]


def shows_one(value: Any) -> bool:
    """Whether whoever answers a pause sees its first call only: Agent Inbox does, and comes back for the next one."""
    return isinstance(value, list)


def mark_of(value: Any) -> dict[str, Any]:
    """What marks an interrupt's value as ours; empty if nothing does."""
    first = value[0] if isinstance(value, list) and value else value
    mark = first.get(KEY) if isinstance(first, dict) else None
    return mark if isinstance(mark, dict) else {}


def is_pause(value: Any, id_: str) -> bool:
    """Whether an interrupt was made by us: anybody can copy our mark, and nobody the id that it gives."""
    return bool(mark_of(value)) and pause_id(value) == id_


def halted_calls(value: Any, id_: str) -> tuple[str, list[str]] | None:
    """The thread and the tools of an interrupt of ours that waits for a release; None if it is another's, or another."""
    mark = mark_of(value)
    if mark.get("kind") != "halt" or not is_pause(value, id_):
        return None
    return mark["thread_id"], mark["tools"]


def pause_id(value: Any) -> str:
    """The id of the interrupt that shows this: it stays while just this is asked, and no other has it."""
    # A server's database may give the keys back in another order.
    return hashlib.sha256(json.dumps(mark_of(value), sort_keys=True).encode()).hexdigest()[:32]


def tickets_of(value: Any) -> list[str]:
    """The ticket ids that an interrupt's value names; empty if the interrupt is not ours."""
    ids = mark_of(value).get("tickets")
    return [str(id_) for id_ in ids] if isinstance(ids, list) else []


def is_doubt(value: Any) -> bool:
    """Whether an interrupt of ours asks if a call happened, not whether it may."""
    return mark_of(value).get("kind") == "doubt"


def _calls(value: Any) -> list[tuple[str, dict[str, Any]]]:
    if isinstance(value, list):
        return [(item["action_request"]["action"], item["action_request"]["args"]) for item in value]
    return [(request["name"], request["args"]) for request in value["action_requests"]]


def _request(ticket: Ticket) -> dict[str, Any]:
    return {"name": ticket.tool, "args": ticket.args, "description": _description(ticket)}


def _config(ticket: Ticket) -> dict[str, Any]:
    if ticket.standing is Standing.IN_DOUBT:
        return {"action_name": ticket.tool, "allowed_decisions": ["respond"]}
    if ticket.kind == "question":
        return {"action_name": ticket.tool, "allowed_decisions": ["respond", "reject"]}
    allowed = ["approve", "edit", "reject"] if ticket.editable else ["approve", "reject"]
    return {"action_name": ticket.tool, "allowed_decisions": allowed}


def _human_interrupt(ticket: Ticket) -> dict[str, Any]:
    allowed = _config(ticket)["allowed_decisions"]
    config = {
        "allow_accept": "approve" in allowed,
        "allow_edit": "edit" in allowed,
        "allow_respond": True,
        "allow_ignore": "reject" in allowed,
    }
    return {
        "action_request": {"action": ticket.tool, "args": ticket.args},
        "config": config,
        "description": _description(ticket),
    }


def _description(ticket: Ticket) -> str:
    if ticket.standing is Standing.IN_DOUBT:
        return f"Did {ticket.tool} happen? Its run was cut off. Settle ticket {ticket.id[:12]}."
    if ticket.kind == "question":
        return f"{what_text(ticket)} ({ticket.reason_code}). Answer ticket {ticket.id[:12]} with {answer_text(ticket)}."
    what = ticket.description or f"{ticket.tool} needs a decision"
    steps = f"\n{steps_text(ticket)}" if ticket.kind == "plan" else ""
    return f"{what} ({ticket.reason_code}). Decide ticket {ticket.id[:12]}.{steps}"

"""What a ticket asks of people: who must say what, by when, and what comes if nobody does."""

from __future__ import annotations

from langgraph_signoff.durations import format_duration
from langgraph_signoff.panels import panel_text
from langgraph_signoff.render.text import counted, time_text
from langgraph_signoff.vocabulary import Requirements, Standing, Ticket


def needs_text(ticket: Ticket) -> str:
    """Who must say what; empty when nobody is asked."""
    needs = ticket.requirements
    if not ticket.options:
        return ""
    is_doubt, is_asked = ticket.standing is Standing.IN_DOUBT, ticket.kind in ("question", "audit")
    noun = {"question": "equal answer", "audit": "confirmation"}.get(ticket.kind, "approval")
    is_one_answer = is_doubt or (ticket.kind == "question" and needs.approvals == 1)
    said = "1 answer" if is_one_answer else counted(needs.approvals, noun)
    by = f" by {_reviewers(needs)}" if needs.reviewers or not needs.panels else ""
    parts = [said + by + "".join(f": {panel_text(panel)}" for panel in needs.panels if not is_one_answer)]
    parts += [f"not the {part.replace('_', ' ')}" for part in needs.barred]
    parts += [f"read for {format_duration(needs.read_for)}"] if needs.read_for and not is_doubt else []
    parts += ["with a reason"] if needs.reason == "required" else []
    parts += [] if is_doubt or is_asked else [f"to be used within {format_duration(needs.use_within)}"]
    return ", ".join(parts)


def _reviewers(requirements: Requirements) -> str:
    clauses = [" or ".join(clause) for clause in requirements.reviewers]
    if len(clauses) > 1:
        clauses = [f"({clause})" if " or " in clause else clause for clause in clauses]
    return " and ".join(clauses) or "anybody"


def checklist_text(ticket: Ticket) -> str:
    """What an approval must answer, one numbered line an item."""
    items = ticket.requirements.checklist if ticket.options else ()
    return "\n".join(f"{n}. {item}" for n, item in enumerate(items, start=1))


def templates_text(ticket: Ticket) -> str:
    """The reasons at hand for who decides it, one line each."""
    return "\n".join(f"{name}: {text}" for name, text in ticket.templates.items()) if ticket.options else ""


def flag_text(ticket: Ticket) -> str:
    """What a flag would set off."""
    if ticket.on_flag is None or not ticket.options:
        return ""
    calls = f"calls {ticket.on_flag.tool}" if ticket.on_flag.tool else "alerts"
    return "undoes it" if ticket.on_flag.undo else calls


def due_text(ticket: Ticket) -> str:
    """When silence changes something."""
    if ticket.due_at is None or ticket.standing is Standing.EXECUTED:
        return ""
    business = ticket.requirements.business if ticket.standing is Standing.PENDING else ""
    within = "by the end of the working day" if business == "end_of_day" else f"within {business} of business time"
    return time_text(ticket.due_at) + (f", {within}" if business else "")


def late_text(ticket: Ticket) -> str:
    """What comes if nobody decides: who may too from when on, and what is called at the end."""
    needs = ticket.requirements
    if ticket.standing is not Standing.PENDING or ticket.due_at is None:
        return ""
    span = ticket.due_at - ticket.opened_at
    parts = [f"{', '.join(s.to)} from {time_text(ticket.opened_at + s.at * span)} on" for s in needs.escalations]
    parts += [f"{needs.on_timeout.tool} is called instead" if needs.on_timeout != "deny" else ""]
    return "; ".join(filter(None, parts))


def in_hand_text(ticket: Ticket) -> str:
    """Who has it, and until when."""
    parts = [f"assigned to {ticket.assignee}" if ticket.assignee else ""]
    parts += [f"taken by {ticket.taker} until {time_text(ticket.taken_until)}" if ticket.taker else ""]
    return ", ".join(filter(None, parts))


def escalated_text(ticket: Ticket) -> str:
    """Who may decide it too by now."""
    return f"to {', '.join(ticket.escalated_to)}" if ticket.escalated_to else ""


def waiting_text(ticket: Ticket) -> str:
    """Whose approval is missing yet, once somebody has said something."""
    return " and ".join(ticket.waits_for) if ticket.decisions else ""


def inquiry_lines(ticket: Ticket) -> list[str]:
    """What reviewers wanted to know, and were told."""
    return [
        f"{each.by} asked {each.of}: {each.text}"
        + (f"\n  {each.answered_by}: {each.answer}" if each.answered_by else "\n  (no answer yet)")
        for each in ticket.inquiries
    ]

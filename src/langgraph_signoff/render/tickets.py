"""A whole ticket, and a whole run, as aligned lines."""

from __future__ import annotations

from langgraph_signoff.render.asks import (
    checklist_text,
    due_text,
    escalated_text,
    flag_text,
    in_hand_text,
    inquiry_lines,
    late_text,
    needs_text,
    templates_text,
    waiting_text,
)
from langgraph_signoff.render.results import (
    decision_lines,
    follow_up_text,
    granted_text,
    outcome_text,
    planned_text,
    rollback_text,
    stands_text,
    use_lines,
)
from langgraph_signoff.render.subjects import asked_by_text, difference_text, risk_text, subject_lines
from langgraph_signoff.render.text import LABEL_WIDTH, SHORT_ID, aligned
from langgraph_signoff.vocabulary import Run, Ticket


def ticket_text(ticket: Ticket) -> str:
    """A ticket as aligned lines."""
    return aligned(ticket_lines(ticket), width=LABEL_WIDTH)


def run_text(run: Run) -> str:
    """A run as its status and the tickets it waits for."""
    parts = [f"{run.status}: thread {run.thread_id}" + (f" ({run.did})" if run.did else "")]
    parts += [run.error] if run.error else []
    parts += [f"asks {id_}: {value}" for id_, value in run.questions.items()]
    return "\n\n".join([*parts, *(ticket_text(ticket) for ticket in run.tickets)])


def ticket_lines(ticket: Ticket) -> list[tuple[str, str]]:
    """What there is to say of a ticket: (label, text), the text may hold line breaks."""
    lines = [
        ("ticket", f"{ticket.id[:SHORT_ID]}  {headline(ticket)}"),
        ("what", ticket.description or ticket.tool),
        *subject_lines(ticket),
        ("why", f"{ticket.reason_code} ({ticket.rule})"),
        ("detail", ticket.detail),
        *(("note", note) for note in ticket.notes),
        ("risk", risk_text(ticket.risk)),
        ("asked by", asked_by_text(ticket)),
        ("resource", ticket.resource or ""),
        ("trigger", ticket.trigger),
        ("changed", difference_text(ticket)),
        ("plan", planned_text(ticket)),
        ("grant", granted_text(ticket)),
        ("needs", needs_text(ticket)),
        ("due", due_text(ticket)),
        *progress_lines(ticket),
        ("digest", ticket.digest[:16] if ticket.options else ""),
    ]
    return [(label, text) for label, text in lines if text]


def progress_lines(ticket: Ticket) -> list[tuple[str, str]]:
    """What has become of a ticket, what comes of it if nobody decides, and what can be said of it: (label, text)."""
    lines = [
        ("if late", late_text(ticket)),
        ("in hand", in_hand_text(ticket)),
        ("inquiries", "\n".join(inquiry_lines(ticket))),
        ("escalated", escalated_text(ticket)),
        ("waits for", waiting_text(ticket)),
        ("decided", "\n".join(decision_lines(ticket))),
        ("outcome", outcome_text(ticket)),
        ("undone", rollback_text(ticket)),
        ("about", f"ticket {ticket.about[:SHORT_ID]}" if ticket.about else ""),
        ("audit", f"ticket {ticket.audit[:SHORT_ID]}" if ticket.audit else ""),
        ("a flag", flag_text(ticket)),
        ("follow-up", follow_up_text(ticket.follow_up) if ticket.follow_up else ""),
        ("used", "\n".join(use_lines(ticket))),
        ("stands", stands_text(ticket)),
        ("checklist", checklist_text(ticket)),
        ("templates", templates_text(ticket)),
        ("options", ", ".join(ticket.options)),
    ]
    return [(label, text) for label, text in lines if text]


def headline(ticket: Ticket) -> str:
    """The standing, with the generation if there were several."""
    return str(ticket.standing) + (f", generation {ticket.generation}" if ticket.generation > 1 else "")

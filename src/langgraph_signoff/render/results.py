"""What has come of a ticket: what was said, what ran, what it ran on, what was undone."""

from __future__ import annotations

import json

from langgraph_signoff.render.grants import grant_id
from langgraph_signoff.render.text import SHORT_ID, counted, patch_lines, time_text
from langgraph_signoff.vocabulary import Decision, FollowUp, Standing, Ticket, Verdict

_SAID = {
    Verdict.APPROVE: "approved",
    Verdict.REJECT: "rejected",
    Verdict.REVISE: "revised",
    Verdict.ANSWER: "answered",
    Verdict.COMMENT: "said",
    Verdict.CONFIRM: "confirmed",
    Verdict.FLAG: "flagged",
}


def decision_lines(ticket: Ticket) -> list[str]:
    """Who said what, when and why."""
    lines = []
    for decision in ticket.decisions:
        lines.append(
            f"{decision.who} {_SAID[decision.verdict]}{_answer(ticket, decision)} at {time_text(decision.at)}"
            + (f": {decision.reason}" if decision.reason else "")
        )
        lines += [f"  {item}: {answer}" for item, answer in decision.checked.items()]
        lines += [f"  {line}" for line in patch_lines(decision.patch)]
    return lines


def _answer(ticket: Ticket, decision: Decision) -> str:
    if decision.verdict is not Verdict.ANSWER:
        return ""
    return " (erased)" if ticket.erased else f" {json.dumps(decision.answer, ensure_ascii=False)}"


def outcome_text(ticket: Ticket) -> str:
    """What came of it."""
    outcome = ticket.outcome
    if outcome is None:
        return "nobody knows whether it happened" if ticket.standing is Standing.IN_DOUBT else ""
    result = outcome.error or ("(erased)" if ticket.erased else json.dumps(outcome.result, ensure_ascii=False))
    return f"{outcome.standing} at {time_text(outcome.at)}: {result}" + (f" (says {outcome.by})" if outcome.by else "")


def planned_text(ticket: Ticket) -> str:
    """Which step of which plan lets a call run; empty if none does."""
    place = ticket.planned
    return (
        f"step {place.step} of plan {place.plan[:SHORT_ID]}, approved by {', '.join(place.approved_by)}"
        if place
        else ""
    )


def granted_text(ticket: Ticket) -> str:
    """Which grant lets a call run, or keeps it from running; empty if none does."""
    found = ticket.granted
    if found is None:
        return ""
    did = "rejected" if ticket.standing is Standing.DENIED else "permitted"
    return f"{did} by {grant_id(found.grant)} of {' and '.join(found.by)}, until {time_text(found.until)}"


def use_lines(ticket: Ticket) -> list[str]:
    """The calls that ran on a plan, one line each."""
    return [f"step {use.step} at {time_text(use.at)}, by ticket {use.ticket[:SHORT_ID]}" for use in ticket.uses]


def stands_text(ticket: Ticket) -> str:
    """How long an approved plan stands, or why it does no more."""
    if ticket.ended:
        return f"no more: {ticket.ended}"
    return f"until {time_text(ticket.due_at)}" if ticket.due_at and ticket.standing is Standing.EXECUTED else ""


def rollback_text(ticket: Ticket) -> str:
    """What came of undoing what a rejected run had done: a line for each action that is left."""
    if ticket.rollback is None:
        return ""
    left = [f"left for a person: {one.tool} ({one.ticket_id[:SHORT_ID]}), {one.why}" for one in ticket.rollback.left]
    return "\n".join([counted(len(ticket.rollback.undone), "action"), *left])


def follow_up_text(found: FollowUp) -> str:
    """What has come of a flag, in a line."""
    tickets = ", ".join(f"ticket {ticket[:SHORT_ID]}" for ticket in found.tickets)
    parts = {
        "undo": ("undone", tickets),
        "call": ("called", tickets),
        "alert": ("a person must look to it", found.why),
        "wait": ("waits for", ", ".join(filter(None, (tickets, found.why)))),
        "left": ("left", found.why),
    }[found.did]
    return ": ".join(filter(None, parts))

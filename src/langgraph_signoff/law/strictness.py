"""Of two things said of one action the stricter holds: what no revision, no advice and no permit can lower."""

from __future__ import annotations

from langgraph_signoff.vocabulary import Requirements, Ruling

STRICTNESS = {"allow": 0, "review": 1, "deny": 2}
"""How strict each mode of a ruling is."""


def stricter(old: Requirements, new: Requirements) -> Requirements:
    """Requirements that are nowhere below either: a revision never makes a decision easier."""
    clauses = old.reviewers + tuple(clause for clause in new.reviewers if clause not in old.reviewers)
    return new.model_copy(
        update={
            "reviewers": clauses,
            "approvals": max(old.approvals, new.approvals),
            "panels": tuple(dict.fromkeys(old.panels + new.panels)),
            "rejections": min(old.rejections, new.rejections),
            "barred": tuple(dict.fromkeys(old.barred + new.barred)),
            "window": min(old.window, new.window),
            "business": (old if old.window < new.window else new).business,
            # An edit gives no more time, so that the old ones are still those of the time since it was opened.
            "clock_shares": (old if old.business == new.business or old.window < new.window else new).clock_shares,
            "reminders": new.reminders or old.reminders,
            # Whoever may decide in one of them after a while need not in the other.
            "escalations": new.escalations if new.escalations == old.escalations else (),
            "use_within": min(old.use_within, new.use_within),
            "reason": "required" if "required" in (old.reason, new.reason) else "optional",
            "checklist": tuple(dict.fromkeys(old.checklist + new.checklist)),
            "read_for": max((span for span in (old.read_for, new.read_for) if span), default=None),
            "second_look": max(old.second_look, new.second_look),
            "max_revisions": min(old.max_revisions, new.max_revisions),
            "reask": min(old.reask, new.reask),
            "priority": max(old.priority, new.priority),
            "notify": tuple(dict.fromkeys(old.notify + new.notify)),
        }
    )


def ruled_again(old: Ruling, new: Ruling) -> Ruling:
    """What holds for a call whose arguments changed: a person's word unless it is denied, and all that was asked or hidden."""
    ruling = new.model_copy(update={"redact": tuple(dict.fromkeys(old.redact + new.redact))})
    if new.mode == "deny":
        return ruling
    # An allowed call asks for nothing: its requirements are nobody's words, and its queue is nobody's queue.
    asked = old.requirements if new.mode == "allow" else stricter(old.requirements, new.requirements)
    return ruling.model_copy(update={"mode": "review", "requirements": asked, "audit": None})


def permitted(permit: Ruling, ruling: Ruling, *, is_named: bool) -> Ruling:
    """What holds for an action that a person's word permits: the policy's ruling where it names the action and is stricter."""
    if not is_named or STRICTNESS[ruling.mode] <= STRICTNESS[permit.mode]:
        return permit
    return ruling.model_copy(update={"redact": tuple(dict.fromkeys(permit.redact + ruling.redact))})

"""What may be decided together with others: nothing whose error would cost much. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from langgraph_signoff.entries import Draft
from langgraph_signoff.errors import TogetherRefused
from langgraph_signoff.law.case import Case
from langgraph_signoff.law.eligibility import People
from langgraph_signoff.law.grants import wants_each
from langgraph_signoff.law.verdicts import Say, decide

_CALLS = ("tool", "node")


def alone(case: Case, by: str, now: datetime) -> str:
    """Why a ticket must be looked at by itself, in a sentence; empty if it may be decided together with others."""
    in_hand = case.in_hand_at(now)
    risk, needs = case.ruling.risk, case.requirements
    reasons: Sequence[tuple[bool, str]] = (
        (case.kind not in _CALLS, f"it is no call but {'an' if case.kind == 'outcome' else 'a'} {case.kind}"),
        (risk.stakes == "high", "its stakes are high"),
        (risk.reversible is False, "it is irreversible"),
        (needs.approvals > 1 or bool(needs.panels), "more than one person must approve it"),
        (wants_each(case.ruling), "the policy wants a person's look at each such call"),
        (case.ruling.reason_code == "policy_error", "the policy could not say what it is"),
        (in_hand not in ("", by), f"{in_hand} has it in hand"),
        (any(not each.answered_by for each in case.inquiries), "somebody has asked about it, and waits for the answer"),
    )
    return next((why for holds, why in reasons if holds), "")


def decide_with(case: Case, say: Say, people: People, *, count: int, now: datetime) -> list[Draft]:
    """What a word on one of `count` tickets that are decided together adds. Raises a DecisionRefused that says why not."""
    if why := alone(case, say.by, now):
        raise TogetherRefused(f"ticket {case.id[:12]} is decided by itself: {why}")
    first, *others = decide(case, say, people)
    return [replace(first, body={**first.body, "together": count}), *others]

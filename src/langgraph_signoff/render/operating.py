"""What an operator asks of a ticket: who may decide it, why it does not move, why it was ruled as it was."""

from __future__ import annotations

import json
from collections.abc import Sequence

from langgraph_signoff.render.text import SHORT_ID, printable
from langgraph_signoff.vocabulary import Reviewer, Ruling, Stuck, Tried, Why


def reviewers_text(reviewers: Sequence[Reviewer]) -> str:
    """Who may decide, a line each, those who may first; that anybody may where the policy names nobody."""
    if not reviewers:
        return "anybody: the policy names no people, so any name is believed"
    width = max(len(one.name) for one in reviewers)
    listed = sorted(reviewers, key=lambda one: not one.may)
    return "\n".join(
        f"{'may' if one.may else 'may not':>7}  {one.name:{width}}  {printable(one.why)}" for one in listed
    )


def stuck_text(stuck: Stuck) -> str:
    """Why a ticket does not move, in words."""
    who = stuck.ticket.taker or stuck.ticket.assignee
    return {
        "dead": "its runner is gone",
        "in_doubt": "in doubt",
        "unused": "approved, not used",
        "in_hand": f"in the hand of {who}",
        "unwoken": "its thread could go on",
    }[stuck.why]


def why_lines(why: Why) -> list[tuple[str, str]]:
    """Why a ticket was ruled as it was: (label, text), the text may hold line breaks."""
    read = [f"{place} = {json.dumps(value, ensure_ascii=False)}" for place, value in why.read.items()]
    lines = [
        ("ticket", why.ticket_id[:SHORT_ID]),
        ("ruled", ruling_text(why.ruling)),
        ("detail", why.ruling.detail),
        ("rule", json.dumps(why.written, ensure_ascii=False) if why.written is not None else ""),
        ("looked at", "\n".join(map(_tried_text, why.tried))),
        ("read", "\n".join(read)),
        *(("note", note) for note in why.notes),
        ("but", why.doubt),
        ("now", f"it would be {ruling_text(why.now)}{_needs_more(why)}" if why.now else ""),
    ]
    return [(label, text) for label, text in lines if text]


def ruling_text(ruling: Ruling) -> str:
    """A ruling with its reason, its rule and its policy."""
    return f"{ruling.word} ({ruling.reason_code}, {ruling.rule}) by policy {ruling.policy_version[:SHORT_ID]}"


def _tried_text(tried: Tried) -> str:
    said = f"{tried.said}: {tried.error}" if tried.error else tried.said
    return f"{tried.rule}  {tried.then}" + (f" when {tried.when.strip()}  ({said})" if tried.when else "")


def _needs_more(why: Why) -> str:
    return f"; it would need other {', '.join(why.needs)}" if why.needs else ""

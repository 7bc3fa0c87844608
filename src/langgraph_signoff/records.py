"""How a ticket is put on record: its first entry, and its row in lists."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langgraph_signoff import law
from langgraph_signoff.canonical import plain_json
from langgraph_signoff.law import Case
from langgraph_signoff.ledger import Draft, Row, stamp
from langgraph_signoff.panels import Voice
from langgraph_signoff.vocabulary import Action, Panel, Requirements, Ruling, Standing

_Names = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Opening:
    """A ruled action that is about to become a ticket, a denial or a recorded call.

    `revisers`: who revised it in the rounds before. `siblings`: the tools that the same message proposes before it. `notes`:
    what advisors said. `doubted`: whether one of them wants a person's word. `why`: the words with which people reject it.
    """

    id: str
    action: Action
    ruling: Ruling
    previous: str | None = None
    round: int = 1
    difference: Sequence[Mapping[str, Any]] = field(default=())
    revisers: Sequence[str] = field(default=())
    siblings: Sequence[str] = field(default=())
    notes: Sequence[str] = field(default=())
    doubted: bool = False
    why: str = ""


_KEPT = {"kind", "thread_id", "tool", "graph", "agent", "requester"}


def to_draft(opening: Opening) -> Draft:
    """The first entry of a ticket."""
    action = opening.action
    # An erasure must neither bring back what has been reviewed, nor end a rollback that was ordered.
    kept = _KEPT | ({"visit", "reports"} if action.kind == "outcome" else set())
    open_part = {
        **{key: getattr(action, key) for key in sorted(kept)},
        "ruling": opening.ruling.model_dump(mode="json"),
        "previous": opening.previous,
        "round": opening.round,
        **({"revisers": list(opening.revisers)} if opening.revisers else {}),
    }
    # Its JSON mode would write null for NaN, and a call with other arguments would run.
    words = action.model_dump(exclude=kept | {"reports"})
    contents = {"action": words, "difference": list(opening.difference), "siblings": list(opening.siblings)}
    if opening.notes:
        contents["notes"] = list(opening.notes)
    if opening.why:
        contents["why"] = opening.why
    return Draft("opened", open_part, contents)


def to_row(case: Case) -> Row:
    """Where a case stands, for lists: derived from the history alone, so that it can be rebuilt."""
    opening, action = case.opening, case.action
    due, next_at = case.expires_at, law.next_at(case)
    return Row(
        id=case.id,
        thread_id=opening["thread_id"],
        standing=str(case.standing),
        queue=case.requirements.queue,
        priority=case.requirements.priority,
        due_at=stamp(due) if due else None,
        opened_at=stamp(case.opened_at),
        tool=opening["tool"],
        graph=opening["graph"],
        reason_code=case.ruling.reason_code,
        seq=case.seq,
        digest=action.get("digest", ""),
        turn=action.get("turn", ""),
        message_id=action.get("message_id", ""),
        previous=case.previous,
        round=case.rounds,
        reviewed=case.ruling.mode == "review",
        told=case.told_unknown or case.follow_up is not None or _needs_nothing_more(case),
        audited=law.entry_of(case.ruling.rule) if case.kind == "audit" else "",
        next_at=stamp(next_at) if next_at else None,
        asked=_asked_of(case.ruling.requirements, case.level),
        in_hand=case.in_hand,
        idle_since=stamp(case.idle_since) if case.idle_since else None,
        word_at=stamp(case.word_at) if case.word_at else None,
    )


def _needs_nothing_more(case: Case) -> bool:
    return case.standing is Standing.EXPIRED and case.fallback is None


def _asked_of(needs: Requirements, level: int) -> str:
    # What else they need, such as a call on timeout with its arguments, says nothing of who, and may not be hashable.
    return _asked(needs.reviewers, needs.panels, tuple(step.to for step in needs.escalations[:level]))


@functools.lru_cache(maxsize=512)
def _asked(reviewers: _Names, panels: tuple[Panel, ...], came_to: _Names) -> str:
    if not (reviewers or panels):
        return ""
    dumped = [panel.model_dump(mode="json") for panel in panels]
    return plain_json({"reviewers": reviewers, "panels": dumped, "to": came_to})


def asks(asked: str, voice: Voice) -> bool:
    """Whether somebody is among those whom the `asked` of a row names, or to whom it has come since."""
    if not asked:
        return True
    named = json.loads(asked)
    if any(voice.fits(names) for names in named["to"]):
        return True
    levels = (level for panel in named["panels"] for level in panel["levels"])
    seats = [name for level in levels for slots in level for slot in slots for name in slot["who"]]
    return all(voice.fits(clause) for clause in [*named["reviewers"], *([seats] if seats else [])])

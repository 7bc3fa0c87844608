"""A look after the action: what is chosen for one, what its ticket says, and what a flag sets off. Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal

from langgraph_signoff.entries import Draft, Entry, link, moment
from langgraph_signoff.law.case import Case
from langgraph_signoff.law.history import advance, outcome_words
from langgraph_signoff.vocabulary import Audit, FollowUp, OnFlag, Requirements, Ruling, Standing

Timed = Callable[[Ruling, datetime], Ruling]
"""A ruling with its window as it is on the clock from a moment on."""

_TAKEN = ("args", "parsed", "hidden", "resource", "trigger", "confidence")


@dataclass(frozen=True, slots=True)
class Choice:
    """Whether an action is looked at, and why. `earlier`: how many of its tool were chosen before, counted to `new_until`."""

    why: Literal["new_tool", "sampled", "not_sampled"]
    sample: float
    earlier: int

    @property
    def is_audited(self) -> bool:
        """Whether it is looked at."""
        return self.why != "not_sampled"

    @property
    def words(self) -> str:
        """Why, in words."""
        return {
            "new_tool": f"one of the first of this tool, {self.earlier} before it",
            "sampled": f"sampled at {self.sample:g}",
            "not_sampled": f"not sampled at {self.sample:g}",
        }[self.why]


def audit_id(ticket_id: str) -> str:
    """The id of the audit of an action, from that of its ticket: there can be one only."""
    return hashlib.sha256(f"audit of {ticket_id}".encode()).hexdigest()[:32]


def entry_of(rule: str) -> str:
    """The policy's entry that a rule stands in, such as `tools.send_money`."""
    head, _, last = rule.rpartition(".")
    return head.removesuffix(".rules") if last.isdecimal() else head


def draw(secret: bytes, ticket_id: str) -> float:
    """A number in [0, 1) that only who has the secret can tell, the same for a ticket whenever it is asked for."""
    drawn = hmac.digest(secret, ticket_id.encode(), "sha256")
    # A float holds 53 bits; with one more the largest would round up to 1.
    return (int.from_bytes(drawn[:7]) >> 3) / 2**53


def choose(audit: Audit, *, drawn: float, earlier: int) -> Choice:
    """The choice: whoever is new is looked at, the others as their share says."""
    earlier = min(earlier, audit.new_until)
    if earlier < audit.new_until:
        return Choice("new_tool", audit.sample, earlier)
    return Choice("sampled" if drawn < audit.sample else "not_sampled", audit.sample, earlier)


def is_run(draft: Draft | Entry) -> bool:
    """Whether it says that an action ran: executed, whoever says so, or failed, if its own runner says so.

    What failed may have had half of its effect. Where a person has said that it did not happen, or to give up on it, one has
    looked already.
    """
    return draft.kind == "executed" or (draft.kind == "failed" and "by" not in draft.body)


def noted(drafts: Sequence[Draft], choice: Choice) -> list[Draft]:
    """The drafts, with the choice in the one that says that the action ran."""
    return [replace(d, body={**d.body, "audit": asdict(choice)}) if is_run(d) else d for d in drafts]


def opened(case: Case, ran: Entry, choice: Choice, timed: Timed) -> Entry:
    """The first entry of the audit of a case: what ran, what came of it, and why somebody is to look at it, by when."""
    is_second = case.ruling.mode == "review" or case.ruling.rests_on_grant
    # What let the action run says nothing of the look at it.
    about_choice: dict[str, Any] = {"planned": None, "granted": None, "charges": (), "detail": choice.words}
    about_choice["reason_code"] = "second_look" if is_second else choice.why
    ruling = case.ruling.model_copy(update=about_choice | ({"requirements": _of_one(case)} if is_second else {}))
    ruling = timed(ruling, moment(ran.at))
    shared = {key: case.opening[key] for key in ("thread_id", "tool", "graph", "agent", "requester")}
    outcome = outcome_words(ran)
    told = {key: outcome.pop(key) for key in ("result", "error")}
    shared |= {"approved_by": list(case.hands)} if is_second else {}
    about = {"kind": "audit", "about": case.id, "ran": ran.hash, "outcome": outcome}
    body = {**shared, **about, "ruling": ruling.model_dump(mode="json")}
    # The hash of its outcome names what is looked at: this result of this action.
    action = {key: case.action[key] for key in _TAKEN if key in case.action} | {"digest": ran.hash, "editable": False}
    contents = {"action": action, "outcome": told}
    [entry] = link(audit_id(case.id), None, [Draft("opened", body, contents)], moment(ran.at))
    return entry


def _of_one(case: Case) -> Requirements:
    # Whoever looks again is one person, however many it took to approve.
    of_one = {"approvals": 1, "panels": (), "rejections": 1, "checklist": (), "read_for": None}
    return case.requirements.model_copy(update=of_one)


def alerts(case: Case, drafts: list[Draft]) -> list[Draft]:
    """What goes onto the record with the drafts that flag an audit, if a flag calls nothing: a person must look to it."""
    on_flag = case.ruling.audit.on_flag if case.ruling.audit else OnFlag()
    if case.kind != "audit" or on_flag.undo or on_flag.tool:
        return []
    trial = replace(case, decisions=list(case.decisions))
    advance(trial, link(case.id, None, drafts, case.at))
    return [Draft("alerted", {})] if trial.standing is Standing.FLAGGED else []


def follow_up(case: Case, found: FollowUp) -> list[Draft]:
    """What is put on record of what has come of a flag, or of a fallback; nothing if something is."""
    if case.follow_up is not None:
        return []
    if found.did == "alert":
        return [Draft("alerted", {}, {"reason": found.why})]
    return [Draft("followed_up", {"did": found.did, "tickets": list(found.tickets)})]

"""Why a ticket was ruled as it was: its rule, the values that were read, and what the policy in force would say of it now."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from langgraph_signoff import planning
from langgraph_signoff.errors import PolicyError
from langgraph_signoff.law import Case
from langgraph_signoff.ledger import Entry, moment
from langgraph_signoff.masking import mask
from langgraph_signoff.office import Office
from langgraph_signoff.policy import Policy
from langgraph_signoff.view import hush_of
from langgraph_signoff.vocabulary import (
    GRANTED,
    OVER_BUDGET,
    PLANNED,
    STANDING_REJECTION,
    Action,
    Counts,
    Json,
    Requirements,
    Ruling,
    Ticket,
    Why,
)

_NOT_BY_RULE = (PLANNED, GRANTED, STANDING_REJECTION, OVER_BUDGET, "policy_error")  # which says so itself


class Reasons(Office):
    """Explains rulings."""

    def why(self, ticket: Ticket | str) -> Why:
        """Why a ticket was ruled as it was; of an audit, why its action was. Raises UnknownTicket.

        The rules of its own policy are tried again on the arguments that it froze, at the time when it was ruled, with the counts
        of its thread as the record has them: `doubt` says so if that cannot be done, or comes to something else.
        """
        case = self.desk.case(self._id(ticket))
        action_case = self.desk.case(case.about) if case.about else case
        told = self._told(action_case, _ruled_at(self.desk.history(action_case.id)))
        return Why(ticket_id=case.id, ruling=case.ruling, notes=tuple(map(hush_of(case), case.notes)), **told)

    def _told(self, case: Case, at: datetime) -> dict[str, Any]:
        told: dict[str, Any] = {}
        document = self.ledger.policy(case.ruling.policy_version)
        if document is None:
            return {"doubt": "its policy is not on record"}
        try:
            policy = self._policy_of(case.ruling.policy_version)
        except PolicyError as error:
            return {"doubt": f"its policy cannot be read any more: {error}"}
        told["written"] = policy.written(case.ruling.rule)
        if case.erased:
            return {**told, "doubt": "what it was about has been erased, so its rules cannot be tried again"}
        action = _as_it_stands(case)
        tried, read = policy.try_out(action, now=at, history=self._counts_then(policy, case, at))
        told |= {"tried": tried, "read": _masked(read, case), "doubt": _doubt(case.ruling, tried[-1].rule)}
        now = self._ruled_now(case, action)
        if _is_same(case.ruling, now):
            return told
        needs = differing(case.ruling, now) if now.mode == case.ruling.mode == "review" else ()
        return {**told, "now": now, "needs": needs}

    def _counts_then(self, policy: Policy, case: Case, at: datetime) -> Counts:
        return self.desk.counts_then(case, at) if policy.needs_history(case.to_action()) else Counts()

    def _ruled_now(self, case: Case, action: Action) -> Ruling:
        policy, counts = self._policy_for(case), Counts()
        if planning.needs_history(policy, action):
            counts = self.desk.counts(action.thread_id, action.message_id, case.siblings)
        return as_put_off(case.ruling, planning.rule(policy, action, now=self.desk.clock(), history=counts))


def as_put_off(was: Ruling, ruling: Ruling) -> Ruling:
    """A ruling on what was put off to the outcome of its run: it would be again, where the policy still permits it."""
    if was.at_the_end and ruling.at_the_end:
        return ruling.model_copy(update={"mode": was.mode, "once": was.once})
    return ruling


def _ruled_at(history: list[Entry]) -> datetime:
    return moment([entry for entry in history if "ruling" in entry.body][-1].at)


def _as_it_stands(case: Case) -> Action:
    return case.to_action().model_copy(update={"args": case.args, "parsed": case.parsed, "digest": case.digest})


def _masked(read: dict[str, Json], case: Case) -> dict[str, Json]:
    hush, redact = hush_of(case), [f"args.{path}" for path in case.ruling.redact]
    return {place: hush(_shown(place, value, redact)) for place, value in read.items()}


def _shown(place: str, value: Json, redact: list[str]) -> Json:
    # Each value is masked where it stands.
    whole: Json = value.isoformat() if isinstance(value, datetime) else value
    keys = place.split(".")
    for key in reversed(keys):
        whole = {key: whole}
    whole = mask(whole, redact)
    for key in keys:
        whole = whole[key] if isinstance(whole, dict) else whole
    return whole


def _doubt(ruling: Ruling, rule: str) -> str:
    if ruling.rule == rule or ruling.reason_code in _NOT_BY_RULE:
        return ""
    return (
        f"tried again, its rules come to {rule}: something else has ruled it too (an advisor, an edit, its graph, the steps of a plan), or what "
        "they count is not on record"
    )


def _is_same(was: Ruling, now: Ruling) -> bool:
    same = (was.mode, was.reason_code, was.rule) == (now.mode, now.reason_code, now.rule)
    return same and not (now.mode == "review" and differing(was, now))


def differing(was: Ruling, now: Ruling) -> tuple[str, ...]:
    """What a decision needs otherwise, by the names of `Requirements`."""
    one, other = was.requirements, now.requirements
    # A window in business time comes to another span each time.
    spans = {"window", "clock_shares"} if one.business and one.business == other.business else set()
    names = (name for name in Requirements.model_fields if name not in spans)
    return tuple(name for name in names if getattr(one, name) != getattr(other, name))

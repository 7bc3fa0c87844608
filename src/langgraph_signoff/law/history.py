"""A ticket's history, folded into a case: pure, and time walks in as an argument."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any

from langgraph_signoff.entries import Entry, moment
from langgraph_signoff.law.case import Case, Claim
from langgraph_signoff.law.plans import until
from langgraph_signoff.law.silence import level_at, widened
from langgraph_signoff.panels import is_met
from langgraph_signoff.vocabulary import (
    Decision,
    FollowUp,
    Inquiry,
    Left,
    Outcome,
    Rollback,
    Ruling,
    Standing,
    Use,
    Verdict,
)


def standing(history: Sequence[Entry], now: datetime) -> Standing:
    """What a ticket's history permits at `now`."""
    return fold(history, now).standing


def fold(history: Sequence[Entry], now: datetime) -> Case:
    """Reads a ticket's history as it stands at `now`; a clock that jumped back does not bring anything back."""
    case = recorded(history)
    now = max(now, case.at)
    if case.taken_until is not None and now >= case.taken_until:
        case.taker = case.taken_until = None
    if case.requirements.escalations and (level := level_at(case, now)):
        _escalate(case, level)
    ends = case.expires_at
    if ends is not None and now >= ends:
        _by_silence(case)
    return case


def recorded(history: Sequence[Entry]) -> Case:
    """Reads a ticket's history as it was written, without the clock."""
    case = _opened(history[0])
    advance(case, history[1:])
    return case


def advance(case: Case, entries: Sequence[Entry]) -> None:
    """Reads on, in place: what these entries do to a case that was read as it was `recorded`.

    A final standing stays: what comes after it (a late outcome, a comment, an erasure) is on the record and changes nothing.
    A call that is only recorded has no end: it shows the outcome of its last run.
    """
    for entry in entries:
        case.seq, case.at = entry.seq, moment(entry.at)
        case.moved_at = case.moved_at if entry.kind in _BY_THE_CLOCK else case.at
        case.erased = case.erased or entry.erased
        if not case.standing.is_final or entry.kind in _AFTER_THE_END or case.ruling.only_records:
            _STEPS[entry.kind](case, entry)


def _by_silence(case: Case) -> None:
    match case.standing:
        case Standing.PENDING:
            case.standing = Standing.EXPIRED
        case Standing.UNDER_AUDIT:
            case.standing = Standing.UNREVIEWED
        case Standing.APPROVED:
            case.standing = Standing.LAPSED
        case Standing.IN_DOUBT:
            case.told_unknown = True
        case Standing.EXECUTED:
            case.ended = _OVER


_OVER = "its time is over"

_FIRST_STANDING = {"allow": Standing.APPROVED, "review": Standing.PENDING, "deny": Standing.DENIED}


@functools.lru_cache(maxsize=512)
def _opening(body_json: str) -> tuple[dict[str, Any], Ruling]:
    # A ticket is read at every step of its life, and its first entry never changes. The contents are read anew each time:
    # they leave as arguments and as a schema that a tool or a reader may alter.
    body = json.loads(body_json)
    return body, Ruling.model_validate(body["ruling"])


def _opened(entry: Entry) -> Case:
    (body, ruling), contents = _opening(entry.body_json), entry.contents
    at = moment(entry.at)
    action = contents.get("action", {})
    standing = Standing.UNDER_AUDIT if body["kind"] == "audit" else _FIRST_STANDING[ruling.mode]
    return Case(
        id=entry.stream,
        standing=standing,
        seq=entry.seq,
        at=at,
        moved_at=at,
        generation=1,
        ruling=ruling,
        requirements=ruling.requirements,
        opened_at=at,
        due_at=at + ruling.requirements.window,
        opening=body,
        action=action,
        args=action.get("args", {}),
        parsed=action.get("parsed", {}),
        digest=action.get("digest", ""),
        erased=entry.erased,
        rounds=body.get("round", 1),
        previous=body.get("previous"),
        difference=contents.get("difference", []),
        siblings=tuple(contents.get("siblings", ())),
        notes=tuple(contents.get("notes", ())),
        why=contents.get("why", ""),
        approved_at=at if standing is Standing.APPROVED else None,
        outcome=Outcome(**body["outcome"], **contents.get("outcome", {})) if "outcome" in body else None,
    )


_OPEN_WORDS = ("verdict", "by", "generation", "groups")
_ERASABLE_WORDS = ("reason", "digest", "seen", "patch", "answer", "checked")


def _decision(entry: Entry) -> Decision:
    said = {key: entry.body[key] for key in _OPEN_WORDS} | {"behalf": entry.body.get("behalf", "")}
    said |= {key: entry.contents[key] for key in _ERASABLE_WORDS if key in entry.contents}
    return Decision.model_validate({**said, "at": entry.at})


def _decided(case: Case, entry: Entry) -> None:
    body, decision = entry.body, _decision(entry)
    case.decisions.append(decision)
    if decision.verdict is not Verdict.COMMENT:
        case.word_at = case.at
    if case.taker == decision.by and decision.verdict is not Verdict.COMMENT:
        case.taker = case.taken_until = None
    if case.standing not in (Standing.PENDING, Standing.UNDER_AUDIT):
        return
    match decision.verdict:
        case Verdict.APPROVE | Verdict.REJECT | Verdict.CONFIRM | Verdict.FLAG:
            case.gone = frozenset(body.get("gone", ()))
            _count(case)
        case Verdict.ANSWER:
            case.gone = frozenset(body.get("gone", ()))
            if _is_enough(case, body["agreed"]):
                case.standing = Standing.ANSWERED
        case Verdict.REVISE if "ruling" in body:
            _revised(case, entry)
            _count_author(case, approves=body["approves"])
        case Verdict.REVISE:
            case.standing, case.why = Standing.RETURNED, decision.reason


def _count_author(case: Case, *, approves: bool) -> None:
    # An edit is its author's approval of the new generation, if they may approve that.
    if approves:
        case.decisions[-1] = case.decisions[-1].model_copy(update={"generation": case.generation})
        _count(case)


def _revised(case: Case, entry: Entry) -> None:
    due_at = case.due_at
    case.authors = frozenset({entry.body["by"], entry.body.get("behalf") or entry.body["by"]})
    _next_generation(case, entry)
    # A shorter window binds from the edit on; a longer one gives no more time than there was.
    case.due_at = min(due_at, case.due_at)


def _next_generation(case: Case, entry: Entry) -> None:
    edit = entry.contents.get("edit", {})
    case.generation += 1
    case.gone = frozenset()
    case.ruling = Ruling.model_validate(entry.body["ruling"])
    case.requirements = widened(case.ruling.requirements, case.level)
    case.due_at = case.at + case.requirements.window
    case.args, case.parsed, case.digest = edit.get("args", {}), edit.get("parsed", {}), edit.get("digest", "")
    case.standing, case.approved_at, case.agreed_at = _FIRST_STANDING[case.ruling.mode], None, None


def _count(case: Case) -> None:
    objections = [verdict for verdict in case.verdicts().values() if verdict in (Verdict.REJECT, Verdict.FLAG)]
    is_audit = case.kind == "audit"
    if len(objections) >= case.requirements.rejections:
        case.standing, case.why = Standing.FLAGGED if is_audit else Standing.REJECTED, case.decisions[-1].reason
    elif case.kind != "question" and _is_enough(case, case.approvers):
        case.standing = Standing.CONFIRMED if is_audit else Standing.APPROVED
        case.approved_at = case.agreed_at = case.at


def _is_enough(case: Case, approvers: Collection[str]) -> bool:
    needs = case.requirements
    voices = case.voices(approvers) if needs.panels else []
    return len(approvers) >= needs.approvals and all(is_met(panel, voices) for panel in needs.panels)


def _ended(case: Case, entry: Entry) -> None:
    case.standing = Standing(entry.kind)
    if case.standing in (Standing.EXPIRED, Standing.UNREVIEWED):
        case.word_at = case.at
    case.why = entry.contents.get("reason", "")


def _claimed(case: Case, entry: Entry) -> None:
    body = entry.body
    case.standing = Standing.RUNNING
    case.claim = Claim(body["attempt"], body["owner"], case.at, body["lease"])
    case.counted = case.generation if body.get("spends") else case.counted


def _released(case: Case, entry: Entry) -> None:
    if _is_of_this_attempt(case, entry):
        case.standing = Standing.APPROVED


def _suspended(case: Case, entry: Entry) -> None:
    if case.claim and _is_of_this_attempt(case, entry):
        case.claim.suspended = True


def _outcome(case: Case, entry: Entry) -> None:
    body = entry.body
    case.choice = case.choice or body.get("audit", {})
    if case.standing.is_final and not case.ruling.only_records:
        return
    # An outcome that comes late settles the doubt, also when somebody has just said that it did not happen. When another
    # attempt is under way it has no effect: that one will have its own.
    if body["attempt"] < case.attempts or case.standing is Standing.PENDING:
        return
    case.standing, case.result = Standing(entry.kind), entry.contents
    case.outcome = Outcome.model_validate(outcome_words(entry))
    case.ends_at = until(case)


def outcome_words(entry: Entry) -> dict[str, Any]:
    """The outcome that an entry tells, as JSON."""
    body, contents = entry.body, entry.contents
    return {
        "standing": entry.kind,
        "at": entry.at,
        "result": contents.get("rendering"),
        "error": contents.get("error", ""),
        "attempt": body["attempt"],
        "by": body.get("by", ""),
    }


def _doubted(case: Case, entry: Entry) -> None:
    if _is_of_this_attempt(case, entry):
        case.standing, case.doubted_at, case.told_unknown = Standing.IN_DOUBT, case.at, False


def _is_of_this_attempt(case: Case, entry: Entry) -> bool:
    # A runner that was given up may still speak when another one has long taken its place.
    under_way = case.standing is Standing.RUNNING or case.ruling.mode == "allow"
    return under_way and entry.body["attempt"] == case.attempts


def _retried(case: Case, entry: Entry) -> None:
    # Somebody, or the tool's own probe, says that it did not happen; or the tool is declared idempotent.
    case.why = entry.contents.get("reason", "")
    case.standing, case.approved_at = Standing.APPROVED, case.at


def _told(case: Case, entry: Entry) -> None:  # noqa: ARG001  # one shape for every step
    case.told_unknown = True


def _taken(case: Case, entry: Entry) -> None:
    case.taker, case.taken_until = entry.body["by"], moment(entry.body["until"])


def _put_back(case: Case, entry: Entry) -> None:
    case.taker = case.taken_until = None
    if entry.body["by"] == case.assignee:
        case.assignee = None


def _assigned(case: Case, entry: Entry) -> None:
    case.assignee, case.taker, case.taken_until = entry.body["to"], None, None


def _extended(case: Case, entry: Entry) -> None:
    case.due_at, case.extended_by = moment(entry.body["until"]), entry.body["by"]


def _info_requested(case: Case, entry: Entry) -> None:
    words = {"by": entry.body["by"], "of": entry.body["of"], "text": entry.contents.get("reason", "")}
    case.inquiries.append(Inquiry(number=len(case.inquiries) + 1, at=case.at, **words))


def _info_given(case: Case, entry: Entry) -> None:
    told = {"answer": entry.contents.get("reason", ""), "answered_by": entry.body["by"], "answered_at": case.at}
    given = entry.body["of"]
    case.inquiries = [one.model_copy(update=told) if one.number in given else one for one in case.inquiries]


def _hurried(case: Case, entry: Entry) -> None:
    case.hurried.add((entry.body["by"], entry.body["generation"]))


def _reminded(case: Case, entry: Entry) -> None:
    case.reminded = entry.body["number"]


def _escalated(case: Case, entry: Entry) -> None:
    _escalate(case, entry.body["level"])


def _escalate(case: Case, level: int) -> None:
    case.level, case.requirements = level, widened(case.ruling.requirements, level)


def _used(case: Case, entry: Entry) -> None:
    case.uses.append(Use(step=entry.body["step"], ticket=entry.body["ticket"], at=case.at))


def _plan_ended(case: Case, entry: Entry) -> None:
    by, reason = entry.body.get("by"), entry.contents.get("reason", "")
    case.ended = (f"withdrawn by {by}" + (f": {reason}" if reason else "")) if by else _OVER


def _erased(case: Case, entry: Entry) -> None:
    case.erased, case.erasure = True, f"erased by {entry.body['by']}: {entry.body['reason']}"


def _rolled_back(case: Case, entry: Entry) -> None:
    why = entry.contents.get("why", {})
    left = tuple(Left(**one, why=why.get(one["ticket_id"], "")) for one in entry.body["left"])
    case.rollback = Rollback(undone=entry.body["undone"], left=left)


def _followed(case: Case, entry: Entry) -> None:
    told = {"did": "alert", **entry.body, "why": entry.contents.get("reason", "")}
    case.follow_up = FollowUp(about=case.id, **told)


_BY_THE_CLOCK = ("reminded", "escalated")

_AFTER_THE_END = frozenset(
    {"decided", "erased", "rolled_back", "executed", "failed", "alerted", "followed_up", "used", "ended"}
)

_STEPS: dict[str, Callable[[Case, Entry], None]] = {
    "decided": _decided,
    "amended": _next_generation,
    "expired": _ended,
    "unreviewed": _ended,
    "lapsed": _ended,
    "withdrawn": _ended,
    "claimed": _claimed,
    "released": _released,
    "suspended": _suspended,
    "executed": _outcome,
    "failed": _outcome,
    "in_doubt": _doubted,
    "retried": _retried,
    "told_unknown": _told,
    "taken": _taken,
    "put_back": _put_back,
    "assigned": _assigned,
    "extended": _extended,
    "info_requested": _info_requested,
    "info_given": _info_given,
    "hurried": _hurried,
    "reminded": _reminded,
    "escalated": _escalated,
    "used": _used,
    "ended": _plan_ended,
    "erased": _erased,
    "rolled_back": _rolled_back,
    "alerted": _followed,
    "followed_up": _followed,
}

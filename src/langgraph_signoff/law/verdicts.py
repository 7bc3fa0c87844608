"""Review: who may decide what, and what a decision adds to a ticket's history. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from langgraph_signoff.durations import format_duration
from langgraph_signoff.entries import Draft
from langgraph_signoff.errors import (
    IncompleteDecision,
    NotAllowedToDecide,
    NotWhatYouSaw,
    RevisionRefused,
    TicketClosed,
    TooFast,
    WrongVerdict,
)
from langgraph_signoff.law.audits import alerts, audit_id
from langgraph_signoff.law.case import Case
from langgraph_signoff.law.eligibility import People, can_help, cannot, departed, must_help, unknown, voice_of, why_not
from langgraph_signoff.law.plans import stands
from langgraph_signoff.law.questions import fitting, is_same
from langgraph_signoff.law.silence import widened
from langgraph_signoff.vocabulary import (
    SHORTEST_DIGEST,
    Answer,
    Rollback,
    Ruling,
    Standing,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class Say:
    """What somebody says, before the law has heard it. `digest`, `seen` and `generation` name what they were shown.

    `generation` is None if only the digest is known: edits can lead back to the same one. `behalf`: for whom they stand in.
    `checked`: their answers to the checklist, by item. `read_for`: how long they had it before them, None if nobody knows.
    """

    verdict: Verdict
    by: str
    digest: str
    reason: str = ""
    seen: str = ""
    generation: int | None = None
    behalf: str = ""
    checked: Mapping[str, str] = field(default_factory=dict)
    read_for: timedelta | None = None

    @property
    def principal(self) -> str:
        """Whose word it is: theirs, or that of whom they stand in for."""
        return self.behalf or self.by


@dataclass(frozen=True, slots=True)
class Edit:
    """Arguments that a reviewer wants instead, as they would be proposed and shown, with what the policy says of them."""

    args: dict[str, Any]
    parsed: dict[str, Any]
    digest: str
    patch: Sequence[dict[str, Any]]
    ruling: Ruling


def decide(case: Case, say: Say, people: People) -> list[Draft]:
    """What approve, reject or send-back adds to a ticket's history. Raises a `DecisionRefused` that says why not."""
    hear(case, say, people)
    if say.verdict in (Verdict.APPROVE, Verdict.CONFIRM):
        _looked(case, say)
    if say.verdict is Verdict.REVISE and case.rounds > case.requirements.max_revisions:
        raise RevisionRefused(
            f"this is round {case.rounds}, and the policy gives {case.requirements.max_revisions}; approve or reject it"
        )
    gone = departed(case, people, but=say.principal)
    if case.requirements.panels and say.verdict in (Verdict.APPROVE, Verdict.CONFIRM):
        must_help(case, say.principal, people, [by for by in case.approvers if by not in gone])
    words = {"checked": dict(say.checked)} if say.checked else {}
    drafts = [_decided(case, say, people, _without(gone), words)]
    return drafts + alerts(case, drafts)


def answer(case: Case, say: Say, value: Any, people: People) -> list[Draft]:
    """What an answer adds to a question's history: it is answered once as many people as must approve have said the same."""
    _fitting(case, say.verdict)
    if case.kind != "question":
        raise WrongVerdict(f"ticket {case.id[:12]} asks nothing; approve, reject or revise it")
    hear(case, say, people)
    given, gone = fitting(case.action.get("answer_schema", {}), value), departed(case, people, but=say.principal)
    said = {by: word for by, word in case.latest().items() if word.verdict is Verdict.ANSWER and by not in gone}
    same = {by for by, word in said.items() if is_same(word.answer, given)}
    if say.principal in same:
        raise TicketClosed(
            f"{say.by} has already given this answer to ticket {case.id[:12]}; it waits for somebody else"
        )
    must_help(case, say.principal, people, same)
    about = {**_without(gone), "agreed": sorted(same | {say.principal})}
    return [_decided(case, say, people, about, {"answer": given})]


def revise(case: Case, say: Say, edit: Edit, people: People) -> list[Draft]:
    """What an edit of the arguments adds: the next generation. `edit.ruling` must already be no weaker than the old one."""
    hear(case, say, people)
    if edit.ruling.mode == "deny":
        raise RevisionRefused(f"the policy denies the edited call ({edit.ruling.reason_code}); the ticket is as it was")
    if edit.digest == case.digest:
        raise RevisionRefused("the edit changes nothing; approve the call as it is")
    needs = widened(edit.ruling.requirements, case.level)
    involved = replace(case.involved, authors=frozenset({say.by, say.principal}))
    names = {say.by} if not say.behalf else {say.by, say.behalf}
    is_barred = any(names & involved.who(part) for part in needs.barred)
    may = why_not(needs, by=say.principal, people=people, involved=involved) is None and not is_barred
    # An edit answers no checklist, and tells nobody's time to read.
    is_looked_at = not needs.checklist and needs.read_for is None
    approves = may and is_looked_at and can_help(needs, voice_of(say.principal, people), [])
    more = {"approves": approves, "ruling": edit.ruling.model_dump(mode="json")}
    words = {"edit": {"args": edit.args, "parsed": edit.parsed, "digest": edit.digest}, "patch": list(edit.patch)}
    return [_decided(case, say, people, more, words)]


def comment(case: Case, say: Say, people: People) -> list[Draft]:
    """A note that joins the ticket and changes nothing; anybody the policy knows may leave one, at any time."""
    _named(say, people)
    if not say.reason.strip():
        raise IncompleteDecision("a comment needs words")
    return [_decided(case, say, people)]


def withdraw(case: Case, *, by: str, reason: str, people: People = None) -> list[Draft]:
    """Abandons a ticket that is not running yet, or ends a plan: anybody the policy knows may, and the requester.

    Raises TicketClosed.
    """
    if people is not None and by not in people and by != case.requester:
        raise NotAllowedToDecide(unknown(by, people))
    if stands(case):
        return [Draft("ended", {"by": by}, {"reason": reason})]
    if case.standing not in (Standing.PENDING, Standing.APPROVED):
        raise TicketClosed(f"ticket {case.id[:12]} is {case.standing}; only a pending or approved one can be withdrawn")
    return [Draft("withdrawn", {"by": by}, {"reason": reason})]


def erase(case: Case, *, by: str, reason: str) -> list[Draft]:
    """What erasing adds: who and why, which stay. Raises TicketClosed for a ticket that something may still come of."""
    if not by.strip() or not reason.strip():
        raise IncompleteDecision("an erasure needs a name and a reason")
    if not case.standing.is_final:
        raise TicketClosed(f"ticket {case.id[:12]} is {case.standing}; {_FIRST[case.standing]}, then erase it")
    return [Draft("erased", {"by": by, "reason": reason})]


_FIRST = {
    Standing.PENDING: "withdraw it",
    Standing.APPROVED: "withdraw it",
    Standing.RUNNING: "let it finish",
    Standing.IN_DOUBT: "settle it",
    Standing.UNDER_AUDIT: "confirm or flag it",
}


def roll_back(case: Case, done: Rollback) -> list[Draft]:
    """What a finished rollback adds to the review that ordered it; nothing if it is on record."""
    if case.rollback is not None:
        return []
    left = [{"ticket_id": one.ticket_id, "tool": one.tool} for one in done.left]
    why = {one.ticket_id: one.why for one in done.left}
    return [Draft("rolled_back", {"undone": list(done.undone), "left": left}, {"why": why})]


def hurried(case: Case, say: Say, people: People) -> list[Draft]:
    """What an approval that was too fast leaves behind: said once more, it counts. Nothing of one that lacks more than time."""
    try:
        decide(case, say, people)
    except TooFast:
        return [Draft("hurried", {"by": say.by, "generation": case.generation})]
    return []


def settle(case: Case, answer: Answer, say: Say, people: People, result: Any = None) -> list[Draft]:
    """What a person says of a call whose runner died. One eligible person is enough: it is a fact, not a permission."""
    _in_doubt(case)
    _named(say, people)
    _may(case, say, people)
    _reasoned(case, say)
    return settled(case, answer, say, result)


def settled(case: Case, answer: Answer, say: Say, result: Any) -> list[Draft]:
    """What an answer adds to a case in doubt, whoever gave it: an eligible person, or the tool's own probe."""
    _in_doubt(case)
    about = {"attempt": case.attempts, "by": say.by, **({"behalf": say.behalf} if say.behalf else {})}
    match answer:
        case Answer.HAPPENED:
            return [Draft("executed", about, {"rendering": result, "reason": say.reason})]
        case Answer.GIVE_UP:
            return [Draft("failed", about, {"error": "nobody could say whether it happened", "reason": say.reason})]
    if case.told_unknown:
        error = "it did not happen, and the run has gone on without it"
        return [Draft("failed", about, {"error": error, "reason": say.reason})]
    return [Draft("retried", about, {"reason": say.reason})]


def names_digest(given: str, digest: str) -> bool:
    """Whether somebody names this digest: in full, or by its first characters as they were shown."""
    return given == digest or (len(given) >= SHORTEST_DIGEST and digest.startswith(given.lower()))


def hear(case: Case, say: Say, people: People) -> None:
    """Checks who speaks, about what, and when. Raises the `DecisionRefused` that says why not, if that is all it takes."""
    _fitting(case, say.verdict)
    _waiting(case)
    if case.kind == "question" and say.verdict is Verdict.APPROVE:
        raise WrongVerdict(f"ticket {case.id[:12]} is a question: nothing of it would run; answer it, or reject it")
    _named(say, people)
    if not names_digest(say.digest, case.digest):
        raise NotWhatYouSaw(
            f"ticket {case.id[:12]} now has digest {case.digest[:16]}, not {say.digest[:16] or 'none'}; show it again, then decide"
        )
    if say.generation not in (None, case.generation):
        raise NotWhatYouSaw(
            f"ticket {case.id[:12]} has been changed, and is now generation {case.generation}, not {say.generation}; "
            "show it again, then decide"
        )
    _may(case, say, people)
    _reasoned(case, say)
    # Whoever edited the call may edit it again, or send it back after all; another answer replaces the one before.
    if say.verdict not in (Verdict.REVISE, Verdict.ANSWER) and case.verdicts().get(say.principal) is say.verdict:
        raise TicketClosed(
            f"{say.principal} has already said {say.verdict} of ticket {case.id[:12]}; it waits for somebody else"
        )
    _once(case, say)


def _looked(case: Case, say: Say) -> None:
    needs = case.requirements
    if unknown_items := sorted(set(say.checked) - set(needs.checklist)):
        raise IncompleteDecision(f"{unknown_items[0]!r} is no item of the checklist of ticket {case.id[:12]}")
    if missing := [item for item in needs.checklist if not _words(say.checked.get(item))]:
        raise IncompleteDecision(f"the policy wants an answer with the approval to: {'; '.join(missing)}")
    if needs.read_for is None or (say.by, case.generation) in case.hurried:
        return
    if say.read_for is None or say.read_for < needs.read_for:
        raise TooFast(
            f"ticket {case.id[:12]} is to be read for {format_duration(needs.read_for)} before it is approved; "
            "read it, and say it once more"
        )


def _words(answered: object) -> str:
    # What comes from Python may be a bool.
    return answered.strip() if isinstance(answered, str) else ""


def _once(case: Case, say: Say) -> None:
    # Whoever stands in for others is still one person, and undoes nobody's own word.
    for word in case.latest().values():
        if word.by == say.by and word.principal != say.principal:
            raise TicketClosed(
                f"{say.by} has spoken on ticket {case.id[:12]} as {word.who}; it waits for somebody else"
            )
        if say.behalf and word.principal == word.by == say.behalf:
            raise TicketClosed(f"{say.behalf} has said {word.verdict} of ticket {case.id[:12]} themselves; that stands")


def _fitting(case: Case, verdict: Verdict) -> None:
    is_audit = case.kind == "audit"
    if is_audit == (verdict in _AFTERWARDS):
        return
    if is_audit:
        raise WrongVerdict(f"ticket {case.id[:12]} is the audit of what has already run; confirm or flag it")
    then = f"; its audit is ticket {audit_id(case.id)[:12]}" if case.is_chosen else ""
    raise WrongVerdict(f"ticket {case.id[:12]} is no audit; confirm and flag are for audits only{then}")


_AFTERWARDS = (Verdict.CONFIRM, Verdict.FLAG)


def _waiting(case: Case) -> None:
    if case.erased:
        raise TicketClosed(f"what ticket {case.id[:12]} was about has been erased; withdraw it")
    if case.standing not in (Standing.PENDING, Standing.UNDER_AUDIT):
        raise TicketClosed(f"ticket {case.id[:12]} is {case.standing}{_by(case)}; it takes no decision")


def _by(case: Case) -> str:
    return f" by {case.last_by}" if case.standing in _SAID and case.last_by else ""


_SAID = (
    Standing.APPROVED,
    Standing.REJECTED,
    Standing.RETURNED,
    Standing.ANSWERED,
    Standing.CONFIRMED,
    Standing.FLAGGED,
)


def _in_doubt(case: Case) -> None:
    if case.standing is not Standing.IN_DOUBT:
        raise TicketClosed(f"ticket {case.id[:12]} is {case.standing}; there is no doubt to settle")


def _named(say: Say, people: People) -> None:
    if not say.by.strip():
        raise IncompleteDecision("a decision needs a name: give by=")
    if people is not None and say.by not in people:
        raise NotAllowedToDecide(unknown(say.by, people))


def _may(case: Case, say: Say, people: People) -> None:
    problem = cannot(case, say.principal, people)
    if problem:
        raise NotAllowedToDecide(f"{say.by} may not decide ticket {case.id[:12]}: {problem}")


def _without(gone: list[str]) -> dict[str, Any]:
    return {"gone": gone} if gone else {}


def _reasoned(case: Case, say: Say) -> None:
    if case.requirements.reason == "required" and not say.reason.strip():
        raise IncompleteDecision("the policy wants a reason with it")


def _decided(
    case: Case, say: Say, people: People, more: dict[str, Any] | None = None, words: dict[str, Any] | None = None
) -> Draft:
    groups = sorted(people[say.principal]) if people is not None else []
    behalf = {"behalf": say.behalf} if say.behalf else {}
    about = {"generation": case.generation, "groups": groups, **behalf}
    body = {"verdict": str(say.verdict), "by": say.by, **about, **(more or {})}
    return Draft(
        "decided", body, {"reason": say.reason, "digest": _named_in_full(case, say), "seen": say.seen, **(words or {})}
    )


def _named_in_full(case: Case, say: Say) -> str:
    return case.digest if names_digest(say.digest, case.digest) else say.digest

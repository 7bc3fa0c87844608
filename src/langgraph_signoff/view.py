"""How a ticket's history looks to people: masked and described."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from langgraph_signoff.entries import Entry
from langgraph_signoff.justification import summary
from langgraph_signoff.law import Case
from langgraph_signoff.masking import Hush, mask, mask_patch
from langgraph_signoff.policy.describe import render_describe
from langgraph_signoff.vocabulary import Decision, Outcome, Standing, Ticket


def to_ticket(case: Case) -> Ticket:
    """The ticket as reviewers see it at the instant of the fold."""
    opening, redact = case.opening, case.ruling.redact
    args = mask(case.parsed, redact)
    hush = Hush([case.args, case.parsed, case.action.get("args", {}), case.action.get("parsed", {})], redact)
    return Ticket(
        id=case.id,
        kind=case.kind,
        standing=case.standing,
        thread_id=opening["thread_id"],
        tool=opening["tool"],
        args=args,
        digest=case.digest,
        generation=case.generation,
        seq=case.seq,
        queue=case.requirements.queue,
        priority=case.requirements.priority,
        opened_at=case.opened_at,
        due_at=case.expires_at,
        reason_code=case.ruling.reason_code,
        rule=case.ruling.rule,
        policy_version=case.ruling.policy_version,
        risk=case.ruling.risk,
        requirements=case.requirements,
        options=options(case),
        graph=opening["graph"],
        agent=opening["agent"],
        requester=opening["requester"],
        resource=case.action.get("resource"),
        trigger=case.action.get("trigger", ""),
        confidence=case.action.get("confidence", 0.0),
        description="" if case.erased else _description(case, args),
        detail=case.erasure or hush(case.ruling.detail or _unsaid(case)),
        previous=case.previous,
        difference=mask_patch(case.difference, redact),
        args_schema=case.action.get("args_schema", {}),
        editable=case.action.get("editable", True),
        notes=tuple(hush(note) for note in case.notes),
        decisions=tuple(_decision(decision, redact, hush) for decision in case.decisions),
        approved_by=case.approvers,
        outcome=_outcome(case.outcome, hush),
        rollback=case.rollback,
        erased=case.erased,
    )


def _description(case: Case, args: dict[str, Any]) -> str:
    if case.kind == "outcome" and not case.ruling.describe:
        return summary(args)
    return render_describe(case.ruling.describe, args)


def _unsaid(case: Case) -> str:
    # Why it ended, if no decision says so already.
    return "" if case.why in {decision.reason for decision in case.decisions} else case.why


def _decision(decision: Decision, redact: tuple[str, ...], hush: Hush) -> Decision:
    return decision.model_copy(update={"patch": mask_patch(decision.patch, redact), "reason": hush(decision.reason)})


def _outcome(outcome: Outcome | None, hush: Hush) -> Outcome | None:
    return outcome and outcome.model_copy(update={"result": hush(outcome.result), "error": hush(outcome.error)})


def options(case: Case) -> tuple[str, ...]:
    """What a reviewer can do with a ticket that stands so."""
    if case.standing is Standing.IN_DOUBT:
        return ("happened", "did_not_happen", "give_up")
    return ("approve", "reject", "revise") if case.standing is Standing.PENDING and not case.erased else ()


_TOLD = ("reason", "error", "rendering")  # of the erasable contents; arguments come masked, as patches


def words_of(history: Sequence[Entry]) -> list[dict[str, Any]]:
    """Each entry as plain data: number, time, kind, open part, the words that were said, and its place in the chain."""
    redact = tuple({path for entry in history for path in entry.body.get("ruling", {}).get("redact", ())})
    hush = Hush(_args(history), redact)
    return [_words(entry, redact, hush) for entry in history]


def _args(history: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    """The arguments of every generation, as proposed and as parsed."""
    for entry in history:
        for call in (entry.contents.get("action", {}), entry.contents.get("edit", {})):
            yield from (call[key] for key in ("args", "parsed") if key in call)


def _words(entry: Entry, redact: tuple[str, ...], hush: Hush) -> dict[str, Any]:
    contents = entry.contents
    said = {key: hush(contents[key]) for key in _TOLD if contents.get(key)}
    if contents.get("patch"):
        said["patch"] = mask_patch(contents["patch"], redact)
    return {
        "seq": entry.seq,
        "at": entry.at,
        "kind": entry.kind,
        "body": entry.body,
        **said,
        "erased": entry.erased,
        "prev": entry.prev,
        "hash": entry.hash,
    }

"""How a ticket's history looks to people: masked and described."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from langgraph_signoff import law
from langgraph_signoff.entries import Entry
from langgraph_signoff.justification import summary
from langgraph_signoff.law import Case
from langgraph_signoff.masking import MASK, Hush, mask, mask_patch, secrets_in
from langgraph_signoff.panels import waiting_text
from langgraph_signoff.plan_text import masked_plan, plan_text
from langgraph_signoff.policy.describe import render_describe
from langgraph_signoff.vocabulary import Decision, Json, Outcome, Standing, Ticket


def to_ticket(case: Case) -> Ticket:
    """The ticket as reviewers see it at the instant of the fold."""
    opening, redact = case.opening, case.ruling.redact
    args = shown_args(case)
    hush = hush_of(case)
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
        trigger=hush(case.action.get("trigger", "")),
        confidence=case.action.get("confidence", 0.0),
        description="" if case.erased else _description(case, args),
        detail=case.erasure or hush(case.ruling.detail or _unsaid(case)),
        previous=case.previous,
        difference=mask_patch(case.difference, redact),
        args_schema=case.action.get("args_schema", {}),
        answer_schema=case.action.get("answer_schema", {}),
        templates=case.ruling.templates,
        editable=case.action.get("editable", True),
        notes=tuple(hush(note) for note in case.notes),
        decisions=tuple(_decision(decision, case, hush) for decision in case.decisions),
        approved_by=case.approvers,
        waits_for=_waits_for(case),
        assignee=case.assignee or "",
        taker=case.taker or "",
        taken_until=case.taken_until,
        inquiries=tuple(
            each.model_copy(update={"text": hush(each.text), "answer": hush(each.answer)}) for each in case.inquiries
        ),
        escalated_to=tuple(who for step in case.ruling.requirements.escalations[: case.level] for who in step.to),
        outcome=_outcome(case.outcome, hush),
        rollback=case.rollback,
        erased=case.erased,
        about=case.about,
        audit=law.audit_id(case.id) if case.is_chosen else "",
        follow_up=case.follow_up and case.follow_up.model_copy(update={"why": hush(case.follow_up.why)}),
        on_flag=case.ruling.audit.on_flag if case.about and case.ruling.audit else None,
        planned=case.ruling.planned,
        granted=case.ruling.granted,
        uses=tuple(case.uses),
        ended=hush(case.ended),
    )


def shown_args(case: Case) -> dict[str, Any]:
    """The arguments as reviewers see them."""
    masked: Any = masked_plan if case.kind == "plan" else mask
    return dict(masked(case.parsed, case.ruling.redact))


def _description(case: Case, args: dict[str, Any]) -> str:
    if case.kind == "outcome" and not case.ruling.describe:
        return summary(args)
    if case.kind == "plan" and not case.ruling.describe:
        return plan_text(args, law.span(case))
    return render_describe(case.ruling.describe, args)


def _waits_for(case: Case) -> tuple[str, ...]:
    if case.standing not in (Standing.PENDING, Standing.UNDER_AUDIT):
        return ()
    panels = case.requirements.panels
    voices = case.voices(case.approvers) if panels else []
    return tuple(filter(None, (waiting_text(panel, voices) for panel in panels)))


def _unsaid(case: Case) -> str:
    # Why it ended, if no decision says so already.
    return "" if case.why in {decision.reason for decision in case.decisions} else case.why


def hush_of(case: Case) -> Hush:
    """What masks the secrets of a case in any text or value."""
    redact, schema = case.ruling.redact, case.action.get("answer_schema")
    if not (redact or schema or case.action.get("hidden")):
        return _NO_SECRETS  # most tickets of a list
    return _hush(_known_args(case), redact, answers=[decision.answer for decision in case.decisions], schema=schema)


_NO_SECRETS = Hush((), ())


def secrets_of(case: Case) -> list[Json]:
    """The values that a case hides, for a ticket that may quote them."""
    return secrets_in(_known_args(case), [*case.ruling.redact, _HIDDEN])


def _known_args(case: Case) -> list[dict[str, Any]]:
    return [case.args, case.parsed, *_args_of(case.action)]


def _hush(args: Iterable[dict[str, Any]], redact: Sequence[str], *, answers: Sequence[Json], schema: Json) -> Hush:
    if not law.is_secret(schema):
        return Hush(args, [*redact, _HIDDEN])
    return Hush([*args, {_ANSWER: answers}], [*redact, _HIDDEN, _ANSWER])


_ANSWER, _HIDDEN = "(answer)", "(hidden)"  # no argument has these names


def _decision(decision: Decision, case: Case, hush: Hush) -> Decision:
    shown = {"patch": mask_patch(decision.patch, case.ruling.redact), "reason": hush(decision.reason)}
    if decision.answer is not None:
        shown["answer"] = _answer(decision.answer, case.action.get("answer_schema"), hush)
    return decision.model_copy(update=shown)


def _answer(answer: Json, schema: Json, hush: Hush) -> Json:
    # A form that holds a secret is hidden as a whole.
    return MASK if law.is_secret(schema) else hush(answer)


def _outcome(outcome: Outcome | None, hush: Hush) -> Outcome | None:
    return outcome and outcome.model_copy(update={"result": hush(outcome.result), "error": hush(outcome.error)})


def options(case: Case) -> tuple[str, ...]:
    """What a reviewer can do with a ticket that stands so."""
    if case.standing is Standing.IN_DOUBT:
        return ("happened", "did_not_happen", "give_up")
    if case.standing is Standing.UNDER_AUDIT:
        return ("confirm", "flag")
    if case.standing is not Standing.PENDING or case.erased:
        return ()
    return ("answer" if case.kind == "question" else "approve", "reject", "revise")


_TOLD = ("reason", "error", "rendering")  # of the erasable contents; arguments come masked, as patches


def words_of(history: Sequence[Entry]) -> list[dict[str, Any]]:
    """Each entry as plain data: number, time, kind, open part, the words that were said, and its place in the chain."""
    rulings = (entry.body.get("ruling", entry.body) for entry in history)
    redact = tuple({path for ruling in rulings for path in ruling.get("redact", ())})
    schema = history[0].contents.get("action", {}).get("answer_schema") if history else None
    answers = [entry.contents["answer"] for entry in history if "answer" in entry.contents]
    hush = _hush(_args(history), redact, answers=answers, schema=schema)
    return [_words(entry, redact, schema, hush) for entry in history]


def _args(history: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    """The arguments of every generation, as proposed and as parsed."""
    for entry in history:
        for call in (entry.contents.get("action", {}), entry.contents.get("edit", {}), entry.contents):
            yield from _args_of(call)


def _args_of(call: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (call[key] for key in ("args", "parsed") if key in call)
    yield {_HIDDEN: call.get("hidden", [])}


def _words(entry: Entry, redact: tuple[str, ...], schema: Json, hush: Hush) -> dict[str, Any]:
    contents = entry.contents
    said = {key: hush(contents[key]) for key in _TOLD if contents.get(key)}
    if entry.kind == "granted" and contents:
        said["args"] = contents["args"] and mask(contents["args"], redact)
        said["when"] = contents["when"]
    if contents.get("patch"):
        said["patch"] = mask_patch(contents["patch"], redact)
    if "answer" in contents:
        said["answer"] = _answer(contents["answer"], schema, hush)
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

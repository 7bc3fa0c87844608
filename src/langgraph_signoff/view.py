"""How a ticket's history looks to people: masked and described."""

from __future__ import annotations

from typing import Any

from langgraph_signoff.law import Case
from langgraph_signoff.policy.describe import render_describe
from langgraph_signoff.vocabulary import Standing, Ticket, Verdict, mask


def to_ticket(case: Case) -> Ticket:
    """The ticket as reviewers see it at the instant of the fold."""
    opening, redact = case.opening, case.ruling.redact
    args = mask(case.parsed, redact)
    return Ticket(
        id=case.id,
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
        description=render_describe(case.ruling.describe, args),
        detail=case.erasure or case.ruling.detail or case.why,
        previous=case.previous,
        difference=mask_patch(case.difference, redact),
        args_schema=case.action.get("args_schema", {}),
        decisions=tuple(d.model_copy(update={"patch": mask_patch(d.patch, redact)}) for d in case.decisions),
        outcome=case.outcome,
        erased=case.erased,
    )


def options(case: Case) -> tuple[str, ...]:
    """What a reviewer can do with a ticket that stands so."""
    if case.standing is Standing.IN_DOUBT:
        return ("happened", "did_not_happen", "give_up")
    if case.standing is not Standing.PENDING or case.erased:
        return ()
    return tuple(str(v) for v in (Verdict.APPROVE, Verdict.REJECT, Verdict.REVISE))


def mask_patch(patch: Any, redact: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    """A JSON Patch in which masked fields show no value."""
    return tuple(_mask_operation(operation, redact) for operation in patch)


def _mask_operation(operation: dict[str, Any], redact: tuple[str, ...]) -> dict[str, Any]:
    if "value" not in operation or not redact:
        return operation
    # Put the value where the patch puts it, mask the whole, and take it out again.
    keys = [key.replace("~1", "/").replace("~0", "~") for key in operation["path"].split("/")[1:]]
    whole = operation["value"]
    for key in reversed(keys):
        whole = {key: whole}
    masked = mask(whole, [*redact, *(_without_stars(path, keys) for path in redact)])
    for key in keys:
        masked = masked[key] if isinstance(masked, dict) else masked
    return {**operation, "value": masked}


def _without_stars(path: str, keys: list[str]) -> str:
    # In a patch a list index is a key; a redacted path walks through lists without naming the index.
    parts, wanted = [], path.split(".")
    for key in keys:
        if wanted and wanted[0] in (key, "*"):
            wanted.pop(0)
            parts.append(key)
        elif key.isdigit() or key == "-":
            parts.append(key)
        else:
            return path
    return ".".join([*parts, *wanted])

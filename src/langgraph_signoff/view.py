"""How a ticket's history looks to people: masked and described."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from langgraph_signoff.law import Case
from langgraph_signoff.policy.describe import render_describe
from langgraph_signoff.vocabulary import MASK, Decision, Json, Outcome, Standing, Ticket, Verdict, mask


def to_ticket(case: Case) -> Ticket:
    """The ticket as reviewers see it at the instant of the fold."""
    opening, redact = case.opening, case.ruling.redact
    args = mask(case.parsed, redact)
    hush = Hush([case.args, case.parsed, case.action.get("args", {}), case.action.get("parsed", {})], redact)
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
        detail=case.erasure or hush(case.ruling.detail or case.why),
        previous=case.previous,
        difference=mask_patch(case.difference, redact),
        args_schema=case.action.get("args_schema", {}),
        decisions=tuple(_decision(decision, redact, hush) for decision in case.decisions),
        approved_by=case.approvers,
        outcome=_outcome(case.outcome, hush),
        erased=case.erased,
    )


def _decision(decision: Decision, redact: tuple[str, ...], hush: Hush) -> Decision:
    return decision.model_copy(update={"patch": mask_patch(decision.patch, redact), "reason": hush(decision.reason)})


def _outcome(outcome: Outcome | None, hush: Hush) -> Outcome | None:
    return outcome and outcome.model_copy(update={"result": hush(outcome.result), "error": hush(outcome.error)})


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


_SHORTEST = 3  # characters of a secret that is looked for in texts; a shorter one would be found everywhere

_EXACT = 2**53  # up to here a float holds every integer

# Pydantic quotes what it was given, and cuts it anywhere.
_QUOTED = re.compile(r"input_value=.*?(?=, input_type=)", re.DOTALL)


class Hush:
    """Masks in any text or value what the redacted paths of some arguments hold: an error may quote what is hidden."""

    def __init__(self, args: Iterable[dict[str, Json]], redact: Sequence[str]) -> None:
        hidden = (scalar for each in args for path in redact for scalar in _scalars(_found(each, path.split("."))))
        spelled = {text for scalar in hidden for text in _spellings(scalar) if len(text) >= _SHORTEST}
        # The longest first: a secret may hold another one.
        self._secrets = (
            re.compile("|".join(map(re.escape, sorted(spelled, key=len, reverse=True)))) if spelled else None
        )

    def __call__(self, value: Json) -> Json:
        """The value with every secret in its texts and keys masked, and every number that is one."""
        if self._secrets is None:
            return value
        if isinstance(value, str):
            return self._secrets.sub(MASK, _QUOTED.sub(f"input_value={MASK}", value))
        if isinstance(value, dict):
            return {self(key): self(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self(item) for item in value]
        return MASK if _is_number(value) and self._secrets.fullmatch(str(value)) else value


def _found(value: Json, path: list[str]) -> Iterator[Json]:
    """What `mask` would replace."""
    if not path:
        yield value
    elif isinstance(value, dict):
        yield from (found for key, v in value.items() if path[0] in ("*", key) for found in _found(v, path[1:]))
    elif isinstance(value, list):
        yield from (found for v in value for found in _found(v, path[1:] if path[0] == "*" else path))


def _scalars(values: Iterable[Json]) -> Iterator[Json]:
    for value in values:
        if isinstance(value, (dict, list)):
            yield from _scalars(value.values() if isinstance(value, dict) else value)
        else:
            yield value


def _spellings(scalar: Json) -> Iterator[str]:
    if isinstance(scalar, str):
        yield from (scalar, repr(scalar)[1:-1], json.dumps(scalar)[1:-1], json.dumps(scalar, ensure_ascii=False)[1:-1])
    elif _is_number(scalar) and abs(scalar) < math.inf:
        yield str(scalar)
        # 5000 and 5000.0 are one number.
        if abs(scalar) <= _EXACT and scalar == int(scalar):
            yield from (str(int(scalar)), str(float(scalar)))


def _is_number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

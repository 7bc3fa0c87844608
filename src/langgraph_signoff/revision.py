"""An edit of a call's arguments: laid over what was proposed, held against the tool's schema, and ruled again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from langgraph_signoff import law
from langgraph_signoff.canonical import digest
from langgraph_signoff.desk import Desk
from langgraph_signoff.errors import RevisionRefused, WrongVerdict
from langgraph_signoff.law import Case, Edit, Say
from langgraph_signoff.ledger import Draft
from langgraph_signoff.masking import MASK
from langgraph_signoff.planning import rule
from langgraph_signoff.policy import Policy
from langgraph_signoff.view import shown_args
from langgraph_signoff.vocabulary import Json

if TYPE_CHECKING:
    from jsonschema import ValidationError


def revise(case: Case, say: Say, args: Mapping[str, Json], *, policy: Policy, desk: Desk) -> list[Draft]:
    """What an edit adds to a ticket's history. Raises a `DecisionRefused` that says why not."""
    import jsonpatch

    law.hear(case, say, policy.people)
    if case.kind == "question":
        raise WrongVerdict(f"ticket {case.id[:12]} is a question: nothing of it would run; answer it, or send it back")
    if not case.action.get("editable", True):
        raise RevisionRefused(
            f"{case.opening['tool']} acts on its graph's state, not on these; send it back with feedback"
        )
    changed = _changed(case, args)
    wanted, shown = {**case.args, **changed}, {**case.parsed, **changed}
    _check_schema(case, wanted, set(changed))
    shown = _spelled_out(shown) if case.kind == "plan" else shown
    action = case.to_action().model_copy(update={"args": wanted, "parsed": shown})
    history = desk.counts(action.thread_id, action.message_id, case.siblings)
    ruling = law.ruled_again(case.ruling, rule(policy, action, now=desk.clock(), history=history))
    patch = list(jsonpatch.make_patch(case.parsed, shown))
    return law.revise(case, say, Edit(wanted, shown, digest(action.tool, wanted), patch, ruling), policy.people)


# What is edited -----------------------------------------------------------------------------------------------------------


def _changed(case: Case, edit: Mapping[str, Json]) -> dict[str, Json]:
    """The arguments that an edit changes, with their new values; what it leaves alone stays as proposed."""
    seen = shown_args(case)
    changed = {}
    for key, value in edit.items():
        real = _unmasked(value, case.parsed.get(key, _ABSENT), seen.get(key, _ABSENT))
        # 5 and 5.0 are one JSON number, 1 and true are not.
        if key not in case.parsed or not _same(key, real, case.parsed[key]):
            changed[key] = real
    return changed


_ABSENT: Any = object()


def _same(key: str, one: Json, other: Json) -> bool:
    try:
        return digest("", {key: one}) == digest("", {key: other})
    except TypeError as error:
        raise RevisionRefused(f"{key}: {error}") from error


def _unmasked(value: Json, original: Json, seen: Json) -> Json:
    """An edited value with each masked one in it replaced by what stands in its place. Raises RevisionRefused if nothing does.

    `seen`: the original as it was shown.
    """
    if value == MASK:
        if original is _ABSENT:
            raise _unclear("there is none in that place")
        return original
    if isinstance(value, dict):
        known, shown = (original, seen) if isinstance(original, dict) and isinstance(seen, dict) else ({}, {})
        return {key: _unmasked(item, known.get(key, _ABSENT), shown.get(key, _ABSENT)) for key, item in value.items()}
    if isinstance(value, list):
        return _unmasked_items(value, original, seen)
    return value


def _unmasked_items(values: list[Json], originals: Json, seen: Json) -> list[Json]:
    if not any(_has_mask(value) for value in values):
        return values
    # An item has no name: only one that is as it was shown, in a list of the same length, is surely the same one.
    if not isinstance(originals, list) or not isinstance(seen, list) or len(values) != len(seen):
        raise _unclear("which one cannot be told in this list")
    items = []
    for place, value in enumerate(values):
        if _has_mask(value) and not _same(str(place), value, seen[place]):
            raise _unclear(f"item {place} of this list is not the one that was shown there")
        items.append(originals[place] if _has_mask(value) else value)
    return items


def _has_mask(value: Json) -> bool:
    if isinstance(value, dict):
        return any(_has_mask(item) for item in value.values())
    return any(_has_mask(item) for item in value) if isinstance(value, list) else value == MASK


def _unclear(why: str) -> RevisionRefused:
    return RevisionRefused(f"{MASK} stands for a secret value, and {why}; write it out")


# What the tool takes ------------------------------------------------------------------------------------------------------


def _check_schema(case: Case, wanted: dict[str, Json], changed: set[str]) -> None:
    """Raises RevisionRefused for what the edit does wrong; what was proposed has been taken by the tool already."""
    schema, tool = case.action.get("args_schema", {}), case.opening["tool"]
    unknown = sorted(changed - set(schema.get("properties", changed)) - set(case.args) - set(case.parsed))
    if unknown and schema.get("additionalProperties", False) is False:
        raise RevisionRefused(f"{tool} takes no argument {', '.join(unknown)}")
    before = {error.message for error in _errors(schema, case.args) if not error.absolute_path}
    for error in _errors(schema, wanted):
        path = error.absolute_path
        if path[0] in changed if path else error.message not in before:
            # Its message quotes the value, or all values beside it, secret ones too.
            words = f"breaks `{error.validator}` of its schema" if case.ruling.redact else error.message
            told = " ".join(filter(None, (error.json_path[2:], words)))
            raise RevisionRefused(f"{tool} does not take these arguments: {told}") from error


def _spelled_out(plan: dict[str, Json]) -> dict[str, Json]:
    try:
        return law.Plan.model_validate(plan).model_dump(mode="json")
    except ValueError as error:
        raise RevisionRefused(f"this is no plan: {error}") from error


def _errors(schema: dict[str, Json], args: dict[str, Json]) -> Iterator[ValidationError]:
    from jsonschema import SchemaError
    from jsonschema.validators import validator_for

    validator = validator_for(schema)
    try:
        validator.check_schema(schema)
    except SchemaError:
        return  # a schema that is itself wrong checks nothing
    yield from validator(schema).iter_errors(args)

"""How a plan reads: what a person needs to decide about all of its calls in ten seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from langgraph_signoff.durations import format_duration
from langgraph_signoff.masking import MASK, mask
from langgraph_signoff.vocabulary import Json

REST = "any other call is asked about"


def masked_plan(args: Mapping[str, Json], redact: Sequence[str]) -> dict[str, Any]:
    """A plan with what is secret masked; which values a secret argument may have stays in sight, as far as no value shows.

    Whoever approves anything at all must not take it for the one value that is hidden there.
    """
    seen: Any = mask(dict(args), redact)
    steps, shown = args.get("steps"), seen.get("steps")
    if not isinstance(steps, list) or not isinstance(shown, list):
        return dict(seen)
    return {**seen, "steps": [_masked_step(*each) for each in zip(steps, shown, strict=True)]}


def _masked_step(step: Any, seen: Any) -> Any:
    if not isinstance(seen, dict) or not isinstance(seen.get("args"), dict):
        return seen
    patterns = step["args"]
    return {**seen, "args": {name: _masked_pattern(patterns[name], value) for name, value in seen["args"].items()}}


def _masked_pattern(pattern: Json, seen: Json) -> Json:
    if seen != MASK or not isinstance(pattern, dict) or "exactly" in pattern:
        return seen
    return {key: _masked_value(value) if key != "any" else value for key, value in pattern.items()}


def _masked_value(value: Json) -> Json:
    return [MASK for _ in value] if isinstance(value, list) else MASK


def plan_text(args: Mapping[str, Json], span: timedelta | None) -> str:
    """A plan in a sentence, without its steps; give it masked arguments. `span`: how long it will hold."""
    steps = _steps(args)
    calls = sum(step["times"] for step in steps)
    order = "one after the other" if args.get("ordered", True) else "in any order"
    within = f", within {format_duration(span)} of the approval" if span else ""
    return f"A plan of {calls} {'call' if calls == 1 else 'calls'}, {order}{within}"


def step_lines(args: Mapping[str, Json]) -> list[str]:
    """Each step of a plan as a numbered line; give it masked arguments."""
    return [f"{number}. {step_text(step)}" for number, step in enumerate(_steps(args), start=1)]


def step_text(step: Mapping[str, Any]) -> str:
    """A step as a call, with what each argument may be."""
    # A name that a model chose could look like the next argument, or the next step.
    names = {name: name if name.isidentifier() else _spelled(name) for name in step["args"]}
    arguments = ", ".join(f"{names[name]}={pattern_text(pattern)}" for name, pattern in step["args"].items())
    times = f"{step['times']} times: " if step["times"] > 1 else ""
    return f"{times}{step['tool']}({arguments})"


def pattern_text(pattern: Json) -> str:
    """What an argument may be."""
    match pattern:
        case {"any": _}:
            return "anything"
        case {"exactly": value}:
            return _spelled(value)
        case {"one_of": values}:
            return " or ".join(map(_spelled, values))
        case {"like": text}:
            return f"like {_spelled(text)}"
        case {"at_least": low, "at_most": high}:
            return f"{_spelled(low)} to {_spelled(high)}"
        case {"at_least": low}:
            return f"at least {_spelled(low)}"
        case {"at_most": high}:
            return f"at most {_spelled(high)}"
    return _spelled(pattern)


def _spelled(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)


def _steps(args: Mapping[str, Json]) -> list[dict[str, Any]]:
    # A policy may mask more than single arguments; what is no step any more is not shown as one.
    steps = args.get("steps")
    found = steps if isinstance(steps, list) else []
    return [{"times": 1, **step} for step in found if isinstance(step, dict) and isinstance(step.get("args"), dict)]

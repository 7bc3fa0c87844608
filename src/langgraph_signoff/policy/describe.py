"""Texts with places in them: what a reviewer reads of an action, and which arguments are secret."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from langgraph_signoff.vocabulary import Json

LONGEST_VALUE = 200

_PLACE = re.compile(r"\{((?:args|vars|tool)(?:\.[\w-]+)*)\}")
_SECRET = re.compile(r"args((?:\.(?:\*|(?!\d+(?:\.|$))[^.\s*]+))+)")


def describe_mistake(template: str, variables: Mapping[str, Json]) -> str | None:
    """What is wrong with a `describe`, or None. A place is `{tool}`, or a dotted path into `args` or `vars`."""
    stray = re.search(r"\{[^{}]*\}?|\}", _PLACE.sub("", template))
    if stray:
        return f"{stray[0]!r} is not a place; write {{args.NAME}}, {{vars.NAME}} or {{tool}}"
    for root, *path in (place.split(".") for place in _PLACE.findall(template)):
        if (root == "tool") == bool(path):
            return f"{{{'.'.join((root, *path))}}} is not a place; write {{args.NAME}}, {{vars.NAME}} or {{tool}}"
        if root == "vars" and find(variables, path) is None:
            return f"unknown vars.{'.'.join(path)}"
    return None


def settle_describe(template: str, *, tool: str, variables: Mapping[str, Json]) -> str:
    """The template with its `{tool}` and `{vars...}` filled in, so that only arguments are left open."""
    known = {"tool": tool, "vars": dict(variables)}
    return _PLACE.sub(
        lambda match: match[0] if match[1].startswith("args.") else shown(find(known, match[1].split("."))), template
    )


def render_describe(template: str, args: Mapping[str, Json]) -> str:
    """The sentence for the reviewer; give it masked arguments. What is absent reads `(not given)`; nothing is evaluated."""
    return _PLACE.sub(lambda match: shown(find({"args": dict(args)}, match[1].split("."))), template)


def secret_path(path: str) -> str | None:
    """`args.items.*.secret` as a path below the arguments: `items.*.secret`; None if it names no argument."""
    match = _SECRET.fullmatch(path)
    return match[1][1:] if match else None


def find(value: Json, path: list[str]) -> Json:
    """What stands at a path, null if nothing does."""
    for key in path:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def shown(value: Json) -> str:
    """A value on one line, cut where it is long."""
    if value is None:
        return "(not given)"
    # A line break or a bidirectional mark in an argument could forge the rest of the sentence.
    text = value if isinstance(value, str) and value.isprintable() else json.dumps(value, default=str)
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…"

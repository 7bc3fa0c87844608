"""What a flag, or silence, calls a tool with: values with places in them that quote the action and the flag."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from langgraph_signoff.policy.describe import find, shown
from langgraph_signoff.vocabulary import Json

_PLACE = re.compile(r"\{(tool|flag\.(?:by|reason)|(?:args|vars)(?:\.[\w-]+)+)\}")
_PLACES = {
    True: "{args.NAME}, {vars.NAME}, {tool}, {flag.by} or {flag.reason}",
    False: "{args.NAME}, {vars.NAME} or {tool}",
}


def quote_mistake(
    template: Json, variables: Mapping[str, Json], secrets: Iterable[str], *, of_flag: bool = True
) -> str | None:
    """What is wrong with a template, or None. `secrets`: paths below the arguments, which another tool would show.

    `of_flag`: whether there is a flag to quote.
    """
    for text in _texts(template):
        stray = re.search(r"\{[^{}]*\}?|\}", _PLACE.sub("", text))
        if stray:
            return f"{stray[0]!r} is not a place; write {_PLACES[of_flag]}"
        for place in _PLACE.findall(text):
            root, *path = place.split(".")
            if root == "flag" and not of_flag:
                return f"{{{place}}}: nobody has flagged it; write {_PLACES[of_flag]}"
            if root == "vars" and find(variables, path) is None:
                return f"unknown {place}"
            if root == "args" and any(_overlaps(path, secret.split(".")) for secret in secrets):
                return f"{{{place}}} is redacted here, and the other tool would show it; leave it out"
    return None


def quotes_anything(template: Json) -> bool:
    """Whether there is a place in it that is not filled in."""
    return any(_PLACE.search(text) for text in _texts(template))


def quote(template: Json, known: Mapping[str, Json]) -> Json:
    """The template with every place filled in whose root is `known`; a text that is nothing but a place becomes its value.

    What is absent is null, and `(not given)` within a longer text. Nothing is evaluated.
    """
    if isinstance(template, dict):
        return {key: quote(value, known) for key, value in template.items()}
    if isinstance(template, list):
        return [quote(value, known) for value in template]
    if not isinstance(template, str):
        return template
    whole = _PLACE.fullmatch(template)
    if whole:
        return _found(whole, known)
    return _PLACE.sub(lambda match: _spelled(_found(match, known)), template)


def _found(match: re.Match[str], known: Mapping[str, Json]) -> Json:
    path = match[1].split(".")
    return find(known, path) if path[0] in known else match[0]


def _spelled(value: Json) -> str:
    return value if isinstance(value, str) else shown(value)


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _overlaps(path: list[str], secret: list[str]) -> bool:
    # A secret path walks through lists without a number, and what holds a secret is one.
    named = [key for key in path if not key.isdecimal()]
    return all("*" in (one, other) or one == other for one, other in zip(named, secret, strict=False))

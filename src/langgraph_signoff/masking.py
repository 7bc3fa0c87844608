"""What the policy calls secret, masked wherever it is shown: in arguments, in patches, and in any text that quotes it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from langgraph_signoff.vocabulary import Json

MASK = "•••"


def mask(value: Json, paths: Sequence[str]) -> Json:
    """`value` with what each dotted path names replaced by `MASK`; `*` stands for every key, and lists are walked through."""
    for path in paths:
        value = _mask(value, path.split("."))
    return value


def _mask(value: Json, path: list[str]) -> Json:
    if not path:
        return MASK
    key, rest = path[0], path[1:]
    if isinstance(value, dict):
        return {k: _mask(v, rest) if key in ("*", k) else v for k, v in value.items()}
    if isinstance(value, list):
        return [_mask(v, rest if key == "*" else path) for v in value]
    return value


def mask_patch(patch: Any, redact: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    """A JSON Patch in which masked fields show no value, nor what is below them."""
    return tuple(_mask_operation(operation, redact) for operation in patch)


def _mask_operation(operation: dict[str, Any], redact: tuple[str, ...]) -> dict[str, Any]:
    places: dict[str, str] = {
        name: _as_far_as_shown(operation[name], redact) for name in ("from", "path") if name in operation
    }
    if places["path"] != operation["path"] and "from" not in places:
        return {"op": "replace", "path": places["path"], "value": MASK}
    operation = {**operation, **places}
    if "value" not in operation or not redact:
        return operation
    # Put the value where the patch puts it, mask the whole, and take it out again.
    keys = [_unescaped(key) for key in operation["path"].split("/")[1:]]
    whole = operation["value"]
    for key in reversed(keys):
        whole = {key: whole}
    masked = mask(whole, [*redact, *(_without_stars(path, keys) for path in redact)])
    for key in keys:
        masked = masked[key] if isinstance(masked, dict) else masked
    return {**operation, "value": masked}


def _as_far_as_shown(pointer: str, redact: tuple[str, ...]) -> str:
    # The keys below a masked place are as secret as the values.
    keys = pointer.split("/")[1:]
    for path in redact:
        wanted = path.split(".")
        for place, key in enumerate(keys):
            if not wanted:
                keys = keys[:place]
                break
            if wanted[0] in (_unescaped(key), "*"):
                wanted.pop(0)
            elif not _is_index(key):
                break
    return "".join(f"/{key}" for key in keys)


def _unescaped(key: str) -> str:
    return key.replace("~1", "/").replace("~0", "~")


def _is_index(key: str) -> bool:
    return key.isdigit() or key == "-"


def _without_stars(path: str, keys: list[str]) -> str:
    # In a patch a list index is a key; a redacted path walks through lists without naming the index.
    parts, wanted = [], path.split(".")
    for key in keys:
        if wanted and wanted[0] in (key, "*"):
            wanted.pop(0)
            parts.append(key)
        elif _is_index(key):
            parts.append(key)
        else:
            return path
    return ".".join([*parts, *wanted])


_SHORTEST = 3  # characters of a secret that is looked for in texts; a shorter one would be found everywhere

_EXACT = 2**53  # up to here a float holds every integer

# Pydantic quotes what it was given, and cuts it anywhere.
_QUOTED = re.compile(r"input_value=.*?(?=, input_type=)", re.DOTALL)


def secrets_in(args: Iterable[dict[str, Json]], redact: Sequence[str]) -> list[Json]:
    """Every single value that the redacted paths of some arguments hold."""
    return [scalar for each in args for path in redact for scalar in _scalars(_found(each, path.split(".")))]


class Hush:
    """Masks in any text or value what the redacted paths of some arguments hold: an error may quote what is hidden."""

    def __init__(self, args: Iterable[dict[str, Json]], redact: Sequence[str]) -> None:
        spelled = {text for scalar in secrets_in(args, redact) for text in _spellings(scalar) if len(text) >= _SHORTEST}
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

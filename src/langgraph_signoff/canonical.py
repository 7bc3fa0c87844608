"""One way to write a value as bytes, so that the same call has the same digest everywhere."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable
from typing import NoReturn

from langgraph_signoff.vocabulary import Json

_SAFE_INTEGER = 2**53 - 1
_SURROGATE = re.compile("[\ud800-\udfff]")


def digest(tool: str, args: dict[str, Json]) -> str:
    """SHA-256 in hex over the RFC 8785 canonical JSON of a tool name and its arguments.

    What RFC 8785 cannot write (integers past 2**53-1, NaN, infinities, lone surrogates) is carried as a tagged object; an
    argument that looks like such a tag is itself tagged, so no two different calls share a digest.
    """
    return hashlib.sha256(_canonical(tool, args)).hexdigest()


def _canonical(tool: str, args: dict[str, Json]) -> bytes:
    if _is_plain(tool) and _is_plain(args):
        # So are most calls, and each pays for this: what Python writes of such values is what RFC 8785 wants.
        return _PLAIN.encode({"args": args, "tool": tool}).encode("ascii")
    import rfc8785

    return rfc8785.dumps({"args": _carry(args), "tool": _carry(tool)})


_PLAIN = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _is_plain(value: Json) -> bool:
    """Whether Python and RFC 8785 write a value alike: ASCII, small integers, no other numbers, no key that looks like a tag."""
    kind = type(value)
    if kind is str:
        return bool(value.isascii())
    if kind is int:
        return bool(-_SAFE_INTEGER <= value <= _SAFE_INTEGER)
    if kind is dict:
        return all(map(_is_plain_key, value)) and all(map(_is_plain, value.values()))
    if kind is list:
        return all(map(_is_plain, value))
    return value is None or kind is bool


def _is_plain_key(key: Json) -> bool:
    return type(key) is str and key.isascii() and key[:1] != "$"


def plain_json(value: Json) -> str:
    """Compact ASCII JSON with sorted keys: what the ledger stores. NaN and infinities keep Python's spelling."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def strict_json(text: str) -> Json:
    """What a JSON text says. Raises ValueError for NaN and infinities, and for an object with a key twice."""
    return json.loads(text, parse_constant=_no_number, parse_float=_finite, object_pairs_hook=_each_once)


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name[:20]} is no number that JSON can hold")


def _each_once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands twice")
    return found


def is_deeper(value: Json, levels: int) -> bool:
    """Whether a value holds lists or objects in each other more than so many levels deep."""
    level = [value]
    for _ in range(levels + 1):
        level = [item for each in level for item in _items(each)]
    return bool(level)


def _items(value: Json) -> Iterable[Json]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def sha256(text: str) -> str:
    """SHA-256 in hex of an ASCII text."""
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _carry(value: Json) -> Json:
    match value:
        case bool() | None:
            return value
        case str():
            return {"$str": value.encode("utf-16-be", "surrogatepass").hex()} if _SURROGATE.search(value) else value
        case int():
            return value if abs(value) <= _SAFE_INTEGER else {"$int": str(value)}
        case float():
            return value if math.isfinite(value) else {"$float": str(value)}
        case list() | tuple():
            return [_carry(item) for item in value]
        case dict():
            return _carry_object(value)
    raise TypeError(f"{type(value).__name__} is not JSON; a tool call holds only JSON")


def _carry_object(value: dict[str, Json]) -> Json:
    pairs = [(str(key), _carry(item)) for key, item in value.items()]
    if any(key.startswith("$") or _SURROGATE.search(key) for key, _ in pairs) or len(dict(pairs)) < len(pairs):
        return {"$object": [[_carry(key), item] for key, item in sorted(pairs, key=lambda pair: pair[0])]}
    return dict(pairs)

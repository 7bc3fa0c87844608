"""Words and plain data as JSON that any program reads."""

from __future__ import annotations

import json
import math
from typing import Any

from langgraph_signoff.vocabulary import Json, Word


def to_json(value: Any) -> str:
    """Indented ASCII JSON of words or plain data; NaN and infinities become strings, and what is no JSON its `repr`."""
    return json.dumps(_spelled(_opened(value)), indent=2)


def _opened(value: Any) -> Json:
    # A model in its JSON form would say null for NaN, and pydantic takes no key that is no unicode.
    if isinstance(value, Word):
        return _opened(value.model_dump())
    if isinstance(value, dict):
        return {key if isinstance(key, str) else _key(key): _opened(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_opened(item) for item in value]
    return value if isinstance(value, str) else _jsonable(value)


def _key(key: Any) -> str:
    return str(next(iter(_jsonable({key: None}))))


def _jsonable(value: Any) -> Any:
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, fallback=repr)


def _spelled(value: Json) -> Json:
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    if isinstance(value, dict):
        return {key: _spelled(item) for key, item in value.items()}
    return [_spelled(item) for item in value] if isinstance(value, list) else value

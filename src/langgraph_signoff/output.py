"""Words and plain data as JSON that any program reads."""

from __future__ import annotations

import json
import math
from typing import Any

from langgraph_signoff.vocabulary import Json, Word


def to_json(value: Any) -> str:
    """Indented ASCII JSON of words or plain data; NaN and infinities become strings, and what is no JSON its `repr`."""
    from pydantic_core import to_jsonable_python

    return json.dumps(_spelled(to_jsonable_python(_opened(value), fallback=repr)), indent=2)


def _opened(value: Any) -> Any:
    # A model in its JSON form would say null for NaN.
    if isinstance(value, Word):
        return value.model_dump()
    if isinstance(value, dict):
        return {key: _opened(item) for key, item in value.items()}
    return [_opened(item) for item in value] if isinstance(value, list | tuple) else value


def _spelled(value: Json) -> Json:
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    if isinstance(value, dict):
        return {key: _spelled(item) for key, item in value.items()}
    return [_spelled(item) for item in value] if isinstance(value, list) else value

"""Durations as people write them: `90s`, `15m`, `2h`, `3d`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhd])")


def parse_duration(text: object) -> timedelta:
    """Reads `90s`, `15m`, `2h`, `3d`; a timedelta above zero passes as it is. Raises ValueError for anything else."""
    if isinstance(text, timedelta) and text > timedelta(0):
        return text
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if not match:
        raise ValueError(f"{text!r} is not a duration; write it as 90s, 15m, 2h or 3d")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def format_duration(span: timedelta) -> str:
    """The shortest spelling that `parse_duration` reads back: `2h`, not `7200s`."""
    seconds = max(1, round(span.total_seconds()))
    unit = next(unit for unit in "dhms" if seconds % _UNITS[unit] == 0)
    return f"{seconds // _UNITS[unit]}{unit}"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,8}[smhd]$", "examples": ["90s", "15m", "2h", "3d"]}),
]

"""How anything reads: moments, counts, arguments, changes, labels with their texts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime

from langgraph_signoff.vocabulary import Json

Lines = Iterable[tuple[str, str]]

LABEL_WIDTH = 10  # columns of the labels of `ticket_lines`
SHORT_ID = 12  # characters of an id that are shown; the commands take any unique beginning


def time_text(moment: datetime | None) -> str:
    """A moment to the second, in UTC."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else ""


def counted(count: int, noun: str) -> str:
    """A count with its noun, such as `1 entry` and `2 entries`."""
    several = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count} {noun if count == 1 else several}"


def arguments_text(args: Mapping[str, Json]) -> str:
    """Arguments as `name=value`, each value as JSON."""
    return ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in args.items())


def patch_lines(patch: Iterable[dict[str, object]]) -> list[str]:
    """A JSON Patch, one line an operation."""
    return [
        f"{operation['path']} {operation['op']}"
        + (f" {json.dumps(operation['value'], ensure_ascii=False)}" if "value" in operation else "")
        for operation in patch
    ]


def aligned(lines: Lines, *, width: int) -> str:
    """Labels of that width with their texts beside them: no line of a text stands where a label would."""
    return "\n".join(f"{label:>{width}}  {line}" for label, line in _broken(lines))


def _broken(lines: Lines) -> Iterable[tuple[str, str]]:
    for label, text in lines:
        for place, line in enumerate(printable(text).split("\n")):
            yield (label if place == 0 else ""), line


def printable(text: str) -> str:
    """Text without control characters and direction marks, so that an argument cannot repaint a terminal."""
    return "".join(c if c == "\n" or c.isprintable() else f"\\x{ord(c):02x}" for c in text)

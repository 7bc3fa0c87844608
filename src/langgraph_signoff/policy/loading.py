"""Reads a policy's text into plain data, and remembers where each key and value stands."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from langgraph_signoff.errors import Mistake, PolicyError
from langgraph_signoff.vocabulary import Json

Path = tuple[str | int, ...]
Place = tuple[int, int]

MOST_CHARACTERS = 1_000_000
LONGEST_KEY = 200
DEEPEST = 20

# Line separators and controls would fold or vanish between the file, the stored document and a reviewer's eye.
_UNPRINTABLE = re.compile(r"[^\n\t\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_INTEGER = re.compile(r"[-+]?[0-9]{1,20}|0x[0-9a-fA-F]{1,16}|0o[0-7]{1,22}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS = {"": None, "~": None, "null": None, "true": True, "True": True, "false": False, "False": False}


@dataclass
class Source:
    """A policy as it was written: its data, the line and column of each key and value, and what is wrong with it so far."""

    name: str
    data: Json = None
    keys: dict[Path, Place] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)
    texts: dict[Path, Place] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def blame(self, path: Path, message: str, *, within: Place | None = None, key: bool = False) -> None:
        """Notes a mistake at a value (or at its key); `within` is a line and column inside a text on one line."""
        line, column = self._place(path, self.keys if key else self.values)
        if within and path in self.texts:
            line, column = self.texts[path][0], self.texts[path][1] + within[1] - 1
        elif within and within != (1, 1):
            message += f" (line {within[0]}, column {within[1]} of the expression)"
        self.mistakes.append(Mistake(".".join(map(str, path)) or "file", message, line, column))

    def refuse_mistakes(self) -> None:
        """Raises PolicyError with all mistakes so far, in the order of the file."""
        if self.mistakes:
            raise PolicyError(
                self.name, sorted(set(self.mistakes), key=lambda m: (m.line, m.column, m.where, m.message))
            )

    def _place(self, path: Path, places: dict[Path, Place]) -> Place:
        while path and path not in places:
            path, places = path[:-1], self.values
        return places.get(path, (0, 0))


def read_text(text: str, name: str) -> Source:
    """The source of a YAML text. Raises PolicyError when it is no YAML; lesser mistakes are noted in the source."""
    text = text.removeprefix("\ufeff")
    source = Source(name)
    if len(text) > MOST_CHARACTERS:
        raise PolicyError(name, [Mistake("file", f"is longer than {MOST_CHARACTERS:,} characters")])
    unprintable = _UNPRINTABLE.search(text.replace("\r\n", "\n"))
    if unprintable:
        at = _line_column(text, text.index(unprintable[0]))
        raise PolicyError(name, [Mistake("file", f"holds the unprintable character {unprintable[0]!a}", *at)])
    try:
        _Reader(source, text).read()
    except PolicyError:
        raise
    # ruamel's scanner also lets IndexError and the like escape on garbage
    except Exception as error:
        raise PolicyError(name, [_yaml_mistake(error)]) from error
    return source


def read_bytes(content: bytes, name: str) -> Source:
    """The source of a YAML file's bytes, which must be UTF-8. Raises PolicyError."""
    try:
        return read_text(content.decode("utf-8"), name)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise PolicyError(name, [Mistake("file", "is not UTF-8; save it as UTF-8", line, column)]) from error


def read_data(data: Mapping[str, Any], name: str) -> Source:
    """The source of a policy written in Python: the same data, without lines."""
    source = Source(name)
    source.data = _plain(data, (), source)
    return source


def _plain(value: Any, path: Path, source: Source) -> Json:
    if len(path) > DEEPEST:
        source.blame(path[:DEEPEST], f"is nested more than {DEEPEST} deep")
    elif isinstance(value, Mapping):
        for key in value:
            _check_key(str(key), (*path, str(key)), source)
        return {str(key): _plain(item, (*path, str(key)), source) for key, item in value.items()}
    elif isinstance(value, list | tuple):
        return [_plain(item, (*path, number), source) for number, item in enumerate(value)]
    elif isinstance(value, str | int | float | None):
        _check_scalar(value, path, source)
        return value
    else:
        source.blame(path, f"is a {type(value).__name__}; write it as the YAML file would")
    return None


def _check_key(key: str, path: Path, source: Source) -> None:
    if _UNPRINTABLE.search(key) or len(key) > LONGEST_KEY:
        source.blame(path, f"a key is at most {LONGEST_KEY} printable characters", key=True)


def _check_scalar(value: str | float | None, path: Path, source: Source) -> None:
    if isinstance(value, str) and (unprintable := _UNPRINTABLE.search(value)):
        source.blame(path, f"holds the unprintable character {unprintable[0]!a}")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        source.blame(path, "is a number beyond 64 bits; write it as a string")
    elif isinstance(value, float) and not math.isfinite(value):
        source.blame(path, "is not a number that can be compared")


class _Reader:
    """Walks the events of a YAML text; anchors, aliases and tags are refused, so nothing can grow or be built."""

    def __init__(self, source: Source, text: str) -> None:
        from ruamel.yaml import YAML

        self._source, self._lines = source, text.splitlines()
        self._events: Iterator[Any] = YAML(typ="safe", pure=True).parse(text)

    def read(self) -> None:
        for event in self._events:
            if type(event).__name__ == "DocumentStartEvent":
                break
        else:
            raise PolicyError(self._source.name, [Mistake("file", "is empty; begin with `version: 1`", 1, 1)])
        self._source.data = self._node(next(self._events), ())
        for event in self._events:
            if type(event).__name__ == "DocumentStartEvent":
                self._stop(event, "begins a second document; a policy is one document")

    def _node(self, event: Any, path: Path) -> Json:
        kind = type(event).__name__
        self._source.values.setdefault(path, _start(event))
        if kind == "AliasEvent" or event.anchor:
            self._stop(event, "anchors and aliases are not taken; write it out where it stands")
        if event.tag:
            self._stop(event, f"the tag {str(event.tag)[:60]!r} is not taken; write plain values")
        if len(path) > DEEPEST:
            self._stop(event, f"is nested more than {DEEPEST} deep")
        if kind == "MappingStartEvent":
            return self._mapping(path)
        if kind == "SequenceStartEvent":
            return self._sequence(path)
        return self._scalar(event, path)

    def _mapping(self, path: Path) -> dict[str, Json]:
        found: dict[str, Json] = {}
        while type(event := next(self._events)).__name__ != "MappingEndEvent":
            if type(event).__name__ != "ScalarEvent":
                self._stop(event, "a key must be a plain text")
            at = (*path, event.value)
            if event.value in found:
                first = self._source.keys[at][0]
                self._source.mistakes.append(
                    Mistake(_dotted(at), f"duplicate key; it already stands in line {first}", *_start(event))
                )
            if event.anchor or event.tag:
                self._stop(event, "anchors and tags are not taken")
            self._source.keys.setdefault(at, _start(event))
            _check_key(event.value, at, self._source)
            found.setdefault(event.value, self._node(next(self._events), at))
        return found

    def _sequence(self, path: Path) -> list[Json]:
        found: list[Json] = []
        while type(event := next(self._events)).__name__ != "SequenceEndEvent":
            found.append(self._node(event, (*path, len(found))))
        return found

    def _scalar(self, event: Any, path: Path) -> Json:
        line, column = _start(event)
        quote = 1 if event.style in ("'", '"') else 0
        written = self._lines[line - 1][column - 1 + quote :] if line <= len(self._lines) else ""
        if written.startswith(event.value):
            self._source.texts.setdefault(path, (line, column + quote))
        value = event.value if event.style else _plain_scalar(event.value)
        _check_scalar(value, path, self._source)
        return value

    def _stop(self, event: Any, message: str) -> None:
        raise PolicyError(self._source.name, [*self._source.mistakes, Mistake("file", message, *_start(event))])


def _plain_scalar(text: str) -> Json:
    """The value of an unquoted text by YAML 1.2's core schema: `no` and `2024-01-01` are texts."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _start(event: Any) -> Place:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _dotted(path: Path) -> str:
    return ".".join(map(str, path))


def _line_column(text: str, index: int) -> Place:
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


def _yaml_mistake(error: Exception) -> Mistake:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "context", None) or "cannot be read"
    place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    return Mistake("file", f"is not YAML: {str(problem)[:200]}", *place)

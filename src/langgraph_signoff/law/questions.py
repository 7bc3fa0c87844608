"""Answers: whether one fits what was asked, whether two are the same, and whether one holds a secret. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from langgraph_signoff.canonical import digest, plain_json, strict_json
from langgraph_signoff.errors import AnswerRefused
from langgraph_signoff.vocabulary import Json

_NUMBERS = range(-(2**63), 2**63)
_DEEPEST = 64


def fitting(schema: Mapping[str, Json], answer: Any) -> Json:
    """An answer as JSON, if it fits what was asked. Raises AnswerRefused, which names the field that does not."""
    plain = _plain(answer)
    if misfit := _misfit(schema, plain):
        raise AnswerRefused(misfit)
    return plain


def _misfit(schema: Mapping[str, Json], answer: Json) -> str:
    from jsonschema import FormatChecker
    from jsonschema.exceptions import best_match
    from jsonschema.validators import validator_for

    try:
        error = best_match(validator_for(schema)(schema, format_checker=FormatChecker()).iter_errors(answer))
    except Exception:
        return ""  # a pattern in another dialect, say: the form itself checks it where the run reads the answer
    if error is None:
        return ""
    field = error.json_path.removeprefix("$").removeprefix(".")
    # Its message quotes the value, or all values beside it.
    words = f"breaks `{error.validator}` of the form" if is_secret(schema) else error.message
    return f"{field or 'the answer'}: {words}"


def worded(schema: Mapping[str, Json], words: str) -> Json:
    """What somebody who can only write means: the words themselves where a text is asked for, else their JSON.

    Raises AnswerRefused.
    """
    if schema.get("type") == "string":
        return words
    try:
        return strict_json(words)
    except (ValueError, RecursionError) as error:
        raise AnswerRefused(f"the answer is not JSON ({error}); it must fit {plain_json(schema)}") from error


def spelled(schema: Mapping[str, Json], answer: Json) -> Json:
    """An answer as `worded` gives it back: a text that stands for itself where no text is asked for is written as JSON."""
    return json.dumps(answer) if isinstance(answer, str) and schema.get("type") != "string" else answer


def is_same(one: Json, other: Json) -> bool:
    """Whether two answers are one: 5 and 5.0 are the same JSON number, 1 and true are not."""
    return digest("", {"answer": one}) == digest("", {"answer": other})


def is_secret(schema: Json) -> bool:
    """Whether an answer that fits holds what must not be shown, such as a `SecretStr` of a form."""
    if isinstance(schema, list):
        return any(map(is_secret, schema))
    if not isinstance(schema, dict):
        return False
    return schema.get("writeOnly") is True or schema.get("format") == "password" or any(map(is_secret, schema.values()))


def _plain(answer: Any) -> Json:
    try:
        text = json.dumps(answer, allow_nan=False, ensure_ascii=False)
        text.encode()
        plain = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise AnswerRefused(f"the answer is not JSON: {error}") from error
    # What a checkpoint cannot hold would stop the run that gets it.
    if flaw := _flaw(plain):
        raise AnswerRefused(f"the answer {flaw}")
    return plain


def _flaw(value: Json, depth: int = 0) -> str:
    if depth > _DEEPEST:
        return f"is nested more than {_DEEPEST} deep"
    if isinstance(value, int):
        return "" if value in _NUMBERS else "holds a number beyond 64 bits"
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next(filter(None, (_flaw(part, depth + 1) for part in parts)), "")

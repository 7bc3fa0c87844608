"""A duration is a whole number and a unit, and what is written down reads back as it was."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter, ValidationError

from langgraph_signoff.durations import Duration, format_duration, parse_duration

ADAPTER = TypeAdapter(Duration)
IS_IN_SCHEMA = Draft202012Validator(ADAPTER.json_schema()).is_valid
NONE = [
    "",
    "s",
    "0s",
    "-1h",
    "1.5h",
    "60",
    " 2h",
    "2h ",
    "2 h",
    "2h\n",
    "2H",
    "1h30m",
    "1w",
    "٢h",
    "1234567890s",
    "02h",
]


@given(st.integers(1, 366 * 86400))
def test_a_duration_reads_back_from_its_spelling(seconds: int) -> None:
    span = timedelta(seconds=seconds)
    assert parse_duration(format_duration(span)) == span
    assert ADAPTER.validate_json(ADAPTER.dump_json(span)) == span
    assert IS_IN_SCHEMA(format_duration(span))


@pytest.mark.parametrize(
    ("text", "shortest"), [("90s", "90s"), ("60s", "1m"), ("120m", "2h"), ("48h", "2d"), ("25h", "25h"), ("3d", "3d")]
)
def test_a_duration_is_spelled_in_the_largest_unit_that_holds_it_whole(text: str, shortest: str) -> None:
    assert format_duration(parse_duration(text)) == shortest


def test_less_than_a_second_is_spelled_as_one() -> None:
    assert format_duration(timedelta(milliseconds=1)) == "1s"


@pytest.mark.parametrize("given", [*NONE, 60, 1.5, True, None, timedelta(0), timedelta(seconds=-1)])
def test_what_is_no_duration_is_refused_by_reader_and_schema(given: Any) -> None:
    with pytest.raises(ValueError, match="is not a duration; write it as 90s, 15m, 2h or 3d"):
        parse_duration(given)
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(given)
    if not isinstance(given, str) or not given.endswith("\n"):  # Python's $ takes a line's end, an editor's does not
        assert not IS_IN_SCHEMA(given)

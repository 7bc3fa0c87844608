"""The digest of a call: SHA-256 over RFC 8785, whichever way the bytes were come by."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from langgraph_signoff.canonical import digest
from support import json_values

ascii_text = st.text(st.characters(max_codepoint=127), max_size=12)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | ascii_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ascii_text.filter(lambda key: key[:1] != "$"), inner),
    max_leaves=12,
)


@given(ascii_text, st.dictionaries(ascii_text.filter(lambda key: key[:1] != "$"), plain, max_size=4))
@example("send", {'"\\\b\f\n\r\t\x00\x1f\x7f/': ["\x7f", -0, 2**53 - 1], "": {}, "b": [], "B": None, "a": True})
def test_a_plain_call_is_written_as_rfc_8785_has_it(tool: str, args: dict[str, Any]) -> None:
    assert digest(tool, args) == hashlib.sha256(rfc8785.dumps({"args": args, "tool": tool})).hexdigest()


@given(st.text(max_size=5), st.dictionaries(st.text(max_size=5), json_values, max_size=3))
@example("send", {"amount": 7.0})
@example("send", {"näme": "ß"})
def test_numbers_and_letters_are_written_so_too(tool: str, args: dict[str, Any]) -> None:
    try:
        written = rfc8785.dumps({"args": args, "tool": tool})
    except (rfc8785.CanonicalizationError, UnicodeError):
        return  # carried as a tagged object
    if "$" not in json.dumps(args):
        assert digest(tool, args) == hashlib.sha256(written).hexdigest()


@given(
    st.dictionaries(st.text(max_size=3), json_values, max_size=3),
    st.dictionaries(st.text(max_size=3), json_values, max_size=3),
)
@example({"n": 2**53}, {"n": {"$int": str(2**53)}})
@example({"n": True}, {"n": 1})
@example({"n": None}, {"n": "null"})
@example({"$int": "1"}, {"$object": [["$int", "1"]]})
def test_two_calls_that_differ_have_two_digests(one: dict[str, Any], other: dict[str, Any]) -> None:
    is_same = digest("", one) == digest("", other)
    assert is_same == (_told(one) == _told(other))


def _told(value: Any) -> Any:
    """What JSON says of a value: 5 and 5.0 are one number, 1 and true are not."""
    if isinstance(value, dict):
        return {key: _told(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_told(item) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return (type(value).__name__, value)
    return ("number", repr(float(value)) if abs(value) <= 2**53 - 1 or isinstance(value, float) else str(value))

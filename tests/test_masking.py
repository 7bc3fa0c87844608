"""What the policy calls secret is shown nowhere: not in arguments, not in patches, not in a text that quotes it."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_signoff.masking import MASK, Hush, mask, mask_patch
from support import json_values

REDACT = ("items.*.pin", "card")
SECRET = "hush"

secrets = st.one_of(
    json_values.map(lambda value: f"{SECRET} {value}"),
    json_values.map(lambda value: {f"{SECRET}/{value}": value}),
    json_values.map(lambda value: [{SECRET: [value]}, SECRET]),
)


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments with a secret under every `pin` below `items`, and one under `card`."""
    items = [
        {key: draw(secrets) if key == "pin" else value for key, value in item.items()} if type(item) is dict else item
        for item in draw(st.lists(json_values, max_size=3))
    ]
    return {"items": items, "card": draw(secrets), "free": draw(json_values)}


@given(calls())
def test_a_mask_takes_the_place_of_a_secret_and_of_nothing_else(args: dict[str, Any]) -> None:
    before = copy.deepcopy(args)
    shown = mask(args, REDACT)
    assert args == before, "what runs is not what is shown"
    assert SECRET not in json.dumps(shown)
    assert shown["card"] == MASK
    assert shown["free"] == args["free"]
    assert mask(args, ("other", "free.other.*", "items.other")) == args
    assert mask(shown, REDACT) == shown


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("users.*.pin", {"users": {"ana": {"pin": MASK, "n": 1}, "cem": [{"pin": MASK}]}}),
        ("users.ana", {"users": {"ana": MASK, "cem": [{"pin": 2}]}}),
        ("users.cem.pin", {"users": {"ana": {"pin": 1, "n": 1}, "cem": [{"pin": MASK}]}}),
        ("*", {"users": MASK}),
        ("users.*", {"users": {"ana": MASK, "cem": MASK}}),
    ],
)
def test_a_star_stands_for_every_key_and_lists_are_walked_through(path: str, shown: Any) -> None:
    assert mask({"users": {"ana": {"pin": 1, "n": 1}, "cem": [{"pin": 2}]}}, [path]) == shown


# Patches --------------------------------------------------------------------------------------------------------------


@given(calls(), calls())
def test_a_patch_shows_no_secret_that_the_whole_would_mask(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert SECRET not in json.dumps([mask(old, REDACT), mask(new, REDACT)])
    assert SECRET not in json.dumps(mask_patch(list(jsonpatch.make_patch(old, new)), REDACT))


@pytest.mark.parametrize(
    ("operation", "shown"),
    [
        ({"op": "add", "path": "/card/4111", "value": 1}, {"op": "replace", "path": "/card", "value": MASK}),
        ({"op": "remove", "path": "/card/4111"}, {"op": "replace", "path": "/card", "value": MASK}),
        ({"op": "remove", "path": "/card"}, {"op": "remove", "path": "/card"}),
        ({"op": "replace", "path": "/card", "value": 1}, {"op": "replace", "path": "/card", "value": MASK}),
        ({"op": "move", "from": "/card/4111", "path": "/a"}, {"op": "move", "from": "/card", "path": "/a"}),
        ({"op": "move", "from": "/a", "path": "/items/0/pin/4"}, {"op": "move", "from": "/a", "path": "/items/0/pin"}),
        (
            {"op": "add", "path": "/items/-", "value": {"pin": 1, "n": 2}},
            {"op": "add", "path": "/items/-", "value": {"pin": MASK, "n": 2}},
        ),
        ({"op": "add", "path": "/a~1b~0c/card", "value": 1}, {"op": "add", "path": "/a~1b~0c/card", "value": 1}),
    ],
)
def test_a_patch_says_what_changed_as_far_as_it_is_shown(operation: dict[str, Any], shown: dict[str, Any]) -> None:
    assert mask_patch([operation], REDACT) == (shown,)
    assert mask_patch([operation], ()) == (operation,)


# Texts ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [5000, 5000.0, -70.25, 10**400, "\ud800ab", 'a"\n\\é', "•••"])
def test_whatever_a_secret_is_its_spellings_are_masked(secret: Any) -> None:
    hush = Hush([{"items": [{"pin": {"deep": [secret]}}]}], ["items.pin"])
    told = {f"{secret}": [secret], "said": f"[{secret}] {secret!r} {json.dumps(secret)}", "other": [1, True, None]}
    shown = hush(told)
    assert str(secret) not in str(shown).replace(MASK, "")
    assert json.dumps(secret).strip('"') not in str(shown)
    assert shown["other"] == [1, True, None]


def test_what_is_no_secret_is_not_looked_for_in_texts() -> None:
    for word in (float("nan"), float("inf"), True, None, 12, "ab", ""):
        assert MASK not in Hush([{"card": word}], ["card"])("finance is True to None, 12 ab, of infinity")


def test_a_secret_that_holds_another_one_is_masked_whole() -> None:
    assert Hush([{"card": ["4111", "4111-2222"]}], ["card"])("4111-2222 and 4111") == f"{MASK} and {MASK}"

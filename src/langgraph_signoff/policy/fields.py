"""What may be written in one place of a policy: each kind of value with its limits, its words when it is refused, and its schema."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from langgraph_signoff.business import BusinessSpan
from langgraph_signoff.durations import Duration, format_duration, parse_duration
from langgraph_signoff.policy.panels import MOST_APPROVALS, BadPanel, read_panel
from langgraph_signoff.vocabulary import Fallback, Json

LONGEST_WINDOW = timedelta(days=366)
STAKES = ("low", "medium", "high", "unstated")
OUTCOMES = ("allow", "audit", "review", "deny")


def _at_most_a_year(span: timedelta) -> timedelta:
    if span > LONGEST_WINDOW:
        raise PydanticCustomError("too_long", "is longer than 366d; nobody waits that long")
    return span


def not_allow(given: object) -> object:
    """Refuses to allow what nobody has named."""
    if given == "allow":
        raise PydanticCustomError("refused", "an unlisted tool is never allowed; write review or deny")
    return given


def shorthand(given: object, wrap: Callable[[str], object]) -> object:
    """What a word such as `review` stands for."""
    return wrap(given) if isinstance(given, str) and given in OUTCOMES else given


def for_all_stakes(given: object) -> object:
    """One share for all stakes, or a share for each."""
    if isinstance(given, dict):
        return given
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 1:
        raise PydanticCustomError("share", "should be a number from 0 to 1, or one for each of low, medium and high")
    return dict.fromkeys(STAKES, given)


def flag_words(given: object) -> object:
    """What a flag sets off, from a word or a mapping."""
    if given in ("alert", "undo"):
        return {"undo": given == "undo"}
    if not isinstance(given, dict) or ("tool" in given) == (given.get("undo") is True):
        raise PydanticCustomError("refused", "should be alert, undo, or a mapping with a tool and its args")
    return given


CALL = {
    "type": "object",
    "properties": {"tool": {"type": "string"}, "args": {"type": "object"}},
    "required": ["tool"],
    "additionalProperties": False,
}
ON_FLAG = {"anyOf": [{"enum": ["alert", "undo"]}, CALL]}


def _approvals(given: object) -> object:
    if not isinstance(given, dict):
        if type(given) is not int or not 1 <= given <= MOST_APPROVALS:
            raise PydanticCustomError("count", "should be a number from 1 to 100, or say who must approve together")
        return given
    try:
        read_panel(given)
    except BadPanel as error:
        raise PydanticCustomError("panel", "{because}", {"because": str(error)}) from error
    return given


ELSEWHERE = "https://json-schema.org/approvals"  # pydantic follows every reference that is none of the net

Approvals = Annotated[int | dict[str, Json], BeforeValidator(_approvals), WithJsonSchema({"$ref": ELSEWHERE})]
Window = Annotated[Duration, AfterValidator(_at_most_a_year)]


def _window(given: object) -> timedelta | BusinessSpan:
    if isinstance(given, dict):
        if set(given) != {"business"}:
            raise PydanticCustomError("span", "should be a duration such as 4h, or a mapping with business, such as 1d")
        return BusinessSpan.parse(given["business"])
    return _at_most_a_year(parse_duration(given))


def _as_written(window: timedelta | BusinessSpan) -> Json:
    return {"business": str(window)} if isinstance(window, BusinessSpan) else format_duration(window)


_SPAN = {
    "type": "string",
    "pattern": "^([1-9][0-9]{0,3}[mhd]|end_of_day)$",
    "description": "Working time: 90m, 4h, 2d, or end_of_day.",
}
_WINDOW = {
    "anyOf": [
        {"type": "string", "pattern": "^[1-9][0-9]{0,8}[smhd]$", "examples": ["90s", "15m", "2h", "3d"]},
        {"type": "object", "properties": {"business": _SPAN}, "required": ["business"], "additionalProperties": False},
    ]
}
AnyWindow = Annotated[
    timedelta | BusinessSpan,
    PlainValidator(_window, json_schema_input_type=Any),
    PlainSerializer(_as_written),
    WithJsonSchema(_WINDOW),
]


def checked_by(read: Callable[[object], object]) -> BeforeValidator:
    """Refuses what cannot be read, in the words of the reader."""

    def check(given: object) -> object:
        try:
            read(given)
        except ValueError as error:
            raise PydanticCustomError("hours", "{because}", {"because": str(error)}) from error
        return given

    return BeforeValidator(check)


def _in_turn(given: list[float]) -> list[float]:
    if given != sorted(set(given)):
        raise PydanticCustomError("order", "should name each share once, the smallest first")
    return given


def _at_once(given: object) -> object:
    levels = given if isinstance(given, list) else [given]
    return [level if isinstance(level, dict) else {"at": level} for level in levels]


class Level(BaseModel):
    """From when on who else may decide."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: Annotated[float, Field(strict=True, gt=0, lt=1)]
    to: Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(min_length=1)] | None = None


def _level_after_level(given: list[Level]) -> list[Level]:
    _in_turn([level.at for level in given])
    return given


_SHARE = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
_LEVEL = {
    "type": "object",
    "properties": {"at": _SHARE, "to": {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}}},
    "required": ["at"],
    "additionalProperties": False,
}
Moments = Annotated[
    list[Annotated[float, Field(strict=True, gt=0, lt=1)]], Field(min_length=1, max_length=10), AfterValidator(_in_turn)
]
Escalations = Annotated[
    list[Level],
    Field(min_length=1, max_length=10),
    BeforeValidator(_at_once),
    AfterValidator(_level_after_level),
    WithJsonSchema({"anyOf": [_SHARE, _LEVEL, {"type": "array", "minItems": 1, "items": {"anyOf": [_SHARE, _LEVEL]}}]}),
]
Count = Annotated[int, Field(strict=True, ge=1, le=100)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Rounds = Annotated[int, Field(strict=True, ge=0, le=100)]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


def _silence(given: object) -> object:
    if given == "deny" or isinstance(given, dict):
        return given
    raise PydanticCustomError(
        "refused",
        "silence is no: on timeout an action is denied; write deny, or a mapping with a tool to call instead and its args",
    )


Silence = Annotated[
    Literal["deny"] | Fallback, BeforeValidator(_silence), WithJsonSchema({"anyOf": [{"const": "deny"}, CALL]})
]


Supervision = Literal["tactical", "strategic", "hybrid"]


def _one_key(name: str, says: str) -> dict[str, Any]:
    several = {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Slots"}, "description": says}
    return {"type": "object", "properties": {name: several}, "required": [name], "additionalProperties": False}


_MANY = {"type": "integer", "minimum": 1, "maximum": MOST_APPROVALS, "description": "How many people must approve (1)."}
_NAME = {"type": "string", "minLength": 1}
SLOTS = {
    "anyOf": [
        {
            "type": "object",
            "properties": {
                "group": {**_NAME, "description": "The group whose members fill this slot."},
                "people": {"type": "array", "minItems": 1, "items": _NAME, "description": "Who may fill this slot."},
                "approvals": _MANY,
            },
            "oneOf": [{"required": ["group"]}, {"required": ["people"]}],
            "additionalProperties": False,
        },
        _one_key("all", "Each of them must be filled."),
        _one_key("any", "One of them must be filled."),
    ],
}
APPROVALS = {"anyOf": [_MANY, {"$ref": "#/$defs/Slots"}, _one_key("then", "Levels, to be filled one after another.")]}

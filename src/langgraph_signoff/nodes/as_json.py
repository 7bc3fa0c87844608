"""Any value that a tool's schema makes, as JSON: the same value gives the same JSON in every process."""

from __future__ import annotations

import dataclasses
import json
from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any

from pydantic import AliasChoices, AliasPath, BaseModel, RootModel
from pydantic.v1 import BaseModel as BaseModelV1
from pydantic_core import PydanticSerializationError, PydanticUndefined, to_jsonable_python

from langgraph_signoff.vocabulary import Json

_JSON_TYPES = frozenset({str, int, float, bool, type(None)})

# What these make is the same each time, so there is nothing to freeze.
_SAME_EACH_TIME = frozenset({list, dict, set, frozenset, tuple, str, int, float, bool, bytes})


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """A field of a model or dataclass: its name, the keys under which it may be given (the usual one first), its default.

    `is_dynamic`: left out, it may get another value each time.
    """

    name: str
    keys: tuple[str, ...]
    is_dynamic: bool

    @property
    def key(self) -> str:
        """The key under which it is usually given."""
        return self.keys[0]

    def given_as(self, args: Mapping[str, Any]) -> str | None:
        """The key under which it was given, None if it was left out."""
        return next((key for key in self.keys if key in args), None)


@lru_cache(maxsize=1024)
def fields_of(kind: type) -> tuple[Field, ...]:
    """The fields of a pydantic model (v1 or v2) or a dataclass; none for any other type."""
    if issubclass(kind, BaseModel):
        config = kind.model_config
        by_name = config.get("populate_by_name") or config.get("validate_by_name")
        by_alias = config.get("validate_by_alias", True)
        return tuple(
            Field(name, _keys(name, info.validation_alias if by_alias else None, by_name), _is_dynamic(info))
            for name, info in kind.model_fields.items()
        )
    if issubclass(kind, BaseModelV1):
        by_name = kind.__config__.allow_population_by_field_name
        return tuple(
            Field(name, _keys(name, field.alias, by_name), _is_dynamic(field))
            for name, field in kind.__fields__.items()
        )
    if dataclasses.is_dataclass(kind):
        return tuple(Field(field.name, (field.name,), _is_dynamic(field)) for field in dataclasses.fields(kind))
    return ()


def as_json(value: Any) -> Json:
    """A value as JSON, field by field as it would be given. What JSON cannot say is named; a secret stays masked."""
    kind: type = type(value)
    if kind in _JSON_TYPES:
        return value
    if isinstance(value, Enum):
        return as_json(value.value)
    if isinstance(value, RootModel):
        return as_json(value.root)
    if fields := fields_of(kind):
        return {field.key: as_json(getattr(value, field.name, None)) for field in fields} | as_json(extras(value))
    if isinstance(value, Mapping):
        return {_as_key(key): as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, deque)):
        return [as_json(item) for item in value]
    if isinstance(value, (set, frozenset)):
        # The order of a set is another one in the process that resumes.
        return sorted(map(as_json, value), key=lambda item: json.dumps(item, sort_keys=True))
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "backslashreplace")
    try:
        return to_jsonable_python(value, inf_nan_mode="constants")
    except PydanticSerializationError:
        return _name_of(value)


def allows_extras(kind: type) -> bool:
    """Whether a model may be given something beside its fields."""
    if issubclass(kind, BaseModelV1):
        return kind.__config__.extra == "allow"
    return issubclass(kind, BaseModel) and kind.model_config.get("extra") == "allow"


def extras(value: Any) -> dict[str, Any]:
    """What a model that allows it was given beside its fields."""
    if isinstance(value, BaseModelV1):
        return {key: item for key, item in value.__dict__.items() if key not in value.__fields__}
    return getattr(value, "model_extra", None) or {}


def is_opaque(value: Any) -> bool:
    """Whether a value's JSON says too little to make the value again."""
    if hasattr(value, "get_secret_value"):
        return True
    try:
        to_jsonable_python(value, inf_nan_mode="constants", bytes_mode="base64")
    except PydanticSerializationError:
        return True
    return False


def _keys(name: str, alias: Any, by_name: Any) -> tuple[str, ...]:
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias] if alias else []
    single = [choice for choice in choices if isinstance(choice, str)]
    paths = [str(choice.path[0]) for choice in choices if isinstance(choice, AliasPath)]
    keys = [*single, *([name] if by_name or not choices else []), *paths]
    return tuple(dict.fromkeys(keys))


def _is_dynamic(info: Any) -> bool:
    factory = getattr(info, "default_factory", None)
    return factory not in (None, PydanticUndefined, dataclasses.MISSING) and factory not in _SAME_EACH_TIME


def _as_key(key: Any) -> str:
    return key if type(key) is str else str(as_json(key))


def _number(value: Decimal) -> Json:
    # A rule compares numbers; a text it could not compare. What a float cannot hold exactly stays a text.
    if value.is_nan():
        return float("nan")
    short = float(value)
    return short if Decimal(repr(short)) == value else str(value)


def _name_of(value: Any) -> str:
    # No addresses: they differ in the process that resumes.
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"<{named.__module__}.{named.__qualname__}>"

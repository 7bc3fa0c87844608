"""A tool's schema: parses proposed arguments once, so that what is ruled is what runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, get_args, get_type_hints

from langchain_core.tools import BaseTool
from pydantic import BaseModel, create_model
from pydantic.v1 import BaseModel as BaseModelV1
from pydantic.v1 import create_model as create_model_v1

from langgraph_signoff.canonical import digest
from langgraph_signoff.nodes.as_json import Field, allows_extras, as_json, extras, fields_of, is_opaque
from langgraph_signoff.nodes.internals import injected_args
from langgraph_signoff.nodes.question_tool import QuestionTool
from langgraph_signoff.vocabulary import Json, Kind

KIND = "signoff_kind"
"""The attribute of a tool of ours that says what a call of it is."""


class Refused(ValueError):
    """The arguments do not fit a tool that has a JSON Schema only."""


class ToolSchema:
    """Parses the arguments of one tool as the tool will; arguments that LangGraph injects are left out.

    `kind`: what a call of the tool is. `injected`: the names of those. `json_schema`: the JSON Schema of the others, as they
    have to be given. `is_dynamic`: whether a field that is left out may get another value each time. `form`: of a tool that
    asks a person, what fits as an answer. A tool without a pydantic schema gets its arguments as they are proposed, checked
    against its JSON Schema if it has one.
    """

    def __init__(self, tool: BaseTool) -> None:
        self.kind: Kind = getattr(tool, KIND, "tool")
        self.injected = injected_args(tool)
        schema = tool.args_schema
        self._checked_as_json = isinstance(schema, dict)
        self._model: Any = None if schema is None or isinstance(schema, dict) else _without(schema, self.injected)
        self._fields = tuple(_by_name(f) for f in _fields(self._model) if f.name not in self.injected)
        self.json_schema: dict[str, Json] = self._json_schema(tool)
        self._takes_more = self._model is not None and allows_extras(self._model)
        self.is_dynamic = self._model is not None and _is_dynamic(self._model, set())
        self.form = tool.form if isinstance(tool, QuestionTool) else None

    @property
    def always(self) -> frozenset[str]:
        """The names of the arguments that every parsed form holds."""
        if self._model is None:
            return frozenset(self.json_schema.get("required", ()))
        return frozenset(field.key for field in self._fields if not _stands_in(field, {}))

    @property
    def defaults(self) -> dict[str, Json]:
        """What the parsed form holds for arguments that are left out, where that is the same each time."""
        shown = self.json_schema.get("properties", {}) if self._model is not None else {}
        return {name: schema["default"] for name, schema in shown.items() if "default" in schema}

    def proposed(self, args: dict[str, Any]) -> dict[str, Json]:
        """The arguments that the model chose, as JSON: what it forged for injected ones is dropped, as ToolNode does."""
        return {key: as_json(value) for key, value in args.items() if key not in self.injected}

    def digest(self, tool: str, args: dict[str, Json]) -> str:
        """Names a call of the tool with these proposed arguments."""
        return self.form.digest(tool, args) if self.form else digest(tool, args)

    def parse(self, args: dict[str, Json]) -> dict[str, Json]:
        """What the tool would get, as JSON. Raises pydantic's ValidationError (of v1 or v2), or Refused."""
        if self._model is None:
            self._check(args)
            return args
        return self._shown(self._validate(args), args) if self._model_has_fields else {}

    def fit(self, args: dict[str, Json], parsed: dict[str, Json]) -> dict[str, Json] | None:
        """The arguments to run with: the proposed ones, and frozen values of what was left out.

        None if they no longer parse to `parsed`.
        """
        for attempt in self._attempts(args, parsed):
            with suppress(Exception):
                if self.same(self.parse(attempt), parsed):
                    return attempt
        return None

    def frozen(self, args: dict[str, Json], parsed: dict[str, Json]) -> dict[str, Json]:
        """The proposed arguments, and the frozen values of left out fields that would get another value each time."""
        return dict(_freeze(args, self._validate(args), parsed, self._fields)) if self.is_dynamic else args

    @staticmethod
    def same(one: dict[str, Json], other: dict[str, Json]) -> bool:
        """Whether two parsed forms are the same call: 5 and 5.0 are the same JSON number."""
        return digest("", one) == digest("", other)

    @property
    def _model_has_fields(self) -> bool:
        # A tool whose schema has no fields is called without arguments, whatever it was given.
        return bool(self._fields or self.injected)

    def _attempts(self, args: dict[str, Json], parsed: dict[str, Json]) -> Iterator[dict[str, Json]]:
        with suppress(Exception):
            yield self.frozen(args, parsed)
        # A default may be another one in the code of today.
        yield {**{f.key: parsed[f.key] for f in self._fields if not f.given_as(args) and f.key in parsed}, **args}

    def _validate(self, args: dict[str, Json]) -> Any:
        return self._model.model_validate(args) if issubclass(self._model, BaseModel) else self._model.parse_obj(args)

    def _shown(self, made: Any, args: dict[str, Json]) -> dict[str, Json]:
        shown = {f.keys[0]: as_json(getattr(made, f.name)) for f in self._fields if not _stands_in(f, args)}
        # A validator may give back another class than the one that was declared.
        more = extras(made) if self._takes_more or type(made) is not self._model else {}
        return {**shown, **{key: as_json(value) for key, value in more.items() if key not in self.injected}}

    def _check(self, args: dict[str, Json]) -> None:
        if not self._checked_as_json:
            return
        from jsonschema import ValidationError
        from jsonschema.validators import validator_for

        schema = self.json_schema
        try:
            if schema.get("type") == "object" or "properties" in schema:
                validator_for(schema)(schema).validate(args)
        except ValidationError as error:
            raise Refused(error.message) from error
        except Exception:
            return  # a schema that is itself wrong checks nothing; the tool gets what ToolNode would give it

    def _json_schema(self, tool: BaseTool) -> dict[str, Json]:
        if isinstance(tool.args_schema, dict):
            return tool.args_schema
        with suppress(Exception):  # an argument of a type that JSON Schema cannot describe
            model: Any = self._model or tool.tool_call_schema
            schema = model.model_json_schema() if hasattr(model, "model_json_schema") else model.schema()
            names = {f.key: _by_name(f).key for f in _fields(self._model)}
            shown = {names.get(k, k): v for k, v in schema.get("properties", {}).items() if k not in self.injected}
            required = [names.get(key, key) for key in schema.get("required", [])]
            return {**schema, "properties": shown, "required": [key for key in required if key in shown]}
        return {}


def _fields(model: type | None) -> tuple[Field, ...]:
    return fields_of(model) if model else ()


def _by_name(field: Field) -> Field:
    # Where a field may be given by name or by alias, LangChain shows models its name.
    if field.name not in field.keys:
        return field
    return dataclasses.replace(field, keys=tuple(dict.fromkeys((field.name, *field.keys))))


def _stands_in(field: Field, args: dict[str, Json]) -> bool:
    # LangChain's stand-ins for *args and **kwargs reach the function only if they were given.
    return field.name in ("args", "kwargs") and not field.given_as(args)


def _without(model: Any, injected: frozenset[str]) -> Any:
    """The model with its injected fields optional; a subclass, so that it keeps the author's validators."""
    fields: dict[str, Any] = {f.name: (Any, None) for f in fields_of(model) if f.name in injected}
    if not fields:
        return model
    create: Any = create_model_v1 if issubclass(model, BaseModelV1) else create_model
    return create(model.__name__, __base__=model, **fields)


def _freeze(given: Json, made: Any, frozen: Json, fields: tuple[Field, ...] | None = None) -> Json:
    if isinstance(given, list) and isinstance(made, (list, tuple)) and isinstance(frozen, list):
        same_length = len(given) == len(made) == len(frozen)
        return [_freeze(*each) for each in zip(given, made, frozen, strict=True)] if same_length else given
    if not (isinstance(given, dict) and isinstance(frozen, dict)):
        return given
    if isinstance(made, dict):
        return {key: _freeze(value, made.get(key), frozen.get(key)) for key, value in given.items()}
    result = dict(given)
    kind: type = type(made)
    for field in fields_of(kind) if fields is None else fields:
        value, key = getattr(made, field.name, None), field.given_as(given)
        if key is not None:
            result[key] = _freeze(given[key], value, frozen.get(field.key))
        elif field.is_dynamic and field.key in frozen and not is_opaque(value):
            result[field.key] = frozen[field.key]
    return result


def _is_dynamic(kind: type, seen: set[Any]) -> bool:
    if kind in seen:
        return False
    seen.add(kind)
    if any(field.is_dynamic for field in fields_of(kind)):
        return True
    return any(_is_dynamic(part, seen) for annotation in _annotations(kind) for part in _parts(annotation))


def _annotations(kind: Any) -> list[Any]:
    if issubclass(kind, BaseModel):
        return [info.annotation for info in kind.model_fields.values()]
    if issubclass(kind, BaseModelV1):
        return [field.outer_type_ for field in kind.__fields__.values()]
    return list(get_type_hints(kind).values()) if dataclasses.is_dataclass(kind) else []


def _parts(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type) and not get_args(annotation):
        yield annotation
    for part in get_args(annotation):
        yield from _parts(part)

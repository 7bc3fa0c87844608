"""A tool's schema: parses proposed arguments once, so that what is ruled is what runs."""

from __future__ import annotations

from typing import Any

from langchain_core.tools import BaseTool
from pydantic import BaseModel, create_model
from pydantic_core import to_jsonable_python

from langgraph_signoff.canonical import digest
from langgraph_signoff.vocabulary import Json


class ToolSchema:
    """Parses the arguments of one tool as the tool will; arguments that LangGraph injects are left out.

    `injected`: the names of those. `json_schema`: the JSON Schema of the others, as a model is shown it.
    """

    def __init__(self, tool: BaseTool) -> None:
        self.injected: frozenset[str] = frozenset()
        shown = tool.tool_call_schema
        if isinstance(tool.args_schema, dict):
            self.json_schema: dict[str, Json] = tool.args_schema
            self._model: Any = None
            return
        model: Any = tool.get_input_schema()
        self.injected = frozenset(_field_names(model)) - frozenset(_field_names(shown))
        self.json_schema = _json_schema(shown)
        self._model = _without_injected(model, self.injected)

    def proposed(self, args: dict[str, Json]) -> dict[str, Json]:
        """The arguments that the model chose: what it forged for injected ones is dropped, as ToolNode does."""
        return {key: value for key, value in args.items() if key not in self.injected} if self.injected else args

    def parse(self, args: dict[str, Json]) -> dict[str, Json]:
        """What the tool would get, as JSON. Raises pydantic's or jsonschema's ValidationError."""
        if self._model is None:
            self._check_json_schema(args)
            return args
        return self._dump(_validate(self._model, args))

    def complete(self, args: dict[str, Json], parsed: dict[str, Json]) -> dict[str, Json]:
        """The proposed arguments, with the frozen values of fields that were left out."""
        if self._model is None:
            return args
        return dict(_fill(args, parsed))

    @staticmethod
    def same(one: dict[str, Json], other: dict[str, Json]) -> bool:
        """Whether two parsed forms are the same call: 5 and 5.0 are the same JSON number."""
        return digest("", one) == digest("", other)

    def _dump(self, parsed: Any) -> dict[str, Json]:
        extra = getattr(parsed, "model_extra", None) or {}
        fields = _fields(self._model).items()
        values = {field.alias or name: getattr(parsed, name) for name, field in fields if name not in self.injected}
        dumped = to_jsonable_python({**values, **extra}, inf_nan_mode="constants", fallback=str, bytes_mode="base64")
        return dict(dumped)

    def _check_json_schema(self, args: dict[str, Json]) -> None:
        from jsonschema.validators import validator_for

        schema = self.json_schema
        if schema.get("type") == "object" or "properties" in schema:
            validator_for(schema)(schema).validate(args)


def _fill(given: Any, frozen: Any) -> Any:
    # A field that was left out inside a nested object is frozen too.
    if isinstance(given, dict) and isinstance(frozen, dict):
        return {
            **frozen,
            **{key: _fill(value, frozen[key]) if key in frozen else value for key, value in given.items()},
        }
    if isinstance(given, list) and isinstance(frozen, list) and len(given) == len(frozen):
        return [_fill(one, other) for one, other in zip(given, frozen, strict=True)]
    return given


def _fields(model: Any) -> dict[str, Any]:
    return model.model_fields if hasattr(model, "model_fields") else model.__fields__


def _field_names(model: Any) -> list[str]:
    if isinstance(model, dict):
        return list(model.get("properties", {}))
    return list(_fields(model))


def _json_schema(model: Any) -> dict[str, Json]:
    if isinstance(model, dict):
        return model
    return model.model_json_schema() if hasattr(model, "model_json_schema") else model.schema()


def _without_injected(model: Any, injected: frozenset[str]) -> Any:
    if not injected or not issubclass(model, BaseModel):
        return model
    # A subclass keeps the author's validators, which a rebuilt model would lose.
    fields: dict[str, Any] = dict.fromkeys(injected, (Any, None))
    return create_model(model.__name__, __base__=model, **fields)


def _validate(model: Any, args: dict[str, Json]) -> Any:
    return model.model_validate(args) if hasattr(model, "model_validate") else model.parse_obj(args)

"""The claim around the tool itself: inside every wrapper, retry and error handler that stands around a tool call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any, ClassVar, NamedTuple

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.config import get_config
from langgraph.prebuilt.tool_node import TOOL_INVOCATION_ERROR_TEMPLATE
from langgraph.types import Command
from pydantic import ConfigDict, ValidationError
from pydantic.v1 import ValidationError as ValidationErrorV1

from langgraph_signoff.errors import ActionRefused, SignoffError, UngatedCall
from langgraph_signoff.law import Case
from langgraph_signoff.nodes.apart import Apart
from langgraph_signoff.nodes.as_json import as_json
from langgraph_signoff.nodes.heart import CURRENT, Heart
from langgraph_signoff.nodes.internals import can_call_tasks, skip_call
from langgraph_signoff.nodes.messages import did_run, keep_result, with_note
from langgraph_signoff.nodes.question_tool import misfit
from langgraph_signoff.nodes.schema import Refused, ToolSchema
from langgraph_signoff.nodes.steps import Work, adrive, drive
from langgraph_signoff.nodes.stopped import Stopped
from langgraph_signoff.nodes.turn import Call, Scene
from langgraph_signoff.vocabulary import CurrentAction, Json


class Passage(NamedTuple):
    """What a gated tool finds when its node runs it: the calls of this turn, and how to name one that is not among them.

    `is_shared`: whether others stand around the tool who may ask something in the same task.
    """

    scene: Scene
    calls: tuple[Call, ...]
    place: Callable[[Any], int]
    is_shared: bool = False

    def admitted(self) -> Passage:
        """Itself, without calls that the tool's schema refuses and no ticket knows: the tool meets the refusal itself."""
        return self._replace(calls=tuple(call for call in self.calls if call.known or not call.is_refused))

    def find(self, proposed: dict[str, Any], tool: str, schema: ToolSchema) -> Call:
        """The admitted call with this id, tool and arguments; a new one, not yet ruled on, if a wrapper changed them."""
        if same := [call for call in self.calls if call.proposed.call_id == (proposed["id"] or "")]:
            hash_ = schema.digest(tool, schema.proposed(proposed["args"]))
            for call in same:
                if call.proposed.digest == hash_:
                    return call
        return self.scene.call(proposed, self.place(proposed), tool, schema)  # type: ignore[arg-type]  # a tool call dict


PASSAGE: ContextVar[Passage | None] = ContextVar("signoff_passage", default=None)


class _Guard(NamedTuple):
    """What a gated tool is made of."""

    tool: BaseTool
    heart: Heart
    schema: ToolSchema


class GatedTool(BaseTool):
    """A tool behind the gate. To models and to ToolNode it looks like the tool it guards."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    # Each instance has its own: ClassVar only keeps pydantic, which finds private attributes slowly, from making it one.
    _guard: ClassVar[_Guard]

    @classmethod
    def around(cls, inner: BaseTool, heart: Heart) -> GatedTool:
        """A gate around `inner`; one that is gated already stays as it is."""
        if isinstance(inner, GatedTool):
            return inner
        fields = {name: getattr(inner, name) for name in _SHOWN_FIELDS if hasattr(inner, name)}
        gated = cls(**fields)
        vars(gated)["_guard"] = _Guard(inner, heart, ToolSchema(inner))
        return gated

    def __eq__(self, other: object) -> bool:
        """Only itself: two gates around one tool may be of two hearts."""
        return self is other

    __hash__ = object.__hash__

    @property
    def schema_of_call(self) -> ToolSchema:
        """How the guarded tool parses its arguments."""
        return self._guard.schema

    @property
    def func(self) -> Callable[..., Any] | None:
        """The guarded tool's function, which ToolNode reads to learn what to inject."""
        return getattr(self._guard.tool, "func", None)

    @property
    def coroutine(self) -> Callable[..., Any] | None:
        """The guarded tool's coroutine function."""
        return getattr(self._guard.tool, "coroutine", None)

    def get_input_schema(self, config: RunnableConfig | None = None) -> Any:
        """The guarded tool's own."""
        return self._guard.tool.get_input_schema(config)

    @property
    def tool_call_schema(self) -> Any:
        """The guarded tool's own."""
        return self._guard.tool.tool_call_schema

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Runs the tool if the record permits it. Raises UngatedCall outside of a gated node."""
        try:
            guard = self._guard
            found = self._find(guard.schema, input)
            if isinstance(found, ToolMessage):
                return found
            return drive(guard.heart.perform(found, _ToolDoor(guard, found, input, config, kwargs)))
        except (ActionRefused, UngatedCall):
            raise
        except SignoffError as error:
            raise Stopped(error) from error

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """The same. A tool without an async form runs in a thread that records its outcome even if nobody waits for it."""
        if not _is_async(self._guard.tool):
            return await asyncio.to_thread(self.invoke, input, config, **kwargs)
        try:
            guard = self._guard
            found = self._find(guard.schema, input)
            if isinstance(found, ToolMessage):
                return found
            return await adrive(guard.heart.perform(found, _ToolDoor(guard, found, input, config, kwargs)))
        except (ActionRefused, UngatedCall):
            raise
        except SignoffError as error:
            raise Stopped(error) from error

    def _run(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002  # BaseTool's signature
        raise UngatedCall(_UNGATED.format(self.name))

    def _find(self, schema: ToolSchema, proposed: Any) -> Call | ToolMessage:
        passage = PASSAGE.get()
        if passage is None or not (isinstance(proposed, dict) and proposed.get("type") == "tool_call"):
            raise UngatedCall(_UNGATED.format(self.name))
        try:
            return passage.find(proposed, self.name, schema)
        except (ValidationError, ValidationErrorV1) as error:
            return self._refused_by_schema(error, proposed)
        except Refused as error:
            args = schema.proposed(proposed["args"])
            text = TOOL_INVOCATION_ERROR_TEMPLATE.format(tool_name=self.name, tool_kwargs=args, error=error)
            return _error_message(text, self.name, proposed["id"])

    def _refused_by_schema(self, error: ValidationError | ValidationErrorV1, proposed: dict[str, Any]) -> ToolMessage:
        handler = self._guard.tool.handle_validation_error
        if not handler:
            raise error
        if isinstance(handler, str):
            text: Any = handler
        else:
            text = "Tool input validation error" if handler is True else handler(error)
        return _error_message(text, self.name, proposed["id"])


def ungated(tool: BaseTool) -> BaseTool:
    """The tool behind a gate; a tool without one is itself."""
    return tool._guard.tool if isinstance(tool, GatedTool) else tool


class _ToolDoor:
    """What the heart needs to know of one tool call."""

    def __init__(
        self, guard: _Guard, call: Call, input: dict[str, Any], config: RunnableConfig | None, more: dict[str, Any]
    ) -> None:
        self._guard, self._call, self._input, self._config, self._more = guard, call, input, config, more
        self.name, self.call_id = call.proposed.tool, input["id"] or ""
        self.note: Mapping[str, str] = {}

    def parse(self, args: dict[str, Any]) -> dict[str, Any]:
        return self._guard.schema.parse(args)

    def fit(self, case: Case) -> dict[str, Any] | None:
        return self._guard.schema.fit(case.args, case.parsed)

    def work(self, args: dict[str, Any] | None, about: CurrentAction | None) -> Work:
        inner, config, more = self._guard.tool, self._config, self._more
        schema, proposed = self._guard.schema, self._call.proposed
        if args is None and schema.is_dynamic:
            args = schema.frozen(proposed.args, proposed.parsed)
        given = self._input if args is None else {**self._input, "args": self._as_given(args)}

        def do(config: Any = config) -> Any:
            return inner.invoke(given, config, **more)

        async def ado(config: Any = config) -> Any:
            return await inner.ainvoke(given, config, **more)

        if args is None or about is None or not self._is_shared():
            return Work(do, ado, CURRENT, about)
        here = partial(_of_this_task, config)
        return Apart(lambda: do(here()), lambda: ado(here()), CURRENT, about, keep=self._kept)

    def _is_shared(self) -> bool:
        passage = PASSAGE.get()
        return passage is not None and passage.is_shared and can_call_tasks(get_config())

    def recall(self) -> None:
        if self._is_shared():
            skip_call(get_config()["configurable"])

    def _kept(self, response: Any) -> Any:
        tell = partial(ToolMessage, name=self.name, tool_call_id=self.call_id)
        return keep_result(response, name=self.name, tell=tell)[1]

    def tell(self, case: Case, text: str) -> ToolMessage:
        is_told = did_run(case)
        if case.answer is not None and not case.erased:
            text, is_told = self._answer(case.answer.answer)
        status: Any = "success" if is_told else "error"
        return ToolMessage(text, name=self.name, tool_call_id=self.call_id, status=status)

    def _answer(self, answer: Json) -> tuple[str, bool]:
        form = self._guard.schema.form
        assert form is not None, "only the call of a question gets an answer"
        try:
            return form.text(answer), True
        except ValidationError as error:
            return f"{self.name} was answered, but not as it must be: {misfit(error)}. Ask again, and say so.", False

    def give(self, case: Case, kept: Any) -> Any:
        # A tool may return what ToolNode refuses; the thread must finish all the same.
        is_known = isinstance(kept, (ToolMessage, Command, list))
        told = kept if is_known else ToolMessage(str(kept), name=self.name, tool_call_id=self.call_id)
        return with_note(told, case, self.call_id)

    def _as_given(self, args: dict[str, Any]) -> dict[str, Any]:
        # Injected values come back, and so does what a wrapper gave in another form than JSON.
        schema, given = self._guard.schema, self._input["args"]
        kept = {key for key in args if key in given and schema.same({key: args[key]}, {key: as_json(given[key])})}
        return {**args, **{key: value for key, value in given.items() if key in kept | schema.injected}}


def _of_this_task(config: RunnableConfig | None) -> RunnableConfig:
    # What is said of the run stays; where its pauses are counted is the called task's.
    return {**(config or {}), "configurable": get_config()["configurable"]}


_SHOWN_FIELDS = ("name", "description", "args_schema", "return_direct", "response_format", "tags", "metadata", "extras")

_UNGATED = "{} is gated and runs only inside its gated node, as a call that a message of the thread proposes"


def _error_message(text: Any, name: str, call_id: str | None) -> ToolMessage:
    return ToolMessage(text, name=name, tool_call_id=call_id or "", status="error")


def _is_async(tool: BaseTool) -> bool:
    if hasattr(tool, "coroutine"):
        return tool.coroutine is not None
    return type(tool)._arun is not BaseTool._arun


class passing:  # used like a function
    """What a gated tool finds when it is run within."""

    __slots__ = ("_passage", "_token")

    def __init__(self, passage: Passage) -> None:
        self._passage = passage

    def __enter__(self) -> None:
        self._token = PASSAGE.set(self._passage)

    def __exit__(self, *error: object) -> None:
        PASSAGE.reset(self._token)

"""For tests, examples and notebooks: a chat model that says what a script tells it, without a key or a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolCall
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr

Line = AIMessage | str | Sequence[tuple[str, dict[str, Any]]]
"""One answer of the model: a message, a text, or tool calls as (name, arguments)."""


class ScriptedModel(BaseChatModel):
    """Answers by how far the conversation is: its n-th answer is the n-th line, whoever asks and in whichever process.

    `script`: the lines, or a function from the messages so far to the next line. Past the last line it says "Done.".
    """

    _script: Sequence[Line] | Callable[[list[BaseMessage]], Line] = PrivateAttr(default=())

    def __init__(self, script: Sequence[Line] | Callable[[list[BaseMessage]], Line], **fields: Any) -> None:
        super().__init__(**fields)
        self._script = script

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> ScriptedModel:  # noqa: ARG002  # the script knows its tools
        """Itself: a script needs no tool descriptions."""
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002  # BaseChatModel's signature
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002  # BaseChatModel's signature
        **kwargs: Any,  # noqa: ARG002  # BaseChatModel's signature
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next(messages))])

    def _next(self, messages: list[BaseMessage]) -> AIMessage:
        turn = sum(isinstance(message, AIMessage) for message in messages)
        if callable(self._script):
            return to_message(self._script(messages), turn)
        return to_message(self._script[turn] if turn < len(self._script) else "Done.", turn)


def to_message(line: Line, turn: int = 0) -> AIMessage:
    """A line as a message; its tool calls get ids that say the turn and the place."""
    if isinstance(line, AIMessage):
        return line
    if isinstance(line, str):
        return AIMessage(line)
    calls = [ToolCall(name=name, args=args, id=f"call-{turn}-{place}") for place, (name, args) in enumerate(line)]
    return AIMessage("", tool_calls=calls)

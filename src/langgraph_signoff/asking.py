"""The door for questions: what a `Signoff` gives an agent, a node or a tool to ask a person with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from langgraph_signoff.gates import Gates

if TYPE_CHECKING:
    from langgraph_signoff.nodes.inquiry import Inquiry
    from langgraph_signoff.nodes.question_tool import Form, QuestionTool

T = TypeVar("T")


class Asking(Gates):
    """Asks people."""

    def question(
        self, name: str, *, options: Sequence[str] | None = None, form: Any = None, description: str = ""
    ) -> QuestionTool:
        """A tool with which an agent asks a person: its result is the answer, a text or the JSON of the form.

        It stands in `tool_node`, or behind SignoffMiddleware, as other tools do, and is ruled under `questions: {name: ...}`;
        anywhere else it raises UngatedCall. `options`: the answers to choose from. `form`: the type of the answer, such as a
        pydantic model. Without either the person answers in their own words.
        """
        from langgraph_signoff.nodes.question_tool import QuestionTool

        return QuestionTool.of(name, _form(options, form), description)

    @overload
    def ask(
        self,
        question: str,
        *,
        name: str = ...,
        options: Sequence[str] | None = ...,
        context: Mapping[str, Any] | None = ...,
        key: object = ...,
    ) -> str: ...

    @overload
    def ask(
        self,
        question: str,
        *,
        name: str = ...,
        form: type[T],
        context: Mapping[str, Any] | None = ...,
        key: object = ...,
    ) -> T: ...

    def ask(
        self,
        question: str,
        *,
        name: str = "question",
        options: Sequence[str] | None = None,
        form: Any = None,
        context: Mapping[str, Any] | None = None,
        key: object = None,
    ) -> Any:
        """Asks a person inside a node, a tool or a task: the run pauses here, and goes on with the answer.

        The answer is one of the `options`, an instance of the `form`, or a text. It is ruled under `questions: {name: ...}`;
        `context` is shown with it. The node runs again from its top, as after any pause: what it asks must be the same then, or
        it is another question. `key` tells the same question asked twice in one visit of the node apart. Raises Unanswered when it was rejected, sent back, withdrawn,
        denied, or when nobody answered in its window; RepeatedKey; Unidentified outside of a run that can pause.
        """
        from langgraph_signoff.nodes.steps import drive

        return drive(self._inquiry(question, name, _form(options, form), context=context, key=key).steps())

    @overload
    async def aask(
        self,
        question: str,
        *,
        name: str = ...,
        options: Sequence[str] | None = ...,
        context: Mapping[str, Any] | None = ...,
        key: object = ...,
    ) -> str: ...

    @overload
    async def aask(
        self,
        question: str,
        *,
        name: str = ...,
        form: type[T],
        context: Mapping[str, Any] | None = ...,
        key: object = ...,
    ) -> T: ...

    async def aask(
        self,
        question: str,
        *,
        name: str = "question",
        options: Sequence[str] | None = None,
        form: Any = None,
        context: Mapping[str, Any] | None = None,
        key: object = None,
    ) -> Any:
        """`ask`, for async nodes, tools and tasks."""
        from langgraph_signoff.nodes.steps import adrive

        return await adrive(self._inquiry(question, name, _form(options, form), context=context, key=key).steps())

    def _inquiry(
        self, question: str, name: str, form: Form, *, context: Mapping[str, Any] | None, key: object
    ) -> Inquiry:
        from langgraph_signoff.nodes.inquiry import Inquiry

        heart, requester = self.heart(None, None), self.requester
        return Inquiry.of(heart, name, question, context or {}, form=form, key=key, requester=requester)


def _form(options: Sequence[str] | None, form: Any) -> Form:
    from langgraph_signoff.nodes.question_tool import Form

    return Form.of(options, form)

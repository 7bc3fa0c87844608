"""A tool with which an agent asks a person, and the form that its answer has to have."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from langchain_core.tools import BaseTool
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, TypeAdapter, ValidationError

from langgraph_signoff.canonical import digest
from langgraph_signoff.errors import UngatedCall
from langgraph_signoff.vocabulary import Json, Kind


@dataclass(frozen=True)
class Form:
    """What fits as an answer: a text, one of several options, or what a type says, such as a pydantic model.

    `schema` is its JSON Schema; what that cannot say, the type's own validators check where a run reads the answer.
    """

    schema: dict[str, Json]
    reads: TypeAdapter[Any] | None = None

    @classmethod
    def of(cls, options: Sequence[str] | None, form: Any) -> Form:
        """The form of a question. Raises ValueError for options that nobody could choose from, or beside a form."""
        if options is None:
            return cls({"type": "string", "minLength": 1}) if form is None else cls._typed(TypeAdapter(form))
        if form is not None:
            raise ValueError("a question has options or a form, not both")
        texts = [option for option in options if isinstance(option, str) and option]
        # The order of a set is another one in the process that resumes, and would make another question.
        if not isinstance(options, (list, tuple)) or not texts or len(set(texts)) < len(options):
            raise ValueError(f"options must be a list of different texts, not {options!r}")
        return cls({"type": "string", "enum": texts})

    @classmethod
    def _typed(cls, adapter: TypeAdapter[Any]) -> Form:
        return cls(adapter.json_schema(), adapter)

    def digest(self, name: str, args: dict[str, Json]) -> str:
        """Names a question as it is asked: who would answer another one, or in another form, is asked anew."""
        return digest(name, {"args": args, "answer_schema": self.schema})

    def read(self, answer: Json) -> Any:
        """The answer as the type makes it. Raises ValidationError if the type refuses what its JSON Schema lets through."""
        return self.reads.validate_json(json.dumps(answer)) if self.reads else answer

    def text(self, answer: Json) -> str:
        """The answer as a model is told it: a text as it is, else JSON in which secrets are hidden. Raises ValidationError."""
        if isinstance(answer, str) and not self.reads:
            return answer
        return self.reads.dump_json(self.read(answer)).decode() if self.reads else json.dumps(answer)


def misfit(error: ValidationError) -> str:
    """What a type does not take of an answer, field by field, without what was answered."""
    flaws = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, flaw['loc'])) or 'the answer'}: {flaw['msg']}" for flaw in flaws)


class Asked(BaseModel):
    """What a model says when it asks a person."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(
        min_length=1, description="The question, with all that the person needs to know to answer it."
    )


class QuestionTool(BaseTool):
    """A tool whose result is what a person answers. It gives none where no gate stands around it."""

    signoff_kind: ClassVar[Kind] = "question"

    _form: Form = PrivateAttr()

    @classmethod
    def of(cls, name: str, form: Form, description: str) -> QuestionTool:
        """The tool of this name; without a description it says what can be answered."""
        made = cls(name=name, description=description or _described(form), args_schema=Asked)
        made._form = form
        return made

    @property
    def form(self) -> Form:
        """What fits as an answer."""
        return self._form

    def _run(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002  # BaseTool's signature
        raise UngatedCall(
            f"{self.name} asks a person, and gives no answer of its own; put it into `signoff.tool_node`, or behind "
            "SignoffMiddleware"
        )


def _described(form: Form) -> str:
    if "enum" in form.schema:
        return f"Asks a person, who answers with one of: {', '.join(form.schema['enum'])}."
    if form.reads:
        return f"Asks a person, who answers with JSON of this schema: {json.dumps(form.schema)}"
    return "Asks a person, who answers in their own words."

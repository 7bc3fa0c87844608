"""A question that a node, a tool or a task asks a person while it runs: the run pauses, and goes on with the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config
from langgraph.runtime import get_runtime
from pydantic import ValidationError

from langgraph_signoff.errors import RepeatedKey, Unanswered, Unidentified
from langgraph_signoff.law import Case, is_secret
from langgraph_signoff.nodes import visits
from langgraph_signoff.nodes.as_json import as_json
from langgraph_signoff.nodes.heart import CURRENT, Heart
from langgraph_signoff.nodes.messages import end
from langgraph_signoff.nodes.question_tool import Form, misfit
from langgraph_signoff.nodes.steps import WORKPLACE, Io, Steps, workplace
from langgraph_signoff.nodes.turn import Call, Requester, agent_of, graph_of, requester_of, ticket_id, where_from
from langgraph_signoff.vocabulary import Action, CurrentAction, Json


@dataclass(frozen=True)
class Inquiry:
    """What is asked, and what the person is told with it. `key` tells it from the same question in the same visit."""

    heart: Heart
    name: str
    args: dict[str, Json]
    form: Form
    key: object = None
    requester: Requester | None = None

    @classmethod
    def of(cls, heart: Heart, name: str, question: str, context: Mapping[str, Any], **more: Any) -> Inquiry:
        """The question with its context. Raises ValueError where nothing is asked, or the context hides what is."""
        if not question.strip():
            raise ValueError("a question needs words")
        shown = as_json(dict(context))
        if "question" in shown:
            raise ValueError("`question` is the question itself: give what is in context= another name")
        return cls(heart, name, {"question": question, **shown}, **more)

    def steps(self) -> Steps[Any]:
        """The answer, as its form reads it; one that the form refuses is asked for again. Raises Unanswered."""
        notes: tuple[str, ...] = ()
        while True:
            case = yield from self._ask(notes)
            answer = case.answer
            if answer is None or case.erased:
                raise Unanswered(end(case, self.name), case.id, str(case.standing))
            try:
                return self.form.read(answer.answer)
            except ValidationError as error:
                notes += (f"{self.name}: {answer.by} was asked before; {self._flaws(error)}",)
            if len(notes) > case.requirements.max_revisions:
                raise Unanswered(
                    f"{self.name} got no answer that its form takes: {notes[-1]}", case.id, str(case.standing)
                )

    def _ask(self, notes: tuple[str, ...]) -> Steps[Case]:
        call = self._call(notes)
        if visits.times(call.id) > 1:
            raise RepeatedKey(
                f"{self.name!r} asks the same twice in one visit; give each a key= of its own, so that each gets its answer"
            )
        yield from self.heart.admit([call])
        case: Case = yield Io(partial(self.heart.desk.case, call.id))
        return case

    def _call(self, notes: tuple[str, ...]) -> Call:
        config, about = _config(self.name), CURRENT.get()
        claimed = about if about and WORKPLACE.get() == workplace() else None
        thread_id, trouble = where_from(config)
        # A claim outlives what LangGraph calls the place of its work.
        place = claimed.key if claimed else visits.place_of(config)
        key = json.dumps(["question", self.name, place, as_json(self.key), len(notes)], sort_keys=True)
        hash_ = self.form.digest(self.name, self.args)
        action = Action(
            thread_id=thread_id,
            kind="question",
            proposal=key,
            tool=self.name,
            args=self.args,
            parsed=self.args,
            digest=hash_,
            message_id=key,
            turn=key,
            graph=graph_of(config),
            agent=agent_of(config),
            requester=requester_of(config, get_runtime(), self.requester),
            trigger=_trigger(claimed),
            answer_schema=self.form.schema,
            editable=False,
        )
        return Call(action, ticket_id(thread_id, key, hash_), trouble=trouble, notes=notes)

    def _flaws(self, error: ValidationError) -> str:
        return "the form does not take the answer" if is_secret(self.form.schema) else misfit(error)


def _config(name: str) -> RunnableConfig:
    try:
        return get_config()
    except RuntimeError as error:
        raise Unidentified(
            f"{name!r} is asked outside of a run; ask it in a node, a tool or a task of a graph"
        ) from error


def _trigger(claimed: CurrentAction | None) -> str:
    return f"{claimed.tool} asks it while it runs (ticket {claimed.ticket_id[:12]})" if claimed else ""

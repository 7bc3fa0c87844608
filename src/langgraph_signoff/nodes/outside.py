"""The call of a tool that a flag, or silence, sets off outside of any run: what the heart needs to know of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from langchain_core.tools import BaseTool
from langgraph.errors import GraphBubbleUp

from langgraph_signoff.canonical import digest
from langgraph_signoff.errors import SignoffError
from langgraph_signoff.law import Case
from langgraph_signoff.nodes import messages
from langgraph_signoff.nodes.heart import CURRENT, Heart
from langgraph_signoff.nodes.schema import ToolSchema
from langgraph_signoff.nodes.steps import Io, Steps, Work
from langgraph_signoff.nodes.turn import Call, ticket_id
from langgraph_signoff.policy.quoting import quote
from langgraph_signoff.view import secrets_of, to_ticket
from langgraph_signoff.vocabulary import Action, CurrentAction, FollowUp, Json, OnFlag, Ruling, Standing, Verdict


class NotPossible(Exception):
    """What is asked for cannot be done without a person; the message says why."""


@dataclass(frozen=True, slots=True)
class Errand:
    """What a ticket asks for after its end: an undo, or the call of a tool; of `adjust` that has a say in the call's ruling."""

    because: str
    adjust: Callable[[Ruling], Ruling]
    undo: bool = False
    tool: str = ""
    args: Mapping[str, Json] = field(default_factory=dict)
    flag: Mapping[str, Json] = field(default_factory=dict)


def errand_of(asks: Case) -> Errand:
    """What a flagged audit asks for, or a ticket that nobody has decided in time."""
    if asks.fallback is not None and asks.standing is Standing.EXPIRED:
        because = f"nobody decided in time on {asks.opening['tool']}, ticket {asks.id[:12]}"
        return Errand(because, _allowed_or_nothing, tool=asks.fallback.tool, args=asks.fallback.args)
    on_flag = asks.ruling.audit.on_flag if asks.ruling.audit else OnFlag()
    flag = next(said for said in reversed(to_ticket(asks).decisions) if said.verdict is Verdict.FLAG)
    because = f"a flag on {asks.opening['tool']}, ticket {asks.about[:12]}"
    words = {"by": flag.by, "reason": flag.reason}
    return Errand(because, _outside, undo=on_flag.undo, tool=on_flag.tool, args=on_flag.args, flag=words)


class OutsideCall:
    """The call of a tool for a ticket that asks for it: what the heart needs to know of it. Raises NotPossible."""

    note: Mapping[str, str] = {}

    def __init__(self, heart: Heart, asks: Case, errand: Errand, tool: BaseTool) -> None:
        self.name, self._heart, self._tool = tool.name, heart, tool
        self._asks, self._errand = to_ticket(asks), errand
        self._hidden = secrets_of(asks)
        self._schema = ToolSchema(tool)
        if self._schema.injected:
            raise NotPossible(f"{tool.name} needs the state of a run, and there is none")
        args = self._schema.proposed(self._quoted())
        try:
            self._call = self._named(args, self._schema.parse(args))
        except Exception as error:
            raise NotPossible(f"{tool.name} does not take {sorted(args)} so: {_short(error)}") from error

    def steps(self) -> Steps[FollowUp]:
        """Calls it, asks, or finds it done."""
        yield from self._heart.rule([self._call])
        try:
            yield from self._heart.perform(self._call, self)
        except (GraphBubbleUp, SignoffError):
            raise
        except Exception as error:
            raise NotPossible(f"{self.name} failed: {_short(error)}") from error
        case: Case = yield Io(partial(self._heart.desk.case, self._call.id))
        if case.standing is not Standing.EXECUTED:
            raise NotPossible(messages.end(case, self.name))
        return FollowUp(about=self._asks.id, did="call", tickets=(case.id,))

    def _quoted(self) -> dict[str, Json]:
        known = {"args": self._asks.args, "tool": self._asks.tool, "flag": dict(self._errand.flag)}
        return dict(quote(dict(self._errand.args), known))

    def _named(self, args: dict[str, Json], parsed: dict[str, Json]) -> Call:
        asks, proposal = self._asks, json.dumps(["follow_up", self._asks.id])
        action = Action(
            thread_id=asks.thread_id,
            proposal=proposal,
            tool=self.name,
            args=args,
            parsed=parsed,
            digest=digest(self.name, args),
            message_id=proposal,
            turn=proposal,
            agent=asks.agent,
            requester=asks.requester,
            resource=asks.resource,
            trigger=self._errand.because,
            args_schema=self._schema.json_schema,
            hidden=self._hidden,
        )
        return Call(action, ticket_id(asks.thread_id, proposal, action.digest), adjust=self._errand.adjust)

    def parse(self, args: dict[str, Any]) -> dict[str, Any]:
        """What the tool would get from these arguments."""
        return self._schema.parse(args)

    def fit(self, case: Case) -> dict[str, Any] | None:
        """The arguments to run with, or None if they no longer parse to what the case shows."""
        return self._schema.fit(case.args, case.parsed)

    def work(self, args: dict[str, Any] | None, about: CurrentAction | None) -> Work:
        """The call, ready to be run."""
        given = {"name": self.name, "args": args, "id": self._call.id, "type": "tool_call"}
        return Work(partial(self._tool.invoke, given), partial(self._tool.ainvoke, given), CURRENT, about)

    def recall(self) -> None:
        """Nothing: it takes no place among the calls of a task."""

    def tell(self, case: Case, text: str) -> str:  # noqa: ARG002  # one shape for every door
        """What stands in for a result that the tool has not given."""
        return text

    def give(self, case: Case, kept: Any) -> Any:  # noqa: ARG002  # one shape for every door
        """What the tool gave."""
        return kept


def _outside(ruling: Ruling) -> Ruling:
    # No run whose end somebody reviews; and what a flag has set off runs once, whoever comes back to it.
    if ruling.at_the_end:
        return ruling.model_copy(update={"mode": "review", "once": False, "at_the_end": False})
    return ruling.model_copy(update={"once": True}) if ruling.mode == "allow" else ruling


def _allowed_or_nothing(ruling: Ruling) -> Ruling:
    # Nobody is asked a second time: what silence sets off must be harmless by itself.
    if ruling.mode == "allow" and not ruling.at_the_end:
        return ruling.model_copy(update={"once": True})
    told = f"silence may only set off what is allowed, and it is {ruling.mode} ({ruling.reason_code})"
    return ruling.model_copy(
        update={"mode": "deny", "reason_code": "not_allowed_on_timeout", "detail": told, "at_the_end": False}
    )


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {messages.spelled(error)}"[:500]

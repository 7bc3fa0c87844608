"""Undoing what a run has done: the newest first, each once, each on a ticket of its own, through the one heart."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from langgraph.errors import GraphBubbleUp

from langgraph_signoff.canonical import digest
from langgraph_signoff.errors import SignoffError
from langgraph_signoff.law import Case, permitted
from langgraph_signoff.nodes import messages
from langgraph_signoff.nodes.heart import CURRENT, Heart
from langgraph_signoff.nodes.schema import ToolSchema
from langgraph_signoff.nodes.steps import Io, Step, Steps, Work
from langgraph_signoff.nodes.turn import Call, ticket_id
from langgraph_signoff.vocabulary import Action, CurrentAction, Done, Json, Left, Rollback, Ruling, Standing, Undo

Admit = Callable[[Sequence[Call]], Steps[None]]
"""How a call comes before the gate: `Heart.admit` inside a graph, `Heart.rule` outside."""


def rollback(heart: Heart, cases: Sequence[Case], *, admit: Admit) -> Steps[Rollback]:
    """Undoes those of these cases that ran, the newest first. To be driven again after a pause or a crash: it goes on.

    An undo that fails is not tried again without a person, who approves another try or rejects it, and then the rest follows.
    When nobody says, or knows, what became of an undo, the rest is left as it is: what came earlier may be needed by it.
    """
    undone: list[str] = []
    left = [
        Left(ticket_id=case.id, tool=_tool(case), why=_WHY[case.standing]) for case in cases if case.standing in _WHY
    ]
    ran = yield Io(partial(_newest_first, heart, [case for case in cases if case.standing is Standing.EXECUTED]))
    for place, case in enumerate(ran):
        end = yield from _undo(heart, case, admit)
        if end is None:
            undone.append(case.id)
            continue
        left.append(Left(ticket_id=case.id, tool=_tool(case), why=end[1]))
        if end[0]:
            left += [Left(ticket_id=c.id, tool=_tool(c), why=f"not tried: {end[1]}") for c in ran[place + 1 :]]
            break
    return Rollback(undone=tuple(undone), left=tuple(left))


_WHY = {
    Standing.FAILED: "it failed, and nobody knows what it left behind",
    Standing.IN_DOUBT: "nobody knows whether it happened",
    Standing.RUNNING: "it is still running",
}

_GOES_ON = (Standing.REJECTED, Standing.RETURNED, Standing.DENIED)


def _tool(case: Case) -> str:
    return str(case.opening["tool"])


def _newest_first(heart: Heart, cases: Sequence[Case]) -> list[Case]:
    # By the order of the record: clocks jump.
    ran = {case.id: case for case in cases}
    return [ran[id_] for id_ in reversed(heart.desk.ledger.in_order(list(ran), "executed"))]


def _undo(heart: Heart, case: Case, admit: Admit) -> Generator[Step, Any, tuple[bool, str] | None]:
    """None if it is undone; else whether that stops the rollback, and why it is left."""
    undoing = heart.undoings.get(_tool(case))
    if undoing is None:
        return False, "no undo is declared for it"
    if case.erased:
        return False, "what it was about has been erased"
    attempt, failure = 0, ""
    while True:
        reversal = Reversal(heart, case, undoing, attempt, failure)
        ended = yield from reversal.steps(admit)
        if ended.standing is Standing.EXECUTED:
            return None
        if ended.standing is not Standing.FAILED:
            return ended.standing not in _GOES_ON, messages.end(ended, reversal.name)
        attempt, failure = attempt + 1, ended.outcome.error if ended.outcome else ""


class Reversal:
    """One try to undo a case: what the heart needs to know of it."""

    note: Mapping[str, str] = {}

    def __init__(self, heart: Heart, case: Case, undoing: Any, attempt: int, failure: str) -> None:
        self._heart, self._failure = heart, failure
        self._tool = undoing.tool if isinstance(undoing, Undo) else None
        self._schema = ToolSchema(self._tool) if self._tool else None
        self._run = undoing
        self.name = str(self._tool.name) if self._tool else f"undo_{_tool(case)}"
        self._done = Done(
            ticket_id=case.id,
            thread_id=case.opening["thread_id"],
            tool=_tool(case),
            args=case.parsed,
            result=_returned(case.outcome.result) if case.outcome else None,
        )
        self._call = self._named(case, attempt)

    def steps(self, admit: Admit) -> Steps[Case]:
        """Undoes, asks, or finds it done; the case of the undo as it then stands."""
        yield from admit([self._call])
        try:
            yield from self._heart.perform(self._call, self)
        except (GraphBubbleUp, SignoffError):
            raise
        except Exception:
            case: Case = yield Io(partial(self._heart.desk.case, self._call.id))
            if case.standing is not Standing.FAILED:
                raise
            return case
        return (yield Io(partial(self._heart.desk.case, self._call.id)))  # type: ignore[no-any-return]  # of Io

    def _named(self, case: Case, attempt: int) -> Call:
        thread_id, args = self._done.thread_id, self._arguments()
        proposal = json.dumps(["undo", case.id, attempt])
        action = Action(
            thread_id=thread_id,
            kind="undo",
            proposal=proposal,
            tool=self.name,
            args=args,
            parsed=self.parse(args),
            digest=digest(self.name, args),
            message_id=proposal,
            turn=proposal,
            agent=case.opening["agent"],
            requester=case.requester,
            resource=case.action.get("resource"),
            trigger=f"to undo {_tool(case)}, ticket {case.id[:12]}",
            args_schema=self._schema.json_schema if self._schema else {},
            editable=self._schema is not None,
        )
        notes = (f"The try before this one failed: {self._failure}",) if attempt else ()
        is_named = self._heart.policy.names(self.name, kind="tool")
        adjust = partial(permitted, self._permit(case, action, attempt), is_named=is_named)
        return Call(action, ticket_id(thread_id, proposal, action.digest), notes=notes, adjust=adjust)

    def _arguments(self) -> dict[str, Json]:
        return dict(self._run.args(self._done)) if isinstance(self._run, Undo) else self._done.args

    def _permit(self, case: Case, action: Action, attempt: int) -> Ruling:
        # Whoever orders a rollback has seen what would be undone; a second try nobody has ordered.
        mode: Literal["allow", "review"] = "review" if attempt else "allow"
        about = {
            "mode": mode,
            "reason_code": "undo_failed" if attempt else "rollback",
            "rule": "rollback",
            "detail": "",
            "once": mode == "allow",
            "record": False,
            "redact": case.ruling.redact,
        }
        return self._heart.policy.review(action).model_copy(update=about)

    def parse(self, args: dict[str, Any]) -> dict[str, Any]:
        """What the undoing would get from these arguments."""
        return self._schema.parse(args) if self._schema else args

    def fit(self, case: Case) -> dict[str, Any] | None:
        """The arguments to run with, or None if they no longer parse to what the case shows."""
        return self._schema.fit(case.args, case.parsed) if self._schema else case.args

    def work(self, args: dict[str, Any] | None, about: CurrentAction | None) -> Work:
        """The undoing, ready to be run."""
        if self._tool is None:
            run = partial(self._run, self._done)
            return Work(run, run if _is_async(self._run) else partial(_in_turn, run), CURRENT, about)
        given = {"name": self.name, "args": args, "id": self._call.id, "type": "tool_call"}
        return Work(partial(self._tool.invoke, given), partial(self._tool.ainvoke, given), CURRENT, about)

    def recall(self) -> None:
        """Nothing: it takes no place among the calls of a task."""

    def tell(self, case: Case, text: str) -> str:  # noqa: ARG002  # one shape for every door
        """What stands in for a result that the undoing has not given."""
        return text

    def give(self, case: Case, kept: Any) -> Any:  # noqa: ARG002  # one shape for every door
        """What the undoing gave."""
        return kept


def _returned(rendering: Json) -> Json:
    # LangChain tells a model of an object or a list as JSON text.
    if not isinstance(rendering, str) or rendering[:1] not in ("{", "["):
        return rendering
    try:
        return json.loads(rendering)
    except ValueError:
        return rendering


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


async def _in_turn(run: Callable[[], Any]) -> Any:
    return run()

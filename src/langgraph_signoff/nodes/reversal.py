"""One try to undo an action: a ticket of its own, and the work behind it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool
from langgraph.errors import GraphBubbleUp, ParentCommand

from langgraph_signoff.canonical import digest, plain_json
from langgraph_signoff.law import Case, permitted
from langgraph_signoff.nodes import messages
from langgraph_signoff.nodes.apart import Apart
from langgraph_signoff.nodes.gated_tool import GatedTool
from langgraph_signoff.nodes.heart import CURRENT, Heart
from langgraph_signoff.nodes.internals import can_call_tasks, skip_call
from langgraph_signoff.nodes.schema import ToolSchema
from langgraph_signoff.nodes.steps import Io, Steps, Work, at_once, in_time
from langgraph_signoff.nodes.turn import Call, ticket_id
from langgraph_signoff.view import hush_of, secrets_of
from langgraph_signoff.vocabulary import Action, CurrentAction, Done, Json, Ruling, Standing, Undo, Undoing

Admit = Callable[[Sequence[Call]], Steps[None]]
"""How a call comes before the gate: `Heart.admit` inside a graph, `Heart.rule` outside."""


def check_undoing(name: str, undoing: Any) -> None:
    """Raises TypeError for what could undo nothing: better where it is declared than when it is needed."""
    if not isinstance(undoing, Undo):
        if not callable(undoing):
            raise TypeError(f"the undo of {name!r} is no function of its Done and no Undo: {undoing!r}")
        return
    if not isinstance(undoing.tool, BaseTool) or isinstance(undoing.tool, GatedTool):
        raise TypeError(f"the undo of {name!r} needs a LangChain tool, as it is before any gate, not {undoing.tool!r}")
    if injected := sorted(ToolSchema(undoing.tool).injected):
        raise TypeError(
            f"the undo of {name!r} wants {', '.join(injected)} injected, and no graph state stands behind an undo; "
            "give it a tool that takes all it needs as arguments"
        )


def name_of(undoing: Undoing, tool: str) -> str:
    """Under which name the undoing of a tool is ruled and recorded."""
    return str(undoing.tool.name) if isinstance(undoing, Undo) else f"undo_{tool}"


def undo_id(case: Case, attempt: int) -> str:
    """The ticket of a try to undo a case. Its arguments are no part of the name: whatever they are made of, it is undone once."""
    return ticket_id(case.opening["thread_id"], _proposal(case, attempt), "")


def _proposal(case: Case, attempt: int) -> str:
    return json.dumps(["undo", case.id, attempt])


def recall(end: Case) -> None:
    """Told that a try which was begun in an earlier pass has ended, and is not looked at again."""
    if end.attempts:
        _leave_out()


def _leave_out() -> None:
    config = ensure_config()
    if can_call_tasks(config):
        skip_call(config["configurable"])


class Reversal:
    """What the heart needs to know of one try to undo a case. `failure`: why the try before this one failed."""

    note: Mapping[str, str] = {}

    def __init__(self, heart: Heart, case: Case, *, attempt: int, failure: str) -> None:
        self._heart, self._case = heart, case
        tool = str(case.opening["tool"])
        undoing = heart.undoings[tool]
        self._undo = undoing if isinstance(undoing, Undo) else None
        self._function: Callable[[Done], Any] = undoing.args if isinstance(undoing, Undo) else undoing
        self._schema = ToolSchema(self._undo.tool) if self._undo else None
        self.name = name_of(undoing, tool)
        self._done = Done(
            ticket_id=case.id,
            thread_id=case.opening["thread_id"],
            tool=tool,
            args=case.parsed,
            result=_returned(case.outcome.result) if case.outcome else None,
        )
        known = undo_id(case, attempt) in heart.desk.ledger.rows([undo_id(case, attempt)])
        self._call = self._on_record(attempt) if known else self._new(attempt, failure)

    def steps(self, admit: Admit) -> Steps[Case]:
        """Undoes, asks, or finds it done; the case of the undo as it then stands."""
        yield from admit([self._call])
        failed: Exception | None = None
        try:
            yield from self._heart.perform(self._call, self)
        except ParentCommand:
            pass  # where an undo wants the graph to go is no part of undoing
        except GraphBubbleUp:
            raise
        except Exception as error:
            failed = error
        case: Case = yield Io(partial(self._heart.desk.case, self._call.id))
        if failed and case.standing is not Standing.FAILED:
            raise failed
        return case

    # Its ticket -------------------------------------------------------------------------------------------------------

    def _on_record(self, attempt: int) -> Call:
        # What it was to be called with is on record: it is not made again, and may come out otherwise by now.
        id_ = undo_id(self._case, attempt)
        return Call(self._heart.desk.case(id_).to_action(), id_)

    def _new(self, attempt: int, failure: str) -> Call:
        args, parsed, trouble = self._arguments()
        case, proposal = self._case, _proposal(self._case, attempt)
        action = Action(
            thread_id=self._done.thread_id,
            kind="undo",
            proposal=proposal,
            tool=self.name,
            args=args,
            parsed=parsed,
            digest=digest(self.name, args),
            message_id=proposal,
            turn=proposal,
            agent=case.opening["agent"],
            requester=case.requester,
            resource=case.action.get("resource"),
            trigger=f"to undo {self._done.tool}, ticket {case.id[:12]}",
            args_schema=self._schema.json_schema if self._schema else {},
            editable=self._schema is not None,
            hidden=secrets_of(case),
        )
        notes = [f"The try before this one failed: {failure}"] if attempt else []
        notes += [f"Its arguments could not be made: {trouble}"] if trouble else []
        adjust = partial(
            permitted,
            self._permit(action, is_ordered=not notes),
            is_named=self._heart.policy.names(self.name, kind="tool"),
        )
        return Call(action, undo_id(case, attempt), notes=tuple(notes), adjust=adjust)

    def _arguments(self) -> tuple[dict[str, Json], dict[str, Json], str]:
        """As they are given and as its tool takes them; and what is wrong with them, for a person to put right."""
        if self._schema is None:
            return self._done.args, self._done.args, ""
        args: dict[str, Json] = {}
        try:
            args = json.loads(plain_json(dict(self._function(self._done))))
            return args, self._schema.parse(args), ""
        except Exception as error:
            return args, args, messages.spelled(error) or type(error).__name__

    def _permit(self, action: Action, *, is_ordered: bool) -> Ruling:
        # Whoever orders a rollback has seen what would be undone; a second try, or other arguments, nobody has ordered.
        mode: Literal["allow", "review"] = "allow" if is_ordered else "review"
        ruling = self._heart.policy.review(action, now=self._heart.desk.clock())
        about = {
            "mode": mode,
            "reason_code": "rollback" if is_ordered else "undo_failed",
            "rule": "rollback",
            "detail": "",
            "once": is_ordered,
            "record": False,
            "redact": tuple(dict.fromkeys((*ruling.redact, *self._secrets(action.args)))),
        }
        return ruling.model_copy(update=about)

    def _secrets(self, args: Mapping[str, Json]) -> tuple[str, ...]:
        # What is secret of the action is secret here too, under whatever name it comes.
        hush = hush_of(self._case)
        return (
            *self._case.ruling.redact,
            *("*" if "." in key else key for key in args if hush(args[key]) != args[key]),
        )

    # Its work ---------------------------------------------------------------------------------------------------------

    def parse(self, args: dict[str, Any]) -> dict[str, Any]:
        """What the undoing would get from these arguments."""
        return self._schema.parse(args) if self._schema else args

    def fit(self, case: Case) -> dict[str, Any] | None:
        """The arguments to run with, or None if they no longer parse to what the case shows."""
        return self._schema.fit(case.args, case.parsed) if self._schema else case.args

    def work(self, args: dict[str, Any] | None, about: CurrentAction | None) -> Work:
        """The undoing, ready to be run."""
        run, arun = self._both_ways({"name": self.name, "args": args, "id": self._call.id, "type": "tool_call"})
        if about and can_call_tasks(ensure_config()):
            # One that asks something itself must not get the answer that another one has got.
            return Apart(run, arun, CURRENT, about, keep=self._kept)
        return Work(run, arun, CURRENT, about)

    def _both_ways(self, given: dict[str, Any]) -> tuple[Callable[[], Any], Callable[[], Awaitable[Any]]]:
        if self._undo:
            return partial(self._undo.tool.invoke, given), partial(self._undo.tool.ainvoke, given)
        undo = partial(self._function, self._done)
        return partial(at_once, undo), partial(in_time, undo)

    def _kept(self, response: Any) -> Any:
        return messages.keep_result(response, name=self.name, tell=str)[1]

    def recall(self) -> None:
        """Leaves its number out."""
        _leave_out()

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

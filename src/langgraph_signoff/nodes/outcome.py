"""The gate after the work: what a run has done is reported, and approved, sent back or rolled back as a whole."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langgraph.config import get_config
from langgraph.graph import END
from langgraph.types import Command

from langgraph_signoff import law
from langgraph_signoff.errors import TicketClosed
from langgraph_signoff.justification import Undoings, justification
from langgraph_signoff.law import Case
from langgraph_signoff.ledger import Query, Row
from langgraph_signoff.masking import Hush
from langgraph_signoff.nodes import visits
from langgraph_signoff.nodes.as_json import as_json
from langgraph_signoff.nodes.checks import undoings_around
from langgraph_signoff.nodes.gate import Gate, NodeDoor, messages_in
from langgraph_signoff.nodes.marks import MARK
from langgraph_signoff.nodes.messages import RecordedFailure
from langgraph_signoff.nodes.rollback import rollback, undone
from langgraph_signoff.nodes.steps import Io, Steps, adrive, at_once, drive, in_time
from langgraph_signoff.nodes.stopped import unhandled
from langgraph_signoff.nodes.turn import Call, graph_of, last_human, where_from
from langgraph_signoff.view import secrets_of, to_ticket
from langgraph_signoff.vocabulary import Action, Json, Kind, Left, Rollback, Ruling, Standing

Update = Any
"""What a node gives LangGraph to update the state with; None for nothing."""

_NOT_WORK: tuple[Kind, ...] = ("undo", "outcome", "audit", "plan")
_ASKED = (Standing.PENDING, Standing.APPROVED)
_SUPERSEDED = "there is something else to report: it is asked anew"


@dataclass(frozen=True)
class Endings:
    """Where the graph goes from a review, and with which update of its state.

    `then`: the node after an approval. `back_to`: the node that goes on with a reviewer's feedback. What is not approved ends.
    """

    back_to: str
    then: str = END
    approved: Callable[[Any], Update] | None = None
    sent_back: Callable[[Any, str], Update] | None = None
    rejected: Callable[[Any, Rollback], Update] | None = None


class OutcomeReview:
    """Reviews what a thread has done since its last review that was approved or rolled back.

    `goal` and `result` tell a reviewer what the run was for and what it gave.
    """

    def __init__(
        self,
        gate: Gate,
        endings: Endings,
        *,
        goal: Callable[[Any], str] | None = None,
        result: Callable[[Any], Json] | None = None,
    ) -> None:
        self._gate = replace(gate, kind="outcome", refused=_nothing)
        self._endings, self._goal, self._result = endings, goal or _first_words, result or _last_words
        self._heart = gate.heart
        for function in (goal, result, endings.sent_back, endings.rejected):
            if inspect.iscoroutinefunction(function):
                raise TypeError(
                    f"{function.__name__} of {gate.name!r} is async; only approved= may be: it alone does something"
                )

    @property
    def node(self) -> Any:
        """The node, for `add_node`."""
        approved = self._endings.approved or _nothing

        def review(state: Any) -> Any:
            with unhandled():
                return drive(self._steps(state, lambda given: at_once(partial(approved, given))))

        async def areview(state: Any) -> Any:
            with unhandled():
                return await adrive(self._steps(state, lambda given: in_time(partial(approved, given))))

        setattr(review, MARK, self._gate)
        return RunnableLambda(review, areview, name=self._gate.name)

    def _steps(self, state: Any, approved: Callable[[Any], Any]) -> Steps[Any]:
        for case in (yield Io(self._to_roll_back)):
            yield from self._rolled_back(case)
        call = yield from self._call(state)
        update = yield from self._decided(call, state, approved)
        if call.is_free:
            return Command(goto=self._endings.then, update=update)
        case = yield Io(partial(self._heart.desk.case, call.id))
        match case.standing:
            case Standing.EXECUTED:
                return Command(goto=self._endings.then, update=update)
            case Standing.RETURNED:
                return Command(goto=self._endings.back_to, update=self._sent_back(state, case))
            case Standing.REJECTED:
                done = yield from self._rolled_back(case)
            case _:
                done = yield Io(partial(self._left_as_it_is, case))
        rejected = self._endings.rejected
        return Command(goto=END, update=rejected(state, done) if rejected else None)

    def _decided(self, call: Call, state: Any, approved: Callable[[Any], Any]) -> Steps[Update]:
        door = NodeDoor(self._gate, call, state, approved)
        try:
            yield from self._heart.admit([call])
            return (yield from self._heart.perform(call, door))
        except RecordedFailure:
            return None

    # What is reviewed -------------------------------------------------------------------------------------------------

    def _call(self, state: Any) -> Steps[Call]:
        """This review: the one on record if a run comes to it again, a new one if there is anything else to report."""
        cases = yield Io(self._cases)
        reviews = [case for case in cases if case.kind == "outcome"]
        call: Call = yield Io(partial(self._new_call, state, cases))
        mine = [case for case in reviews if self._is_here(case, call)]
        for case in reversed(mine):
            others = [review for review in reviews if review is not case]
            is_answer = _is_answer(case, call.action, _unreviewed(cases, others))
            if is_answer and not (yield from self._is_over(case, call)):
                call = Call(case.to_action(), case.id, trouble=call.trouble)
                break
        yield Io(partial(self._supersede, [case for case in mine if case.id != call.id]))
        return call

    def _new_call(self, state: Any, cases: Sequence[Case]) -> Call:
        work = _unreviewed(cases, [case for case in cases if case.kind == "outcome"])
        report = self._report(state, work, cases)
        trigger = _hushed(cases, _first_words(state))
        # How many came before it: what was superseded and comes back is asked anew.
        number = sum(case.kind == "outcome" for case in cases)
        gate = replace(self._gate, action=lambda _: report, key=lambda _: number, trigger=lambda _: trigger)
        call = gate.call(state)
        call.proposed = call.action.model_copy(update={"reports": tuple(case.id for case in work)})
        call.adjust = partial(self._adjust, work)
        return call

    def _is_over(self, case: Case, call: Call) -> Steps[bool]:
        return not visits.is_same(case.visit, call.action.visit) and (yield from visits.is_over(case.visit))

    def _is_here(self, case: Case, call: Call) -> bool:
        return case.opening["tool"] == self._gate.name and visits.is_at(case.visit, call.action.visit)

    def _cases(self) -> list[Case]:
        desk, (thread_id, _) = self._heart.desk, where_from(get_config())
        query, found = Query(thread_id=thread_id, limit=500), list[Row]()
        while page := desk.ledger.find(query):
            found += page
            query = replace(query, after=page[-1])
        return [desk.case(id_) for id_ in desk.ledger.in_order([row.id for row in found], "opened")]

    def _report(self, state: Any, work: Sequence[Case], cases: Sequence[Case]) -> dict[str, Json]:
        # The words of a conversation quote what the policy hides of its actions.
        goal, result = _hushed(cases, [as_json(self._goal(state)), as_json(self._result(state))])
        harmless = {case.id for case in work if case.ruling.for_report}
        undoings = Undoings(undoings_around(self._heart), undone(self._heart, work), harmless)
        return justification(goal, [to_ticket(case) for case in work], result=result, undoings=undoings)

    def _adjust(self, work: Sequence[Case], ruling: Ruling) -> Ruling:
        # Without `approved` nothing is done: a process that died over it leaves no doubt.
        ruling = ruling.model_copy(update={"idempotent": self._endings.approved is None})
        put_off = [case.ruling for case in work if case.ruling.at_the_end and case.ruling.mode == "allow"]
        on_timeout = ruling.requirements.on_timeout
        for old in put_off:
            # It needs what would have been needed before. Where it was secret is another place here.
            code = "put_off" if ruling.mode == "allow" else ruling.reason_code
            ruling = law.ruled_again(old.model_copy(update={"redact": ()}), ruling)
            # What the rule of a call has called in time quotes the arguments of that call.
            needs = ruling.requirements.model_copy(update={"on_timeout": on_timeout})
            ruling = ruling.model_copy(update={"reason_code": code, "requirements": needs})
        return ruling

    def _supersede(self, cases: Sequence[Case]) -> None:
        for case in cases:
            if case.standing in _ASKED:
                with suppress(TicketClosed):  # decided meanwhile
                    step = partial(law.withdraw, by=self._gate.name, reason=_SUPERSEDED)
                    self._heart.desk.write(case.id, step)

    # What comes of it -------------------------------------------------------------------------------------------------

    def _sent_back(self, state: Any, case: Case) -> Update:
        words = f"{case.last_by} has looked at what was done and sends it back: {case.why}"
        if self._endings.sent_back:
            return self._endings.sent_back(state, words)
        return {"messages": [HumanMessage(words, additional_kwargs={_OURS: True})]} if messages_in(state) else None

    def _to_roll_back(self) -> list[Case]:
        """Rejected reviews whose rollback is not finished, the newest first: the thread may have gone on meanwhile."""
        config, desk = get_config(), self._heart.desk
        thread_id, _ = where_from(config)
        query = Query(thread_id=thread_id, tool=self._gate.name, standings=(Standing.REJECTED,), limit=1000)
        # Another graph knows how to undo its own.
        rows = [row for row in desk.ledger.find(query) if len({row.graph, graph_of(config)} - {""}) < 2]
        cases = [desk.case(id_) for id_ in reversed(desk.ledger.in_order([row.id for row in rows], "opened"))]
        return [case for case in cases if case.kind == "outcome" and case.rollback is None]

    def _rolled_back(self, case: Case) -> Steps[Rollback]:
        if case.rollback is not None:
            return case.rollback
        cases = yield Io(lambda: [self._heart.desk.case(id_) for id_ in case.reports])
        heart = replace(self._heart, undoings=undoings_around(self._heart))
        done: Rollback = yield from rollback(heart, cases, admit=heart.admit)
        yield Io(partial(self._heart.desk.write, case.id, partial(law.roll_back, done=done)))
        return done

    def _left_as_it_is(self, case: Case) -> Rollback:
        cases = [self._heart.desk.case(id_) for id_ in case.reports]
        why = _LEFT.get(case.standing, f"the outcome was not approved: {case.standing}")
        cases = [c for c in cases if not c.ruling.for_report]
        ran = [c for c in cases if c.outcome or c.standing in (Standing.IN_DOUBT, Standing.RUNNING)]
        return Rollback(left=tuple(Left(ticket_id=c.id, tool=c.opening["tool"], why=why) for c in ran))


_LEFT = {
    Standing.FAILED: "the outcome was approved, and what was to follow it failed",
    Standing.IN_DOUBT: "the outcome was approved, and nobody knows whether what was to follow it happened",
}


def _unreviewed(cases: Sequence[Case], reviews: Sequence[Case]) -> list[Case]:
    """What was done, and none of these reviews has concluded on."""
    concluded = [review for review in reviews if review.standing in (Standing.EXECUTED, Standing.REJECTED)]
    reported = set[str]().union(*(review.reports for review in concluded))
    return [case for case in cases if case.kind not in _NOT_WORK and case.id not in reported]


def _is_answer(review: Case, asked: Action, open_to_it: Sequence[Case]) -> bool:
    """Whether a review is the one that is asked for, or has answered it, given what it could have reported."""
    if review.standing in _ASKED:
        return review.digest == asked.digest
    if review.standing is Standing.WITHDRAWN and review.why == _SUPERSEDED:
        return False
    has_same_words = review.erased or all(review.args[key] == asked.args[key] for key in ("goal", "result"))
    reported, ids = set(review.reports), {case.id for case in open_to_it}
    # Nothing but what was reported is approved; any other end holds though more has been done meanwhile.
    return has_same_words and (reported == ids if review.standing is Standing.EXECUTED else reported <= ids)


def _hushed(cases: Sequence[Case], value: Json) -> Json:
    work = (case for case in cases if case.ruling.redact and case.kind not in _NOT_WORK)
    return Hush([{"all": [secret for case in work for secret in secrets_of(case)]}], ["all"])(value)


def _nothing(*_: Any) -> None:
    return None


_OURS = "signoff_sent_back"


def _first_words(state: Any) -> str:
    # What a reviewer has sent back says nothing of what the run is for.
    return last_human([said for said in messages_in(state) if not said.additional_kwargs.get(_OURS)])[1]


def _last_words(state: Any) -> Json:
    said = [message for message in messages_in(state) if isinstance(message, AIMessage)]
    return said[-1].text if said else None

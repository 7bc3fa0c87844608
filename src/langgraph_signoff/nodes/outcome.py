"""The gate after the work: what a run has done is reported, and approved, sent back or rolled back as a whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
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
from langgraph_signoff.justification import justification
from langgraph_signoff.law import Case
from langgraph_signoff.ledger import Query, Row
from langgraph_signoff.nodes import visits
from langgraph_signoff.nodes.gate import Gate, messages_in
from langgraph_signoff.nodes.marks import MARK
from langgraph_signoff.nodes.rollback import rollback
from langgraph_signoff.nodes.steps import Io, Steps, adrive, drive
from langgraph_signoff.nodes.turn import Call, last_human, where_from
from langgraph_signoff.view import to_ticket
from langgraph_signoff.vocabulary import Json, Kind, Left, Rollback, Ruling, Standing

Update = Any
"""What a node gives LangGraph to update the state with; None for nothing."""

_NOT_WORK: tuple[Kind, ...] = ("undo", "outcome", "audit", "plan")
_ASKED = (Standing.PENDING, Standing.APPROVED)


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

    @property
    def node(self) -> Any:
        """The node, for `add_node`."""

        def review(state: Any) -> Any:
            return drive(self._steps(state))

        async def areview(state: Any) -> Any:
            return await adrive(self._steps(state))

        setattr(review, MARK, self._gate)
        return RunnableLambda(review, areview, name=self._gate.name)

    def _steps(self, state: Any) -> Steps[Any]:
        call = yield Io(partial(self._call, state))
        update = yield from self._gate.steps_of(call, state, self._endings.approved or _nothing)
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

    # What is reviewed -------------------------------------------------------------------------------------------------

    def _call(self, state: Any) -> Call:
        """This review: the one on record if a run comes to it again, a new one if there is more to report."""
        cases, place = self._cases(), visits.place_of(get_config())
        work = _unreviewed(cases, place)
        ids = sorted(case.id for case in work)
        report = justification(
            self._goal(state), [to_ticket(c) for c in work], result=self._result(state), undoable=self._heart.undoings
        )
        call = replace(self._gate, action=lambda _: report, key=lambda _: [place, ids]).call(state)
        call.adjust = partial(_no_easier, work)
        for case in cases:
            if case.kind != "outcome" or case.id == call.id or _place(case) != place:
                continue
            if case.standing in _ASKED:
                self._withdraw(case)
            elif case.standing is not Standing.WITHDRAWN and _key(case) == [place, ids]:
                return Call(case.to_action(), case.id, trouble=call.trouble)
        return call

    def _cases(self) -> list[Case]:
        desk, (thread_id, _) = self._heart.desk, where_from(get_config())
        query, found = Query(thread_id=thread_id, limit=500), list[Row]()
        while page := desk.ledger.find(query):
            found += page
            query = replace(query, after=page[-1])
        return [desk.case(id_) for id_ in desk.ledger.in_order([row.id for row in found], "opened")]

    def _withdraw(self, case: Case) -> None:
        reason = "there is more to report: it is asked anew"
        try:
            self._heart.desk.write(case.id, lambda case: law.withdraw(case, by=self._gate.name, reason=reason))
        except TicketClosed:
            return  # decided meanwhile

    def _sent_back(self, state: Any, case: Case) -> Update:
        by = case.decisions[-1].by
        words = f"{by} has looked at what was done and sends it back: {case.why}"
        if self._endings.sent_back:
            return self._endings.sent_back(state, words)
        return {"messages": [HumanMessage(words)]} if messages_in(state) else None

    def _rolled_back(self, case: Case) -> Steps[Rollback]:
        if case.rollback is not None:
            return case.rollback
        cases = yield Io(lambda: [self._heart.desk.case(id_) for id_ in sorted(_reported(case))])
        done: Rollback = yield from rollback(self._heart, cases, admit=self._heart.admit)
        yield Io(partial(self._heart.desk.write, case.id, partial(law.roll_back, done=done)))
        return done

    def _left_as_it_is(self, case: Case) -> Rollback:
        cases = [self._heart.desk.case(id_) for id_ in sorted(_reported(case))]
        why = f"the outcome was not approved: {case.standing}"
        ran = [c for c in cases if c.outcome or c.standing in (Standing.IN_DOUBT, Standing.RUNNING)]
        return Rollback(left=tuple(Left(ticket_id=c.id, tool=c.opening["tool"], why=why) for c in ran))


def _unreviewed(cases: Sequence[Case], place: list[Json]) -> list[Case]:
    """What no review has concluded on, but the one at this place of the run."""
    concluded = (Standing.EXECUTED, Standing.REJECTED)
    others = [c for c in cases if c.kind == "outcome" and c.standing in concluded and _place(c) != place]
    reported = set[str]().union(*map(_reported, others))
    return [case for case in cases if case.kind not in _NOT_WORK and case.id not in reported]


def _no_easier(work: Sequence[Case], ruling: Ruling) -> Ruling:
    # What was put off until now needs what it would have needed before.
    for case in work:
        if case.ruling.at_the_end and case.ruling.mode == "allow":
            needs = law.stricter(case.ruling.requirements, ruling.requirements)
            mode = "review" if ruling.mode == "allow" else ruling.mode
            ruling = ruling.model_copy(update={"requirements": needs, "mode": mode})
    return ruling


def _reported(review: Case) -> set[str]:
    return {str(action["ticket"]) for action in review.args.get("actions", ())}


def _key(review: Case) -> list[Json]:
    return list(
        json.loads(review.action.get("proposal", "[0, 0, [0, 0]]"))[2]
    )  # of one that was erased nothing is known


def _place(review: Case) -> Json:
    return _key(review)[0]


def _nothing(*_: Any) -> None:
    return None


def _first_words(state: Any) -> str:
    return last_human(messages_in(state))[1]


def _last_words(state: Any) -> Json:
    said = [message for message in messages_in(state) if isinstance(message, AIMessage)]
    return said[-1].text if said else None

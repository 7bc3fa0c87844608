"""Before a call runs: its ruling, its ticket, and the wait for a person."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from langgraph_signoff import planning
from langgraph_signoff.budgeting import Purse
from langgraph_signoff.desk import Desk
from langgraph_signoff.law import Case, Halt
from langgraph_signoff.ledger import Query, find_all
from langgraph_signoff.nodes.advice import Advisors
from langgraph_signoff.nodes.marks import gates_ahead
from langgraph_signoff.nodes.payload import AS_LANGCHAIN, halt_pause, pause, pause_id
from langgraph_signoff.nodes.steps import Ask, Hear, Io, Sleep, Steps
from langgraph_signoff.nodes.turn import Call, identified
from langgraph_signoff.planning import Plans
from langgraph_signoff.policy import Policy
from langgraph_signoff.records import Opening
from langgraph_signoff.vocabulary import Action, Counts, InboxSchema, Ruling, Standing, Undoing

POLL = 0.05  # seconds between two looks at what somebody else is about
_GATHER = 2.0  # seconds that a call waits for those of its message which a plan wants before it
_NO_COUNTS = Counts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Rules on calls, opens their tickets, and waits for them.

    `own_undoings`: what its gate declares, by tool. `reviews`: the outcome reviews of its Signoff, by name.
    """

    desk: Desk
    policy: Policy
    own_undoings: Mapping[str, Undoing]
    reviews: Collection[str]
    advisors: Advisors
    plans: Plans
    inbox_schema: InboxSchema = AS_LANGCHAIN

    def admit(self, calls: Sequence[Call]) -> Steps[None]:
        """Rules on the calls of a turn, opens their tickets in one transaction, and waits for all of them in one pause."""
        yield from self.rule(calls)
        asked = [call for call in calls if call.known]
        if asked and (waiting := (yield Io(partial(self._undecided, asked)))):
            yield self._ask(waiting)
        yield from self.hold(calls)
        yield Hear()

    def free_ruling(self, call: Call) -> Ruling | None:
        """The ruling on a call in which nobody has a say but a policy that lets its tool run, with nothing written."""
        others = self.advisors.ask or self.reviews or self.plans.expected or call.adjust
        is_plain = not others and call.proposed.kind == "tool"
        return self.policy.lets_run(call.proposed.tool, call.proposed.parsed) if is_plain else None

    def has_free_way(self, call: Call) -> bool:
        """Whether nothing stands before it: neither a ticket of its own, under whatever policy that was opened, nor a halt."""
        return call.id not in self._look([call]) and call.is_seen_unhalted

    def hold(self, calls: Sequence[Call]) -> Steps[None]:
        """Waits for a release if any of these calls would start without a claim, and is halted."""
        # What needs a claim is held back there, at the moment it would start. Of an answer nothing runs but who waits for it.
        unsure = [c for c in calls if not c.is_seen_unhalted and (c.starts_unclaimed or c.is_question)]
        if unsure and (stopped := (yield Io(partial(self._halted, unsure)))):
            yield stopped

    def rule(self, calls: Sequence[Call]) -> Steps[None]:
        """Gives each call its ruling: the one on record, or the policy's, which is put on record if it needs to be."""
        known, fresh = (yield Io(partial(self._look, calls))), list[Call]()
        for call in calls:
            call.known = call.id in known
            if call.known or call.is_refused:
                call.ruling = known.get(call.id)
            elif free := self.free_ruling(call):
                call.ruling = free
            else:
                call.ruling = yield from self._new_ruling(call)
                if self._may_need_record(call):
                    fresh.append(call)
        if fresh:
            opened = yield from self._opened(fresh, patient=len(calls) == 1)
            for call in fresh:
                call.known, call.ruling = call.id in opened, opened.get(call.id, call.ruling)

    def _opened(self, calls: Sequence[Call], *, patient: bool) -> Steps[dict[str, Ruling]]:
        # A call in a task of its own may come to its plan before those that were proposed before it.
        end = time.monotonic() + (_GATHER if patient and calls[0].siblings else 0)
        while (opened := (yield Io(partial(self._open, calls, patient=time.monotonic() < end)))) is None:
            yield Sleep(POLL)
        return {opening.id: opening.ruling for opening in opened}

    def _may_need_record(self, call: Call) -> bool:
        # A plan must know of a step that the policy lets run anyway.
        return not call.is_free or (self.plans.expected and not call.trouble)

    def _new_ruling(self, call: Call) -> Steps[Ruling]:
        needs_history = planning.needs_history(self.policy, call.action)
        history = (yield Io(partial(self._history, call))) if needs_history else _NO_COUNTS
        ruling = self._rule(call, history)
        if self.advisors.ask:
            review = partial(self.policy.review, call.action, now=self.desk.clock())
            advised = yield Io(partial(self.advisors.advise, call.action, ruling, review=review))
            call.notes, call.doubted = call.notes + advised.notes, advised.doubted
            ruling = call.hold_back(advised.ruling)
        # Whatever lets calls run, nobody but a person answers.
        return (
            self.policy.review(call.action, now=self.desk.clock())
            if call.is_question and ruling.mode == "allow"
            else ruling
        )

    def _look(self, calls: Sequence[Call]) -> dict[str, Ruling | None]:
        named = [call.id for call in calls if not call.trouble]
        looked_at = time.monotonic()
        known, halts = self.desk.glance(named)
        for call in calls:
            call.halts, call.looked_at = halts, looked_at
        return {id_: None if reviewed else self.desk.case(id_).ruling for id_, reviewed in known.items()}

    def _rule(self, call: Call, history: Counts) -> Ruling:
        ruling = planning.rule(self.policy, call.action, now=self.desk.clock(), history=history)
        if ruling.at_the_end:
            waits = self._can_be_taken_back(call, ruling) and self._is_reviewed_later(call)
            ruling = ruling.model_copy(update={"mode": "allow", "once": True} if waits else {"at_the_end": False})
        if ruling.audit and not self._can_be_taken_back(call, ruling):
            ruling = self.policy.review(call.action, now=self.desk.clock()).model_copy(
                update={"detail": "no gate declares an undo for it"}
            )
        if self._is_for_report(call, ruling):
            ruling = ruling.model_copy(update={"record": True, "for_report": True})
        return call.adjust(ruling) if call.adjust else ruling

    def _can_be_taken_back(self, call: Call, ruling: Ruling) -> bool:
        # The policy may say that the gate declares an undo, and it does not.
        return bool(ruling.risk.reversible) or call.action.tool in self.own_undoings

    def _is_for_report(self, call: Call, ruling: Ruling) -> bool:
        # Graphs without a review pay nothing for it.
        is_unrecorded = bool(self.reviews) and not ruling.needs_record and not call.trouble
        return is_unrecorded and self._is_reviewed_later(call)

    def _is_reviewed_later(self, call: Call) -> bool:
        # A review is none of itself, nor of what comes after it, and an undo is reported nowhere. What another graph reviews, or
        # another ledger holds, is never about this call.
        reviews = (gate for gate in gates_ahead() if gate.kind == "outcome")
        is_work = call.action.kind in ("tool", "node")
        return is_work and any(gate.heart.desk.ledger is self.desk.ledger for gate in reviews)

    def _history(self, call: Call) -> Counts:
        return self.desk.counts(call.action.thread_id, call.action.message_id, call.siblings)

    def _open(self, calls: Sequence[Call], *, patient: bool) -> list[Opening] | None:
        taken, purse = set[str](), Purse(self.desk)
        for call in calls:
            if call.ruling and call.ruling.charges:
                review = partial(self.policy.review, call.action, now=self.desk.clock())
                ruling = purse.ruled(call.ruling, review=review)
                call.ruling = call.adjust(ruling) if call.adjust else ruling
        openings = [
            replace(self._opening(call, taken), siblings=call.siblings, notes=call.notes, doubted=call.doubted)
            for call in [call if call.is_free else identified(call) for call in calls]
        ]
        policy = (self.policy.version, self.policy.document)
        return self.plans.open(openings, policy=policy, people=self.policy.people, patient=patient)

    def _opening(self, call: Call, taken: set[str]) -> Opening:
        assert call.ruling is not None, "rule() has just set it"
        action, ruling = call.action, call.ruling
        if ruling.mode != "review" and not ruling.at_the_end:
            return Opening(call.id, action, ruling)
        earlier = find_all(self.desk.ledger, Query(thread_id=action.thread_id, tool=action.tool, limit=1000))
        rejected = [
            r
            for r in earlier
            if r.standing == Standing.REJECTED and r.digest == action.digest and r.turn == action.turn
        ]
        if len(rejected) > ruling.requirements.reask:
            return Opening(call.id, action, _denial(ruling, "rejected_before"))
        if ruling.mode != "review":
            return Opening(call.id, action, ruling)
        # What was withdrawn has answered nothing: a review that is asked anew stays in its round.
        answered = {row.previous for row in earlier if row.standing != Standing.WITHDRAWN}
        back = [r for r in earlier if r.standing == Standing.RETURNED and r.id not in answered | taken]
        if not back:
            return Opening(call.id, action, ruling)
        previous = max(back, key=lambda row: row.opened_at)
        taken.add(previous.id)
        if previous.round > ruling.requirements.max_revisions:
            return Opening(call.id, action, _denial(ruling, "no_revisions_left"), previous.id, previous.round + 1)
        before = self.desk.case(previous.id)
        return Opening(
            call.id,
            action,
            ruling,
            previous.id,
            previous.round + 1,
            difference=_difference(before, action),
            revisers=before.revisers,
        )

    def _halted(self, free: Sequence[Call]) -> Ask | None:
        if any(not call.has_fresh_look for call in free):
            looked_at, halts = time.monotonic(), self.desk.halts()
            for call in free:
                call.halts, call.looked_at = halts, looked_at
        held = [(call, halt) for call in free if call.halts and (halt := call.halts.on(*_where(call)))]
        return self._wait_for_release([call.action.tool for call, _ in held], [], *held[0]) if held else None

    def _ask(self, cases: Sequence[Case]) -> Ask:
        value = pause(cases, self.inbox_schema)
        return Ask(value, pause_id(value))

    def _wait_for_release(self, tools: Sequence[str], tickets: Sequence[str], call: Call, halt: Halt) -> Ask:
        if not call.trouble:
            self.desk.keep_awake(call.action.thread_id)
        value = halt_pause(call.action.thread_id, tools, tickets, halt)
        return Ask(value, pause_id(value))

    def _undecided(self, calls: Sequence[Call]) -> list[Case]:
        rows = self.desk.ledger.rows([call.id for call in calls])
        pending = [id_ for id_, row in rows.items() if row.standing == Standing.PENDING]
        cases = [self.desk.case(call.id) for call in calls if call.id in pending]
        return [case for case in cases if case.standing is Standing.PENDING]


def _where(call: Call) -> tuple[str, str]:
    return call.action.thread_id, call.action.tool


def _denial(ruling: Ruling, reason_code: str) -> Ruling:
    return ruling.model_copy(update={"mode": "deny", "reason_code": reason_code})


def _difference(before: Case, action: Action) -> list[Mapping[str, Any]]:
    import jsonpatch

    return list(jsonpatch.make_patch(before.parsed, action.parsed))

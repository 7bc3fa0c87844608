"""The heart: rule, open, wait, claim, run, record. Written once; every door carries arguments to it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from langgraph.errors import GraphBubbleUp, ParentCommand, is_invalid_resume

from langgraph_signoff import planning
from langgraph_signoff.canonical import digest
from langgraph_signoff.claims import Claims, Halted, Unplanned
from langgraph_signoff.desk import Desk, Opening
from langgraph_signoff.errors import StillRunning, TicketClosed
from langgraph_signoff.law import Case, Halt, Say, ruled_again, settled
from langgraph_signoff.ledger import Draft, Query
from langgraph_signoff.nodes import messages
from langgraph_signoff.nodes.advice import Advisors
from langgraph_signoff.nodes.marks import gates_around
from langgraph_signoff.nodes.payload import AS_LANGCHAIN, halt_pause, pause, pause_id
from langgraph_signoff.nodes.steps import Ask, Hear, Io, Sleep, Steps, Work
from langgraph_signoff.nodes.turn import Call, identified
from langgraph_signoff.planning import Plans
from langgraph_signoff.policy import Policy
from langgraph_signoff.vocabulary import (
    Action,
    Answer,
    Counts,
    CurrentAction,
    Happened,
    InboxSchema,
    Probe,
    Ruling,
    Standing,
    Undoing,
    Verdict,
)

CURRENT: ContextVar[CurrentAction | None] = ContextVar("signoff_current_action", default=None)

BEGUN = (Standing.RUNNING, Standing.EXECUTED, Standing.FAILED, Standing.IN_DOUBT)

_POLL = 0.05  # seconds between two looks at a call that somebody else runs
_GATHER = 2.0  # seconds that a call waits for those of its message which a plan wants before it


class Door(Protocol):
    """What a placement of the gate knows about the work behind it. `note`: what the record keeps beside its result."""

    name: str
    note: Mapping[str, str]

    def fit(self, case: Case) -> dict[str, Any] | None:
        """The arguments to run with, or None if they no longer parse to what the case shows."""

    def parse(self, args: dict[str, Any]) -> dict[str, Any]:
        """What the tool would get from these arguments, as JSON."""

    def work(self, args: dict[str, Any] | None, about: CurrentAction | None) -> Work:
        """The work, ready to be run."""

    def recall(self) -> None:
        """Told that work which was begun in an earlier pass is answered from the record in this one."""

    def tell(self, case: Case, text: str) -> Any:
        """What the graph gets where the work itself has given nothing: this text, and how the case stands."""

    def give(self, case: Case, kept: Any) -> Any:
        """What the graph gets of what the work itself gave."""


@dataclass(frozen=True, slots=True)
class Heart:
    """Lets a call through, asks, or refuses. `undoings`: of every gate of its Signoff; `own_undoings`: of this one."""

    desk: Desk
    claims: Claims
    policy: Policy
    probes: Mapping[str, Probe]
    undoings: Mapping[str, Undoing]
    own_undoings: Mapping[str, Undoing]
    advisors: Advisors
    plans: Plans
    inbox_schema: InboxSchema = AS_LANGCHAIN

    # Rule, open, wait -------------------------------------------------------------------------------------------------

    def admit(self, calls: Sequence[Call]) -> Steps[None]:
        """Rules on the calls of a turn, opens their tickets in one transaction, and waits for all of them in one pause."""
        yield from self.rule(calls)
        asked = [call for call in calls if call.known]
        if asked and (waiting := (yield Io(partial(self._undecided, asked)))):
            yield self._ask(waiting)
        if stopped := (yield Io(partial(self._halted, calls))):
            yield stopped
        yield Hear()

    def rule(self, calls: Sequence[Call]) -> Steps[None]:
        """Gives each call its ruling: the one on record, or the policy's, which is put on record if it needs to be."""
        known = yield Io(partial(self._look, calls))
        for call in calls:
            call.known = call.id in known
            call.ruling = known.get(call.id) if call.known or call.is_refused else (yield from self._new_ruling(call))
        fresh = [call for call in calls if not (call.known or call.is_refused) and self._may_need_record(call)]
        if fresh:
            opened = yield from self._opened(fresh, patient=len(calls) == 1)
            for call in fresh:
                call.known, call.ruling = call.id in opened, opened.get(call.id, call.ruling)

    def _opened(self, calls: Sequence[Call], *, patient: bool) -> Steps[dict[str, Ruling]]:
        # A call in a task of its own may come to its plan before those that were proposed before it.
        end = time.monotonic() + (_GATHER if patient and calls[0].siblings else 0)
        while (opened := (yield Io(partial(self._open, calls, patient=time.monotonic() < end)))) is None:
            yield Sleep(_POLL)
        return {opening.id: opening.ruling for opening in opened}

    def _may_need_record(self, call: Call) -> bool:
        # A plan must know of a step that the policy lets run anyway.
        return not call.is_free or (self.plans.expected and not call.trouble)

    def _new_ruling(self, call: Call) -> Steps[Ruling]:
        ruling = self._rule(call)
        if self.advisors.ask:
            advised = yield Io(partial(self.advisors.advise, self.policy, call.action, ruling))
            ruling, call.notes, call.doubted = advised.ruling, call.notes + advised.notes, advised.doubted
        # Whatever lets calls run, nobody but a person answers.
        return self.policy.review(call.action) if call.is_question and ruling.mode == "allow" else ruling

    def _look(self, calls: Sequence[Call]) -> dict[str, Ruling | None]:
        named = [call.id for call in calls if not call.trouble]
        rows = self.desk.ledger.rows(named) if named else {}
        return {id_: None if row.reviewed else self.desk.case(id_).ruling for id_, row in rows.items()}

    def _rule(self, call: Call) -> Ruling:
        history = self._history(call) if planning.needs_history(self.policy, call.action) else Counts()
        ruling = planning.rule(self.policy, call.action, now=self.desk.clock(), history=history)
        if ruling.at_the_end:
            waits = self._can_be_taken_back(call, ruling) and self._is_reviewed_later(call)
            ruling = ruling.model_copy(update={"mode": "allow", "once": True} if waits else {"at_the_end": False})
        if ruling.audit and not self._can_be_taken_back(call, ruling):
            ruling = self.policy.review(call.action).model_copy(update={"detail": "no gate declares an undo for it"})
        return call.adjust(ruling) if call.adjust else ruling

    def _can_be_taken_back(self, call: Call, ruling: Ruling) -> bool:
        # The policy may say that the gate declares an undo, and it does not.
        return bool(ruling.risk.reversible) or call.action.tool in self.own_undoings

    def _is_reviewed_later(self, call: Call) -> bool:
        # A review is none of itself, and an undo is reported nowhere. What another graph reviews, or another ledger holds, is
        # never about this call.
        reviews = (gate for gate in gates_around() if gate.kind == "outcome")
        is_work = call.action.kind in ("tool", "node")
        return is_work and any(gate.heart.desk.ledger is self.desk.ledger for gate in reviews)

    def _history(self, call: Call) -> Counts:
        return self.desk.counts(call.action.thread_id, call.action.message_id, call.siblings)

    def _open(self, calls: Sequence[Call], *, patient: bool) -> list[Opening] | None:
        taken: set[str] = set()
        openings = [
            replace(self._opening(call, taken), siblings=call.siblings, notes=call.notes, doubted=call.doubted)
            for call in [call if call.is_free else identified(call) for call in calls]
        ]
        return self.plans.open(openings, policy=(self.policy.version, self.policy.document), patient=patient)

    def _opening(self, call: Call, taken: set[str]) -> Opening:
        assert call.ruling is not None, "rule() has just set it"
        action, ruling = call.action, call.ruling
        if ruling.mode != "review" and not ruling.at_the_end:
            return Opening(call.id, action, ruling)
        earlier = self.desk.ledger.find(Query(thread_id=action.thread_id, tool=action.tool, limit=1000))
        rejected = [
            r
            for r in earlier
            if r.standing == Standing.REJECTED and r.digest == action.digest and r.turn == action.turn
        ]
        if len(rejected) > ruling.requirements.reask:
            return Opening(call.id, action, _denial(ruling, "rejected_before"))
        if ruling.mode != "review":
            return Opening(call.id, action, ruling)
        answered = {row.previous for row in earlier}
        back = [r for r in earlier if r.standing == Standing.RETURNED and r.id not in answered | taken]
        if not back:
            return Opening(call.id, action, ruling)
        previous = max(back, key=lambda row: row.opened_at)
        taken.add(previous.id)
        if previous.round > ruling.requirements.max_revisions:
            return Opening(call.id, action, _denial(ruling, "no_revisions_left"), previous.id, previous.round + 1)
        return Opening(call.id, action, ruling, previous.id, previous.round + 1, self._difference(previous.id, call))

    def _difference(self, previous: str, call: Call) -> Sequence[Mapping[str, Any]]:
        import jsonpatch

        return list(jsonpatch.make_patch(self.desk.case(previous).parsed, call.action.parsed))

    def _halted(self, calls: Sequence[Call]) -> Ask | None:
        # What needs a claim is held back there, at the moment it would start. Of an answer nothing runs but who waits for it.
        free = [c for c in calls if c.is_free or c.is_question or (c.ruling and c.ruling.only_records)]
        halts = self.desk.halts() if free else None
        held = [(call, halt) for call in free if halts and (halt := halts.on(call.action.thread_id, call.action.tool))]
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

    # Claim, run, record -----------------------------------------------------------------------------------------------

    def perform(self, call: Call, door: Door) -> Steps[Any]:
        """Runs a call if the record permits it, at most once per approval; otherwise answers from the record.

        Raises StillRunning if somebody alive is running it and does not finish while the second runner waits.
        """
        if call.ruling is None and not call.known:
            yield from self.admit([call])
        if call.is_free:
            return (yield door.work(None, None))
        if call.ruling and call.ruling.only_records:
            return (yield from self._run_recorded(call, door))
        end = time.monotonic() + self.claims.wait
        while True:
            mine: list[Case] = []
            try:
                case, granted = yield Io(partial(self.claims.claim, call.id, mine))
                args = door.fit(case) if granted else None
            except Halted as held:
                yield (yield Io(partial(self._wait_for_release, [door.name], [call.id], call, held.halt)))
            except Unplanned as found:
                if found.later and (found.is_under_way or time.monotonic() < end):
                    yield Sleep(_POLL)
                else:
                    yield Io(partial(self._ask_after_all, found.case, call))
                continue
            except BaseException:
                # Cut off between the claim and the start: nothing has run.
                for claimed in mine:
                    self.claims.release(claimed)
                raise
            if granted:
                if args is not None:
                    return (yield from self._run(case, door, args))
                yield Io(partial(self._amend, case, call, door))
            elif case.standing is Standing.RUNNING:
                if time.monotonic() > end:
                    raise StillRunning(f"ticket {case.id[:12]} is being run by somebody else; try again later")
                yield Sleep(_POLL)
            elif case.standing is Standing.PENDING:
                yield self._ask([case])
            elif case.standing is Standing.IN_DOUBT and not case.told_unknown:
                yield from self._inquire(case, door)
            else:
                return self._from_record(case, door)

    def _run_recorded(self, call: Call, door: Door) -> Steps[Any]:
        # Allowed, and only put on record: it runs on each pass, as it would without us.
        case = yield Io(partial(self.desk.case, call.id))
        try:
            response = yield door.work(None, _about(case))
        except GraphBubbleUp:
            raise
        except Exception as error:
            yield Io(partial(self.claims.record, case, Standing.FAILED, messages.keep_error(error)))
            raise
        return (yield from self._record(case, door, response))

    def _run(self, case: Case, door: Door, args: dict[str, Any]) -> Steps[Any]:
        work: Work | None = None
        try:
            work = door.work(args, _about(case))
            response = yield work
        except ParentCommand as command:
            contents, _ = self._keep(case, door, command.args[0])
            yield Io(partial(self.claims.record, case, Standing.EXECUTED, {**contents, "bubbles": True}))
            raise
        except GraphBubbleUp:
            yield Io(partial(self.claims.suspend, case))
            raise
        except Exception as error:
            yield Io(partial(self._fail, case, work, error))
            raise
        except BaseException:
            yield Io(partial(self.claims.doubt if work and work.started else self.claims.release, case))
            raise
        return (yield from self._record(case, door, response))

    def _fail(self, case: Case, work: Work | None, error: Exception) -> None:
        if work is None or not work.started:
            self.claims.release(case)
        elif is_invalid_resume(error):
            # The tool has paused itself and was answered badly: its question stands, and so does the claim.
            self.claims.suspend(case)
        elif isinstance(error, CancelledError):
            # So ends a called task whose run is cancelled: it was started, and how far it came nobody knows.
            self.claims.doubt(case)
        else:
            self.claims.record(case, Standing.FAILED, messages.keep_error(error))

    def _record(self, case: Case, door: Door, response: Any) -> Steps[Any]:
        contents, response = self._keep(case, door, response)
        standing = Standing.FAILED if getattr(response, "status", "") == "error" else Standing.EXECUTED
        yield Io(partial(self.claims.record, case, standing, contents))
        return door.give(case, response)

    def _keep(self, case: Case, door: Door, response: Any) -> tuple[dict[str, Any], Any]:
        contents, response = messages.keep_result(response, name=door.name, tell=partial(door.tell, case))
        return {**contents, **door.note}, response

    def _amend(self, case: Case, call: Call, door: Door) -> None:
        """Asks again when the arguments no longer parse to what was shown: nothing else was approved."""
        try:
            parsed = door.parse(case.args)
        except Exception as error:
            self.claims.record(case, Standing.FAILED, messages.keep_error(error))
            raise
        amended = self._amended(
            case,
            call.action.model_copy(update={"args": case.args, "parsed": parsed}),
            history=self._history(call),
            digest=digest(call.action.tool, {"args": case.args, "parsed": parsed}),
            reason_code="arguments_changed",
        )
        self.claims.give_back(case, amended, policies=[(self.policy.version, self.policy.document)])

    def _ask_after_all(self, case: Case, call: Call) -> None:
        """Asks a person about a call that was to run on a plan, which does not permit it any more."""
        action = call.action.model_copy(update={"args": case.args, "parsed": case.parsed})
        amended = self._amended(
            case, action, history=self._history(call), digest=case.digest, reason_code="no_longer_planned"
        )

        def step(now: Case) -> list[Draft]:
            return [amended] if (now.standing, now.generation) == (case.standing, case.generation) else []

        self.desk.write(case.id, step, policies=[(self.policy.version, self.policy.document)])

    def _amended(self, case: Case, action: Action, *, history: Counts, digest: str, reason_code: str) -> Draft:
        ruling = planning.rule(self.policy, action, now=self.desk.clock(), history=history)
        ruling = ruled_again(case.ruling, ruling)
        if ruling.mode == "review":
            ruling = ruling.model_copy(update={"reason_code": reason_code})
        edit = {"args": action.args, "parsed": action.parsed, "digest": digest}
        return Draft("amended", {"ruling": ruling.model_dump(mode="json")}, {"edit": edit})

    def _inquire(self, case: Case, door: Door) -> Steps[None]:
        probe = self.probes.get(door.name)
        found = (yield Io(partial(_ask_probe, probe, _about(case)))) if probe else None
        if found is None:
            yield self._ask([case])
        else:
            yield Io(partial(self._settle, case, *found))

    def _settle(self, case: Case, answer: Answer, result: Any) -> None:
        with suppress(TicketClosed):  # a person was faster
            self.desk.write(case.id, partial(_settle_by_probe, answer=answer, result=result))

    def _from_record(self, case: Case, door: Door) -> Any:
        if case.attempts:
            door.recall()
        if case.standing is Standing.FAILED and (error := messages.kept_error(case)):
            raise error
        if not messages.has_result(case):
            told = door.tell(case, messages.end(case, door.name))
            return door.give(case, told) if case.standing in (Standing.EXECUTED, Standing.FAILED) else told
        kept = messages.kept_result(case)
        if case.result.get("bubbles"):
            raise ParentCommand(kept)
        return door.give(case, kept)


def _denial(ruling: Ruling, reason_code: str) -> Ruling:
    return ruling.model_copy(update={"mode": "deny", "reason_code": reason_code})


def _about(case: Case) -> CurrentAction:
    return CurrentAction(
        ticket_id=case.id,
        key=f"{case.id}-{case.generation}",
        tool=case.opening["tool"],
        args=case.parsed,
        thread_id=case.opening["thread_id"],
        attempt=max(1, case.attempts),
        approved_by=case.approvers,
    )


def _ask_probe(probe: Probe, about: CurrentAction) -> tuple[Answer, Any] | None:
    try:
        found = probe(about)
        if isinstance(found, Happened):
            return Answer.HAPPENED, found.result
        return None if found is None else (Answer(found), None)
    except Exception:
        return None  # a probe that fails, or answers nonsense, knows nothing: a person is asked


def _settle_by_probe(case: Case, *, answer: Answer, result: Any) -> list[Draft]:
    say = Say(Verdict.COMMENT, by="verify", digest=case.digest, reason="the tool's own probe")
    return settled(case, answer, say, result)

"""The heart: rule, open, wait, claim, run, record. Written once; every door carries arguments to it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from langgraph.errors import GraphBubbleUp, ParentCommand, is_invalid_resume

from langgraph_signoff import planning
from langgraph_signoff.budgeting import over_budget
from langgraph_signoff.canonical import digest
from langgraph_signoff.claims import Claims, Halted, Unpermitted
from langgraph_signoff.errors import StillRunning, TicketClosed
from langgraph_signoff.law import Case, Say, ruled_again, settled
from langgraph_signoff.ledger import Draft
from langgraph_signoff.nodes import messages
from langgraph_signoff.nodes.admission import POLL, Admission
from langgraph_signoff.nodes.steps import Hear, Io, Sleep, Steps, Work
from langgraph_signoff.nodes.turn import Call
from langgraph_signoff.vocabulary import (
    OVER_BUDGET,
    Action,
    Answer,
    CurrentAction,
    Happened,
    Probe,
    Ruling,
    Standing,
    Undoing,
    Verdict,
)

CURRENT: ContextVar[CurrentAction | None] = ContextVar("signoff_current_action", default=None)


BEGUN = (Standing.RUNNING, Standing.EXECUTED, Standing.FAILED, Standing.IN_DOUBT)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Heart(Admission):
    """Lets a call through, asks, or refuses. `undoings`: of every gate of its Signoff; `own_undoings`: of this one."""

    claims: Claims
    probes: Mapping[str, Probe]
    undoings: Mapping[str, Undoing]

    def perform(self, call: Call, door: Door) -> Steps[Any]:
        """Runs a call if the record permits it, at most once per approval; otherwise answers from the record.

        Raises StillRunning if somebody alive is running it and does not finish while the second runner waits.
        """
        if call.ruling is None and not call.known:
            # Most calls are such that the policy lets their tool run in any case: one look at the ledger is all of their way.
            is_free = self.free_ruling(call) and (yield Io(partial(self.has_free_way, call)))
            if is_free and call.has_fresh_look:  # a busy loop may have come back to it late
                yield Hear()
                return (yield door.work(None, None))
            yield from self.admit([call])
        elif call.starts_unclaimed and not call.has_fresh_look:
            # It has waited for its turn behind other calls, or a wrapper tries it again.
            yield from self.hold([call])
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
            except Unpermitted as found:
                if found.later and (found.is_under_way or time.monotonic() < end):
                    yield Sleep(POLL)
                else:
                    yield Io(partial(self._ask_after_all, found, call))
                continue
            except BaseException:
                # Cut off between the claim and the start: nothing has run.
                for claimed in mine:
                    yield Io(partial(self.claims.release, claimed))
                raise
            if granted:
                if args is not None:
                    return (yield from self._run(case, door, args))
                yield Io(partial(self._amend, case, call, door))
            elif case.standing is Standing.RUNNING:
                if time.monotonic() > end:
                    raise StillRunning(f"ticket {case.id[:12]} is being run by somebody else; try again later")
                yield Sleep(POLL)
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
        except ParentCommand as command:
            yield from self._record_bubbling(case, door, command)
            raise
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
            yield from self._record_bubbling(case, door, command)
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

    def _record_bubbling(self, case: Case, door: Door, command: ParentCommand) -> Steps[None]:
        contents, _ = self._keep(case, door, command.args[0])
        yield Io(partial(self.claims.record, case, Standing.EXECUTED, {**contents, "bubbles": True}))

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
        action = call.action.model_copy(update={"args": case.args, "parsed": parsed})
        shown = digest(call.action.tool, {"args": case.args, "parsed": parsed})
        ruling = call.hold_back(ruled_again(case.ruling, self._ruling_on(action, call)))
        amended = _amended(ruling, action, digest=shown, reason_code="arguments_changed")
        self.claims.give_back(case, amended, policies=[(self.policy.version, self.policy.document)])

    def _ask_after_all(self, found: Unpermitted, call: Call) -> None:
        """Asks a person about a call that was to run on a plan, a grant or the policy, which does not permit it any more."""
        case = found.case
        action = call.action.model_copy(update={"args": case.args, "parsed": case.parsed})
        ruling = self._ruling_on(action, call)
        if found.why == OVER_BUDGET and ruling.mode != "deny":
            review = partial(self.policy.review, action, now=self.desk.clock())
            ruling = over_budget(ruling, found.detail, review=review)
        ruling = call.hold_back(ruled_again(case.ruling, call.adjust(ruling) if call.adjust else ruling))
        amended = _amended(ruling, action, digest=case.digest, reason_code=found.why)

        def step(now: Case) -> list[Draft]:
            return [amended] if (now.standing, now.generation) == (case.standing, case.generation) else []

        self.desk.write(case.id, step, policies=[(self.policy.version, self.policy.document)])

    def _ruling_on(self, action: Action, call: Call) -> Ruling:
        return planning.rule(self.policy, action, now=self.desk.clock(), history=self._history(call))

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


def _amended(ruling: Ruling, action: Action, *, digest: str, reason_code: str) -> Draft:
    if ruling.mode == "review":
        ruling = ruling.model_copy(update={"reason_code": reason_code})
    edit = {"args": action.args, "parsed": action.parsed, "digest": digest}
    return Draft("amended", {"ruling": ruling.model_dump(mode="json")}, {"edit": edit})


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

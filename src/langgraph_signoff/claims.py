"""Once: who may run a ticket's tool now, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from langgraph_signoff import law, liveness
from langgraph_signoff.budgeting import spending
from langgraph_signoff.desk import Desk
from langgraph_signoff.errors import LedgerError, UnknownTicket
from langgraph_signoff.granting import still_permits
from langgraph_signoff.law import Case, Claim
from langgraph_signoff.leases import Leases
from langgraph_signoff.ledger import Draft, Entry, Row
from langgraph_signoff.vocabulary import OVER_BUDGET, Standing


class Halted(Exception):
    """A claim that a halt holds back: nothing was written, the approval stands."""

    def __init__(self, case: Case, halt: law.Halt) -> None:
        super().__init__(str(halt.scope))
        self.case, self.halt = case, halt


class Unpermitted(Exception):
    """A claim that rests on a plan or a grant which permits it no more, or, with `later`, not yet, or that would spend too much.

    Nothing was written. `why`: the reason code with which a person is asked instead; `detail`: in words. `is_under_way`: whether
    all that has to come before it is being run by somebody alive.
    """

    def __init__(
        self, case: Case, why: str, *, detail: str = "", later: bool = False, is_under_way: bool = False
    ) -> None:
        super().__init__(case.id)
        self.case, self.why, self.detail, self.later, self.is_under_way = case, why, detail, later, is_under_way


class Claims:
    """Takes, keeps and gives back the right to run a ticket's tool.

    `wait`: seconds that a second runner waits for the first one's result.
    """

    def __init__(self, desk: Desk, leases: Leases, *, wait: float = 15.0) -> None:
        self.desk, self.leases, self.wait = desk, leases, wait

    def claim(self, ticket_id: str, mine: list[Case] | None = None) -> tuple[Case, bool]:
        """Takes the claim if the ticket permits it; the case as it then stands, and whether this call is the one that runs.

        A claim whose owner is found dead becomes in doubt; an idempotent tool in doubt is claimed again. A case that was
        claimed is added to `mine` first, so that a caller who is cut off here can give it back. Raises Halted, Unpermitted.
        """
        granted, read, spends = False, dict[str, int](), list[Entry]()

        def step(case: Case) -> list[Draft]:
            nonlocal granted, read, spends
            drafts = self._claim(case)
            granted = any(draft.kind == "claimed" for draft in drafts)
            # What has paused itself has begun: a halt lets it finish.
            has_begun = case.claim is not None and case.claim.suspended
            read = self._not_halted(case) | self._permitted(case) if granted and not has_begun else {}
            spends = self._spends(case) if granted else []
            return _spending(drafts, spends)

        case = self.desk.write(ticket_id, step, ends=lambda: read, beside=lambda: spends)
        if granted:
            if mine is not None:
                mine.append(case)
            self.leases.keep(_name(case))
        return case, granted

    def find(self, ticket_id: str) -> Case:
        """The case as it stands, in doubt if its runner is found dead: for a call to which no run may come again."""
        return self.desk.write(ticket_id, lambda case: [self._doubted(case)] if self.is_dead(case) else [])

    def is_dead(self, case: Case) -> bool:
        """Whether a case is being run, and its runner is gone."""
        under_way = case.standing is Standing.RUNNING and case.claim is not None and not case.claim.suspended
        return under_way and not self.is_alive(case)

    def _not_halted(self, case: Case) -> dict[str, int]:
        halts = self.desk.halts()
        if halt := halts.on(case.opening["thread_id"], case.opening["tool"]):
            raise Halted(case, halt)
        return {law.HALTS: halts.seq}

    def _permitted(self, case: Case) -> dict[str, int]:
        # What has begun on a plan or a grant is not begun anew when it is run again.
        if case.standing is not Standing.APPROVED:
            return {}
        if case.ruling.rests_on_grant:
            read = still_permits(self.desk, case)
            if read is None:
                raise Unpermitted(case, "no_longer_granted")
            return read
        return self._in_plan(case) if case.ruling.rests_on_plan else {}

    def _spends(self, case: Case) -> list[Entry]:
        found = spending(self.desk, case)
        if found.over:
            raise Unpermitted(case, OVER_BUDGET, detail=found.over)
        return found.entries

    def _in_plan(self, case: Case) -> dict[str, int]:
        planned = case.ruling.planned
        assert planned is not None, "it rests on a plan"
        try:
            plan = self.desk.case(planned.plan)
        except UnknownTicket as error:
            raise Unpermitted(case, "no_longer_planned") from error
        rows = self.desk.ledger.rows(law.before(plan, case.id))
        turn = law.turn(plan, case, {id_: row.standing for id_, row in rows.items()})
        if turn != "now":
            is_under_way = all(map(self._is_under_way, rows.values()))
            raise Unpermitted(case, "no_longer_planned", later=turn == "later", is_under_way=is_under_way)
        return {plan.id: plan.seq}

    def _is_under_way(self, row: Row) -> bool:
        if row.standing != Standing.RUNNING:
            return row.standing == Standing.EXECUTED
        return self.is_alive(self.desk.case(row.id))

    def _claim(self, case: Case) -> list[Draft]:
        match case.standing:
            case Standing.APPROVED if not case.erased:
                return [self._claimed(case, case.attempts + 1)]
            case Standing.RUNNING if case.claim and case.claim.suspended and not case.erased:
                return [self._claimed(case, case.attempts)]
            case Standing.RUNNING if not self.is_alive(case):
                return [self._doubted(case), *self._again(case)]
            case Standing.IN_DOUBT if not case.told_unknown:
                return self._again(case)
        return []

    def _again(self, case: Case) -> list[Draft]:
        if case.erased or not case.ruling.idempotent:
            return []  # a person says what happened
        return [Draft("retried", {"attempt": case.attempts, "by": "policy"}), self._claimed(case, case.attempts + 1)]

    def _doubted(self, case: Case) -> Draft:
        return Draft("in_doubt", {"attempt": case.attempts, "found_by": liveness.me()})

    def _claimed(self, case: Case, attempt: int) -> Draft:
        about = {
            "attempt": attempt,
            "generation": case.generation,
            "owner": liveness.me(),
            "lease": self.leases.seconds,
        }
        return Draft("claimed", about)

    def is_alive(self, case: Case) -> bool:
        """Whether the runner of a running case can still record its outcome."""
        claim = case.claim
        if claim is None or claim.suspended:
            return False
        now, until = self.desk.clock(), self._until(case, claim)
        if now < until - timedelta(seconds=2 * claim.lease):
            # The clock has jumped back behind the last heartbeat: the lease tells nothing, and may end in hours.
            return liveness.is_gone(claim.owner) is not True
        if now < until:
            return True
        if claim.owner == liveness.me():
            return self.leases.keeps(_name(case))
        return liveness.is_gone(claim.owner) is False

    def _until(self, case: Case, claim: Claim) -> datetime:
        first = claim.at + timedelta(seconds=claim.lease)
        return max(first, self.leases.until(_name(case)) or first)

    def release(self, case: Case) -> None:
        """Gives a claim back that never started the tool; the approval stands."""
        self._end(case, [_released(case)])

    def give_back(self, case: Case, amended: Draft, *, policies: Iterable[tuple[str, str]] = ()) -> None:
        """Gives a claim back that never started the tool, with what is asked instead."""
        self._end(case, [_released(case), amended], policies)

    def suspend(self, case: Case) -> None:
        """Notes that the tool itself has paused; the next pass continues the same claim."""
        self._end(case, [Draft("suspended", {"attempt": case.attempts})])

    def doubt(self, case: Case) -> None:
        """Notes that the tool was started and nobody knows whether it finished."""
        self._end(case, [self._doubted(case)])

    def record(self, case: Case, standing: Standing, contents: dict[str, Any]) -> Case:
        """Puts the outcome on the record, also when the runner had been given up meanwhile.

        If the ledger does not answer, a keeper goes on trying as long as this process lives, and the error is raised.
        """
        draft = Draft(str(standing), {"attempt": max(1, case.attempts)}, contents)
        return self._end(case, [draft])

    def _end(self, case: Case, drafts: list[Draft], policies: Iterable[tuple[str, str]] = ()) -> Case:
        try:
            ended = self.desk.write(case.id, lambda _: drafts, policies=policies)
        except LedgerError:
            self.leases.owe(_name(case), lambda: self.desk.write(case.id, lambda _: drafts, policies=policies))
            raise
        self.leases.drop(_name(case))
        return ended


def _spending(drafts: Sequence[Draft], spends: Sequence[Entry]) -> list[Draft]:
    # The claim names the budgets that it is counted in.
    named = {"spends": [entry.stream for entry in spends]} if spends else {}
    return [replace(draft, body=draft.body | named) if draft.kind == "claimed" else draft for draft in drafts]


def _released(case: Case) -> Draft:
    return Draft("released", {"attempt": case.attempts})


def _name(case: Case) -> str:
    return f"claim:{case.id}:{case.attempts}"

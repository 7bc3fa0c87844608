"""Once: who may run a ticket's tool now, how that is kept alive, and what came of it."""

from __future__ import annotations

import secrets
import threading
from datetime import timedelta
from typing import Any

from langgraph_signoff import liveness
from langgraph_signoff.desk import Desk
from langgraph_signoff.errors import LedgerError, SignoffError
from langgraph_signoff.law import Case, Claim
from langgraph_signoff.ledger import Draft, Lease, moment, stamp
from langgraph_signoff.vocabulary import Standing


class Claims:
    """Takes, keeps and gives back the right to run a ticket's tool, or to resume a thread.

    `lease`: seconds without a heartbeat after which a runner whose process is gone counts as dead. `wait`: seconds that a
    second runner waits for the first one's result.
    """

    def __init__(self, desk: Desk, *, lease: float = 10.0, wait: float = 15.0) -> None:
        self.desk, self.lease, self.wait = desk, lease, wait
        self._keeper = Keeper(self, lease / 3)

    def claim(self, ticket_id: str) -> tuple[Case, bool]:
        """Takes the claim if the ticket permits it; the case as it then stands, and whether this call is the one that runs.

        A claim whose owner is found dead becomes in doubt; an idempotent tool in doubt is claimed again.
        """
        granted = False

        def step(case: Case) -> list[Draft]:
            nonlocal granted
            drafts = self._claim(case)
            granted = any(draft.kind == "claimed" for draft in drafts)
            return drafts

        case = self.desk.write(ticket_id, step)
        if granted:
            self._keeper.keep(_name(case))
        return case, granted

    def _claim(self, case: Case) -> list[Draft]:
        match case.standing:
            case Standing.APPROVED if not case.erased:
                return [self._claimed(case, case.attempts + 1)]
            case Standing.RUNNING if case.claim and case.claim.suspended:
                return [self._claimed(case, case.attempts)]
            case Standing.RUNNING if not self.is_alive(case):
                return [Draft("in_doubt", {"attempt": case.attempts, "found_by": liveness.me()}), *self._again(case)]
            case Standing.IN_DOUBT if not case.told_unknown:
                return self._again(case)
        return []

    def _again(self, case: Case) -> list[Draft]:
        if not case.ruling.idempotent:
            return []
        return [Draft("retried", {"attempt": case.attempts, "by": "policy"}), self._claimed(case, case.attempts + 1)]

    def _claimed(self, case: Case, attempt: int) -> Draft:
        about = {"attempt": attempt, "generation": case.generation, "owner": liveness.me(), "lease": self.lease}
        return Draft("claimed", about)

    def is_alive(self, case: Case) -> bool:
        """Whether the runner of a running case can still record its outcome."""
        claim = case.claim
        if claim is None or claim.suspended:
            return False
        if claim.owner == liveness.me():
            return self._keeper.keeps(_name(case))
        return not self._is_over(claim, self.desk.ledger.lease(_name(case)))

    def _is_over(self, claim: Claim, lease: Lease | None) -> bool:
        until = claim.at + timedelta(seconds=claim.lease)
        if lease:
            until = max(until, moment(lease.until))
        return self.desk.clock() >= until and liveness.is_gone(claim.owner) is not False

    def release(self, case: Case) -> None:
        """Gives a claim back that never started the tool; the approval stands."""
        self._end(case, Draft("released", {"attempt": case.attempts}))

    def give_back(self, case: Case, drafts: list[Draft]) -> None:
        """Gives a claim back that never started the tool, with what made it so."""
        self.desk.write(case.id, lambda _: drafts)
        self._keeper.drop(_name(case))

    def suspend(self, case: Case) -> None:
        """Notes that the tool itself has paused; the next pass continues the same claim."""
        self._end(case, Draft("suspended", {"attempt": case.attempts}))

    def doubt(self, case: Case) -> None:
        """Notes that the tool was started and nobody knows whether it finished."""
        self._end(case, Draft("in_doubt", {"attempt": case.attempts, "found_by": liveness.me()}))

    def record(self, case: Case, standing: Standing, contents: dict[str, Any]) -> Case:
        """Puts the outcome on the record, also when the runner had been given up meanwhile.

        If the ledger does not answer, a keeper goes on trying as long as this process lives, and the error is raised.
        """
        draft = Draft(str(standing), {"attempt": max(1, case.attempts)}, contents)
        return self._end(case, draft)

    def _end(self, case: Case, draft: Draft) -> Case:
        try:
            ended = self.desk.write(case.id, lambda _: [draft])
        except LedgerError:
            self._keeper.owe(case.id, _name(case), draft)
            raise
        self._keeper.drop(_name(case))
        return ended

    def take(self, thread_id: str) -> bool:
        """Holds a thread for one caller across processes; False if somebody alive holds it."""
        name, ledger = f"thread:{thread_id}", self.desk.ledger
        old = ledger.lease(name)
        if old and not self._lease_is_over(old, name):
            return False
        if not ledger.swap_lease(name, old, new := self._new_lease()):
            return False
        self._keeper.keep(name, new)
        return True

    def let_go(self, thread_id: str) -> None:
        """Lets others have a thread."""
        self._keeper.drop(f"thread:{thread_id}")

    def _lease_is_over(self, lease: Lease, name: str) -> bool:
        # Holding a thread only spares work; what runs once is guarded by claims, which are stricter.
        if lease.owner == liveness.me():
            return not self._keeper.keeps(name)
        return self.desk.clock() >= moment(lease.until) or bool(liveness.is_gone(lease.owner))

    def _new_lease(self) -> Lease:
        return Lease(secrets.token_hex(8), liveness.me(), stamp(self.desk.clock() + timedelta(seconds=self.lease)))

    def renew(self, name: str, old: Lease | None) -> Lease | None:
        """Moves a lease's end on; the new lease, or None if somebody else has it."""
        new = self._new_lease()
        return new if self.desk.ledger.swap_lease(name, old, new) else None

    def settle_debt(self, ticket_id: str, draft: Draft) -> None:
        """Writes an outcome that could not be written when it came."""
        self.desk.write(ticket_id, lambda _: [draft])


class Keeper:
    """Renews what this process holds, and pays what it owes the record, from one daemon thread."""

    def __init__(self, claims: Claims, every: float) -> None:
        self._claims, self._every = claims, every
        self._held: dict[str, Lease | None] = {}
        self._owed: dict[str, tuple[str, Draft]] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def keep(self, name: str, lease: Lease | None = None) -> None:
        """Holds a name from now on; the first heartbeat comes after a third of the lease."""
        with self._lock:
            self._held[name] = lease
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._beat, name="signoff-keeper", daemon=True)
                self._thread.start()

    def keeps(self, name: str) -> bool:
        """Whether this process holds a name right now."""
        with self._lock:
            return name in self._held

    def owe(self, ticket_id: str, name: str, draft: Draft) -> None:
        """Keeps an entry that could not be written, and the claim with it, until it can."""
        with self._lock:
            self._owed[name] = (ticket_id, draft)

    def drop(self, name: str) -> None:
        """Lets go of a name."""
        with self._lock:
            lease = self._held.pop(name, None)
        if lease is not None:
            self._claims.desk.ledger.swap_lease(name, lease, None)

    def _beat(self) -> None:
        # A short life when there is nothing to keep: the thread ends, and `keep` starts another.
        while True:
            self._wake.wait(self._every)
            with self._lock:
                if not self._held:
                    self._thread = None
                    return
                names = list(self._held)
            for name in names:
                self._pay(name)
                self._renew(name)

    def _pay(self, name: str) -> None:
        with self._lock:
            debt = self._owed.get(name)
        if debt is None:
            return
        try:
            self._claims.settle_debt(*debt)
        except SignoffError:
            return
        with self._lock:
            self._owed.pop(name, None)
        self.drop(name)

    def _renew(self, name: str) -> None:
        with self._lock:
            if name not in self._held:
                return
            old = self._held[name]
        try:
            new = self._claims.renew(name, old)
        except SignoffError:
            return  # the next beat tries again; the lease lasts three of them
        with self._lock:
            held = name in self._held
            if new and held:
                self._held[name] = new
        if new and not held:  # dropped while the heartbeat was under way
            self._claims.desk.ledger.swap_lease(name, new, None)


def _name(case: Case) -> str:
    return f"claim:{case.id}:{case.attempts}"

"""Once: who may run a ticket's tool now, how that is kept alive, and what came of it."""

from __future__ import annotations

import os
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
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

    def claim(self, ticket_id: str, mine: list[Case] | None = None) -> tuple[Case, bool]:
        """Takes the claim if the ticket permits it; the case as it then stands, and whether this call is the one that runs.

        A claim whose owner is found dead becomes in doubt; an idempotent tool in doubt is claimed again. A case that was
        claimed is added to `mine` first, so that a caller who is cut off here can give it back.
        """
        granted = False

        def step(case: Case) -> list[Draft]:
            nonlocal granted
            drafts = self._claim(case)
            granted = any(draft.kind == "claimed" for draft in drafts)
            return drafts

        case = self.desk.write(ticket_id, step)
        if granted:
            if mine is not None:
                mine.append(case)
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
        now, until = self.desk.clock(), self._until(case, claim)
        if now < until - timedelta(seconds=2 * claim.lease):
            # The clock has jumped back behind the last heartbeat: the lease tells nothing, and may end in hours.
            return liveness.is_gone(claim.owner) is not True
        if now < until:
            return True
        if claim.owner == liveness.me():
            return self._keeper.keeps(_name(case))
        return liveness.is_gone(claim.owner) is False

    def _until(self, case: Case, claim: Claim) -> datetime:
        first = claim.at + timedelta(seconds=claim.lease)
        lease = self.desk.ledger.lease(_name(case))
        return max(first, moment(lease.until)) if lease else first

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
        self._end(case, [Draft("in_doubt", {"attempt": case.attempts, "found_by": liveness.me()})])

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
            self._keeper.owe(_name(case), lambda: self.desk.write(case.id, lambda _: drafts, policies=policies))
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
        is_late = self.desk.clock() >= moment(lease.until)
        if lease.owner == liveness.me():
            return is_late and not self._keeper.keeps(name)
        return is_late or bool(liveness.is_gone(lease.owner))

    def _new_lease(self) -> Lease:
        return Lease(secrets.token_hex(8), liveness.me(), stamp(self.desk.clock() + timedelta(seconds=self.lease)))

    def renew(self, name: str, old: Lease | None) -> Lease | None:
        """Moves a lease's end on; the new lease, or None if somebody else has it."""
        new = self._new_lease()
        return new if self.desk.ledger.swap_lease(name, old, new) else None

    def give_up(self, name: str, lease: Lease) -> None:
        """Lets others have a name at once; where the ledger does not answer, they have it when the lease ends."""
        with suppress(LedgerError):
            self.desk.ledger.swap_lease(name, lease, None)


class Keeper:
    """Renews what this process holds, and pays what it owes the record, from one daemon thread."""

    def __init__(self, claims: Claims, every: float) -> None:
        self._claims, self._every = claims, every
        self.forget()
        _KEEPERS.add(self)

    def forget(self) -> None:
        """Holds nothing: in a forked child, for what was held is the parent's."""
        self._held: dict[str, Lease | None] = {}
        self._owed: dict[str, Callable[[], object]] = {}
        self._lock = threading.Lock()
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

    def owe(self, name: str, pay: Callable[[], object]) -> None:
        """Keeps what could not be written, and the claim with it, until it can be."""
        with self._lock:
            self._owed[name] = pay
            held = self._held.get(name)
        self.keep(name, held)

    def drop(self, name: str) -> None:
        """Lets go of a name."""
        with self._lock:
            lease = self._held.pop(name, None)
        if lease is not None:
            self._claims.give_up(name, lease)

    def _beat(self) -> None:
        # A short life when there is nothing to keep: the thread ends, and `keep` starts another.
        while True:
            time.sleep(self._every)
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
            debt()
        except SignoffError:
            return  # the next beat tries again
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
            self._claims.give_up(name, new)


_KEEPERS: weakref.WeakSet[Keeper] = weakref.WeakSet()


def _forget_what_the_parent_holds() -> None:
    for keeper in list(_KEEPERS):
        keeper.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_what_the_parent_holds)


def _released(case: Case) -> Draft:
    return Draft("released", {"attempt": case.attempts})


def _name(case: Case) -> str:
    return f"claim:{case.id}:{case.attempts}"

"""Who works on something right now, across threads and processes: names that are held for a while and renewed."""

from __future__ import annotations

import os
import secrets
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from langgraph_signoff import liveness
from langgraph_signoff.errors import LedgerError, SignoffError
from langgraph_signoff.ledger import Lease, Ledger, moment, stamp


class Leases:
    """The names that this process holds. One daemon thread renews them, and pays what the process owes the record.

    `seconds`: how long a name stays held without a heartbeat; there are three of them in that time.
    """

    def __init__(self, ledger: Ledger, clock: Callable[[], datetime], *, seconds: float = 10.0) -> None:
        self.seconds = seconds
        self._ledger, self._clock = ledger, clock
        self.forget()
        _ALL.add(self)

    def forget(self) -> None:
        """Holds nothing: in a forked child, for what was held is the parent's."""
        self._held: dict[str, Lease | None] = {}
        self._owed: dict[str, Callable[[], object]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def take(self, name: str) -> bool:
        """Holds a name for one caller across processes; False if somebody alive holds it."""
        old = self._ledger.lease(name)
        if old and not self._is_over(old, name):
            return False
        if not self._ledger.swap_lease(name, old, new := self._new()):
            return False
        self.keep(name, new)
        return True

    def _is_over(self, lease: Lease, name: str) -> bool:
        # Holding a name only spares work; what runs once is guarded by claims, which are stricter.
        is_late = self._clock() >= moment(lease.until)
        if lease.owner == liveness.me():
            return is_late and not self.keeps(name)
        return is_late or bool(liveness.is_gone(lease.owner))

    def _new(self) -> Lease:
        return Lease(secrets.token_hex(8), liveness.me(), stamp(self._clock() + timedelta(seconds=self.seconds)))

    def is_taken(self, name: str) -> bool:
        """Whether somebody alive holds a name."""
        lease = self._ledger.lease(name)
        return lease is not None and not self._is_over(lease, name)

    def until(self, name: str) -> datetime | None:
        """When the lease on a name ends, whoever holds it; None if there is none."""
        lease = self._ledger.lease(name)
        return moment(lease.until) if lease else None

    def keep(self, name: str, lease: Lease | None = None) -> None:
        """Holds a name from now on. Without a lease yet, the first heartbeat takes one, after a third of the time."""
        with self._lock:
            self._held[name] = lease
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._beat, name="signoff-leases", daemon=True)
                self._thread.start()

    def keeps(self, name: str) -> bool:
        """Whether this process holds a name right now."""
        with self._lock:
            return name in self._held

    def owe(self, name: str, pay: Callable[[], object]) -> None:
        """Keeps what could not be written, and the name with it, until it can be."""
        with self._lock:
            self._owed[name] = pay
            held = self._held.get(name)
        self.keep(name, held)

    def drop(self, name: str) -> None:
        """Lets go of a name."""
        with self._lock:
            lease = self._held.pop(name, None)
        if lease is not None:
            self._give_up(name, lease)

    def _beat(self) -> None:
        # A short life when there is nothing to keep: the thread ends, and `keep` starts another.
        while True:
            time.sleep(self.seconds / 3)
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
            old, new = self._held[name], self._new()
        try:
            if not self._ledger.swap_lease(name, old, new):
                return  # somebody else has it
        except SignoffError:
            return  # the next beat tries again; the lease lasts three of them
        with self._lock:
            held = name in self._held
            if held:
                self._held[name] = new
        if not held:  # dropped while the heartbeat was under way
            self._give_up(name, new)

    def _give_up(self, name: str, lease: Lease) -> None:
        # Others have the name at once; where the ledger does not answer, they have it when the lease ends.
        with suppress(LedgerError):
            self._ledger.swap_lease(name, lease, None)


_ALL: weakref.WeakSet[Leases] = weakref.WeakSet()


def _forget_what_the_parent_holds() -> None:
    for leases in list(_ALL):
        leases.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_what_the_parent_holds)

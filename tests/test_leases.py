"""Names that are held for a while: by one at a time, as long as its process lives, and not a moment longer."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from langgraph_signoff import LedgerUnavailable
from langgraph_signoff.desk import utc_now
from langgraph_signoff.leases import Leases
from langgraph_signoff.ledger import Lease, Ledger, open_ledger, stamp
from support import Clock, holder, until

LEASE = 0.3


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with closing(open_ledger(str(path))) as ledger:
        yield ledger


@pytest.fixture
def leases(ledger: Ledger, clock: Clock) -> Leases:
    return Leases(ledger, clock, seconds=LEASE)


def test_a_name_is_held_by_one_at_a_time(leases: Leases, ledger: Ledger, clock: Clock) -> None:
    other = Leases(ledger, clock, seconds=LEASE)  # of the same process
    assert not leases.is_taken("thread:t")
    assert leases.take("thread:t")
    assert not leases.take("thread:t")
    assert not other.take("thread:t")
    assert (leases.is_taken("thread:t"), other.is_taken("thread:t")) == (True, True)
    assert (leases.keeps("thread:t"), other.keeps("thread:t")) == (True, False)
    assert other.take("thread:u")
    leases.drop("thread:t")
    assert not other.is_taken("thread:t")
    assert other.take("thread:t")


def test_a_name_of_a_killed_holder_is_free_and_one_of_a_living_holder_is_not(path: Path, ledger: Ledger) -> None:
    leases = Leases(ledger, utc_now, seconds=LEASE)
    with holder(path, "thread:t", lease=60) as process:
        assert leases.is_taken("thread:t")
        assert not leases.take("thread:t")
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert leases.take("thread:t")


def test_a_name_that_is_held_is_kept_until_it_is_dropped(leases: Leases, clock: Clock) -> None:
    assert leases.take("thread:t")
    first = leases.until("thread:t")
    assert first == clock.now + timedelta(seconds=LEASE)
    clock.advance(seconds=LEASE / 2)
    until(lambda: leases.until("thread:t") == first + timedelta(seconds=LEASE / 2))
    leases.drop("thread:t")
    assert leases.until("thread:t") is None


def test_what_a_process_has_lost_sight_of_is_its_own_again_when_the_lease_is_over(
    leases: Leases, ledger: Ledger, clock: Clock
) -> None:
    assert leases.take("thread:t")
    leases.forget()
    assert not leases.take("thread:t"), "another thread of this process may be at work"
    clock.advance(seconds=LEASE)
    assert leases.take("thread:t")


def test_a_name_that_somebody_else_has_taken_meanwhile_stays_with_them(
    leases: Leases, ledger: Ledger, clock: Clock
) -> None:
    assert leases.take("thread:t")
    theirs = Lease("theirs", '{"host":"elsewhere"}', stamp(clock.now + timedelta(hours=1)))
    assert ledger.swap_lease("thread:t", ledger.lease("thread:t"), theirs)
    assert leases.take("thread:u")
    clock.advance(seconds=1)
    until(lambda: leases.until("thread:u") == clock.now + timedelta(seconds=LEASE))  # a heartbeat has passed
    leases.drop("thread:t")
    assert ledger.lease("thread:t") == theirs


def test_nothing_is_left_of_names_that_were_dropped_in_the_midst_of_heartbeats(
    ledger: Ledger, clock: Clock, rng: random.Random
) -> None:
    leases, pause = Leases(ledger, clock, seconds=0.003), threading.Event()
    beats = 0
    for number in range(300):
        name = f"thread:{number}"
        leases.keep(name)  # without a lease: a heartbeat takes it
        pause.wait(rng.random() * 0.003)
        beats += leases.until(name) is not None
        leases.drop(name)
    assert 0 < beats < 300, "the heartbeat came before some and after others"
    until(lambda: not any(ledger.lease(f"thread:{number}") for number in range(300)))


def test_what_is_owed_is_tried_until_it_is_paid_and_the_name_is_held_until_then(leases: Leases) -> None:
    tries = list[str]()

    def pay() -> None:
        tries.append("try")
        if len(tries) < 3:
            raise LedgerUnavailable("not yet")

    assert leases.take("claim:c:1")
    leases.owe("claim:c:1", pay)
    assert leases.keeps("claim:c:1")
    until(lambda: not leases.is_taken("claim:c:1"))
    assert (len(tries), leases.keeps("claim:c:1")) == (3, False)

"""Once: who may run a ticket's tool, while whose process lives."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from langgraph_signoff import LedgerUnavailable, Policy, Signoff, Standing, liveness
from langgraph_signoff.ledger import Draft
from langgraph_signoff.ledger import sqlite_file as backend
from support import Clock, agent, holder, open_ticket, until

LEASE = 0.5
FORK = multiprocessing.get_context("fork")


def door(path: Path, **more: Any) -> Signoff:
    return Signoff(path, lease=LEASE, wait=3, **more)


@pytest.fixture
def signoff(path: Path) -> Iterator[Signoff]:
    with closing(door(path)) as signoff:
        yield signoff


def approved(signoff: Signoff, **more: Any) -> str:
    return signoff.approve(open_ticket(signoff, **more), by="ana").id


def kinds(signoff: Signoff, ticket_id: str) -> list[str]:
    return [entry.kind for entry in signoff.history(ticket_id)]


def test_a_claim_is_granted_once_and_only_with_an_approval(signoff: Signoff) -> None:
    waiting = open_ticket(signoff)
    assert signoff.claims.claim(waiting.id)[1] is False
    signoff.approve(waiting, by="ana")
    case, granted = signoff.claims.claim(waiting.id)
    assert (granted, case.standing, case.attempts) == (True, Standing.RUNNING, 1)
    assert signoff.claims.claim(waiting.id)[1] is False
    signoff.claims.record(case, Standing.EXECUTED, {"rendering": "sent"})
    case, granted = signoff.claims.claim(waiting.id)
    assert (granted, case.standing) == (False, Standing.EXECUTED)


def test_a_released_claim_is_free_again(signoff: Signoff) -> None:
    id_ = approved(signoff)
    case, _ = signoff.claims.claim(id_)
    signoff.claims.release(case)
    case, granted = signoff.claims.claim(id_)
    assert (granted, case.attempts) == (True, 2)


def test_a_suspended_claim_is_continued_by_whoever_comes_next(path: Path, signoff: Signoff) -> None:
    id_ = approved(signoff)
    case, _ = signoff.claims.claim(id_)
    signoff.claims.suspend(case)
    with closing(door(path)) as other:
        case, granted = other.claims.claim(id_)
        assert (granted, case.attempts) == (True, 1)
        assert signoff.claims.claim(id_)[1] is False
        assert other.claims.record(case, Standing.EXECUTED, {}).standing is Standing.EXECUTED


def test_a_running_claim_is_kept_for_as_long_as_it_runs(path: Path, signoff: Signoff) -> None:
    id_ = approved(signoff)
    case, _ = signoff.claims.claim(id_)
    first = signoff.ledger.lease
    until(lambda: first(f"claim:{id_}:1"))
    began = first(f"claim:{id_}:1")
    until(lambda: first(f"claim:{id_}:1") != began)
    with closing(door(path)) as other:  # in the same process, with leases of its own
        assert other.claims.claim(id_) == (other.desk.case(id_), False)
    signoff.claims.record(case, Standing.EXECUTED, {})
    until(lambda: first(f"claim:{id_}:1") is None)


def test_threads_of_one_process_never_take_each_other_for_dead(signoff: Signoff) -> None:
    granted, errors = list[str](), list[Exception]()
    ids = [approved(signoff) for _ in range(15)]
    barrier = threading.Barrier(6)

    def run() -> None:
        try:
            for id_ in ids:
                barrier.wait()
                case, mine = signoff.claims.claim(id_)
                if mine:
                    granted.append(id_)
                    signoff.claims.record(case, Standing.EXECUTED, {})
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(granted) == sorted(ids)
    assert all("in_doubt" not in kinds(signoff, id_) for id_ in ids)


def test_of_several_processes_one_gets_the_claim(path: Path, signoff: Signoff) -> None:
    ids = [approved(signoff) for _ in range(40)]
    with FORK.Pool(4) as pool:
        found = pool.starmap(_claims, [(path, ids)] * 4, chunksize=1)
    granted = [id_ for mine in found for id_ in mine]
    assert sorted(granted) == sorted(ids)


_START = FORK.Barrier(4)


def _claims(path: Path, ids: list[str]) -> list[str]:
    with closing(Signoff(path, lease=30)) as signoff:
        mine = []
        for id_ in ids:
            _START.wait(60)  # all four want the same one at once
            case, granted = signoff.claims.claim(id_)
            if granted:
                mine.append(id_)
                signoff.claims.record(case, Standing.EXECUTED, {})
        return mine


def test_a_killed_owner_leaves_doubt_and_no_second_run(path: Path, signoff: Signoff) -> None:
    id_ = approved(signoff)
    with holder(path, id_) as process:
        assert signoff.claims.claim(id_)[0].standing is Standing.RUNNING
        process.send_signal(signal.SIGKILL)
        process.wait()
        until(lambda: signoff.claims.claim(id_)[0].standing is Standing.IN_DOUBT)
    assert signoff.claims.claim(id_)[1] is False
    assert kinds(signoff, id_) == ["opened", "decided", "claimed", "in_doubt"]


def test_a_killed_zombie_counts_as_dead(path: Path, signoff: Signoff) -> None:
    id_ = approved(signoff)
    with holder(path, id_) as process:
        process.send_signal(signal.SIGKILL)
        # Nobody has reaped it: its process id is still taken.
        until(lambda: signoff.claims.claim(id_)[0].standing is Standing.IN_DOUBT)


def test_an_idempotent_tool_of_a_killed_owner_is_claimed_again(path: Path, signoff: Signoff) -> None:
    id_ = approved(signoff, idempotent=True)
    with holder(path, id_) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        until(lambda: signoff.claims.claim(id_)[1])
    assert kinds(signoff, id_) == ["opened", "decided", "claimed", "in_doubt", "retried", "claimed"]
    assert signoff.desk.case(id_).attempts == 2


def test_a_stopped_owner_is_alive_on_its_own_host(path: Path, signoff: Signoff) -> None:
    id_ = approved(signoff)
    with holder(path, id_) as process:
        process.send_signal(signal.SIGSTOP)
        time.sleep(3 * LEASE)
        assert signoff.claims.claim(id_)[0].standing is Standing.RUNNING
        process.send_signal(signal.SIGCONT)


def test_on_another_host_the_lease_alone_decides(path: Path) -> None:
    clock = Clock()
    with closing(door(path, clock=clock)) as signoff:
        id_ = approved(signoff)
        far = json.dumps({**json.loads(liveness.me()), "host": "elsewhere"})
        signoff.desk.write(id_, lambda _: [Draft("claimed", {"attempt": 1, "owner": far, "lease": 10.0})])
        clock.advance(seconds=9)
        assert signoff.claims.claim(id_)[0].standing is Standing.RUNNING
        clock.advance(seconds=2)
        assert signoff.claims.claim(id_)[0].standing is Standing.IN_DOUBT


def test_a_late_outcome_of_an_owner_that_was_given_up_settles_the_doubt(path: Path) -> None:
    clock = Clock()
    with closing(door(path, clock=clock)) as signoff:
        id_ = approved(signoff)
        case, _ = signoff.claims.claim(id_)
        signoff.claims.doubt(case)
        assert signoff.desk.case(id_).standing is Standing.IN_DOUBT
        assert signoff.claims.record(case, Standing.EXECUTED, {"rendering": "sent"}).standing is Standing.EXECUTED


def test_a_child_does_not_keep_alive_what_its_parent_held(path: Path, signoff: Signoff) -> None:
    id_ = approved(signoff)
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:  # a runner that claims, leaves a child behind, and dies
        try:
            runner = door(path)
            assert runner.claims.claim(id_)[1]
            if os.fork() == 0:
                runner.leases.take("thread:another thread")  # the child keeps something of its own
                os.write(writing, b"x")
                time.sleep(8)
            else:
                os.read(reading, 1)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(parent, 0)
    until(lambda: signoff.claims.claim(id_)[0].standing is Standing.IN_DOUBT)


# The record does not answer ------------------------------------------------------------------------------------------------


def test_an_outcome_that_cannot_be_written_is_paid_later_and_nobody_runs_meanwhile(
    path: Path, signoff: Signoff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "BUSY_TIMEOUT", 0.1)
    signoff.close()
    id_ = approved(signoff)
    case, _ = signoff.claims.claim(id_)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerUnavailable):
            signoff.claims.record(case, Standing.EXECUTED, {"rendering": "sent"})
        time.sleep(2 * LEASE)
        other.execute("ROLLBACK")
    assert signoff.claims.claim(id_)[1] is False
    until(lambda: signoff.ticket(id_).standing is Standing.EXECUTED)
    assert kinds(signoff, id_) == ["opened", "decided", "claimed", "executed"]


def test_a_run_whose_outcome_was_owed_finishes_with_the_result(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "BUSY_TIMEOUT", 0.1)
    ran, lock = list[str](), sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def send(to: str) -> str:
        """Sends, and the ledger is locked from then on."""
        ran.append(to)
        lock.execute("BEGIN IMMEDIATE")
        return "sent"

    with closing(door(path)) as signoff, agent(signoff, [send], [[("send", {"to": "bob"})], "Done."]) as graph:
        run = signoff.run(graph, {"messages": [("user", "go")]}, thread_id="t")
        signoff.approve(run.tickets[0], by="ana")
        with pytest.raises(LedgerUnavailable):
            signoff.resume(graph, thread_id="t")
        lock.execute("ROLLBACK")
        run = signoff.resume(graph, thread_id="t")
        assert run.status == "completed"
        assert run.output["messages"][-2].text == "sent"
        assert ran == ["bob"]
    lock.close()


RECORDED = Policy.parse("version: 1\ntools: {send: {otherwise: {then: allow, record: true}}}")


@pytest.mark.parametrize("outcome", ["executed", "failed"])
def test_an_outcome_of_a_call_that_is_only_recorded_is_paid_later_and_nothing_is_held_then(
    path: Path, monkeypatch: pytest.MonkeyPatch, outcome: str
) -> None:
    monkeypatch.setattr(backend, "BUSY_TIMEOUT", 0.1)
    lock = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def send(to: str) -> str:
        """Sends, and the ledger is locked from then on."""
        lock.execute("BEGIN IMMEDIATE")
        if outcome == "failed":
            raise ValueError("no such address")
        return "sent"

    script = [[("send", {"to": "bob"})], "Done."]
    with closing(lock), closing(door(path, policy=RECORDED)) as signoff, agent(signoff, [send], script) as graph:
        with pytest.raises(LedgerUnavailable):
            signoff.run(graph, {"messages": [("user", "go")]}, thread_id="t")
        [row] = signoff.ledger.all_rows()
        claim = f"claim:{row.id}:0"
        assert (kinds(signoff, row.id), signoff.leases.keeps(claim)) == (["opened"], True)
        time.sleep(LEASE)  # a payment is tried, and fails
        assert signoff.leases.keeps(claim)
        lock.execute("ROLLBACK")
        until(lambda: not signoff.leases.keeps(claim))
        assert kinds(signoff, row.id) == ["opened", outcome]
        assert signoff.ticket(row.id).standing == outcome
        until(lambda: signoff.ledger.lease(claim) is None)
        assert not signoff.leases.keeps("thread:t")
        assert signoff.verify().broken == []

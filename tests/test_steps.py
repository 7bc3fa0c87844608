"""A driver does every step of the heart; a cancellation never leaves a call of the ledger alone."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from langgraph_signoff import LedgerUnavailable, Signoff
from langgraph_signoff.ledger import sqlite_file as backend
from langgraph_signoff.nodes.steps import Io, Steps, Work, adrive
from support import open_ticket


async def ended(steps: Steps[Any]) -> BaseException | Any:
    """What steps give, or what they raise."""
    try:
        return await adrive(steps)
    except BaseException as error:
        return error


class Locked:
    """A ledger that somebody else holds, and a call of it that fails for that, once its caller was cancelled."""

    def __init__(self, path: Path) -> None:
        self.signoff = Signoff(path, lease=0.5)
        self.id = self.signoff.approve(open_ticket(self.signoff), by="ana").id
        self._lock = sqlite3.connect(path, isolation_level=None)
        self._lock.execute("BEGIN IMMEDIATE")
        self._under_way, self._cancelled = threading.Event(), threading.Event()

    def claim(self) -> bool:
        self._under_way.set()
        assert self._cancelled.wait(30)
        return self.claim_now()

    def claim_now(self) -> bool:
        return self.signoff.claims.claim(self.id)[1]

    async def cancelled_meanwhile(self, steps: Steps[Any]) -> BaseException | Any:
        """How steps end that are cancelled, twice, while their call of the ledger is under way."""
        driven = asyncio.create_task(ended(steps))
        await asyncio.to_thread(self._under_way.wait, 30)
        for _ in range(2):
            driven.cancel()
            await asyncio.sleep(0)
        self._cancelled.set()
        return await driven

    def unlock(self) -> None:
        self._lock.execute("ROLLBACK")

    def close(self) -> None:
        self._lock.close()
        self.signoff.close()


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Locked]:
    monkeypatch.setattr(backend, "BUSY_TIMEOUT", 0.05)
    with closing(Locked(tmp_path / "ledger.db")) as made:
        yield made


def work(do: Callable[[], Any]) -> Work:
    async def ado() -> Any:
        return do()

    return Work(do, ado, ContextVar("test"), None)


async def test_steps_that_cannot_go_on_without_the_ledger_are_cancelled_all_the_same(locked: Locked) -> None:
    seen, ran = list[BaseException](), list[str]()

    def steps() -> Steps[None]:
        try:
            yield Io(locked.claim)
        except BaseException as error:
            seen.append(error)
            raise
        yield work(lambda: ran.append("ran"))

    error = await locked.cancelled_meanwhile(steps())
    assert isinstance(error, asyncio.CancelledError)
    assert isinstance(error.__cause__, LedgerUnavailable)
    assert seen == [error.__cause__], "the steps learn why their call failed"
    assert ran == []
    assert locked.signoff.ticket(locked.id).standing == "approved"


async def test_steps_that_go_on_without_the_ledger_are_cancelled_before_any_work(locked: Locked) -> None:
    seen, ran = list[str](), list[str]()

    def steps() -> Steps[None]:
        try:
            yield Io(locked.claim)
        except LedgerUnavailable as error:
            seen.append(type(error).__name__)
        try:
            yield work(lambda: ran.append("ran"))
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    assert isinstance(await locked.cancelled_meanwhile(steps()), asyncio.CancelledError)
    assert (seen, ran) == (["LedgerUnavailable", "cancelled"], [])


async def test_steps_that_only_clean_up_do_so_and_are_cancelled_at_their_end(locked: Locked) -> None:
    def steps() -> Steps[bool]:
        try:
            yield Io(locked.claim)
        except LedgerUnavailable:
            locked.unlock()
        return (yield Io(locked.claim))

    assert isinstance(await locked.cancelled_meanwhile(steps()), asyncio.CancelledError)
    assert locked.signoff.ticket(locked.id).standing == "running", "what was under way came to its end"


async def test_work_that_is_cancelled_and_cannot_be_recorded_is_cancelled_all_the_same(locked: Locked) -> None:
    begun = asyncio.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.sleep(60)

    def steps() -> Steps[None]:
        try:
            yield Work(lambda: None, hang, ContextVar("test"), None)
        finally:
            yield Io(locked.claim_now)

    driven = asyncio.create_task(ended(steps()))
    await begun.wait()
    driven.cancel()
    error = await driven
    assert isinstance(error, asyncio.CancelledError)
    assert isinstance(error.__cause__, LedgerUnavailable)


async def test_an_error_stays_an_error_where_only_an_earlier_call_was_cancelled(locked: Locked) -> None:
    def steps() -> Steps[bool]:
        return (yield Io(locked.claim_now))

    asyncio.current_task().cancel()  # type: ignore[union-attr]  # a test has a task
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)
    with pytest.raises(LedgerUnavailable):
        await adrive(steps())

"""A driver does every step of the heart; a cancellation never leaves a call of the ledger alone."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from langgraph_signoff import LedgerUnavailable, Signoff
from langgraph_signoff.ledger import sqlite_file as backend
from langgraph_signoff.nodes.steps import Io, Steps, Work, adrive
from support import open_ticket


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
        return self.signoff.claims.claim(self.id)[1]

    async def cancelled_meanwhile(self, steps: Steps[Any]) -> BaseException | Any:
        """How steps end that are cancelled, twice, while their call of the ledger is under way."""
        driven = asyncio.create_task(adrive(steps))
        await asyncio.to_thread(self._under_way.wait, 30)
        for _ in range(2):
            driven.cancel()
            await asyncio.sleep(0)
        self._cancelled.set()
        [ended] = await asyncio.gather(driven, return_exceptions=True)
        return ended

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


async def test_steps_that_cannot_go_on_without_the_ledger_end_with_its_error(locked: Locked) -> None:
    seen, ran = list[BaseException](), list[str]()

    def steps() -> Steps[None]:
        try:
            yield Io(locked.claim)
        except BaseException as error:
            seen.append(error)
            raise
        yield work(lambda: ran.append("ran"))

    ended = await locked.cancelled_meanwhile(steps())
    assert isinstance(ended, LedgerUnavailable)
    assert seen == [ended], "the steps learn why their call failed"
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

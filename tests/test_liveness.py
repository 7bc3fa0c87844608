"""Whose process is alive: told by host, process id and the moment of its start, so that nobody is taken for another."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from langgraph_signoff import liveness

READERS: list[Callable[[int], float | None]] = [liveness._started, liveness._started_by_psutil]


@contextmanager
def sleeper(name: str = "sleeper") -> Iterator[subprocess.Popen[bytes]]:
    """A process of that name that waits to be killed."""
    script = 'printf %s "$1" > /proc/$$/comm; echo; read forever'
    with subprocess.Popen(["sh", "-c", script, "sh", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        assert Path(f"/proc/{process.pid}/comm").read_text() == f"{name}\n"
        yield process
        process.kill()


def owner(pid: int) -> str:
    return liveness._owner(pid)


def test_this_process_lives_and_one_that_has_its_id_but_another_start_does_not() -> None:
    me = json.loads(liveness.me())
    assert liveness.pid_of(liveness.me()) == os.getpid()
    assert liveness.is_gone(liveness.me()) is False
    assert liveness.is_gone(json.dumps({**me, "started": me["started"] - 10})) is True
    assert liveness.is_gone(json.dumps({**me, "host": "elsewhere"})) is None


def test_a_process_lives_until_it_is_killed_even_if_nobody_has_reaped_it() -> None:
    with sleeper() as process:
        who = owner(process.pid)
        assert liveness.is_gone(who) is False
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert Path(f"/proc/{process.pid}").exists(), "it is a zombie"
        assert liveness.is_gone(who) is True
    assert liveness.is_gone(who) is True


@pytest.mark.parametrize("name", ["a b", "z) Z 1 (", ") 0 0"])
def test_the_name_of_a_process_tells_nothing_of_its_life(name: str) -> None:
    with sleeper(name) as process:
        assert liveness.is_gone(owner(process.pid)) is False


@pytest.mark.parametrize("started", READERS)
def test_each_way_to_read_a_start_tells_the_living_from_the_dead(started: Callable[[int], Any]) -> None:
    with sleeper() as process:
        first = started(process.pid)
        assert isinstance(first, float)
        assert abs(first - started(process.pid)) < 1
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert started(process.pid) is None
    assert started(process.pid) is None


def test_a_forked_child_is_somebody_else_than_its_parent() -> None:
    mine = liveness.me()
    context = multiprocessing.get_context("fork")
    reading, writing = context.Pipe(duplex=False)
    child = context.Process(target=lambda: writing.send(liveness.me()))
    child.start()
    theirs = reading.recv()
    assert (liveness.pid_of(theirs), liveness.pid_of(mine)) == (child.pid, os.getpid())
    child.join()
    assert (liveness.is_gone(theirs), liveness.is_gone(mine)) == (True, False)

"""Whose process is alive: an owner is a host, a process id and the moment that process started."""

from __future__ import annotations

import functools
import json
import os
import socket

_SAME_START = 2.0  # seconds by which two readings of one process start may differ


def me() -> str:
    """This process, as text: `{"host":…,"pid":…,"started":…}`."""
    return _owner(os.getpid())


@functools.lru_cache(maxsize=4)
def _owner(pid: int) -> str:
    return json.dumps({"host": socket.gethostname(), "pid": pid, "started": _started(pid)})


def is_gone(owner: str) -> bool | None:
    """Whether that process no longer runs; None if it is on another host, where only its lease tells."""
    who = json.loads(owner)
    if who["host"] != socket.gethostname():
        return None
    started = _started(who["pid"])
    return started is None or abs(started - who["started"]) > _SAME_START


def pid_of(owner: str) -> int:
    """The process id of an owner."""
    return int(json.loads(owner)["pid"])


def _started(pid: int) -> float | None:
    import psutil

    try:
        process = psutil.Process(pid)
        # A zombie runs nothing any more; it only waits to be reaped.
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return None

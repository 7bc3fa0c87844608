"""Whose process is alive: an owner is a host, a process id and the moment that process started."""

from __future__ import annotations

import functools
import json
import os
import socket
from pathlib import Path

_SAME_START = 2.0  # seconds by which two readings of one process start may differ


def me() -> str:
    """This process, as text: `{"host":…,"pid":…,"started":…}`."""
    return _owner(os.getpid())


@functools.lru_cache(maxsize=4)
def _owner(pid: int) -> str:
    return json.dumps({"host": _host(), "pid": pid, "started": _started(pid)})


def is_gone(owner: str) -> bool | None:
    """Whether that process no longer runs; None if it is on another host, where only its lease tells."""
    who = json.loads(owner)
    if who["host"] != _host():
        return None
    started = _started(who["pid"])
    return started is None or abs(started - who["started"]) > _SAME_START


def pid_of(owner: str) -> int:
    """The process id of an owner."""
    return int(json.loads(owner)["pid"])


@functools.cache
def _host() -> str:
    # Containers may share a name and not their process ids; after a boot the ids begin anew.
    places = ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid")
    try:
        boot, namespace = Path(places[0]).read_text("ascii").strip(), os.readlink(places[1])
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()} {boot} {namespace}"


def _started(pid: int) -> float | None:
    """Seconds, on whatever clock this system counts process starts by; None for a process that runs nothing any more."""
    try:
        # On Linux since the boot: a clock that is set anew moves psutil's reading, but not this one.
        state, *fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return _started_by_psutil(pid)
    return None if state in "ZX" else int(fields[18]) / os.sysconf("SC_CLK_TCK")


def _started_by_psutil(pid: int) -> float | None:
    import psutil

    try:
        process = psutil.Process(pid)
        # A zombie runs nothing any more; it only waits to be reaped.
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return None

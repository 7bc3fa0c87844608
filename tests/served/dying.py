"""The examples' own handlers, in a server that dies as soon as an answer is on record and before its run is created."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

from langgraph_runtime_inmem import _persistence
from langgraph_runtime_inmem.checkpoint import Checkpointer

from serve import auth

[decide] = auth._handlers["threads", "create_run"]


async def decide_and_die(ctx: Any, value: Any) -> Any:
    allowed = await decide(ctx=ctx, value=value)
    if value["kwargs"].get("command") and Path("die").exists():
        # What a database would have: the development server keeps its threads in memory.
        await asyncio.to_thread(keep)
        os.kill(os.getpid(), signal.SIGKILL)
    return allowed


def keep() -> None:
    places = [place() for place in _persistence._stores.values()]
    saver: Any = Checkpointer()
    for store in [*filter(None, places), saver.storage, saver.writes, saver.blobs]:
        store.sync()


auth._handlers["threads", "create_run"] = [decide_and_die]

"""Room for called tasks where LangGraph would let them wait for a place that their own caller holds."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import Context, copy_context
from copy import copy
from functools import partial
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import set_config_context
from langgraph.config import get_config


@contextmanager
def room(workers: int | None = None) -> Iterator[Context]:
    """A context in which called tasks find a place also under `max_concurrency`; `workers` at once, by default that many.

    LangGraph counts a called task beside the node that waits for it: as many waiting nodes as there are places stop a run for
    ever. So these have places of their own, as the calls of a ToolNode have.
    """
    config = get_config()
    limit = config.get("max_concurrency")
    call: Any = config.get("configurable", {}).get(_CALL)
    submit = getattr(call, "keywords", {}).get("submit")
    executor = getattr(submit() if submit else None, "__self__", None)
    if not limit or executor is None:
        yield copy_context()
        return
    roomy = copy(executor)  # it still stops with the run, by the list of tasks that both share
    with ThreadPoolExecutor(workers or limit) as threads:
        if hasattr(roomy, "semaphore"):
            roomy.semaphore = None
        else:
            roomy.executor = threads
        own = {**config["configurable"], _CALL: partial(call, submit=lambda: roomy.submit)}
        with set_config_context({**config, "configurable": own}) as context:
            yield context


_CALL = "__pregel_call"


def can_call_tasks(config: RunnableConfig) -> bool:
    """Whether this runs inside a graph; a node that is called by itself has no tasks, and nothing in it can pause."""
    return _CALL in config.get("configurable", {})

"""All that the gate uses of LangGraph beyond its public API, besides the methods of ToolNode that it overrides.

Each has one use, and a test in `tests/test_internals.py` that fails when LangGraph changes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import Context, copy_context
from copy import copy
from dataclasses import replace
from functools import partial
from inspect import getclosurevars, isfunction
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import set_config_context
from langchain_core.tools import BaseTool
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.config import get_config
from langgraph.graph import StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.prebuilt.tool_node import _get_all_injected_args
from langgraph.pregel._write import ChannelWrite, ChannelWriteEntry
from langgraph.types import Interrupt

INTERRUPT = "__interrupt__"
"""Where `invoke` puts the pauses of a run."""

_CALL, _CHECKPOINTER, _DURABILITY = "__pregel_call", "__pregel_checkpointer", "__pregel_durability"
_SENDS, _CHECKPOINTS = "__pregel_tasks", "checkpoint_map"
_DEFAULT_HANDLER = "__default_error_handler__"
_READ, _SCRATCHPAD, _RESUME_MAP = "__pregel_read", "__pregel_scratchpad", "__pregel_resume_map"

Configurable = Mapping[str, Any]
"""The `configurable` of a run's config, where LangGraph keeps what it needs at run time."""


def has_checkpointer(configurable: Configurable) -> bool:
    """Whether the run saves its state."""
    return bool(configurable.get(_CHECKPOINTER))


def checkpointer(configurable: Configurable) -> BaseCheckpointSaver[Any]:
    """What saves the state of a run that has a checkpointer."""
    saver: BaseCheckpointSaver[Any] = configurable[_CHECKPOINTER]
    return saver


def checkpoint_in(configurable: Configurable, graph: str) -> RunnableConfig:
    """Where the checkpoint lies on which a task now runs: its own graph's, or that of a graph around it, by namespace."""
    checkpoint, thread = configurable[_CHECKPOINTS][graph], configurable["thread_id"]
    return {"configurable": {"thread_id": thread, "checkpoint_ns": graph, "checkpoint_id": checkpoint}}


def ends_unsaved(configurable: Configurable) -> bool:
    """Whether a run saves nothing before it ends. A run shows this only if it was given its durability explicitly."""
    return configurable.get(_DURABILITY) == "exit"


def waits_for_unknown(graph: Any, saved: CheckpointTuple) -> bool:
    """Whether a thread waits at a node that the graph does not have: then it shows nothing of it, as if it had finished."""
    values = saved.checkpoint["channel_values"]
    unknown = [send.node for send in values.get(_SENDS, ()) if send.node not in graph.nodes]
    unknown += [name for name in values if name not in graph.channels]
    return bool(unknown) and any(channel == INTERRUPT for _, channel, _ in saved.pending_writes or ())


def skip_call(configurable: Configurable) -> None:
    """Leaves out a number of the called tasks of this task: LangGraph finds what the later ones returned by their numbers."""
    configurable[_SCRATCHPAD].call_counter()


def life_of_task(configurable: Configurable) -> Any:
    """Something that all threads of one run of a task share, that no other run has, and that goes with it; None outside of one."""
    return configurable.get(_READ)


def is_unheard(configurable: Configurable) -> bool:
    """Whether an answer without an id lies in wait for whoever pauses next in this task; it came for the pause before."""
    scratchpad: Any = configurable.get(_SCRATCHPAD)
    return bool(scratchpad) and scratchpad.get_null_resume(False) is not None


def last_pauses(config: RunnableConfig) -> list[Interrupt]:
    """What this task showed when it last paused, empty if it did not: that is what an answer without an id has come for."""
    own = config.get("metadata", {}).get("langgraph_checkpoint_ns", "").rpartition("|")[2].rpartition(":")[2]
    scratchpad: Any = config.get("configurable", {}).get(_SCRATCHPAD)
    writes = getclosurevars(scratchpad.get_null_resume).nonlocals["pending_writes"]
    return [pause for task, channel, pauses in writes if (task, channel) == (own, INTERRUPT) for pause in pauses]


def is_answered_by_id(configurable: Configurable) -> bool:
    """Whether this run was given its answers by id. One without an id is then left over from a run before."""
    return configurable.get(_RESUME_MAP) is not None


def nodes_around(configurable: Configurable) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The nodes, by name, of the graph in which a task runs, then of each graph around it that runs in the same thread.

    With each the name of its node in which the task runs, empty if it has none.
    """
    thread_id = configurable.get("thread_id")
    while call := configurable.get(_CALL):
        loop = getattr(_unguarded(call).keywords.get("schedule_task"), "__self__", None)
        if loop is None or loop.config["configurable"].get("thread_id") != thread_id:
            return
        # A called task has a part of the namespace too, and is no node.
        places = [part.partition(":")[0] for part in configurable.get("checkpoint_ns", "").split("|")]
        yield next((place for place in reversed(places) if place in loop.nodes), ""), loop.nodes
        configurable = loop.config["configurable"]


def ahead_of(name: str, nodes: Mapping[str, Any]) -> set[str]:
    """The nodes of a graph to which its edges lead from one of them; all, where a condition does not say where it leads."""
    found, waiting = set[str](), [name] if name in nodes else []
    while waiting:
        channels = set[str]()
        for writer in nodes[waiting.pop()].writers:
            static = ChannelWrite.get_static_writes(writer)
            if static is None and not isinstance(writer, ChannelWrite):
                return set(nodes)
            channels |= {channel for channel, *_ in static or ()}
            channels |= {
                entry.channel for entry in getattr(writer, "writes", ()) if isinstance(entry, ChannelWriteEntry)
            }
        fresh = {other for other, node in nodes.items() if channels & set(node.triggers)} - found
        found |= fresh
        waiting += fresh
    return found


def hear(configurable: Configurable) -> None:
    """Takes such an answer: LangGraph gives it to the first that asks, and has no public way to say that it was heard.

    It is taken from this run alone: LangGraph keeps it beside the checkpoint, and brings it back with the next run.
    """
    configurable[_SCRATCHPAD].get_null_resume(True)


def default_handler(builder: StateGraph[Any, Any, Any, Any]) -> Any:
    """What handles the errors of nodes without a handler of their own, until the builder is compiled; None if nothing does."""
    return getattr(getattr(builder, "_node_defaults", None), "error_handler", None)


def keep_default_handler(builder: StateGraph[Any, Any, Any, Any]) -> None:
    """Keeps a builder that was compiled from adding its default handler a second time, which would be an error."""
    if _DEFAULT_HANDLER in builder.nodes:
        builder._node_defaults = replace(builder._node_defaults, error_handler=None)


def options_of(node: ToolNode) -> dict[str, Any]:
    """What a ToolNode was made with besides its tools."""
    return {
        "name": node.name,
        "tags": node.tags,
        "handle_tool_errors": node._handle_tool_errors,
        "messages_key": node._messages_key,
        "wrap_tool_call": node._wrap_tool_call,
        "awrap_tool_call": node._awrap_tool_call,
    }


def injected_args(tool: BaseTool) -> frozenset[str]:
    """The names of the arguments that a ToolNode injects, which no model may give."""
    found = _get_all_injected_args(tool)
    return (
        frozenset(found.all_injected_keys)
        | frozenset(found.state)
        | frozenset(filter(None, (found.store, found.runtime)))
    )


@contextmanager
def room(workers: int | None = None) -> Iterator[Context]:
    """A context in which called tasks find a place also under `max_concurrency`; `workers` at once, by default that many.

    LangGraph counts a called task beside the node that waits for it: as many waiting nodes as there are places stop a run for
    ever. So these have places of their own, as the calls of a ToolNode have.
    """
    config = get_config()
    limit = config.get("max_concurrency")
    call: Any = config.get("configurable", {}).get(_CALL)
    submit = getattr(_unguarded(call), "keywords", {}).get("submit")
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


def _unguarded(call: Any) -> Any:
    # A node with a timeout gets it inside a function that refuses once the time is over.
    return getclosurevars(call).nonlocals.get("call", call) if isfunction(call) else call


def can_call_tasks(config: RunnableConfig) -> bool:
    """Whether this runs inside a graph; a node that is called by itself has no tasks, and nothing in it can pause."""
    return _CALL in config.get("configurable", {})

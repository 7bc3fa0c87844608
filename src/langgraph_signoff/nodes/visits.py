"""Which visit of a node or task a run is, and whether an earlier one is over: so a repeated key is told from a replay.

A visit is kept as JSON: the namespace around its task, step and path, then the task itself, and how often the task has come
to this very call.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.config import get_config
from langgraph.runtime import get_runtime

from langgraph_signoff.nodes import internals
from langgraph_signoff.nodes.as_json import as_json
from langgraph_signoff.nodes.steps import Sleep, Steps
from langgraph_signoff.vocabulary import Json

_POLL, _LOOKS = 0.05, 100  # seconds between two looks for a checkpoint that is only being saved, and how many looks

_COUNTED: WeakKeyDictionary[Any, Counter[tuple[str, int]]] = WeakKeyDictionary()
_COUNTING = Lock()


def place_of(config: RunnableConfig) -> list[Json]:
    """Where a run is, in LangGraph's terms: it outlives a resume, and the loss of a checkpoint. Namespace, step, path."""
    metadata = config.get("metadata", {})
    namespace, step = metadata.get("langgraph_checkpoint_ns", ""), metadata.get("langgraph_step")
    return [str(namespace).rpartition("|")[0], step, as_json(metadata.get("langgraph_path"))]


def visit_of(config: RunnableConfig, ticket_id: str) -> str:
    """This visit. To be asked for once in each run: it is counted."""
    info = get_runtime().execution_info
    task = info.checkpoint_ns if info else ""
    return json.dumps([*place_of(config), task.rpartition("|")[2], times(ticket_id)])


def times(ticket_id: str) -> int:
    """How often this run of a task has come to this very call, this time included; whichever of its threads did."""
    info, life = get_runtime().execution_info, internals.life_of_task(get_config().get("configurable", {}))
    if info is None or life is None:
        return 1
    with _COUNTING:
        counted = _COUNTED.setdefault(life, Counter())
        counted[ticket_id, info.node_attempt] += 1
        return counted[ticket_id, info.node_attempt]


def is_same(one: str, other: str) -> bool:
    """Whether both are one visit."""
    return _place(one) == _place(other) and _way(one) == _way(other)


def is_at(one: str, other: str) -> bool:
    """Whether these are visits of one place in the graph, in whichever steps."""
    return [_place(one)[0], _way(one)] == [_place(other)[0], _way(other)]


def is_beside(one: str, other: str) -> bool:
    """Whether these are two visits of one step."""
    return _place(one) == _place(other) and _way(one) != _way(other)


def is_over(earlier: str) -> Steps[bool]:
    """Whether the history that this run stands on holds the end of that visit's step, so that this run is another one.

    An update of the state, a replay and new input leave a visit without its end. What cannot be known is over.
    """
    since = yield from _since(earlier)
    return since is None or since[-1:] == ["loop"]


def is_brought_back(earlier: str) -> Steps[bool]:
    """Whether an update of the state, or a replay, has led back behind the end of that visit's step."""
    since = yield from _since(earlier)
    why = next((source for source in since or () if source != "loop"), "")
    return since is not None and since[-1:] != ["loop"] and why in ("update", "fork")


def _since(earlier: str) -> Steps[list[str] | None]:
    """What made each checkpoint from now back to that visit, or to the beginning of a history without it; None if unknown."""
    config = get_config()
    mine, theirs = config["metadata"]["langgraph_checkpoint_ns"].split("|"), _namespace(earlier).split("|")
    level = next((n for n, (one, other) in enumerate(zip(mine, theirs, strict=False)) if one != other), None)
    if level is None:
        return None
    task, since = theirs[level].rpartition(":")[2], list[str]()
    found = yield from _current(internals.checkpoint_in(config["configurable"], "|".join(mine[:level])))
    while found and task not in [write[0] for write in found.pending_writes or ()]:
        since.append(found.metadata["source"])
        if found.parent_config is None:
            return [*since, ""] if found.metadata["step"] < 0 else None  # else the beginning of the history is missing
        found = yield _Load(found.parent_config)
    return since if found else None


def _current(at: RunnableConfig) -> Steps[CheckpointTuple | None]:
    # LangGraph saves in the background.
    for _ in range(_LOOKS):
        found: CheckpointTuple | None = yield _Load(at)
        if found:
            return found
        yield Sleep(_POLL)
    return None


@dataclass(frozen=True, slots=True)
class _Load:
    """Reads a checkpoint of this run's thread."""

    at: RunnableConfig

    @property
    def saver(self) -> BaseCheckpointSaver[Any]:
        return internals.checkpointer(get_config()["configurable"])

    def run(self) -> CheckpointTuple | None:
        """Reads it here."""
        return self.saver.get_tuple(self.at)

    async def arun(self) -> CheckpointTuple | None:
        """Reads it on the loop."""
        return await self.saver.aget_tuple(self.at)


def _place(visit: str) -> list[Json]:
    return list(json.loads(visit)[:2])


def _way(visit: str) -> list[Json]:
    _, _, path, _, count = json.loads(visit)
    return [path, count]


def _namespace(visit: str) -> str:
    around, _, _, task, _ = json.loads(visit)
    return f"{around}|{task}" if around else str(task)

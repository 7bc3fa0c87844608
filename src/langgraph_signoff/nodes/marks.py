"""How gates are found again in a graph: by the mark that a guarded function carries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from langchain_core.runnables.config import ensure_config

from langgraph_signoff.nodes.internals import ahead_of, nodes_around

if TYPE_CHECKING:
    from langgraph_signoff.nodes.gate import Gate

MARK = "signoff_gate"
"""The attribute of a guarded function that holds its gate."""

BEHIND = "signoff_behind"
"""The attribute of a guarded runnable that holds what it guards."""


def gate_of(node: Any) -> Gate | None:
    """The gate of a guarded node, as it was given to a builder or as LangGraph has wrapped it."""
    gate: Gate | None = _marked(node, MARK)
    return gate


def behind_gate(node: Any) -> Any:
    """The runnable that a node guards; any other node itself."""
    return _marked(node, BEHIND) or node


def _marked(node: Any, mark: str) -> Any:
    parts = (node, getattr(node, "func", None), getattr(node, "afunc", None))
    return next((getattr(part, mark) for part in parts if hasattr(part, mark)), None)


def gates_ahead() -> Iterator[Gate]:
    """The guarded nodes to which edges lead from here, in the graph that runs and in those around it in the same thread."""
    for name, nodes in nodes_around(ensure_config().get("configurable", {})):
        for other in ahead_of(name, nodes):
            if gate := gate_of(nodes[other].bound):
                yield gate

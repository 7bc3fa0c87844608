"""Whether a graph can hold a gate, and where its gates are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from langgraph_signoff.errors import GraphRefused
from langgraph_signoff.nodes.tool_node import GatedToolNode

Graph = Any
"""A compiled graph: LangGraph's Pregel, whatever its types of state and context."""


def check(graph: Graph) -> list[str]:
    """See `Signoff.check`."""
    if not graph.checkpointer:
        raise GraphRefused("the graph has no checkpointer, so a paused run could never be resumed; compile it with one")
    found: list[str] = []
    for name, node, gate in _gates(graph):
        found += _check_node(name, node)
        found += gate.policy.warnings(gate.policy_tools)  # the one that rules there, whichever the caller has
    return found


def _check_node(name: str, node: Any) -> list[str]:
    if node.cache_policy:
        raise GraphRefused(
            f"node {name!r} has a CachePolicy, which would answer one thread's call from another's; remove it"
        )
    found = []
    if node.retry_policy:
        found.append(
            f"node {name!r} has a RetryPolicy: an approved call is tried once all the same; retry inside the tool"
        )
    if getattr(node, "timeout", None):
        found.append(
            f"node {name!r} has a timeout: a call that it cuts off is in doubt; put the timeout inside the tool"
        )
    return found


def _gates(graph: Graph) -> Iterable[tuple[str, Any, GatedToolNode]]:
    for part in [graph, *(subgraph for _, subgraph in graph.get_subgraphs(recurse=True))]:
        for name, node in part.nodes.items():
            if isinstance(node.bound, GatedToolNode):
                yield name, node, node.bound


def gated_tools(graph: Graph) -> list[str]:
    """The names of the tools behind a graph's gates, those of its subgraphs included."""
    return [name for _, _, gate in _gates(graph) for name in gate.policy_tools]


def breakpoints(graph: Graph) -> tuple[frozenset[str], bool]:
    """The nodes before which the author stops the graph, and whether it also stops elsewhere, its subgraphs included."""
    subgraphs = [subgraph for _, subgraph in graph.get_subgraphs(recurse=True)]
    inside = any(part.interrupt_before_nodes or part.interrupt_after_nodes for part in subgraphs)
    return frozenset(graph.interrupt_before_nodes), bool(graph.interrupt_after_nodes or inside)

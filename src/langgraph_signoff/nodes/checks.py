"""Whether a graph can hold a gate, and where its gates are."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode

from langgraph_signoff import law
from langgraph_signoff.errors import GraphRefused
from langgraph_signoff.nodes.closures import Gating, gating_of
from langgraph_signoff.nodes.gate import Gate
from langgraph_signoff.nodes.gated_tool import GatedTool, ungated
from langgraph_signoff.nodes.heart import Heart
from langgraph_signoff.nodes.internals import nodes_around
from langgraph_signoff.nodes.marks import behind_gate, gate_of
from langgraph_signoff.nodes.question_tool import QuestionTool
from langgraph_signoff.nodes.tool_node import GatedToolNode
from langgraph_signoff.vocabulary import Requirements, Undoing

AnyGate = GatedToolNode | Gating | Gate

Graph = Any
"""A compiled graph: LangGraph's Pregel, whatever its types of state and context."""


def check(graph: Graph) -> list[str]:
    """See `Signoff.check`."""
    if not graph.checkpointer:
        raise GraphRefused("the graph has no checkpointer, so a paused run could never be resumed; compile it with one")
    found: list[str] = []
    for name, node, gates in _gated_nodes(graph):
        found += _check_node(name, node)
        for gate in gates:
            found += _check_gate(gate, node.bound)
            found += _check_review(gate, graph) if _is_review(gate) else []
    return found


def _is_review(gate: AnyGate) -> bool:
    return isinstance(gate, Gate) and gate.kind == "outcome"


def _check_gate(gate: AnyGate, node: Any) -> list[str]:
    # The policy that rules there, whichever the caller has.
    named = [] if _is_review(gate) else _nodes(gate)  # to be reviewed is what a review is for
    found = gate.heart.policy.warnings(_tools(gate, node), named, _questions(gate, node))
    return found + _check_undo(gate, _tools(gate, node))


def _check_review(review: AnyGate, graph: Graph) -> list[str]:
    policy, needs = review.heart.policy, list[tuple[str, Requirements]]()
    for gate, node in ((gate, node.bound) for _, node, gates in _gated_nodes(graph) for gate in gates):
        needs += [(name, need) for name in _tools(gate, node) for need in policy.put_off(name, kind="tool")]
        needs += [(name, need) for name in _nodes(gate) for need in policy.put_off(name, kind="node")]
    if not needs or not law.too_few(functools.reduce(law.stricter, (need for _, need in needs)), people=policy.people):
        return []
    names = ", ".join(sorted({name for name, _ in needs}))
    return [
        f"{', '.join(_nodes(review))}: too few people may decide what is put off to it together ({names}): a run that does all of "
        "it ends without a decision; give their queues reviewers in common, or write `supervision: tactical` for some"
    ]


def _check_undo(gate: AnyGate, tools: list[str]) -> list[str]:
    policy, undoings = gate.heart.policy, gate.heart.own_undoings
    missing = [tool for tool in tools if policy.undoes(tool, kind="tool") and tool not in undoings]
    missing += [node for node in _nodes(gate) if policy.undoes(node, kind="node") and node not in undoings]
    return [
        f"{name}: the policy says `undo: true`, and no gate declares an undo for it; it is asked about before it runs"
        for name in missing
    ]


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


def _gated_nodes(graph: Graph) -> Iterator[tuple[str, Any, list[AnyGate]]]:
    return _gated_among(graph.nodes)


def _gated_among(nodes: Mapping[str, Any]) -> Iterator[tuple[str, Any, list[AnyGate]]]:
    for name, node in nodes.items():
        if gates := _gates(node.bound):
            yield name, node, gates
        for subgraph in node.subgraphs:
            yield from _gated_among(getattr(subgraph, "nodes", {}))


def _gates(node: Any) -> list[AnyGate]:
    """The gate before a node, and the one around the tools in it."""
    inner = behind_gate(node)
    tools = inner if isinstance(inner, GatedToolNode) else gating_of(inner) if isinstance(inner, ToolNode) else None
    return [gate for gate in (gate_of(node), tools) if gate]


def _tools(gate: AnyGate, node: Any) -> list[str]:
    return [name for name, tool in _by_name(gate, node).items() if not _asks(tool)]


def _questions(gate: AnyGate, node: Any) -> list[str]:
    return [name for name, tool in _by_name(gate, node).items() if _asks(tool)]


def _by_name(gate: AnyGate, node: Any) -> dict[str, Any]:
    return {} if isinstance(gate, Gate) else dict(behind_gate(node).tools_by_name)


def _asks(tool: Any) -> bool:
    return isinstance(tool, QuestionTool) or (isinstance(tool, GatedTool) and tool.schema_of_call.form is not None)


def _nodes(gate: AnyGate) -> list[str]:
    return [gate.name] if isinstance(gate, Gate) else []


def gated(graph: Graph) -> tuple[list[str], list[str], list[str]]:
    """The names of the tools, nodes and tools that ask behind a graph's gates, those of its subgraphs included."""
    found = [(gate, node.bound) for _, node, gates in _gated_nodes(graph) for gate in gates]
    tools = [name for gate, node in found for name in _tools(gate, node)]
    questions = [name for gate, node in found for name in _questions(gate, node)]
    return tools, [name for gate, _ in found for name in _nodes(gate)], questions


def undoings_around(heart: Heart) -> dict[str, Undoing]:
    """What undoes each tool and node, as the gates of the running graphs declare it; of what they do not guard, as any gate does.

    A name for which they do not declare the same is left out: the record does not say which of them a call has passed.
    """
    around = nodes_around(ensure_config().get("configurable", {}))
    return _agreed(heart, (each for _, nodes in around for each in _gated_among(nodes)))


def undoings_of(graph: Graph, heart: Heart) -> dict[str, Undoing]:
    """The same for a graph that does not run here."""
    return _agreed(heart, _gated_nodes(graph))


def _agreed(heart: Heart, gated_nodes: Iterable[tuple[str, Any, list[AnyGate]]]) -> dict[str, Undoing]:
    declared: dict[str, list[Undoing | None]] = {}
    for gate, node in ((gate, node.bound) for _, node, gates in gated_nodes for gate in gates):
        for name in (*_tools(gate, node), *_nodes(gate)):
            declared.setdefault(name, []).append(gate.heart.own_undoings.get(name))
    found = {name: undoing for name, undoing in heart.undoings.items() if name not in declared}
    return found | {
        name: first for name, (first, *others) in declared.items() if first and all(other == first for other in others)
    }


def guards(graph: Graph) -> Iterator[tuple[Heart, frozenset[str], dict[str, BaseTool]]]:
    """What rules at each gate of a graph, the tools and nodes behind it, and those of its tools that show, ungated."""
    for gate, node in ((gate, node.bound) for _, node, gates in _gated_nodes(graph) for gate in gates):
        names = frozenset([*_tools(gate, node), *_nodes(gate)])
        yield gate.heart, names, {name: ungated(tool) for name, tool in _by_name(gate, node).items()}


def breakpoints(graph: Graph) -> tuple[frozenset[str], bool]:
    """The nodes before which the author stops the graph, and whether it also stops elsewhere, its subgraphs included."""
    subgraphs = [subgraph for _, subgraph in graph.get_subgraphs(recurse=True)]
    inside = any(part.interrupt_before_nodes or part.interrupt_after_nodes for part in subgraphs)
    return frozenset(graph.interrupt_before_nodes), bool(graph.interrupt_after_nodes or inside)


def explain(graph: Graph) -> str:
    """See `Signoff.explain`."""
    return "\n".join(_explained(graph if isinstance(graph, StateGraph) else graph.builder, ""))


def _explained(builder: Any, indent: str) -> Iterator[str]:
    for name, spec in builder.nodes.items():
        inner = behind_gate(spec.runnable)
        yield f"{indent}{name}: {_said(spec.runnable)}"
        if isinstance(inner, CompiledStateGraph):
            yield from _explained(inner.builder, indent + "  ")


def _said(node: Any) -> str:
    gates = [_said_of(gate, node) for gate in _gates(node)]
    return "; ".join(gates) or ("a graph of its own" if isinstance(node, CompiledStateGraph) else "runs as it is")


def _said_of(gate: AnyGate, node: Any) -> str:
    if isinstance(gate, Gate):
        return f"guarded ({gate.heart.policy.summary(gate.name, kind='node')})"
    policy = gate.heart.policy
    modes = [f"{tool} ({policy.summary(tool, kind='tool')})" for tool in _tools(gate, node)]
    modes += [f"{asks} (question: {policy.summary(asks, kind='question')})" for asks in _questions(gate, node)]
    return f"gated tools: {', '.join(modes) or 'none'}"

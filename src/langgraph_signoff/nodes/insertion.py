"""Gates put into a graph that knows nothing of them: its ToolNodes replaced, its risky nodes guarded, its edges kept."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from copy import copy
from typing import Any

from langchain_core.messages import BaseMessage
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode

from langgraph_signoff.canonical import digest
from langgraph_signoff.errors import GraphRefused
from langgraph_signoff.nodes.as_json import as_json
from langgraph_signoff.nodes.closures import sub_agents
from langgraph_signoff.nodes.gate import Gate
from langgraph_signoff.nodes.guarding import guard_node
from langgraph_signoff.nodes.internals import default_handler, keep_default_handler, options_of
from langgraph_signoff.nodes.marks import gate_of
from langgraph_signoff.nodes.reach import reached
from langgraph_signoff.nodes.tool_node import GatedToolNode
from langgraph_signoff.render import counted

# What a compiled graph may have been given after its compilation.
_SET_LATER = ("stream_mode", "stream_eager", "stream_transformers", "step_timeout", "retry_policy", "cache_policy")


@dataclasses.dataclass(frozen=True)
class Insertion:
    """How the nodes of a graph become gated ones. `trusted` names nodes that the author vouches for."""

    tool_node: Callable[..., GatedToolNode]
    gate: Callable[[str], Gate]
    is_named: Callable[[str], bool]
    trusted: Collection[str]

    def insert(self, graph: Any) -> Any:
        """A gated copy of a builder or of a compiled graph. Raises GraphRefused where something risky might stay ungated."""
        if not isinstance(graph, StateGraph | CompiledStateGraph):
            raise GraphRefused(
                f"a {type(graph).__name__} is no StateGraph; gate its tools and tasks where they are made"
            )
        names = _names(graph if isinstance(graph, StateGraph) else graph.builder)
        if unknown := sorted(set(self.trusted) - set(names)):
            raise GraphRefused(f"trusted= names {', '.join(unknown)}, and the graph has no such node")
        return self._builder(graph) if isinstance(graph, StateGraph) else self._compiled(graph)

    def _compiled(self, graph: CompiledStateGraph[Any, Any, Any, Any]) -> Any:
        gated = self._builder(graph.builder).compile(
            checkpointer=graph.checkpointer,
            cache=graph.cache,
            store=graph.store,
            interrupt_before=graph.interrupt_before_nodes,  # type: ignore[arg-type]  # its own, as it keeps them
            interrupt_after=graph.interrupt_after_nodes,  # type: ignore[arg-type]  # its own, as it keeps them
            debug=graph.debug,
            name=graph.name,
        )
        for name in _SET_LATER:
            if hasattr(graph, name):
                setattr(gated, name, getattr(graph, name))
        return gated.with_config(graph.config) if graph.config else gated

    def _builder(self, builder: StateGraph[Any, Any, Any, Any]) -> StateGraph[Any, Any, Any, Any]:
        gated = copy(builder)
        gated.compiled = False
        for name in ("edges", "waiting_edges", "schemas", "channels", "managed"):
            setattr(gated, name, copy(getattr(builder, name)))
        gated.branches = defaultdict(dict, {source: dict(branches) for source, branches in builder.branches.items()})
        gated.nodes = {name: self._spec(name, spec) for name, spec in builder.nodes.items()}
        keep_default_handler(gated)
        if handler := default_handler(gated):
            self._check("the default error handler", "", handler)
        for source, branches in builder.branches.items():
            for branch in branches.values():
                self._check(f"the edge after {source}", source, branch.path)
        return gated

    def _spec(self, name: str, spec: Any) -> Any:
        return dataclasses.replace(spec, runnable=self._node(name, spec.runnable))

    def _node(self, name: str, node: Any) -> Any:
        for agent, graph in _sub_agents(node):
            self._check(f"the sub-agent {agent!r}", name, graph)
        if gate_of(node):
            return node
        gated = self._inside(name, node)
        if self.is_named(name):
            return guard_node(self.gate(name), gated)
        self._check(f"node {name!r}", name, gated)
        return gated

    def _inside(self, name: str, node: Any) -> Any:
        """The node with gates inside, where it is of a kind that can have them."""
        if type(node) is ToolNode:
            return self.tool_node(list(node.tools_by_name.values()), **options_of(node))
        if isinstance(node, CompiledStateGraph) and name not in self.trusted:
            return self._compiled(node)
        return node

    def _check(self, place: str, name: str, node: Any) -> None:
        if name in self.trusted:
            return
        for found in reached(node, is_named=self.is_named):
            raise GraphRefused(
                f"{place} reaches {found}, which would run ungated; gate it where it is made, name the node under "
                f"`nodes:` in the policy, or vouch for it with trusted=[{name!r}]"
            )


def _names(builder: StateGraph[Any, Any, Any, Any]) -> Iterator[str]:
    for name, spec in builder.nodes.items():
        yield name
        if isinstance(spec.runnable, CompiledStateGraph):
            yield from _names(spec.runnable.builder)


def state_in_short(state: Any) -> dict[str, Any]:
    """What a node is given, of a conversation its length and hash: the action of a node that says nothing better."""
    given = state if isinstance(state, dict) else as_json(state)
    if not isinstance(given, dict):
        return {"state": as_json(given)}
    return {key: _in_short(value) if _is_conversation(value) else as_json(value) for key, value in given.items()}


def _in_short(messages: list[BaseMessage]) -> str:
    return f"{counted(len(messages), 'message')}, sha256 {digest('', {'messages': as_json(messages)})}"


def _is_conversation(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, BaseMessage) for item in value)


def _sub_agents(node: Any) -> list[tuple[str, Any]]:
    tools = node.tools_by_name.values() if isinstance(node, ToolNode) else []
    return [found for tool in tools for found in sub_agents(tool).items()]

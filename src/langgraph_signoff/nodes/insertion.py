"""Gates put into a graph that knows nothing of them: its ToolNodes replaced, its risky nodes guarded, its edges kept."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Collection, Iterator
from copy import copy
from types import FunctionType, MethodType
from typing import Any

from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableBinding, RunnableLambda, RunnableParallel, RunnableSequence
from langchain_core.tools import BaseTool
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode
from langgraph.pregel.protocol import PregelProtocol

from langgraph_signoff.errors import GraphRefused
from langgraph_signoff.nodes.as_json import as_json
from langgraph_signoff.nodes.closures import Gating, gating_of, sub_agents
from langgraph_signoff.nodes.gate import Gate
from langgraph_signoff.nodes.gated_tool import GatedTool
from langgraph_signoff.nodes.guarding import guard_node
from langgraph_signoff.nodes.internals import options_of
from langgraph_signoff.nodes.marks import gate_of
from langgraph_signoff.nodes.tool_node import GatedToolNode

_DEEPEST = 8  # how far a node's closures are followed

# These bind tools to a model, and run none.
_BINDERS = ("langchain.agents.factory", "langchain.agents.middleware", "langgraph.prebuilt.chat_agent_executor")


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
        return gated.with_config(graph.config) if graph.config else gated

    def _builder(self, builder: StateGraph[Any, Any, Any, Any]) -> StateGraph[Any, Any, Any, Any]:
        gated = copy(builder)
        gated.edges, gated.waiting_edges = set(builder.edges), set(builder.waiting_edges)
        gated.branches = copy(builder.branches)
        gated.compiled = False
        gated.nodes = {name: self._spec(name, spec) for name, spec in builder.nodes.items()}
        for source, branches in builder.branches.items():
            for branch in branches.values():
                self._check(f"the edge after {source}", source, branch.path)
        return gated

    def _spec(self, name: str, spec: Any) -> Any:
        return dataclasses.replace(spec, runnable=self._node(name, spec.runnable))

    def _node(self, name: str, node: Any) -> Any:
        for agent, graph in _sub_agents(node):
            self._check(f"the sub-agent {agent!r}", name, graph)
        if isinstance(node, GatedToolNode) or gate_of(node):
            return node
        if isinstance(node, ToolNode):
            return self.tool_node(list(node.tools_by_name.values()), **options_of(node))
        if isinstance(node, CompiledStateGraph) and name not in self.trusted:
            node = self._compiled(node)
        if self.is_named(name):
            return guard_node(self.gate(name), node)
        self._check(f"node {name!r}", name, node)
        return node

    def _check(self, place: str, name: str, node: Any) -> None:
        if name in self.trusted:
            return
        for found in ungated(node):
            raise GraphRefused(
                f"{place} reaches {found}, which would run ungated; gate it where it is made, name the node under "
                f"`nodes:` in the policy, or vouch for it with trusted=[{name!r}]"
            )


def _names(builder: StateGraph[Any, Any, Any, Any]) -> Iterator[str]:
    for name, spec in builder.nodes.items():
        yield name
        if isinstance(spec.runnable, CompiledStateGraph):
            yield from _names(spec.runnable.builder)


def state_without_messages(state: Any) -> dict[str, Any]:
    """What a node is given, as far as it is no conversation: the action of a node that says nothing better."""
    given = state if isinstance(state, dict) else as_json(state)
    if not isinstance(given, dict):
        return {"state": as_json(given)}
    return {key: as_json(value) for key, value in given.items() if not _is_conversation(value)}


def _is_conversation(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, BaseMessage) for item in value)


def ungated(node: Any) -> Iterator[str]:
    """What of a node runs tools behind no gate, as far as its closures show: tools, ToolNodes, other graphs."""
    seen: set[int] = set()
    waiting = [(node, 0)]
    while waiting:
        thing, depth = waiting.pop(0)
        if id(thing) in seen or depth > _DEEPEST or _is_binder(thing):
            continue
        seen.add(id(thing))
        waiting += [(graph, depth + 1) for _, graph in _sub_agents(thing)]
        if isinstance(thing, GatedTool | GatedToolNode | Gating | BaseLanguageModel) or gate_of(thing):
            continue
        if isinstance(thing, ToolNode):
            if not gating_of(thing):
                yield f"a ToolNode ({', '.join(thing.tools_by_name)})"
        elif isinstance(thing, BaseTool):
            yield f"the tool {thing.name}"
        elif isinstance(thing, CompiledStateGraph):
            waiting += [(spec.runnable, depth + 1) for spec in thing.builder.nodes.values()]
        elif isinstance(thing, PregelProtocol):
            yield f"the graph {getattr(thing, 'name', '') or type(thing).__name__}"
        else:
            waiting += [(part, depth + 1) for part in _parts(thing)]


def _sub_agents(node: Any) -> list[tuple[str, Any]]:
    tools = node.tools_by_name.values() if isinstance(node, ToolNode) else []
    return [found for tool in tools for found in sub_agents(tool).items()]


def _is_binder(thing: Any) -> bool:
    module = getattr(thing if isinstance(thing, FunctionType) else type(thing), "__module__", None) or ""
    return str(module).startswith(_BINDERS)


def _parts(thing: Any) -> list[Any]:
    match thing:
        case FunctionType():
            used = inspect.getclosurevars(thing)
            return [*used.nonlocals.values(), *used.globals.values()]
        case MethodType():
            return [thing.__func__, thing.__self__]
        case functools.partial():
            return [thing.func, *thing.args, *thing.keywords.values()]
        case dict():
            return list(thing.values())
        case list() | tuple() | set() | frozenset():
            return list(thing)
        case RunnableBinding():
            return [thing.bound]
        case RunnableSequence():
            return list(thing.steps)
        case RunnableParallel():
            return list(thing.steps__.values())
        case RunnableLambda() | Runnable():
            return [getattr(thing, name, None) for name in ("func", "afunc")]
    if inspect.ismodule(thing) or inspect.isclass(thing) or not hasattr(thing, "__dict__"):
        return []
    return [*vars(thing).values(), *([type(thing).__call__] if callable(thing) else [])]

"""What a node may run behind no gate, as far as its code and what it holds show."""

from __future__ import annotations

import functools
import sys
import sysconfig
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from langchain_core.language_models import BaseLanguageModel
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.tools import BaseTool
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode
from langgraph.pregel.protocol import PregelProtocol

from langgraph_signoff.nodes.closures import Gating, gating_of, held, sub_agents
from langgraph_signoff.nodes.gated_tool import GatedTool
from langgraph_signoff.nodes.heart import Heart
from langgraph_signoff.nodes.marks import gate_of
from langgraph_signoff.nodes.tool_node import GatedToolNode

_DEEPEST = 8  # how far what a node holds is followed

# These bind tools to a model, and run none; of what they hold, only functions may.
_BINDERS = ("langchain.agents.factory", "langchain.agents.middleware", "langgraph.prebuilt.chat_agent_executor")

_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def reached(node: Any, *, is_named: Callable[[str], bool]) -> Iterator[str]:
    """What a node reaches that would run behind no gate: tools, ToolNodes, other graphs, and nodes that the policy names."""
    home, seen = _home(node), set[int]()
    waiting = deque([(node, 0)])
    while waiting:
        thing, depth = waiting.popleft()
        if id(thing) in seen or depth > _DEEPEST:
            continue
        seen.add(id(thing))
        yield from _named(thing, is_named)
        yield from _risky(thing)
        waiting += [(part, depth + 1) for part in _parts(thing, home)]


def _risky(thing: Any) -> Iterator[str]:
    if isinstance(thing, ToolNode):
        if not (isinstance(thing, GatedToolNode) or gating_of(thing)):
            yield f"a ToolNode ({', '.join(thing.tools_by_name)})"
    elif isinstance(thing, BaseTool) and not isinstance(thing, GatedTool):
        yield f"the tool {thing.name}"
    elif isinstance(thing, PregelProtocol) and not isinstance(thing, CompiledStateGraph):
        yield f"the graph {getattr(thing, 'name', '') or type(thing).__name__}"


def _named(thing: Any, is_named: Callable[[str], bool]) -> Iterator[str]:
    if isinstance(thing, StateGraph):
        for name, spec in thing.nodes.items():
            if is_named(name) and not gate_of(spec.runnable):
                yield f"the node {name}"


def _parts(thing: Any, home: str) -> Iterable[Any]:
    """What a thing may use when it runs. `home`: the package whose classes are looked into although it is installed."""
    match thing:
        case ToolNode():
            wrappers = [thing._wrap_tool_call, thing._awrap_tool_call]
            return [*wrappers, *(part for tool in thing.tools_by_name.values() for part in sub_agents(tool).values())]
        case BaseTool():
            return sub_agents(thing).values()
        case CompiledStateGraph():
            return [thing.builder]
        case StateGraph():
            return [spec.runnable for spec in thing.nodes.values()]
        case Gating() | Heart() | BaseLanguageModel() | PregelProtocol() | ModuleType():
            return []
    if gate_of(thing):
        return []
    if _is_binder(thing):
        return [part for part in held(thing) if isinstance(part, FunctionType | MethodType)]
    return [*_parts_of_code(thing), *_parts_of_object(thing, home)]


def _parts_of_code(thing: Any) -> list[Any]:
    match thing:
        case FunctionType():
            defaults = [*(thing.__defaults__ or ()), *(thing.__kwdefaults__ or {}).values()]
            return [*held(thing), *_globals(thing), *defaults]
        case MethodType():
            return [thing.__func__, thing.__self__]
        case staticmethod() | classmethod():
            return [thing.__func__]
        case property():
            return [thing.fget]
        case functools.partial() | functools.partialmethod():
            return [thing.func, *thing.args, *thing.keywords.values()]
    return []


def _parts_of_object(thing: Any, home: str) -> list[Any]:
    match thing:
        case dict():
            return list(thing.values())
        case list() | tuple() | set() | frozenset() | deque():
            return list(thing)
        case RunnableBindingBase():
            return [thing.bound]  # beside it lie the tools that are bound to a model
        case type():
            return _parts_of_class(thing, home)
    call = [type(thing).__call__] if callable(thing) and not isinstance(thing, FunctionType) else []
    return [*_values(thing), *call, *_parts_of_class(type(thing), home)]


def _parts_of_class(kind: type, home: str) -> list[Any]:
    own = [vars(base) for base in kind.__mro__ if _is_own(base.__module__, home)]
    return [value for fields in own for name, value in fields.items() if not _is_of_an_agent(kind, name)]


def _values(thing: Any) -> list[Any]:
    slots = [name for base in type(thing).__mro__ for name in getattr(base, "__slots__", ())]
    values = {**getattr(thing, "__dict__", {}), **{name: getattr(thing, name, None) for name in slots}}
    return [value for name, value in values.items() if not _is_of_an_agent(type(thing), name)]


def _globals(function: FunctionType) -> Iterator[Any]:
    """The globals that a function's code names, its inner functions' included; of modules, what it names of them."""
    names = set(_names(function.__code__))
    found = [function.__globals__[name] for name in names if name in function.__globals__]
    yield from found
    imported = [sys.modules[name] for name in names if name in sys.modules]
    for module in {id(thing): thing for thing in (*found, *imported) if isinstance(thing, ModuleType)}.values():
        yield from (vars(module)[name] for name in names if name in vars(module))


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for const in code.co_consts:
        if isinstance(const, str):
            yield const
        elif isinstance(const, CodeType):
            yield from _names(const)


def _home(node: Any) -> str:
    while inner := getattr(node, "func", None) or getattr(node, "afunc", None):
        node = inner
    return str(getattr(node, "__module__", None) or type(node).__module__).partition(".")[0]


def _is_own(module: str, home: str) -> bool:
    """Whether a module belongs to the author of the graph, and not to a library."""
    top = module.partition(".")[0]
    file = getattr(sys.modules.get(module), "__file__", None)
    is_installed = file.startswith(_INSTALLED) if file else top in sys.stdlib_module_names
    return not is_installed or (top == home and not module.startswith(("langchain", "langgraph")))


def _is_binder(thing: Any) -> bool:
    module = getattr(thing if isinstance(thing, FunctionType) else type(thing), "__module__", None) or ""
    return str(module).startswith(_BINDERS)


def _is_of_an_agent(kind: type, name: str) -> bool:
    """Whether these are the tools that a middleware brings: its agent runs them, in a ToolNode."""
    return name == "tools" and any(base.__name__ == "AgentMiddleware" for base in kind.__mro__)

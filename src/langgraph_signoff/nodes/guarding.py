"""Nodes, runnables and tasks behind a gate: LangGraph sees of each what it saw before."""

from __future__ import annotations

import functools
import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from typing import Any

from langchain_core.runnables import Runnable, RunnableLambda
from langgraph.config import get_config
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore

from langgraph_signoff.errors import GraphRefused
from langgraph_signoff.nodes.as_json import as_json
from langgraph_signoff.nodes.gate import Gate
from langgraph_signoff.nodes.marks import BEHIND, MARK
from langgraph_signoff.nodes.steps import adrive, drive
from langgraph_signoff.nodes.stopped import unhandled
from langgraph_signoff.vocabulary import Json


def guard_node(gate: Gate, node: Any) -> Any:
    """A node that does what `node` does if the record permits it. LangGraph sees the same signature."""
    if isinstance(node, Runnable):
        return _guard_runnable(gate, node)
    # LangGraph reads the hints of an object that can be called at its method.
    shown = node.__call__ if inspect.ismethod(getattr(node, "__call__", None)) else node  # noqa: B004  # not a test
    if _is_async(node):

        @functools.wraps(shown)
        async def aguarded(state: Any, *more: Any, **injected: Any) -> Any:
            async def body(given: Any) -> Any:
                made = await node(given, *more, **injected)
                return await made.ainvoke(given, get_config()) if isinstance(made, Runnable) else made

            with unhandled():
                return await adrive(gate.steps(state, body))

        return _marked(aguarded, gate, node)

    @functools.wraps(shown)
    def guarded(state: Any, *more: Any, **injected: Any) -> Any:
        def body(given: Any) -> Any:
            made = node(given, *more, **injected)
            # LangGraph would run it after the node, where nothing guards it.
            return made.invoke(given, get_config()) if isinstance(made, Runnable) else made

        with unhandled():
            return drive(gate.steps(state, body))

    return _marked(guarded, gate, node)


def _marked(guarded: Any, gate: Gate, node: Any) -> Any:
    guarded.__name__ = getattr(node, "__name__", type(node).__name__)
    setattr(guarded, MARK, gate)
    return guarded


def _guard_runnable(gate: Gate, node: Runnable[Any, Any]) -> Any:
    # The node stays in the closure, where LangGraph finds a subgraph.
    def guarded(state: Any) -> Any:
        with unhandled():
            return drive(gate.steps(state, lambda given: node.invoke(given, get_config())))

    async def aguarded(state: Any) -> Any:
        with unhandled():
            return await adrive(gate.steps(state, lambda given: node.ainvoke(given, get_config())))

    setattr(guarded, MARK, gate)
    setattr(guarded, BEHIND, node)
    return RunnableLambda(guarded, aguarded, name=gate.name)


def guard_task(gate: Gate, function: Any) -> Any:
    """A function, or LangGraph's task of one, that runs only if the record permits it."""
    if hasattr(function, "func") and hasattr(function, "retry_policy"):
        if function.cache_policy:
            raise GraphRefused(
                f"task {gate.name!r} has a CachePolicy, which would answer one thread's call from another's; remove it"
            )
        guarded_task = copy(function)
        guarded_task.func = _guard_function(gate, function.func)
        return guarded_task
    # Around it stands whoever calls it, who may ask something too.
    return _guard_function(replace(gate, is_shared=True), function)


def _guard_function(gate: Gate, function: Any) -> Any:
    if _is_async(function):

        @functools.wraps(function)
        async def aguarded(*args: Any, **kwargs: Any) -> Any:
            return await adrive(gate.steps(_bound(function, args, kwargs), _with(function)))

        return aguarded

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        return drive(gate.steps(_bound(function, args, kwargs), _with(function)))

    return guarded


def arguments(given: inspect.BoundArguments) -> dict[str, Any]:
    """The arguments of a call by name, without what LangGraph injects: nobody has chosen it, and it is other on each pass."""
    return {name: value for name, value in given.arguments.items() if not _is_injected(name, value)}


def of_call(tell: Callable[..., Any]) -> Callable[[inspect.BoundArguments], Any]:
    """What `tell` says of a call when it is given these arguments."""

    def told(given: inspect.BoundArguments) -> Any:
        called = inspect.BoundArguments(given.signature, OrderedDict(arguments(given)))
        return tell(*called.args, **called.kwargs)

    return told


def _is_injected(name: str, value: Any) -> bool:
    if name == "config":
        return isinstance(value, dict) and "configurable" in value
    return isinstance(value, Runtime | BaseStore) or (name == "writer" and callable(value))


def with_arguments(given: inspect.BoundArguments, args: Mapping[str, Json]) -> inspect.BoundArguments:
    """The same call with the arguments that an edit has changed."""
    changed = copy(given)
    changed.arguments = {
        **given.arguments,
        **{key: value for key, value in args.items() if value != as_json(given.arguments.get(key))},
    }
    return changed


def _bound(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> inspect.BoundArguments:
    given = inspect.signature(function).bind(*args, **kwargs)
    given.apply_defaults()
    return given


def _with(function: Any) -> Callable[[inspect.BoundArguments], Any]:
    return lambda given: function(*given.args, **given.kwargs)


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)

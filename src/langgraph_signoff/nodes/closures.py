"""What other packages keep where only their closures show it: who wraps the calls of a ToolNode, which agents a tool runs.

It leans on how `create_agent` and deepagents are written; `tests/test_deep_agents.py` fails when they change it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from inspect import getclosurevars
from types import FunctionType, MethodType
from typing import Any

from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolNode

from langgraph_signoff.errors import GraphRefused
from langgraph_signoff.nodes.heart import Heart


class Gating(ABC):
    """Gates the calls of a ToolNode from outside, as one of its wrappers."""

    @property
    @abstractmethod
    def heart(self) -> Heart:
        """What rules there."""


def gating_of(node: ToolNode) -> Gating | None:
    """The gate among the wrappers of a ToolNode, None if there is none."""
    seen: set[int] = set()
    waiting: list[Any] = [node._wrap_tool_call, node._awrap_tool_call]
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, MethodType) and isinstance(thing.__self__, Gating):
            return thing.__self__
        if isinstance(thing, FunctionType) and id(thing) not in seen:
            seen.add(id(thing))
            waiting += held(thing)
    return None


def sub_agents(tool: BaseTool) -> Mapping[str, Any]:
    """The agents that deepagents' `task` tool runs, by name; empty for any other tool. Raises GraphRefused if they do not show."""
    function: Any = getattr(tool, "func", None)
    if getattr(function, "__module__", "") != "deepagents.middleware.subagents":
        return {}
    found = getclosurevars(function).nonlocals.get("subagent_graphs")
    if not isinstance(found, Mapping):
        raise GraphRefused(
            f"the sub-agents behind {tool.name} do not show; this release of deepagents is not known here"
        )
    return found


def held(thing: Any) -> Iterator[Any]:
    """What the closure of a function holds; nothing if the thing is no function."""
    for cell in getattr(thing, "__closure__", None) or ():
        try:
            yield cell.cell_contents
        except ValueError:
            continue  # a name that its function has not set yet

"""A small release process whose risky steps are guarded, in three ways: sync, async, and sync functions driven by an async graph."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.store.base import BaseStore

from failures.world import Mode, World, as_coroutine
from langgraph_signoff import Ticket

POLICY = """
version: 1
nodes:
  deploy: review
  announce: review
  note: {otherwise: {then: allow, record: true}}
  pay: {otherwise: {then: allow, once: true}}
  look: allow
  drop: deny
"""

WAYS = ["sync", "async", "sync in async"]


class State(TypedDict, total=False):
    """What a release knows; the log says which steps have reported."""

    version: str
    round: int
    log: Annotated[list[str], operator.add]


def action(state: Mapping[str, Any]) -> dict[str, Any]:
    """What a step is about to do."""
    return {"version": state["version"]}


def told(state: Any, ticket: Ticket, text: str) -> dict[str, Any]:
    """A refusal that leaves its words in the log."""
    return {"log": [text]}


class Release(World):
    """A world whose graph is a chain of steps."""

    def __init__(self, folder: Path, way: str = "sync") -> None:
        super().__init__(folder, Mode(way != "sync", each=False))
        self.way = way
        self.signoff = self.new_signoff(POLICY)
        self.store: BaseStore | None = None

    def compile(self, builder: StateGraph, **options: Any) -> Any:
        """The graph, over the saver of this folder, and the store if there is one."""
        return super().compile(builder, **({"store": self.store} if self.store else {}), **options)

    def step(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function as it is, or as a coroutine."""
        return as_coroutine(function) if self.way == "async" else function

    def does(self, name: str = "deploy") -> Callable[[Any], Any]:
        """A step that has its effect, and reports."""

        def do(state: State) -> dict[str, Any]:
            self.effect(f"{name} {state['version']}")
            return {"log": [f"{name}ed {state['version']}"]}

        return self.step(do)

    def gated(self, node: Any = None, name: str = "deploy", **options: Any) -> Any:
        """A step behind its gate."""
        return self.signoff.gate(name, **{"action": action, **options})(node or self.does(name))

    def open(self, *nodes: Any, node: Any = None, policy: str = "", **options: Any) -> Any:  # type: ignore[override]  # another world
        """A graph of one guarded step, or of these nodes in a row."""
        if policy:
            self.signoff = self.new_signoff(policy)
        builder = StateGraph(State)
        before = START
        for number, step in enumerate(nodes or [self.gated(node, **options)]):
            builder.add_node(f"n{number}", step)
            builder.add_edge(before, f"n{number}")
            before = f"n{number}"
        builder.add_edge(before, END)
        self.graph = self.compile(builder)
        return self.graph

    def start(self, *, thread: str = "t", **state: Any) -> Any:
        """Runs the graph anew."""
        return self.run({"version": "1.0", **state}, thread=thread)

    def say(self, verdict: str = "approve", **more: Any) -> Any:
        """Says this of the one pending ticket, and resumes."""
        [ticket] = self.signoff.pending()
        getattr(self.signoff, verdict)(ticket, by="ana", **more)
        return self.resume()

    @property
    def standings(self) -> list[str]:
        """How every ticket stands, in the order of opening."""
        return [str(ticket.standing) for ticket in self.tickets()]

    def log(self, thread: str = "t") -> list[str]:
        """What the steps have reported."""
        return list(self.state(thread).values.get("log", []))

    def assert_ends(self, effects: list[str], standings: list[str], log: list[str]) -> None:  # type: ignore[override]  # another table
        """The effects outside, the final standings, what the state holds; the thread is over, and the record whole."""
        assert self.effects == sorted(effects)
        assert self.standings == standings
        assert self.log() == log
        assert self.state().next == ()
        assert self.signoff.verify().broken == []

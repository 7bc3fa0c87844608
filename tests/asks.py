"""Graphs whose nodes, tools and tasks ask a person, in a `World` whose ledger, threads and effects are files."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AnyMessage
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages

from failures.world import Mode, World
from langgraph_signoff import Run, Ticket, Unanswered

POLICY = """
version: 1
queues: {desk: {window: 8h}}
tools: {look: allow, send: review, check: allow, noted: {otherwise: {then: allow, record: true}}}
questions:
  which: {otherwise: {then: review, queue: desk}}
  secret: deny
"""


class State(TypedDict, total=False):
    """What a run knows; the log says what it has been told."""

    messages: Annotated[list[AnyMessage], add_messages]
    word: str
    log: Annotated[list[Any], operator.add]


class Inquirer(World):
    """A world whose nodes ask; sync or async hides behind the same methods."""

    def __init__(self, folder: Path, *, is_async: bool = False, policy: str = POLICY) -> None:
        super().__init__(folder, Mode(is_async, each=False))
        self.signoff = self.new_signoff(policy)

    def asking(self, question: str = "Which one?", **about: Any) -> Callable[..., Any]:
        """A node that asks, has an effect, and logs what it heard: the answer, or how it stands without one."""
        about = {"name": "which", **about}

        def heard(answer: Any) -> dict[str, Any]:
            self.effect(f"heard {answer}")
            return {"log": [answer]}

        def unheard(error: Unanswered) -> dict[str, Any]:
            return {"log": [f"{error.standing}: {error}"]}

        def node(state: State) -> dict[str, Any]:
            try:
                return heard(self.signoff.ask(question, **about))
            except Unanswered as error:
                return unheard(error)

        async def anode(state: State) -> dict[str, Any]:
            try:
                return heard(await self.signoff.aask(question, **about))
            except Unanswered as error:
                return unheard(error)

        return anode if self.mode.is_async else node

    def chain(self, *nodes: Any, **options: Any) -> Any:
        """A graph of these nodes in a row."""
        builder, before = StateGraph(State), START
        for number, node in enumerate(nodes):
            builder.add_node(f"n{number}", node, **options)
            builder.add_edge(before, f"n{number}")
            before = f"n{number}"
        self.graph = self.compile(builder)
        return self.graph

    def start(self, *, thread: str = "t", **state: Any) -> Run:
        """Runs the graph anew."""
        return self.run({"word": "go", **state}, thread=thread)

    def answer(self, value: Any = "this one", **args: Any) -> Run:
        """Answers the one pending question (or the one whose arguments hold these), and resumes."""
        self.signoff.answer(self.pending(**args), value, by="ana")
        return self.resume()

    def pending(self, **args: Any) -> Ticket:
        """The one pending ticket, or the one whose arguments hold these."""
        [ticket] = [ticket for ticket in self.signoff.pending() if args.items() <= ticket.args.items()]
        return ticket

    def log(self, thread: str = "t") -> list[Any]:
        """What the nodes have heard."""
        return list(self.state(thread).values.get("log", []))

    def standings(self, thread: str = "t") -> list[str]:
        """How every ticket stands, in the order of opening."""
        return [str(ticket.standing) for ticket in self.tickets(thread)]


@contextmanager
def inquirer(folder: Path, *, is_async: bool = False) -> Iterator[Inquirer]:
    """One, closed in the end."""
    made = Inquirer(folder, is_async=is_async)
    try:
        yield made
    finally:
        made.close()

"""One agent whose world can be looked at from outside: its ledger, its checkpoints and the effects of its tools are files."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiosqlite
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, RetryPolicy, interrupt

from langgraph_signoff import Policy, Run, Signoff, Ticket
from langgraph_signoff.testing import Line, ScriptedModel

POLICY = """
version: 1
tools:
  look: allow
  send: review
"""

GO = {"messages": [("user", "go")]}
SEND: Line = [("send", {"to": "bob", "amount": 5.0})]
SENT = "sent 5.0 to bob"
ONCE = ("send bob 5.0",)
THREE_TIMES = RetryPolicy(max_attempts=3, initial_interval=0.01, jitter=False, retry_on=lambda error: True)


class Torn(BaseException):
    """What ends a process in the midst of its work, as far as the work can tell."""


@dataclass(frozen=True)
class Mode:
    """How the graph is driven, and whether its tool node gets a whole message or one call per task."""

    is_async: bool
    each: bool

    def __str__(self) -> str:
        return f"{'async' if self.is_async else 'sync'}-{'each' if self.each else 'whole'}"


MODES = [Mode(is_async, each) for is_async in (False, True) for each in (False, True)]


@dataclass(frozen=True)
class Expect:
    """A line of a table: every effect, how every ticket stands, and what the model was told last (None: nothing yet)."""

    effects: Sequence[str]
    standings: Sequence[str]
    last: str | None


class World:
    """A ledger, a saver and a file of effects in one folder; sync or async hides behind one set of methods."""

    def __init__(self, folder: Path, mode: Mode) -> None:
        self.folder, self.mode = folder, mode
        folder.mkdir(exist_ok=True)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._saver: Any = None
        self._signoffs: list[Signoff] = []
        self.signoff = self.new_signoff()
        self.graph: Any = None

    # Building ---------------------------------------------------------------------------------------------------------

    def new_signoff(self, policy: str = POLICY, **options: Any) -> Signoff:
        """Another front door to the same ledger."""
        given = {"lease": 0.5, "wait": 3, **options}
        self._signoffs.append(Signoff(self.folder / "signoff.db", policy=Policy.parse(policy), **given))
        return self._signoffs[-1]

    def open(
        self, script: Any, *, tools: Sequence[Any] = (), policy: str = POLICY, node: Any = None, **options: Any
    ) -> Any:
        """An agent that follows a script, with a gated tool node; `node` are the options of `add_node`."""
        self.signoff = self.new_signoff(policy)
        gate = self.signoff.tool_node(tools or self.tools(), **options)
        self.graph = self.compile(self.agent(script, gate, **(node or {})))
        return self.graph

    def agent(self, script: Any, gate: Any, **node: Any) -> StateGraph:
        """The builder of a loop of model and tools."""
        model = script if isinstance(script, ScriptedModel) else ScriptedModel(script)
        builder = StateGraph(MessagesState)
        if self.mode.is_async:

            async def think(state: MessagesState) -> dict[str, Any]:
                return {"messages": [await model.ainvoke(state["messages"])]}

            builder.add_node("agent", think)
        else:
            builder.add_node("agent", lambda state: {"messages": [model.invoke(state["messages"])]})
        builder.add_node("tools", gate, **node)
        builder.add_edge(START, "agent")
        builder.add_conditional_edges("agent", self.edge, ["tools", END])
        builder.add_edge("tools", "agent")
        return builder

    def edge(self, state: Any) -> Any:
        """To the tools, whole or one by one, or to the end."""
        if self.mode.each:
            return Signoff.send_tool_calls(state)
        return "tools" if getattr(state["messages"][-1], "tool_calls", None) else END

    def compile(self, builder: StateGraph, **options: Any) -> Any:
        """The graph, over the saver of this folder."""
        return builder.compile(**{"checkpointer": self.saver, **options})

    @property
    def saver(self) -> Any:
        """The saver of this folder, in a file."""
        if self._saver is None:
            path = str(self.folder / "checkpoints.db")
            if self.mode.is_async:
                self._saver = self.wait(_async_saver(path))
            else:
                self._saver = SqliteSaver(sqlite3.connect(path, check_same_thread=False))
        return self._saver

    def tools(self) -> list[BaseTool]:
        """`send` writes down that it ran, `look` too; coroutines where the graph is async."""
        return [self.tool("send", self.send), self.tool("look", self.look)]

    def tool(self, name: str, function: Callable[..., Any], *, as_async: bool | None = None, **options: Any) -> Any:
        """A tool of that function; a coroutine that runs it where the graph is async."""
        if not (self.mode.is_async if as_async is None else as_async):
            return tool(name, **options)(function)
        return tool(name, **options)(as_coroutine(function))

    def failing(self, error: BaseException) -> BaseTool:
        """A `send` that has its effect and then fails so."""

        def send(to: str, amount: float = 5.0) -> str:
            """Sends."""
            self.send(to, amount)
            raise error

        return self.tool("send", send)

    def send(self, to: str, amount: float = 5.0) -> str:
        """Sends."""
        self.effect(f"send {to} {amount}")
        return f"sent {amount} to {to}"

    def look(self, x: int = 0) -> str:
        """Looks."""
        self.effect(f"look {x}")
        return f"saw {x}"

    # Effects ----------------------------------------------------------------------------------------------------------

    def effect(self, text: str) -> None:
        """Writes a line outside of the process, at once."""
        with (self.folder / "effects.txt").open("a") as file:
            file.write(text + "\n")

    @property
    def effects(self) -> list[str]:
        """Every effect so far, sorted."""
        path = self.folder / "effects.txt"
        return sorted(path.read_text().splitlines()) if path.exists() else []

    # Running ----------------------------------------------------------------------------------------------------------

    def wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """What a coroutine gives, run on this world's loop."""
        return self.later(coroutine).result(60)

    def later(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """A coroutine on this world's loop, as a future."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def run(self, input: Any = None, *, thread: str = "t", **options: Any) -> Run:
        """`Signoff.run`, or `arun`."""
        call = self.signoff.arun if self.mode.is_async else self.signoff.run
        return self._given(call(self.graph, input or GO, thread_id=thread, **options))

    def resume(self, *, thread: str = "t", **options: Any) -> Run:
        """`Signoff.resume`, or `aresume`."""
        call = self.signoff.aresume if self.mode.is_async else self.signoff.resume
        return self._given(call(self.graph, thread_id=thread, **options))

    def approve_all(self) -> Run:
        """Approves what is pending, and resumes."""
        for ticket in self.signoff.pending():
            self.signoff.approve(ticket, by="ana")
        return self.resume()

    def cancelled(self, rng: random.Random, effect: str, result: Any, *, thread: str) -> str:
        """Resumes a thread, cancels that at some moment, and sees it to its end; how its ticket was left."""

        async def cut() -> None:
            run = asyncio.create_task(self.signoff.aresume(self.graph, thread_id=thread))
            await asyncio.sleep(rng.random() * 0.08)
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)

        self.wait(cut())
        [left] = [str(ticket.standing) for ticket in self.tickets(thread)]
        run = self.resume(thread=thread)
        for ticket in run.tickets if run.status == "in_doubt" else ():
            if effect in self.effects:
                self.signoff.settle(ticket, "happened", by="ana", result=result)
            else:
                self.signoff.settle(ticket, "did_not_happen", by="ana")
            run = self.resume(thread=thread)
        assert run.status == "completed"
        assert self.effects.count(effect) == 1
        assert [ticket.standing for ticket in self.tickets(thread)] == ["executed"]
        return left

    def status(self, thread: str = "t") -> Run:
        """`Signoff.status`."""
        return self.signoff.status(self.graph, thread)

    def invoke(self, input: Any, *, thread: str = "t", config: Any = None, **options: Any) -> Any:
        """The graph's own `invoke`: what anybody who has the graph can do."""
        call = self.graph.ainvoke if self.mode.is_async else self.graph.invoke
        return self._given(call(input, config or self.config(thread), **options))

    def update(self, values: Any, *, thread: str = "t", config: Any = None, **options: Any) -> Any:
        """The graph's own `update_state`."""
        call = self.graph.aupdate_state if self.mode.is_async else self.graph.update_state
        return self._given(call(config or self.config(thread), values, **options))

    def state(self, thread: str = "t") -> Any:
        """The head of a thread."""
        call = self.graph.aget_state if self.mode.is_async else self.graph.get_state
        return self._given(call(self.config(thread)))

    def checkpoints(self, thread: str = "t") -> list[Any]:
        """Every checkpoint of a thread, the newest first."""
        if not self.mode.is_async:
            return list(self.graph.get_state_history(self.config(thread)))

        async def collect() -> list[Any]:
            return [snapshot async for snapshot in self.graph.aget_state_history(self.config(thread))]

        return self.wait(collect())

    def config(self, thread: str) -> dict[str, Any]:
        """The config of a thread."""
        return {"configurable": {"thread_id": thread}}

    def _given(self, value: Any) -> Any:
        return self.wait(value) if asyncio.iscoroutine(value) else value

    # Looking ----------------------------------------------------------------------------------------------------------

    def tickets(self, thread: str = "t") -> list[Ticket]:
        """Every ticket, denial and recorded call of a thread, in the order of opening."""
        rows = [row for row in self.signoff.ledger.all_rows() if row.thread_id == thread]
        return [self.signoff.ticket(row.id) for row in sorted(rows, key=lambda row: (row.opened_at, row.id))]

    def ticket(self, thread: str = "t", **args: Any) -> Ticket:
        """The one ticket of a thread whose arguments hold these."""
        [found] = [t for t in self.tickets(thread) if args.items() <= t.args.items()]
        return found

    def told(self, thread: str = "t") -> list[ToolMessage]:
        """What the model was told of its calls, in the order of the state."""
        return [m for m in self.state(thread).values.get("messages", []) if isinstance(m, ToolMessage)]

    def is_paused(self, thread: str = "t") -> bool:
        """Whether the head of a thread shows a pause of ours."""
        return any("signoff" in i.value for i in self.state(thread).interrupts if isinstance(i.value, dict))

    def proposed(self, thread: str = "t") -> list[dict[str, Any]]:
        """The arguments of the calls that the head's last AI message proposes."""
        messages = [m for m in self.state(thread).values["messages"] if isinstance(m, AIMessage) and m.tool_calls]
        return [call["args"] for call in messages[-1].tool_calls]

    def assert_ends(self, expect: Expect, thread: str = "t") -> None:
        """The table's line holds, and the record is whole."""
        assert self.effects == sorted(expect.effects)
        assert sorted(t.standing for t in self.tickets(thread)) == sorted(expect.standings)
        told = self.told(thread)
        if expect.last is None:
            assert not told
        else:
            assert told, "the model was told nothing"
            assert expect.last in told[-1].text
        assert self.signoff.verify().broken == []

    def close(self) -> None:
        """Closes every file."""
        if self._saver is not None and self.mode.is_async:
            self.wait(self._saver.conn.close())
        elif self._saver is not None:
            self._saver.conn.close()
        for signoff in self._signoffs:
            signoff.close()
        self._loop.call_soon_threadsafe(self._loop.stop)


async def _async_saver(path: str) -> AsyncSqliteSaver:
    return AsyncSqliteSaver(await aiosqlite.connect(path))


def as_coroutine(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function as a coroutine, with its signature and words."""
    import functools
    import inspect

    @functools.wraps(function)
    async def run(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    run.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]  # what `tool` reads
    return run


def swapped(message: AIMessage, **args: Any) -> AIMessage:
    """The same message, same ids, with other arguments in its first call."""
    first, *rest = message.tool_calls
    return AIMessage(message.content, id=message.id, tool_calls=[{**first, "args": {**first["args"], **args}}, *rest])


def bare_agent(
    world: World, script: Any, *, is_approval: Callable[[Any], bool] = lambda answer: answer is not None
) -> Any:
    """The same loop with a plain `interrupt()` before each send, as the documentation of LangGraph shows it."""

    def tools(state: MessagesState) -> dict[str, Any]:
        told = []
        for call in state["messages"][-1].tool_calls:
            answer = interrupt({"question": "approve?", "call": call})
            text = world.send(**call["args"]) if is_approval(answer) else "rejected"
            told.append(ToolMessage(text, tool_call_id=call["id"]))
        return {"messages": told}

    model = ScriptedModel(script)
    builder = StateGraph(MessagesState)
    builder.add_node("agent", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_node("tools", tools)
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", lambda s: "tools" if s["messages"][-1].tool_calls else END, ["tools", END])
    builder.add_edge("tools", "agent")
    world.graph = world.compile(builder)
    return world.graph


def human(text: str = "again") -> dict[str, Any]:
    """New input: one more human message."""
    return {"messages": [HumanMessage(text)]}


__all__ = [
    "GO",
    "MODES",
    "ONCE",
    "POLICY",
    "SEND",
    "SENT",
    "THREE_TIMES",
    "Command",
    "Expect",
    "Mode",
    "Torn",
    "World",
    "bare_agent",
    "human",
    "swapped",
]

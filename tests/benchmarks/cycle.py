"""An allowed call, and a whole pause with its decision, against plain LangGraph and LangChain's own middleware."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt
from measure import Figure, in_turn, microseconds

from langgraph_signoff import Policy, Signoff
from langgraph_signoff.testing import ScriptedModel

ASK: dict[str, Any] = {"messages": [("user", "go")]}
POLICY = Policy(tools={"look": "allow", "send": "review"})


@tool
def look(place: str) -> str:
    """Looks."""
    return f"saw {place}"


@tool
def send(to: str, amount: float) -> str:
    """Sends."""
    return f"sent {amount} to {to}"


@tool("send")
def asking_send(to: str, amount: float) -> str:
    """Sends when somebody says so."""
    interrupt({"to": to, "amount": amount})
    return f"sent {amount} to {to}"


def look_script() -> ScriptedModel:
    """A model that looks once."""
    return ScriptedModel([[("look", {"place": "here"})], "Done."])


def send_script() -> ScriptedModel:
    """A model that sends once."""
    return ScriptedModel([[("send", {"to": "bob", "amount": 7.0})], "Done."])


def build(node: Any, model: ScriptedModel, saver: SqliteSaver) -> Any:
    """The usual agent loop around a tool node."""
    builder = StateGraph(MessagesState)
    builder.add_node("agent", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_node("tools", node)
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", lambda state: "tools" if state["messages"][-1].tool_calls else END)
    builder.add_edge("tools", "agent")
    return builder.compile(checkpointer=saver)


def figures(folder: Path, *, rounds: int) -> list[Figure]:
    """Two figures of ours and two of LangChain's middleware, all in one run."""
    saver = SqliteSaver(sqlite3.connect(folder / "threads.db", check_same_thread=False))
    signoff = Signoff(folder / "signoff.db", policy=POLICY)
    ids = itertools.count()

    def config() -> Any:
        return {"configurable": {"thread_id": f"t{next(ids)}"}}

    def invoked(graph: Any) -> Callable[[], object]:
        return lambda: graph.invoke(ASK, config())

    plain, gated = build(ToolNode([look]), look_script(), saver), build(signoff.tool_node([look]), look_script(), saver)
    bare_agent = create_agent(look_script(), [look], checkpointer=saver)
    hitl = HumanInTheLoopMiddleware(interrupt_on={"send": True})
    guarded_agent = create_agent(look_script(), [look], middleware=[hitl], checkpointer=saver)
    allowed = in_turn(
        {
            "plain": invoked(plain),
            "gated": invoked(gated),
            "agent": invoked(bare_agent),
            "hitl": invoked(guarded_agent),
        },
        rounds=rounds,
    )

    raw = build(ToolNode([asking_send]), send_script(), saver)
    ours = build(signoff.tool_node([send]), send_script(), saver)
    agent = create_agent(send_script(), [send], middleware=[hitl], checkpointer=saver)

    def raw_cycle() -> None:
        where = config()
        paused = raw.invoke(ASK, where)
        raw.invoke(Command(resume={paused["__interrupt__"][0].id: True}), where)

    def our_cycle() -> None:
        thread = config()["configurable"]["thread_id"]
        run = signoff.run(ours, ASK, thread_id=thread)
        signoff.approve(run.tickets[0], by="ana")
        assert signoff.resume(ours, thread_id=thread).status == "completed"

    def hitl_cycle() -> None:
        where = config()
        agent.invoke(ASK, where)
        agent.invoke(Command(resume={"decisions": [{"type": "approve"}]}), where)

    cycle = in_turn({"raw": raw_cycle, "ours": our_cycle, "hitl": hitl_cycle}, rounds=rounds)
    signoff.close()
    return [
        Figure("an allowed call", "plain ToolNode", allowed["gated"] / allowed["plain"], 1.05, microseconds(allowed)),
        Figure(
            "the same through LangChain's middleware", "agent without", allowed["hitl"] / allowed["agent"], None, ""
        ),
        Figure("pause, decision, resume", "raw interrupt()", cycle["ours"] / cycle["raw"], 1.15, microseconds(cycle)),
        Figure("the same through LangChain's middleware", "raw interrupt()", cycle["hitl"] / cycle["raw"], None, ""),
    ]

"""The other doors: LangChain's agent through our middleware and through its own, and a graph with inserted gates."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cycle import ASK, POLICY, build, look, look_script, send, send_script
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.prebuilt import ToolNode
from langgraph.types import Command
from measure import Figure, in_turn, microseconds

from langgraph_signoff import Signoff
from langgraph_signoff.middleware import SignoffMiddleware


def figures(folder: Path, *, rounds: int) -> list[Figure]:
    """An allowed call and a whole pause through the middleware, and an allowed call in an inserted gate."""
    saver = SqliteSaver(sqlite3.connect(folder / "doors_threads.db", check_same_thread=False))
    signoff = Signoff(folder / "doors.db", policy=POLICY)
    ids = itertools.count()

    def thread() -> str:
        return f"d{next(ids)}"

    def invoked(graph: Any) -> Callable[[], object]:
        return lambda: graph.invoke(ASK, {"configurable": {"thread_id": thread()}})

    def agent(*middleware: Any, model: Any = None, tools: Any = (look,)) -> Any:
        return create_agent(model or look_script(), list(tools), middleware=middleware, checkpointer=saver)

    theirs = HumanInTheLoopMiddleware(interrupt_on={"send": True}, interrupt_mode="per_call")
    allowed = in_turn(
        {
            "agent": invoked(agent()),
            "ours": invoked(agent(SignoffMiddleware(signoff))),
            "theirs": invoked(agent(theirs)),
            "built": invoked(build(signoff.tool_node([look]), look_script(), saver)),
            "inserted": invoked(signoff.insert(build(ToolNode([look]), look_script(), saver))),
        },
        rounds=rounds,
    )

    gated = agent(SignoffMiddleware(signoff), model=send_script(), tools=[send])
    reviewed = agent(theirs, model=send_script(), tools=[send])

    def our_cycle() -> None:
        where = thread()
        run = signoff.run(gated, ASK, thread_id=where)
        signoff.approve(run.tickets[0], by="ana")
        assert signoff.resume(gated, thread_id=where).status == "completed"

    def their_cycle() -> None:
        where: Any = {"configurable": {"thread_id": thread()}}
        paused = reviewed.invoke(ASK, where)
        answer = {paused["__interrupt__"][0].id: {"type": "approve"}}
        assert reviewed.invoke(Command(resume=answer), where)["messages"][-1].text == "Done."

    cycle = in_turn({"ours": our_cycle, "theirs": their_cycle}, rounds=rounds)
    signoff.close()
    return [
        Figure(
            "an allowed call in an agent",
            "agent without",
            allowed["ours"] / allowed["agent"],
            1.05,
            microseconds(allowed),
        ),
        Figure(
            "the same through LangChain's middleware", "agent without", allowed["theirs"] / allowed["agent"], None, ""
        ),
        Figure(
            "pause and decision in an agent",
            "LangChain's middleware",
            cycle["ours"] / cycle["theirs"],
            1.10,
            microseconds(cycle),
        ),
        Figure("an inserted gate", "a built one", allowed["inserted"] / allowed["built"], 1.0, ""),
    ]

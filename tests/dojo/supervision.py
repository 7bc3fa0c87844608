"""How often a run pauses, and for how many tickets, when AgentDojo's tasks are supervised step by step or by their outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from langgraph_signoff import Policy, Signoff

from .gates import MANY_STEPS
from .replay import Case, World, replay, tools
from .scripts import changes_state, suite

MODES = ("tactical", "hybrid", "strategic")

TAKEN_BACK = {
    "add_calendar_event_participants", "add_user_to_channel", "append_to_file", "create_calendar_event", "create_file",
    "invite_user_to_slack", "reschedule_calendar_event", "schedule_transaction", "share_file", "update_scheduled_transaction",
    "update_user_info",
}  # fmt: skip
"""The tools whose effect the owner of the account could take back; mails, payments, bookings and deletions are not among them."""

DECIDED = {"when": "args.actions.all(a, size(a.decided_by) > 0)", "then": "allow"}
"""Where a person has decided on every action already, nobody is asked for their sum."""


def policy(name: str, mode: str) -> Policy:
    """A policy of a suite that reviews every tool that changes something; `strategic` takes each to have an undo."""
    reversible = TAKEN_BACK if mode == "hybrid" else {tool.name for tool in suite(name).tools}
    entries = {
        tool.name: {"risk": {"reversible": tool.name in reversible}, "otherwise": "review"}
        if changes_state(tool.name)
        else "allow"
        for tool in suite(name).tools
    }
    return Policy(tools=entries, nodes={"review": {"rules": [DECIDED]}}, supervision=mode)  # type: ignore[arg-type]  # of MODES


def counted(cases: Iterable[Case], mode: str, folder: Path) -> Counter[str]:
    """How many `tasks` AgentDojo finds solved, with how many `pauses` and `tickets`, when every ticket is approved."""
    counts: Counter[str] = Counter()
    signoffs: dict[str, Signoff] = {}
    for case in cases:
        if case.suite not in signoffs:
            path = folder / f"{mode}-{case.suite}.db"
            signoffs[case.suite] = Signoff(path, policy=policy(case.suite, mode))
        signoff = signoffs[case.suite]
        counts["tasks"] += replay(case, lambda world, signoff=signoff: _play(world, signoff, counts)).useful
    for signoff in signoffs.values():
        signoff.close()
    return counts


def _play(world: World, signoff: Signoff, counts: Counter[str]) -> World:
    graph, thread_id = _graph(world, signoff), uuid4().hex
    run = signoff.run(graph, {"messages": [("user", world.prompt)]}, thread_id=thread_id, config=MANY_STEPS)
    while run.status == "pending_approval":
        counts["pauses"] += 1
        counts["tickets"] += len(run.tickets)
        for ticket in run.tickets:
            signoff.approve(ticket, by="ana")
        run = signoff.resume(graph, thread_id=thread_id, config=MANY_STEPS)
    assert run.status == "completed", run
    return world


def _graph(world: World, signoff: Signoff) -> Any:
    def agent(state: MessagesState) -> dict[str, Any]:
        turn = sum(isinstance(message, AIMessage) for message in state["messages"])
        return {"messages": [world.propose(turn)]}

    builder = StateGraph(MessagesState)
    builder.add_node("agent", agent)
    builder.add_node("tools", signoff.tool_node(tools(world)))
    builder.add_node("review", signoff.outcome_review("review", back_to="agent"))
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", lambda state: "tools" if state["messages"][-1].tool_calls else "review")
    builder.add_edge("tools", "agent")
    return builder.compile(checkpointer=InMemorySaver())

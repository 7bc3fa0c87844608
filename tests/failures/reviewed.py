"""The graph of the failure suite whose outcome is reviewed: two payments, their review, and what only its approval does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langgraph.graph import START, MessagesState, StateGraph

from langgraph_signoff import Done, Rollback, Signoff
from langgraph_signoff.testing import ScriptedModel

POLICY = """
version: 1
supervision: hybrid
queues:
  payments: {window: 2h, use_within: 1h}
tools:
  look: allow
  send: {risk: {reversible: true}, otherwise: {then: review, queue: payments}}
nodes:
  review: {otherwise: {then: review, queue: payments}}
"""

TWO = [[["send", {"to": "bob", "amount": 7}]], [["send", {"to": "eve", "amount": 7}]]]


def make_graph(
    lines: list[Any],
    tools: list[Any],
    signoff: Signoff,
    *,
    undo: Callable[[Done], str],
    seal: Callable[[], None] | None,
    saver: Any,
) -> Any:
    """`undo` takes a payment back; `seal` is what only an approval does, if anything."""
    model = ScriptedModel([line if isinstance(line, str) else [(n, args) for n, args in line] for line in lines])

    def agent(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    def publish(state: MessagesState) -> dict[str, Any]:  # a node's shape
        return {"messages": [("ai", "Published.")]}

    def rejected(state: MessagesState, done: Rollback) -> dict[str, Any]:
        return {"messages": [("ai", f"Undone: {len(done.undone)}, left: {[left.why for left in done.left]}")]}

    approved = (lambda state: seal()) if seal else None
    review = signoff.outcome_review("review", back_to="agent", then="publish", approved=approved, rejected=rejected)
    builder = StateGraph(MessagesState)
    builder.add_node("agent", agent)
    builder.add_node("tools", signoff.tool_node(tools, undo={"send": undo}))
    builder.add_node("review", review)
    builder.add_node("publish", publish)
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", lambda state: "tools" if state["messages"][-1].tool_calls else "review")
    builder.add_edge("tools", "agent")
    return builder.compile(checkpointer=saver)

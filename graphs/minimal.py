"""The smallest whole program: an assistant that may look at a balance, and sends more than 50 only with a person's word."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import tools_condition

from langgraph_signoff import Signoff
from langgraph_signoff.testing import Line, ScriptedModel

POLICY = Path(__file__).with_suffix(".yaml")
SCRIPT: list[Line] = [
    [("get_balance", {"account": "main"}), ("send_money", {"recipient": "Acme", "amount": 120})],
    "Invoice paid.",
]


@tool
def get_balance(account: str) -> str:
    """Look up a balance."""
    return f"{account} holds 900 EUR"


@tool
def send_money(recipient: str, amount: float) -> str:
    """Send money."""
    return f"sent {amount} EUR to {recipient}"


def build(signoff: Signoff, *, checkpointer: Any = None) -> Any:
    """An agent loop whose tools are behind the gate."""
    model = ScriptedModel(SCRIPT)
    builder = StateGraph(MessagesState)
    builder.add_node("agent", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_node("tools", signoff.tool_node([get_balance, send_money]))
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", tools_condition)
    builder.add_edge("tools", "agent")
    return builder.compile(checkpointer=checkpointer, name="minimal")


async def graph() -> Any:
    """What `langgraph.json` names. A server calls it on its event loop, where opening files is forbidden."""
    return await asyncio.to_thread(lambda: build(Signoff("signoff.db", policy=POLICY)))


if __name__ == "__main__":
    gate = Signoff("signoff.db", policy=POLICY)
    compiled = build(gate, checkpointer=InMemorySaver())
    run = gate.run(compiled, {"messages": [("user", "Pay invoice 114")]}, thread_id="minimal-1")
    print(run)  # pending_approval
    gate.approve(run.tickets[0], by="ana", reason="matches the invoice")
    print(gate.resume(compiled, thread_id="minimal-1").output["messages"][-1].text)

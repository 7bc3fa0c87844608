"""What a resume may do to a thread, whatever the thread looks like: only our own pauses, only what was really dropped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt

from failures.world import GO, ONCE, SEND, Expect, World
from langgraph_signoff import GraphRefused, Policy, Signoff
from langgraph_signoff.heads import Head, open_rows, withdraw_dropped
from support import until

MESSAGE = "sent 5.0 to bob"

DIES_BEFORE_THE_PAUSE = """
import os, sys
sys.path.insert(0, os.environ["TESTS"])
import langgraph_signoff.nodes.steps as steps
from failures.test_threads import GRAPHS
from failures.world import GO, MODES, World
from pathlib import Path

world = World(Path(sys.argv[1]), MODES[0])
GRAPHS[sys.argv[2]](world)
steps.GraphInterrupt = lambda pauses: os._exit(9)  # the ticket is committed, the pause is not
world.graph.invoke(GO, world.config("t"), durability="sync")
"""


class TwoChannels(MessagesState):
    """A state with a second list of messages."""

    notes: Annotated[list[Any], add_messages]


def two_channels(world: World) -> None:
    """An agent that also writes notes, which are messages too."""
    world.open([SEND, "done"])
    gate = world.graph.nodes["tools"].bound
    script = world.agent([SEND, "done"], gate).nodes["agent"].runnable
    builder = StateGraph(TwoChannels)
    builder.add_node("agent", lambda state: {**script.invoke(state), "notes": [AIMessage("a note")]})
    builder.add_node("tools", gate)
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", world.edge, ["tools", END])
    builder.add_edge("tools", "agent")
    world.graph = world.compile(builder)


def agent_in_an_allowed_tool(world: World) -> None:
    """An agent whose allowed tool asks another agent, which proposes the risky call."""
    policy = "version: 1\ntools: {send: review, delegate: allow}"
    world.open([SEND, "done"], policy=policy)
    inner = world.agent([SEND, "done"], world.graph.nodes["tools"].bound).compile()

    @tool
    def delegate(task: str) -> str:
        """Asks another agent."""
        return inner.invoke({"messages": [("user", task)]})["messages"][-1].text

    gate = world.signoff.tool_node([delegate])
    world.graph = world.compile(world.agent([[("delegate", {"task": "send"})], "done"], gate))


GRAPHS = {"two channels": two_channels, "agent in an allowed tool": agent_in_an_allowed_tool}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_ticket_whose_pause_was_never_written_is_not_withdrawn(sync_world: World, name: str) -> None:
    folder = str(sync_world.folder)
    command = [sys.executable, "-c", DIES_BEFORE_THE_PAUSE, folder, name]
    tests = str(Path(__file__).parent.parent)
    assert subprocess.run(command, env={**os.environ, "TESTS": tests}, check=False).returncode == 9
    GRAPHS[name](sync_world)
    [ticket] = sync_world.signoff.pending()
    run = sync_world.resume()
    assert (run.status, [t.id for t in run.tickets]) == ("pending_approval", [ticket.id])
    sync_world.signoff.approve(ticket, by="ana")
    assert sync_world.resume().status == "completed"
    assert sync_world.effects == ["send bob 5.0"]


DIES_IN_THE_TOOL = """
import os, sys
sys.path.insert(0, os.environ["TESTS"])
from failures.world import MODES, SEND, World
from pathlib import Path

world = World(Path(sys.argv[1]), MODES[0])

def send(to: str, amount: float = 5.0) -> str:
    "Sends."
    world.send(to, amount)
    os._exit(9)

world.open([SEND], tools=[world.tool("send", send)])
world.signoff.approve(world.run().tickets[0], by="ana")
world.resume()
"""


@pytest.mark.parametrize("by", ["us", "itself"])
def test_a_call_that_was_cut_off_is_in_doubt_also_when_its_thread_goes_on_without_it(
    sync_world: World, by: str
) -> None:
    world = sync_world
    command = [sys.executable, "-c", DIES_IN_THE_TOOL, str(world.folder)]
    tests = str(Path(__file__).parent.parent)
    assert subprocess.run(command, env={**os.environ, "TESTS": tests}, check=False).returncode == 9
    world.open(["never mind"])
    if by == "us":
        assert world.run({"messages": [("user", "something else")]}).status == "completed"
    else:
        world.invoke({"messages": [("user", "something else")]})

    def is_found() -> bool:
        for thread in world.signoff.threads_to_wake():
            assert world.resume(thread=thread).did == "nothing: it has finished"
        return bool(world.signoff.in_doubt())

    until(is_found)
    [ticket] = world.signoff.in_doubt()
    world.signoff.settle(ticket, "happened", by="ana")
    for thread in world.signoff.threads_to_wake():
        world.resume(thread=thread)
    assert world.signoff.threads_to_wake() == []
    assert world.effects == list(ONCE)


def test_another_graph_with_the_same_thread_id_withdraws_nothing(sync_world: World, tmp_path: Path) -> None:
    sync_world.open([SEND, "done"])
    sync_world.run()
    other = World(tmp_path / "other", sync_world.mode)
    other.signoff = sync_world.signoff
    other.graph = other.compile(
        other.agent(["nothing to do"], sync_world.signoff.tool_node(other.tools())), name="other"
    )
    assert other.run().status == "completed"
    other.close()
    assert [t.standing for t in sync_world.tickets()] == ["pending"]


@pytest.mark.parametrize("verdict", ["", "approve", "reject"])
def test_a_graph_that_does_not_know_where_a_thread_waits_takes_nothing_from_it(world: World, verdict: str) -> None:
    world.open([SEND, "done"])
    right, ticket = world.graph, world.run().tickets[0]
    if verdict:
        getattr(world.signoff, verdict)(ticket, by="ana")
    builder = StateGraph(MessagesState)
    builder.add_node("renamed", lambda state: None)
    builder.add_edge(START, "renamed")
    world.graph = world.compile(builder, name="other")
    for ask in (world.resume, world.status):
        with pytest.raises(GraphRefused, match="thread 't' waits at a node that the graph 'other' does not have"):
            ask()
    assert world.signoff.threads_to_wake() == (["t"] if verdict else [])
    world.graph = right
    if not verdict:
        world.signoff.approve(ticket, by="ana")
    assert world.resume().status == "completed"
    assert world.signoff.threads_to_wake() == []
    assert world.effects == ([] if verdict == "reject" else list(ONCE))


def test_new_input_withdraws_what_it_leaves_behind(world: World) -> None:
    world.open([SEND, SEND, "done"])
    world.run()
    [left] = world.signoff.pending()
    run = world.run({"messages": [("user", "something else")]})
    assert world.signoff.ticket(left.id).standing == "withdrawn"
    assert [t.id for t in run.tickets] != [left.id]


def test_a_ticket_that_was_opened_after_a_look_at_its_thread_is_not_withdrawn_by_it(sync_world: World) -> None:
    world = sync_world
    world.open(["hello", SEND, "done"])
    world.run()
    rows = open_rows(world.signoff, "t")
    finished = Head.of(world.signoff, world.graph, world.state())
    world.run({"messages": [("user", "send it")]})
    withdraw_dropped(world.signoff, world.graph.get_name(), finished, rows)
    assert [ticket.standing for ticket in world.tickets()] == ["pending"]
    withdraw_dropped(world.signoff, world.graph.get_name(), finished, open_rows(world.signoff, "t"))
    assert [ticket.standing for ticket in world.tickets()] == ["withdrawn"]


@pytest.mark.parametrize("where", ["interrupt_before", "interrupt_after"])
def test_a_breakpoint_of_the_author_is_passed_only_by_the_author(world: World, where: str) -> None:
    world.open([[("look", {"x": 1})], "done"])
    gate = world.graph.nodes["tools"].bound
    world.graph = world.compile(world.agent([[("look", {"x": 1})], "done"], gate), **{where: ["tools"]})
    before = world.run()
    assert before.status == "waiting"
    run = world.resume()
    assert (run.status, run.did) == (
        "waiting",
        "nothing: it stands at a breakpoint of the graph; go on with graph.invoke(None, config)",
    )
    world.invoke(None)
    assert world.status().status == "completed"
    assert world.effects == ["look 1"]


def test_a_breakpoint_inside_a_subgraph_is_not_taken_for_the_end(sync_world: World) -> None:
    inner = StateGraph(MessagesState)
    inner.add_node("think", lambda state: {"messages": [AIMessage("thought")]})
    inner.add_edge(START, "think")
    outer = StateGraph(MessagesState)
    outer.add_node("sub", inner.compile(interrupt_before=["think"]))
    outer.add_edge(START, "sub")
    sync_world.graph = sync_world.compile(outer)
    assert sync_world.run().status == "waiting"
    assert sync_world.resume().status == "waiting"


def test_a_pause_whose_tickets_this_ledger_does_not_know_is_a_question_of_the_author(sync_world: World) -> None:
    def ask(state: MessagesState) -> dict[str, Any]:
        answer = interrupt({"signoff": {"kind": "approval", "tickets": ["zz"]}})
        return {"messages": [AIMessage(str(answer))]}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    sync_world.graph = sync_world.compile(builder)
    run = sync_world.run()
    assert run.status == "waiting"
    assert sync_world.resume(answers=dict.fromkeys(run.questions, "yes")).output["messages"][-1].text == "yes"


def test_a_thread_whose_ledger_was_lost_asks_again(sync_world: World, tmp_path: Path) -> None:
    sync_world.open([SEND, "done"])
    sync_world.run()
    sync_world.signoff = Signoff(tmp_path / "new.db", policy=Policy(tools={"send": "review"}), lease=0.5, wait=2)
    gate = sync_world.signoff.tool_node(sync_world.tools())
    sync_world.graph = sync_world.compile(sync_world.agent([SEND, "done"], gate))
    run = sync_world.resume()
    assert run.status == "waiting"
    run = sync_world.resume(answers=dict.fromkeys(run.questions, "wake up"))
    assert run.status == "pending_approval"
    sync_world.signoff.approve(run.tickets[0], by="ana")
    assert sync_world.resume().status == "completed"
    sync_world.assert_ends(Expect(["send bob 5.0"], ["executed"], MESSAGE))
    sync_world.signoff.close()


__all__ = ["GO", "GRAPHS"]

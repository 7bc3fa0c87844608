"""Deep agents: what one middleware covers by itself, what is refused, and how sub-agents of every kind come behind the gate.

`create_deep_agent(middleware=[gate])` gives the gate to the main agent and to declared forks of it, and to nobody else: not
to the general-purpose sub-agent, not to declared ones, not to compiled ones. So the gate refuses to run the `task` tool as
long as any sub-agent behind it would run tools ungated, and `gate.subagents([...])` gates them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from deepagents import create_deep_agent
from deepagents.backends import StateBackend
from deepagents.middleware import SubAgentMiddleware
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, create_react_agent
from langgraph_supervisor import create_supervisor

from agents import POLICY, Agency
from failures.crew import Scene
from failures.worker import POLICY as SCENE_POLICY
from failures.world import ONCE, Expect
from langgraph_signoff import GraphRefused
from langgraph_signoff.middleware import SignoffMiddleware
from langgraph_signoff.nodes.closures import sub_agents
from langgraph_signoff.testing import Line, ScriptedModel

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*no entry of the policy names this tool"),
    pytest.mark.filterwarnings("ignore:.*forked subagents"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

KINDS = ["general-purpose", "declared", "compiled", "graph", "fork", "compiled-fork"]


def sends(messages: Sequence[Any]) -> Line:
    """What a sub-agent says: it sends to whom its task names, then it is done."""
    place = max(place for place, message in enumerate(messages) if isinstance(message, HumanMessage))
    name = messages[place].text.split()[-1]
    return [("send", {"to": name})] if place == len(messages) - 1 else f"sent for {name}"


def delegates(*kinds: str) -> Any:
    """What the main agent says: a task for each kind of sub-agent, all in one message; as a fork of itself it sends."""
    tasks = [("task", {"description": f"Send to {kind}", "subagent_type": kind}) for kind in kinds]

    def line(messages: Sequence[Any]) -> Line:
        if "Send to" in next(m for m in reversed(messages) if isinstance(m, HumanMessage)).text:
            return sends(messages)
        return "done" if any(isinstance(message, AIMessage) for message in messages) else tasks

    return line


def graph_of(firm: Agency) -> Any:
    """A graph whose model gives its messages no name."""
    model = ScriptedModel(sends)
    builder = StateGraph(MessagesState)
    if firm.mode.is_async:

        async def think(state: MessagesState) -> dict[str, Any]:
            return {"messages": [await model.ainvoke(state["messages"])]}

        builder.add_node("model", think)
    else:
        builder.add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_node("tools", ToolNode(firm.tools()))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", lambda state: "tools" if state["messages"][-1].tool_calls else END)
    builder.add_edge("tools", "model")
    return builder.compile()


def specs(firm: Agency) -> list[Any]:
    """A sub-agent of every kind; the general-purpose one comes by itself."""
    inner = create_agent(ScriptedModel(sends), firm.tools(), name="inner")
    return [
        {"name": "declared", "description": "d", "system_prompt": "s", "model": ScriptedModel(sends)},
        {"name": "compiled", "description": "d", "runnable": inner},
        {"name": "graph", "description": "d", "runnable": graph_of(firm)},
        {"name": "fork", "description": "d", "mode": "fork"},
        {"name": "compiled-fork", "description": "d", "runnable": graph_of(firm), "mode": "fork"},
    ]


def hire(firm: Agency, *kinds: str, policy: str = POLICY, gated: bool = True, **gate: Any) -> Any:
    """A deep agent that delegates to these; its sub-agents gated by the helper, or left as they are."""
    firm.signoff = firm.new_signoff(policy)
    middleware = SignoffMiddleware(firm.signoff, **gate)
    firm.graph = create_deep_agent(
        ScriptedModel(delegates(*kinds)),
        firm.tools(),
        middleware=[middleware],
        subagents=middleware.subagents(specs(firm)) if gated else specs(firm),
        checkpointer=firm.saver,
        name="main",
    )
    return firm.graph


# The middleware alone --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_without_help_no_task_is_run_and_the_error_names_an_ungated_sub_agent(firm: Agency, kind: str) -> None:
    hire(firm, kind, gated=False)
    with pytest.raises(GraphRefused, match=r"the sub-agent 'general-purpose' reaches a ToolNode \(.*send.*\)"):
        firm.run()
    with pytest.raises(GraphRefused, match=r"SignoffMiddleware\.subagents"):
        firm.invoke({"messages": [("user", "go")]}, thread="u")
    assert (firm.effects, firm.tickets(), firm.tickets("u")) == ([], [], [])


@pytest.mark.parametrize("kind", KINDS)
def test_a_sub_agent_that_the_author_vouches_for_runs_as_deepagents_made_it(firm: Agency, kind: str) -> None:
    """So this is what would happen if nobody looked: all but a declared fork run without the gate."""
    hire(firm, kind, gated=False, trusted=KINDS)
    run = firm.run()
    if kind == "fork":
        assert (run.status, firm.effects) == ("pending_approval", [])
    else:
        assert (run.status, firm.effects, firm.tickets()) == ("completed", [f"send {kind} 5.0"], [])


# With the helper ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_sub_agent_of_any_kind_waits_for_an_approval_and_its_ticket_names_it(firm: Agency, kind: str) -> None:
    hire(firm, kind)
    run = firm.run()
    assert (run.status, firm.effects) == ("pending_approval", [])
    [ticket] = run.tickets
    assert (ticket.tool, ticket.args, ticket.thread_id) == ("send", {"to": kind, "amount": 5.0}, "t")
    assert ticket.agent == {"compiled": "inner"}.get(kind, kind)
    assert ticket.trigger.endswith(f"Send to {kind}")
    assert firm.resume().did == "nothing: it waits"
    run = firm.approve_all()
    assert run.status == "completed", run.error
    firm.assert_ends(Expect([f"send {kind} 5.0"], ["executed"], f"sent for {kind}"))
    assert firm.resume().did == "nothing: it has finished"


def test_sub_agents_at_work_side_by_side_each_get_their_own_decision(firm: Agency) -> None:
    hire(firm, *KINDS)
    assert firm.run().status == "pending_approval"
    assert sorted(ticket.args["to"] for ticket in firm.signoff.pending()) == sorted(KINDS)
    firm.signoff.approve(firm.ticket(to="declared"), by="ana")
    assert firm.resume().status == "pending_approval"
    assert firm.effects == ["send declared 5.0"]
    firm.signoff.reject(firm.ticket(to="compiled"), by="ana")
    firm.signoff.revise(firm.ticket(to="graph"), by="ana", args={"to": "eve"})
    assert firm.approve_all().status == "completed"
    sent = {kind for kind in KINDS if kind not in ("compiled", "graph")} | {"eve"}
    assert firm.effects == sorted(f"send {name} 5.0" for name in sent)
    assert firm.standings() == ["executed"] * 5 + ["rejected"]


def test_a_task_that_is_reviewed_itself_is_asked_about_first_and_keeps_its_claim(firm: Agency) -> None:
    hire(firm, "declared", policy=POLICY.replace("task: allow", "task: review"))
    [ticket] = firm.run().tickets
    assert (ticket.tool, ticket.agent) == ("task", "main")
    run = firm.approve_all()
    assert (run.status, [t.tool for t in run.tickets], firm.effects) == ("pending_approval", ["send"], [])
    assert firm.approve_all().status == "completed"
    firm.assert_ends(Expect(["send declared 5.0"], ["executed", "executed"], "sent for declared"))


def test_the_main_agents_own_calls_are_ruled_too(firm: Agency) -> None:
    hire(firm)
    firm.graph = create_deep_agent(
        ScriptedModel([[("send", {"to": "bob"}), ("ls", {"path": "/"})], "done"]),
        firm.tools(),
        middleware=[SignoffMiddleware(firm.signoff)],
        checkpointer=firm.saver,
        name="main",
    )
    run = firm.run()
    assert sorted((ticket.tool, ticket.agent) for ticket in run.tickets) == [("ls", "main"), ("send", "main")]
    assert firm.approve_all().status == "completed"
    assert firm.effects == list(ONCE)


@pytest.mark.parametrize("moment", ["effect:after", "executed:after"])
def test_a_process_killed_in_a_sub_agents_tool_leaves_one_effect_and_a_real_answer(moment: str, tmp_path: Path) -> None:
    policy = SCENE_POLICY.replace("look: allow", "look: allow\n  task: allow")
    scene = Scene(tmp_path, door="deep", policy=policy)
    assert scene.do("run").status == "pending_approval"
    scene.say("approve")
    scene.do("resume", kill=moment)
    assert scene.do("resume").status == ("completed" if moment == "executed:after" else "in_doubt")
    last = scene.finish()
    assert (len(scene.effects()), scene.standings()) == (1, ["executed"])
    assert last.answers == [["task-1", "success", "Done."]]


# How specs are gated ---------------------------------------------------------------------------------------------------------


def test_the_helper_changes_no_spec_and_gates_each_once(sync_firm: Agency) -> None:
    gate = SignoffMiddleware(sync_firm.signoff)
    given = specs(sync_firm)
    before = [dict(spec) for spec in given]
    once = gate.subagents(given)
    assert given == before
    assert [spec["name"] for spec in once] == ["general-purpose", *(spec["name"] for spec in given)]
    assert [spec.get("middleware") for spec in once] == [[gate], [gate], None, None, [gate], None]
    twice = gate.subagents(once)
    assert [spec.get("middleware") for spec in twice] == [[gate], [gate], None, None, [gate], None]
    assert [a.get("runnable") is b.get("runnable") for a, b in zip(once, twice, strict=True)] == [True] * 6
    own = {"name": "general-purpose", "description": "mine", "system_prompt": "s", "skills": ["/s/"]}
    assert gate.subagents([own]) == [{**own, "middleware": [gate]}]


def test_a_compiled_agent_that_has_the_gate_already_is_taken_as_it_is(sync_firm: Agency) -> None:
    gate = SignoffMiddleware(sync_firm.signoff)
    inner = create_agent(ScriptedModel(sends), sync_firm.tools(), middleware=[gate], name="inner")
    [_, spec] = gate.subagents([{"name": "compiled", "description": "d", "runnable": inner}])
    assert spec["runnable"] is inner


def test_what_cannot_be_gated_is_refused_unless_the_author_vouches_for_it(sync_firm: Agency) -> None:
    @tool
    def wire(to: str) -> str:
        """Wires."""
        return to

    worker = create_react_agent(ScriptedModel(["-"]), sync_firm.tools(), name="worker")
    boss = create_supervisor([worker], model=ScriptedModel(["-"])).compile()
    cases = [
        ({"runnable": RunnableLambda(lambda state: wire.invoke(state))}, "no StateGraph"),
        ({"runnable": boss}, r"node 'worker' reaches a ToolNode \(send, look\)"),
        ({"graph_id": "far"}, "the tools of 'one' run on another server"),
    ]
    for part, problem in cases:
        spec = {"name": "one", "description": "d", **part}
        with pytest.raises(GraphRefused, match=problem):
            SignoffMiddleware(sync_firm.signoff).subagents([spec])
        assert SignoffMiddleware(sync_firm.signoff, trusted=["one"]).subagents([spec])[1] == spec


def test_a_deep_agent_as_a_sub_agent_brings_sub_agents_of_its_own(firm: Agency) -> None:
    gate = SignoffMiddleware(firm.signoff)

    def made(subagents: Any) -> Any:
        return create_deep_agent(
            ScriptedModel(delegates("declared")), firm.tools(), middleware=[gate], subagents=subagents, name="deep"
        )

    def spec(runnable: Any) -> Any:
        return {"name": "deep", "description": "d", "runnable": runnable}

    with pytest.raises(GraphRefused, match="the sub-agent 'general-purpose' reaches"):
        gate.subagents([spec(made(specs(firm)))])

    def main(messages: Sequence[Any]) -> Line:
        is_new = not any(isinstance(message, AIMessage) for message in messages)
        return [("task", {"description": "Do it", "subagent_type": "deep"})] if is_new else "done"

    firm.graph = create_deep_agent(
        ScriptedModel(main),
        middleware=[gate],
        subagents=gate.subagents([spec(made(gate.subagents(specs(firm))))]),
        checkpointer=firm.saver,
    )
    firm.signoff = firm.new_signoff(POLICY)
    run = firm.run()
    while run.status == "pending_approval":
        assert firm.effects == []
        run = firm.approve_all()
    assert (run.status, firm.effects) == ("completed", ["send declared 5.0"])


def test_a_sub_agent_middleware_of_the_authors_own(firm: Agency) -> None:
    firm.signoff = firm.new_signoff(POLICY)
    gate = SignoffMiddleware(firm.signoff)
    spec = {"name": "declared", "description": "d", "model": ScriptedModel(sends), "tools": firm.tools()}
    for given in (spec, gate.subagent(spec)):
        sub = SubAgentMiddleware(backend=StateBackend(), subagents=[given])
        firm.graph = create_agent(
            ScriptedModel(delegates("declared")), middleware=[sub, gate], checkpointer=firm.saver, name="main"
        )
        if given is spec:
            with pytest.raises(GraphRefused, match="'declared'"):
                firm.run(thread="u")
    assert firm.run().status == "pending_approval"
    assert firm.approve_all().status == "completed"
    firm.assert_ends(Expect(["send declared 5.0"], ["executed"], "sent for declared"))


# Gates inserted into one ---------------------------------------------------------------------------------------------------------


def test_inserting_gates_into_a_deep_agent_is_refused_while_a_sub_agent_would_run_ungated(firm: Agency) -> None:
    graph = hire(firm, "compiled", gated=False)
    with pytest.raises(GraphRefused, match=r"the sub-agent 'general-purpose' reaches a ToolNode .*trusted=\['tools'\]"):
        firm.signoff.insert(graph)
    assert firm.signoff.insert(graph, trusted=["tools"]) is not graph


def test_gates_may_be_inserted_into_a_deep_agent_that_has_them(firm: Agency) -> None:
    graph = hire(firm, "compiled")
    firm.graph = firm.signoff.insert(graph)
    assert firm.run().status == "pending_approval"
    assert firm.approve_all().status == "completed"
    firm.assert_ends(Expect(["send compiled 5.0"], ["executed"], "sent for compiled"))


def test_a_graph_that_reaches_a_deep_agent_reaches_its_sub_agents(sync_firm: Agency) -> None:
    builder = StateGraph(MessagesState)
    builder.add_node("deep", hire(sync_firm, "compiled", gated=False))
    builder.add_edge(START, "deep")
    with pytest.raises(GraphRefused, match="general-purpose"):
        sync_firm.signoff.insert(builder)


# What this leans on --------------------------------------------------------------------------------------------------------------


def test_the_task_tool_shows_its_sub_agents_in_its_closure(sync_firm: Agency) -> None:
    graph = hire(sync_firm)
    task = graph.nodes["tools"].bound.tools_by_name["task"]
    assert list(sub_agents(task)) == KINDS
    assert sub_agents(sync_firm.tools()[0]) == {}


def test_a_task_tool_whose_sub_agents_do_not_show_is_refused(sync_firm: Agency) -> None:
    def task(description: str) -> str:
        """Delegates."""
        sync_firm.effect("ran")
        return description

    unknown = FunctionType(task.__code__, {"sync_firm": sync_firm}, "task", None, task.__closure__)
    unknown.__module__, unknown.__doc__, unknown.__annotations__ = (
        "deepagents.middleware.subagents",
        task.__doc__,
        {"description": str, "return": str},
    )
    sync_firm.hire([[("task", {"description": "x"})], "done"], tools=[tool(unknown)])
    with pytest.raises(GraphRefused, match="this release of deepagents is not known here"):
        sync_firm.run()
    assert sync_firm.effects == []

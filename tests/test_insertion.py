"""Gates put into graphs that others wrote: what is gated, what is kept, and what is refused because nobody can be sure."""

from __future__ import annotations

import functools
import json
import logging
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, TodoListMiddleware
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import RunnableBranch, RunnableLambda
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.errors import NodeError
from langgraph.func import entrypoint
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, create_react_agent
from langgraph.types import Command, RetryPolicy, Send
from langgraph_supervisor import create_supervisor
from langgraph_swarm import create_handoff_tool, create_swarm

from langgraph_signoff import GraphRefused, Policy, Query, Run, Signoff, Standing
from langgraph_signoff.testing import ScriptedModel

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

POLICY = Policy(
    tools={"send": "review", "look": "allow", "transfer_*": "allow", "write_todos": "allow"},
    nodes={"publish": "review", "archive_*": "review"},
)
GO: dict[str, Any] = {"messages": [("user", "go")]}
SENDS: list[Any] = [[("send", {"to": "bob"})], "Done."]
LATER: list[Any] = ["-", *SENDS, "Done."]


class Desk:
    """A ledger, a saver, and what the graphs' tools and nodes did."""

    def __init__(self, folder: Path) -> None:
        self.signoff = Signoff(folder / "signoff.db", policy=POLICY)
        self.saver = SqliteSaver(sqlite3.connect(folder / "threads.db", check_same_thread=False))
        self.effects: list[str] = []
        self.pauses = 0

    @property
    def send(self) -> BaseTool:
        """A tool that writes down what it did."""

        @tool
        def send(to: str) -> str:
            """Sends."""
            self.effects.append(f"send {to}")
            return f"sent to {to}"

        return send

    def runs(self, graph: Any, thread: str = "t", by: str = "ana") -> Run:
        """A run to its end, every ticket approved."""
        self.pauses = 0
        graph = graph.compile() if isinstance(graph, StateGraph) else graph
        graph.checkpointer = self.saver
        run = self.signoff.run(graph, GO, thread_id=thread)
        while run.status == "pending_approval":
            self.pauses += 1
            for ticket in run.tickets:
                self.signoff.approve(ticket, by=by)
            run = self.signoff.resume(graph, thread_id=thread)
        return run


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    with closing(desk.signoff), closing(desk.saver.conn):
        yield desk


def one_node(node: Any, name: str = "publish", **options: Any) -> StateGraph[Any, Any, Any, Any]:
    """A graph of one node."""
    builder = StateGraph(MessagesState)
    builder.add_node(name, node, **options)
    builder.add_edge(START, name)
    return builder


# Graphs that others wrote ---------------------------------------------------------------------------------------------


def react_agent(desk: Desk) -> Any:
    return desk.signoff.insert(create_react_agent(ScriptedModel(SENDS), [desk.send]))


def react_agent_of_one_call_each(desk: Desk) -> Any:
    return desk.signoff.insert(create_react_agent(ScriptedModel(SENDS), [desk.send], version="v2"))


def langchain_agent(desk: Desk) -> Any:
    return desk.signoff.insert(
        create_agent(ScriptedModel(SENDS), [desk.send], middleware=[TodoListMiddleware()], system_prompt="You send.")
    )


def supervisor_of_gated_workers(desk: Desk) -> Any:
    worker = desk.signoff.insert(create_react_agent(ScriptedModel(LATER), [desk.send], name="worker"))
    boss = ScriptedModel([[("transfer_to_worker", {})], "-", "Done.", "Done.", "Done."])
    return desk.signoff.insert(create_supervisor([worker], model=boss))


def swarm(desk: Desk) -> Any:
    alice = create_agent(
        ScriptedModel([[("transfer_to_bob", {})]]), [create_handoff_tool(agent_name="bob")], name="alice"
    )
    bob = create_agent(ScriptedModel(LATER), [desk.send], name="bob")
    return desk.signoff.insert(create_swarm([alice, bob], default_active_agent="alice"))


def documented_agent(desk: Desk) -> Any:
    """The agent of LangGraph's own documentation, whose tools run in a ToolNode behind a conditional edge."""
    model = ScriptedModel(SENDS)
    builder = StateGraph(MessagesState)
    builder.add_node("llm", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_node("tools", ToolNode([desk.send]))
    builder.add_edge(START, "llm")
    builder.add_conditional_edges("llm", lambda state: "tools" if state["messages"][-1].tool_calls else END)
    builder.add_edge("tools", "llm")
    return desk.signoff.insert(builder)


@pytest.mark.parametrize(
    "build",
    [
        react_agent,
        react_agent_of_one_call_each,
        langchain_agent,
        supervisor_of_gated_workers,
        swarm,
        documented_agent,
    ],
    ids=lambda build: build.__name__,
)
def test_a_graph_of_others_asks_once_and_runs_once(desk: Desk, build: Callable[[Desk], Any]) -> None:
    graph = build(desk)
    run = desk.runs(graph)
    assert (run.status, desk.pauses, desk.effects) == ("completed", 1, ["send bob"])
    [ticket] = desk.signoff.find(Query(limit=9))
    assert (ticket.tool, ticket.standing) == ("send", Standing.EXECUTED)
    assert desk.signoff.verify().is_whole


def test_an_explanation_names_what_each_node_has_become(desk: Desk) -> None:
    assert desk.signoff.explain(swarm(desk)).splitlines() == [
        "alice: a graph of its own",
        "  model: runs as it is",
        "  tools: gated tools: transfer_to_bob (allow)",
        "bob: a graph of its own",
        "  model: runs as it is",
        "  tools: gated tools: send (review)",
    ]
    assert "send (review)" in desk.signoff.explain(langchain_agent(desk))


def test_a_supervisor_whose_workers_are_not_gated_is_refused(desk: Desk) -> None:
    worker = create_react_agent(ScriptedModel(LATER), [desk.send], name="worker")
    boss = create_supervisor([worker], model=ScriptedModel(["-"]))
    with pytest.raises(GraphRefused, match=r"node 'worker' reaches a ToolNode \(send\)"):
        desk.signoff.insert(boss)
    assert desk.signoff.insert(boss, trusted=["worker"]) is not boss


def test_the_tools_of_the_documentations_first_agent_sit_in_a_function_and_are_refused(desk: Desk) -> None:
    tools_by_name = {"send": desk.send}

    def tool_node(state: MessagesState) -> dict[str, Any]:
        [message] = [m for m in state["messages"][-1:] if isinstance(m, AIMessage)]
        return {
            "messages": [
                ToolMessage(tools_by_name[call["name"]].invoke(call["args"]), tool_call_id=call["id"])
                for call in message.tool_calls
            ]
        }

    with pytest.raises(GraphRefused, match=r"node 'tool_node' reaches the tool send.*trusted=\['tool_node'\]"):
        desk.signoff.insert(one_node(tool_node, "tool_node"))


# What may hide in a node ----------------------------------------------------------------------------------------------


def hiding_places(send: BaseTool) -> dict[str, Any]:
    """Nodes that run a tool in ways that a builder does not show."""

    def ask(state: MessagesState) -> dict[str, Any]:
        send.invoke({"to": "eve"})
        return {}

    class Sender:
        def __init__(self) -> None:
            self.tools = [send]

        def __call__(self, state: MessagesState) -> dict[str, Any]:
            return ask(state)

        def method(self, state: MessagesState) -> dict[str, Any]:
            return {"messages": [self.tools[0].invoke({"to": "eve"})]}

    async def aask(state: MessagesState) -> dict[str, Any]:
        return ask(state)

    agent = create_react_agent(ScriptedModel(SENDS), [send])
    return {
        "a function": ask,
        "a coroutine": aask,
        "a lambda around it": lambda state: ask(state),
        "a partial": functools.partial(lambda tools, state: tools[0].invoke({"to": "eve"}), [send]),
        "an object": Sender(),
        "a method": Sender().method,
        "a runnable": RunnableLambda(ask),
        "a chain": RunnableLambda(lambda state: state) | RunnableLambda(ask),
        "a parallel": RunnableLambda(lambda state: state) | {"messages": RunnableLambda(ask)},
        "a graph in a closure": lambda state: agent.invoke(state),
        "a tool node in a closure": functools.partial(ToolNode([send]).invoke),
        "an entrypoint": entrypoint()(ask),
    }


@pytest.mark.parametrize("place", [
    "a function", "a coroutine", "a lambda around it", "a partial", "an object", "a method", "a runnable", "a chain",
    "a parallel", "a graph in a closure", "a tool node in a closure", "an entrypoint",
])  # fmt: skip
def test_a_tool_that_hides_in_a_node_is_refused_unless_the_node_is_named(desk: Desk, place: str) -> None:
    node = hiding_places(desk.send)[place]
    with pytest.raises(GraphRefused, match="node 'hides' reaches"):
        desk.signoff.insert(one_node(node, "hides"))
    guarded = desk.signoff.insert(one_node(node, "publish"))
    assert desk.signoff.explain(guarded) == "publish: guarded (review)"
    assert desk.effects == []


# Each defines a `node` in a module of its own, in which `send` is a tool and `tools` a module that has it too.
CODE = {
    "in an inner function": "def node(state):\n def inner(): return send.invoke({})\n return inner()",
    "in a comprehension": "def node(state): return [send.invoke({}) for _ in state]",
    "as a default": "def node(state, one=tools.send): return one.invoke({})",
    "as a default by keyword": "def node(state, *, one=tools.send): return one.invoke({})",
    "in a module": "def node(state): return tools.send.invoke({})",
    "in a module by name": "def node(state): return getattr(tools, 'send').invoke({})",
    "in a register of a module": "def node(state): return tools.ALL[0].invoke({})",
    "on a class": "class Node:\n one = tools.send\n def __call__(self, state): return self.one.invoke({})\nnode = Node()",
    "on a class of the class": "class Base:\n ones = {'s': send}\nclass Node(Base):\n def run(self, s): return self.ones\nnode = Node().run",
    "in another method": "class Node:\n def __call__(self, state): return self.go()\n def go(self): return send.invoke({})\nnode = Node()",
    "in a method of a class": "class Box:\n @classmethod\n def go(cls): return send.invoke({})\ndef node(state): return Box.go()",
    "in a slot": "class Node:\n __slots__ = ('one',)\n def __call__(self, state): return self.one\nnode = Node(); node.one = send",
    "in a fallback": "node = Lambda(lambda s: s).with_fallbacks([Lambda(lambda s: send.invoke({}))])",
    "in a retried runnable": "node = Lambda(lambda s: send.invoke({})).with_retry()",
    "in a branch": "node = Branch((lambda s: True, lambda s: send.invoke({})), lambda s: s)",
    "in a runnable of one's own": "class Node(Lambda):\n def __init__(self): self.one = send\nnode = Node()",
    "in a builder": "graph = Graph(dict).add_node('n', lambda s: send.invoke({}))\ndef node(state): return graph.compile().invoke({})",
}


@pytest.mark.parametrize("place", CODE)
def test_a_tool_that_hides_in_the_code_of_a_node_is_refused(desk: Desk, place: str) -> None:
    tools, own = ModuleType("their_tools"), ModuleType("their_nodes")
    vars(tools).update(send=desk.send, ALL=[desk.send])
    vars(own).update(tools=tools, Lambda=RunnableLambda, Branch=RunnableBranch, Graph=StateGraph)
    if "tools." not in CODE[place] and "getattr" not in CODE[place]:
        vars(own).update(send=desk.send)
    exec(CODE[place], vars(own))
    with pytest.raises(GraphRefused, match="node 'hides' reaches the tool send"):
        desk.signoff.insert(one_node(vars(own)["node"], "hides"))


def test_code_that_reaches_no_tool_may_use_any_library(desk: Desk) -> None:
    class Node:
        log, encode = logging.getLogger(), json.JSONEncoder()

        def __call__(self, state: MessagesState) -> dict[str, Any]:
            return {"messages": [json.dumps(sqlite3.sqlite_version), self.log, Signoff]}

    assert "runs as it is" in desk.signoff.explain(desk.signoff.insert(one_node(Node(), "free")))


def test_a_wrapper_of_a_tool_node_that_runs_a_tool_itself_is_refused(desk: Desk) -> None:
    send = desk.send
    node = ToolNode([desk.send], wrap_tool_call=lambda request, execute: send.invoke(request.tool_call))
    with pytest.raises(GraphRefused, match="node 'tools' reaches the tool send"):
        desk.signoff.insert(one_node(node, "tools"))


def test_a_middleware_that_runs_a_tool_itself_is_refused(desk: Desk) -> None:
    send = desk.send

    class Sends(AgentMiddleware):
        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            send.invoke({"to": "eve"})
            return handler(request)

    agent = create_agent(ScriptedModel(SENDS), [desk.send], middleware=[Sends()])
    with pytest.raises(GraphRefused, match="node 'model' reaches the tool send"):
        desk.signoff.insert(agent)


def test_a_middleware_may_bring_tools_that_the_agent_runs(desk: Desk) -> None:
    class Brings(AgentMiddleware):
        tools = (desk.send,)

        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            return handler(request)

    agent = create_agent(ScriptedModel(SENDS), middleware=[Brings()])
    run = desk.runs(desk.signoff.insert(agent))
    assert (run.status, desk.pauses, desk.effects) == ("completed", 1, ["send bob"])


def test_a_tool_node_of_another_kind_is_refused_unless_it_is_guarded_as_a_whole(desk: Desk) -> None:
    class Own(ToolNode):
        """Runs tools in a way of its own."""

    with pytest.raises(GraphRefused, match=r"node 'tools' reaches a ToolNode \(send\)"):
        desk.signoff.insert(one_node(Own([desk.send]), "tools"))
    gated = desk.signoff.insert(one_node(Own([desk.send]), "publish"))
    assert desk.signoff.explain(gated) == "publish: guarded (review)"


def test_a_tool_node_that_the_policy_names_is_guarded_and_so_are_its_tools(desk: Desk) -> None:
    model = ScriptedModel(SENDS)
    builder = one_node(lambda state: {"messages": [model.invoke(state["messages"])]}, "llm")
    builder.add_node("publish", ToolNode([desk.send])).add_edge("llm", "publish")
    gated = desk.signoff.insert(builder)
    assert "publish: guarded (review); gated tools: send (review)" in desk.signoff.explain(gated)
    assert desk.runs(gated).status == "completed"
    assert (desk.pauses, desk.effects) == (2, ["send bob"])


def test_a_node_that_the_policy_names_is_refused_where_a_function_runs_its_graph(desk: Desk) -> None:
    inner = one_node(lambda state: {}, "publish").compile()
    with pytest.raises(GraphRefused, match="node 'runs' reaches the node publish"):
        desk.signoff.insert(one_node(lambda state: inner.invoke(state), "runs"))
    guarded = desk.signoff.insert(inner)
    assert desk.signoff.insert(one_node(lambda state: guarded.invoke(state), "runs"))


def test_a_tool_in_the_function_of_an_edge_is_refused(desk: Desk) -> None:
    send = desk.send
    builder = one_node(lambda state: {}, "start")
    builder.add_conditional_edges("start", lambda state: END if send.invoke({"to": "eve"}) else "start")
    with pytest.raises(GraphRefused, match="the edge after start reaches the tool send"):
        desk.signoff.insert(builder)


@pytest.mark.parametrize("thing", [entrypoint()(lambda given: given), RunnableLambda(print), None, "graph"])
def test_what_is_no_state_graph_is_refused(desk: Desk, thing: Any) -> None:
    with pytest.raises(GraphRefused, match="no StateGraph"):
        desk.signoff.insert(thing)


def test_a_trusted_node_must_be_there(desk: Desk) -> None:
    with pytest.raises(GraphRefused, match="trusted= names pubish"):
        desk.signoff.insert(one_node(print), trusted=["pubish"])


@pytest.mark.parametrize("option", ["actions", "keys", "refused"])
def test_what_is_said_of_a_node_that_is_not_guarded_is_an_error(desk: Desk, option: str) -> None:
    with pytest.raises(GraphRefused, match="name pubish, and the graph has no such node that the policy names"):
        desk.signoff.insert(one_node(lambda state: {}), **{option: {"pubish": lambda *_: {}}})


# What is kept ---------------------------------------------------------------------------------------------------------


def test_a_node_that_the_policy_names_is_guarded_on_each_visit(desk: Desk) -> None:
    def publish(state: MessagesState) -> dict[str, Any]:
        desk.effects.append("published")
        return {}

    graph = desk.signoff.insert(one_node(publish))
    for turn in (1, 2):
        assert desk.runs(graph).status == "completed"
        assert (desk.pauses, len(desk.effects)) == (1, turn)


def test_what_a_guarded_node_does_can_be_said_and_so_can_what_stands_in_for_it(desk: Desk) -> None:
    builder = one_node(lambda state: {"messages": [AIMessage("published")]})
    graph = desk.signoff.insert(
        builder,
        actions={"publish": lambda state: {"text": state["messages"][-1].text}},
        keys={"publish": lambda state: len(state["messages"])},
        refused={"publish": lambda state, ticket, text: {"messages": [AIMessage(text)]}},
    ).compile(checkpointer=desk.saver)
    [ticket] = desk.signoff.run(graph, GO, thread_id="t").tickets
    assert (ticket.args, ticket.reason_code) == ({"text": "go"}, "default_review")
    desk.signoff.reject(ticket, by="ana", reason="not today")
    assert (
        desk.signoff.resume(graph, thread_id="t")
        .output["messages"][-1]
        .text.startswith("publish was not run: rejected by ana: not today")
    )


def test_the_original_stays_as_it_was_and_the_copy_keeps_its_edges_and_policies(desk: Desk) -> None:
    builder = StateGraph(MessagesState)
    retry = RetryPolicy(max_attempts=2)
    builder.add_node("fan", lambda state: Command(goto=[Send("tools", call) for call in ()]), destinations=("tools",))
    builder.add_node("tools", ToolNode([desk.send], messages_key="messages", handle_tool_errors="failed"))
    builder.add_node("publish", lambda state: {}, retry_policy=retry, defer=True, metadata={"team": "web"})
    builder.add_edge(START, "fan")
    builder.add_edge(["fan", "tools"], "publish")
    tools = builder.nodes["tools"].runnable
    gated = desk.signoff.insert(builder)
    assert builder.nodes["tools"].runnable is tools
    assert (gated.edges, gated.waiting_edges) == (builder.edges, builder.waiting_edges)
    spec = gated.nodes["publish"]
    assert (spec.retry_policy, spec.defer, spec.metadata) == (retry, True, {"team": "web"})
    assert gated.nodes["tools"].runnable._handle_tool_errors == "failed"
    before, after = builder.compile().get_graph(), gated.compile().get_graph()
    assert (set(before.nodes), set(before.edges)) == (set(after.nodes), set(after.edges))


def test_inserting_twice_changes_nothing_more(desk: Desk) -> None:
    once = documented_agent(desk)
    twice = desk.signoff.insert(once)
    assert twice.nodes["tools"].runnable is once.nodes["tools"].runnable
    assert desk.signoff.explain(once) == desk.signoff.explain(twice)


def test_a_compiled_graph_keeps_its_saver_its_name_and_its_breakpoints(desk: Desk) -> None:
    graph = one_node(lambda state: {}).compile(checkpointer=desk.saver, interrupt_before=["publish"], name="web")
    gated = desk.signoff.insert(graph.with_config(recursion_limit=7))
    assert gated.checkpointer is desk.saver
    assert (gated.name, list(gated.interrupt_before_nodes), gated.config["recursion_limit"]) == ("web", ["publish"], 7)


def test_a_compiled_graph_keeps_what_it_was_given_later_and_its_handler_of_errors(desk: Desk) -> None:
    def fails(state: MessagesState) -> dict[str, Any]:
        raise ValueError("no printer")

    def handled(state: MessagesState, error: NodeError) -> dict[str, Any]:
        return {"messages": [AIMessage(f"{error.node} failed")]}

    builder = one_node(fails).set_node_defaults(error_handler=handled)
    assert desk.signoff.insert(builder) is not builder
    graph = builder.compile()
    graph.step_timeout = 30
    gated = desk.signoff.insert(graph)
    assert gated.step_timeout == 30
    assert desk.runs(gated).output["messages"][-1].text == "publish failed"
    tool = desk.send
    hides = one_node(fails).set_node_defaults(error_handler=lambda state: tool.invoke({"to": "eve"}))
    for one in (hides, hides.compile()):
        with pytest.raises(GraphRefused, match="reaches the tool send"):
            desk.signoff.insert(one)


def test_what_is_added_to_the_copy_is_not_added_to_the_original(desk: Desk) -> None:
    builder = one_node(lambda state: {})
    builder.add_conditional_edges("publish", lambda state: END, [END])
    copy = desk.signoff.insert(builder)
    copy.add_node("more", lambda state: {}, input_schema=Less)
    copy.add_conditional_edges("publish", more, [END])
    assert (list(builder.nodes), list(builder.branches["publish"]), Less in builder.schemas) == (
        ["publish"],
        ["condition"],
        False,
    )
    builder.compile()


class Less(TypedDict):
    """What a node may ask for."""

    more: int


def more(state: MessagesState) -> str:
    """Where to go on."""
    return END


def test_a_wrapper_of_the_authors_stands_outside_of_the_gate(desk: Desk) -> None:
    seen: list[str] = []

    def twice(request: Any, execute: Any) -> Any:
        seen.append(request.tool_call["name"])
        execute(request)
        return execute(request)

    model = ScriptedModel(SENDS)
    builder = StateGraph(MessagesState)
    builder.add_node("llm", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_node("tools", ToolNode([desk.send], wrap_tool_call=twice))
    builder.add_edge(START, "llm")
    builder.add_conditional_edges("llm", lambda state: "tools" if state["messages"][-1].tool_calls else END)
    builder.add_edge("tools", "llm")
    assert desk.runs(desk.signoff.insert(builder)).status == "completed"
    assert desk.effects == ["send bob"]
    assert seen


def test_a_guarded_subgraph_is_gated_inside_too(desk: Desk) -> None:
    inner = create_react_agent(ScriptedModel(SENDS), [desk.send])
    graph = desk.signoff.insert(one_node(inner, "archive_mail"))
    assert desk.runs(graph).status == "completed"
    assert (desk.pauses, desk.effects) == (2, ["send bob"])
    assert desk.signoff.explain(graph).splitlines()[0] == "archive_mail: guarded (review)"
    assert "  tools: gated tools: send (review)" in desk.signoff.explain(graph).splitlines()
    standings = {t.tool: t.standing for t in desk.signoff.find(Query(limit=9))}
    assert standings == {"archive_mail": Standing.EXECUTED, "send": Standing.EXECUTED}


def test_warnings_of_the_check_speak_of_nodes_too(desk: Desk) -> None:
    @desk.signoff.gate("deploy", action=lambda state: {})
    def deploy(state: MessagesState) -> dict[str, Any]:
        return {}

    graph = one_node(deploy, "deploy").compile(checkpointer=desk.saver)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert desk.signoff.check(graph) == [
            "deploy: no entry of the policy names this node; every run of it will be reviewed"
        ]

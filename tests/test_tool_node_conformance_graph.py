"""In a graph the gated node gives what ToolNode gives, also when a person had to approve each call first.

Every program runs with ToolNode, with our node under a policy that lets it run, and with our node where each call is approved;
given a whole message and given one call per task, in sync and in async. Messages are compared without their ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, InjectedToolCallId, ToolException, tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import InjectedState, InjectedStore, ToolNode, ToolRuntime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, Send, interrupt
from pydantic import BaseModel, ValidationError

from langgraph_signoff import Policy, Signoff

ran: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


class State(MessagesState, total=False):
    word: str
    seen: list[str]


def call(name: str, place: int = 0, **args: Any) -> dict[str, Any]:
    return {"name": name, "args": args, "id": f"c{place}", "type": "tool_call"}


# The programs --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Program:
    """What a model proposes, to which tools, in a node with which options."""

    tools: Sequence[Any]
    calls: Sequence[dict[str, Any]]
    options: dict[str, Any]

    @property
    def names(self) -> list[str]:
        return [tool.name if isinstance(tool, BaseTool) else tool.__name__ for tool in self.tools]


def program(*calls: dict[str, Any], tools: Sequence[Any], **options: Any) -> Program:
    numbered = [{**proposed, "id": f"c{place}"} for place, proposed in enumerate(calls)]
    return Program(tools, numbered, options)


@tool
def note(n: int) -> str:
    """Notes."""
    ran.append(n)
    return f"noted {n}"


@tool(response_format="content_and_artifact")
def draw(n: int) -> tuple[list[dict[str, str]], dict[str, int]]:
    """Draws."""
    return [{"type": "text", "text": f"picture {n}"}], {"pixels": n}


@tool
def own(call_id: Annotated[str, InjectedToolCallId]) -> ToolMessage:
    """Answers in its own words."""
    return ToolMessage("own", tool_call_id=call_id, additional_kwargs={"k": 1}, artifact={"a": [1]})


@tool
def move(to: str, call_id: Annotated[str, InjectedToolCallId]) -> Command:
    """Moves on."""
    update = {"messages": [ToolMessage(f"moved to {to}", tool_call_id=call_id)], "word": to}
    return Command(update=update, goto="after")


@tool
def many(call_id: Annotated[str, InjectedToolCallId]) -> list[Any]:
    """Answers with a list."""
    return [Command(update={"word": "listed"}), ToolMessage("many", tool_call_id=call_id)]


@tool
def fail(n: int) -> str:
    """Fails."""
    raise (ToolException if n else ValueError)(f"failed at {n}")


@tool
def inject(
    n: int,
    state: Annotated[dict, InjectedState],
    word: Annotated[str, InjectedState("word")],
    store: Annotated[BaseStore, InjectedStore()],
    runtime: ToolRuntime,
    call_id: Annotated[str, InjectedToolCallId],
) -> str:
    """Takes what is injected."""
    found = store.get(("ns",), "k")
    return f"{n} {len(state['messages'])} {word} {found.value if found else None} {runtime.tool_call_id} {call_id}"


def function(n: int) -> dict[str, int]:
    """A function without a decorator."""
    return {"n": n}


patient = fail.model_copy(update={"handle_tool_error": "patient", "name": "patient"})


def double(request: Any, execute: Any) -> Any:
    return execute(request.override(tool_call={**request.tool_call, "args": {"n": request.tool_call["args"]["n"] * 2}}))


async def adouble(request: Any, execute: Any) -> Any:
    return await double(request, execute)


def thrice(request: Any, execute: Any) -> Any:
    return [execute(request) for _ in range(3)][-1]


async def athrice(request: Any, execute: Any) -> Any:
    return [await execute(request) for _ in range(3)][-1]


def never(request: Any, execute: Any) -> Any:
    return ToolMessage("instead", tool_call_id=request.tool_call["id"], name="never")


async def anever(request: Any, execute: Any) -> Any:
    return never(request, execute)


PROGRAMS = {
    "one call": program(call("note", n=1), tools=[note]),
    "several calls": program(*(call("note", n=n) for n in range(4)), tools=[note]),
    "the same call twice": program(call("note", n=1), call("note", n=1), tools=[note]),
    "an artifact": program(call("draw", n=1), tools=[draw]),
    "own message": program(call("own"), call("note", n=1), tools=[own, note]),
    "a command": program(call("move", to="here"), call("note", n=1), tools=[move, note]),
    "a list": program(call("many"), call("note", n=1), tools=[many, note]),
    "a function": program(call("function", n=1), tools=[function]),
    "injected": program(call("inject", n=1, word="forged"), tools=[inject]),
    "handled errors": program(call("fail", n=0), call("fail", n=1), tools=[fail], handle_tool_errors=True),
    "an error in words": program(call("fail", n=0), tools=[fail], handle_tool_errors="sorry"),
    "a patient tool": program(call("patient", n=1), tools=[patient]),
    "wrong arguments": program(call("note", n="x"), call("note", n=1), tools=[note]),
    "an unknown tool": program(call("nobody", n=1), call("note", n=1), tools=[note]),
    "a wrapper that changes": program(call("note", n=1), tools=[note], wrap_tool_call=double, awrap_tool_call=adouble),
    "a wrapper that stands in": program(call("note", n=1), tools=[note], wrap_tool_call=never, awrap_tool_call=anever),
    "a wrapper that repeats": program(call("note", n=1), tools=[note], wrap_tool_call=thrice, awrap_tool_call=athrice),
}

# How often a tool with an effect runs when each call is approved, where that is less often than without a gate.
ONCE = {"a wrapper that repeats": [1]}

# The graphs ----------------------------------------------------------------------------------------------------------


@dataclass
class World:
    """Where graphs are built and driven to their end."""

    directory: Path
    form: str
    is_async: bool
    stack: AsyncExitStack
    count: int = 0

    def signoff(self, mode: str, names: Sequence[str], **modes: str) -> Signoff:
        self.count += 1
        policy = Policy(tools=dict.fromkeys(names, mode) | modes)
        made = Signoff(self.directory / f"signoff-{self.count}.db", policy=policy, lease=0.5, wait=3)
        self.stack.callback(made.close)
        return made

    def maker(self, mode: str | None, names: Sequence[str]) -> tuple[Signoff | None, Callable[..., ToolNode]]:
        """What makes a tool node: a gate under a policy of that mode, or LangGraph without us."""
        signoff = self.signoff(mode, names) if mode else None
        return signoff, signoff.tool_node if signoff else ToolNode

    async def inside(self, node: ToolNode, calls: Sequence[dict[str, Any]], **outside: Any) -> Any:
        """A graph that holds the node in a subgraph, beside other nodes."""
        message = AIMessage("", id="proposal", tool_calls=[dict(proposed) for proposed in calls])
        inner = StateGraph(State)
        inner.add_node("agent", lambda _: {"messages": [message]})
        inner.add_node("tools", node)
        inner.add_edge(START, "agent")
        inner.add_conditional_edges("agent", self.route, ["tools", END])
        outer = StateGraph(State)
        outer.add_node("inner", inner.compile())
        for name, other in outside.items():
            outer.add_node(name, other)
        outer.add_edge(START, "inner")
        return outer.compile(checkpointer=await self.saver())

    async def graph(self, node: ToolNode, calls: Sequence[dict[str, Any]]) -> Any:
        message = AIMessage("", id="proposal", tool_calls=[dict(proposed) for proposed in calls])
        builder = StateGraph(State)
        builder.add_node("agent", lambda _: {"messages": [message]})
        builder.add_node("tools", node)
        builder.add_node("after", lambda state: {"seen": [state.get("word", "")]})
        builder.add_edge(START, "agent")
        builder.add_conditional_edges("agent", self.route, ["tools", END])
        builder.add_edge("after", END)
        return builder.compile(checkpointer=await self.saver(), store=store())

    def route(self, state: Any) -> Any:
        if self.form == "whole":
            return "tools"
        if self.form == "send":
            return Signoff.send_tool_calls(state)
        return [
            Send("tools", {"__type": "tool_call_with_context", "tool_call": proposed, "state": state})
            for proposed in state["messages"][-1].tool_calls
        ]

    async def saver(self) -> Any:
        self.count += 1
        path = str(self.directory / f"threads-{self.count}.db")
        if self.is_async:
            return await self.stack.enter_async_context(AsyncSqliteSaver.from_conn_string(path))
        return self.stack.enter_context(SqliteSaver.from_conn_string(path))

    async def invoke(self, graph: Any, input: Any, **config: Any) -> Any:
        run = {"configurable": {"thread_id": "t"}, **config}
        return await graph.ainvoke(input, run) if self.is_async else await asyncio.to_thread(graph.invoke, input, run)

    async def state(self, graph: Any) -> Any:
        run = {"configurable": {"thread_id": "t"}}
        return await graph.aget_state(run) if self.is_async else graph.get_state(run)

    async def to_the_end(self, graph: Any, signoff: Signoff | None = None, **config: Any) -> dict[str, Any]:
        """Runs, approves what is asked and goes on, until nothing is asked; the state, and how much was approved."""
        start = {"messages": [HumanMessage("go", id="h")], "word": "w"}
        await self.invoke(graph, start, **config)
        approved = 0
        while signoff and (pending := signoff.pending()):
            for ticket in pending:
                signoff.approve(ticket, by="ana")
            approved += len(pending)
            assert approved < 20
            knocks = {pause.id: "knock" for pause in (await self.state(graph)).interrupts}
            await self.invoke(graph, Command(resume=knocks), **config)
        state = await self.state(graph)
        assert not state.next
        return {**state.values, "messages": [plain(m) for m in state.values["messages"]], "approved": approved}


def store() -> InMemoryStore:
    made = InMemoryStore()
    made.put(("ns",), "k", {"v": 7})
    return made


def plain(message: BaseMessage) -> dict[str, Any]:
    """A message without its id."""
    return message.model_dump(exclude={"id"})


@pytest.fixture(params=["whole", "send", "context"])
def form(request: pytest.FixtureRequest) -> str:
    """How the node is given its calls."""
    return str(request.param)


@pytest.fixture(params=["sync", "async"])
async def world(request: pytest.FixtureRequest, form: str, tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield World(tmp_path, form, request.param == "async", stack)


@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_program_gives_the_same_with_a_gate_that_allows_and_with_a_person_who_approves(
    world: World, name: str
) -> None:
    program = PROGRAMS[name]

    async def play(mode: str | None) -> tuple[dict[str, Any], list[Any]]:
        ran.clear()
        signoff, make = world.maker(mode, [*program.names, "nobody"])
        graph = await world.graph(make(program.tools, **program.options), program.calls)
        return await world.to_the_end(graph, signoff), sorted(ran)

    plain_state, plain_ran = await play(None)
    allowed_state, allowed_ran = await play("allow")
    approved_state, approved_ran = await play("review")
    assert allowed_state == plain_state
    assert allowed_ran == plain_ran
    assert approved_state.pop("approved") > 0
    plain_state.pop("approved")
    assert approved_state == plain_state
    assert approved_ran == ONCE.get(name, plain_ran)


async def test_a_call_that_is_approved_is_told_apart_from_its_allowed_siblings(world: World) -> None:
    signoff = world.signoff("allow", ["note"], draw="review")
    calls = [call("note", 0, n=1), call("draw", 1, n=2), call("nobody", 2), call("note", 3, n="x")]
    gated = await world.to_the_end(await world.graph(signoff.tool_node([note, draw]), calls), signoff)
    plain_state = await world.to_the_end(await world.graph(ToolNode([note, draw]), calls))
    assert gated.pop("approved") == 1
    assert gated["messages"] == plain_state["messages"]
    assert ran == [1, 1]


@pytest.mark.parametrize("mode", [None, "allow", "review"])
async def test_an_error_that_nobody_handles_ends_the_run(world: World, mode: str | None) -> None:
    signoff, make = world.maker(mode, ["fail"])
    graph = await world.graph(make([fail]), [call("fail", n=1)])
    with pytest.raises(ToolException, match="failed at 1"):
        await world.to_the_end(graph, signoff)


@pytest.mark.parametrize("mode", [None, "allow", "review"])
async def test_max_concurrency_is_no_trap(world: World, mode: str | None) -> None:
    signoff, make = world.maker(mode, ["note"])
    graph = await world.graph(make([note]), [call("note", n, n=n) for n in range(3)])
    await asyncio.wait_for(world.to_the_end(graph, signoff, max_concurrency=1), timeout=60)
    assert sorted(ran) == [0, 1, 2]


async def test_a_changed_call_runs_under_max_concurrency_too(world: World) -> None:
    signoff = world.signoff("review", ["note"])
    graph = await world.graph(signoff.tool_node([note]), [call("note", n, n=n) for n in range(2)])
    await world.invoke(graph, {"messages": [HumanMessage("go", id="h")]}, max_concurrency=1)
    # One task at a time: each pass asks for one more call when each has a task of its own.
    while pending := signoff.pending():
        for ticket in pending:
            signoff.revise(ticket, by="ana", args={"n": ticket.args["n"] + 10})
        knocks = {pause.id: 1 for pause in (await world.state(graph)).interrupts}
        await asyncio.wait_for(world.invoke(graph, Command(resume=knocks), max_concurrency=1), timeout=60)
    assert sorted(ran) == [10, 11]


@tool
def where(runtime: ToolRuntime) -> str:
    """Tells what state it sees."""
    return f"{sorted(runtime.state)} {runtime.state['word']} {len(runtime.state['messages'])}"


@pytest.mark.parametrize("mode", [None, "allow", "review"])
async def test_a_call_sent_alone_reads_the_state_of_the_graph(world: World, mode: str | None) -> None:
    signoff, make = world.maker(mode, ["where"])
    state = await world.to_the_end(await world.graph(make([where]), [call("where")]), signoff)
    assert state["messages"][-1]["content"] == "['messages', 'word'] w 2"


# Streams -------------------------------------------------------------------------------------------------------------


@tool
def speak(n: int, runtime: ToolRuntime) -> str:
    """Speaks while it works."""
    runtime.stream_writer({"said": n})
    get_stream_writer()({"wrote": n})
    runtime.emit_output_delta(f"part {n}")
    return f"spoke {n}"


async def events(world: World, graph: Any, signoff: Signoff | None) -> list[tuple[str, Any]]:
    """What the custom and the tools stream carry until the end."""
    run = {"configurable": {"thread_id": "t"}}
    heard: list[tuple[str, Any]] = []

    async def listen(input: Any) -> None:
        modes = ["custom", "tools"]
        if world.is_async:
            heard.extend([chunk async for chunk in graph.astream(input, run, stream_mode=modes)])
        else:
            heard.extend(await asyncio.to_thread(lambda: list(graph.stream(input, run, stream_mode=modes))))

    await listen({"messages": [HumanMessage("go", id="h")]})
    while signoff and (pending := signoff.pending()):
        for ticket in pending:
            signoff.approve(ticket, by="ana")
        await listen(Command(resume={pause.id: 1 for pause in (await world.state(graph)).interrupts}))
    return heard


def told(event: tuple[str, Any]) -> str:
    mode, chunk = event
    return f"{mode} { ({**chunk, 'output': chunk['output'].text} if 'output' in chunk else chunk) }"


@pytest.mark.parametrize("mode", ["allow", "review"])
async def test_streams_carry_the_same(world: World, mode: str) -> None:
    calls = [call("speak", n, n=n) for n in range(2)]
    plain_events = await events(world, await world.graph(ToolNode([speak]), calls), None)
    signoff = world.signoff(mode, ["speak"])
    gated_events = await events(world, await world.graph(signoff.tool_node([speak]), calls), signoff)
    assert len(plain_events) == 10
    assert sorted(map(told, gated_events)) == sorted(map(told, plain_events))


# Tools that pause, and graphs as tools -------------------------------------------------------------------------------


class Answer(BaseModel):
    yes: bool


@tool
def ask(question: str) -> str:
    """Asks a person something of its own."""
    given = interrupt(question, response_schema=Answer)
    ran.append(question)
    return f"{question} {given.yes}"


async def own_question(world: World, graph: Any, signoff: Signoff | None) -> str:
    """Goes on until only the tool's own question is left; the id of that."""
    await world.invoke(graph, {"messages": [HumanMessage("go", id="h")]})
    while signoff and (pending := signoff.pending()):
        for ticket in pending:
            signoff.approve(ticket, by="ana")
        pauses = (await world.state(graph)).interrupts
        await world.invoke(graph, Command(resume={p.id: "knock" for p in pauses if isinstance(p.value, dict)}))
    [pause] = [p for p in (await world.state(graph)).interrupts if p.value == "sure?"]
    return str(pause.id)


@pytest.mark.parametrize("mode", [None, "allow", "review"])
@pytest.mark.parametrize("wrapped", [False, True])
async def test_a_bad_answer_to_a_tools_own_question_can_be_given_again(
    world: World, mode: str | None, wrapped: bool
) -> None:
    async def apass(request: Any, execute: Any) -> Any:
        return await execute(request)

    def pass_through(request: Any, execute: Any) -> Any:
        return execute(request)

    options = {"wrap_tool_call": pass_through, "awrap_tool_call": apass} if wrapped else {}
    signoff, make = world.maker(mode, ["ask"])
    node = make([ask], handle_tool_errors=True, **options)
    graph = await world.graph(node, [call("ask", question="sure?")])
    question = await own_question(world, graph, signoff)
    with pytest.raises(ValidationError):
        await world.invoke(graph, Command(resume={question: {"yes": "perhaps"}}))
    assert [p.id for p in (await world.state(graph)).interrupts] == [question]
    result = await world.invoke(graph, Command(resume={question: {"yes": True}}))
    assert result["messages"][-1].text == "sure? True"
    assert ran == ["sure?"]


@pytest.mark.parametrize("mode", [None, "review"])
async def test_a_finished_sibling_of_a_tool_that_pauses_is_told_once(world: World, mode: str | None) -> None:
    signoff, make = world.maker(mode, ["ask", "note"])
    graph = await world.graph(make([ask, note]), [call("note", 0, n=1), call("ask", 1, question="sure?")])
    question = await own_question(world, graph, signoff)
    result = await world.invoke(graph, Command(resume={question: {"yes": True}}))
    assert [m.text for m in result["messages"][-2:]] == ["noted 1", "sure? True"]
    if mode:
        assert ran == [1, "sure?"]
    else:  # ToolNode runs a finished sibling again when it holds the whole message
        assert ran == ([1, 1, "sure?"] if world.form == "whole" else [1, "sure?"])


@pytest.mark.parametrize("mode", [None, "allow", "review"])
async def test_a_graph_as_a_tool_works_behind_the_gate(world: World, mode: str | None) -> None:
    inner = StateGraph(MessagesState)
    inner.add_node("work", lambda state: {"messages": [AIMessage(f"worked on {state['messages'][-1].text}")]})
    inner.add_edge(START, "work")
    worker = inner.compile()

    @tool
    def delegate(task: str) -> str:
        """Lets a graph work."""
        return str(worker.invoke({"messages": [("user", task)]})["messages"][-1].text)

    signoff, make = world.maker(mode, ["delegate"])
    graph = await world.graph(make([delegate]), [call("delegate", task="sums")])
    assert (await world.to_the_end(graph, signoff))["messages"][-1]["content"] == "worked on sums"


@pytest.mark.parametrize("mode", [None, "allow", "review"])
async def test_a_command_leaves_the_subgraph_that_holds_the_node(world: World, mode: str | None) -> None:
    @tool
    def leave(runtime: ToolRuntime) -> Command:
        """Leaves."""
        message = ToolMessage("left", tool_call_id=runtime.tool_call_id, name="leave")
        messages = [*runtime.state["messages"], message]
        return Command(graph=Command.PARENT, goto="outside", update={"messages": messages})

    signoff, make = world.maker(mode, ["leave"])
    graph = await world.inside(make([leave]), [call("leave")], outside=lambda _: {"word": "outside"})
    state = await world.to_the_end(graph, signoff)
    assert (state["word"], state["messages"][-1]["content"]) == ("outside", "left")


async def test_sends_to_the_parent_of_several_calls_arrive_as_with_tool_node(world: World) -> None:
    @tool
    def hand_over(to: str) -> Command:
        """Hands over."""
        return Command(graph=Command.PARENT, goto=[Send("colleague", to)])

    async def play(mode: str | None) -> list[Any]:
        ran.clear()
        signoff, make = world.maker(mode, ["hand_over"])
        calls = [call("hand_over", n, to=f"p{n}") for n in range(2)]
        graph = await world.inside(make([hand_over]), calls, colleague=lambda to: ran.append(to))
        await world.to_the_end(graph, signoff)
        return sorted(ran)

    results = [await play(mode) for mode in (None, "allow", "review")]
    if world.form == "whole":
        assert results == [["p0", "p1"]] * 3
    else:  # of commands to the parent from several tasks LangGraph keeps the first
        assert [len(result) for result in results] == [1] * 3


@pytest.mark.parametrize("mode", [None, "allow", "review"])
async def test_a_graph_of_messages_only_works_behind_the_gate(world: World, mode: str | None) -> None:
    if world.form != "whole":
        return  # a list has no place for single calls
    signoff, make = world.maker(mode, ["note", "act"])

    @tool
    def act(call_id: Annotated[str, InjectedToolCallId]) -> Command:
        """Updates a list."""
        return Command(update=[ToolMessage("acted", tool_call_id=call_id)])

    message = AIMessage("", id="proposal", tool_calls=[call("note", 0, n=1), call("act", 1)])
    builder = StateGraph(Annotated[list, add_messages])  # type: ignore[arg-type, type-var]  # a list as the state
    builder.add_node("agent", lambda _: [message])
    builder.add_node("tools", make([note, act]))
    builder.add_edge(START, "agent")
    builder.add_edge("agent", "tools")
    graph = builder.compile(checkpointer=await world.saver())
    await world.invoke(graph, [HumanMessage("go", id="h")])
    if signoff and mode == "review":
        for ticket in signoff.pending():
            signoff.approve(ticket, by="ana")
        pauses = (await world.state(graph)).interrupts
        await world.invoke(graph, Command(resume={pause.id: 1 for pause in pauses}))
    messages = (await world.state(graph)).values
    assert [(m.text, m.name) for m in messages[-2:]] == [("noted 1", "note"), ("acted", "act")]

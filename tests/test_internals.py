"""What the gate uses of LangGraph beyond its public API: where a release changes one of these, the test of that one fails.

Each runs on a small graph of LangGraph alone, without a gate.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import multiprocessing
import sqlite3
import weakref
from collections.abc import Callable, Iterator
from concurrent import futures
from contextvars import copy_context
from pathlib import Path
from typing import Annotated, Any, Literal

import aiosqlite
import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import InjectedToolArg, InjectedToolCallId, tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.config import get_config
from langgraph.errors import GraphInterrupt
from langgraph.func import task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, InjectedStore, ToolNode, ToolRuntime
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, Interrupt, Send, interrupt

from langgraph_signoff.nodes import internals

THREAD: RunnableConfig = {"configurable": {"thread_id": "t"}}
LONG = 30  # seconds after which a graph that should have ended at once hangs


class State(MessagesState, total=False):
    word: str


def builder(*nodes: Any, **options: Any) -> StateGraph[Any]:
    """A graph whose nodes all run at once."""
    made = StateGraph(State)
    for number, node in enumerate(nodes):
        made.add_node(f"n{number}", node, **options)
        made.add_edge(START, f"n{number}")
    return made


@pytest.fixture
def saver(tmp_path: Path) -> Iterator[SqliteSaver]:
    db = sqlite3.connect(tmp_path / "threads.db", check_same_thread=False)
    yield SqliteSaver(db)
    db.close()


def configurable() -> internals.Configurable:
    return get_config()["configurable"]


# What a run's config tells --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("saves", [True, False])
def test_a_node_sees_whether_its_run_has_a_checkpointer(saver: SqliteSaver, saves: bool) -> None:
    seen = list[bool]()
    graph = builder(lambda state: seen.append(internals.has_checkpointer(configurable())))
    graph.compile(checkpointer=saver if saves else None).invoke({"word": "go"}, THREAD)
    assert seen == [saves], "LangGraph shows a run's checkpointer to a node in another place"


def test_a_node_finds_its_checkpoint_and_those_around_it_with_the_tasks_that_ran_on_them(saver: SqliteSaver) -> None:
    seen = dict[str, Any]()

    def look(state: State) -> None:
        assert internals.checkpointer(configurable()) is saver
        own = get_config()["metadata"]["langgraph_checkpoint_ns"]
        graphs = ["|".join(own.split("|")[:level]) for level in range(own.count("|") + 1)]
        seen["task"] = own.split("|")[0].rpartition(":")[2]
        seen["at"] = [internals.checkpoint_in(configurable(), graph) for graph in graphs]

    inner = StateGraph(State).add_node("look", look).add_edge(START, "look").compile()
    graph = builder(inner).compile(checkpointer=saver)
    graph.invoke({"word": "go"}, THREAD)
    around, own = [saver.get_tuple(at) for at in seen["at"]]
    assert around, "LangGraph keeps the ids of the checkpoints in another place"
    assert own
    assert {found.metadata["source"] for found in (around, own)} == {"loop"}
    assert seen["task"] in [write[0] for write in around.pending_writes or ()]
    after = graph.get_state(THREAD)
    assert after.parent_config, "the checkpoint after names the one before"
    assert after.parent_config["configurable"]["checkpoint_id"] == seen["at"][0]["configurable"]["checkpoint_id"]
    assert after.metadata
    assert after.metadata["source"] == "loop"


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("config", [None, {"configurable": {"thread_id": "another"}}])
async def test_a_node_finds_the_nodes_of_its_graph_and_of_those_around_it_in_its_thread(
    is_async: bool, config: Any
) -> None:
    seen, places = list[Any](), list[str]()

    def look(state: State) -> None:
        places.extend(place for place, _ in internals.nodes_around(configurable()))
        seen.extend(node for _, nodes in internals.nodes_around(configurable()) for node in nodes.values())

    async def alook(state: State) -> None:
        look(state)

    def call(state: State) -> None:
        inner.invoke({"word": "go"}, config)

    async def acall(state: State) -> None:
        await inner.ainvoke({"word": "go"}, config)

    own, around = (alook, acall) if is_async else (look, call)
    inner = builder(own).compile()
    outer = builder(around, timeout=LONG).compile() if is_async else builder(around).compile()
    await outer.ainvoke({"word": "go"}, THREAD) if is_async else outer.invoke({"word": "go"}, THREAD)
    functions = [getattr(node.bound, "afunc" if is_async else "func", None) for node in seen]
    found = [function for function in functions if function in (own, around)]
    assert found == ([own] if config else [own, around]), "LangGraph keeps what runs a graph in another place"
    assert places == ["n0"] * len(found)


def test_the_edges_of_a_graph_tell_what_is_ahead_of_a_node() -> None:
    def goes(state: State) -> Command[Literal["e"]]:
        return Command(goto="e")

    graph = StateGraph(State).add_node("c", goes)
    for name in "abdef":
        graph.add_node(name, lambda state: None)
    graph.add_edge(START, "a").add_edge(START, "b").add_edge(["a", "b"], "c").add_edge("d", "f")
    graph.add_conditional_edges("e", lambda state: "f", ["f"])
    nodes: Any = graph.compile().nodes
    assert [sorted(internals.ahead_of(name, nodes)) for name in "abcdef"] == [["c", "e", "f"]] * 2 + [
        ["e", "f"],
        ["f"],
        ["f"],
        [],
    ]
    assert internals.ahead_of("", nodes) == set()
    graph.add_conditional_edges("f", lambda state: "a")
    nodes = graph.compile().nodes
    assert internals.ahead_of("d", nodes) == set(nodes), "a condition may lead anywhere"


@pytest.mark.parametrize(("durability", "unsaved"), [("exit", True), ("sync", False), ("async", False), (None, False)])
def test_a_node_sees_a_run_that_saves_nothing_before_it_ends(
    saver: SqliteSaver, durability: Any, unsaved: bool
) -> None:
    seen = list[bool]()
    graph = builder(lambda state: seen.append(internals.ends_unsaved(configurable())))
    graph.compile(checkpointer=saver).invoke({"word": "go"}, THREAD, durability=durability)
    assert seen == [unsaved], "LangGraph shows a run's durability to a node in another place"


def test_an_output_holds_the_pauses_under_their_key(saver: SqliteSaver) -> None:
    graph = builder(lambda state: interrupt("sure?")).compile(checkpointer=saver)
    output = graph.invoke({"word": "go"}, THREAD)
    assert internals.INTERRUPT in output, f"LangGraph puts the pauses of a run elsewhere: {sorted(output)}"
    assert tuple(output[internals.INTERRUPT]) == graph.get_state(THREAD).interrupts
    assert [pause.value for pause in output[internals.INTERRUPT]] == ["sure?"]


def test_a_node_sees_whether_it_runs_in_a_graph(saver: SqliteSaver) -> None:
    seen = list[bool]()

    def look(state: Any, config: RunnableConfig) -> None:
        seen.append(internals.can_call_tasks(config))

    builder(look).compile(checkpointer=saver).invoke({"word": "go"}, THREAD)
    RunnableLambda(look).invoke({"word": "go"}, THREAD)
    assert seen == [True, False], "LangGraph shows in another place that a node can call tasks"


@pytest.mark.parametrize("sends", [False, True])
@pytest.mark.parametrize("pauses", [False, True])
def test_a_checkpoint_shows_that_its_thread_waits_for_a_node_of_another_graph(
    saver: SqliteSaver, sends: bool, pauses: bool
) -> None:
    def node(state: State) -> None:
        if pauses:
            interrupt("sure?")

    made, other = StateGraph(State), builder(lambda state: None).compile(checkpointer=saver)
    made.add_node("waits", node)
    made.add_conditional_edges(START, lambda state: [Send("waits", state)] if sends else "waits", ["waits"])
    graph = made.compile(checkpointer=saver)
    graph.invoke({"word": "go"}, THREAD)
    saved = saver.get_tuple(THREAD)
    assert saved is not None
    assert internals.waits_for_unknown(other, saved) is pauses, "LangGraph keeps what is to run next in another place"
    assert not internals.waits_for_unknown(graph, saved)
    snapshot = other.get_state(THREAD)
    assert (snapshot.next, snapshot.tasks) == ((), ()), "LangGraph now shows nodes that a graph does not have"


# An answer without an id ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_id", [False, True])
def test_only_an_answer_without_an_id_lies_in_wait_for_the_next_question(saver: SqliteSaver, by_id: bool) -> None:
    seen, answers = list[bool](), list[Any]()

    def node(state: State) -> None:
        seen.extend(internals.is_unheard(configurable()) for _ in range(2))
        answers.append(interrupt("sure?"))

    graph = builder(node).compile(checkpointer=saver)
    graph.invoke({"word": "go"}, THREAD)
    [pause] = graph.get_state(THREAD).interrupts
    assert seen == [False, False], "nobody has answered yet"
    graph.invoke(Command(resume={pause.id: "x"} if by_id else "x"), THREAD)
    assert seen[2:] == [not by_id] * 2, "LangGraph keeps an answer without an id in another place"
    assert answers == ["x"], "looking took the answer"


def test_an_answer_that_was_heard_is_not_the_answer_to_the_next_question(saver: SqliteSaver) -> None:
    decided, begun, answers = list[str](), list[str](), list[Any]()

    def node(state: State) -> None:
        if not decided:
            raise GraphInterrupt((Interrupt("the gate's", "0" * 32),))
        if internals.is_unheard(configurable()) and not begun:
            internals.hear(configurable())
        begun.append("in the ledger")
        answers.append(interrupt("the tool's own"))

    graph = builder(node).compile(checkpointer=saver)
    graph.invoke({"word": "go"}, THREAD)
    assert [(pause.value, pause.id) for pause in graph.get_state(THREAD).interrupts] == [("the gate's", "0" * 32)]
    decided.append("in the ledger")
    graph.invoke(Command(resume="x"), THREAD)
    asked = [pause.value for pause in graph.get_state(THREAD).interrupts]
    assert asked == ["the tool's own"], f"the tool's own question got the answer that was heard: {answers}"
    graph.invoke(Command(resume="y"), THREAD)
    assert answers == ["y"]


def test_a_call_that_is_left_out_leaves_the_later_ones_their_numbers(saver: SqliteSaver) -> None:
    ran = list[str]()

    def node(state: State) -> dict[str, Any]:
        if ran:
            internals.skip_call(configurable())
        for name in ("first", "second")[bool(ran) :]:
            as_task: Any = task(lambda word: ran.append(word), name=name)
            as_task(name).result()
        return {"word": interrupt("sure?")}

    graph = builder(node).compile(checkpointer=saver)
    graph.invoke({"word": "go"}, THREAD)
    graph.invoke(Command(resume="yes"), THREAD)
    assert ran == ["first", "second"], "LangGraph numbers the calls of a task in another place"


@pytest.mark.parametrize("is_async", [False, True])
async def test_all_threads_of_one_run_of_a_task_share_what_no_other_run_has_and_what_goes_with_it(
    is_async: bool,
) -> None:
    lives = list[Any]()

    def look() -> Any:
        lives.append(weakref.ref(life := internals.life_of_task(configurable())))
        return life

    def node(state: State) -> None:
        with futures.ThreadPoolExecutor() as threads:
            own = look()
            assert threads.submit(copy_context().run, look).result() is own
            assert task(look)().result() is not own  # type: ignore[call-overload]  # a task without arguments

    async def anode(state: State) -> None:
        own = look()
        assert await asyncio.gather(asyncio.to_thread(look), asyncio.to_thread(look)) == [own, own]

    graph = builder(*[anode if is_async else node] * 2).compile()
    for _ in range(2):
        await graph.ainvoke({"word": "go"}) if is_async else graph.invoke({"word": "go"})
    gc.collect()
    assert [life() for life in lives] == [None] * 12, "LangGraph keeps the life of a task in another place"
    assert internals.life_of_task({}) is None


def test_a_task_sees_what_it_showed_when_it_last_paused(saver: SqliteSaver) -> None:
    seen = list[Any]()

    def look() -> Any:
        seen.append([pause.value for pause in internals.last_pauses(get_config())])
        if len(seen) == 1:
            raise GraphInterrupt((Interrupt("the gate's", "0" * 32),))
        return interrupt("its own")

    def node(state: State) -> dict[str, Any]:
        as_task: Any = task(look)
        return {"word": as_task().result() if state["word"] == "in a task" else look()}

    inner = StateGraph(State).add_node("look", node).add_edge(START, "look").compile()
    for word, graph in {"in a node": builder(node), "in a task": builder(node), "inside": builder(inner)}.items():
        seen.clear()
        compiled, thread = graph.compile(checkpointer=saver), {"configurable": {"thread_id": word}}
        compiled.invoke({"word": word}, thread)
        compiled.invoke(None, thread)
        assert compiled.invoke(Command(resume="blue"), thread)["word"] == "blue"
        assert seen == [[], ["the gate's"], ["its own"]], "LangGraph keeps what a task showed in another place"


@pytest.mark.parametrize("by_id", [False, True])
def test_a_node_sees_that_its_run_was_answered_by_id(saver: SqliteSaver, by_id: bool) -> None:
    seen = list[bool]()

    def node(state: State) -> None:
        seen.append(internals.is_answered_by_id(configurable()))
        interrupt("sure?")

    graph = builder(node).compile(checkpointer=saver)
    graph.invoke({"word": "go"}, THREAD)
    [pause] = graph.get_state(THREAD).interrupts
    graph.invoke(Command(resume={pause.id: "x"} if by_id else "x"), THREAD)
    graph.invoke({"word": "again"}, THREAD)
    assert seen == [False, by_id, False], "LangGraph keeps the answers by id in another place"


def test_an_answer_that_was_heard_lies_in_wait_again_in_the_next_run(saver: SqliteSaver) -> None:
    answers = list[Any]()

    def node(state: State) -> None:
        if internals.is_unheard(configurable()) and not answers:
            internals.hear(configurable())
        answers.append("begun")
        answers.extend(interrupt(question) for question in ("one", "two"))

    graph = builder(node).compile(checkpointer=saver)
    graph.invoke({"word": "go"}, THREAD)
    answers.clear()
    graph.invoke(Command(resume="x"), THREAD)
    [pause] = graph.get_state(THREAD).interrupts
    assert pause.value == "one"
    graph.invoke(Command(resume={pause.id: "y"}), THREAD)
    assert answers[-2:] == ["y", "x"], "LangGraph now forgets an answer that was taken: `is_answered_by_id` may go"


def test_a_pause_with_an_id_of_its_own_takes_no_answer_from_another(saver: SqliteSaver) -> None:
    decided, answers = list[str](), list[Any]()

    def node(state: State) -> None:
        if not decided:
            raise GraphInterrupt((Interrupt("the gate's", "0" * 32),))
        answers.append(interrupt("the tool's own"))

    graph = builder(node).compile(checkpointer=saver)
    graph.invoke({"word": "go"}, THREAD)
    decided.append("in the ledger")
    for _ in range(2):
        graph.invoke(Command(resume={"0" * 32: "a knock"}), THREAD)
        assert [pause.value for pause in graph.get_state(THREAD).interrupts] == ["the tool's own"]
    assert answers == [], "an answer to the gate's pause was given to the tool's own question"


# What a ToolNode injects ----------------------------------------------------------------------------------------------


@tool
def takes_all(
    n: int,
    state: Annotated[dict, InjectedState],
    word: Annotated[str, InjectedState("word")],
    store: Annotated[BaseStore, InjectedStore],
    runtime: ToolRuntime,
    call_id: Annotated[str, InjectedToolCallId],
    own: Annotated[str, InjectedToolArg] = "own",
) -> str:
    """Takes all that can be injected."""
    return f"{n} {state['word']} {word} {type(store).__name__} {runtime.tool_call_id} {call_id} {own}"


@tool
def takes_none(n: int) -> str:
    """Takes nothing but what the model gives."""
    return str(n)


def test_the_arguments_that_a_tool_node_injects_are_known(saver: SqliteSaver) -> None:
    injected = {"state", "word", "store", "runtime", "call_id", "own"}
    assert internals.injected_args(takes_all) == injected, (
        "LangGraph finds other injected arguments, or names them anew"
    )
    assert internals.injected_args(takes_none) == set()
    forged = {"n": 1, "state": {"word": "f"}, "word": "f", "store": "f", "runtime": "f", "call_id": "f", "own": "f"}
    call = {"name": "takes_all", "args": forged, "id": "c", "type": "tool_call"}
    graph = builder(ToolNode([takes_all])).compile(checkpointer=saver, store=InMemoryStore())
    output = graph.invoke({"word": "w", "messages": [AIMessage("", tool_calls=[call])]}, THREAD)
    assert output["messages"][-1].text == "1 w w InMemoryStore c c own", (
        "ToolNode lets a model give an injected argument"
    )


# Places for called tasks ----------------------------------------------------------------------------------------------


@task
def body(n: int) -> int:
    return n + 1


@task
async def abody(n: int) -> int:
    return n + 1


def waiting(results: list[Any]) -> Callable[[State], None]:
    """A node that waits for two called tasks, in a room of their own."""

    def node(state: State) -> None:
        with internals.room() as context:
            called = [context.run(body, n) for n in range(2)]
            results.append([future.result() for future in called])

    return node


def awaiting(results: list[Any]) -> Callable[[State], Any]:
    """The same for async."""

    async def node(state: State) -> None:
        with internals.room() as context:
            called = [context.run(abody, n) for n in range(2)]
            results.append([await future for future in called])

    return node


def run_in_room(folder: Path, kind: str) -> None:
    results = list[Any]()
    narrow: RunnableConfig = {**THREAD, "max_concurrency": 1}
    if kind == "sync":
        db = sqlite3.connect(folder / "threads.db", check_same_thread=False)
        graph = builder(*[waiting(results)] * 2).compile(checkpointer=SqliteSaver(db))
        graph.invoke({"word": "go"}, narrow)
    else:
        options = {"timeout": 2.0 * LONG} if kind == "async with a timeout" else {}
        asyncio.run(_arun_in_room(folder, builder(*[awaiting(results)] * 2, **options), narrow))
    assert results == [[1, 2], [1, 2]]


async def _arun_in_room(folder: Path, made: StateGraph[Any], config: RunnableConfig) -> None:
    async with aiosqlite.connect(folder / "threads.db") as db:
        await made.compile(checkpointer=AsyncSqliteSaver(db)).ainvoke({"word": "go"}, config)


@pytest.mark.parametrize("kind", ["sync", "async", "async with a timeout"])
def test_called_tasks_find_room_beside_the_nodes_that_wait_for_them(tmp_path: Path, kind: str) -> None:
    # In a process of its own: where there is no room, nothing but the end of the process ends the wait.
    process = multiprocessing.get_context("fork").Process(target=run_in_room, args=(tmp_path, kind))
    process.start()
    process.join(LONG)
    hangs = process.is_alive()
    process.kill()
    process.join()
    assert not hangs, "no room was made: LangGraph hands a node its executor in another place"
    assert process.exitcode == 0


def test_a_called_task_finds_no_place_beside_a_node_that_waits_without_room(saver: SqliteSaver) -> None:
    done = list[bool]()

    def node(state: State) -> None:
        called: Any = body(1)
        done.append(bool(futures.wait([called], timeout=0.3).done))

    graph = builder(node, node).compile(checkpointer=saver)
    graph.invoke({"word": "go"}, {**THREAD, "max_concurrency": 1})
    assert done == [False, False], "LangGraph now gives called tasks places of their own: `room` may go"


# What the gated node overrides and calls of ToolNode ------------------------------------------------------------------

METHODS = {
    "_func": ["self", "input", "config", "runtime"],
    "_afunc": ["self", "input", "config", "runtime"],
    "_parse_input": ["self", "input"],
    "_extract_state": ["self", "input", "config"],
    "_combine_tool_outputs": ["self", "outputs", "input_type"],
}

PART = object()
OTHER_CALL = {"name": "sees", "args": {"n": 2}, "id": "other", "type": "tool_call"}
A_CALL = {"name": "sees", "args": {"n": 1}, "id": "c", "type": "tool_call"}


@tool
def sees(n: int, state: Annotated[dict, InjectedState]) -> str:
    """Tells what it sees."""
    return f"{n} {state['word']}"


class Narrowed(ToolNode):
    """A ToolNode that hands itself another input than it was given, and says what that means."""

    def _func(self, input: Any, config: RunnableConfig, runtime: Runtime[Any]) -> Any:
        return super()._func(PART, config, runtime)  # type: ignore[arg-type]  # known to the methods below

    async def _afunc(self, input: Any, config: RunnableConfig, runtime: Runtime[Any]) -> Any:
        return await super()._afunc(PART, config, runtime)  # type: ignore[arg-type]  # known to the methods below

    def _parse_input(self, input: Any) -> Any:
        return ([OTHER_CALL], "tool_calls") if input is PART else super()._parse_input(input)

    def _extract_state(self, input: Any, config: RunnableConfig) -> Any:
        return {"word": "other"} if input is PART else super()._extract_state(input, config)


@pytest.mark.parametrize("name", METHODS)
def test_tool_node_has_the_method_that_the_gated_node_overrides_or_calls(name: str) -> None:
    method = getattr(ToolNode, name, None)
    assert method is not None, f"ToolNode has no {name} any more"
    assert list(inspect.signature(method).parameters) == METHODS[name], f"ToolNode.{name} takes something else"
    assert inspect.iscoroutinefunction(method) is (name == "_afunc")


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_tool_node_asks_its_subclass_what_an_input_means(tmp_path: Path, is_async: bool) -> None:
    input = {"word": "w", "messages": [AIMessage("", tool_calls=[A_CALL])]}
    async with aiosqlite.connect(tmp_path / "threads.db") as db:
        graph = builder(Narrowed([sees])).compile(checkpointer=AsyncSqliteSaver(db))
        invoke = graph.ainvoke if is_async else _in_a_thread(graph.invoke)
        told = (await invoke(input, THREAD))["messages"][-1]
    assert (told.text, told.tool_call_id) == ("2 other", "other"), "ToolNode goes past the methods of a subclass"


def _in_a_thread(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: asyncio.to_thread(function, *args)


def test_a_tool_node_parses_its_inputs_into_calls_and_their_kind() -> None:
    node, message = ToolNode([sees]), AIMessage("", tool_calls=[A_CALL])
    assert node._parse_input({"messages": [message]}) == ([A_CALL], "dict")
    assert node._parse_input([message]) == ([A_CALL], "list")
    assert node._parse_input([A_CALL]) == ([A_CALL], "tool_calls")  # type: ignore[list-item]  # what `Send` gives


def test_a_tool_node_hydrates_the_state_of_a_call_that_was_sent_alone(saver: SqliteSaver) -> None:
    seen, node = list[Any](), ToolNode([sees])

    def look(state: Any, config: RunnableConfig) -> None:
        seen.append(node._extract_state([A_CALL], config))  # type: ignore[list-item]  # what `Send` gives
        seen.append(node._extract_state(state, config))

    builder(look).compile(checkpointer=saver).invoke({"word": "w", "messages": []}, THREAD)
    assert [state["word"] for state in seen] == ["w", "w"], "ToolNode reads the state of a sent call in another way"


def test_a_tool_node_combines_messages_and_commands_into_one_output() -> None:
    node, message, command = (
        ToolNode([sees], messages_key="chat"),
        ToolMessage("m", tool_call_id="c"),
        Command(goto="x"),
    )
    combine: Callable[..., Any] = node._combine_tool_outputs
    assert combine([message, message], "list") == [message, message]
    assert combine([message, message], "dict") == combine([message, message], "tool_calls") == {"chat": [message] * 2}
    assert combine([message, command], "dict") == [{"chat": [message]}, command]
    assert combine([message, command], "list") == [[message], command]


def test_a_tool_node_knows_the_key_of_its_messages() -> None:
    assert getattr(ToolNode([sees]), "_messages_key", None) == "messages", "ToolNode keeps its messages_key elsewhere"
    assert ToolNode([sees], messages_key="chat")._messages_key == "chat"

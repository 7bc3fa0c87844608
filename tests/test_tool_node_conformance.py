"""The gated node is ToolNode where nothing needs a decision: the same facts, shown of both nodes, called without a graph.

`toolnode_upstream.py` says which of these stands for which of langgraph-prebuilt's own tests.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from inspect import isgenerator
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, ToolMessage
from langchain_core.tools import BaseTool, InjectedToolArg, InjectedToolCallId, ToolException, tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.errors import GraphBubbleUp, GraphInterrupt
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.prebuilt import InjectedState, InjectedStore, ToolNode, ToolRuntime
from langgraph.prebuilt.tool_node import ToolCallRequest, ToolInvocationError
from langgraph.runtime import ExecutionInfo, Runtime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, Send
from pydantic import BaseModel
from pydantic.v1 import BaseModel as BaseModelV1

import toolnode_upstream
from langgraph_signoff import Policy, Signoff, UngatedCall, Unidentified
from langgraph_signoff.ledger import Query

Make = Callable[..., ToolNode]
Invoke = Callable[..., Awaitable[Any]]


@pytest.fixture(params=["ToolNode", "gated"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes a node of some tools: LangGraph's own, or ours under a policy that lets them run."""
    if request.param == "ToolNode":
        yield ToolNode
        return
    made: list[Signoff] = []

    def gated(tools: Sequence[Any], **options: Any) -> ToolNode:
        names = [getattr(tool, "name", None) or tool.__name__ for tool in tools]
        policy = Policy(tools=dict.fromkeys([*names, "late", "sub"], "allow"))
        made.append(Signoff(tmp_path / f"{len(made)}.db", policy=policy))
        return made[-1].tool_node(tools, **options)

    yield gated
    for signoff in made:
        assert signoff.find(Query()) == []  # an allowed call writes nothing
        signoff.close()


@pytest.fixture(params=["sync", "async"])
def invoke(request: pytest.FixtureRequest) -> Invoke:
    """Invokes a node as a graph would, without one."""

    async def go(node: ToolNode, input: Any, **runtime: Any) -> Any:
        config = {"configurable": {"__pregel_runtime": Runtime(**runtime)}}
        return node.invoke(input, config) if request.param == "sync" else await node.ainvoke(input, config)

    return go


def call(name: str, id: str = "c1", **args: Any) -> dict[str, Any]:
    return {"name": name, "args": args, "id": id, "type": "tool_call"}


def proposing(*calls: dict[str, Any]) -> AIMessage:
    return AIMessage("", tool_calls=list(calls))


def turn(*calls: dict[str, Any], **state: Any) -> dict[str, Any]:
    return {"messages": [proposing(*calls)], **state}


@tool
def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


@tool
async def aadd(a: int, b: int) -> int:
    """Adds, slowly."""
    return a + b


@tool
def fail(n: int) -> str:
    """Fails with an error of its own kind."""
    raise (ToolException if n else ValueError)(f"failed at {n}")


# Inputs --------------------------------------------------------------------------------------------------------------


class PydanticState(BaseModel):
    messages: list[Any]
    word: str = "pydantic"


class OldPydanticState(BaseModelV1):
    messages: list[Any]
    word: str = "old pydantic"


@dataclass
class DataclassState:
    messages: list[Any]
    word: str = "dataclass"


STATES = {
    "dict": lambda message: {"messages": [message], "word": "dict"},
    "pydantic": lambda message: PydanticState(messages=[message]),
    "old pydantic": lambda message: OldPydanticState(messages=[message]),
    "dataclass": lambda message: DataclassState(messages=[message]),
}


@pytest.mark.parametrize("kind", STATES)
async def test_a_state_of_any_kind_is_answered_with_messages_under_its_key(
    make: Make, invoke: Invoke, kind: str
) -> None:
    state = STATES[kind](proposing(call("add", "c1", a=1, b=2), call("add", "c2", a=3, b=4)))
    assert await invoke(make([add]), state) == {
        "messages": [
            ToolMessage("3", name="add", tool_call_id="c1"),
            ToolMessage("7", name="add", tool_call_id="c2"),
        ]
    }


async def test_a_list_of_messages_is_answered_with_a_list(make: Make, invoke: Invoke) -> None:
    messages = [HumanMessage("add"), proposing(call("add", a=1, b=2))]
    assert await invoke(make([add]), messages) == [ToolMessage("3", name="add", tool_call_id="c1")]


async def test_bare_tool_calls_are_answered_under_the_key(make: Make, invoke: Invoke) -> None:
    one, two, unknown = call("add", a=1, b=2), call("add", "c2", a=3, b=4), call("sub", "c3", a=1, b=2)
    told = "Error: sub is not a valid tool, try one of [add]."
    node = make([add])
    assert await invoke(node, [one]) == {"messages": [ToolMessage("3", name="add", tool_call_id="c1")]}
    assert await invoke(node, [one, two, unknown]) == {
        "messages": [
            ToolMessage("3", name="add", tool_call_id="c1"),
            ToolMessage("7", name="add", tool_call_id="c2"),
            ToolMessage(told, name="sub", tool_call_id="c3", status="error"),
        ]
    }


async def test_a_call_that_brings_its_state_is_answered_under_the_key(make: Make, invoke: Invoke) -> None:
    seen: list[Any] = []

    def watch(request: ToolCallRequest) -> Any:
        seen.append(request.state)
        return (yield request)

    @tool
    def told(word: Annotated[str, InjectedState("word")]) -> str:
        """Tells a word."""
        return word

    node = make([told], **both(watch))
    sent = {"__type": "tool_call_with_context", "tool_call": call("told"), "state": {"messages": [], "word": "w"}}
    assert await invoke(node, sent) == {"messages": [ToolMessage("w", name="told", tool_call_id="c1")]}
    assert seen == [{"messages": [], "word": "w"}]


async def test_the_messages_key_names_both_where_calls_are_found_and_where_results_go(
    make: Make, invoke: Invoke
) -> None:
    result = await invoke(make([add], messages_key="talk"), {"talk": [proposing(call("add", a=1, b=2))]})
    assert result == {"talk": [ToolMessage("3", name="add", tool_call_id="c1")]}


async def test_only_the_last_proposal_counts(make: Make, invoke: Invoke) -> None:
    messages = [proposing(call("add", "old", a=0, b=0)), HumanMessage("no"), proposing(call("add", a=1, b=2))]
    assert [m.tool_call_id for m in await invoke(make([add]), messages)] == ["c1"]


async def test_a_message_without_calls_is_answered_with_nothing(make: Make, invoke: Invoke) -> None:
    assert await invoke(make([add]), {"messages": [AIMessage("hi")]}) == {"messages": []}


@pytest.mark.parametrize("state", [{"messages": []}, {}, {"messages": [HumanMessage("hi")]}, [HumanMessage("hi")]])
async def test_an_input_without_a_proposal_is_refused(make: Make, invoke: Invoke, state: Any) -> None:
    with pytest.raises(ValueError, match=r"No (AIM|m)essage found in input"):
        await invoke(make([add]), state)


def test_a_call_outside_of_any_runtime_is_refused_in_the_same_words(make: Make) -> None:
    with pytest.raises(ValueError, match="Missing required config key"):
        make([add]).invoke([proposing(call("add", a=1, b=2))])


# What a tool may be, and what it may return --------------------------------------------------------------------------


def plain_function(a: int) -> str:
    """A function without a decorator."""
    return f"plain {a}"


async def plain_coroutine(a: int) -> str:
    """A coroutine function without a decorator."""
    return f"slow {a}"


async def test_functions_become_tools(make: Make, invoke: Invoke) -> None:
    assert (await invoke(make([plain_function]), turn(call("plain_function", a=1))))["messages"][0].text == "plain 1"


async def test_coroutines_become_tools_and_run_beside_sync_tools(make: Make) -> None:
    state = turn(call("plain_coroutine", a=1), call("plain_function", "c2", a=2), call("aadd", "c3", a=1, b=1))
    config = {"configurable": {"__pregel_runtime": Runtime()}}
    result = await make([plain_coroutine, plain_function, aadd]).ainvoke(state, config)
    assert [m.text for m in result["messages"]] == ["slow 1", "plain 2", "2"]


def test_a_coroutine_does_not_run_in_a_sync_node(make: Make) -> None:
    config = {"configurable": {"__pregel_runtime": Runtime()}}
    with pytest.raises(NotImplementedError):
        make([aadd]).invoke(turn(call("aadd", a=1, b=1)), config)


BLOCKS = [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "hi"}]
RETURNED = {
    "text": ("hello", "hello"),
    "number": (3, "3"),
    "none": (None, "null"),
    "json": ([{"k": 1}, {"k": "zwölf"}], '[{"k": 1}, {"k": "zwölf"}]'),
    "other scripts": ({"名前": "太郎", "emoji": "🙂"}, '{"名前": "太郎", "emoji": "🙂"}'),
    "content blocks": (BLOCKS, BLOCKS),
    "no json": ({1, 2}, "{1, 2}"),
}


@pytest.mark.parametrize("kind", RETURNED)
async def test_what_a_tool_returns_becomes_the_content(make: Make, invoke: Invoke, kind: str) -> None:
    value, content = RETURNED[kind]

    @tool
    def give() -> Any:
        """Gives."""
        return value

    [message] = (await invoke(make([give]), turn(call("give"))))["messages"]
    assert (message.content, message.status, message.name) == (content, "success", "give")


async def test_an_artifact_travels_beside_the_content(make: Make, invoke: Invoke) -> None:
    @tool(response_format="content_and_artifact")
    def draw() -> tuple[str, Any]:
        """Draws."""
        return "a picture", {"pixels": [1, 2]}

    [message] = (await invoke(make([draw]), turn(call("draw"))))["messages"]
    assert (message.content, message.artifact) == ("a picture", {"pixels": [1, 2]})


async def test_a_tool_may_answer_with_a_message_of_its_own(make: Make, invoke: Invoke) -> None:
    @tool
    def own(call_id: Annotated[str, InjectedToolCallId]) -> ToolMessage:
        """Answers by itself."""
        return ToolMessage("own words", tool_call_id=call_id, additional_kwargs={"k": 1}, status="error")

    [message] = (await invoke(make([own]), turn(call("own"))))["messages"]
    assert (message.content, message.status, message.additional_kwargs) == ("own words", "error", {"k": 1})


async def test_results_come_in_the_order_of_the_calls(make: Make, invoke: Invoke) -> None:
    @tool
    def wait(ms: int) -> str:
        """Waits."""
        time.sleep(ms / 1000)
        return str(ms)

    calls = [call("wait", f"c{i}", ms=ms) for i, ms in enumerate((30, 0, 10))]
    result = await invoke(make([wait]), turn(*calls))
    assert [(m.text, m.tool_call_id) for m in result["messages"]] == [("30", "c0"), ("0", "c1"), ("10", "c2")]


# Errors --------------------------------------------------------------------------------------------------------------


def by_callable(error):  # type: ignore[no-untyped-def]  # annotated below
    return f"caught {type(error).__name__}"


# ToolNode reads a union only from an annotation that is no text.
by_callable.__annotations__["error"] = ValueError | ToolException | ToolInvocationError


def by_value_error(error: ValueError) -> str:
    return "value error"


def untyped(error):  # type: ignore[no-untyped-def]  # no annotation: it handles every error
    return "whatever"


HANDLED = {
    "True": (True, "Error: ValueError('failed at 0')\n Please fix your mistakes."),
    "a text": ("sorry", "sorry"),
    "a type": (ValueError, "Error: ValueError('failed at 0')\n Please fix your mistakes."),
    "types": ((KeyError, ValueError), "Error: ValueError('failed at 0')\n Please fix your mistakes."),
    "a callable": (by_callable, "caught ValueError"),
    "a narrow callable": (by_value_error, "value error"),
    "an untyped callable": (untyped, "whatever"),
}


@pytest.mark.parametrize("kind", HANDLED)
async def test_an_error_that_is_handled_becomes_a_message(make: Make, invoke: Invoke, kind: str) -> None:
    handler, content = HANDLED[kind]
    result = await invoke(make([fail], handle_tool_errors=handler), turn(call("fail", n=0)))
    assert result["messages"] == [ToolMessage(content, name="fail", tool_call_id="c1", status="error")]


UNHANDLED = {"default": {}} | {
    name: {"handle_tool_errors": value}
    for name, value in {
        "False": False,
        "another type": ValueError,
        "other types": (KeyError, ValueError),
        "a narrow callable": by_value_error,
    }.items()
}


@pytest.mark.parametrize("kind", UNHANDLED)
async def test_an_error_that_is_not_handled_is_raised(make: Make, invoke: Invoke, kind: str) -> None:
    node = make([fail, add], **UNHANDLED[kind])
    with pytest.raises(ToolException, match="failed at 1"):
        await invoke(node, turn(call("add", "c0", a=1, b=2), call("fail", n=1)))


async def test_arguments_that_do_not_fit_are_told_to_the_model(make: Make, invoke: Invoke) -> None:
    [message] = (await invoke(make([add]), turn(call("add", wrong=0, a="x"))))["messages"]
    assert message.status == "error"
    assert message.text.startswith("Error invoking tool 'add' with kwargs {'wrong': 0, 'a': 'x'} with error:\n")
    assert message.text.count("Field required") == 1
    assert "unable to parse string as an integer" in message.text


async def test_arguments_that_do_not_fit_are_raised_when_nothing_is_handled(make: Make, invoke: Invoke) -> None:
    with pytest.raises(ToolInvocationError) as caught:
        await invoke(make([add], handle_tool_errors=False), turn(call("add", a="x")))
    assert caught.value.tool_name == "add"
    assert caught.value.tool_kwargs == {"a": "x"}
    assert {error["loc"] for error in caught.value.filtered_errors or []} == {("a",), ("b",)}


async def test_each_call_fails_by_itself(make: Make, invoke: Invoke) -> None:
    calls = [call("fail", "c1", n=0), call("fail", "c2", n=1), call("add", "c3", a="x"), call("add", "c4", a=1, b=2)]
    result = await invoke(make([fail, add], handle_tool_errors=True), turn(*calls))
    assert [m.status for m in result["messages"]] == ["error", "error", "error", "success"]
    assert [m.tool_call_id for m in result["messages"]] == ["c1", "c2", "c3", "c4"]


async def test_an_unknown_tool_is_named_with_those_there_are(make: Make, invoke: Invoke) -> None:
    [message] = (await invoke(make([add, fail]), turn(call("sub"))))["messages"]
    assert message.content == "Error: sub is not a valid tool, try one of [add, fail]."
    assert (message.status, message.name, message.tool_call_id) == ("error", "sub", "c1")


@pytest.mark.parametrize(
    ("handler", "content"),
    [("own words", "own words"), (True, "failed at 1"), (lambda error: f"own {error}", "own failed at 1")],
)
async def test_what_a_tool_handles_itself_never_reaches_the_node(
    make: Make, invoke: Invoke, handler: Any, content: str
) -> None:
    patient = fail.model_copy(update={"handle_tool_error": handler})
    [message] = (await invoke(make([patient], handle_tool_errors=False), turn(call("fail", n=1))))["messages"]
    assert (message.content, message.status) == (content, "error")


@pytest.mark.parametrize(
    ("handler", "content"),
    [
        ("own words", "own words"),
        (True, "Tool input validation error"),
        (lambda error: f"{error.error_count()} wrong", "2 wrong"),
    ],
)
async def test_a_tool_may_explain_wrong_arguments_itself(
    make: Make, invoke: Invoke, handler: Any, content: str
) -> None:
    patient = add.model_copy(update={"handle_validation_error": handler})
    [message] = (await invoke(make([patient], handle_tool_errors=False), turn(call("add"))))["messages"]
    assert (message.content, message.status) == (content, "error")


@pytest.mark.parametrize("handled", [True, "text", (GraphBubbleUp,), untyped, False])
async def test_a_pause_is_never_handled_as_an_error(make: Make, invoke: Invoke, handled: Any) -> None:
    @tool
    def pause() -> str:
        """Pauses."""
        raise GraphInterrupt("wait")

    with pytest.raises(GraphInterrupt):
        await invoke(make([pause], handle_tool_errors=handled), turn(call("pause")))


# Commands ------------------------------------------------------------------------------------------------------------


def commanding(value: Any) -> BaseTool:
    """A tool that returns `value` as it is."""

    class Commanding(BaseTool):
        name: str = "act"
        description: str = "Acts."

        def _run(self, **given: Any) -> Any:
            return value

        async def _arun(self, **given: Any) -> Any:
            return value

    return Commanding()


def answer(text: str = "done", id: str = "c1") -> ToolMessage:
    return ToolMessage(text, tool_call_id=id)


@pytest.mark.parametrize("form", ["dict", "calls"])
async def test_a_command_updates_the_state_and_goes_somewhere(make: Make, invoke: Invoke, form: str) -> None:
    node = make([commanding(Command(update={"messages": [answer()], "seen": True}, goto="next")), add])
    calls = [call("add", "c0", a=1, b=2), call("act")]
    result = await invoke(node, turn(*calls) if form == "dict" else calls)
    named = ToolMessage("done", name="act", tool_call_id="c1")
    assert result == [
        {"messages": [ToolMessage("3", name="add", tool_call_id="c0")]},
        Command(update={"messages": [named], "seen": True}, goto="next"),
    ]


async def test_a_command_answers_a_list_of_messages_with_a_list(make: Make, invoke: Invoke) -> None:
    node = make([commanding(Command(update=[answer()], goto="next")), add])
    result = await invoke(node, [proposing(call("add", "c0", a=1, b=2), call("act"))])
    assert result == [
        [ToolMessage("3", name="add", tool_call_id="c0")],
        Command(update=[ToolMessage("done", name="act", tool_call_id="c1")], goto="next"),
    ]


@pytest.mark.parametrize(
    ("update", "listed", "complaint"),
    [
        ({"messages": [answer()]}, True, "only when using dict"),
        ([answer()], False, "only when using list"),
        ({"messages": [answer(id="other")]}, False, "matching ToolMessage"),
        ({"messages": []}, False, "matching ToolMessage"),
        ({}, False, "matching ToolMessage"),
        ([], True, "matching ToolMessage"),
    ],
)
async def test_a_command_that_leaves_the_call_unanswered_is_an_error(
    make: Make, invoke: Invoke, update: Any, listed: bool, complaint: str
) -> None:
    node = make([commanding(Command(update=update))], handle_tool_errors=False)
    with pytest.raises(ValueError, match=complaint):
        await invoke(node, [proposing(call("act"))] if listed else turn(call("act")))


async def test_a_command_to_the_parent_need_not_answer_the_call(make: Make, invoke: Invoke) -> None:
    there = Command(graph=Command.PARENT, update={"messages": []}, goto="next")
    assert await invoke(make([commanding(there)]), turn(call("act"))) == [there]


async def test_sends_to_the_parent_become_one_command(make: Make, invoke: Invoke) -> None:
    @tool
    def hand_over(to: str) -> Command:
        """Hands over."""
        return Command(graph=Command.PARENT, goto=[Send(to, {"for": to})])

    calls = [call("hand_over", "c1", to="ana"), call("add", "c2", a=1, b=2), call("hand_over", "c3", to="bob")]
    assert await invoke(make([hand_over, add]), turn(*calls)) == [
        {"messages": [ToolMessage("3", name="add", tool_call_id="c2")]},
        Command(graph=Command.PARENT, goto=[Send("ana", {"for": "ana"}), Send("bob", {"for": "bob"})]),
    ]


async def test_a_command_may_remove_all_messages(make: Make, invoke: Invoke) -> None:
    clear = Command(update={"messages": [RemoveMessage(id=REMOVE_ALL_MESSAGES)]})
    [result] = await invoke(make([commanding(clear)]), turn(call("act")))
    assert [m.id for m in result.update["messages"]] == [REMOVE_ALL_MESSAGES]


LISTS = {
    "command and message": ([Command(update={"k": 1}), answer()], [Command(update={"k": 1}), answer()]),
    "message inside a command": (
        [Command(update={"k": 1}), Command(update={"messages": [answer()]})],
        [
            Command(update={"k": 1}),
            Command(update={"messages": [ToolMessage("done", name="act", tool_call_id="c1")]}),
        ],
    ),
    "command to the parent": (
        [Command(graph=Command.PARENT, goto=[Send("n", 1)]), answer()],
        [answer(), Command(graph=Command.PARENT, goto=[Send("n", 1)])],
    ),
    "messages for others": ([answer(), answer(id="other")], [answer(), answer(id="other")]),
}


@pytest.mark.parametrize("kind", LISTS)
async def test_a_tool_may_return_a_list(make: Make, invoke: Invoke, kind: str) -> None:
    given, expected = LISTS[kind]
    result = await invoke(make([commanding(given)]), turn(call("act")))
    flat = [
        m
        for r in (result if isinstance(result, list) else [result])
        for m in (r["messages"] if isinstance(r, dict) else [r])
    ]
    assert flat == expected


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ([Command(update={"k": 1}), Command(update={"k": 2})], "0 messages bound to tool_call_id"),
        ([answer(), answer()], "2 messages bound to tool_call_id"),
        ([answer(), Command(update={"messages": [answer()]})], "2 messages bound to tool_call_id"),
    ],
)
async def test_a_list_answers_its_call_exactly_once(make: Make, invoke: Invoke, given: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        await invoke(make([commanding(given)], handle_tool_errors=False), turn(call("act")))
    [message] = (await invoke(make([commanding(given)], handle_tool_errors=True), turn(call("act"))))["messages"]
    assert message.status == "error"
    assert complaint in message.text


async def test_a_list_joins_what_other_calls_return(make: Make, invoke: Invoke) -> None:
    node = make([commanding([Command(update={"k": 1}), answer()]), add])
    result = await invoke(node, turn(call("act"), call("add", "c2", a=1, b=2)))
    assert result == [
        Command(update={"k": 1}),
        {"messages": [answer()]},
        {"messages": [ToolMessage("3", name="add", tool_call_id="c2")]},
    ]


# Injected arguments --------------------------------------------------------------------------------------------------


@tool
def tell_word(n: int, word: Annotated[str, InjectedState("word")]) -> str:
    """Tells a word of the state."""
    return f"{n} {word}"


@tool
def tell_state(n: int, state: Annotated[Any, InjectedState]) -> str:
    """Tells how long the whole state is."""
    messages = state["messages"] if isinstance(state, dict) else state.messages
    return f"{n} of {len(messages)}"


@tool
def tell_messages(messages: Annotated[list[Any], InjectedState("messages")]) -> str:
    """Tells how long the conversation is."""
    return str(len(messages))


@pytest.mark.parametrize("kind", STATES)
async def test_the_state_is_injected_whole_or_in_part(make: Make, invoke: Invoke, kind: str) -> None:
    calls = call("tell_word", "c1", n=1), call("tell_state", "c2", n=2), call("tell_messages", "c3")
    state = STATES[kind](proposing(*calls))
    result = await invoke(make([tell_word, tell_state, tell_messages]), state)
    assert [m.text for m in result["messages"]] == [f"1 {kind}", "2 of 1", "1"]


async def test_a_list_of_messages_is_a_state_of_messages_only(make: Make, invoke: Invoke) -> None:
    node = make([tell_word, tell_state, tell_messages], handle_tool_errors=False)
    result = await invoke(node, [proposing(call("tell_state", "c2", n=2), call("tell_messages", "c3"))])
    assert [m.text for m in result] == ["2 of 1", "1"]
    with pytest.raises(ValueError, match="State should contain fields word"):
        await invoke(node, [proposing(call("tell_word", n=1))])


async def test_a_field_that_the_state_lacks_is_an_error_unless_the_tool_has_a_default(
    make: Make, invoke: Invoke
) -> None:
    @tool
    def maybe(word: Annotated[str | None, InjectedState("word")] = None) -> str:
        """Tells a word if there is one."""
        return f"word {word}"

    node = make([tell_word, maybe])
    assert (await invoke(node, turn(call("maybe"))))["messages"][0].text == "word None"
    assert (await invoke(node, turn(call("maybe"), word="w")))["messages"][0].text == "word w"
    with pytest.raises(KeyError, match="word"):
        await invoke(node, turn(call("tell_word", n=1)))


async def test_the_store_is_injected_and_missed_where_there_is_none(make: Make, invoke: Invoke) -> None:
    @tool
    def recall(key: str, store: Annotated[BaseStore, InjectedStore()]) -> str:
        """Recalls."""
        found = store.get(("ns",), key)
        return str(found.value["v"] if found else None)

    store = InMemoryStore()
    store.put(("ns",), "k", {"v": 7})
    node = make([recall])
    assert (await invoke(node, turn(call("recall", key="k")), store=store))["messages"][0].text == "7"
    assert (await invoke(node, [proposing(call("recall", key="k"))], store=store))[0].text == "7"
    with pytest.raises(ValueError, match="compile your graph with a store"):
        await invoke(node, turn(call("recall", key="k")))


class RuntimeArgs(BaseModel):
    model_config = {"arbitrary_types_allowed": True}
    n: int
    runtime: ToolRuntime


def about(runtime: ToolRuntime) -> str:
    return json.dumps(
        {
            "state": sorted(runtime.state),
            "context": runtime.context,
            "call": runtime.tool_call_id,
            "store": type(runtime.store).__name__,
            "tools": sorted(tool.name for tool in runtime.tools),
            "task": runtime.execution_info.task_id if runtime.execution_info else None,
            "configured": sorted(runtime.config["configurable"]),
        }
    )


@tool
def by_annotation(n: int, runtime: ToolRuntime) -> str:
    """Gets the runtime by its annotation."""
    return about(runtime)


@tool
def by_generic(n: int, runtime: ToolRuntime[dict, dict]) -> str:
    """Gets a runtime with type arguments."""
    return about(runtime)


@tool(args_schema=RuntimeArgs)
def by_schema(n: int, runtime: ToolRuntime) -> str:
    """Gets the runtime through its schema."""
    return about(runtime)


@tool("by_schema_alone", args_schema=RuntimeArgs)
async def by_coroutine(n: int, runtime: ToolRuntime) -> str:
    """Gets the runtime in a coroutine."""
    return about(runtime)


@pytest.mark.parametrize("taker", [by_annotation, by_generic, by_schema, by_coroutine], ids=lambda t: t.name)
async def test_the_runtime_is_injected_whole(make: Make, taker: BaseTool) -> None:
    info = ExecutionInfo(checkpoint_id="", checkpoint_ns="", task_id="task-1")
    runtime = Runtime(context={"user": "ana"}, store=InMemoryStore(), execution_info=info)
    config = {"configurable": {"__pregel_runtime": runtime}}
    result = await make([taker, add]).ainvoke(turn(call(taker.name, n=1), word="w"), config)
    assert json.loads(result["messages"][0].text) == {
        "state": ["messages", "word"],
        "context": {"user": "ana"},
        "call": "c1",
        "store": "InMemoryStore",
        "tools": sorted(["add", taker.name]),
        "task": "task-1",
        "configured": ["__pregel_runtime"],
    }


async def test_everything_can_be_injected_at_once_in_a_coroutine(make: Make) -> None:
    @tool
    async def all_of_it(
        n: int,
        state: Annotated[dict, InjectedState],
        word: Annotated[str, InjectedState("word")],
        store: Annotated[BaseStore, InjectedStore()],
        runtime: ToolRuntime,
        call_id: Annotated[str, InjectedToolCallId],
    ) -> str:
        """Takes everything."""
        return f"{n} {sorted(state)} {word} {type(store).__name__} {runtime.tool_call_id} {call_id}"

    config = {"configurable": {"__pregel_runtime": Runtime(store=InMemoryStore())}}
    result = await make([all_of_it]).ainvoke(turn(call("all_of_it", n=1), word="w"), config)
    assert result["messages"][0].text == "1 ['messages', 'word'] w InMemoryStore c1 c1"


class HiddenArg(InjectedToolArg):
    """An injected argument of the author's own kind."""


async def test_what_the_model_forges_for_injected_arguments_is_dropped(make: Make, invoke: Invoke) -> None:
    @tool
    def guarded(
        n: int,
        word: Annotated[str, InjectedState("word")],
        plain: Annotated[str, InjectedToolArg] = "public",
        own: Annotated[str, HiddenArg()] = "public",
        call_id: Annotated[str, InjectedToolCallId] = "",
    ) -> str:
        """Guards."""
        return f"{n} {word} {plain} {own} {call_id}"

    forged = call("guarded", n=1, word="forged", plain="forged", own="forged", call_id="forged")
    result = await invoke(make([guarded]), turn(forged, word="w"))
    assert result["messages"][0].text == "1 w public public c1"


async def test_wrong_arguments_are_told_without_what_was_injected(make: Make, invoke: Invoke) -> None:
    @tool
    def secretive(
        n: int,
        m: int,
        state: Annotated[dict, InjectedState],
        store: Annotated[BaseStore, InjectedStore()],
        runtime: ToolRuntime,
    ) -> str:
        """Keeps secrets."""
        return ""

    node = make([secretive])
    result = await invoke(node, turn(call("secretive", n="x"), password="hunter2"), store=InMemoryStore())
    text = result["messages"][0].text
    assert result["messages"][0].status == "error"
    assert "'n': 'x'" in text
    assert not any(word in text for word in ("hunter2", "InMemoryStore", "runtime", "state", "store"))
    strict = make([secretive], handle_tool_errors=False)
    with pytest.raises(ToolInvocationError) as caught:
        await invoke(strict, turn(call("secretive", n="x"), password="hunter2"), store=InMemoryStore())
    assert {error["loc"] for error in caught.value.filtered_errors or []} == {("n",), ("m",)}


async def test_a_tool_writes_to_the_stream(make: Make) -> None:
    written: list[Any] = []

    @tool
    def speak(n: int, runtime: ToolRuntime) -> str:
        """Speaks."""
        runtime.stream_writer(n)
        runtime.emit_output_delta("nobody listens")
        return ""

    config = {"configurable": {"__pregel_runtime": Runtime(stream_writer=written.append)}}
    await make([speak]).ainvoke(turn(call("speak", n=1), call("speak", "c2", n=2)), config)
    assert sorted(written) == [1, 2]


# Wrappers ------------------------------------------------------------------------------------------------------------

Plan = Callable[[ToolCallRequest], Any]
"""A wrapper as a generator: it yields what is to be executed and is sent the outcome, or thrown the error."""


def both(plan: Plan) -> dict[str, Any]:
    """The same wrapper for sync and for async."""

    def wrap(request: ToolCallRequest, execute: Any) -> Any:
        steps = plan(request)
        if not isgenerator(steps):
            return steps
        try:
            wanted = next(steps)
            while True:
                try:
                    outcome = execute(wanted)
                except Exception as error:
                    wanted = steps.throw(error)
                else:
                    wanted = steps.send(outcome)
        except StopIteration as done:
            return done.value

    async def awrap(request: ToolCallRequest, execute: Any) -> Any:
        steps = plan(request)
        if not isgenerator(steps):
            return steps
        try:
            wanted = next(steps)
            while True:
                try:
                    outcome = await execute(wanted)
                except Exception as error:
                    wanted = steps.throw(error)
                else:
                    wanted = steps.send(outcome)
        except StopIteration as done:
            return done.value

    return {"wrap_tool_call": wrap, "awrap_tool_call": awrap}


def passing(request: ToolCallRequest) -> Any:
    return (yield request)


async def test_a_wrapper_that_passes_through_changes_nothing(make: Make, invoke: Invoke) -> None:
    result = await invoke(make([add], **both(passing)), turn(call("add", a=1, b=2)))
    assert result == {"messages": [ToolMessage("3", name="add", tool_call_id="c1")]}


async def test_a_wrapper_sees_every_call(make: Make, invoke: Invoke) -> None:
    seen: list[tuple[str, Any]] = []

    def watch(request: ToolCallRequest) -> Any:
        assert request.runtime.tool_call_id == request.tool_call["id"]
        seen.append((request.tool_call["id"], request.tool.name if request.tool else None))
        return (yield request)

    calls = [call("add", "c1", a=1, b=2), call("fail", "c2", n=1), call("sub", "c3")]
    result = await invoke(make([add, fail], handle_tool_errors=True, **both(watch)), turn(*calls))
    assert sorted(seen) == [("c1", "add"), ("c2", "fail"), ("c3", None)]
    assert [m.status for m in result["messages"]] == ["success", "error", "error"]


async def test_a_sync_wrapper_serves_an_async_node_that_has_no_other(make: Make) -> None:
    config = {"configurable": {"__pregel_runtime": Runtime()}}
    result = await make([add], wrap_tool_call=both(passing)["wrap_tool_call"]).ainvoke(
        turn(call("add", a=1, b=2)), config
    )
    assert result["messages"][0].text == "3"


async def test_an_async_wrapper_serves_coroutines_and_leaves_the_sync_node_alone(make: Make) -> None:
    async def double(request: ToolCallRequest, execute: Any) -> Any:
        args = {key: value * 2 for key, value in request.tool_call["args"].items()}
        return await execute(request.override(tool_call={**request.tool_call, "args": args}))

    node = make([aadd, add], awrap_tool_call=double)
    config = {"configurable": {"__pregel_runtime": Runtime()}}
    result = await node.ainvoke(turn(call("aadd", a=1, b=2), call("add", "c2", a=1, b=2)), config)
    assert [m.text for m in result["messages"]] == ["6", "6"]
    assert node.invoke(turn(call("add", a=1, b=2)), config)["messages"][0].text == "3"


async def test_a_wrapper_may_change_the_arguments(make: Make, invoke: Invoke) -> None:
    def double(request: ToolCallRequest) -> Any:
        args = {key: value * 2 for key, value in request.tool_call["args"].items()}
        return (yield request.override(tool_call={**request.tool_call, "args": args}))

    node = make([add], **both(double))
    message = proposing(call("add", a=1, b=2))
    assert (await invoke(node, {"messages": [message]}))["messages"][0].text == "6"
    assert message.tool_calls[0]["args"] == {"a": 1, "b": 2}


async def test_a_wrapper_may_give_arguments_that_are_no_json(make: Make, invoke: Invoke) -> None:
    @tool
    def count(of: Any) -> str:
        """Counts."""
        return f"{type(of).__name__} {len(of)}"

    def give_a_set(request: ToolCallRequest) -> Any:
        return (yield request.override(tool_call={**request.tool_call, "args": {"of": {1, 2}}}))

    assert (await invoke(make([count], **both(give_a_set)), turn(call("count", of=[]))))["messages"][0].text == "set 2"


@pytest.mark.parametrize("times", [0, 1, 3])
async def test_a_wrapper_may_execute_as_often_as_it_likes(make: Make, invoke: Invoke, times: int) -> None:
    ran: list[int] = []

    @tool
    def note(n: int) -> str:
        """Notes."""
        ran.append(n)
        return f"run {len(ran)}"

    def repeat(request: ToolCallRequest) -> Any:
        result = ToolMessage("none", tool_call_id=request.tool_call["id"])
        for _ in range(times):
            result = yield request
        return result

    result = await invoke(make([note], **both(repeat)), turn(call("note", n=1)))
    assert ran == [1] * times
    assert result["messages"][0].text == (f"run {times}" if times else "none")


async def test_a_wrapper_may_answer_for_some_calls_only(make: Make, invoke: Invoke) -> None:
    def cache(request: ToolCallRequest) -> Any:
        if request.tool_call["args"]["a"] % 2:
            return (yield request)
        return ToolMessage("cached", name="cache", tool_call_id=request.tool_call["id"])

    calls = [call("add", f"c{a}", a=a, b=1) for a in (1, 2, 3)]
    result = await invoke(make([add], **both(cache)), turn(*calls))
    assert [m.text for m in result["messages"]] == ["2", "cached", "4"]


async def test_a_wrapper_that_returns_nothing_gives_nothing(make: Make, invoke: Invoke) -> None:
    result = await invoke(make([add], **both(lambda request: None)), turn(call("add", a=1, b=2)))
    assert result == {"messages": [None]}


@pytest.mark.parametrize("before", [True, False])
async def test_an_error_of_a_wrapper_is_handled_as_one_of_the_tool(make: Make, invoke: Invoke, before: bool) -> None:
    def broken(request: ToolCallRequest) -> Any:
        if not before:
            yield request
        raise ValueError("wrapper broke")

    state = turn(call("add", a=1, b=2))
    [message] = (await invoke(make([add], handle_tool_errors=True, **both(broken)), state))["messages"]
    assert (message.status, message.tool_call_id, message.name) == ("error", "c1", "add")
    assert "wrapper broke" in message.text
    with pytest.raises(ValueError, match="wrapper broke"):
        await invoke(make([add], handle_tool_errors=False, **both(broken)), state)


async def test_a_wrapper_may_try_again_after_an_error(make: Make, invoke: Invoke) -> None:
    tries: list[int] = []

    @tool
    def flaky() -> str:
        """Works the third time."""
        tries.append(1)
        if len(tries) < 3:
            raise ValueError("not yet")
        return "at last"

    def retry(request: ToolCallRequest) -> Any:
        for _ in range(3):
            try:
                return (yield request)
            except ValueError:
                pass
        raise AssertionError("never reached")

    node = make([flaky], handle_tool_errors=False, **both(retry))
    assert (await invoke(node, turn(call("flaky"))))["messages"][0].text == "at last"


async def test_a_wrapper_may_answer_with_a_command(make: Make, invoke: Invoke) -> None:
    go = Command(goto="elsewhere", update={"messages": [answer()]})
    result = await invoke(make([add], **both(lambda request: go)), turn(call("add", a=1, b=2)))
    assert result == [go]


async def test_a_wrapper_sees_and_changes_a_command_of_the_tool(make: Make, invoke: Invoke) -> None:
    def redirect(request: ToolCallRequest) -> Any:
        command = yield request
        assert isinstance(command, Command)
        return replace(command, goto="elsewhere")

    node = make([commanding(Command(update={"messages": [answer()]}, goto="here"))], **both(redirect))
    [command] = await invoke(node, turn(call("act")))
    assert command.goto == "elsewhere"
    assert command.update["messages"][0].name == "act"


@pytest.mark.parametrize("form", ["dict", "list", "context", "calls"])
async def test_a_wrapper_sees_the_state(make: Make, invoke: Invoke, form: str) -> None:
    seen: list[Any] = []

    def watch(request: ToolCallRequest) -> Any:
        seen.append(request.state)
        assert request.runtime.state is request.state
        return (yield request)

    proposed = call("add", a=1, b=2)
    given = {
        "dict": turn(proposed, word="w"),
        "list": [proposing(proposed)],
        "context": {"__type": "tool_call_with_context", "tool_call": proposed, "state": {"word": "w"}},
        "calls": [proposed],
    }[form]
    await invoke(make([add], **both(watch)), given)
    expected = {"dict": given, "list": given, "context": {"word": "w"}, "calls": {}}[form]
    assert seen
    assert all(state == expected for state in seen)


def test_a_request_is_changed_by_override_only(make: Make) -> None:
    def meddle(request: ToolCallRequest, execute: Any) -> Any:
        with pytest.warns(DeprecationWarning, match="override"):
            request.tool_call = call("add", a=5, b=5)
        changed = request.override(tool_call=call("add", a=10, b=10))
        assert request.tool_call["args"] == {"a": 5, "b": 5}
        return execute(changed)

    config = {"configurable": {"__pregel_runtime": Runtime()}}
    result = make([add], wrap_tool_call=meddle).invoke(turn(call("add", a=1, b=2)), config)
    assert result["messages"][0].text == "20"


@tool
def late(n: int, runtime: ToolRuntime, word: Annotated[str, InjectedState("word")] = "none") -> str:
    """A tool that its node does not know."""
    return f"late {n} {word} {runtime.tool_call_id}"


def bringing(brought: BaseTool) -> Plan:
    def wrapper(request: ToolCallRequest) -> Any:
        if request.tool_call["name"] == brought.name:
            assert request.tool is None
            return (yield request.override(tool=brought))
        return (yield request)

    return wrapper


async def test_a_wrapper_may_bring_a_tool_that_the_node_does_not_know(make: Make, invoke: Invoke) -> None:
    node = make([add], **both(bringing(late)))
    state = turn(call("late", "c1", n=1, word="forged"), call("add", "c2", a=1, b=2), word="w")
    assert [m.text for m in (await invoke(node, state))["messages"]] == ["late 1 w c1", "3"]


async def test_a_wrapper_may_swap_the_tool(make: Make, invoke: Invoke) -> None:
    @tool
    def sub(a: int, b: int) -> int:
        """Subtracts."""
        return a - b

    def swap(request: ToolCallRequest) -> Any:
        return (yield request.override(tool=sub))

    assert (await invoke(make([add], **both(swap)), turn(call("add", a=5, b=2))))["messages"][0].text == "3"


@pytest.mark.parametrize("handled", [True, False])
async def test_a_tool_that_nobody_brings_is_told_to_the_model(make: Make, invoke: Invoke, handled: bool) -> None:
    node = make([add], handle_tool_errors=handled, **both(passing))
    [message] = (await invoke(node, turn(call("sub"))))["messages"]
    assert (message.status, message.content) == ("error", "Error: sub is not a valid tool, try one of [add].")


@pytest.mark.parametrize("kind", ["message", "command", "error"])
async def test_a_wrapper_may_answer_for_a_tool_that_nobody_knows(make: Make, invoke: Invoke, kind: str) -> None:
    def stand_in(request: ToolCallRequest) -> Any:
        if request.tool is not None:
            return (yield request)
        if kind == "error":
            raise ValueError("cannot stand in")
        message = ToolMessage("stood in", tool_call_id=request.tool_call["id"])
        return message if kind == "message" else Command(update={"messages": [message]})

    node = make([add], handle_tool_errors=True, **both(stand_in))
    result = await invoke(node, turn(call("sub", "c1"), call("add", "c2", a=1, b=2)))
    if kind == "command":
        assert [type(part) for part in result] == [Command, dict]
    else:
        first, second = result["messages"]
        assert second.text == "3"
        assert first.text == "stood in" if kind == "message" else "cannot stand in" in first.text


# The node itself -----------------------------------------------------------------------------------------------------


def test_a_node_has_a_name_tags_and_its_tools_by_name(make: Make) -> None:
    node = make([add, fail], name="hands", tags=["t"])
    assert (node.name, node.get_name(), node.tags) == ("hands", "hands", ["t"])
    assert make([add]).name == "tools"
    assert list(node.tools_by_name) == ["add", "fail"]
    assert isinstance(node, ToolNode)


@pytest.mark.parametrize("shown", [add, aadd, tell_word, late, by_schema], ids=lambda t: t.name)
def test_a_model_is_shown_the_same_tool(make: Make, shown: BaseTool) -> None:
    held = make([shown]).tools_by_name[shown.name]
    assert convert_to_openai_tool(held) == convert_to_openai_tool(shown)
    assert (held.description, held.args, held.return_direct) == (shown.description, shown.args, shown.return_direct)
    assert held.tool_call_schema.model_json_schema() == shown.tool_call_schema.model_json_schema()


# What only the gated node can say -------------------------------------------------------------------------------------


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Callable[..., ToolNode]]:
    signoff = Signoff(tmp_path / "gate.db", policy=Policy(tools={"add": "allow", "fail": "review"}))
    yield signoff.tool_node
    signoff.close()


async def test_a_call_that_needs_a_ticket_says_what_it_lacks(gate: Make, invoke: Invoke) -> None:
    node = gate([add, fail], handle_tool_errors=True)
    assert (await invoke(node, turn(call("add", a=1, b=2))))["messages"][0].text == "3"
    with pytest.raises(Unidentified, match="fail needs a ticket, but the run has no thread"):
        await invoke(node, turn(call("add", "c0", a=1, b=2), call("fail", n=1)))


async def test_a_call_that_needs_a_ticket_says_so_for_each_form_of_input(gate: Make, invoke: Invoke) -> None:
    node = gate([fail])
    context = {"__type": "tool_call_with_context", "tool_call": call("fail", n=1), "state": {"messages": []}}
    for given in (turn(call("fail", n=1)), [proposing(call("fail", n=1))], [call("fail", n=1)], context):
        with pytest.raises(Unidentified, match="fail needs a ticket, but the run has no thread"):
            await invoke(node, given)


async def test_a_tool_that_a_wrapper_brings_is_gated_too(gate: Make, invoke: Invoke) -> None:
    node = gate([add], **both(bringing(late)))
    with pytest.raises(Unidentified, match="late needs a ticket"):
        await invoke(node, turn(call("late", n=1)))


async def test_a_gated_tool_does_not_run_by_itself(gate: Make) -> None:
    held = gate([fail]).tools_by_name["fail"]
    for go in (lambda: held.invoke({"n": 1}), lambda: held.invoke(call("fail", n=1)), lambda: held.run({"n": 1})):
        with pytest.raises(Exception) as caught:  # noqa: PT011  # the type is looked at below, through its wrapping
            go()
        assert isinstance(getattr(caught.value, "error", caught.value), UngatedCall)


def test_every_test_of_langgraph_prebuilt_is_accounted_for() -> None:
    here = "".join(path.read_text() for path in Path(__file__).parent.glob("test_tool_node_conformance*.py"))
    known = set(re.findall(r"def (test_\w+)", here))
    covered, excluded = toolnode_upstream.covered(), toolnode_upstream.EXCLUDED
    assert {name for names in covered.values() for name in names} <= known
    assert not covered.keys() & excluded.keys()
    assert len(covered) + len(excluded) == toolnode_upstream.COUNT
    assert all(excluded.values())

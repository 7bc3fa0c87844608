"""The gate of an agent beside each of LangChain's own middlewares, before it and after it: one approval, one effect.

A neighbour must be seen to have done its own work, or its test says nothing. Nothing is left out; what would need a network
or a key gets a stand-in: a scripted model for those that call one, a model that only says it is Anthropic's for
`ProviderToolSearchMiddleware`. The Docker and Codex execution policies of `ShellToolMiddleware` are no middlewares and need
programs that are not there; its host policy is the one that runs.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import middleware as langchains
from langchain.agents.middleware import (
    AgentMiddleware,
    ClearToolUsesEdit,
    ContextEditingMiddleware,
    FilesystemFileSearchMiddleware,
    HumanInTheLoopMiddleware,
    LLMToolEmulator,
    LLMToolSelectorMiddleware,
    ModelCallLimitMiddleware,
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    PIIMiddleware,
    ProviderToolSearchMiddleware,
    ShellToolMiddleware,
    SummarizationMiddleware,
    TodoListMiddleware,
    ToolCallLimitMiddleware,
    ToolErrorMiddleware,
    ToolRetryMiddleware,
    wrap_tool_call,
)
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.config import ContextThreadPoolExecutor

from agents import Agency, agency
from failures.world import ONCE, SEND, SENT, Expect
from langgraph_signoff import Run, UngatedCall
from langgraph_signoff.testing import Line, ScriptedModel

PLACES = ["before", "after"]


# The neighbours ------------------------------------------------------------------------------------------------------------


class Knows(ScriptedModel):
    """A model that remembers what it was shown, fails as often as it is told to, and can be asked to choose tools."""

    def __init__(self, script: Any, *, fails: int = 0, provider: str = "") -> None:
        super().__init__(script)
        self._seen: list[Any] = []
        self._bound: list[Any] = []
        self._fails, self._provider = fails, provider

    _fails: int = 0
    _provider: str = ""
    _seen: list[Any]
    _bound: list[Any]

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        self._bound = list(tools)
        return self

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
        return RunnableLambda(lambda _: {"tools": ["send"]})

    def _get_ls_params(self, *args: Any, **kwargs: Any) -> Any:
        return {
            **super()._get_ls_params(*args, **kwargs),
            **({"ls_provider": self._provider} if self._provider else {}),
        }

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        self._seen.append(messages)
        if self._fails:
            self._fails -= 1
            raise ConnectionError("the model does not answer")
        return super()._generate(messages, *args, **kwargs)


def until_told(line: Line) -> Callable[[Sequence[Any]], Line]:
    """A script for conversations that somebody shortens: `line`, until a tool has answered."""
    return lambda messages: "done" if any(isinstance(m, ToolMessage) for m in messages) else line


@dataclass(frozen=True)
class Neighbour:
    """A middleware, the agent to stand it beside, what must come of it, and how its own work shows."""

    make: Callable[[Agency], AgentMiddleware]
    showed: Callable[[Agency, Run, Knows], object]
    script: Any = (SEND, "done")
    fails: int = 0
    provider: str = ""
    breaks: bool = False
    effects: Sequence[str] = ONCE
    standings: Sequence[str] = ("executed",)
    last: str = SENT


def told(firm: Agency) -> str:
    return "\n".join(message.text for message in firm.told())


def shell(firm: Agency) -> ShellToolMiddleware:
    return ShellToolMiddleware(workspace_root=firm.folder, startup_commands=["echo begun >> startup.txt"])


def broken_network(error: Exception, request: Any) -> str:
    return f"handled {error!r}"


MAIL = AIMessage(
    "I write to bob@x.com",
    tool_calls=[{"name": "send", "args": {"to": "bob@x.com"}, "id": "call-0-0"}],
)

NEIGHBOURS = {
    "ContextEditingMiddleware": Neighbour(
        lambda firm: ContextEditingMiddleware(edits=[ClearToolUsesEdit(trigger=1, keep=0, placeholder="cleared")]),
        lambda firm, run, model: model._seen[-1][-1].content == "cleared",
    ),
    "FilesystemFileSearchMiddleware": Neighbour(
        lambda firm: FilesystemFileSearchMiddleware(root_path=str(firm.folder), use_ripgrep=False),
        lambda firm, run, model: "/signoff.db" in firm.answers()["call-0-1"],
        script=([*SEND, ("glob_search", {"pattern": "*.db"})], "done"),
        standings=("executed", "executed"),
        last="",
    ),
    "LLMToolEmulator": Neighbour(
        lambda firm: LLMToolEmulator(tools=["look"], model=ScriptedModel(["emulated"])),
        lambda firm, run, model: firm.answers()["call-0-1"] == "emulated",
        script=([*SEND, ("look", {"x": 1})], "done"),
        last="",
    ),
    "LLMToolSelectorMiddleware": Neighbour(
        lambda firm: LLMToolSelectorMiddleware(model=Knows([])),
        lambda firm, run, model: [tool.name for tool in model._bound] == ["send"],
    ),
    "ModelCallLimitMiddleware": Neighbour(
        lambda firm: ModelCallLimitMiddleware(thread_limit=1),
        lambda firm, run, model: "limit" in run.output["messages"][-1].text and len(model._seen) == 1,
    ),
    "ModelFallbackMiddleware": Neighbour(
        lambda firm: ModelFallbackMiddleware(ScriptedModel([SEND, "fell back"])),
        lambda firm, run, model: run.output["messages"][-1].text == "fell back",
        fails=9,
    ),
    "ModelRetryMiddleware": Neighbour(
        lambda firm: ModelRetryMiddleware(max_retries=2, initial_delay=0),
        lambda firm, run, model: len(model._seen) == 4,
        fails=2,
    ),
    "PIIMiddleware": Neighbour(
        lambda firm: PIIMiddleware("email", apply_to_output=True, apply_to_tool_results=True),
        lambda firm, run, model: "bob@x.com" not in str([message.content for message in run.output["messages"]]),
        script=(MAIL, "done"),
        effects=["send bob@x.com 5.0"],
        last="[REDACTED_EMAIL]",
    ),
    "ProviderToolSearchMiddleware": Neighbour(
        lambda firm: ProviderToolSearchMiddleware(searchable_tools=["send"]),
        lambda firm, run, model: any(isinstance(tool, dict) for tool in model._bound),
        provider="anthropic",
    ),
    "ShellToolMiddleware": Neighbour(
        shell,
        lambda firm, run, model: (firm.folder / "startup.txt").exists() and "wrote" in told(firm),
        script=([("shell", {"command": "echo shell >> effects.txt; echo wrote"})], "done"),
        effects=["shell"],
        last="wrote",
    ),
    "SummarizationMiddleware": Neighbour(
        lambda firm: SummarizationMiddleware(
            ScriptedModel(["in short"]), trigger=("messages", 3), keep=("messages", 2)
        ),
        lambda firm, run, model: "in short" in run.output["messages"][0].text,
        script=until_told(SEND),
    ),
    "TodoListMiddleware": Neighbour(
        lambda firm: TodoListMiddleware(),
        lambda firm, run, model: run.output["todos"] == [{"content": "pay", "status": "pending"}],
        script=([*SEND, ("write_todos", {"todos": [{"content": "pay", "status": "pending"}]})], "done"),
        standings=("executed", "executed"),
        last="",
    ),
    "ToolCallLimitMiddleware": Neighbour(
        lambda firm: ToolCallLimitMiddleware(tool_name="send", run_limit=1),
        lambda firm, run, model: "limit" in firm.answers()["call-0-1"],
        script=([*SEND, *SEND], "done"),
        last="",
    ),
    "ToolErrorMiddleware": Neighbour(
        lambda firm: ToolErrorMiddleware(broken_network),
        lambda firm, run, model: True,
        breaks=True,
        standings=("failed",),
        last="handled ConnectionError('broken')",
    ),
    "ToolRetryMiddleware": Neighbour(
        lambda firm: ToolRetryMiddleware(max_retries=2, initial_delay=0),
        lambda firm, run, model: True,
        breaks=True,
        standings=("failed",),
        last="broken",
    ),
}


def beside(firm: Agency, name: str, place: str) -> tuple[Neighbour, Knows]:
    """An agent with that neighbour there."""
    neighbour = NEIGHBOURS[name]
    model = Knows(neighbour.script, fails=neighbour.fails, provider=neighbour.provider)
    tools = [firm.failing(ConnectionError("broken")), firm.tools()[1]] if neighbour.breaks else None
    firm.hire(model, tools=tools, **{place: [neighbour.make(firm)]})
    return neighbour, model


def test_every_middleware_of_langchain_has_its_turn() -> None:
    every = [getattr(langchains, name) for name in langchains.__all__]
    kinds = {kind.__name__ for kind in every if isinstance(kind, type) and issubclass(kind, AgentMiddleware)}
    assert kinds - {"AgentMiddleware", "HumanInTheLoopMiddleware"} == set(NEIGHBOURS)


@pytest.mark.filterwarnings("ignore:.*no entry of the policy names this tool")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", NEIGHBOURS)
def test_beside_it_one_approval_is_one_effect_and_nothing_runs_while_it_waits(
    firm: Agency, name: str, place: str
) -> None:
    neighbour, model = beside(firm, name, place)
    run = firm.run()
    assert (run.status, firm.effects) == ("pending_approval", [])
    assert firm.resume().did == "nothing: it waits"
    run = firm.approve_all()
    assert run.status == "completed", run.error
    assert firm.effects == sorted(neighbour.effects)
    assert firm.standings() == sorted(neighbour.standings)
    assert neighbour.last in told(firm)
    assert neighbour.showed(firm, run, model)
    assert firm.resume().did == "nothing: it has finished"
    assert firm.effects == sorted(neighbour.effects)
    assert firm.signoff.verify().broken == []


@pytest.mark.filterwarnings("ignore:.*no entry of the policy names this tool")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", [name for name in NEIGHBOURS if name != "PIIMiddleware"])
def test_beside_it_a_rejected_call_has_no_effect(tmp_path: Path, name: str, place: str) -> None:
    with agency(tmp_path) as firm:
        beside(firm, name, place)
        for ticket in firm.run().tickets:
            firm.signoff.reject(ticket, by="ana")
        assert firm.resume().status == "completed"
        assert firm.effects == []
        assert set(firm.standings()) == {"rejected"}
        assert "rejected by ana" in told(firm)


@pytest.mark.parametrize("place", PLACES)
def test_an_emulated_call_asks_nobody_since_nothing_runs(firm: Agency, place: str) -> None:
    emulator = LLMToolEmulator(tools=["send"], model=ScriptedModel(["emulated"]))
    firm.hire([SEND, "done"], **{place: [emulator]})
    assert firm.run().status == "completed"
    firm.assert_ends(Expect([], [], "emulated"))


# LangChain's own person in the loop ------------------------------------------------------------------------------------------


EDITED = {"type": "edit", "edited_action": {"name": "send", "args": {"to": "eve"}}}
HIS = {
    "approve": ({"type": "approve"}, ONCE, ["executed"], SENT),
    "edit": (EDITED, ["send eve 5.0"], ["executed"], "sent 5.0 to eve"),
    "reject": ({"type": "reject", "message": "no"}, [], [], "reason: no"),
    "respond": ({"type": "respond", "message": "done by hand"}, [], [], "done by hand"),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("mode", ["batched", "per_call"])
@pytest.mark.parametrize("answer", HIS)
def test_his_answer_never_stands_in_for_ours(firm: Agency, answer: str, mode: str, place: str) -> None:
    theirs = HumanInTheLoopMiddleware({"send": True}, interrupt_mode=mode)
    firm.hire([SEND, "done"], **{place: [theirs]})
    run = firm.run()
    assert (run.status, firm.effects) == ("waiting", []), "its question is the author's own, answered by id"
    given, effects, standings, last = HIS[answer]
    [question] = run.questions
    run = firm.resume(answers={question: given if mode == "per_call" else {"decisions": [given]}})
    if standings:
        assert (run.status, firm.effects) == ("pending_approval", [])
        [ticket] = run.tickets
        assert ticket.args["to"] == ("eve" if answer == "edit" else "bob"), "what would run is what is shown"
        run = firm.approve_all()
    assert run.status == "completed"
    firm.assert_ends(Expect(effects, standings, last))


# Neighbours that rewrite -----------------------------------------------------------------------------------------------------


class Rewrites(AgentMiddleware):
    """Gives calls other arguments, as `args(call)` says."""

    def __init__(self, args: Callable[[Any], dict[str, Any]], *, in_place: bool = False) -> None:
        super().__init__()
        self.args, self.in_place = args, in_place

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        return handler(self.rewritten(request))

    async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
        return await handler(self.rewritten(request))

    def rewritten(self, request: Any) -> Any:
        new = {**request.tool_call["args"], **self.args(request.tool_call)}
        if self.in_place:
            request.tool_call["args"].update(new)
            return request
        return request.override(tool_call={**request.tool_call, "args": new})


@pytest.mark.parametrize("in_place", [False, True], ids=["anew", "in place"])
@pytest.mark.parametrize("place", PLACES)
def test_rewritten_arguments_are_what_is_shown_and_what_runs(firm: Agency, place: str, in_place: bool) -> None:
    firm.hire([SEND, "done"], **{place: [Rewrites(lambda call: {"to": "eve"}, in_place=in_place)]})
    [ticket] = firm.run().tickets
    assert (ticket.args["to"], firm.effects) == ("eve", [])
    assert firm.approve_all().status == "completed"
    firm.assert_ends(Expect(["send eve 5.0"], ["executed"], "sent 5.0 to eve"))


@pytest.mark.parametrize("place", PLACES)
def test_arguments_that_are_other_ones_on_each_pass_never_run_unapproved(firm: Agency, place: str) -> None:
    numbers = itertools.count(1)
    firm.hire([SEND, "done"], **{place: [Rewrites(lambda call: {"amount": next(numbers)})]})
    run = firm.run()
    for amount in (1, 2, 3):
        assert run.status == "pending_approval"
        assert [ticket.args["amount"] for ticket in firm.signoff.pending()] == [amount]
        run = firm.approve_all()
    assert (run.status, firm.effects) == ("pending_approval", [])


@pytest.mark.parametrize("place", PLACES)
def test_a_rewriter_that_begins_after_the_approval_does_not_use_it(firm: Agency, place: str) -> None:
    firm.hire([SEND, "done"])
    [ticket] = firm.run().tickets
    firm.signoff.approve(ticket, by="ana")
    firm.hire([SEND, "done"], **{place: [Rewrites(lambda call: {"to": "eve"})]})
    run = firm.resume()
    assert (run.status, run.tickets[0].args["to"], firm.effects) == ("pending_approval", "eve", [])
    firm.signoff.reject(run.tickets[0], by="ana")
    assert firm.resume().status == "completed"
    firm.assert_ends(Expect([], ["approved", "rejected"], "rejected by ana"))


@pytest.mark.parametrize("place", PLACES)
def test_a_revision_holds_against_a_rewriter(firm: Agency, place: str) -> None:
    firm.hire([SEND, "done"], **{place: [Rewrites(lambda call: {"to": "eve"})]})
    [ticket] = firm.run().tickets
    firm.signoff.revise(ticket, by="ana", args={"to": "cem"})
    assert firm.resume().status == "completed"
    firm.assert_ends(Expect(["send cem 5.0"], ["executed"], "A reviewer changed the call"))


@pytest.mark.parametrize("place", PLACES)
def test_a_neighbour_that_calls_three_times_runs_it_once(firm: Agency, place: str) -> None:
    class Thrice(AgentMiddleware):
        def wrap_tool_call(self, request: Any, handler: Any) -> Any:
            return [handler(request) for _ in range(3)][-1]

        async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
            return [await handler(request) for _ in range(3)][-1]

    firm.hire([SEND, "done"], **{place: [Thrice()]})
    firm.assert_asks_and_sends()


@pytest.mark.parametrize("place", PLACES)
def test_a_neighbour_that_swallows_even_the_pause_runs_nothing(firm: Agency, place: str) -> None:
    class Swallows(AgentMiddleware):
        def wrap_tool_call(self, request: Any, handler: Any) -> Any:
            try:
                return handler(request)
            except BaseException as error:
                return ToolMessage(f"swallowed {type(error).__name__}", tool_call_id=request.tool_call["id"])

        async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
            try:
                return await handler(request)
            except BaseException as error:
                return ToolMessage(f"swallowed {type(error).__name__}", tool_call_id=request.tool_call["id"])

    firm.hire([SEND, "done"], **{place: [Swallows()]})
    assert firm.run().status == "completed"
    firm.assert_ends(Expect([], ["withdrawn"], "swallowed GraphInterrupt"))


@pytest.mark.parametrize("place", PLACES)
def test_a_decorated_function_is_a_neighbour_too(tmp_path: Path, place: str) -> None:
    with agency(tmp_path) as firm:

        @wrap_tool_call
        def shouts(request: Any, handler: Any) -> Any:
            message = handler(request)
            return message.model_copy(update={"content": message.text.upper()})

        firm.hire([SEND, "done"], **{place: [shouts]})
        firm.assert_asks_and_sends(last=SENT.upper())


class Elsewhere(AgentMiddleware):
    """Runs the call in a thread of its own, as a time limit does."""

    def __init__(self, pool: Any) -> None:
        super().__init__()
        self.pool = pool

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        with self.pool(1) as pool:
            return pool.submit(handler, request).result()


@pytest.mark.parametrize("place", PLACES)
def test_a_neighbour_may_take_the_call_to_a_thread_with_its_context(tmp_path: Path, place: str) -> None:
    with agency(tmp_path) as firm:
        firm.hire([SEND, "done"], **{place: [Elsewhere(ContextThreadPoolExecutor)]})
        firm.assert_asks_and_sends()


@pytest.mark.parametrize("place", PLACES)
def test_in_a_thread_without_its_context_a_call_fails_loudly_and_does_not_run(tmp_path: Path, place: str) -> None:
    with agency(tmp_path) as firm:
        firm.hire([SEND, "done"], **{place: [Elsewhere(ThreadPoolExecutor)]})
        with pytest.raises((UngatedCall, RuntimeError)):
            firm.invoke({"messages": [HumanMessage("go")]})
        assert firm.effects == []


def test_all_neighbours_that_wrap_calls_at_once_change_nothing(tmp_path: Path) -> None:
    with agency(tmp_path) as firm:
        lock = threading.Lock()
        order: list[str] = []

        def noted(name: str) -> AgentMiddleware:
            def note(request: Any, handler: Any) -> Any:
                with lock:
                    order.append(name)
                return handler(request)

            return wrap_tool_call(name=name)(note)

        wrappers = [noted(f"w{number}") for number in range(12)]
        retry, error = ToolRetryMiddleware(max_retries=2, initial_delay=0), ToolErrorMiddleware(broken_network)
        firm.hire(
            [SEND, "done"],
            tools=[firm.failing(ConnectionError("broken"))],
            before=[retry, *wrappers[:6]],
            after=[*wrappers[6:], error],
        )
        firm.assert_asks_and_sends(standing="failed", last="handled ConnectionError('broken')")
        assert order == [f"w{number}" for number in range(12)] * 2

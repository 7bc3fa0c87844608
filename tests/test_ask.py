"""`ask` in nodes, tools and tasks: the run pauses, a person answers, and the run goes on with the answer, once."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pytest
from langchain_core.tools import tool
from langgraph.config import get_config
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, RetryPolicy, Send, interrupt
from pydantic import BaseModel, Field, SecretStr, field_validator

from asks import POLICY, Inquirer, State, inquirer
from failures.world import as_coroutine
from langgraph_signoff import ActionRefused, RepeatedKey, Signoff, Standing, Unanswered, Unidentified
from support import Clock

SEND = [("send", {"to": "bob", "amount": 5.0})]


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Inquirer]:
    """A world of each kind."""
    with inquirer(tmp_path, is_async=request.param) as made:
        yield made


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Inquirer]:
    """A sync world: where the kind makes no difference."""
    with inquirer(tmp_path) as made:
        yield made


# In a node -----------------------------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    """One of two."""

    RED = "red"
    BLUE = "blue"


class Template(BaseModel):
    """A form whose validators know more than its schema says."""

    name: str
    colour: Colour = Colour.RED
    due: datetime | None = None
    tags: list[str] = Field(default=[], max_length=2)

    @field_validator("name")
    @classmethod
    def _is_new(cls, name: str) -> str:
        if name == "greeting":
            raise ValueError("there is a template of that name")
        return name


ANSWERS: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "a text": ({}, "the blue one", "the blue one"),
    "an option": ({"options": ["red", "blue"]}, "blue", "blue"),
    "a number": ({"form": int}, 5, 5),
    "a literal": ({"form": Literal["a", "b"]}, "b", "b"),
    "a list": ({"form": list[Colour]}, ["red", "blue"], [Colour.RED, Colour.BLUE]),
    "a model": ({"form": Template}, {"name": "late", "colour": "blue"}, Template(name="late", colour=Colour.BLUE)),
    "nothing": ({"form": str | None}, None, None),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_node_goes_on_with_what_a_person_answers(world: Inquirer, kind: str) -> None:
    about, said, heard = ANSWERS[kind]
    world.chain(world.asking(context={"message": "Hello\nthere"}, **about))
    run = world.start()
    assert (run.status, world.effects) == ("pending_approval", [])
    [ticket] = run.tickets
    assert (ticket.kind, ticket.tool, ticket.queue) == ("question", "which", "desk")
    assert ticket.args == {"question": "Which one?", "message": "Hello\nthere"}
    assert world.resume().did == "nothing: it waits"
    assert world.answer(said).status == "completed"
    assert world.log() == [heard]
    assert world.resume().did == "nothing: it has finished"
    assert (world.effects, world.standings()) == ([f"heard {heard}"], ["answered"])
    assert world.signoff.verify().is_whole


def test_a_question_is_asked_once_whatever_else_the_node_asks(world: Inquirer) -> None:
    first, second = world.asking("First?"), world.asking("Second?")

    def both(state: State) -> dict[str, Any]:
        return {"log": [*first(state)["log"], *second(state)["log"], interrupt("third?")]}

    async def aboth(state: State) -> dict[str, Any]:
        return {"log": [*(await first(state))["log"], *(await second(state))["log"], interrupt("third?")]}

    world.chain(aboth if world.mode.is_async else both)
    assert [t.args["question"] for t in world.start().tickets] == ["First?"]
    assert [t.args["question"] for t in world.answer("one").tickets] == ["Second?"]
    run = world.answer("two")
    assert (run.status, list(run.questions.values())) == ("waiting", ["third?"])
    assert world.resume(answers=dict.fromkeys(run.questions, "three")).status == "completed"
    assert (world.log(), world.standings()) == (["one", "two", "three"], ["answered", "answered"])


ENDS: dict[str, tuple[str, str]] = {
    "reject": ("rejected", "which was not answered: rejected by ana: ask them"),
    "feedback": ("returned", "which was not answered: ana sent it back: which customer?"),
    "withdraw": ("withdrawn", "which was not answered: the question was withdrawn: no need"),
    "silence": ("expired", "which was not answered: nobody did in time"),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_question_that_gets_no_answer_says_why(world: Inquirer, end: str) -> None:
    clock = Clock()
    world.signoff = world.new_signoff(POLICY, clock=clock)
    world.chain(world.asking())
    [ticket] = world.start().tickets
    match end:
        case "reject":
            world.signoff.reject(ticket, by="ana", reason="ask them")
        case "feedback":
            world.signoff.revise(ticket, by="ana", feedback="which customer?")
        case "withdraw":
            world.signoff.withdraw(ticket, by="ana", reason="no need")
        case "silence":
            clock.advance(hours=8)
            assert world.signoff.expire() == ["t"]
    standing, words = ENDS[end]
    assert world.resume().status == "completed"
    [said] = world.log()
    assert said.startswith(f"{standing}: {words}")
    assert (world.effects, world.standings()) == ([], [standing])


def test_a_question_that_the_policy_denies_is_not_asked(world: Inquirer) -> None:
    world.chain(world.asking(name="secret"))
    assert world.start().status == "completed"
    assert world.log()[0].startswith("denied: secret was not asked: the policy does not permit it (denied)")
    assert (world.effects, world.standings()) == ([], ["denied"])


def test_an_unanswered_question_that_nobody_catches_ends_the_run_with_its_words(plain: Inquirer) -> None:
    plain.chain(lambda state: {"log": [plain.signoff.ask("Which one?", name="which")]})
    [ticket] = plain.start().tickets
    plain.signoff.reject(ticket, by="ana", reason="not now")
    run = plain.resume()
    assert (run.status, plain.log()) == ("failed", [])
    assert "Unanswered: which was not answered: rejected by ana: not now" in run.error


def test_each_visit_of_a_loop_asks_anew(world: Inquirer) -> None:
    builder = StateGraph(State).add_node("n", world.asking()).add_edge(START, "n")
    builder.add_conditional_edges("n", lambda state: "n" if len(state["log"]) < 3 else END)
    world.graph = world.compile(builder)
    world.start()
    for number in range(3):
        assert world.standings() == ["answered"] * number + ["pending"]
        world.answer(f"answer {number}")
    assert world.log() == ["answer 0", "answer 1", "answer 2"]
    assert world.start().status == "pending_approval", "a new turn is another visit"


def test_nodes_that_ask_the_same_at_once_get_each_its_own_answer(world: Inquirer) -> None:
    node = world.asking()
    builder = StateGraph(State).add_node("n", node)
    builder.add_conditional_edges(START, lambda state: [Send("n", state), Send("n", state)], ["n"])
    world.graph = world.compile(builder)
    one, other = world.start().tickets
    world.signoff.answer(one, "yes", by="ana")
    assert world.resume().status == "pending_approval"
    assert world.effects == ["heard yes"]
    world.signoff.answer(other, "no", by="ana")
    assert world.resume().status == "completed"
    assert sorted(world.log()) == ["no", "yes"]
    assert world.effects == ["heard no", "heard yes"]


def test_a_node_of_a_subgraph_asks_too(world: Inquirer) -> None:
    inner = StateGraph(State).add_node("n", world.asking()).add_edge(START, "n").compile()
    world.chain(inner, world.asking("And then?"))
    world.start()
    assert [t.args["question"] for t in world.answer("this").tickets] == ["And then?"]
    assert world.answer("that").status == "completed"
    assert world.log() == ["this", "that"]


def test_a_retried_node_hears_the_answer_it_has_got(world: Inquirer) -> None:
    failures = iter([ConnectionError("once"), ConnectionError("twice")])
    ask = world.asking()

    def node(state: State) -> dict[str, Any]:
        heard: dict[str, Any] = ask(state)
        if failure := next(failures, None):
            raise failure
        return heard

    async def anode(state: State) -> dict[str, Any]:
        heard: dict[str, Any] = await ask(state)
        if failure := next(failures, None):
            raise failure
        return heard

    world.chain(anode if world.mode.is_async else node, retry_policy=RetryPolicy(initial_interval=0.01))
    world.start()
    assert world.answer().status == "completed"
    assert (world.log(), world.standings()) == (["this one"], ["answered"])


# The same question twice ---------------------------------------------------------------------------------------------------


def test_the_same_question_twice_in_one_visit_needs_keys_and_then_gets_two_answers(world: Inquirer) -> None:
    def node(state: State) -> dict[str, Any]:
        keys = [1, 2] if state["word"] == "keys" else [None, None]
        return {"log": [world.signoff.ask("Go on?", name="which", key=key) for key in keys]}

    async def anode(state: State) -> dict[str, Any]:
        keys = [1, 2] if state["word"] == "keys" else [None, None]
        return {"log": [await world.signoff.aask("Go on?", name="which", key=key) for key in keys]}

    world.chain(anode if world.mode.is_async else node)
    world.start(word="no keys")
    with pytest.raises(RepeatedKey, match="'which' asks the same twice in one visit"):
        world.answer("yes")
    world.start(word="keys", thread="u")
    for said in ("yes", "no"):
        world.signoff.answer(world.signoff.pending(thread_id="u")[0], said, by="ana")
        world.resume(thread="u")
    assert world.log("u") == ["yes", "no"]


def _in_threads(signoff: Signoff, keys: list[Any]) -> list[str]:
    with ThreadPoolExecutor() as threads:
        asked = [
            threads.submit(copy_context().run, lambda key=key: signoff.ask("Go on?", name="which", key=key))
            for key in keys
        ]
        return [future.result() for future in asked]


def _asked_and_answered(world: Inquirer) -> None:
    world.start()
    world.answer("yes")


@pytest.mark.parametrize("is_async", [False, True])
def test_the_same_question_from_several_threads_of_one_visit_is_never_answered_by_one_answer(
    tmp_path: Path, is_async: bool
) -> None:
    async def gathered(signoff: Signoff, keys: list[Any]) -> list[str]:
        return list(await asyncio.gather(*(signoff.aask("Go on?", name="which", key=key) for key in keys)))

    with inquirer(tmp_path, is_async=is_async) as world:

        async def anode(state: State) -> dict[str, Any]:
            return {"log": await gathered(world.signoff, [None, None])}

        world.chain(anode if is_async else lambda state: {"log": _in_threads(world.signoff, [None, None])})
        with pytest.raises(RepeatedKey):
            _asked_and_answered(world)
        assert world.log() == []


def test_different_questions_from_several_threads_get_each_its_own_answer(plain: Inquirer) -> None:
    plain.chain(lambda state: {"log": _in_threads(plain.signoff, ["one", "two"])})
    run = plain.start()
    while run.status == "pending_approval":
        for ticket in plain.signoff.pending():
            plain.signoff.answer(ticket, ticket.id, by="ana")
        run = plain.resume()
    assert sorted(plain.log()) == sorted(ticket.id for ticket in plain.tickets())
    assert plain.standings() == ["answered", "answered"]


def test_another_form_or_another_context_is_another_question(plain: Inquirer) -> None:
    asked: list[dict[str, Any]] = [{}, {"options": ["yes", "no"]}, {"form": bool}, {"context": {"a": 1}}]

    def node(state: State) -> dict[str, Any]:
        return {"log": [plain.signoff.ask("Go on?", name="which", **about) for about in asked]}

    plain.chain(node)
    plain.start()
    for said in ("yes", "yes", True, "yes"):
        plain.answer(said)
    assert plain.log() == ["yes", "yes", True, "yes"]


# Forms that know more than their schema -------------------------------------------------------------------------------------


def test_an_answer_that_only_the_form_itself_refuses_is_asked_for_again_with_the_reason(world: Inquirer) -> None:
    world.chain(world.asking(form=Template))
    world.start()
    [again] = world.answer({"name": "greeting", "due": "tomorrow"}).tickets
    assert again.notes == (
        "which: ana was asked before; name: Value error, there is a template of that name; "
        "due: Input should be a valid datetime or date, input is too short",
    )
    assert world.effects == []
    assert world.answer({"name": "late", "due": "2026-03-02T10:00:00Z"}).status == "completed"
    [form] = world.log()
    assert (form.name, form.due.year) == ("late", 2026)
    assert world.standings() == ["answered", "answered"]


def test_a_form_that_takes_no_answer_is_not_asked_for_ever(plain: Inquirer) -> None:
    plain.chain(plain.asking(form=Template))
    plain.start()
    rounds = 0
    while plain.signoff.pending():
        plain.answer({"name": "greeting"})
        rounds += 1
    assert rounds == 4, "the first time, and the three rounds that the policy gives"
    assert plain.log()[0].startswith("answered: which got no answer that its form takes: ")
    assert plain.effects == []


class Login(BaseModel):
    """A form that holds a secret."""

    user: str
    password: SecretStr

    @field_validator("password")
    @classmethod
    def _is_long(cls, password: SecretStr) -> SecretStr:
        if len(password.get_secret_value()) < 8:
            raise ValueError(f"{password.get_secret_value()} is too short")
        return password


def test_a_secret_reaches_the_node_and_nobody_else(plain: Inquirer) -> None:
    def node(state: State) -> dict[str, Any]:
        login = plain.signoff.ask("Who are you?", name="which", form=Login)
        return {"log": [login.user, len(login.password.get_secret_value())]}

    plain.chain(node)
    plain.start()
    [again] = plain.answer({"user": "bob", "password": "hunter2"}).tickets
    assert again.notes == ("which: ana was asked before; the form does not take the answer",)
    plain.answer({"user": "bob", "password": "hunter22"})
    assert plain.log() == ["bob", 8]
    shown = "".join(str(ticket) + ticket.model_dump_json() for ticket in plain.tickets())
    assert "hunter" not in shown


# What cannot be asked ------------------------------------------------------------------------------------------------------


def test_what_cannot_be_asked_is_refused_by_name(plain: Inquirer) -> None:
    ask = plain.signoff.ask
    for about, words in (
        ({"options": []}, "options must be a list"),
        ({"options": "yes"}, "options must be a list"),
        ({"options": {"a", "b"}}, "options must be a list"),
        ({"options": ["a", "a"]}, "options must be a list of different texts"),
        ({"options": ["a", 1]}, "options must be a list"),
        ({"options": ["a"], "form": int}, "options or a form, not both"),
        ({"context": {"question": "another"}}, "give what is in context= another name"),
    ):
        with pytest.raises(ValueError, match=words):
            ask("Which?", **about)
    with pytest.raises(ValueError, match="needs words"):
        ask(" ")
    with pytest.raises(Unidentified, match="'which' is asked outside of a run"):
        ask("Which?", name="which")


def test_a_run_that_could_not_be_resumed_is_refused_before_anybody_is_asked(plain: Inquirer) -> None:
    node = plain.asking()
    for options, config, words in (
        ({"checkpointer": None}, plain.config("t"), "the graph has no checkpointer"),
        ({}, {"configurable": {}}, "thread_id|the run has no thread"),
    ):
        graph = plain.compile(StateGraph(State).add_node("n", node).add_edge(START, "n"), **options)
        with pytest.raises((Unidentified, ValueError), match=words):
            graph.invoke({"word": "go"}, config)
    graph = plain.compile(StateGraph(State).add_node("n", node).add_edge(START, "n"))
    with pytest.raises(Unidentified, match='durability="exit"'):
        graph.invoke({"word": "go"}, plain.config("t"), durability="exit")
    assert plain.tickets() == []


# In tools and tasks ---------------------------------------------------------------------------------------------------------


def _send(world: Inquirer, **about: Any) -> Any:
    """A tool that asks twice before it sends."""

    def send(to: str, amount: float = 5.0) -> str:
        """Sends."""
        world.effect("entered")
        first = world.signoff.ask(f"Really {amount:g} to {to}?", name="which", **about)
        second = world.signoff.ask("From which account?", name="which", **about)
        world.effect(f"send {first} {second}")
        return f"sent: {first}, {second}"

    async def asend(to: str, amount: float = 5.0) -> str:
        """Sends."""
        world.effect("entered")
        first = await world.signoff.aask(f"Really {amount:g} to {to}?", name="which", **about)
        second = await world.signoff.aask("From which account?", name="which", **about)
        world.effect(f"send {first} {second}")
        return f"sent: {first}, {second}"

    named = "send"
    return tool(named)(asend if world.mode.is_async else send)


@pytest.mark.parametrize("rule", ["review", "allow", "{otherwise: {then: allow, record: true}}"])
def test_a_gated_tool_that_asks_is_suspended_and_sends_once(world: Inquirer, rule: str) -> None:
    policy = f"version: 1\ntools: {{send: {rule}}}\n"
    world.open([SEND, "done"], tools=[_send(world)], policy=policy)
    run = world.run()
    if rule == "review":
        world.signoff.approve(run.tickets[0], by="ana")
        run = world.resume()
    assert [t.args for t in run.tickets] == [{"question": "Really 5 to bob?"}]
    if rule != "allow":
        assert run.tickets[0].trigger.startswith("send asks it while it runs (ticket ")
        [running] = [t for t in world.tickets() if t.tool == "send"]
        assert running.standing is (Standing.RUNNING if rule == "review" else Standing.APPROVED)
    assert [t.args for t in world.answer("yes").tickets] == [{"question": "From which account?"}]
    assert world.answer("savings").status == "completed"
    assert [effect for effect in world.effects if effect != "entered"] == ["send yes savings"]
    assert world.told()[-1].text == "sent: yes, savings"
    assert world.standings().count("answered") == 2
    assert world.signoff.verify().is_whole


def test_a_suspended_tool_hears_its_answer_after_the_state_was_updated(world: Inquirer) -> None:
    world.open([SEND, "done"], tools=[_send(world)], policy="version: 1\n")
    world.signoff.approve(world.run().tickets[0], by="ana")
    world.resume()
    world.signoff.answer(world.pending(question="Really 5 to bob?"), "yes", by="ana")
    world.update({}, as_node="agent")
    world.invoke(None)
    assert [t.args["question"] for t in world.signoff.pending()] == ["From which account?"], "it was asked again"
    assert world.answer("savings").status == "completed"
    assert world.told()[-1].text == "sent: yes, savings"


def test_a_tool_whose_question_is_rejected_tells_the_model(plain: Inquirer) -> None:
    plain.open([SEND, "done"], tools=[_send(plain)], policy="version: 1\ntools: {send: allow}", handle_tool_errors=True)
    [ticket] = plain.run().tickets
    plain.signoff.reject(ticket, by="ana", reason="he is not our customer")
    assert plain.resume().status == "completed"
    assert "which was not answered: rejected by ana: he is not our customer" in plain.told()[-1].text
    assert plain.effects == ["entered", "entered"]


def test_two_tools_of_one_message_that_ask_the_same_get_each_its_own_answer(world: Inquirer) -> None:
    calls = [("send", {"to": "bob"}), ("send", {"to": "bob"})]
    world.open([calls, "done"], tools=[_send(world)], policy="version: 1\n")
    for ticket in world.run().tickets:
        world.signoff.approve(ticket, by="ana")
    run = world.resume()
    for said in ("one", "two"):
        assert len(run.tickets) == 2
        for number, ticket in enumerate(run.tickets):
            world.signoff.answer(ticket, f"{said} {number}", by="ana")
        run = world.resume()
    assert run.status == "completed"
    assert sorted(effect[-1] for effect in world.effects if effect != "entered") == ["0", "1"]
    assert world.standings().count("answered") == 4


def test_a_task_of_the_functional_api_asks_and_its_finished_siblings_do_not_run_again(world: Inquirer) -> None:
    def early() -> str:
        world.effect("early")
        return "early"

    def late(number: int) -> str:
        return f"{number}: {world.signoff.ask(f'Which {number}?', name='which')}"

    async def alate(number: int) -> str:
        return f"{number}: {await world.signoff.aask(f'Which {number}?', name='which')}"

    if world.mode.is_async:
        first, other = task(as_coroutine(early)), task(alate)

        @entrypoint(checkpointer=world.saver)
        async def flow(_: Any) -> list[str]:
            return [await first(), await other(1), await other(2)]
    else:
        first, other = task(early), task(late)

        @entrypoint(checkpointer=world.saver)
        def flow(_: Any) -> list[str]:  # type: ignore[misc]  # the other form of it
            return [first().result(), other(1).result(), other(2).result()]

    world.graph = flow
    world.start()
    world.answer("a", question="Which 1?")
    assert world.answer("b", question="Which 2?").output == ["early", "1: a", "2: b"]
    assert world.effects == ["early"]


def test_a_guarded_node_that_asks_is_suspended_and_acts_once(world: Inquirer) -> None:
    world.chain(world.signoff.gate("deploy", action=lambda state: {"word": state["word"]})(world.asking()))
    world.signoff.approve(world.start().tickets[0], by="ana")
    [asked] = world.resume().tickets
    assert asked.trigger.startswith("deploy asks it while it runs (ticket ")
    assert world.answer().status == "completed"
    assert (world.effects, world.log()) == (["heard this one"], ["this one"])
    assert sorted(world.standings()) == ["answered", "executed"]


def test_a_question_whose_words_change_from_pass_to_pass_is_another_one_each_time(plain: Inquirer) -> None:
    passes = iter(range(10))
    plain.chain(lambda state: {"log": [plain.signoff.ask(f"Which, on pass {next(passes)}?", name="which")]})
    plain.start()
    assert plain.answer("the first").status == "pending_approval"
    assert plain.log() == [], "an answer went to another question"


@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_what_tasks_returned_and_were_answered_stays_theirs_after_a_guarded_function(
    world: Inquirer, verdict: str
) -> None:
    guarded = world.signoff.guarded("send", key=lambda: "the one")

    def send() -> str:
        return str(world.effect("send"))

    def late(number: int) -> str:
        world.effect(f"began {number}")
        return "" if number == 1 else world.signoff.ask("Which?", name="which")

    async def alate(number: int) -> str:
        world.effect(f"began {number}")
        return "" if number == 1 else await world.signoff.aask("Which?", name="which")

    if world.mode.is_async:
        act, then = guarded(as_coroutine(send)), task(alate)

        @entrypoint(checkpointer=world.saver)
        async def flow(_: Any) -> str:
            with suppress(ActionRefused):
                await act()
            return await then(1) + await then(2)
    else:
        act, then = guarded(send), task(late)

        @entrypoint(checkpointer=world.saver)
        def flow(_: Any) -> str:  # type: ignore[misc]  # the other form of it
            with suppress(ActionRefused):
                act()
            return then(1).result() + then(2).result()

    world.graph = flow
    getattr(world.signoff, verdict)(world.start().tickets[0], by="ana")
    assert [t.args["question"] for t in world.resume().tickets] == ["Which?"]
    assert world.answer("this").output == "this", "it was asked again"
    sent = ["send"] if verdict == "approve" else []
    assert world.effects == ["began 1", "began 2", "began 2", *sent], "a task that had finished ran again"


def test_an_agent_used_as_a_tool_asks_in_each_of_its_rounds(plain: Inquirer) -> None:
    inner = StateGraph(State).add_node("n", plain.asking("Go on?")).add_edge(START, "n")
    inner.add_conditional_edges("n", lambda state: "n" if len(state["log"]) < 2 else END)
    clerk = inner.compile()

    def send(to: str) -> str:
        """Asks the clerk."""
        return ", ".join(clerk.invoke({"word": to}, get_config())["log"])

    plain.open([[("send", {"to": "bob"})], "done"], tools=[send], policy="version: 1\n")
    plain.signoff.approve(plain.run().tickets[0], by="ana")
    assert [t.args["question"] for t in plain.resume().tickets] == ["Go on?"]
    assert [t.args["question"] for t in plain.answer("yes").tickets] == ["Go on?"]
    assert plain.answer("no").status == "completed"
    assert plain.told()[-1].text == "yes, no"


# Beside the rest ------------------------------------------------------------------------------------------------------------


def test_a_halt_holds_back_an_answer_until_its_release(world: Inquirer) -> None:
    world.chain(world.asking())
    [ticket] = world.start().tickets
    world.signoff.halt(by="cem", thread_id="t")
    world.signoff.answer(ticket, "this one", by="ana")
    assert world.resume().status == "halted"
    assert world.effects == []
    world.signoff.release(by="cem", thread_id="t")
    assert world.signoff.threads_to_wake() == ["t"]
    assert world.resume().status == "completed"
    assert world.effects == ["heard this one"]


def test_an_advisor_may_deny_a_question_or_leave_a_note_and_never_answer_it(tmp_path: Path) -> None:
    def advisor(action: Any, ruling: Any) -> Any:
        return (
            {"mode": "deny", "reason_code": "nosy"} if action.args["question"] == "PIN?" else {"note": "read the mail"}
        )

    with inquirer(tmp_path) as world:
        world.signoff = world.new_signoff(POLICY, advisors=[advisor])
        world.chain(world.asking("PIN?"), world.asking("Which?"))
        [ticket] = world.start().tickets
        assert world.log()[0].startswith("denied: which was not asked: the policy does not permit it (nosy)")
        assert ticket.notes == ("advisor: read the mail",)


def test_what_the_policy_calls_secret_of_a_question_is_masked(plain: Inquirer) -> None:
    plain.signoff = plain.new_signoff(
        "version: 1\nquestions: {which: {redact: [args.card], describe: 'About {args.card}'}}"
    )
    plain.chain(plain.asking(context={"card": "4111-1111"}))
    run = plain.start()
    assert "4111" not in str(run) + run.model_dump_json() + str(plain.state().interrupts)
    plain.answer()
    assert plain.log() == ["this one"]


def test_a_pause_shows_a_question_to_clients_as_one_to_respond_to_or_to_reject(plain: Inquirer) -> None:
    plain.chain(plain.asking(options=["red", "blue"]))
    [ticket] = plain.start().tickets
    [pause] = plain.state().interrupts
    assert pause.value["action_requests"] == [
        {
            "name": "which",
            "args": {"question": "Which one?"},
            "description": f"which: Which one? (default_review). Answer ticket {ticket.id[:12]} with one of red, blue.",
        }
    ]
    assert pause.value["review_configs"] == [{"action_name": "which", "allowed_decisions": ["respond", "reject"]}]


def test_a_question_sent_back_and_asked_better_shows_what_has_changed(plain: Inquirer) -> None:
    def node(state: State) -> dict[str, Any]:
        try:
            return {"log": [plain.signoff.ask("Which?", name="which")]}
        except Unanswered as unanswered:
            if unanswered.standing != "returned":
                raise
            return {"log": [plain.signoff.ask("Which customer?", name="which")]}

    plain.chain(node)
    [first] = plain.start().tickets
    plain.signoff.revise(first, by="ana", feedback="which what?")
    [again] = plain.resume().tickets
    assert again.previous == first.id
    assert again.difference == ({"op": "replace", "path": "/question", "value": "Which customer?"},)
    plain.answer("Acme")
    assert plain.log() == ["Acme"]


def test_an_answer_wakes_only_what_it_answers(plain: Inquirer) -> None:
    plain.chain(plain.asking())
    plain.start()
    plain.invoke(Command(resume="yes"))
    plain.invoke(Command(resume={"decisions": [{"type": "respond", "message": "yes"}]}))
    assert (plain.effects, plain.standings()) == ([], ["pending"])
    plain.answer("mine")
    assert plain.effects == ["heard mine"]

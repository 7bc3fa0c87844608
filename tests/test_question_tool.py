"""A tool that asks a person: whoever runs it, its result is what a person answers, and without a gate it gives none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from pydantic import BaseModel, SecretStr, field_validator

from agents import Agency, agency
from cli_support import Desk
from failures.world import MODES, Mode, World
from langgraph_signoff import GraphRefused, Policy, Signoff, Unanswered, UngatedCall
from langgraph_signoff.nodes.checks import gated
from langgraph_signoff.testing import ScriptedModel

POLICY = """
version: 1
tools: {look: allow, send: review}
questions: {which: review, secret: deny}
"""
ASK = [("which", {"question": "Which template?"})]


class Template(BaseModel):
    """A form."""

    name: str
    urgent: bool = False

    @field_validator("name")
    @classmethod
    def _is_new(cls, name: str) -> str:
        if name == "greeting":
            raise ValueError("there is a template of that name")
        return name


class Login(BaseModel):
    """A form that holds a secret."""

    user: str
    password: SecretStr


@pytest.fixture(params=MODES, ids=str)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A world in each mode."""
    made = World(tmp_path, request.param)
    yield made
    made.close()


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[World]:
    """A sync world: where the mode makes no difference."""
    made = World(tmp_path, Mode(False, each=False))
    yield made
    made.close()


def opened(world: World, script: Any, *, name: str = "which", **about: Any) -> None:
    """An agent with a question beside its tools."""
    world.open(script, tools=[*world.tools(), world.signoff.question(name, **about)], policy=POLICY)


def answered(world: World, value: Any, **options: Any) -> ToolMessage:
    """What the model is told once its question is answered so."""
    [ticket] = world.signoff.pending()
    world.signoff.answer(ticket, value, by="ana", **options)
    assert world.resume().status == "completed"
    return world.told()[-1]


# Answers -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("about", "said", "told"),
    [
        ({}, "the blue one", "the blue one"),
        ({"options": ["red", "blue"]}, "blue", "blue"),
        ({"form": int}, 5, "5"),
        ({"form": str}, "5", '"5"'),
        ({"form": Template}, {"name": "late"}, '{"name":"late","urgent":false}'),
    ],
    ids=["a text", "an option", "a number", "a typed text", "a form"],
)
def test_a_model_is_told_what_a_person_answers(world: World, about: dict[str, Any], said: Any, told: str) -> None:
    opened(world, [ASK, "done"], **about)
    run = world.run()
    assert run.status == "pending_approval"
    [ticket] = run.tickets
    assert (ticket.kind, ticket.tool, ticket.rule) == ("question", "which", "questions.which.otherwise")
    assert (ticket.args, ticket.trigger) == ({"question": "Which template?"}, "go")
    assert world.resume().did == "nothing: it waits"
    message = answered(world, said)
    assert (message.text, message.status, message.name) == (told, "success", "which")
    assert [t.standing for t in world.tickets()] == ["answered"]
    assert world.signoff.verify().is_whole


@pytest.mark.parametrize("end", ["reject", "feedback", "deny"])
def test_a_model_is_told_why_there_is_no_answer(world: World, end: str) -> None:
    name = "secret" if end == "deny" else "which"
    opened(world, [[(name, {"question": "Which template?"})], "done"], name=name)
    run = world.run()
    for ticket in run.tickets:
        if end == "reject":
            world.signoff.reject(ticket, by="ana", reason="look it up")
        else:
            world.signoff.revise(ticket, by="ana", feedback="for whom?")
    run = world.resume() if run.tickets else run
    assert run.status == "completed"
    words = {
        "reject": "which was not answered: rejected by ana: look it up. Do not ask the same again unless the user wants it.",
        "feedback": "which was not answered: ana sent it back: for whom?. You may ask again with that in mind.",
        "deny": "secret was not asked: the policy does not permit it (denied). Do not ask it again.",
    }
    assert (world.told()[-1].text, world.told()[-1].status) == (words[end], "error")


def test_several_questions_of_one_message_wait_in_one_pause_with_its_calls(world: World) -> None:
    script = [[*ASK, ("which", {"question": "And when?"}), ("send", {"to": "bob"}), ("look", {"x": 1})], "done"]
    opened(world, script)
    run = world.run()
    assert sorted(t.tool for t in run.tickets) == ["send", "which", "which"]
    assert len(world.state().interrupts) == (1 if not world.mode.each else 3)
    for ticket in run.tickets:
        if ticket.tool == "send":
            world.signoff.approve(ticket, by="ana")
        else:
            world.signoff.answer(ticket, f"to: {ticket.args['question']}", by="ana")
    assert world.resume().status == "completed"
    told = {message.tool_call_id: message.text for message in world.told()}
    assert told == {
        "call-0-0": "to: Which template?",
        "call-0-1": "to: And when?",
        "call-0-2": "sent 5.0 to bob",
        "call-0-3": "saw 1",
    }
    assert world.effects == ["look 1", "send bob 5.0"]


def test_a_question_that_a_model_asks_again_after_a_rejection_is_not_put_to_anybody(plain: World) -> None:
    opened(plain, [ASK, ASK, "done"])
    plain.signoff.reject(plain.run().tickets[0], by="ana")
    assert plain.resume().status == "completed"
    assert "the policy does not permit it (rejected_before)" in plain.told()[-1].text


def test_an_answer_that_only_the_form_refuses_sends_the_model_to_ask_again(plain: World) -> None:
    opened(plain, [ASK, "done"], form=Template)
    plain.run()
    message = answered(plain, {"name": "greeting"})
    assert message.status == "error"
    assert message.text == (
        "which was answered, but not as it must be: name: Value error, there is a template of that name. Ask again, and "
        "say so."
    )


def test_a_model_is_not_told_the_secret_of_a_form(plain: World) -> None:
    opened(plain, [ASK, "done"], form=Login)
    plain.run()
    assert answered(plain, {"user": "bob", "password": "hunter22"}).text == '{"user":"bob","password":"**********"}'


def test_what_is_erased_of_an_answer_is_not_told_again(plain: World) -> None:
    opened(plain, [ASK, "done"])
    [ticket] = plain.run().tickets
    plain.signoff.answer(ticket, "the blue one", by="ana")
    plain.signoff.erase(ticket, by="cem", reason="a request")
    assert plain.resume().status == "completed"
    assert plain.told()[-1].text == (
        "which was answered, and what is known of it has been erased by cem: a request. Do not ask again."
    )


@pytest.mark.parametrize("args", [{}, {"question": ""}, {"question": 5}, {"question": "a", "to": "b"}])
def test_a_question_without_words_is_the_models_own_mistake(plain: World, args: dict[str, Any]) -> None:
    opened(plain, [[("which", args)], "done"])
    assert plain.run().status == "completed"
    assert plain.told()[-1].status == "error"
    assert plain.tickets() == []


def test_a_tool_says_what_can_be_answered_unless_it_is_described(plain: World) -> None:
    question = plain.signoff.question
    assert (
        question("which", options=["red", "blue"]).description == "Asks a person, who answers with one of: red, blue."
    )
    assert question("which").description == "Asks a person, who answers in their own words."
    assert json.dumps(Template.model_json_schema()) in question("which", form=Template).description
    assert question("which", description="Ask the office.").description == "Ask the office."
    assert list(question("which").tool_call_schema.model_json_schema()["properties"]) == ["question"]  # type: ignore[union-attr]  # a model


# Other doors ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def firm(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Agency]:
    """An agent of `create_agent`."""
    with agency(tmp_path, is_async=request.param) as made:
        yield made


def test_an_agent_behind_the_middleware_asks_a_person(firm: Agency) -> None:
    firm.hire(
        [[*ASK, ("send", {"to": "bob"})], "done"], tools=[*firm.tools(), firm.signoff.question("which")], policy=POLICY
    )
    for ticket in firm.run().tickets:
        decide = firm.signoff.answer if ticket.kind == "question" else firm.signoff.approve
        decide(ticket, **({"value": "the blue one"} if ticket.kind == "question" else {}), by="ana")
    assert firm.resume().status == "completed"
    assert firm.answers() == {"call-0-0": "the blue one", "call-0-1": "sent 5.0 to bob"}


def test_a_question_in_a_graph_that_knows_nothing_of_us_is_asked_once_it_is_inserted(plain: World) -> None:
    plain.signoff = plain.new_signoff(POLICY)
    bare = plain.agent([ASK, "done"], ToolNode([plain.signoff.question("which"), *plain.tools()]))
    plain.graph = plain.compile(plain.signoff.insert(bare))
    assert plain.run().tickets[0].kind == "question"
    assert answered(plain, "the blue one").text == "the blue one"


def test_without_a_gate_a_question_gives_no_answer(plain: World) -> None:
    which = plain.signoff.question("which")
    call: Any = {"name": "which", "args": {"question": "Which?"}, "id": "1", "type": "tool_call"}
    with pytest.raises(UngatedCall, match="which asks a person, and gives no answer of its own"):
        which.invoke(call)
    plain.graph = plain.compile(plain.agent([ASK, "done"], ToolNode([which])))
    with pytest.raises(UngatedCall):
        plain.run()
    graph = create_agent(ScriptedModel([ASK, "done"]), [which], checkpointer=InMemorySaver())
    with pytest.raises(UngatedCall):
        graph.invoke({"messages": [("user", "go")]}, plain.config("t"))
    tolerant = plain.compile(plain.agent([ASK, "done"], ToolNode([which], handle_tool_errors=True)))
    told = tolerant.invoke({"messages": [("user", "go")]}, plain.config("u"))["messages"][2]
    assert (told.status, "gives no answer of its own" in told.text) == ("error", True)
    assert plain.tickets() == []


@pytest.mark.asyncio
async def test_without_a_gate_a_question_gives_no_answer_to_async_callers_either(tmp_path: Path) -> None:
    which = Signoff(tmp_path / "signoff.db").question("which")
    with pytest.raises(UngatedCall):
        await which.ainvoke({"name": "which", "args": {"question": "Which?"}, "id": "1", "type": "tool_call"})


def test_a_node_that_hides_a_question_in_its_closure_is_refused_by_name(plain: World) -> None:
    which = plain.signoff.question("which")

    def node(state: MessagesState) -> Any:
        return {"messages": [which.invoke({"question": "Which?"})]}

    with pytest.raises(GraphRefused, match="the tool which"):
        plain.signoff.insert(StateGraph(MessagesState).add_node("n", node).add_edge(START, "n"))


# Checks ---------------------------------------------------------------------------------------------------------------------


def test_checks_and_explanations_know_a_question_from_a_tool(plain: World) -> None:
    plain.signoff = plain.new_signoff(POLICY)
    tools = [*plain.tools(), plain.signoff.question("which"), plain.signoff.question("whom")]
    plain.graph = plain.compile(plain.agent([ASK], plain.signoff.tool_node(tools)))
    assert gated(plain.graph) == (["send", "look"], [], ["which", "whom"])
    assert plain.signoff.explain(plain.graph).splitlines()[-1] == (
        "tools: gated tools: send (review), look (allow), which (question: review), whom (question: review)"
    )
    assert plain.signoff.check(plain.graph) == [
        "whom: no entry of the policy names this question; every asking of it will be put to anybody"
    ]


GRAPH = """
from langgraph.graph import START, MessagesState, StateGraph
from langgraph_signoff import Signoff

signoff = Signoff("signoff.db", policy="signoff.yaml")
graph = StateGraph(MessagesState).add_node("tools", signoff.tool_node([signoff.question("which")])).add_edge(START, "tools").compile()
"""


def test_policy_check_holds_a_policy_against_the_questions_of_a_graph(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    (tmp_path / "asks.py").write_text(GRAPH)
    (tmp_path / "langgraph.json").write_text(json.dumps({"dependencies": ["."], "graphs": {"asks": "./asks.py:graph"}}))
    for policy, code, words in (
        ("questions: {which: review}", 0, "is right"),
        ("questions: {asked_in_a_node: deny}", 0, "which: no entry of the policy names this question"),
        ("tools: {which: review}", 2, "the graph has no tool which"),
        ("questions: {which: allow}", 2, "nobody would answer"),
    ):
        (tmp_path / "signoff.yaml").write_text(f"version: 1\n{policy}\n")
        done = desk.run("policy", "check", "signoff.yaml", "--graph", "asks")
        assert (done.code, words in done.out + done.err) == (code, True), done


def test_a_question_may_have_the_name_of_a_tool_elsewhere_and_is_never_allowed_by_its_rule(plain: World) -> None:
    plain.signoff = plain.new_signoff("version: 1\ntools: {which: allow}\n")
    plain.graph = plain.compile(plain.agent([ASK, "done"], plain.signoff.tool_node([plain.signoff.question("which")])))
    assert plain.run().status == "pending_approval"


def test_whatever_lets_calls_run_a_question_is_put_to_a_person(plain: World) -> None:
    class Lenient(Policy):
        def rule(self, *about: Any, **more: Any) -> Any:
            return super().rule(*about, **more).model_copy(update={"mode": "allow"})

    signoff = Signoff(plain.folder / "other.db", policy=Lenient())
    plain.graph = plain.compile(
        plain.agent([ASK, "done"], signoff.tool_node([signoff.question("which"), *plain.tools()]))
    )
    run = signoff.run(plain.graph, {"messages": [("user", "go")]}, thread_id="t")
    assert [ticket.reason_code for ticket in run.tickets] == ["policy_error"]
    signoff.close()


def test_a_tool_around_a_question_may_catch_that_it_got_no_answer(plain: World) -> None:
    @tool
    def send(to: str) -> str:
        """Sends where somebody says so."""
        try:
            return plain.signoff.ask(f"To {to}?", name="which")
        except Unanswered as unanswered:
            return f"unhandled: {unanswered.standing}"

    plain.open([[("send", {"to": "bob"})], "done"], tools=[send], policy="version: 1\ntools: {send: allow}\n")
    [ticket] = plain.run().tickets
    plain.signoff.reject(ticket, by="ana")
    assert plain.resume().status == "completed"
    assert plain.told()[-1].text == "unhandled: rejected"

"""A tool may fail, hang, ask, or return what nobody can keep: the record says what happened, and the thread finishes."""

from __future__ import annotations

import gc
import threading
from typing import Annotated, Any

import pytest
from langchain_core.messages import ToolMessage
from langgraph.func import task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, ToolRuntime
from langgraph.types import Send, interrupt
from pydantic import BaseModel

from failures.world import ONCE, SEND, SENT, Command, Expect, World

CUT_OFF = "nobody knows whether it happened"


# It raises ---------------------------------------------------------------------------------------------------------------


class Odd(BaseException):
    """Nothing that a handler of errors would catch."""


FAILED = "It was tried once, as approved, and is not tried again."
# How the error is handled: whether the first resume fails, and what the model is told in the end.
RAISED: dict[str, tuple[Any, bool, Expect]] = {
    "default": (None, True, Expect(ONCE, ["failed"], FAILED)),
    "not at all": (False, True, Expect(ONCE, ["failed"], FAILED)),
    "every error": (True, False, Expect(ONCE, ["failed"], "Error: ValueError('boom')\n Please fix your mistakes.")),
    "a text": ("it broke", False, Expect(ONCE, ["failed"], "it broke")),
    "of this type": (ValueError, False, Expect(ONCE, ["failed"], "Error: ValueError('boom')")),
    "of another type": (KeyError, True, Expect(ONCE, ["failed"], FAILED)),
    "by a function": (lambda error: f"told {error}", False, Expect(ONCE, ["failed"], "told boom")),
}


@pytest.mark.parametrize("handled", RAISED)
def test_a_tool_that_raises_uses_up_its_approval(world: World, handled: str) -> None:
    option, fails, expect = RAISED[handled]
    options = {} if option is None else {"handle_tool_errors": option}
    world.open([SEND, "done"], tools=[world.failing(ValueError("boom"))], **options)
    world.run()
    run = world.approve_all()
    assert run.status == ("failed" if fails else "completed")
    if fails:
        assert "ValueError: boom" in run.error
        assert world.resume().status == "completed"
    world.assert_ends(expect)
    assert world.tickets()[0].outcome.error == "boom" or not fails


@pytest.mark.parametrize("answer", ["happened", "did_not_happen", "give_up"])
def test_a_tool_that_is_torn_down_is_in_doubt_until_somebody_says_what_happened(world: World, answer: str) -> None:
    def send(to: str, amount: float = 5.0) -> str:
        """Sends."""
        told = world.send(to, amount)
        if len(world.effects) == 1:
            raise Odd
        return told

    table = {
        "happened": Expect(ONCE, ["executed"], "seen in the books"),
        "did_not_happen": Expect(ONCE * 2, ["executed"], SENT),
        "give_up": Expect(ONCE, ["failed"], "was not completed"),
    }
    world.open([SEND, "done"], tools=[world.tool("send", send)])
    world.run()
    with pytest.raises(Odd):
        world.approve_all()
    assert [t.standing for t in world.tickets()] == ["in_doubt"]
    run = world.resume()
    assert run.status == "in_doubt"
    world.signoff.settle(run.tickets[0], answer, by="ana", result="seen in the books" if answer == "happened" else None)
    assert world.resume().status == "completed"
    world.assert_ends(table[answer])


def test_a_call_in_doubt_holds_no_sibling_back_from_its_own_outcome(world: World) -> None:
    def send(to: str, amount: float = 5.0) -> str:
        """Sends."""
        told = world.send(to, amount)
        if to == "bob":
            raise Odd
        return told

    world.open([[("send", {"to": "bob"}), ("send", {"to": "ann"})], "done"], tools=[world.tool("send", send)])
    world.run()
    with pytest.raises(Odd):
        world.approve_all()
    for _ in range(3):
        run = world.resume()
        if run.status == "in_doubt":
            for ticket in run.tickets:
                world.signoff.settle(ticket, "happened", by="ana", result="yes")
    assert run.status == "completed"
    assert world.effects == ["send ann 5.0", "send bob 5.0"]
    assert {t.standing for t in world.tickets()} == {"executed"}


# It asks -----------------------------------------------------------------------------------------------------------------


def _asking(world: World, times: int, **options: Any) -> Any:
    def send(to: str, amount: float = 5.0) -> str:
        """Sends."""
        answers = [interrupt(f"question {n}", **options) for n in range(times)]
        world.effect(f"send {to} {answers}")
        return f"heard {answers}"

    return world.tool("send", send)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_tool_that_asks_is_never_answered_by_a_knock(world: World, times: int) -> None:
    world.open([SEND, "done"], tools=[_asking(world, times)])
    world.run()
    run = world.approve_all()
    for n in range(times):
        assert run.status == "waiting"
        assert list(run.questions.values()) == [f"question {n}"]
        assert world.resume().did == "nothing: it waits"
        assert [t.standing for t in world.tickets()] == ["running"], "its claim is kept while it asks"
        assert world.effects == []
        run = world.resume(answers={next(iter(run.questions)): f"a{n}"})
    answers = [f"a{n}" for n in range(times)]
    assert run.status == "completed"
    world.assert_ends(Expect([f"send bob {answers}"], ["executed"], f"heard {answers}"))
    attempts = [e.body["attempt"] for e in world.signoff.history(world.tickets()[0]) if e.kind == "claimed"]
    assert set(attempts) == {1}, "every pass went on with the same claim"


KNOCKS = {
    "plain": lambda world: {"decisions": [{"type": "approve"}]},
    "by id": lambda world: {i.id: {"decisions": [{"type": "approve"}]} for i in world.state().interrupts},
}


@pytest.mark.parametrize("knock", KNOCKS)
@pytest.mark.parametrize("too_early", [0, 2])
def test_an_answer_of_a_client_to_our_pause_is_no_answer_to_the_tools_question(
    world: World, knock: str, too_early: int
) -> None:
    world.open([SEND, "done"], tools=[_asking(world, 2)])
    world.run()
    for _ in range(too_early):
        world.invoke(Command(resume=KNOCKS[knock](world)))
    world.signoff.approve(world.signoff.pending()[0], by="ana")
    world.invoke(Command(resume=KNOCKS[knock](world)))
    assert world.effects == []
    assert list(world.status().questions.values()) == ["question 0"]
    for answer in ("a0", "a1"):
        world.invoke(Command(resume=answer))  # plain, as LangGraph takes it for the one question that is open
    world.assert_ends(Expect(["send bob ['a0', 'a1']"], ["executed"], "heard ['a0', 'a1']"))


@pytest.mark.parametrize("too_early", [False, True])
@pytest.mark.parametrize("line", [SEND, [("send", {"to": "bob"}), ("send", {"to": "ann"})]], ids=["one", "two"])
def test_a_plain_answer_to_our_pause_is_no_answer_to_a_question_that_comes_later(
    world: World, line: Any, too_early: bool
) -> None:
    world.open([line, "done"], tools=[_asking(world, 2)])
    world.run()
    tickets = world.signoff.pending()
    for ticket in tickets[1:]:
        world.signoff.approve(ticket, by="ana")
        world.resume()
    if too_early and len(world.state().interrupts) == 1:
        world.invoke(Command(resume="a knock"))
    world.signoff.approve(tickets[0], by="ana")
    if len(world.state().interrupts) == 1:
        world.invoke(Command(resume="a knock"))
    run = world.resume()
    while run.questions:
        question, text = next(iter(run.questions.items()))
        run = world.resume(answers={question: f"to {text}"})
    assert run.status == "completed"
    heard = ["to question 0", "to question 1"]
    assert world.effects == sorted(f"send {args['to']} {heard}" for _, args in line)


@pytest.mark.parametrize("knock", KNOCKS)
def test_a_question_of_a_wrapper_gets_its_answer_and_not_ours(sync_world: World, knock: str) -> None:
    world, heard = sync_world, []

    def wrap(request: Any, execute: Any) -> Any:
        heard.append(interrupt("sure?"))
        return execute(request)

    world.open([SEND, "done"], wrap_tool_call=wrap)
    world.signoff.approve(world.run().tickets[0], by="ana")
    world.invoke(Command(resume=KNOCKS[knock](world)))
    [question] = world.status().questions
    assert heard == []
    assert world.resume(answers={question: "yes"}).status == "completed"
    assert heard == ["yes"]
    world.assert_ends(Expect(ONCE, ["executed"], SENT))


def test_two_tools_that_ask_get_their_own_answers(world: World) -> None:
    def send(to: str, amount: float = 5.0) -> str:
        """Sends."""
        answers = [interrupt(f"{n} of {to}") for n in range(2)]
        world.effect(f"send {to} {answers}")
        return f"heard {answers}"

    world.open([[("send", {"to": "bob"}), ("send", {"to": "ann"})], "done"], tools=[world.tool("send", send)])
    world.run()
    run, given = world.approve_all(), 0
    while run.status == "waiting":
        question, value = list(run.questions.items())[-1]
        run = world.resume(answers={question: f"to {value}"})
        given += 1
    assert (run.status, given) == ("completed", 4)
    assert world.effects == [f"send {to} {[f'to {n} of {to}' for n in range(2)]}" for to in ("ann", "bob")]
    assert {t.standing for t in world.tickets()} == {"executed"}


@pytest.mark.parametrize("order", [1, -1])
def test_all_that_the_calls_of_a_turn_ask_is_asked_at_once(world: World, order: int, caplog: Any) -> None:
    def send(to: str, amount: float = 5.0) -> str:
        """Sends."""
        world.effect(f"send {to} {interrupt(to)}")
        return "sent"

    line = [("send", {"to": "bob"}), ("send", {"to": "ann"}), ("send", {"to": "cem"})]
    world.open([line, "done"], tools=[world.tool("send", send)])
    world.run()
    run = world.approve_all()
    assert sorted(run.questions.values()) == ["ann", "bob", "cem"] == sorted(world.status().questions.values())
    first, *rest = list(run.questions.items())[::order]
    left = world.resume(answers={first[0]: f"to {first[1]}"})
    assert sorted(left.questions.values()) == sorted(name for _, name in rest)
    assert world.resume(answers={question: f"to {name}" for question, name in rest}).status == "completed"
    assert world.effects == [f"send {name} to {name}" for name in ("ann", "bob", "cem")]
    gc.collect()
    assert [record for record in caplog.records if "never retrieved" in record.message] == []


@pytest.mark.parametrize("first", ["asks", "fails"])
def test_an_error_of_one_call_is_raised_also_while_another_asks(world: World, first: str) -> None:
    def send(to: str, amount: float = 5.0) -> str:
        """Sends."""
        if to == "asks":
            return interrupt(to)
        world.effect("send")
        raise ValueError("no")

    line = [("send", {"to": first}), ("send", {"to": "fails" if first == "asks" else "asks"})]
    world.open([line, "done"], tools=[world.tool("send", send)], handle_tool_errors=False)
    world.run()
    run = world.approve_all()
    assert (run.status, run.error) == ("failed", "ValueError: no")
    while run.status != "completed":
        for ticket in world.signoff.in_doubt():  # in a task of its own it may have been cut off by the error
            world.signoff.settle(ticket, "did_not_happen", by="ana")
        run = world.resume(answers=dict.fromkeys(world.status().questions, "yes"))
    told = {message.text for message in world.told()}
    assert told == {"yes", f"send failed: ValueError('no'). {FAILED}"}
    assert world.effects == ["send"]


def test_an_answer_that_a_question_refuses_leaves_it_open(world: World) -> None:
    class Amount(BaseModel):
        amount: int

    world.open([SEND, "done"], tools=[_asking(world, 1, response_schema=Amount)])
    world.run()
    run = world.approve_all()
    [question] = run.questions
    assert world.resume(answers={question: "much"}).status == "failed"
    assert world.status().questions == run.questions
    assert [t.standing for t in world.tickets()] == ["running"]
    assert world.resume(answers={question: {"amount": 3}}).status == "completed"
    assert len(world.effects) == 1
    assert world.tickets()[0].standing == "executed"


def _outer(world: World, inner: Any) -> Any:
    """A tool that runs an agent of its own."""

    def delegate(task: str) -> str:
        """Lets another agent do it."""
        world.effect(f"begin {task}")
        said = inner.invoke({"messages": [("user", task)]})["messages"][-1].text
        world.effect(f"end {task}")
        return said

    async def adelegate(task: str) -> str:
        """Lets another agent do it."""
        world.effect(f"begin {task}")
        said = (await inner.ainvoke({"messages": [("user", task)]}))["messages"][-1].text
        world.effect(f"end {task}")
        return said

    return world.tool("delegate", adelegate if world.mode.is_async else delegate, as_async=False)


@pytest.mark.parametrize("outer", ["review", "allow"])
@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_an_agent_that_is_a_tool_asks_about_its_own_calls(world: World, outer: str, verdict: str) -> None:
    policy = f"version: 1\ntools: {{send: review, delegate: {outer}}}"
    world.signoff = world.new_signoff(policy)
    inner = world.agent([SEND, "inner done"], world.signoff.tool_node(world.tools())).compile()
    gate = world.signoff.tool_node([_outer(world, inner)])
    world.graph = world.compile(world.agent([[("delegate", {"task": "pay"})], "done"], gate))
    run = world.run()
    if outer == "review":
        assert [t.tool for t in run.tickets] == ["delegate"]
        run = world.approve_all()
    assert run.status == "pending_approval"
    [ticket] = run.tickets
    assert (ticket.tool, ticket.thread_id, ticket.trigger) == ("send", "t", "pay"), "it knows the root thread"
    assert "end pay" not in world.effects
    getattr(world.signoff, verdict)(ticket, by="ana")
    assert world.resume().status == "completed", "resuming the root is enough"
    sends = [effect for effect in world.effects if effect.startswith("send")]
    assert sends == (list(ONCE) if verdict == "approve" else [])
    assert world.effects.count("end pay") == 1
    assert world.told()[-1].text == "inner done"
    standings = {t.tool: t.standing for t in world.tickets()}
    assert standings["send"] == ("executed" if verdict == "approve" else "rejected")
    assert standings.get("delegate", "executed") == "executed"
    assert world.signoff.verify().broken == []


def test_an_agent_that_is_a_node_asks_on_the_root_thread(world: World) -> None:
    world.signoff = world.new_signoff()
    inner = world.agent([SEND, "inner done"], world.signoff.tool_node(world.tools())).compile()
    builder = StateGraph(MessagesState)
    builder.add_node("inner", inner)
    builder.add_edge(START, "inner")
    builder.add_edge("inner", END)
    world.graph = world.compile(builder)
    run = world.run()
    assert run.status == "pending_approval"
    assert run.tickets[0].thread_id == "t"
    assert world.resume().did == "nothing: it waits"
    assert world.approve_all().status == "completed"
    world.assert_ends(Expect(ONCE, ["executed"], SENT))


def test_agents_side_by_side_in_one_step_keep_their_tickets_apart(world: World) -> None:
    world.signoff = world.new_signoff()
    script = lambda messages: (  # noqa: E731  # a script of one line
        [("send", {"to": messages[0].text})] if len(messages) == 1 else "done"
    )
    inner = world.agent(script, world.signoff.tool_node(world.tools())).compile()
    builder = StateGraph(MessagesState)
    builder.add_node("inner", inner)
    sends = [Send("inner", {"messages": [("user", name)]}) for name in ("bob", "ann", "cem")]
    builder.add_conditional_edges(START, lambda state: sends, ["inner"])
    world.graph = world.compile(builder)
    run = world.run()
    assert sorted(t.args["to"] for t in run.tickets) == ["ann", "bob", "cem"]
    for ticket in run.tickets:
        (world.signoff.reject if ticket.args["to"] == "bob" else world.signoff.approve)(ticket, by="ana")
        world.resume()
    assert world.status().status == "completed"
    assert world.effects == ["send ann 5.0", "send cem 5.0"]


# It returns something odd ------------------------------------------------------------------------------------------------


class Unkeepable:
    """Nothing that a serializer knows."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


def _returns(world: World, value: Any, **options: Any) -> Any:
    def send(to: str, amount: float = 5.0) -> Any:
        """Sends."""
        world.send(to, amount)
        return value

    return world.tool("send", send, **options)


def _told_by_command(**more: Any) -> Command[Any]:
    return Command(update={"messages": [ToolMessage("by command", tool_call_id="call-0-0", **more)]})


ODD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "a lock as an artifact": (("ok", threading.Lock()), {"response_format": "content_and_artifact"}, "ok\n(An attach"),
    "an object": (Unkeepable(), {}, "Unkeepable"),
    "a list of locks": ([threading.Lock()], {}, "lock"),
    "nothing": (None, {}, "null"),
    "not a number": (float("nan"), {}, "NaN"),
    "a broken text": ("\ud800", {}, ""),
    "bytes": (b"\xff\x00", {}, ""),
    "a set": ({1}, {}, "1"),
    "a message": (ToolMessage("by message", tool_call_id="call-0-0"), {}, "by message"),
    "a command": (_told_by_command(), {}, "by command"),
    "a command with a lock": (_told_by_command(artifact=threading.Lock()), {}, "by command\n(An attach"),
    "two messages": ([ToolMessage("by list", tool_call_id="call-0-0")], {}, "by list"),
    "huge": ("x" * 3_000_000, {}, "xxx"),
}


@pytest.mark.parametrize("what", ODD)
def test_whatever_a_tool_returns_its_call_is_executed_and_told(world: World, what: str) -> None:
    value, options, told = ODD[what]
    world.open([SEND, "done"], tools=[_returns(world, value, **options)])
    world.run()
    run = world.approve_all()
    if run.status != "completed":
        run = world.resume()
    assert run.status == "completed"
    world.assert_ends(Expect(ONCE, ["executed"], told))


def test_a_command_for_the_parent_graph_gets_there_once(world: World) -> None:
    command = Command(
        graph=Command.PARENT, goto="after", update={"messages": [ToolMessage(SENT, tool_call_id="call-0-0")]}
    )
    world.signoff = world.new_signoff()
    inner = world.agent([SEND, "done"], world.signoff.tool_node([_returns(world, command)])).compile()
    builder = StateGraph(MessagesState)
    builder.add_node("inner", inner, destinations=("after",))
    builder.add_node("after", lambda state: world.effect("after"))
    builder.add_edge(START, "inner")
    world.graph = world.compile(builder)
    world.run()
    assert world.approve_all().status == "completed"
    world.assert_ends(Expect(["after", *ONCE], ["executed"], SENT))


# It calls others ---------------------------------------------------------------------------------------------------------


def test_a_tool_that_calls_another_gated_one_does_not_pass_the_gate_by(world: World) -> None:
    def helper(x: int, runtime: ToolRuntime) -> str:
        """Helps itself."""
        world.effect(f"help {x}")
        send = next(tool for tool in runtime.tools if tool.name == "send")
        try:
            return str(send.invoke({"to": "eve"}))
        except Exception as error:
            return f"refused: {type(error).__name__}"

    policy = "version: 1\ntools: {look: allow, send: review, helper: review}"
    world.open([[("helper", {"x": 1})], "done"], tools=[world.tool("helper", helper), *world.tools()], policy=policy)
    world.run()
    assert world.approve_all().status == "completed"
    world.assert_ends(Expect(["help 1"], ["executed"], "refused: UngatedCall"))


def test_a_tool_that_calls_another_one_as_a_call_of_the_model_is_asked_about(sync_world: World) -> None:
    world = sync_world

    def helper(x: int, runtime: ToolRuntime) -> str:
        """Helps itself."""
        send = next(tool for tool in runtime.tools if tool.name == "send")
        call = {"name": "send", "args": {"to": "eve"}, "id": runtime.tool_call_id, "type": "tool_call"}
        return send.invoke(call).text

    policy = "version: 1\ntools: {look: allow, send: review, helper: allow}"
    world.open([[("helper", {"x": 1})], "done"], tools=[world.tool("helper", helper), *world.tools()], policy=policy)
    run = world.run()
    assert [t.tool for t in run.tickets] == ["send"]
    world.signoff.reject(run.tickets[0], by="ana")
    assert world.resume().status == "completed"
    world.assert_ends(Expect([], ["rejected"], "rejected by ana"))


def test_a_tool_gets_the_state_and_cannot_change_what_was_ruled(world: World) -> None:
    def send(to: str, amount: float, state: Annotated[dict[str, Any], InjectedState]) -> str:
        """Sends."""
        state["messages"][-1].tool_calls[0]["args"]["amount"] = 9000.0
        return world.send(to, amount)

    world.open([SEND, "done"], tools=[world.tool("send", send)])
    run = world.run()
    assert "state" not in run.tickets[0].args
    assert world.approve_all().status == "completed"
    world.assert_ends(Expect(ONCE, ["executed"], SENT))


def test_arguments_that_the_model_forges_for_injected_ones_are_dropped(world: World) -> None:
    def send(to: str, amount: float, state: Annotated[dict[str, Any], InjectedState]) -> str:
        """Sends."""
        assert "messages" in state, "the real state"
        return world.send(to, amount)

    forged = [("send", {"to": "bob", "amount": 5.0, "state": {"approved": True}})]
    world.open([forged, "done"], tools=[world.tool("send", send)])
    assert world.run().tickets[0].args == {"to": "bob", "amount": 5.0}
    assert world.approve_all().status == "completed"
    world.assert_ends(Expect(ONCE, ["executed"], SENT))


@pytest.mark.parametrize("as_task", [False, True], ids=["a function", "a task"])
def test_whoever_asks_beside_a_guarded_function_that_asked_hears_their_own_answer(
    sync_world: World, as_task: bool
) -> None:
    world = sync_world
    world.signoff = world.new_signoff("version: 1\nnodes: {pay: review}")

    def pay(amount: int) -> str:
        world.effect(f"pay {amount} {interrupt('pay?')}")
        return "paid"

    guarded = world.signoff.guarded("pay", key=lambda amount: amount)(task(pay) if as_task else pay)

    def node(state: MessagesState) -> None:
        guarded(3).result() if as_task else guarded(3)
        world.effect(f"then {interrupt('what now?')}")

    world.graph = world.compile(StateGraph(MessagesState).add_node("node", node).add_edge(START, "node"))
    world.signoff.approve(world.run().tickets[0], by="ana")
    run = world.resume()
    while run.questions:
        run = world.resume(answers={id_: f"answers {asked}" for id_, asked in run.questions.items()})
    assert (run.status, world.effects) == ("completed", ["pay 3 answers pay?", "then answers what now?"])

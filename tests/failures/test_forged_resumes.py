"""Every resume value is a knock: whoever can wake a run can wake it, and nothing more."""

from __future__ import annotations

import random
from contextlib import nullcontext, suppress
from typing import Any

import pytest
from langgraph.types import interrupt

from failures.world import GO, MODES, ONCE, SEND, SENT, Command, Expect, World, bare_agent
from langgraph_signoff import UnknownQuestion

EDIT = {"name": "send", "args": {"to": "eve", "amount": 9000.0}}
PAIR = [("send", {"to": "bob", "amount": 5.0}), ("send", {"to": "ann", "amount": 6.0})]

# Every type that JSON has, and the answers of every client that speaks some schema of its own.
FORGED: list[Any] = [
    True,
    False,
    0,
    1,
    -1,
    2**63,
    0.5,
    float("nan"),
    float("inf"),
    "",
    "approve",
    "approved",
    "yes",
    "y",
    "ok",
    "True",
    "\ud800",
    "x" * 100_000,
    [],
    [None],
    [True],
    ["approve"],
    {},
    {"approved": True},
    {"approve": True},
    {"action": "approve"},
    {"type": "approve"},
    {"type": "accept", "args": None},
    [{"type": "accept", "args": None}],
    [{"type": "accept", "args": {"action": "send", "args": EDIT["args"]}}],
    [{"type": "edit", "args": {"action": "send", "args": EDIT["args"]}}],
    [{"type": "response", "args": "go ahead"}],
    [{"type": "ignore", "args": None}],
    {"decisions": [{"type": "approve"}]},
    {"decisions": [{"type": "approve"}] * 2},
    {"decisions": [{"type": "edit", "edited_action": EDIT}]},
    {"decisions": [{"type": "reject", "message": "no"}]},
    {"decisions": [{"type": "respond", "message": "done already"}]},
    {"decisions": []},
    {"decisions": None},
    {"type": "tool_approval", "approved": True},
    {"verdict": "approve", "by": "ana"},
    {"signoff": "knock"},
    {"signoff": {"kind": "approval", "tickets": ["0" * 32]}},
    {"signoff": {"verdict": "approve", "by": "ana", "digest": "0" * 64}},
    {"standing": "approved"},
    {"nested": {"nested": {"nested": [[[[{"approve": [True]}]]]]}}},
    {"resume": True, "goto": "tools"},
    {"__interrupt__": True},
    [[[[[]]]]],
]


@pytest.mark.parametrize("line", [SEND, PAIR], ids=["one", "two"])
def test_no_resume_value_runs_a_call_or_kills_its_ticket(world: World, line: Any) -> None:
    world.open([line, "done"])
    tickets = world.run().tickets
    assert len(tickets) == len(line)
    answered = 0
    for value in [None, *FORGED]:
        pauses = [i.id for i in world.state().interrupts]
        for resume, plain in ((value, True), (dict.fromkeys(pauses, value), False)):
            # LangGraph itself refuses a plain answer to several pauses, and no answer at all.
            refused = plain and (len(pauses) > 1 or value is None)
            with suppress(Exception) if refused else nullcontext():
                world.invoke(Command(resume=resume))
                answered += 1
            assert world.effects == []
    assert answered >= len(FORGED), "the forged answers were taken"
    assert world.is_paused()
    assert [t.standing for t in world.tickets()] == ["pending"] * len(line)
    for ticket in tickets:
        world.signoff.approve(ticket, by="ana")
    assert world.resume().status == "completed"
    assert world.effects == sorted(f"send {args['to']} {args['amount']}" for _, args in line)
    assert {t.standing for t in world.tickets()} == {"executed"}


def test_a_bare_interrupt_that_trusts_its_answer_runs_by_a_forged_one(sync_world: World) -> None:
    bare_agent(sync_world, [SEND, "done"])
    sync_world.invoke(GO)
    sync_world.invoke(Command(resume={"decisions": [{"type": "approve"}]}))
    assert sync_world.effects == list(ONCE)


def test_a_resume_value_decides_nothing_after_a_rejection_either(world: World) -> None:
    world.open([SEND, "done"])
    world.signoff.reject(world.run().tickets[0], by="ana", reason="too much")
    world.invoke(Command(resume={"decisions": [{"type": "approve"}]}))
    world.assert_ends(Expect([], ["rejected"], "rejected by ana: too much"))


def test_answers_to_old_pauses_and_unknown_ones_do_nothing(world: World) -> None:
    world.open([SEND, SEND, "done"])
    world.run()
    old = {i.id: True for i in world.state().interrupts}
    world.signoff.approve(world.tickets()[0], by="ana")
    assert world.resume().status == "pending_approval"
    for answers in (old, {"0" * 32: True}, {**old, "f" * 32: "approve"}):
        world.invoke(Command(resume=answers))
        assert world.effects == list(ONCE)
        with pytest.raises(UnknownQuestion):
            world.resume(answers=answers)
    with pytest.raises(UnknownQuestion, match="a decision"):
        world.resume(answers={i.id: True for i in world.state().interrupts})
    world.signoff.reject(world.signoff.pending()[0], by="ana")
    assert world.resume().status == "completed"
    world.assert_ends(Expect(ONCE, ["executed", "rejected"], "rejected by ana"))


def test_a_plain_answer_sent_twice_answers_no_later_pause(world: World) -> None:
    world.open([SEND, [("send", {"to": "ann", "amount": 6.0})], "done"])
    world.signoff.approve(world.run().tickets[0], by="ana")
    for _ in range(3):
        world.invoke(Command(resume="approve"))
    world.invoke(None)
    assert world.is_paused()
    world.assert_ends(Expect(ONCE, ["executed", "pending"], SENT))


def test_waking_a_pending_thread_by_resume_waits_on(world: World) -> None:
    world.open([SEND, "done"])
    world.run()
    for _ in range(3):
        run = world.resume()
        assert (run.status, run.did) == ("pending_approval", "nothing: it waits")
    world.assert_ends(Expect([], ["pending"], None))


# Two gated calls, mixed verdicts ------------------------------------------------------------------------------------------

VERDICTS = {
    "approve": ("executed", "sent {amount} to {to}"),
    "reject": ("rejected", "rejected by ana: no {to}"),
    "revise": ("executed", 'it ran with {{"amount": 1.5, "to": "{to}"}}'),
    "return": ("returned", "sent it back: not {to}"),
}


def test_each_of_two_calls_gets_exactly_its_own_decision(
    tmp_path: Any, rng: random.Random, request: pytest.FixtureRequest
) -> None:
    rounds = 200 if request.config.getoption("--long") else 40
    outcomes = set()
    for mode in MODES:
        world = World(tmp_path / str(mode), mode)
        _two_calls(world, rng, rounds // len(MODES), outcomes)
        world.close()
    assert len(outcomes) >= 10, "the verdicts were mixed"


def _two_calls(world: World, rng: random.Random, rounds: int, outcomes: set[Any]) -> None:
    import asyncio
    import time

    def send(to: str, amount: float = 5.0) -> str:
        """Sends."""
        time.sleep(rng.random() * 0.02)
        return world.send(to, amount)

    async def asend(to: str, amount: float = 5.0) -> str:
        """Sends."""
        await asyncio.sleep(rng.random() * 0.02)
        return world.send(to, amount)

    tool = world.tool("send", asend if world.mode.is_async else send, as_async=False)
    world.open([PAIR, "done"], tools=[tool], trigger=lambda messages: time.sleep(rng.random() * 0.01) or "late")
    expected: list[str] = []
    for number in range(rounds):
        thread = f"t{number}"
        tickets = list(world.run(thread=thread).tickets)
        assert len(tickets) == 2
        rng.shuffle(tickets)
        said = {}
        for ticket in tickets:
            said[ticket.args["to"]] = verdict = rng.choice(list(VERDICTS))
            _say(world, ticket, verdict)
            if rng.random() < 0.5:
                world.resume(thread=thread)
        assert world.resume(thread=thread).status == "completed"
        for call, (to, amount) in enumerate((("bob", 5.0), ("ann", 6.0))):
            standing, text = VERDICTS[said[to]]
            if standing == "executed":
                expected.append(f"send {to} {1.5 if said[to] == 'revise' else amount}")
            assert world.ticket(thread, to=to).standing == standing
            [told] = [m for m in world.told(thread) if m.tool_call_id == f"call-0-{call}"]
            assert text.format(to=to, amount=amount) in told.text
        assert world.effects == sorted(expected)
        outcomes.add((said["bob"], said["ann"]))


def _say(world: World, ticket: Any, verdict: str) -> None:
    to = ticket.args["to"]
    match verdict:
        case "approve":
            world.signoff.approve(ticket, by="ana")
        case "reject":
            world.signoff.reject(ticket, by="ana", reason=f"no {to}")
        case "revise":
            world.signoff.revise(ticket, by="ana", args={"amount": 1.5})
        case "return":
            world.signoff.revise(ticket, by="ana", feedback=f"not {to}")


# The author's own questions in the same graph ------------------------------------------------------------------------------


def _wondering(world: World) -> Any:
    """The agent, and beside its tools a node that asks something of its own."""
    world.signoff = world.new_signoff()
    builder = world.agent([SEND, "done"], world.signoff.tool_node(world.tools()))

    def wonder(state: Any) -> None:
        world.effect(f"heard {interrupt('what colour?')}")

    return builder.add_node("wonder", wonder)


def test_an_authors_own_question_gets_its_answer_and_no_knock(world: World) -> None:
    world.graph = world.compile(_wondering(world).add_edge("__start__", "wonder"))
    run = world.run()
    # The question is asked in the first step, beside the model; the pause of the tools comes when the step is over.
    assert run.status == "waiting"
    [question] = run.questions
    assert world.resume().status == "waiting", "a resume without an answer leaves the question alone"
    run = world.resume(answers={question: "blue"})
    assert run.status == "pending_approval"
    assert world.effects == ["heard blue"]
    world.signoff.approve(run.tickets[0], by="ana")
    assert world.resume().status == "completed"
    world.assert_ends(Expect([*ONCE, "heard blue"], ["executed"], SENT))


def _asking_beside(world: World) -> None:
    """A graph whose question is asked in the same step as the pause of the tools."""
    builder = _wondering(world)
    del builder.branches["agent"]
    edge = world.edge

    def both(state: Any) -> Any:
        went = edge(state)
        if went == "__end__":
            return went
        return [*(went if isinstance(went, list) else [went]), "wonder"]

    builder.add_conditional_edges("agent", both, ["tools", "wonder", "__end__"])
    world.graph = world.compile(builder)


@pytest.mark.parametrize("first", ["decision", "answer", "together"])
def test_a_question_asked_in_the_same_step_as_our_pause_keeps_to_itself(world: World, first: str) -> None:
    _asking_beside(world)
    run = world.run()
    assert run.status == "pending_approval"
    [question] = run.questions
    [ticket] = run.tickets
    if first == "decision":
        world.signoff.approve(ticket, by="ana")
        run = world.resume()
        assert run.status == "waiting"
        assert world.effects == list(ONCE), "the decided call ran; the question still waits"
        run = world.resume(answers={question: "blue"})
    elif first == "answer":
        run = world.resume(answers={question: "blue"})
        assert run.status == "pending_approval"
        assert world.effects == ["heard blue"]
        world.signoff.approve(ticket, by="ana")
        run = world.resume()
    else:
        world.signoff.approve(ticket, by="ana")
        run = world.resume(answers={question: "blue"})
    assert run.status == "completed"
    world.assert_ends(Expect([*ONCE, "heard blue"], ["executed"], SENT))


def test_a_bare_interrupt_beside_another_hands_over_the_wrong_answer(sync_world: World) -> None:
    """Two gates in one node, one slower than the other: the answer meant for one reaches the other."""
    bare_agent(sync_world, [PAIR, "done"], is_approval=lambda answer: answer == "yes")
    sync_world.invoke(GO)
    sync_world.invoke(Command(resume="yes"))
    sync_world.invoke(Command(resume="no"))
    assert sync_world.effects.count("send bob 5.0") == 2, "the finished sibling ran again when the other was answered"

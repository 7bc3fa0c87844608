"""A call is named by its thread, its message, its id, its place and its digest; what is ruled once stays ruled."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import START, StateGraph
from langgraph.types import RetryPolicy

from failures.world import GO, ONCE, SEND, SENT, Command, Expect, World, human
from langgraph_signoff import RevisionRefused, Unidentified

REJECTED = "rejected by ana"
AGAIN = RetryPolicy(max_attempts=3, initial_interval=0.01, retry_on=lambda error: True)


def _call(args: dict[str, Any], id: str = "same", name: str = "send") -> dict[str, Any]:
    return {"name": name, "args": args, "id": id, "type": "tool_call"}


def _message(*calls: dict[str, Any]) -> AIMessage:
    return AIMessage("", tool_calls=list(calls))


BOB = {"to": "bob", "amount": 5.0}
ANN = {"to": "ann", "amount": 6.0}

# Calls of one message that share what they can, with what runs when the first is approved and the second rejected.
TWINS = {
    "the same call twice": ((_call(BOB, "one"), _call(BOB, "two")), ONCE),
    "one id, other arguments": ((_call(BOB), _call(ANN)), ONCE),
    "one id, the same arguments": ((_call(BOB), _call(BOB)), ONCE),
}


@pytest.mark.parametrize("twins", TWINS)
def test_calls_of_one_message_have_a_ticket_each_whatever_they_share(world: World, twins: str) -> None:
    calls, effects = TWINS[twins]
    world.open([_message(*calls), "done"])
    tickets = world.run().tickets
    assert len({ticket.id for ticket in tickets}) == 2
    by_place = sorted(tickets, key=lambda t: world.signoff.desk.case(t.id).action["proposal"])
    world.signoff.approve(by_place[0], by="ana")
    world.signoff.reject(by_place[1], by="ana")
    assert world.resume().status == "completed"
    world.assert_ends(Expect(effects, ["executed", "rejected"], REJECTED))
    assert [m.status for m in world.told()] == ["success", "error"]


@pytest.mark.parametrize("twins", TWINS)
def test_calls_of_one_message_run_once_each_when_all_are_approved(world: World, twins: str) -> None:
    calls, _ = TWINS[twins]
    world.open([_message(*calls), "done"])
    for ticket in world.run().tickets:
        world.signoff.approve(ticket, by="ana")
    assert world.resume().status == "completed"
    assert world.effects == sorted(f"send {c['args']['to']} {c['args']['amount']}" for c in calls)
    world.assert_ends(Expect(world.effects, ["executed", "executed"], "sent"))


def test_a_call_id_used_again_in_a_later_turn_is_another_call(world: World) -> None:
    world.open([_message(_call(BOB)), _message(_call(BOB)), _message(_call(ANN)), "done"])
    world.signoff.approve(world.run().tickets[0], by="ana")
    for _ in range(2):
        run = world.resume()
        assert run.status == "pending_approval", "an approval of the turn before is none of this turn"
        world.signoff.approve(run.tickets[0], by="ana")
    assert world.resume().status == "completed"
    world.assert_ends(Expect([*ONCE, *ONCE, "send ann 6.0"], ["executed"] * 3, "sent 6.0 to ann"))


class Plain(TypedDict):
    """A state whose messages get no ids."""

    messages: list[Any]


def test_a_message_without_an_id_is_an_error_that_says_what_to_do(world: World) -> None:
    world.open([SEND])
    gate = world.graph.nodes["tools"].bound
    builder = StateGraph(Plain)
    builder.add_node("agent", lambda state: {"messages": [*state["messages"], _message(_call(BOB))]})
    builder.add_node("tools", gate)
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", world.edge, ["tools", "__end__"])
    world.graph = world.compile(builder)
    with pytest.raises(Unidentified, match="has no id; keep messages in a channel with add_messages"):
        world.invoke({"messages": []})
    assert world.effects == []
    assert world.tickets() == []


# A policy that changes ----------------------------------------------------------------------------------------------------

MODES = ("allow", "review", "deny")


def _with_policy(world: World, mode: str) -> None:
    world.open([SEND, "done"], policy=f"version: 1\ntools: {{look: allow, send: {mode}}}")


@pytest.mark.parametrize("later", MODES)
def test_a_pending_ticket_keeps_its_ruling_whatever_the_policy_becomes(world: World, later: str) -> None:
    _with_policy(world, "review")
    world.run()
    _with_policy(world, later)
    assert world.resume().did == "nothing: it waits"
    world.invoke(Command(resume=True))
    world.assert_ends(Expect([], ["pending"], None))
    world.signoff.approve(world.signoff.pending()[0], by="ana")
    assert world.resume().status == "completed"
    world.assert_ends(Expect(ONCE, ["executed"], SENT))


@pytest.mark.parametrize("later", MODES)
def test_a_denial_stays_a_denial_when_its_checkpoint_is_run_again(world: World, later: str) -> None:
    _with_policy(world, "deny")
    assert world.run().status == "completed"
    denied = Expect([], ["denied"], "the policy does not permit this call")
    world.assert_ends(denied)
    before_tools = next(s for s in world.checkpoints() if "tools" in s.next)
    _with_policy(world, later)
    world.invoke(None, config=before_tools.config)
    world.assert_ends(denied)


@pytest.mark.parametrize("later", MODES)
def test_a_revision_is_ruled_by_the_policy_of_today(world: World, later: str) -> None:
    _with_policy(world, "review")
    world.run()
    _with_policy(world, later)
    [ticket] = world.signoff.pending()
    if later == "deny":
        with pytest.raises(RevisionRefused, match="the policy denies the edited call"):
            world.signoff.revise(ticket, by="ana", args={"amount": 1.0})
        world.assert_ends(Expect([], ["pending"], None))
        return
    world.signoff.revise(ticket, by="ana", args={"amount": 1.0})
    assert world.resume().status == "completed"
    world.assert_ends(Expect(["send bob 1.0"], ["executed"], "it ran with"))


# Asked again --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reask", [0, 1, 2])
def test_what_was_rejected_is_not_asked_again_before_the_next_human_message(world: World, reask: int) -> None:
    policy = f"version: 1\ntools: {{look: allow, send: {{otherwise: {{then: review, reask: {reask}}}}}}}"
    # The model proposes it again and again; after three human messages it says that it is done.
    script = lambda messages: "done" if _turns_of(messages) > reask + 2 else SEND  # noqa: E731  # a script of one line
    world.open(script, policy=policy)
    run = world.run()
    for _ in range(reask + 1):
        assert run.status == "pending_approval"
        world.signoff.reject(run.tickets[0], by="ana")
        run = world.resume()
    assert run.status == "completed"
    standings = ["rejected"] * (reask + 1) + ["denied"] * 2
    world.assert_ends(Expect([], standings, "the policy does not permit this call (rejected_before)"))
    run = world.run(human("do it, really"))
    assert run.status == "pending_approval", "a human message opens the question again"
    world.signoff.approve(run.tickets[0], by="ana")
    assert world.resume().status in ("pending_approval", "completed")
    assert world.effects == list(ONCE)


def _turns_of(messages: list[Any]) -> int:
    last = max(i for i, m in enumerate(messages) if m.type == "human")
    return sum(m.type == "ai" for m in messages[last:])


def test_other_arguments_are_another_question_at_once(world: World) -> None:
    world.open([SEND, _message(_call(ANN)), "done"])
    world.signoff.reject(world.run().tickets[0], by="ana")
    run = world.resume()
    assert run.status == "pending_approval"
    world.signoff.approve(run.tickets[0], by="ana")
    world.resume()
    world.assert_ends(Expect(["send ann 6.0"], ["executed", "rejected"], "sent 6.0 to ann"))


# Sent back ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_a_call_that_is_sent_back_comes_again_with_its_difference_as_often_as_the_policy_says(
    world: World, rounds: int
) -> None:
    policy = f"version: 1\ntools: {{look: allow, send: {{otherwise: {{then: review, max_revisions: {rounds}}}}}}}"
    script = [[("send", {"to": "bob", "amount": float(100 - n)})] for n in range(rounds + 1)]
    world.open([*script, "done"], policy=policy)
    run, previous = world.run(), None
    for number in range(rounds):
        [ticket] = run.tickets
        assert ticket.previous == previous
        if number:
            change = {"op": "replace", "path": "/amount", "value": float(100 - number)}
            assert list(ticket.difference) == [change]
        world.signoff.revise(ticket, by="ana", feedback=f"less than {100 - number}")
        previous = ticket.id
        run = world.resume()
        assert world.told()[-1].text.startswith(f"send was not run: ana sent it back: less than {100 - number}")
    [ticket] = run.tickets
    with pytest.raises(RevisionRefused, match=f"the policy gives {rounds}; approve or reject it"):
        world.signoff.revise(ticket, by="ana", feedback="less")
    world.signoff.approve(ticket, by="ana")
    assert world.resume().status == "completed"
    amount = float(100 - rounds)
    world.assert_ends(Expect([f"send bob {amount}"], ["returned"] * rounds + ["executed"], f"sent {amount} to bob"))


# Allowed, once and recorded -----------------------------------------------------------------------------------------------


def _allowed(world: World, how: str, script: Any = None, **options: Any) -> None:
    policy = f"version: 1\ntools: {{look: allow, send: {{otherwise: {{then: allow, {how}: true}}}}}}"
    world.open(script or [SEND, "done"], policy=policy, **options)


def _replay(world: World) -> None:
    for snapshot in world.checkpoints():
        if "tools" in snapshot.next:
            world.invoke(None, config=snapshot.config)


def test_an_allowed_call_that_may_run_once_is_answered_from_the_record_when_it_is_replayed(world: World) -> None:
    _allowed(world, "once")
    assert world.run().status == "completed"
    _replay(world)
    world.assert_ends(Expect(ONCE, ["executed"], SENT))


def test_an_allowed_call_that_is_only_recorded_runs_as_without_us_and_each_run_is_on_record(world: World) -> None:
    _allowed(world, "record")
    assert world.run().status == "completed"
    _replay(world)
    world.assert_ends(Expect([*ONCE, *ONCE], ["executed"], SENT))
    [row] = world.signoff.ledger.all_rows()
    assert [entry.kind for entry in world.signoff.history(row.id)] == ["opened", "executed", "executed"]


@pytest.mark.filterwarnings("ignore:node 'tools' has a RetryPolicy")
def test_an_allowed_call_that_is_only_recorded_is_tried_again_as_without_us(world: World) -> None:
    def send(to: str, amount: float = 5.0) -> str:
        """Sends."""
        world.send(to, amount)
        if len(world.effects) < 3:
            raise ValueError("not yet")
        return SENT

    _allowed(world, "record", tools=[world.tool("send", send)], node={"retry_policy": AGAIN})
    assert world.run().status == "completed"
    world.assert_ends(Expect(ONCE * 3, ["executed"], SENT))


def test_an_allowed_call_that_nothing_records_runs_again_as_in_any_graph(world: World) -> None:
    world.open([[("look", {"x": 1})], "done"])
    world.run()
    before_tools = next(s for s in world.checkpoints() if "tools" in s.next)
    world.invoke(None, config=before_tools.config)
    world.assert_ends(Expect(["look 1"] * 2, [], "saw 1"))


@pytest.mark.filterwarnings("ignore:node 'tools' has a RetryPolicy")
def test_an_allowed_call_that_may_run_once_is_not_tried_again(world: World) -> None:
    _allowed(world, "once", tools=[world.failing(ValueError("boom"))], node={"retry_policy": AGAIN})
    assert world.run().status == "completed"
    world.assert_ends(Expect(ONCE, ["failed"], "It was tried once"))


def test_an_allowed_call_that_may_run_once_is_in_doubt_when_it_is_torn_down(world: World) -> None:
    class Odd(BaseException):
        pass

    _allowed(world, "once", tools=[world.failing(Odd())])
    with pytest.raises(Odd):
        world.run()
    run = world.resume()
    assert run.status == "in_doubt"
    world.signoff.settle(run.tickets[0], "happened", by="ana", result="yes")
    assert world.resume().status == "completed"
    world.assert_ends(Expect(ONCE, ["executed"], "yes"))


def test_an_allowed_sibling_runs_at_once_where_each_call_has_a_task_and_after_the_decision_where_not(
    world: World,
) -> None:
    world.open([[("look", {"x": 1}), ("send", BOB)], "done"])
    world.run()
    assert world.effects == (["look 1"] if world.mode.each else [])
    world.signoff.approve(world.signoff.pending()[0], by="ana")
    assert world.resume().status == "completed"
    world.assert_ends(Expect(["look 1", *ONCE], ["executed"], "sent"))


def test_nothing_of_an_allowed_turn_is_written(world: World) -> None:
    world.open([[("look", {"x": 1})], "done"])
    world.invoke(GO)
    assert world.effects == ["look 1"]
    assert list(world.signoff.ledger.scan()) == []

"""What tries to get past a review of the outcome, or to turn its answer into another: nothing is approved or undone by it.

Whoever has the graph can lead it past the review (`goto`, `update_state(as_node=...)`): a node after it is no gate. What must not
happen without an approval belongs behind a gate of its own, or into `approved=`.
"""

from __future__ import annotations

import operator
import threading
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from hotel import BOOKS, POLICY, Hotel
from langgraph_signoff import DecisionRefused, Done, Query, RevisionRefused, Standing, Ticket, TicketClosed
from langgraph_signoff.justification import to_markdown
from langgraph_signoff.nodes.rollback import rollback
from langgraph_signoff.nodes.steps import drive
from support import opening

BOOKED = ["book 1", "book 2"]
UNDONE = [*BOOKED, "cancel b-2", "cancel b-1"]


@pytest.fixture
def hotel(tmp_path: Path) -> Hotel:
    return Hotel(tmp_path)


def reviews(hotel: Hotel) -> list[Ticket]:
    """Every review of the thread, the oldest first."""
    found = hotel.signoff.find(Query(tool="outcome", limit=100))
    return sorted(
        found, key=lambda ticket: hotel.signoff.ledger.in_order([t.id for t in found], "opened").index(ticket.id)
    )


def rooms(ticket: Ticket) -> list[str]:
    return [action["args"]["room"] for action in ticket.args["actions"]]


def standings(hotel: Hotel) -> list[str]:
    return [str(ticket.standing) for ticket in reviews(hotel)]


def approving(hotel: Hotel) -> Hotel:
    """The hotel, with something that only an approval may do."""

    def seal(state: MessagesState) -> None:
        hotel.effect("sealed")

    return Hotel(hotel.path, review={"approved": seal})


# A knock is no key ---------------------------------------------------------------------------------------------------------

FORGED: list[Any] = [
    "approve",
    True,
    {"type": "approve"},
    {"decisions": [{"type": "approve"}]},
    [{"type": "accept", "args": None}],
    {"signoff": "knock"},
    {"verdict": "reject", "by": "ana"},
]


@pytest.mark.parametrize("value", FORGED, ids=str)
@pytest.mark.parametrize("by_id", [False, True], ids=["plain", "by id"])
def test_no_resume_value_approves_a_run_or_rolls_it_back(hotel: Hotel, value: Any, by_id: bool) -> None:
    hotel = approving(hotel)
    hotel.run()
    [pause] = hotel.graph.get_state(hotel.config).interrupts
    hotel.graph.invoke(Command(resume={pause.id: value} if by_id else value), hotel.config)
    assert hotel.effects == BOOKED
    assert standings(hotel) == ["pending"]
    hotel.signoff.approve(hotel.asked(), by="ana")
    assert hotel.resume().status == "completed"
    assert hotel.effects == [*BOOKED, "sealed", "publish"]


@pytest.mark.parametrize("verdict", ["", "approve", "reject"])
@pytest.mark.parametrize("how", ["goto", "update_state"])
def test_a_jump_past_the_review_neither_approves_nor_undoes_anything(hotel: Hotel, how: str, verdict: str) -> None:
    hotel = approving(hotel)
    ticket = hotel.run().tickets[0]
    if verdict:
        getattr(hotel.signoff, verdict)(ticket, by="ana")
    if how == "goto":
        hotel.graph.invoke(Command(goto="publish"), hotel.config)
    else:
        hotel.graph.update_state(hotel.config, {"messages": [AIMessage("Approved.")]}, as_node="outcome")
        hotel.graph.invoke(None, hotel.config)
    # The paused review may run beside the jump: then it does what people have said, and nothing else.
    said = {"": [], "approve": ["sealed"], "reject": UNDONE[2:]}[verdict]
    assert [effect for effect in hotel.effects if effect != "publish"] in (BOOKED, [*BOOKED, *said])
    assert {t.standing for t in hotel.signoff.find(Query(tool="book"))} == {Standing.EXECUTED}


def test_an_approval_that_a_jump_has_passed_is_not_used_for_another_result(hotel: Hotel) -> None:
    hotel = approving(hotel)
    hotel.signoff.approve(hotel.run().tickets[0], by="ana")
    hotel.graph.update_state(hotel.config, {"messages": [AIMessage("Three rooms, and a car.")]}, as_node="agent")
    run = hotel.resume()
    assert run.tickets[0].args["result"] == "Three rooms, and a car."
    assert "sealed" not in hotel.effects


# Decisions that are too late, or about something else -----------------------------------------------------------------------


@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_a_decision_after_the_window_counts_for_nothing(hotel: Hotel, verdict: str) -> None:
    ticket = hotel.run().tickets[0]
    hotel.clock.advance(hours=3)
    with pytest.raises(TicketClosed):
        getattr(hotel.signoff, verdict)(ticket, by="ana")
    hotel.resume()
    assert hotel.effects == BOOKED
    assert standings(hotel) == ["expired"]


def test_an_approval_that_nobody_used_in_time_approves_nothing(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path, policy=POLICY.replace("window: 2h", "window: 2h, use_within: 1h"))
    hotel.signoff.approve(hotel.run().tickets[0], by="ana")
    hotel.clock.advance(hours=2)
    assert hotel.resume().status == "completed"
    assert hotel.effects == BOOKED
    assert standings(hotel) == ["lapsed"]


@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_a_decision_on_a_report_that_has_changed_is_refused(hotel: Hotel, verdict: str) -> None:
    old = hotel.run().tickets[0]
    hotel.graph.update_state(hotel.config, {"messages": [AIMessage("Other rooms.")]}, as_node="agent")
    new = hotel.resume().tickets[0]
    for seen in (old, new.model_copy(update={"digest": old.digest})):
        with pytest.raises(DecisionRefused):
            getattr(hotel.signoff, verdict)(seen, by="ana")
    assert hotel.resume().status == "pending_approval"
    assert hotel.effects == BOOKED


def test_a_report_cannot_be_edited_only_sent_back(hotel: Hotel) -> None:
    ticket = hotel.run().tickets[0]
    assert not ticket.editable
    with pytest.raises(RevisionRefused, match="send it back with feedback"):
        hotel.signoff.revise(ticket, by="ana", args={"result": "Nothing at all."})
    assert standings(hotel) == ["pending"]


def test_a_comment_on_what_was_done_makes_no_other_report_of_it(hotel: Hotel) -> None:
    ticket = hotel.run().tickets[0]
    hotel.signoff.approve(ticket, by="ana")
    hotel.signoff.comment(ticket.args["actions"][0]["ticket"], by="cem", text="a nice room")
    assert hotel.resume().status == "completed"
    assert standings(hotel) == ["executed"]


def test_whoever_comments_after_it_was_sent_back_has_not_sent_it_back(hotel: Hotel) -> None:
    ticket = hotel.run().tickets[0]
    hotel.signoff.revise(ticket, by="ana", feedback="one more")
    hotel.signoff.comment(ticket, by="cem", text="I would have approved it")
    hotel.model = type(hotel.model)([*BOOKS, "I cannot."])
    run = hotel.resume()
    assert [m.text for m in run.output["messages"] if m.text.startswith("ana has looked")]


# Again: replays and forks ---------------------------------------------------------------------------------------------------


def test_a_replay_of_an_approved_review_is_answered_from_the_record(hotel: Hotel) -> None:
    hotel = approving(hotel)
    hotel.signoff.approve(hotel.run().tickets[0], by="ana")
    hotel.resume()
    for snapshot in list(hotel.graph.get_state_history(hotel.config)):
        if snapshot.next in (("outcome",), ("publish",)):
            hotel.graph.invoke(None, snapshot.config)
    assert [effect for effect in hotel.effects if effect != "publish"] == [*BOOKED, "sealed"]
    assert not hotel.signoff.pending()


def before_review(hotel: Hotel) -> Any:
    """The checkpoint at which the review was next, the oldest."""
    history = hotel.graph.get_state_history(hotel.config)
    return [snapshot.config for snapshot in history if snapshot.next == ("outcome",)][-1]


def test_a_fork_with_the_same_actions_and_another_result_is_asked_anew(hotel: Hotel) -> None:
    hotel = approving(hotel)
    hotel.signoff.approve(hotel.run().tickets[0], by="ana")
    hotel.resume()
    fork = hotel.graph.update_state(before_review(hotel), {"messages": [AIMessage("It is all sold.")]}, as_node="agent")
    hotel.graph.invoke(None, fork)
    ticket = hotel.asked()
    assert (ticket.args["result"], ticket.args["actions"]) == ("It is all sold.", [])
    assert hotel.effects.count("sealed") == 1
    hotel.signoff.approve(ticket, by="ana")
    hotel.resume()
    assert hotel.effects.count("sealed") == 2


def test_a_fork_with_other_actions_is_asked_for_those(hotel: Hotel) -> None:
    hotel.signoff.approve(hotel.run().tickets[0], by="ana")
    hotel.resume()
    call = {"name": "book", "args": {"room": "9"}, "id": "other"}
    history = [s.config for s in hotel.graph.get_state_history(hotel.config) if s.next == ("tools",)]
    fork = hotel.graph.update_state(history[0], {"messages": [AIMessage("", tool_calls=[call])]}, as_node="agent")
    hotel.graph.invoke(None, fork)
    ticket = hotel.asked()
    assert rooms(ticket) == ["9"]
    hotel.signoff.reject(ticket, by="ana")
    hotel.resume()
    assert [effect for effect in hotel.effects if effect.startswith("cancel")] == ["cancel b-9"]


def test_a_fork_while_a_review_waits_is_asked_for_all_that_was_done(hotel: Hotel) -> None:
    hotel.run()
    call = {"name": "book", "args": {"room": "9"}, "id": "other"}
    history = [s.config for s in hotel.graph.get_state_history(hotel.config) if s.next == ("tools",)]
    fork = hotel.graph.update_state(history[0], {"messages": [AIMessage("", tool_calls=[call])]}, as_node="agent")
    hotel.graph.invoke(None, fork)
    assert rooms(hotel.asked()) == ["1", "2", "9"]
    assert standings(hotel) == ["withdrawn", "pending"]


def test_a_replay_of_a_rejected_review_undoes_nothing_again(hotel: Hotel) -> None:
    hotel.rejected()
    for snapshot in list(hotel.graph.get_state_history(hotel.config)):
        if snapshot.next in ((), ("outcome",)):
            hotel.graph.invoke(None, snapshot.config)
    assert hotel.effects == UNDONE
    assert not hotel.signoff.pending()


# New input in between ---------------------------------------------------------------------------------------------------------


def test_new_input_while_a_review_waits_makes_the_next_one_report_both(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path, [*BOOKS, [("book", {"room": "3"})], "A third."])
    hotel.run()
    run = hotel.run("And a third")
    assert rooms(run.tickets[0]) == ["1", "2", "3"]
    hotel.signoff.reject(run.tickets[0], by="ana")
    hotel.resume()
    assert hotel.effects == [*BOOKED, "book 3", "cancel b-3", "cancel b-2", "cancel b-1"]


def test_a_rollback_that_was_ordered_is_done_though_the_thread_went_on_without_it(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path, [*BOOKS, [("book", {"room": "3"})], "A third."])
    hotel.signoff.reject(hotel.run().tickets[0], by="ana")
    run = hotel.run("And a third")
    assert hotel.effects == [*BOOKED, "book 3", "cancel b-2", "cancel b-1"]
    assert rooms(run.tickets[0]) == ["3"]
    assert [len(t.rollback.undone) for t in reviews(hotel) if t.rollback] == [2]


def test_a_rollback_that_waits_is_finished_after_new_input(tmp_path: Path) -> None:
    fails = [True]

    def cancel(done: Done) -> str:
        if done.args["room"] == "1" and fails:
            fails.pop()
            raise ConnectionError("no answer")
        return hotel.cancel(done)

    hotel = Hotel(tmp_path, [*BOOKS, "Anything else?"], undo={"book": cancel})
    assert hotel.rejected().status == "pending_approval"
    run = hotel.run("Never mind")
    assert [ticket.tool for ticket in run.tickets] == ["undo_book"]
    hotel.signoff.approve(run.tickets[0], by="ana")
    [ticket] = hotel.resume().tickets
    assert (hotel.effects, ticket.args["actions"]) == (UNDONE, [])


def test_another_graph_leaves_the_rollback_to_the_one_that_knows_how(hotel: Hotel) -> None:
    hotel.graph = hotel.builder().compile(checkpointer=SqliteSaver(hotel.db), name="first")
    hotel.signoff.reject(hotel.run().tickets[0], by="ana")
    other = Hotel(hotel.path, ["Nothing."], undo={"pay": hotel.cancel})
    other.run(graph=other.builder().compile(checkpointer=InMemorySaver(), name="second"))
    assert hotel.effects == BOOKED
    hotel.resume()
    assert hotel.effects == UNDONE


# Where branches meet, and rounds ----------------------------------------------------------------------------------------------


class Work(TypedDict, total=False):
    messages: Annotated[list[Any], operator.add]
    round: int


BRANCHES = POLICY + "".join(
    f"  {name}: {{risk: {{reversible: true}}, otherwise: review}}\n" for name in ("left", "right")
)


def test_a_review_where_branches_meet_waits_for_both_and_reports_both(tmp_path: Path) -> None:
    hotel = Hotel(
        tmp_path, policy=BRANCHES.replace("right: {risk: {reversible: true}", "right: {risk: {reversible: false}")
    )

    def branch(name: str) -> Any:
        undo: Any = lambda done: hotel.effect(f"un{done.tool}")  # noqa: E731  # the undo of both
        gate = hotel.signoff.gate(name, action=lambda state: {"side": name}, undo=undo)
        return gate(lambda state: hotel.effect(name))

    builder = StateGraph(Work)
    for name in ("left", "right"):
        builder.add_node(name, branch(name)).add_edge(START, name)
    builder.add_node("outcome", hotel.signoff.outcome_review("outcome", back_to="left"))
    hotel.graph = builder.add_edge(["left", "right"], "outcome").compile(checkpointer=SqliteSaver(hotel.db))
    run = hotel.signoff.run(hotel.graph, {"messages": []}, thread_id="t-1")
    assert [ticket.tool for ticket in run.tickets] == ["right"]
    assert hotel.effects == ["left"]
    hotel.signoff.approve(run.tickets[0], by="ana")
    [ticket] = hotel.resume().tickets
    assert {action["tool"] for action in ticket.args["actions"]} == {"left", "right"}
    hotel.signoff.reject(ticket, by="ana")
    hotel.resume()
    assert hotel.effects == ["left", "right", "unright", "unleft"]


@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_a_review_inside_a_subgraph_goes_on_and_rolls_back_there(hotel: Hotel, verdict: str) -> None:
    outer = StateGraph(MessagesState).add_node("hotel", hotel.builder().compile()).add_edge(START, "hotel")
    outer.add_node("after", lambda state: hotel.effect("after")).add_edge("hotel", "after")
    hotel.graph = outer.compile(checkpointer=SqliteSaver(hotel.db))
    getattr(hotel.signoff, verdict)(hotel.run().tickets[0], by="ana")
    assert hotel.resume().status == "completed"
    assert hotel.effects == [*([*BOOKED, "publish"] if verdict == "approve" else UNDONE), "after"]


def test_rounds_are_counted_to_the_last_and_the_goal_stays_what_it_was(tmp_path: Path) -> None:
    policy = POLICY.replace("max_revisions: 1", "max_revisions: 2")
    more = [line for n in (3, 4) for line in ([("book", {"room": str(n)})], f"{n} rooms.")]
    hotel = Hotel(tmp_path, [*BOOKS, *more], policy)
    hotel.run()
    for number in (1, 2):
        ticket = hotel.asked()
        assert (ticket.args["goal"], len(rooms(ticket))) == ("Book two rooms", number + 1)
        hotel.signoff.revise(ticket, by="ana", feedback="one more")
        hotel.resume()
    ticket = hotel.asked()
    assert (ticket.args["goal"], rooms(ticket)) == ("Book two rooms", ["1", "2", "3", "4"])
    with pytest.raises(DecisionRefused, match="round 3"):
        hotel.signoff.revise(ticket, by="ana", feedback="and one more")
    hotel.signoff.approve(ticket, by="ana")
    hotel.resume()
    assert standings(hotel) == ["returned", "returned", "executed"]


def test_a_review_that_is_asked_anew_stays_in_its_round(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path, [*BOOKS, "Two good rooms."])
    first = hotel.run().tickets[0]
    hotel.signoff.revise(first, by="ana", feedback="better ones")
    second = hotel.resume().tickets[0]
    hotel.graph.update_state(hotel.config, {"messages": [AIMessage("Two fine rooms.")]}, as_node="agent")
    hotel.graph.invoke(None, hotel.config)
    assert hotel.signoff.ticket(second.id).standing is Standing.WITHDRAWN
    third = hotel.asked()
    assert third.previous == first.id
    with pytest.raises(DecisionRefused, match="round 2"):
        hotel.signoff.revise(third, by="ana", feedback="and better")


def test_two_graphs_on_one_thread_are_each_asked_for_what_nobody_has_looked_at(hotel: Hotel) -> None:
    hotel.run()
    other = Hotel(hotel.path, [[("book", {"room": "3"})], "A third."], undo=hotel.undo)
    other.graph = other.builder().compile(checkpointer=InMemorySaver(), name="other")
    run = other.run("And a third")
    assert rooms(run.tickets[0]) == ["1", "2", "3"]
    hotel.signoff.approve(run.tickets[0], by="ana")
    other.resume()
    # What the first graph says of it nobody has seen yet.
    ticket = hotel.resume().tickets[0]
    assert (ticket.args["result"], ticket.args["actions"]) == ("Two rooms.", [])


# What was done, and how it stands ---------------------------------------------------------------------------------------------


class Awkward(Hotel):
    """A hotel whose first room makes trouble."""

    def __init__(self, path: Path, trouble: Any) -> None:
        self.trouble = trouble
        super().__init__(path, [[("book", {"room": "1"}), ("book", {"room": "2"})], "Done."])

    def book(self, room: str) -> dict[str, str]:
        """Books a room."""
        booked = super().book(room)
        if room == "1":
            self.trouble()
        return booked


def fail() -> None:
    raise ValueError("the line is dead")


def test_what_failed_is_reported_as_a_risk_and_left_to_a_person(tmp_path: Path) -> None:
    hotel = Awkward(tmp_path, fail)
    run = hotel.run()
    while run.status == "failed":
        run = hotel.resume()
    ticket = hotel.asked()
    assert any("failed" in risk for risk in ticket.args["open_risks"])
    hotel.signoff.reject(ticket, by="ana")
    hotel.resume()
    [done] = hotel.rolled
    assert [left.why for left in done.left] == ["it failed, and nobody knows what it left behind"]
    assert hotel.effects[2:] == ["cancel b-2"]


def test_what_still_runs_when_the_review_comes_is_left_to_a_person(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path, [[("book", {"room": "1"})], "Done.", [("book", {"room": "2"})], "Done."])
    enters, leaves = threading.Event(), threading.Event()

    def slow(room: str) -> dict[str, str]:
        """Books a room."""
        enters.set()
        leaves.wait(20)
        return Hotel.book(hotel, room)

    slow.__name__ = "book"
    builder = StateGraph(MessagesState).add_node("agent", hotel.think)
    builder.add_node("tools", hotel.signoff.tool_node([slow], undo=hotel.undo))
    builder.add_node("outcome", hotel.signoff.outcome_review("outcome", back_to="agent"))
    builder.add_edge(START, "agent").add_edge("tools", "agent").add_conditional_edges("agent", hotel.way("outcome"))
    other = builder.compile(checkpointer=InMemorySaver())
    running = threading.Thread(target=lambda: other.invoke({"messages": [("user", "Go")]}, hotel.config))
    running.start()
    assert enters.wait(20)
    call = {"name": "book", "args": {"room": "2"}, "id": "mine"}
    hotel.graph.invoke({"messages": [("user", "Go"), AIMessage("", tool_calls=[call])]}, hotel.config)
    ticket = hotel.asked()
    assert any("still running" in risk for risk in ticket.args["open_risks"])
    hotel.signoff.reject(ticket, by="ana")
    hotel.graph.invoke(None, hotel.config)
    leaves.set()
    running.join()
    [done] = hotel.rolled
    assert [left.why for left in done.left] == ["it is still running"]
    assert "cancel b-1" not in hotel.effects


def test_what_is_in_doubt_is_said_and_left(tmp_path: Path) -> None:
    def dies() -> None:
        raise KeyboardInterrupt

    hotel = Awkward(tmp_path, dies)
    with pytest.raises(KeyboardInterrupt):
        hotel.run()
    assert hotel.resume().status == "in_doubt"
    hotel.clock.advance(days=2)
    ticket = hotel.resume().tickets[0]
    assert any(risk.startswith("nobody knows whether") for risk in ticket.args["open_risks"])
    hotel.signoff.reject(ticket, by="ana")
    hotel.resume()
    [done] = hotel.rolled
    assert [left.why for left in done.left] == ["nobody knows whether it happened"]


def test_what_somebody_else_has_undone_is_reported_as_undone_and_not_undone_again(hotel: Hotel) -> None:
    first = hotel.run().tickets[0]
    heart = hotel.signoff.heart(None, None)
    case = hotel.signoff.desk.case(first.args["actions"][1]["ticket"])
    drive(rollback(heart, [case], admit=heart.rule))
    assert hotel.effects == UNDONE[:3]
    hotel.signoff.approve(first, by="ana")
    second = hotel.resume().tickets[0]
    assert ["undone" in action for action in second.args["actions"]] == [False, True]
    assert "executed, undone" in to_markdown(second.args)
    hotel.signoff.reject(second, by="ana")
    hotel.resume()
    assert hotel.effects == UNDONE


# What only an approval may do -----------------------------------------------------------------------------------------------


def test_what_an_approval_does_may_fail_and_is_not_done_again(tmp_path: Path) -> None:
    hotel, tries = Hotel(tmp_path), list[int]()

    def seal(state: MessagesState) -> None:
        tries.append(1)
        raise ValueError("no wax")

    hotel = Hotel(tmp_path, review={"approved": seal})
    hotel.signoff.approve(hotel.run().tickets[0], by="ana")
    assert hotel.resume().status == "failed"
    assert hotel.resume().status == "completed"
    assert (len(tries), hotel.effects) == (1, BOOKED)
    assert "failed" in hotel.rolled[0].left[0].why


def test_what_an_approval_does_may_ask_something_itself(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path)

    def seal(state: MessagesState) -> None:
        hotel.effect(f"sealed with {interrupt('which seal?')}")

    hotel = Hotel(tmp_path, review={"approved": seal})
    hotel.signoff.approve(hotel.run().tickets[0], by="ana")
    run = hotel.resume()
    [(id_, question)] = run.questions.items()
    assert question == "which seal?"
    hotel.signoff.resume(hotel.graph, thread_id="t-1", answers={id_: "the red one"})
    assert hotel.effects == [*BOOKED, "sealed with the red one", "publish"]


# Erasure ----------------------------------------------------------------------------------------------------------------------


def test_a_rejected_review_that_is_erased_is_rolled_back_all_the_same(hotel: Hotel) -> None:
    ticket = hotel.run().tickets[0]
    hotel.signoff.reject(ticket, by="ana")
    hotel.signoff.erase(ticket, by="ana", reason="asked for")
    assert hotel.resume().status == "completed"
    assert hotel.effects == UNDONE
    assert len(hotel.rolled[0].undone) == 2


def test_an_approved_review_that_is_erased_brings_nothing_back_to_be_reviewed(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path, [*BOOKS, [("book", {"room": "3"})], "A third."])
    ticket = hotel.run().tickets[0]
    hotel.signoff.approve(ticket, by="ana")
    hotel.resume()
    hotel.signoff.erase(ticket, by="ana", reason="asked for")
    hotel.graph.invoke(None, before_review(hotel))
    assert not hotel.signoff.pending()
    assert rooms(hotel.run("And a third").tickets[0]) == ["3"]


def test_an_action_that_is_erased_while_its_review_waits_is_reported_without_its_contents(hotel: Hotel) -> None:
    ticket = hotel.run().tickets[0]
    hotel.signoff.approve(ticket, by="ana")
    hotel.signoff.erase(ticket.args["actions"][0]["ticket"], by="ana", reason="asked for")
    new = hotel.resume().tickets[0]
    assert new.id != ticket.id
    assert [action["args"] for action in new.args["actions"]] == [{}, {"room": "2"}]


# What the policy and the arguments hold ------------------------------------------------------------------------------------------


PEOPLE = "people: {ana: {groups: [money]}, cem: {groups: [CEM]}, eve: {groups: [law]}}\n"
QUEUES = """
queues:
  money: {owner: ana, reviewers: ["group:money"], backup: [ana]}
  law: {owner: eve, reviewers: ["group:law"], window: 1h, backup: [eve]}
"""
AT_ONCE = [[("book", {"room": "1"}), ("ring", {"room": "1"})], "Done."]


def in_two_queues(groups: str) -> str:
    """A policy under which bookings are money's, rings are law's, and cem is in these groups."""
    money = "book: {risk: {reversible: true}, otherwise: {then: review, queue: money}}"
    rings = "ring: {risk: {reversible: true}, otherwise: {then: review, queue: law}}"
    policy = POLICY.replace("version: 1\n", f"version: 1\n{PEOPLE.replace('CEM', groups)}{QUEUES}")
    policy = policy.replace("book: {risk: {reversible: true}, otherwise: review}", money)
    return policy.replace("ring: {otherwise: {then: allow, record: true}}", rings)


def test_reviews_that_were_put_off_in_several_queues_need_all_of_them_at_the_end(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path, AT_ONCE, in_two_queues("money, law"))
    assert hotel.signoff.check(hotel.graph) == []
    ticket = hotel.run().tickets[0]
    assert ticket.requirements.window.total_seconds() == 3600
    for by in ("ana", "eve"):
        with pytest.raises(DecisionRefused):
            hotel.signoff.approve(ticket, by=by)
    hotel.signoff.approve(ticket, by="cem")
    assert hotel.resume().status == "completed"


def test_a_review_that_nobody_could_decide_is_warned_of_before_it_is_needed(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path, AT_ONCE, in_two_queues("money"))
    [warning] = hotel.signoff.check(hotel.graph)
    assert "too few people may decide what is put off to it together (book, ring)" in warning
    with pytest.warns(UserWarning, match="too few people"):
        hotel.run()
    hotel.clock.advance(hours=2)
    with pytest.warns(UserWarning, match="too few people"):
        assert hotel.resume().status == "completed"
    assert standings(hotel) == ["expired"]


def test_a_policy_that_lets_outcomes_pass_still_asks_for_what_was_put_off_in_its_queue(tmp_path: Path) -> None:
    policy = (
        POLICY.replace("outcome: {otherwise: {then: review, window: 2h, max_revisions: 1}}", "outcome: allow")
        .replace(
            "{risk: {reversible: true}, otherwise: review}",
            "{risk: {reversible: true}, otherwise: {then: review, queue: money, window: 9h}}",
        )
        .replace("version: 1\n", "version: 1\nqueues: {money: {}}\n")
    )
    hotel = Hotel(tmp_path, policy=policy)
    ticket = hotel.run().tickets[0]
    assert (ticket.queue, ticket.reason_code) == ("money", "put_off")
    assert ticket.requirements.window.total_seconds() == 9 * 3600


def test_what_the_policy_hides_of_an_action_hides_nothing_else_of_the_report(tmp_path: Path) -> None:
    policy = POLICY.replace("book: {", "book: {redact: [args.goal, args.actions, args.result], ")
    ticket = Hotel(tmp_path, policy=policy).run().tickets[0]
    assert (ticket.args["goal"], rooms(ticket)) == ("Book two rooms", ["1", "2"])


def test_a_run_of_more_actions_than_a_page_holds_is_reported_whole(hotel: Hotel) -> None:
    policy = (hotel.signoff.policy.version, hotel.signoff.policy.document)
    many = [opening({"room": str(n)}, mode="allow", record=True, tool="ring", thread_id="t-1") for n in range(1100)]
    hotel.signoff.desk.open(many, policy=policy)
    ticket = hotel.run().tickets[0]
    assert [int(room) for room in rooms(ticket)[:1100]] == list(range(1100))
    assert rooms(ticket)[1100:] == ["1", "2"]


class Noting(Hotel):
    """A hotel that takes notes of anything."""

    def look(self, amount: Any = None) -> str:  # type: ignore[override]  # it takes more
        """Notes."""
        return str(amount)


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), {"a": [None]}], ids=repr)
def test_arguments_that_canonical_json_cannot_hold_are_reported_all_the_same(tmp_path: Path, amount: Any) -> None:
    hotel = Noting(tmp_path, [[("look", {"amount": amount})], "Noted."], POLICY.replace("look: allow", "look: review"))
    hotel.signoff.approve(hotel.run().tickets[0], by="ana")
    ticket = hotel.resume().tickets[0]
    assert (ticket.kind, len(ticket.args["actions"])) == ("outcome", 1)
    hotel.signoff.approve(ticket, by="ana")
    assert hotel.resume().status == "completed"

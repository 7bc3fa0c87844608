"""The gate after the work: one report of what a run did, approved, sent back or rolled back as a whole."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph

from cli_support import Desk
from hotel import BOOKS, POLICY, Hotel
from langgraph_signoff import DecisionRefused, Done, Query, Standing
from langgraph_signoff.justification import to_markdown


@pytest.fixture
def hotel(tmp_path: Path) -> Hotel:
    return Hotel(tmp_path)


def test_reversible_actions_run_and_one_ticket_asks_for_all_of_them(hotel: Hotel) -> None:
    run = hotel.run()
    assert run.status == "pending_approval"
    [ticket] = run.tickets
    assert (ticket.kind, ticket.tool) == ("outcome", "outcome")
    assert hotel.effects == ["book 1", "book 2"]
    assert ticket.args["goal"] == "Book two rooms"
    assert ticket.args["result"] == "Two rooms."
    assert [action["args"] for action in ticket.args["actions"]] == [{"room": "1"}, {"room": "2"}]
    assert ticket.args["open_risks"] == []
    assert ticket.description == "2 of 2 actions ran, no open risks. For: Book two rooms"
    hotel.signoff.approve(ticket, by="ana")
    assert hotel.resume().status == "completed"
    assert hotel.effects == ["book 1", "book 2", "publish"]
    assert hotel.signoff.verify().is_whole


def test_rejecting_the_outcome_undoes_the_run_and_nothing_is_published(hotel: Hotel) -> None:
    hotel.signoff.reject(hotel.run().tickets[0], by="ana", reason="the wrong hotel")
    assert hotel.resume().status == "completed"
    assert hotel.effects == ["book 1", "book 2", "cancel b-2", "cancel b-1"]
    [done] = hotel.rolled
    assert (len(done.undone), done.left) == (2, ())
    [review] = hotel.signoff.find(Query(tool="outcome"))
    assert review.rollback == done
    assert "rolled_back" in [entry.kind for entry in hotel.signoff.history(review)]


def test_sent_back_the_agent_goes_on_with_the_words_and_is_reviewed_again(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path, [*BOOKS, [("book", {"room": "3"})], "Three rooms."])
    hotel.signoff.revise(hotel.run().tickets[0], by="ana", feedback="one more, please")
    run = hotel.resume()
    [ticket] = run.tickets
    assert hotel.effects == ["book 1", "book 2", "book 3"]
    assert len(ticket.args["actions"]) == 3
    assert ticket.previous is not None
    assert "one more, please" in [m.text for m in run.output["messages"] if m.type == "human"][-1]
    with pytest.raises(DecisionRefused, match="round 2"):
        hotel.signoff.revise(ticket, by="ana", feedback="and another")
    hotel.signoff.reject(ticket, by="ana")
    hotel.resume()
    assert hotel.effects[3:] == ["cancel b-3", "cancel b-2", "cancel b-1"]


def test_silence_approves_nothing_and_undoes_nothing(hotel: Hotel) -> None:
    hotel.run()
    hotel.clock.advance(hours=3)
    assert hotel.resume().status == "completed"
    assert hotel.effects == ["book 1", "book 2"]
    assert [left.why for left in hotel.rolled[0].left] == ["the outcome was not approved: expired"] * 2


def test_what_cannot_be_undone_is_asked_for_before_it_runs(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path, [[("book", {"room": "1"}), ("pay", {"amount": 5.0})], "Paid."])
    run = hotel.run()
    assert [ticket.tool for ticket in run.tickets] == ["pay"]
    assert hotel.effects == []
    hotel.signoff.approve(run.tickets[0], by="ana")
    [ticket] = hotel.resume().tickets
    assert ticket.kind == "outcome"
    assert any("pay" in risk and "cannot be undone" in risk for risk in ticket.args["open_risks"])
    hotel.signoff.reject(ticket, by="ana")
    hotel.resume()
    [done] = hotel.rolled
    assert [left.tool for left in done.left] == ["pay"]
    assert hotel.effects[-1] == "cancel b-1"


def test_a_review_needs_what_the_reviews_needed_that_were_put_off(tmp_path: Path) -> None:
    policy = POLICY.replace("book: {risk: {reversible: true}, otherwise: review}", BY_TWO)
    hotel = Hotel(tmp_path, policy=policy.replace("version: 1", "version: 1" + PEOPLE))
    [ticket] = hotel.run().tickets
    assert ticket.requirements.approvals == 2
    assert ticket.requirements.reviewers == (("group:finance",),)
    with pytest.raises(DecisionRefused):
        hotel.signoff.approve(ticket, by="eve")
    hotel.signoff.approve(ticket, by="ana")
    assert hotel.resume().status == "pending_approval"
    hotel.signoff.approve(hotel.asked(), by="cem")
    assert hotel.resume().status == "completed"


BY_TWO = "book: {risk: {reversible: true}, otherwise: {then: review, queue: money, approvals: 2}}"
PEOPLE = """
people: {ana: {groups: [finance]}, cem: {groups: [finance]}, eve: {}}
queues: {money: {owner: ana, reviewers: ["group:finance"], backup: [ana]}}
"""


def test_silence_on_a_review_calls_nothing_that_silence_on_a_call_would_call(tmp_path: Path) -> None:
    calls = "otherwise: {then: review, on_timeout: {tool: look}}"
    policy = POLICY.replace("{reversible: true}, otherwise: review", f"{{reversible: true}}, {calls}")
    for review in ("allow", "{then: review, window: 2h}"):
        (tmp_path / review[1:5]).mkdir()
        rule = f"outcome: {{otherwise: {review}}}\n"
        hotel = Hotel(tmp_path / review[1:5], policy=policy[: policy.index("outcome:")] + rule)
        [ticket] = hotel.run().tickets
        assert (ticket.reason_code, ticket.requirements.on_timeout) == (
            "put_off" if review == "allow" else "default_review",
            "deny",
        )


def test_the_next_run_is_reviewed_for_what_it_did_itself(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path, [*BOOKS, [("book", {"room": "3"})], "A third."])
    hotel.signoff.approve(hotel.run().tickets[0], by="ana")
    hotel.resume()
    [ticket] = hotel.run("And a third").tickets
    assert [action["args"]["room"] for action in ticket.args["actions"]] == ["3"]
    assert ticket.args["goal"] == "And a third"


def test_a_policy_can_let_a_run_pass_that_did_nothing_of_note(tmp_path: Path) -> None:
    rule = 'outcome: {rules: [{when: "size(args.actions) == 0", then: allow}], otherwise: {then: review}}'
    hotel = Hotel(tmp_path, [[("look", {})], "Nice."], POLICY[: POLICY.index("  outcome:")] + f"  {rule}\n")
    assert hotel.run().status == "completed"
    assert hotel.effects == ["publish"]


def test_the_report_tells_of_every_action_those_too_that_the_policy_lets_run_unrecorded(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path, [[("look", {})], [("book", {"room": "1"}), ("look", {})], "Booked."])
    [ticket] = hotel.run().tickets
    assert [action["tool"] for action in ticket.args["actions"]] == ["book"]
    told = [(action["tool"], action["standing"], action["result"]) for action in ticket.args["allowed"]]
    assert told == [("look", "executed", "nice")] * 2
    assert "## Allowed without asking\n\n1. **look** executed" in to_markdown(ticket.args)
    assert not any("look" in risk for risk in ticket.args["open_risks"])
    hotel.signoff.reject(ticket, by="ana")
    hotel.resume()
    assert (hotel.effects, hotel.rolled[0].left) == (["book 1", "cancel b-1"], ())


def test_where_no_review_follows_an_allowed_call_leaves_no_record(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path, [[("look", {})], "Nice."])
    builder = StateGraph(MessagesState)
    builder.add_node("agent", hotel.think)
    builder.add_node("tools", hotel.tools())
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", hotel.way(END))
    builder.add_edge("tools", "agent")
    assert hotel.run(graph=builder.compile(checkpointer=SqliteSaver(hotel.db))).status == "completed"
    assert hotel.signoff.find(Query()) == []


def test_a_rollback_that_was_cut_off_goes_on_where_it_was(hotel: Hotel, monkeypatch: pytest.MonkeyPatch) -> None:
    hotel.signoff.reject(hotel.run().tickets[0], by="ana")

    def dies(done: Done) -> str:
        if done.args["room"] == "1":
            raise KeyboardInterrupt
        return hotel.cancel(done)

    hotel.undo["book"] = dies
    with pytest.raises(KeyboardInterrupt):
        hotel.resume()
    hotel.undo["book"] = hotel.cancel
    run = hotel.resume()
    assert run.status == "in_doubt"
    hotel.signoff.settle(run.tickets[0], "did_not_happen", by="ana")
    assert hotel.resume().status == "completed"
    assert hotel.effects == ["book 1", "book 2", "cancel b-2", "cancel b-1"]
    assert [len(done.undone) for done in hotel.rolled] == [2]


def test_an_undo_that_fails_stops_and_asks_in_the_run(hotel: Hotel) -> None:
    hotel.signoff.reject(hotel.run().tickets[0], by="ana")
    tries: list[str] = []

    def flaky(done: Done) -> str:
        tries.append(done.args["room"])
        if len(tries) == 1:
            raise ConnectionError("no answer")
        return hotel.cancel(done)

    hotel.undo["book"] = flaky
    run = hotel.resume()
    assert (run.status, tries) == ("pending_approval", ["2"])
    [ticket] = run.tickets
    assert (ticket.kind, ticket.reason_code) == ("undo", "undo_failed")
    hotel.signoff.approve(ticket, by="ana")
    assert hotel.resume().status == "completed"
    assert tries == ["2", "2", "1"]


def test_a_report_that_changes_before_its_approval_is_used_is_asked_for_anew(hotel: Hotel) -> None:
    ticket = hotel.run().tickets[0]
    hotel.signoff.approve(ticket, by="ana")
    # Somebody else does something in the same thread before the approved run goes on.
    other = hotel.signoff.run(
        hotel.builder().compile(checkpointer=SqliteSaver(sqlite3.connect(":memory:", check_same_thread=False))),
        {"messages": [("user", "Another")]},
        thread_id="t-1",
    )
    assert other.status == "pending_approval"
    run = hotel.resume()
    assert run.status == "pending_approval"
    assert "publish" not in hotel.effects
    assert len(hotel.asked().args["actions"]) == 4


async def test_an_async_graph_is_reviewed_and_rolled_back_too(hotel: Hotel, tmp_path: Path) -> None:
    async def acancel(done: Done) -> str:
        await asyncio.sleep(0)
        return hotel.cancel(done)

    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "a.db")) as saver:
        graph = hotel.builder().compile(checkpointer=saver)
        hotel.undo["book"] = acancel
        run = await hotel.signoff.arun(graph, {"messages": [("user", "Go")]}, thread_id="a-1")
        hotel.signoff.reject(run.tickets[0], by="ana")
        run = await hotel.signoff.aresume(graph, thread_id="a-1")
    assert run.status == "completed"
    assert hotel.effects == ["book 1", "book 2", "cancel b-2", "cancel b-1"]


@pytest.mark.parametrize("kind", ["none", "sync", "async"])
async def test_an_async_graph_is_approved_too(tmp_path: Path, kind: str) -> None:
    def seal(state: MessagesState) -> None:
        hotel.effect("sealed")

    async def aseal(state: MessagesState) -> None:
        seal(state)

    hotel = Hotel(tmp_path, review={"approved": {"none": None, "sync": seal, "async": aseal}[kind]})
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "a.db")) as saver:
        graph = hotel.builder().compile(checkpointer=saver)
        run = await hotel.signoff.arun(graph, {"messages": [("user", "Go")]}, thread_id="a-1")
        hotel.signoff.approve(run.tickets[0], by="ana")
        run = await hotel.signoff.aresume(graph, thread_id="a-1")
    assert run.status == "completed"
    assert hotel.effects == ["book 1", "book 2", *(["sealed"] if kind != "none" else []), "publish"]


def test_what_an_approval_does_is_not_passed_over_where_it_cannot_be_awaited(tmp_path: Path) -> None:
    async def seal(state: MessagesState) -> None:
        hotel.effect("sealed")

    hotel = Hotel(tmp_path, review={"approved": seal})
    hotel.signoff.approve(hotel.run().tickets[0], by="ana")
    run = hotel.resume()
    assert (run.status, hotel.effects) == ("failed", ["book 1", "book 2"])
    assert "aresume" in run.error


@pytest.mark.parametrize("name", ["goal", "result", "sent_back", "rejected"])
def test_what_only_tells_something_of_a_review_cannot_be_async(tmp_path: Path, name: str) -> None:
    async def tells(*_: Any) -> None: ...

    with pytest.raises(TypeError, match="tells of 'outcome' is async"):
        Hotel(tmp_path, review={name: tells})


def test_the_report_reads_as_markdown_and_no_action_can_forge_a_heading(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path, [[("book", {"room": "1`\n# Approved\n"})], "Done\n# All well"])
    [ticket] = hotel.run().tickets
    text = to_markdown(ticket.args)
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# Book two rooms",
        "## Result",
        "## Actions",
        "## Open risks",
    ]
    assert "> # All well" in text
    assert "report" in str(ticket)


def test_the_graph_is_explained_with_its_review(hotel: Hotel) -> None:
    assert "outcome: guarded (review)" in hotel.signoff.explain(hotel.graph)
    assert hotel.signoff.check(hotel.graph) == []


def test_a_review_that_no_entry_of_the_policy_names_is_no_cause_for_a_warning(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path, policy=POLICY[: POLICY.index("nodes:")])
    assert hotel.signoff.check(hotel.graph) == []
    assert hotel.run().tickets[0].kind == "outcome"


def test_two_resumes_of_a_rejected_run_undo_it_once(hotel: Hotel) -> None:
    hotel.signoff.reject(hotel.run().tickets[0], by="ana")
    hotel.resume()
    hotel.resume()
    config = {"configurable": {"thread_id": "t-1"}}
    for snapshot in list(hotel.graph.get_state_history(config)):
        if snapshot.next == ("outcome",):
            hotel.graph.invoke(None, snapshot.config)
    assert hotel.effects == ["book 1", "book 2", "cancel b-2", "cancel b-1"]
    assert {t.standing for t in hotel.signoff.find(Query(tool="undo_book"))} == {Standing.EXECUTED}


def test_the_report_is_printed_for_a_file_and_only_of_a_run_s_outcome(hotel: Hotel) -> None:
    [ticket] = hotel.run().tickets
    desk = Desk(hotel.path)
    assert desk.run("report", ticket.id).out.startswith("# Book two rooms\n")
    assert desk.run("report", ticket.id, "--json").json["goal"] == "Book two rooms"
    booked = hotel.signoff.find(Query(tool="book"))[0]
    refused = desk.run("report", booked.id)
    assert refused.code == 3
    assert "asks for no run's outcome" in refused.err

"""A review that is put off must come: what runs before anybody is asked runs only where a review of the outcome stands ahead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from hotel import POLICY, Hotel
from langgraph_signoff import Advice, Query, Standing
from langgraph_signoff.middleware import SignoffMiddleware
from support import opening

GO: dict[str, Any] = {"messages": [("user", "Book two rooms")]}
STEP = "  ship: {risk: {reversible: true}, otherwise: review}\n"


@pytest.fixture
def hotel(tmp_path: Path) -> Hotel:
    return Hotel(tmp_path)


def without_review(hotel: Hotel, tools: Any = None, name: str = "tools") -> Any:
    """Another graph of the same Signoff, which ends without a review."""
    builder = StateGraph(MessagesState).add_node("agent", hotel.think).add_node("tools", tools or hotel.tools())
    builder.add_edge(START, "agent").add_edge("tools", "agent").add_conditional_edges("agent", hotel.way(END))
    return builder.compile(checkpointer=InMemorySaver(), name=name)


def asks_first(hotel: Hotel, tool: str = "book") -> None:
    assert [(ticket.tool, ticket.standing) for ticket in hotel.signoff.find(Query())] == [(tool, Standing.PENDING)]
    assert hotel.effects == []


def puts_off(hotel: Hotel, *tools: str) -> None:
    assert [ticket.tool for ticket in hotel.signoff.pending()] == ["outcome"]
    assert {t.tool for t in hotel.signoff.find(Query(standings=(Standing.EXECUTED,)))} == set(tools or ["book"])


# Where a review stands ahead ----------------------------------------------------------------------------------------------


def test_a_graph_without_a_review_asks_first_though_another_one_of_the_signoff_has_it(hotel: Hotel) -> None:
    assert hotel.run(graph=without_review(hotel)).status == "pending_approval"
    asks_first(hotel)


def test_a_graph_that_nobody_has_checked_asks_first_too(hotel: Hotel) -> None:
    without_review(hotel).invoke(GO, hotel.config)
    asks_first(hotel)


def test_a_gated_copy_of_a_graph_without_a_review_asks_first(hotel: Hotel) -> None:
    bare = without_review(hotel, ToolNode([hotel.book]))
    hotel.signoff.insert(bare).invoke(GO, hotel.config)
    asks_first(hotel)


def test_an_agent_without_a_review_asks_first(hotel: Hotel) -> None:
    gate = SignoffMiddleware(hotel.signoff)
    agent = create_agent(hotel.model, [hotel.book], middleware=[gate], checkpointer=InMemorySaver())
    agent.invoke(GO, hotel.config)
    asks_first(hotel)


def test_a_node_without_a_review_asks_first(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path, policy=POLICY + STEP)
    ship = hotel.signoff.gate("ship", action=lambda state: {"what": "it"})(hotel.publish)
    graph = StateGraph(MessagesState).add_node("ship", ship).add_edge(START, "ship")
    graph.compile(checkpointer=InMemorySaver()).invoke(GO, hotel.config)
    asks_first(hotel, "ship")


def test_a_task_of_a_workflow_asks_first_for_a_workflow_has_no_review(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path, policy=POLICY + STEP)

    @hotel.signoff.guarded("ship")
    @task
    def ship(what: str) -> None:
        hotel.effect(f"ship {what}")

    @entrypoint(checkpointer=InMemorySaver())
    def flow(what: str) -> None:
        ship(what).result()

    assert hotel.signoff.run(flow, "it", thread_id="t-1").status == "pending_approval"
    asks_first(hotel, "ship")


def test_a_review_over_another_ledger_is_none_of_these_actions(hotel: Hotel, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Hotel(tmp_path / "other")
    builder = other.builder()
    builder.nodes["tools"] = hotel.builder().nodes["tools"]
    other.run(graph=builder.compile(checkpointer=InMemorySaver()))
    asks_first(hotel)


def test_a_thread_of_its_own_inside_a_reviewed_run_asks_first(hotel: Hotel) -> None:
    inner = without_review(hotel)

    def calls(state: MessagesState) -> None:
        inner.invoke(GO, {"configurable": {"thread_id": "t-2"}})

    builder = hotel.builder().add_node("calls", calls).add_edge(START, "calls")
    builder.compile(checkpointer=InMemorySaver()).invoke(GO, hotel.config)
    assert [ticket.tool for ticket in hotel.signoff.find(Query(thread_id="t-2"))] == ["book"]
    assert hotel.signoff.pending(thread_id="t-2")


@pytest.mark.parametrize("how", ["run", "invoke"])
def test_a_review_in_the_graph_around_is_a_review_of_its_subgraphs_too(hotel: Hotel, how: str) -> None:
    inner = StateGraph(MessagesState).add_node("agent", hotel.think).add_node("tools", hotel.tools())
    inner.add_edge(START, "agent").add_edge("tools", "agent").add_conditional_edges("agent", hotel.way(END))
    builder = StateGraph(MessagesState).add_node("inner", inner.compile()).add_node("publish", hotel.publish)
    builder.add_node("outcome", hotel.signoff.outcome_review("outcome", back_to="inner", then="publish"))
    graph = builder.add_edge(START, "inner").add_edge("inner", "outcome").compile(checkpointer=InMemorySaver())
    graph.invoke(GO, hotel.config) if how == "invoke" else hotel.run(graph=graph)
    puts_off(hotel)
    assert len(hotel.asked().args["actions"]) == 2


def test_an_agent_as_a_node_beside_a_review_is_reviewed_for_its_outcome(hotel: Hotel) -> None:
    gate = SignoffMiddleware(hotel.signoff, undo=hotel.undo)
    agent = create_agent(hotel.model, [hotel.book], middleware=[gate])
    builder = StateGraph(MessagesState).add_node("agent", agent).add_edge(START, "agent").add_edge("agent", "outcome")
    builder.add_node("outcome", hotel.signoff.outcome_review("outcome", back_to="agent"))
    hotel.graph = builder.compile(checkpointer=InMemorySaver())
    hotel.run()
    puts_off(hotel)
    hotel.signoff.reject(hotel.asked(), by="ana")
    hotel.resume()
    assert hotel.effects == ["book 1", "book 2", "cancel b-2", "cancel b-1"]


def test_a_node_and_a_task_beside_a_review_are_reported_and_undone(tmp_path: Path) -> None:
    policy = POLICY + STEP + STEP.replace("ship", "pack")
    hotel = Hotel(tmp_path, policy=policy)
    undo: Any = lambda done: hotel.effect(f"un{done.tool} {done.args['what']}")  # noqa: E731  # a name for both
    ship = hotel.signoff.gate("ship", action=lambda state: {"what": "it"}, undo=undo)(
        lambda state: hotel.effect("ship it")
    )

    @hotel.signoff.guarded("pack", undo=undo)
    @task
    def pack(what: str) -> None:
        hotel.effect(f"pack {what}")

    builder = StateGraph(MessagesState).add_node("packs", lambda state: pack("it").result()).add_node("ship", ship)
    builder.add_node("outcome", hotel.signoff.outcome_review("outcome", back_to="packs"))
    builder.add_edge(START, "packs").add_edge("packs", "ship").add_edge("ship", "outcome")
    hotel.graph = builder.compile(checkpointer=InMemorySaver())
    hotel.run()
    puts_off(hotel, "pack", "ship")
    hotel.signoff.reject(hotel.asked(), by="ana")
    hotel.resume()
    assert hotel.effects == ["pack it", "ship it", "unship it", "unpack it"]


# What is never put off ----------------------------------------------------------------------------------------------------


def test_what_comes_after_a_review_is_not_put_off_to_it(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path, policy=POLICY + STEP)
    builder = hotel.builder()
    del builder.nodes["publish"]
    builder.add_node("publish", hotel.signoff.gate("ship", action=lambda state: {"what": "it"})(hotel.publish))
    hotel.graph = builder.compile(checkpointer=InMemorySaver())
    hotel.signoff.approve(hotel.run().tickets[0], by="ana")
    assert [ticket.tool for ticket in hotel.resume().tickets] == ["ship"]
    assert hotel.effects == ["book 1", "book 2"]
    hotel.signoff.approve(hotel.asked(), by="ana")
    assert hotel.resume().status == "completed"
    assert hotel.effects == ["book 1", "book 2", "publish"]


def test_a_review_is_never_put_off_to_itself(tmp_path: Path) -> None:
    policy = POLICY.replace("outcome: {", "outcome: {risk: {reversible: true}, ")
    hotel = Hotel(tmp_path, [[("ring", {"room": "1"})], "Rung."], policy)
    assert hotel.run().status == "pending_approval"
    puts_off(hotel, "ring")
    assert hotel.effects == ["ring 1"]


def test_an_undo_is_never_put_off(tmp_path: Path) -> None:
    policy = POLICY.replace(
        "  look: allow", "  look: allow\n  undo_book: {risk: {reversible: true}, otherwise: review}"
    )
    hotel = Hotel(tmp_path, policy=policy)
    assert hotel.rejected().status == "pending_approval"
    assert [ticket.tool for ticket in hotel.signoff.pending()] == ["undo_book"]
    assert hotel.effects == ["book 1", "book 2"]


@pytest.mark.parametrize(
    ("book", "standing"),
    [
        ("{risk: {reversible: true}, otherwise: deny}", Standing.DENIED),
        (
            "{risk: {reversible: true}, rules: [{when: 'args.room > 1', then: deny}], otherwise: review}",
            Standing.PENDING,
        ),
        ("{risk: {reversible: true}, rules: [{when: 'args.floor > 1', then: review}]}", Standing.PENDING),
        ("{otherwise: review}", Standing.PENDING),
    ],
    ids=["denied", "a denial that cannot be evaluated", "doubt", "nothing says that it is reversible"],
)
def test_denied_and_doubtful_actions_are_not_put_off(tmp_path: Path, book: str, standing: Standing) -> None:
    hotel = Hotel(tmp_path, policy=POLICY.replace("{risk: {reversible: true}, otherwise: review}", book))
    hotel.run()
    assert {ticket.standing for ticket in hotel.signoff.find(Query(tool="book"))} == {standing}
    assert not [effect for effect in hotel.effects if effect.startswith("book")]


def test_an_undo_that_no_gate_declares_takes_nothing_back(tmp_path: Path) -> None:
    hotel = Hotel(
        tmp_path, policy=POLICY.replace("book: {risk: {reversible: true}", "book: {undo: true"), undo={"x": len}
    )
    with pytest.warns(UserWarning, match="no gate declares an undo"):
        hotel.run()
    asks_first(hotel)


def test_an_unlisted_tool_is_not_put_off(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path, policy=POLICY.replace("  book:", "  other:"))
    hotel.run()
    asks_first(hotel)


@pytest.mark.parametrize("advice", [Advice(mode="review"), "nonsense"], ids=["wants a person", "is nonsense"])
def test_what_an_advisor_doubts_is_asked_before_it_runs(tmp_path: Path, advice: Any) -> None:
    hotel = Hotel(tmp_path, advisors=[lambda action, ruling: advice if action.kind == "tool" else None])
    hotel.run()
    asks_first(hotel)


@pytest.mark.parametrize("earlier", [0, 1100])
def test_what_an_advisor_s_doubt_got_rejected_does_not_run_at_the_second_try_of_the_turn(
    tmp_path: Path, earlier: int
) -> None:
    script = [[("book", {"room": "1"})], [("book", {"room": "1"})], "Done."]
    once = [Advice(mode="review")]
    hotel = Hotel(tmp_path, script, advisors=[lambda action, ruling: once.pop() if once else None])
    many = [opening({}, mode="allow", record=True, tool="book", thread_id="t-1") for _ in range(earlier)]
    hotel.signoff.desk.open(many, policy=(hotel.signoff.policy.version, hotel.signoff.policy.document))
    hotel.signoff.reject(hotel.run().tickets[0], by="ana")
    hotel.resume()
    assert hotel.effects == []
    assert [t.reason_code for t in hotel.signoff.find(Query(standings=(Standing.DENIED,)))] == ["rejected_before"]


def test_an_edit_of_what_was_asked_first_is_not_put_off_either(tmp_path: Path) -> None:
    doubt: Any = lambda action, ruling: Advice(mode="review") if action.args.get("room") == "1" else None  # noqa: E731
    hotel = Hotel(tmp_path, [[("book", {"room": "1"})], "Done."], advisors=[doubt])
    [ticket] = hotel.run().tickets
    hotel.signoff.revise(ticket, by="ana", args={"room": "7"})
    hotel.resume()
    assert hotel.effects == ["book 7"]
    [action] = hotel.asked().args["actions"]
    assert (action["args"]["room"], len(action["decided_by"])) == ("7", 1)

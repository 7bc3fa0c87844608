"""Undoing what a run did: the newest first, each once, and never again without a person when it failed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import tool
from langgraph.errors import GraphInterrupt

from hotel import Hotel
from langgraph_signoff import Done, Query, Rollback, Signoff, Standing, Ticket, Undo
from langgraph_signoff.nodes.rollback import rollback
from langgraph_signoff.nodes.steps import adrive, drive
from support import Clock, agent

BOOKED = """
version: 1
tools:
  book: {otherwise: {then: allow, once: true}, redact: [args.card]}
  ring: {otherwise: {then: allow, once: true}}
"""


class Desk:
    """An agent that has booked rooms, and the effects of what it and its undoings did."""

    def __init__(self, path: Path, policy: str = BOOKED) -> None:
        self.path, self.effects, self.clock = path, list[str](), Clock()
        (path / "signoff.yaml").write_text(policy)
        self.signoff = self.again()
        self.fails = 0

    def again(self) -> Signoff:
        return Signoff(self.path / "signoff.db", policy=self.path / "signoff.yaml", clock=self.clock, lease=0.5)

    def book(self, room: str, card: str = "") -> dict[str, str]:
        """Books a room."""
        self.effects.append(f"book {room}")
        return {"booking": f"b-{room}"}

    def ring(self, room: str) -> str:
        """Rings in a room."""
        self.effects.append(f"ring {room}")
        return "rung"

    def cancel(self, done: Done) -> str:
        self.effects.append(f"cancel {done.result['booking']}")
        if self.fails:
            self.fails -= 1
            raise ConnectionError("the hotel does not answer")
        return "cancelled"

    def run(self, *calls: Any, undo: Any) -> None:
        with self._agent(calls, undo) as graph:
            assert self.signoff.run(graph, {"messages": [("user", "Go")]}, thread_id="t-1").status == "completed"

    @contextmanager
    def _agent(self, calls: Any, undo: Any) -> Iterator[Any]:
        tools = [self.book, self.ring]
        with agent(self.signoff, tools, [calls, "done"], threads=self.path / "threads.db") as graph:
            self.signoff.undoings.update(undo)
            yield graph

    def undo(self) -> Rollback:
        """Undoes all that ran, as from a script; raises GraphInterrupt where a person is waited for."""
        heart = self.signoff.heart(None, None)
        cases = [self.signoff.desk.case(ticket.id) for ticket in self.tickets("book", "ring")]
        return drive(rollback(heart, cases, admit=heart.rule))

    def tickets(self, *tools: str) -> list[Ticket]:
        return [ticket for tool in tools for ticket in self.signoff.find(Query(thread_id="t-1", tool=tool))]

    def waiting(self) -> Ticket:
        """The one ticket at which an undo waits."""
        with pytest.raises(GraphInterrupt):
            self.undo()
        [ticket] = self.signoff.pending(thread_id="t-1")
        return ticket


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_what_ran_is_undone_newest_first_each_once_and_on_record(desk: Desk) -> None:
    desk.run(("book", {"room": "1"}), ("book", {"room": "2"}), ("book", {"room": "3"}), undo={"book": desk.cancel})
    ran = [ticket.id for ticket in desk.tickets("book")]
    newest_first = desk.signoff.ledger.in_order(ran, "executed")[::-1]
    rooms = {ticket.id: ticket.args["room"] for ticket in desk.tickets("book")}
    done = desk.undo()
    assert desk.effects[3:] == [f"cancel b-{rooms[id_]}" for id_ in newest_first]
    assert done.undone == tuple(newest_first)
    assert desk.undo() == done
    assert len(desk.effects) == 6
    assert {ticket.kind for ticket in desk.tickets("undo_book")} == {"undo"}
    assert {ticket.standing for ticket in desk.tickets("undo_book")} == {Standing.EXECUTED}
    assert desk.signoff.verify().is_whole


def test_what_has_no_undo_is_left_for_a_person(desk: Desk) -> None:
    desk.run(("book", {"room": "1"}), ("ring", {"room": "1"}), undo={"book": desk.cancel})
    done = desk.undo()
    [left] = done.left
    assert (left.tool, left.why) == ("ring", "no undo is declared for it, or not the same at each of its gates")
    assert len(done.undone) == 1


def test_a_tool_undoes_with_the_arguments_it_is_given(desk: Desk) -> None:
    @tool
    def release_room(booking: str, reason: str = "rolled back") -> str:
        """Gives a room back."""
        desk.effects.append(f"release {booking}: {reason}")
        return "released"

    desk.run(
        ("book", {"room": "1"}),
        undo={"book": Undo(release_room, args=lambda done: {"booking": done.result["booking"]})},
    )
    desk.undo()
    assert desk.effects == ["book 1", "release b-1: rolled back"]
    [ticket] = desk.tickets("release_room")
    assert ticket.args == {"booking": "b-1", "reason": "rolled back"}


def test_an_undo_is_gated_where_the_policy_names_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path, BOOKED + "  undo_book: {otherwise: review}\n")
    desk.run(("book", {"room": "1"}), undo={"book": desk.cancel})
    ticket = desk.waiting()
    assert (ticket.tool, ticket.kind, ticket.args["room"]) == ("undo_book", "undo", "1")
    assert desk.effects == ["book 1"]
    desk.signoff.approve(ticket, by="ana")
    assert len(desk.undo().undone) == 1
    assert desk.effects == ["book 1", "cancel b-1"]


def test_an_undo_that_the_policy_denies_is_left_and_the_others_follow(tmp_path: Path) -> None:
    desk = Desk(tmp_path, BOOKED + "  undo_ring: deny\n")
    desk.run(("book", {"room": "1"}), ("ring", {"room": "1"}), undo={"book": desk.cancel, "ring": desk.cancel})
    done = desk.undo()
    assert len(done.undone) == 1
    assert ["policy" in left.why for left in done.left] == [True]


def test_secrets_of_a_call_stay_secret_in_its_undo(desk: Desk) -> None:
    desk.run(("book", {"room": "1", "card": "4111"}), undo={"book": desk.cancel})
    desk.undo()
    [ticket] = desk.tickets("undo_book")
    assert ticket.args["card"] != "4111"


def test_an_undo_that_failed_asks_before_it_is_tried_again(desk: Desk) -> None:
    desk.fails = 1
    desk.run(("book", {"room": "1"}), ("book", {"room": "2"}), undo={"book": desk.cancel})
    ticket = desk.waiting()
    assert ticket.reason_code == "undo_failed"
    assert "the hotel does not answer" in " ".join(ticket.notes)
    assert len(desk.effects) == 3  # one try, and the other one waits behind it
    desk.signoff.approve(ticket, by="ana")
    assert len(desk.undo().undone) == 2
    assert len(desk.effects) == 5


def test_a_rejected_second_try_leaves_that_one_and_goes_on(desk: Desk) -> None:
    desk.fails = 1
    desk.run(("book", {"room": "1"}), ("book", {"room": "2"}), undo={"book": desk.cancel})
    desk.signoff.reject(desk.waiting(), by="ana", reason="I have called them")
    done = desk.undo()
    assert (len(done.undone), len(done.left)) == (1, 1)
    assert "I have called them" in done.left[0].why


def test_nobody_s_word_on_a_second_try_stops_the_rollback(desk: Desk) -> None:
    desk.fails = 1
    desk.run(("book", {"room": "1"}), ("book", {"room": "2"}), undo={"book": desk.cancel})
    desk.waiting()
    desk.clock.advance(days=2)
    done = desk.undo()
    assert (done.undone, len(done.left)) == ((), 2)
    assert done.left[1].why.startswith("not tried")
    assert len(desk.effects) == 3


@pytest.mark.parametrize("at", ["claimed", "executed"])
def test_a_rollback_that_was_cut_off_goes_on(desk: Desk, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.run(("book", {"room": "1"}), ("book", {"room": "2"}), undo={"book": desk.cancel})

    def dies(done: Done) -> str:
        if at == "executed":
            desk.cancel(done)
        raise KeyboardInterrupt

    desk.signoff.undoings["book"] = dies
    with pytest.raises(KeyboardInterrupt):
        desk.undo()
    desk.signoff.undoings["book"] = desk.cancel
    with pytest.raises(GraphInterrupt):
        desk.undo()
    [doubt] = desk.signoff.in_doubt(thread_id="t-1")
    desk.signoff.settle(doubt, "happened" if at == "executed" else "did_not_happen", by="ana")
    assert len(desk.undo().undone) == 2
    assert sorted(desk.effects[2:]) == ["cancel b-1", "cancel b-2"]


def test_an_async_undo_runs_in_an_async_rollback(desk: Desk) -> None:
    async def acancel(done: Done) -> str:
        return desk.cancel(done)

    desk.run(("book", {"room": "1"}), undo={"book": acancel})
    heart = desk.signoff.heart(None, None)
    cases = [desk.signoff.desk.case(ticket.id) for ticket in desk.tickets("book")]
    assert len(asyncio.run(adrive(rollback(heart, cases, admit=heart.rule))).undone) == 1
    assert desk.effects == ["book 1", "cancel b-1"]


def test_what_was_let_through_and_cut_off_is_left_to_a_person(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path, [[("ring", {"room": "1"})], [("book", {"room": "2"})], "Booked."])
    effect = hotel.effect

    def cut_off(text: str) -> None:
        effect(text)
        if text.startswith("ring"):
            raise KeyboardInterrupt

    hotel.effect = cut_off  # type: ignore[method-assign]  # what happens outside
    with pytest.raises(KeyboardInterrupt):
        hotel.run()
    [ticket] = hotel.run("Never mind, book a room").tickets
    hotel.signoff.reject(ticket, by="ana")
    hotel.resume()
    [done] = hotel.rolled
    assert [(left.tool, left.why) for left in done.left] == [
        ("ring", "it was let through, and nobody knows whether it happened")
    ]
    assert hotel.effects == ["ring 1", "book 2", "cancel b-2"]

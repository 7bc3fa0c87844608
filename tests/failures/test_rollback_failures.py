"""What undoes may be as bad as any other code: each action is undone once, or in doubt, or left to a person by name."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.tools import StructuredTool, ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.errors import ParentCommand
from langgraph.prebuilt import InjectedState
from langgraph.types import Command, interrupt

from hotel import BOOKS, POLICY, Hotel
from langgraph_signoff import Advice, Done, Query, Rollback, Standing, Ticket, TicketClosed, Undo
from langgraph_signoff.justification import to_markdown

DONE = ["book 1", "book 2", "cancel b-2", "cancel b-1"]


def undos(hotel: Hotel) -> list[Ticket]:
    """The tickets of undoing, the oldest first."""
    found = [ticket for ticket in hotel.signoff.find(Query(limit=100)) if ticket.kind == "undo"]
    return sorted(found, key=lambda ticket: ticket.opened_at)


def ends(hotel: Hotel, effects: list[str] = DONE, undone: int = 2) -> Rollback:
    """It is over: these are the effects, so many are undone, and nothing is left open."""
    assert hotel.effects == effects
    [done] = hotel.rolled
    assert len(done.undone) == undone
    assert hotel.graph.get_state(hotel.config).next == ()
    assert not [ticket for ticket in hotel.signoff.find(Query(limit=100)) if not ticket.standing.is_final]
    assert hotel.signoff.verify().broken == []
    return done


def waiting(hotel: Hotel) -> Ticket:
    """The one try at which the rollback waits for a person."""
    ticket = hotel.asked()
    assert (ticket.kind, ticket.reason_code) == ("undo", "undo_failed")
    return ticket


def canceller(hotel: Hotel) -> Any:
    """A tool that cancels a booking."""

    @tool
    def cancel(booking: str, note: str = "") -> str:
        """Cancels."""
        hotel.effect(f"cancel {booking}")
        return "cancelled"

    return cancel


# Once --------------------------------------------------------------------------------------------------------------------


def test_arguments_that_come_out_otherwise_each_time_do_not_undo_twice(tmp_path: Path) -> None:
    numbers, hotel = itertools.count(), Hotel(tmp_path)
    args: Any = lambda done: {"booking": done.result["booking"], "note": f"no. {next(numbers)}"}  # noqa: E731  # its undo
    dies = [True]

    @tool
    def cancel(booking: str, note: str) -> str:
        """Cancels."""
        hotel.effect(f"cancel {booking}")
        if booking == "b-1" and dies.pop():
            raise KeyboardInterrupt
        return note

    hotel.undo["book"] = Undo(cancel, args)
    with pytest.raises(KeyboardInterrupt):
        hotel.rejected()
    assert hotel.resume().status == "in_doubt"
    [doubt] = hotel.signoff.in_doubt()
    hotel.signoff.settle(doubt, "happened", by="ana")
    hotel.resume()
    ends(hotel)
    for snapshot in list(hotel.graph.get_state_history(hotel.config)):
        hotel.graph.invoke(None, snapshot.config)
    assert [effect for effect in hotel.effects if effect.startswith("cancel")] == DONE[2:]
    assert len(undos(hotel)) == 2


def test_another_undo_in_the_code_of_today_does_not_run_on_what_was_asked_of_the_old_one(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path, undo={"book": lambda done: 1 / 0})
    hotel.rejected()
    ticket = waiting(hotel)
    hotel.undo["book"] = Undo(canceller(hotel), lambda done: {"booking": done.result["booking"]})
    hotel.signoff.approve(ticket, by="ana")
    hotel.resume()
    [done] = hotel.rolled
    assert (hotel.effects, done.undone) == (DONE[:2], ())
    assert "undo_book was to undo it" in done.left[0].why
    assert "cancel would" in done.left[0].why


# One name behind two gates -----------------------------------------------------------------------------------------------


def two_desks(hotel: Hotel, other: Any) -> Any:
    """The hotel's graph with a second desk, of the same name and work; what undoes its bookings is `other`."""
    builder = hotel.builder()
    builder.add_node("desk", hotel.tools(undo=other)).add_edge("desk", "agent")
    way: Any = lambda state: "desk" if len(state["messages"]) == 2 else hotel.way("outcome")(state)  # noqa: E731
    builder.branches["agent"].clear()
    builder.add_conditional_edges("agent", way)
    return builder.compile(checkpointer=InMemorySaver())


def test_two_gates_with_the_same_undo_for_a_name_agree(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path)
    hotel.graph = two_desks(hotel, {"book": hotel.cancel})
    hotel.rejected()
    ends(hotel)


@pytest.mark.parametrize("other", [{}, {"book": len}], ids=["none", "another"])
def test_an_undo_of_another_gate_with_a_tool_of_that_name_is_not_taken(tmp_path: Path, other: Any) -> None:
    hotel = Hotel(tmp_path)
    hotel.graph = two_desks(hotel, other)
    ticket = hotel.run().tickets[0]
    assert [action["can_undo"] for action in ticket.args["actions"]] == [False, False]
    hotel.signoff.reject(ticket, by="ana")
    hotel.resume()
    [done] = hotel.rolled
    assert (hotel.effects, done.undone) == (DONE[:2], ())
    assert {left.why for left in done.left} == {"no undo is declared for it, or not the same at each of its gates"}


def test_what_another_graph_declares_for_the_name_is_not_taken_either(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path)
    hotel.tools(undo={"book": lambda done: hotel.effect("the wrong one")})
    hotel.rejected()
    ends(hotel)


# Arguments that cannot be made ---------------------------------------------------------------------------------------------


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def raises(done: Done) -> Any:
    raise Unspeakable


BAD: dict[str, Callable[[Done], Any]] = {
    "raises": raises,
    "a key that is not there": lambda done: {"booking": done.args["name"]},
    "nothing": lambda done: None,
    "a list": lambda done: [1, 2],
    "refused by the schema": lambda done: {"booking": {"id": 1}},
    "one is missing": lambda done: {"note": "x"},
    "no JSON": lambda done: {"booking": object()},
}


@pytest.mark.parametrize("args", BAD.values(), ids=BAD)
def test_arguments_that_cannot_be_made_are_a_person_s_question(tmp_path: Path, args: Any) -> None:
    hotel = Hotel(tmp_path)
    hotel.undo["book"] = Undo(canceller(hotel), args)
    assert hotel.rejected().status == "pending_approval"
    first = waiting(hotel)
    assert any("could not be made" in note for note in first.notes)
    hotel.signoff.revise(first, by="ana", args={"booking": "b-2", "note": ""})
    hotel.resume()
    # Approved as it is, it still does not fit its tool: it has failed, and is asked again.
    hotel.signoff.approve(waiting(hotel), by="ana")
    hotel.resume()
    hotel.signoff.reject(waiting(hotel), by="ana", reason="done by phone")
    assert hotel.resume().status == "completed"
    done = ends(hotel, DONE[:3], undone=1)
    assert "done by phone" in done.left[0].why


NO_UNDO: list[Any] = [
    "cancel",
    None,
    Undo("cancel", dict),  # type: ignore[arg-type]  # as a person may write it
    Undo(lambda booking: None, dict),  # type: ignore[arg-type]  # a function is no tool
]


@pytest.mark.parametrize("undo", NO_UNDO, ids=["a text", "nothing", "a tool by name", "a function as a tool"])
def test_what_could_undo_nothing_is_refused_where_it_is_declared(tmp_path: Path, undo: Any) -> None:
    with pytest.raises(TypeError, match="the undo of 'book'"):
        Hotel(tmp_path, undo={"book": undo})


def test_a_tool_that_wants_something_injected_is_no_undo(tmp_path: Path) -> None:

    @tool
    def cancel(booking: str, state: Annotated[dict[str, Any], InjectedState]) -> str:
        """Cancels."""
        return ""

    with pytest.raises(TypeError, match="wants state injected"):
        Hotel(tmp_path, undo={"book": Undo(cancel, dict)})


def test_a_gated_tool_is_no_undo(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path)
    gated = hotel.tools().tools_by_name["ring"]
    with pytest.raises(TypeError, match="before any gate"):
        hotel.tools(undo={"book": Undo(gated, dict)})


# Work that misbehaves -------------------------------------------------------------------------------------------------------


def test_an_async_undo_in_a_sync_run_has_not_undone_anything(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path)

    async def cancel(done: Done) -> str:
        return hotel.cancel(done)

    hotel.undo["book"] = cancel
    assert hotel.rejected().status == "pending_approval"
    assert "aresume" in waiting(hotel).notes[0]
    assert hotel.effects == DONE[:2]
    hotel.undo["book"] = hotel.cancel
    hotel.signoff.approve(waiting(hotel), by="ana")
    hotel.resume()
    ends(hotel)


async def test_a_function_that_gives_something_to_await_is_awaited(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path)

    async def cancel(done: Done) -> str:
        return hotel.cancel(done)

    hotel.undo["book"] = lambda done: cancel(done)
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "a.db")) as saver:
        graph = hotel.builder().compile(checkpointer=saver)
        hotel.undo["book"] = lambda done: cancel(done)
        run = await hotel.signoff.arun(graph, {"messages": [("user", "Go")]}, thread_id="t-1")
        hotel.signoff.reject(run.tickets[0], by="ana")
        await hotel.signoff.aresume(graph, thread_id="t-1")
    assert hotel.effects == DONE


class Broken:
    """What no serializer takes, and no text tells."""

    def __repr__(self) -> str:
        raise RuntimeError

    def __reduce__(self) -> Any:
        raise RuntimeError


def _endless() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


GARBAGE: dict[str, Any] = {
    "nothing": None,
    "NaN": float("nan"),
    "a surrogate": "\ud800",
    "an object": object(),
    "a broken one": Broken(),
    "endless": _endless(),
    "a command": Command(goto="publish", update={"messages": []}),
    "one for the parent": Command(graph=Command.PARENT, goto="publish"),
    "a class": Broken,
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_whatever_an_undo_gives_the_rest_is_undone_and_the_thread_ends(tmp_path: Path, garbage: Any) -> None:
    hotel = Hotel(tmp_path)

    def cancel(done: Done) -> Any:
        hotel.cancel(done)
        return garbage

    hotel.undo["book"] = cancel
    assert hotel.rejected().status == "completed"
    ends(hotel)


def test_where_an_undo_wants_the_graph_to_go_is_not_where_it_goes(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path)

    def cancel(done: Done) -> Any:
        hotel.cancel(done)
        raise ParentCommand(Command(graph=Command.PARENT, goto="publish"))

    hotel.undo["book"] = cancel
    assert hotel.rejected().status == "completed"
    ends(hotel)


ERRORS = [ValueError("no"), Unspeakable(), TicketClosed("it is not pending"), RecursionError(), KeyError("booking")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_whatever_an_undo_raises_a_person_is_asked(tmp_path: Path, error: Exception) -> None:
    hotel, fails = Hotel(tmp_path), [True]

    def cancel(done: Done) -> Any:
        if fails:
            fails.pop()
            raise error
        return hotel.cancel(done)

    hotel.undo["book"] = cancel
    assert hotel.rejected().status == "pending_approval"
    hotel.signoff.approve(waiting(hotel), by="ana")
    hotel.resume()
    ends(hotel)


def test_a_tool_that_says_that_it_failed_has_not_undone_it(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path)

    def says(booking: str) -> str:
        """Cancels."""
        raise ToolException(f"{booking} cannot be cancelled")

    cancel = StructuredTool.from_function(says, name="cancel", handle_tool_error=True)
    hotel.undo["book"] = Undo(cancel, lambda done: {"booking": done.result["booking"]})
    hotel.rejected()
    assert "b-2 cannot be cancelled" in waiting(hotel).notes[0]


# Undoing that asks something itself -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True])
async def test_each_undo_that_pauses_is_asked_once_and_gets_its_own_answer(tmp_path: Path, is_async: bool) -> None:
    script = [*BOOKS[:2], [("book", {"room": "3"})], "Three."]
    hotel = Hotel(tmp_path, script)

    def cancel(done: Done) -> str:
        hotel.effect(f"{done.args['room']}: {interrupt(done.args['room'])}")
        return "cancelled"

    hotel.undo = {"book": cancel}
    hotel.signoff.undoings.clear()
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "a.db")) as saver:
        graph = hotel.builder().compile(checkpointer=saver)
        signoff = hotel.signoff

        async def go(**options: Any) -> Any:
            return await signoff.aresume(graph, thread_id="t-1", **options)

        run = await signoff.arun(graph, {"messages": [("user", "Go")]}, thread_id="t-1")
        signoff.reject(run.tickets[0], by="ana")
        run, asked = await go(), []
        while run.questions:
            [(id_, room)] = run.questions.items()
            asked.append(room)
            run = await go(answers={id_: f"yes to {room}"})
    assert asked == ["3", "2", "1"]
    assert run.status == "completed"
    assert hotel.effects[3:] == ["3: yes to 3", "2: yes to 2", "1: yes to 1"]


# What others say of it ----------------------------------------------------------------------------------------------------------


def test_an_advisor_s_doubt_of_an_undo_is_asked_and_hides_what_is_secret(tmp_path: Path) -> None:
    hotel = Secret(tmp_path, advisors=[lambda action, _: Advice(mode="review") if action.kind == "undo" else None])
    hotel.rejected()
    [ticket] = hotel.signoff.pending()
    assert (ticket.tool, ticket.reason_code) == ("undo_book", "advised")
    assert CARD not in ticket.model_dump_json()
    hotel.signoff.approve(ticket, by="ana")
    hotel.resume()
    ends(hotel, ["book 1", "cancel b-1"], undone=1)


def test_a_halt_holds_a_rollback_back_and_its_release_lets_it_go_on(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path)
    ticket = hotel.run().tickets[0]
    hotel.signoff.reject(ticket, by="ana")
    hotel.signoff.halt(by="cem", thread_id="t-1")
    assert [hotel.resume().status for _ in range(2)] == ["halted", "halted"]
    assert hotel.effects == DONE[:2]
    hotel.signoff.release(by="cem", thread_id="t-1")
    assert "t-1" in hotel.signoff.threads_to_wake()
    assert hotel.resume().status == "completed"
    ends(hotel)


def test_a_halt_of_the_undo_in_the_middle_of_a_rollback_lets_what_has_begun_finish(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path)

    def cancel(done: Done) -> str:
        hotel.signoff.halt(by="cem", tool="undo_book")
        return hotel.cancel(done)

    hotel.undo["book"] = cancel
    assert hotel.rejected().status == "halted"
    assert hotel.effects == DONE[:3]
    hotel.undo["book"] = hotel.cancel
    hotel.signoff.release(by="cem", tool="undo_book")
    hotel.resume()
    ends(hotel)


# Secrets --------------------------------------------------------------------------------------------------------------------------

CARD = "4111111111111111"
SECRET = POLICY.replace("book: {", "book: {redact: [args.card], ")


class Secret(Hotel):
    """A hotel that wants a card."""

    def __init__(self, path: Path, policy: str = SECRET, **options: Any) -> None:
        super().__init__(path, [[("book", {"room": "1", "card": CARD})], f"Booked with {CARD}."], policy, **options)

    def book(self, room: str, card: str = "") -> dict[str, str]:  # type: ignore[override]  # it wants a card
        """Books a room."""
        return super().book(room)

    def run(self, text: str = f"Book room 1 with {CARD}", **options: Any) -> Any:
        return super().run(text, **options)

    def everything_shown(self) -> str:
        """Whatever anybody is shown of the record."""
        tickets = self.signoff.find(Query(limit=100))
        shown = [ticket.model_dump_json() + str(ticket) + ticket._repr_html_() for ticket in tickets]
        shown += [to_markdown(ticket.args) for ticket in tickets if ticket.kind == "outcome"]
        events = itertools.islice(self.signoff.watch(after=0, every=0.01), self.signoff.ledger.last())
        return " ".join([*shown, *map(str, events)])


def as_another_argument(hotel: Hotel) -> Any:
    @tool
    def refund(number: str, booking: str) -> str:
        """Refunds."""
        hotel.effect(f"cancel {booking}")
        return f"refunded to {number}"

    return Undo(refund, lambda done: {"number": done.args["card"], "booking": done.result["booking"]})


def deep_inside(hotel: Hotel) -> Any:
    @tool
    def refund(about: dict[str, Any]) -> str:
        """Refunds."""
        raise ValueError(f"no such card: {about}")

    return Undo(refund, lambda done: {"about": {"to": [f"card {done.args['card']}"]}})


def failing(hotel: Hotel) -> Any:
    def undo(done: Done) -> str:
        raise ValueError(f"no such card: {done.args['card']}")

    return undo


def with_arguments_refused(hotel: Hotel) -> Any:
    @tool
    def refund(number: int) -> str:
        """Refunds."""
        return ""

    return Undo(refund, lambda done: {"number": f"no {done.args['card']}"})


@pytest.mark.parametrize("undo", [as_another_argument, deep_inside, failing, with_arguments_refused])
def test_what_is_secret_of_an_action_shows_nowhere_in_its_review_and_its_rollback(tmp_path: Path, undo: Any) -> None:
    hotel = Secret(tmp_path)
    hotel.undo["book"] = undo(hotel)
    run = hotel.rejected()
    assert CARD not in hotel.everything_shown()
    for ticket in run.tickets:
        hotel.signoff.reject(ticket, by="ana", reason=f"{CARD} is lost")
    assert hotel.resume().status == "completed"
    assert CARD not in hotel.everything_shown()
    assert CARD not in str(hotel.rolled)


def test_what_is_secret_of_the_undo_itself_is_masked_too(tmp_path: Path) -> None:
    entry = "  cancel: {redact: [args.booking], otherwise: allow}\n"
    hotel = Hotel(tmp_path, policy=POLICY.replace("  look: allow\n", "  look: allow\n" + entry))
    hotel.undo["book"] = Undo(canceller(hotel), lambda done: {"booking": done.result["booking"]})
    hotel.rejected()
    assert all("b-" not in str(ticket.args) for ticket in undos(hotel))
    ends(hotel)


# Erasure --------------------------------------------------------------------------------------------------------------------------


def test_an_action_that_was_erased_cannot_be_undone_and_is_left_by_name(tmp_path: Path) -> None:
    hotel = Hotel(tmp_path)
    ticket = hotel.run().tickets[0]
    hotel.signoff.reject(ticket, by="ana")
    first = hotel.signoff.ticket(ticket.args["actions"][0]["ticket"])
    hotel.signoff.erase(first, by="ana", reason="asked for")
    hotel.resume()
    done = ends(hotel, DONE[:3], undone=1)
    assert done.left[0].why == "what it was about has been erased"


@pytest.mark.parametrize("what", ["book", "undo_book"])
def test_what_was_undone_before_it_was_erased_counts_as_undone(tmp_path: Path, what: str) -> None:
    hotel, dies = Hotel(tmp_path), [True]

    def cancel(done: Done) -> str:
        if done.args["room"] == "1" and dies:
            dies.pop()
            raise ValueError("no")
        return hotel.cancel(done)

    hotel.undo["book"] = cancel
    hotel.rejected()
    [undone] = [ticket for ticket in undos(hotel) if ticket.standing is Standing.EXECUTED]
    booked = [ticket for ticket in hotel.signoff.find(Query(tool="book")) if ticket.args["room"] == "2"]
    hotel.signoff.erase(undone if what == "undo_book" else booked[0], by="ana", reason="asked for")
    hotel.signoff.approve(waiting(hotel), by="ana")
    hotel.resume()
    ends(hotel)

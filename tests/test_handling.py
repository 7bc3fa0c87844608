"""Who has a ticket in hand: taken for a while, put back, assigned; and that it takes nobody's right away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli_support import Desk
from langgraph_signoff import NotAllowedToDecide, Policy, Signoff, Standing, TicketClosed, TicketTaken, law
from langgraph_signoff.errors import DecisionRefused, IncompleteDecision
from support import Clock, open_ticket
from test_law import APPROVE, REJECT, Story

PEOPLE = {
    "ana": frozenset({"finance"}),
    "bo": frozenset({"finance"}),
    "cem": frozenset({"leads"}),
    "eda": frozenset[str](),
}
FINANCE = (("group:finance",),)


def story(**more: object) -> Story:
    return Story.of(people=PEOPLE, reviewers=FINANCE, owner="eda", backup=("group:leads",), **more)


def take(story: Story, by: str) -> Standing:
    return story.write(*law.take(story.case, by=by, people=PEOPLE, now=story.now))


def put_back(story: Story, by: str) -> Standing:
    return story.write(*law.put_back(story.case, by=by))


def assign(story: Story, by: str, to: str) -> Standing:
    return story.write(*law.assign(story.case, by=by, to=to, reason="", people=PEOPLE))


# The law ---------------------------------------------------------------------------------------------------------------------


@given(st.integers(-5, 5))
def test_what_somebody_has_taken_is_theirs_until_its_time_is_over(minutes: int) -> None:
    ticket = story(take_for=timedelta(minutes=30))
    take(ticket, "ana")
    ticket.after(minutes=30 + minutes)
    if minutes < 0:
        with pytest.raises(TicketTaken, match="ana has taken ticket"):
            take(ticket, "bo")
        assert ticket.case.taker == "ana"
        take(ticket, "ana")
        assert ticket.case.taken_until == ticket.now + timedelta(minutes=30)
    else:
        assert ticket.case.taker is None
        take(ticket, "bo")
        assert ticket.case.taker == "bo"


names = st.sampled_from(sorted(PEOPLE))
deeds = st.one_of(
    st.tuples(st.just(take), names),
    st.tuples(st.just(put_back), names),
    st.tuples(st.just(assign), names, names),
)


@given(st.lists(deeds, max_size=6), st.sampled_from([APPROVE, REJECT]), names)
def test_who_has_it_in_hand_changes_nobodys_right_to_decide(
    done: list[tuple[object, ...]], verdict: object, by: str
) -> None:
    ticket, untouched = story(), story()
    for deed, *who in done:
        with suppress(DecisionRefused):
            assert deed(ticket, *who) is Standing.PENDING  # type: ignore[operator]  # one of the three
    if by in ("ana", "bo"):
        assert ticket.say(verdict, by) is untouched.say(verdict, by)  # type: ignore[arg-type]  # a verdict
        assert ticket.case.taker != by
    else:
        with pytest.raises(NotAllowedToDecide):
            ticket.say(verdict, by)  # type: ignore[arg-type]  # a verdict


def test_only_who_may_decide_takes_a_ticket_or_is_given_one() -> None:
    ticket = story()
    for wrong in ("eda", "cem", "zoe"):
        with pytest.raises(NotAllowedToDecide):
            take(ticket, wrong)
        with pytest.raises(NotAllowedToDecide):
            assign(ticket, "ana", wrong)
    with pytest.raises(IncompleteDecision):
        take(ticket, " ")
    with pytest.raises(IncompleteDecision):
        assign(ticket, "ana", " ")


def test_who_answers_for_the_queue_assigns_and_reassigns() -> None:
    ticket = story()
    assign(ticket, "eda", "ana")
    take(ticket, "ana")
    with pytest.raises(TicketTaken, match="assigned to ana already"):
        assign(ticket, "cem", "ana")
    assign(ticket, "cem", "bo")
    assert (ticket.case.assignee, ticket.case.taker) == ("bo", None)
    with pytest.raises(TicketTaken, match="assigned to bo"):
        take(ticket, "ana")
    with pytest.raises(TicketTaken, match="bo has"):
        put_back(ticket, "ana")
    put_back(ticket, "bo")
    take(ticket, "ana")
    assert (ticket.case.assignee, ticket.case.taker) == (None, "ana")
    with pytest.raises(NotAllowedToDecide):
        law.assign(story(requester="ana").case, by="zoe", to="bo", reason="", people=PEOPLE)


def test_what_is_decided_is_in_nobodys_hand() -> None:
    ticket = story(approvals=2)
    take(ticket, "ana")
    ticket.say(APPROVE, "ana")
    assert ticket.case.taker is None
    take(ticket, "bo")
    assert ticket.say(APPROVE, "bo") is Standing.APPROVED
    for deed in (lambda: take(ticket, "ana"), lambda: put_back(ticket, "bo"), lambda: assign(ticket, "eda", "ana")):
        with pytest.raises(TicketClosed):
            deed()


# More time -------------------------------------------------------------------------------------------------------------------


def extend(story: Story, by: str, **more: Any) -> Standing:
    most = story.case.due_at + story.case.requirements.window
    return story.write(*law.extend(story.case, by=by, people=PEOPLE, most=most, **{"reason": "he is ill", **more}))


@given(st.integers(-3, 3), st.sampled_from([None, timedelta(minutes=20)]))
def test_more_time_is_given_once_and_is_over_as_the_first_was(seconds: int, span: timedelta | None) -> None:
    ticket = story(window=timedelta(hours=1))
    due = ticket.case.due_at + (span or timedelta(hours=1))
    extend(ticket, "ana", span=span)
    assert ticket.case.due_at == due
    with pytest.raises(TicketClosed, match="ana has given"):
        extend(ticket, "bo")
    ticket.now = due + timedelta(seconds=seconds)
    assert ticket.case.standing is (Standing.PENDING if seconds < 0 else Standing.EXPIRED)


def test_nobody_gives_time_to_what_has_none_left_or_without_saying_why() -> None:
    ticket = story(window=timedelta(hours=1))
    for wrong in ("eda", "cem", "zoe"):
        with pytest.raises(NotAllowedToDecide):
            extend(ticket, wrong)
    for bad in ({"reason": " "}, {"span": timedelta(hours=2)}, {"span": timedelta(0)}):
        with pytest.raises(IncompleteDecision):
            extend(ticket, "ana", **bad)
    ticket.after(hours=1)
    with pytest.raises(TicketClosed):
        extend(ticket, "ana")


def test_an_edit_gives_no_more_time_than_there_is() -> None:
    ticket = story(window=timedelta(hours=1))
    extend(ticket, "ana")
    due = ticket.case.due_at
    ticket.revise("bo", {"to": "bob", "amount": 4}, window=timedelta(hours=9), approvals=2, reviewers=FINANCE)
    assert ticket.case.due_at <= due
    with pytest.raises(TicketClosed):
        extend(ticket, "bo")


# From the front door ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def signoff(tmp_path: Path) -> Iterator[Signoff]:
    with closing(Signoff(tmp_path / "signoff.db", policy=Policy(people={"ana": {}, "cem": {}}), clock=Clock())) as desk:
        yield desk


def test_of_many_who_take_a_ticket_at_once_one_gets_it(tmp_path: Path) -> None:
    everybody = {f"p{number}": {} for number in range(8)}
    with closing(Signoff(tmp_path / "s.db", policy=Policy(people=everybody))) as desk:
        ticket, lost = open_ticket(desk), list[str]()

        def grab(by: str) -> None:
            try:
                desk.take(ticket, by=by)
            except TicketTaken:
                lost.append(by)

        threads = [Thread(target=grab, args=(by,)) for by in everybody]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        [winner] = set(everybody) - set(lost)
        assert desk.ticket(ticket.id).taker == winner
        assert desk.verify().is_whole


def test_a_ticket_in_hand_says_so_everywhere_and_wakes_no_thread(signoff: Signoff) -> None:
    ticket = signoff.take(open_ticket(signoff), by="ana")
    assert "in hand  taken by ana until 20" in str(ticket)
    ticket = signoff.assign(ticket, to="cem", by="ana", reason="he knows the customer")
    assert "in hand  assigned to cem" in str(ticket)
    assert [entry.kind for entry in signoff.history(ticket)] == ["opened", "taken", "assigned"]
    assert signoff.threads_to_wake() == []
    assert signoff.approve(ticket, by="ana").standing is Standing.APPROVED


def test_taking_and_assigning_from_a_terminal(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    ticket = desk.ticket()
    assert "taken by ana until" in desk.run("take", ticket.id, "--as", "ana").out
    listed = desk.run("list").out.splitlines()
    assert "in hand" in listed[0]
    assert "ana" in listed[1]
    refused = desk.run("take", ticket.id, "--as", "cem")
    assert (refused.code, "ana has taken ticket" in refused.err) == (1, True)
    assert "assigned to cem" in desk.run("assign", ticket.id, "cem", "--as", "ana").out
    assert "assigned to cem by ana" in desk.run("history", ticket.id).out
    assert "put back, by cem" in desk.run("put-back", ticket.id, "--as", "cem").out
    assert "in hand" not in desk.run("list").out


def test_more_time_from_a_terminal_and_in_every_list(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    ticket = desk.ticket(window=timedelta(hours=4))
    assert desk.run("extend", ticket.id, "--as", "ana").code == 2
    assert desk.run("extend", ticket.id, "--for", "soon", "--as", "ana").code == 2
    done = desk.run("extend", ticket.id, "--for", "2h", "--reason", "she is on a train", "--as", "ana", "--json")
    assert desk.signoff.ticket(ticket.id).due_at == ticket.due_at + timedelta(hours=2)  # type: ignore[operator]  # it is due
    assert done.json["id"] == ticket.id
    assert "extended by ana until" in desk.run("history", ticket.id).out
    assert "5h 59m" in desk.run("list").out
    assert desk.signoff.verify().is_whole

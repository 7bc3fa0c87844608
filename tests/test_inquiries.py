"""What reviewers ask before they decide, and who had best decide: neither moves the clock, nor lets anything run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cli_support import Desk
from langgraph_signoff import NotAllowedToDecide, Policy, Signoff, Standing, TicketClosed
from langgraph_signoff.errors import IncompleteDecision
from support import NOW, Clock, open_ticket

PEOPLE: dict[str, Any] = {"ana": {"groups": ["finance"]}, "bo": {"groups": ["finance"]}, "cem": {}, "dora": {}}
TERMS: dict[str, Any] = {"reviewers": (("group:finance",),), "owner": "dora", "backup": ("cem",)}


@pytest.fixture
def signoff(tmp_path: Path) -> Iterator[Signoff]:
    with closing(Signoff(tmp_path / "signoff.db", policy=Policy(people=PEOPLE), clock=Clock())) as signoff:
        yield signoff


# What is asked ---------------------------------------------------------------------------------------------------------------


def test_a_question_and_its_answer_join_the_ticket_which_goes_on_waiting(signoff: Signoff) -> None:
    ticket = open_ticket(signoff, requester="eve", **TERMS)
    asked = signoff.request_info(ticket, "which invoice?", by="ana")
    assert (asked.standing, asked.due_at, asked.options) == (Standing.PENDING, ticket.due_at, ticket.options)
    assert "ana asked eve: which invoice?\n" in str(asked)
    assert "(no answer yet)" in str(asked)
    told = signoff.give_info(ticket, "number 114", by="eve")
    [inquiry] = told.inquiries
    assert (inquiry.by, inquiry.of, inquiry.answer, inquiry.answered_by) == ("ana", "eve", "number 114", "eve")
    assert "eve: number 114" in str(told)
    assert signoff.threads_to_wake() == []
    assert signoff.approve(ticket, by="ana").standing is Standing.APPROVED
    assert signoff.verify().broken == []


@pytest.mark.parametrize(
    ("more", "of", "whom"), [({"requester": "eve"}, "", "eve"), ({}, "", "dora"), ({"requester": "eve"}, "bo", "bo")]
)
def test_it_is_put_to_who_is_named_or_the_requester_or_the_owner(
    signoff: Signoff, more: Any, of: str, whom: str
) -> None:
    ticket = open_ticket(signoff, **TERMS, **more)
    assert signoff.request_info(ticket, "why?", by="ana", of=of).inquiries[0].of == whom


def test_only_who_was_asked_answers_and_the_owner_for_all(signoff: Signoff) -> None:
    ticket = open_ticket(signoff, requester="eve", **TERMS)
    signoff.request_info(ticket, "why?", by="ana")
    signoff.request_info(ticket, "how much?", by="bo", of="cem")
    with pytest.raises(NotAllowedToDecide, match="it waits for eve, cem"):
        signoff.give_info(ticket, "because", by="bo")
    assert [one.answered_by for one in signoff.give_info(ticket, "a little", by="cem").inquiries] == ["", "cem"]
    assert [one.answered_by for one in signoff.give_info(ticket, "so", by="dora").inquiries] == ["dora", "cem"]
    with pytest.raises(NotAllowedToDecide, match="nothing is open"):
        signoff.give_info(ticket, "again", by="eve")


@pytest.mark.parametrize(
    ("by", "more", "error", "says"),
    [
        ("cem", {}, NotAllowedToDecide, "cem is not among"),
        ("ana", {"text": " "}, IncompleteDecision, "what you want to know"),
        ("ana", {"of": "mallory"}, NotAllowedToDecide, "does not know 'mallory'"),
    ],
)
def test_a_request_that_cannot_be_is_refused(signoff: Signoff, by: str, more: Any, error: Any, says: str) -> None:
    ticket = open_ticket(signoff, **TERMS)
    with pytest.raises(error, match=says):
        signoff.request_info(ticket, **({"text": "why?"} | more), by=by)
    assert [entry.kind for entry in signoff.history(ticket)] == ["opened"]


def test_without_a_requester_and_an_owner_somebody_must_be_named(signoff: Signoff) -> None:
    with pytest.raises(IncompleteDecision, match="there is nobody to ask"):
        signoff.request_info(open_ticket(signoff), "why?", by="ana")


def test_nobody_asks_or_answers_about_what_is_decided(signoff: Signoff) -> None:
    ticket = open_ticket(signoff, requester="eve", **TERMS)
    signoff.request_info(ticket, "why?", by="ana")
    signoff.reject(ticket, by="ana")
    with pytest.raises(TicketClosed):
        signoff.request_info(ticket, "why?", by="bo")
    with pytest.raises(TicketClosed):
        signoff.give_info(ticket, "because", by="eve")


def test_asking_does_not_stop_the_clock(signoff: Signoff) -> None:
    ticket = open_ticket(signoff, requester="eve", **TERMS)
    signoff.request_info(ticket, "why?", by="ana")
    clock = signoff.desk.clock
    assert isinstance(clock, Clock)
    clock.advance(hours=25)
    assert signoff.ticket(ticket.id).standing is Standing.EXPIRED


def test_the_words_are_masked_and_go_when_the_ticket_is_erased(signoff: Signoff) -> None:
    ticket = open_ticket(signoff, {"to": "bob", "pin": "4711-0815"}, requester="eve", redact=("pin",), **TERMS)
    signoff.request_info(ticket, "is 4711-0815 right?", by="ana")
    asked = signoff.give_info(ticket, "4711-0815 it is", by="eve")
    assert "4711-0815" not in str(asked)
    signoff.withdraw(ticket, by="ana")
    signoff.erase(ticket, by="dpo", reason="art. 17")
    assert [(one.text, one.answer) for one in signoff.ticket(ticket.id).inquiries] == [("", "")]
    assert signoff.verify().broken == []


def test_a_deputy_asks_too(signoff: Signoff) -> None:
    signoff.delegate("ana", to="cem", until=NOW + timedelta(days=1), by="ana")
    assert signoff.request_info(open_ticket(signoff, **TERMS), "why?", by="cem").inquiries[0].by == "cem"


# Who had best decide ---------------------------------------------------------------------------------------------------------


def test_whoever_has_least_in_hand_is_suggested(signoff: Signoff) -> None:
    for number in range(3):
        signoff.take(open_ticket(signoff, {"n": number}, **TERMS), by="ana")
    ticket = open_ticket(signoff, {"n": 9}, **TERMS)
    assert signoff.suggest(ticket) == "bo"
    assert signoff.assign(ticket, by="dora").assignee == "bo"
    assert signoff.suggest(ticket) == "ana"


def test_among_equals_everybody_gets_their_share(signoff: Signoff) -> None:
    tickets = [open_ticket(signoff, {"n": number}, **TERMS) for number in range(60)]
    shares = Counter(signoff.suggest(ticket) for ticket in tickets)
    assert set(shares) == {"ana", "bo"}
    assert min(shares.values()) > 15
    assert signoff.suggest(tickets[0]) == signoff.suggest(tickets[0])
    for ticket in tickets:
        signoff.assign(ticket, by="dora")
    assert sorted(signoff.ledger.loads().values()) == [30, 30]


def test_who_has_done_their_part_is_suggested_no_more(signoff: Signoff) -> None:
    ticket = open_ticket(signoff, approvals=2, requester="cem", **TERMS)
    signoff.approve(ticket, by="bo")
    assert signoff.suggest(ticket) == "ana"


def test_who_is_away_is_suggested_only_where_nobody_else_is_left(signoff: Signoff) -> None:
    tickets = [open_ticket(signoff, {"n": number}, **TERMS) for number in range(10)]
    signoff.delegate("ana", to="cem", start=NOW + timedelta(hours=1), until=NOW + timedelta(days=1), by="ana")
    assert {signoff.suggest(ticket) for ticket in tickets} == {"ana", "bo"}, "she is there until then"
    signoff.delegate("ana", to="cem", until=NOW + timedelta(days=1), by="ana")
    assert {signoff.suggest(ticket) for ticket in tickets} == {"bo"}
    signoff.assign(tickets[0], by="dora")
    assert signoff.suggest(tickets[0]) == "ana"


def test_where_nobody_can_be_suggested_it_says_why(signoff: Signoff, tmp_path: Path) -> None:
    ticket = signoff.reject(open_ticket(signoff, **TERMS), by="ana")
    with pytest.raises(NotAllowedToDecide, match="it waits for nobody else"):
        signoff.suggest(ticket)
    anybody = Signoff(tmp_path / "open.db", policy=Policy())
    with closing(anybody), pytest.raises(NotAllowedToDecide, match="names no people"):
        anybody.suggest(open_ticket(anybody))


def test_the_command_line_asks_answers_and_assigns(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    ticket = desk.ticket(requester="cem")
    asked = desk.run("request-info", ticket.id[:8], "which one?", "--as", "ana")
    assert asked.out == f"{ticket.id[:12]}  it waits for a word of cem\n"
    assert desk.run("give-info", ticket.id[:8], "the first", "--as", "cem").code == 0
    assert "cem: the first" in desk.run("show", ticket.id[:8]).out
    assert "info_requested of cem by ana: which one?" in desk.run("history", ticket.id[:8]).out
    assert desk.run("assign", ticket.id[:8], "--as", "ana").out == f"{ticket.id[:12]}  assigned to ana\n"

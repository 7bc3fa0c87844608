"""Who stands in for whom: both names on the record, one voice, and no way round what bars either of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli_support import Desk
from langgraph_signoff import NotAllowedToDecide, Policy, Reply, Signoff, Standing, TicketClosed, Verdict, law
from langgraph_signoff.errors import IncompleteDecision
from langgraph_signoff.law import Say
from langgraph_signoff.vocabulary import Panel, Slot
from support import NOW, Clock, open_ticket
from test_law import APPROVE, Story

DAY = timedelta(days=1)
PEOPLE = {
    "ana": frozenset({"finance"}),
    "bo": frozenset({"finance"}),
    "cem": frozenset({"sales"}),
    "dora": frozenset[str](),
}
FINANCE = (("group:finance",),)


@pytest.fixture
def signoff(tmp_path: Path, clock: Clock) -> Iterator[Signoff]:
    people = {name: {"groups": sorted(groups)} for name, groups in PEOPLE.items()}
    policy = Policy(people=people, queues={"q": {"owner": "dora", "backup": ["ana"]}})
    with closing(Signoff(tmp_path / "signoff.db", policy=policy, clock=clock)) as signoff:
        yield signoff


def away(signoff: Signoff, absent: str = "ana", to: str = "cem", *, by: str = "ana", **more: Any) -> None:
    signoff.delegate(absent, to=to, by=by, **({"until": NOW + 5 * DAY} | more))


def asked(signoff: Signoff, **more: Any) -> Any:
    return open_ticket(signoff, reviewers=FINANCE, window=30 * DAY, **more)


# In whose name ---------------------------------------------------------------------------------------------------------------


def test_a_deputy_decides_in_the_name_of_who_is_away_and_both_are_on_the_record(signoff: Signoff) -> None:
    ticket = asked(signoff)
    with pytest.raises(NotAllowedToDecide):
        signoff.approve(ticket, by="cem")
    away(signoff)
    approved = signoff.approve(ticket, by="cem", reason="as agreed")
    assert approved.standing is Standing.APPROVED
    assert [(d.by, d.behalf, d.groups) for d in approved.decisions] == [("cem", "ana", ("finance",))]
    assert approved.approved_by == ("ana",)
    assert "cem for ana approved" in str(approved)
    assert signoff.history(ticket)[-1].body["behalf"] == "ana"
    assert signoff.verify().broken == []


def test_it_holds_from_its_start_until_its_end_and_not_a_moment_longer(signoff: Signoff, clock: Clock) -> None:
    away(signoff, start=NOW + DAY, until=NOW + 2 * DAY)
    for passed, may in ((0, False), (24, True), (23.99, True), (0.01, False)):
        clock.advance(hours=passed)
        ticket = asked(signoff, args={"at": str(clock.now)})
        if may:
            assert signoff.approve(ticket, by="cem").standing is Standing.APPROVED
        else:
            with pytest.raises(NotAllowedToDecide):
                signoff.approve(ticket, by="cem")


def test_whoever_may_decide_anyway_does_so_in_their_own_name(signoff: Signoff) -> None:
    away(signoff, to="bo")
    assert [(d.by, d.behalf) for d in signoff.approve(asked(signoff), by="bo").decisions] == [("bo", "")]


def test_a_deputy_passes_nothing_on(signoff: Signoff) -> None:
    away(signoff, "ana", "cem")
    away(signoff, "cem", "dora", by="cem")
    with pytest.raises(NotAllowedToDecide):
        signoff.approve(asked(signoff), by="dora")


def test_a_later_delegation_replaces_the_one_before_and_its_end_ends_it(signoff: Signoff) -> None:
    away(signoff, to="cem")
    away(signoff, to="dora")
    assert [(one.absent, one.deputy) for one in signoff.delegations()] == [("ana", "dora")]
    with pytest.raises(NotAllowedToDecide):
        signoff.approve(asked(signoff), by="cem")
    signoff.end_delegation("ana", by="ana")
    with pytest.raises(NotAllowedToDecide):
        signoff.approve(asked(signoff), by="dora")


def test_who_says_who_may_decide_for_whom(signoff: Signoff) -> None:
    away(signoff)
    reviewers = {one.name: (one.may, one.why) for one in signoff.who(asked(signoff))}
    assert reviewers["cem"] == (True, "stands in for ana")
    assert reviewers["dora"][0] is False
    barred = {one.name: one.may for one in signoff.who(asked(signoff, args={"n": 2}, requester="cem"))}
    assert barred["cem"] is False


def test_several_answers_at_once_are_given_in_that_name_too(signoff: Signoff) -> None:
    away(signoff)
    tickets = [asked(signoff, args={"n": n}) for n in range(2)]
    replies = [Reply(ticket_id=t.id, says=Verdict.APPROVE, digest=t.digest, generation=t.generation) for t in tickets]
    heard = signoff.hear(replies, by="cem")
    assert [(t.standing, t.decisions[0].behalf) for t in heard] == [(Standing.APPROVED, "ana")] * 2


def test_a_deputy_takes_and_extends_what_they_may_decide(signoff: Signoff) -> None:
    away(signoff)
    ticket = asked(signoff)
    assert signoff.take(ticket, by="cem").taker == "cem"
    signoff.request_info(ticket, "which one?", by="cem", of="dora")
    assert signoff.extend(ticket, by="cem", reason="holidays").due_at == NOW + 60 * DAY
    assert [entry.body["behalf"] for entry in signoff.history(ticket)[1:]] == ["ana"] * 3


# One voice -------------------------------------------------------------------------------------------------------------------


def test_two_absent_people_with_one_deputy_are_one_voice(signoff: Signoff) -> None:
    away(signoff, "ana", "cem")
    away(signoff, "bo", "cem", by="bo")
    ticket = asked(signoff, approvals=2)
    signoff.approve(ticket, by="cem")
    signoff.end_delegation("ana", by="ana")
    with pytest.raises(TicketClosed, match=r"has spoken on ticket .* as cem for ana"):
        signoff.approve(signoff.ticket(ticket.id), by="cem")
    assert signoff.approve(signoff.ticket(ticket.id), by="bo").standing is Standing.APPROVED


def test_who_is_away_and_their_deputy_are_one_voice(signoff: Signoff) -> None:
    away(signoff)
    ticket = asked(signoff, approvals=2)
    signoff.approve(ticket, by="ana")
    with pytest.raises(TicketClosed):
        signoff.approve(signoff.ticket(ticket.id), by="cem")
    with pytest.raises(TicketClosed, match="themselves; that stands"):
        signoff.reject(signoff.ticket(ticket.id), by="cem")


def test_whoever_comes_back_may_say_otherwise_than_their_deputy_has(signoff: Signoff) -> None:
    away(signoff)
    ticket = asked(signoff, approvals=2)
    signoff.approve(ticket, by="cem")
    assert signoff.reject(signoff.ticket(ticket.id), by="ana").standing is Standing.REJECTED


@pytest.mark.parametrize(("requester", "says"), [("cem", "cem is the requester"), ("ana", "cem is not among")])
def test_what_bars_either_of_them_bars_both(signoff: Signoff, requester: str, says: str) -> None:
    away(signoff)
    with pytest.raises(NotAllowedToDecide, match=says):
        signoff.approve(asked(signoff, requester=requester), by="cem")


def test_an_edit_in_somebodys_name_makes_authors_of_both(signoff: Signoff) -> None:
    away(signoff)
    ticket = asked(signoff, barred=("author",))
    edited = signoff.revise(ticket, by="cem", args={"to": "eve"})
    assert (edited.standing, edited.approved_by) == (Standing.PENDING, ())
    with pytest.raises(NotAllowedToDecide, match="ana wrote the arguments"):
        signoff.approve(edited, by="ana")
    with pytest.raises(NotAllowedToDecide):
        signoff.approve(edited, by="cem")
    assert signoff.approve(edited, by="bo").standing is Standing.APPROVED


def test_in_a_panel_a_deputy_fills_the_place_of_who_is_away() -> None:
    panel = Panel(levels=(((Slot(who=("group:finance",)), Slot(who=("group:sales",))),),))
    ticket = Story.of(people=PEOPLE, panels=(panel,), approvals=2)
    said = Say(APPROVE, "dora", ticket.case.digest)
    said = law.speaking(ticket.case, said, PEOPLE, {"dora": ["ana"]})
    assert ticket.write(*law.decide(ticket.case, said, PEOPLE)) is Standing.PENDING
    assert ticket.case.approvers == ("ana",)
    assert ticket.say(APPROVE, "cem") is Standing.APPROVED


@given(st.lists(st.tuples(st.sampled_from(sorted(PEOPLE)), st.sampled_from(sorted(PEOPLE))), max_size=8))
def test_as_many_approvals_as_there_are_come_from_as_many_people(said: list[tuple[str, str]]) -> None:
    ticket = Story.of(people=PEOPLE, reviewers=FINANCE, approvals=3)
    for by, absent in said:
        say = law.speaking(ticket.case, Say(APPROVE, by, ticket.case.digest), PEOPLE, {by: [absent]})
        try:
            ticket.write(*law.decide(ticket.case, say, PEOPLE))
        except (NotAllowedToDecide, TicketClosed):
            continue
    hands = [d.by for d in ticket.case.latest().values()]
    assert len(hands) == len(set(hands)) == len(ticket.case.approvers)


# Who may say so --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "error", "says"),
    [
        ({"by": "bo"}, NotAllowedToDecide, "bo may not say who decides for ana"),
        ({"to": "eve"}, NotAllowedToDecide, "does not know 'eve'"),
        ({"to": "ana"}, IncompleteDecision, "cannot stand in for themselves"),
        ({"to": " "}, IncompleteDecision, "names who is away"),
        ({"until": NOW - DAY}, IncompleteDecision, "in the future"),
        ({"until": NOW + 400 * DAY}, IncompleteDecision, "within a year"),
        ({"start": NOW + 9 * DAY}, IncompleteDecision, "ends after it begins"),
        ({"until": (NOW + DAY).replace(tzinfo=None)}, IncompleteDecision, "with a time zone"),
    ],
)
def test_a_delegation_that_cannot_hold_is_refused(signoff: Signoff, more: Any, error: Any, says: str) -> None:
    with pytest.raises(error, match=says):
        away(signoff, **more)
    assert signoff.delegations() == []
    assert signoff.history is not None
    with pytest.raises(IncompleteDecision, match="nobody stands in for 'ana'"):
        signoff.end_delegation("ana", by="ana")


def test_the_owner_of_a_queue_may_delegate_for_who_is_away_already(signoff: Signoff) -> None:
    away(signoff, by="dora")
    assert signoff.approve(asked(signoff, owner="dora"), by="cem").standing is Standing.APPROVED
    with pytest.raises(NotAllowedToDecide):
        signoff.end_delegation("ana", by="cem")


def test_the_owner_of_a_queue_delegates_nothing_of_what_is_in_anothers(signoff: Signoff) -> None:
    away(signoff, to="dora", by="dora")
    ticket, own = asked(signoff, owner="ana"), asked(signoff, owner="dora")
    for says in (signoff.approve, signoff.reject, signoff.take):
        with pytest.raises(NotAllowedToDecide):
            says(ticket, by="dora")
    assert [each.name for each in signoff.who(ticket) if each.may] == ["ana", "bo"]
    assert [each.id for each in signoff.mine(by="dora")] == [own.id]
    assert signoff.approve(own, by="dora").standing is Standing.APPROVED


def test_the_command_line_delegates_lists_and_ends(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.ticket()
    (tmp_path / "signoff.yaml").write_text("version: 1\npeople: {ana: {}, cem: {}}\n")
    shared = ("--policy", "signoff.yaml", "--as", "ana")
    ended = desk.run("delegate", "ana", "cem", "--until", "5d", "--reason", "leave", *shared)
    assert (ended.code, "cem for ana" in ended.out, ended.out.rstrip().endswith("by ana: leave")) == (0, True, True)
    assert desk.run("delegations").out == ended.out
    assert desk.run("delegate", "ana", "--end", *shared).out == "nobody stands in for anybody\n"
    for words in (("delegate", "ana"), ("delegate", "ana", "cem"), ("delegate", "ana", "cem", "--until", "soon")):
        assert desk.run(*words, *shared).code == 2

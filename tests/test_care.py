"""The quality of a decision: reasons at hand, a checklist, time to read, and a second look by somebody else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli_support import Desk
from langgraph_signoff import Policy, PolicyError, Reply, Signoff, Standing, Ticket, Verdict
from langgraph_signoff.entries import hash_entry
from langgraph_signoff.errors import IncompleteDecision, NotAllowedToDecide, TicketClosed, TooFast
from langgraph_signoff.law import audit_id, stricter
from langgraph_signoff.ledger import Draft
from langgraph_signoff.records import Opening
from langgraph_signoff.vocabulary import Requirements
from support import Clock, forge, open_ticket, opening
from test_policy import ruled

PEOPLE: dict[str, Any] = {name: {} for name in ("ana", "bo", "cem")}
ITEMS = ("the amount fits the invoice", "the recipient is known")
ALL = dict.fromkeys(ITEMS, "yes")
MINUTE = timedelta(minutes=1)


@pytest.fixture
def signoff(tmp_path: Path, clock: Clock) -> Iterator[Signoff]:
    with closing(Signoff(tmp_path / "signoff.db", policy=Policy(people=PEOPLE), clock=clock)) as signoff:
        yield signoff


def kinds(signoff: Signoff, ticket: Ticket) -> list[str]:
    return [entry.kind for entry in signoff.history(ticket)]


# Checklist -------------------------------------------------------------------------------------------------------------------


def test_an_approval_answers_every_item_and_the_answers_are_on_the_record(signoff: Signoff) -> None:
    ticket = open_ticket(signoff, checklist=ITEMS)
    given: Any
    for given in (None, {}, {ITEMS[0]: "yes"}, {**ALL, ITEMS[1]: " "}, {**ALL, ITEMS[1]: True}):
        with pytest.raises(IncompleteDecision, match="the recipient is known"):
            signoff.approve(ticket, by="ana", checked=given)
    with pytest.raises(IncompleteDecision, match="'the weather' is no item"):
        signoff.approve(ticket, by="ana", checked={**ALL, "the weather": "fine"})
    assert kinds(signoff, ticket) == ["opened"]
    approved = signoff.approve(ticket, by="ana", checked={**ALL, ITEMS[1]: "no, but ana vouches for them"})
    assert approved.standing is Standing.APPROVED
    assert approved.decisions[0].checked[ITEMS[1]] == "no, but ana vouches for them"
    assert "the amount fits the invoice: yes" in str(approved)


def test_whoever_rejects_answers_nothing(signoff: Signoff) -> None:
    assert signoff.reject(open_ticket(signoff, checklist=ITEMS), by="ana").standing is Standing.REJECTED


def test_an_edit_answers_no_checklist_and_so_approves_nothing(signoff: Signoff) -> None:
    policy = Policy(people=PEOPLE, tools={"send": {"otherwise": {"then": "review", "checklist": list(ITEMS)}}})
    with closing(Signoff(signoff.ledger, policy=policy)) as careful:
        edited = careful.revise(open_ticket(careful, checklist=ITEMS), by="ana", args={"to": "eve"})
        assert (edited.standing, edited.approved_by) == (Standing.PENDING, ())
        assert careful.approve(edited, by="ana", checked=ALL).standing is Standing.APPROVED


def test_answers_given_elsewhere_count_too(signoff: Signoff) -> None:
    ticket = open_ticket(signoff, checklist=ITEMS)
    reply = Reply(ticket_id=ticket.id, says=Verdict.APPROVE, digest=ticket.digest, generation=1)
    with pytest.raises(IncompleteDecision):
        signoff.hear([reply], by="ana")
    [heard] = signoff.hear([reply.model_copy(update={"checked": ALL})], by="ana")
    assert (heard.standing, heard.decisions[0].checked) == (Standing.APPROVED, ALL)


# Time to read ----------------------------------------------------------------------------------------------------------------


def test_who_is_too_fast_is_asked_once_more_and_then_counts(signoff: Signoff) -> None:
    ticket = open_ticket(signoff, read_for=MINUTE)
    assert "read for 1m" in str(ticket)
    with pytest.raises(TooFast, match="read for 1m"):
        signoff.approve(ticket, by="ana", read_for=MINUTE / 2)
    assert kinds(signoff, ticket) == ["opened", "hurried"]
    assert signoff.ticket(ticket.id).standing is Standing.PENDING
    assert signoff.approve(ticket, by="ana").standing is Standing.APPROVED


def test_who_has_read_for_long_enough_is_asked_nothing(signoff: Signoff) -> None:
    ticket = open_ticket(signoff, read_for=MINUTE)
    assert signoff.approve(ticket, by="ana", read_for=MINUTE).standing is Standing.APPROVED
    assert kinds(signoff, ticket) == ["opened", "decided"]


def test_one_persons_haste_is_nobody_elses_and_no_other_generations(signoff: Signoff) -> None:
    policy = Policy(people=PEOPLE, tools={"send": {"otherwise": {"then": "review", "approvals": 2, "read_for": "1m"}}})
    with closing(Signoff(signoff.ledger, policy=policy)) as careful:
        ticket = open_ticket(careful, read_for=MINUTE, approvals=2)
        for by in ("ana", "bo"):
            with pytest.raises(TooFast):
                careful.approve(ticket, by=by)
        edited = careful.revise(ticket, by="cem", args={"to": "eve"})
        with pytest.raises(TooFast):
            careful.approve(edited, by="ana")


def test_an_edit_spares_nobody_the_time_to_read(signoff: Signoff) -> None:
    policy = Policy(people=PEOPLE, tools={"send": {"otherwise": {"then": "review", "read_for": "1m"}}})
    with closing(Signoff(signoff.ledger, policy=policy)) as careful:
        edited = careful.revise(open_ticket(careful, read_for=MINUTE), by="ana", args={"to": "eve"})
        assert (edited.standing, edited.approved_by) == (Standing.PENDING, ())
        assert careful.approve(edited, by="ana", read_for=MINUTE).standing is Standing.APPROVED


def test_haste_that_lacks_more_than_time_leaves_nothing_behind(signoff: Signoff) -> None:
    ticket = open_ticket(signoff, read_for=MINUTE, checklist=ITEMS, requester="cem")
    with pytest.raises(IncompleteDecision):
        signoff.approve(ticket, by="ana")
    with pytest.raises(NotAllowedToDecide):
        signoff.approve(ticket, by="cem", checked=ALL)
    assert kinds(signoff, ticket) == ["opened"]
    signoff.reject(ticket, by="bo")
    with pytest.raises(TicketClosed):
        signoff.approve(ticket, by="ana", checked=ALL)


def test_several_answers_at_once_are_asked_once_more_together(signoff: Signoff) -> None:
    tickets = [open_ticket(signoff, {"n": n}, read_for=MINUTE) for n in range(2)]
    replies = [Reply(ticket_id=t.id, says=Verdict.APPROVE, digest=t.digest, generation=1) for t in tickets]
    with pytest.raises(TooFast):
        signoff.hear(replies, by="ana")
    assert [ticket.standing for ticket in signoff.hear(replies, by="ana")] == [Standing.APPROVED] * 2


# A second look ---------------------------------------------------------------------------------------------------------------


def ran(signoff: Signoff, args: dict[str, Any] | None = None, *, by: str = "ana", **more: Any) -> Ticket:
    """A ticket that was approved and has run."""
    ticket = signoff.approve(open_ticket(signoff, args, **more), by=by)
    drafts = [
        Draft("claimed", {"attempt": 1, "owner": "{}", "lease": 1.0}),
        Draft("executed", {"attempt": 1}, {"rendering": "sent"}),
    ]
    signoff.desk.write(ticket.id, lambda _: drafts)
    return signoff.ticket(ticket.id)


def test_another_person_looks_after_it_has_run(signoff: Signoff) -> None:
    ticket = ran(signoff, second_look=1.0)
    assert ticket.standing is Standing.EXECUTED
    [audit] = signoff.audits()
    assert (audit.id, audit.about, audit.reason_code) == (ticket.audit, ticket.id, "second_look")
    with pytest.raises(NotAllowedToDecide, match="a second look is somebody else's"):
        signoff.confirm(audit, by="ana")
    assert signoff.confirm(audit, by="bo").standing is Standing.CONFIRMED
    assert signoff.verify().broken == []


def test_a_flag_on_it_is_an_alert_and_takes_one_person(signoff: Signoff) -> None:
    ticket = open_ticket(signoff, second_look=1.0, approvals=2)
    signoff.approve(ticket, by="ana")
    signoff.approve(signoff.ticket(ticket.id), by="bo")
    signoff.desk.write(ticket.id, lambda _: [Draft("executed", {"attempt": 0}, {"rendering": "sent"})])
    [audit] = signoff.audits()
    flagged = signoff.flag(audit, by="cem", reason="no such invoice")
    assert (flagged.standing, kinds(signoff, flagged)) == (Standing.FLAGGED, ["opened", "decided", "alerted"])


def test_a_deputy_who_approved_looks_at_it_no_more_nor_does_who_was_away(signoff: Signoff, clock: Clock) -> None:
    signoff.delegate("ana", to="bo", until=clock.now + timedelta(days=1), by="ana")
    ran(signoff, by="bo", second_look=1.0, reviewers=(("ana", "cem"),))
    [audit] = signoff.audits()
    for by in ("ana", "bo"):
        with pytest.raises(NotAllowedToDecide):
            signoff.confirm(audit, by=by)
    assert signoff.confirm(audit, by="cem").standing is Standing.CONFIRMED


BUSINESS = """
version: 1
people: {ana: {}, bo: {}}
queues:
  money: {owner: ana, backup: [bo], second_look: 1.0, window: {business: 1d}, remind: [0.5], hours: {zone: UTC}}
tools: {send: {otherwise: {then: review, queue: money}}}
"""


@pytest.mark.parametrize("in_force", [None, Policy.parse(BUSINESS)], ids=["on record", "in force"])
def test_a_second_look_has_a_working_day_of_its_own_from_when_it_ran(
    tmp_path: Path, in_force: Policy | None, clock: Clock
) -> None:
    policy = Policy.parse(BUSINESS)
    clock.now = datetime(2026, 3, 5, 10, tzinfo=UTC)  # a Thursday
    action = opening(tool="send").action
    ruling = policy.rule(action, now=clock.now)
    with closing(Signoff(tmp_path / "s.db", policy=policy, clock=clock)) as signoff:
        signoff.desk.open([Opening("a" * 32, action, ruling)], policy=(policy.version, policy.document))
        clock.advance(hours=23)
        signoff.approve(signoff.ticket("a" * 32), by="ana")
    with closing(Signoff(tmp_path / "s.db", policy=in_force, clock=clock)) as later:
        drafts = [Draft("claimed", {"attempt": 1, "owner": "{}", "lease": 1.0}), Draft("executed", {"attempt": 1})]
        later.desk.write("a" * 32, lambda _: drafts)
        [audit] = later.audits()
        assert audit.due_at == datetime(2026, 3, 9, 9, tzinfo=UTC), "the Monday after it"
        assert later.verify().broken == []


def test_whoever_approved_looks_at_it_in_nobody_elses_name_either(signoff: Signoff, clock: Clock) -> None:
    ran(signoff, by="ana", second_look=1.0, reviewers=(("ana", "cem"),))
    signoff.delegate("cem", to="ana", until=clock.now + timedelta(days=1), by="cem")
    [audit] = signoff.audits()
    assert [each.name for each in signoff.who(audit) if each.may] == ["cem"]
    for says in (signoff.confirm, signoff.flag):
        with pytest.raises(NotAllowedToDecide, match="a second look is somebody else's"):
            says(audit, by="ana")
    assert signoff.audits() == [audit]


def test_a_second_look_that_hides_who_approved_is_found_also_if_it_is_chained_anew(
    tmp_path: Path, signoff: Signoff
) -> None:
    ticket = ran(signoff, second_look=1.0)
    [entry] = signoff.history(ticket.audit)
    body = entry.body_json.replace('"approved_by":["ana"]', '"approved_by":[]')
    told = (entry.stream, entry.seq, entry.at, entry.kind, body, entry.contents_hash, entry.prev)
    quoted = body.replace("'", "''")
    forge(
        tmp_path / "signoff.db",
        f"UPDATE entries SET body = '{quoted}', hash = '{hash_entry(*told)}' WHERE hash = '{entry.hash}'",
    )
    [broken] = signoff.verify().broken
    assert "was approved by others than its second look says" in broken


def test_a_share_is_chosen_that_the_secret_decides(signoff: Signoff) -> None:
    chosen = [bool(ran(signoff, {"n": n}, second_look=0.3).audit) for n in range(60)]
    assert 5 <= sum(chosen) <= 35
    assert len(signoff.audits(limit=100)) == sum(chosen)
    assert signoff.verify().broken == []


def test_a_choice_that_was_left_out_is_found(signoff: Signoff) -> None:
    ticket = signoff.approve(open_ticket(signoff, second_look=1.0), by="ana")
    assert signoff.ledger.secret() == b""
    ran(signoff, {"n": 2}, second_look=1.0)
    assert audit_id(ticket.id) not in signoff.ledger.rows([audit_id(ticket.id)])
    assert signoff.verify().broken == []


def test_what_nobody_approved_or_did_not_run_is_looked_at_by_nobody(signoff: Signoff) -> None:
    signoff.reject(open_ticket(signoff, {"n": 1}, second_look=1.0), by="ana")
    signoff.approve(open_ticket(signoff, {"n": 2}, second_look=1.0), by="ana")
    assert signoff.audits() == []


# Reasons at hand, and the policy ---------------------------------------------------------------------------------------------

POLICY = """
version: 1
people: {ana: {}, bo: {}, cem: {}}
queues: {money: {owner: ana, backup: [bo], checklist: [the amount fits], read_for: 10s, second_look: 0.5}}
tools:
  send:
    templates: {duplicate: this invoice has been paid already}
    otherwise: {then: review, queue: money}
"""


def test_the_policy_says_all_of_it_and_a_ticket_shows_it(tmp_path: Path) -> None:
    policy = Policy.parse(POLICY)
    needs = ruled(policy, "send", {}).requirements
    assert (needs.checklist, needs.read_for, needs.second_look) == (("the amount fits",), timedelta(seconds=10), 0.5)
    assert ruled(policy, "send", {}).templates == {"duplicate": "this invoice has been paid already"}


@pytest.mark.parametrize(
    "written", ["checklist: []", "checklist: yes", "second_look: 2", "read_for: soon", "read_for: 400d"]
)
def test_what_means_nothing_is_refused(written: str) -> None:
    with pytest.raises(PolicyError):
        Policy.parse(f"version: 1\nqueues: {{q: {{{written}}}}}\n")


def test_an_audit_takes_no_second_look() -> None:
    with pytest.raises(PolicyError, match="second_look"):
        Policy(tools={"tag": {"risk": {"reversible": True}, "otherwise": {"then": "audit", "second_look": 0.5}}})


def test_no_revision_makes_it_easier() -> None:
    old = Requirements(checklist=("a",), read_for=MINUTE, second_look=0.5)
    both = stricter(old, Requirements(checklist=("b",)))
    assert (both.checklist, both.read_for, both.second_look) == (("a", "b"), MINUTE, 0.5)


def test_the_command_line_takes_templates_and_answers(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    ticket = desk.ticket(checklist=ITEMS, templates={"duplicate": "it has been paid"})
    shown = desk.run("show", ticket.id[:8]).out
    assert "1. the amount fits the invoice" in shown
    assert "duplicate: it has been paid" in shown
    approve = ("approve", ticket.id[:8], "--digest", ticket.digest, "--as", "ana")
    assert "the recipient is known" in desk.run(*approve, "--check", "1=yes").err
    assert desk.run(*approve, "--check", "3=yes").code == 2
    assert desk.run(*approve, "--template", "nonsense").code == 2
    assert desk.run(*approve, "--check", "1=yes", "--check", "2=yes", "--template", "duplicate").code == 0
    assert "it has been paid" in desk.run("show", ticket.id[:8]).out

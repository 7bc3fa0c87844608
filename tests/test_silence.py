"""What time brings while nobody decides: reminders, escalations and the end, each once, however late and often it is asked."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli_support import COMMAND, Desk, environment
from langgraph_signoff import NotAllowedToDecide, Policy, PolicyError, Signoff, Standing, law
from langgraph_signoff.law.silence import widened
from langgraph_signoff.ledger import Query, find_all
from langgraph_signoff.vocabulary import Escalation, Panel, Slot
from support import NOW, Clock, as_of_version, open_ticket, opening, until
from test_law import APPROVE, Story

PEOPLE = {
    "ana": frozenset({"finance"}),
    "bo": frozenset({"finance"}),
    "cem": frozenset({"leads"}),
    "dora": frozenset({"board"}),
}
TO_LEADS, TO_BOARD = Escalation(at=0.5, to=("group:leads",)), Escalation(at=0.75, to=("dora",))
TERMS: dict[str, Any] = {
    "reviewers": (("group:finance",),),
    "window": timedelta(hours=4),
    "reminders": (0.25, 0.9),
    "escalations": (TO_LEADS, TO_BOARD),
}
IN_ORDER = ["opened", "reminded", "escalated", "escalated", "reminded", "expired"]
AT = [0, 60, 120, 180, 216, 240]  # minutes


def story(**more: Any) -> Story:
    return Story.of(people=PEOPLE, **(TERMS | more))


def kinds(signoff: Signoff, ticket_id: str) -> list[str]:
    return [entry.kind for entry in signoff.history(ticket_id)]


@pytest.fixture
def signoff(tmp_path: Path, clock: Clock) -> Iterator[Signoff]:
    people = {name: {"groups": sorted(groups)} for name, groups in PEOPLE.items()}
    with closing(Signoff(tmp_path / "signoff.db", policy=Policy(people=people), clock=clock)) as signoff:
        yield signoff


# The law ---------------------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 300), max_size=6).map(sorted))
def test_whatever_has_come_due_is_written_once_and_in_its_order_whenever_anybody_looks(looks: list[int]) -> None:
    ticket, elapsed = story(), 0
    for minute in looks:
        ticket.after(minutes=minute - elapsed)
        elapsed = minute
        recorded = law.recorded(ticket.history)
        ticket.write(*law.silence(recorded, ticket.now))
        assert law.silence(law.recorded(ticket.history), ticket.now) == []
        assert [entry.kind for entry in ticket.history] == [
            k for k, at in zip(IN_ORDER, AT, strict=True) if at <= minute
        ]


@given(st.integers(0, 300))
def test_who_may_decide_at_an_instant_does_not_hang_on_whether_it_was_written_down(minute: int) -> None:
    unwritten, written = story().after(minutes=minute), story().after(minutes=minute)
    written.write(*law.silence(law.recorded(written.history), written.now))
    assert unwritten.case.requirements == written.case.requirements
    assert unwritten.case.standing is written.case.standing
    assert law.reviewers(unwritten.case, PEOPLE) == law.reviewers(written.case, PEOPLE)


def test_each_escalation_lets_more_people_decide_and_keeps_everybody_who_could() -> None:
    ticket = story()
    able = []
    for _ in range(3):
        able.append([one.name for one in law.reviewers(ticket.case, PEOPLE) if one.may])
        ticket.after(minutes=90)
    assert able == [["ana", "bo"], ["ana", "bo"], ["ana", "bo", "cem", "dora"]]
    with pytest.raises(NotAllowedToDecide):
        story().after(minutes=119).say(APPROVE, "cem")


def test_the_requester_may_not_decide_after_an_escalation_either() -> None:
    ticket = story(requester="cem").after(minutes=130)
    with pytest.raises(NotAllowedToDecide, match="cem is the requester"):
        ticket.say(APPROVE, "cem")


def test_the_backup_fills_any_place_of_a_panel_but_only_one() -> None:
    panel = Panel(levels=(((Slot(who=("group:finance",)), Slot(who=("group:audit",))),),))
    ticket = story(reviewers=(), panels=(panel,), approvals=2, escalations=(TO_LEADS,)).after(minutes=121)
    ticket.write(*law.silence(law.recorded(ticket.history), ticket.now))
    assert ticket.say(APPROVE, "cem") is Standing.PENDING
    assert ticket.say(APPROVE, "ana") is Standing.APPROVED


def test_nothing_comes_of_a_clock_that_went_back() -> None:
    ticket = story().after(minutes=130)
    ticket.write(*law.silence(law.recorded(ticket.history), ticket.now))
    ticket.after(minutes=-120)
    assert law.silence(law.recorded(ticket.history), ticket.now) == []
    assert [one.name for one in law.reviewers(ticket.case, PEOPLE) if one.may] == ["ana", "bo", "cem"]


def test_more_time_moves_what_has_not_come_yet_and_repeats_nothing() -> None:
    ticket = story().after(minutes=130)
    ticket.write(*law.silence(law.recorded(ticket.history), ticket.now))
    most = ticket.now + timedelta(hours=6)
    ticket.write(*law.extend(ticket.case, by="ana", reason="a holiday", people=PEOPLE, most=most))
    assert law.silence(law.recorded(ticket.history), ticket.now + timedelta(minutes=60)) == []
    assert law.next_at(law.recorded(ticket.history)) == NOW + 0.75 * (most - NOW)


def test_an_edit_keeps_the_escalation_that_has_come() -> None:
    ticket = story(approvals=2).after(minutes=130)
    ticket.write(*law.silence(law.recorded(ticket.history), ticket.now))
    ticket.revise("cem", {"to": "eve", "amount": 1.0}, **{**TERMS, "approvals": 2})
    assert ticket.case.approvers == ("cem",)
    assert ticket.say(APPROVE, "ana") is Standing.APPROVED


def test_an_edit_to_what_escalates_otherwise_lets_nobody_more_decide() -> None:
    ticket = story().after(minutes=130)
    ticket.write(*law.silence(law.recorded(ticket.history), ticket.now))
    ticket.revise(
        "ana", {"to": "eve", "amount": 1.0}, approvals=2, reviewers=TERMS["reviewers"], escalations=(TO_BOARD,)
    )
    with pytest.raises(NotAllowedToDecide):
        ticket.say(APPROVE, "cem")


def test_widening_is_for_those_who_are_asked_for_by_name_or_group_only() -> None:
    needs = story(reviewers=()).case.requirements
    assert widened(needs, 0) is needs
    assert widened(needs, 1).reviewers == ()


# The ledger ------------------------------------------------------------------------------------------------------------------


def test_expire_does_all_that_is_due_and_wakes_only_threads_whose_wait_is_over(signoff: Signoff, clock: Clock) -> None:
    ticket = open_ticket(signoff, **TERMS)
    expected = []
    for minutes, upto in ((59, 1), (2, 2), (60, 3), (60, 4), (40, 5)):
        clock.advance(minutes=minutes)
        expected.append((signoff.expire(), kinds(signoff, ticket.id)))
        assert expected[-1] == ([], IN_ORDER[:upto])
        assert signoff.expire() == []
    clock.advance(minutes=60)
    assert signoff.expire() == [ticket.thread_id]
    assert (kinds(signoff, ticket.id), signoff.expire()) == (IN_ORDER, [])
    assert signoff.verify().broken == []


def test_a_clock_that_stood_still_for_long_writes_everything_it_missed(signoff: Signoff, clock: Clock) -> None:
    ticket = open_ticket(signoff, **TERMS)
    clock.advance(days=3)
    assert signoff.expire() == [ticket.thread_id]
    assert kinds(signoff, ticket.id) == IN_ORDER
    assert signoff.verify().broken == []


def test_two_clocks_at_once_write_everything_once(signoff: Signoff, clock: Clock) -> None:
    ids = [open_ticket(signoff, {"n": n}, **TERMS).id for n in range(20)]
    clock.advance(minutes=190)
    threads = [Thread(target=signoff.expire) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {tuple(kinds(signoff, id_)) for id_ in ids} == {tuple(IN_ORDER[:4])}


def test_the_backup_decides_from_its_moment_on_and_the_ticket_says_so(signoff: Signoff, clock: Clock) -> None:
    ticket = open_ticket(signoff, **TERMS)
    clock.advance(minutes=119)
    with pytest.raises(NotAllowedToDecide):
        signoff.approve(ticket, by="cem")
    clock.advance(minutes=1)
    assert "if late  group:leads from 2026-03-02 11:30:00 UTC on; dora from" in str(ticket)
    assert signoff.ticket(ticket.id).escalated_to == ("group:leads",)
    assert "escalated  to group:leads" in str(signoff.ticket(ticket.id))
    assert signoff.approve(ticket, by="cem").standing is Standing.APPROVED
    assert kinds(signoff, ticket.id) == ["opened", "reminded", "escalated", "decided"]


def test_the_next_moment_is_the_nearest_of_any_ticket(signoff: Signoff, clock: Clock) -> None:
    assert signoff.seconds_to_next_moment() == float("inf")
    open_ticket(signoff, {"n": 1}, window=timedelta(hours=2))
    open_ticket(signoff, {"n": 2}, **TERMS)
    assert signoff.seconds_to_next_moment() == 3600
    clock.advance(hours=5)
    assert signoff.seconds_to_next_moment() == 0
    signoff.expire()
    assert signoff.seconds_to_next_moment() == float("inf")


def test_a_decided_ticket_is_due_for_nothing_but_its_lapse(signoff: Signoff) -> None:
    ticket = signoff.approve(open_ticket(signoff, **TERMS), by="ana")
    [row] = find_all(signoff.ledger, Query((Standing.APPROVED,)))
    assert row.next_at == row.due_at
    assert ticket.due_at == NOW + timedelta(hours=24)


def test_a_ledger_from_before_there_were_reminders_is_taken_on(tmp_path: Path, clock: Clock) -> None:
    with closing(Signoff(tmp_path / "signoff.db", policy=Policy(), clock=clock)) as signoff:
        first, second = open_ticket(signoff, {"n": 1}, window=timedelta(hours=1)), open_ticket(signoff, {"n": 2})
        clock.advance(hours=2)
        signoff.expire()
    as_of_version(tmp_path / "signoff.db", 2)
    with closing(Signoff(tmp_path / "signoff.db", policy=Policy(), clock=clock)) as signoff:
        assert signoff.verify().broken == []
        assert signoff.seconds_to_next_moment() == timedelta(hours=22).total_seconds()
        clock.advance(hours=24)
        assert signoff.expire() == [second.thread_id]
        assert signoff.ticket(first.id).standing is signoff.ticket(second.id).standing is Standing.EXPIRED


# The policy ------------------------------------------------------------------------------------------------------------------

QUEUE = """
version: 1
people: {{ana: {{groups: [finance]}}, cem: {{groups: [leads]}}}}
queues: {{q: {{owner: ana, backup: [group:leads], {terms}}}}}
tools: {{send: {{otherwise: {{then: review, queue: q{rule}}}}}}}
"""


@pytest.mark.parametrize(
    ("terms", "rule", "expected"),
    [
        ("escalate: 0.5", "", [(0.5, ("group:leads",))]),
        ("escalate: [0.5, {at: 0.75, to: [ana]}]", "", [(0.5, ("group:leads",)), (0.75, ("ana",))]),
        ("escalate: 0.5", ", escalate: {at: 0.1, to: [cem]}", [(0.1, ("cem",))]),
    ],
)
def test_a_queue_or_a_rule_says_when_it_escalates_and_to_whom(terms: str, rule: str, expected: list[Any]) -> None:
    policy = Policy.parse(QUEUE.format(terms=terms, rule=rule))
    needs = policy.rule(opening().action, now=NOW).requirements
    assert [(step.at, step.to) for step in needs.escalations] == expected


@pytest.mark.parametrize(
    ("terms", "where", "says"),
    [
        ("escalate: 1.5", "queues.q.escalate", "less than 1"),
        ("escalate: [0.5, 0.25]", "queues.q.escalate", "the smallest first"),
        ("remind: [0.5, 0.5]", "queues.q.remind", "each share once"),
        ("remind: []", "queues.q.remind", "at least 1"),
        ("escalate: {at: 0.5, to: [group:board]}", "queues.q.escalate", "unknown group board"),
        ("escalate: {after: 2h}", "queues.q.escalate", "at"),
    ],
)
def test_what_cannot_come_to_pass_is_refused_where_it_stands(terms: str, where: str, says: str) -> None:
    with pytest.raises(PolicyError, match=says) as refused:
        Policy.parse(QUEUE.format(terms=terms, rule=""))
    assert all(mistake.where.startswith(where) for mistake in refused.value.mistakes)


def test_an_escalation_to_nobody_is_refused() -> None:
    with pytest.raises(PolicyError, match="name a `backup`"):
        Policy(queues={"q": {"escalate": 0.5}})


# The clock -------------------------------------------------------------------------------------------------------------------


def test_the_clock_of_a_shell_writes_what_comes_due_and_ends_when_it_is_told_to(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    ticket = desk.ticket(window=timedelta(seconds=2), reminders=(0.1,))
    command = [*COMMAND, "run-clock", "--every", "1s"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == ticket.thread_id
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert kinds(desk.signoff, ticket.id) == ["opened", "reminded", "expired"]


def test_a_clock_that_is_killed_in_the_middle_loses_and_repeats_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with closing(desk.signoff) as signoff:
        ids = [desk.ticket({"n": n}, **{**TERMS, "window": timedelta(seconds=1)}).id for n in range(60)]
        with subprocess.Popen([*COMMAND, "run-clock", "--every", "1s"], cwd=tmp_path, env=environment()) as process:
            try:
                until(lambda: any(len(kinds(signoff, id_)) > 1 for id_ in ids), seconds=60)
            finally:
                process.kill()
        until(lambda: not signoff.pending())
        signoff.expire()
        assert {tuple(kinds(signoff, id_)) for id_ in ids} == {tuple(IN_ORDER)}
        assert signoff.verify().broken == []


def test_the_clock_says_that_a_ledger_does_not_answer_and_asks_it_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    ticket = desk.ticket(window=timedelta(seconds=1))
    said = tmp_path / "said.txt"
    with closing(sqlite3.connect(tmp_path / "signoff.db")) as other, said.open("w") as errors:
        other.execute("BEGIN IMMEDIATE")
        with subprocess.Popen(
            [*COMMAND, "run-clock", "--every", "1s"], cwd=tmp_path, env=environment(), stderr=errors
        ) as process:
            try:
                until(lambda: "database is locked" in said.read_text())
                other.execute("ROLLBACK")
                desk.signoff.seal()
                until(lambda: kinds(desk.signoff, ticket.id) == ["opened", "expired"], seconds=60)
            finally:
                process.kill()


def test_a_span_that_is_none_is_named(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.ticket()
    ended = desk.run("run-clock", "--every", "soon")
    assert (ended.code, "--every" in ended.err) == (2, True)

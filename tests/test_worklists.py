"""What an operator must not forget: whose word is waited for, what is overdue, and what does not move."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli_support import Desk
from langgraph_signoff import IncompleteDecision, NotAllowedToDecide, Policy, Query, Signoff, Standing, Ticket, law
from langgraph_signoff.law.silence import widened
from langgraph_signoff.records import asks, to_row
from langgraph_signoff.vocabulary import Escalation, Panel, Requirements, Slot
from support import NOW, Clock, as_of_version, holder, open_audit, open_ticket
from test_law import Story

PEOPLE = {"ana": {"groups": ["finance"]}, "bo": {"groups": ["finance"]}, "cem": {"groups": ["leads"]}, "eda": {}}
POLICY = Policy(people=PEOPLE, tools={"send": "review"})
FINANCE, LEADS = (("group:finance",),), (("group:leads",),)


@pytest.fixture
def signoff(tmp_path: Path, clock: Clock) -> Iterator[Signoff]:
    with closing(Signoff(tmp_path / "signoff.db", policy=POLICY, clock=clock)) as made:
        yield made


def ids(tickets: list[Ticket]) -> list[str]:
    return [ticket.id for ticket in tickets]


# Mine ---------------------------------------------------------------------------------------------------------------------


def test_mine_is_what_waits_for_my_word_most_urgent_first(signoff: Signoff) -> None:
    late = open_ticket(signoff, reviewers=FINANCE, window=timedelta(hours=9))
    soon = open_ticket(signoff, reviewers=FINANCE)
    open_ticket(signoff, reviewers=LEADS)
    anybody = open_ticket(signoff, priority=5)
    open_ticket(signoff, reviewers=FINANCE, requester="ana")
    both = open_ticket(signoff, reviewers=(("group:finance", "eda"), ("ana",)), window=timedelta(hours=48))
    assert ids(signoff.mine(by="ana")) == [anybody.id, late.id, soon.id, both.id]
    assert ids(signoff.mine(by="eda")) == [anybody.id]
    assert ids(signoff.mine(by=" ana ", limit=2)) == [anybody.id, late.id]


def test_what_i_have_approved_and_waits_for_others_is_not_mine(signoff: Signoff) -> None:
    two = open_ticket(signoff, reviewers=FINANCE, approvals=2)
    levels = (((Slot(who=("group:finance",)),),), ((Slot(who=("group:leads",)),),))
    serial = open_ticket(signoff, panels=(Panel(levels=levels),), approvals=2)
    assert ids(signoff.mine(by="cem")) == []
    signoff.approve(two, by="ana")
    signoff.approve(serial, by="ana")
    assert ids(signoff.mine(by="ana")) == []
    assert ids(signoff.mine(by="bo")) == [two.id]
    assert ids(signoff.mine(by="cem")) == [serial.id]


def test_what_is_assigned_to_me_or_taken_by_me_is_mine_once(signoff: Signoff, clock: Clock) -> None:
    two = open_ticket(signoff, reviewers=FINANCE, approvals=2, owner="eda")
    signoff.approve(two, by="ana")
    signoff.assign(two, to="ana", by="bo")
    taken = open_ticket(signoff, reviewers=FINANCE)
    signoff.take(taken, by="ana")
    assert ids(signoff.mine(by="ana")) == [two.id, taken.id]
    assert [ticket.taker for ticket in signoff.mine(by="bo")] == ["", "ana"]
    signoff.put_back(two, by="ana")
    assert ids(signoff.mine(by="ana")) == [taken.id]
    clock.advance(hours=25)
    assert signoff.mine(by="ana") == []


def test_a_call_in_doubt_waits_for_whoever_may_decide_it(signoff: Signoff) -> None:
    ticket = open_ticket(signoff, reviewers=FINANCE)
    signoff.approve(ticket, by="ana")
    case, _ = signoff.claims.claim(ticket.id)
    assert signoff.mine(by="ana") == []
    signoff.claims.doubt(case)
    assert ids(signoff.mine(by="ana")) == [ticket.id]
    assert signoff.mine(by="cem") == []


@pytest.mark.parametrize("is_written", [True, False])
def test_what_has_come_to_me_by_an_escalation_is_mine(signoff: Signoff, clock: Clock, is_written: bool) -> None:
    steps = (Escalation(at=0.5, to=("group:leads",)), Escalation(at=0.75, to=("eda",)))
    ticket = open_ticket(signoff, reviewers=FINANCE, escalations=steps)
    open_ticket(signoff, reviewers=FINANCE, priority=9)
    for hours, mine in ((11, {"ana"}), (2, {"ana", "cem"}), (6, {"ana", "cem", "eda"})):
        clock.advance(hours=hours)
        if is_written:
            signoff.expire()
        assert {by for by in PEOPLE if ticket.id in ids(signoff.mine(by=by))} == mine | {"bo"}


def test_what_waits_for_whom_i_stand_in_for_is_mine(signoff: Signoff, clock: Clock) -> None:
    theirs = open_ticket(signoff, reviewers=LEADS, owner="eda")
    open_ticket(signoff, reviewers=LEADS, requester="ana")
    signoff.assign(theirs, to="cem", by="eda")
    signoff.delegate("cem", to="ana", until=NOW + timedelta(hours=5), by="cem")
    assert ids(signoff.mine(by="ana")) == [theirs.id]
    signoff.approve(theirs, by="ana")
    assert signoff.mine(by="ana") == []
    open_ticket(signoff, reviewers=LEADS)
    clock.advance(hours=6)
    assert signoff.mine(by="ana") == []


def test_audits_are_mine_when_i_ask_for_audits(signoff: Signoff) -> None:
    audit = open_audit(signoff, reviewers=LEADS)
    assert signoff.mine(by="cem") == []
    assert ids(signoff.mine(by="cem", audits=True)) == [audit.id]
    assert signoff.mine(by="ana", audits=True) == []


def test_mine_is_narrowed_by_queue_thread_and_tool(signoff: Signoff) -> None:
    one, other = (open_ticket(signoff, queue=name, thread_id=name, tool=name) for name in ("a", "b"))
    for narrow in ("queue", "thread_id", "tool"):
        assert ids(signoff.mine(by="ana", **{narrow: "a"})) == [one.id]  # type: ignore[arg-type]  # one of the three
    assert ids(signoff.mine(by="ana")) == [one.id, other.id]


who = st.sampled_from(["ana", "cem", "group:finance", "group:leads"])
clauses = st.lists(st.lists(who, min_size=1, max_size=2).map(tuple), max_size=2).map(tuple)
slots = st.builds(Slot, who=st.lists(who, min_size=1, max_size=2).map(tuple))
panels = st.lists(slots.map(lambda slot: Panel(levels=(((slot,),),))), max_size=2).map(tuple)
steps = st.lists(
    st.builds(Escalation, at=st.just(0.5), to=st.lists(who, min_size=1, max_size=2).map(tuple)), max_size=2
)


@given(clauses, panels, steps.map(tuple), st.integers(0, 2), st.sampled_from(sorted(PEOPLE)))
def test_the_row_names_those_whom_the_law_would_hear(
    reviewers: Any, panels: Any, escalations: Any, level: int, name: str
) -> None:
    needs = Requirements(reviewers=reviewers, panels=panels, escalations=escalations)
    case = Story.of(people=None, reviewers=reviewers, panels=panels, escalations=escalations).case
    case.level = level
    voice = law.voice_of(name, POLICY.people)
    assert asks(to_row(case).asked, voice) is not bool(law.lacks(widened(needs, level), voice))


def test_whom_the_policy_does_not_know_is_told_so(signoff: Signoff) -> None:
    open_ticket(signoff)
    with pytest.raises(NotAllowedToDecide, match="does not know 'zoe'; it knows ana, bo, cem, eda"):
        signoff.mine(by="zoe")
    with pytest.raises(IncompleteDecision, match="give by="):
        signoff.mine(by=" ")


def test_without_a_policy_in_force_each_ticket_is_judged_by_its_own(tmp_path: Path) -> None:
    path = tmp_path / "signoff.db"
    first, second = (
        open_ticket(Signoff(path, policy=Policy(people={name: {"groups": ["finance"]}})), reviewers=FINANCE)
        for name in ("ana", "bo")
    )
    with closing(Signoff(path)) as bare:
        assert ids(bare.mine(by="ana")) == [first.id]
        assert ids(bare.mine(by="bo")) == [second.id]
        assert bare.mine(by="zoe") == []


# Overdue ------------------------------------------------------------------------------------------------------------------


def test_overdue_is_what_time_has_ended_and_nobody_wrote_down(signoff: Signoff, clock: Clock) -> None:
    pending, approved = open_ticket(signoff), open_ticket(signoff, use_within=timedelta(hours=1))
    doubted, audit = open_ticket(signoff, window=timedelta(hours=3)), open_audit(signoff)
    for ticket in (approved, doubted):
        signoff.approve(ticket, by="ana")
    signoff.claims.doubt(signoff.claims.claim(doubted.id)[0])
    later = open_ticket(signoff, window=timedelta(hours=30))
    assert signoff.overdue() == []
    clock.advance(hours=25)
    found = {ticket.id: ticket.standing for ticket in signoff.overdue()}
    assert found == {
        approved.id: Standing.LAPSED,
        doubted.id: Standing.IN_DOUBT,
        pending.id: Standing.EXPIRED,
        audit.id: Standing.UNREVIEWED,
    }
    assert list(found)[:2] == [approved.id, doubted.id]
    signoff.expire()
    assert signoff.overdue() == []
    assert ids(signoff.pending()) == [later.id]


# Stuck --------------------------------------------------------------------------------------------------------------------


def stuck(signoff: Signoff, **after: str) -> dict[str, str]:
    return {each.ticket.id: each.why for each in signoff.stuck(**after)}


def test_what_was_approved_and_not_used_for_long_is_stuck(signoff: Signoff, clock: Clock) -> None:
    ticket = open_ticket(signoff)
    clock.advance(hours=5)
    signoff.approve(ticket, by="ana")
    clock.advance(minutes=59)
    assert stuck(signoff) == {}
    clock.advance(minutes=1)
    [found] = signoff.stuck()
    assert (found.ticket.id, found.why, found.since) == (ticket.id, "unused", NOW + timedelta(hours=5))
    assert stuck(signoff, after="2h") == {}
    clock.advance(hours=24)
    assert stuck(signoff) == {ticket.id: "unwoken"}  # the approval has lapsed, and its run has not heard of it


def test_what_somebody_has_in_hand_for_long_is_stuck_until_it_is_theirs_no_more(signoff: Signoff, clock: Clock) -> None:
    assigned = open_ticket(signoff, owner="eda")
    taken = open_ticket(signoff, take_for=timedelta(hours=2))
    free = open_ticket(signoff)
    signoff.assign(assigned, to="ana", by="eda")
    signoff.take(taken, by="bo")
    signoff.take(free, by="bo")
    clock.advance(hours=1)
    assert stuck(signoff) == {assigned.id: "in_hand", taken.id: "in_hand"}
    signoff.comment(assigned, by="ana", text="I ask the bank")
    assert stuck(signoff) == {taken.id: "in_hand"}
    clock.advance(hours=1)
    assert stuck(signoff) == {assigned.id: "in_hand"}


def test_a_reminder_of_the_clock_moves_nothing(signoff: Signoff, clock: Clock) -> None:
    ticket = open_ticket(signoff, owner="eda", reminders=(0.1, 0.2, 0.3))
    signoff.assign(ticket, to="ana", by="eda")
    clock.advance(hours=4, minutes=50)
    signoff.expire()
    [found] = signoff.stuck(after="4h")
    assert (found.why, found.since) == ("in_hand", NOW)


def test_what_is_in_doubt_is_stuck_at_once_and_until_somebody_settles_it(signoff: Signoff, clock: Clock) -> None:
    ticket = open_ticket(signoff)
    signoff.approve(ticket, by="ana")
    signoff.claims.doubt(signoff.claims.claim(ticket.id)[0])
    assert stuck(signoff) == {ticket.id: "in_doubt"}
    clock.advance(days=9)
    signoff.expire()
    assert stuck(signoff) == {ticket.id: "in_doubt"}
    signoff.settle(ticket, "happened", by="ana")
    assert stuck(signoff, after="1000d") == {}


def test_a_call_whose_runner_was_killed_is_stuck_and_one_that_runs_is_not(tmp_path: Path) -> None:
    path = tmp_path / "signoff.db"
    with closing(Signoff(path, policy=POLICY, lease=0.1)) as signoff:
        ticket = open_ticket(signoff)
        signoff.approve(ticket, by="ana")
        with holder(path, ticket.id, lease=30) as process:
            assert stuck(signoff) == {}
            process.kill()
            process.wait()
            signoff.desk.clock = Clock(signoff.desk.clock() + timedelta(seconds=60))
            signoff.claims.desk.clock = signoff.desk.clock
            assert stuck(signoff) == {ticket.id: "dead"}


def test_a_thread_that_nobody_wakes_is_stuck_until_it_is_halted_run_or_woken(signoff: Signoff, clock: Clock) -> None:
    ticket = open_ticket(signoff, thread_id="t")
    signoff.reject(ticket, by="ana")
    clock.advance(hours=2)
    assert stuck(signoff) == {ticket.id: "unwoken"}
    signoff.halt(by="ana", tool="send")
    assert stuck(signoff) == {}
    signoff.release(by="ana", tool="send")
    assert signoff.leases.take("thread:t")
    assert stuck(signoff) == {}
    signoff.leases.drop("thread:t")
    assert stuck(signoff) == {ticket.id: "unwoken"}


# The command --------------------------------------------------------------------------------------------------------------


def test_the_command_lists_what_is_mine_overdue_and_stuck(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    waits, used = desk.ticket(requester="cem"), desk.ticket()
    past = Signoff(tmp_path / "signoff.db", policy=desk.signoff.policy, clock=Clock(NOW.replace(year=2001)))
    old = open_ticket(past, thread_id="old")
    desk.signoff.approve(used, by="ana")
    assert [ticket["id"] for ticket in desk.run("list", "--mine", "--as", "ana", "--json").json] == [waits.id]
    assert "nothing waits for cem" in desk.run("list", "--mine", "--as", "cem").out
    assert [ticket["id"] for ticket in desk.run("list", "--overdue", "--json").json] == [old.id]
    shown = desk.run("list", "--overdue").out
    assert old.id[:12] in shown
    assert "overdue for" in shown
    late = Signoff(tmp_path / "signoff.db", policy=desk.signoff.policy, clock=Clock(NOW.replace(year=2001)))
    late.reject(open_ticket(late, thread_id="late"), by="ana")
    [found] = desk.run("list", "--stuck", "--json").json
    assert (found["ticket"]["thread_id"], found["why"]) == ("late", "unwoken")
    assert "its thread could go on" in desk.run("list", "--stuck").out
    assert desk.run("list", "--stuck", "--for", "36500d").out == "nothing is stuck\n"


@pytest.mark.parametrize(
    "words",
    [
        ["--mine", "--stuck"],
        ["--overdue", "--all"],
        ["--mine", "--standing", "approved"],
        ["--stuck", "--audits"],
        ["--stuck", "--tool", "send"],
        ["--stuck", "--for", "soon"],
    ],
    ids=" ".join,
)
def test_lists_that_contradict_each_other_are_refused(tmp_path: Path, words: list[str]) -> None:
    desk = Desk(tmp_path)
    desk.ticket()
    ended = desk.run("list", *words)
    assert ended.code == 2, ended
    assert ended.is_one_clear_sentence


# The index of it ----------------------------------------------------------------------------------------------------------


def lived(signoff: Signoff, clock: Clock) -> None:
    """Tickets with a bit of everything behind them."""
    chance = random.Random(7)
    deeds = (
        lambda ticket: signoff.take(ticket, by=chance.choice(["ana", "bo"])),
        lambda ticket: signoff.assign(ticket, to=chance.choice(["ana", "bo"]), by="eda"),
        lambda ticket: signoff.put_back(ticket, by=chance.choice(["ana", "bo"])),
        lambda ticket: signoff.comment(ticket, by="ana", text="hm"),
        lambda ticket: signoff.approve(signoff.ticket(ticket), by=chance.choice(["ana", "bo"])),
        lambda ticket: signoff.revise(signoff.ticket(ticket), by="bo", args={"amount": chance.randrange(99)}),
        lambda ticket: signoff.reject(signoff.ticket(ticket), by="ana"),
        lambda ticket: signoff.withdraw(ticket, by="ana"),
        lambda ticket: signoff.claims.doubt(signoff.claims.claim(ticket)[0]),
    )
    for number in range(120):
        make = open_audit if number % 9 == 8 else open_ticket
        panel = Panel(levels=(((Slot(who=("group:finance",), approvals=2),),),))
        needs = {"panels": (panel,)} if number % 3 == 0 else {"reviewers": FINANCE} if number % 3 == 1 else {}
        steps = (Escalation(at=0.01, to=("group:leads", "eda")), Escalation(at=0.9, to=("cem",)))
        needs |= {"escalations": steps[: number % 4], "reminders": (0.02,)}
        ticket = make(signoff, approvals=2, owner="eda", **needs)
        for deed in chance.choices(deeds[: 6 if number % 2 else 9], k=chance.randrange(6)):
            clock.advance(seconds=1)
            try:
                deed(ticket.id)
            except Exception:
                continue
    clock.advance(hours=12)
    signoff.expire()
    clock.advance(hours=11, minutes=58)
    signoff.expire()


def place_of(migration: str) -> int:
    """How many migrations come before one."""
    folder = resources.files("langgraph_signoff.ledger") / "migrations" / "sqlite"
    return sum(file.name.endswith(".sql") and file.name < migration for file in folder.iterdir())


def test_a_ledger_from_before_is_taken_on_as_if_it_had_always_been_so(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "signoff.db"
    with closing(Signoff(path, policy=POLICY, clock=clock)) as signoff:
        lived(signoff, clock)
        before = list(signoff.ledger.all_rows())
    standings = {row.standing for row in before}
    assert {"pending", "approved", "expired", "rejected", "in_doubt", "withdrawn", "under_audit"} <= standings
    assert {bool(row.in_hand) for row in before} == {bool(row.word_at) for row in before} == {True, False}
    as_of_version(path, place_of("0006"))
    with closing(Signoff(path, policy=POLICY, clock=clock)) as signoff:
        assert list(signoff.ledger.all_rows()) == before
        assert signoff.verify().broken == []


def test_every_page_has_what_a_sort_of_all_rows_would_give(signoff: Signoff, clock: Clock) -> None:
    lived(signoff, clock)
    for number in range(30):
        where = {"queue": f"q{number % 2}", "thread_id": f"t{number % 2}", "tool": f"tool{number % 2}"}
        open_ticket(signoff, priority=number % 4, window=timedelta(hours=1 + number % 3), **where)
    clock.advance(hours=2)
    now = clock().isoformat(timespec="microseconds").replace("+00:00", "Z")
    rows = sorted(signoff.ledger.all_rows(), key=lambda row: (-row.priority, row.due_at or "", row.id))
    narrow = [{}, {"queue": "q1"}, {"thread_id": "t1"}, {"tool": "tool1"}, {"queue": "q1", "tool": "tool1"}]
    for standings, where, due in itertools.product(
        [(), ("pending",), ("pending", "in_doubt", "approved")], narrow, [None, now]
    ):
        query = Query(standings, due_after=due, limit=7, **where)  # type: ignore[arg-type]  # texts only
        assert list(signoff._rows(query)) == [
            row
            for row in rows
            if (not standings or row.standing in standings)
            and all(getattr(row, name) == value for name, value in where.items())
            and (due is None or (row.due_at or "") > due)
        ]
    for column, order in (("due_before", "due_at"), ("next_before", "next_at"), ("idle_before", "idle_since")):
        timed = sorted(
            (row for row in rows if (getattr(row, order) or "~") <= now), key=lambda row: (getattr(row, order), row.id)
        )
        assert timed
        assert list(signoff._rows(Query(limit=7, **{column: now}))) == timed  # type: ignore[arg-type]  # one of the three

"""How queues do, counted again from the entries alone."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli_support import Desk
from langgraph_signoff import Policy, Queue, Signoff, Standing
from langgraph_signoff.errors import DecisionRefused
from langgraph_signoff.queues import percentile
from support import Clock, open_audit, open_ticket

NAMES = ("ana", "bo", "cem")
POLICY = Policy(people={name: {} for name in NAMES}, tools={"send": "review"})


@pytest.fixture
def signoff(tmp_path: Path, clock: Clock) -> Iterator[Signoff]:
    with closing(Signoff(tmp_path / "signoff.db", policy=POLICY, clock=clock)) as made:
        yield made


def busy_month(signoff: Signoff, clock: Clock) -> None:
    chance = random.Random(11)
    for number in range(150):
        clock.advance(hours=chance.randrange(12))
        ticket = open_ticket(
            signoff, queue=f"q{number % 2}", approvals=1 + number % 3 // 2, use_within=timedelta(days=9)
        )
        clock.advance(minutes=chance.randrange(1, 90))
        for by in chance.sample(NAMES, chance.randrange(4)):
            say = chance.choice([signoff.approve, signoff.approve, signoff.reject])
            try:
                signoff.comment(ticket, by=by, text="hm")
                say(signoff.ticket(ticket.id), by=by)
            except DecisionRefused:
                continue
        if number % 10 == 0:
            signoff.expire()
        if number % 25 == 1:
            signoff.withdraw(open_ticket(signoff, queue="q1"), by="ana")
            signoff.confirm(open_audit(signoff, queue="q0"), by="ana")


def test_the_figures_are_those_of_the_entries(signoff: Signoff, clock: Clock) -> None:
    busy_month(signoff, clock)
    since = clock() - timedelta(days=10)
    figures = {each.name: each for each in signoff.queues(days=10)}
    for name in ("q0", "q1"):
        spans, expired, said = list[float](), 0, Counter[str]()
        for row in signoff.ledger.all_rows():
            history, ticket = signoff.history(row.id), signoff.ticket(row.id)
            if ticket.queue != name:
                continue
            words = [d for d in ticket.decisions if d.verdict != "comment" and d.at >= since]
            said.update(decision.by for decision in words)
            if (
                words
                and ticket.standing in (Standing.APPROVED, Standing.REJECTED, Standing.LAPSED)
                and not ticket.about
            ):
                spans.append((words[-1].at - ticket.opened_at).total_seconds())
            expired += any(entry.kind == "expired" and entry.at >= since.isoformat() for entry in history)
        found = figures[name]
        assert len(spans) > 10
        assert (found.decided, found.expired) == (len(spans), expired)
        assert (found.median, found.p95) == (percentile(sorted(spans), 0.5), percentile(sorted(spans), 0.95))
        assert {load.name: load.said for load in found.reviewers} == dict(said)
    assert sum(each.expired for each in figures.values()) > 0


def test_what_waits_is_counted_as_of_now(signoff: Signoff, clock: Clock) -> None:
    first = open_ticket(signoff, queue="a", take_for=timedelta(hours=3))
    clock.advance(hours=2)
    second, third = (open_ticket(signoff, queue="a") for _ in range(2))
    doubted = open_ticket(signoff, queue="a", window=timedelta(days=3))
    signoff.approve(doubted, by="ana")
    signoff.claims.doubt(signoff.claims.claim(doubted.id)[0])
    signoff.take(first, by="ana")
    signoff.assign(second, to="bo", by="ana")
    signoff.assign(third, to="bo", by="ana")
    [queue] = signoff.queues("a")
    assert (queue.waiting, queue.overdue, queue.in_doubt, queue.oldest) == (3, 0, 1, first.opened_at)
    assert {load.name: load.in_hand for load in queue.reviewers} == {"bo": 2, "ana": 1}
    clock.advance(hours=23)
    [queue] = signoff.queues("a")
    assert (queue.waiting, queue.overdue, queue.oldest) == (2, 1, second.opened_at)
    assert {load.name: load.in_hand for load in queue.reviewers} == {"bo": 2, "ana": 0}
    assert signoff.queues("b") == []


def test_progress_ends_where_it_said_it_would(signoff: Signoff, clock: Clock) -> None:
    busy_month(signoff, clock)
    told: list[tuple[int, int]] = []
    signoff.queues(days=1000, progress=lambda *each: told.append(each))
    assert told
    assert told[-1][0] == told[-1][1] > 150


@given(st.lists(st.floats(0, 1e6), min_size=1), st.sampled_from([0.5, 0.95, 1.0]))
def test_a_percentile_is_the_smallest_value_that_enough_do_not_exceed(values: list[float], share: float) -> None:
    ordered = sorted(values)
    found = percentile(ordered, share)
    assert found is not None
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) < share * len(values)
    assert percentile([], share) is None


def test_the_command_shows_each_queue_and_who_works_in_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    ticket = desk.ticket(queue="pay\x1b[2J")
    desk.signoff.approve(ticket, by="ana")
    desk.ticket(queue="mail")
    shown = desk.run("queue")
    assert shown.code == 0
    for text in ("mail", "pay\\x1b[2J", "median", "p95", "ana", "0 (0%)"):
        assert text in shown.out
    [mail] = desk.run("queue", "mail", "--days", "7", "--json").json
    assert (mail["waiting"], mail["decided"], mail["median"], mail["expired_share"]) == (1, 0, None, None)
    assert Queue.model_validate({key: value for key, value in mail.items() if key != "expired_share"}).name == "mail"
    refused = desk.run("queue", "payments")
    assert refused.code == 2
    assert refused.is_one_clear_sentence
    assert "mail" in refused.err

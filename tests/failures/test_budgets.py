"""Budgets under attack: spent at once, counted twice or not at all by a crash, started late, tampered with."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from failures.world import World
from langgraph_signoff import Policy, Signoff, Standing
from langgraph_signoff.claims import Unpermitted
from langgraph_signoff.records import Opening
from support import Clock, forge, opening

from .crew import Scene

POLICY = """
version: 1
budgets:
  - {tool: send, sum: args.amount, limit: 10, per: day, by: all}
tools:
  look: allow
  send: {idempotent: true, otherwise: allow}
nodes:
  send: review
"""


def new_signoff(folder: Path, **options: Any) -> Signoff:
    return Signoff(folder / "s.db", policy=Policy.parse(POLICY), **options)


def open_call(signoff: Signoff, amount: float = 4, **more: Any) -> Opening:
    """A call of `send` as the policy rules it and the gate opens it."""
    policy = signoff.policy
    made = opening({"to": "bob", "amount": amount}, **{"call_id": "c", **more})
    ruling = policy.rule(made.action, now=signoff.desk.clock())
    made = Opening(made.id, made.action, ruling)
    signoff.plans.open([made], policy=(policy.version, policy.document), people=policy.people)
    return made


def spent(signoff: Signoff) -> list[Decimal]:
    """What each use of a budget says of its sum, in order."""
    entries = (entry for _, entry in signoff.ledger.scan() if entry.stream.startswith("budget-"))
    return [Decimal(entry.body["total"]) for entry in entries]


# At once ------------------------------------------------------------------------------------------------------------------


def test_of_many_claims_at_once_only_as_many_start_as_the_budget_holds(tmp_path: Path) -> None:
    with closing(new_signoff(tmp_path)) as signoff:
        calls = [open_call(signoff) for _ in range(8)]
    start, claimed = threading.Barrier(8), list[str]()

    def claim(call: Opening) -> None:
        with closing(new_signoff(tmp_path)) as own:
            start.wait()
            try:
                claimed.append(str(own.claims.claim(call.id)[1]))
            except Unpermitted as found:
                claimed.append(found.why)

    threads = [threading.Thread(target=claim, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with closing(new_signoff(tmp_path)) as signoff:
        assert sorted(claimed) == ["True"] * 2 + ["over_budget"] * 6
        assert spent(signoff) == [4, 8]
        assert signoff.verify().broken == []


def test_two_processes_do_not_both_spend_what_is_left(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    raced, wanted = 0, 20 if request.config.getoption("--long") else 2
    for trial in range(10 * wanted):
        scene = Scene(tmp_path / str(trial), policy=POLICY)
        scene.make_threads()
        started = [scene.start("run", barrier="gate", thread=thread) for thread in ("a", "b")]
        one, other = (process.wait() for process in started)
        assert sorted((one.status, other.status)) == ["completed", "pending_approval"]
        assert len(scene.effects()) == 1
        with closing(scene.signoff()) as signoff:
            assert spent(signoff) == [7]
            assert signoff.verify().broken == []
            [ticket] = signoff.pending()
            assert (ticket.reason_code, ticket.detail[:12]) == ("over_budget", "3 of 10 left")
        raced += one.overlaps(other)
        if raced == wanted:
            return
    raise AssertionError("no two processes ever met")


# Crashes ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "counted"),
    [("used+claimed:before", []), ("used+claimed:after", [7]), ("effect:after", [7])],
)
def test_a_crash_counts_a_call_once_just_if_it_was_claimed(moment: str, counted: list[int], tmp_path: Path) -> None:
    scene = Scene(tmp_path, policy=POLICY, durability="sync", dedups=True)
    scene.do("run", kill=moment)
    with closing(scene.signoff()) as signoff:
        assert spent(signoff) == counted
    last = scene.finish(answer="nobody")
    assert len(scene.effects()) == 1
    with closing(scene.signoff()) as signoff:
        assert spent(signoff) == [7], "run again under the same key, it is the same call"
    scene.check(last)


def test_what_is_halted_until_the_budget_is_spent_asks_and_counts_in_the_period_of_its_start(world: World) -> None:
    clock = Clock()
    world.signoff = world.new_signoff(POLICY, clock=clock)
    world.graph = world.compile(
        world.agent([[("send", {"to": "bob", "amount": 7.0})], "ok"], world.signoff.tool_node(world.tools()))
    )
    world.signoff.halt(by="ana", tool="send")
    assert world.run().status == "halted"
    assert spent(world.signoff) == []
    clock.advance(days=1)
    other = open_call(world.signoff, 5)
    world.signoff.release(by="ana", tool="send")
    world.signoff.claims.claim(other.id)
    run = world.resume()
    assert [(t.reason_code, t.standing) for t in run.tickets] == [("over_budget", Standing.PENDING)]
    assert world.effects == []
    assert world.approve_all().status == "completed"
    assert world.effects == ["send bob 7.0"]
    assert spent(world.signoff) == [5, 12]
    assert world.signoff.verify().broken == []


def test_a_claim_that_is_given_back_is_not_counted_again(tmp_path: Path) -> None:
    with closing(new_signoff(tmp_path)) as signoff:
        call = open_call(signoff, 9)
        case, granted = signoff.claims.claim(call.id)
        assert granted
        signoff.claims.release(case)
        assert signoff.claims.claim(call.id)[1]
        assert spent(signoff) == [9]
        assert signoff.verify().broken == []


# Tampering ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        'UPDATE entries SET body = replace(body, \'"total":"8"\', \'"total":"4"\') WHERE stream LIKE \'budget-%\'',
        "DELETE FROM entries WHERE stream LIKE 'budget-%' AND seq = 2",
        "DELETE FROM entries WHERE stream LIKE 'budget-%'",
        "UPDATE entries SET stream = 'budget-x' WHERE stream LIKE 'budget-%'",
        "UPDATE entries SET body = replace(body, 'spends', 'sponds') WHERE kind = 'claimed'",
        "DELETE FROM entries WHERE kind = 'claimed'",
    ],
)
def test_a_tampered_budget_is_found(tmp_path: Path, statement: str) -> None:
    with closing(new_signoff(tmp_path)) as signoff:
        for _ in range(2):
            signoff.claims.claim(open_call(signoff).id)
        assert signoff.verify().broken == []
    forge(tmp_path / "s.db", statement)
    with closing(new_signoff(tmp_path)) as signoff:
        assert signoff.verify().broken


def test_a_budget_that_cannot_be_read_lets_nothing_start(tmp_path: Path) -> None:
    with closing(new_signoff(tmp_path)) as signoff:
        signoff.claims.claim(open_call(signoff).id)
        call = open_call(signoff)
    with closing(sqlite3.connect(tmp_path / "s.db")) as db, db:
        db.execute("DROP TRIGGER entries_keep")
        db.execute("UPDATE entries SET body = '{}' WHERE stream LIKE 'budget-%'")
    with closing(new_signoff(tmp_path)) as signoff:
        with pytest.raises(Exception, match="signoff verify"):
            signoff.claims.claim(call.id)
        assert signoff.ticket(call.id).standing is Standing.APPROVED

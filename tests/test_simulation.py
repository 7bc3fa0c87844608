"""What tickets would have been under another policy."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cli_support import Desk
from langgraph_signoff import Advice, Policy, Signoff, Simulation
from support import NOW, Clock, agent, open_audit
from test_reasons import ruled

RULES = [
    {"when": "args.amount > 100.0", "then": "deny", "reason_code": "too_much"},
    {"when": "args.amount > 10.0", "then": "review", "reason_code": "large"},
]
POLICY = Policy(tools={"send": {"rules": RULES, "otherwise": {"then": "allow", "record": True}}})


@pytest.fixture
def signoff(tmp_path: Path, clock: Clock) -> Iterator[Signoff]:
    with closing(Signoff(tmp_path / "signoff.db", policy=POLICY, clock=clock)) as made:
        yield made


def send(**entry: Any) -> Policy:
    return Policy(tools={"send": entry})


def flips(found: Simulation) -> dict[tuple[str, str], int]:
    return {(flip.was, flip.would_be): flip.count for flip in found.flips}


def filled(signoff: Signoff) -> None:
    for number, amount in enumerate([5.0, 7.0, 20.0, 50.0, 70.0, 500.0]):
        ruled(signoff, {"amount": amount}, thread=f"t{number}")


def test_under_its_own_policy_nothing_would_be_otherwise(signoff: Signoff) -> None:
    filled(signoff)
    found = signoff.simulate(POLICY)
    assert (found.ruled, found.flips, found.erased, found.unreadable, found.uncertain) == (6, (), 0, 0, 0)


def test_flips_are_told_by_tool_and_rule_with_examples(signoff: Signoff) -> None:
    filled(signoff)
    found = signoff.simulate(send(rules=[{"when": "args.amount > 60.0", "then": "review"}], otherwise="allow"))
    assert flips(found) == {("review", "allow"): 2, ("deny", "review"): 1}
    assert found.flipped == 3
    first = found.flips[0]
    assert (first.tool, first.rule, first.needs) == ("send", "tools.send.otherwise", ())
    assert {signoff.ticket(id_).args["amount"] for id_ in first.examples} == {20.0, 50.0}


def test_another_way_to_review_is_a_flip_that_names_what_is_needed_otherwise(signoff: Signoff) -> None:
    filled(signoff)
    rules = [RULES[0], RULES[1] | {"approvals": 2, "window": "1h"}]
    found = signoff.simulate(send(rules=rules, otherwise={"then": "allow", "record": True}))
    assert flips(found) == {("review", "review"): 3}
    assert found.flips[0].needs == ("approvals", "window")


def test_only_what_waits_and_the_last_days_are_ruled_again(signoff: Signoff, clock: Clock) -> None:
    filled(signoff)
    signoff.reject(signoff.pending()[0], by="ana")
    clock.advance(hours=23)
    ruled(signoff, {"amount": 5.0})
    assert signoff.simulate(send(otherwise="deny"), days=1).ruled == 7
    clock.advance(hours=2)
    assert (
        signoff.simulate(send(otherwise="deny"), days=1).ruled == 3
    )  # two that nobody has written down as expired, and the last
    assert signoff.simulate(send(otherwise="deny"), days=9).ruled == 7


def test_each_is_ruled_as_of_the_moment_it_was_opened(signoff: Signoff, clock: Clock) -> None:
    for _ in range(3):
        ruled(signoff, {"amount": 5.0})
        clock.advance(hours=5)
    often = {"rules": [{"when": "history.proposed.send >= 2", "then": "review"}], "otherwise": "allow"}
    found = signoff.simulate(send(**often))
    assert (flips(found), found.uncertain) == ({("allow", "review"): 1}, 0)
    late = [{"when": f"now > timestamp('{(NOW + timedelta(hours=1)).isoformat()}')", "then": "deny"}]
    assert flips(signoff.simulate(send(rules=late, otherwise="allow"))) == {("allow", "deny"): 2}


def test_counts_that_are_not_on_record_are_said_to_be_missing(tmp_path: Path) -> None:
    bare = Policy(tools={"look": "allow", "send": "review", "log": {"otherwise": {"then": "allow", "record": True}}})
    with closing(Signoff(tmp_path / "signoff.db", policy=bare, clock=Clock())) as signoff:
        for tool in ("send", "send", "log"):
            ruled(signoff, {"amount": 5.0}, tool=tool)
        for when, uncertain in (
            ("history.proposed.look > 0", 2),
            ("history.ran[tool] > 0", 0),
            ("history.proposed.log > 0", 0),
            ("history.ran.exists(name, history.ran[name] > 1)", 2),
        ):
            rules = {"rules": [{"when": when, "then": "deny"}], "otherwise": "review"}
            assert signoff.simulate(Policy(tools={"send": rules, "look": "allow"})).uncertain == uncertain, when


def test_what_is_erased_or_changed_is_counted_and_not_ruled(signoff: Signoff, tmp_path: Path) -> None:
    filled(signoff)
    first, second = signoff.pending(limit=2)
    signoff.withdraw(first, by="ana")
    signoff.erase(first, by="ana", reason="asked")
    with closing(sqlite3.connect(tmp_path / "signoff.db")) as db:
        db.execute("DROP TRIGGER entries_keep")
        db.execute("UPDATE entries SET body = '{}' WHERE stream = ?", (second.id,))
        db.commit()
    found = signoff.simulate(send(otherwise="deny"))
    assert (found.ruled, found.erased, found.unreadable) == (4, 1, 1)


def test_what_an_advisor_said_stays_as_it_was(tmp_path: Path) -> None:
    def careful(action: Any, ruling: Any) -> Advice:
        return Advice(mode="review")

    def send_(amount: float) -> str:
        raise AssertionError("nobody has approved it")

    send_.__name__, send_.__doc__ = "send", "Sends."
    with closing(Signoff(tmp_path / "signoff.db", policy=POLICY, advisors=[careful])) as signoff:
        with agent(signoff, [send_], [[("send", {"amount": 5.0})]]) as graph:
            assert signoff.run(graph, {"messages": [("user", "go")]}, thread_id="t").tickets
        assert signoff.simulate(POLICY).flips == ()
        same = send(rules=RULES, otherwise={"then": "allow", "once": True})
        assert signoff.simulate(same).flips == ()
        assert flips(signoff.simulate(send(otherwise="deny"))) == {("review", "deny"): 1}


def test_it_writes_nothing_and_leaves_audits_to_their_actions(signoff: Signoff, tmp_path: Path) -> None:
    filled(signoff)
    open_audit(signoff, {"amount": 5.0})
    with closing(sqlite3.connect(tmp_path / "signoff.db")) as db:
        before = list(db.iterdump())
        told: list[tuple[int, int]] = []
        found = signoff.simulate(send(otherwise="deny"), progress=lambda *each: told.append(each))
        assert list(db.iterdump()) == before
    assert found.ruled == 7
    assert told[-1] == (8, 8)


def test_the_command_shows_a_table_of_flips(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with closing(Signoff(tmp_path / "signoff.db", policy=POLICY)) as signoff:
        filled(signoff)
    (tmp_path / "new.yaml").write_text("version: 1\ntools: {send: {otherwise: {then: review, approvals: 2}}}\n")
    shown = desk.run("simulate", "--policy", "new.yaml", "--days", "7")
    assert "6 of 6 tickets would be ruled otherwise by new.yaml" in shown.out
    assert "review, other approvals" in shown.out
    found = desk.run("simulate", "--policy", "new.yaml", "--json").json
    assert found["flipped"] == sum(flip["count"] for flip in found["flips"]) == 6
    (tmp_path / "bad.yaml").write_text("version: 1\ntools: {send: maybe}\n")
    for words in (["--policy", "bad.yaml"], ["--policy", "none.yaml"], []):
        refused = desk.run("simulate", *words)
        assert refused.code == 2
        assert refused.err.startswith("signoff: ")

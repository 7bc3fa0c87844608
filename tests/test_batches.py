"""Tickets that are decided together: which may be, and that each is decided by what was shown of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli_support import Desk, environment
from langgraph_signoff import Batch, Policy, Risk, Signoff, Standing, Ticket, TogetherRefused, law
from langgraph_signoff.errors import IncompleteDecision, LedgerUnavailable
from langgraph_signoff.law import Say
from langgraph_signoff.vocabulary import Verdict
from support import NOW, Clock, open_audit, open_ticket, opening, until
from test_cli_terminal import screen, terminal
from test_law import Story

POLICY = Policy(
    people={"ana": {"groups": ["finance"]}, "bo": {"groups": ["finance"]}, "cem": {}}, tools={"send": "review"}
)
RISKS = st.builds(
    Risk, reversible=st.sampled_from([None, True, False]), stakes=st.sampled_from([None, "low", "medium", "high"])
)


@pytest.fixture
def signoff(tmp_path: Path, clock: Clock) -> Iterator[Signoff]:
    with closing(Signoff(tmp_path / "signoff.db", policy=POLICY, clock=clock)) as made:
        yield made


def ids(tickets: tuple[Ticket, ...]) -> list[str]:
    return [ticket.id for ticket in tickets]


def left_out(batch: Batch) -> dict[str, str]:
    return {each.ticket_id: each.why for each in batch.left_out}


def approve_all(signoff: Signoff, **chosen: Any) -> Batch:
    return signoff.batch("approve", by="ana", **chosen)


# Which may be ----------------------------------------------------------------------------------------------------------------


@given(RISKS, st.integers(1, 3))
def test_what_an_error_would_cost_much_is_decided_by_itself(risk: Risk, approvals: int) -> None:
    story = Story.of(people=None, approvals=approvals)
    case = story.case
    case.ruling = case.ruling.model_copy(update={"risk": risk})
    is_costly = risk.stakes == "high" or risk.reversible is False or approvals > 1
    assert bool(law.alone(case, "ana", NOW)) is is_costly
    say = Say(Verdict.APPROVE, "ana", case.digest)
    if is_costly:
        with pytest.raises(TogetherRefused, match="decided by itself"):
            law.decide_with(case, say, None, count=2, now=NOW)
    else:
        [draft] = law.decide_with(case, say, None, count=2, now=NOW)
        assert draft.body["together"] == 2


def test_what_fits_is_shown_and_what_does_not_go_together_is_named(signoff: Signoff) -> None:
    fine = [open_ticket(signoff, {"amount": float(n)}, queue="q") for n in range(3)]
    open_ticket(signoff, {"amount": 50.0}, queue="q")
    open_ticket(signoff, {"amount": 1.0}, queue="other")
    alone = {
        open_ticket(signoff, {"amount": 1.0}, queue="q", **more).id: why
        for why, more in {
            "high": {"risk": Risk(stakes="high")},
            "irreversible": {"risk": Risk(reversible=False)},
            "more than one": {"approvals": 2},
            "is not among": {"reviewers": (("cem",),)},
            "is the requester": {"requester": "ana"},
            "a reason": {"reason": "required"},
            "at each such call": {"checklist": ("seen the invoice",)},
        }.items()
    }
    odd = open_ticket(signoff, {"amount": "much"}, queue="q")
    taken = open_ticket(signoff, {"amount": 1.0}, queue="q")
    signoff.take(taken, by="bo")
    batch = approve_all(signoff, queue="q", condition="args.amount < 10.0")
    assert ids(batch.tickets) == ids(tuple(fine))
    found = left_out(batch)
    assert set(found) == {*alone, odd.id, taken.id}
    for id_, why in {**alone, odd.id: "cannot be said", taken.id: "bo has it in hand"}.items():
        assert why in found[id_]
    assert not signoff.desk.ledger.last() > len(list(signoff.ledger.all_rows())) + 1  # nothing was decided


def test_tickets_of_several_tools_or_reasons_are_not_decided_together(signoff: Signoff) -> None:
    for tool, code in (("send", "a"), ("send", "b"), ("mail", "b")):
        open_ticket(signoff, tool=tool, reason_code=code)
    with pytest.raises(TogetherRefused, match=r"several tools \(mail, send\)"):
        approve_all(signoff)
    with pytest.raises(TogetherRefused, match=r"several reasons \(a, b\)"):
        approve_all(signoff, tool="send")
    assert len(approve_all(signoff, tool="send", reason_code="a").tickets) == 1


@pytest.mark.parametrize("condition", ["args.amount <", "1 + 1", "history.ran.send > 1", "vars.x", "\x00"])
def test_a_condition_that_is_none_is_refused(signoff: Signoff, condition: str) -> None:
    open_ticket(signoff)
    with pytest.raises(IncompleteDecision, match="is no condition"):
        approve_all(signoff, condition=condition)


def test_a_condition_tells_no_secret(signoff: Signoff) -> None:
    open_ticket(signoff, {"card": "4111"}, redact=["card"])
    for condition in ("args.card == '4111'", "args.card.startsWith('4')"):
        batch = approve_all(signoff, condition=condition)
        assert (batch.tickets, batch.left_out) == ((), ())


def test_questions_plans_and_audits_are_not_decided_together(signoff: Signoff) -> None:
    open_audit(signoff)
    question = opening({"question": "which?"}, kind="question", tool="send", policy_version=POLICY.version)
    signoff.desk.open([question], policy=(POLICY.version, POLICY.document))
    batch = approve_all(signoff)
    assert batch.tickets == ()
    assert set(left_out(batch)) == {question.id}


def test_it_looks_at_the_most_urgent_and_says_that_there_are_more(signoff: Signoff) -> None:
    late, soon = open_ticket(signoff, window=timedelta(hours=9)), open_ticket(signoff, window=timedelta(hours=1))
    batch = approve_all(signoff, limit=1)
    assert (ids(batch.tickets), batch.more) == ([soon.id], True)
    assert (ids(approve_all(signoff, limit=2).tickets), approve_all(signoff, limit=2).more) == (
        [soon.id, late.id],
        False,
    )


# Deciding --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("verdict", "standing"), [("approve", Standing.APPROVED), ("reject", Standing.REJECTED)])
def test_each_gets_its_own_entry_that_says_how_many_there_were(
    signoff: Signoff, verdict: str, standing: Standing
) -> None:
    tickets = [open_ticket(signoff) for _ in range(3)]
    done = signoff.decide_together(signoff.batch(verdict, by=" ana ", reason="the usual"))
    assert (ids(done.tickets), done.left_out) == (ids(tuple(tickets)), ())
    for ticket in tickets:
        [_, entry] = signoff.history(ticket)
        assert (entry.body["by"], entry.body["together"], entry.contents["reason"]) == ("ana", 3, "the usual")
        assert (entry.contents["digest"], entry.contents["seen"]) == (ticket.digest, ticket.seen)
        assert signoff.ticket(ticket.id).standing is standing
    assert signoff.verify().broken == []


def test_what_changed_between_the_table_and_the_word_is_left_out_and_named(signoff: Signoff, clock: Clock) -> None:
    edited, back, rejected, taken, expired, erased, fine = tickets = [
        open_ticket(
            signoff,
            {"amount": 5, "to": str(n)},
            window=timedelta(hours=1 if n == 4 else 9),
            take_for=timedelta(hours=9),
            barred=("author",),
        )
        for n in range(7)
    ]
    batch = approve_all(signoff)
    assert len(batch.tickets) == len(tickets)
    signoff.revise(edited, by="cem", args={"amount": 9})
    for by, amount in (("cem", 9), ("bo", 5)):  # edited, and back to what it was
        signoff.revise(signoff.ticket(back.id), by=by, args={"amount": amount})
    signoff.reject(rejected, by="bo")
    signoff.take(taken, by="bo")
    signoff.withdraw(erased, by="bo")
    signoff.erase(erased, by="bo", reason="asked")
    clock.advance(hours=2)
    done = signoff.decide_together(batch)
    assert ids(done.tickets) == [fine.id]
    found = left_out(done)
    assert set(found) == {ticket.id for ticket in tickets if ticket is not fine}
    assert "bo has it in hand" in found[taken.id]
    assert "expired" in found[expired.id]
    assert {signoff.ticket(ticket.id).standing for ticket in (edited, back)} == {Standing.PENDING}


def test_what_somebody_had_in_hand_for_long_enough_is_decided_with_the_others(signoff: Signoff, clock: Clock) -> None:
    ticket = open_ticket(signoff)
    signoff.take(ticket, by="bo")
    assert approve_all(signoff).tickets == ()
    clock.advance(hours=1)
    done = signoff.decide_together(approve_all(signoff))
    assert (ids(done.tickets), done.left_out) == ([ticket.id], ())


def test_two_people_who_decide_the_same_batch_at_once_decide_each_ticket_once(signoff: Signoff, tmp_path: Path) -> None:
    tickets = [open_ticket(signoff) for _ in range(20)]
    program = (
        "import sys, datetime; from langgraph_signoff import Signoff\n"
        "signoff = Signoff(sys.argv[1], clock=lambda: datetime.datetime.fromisoformat(sys.argv[3]))\n"
        "batch = signoff.batch('approve', by=sys.argv[2])\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "done = signoff.decide_together(batch)\n"
        "print(len(done.tickets), len(done.left_out))\n"
    )
    env = environment(PYTHONPATH=":".join(sys.path))
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "signoff.db"), by, NOW.isoformat()],
            stdin=-1,
            stdout=-1,
            text=True,
            env=env,
        )
        for by in ("ana", "bo")
    ]
    for each in crowd:
        assert each.stdout
        assert each.stdout.readline() == "ready\n"
    told = [each.communicate("go\n", timeout=120)[0].split() for each in crowd]
    assert sum(int(decided) for decided, _ in told) == 20
    assert sum(int(left) for _, left in told) == 20
    assert all(len(signoff.history(ticket)) == 2 for ticket in tickets)


def test_a_batch_that_is_killed_has_decided_whole_tickets_only(signoff: Signoff, tmp_path: Path) -> None:
    tickets = [open_ticket(signoff) for _ in range(200)]
    program = (
        "import sys, datetime; from langgraph_signoff import Signoff\n"
        "signoff = Signoff(sys.argv[1], clock=lambda: datetime.datetime.fromisoformat(sys.argv[2]))\n"
        "signoff.decide_together(signoff.batch('approve', by='ana', limit=200))\n"
    )
    env = environment(PYTHONPATH=":".join(sys.path))
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "signoff.db"), NOW.isoformat()], env=env
    ) as process:
        until(lambda: signoff.ledger.last() >= len(tickets) + 3, seconds=120)
        process.kill()
    standings = {signoff.ticket(ticket.id).standing for ticket in tickets}
    assert standings <= {Standing.PENDING, Standing.APPROVED}
    assert signoff.verify().broken == []
    rest = signoff.batch("approve", by="bo", limit=200)
    assert len(rest.tickets) == len(signoff.pending(limit=200))
    assert signoff.decide_together(rest).left_out == ()
    assert signoff.pending() == []


def test_what_the_ledger_did_not_take_is_named(signoff: Signoff, monkeypatch: pytest.MonkeyPatch) -> None:
    tickets = [open_ticket(signoff) for _ in range(4)]
    batch, append = approve_all(signoff), signoff.ledger.append

    def full(*given: Any, **more: Any) -> None:
        if signoff.ledger.last() >= len(tickets) + 2:
            raise LedgerUnavailable("the disk is full; nothing was run")
        append(*given, **more)

    monkeypatch.setattr(signoff.ledger, "append", full)
    done = signoff.decide_together(batch)
    assert (len(done.tickets), len(done.left_out)) == (2, 2)
    assert all("the disk is full" in each.why for each in done.left_out)


# The command -----------------------------------------------------------------------------------------------------------------


def test_the_command_decides_what_fits_and_names_the_rest(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    small, large = desk.ticket({"amount": 5.0}), desk.ticket({"amount": 50.0})
    high = desk.ticket({"amount": 5.0}, risk=Risk(stakes="high"))
    words = ["approve", "--all", "--queue", "default", "--tool", "send", "--if", "args.amount < 10.0", "--as", "ana"]
    refused = desk.run(*words)
    assert (refused.code, desk.signoff.ticket(small.id).standing) == (2, Standing.PENDING)
    assert "--yes" in refused.err
    done = desk.run(*words, "--yes")
    assert done.code == 0, done
    for text in (small.digest[:16], "1 ticket approved, by ana", f"left out: {high.id[:12]}", "its stakes are high"):
        assert text in done.out
    assert desk.signoff.ticket(small.id).standing is Standing.APPROVED
    assert {desk.signoff.ticket(ticket.id).standing for ticket in (large, high)} == {Standing.PENDING}
    again = desk.run(*words, "--yes", "--json")
    assert (again.code, again.json["decided"]) == (1, [])
    assert [each["ticket_id"] for each in again.json["left_out"]] == [high.id]
    rejected = desk.run(
        "reject", "--all", "--if", "args.amount > 10.0", "-r", "too much", "--yes", "--json", "--as", "cem"
    )
    assert [each["id"] for each in rejected.json["decided"]] == [large.id]
    assert "together with" not in desk.run("history", large.id).out


def test_on_a_terminal_the_table_is_shown_first_and_no_decides_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    tickets = [desk.ticket({"to": "acme \x1b[2J"}) for _ in range(2)]
    for answer, standing in (("n", Standing.PENDING), ("y", Standing.APPROVED)):
        with terminal(desk, "approve", "--all", "--as", "ana", columns=120) as child:
            child.expect(r"Approve 2 tickets as ana\? \[y/N\]")
            for ticket in tickets:
                assert ticket.digest[:16] in child.before
            assert "acme \\u001b[2J" in child.before
            child.sendline(answer)
            screen(child)
        assert {desk.signoff.ticket(ticket.id).standing for ticket in tickets} == {standing}


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--if", "true"],
        ["abc", "--yes"],
        ["abc", "--all"],
        ["--all", "--yes", "--digest", "123456789012"],
        ["--all", "--yes", "--grant", "8h"],
        ["--all", "--yes", "--if", "args.amount <"],
        ["--all", "--yes", "--url", "http://127.0.0.1:9"],
    ],
    ids=" ".join,
)
def test_an_unclear_command_decides_nothing(tmp_path: Path, words: list[str]) -> None:
    desk = Desk(tmp_path)
    ticket = desk.ticket()
    ended = desk.run("approve", *words)
    assert ended.code == 2, ended
    assert ended.is_one_clear_sentence
    assert desk.signoff.ticket(ticket.id).standing is Standing.PENDING

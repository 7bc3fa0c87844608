"""Supervisor first, person second: advisors can make a ruling stricter or add a note, and nothing else."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.errors import GraphInterrupt

from langgraph_signoff import Action, Advice, Policy, Risk, Ruling, Run, Signoff, Standing, Ticket
from langgraph_signoff.nodes.advice import Advisors
from support import NOW, agent

POLICY = Policy(
    people={"ana": {"groups": ["finance"]}, "ben": {"groups": ["finance"]}, "eve": {}},
    queues={"money": {"owner": "ana", "backup": ["ana"], "reviewers": ["group:finance"]}},
    tools={
        "send": {
            "rules": [
                {"when": "args.amount < 10.0", "then": "allow"},
                {"when": "args.amount > 1000.0", "then": "deny"},
                {"when": "args.amount > 100.0", "then": "review", "queue": "money", "approvals": 2},
            ],
            "otherwise": {"then": "review", "queue": "money"},
            "redact": ["args.note"],
        }
    },
)
MODES = ["allow", "review", "deny"]


def action(amount: float) -> Action:
    args = {"amount": amount}
    return Action(thread_id="t", proposal="p", tool="send", args=args, parsed=args, digest="d")


def rule(amount: float) -> Ruling:
    return POLICY.rule(action(amount), now=datetime(2026, 1, 1, tzinfo=UTC))


def advised(amount: float, *advisors: Any, within: float = 5.0) -> tuple[Ruling, tuple[str, ...]]:
    said = Advisors(advisors, within).advise(
        action(amount), rule(amount), review=lambda: POLICY.review(action(amount), now=NOW)
    )
    return said.ruling, said.notes


def says(*, mode: Any = None, note: str = "", reason_code: str = "advised") -> Any:
    return lambda action, ruling: Advice(mode=mode, note=note, reason_code=reason_code)


@pytest.mark.parametrize(("amount", "said"), [*itertools.product([5.0, 50.0, 500.0, 5000.0], [None, "review", "deny"])])
def test_the_stricter_of_policy_and_advice_holds(amount: float, said: Any) -> None:
    before = rule(amount)
    after, _ = advised(amount, says(mode=said))
    assert after.mode == max((before.mode, said or "allow"), key=MODES.index)
    if after.mode == before.mode:
        assert after == before
    if after.mode == "review" and before.mode == "allow":
        assert after.reason_code == "advised"
        assert (after.requirements.queue, after.requirements.approvals) == ("money", 2)  # as when in doubt


NONSENSE: list[Any] = ["allow", {"mode": "allow"}, {"mode": "perhaps"}, 1, True, [], {"note": 5}, {"more": 1}, object()]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([5.0, 50.0, 500.0, 5000.0]),
    st.lists(st.sampled_from([*NONSENSE, None, Advice(), Advice(mode="review"), Advice(mode="deny")]), max_size=4),
)
def test_no_advice_makes_a_ruling_weaker(amount: float, said: list[Any]) -> None:
    before = rule(amount)
    after, _ = advised(amount, *[lambda action, ruling, one=one: one for one in said])
    assert MODES.index(after.mode) >= MODES.index(before.mode)
    assert after.requirements.approvals >= before.requirements.approvals
    if any(type(one) is not Advice and one is not None for one in said) and before.mode != "deny":
        assert after.mode != "allow"


def raises(action: Action, ruling: Ruling) -> Advice:
    raise ConnectionError("no model is reachable")


@pytest.mark.parametrize("nonsense", NONSENSE, ids=lambda said: str(said)[:12])
def test_an_advisor_that_answers_nonsense_leaves_it_to_a_person(nonsense: Any) -> None:
    ruling, notes = advised(5.0, lambda action, ruling: nonsense)
    assert (ruling.mode, ruling.reason_code) == ("review", "advisor_failed")
    assert "failed: " in notes[0]


def test_an_advisor_that_fails_leaves_it_to_a_person_and_says_why() -> None:
    ruling, notes = advised(5.0, raises)
    assert (ruling.mode, ruling.reason_code) == ("review", "advisor_failed")
    assert notes == ("raises: failed: ConnectionError: no model is reachable",)
    assert advised(50.0, raises)[0] == rule(50.0)


def test_an_advisor_that_takes_too_long_is_not_waited_for() -> None:
    held = threading.Event()
    try:
        ruling, notes = advised(5.0, lambda action, ruling: held.wait(60), within=0.05)
    finally:
        held.set()
    assert (ruling.mode, ruling.reason_code) == ("review", "advisor_failed")
    assert "did not answer within 0.05 s" in notes[0]


@pytest.mark.parametrize("end", [SystemExit(3), KeyboardInterrupt(), GraphInterrupt()], ids=repr)
def test_an_advisor_that_ends_more_than_itself_has_failed(end: BaseException) -> None:
    def ends(action: Action, ruling: Ruling) -> Advice:
        raise end

    ruling, notes = advised(5.0, ends)
    assert (ruling.mode, ruling.reason_code) == ("review", "advisor_failed")
    assert notes[0].startswith(f"ends: failed: {type(end).__name__}")


HANGS = """
import sys, time
from langgraph_signoff import Policy, Signoff
from support import NOW, agent

def look() -> str:
    "Looks."

hangs = lambda action, ruling: time.sleep(600)
signoff = Signoff(sys.argv[1], policy=Policy(tools={"look": "allow"}), advisors=[hangs], advice_within=0.1)
with agent(signoff, [look], [[("look", {})], "Done."]) as graph:
    print(signoff.run(graph, {"messages": [("user", "go")]}, thread_id="t").status)
"""


def test_an_advisor_that_hangs_keeps_no_process_from_its_end(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HANGS, tmp_path / "signoff.db"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )
    assert (ended.stdout, ended.returncode) == ("pending_approval\n", 0), ended.stderr


def test_what_an_advisor_does_to_what_it_is_shown_changes_nothing(run: Any) -> None:
    def spoils(action: Action, ruling: Ruling) -> None:
        for args in (action.args, action.parsed):
            args["amount"] = 1.0
        vars(ruling).update(mode="allow")
        vars(ruling.requirements).update(approvals=0)

    signoff, paused, graph, effects = run(says(mode="review"), spoils)
    [ticket] = paused.tickets
    assert (ticket.args["amount"], ticket.requirements.approvals) == (5.0, 2)
    for name in ("ana", "ben"):
        ticket = signoff.approve(ticket, by=name)
    assert signoff.resume(graph, thread_id="t").status == "completed"
    assert effects == [5.0]


def test_advisors_see_what_those_before_them_said_and_none_is_asked_about_a_denial() -> None:
    seen: list[str] = []

    def sees(action: Action, ruling: Ruling) -> None:
        seen.append(ruling.mode)

    advised(5.0, sees, says(mode="review"), sees, says(mode="deny"), sees)
    assert seen == ["allow", "review"]
    advised(5000.0, sees)
    assert seen == ["allow", "review"]


# In a run -------------------------------------------------------------------------------------------------------------


Started = tuple[Signoff, Run, Any, list[float]]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    """Runs an agent that sends, under these advisors: the front door, the run, the graph, what was sent."""
    with ExitStack() as stack:

        def start(*advisors: Any) -> Started:
            effects: list[float] = []
            signoff = stack.enter_context(closing(Signoff(tmp_path / "signoff.db", policy=POLICY, advisors=advisors)))

            def send(amount: float, note: str = "") -> str:
                """Sends."""
                effects.append(amount)
                return f"sent {amount}"

            script = [[("send", {"amount": 5.0, "note": "hush-hush"})], "Done."]
            graph = stack.enter_context(agent(signoff, [send], script))
            return signoff, signoff.run(graph, {"messages": [("user", "go")]}, thread_id="t"), graph, effects

        yield start


def test_an_allowed_call_that_an_advisor_doubts_waits_for_a_person(run: Any) -> None:
    signoff, paused, graph, effects = run(says(mode="review", note="pays hush-hush", reason_code="odd"))
    [ticket] = paused.tickets
    assert isinstance(ticket, Ticket)
    assert (ticket.reason_code, ticket.notes, effects) == ("odd", ("<lambda>: pays •••",), [])
    assert "pays •••" in str(ticket)
    assert "pays •••" in ticket._repr_html_()
    for name in ("ana", "ben"):
        ticket = signoff.approve(ticket, by=name)
    assert signoff.resume(graph, thread_id="t").status == "completed"
    assert effects == [5.0]
    assert signoff.verify().is_whole


def test_advice_is_taken_once_for_each_proposal(run: Any) -> None:
    asked: list[str] = []

    def asks(action: Action, ruling: Ruling) -> Advice:
        asked.append(action.digest)
        return Advice(mode="review") if len(asked) == 1 else Advice(mode="deny")

    signoff, paused, graph, effects = run(asks)
    for _ in range(2):
        assert signoff.resume(graph, thread_id="t").status == "pending_approval"
    [ticket] = paused.tickets
    signoff.approve(signoff.approve(ticket, by="ana"), by="ben")
    assert signoff.resume(graph, thread_id="t").status == "completed"
    assert (len(asked), effects) == (1, [5.0])


def test_a_call_that_an_advisor_denies_never_runs_and_never_asks(run: Any) -> None:
    signoff, ended, _, effects = run(says(mode="deny", reason_code="malware"))
    assert (ended.status, effects) == ("completed", [])
    assert "does not permit this call (malware)" in ended.output["messages"][-2].text
    [row] = signoff.ledger.all_rows()
    assert (row.standing, row.reason_code) == (Standing.DENIED, "malware")


def test_an_erased_ticket_has_no_notes_left(run: Any, tmp_path: Path) -> None:
    signoff, paused, graph, _ = run(says(mode="review", note="knows the family"))
    signoff.reject(paused.tickets[0], by="ana")
    signoff.resume(graph, thread_id="t")
    assert signoff.erase(paused.tickets[0], by="dpo", reason="request 17").notes == ()
    signoff.close()
    assert not any(b"knows the family" in file.read_bytes() for file in tmp_path.glob("signoff.db*"))


def test_risk_and_rule_stay_those_of_the_policy() -> None:
    ruling, _ = advised(5.0, says(mode="review"))
    assert (ruling.rule, ruling.risk) == ("tools.send.rules.0", Risk())

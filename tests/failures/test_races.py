"""Several processes at one thread: resumes at once, double clicks, late and racing decisions, second runners, frozen owners."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from .crew import DOORS, Ended, Scene
from .worker import IDEMPOTENT

# A workflow has no step of its own between its tasks, and begins anew with each input.
DOORS_OF_GRAPHS = DOORS[:-1]
TWO_TURNS = [[["send", {"to": "bob", "amount": 7}]], [["send", {"to": "eve", "amount": 7}]]]


def approved(folder: Path, **fields: Any) -> Scene:
    """A thread whose one call has its approval, and nobody has woken it."""
    scene = Scene(folder, **fields)
    assert scene.do("run").status == "pending_approval"
    scene.say("approve")
    return scene


def at_once(scene: Scene, *ops: str, **fields: Any) -> list[Ended]:
    """These processes, let go at one moment."""
    started = [scene.start(op, barrier="gate", crowd=len(ops), **fields) for op in ops]
    return [process.wait() for process in started]


def done(scene: Scene, count: int, standing: str, gist: str) -> None:
    """Effects outside, final standing, the words to the model; a resume of the finished thread does nothing."""
    last = scene.do("resume")
    assert (last.status, last.did, last.last) == ("completed", "nothing: it has finished", "Done.")
    assert len(scene.effects()) == count
    assert scene.standings()[0] == standing
    assert gist in last.answers[0][2]
    scene.check(last)


# At once -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ops", [("resume", "resume"), ("knock", "knock"), ("resume", "knock"), ("knock", "knock", "knock")], ids="-".join
)
def test_processes_that_resume_at_once_run_the_tool_once(
    ops: tuple[str, ...], door: str, is_async: bool, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    overlaps = 0
    for trial in range(25 if request.config.getoption("--long") else 1):
        scene = approved(tmp_path / str(trial), door=door, is_async=is_async)
        ended = at_once(scene, *ops, sleep=0.1)
        assert [e.raised for e in ended] == [""] * len(ops), ended
        overlaps += all(one.overlaps(other) for one in ended for other in ended if one is not other)
        assert len(scene.marks("entered")) == 1
        done(scene, 1, "executed", "sent 7 to bob")
    assert overlaps


def test_without_the_gate_two_resumes_at_once_run_the_tool_twice(door: str, is_async: bool, tmp_path: Path) -> None:
    scene = Scene(tmp_path, gate="bare", door=door, is_async=is_async)
    scene.do("start")
    one, other = at_once(scene, "plain", "plain", value="approve", sleep=0.2)
    assert one.overlaps(other)
    assert len(scene.effects()) == 2


def test_people_who_approve_and_reject_at_once_get_one_decision(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    won: Counter[str] = Counter()
    overlaps = 0
    for trial in range(60 if request.config.getoption("--long") else 8):
        scene = Scene(tmp_path / str(trial))
        scene.do("run")
        approve, reject = at_once(scene, "approve", "reject")
        overlaps += approve.overlaps(reject)
        assert sorted([approve.raised, reject.raised]) == ["", "TicketClosed"]
        verdict = "rejected" if approve.raised else "approved"
        assert scene.standings() == [verdict]
        scene.do("resume")
        expected = (1, "executed", "sent 7 to bob") if verdict == "approved" else (0, "rejected", "rejected by ana")
        done(scene, *expected)
        won[verdict] += 1
    print(won)
    assert overlaps


def test_two_people_of_a_quorum_who_approve_at_once_both_count(tmp_path: Path) -> None:
    scene = Scene(tmp_path, policy="version: 1\ntools: {send: {otherwise: {then: review, approvals: 2}}}")
    scene.do("run")
    started = [scene.start("approve", by=by, barrier="gate") for by in ("ana", "cem")]
    ended = [process.wait() for process in started]
    assert [e.raised for e in ended] == ["", ""]
    assert scene.standings() == ["approved"]
    assert scene.do("resume").status == "completed"
    done(scene, 1, "executed", "sent 7 to bob")


# Double clicks ---------------------------------------------------------------------------------------------------------------


def test_a_double_click_approves_and_runs_once(door: str, is_async: bool, tmp_path: Path) -> None:
    scene = Scene(tmp_path, door=door, is_async=is_async)
    scene.do("run")
    assert [scene.do("approve").raised for _ in range(2)] == ["", "TicketClosed"]
    said = [scene.do("resume").did for _ in range(2)]
    assert said == ["knocked at 1 decided pause", "nothing: it has finished"]
    scene.do("knock", value="approve")
    scene.do("none")
    done(scene, 1, "executed", "sent 7 to bob")


def test_the_second_click_does_not_approve_the_next_call(door: str, is_async: bool, tmp_path: Path) -> None:
    scene = Scene(tmp_path / "ours", door=door, is_async=is_async, lines=TWO_TURNS)
    scene.do("run")
    scene.do("approve")
    for _ in range(2):
        scene.do("plain", value="approve")
    assert scene.do("resume").status == "pending_approval"
    assert [line["to"] for line in scene.effects()] == ["bob"]
    assert scene.standings() == ["executed", "pending"]

    bare = Scene(tmp_path / "bare", gate="bare", door=door, is_async=is_async, lines=TWO_TURNS)
    bare.do("start")
    for _ in range(2):
        bare.do("plain", value="approve")
    assert [line["to"] for line in bare.effects()] == ["bob", "eve"]


# While the tool runs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", ["approve", "reject"])
def test_a_late_decision_while_the_tool_runs_is_refused(late: str, door: str, is_async: bool, tmp_path: Path) -> None:
    scene = approved(tmp_path, door=door, is_async=is_async)
    runner = scene.hold("resume")
    clicked = scene.do(late)
    knocker = scene.start("knock", value=late, barrier="knocker", crowd=1)
    while not list(scene.folder.glob("knocker.*")):
        time.sleep(0.01)
    scene.let_go()
    ran, knocked = runner.wait(), knocker.wait()
    assert clicked.raised == "TicketClosed"
    assert clicked.overlaps(ran)
    assert knocked.raised == ""
    assert knocked.answers == ran.answers
    done(scene, 1, "executed", "sent 7 to bob")


def test_without_the_gate_a_late_reject_tells_the_model_what_is_not_so(
    door: str, is_async: bool, tmp_path: Path
) -> None:
    scene = Scene(tmp_path, gate="bare", door=door, is_async=is_async)
    scene.do("start")
    runner = scene.hold("plain", value="approve")
    late = scene.do("plain", value="reject")
    scene.let_go()
    assert late.overlaps(runner.wait())
    # Either the first answer was saved and the tool runs again, or the model reads "rejected" of what is being done.
    assert len(scene.effects()) == 2 or late.answers[0][2] == "rejected"
    assert scene.effects()


@pytest.mark.parametrize("op", ["resume", "knock", "none"])
def test_a_second_runner_that_waits_in_vain_writes_nothing(op: str, door: str, is_async: bool, tmp_path: Path) -> None:
    scene = approved(tmp_path, door=door, is_async=is_async)
    runner = scene.hold("resume")
    before, history = scene.checkpoints(), scene.kinds(scene.tickets()[0])
    second = scene.do(op, wait=0.1)
    assert second.raised == "StillRunning"
    assert (scene.checkpoints(), scene.kinds(scene.tickets()[0])) == (before, history)
    scene.let_go()
    ran = runner.wait()
    assert second.overlaps(ran)
    assert ran.status == "completed"
    done(scene, 1, "executed", "sent 7 to bob")


def test_a_heartbeat_keeps_a_claim_longer_than_its_lease(tmp_path: Path) -> None:
    scene = approved(tmp_path)
    runner = scene.hold("resume", lease=1.5, host="elsewhere")
    time.sleep(2.0)
    second = scene.do("knock", lease=1.5, wait=0.1)  # on another host, only the lease tells
    assert second.raised == "StillRunning"
    scene.let_go()
    assert second.overlaps(runner.wait())
    assert scene.kinds(scene.tickets()[0]) == ["opened", "decided", "claimed", "executed"]
    done(scene, 1, "executed", "sent 7 to bob")


# Frozen, given up, and back ------------------------------------------------------------------------------------------------------


def test_the_late_outcome_of_an_owner_who_was_given_up_settles_the_doubt(
    door: str, is_async: bool, tmp_path: Path
) -> None:
    scene = approved(tmp_path, door=door, is_async=is_async)
    runner = scene.hold("resume", host="elsewhere")
    os.kill(runner.pid, signal.SIGSTOP)
    asked = scene.do("resume")
    assert (asked.status, scene.standings()) == ("in_doubt", ["in_doubt"])
    scene.let_go()
    os.kill(runner.pid, signal.SIGCONT)
    assert runner.wait().exit == 0
    assert scene.kinds(scene.tickets()[0]) == ["opened", "decided", "claimed", "in_doubt", "executed"]
    scene.do("resume")
    done(scene, 1, "executed", "sent 7 to bob")


def test_a_frozen_owner_on_this_host_is_not_given_up(tmp_path: Path) -> None:
    scene = approved(tmp_path)
    runner = scene.hold("resume")
    os.kill(runner.pid, signal.SIGSTOP)
    second = scene.do("knock", wait=1.0)
    assert (second.raised, scene.standings()) == ("StillRunning", ["running"])
    scene.let_go()
    os.kill(runner.pid, signal.SIGCONT)
    assert runner.wait().status == "completed"
    done(scene, 1, "executed", "sent 7 to bob")


def test_an_owner_who_was_replaced_changes_nothing_when_it_comes_back(tmp_path: Path) -> None:
    scene = approved(tmp_path, policy=IDEMPOTENT, dedups=True)
    runner = scene.hold("resume", host="elsewhere")
    os.kill(runner.pid, signal.SIGSTOP)
    again = scene.do("resume")
    assert again.status == "completed"
    scene.let_go()
    os.kill(runner.pid, signal.SIGCONT)
    assert runner.wait().exit == 0
    assert len(set(scene.marks("entered"))) == 1
    assert len(scene.marks("entered")) == 2
    assert len({line["key"] for line in scene.lines("marks.log") if "key" in line}) == 1
    last = scene.do("resume")
    assert last.status == "completed"
    done(scene, 1, "executed", "sent 7 to bob")


# Where there is nothing to resume ------------------------------------------------------------------------------------------------


def test_resume_does_no_harm_where_there_is_nothing_to_resume(door: str, is_async: bool, tmp_path: Path) -> None:
    scene = Scene(tmp_path, door=door, is_async=is_async)
    unknown = scene.do("resume")
    assert unknown.raised == "UnknownThread"
    assert not scene.do("nothing").answers  # nothing was started
    assert scene.do("resume").raised == "UnknownThread"
    scene.do("run")
    before = scene.checkpoints()
    waiting = scene.do("resume")
    assert (waiting.status, waiting.did) == ("pending_approval", "nothing: it waits")
    assert scene.checkpoints() == before
    scene.say("approve")
    assert scene.do("resume").did == "knocked at 1 decided pause"
    before = scene.checkpoints()
    done(scene, 1, "executed", "sent 7 to bob")
    assert scene.checkpoints() == before


@pytest.mark.parametrize("door", DOORS_OF_GRAPHS)
def test_resume_goes_on_with_a_stalled_thread(door: str, is_async: bool, tmp_path: Path) -> None:
    scene = approved(tmp_path, door=door, is_async=is_async)
    scene.do("resume", kill="answered:after")
    went_on = scene.do("resume")
    assert (went_on.status, went_on.did) == ("completed", "went on where it had stalled")
    done(scene, 1, "executed", "sent 7 to bob")


@pytest.mark.parametrize("door", DOORS_OF_GRAPHS)
@pytest.mark.parametrize("verdict", ["", "approve"])
def test_new_input_on_a_paused_thread_ends_what_was_asked(
    verdict: str, door: str, is_async: bool, tmp_path: Path
) -> None:
    lines = [[["send", {"to": "bob", "amount": 7}]], "Good morning."]
    for op in ("run", "start"):
        scene = Scene(tmp_path / op, door=door, is_async=is_async, lines=lines)
        assert scene.do("run").status == "pending_approval"
        if verdict:
            scene.say(verdict)
        scene.do(op, text="Good morning!")
        last = scene.do("resume")
        assert (last.status, last.last) == ("completed", "Good morning.")
        assert scene.effects() == []
        assert scene.standings() == ["approved" if verdict else "withdrawn"]
        if verdict:
            scene.turn_clock(3700)
            assert scene.standings() == ["lapsed"]
        assert scene.do("approve").raised == "TicketClosed"
        scene.do("resume")
        assert scene.effects() == []


def test_a_dozen_threads_in_one_ledger_woken_twice_at_once_run_once_each(rng: random.Random, tmp_path: Path) -> None:
    threads = [f"t{number}" for number in range(12)]
    scene = Scene(tmp_path)
    for thread in threads:
        scene.do("run", thread=thread)
        scene.do("approve", thread=thread)
    woken = rng.sample(threads * 2, len(threads) * 2)
    for wave in range(0, len(woken), 6):
        started = [
            scene.start("resume", thread=t, sleep=0.02, barrier=f"wave{wave}", crowd=6) for t in woken[wave : wave + 6]
        ]
        ended = [process.wait() for process in started]
        assert [e.raised for e in ended] == [""] * 6
        assert any(one.overlaps(other) for one in ended for other in ended)
    assert len(scene.effects()) == len({line["ticket"] for line in scene.effects()}) == len(threads)

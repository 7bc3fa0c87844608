"""Silence is no, whatever the clock does: expiry, lapse, jumps back and forth, and threads that are woken afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .crew import Scene

HOUR = 3600
EXPIRED = ("expired", "nobody decided in time")
LAPSED = ("lapsed", "its approval was not used in time")
UNKNOWN = ("in_doubt", "unknown whether send happened")

# The policy of the stories: decide within 2 h, use an approval within 1 h.


def paused(folder: Path, *, verdict: str = "", **fields: Any) -> Scene:
    scene = Scene(folder, **fields)
    assert scene.do("run").status == "pending_approval"
    if verdict:
        scene.say(verdict)
    return scene


def ends(scene: Scene, count: int, standing: str, gist: str) -> None:
    """The thread finishes with one resume, with these effects outside, this standing, and these words to the model."""
    last = scene.do("resume")
    assert (last.status, last.last) == ("completed", "Done.")
    assert len(scene.effects()) == count
    assert scene.standings() == [standing]
    [answer] = last.answers
    assert gist in answer[2]
    assert answer[1] == ("success" if standing == "executed" else "error")
    scene.check(last)


@pytest.mark.parametrize("swept", [False, True], ids=["read", "expire"])
def test_an_overdue_ticket_is_expired_and_the_run_goes_on(
    swept: bool, door: str, is_async: bool, tmp_path: Path
) -> None:
    scene = paused(tmp_path, door=door, is_async=is_async)
    scene.turn_clock(2 * HOUR + 1)
    if swept:
        assert scene.do("expire").value == ["t"]
        assert scene.do("expire").value == []
    assert scene.standings() == ["expired"]
    assert scene.do("approve").raised == "TicketClosed"
    ends(scene, 0, *EXPIRED)


@pytest.mark.parametrize("swept", [False, True], ids=["read", "expire"])
def test_an_approval_that_nobody_used_in_time_lapses(swept: bool, door: str, is_async: bool, tmp_path: Path) -> None:
    scene = paused(tmp_path, verdict="approve", door=door, is_async=is_async)
    scene.turn_clock(HOUR + 1)
    if swept:
        assert [scene.do("expire").value for _ in range(2)] == [["t"], []]
    assert scene.standings() == ["lapsed"]
    ends(scene, 0, *LAPSED)


@pytest.mark.parametrize("op", ["knock", "plain", "none"])
def test_no_way_of_waking_a_thread_runs_a_lapsed_approval(op: str, tmp_path: Path) -> None:
    scene = paused(tmp_path, verdict="approve")
    scene.turn_clock(HOUR + 1)
    woken = scene.do(op, value="approve")
    assert (woken.raised, woken.last) == ("", "Done.")
    assert scene.effects() == []
    assert LAPSED[1] in woken.answers[0][2]


@pytest.mark.parametrize(
    ("seconds", "count", "standing", "gist"), [(HOUR - 30, 1, "executed", "sent 7 to bob"), (HOUR + 1, 0, *LAPSED)]
)
def test_the_last_moment_of_an_approval_is_sharp(
    seconds: float, count: int, standing: str, gist: str, tmp_path: Path
) -> None:
    scene = paused(tmp_path, verdict="approve")
    scene.turn_clock(seconds)
    ends(scene, count, standing, gist)


def test_without_the_gate_an_old_approval_runs(tmp_path: Path) -> None:
    scene = Scene(tmp_path, gate="bare")
    scene.do("start")
    scene.turn_clock(365 * 24 * HOUR)
    scene.do("plain", value="approve")
    assert len(scene.effects()) == 1


# A clock that jumps --------------------------------------------------------------------------------------------------------------


def test_a_clock_that_jumps_back_does_not_bring_an_expired_ticket_back(tmp_path: Path) -> None:
    for number, sees in enumerate(("expire", "approve", "resume")):
        scene = paused(tmp_path / str(number))
        scene.turn_clock(2 * HOUR + 1)
        scene.do(sees)
        scene.turn_clock(0)
        assert scene.standings() == ["expired"]
        assert scene.do("approve").raised == "TicketClosed"
        ends(scene, 0, *EXPIRED)


def test_a_clock_that_jumps_back_does_not_bring_a_lapsed_approval_back(tmp_path: Path) -> None:
    for number, sees in enumerate(("expire", "approve", "resume")):
        scene = paused(tmp_path / str(number), verdict="approve")
        scene.turn_clock(HOUR + 1)
        scene.do(sees)
        scene.turn_clock(-HOUR)
        ends(scene, 0, *LAPSED)


def test_a_clock_that_jumps_back_after_the_approval_neither_stops_it_nor_makes_it_last(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "runs")
    scene.turn_clock(5 * HOUR)
    scene.do("run")
    scene.say("approve")
    scene.turn_clock(0)
    ends(scene, 1, "executed", "sent 7 to bob")

    scene = Scene(tmp_path / "lapses")
    scene.do("run")
    scene.say("approve")
    scene.turn_clock(-5 * HOUR)
    assert scene.standings() == ["approved"]
    scene.turn_clock(HOUR + 1)
    ends(scene, 0, *LAPSED)


def test_entries_keep_their_order_when_the_clock_jumps_back_between_them(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.turn_clock(HOUR)
    scene.do("run")
    scene.turn_clock(-HOUR)
    scene.say("approve")
    scene.turn_clock(0)
    ends(scene, 1, "executed", "sent 7 to bob")
    signoff = scene.signoff()
    times = [entry.at for entry in signoff.history(scene.tickets()[0])]
    signoff.close()
    assert times == sorted(times)


@pytest.mark.parametrize("jump", [-10 * HOUR, 10 * HOUR])
def test_a_clock_that_jumps_while_the_tool_runs_neither_expires_nor_doubles_it(jump: int, tmp_path: Path) -> None:
    scene = paused(tmp_path, verdict="approve")
    runner = scene.hold("resume")
    scene.turn_clock(jump)
    assert "t" not in scene.do("expire").value  # what runs never expires
    second = scene.do("knock", wait=0.1)
    scene.let_go()
    ran = runner.wait()
    assert second.raised == "StillRunning"
    assert second.overlaps(ran)
    assert ran.status == "completed"
    ends(scene, 1, "executed", "sent 7 to bob")


@pytest.mark.parametrize("jump", [-10 * HOUR, 10 * HOUR])
def test_a_dead_runner_is_found_dead_although_the_clock_has_jumped(jump: int, tmp_path: Path) -> None:
    scene = paused(tmp_path, verdict="approve")
    scene.do("resume", kill="effect:after")
    scene.turn_clock(jump)
    last = scene.finish()
    assert len(scene.effects()) == 1
    assert "ana says that the call happened" in last.answers[0][2]


# In doubt, and nobody answers ------------------------------------------------------------------------------------------------------


def test_a_question_in_doubt_that_nobody_answers_wakes_the_thread_with_unknown(
    door: str, is_async: bool, tmp_path: Path
) -> None:
    scene = paused(tmp_path, verdict="approve", door=door, is_async=is_async)
    scene.do("resume", kill="effect:after")
    assert scene.do("resume").status == "in_doubt"
    assert scene.do("resume").status == "in_doubt"
    scene.turn_clock(2 * HOUR + 1)
    assert [scene.do("expire").value for _ in range(2)] == [["t"], []]
    scene.turn_clock(0)
    ends(scene, 1, *UNKNOWN)


def test_expire_names_each_thread_once_and_only_those_to_wake(tmp_path: Path) -> None:
    two = [[["send", {"to": "bob", "amount": 7}], ["send", {"to": "eve", "amount": 7}]]]
    scene = Scene(tmp_path, lines=two)
    for thread in ("a", "b", "c"):
        scene.do("run", thread=thread)
    for to in ("bob", "eve"):
        scene.do("reject", thread="b", to=to)
    assert scene.do("expire").value == []
    scene.turn_clock(2 * HOUR + 1)
    scene.do("run", thread="d")
    swept = [scene.start("expire", barrier="sweep", crowd=2) for _ in range(2)]
    found = [process.wait() for process in swept]
    assert sorted({thread for ended in found for thread in ended.value}) == ["a", "c"]
    assert all(len(ended.value) == len(set(ended.value)) for ended in found)
    assert found[0].overlaps(found[1])
    for thread in ("a", "b", "c"):
        assert scene.do("resume", thread=thread).status == "completed"
    assert scene.do("resume", thread="d").status == "pending_approval"
    assert scene.effects() == []

"""What breaks others must not break the gate before a node, or around a task: the story of the tools, told of those.

The tables were written before the code ran: effects outside, the final standing, and what the state holds at the end.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from langgraph_signoff.vocabulary import Ticket

from . import guarded
from .crew import Ended, Scene
from .test_kill import KILLS as TOOL_KILLS
from .test_kill import LATE, NO, Row, dies, recovers, until
from .test_races import TWO_TURNS, at_once
from .worker import IDEMPOTENT

MODES = [(door, is_async) for door in guarded.DOORS for is_async in (False, True)]
TWO = [[["send", {"to": "bob", "amount": 7}], ["send", {"to": "eve", "amount": 7}]]]
SENT = "sent 7 to bob"


class GateScene(Scene):
    """The same story; what a person says of a node that was cut off is the node's update."""

    def settle(self, ticket: Ticket, answer: str, result: Any = None) -> Ticket:
        if result is not None and self.job.door == "node":
            result = guarded.answer(
                result, f"call-0-{[c[1]['to'] for c in self.job.lines[0]].index(ticket.args['to'])}"
            )
        return super().settle(ticket, answer, result)


def stories(
    request: pytest.FixtureRequest, rng: random.Random, folder: Path, *axes: Any, modes: Any = MODES
) -> Iterator[tuple[Any, ...]]:
    """A new scene for each combination of mode and `axes` with `--long`, else for one."""
    every = list(itertools.product(modes, *axes))
    for number, ((door, is_async), *rest) in enumerate(
        every if request.config.getoption("--long") else [rng.choice(every)]
    ):
        print(door, is_async, *rest)
        yield GateScene(folder / str(number), door=door, is_async=is_async), *rest


def ends(scene: Scene, last: Ended, count: int, standing: str, gist: str | None) -> None:
    """The effects outside, the final standing, what the state holds of it (None: nothing); and that nothing is left open."""
    assert len(scene.effects()) == count
    assert last.last == "Done."
    *dropped, final = scene.standings()
    assert final == standing
    assert set(dropped) <= {"withdrawn", "approved", "rejected"}, dropped
    if gist is None:
        assert last.answers == []
        return
    [told] = last.answers
    assert gist in told[2]
    scene.check(last)


# kill -9 at every write ------------------------------------------------------------------------------------------------------

# A node's own checkpoints and writes are named as those of the tools; a workflow has others.
OF_A_NODE = ("proposed", "return", "answered", "finished")
OF_A_GRAPH = ("begun:before#2", "begun:after#2")
OF_A_TASK = ("writes:before", "writes:after", "writes:before#2", "writes:after#2", "begun:before", "begun:after")

KILLS = [
    (row, MODES[:2] if row.moment.startswith(OF_A_NODE) or row.moment in OF_A_GRAPH else MODES) for row in TOOL_KILLS
] + [(Row("resume", moment, {1}, {"executed"}, LATE), MODES[2:]) for moment in OF_A_TASK]


# A workflow's task is its first step: its ticket may be there before LangGraph has saved anything of the thread.
LOST = [("task", "begun:before", recovery) for recovery in ("resume", "none")]


def _write(row: Row) -> str:
    return f"{row.op} {row.moment.partition(':')[0]}"


@pytest.mark.parametrize("write", dict.fromkeys(_write(row) for row, _ in KILLS))
def test_a_killed_process_leaves_a_thread_that_finishes_with_one_effect(
    write: str, request: pytest.FixtureRequest, rng: random.Random, tmp_path: Path
) -> None:
    moments = [kill for kill in KILLS if _write(kill[0]) == write]
    for row, modes in moments if request.config.getoption("--long") else [rng.choice(moments)]:
        print(row.moment)
        folder = tmp_path / row.moment
        for scene, recovery in stories(request, rng, folder, ("resume", "none", "approve", "reject"), modes=modes):
            dies(scene, row)
            if (scene.job.door, row.moment, recovery) in LOST:
                assert scene.do(recovery).raised in ("", "UnknownThread", "EmptyInputError")
            else:
                recovers(scene, recovery)
            last = scene.finish("reject" if recovery == "reject" else "approve")
            count, standing, _ = row.says_no if recovery == "reject" else LATE
            if standing == "rejected" and scene.standings()[:-1] == ["rejected"]:
                # The proposal was lost with its process: its repetition is refused by the rejection before, or asked again.
                standing = scene.standings()[-1]
                assert standing in ("denied", "rejected")
            ends(scene, last, count, standing, "was not run" if row.says_no == NO and recovery == "reject" else SENT)


@pytest.mark.parametrize(("door", "is_async"), MODES)
def test_every_write_of_the_path_is_a_moment_of_death_in_the_table(door: str, is_async: bool, tmp_path: Path) -> None:
    scene = GateScene(tmp_path, door=door, is_async=is_async)
    for op in ("run", "approve", "resume"):
        scene.do(op)
    in_table = {row.moment.partition(":")[0] for row, modes in KILLS if (door, is_async) in modes}
    seen = {moment.partition(":")[0] for moment in scene.moments()}
    # `writes` of a graph are those of the agent node, which has no effect.
    assert seen - ({"writes"} if door == "node" else set()) == in_table - {"knock"}


@pytest.mark.parametrize(("door", "is_async"), MODES)
def test_without_the_gate_a_killed_node_runs_again(door: str, is_async: bool, tmp_path: Path) -> None:
    scene = GateScene(tmp_path, gate="bare", door=door, is_async=is_async)
    scene.do("start")
    scene.do("plain", value="approve", kill="effect:after")
    scene.do("none")
    # Some deaths lose the answer as well; then it asks again, and nobody learns that it has already run.
    assert len(scene.effects()) == 2 or not scene.do("plain", value="approve").next
    assert len(scene.effects()) == 2


# In doubt ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Doubt:
    """What is said of a run whose process died, and what comes of it. `gists`: of a node's state, of a workflow's."""

    moment: str
    answer: str
    effects: int
    standing: str
    gists: tuple[str | None, str]
    probe: str = ""
    idempotent: bool = False


def _both(gist: str) -> tuple[str, str]:
    return gist, gist


UNKNOWN = ("in_doubt", _both("unknown whether send happened"))
GIVEN_UP = ("failed", _both("send was not completed"))
RAN = ("executed", _both(SENT))
BEFORE, AFTER = "effect:before", "effect:after"

DOUBTS = [
    Doubt("claimed:after", "did_not_happen", 1, *RAN),
    Doubt(BEFORE, "did_not_happen", 1, *RAN),
    Doubt(BEFORE, "happened", 0, "executed", (None, "None")),
    Doubt(BEFORE, "give_up", 0, *GIVEN_UP),
    Doubt(BEFORE, "silence", 0, *UNKNOWN),
    Doubt(BEFORE, "nobody", 1, *RAN, "look"),
    Doubt(BEFORE, "truth", 1, *RAN, "raises"),
    Doubt(BEFORE, "nobody", 1, *RAN, "", True),
    Doubt(AFTER, "truth", 1, *RAN),
    Doubt(AFTER, "give_up", 1, *GIVEN_UP),
    Doubt(AFTER, "silence", 1, *UNKNOWN),
    Doubt(AFTER, "nobody", 1, "executed", _both("found in the books"), "look"),
    Doubt(AFTER, "truth", 1, *RAN, "unknown"),
    Doubt("executed:before", "truth", 1, *RAN),
    Doubt("executed:before", "nobody", 1, *RAN, "", True),
]


@pytest.mark.parametrize("doubt", DOUBTS, ids=lambda d: f"{d.moment}-{d.answer}-{d.probe}{'idempotent' * d.idempotent}")
def test_a_run_in_doubt_ends_as_a_person_the_probe_or_the_policy_says(
    doubt: Doubt, request: pytest.FixtureRequest, rng: random.Random, tmp_path: Path
) -> None:
    more = {"policy": IDEMPOTENT, "dedups": True} if doubt.idempotent else {}
    for scene, recovery in stories(request, rng, tmp_path, ("resume", "none", "knock")):
        scene = GateScene(scene.folder, door=scene.job.door, is_async=scene.job.is_async, probe=doubt.probe, **more)
        until(scene, "resume")
        scene.do("resume", kill=doubt.moment)
        recovered = scene.do(recovery)
        if doubt.answer == "nobody":
            assert recovered.pauses == []
        else:
            assert recovered.pauses == [[scene.tickets()[-1].id]]
            assert scene.standings() == ["in_doubt"]
        last = scene.finish(answer=doubt.answer)
        ends(scene, last, doubt.effects, doubt.standing, doubt.gists[scene.job.door == "task"])
        assert bool(scene.marks("probed")) == bool(doubt.probe)
        assert len({line["key"] for line in scene.effects()}) <= 1


AGAIN: list[tuple[str, str, dict[str, Any], tuple[int, str, str]]] = [
    # first death, what dies next, then: effects, standing, gist
    (AFTER, "in_doubt:after", {}, (1, "executed", SENT)),
    (AFTER, "pause:before", {}, (1, "executed", SENT)),
    (BEFORE, "retried:after", {"probe": "look"}, (1, "executed", SENT)),
    (BEFORE, "effect:after", {"probe": "look"}, (1, "executed", "found in the books")),
    (AFTER, "in_doubt+retried+claimed:after", {"policy": IDEMPOTENT, "dedups": True}, (1, "executed", SENT)),
    (AFTER, "executed:before", {"policy": IDEMPOTENT, "dedups": True}, (1, "executed", SENT)),
]


@pytest.mark.parametrize("row", AGAIN, ids=lambda row: f"{row[0]}-then-{row[1]}-{'-'.join(row[2])}")
def test_a_recovery_that_is_killed_too_is_recovered(
    row: Any, request: pytest.FixtureRequest, rng: random.Random, tmp_path: Path
) -> None:
    first, then, more, expected = row
    for (scene,) in stories(request, rng, tmp_path):
        scene = GateScene(scene.folder, door=scene.job.door, is_async=scene.job.is_async, **more)
        until(scene, "resume")
        scene.do("resume", kill=first)
        scene.do("resume", kill=then)
        ends(scene, scene.finish(), *expected)


@pytest.mark.parametrize("other", ["approve", "reject"])
@pytest.mark.parametrize("moment", [AFTER, BEFORE, "executed:after", "claimed:after"])
def test_a_death_in_one_of_two_leaves_each_its_own_end(
    other: str, moment: str, request: pytest.FixtureRequest, rng: random.Random, tmp_path: Path
) -> None:
    for (scene,) in stories(request, rng, tmp_path):
        scene = GateScene(scene.folder, lines=TWO, door=scene.job.door, is_async=scene.job.is_async)
        assert scene.do("run").status == "pending_approval"
        scene.say("approve", to="bob")
        if scene.job.door == "node":
            scene.say(other, to="eve")
        scene.do("resume", kill=moment)
        last = _says(scene, other)
        assert (len(scene.effects(to="bob")), len(scene.effects(to="eve"))) == (1, int(other == "approve"))
        told = {call_id: text for call_id, _, text in last.answers}
        assert "sent 7 to bob" in told["call-0-0"]
        assert ("sent 7 to eve" if other == "approve" else "rejected by ana") in told["call-0-1"]
        assert scene.standings("eve") == ["executed" if other == "approve" else "rejected"]
        scene.check(last)


def _says(scene: Scene, of_eve: str) -> Ended:
    # The workflow asks about the second only when the first is done.
    for _ in range(6):
        ended = scene.do("resume")
        assert not ended.raised, ended
        if ended.status == "completed":
            return ended
        for ticket in scene.tickets():
            if ticket.standing == "in_doubt":
                scene.tell_the_truth(ticket)
            elif ticket.standing == "pending":
                scene.say(of_eve, to=ticket.args["to"])
    raise AssertionError(f"it never finished: {scene.standings()}")


# Several processes at one thread -------------------------------------------------------------------------------------------------


def approved(scene: Scene) -> Scene:
    assert scene.do("run").status == "pending_approval"
    scene.say("approve")
    return scene


def done(scene: Scene, count: int = 1, standing: str = "executed", gist: str = SENT) -> None:
    """A resume of the finished thread does nothing, and the story has ended so."""
    last = scene.do("resume")
    assert (last.status, last.did) == ("completed", "nothing: it has finished")
    ends(scene, last, count, standing, gist)


@pytest.mark.parametrize(("door", "is_async"), MODES)
@pytest.mark.parametrize("ops", [("resume", "resume"), ("knock", "knock", "resume")], ids="-".join)
def test_processes_that_resume_at_once_run_it_once(
    ops: tuple[str, ...], door: str, is_async: bool, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    overlaps = 0
    for trial in range(15 if request.config.getoption("--long") else 1):
        scene = approved(GateScene(tmp_path / str(trial), door=door, is_async=is_async))
        ended = at_once(scene, *ops, sleep=0.1)
        assert [e.raised for e in ended] == [""] * len(ops), ended
        overlaps += all(one.overlaps(other) for one in ended for other in ended if one is not other)
        assert len(scene.marks("entered")) == 1
        done(scene)
    assert overlaps


@pytest.mark.parametrize("door", guarded.DOORS)
def test_without_the_gate_two_resumes_at_once_run_it_twice(door: str, tmp_path: Path) -> None:
    scene = GateScene(tmp_path, gate="bare", door=door)
    scene.do("start")
    one, other = at_once(scene, "plain", "plain", value="approve", sleep=0.2)
    assert one.overlaps(other)
    assert len(scene.effects()) == 2


@pytest.mark.parametrize(("door", "is_async"), MODES)
def test_a_double_click_approves_and_runs_once(door: str, is_async: bool, tmp_path: Path) -> None:
    scene = GateScene(tmp_path, door=door, is_async=is_async)
    scene.do("run")
    assert [scene.do("approve").raised for _ in range(2)] == ["", "TicketClosed"]
    assert [scene.do("resume").did for _ in range(2)] == ["knocked at 1 decided pause", "nothing: it has finished"]
    scene.do("knock", value="approve")
    done(scene)


@pytest.mark.parametrize("door", guarded.DOORS)
def test_the_second_click_does_not_approve_the_next_run(door: str, tmp_path: Path) -> None:
    scene = GateScene(tmp_path / "ours", door=door, lines=TWO_TURNS)
    scene.do("run")
    scene.do("approve")
    for _ in range(2):
        scene.do("plain", value="approve")
    assert scene.do("resume").status == "pending_approval"
    assert [line["to"] for line in scene.effects()] == ["bob"]
    assert scene.standings() == ["executed", "pending"]

    bare = GateScene(tmp_path / "bare", gate="bare", door=door, lines=TWO_TURNS)
    bare.do("start")
    for _ in range(2):
        bare.do("plain", value="approve")
    assert [line["to"] for line in bare.effects()] == ["bob", "eve"]


@pytest.mark.parametrize(("door", "is_async"), MODES)
def test_a_late_decision_while_it_runs_is_refused_and_a_second_runner_writes_nothing(
    door: str, is_async: bool, tmp_path: Path
) -> None:
    scene = approved(GateScene(tmp_path, door=door, is_async=is_async))
    runner = scene.hold("resume")
    before, history = scene.checkpoints(), scene.kinds(scene.tickets()[0])
    assert scene.do("reject").raised == "TicketClosed"
    second = scene.do("none", wait=0.1)
    assert second.raised == "StillRunning"
    assert (scene.checkpoints(), scene.kinds(scene.tickets()[0])) == (before, history)
    scene.let_go()
    ran = runner.wait()
    assert second.overlaps(ran)
    assert ran.status == "completed"
    done(scene)


@pytest.mark.parametrize("door", guarded.DOORS)
def test_the_late_outcome_of_an_owner_who_was_given_up_settles_the_doubt(door: str, tmp_path: Path) -> None:
    scene = approved(GateScene(tmp_path, door=door))
    runner = scene.hold("resume", host="elsewhere")
    os.kill(runner.pid, signal.SIGSTOP)
    asked = scene.do("resume")
    assert (asked.status, scene.standings()) == ("in_doubt", ["in_doubt"])
    scene.let_go()
    os.kill(runner.pid, signal.SIGCONT)
    assert runner.wait().exit == 0
    assert scene.kinds(scene.tickets()[0]) == ["opened", "decided", "claimed", "in_doubt", "executed"]
    scene.do("resume")
    done(scene)


# Time ----------------------------------------------------------------------------------------------------------------------------

HOUR = 3600  # the policy of these stories: decide within 2 h, use an approval within 1 h


@pytest.mark.parametrize(("door", "is_async"), MODES)
@pytest.mark.parametrize(
    ("verdict", "turned", "standing", "gist"),
    [
        ("", 2 * HOUR + 1, "expired", "was not run: nobody decided in time"),
        ("approve", HOUR + 1, "lapsed", "was not run: its approval was not used in time"),
    ],
    ids=["expired", "lapsed"],
)
def test_silence_is_no(
    verdict: str, turned: int, standing: str, gist: str, door: str, is_async: bool, tmp_path: Path
) -> None:
    scene = GateScene(tmp_path, door=door, is_async=is_async)
    scene.do("run")
    if verdict:
        scene.say(verdict)
    scene.turn_clock(turned)
    assert scene.do("approve").raised == "TicketClosed", "a late approval"
    if is_async:
        assert scene.do("none").last == "Done.", "whoever wakes it"
    else:
        assert scene.do("resume").last == "Done."
    scene.turn_clock(0)
    done(scene, 0, standing, gist)

"""kill -9 at every write of the path, then recovery: never two effects, never a silent loss, always a real answer to the model.

The tables were written before the code ran. A row is one moment of death in one process of the story run, approve, resume.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .crew import DOORS, Ended, Scene
from .worker import IDEMPOTENT

GRAPHS, WORKFLOWS = DOORS[:-1], DOORS[-1:]
TOOLS = ("message", "send", "agent")
RECOVERIES = ("resume", "none", "approve", "reject")
TWO = [[["send", {"to": "bob", "amount": 7}], ["send", {"to": "eve", "amount": 7}]]]

SENT = ("executed", "sent 7 to bob")
REJECTED = ("rejected", "rejected by ana")
HAPPENED = ("executed", "ana says that the call happened")
BY_ANA, BY_PROBE = "It happened, says ana.", "verify says that the call happened"


@dataclass(frozen=True)
class Row:
    """A moment of death, what is found there, and what must have come of it in the end.

    `effects`, `standings`: what may be found right after the death ("" is: no ticket). `says_no`: what has come of it when
    recovery rejects; a rejection that comes after the approval is refused, and things end as approved. `doors`: where there is
    such a moment.
    """

    op: str
    moment: str
    effects: set[int]
    standings: set[str]
    says_no: tuple[int, str, str]
    doors: tuple[str, ...] = DOORS


NO = (0, *REJECTED)
LATE = (1, "executed", "bob")
NONE, PENDING, APPROVED = {""}, {"pending"}, {"approved"}
RUNNING, DONE = {"running"}, {"executed"}

KILLS = [
    Row("run", "hold:before", {0}, NONE, NO),
    Row("run", "hold:after", {0}, NONE, NO),
    # LangGraph writes these in the background, so the ticket may be there first.
    Row("run", "begun:before", {0}, NONE | PENDING, NO),
    Row("run", "begun:after", {0}, NONE | PENDING, NO),
    Row("run", "begun:before#2", {0}, NONE | PENDING, NO, GRAPHS),
    Row("run", "begun:after#2", {0}, NONE | PENDING, NO, GRAPHS),
    Row("run", "proposed:before", {0}, NONE | PENDING, NO, GRAPHS),
    Row("run", "proposed:after", {0}, NONE | PENDING, NO, GRAPHS),
    Row("run", "opened:before", {0}, NONE, NO),
    Row("run", "opened:after", {0}, PENDING, NO),
    Row("run", "pause:before", {0}, PENDING, NO),
    Row("run", "pause:after", {0}, PENDING, NO),
    Row("run", "let_go:before", {0}, PENDING, NO),
    Row("approve", "decided:before", {0}, PENDING, NO),
    Row("approve", "decided:after", {0}, APPROVED, LATE),
    Row("resume", "hold:before", {0}, APPROVED, LATE),
    Row("resume", "hold:after", {0}, APPROVED, LATE),
    # A plain resume value is saved before the node runs, in the background.
    Row("plain", "knock:before", {0, 1}, APPROVED | RUNNING | DONE, LATE),
    Row("plain", "knock:after", {0, 1}, APPROVED | RUNNING | DONE, LATE),
    Row("resume", "claimed:before", {0}, APPROVED, LATE),
    Row("resume", "claimed:after", {0}, RUNNING, LATE),
    Row("resume", "effect:before", {0}, RUNNING, LATE),
    Row("resume", "effect:after", {1}, RUNNING, LATE),
    Row("resume", "executed:before", {1}, RUNNING, LATE),
    Row("resume", "executed:after", {1}, DONE, LATE),
    # In an agent the tool runs in a task of its own: LangGraph may save what it returned before its outcome is on record.
    Row("resume", "return:before", {1}, RUNNING | DONE, LATE, GRAPHS),
    Row("resume", "return:after", {1}, RUNNING | DONE, LATE, GRAPHS),
    Row("resume", "answered:before", {1}, DONE, LATE, GRAPHS),
    Row("resume", "answered:after", {1}, DONE, LATE, GRAPHS),
    Row("resume", "finished:before", {1}, DONE, LATE, GRAPHS),
    Row("resume", "finished:after", {1}, DONE, LATE, GRAPHS),
    *(
        Row("resume", f"{name}:{when}", {1}, DONE, LATE, WORKFLOWS)
        for name in ("writes", "begun")
        for when in ("before", "after")
    ),
    Row("resume", "writes:before#2", {1}, DONE, LATE, WORKFLOWS),
    Row("resume", "writes:after#2", {1}, DONE, LATE, WORKFLOWS),
    Row("resume", "let_go:before", {1}, DONE, LATE),
]


def sample(request: pytest.FixtureRequest, rng: random.Random, *axes: Any) -> list[tuple[Any, ...]]:
    """Every combination with `--long`, else one."""
    every = list(itertools.product(*axes))
    return every if request.config.getoption("--long") else [rng.choice(every)]


def stories(
    request: pytest.FixtureRequest, rng: random.Random, folder: Path, *axes: Any, doors: tuple[str, ...] = DOORS
) -> Iterator[tuple[Any, ...]]:
    """A new folder for each combination of door, way and `axes`."""
    for number, (door, is_async, *rest) in enumerate(sample(request, rng, doors, (False, True), *axes)):
        print(door, is_async, *rest)
        yield Path(folder, str(number)), {"door": door, "is_async": is_async}, *rest


def until(scene: Scene, op: str) -> None:
    """Plays the story up to the process that is to die."""
    for step in {"run": [], "approve": ["run"]}.get(op, ["run", "approve"]):
        scene.do(step)


def dies(scene: Scene, row: Row) -> None:
    until(scene, row.op)
    scene.do(row.op, kill=row.moment, value="yes")
    assert len(scene.effects()) in row.effects
    assert (scene.standings() or [""])[-1] in row.standings


def recovers(scene: Scene, recovery: str) -> None:
    """One process that comes first to the dead one."""
    before = scene.standings()
    ended = scene.do(recovery)
    if recovery in ("approve", "reject"):
        permitted = {"IndexError"} if not before else {""} if before[-1] == "pending" else {"TicketClosed"}
        assert ended.raised in permitted, ended
        assert not ended.raised or scene.standings() == before
    else:
        # Nothing was ever saved: LangGraph and we both say so, and nothing was started. The ticket may be there first, for
        # LangGraph writes its first checkpoint in the background.
        assert ended.raised in ("", "UnknownThread", "EmptyInputError"), ended
        assert not ended.raised or set(before) <= {"pending"}


@pytest.mark.parametrize("row", KILLS, ids=lambda row: f"{row.op}-{row.moment}")
def test_a_killed_process_leaves_a_thread_that_finishes_with_one_effect(
    row: Row, request: pytest.FixtureRequest, rng: random.Random, tmp_path: Path
) -> None:
    for folder, mode, recovery in stories(request, rng, tmp_path, RECOVERIES, doors=row.doors):
        scene = Scene(folder, **mode)
        dies(scene, row)
        recovers(scene, recovery)
        last = scene.finish("reject" if recovery == "reject" else "approve")
        count, standing, gist = row.says_no if recovery == "reject" else (1, "executed", "bob")
        ends(scene, last, count, standing, gist)


def ends(scene: Scene, last: Ended, count: int, standing: str, gist: str) -> None:
    """The effects outside, the final standing, the words to the model; and what holds at the end of every story."""
    assert len(scene.effects()) == count
    assert last.last == "Done."
    *dropped, final = scene.standings()
    if gist == BY_ANA and scene.job.door in ("node", "inserted"):
        # It gives an update, and nobody has said which.
        assert (final, last.answers) == (standing, [])
        return
    [answer] = last.answers
    if standing == "rejected" and dropped == ["rejected"]:
        # The proposal was lost with the process. Its repetition is refused by the rejection before, or asked again
        # and rejected again if the human message was lost with it.
        assert (final, "rejected_before" in answer[2]) in [("denied", True), ("rejected", False)]
    else:
        words = gist if scene.job.door in TOOLS else SAID_INSTEAD.get(gist, gist)
        assert (final, words in answer[2]) == (standing, True), answer
        assert set(dropped) <= {"withdrawn", "approved"}, dropped
    scene.check(last)


# The answer to a tool call says who knows that it happened; a node and a task give what is said in their place.
SAID_INSTEAD = {HAPPENED[1]: SENT[1], BY_ANA: "None", BY_PROBE: "found in the books"}


def test_every_write_of_the_path_is_a_moment_of_death_in_the_table(door: str, is_async: bool, tmp_path: Path) -> None:
    scene = Scene(tmp_path, door=door, is_async=is_async)
    for op in ("run", "approve", "resume"):
        scene.do(op)
    in_table = {row.moment.partition(":")[0] for row in KILLS if door in row.doors}
    seen = {moment.partition(":")[0] for moment in scene.moments()}
    # `writes` of a graph are those of the agent node, which has no effect.
    assert seen - ({"writes"} if door in GRAPHS else set()) == in_table - {"knock"}


# In doubt ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Doubt:
    """What is said of a call whose runner died, and what comes of it. `answer`: of a person; "nobody" must be asked."""

    moment: str
    answer: str
    effects: int
    standing: str
    gist: str
    probe: str = ""
    idempotent: bool = False


UNKNOWN = ("in_doubt", "unknown whether send happened")
GIVEN_UP = ("failed", "send was not completed")

DOUBTS = [
    Doubt(moment, *rest)  # type: ignore[arg-type]  # a table
    for moment in ("claimed:after", "effect:before")
    for rest in (
        ("did_not_happen", 1, *SENT),
        ("happened", 0, "executed", BY_ANA),
        ("give_up", 0, *GIVEN_UP),
        ("silence", 0, *UNKNOWN),
        ("nobody", 1, *SENT, "look"),
        ("did_not_happen", 1, *SENT, "unknown"),
        ("truth", 1, *SENT, "raises"),
        ("nobody", 1, *SENT, "", True),
    )
] + [
    Doubt(moment, *rest)  # type: ignore[arg-type]  # a table
    for moment in ("effect:after", "executed:before")
    for rest in (
        ("truth", 1, *HAPPENED),
        ("happened", 1, "executed", BY_ANA),
        ("give_up", 1, *GIVEN_UP),
        ("silence", 1, *UNKNOWN),
        ("nobody", 1, "executed", BY_PROBE, "look"),
        ("truth", 1, *HAPPENED, "unknown"),
        ("truth", 1, *HAPPENED, "raises"),
        ("nobody", 1, *SENT, "", True),
    )
]


def doubt_scene(folder: Path, doubt: Doubt, **mode: Any) -> Scene:
    more = {"policy": IDEMPOTENT, "dedups": True} if doubt.idempotent else {}
    return Scene(folder, probe=doubt.probe, **mode, **more)


@pytest.mark.parametrize("doubt", DOUBTS, ids=lambda d: f"{d.moment}-{d.answer}-{d.probe}{'idempotent' * d.idempotent}")
def test_a_call_in_doubt_ends_as_a_person_the_probe_or_the_policy_says(
    doubt: Doubt, request: pytest.FixtureRequest, rng: random.Random, tmp_path: Path
) -> None:
    for folder, mode, recovery in stories(request, rng, tmp_path, ("resume", "none", "knock")):
        scene = doubt_scene(folder, doubt, **mode)
        until(scene, "resume")
        scene.do("resume", kill=doubt.moment)
        recovered = scene.do(recovery)
        if doubt.answer == "nobody":
            assert recovered.pauses == []
        else:
            assert recovered.pauses == [[scene.tickets()[-1].id]]
            assert scene.standings() == ["in_doubt"]
        last = scene.finish(answer=doubt.answer)
        ends(scene, last, doubt.effects, doubt.standing, doubt.gist)
        assert bool(scene.marks("probed")) == bool(doubt.probe)
        assert len({line["key"] for line in scene.effects()}) <= 1


def test_what_is_said_after_the_run_went_on_is_recorded_and_runs_nothing(tmp_path: Path) -> None:
    for number, (answer, standing) in enumerate(
        [("did_not_happen", "failed"), ("happened", "executed"), ("give_up", "failed")]
    ):
        scene = Scene(tmp_path / str(number))
        until(scene, "resume")
        scene.do("resume", kill="effect:before")
        last = scene.finish(answer="silence")
        ends(scene, last, 0, *UNKNOWN)
        with_signoff = scene.signoff()
        assert [t.id for t in with_signoff.in_doubt()] == [scene.tickets()[0].id]  # still listed
        with_signoff.close()
        scene.settle(scene.tickets()[0], answer)
        again = scene.do("resume")
        assert again.did == "nothing: it has finished"
        ends(scene, again, 0, standing, "unknown whether send happened")


# Dying again while recovering ------------------------------------------------------------------------------------------------

AGAIN = [
    # first death, what dies next and where, then: effects, standing, gist
    ("effect:after", "resume", "in_doubt:before", {}, 1, *HAPPENED),
    ("effect:after", "resume", "in_doubt:after", {}, 1, *HAPPENED),
    ("effect:after", "resume", "pause:before", {}, 1, *HAPPENED),
    ("effect:after", "resume", "pause:after", {}, 1, *HAPPENED),
    ("effect:before", "resume", "in_doubt:after", {}, 1, *SENT),
    ("effect:after", "resume", "executed:before", {"probe": "look"}, 1, "executed", BY_PROBE),
    ("effect:after", "resume", "executed:after", {"probe": "look"}, 1, "executed", BY_PROBE),
    ("effect:before", "resume", "retried:before", {"probe": "look"}, 1, *SENT),
    ("effect:before", "resume", "retried:after", {"probe": "look"}, 1, *SENT),
    ("effect:before", "resume", "claimed:after", {"probe": "look"}, 1, *SENT),
    ("effect:before", "resume", "effect:after", {"probe": "look"}, 1, "executed", BY_PROBE),
    ("effect:after", "resume", "in_doubt+retried+claimed:before", {"policy": IDEMPOTENT, "dedups": True}, 1, *SENT),
    ("effect:after", "resume", "in_doubt+retried+claimed:after", {"policy": IDEMPOTENT, "dedups": True}, 1, *SENT),
    ("effect:before", "resume", "effect:after", {"policy": IDEMPOTENT, "dedups": True}, 1, *SENT),
    ("effect:after", "resume", "executed:before", {"policy": IDEMPOTENT, "dedups": True}, 1, *SENT),
]


@pytest.mark.parametrize("row", AGAIN, ids=lambda row: f"{row[0]}-then-{row[2]}-{'-'.join(row[3])}")
def test_a_recovery_that_is_killed_too_is_recovered(
    row: tuple[Any, ...], request: pytest.FixtureRequest, rng: random.Random, tmp_path: Path
) -> None:
    first, op, moment, more, *expected = row
    for folder, mode in stories(request, rng, tmp_path):
        scene = Scene(folder, **mode, **more)
        until(scene, "resume")
        scene.do("resume", kill=first)
        scene.do(op, kill=moment)
        ends(scene, scene.finish(), *expected)


@pytest.mark.parametrize(
    ("answer", "moment", "effects"),
    [
        ("happened", "executed:before", 1),
        ("happened", "executed:after", 1),
        ("did_not_happen", "retried:before", 0),
        ("did_not_happen", "retried:after", 0),
        ("give_up", "failed:before", 1),
        ("give_up", "failed:after", 1),
    ],
)
def test_an_answer_is_on_record_or_was_not_given(
    answer: str, moment: str, effects: int, request: pytest.FixtureRequest, rng: random.Random, tmp_path: Path
) -> None:
    for folder, mode in stories(request, rng, tmp_path):
        scene = Scene(folder, **mode)
        until(scene, "resume")
        scene.do("resume", kill="effect:after" if effects else "effect:before")
        assert scene.do("resume").status == "in_doubt"
        scene.do("settle", answer=answer, kill=moment)
        assert len(scene.effects()) == effects
        assert (scene.standings() == ["in_doubt"]) == moment.endswith("before")
        last = scene.finish(answer=answer)
        final = {"happened": "executed", "did_not_happen": "executed", "give_up": "failed"}[answer]
        gist = {"happened": BY_ANA, "did_not_happen": "sent 7 to bob", "give_up": "not completed"}[answer]
        ends(scene, last, 1, final, gist)


# Two calls in one message ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", ["approve", "reject"])
@pytest.mark.parametrize("moment", ["effect:after", "effect:before", "executed:after", "claimed:after"])
def test_a_death_in_one_of_two_calls_leaves_each_its_own_end(
    other: str, moment: str, request: pytest.FixtureRequest, rng: random.Random, tmp_path: Path
) -> None:
    for folder, mode in stories(request, rng, tmp_path):
        scene = Scene(folder, lines=TWO, **mode)
        assert scene.do("run").status == "pending_approval"
        scene.say("approve", to="bob")
        if mode["door"] not in WORKFLOWS:  # which asks about the second only when the first is done
            scene.say(other, to="eve")
        scene.do("resume", kill=moment)
        last = scene.finish(other)
        assert (len(scene.effects(to="bob")), len(scene.effects(to="eve"))) == (1, int(other == "approve"))
        answers = {call_id: text for call_id, _, text in last.answers}
        assert "sent 7 to bob" in answers["call-0-0"]
        assert ("sent 7 to eve" if other == "approve" else "rejected by ana") in answers["call-0-1"]
        assert scene.standings("bob") == ["executed"]
        assert scene.standings("eve") == ["executed" if other == "approve" else "rejected"]
        scene.check(last)


@pytest.mark.parametrize("door", ["send", "agent", "node", "inserted"])
def test_with_a_task_for_each_call_one_dies_while_the_other_still_waits(
    door: str, is_async: bool, tmp_path: Path
) -> None:
    scene = Scene(tmp_path, lines=TWO, door=door, is_async=is_async)
    scene.do("run")
    scene.say("approve", to="bob")
    scene.do("resume", kill="effect:after")
    assert (scene.standings("bob"), scene.standings("eve")) == (["running"], ["pending"])
    assert scene.do("reject", to="eve").raised == ""
    last = scene.finish()
    assert (len(scene.effects(to="bob")), len(scene.effects(to="eve"))) == (1, 0)
    assert [(c, "bob" in text, "rejected" in text) for c, _, text in last.answers] == [
        ("call-0-0", True, False),
        ("call-0-1", False, True),
    ]
    scene.check(last)


@pytest.mark.parametrize("door", TOOLS)
def test_an_allowed_call_beside_it_keeps_its_result(door: str, is_async: bool, tmp_path: Path) -> None:
    lines = [[["send", {"to": "bob", "amount": 7}], ["look", {"at": "books"}]]]
    scene = Scene(tmp_path, lines=lines, door=door, is_async=is_async)
    until(scene, "resume")
    scene.do("resume", kill="effect:after")
    last = scene.finish()
    assert len(scene.effects()) == 1
    assert [text for _, _, text in last.answers][1] == "looked at books"
    assert "ana says that the call happened" in last.answers[0][2]
    scene.check(last)


# Fresh interpreters, and the same without a gate -----------------------------------------------------------------------------


def test_the_same_holds_between_fresh_interpreters(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    pids = {scene.do("run", fresh=True).pid, scene.do("approve", fresh=True).pid}
    pids.add(scene.do("resume", kill="effect:after", fresh=True).pid)
    asked = scene.do("resume", fresh=True)
    assert asked.status == "in_doubt"
    scene.tell_the_truth(scene.tickets()[-1])
    last = scene.do("resume", fresh=True)
    assert len(pids | {asked.pid, last.pid}) == 5
    ends(scene, last, 1, *HAPPENED)


@pytest.mark.parametrize("recovery", ["none", "reject"])
def test_without_the_gate_a_killed_tool_runs_again(door: str, is_async: bool, recovery: str, tmp_path: Path) -> None:
    scene = Scene(tmp_path, gate="bare", door=door, is_async=is_async)
    assert scene.do("start").next
    scene.do("plain", value="approve", kill="effect:after")
    scene.do("none") if recovery == "none" else scene.do("plain", value="reject")
    # Some deaths lose the answer as well; then it asks again, and nobody learns that it has already run.
    assert len(scene.effects()) == 2 or scene.do("plain", value="approve").next == []
    assert len(scene.effects()) == 2 or recovery == "reject"

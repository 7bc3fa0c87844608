"""kill -9 between any two steps of a rollback, and of an approval; several processes at one review.

Each row was written before the code ran: where the process dies, and how much may have been undone by then. In the end each
payment is taken back exactly once, newest first, or what only the approval does is done exactly once, and the thread finishes.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from langgraph_signoff.vocabulary import Ticket

from . import reviewed
from .crew import Ended, Scene
from .test_races import at_once

SENT = [("send", "bob"), ("send", "eve")]
UNDONE = [*SENT, ("undo", "eve"), ("undo", "bob")]
SEALED = [*SENT, ("seal", "all")]
DOORS = ("review", "review-seal")


class ReviewScene(Scene):
    """The same story, of two payments that ran unasked, and one question about both."""

    def __init__(self, folder: Path, **fields: Any) -> None:
        super().__init__(folder, **{"door": "review", "lines": reviewed.TWO, "policy": reviewed.POLICY, **fields})

    def review(self) -> Ticket:
        return [ticket for ticket in self.tickets() if ticket.kind == "outcome"][-1]

    def decided(self, verdict: str) -> ReviewScene:
        """Run, and decided; nobody has woken it."""
        assert self.do("run").status == "pending_approval"
        assert not self.do(verdict).raised
        return self

    def seen(self) -> list[tuple[str, str]]:
        return [(line["tool"], line["to"]) for line in self.effects()]

    def tell_the_truth(self, ticket: Ticket) -> Ticket:
        done = ("seal", "all") if ticket.kind == "outcome" else ("undo", ticket.args["to"])
        return self.settle(ticket, "happened" if done in self.seen() else "did_not_happen")

    def ends(self, last: Ended, effects: list[tuple[str, str]], words: str) -> None:
        """The effects outside, each once and in this order; the words at the end; nothing left open, the record whole."""
        assert self.seen() == effects
        assert last.last == words
        assert not last.next
        left = [ticket for ticket in self.tickets() if not ticket.standing.is_final]
        assert not left, left
        if effects == UNDONE:
            assert self.kinds(self.review()).count("rolled_back") == 1
            assert len(self.review().rollback.undone) == 2  # type: ignore[union-attr]  # it has just been counted
        signoff = self.signoff()
        assert signoff.verify().is_whole
        signoff.close()


def stories(
    request: pytest.FixtureRequest, rng: random.Random, folder: Path, *axes: Any
) -> Iterator[tuple[ReviewScene, Any]]:
    """A new scene for each combination with `--long`, else for one."""
    every = list(itertools.product((False, True), *axes))
    for number, (is_async, *rest) in enumerate(every if request.config.getoption("--long") else [rng.choice(every)]):
        print(is_async, *rest)
        yield ReviewScene(folder / str(number), is_async=is_async), *rest


# kill -9 in a rollback ---------------------------------------------------------------------------------------------------------

FIRST, SECOND, BOTH = {0, 1}, {1, 2}, {2}
# The second time is that of the second payment. LangGraph writes in the background what a task has returned.
ROLLBACK = {
    "hold": {0},
    "opened": {0},
    "claimed": {0},
    "undoing": FIRST,
    "executed": {1},
    "opened#2": {1},
    "claimed#2": {1},
    "undoing#2": SECOND,
    "executed#2": BOTH,
    "rolled_back": BOTH,
    "writes": FIRST | SECOND,
    "writes#2": SECOND,
    "finished": BOTH,
    "let_go": BOTH,
}


SIDES = ("before", "after")
RECOVERIES = ("resume", "none", "knock")


def moment(write: str, side: str) -> str:
    name, _, number = write.partition("#")
    return f"{name}:{side}" + (f"#{number}" if number else "")


@pytest.mark.parametrize("write", ROLLBACK)
def test_a_rollback_that_is_killed_undoes_each_payment_once(
    write: str, request: pytest.FixtureRequest, rng: random.Random, tmp_path: Path
) -> None:
    for scene, side, recovery in stories(request, rng, tmp_path, SIDES, RECOVERIES):
        scene.decided("reject")
        scene.do("resume", kill=moment(write, side))
        assert len(scene.effects(tool="undo")) in ROLLBACK[write]
        assert scene.do(recovery, value="approve").raised in ("", "EmptyInputError")
        scene.ends(scene.finish(), UNDONE, "Undone: 2, left: []")


def test_every_write_of_a_rollback_is_a_moment_of_death_in_the_table(tmp_path: Path) -> None:
    for is_async in (False, True):
        scene = ReviewScene(tmp_path / str(is_async), is_async=is_async).decided("reject")
        before = len(scene.moments())
        scene.do("resume")
        seen = {each.partition(":")[0] for each in scene.moments()[before:]}
        assert seen == {write.partition("#")[0] for write in ROLLBACK}


@pytest.mark.parametrize("then", ["undoing:after", "executed:before", "in_doubt:after", "rolled_back:before"])
def test_a_recovery_of_a_rollback_that_is_killed_too_is_recovered(
    then: str, request: pytest.FixtureRequest, rng: random.Random, tmp_path: Path
) -> None:
    first = "executed:before" if then == "in_doubt:after" else "executed:after"
    for (scene,) in stories(request, rng, tmp_path):
        scene.decided("reject")
        scene.do("resume", kill=first)
        scene.do("resume", kill=then)
        scene.ends(scene.finish(), UNDONE, "Undone: 2, left: []")


def test_nobody_s_word_on_an_undo_in_doubt_leaves_it_and_what_is_older_by_name(tmp_path: Path) -> None:
    scene = ReviewScene(tmp_path).decided("reject")
    scene.do("resume", kill="undoing:after")
    assert scene.do("resume").status == "in_doubt"
    scene.turn_clock(25 * 3600)
    last = scene.do("resume")
    assert last.status == "completed"
    assert scene.seen() == UNDONE[:3]
    assert "unknown whether undo_send happened" in last.last
    assert last.last.count("not tried") == 1


# kill -9 in an approval -----------------------------------------------------------------------------------------------------------

APPROVAL = {
    "hold": {0},
    "claimed": {0},
    "sealing": {0, 1},
    "executed": {1},
    "writes": {1},
    "finished": {1},
    "let_go": {1},
}


@pytest.mark.parametrize("write", APPROVAL)
def test_an_approval_that_is_killed_does_what_it_does_once(
    write: str, request: pytest.FixtureRequest, rng: random.Random, tmp_path: Path
) -> None:
    doors = DOORS[1:] if write == "sealing" else DOORS
    for scene, side, door, recovery in stories(request, rng, tmp_path, SIDES, doors, RECOVERIES):
        scene = ReviewScene(scene.folder, door=door, is_async=scene.job.is_async).decided("approve")
        scene.do("resume", kill=moment(write, side))
        if door == "review-seal":
            assert len(scene.effects(tool="seal")) in APPROVAL[write]
        assert scene.do(recovery, value="reject").raised in ("", "EmptyInputError")
        # Where an approval does nothing, nobody is asked whether it was done.
        last = scene.finish(answer="truth" if door == "review-seal" else "nobody")
        scene.ends(last, SEALED if door == "review-seal" else SENT, "Published.")


# Several processes at one review ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ops", [("resume", "resume"), ("knock", "knock"), ("resume", "none")], ids="-".join)
@pytest.mark.parametrize("verdict", ["reject", "approve"])
def test_processes_that_wake_a_decided_review_at_once_do_it_once(
    verdict: str, ops: tuple[str, ...], request: pytest.FixtureRequest, rng: random.Random, tmp_path: Path
) -> None:
    overlaps = 0
    for scene, _ in stories(request, rng, tmp_path, range(10 if request.config.getoption("--long") else 1)):
        scene = ReviewScene(scene.folder, door="review-seal", is_async=scene.job.is_async).decided(verdict)
        ended = at_once(scene, *ops)
        assert [each.raised for each in ended] == [""] * len(ops), ended
        overlaps += all(one.overlaps(other) for one in ended for other in ended if one is not other)
        last = scene.finish()
        scene.ends(last, *((UNDONE, "Undone: 2, left: []") if verdict == "reject" else (SEALED, "Published.")))
    assert overlaps


def test_people_who_approve_and_reject_a_run_at_once_get_one_decision(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    overlaps = 0
    for trial in range(30 if request.config.getoption("--long") else 4):
        scene = ReviewScene(tmp_path / str(trial), door="review-seal")
        scene.do("run")
        approve, reject = at_once(scene, "approve", "reject")
        overlaps += approve.overlaps(reject)
        assert sorted([approve.raised, reject.raised]) == ["", "TicketClosed"]
        last = scene.finish()
        scene.ends(last, *((UNDONE, "Undone: 2, left: []") if approve.raised else (SEALED, "Published.")))
    assert overlaps

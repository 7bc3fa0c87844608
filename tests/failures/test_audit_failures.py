"""What tries to lose an audit, to have two of one action, or to have a flag undone twice: deaths, races, replays."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from langgraph_signoff import Standing, Ticket

from .crew import DOORS, Ended, Scene
from .world import World

AUDITED = """
version: 1
tools:
  look: allow
  send: {undo: true, otherwise: {then: audit, on_flag: undo, window: 2h}}
nodes:
  send: {risk: {reversible: true}, otherwise: {then: audit, window: 2h}}
"""

WAYS = [(door, is_async) for door in DOORS for is_async in (False, True)]

# The outcome and its audit are one write: there is no moment between them.
MOMENTS = {
    "opened": 0,
    "claimed:before": 0,
    "claimed:after": 0,
    "effect:before": 0,
    "effect:after": 1,
    "executed+opened:before": 1,
    "executed+opened:after": 1,
}


def audits(scene: Scene) -> list[Ticket]:
    return [ticket for ticket in scene.tickets() if ticket.kind == "audit"]


def looked_at_once(scene: Scene) -> None:
    """Each action that ran has one audit, which says what ran; nothing else has."""
    ran = [t for t in scene.tickets() if t.kind != "audit" and t.standing is Standing.EXECUTED]
    assert {audit.about: audit.digest for audit in audits(scene)} == {t.id: outcome_hash(scene, t) for t in ran}
    assert {t.audit for t in ran} == {audit.id for audit in audits(scene)}
    # What LangGraph had not saved yet when its process died is proposed anew: that is another action.
    assert 1 <= len(audits(scene)) == len(ran) == len(scene.effects(tool="send")) <= 2


def outcome_hash(scene: Scene, ticket: Ticket) -> str:
    signoff = scene.signoff()
    try:
        return next(entry.hash for entry in signoff.history(ticket) if entry.kind == "executed")
    finally:
        signoff.close()


@pytest.mark.parametrize("moment", [m if ":" in m else f"{m}:after" for m in MOMENTS])
def test_a_death_around_the_outcome_loses_no_audit_and_makes_no_second(
    moment: str, request: pytest.FixtureRequest, rng: random.Random, tmp_path: Path
) -> None:
    for number, (door, is_async) in enumerate(WAYS if request.config.getoption("--long") else [rng.choice(WAYS)]):
        print(door, is_async)
        scene = Scene(tmp_path / str(number), door=door, is_async=is_async, policy=AUDITED)
        scene.do("run", kill=moment)
        assert len(audits(scene)) == (moment == "executed+opened:after")
        assert len(scene.effects()) == MOMENTS[moment.removesuffix(":after") if moment.startswith("opened") else moment]
        scene.finish()
        time.sleep(scene.job.lease)
        last = scene.finish()
        for doubt in [ticket for ticket in scene.tickets() if ticket.standing is Standing.IN_DOUBT]:
            scene.tell_the_truth(doubt)
        looked_at_once(scene)
        scene.check(last)


FLAGGED = ["decided:before", "decided:after"]
FOLLOWED = [
    f"{write}:{when}"
    for write in ("opened", "claimed", "undoing", "executed", "followed_up")
    for when in ("before", "after")
]


@pytest.mark.parametrize("moment", FLAGGED)
def test_a_death_around_a_flag_leaves_it_said_or_not_said(moment: str, tmp_path: Path) -> None:
    scene = Scene(tmp_path, policy=AUDITED)
    scene.do("run")
    scene.do("flag", kill=moment)
    [audit] = audits(scene)
    assert audit.standing == ("under_audit" if moment == "decided:before" else "flagged")
    if moment == "decided:before":
        scene.do("flag")
    assert scene.do("follow_up").value == ["undo"]


@pytest.mark.parametrize("moment", FOLLOWED)
def test_a_death_in_a_follow_up_leaves_one_undo_to_whoever_comes_next(moment: str, tmp_path: Path) -> None:
    scene = Scene(tmp_path, policy=AUDITED)
    scene.do("run")
    scene.do("flag")
    scene.do("follow_up", kill=moment)
    followed_up(scene)


def followed_up(scene: Scene) -> None:
    """People answer what is asked until the flag is followed up; then the action is undone once, and stays so."""
    for _ in range(4):
        found = scene.do("follow_up")
        assert not found.raised, found.text
        doubts = [t for t in scene.tickets() if t.standing is Standing.IN_DOUBT]
        for doubt in doubts:
            scene.settle(doubt, "happened" if scene.effects(tool="undo") else "did_not_happen")
        if found.value != ["wait"]:
            break
    [audit] = audits(scene)
    assert audit.follow_up
    assert audit.follow_up.did == "undo"
    assert len(scene.effects(tool="undo")) == len(scene.effects(tool="send")) == 1
    assert scene.do("follow_up").value == []
    assert scene.kinds(audit) == ["opened", "decided", "followed_up"]
    signoff = scene.signoff()
    assert signoff.verify().broken == []
    signoff.close()


def test_every_write_of_flag_and_follow_up_is_a_moment_of_death(tmp_path: Path) -> None:
    scene = Scene(tmp_path, policy=AUDITED)
    scene.do("run")
    before = len(scene.moments())
    scene.do("flag")
    scene.do("follow_up")
    seen = {moment.partition(":")[0] for moment in scene.moments()[before:]}
    assert seen == {moment.partition(":")[0] for moment in FLAGGED + FOLLOWED}


# Races ---------------------------------------------------------------------------------------------------------------------


def at_once(scene: Scene, *ops: str, **fields: Any) -> list[Ended]:
    """These processes, all let go at one moment."""
    crowd = [scene.start(op, barrier=f"at-once-{ops}", crowd=len(ops), **fields) for op in ops]
    return [started.wait() for started in crowd]


@pytest.mark.parametrize("ops", [("flag", "flag"), ("flag", "confirm"), ("confirm", "confirm", "flag")])
def test_of_words_that_are_said_at_once_one_counts(ops: tuple[str, ...], tmp_path: Path) -> None:
    scene = Scene(tmp_path, policy=AUDITED)
    scene.do("run")
    said = at_once(scene, *ops)
    assert sorted(ended.raised for ended in said) == ["", *["TicketClosed"] * (len(ops) - 1)]
    [taken] = [op for op, ended in zip(ops, said, strict=True) if not ended.raised]
    [audit] = audits(scene)
    assert audit.standing == ("flagged" if taken == "flag" else "confirmed")
    assert scene.kinds(audit) == ["opened", "decided"]


def test_follow_ups_at_once_undo_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path, policy=AUDITED)
    scene.do("run")
    scene.do("flag")
    for ended in at_once(scene, "follow_up", "follow_up", "follow_up", sleep=0.1):
        assert not ended.raised, ended.text
    followed_up(scene)


def test_new_tools_that_run_at_once_are_counted_too_low_rather_than_too_high(tmp_path: Path) -> None:
    policy = AUDITED.replace("then: audit, ", "then: audit, sample: 0.0, new_until: 2, ")
    scenes = [Scene(tmp_path, policy=policy, thread=f"t{number}") for number in range(4)]
    crowd = [scene.start("run", barrier="crowd", crowd=len(scenes)) for scene in scenes]
    assert [started.wait().raised for started in crowd] == [""] * len(scenes)
    last = Scene(tmp_path, policy=policy, thread="last")
    last.do("run")
    found = [len(audits(scene)) for scene in scenes]
    assert 2 <= sum(found) <= len(scenes)
    assert audits(last) == []
    signoff = last.signoff()
    assert signoff.verify().broken == []
    signoff.close()


# Replays -------------------------------------------------------------------------------------------------------------------


def test_replays_forks_and_retries_open_no_second_audit(world: World) -> None:
    world.open([[("send", {"to": "bob", "amount": 5.0})], "Done."], policy=AUDITED, undo={"send": print})
    assert world.run().status == "completed"
    [audit] = world.signoff.audits()
    before = next(c for c in world.checkpoints() if c.next == ("tools",))
    world.invoke(None, config=before.config)
    fork = world.update({"messages": []}, config=before.config)
    world.invoke(None, config=fork)
    assert world.effects == ["send bob 5.0"]
    assert [ticket.id for ticket in world.signoff.audits()] == [audit.id]
    world.signoff.flag(audit, by="ana")
    world.invoke(None, config=before.config)
    assert [t.standing for t in world.tickets() if t.kind == "audit"] == [Standing.FLAGGED]
    assert world.signoff.verify().broken == []


def test_a_new_proposal_of_the_same_call_is_another_action_with_its_own_choice(world: World) -> None:
    line: Any = [("send", {"to": "bob", "amount": 5.0})]
    world.open([line, line, "Done."], policy=AUDITED, undo={"send": print})
    assert world.run().status == "completed"
    assert world.effects == ["send bob 5.0"] * 2
    first, second = world.signoff.audits()
    assert first.about != second.about


def test_what_a_revision_would_audit_is_asked_first_and_not_looked_at_twice(sync_world: World) -> None:
    policy = """
version: 1
tools:
  send:
    undo: true
    rules: [{when: "args.amount < 10.0", then: audit}]
"""
    sync_world.open([[("send", {"to": "bob", "amount": 50.0})], "Done."], policy=policy, undo={"send": print})
    [ticket] = sync_world.run().tickets
    sync_world.signoff.revise(ticket, by="ana", args={"amount": 5.0})
    assert sync_world.resume().status == "completed"
    assert sync_world.effects == ["send bob 5.0"]
    assert sync_world.signoff.audits() == []
    assert sync_world.signoff.verify().broken == []

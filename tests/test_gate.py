"""The gate before any node: what it is about to do waits for its decision, and runs at most once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from langgraph.types import Command

from gates import WAYS, Release, told
from langgraph_signoff import RepeatedKey

DEPLOYED = (["deploy 1.0"], ["executed"], ["deployed 1.0"])


@pytest.fixture(params=WAYS)
def release(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Release]:
    """A release in each of the three ways."""
    made = Release(tmp_path, request.param)
    yield made
    made.close()


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Release]:
    """A release that is sync: where the way makes no difference."""
    made = Release(tmp_path)
    yield made
    made.close()


# Which run of a node it is --------------------------------------------------------------------------------------------------


def test_a_state_that_is_updated_while_the_node_waits_leaves_its_ticket_good(release: Release) -> None:
    release.open()
    release.start()
    release.update({"round": 7})
    assert release.say().status == "completed"
    release.assert_ends(*DEPLOYED)


@pytest.mark.parametrize(
    ("verdict", "standing", "text"),
    [("reject", "rejected", "rejected by ana"), ("withdraw", "withdrawn", "the request was withdrawn")],
)
def test_a_state_that_is_updated_before_a_refusal_is_heard_hears_it(
    release: Release, verdict: str, standing: str, text: str
) -> None:
    release.open(refused=told)
    ticket = release.start().tickets[0]
    release.update({"round": 7})
    getattr(release.signoff, verdict)(ticket, by="ana")
    assert release.resume().status == "completed"
    assert (release.effects, release.standings) == ([], [standing])
    assert text in release.log()[0]


def test_every_checkpoint_that_is_replayed_gets_the_answer_on_record(release: Release) -> None:
    release.open(lambda state: {"round": 1}, release.gated())
    release.start()
    release.say()
    history = release.checkpoints()
    assert len(history) >= 4
    for snapshot in history:
        for input in (None, Command(resume=True)):
            release.invoke(input, config=snapshot.config)
            assert release.log() == ["deployed 1.0"]
    release.assert_ends(*DEPLOYED)


def test_a_fork_gets_the_answer_on_record(release: Release) -> None:
    release.open()
    release.start()
    paused = release.state().config
    release.say()
    release.update(None, config=paused)
    assert release.state().next == ("n0",), "the head of the thread is the fork"
    assert release.resume().status == "completed"
    release.assert_ends(*DEPLOYED)


def test_a_fork_that_does_something_else_under_the_same_key_is_refused(release: Release) -> None:
    release.open()
    release.start()
    before = release.state().config
    release.say()
    release.update({"version": "9.9"}, config=before)
    with pytest.raises(RepeatedKey):
        release.resume()
    release.update(None, config=before)
    assert release.resume().status == "completed", "the way back"
    release.assert_ends(*DEPLOYED)


@pytest.mark.parametrize("again", ["1.0", "2.0"])
@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_a_second_run_without_a_key_says_that_it_needs_one(release: Release, verdict: str, again: str) -> None:
    release.open()
    release.start()
    release.say(verdict)
    effects = release.effects
    if (verdict, again) == ("reject", "2.0"):
        assert release.start(version=again).status == "pending_approval", "nothing has used the key"
    else:
        with pytest.raises(RepeatedKey, match="'deploy' runs again in this thread under the same key; give key=, a"):
            release.start(version=again)
    assert release.effects == effects

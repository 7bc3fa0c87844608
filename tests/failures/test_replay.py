"""Once: whatever checkpoint a thread is replayed or forked from, an approval that was used is not used again."""

from __future__ import annotations

import pytest

from failures.world import GO, ONCE, SEND, SENT, Command, Expect, World, bare_agent, human

TWO = [("look", {"x": 1}), ("send", {"to": "bob", "amount": 5.0})]

# For each moment at which the history is taken, what stands after every checkpoint of it was replayed. Each replay that lets
# the model speak again makes a new proposal, which is asked about and does not run; the ones that were used stay used.
STAGES = {
    "pending": Expect([], ["pending"], None),
    "approved": Expect([], ["approved"], None),
    "executed": Expect(ONCE, ["executed"], SENT),
    "rejected": Expect([], ["rejected"], "rejected by ana"),
}


def _bring_to(world: World, stage: str) -> None:
    ticket = world.run().tickets[0]
    if stage == "rejected":
        world.signoff.reject(ticket, by="ana")
    if stage in ("approved", "executed"):
        world.signoff.approve(ticket, by="ana")
    if stage in ("executed", "rejected"):
        assert world.resume().status == "completed"


@pytest.mark.parametrize("stage", ["executed", "rejected"])
def test_replaying_every_checkpoint_of_a_finished_thread_runs_nothing_again(world: World, stage: str) -> None:
    world.open([SEND, "done"])
    _bring_to(world, stage)
    world.assert_ends(STAGES[stage])
    history = world.checkpoints()
    assert len(history) >= 4
    for snapshot in history:
        for input in (None, Command(resume=True), Command(resume="approve")):
            world.invoke(input, config=snapshot.config)
            assert world.effects == sorted(STAGES[stage].effects)
    asked = [t for t in world.tickets() if t.standing != stage]
    assert asked, "the model spoke again in some replay"
    # What was rejected is refused without a new question, until a replay puts the human message in anew.
    assert {t.standing for t in asked} <= ({"denied", "pending"} if stage == "rejected" else {"pending"})
    assert world.signoff.verify().broken == []


@pytest.mark.parametrize("stage", ["pending", "approved"])
def test_replaying_every_checkpoint_of_a_paused_thread_runs_at_most_what_is_approved(world: World, stage: str) -> None:
    world.open([SEND, "done"])
    _bring_to(world, stage)
    world.assert_ends(STAGES[stage])
    ticket = world.tickets()[0]
    assert world.is_paused()
    for snapshot in world.checkpoints() * 2:
        world.invoke(None, config=snapshot.config)
        world.invoke(Command(resume=True), config=snapshot.config)
        assert world.effects in ([], list(ONCE))
    assert world.effects == ([] if stage == "pending" else list(ONCE))
    assert world.signoff.ticket(ticket.id).standing == ("pending" if stage == "pending" else "executed")


def test_a_bare_interrupt_runs_again_when_its_checkpoint_is_replayed(sync_world: World) -> None:
    bare_agent(sync_world, [SEND, "done"])
    sync_world.invoke(GO)
    paused = sync_world.state().config
    sync_world.invoke(Command(resume=True))
    sync_world.invoke(Command(resume=True), config=paused)
    assert sync_world.effects == list(ONCE) * 2


def test_a_fork_from_before_the_approval_is_answered_from_the_record(world: World) -> None:
    world.open([TWO, "done"])
    ticket = world.run().tickets[0]
    paused = world.state().config
    world.signoff.approve(ticket, by="ana")
    assert world.resume().status == "completed"
    looks = world.effects.count("look 1")
    world.update(None, config=paused)
    assert set(world.state().next) == {"tools"}, "the head of the thread is the fork"
    assert world.resume().status == "completed"
    assert [e for e in world.effects if e.startswith("send")] == list(ONCE)
    assert world.effects.count("look 1") == looks + 1, "what is allowed runs in the fork, as in any graph"
    assert world.told()[-1].text == SENT
    assert [t.standing for t in world.tickets()] == ["executed"]


def test_a_fork_that_lets_the_model_speak_again_is_asked_again(world: World) -> None:
    world.open([SEND, "done"])
    world.signoff.approve(world.run().tickets[0], by="ana")
    world.resume()
    before_model = next(s for s in world.checkpoints() if s.next == ("agent",) and len(s.values["messages"]) == 1)
    world.update(None, config=before_model.config)
    run = world.resume()
    assert run.status == "pending_approval", "the same words in a new message are a new proposal"
    world.signoff.approve(run.tickets[0], by="ana")
    assert world.resume().status == "completed"
    world.assert_ends(Expect(ONCE * 2, ["executed", "executed"], SENT))


def test_new_input_on_a_paused_thread_withdraws_what_it_drops(world: World) -> None:
    world.open([SEND, "done"])
    world.run()
    run = world.run(human("never mind"))
    assert run.status == "completed"
    world.assert_ends(Expect([], ["withdrawn"], None))
    assert world.resume().did == "nothing: it has finished"


def test_a_resume_ignores_the_checkpoint_that_a_config_names(world: World) -> None:
    world.open([SEND, "done"])
    world.signoff.approve(world.run().tickets[0], by="ana")
    world.resume()
    for snapshot in world.checkpoints():
        assert world.resume(config=snapshot.config).did == "nothing: it has finished"
    world.assert_ends(STAGES["executed"])

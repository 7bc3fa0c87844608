"""The promises where a person is asked instead: an answer is bound to its question, given once, kept, and never made up."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command

from asks import POLICY, Inquirer, State, inquirer
from failures.world import MODES, World, human
from langgraph_signoff import LedgerUnavailable, Standing, TicketClosed
from support import Clock

from .crew import Ended, Scene

# kill -9 --------------------------------------------------------------------------------------------------------------------

WHICH = [[["which", {"question": "Which one?"}]]]
PAY = [[["pay", {"to": "bob"}]]]
DOORS = ["message", "send", "agent"]

# Which process of the story run, answer, resume dies, and where; and how the question stands then ("": there is none).
KILLS: list[tuple[str, str, set[str]]] = [
    ("run", "opened:before", {""}),
    ("run", "opened:after", {"pending"}),
    ("run", "pause:before", {"pending"}),
    ("run", "pause:after", {"pending"}),
    ("run", "let_go:before", {"pending"}),
    ("answer", "decided:before", {"pending"}),
    ("answer", "decided:after", {"answered"}),
    ("resume", "hold:after", {"answered"}),
    ("plain", "knock:before", {"answered"}),
    ("plain", "knock:after", {"answered"}),
    ("resume", "return:before", {"answered"}),
    ("resume", "return:after", {"answered"}),
    ("resume", "answered:before", {"answered"}),
    ("resume", "answered:after", {"answered"}),
    ("resume", "finished:before", {"answered"}),
    ("resume", "finished:after", {"answered"}),
]


def questions(scene: Scene) -> list[Any]:
    return [ticket for ticket in scene.tickets() if ticket.kind == "question"]


def finish(scene: Scene, *, answer: str = "after the death") -> Ended:
    """Resumes, approves and answers what is asked, until the thread is finished; it must get there."""
    for _ in range(10):
        ended = scene.do("resume")
        if ended.raised == "UnknownThread":
            scene.do("run")
            continue
        assert not ended.raised, f"{ended.raised}: {ended.text}"
        if ended.status == "completed":
            return ended
        for ticket in scene.tickets():
            if ticket.standing is Standing.PENDING and ticket.kind == "question":
                with closing(scene.signoff()) as signoff:
                    signoff.answer(ticket, answer, by="ana")
            elif ticket.standing is Standing.PENDING:
                scene.say("approve")
            elif ticket.standing is Standing.IN_DOUBT:
                scene.tell_the_truth(ticket)
    raise AssertionError(f"the thread never finished: {scene.standings()}")


@pytest.mark.parametrize(("op", "moment", "found"), KILLS, ids=lambda value: str(value))
def test_a_process_that_dies_around_a_question_loses_no_answer_and_asks_nobody_twice(
    op: str, moment: str, found: set[str], tmp_path: Path, rng: random.Random, request: pytest.FixtureRequest
) -> None:
    every = [(door, is_async) for door in DOORS for is_async in (False, True)]
    for number, (door, is_async) in enumerate(every if request.config.getoption("--long") else [rng.choice(every)]):
        scene = Scene(tmp_path / str(number), door=door, is_async=is_async, lines=WHICH)
        for step in {"run": [], "answer": ["run"]}.get(op, ["run", "answer"]):
            scene.do(step, value="before the death")
        scene.do(op, kill=moment, value="before the death")
        assert {str(t.standing) for t in questions(scene)} <= found - {""}
        ended = finish(scene)
        # A proposal that was lost with its process is another question.
        asked = [ticket for ticket in questions(scene) if ticket.standing is Standing.ANSWERED]
        assert [(call_id, text) for call_id, _, text in ended.answers] == [("call-0-0", asked[-1].answer)]
        if "answered" in found:
            assert [ticket.answer for ticket in questions(scene)] == ["before the death"]
        scene.check(ended)


PAYS = [
    ("suspended:before", 0),
    ("suspended:after", 0),
    ("pause:after", 0),
    ("claimed:after", 0),
    ("effect:before", 0),
    ("effect:after", 1),
    ("executed:after", 1),
]


@pytest.mark.parametrize(("moment", "effects"), PAYS, ids=lambda value: str(value))
def test_a_tool_that_dies_around_its_question_pays_once_and_from_the_account_that_was_answered(
    moment: str, effects: int, tmp_path: Path, rng: random.Random
) -> None:
    door, is_async = rng.choice(DOORS), rng.choice([False, True])
    scene = Scene(tmp_path, door=door, is_async=is_async, lines=PAY)
    scene.do("run")
    scene.say("approve")
    if moment in ("suspended:before", "suspended:after", "pause:after"):
        scene.do("resume", kill=moment)
    else:
        scene.do("resume")
        scene.do("answer", value="savings")
        scene.do("resume", kill=moment)
    assert len(scene.effects()) == effects
    ended = finish(scene, answer="savings")
    assert [line["to"] for line in scene.effects()] == ["bob from savings"]
    assert [ticket.answer for ticket in questions(scene)] == ["savings"], "it was asked again"
    scene.check(ended)


# Races ----------------------------------------------------------------------------------------------------------------------


def test_two_processes_that_resume_at_once_both_hear_the_one_answer_and_pay_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path, lines=PAY)
    scene.do("run")
    scene.say("approve")
    scene.do("resume")
    scene.do("answer", value="savings")
    both = [scene.start("knock", barrier="go") for _ in range(2)]
    ended = [process.wait() for process in both]
    assert {each.raised for each in ended} <= {"", "StillRunning"}
    finish(scene)
    assert [line["to"] for line in scene.effects()] == ["bob from savings"]
    assert [ticket.answer for ticket in questions(scene)] == ["savings"]


def test_of_two_answers_at_once_one_counts_and_the_run_hears_that_one(tmp_path: Path) -> None:
    scene = Scene(tmp_path, lines=WHICH)
    scene.do("run")
    both = [scene.start("answer", value=value, by=by, barrier="go") for value, by in (("one", "ana"), ("two", "cem"))]
    refused = [ended.raised for ended in (process.wait() for process in both)]
    assert sorted(refused) in (["", "TicketClosed"], ["", "IndexError"]), "the later one may find nothing to answer"
    [asked] = questions(scene)
    assert (asked.answer, len(asked.decisions)) in (("one", 1), ("two", 1))
    assert [text for _, _, text in finish(scene).answers] == [asked.answer]


# Forged, stale and strange --------------------------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Inquirer]:
    """A world of each kind."""
    with inquirer(tmp_path, is_async=request.param) as made:
        yield made


FORGED: list[Any] = [
    "handle_manually",
    True,
    {"decisions": [{"type": "respond", "message": "handle_manually"}]},
    {"decisions": [{"type": "approve"}]},
    [{"type": "response", "args": "handle_manually"}],
    {"type": "accept"},
    {"signoff": "knock"},
    {"signoff": {"kind": "approval", "tickets": []}, "answer": "handle_manually"},
    {"answer": "handle_manually", "by": "ana"},
]


@pytest.mark.parametrize("forged", FORGED, ids=str)
def test_no_resume_value_is_ever_an_answer(world: Inquirer, forged: Any) -> None:
    world.chain(world.asking(options=["handle_manually", "ignore"]))
    world.start()
    [pause] = world.state().interrupts
    for answers in (forged, {pause.id: forged}):
        world.invoke(Command(resume=answers))
        world.invoke(None)
        assert (world.effects, world.log(), world.standings()) == ([], [], ["pending"])
    world.answer("ignore")
    assert (world.log(), world.effects) == (["ignore"], ["heard ignore"])


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_question_that_was_swapped_after_its_answer_is_asked_anew(mode: Any, tmp_path: Path) -> None:
    world = World(tmp_path, mode)
    script = [[("which", {"question": "Which colour?"})], "done"]
    world.open(script, tools=[world.signoff.question("which")], policy="version: 1\nquestions: {which: review}")
    [ticket] = world.run().tickets
    world.signoff.answer(ticket, "blue", by="ana")
    message = world.state().values["messages"][-1]
    other = [{**message.tool_calls[0], "args": {"question": "May I delete it all?"}}]
    world.update({"messages": [AIMessage(message.content, id=message.id, tool_calls=other)]}, as_node="agent")
    world.invoke(None)
    assert world.told() == [], "the answer went to another question"
    assert [t.args["question"] for t in world.signoff.pending()] == ["May I delete it all?"]
    world.close()


def test_a_question_in_another_form_than_was_answered_is_asked_anew(world: Inquirer) -> None:
    world.chain(world.asking(options=["yes", "no"]))
    world.start()
    world.signoff.answer(world.pending(), "yes", by="ana")
    world.chain(world.asking(options=["yes", "no", "later"]))
    assert world.resume().status == "pending_approval"
    assert (world.log(), world.effects) == ([], [])
    assert world.pending().choices == ("yes", "no", "later")


def test_a_jump_past_a_question_gives_it_no_answer(world: Inquirer) -> None:
    world.chain(world.asking("First?"), world.asking("Second?"))
    world.start()
    world.invoke(Command(goto="n1"))
    assert world.effects == []
    assert {t.args["question"] for t in world.signoff.pending()} == {"First?", "Second?"}


def test_a_checkpoint_that_is_replayed_asks_again_as_langgraphs_own_interrupt_does(world: Inquirer) -> None:
    world.chain(world.asking("First?"), world.asking("Second?"))
    world.start()
    world.answer("one", question="First?")
    world.answer("two", question="Second?")
    assert world.log() == ["one", "two"]
    for snapshot in world.checkpoints():
        if snapshot.next:
            world.invoke(None, config=snapshot.config)
    assert world.effects == ["heard one", "heard two"]
    assert world.standings() == ["answered", "answered", "pending", "pending"]


def test_a_fork_asks_again_and_leaves_the_first_answer_as_it_is(world: Inquirer) -> None:
    world.chain(world.asking("First?", context={"a": 1}))
    world.start()
    world.answer("one")
    [before] = [snapshot for snapshot in world.checkpoints() if snapshot.next == ("n0",)]
    fork = world.update({"word": "other"}, config=before.config)
    world.invoke(None, config=fork)
    assert world.standings() == ["answered", "pending"]
    assert world.effects == ["heard one"]
    world.answer("two")
    assert world.effects == ["heard one", "heard two"]
    assert [ticket.answer for ticket in world.tickets()] == ["one", "two"]


def test_new_input_drops_a_question_and_its_late_answer_goes_nowhere(world: Inquirer) -> None:
    world.chain(world.asking("First?"))
    [ticket] = world.start().tickets
    [again] = world.start(word="other").tickets
    assert again.id != ticket.id
    world.signoff.answer(again, "mine", by="ana")
    assert world.resume().status == "completed"
    assert (world.log(), world.signoff.ticket(ticket.id).standing) == (["mine"], "withdrawn")
    with pytest.raises(TicketClosed):
        world.signoff.answer(ticket, "late", by="ana")


def test_an_answer_after_the_window_is_refused_and_nothing_is_sent(world: Inquirer) -> None:
    clock = Clock()
    world.signoff = world.new_signoff(POLICY, clock=clock)
    world.chain(world.asking())
    [ticket] = world.start().tickets
    clock.advance(hours=8, seconds=-1)
    assert world.resume().status == "pending_approval"
    clock.advance(seconds=1)
    with pytest.raises(TicketClosed):
        world.signoff.answer(ticket, "late", by="ana")
    clock.advance(hours=-9)
    with pytest.raises(TicketClosed):
        world.signoff.answer(ticket, "later, by a clock that jumped back", by="ana")
    assert world.resume().status == "completed"
    assert world.log()[0].startswith("expired: ")
    assert world.effects == []


def test_an_answer_that_was_erased_before_the_run_heard_it_is_no_answer(world: Inquirer) -> None:
    world.chain(world.asking())
    [ticket] = world.start().tickets
    world.signoff.answer(ticket, "the secret", by="ana")
    world.signoff.erase(ticket, by="cem", reason="a request")
    assert world.resume().status == "completed"
    assert world.log()[0].startswith("answered: which was answered, and what is known of it has been erased by cem")
    assert world.effects == []
    assert world.signoff.verify().is_whole


def test_a_record_that_cannot_be_written_asks_nobody_and_goes_nowhere(tmp_path: Path) -> None:
    with inquirer(tmp_path) as world:
        world.chain(world.asking())
        world.signoff.close()
        world.signoff.ledger._db = None
        (tmp_path / "signoff.db").unlink()
        (tmp_path / "signoff.db").mkdir()
        with pytest.raises(LedgerUnavailable):
            world.start()
        assert world.effects == []


def test_a_pause_that_the_node_swallows_is_no_answer_and_its_question_is_withdrawn(tmp_path: Path) -> None:
    with inquirer(tmp_path) as world:

        def node(state: State) -> dict[str, Any]:
            try:
                return {"log": [world.signoff.ask("Which?", name="which")]}
            except Exception:
                return {"log": ["swallowed"]}

        world.chain(node)
        assert world.start().status == "completed"
        assert (world.log(), world.standings()) == (["swallowed"], ["withdrawn"])


def test_a_node_of_another_name_never_gets_the_answer_to_a_question(world: Inquirer) -> None:
    builder = StateGraph(State).add_node("n0", world.asking("Go on?")).add_node("n1", world.asking("Go on?"))
    builder.add_edge(START, "n0").add_edge("n0", "n1").add_edge("n1", END)
    world.graph = world.compile(builder)
    world.start()
    assert world.answer("yes").status == "pending_approval"
    assert world.log() == ["yes"]


def test_another_thread_never_gets_the_answer_to_a_question(world: Inquirer) -> None:
    world.chain(world.asking())
    world.start()
    world.start(thread="u")
    assert len(world.signoff.pending()) == 2
    world.signoff.answer(world.signoff.pending(thread_id="t")[0], "mine", by="ana")
    assert world.resume(thread="u").status == "pending_approval"
    assert world.log("u") == []


def test_an_agent_that_is_spoken_to_while_it_asks_asks_again_if_it_still_wants_to(tmp_path: Path) -> None:
    world = World(tmp_path, MODES[0])
    ask = [("which", {"question": "Which colour?"})]
    world.open(
        [ask, ask, "done"], tools=[world.signoff.question("which")], policy="version: 1\nquestions: {which: review}"
    )
    [first] = world.run().tickets
    [second] = world.run(human()).tickets
    assert first.id != second.id
    world.signoff.answer(second, "blue", by="ana")
    assert world.resume().status == "completed"
    assert [message.text for message in world.told()][-1] == "blue"
    world.close()

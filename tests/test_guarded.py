"""The gate around tasks of the Functional API: a call of the task is the action, what it returned is the outcome."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.func import entrypoint, task
from langgraph.runtime import Runtime
from langgraph.types import CachePolicy, Command, StreamWriter, interrupt

from failures.world import THREE_TIMES, Mode, Torn, World, as_coroutine
from gates import Release
from langgraph_signoff import ActionRefused, Answer, GraphRefused, Happened, RepeatedKey, RevisionRefused, UngatedCall

POLICY = """
version: 1
nodes:
  send: review
  note: {otherwise: {then: allow, record: true}}
  pay: {otherwise: {then: allow, once: true}}
  look: allow
  drop: deny
"""

WAYS = [(way, is_async) for way in ("around", "inside", "direct") for is_async in (False, True)]
IDS = [f"{way}-{'async' if is_async else 'sync'}" for way, is_async in WAYS]


class Post(World):
    """A world whose graph is a workflow that sends letters by a guarded task."""

    def __init__(self, folder: Path, way: str, is_async: bool) -> None:
        super().__init__(folder, Mode(is_async, each=False))
        self.way = way
        self.signoff = self.new_signoff(POLICY)

    def guarded(self, function: Callable[..., Any] | None = None, **options: Any) -> Any:
        """The function behind its gate: the gate around `@task`, or inside it, or without a task."""
        function = function or self.letter
        named = as_coroutine(function) if self.mode.is_async else functools.wraps(function)(functools.partial(function))
        guard = self.signoff.guarded(**options)
        return {
            "around": lambda: guard(task(named)),
            "inside": lambda: task(guard(named)),
            "direct": lambda: guard(named),
        }[self.way]()

    def letter(self, to: str, amount: float = 5.0) -> str:
        """Sends a letter."""
        return self.send(to, amount)

    def open(self, body: Callable[..., Any], **options: Any) -> Any:  # type: ignore[override]  # another world
        """A workflow of a body that gets its input, and a function that awaits what a call of the guarded task gives."""
        if self.mode.is_async:

            async def flow(input: Any) -> Any:
                return await body(input)
        else:

            def flow(input: Any) -> Any:
                return _driven(body(input))

        self.graph = entrypoint(checkpointer=self.saver, **options)(flow)
        return self.graph

    def open_call(self, guarded: Any) -> None:
        """A workflow that gives what one call gives."""

        async def body(to: str) -> Any:
            return await self.of(guarded(to))

        self.open(body)

    async def of(self, call: Any) -> Any:
        """What a call gives, whether it is a future, a coroutine, or given already."""
        if self.mode.is_async:
            return await call
        return call.result() if hasattr(call, "result") else call

    @property
    def standings(self) -> list[str]:
        """How every ticket stands, in the order of opening."""
        return [str(ticket.standing) for ticket in self.tickets()]

    def say(self, verdict: str = "approve", **more: Any) -> Any:
        """Says this of the one pending ticket, and resumes."""
        [ticket] = self.signoff.pending()
        getattr(self.signoff, verdict)(ticket, by="ana", **more)
        return self.resume()

    def assert_ends(self, effects: list[str], standings: list[str], output: Any) -> None:  # type: ignore[override]  # another table
        """The effects outside, the final standings, what the workflow returned; the thread is over, and the record whole."""
        assert self.effects == sorted(effects)
        assert self.standings == standings
        assert self.state().values == output
        assert self.state().next == ()
        assert self.signoff.verify().broken == []


def _driven(coroutine: Any) -> Any:
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("a sync workflow awaits nothing")


@pytest.fixture(params=WAYS, ids=IDS)
def post(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Post]:
    """A workflow in each of the six ways."""
    made = Post(tmp_path, *request.param)
    yield made
    made.close()


@pytest.fixture(params=[w for w in WAYS if w[0] != "direct"], ids=[i for i in IDS if "direct" not in i])
def tasks(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Post]:
    """A workflow in the four ways that make tasks."""
    made = Post(tmp_path, *request.param)
    yield made
    made.close()


def _one(post: Post, **options: Any) -> None:
    send = post.guarded(name="send", **options)

    async def body(to: str) -> Any:
        return [await post.of(send(to))]

    post.open(body)


def _each(post: Post, **options: Any) -> None:
    """A letter to each, one after the other; who was refused is told so."""
    send = post.guarded(**{"name": "send", **options})

    async def body(names: list[str]) -> list[str]:
        told = []
        for name in names:
            try:
                told.append(await post.of(send(name)))
            except ActionRefused as refused:
                told.append(str(refused))
        return told

    post.open(body)


# One call -----------------------------------------------------------------------------------------------------------------------


def test_a_task_waits_for_its_decision_and_runs_once(post: Post) -> None:
    _one(post)
    run = post.run("bob")
    assert (run.status, post.effects) == ("pending_approval", [])
    [ticket] = run.tickets
    assert (ticket.tool, ticket.args) == ("send", {"to": "bob", "amount": 5.0}), "defaults are shown"
    assert post.resume().did == "nothing: it waits"
    assert post.say().status == "completed"
    assert post.resume().did == "nothing: it has finished"
    post.assert_ends(["send bob 5.0"], ["executed"], ["sent 5.0 to bob"])


def test_a_task_is_named_as_its_function(post: Post) -> None:
    def look(x: int = 0) -> str:
        """Looks."""
        return post.look(x)

    look_at = post.guarded(look)

    async def body(_: Any) -> Any:
        return await post.of(look_at(x=3))

    post.open(body)
    assert post.run("go").status == "completed", "the policy allows look"
    post.assert_ends(["look 3"], [], "saw 3")


def test_a_task_that_is_refused_raises_where_the_workflow_can_catch_it(post: Post) -> None:
    seen = list[Any]()
    send = post.guarded(name="send")

    async def body(to: str) -> Any:
        try:
            return await post.of(send(to))
        except ActionRefused as refused:
            seen.append(refused.ticket_id)
            return str(refused)

    post.open(body)
    ticket = post.run("bob").tickets[0]
    assert post.say("reject", reason="no").status == "completed"
    assert seen == [ticket.id]
    text = "send was not run: rejected by ana: no. Do not propose the same call again unless the user asks for it."
    post.assert_ends([], ["rejected"], text)


def test_a_refusal_that_the_workflow_does_not_catch_fails_the_run(post: Post) -> None:
    _one(post)
    post.run("bob")
    run = post.say("reject")
    assert run.status == "failed"
    assert "ActionRefused: send was not run: rejected by ana" in run.error
    assert post.resume().status == "failed"
    assert (post.effects, post.standings) == ([], ["rejected"])


# By the task's name: the effects, the standings, what the workflow returned.
RULED: dict[str, tuple[list[str], list[str], str]] = {
    "look": (["send bob 5.0"], [], "sent 5.0 to bob"),
    "note": (["send bob 5.0"], ["executed"], "sent 5.0 to bob"),
    "pay": (["send bob 5.0"], ["executed"], "sent 5.0 to bob"),
    "drop": (
        [],
        ["denied"],
        "drop was not run: the policy does not permit this call (denied). Do not propose it again.",
    ),
}


@pytest.mark.parametrize("name", RULED)
def test_what_needs_no_person_is_done_or_refused_at_once(post: Post, name: str) -> None:
    effects, standings, told = RULED[name]
    _each(post, name=name)
    assert post.run(["bob"]).status == "completed"
    post.assert_ends(effects, standings, [told])


def test_an_action_of_its_own_is_what_is_ruled_and_cannot_be_edited(post: Post) -> None:
    _one(post, action=lambda to, amount=5.0: {"letter": to.upper()})
    [ticket] = post.run("bob").tickets
    assert ticket.args == {"letter": "BOB"}
    with pytest.raises(RevisionRefused, match="send it back"):
        post.signoff.revise(ticket, by="ana", args={"letter": "EVE"})
    post.say()
    post.assert_ends(["send bob 5.0"], ["executed"], ["sent 5.0 to bob"])


def test_what_langgraph_injects_is_no_part_of_the_action(tasks: Post) -> None:
    def send(to: str, *, config: RunnableConfig, runtime: Runtime, writer: StreamWriter, amount: float = 5.0) -> str:
        """Sends a letter."""
        assert runtime.stream_writer
        assert writer
        return tasks.send(f"{to} of {config['configurable']['thread_id']}", amount)

    tasks.open_call(tasks.guarded(send, key=lambda to, amount: [to, amount]))
    [ticket] = tasks.run("bob").tickets
    assert ticket.args == {"to": "bob", "amount": 5.0}
    assert tasks.say("revise", args={"amount": 7.0}).status == "completed"
    tasks.assert_ends(["send bob of t 7.0"], ["executed"], "sent 7.0 to bob of t")


def test_an_argument_of_the_tasks_own_may_have_a_name_of_langgraphs(post: Post) -> None:
    def send(config: dict[str, Any], writer: str) -> str:
        """Sends a letter."""
        return post.send(config["to"])

    guarded = post.guarded(send)

    async def body(to: str) -> Any:
        return await post.of(guarded({"to": to}, writer="me"))

    post.open(body)
    assert post.run("bob").tickets[0].args == {"config": {"to": "bob"}, "writer": "me"}
    assert post.say().status == "completed"
    post.assert_ends(["send bob 5.0"], ["executed"], "sent 5.0 to bob")


def test_a_task_that_has_no_name_is_given_one(plain: Release) -> None:
    with pytest.raises(GraphRefused, match=r"has no name; give it one: guarded\('...'\)"):
        plain.signoff.guarded()(functools.partial(print))


def test_a_guarded_function_is_not_run_outside_of_a_workflow(plain: Release) -> None:
    send = plain.signoff.guarded("send")(plain.send)
    for call in (lambda: send("bob"), lambda: RunnableLambda(send).invoke("bob")):
        with pytest.raises(UngatedCall, match="'send' is guarded and runs only inside a graph; let the graph run it"):
            call()
    assert plain.effects == []


# Edits --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "sent"), [({"to": "eve"}, "eve 5.0"), ({"amount": 7}, "bob 7"), ({"to": "eve", "amount": 7}, "eve 7")]
)
def test_an_edit_of_the_arguments_runs_in_their_place(post: Post, edit: dict[str, Any], sent: str) -> None:
    _one(post)
    post.run("bob")
    assert post.say("revise", args=edit).status == "completed"
    to, amount = sent.split()
    post.assert_ends([f"send {sent}"], ["executed"], [f"sent {amount} to {to}"])


def test_an_edit_of_an_argument_that_the_task_does_not_take_is_refused(post: Post) -> None:
    _one(post)
    ticket = post.run("bob").tickets[0]
    with pytest.raises(RevisionRefused, match="send takes no argument amuont"):
        post.signoff.revise(ticket, by="ana", args={"amuont": 7})
    post.say()
    post.assert_ends(["send bob 5.0"], ["executed"], ["sent 5.0 to bob"])


def test_what_an_edit_leaves_alone_reaches_the_task_as_it_was_given(post: Post) -> None:
    got = list[Any]()

    def send(to: frozenset[str], *more: int, amount: complex = 1j, **words: Any) -> str:
        """Sends."""
        got.append((to, more, amount, words))
        return "sent"

    guarded = post.guarded(send)

    async def body(_: Any) -> Any:
        return await post.of(guarded(frozenset({"bob", "ann"}), 1, 2, words={"a": 1}, urgent=True))

    post.open(body)
    [ticket] = post.run("go").tickets
    assert ticket.args["to"] == ["ann", "bob"]
    assert ticket.args["more"] == [1, 2]
    assert post.say("revise", args={"more": [3]}).status == "completed"
    assert got == [(frozenset({"bob", "ann"}), (3,), 1j, {"words": {"a": 1}, "urgent": True})]


# Several calls ------------------------------------------------------------------------------------------------------------------


def test_calls_with_a_key_each_get_their_own_decision(post: Post) -> None:
    _each(post, key=lambda to, amount=5.0: to)
    post.run(["bob", "eve", "ann"])
    for verdict in ("approve", "reject", "approve"):
        run = post.say(verdict)
    assert run.status == "completed"
    told = post.state().values
    assert [told[0], told[2]] == ["sent 5.0 to bob", "sent 5.0 to ann"]
    assert "send was not run: rejected by ana" in told[1]
    assert (post.effects, post.standings) == (["send ann 5.0", "send bob 5.0"], ["executed", "rejected", "executed"])


@pytest.mark.parametrize(
    ("name", "options", "names"),
    [
        ("send", {}, ["bob", "bob"]),
        ("send", {"key": lambda *_, **__: 1}, ["bob", "eve"]),
        ("pay", {}, ["bob", "eve"]),
        ("note", {}, ["bob", "bob"]),
    ],
    ids=["no key", "one key", "once", "on record"],
)
def test_a_second_call_under_a_used_key_is_an_error_before_it_does_anything(
    post: Post, name: str, options: dict[str, Any], names: list[str]
) -> None:
    _each(post, name=name, **options)
    with pytest.raises(RepeatedKey, match=f"'{name}' runs again in this thread under the same key; give"):  # noqa: PT012
        post.run(names)
        post.say()
    assert (post.effects, post.standings) == (["send bob 5.0"], ["executed"])
    with pytest.raises(RepeatedKey):
        post.resume()
    # What is only recorded runs on each pass of a workflow that has no task for it, as it would without us.
    assert len(post.effects) == (2 if (post.way, name) == ("direct", "note") else 1)


def test_what_is_allowed_and_leaves_no_record_needs_no_key(post: Post) -> None:
    _each(post, name="look")
    assert post.run(["bob", "bob"]).status == "completed"
    post.assert_ends(["send bob 5.0"] * 2, [], ["sent 5.0 to bob"] * 2)


def test_what_is_sent_back_is_proposed_again_under_a_new_key(post: Post) -> None:
    send = post.guarded(name="send", key=lambda to, amount=5.0: [to, amount])

    async def body(to: str) -> Any:
        for amount in (900.0, 9.0):
            try:
                return await post.of(send(to, amount))
            except ActionRefused as refused:
                assert "ana sent it back: less" in str(refused)  # noqa: PT017  # the workflow goes on
        return "nothing"

    post.open(body)
    first = post.run("bob").tickets[0]
    run = post.say("revise", feedback="less")
    assert run.status == "pending_approval"
    assert run.tickets[0].previous == first.id
    assert post.say().status == "completed"
    post.assert_ends(["send bob 9.0"], ["returned", "executed"], "sent 9.0 to bob")


@pytest.mark.parametrize("together", [True, False], ids=["decided together", "one by one"])
def test_tasks_that_run_at_once_each_get_their_own_decision(tasks: Post, together: bool) -> None:
    send = tasks.guarded(name="send", key=lambda to, amount=5.0: to)

    async def body(names: list[str]) -> list[str]:
        told = []
        for future in [send(name) for name in names]:
            try:
                told.append(await tasks.of(future))
            except ActionRefused:
                told.append("refused")
        return told

    tasks.open(body)
    run = tasks.run(["bob", "eve", "ann"])
    for _ in range(6):
        for ticket in tasks.signoff.pending():
            (tasks.signoff.reject if ticket.args["to"] == "eve" else tasks.signoff.approve)(ticket, by="ana")
            if not together:
                break
        run = tasks.resume()
        if run.status == "completed":
            break
    assert run.status == "completed"
    assert tasks.state().values == ["sent 5.0 to bob", "refused", "sent 5.0 to ann"]
    assert (tasks.effects, sorted(tasks.standings)) == (
        ["send ann 5.0", "send bob 5.0"],
        ["executed", "executed", "rejected"],
    )


def test_a_new_run_of_the_workflow_needs_keys_of_its_own(post: Post) -> None:
    _each(post, key=lambda to, amount=5.0: to)
    post.run(["bob"])
    post.say()
    with pytest.raises(RepeatedKey):
        post.run(["bob"])
    assert post.run(["eve"]).status == "pending_approval"
    assert post.say().status == "completed"
    post.assert_ends(["send bob 5.0", "send eve 5.0"], ["executed", "executed"], ["sent 5.0 to eve"])


# How it ends --------------------------------------------------------------------------------------------------------------------


def test_a_task_that_fails_is_not_run_again(post: Post) -> None:
    def send(to: str) -> str:
        """Sends."""
        post.send(to)
        raise ConnectionError("no post today")

    guarded = post.guarded(send)

    async def body(to: str) -> Any:
        try:
            return await post.of(guarded(to))
        except ActionRefused as refused:
            return str(refused)

    post.open(body)
    post.run("bob")
    run = post.say()
    assert (run.status, run.error) == ("failed", "ConnectionError: no post today")
    assert post.resume().status == "completed"
    text = "send failed: ConnectionError('no post today'). It was tried once, as approved, and is not tried again."
    post.assert_ends(["send bob 5.0"], ["failed"], text)


# What is said of a task that was torn off, with which result: the effects, the standing, what the workflow returned.
SAID: dict[str, tuple[str, Any, list[str], str, Any]] = {
    "happened, with a result": ("happened", {"id": 7}, [], "executed", {"id": 7}),
    "happened, in words": ("happened", "by hand", [], "executed", "by hand"),
    "happened": ("happened", None, [], "executed", None),
    "did not happen": ("did_not_happen", None, ["send bob 5.0"], "executed", "sent 5.0 to bob"),
    "give up": ("give_up", None, [], "failed", "send was not completed: nobody could say whether it happened."),
}


def _torn(post: Post, **options: Any) -> Any:
    """A task that is torn off at its first run, before its effect."""

    def send(to: str) -> str:
        """Sends."""
        if not (post.folder / "torn").exists():
            (post.folder / "torn").touch()
            raise Torn
        return post.send(to)

    guarded = post.guarded(send, **options)

    async def body(to: str) -> Any:
        try:
            return {"told": await post.of(guarded(to))}
        except ActionRefused as refused:
            return {"told": str(refused)}

    post.open(body)
    post.run("bob")
    post.signoff.approve(post.signoff.pending()[0], by="ana")
    with pytest.raises(Torn):
        post.resume()
    return post.resume()


@pytest.mark.parametrize("said", SAID)
def test_a_task_that_was_cut_off_ends_as_a_person_says(post: Post, said: str) -> None:
    answer, result, effects, standing, told = SAID[said]
    run = _torn(post)
    assert run.status == "in_doubt"
    post.signoff.settle(run.tickets[0], answer, by="ana", result=result)
    assert post.resume().status == "completed"
    post.assert_ends(effects, [standing], {"told": told})


@pytest.mark.parametrize("found", [Happened(result="in the books"), Answer.DID_NOT_HAPPEN], ids=str)
def test_a_task_that_was_cut_off_is_first_looked_up(post: Post, found: Any) -> None:
    run = _torn(post, verify=lambda about: found)
    assert run.status == "completed"
    did = isinstance(found, Happened)
    post.assert_ends(
        [] if did else ["send bob 5.0"], ["executed"], {"told": "in the books" if did else "sent 5.0 to bob"}
    )


def test_a_task_that_pauses_itself_hears_its_own_answer(post: Post) -> None:
    def send(to: str) -> str:
        """Sends."""
        return post.send(f"{to} in {interrupt('where?')}")

    guarded = post.guarded(send)

    post.open_call(guarded)
    post.run("bob")
    run = post.say()
    assert (run.status, list(run.questions.values())) == ("waiting", ["where?"])
    assert post.resume(answers=dict.fromkeys(run.questions, "Rome")).status == "completed"
    post.assert_ends(["send bob in Rome 5.0"], ["executed"], "sent 5.0 to bob in Rome")


def test_a_finished_task_is_not_run_again_when_the_next_one_asks(tasks: Post) -> None:
    first = task(as_coroutine(tasks.look) if tasks.mode.is_async else tasks.look)
    send = tasks.guarded(name="send")

    async def body(to: str) -> Any:
        return [await tasks.of(first(1)), await tasks.of(send(to))]

    tasks.open(body)
    tasks.run("bob")
    assert tasks.say().status == "completed"
    tasks.assert_ends(["look 1", "send bob 5.0"], ["executed"], ["saw 1", "sent 5.0 to bob"])


def test_a_knock_decides_nothing(post: Post) -> None:
    _each(post)
    post.run(["bob"])
    for value in (True, "approve", {"decisions": [{"type": "approve"}]}):
        post.invoke(Command(resume=value))
        post.invoke(Command(resume={i.id: value for i in post.state().interrupts}))
    assert (post.effects, post.standings) == ([], ["pending"])
    post.say()
    post.assert_ends(["send bob 5.0"], ["executed"], ["sent 5.0 to bob"])


# What LangGraph may do to it --------------------------------------------------------------------------------------------------------


def test_a_retry_policy_tries_an_approved_task_once(tmp_path: Path) -> None:
    post = Post(tmp_path, "around", is_async=False)

    def send(to: str) -> str:
        """Sends."""
        post.send(to)
        raise ValueError("boom")

    guarded = post.signoff.guarded()(task(retry_policy=THREE_TIMES)(send))

    async def body(to: str) -> Any:
        try:
            return guarded(to).result()
        except ActionRefused as refused:
            return str(refused)

    post.open(body)
    post.run("bob")
    assert post.say().status == "completed"
    text = "send failed: ValueError('boom'). It was tried once, as approved, and is not tried again."
    post.assert_ends(["send bob 5.0"], ["failed"], text)
    post.close()


@pytest.mark.parametrize("way", ["around", "inside"])
@pytest.mark.parametrize("answer", ["happened", "did_not_happen"])
def test_a_timeout_leaves_a_running_task_in_doubt(tmp_path: Path, way: str, answer: str) -> None:
    post = Post(tmp_path, way, is_async=True)

    async def send(to: str) -> str:
        """Sends."""
        post.effect("start")
        if len(post.effects) == 1:
            await asyncio.sleep(30)
        return post.send(to)

    guard, limited = post.signoff.guarded(), task(timeout=0.5)
    guarded: Any = guard(limited(send)) if way == "around" else limited(guard(send))

    post.open_call(guarded)
    post.run("bob")
    assert post.say().status == "failed"
    run = post.resume()
    assert (run.status, post.effects) == ("in_doubt", ["start"])
    post.signoff.settle(run.tickets[0], answer, by="ana", result="by hand" if answer == "happened" else None)
    assert post.resume().status == "completed"
    if answer == "happened":
        post.assert_ends(["start"], ["executed"], "by hand")
    else:
        post.assert_ends(["start", "start", "send bob 5.0"], ["executed"], "sent 5.0 to bob")
    post.close()


def test_a_task_can_read_what_it_runs_under(post: Post) -> None:
    seen = list[Any]()

    def send(to: str) -> str:
        """Sends."""
        about = post.signoff.current_action()
        assert about
        seen.append((about.ticket_id, about.args, about.approved_by))
        return post.send(to)

    guarded = post.guarded(send)

    post.open_call(guarded)
    ticket = post.run("bob").tickets[0]
    assert post.say().status == "completed"
    assert seen == [(ticket.id, {"to": "bob"}, ("ana",))]


def test_a_task_with_a_cache_is_refused(tmp_path: Path) -> None:
    post = Post(tmp_path, "around", is_async=False)
    with pytest.raises(GraphRefused, match=r"task 'send' has a CachePolicy, .*; remove it"):
        post.signoff.guarded("send")(task(cache_policy=CachePolicy())(post.letter))
    post.close()


def test_a_task_keeps_its_name_its_words_and_what_langgraph_injects(post: Post) -> None:
    def send(to: str, *, config: RunnableConfig) -> str:
        """Sends a letter."""
        return post.send(f"{to} of {config['configurable']['thread_id']}")

    guarded = post.guarded(send, action=lambda to, **_: {"to": to})
    assert (guarded.__name__, guarded.__doc__) == ("send", "Sends a letter.")
    if post.way == "direct":
        return  # only a task has things injected

    post.open_call(guarded)
    post.run("bob")
    assert post.say().status == "completed"
    post.assert_ends(["send bob of t 5.0"], ["executed"], "sent 5.0 to bob of t")

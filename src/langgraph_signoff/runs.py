"""Runs and resumes threads. A resume wakes the head of a thread, answers only our own pauses, and never decides anything."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.types import Command, StateSnapshot

from langgraph_signoff.errors import (
    ActionRefused,
    GraphRefused,
    SignoffError,
    StillRunning,
    UnknownQuestion,
    UnknownThread,
)
from langgraph_signoff.heads import Head, let_sleep, open_rows, waits, withdraw_dropped
from langgraph_signoff.law import Case
from langgraph_signoff.nodes.checks import Graph, check
from langgraph_signoff.nodes.internals import ends_unsaved, waits_for_unknown
from langgraph_signoff.nodes.messages import spelled
from langgraph_signoff.nodes.steps import Io, Sleep, Steps, adrive, drive
from langgraph_signoff.nodes.stopped import Stopped
from langgraph_signoff.render import counted
from langgraph_signoff.view import to_ticket
from langgraph_signoff.vocabulary import Run, Standing

if TYPE_CHECKING:
    from langgraph_signoff.signoff import Signoff

KNOCK = {"signoff": "knock"}
"""What we resume our own pauses with. It carries nothing: the decision is in the ledger."""

_POLL = 0.05  # seconds between two tries to hold a thread


@dataclass(frozen=True, slots=True)
class Invoke:
    """Runs the graph."""

    graph: Graph
    input: Any
    config: RunnableConfig

    def run(self) -> Any:
        """Runs it here."""
        return self.graph.invoke(self.input, self.config)

    async def arun(self) -> Any:
        """Runs it on the loop."""
        return await self.graph.ainvoke(self.input, self.config)


@dataclass(frozen=True, slots=True)
class Wake:
    """Which thread is to go on, with which answers to the author's own interrupts; `start`: what to begin it with if it is new."""

    thread_id: str
    answers: Mapping[str, Any]
    start: Any = None


@dataclass(frozen=True, slots=True)
class Look:
    """Reads the head of a thread."""

    graph: Graph
    config: RunnableConfig

    def run(self) -> StateSnapshot:
        """Reads it here."""
        snapshot: StateSnapshot = self.graph.get_state(self.config)
        if _seems_over(snapshot):
            self._check(self.graph.checkpointer.get_tuple(self.config))
        return snapshot

    async def arun(self) -> StateSnapshot:
        """Reads it on the loop."""
        snapshot: StateSnapshot = await self.graph.aget_state(self.config)
        if _seems_over(snapshot):
            self._check(await self.graph.checkpointer.aget_tuple(self.config))
        return snapshot

    def _check(self, saved: CheckpointTuple | None) -> None:
        # Nothing is left to do, says the graph; it may only not know the node that waits.
        if saved and waits_for_unknown(self.graph, saved):
            thread_id = saved.config["configurable"]["thread_id"]
            raise GraphRefused(
                f"thread {thread_id!r} waits at a node that the graph {self.graph.get_name()!r} does not have; "
                "name the graph that ran it"
            )


def _seems_over(snapshot: StateSnapshot) -> bool:
    return snapshot.created_at is not None and not snapshot.next and not snapshot.tasks


def run(signoff: Signoff, graph: Graph, input: Any, *, thread_id: str, config: RunnableConfig | None) -> Run:
    """See `Signoff.run`."""
    return drive(_run(signoff, graph, input, thread_id, config))


async def arun(signoff: Signoff, graph: Graph, input: Any, *, thread_id: str, config: RunnableConfig | None) -> Run:
    """See `Signoff.arun`."""
    return await adrive(_run(signoff, graph, input, thread_id, config))


def resume(signoff: Signoff, graph: Graph, wake: Wake, config: RunnableConfig | None) -> Run:
    """See `Signoff.resume`."""
    return drive(_resume(signoff, graph, wake, config))


async def aresume(signoff: Signoff, graph: Graph, wake: Wake, config: RunnableConfig | None) -> Run:
    """See `Signoff.aresume`."""
    return await adrive(_resume(signoff, graph, wake, config))


def status(signoff: Signoff, graph: Graph, thread_id: str) -> Run:
    """See `Signoff.status`."""
    head = _known(signoff, graph, Look(graph, _configured(graph, thread_id, None)).run(), thread_id)
    return report(signoff, thread_id, head, "nothing: it only looked")


def _run(signoff: Signoff, graph: Graph, input: Any, thread_id: str, config: RunnableConfig | None) -> Steps[Run]:
    _warn(check(graph))
    configured = _configured(graph, thread_id, config)
    return (
        yield from _alone(
            signoff, thread_id, lambda: _go(signoff, Invoke(graph, input, configured), thread_id, "ran it")
        )
    )


def _resume(signoff: Signoff, graph: Graph, wake: Wake, config: RunnableConfig | None) -> Steps[Run]:
    _warn(check(graph))
    configured = _configured(graph, wake.thread_id, config)
    return (yield from _alone(signoff, wake.thread_id, lambda: _wake(signoff, graph, wake, configured)))


def _alone(signoff: Signoff, thread_id: str, steps: Callable[[], Steps[Run]]) -> Steps[Run]:
    name, end = f"thread:{thread_id}", time.monotonic() + signoff.claims.wait
    while not (yield Io(partial(signoff.leases.take, name))):
        if time.monotonic() > end:
            raise StillRunning(f"thread {thread_id!r} is being run by somebody else; try again later")
        yield Sleep(_POLL)
    try:
        return (yield from steps())
    finally:
        yield Io(partial(signoff.leases.drop, name))


def _wake(signoff: Signoff, graph: Graph, wake: Wake, config: RunnableConfig) -> Steps[Run]:
    thread_id, answers = wake.thread_id, wake.answers
    snapshot = yield Look(graph, config)
    if snapshot.created_at is None and wake.start is not None:
        return (yield from _go(signoff, Invoke(graph, wake.start, config), thread_id, "started it"))
    head = yield Io(partial(_known, signoff, graph, snapshot, thread_id))
    _check_answers(head, answers)
    knocks = yield Io(partial(head.decided, signoff))
    if knocks or answers:
        woken: Command[Any] = Command(resume={**dict.fromkeys(knocks, KNOCK), **answers})
        return (yield from _go(signoff, Invoke(graph, woken, config), thread_id, _answered(knocks, answers)))
    if not (head.is_finished or head.is_paused or head.is_held):
        return (yield from _go(signoff, Invoke(graph, None, config), thread_id, "went on where it had stalled"))
    if head.is_finished:
        yield Io(partial(_withdraw_dropped, signoff, graph, head, thread_id))
    yield Io(partial(let_sleep, signoff, head, thread_id))
    told: Run = yield Io(partial(report, signoff, thread_id, head, _NOTHING[head.is_finished, head.is_held]))
    return told


_NOTHING = {
    (True, False): "nothing: it has finished",
    (False, False): "nothing: it waits",
    (False, True): "nothing: it stands at a breakpoint of the graph; go on with graph.invoke(None, config)",
}


def _answered(knocks: Sequence[str], answers: Mapping[str, Any]) -> str:
    parts = [f"knocked at {counted(len(knocks), 'decided pause')}"] if knocks else []
    parts += [f"gave {counted(len(answers), 'answer')}"] if answers else []
    return " and ".join(parts)


def _go(signoff: Signoff, invoke: Invoke, thread_id: str, did: str) -> Steps[Run]:
    try:
        output = yield invoke
    except Stopped as stopped:
        raise stopped.error from stopped.error.__cause__
    except Exception as error:
        if isinstance(error, SignoffError) and not isinstance(error, ActionRefused):
            raise  # a refusal that a workflow does not catch is its end, not its caller's error
        text = f"{type(error).__name__}: {spelled(error)}"
        return Run(status="failed", thread_id=thread_id, error=text, went_on=True, did=did)
    head = yield Io(partial(Head.reached, signoff, invoke.graph, output))
    if head is None:
        snapshot = yield Look(invoke.graph, invoke.config)
        head = yield Io(partial(Head.of, signoff, invoke.graph, snapshot))
    yield Io(partial(_withdraw_dropped, signoff, invoke.graph, head, thread_id))
    yield Io(partial(let_sleep, signoff, head, thread_id))
    told: Run = yield Io(partial(report, signoff, thread_id, head, did, went_on=True))
    return told


def _withdraw_dropped(signoff: Signoff, graph: Graph, head: Head, thread_id: str) -> None:
    withdraw_dropped(signoff, graph.get_name(), head, open_rows(signoff, thread_id))


def report(signoff: Signoff, thread_id: str, head: Head, did: str, *, went_on: bool = False) -> Run:
    """What a caller gets back of a thread at this head."""
    ids = dict.fromkeys(ticket for _, tickets in head.pauses.values() for ticket in tickets)
    cases = [case for case in map(signoff.desk.case, ids) if waits(case)]
    return Run(
        status="halted" if head.is_halted(signoff) and not cases else _status(head, cases),
        thread_id=thread_id,
        output=head.values,
        tickets=tuple(map(to_ticket, cases)),
        questions=head.questions,
        error="; ".join(head.errors),
        went_on=went_on,
        did=did,
    )


def _status(head: Head, cases: Sequence[Case]) -> Any:
    if any(case.standing is Standing.PENDING for case in cases):
        return "pending_approval"
    if cases:
        return "in_doubt"
    if head.questions or head.is_held:
        return "waiting"
    if head.is_finished:
        return "completed"
    return "failed" if head.errors and not head.pauses else "stalled"


def _check_answers(head: Head, answers: Mapping[str, Any]) -> None:
    wrong = sorted(set(answers) - set(head.questions))
    if wrong:
        asks = ", ".join(sorted(head.questions)) or "nothing"
        raise UnknownQuestion(
            f"the thread asks {asks}, not {', '.join(wrong)}; a pause of ours is answered by a decision"
        )


def _known(signoff: Signoff, graph: Graph, snapshot: StateSnapshot, thread_id: str) -> Head:
    if snapshot.created_at is None:
        raise UnknownThread(f"the checkpointer holds no thread {thread_id!r}; start it with run()")
    return Head.of(signoff, graph, snapshot)


def _configured(graph: Graph, thread_id: str, config: RunnableConfig | None) -> RunnableConfig:
    given: RunnableConfig = config or {}
    if ends_unsaved(given.get("configurable", {})):
        raise GraphRefused('durability="exit" can lose a paused thread; use "async" or "sync"')
    metadata = {"graph_id": graph.get_name(), **given.get("metadata", {})}
    # The head, whatever checkpoint the caller's config names: an old one would be a fork.
    configurable = {
        k: v for k, v in given.get("configurable", {}).items() if k not in ("checkpoint_id", "checkpoint_ns")
    }
    return {**given, "metadata": metadata, "configurable": {**configurable, "thread_id": thread_id}}


def _warn(found: Sequence[str]) -> None:
    for text in found:
        warnings.warn(text, stacklevel=2)

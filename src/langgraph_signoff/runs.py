"""Runs and resumes threads. A resume wakes the head of a thread, answers only our own pauses, and never decides anything."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.types import Command, Interrupt, StateSnapshot

from langgraph_signoff import law
from langgraph_signoff.errors import (
    GraphRefused,
    SignoffError,
    StillRunning,
    TicketClosed,
    UnknownQuestion,
    UnknownThread,
)
from langgraph_signoff.law import Case
from langgraph_signoff.ledger import Query, Row
from langgraph_signoff.nodes.payload import is_doubt, tickets_of
from langgraph_signoff.nodes.steps import Io, Sleep, Steps, adrive, drive
from langgraph_signoff.nodes.tool_node import GatedToolNode
from langgraph_signoff.nodes.turn import ends_unsaved
from langgraph_signoff.view import to_ticket
from langgraph_signoff.vocabulary import Run, Standing

if TYPE_CHECKING:
    from langgraph_signoff.signoff import Signoff

KNOCK = {"signoff": "knock"}
"""What we resume our own pauses with. It carries nothing: the decision is in the ledger."""

_POLL = 0.05  # seconds between two tries to hold a thread
_INTERRUPT = "__interrupt__"  # where invoke() puts the pauses of a run

Graph = Any


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
class Look:
    """Reads the head of a thread."""

    graph: Graph
    config: RunnableConfig

    def run(self) -> StateSnapshot:
        """Reads it here."""
        return self.graph.get_state(self.config)  # type: ignore[no-any-return]  # any compiled graph

    async def arun(self) -> StateSnapshot:
        """Reads it on the loop."""
        return await self.graph.aget_state(self.config)  # type: ignore[no-any-return]  # any compiled graph


@dataclass(frozen=True, slots=True)
class Head:
    """Where a thread is: what it holds, what it waits at, and whether anything is left to do."""

    values: Any
    interrupts: Sequence[Interrupt]
    is_finished: bool
    errors: tuple[str, ...] = ()

    @classmethod
    def of(cls, snapshot: StateSnapshot) -> Head:
        """The head that a checkpoint shows."""
        errors = tuple(str(task.error) for task in snapshot.tasks if task.error)
        # A process that died between the last task of a step and its checkpoint leaves tasks, and none of them is next.
        is_finished = not snapshot.next and not snapshot.tasks
        return cls(snapshot.values, snapshot.interrupts, is_finished, errors)

    @property
    def tickets(self) -> dict[str, list[str]]:
        """Our own pauses: interrupt id to the tickets it shows."""
        return {i.id: ids for i in self.interrupts if (ids := tickets_of(i.value))}

    @property
    def questions(self) -> dict[str, Any]:
        """The author's own interrupts: id to value."""
        return {i.id: i.value for i in self.interrupts if not tickets_of(i.value)}


def run(signoff: Signoff, graph: Graph, input: Any, *, thread_id: str, config: RunnableConfig | None) -> Run:
    """See `Signoff.run`."""
    return drive(_run(signoff, graph, input, thread_id, config))


async def arun(signoff: Signoff, graph: Graph, input: Any, *, thread_id: str, config: RunnableConfig | None) -> Run:
    """See `Signoff.arun`."""
    return await adrive(_run(signoff, graph, input, thread_id, config))


def resume(
    signoff: Signoff, graph: Graph, *, thread_id: str, answers: Mapping[str, Any] | None, config: RunnableConfig | None
) -> Run:
    """See `Signoff.resume`."""
    return drive(_resume(signoff, graph, thread_id, answers or {}, config))


async def aresume(
    signoff: Signoff, graph: Graph, *, thread_id: str, answers: Mapping[str, Any] | None, config: RunnableConfig | None
) -> Run:
    """See `Signoff.aresume`."""
    return await adrive(_resume(signoff, graph, thread_id, answers or {}, config))


def status(signoff: Signoff, graph: Graph, thread_id: str) -> Run:
    """See `Signoff.status`."""
    head = _known(Look(graph, _configured(graph, thread_id, None)).run(), thread_id)
    return _report(signoff, thread_id, head, "nothing: it only looked")


def _run(signoff: Signoff, graph: Graph, input: Any, thread_id: str, config: RunnableConfig | None) -> Steps[Run]:
    _warn(check(graph))
    configured = _configured(graph, thread_id, config)
    return (
        yield from _alone(
            signoff, thread_id, lambda: _go(signoff, Invoke(graph, input, configured), thread_id, "ran it")
        )
    )


def _resume(
    signoff: Signoff, graph: Graph, thread_id: str, answers: Mapping[str, Any], config: RunnableConfig | None
) -> Steps[Run]:
    _warn(check(graph))
    configured = _configured(graph, thread_id, config)
    return (yield from _alone(signoff, thread_id, lambda: _wake(signoff, graph, thread_id, answers, configured)))


def _alone(signoff: Signoff, thread_id: str, steps: Callable[[], Steps[Run]]) -> Steps[Run]:
    end = time.monotonic() + signoff.claims.wait
    while not (yield Io(partial(signoff.claims.take, thread_id))):
        if time.monotonic() > end:
            raise StillRunning(f"thread {thread_id!r} is being run by somebody else; try again later")
        yield Sleep(_POLL)
    try:
        return (yield from steps())
    finally:
        yield Io(partial(signoff.claims.let_go, thread_id))


def _wake(
    signoff: Signoff, graph: Graph, thread_id: str, answers: Mapping[str, Any], config: RunnableConfig
) -> Steps[Run]:
    head = _known((yield Look(graph, config)), thread_id)
    yield Io(partial(_withdraw_dropped, signoff, graph, head, thread_id))
    knocks = yield Io(partial(_knocks, signoff, head))
    _check_answers(head, answers)
    if knocks or answers:
        woken: Command[Any] = Command(resume={**dict.fromkeys(knocks, KNOCK), **answers})
        return (yield from _go(signoff, Invoke(graph, woken, config), thread_id, _answered(knocks, answers)))
    if not head.is_finished and not head.interrupts:
        return (yield from _go(signoff, Invoke(graph, None, config), thread_id, "went on where it had stalled"))
    did = "nothing: it has finished" if head.is_finished else "nothing: it waits"
    report: Run = yield Io(partial(_report, signoff, thread_id, head, did))
    return report


def _answered(knocks: Sequence[str], answers: Mapping[str, Any]) -> str:
    parts = [f"knocked at {len(knocks)} decided pause(s)"] if knocks else []
    parts += [f"gave {len(answers)} answer(s)"] if answers else []
    return " and ".join(parts)


def _go(signoff: Signoff, invoke: Invoke, thread_id: str, did: str) -> Steps[Run]:
    try:
        output = yield invoke
    except SignoffError:
        raise
    except Exception as error:
        return Run(status="failed", thread_id=thread_id, error=f"{type(error).__name__}: {error}", did=did)
    head = _reached(invoke.graph, output)
    if head is None:
        head = Head.of((yield Look(invoke.graph, invoke.config)))
    yield Io(partial(_withdraw_dropped, signoff, invoke.graph, head, thread_id))
    report: Run = yield Io(partial(_report, signoff, thread_id, head, did))
    return report


def _reached(graph: Graph, output: Any) -> Head | None:
    """The head that an output shows, which spares a read of the checkpoint; None if only the checkpoint tells."""
    if isinstance(output, dict) and output.get(_INTERRUPT):
        values = {key: value for key, value in output.items() if key != _INTERRUPT}
        return Head(values, output[_INTERRUPT], is_finished=False)
    if graph.interrupt_before_nodes or graph.interrupt_after_nodes:
        return None
    return Head(output, (), is_finished=True)


def _report(signoff: Signoff, thread_id: str, head: Head, did: str) -> Run:
    ids = dict.fromkeys(id_ for ids in head.tickets.values() for id_ in ids)
    cases = [case for case in map(signoff.desk.case, ids) if _waits(case)]
    return Run(
        status=_status(head, cases),
        thread_id=thread_id,
        output=head.values,
        tickets=tuple(map(to_ticket, cases)),
        questions=head.questions,
        error="; ".join(head.errors),
        did=did,
    )


def _status(head: Head, cases: Sequence[Case]) -> Any:
    if any(case.standing is Standing.PENDING for case in cases):
        return "pending_approval"
    if cases:
        return "in_doubt"
    if head.questions:
        return "waiting"
    if head.is_finished:
        return "completed"
    return "failed" if head.errors and not head.interrupts else "stalled"


def _waits(case: Case) -> bool:
    # A question in doubt that is past due is no longer asked; it stays listed.
    return case.standing is Standing.PENDING or (case.standing is Standing.IN_DOUBT and not case.told_unknown)


def _knocks(signoff: Signoff, head: Head) -> list[str]:
    ours = [interrupt for interrupt in head.interrupts if tickets_of(interrupt.value)]
    return [i.id for i in ours if not any(_is_open(signoff.desk.case(t), i.value) for t in tickets_of(i.value))]


def _is_open(case: Case, asked: Any) -> bool:
    # A call cut off after its approval is not what this pause asked about: its own probe comes first, then a new question.
    return _waits(case) if is_doubt(asked) else case.standing is Standing.PENDING


def _check_answers(head: Head, answers: Mapping[str, Any]) -> None:
    wrong = sorted(set(answers) - set(head.questions))
    if wrong:
        asks = ", ".join(sorted(head.questions)) or "nothing"
        raise UnknownQuestion(
            f"the thread asks {asks}, not {', '.join(wrong)}; a pause of ours is answered by a decision"
        )


def _known(snapshot: StateSnapshot, thread_id: str) -> Head:
    if snapshot.created_at is None:
        raise UnknownThread(f"the checkpointer holds no thread {thread_id!r}; start it with run()")
    return Head.of(snapshot)


def _configured(graph: Graph, thread_id: str, config: RunnableConfig | None) -> RunnableConfig:
    given: RunnableConfig = config or {}
    if ends_unsaved(given):
        raise GraphRefused('durability="exit" can lose a paused thread; use "async" or "sync"')
    metadata = {"graph_id": graph.get_name(), **given.get("metadata", {})}
    # The head, whatever checkpoint the caller's config names: an old one would be a fork.
    configurable = {
        k: v for k, v in given.get("configurable", {}).items() if k not in ("checkpoint_id", "checkpoint_ns")
    }
    return {**given, "metadata": metadata, "configurable": {**configurable, "thread_id": thread_id}}


def _withdraw_dropped(signoff: Signoff, graph: Graph, head: Head, thread_id: str) -> None:
    """Withdraws pending tickets whose message the head has answered or dropped, never merely because no pause shows yet."""
    shown = {id_ for ids in head.tickets.values() for id_ in ids}
    open_rows = signoff.ledger.find(
        Query(standings=(Standing.PENDING, Standing.RUNNING), thread_id=thread_id, limit=1000)
    )
    if any(row.standing == Standing.RUNNING for row in open_rows):
        return  # an agent used as a tool keeps its messages where the head does not show them
    for row in open_rows:
        if row.id not in shown and _is_dropped(row, head, graph):
            _withdraw(signoff, row.id)


def _withdraw(signoff: Signoff, ticket_id: str) -> None:
    reason = "the thread went on without it"
    try:
        signoff.desk.write(ticket_id, lambda case: law.withdraw(case, by="resume", reason=reason))
    except TicketClosed:
        return  # decided or expired meanwhile


def _is_dropped(row: Row, head: Head, graph: Graph) -> bool:
    if head.is_finished:
        return True
    messages = _messages(head.values)
    place = next((i for i, m in enumerate(messages) if m.id == row.message_id), None)
    if place is None:
        return bool(messages) and not list(graph.get_subgraphs())
    return any(not isinstance(m, ToolMessage) for m in messages[place + 1 :])


def _messages(values: Any) -> list[BaseMessage]:
    channels = values.values() if isinstance(values, dict) else [values]
    lists = [
        channel for channel in channels if isinstance(channel, list) and any(isinstance(m, AIMessage) for m in channel)
    ]
    return [message for channel in lists for message in channel]


# Whether a graph can hold a gate ------------------------------------------------------------------------------------------


def check(graph: Graph) -> list[str]:
    """See `Signoff.check`."""
    if not graph.checkpointer:
        raise GraphRefused("the graph has no checkpointer, so a paused run could never be resumed; compile it with one")
    found: list[str] = []
    for name, node, gate in _gates(graph):
        found += _check_node(name, node)
        found += gate.policy.warnings(gate.policy_tools)  # the one that rules there, whichever the caller has
    return found


def _check_node(name: str, node: Any) -> list[str]:
    if node.cache_policy:
        raise GraphRefused(
            f"node {name!r} has a CachePolicy, which would answer one thread's call from another's; remove it"
        )
    found = []
    if node.retry_policy:
        found.append(
            f"node {name!r} has a RetryPolicy: an approved call is tried once all the same; retry inside the tool"
        )
    if getattr(node, "timeout", None):
        found.append(
            f"node {name!r} has a timeout: a call that it cuts off is in doubt; put the timeout inside the tool"
        )
    return found


def _gates(graph: Graph) -> Iterable[tuple[str, Any, GatedToolNode]]:
    for part in [graph, *(subgraph for _, subgraph in graph.get_subgraphs(recurse=True))]:
        for name, node in part.nodes.items():
            if isinstance(node.bound, GatedToolNode):
                yield name, node, node.bound


def gated_tools(graph: Graph) -> list[str]:
    """The names of the tools behind a graph's gates, those of its subgraphs included."""
    return [name for _, _, gate in _gates(graph) for name in gate.policy_tools]


def _warn(found: Sequence[str]) -> None:
    for text in found:
        warnings.warn(text, stacklevel=2)

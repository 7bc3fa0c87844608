"""Where a thread is, as its newest checkpoint shows it, and which of our tickets it has left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.types import Interrupt, StateSnapshot

from langgraph_signoff import law
from langgraph_signoff.errors import TicketClosed
from langgraph_signoff.law import Case
from langgraph_signoff.ledger import Query, Row
from langgraph_signoff.nodes.checks import Graph, breakpoints
from langgraph_signoff.nodes.internals import INTERRUPT
from langgraph_signoff.nodes.payload import halted_calls, is_doubt, is_pause, tickets_of
from langgraph_signoff.vocabulary import Standing

if TYPE_CHECKING:
    from langgraph_signoff.signoff import Signoff


@dataclass(frozen=True, slots=True)
class Head:
    """What a thread holds, what it waits at, and whether anything is left to do.

    `pauses`: our own, by interrupt id, with the tickets they show. `questions`: the author's own interrupts, by id.
    `is_held`: it stands at a breakpoint of the author's, where only the author goes on.
    """

    values: Any
    pauses: Mapping[str, tuple[Any, tuple[str, ...]]]
    questions: Mapping[str, Any]
    is_finished: bool
    is_held: bool = False
    errors: tuple[str, ...] = ()

    @classmethod
    def of(cls, signoff: Signoff, graph: Graph, snapshot: StateSnapshot) -> Head:
        """The head that a checkpoint shows."""
        errors = tuple(str(task.error) for task in snapshot.tasks if task.error)
        # A process that died between the last task of a step and its checkpoint leaves tasks, and none of them is next.
        is_finished = not snapshot.next and not snapshot.tasks
        pauses, questions = _sorted(signoff, snapshot.interrupts)
        is_held = not is_finished and not snapshot.interrupts and not errors and _holds(graph, snapshot)
        return cls(snapshot.values, pauses, questions, is_finished, is_held, errors)

    @classmethod
    def reached(cls, signoff: Signoff, graph: Graph, output: Any) -> Head | None:
        """The head that an output shows, which spares a read of the checkpoint; None if only the checkpoint tells."""
        if isinstance(output, dict) and output.get(INTERRUPT):
            values = {key: value for key, value in output.items() if key != INTERRUPT}
            return cls(values, *_sorted(signoff, output[INTERRUPT]), is_finished=False)
        before, elsewhere = breakpoints(graph)
        return None if before or elsewhere else cls(output, {}, {}, is_finished=True)

    @property
    def is_paused(self) -> bool:
        """Whether it waits at any interrupt."""
        return bool(self.pauses or self.questions)

    def decided(self, signoff: Signoff) -> list[str]:
        """The ids of our own pauses at which nobody is waited for any more."""
        return [
            id_
            for id_, (asked, tickets) in self.pauses.items()
            if not self._is_halted(signoff, id_)
            and not any(_is_open(signoff.desk.case(ticket), asked) for ticket in tickets)
        ]

    def is_halted(self, signoff: Signoff) -> bool:
        """Whether it waits for a release somewhere."""
        return any(self._is_halted(signoff, id_) for id_ in self.pauses)

    def _is_halted(self, signoff: Signoff, id_: str) -> bool:
        held = halted_calls(self.pauses[id_][0], id_)
        return held is not None and any(signoff.desk.halts().on(held[0], tool) for tool in held[1])


def waits(case: Case) -> bool:
    """Whether a person is waited for. A question in doubt that is past due is no longer asked; it stays listed."""
    return case.standing is Standing.PENDING or (case.standing is Standing.IN_DOUBT and not case.told_unknown)


def newest_row(signoff: Signoff, thread_id: str) -> Row | None:
    """The newest ticket of a thread, of those that name a graph if any does; None if it has none."""
    newest, query = None, Query(thread_id=thread_id, limit=500)
    while rows := signoff.ledger.find(query):
        # What was undone or called outside of a run names none.
        newest = max([*rows, *([newest] if newest else [])], key=lambda row: (bool(row.graph), row.opened_at))
        query = replace(query, after=rows[-1])
    return newest


def let_sleep(signoff: Signoff, head: Head, thread_id: str) -> None:
    """Takes a thread off those to be woken, if its head has nothing to go on with."""
    wake = signoff.ledger.wake(thread_id)
    # In this order: what is written after the first look makes the wake another one, which stays.
    if not wake or not (head.is_finished or head.is_paused or head.is_held) or head.decided(signoff):
        return
    if any(halted_calls(asked, id_) for id_, (asked, _) in head.pauses.items()):
        return  # a release wakes nobody, and may come between two looks: whoever looks for threads to wake finds this one
    # The thread may have gone on without a call that was cut off, or be somewhere else as well.
    running = signoff.ledger.find(Query(standings=(Standing.RUNNING,), thread_id=thread_id, limit=1000))
    if not any(signoff.claims.is_alive(signoff.claims.find(row.id)) for row in running):
        signoff.ledger.drop_wake(wake)


def open_rows(signoff: Signoff, thread_id: str) -> list[Row]:
    """The tickets of a thread that wait or run."""
    return signoff.ledger.find(Query(standings=(Standing.PENDING, Standing.RUNNING), thread_id=thread_id, limit=1000))


def withdraw_dropped(signoff: Signoff, graph: str, head: Head, rows: Sequence[Row]) -> None:
    """Withdraws pending tickets whose message the head has answered or dropped, never merely because no pause shows yet.

    `graph`: the name of the graph whose head this is, as its tickets have it. `rows`: the `open_rows` of its thread, read
    before the head where nothing keeps others from running it. To be called with a head that a whole run has reached: before
    that, a ticket may only be on its way to its pause.
    """
    shown = {ticket for _, tickets in head.pauses.values() for ticket in tickets}
    if any(row.standing == Standing.RUNNING for row in rows):
        return  # an agent used as a tool keeps its messages where the head does not show them
    for row in rows:
        if row.id not in shown and _is_dropped(row, head, graph):
            _withdraw(signoff, row.id)


def _withdraw(signoff: Signoff, ticket_id: str) -> None:
    reason = "the thread went on without it"
    try:
        signoff.desk.write(ticket_id, lambda case: law.withdraw(case, by="resume", reason=reason))
    except TicketClosed:
        return  # decided or expired meanwhile


def _is_dropped(row: Row, head: Head, graph: str) -> bool:
    for messages in _message_lists(head.values):
        place = next((i for i, message in enumerate(messages) if message.id == row.message_id), None)
        if place is not None:
            return head.is_finished or any(not isinstance(message, ToolMessage) for message in messages[place + 1 :])
    # The same thread id may belong to another graph, and a subgraph's messages do not show in the head.
    return head.is_finished and row.graph == graph


def _message_lists(values: Any) -> list[list[BaseMessage]]:
    channels = values.values() if isinstance(values, dict) else [values]
    return [
        channel for channel in channels if isinstance(channel, list) and any(isinstance(m, AIMessage) for m in channel)
    ]


def _sorted(signoff: Signoff, interrupts: Sequence[Interrupt]) -> tuple[dict[str, Any], dict[str, Any]]:
    # A pause is ours if our ledger knows its tickets: an interrupt's value can say anything.
    named = {i.id: tuple(tickets_of(i.value)) if is_pause(i.value, i.id) else () for i in interrupts}
    known = signoff.ledger.rows([ticket for tickets in named.values() for ticket in tickets])
    ours = {id_ for id_, tickets in named.items() if tickets and all(ticket in known for ticket in tickets)}
    ours |= {interrupt.id for interrupt in interrupts if halted_calls(interrupt.value, interrupt.id)}
    pauses = {i.id: (i.value, named[i.id]) for i in interrupts if i.id in ours}
    return pauses, {i.id: i.value for i in interrupts if i.id not in ours}


def _holds(graph: Graph, snapshot: StateSnapshot) -> bool:
    before, elsewhere = breakpoints(graph)
    return elsewhere or "*" in before or bool(before & set(snapshot.next))


def _is_open(case: Case, asked: Any) -> bool:
    # A call cut off after its approval is not what this pause asked about: its own probe comes first, then a new question.
    return waits(case) if is_doubt(asked) else case.standing is Standing.PENDING

"""A thread of the server, as the server itself tells of it to those who run inside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from langchain_core.messages import convert_to_messages
from langgraph_sdk import get_client
from langgraph_sdk.errors import APIStatusError

from langgraph_signoff.heads import Head, newest_row
from langgraph_signoff.ledger import Row
from langgraph_signoff.nodes.payload import halted_calls, is_pause, tickets_of

if TYPE_CHECKING:
    from langgraph_sdk.client import LangGraphClient

    from langgraph_signoff.signoff import Signoff


BUSY = "busy"


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread and its head."""

    id: str
    metadata: Mapping[str, Any]
    status: str
    state: Any

    @property
    def is_busy(self) -> bool:
        """Whether a run of it is under way, or waits for its turn."""
        return self.status == BUSY

    @property
    def is_edited(self) -> bool:
        """Whether somebody has written its head, and no run."""
        return bool((self.state["metadata"] or {}).get("source") == "update")

    @property
    def interrupts(self) -> dict[str, Any]:
        """What it waits at: interrupt id to value."""
        return {each["id"]: each["value"] for task in self.state["tasks"] for each in task["interrupts"]}


async def find(thread_id: str) -> Thread | None:
    """A thread that has a state; None if it is not there, or not for the user in whose request this is called.

    From inside, the server still knows who asks: the author's own handlers are heard for this reading too.
    """
    threads = _client().threads
    try:
        before = await threads.get(thread_id)
        state = await threads.get_state(thread_id)
        thread = await threads.get(thread_id)
    except APIStatusError as error:
        if error.status_code in (403, 404, 422):
            return None
        raise
    if state["created_at"] is None:
        return None  # it has never run here, or its checkpoints are lost: then it has not finished
    # A run that began or ended meanwhile would leave a head that is neither before nor after it.
    status = thread["status"] if thread["updated_at"] == before["updated_at"] else BUSY
    return Thread(thread_id, thread["metadata"] or {}, status, state)


@cache
def _client() -> LangGraphClient:
    return get_client(url=None, api_key=None)


@dataclass(frozen=True, slots=True)
class Waiting:
    """`pauses`: our own that a thread waits at, by interrupt id; `others`: everybody else's, and those of `elsewhere`.

    `elsewhere`: the ids of pauses that another ledger than this one knows.
    `newest`: the thread's last ticket, or, in a copy that has none yet, one that it shows; None if it never came to a gate.
    """

    pauses: Mapping[str, Any]
    others: Mapping[str, Any]
    newest: Row | None
    elsewhere: frozenset[str] = frozenset()

    @classmethod
    def of(cls, signoff: Signoff, thread: Thread) -> Waiting:
        """What a thread waits at. Ours are the interrupts that we made for this very thread."""
        found = thread.interrupts
        known = signoff.ledger.rows([ticket for value in found.values() for ticket in tickets_of(value)])
        # A copy of a thread shows the tickets of the original, until it is woken and asks for itself.
        mine = {ticket for ticket, row in known.items() if row.thread_id == thread.id}
        ours = {id_: value for id_, value in found.items() if _is_ours(id_, value, mine, thread.id)}
        newest = newest_row(signoff, thread.id) or next(iter(known.values()), None)
        others = {id_: value for id_, value in found.items() if id_ not in ours}
        return cls(ours, others, newest, frozenset(id_ for id_ in others if _is_elsewhere(id_, others[id_], known)))

    @property
    def all(self) -> frozenset[str]:
        """The ids of all of them."""
        return frozenset(self.pauses) | frozenset(self.others)


def _is_ours(id_: str, value: Any, tickets: Collection[str], thread_id: str) -> bool:
    if held := halted_calls(value, id_):
        return held[0] == thread_id
    return is_pause(value, id_) and set(tickets_of(value)) <= set(tickets)


def _is_elsewhere(id_: str, value: Any, known: Collection[str]) -> bool:
    return is_pause(value, id_) and not halted_calls(value, id_) and not set(tickets_of(value)) & set(known)


def head_of(thread: Thread, waiting: Waiting) -> Head:
    """The head of a thread that nobody runs."""
    state = thread.state
    errors = tuple(str(task["error"]) for task in state["tasks"] if task.get("error"))
    is_finished = not state["next"] and not state["tasks"]
    # The server calls a thread interrupted that has stopped at a breakpoint, its author's or a run's.
    is_held = thread.status == "interrupted" and not (is_finished or errors or waiting.all)
    pauses = {id_: (value, tuple(tickets_of(value))) for id_, value in waiting.pauses.items()}
    return Head(revived(state["values"]), pauses, waiting.others, is_finished, is_held, errors)


def revived(values: Any) -> Any:
    """The values of a state that came as JSON, its messages as messages again."""
    if isinstance(values, Mapping):
        return {key: revived(value) for key, value in values.items()}
    return convert_to_messages(values) if isinstance(values, list) and _are_messages(values) else values


_TYPES = frozenset({"human", "ai", "tool", "system"})


def _are_messages(values: list[Any]) -> bool:
    return bool(values) and all(
        isinstance(value, Mapping) and value.get("type") in _TYPES and "content" in value for value in values
    )

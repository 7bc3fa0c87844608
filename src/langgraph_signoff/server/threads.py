"""What a thread of the server waits at, as the server itself tells those who run inside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langgraph_signoff.heads import newest_row
from langgraph_signoff.ledger import Row
from langgraph_signoff.nodes.payload import halted_calls, is_pause, tickets_of

if TYPE_CHECKING:
    from langgraph_signoff.signoff import Signoff


@dataclass(frozen=True, slots=True)
class Waiting:
    """`pauses`: our own that a thread waits at, by interrupt id; `others`: the ids of everybody else's.

    `newest`: the thread's last ticket, or, in a copy that has none yet, one that it shows; None if it never came to a gate.
    """

    pauses: Mapping[str, Any]
    others: frozenset[str]
    newest: Row | None

    @classmethod
    def of(cls, signoff: Signoff, thread_id: str, state: Mapping[str, Any]) -> Waiting:
        """What a thread waits at in a state that the server has told. Ours are the interrupts that we made for this very thread."""
        found = {each["id"]: each["value"] for task in state["tasks"] for each in task["interrupts"]}
        known = signoff.ledger.rows([ticket for value in found.values() for ticket in tickets_of(value)])
        # A copy of a thread shows the tickets of the original, until it is woken and asks for itself.
        mine = {ticket for ticket, row in known.items() if row.thread_id == thread_id}
        ours = {id_: value for id_, value in found.items() if _is_ours(id_, value, mine, thread_id)}
        newest = newest_row(signoff, thread_id) or next(iter(known.values()), None)
        return cls(ours, frozenset(found) - set(ours), newest)

    @property
    def all(self) -> frozenset[str]:
        """The ids of all of them."""
        return self.others | set(self.pauses)


def _is_ours(id_: str, value: Any, tickets: Collection[str], thread_id: str) -> bool:
    if held := halted_calls(value, id_):
        return held[0] == thread_id
    return is_pause(value, id_) and set(tickets_of(value)) <= set(tickets)

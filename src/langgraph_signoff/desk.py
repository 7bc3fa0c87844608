"""The one writer: every entry of a ticket goes through here, chained to a history that was read just before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from langgraph_signoff import law
from langgraph_signoff.errors import StaleTicket, UnknownTicket
from langgraph_signoff.law import Case
from langgraph_signoff.ledger import Draft, Entry, Ledger, Query, Row, link, stamp
from langgraph_signoff.vocabulary import Action, Counts, Ruling, Standing

Clock = Callable[[], datetime]
Step = Callable[[Case], list[Draft]]

_MOST_READS = 100  # how often one call reads again when others keep writing first

_RAN = {Standing.RUNNING, Standing.EXECUTED, Standing.FAILED, Standing.IN_DOUBT}
_REFUSED = {
    Standing.DENIED,
    Standing.REJECTED,
    Standing.RETURNED,
    Standing.EXPIRED,
    Standing.LAPSED,
    Standing.WITHDRAWN,
}


def utc_now() -> datetime:
    """The time of this machine, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Opening:
    """A ruled action that is about to become a ticket, a denial or a recorded call."""

    id: str
    action: Action
    ruling: Ruling
    previous: str | None = None
    round: int = 1
    difference: Sequence[Mapping[str, Any]] = field(default=())


class Desk:
    """Opens, decides, ends and reads tickets in a ledger."""

    def __init__(self, ledger: Ledger, *, clock: Clock = utc_now) -> None:
        self.ledger, self.clock = ledger, clock

    def case(self, ticket_id: str) -> Case:
        """A ticket as it stands now. Raises UnknownTicket."""
        return law.fold(self._history(ticket_id), self.clock())

    def find_id(self, prefix: str) -> str:
        """The one ticket id that begins so. Raises UnknownTicket if there is none, or more than one."""
        ids = self.ledger.ids(prefix) if prefix.isascii() and prefix else []
        if len(ids) != 1:
            problem = "several tickets begin with" if ids else "there is no ticket"
            raise UnknownTicket(f"{problem} {prefix!r}; `signoff list` shows the ids")
        return ids[0]

    def open(self, openings: Sequence[Opening], *, policy: tuple[str, str]) -> None:
        """Commits tickets in one transaction; one that is already there, whoever opened it, stays as it is."""
        known = self.ledger.rows([opening.id for opening in openings])
        for _ in range(_MOST_READS):
            fresh = [opening for opening in openings if opening.id not in known]
            try:
                return self._open(fresh, policy)
            except StaleTicket as stale:
                known = {**known, **self.ledger.rows([stale.stream])}
        raise StaleTicket(openings[0].id, 1)

    def _open(self, openings: Sequence[Opening], policy: tuple[str, str]) -> None:
        entries, rows = [], []
        for opening in openings:
            [entry] = link(opening.id, None, [_opened(opening)], self.clock())
            entries.append(entry)
            rows.append(to_row(law.recorded([entry])))
        if entries:
            self.ledger.append(entries, rows, [policy])

    def write(self, ticket_id: str, step: Step) -> Case:
        """Adds what `step` makes of the ticket's case, and reads again if somebody wrote first.

        What silence has ended by now is written down before `step` sees the case, so that no later clock brings it back.
        Raises what `step` raises, and UnknownTicket.
        """
        for _ in range(_MOST_READS):
            history = self._history(ticket_id)
            case, now = law.recorded(history), self.clock()
            try:
                last = self._append(case, history[-1], law.silence(case, max(now, case.at)))
                self._append(case, last, step(case))
            except StaleTicket:
                continue
            return case
        raise StaleTicket(ticket_id, case.seq + 1)

    def expire(self) -> list[str]:
        """Writes down every end that silence has brought by now; the threads to wake, each once. Idempotent."""
        threads: dict[str, None] = {}
        while rows := self.ledger.find(Query(due_before=stamp(self.clock()), limit=500)):
            for row in rows:
                self.write(row.id, _nothing)
                threads[row.thread_id] = None
        return list(threads)

    def counts(self, thread_id: str, message_id: str) -> Counts:
        """What a thread has proposed, run and been refused so far, the calls of message `message_id` left out."""
        counts: dict[str, dict[str, int]] = {"proposed": {}, "ran": {}, "refused": {}}
        for tool, standing, count in self.ledger.tally(thread_id, message_id):
            for name, kinds in (("proposed", set(Standing)), ("ran", _RAN), ("refused", _REFUSED)):
                if standing in kinds:
                    counts[name][tool] = counts[name].get(tool, 0) + count
        return Counts(**counts)

    def _history(self, ticket_id: str) -> list[Entry]:
        history = self.ledger.history(ticket_id)
        if not history or history[0].kind != "opened":
            raise UnknownTicket(f"there is no ticket {ticket_id!r}; `signoff list` shows the ids")
        return history

    def _append(self, case: Case, last: Entry, drafts: list[Draft]) -> Entry:
        if not drafts:
            return last
        entries = link(case.id, last, drafts, self.clock())
        law.advance(case, entries)
        self.ledger.append(entries, [to_row(case)])
        return entries[-1]


def to_row(case: Case) -> Row:
    """Where a case stands, for lists: derived from the history alone, so that it can be rebuilt."""
    opening, action = case.opening, case.action
    due = case.expires_at
    return Row(
        id=case.id,
        thread_id=opening["thread_id"],
        standing=str(case.standing),
        queue=case.requirements.queue,
        priority=case.requirements.priority,
        due_at=stamp(due) if due else None,
        opened_at=stamp(case.opened_at),
        tool=opening["tool"],
        graph=opening["graph"],
        reason_code=case.ruling.reason_code,
        seq=case.seq,
        digest=action.get("digest", ""),
        turn=action.get("turn", ""),
        message_id=action.get("message_id", ""),
        previous=case.previous,
        round=case.rounds,
        reviewed=case.ruling.mode == "review",
        told=case.told_unknown,
    )


def _nothing(case: Case) -> list[Draft]:  # noqa: ARG001  # a step that adds nothing of its own
    return []


def _opened(opening: Opening) -> Draft:
    action = opening.action
    open_part = {
        "thread_id": action.thread_id,
        "tool": action.tool,
        "graph": action.graph,
        "agent": action.agent,
        "requester": action.requester,
        "ruling": opening.ruling.model_dump(mode="json"),
        "previous": opening.previous,
        "round": opening.round,
    }
    words = action.model_dump(mode="json", exclude={"thread_id", "tool", "graph", "agent", "requester"})
    return Draft("opened", open_part, {"action": words, "difference": list(opening.difference)})

"""The front door: one object that knows the ledger and the policy, and loads what a call needs when it needs it."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from langgraph_signoff import granting, law
from langgraph_signoff.asking import Asking
from langgraph_signoff.law import HALTS
from langgraph_signoff.law.budgets import BUDGET
from langgraph_signoff.law.grants import GRANT
from langgraph_signoff.ledger import Entry, Query, moment, stamp
from langgraph_signoff.operating import Operating
from langgraph_signoff.telling import Telling
from langgraph_signoff.view import to_ticket, words_of
from langgraph_signoff.vocabulary import FollowUp, Grant, Reviewer, Run, Standing, Ticket

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.pregel import Pregel

    from langgraph_signoff.audit import Report


class Signoff(Asking, Telling, Operating):
    """Gates tools, takes decisions, runs and resumes threads, over one ledger and one policy.

    `ledger`: path of the SQLite file, made if it is not there. `policy`: a YAML file's path or a `Policy`; without one,
    everything is reviewed, and decisions are judged by the policy under which their ticket was opened. `requester`: tells
    from a run's `Runtime` whom the agent acts for. `lease` and `wait`: seconds after which a silent runner whose process is
    gone counts as dead, and that a second runner waits for the first one's result. `advisors`: asked about each new action
    that the policy does not deny; they may make its ruling stricter or add a note, each within `advice_within` seconds.
    `inbox_schema`: how a pause shows its tickets to other people's clients; `agent-inbox` for that of Agent Inbox.
    """

    # Reading ----------------------------------------------------------------------------------------------------------

    def ticket(self, ticket_id: str) -> Ticket:
        """A ticket by id, or by the beginning of its id. Raises UnknownTicket."""
        return to_ticket(self.desk.case(self._id(ticket_id)))

    def pending(
        self, *, queue: str | None = None, thread_id: str | None = None, tool: str | None = None, limit: int = 50
    ) -> list[Ticket]:
        """Tickets that wait for a decision, most urgent first; overdue ones are not among them."""
        return self._waiting(Query((Standing.PENDING,), queue=queue, thread_id=thread_id, tool=tool, limit=limit))

    def audits(
        self, *, queue: str | None = None, thread_id: str | None = None, tool: str | None = None, limit: int = 50
    ) -> list[Ticket]:
        """Actions that have run and wait for a look, most urgent first, each as the ticket of its audit."""
        return self._waiting(Query((Standing.UNDER_AUDIT,), queue=queue, thread_id=thread_id, tool=tool, limit=limit))

    def _waiting(self, query: Query) -> list[Ticket]:
        return self.find(replace(query, due_after=stamp(self.desk.clock())))

    def in_doubt(self, *, thread_id: str | None = None, limit: int = 50) -> list[Ticket]:
        """Tickets whose runner died, until somebody says what happened."""
        return self.find(Query(standings=(Standing.IN_DOUBT,), thread_id=thread_id, limit=limit))

    def find(self, query: Query) -> list[Ticket]:
        """Tickets by a query, as they stand now, whether or not anybody has written down what silence has brought."""
        found: list[Ticket] = []
        is_silent = set(query.standings) & set(_BEFORE_SILENCE) or not query.standings
        ended_by = None if is_silent else stamp(self.desk.clock())
        asked: Query | None = replace(query, standings=_on_record_as(query.standings), ended_by=ended_by)
        while asked and len(found) < query.limit:
            tickets = [to_ticket(case) for case in self.desk.cases(asked)]
            found += [ticket for ticket in tickets if not query.standings or ticket.standing in query.standings]
            is_last = len(tickets) < asked.limit or len(found) >= query.limit
            asked = None if is_last else replace(asked, after=self.ledger.find(asked)[-1])
        return found[: query.limit]

    def history(self, ticket: Ticket | Grant | str) -> list[Entry]:
        """Every entry of a ticket, or of a grant, in order. Raises UnknownTicket, UnknownGrant."""
        if isinstance(ticket, Grant) or (isinstance(ticket, str) and ticket.startswith(GRANT)):
            return self.ledger.history(self._grant_id(ticket))
        return self.desk.history(self._id(ticket))

    def who(self, ticket: Ticket | str) -> tuple[Reviewer, ...]:
        """Everybody whom the policy knows: whether they may decide a ticket now, and why or why not.

        Empty where the policy names no people, and believes any name. Raises UnknownTicket.
        """
        case = self.desk.case(self._id(ticket))
        deputies = self.desk.delegations().deputies(case, self.desk.clock())
        return law.reviewers(case, self._people(case), deputies)

    def watch(self, *, after: int | None = None, every: float = 0.5) -> Iterator[dict[str, Any]]:
        """Whatever comes onto the record from now on, live and without end: rulings, tickets, decisions, outcomes, halts.

        `after`: the position to begin behind, 0 for the whole record. `every`: seconds between two looks. Each event has
        `position`, `stream` (a ticket's id, or `halts`, `seals`), `thread_id`, `tool`, and what `signoff history --json` says of
        an entry; what is secret stays masked. An allowed call that the policy does not record leaves nothing to see: `record: true`
        in the policy has all of them recorded.
        """
        return self._events(self.ledger.last() if after is None else after, every)

    def _events(self, seen: int, every: float) -> Iterator[dict[str, Any]]:
        while True:
            for position, entry in self.ledger.scan(after=seen):
                seen, history = position, self._up_to(entry)
                # A ticket's thread and tool are those of its opening; each halt has its own.
                told = (entry if entry.stream == HALTS else history[0]).body
                about = {"thread_id": told.get("thread_id"), "tool": told.get("tool")}
                yield {"position": position, "stream": entry.stream, **about, **words_of(history)[-1]}
            time.sleep(every)

    def expire(self) -> list[str]:
        """Does all that is due and seals the record; the ids of the threads to wake. Idempotent.

        Reminders, escalations and ends go on record, each once, whoever calls it and however often.
        """
        granting.run_out(self.desk)
        try:
            return self.desk.expire()
        finally:
            # A ticket that cannot be read must not leave the others open to change.
            self.seal()

    def seconds_to_next_moment(self) -> float:
        """Seconds until there is something for `expire` to do: 0 if there is now, infinite if nothing waits."""
        rows = self.ledger.find(Query(next_before=stamp(datetime.max.replace(tzinfo=UTC)), limit=1))
        if not rows or rows[0].next_at is None:
            return math.inf
        return max(0.0, (moment(rows[0].next_at) - self.desk.clock()).total_seconds())

    def seal(self) -> str:
        """Chains all entries so far into one hash, to be noted outside; the hash of the newest seal if nothing is new."""
        from langgraph_signoff.audit import seal

        return seal(self.ledger, self.desk.clock())

    def verify(self, *, seal: str | None = None) -> Report:
        """Checks the whole record offline: every hash, every chain, every seal, every standing."""
        from langgraph_signoff.audit import verify

        return verify(self.ledger, noted_seal=seal)

    def _up_to(self, entry: Entry) -> list[Entry]:
        if entry.stream.startswith((GRANT, BUDGET)):
            # Thousands of uses may lie between; what is secret, the first entry tells.
            return [self.ledger.first_and_last([entry.stream])[entry.stream][0], entry][-entry.seq :]
        return self.ledger.history(entry.stream)[: entry.seq]

    # Runs -------------------------------------------------------------------------------------------------------------

    def run(
        self, graph: Pregel[Any, Any, Any, Any], input: Any, *, thread_id: str, config: RunnableConfig | None = None
    ) -> Run:
        """Runs a graph until it completes, fails or pauses."""
        from langgraph_signoff import runs

        return runs.run(self, graph, input, thread_id=thread_id, config=config)

    def resume(
        self,
        graph: Pregel[Any, Any, Any, Any],
        *,
        thread_id: str,
        answers: Mapping[str, Any] | None = None,
        start: Any = None,
        config: RunnableConfig | None = None,
    ) -> Run:
        """Goes on with a thread if there is something to go on with; `answers` are for the author's own interrupts, by id.

        `start`: the input to begin with if there is no such thread yet. Without it that raises UnknownThread.
        """
        from langgraph_signoff import runs

        return runs.resume(self, graph, runs.Wake(thread_id, answers or {}, start), config)

    async def arun(
        self, graph: Pregel[Any, Any, Any, Any], input: Any, *, thread_id: str, config: RunnableConfig | None = None
    ) -> Run:
        """`run`, for async graphs."""
        from langgraph_signoff import runs

        return await runs.arun(self, graph, input, thread_id=thread_id, config=config)

    async def aresume(
        self,
        graph: Pregel[Any, Any, Any, Any],
        *,
        thread_id: str,
        answers: Mapping[str, Any] | None = None,
        start: Any = None,
        config: RunnableConfig | None = None,
    ) -> Run:
        """`resume`, for async graphs."""
        from langgraph_signoff import runs

        return await runs.aresume(self, graph, runs.Wake(thread_id, answers or {}, start), config)

    async def afollow_up(self, graph: Pregel[Any, Any, Any, Any], *, others: Collection[str] = ()) -> list[FollowUp]:
        """`follow_up`, on this loop."""
        from langgraph_signoff.nodes.follow_up import FollowUps
        from langgraph_signoff.nodes.steps import adrive

        return await adrive(FollowUps(graph, self.heart(None, None), frozenset(others)).steps())

    def follow_up(self, graph: Pregel[Any, Any, Any, Any], *, others: Collection[str] = ()) -> list[FollowUp]:
        """Does what flags ask for, outside of any run: an undo, or the call of a tool, each once and gated like any other.

        The gates of `graph` know the undos and the tools; what graphs named in `others` have run is left to them. Whoever calls
        it again goes on: what waits for a decision, or was cut off, is done when it can be. Gives what has come of each flag that
        was open.
        """
        import asyncio
        from concurrent.futures import ThreadPoolExecutor

        # A loop of its own runs undos and tools of both kinds, also where the caller's loop is running.
        with ThreadPoolExecutor(1, "signoff-follow-up") as apart:
            return apart.submit(lambda: asyncio.run(self.afollow_up(graph, others=others))).result()

    def threads_to_wake(self) -> list[str]:
        """Threads that may have something to go on with, the longest waiting first.

        Those that somebody runs right now are left out. `resume` says what it did, also when there was nothing to do.
        """
        return [wake.thread_id for wake in self.ledger.wakes() if not self.is_run(wake.thread_id)]

    def status(self, graph: Pregel[Any, Any, Any, Any], thread_id: str) -> Run:
        """How a thread stands, without waking it."""
        from langgraph_signoff import runs

        return runs.status(self, graph, thread_id)

    def check(self, graph: Pregel[Any, Any, Any, Any]) -> list[str]:
        """Warnings about a graph's gates. Raises GraphRefused for what would break a promise."""
        from langgraph_signoff.nodes.checks import check

        return check(graph)

    def close(self) -> None:
        """Lets go of the ledger."""
        self.ledger.close()


# Time alone turns the one into the other, and nobody may have written it down yet.
_BEFORE_SILENCE = {
    Standing.EXPIRED: Standing.PENDING,
    Standing.LAPSED: Standing.APPROVED,
    Standing.UNREVIEWED: Standing.UNDER_AUDIT,
}


def _on_record_as(standings: tuple[str, ...]) -> tuple[str, ...]:
    earlier = [before for after, before in _BEFORE_SILENCE.items() if after in standings]
    return tuple(dict.fromkeys([*standings, *earlier]))

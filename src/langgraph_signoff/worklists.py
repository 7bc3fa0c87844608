"""What an operator must not forget: what waits for somebody's word, what is overdue, and what does not move."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice

from langgraph_signoff import law
from langgraph_signoff.durations import parse_duration
from langgraph_signoff.errors import IncompleteDecision, NotAllowedToDecide
from langgraph_signoff.law import Case
from langgraph_signoff.ledger import Query, Row, moment, stamp
from langgraph_signoff.office import Office
from langgraph_signoff.panels import Voice
from langgraph_signoff.records import asks
from langgraph_signoff.view import to_ticket
from langgraph_signoff.vocabulary import Standing, Stuck, Ticket

LONG = timedelta(hours=1)
"""How long nothing happens to what is stuck, if nobody says otherwise."""

_MOST_UNWRITTEN = 200

_WAITS = (Standing.PENDING, Standing.IN_DOUBT)
_TIMED = (Standing.PENDING, Standing.APPROVED, Standing.IN_DOUBT, Standing.UNDER_AUDIT)

Found = Iterator[tuple[Case, str, datetime]]
"""Cases that do not move: with why, and since when."""


class Worklists(Office):
    """Lists what needs somebody."""

    def mine(
        self,
        *,
        by: str,
        queue: str | None = None,
        thread_id: str | None = None,
        tool: str | None = None,
        audits: bool = False,
        limit: int = 50,
    ) -> list[Ticket]:
        """What waits for the word of `by`, most urgent first: what they may decide, have taken, or were assigned.

        The same of those for whom they stand in now. What they have approved already, and waits for others, is not theirs; what has
        just come to them by an escalation is, also before `expire` writes that down, as long as no more than 200 tickets wait for it
        to do so. With `audits` what has run and waits for a look. Raises NotAllowedToDecide if the policy in force does not know
        them.
        """
        now, by = self.desk.clock(), by.strip()
        stand_ins = [each for each in self.desk.delegations().at(now) if each.deputy == by and each.holds(now)]
        names = (by, *(each.absent for each in stand_ins))
        if not by:
            raise IncompleteDecision("say whose tickets they are: give by=")
        voices = self._voices(names)
        query = Query(queue=queue, thread_id=thread_id, tool=tool, ended_by=stamp(now))
        asked = [text for text in self.ledger.asked() if any(asks(text, voice) for voice in voices)]
        each = [replace(query, in_hand=name) for name in names] + [replace(query, asked=text) for text in asked]
        standings = (Standing.UNDER_AUDIT,) if audits else _WAITS
        ranges = [self._rows(replace(one, standings=(standing,))) for standing in standings for one in each]
        rows = heapq.merge(*ranges, sorted(self._unwritten(query, audits=audits), key=_urgency), key=_urgency)
        return list(islice(self._awaiting(rows, by, stand_ins), limit))

    def overdue(
        self, *, queue: str | None = None, thread_id: str | None = None, tool: str | None = None, limit: int = 50
    ) -> list[Ticket]:
        """What time has ended and nobody has written down yet, the longest overdue first; `expire` does.

        Tickets whose window is over, approvals that nobody used in time, doubts and audits past due: each as it stands now.
        """
        query = Query(_TIMED, queue=queue, thread_id=thread_id, tool=tool, limit=limit)
        return [to_ticket(case) for case in self.desk.cases(replace(query, due_before=stamp(self.desk.clock())))]

    def due_of(self, tickets: Sequence[Ticket]) -> dict[str, datetime]:
        """When each ticket was due, or is, by id: also of those that time has ended, which say no more when that was."""
        rows = self.ledger.rows([ticket.id for ticket in tickets])
        return {id_: moment(row.due_at) for id_, row in rows.items() if row.due_at}

    def stuck(self, *, after: timedelta | str = LONG, limit: int = 50) -> list[Stuck]:
        """What does not move, and why: each ticket once, for the first of these reasons.

        `dead`: it is run by a process that is gone. `in_doubt`: nobody knows whether it has happened. `unused`: it was
        approved, and nothing has run it. `in_hand`: somebody has it, and says nothing. `unwoken`: its thread could go on, and
        nobody has resumed it. The last three only where nothing has happened for longer than `after`, such as `2h`.
        """
        end = _before(self.desk.clock(), parse_duration(after))
        found: dict[str, Stuck] = {}
        for reason in (self._dead, self._doubted, lambda: self._idle(end), lambda: self._unwoken(end)):
            for case, why, since in islice(reason(), limit):
                found.setdefault(case.id, Stuck.model_validate({"ticket": to_ticket(case), "why": why, "since": since}))
        return list(found.values())[:limit]

    # ------------------------------------------------------------------------------------------------------------------

    def _voices(self, names: Sequence[str]) -> list[Voice]:
        """Who these people are, to every policy that may judge a ticket."""
        if self._given is None:
            known = [self._policy_of(version).people for version, _ in self.ledger.policies()]
        elif self.policy.people is not None and names[0] not in self.policy.people:
            raise NotAllowedToDecide(law.unknown(names[0], self.policy.people))
        else:
            known = [self.policy.people]
        return [law.voice_of(by, people) for people in known for by in names if people is None or by in people]

    def _unwritten(self, query: Query, *, audits: bool) -> list[Row]:
        """What may have come to others, though nobody has written it down yet; whoever runs the clock leaves few of them."""
        wanted = Standing.UNDER_AUDIT if audits else Standing.PENDING
        now = stamp(self.desk.clock())
        due = self.ledger.find(Query(next_before=now, limit=_MOST_UNWRITTEN))
        narrow = {"queue": query.queue, "thread_id": query.thread_id, "tool": query.tool}
        return [
            row
            for row in due
            if row.standing == wanted
            and (row.due_at or "") > now
            and all(value in (None, getattr(row, name)) for name, value in narrow.items())
        ]

    def _rows(self, query: Query) -> Iterator[Row]:
        while page := self.ledger.find(query):
            yield from page
            query = replace(query, after=page[-1])

    def _awaiting(self, rows: Iterator[Row], by: str, stand_ins: Sequence[law.Delegation]) -> Iterator[Ticket]:
        last = ""
        for row in rows:
            # What is in hand comes a second time, as what may be decided, and right after: the order is the same.
            if row.id == last:
                continue
            last, case = row.id, self.desk.case(row.id)
            absent = [each.absent for each in stand_ins if each.reaches(case)]
            if case.in_hand in (by, *absent) or law.awaits(case, by, self._people(case), absent):
                yield to_ticket(case)

    def _dead(self) -> Found:
        for row in self._rows(Query((Standing.RUNNING,))):
            case = self.desk.case(row.id)
            if self.claims.is_dead(case) and case.claim:
                yield case, "dead", case.claim.at

    def _doubted(self) -> Found:
        for row in self._rows(Query((Standing.IN_DOUBT,))):
            case = self.desk.case(row.id)
            if case.standing is Standing.IN_DOUBT and case.doubted_at:
                yield case, "in_doubt", case.doubted_at

    def _idle(self, end: datetime) -> Found:
        for row in self._rows(Query(idle_before=stamp(end))):
            case = self.desk.case(row.id)
            # Time may have ended it since, or taken it out of their hands.
            if (since := case.idle_since) and since <= end:
                yield case, "in_hand" if case.in_hand else "unused", since

    def _unwoken(self, end: datetime) -> Found:
        halts, last = self.desk.halts(), None
        while page := self.ledger.stale_wakes(stamp(end), after=last):
            for last in page:
                cases = (
                    [] if self.is_run(last.thread_id) else self.desk.cases(Query(thread_id=last.thread_id, limit=1000))
                )
                newest = max(cases, key=lambda case: case.at, default=None)
                if newest and not halts.on(last.thread_id, newest.opening["tool"]):
                    yield newest, "unwoken", moment(last.since)

    def is_run(self, thread_id: str) -> bool:
        """Whether somebody alive runs a thread right now."""
        if self.leases.is_taken(f"thread:{thread_id}"):
            return True
        running = self.ledger.find(Query(standings=(Standing.RUNNING,), thread_id=thread_id))
        return any(self.claims.is_alive(self.desk.case(row.id)) for row in running)


def _before(now: datetime, span: timedelta) -> datetime:
    try:
        return now - span
    except OverflowError:  # longer ago than there have been years
        return datetime.min.replace(tzinfo=UTC)


def _urgency(row: Row) -> tuple[int, str, str]:
    return -row.priority, row.due_at or "", row.id

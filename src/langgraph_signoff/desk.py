"""The one writer: every entry of a ticket goes through here, chained to a history that was read just before."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from langgraph_signoff import law
from langgraph_signoff.errors import LedgerCorrupt, StaleTicket, UnknownTicket
from langgraph_signoff.law import Case
from langgraph_signoff.ledger import (
    Draft,
    Entry,
    GrantRow,
    Ledger,
    Notice,
    Query,
    Row,
    Wake,
    find_all,
    link,
    moment,
    stamp,
)
from langgraph_signoff.records import Opening, to_draft, to_row
from langgraph_signoff.vocabulary import Counts, Kind, Standing, Verdict

Clock = Callable[[], datetime]
Step = Callable[[Case], list[Draft]]
T = TypeVar("T")

_MOST_READS = 100  # how often one call reads again when others keep writing first

_TALK = {
    "ended",
    "taken",
    "put_back",
    "assigned",
    "extended",
    "reminded",
    "escalated",
    "info_requested",
    "info_given",
    "hurried",
}
_UNAWAITED: tuple[Kind, ...] = ("audit", "plan")  # whose end lets no thread go on


def utc_now() -> datetime:
    """The time of this machine, in UTC."""
    return datetime.now(UTC)


class Beside(NamedTuple):
    """What is written in the transaction that opens tickets, in other streams than theirs."""

    entries: list[Entry]
    rows: list[Row]
    wakes: list[Wake]
    grants: list[GrantRow]

    def and_(self, more: Beside) -> Beside:
        """All of both."""
        return Beside(
            self.entries + more.entries, self.rows + more.rows, self.wakes + more.wakes, self.grants + more.grants
        )


class Desk:
    """Opens, decides, ends and reads tickets in a ledger."""

    def __init__(
        self, ledger: Ledger, *, clock: Clock = utc_now, timed: law.Timed = lambda ruling, _now: ruling
    ) -> None:
        self.ledger, self.clock, self._timed = ledger, clock, timed
        self._halts: tuple[int, law.Halts] = (0, law.halts([]))

    def case(self, ticket_id: str) -> Case:
        """A ticket as it stands now. Raises UnknownTicket."""
        with _readable(ticket_id):
            return law.fold(self.history(ticket_id), self.clock())

    def history(self, ticket_id: str) -> list[Entry]:
        """Every entry of a ticket, in order. Raises UnknownTicket."""
        history = self.ledger.history(ticket_id) if ticket_id.isascii() else []
        if not history or history[0].kind != "opened":
            raise UnknownTicket(f"there is no ticket {ticket_id!r}; `signoff list` shows the ids")
        return history

    def cases(self, query: Query) -> list[Case]:
        """Tickets as they stand now, by a query over the standings on record."""
        histories, now = self.ledger.histories(query), self.clock()
        cases = []
        for ticket_id, history in histories.items():
            with _readable(ticket_id):
                cases.append(law.fold(history, now))
        return cases

    def find_id(self, prefix: str) -> str:
        """The one ticket id that begins so. Raises UnknownTicket if there is none, or more than one."""
        ids = self.ledger.ids(prefix) if prefix.isascii() and prefix else []
        if len(ids) != 1:
            problem = "several tickets begin with" if ids else "there is no ticket"
            raise UnknownTicket(f"{problem} {prefix!r}; `signoff list` shows the ids")
        return ids[0]

    def open(
        self,
        openings: Sequence[Opening],
        *,
        policy: tuple[str, str],
        beside: Callable[[Sequence[Opening]], Beside] = lambda _: Beside([], [], [], []),
    ) -> None:
        """Commits tickets in one transaction; one that is already there, whoever opened it, stays as it is.

        `beside` gives what is written with those that are not. Raises StaleTicket if somebody else wrote that first.
        """
        known = self.ledger.rows([opening.id for opening in openings])
        for _ in range(_MOST_READS):
            fresh = [opening for opening in openings if opening.id not in known]
            try:
                return self._open(fresh, policy, beside(fresh))
            except StaleTicket as stale:
                if all(stale.stream != opening.id for opening in openings):
                    raise
                known = {**known, **self.ledger.rows([stale.stream])}
        raise StaleTicket(openings[0].id, 1)

    def _open(self, openings: Sequence[Opening], policy: tuple[str, str], beside: Beside) -> None:
        entries, rows, notices = beside.entries, beside.rows, list[Notice]()
        for opening in openings:
            [entry] = link(opening.id, None, [to_draft(opening)], self.clock())
            case = law.recorded([entry])
            entries.append(entry)
            rows.append(to_row(case))
            notices += _owed(case, [entry])
        if entries:
            self.ledger.append(entries, rows, [policy], beside.wakes, None, notices, beside.grants)

    def write(
        self,
        ticket_id: str,
        step: Step,
        *,
        policies: Iterable[tuple[str, str]] = (),
        ends: Callable[[], Mapping[str, int]] = dict,
        beside: Callable[[], Sequence[Entry]] = list,
    ) -> Case:
        """Adds what `step` makes of the ticket's case, and reads again if somebody wrote first.

        What silence has ended by now is written down before `step` sees the case, so that no later clock brings it back.
        `policies` (version, document) are those that a new ruling names; `ends` gives, after each `step`, the streams that it
        has read too and the number of their last entry, and `beside` what is written with it in others. Raises what `step` raises,
        and UnknownTicket.
        """

        def attempt() -> Case:
            case, last = self._as_of_now(ticket_id)
            if drafts := step(case):
                self._append_all([(case, last, drafts)], policies, ends(), beside())
            return case

        return _until_fresh(attempt)

    def write_together(
        self,
        steps: Mapping[str, Step],
        *,
        policies: Iterable[tuple[str, str]] = (),
        ends: Callable[[], Mapping[str, int]] = dict,
    ) -> list[Case]:
        """Adds what each step makes of its ticket's case, all in one transaction: if any of them raises, nothing."""

        def attempt() -> list[Case]:
            found = [(*self._as_of_now(ticket_id), step) for ticket_id, step in steps.items()]
            additions = [(case, last, step(case)) for case, last, step in found]
            self._append_all(additions, policies, ends())
            return [case for case, _, _ in found]

        return _until_fresh(attempt)

    def _as_of_now(self, ticket_id: str) -> tuple[Case, Entry]:
        """A ticket's case and its last entry, once what silence has ended is written down. Raises StaleTicket."""
        history = self.history(ticket_id)
        with _readable(ticket_id):
            case, now = law.recorded(history), self.clock()
        drafts = law.silence(case, max(now, case.at))
        return case, self._append_all([(case, history[-1], drafts)])[0] if drafts else history[-1]

    def erase(self, ticket_id: str, *, by: str, reason: str) -> Case:
        """Erases what a ticket was about, for good; who did it and why stays. Raises TicketClosed if something may come of it.

        An action and its audit tell of the same: both are erased, whichever is named.
        """
        case = self.case(ticket_id)
        action = self.case(case.about) if case.about else case
        for each in [law.audit_id(action.id), action.id] if action.is_chosen else [action.id]:
            case = self._erase(each, by, reason)
        return case if case.id == ticket_id else self.case(ticket_id)

    def _erase(self, ticket_id: str, by: str, reason: str) -> Case:
        for _ in range(_MOST_READS):
            self.write(ticket_id, _nothing)
            history = self.history(ticket_id)
            drafts = law.erase(law.recorded(history), by=by, reason=reason)
            [entry] = link(ticket_id, history[-1], drafts, self.clock())
            case = law.recorded([*(entry.without_contents() for entry in history), entry])
            try:
                self.ledger.erase(entry, to_row(case))
            except StaleTicket:
                continue
            return case
        raise StaleTicket(ticket_id, entry.seq)

    def halts(self) -> law.Halts:
        """What is halted now."""
        with _readable(law.HALTS):
            return law.halts(self.ledger.history(law.HALTS))

    def glance(self, ids: Sequence[str]) -> tuple[dict[str, bool], law.Halts]:
        """Which of these tickets there are, each with whether it was put before people, and what is halted: in one look."""
        known, end = self.ledger.known_and_end(ids, law.HALTS)
        seen, halts = self._halts
        if seen != end:
            halts = self.halts()
            self._halts = end, halts
        return known, halts

    def write_halt(self, step: Callable[[law.Halts], Draft]) -> law.Halts:
        """Adds what `step` makes of the halts that hold; what holds then."""
        return law.halts(self._write_on(law.HALTS, lambda history: step(law.halts(history))))

    def delegations(self) -> law.Delegations:
        """Who stands in for whom."""
        with _readable(law.DELEGATIONS):
            return law.delegations(self.ledger.history(law.DELEGATIONS))

    def write_delegation(self, step: Callable[[law.Delegations], Draft]) -> law.Delegations:
        """Adds what `step` makes of the delegations that hold; what holds then."""
        return law.delegations(self._write_on(law.DELEGATIONS, lambda history: step(law.delegations(history))))

    def _write_on(self, stream: str, step: Callable[[list[Entry]], Draft]) -> list[Entry]:
        def attempt() -> list[Entry]:
            history = self.ledger.history(stream)
            entries = link(stream, history[-1] if history else None, [step(history)], self.clock())
            self.ledger.append(entries)
            return [*history, *entries]

        return _until_fresh(attempt)

    def keep_awake(self, thread_id: str) -> None:
        """Notes that a thread has something to go on with as soon as a halt is released."""
        at = stamp(self.clock())
        self.ledger.append([], wakes=[Wake(thread_id, f"{law.HALTS} {at}", at)])

    def expire(self) -> list[str]:
        """Writes down what the clock has brought by now: reminders, escalations, ends. Idempotent; the threads to wake, each once.

        A ticket that cannot be read keeps no other from its end: LedgerCorrupt is raised after all of them.
        """
        threads: dict[str, None] = {}
        damage: LedgerCorrupt | None = None
        query = Query(next_before=stamp(self.clock()), limit=500)
        while rows := self.ledger.find(query):
            for row in rows:
                try:
                    case = self.write(row.id, _nothing)
                    if case.kind not in _UNAWAITED and case.standing is not Standing.PENDING:
                        threads[row.thread_id] = None
                except LedgerCorrupt as error:
                    damage = damage or error
            # Onwards, not from the start: a clock that jumped back meanwhile leaves some of them as they are.
            query = replace(query, after=rows[-1])
        if damage:
            raise damage
        return list(threads)

    def counts(self, thread_id: str, message_id: str, siblings: Iterable[str] = ()) -> Counts:
        """What a thread has proposed, run and been refused before a call of message `message_id`.

        Of the message's own calls those before it count as proposed: `siblings`, by tool.
        """
        return law.counts(self.ledger.tally(thread_id, message_id), siblings)

    def counts_then(self, case: Case, at: datetime) -> Counts:
        """What `counts` would have said of a case's call at a moment of its life, as far as the record goes."""
        thread_id, message_id = case.opening["thread_id"], case.action.get("message_id", "")
        rows = find_all(self.ledger, Query(thread_id=thread_id, limit=1000))
        others = [row.id for row in rows if row.message_id != message_id and moment(row.opened_at) <= at]
        # Of what came at the same instant the order of writing tells.
        order = {id_: place for place, id_ in enumerate(self.ledger.in_order([*others, case.id], "opened"))}
        said = []
        for id_ in others:
            history = [entry for entry in self.ledger.history(id_) if moment(entry.at) <= at]
            if history and (moment(history[0].at) < at or order[id_] < order[case.id]):
                with _readable(id_):
                    then = law.recorded(history)
                    said.append((then.opening["tool"], str(then.standing), 1))
        return law.counts(said, case.siblings)

    def _append_all(
        self,
        additions: Sequence[tuple[Case, Entry, list[Draft]]],
        policies: Iterable[tuple[str, str]] = (),
        ends: Mapping[str, int] | None = None,
        beside: Sequence[Entry] = (),
    ) -> list[Entry]:
        added = [self._add(case, last, drafts) for case, last, drafts in additions]
        entries = [*beside, *(entry for each in added for entry in each.entries)]
        rows = [row for each in added for row in each.rows]
        wakes, notices = [w for each in added for w in each.wakes], [n for each in added for n in each.notices]
        self.ledger.append(entries, rows, policies, wakes, ends, notices)
        return [each.last for each in added]

    def _add(self, case: Case, last: Entry, drafts: list[Draft]) -> _Added:
        choice = self._choose(case, drafts)
        entries = link(case.id, last, law.noted(drafts, choice) if choice else drafts, self.clock())
        law.advance(case, entries)
        audits = self._audits(case, entries[-1], choice)
        # A pending call waits for a person, and neither a comment, who has it in hand, the end of a plan nor an audit changes
        # anything for its thread; after anything else it may go on, or have died while it did.
        is_talk = all(draft.kind in _TALK or draft.body.get("verdict") == Verdict.COMMENT for draft in drafts)
        is_still = is_talk or case.standing is Standing.PENDING or case.kind == "audit"
        wakes = [] if is_still else [_wake(case, entries[-1])]
        opened = [law.recorded([audit]) for audit in audits]
        rows = [to_row(each) for each in (case, *opened)]
        notices = sum(map(_owed, [case, *opened], [entries, *([audit] for audit in audits)]), list[Notice]())
        # The audit opens with the outcome, in one transaction: nothing that ran can miss its choice.
        return _Added(entries[-1], [*entries, *audits], rows, wakes, notices)

    def _audits(self, case: Case, ran: Entry, choice: law.Choice | None) -> list[Entry]:
        # An outcome must go on record, also where somebody has put a stream of that name there: a check finds it.
        if choice is None or not choice.is_audited or self.ledger.history(law.audit_id(case.id)):
            return []
        return [law.opened(case, ran, choice, self._timed)]

    def _choose(self, case: Case, drafts: Sequence[Draft]) -> law.Choice | None:
        audit = case.look
        if audit is None or case.choice or case.erased or not law.is_run(drafts[-1]):
            return None
        secret = self.ledger.secret() or self.ledger.keep_secret(secrets.token_bytes(32))
        earlier = self.ledger.audited(law.entry_of(case.ruling.rule), case.opening["tool"], audit.new_until)
        return law.choose(audit, drawn=law.draw(secret, case.id), earlier=earlier)


@dataclass(frozen=True, slots=True)
class _Added:
    """What is written with an addition to a ticket, up to its `last` entry."""

    last: Entry
    entries: Sequence[Entry]
    rows: Sequence[Row]
    wakes: Sequence[Wake]
    notices: Sequence[Notice]


def _until_fresh(attempt: Callable[[], T]) -> T:
    """What an attempt gives that nobody was faster than. Raises StaleTicket if somebody always is."""
    for _ in range(_MOST_READS - 1):
        with suppress(StaleTicket):
            return attempt()
    return attempt()


def _owed(case: Case, entries: Sequence[Entry]) -> list[Notice]:
    return law.owed(case, entries) if case.requirements.notify else []


def _wake(case: Case, entry: Entry) -> Wake:
    return Wake(case.opening["thread_id"], entry.hash, entry.at)


@contextmanager
def _readable(ticket_id: str) -> Iterator[None]:
    try:
        yield
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise LedgerCorrupt(f"ticket {ticket_id} cannot be read; `signoff verify` names what was changed") from error


def _nothing(case: Case) -> list[Draft]:  # noqa: ARG001  # a step that adds nothing of its own
    return []

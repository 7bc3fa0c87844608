"""Remember: an append-only, hash-chained record with a small interface. A backend knows no rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from langgraph_signoff.entries import Draft, Entry, GrantRow, Lease, Notice, Row, Wake, link, moment, stamp
from langgraph_signoff.errors import LedgerUnavailable

__all__ = [
    "Draft",
    "Entry",
    "GrantQuery",
    "GrantRow",
    "Lease",
    "Ledger",
    "Length",
    "Notice",
    "Query",
    "Row",
    "Wake",
    "find_all",
    "link",
    "moment",
    "open_ledger",
    "stamp",
]


@dataclass(frozen=True, slots=True)
class Query:
    """Which rows to list; None means any. Ordered by priority, then due time, then id, from after `after`.

    With `due_before` the rows come by due time, with `next_before` by the moment when the clock next adds something, with
    `idle_before` by the time since when nothing happens, and by id. Each takes in the moment itself, `due_after` does not.
    `ended_by`: leaves out what silence has ended by then, though nobody has written it down; it need not. `asked`: as the rows
    have it.
    """

    standings: tuple[str, ...] = ()
    queue: str | None = None
    thread_id: str | None = None
    tool: str | None = None
    due_before: str | None = None
    next_before: str | None = None
    due_after: str | None = None
    reviewed: bool | None = None
    told: bool | None = None
    asked: str | None = None
    in_hand: str | None = None
    idle_before: str | None = None
    ended_by: str | None = None
    limit: int = 50
    after: Row | None = None


@dataclass(frozen=True, slots=True)
class GrantQuery:
    """Which grants to list; None means any. Ordered by their end, then id, from after `after`.

    `standing`: only those that can still be used. `digest`: those with exactly these arguments, and the patterns.
    """

    id: str | None = None
    tool: str | None = None
    digest: str | None = None
    standing: bool = True
    until_after: str | None = None
    until_before: str | None = None
    limit: int = 50
    after: GrantRow | None = None


class Length(NamedTuple):
    """How many tickets of a queue wait for a decision, are past due, are in doubt; when the oldest that waits was opened."""

    waiting: int
    overdue: int
    in_doubt: int
    oldest: str | None


class Ledger(Protocol):
    """Where entries, standings, leases and threads to wake are kept.

    Every method raises `LedgerUnavailable` or `LedgerCorrupt` when the store does not answer; nothing is then half written.
    """

    def history(self, stream: str) -> list[Entry]:
        """All entries of a stream in order; empty if there is none."""

    def histories(self, query: Query) -> dict[str, list[Entry]]:
        """The histories of the tickets that a query describes, by id and in its order."""

    def append(
        self,
        entries: Sequence[Entry],
        rows: Sequence[Row] = (),
        policies: Iterable[tuple[str, str]] = (),
        wakes: Iterable[Wake] = (),
        ends: Mapping[str, int] | None = None,
        notices: Iterable[Notice] = (),
        grants: Iterable[GrantRow] = (),
    ) -> None:
        """Adds entries, their contents, rows, unseen policies, threads to wake, notices and grants in one durable transaction.

        `ends`: the number of the last entry that these streams must still end with. Raises `StaleTicket` if one does not,
        or if some stream already has an entry of that number; nothing is then written.
        """

    def first_and_last(self, streams: Sequence[str]) -> dict[str, tuple[Entry, Entry]]:
        """The first and the last entry of each of these streams, however long they are; one that has none is left out."""

    def is_used(self, stream: str, ticket_id: str) -> bool:
        """Whether a `used` entry of a stream names this ticket, however many there are."""

    def grants(self, query: GrantQuery) -> list[GrantRow]:
        """The grants that a query describes."""

    def grant_ids(self, prefix: str) -> list[str]:
        """At most two ids of grants that begin with `prefix`."""

    def in_order(self, streams: Sequence[str], kind: str) -> list[str]:
        """Those of these streams that hold an entry of this kind, in the order in which the last one of it was written."""

    def rows(self, ids: Sequence[str]) -> dict[str, Row]:
        """The rows of these tickets, by id."""

    def known_and_end(self, ids: Sequence[str], stream: str) -> tuple[dict[str, bool], int]:
        """Those of these tickets that there are, and the number of a stream's last entry (0 if it has none), in one look.

        Of each ticket whether it was put before people.
        """

    def find(self, query: Query) -> list[Row]:
        """The rows that a query describes."""

    def asked(self) -> list[str]:
        """Whom the tickets that wait ask for a word: each `asked` of their rows once."""

    def loads(self) -> dict[str, int]:
        """How many tickets that wait for a person each has in hand."""

    def queues(self) -> list[str]:
        """Every queue that a ticket is in, or was."""

    def length(self, queue: str, now: str) -> Length:
        """How many tickets of a queue wait. Reads each of them."""

    def count_openings(self, since: str) -> int:
        """How many tickets `openings` will give."""

    def openings(self, since: str) -> Iterator[Entry]:
        """The first entry of each ticket that was not opened before, or is pending."""

    def count_said(self, since: str) -> int:
        """How much `decided` and `words` will give together."""

    def decided(self, since: str) -> Iterator[tuple[str, str, str, str]]:
        """Of each ticket whose last word is not older: queue, standing, when it was opened, when the word was said."""

    def words(self, since: str) -> Iterator[tuple[str, str, str]]:
        """Of each word that is not older, comments too: its ticket's queue, who said it, and its verdict."""

    def ids(self, prefix: str) -> list[str]:
        """At most two ticket ids that begin with `prefix`."""

    def tally(self, thread_id: str, message_id: str) -> list[tuple[str, str, int]]:
        """How often each tool stands how in a thread, one message left out: (tool, standing, count)."""

    def audited(self, entry: str, tool: str, most: int) -> int:
        """How many actions of a tool, run under an entry of the policy, were chosen for an audit; at most `most`."""

    def secret(self) -> bytes:
        """What keeps the choice of audits from being predicted, empty before the first; to be shown to nobody."""

    def keep_secret(self, secret: bytes) -> bytes:
        """Keeps a secret durably, unless there is one; the one that is there, the same for all."""

    def policy(self, version: str) -> str | None:
        """The policy document that was stored under a version."""

    def policies(self) -> Iterator[tuple[str, str]]:
        """Every stored policy: (version, document)."""

    def lease(self, name: str) -> Lease | None:
        """Who holds a name, if anybody does."""

    def swap_lease(self, name: str, old: Lease | None, new: Lease | None) -> bool:
        """Replaces `old` by `new` if `old` is still what is there; says whether it did. Need not survive a power cut."""

    def wakes(self) -> list[Wake]:
        """Every thread to wake, the longest waiting first."""

    def stale_wakes(self, before: str, after: Wake | None = None) -> list[Wake]:
        """A page of the threads to wake since `before` or longer, the longest waiting first, from after `after`."""

    def wake(self, thread_id: str) -> Wake | None:
        """What says that a thread is to be woken, if anything does."""

    def drop_wake(self, wake: Wake) -> None:
        """Forgets a thread to wake, unless a newer entry says so too. Need not survive a power cut."""

    def due_channels(self, now: str) -> list[str]:
        """The channels that have a notice to be tried by now."""

    def due_notices(self, channel: str, now: str) -> list[Notice]:
        """The first notices of a channel that are to be tried by now, the longest due first."""

    def notices(self, ticket: str | None = None) -> list[Notice]:
        """The notices of a ticket; without one those that have not been sent, the oldest first."""

    def swap_notice(self, old: Notice, new: Sequence[Notice]) -> bool:
        """Puts others in the place of a notice if it is still as it was read; says whether it was. Durable."""

    def scan(self, after: int = 0) -> Iterator[tuple[int, Entry]]:
        """Every entry with its position, in the order in which they were written."""

    def last(self) -> int:
        """The position of the newest entry, 0 if there is none."""

    def all_rows(self) -> Iterator[Row]:
        """Every row of standings."""

    def erase(self, entry: Entry, row: Row | GrantRow) -> int:
        """Adds an entry and erases the contents of its stream's others, in one transaction; says how many were erased.

        `row` replaces the stream's row whole. The chain still verifies. Raises `StaleTicket` as `append` does.
        """

    def check(self) -> list[str]:
        """What the store itself finds damaged or altered, in sentences; empty if nothing."""

    def close(self) -> None:
        """Lets go of the store."""


def find_all(ledger: Ledger, query: Query) -> list[Row]:
    """All the rows that a query describes, however many there are: its limit is that of a page."""
    found = page = ledger.find(query)
    while len(page) == query.limit:
        page = ledger.find(replace(query, after=page[-1]))
        found = found + page
    return found


def open_ledger(place: str) -> Ledger:
    """The ledger at a file path, made if it is not there. Raises LedgerUnavailable for what is no path of a file."""
    if "://" in place or place == ":memory:":
        raise LedgerUnavailable(f"{place} is no file; a ledger is one SQLite file, so that a restart loses nothing")
    from langgraph_signoff.ledger.sqlite import SqliteLedger

    return SqliteLedger(place)

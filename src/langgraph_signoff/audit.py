"""On the record: seals that chain every stream, and a check of the whole ledger that needs nothing but its file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from langgraph_signoff import law
from langgraph_signoff.choices import wrong_choice
from langgraph_signoff.entries import hash_contents, hash_entry
from langgraph_signoff.errors import LedgerError, StaleTicket
from langgraph_signoff.ledger import Draft, Entry, Ledger, Row, link
from langgraph_signoff.records import to_row
from langgraph_signoff.render import counted
from langgraph_signoff.use_checks import UseChecks, is_erased_unasked, is_used
from langgraph_signoff.vocabulary import SHORTEST_DIGEST

SEALS = "seals"

_NO_TICKETS = (SEALS, law.HALTS, law.DELEGATIONS)  # streams without a standing


@dataclass
class Report:
    """What a check found. `broken`: what is wrong, the first one first; `seal`: the newest seal's hash, to be noted.

    `unsealed`: how many entries no seal covers yet. `erased`: how many entries have lost their contents, as people may ask.
    """

    entries: int = 0
    tickets: int = 0
    erased: int = 0
    seal: str = ""
    unsealed: int = 0
    broken: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is broken."""
        return not self.broken

    def __str__(self) -> str:
        counts = f"{counted(self.tickets, 'ticket')}, {counted(self.entries, 'entry')}"
        counts += f", {self.erased} of them erased" if self.erased else ""
        after = f"{counted(self.unsealed, 'entry')} after it"
        seal = f"newest seal {self.seal}, {after}" if self.seal else "no seal yet"
        verdict = "whole" if self.is_whole else "broken"
        return "\n".join([f"the record is {verdict}: {counts}", *(f"  {text}" for text in self.broken), seal])


def seal(ledger: Ledger, now: datetime) -> str:
    """Chains every entry since the last seal into a new one; its hash. The last seal's, if there is nothing new."""
    while True:
        history = ledger.history(SEALS)
        last = history[-1] if history else None
        about = _about_entries_after(ledger, last.body["upto"] if last else 0)
        if not about["count"]:
            return last.hash if last else ""
        [sealed] = link(SEALS, last, [Draft("sealed", about)], now)
        try:
            ledger.append([sealed])
        except StaleTicket:
            continue  # somebody else has sealed meanwhile
        return sealed.hash


def _about_entries_after(ledger: Ledger, upto: int) -> dict[str, int | str]:
    # The seals chain themselves; one may well stand after an entry that only the next one covers.
    running, count = hashlib.sha256(), 0
    for position, entry in ledger.scan(after=upto):
        if entry.stream != SEALS:
            running.update(entry.hash.encode())
            upto, count = position, count + 1
    return {"upto": upto, "count": count, "digest": running.hexdigest()}


def verify(ledger: Ledger, *, noted_seal: str | None = None) -> Report:
    """Checks every hash, chain, seal, policy and standing. Writes nothing; others may go on writing meanwhile.

    Keeps about 300 bytes a ticket in memory. Raises a LedgerError if the file cannot be read.
    """
    report = Report()
    report.broken += ledger.check()
    seals = _Seals(ledger.history(SEALS))
    heads = _check_entries(ledger, seals, report)
    report.broken += seals.finish()
    report.seal, report.unsealed = seals.newest, seals.waiting
    if noted_seal and not seals.has(noted_seal):
        report.broken.append(
            f"the noted seal {noted_seal} is not in the record: its end was cut off, or it is another record"
        )
    policies = _Policies(ledger)
    report.broken += policies.wrong
    uses = UseChecks(ledger)
    report.broken += uses.check({stream for stream in heads if is_used(stream)})
    report.broken += _wrong_rows(ledger, heads, policies, uses)
    report.broken += uses.strays()
    for version in sorted(uses.versions):
        report.broken += policies.missing(version)
    report.tickets = sum(map(_is_ticket, heads))
    return report


Last = tuple[int, str]
"""The number and the hash of the last entry of a stream."""


def _check_entries(ledger: Ledger, seals: _Seals, report: Report) -> dict[str, Last]:
    heads: dict[str, Last] = {}
    is_numbered = True
    for place, (position, entry) in enumerate(ledger.scan(), start=1):
        report.entries += 1
        report.erased += entry.erased
        if position != place and is_numbered:
            is_numbered = False
            report.broken.append(f"entry {place} is missing: the next one is number {position}, {_name(entry)}")
        if not _is_sound(entry):
            report.broken.append(f"{_name(entry)} cannot be read: a field of it is no text any more")
            continue
        report.broken += _wrong_with(entry, heads.get(entry.stream, (0, "")))
        report.broken += seals.take(position, entry)
        heads[entry.stream] = (entry.seq, entry.hash)
    return heads


def _wrong_with(entry: Entry, head: Last) -> Iterator[str]:
    if (entry.seq, entry.prev) != (head[0] + 1, head[1]):
        yield f"{_name(entry)} does not follow the entry before it"
    if entry.hash != hash_entry(
        entry.stream, entry.seq, entry.at, entry.kind, entry.body_json, entry.contents_hash, entry.prev
    ):
        yield f"{_name(entry)} was changed: its hash is not that of what it says"
    if entry.contents_json is not None and hash_contents(entry.salt or "", entry.contents_json) != entry.contents_hash:
        yield f"{_name(entry)} has contents that were changed"
    if (entry.contents_json is None) != (entry.salt is None):
        yield f"{_name(entry)} has contents that were half erased"


def _is_sound(entry: Entry) -> bool:
    # Damage can make anything of a text or a number.
    texts = (entry.stream, entry.at, entry.kind, entry.body_json, entry.prev, entry.hash, entry.contents_hash)
    return type(entry.seq) is int and all(type(text) is str for text in texts)


class _Seals:
    """Follows the seals through the record in the order of writing."""

    def __init__(self, history: list[Entry]) -> None:
        self._todo, self._hashes = iter(history), [entry.hash for entry in history]
        self.newest = self._hashes[-1] if history else ""
        self._next = next(self._todo, None)
        self._running, self.waiting = hashlib.sha256(), 0

    def has(self, note: str) -> bool:
        """Whether a seal has this hash, or begins with it."""
        return any(h == note or (len(note) >= SHORTEST_DIGEST and h.startswith(note)) for h in self._hashes)

    def take(self, position: int, entry: Entry) -> Iterator[str]:
        """Takes the next entry; says what is wrong with the seals that end before it."""
        if entry.stream == SEALS:
            return
        while self._next and position > _upto(self._next):
            yield from self._close(self._next)
        self._running.update(str(entry.hash).encode())
        self.waiting += 1

    def finish(self) -> Iterator[str]:
        """Says what is wrong with the seals that end with the last entry, or beyond it."""
        while self._next:
            yield from self._close(self._next)

    def _close(self, sealed: Entry) -> Iterator[str]:
        if not _holds(sealed, self.waiting, self._running.hexdigest()):
            yield f"{_name(sealed)} does not hold: an entry before it was removed, added or changed"
        self._next = next(self._todo, None)
        self._running, self.waiting = hashlib.sha256(), 0


def _upto(sealed: Entry) -> int:
    try:
        return int(sealed.body["upto"])
    except (KeyError, TypeError, ValueError):
        return 0  # changed, as its hash tells; it does not hold


def _holds(sealed: Entry, count: int, digest: str) -> bool:
    try:
        return (sealed.body["count"], sealed.body["digest"]) == (count, digest)
    except (KeyError, TypeError, ValueError):
        return False


class _Policies:
    """The policy documents on record, and which of them rulings name in vain."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._known = ledger, set[str]()
        self.wrong: list[str] = []
        for version, document in ledger.policies():
            self._known.add(version)
            if hashlib.sha256(str(document).encode()).hexdigest() != version:
                self.wrong.append(f"policy {version!s:.12} was changed: its hash is not that of its document")

    def missing(self, version: str) -> Iterator[str]:
        """Says so, once, if a version has no document."""
        if version in self._known:
            return
        self._known.add(version)
        # It may have been written since, with the ticket that names it.
        if self._ledger.policy(version) is None:
            yield f"policy {version[:12]} was removed: a ruling names it"


def _wrong_rows(ledger: Ledger, heads: dict[str, Last], policies: _Policies, uses: UseChecks) -> Iterator[str]:
    rest = {stream for stream in heads if _is_ticket(stream)}
    for row in ledger.all_rows():
        rest.discard(row.id)
        yield from _wrong_row(ledger, row, policies, uses)
    for stream in sorted(map(str, rest)):
        if not ledger.rows([stream]):
            yield f"ticket {stream[:12]} has entries but no standing"


def _is_ticket(stream: object) -> bool:
    # Damage can make anything of a name.
    return stream not in _NO_TICKETS and not is_used(str(stream))


def _wrong_row(ledger: Ledger, row: Row, policies: _Policies, uses: UseChecks) -> Iterator[str]:
    try:
        row, history = _at_one_moment(ledger, row)
        if not history:
            yield f"ticket {row.id!s:.12} has a standing but no entries: they were removed"
            return
        case = law.recorded(history)
        expected = to_row(case)
        wrong = [*_wrong_uses(ledger, history, case), *uses.ticket(history)]
        named = dict.fromkeys(e.body["ruling"]["policy_version"] for e in history if "ruling" in e.body)
        choices = list(wrong_choice(ledger, case, history))
    except LedgerError:
        raise
    except Exception as error:  # whatever a changed entry makes of its reader
        yield f"ticket {row.id!s:.12} cannot be read: {error!r}"
        return
    yield from choices
    for version in named:
        yield from policies.missing(version)
    if row != expected:
        yield f"ticket {row.id!s:.12} stands as {row.standing}, but its entries say {expected.standing}"
    if is_erased_unasked(history):
        yield f"ticket {row.id!s:.12} has lost contents, and no entry says who erased them and why"
    yield from wrong


def _wrong_uses(ledger: Ledger, history: list[Entry], case: law.Case) -> Iterator[str]:
    planned = history[0].body["ruling"].get("planned")
    if planned and not any(_is_use(entry, planned["step"], case.id) for entry in ledger.history(planned["plan"])):
        yield f"ticket {case.id[:12]} was let through by a plan, whose entries do not say so"
    known = ledger.rows([use.ticket for use in case.uses])
    for use in case.uses:
        if use.ticket not in known:
            yield f"plan {case.id[:12]} was used by ticket {use.ticket[:12]}, which is not there"


def _is_use(entry: Entry, step: int, ticket_id: str) -> bool:
    return entry.kind == "used" and (entry.body["step"], entry.body["ticket"]) == (step, ticket_id)


def _at_one_moment(ledger: Ledger, row: Row) -> tuple[Row, list[Entry]]:
    # Others may write between the two reads; both are of one moment when the row is still the same afterwards.
    while True:
        history = ledger.history(row.id)
        again = ledger.rows([row.id]).get(row.id, row) if not history or row.seq != history[-1].seq else row
        if again == row:
            return row, history
        row = again


def _name(entry: Entry) -> str:
    return f"entry {entry.stream!s:.12}/{entry.seq} ({entry.kind})"

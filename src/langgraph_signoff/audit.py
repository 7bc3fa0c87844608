"""On the record: seals that chain every stream, and a check of the whole ledger that needs nothing but its file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from langgraph_signoff import law
from langgraph_signoff.desk import to_row
from langgraph_signoff.errors import StaleTicket
from langgraph_signoff.ledger import Draft, Entry, Ledger, Row, link
from langgraph_signoff.ledger.entries import content_hash, entry_hash

SEALS = "seals"


@dataclass
class Report:
    """What a check found. `broken`: what is wrong, the first one first; `seal`: the newest seal's hash, to be noted."""

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


def seal(ledger: Ledger, now: datetime) -> str:
    """Chains every entry since the last seal into a new one; its hash. The last seal's, if there is nothing new."""
    while True:
        history = ledger.history(SEALS)
        last = history[-1] if history else None
        running, upto, count = hashlib.sha256(), last.body["upto"] if last else 0, 0
        for position, entry in ledger.scan(after=last.body["upto"] if last else 0):
            if entry is not None and not (last and entry.hash == last.hash):
                running.update(entry.hash.encode())
                upto, count = position, count + 1
        if not count:
            return last.hash if last else ""
        [sealed] = link(
            SEALS, last, [Draft("sealed", {"upto": upto, "count": count, "digest": running.hexdigest()})], now
        )
        try:
            ledger.append([sealed])
        except StaleTicket:
            continue  # somebody else has sealed meanwhile
        return sealed.hash


def verify(ledger: Ledger, *, noted_seal: str | None = None) -> Report:
    """Checks every hash, chain, seal, policy and standing. Read-only; raises a LedgerError if the file cannot be read."""
    report = Report()
    report.broken += ledger.check()
    heads: dict[str, Entry] = {}
    seals = _Seals()
    for place, (position, entry) in enumerate(ledger.scan(), start=1):
        report.entries += 1
        report.erased += entry.erased
        if position != place and not any("missing" in text for text in report.broken):
            report.broken.append(f"entry {place} is missing: the next one is number {position}, {_name(entry)}")
        report.broken += _wrong_with(entry, heads.get(entry.stream))
        report.broken += seals.take(position, entry)
        heads[entry.stream] = entry
    report.seal, report.unsealed = seals.newest, seals.waiting
    if noted_seal and not any(
        h == noted_seal or (len(noted_seal) >= 12 and h.startswith(noted_seal)) for h in seals.hashes
    ):
        report.broken.append(
            f"the noted seal {noted_seal} is not in the record: its end was cut off, or it is another record"
        )
    report.broken += _wrong_policies(ledger)
    report.broken += _wrong_rows(ledger, heads, report)
    return report


def _wrong_with(entry: Entry, last: Entry | None) -> Iterator[str]:
    if entry.seq != (last.seq + 1 if last else 1) or entry.prev != (last.hash if last else ""):
        yield f"{_name(entry)} does not follow the entry before it"
    if entry.hash != entry_hash(entry.stream, entry.seq, entry.at, entry.kind, entry.text, entry.content, entry.prev):
        yield f"{_name(entry)} was changed: its hash is not that of what it says"
    if entry.data is not None and content_hash(entry.salt or "", entry.data) != entry.content:
        yield f"{_name(entry)} has contents that were changed"
    if (entry.data is None) != (entry.salt is None):
        yield f"{_name(entry)} has contents that were half erased"


class _Seals:
    """Follows the seals through the record in the order of writing."""

    def __init__(self) -> None:
        self._running, self._count, self._upto = hashlib.sha256(), 0, 0
        self._pending: list[tuple[int, str]] = []
        self.newest, self.hashes = "", list[str]()

    @property
    def waiting(self) -> int:
        """How many entries no seal covers yet, seals left out."""
        return sum(1 for _, hash_ in self._pending if hash_ != self.newest)

    def take(self, position: int, entry: Entry) -> Iterator[str]:
        """Takes the next entry; says what is wrong if it is a seal that does not hold."""
        if entry.stream == SEALS:
            yield from self._check(entry)
        self._pending.append((position, entry.hash))

    def _check(self, entry: Entry) -> Iterator[str]:
        body = entry.body
        last = self.newest
        covered = [h for position, h in self._pending if position <= body["upto"] and h != last]
        if len(covered) != body["count"] or hashlib.sha256("".join(covered).encode()).hexdigest() != body["digest"]:
            yield f"{_name(entry)} does not hold: an entry before it was removed, added or changed"
        self._pending = [(position, h) for position, h in self._pending if position > body["upto"] and h != last]
        self.newest = entry.hash
        self.hashes.append(entry.hash)


def _wrong_policies(ledger: Ledger) -> Iterator[str]:
    for version, document in ledger.policies():
        if hashlib.sha256(document.encode()).hexdigest() != version:
            yield f"policy {version[:12]} was changed: its hash is not that of its document"


def _wrong_rows(ledger: Ledger, heads: dict[str, Entry], report: Report) -> Iterator[str]:
    tickets = {stream for stream in heads if stream != SEALS}
    report.tickets = len(tickets)
    for row in ledger.all_rows():
        if row.id not in tickets:
            yield f"ticket {row.id[:12]} has a standing but no entries: they were removed"
            continue
        tickets.discard(row.id)
        yield from _wrong_row(ledger, row)
    for stream in sorted(tickets):
        yield f"ticket {stream[:12]} has entries but no standing"


def _wrong_row(ledger: Ledger, row: Row) -> Iterator[str]:
    history = ledger.history(row.id)
    if any(entry.erased for entry in history):
        return
    try:
        expected = to_row(law.recorded(history))
    except (KeyError, ValueError) as error:
        yield f"ticket {row.id[:12]} cannot be read: {error}"
        return
    if row != expected:
        yield f"ticket {row.id[:12]} stands as {row.standing}, but its entries say {expected.standing}"


def _name(entry: Entry) -> str:
    return f"entry {entry.stream[:12]}/{entry.seq} ({entry.kind})"

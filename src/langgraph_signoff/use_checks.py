"""A check of the record: whether grants and budgets have come to what their uses say, and each use is of a call that names it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from langgraph_signoff.entries import Entry, moment
from langgraph_signoff.errors import LedgerError
from langgraph_signoff.granting import to_row
from langgraph_signoff.law import budgets
from langgraph_signoff.law.grants import GRANT, read, wrong_steps
from langgraph_signoff.ledger import GrantQuery, GrantRow, Ledger


class UseChecks:
    """Compares the grants and budgets on record with the tickets that name them.

    `versions`: of the policies under which grants were given.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._uses: set[tuple[str, str]] = set()
        self.versions: set[str] = set()

    def check(self, streams: Collection[str]) -> Iterator[str]:
        """Says what is wrong with the grants and the budgets themselves; `streams`: those of the record."""
        for stream in streams:
            yield from self._wrong_grant(stream) if stream.startswith(GRANT) else self._wrong_budget(stream)
        for row in self._rows():
            if row.id not in streams and not self._ledger.history(row.id):
                yield f"{row.id:.18} stands among the grants, but has no entries: they were removed"

    def ticket(self, history: Sequence[Entry]) -> Iterator[str]:
        """Says so if a ticket names a grant or a budget that does not tell of it."""
        for stream in _named(history):
            use = stream, history[0].stream
            # It may have come since.
            if use not in self._uses and not self._ledger.is_used(*use):
                yield f"ticket {use[1]:.12} names {stream:.19}, whose entries do not say so"
            self._uses.discard(use)

    def strays(self) -> Iterator[str]:
        """Says which uses are of tickets that are not there, or do not name the grant or the budget."""
        for stream, ticket_id in sorted(self._uses):
            yield f"{stream:.19} was used by ticket {ticket_id:.12}, which is not there or does not say so"

    def _wrong_grant(self, stream: str) -> Iterator[str]:
        try:
            row, history = self._at_one_moment(stream)
            grant = read(history[0], history[-1], moment(history[-1].at))
            self.versions.add(history[0].body["policy_version"])
            wrong, expected = wrong_steps(history), to_row(grant, history[-1].seq)
            self._note(history)
        except LedgerError:
            raise
        except Exception as error:  # whatever a changed entry makes of its reader
            yield f"{stream:.18} cannot be read: {error!r}"
            return
        yield from (f"{stream:.18}: {text}" for text in wrong)
        if is_erased_unasked(history):
            yield f"{stream:.18} has lost contents, and no entry says who erased them and why"
        if row != expected:
            yield f"{stream:.18} is listed otherwise than its entries say"

    def _wrong_budget(self, stream: str) -> Iterator[str]:
        try:
            history = self._ledger.history(stream)
            wrong = budgets.wrong_steps(history)
            self._note(history)
        except LedgerError:
            raise
        except Exception as error:  # whatever a changed entry makes of its reader
            yield f"{stream:.19} cannot be read: {error!r}"
            return
        yield from (f"{stream:.19}: {text}" for text in wrong)

    def _note(self, history: Sequence[Entry]) -> None:
        self._uses |= {(entry.stream, entry.body["ticket"]) for entry in history if entry.kind == "used"}

    def _at_one_moment(self, stream: str) -> tuple[GrantRow | None, list[Entry]]:
        # Others may write between the two reads; both are of one moment when the row is still the same afterwards.
        rows = self._ledger.grants(GrantQuery(id=stream, standing=False))
        while True:
            history, again = self._ledger.history(stream), self._ledger.grants(GrantQuery(id=stream, standing=False))
            if again == rows:
                return next(iter(rows), None), history
            rows = again

    def _rows(self) -> Iterator[GrantRow]:
        query = GrantQuery(standing=False, limit=1000)
        while page := self._ledger.grants(query):
            yield from page
            query = replace(query, after=page[-1])


def is_erased_unasked(history: Sequence[Entry]) -> bool:
    """Whether contents are gone, and no entry after them says who erased them and why."""
    asked = max((place for place, entry in enumerate(history, start=1) if entry.kind == "erased"), default=0)
    return any(entry.erased for entry in history[asked:])


def is_used(stream: str) -> bool:
    """Whether a stream is that of a grant or of a budget."""
    return stream.startswith((GRANT, budgets.BUDGET))


def _named(history: Sequence[Entry]) -> Iterator[str]:
    """The grants and budgets that a ticket says it is a use of."""
    if granted := history[0].body["ruling"].get("granted"):
        yield granted["grant"]
    for entry in history:
        if entry.kind == "claimed":
            yield from entry.body.get("spends", ())

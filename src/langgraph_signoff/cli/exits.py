"""How a command ends: the exit codes, and which error gives which."""

from __future__ import annotations

from langgraph_signoff.errors import (
    DecisionRefused,
    GraphRefused,
    IncompleteDecision,
    LedgerCorrupt,
    LedgerError,
    PolicyError,
    SignoffError,
    StaleTicket,
    StillRunning,
    UnknownGrant,
    UnknownQuestion,
    UnknownThread,
    UnknownTicket,
)

NO, USAGE, UNKNOWN, LEDGER, BROKEN, BUSY = 1, 2, 3, 4, 5, 6

MEANINGS = {
    0: "done",
    NO: "no: the decision was not taken, or the run failed",
    USAGE: "the command line or a file it names is wrong",
    UNKNOWN: "no such ticket, thread or grant, or several begin so",
    LEDGER: "the ledger cannot be read or written",
    BROKEN: "the record is damaged",
    BUSY: "somebody else is at it and alive: try again later",
}


class Unusable(SignoffError):
    """Something that the command line names cannot be used; the message says what and why."""


# The first class that fits decides.
_CODES: list[tuple[type[SignoffError] | tuple[type[SignoffError], ...], int]] = [
    ((Unusable, IncompleteDecision, PolicyError, GraphRefused), USAGE),
    ((UnknownTicket, UnknownThread, UnknownQuestion, UnknownGrant), UNKNOWN),
    ((StillRunning, StaleTicket), BUSY),
    (DecisionRefused, NO),
    (LedgerCorrupt, BROKEN),
    (LedgerError, LEDGER),
    (SignoffError, NO),
]


def code_of(error: SignoffError) -> int:
    """The exit code of an error."""
    return next(code for kind, code in _CODES if isinstance(error, kind))

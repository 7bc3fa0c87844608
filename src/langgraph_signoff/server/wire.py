"""How tickets and errors of ours cross HTTP: so many at a time; its status, its words, and its name, by which it is found again."""

from __future__ import annotations

from typing import Literal

from langgraph_signoff import errors
from langgraph_signoff.durations import Duration
from langgraph_signoff.errors import (
    DecisionRefused,
    LedgerUnavailable,
    NotAllowedToDecide,
    NotWhatYouSaw,
    SignoffError,
    StaleTicket,
    StillRunning,
    TicketClosed,
    TicketTaken,
    UnknownThread,
    UnknownTicket,
)
from langgraph_signoff.vocabulary.base import Word

PAGE = 500
"""How many tickets come at once, at most."""


class Deed(Word):
    """What somebody does with a ticket before it is decided; each deed takes what the method of `Signoff` by its name takes."""

    does: Literal["take", "put_back", "assign", "extend", "request_info", "give_info"]
    to: str | None = None
    of: str = ""
    text: str = ""
    reason: str = ""
    span: Duration | None = None


# The first class that fits decides.
_STATUSES: list[tuple[type[SignoffError] | tuple[type[SignoffError], ...], int]] = [
    (NotAllowedToDecide, 403),
    ((UnknownTicket, UnknownThread), 404),
    ((TicketClosed, TicketTaken, NotWhatYouSaw, StaleTicket, StillRunning), 409),
    (DecisionRefused, 422),
    (LedgerUnavailable, 503),
    (SignoffError, 500),
]


def status_of(error: SignoffError) -> int:
    """The HTTP status of an error."""
    return next(status for kind, status in _STATUSES if isinstance(error, kind))


def to_body(error: SignoffError) -> dict[str, str]:
    """An error as the JSON of its response."""
    return {"detail": str(error), "error": type(error).__name__}


def to_error(body: object) -> SignoffError | None:
    """The error that a response's JSON tells; None if it is not one of ours."""
    name, detail = (body.get("error"), body.get("detail")) if isinstance(body, dict) else (None, None)
    kind = _KINDS.get(str(name))
    return kind(str(detail)) if kind else None


_KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, SignoffError) and kind.__init__ is Exception.__init__
}
_KINDS["StaleTicket"] = StillRunning

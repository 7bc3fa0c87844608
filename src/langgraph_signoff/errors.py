"""What can go wrong: one base class, one subclass for each thing a caller can do differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class SignoffError(Exception):
    """Base of every error this package raises on purpose."""


@dataclass(frozen=True)
class Mistake:
    """One mistake in a policy: `where` is a path such as `tools.send.rules.0.when`; line and column count from 1, 0 if unknown."""

    where: str
    message: str
    line: int = 0
    column: int = 0


class PolicyError(SignoffError):
    """The policy is wrong: mend the named places. Nothing of it was taken."""

    def __init__(self, source: str, mistakes: Sequence[Mistake]) -> None:
        lines = [
            f"{source}:{m.line}:{m.column} {m.where}: {m.message}" if m.line else f"{source}: {m.where}: {m.message}"
            for m in mistakes
        ]
        super().__init__("\n".join(lines))
        self.source, self.mistakes = source, tuple(mistakes)


class GraphRefused(SignoffError):
    """The graph cannot hold a gate as it is built: change what the message names."""


class Unidentified(SignoffError):
    """A call that needs a ticket cannot be named: it lacks a checkpointer, a thread id or a message id."""


class RepeatedKey(SignoffError):
    """A guarded node or task came to a key that was used before in its thread: give each run a key of its own."""


class ActionRefused(SignoffError):
    """A guarded task was not run, or nobody knows whether it was: `ticket_id` names the ticket, the message says why."""

    def __init__(self, message: str, ticket_id: str) -> None:
        super().__init__(message)
        self.ticket_id = ticket_id


class Unanswered(ActionRefused):
    """A question has got no answer: `standing` says why, such as `rejected`, `expired` or `denied`."""

    def __init__(self, message: str, ticket_id: str, standing: str) -> None:
        super().__init__(message, ticket_id)
        self.standing = standing


class UngatedCall(SignoffError):
    """A gated tool, a guarded node or a guarded task was called outside of its graph: let the graph run it."""


class UnknownTicket(SignoffError):
    """No ticket has this id, or several begin with it."""


class NotHalted(SignoffError):
    """A release names what nobody has halted."""


class UnknownThread(SignoffError):
    """The checkpointer holds no such thread; nothing was started."""


class UnknownQuestion(SignoffError):
    """An answer names an interrupt that the thread does not wait at, or one of ours, which only a decision answers."""


class StaleTicket(SignoffError):
    """Someone wrote first: read the ticket again."""

    def __init__(self, stream: str, seq: int) -> None:
        super().__init__(f"{stream} already has entry {seq}; read it again")
        self.stream, self.seq = stream, seq


class DecisionRefused(SignoffError):
    """A decision that the law does not take; the ticket is as it was."""


class NotAllowedToDecide(DecisionRefused):
    """This person may not decide this ticket."""


class TicketClosed(DecisionRefused):
    """The ticket no longer waits for this: it was decided, expired, or is being run."""


class WrongVerdict(DecisionRefused):
    """A ticket of this kind takes other verdicts: the message names them."""


class AnswerRefused(DecisionRefused):
    """The answer does not fit what was asked: mend the field that the message names."""


class NotWhatYouSaw(DecisionRefused):
    """The ticket changed since it was shown: show it again, then decide."""


class IncompleteDecision(DecisionRefused):
    """Something is missing in the decision: a name, a required reason, the digest of what was seen."""


class TooFast(DecisionRefused):
    """An approval by somebody who has not had it before them for as long as the policy wants: say it once more, it then counts."""


class TicketTaken(DecisionRefused):
    """Somebody else has this ticket in hand, or nobody has: the message says who and until when."""


class TogetherRefused(DecisionRefused):
    """These tickets are not decided together: the message says why, and what decides them."""


class LinkRefused(DecisionRefused):
    """A link of a message that is used, over, forged, somebody else's, or made before the ticket was changed."""


class RevisionRefused(DecisionRefused):
    """The edited arguments break the tool's schema, or the policy denies them, or no round is left."""


class GrantRefused(DecisionRefused):
    """A grant, or a word on one, that the law does not take; the message says why."""


class UnknownGrant(SignoffError):
    """No grant has this id, or several begin with it."""


class StillRunning(SignoffError):
    """Another runner holds this ticket or thread and is alive: try again later. Nothing was changed."""


class LedgerError(SignoffError):
    """The record cannot be read or written, so nothing runs."""


class LedgerUnavailable(LedgerError):
    """The ledger is locked, full, read-only or out of reach: mend that and try again."""


class LedgerCorrupt(LedgerError):
    """The ledger's file is damaged: restore it, `signoff verify` names the place."""


class LedgerVersion(LedgerError):
    """The ledger was written by a newer version of this package: upgrade the package."""

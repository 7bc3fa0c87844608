"""What stands behind the front door: the ledger, the desk, the claims and the policy, and how a ticket finds its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args

from langgraph_signoff import law
from langgraph_signoff.claims import Claims
from langgraph_signoff.desk import Clock, Desk, utc_now
from langgraph_signoff.errors import PolicyError
from langgraph_signoff.law import Case
from langgraph_signoff.leases import Leases
from langgraph_signoff.ledger import Ledger, open_ledger
from langgraph_signoff.planning import Plans
from langgraph_signoff.policy import Policy
from langgraph_signoff.vocabulary import Advisor, InboxSchema, Ruling, Ticket, Undoing

if TYPE_CHECKING:
    from langgraph.runtime import Runtime


class Office:
    """One ledger and one policy, with what works on them."""

    def __init__(
        self,
        ledger: str | os.PathLike[str] | Ledger,
        *,
        policy: str | os.PathLike[str] | Policy | None = None,
        requester: Callable[[Runtime[Any]], str | None] | None = None,
        advisors: Sequence[Advisor] = (),
        advice_within: float = 30.0,
        inbox_schema: InboxSchema = "langchain",
        clock: Clock = utc_now,
        lease: float = 10.0,
        wait: float = 15.0,
    ) -> None:
        self.ledger = open_ledger(os.fspath(ledger)) if isinstance(ledger, (str, os.PathLike)) else ledger
        self._given = policy
        self.requester = requester
        self._advisors, self._advice_within = tuple(advisors), advice_within
        if inbox_schema not in get_args(InboxSchema):
            raise ValueError(f"inbox_schema is {' or '.join(get_args(InboxSchema))}, not {inbox_schema!r}")
        self._inbox_schema = inbox_schema
        self._recorded: dict[str, Policy] = {}
        self.undoings: dict[str, Undoing] = {}
        self.reviews: set[str] = set()
        self.desk = Desk(self.ledger, clock=clock, timed=self._timed)
        self.leases = Leases(self.ledger, self.desk.clock, seconds=lease)
        self.claims = Claims(self.desk, self.leases, wait=wait)
        self.plans = Plans(self.desk)

    @cached_property
    def policy(self) -> Policy:
        """The policy in force. Raises PolicyError on first use if its file is wrong."""
        if isinstance(self._given, Policy):
            return self._given
        return Policy() if self._given is None else Policy.load(self._given)

    def people(self, ticket_id: str) -> law.People:
        """Whom the policy that judges a ticket knows, with their groups; None if it believes any name."""
        return self._people(self.desk.case(ticket_id))

    def _id(self, ticket: Ticket | str) -> str:
        if isinstance(ticket, Ticket):
            return ticket.id
        return ticket if len(ticket) == 32 else self.desk.find_id(ticket)

    def _policy_in_force(self) -> list[tuple[str, str]]:
        # Without a policy of its own, a Signoff rules by the one on record.
        return [(self.policy.version, self.policy.document)] if self._given is not None else []

    def _people(self, case: Case) -> law.People:
        return self._policy_for(case).people

    def _policy_for(self, case: Case) -> Policy:
        if self._given is not None:
            return self.policy
        return self._policy_of(case.ruling.policy_version)

    def _timed(self, ruling: Ruling, now: datetime) -> Ruling:
        if not ruling.requirements.business:
            return ruling
        # An outcome goes on record, whatever has become of the policy.
        with suppress(PolicyError, ValueError):
            return (self.policy if self._given is not None else self._policy_of(ruling.policy_version)).timed(
                ruling, now
            )
        return ruling

    def _policy_of(self, version: str) -> Policy:
        if version not in self._recorded:
            document = self.ledger.policy(version)
            self._recorded[version] = Policy.restore(document) if document else self.policy
        return self._recorded[version]

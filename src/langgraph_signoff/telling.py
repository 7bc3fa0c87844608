"""Telling people: what the outbox owes them, and the links that their messages carry."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from langgraph_signoff import law
from langgraph_signoff.decisions import Decisions, said
from langgraph_signoff.errors import IncompleteDecision, LinkRefused, TooFast
from langgraph_signoff.law import Case
from langgraph_signoff.ledger import Draft, Notice, stamp
from langgraph_signoff.links import Link, Signer
from langgraph_signoff.view import to_ticket
from langgraph_signoff.vocabulary import Answer, Delivery, Json, Reply, Ticket, Verdict

if TYPE_CHECKING:
    from langgraph_signoff.notify import Notifier

_SAYS = (*(verdict for verdict in Verdict if verdict is not Verdict.COMMENT), *Answer)


class Telling(Decisions):
    """Delivers notices, and takes decisions by link."""

    def deliver(self, environment: Mapping[str, str]) -> Delivery:
        """Sends every notice that is due by now through the channels of the policy; to be called again and again.

        `environment`: the values for what the policy names as `${NAME}`, such as `os.environ`. Any number of processes may
        deliver; a channel gets an event once, unless a deliverer died between sending and writing that down. A channel that
        takes no message is tried again later, ever more rarely, for three days. Raises LedgerError, and nothing else.
        """
        return self._notifier.deliver(environment)

    def notices(self, ticket: Ticket | str | None = None) -> list[Notice]:
        """The notices of a ticket: to whom what was told, or will be; without one those that nobody has got yet."""
        return self.ledger.notices(None if ticket is None else self._id(ticket))

    def try_again(self) -> int:
        """Has what was given up tried once more by the next delivery; how many notices that are."""
        now = stamp(self.desk.clock())
        found = [each for each in self.notices() if each.state == "given_up"]
        return sum(self.ledger.swap_notice(each, [replace(each, state="waiting", at=now)]) for each in found)

    # Links ------------------------------------------------------------------------------------------------------------

    def open_link(self, token: str) -> Ticket:
        """What a link is about, as it stands now; looking uses nothing up. Raises LinkRefused, which says why."""
        link = self._link(token)
        case = self.desk.case(link.ticket_id)
        self._check(link, case)
        return to_ticket(case)

    def decide_by_link(
        self,
        token: str,
        says: Verdict | Answer | str,
        *,
        reason: str = "",
        args: dict[str, Json] | None = None,
        value: Json = None,
        checked: Mapping[str, str] | None = None,
        read_for: timedelta | None = None,
    ) -> Ticket:
        """Decides as the person whom a link was sent to, on exactly what it showed them, and uses the link up with it.

        `says` and what follows it are those of a `Reply`. A decision that the law refuses leaves the link as it was. Raises
        LinkRefused, or the DecisionRefused that says why not.
        """
        link = self._link(token)
        if says not in _SAYS:
            raise IncompleteDecision(f"{says!r} decides nothing; say {', '.join(_SAYS)}")
        words = {"says": says, "reason": reason, "args": args, "checked": dict(checked or {}), "read_for": read_for}
        words |= {"value": value} if says in (Verdict.ANSWER, *Answer) else {}
        try:
            return self._decided_by(link, words)
        except TooFast:
            hasty = _reply(self.desk.case(link.ticket_id), words)
            self._note_haste({link.ticket_id: said(hasty, link.person)})
            raise

    def _decided_by(self, link: Link, words: Mapping[str, Json]) -> Ticket:
        speaker = self._speaker()

        def step(case: Case) -> list[Draft]:
            self._check(link, case)
            first, *others = self._step(_reply(case, words), link.person, speaker)(case)
            # In the entry itself: whoever comes second finds it, in whichever process.
            return [replace(first, body={**first.body, "link": link.name}), *others]

        policies = self._policy_in_force()
        return to_ticket(self.desk.write(link.ticket_id, step, policies=policies, ends=lambda: speaker.read))

    def _link(self, token: str) -> Link:
        if self.policy.links is None:
            raise LinkRefused("links are off; open the ticket where you decide others")
        return self._signer.read(token, now=self.desk.clock())

    def _check(self, link: Link, case: Case) -> None:
        used = next((e for e in self.desk.history(case.id) if e.body.get("link") == link.name), None)
        if used is not None:
            raise LinkRefused(f"this link was used at {used.at[:16]} UTC; ticket {case.id[:12]} is {case.standing}")
        if link.generation != case.generation or link.bound != self._signer.bound(case.digest):
            raise LinkRefused(
                f"ticket {case.id[:12]} has been changed since this link was sent; use that of the newer message"
            )
        deputies = self.desk.delegations().deputies(case, self.desk.clock())
        if problem := law.why_mute(case, link.person, self._people(case), deputies):
            raise LinkRefused(f"{link.person} may not decide ticket {case.id[:12]} now: {problem}")

    @cached_property
    def _signer(self) -> Signer:
        return Signer(self.ledger.secret() or self.ledger.keep_secret(secrets.token_bytes(32)))

    @cached_property
    def _notifier(self) -> Notifier:
        from langgraph_signoff.notify import Notifier

        return Notifier(self.desk, self.policy, self._signer)


def _reply(case: Case, words: Mapping[str, Json]) -> Reply:
    shown = {"ticket_id": case.id, "digest": case.digest, "generation": case.generation}
    return Reply.model_validate({**shown, **words})

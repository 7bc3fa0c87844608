"""What people say of calls to come: standing permissions and rejections, given, listed and revoked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import ValidationError

from langgraph_signoff import granting
from langgraph_signoff.durations import parse_duration
from langgraph_signoff.entries import Entry
from langgraph_signoff.errors import GrantRefused
from langgraph_signoff.granting import Effect
from langgraph_signoff.law.grants import Giver
from langgraph_signoff.ledger import GrantQuery, stamp
from langgraph_signoff.masking import Hush, mask
from langgraph_signoff.office import Office
from langgraph_signoff.vocabulary import Grant, Json, Terms, Ticket


class Grants(Office):
    """Gives, seconds, lists and revokes grants."""

    def grant(
        self,
        about: Ticket | str,
        *,
        by: str,
        reason: str,
        until: datetime | timedelta | str,
        effect: Effect = "allow",
        args: Mapping[str, Json] | None = None,
        when: str = "",
        agent: str | None = None,
        requester: str | None = None,
        resource: str | None = None,
        uses: int | None = None,
        total: Mapping[str, Any] | None = None,
        kind: Literal["tool", "node"] = "tool",
    ) -> Grant:
        """Lets calls run without asking, or with `effect="reject"` keeps them from running, until it ends or is revoked.

        `about`: a tool's name, with exact `args` or a CEL pattern (`when`) over args, actor, requester, thread and now; or a
        `Ticket`, for its arguments (or `when`) of its agent, requester and resource. `until`: a moment, or a span such as `30d`,
        at most 366d. `uses`: how many calls; `total`: what they may come to, as `{"sum": "args.amount", "limit": 500}`.

        It counts as the approval, or the rejection, of who gave it, and binds where that would be enough by itself: where the
        policy wants several people, the others `second` it. The policy's denials, its `always_ask` and a standing rejection come
        before it. Raises GrantRefused, NotAllowedToDecide, IncompleteDecision.
        """
        scope = {"agent": agent, "requester": requester, "resource": resource, "kind": kind, "args": args}
        limits = {"when": when, "uses": uses, "total": total, "until": until}
        if isinstance(about, Ticket):
            if any(value is not None for value in (agent, requester, resource, args)):
                raise GrantRefused(
                    "a ticket says itself of whom and with which arguments; name the tool to say otherwise"
                )
            entry = self._given_with(about.id, limits, effect, Giver(by.strip(), reason, about.id))
        else:
            terms = self._terms({"tool": about, **scope, **limits})
            entry = granting.given(self.desk, terms, effect, Giver(by.strip(), reason), self.policy)
        return self._put(entry)

    def second(self, grant: Grant | str, *, by: str) -> Grant:
        """Gives a grant as well: it counts as one more person's word. Raises GrantRefused, NotAllowedToDecide, UnknownGrant."""
        return _shown(granting.second(self.desk, self._grant_id(grant), by=by.strip(), policy=self.policy))

    def revoke(self, grant: Grant | str, *, by: str, reason: str = "") -> Grant:
        """Ends a grant at once: what has begun on it finishes, every later call is ruled without it. Anybody known may."""
        people = self.policy.people
        return _shown(granting.revoke(self.desk, self._grant_id(grant), by=by.strip(), reason=reason, people=people))

    def grants(self, *, tool: str | None = None, ended: bool = False, limit: int = 50) -> list[Grant]:
        """The grants that stand, what ends first first; with `ended` also those that do no more. Secret arguments are masked."""
        now = None if ended else stamp(self.desk.clock())
        query = GrantQuery(tool=tool, standing=not ended, until_after=now, limit=limit)
        return [_shown(grant) for grant in granting.find(self.desk, query)]

    def erase_grant(self, grant: Grant | str, *, by: str, reason: str) -> Grant:
        """Erases what a grant that holds no more was about: arguments, pattern, words. That it was, who used it and who erased it stays."""
        return granting.erase(self.desk, self._grant_id(grant), by=by.strip(), reason=reason.strip())

    def _given_with(self, ticket_id: str, limits: Mapping[str, Any], effect: Effect, giver: Giver) -> Entry:
        """The first entry of a grant given with a ticket, not written yet."""
        case = self.desk.case(ticket_id)
        if case.erased:
            raise GrantRefused(f"what ticket {case.id[:12]} was about has been erased; name the tool and its arguments")
        scope = {key: case.opening[key] for key in ("tool", "kind", "agent", "requester")}
        exact = None if limits.get("when") else case.parsed
        terms = self._terms({**scope, "resource": case.action.get("resource"), "args": exact, **limits})
        return granting.given(self.desk, terms, effect, giver, self._policy_for(case))

    def _put(self, entry: Entry) -> Grant:
        # Where no policy is given, the one that judges a ticket is on record.
        own = [(self.policy.version, self.policy.document)]
        return _shown(granting.put(self.desk, entry, [each for each in own if each[0] == entry.body["policy_version"]]))

    def _terms(self, words: Mapping[str, Any]) -> Terms:
        try:
            return Terms.model_validate({**words, "until": self._moment(words.get("until"))})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise GrantRefused(f"{where}: {first['msg']}") from error

    def _moment(self, until: Any) -> datetime:
        if isinstance(until, datetime):
            return until
        try:
            return self.desk.clock() + parse_duration(until)
        except (ValueError, OverflowError) as error:
            raise GrantRefused(f"until: {error}; or give a moment with its time zone") from error

    def _grant_id(self, grant: Grant | str) -> str:
        return grant.id if isinstance(grant, Grant) else granting.find_id(self.ledger, grant)


def _shown(grant: Grant) -> Grant:
    hush = Hush([grant.args or {}], grant.redact)
    args = None if grant.args is None else dict(mask(grant.args, grant.redact))
    told = {key: hush(getattr(grant, key)) for key in ("reason", "resource", "ended")}
    return grant.model_copy(update={"args": args, **told})

"""Grants at work: given, found, used together with the calls they let through or keep back, and ended."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Literal

from langgraph_signoff.canonical import digest
from langgraph_signoff.desk import Beside, Desk
from langgraph_signoff.errors import GrantRefused, LedgerCorrupt, StaleTicket, UnknownGrant
from langgraph_signoff.law import Case, People
from langgraph_signoff.law import grants as law
from langgraph_signoff.law.grants import Giver
from langgraph_signoff.ledger import Draft, Entry, GrantQuery, GrantRow, Ledger, link, stamp
from langgraph_signoff.policy import Policy
from langgraph_signoff.policy.expressions import BadExpression
from langgraph_signoff.policy.patterns import Doubt, amount, amount_of, fits, pattern
from langgraph_signoff.records import Opening
from langgraph_signoff.vocabulary import (
    GRANTED,
    OVER_BUDGET,
    STANDING_REJECTION,
    Action,
    Counts,
    Grant,
    Granted,
    Ruling,
    Terms,
)

_MOST_READS = 100  # how often one word is looked at again when others keep using its grant
_PAGE = 500

Effect = Literal["allow", "reject"]


def to_row(grant: Grant, seq: int) -> GrantRow:
    """Where a grant stands, for finding it: derived from its entries alone, so that it can be rebuilt."""
    exact = "" if grant.args is None else digest("", grant.args)
    # What the clock alone ends is no word of the record.
    ended = not grant.stands
    return GrantRow(grant.id, grant.tool, exact, stamp(grant.until), ended, seq)


# Giving and ending --------------------------------------------------------------------------------------------------------


def given(desk: Desk, terms: Terms, effect: Effect, giver: Giver, policy: Policy) -> Entry:
    """The first entry of a new grant, not written yet. Raises a DecisionRefused that says why not."""
    _compile(terms, effect)
    now = desk.clock()
    reviews = _reviews(policy, terms, desk)
    draft = law.give(terms, effect, giver, reviews=reviews, people=policy.people, now=now)
    [entry] = link(f"{law.GRANT}{secrets.token_hex(16)}", None, [draft], now)
    return entry


def put(desk: Desk, entry: Entry, policies: Iterable[tuple[str, str]]) -> Grant:
    """Writes a grant; `policies` (version, document) are those that it names."""
    grant = law.read(entry, entry, desk.clock())
    desk.ledger.append([entry], policies=policies, grants=[to_row(grant, entry.seq)])
    return grant


def _compile(terms: Terms, effect: Effect) -> None:
    try:
        reads = pattern(terms.when).variables if terms.when else {"args"}
        if terms.total:
            amount(terms.total.sum)
        digest("", terms.args or {})
    except BadExpression as error:
        raise GrantRefused(f"this is no expression for a grant: {error}") from error
    except (TypeError, RecursionError) as error:
        raise GrantRefused(f"these are no arguments of a call: {error}") from error
    if effect == "allow" and "args" not in reads:
        raise GrantRefused("the pattern would permit any arguments; let it say of args.NAME what they must be")


def _reviews(policy: Policy, terms: Terms, desk: Desk) -> Sequence[Ruling]:
    """How such calls are reviewed: the one call that it describes, or else whichever its tool's rules put before people."""
    if terms.args is not None:
        ruling = policy.rule(_as_call(terms), now=desk.clock(), history=Counts())
        if ruling.mode == "deny":
            raise GrantRefused(f"the policy denies this call ({ruling.reason_code}), whatever is granted")
        if ruling.mode == "review":
            return [ruling]
    return policy.reviews(terms.tool, kind=terms.kind)


def _as_call(terms: Terms) -> Action:
    args = terms.args or {}
    about = {"requester": terms.requester, "resource": terms.resource, "agent": terms.agent or ""}
    named = {"thread_id": "", "proposal": "", "kind": terms.kind, "tool": terms.tool}
    return Action.model_validate({**named, **about, "args": args, "parsed": args, "digest": digest(terms.tool, args)})


def second(desk: Desk, grant_id: str, *, by: str, policy: Policy) -> Grant:
    """Puts on record that one more person gives a grant."""

    def step(grant: Grant) -> list[Draft]:
        return [law.second(grant, by=by, reviews=_reviews(policy, grant, desk), people=policy.people)]

    return _write(desk, grant_id, step)


def revoke(desk: Desk, grant_id: str, *, by: str, reason: str, people: People) -> Grant:
    """Ends a grant at once: what has begun on it finishes, every later call is ruled without it."""
    return _write(desk, grant_id, lambda grant: [law.revoke(grant, by=by, reason=reason, people=people)])


def erase(desk: Desk, grant_id: str, *, by: str, reason: str) -> Grant:
    """Erases what a grant that holds no more was about, for good; who did it and why stays."""
    for _ in range(_MOST_READS):
        grant, first, last = _one(desk, grant_id)
        [entry] = link(grant_id, last, [law.erase(grant, by=by, reason=reason)], desk.clock())
        erased = law.read(first.without_contents(), entry, desk.clock())
        with suppress(StaleTicket):
            desk.ledger.erase(entry, to_row(erased, entry.seq))
            return erased
    raise StaleTicket(grant_id, entry.seq)


def run_out(desk: Desk) -> None:
    """Writes down which grants are over by now. Idempotent.

    A grant that cannot be read keeps no other from its end: LedgerCorrupt is raised after all of them.
    """
    damage: LedgerCorrupt | None = None
    query = GrantQuery(until_before=stamp(desk.clock()), limit=_PAGE)
    while rows := desk.ledger.grants(query):
        for row in rows:
            try:
                _write(desk, row.id, lambda grant: law.run_out(grant, desk.clock()))
            except UnknownGrant as error:
                damage = damage or LedgerCorrupt(f"{error}, but it is listed")
            except LedgerCorrupt as error:
                damage = damage or error
        query = replace(query, after=rows[-1])
    if damage:
        raise damage


def _write(desk: Desk, grant_id: str, step: Callable[[Grant], list[Draft]]) -> Grant:
    for _ in range(_MOST_READS):
        grant, first, last = _one(desk, grant_id)
        entries = link(grant_id, last, step(grant), desk.clock())
        if not entries:
            return grant
        after = law.read(first, entries[-1], desk.clock())
        with suppress(StaleTicket):
            desk.ledger.append(entries, grants=[to_row(after, entries[-1].seq)])
            return after
    raise StaleTicket(grant_id, last.seq + 1)


def _one(desk: Desk, grant_id: str) -> tuple[Grant, Entry, Entry]:
    """A grant as it stands now, its first entry and its last. Raises UnknownGrant."""
    found = read(desk, [grant_id]).get(grant_id)
    if found is None:
        raise UnknownGrant(f"there is no grant {grant_id!r}; `signoff grants` shows the ids")
    return found


# Finding ------------------------------------------------------------------------------------------------------------------


def read(desk: Desk, ids: Sequence[str]) -> dict[str, tuple[Grant, Entry, Entry]]:
    """Grants as they stand now, by id, each with its first entry and its last. Raises LedgerCorrupt for one that cannot be read."""
    now = desk.clock()
    try:
        entries = desk.ledger.first_and_last(ids)
        return {
            id_: (law.read(first, last, now), first, last)
            for id_, (first, last) in entries.items()
            if first.kind == "granted"
        }
    except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        raise LedgerCorrupt(f"a grant of {ids} cannot be read; `signoff verify` names what was changed") from error


def find(desk: Desk, query: GrantQuery) -> list[Grant]:
    """The grants that a query describes, as they stand now."""
    rows = desk.ledger.grants(query)
    found = read(desk, [row.id for row in rows])
    return [found[row.id][0] for row in rows if row.id in found]


def find_id(ledger: Ledger, prefix: str) -> str:
    """The one grant whose id begins so, with or without `grant-`. Raises UnknownGrant if there is none, or more than one."""
    begin = prefix if prefix.startswith(law.GRANT) else law.GRANT + prefix
    ids = ledger.grant_ids(begin) if begin.isascii() and prefix else []
    if len(ids) != 1:
        problem = "several grants begin with" if ids else "there is no grant"
        raise UnknownGrant(f"{problem} {prefix!r}; `signoff grants` shows the ids")
    return ids[0]


def _about(desk: Desk, action: Action) -> dict[str, tuple[Grant, Entry, Entry]]:
    """What stands for the tool of an action, whatever else it says: exact arguments are those of this call."""
    now = stamp(desk.clock())
    query = GrantQuery(tool=action.tool, digest=digest("", action.parsed), until_after=now, limit=_PAGE)
    rows = page = desk.ledger.grants(query)
    while len(page) == _PAGE:
        page = desk.ledger.grants(replace(query, after=page[-1]))
        rows = rows + page
    return read(desk, [row.id for row in rows])


# Using --------------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class GrantShelf:
    """The grants about some calls, as one message finds them, and what its calls take of them."""

    desk: Desk
    people: People
    _found: dict[str, tuple[Grant, Entry, Entry]] = field(default_factory=dict)
    _now: dict[str, Grant] = field(default_factory=dict)
    _amounts: dict[str, Decimal] = field(default_factory=dict)
    _unsure: set[str] = field(default_factory=set)

    @property
    def streams(self) -> frozenset[str]:
        """The grants that were read."""
        return frozenset(self._found)

    def rejected(self, opening: Opening) -> Opening:
        """The opening as it is, or denied if people reject such calls."""
        if not _is_asked(opening.ruling) or opening.action.kind not in ("tool", "node"):
            return opening
        for id_, found in _about(self.desk, opening.action).items():
            if id_ not in self._found:
                self._found[id_], self._now[id_] = found, found[0]
        for grant in self._binding("reject", opening):
            ruling = opening.ruling.model_copy(
                update={
                    "mode": "deny",
                    "reason_code": STANDING_REJECTION,
                    "granted": _granted(grant),
                    "at_the_end": False,
                }
            )
            self._take(grant, opening, Decimal(0))
            return replace(opening, ruling=ruling, why=grant.reason)
        return opening

    def permitted(self, opening: Opening) -> Opening:
        """The opening as it is, or let through if people permit such calls."""
        # Doubt means a person: an advisor's, the policy's own, or whether such calls are rejected. So does what is too much.
        is_doubted = opening.doubted or opening.ruling.reason_code in ("policy_error", OVER_BUDGET)
        is_doubted = is_doubted or opening.id in self._unsure
        if opening.ruling.mode != "review" or is_doubted or not _is_proposed(opening.action):
            return opening
        for grant in self._binding("allow", opening):
            amount = self._amount(grant, opening.action)
            if amount is None or not law.has_room(grant, amount):
                continue
            ruling = opening.ruling.model_copy(
                update={"mode": "allow", "once": True, "reason_code": GRANTED, "granted": _granted(grant)}
            )
            self._take(grant, opening, amount)
            return replace(opening, ruling=ruling)
        return opening

    def uses(self, opened: Sequence[Opening]) -> Beside:
        """What is written into the grants' streams for those that are being opened."""
        beside = Beside([], [], [], [])
        for id_, (grant, _, last) in self._found.items():
            drafts = []
            for opening in opened:
                if opening.ruling.granted and opening.ruling.granted.grant == id_:
                    grant = law.taken(grant, self._amounts[opening.id])
                    drafts.append(law.used(grant, opening.id, self._amounts[opening.id]))
            if drafts:
                entries = link(id_, last, drafts, self.desk.clock())
                beside.entries.extend(entries)
                beside.grants.append(to_row(grant, entries[-1].seq))
        return beside

    def _binding(self, effect: Effect, opening: Opening) -> Iterator[Grant]:
        action, ruling, now = opening.action, opening.ruling, self.desk.clock()
        for grant in sorted(self._now.values(), key=lambda grant: (grant.until, grant.id)):
            if grant.effect != effect:
                continue
            if not law.binds(grant, ruling, people=self.people, requester=action.requester):
                continue
            try:
                if law.covers(grant, action, lambda text, call: fits(text, call, now)):
                    yield grant
            except Doubt:
                self._unsure.update([opening.id] if effect == "reject" else [])

    def _amount(self, grant: Grant, action: Action) -> Decimal | None:
        try:
            return amount_of(grant.total.sum, action, self.desk.clock()) if grant.total else Decimal(0)
        except Doubt:
            return None

    def _take(self, grant: Grant, opening: Opening, amount: Decimal) -> None:
        self._now[grant.id] = law.taken(grant, amount)
        self._amounts[opening.id] = amount


def _is_asked(ruling: Ruling) -> bool:
    # Also if people are asked with the outcome of the run only.
    return ruling.mode == "review" or ruling.at_the_end


def _is_proposed(action: Action) -> bool:
    # What a flag or a rollback sets off is no call that an agent proposes.
    return action.kind == "node" or (action.kind == "tool" and bool(action.call_id))


def _granted(grant: Grant) -> Granted:
    return Granted(grant=grant.id, by=grant.given_by, until=grant.until)


def still_permits(desk: Desk, case: Case) -> dict[str, int] | None:
    """The number of the last entry of the grant on which a call rests; None if it permits the call no more.

    A call was a use of it when it was opened. Until it starts the grant may have ended, or people may have come to reject such
    calls; who did before was heard then.
    """
    granted = case.ruling.granted
    assert granted is not None, "only asked of a call that rests on a grant"
    found = read(desk, [granted.grant]).get(granted.grant)
    if found is None or found[0].ended or not desk.ledger.is_used(granted.grant, case.id):
        return None
    action, now = case.to_action().model_copy(update={"parsed": case.parsed}), desk.clock()
    try:
        if any(
            other.effect == "reject"
            and other.is_backed
            and other.at >= case.opened_at
            and law.covers(other, action, lambda text, call: fits(text, call, now))
            for other, *_ in _about(desk, action).values()
        ):
            return None
    except Doubt:
        return None
    return {granted.grant: found[2].seq}

"""Grants: which calls a standing permission or rejection is about, who may give one, and when it ends. Pure.

Each entry of a grant after its first carries what the grant has come to by then, so that the first and the last tell all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from langgraph_signoff.canonical import digest
from langgraph_signoff.durations import format_duration
from langgraph_signoff.entries import Draft, Entry, moment, stamp
from langgraph_signoff.errors import GrantRefused, IncompleteDecision, NotAllowedToDecide
from langgraph_signoff.law.case import Involved
from langgraph_signoff.law.eligibility import People, unknown, voice_of, why_not
from langgraph_signoff.panels import is_met
from langgraph_signoff.vocabulary import Action, Grant, Requirements, Ruling, Terms, Total
from langgraph_signoff.vocabulary.base import plain

GRANT = "grant-"
"""What the stream of a grant begins with; no ticket's does."""

LONGEST = timedelta(days=366)
LONGEST_AT_HIGH_STAKES = timedelta(days=31)

Fits = Callable[[str, Action], bool]
"""Whether a pattern fits an action; raises if it cannot say."""


@dataclass(frozen=True, slots=True)
class Giver:
    """Somebody who gives a grant, why, and with which ticket if with one."""

    by: str
    reason: str
    ticket: str = ""


# Giving -------------------------------------------------------------------------------------------------------------------


def give(
    terms: Terms,
    effect: Literal["allow", "reject"],
    giver: Giver,
    *,
    reviews: Sequence[Ruling],
    people: People,
    now: datetime,
) -> Draft:
    """The first entry of a grant. `reviews`: how the policy reviews its calls, as it is. Raises GrantRefused and its like."""
    _worded(terms, giver)
    _ending(terms, now)
    asked = [ruling for ruling in reviews if effect == "reject" or not wants_each(ruling)]
    if not asked:
        each = f"the policy wants a person's look at each such call of {terms.tool}: always_ask, checklist or read_for"
        raise GrantRefused(each if reviews else _UNASKED)
    if effect == "allow":
        _bounded(terms, asked, now)
    redact = tuple(dict.fromkeys(path for ruling in reviews for path in ruling.redact))
    _showing(terms, redact)
    body = {
        **terms.model_dump(mode="json", exclude={"args", "when", "resource", "until", "total"}),
        "until": stamp(terms.until),
        "total": terms.total and {"sum": terms.total.sum, "limit": str(terms.total.limit)},
        "effect": effect,
        "by": giver.by,
        "ticket": giver.ticket,
        "redact": redact,
        "policy_version": asked[0].policy_version,
        "is_backed": _may_give([giver.by], effect, asked, people, terms.requester),
    }
    return Draft("granted", body, {**terms.model_dump(include={"args", "when", "resource"}), "reason": giver.reason})


_UNASKED = "the policy puts no such call before a person: there is nothing to grant, and nothing to reject"


def second(grant: Grant, *, by: str, reviews: Sequence[Ruling], people: People) -> Draft:
    """What one more person adds who gives a grant: it then counts as theirs too. Raises GrantRefused, NotAllowedToDecide."""
    _standing(grant)
    if by in grant.given_by:
        raise GrantRefused(f"{by} has already given {grant.id}; it waits for somebody else")
    asked = [ruling for ruling in reviews if grant.effect == "reject" or not wants_each(ruling)]
    givers = [*grant.given_by, by]
    backed = _may_give(givers, grant.effect, asked, people, grant.requester)
    return Draft("seconded", {**_state(grant), "by": by, "givers": givers, "is_backed": backed})


def _worded(terms: Terms, giver: Giver) -> None:
    if not giver.by.strip() or not giver.reason.strip():
        raise IncompleteDecision("a grant needs a name and a reason: it outlasts what anybody remembers")
    if (terms.args is None) != bool(terms.when.strip()):
        raise GrantRefused(
            "a grant is for exact arguments (args=) or for a pattern of them (when=), and for one of the two"
        )


def _ending(terms: Terms, now: datetime) -> None:
    if terms.until <= now:
        raise GrantRefused(f"it would have ended at {stamp(terms.until)}; say until when it is to hold")
    if terms.until > now + LONGEST:
        raise GrantRefused(f"it would hold longer than {format_duration(LONGEST)}; give it anew then")


def _bounded(terms: Terms, reviews: Sequence[Ruling], now: datetime) -> None:
    is_high = any(ruling.risk.stakes == "high" for ruling in reviews)
    if is_high and not (_is_counted(terms) and terms.until <= now + LONGEST_AT_HIGH_STAKES):
        longest = format_duration(LONGEST_AT_HIGH_STAKES)
        raise GrantRefused(f"{terms.tool} has high stakes: say how many uses or which total, and at most {longest}")


def _showing(terms: Terms, redact: Sequence[str]) -> None:
    # Exact arguments are masked where they are shown; an expression is shown as it is.
    secrets = {path.split(".")[0] for path in redact}
    written = f"{terms.when} {terms.total.sum if terms.total else ''}"
    if found := sorted(name for name in secrets if name == "*" or name in written):
        raise GrantRefused(
            f"{', '.join(found)} is redacted, and the expression would show it; give the exact arguments"
        )


def _may_give(
    givers: Sequence[str], effect: str, reviews: Sequence[Ruling], people: People, requester: str | None
) -> bool:
    """Whether they are enough for some of these calls. Raises NotAllowedToDecide if the last one may decide none of them."""
    involved = Involved(requester)
    problems = [why_not(r.requirements, by=givers[-1], people=people, involved=involved) for r in reviews]
    if not problems or all(problems):
        raise NotAllowedToDecide(f"{givers[-1]} may not decide such calls: {next(iter(problems), 'nobody is asked')}")
    return any(_is_enough(givers, effect, ruling.requirements, people, involved) for ruling in reviews)


def _is_enough(givers: Sequence[str], effect: str, needs: Requirements, people: People, involved: Involved) -> bool:
    may = [by for by in givers if not why_not(needs, by=by, people=people, involved=involved)]
    if effect == "reject":
        return len(may) >= needs.rejections
    voices = [voice_of(by, people) for by in may]
    return len(may) >= needs.approvals and all(is_met(panel, voices) for panel in needs.panels)


def wants_each(ruling: Ruling) -> bool:
    """Whether the policy wants a person's look at each such call."""
    # What is asked about a call cannot be answered before there is one.
    needs = ruling.requirements
    return ruling.always_ask or bool(needs.checklist) or needs.read_for is not None


def _is_counted(terms: Terms) -> bool:
    return terms.uses is not None or terms.total is not None


# Using --------------------------------------------------------------------------------------------------------------------


def covers(grant: Grant, action: Action, fits: Fits) -> bool:
    """Whether a call is one of those that a grant is about. Raises what `fits` raises."""
    if (grant.kind, grant.tool) != (action.kind, action.tool):
        return False
    asked = ((grant.agent, action.agent), (grant.requester, action.requester), (grant.resource, action.resource))
    if any(wanted is not None and wanted != given for wanted, given in asked):
        return False
    if grant.args is not None:
        return digest("", grant.args) == digest("", action.parsed)
    return bool(grant.when) and fits(grant.when, action)


def binds(grant: Grant, ruling: Ruling, *, people: People, requester: str | None) -> bool:
    """Whether a grant may speak for people on a call that is ruled so: given by those who could decide it by themselves now.

    A permission moreover only where the policy does not want a look at each call, and at high stakes only if it is counted and
    short.
    """
    is_asked = ruling.mode == "review" or (ruling.at_the_end and grant.effect == "reject")
    if not is_asked or not grant.stands:
        return False
    if not _is_enough(grant.given_by, grant.effect, ruling.requirements, people, Involved(requester)):
        return False
    if grant.effect == "reject":
        return True
    is_bounded = _is_counted(grant) and grant.until <= grant.at + LONGEST_AT_HIGH_STAKES
    return not wants_each(ruling) and (ruling.risk.stakes != "high" or is_bounded)


def has_room(grant: Grant, amount: Decimal) -> bool:
    """Whether one more call of this amount is within what a grant permits."""
    return grant.stands and (grant.total is None or grant.spent + amount <= grant.total.limit)


def taken(grant: Grant, amount: Decimal) -> Grant:
    """The grant after one more use."""
    return grant.model_copy(update={"used": grant.used + 1, "spent": grant.spent + amount})


def used(grant: Grant, ticket_id: str, amount: Decimal) -> Draft:
    """What one use adds to a grant as it is `taken`."""
    return Draft("used", {**_state(grant), "ticket": ticket_id, "amount": plain(amount)})


# Ending -------------------------------------------------------------------------------------------------------------------


def revoke(grant: Grant, *, by: str, reason: str, people: People) -> Draft:
    """What ends a grant at once: anybody whom the policy knows may. Raises GrantRefused if it has ended."""
    if not by.strip():
        raise IncompleteDecision("to revoke a grant takes a name: give by=")
    if people is not None and by not in people:
        raise NotAllowedToDecide(unknown(by, people))
    if grant.ended:
        raise GrantRefused(f"{grant.id} holds no more: {grant.ended}")
    return Draft("revoked", {**_state(grant), "by": by}, {"reason": reason})


def run_out(grant: Grant, now: datetime) -> list[Draft]:
    """What the clock adds to a grant whose time is over, so that no later clock brings it back."""
    return [Draft("ended", _state(grant))] if grant.ended == _OVER and now >= grant.until else []


def erase(grant: Grant, *, by: str, reason: str) -> Draft:
    """What erasing adds: who and why, which stay. Raises GrantRefused for a grant that still holds."""
    if not by.strip() or not reason.strip():
        raise IncompleteDecision("an erasure needs a name and a reason")
    if grant.stands:
        raise GrantRefused(f"{grant.id} still holds; revoke it, then erase it")
    return Draft("erased", {**_state(grant), "by": by, "reason": reason})


def _standing(grant: Grant) -> None:
    if not grant.stands:
        raise GrantRefused(f"{grant.id} holds no more: {grant.ended or 'it is used up'}")


# Reading ------------------------------------------------------------------------------------------------------------------


def read(first: Entry, last: Entry, now: datetime) -> Grant:
    """A grant as it stands at `now`, from the first and the last entry of its stream; a clock that jumps back revives none."""
    body, contents = first.body, first.contents
    state = last.body if last.seq > 1 else _FRESH | {"givers": [body["by"]], "is_backed": body["is_backed"]}
    total = body["total"]
    grant = Grant(
        id=first.stream,
        **{key: body[key] for key in ("tool", "kind", "effect", "agent", "requester", "uses", "redact", "ticket")},
        **{key: contents[key] for key in ("args", "when", "resource") if key in contents},
        reason=contents.get("reason", ""),
        until=moment(body["until"]),
        total=Total(sum=total["sum"], limit=Decimal(total["limit"])) if total else None,
        at=moment(first.at),
        given_by=state["givers"],
        is_backed=state["is_backed"],
        used=state["used"],
        spent=Decimal(state["spent"]),
    )
    return grant.model_copy(update={"ended": _ended(grant, first, last, max(now, moment(last.at)))})


_FRESH: dict[str, Any] = {"used": 0, "spent": "0"}
_OVER = "its time is over"


def _state(grant: Grant) -> dict[str, Any]:
    return {
        "used": grant.used,
        "spent": plain(grant.spent),
        "givers": list(grant.given_by),
        "is_backed": grant.is_backed,
    }


def _ended(grant: Grant, first: Entry, last: Entry, now: datetime) -> str:
    if last.kind == "revoked":
        why = last.contents.get("reason", "")
        return f"revoked by {last.body['by']}" + (f": {why}" if why else "")
    if last.kind == "erased" or first.erased:
        told = last.body if last.kind == "erased" else {"by": "nobody who is on record", "reason": "unknown"}
        return f"erased by {told['by']}: {told['reason']}"
    return _OVER if last.kind == "ended" or now >= grant.until else ""


def wrong_steps(history: Sequence[Entry]) -> list[str]:
    """What the entries of a grant say of what it has come to that the one before it contradicts, in sentences."""
    found, before = [], read(history[0], history[0], moment(history[0].at))
    for entry in history[1:]:
        after = read(history[0], entry, moment(entry.at))
        expected = taken(before, Decimal(entry.body["amount"])) if entry.kind == "used" else before
        givers = [*before.given_by, entry.body["by"]] if entry.kind == "seconded" else list(before.given_by)
        if (after.used, after.spent, list(after.given_by)) != (expected.used, expected.spent, givers):
            found.append(f"entry {entry.seq} ({entry.kind}) counts otherwise than the entry before it")
        if entry.kind == "used" and not has_room(before, Decimal(entry.body["amount"])):
            found.append(f"entry {entry.seq} is a use that it did not have")
        before = after
    return found

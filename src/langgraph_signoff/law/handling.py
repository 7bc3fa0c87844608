"""Who has a ticket in hand: taken for a while, put back, assigned; and more time for it. It keeps nobody from deciding. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from langgraph_signoff.canonical import sha256
from langgraph_signoff.entries import Draft, stamp
from langgraph_signoff.errors import IncompleteDecision, NotAllowedToDecide, TicketClosed, TicketTaken
from langgraph_signoff.law.case import Case
from langgraph_signoff.law.eligibility import People, awaits, cannot, is_one_of, spoken_by
from langgraph_signoff.vocabulary import Standing

_WAITS = (Standing.PENDING, Standing.IN_DOUBT, Standing.UNDER_AUDIT)


def take(case: Case, *, by: str, people: People, now: datetime, behalf: str = "") -> list[Draft]:
    """Takes a ticket in hand for as long as its policy says, so that nobody else reads it meanwhile; taken again, for as long
    again. `behalf`: for whom they stand in. Raises TicketTaken where it is another's.
    """
    _waits(case)
    _may(case, behalf or by, people)
    if case.taker not in (None, by) and now < until(case):
        raise TicketTaken(f"{case.taker} has taken ticket {case.id[:12]} until {stamp(until(case))[:16]} UTC")
    if case.assignee not in (None, by, behalf):
        raise TicketTaken(f"ticket {case.id[:12]} is assigned to {case.assignee}; have it reassigned to take it")
    return [Draft("taken", {**spoken_by(by, behalf), "until": stamp(now + case.requirements.take_for)})]


def put_back(case: Case, *, by: str) -> list[Draft]:
    """Gives a ticket out of hand: what one has taken, or was assigned. Raises TicketTaken where it is another's."""
    _waits(case)
    if by not in (case.taker, case.assignee):
        whose = case.taker or case.assignee
        raise TicketTaken(f"{by} does not have ticket {case.id[:12]} in hand; {whose or 'nobody'} has")
    return [Draft("put_back", {"by": by})]


def assign(case: Case, *, by: str, to: str, reason: str, people: People) -> list[Draft]:
    """Gives a ticket to somebody who may decide it, whoever had it before: by one who may too, the owner or a backup.

    Raises NotAllowedToDecide.
    """
    _waits(case)
    needs = case.requirements
    is_in_charge = by == needs.owner or is_one_of(by, needs.backup, people)
    if not is_in_charge:
        _may(case, by, people)
    if not to.strip():
        raise IncompleteDecision("an assignment needs a name: give to=")
    _may(case, to, people)
    if to == case.assignee:
        raise TicketTaken(f"ticket {case.id[:12]} is assigned to {to} already")
    return [Draft("assigned", {"by": by, "to": to}, {"reason": reason} if reason else {})]


def suggest(case: Case, people: People, loads: Mapping[str, int], *, away: Collection[str] = ()) -> str:
    """Who has least in hand of those whose word a ticket waits for; among equals another one for each ticket.

    Who is `away` only where there is nobody else: their deputy finds it among their own. Raises NotAllowedToDecide if there is nobody.
    """
    able = [by for by in people or () if awaits(case, by, people) and by != case.assignee]
    if not able:
        why = "the policy names no people" if people is None else "it waits for nobody else"
        raise NotAllowedToDecide(f"there is nobody to suggest for ticket {case.id[:12]}: {why}; name somebody")
    able = [by for by in able if by not in away] or able
    # Rendezvous hashing (Thaler and Ravishankar 1998): everybody gets an equal share, and the same ticket the same person.
    return min(able, key=lambda by: (loads.get(by, 0), sha256(json.dumps([case.id, by]))))


def extend(
    case: Case, *, by: str, reason: str, people: People, most: datetime, span: timedelta | None = None, behalf: str = ""
) -> list[Draft]:
    """Gives a ticket more time to be decided in: once, until `most` at the latest. Raises TicketClosed if it has been given.

    `behalf`: for whom they stand in.
    """
    if case.standing not in (Standing.PENDING, Standing.UNDER_AUDIT):
        raise TicketClosed(f"ticket {case.id[:12]} is {case.standing}; no time of its is running out")
    _may(case, behalf or by, people)
    if not reason.strip():
        raise IncompleteDecision("more time takes a reason, which stays on record")
    if case.extended_by:
        raise TicketClosed(f"{case.extended_by} has given ticket {case.id[:12]} more time already; there is no more")
    more = most - case.due_at if span is None else span
    if not timedelta(0) < more <= most - case.due_at:
        raise IncompleteDecision(f"it can have time until {stamp(most)[:16]} UTC, as much as it had at first")
    end = case.due_at + more
    return [Draft("extended", {**spoken_by(by, behalf), "until": stamp(end)}, {"reason": reason})]


def until(case: Case) -> datetime:
    """Until when a ticket is taken; long ago if it is not."""
    return case.taken_until or case.opened_at


def _waits(case: Case) -> None:
    if case.standing not in _WAITS:
        raise TicketClosed(f"ticket {case.id[:12]} is {case.standing}; it waits for nobody")


def _may(case: Case, by: str, people: People) -> None:
    if not by.strip():
        raise IncompleteDecision("say who it is: give by=")
    if problem := cannot(case, by, people):
        raise NotAllowedToDecide(f"{by} may not decide ticket {case.id[:12]}: {problem}")

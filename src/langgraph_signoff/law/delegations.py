"""Who stands in for whom while they are away, folded from the record's one stream of delegations. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from langgraph_signoff.entries import Draft, Entry, moment, stamp
from langgraph_signoff.errors import IncompleteDecision, NotAllowedToDecide
from langgraph_signoff.law.case import Case
from langgraph_signoff.law.eligibility import People, cannot, takes_part, unknown
from langgraph_signoff.law.verdicts import Say

DELEGATIONS = "delegations"
"""The stream that holds every delegation and its end."""

_LONGEST = timedelta(days=366)

Deputies = Mapping[str, Sequence[str]]
"""For whom each deputy stands in now."""


@dataclass(frozen=True, slots=True)
class Delegation:
    """Who is away, who decides in their place, from when until when, by whose word and why."""

    absent: str
    deputy: str
    start: datetime
    until: datetime
    by: str
    reason: str

    def holds(self, now: datetime) -> bool:
        """Whether the deputy decides in their place at an instant."""
        return self.start <= now < self.until

    def reaches(self, case: Case) -> bool:
        """Whether it is about a case: who is away passes on all that is theirs, the owner of a queue what is in that queue."""
        return self.by in (self.absent, case.requirements.owner)


@dataclass(frozen=True, slots=True)
class Delegations:
    """Every delegation that has not been taken back, by who is away; a later one replaces the one before.

    `seq`: the last entry they were read from.
    """

    seq: int
    known: tuple[Delegation, ...] = ()

    def at(self, now: datetime) -> tuple[Delegation, ...]:
        """Those that hold at an instant, or will."""
        return tuple(each for each in self.known if now < each.until)

    def deputies(self, case: Case, now: datetime) -> Deputies:
        """For whom each deputy stands in on a case at an instant."""
        found: dict[str, list[str]] = {}
        for each in self.known:
            if each.holds(now) and each.reaches(case):
                found.setdefault(each.deputy, []).append(each.absent)
        return found


def delegations(history: Sequence[Entry]) -> Delegations:
    """Reads the stream of delegations."""
    known: dict[str, Delegation] = {}
    for entry in history:
        body = entry.body
        known.pop(body["absent"], None)
        if entry.kind == "delegated":
            span = moment(body["start"]), moment(body["until"])
            known[body["absent"]] = Delegation(body["absent"], body["deputy"], *span, body["by"], body["reason"])
    return Delegations(history[-1].seq if history else 0, tuple(known.values()))


def delegate(wanted: Delegation, *, people: People, owners: Collection[str], now: datetime) -> Draft:
    """What a delegation adds: by who is away, or by the owner of a queue. Raises NotAllowedToDecide, IncompleteDecision."""
    for name in (wanted.by, wanted.absent, wanted.deputy):
        if not name:
            raise IncompleteDecision("a delegation names who is away, who decides in their place, and by whose word")
        if people is not None and name not in people:
            raise NotAllowedToDecide(unknown(name, people))
    if wanted.start.tzinfo is None or wanted.until.tzinfo is None:
        raise IncompleteDecision("a delegation says when it begins and ends with a time zone")
    if wanted.absent == wanted.deputy:
        raise IncompleteDecision(f"{wanted.absent} cannot stand in for themselves")
    _in_charge(wanted.by, wanted.absent, owners)
    if not max(now, wanted.start) < wanted.until <= now + _LONGEST:
        raise IncompleteDecision("a delegation ends after it begins, in the future, and within a year")
    span = {"start": stamp(wanted.start), "until": stamp(wanted.until)}
    words = {"absent": wanted.absent, "deputy": wanted.deputy, "by": wanted.by, "reason": wanted.reason}
    return Draft("delegated", {**words, **span})


def take_back(held: Delegations, absent: str, *, by: str, owners: Collection[str], now: datetime) -> Draft:
    """What the end of a delegation adds. Raises IncompleteDecision if there is none."""
    if not any(each.absent == absent for each in held.at(now)):
        raise IncompleteDecision(f"nobody stands in for {absent!r}")
    _in_charge(by, absent, owners)
    return Draft("taken_back", {"absent": absent, "by": by})


def speaking(case: Case, say: Say, people: People, deputies: Deputies) -> Say:
    """What somebody says: in their own name if they may decide, else in that of the first whom they stand in for and who may."""
    if cannot(case, say.by, people) is None or takes_part(case, say.by):
        return say
    able = (absent for absent in deputies.get(say.by, ()) if cannot(case, absent, people) is None)
    absent = next(able, None)
    return say if absent is None else replace(say, behalf=absent)


def _in_charge(by: str, absent: str, owners: Collection[str]) -> None:
    if by != absent and by not in owners:
        raise NotAllowedToDecide(f"{by} may not say who decides for {absent}: {absent} may, and the owner of a queue")

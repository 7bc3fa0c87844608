"""Which entries are told to whom. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from langgraph_signoff.entries import Entry, Notice
from langgraph_signoff.law.case import Case
from langgraph_signoff.law.delegations import Deputies, speaking
from langgraph_signoff.law.eligibility import People, cannot, is_one_of
from langgraph_signoff.law.verdicts import Say
from langgraph_signoff.vocabulary import EVENTS, Event, Standing, Verdict

ASKS: tuple[Event, ...] = ("opened", "revised", "reminded", "escalated", "info_given", "in_doubt")
"""The events that ask somebody to decide, or to say what happened."""


def owed(case: Case, entries: Iterable[Entry]) -> list[Notice]:
    """The notices of these entries of a case, which has been read up to the last of them: one for each channel and event."""
    return [
        _notice(case, entry, channel, event)
        for entry in entries
        if (event := event_of(case, entry))
        for channel in dict.fromkeys(each.channel for each in case.requirements.notify if event in each.on)
    ]


def _notice(case: Case, entry: Entry, channel: str, event: Event) -> Notice:
    return Notice(
        entry=entry.hash,
        channel=channel,
        person="",
        ticket=case.id,
        seq=entry.seq,
        event=event,
        since=entry.at,
        state="waiting",
        at=entry.at,
    )


def event_of(case: Case, entry: Entry) -> Event | None:
    """What an entry tells people; None if it tells nobody anything."""
    if entry.kind == "in_doubt":
        return "in_doubt"
    if case.ruling.mode != "review" and case.kind != "audit":
        return None  # nobody was asked
    match entry.kind:
        case "amended":
            return "revised"
        case "decided":
            return _said(case, entry)
        case "unreviewed":
            return "expired"
    # The others are called as the kind of their entry is.
    return next((event for event in EVENTS if event == entry.kind), None)


def _said(case: Case, entry: Entry) -> Event | None:
    if entry.body["verdict"] == Verdict.COMMENT:
        return None
    # An edit that is its author's approval too may have been enough.
    return "revised" if "ruling" in entry.body and case.standing is Standing.PENDING else "decided"


def audience(case: Case, news: tuple[str, Entry], people: People, deputies: Deputies) -> Sequence[str]:
    """Who is told by name of an event, which an entry tells: whoever it asks, and the queue's owner, if the policy knows them."""
    owner, known, (event, entry) = case.requirements.owner, people or {}, news
    if event == "assigned":
        asked = [entry.body["to"]]
    elif event == "info_requested":
        asked = [entry.body["of"]]
    elif event == "info_given":
        asked = [each.by for each in case.inquiries if each.number in entry.body["of"]]
    elif event == "escalated":
        asked = [by for by in sorted(known) if is_one_of(by, entry.body["to"], people)]
    else:
        asked = [by for by in sorted(known) if event in ASKS and why_mute(case, by, people, deputies) is None]
    standing_in = [deputy for deputy, absent in sorted(deputies.items()) if not set(absent).isdisjoint(asked)]
    return [by for by in dict.fromkeys([*asked, *standing_in, owner]) if by in known]


def why_mute(case: Case, by: str, people: People, deputies: Deputies) -> str | None:
    """Why this person may not decide a ticket in anybody's name, in a sentence; None if they may."""
    say = speaking(case, Say(Verdict.COMMENT, by, ""), people, deputies)
    return None if say.behalf else cannot(case, by, people)

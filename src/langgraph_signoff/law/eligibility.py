"""Who may decide a ticket, and whose word counts. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from langgraph_signoff.errors import NotAllowedToDecide
from langgraph_signoff.law.case import Case, Involved
from langgraph_signoff.panels import Voice, helps, is_met, is_possible, named, waiting_text
from langgraph_signoff.vocabulary import Decision, Requirements, Reviewer, Standing

People = Mapping[str, frozenset[str]] | None
"""Who is known, with their groups; None: anybody's name is accepted."""

_WAITS = (Standing.PENDING, Standing.UNDER_AUDIT, Standing.IN_DOUBT)

_AS = {
    "requester": "is the requester",
    "author": "wrote the arguments as they are",
    "previous_reviser": "had a part in an earlier round",
}


def why_not(requirements: Requirements, *, by: str, people: People, involved: Involved) -> str | None:
    """Why this person may not decide, in a sentence; None if they may."""
    if people is not None and by not in people:
        return unknown(by, people)
    for part in requirements.barred:
        if by in involved.who(part):
            return f"{by} {_AS[part]}, and the policy wants somebody else"
    if by in involved.approvers:
        return f"{by} approved it, and a second look is somebody else's"
    clause = lacks(requirements, voice_of(by, people))
    return f"{by} is not among {', '.join(clause)}" if clause else None


def lacks(requirements: Requirements, voice: Voice) -> tuple[str, ...]:
    """Those of whom the policy asks for one, where this person is none of them; empty if they are one wherever it asks."""
    seats = tuple(dict.fromkeys(name for panel in requirements.panels for name in named(panel)))
    asked = (*requirements.reviewers, *([seats] if seats else []))
    return next((clause for clause in asked if not voice.fits(clause)), ())


def too_few(requirements: Requirements, *, people: People, requester: str | None = None) -> bool:
    """Whether there are not as many people who may decide so as must approve."""
    if people is None:
        return False
    involved = Involved(requester)
    may = [by for by in people if not why_not(requirements, by=by, people=people, involved=involved)]
    voices = [Voice(by, people[by]) for by in may]
    return len(may) < requirements.approvals or not all(is_possible(panel, voices) for panel in requirements.panels)


def reviewers(case: Case, people: People, deputies: Mapping[str, Sequence[str]] | None = None) -> tuple[Reviewer, ...]:
    """Everybody whom the policy knows, and whether they may decide this ticket now; nobody where any name is believed.

    `deputies`: for whom each of them stands in now.
    """
    stand_ins = deputies or {}
    away = departed(case, people, but="")
    agreed = case.voices([by for by in case.approvers if by not in away])
    found = []
    for by in sorted(people or {}):
        may, why = _stance(case, by, people, agreed)
        for absent in () if may or takes_part(case, by) else stand_ins.get(by, ()):
            if not may and _stance(case, absent, people, agreed)[0]:
                may, why = True, f"stands in for {absent}"
        found.append((by, may, why))
    return tuple(
        Reviewer(name=by, groups=tuple(sorted((people or {})[by])), may=may, why=why) for by, may, why in found
    )


def _stance(case: Case, by: str, people: People, agreed: Sequence[Voice]) -> tuple[bool, str]:
    if case.standing not in _WAITS:
        return False, f"it is {case.standing}"
    if problem := cannot(case, by, people):
        return False, problem.removeprefix(f"{by} ")
    if case.standing is not Standing.IN_DOUBT and by in (voice.by for voice in agreed):
        return True, "has approved; may still reject or revise"
    if case.standing is not Standing.IN_DOUBT and not can_help(case.requirements, voice_of(by, people), agreed):
        return True, f"may reject or revise; it waits for {_awaited(case, agreed)}"
    return True, _because(case.requirements, voice_of(by, people))


def awaits(case: Case, by: str, people: People, stands_in: Sequence[str] = ()) -> bool:
    """Whether a word of theirs would bring this ticket further now: they may decide it, and have not done their part.

    `stands_in`: for whom they decide where they may not in their own name.
    """
    if case.standing not in _WAITS:
        return False
    names = [by] if takes_part(case, by) else [by, *stands_in]
    name = next((each for each in names if cannot(case, each, people) is None), None)
    if name is None or case.standing is Standing.IN_DOUBT:
        return name is not None
    away = departed(case, people, but="")
    agreed = case.voices([each for each in case.approvers if each not in away])
    return name not in (voice.by for voice in agreed) and can_help(case.requirements, voice_of(name, people), agreed)


def _because(requirements: Requirements, voice: Voice) -> str:
    """Which of the names that the policy asks for are theirs."""
    asked = [*requirements.reviewers, *map(named, requirements.panels)]
    own = dict.fromkeys(name for clause in asked for name in clause if voice.fits([name]))
    return f"is {' and '.join(own)}" if own else "anybody known may"


def _awaited(case: Case, agreed: Sequence[Voice]) -> str:
    return " and ".join(filter(None, (waiting_text(panel, agreed) for panel in case.requirements.panels)))


_MOST_NAMED = 20  # people in a sentence


def unknown(by: str, people: Mapping[str, frozenset[str]]) -> str:
    """Why somebody whom the policy does not know may not decide."""
    known = sorted(people)
    more = f" and {len(known) - _MOST_NAMED} others" if len(known) > _MOST_NAMED else ""
    return f"the policy does not know {by!r}; it knows {', '.join(known[:_MOST_NAMED]) or 'nobody'}{more}"


def voice_of(by: str, people: People) -> Voice:
    """A person with the groups that they are in now."""
    return Voice(by, people[by] if people is not None else frozenset())


def can_help(requirements: Requirements, voice: Voice, voices: Sequence[Voice]) -> bool:
    """Whether an approval would fill a place that is open, if the places are laid out at all, or is wanted beside them."""
    panels = requirements.panels
    if not panels or any(helps(panel, voices, voice) for panel in panels):
        return True
    # An edit may have come under two rules: so many people, and these places.
    return len(voices) < requirements.approvals and all(is_met(panel, voices) for panel in panels)


def must_help(case: Case, by: str, people: People, agreed: Collection[str]) -> None:
    """Raises NotAllowedToDecide for an approval beside those of `agreed` that would bring the ticket no further."""
    voices = case.voices([name for name in agreed if name != by])
    if not can_help(case.requirements, voice_of(by, people), voices):
        waits = _awaited(case, voices)
        raise NotAllowedToDecide(f"ticket {case.id[:12]} does not wait for {by} now; it waits for {waits}")


def spoken_by(by: str, behalf: str) -> dict[str, str]:
    """Who did something, as an entry says it: their name, and that of whom they stood in for."""
    return {"by": by, "behalf": behalf} if behalf else {"by": by}


def is_one_of(by: str, names: Collection[str], people: People) -> bool:
    """Whether somebody is one of these: names, and groups as `group:NAME`."""
    return bool(names) and by in (people if people is not None else (by,)) and voice_of(by, people).fits(names)


def departed(case: Case, people: People, *, but: str) -> list[str]:
    """Whose word counts no more: who may not decide now, or has left the group for which they spoke."""
    latest = case.latest()
    return sorted(by for by in latest if by != but and (cannot(case, by, people) or _left(case, latest[by], people)))


def _left(case: Case, said: Decision, people: People) -> bool:
    # They spoke as one of a group that a panel asks for, and are in it no more.
    asked = {name for panel in case.requirements.panels for name in named(panel)}
    now = people[said.principal] if people is not None else frozenset()
    return any(f"group:{group}" in asked and group not in now for group in said.groups)


def takes_part(case: Case, by: str) -> bool:
    """Whether somebody has a part in the action that bars them from deciding it, in whoever's name."""
    involved = case.involved
    return by in involved.approvers or any(by in involved.who(part) for part in case.requirements.barred)


def cannot(case: Case, by: str, people: People) -> str | None:
    """Why this person may not decide this ticket, in a sentence; None if they may."""
    return why_not(case.requirements, by=by, people=people, involved=case.involved)

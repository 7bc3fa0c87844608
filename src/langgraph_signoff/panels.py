"""Who must approve together: slots that people fill, each person one of them, level after level. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from langgraph_signoff.vocabulary import Panel, Slot


@dataclass(frozen=True, slots=True)
class Voice:
    """Somebody who approves, with the groups they are in as they do."""

    by: str
    groups: frozenset[str]

    def fits(self, who: Iterable[str]) -> bool:
        """Whether they are one of these: names, and groups as `group:NAME`."""
        return any(name == self.by or name in self._in for name in who)

    @property
    def _in(self) -> set[str]:
        return {f"group:{group}" for group in self.groups}


def is_met(panel: Panel, voices: Sequence[Voice]) -> bool:
    """Whether these approvals, in the order in which they came, fill the panel."""
    return _reached(panel, voices)[0] == len(panel.levels)


def helps(panel: Panel, voices: Sequence[Voice], voice: Voice) -> bool:
    """Whether one more approval would fill a place of the panel that is open now."""
    level, here = _reached(panel, voices)
    if level == len(panel.levels):
        return False
    return any(_filled(slots, [*here, voice]) > _filled(slots, here) for slots in panel.levels[level])


def is_possible(panel: Panel, voices: Sequence[Voice]) -> bool:
    """Whether these people are enough to fill all levels, each of them in one place."""
    ways = (tuple(itertools.chain(*way)) for way in itertools.product(*panel.levels))
    return any(_filled(slots, voices) == _places(slots) for slots in ways)


def waiting_text(panel: Panel, voices: Sequence[Voice]) -> str:
    """Whose approval the panel waits for now, in words; empty if it is filled."""
    level, here = _reached(panel, voices)
    if level == len(panel.levels):
        return ""
    return _level_text(tuple(tuple(_missing(slots, here)) for slots in panel.levels[level]))


def panel_text(panel: Panel) -> str:
    """Who must approve, in words such as `1 by group:finance and 1 by group:leads, then 1 by cem`."""
    return ", then ".join(_level_text(level) for level in panel.levels)


def named(panel: Panel) -> Iterator[str]:
    """Everybody whom a slot names: people, and groups as `group:NAME`."""
    return (name for level in panel.levels for slots in level for slot in slots for name in slot.who)


def fewest(panel: Panel) -> int:
    """How many people it takes at least."""
    return sum(min(_places(slots) for slots in level) for level in panel.levels)


def _reached(panel: Panel, voices: Sequence[Voice]) -> tuple[int, list[Voice]]:
    """How many levels are filled, and who has approved at the level that is open."""
    level, here = 0, list[Voice]()
    for voice in voices:
        if level == len(panel.levels):
            break
        here.append(voice)
        if any(_filled(slots, here) == _places(slots) for slots in panel.levels[level]):
            level, here = level + 1, []
    return level, here


def _level_text(level: Sequence[Sequence[Slot]]) -> str:
    texts = [" and ".join(f"{slot.approvals} by {' or '.join(slot.who)}" for slot in slots) for slots in level]
    return " or ".join(f"({text})" if len(texts) > 1 and " and " in text else text for text in texts)


def _places(slots: Sequence[Slot]) -> int:
    return sum(slot.approvals for slot in slots)


def _filled(slots: Sequence[Slot], voices: Sequence[Voice]) -> int:
    return sum(len(people) for people in _seated(slots, voices))


def _missing(slots: Sequence[Slot], voices: Sequence[Voice]) -> Iterator[Slot]:
    for slot, people in zip(slots, _seated(slots, voices), strict=True):
        if slot.approvals > len(people):
            yield slot.model_copy(update={"approvals": slot.approvals - len(people)})


def _seated(slots: Sequence[Slot], voices: Sequence[Voice]) -> list[list[Voice]]:
    """As many people as can be, each in one slot: a maximum bipartite matching by augmenting paths (Kuhn 1955)."""
    seats: list[list[Voice]] = [[] for _ in slots]

    def seat(voice: Voice, tried: set[int]) -> bool:
        for number, slot in enumerate(slots):
            if number in tried or not voice.fits(slot.who):
                continue
            tried.add(number)
            if len(seats[number]) < slot.approvals:
                seats[number].append(voice)
                return True
            for place, other in enumerate(seats[number]):
                if seat(other, tried):
                    seats[number][place] = voice
                    return True
        return False

    for voice in voices:
        seat(voice, set())
    return seats

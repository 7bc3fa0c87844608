"""How a policy writes who must approve together: slots side by side, one of several, one level after another."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from langgraph_signoff.vocabulary import Json, Panel, Slot

MOST_WAYS = 64
"""How many alternatives a level may come to, written out."""

MOST_APPROVALS = 100
"""How many approvals a slot may want, and a ticket."""

_SLOT = "a slot is {group: NAME} or {people: [NAME, ...]}, and may say how many approvals"

Ways = list[tuple[Slot, ...]]


class BadPanel(ValueError):
    """What is written is no panel; says where in it, and why."""


def read_panel(written: Json) -> Panel:
    """The panel that a mapping describes. Raises BadPanel."""
    if isinstance(written, dict) and set(written) == {"then"}:
        return Panel(levels=tuple(_each(written["then"], "then", _level)))
    return Panel(levels=(_level(written, ""),))


def _level(written: Json, at: str) -> tuple[tuple[Slot, ...], ...]:
    ways = _ways(written, at)
    if len(ways) > MOST_WAYS:
        raise BadPanel(f"{at or 'it'}: comes to {len(ways)} alternatives; {MOST_WAYS} are the most")
    return tuple(ways)


def _ways(written: Json, at: str) -> Ways:
    """The alternatives, each with all the slots that it wants filled."""
    if isinstance(written, dict) and len(written) == 1:
        [(key, inside)] = written.items()
        if key == "any":
            return list(itertools.chain(*_each(inside, f"{at}any", _ways)))
        if key == "all":
            return _together(_each(inside, f"{at}all", _ways), f"{at}all")
        if key == "then":
            raise BadPanel(f"{at}then: levels stand outermost; put all and any into them")
    return [(_slot(written, at),)]


def _together(parts: Sequence[Ways], at: str) -> Ways:
    count = 1
    for part in parts:
        count *= len(part)
        if count > MOST_WAYS:
            raise BadPanel(f"{at}: comes to more than {MOST_WAYS} alternatives")
    return [tuple(itertools.chain(*way)) for way in itertools.product(*parts)]


def _each(written: Json, at: str, read: Callable[[Json, str], Any]) -> list[Any]:
    if not isinstance(written, list) or not 1 <= len(written) <= MOST_WAYS:
        raise BadPanel(f"{at}: should be a list of slots")
    return [read(one, f"{at}.{number}.") for number, one in enumerate(written)]


def _slot(written: Json, at: str) -> Slot:
    place = at.removesuffix(".") or "it"
    if not isinstance(written, dict) or not set(written) <= {"group", "people", "approvals"}:
        raise BadPanel(f"{place}: {_SLOT}")
    match written:
        case {"group": str(group), **more} if group and "people" not in more:
            who: tuple[str, ...] = (f"group:{group}",)
        case {"people": [*people], **more} if people and all(isinstance(n, str) and n for n in people):
            if "group" in more or any(name.startswith("group:") for name in people):
                raise BadPanel(f"{place}: {_SLOT}")
            who = tuple(dict.fromkeys(people))
        case _:
            raise BadPanel(f"{place}: {_SLOT}")
    approvals = written.get("approvals", 1)
    if type(approvals) is not int or not 1 <= approvals <= MOST_APPROVALS:
        raise BadPanel(f"{place}: approvals should be a number from 1 to {MOST_APPROVALS}")
    return Slot(who=who, approvals=approvals)

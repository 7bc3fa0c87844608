"""Ratios of two things done in turn, so that whatever else the machine does hits both alike."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

Thing = Callable[[], object]


@dataclass(frozen=True)
class Figure:
    """One line of the table: what was measured, against what, and how much it may be."""

    name: str
    base: str
    ratio: float
    limit: float | None
    detail: str

    @property
    def verdict(self) -> str:
        """Whether the limit holds, and by how much it is missed."""
        if self.limit is None:
            return ""
        return "holds" if self.ratio <= self.limit else f"missed by {self.ratio / self.limit - 1:.0%}"


def seconds(thing: Thing) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    thing()
    return time.perf_counter() - start


def in_turn(things: dict[str, Thing], *, rounds: int, warm: int = 10) -> dict[str, float]:
    """The median seconds of each thing over rounds in which they take turns, each time in another order."""
    taken: dict[str, list[float]] = {name: [] for name in things}
    order, shuffle = list(things.items()), random.Random(0).shuffle
    for number in range(warm + rounds):
        shuffle(order)  # what comes before leaves its code and data in the caches of the machine
        for name, thing in order:
            spent = seconds(thing)
            if number >= warm:
                taken[name].append(spent)
    return {name: statistics.median(values) for name, values in taken.items()}


def microseconds(medians: dict[str, float]) -> str:
    """Medians as text."""
    return ", ".join(f"{name} {value * 1e6:,.0f} us" for name, value in medians.items())

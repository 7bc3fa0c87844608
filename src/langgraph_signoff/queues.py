"""How queues do: how much waits, how long decisions take, what expires, and who does the work."""

from __future__ import annotations

import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from langgraph_signoff.ledger import Query, find_all, moment, stamp
from langgraph_signoff.office import Office
from langgraph_signoff.vocabulary import AUDITS, Load, Queue, Standing, Verdict

Progress = Callable[[int, int], object]
"""Told now and then how much of how much is done."""

_EACH = 1000  # steps between two words on progress
_UNDECIDED = {*map(str, AUDITS), Standing.PENDING, Standing.WITHDRAWN}


@dataclass(slots=True)
class _Tally:
    """What has been counted of one queue."""

    spans: array[float] = field(default_factory=lambda: array("d"))
    expired: int = 0
    said: Counter[str] = field(default_factory=Counter)
    in_hand: Counter[str] = field(default_factory=Counter)

    def loads(self) -> tuple[Load, ...]:
        names = sorted({*self.said, *self.in_hand}, key=lambda name: (-self.in_hand[name], -self.said[name], name))
        return tuple(Load(name=name, in_hand=self.in_hand[name], said=self.said[name]) for name in names)


class Queues(Office):
    """Counts what is in queues."""

    def queues(
        self, name: str | None = None, *, days: int = 30, progress: Progress = lambda _done, _all: None
    ) -> list[Queue]:
        """How each queue does now and over the last `days`, by name; or one of them. Reads what waits and what was said since."""
        now = self.desk.clock()
        since, tallies = stamp(now - timedelta(days=days)), defaultdict[str, _Tally](_Tally)
        steps = _counted(progress, self.ledger.count_said(since))
        for queue, standing, opened, word in steps(self.ledger.decided(since)):
            if standing == Standing.EXPIRED:
                tallies[queue].expired += 1
            elif standing not in _UNDECIDED:
                tallies[queue].spans.append((moment(word) - moment(opened)).total_seconds())
        for queue, by, verdict in steps(self.ledger.words(since)):
            if verdict != Verdict.COMMENT:
                tallies[queue].said[by] += 1
        self._count_hands(tallies)
        known = [each for each in self.ledger.queues() if name in (None, each)]
        return [self._figures(each, tallies[each], stamp(now), days) for each in known]

    def _count_hands(self, tallies: dict[str, _Tally]) -> None:
        # What was taken may be free again, which only its history and the clock tell.
        for row in find_all(self.ledger, Query(idle_before=stamp(self.desk.clock()), limit=1000)):
            if row.in_hand and (by := self.desk.case(row.id).in_hand):
                tallies[row.queue].in_hand[by] += 1

    def _figures(self, name: str, tally: _Tally, now: str, days: int) -> Queue:
        length, spans = self.ledger.length(name, now), sorted(tally.spans)
        return Queue(
            name=name,
            waiting=length.waiting,
            overdue=length.overdue,
            in_doubt=length.in_doubt,
            oldest=moment(length.oldest) if length.oldest else None,
            days=days,
            decided=len(spans),
            median=percentile(spans, 0.5),
            p95=percentile(spans, 0.95),
            expired=tally.expired,
            reviewers=tally.loads(),
        )


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest of these values that so large a share of them does not exceed (nearest rank); None of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def _counted(progress: Progress, total: int) -> Callable[[Iterable[tuple[str, ...]]], Iterable[tuple[str, ...]]]:
    done = 0

    def steps(each: Iterable[tuple[str, ...]]) -> Iterable[tuple[str, ...]]:
        nonlocal done
        for one in each:
            yield one
            done += 1
            if done % _EACH == 0 or done == total:
                progress(min(done, total), total)

    return steps

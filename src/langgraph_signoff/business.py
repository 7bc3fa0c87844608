"""Business time: what a span of working days or working hours comes to on the clock. Pure, but for the time zone database."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

MOST_DAYS, MOST_HOURS = 250, 2000
"""The longest spans, in working days and in working hours: a working year."""

END_OF_DAY = "end_of_day"
"""Until those whose hours they are go home."""

_SPAN = re.compile(r"([1-9][0-9]{0,3})([mhd])")
_FARTHEST = 1500  # days that are looked through for working ones


@dataclass(frozen=True, slots=True)
class BusinessSpan:
    """So many working days, or so much working time: `1d` is a working day, `8h` eight working hours; neither: what is left of a day."""

    days: int
    hours: timedelta

    @classmethod
    def parse(cls, text: object) -> BusinessSpan:
        """Reads `90m`, `4h`, `2d` or `end_of_day`. Raises ValueError for anything else, and beyond a working year."""
        if text == END_OF_DAY:
            return cls(0, timedelta(0))
        match = _SPAN.fullmatch(text) if isinstance(text, str) else None
        if not match:
            raise ValueError(f"{text!r} is no span of business time; write it as 90m, 4h, 2d or end_of_day")
        count = int(match[1])
        span = cls(count, timedelta(0)) if match[2] == "d" else cls(0, timedelta(**{_UNITS[match[2]]: count}))
        if span.days > MOST_DAYS or span.hours > timedelta(hours=MOST_HOURS):
            raise ValueError(f"{text} of business time is longer than a year; nobody waits that long")
        return span

    def __str__(self) -> str:
        if not (self.days or self.hours):
            return END_OF_DAY
        minutes = int(self.hours.total_seconds() // 60)
        return f"{self.days}d" if self.days else f"{minutes // 60}h" if minutes % 60 == 0 else f"{minutes}m"


_UNITS = {"m": "minutes", "h": "hours"}


@dataclass(frozen=True, slots=True)
class Hours:
    """When people work: on these weekdays (Monday is 0), from `opens` to `closes` on the clock of `zone`, on no holiday.

    `closes` is a span from midnight, at most 24 hours.
    """

    zone: ZoneInfo
    days: frozenset[int]
    opens: timedelta
    closes: timedelta
    is_holiday: Callable[[date], bool]

    def after(self, start: datetime, span: BusinessSpan) -> datetime:
        """When the span is over that begins at `start`, in UTC. What begins outside of these hours begins when they do.

        A working day is over at the same time of the next one. Raises ValueError if no working day is near.
        """
        begun = self._at_work(start)
        if span.days:
            return self._days_later(begun, span.days)
        if not span.hours:
            return self._open(begun.astimezone(self.zone).date())[1]
        day, left = begun.astimezone(self.zone).date(), span.hours
        while True:
            opens, closes = self._open(day)
            rest = closes - max(opens, begun)
            if left <= rest:
                return max(opens, begun) + left
            left -= rest
            day = self._working(day + timedelta(days=1))

    def worked(self, start: datetime, end: datetime) -> timedelta:
        """How much of the time from `start` to `end` these people work."""
        day, total = self._working(start.astimezone(self.zone).date()), timedelta(0)
        while self._open(day)[0] < end:
            opens, closes = self._open(day)
            total += max(timedelta(0), min(closes, end) - max(opens, start))
            day = self._working(day + timedelta(days=1))
        return total

    def _at_work(self, start: datetime) -> datetime:
        day = start.astimezone(self.zone).date()
        working = self._working(day)
        opens, closes = self._open(working)
        if working == day and start >= closes:
            opens, _ = self._open(self._working(day + timedelta(days=1)))
        return max(opens, start.astimezone(UTC))

    def _days_later(self, begun: datetime, count: int) -> datetime:
        local = begun.astimezone(self.zone)
        day = local.date()
        for _ in range(count):
            day = self._working(day + timedelta(days=1))
        return self._clock(day, timedelta(hours=local.hour, minutes=local.minute, seconds=local.second))

    def _working(self, day: date) -> date:
        """The first working day from this one on."""
        for ahead in range(_FARTHEST):
            found = day + timedelta(days=ahead)
            if found.weekday() in self.days and not self.is_holiday(found):
                return found
        raise ValueError("these hours have no working day")

    def _open(self, day: date) -> tuple[datetime, datetime]:
        return self._clock(day, self.opens), self._clock(day, self.closes)

    def _clock(self, day: date, span: timedelta) -> datetime:
        # The clock of that day, not so long after midnight: some days are an hour shorter.
        midnight = datetime.combine(day, time(0))
        return (midnight + span).replace(tzinfo=self.zone).astimezone(UTC)

"""How a policy writes when people work, and spans of business time."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from langgraph_signoff.business import Hours

if TYPE_CHECKING:
    from langgraph_signoff.policy.document import ServiceHours

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
INSTALL = "install langgraph-signoff[calendar]"

_CLOCK = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])")
_PLACE = re.compile(r"[A-Z]{2}(-[A-Za-z0-9]{1,6})?")


def read_clock(text: object) -> timedelta:
    """The time since midnight that `09:00` says; at most `24:00`. Raises ValueError."""
    match = _CLOCK.fullmatch(text) if isinstance(text, str) else None
    span = timedelta(hours=int(match[1]), minutes=int(match[2])) if match else None
    if span is None or span > timedelta(hours=24):
        raise ValueError(f"{text!r} is no time of day; write it in quotes, as '09:00'")
    return span


def read_days(text: object) -> frozenset[int]:
    """The weekdays that `mon-fri` or `mon,wed-fri` says, Monday as 0. Raises ValueError."""
    found = set[int]()
    for part in text.split(",") if isinstance(text, str) else [""]:
        first, _, last = part.strip().partition("-")
        if first not in WEEKDAYS or (last or first) not in WEEKDAYS:
            raise ValueError(f"{text!r} names no weekdays; write them as mon-fri, or mon,wed,fri")
        begin, end = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
        found |= {day % 7 for day in range(begin, end + 1 + (7 if end < begin else 0))}
    return frozenset(found)


def read_holiday(text: object) -> str:
    """A date, or the place of a holiday calendar. Raises ValueError."""
    if isinstance(text, str) and (_PLACE.fullmatch(text) or _is_date(text)):
        return text
    raise ValueError(f"{text!r} is no holiday; write a date as '2026-12-24', a country as DE, or a part of it as DE-BY")


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def to_hours(written: ServiceHours) -> Hours:
    """The hours that a policy writes. Raises ValueError for a zone or a holiday calendar that nobody knows."""
    try:
        zone = ZoneInfo(written.zone)
    except (LookupError, ValueError, OSError) as error:
        raise ValueError(f"unknown time zone {written.zone}; write it as Europe/Berlin (or {INSTALL})") from error
    return Hours(
        zone,
        read_days(written.days),
        read_clock(written.opens),
        read_clock(written.closes),
        _holidays(written.holidays),
    )


def _holidays(written: Sequence[str]) -> Callable[[date], bool]:
    dates = {date.fromisoformat(one) for one in written if not _PLACE.fullmatch(one)}
    places = [_calendar(one) for one in written if _PLACE.fullmatch(one)]
    return lambda day: day in dates or any(day in place for place in places)


def _calendar(place: str) -> Container[date]:
    try:
        from holidays import country_holidays
    except ImportError as error:
        raise ValueError(
            f"the holidays of {place} are in another package; {INSTALL}, or write out the dates"
        ) from error
    country, _, part = place.partition("-")
    try:
        return country_holidays(country, subdiv=part or None)  # it knows each year as it is asked
    except NotImplementedError as error:  # so says `holidays` of a place that it does not know
        raise ValueError(
            f"unknown holiday calendar {place}; write a country as DE, or a part of it as DE-BY"
        ) from error

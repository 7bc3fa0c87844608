"""Business time: working days and hours on the clock of a place, over weekends, holidays, month ends and changes of the clock."""

from __future__ import annotations

import math
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_signoff import Policy, PolicyError, Signoff, Standing
from langgraph_signoff.business import BusinessSpan, Hours
from langgraph_signoff.law import stricter
from langgraph_signoff.policy.hours import read_clock, read_days
from langgraph_signoff.records import Opening
from langgraph_signoff.vocabulary import Requirements
from support import Clock, agent, opening

BERLIN, NEW_YORK, UTC_ZONE = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("UTC")
CHRISTMAS = frozenset({date(2026, 12, 25), date(2026, 12, 26), date(2027, 1, 1)})


def hours(zone: ZoneInfo = BERLIN, days: str = "mon-fri", opens: str = "09:00", closes: str = "17:00") -> Hours:
    return Hours(zone, read_days(days), read_clock(opens), read_clock(closes), CHRISTMAS.__contains__)


def due(start: str, span: str, at: Hours) -> str:
    """When a span is over that begins at this time there, on the clock there."""
    begins = datetime.fromisoformat(start).replace(tzinfo=at.zone)
    return at.after(begins, BusinessSpan.parse(span)).astimezone(at.zone).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("start", "span", "end"),
    [
        ("2026-11-18 10:30", "1d", "2026-11-19 10:30"),  # a Wednesday
        ("2026-11-20 16:00", "1d", "2026-11-23 16:00"),  # over a weekend
        ("2026-11-20 16:00", "4h", "2026-11-23 12:00"),
        ("2026-11-20 16:00", "60m", "2026-11-20 17:00"),  # up to the very end of the day
        ("2026-11-20 17:00", "1h", "2026-11-23 10:00"),  # what begins as they leave begins when they are back
        ("2026-11-21 12:00", "1d", "2026-11-24 09:00"),  # so does what begins on a Saturday
        ("2026-11-18 05:00", "30m", "2026-11-18 09:30"),  # and before they come
        ("2026-12-24 16:00", "2h", "2026-12-28 10:00"),  # over holidays and a weekend
        ("2026-12-31 10:00", "1d", "2027-01-04 10:00"),  # over the end of a year
        ("2027-02-26 12:00", "2d", "2027-03-02 12:00"),  # over the end of a short month
        ("2028-02-28 12:00", "2d", "2028-03-01 12:00"),  # in a leap year
        ("2026-03-27 16:00", "2h", "2026-03-30 10:00"),  # the clock goes forward on the 29th
        ("2026-03-27 16:00", "1d", "2026-03-30 16:00"),
        ("2026-10-23 16:00", "1d", "2026-10-26 16:00"),  # and back on the 25th
        ("2026-11-18 10:30", "40h", "2026-11-25 10:30"),
        ("2026-11-18 10:30", "end_of_day", "2026-11-18 17:00"),
        ("2026-11-18 17:00", "end_of_day", "2026-11-19 17:00"),
        ("2026-11-21 10:30", "end_of_day", "2026-11-23 17:00"),
    ],
)
def test_known_cases_of_an_office_in_berlin(start: str, span: str, end: str) -> None:
    assert due(start, span, hours()) == end


@pytest.mark.parametrize(
    ("start", "span", "end"),
    [
        ("2026-03-08 00:30", "3h", "2026-03-08 04:30"),  # from two o'clock it is three
        ("2026-11-01 00:30", "3h", "2026-11-01 02:30"),  # one o'clock comes twice
        ("2026-03-07 02:30", "1d", "2026-03-08 03:30"),  # that time is not on the clock of the next day
        ("2026-11-18 23:00", "2h", "2026-11-19 01:00"),
        ("2026-11-18 10:00", "24h", "2026-11-19 10:00"),
    ],
)
def test_known_cases_of_a_watch_around_the_clock(start: str, span: str, end: str) -> None:
    assert due(start, span, hours(NEW_YORK, "mon-sun", "00:00", "24:00")) == end


def test_the_time_elapsed_over_a_change_of_the_clock_is_what_was_worked() -> None:
    watch = hours(BERLIN, "mon-sun", "00:00", "24:00")
    start = datetime(2026, 3, 28, 22, 0, tzinfo=BERLIN)
    assert watch.after(start, BusinessSpan.parse("8h")) - start.astimezone(UTC) == timedelta(hours=8)


starts = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))
places = st.builds(
    hours,
    st.sampled_from([BERLIN, NEW_YORK, UTC_ZONE, ZoneInfo("Asia/Kathmandu")]),
    st.sampled_from(["mon-fri", "sun-thu", "mon,wed", "sat", "mon-sun"]),
    st.sampled_from(["00:00", "07:30", "09:00"]),
    st.sampled_from(["12:00", "17:00", "24:00"]),
)
spans = st.integers(1, 60).map(lambda count: f"{count}h") | st.integers(1, 30).map(lambda count: f"{count}d")


def worked(at: Hours, start: datetime, end: datetime) -> timedelta:
    """How long they work between two moments, counted in quarters of an hour."""
    quarter, total, moment = timedelta(minutes=15), timedelta(0), start
    while moment < end:
        local = moment.astimezone(at.zone)
        since = timedelta(hours=local.hour, minutes=local.minute)
        is_day = local.weekday() in at.days and not at.is_holiday(local.date())
        total += quarter if is_day and at.opens <= since < at.closes else timedelta(0)
        moment += quarter
    return total


@given(places, st.integers(0, 2000), st.integers(1, 40))
def test_so_many_hours_are_worked_in_between(at: Hours, quarters: int, count: int) -> None:
    start = datetime(2026, 2, 1, tzinfo=UTC) + quarters * timedelta(minutes=15)
    end = at.after(start, BusinessSpan.parse(f"{count}h"))
    assert worked(at, start, end) == at.worked(start, end) == timedelta(hours=count)
    assert worked(at, start - timedelta(days=3), end) == at.worked(start - timedelta(days=3), end)


@given(places, starts, spans)
def test_it_ends_on_a_working_day_in_its_hours_and_never_before_it_begins(
    at: Hours, start: datetime, span: str
) -> None:
    end = at.after(start, BusinessSpan.parse(span))
    assert end > start
    local = (end - timedelta(microseconds=1)).astimezone(at.zone)
    assert local.weekday() in at.days or span.endswith("d")
    assert end.astimezone(at.zone).weekday() in at.days or at.closes == timedelta(hours=24)


@given(places, starts, st.integers(0, 10_000), st.integers(1, 20))
def test_what_begins_later_ends_no_earlier_and_a_longer_span_ends_later(
    at: Hours, start: datetime, minutes: int, count: int
) -> None:
    later, one = start + timedelta(minutes=minutes), timedelta(seconds=1)
    for unit in "hd":
        span = BusinessSpan.parse(f"{count}{unit}")
        assert at.after(start, span) <= at.after(later, span) + one
        assert at.after(start, span) < at.after(start, BusinessSpan.parse(f"{count + 1}{unit}"))


@given(st.integers(1, 250) | st.integers(1, 2000).map(lambda count: count / 100))
def test_a_span_is_read_back_as_it_is_written(count: float) -> None:
    text = f"{count}d" if isinstance(count, int) else f"{int(count * 60) or 1}m"
    assert BusinessSpan.parse(str(BusinessSpan.parse(text))) == BusinessSpan.parse(text)


# The policy --------------------------------------------------------------------------------------------------------------------

OFFICE = """
version: 1
people: {ana: {}, ben: {}}
queues:
  documents:
    owner: ana
    backup: [ben]
    hours: {zone: Europe/Berlin, holidays: [DE-BY, '2026-11-24']}
    window: {business: 1d}
tools:
  send: {otherwise: {then: review, queue: documents}}
  wire: {otherwise: {then: review, queue: documents, window: {business: 4h}}}
  post: {otherwise: {then: review, queue: documents, window: 4h}}
"""
MONDAY = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)  # half past ten in Berlin


def test_a_window_in_business_time_ends_by_the_hours_and_holidays_of_its_queue() -> None:
    policy = Policy.parse(OFFICE)
    assert Policy.parse(policy.document).version == policy.version

    def ends(tool: str, now: datetime) -> str:
        needs = policy.rule(opening(tool=tool).action, now=now).requirements
        return (now + needs.window).astimezone(BERLIN).strftime("%a %H:%M")

    assert ends("send", MONDAY) == "Wed 10:30"  # Tuesday is a day off
    assert ends("wire", MONDAY) == "Mon 14:30"
    assert ends("wire", MONDAY + timedelta(hours=5)) == "Wed 11:30"
    assert ends("post", MONDAY) == "Mon 14:30"
    assert ends("send", datetime(2026, 11, 25, 9, 0, tzinfo=UTC)) == "Thu 10:00"
    doubt = policy.review(opening(tool="send").action, now=MONDAY).requirements
    assert (doubt.business, MONDAY + doubt.window) == ("1d", datetime(2026, 11, 25, 9, 30, tzinfo=UTC))


def test_a_public_holiday_of_a_part_of_a_country_is_none_elsewhere() -> None:
    def ends(place: str) -> str:
        policy = Policy.parse(OFFICE.replace("DE-BY", place))
        now = datetime(2027, 1, 5, 9, 0, tzinfo=UTC)  # the day before Epiphany
        needs = policy.rule(opening(tool="send").action, now=now).requirements
        return (now + needs.window).astimezone(BERLIN).strftime("%d %H:%M")

    assert (ends("DE-BY"), ends("DE-BE")) == ("07 10:00", "06 10:00")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "{business: 1d}\n",
            "{business: 1w}\n",
            "'1w' is no span of business time; write it as 90m, 4h, 2d or end_of_day",
        ),
        ("{business: 1d}\n", "{business: 300d}\n", "longer than a year"),
        ("{business: 1d}\n", "{busy: 1d}\n", "or a mapping with business"),
        ("{business: 1d}\n", "4 hours\n", "'4 hours' is not a duration"),
        (
            "    hours: {zone: Europe/Berlin, holidays: [DE-BY, '2026-11-24']}\n",
            "",
            "queues.documents.window: counts business time",
        ),
        ("Europe/Berlin", "Europe/Bonn", "unknown time zone Europe/Bonn"),
        ("Europe/Berlin", "../etc/passwd", "unknown time zone"),
        ("DE-BY", "XX", "unknown holiday calendar XX"),
        ("DE-BY", "DE-XX", "unknown holiday calendar DE-XX"),
        ("DE-BY", "easter", "'easter' is no holiday"),
        ("2026-11-24", "2026-11-31", "'2026-11-31' is no holiday"),
        ("zone: Europe/Berlin", "zone: Europe/Berlin, days: mon-fry", "names no weekdays"),
        ("zone: Europe/Berlin", "zone: Europe/Berlin, opens: '25:00'", "is no time of day"),
        ("zone: Europe/Berlin", "zone: Europe/Berlin, opens: '18:00'", "closes: is not after it opens"),
        ("zone: Europe/Berlin, ", "", "queues.documents.hours.zone: is missing"),
    ],
)
def test_hours_that_nobody_can_keep_are_a_load_error(old: str, new: str, problem: str) -> None:
    assert old in OFFICE
    with pytest.raises(PolicyError) as error:
        Policy.parse(OFFICE.replace(old, new))
    assert problem in str(error.value)


def test_a_rule_that_counts_business_time_needs_the_hours_of_its_queue() -> None:
    with pytest.raises(PolicyError, match=r"tools\.send\.otherwise\.window: counts business time"):
        Policy(tools={"send": {"otherwise": {"then": "review", "window": {"business": "4h"}}}})


NUDGED = OFFICE.replace("{business: 1d}", "{business: 1d}\n    remind: [0.25, 0.5]\n    escalate: 0.75").replace(
    "{business: 4h}}}", "{business: 4h}, remind: [0.9]}}"
)


@pytest.mark.parametrize(
    ("tool", "now", "moments"),
    [
        ("send", "2026-11-27 15:00", ["Fri 17:00", "Mon 11:00", "Mon 13:00", "Mon 15:00"]),  # over a weekend
        ("send", "2026-11-23 10:30", ["Mon 12:30", "Mon 14:30", "Mon 16:30", "Wed 10:30"]),  # Tuesday is a day off
        ("send", "2026-11-28 22:00", ["Mon 11:00", "Mon 13:00", "Mon 15:00", "Tue 09:00"]),  # from a Saturday night
        ("wire", "2026-11-27 16:00", ["Mon 11:00", "Mon 11:36", "Mon 12:00"]),
        ("post", "2026-11-27 16:00", ["Fri 17:00", "Fri 18:00", "Fri 19:00", "Fri 20:00"]),  # on the wall clock
    ],
)
def test_people_are_reminded_and_others_asked_while_they_are_at_work(
    tmp_path: Path, tool: str, now: str, moments: list[str]
) -> None:
    begun = datetime.fromisoformat(now).replace(tzinfo=BERLIN).astimezone(UTC)
    clock, policy = Clock(begun), Policy.parse(NUDGED)
    with closing(Signoff(tmp_path / "s.db", policy=policy, clock=clock)) as signoff:
        action = opening(tool=tool).action
        opened = Opening("a" * 32, action, policy.rule(action, now=clock.now))
        signoff.desk.open([opened], policy=(policy.version, policy.document))
        seen = []
        while (seconds := signoff.seconds_to_next_moment()) < math.inf:
            clock.advance(seconds=seconds)
            signoff.expire()
            seen.append(clock.now.astimezone(BERLIN).strftime("%a %H:%M"))
    assert seen == moments


def test_an_edit_moves_no_reminder() -> None:
    policy, action = Policy.parse(NUDGED), opening(tool="send").action
    first, later = (policy.rule(action, now=MONDAY + timedelta(hours=h)).requirements for h in (0, 5))
    assert first.clock_shares != later.clock_shares
    assert (stricter(first, later).clock_shares, stricter(first, later).escalations) == (
        first.clock_shares,
        first.escalations,
    )
    assert stricter(first, Requirements(window=timedelta(hours=1))).clock_shares == ()


def test_more_time_is_business_time_too_and_ends_on_the_second(tmp_path: Path) -> None:
    clock = Clock(datetime(2026, 11, 27, 14, 0, 0, 600_000, tzinfo=UTC))  # a Friday
    policy = Policy.parse(OFFICE)
    with closing(Signoff(tmp_path / "s.db", policy=policy, clock=clock)) as signoff:
        action = opening(tool="send").action
        ruling = policy.rule(action, now=clock.now)
        signoff.desk.open([Opening("a" * 32, action, ruling)], policy=(policy.version, policy.document))
        assert str(signoff.ticket("a" * 32).due_at)[:19] == "2026-11-30 14:00:00"
        later = signoff.extend("a" * 32, by="ana", reason="he is ill")
        assert str(later.due_at)[:19] == "2026-12-01 14:00:00"


def test_the_schema_for_editors_knows_business_time() -> None:
    def takes(window: Any) -> bool:
        policy = {"version": 1, "queues": {"q": {"window": window, "hours": {"zone": "UTC"}}}}
        return jsonschema.Draft202012Validator(Policy.json_schema()).is_valid(policy)

    assert all(map(takes, ("4h", {"business": "1d"}, {"business": "end_of_day"})))
    assert not any(map(takes, (4, {"business": "1w"}, {"business": 1}, {})))


def test_of_two_windows_the_shorter_binds_and_is_shown_as_it_was_written() -> None:
    one, other = Requirements(window=timedelta(hours=3), business="3h"), Requirements(window=timedelta(hours=2))
    assert [stricter(one, other).business, stricter(other, one).business] == ["", ""]
    assert stricter(one, Requirements(window=timedelta(hours=4))).business == "3h"


def test_a_ticket_in_business_time_waits_over_the_weekend_and_expires_when_its_people_have_had_their_day(
    tmp_path: Path,
) -> None:
    def send(to: str) -> str:
        """Sends."""
        raise AssertionError("nobody has approved it")

    clock = Clock(datetime(2026, 11, 27, 14, 0, tzinfo=UTC))  # a Friday, three o'clock in Berlin
    signoff = Signoff(tmp_path / "s.db", policy=Policy.parse(OFFICE), clock=clock)
    with closing(signoff), agent(signoff, [send], [[("send", {"to": "bob"})], "Done."]) as graph:
        [ticket] = signoff.run(graph, {"messages": [("user", "go")]}, thread_id="t").tickets
        assert ticket.due_at == datetime(2026, 11, 30, 14, 0, tzinfo=UTC)
        assert "within 1d of business time" in str(ticket)
        clock.advance(hours=71)
        assert signoff.pending() == [signoff.ticket(ticket.id)]
        clock.advance(hours=1)
        assert signoff.expire() == ["t"]
        assert signoff.ticket(ticket.id).standing is Standing.EXPIRED
        assert signoff.resume(graph, thread_id="t").status == "completed"

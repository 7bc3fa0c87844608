"""Budgets: what calls come to in a period, and when that is too much. Pure.

Each budget has a stream for each period and each whom it counts for; each of its entries carries the sum up to it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from langgraph_signoff.entries import Draft, Entry, moment, stamp
from langgraph_signoff.vocabulary import Charge
from langgraph_signoff.vocabulary.base import plain

BUDGET = "budget-"
"""What the stream of a budget begins with; no ticket's does."""

_THIS = {"hour": "this hour", "day": "today", "week": "this week", "month": "this month"}


def stream(charge: Charge, now: datetime) -> str:
    """Where what is spent of a budget is counted at `now`; another limit is the same budget."""
    about = [charge.tool, charge.sum, charge.per, charge.by, charge.zone, charge.key, stamp(since(charge, now))]
    return BUDGET + hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]


def since(charge: Charge, now: datetime) -> datetime:
    """When the period began that `now` is in, by the clock of the budget's zone."""
    zone = UTC if charge.zone == "UTC" else ZoneInfo(charge.zone)
    local = now.astimezone(zone)
    if charge.per == "hour":
        return local.replace(minute=0, second=0, microsecond=0).astimezone(UTC)
    return datetime.combine(_first_day(charge.per, local.date()), time(), tzinfo=zone).astimezone(UTC)


def _first_day(per: str, day: date) -> date:
    if per == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if per == "month" else day


def spent(last: Entry | None) -> Decimal:
    """What a budget has come to, by the last entry of its stream."""
    return Decimal(last.body["total"]) if last else Decimal(0)


def is_over(charge: Charge, before: Decimal) -> bool:
    """Whether one more call of this amount is too much."""
    return before + charge.amount > charge.limit


def spend(charge: Charge, before: Decimal, ticket_id: str, now: datetime) -> Draft:
    """What a call that starts adds to its budget."""
    about = charge.model_dump(include={"tool", "sum", "per", "by", "zone", "key"})
    counted = {"ticket": ticket_id, "amount": plain(charge.amount), "total": plain(before + charge.amount)}
    return Draft("used", {**about, **counted, "since": stamp(since(charge, now))})


def words(charge: Charge, before: Decimal) -> str:
    """What is left of a budget, and what this call takes of it."""
    whose = f" for {charge.by} {charge.key}" if charge.by != "all" else ""
    left = max(charge.limit - before, Decimal(0))
    numbers = f"{plain(left)} of {plain(charge.limit)} left {_THIS[charge.per]}"
    return f"{numbers}{whose}, and this takes {plain(charge.amount)} ({charge.sum})"


def wrong_steps(history: Sequence[Entry]) -> list[str]:
    """What the entries of a budget say that those before them, or the name of its stream, contradict, in sentences."""
    found, before = [], Decimal(0)
    for entry in history:
        body = entry.body
        charge = Charge(
            **{key: body[key] for key in ("tool", "sum", "per", "by", "zone", "key", "amount")}, limit=Decimal(1)
        )
        if stream(charge, moment(body["since"])) != entry.stream:
            found.append(f"entry {entry.seq} belongs to another budget")
        if Decimal(body["total"]) != before + charge.amount:
            found.append(f"entry {entry.seq} counts otherwise than the entry before it")
        before = Decimal(body["total"])
    return found

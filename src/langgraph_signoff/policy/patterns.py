"""Expressions over one call that stand by themselves: whether it is of a kind, and what it comes to."""

from __future__ import annotations

import functools
from datetime import datetime
from decimal import Decimal
from typing import Any

from langgraph_signoff.policy.expressions import (
    BadExpression,
    Expression,
    compile_amount,
    compile_expression,
)
from langgraph_signoff.policy.rulebook import flaw
from langgraph_signoff.vocabulary import Action

READS = frozenset({"tool", "args", "actor", "requester", "thread", "now"})
"""What such an expression may read: what a call says of itself, and the time."""


class Doubt(ValueError):
    """An expression that cannot say what it should of this call."""


@functools.lru_cache(maxsize=1024)
def pattern(text: str) -> Expression:
    """A condition on one call. Raises BadExpression."""
    return _of_one_call(compile_expression(text, ()))


@functools.lru_cache(maxsize=1024)
def amount(text: str) -> Expression:
    """What one call comes to, as a number. Raises BadExpression."""
    return _of_one_call(compile_amount(text))


def fits(text: str, action: Action, now: datetime) -> bool:
    """Whether a call is as a pattern says. Raises Doubt."""
    try:
        return pattern(text).holds(_facts(action, now))
    except Doubt:
        raise
    except Exception as error:  # whatever an expression fails with is doubt
        raise Doubt(str(error)[:300]) from error


def amount_of(text: str, action: Action, now: datetime) -> Decimal:
    """What a call comes to: a finite number that is not negative. Raises Doubt."""
    try:
        found = amount(text).number(_facts(action, now))
    except Doubt:
        raise
    except Exception as error:  # whatever an expression fails with is doubt
        raise Doubt(str(error)[:300]) from error
    # As it is written: binary fractions do not add up to a limit.
    written = Decimal(str(found))
    if not written.is_finite() or written < 0:
        raise Doubt(f"is {found}")
    return written


def _of_one_call(expression: Expression) -> Expression:
    if strange := sorted(expression.variables - READS):
        raise BadExpression(f"reads {', '.join(strange)}; it may read {', '.join(sorted(READS))}")
    return expression


def _facts(action: Action, now: datetime) -> dict[str, Any]:
    if found := flaw(action.parsed):
        raise Doubt(f"args{found}")
    return {
        "tool": action.tool,
        "args": action.parsed,
        "actor": action.agent,
        "requester": action.requester or "",
        "thread": action.thread_id,
        "now": now,
    }

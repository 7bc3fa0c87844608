"""What the calls of some tools may come to in a period, as a policy says it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from langgraph_signoff.policy.describe import secret_path
from langgraph_signoff.policy.document import Budget, Document
from langgraph_signoff.policy.expressions import BadExpression
from langgraph_signoff.policy.index import ANY_TOOL, fits
from langgraph_signoff.policy.loading import Path, Place
from langgraph_signoff.policy.patterns import Doubt, amount, amount_of
from langgraph_signoff.vocabulary import Action, Charge, Ruling

if TYPE_CHECKING:
    from langgraph_signoff.policy.rulebook import Rulebook


def charged(ruling: Ruling, rulebook: Rulebook, action: Action, now: datetime) -> Ruling:
    """The ruling with what the call takes of each budget; a review if that cannot be told. What is allowed runs once then."""
    if ruling.mode == "deny":
        return ruling
    charges = []
    for budget in rulebook.budgets:
        try:
            charges.append(_charge(budget, action, now))
        except Doubt as doubt:
            return rulebook.doubt.model_copy(update={"detail": f"the budget's sum, {budget.sum}: {doubt}"})
    once = ruling.once or ruling.mode == "allow"
    return ruling.model_copy(update={"charges": tuple(charges), "once": once})


def _charge(budget: Budget, action: Action, now: datetime) -> Charge:
    whose = {"actor": action.agent, "requester": action.requester or "", "thread": action.thread_id, "all": ""}
    about = budget.model_dump(include={"tool", "sum", "per", "by", "zone", "limit"})
    return Charge(**about, key=whose[budget.by], amount=amount_of(budget.sum, action, now))


def budget_mistakes(document: Document) -> Iterator[tuple[Path, str, Place | None]]:
    """What is wrong with the budgets of a policy: where, why, and where within the text."""
    for number, budget in enumerate(document.budgets):
        path: Path = ("budgets", number)
        if any(_is_same(budget, other) for other in document.budgets[:number]):
            yield path, "counts what one before it counts; keep the lower limit", None
        try:
            amount(budget.sum)
        except BadExpression as error:
            yield (*path, "sum"), str(error), (error.line, error.column)
        try:
            ZoneInfo(budget.zone)
        except (ValueError, OSError, LookupError):
            yield (*path, "zone"), f"unknown time zone {budget.zone}; write it as Europe/Berlin", None
        if found := sorted(_shown_secrets(document, budget)):
            yield (*path, "sum"), f"{', '.join(found)} is redacted, and what is left of the budget would show it", None


def _is_same(one: Budget, other: Budget) -> bool:
    return one.model_copy(update={"limit": other.limit}) == other


def _shown_secrets(document: Document, budget: Budget) -> Iterator[str]:
    for name, entry in document.tools.items():
        if name == ANY_TOOL or fits(name, budget.tool) or fits(budget.tool, name):
            secrets = (path.split(".")[0] for written in entry.redact if (path := secret_path(written)))
            yield from (secret for secret in secrets if secret == "*" or secret in budget.sum)

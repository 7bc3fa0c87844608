"""Plans: the calls that one approval lets run, each as often as it says, in their order, until it ends. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field, StrictBool, field_validator

from langgraph_signoff.canonical import digest
from langgraph_signoff.durations import parse_duration
from langgraph_signoff.law.case import Case
from langgraph_signoff.law.strictness import stricter
from langgraph_signoff.vocabulary import Json, Requirements, Risk, Ruling, Standing, Word

PLAN_TOOL = "propose_plan"
"""The name of the tool by which an agent proposes a plan."""

# What a step may say of an argument ---------------------------------------------------------------------------------------

PATTERNS = (
    'a plain value for exactly that, {"any": true}, {"one_of": [...]}, {"at_least": 1, "at_most": 9} or one of the two, '
    '{"like": "invoice-*"} in which * stands for letters, digits, - and _, or {"exactly": {...}} for an object'
)


def fits(pattern: Json, value: Json) -> bool:
    """Whether a pattern permits this value of an argument: 5000 and 5000.0 are one number, true is none, null is a value."""
    match pattern:
        case {"any": _}:
            return True
        case {"exactly": exact}:
            return _same(exact, value)
        case {"one_of": choices}:
            return any(_same(choice, value) for choice in choices)
        case {"like": text}:
            return isinstance(value, str) and _is_like(text, value)
        case dict():
            return _is_number(value) and pattern.get("at_least", value) <= value <= pattern.get("at_most", value)
    return _same(pattern, value)


def is_pattern(value: Json) -> bool:
    """Whether a step may say this of an argument."""
    return not isinstance(value, dict) or _SHAPES.get(frozenset(value), _no)(value)


def exactly(value: Json) -> Json:
    """The pattern that permits this value and no other."""
    return {"exactly": value} if isinstance(value, dict) else value


def _no(pattern: Mapping[str, Json]) -> bool:  # noqa: ARG001  # the shape of a check
    return False


_SHAPES: Mapping[frozenset[str], Callable[[Mapping[str, Json]], bool]] = {
    frozenset({"any"}): lambda pattern: pattern["any"] is True,
    frozenset({"exactly"}): lambda pattern: True,  # noqa: ARG005  # the shape of a check
    frozenset({"one_of"}): lambda pattern: isinstance(pattern["one_of"], list) and bool(pattern["one_of"]),
    frozenset({"like"}): lambda pattern: isinstance(pattern["like"], str) and pattern["like"].count("*") == 1,
    frozenset({"at_least"}): lambda pattern: _is_number(pattern["at_least"]),
    frozenset({"at_most"}): lambda pattern: _is_number(pattern["at_most"]),
    frozenset({"at_least", "at_most"}): lambda pattern: (
        _is_number(pattern["at_least"]) and _is_number(pattern["at_most"]) and pattern["at_least"] <= pattern["at_most"]
    ),
}


def _same(one: Json, other: Json) -> bool:
    return digest("", {"": one}) == digest("", {"": other})


def _is_number(value: Json) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))


def _is_like(pattern: str, text: str) -> bool:
    # Neither a slash nor a dot nor an @: whoever permits `reports/*` has not permitted `reports/../..`.
    head, _, tail = pattern.partition("*")
    between = text[len(head) : len(text) - len(tail)]
    return f"{head}{between}{tail}" == text and bool(between) and all(c.isalnum() or c in "-_" for c in between)


# What a plan says ---------------------------------------------------------------------------------------------------------


class Step(Word):
    """Calls that a plan permits: of which tool, with which arguments, and how many."""

    tool: str = Field(min_length=1, description="The tool to be called.")
    args: dict[str, Json] = Field(
        default={}, description=f"What each argument of the call will be, by its name: {PATTERNS}. No other is given."
    )
    times: int = Field(default=1, strict=True, ge=1, le=100, description="How many such calls.")

    @field_validator("args")
    @classmethod
    def _only_patterns(cls, args: dict[str, Json]) -> dict[str, Json]:
        for name, pattern in args.items():
            if not is_pattern(pattern):
                words = ", ".join(map(str, pattern)) or "nothing in it"
                raise ValueError(f"{name}: an object with {words} is no pattern; write {PATTERNS}")
        return args

    @property
    def exact(self) -> dict[str, Json] | None:
        """The arguments of the one call that it describes, or None if it describes several."""
        values = {}
        for name, pattern in self.args.items():
            if isinstance(pattern, dict) and "exactly" not in pattern:
                return None
            values[name] = pattern["exactly"] if isinstance(pattern, dict) else pattern
        return values

    def permits(self, tool: str, parsed: Mapping[str, Json]) -> bool:
        """Whether a call is one of them: the same tool, the same arguments by name, and each fits."""
        if tool != self.tool or parsed.keys() != self.args.keys():
            return False
        return all(fits(pattern, parsed[name]) for name, pattern in self.args.items())


class Plan(Word):
    """What an agent wants to have approved at once."""

    steps: tuple[Step, ...] = Field(min_length=1, max_length=50, description="The calls, in their order.")
    ordered: StrictBool = Field(
        default=True, description="Whether a step may begin only when all calls of those before it have succeeded."
    )
    valid_for: str = Field(
        default="1h",
        pattern=r"^[1-9][0-9]{0,8}[smhd]$",
        description="How long it holds from its approval on: 90s, 15m, 2h or 3d.",
    )

    @property
    def span(self) -> timedelta:
        """How long it wants to hold."""
        return parse_duration(self.valid_for)

    def free_step(self, used: Sequence[int], tool: str, parsed: Mapping[str, Json]) -> int | None:
        """The step that a call would be a use of, counted from 1, after these uses; None if it is not permitted."""
        counts = Counter(used)
        for number, step in enumerate(self.steps, start=1):
            if counts[number] < step.times:
                if step.permits(tool, parsed):
                    return number
                if self.ordered:
                    return None
        return None


def plan_of(case: Case) -> Plan | None:
    """The plan that a ticket is about; None if it is about something else, or cannot be read any more."""
    if case.kind != "plan" or case.erased:
        return None
    try:
        return Plan.model_validate(case.parsed)
    except ValueError:
        return None


# What it asks of those who approve it -------------------------------------------------------------------------------------


def ruled_as_plan(own: Ruling, steps: Sequence[Ruling]) -> Ruling:
    """The review of a plan, from what the policy says of plans and of each step: nowhere below any of them."""
    reviews = [ruling.requirements for ruling in steps if ruling.mode == "review"]
    needs = own.requirements
    for each in reviews:
        needs = stricter(needs, each)
    queues = (each.queue for each in (own.requirements, *reviews) if each.queue != "default")
    # Whatever stands below a secret argument of one tool is masked in the steps of all: no edit can move it into view.
    secrets = [f"steps.args.{path.split('.')[0]}" for ruling in steps for path in ruling.redact]
    return own.model_copy(
        update={
            "mode": "review",
            # What a step's rule calls in time quotes the arguments of that step; a plan has none of these.
            "requirements": needs.model_copy(
                update={"queue": next(queues, "default"), "on_timeout": own.requirements.on_timeout}
            ),
            "redact": tuple(dict.fromkeys((*own.redact, *secrets))),
            "risk": _worst([own.risk, *(ruling.risk for ruling in steps)]),
            "at_the_end": False,
            "audit": None,
            # It does nothing but tell the agent that it stands: who dies on the way may say it again.
            "idempotent": True,
        }
    )


def _worst(risks: Sequence[Risk]) -> Risk:
    spans, stakes = (None, "one", "some", "all"), (None, "low", "medium", "high")
    known = [risk.reversible for risk in risks if risk.reversible is not None]
    return Risk(
        reversible=all(known) if known else None,
        blast_radius=max((risk.blast_radius for risk in risks), key=spans.index),
        compliance=tuple(dict.fromkeys(name for risk in risks for name in risk.compliance)),
        stakes=max((risk.stakes for risk in risks), key=stakes.index),
    )


def covers(approved: Requirements, asked: Requirements) -> bool:
    """Whether whoever approved under the first has given at least what the second asks for."""
    return (
        all(any(set(mine) <= set(clause) for mine in approved.reviewers) for clause in asked.reviewers)
        and approved.approvals >= asked.approvals
        and set(asked.panels) <= set(approved.panels)
        and approved.rejections <= asked.rejections
        and set(asked.barred) <= set(approved.barred)
        and approved.use_within <= asked.use_within
        and (approved.reason == "required" or asked.reason == "optional")
        and set(asked.checklist) <= set(approved.checklist)
        and (asked.read_for or _NO_TIME) <= (approved.read_for or _NO_TIME)
    )


# What an approved one permits ---------------------------------------------------------------------------------------------

_NO_TIME = timedelta(0)

Turn = Literal["now", "later", "never"]


def span(case: Case) -> timedelta | None:
    """How long a plan holds from its approval on: as it says, and never longer than its approval may wait to be used."""
    plan = plan_of(case)
    return min(plan.span, case.requirements.use_within) if plan else None


def until(case: Case) -> datetime | None:
    """When an approved plan ends by itself; None before it is approved."""
    length = span(case)
    return case.agreed_at + length if case.agreed_at and length else None


def stands(case: Case) -> bool:
    """Whether calls may run on a plan, at the instant of the fold: people have approved it, and it has not ended."""
    return case.standing is Standing.EXECUTED and not case.ended and until(case) is not None


def step_for(
    case: Case, taken: Sequence[int], call: tuple[str, Mapping[str, Json]], standings: Mapping[str, str]
) -> int | None:
    """The step of a plan that a call (its tool, its arguments) would be a use of, counted from 1; None if it is not permitted.

    `taken`: the steps that calls beside it are about to use. `standings`: of the plan's uses on record, by ticket.
    """
    plan = plan_of(case)
    if plan is None or not stands(case):
        return None
    step = plan.free_step([*(use.step for use in case.uses), *taken], *call)
    waits_for = [use.ticket for use in case.uses if plan.ordered and step and use.step < step]
    return step if {standings.get(ticket) for ticket in waits_for} <= _MAY_COME else None


def permits_later(case: Case, call: tuple[str, Mapping[str, Json]]) -> bool:
    """Whether a plan that stands permits a call as soon as steps before it are used."""
    plan, used = plan_of(case), Counter(use.step for use in case.uses)
    if plan is None or not plan.ordered or not stands(case):
        return False
    return any(step.permits(*call) and used[number] < step.times for number, step in enumerate(plan.steps, start=1))


def before(case: Case, ticket_id: str) -> tuple[str, ...]:
    """The tickets that must have run before this one, which is on record as a use of a plan."""
    plan = plan_of(case)
    step = next((use.step for use in case.uses if use.ticket == ticket_id), 0)
    return tuple(use.ticket for use in case.uses if plan and plan.ordered and use.step < step)


def turn(case: Case, call: Case, standings: Mapping[str, str]) -> Turn:
    """Whether a call that rests on a plan may start. `standings`: of those that must have run before it, by ticket."""
    plan, tickets = plan_of(case), [use.ticket for use in case.uses]
    if plan is None or not stands(case) or call.id not in tickets:
        return "never"
    place = tickets.index(call.id)
    earlier = [use.step for use in case.uses[:place]]
    if plan.free_step(earlier, call.opening["tool"], call.parsed) != case.uses[place].step:
        return "never"
    found = {standings.get(ticket) for ticket in before(case, call.id)}
    return "now" if found <= {Standing.EXECUTED} else "later" if found <= _MAY_COME else "never"


_MAY_COME = frozenset({Standing.APPROVED, Standing.RUNNING, Standing.EXECUTED})

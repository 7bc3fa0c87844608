"""The rules of plans, without a ledger: what a pattern fits, and what an approved plan permits when."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from langgraph_signoff import law
from langgraph_signoff.law import Case, Plan, Say, Step, covers, stricter
from langgraph_signoff.law.plans import fits, is_pattern
from langgraph_signoff.ledger import Draft, Entry, link
from langgraph_signoff.records import to_draft, to_row
from langgraph_signoff.vocabulary import Requirements, Risk, Standing, Verdict
from support import NOW, json_values, opening
from test_law import PANELS

# Patterns -----------------------------------------------------------------------------------------------------------------

FITS: list[tuple[Any, list[Any], list[Any]]] = [
    (5000, [5000, 5000.0], [5001, "5000", True, None, [5000]]),
    (1, [1, 1.0], [True, "1", 1.0000001]),
    (True, [True], [1, 1.0, "true", False]),
    (None, [None], [0, "", False, {}]),
    ("bob", ["bob"], ["Bob", "bob ", "", "bo"]),
    ([1, 2], [[1, 2], [1.0, 2]], [[2, 1], [1], [1, 2, 3]]),
    ({"any": True}, [None, 0, "", {}, {"any": True}, [1]], []),
    ({"exactly": {"to": "bob"}}, [{"to": "bob"}], [{"to": "eve"}, {"to": "bob", "cc": 1}, "bob", {}]),
    ({"exactly": {"any": True}}, [{"any": True}], [1, {}]),
    ({"one_of": ["a", 2]}, ["a", 2, 2.0], ["b", 3, None, ["a"], True]),
    ({"at_most": 10}, [10, 10.0, -3, 9.99], [10.01, "9", True, None, float("nan"), float("inf"), [1]]),
    ({"at_least": 0.5}, [0.5, 1, 10**400], [0, 0.49, "1", float("nan"), -float("inf"), float("inf")]),
    ({"at_least": 1, "at_most": 3}, [1, 2.5, 3], [0, 4, True, "2"]),
    ({"like": "invoice-*"}, ["invoice-114", "invoice-a_b-2"], ["invoice-", "invoice-1.pdf", "my invoice-1", 114]),
    ({"like": "*@acme.com"}, ["bob@acme.com"], ["bob@acme.com.evil.com", "eve@x.com,bob@acme.com", "@acme.com"]),
    ({"like": "reports/*"}, ["reports/q3"], ["reports/../etc", "reports/..", "reports/a/b", "reports/a\nb"]),
    ({"like": "a*a"}, ["aba", "aaa"], ["a", "aa", "ab"]),
]


@pytest.mark.parametrize(("pattern", "good", "bad"), FITS, ids=lambda value: str(value)[:30])
def test_a_pattern_fits_what_it_says_and_nothing_else(pattern: Any, good: list[Any], bad: list[Any]) -> None:
    assert is_pattern(pattern)
    assert [value for value in good if not fits(pattern, value)] == []
    assert [value for value in bad if fits(pattern, value)] == []


WRONG: list[Any] = [
    {},
    {"any": False},
    {"any": 1},
    {"any": True, "at_most": 5},
    {"atmost": 5},
    {"to": "bob"},
    {"one_of": []},
    {"one_of": "abc"},
    {"at_most": "5"},
    {"at_most": True},
    {"at_most": float("inf")},
    {"at_least": float("nan")},
    {"at_least": 3, "at_most": 1},
    {"like": "bob"},
    {"like": "*-*"},
    {"like": 5},
]


@pytest.mark.parametrize("pattern", WRONG, ids=str)
def test_an_object_that_is_no_pattern_is_refused_by_the_name_of_its_argument(pattern: Any) -> None:
    with pytest.raises(ValueError, match=r"amount: an object with .* is no pattern; write a plain value"):
        Step(tool="send", args={"amount": pattern})


@settings(deadline=None)
@given(json_values, json_values)
def test_a_plain_value_fits_itself_only(one: Any, other: Any) -> None:
    assert fits(law.exactly(one), one)
    assert is_pattern(law.exactly(one))
    if one != other:
        assert not fits(law.exactly(one), other)


@settings(deadline=None)
@given(st.text("ab-/.@ *", max_size=6), st.text("ab-/.@ ", max_size=8))
def test_a_star_stands_for_no_more_than_a_shell_would_let_it(pattern: str, text: str) -> None:
    if is_pattern({"like": pattern}) and fits({"like": pattern}, text):
        assert fnmatch.fnmatchcase(text, pattern)
        head, _, tail = pattern.partition("*")
        assert text[len(head) : len(text) - len(tail)].strip("ab-") == ""


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from("xyz"), st.just({"any": True}), max_size=3), st.frozensets(st.sampled_from("xyz"))
)
def test_a_call_has_exactly_the_arguments_that_its_step_names(args: dict[str, Any], given_: frozenset[str]) -> None:
    assert Step(tool="send", args=args).permits("send", dict.fromkeys(given_, 1)) == (given_ == set(args))
    assert not Step(tool="send", args=args).permits("sends", dict.fromkeys(args, 1))


@pytest.mark.parametrize(
    "plan",
    [
        {"steps": []},
        {"steps": [{"tool": "send"}] * 51},
        {"steps": [{"tool": "send", "times": 0}]},
        {"steps": [{"tool": "send", "times": 101}]},
        {"steps": [{"tool": "send", "times": True}]},
        {"steps": [{"tool": "send", "times": 1.5}]},
        {"steps": [{"tool": ""}]},
        {"steps": [{"tool": "send", "when": "now"}]},
        {"steps": [{"tool": "send"}], "valid_for": "for ever"},
        {"steps": [{"tool": "send"}], "valid_for": "0s"},
        {"steps": [{"tool": "send"}], "ordered": "perhaps"},
        {"steps": [{"tool": "send"}], "more": 1},
        {},
    ],
    ids=str,
)
def test_a_plan_of_another_shape_is_refused(plan: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the words are pydantic's
        Plan.model_validate(plan)


# What a plan permits ------------------------------------------------------------------------------------------------------

Call = tuple[str, dict[str, Any]]
Made = tuple[int, Call, str]
"""A use: the step, the call, and its ticket."""


@dataclass
class Story:
    """A plan's history without a ledger, and what has come of the calls that it let through."""

    history: list[Entry]
    now: Any = NOW
    made: list[Made] = field(default_factory=list)
    standings: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: dict[str, Any], **more: Any) -> Story:
        made = opening(plan, kind="plan", tool=law.PLAN_TOOL, **more)
        return cls(link(made.id, None, [to_draft(made)], NOW))

    @property
    def case(self) -> Case:
        return law.fold(self.history, self.now)

    def write(self, *drafts: Draft) -> None:
        self.history += link(self.history[0].stream, self.history[-1], list(drafts), self.now)

    def approve(self, by: str = "ana") -> Story:
        self.write(*law.decide(self.case, Say(Verdict.APPROVE, by, self.case.digest), None))
        return self

    def announce(self) -> Story:
        self.write(
            Draft("claimed", {"attempt": 1, "owner": "{}", "lease": 10.0}), Draft("executed", {"attempt": 1}, {})
        )
        return self

    def after(self, **span: float) -> Story:
        self.now += timedelta(**span)
        return self

    def propose(self, call: Call) -> int | None:
        """The step that lets a call through; the use is written down then."""
        step = law.step_for(self.case, [], call, self.standings)
        if step is not None:
            ticket = f"ticket-{len(self.made)}"
            self.write(Draft("used", {"step": step, "ticket": ticket}))
            self.made.append((step, call, ticket))
            self.standings[ticket] = Standing.APPROVED
        return step

    def turn(self, place: int) -> law.Turn:
        """What a call that was let through finds when it would start."""
        _, (tool, args), ticket = self.made[place]
        made = opening(args, mode="allow", tool=tool)
        call = law.recorded(link(ticket, None, [to_draft(made)], NOW))
        return law.turn(self.case, call, {id_: self.standings[id_] for id_ in law.before(self.case, ticket)})


values = st.integers(0, 2)
patterns = st.one_of(
    values,
    st.just({"any": True}),
    st.builds(lambda bound: {"at_most": bound}, values),
    st.builds(lambda some: {"one_of": some}, st.lists(values, min_size=1, max_size=2)),
)
tools = st.sampled_from(["a", "b"])
steps = st.builds(
    lambda tool, x, times: {"tool": tool, "args": {"x": x}, "times": times}, tools, patterns, st.integers(1, 2)
)
plans = st.builds(
    lambda steps, ordered: {"steps": steps, "ordered": ordered, "valid_for": "1h"},
    st.lists(steps, min_size=1, max_size=3),
    st.booleans(),
)
calls = st.builds(lambda tool, x: (tool, {"x": x}), tools, values)
events = st.one_of(
    calls,
    st.sampled_from([Standing.EXECUTED, Standing.FAILED, Standing.PENDING, Standing.RUNNING]),
    st.integers(1, 40),  # minutes
    st.just("withdraw"),
)


def is_permitted(pattern: Any, x: int) -> bool:
    """The same question, asked in another way."""
    match pattern:
        case int():
            return pattern == x
        case {"any": True}:
            return True
        case {"at_most": bound}:
            return x <= bound
        case {"one_of": some}:
            return x in some
    raise AssertionError(pattern)


@settings(deadline=None)
@given(plans, st.lists(events, max_size=14))
@example(
    {"steps": [{"tool": "a", "args": {"x": 1}, "times": 1}], "ordered": True, "valid_for": "1h"}, [("a", {"x": 1})]
)
def test_a_plan_permits_only_what_its_steps_say_as_often_in_their_order_and_until_its_end(
    plan: dict[str, Any], told: list[Any]
) -> None:
    story, ended = Story.of(plan).approve().announce(), False
    for event in told:
        match event:
            case (tool, {"x": x}):
                count, step = len(story.made), story.propose(event)
                over = ended or story.now >= NOW + timedelta(hours=1)
                assert not (over and step is not None)
                if step is not None:
                    said = plan["steps"][step - 1]
                    assert said["tool"] == tool
                    assert is_permitted(said["args"]["x"], x)
                    assert len(story.made) == count + 1
            case "withdraw":
                if law.stands(story.case):
                    story.write(*law.withdraw(story.case, by="ana", reason=""))
                ended = True
            case int():
                story.after(minutes=event)
            case standing:
                waiting = [t for _, _, t in story.made if story.standings[t] in (Standing.APPROVED, Standing.RUNNING)]
                if waiting:
                    story.standings[waiting[0]] = standing
    used = [step for step, _, _ in story.made]
    times = {number: step["times"] for number, step in enumerate(plan["steps"], start=1)}
    assert all(used.count(number) <= times[number] for number in times)
    if plan["ordered"]:
        assert used == sorted(used)
        assert all(used.count(number) == times[number] for number in times if used and number < used[-1])


@settings(deadline=None)
@given(plans, st.lists(calls, min_size=2, max_size=8), st.data())
def test_a_step_of_an_ordered_plan_starts_only_when_all_before_it_have_run(
    plan: dict[str, Any], proposed: list[Call], data: st.DataObject
) -> None:
    story = Story.of(plan).approve().announce()
    for call in proposed:
        story.propose(call)
    assume(len(story.made) > 1)
    for _, _, ticket in story.made:
        story.standings[ticket] = data.draw(st.sampled_from([s for s in Standing if s is not Standing.DENIED]))
    for place, (step, _, _) in enumerate(story.made):
        found = {story.standings[t] for s, _, t in story.made if s < step} if plan["ordered"] else set()
        if found <= {Standing.EXECUTED}:
            expected = "now"
        else:
            still = {Standing.EXECUTED, Standing.APPROVED, Standing.RUNNING}
            expected = "later" if found <= still else "never"
        assert story.turn(place) == expected


def test_nothing_starts_on_a_plan_that_has_ended() -> None:
    plan = {"steps": [{"tool": "a", "args": {"x": 1}}], "valid_for": "1h"}
    for end in (lambda s: s.after(hours=1), lambda s: s.write(*law.withdraw(s.case, by="ana", reason="no"))):
        story = Story.of(plan).approve().announce()
        assert story.propose(("a", {"x": 1})) == 1
        assert story.turn(0) == "now"
        end(story)
        assert story.turn(0) == "never"


def forged(story: Story, step: int, ticket: str) -> None:
    story.write(Draft("used", {"step": step, "ticket": ticket}))


def test_a_use_that_the_plan_would_not_have_given_lets_nothing_start() -> None:
    steps = [{"tool": "a", "args": {"x": 1}}, {"tool": "b", "args": {"x": 2}}]
    for made, why in [
        ((1, ("a", {"x": 2})), "other arguments"),
        ((1, ("b", {"x": 1})), "another tool"),
        ((2, ("b", {"x": 2})), "out of order"),
        ((3, ("a", {"x": 1})), "no such step"),
        ((1, ("a", {"x": 1, "y": 1})), "more arguments"),
    ]:
        story = Story.of({"steps": steps}).approve().announce()
        story.made.append((*made, "ticket-0"))
        assert story.turn(0) == "never", "it is not among the plan's uses"
        forged(story, made[0], "ticket-0")
        assert story.turn(0) == "never", why
    story = Story.of({"steps": steps}).approve().announce()
    story.propose(("a", {"x": 1}))
    story.made.append((1, ("a", {"x": 1}), "ticket-1"))
    forged(story, 1, "ticket-1")
    assert [story.turn(0), story.turn(1)] == ["now", "never"], "once too often"


def test_a_plan_permits_nothing_before_it_is_approved_and_announced() -> None:
    plan, call = {"steps": [{"tool": "a", "args": {"x": 1}}]}, ("a", {"x": 1})
    story = Story.of(plan, approvals=2)
    assert story.propose(call) is None
    assert story.approve().propose(call) is None
    assert story.approve("cem").propose(call) is None
    assert story.announce().propose(call) == 1


def test_a_plan_that_nobody_has_approved_permits_nothing_whatever_its_entries_say() -> None:
    story = Story.of({"steps": [{"tool": "a", "args": {"x": 1}}]}, mode="allow", once=True).announce()
    assert story.case.standing is Standing.EXECUTED
    assert story.propose(("a", {"x": 1})) is None


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 90))
def test_a_plan_holds_from_its_approval_for_as_long_as_it_says_and_the_policy_lets_it(
    valid: int, use_within: int, waited: int
) -> None:
    plan = {"steps": [{"tool": "a", "args": {"x": 1}}], "valid_for": f"{valid}h"}
    story = Story.of(plan, use_within=timedelta(hours=use_within), approvals=2).after(minutes=waited).approve()
    story.after(minutes=5).approve("cem")
    agreed = story.now
    story.after(minutes=7).announce()
    end = agreed + timedelta(hours=min(valid, use_within))
    assert law.until(story.case) == end == story.case.expires_at
    assert to_row(story.case).due_at is not None
    story.now = end - timedelta(microseconds=1)
    assert law.stands(story.case)
    story.now = end
    assert not law.stands(story.case)
    assert story.case.ended == "its time is over"
    [draft] = law.silence(law.recorded(story.history), story.now)
    story.write(draft)
    story.now = agreed  # a clock that jumped back brings nothing back
    assert not law.stands(story.case)
    assert story.case.standing is Standing.EXECUTED
    assert to_row(story.case).due_at is None


def test_a_run_again_of_an_idempotent_announcement_does_not_lengthen_a_plan() -> None:
    plan = {"steps": [{"tool": "a", "args": {"x": 1}}], "valid_for": "1h"}
    story = Story.of(plan).approve()
    story.write(Draft("claimed", {"attempt": 1, "owner": "{}", "lease": 10.0}), Draft("in_doubt", {"attempt": 1}))
    story.after(minutes=30)
    story.write(Draft("retried", {"attempt": 1}), Draft("claimed", {"attempt": 2, "owner": "{}", "lease": 10.0}))
    story.write(Draft("executed", {"attempt": 2}, {}))
    assert law.until(story.case) == NOW + timedelta(hours=1)


def test_an_erased_plan_permits_nothing() -> None:
    story = Story.of({"steps": [{"tool": "a", "args": {"x": 1}}]}).approve().announce()
    story.history = [entry.without_contents() for entry in story.history]
    assert story.propose(("a", {"x": 1})) is None


# What a plan asks for -----------------------------------------------------------------------------------------------------

clauses = st.lists(
    st.lists(st.sampled_from(["ana", "group:finance", "group:leads"]), min_size=1, max_size=2).map(tuple)
)
needs = st.builds(
    Requirements,
    reviewers=clauses.map(tuple),
    approvals=st.integers(1, 3),
    rejections=st.integers(1, 2),
    panels=st.lists(st.sampled_from(PANELS), max_size=2, unique=True).map(tuple),
    barred=st.lists(st.sampled_from(["requester", "author"]), unique=True).map(tuple),
    use_within=st.integers(1, 3).map(lambda hours: timedelta(hours=hours)),
    reason=st.sampled_from(["required", "optional"]),
)


@settings(deadline=None)
@given(needs, needs)
def test_what_is_stricter_than_two_covers_both(one: Requirements, other: Requirements) -> None:
    both = stricter(one, other)
    assert covers(both, one)
    assert covers(both, other)
    assert covers(one, other) or stricter(one, other) != one


@settings(deadline=None)
@given(needs, needs, st.lists(st.tuples(st.sampled_from(["ana", "cem"]), st.sampled_from(["finance", "leads", ""]))))
def test_who_may_decide_what_covers_may_decide_what_is_covered(
    one: Requirements, other: Requirements, known: Sequence[tuple[str, str]]
) -> None:
    people = {name: frozenset(group for who, group in known if who == name) for name, _ in known}
    if covers(one, other):
        assert set(other.panels) <= set(one.panels)
        for by, requester in itertools.product(people, [None, "ana", "cem"]):
            # Of a panel each fills a part, and all parts are filled.
            if not one.panels and law.why_not(one, by=by, people=people, involved=law.Involved(requester)) is None:
                assert law.why_not(other, by=by, people=people, involved=law.Involved(requester)) is None
        assert one.approvals >= other.approvals
        assert one.rejections <= other.rejections


@settings(deadline=None)
@given(needs, st.lists(needs, max_size=3))
def test_a_plan_asks_for_all_that_its_steps_would_ask_for(own: Requirements, each: list[Requirements]) -> None:
    base = opening().ruling.model_copy(update={"requirements": own})
    ruled = law.ruled_as_plan(base, [base.model_copy(update={"requirements": needs}) for needs in each])
    assert ruled.mode == "review"
    assert all(covers(ruled.requirements, needs) for needs in [own, *each])


def test_a_plan_shows_the_worst_of_its_steps_risks_and_hides_what_each_of_them_hides() -> None:
    base = opening().ruling
    rulings = [
        base.model_copy(update={"risk": Risk(reversible=True, stakes="low", compliance=("gdpr",)), "redact": ("pin",)}),
        base.model_copy(update={"risk": Risk(reversible=False, blast_radius="some"), "redact": ("card.number", "pin")}),
    ]
    ruled = law.ruled_as_plan(base, rulings)
    assert ruled.risk == Risk(reversible=False, blast_radius="some", stakes="low", compliance=("gdpr",))
    assert ruled.redact == ("steps.args.pin", "steps.args.card")

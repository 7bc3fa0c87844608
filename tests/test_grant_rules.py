"""The law of grants: one property for each rule."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_signoff import law
from langgraph_signoff.errors import DecisionRefused, GrantRefused, IncompleteDecision, NotAllowedToDecide
from langgraph_signoff.law import Say
from langgraph_signoff.law import grants as grant_law
from langgraph_signoff.law.grants import GRANT, LONGEST, LONGEST_AT_HIGH_STAKES, Giver
from langgraph_signoff.ledger import Draft, Entry, link
from langgraph_signoff.panels import fewest
from langgraph_signoff.policy.expressions import BadExpression
from langgraph_signoff.policy.patterns import Doubt, amount, amount_of, fits, pattern
from langgraph_signoff.records import to_draft
from langgraph_signoff.vocabulary import (
    Grant,
    Panel,
    Requirements,
    Risk,
    Ruling,
    Slot,
    Standing,
    Terms,
    Total,
    Verdict,
)
from support import NOW, json_values, opening

PEOPLE = {
    "ana": frozenset({"finance"}),
    "cem": frozenset({"finance", "leads"}),
    "deniz": frozenset({"leads"}),
    "eda": frozenset[str](),
}
names = st.sampled_from(sorted(PEOPLE))
some_names = st.lists(names, unique=True, min_size=1)
args = st.dictionaries(st.sampled_from(["to", "amount", "pin"]), json_values, max_size=3)
amounts = st.decimals("0", "9", places=2)


def ruling(**more: Any) -> Ruling:
    return opening(**more).ruling


def terms(**more: Any) -> Terms:
    return Terms(**{"tool": "send", "args": {"to": "bob"}, "until": NOW + timedelta(days=1), **more})


class Story:
    """A grant's history, without a ledger."""

    def __init__(self, *, by: str = "ana", effect: Any = "allow", people: law.People = None, **more: Any) -> None:
        self.people, self.reviews = people, [more.pop("ruling", ruling(barred=()))]
        given = Giver(by, "rent")
        self.now = NOW
        draft = grant_law.give(terms(**more), effect, given, reviews=self.reviews, people=people, now=NOW)
        self.history: list[Entry] = link(f"{GRANT}1", None, [draft], NOW)

    @property
    def grant(self) -> Grant:
        return grant_law.read(self.history[0], self.history[-1], self.now)

    def write(self, draft: Draft) -> Grant:
        self.history += link(f"{GRANT}1", self.history[-1], [draft], self.now)
        return self.grant

    def use(self, amount: Decimal = Decimal(0)) -> Grant:
        return self.write(grant_law.used(grant_law.taken(self.grant, amount), "t", amount))

    def second(self, by: str) -> Grant:
        return self.write(grant_law.second(self.grant, by=by, reviews=self.reviews, people=self.people))

    def revoke(self, by: str = "ana") -> Grant:
        return self.write(grant_law.revoke(self.grant, by=by, reason="enough", people=self.people))


# What it is about ---------------------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(args, args)
def test_exact_arguments_cover_themselves_only(mine: dict[str, Any], its: dict[str, Any]) -> None:
    action = opening(its).action
    grant = Story(args=mine).grant
    assert grant_law.covers(grant, action, fits_nothing) == (opening(mine).action.digest == action.digest)


def fits_nothing(text: str, action: Any) -> bool:
    raise AssertionError("there is no pattern to ask")


@given(
    st.sampled_from([None, "a", "b"]), st.sampled_from(["a", "b"]), st.sampled_from(["agent", "requester", "resource"])
)
def test_whoever_is_named_must_be_the_one_and_nobody_named_is_anybody(mine: str | None, its: str, part: str) -> None:
    action = opening({"to": "bob"}, **{part: its}).action
    assert grant_law.covers(Story(**{part: mine}).grant, action, fits_nothing) == (mine in (None, its))


@pytest.mark.parametrize("about", [{"tool": "pay"}, {"kind": "node"}, {"kind": "question"}, {"kind": "undo"}], ids=str)
def test_a_grant_is_about_one_tool_or_one_node(about: dict[str, str]) -> None:
    assert not grant_law.covers(Story().grant, opening({"to": "bob"}, **about).action, fits_nothing)
    if about == {"kind": "node"}:
        assert grant_law.covers(Story(kind="node").grant, opening({"to": "bob"}, **about).action, fits_nothing)


def test_empty_arguments_mean_no_arguments_and_nothing_means_nothing() -> None:
    assert not grant_law.covers(Story(args={}).grant, opening({"to": "bob"}).action, fits_nothing)
    assert grant_law.covers(Story(args={}).grant, opening({}).action, fits_nothing)
    for vague in ({"args": None}, {"args": None, "when": "  "}, {"args": {}, "when": "true"}):
        with pytest.raises(GrantRefused, match="for exact arguments"):
            Story(**vague)


# When it ends -------------------------------------------------------------------------------------------------------------


@given(st.integers(-10, 10 * 86400), st.integers(-5, 5))
def test_a_permission_never_outlives_its_end_wherever_the_clock_jumps(start: int, jump: int) -> None:
    story = Story()
    story.now = NOW + timedelta(seconds=start)
    grant = story.grant
    assert grant.stands == (story.now < grant.until)
    for draft in grant_law.run_out(grant, story.now):
        story.write(draft)
    story.now = NOW + timedelta(days=jump)
    assert not (grant.ended and story.grant.stands)


def test_a_grant_that_was_used_is_never_read_as_of_before_that() -> None:
    story = Story()
    story.now = NOW + timedelta(days=2)
    late = story.write(grant_law.used(Story().grant, "t", Decimal(0)))
    story.now = NOW
    assert late.ended == story.grant.ended == "its time is over"


@pytest.mark.parametrize(
    ("stakes", "more", "problem"),
    [
        ("low", {"until": NOW}, "would have ended"),
        ("low", {"until": NOW + LONGEST + timedelta(seconds=1)}, "longer than 366d"),
        ("high", {}, "high stakes"),
        ("high", {"uses": 5, "until": NOW + LONGEST_AT_HIGH_STAKES + timedelta(seconds=1)}, "high stakes"),
        ("low", {"until": NOW + LONGEST}, ""),
        ("high", {"uses": 5}, ""),
        ("high", {"total": Total(sum="args.amount", limit=Decimal(5))}, ""),
    ],
)
def test_there_is_always_an_end_and_with_high_stakes_a_near_one(
    stakes: Any, more: dict[str, Any], problem: str
) -> None:
    ruled = ruling(risk=Risk(stakes=stakes))
    if problem:
        with pytest.raises(GrantRefused, match=problem):
            Story(ruling=ruled, **more)
    else:
        assert grant_law.binds(Story(ruling=ruled, **more).grant, ruled, people=None, requester=None)


def test_what_gets_high_stakes_later_is_no_longer_permitted_without_a_count() -> None:
    ruled = ruling(risk=Risk(stakes="high"))
    assert not grant_law.binds(Story().grant, ruled, people=None, requester=None)
    assert grant_law.binds(Story(effect="reject").grant, ruled, people=None, requester=None)


# How often ----------------------------------------------------------------------------------------------------------------


@given(st.none() | st.integers(1, 4), st.none() | amounts.filter(bool), st.lists(amounts, max_size=8))
def test_uses_and_totals_are_never_exceeded_and_are_as_their_entries_say(
    uses: int | None, limit: Decimal | None, wanted: Sequence[Decimal]
) -> None:
    story = Story(uses=uses, total=None if limit is None else Total(sum="args.amount", limit=limit))
    taken: list[Decimal] = []
    for each in wanted:
        room = grant_law.has_room(story.grant, each)
        within = limit is None or (sum(taken) + each <= limit and sum(taken) < limit)
        assert room == (within and (uses is None or len(taken) < uses))
        if room:
            taken.append(each)
            story.use(each)
    assert (story.grant.used, story.grant.spent) == (len(taken), sum(taken))
    assert grant_law.wrong_steps(story.history) == []


def test_tenths_add_up_to_their_limit() -> None:
    story = Story(total=Total(sum="args.amount", limit=Decimal("0.3")))
    action = opening({"amount": 0.1}).action
    for _ in range(3):
        each = amount_of("args.amount", action, NOW)
        assert grant_law.has_room(story.grant, each)
        story.use(each)
    assert story.grant.is_used_up


def test_entries_that_count_otherwise_are_told() -> None:
    story = Story(uses=1)
    grant = story.use()
    story.write(grant_law.used(grant, "t", Decimal(1)))
    assert grant_law.wrong_steps(story.history) == [
        "entry 3 (used) counts otherwise than the entry before it",
        "entry 3 is a use that it did not have",
    ]


# Who may give it ----------------------------------------------------------------------------------------------------------

slots = st.builds(Slot, who=st.sampled_from([("group:finance",), ("group:leads",), ("eda",)]), approvals=st.just(1))
panels = st.lists(slots, min_size=1, max_size=2).map(lambda each: Panel(levels=((tuple(each),),)))
needs = st.builds(
    Requirements,
    approvals=st.integers(1, 3),
    rejections=st.integers(1, 2),
    reviewers=st.sampled_from([(), (("group:finance",),), (("ana", "eda"),)]),
)
with_panels = st.tuples(needs, panels).map(
    # As a policy writes them: as many people as there are places.
    lambda pair: pair[0].model_copy(update={"panels": (pair[1],), "approvals": fewest(pair[1])})
)


@given(
    needs | with_panels,
    some_names,
    st.sampled_from([None, *sorted(PEOPLE)]),
    st.sampled_from([Verdict.APPROVE, Verdict.REJECT]),
)
def test_a_grant_binds_just_where_its_givers_would_have_decided_the_call_themselves(
    requirements: Requirements, givers: list[str], requester: str | None, verdict: Verdict
) -> None:
    ruled = ruling().model_copy(update={"requirements": requirements})
    effect: Any = "allow" if verdict is Verdict.APPROVE else "reject"
    grant = Story(effect=effect).grant.model_copy(update={"given_by": tuple(givers)})
    made = opening(requester=requester)
    history = link(made.id, None, [to_draft(made)], NOW)
    history = link(
        made.id,
        None,
        [Draft("opened", {**history[0].body, "ruling": ruled.model_dump(mode="json")}, history[0].contents)],
        NOW,
    )
    for by in givers:
        case = law.fold(history, NOW)
        try:
            drafts = law.decide(case, Say(verdict, by, case.digest), PEOPLE)
        except DecisionRefused:
            continue
        history += link(made.id, history[-1], drafts, NOW)
    decided = law.fold(history, NOW).standing in (Standing.APPROVED, Standing.REJECTED)
    bound = grant_law.binds(grant, ruled, people=PEOPLE, requester=requester)
    # In the order in which they speak a panel may not wait for one of them yet; whoever is asked first is no question here.
    assert bound == decided


def test_whoever_has_left_speaks_for_no_grant_any_more() -> None:
    grant, ruled = Story(people=PEOPLE).grant, ruling()
    assert grant_law.binds(grant, ruled, people=PEOPLE, requester=None)
    assert not grant_law.binds(grant, ruled, people={"cem": frozenset()}, requester=None)


def test_who_may_not_decide_gives_nothing_and_seconds_nothing() -> None:
    ruled = ruling(reviewers=(("group:finance",),), approvals=2)
    with pytest.raises(NotAllowedToDecide, match="not among group:finance"):
        Story(by="eda", people=PEOPLE, ruling=ruled)
    with pytest.raises(NotAllowedToDecide, match="does not know"):
        Story(by="mallory", people=PEOPLE, ruling=ruled)
    story = Story(people=PEOPLE, ruling=ruled)
    assert not story.grant.is_backed
    with pytest.raises(NotAllowedToDecide):
        story.second("eda")
    with pytest.raises(GrantRefused, match="already given"):
        story.second("ana")
    assert story.second("cem").is_backed
    assert grant_law.wrong_steps(story.history) == []


def test_a_grant_has_a_name_and_a_reason() -> None:
    for giver in (Giver(" ", "rent"), Giver("ana", " ")):
        with pytest.raises(IncompleteDecision):
            grant_law.give(terms(), "allow", giver, reviews=[ruling()], people=None, now=NOW)


def test_nothing_is_granted_of_what_is_always_asked_and_what_is_never_asked() -> None:
    wanted: list[dict[str, Any]] = [
        {"always_ask": True},
        {"checklist": ("known?",)},
        {"read_for": timedelta(seconds=9)},
    ]
    for want in wanted:
        each = ruling(**want)
        with pytest.raises(GrantRefused, match="always_ask, checklist or read_for"):
            Story(ruling=each)
        assert not grant_law.binds(Story().grant, each, people=None, requester=None)
        assert grant_law.binds(Story(effect="reject").grant, each, people=None, requester=None)
    for mode in ("allow", "deny"):
        assert not grant_law.binds(Story().grant, ruling(mode=mode), people=None, requester=None)
    with pytest.raises(GrantRefused, match="no such call before a person"):
        grant_law.give(terms(), "allow", Giver("ana", "rent"), reviews=[], people=None, now=NOW)


def test_who_may_revoke_is_anybody_known_and_nobody_twice() -> None:
    story = Story(people=PEOPLE)
    with pytest.raises(NotAllowedToDecide):
        story.revoke("mallory")
    with pytest.raises(IncompleteDecision):
        story.revoke(" ")
    assert story.revoke("eda").ended == "revoked by eda: enough"
    with pytest.raises(GrantRefused, match="holds no more: revoked by eda"):
        story.revoke("eda")
    with pytest.raises(GrantRefused, match="holds no more"):
        story.second("cem")


def test_what_is_secret_is_in_no_expression() -> None:
    secret = ruling(redact=("pin", "cards.*.number"))
    for more in (
        {"args": None, "when": "args.pin == '1'"},
        {"total": Total(sum="args.cards[0].number", limit=Decimal(1))},
    ):
        with pytest.raises(GrantRefused, match="is redacted"):
            Story(ruling=secret, **more)
    assert Story(ruling=secret, args={"pin": "1234"}).grant.redact == ("pin", "cards.*.number")


# Expressions --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["args.amount", "1 +", "vars.most > 1", "history.ran.send > 2", "risk.stakes == 'low'"]
)
def test_a_pattern_is_a_condition_on_one_call(text: str) -> None:
    if text == "args.amount":  # may be true or false: that is seen when it is asked
        with pytest.raises(Doubt):
            fits(text, opening({"amount": 5}).action, NOW)
    else:
        with pytest.raises(BadExpression):
            pattern(text)


@pytest.mark.parametrize("text", ["args.to == 'bob'", "'a'", "history.ran.send", "confidence"])
def test_an_amount_is_a_number_of_one_call(text: str) -> None:
    with pytest.raises(BadExpression):
        amount(text)


@pytest.mark.parametrize("value", [-1, -0.01, float("nan"), float("inf"), True, "5", None, [5], 2**63, {}], ids=repr)
def test_what_is_no_plain_amount_is_doubted(value: Any) -> None:
    with pytest.raises(Doubt):
        amount_of("args.amount", opening({"amount": value}).action, NOW)
    with pytest.raises(Doubt):
        amount_of("args.amount", opening({}).action, NOW)


@settings(max_examples=40)
@given(args)
def test_a_pattern_fits_or_doubts_whatever_comes(its: dict[str, Any]) -> None:
    try:
        assert fits("args.amount <= 5", opening(its).action, NOW) in (True, False)
    except Doubt:
        assert not isinstance(its.get("amount"), int) or isinstance(its["amount"], bool)

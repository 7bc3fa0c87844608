"""Budgets: what calls may come to in a period without asking."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_signoff import Advice, Policy, PolicyError, Run, Signoff
from langgraph_signoff.cli.history import lines_of
from langgraph_signoff.law import budgets as budget_law
from langgraph_signoff.ledger import Entry, link
from langgraph_signoff.view import words_of
from langgraph_signoff.vocabulary import Charge
from support import NOW, Clock, agent, opening

POLICY = """
version: 1
people: {ana: {groups: [finance]}, eve: {}}
queues:
  payments: {owner: ana, backup: [ana], reviewers: [group:finance]}
budgets:
  - {tool: pay, sum: args.amount, limit: 100, per: day, by: actor}
tools:
  look: allow
  propose_plan: review
  pay:
    rules:
      - {when: "args.amount > 90.0", then: deny}
      - {when: "args.to == 'stranger'", then: review, queue: payments}
      - {when: "true", then: allow}
    otherwise: {then: review, queue: payments}
"""


class Shop:
    """An agent that pays, on real files."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.clock, self._stack, self.paid = folder, Clock(), stack, list[tuple[str, Any]]()
        self.signoff = self.new_signoff()
        self.graph: Any = None

    def new_signoff(self, policy: str = POLICY, **options: Any) -> Signoff:
        made = Signoff(self.folder / "s.db", policy=Policy.parse(policy), clock=self.clock, **options)
        self._stack.callback(made.close)
        return made

    def play(self, *script: Any, thread: str = "t", policy: str = POLICY, who: str = "payer", **options: Any) -> Run:
        """Runs a script of the agent in a thread."""
        self.signoff = self.new_signoff(policy, **options)
        tools: list[Any] = [self.pay, self.look]
        if "plan" in thread:
            tools.append(self.signoff.plan(tools))
        file = self.folder / "threads.db"
        made = agent(self.signoff, tools, [*script, "ok"], threads=file, agent=who)
        self.graph = self._stack.enter_context(made)
        return self.signoff.run(self.graph, {"messages": [("user", "go")]}, thread_id=thread)

    def decide(self, run: Run, *, reject: bool = False) -> Run:
        """Says the same of all that waits."""
        for ticket in run.tickets:
            (self.signoff.reject if reject else self.signoff.approve)(ticket, by="ana", reason="x")
        return self.signoff.resume(self.graph, thread_id=run.thread_id)

    def pay(self, amount: Any, to: str = "bob") -> str:
        """Pays."""
        self.paid.append((to, amount))
        return f"paid {amount} to {to}"

    def look(self) -> str:
        """Looks."""
        return "saw it"

    def is_whole(self) -> bool:
        return self.signoff.verify().broken == []


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with ExitStack() as stack:
        yield Shop(tmp_path, stack)


def pay(amount: Any, to: str = "bob") -> list[tuple[str, dict[str, Any]]]:
    return [("pay", {"amount": amount, "to": to})]


def asked(run: Run) -> list[tuple[Any, str]]:
    return [(ticket.args["amount"], ticket.reason_code) for ticket in run.tickets]


# What is asked ------------------------------------------------------------------------------------------------------------


def test_past_its_limit_a_budget_asks_and_the_reviewer_sees_what_is_left(shop: Shop) -> None:
    run = shop.play(pay(60.0), pay(40.0), pay(0.5))
    assert [amount for _, amount in shop.paid] == [60, 40]
    assert asked(run) == [(0.5, "over_budget")]
    [ticket] = run.tickets
    assert ticket.detail == "0 of 100 left today for actor payer, and this takes 0.5 (args.amount)"
    assert ticket.queue == "payments", "whom the policy asks where it asks at all"
    assert shop.decide(run).status == "completed"
    assert [amount for _, amount in shop.paid] == [60, 40, 0.5]
    assert shop.is_whole()


def test_what_a_person_has_approved_is_counted_and_what_they_have_rejected_is_not(shop: Shop) -> None:
    run = shop.play(pay(70.0, "stranger"), pay(80.0, "stranger"), pay(25.0), pay(10.0))
    assert run.tickets[0].detail.startswith("100 of 100 left today")
    run = shop.decide(shop.decide(run, reject=True))
    assert [amount for _, amount in shop.paid] == [80]
    assert asked(run) == [(25, "over_budget")]
    assert shop.decide(run, reject=True).status == "completed"
    assert [amount for _, amount in shop.paid] == [80, 10], "which was within the budget still"


def test_calls_of_one_message_are_counted_together(shop: Shop) -> None:
    run = shop.play([*pay(60.0), *pay(60.0), *pay(30.0)])
    assert asked(run) == [(60, "over_budget")]
    while run.tickets:
        assert {why for _, why in asked(run)} == {"over_budget"}, "the approved one may start before the others"
        run = shop.decide(run)
    assert sorted(amount for _, amount in shop.paid) == [30, 60, 60]
    assert shop.is_whole()


def test_a_denial_stays_one_and_what_no_budget_names_pays_nothing(shop: Shop) -> None:
    assert shop.play(pay(60.0), pay(91.0), [("look", {})]).status == "completed"
    entries = [entry for _, entry in shop.signoff.ledger.scan()]
    assert [e.kind for e in entries if e.stream.startswith("budget-")] == ["used"]
    assert {entry.body["tool"] for entry in entries if entry.kind == "opened"} == {"pay"}


@pytest.mark.parametrize("amount", [-1.0, "5", None, [1], True], ids=repr)
def test_an_amount_that_cannot_be_told_is_reviewed(shop: Shop, amount: Any) -> None:
    plain = POLICY.replace('      - {when: "args.amount > 90.0", then: deny}\n', "")
    run = shop.play(pay(amount), policy=plain)
    assert asked(run) == [(amount, "policy_error")]
    assert "the budget's sum, args.amount" in run.tickets[0].detail
    assert shop.decide(run).status == "completed"


def test_what_an_advisor_puts_before_a_person_is_counted_too(shop: Shop) -> None:
    doubts = lambda action, ruling: Advice(mode="review")  # noqa: E731  # an advisor of one line
    assert shop.decide(shop.play(pay(80.0), thread="a", advisors=[doubts])).status == "completed"
    assert asked(shop.play(pay(30.0), thread="b")) == [(30, "over_budget")]


def test_neither_a_grant_nor_a_plan_lets_a_call_past_its_budget(shop: Shop) -> None:
    shop.signoff.grant("pay", by="ana", reason="x", until="30d", when="args.amount <= 90.0")
    run = shop.play(pay(60.0, "stranger"), pay(60.0, "stranger"), thread="a")
    assert shop.paid == [("stranger", 60)]
    assert asked(run) == [(60, "over_budget")]
    step = {"tool": "pay", "args": {"amount": {"at_most": 90}, "to": "bob"}, "times": 5}
    run = shop.decide(shop.play([("propose_plan", {"steps": [step]})], pay(40.0), pay(40.0), thread="plan"))
    assert [amount for _, amount in shop.paid] == [60, 40]
    assert asked(run) == [(40, "over_budget")]
    assert shop.is_whole()


@pytest.mark.parametrize(
    ("by", "others"),
    [
        ("actor", {"who": "other"}),
        ("requester", {"requester": lambda _: "eve"}),
        ("thread", {"thread": "b"}),
        ("all", None),
    ],
)
def test_a_budget_is_counted_for_each_whom_it_names(shop: Shop, by: str, others: dict[str, Any] | None) -> None:
    policy = POLICY.replace("by: actor", f"by: {by}")
    assert asked(shop.play(pay(80.0), pay(30.0), policy=policy)) == [(30, "over_budget")]
    run = shop.play(pay(30.0), policy=policy, **(others or {"who": "other", "thread": "z"}))
    assert bool(run.tickets) == (others is None)


def test_the_next_period_begins_anew_and_a_clock_that_jumps_back_finds_the_old_one(shop: Shop) -> None:
    shop.play(pay(80.0), thread="a")
    shop.clock.advance(days=1)
    assert shop.play(pay(80.0), thread="b").status == "completed"
    shop.clock.advance(days=-1)
    assert asked(shop.play(pay(80.0), thread="c")) == [(80, "over_budget")]
    shop.clock.advance(days=1)
    assert asked(shop.play(pay(80.0), thread="d")) == [(80, "over_budget")]


def test_what_waits_for_its_start_is_counted_in_the_period_in_which_it_starts(shop: Shop) -> None:
    run = shop.play(pay(80.0, "stranger"), thread="a")
    shop.clock.advance(hours=20)
    assert shop.decide(run).status == "completed"
    assert asked(shop.play(pay(30.0), thread="b")) == [(30, "over_budget")], "it has started today"
    shop.clock.advance(hours=-20)
    assert shop.play(pay(30.0), thread="c").status == "completed"


def test_a_higher_limit_counts_what_was_spent_under_the_lower_one(shop: Shop) -> None:
    shop.play(pay(80.0), thread="a")
    more = POLICY.replace("limit: 100", "limit: 150.5")
    assert shop.play(pay(70.5), thread="b", policy=more).status == "completed"
    assert asked(shop.play(pay(0.1), thread="c", policy=more)) == [(0.1, "over_budget")]


def test_several_budgets_hold_together_and_a_sum_may_count_calls(shop: Shop) -> None:
    policy = POLICY.replace("tools:", "  - {tool: 'p*', sum: '1', limit: 3, per: hour, by: all}\ntools:", 1)
    run = shop.play(*[pay(1.0)] * 4, policy=policy)
    assert run.tickets[0].detail == "0 of 3 left this hour, and this takes 1 (1)"
    assert len(shop.paid) == 3
    assert shop.is_whole()


def test_an_edit_is_counted_as_it_runs(shop: Shop) -> None:
    run = shop.play(pay(80.0, "stranger"), pay(60.0))
    shop.signoff.revise(run.tickets[0], by="ana", args={"amount": 30.0})
    run = shop.signoff.resume(shop.graph, thread_id="t")
    assert run.status == "completed"
    assert [amount for _, amount in shop.paid] == [30, 60]


def test_history_and_watch_tell_of_budgets(shop: Shop) -> None:
    shop.play(pay(60.0))
    [stream] = {entry.stream for _, entry in shop.signoff.ledger.scan() if entry.stream.startswith("budget-")}
    [(_, line)] = lines_of(words_of(shop.signoff.ledger.history(stream)))
    assert "used  60 by ticket" in line
    assert line.endswith("for actor payer, 60 by now")
    events = shop.signoff.watch(after=0)
    assert any(next(events)["stream"] == stream for _ in range(4))


def test_a_run_that_failed_has_spent_and_a_second_attempt_spends_no_more(shop: Shop) -> None:
    shop.paid = None  # type: ignore[assignment]  # the bank does not answer
    assert shop.play(pay(60.0)).status == "failed"
    shop.signoff.resume(shop.graph, thread_id="t")
    entries = [entry for _, entry in shop.signoff.ledger.scan() if entry.stream.startswith("budget-")]
    assert [entry.body["total"] for entry in entries] == ["60"]


# The file -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("{tool: pay, sum: args.amount, limit: 0, per: day, by: all}", "budgets.0.limit: should be greater than 0"),
        ("{tool: pay, sum: args.amount, limit: true, per: day, by: all}", "budgets.0.limit"),
        ("{tool: pay, sum: args.amount, limit: .nan, per: day, by: all}", "budgets.0.limit"),
        ("{tool: pay, sum: 'args.amount > 1', limit: 1, per: day, by: all}", "budgets.0.sum: gives bool; it must be a number"),
        ("{tool: pay, sum: 'vars.x', limit: 1, per: day, by: all}", "budgets.0.sum: unknown vars.x"),
        ("{tool: pay, sum: 'history.ran.pay', limit: 1, per: day, by: all}", "budgets.0.sum: reads history"),
        ("{tool: pay, sum: args.pin, limit: 1, per: day, by: all}", "budgets.0.sum: pin is redacted"),
        ("{tool: pay, sum: args.a, limit: 1, per: year, by: all}", "budgets.0.per"),
        ("{tool: pay, sum: args.a, limit: 1, per: day, by: all, zone: Nowhere/Here}", "budgets.0.zone: unknown time zone"),
        ("{tool: pay, sum: args.a, limit: 1, per: day, by: all, zon: UTC}", "did you mean zone"),
        ("{tool: pay, sum: args.a, limit: 1, per: day}", "budgets.0.by: is missing"),
    ],
)  # fmt: skip
def test_a_budget_that_makes_no_sense_is_a_load_error(written: str, problem: str) -> None:
    with pytest.raises(PolicyError) as raised:
        Policy.parse(f"version: 1\nbudgets:\n  - {written}\ntools:\n  pay: {{redact: [args.pin]}}\n")
    assert problem in str(raised.value)
    assert raised.value.mistakes[0].line == 3


def test_the_same_budget_twice_and_a_stranger_are_named() -> None:
    same = {"tool": "pay", "sum": "args.a", "per": "day", "by": "all"}
    with pytest.raises(PolicyError, match="counts what one before it counts"):
        Policy(budgets=[{**same, "limit": 1}, {**same, "limit": 2}])
    with pytest.raises(PolicyError, match="counts calls of pay, but the graph has no such tool"):
        Policy(budgets=[{**same, "limit": 1}]).check_graph(["look"])
    Policy(budgets=[{**same, "limit": 1}]).check_graph(["pay"])
    properties = Policy.json_schema()["$defs"]["Budget"]["properties"]
    assert set(properties) == {"tool", "sum", "limit", "per", "by", "zone"}


# The law ------------------------------------------------------------------------------------------------------------------


def charge(amount: Any = 1, limit: Any = 10, **more: Any) -> Charge:
    about = {"tool": "pay", "sum": "args.amount", "per": "day", "by": "all", "zone": "UTC", "key": ""}
    return Charge(**{**about, "amount": Decimal(str(amount)), "limit": Decimal(str(limit)), **more})


@given(st.lists(st.decimals("0", "6", places=2), max_size=9), st.decimals("1", "20", places=2))
def test_what_starts_without_a_person_never_comes_to_more_than_the_limit(wanted: list[Decimal], limit: Decimal) -> None:
    history: list[Entry] = []
    name = budget_law.stream(charge(), NOW)
    for each in wanted:
        before = budget_law.spent(history[-1] if history else None)
        if not budget_law.is_over(charge(each, limit), before):
            draft = budget_law.spend(charge(each, limit), before, "t", NOW)
            history += link(name, history[-1] if history else None, [draft], NOW)
    spent = budget_law.spent(history[-1] if history else None)
    assert spent <= limit
    assert sum(wanted) > limit or spent == sum(wanted)
    assert budget_law.wrong_steps(history) == []


moments = st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC))


@given(
    moments,
    moments,
    st.sampled_from(["hour", "day", "week", "month"]),
    st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata"]),
)
def test_two_moments_share_a_stream_just_if_they_share_a_period(
    one: datetime, other: datetime, per: Any, zone: str
) -> None:
    each = charge(per=per, zone=zone)
    begins = [budget_law.since(each, moment) for moment in (one, other)]
    assert all(begin <= moment for begin, moment in zip(begins, (one, other), strict=True))
    assert budget_law.since(each, begins[0]) == begins[0]
    same = budget_law.stream(each, one) == budget_law.stream(each, other)
    assert same == (begins[0] == begins[1])
    earlier, later = sorted([one, other])
    assert not same or budget_law.since(each, earlier + (later - earlier) / 2) == begins[0]


@pytest.mark.parametrize(
    ("per", "zone", "now", "begin"),
    [
        ("day", "Europe/Berlin", datetime(2026, 3, 29, 21, 59, tzinfo=UTC), datetime(2026, 3, 28, 23, tzinfo=UTC)),
        ("day", "Europe/Berlin", datetime(2026, 3, 29, 22, tzinfo=UTC), datetime(2026, 3, 29, 22, tzinfo=UTC)),
        ("hour", "Europe/Berlin", datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 0, tzinfo=UTC)),
        ("hour", "Europe/Berlin", datetime(2026, 10, 25, 1, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)),
        ("hour", "Asia/Kolkata", datetime(2026, 1, 1, 0, 29, tzinfo=UTC), datetime(2025, 12, 31, 23, 30, tzinfo=UTC)),
        ("week", "UTC", datetime(2026, 3, 1, 23, tzinfo=UTC), datetime(2026, 2, 23, tzinfo=UTC)),
        ("month", "UTC", datetime(2024, 2, 29, 23, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)),
    ],
)
def test_periods_begin_by_the_clock_of_their_zone(per: Any, zone: str, now: datetime, begin: datetime) -> None:
    assert budget_law.since(charge(per=per, zone=zone), now) == begin


def test_a_rule_of_the_policy_says_what_a_call_takes_and_has_it_run_once() -> None:
    ruling = Policy.parse(POLICY).rule(opening({"to": "bob", "amount": 5.5}, tool="pay", agent="payer").action, now=NOW)
    assert (ruling.mode, ruling.once, ruling.needs_record) == ("allow", True, True)
    [found] = ruling.charges
    assert (found.amount, found.limit, found.key) == (Decimal("5.5"), 100, "payer")
    assert type(ruling).model_validate(ruling.model_dump(mode="json")) == ruling
    later = NOW + timedelta(days=1)
    assert not Policy.parse(POLICY).rule(opening(tool="look").action, now=later).needs_record

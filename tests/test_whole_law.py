"""The whole law at once, on a real ledger: people, slots, edits, deputies, claims, grants and a clock that jumps, in any order."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from langgraph_signoff import Policy, Signoff, Standing, Ticket, law
from langgraph_signoff.claims import Unpermitted
from langgraph_signoff.errors import SignoffError
from langgraph_signoff.law import Case
from langgraph_signoff.panels import Voice, is_met
from langgraph_signoff.records import Opening
from langgraph_signoff.vocabulary import Counts
from support import Clock, opening

POLICY = """
version: 1
people:
  ana: {groups: [finance]}
  bo: {groups: [finance]}
  cem: {groups: [leads]}
  dora: {groups: [leads]}
  eve: {}
queues:
  default: {owner: ana, backup: [group:leads], reviewers: [group:finance], window: 2h, use_within: 1h, escalate: 0.5}
  both: {owner: ana, backup: [eve], window: 3h, use_within: 1h, escalate: 0.5}
tools:
  send:
    rules:
      - {when: "args.amount > 900.0", then: deny}
      - {when: "args.amount > 500.0", then: review, queue: both, approvals: {all: [{group: finance}, {group: leads}]}}
      - {when: "args.amount > 100.0", then: review, approvals: 2, not: [requester, author]}
    otherwise: review
"""
PEOPLE = ("ana", "bo", "cem", "dora", "eve")
people = st.sampled_from(PEOPLE)
amounts = st.sampled_from([5.0, 50.0, 200.0, 600.0, 600.0, 950.0])
which = st.integers(0, 9)
ends = st.sampled_from(["executed", "failed", "released", "in_doubt"])
MOST = 10  # tickets in a story


class WholeLaw(RuleBasedStateMachine):
    """Anybody may try anything at any time; what the law refuses leaves nothing behind."""

    @initialize()
    def open_ledger(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        policy = Policy.parse(POLICY)
        self.signoff = Signoff(Path(self.folder.name) / "signoff.db", policy=policy, clock=self.clock)
        self.ids: list[str] = []
        self.ended: dict[str, Standing] = {}
        self.needed: dict[str, int] = {}
        self.ran: dict[str, int] = {}
        for amount in (5.0, 200.0, 600.0):
            self.propose(amount=amount, requester="eve", thread="one")

    def teardown(self) -> None:
        if hasattr(self, "signoff"):
            assert self.signoff.verify().broken == []
            self.signoff.close()
            self.folder.cleanup()

    # What people and agents do ----------------------------------------------------------------------------------------

    @rule(amount=amounts, requester=st.none() | people, thread=st.sampled_from(["one", "two"]))
    def propose(self, amount: float, requester: str | None, thread: str) -> None:
        if len(self.ids) >= MOST:
            return
        made = opening({"to": "bob", "amount": amount}, thread_id=thread, requester=requester, call_id="c")
        policy = self.signoff.policy
        ruling = policy.rule(made.action, now=self.clock(), history=Counts())
        made = Opening(made.id, made.action, ruling)
        version = (policy.version, policy.document)
        self.signoff.plans.open([made], policy=version, people=policy.people)
        self.ids.append(made.id)

    @rule(number=which, turns=st.lists(which, min_size=1, max_size=3), end=ends)
    def approve_as_those_who_may(self, number: int, turns: list[int], end: str) -> None:
        for turn in turns:
            self.attempt(number, lambda ticket, turn=turn: self.signoff.approve(ticket, by=self.able(ticket, turn)))
        self.run_all(end)

    @rule(number=which, by=people, verdict=st.sampled_from(["approve", "reject", "revise"]))
    def say(self, number: int, by: str, verdict: str) -> None:
        more = {"feedback": "another one, please"} if verdict == "revise" else {}
        self.attempt(number, lambda ticket: getattr(self.signoff, verdict)(ticket, by=by, **more))

    @rule(number=which, turn=which, amount=amounts)
    def edit(self, number: int, turn: int, amount: float) -> None:
        def say(ticket: Ticket) -> None:
            edited = self.signoff.revise(ticket, by=self.able(ticket, turn), args={"amount": amount})
            assert len(edited.approved_by) <= 1, "earlier approvals were of other arguments"

        self.attempt(number, say)

    @rule(number=which, by=people, deed=st.sampled_from(["take", "put_back", "withdraw", "assign", "extend"]))
    def handle(self, number: int, by: str, deed: str) -> None:
        more = {"assign": {"to": "bo"}, "extend": {"reason": "a holiday"}}.get(deed, {})
        self.attempt(number, lambda ticket: getattr(self.signoff, deed)(ticket, by=by, **more))

    @rule(absent=people, deputy=people, by=st.sampled_from(["ana", "cem"]), hours=st.integers(1, 6), number=which)
    def delegate(self, absent: str, deputy: str, by: str, hours: int, number: int) -> None:
        with suppress(SignoffError):
            self.signoff.delegate(absent, to=deputy, by=by, until=self.clock() + timedelta(hours=hours))
        self.attempt(number, lambda ticket: self.signoff.approve(ticket, by=deputy))

    @rule(deputy=st.sampled_from(["cem", "dora"]), number=which)
    def stand_in_for_two(self, deputy: str, number: int) -> None:
        for absent in ("ana", "bo"):
            self.signoff.delegate(absent, to=deputy, by=absent, until=self.clock() + timedelta(hours=9))
        self.attempt(number, lambda ticket: self.signoff.approve(ticket, by=deputy))
        self.signoff.end_delegation("ana", by="ana")
        self.attempt(number, lambda ticket: self.signoff.approve(ticket, by=deputy))

    @rule(absent=people, by=people)
    def come_back(self, absent: str, by: str) -> None:
        with suppress(SignoffError):
            self.signoff.end_delegation(absent, by=by)

    @rule(by=st.sampled_from(["ana", "bo"]), effect=st.sampled_from(["allow", "reject"]), minutes=st.integers(1, 200))
    def grant_and_propose(self, by: str, effect: Any, minutes: int) -> None:
        given = {"until": timedelta(minutes=minutes), "uses": 2, "when": "args.amount <= 50.0"}
        with suppress(SignoffError):
            self.signoff.grant("send", by=by, reason="often asked", effect=effect, **given)
        for _ in range(3):
            self.propose(amount=5.0, requester="eve", thread="two")

    @rule(by=people, first=st.booleans())
    def second_or_revoke(self, by: str, first: bool) -> None:
        for grant in self.signoff.grants()[:1]:
            with suppress(SignoffError):
                self.signoff.second(grant, by=by) if first else self.signoff.revoke(grant, by=by)

    @rule(end=ends)
    def run_all(self, end: str) -> None:
        for id_ in self.ids:
            self.run(id_, end)

    def run(self, id_: str, end: str) -> None:
        """As a gate would: claims, runs and records, if it may."""
        before = self.signoff.desk.case(id_)
        try:
            case, is_ours = self.signoff.claims.claim(id_)
        except Unpermitted:
            return
        if not is_ours:
            return
        self.check_claim(before, case)
        self.ran[case.id] = self.ran.get(case.id, 0) + (end != "released")
        if end == "released":
            self.signoff.claims.release(case)
        elif end == "in_doubt":
            self.signoff.claims.doubt(case)
        else:
            self.signoff.claims.record(case, Standing(end), {"rendering": end})

    @rule(number=which, by=people, answer=st.sampled_from(["happened", "give_up"]))
    def settle(self, number: int, by: str, answer: str) -> None:
        self.attempt(number, lambda ticket: self.signoff.settle(ticket, answer, by=by))

    # The clock --------------------------------------------------------------------------------------------------------

    @rule(minutes=st.sampled_from([-90, 1, 20, 59, 61, 121]))
    def jump(self, minutes: int) -> None:
        self.clock.advance(minutes=minutes)

    @rule()
    def expire(self) -> None:
        self.signoff.expire()
        assert self.signoff.desk.expire() == []

    # What always holds ------------------------------------------------------------------------------------------------

    @invariant()
    def terminal_standings_are_final(self) -> None:
        for case in self.recorded():
            if case.id in self.ended:
                assert case.standing is self.ended[case.id]
            if case.standing.is_final:
                self.ended[case.id] = case.standing

    @invariant()
    def what_is_needed_never_falls(self) -> None:
        for case in self.recorded():
            needs = case.requirements.approvals
            assert needs >= self.needed.get(case.id, 0)
            self.needed[case.id] = needs

    @invariant()
    def nobody_counts_twice(self) -> None:
        for case in self.recorded():
            counted = [case.latest()[name] for name in case.approvers] if not case.ruling.granted else []
            hands, names = [d.by for d in counted], [d.principal for d in counted]
            assert len(set(hands)) == len(hands)
            assert len(set(names)) == len(names)
            assert case.requester not in {*hands, *names}

    @invariant()
    def nothing_runs_twice(self) -> None:
        assert all(times == 1 for times in self.ran.values() if times)

    @invariant()
    def a_permission_is_used_no_more_often_than_it_says(self) -> None:
        for grant in self.signoff.grants(ended=True, limit=100) if hasattr(self, "signoff") else ():
            assert grant.used <= (grant.uses or 0)

    # ------------------------------------------------------------------------------------------------------------------

    def attempt(self, number: int, say: Callable[[Any], object]) -> None:
        """Somebody tries something with a ticket as it is; a refusal changes nothing."""
        # What has ended is tried too, but not most of the time.
        ids = [id_ for id_ in self.ids if number == 0 or id_ not in self.ended] or self.ids
        ticket = self.signoff.ticket(ids[number % len(ids)])
        self.signoff.desk.write(ticket.id, lambda _: [])  # what silence has brought is written down either way
        entries = len(self.signoff.history(ticket))
        try:
            say(ticket)
        except SignoffError:
            assert len(self.signoff.history(ticket)) == entries

    def able(self, ticket: Ticket, turn: int) -> str:
        """One of those who may decide a ticket, if anybody may."""
        names = [one.name for one in self.signoff.who(ticket) if one.may] or ["ana"]
        return names[turn % len(names)]

    def recorded(self) -> list[Case]:
        """Every ticket as its entries say, the clock apart."""
        return [law.recorded(self.signoff.desk.history(id_)) for id_ in getattr(self, "ids", [])]

    def check_claim(self, before: Case, case: Case) -> None:
        """A claim stands on an approval, or a grant, that holds at this moment."""
        now = max(self.clock(), case.at)
        assert before.standing is Standing.APPROVED
        if case.ruling.granted:
            [grant] = [g for g in self.signoff.grants(ended=True, limit=100) if g.id == case.ruling.granted.grant]
            assert now < grant.until
            assert not grant.ended
            return
        assert self.is_agreed(case, now)

    def is_agreed(self, case: Case, now: datetime) -> bool:
        """Whether enough people have approved exactly this, inside of its window, and not too long ago."""
        assert case.agreed_at is not None
        said = [case.latest()[name] for name in case.approvers]
        voices = [Voice(d.principal, frozenset(d.groups)) for d in said]
        in_time = case.agreed_at < case.due_at and now < case.agreed_at + case.requirements.use_within
        filled = all(is_met(panel, voices) for panel in case.requirements.panels)
        of_this = all(d.generation == case.generation for d in said)
        return in_time and filled and of_this and len(said) >= case.requirements.approvals


TestWholeLaw = WholeLaw.TestCase
TestWholeLaw.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)

"""The law of review: one property for each rule."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_signoff import Policy, law
from langgraph_signoff.errors import (
    DecisionRefused,
    IncompleteDecision,
    NotAllowedToDecide,
    NotWhatYouSaw,
    RevisionRefused,
    TicketClosed,
    WrongVerdict,
)
from langgraph_signoff.law import Case, Edit, Say, stricter
from langgraph_signoff.ledger import Draft, Entry, link
from langgraph_signoff.records import to_draft, to_row
from langgraph_signoff.vocabulary import (
    AUDITS,
    Answer,
    Audit,
    Left,
    Panel,
    Part,
    Requirements,
    Rollback,
    Slot,
    Standing,
    Verdict,
)
from support import NOW, opening

APPROVE, REJECT, REVISE, ANSWER = Verdict.APPROVE, Verdict.REJECT, Verdict.REVISE, Verdict.ANSWER
CONFIRM, FLAG = Verdict.CONFIRM, Verdict.FLAG
NAMES = ("ana", "cem", "deniz", "eda")
names = st.sampled_from(NAMES)
small = st.integers(1, 3)


@dataclass
class Story:
    """A ticket's history, without a ledger."""

    history: list[Entry]
    people: law.People = None
    now: datetime = NOW

    @classmethod
    def of(cls, *, people: law.People = None, **more: Any) -> Story:
        made = opening(**more)
        return cls(link(made.id, None, [to_draft(made)], NOW), people)

    @property
    def case(self) -> Case:
        return law.fold(self.history, self.now)

    def write(self, *drafts: Draft) -> Standing:
        self.history += link(self.history[0].stream, self.history[-1], list(drafts), self.now)
        return self.case.standing

    def say(self, verdict: Verdict, by: str, *, digest: str | None = None, reason: str = "") -> Standing:
        say = Say(verdict, by, self.case.digest if digest is None else digest, reason)
        return self.write(*law.decide(self.case, say, self.people))

    def answer(self, by: str, value: Any, *, reason: str = "") -> Standing:
        return self.write(*law.answer(self.case, Say(ANSWER, by, self.case.digest, reason), value, self.people))

    def revise(self, by: str, args: dict[str, Any], *, mode: str = "review", **more: Any) -> Standing:
        case = self.case
        ruled = opening(args, mode=mode, **more)
        requirements = stricter(case.requirements, ruled.ruling.requirements)
        ruling = ruled.ruling.model_copy(update={"requirements": requirements})
        edit = Edit(args, args, ruled.action.digest, [], ruling)
        return self.write(*law.revise(case, Say(REVISE, by, case.digest), edit, self.people))

    def claim(self, attempt: int | None = None) -> Standing:
        attempt = self.case.attempts + 1 if attempt is None else attempt
        return self.write(Draft("claimed", {"attempt": attempt, "owner": "{}", "lease": 10.0}))

    def after(self, **span: float) -> Story:
        self.now += timedelta(**span)
        return self


def refused(error: type[DecisionRefused], story: Story, verdict: Verdict, by: str, **more: Any) -> None:
    """Asserts that a decision is refused so, and that nothing was added."""
    before = list(story.history)
    with pytest.raises(error):
        story.say(verdict, by, **more)
    assert story.history == before


def question(schema: dict[str, Any] | None = None, **more: Any) -> Story:
    """The story of a question, to which any text is an answer if nothing else is said."""
    return Story.of(
        kind="question", args={"question": "Which one?"}, answer_schema=schema or {"type": "string"}, **more
    )


# Counting ------------------------------------------------------------------------------------------------------------------


@given(small, small, st.lists(st.tuples(names, st.sampled_from([APPROVE, REJECT])), max_size=8))
def test_each_person_counts_once_and_the_nth_approval_or_the_mth_rejection_ends_it(
    approvals: int, rejections: int, said: list[tuple[str, Verdict]]
) -> None:
    story, words, ended = Story.of(approvals=approvals, rejections=rejections), dict[str, Verdict](), False
    for by, verdict in said:
        if ended or words.get(by) is verdict:
            refused(TicketClosed, story, verdict, by)
            continue
        standing = story.say(verdict, by)
        words[by] = verdict
        counted = list(words.values())
        if counted.count(REJECT) >= rejections:
            expected = Standing.REJECTED
        else:
            expected = Standing.APPROVED if counted.count(APPROVE) >= approvals else Standing.PENDING
        assert standing is expected
        ended = expected is not Standing.PENDING


@given(st.booleans(), st.sampled_from([APPROVE, REJECT, REVISE]))
def test_the_requester_does_not_count_unless_the_policy_lets_them(is_barred: bool, verdict: Verdict) -> None:
    story = Story.of(requester="ana", barred=("requester",) if is_barred else ())
    if is_barred:
        refused(NotAllowedToDecide, story, verdict, "ana")
    else:
        assert story.say(verdict, "ana") is not Standing.PENDING


@given(st.booleans(), st.sampled_from([APPROVE, REJECT, REVISE]))
def test_who_wrote_the_arguments_does_not_decide_them_where_the_policy_bars_authors(
    is_barred: bool, verdict: Verdict
) -> None:
    barred: tuple[Part, ...] = ("requester", "author") if is_barred else ("requester",)
    story = Story.of(barred=barred, approvals=2)
    story.revise("ana", {"to": "bob", "amount": 4}, barred=barred, approvals=2)
    assert story.case.approvers == (() if is_barred else ("ana",))
    if is_barred:
        refused(NotAllowedToDecide, story, verdict, "ana")
    story.say(APPROVE, "cem")
    assert story.case.standing is (Standing.PENDING if is_barred else Standing.APPROVED)


@given(st.booleans(), st.sampled_from([APPROVE, REJECT, REVISE]))
def test_who_revised_an_earlier_round_does_not_decide_this_one_where_the_policy_bars_them(
    is_barred: bool, verdict: Verdict
) -> None:
    story = Story.of(barred=("previous_reviser",) if is_barred else (), revisers=["ana"])
    if is_barred:
        refused(NotAllowedToDecide, story, verdict, "ana")
        assert story.say(APPROVE, "cem") is Standing.APPROVED
    else:
        assert story.say(verdict, "ana") is not Standing.PENDING


groups = st.sampled_from(["finance", "leads"])
clauses = st.lists(st.lists(names | groups.map("group:{}".format), min_size=1, max_size=3).map(tuple), max_size=3)


@given(st.dictionaries(names, st.frozensets(groups)), clauses, names, st.sampled_from([APPROVE, REJECT, REVISE]))
def test_only_who_is_known_and_in_every_clause_counts(
    people: dict[str, frozenset[str]], reviewers: list[tuple[str, ...]], by: str, verdict: Verdict
) -> None:
    story = Story.of(people=people, reviewers=tuple(reviewers))
    mine = {by, *(f"group:{group}" for group in people.get(by, ()))}
    if by in people and all(mine & set(clause) for clause in reviewers):
        assert story.say(verdict, by) is not Standing.PENDING
        assert story.case.decisions[0].groups == tuple(sorted(people[by]))
    else:
        refused(NotAllowedToDecide, story, verdict, by)


some_people = st.dictionaries(names, st.just(frozenset({"finance"})) | st.just(frozenset[str]()), min_size=2)
several = st.integers(2, 3)
finance = st.sampled_from([(), (("group:finance",),)])


@given(
    several, several, finance, st.lists(st.tuples(some_people, names, st.sampled_from([APPROVE, REJECT])), min_size=2)
)
def test_only_words_of_those_who_may_decide_now_complete_a_quorum(
    approvals: int, rejections: int, reviewers: tuple[tuple[str, ...], ...], said: list[Any]
) -> None:
    story = Story.of(approvals=approvals, rejections=rejections, reviewers=reviewers)
    words = dict[str, Verdict]()
    for known, by, verdict in said:
        story.people = known
        may = {
            name: all({name, *(f"group:{group}" for group in known[name])} & set(clause) for clause in reviewers)
            for name in known
        }
        try:
            standing = story.say(verdict, by)
        except NotAllowedToDecide:
            assert not may.get(by)
            continue
        except TicketClosed:
            assert words[by] is verdict
            continue
        words[by] = verdict
        counted = [word for name, word in words.items() if may.get(name)]
        if counted.count(REJECT) >= rejections:
            assert standing is Standing.REJECTED
        else:
            assert standing is (Standing.APPROVED if counted.count(APPROVE) >= approvals else Standing.PENDING)
        if standing is not Standing.PENDING:
            return


def test_whoever_left_and_came_back_counts_again() -> None:
    everybody, without = {name: frozenset[str]() for name in ("ana", "cem")}, {"cem": frozenset[str]()}
    story = Story.of(approvals=2, people=everybody)
    story.say(APPROVE, "ana")
    story.people = without
    assert story.say(APPROVE, "cem") is Standing.PENDING
    assert story.case.verdicts() == {"cem": APPROVE}
    story.people = everybody
    assert story.say(APPROVE, "ana") is Standing.APPROVED


# Refusals ------------------------------------------------------------------------------------------------------------------


@given(st.integers(-3, 3), st.sampled_from([APPROVE, REJECT, REVISE]))
def test_a_late_decision_does_not_count(seconds: int, verdict: Verdict) -> None:
    story = Story.of(window=timedelta(hours=1)).after(hours=1, seconds=seconds)
    if seconds >= 0:
        refused(TicketClosed, story, verdict, "ana")
        assert story.case.standing is Standing.EXPIRED
    else:
        assert story.say(verdict, "ana") is not Standing.PENDING


@pytest.mark.parametrize("verdict", [APPROVE, REJECT, REVISE])
@pytest.mark.parametrize(
    "end",
    [
        "approved",
        "rejected",
        "returned",
        "expired",
        "lapsed",
        "withdrawn",
        "running",
        "executed",
        "failed",
        "in_doubt",
        "denied",
        "answered",
    ],
)
def test_a_decision_after_the_end_is_refused(end: str, verdict: Verdict) -> None:
    story = story_that_is(Standing(end))
    assert story.case.standing == end
    refused(TicketClosed, story, verdict, "eda")


def story_that_is(standing: Standing) -> Story:
    """A story that has come to stand so."""
    if standing is Standing.ANSWERED:
        story = question()
        story.answer("ana", "yes")
        return story
    if standing in AUDITS:
        return audit_that_is(standing)
    story = Story.of(mode="deny" if standing is Standing.DENIED else "review")
    match standing:
        case Standing.REJECTED | Standing.RETURNED:
            story.say(REJECT if standing is Standing.REJECTED else REVISE, "ana")
        case Standing.WITHDRAWN:
            story.write(*law.withdraw(story.case, by="ana", reason=""))
        case Standing.EXPIRED:
            story.after(days=2)
        case Standing.APPROVED | Standing.RUNNING | Standing.EXECUTED | Standing.FAILED | Standing.IN_DOUBT:
            story.say(APPROVE, "ana")
        case Standing.LAPSED:
            story.say(APPROVE, "ana")
            story.after(days=2)
    if standing in (Standing.RUNNING, Standing.EXECUTED, Standing.FAILED, Standing.IN_DOUBT):
        story.claim()
    if standing in (Standing.EXECUTED, Standing.FAILED, Standing.IN_DOUBT):
        story.write(Draft(str(standing), {"attempt": 1}, {}))
    return story


def audit_that_is(standing: Standing, **more: Any) -> Story:
    """The audit of a call that has run, come to stand so."""
    ran = Story.of(mode="allow", once=True, record=True, audit=Audit(), **more)
    ran.claim()
    ran.write(Draft("executed", {"attempt": 1}, {"rendering": "sent"}))
    choice, as_it_is = law.Choice("new_tool", 1.0, 0), Policy().timed
    story = Story([law.opened(ran.case, ran.history[-1], choice, as_it_is)], now=ran.now)
    match standing:
        case Standing.CONFIRMED | Standing.FLAGGED:
            story.say(CONFIRM if standing is Standing.CONFIRMED else FLAG, "ana")
        case Standing.UNREVIEWED:
            story.after(days=2)
    return story


@given(st.text(max_size=64))
def test_a_decision_on_another_digest_is_refused(digest: str) -> None:
    refused(NotWhatYouSaw, Story.of(), APPROVE, "ana", digest=digest)


def test_a_decision_on_an_earlier_generation_is_refused() -> None:
    story = Story.of(approvals=2)
    seen = story.case.digest
    story.revise("ana", {"to": "eve"})
    refused(NotWhatYouSaw, story, APPROVE, "cem", digest=seen)
    assert story.say(APPROVE, "cem") is Standing.APPROVED


@given(st.sampled_from(["required", "optional"]), st.text(" \n\t", max_size=3) | st.just("fits"))
def test_a_required_reason_has_to_be_there(reason: str, words: str) -> None:
    story = Story.of(reason=reason)
    if reason == "required" and not words.strip():
        refused(IncompleteDecision, story, APPROVE, "ana", reason=words)
    else:
        assert story.say(APPROVE, "ana", reason=words) is Standing.APPROVED


@given(st.text(" \t\n", max_size=3))
def test_a_decision_without_a_name_is_refused(name: str) -> None:
    refused(IncompleteDecision, Story.of(), APPROVE, name)


# Revisions -----------------------------------------------------------------------------------------------------------------

PANELS = [Panel(levels=(((Slot(who=(f"group:{group}",)),),),)) for group in ("finance", "leads")]
PARTS: list[Part] = ["requester", "author", "previous_reviser"]
spans = st.integers(1, 400).map(lambda hours: timedelta(hours=hours))
requirements = st.builds(
    Requirements,
    queue=st.sampled_from(["default", "payments"]),
    reviewers=clauses.map(tuple),
    approvals=small,
    panels=st.lists(st.sampled_from(PANELS), max_size=2, unique=True).map(tuple),
    rejections=small,
    barred=st.lists(st.sampled_from(PARTS), unique=True).map(tuple),
    window=spans,
    use_within=spans,
    reason=st.sampled_from(["required", "optional"]),
    max_revisions=st.integers(0, 3),
    reask=st.integers(0, 3),
    priority=st.integers(-3, 3),
)


@given(requirements, requirements, st.dictionaries(names, st.frozensets(groups)), names)
def test_requirements_never_fall_below_the_old_or_the_new_ones(
    old: Requirements, new: Requirements, people: dict[str, frozenset[str]], by: str
) -> None:
    both, involved = stricter(old, new), law.Involved("ana", "cem", frozenset({"deniz"}))
    for one in (old, new):
        assert both.approvals >= one.approvals
        assert both.rejections <= one.rejections
        assert both.window <= one.window
        assert both.use_within <= one.use_within
        assert both.max_revisions <= one.max_revisions
        assert both.reask <= one.reask
        assert both.priority >= one.priority
        assert set(both.panels) >= set(one.panels)
        assert set(both.barred) >= set(one.barred)
        assert both.reason == "required" or one.reason == "optional"
        if not both.panels and law.why_not(both, by=by, people=people, involved=involved) is None:
            assert law.why_not(one, by=by, people=people, involved=involved) is None
    assert stricter(both, new) == both == stricter(both, both)


@given(requirements, requirements, st.sampled_from(["allow", "review", "deny"]), st.lists(names), st.lists(names))
def test_a_call_that_changed_is_asked_about_as_before_at_least_and_hides_what_was_hidden(
    old: Requirements, new: Requirements, mode: str, hidden: list[str], hides: list[str]
) -> None:
    before = opening(redact=tuple(hidden)).ruling.model_copy(update={"requirements": old})
    after = opening(mode=mode, redact=tuple(hides)).ruling.model_copy(update={"requirements": new})
    both = law.ruled_again(before, after)
    assert set(both.redact) == {*hidden, *hides}
    assert both.mode == ("deny" if mode == "deny" else "review")
    if mode == "allow":
        assert both.requirements == old
    elif mode == "review":
        assert both.requirements == stricter(old, new)


@given(small, st.integers(0, 2), st.booleans())
def test_an_edit_counts_as_its_authors_approval_and_earlier_approvals_do_not_carry_over(
    approvals: int, earlier: int, may: bool
) -> None:
    story = Story.of(approvals=approvals)
    for by in NAMES[: min(earlier, approvals - 1)]:
        story.say(APPROVE, by)
    standing = story.revise("eda", {"to": "eve"}, reviewers=() if may else (("ana", "cem", "deniz"),))
    counted = 1 if may else 0
    assert (standing is Standing.APPROVED) == (counted >= approvals)
    assert story.case.generation == 2
    for by in NAMES[: approvals - counted]:
        assert story.case.standing is Standing.PENDING
        story.say(APPROVE, by)
    assert story.case.standing is Standing.APPROVED
    assert story.case.args == {"to": "eve"}


def test_an_edit_that_the_policy_denies_is_refused_and_the_ticket_stays_pending() -> None:
    story = Story.of()
    before = list(story.history)
    with pytest.raises(RevisionRefused, match="denies"):
        story.revise("ana", {"to": "mallory"}, mode="deny")
    assert story.history == before
    assert story.case.standing is Standing.PENDING


def test_an_edit_that_changes_nothing_is_refused() -> None:
    with pytest.raises(RevisionRefused, match="changes nothing"):
        Story.of(args={"to": "bob"}).revise("ana", {"to": "bob"})


def test_who_edited_may_edit_again_or_send_it_back() -> None:
    story = Story.of(approvals=2)
    story.revise("ana", {"to": "eve"})
    assert story.revise("ana", {"to": "eva"}) is Standing.PENDING
    assert story.case.generation == 3
    assert story.say(REVISE, "ana", reason="ask for the account first") is Standing.RETURNED


@given(st.integers(1, 600), st.integers(0, 59))
def test_an_edit_gives_no_more_time_than_there_was_and_a_shorter_window_binds(window: int, minutes: int) -> None:
    story = Story.of(window=timedelta(minutes=60), approvals=2).after(minutes=minutes)
    due = story.case.due_at
    story.revise("ana", {"to": "eve"}, window=timedelta(minutes=window))
    assert story.case.due_at == min(due, story.now + timedelta(minutes=min(window, 60)))
    assert story.case.standing is Standing.PENDING


@given(st.integers(0, 3), st.integers(1, 5))
def test_a_ticket_past_its_rounds_is_not_sent_back_again(max_revisions: int, round_: int) -> None:
    made = opening(max_revisions=max_revisions)
    made = type(made)(made.id, made.action, made.ruling, round=round_)
    story = Story(link(made.id, None, [to_draft(made)], NOW))
    if round_ > max_revisions:
        refused(RevisionRefused, story, REVISE, "ana")
    else:
        assert story.say(REVISE, "ana") is Standing.RETURNED


def test_an_amended_call_that_the_policy_denies_is_denied() -> None:
    story = Story.of()
    story.say(APPROVE, "ana")
    story.claim()
    ruling = opening(mode="deny").ruling.model_dump(mode="json")
    story.write(Draft("released", {"attempt": 1}), Draft("amended", {"ruling": ruling}, {"edit": {"digest": "d"}}))
    assert story.case.standing is Standing.DENIED


# What changes nothing, and what ends ---------------------------------------------------------------------------------------


@given(st.sampled_from([Standing.PENDING, Standing.APPROVED, Standing.REJECTED, Standing.EXECUTED, Standing.IN_DOUBT]))
def test_a_comment_changes_nothing(standing: Standing) -> None:
    story = story_that_is(standing)
    story.write(*law.comment(story.case, Say(Verdict.COMMENT, "ana", "", "looks odd"), None))
    assert story.case.standing is standing
    assert story.case.decisions[-1].reason == "looks odd"
    with pytest.raises(IncompleteDecision):
        law.comment(story.case, Say(Verdict.COMMENT, "ana", "", " "), None)
    with pytest.raises(NotAllowedToDecide):
        law.comment(story.case, Say(Verdict.COMMENT, "ana", "", "hm"), {"cem": frozenset()})


@given(st.sampled_from([s for s in Standing if s not in (Standing.PENDING, Standing.APPROVED)]))
def test_only_what_is_pending_or_approved_can_be_withdrawn(standing: Standing) -> None:
    with pytest.raises(TicketClosed):
        law.withdraw(story_that_is(standing).case, by="ana", reason="")
    for open_ in (Standing.PENDING, Standing.APPROVED):
        story = story_that_is(open_)
        assert story.write(*law.withdraw(story.case, by="ana", reason="")) is Standing.WITHDRAWN


def test_a_stranger_does_not_withdraw_but_the_requester_does() -> None:
    people = {"ana": frozenset[str]()}
    case = Story.of(requester="visitor").case
    with pytest.raises(NotAllowedToDecide):
        law.withdraw(case, by="mallory", reason="", people=people)
    assert law.withdraw(case, by="visitor", reason="", people=people)
    assert law.withdraw(case, by="ana", reason="", people=people)


@given(st.sampled_from(list(Standing)))
def test_only_what_has_ended_can_be_erased(standing: Standing) -> None:
    story = story_that_is(standing)
    if standing.is_final:
        # What time has ended is on record before anything is erased.
        story.write(*law.silence(law.recorded(story.history), story.now))
        assert story.write(*law.erase(story.case, by="dpo", reason="asked for")) is standing
        assert story.case.erased
    else:
        with pytest.raises(TicketClosed, match="then erase it"):
            law.erase(story.case, by="dpo", reason="asked for")
    with pytest.raises(IncompleteDecision):
        law.erase(story.case, by="dpo", reason=" ")


# Afterwards ----------------------------------------------------------------------------------------------------------------


@given(small, small, st.lists(st.tuples(names, st.sampled_from([CONFIRM, FLAG])), max_size=8))
def test_the_nth_confirmation_or_the_mth_flag_ends_an_audit(
    confirmations: int, flags: int, said: list[tuple[str, Verdict]]
) -> None:
    story = audit_that_is(Standing.UNDER_AUDIT, approvals=confirmations, rejections=flags)
    words, ended = dict[str, Verdict](), False
    for by, verdict in said:
        if ended or words.get(by) is verdict:
            refused(TicketClosed, story, verdict, by)
            continue
        standing = story.say(verdict, by)
        words[by] = verdict
        flagged = list(words.values()).count(FLAG)
        ended = flagged >= flags or len(words) - flagged >= confirmations
        expected = Standing.FLAGGED if flagged >= flags else Standing.CONFIRMED
        assert standing is (expected if ended else Standing.UNDER_AUDIT)
        # Where a flag calls nothing, what tells people of it stands beside the word that decided it.
        assert (story.history[-1].kind == "alerted") == (standing is Standing.FLAGGED)


@given(st.sampled_from(list(Standing)), st.sampled_from([APPROVE, REJECT, REVISE, CONFIRM, FLAG]))
def test_confirm_and_flag_are_for_audits_and_nothing_else_is(standing: Standing, verdict: Verdict) -> None:
    if (standing in AUDITS) != (verdict in (CONFIRM, FLAG)):
        refused(WrongVerdict, story_that_is(standing), verdict, "eda")


@given(st.integers(0, 30), st.integers(0, 30), st.floats(0, 1), st.floats(0, 1, exclude_max=True))
def test_the_first_are_all_looked_at_and_the_others_as_their_share_says(
    new_until: int, earlier: int, sample: float, drawn: float
) -> None:
    choice = law.choose(Audit(sample=sample, new_until=new_until), drawn=drawn, earlier=earlier)
    assert choice.is_audited == (earlier < new_until or drawn < sample)
    assert (choice.why == "new_tool") == (earlier < new_until)


@given(st.sampled_from(["tools", "nodes"]), st.text("ab.*5", min_size=1), st.integers(0, 12))
def test_a_rule_is_told_by_the_entry_that_it_stands_in(section: str, name: str, number: int) -> None:
    for rule in ("otherwise", f"rules.{number}"):
        assert law.entry_of(f"{section}.{name}.{rule}") == f"{section}.{name}"


# Time ----------------------------------------------------------------------------------------------------------------------


@given(spans, st.timedeltas(timedelta(0), timedelta(hours=800)))
def test_silence_is_no(window: timedelta, waited: timedelta) -> None:
    story = Story.of(window=window)
    story.now += waited
    assert story.case.standing is (Standing.EXPIRED if waited >= window else Standing.PENDING)
    written = story.write(*law.silence(law.recorded(story.history), story.now))
    assert written is law.recorded(story.history).standing


@given(spans, st.timedeltas(timedelta(0), timedelta(hours=800)), st.sampled_from(["review", "allow"]))
def test_an_approval_lapses_when_it_is_not_used_in_time_and_an_allowance_does_not(
    use_within: timedelta, waited: timedelta, mode: str
) -> None:
    story = Story.of(use_within=use_within, mode=mode)
    if mode == "review":
        story.say(APPROVE, "ana")
    story.now += waited
    lapsed = mode == "review" and waited >= use_within
    assert story.case.standing is (Standing.LAPSED if lapsed else Standing.APPROVED)
    assert to_row(law.recorded(story.history)).due_at is None or mode == "review"


@given(st.timedeltas(timedelta(0), timedelta(days=800)))
def test_what_runs_never_expires_and_doubt_stays_doubt(waited: timedelta) -> None:
    running, doubted = story_that_is(Standing.RUNNING), story_that_is(Standing.IN_DOUBT)
    running.now += waited
    doubted.now += waited
    assert running.case.standing is Standing.RUNNING
    assert doubted.case.standing is Standing.IN_DOUBT
    assert doubted.case.told_unknown == (waited >= timedelta(hours=24))


steps = st.lists(
    st.tuples(st.sampled_from(["approve", "reject", "edit", "send_back", "comment", "withdraw", "claim", "release", "suspend",
                               "executed", "failed", "doubt", "happened", "did_not_happen", "give_up", "silence"]),
              names, st.integers(-120, 300), st.integers(0, 2)),
    max_size=12,
)  # fmt: skip


@given(small, small, steps, st.integers(-100_000, 100_000))
def test_standing_is_a_pure_fold_and_what_has_ended_stays_ended(
    approvals: int, rejections: int, acts: Sequence[tuple[str, str, int, int]], jump: int
) -> None:
    story = Story.of(
        approvals=approvals, rejections=rejections, window=timedelta(minutes=10), use_within=timedelta(minutes=10)
    )
    ended: Standing | None = None
    for act, by, seconds, back in acts:
        story.after(seconds=seconds)
        try:
            story.write(*drafts_of(act, by, story.case, story, back))
        except DecisionRefused:
            continue
        standing = law.recorded(story.history).standing
        assert ended in (None, standing)
        ended = standing if standing.is_final else None
    kept = copy.deepcopy(story.history)
    once, again = law.fold(story.history, story.now), law.fold(story.history, story.now)
    assert (once, story.history) == (again, kept)
    # A clock that jumped back brings nothing back; one that jumped ahead ends only what waits.
    moved = law.fold(story.history, story.now + timedelta(seconds=jump)).standing
    recorded = law.recorded(story.history).standing
    if recorded.is_final:
        assert moved is once.standing is recorded
    else:
        assert moved in (recorded, Standing.EXPIRED, Standing.LAPSED)


def drafts_of(act: str, by: str, case: Case, story: Story, back: int) -> list[Draft]:
    """What somebody, or a runner of this attempt or of an earlier one, adds."""
    about = {"attempt": max(0, case.attempts - back)}
    match act:
        case "approve" | "reject":
            return law.decide(case, Say(Verdict(act), by, case.digest), None)
        case "send_back":
            return law.decide(case, Say(REVISE, by, case.digest), None)
        case "edit":
            made = opening({"to": by, "at": case.generation}, approvals=2)
            ruling = made.ruling.model_copy(
                update={"requirements": stricter(case.requirements, made.ruling.requirements)}
            )
            return law.revise(case, Say(REVISE, by, case.digest), Edit({}, {}, made.action.digest, [], ruling), None)
        case "comment":
            return law.comment(case, Say(Verdict.COMMENT, by, "", "hm"), None)
        case "withdraw":
            return law.withdraw(case, by=by, reason="")
        case "happened" | "did_not_happen" | "give_up":
            return law.settle(case, Answer(act), Say(Verdict.COMMENT, by, ""), None)
        case "silence":
            return law.silence(law.recorded(story.history), story.now)
        case "claim":
            may = case.standing is Standing.APPROVED
            return [Draft("claimed", {"attempt": case.attempts + 1, "owner": "{}", "lease": 10.0})] if may else []
        case "executed" | "failed" if about["attempt"]:
            return [Draft(act, about, {})]
        case "release" | "suspend" | "doubt" if about["attempt"]:
            kind = {"release": "released", "suspend": "suspended", "doubt": "in_doubt"}[act]
            return [Draft(kind, about)]
    return []


# Attempts ------------------------------------------------------------------------------------------------------------------


def given_up_and_taken_over() -> Story:
    """The first runner was found dead, somebody said that nothing had happened, and a second one runs."""
    story = story_that_is(Standing.IN_DOUBT)
    story.write(*law.settle(story.case, Answer.DID_NOT_HAPPEN, Say(Verdict.COMMENT, "ana", ""), None))
    story.claim()
    return story


@pytest.mark.parametrize("kind", ["released", "suspended", "in_doubt", "executed", "failed"])
def test_a_runner_that_was_given_up_does_not_disturb_the_one_that_took_its_place(kind: str) -> None:
    story = given_up_and_taken_over()
    story.write(Draft(kind, {"attempt": 1}, {}))
    case = story.case
    assert (case.standing, case.attempts) == (Standing.RUNNING, 2)
    assert case.claim
    assert not case.claim.suspended
    assert story.write(Draft("executed", {"attempt": 2}, {"rendering": "second"})) is Standing.EXECUTED
    assert story.write(Draft(kind, {"attempt": 1}, {})) is Standing.EXECUTED
    assert story.case.outcome
    assert story.case.outcome.result == "second"


@pytest.mark.parametrize("standing", [Standing.EXECUTED, Standing.FAILED])
def test_a_late_outcome_settles_the_doubt_also_when_somebody_has_said_that_it_did_not_happen(
    standing: Standing,
) -> None:
    story = story_that_is(Standing.IN_DOUBT)
    assert story.write(Draft(str(standing), {"attempt": 1}, {})) is standing
    story = story_that_is(Standing.IN_DOUBT)
    story.write(*law.settle(story.case, Answer.DID_NOT_HAPPEN, Say(Verdict.COMMENT, "ana", ""), None))
    assert story.case.standing is Standing.APPROVED
    assert story.write(Draft(str(standing), {"attempt": 1}, {})) is standing


def test_an_allowed_call_that_may_run_once_keeps_its_first_outcome() -> None:
    story = Story.of(mode="allow", once=True)
    assert story.write(Draft("executed", {"attempt": 1}, {"rendering": "one"})) is Standing.EXECUTED
    for kind in ("failed", "released", "in_doubt"):
        assert story.write(Draft(kind, {"attempt": 0 if kind != "failed" else 1}, {})) is Standing.EXECUTED


def test_an_allowed_call_that_is_only_recorded_shows_its_last_outcome() -> None:
    story = Story.of(mode="allow", record=True)
    for kind in (Standing.FAILED, Standing.EXECUTED, Standing.EXECUTED):
        assert story.write(Draft(str(kind), {"attempt": 1}, {"rendering": "one"})) is kind


def test_only_an_eligible_person_settles_a_doubt_and_only_a_doubt() -> None:
    story = story_that_is(Standing.IN_DOUBT)
    with pytest.raises(NotAllowedToDecide):
        law.settle(story.case, Answer.HAPPENED, Say(Verdict.COMMENT, "mallory", ""), {"ana": frozenset()})
    for standing in Standing:
        if standing is not Standing.IN_DOUBT:
            with pytest.raises(TicketClosed):
                law.settle(story_that_is(standing).case, Answer.HAPPENED, Say(Verdict.COMMENT, "ana", ""), None)


def test_after_the_model_was_told_unknown_it_is_not_run_again() -> None:
    story = story_that_is(Standing.IN_DOUBT).after(days=2)
    story.write(*law.silence(law.recorded(story.history), story.now))
    story.write(*law.settle(story.case, Answer.DID_NOT_HAPPEN, Say(Verdict.COMMENT, "ana", ""), None))
    assert story.case.standing is Standing.FAILED


# After the end -------------------------------------------------------------------------------------------------------------

modes = st.sampled_from(["allow", "review", "deny"])


@given(modes, modes, st.booleans())
def test_what_a_person_s_word_permits_is_never_more_than_the_policy_says_of_it(
    permit: str, said: str, is_named: bool
) -> None:
    ruled, policy = opening(mode=permit, redact=("a",)).ruling, opening(mode=said, redact=("b",)).ruling
    held = law.permitted(ruled, policy, is_named=is_named)
    strictness = law.STRICTNESS
    expected = max(strictness[permit], strictness[said]) if is_named else strictness[permit]
    assert strictness[held.mode] == expected
    assert "a" in held.redact


def test_a_rollback_is_put_on_record_once_and_changes_no_standing() -> None:
    story = Story.of()
    story.say(REJECT, "ana")
    done = Rollback(undone=("x",), left=(Left(ticket_id="y", tool="pay", why="no undo"),))
    assert story.write(*law.roll_back(story.case, done)) is Standing.REJECTED
    assert story.case.rollback == done
    assert law.roll_back(story.case, Rollback()) == []

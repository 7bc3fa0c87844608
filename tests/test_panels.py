"""Who must approve together: every slot by people of its own, level after level, and nobody twice."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_signoff import NotAllowedToDecide, Policy, PolicyError, Signoff, Standing
from langgraph_signoff.errors import DecisionRefused, TicketClosed
from langgraph_signoff.law import reviewers, too_few
from langgraph_signoff.panels import Voice, fewest, helps, is_met, is_possible, panel_text
from langgraph_signoff.policy.panels import read_panel
from langgraph_signoff.vocabulary import Panel, Requirements, Slot
from support import NOW, open_ticket, opening
from test_law import APPROVE, CONFIRM, REJECT, REVISE, Story, refused

PEOPLE = {
    "ana": frozenset({"finance"}),
    "bo": frozenset({"finance"}),
    "cem": frozenset({"leads"}),
    "deniz": frozenset({"finance", "leads"}),
    "eda": frozenset[str](),
}
BOTH = read_panel({"all": [{"group": "finance"}, {"group": "leads"}]})
IN_TURN = read_panel(
    {"then": [{"group": "finance"}, {"any": [{"people": ["eda"]}, {"group": "leads", "approvals": 2}]}]}
)
PENDING, APPROVED = Standing.PENDING, Standing.APPROVED

who = st.lists(st.sampled_from(["ana", "eda", "group:finance", "group:leads"]), min_size=1, max_size=2, unique=True)
slots = st.builds(Slot, who=who.map(tuple), approvals=st.integers(1, 2))
levels = st.lists(st.lists(slots, min_size=1, max_size=3).map(tuple), min_size=1, max_size=2).map(tuple)
panels = st.lists(levels, min_size=1, max_size=2).map(lambda found: Panel(levels=tuple(found)))
turns = st.permutations(sorted(PEOPLE))


def voice(by: str) -> Voice:
    return Voice(by, PEOPLE[by])


def of(*panels: Panel, **more: Any) -> Story:
    return Story.of(panels=panels, people=PEOPLE, approvals=max(map(fewest, panels)), **more)


def fills(slots: Sequence[Slot], voices: Sequence[Voice]) -> bool:
    """Whether some way of seating these people fills every slot, tried one by one."""
    places = [slot for slot in slots for _ in range(slot.approvals)]
    return any(
        all(one.fits(slot.who) for one, slot in zip(seated, places, strict=True))
        for seated in itertools.permutations(voices, len(places))
    )


# The matching ----------------------------------------------------------------------------------------------------------------


@given(panels, st.sets(st.sampled_from(sorted(PEOPLE))))
def test_a_panel_is_possible_just_if_some_seating_fills_it(panel: Panel, names: set[str]) -> None:
    voices = [voice(by) for by in sorted(names)]
    ways = [list(itertools.chain(*way)) for way in itertools.product(*panel.levels)]
    assert is_possible(panel, voices) == any(fills(way, voices) for way in ways)


@given(levels, turns)
def test_a_level_is_filled_just_if_some_seating_fills_one_of_its_alternatives(level: Any, names: list[str]) -> None:
    panel = Panel(levels=(level,))
    for count in range(len(names) + 1):
        voices = [voice(by) for by in names[:count]]
        assert is_met(panel, voices) == any(fills(slots, voices[:n]) for slots in level for n in range(len(voices) + 1))


@given(panels, turns)
def test_a_filled_panel_stays_filled_and_waits_for_nobody(panel: Panel, names: list[str]) -> None:
    voices = list[Voice]()
    for by in names:
        was_met = is_met(panel, voices)
        assert not (was_met and helps(panel, voices, voice(by)))
        voices.append(voice(by))
        assert is_met(panel, voices) or not was_met


# The law -----------------------------------------------------------------------------------------------------------------------


@given(panels, turns)
def test_each_approval_fills_a_place_that_was_open_or_is_refused(panel: Panel, names: list[str]) -> None:
    story, said = of(panel), list[Voice]()
    for by in names:
        if story.case.standing is APPROVED:
            break
        if helps(panel, said, voice(by)):
            said.append(voice(by))
            standing = story.say(APPROVE, by)
            assert standing is (APPROVED if is_met(panel, said) else PENDING)
        else:
            refused(NotAllowedToDecide, story, APPROVE, by)
    assert story.case.approvers == tuple(one.by for one in said)
    assert len(said) >= fewest(panel) or story.case.standing is PENDING


def test_a_person_of_two_groups_fills_one_place_and_makes_room_for_who_comes_later() -> None:
    story = of(BOTH)
    assert story.say(APPROVE, "deniz") is PENDING
    assert story.say(APPROVE, "ana") is APPROVED


def test_a_second_voice_of_the_same_group_is_told_whom_the_ticket_waits_for() -> None:
    story = of(BOTH)
    story.say(APPROVE, "ana")
    with pytest.raises(NotAllowedToDecide, match="it waits for 1 by group:leads"):
        story.say(APPROVE, "bo")
    assert story.say(APPROVE, "cem") is APPROVED


def test_a_level_opens_when_the_one_before_is_filled() -> None:
    story = of(IN_TURN)
    refused(NotAllowedToDecide, story, APPROVE, "cem")
    story.say(APPROVE, "ana")
    assert story.say(APPROVE, "cem") is PENDING
    assert story.say(APPROVE, "deniz") is APPROVED


def test_one_of_several_ways_is_enough() -> None:
    story = of(IN_TURN)
    story.say(APPROVE, "deniz")
    assert story.say(APPROVE, "eda") is APPROVED


def test_whoever_has_a_slot_may_reject_or_send_back_before_it_is_their_turn() -> None:
    assert of(IN_TURN).say(REJECT, "cem") is Standing.REJECTED
    assert of(IN_TURN).say(REVISE, "cem", reason="too much") is Standing.RETURNED
    refused(NotAllowedToDecide, of(BOTH), REJECT, "eda")


def test_who_has_left_the_group_they_spoke_for_counts_no_more() -> None:
    story = of(BOTH)
    story.say(APPROVE, "ana")
    story.people = {**PEOPLE, "ana": frozenset({"leads"})}
    assert story.say(APPROVE, "cem") is PENDING
    assert story.case.approvers == ("cem",)
    assert story.say(APPROVE, "bo") is APPROVED


def test_an_edit_counts_for_its_author_only_where_it_is_their_turn() -> None:
    story = of(IN_TURN)
    story.revise("cem", {"to": "bob", "amount": 4}, panels=(IN_TURN,))
    assert (story.case.standing, story.case.approvers) == (PENDING, ())
    story.revise("ana", {"to": "bob", "amount": 3}, panels=(IN_TURN,))
    assert story.case.approvers == ("ana",)
    assert story.say(APPROVE, "eda") is APPROVED


def test_an_edit_under_another_panel_must_fill_both() -> None:
    story = of(BOTH)
    story.revise("ana", {"to": "bob", "amount": 4}, panels=(read_panel({"people": ["eda"]}),))
    story.say(APPROVE, "cem")
    assert story.case.standing is PENDING
    assert story.say(APPROVE, "eda") is APPROVED


def test_an_edit_from_so_many_people_to_a_panel_waits_for_both_and_can_be_decided() -> None:
    story = Story.of(people=PEOPLE, approvals=3)
    story.revise("ana", {"to": "bob", "amount": 4}, approvals=3, panels=(BOTH,))
    story.say(APPROVE, "cem")
    assert story.case.standing is PENDING
    assert story.say(APPROVE, "bo") is APPROVED


def test_answers_and_audits_are_counted_by_the_same_panels() -> None:
    story = of(BOTH, kind="question", args={"question": "Which?"}, answer_schema={"type": "string"})
    story.answer("ana", "this")
    with pytest.raises(NotAllowedToDecide):
        story.answer("bo", "this")
    assert story.answer("cem", "this") is Standing.ANSWERED
    audit = of(BOTH, kind="audit")
    audit.say(CONFIRM, "ana")
    refused(NotAllowedToDecide, audit, CONFIRM, "bo")
    assert audit.say(CONFIRM, "cem") is Standing.CONFIRMED


def test_too_few_people_for_a_panel_are_told_also_if_there_are_enough_in_number() -> None:
    few = {"ana": frozenset({"finance"}), "bo": frozenset({"finance"})}
    assert too_few(Requirements(panels=(BOTH,), approvals=2), people=few)
    assert not too_few(Requirements(panels=(BOTH,), approvals=2), people=PEOPLE)
    assert too_few(
        Requirements(panels=(BOTH,), approvals=2), people={"ana": PEOPLE["ana"], "cem": PEOPLE["cem"]}, requester="cem"
    )


# Who may -----------------------------------------------------------------------------------------------------------------------


@given(panels, turns, st.integers(0, 3), st.sampled_from([None, "ana", "cem"]))
def test_who_may_decide_is_told_as_the_law_has_it(
    panel: Panel, names: list[str], count: int, requester: str | None
) -> None:
    story = of(panel, requester=requester)
    for by in names[:count]:
        with suppress(DecisionRefused):
            story.say(APPROVE, by)
    told = reviewers(story.case, PEOPLE)
    assert [one.name for one in told] == sorted(PEOPLE)
    for one in told:
        attempt = Story(list(story.history), PEOPLE)
        if one.may:
            assert attempt.say(REJECT, one.name) is Standing.REJECTED
        else:
            refused(TicketClosed if story.case.standing is APPROVED else NotAllowedToDecide, attempt, REJECT, one.name)
        if one.why.startswith(("is group:", "is ana", "is eda")) and one.may:
            attempt = Story(list(story.history), PEOPLE)
            attempt.say(APPROVE, one.name)
            assert one.name in attempt.case.approvers


# The policy --------------------------------------------------------------------------------------------------------------------

POLICY = """
version: 1
people:
  ana: {groups: [finance]}
  cem: {groups: [leads]}
queues:
  pay:
    owner: ana
    backup: [cem]
    approvals: APPROVALS
tools:
  send: {otherwise: {then: review, queue: pay}}
"""


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{all: [{group: finance}, {group: leads}]}", "1 by group:finance and 1 by group:leads"),
        ("{any: [{group: finance, approvals: 1}, {people: [cem, ana]}]}", "1 by group:finance or 1 by cem or ana"),
        ("{then: [{group: finance}, {people: [cem]}]}", "1 by group:finance, then 1 by cem"),
        (
            "{all: [{any: [{group: finance}, {people: [ana]}]}, {group: leads}]}",
            "(1 by group:finance and 1 by group:leads) or (1 by ana and 1 by group:leads)",
        ),
    ],
)
def test_a_policy_says_who_must_approve_together(written: str, said: str, tmp_path: Path) -> None:
    policy = Policy.parse(POLICY.replace("APPROVALS", written))
    assert Policy.parse(policy.document).version == policy.version
    with closing(Signoff(tmp_path / "s.db", policy=policy)) as signoff:
        needs = policy.review(opening().action, now=NOW).requirements
        assert panel_text(needs.panels[0]) == said
        ticket = open_ticket(signoff, panels=needs.panels, approvals=needs.approvals)
        assert f"{needs.approvals} approval" in str(ticket)
        assert said in str(ticket)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (
            "{all: [{group: finance}, {group: finance}]}",
            "can never come: ana, cem may decide in queue pay, and nobody twice",
        ),
        ("{all: [{group: finace}]}", "unknown group finace"),
        ("{all: [{people: [zed]}]}", "unknown person zed"),
        ("{all: []}", "all: should be a list of slots"),
        ("{some: [{group: finance}]}", r"it: a slot is \{group: NAME\} or \{people: \[NAME, ...\]\}"),
        ("{group: finance, people: [ana]}", "it: a slot is"),
        ("{people: ['group:finance']}", "it: a slot is"),
        ("{group: finance, approvals: 0}", "approvals should be a number from 1 to 100"),
        ("{any: [{then: [{group: finance}]}]}", "levels stand outermost"),
        ("{all: [" + ", ".join(["{any: [{group: finance}, {group: leads}]}"] * 7) + "]}", "more than 64 alternatives"),
        ("0", "should be a number from 1 to 100, or say who must approve together"),
        ("true", "should be a number from 1 to 100, or say who must approve together"),
    ],
)
def test_a_panel_that_nobody_can_fill_or_read_is_a_load_error(written: str, problem: str) -> None:
    with pytest.raises(PolicyError, match=problem):
        Policy.parse(POLICY.replace("APPROVALS", written))


def test_groups_without_people_are_a_load_error() -> None:
    with pytest.raises(PolicyError, match="asks for groups; say under `people` who is in them"):
        Policy(queues={"q": {"approvals": {"group": "finance"}}})


def test_four_eyes_from_two_groups_from_the_front_door(tmp_path: Path) -> None:
    policy = Policy.parse(POLICY.replace("APPROVALS", "{all: [{group: finance}, {group: leads}]}"))
    with closing(Signoff(tmp_path / "s.db", policy=policy)) as signoff:
        ticket = open_ticket(signoff, panels=(BOTH,), approvals=2)
        after = signoff.approve(ticket, by="ana")
        assert after.waits_for == ("1 by group:leads",)
        assert "waits for  1 by group:leads" in str(after)
        with pytest.raises(NotAllowedToDecide):
            signoff.approve(after, by="bo")
        told = {one.name: (one.may, one.why) for one in signoff.who(after)}
        assert told == {"ana": (True, "has approved; may still reject or revise"), "cem": (True, "is group:leads")}
        assert signoff.approve(after, by="cem").standing is APPROVED
        assert {(one.may, one.why) for one in signoff.who(after)} == {(False, "it is approved")}
        assert signoff.verify().is_whole


def test_the_schema_for_editors_knows_panels() -> None:
    schema = Policy.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)

    def takes(approvals: Any) -> bool:
        policy = {"version": 1, "queues": {"q": {"approvals": approvals}}}
        return jsonschema.Draft202012Validator(schema).is_valid(policy)

    assert takes(2)
    assert takes({"all": [{"group": "finance"}, {"any": [{"people": ["ana"], "approvals": 1}, {"group": "leads"}]}]})
    assert takes({"then": [{"group": "finance"}, {"all": [{"group": "leads"}]}]})
    assert not any(
        map(takes, (0, {}, {"all": []}, {"grp": "x"}, {"group": "x", "people": ["ana"]}, {"all": [{"then": []}]}))
    )

"""The law of questions: one property for each rule."""

from __future__ import annotations

import enum
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr, TypeAdapter

from langgraph_signoff import law
from langgraph_signoff.errors import (
    AnswerRefused,
    DecisionRefused,
    IncompleteDecision,
    NotAllowedToDecide,
    NotWhatYouSaw,
    TicketClosed,
    WrongVerdict,
)
from langgraph_signoff.law import Say
from langgraph_signoff.law.questions import is_same
from langgraph_signoff.vocabulary import Standing, Verdict
from support import json_values
from test_law import ANSWER, APPROVE, NAMES, REJECT, REVISE, Story, clauses, groups, names, question, refused, small

PENDING, ANSWERED = Standing.PENDING, Standing.ANSWERED


def no_answer(error: type[DecisionRefused], story: Story, by: str, value: Any = "yes", **more: Any) -> str:
    """Asserts that an answer is refused so, and that nothing was added; the words of the refusal."""
    before = list(story.history)
    with pytest.raises(error) as refusal:
        story.answer(by, value, **more)
    assert story.history == before
    return str(refusal.value)


@given(small, small, st.lists(st.tuples(names, st.sampled_from(["a", "b", None])), max_size=10))
def test_a_question_is_answered_once_as_many_as_must_approve_have_last_given_one_answer(
    approvals: int, rejections: int, said: list[tuple[str, str | None]]
) -> None:
    story, words = question(approvals=approvals, rejections=rejections), dict[str, str | None]()
    for by, word in said:
        if story.case.standing is not PENDING:
            no_answer(TicketClosed, story, by, word or "a")
            continue
        if by in words and words[by] == word:
            with pytest.raises(TicketClosed):
                story.answer(by, word) if word else story.say(REJECT, by)
            continue
        words[by] = word
        standing = story.answer(by, word) if word else story.say(REJECT, by)
        counted = list(words.values())
        if word and counted.count(word) >= approvals:
            assert (standing, story.case.answer and story.case.answer.answer) == (ANSWERED, word)
        else:
            assert standing is (Standing.REJECTED if counted.count(None) >= rejections else PENDING)


@given(st.booleans(), st.dictionaries(names, st.frozensets(groups)), clauses, names)
def test_only_who_may_decide_may_answer(
    is_barred: bool, people: dict[str, frozenset[str]], reviewers: list[tuple[str, ...]], by: str
) -> None:
    story = question(
        people=people, reviewers=tuple(reviewers), requester="ana", barred=("requester",) if is_barred else ()
    )
    mine = {by, *(f"group:{group}" for group in people.get(by, ()))}
    if by in people and not (is_barred and by == "ana") and all(mine & set(clause) for clause in reviewers):
        assert story.answer(by, "yes") is ANSWERED
        assert story.case.decisions[0].groups == tuple(sorted(people[by]))
    else:
        no_answer(NotAllowedToDecide, story, by)


@given(st.lists(st.tuples(st.frozensets(names, min_size=1), names, st.sampled_from(["a", "b"])), min_size=2))
def test_only_answers_of_those_who_may_decide_now_make_it_answered(said: list[Any]) -> None:
    story, words = question(approvals=2), dict[str, str]()
    for known, by, word in said:
        story.people = dict.fromkeys(known, frozenset[str]())
        if story.case.standing is ANSWERED:
            break
        same = {name for name, other in words.items() if other == word and name in known}
        if by not in known or by in same:
            no_answer(NotAllowedToDecide if by not in known else TicketClosed, story, by, word)
            continue
        words[by] = word
        assert story.answer(by, word) is (ANSWERED if same else PENDING)


@given(st.integers(0, 120), st.sampled_from(["required", "optional"]), st.sampled_from(["", "they called"]))
def test_an_answer_takes_the_reason_that_the_policy_wants_and_comes_within_the_window(
    minutes: int, reason: str, words: str
) -> None:
    story = question(window=timedelta(minutes=60), reason=reason).after(minutes=minutes)
    if minutes >= 60:
        assert story.case.standing is Standing.EXPIRED
        assert "is expired" in no_answer(TicketClosed, story, "ana", reason=words)
    elif reason == "required" and not words:
        no_answer(IncompleteDecision, story, "ana", reason=words)
    else:
        assert story.answer("ana", "yes", reason=words) is ANSWERED


@given(st.text(max_size=64))
def test_an_answer_names_what_was_asked(digest: str) -> None:
    story = question()
    with pytest.raises(NotWhatYouSaw):
        law.answer(story.case, Say(ANSWER, "ana", digest), "yes", None)


# What fits -----------------------------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    """One of two."""

    RED = "red"
    BLUE = "blue"


class Line(BaseModel):
    """A part of a form."""

    text: str = Field(min_length=1)
    count: int = 1


class Form(BaseModel):
    """A form with something of everything."""

    colour: Colour
    due: date
    lines: list[Line] = []
    note: str | None = None


FORM = TypeAdapter(Form).json_schema()
RIGHT = {"colour": "red", "due": "2026-03-02", "lines": [{"text": "a"}]}


@given(st.sampled_from([{"type": "string", "enum": ["a", "b"]}, FORM, {"type": "integer"}]), json_values)
def test_an_answer_that_does_not_fit_what_was_asked_is_refused(schema: dict[str, Any], value: Any) -> None:
    from jsonschema import Draft202012Validator

    story = question(schema)
    if Draft202012Validator(schema).is_valid(value):
        assert story.answer("ana", value) is ANSWERED
        assert story.case.answer
        assert is_same(story.case.answer.answer, value)
    else:
        no_answer(AnswerRefused, story, "ana", value)
        assert story.answer("ana", RIGHT if schema is FORM else 5 if "enum" not in schema else "a") is ANSWERED


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a choice": ({"colour": "green"}, "colour: 'green' is not one of"),
    "a date": ({"due": "tomorrow"}, "due: 'tomorrow' is not a 'date'"),
    "a part": ({"lines": [{"text": "a"}, {"text": ""}]}, "lines[1].text: "),
    "a type of a part": ({"lines": [{"text": "a", "count": "2"}]}, "lines[0].count: '2' is not of type 'integer'"),
    "one of two types": ({"note": 5}, "note: 5 is not"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_the_refusal_of_an_answer_names_the_field(wrong: str) -> None:
    change, words = WRONG[wrong]
    assert words in no_answer(AnswerRefused, question(FORM), "ana", {**RIGHT, **change})


def test_the_refusal_of_an_answer_names_a_field_that_is_missing() -> None:
    assert "'due' is a required property" in no_answer(AnswerRefused, question(FORM), "ana", {"colour": "red"})


DEEP: Any = []
for _ in range(100):
    DEEP = [DEEP]

GARBAGE = [float("nan"), float("inf"), object(), {1, 2}, b"x", "\ud800", 2**63, -(2**63) - 1, {"a": [2**99]}, DEEP]


@pytest.mark.parametrize("value", GARBAGE, ids=lambda value: str(value)[:20])
def test_an_answer_that_no_checkpoint_could_hold_is_refused_whatever_fits(value: Any) -> None:
    story = question({"title": "anything"})
    assert "the answer " in no_answer(AnswerRefused, story, "ana", value)
    for large in (2**63 - 1, -(2**63), 1.5e300, True, None):
        assert question({"title": "anything"}).answer("ana", large) is ANSWERED


def test_a_pattern_in_another_dialect_is_left_to_the_form() -> None:
    assert question({"type": "string", "pattern": r"^\p{L}+$"}).answer("ana", "Zoë") is ANSWERED


@given(json_values, json_values)
def test_two_answers_are_one_if_they_are_one_json_value(one: Any, other: Any) -> None:
    assert is_same(one, one)
    assert is_same(one, other) == is_same(other, one)
    assert is_same(5, 5.0)
    assert not is_same(1, True)


@given(json_values)
def test_an_answer_that_is_spelled_is_read_as_it_was_given(answer: Any) -> None:
    for schema in ({"type": "integer"}, {"anyOf": [{"type": "integer"}, {"type": "string"}]}, {}):
        words = law.spelled(schema, answer)
        assert (law.worded(schema, words) if isinstance(words, str) else words) == answer
    assert law.spelled({"type": "string"}, "5") == "5"


def test_words_are_the_answer_where_a_text_is_asked_for_and_json_elsewhere() -> None:
    assert law.worded({"type": "string"}, "5") == "5"
    assert law.worded({"type": "string", "enum": ["a"]}, "a") == "a"
    assert law.worded({"type": "integer"}, "5") == 5
    assert law.worded(FORM, '{"colour": "red"}') == {"colour": "red"}
    for garbage in ("", "red", '{"a": 1, "a": 2}', "NaN", "1e999", "[" * 100_000):
        with pytest.raises(AnswerRefused, match="not JSON"):
            law.worded(FORM, garbage)


@pytest.mark.parametrize(
    ("form", "hides"), [(Form, False), (SecretStr, True), (list[SecretStr], True), (dict[str, SecretStr | None], True)]
)
def test_a_form_with_a_secret_is_known_by_its_schema(form: Any, hides: bool) -> None:
    assert law.is_secret(TypeAdapter(form).json_schema()) is hides


# What a question does not take ---------------------------------------------------------------------------------------------


@given(st.integers(1, 3), st.lists(names, min_size=1, max_size=4, unique=True))
def test_a_question_is_never_approved_whoever_says_what(approvals: int, who: list[str]) -> None:
    story = question(approvals=approvals, rejections=3)
    for by in who:
        refused(WrongVerdict if story.case.standing is PENDING else TicketClosed, story, APPROVE, by)
        if story.case.standing is PENDING:
            story.answer(by, by)
    if story.case.standing is PENDING:
        story.say(REJECT, NAMES[0])
    assert story.case.standing is (ANSWERED if approvals == 1 else PENDING)
    assert story.case.approvers == ()


def test_an_action_takes_no_answer_and_says_what_it_takes() -> None:
    assert "approve, reject or revise it" in no_answer(WrongVerdict, Story.of(), "ana")


def test_a_question_can_be_sent_back_or_rejected_with_words() -> None:
    for verdict, end in ((REVISE, Standing.RETURNED), (REJECT, Standing.REJECTED)):
        story = question()
        assert story.say(verdict, "ana", reason="which customer?") is end
        assert story.case.why == "which customer?"


def test_what_was_erased_of_an_answered_question_leaves_it_answered() -> None:
    story = question()
    story.answer("ana", "yes")
    story.write(*law.erase(story.case, by="ana", reason="a request"))
    story.history = [entry.without_contents() for entry in story.history]
    assert story.case.standing is ANSWERED
    assert story.case.answer
    assert (story.case.answer.by, story.case.answer.answer, story.case.erased) == ("ana", None, True)


def test_a_comment_beside_an_answer_changes_nothing() -> None:
    story = question(approvals=2)
    story.answer("ana", "yes")
    story.write(*law.comment(story.case, Say(Verdict.COMMENT, "ana", "", "I asked them"), None))
    assert story.answer("cem", "yes") is ANSWERED
    story.write(*law.comment(story.case, Say(Verdict.COMMENT, "eda", "", "so do I"), None))
    assert story.case.answer
    assert story.case.answer.answer == "yes"

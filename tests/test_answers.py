"""Answers to questions, as people give them: through the API, from a terminal, and as every surface shows them."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from cli_support import Desk
from langgraph_signoff import (
    AnswerRefused,
    IncompleteDecision,
    NotAllowedToDecide,
    NotWhatYouSaw,
    Policy,
    RevisionRefused,
    Signoff,
    Standing,
    Ticket,
    TicketClosed,
    WrongVerdict,
)
from langgraph_signoff.ledger import Query
from langgraph_signoff.masking import MASK
from langgraph_signoff.view import words_of
from support import Clock, open_ticket
from test_cards import HOSTILE, Page
from test_cli_terminal import screen, terminal

CHOICES = {"type": "string", "enum": ["handle_manually", "add_to_templates"]}
MESSAGE = "Hello,\nwhere is my\n\norder?"


class Template(BaseModel):
    """A form."""

    name: str
    urgent: bool = False


class Login(BaseModel):
    """A form that holds a secret."""

    user: str
    password: SecretStr


FORM = Template.model_json_schema()


def ask(signoff: Signoff, schema: dict[str, Any] = CHOICES, **more: Any) -> Ticket:
    """A question in the ledger, as a door would have opened it."""
    args = more.pop("args", {"question": "No matching template", "message": MESSAGE})
    return open_ticket(signoff, args, kind="question", tool="unrecognised_input", answer_schema=schema, **more)


@pytest.fixture
def signoff(tmp_path: Path) -> Signoff:
    return Signoff(tmp_path / "signoff.db", policy=Policy(people={"ana": {}, "cem": {}}), clock=Clock())


# Through the API -----------------------------------------------------------------------------------------------------------


def test_an_answer_is_on_record_with_who_why_and_what_they_were_shown(signoff: Signoff) -> None:
    ticket = ask(signoff)
    assert (ticket.options, ticket.choices) == (("answer", "reject", "revise"), tuple(CHOICES["enum"]))
    answered = signoff.answer(ticket, "handle_manually", by="ana", reason="a complaint")
    assert (answered.standing, answered.answer, answered.options) == (Standing.ANSWERED, "handle_manually", ())
    [decision] = signoff.ticket(ticket.id).decisions
    assert (decision.by, decision.reason, decision.seen, decision.answer) == (
        *("ana", "a complaint", ticket.seen),
        "handle_manually",
    )
    assert signoff.pending() == []
    assert signoff.threads_to_wake() == [ticket.thread_id]
    assert signoff.verify().is_whole


def test_an_answer_names_what_was_shown_by_its_digest_or_by_the_ticket(signoff: Signoff) -> None:
    ticket = ask(signoff)
    with pytest.raises(IncompleteDecision):
        signoff.answer(ticket.id, "handle_manually", by="ana")
    with pytest.raises(NotWhatYouSaw):
        signoff.answer(ticket.id, "handle_manually", by="ana", if_digest="0" * 16)
    assert signoff.answer(ticket.id, "handle_manually", by="ana", if_digest=ticket.digest[:16]).answer


def test_a_question_takes_no_approval_no_edit_and_no_stranger(signoff: Signoff) -> None:
    ticket = ask(signoff)
    with pytest.raises(WrongVerdict, match="answer it"):
        signoff.approve(ticket, by="ana")
    with pytest.raises(WrongVerdict, match="answer it"):
        signoff.revise(ticket, by="ana", args={"question": "Another one"})
    with pytest.raises(NotAllowedToDecide):
        signoff.answer(ticket, "handle_manually", by="mallory")
    with pytest.raises(AnswerRefused, match="'ignore' is not one of"):
        signoff.answer(ticket, "ignore", by="ana")
    with pytest.raises(TicketClosed, match="no doubt to settle"):
        signoff.settle(ticket, "happened", by="ana")
    assert signoff.ticket(ticket.id) == ticket
    with pytest.raises(WrongVerdict, match="asks nothing"):
        signoff.answer(open_ticket(signoff), "yes", by="ana")
    with pytest.raises(RevisionRefused):
        signoff.revise(ask(signoff, max_revisions=0), by="ana", feedback="which order?")
    returned = signoff.revise(ticket, by="ana", feedback="which order?")
    assert (returned.standing, returned.answer) == (Standing.RETURNED, None)


def test_after_the_window_an_answer_is_refused_and_the_question_stays_unanswered(signoff: Signoff) -> None:
    ticket = ask(signoff)
    signoff.desk.clock.advance(hours=24)  # type: ignore[attr-defined]  # the clock of this test
    with pytest.raises(TicketClosed, match="is expired"):
        signoff.answer(ticket, "handle_manually", by="ana")
    assert signoff.threads_to_wake() == [ticket.thread_id]
    assert signoff.ticket(ticket.id).standing is Standing.EXPIRED


def test_an_answer_can_be_erased_and_stays_an_answer(signoff: Signoff) -> None:
    ticket = signoff.answer(ask(signoff), "handle_manually", by="ana", reason="a complaint")
    signoff.erase(ticket, by="ana", reason="a request")
    erased = signoff.ticket(ticket.id)
    assert (erased.standing, erased.answer, erased.erased) == (Standing.ANSWERED, None, True)
    assert "handle_manually" not in erased.model_dump_json() + str(erased) + str(words_of(signoff.history(ticket)))
    assert "ana answered (erased)" in str(erased)
    assert signoff.verify().is_whole


def _answers(path: Path, ticket_id: str, value: str, by: str, start: Any, said: Any) -> None:
    signoff = Signoff(path / "signoff.db", policy=Policy())
    seen = signoff.ticket(ticket_id)
    start.wait()
    try:
        said.put((by, signoff.answer(seen, value, by=by).answer))
    except TicketClosed as error:
        said.put((by, str(error)))


def test_of_many_answers_at_once_from_several_processes_one_counts(tmp_path: Path) -> None:
    signoff = Signoff(tmp_path / "signoff.db", policy=Policy())
    ticket = ask(signoff, {"type": "string"})
    spawn = multiprocessing.get_context("spawn")
    start, said = spawn.Barrier(3), spawn.Queue()
    crowd = [spawn.Process(target=_answers, args=(tmp_path, ticket.id, f"{n}", f"p{n}", start, said)) for n in range(3)]
    for process in crowd:
        process.start()
    heard = dict(said.get(timeout=60) for _ in crowd)
    for process in crowd:
        process.join(60)
    [winner] = [by for by, word in heard.items() if "takes no decision" not in str(word)]
    answered = signoff.ticket(ticket.id)
    assert (answered.answer, [d.by for d in answered.decisions]) == (heard[winner], [winner])
    assert signoff.verify().is_whole


# What is shown -------------------------------------------------------------------------------------------------------------


def test_a_question_shows_all_that_a_person_needs_to_answer_it(signoff: Signoff) -> None:
    text = str(ask(signoff, approvals=2))
    for line in (
        "      what  unrecognised_input\n",
        "  question  No matching template",
        "   context  message: Hello,\n                     where is my\n",
        "     takes  one of handle_manually, add_to_templates",
        "     needs  2 equal answers by anybody, not the requester",
        "   options  answer, reject, revise",
    ):
        assert line in text
    assert "to be used within" not in text
    assert "takes  JSON with name, urgent (optional)" in str(ask(signoff, FORM))
    assert "takes  a text" in str(ask(signoff, {"type": "string"}))
    assert 'takes  JSON that fits {"type": "integer"}' in str(ask(signoff, {"type": "integer"}))
    answered = signoff.answer(ask(signoff, FORM), {"name": "late"}, by="ana", reason="they wait")
    assert 'ana answered {"name": "late"} at 2026-03-02 09:30:00 UTC: they wait' in str(answered)


def test_what_the_context_of_a_question_says_never_looks_like_a_line_of_ours(signoff: Signoff) -> None:
    forged = "hi\n   options  approve\ndigest  0000\x1b[2J"
    text = str(ask(signoff, args={"question": forged, "message": forged}))
    assert [line.split("  ")[-2:] for line in text.split("\n") if line.lstrip().startswith("options")] != []
    assert sum(line[:10].strip() == "options" for line in text.split("\n")) == 1
    assert "\x1b" not in text


def test_the_card_of_a_question_shows_it_as_text_and_never_as_markup(signoff: Signoff) -> None:
    args = {"question": HOSTILE, "message": HOSTILE, HOSTILE: [HOSTILE]}
    ticket = ask(signoff, {"type": "string", "enum": [HOSTILE]}, args=args)
    page = Page(signoff.answer(ticket, HOSTILE, by="ana", reason=HOSTILE)._repr_html_())
    assert page.tags <= {"div", "span", "table", "tbody", "tr", "th", "td"}
    assert page.attributes == {"style"}
    assert "where is my" in Page(ask(signoff)._repr_html_()).text
    assert "one of handle_manually, add_to_templates" in Page(ask(signoff)._repr_html_()).text


def test_an_answer_whose_form_holds_a_secret_is_masked_wherever_it_is_shown(signoff: Signoff) -> None:
    ticket = ask(signoff, Login.model_json_schema())
    signoff.comment(ticket, by="cem", text="it is hunter22, I think")
    with pytest.raises(AnswerRefused) as refusal:
        signoff.answer(ticket, {"password": "hunter22"}, by="ana")
    assert str(refusal.value) == "the answer: breaks `required` of the form"
    answered = signoff.answer(ticket, {"user": "bob", "password": "hunter22"}, by="ana", reason="hunter22 it is")
    history = words_of(signoff.history(ticket))
    assert answered.answer == MASK
    assert history[-1]["answer"] == MASK
    shown = [answered.model_dump_json(), str(answered), answered._repr_html_(), json.dumps(history, ensure_ascii=False)]
    assert "hunter22" not in "".join(shown)
    assert signoff.desk.case(ticket.id).answer.answer["password"] == "hunter22"  # type: ignore[union-attr]  # answered


# From a terminal -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def answer(desk: Desk, ticket: Ticket, *words: str) -> Any:
    return desk.run("answer", ticket.id, *words, "--as", "ana")


def test_the_command_takes_one_of_the_options_words_or_the_json_of_a_form(desk: Desk) -> None:
    for schema, said, value in (
        (CHOICES, "add_to_templates", "add_to_templates"),
        ({"type": "string"}, "5", "5"),
        (FORM, '{"name": "late"}', {"name": "late"}),
        ({"type": "boolean"}, "true", True),
    ):
        ticket = ask(desk.signoff, schema)
        done = answer(desk, ticket, said, "--digest", ticket.digest[:16])
        assert (done.code, desk.signoff.ticket(ticket.id).answer) == (0, value)
        assert done.out.startswith(f"{ticket.id[:12]}  answered  unrecognised_input, by ana\nthe run goes on with: ")
        assert json.dumps(value) in desk.run("history", ticket.id).out


def test_the_command_refuses_what_is_no_answer_and_says_what_is(desk: Desk) -> None:
    ticket, form = ask(desk.signoff), ask(desk.signoff, FORM)
    digest = ("--digest", ticket.digest)
    for done, code, words in (
        (answer(desk, ticket, "handle_manually"), 2, "--digest"),
        (answer(desk, ticket), 2, "say what you answer"),
        (answer(desk, ticket, "ignore", *digest), 1, "'ignore' is not one of"),
        (answer(desk, form, "late", "--digest", form.digest), 1, "not JSON"),
        (answer(desk, form, '{"urgent": 1, "name": "late"}', "--digest", form.digest), 1, "urgent: 1 is not of type"),
        (desk.run("approve", ticket.id, "--as", "ana", *digest), 1, "answer it"),
        (desk.run("revise", ticket.id, "--as", "ana", "--args", '{"question": "x"}', *digest), 1, "answer it"),
        (answer(desk, open_ticket(desk.signoff), "yes", "--digest", "0" * 16), 1, "approve, reject or revise it"),
    ):
        assert (done.code, done.is_one_clear_sentence) == (code, True), done
        assert words in done.err
    assert {desk.signoff.ticket(t.id).standing for t in (ticket, form)} == {Standing.PENDING}


def test_the_first_of_two_equal_answers_says_that_it_waits(desk: Desk) -> None:
    ticket = ask(desk.signoff, approvals=2)
    first = answer(desk, ticket, "handle_manually", "--digest", ticket.digest)
    assert "it takes 2 equal answers, and waits for somebody else" in first.out
    found = desk.run("list").out
    assert "unrecognised_input: No matching template" in found


def test_on_a_terminal_the_question_is_shown_and_the_answer_asked_for(desk: Desk) -> None:
    ticket = ask(desk.signoff)
    with terminal(desk, "answer", ticket.id, "--as", "ana") as child:
        child.expect("Your answer as ana")
        assert "where is my" in (child.before or "")
        child.sendline("handle_manually")
        assert "signoff resume --thread" in screen(child)
    assert desk.signoff.ticket(ticket.id).answer == "handle_manually"
    with terminal(desk, "answer", ticket.id, "--as", "ana") as child:
        assert "is answered by ana; it takes no decision" in screen(child)


def test_the_record_of_answers_can_be_listed_by_its_standing(desk: Desk) -> None:
    ticket = ask(desk.signoff)
    desk.signoff.answer(ticket, "handle_manually", by="ana")
    assert ticket.id[:12] in desk.run("list", "--standing", "answered").out
    assert [row.id for row in desk.signoff.ledger.find(Query(standings=("answered",)))] == [ticket.id]

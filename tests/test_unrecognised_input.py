"""The scenario of `graphs/unrecognised_input.py`: what a person is shown and may say, and that silence sends nothing."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver

from cli_support import Desk
from langgraph_signoff import AnswerRefused, NotAllowedToDecide, Query, Run, Signoff, Standing, TicketClosed
from support import Clock

GRAPHS = Path(__file__).parents[1] / "graphs"
sys.path.insert(0, str(GRAPHS))

import unrecognised_input  # noqa: E402  # the folder of graphs is no package
from unrecognised_input import MESSAGE, POLICY  # noqa: E402  # the folder of graphs is no package

TEMPLATE = {"words": ["deliver", "pole"], "reply": "We deliver everywhere."}


class Office:
    """The graph over files, with a clock that is told the time."""

    def __init__(self, folder: Path, saver: SqliteSaver) -> None:
        self.folder, self.clock = folder, Clock()
        self.signoff = Signoff(folder / "signoff.db", policy=POLICY, clock=self.clock)
        self.graph = unrecognised_input.build(folder, signoff=self.signoff, checkpointer=saver)

    def receives(self, message: str = "", thread: str = "m-1") -> Run:
        """A message, in a thread of its own."""
        state = {**MESSAGE, **({"message": message} if message else {})}
        return self.signoff.run(self.graph, state, thread_id=thread)

    def goes_on(self, thread: str = "m-1") -> Run:
        """The thread of a message, resumed."""
        return self.signoff.resume(self.graph, thread_id=thread)

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """What lies there."""
        with closing(sqlite3.connect(self.folder / "office.db")) as db:
            known = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
            return db.execute(f"SELECT client, text FROM {table}").fetchall() if table in known else []


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with SqliteSaver.from_conn_string(str(tmp_path / "checkpoints.db")) as saver:
        made = Office(tmp_path, saver)
        yield made
        made.signoff.close()


def test_the_scenario_is_read_in_less_than_120_lines() -> None:
    assert len((GRAPHS / "unrecognised_input.py").read_text().splitlines()) < 120


def test_what_fits_a_template_is_answered_without_a_person(office: Office) -> None:
    assert office.receives("What are your opening hours?").status == "completed"
    assert office.rows("outbox") == [("ada@example.com", "We are open from nine to five.")]
    assert office.signoff.pending() == []


def test_a_person_gets_the_full_message_and_that_no_template_fits(office: Office) -> None:
    run = office.receives()
    assert run.status == "pending_approval"
    [ticket] = run.tickets
    assert ticket.args == {"question": "No matching template", **MESSAGE}
    assert ticket.choices == ("handle_manually", "add_to_templates")
    assert (ticket.reason_code, ticket.queue) == ("no_matching_template", "inbox")
    assert all(line in str(ticket) for line in MESSAGE["message"].splitlines())
    assert office.rows("outbox") == []


def test_what_is_handled_manually_lies_on_the_desk_and_nothing_is_sent(office: Office) -> None:
    [ticket] = office.receives().tickets
    office.signoff.answer(ticket, "handle_manually", by="ana")
    run = office.goes_on()
    assert (run.status, run.output["log"]) == ("completed", ["put on the desk"])
    assert (office.rows("desk"), office.rows("outbox")) == ([("ada@example.com", MESSAGE["message"])], [])


def test_a_template_that_was_added_replies_now_and_to_the_next_message_of_its_kind(office: Office) -> None:
    [ticket] = office.receives().tickets
    office.signoff.answer(ticket, "add_to_templates", by="ana")
    [form] = office.goes_on().tickets
    assert (form.tool, form.args["message"]) == ("new_template", MESSAGE["message"])
    with pytest.raises(AnswerRefused, match=r"words: \[\] should be non-empty"):
        office.signoff.answer(form, {**TEMPLATE, "words": []}, by="ben")
    office.signoff.answer(form, TEMPLATE, by="ben")
    run = office.goes_on()
    assert (run.status, run.output["log"]) == ("completed", ["added to the templates", "replied to ada@example.com"])
    assert office.receives("Do you deliver to the South Pole?", "m-2").status == "completed"
    assert office.rows("outbox") == [("ada@example.com", "We deliver everywhere.")]
    answered = office.signoff.find(Query(standings=(Standing.ANSWERED,)))
    assert sorted(ticket.tool for ticket in answered) == ["new_template", "unrecognised_input"]


@pytest.mark.parametrize("asked", ["what to do", "which template"])
def test_without_an_answer_in_its_window_it_is_logged_as_unhandled_and_nothing_is_sent(
    office: Office, asked: str
) -> None:
    [ticket] = office.receives().tickets
    if asked == "which template":
        office.signoff.answer(ticket, "add_to_templates", by="ana")
        [ticket] = office.goes_on().tickets
    office.clock.advance(hours=8)
    with pytest.raises(TicketClosed):
        office.signoff.answer(ticket, TEMPLATE if asked == "which template" else "handle_manually", by="ana")
    assert office.signoff.threads_to_wake() == ["m-1"]
    run = office.goes_on()
    assert (run.status, run.output["log"]) == ("completed", [f"unhandled: expired, ticket {ticket.id}"])
    assert (office.rows("outbox"), office.rows("desk"), len(office.rows("templates"))) == ([], [], 1)
    assert office.signoff.ticket(ticket.id).standing is Standing.EXPIRED
    assert office.signoff.verify().is_whole


def test_only_support_may_answer_and_only_what_is_offered(office: Office) -> None:
    [ticket] = office.receives().tickets
    with pytest.raises(NotAllowedToDecide):
        office.signoff.answer(ticket, "handle_manually", by="cem")
    with pytest.raises(AnswerRefused):
        office.signoff.answer(ticket, "ignore", by="ana")
    office.signoff.reject(ticket, by="ana", reason="spam")
    assert office.goes_on().output["log"] == [f"unhandled: rejected, ticket {ticket.id}"]
    assert office.rows("outbox") == []


def test_the_program_waits_and_goes_on_when_it_is_started_again_after_the_answer(tmp_path: Path) -> None:
    def play() -> str:
        script = [sys.executable, str(GRAPHS / "unrecognised_input.py")]
        done = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "pending_approval" in play()
    assert "pending_approval" in play(), "it asks once"
    [ticket] = Signoff(tmp_path / "signoff.db", policy=POLICY).pending()
    digest = ("--digest", ticket.digest[:16], "--as", "ana", "--policy", str(POLICY))
    assert Desk(tmp_path).run("answer", ticket.id, "handle_manually", *digest).code == 0
    assert play().endswith("['put on the desk']\n")

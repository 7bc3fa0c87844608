"""A queue of payments, as `graphs/payments_week.py` has it: the books say what is ruled, and no invoice is paid twice."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver

from cli_support import Desk
from langgraph_signoff import Query, Run, Signoff, Standing
from langgraph_signoff.testing import Line, ScriptedModel
from support import Clock

GRAPHS = Path(__file__).parents[1] / "graphs"
sys.path.insert(0, str(GRAPHS))

import payments_week  # noqa: E402  # the folder of graphs is no package

MONDAY = datetime(2026, 3, 16, 9, tzinfo=UTC)


class Office:
    """The clerk, the books and the people, at a Monday morning before a holiday."""

    def __init__(self, folder: Path, saver: SqliteSaver) -> None:
        self.folder, self.clock, self.saver = folder, Clock(MONDAY), saver
        self.signoff = Signoff(folder / "signoff.db", policy=payments_week.POLICY, clock=self.clock)
        self.graph = payments_week.build(folder, signoff=self.signoff, checkpointer=saver)

    def comes_in(self, invoice: int, amount: str, *, urgent: bool = False) -> Run:
        told = payments_week.receive(self.folder, invoice, "Globex", amount, urgent)
        return self.signoff.run(self.graph, told, thread_id=str(invoice))

    def propose(self, *calls: dict[str, Any]) -> Run:
        """The model makes these calls of `pay`, one after the other."""
        lines: list[Line] = [[("pay", args)] for args in calls]
        model = ScriptedModel([*lines, "Done."])
        graph = payments_week.build(self.folder, signoff=self.signoff, model=model, checkpointer=self.saver)
        return self.signoff.run(graph, {"messages": [("user", "Pay!")]}, thread_id="proposed")

    def resume(self, thread: int | str) -> Run:
        return self.signoff.resume(self.graph, thread_id=str(thread))

    @property
    def paid(self) -> list[tuple[int, str]]:
        return payments_week.books(self.folder, "SELECT * FROM payments")

    @property
    def letters(self) -> list[tuple[str]]:
        return payments_week.books(self.folder, "SELECT * FROM letters")

    @property
    def rulings(self) -> list[tuple[str, str]]:
        return [(str(ticket.standing), ticket.reason_code) for ticket in self.signoff.find(Query(tool="pay"))]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with SqliteSaver.from_conn_string(str(tmp_path / "checkpoints.db")) as saver:
        made = Office(tmp_path, saver)
        with closing(made.signoff):
            yield made


def test_the_week_is_a_graph_of_less_than_120_lines() -> None:
    assert len((GRAPHS / "payments_week.py").read_text().splitlines()) < 120


@pytest.mark.parametrize(
    ("amount", "urgent", "asked"),
    [
        ("100.00", False, None),
        ("100.01", False, ("payment", 1, 4)),
        ("5000.00", False, ("payment", 1, 4)),
        ("5000.01", False, ("large_payment", 2, 48)),
        ("9.00", True, ("urgent_payment", 1, 4)),
        ("5000.01", True, ("large_payment", 2, 48)),
    ],
)
def test_who_is_asked_and_until_when_stands_in_the_policy(
    office: Office, amount: str, urgent: bool, asked: tuple[str, int, int] | None
) -> None:
    tickets = office.comes_in(1, amount, urgent=urgent).tickets
    needs = [(t.reason_code, t.requirements.approvals, (t.due_at - MONDAY).total_seconds() / 3600) for t in tickets]
    assert needs == ([asked] if asked else [])
    assert office.paid == ([] if asked else [(1, amount)])


def test_the_books_say_what_is_paid_and_not_the_model(office: Office) -> None:
    payments_week.receive(office.folder, 7, "Initech", "9800.00")
    lies = {"amount": "5.00", "supplier": "Bean & Leaf", "urgent": False, "paid": False}
    [ticket] = office.propose({"invoice": 7, **lies}).tickets
    assert (ticket.description, ticket.requirements.approvals) == ("Pay 9800.0 EUR to Initech for invoice 7", 2)
    assert office.paid == []


def test_the_model_is_told_of_the_number_only() -> None:
    pay, _ = payments_week.tools(Path())
    assert list(pay.tool_call_schema.model_json_schema()["properties"]) == ["invoice"]


def test_an_invoice_that_is_paid_is_not_paid_again_however_often_it_is_proposed(office: Office) -> None:
    payments_week.receive(office.folder, 7, "Bean & Leaf", "42.00")
    assert office.propose({"invoice": 7}, {"invoice": 7}).status == "completed"
    assert office.comes_in(7, "42.00").status == "completed"
    assert office.paid == [(7, "42.00")]
    assert sorted(office.rulings) == [("denied", "paid_already")] * 2 + [("executed", "small_payment")]


def test_of_two_approved_proposals_of_one_invoice_one_is_paid(office: Office) -> None:
    first = office.comes_in(7, "300.00").tickets[0]
    second = office.propose({"invoice": 7}).tickets[0]
    for ticket in (first, second):
        office.signoff.approve(ticket, by="ana")
    assert [office.resume(thread).status for thread in (7, "proposed")] == ["completed", "completed"]
    assert office.paid == [(7, "300.00")]


def test_an_invoice_that_has_changed_since_the_approval_is_asked_again(office: Office) -> None:
    [ticket] = office.comes_in(7, "300.00").tickets
    office.signoff.approve(ticket, by="ana")
    payments_week.books(office.folder, "UPDATE invoices SET amount = '400.00'")
    [again] = office.resume(7).tickets
    assert (again.args["amount"], again.reason_code, office.paid) == (400.0, "arguments_changed", [])


def test_an_unknown_invoice_asks_nobody(office: Office) -> None:
    assert office.propose({"invoice": 404}).status == "completed"
    assert (office.rulings, office.paid) == ([], [])


def test_what_nobody_decides_is_not_paid_and_one_letter_says_so(office: Office) -> None:
    [ticket] = office.comes_in(7, "300.00").tickets
    office.clock.advance(hours=4)
    for _ in range(2):
        office.signoff.follow_up(office.graph)
        assert office.resume(7).status == "completed"
    assert (office.signoff.ticket(ticket.id).standing, office.paid) == (Standing.EXPIRED, [])
    assert office.letters == [("To Globex: Invoice 7 is not paid yet: we are looking at it.",)]


def test_nobody_is_reminded_on_the_holiday(office: Office) -> None:
    office.clock.advance(hours=6)
    [ticket] = office.comes_in(7, "300.00").tickets
    for _ in range(2 * 24):
        office.clock.advance(hours=1)
        office.signoff.expire()
    moments = [(entry.kind, entry.at[8:16]) for entry in office.signoff.history(ticket)[1:]]
    assert moments == [("reminded", "16T17:00"), ("escalated", "18T10:00"), ("expired", "18T11:00")]


def test_the_program_asks_and_goes_on_when_it_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIGNOFF_MODEL", raising=False)
    payments_week.main()
    assert capsys.readouterr().out.startswith("pending_approval")
    desk = Desk(tmp_path)
    [ticket] = desk.run("list", "--json").json
    assert desk.run("approve", ticket["id"], "--digest", ticket["digest"], "--as", "ben").code == 0
    payments_week.main()
    assert "(102, '312.40')" in capsys.readouterr().out

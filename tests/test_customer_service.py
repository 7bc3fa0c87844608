"""The customer service of `graphs/`: it acts at once, and what the quality team flags is taken back, or becomes a case."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from cli_support import environment
from langgraph_signoff import NotAllowedToDecide, Run, Signoff, Standing
from langgraph_signoff.testing import Line

GRAPHS = Path(__file__).parents[1] / "graphs"
sys.path.insert(0, str(GRAPHS))

import customer_service  # noqa: E402  # the folder of graphs is no package


class Service:
    """The agent and its books, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.signoff = Signoff(folder / "signoff.db", policy=customer_service.POLICY)
        self.graph: Any = None

    def run(self, script: Sequence[Line] = customer_service.SCRIPT, *, thread: str = "ada") -> Run:
        self.graph = customer_service.build(
            self.folder, signoff=self.signoff, script=script, checkpointer=InMemorySaver()
        )
        return self.signoff.run(self.graph, {"messages": [("user", customer_service.REQUEST)]}, thread_id=thread)

    def books(self, query: str) -> list[Any]:
        with customer_service.books(self.folder) as db:
            return db.execute(query).fetchall()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.signoff.close()


def credit(amount: float) -> list[Line]:
    return [[("give_credit", {"customer": 3, "amount": amount, "why": "a late parcel"})], "Done."]


def test_it_acts_at_once_and_both_actions_wait_for_a_look(service: Service) -> None:
    run = service.run()
    assert (run.status, run.tickets, service.signoff.pending()) == ("completed", (), [])
    assert service.books("SELECT customer, amount FROM credits") == [(3, 15.0)]
    assert service.books("SELECT label FROM customers") == [("angry",)]
    found = {audit.tool: (audit.reason_code, audit.queue) for audit in service.signoff.audits()}
    assert found == {"give_credit": ("new_tool", "quality"), "set_label": ("new_tool", "quality")}


def test_a_flagged_credit_is_taken_back_and_a_flagged_label_becomes_a_case(service: Service) -> None:
    service.run()
    for audit in service.signoff.audits():
        with pytest.raises(NotAllowedToDecide):
            service.signoff.flag(audit, by="cem")
        service.signoff.flag(audit, by="ana", reason="she was right")
    assert service.books("SELECT * FROM credits") == [(1, 3, 15.0)]
    assert sorted(found.did for found in service.signoff.follow_up(service.graph)) == ["call", "undo"]
    assert service.books("SELECT * FROM credits") == []
    assert service.books("SELECT * FROM cases") == [(3, "ana on the label angry: she was right")]
    assert service.signoff.follow_up(service.graph) == []
    assert service.signoff.verify().broken == []


def test_a_large_credit_is_asked_before_and_none_of_less_than_nothing_is_given(service: Service) -> None:
    assert service.run(credit(500.0), thread="large").status == "pending_approval"
    assert service.run(credit(-5.0), thread="below").status == "completed"
    assert (service.books("SELECT * FROM credits"), service.signoff.audits()) == ([], [])


def test_once_it_is_known_a_share_is_looked_at_and_every_credit_above_twenty(service: Service) -> None:
    for number in range(30):
        service.run(credit(5.0), thread=f"small {number}")
    of_thirty = len(service.signoff.audits(limit=100))
    assert 20 <= of_thirty < 30  # ten of 30 are drawn at 0.2: all of them once in ten million times
    service.run(credit(25.0), thread="larger")
    newest = max(service.signoff.audits(limit=100), key=lambda audit: audit.opened_at)
    assert newest.args["amount"] == 25.0
    assert service.signoff.ticket(newest.about).standing is Standing.EXECUTED
    assert service.signoff.verify().broken == []


def test_the_program_plays_the_quality_team(tmp_path: Path) -> None:
    program = [sys.executable, str(GRAPHS / "customer_service.py")]
    said = subprocess.run(program, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True).stdout
    assert said.startswith("completed\n")
    assert "undone: ticket" in said.splitlines()[-1]
    with closing(sqlite3.connect(tmp_path / "service.db")) as db:
        assert db.execute("SELECT * FROM credits").fetchall() == []


def test_it_is_a_program_of_less_than_120_lines() -> None:
    assert len((GRAPHS / "customer_service.py").read_text().splitlines()) < 120

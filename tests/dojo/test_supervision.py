"""AgentDojo's tasks are solved however closely they are supervised; what differs is how often a person is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from .replay import Case
from .scripts import suite
from .supervision import counted

BANKING = [Case("banking", task) for task in suite("banking").user_tasks]
SLACK = [Case("slack", task) for task in suite("slack").user_tasks]


@pytest.mark.parametrize(("mode", "tickets"), [("tactical", 14), ("hybrid", 13), ("strategic", 12)])
def test_reviewing_outcomes_asks_less_often_and_solves_every_task(mode: str, tickets: int, tmp_path: Path) -> None:
    assert counted(BANKING, mode, tmp_path) == {"tasks": 16, "pauses": tickets, "tickets": tickets}


@pytest.mark.long
@pytest.mark.parametrize(("mode", "tickets"), [("tactical", 34), ("hybrid", 30), ("strategic", 20)])
def test_the_more_a_run_does_the_more_questions_its_outcome_saves(mode: str, tickets: int, tmp_path: Path) -> None:
    assert counted(SLACK, mode, tmp_path) == {"tasks": 21, "pauses": tickets, "tickets": tickets}

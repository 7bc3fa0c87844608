"""The one writer among many: whoever wrote first stays, and whoever comes second reads again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from langgraph_signoff import StaleTicket, Standing
from langgraph_signoff.desk import Desk
from langgraph_signoff.law import Case
from langgraph_signoff.ledger import Draft, Ledger, open_ledger
from langgraph_signoff.vocabulary import Counts
from support import Clock, opening

POLICY = ("version", "document")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(open_ledger(str(tmp_path / "ledger.db"))) as ledger:
        yield ledger


@pytest.fixture
def desk(ledger: Ledger) -> Desk:
    return Desk(ledger, clock=Clock())


def adds(*kinds: str) -> Callable[[Case], list[Draft]]:
    """A step that adds these entries."""
    body = {"attempt": 1, "owner": "{}", "lease": 1.0}
    return lambda case: [Draft(kind, body, {"reason": kind}) for kind in kinds]


def kinds(desk: Desk, ticket_id: str) -> list[str]:
    return [entry.kind for entry in desk.history(ticket_id)]


def test_a_ticket_that_is_there_stays_as_whoever_came_first_opened_it(ledger: Ledger, desk: Desk) -> None:
    made = [opening() for _ in range(3)]
    first = replace(made[1], ruling=made[1].ruling.model_copy(update={"reason_code": "first"}))

    def clock_of_the_second() -> Any:
        # Somebody else opens one of them between the look and the writing.
        if not ledger.rows([first.id]):
            desk.open([first], policy=POLICY)
        return desk.clock()

    second = Desk(ledger, clock=clock_of_the_second)
    for _ in range(2):
        second.open(made, policy=POLICY)
    assert [desk.case(one.id).ruling.reason_code for one in made] == ["test", "first", "test"]
    assert [kinds(desk, one.id) for one in made] == [["opened"]] * 3


def test_a_step_is_taken_again_on_what_somebody_else_wrote_first(desk: Desk) -> None:
    made, seen = opening(mode="allow", once=True), list[Standing]()
    desk.open([made], policy=POLICY)

    def step(case: Case) -> list[Draft]:
        seen.append(case.standing)
        if len(seen) == 1:
            desk.write(made.id, adds("executed"))
        return adds("withdrawn")(case) if case.standing is Standing.APPROVED else []

    case = desk.write(made.id, step)
    assert (seen, case.standing) == ([Standing.APPROVED, Standing.EXECUTED], Standing.EXECUTED)
    assert kinds(desk, made.id) == ["opened", "executed"]


def test_whoever_is_always_second_is_told_in_the_end(desk: Desk) -> None:
    made, tries = opening(mode="allow", record=True), list[int]()
    desk.open([made], policy=POLICY)

    def step(case: Case) -> list[Draft]:
        tries.append(case.seq)
        desk.write(made.id, adds("executed"))
        return adds("failed")(case)

    with pytest.raises(StaleTicket) as stale:
        desk.write(made.id, step)
    assert tries == list(range(1, len(tries) + 1)), "each time it read again"
    assert (stale.value.stream, stale.value.seq) == (made.id, len(tries) + 1)
    assert kinds(desk, made.id) == ["opened", *["executed"] * len(tries)]


def test_a_thread_is_counted_by_what_it_proposed_ran_and_was_refused_before(desk: Desk) -> None:
    histories = {
        "send": [["executed"], ["failed"], ["withdrawn"], []],
        "mail": [["claimed"], ["expired"], ["lapsed"]],
        "move": [["claimed", "in_doubt"]],
    }
    for tool, number in [(tool, number) for tool, each in histories.items() for number in range(len(each))]:
        made = opening(mode="allow", once=True, tool=tool, thread_id="t", message_id=f"{tool} {number}")
        desk.open([made], policy=POLICY)
        desk.write(made.id, adds(*histories[tool][number]))
    desk.open([opening(mode="deny", tool="send", thread_id="t", message_id="denied")], policy=POLICY)
    desk.open([opening(tool="send", thread_id="another")], policy=POLICY)
    # Of the message at hand only the calls before this one count.
    assert desk.counts("t", "send 0", ["send", "look", "send"]) == Counts(
        proposed={"send": 4 + 2, "mail": 3, "move": 1, "look": 1},
        ran={"send": 1, "mail": 1, "move": 1},
        refused={"send": 2, "mail": 2},
    )

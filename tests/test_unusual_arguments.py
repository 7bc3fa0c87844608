"""Arguments that JSON cannot write, or a text cannot hold, are kept, shown, decided and run as they were proposed."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, ToolCall

from langgraph_signoff import Policy, Signoff, Standing
from support import agent, open_ticket


@pytest.mark.parametrize("amount", [math.nan, math.inf, -math.inf, 1e300])
def test_a_number_that_json_cannot_write_runs_as_it_was_proposed(tmp_path: Path, amount: float) -> None:
    ran: list[float] = []

    def send(amount: float) -> str:
        """Sends."""
        ran.append(amount)
        return "sent"

    signoff = Signoff(tmp_path / "signoff.db", policy=Policy(tools={"send": "review"}))
    call = ToolCall(name="send", args={"amount": amount}, id="c")
    with agent(signoff, [send], [AIMessage("", tool_calls=[call]), "done"]) as graph:
        [ticket] = signoff.run(graph, {"messages": [("user", "go")]}, thread_id="t").tickets
        assert repr(ticket.args["amount"]) == repr(amount)
        signoff.approve(ticket, by="ana")
        assert signoff.resume(graph, thread_id="t").status == "completed"
    assert [repr(number) for number in ran] == [repr(amount)]


def test_a_text_that_is_no_unicode_can_be_decided(tmp_path: Path) -> None:
    signoff = Signoff(tmp_path / "signoff.db")
    ticket = open_ticket(signoff, {"to": "\ud800"})
    assert ticket.args == {"to": "\ud800"}
    assert signoff.approve(ticket, by="ana").standing is Standing.APPROVED


def test_what_was_seen_differs_when_what_is_shown_differs(tmp_path: Path) -> None:
    signoff = Signoff(tmp_path / "signoff.db")
    ticket = open_ticket(signoff, {"amount": math.nan})
    assert ticket.seen == signoff.ticket(ticket.id).seen
    assert ticket.seen != ticket.model_copy(update={"args": {"amount": None}}).seen

"""The command line on what has run: listed apart, confirmed or flagged by name, and told from what waits for a decision."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli_support import Desk
from langgraph_signoff import OnFlag, Standing
from langgraph_signoff.vocabulary import Audit
from support import open_audit
from test_cli import refused


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_what_waits_for_a_look_is_listed_apart_and_list_says_that_it_is_there(desk: Desk) -> None:
    waits, audit = desk.ticket(), open_audit(desk.signoff, {"to": "acme"})
    assert [ticket["id"] for ticket in desk.run("list", "--json").json] == [waits.id]
    assert [ticket["id"] for ticket in desk.run("list", "--audits", "--json").json] == [audit.id]
    assert desk.run("list").out.endswith("1 action waits for a look: signoff list --audits\n")
    open_audit(desk.signoff)
    assert "2 actions wait for a look" in desk.run("list", "--queue", "default").out
    listed = desk.run("list", "--audits").out
    assert "under_audit" in listed
    assert "wait for a look" not in listed
    everything = {ticket["standing"] for ticket in desk.run("list", "--all", "--json").json}
    assert everything == {"pending", "executed", "under_audit"}


def test_an_empty_list_still_says_what_waits_for_a_look(desk: Desk) -> None:
    open_audit(desk.signoff)
    assert desk.run("list").out == ("nothing waits for a decision\n1 action waits for a look: signoff list --audits\n")


def test_show_says_what_ran_what_came_of_it_and_what_a_flag_sets_off(desk: Desk) -> None:
    ways = {"alerts": OnFlag(), "undoes it": OnFlag(undo=True), "calls escalate": OnFlag(tool="escalate")}
    for words, on_flag in ways.items():
        audit = open_audit(desk.signoff, {"to": "acme"}, audit=Audit(on_flag=on_flag))
        shown = desk.run("show", audit.id).out
        for text in ('send(to="acme")', "under_audit", "executed at", '"sent"', f"ticket {audit.about[:12]}"):
            assert text in shown
        assert f"a flag  {words}\n" in shown
        assert "needs  1 confirmation by anybody, not the requester\n" in shown
        assert f"audit  ticket {audit.id[:12]}" in desk.run("show", audit.about).out


def test_confirm_needs_what_was_seen_and_flag_does_not(desk: Desk) -> None:
    one, other = open_audit(desk.signoff), open_audit(desk.signoff)
    assert refused(desk.run("confirm", one.id, "--as", "ana"), 2, "--digest")
    action = desk.signoff.ticket(one.about)
    assert refused(desk.run("confirm", one.id, "--as", "ana", "--digest", action.digest), 1, "show it again")
    done = desk.run("confirm", one.id, "--as", "ana", "--digest", one.digest[:16], "-r", "fine")
    assert (done.code, done.out) == (0, f"{one.id[:12]}  confirmed  send, by ana\n")
    flagged = desk.run("flag", other.id[:12], "--as", "cem", "-r", "wrong", "--json").json
    assert (flagged["standing"], flagged["decisions"][0]["reason"]) == ("flagged", "wrong")
    assert refused(desk.run("flag", other.id, "--as", "ana"), 1, "flagged by cem")


def test_a_quorum_of_confirmations_is_counted(desk: Desk) -> None:
    audit = open_audit(desk.signoff, approvals=2)
    first = desk.run("confirm", audit.id, "--as", "ana", "--digest", audit.digest)
    assert "under_audit  send, by ana; 1 of 2 confirmations, it waits for somebody else" in first.out
    assert "confirmed" in desk.run("confirm", audit.id, "--as", "cem", "--digest", audit.digest).out


def test_the_wrong_word_for_a_ticket_names_the_right_one(desk: Desk) -> None:
    pending, audit = desk.ticket(), open_audit(desk.signoff)
    assert refused(desk.run("approve", audit.id, "--as", "ana", "--digest", audit.digest), 1, "confirm or flag it")
    assert refused(desk.run("flag", pending.id, "--as", "ana"), 1, "for audits only")
    assert refused(desk.run("flag", audit.about, "--as", "ana"), 1, f"its audit is ticket {audit.id[:12]}")
    assert desk.signoff.ticket(audit.id).standing is Standing.UNDER_AUDIT


def test_history_and_watch_tell_the_choice_and_the_alert(desk: Desk) -> None:
    audit = open_audit(desk.signoff)
    desk.signoff.flag(audit, by="ana", reason="wrong")
    action, looked = desk.run("history", audit.about).out, desk.run("history", audit.id).out
    assert 'executed (one of the first of this tool, 0 before it): "sent"' in action
    assert f"opened  audit of ticket {audit.about[:12]}, send: audit (new_tool, tools.send.otherwise)" in looked
    assert "decided  flag by ana, generation 1: wrong" in looked
    assert "alerted" in looked

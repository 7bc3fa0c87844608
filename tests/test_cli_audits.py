"""The command line on what has run: listed apart, confirmed or flagged by name, and told from what waits for a decision."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli_support import Desk, environment
from langgraph_signoff import OnFlag, Standing
from langgraph_signoff.vocabulary import Audit
from support import open_audit
from test_cli import refused

GRAPHS = '''
import sqlite3
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph_signoff import Signoff
from langgraph_signoff.testing import ScriptedModel

def effect(text):
    with open("effects.txt", "a") as file:
        file.write(text + chr(10))
    return text

def tag(order: int) -> str:
    """Tags an order."""
    return effect(f"tag {order}")

def untag(done):
    print("an undo that prints")
    return effect(f"undone: {done.result}")

def shop():
    signoff = Signoff("signoff.db", policy="signoff.yaml", lease=0.2, wait=0.5)
    model = ScriptedModel([[("tag", {"order": 7})], "Done."])
    builder = StateGraph(MessagesState)
    builder.add_node("agent", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_node("tools", signoff.tool_node([tag], undo={"tag": untag}))
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", lambda state: "tools" if state["messages"][-1].tool_calls else END)
    builder.add_edge("tools", "agent")
    return builder.compile(checkpointer=SqliteSaver(sqlite3.connect("threads.db", check_same_thread=False)), name="shop")

def other():
    builder = StateGraph(MessagesState)
    builder.add_node("agent", lambda state: state)
    builder.add_edge(START, "agent")
    return builder.compile(checkpointer=SqliteSaver(sqlite3.connect("threads.db", check_same_thread=False)), name="other")

def start():
    signoff = Signoff("signoff.db", policy="signoff.yaml")
    return signoff.run(shop(), {"messages": [("user", "go")]}, thread_id="t").status
'''

POLICY = "version: 1\ntools: {tag: {undo: true, otherwise: {then: audit, on_flag: undo}}}\n"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def shop(desk: Desk) -> Desk:
    """A folder with two graphs, and the flag on an order that one of them has tagged."""
    (desk.folder / "shop.py").write_text(GRAPHS)
    (desk.folder / "signoff.yaml").write_text(POLICY)
    graphs = {"graphs": {"other": "./shop.py:other", "shop": "./shop.py:shop"}}
    (desk.folder / "langgraph.json").write_text(json.dumps(graphs))
    undo = Audit(on_flag=OnFlag(undo=True))
    desk.signoff.flag(open_audit(desk.signoff, {"order": 7}, tool="tag", audit=undo, graph="shop"), by="ana")
    return desk


def effects(desk: Desk) -> list[str]:
    file = desk.folder / "effects.txt"
    return file.read_text().splitlines() if file.exists() else []


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


# What flags ask for -------------------------------------------------------------------------------------------------------


def test_follow_up_undoes_what_was_flagged_once(shop: Desk) -> None:
    done = shop.run("follow-up")
    assert done.code == 0, done.err
    assert "undone: ticket" in done.out
    assert shop.run("follow-up", "--json").json == []
    assert shop.run("follow-up").out == "nothing is asked for\n"
    assert effects(shop) == ["undone: sent"]
    [audit] = shop.run("list", "--standing", "flagged", "--json").json
    assert audit["follow_up"]["did"] == "undo"
    assert f"follow-up  undone: ticket {audit['follow_up']['tickets'][0][:12]}" in shop.run("show", audit["id"]).out
    assert "followed_up  undo, " in shop.run("history", audit["id"]).out
    assert shop.run("verify").code == 0


def test_a_thread_whose_action_was_undone_is_still_known_as_its_own_graphs(shop: Desk) -> None:
    code = "import shop; assert shop.start() == 'completed'"
    subprocess.run([sys.executable, "-c", code], cwd=shop.folder, env=environment(), check=True)
    [audit] = shop.run("list", "--audits", "--json").json
    assert shop.run("flag", audit["id"], "--as", "ana").code == 0
    assert shop.run("follow-up", "--graph", "shop").out.count("undone") == 2
    resumed = shop.run("resume", "--all")
    assert "thread 't'" not in resumed.err
    assert effects(shop)[0] == "tag 7"


def test_follow_up_of_another_graph_leaves_it(shop: Desk) -> None:
    assert "left: graph shop has run it" in shop.run("follow-up", "--graph", "other").out
    assert refused(shop.run("follow-up", "--graph", "none"), 2, "names no graph 'none'")
    assert effects(shop) == []


def test_a_graph_with_a_tool_of_the_same_name_leaves_it_to_the_one_that_has_run_it(shop: Desk) -> None:
    twin = GRAPHS.replace('"undone: ', '"the wrong one: ').replace('name="shop"', 'name="twin"')
    (shop.folder / "twin.py").write_text(twin)
    graphs = {"graphs": {"another": "./twin.py:shop", "shop": "./shop.py:shop"}}
    (shop.folder / "langgraph.json").write_text(json.dumps(graphs))
    assert "left: graph shop has run it" in shop.run("follow-up", "--graph", "another").out
    assert "undone: ticket" in shop.run("follow-up").out
    assert effects(shop) == ["undone: sent"]


def test_two_follow_ups_at_once_undo_once(shop: Desk) -> None:
    command = [sys.executable, "-m", "langgraph_signoff.cli", "follow-up", "--graph", "shop"]
    both = [
        subprocess.Popen(command, cwd=shop.folder, env=environment(), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate(timeout=60)[0] is not None and process.returncode for process in both] == [0, 0]
    assert effects(shop) == ["undone: sent"]
    assert shop.run("verify").code == 0

"""`signoff resume`: it finds the graph and its saver by LangGraph's own convention, wakes what was decided, decides nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver

from cli_support import Desk, Ended
from langgraph_signoff import Answer, Policy, Signoff, Standing
from langgraph_signoff.testing import ScriptedModel

SHOP = '''
import asyncio, contextlib, sqlite3
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph_signoff import Signoff
from langgraph_signoff.testing import ScriptedModel

def send(to: str) -> str:
    """Sends."""
    print("a tool that prints")
    with open("effects.txt", "a") as file:
        file.write(to + "\\\\n")
    return "sent to " + to

async def asend(to: str) -> str:
    """Sends, on a loop only."""
    await asyncio.sleep(0)
    return send(to)

from langchain_core.tools import StructuredTool
loop_only = StructuredTool.from_function(coroutine=asend, name="send", description="Sends.")

def builder(tools=(send,), signoff=None):
    signoff = signoff or Signoff("signoff.db", policy="signoff.yaml", lease=0.5, wait=1)
    model = ScriptedModel(lambda messages: [("send", {"to": messages[0].text})] if len(messages) == 1 else "Done.")
    graph = StateGraph(MessagesState)
    graph.add_node("agent", lambda state: {"messages": [model.invoke(state["messages"])]})
    graph.add_node("tools", signoff.tool_node(list(tools)))
    graph.add_edge(START, "agent")
    graph.add_conditional_edges("agent", lambda s: "tools" if s["messages"][-1].tool_calls else END)
    graph.add_edge("tools", "agent")
    return graph

def compiled(config):
    return builder().compile(name="shop")

async def later():
    return await asyncio.to_thread(builder)

@contextlib.asynccontextmanager
async def lent(config):
    yield builder((loop_only,))
    with open("closed.txt", "a") as file:
        file.write("closed\\\\n")

def saver():
    return SqliteSaver(sqlite3.connect("threads.db", check_same_thread=False))

@contextlib.asynccontextmanager
async def async_saver():
    async with AsyncSqliteSaver.from_conn_string("threads.db") as saver:
        yield saver

def broken():
    raise RuntimeError("no key")

def greedy(model, key):
    pass

def ungated():
    graph = StateGraph(MessagesState)
    graph.add_node("agent", lambda state: state)
    graph.add_edge(START, "agent")
    return graph

number = 7
'''.replace("\\\\n", "\\n")

POLICY = "version: 1\ntools: {send: review}\n"


class Shop(Desk):
    """A folder with a policy, graphs, and threads of theirs."""

    def names(self, graphs: dict[str, Any], checkpointer: str | None = "./shop.py:saver", **more: Any) -> None:
        """Writes langgraph.json."""
        entry = {"checkpointer": {"path": checkpointer}} if checkpointer else {}
        (self.folder / "langgraph.json").write_text(json.dumps({"graphs": graphs, **entry, **more}))

    def pause(self, *threads: str, name: str = "shop") -> list[str]:
        """Starts threads that pause before `send`; the ids of their tickets."""
        signoff = self.signoff
        with SqliteSaver.from_conn_string(str(self.folder / "threads.db")) as saver:
            graph = _builder(signoff).compile(checkpointer=saver, name=name)
            runs = [signoff.run(graph, {"messages": [("user", thread)]}, thread_id=thread) for thread in threads]
        return [ticket.id for run in runs for ticket in run.tickets]

    @property
    def signoff(self) -> Signoff:
        return Signoff(self.folder / "signoff.db", policy=Policy(tools={"send": "review"}), lease=0.5, wait=1)

    @property
    def effects(self) -> list[str]:
        """Whom something was sent to, by whichever process."""
        file = self.folder / "effects.txt"
        return file.read_text().splitlines() if file.exists() else []


def _builder(signoff: Signoff) -> Any:
    from langgraph.graph import END, START, MessagesState, StateGraph

    def send(to: str) -> str:
        """Sends."""
        raise AssertionError("the command runs it, not this process")

    model = ScriptedModel(lambda messages: [("send", {"to": messages[0].text})])
    graph = StateGraph(MessagesState)
    graph.add_node("agent", lambda state: {"messages": [model.invoke(state["messages"])]})
    graph.add_node("tools", signoff.tool_node([send]))
    graph.add_edge(START, "agent")
    graph.add_conditional_edges("agent", lambda s: "tools" if s["messages"][-1].tool_calls else END)
    graph.add_edge("tools", "agent")
    return graph


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "signoff.yaml").write_text(POLICY)
    made = Shop(tmp_path)
    made.names({"shop": "./shop.py:builder"})
    return made


def refused(ended: Ended, code: int, *words: str) -> bool:
    assert ended.code == code, ended
    assert ended.is_one_clear_sentence, ended
    assert all(word in ended.err for word in words), ended.err
    return True


def test_a_decided_thread_goes_on_once_and_an_undecided_one_waits(shop: Shop) -> None:
    paid, waits = shop.pause("paid", "waits")
    assert shop.run("approve", paid, "--as", "ana", "--digest", shop.signoff.ticket(paid).digest).code == 0
    first = shop.start("resume", "--thread", "paid")
    assert first.code == 0
    assert "completed: thread paid" in first.out
    assert first.out.endswith("Done.\n")
    assert "nothing: it has finished" in shop.run("resume", "--thread", "paid").out
    waiting = shop.run("resume", "--thread", "waits", "--json").json
    assert (waiting["status"], waiting["tickets"][0]["id"]) == ("pending_approval", waits)
    assert shop.effects == ["paid"]


@pytest.mark.parametrize(
    ("graph", "checkpointer"),
    [
        ("./shop.py:compiled", "./shop.py:saver"),
        ("shop:later", "./shop.py:async_saver"),
        ({"path": "./shop.py:lent", "description": "with an async tool"}, "./shop.py:async_saver"),
    ],
)
def test_graphs_and_savers_come_in_every_shape_of_the_convention(shop: Shop, graph: Any, checkpointer: str) -> None:
    [ticket] = shop.pause("t")
    shop.signoff.approve(shop.signoff.ticket(ticket), by="ana")
    shop.names({"shop": graph}, checkpointer, env={"SOME_KEY": "x"}, dependencies=["."])
    ended = shop.run("resume", "--thread", "t", "--json")
    assert (ended.json["status"], ended.json["says"]) == ("completed", "Done."), ended
    assert "a tool that prints" in ended.err  # and not within the JSON
    assert shop.effects == ["t"]
    assert (shop.folder / "closed.txt").exists() == isinstance(graph, dict)


def test_a_saver_can_be_named_on_the_command_line(shop: Shop) -> None:
    [ticket] = shop.pause("t")
    shop.signoff.approve(shop.signoff.ticket(ticket), by="ana")
    shop.names({"shop": "./shop.py:builder"}, None)
    assert refused(shop.run("resume", "--thread", "t"), 2, "no checkpointer")
    assert refused(shop.run("resume", "--thread", "t", "--checkpointer", "sqlite:///no.db"), 2, "no file no.db")
    assert refused(shop.run("resume", "--thread", "t", "--checkpointer", "postgres://x"), 2, "sqlite:///")
    assert not (shop.folder / "no.db").exists()
    assert shop.run("resume", "--thread", "t", "--checkpointer", "sqlite:///threads.db").code == 0
    assert shop.effects == ["t"]


def test_all_wakes_what_was_decided_or_has_expired_and_only_that(shop: Shop) -> None:
    ids = dict(zip("abcdef", shop.pause(*"abcdef"), strict=True))
    signoff = shop.signoff
    signoff.approve(signoff.ticket(ids["a"]), by="ana")
    signoff.reject(signoff.ticket(ids["b"]), by="ana", reason="no")
    signoff.revise(signoff.ticket(ids["c"]), by="ana", args={"to": "changed"})
    signoff.withdraw(ids["d"], by="ana")
    signoff.approve(signoff.ticket(ids["e"]), by="ana")
    case, _ = signoff.claims.claim(ids["e"])
    signoff.claims.doubt(case)
    signoff.settle(ids["e"], Answer.HAPPENED, by="ana", result="it was sent")
    woken = shop.run("resume", "--all", "--json")
    assert woken.code == 0
    assert {run["thread_id"]: run["status"] for run in woken.json["runs"]} == dict.fromkeys("abcde", "completed")
    assert sorted(shop.effects) == ["a", "changed"]
    assert shop.run("resume", "--all", "--json").json == {"runs": [], "errors": []}
    assert signoff.ticket(ids["f"]).standing is Standing.PENDING


def test_a_thread_that_has_nothing_to_go_on_with_is_looked_at_once(shop: Shop) -> None:
    one, two, three = shop.pause("one", "two", "three")
    signoff = shop.signoff
    assert signoff.threads_to_wake() == []
    for ticket in (two, one):
        signoff.approve(signoff.ticket(ticket), by="ana")
    assert signoff.threads_to_wake() == ["two", "one"]  # the longest waiting first
    assert signoff.leases.take("thread:two")
    assert signoff.threads_to_wake() == ["one"]
    signoff.leases.drop("thread:two")
    assert len(shop.run("resume", "--all", "--json").json["runs"]) == 2
    assert signoff.threads_to_wake() == []
    signoff.withdraw(three, by="ana")
    assert signoff.threads_to_wake() == ["three"]
    assert shop.run("resume", "--thread", "three").code == 0
    assert signoff.threads_to_wake() == []


def test_a_decision_that_comes_while_the_thread_is_looked_at_wakes_it_again(shop: Shop) -> None:
    [ticket] = shop.pause("t")
    signoff = shop.signoff
    signoff.approve(signoff.ticket(ticket), by="ana")
    seen = signoff.ledger.wake("t")
    assert seen is not None
    signoff.withdraw(ticket, by="ben")
    signoff.ledger.drop_wake(seen)
    assert signoff.threads_to_wake() == ["t"]


def test_a_comment_wakes_no_thread(shop: Shop) -> None:
    [ticket] = shop.pause("t")
    signoff = shop.signoff
    signoff.comment(ticket, by="ana", text="wait")
    assert signoff.threads_to_wake() == []
    signoff.approve(signoff.ticket(ticket), by="ana")
    signoff.comment(ticket, by="ben", text="good")
    assert signoff.threads_to_wake() == ["t"]
    assert shop.run("resume", "--all").code == 0
    signoff.comment(ticket, by="ben", text="seen in the books")
    assert signoff.threads_to_wake() == []


def test_all_goes_on_when_one_thread_cannot(shop: Shop) -> None:
    one, gone, other = shop.pause("one", "gone", "other")
    for ticket in (one, gone, other):
        shop.signoff.approve(shop.signoff.ticket(ticket), by="ana")
    with SqliteSaver.from_conn_string(str(shop.folder / "threads.db")) as saver:
        saver.delete_thread("gone")
    ended = shop.run("resume", "--all", "--json")
    assert ended.code == 3
    assert {run["thread_id"] for run in ended.json["runs"]} == {"one", "other"}
    assert [error["thread_id"] for error in ended.json["errors"]] == ["gone"]
    assert "signoff: gone: the checkpointer holds no thread" in ended.err
    assert shop.run("resume", "--all").out == "no thread went on\n"


def test_the_graph_of_a_thread_is_the_one_its_tickets_name(shop: Shop) -> None:
    first, second, third = (
        *shop.pause("x", name="shop"),
        *shop.pause("y", name="LangGraph"),
        *shop.pause("z", name="odd"),
    )
    for ticket in (first, second, third):
        shop.signoff.approve(shop.signoff.ticket(ticket), by="ana")
    shop.names({"shop": "./shop.py:builder", "ungated": "./shop.py:ungated"})
    assert shop.run("resume", "--thread", "x").code == 0
    assert refused(shop.run("resume", "--thread", "y"), 2, "--graph")
    assert refused(shop.run("resume", "--thread", "y", "--graph", "nope"), 2, "shop, ungated")
    assert shop.run("resume", "--thread", "y", "--graph", "shop").code == 0
    some = shop.run("resume", "--all", "--json")
    assert some.code == 2
    assert "z" in {error["thread_id"] for error in some.json["errors"]}
    assert shop.effects == ["x", "y"]


def test_a_thread_that_somebody_runs_is_busy(shop: Shop) -> None:
    [ticket] = shop.pause("t")
    signoff = shop.signoff
    signoff.approve(signoff.ticket(ticket), by="ana")
    assert signoff.leases.take("thread:t")
    try:
        assert refused(shop.run("resume", "--thread", "t"), 6, "somebody else")
    finally:
        signoff.leases.drop("thread:t")
    assert shop.run("resume", "--thread", "t").code == 0


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (None, ["no langgraph.json", "--config"]),
        ("{", ["langgraph.json is not JSON", "line 1"]),
        ("[]", ["not a JSON object"]),
        ("{}", ["names no graphs"]),
        ('{"graphs": {"g": 5}}', ["'g'"]),
        ('{"graphs": {"g": "./shop.py"}}', ["./file.py:name"]),
        ('{"graphs": {"g": "./gone.py:builder"}}', ["no file", "gone.py"]),
        ('{"graphs": {"g": "no_module:builder"}}', ["ModuleNotFoundError"]),
        ('{"graphs": {"g": "./shop.py:gone"}}', ["there is no 'gone'"]),
        ('{"graphs": {"g": "./shop.py:number"}}', ["is a int, not a graph"]),
        ('{"graphs": {"g": "./shop.py:saver"}}', ["SqliteSaver, not a graph"]),
        ('{"graphs": {"g": "./shop.py:broken"}}', ["RuntimeError: no key", "shop.py:"]),
        ('{"graphs": {"g": "./shop.py:greedy"}}', ["needs model, key"]),
        ('{"graphs": {"g": "./wrong.py:g"}}', ["SyntaxError"]),
        ('{"graphs": {"g": "./exits.py:g"}}', ["SystemExit"]),
        ('{"graphs": {"g": "./shop.py:builder"}, "checkpointer": "x"}', ["checkpointer is written as"]),
        (
            '{"graphs": {"g": "./shop.py:builder"}, "checkpointer": {"path": "./shop.py:number"}}',
            ["not a checkpointer"],
        ),
    ],
)
def test_an_entry_that_cannot_be_used_is_said_in_a_sentence(shop: Shop, config: str | None, words: list[str]) -> None:
    (shop.folder / "wrong.py").write_text("def g(:\n")
    (shop.folder / "exits.py").write_text("import sys\nsys.exit(3)\n")
    (shop.folder / "langgraph.json").unlink()
    if config is not None:
        (shop.folder / "langgraph.json").write_text(config)
    Signoff(shop.folder / "signoff.db").close()
    assert refused(shop.run("resume", "--thread", "t"), 2, *words)


def test_resume_says_which_thread_and_knows_it(shop: Shop) -> None:
    Signoff(shop.folder / "signoff.db").close()
    shop.names({"shop": "./shop.py:builder"})
    assert refused(shop.run("resume"), 2, "--thread T, or --all")
    assert refused(shop.run("resume", "--thread", "t", "--all"), 2, "--thread T, or --all")
    assert refused(shop.run("resume", "--thread", "never-seen"), 3, "no thread 'never-seen'")


def test_policy_check_holds_a_policy_against_the_tools_of_a_graph(shop: Shop) -> None:
    shop.names({"shop": "./shop.py:builder", "ungated": "./shop.py:ungated"}, None)
    assert "is right" in shop.run("policy", "check", "--graph", "shop").out
    (shop.folder / "other.yaml").write_text("version: 1\ntools:\n  sned: review\n")
    told = shop.run("policy", "check", "other.yaml", "--graph", "shop")
    assert told.code == 2
    assert "other.yaml:3:3 tools.sned" in told.err
    (shop.folder / "empty.yaml").write_text("version: 1\n")
    assert "warning: send: no entry" in shop.run("policy", "check", "empty.yaml", "--graph", "shop").out
    assert refused(shop.run("policy", "check", "--graph", "ungated"), 2, "no gated node")

"""What comes of a flag: the undo or the call that the policy wants, once, outside of the run, gated like anything else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.prebuilt import InjectedState

from langgraph_signoff import (
    Audit,
    Done,
    FollowUp,
    OnFlag,
    Policy,
    Query,
    Signoff,
    Standing,
    Ticket,
    TicketClosed,
    Undo,
)
from langgraph_signoff.middleware import SignoffMiddleware
from langgraph_signoff.testing import ScriptedModel
from support import agent, open_audit
from workplace import Workplace

POLICY = """
version: 1
vars: {desk: north}
tools:
  tag:
    undo: true
    redact: [args.pin]
    otherwise: {then: audit, on_flag: ON_FLAG}
  escalate: allow
"""
UNDO = "undo"
LEFT = "no gate of this graph declares an undo for tag, or not each of them the same"
CALL = "{tool: escalate, args: {order: '{args.order}', text: '{tool} at {vars.desk}, {flag.by}: {flag.reason}'}}"


class Shop(Workplace):
    """An agent that tags orders."""

    def __init__(self, folder: Path, on_flag: str = UNDO, *, more: str = "") -> None:
        super().__init__(folder, POLICY.replace("ON_FLAG", on_flag) + more)

    def tag(self, order: int, pin: str = "4711") -> dict[str, Any]:
        """Tags an order."""
        return {"tag": self.effect(f"tag {order}")}

    def escalate(self, order: int, text: str) -> str:
        """Tells somebody of an order."""
        return self.effect(f"escalate {order}: {text}")

    def untag(self, done: Done) -> str:
        return self.effect(f"untag {done.result['tag']}")

    @contextmanager
    def graph(self, *orders: int, tools: Sequence[Callable[..., Any]] = (), undo: Any = None) -> Iterator[Any]:
        """The agent, after it has tagged these orders."""
        undo = {"tag": self.untag} if undo is None else undo
        script = [*([("tag", {"order": order})] for order in orders), "Done."]
        with agent(self.signoff, tools or [self.tag, self.escalate], script, undo=undo) as graph:
            if orders:
                assert self.signoff.run(graph, {"messages": [("user", "go")]}, thread_id="t").status == "completed"
            yield graph

    def flag(self, reason: str = "wrong") -> Ticket:
        """Flags the one action under audit."""
        [audit] = self.signoff.audits()
        return self.signoff.flag(audit, by="ana", reason=reason)

    def kinds(self, ticket: Ticket | str) -> list[str]:
        return [entry.kind for entry in self.signoff.history(ticket)]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.signoff.close()


def test_an_undo_is_done_once_and_both_records_tell_of_it(shop: Shop) -> None:
    with shop.graph(7) as graph:
        audit = shop.flag()
        assert shop.effects == ["tag 7"]
        [found] = shop.signoff.follow_up(graph)
        assert shop.effects == ["tag 7", "untag tag 7"]
        assert (found.about, found.did, found.why) == (audit.id, "undo", "")
        [undone] = [shop.signoff.ticket(id_) for id_ in found.tickets]
        assert (undone.tool, undone.kind, undone.standing) == ("undo_tag", "undo", Standing.EXECUTED)
        assert shop.signoff.ticket(audit.id).follow_up == found
        assert shop.kinds(audit) == ["opened", "decided", "followed_up"]
        assert shop.signoff.follow_up(graph) == []
        assert (shop.signoff.threads_to_wake(), shop.signoff.status(graph, "t").status) == (["t"], "completed")
        assert shop.signoff.resume(graph, thread_id="t").did == "nothing: it has finished"
        assert shop.signoff.threads_to_wake() == []
    assert len(shop.effects) == 2
    assert shop.signoff.verify().broken == []


def test_nothing_comes_of_what_is_confirmed_or_not_looked_at(shop: Shop) -> None:
    with shop.graph(7, 8) as graph:
        first, _ = shop.signoff.audits()
        shop.signoff.confirm(first, by="ana")
        assert shop.signoff.follow_up(graph) == []
        shop.clock.advance(days=2)
        shop.signoff.expire()
        assert shop.signoff.follow_up(graph) == []
    assert shop.effects == ["tag 7", "tag 8"]


def test_a_flag_calls_a_tool_with_what_it_quotes(tmp_path: Path) -> None:
    shop = Shop(tmp_path, CALL)
    with shop.graph(7) as graph:
        audit = shop.flag("not 4711's order")
        [found] = shop.signoff.follow_up(graph)
        assert shop.effects == ["tag 7", "escalate 7: tag at north, ana: not •••'s order"]
        [called] = [shop.signoff.ticket(id_) for id_ in found.tickets]
        assert (found.did, called.tool, called.args["order"], called.standing) == ("call", "escalate", 7, "executed")
        assert called.trigger == f"a flag on tag, ticket {audit.about[:12]}"
        assert shop.signoff.follow_up(graph) == []
    assert len(shop.effects) == 2
    assert shop.signoff.verify().broken == []


@pytest.mark.parametrize("on_flag", [UNDO, CALL])
def test_what_the_policy_wants_reviewed_waits_and_is_done_by_whoever_comes_next(tmp_path: Path, on_flag: str) -> None:
    shop = Shop(tmp_path, on_flag.replace("escalate", "page"), more="  undo_tag: review\n  page: review\n")
    page = StructuredTool.from_function(shop.escalate, name="page")
    with shop.graph(7, tools=[shop.tag, page]) as graph:  # type: ignore[list-item]  # a tool as it is
        audit = shop.flag()
        [waits] = shop.signoff.follow_up(graph)
        [pending] = shop.signoff.pending()
        assert (waits.did, waits.tickets, shop.effects) == ("wait", (pending.id,), ["tag 7"])
        assert shop.signoff.follow_up(graph) == [waits]
        assert shop.signoff.ticket(audit.id).follow_up is None
        shop.signoff.approve(pending, by="cem")
        # The run is over: whatever is said of it, waking it runs nothing.
        assert shop.signoff.resume(graph, thread_id="t").went_on is False
        assert shop.signoff.run(graph, {"messages": [("user", "more")]}, thread_id="t").status == "completed"
        assert shop.effects == ["tag 7"]
        [found] = shop.signoff.follow_up(graph)
        assert found.did == ("undo" if on_flag == UNDO else "call")
    assert len(shop.effects) == 2
    assert shop.signoff.verify().broken == []


@pytest.mark.parametrize("on_flag", [UNDO, CALL.replace("escalate", "page")])
def test_what_is_rejected_or_denied_is_left_to_a_person(tmp_path: Path, on_flag: str) -> None:
    shop = Shop(tmp_path, on_flag, more="  undo_tag: deny\n  page: deny\n")
    page = StructuredTool.from_function(shop.escalate, name="page")
    with shop.graph(7, tools=[shop.tag, page]) as graph:  # type: ignore[list-item]  # a tool as it is
        audit = shop.flag()
        [found] = shop.signoff.follow_up(graph)
        assert (found.did, shop.signoff.ticket(audit.id).follow_up) == ("alert", found)
        assert "the policy does not permit this call" in found.why
        assert shop.kinds(audit)[-1] == "alerted"
        assert shop.signoff.follow_up(graph) == []
    assert shop.effects == ["tag 7"]


def test_an_undo_that_fails_waits_for_a_person_before_another_try(shop: Shop) -> None:
    with shop.graph(7) as graph:
        shop.flag()
        shop.fails = True
        [waits] = shop.signoff.follow_up(graph)
        [pending] = shop.signoff.pending()
        assert (waits.tickets, pending.reason_code) == ((pending.id,), "undo_failed")
        shop.fails = False
        shop.signoff.reject(pending, by="ana", reason="I have done it by hand")
        [found] = shop.signoff.follow_up(graph)
        assert found.did == "alert"
        assert "I have done it by hand" in found.why
    assert shop.effects == ["tag 7", "untag tag 7"]


def test_a_call_that_fails_is_not_made_again(tmp_path: Path) -> None:
    shop = Shop(tmp_path, CALL)
    with shop.graph(7) as graph:
        shop.flag()
        shop.fails = True
        [found] = shop.signoff.follow_up(graph)
        assert (found.did, found.why) == ("alert", "escalate failed: ConnectionError: no answer")
        assert shop.signoff.follow_up(graph) == []
    assert len(shop.effects) == 2


@pytest.mark.parametrize("on_flag", [UNDO, CALL])
def test_what_failed_when_it_ran_is_called_after_and_not_undone(tmp_path: Path, on_flag: str) -> None:
    shop = Shop(tmp_path, on_flag)
    script, options = [[("tag", {"order": 7})], "Done."], {"undo": {"tag": shop.untag}}
    with agent(shop.signoff, [shop.tag, shop.escalate], script, **options) as graph:
        shop.fails = True
        assert shop.signoff.run(graph, {"messages": [("user", "go")]}, thread_id="t").status == "failed"
        shop.fails = False
        shop.flag()
        [found] = shop.signoff.follow_up(graph)
        assert found.did == ("alert" if on_flag == UNDO else "call")
    assert [text.split()[0] for text in shop.effects] == (["tag"] if on_flag == UNDO else ["tag", "escalate"])


def test_what_has_been_erased_is_left_to_a_person(shop: Shop) -> None:
    with shop.graph(7) as graph:
        audit = shop.flag()
        shop.signoff.erase(audit, by="dpo", reason="asked for")
        [found] = shop.signoff.follow_up(graph)
        assert (found.did, found.why) == ("alert", "what it was about has been erased")
    assert shop.effects == ["tag 7"]
    assert shop.signoff.verify().broken == []


def test_a_graph_leaves_the_flags_of_others(shop: Shop) -> None:
    with shop.graph(7) as graph:
        audit = shop.flag()
    other = Signoff(shop.folder / "signoff.db", policy=Policy())
    with agent(other, [shop.escalate], ["Done."]) as stranger:
        [found] = other.follow_up(stranger)
        assert (found.did, found.why) == ("left", "no gate of this graph knows tag")
        assert shop.kinds(audit) == ["opened", "decided"]
    assert [found.did for found in shop.signoff.follow_up(graph)] == ["undo"]
    other.close()


def test_an_undo_that_another_graph_declares_for_the_name_is_not_taken(shop: Shop) -> None:
    wrong = {"tag": lambda done: shop.effect("the wrong one")}
    with shop.graph(7) as graph, agent(shop.signoff, [shop.tag], ["Done."], undo=wrong):
        shop.flag()
        assert [found.did for found in shop.signoff.follow_up(graph)] == ["undo"]
    assert shop.effects == ["tag 7", "untag tag 7"]


def test_a_graph_that_declares_no_undo_for_the_name_leaves_it_to_one_that_does(shop: Shop) -> None:
    with shop.graph(7) as graph, agent(shop.signoff, [shop.tag], ["Done."]) as other:
        audit = shop.flag()
        [left] = shop.signoff.follow_up(other)
        assert (left.did, left.why) == ("left", LEFT)
        assert shop.kinds(audit) == ["opened", "decided"]
        assert [found.did for found in shop.signoff.follow_up(graph)] == ["undo"]
    assert shop.effects == ["tag 7", "untag tag 7"]


def test_gates_of_one_graph_that_declare_different_undos_leave_it_to_a_person(shop: Shop) -> None:
    with shop.graph(7) as graph:
        builder = graph.builder
        builder.add_node("desk", shop.signoff.tool_node([shop.tag], undo={"tag": len}))
        builder.add_edge("desk", "agent")
        shop.flag()
        assert [found.why for found in shop.signoff.follow_up(builder.compile())] == [LEFT]
    assert shop.effects == ["tag 7"]


def test_what_comes_of_a_flag_stands_in_the_ledger_of_the_flag(shop: Shop) -> None:
    """A graph that a command loads has opened a ledger for itself, wherever that is."""
    undo = {"tag": lambda done: shop.effect(f"untag {done.args['order']}")}
    with shop.graph(undo=undo) as graph, closing(Signoff(shop.folder / "other.db", policy=shop.policy)) as other:
        audit = open_audit(other, {"order": 7}, tool="tag", audit=Audit(on_flag=OnFlag(undo=True)))
        other.flag(audit, by="ana")
        assert [found.did for found in other.follow_up(graph)] == ["undo"]
        assert [ticket.standing for ticket in other.find(Query(tool="undo_tag"))] == [Standing.EXECUTED]
        assert other.verify().broken == []
    assert shop.effects == ["untag 7"]
    assert list(shop.signoff.ledger.all_rows()) == []


def test_arguments_that_the_tool_does_not_take_are_left_to_a_person(tmp_path: Path) -> None:
    shop = Shop(tmp_path, "{tool: escalate, args: {order: '{args.nothing}', text: x}}")
    with shop.graph(7) as graph:
        shop.flag()
        [found] = shop.signoff.follow_up(graph)
        assert found.did == "alert"
        assert "escalate does not take ['order', 'text'] so: ValidationError" in found.why
    assert shop.effects == ["tag 7"]


def test_a_tool_that_needs_a_run_is_left_to_a_person(tmp_path: Path) -> None:
    shop = Shop(tmp_path, CALL)

    def escalate(order: int, text: str, state: Annotated[dict[str, Any], InjectedState]) -> str:
        """Tells somebody of an order."""
        return shop.effect("escalate")

    with shop.graph(7, tools=[shop.tag, escalate]) as graph:
        shop.flag()
        [found] = shop.signoff.follow_up(graph)
        assert (found.did, found.why) == ("alert", "escalate needs the state of a run, and there is none")
    assert shop.effects == ["tag 7"]


def test_an_undo_whose_arguments_cannot_be_made_waits_for_a_person_to_put_them_right(shop: Shop) -> None:
    tool = StructuredTool.from_function(shop.escalate)
    with shop.graph(7, undo={"tag": Undo(tool, args=lambda done: {"order": done.result["number"]})}) as graph:
        shop.flag()
        [waits] = shop.signoff.follow_up(graph)
        [pending] = shop.signoff.pending()
        assert (waits.did, waits.tickets) == ("wait", (pending.id,))
        shop.signoff.revise(pending, by="ana", args={"order": 7, "text": "untag it by hand"})
        [found] = shop.signoff.follow_up(graph)
        assert (found.did, found.tickets) == ("undo", (pending.id,))
    assert shop.effects == ["tag 7", "escalate 7: untag it by hand"]


def test_a_halt_holds_it_back_until_its_release(shop: Shop) -> None:
    with shop.graph(7) as graph:
        shop.flag()
        shop.signoff.halt(by="op")
        [held] = shop.signoff.follow_up(graph)
        assert (held.did, held.why, shop.effects) == ("wait", "halted: everything, by op", ["tag 7"])
        shop.signoff.release(by="op")
        assert [found.did for found in shop.signoff.follow_up(graph)] == ["undo"]


def test_undos_and_tools_of_both_kinds_run_wherever_it_is_called(shop: Shop) -> None:
    async def auntag(done: Done) -> str:
        await asyncio.sleep(0)
        return shop.untag(done)

    with shop.graph(7, undo={"tag": auntag}) as graph:
        shop.flag()

        async def notebook() -> list[FollowUp]:
            return shop.signoff.follow_up(graph)

        assert [found.did for found in asyncio.run(notebook())] == ["undo"]
    assert shop.effects == ["tag 7", "untag tag 7"]


def test_the_agents_of_langchain_are_followed_up_too(tmp_path: Path) -> None:
    for on_flag, last in ((UNDO, "untag tag 7"), (CALL, "escalate 7: tag at north, ana: wrong")):
        (tmp_path / on_flag[:1]).mkdir()
        shop = Shop(tmp_path / on_flag[:1], on_flag)
        middleware = SignoffMiddleware(shop.signoff, undo={"tag": shop.untag})
        model = ScriptedModel([[("tag", {"order": 7})], "Done."])
        tools = [shop.tag, shop.escalate]
        graph = create_agent(model, tools, middleware=[middleware], checkpointer=InMemorySaver())
        shop.signoff.run(graph, {"messages": [("user", "go")]}, thread_id="t")
        shop.flag()
        shop.signoff.follow_up(graph)
        assert shop.effects == ["tag 7", last]


def test_a_guarded_node_is_audited_and_undone_as_a_tool_is(shop: Shop) -> None:
    policy = Policy(nodes={"publish": {"undo": True, "otherwise": {"then": "audit", "on_flag": "undo"}}})
    with closing(Signoff(shop.folder / "nodes.db", policy=policy)) as signoff:

        def publish(state: dict[str, Any]) -> dict[str, Any]:
            return {"page": shop.effect(f"publish {state['page']}")}

        gate = signoff.gate(
            "publish", action=lambda state: {"page": state["page"]}, undo=lambda done: shop.effect("take down")
        )
        builder = StateGraph(dict).add_node("publish", gate(publish)).add_edge(START, "publish")
        graph = builder.compile(checkpointer=InMemorySaver())
        assert signoff.run(graph, {"page": "a"}, thread_id="t").status == "completed"
        [audit] = signoff.audits()
        assert (audit.tool, audit.args) == ("publish", {"page": "a"})
        signoff.flag(audit, by="ana")
        assert [found.did for found in signoff.follow_up(graph)] == ["undo"]
        assert signoff.verify().broken == []
    assert shop.effects == ["publish a", "take down"]


def test_however_many_flags_there_are_each_is_looked_at(shop: Shop) -> None:
    with shop.graph() as graph:
        for number in range(510):
            later = Audit(on_flag=OnFlag(tool="nobody")) if number % 51 else Audit()
            audit = open_audit(shop.signoff, {"order": number}, tool="tag", priority=number % 3, audit=later)
            shop.signoff.flag(audit, by="ana")
        # What only alerts has done so with the flag itself.
        assert [found.did for found in shop.signoff.follow_up(graph)] == ["left"] * 500


def test_a_second_flag_changes_nothing_of_what_has_come(shop: Shop) -> None:
    with shop.graph(7) as graph:
        audit = shop.flag()
        shop.signoff.follow_up(graph)
        with pytest.raises(TicketClosed, match="flagged by ana"):
            shop.signoff.flag(audit, by="ben")
        assert shop.signoff.follow_up(graph) == []
    assert len(shop.effects) == 2

"""The door for agents of `create_agent`: the same heart, a call at a time, whatever kind of tool it is."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain.tools import InjectedState, InjectedStore, ToolRuntime
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, StructuredTool, tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, interrupt
from langgraph_supervisor import create_supervisor

from agents import POLICY, Agency, agency
from failures.world import GO, ONCE, SEND, SENT, Expect, swapped
from langgraph_signoff import Signoff, Unidentified
from langgraph_signoff.desk import Desk
from langgraph_signoff.middleware import SignoffMiddleware
from langgraph_signoff.nodes.checks import explain, gated
from langgraph_signoff.nodes.gated_tool import GatedTool
from langgraph_signoff.testing import ScriptedModel
from support import Clock

MIXED = [("look", {"x": 1}), ("send", {"to": "bob"}), ("send", {"to": "eve"})]


# What becomes of a call ----------------------------------------------------------------------------------------------------


def test_a_reviewed_call_waits_for_its_approval_and_runs_once(firm: Agency) -> None:
    firm.hire([SEND, "done"], name="clerk")
    run = firm.run()
    assert (run.status, firm.effects) == ("pending_approval", [])
    [ticket] = run.tickets
    assert (ticket.tool, ticket.args, ticket.agent, ticket.trigger) == (
        "send",
        {"to": "bob", "amount": 5.0},
        "clerk",
        "go",
    )
    assert firm.approve_all().status == "completed"
    firm.assert_ends(Expect(ONCE, ["executed"], SENT))
    assert firm.resume().did == "nothing: it has finished"


def test_an_allowed_call_runs_at_once_and_leaves_no_ticket(firm: Agency) -> None:
    firm.hire([[("look", {"x": 1})], "done"])
    assert firm.run().status == "completed"
    firm.assert_ends(Expect(["look 1"], [], "saw 1"))


def test_a_denied_call_never_runs_and_never_asks(firm: Agency) -> None:
    firm.hire([[("drop", {"to": "bob"})], "done"], tools=[firm.tool("drop", firm.send)])
    assert firm.run().status == "completed"
    firm.assert_ends(Expect([], ["denied"], "drop was not run: the policy does not permit this call"))


@pytest.mark.filterwarnings("ignore:wire")
def test_a_tool_that_no_rule_names_is_reviewed(firm: Agency) -> None:
    firm.hire([[("wire", {"to": "bob"})], "done"], tools=[firm.tool("wire", firm.send)])
    [ticket] = firm.run().tickets
    assert (ticket.tool, ticket.reason_code) == ("wire", "unlisted_tool")
    assert firm.approve_all().status == "completed"
    firm.assert_ends(Expect(ONCE, ["executed"], SENT))


def test_a_rejected_call_does_not_run_and_the_model_is_told_who_and_why(firm: Agency) -> None:
    firm.hire([SEND, "done"])
    [ticket] = firm.run().tickets
    firm.signoff.reject(ticket, by="ana", reason="not today")
    assert firm.resume().status == "completed"
    firm.assert_ends(Expect([], ["rejected"], "rejected by ana: not today"))
    assert firm.told()[0].status == "error"


@pytest.mark.parametrize(
    ("word", "effects", "standing"), [("approve", ONCE, "executed"), ("reject", [], "rejected"), ("", [], "pending")]
)
def test_a_ticket_holds_also_when_the_policy_has_come_to_let_its_tool_run(
    firm: Agency, word: str, effects: Sequence[str], standing: str
) -> None:
    firm.hire([SEND, "done"])
    [ticket] = firm.run().tickets
    if word:
        getattr(firm.signoff, word)(ticket, by="ana")
    firm.hire([SEND, "done"], policy=POLICY.replace("send: review", "send: allow"))
    firm.resume()
    assert (firm.effects, firm.standings()) == (list(effects), [standing])


def test_revised_arguments_run_and_the_model_is_told_so(firm: Agency) -> None:
    firm.hire([SEND, "done"])
    [ticket] = firm.run().tickets
    firm.signoff.revise(ticket, by="ana", args={"to": "eve"})
    assert firm.resume().status == "completed"
    firm.assert_ends(Expect(["send eve 5.0"], ["executed"], "A reviewer changed the call"))
    assert firm.proposed() == [{"to": "bob", "amount": 5.0}], "the model's own words stay"


def test_a_call_sent_back_may_be_proposed_again(firm: Agency) -> None:
    firm.hire([SEND, [("send", {"to": "eve"})], "done"])
    [ticket] = firm.run().tickets
    firm.signoff.revise(ticket, by="ana", feedback="not to bob")
    assert firm.resume().status == "pending_approval"
    assert firm.told()[-1].text.endswith("sent it back: not to bob. You may propose it again with that in mind.")
    [again] = firm.signoff.pending()
    assert (again.previous, again.args) == (ticket.id, {"to": "eve", "amount": 5.0})
    assert firm.approve_all().status == "completed"
    firm.assert_ends(Expect(["send eve 5.0"], ["executed", "returned"], "sent 5.0 to eve"))


def test_silence_is_no(firm: Agency) -> None:
    clock = Clock()
    firm.hire([SEND, "done"], signoff={"clock": clock})
    assert firm.run().status == "pending_approval"
    clock.advance(days=30)
    assert firm.signoff.expire() == ["t"]
    assert firm.resume().status == "completed"
    firm.assert_ends(Expect([], ["expired"], "nobody decided in time"))


def test_arguments_swapped_after_the_approval_are_asked_about_again(firm: Agency) -> None:
    firm.hire([SEND, "done"])
    [ticket] = firm.run().tickets
    firm.signoff.approve(ticket, by="ana")
    message = firm.state().values["messages"][-1]
    firm.update({"messages": [swapped(message, to="eve")]}, as_node="model")
    assert firm.resume().status == "pending_approval"
    assert firm.effects == []


def test_a_forged_answer_runs_nothing(firm: Agency) -> None:
    firm.hire([SEND, "done"])
    firm.run()
    for value in (True, "approve", {"decisions": [{"type": "approve"}]}, {"type": "approve"}):
        [pause] = firm.state().interrupts
        firm.invoke(Command(resume={pause.id: value}))
        firm.invoke(Command(resume=value))
    firm.assert_ends(Expect([], ["pending"], None))
    assert firm.approve_all().status == "completed"
    firm.assert_ends(Expect(ONCE, ["executed"], SENT))


# Several calls in one message ----------------------------------------------------------------------------------------------


def test_an_allowed_call_keeps_its_result_while_its_siblings_wait(firm: Agency) -> None:
    firm.hire([MIXED, "done"])
    run = firm.run()
    assert sorted(ticket.args["to"] for ticket in run.tickets) == ["bob", "eve"]
    assert firm.effects == ["look 1"]
    assert firm.approve_all().status == "completed"
    assert firm.effects == ["look 1", "send bob 5.0", "send eve 5.0"]


def test_each_call_gets_its_own_decision(firm: Agency) -> None:
    firm.hire([MIXED, "done"])
    firm.run()
    firm.signoff.approve(firm.ticket(to="eve"), by="ana")
    assert firm.resume().status == "pending_approval"
    assert firm.effects == ["look 1", "send eve 5.0"]
    firm.signoff.reject(firm.ticket(to="bob"), by="cem")
    assert firm.resume().status == "completed"
    assert firm.effects == ["look 1", "send eve 5.0"]
    answers = firm.answers()
    assert answers["call-0-0"] == "saw 1"
    assert "rejected by cem" in answers["call-0-1"]
    assert answers["call-0-2"] == "sent 5.0 to eve"


def test_the_same_call_twice_under_two_ids_is_two_calls_and_under_one_id_it_is_one(firm: Agency) -> None:
    call = {"name": "send", "args": {"to": "bob"}, "type": "tool_call"}
    proposals = AIMessage("", tool_calls=[{**call, "id": "a"}, {**call, "id": "b"}, {**call, "id": "b"}])
    firm.hire([proposals, "done"])
    firm.run()
    assert len(firm.signoff.pending()) == 2
    assert firm.approve_all().status == "completed"
    assert firm.effects == ["send bob 5.0"] * 2


def test_a_call_without_an_id_is_asked_about_too(firm: Agency) -> None:
    """LangChain's own middleware refuses it in its per-call mode; the rest of an agent takes an empty one."""
    firm.hire([AIMessage("", tool_calls=[{"name": "send", "args": {"to": "bob"}, "id": ""}]), "done"])
    firm.assert_asks_and_sends()


# Kinds of tools ------------------------------------------------------------------------------------------------------------


def test_a_tool_with_a_json_schema_only_gets_what_was_proposed(firm: Agency) -> None:
    """As the tools of MCP servers are."""

    async def asend(**args: Any) -> str:
        return send(**args)

    def send(**args: Any) -> str:
        firm.effect(f"send {sorted(args.items())}")
        return "sent"

    schema = {
        "type": "object",
        "properties": {"to": {"type": "string"}, "amount": {"type": ["number", "string"]}},
        "required": ["to"],
    }
    mcp = StructuredTool(name="send", description="Sends.", args_schema=schema, func=send, coroutine=asend)
    firm.hire([[("send", {"amount": "5000"})], [("send", {"to": "bob", "amount": "5000"})], "done"], tools=[mcp])
    [ticket] = firm.run().tickets
    assert "'to' is a required property" in firm.told()[0].text, "what the schema refuses gets no ticket"
    assert ticket.args == {"to": "bob", "amount": "5000"}
    assert firm.approve_all().status == "completed"
    firm.assert_ends(Expect(["send [('amount', '5000'), ('to', 'bob')]"], ["executed"], "sent"))


def test_a_tool_of_an_mcp_server_runs_behind_the_gate(tmp_path: Path) -> None:
    """Made as langchain-mcp-adapters makes them: a coroutine, a JSON Schema, blocks of content and an artifact."""
    with agency(tmp_path, is_async=True) as firm:

        async def call(**args: Any) -> tuple[list[Any], Any]:
            firm.effect(f"send {args['to']}")
            return [{"type": "text", "text": "sent"}], {"structured_content": {"ok": True}}

        schema = {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]}
        mcp = StructuredTool(
            name="send",
            description="Sends.",
            args_schema=schema,
            coroutine=call,
            response_format="content_and_artifact",
        )
        firm.hire([[("send", {"to": "bob"})], "done"], tools=[mcp])
        assert firm.run().tickets[0].args_schema == schema
        assert firm.approve_all().status == "completed"
        firm.assert_ends(Expect(["send bob"], ["executed"], "sent"))
        assert firm.told()[0].artifact == {"structured_content": {"ok": True}}


def test_a_tool_may_take_everything_that_langgraph_injects(firm: Agency) -> None:
    def send(
        to: str,
        runtime: ToolRuntime,
        state: Annotated[dict[str, Any], InjectedState],
        store: Annotated[Any, InjectedStore()],
        call_id: Annotated[str, InjectedToolCallId],
    ) -> str:
        """Sends."""
        about = Signoff.current_action()
        assert about is not None
        told = state["messages"][-1].tool_calls[0]["id"], store.get(("a",), "b").value["c"], runtime.tool_call_id
        firm.effect(f"send {to} {' '.join(told)} {call_id} {about.tool}")
        return "sent"

    store = InMemoryStore()
    store.put(("a",), "b", {"c": "kept"})
    firm.hire([[("send", {"to": "bob", "call_id": "forged"})], "done"], tools=[firm.tool("send", send)], store=store)
    [ticket] = firm.run().tickets
    assert (ticket.args, list(ticket.args_schema["properties"])) == ({"to": "bob"}, ["to"])
    assert firm.approve_all().status == "completed"
    firm.assert_ends(Expect(["send bob call-0-0 kept call-0-0 call-0-0 send"], ["executed"], "sent"))


def test_a_tool_may_return_a_command(firm: Agency) -> None:
    class Remembers(AgentMiddleware):
        class state_schema(MessagesState):
            sent: str

    def send(to: str, call_id: Annotated[str, InjectedToolCallId]) -> Command:
        """Sends."""
        firm.effect(f"send {to}")
        return Command(update={"sent": to, "messages": [ToolMessage("noted", tool_call_id=call_id)]})

    firm.hire([[("send", {"to": "bob"})], "done"], tools=[firm.tool("send", send)], after=[Remembers()])
    [ticket] = firm.run().tickets
    firm.signoff.revise(ticket, by="ana", args={"to": "eve"})
    run = firm.resume()
    assert (run.status, run.output["sent"]) == ("completed", "eve")
    firm.assert_ends(Expect(["send eve"], ["executed"], "noted\n(A reviewer changed the call"))


def test_a_tool_may_give_an_artifact(firm: Agency) -> None:
    def send(to: str) -> tuple[str, dict[str, Any]]:
        """Sends."""
        firm.effect(f"send {to}")
        return "sent", {"receipt": to}

    tools = [firm.tool("send", send, response_format="content_and_artifact")]
    firm.hire([[("send", {"to": "bob"})], "done"], tools=tools)
    firm.run()
    assert firm.approve_all().status == "completed"
    firm.assert_ends(Expect(["send bob"], ["executed"], "sent"))
    assert firm.told()[0].artifact == {"receipt": "bob"}


def test_the_result_of_a_direct_tool_ends_the_run(firm: Agency) -> None:
    firm.hire([SEND, "never said"], tools=[firm.tool("send", firm.send, return_direct=True)])
    firm.run()
    run = firm.approve_all()
    assert (run.status, run.output["messages"][-1].text) == ("completed", SENT)
    firm.assert_ends(Expect(ONCE, ["executed"], SENT))


def test_a_tool_knows_under_which_approval_it_runs(firm: Agency) -> None:
    def send(to: str) -> str:
        """Sends."""
        about = Signoff.current_action()
        assert about is not None
        firm.effect(f"{about.ticket_id} {about.key} {' '.join(about.approved_by)}")
        return "sent"

    firm.hire([[("send", {"to": "bob"})], "done"], tools=[firm.tool("send", send)])
    [ticket] = firm.run().tickets
    firm.approve_all()
    assert firm.effects == [f"{ticket.id} {ticket.id}-1 ana"]


def test_a_sync_tool_of_an_async_agent_runs_behind_the_gate_too(tmp_path: Path) -> None:
    with agency(tmp_path, is_async=True) as firm:
        firm.hire([SEND, "done"], tools=[firm.tool("send", firm.send, as_async=False)])
        firm.assert_asks_and_sends()


@pytest.mark.parametrize("as_async", [False, True], ids=["in a thread", "on the loop"])
def test_a_run_that_is_cancelled_at_any_moment_has_its_effect_once_in_the_end(
    as_async: bool, rng: random.Random, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    def send(to: str) -> str:
        """Sends."""
        time.sleep(0.01)
        firm.send(to)
        time.sleep(0.01)
        return "sent"

    async def asend(to: str) -> str:
        """Sends."""
        await asyncio.sleep(0.01)
        firm.send(to)
        await asyncio.sleep(0.01)
        return "sent"

    left = []
    with agency(tmp_path, is_async=True) as firm:
        tool = firm.tool("send", asend if as_async else send, as_async=False)
        for number in range(100 if request.config.getoption("--long") else 12):
            thread = f"t{number}"
            firm.hire([[("send", {"to": thread})], "done"], tools=[tool])
            firm.signoff.approve(firm.run(thread=thread).tickets[0], by="ana")
            left.append(firm.cancelled(rng, f"send {thread} 5.0", "sent", thread=thread))
    assert set(left) <= {"approved", "running", "in_doubt", "executed"}
    assert len(set(left)) >= 2, f"the moments differed: {left}"


def test_a_tool_that_asks_itself_keeps_its_claim(firm: Agency) -> None:
    def send(to: str) -> str:
        """Sends."""
        word = interrupt("which word?")
        firm.effect(f"send {to} {word}")
        return f"sent {word}"

    firm.hire([[("send", {"to": "bob"})], "done"], tools=[firm.tool("send", send)])
    firm.run()
    run = firm.approve_all()
    assert (run.status, list(run.questions.values())) == ("waiting", ["which word?"])
    [question] = run.questions
    assert firm.resume(answers={question: "hello"}).status == "completed"
    firm.assert_ends(Expect(["send bob hello"], ["executed"], "sent hello"))


def test_a_failure_is_told_on_the_next_pass_and_not_tried_again(firm: Agency) -> None:
    firm.hire([SEND, "done"], tools=[firm.failing(ValueError("boom"))])
    firm.run()
    run = firm.approve_all()
    assert (run.status, run.error) == ("failed", "ValueError: boom"), "as it is without the gate"
    assert firm.resume().status == "completed"
    firm.assert_ends(Expect(ONCE, ["failed"], "send failed: ValueError('boom'). It was tried once, as approved"))


# Tools and requests that other middlewares bring ---------------------------------------------------------------------------


class Brings(AgentMiddleware):
    """Shows the model a tool that the agent was not made with, and runs it."""

    def __init__(self, brought: Any) -> None:
        super().__init__()
        self.brought = brought

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        return handler(request.override(tools=[*request.tools, self.brought]))

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        return await handler(request.override(tools=[*request.tools, self.brought]))

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        return handler(self.made(request))

    async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
        return await handler(self.made(request))

    def made(self, request: Any) -> Any:
        if request.tool_call["name"] != self.brought.name:
            return request
        return request.override(tool=self.brought)


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("name", ["send", "wire", "look"])
@pytest.mark.filterwarnings("ignore:.*no entry of the policy names this tool")
def test_a_tool_added_at_run_time_is_ruled_like_any_other(firm: Agency, name: str, place: str) -> None:
    brings = Brings(firm.tool(name, firm.send))
    firm.hire([[(name, {"to": "bob"})], "done"], tools=[firm.tool("other", firm.look)], **{place: [brings]})
    run = firm.run()
    if name != "look":
        assert (run.status, firm.effects) == ("pending_approval", [])
        run = firm.approve_all()
    assert run.status == "completed"
    firm.assert_ends(Expect(ONCE, ["executed"] if name != "look" else [], SENT))


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_tool_added_at_run_time_may_take_what_langgraph_injects(firm: Agency, place: str) -> None:
    def send(to: str, runtime: ToolRuntime) -> str:
        """Sends."""
        firm.effect(f"send {to} {runtime.tool_call_id}")
        return "sent"

    firm.hire([[("send", {"to": "bob"})], "done"], tools=[], **{place: [Brings(firm.tool("send", send))]})
    assert firm.run().tickets[0].args == {"to": "bob"}
    assert firm.approve_all().status == "completed"
    firm.assert_ends(Expect(["send bob call-0-0"], ["executed"], "sent"))


def test_a_tool_that_nobody_has_gets_langgraphs_own_answer(firm: Agency) -> None:
    firm.hire([[("nope", {})], "done"])
    assert firm.run().status == "completed"
    firm.assert_ends(Expect([], [], "nope is not a valid tool"))


class Remakes(AgentMiddleware):
    """Hands on a request that it has made anew, in one of the ways that Python has."""

    def __init__(self, remake: Callable[[Any, Any], Any], tool: Any) -> None:
        super().__init__()
        self.remake, self.tool = remake, tool

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        return handler(self.remake(request, self.tool))

    async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
        return await handler(self.remake(request, self.tool))


def by_assignment(request: Any, tool: Any) -> Any:
    with pytest.warns(DeprecationWarning, match="tool"):
        request.tool = tool
    return request


def by_hand(request: Any, tool: Any) -> Any:
    return ToolCallRequest(request.tool_call, tool, request.state, request.runtime)


REMAKES = {
    "override": lambda request, tool: request.override(tool=tool),
    "replace": lambda request, tool: replace(request, tool=tool),
    "assignment": by_assignment,
    "by hand": by_hand,
}


@pytest.mark.parametrize(
    ("way", "place"),
    [(way, place) for way in REMAKES for place in ("before", "after") if (way, place) != ("by hand", "after")],
)
def test_a_raw_tool_in_a_request_made_anew_runs_behind_the_gate(firm: Agency, way: str, place: str) -> None:
    tools = firm.tools()
    firm.hire([SEND, "done"], tools=tools, **{place: [Remakes(REMAKES[way], tools[0])]})
    assert (firm.run().status, firm.effects) == ("pending_approval", [])
    assert firm.approve_all().status == "completed"
    firm.assert_ends(Expect(ONCE, ["executed"], SENT))


def test_a_call_under_an_id_that_no_message_proposes_is_an_error_that_says_so(firm: Agency) -> None:
    def remake(request: Any, _: Any) -> Any:
        return request.override(tool_call={**request.tool_call, "id": "another"})

    firm.hire([SEND, "done"], before=[Remakes(remake, None)])
    with pytest.raises(Unidentified, match="send needs a ticket, but no message of the thread proposes it"):
        firm.run()
    assert firm.effects == []


def test_an_outer_middleware_may_make_another_call_of_it(firm: Agency) -> None:
    tools = firm.tools()
    to_send = {"name": "send", "args": {"to": "eve"}}

    def remake(request: Any, tool: Any) -> Any:
        return request.override(tool_call={**request.tool_call, **to_send}, tool=tool)

    firm.hire([[("look", {"x": 1})], "done"], tools=tools, before=[Remakes(remake, tools[0])])
    [ticket] = firm.run().tickets
    assert (ticket.tool, ticket.args, firm.effects) == ("send", {"to": "eve", "amount": 5.0}, [])
    assert firm.approve_all().status == "completed"
    firm.assert_ends(Expect(["send eve 5.0"], ["executed"], "sent 5.0 to eve"))


# Where the agent stands ----------------------------------------------------------------------------------------------------


def test_an_agent_in_a_graph_waits_and_goes_on_with_it(firm: Agency) -> None:
    agent = firm.hire([SEND, "done"], checkpointer=None)
    builder = StateGraph(MessagesState)
    builder.add_node("agent", agent)
    builder.add_edge(START, "agent")
    firm.graph = firm.compile(builder)
    firm.assert_asks_and_sends()


def test_an_agent_into_which_gates_were_inserted_as_well_asks_once(firm: Agency) -> None:
    firm.graph = firm.signoff.insert(firm.hire([SEND, "done"]))
    firm.assert_asks_and_sends()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_supervisor_whose_workers_have_the_gate_is_gated(sync_firm: Agency) -> None:
    worker = sync_firm.hire(["-", SEND, "done"], checkpointer=None, name="worker")
    boss = create_supervisor([worker], model=ScriptedModel([[("transfer_to_worker", {})], "-", "-", "-", "-", "-"]))
    policy = POLICY.replace("task: allow", "transfer_*: allow")
    sync_firm.graph = sync_firm.new_signoff(policy).insert(boss).compile(checkpointer=sync_firm.saver)
    [ticket] = sync_firm.run().tickets
    assert (ticket.agent, sync_firm.effects) == ("worker", [])
    assert sync_firm.approve_all().status == "completed"
    assert sync_firm.effects == list(ONCE)


async def test_a_call_that_cannot_hold_a_ticket_is_an_error_that_can_be_caught(sync_firm: Agency) -> None:
    graph = sync_firm.hire([SEND, "done"], checkpointer=None)
    with pytest.raises(Unidentified, match="the graph has no checkpointer"):
        graph.invoke(GO, sync_firm.config("t"))
    with pytest.raises(Unidentified, match="the run has no thread"):
        await graph.ainvoke(GO)
    assert sync_firm.effects == []


def test_checks_and_explanations_know_the_gate_of_an_agent(sync_firm: Agency) -> None:
    class Idle(AgentMiddleware):
        def wrap_tool_call(self, request: Any, handler: Any) -> Any:
            return handler(request)

    tools = [*sync_firm.tools(), sync_firm.tool("wire", sync_firm.send)]
    for place in ("before", "after"):
        graph = sync_firm.hire([SEND, "done"], tools=tools, **{place: [Idle()]})
        assert gated(graph) == (["send", "look", "wire"], [], [])
        assert explain(graph).splitlines() == [
            "model: runs as it is",
            "tools: gated tools: send (review), look (allow), wire (review)",
        ]
        assert sync_firm.signoff.check(graph) == [
            "wire: no entry of the policy names this tool; every call of it will be reviewed",
        ]


def test_a_halt_that_comes_while_a_busy_loop_is_late_holds_back_what_was_let_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loops: list[asyncio.AbstractEventLoop] = []
    glance = Desk.glance

    class Notes(AgentMiddleware):
        async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
            loops.append(asyncio.get_running_loop())
            return await handler(request)

    def halt() -> None:
        Signoff(tmp_path / "signoff.db").halt(by="ana", reason="stop")
        time.sleep(0.2)

    def glance_and_be_late(self: Desk, ids: Any) -> Any:
        seen = glance(self, ids)
        if loops:
            loops.pop().call_soon_threadsafe(halt)
        return seen

    monkeypatch.setattr(Desk, "glance", glance_and_be_late)
    with agency(tmp_path, is_async=True) as firm:
        firm.hire([[("look", {"x": 1})], "done"], before=[Notes()])
        firm.run()
        assert firm.effects == []


def test_a_gated_tool_equals_only_itself(sync_firm: Agency) -> None:
    tools, heart = sync_firm.tools(), sync_firm.new_signoff(POLICY).heart(None, None)
    one, other = GatedTool.around(tools[0], heart), GatedTool.around(tools[0], heart)
    assert (one == one, one == other, len({one, other})) == (True, False, 2)  # it is what is asked


def test_langchain_finds_the_signatures_of_its_hooks() -> None:
    hooks = (SignoffMiddleware.wrap_tool_call, SignoffMiddleware.awrap_tool_call)
    assert [list(signature(hook).parameters) for hook in hooks] == [["self", "request", "handler"]] * 2


@pytest.mark.filterwarnings("ignore:look")
def test_two_gates_have_tools_of_their_own(sync_firm: Agency, tmp_path: Path) -> None:
    other = sync_firm.new_signoff("version: 1\ntools: {send: deny}\n")
    sync_firm.hire([SEND, "done"])
    graph = create_agent(
        ScriptedModel([SEND, "done"]),
        sync_firm.tools(),
        middleware=[SignoffMiddleware(other)],
        checkpointer=sync_firm.saver,
    )
    assert sync_firm.run().status == "pending_approval"
    assert other.run(graph, GO, thread_id="u").status == "completed"
    assert sync_firm.standings("u") == ["denied"]


def test_gated_tools_that_are_made_anew_for_each_call_are_forgotten_in_the_end(
    sync_firm: Agency, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("langgraph_signoff.middleware._MOST_TOOLS", 20)
    gates = SignoffMiddleware(sync_firm.signoff)._gates
    tools = [tool(f"t{i}")(sync_firm.look) for i in range(30)]
    for made in tools:
        gates.tool(made)
    assert len(gates._made) == 20
    assert gates.tool(tools[-1]) is gates.tool(tools[-1])
    assert gates.tool(tools[0]).name == "t0"

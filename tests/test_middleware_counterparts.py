"""What LangChain's public tests of `HumanInTheLoopMiddleware` promise, kept by the gate and said in its own words.

Their `approve`, `reject` and `edit` are `approve`, `reject` and `revise(args=)`; their `respond`, words in place of the
call, is `revise(feedback=)`; `interrupt_on` is the policy (`True`: review, `False`: allow, `when`: a rule, `description`:
`describe`). Where they check a hook's return value, here an agent runs, and effects are counted.

Without a counterpart, and why: their constructor's own options (`description_prefix`, `edit_notice`, `interrupt_mode` and its
check): there are none; an edit that names another tool, known or not, and the routes after it: a revision never changes the
tool, feedback asks for another proposal; `hitl_edited_tool_calls` in the state, and clearing it: an edit lies in the ledger
under its own call; the `response_schema` of an interrupt and the shape of bad answers to it: an answer is a knock, and what
a decision must look like is the API's; `allowed_decisions` for one tool: everybody who may decide may also edit, within the
tool's schema and the policy; a `when` that reads the graph's state: a rule reads the call, its people and its history;
`return_direct` beside results without a name: LangChain's own edge, untouched here.
"""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from langchain.agents.middleware import ToolRetryMiddleware
from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, StructuredTool
from langgraph.types import Command
from pydantic import AfterValidator

from agents import Agency
from failures.world import ONCE, SEND, SENT, Expect
from langgraph_signoff import IncompleteDecision, NotWhatYouSaw, RevisionRefused, TicketClosed

pytestmark = pytest.mark.filterwarnings("ignore:.*no entry of the policy names this tool")

POLICY = """
version: 1
tools:
  a: allow
  b: review
  c: allow
  d: review
  e: allow
"""
FIVE = [(name, {"val": number}) for number, name in enumerate("abcde", 1)]


def five(firm: Agency) -> list[Any]:
    """Tools a to e, of which b and d wait for somebody."""

    def made(name: str) -> Any:
        def run(val: int) -> str:
            """Runs."""
            firm.effect(f"{name} {val}")
            return f"{name} gave {val}"

        return firm.tool(name, run)

    return [made(name) for name in "abcde"]


def pending(firm: Agency, name: str) -> Any:
    [found] = [ticket for ticket in firm.signoff.pending() if ticket.tool == name]
    return found


def proposals(firm: Agency) -> list[tuple[str, Any, str]]:
    message = next(m for m in firm.state().values["messages"] if isinstance(m, AIMessage) and m.tool_calls)
    return [(call["name"], call["args"], call["id"]) for call in message.tool_calls]


# When nobody is asked --------------------------------------------------------------------------------------------------------


def test_a_message_without_calls_asks_nobody(firm: Agency) -> None:
    firm.hire(["Hi there"])
    assert firm.run().status == "completed"
    assert firm.tickets() == []


@pytest.mark.parametrize(("rule", "asks"), [("review", True), ("allow", False)])
def test_a_tool_is_reviewed_or_not_by_one_word_of_the_policy(firm: Agency, rule: str, asks: bool) -> None:
    firm.hire([SEND, "done"], policy=f"version: 1\ntools: {{send: {rule}}}")
    assert (firm.run().status == "pending_approval") is asks


# The decisions ---------------------------------------------------------------------------------------------------------------


def test_an_approved_call_runs_as_proposed_and_its_result_carries_no_note(firm: Agency) -> None:
    firm.hire([SEND, "done"])
    firm.run()
    assert firm.approve_all().status == "completed"
    firm.assert_ends(Expect(ONCE, ["executed"], SENT))
    assert firm.told()[0].text == SENT
    assert firm.resume().did == "nothing: it has finished", "what is done is not asked about again"


def test_an_edited_call_runs_as_edited_and_the_models_own_words_stay(firm: Agency) -> None:
    firm.hire([[("send", {"to": "bob", "amount": 7})], "done"])
    firm.signoff.revise(firm.run().tickets[0], by="ana", args={"to": "eve"})
    assert firm.resume().status == "completed"
    assert firm.effects == ["send eve 7.0"]
    assert proposals(firm) == [("send", {"to": "bob", "amount": 7}, "call-0-0")]
    [message] = firm.told()
    assert message.tool_call_id == "call-0-0"
    assert message.text == 'sent 7.0 to eve\n(A reviewer changed the call; it ran with {"amount": 7.0, "to": "eve"}.)'
    assert "bob" not in message.text, "what was not approved is not said again"


@pytest.mark.parametrize("reason", ["", "not to him"])
def test_a_rejected_call_does_not_run_and_has_its_answer(firm: Agency, reason: str) -> None:
    firm.hire([SEND, "done"])
    firm.signoff.reject(firm.run().tickets[0], by="ana", reason=reason)
    assert firm.resume().status == "completed"
    firm.assert_ends(Expect([], ["rejected"], f"rejected by ana{': ' + reason if reason else ''}."))
    [message] = firm.told()
    assert (message.name, message.tool_call_id, message.status) == ("send", "call-0-0", "error")
    assert "Do not propose the same call again unless the user asks for it" in message.text
    assert proposals(firm) == [("send", {"to": "bob", "amount": 5.0}, "call-0-0")], "the call keeps its answer"


def test_a_person_may_answer_in_words_instead_of_the_call(firm: Agency) -> None:
    firm.hire([SEND, "done"])
    firm.signoff.revise(firm.run().tickets[0], by="ana", feedback="blue")
    assert firm.resume().status == "completed"
    firm.assert_ends(Expect([], ["returned"], "blue"))
    assert (firm.told()[0].name, firm.told()[0].tool_call_id) == ("send", "call-0-0")


def test_an_unknown_decision_is_refused_and_the_ticket_stays(firm: Agency) -> None:
    firm.hire([SEND, "done"])
    [ticket] = firm.run().tickets
    with pytest.raises(IncompleteDecision, match="'unknown' settles nothing"):
        firm.signoff.settle(ticket, "unknown", by="ana")
    with pytest.raises(TicketClosed):
        firm.signoff.settle(ticket, "happened", by="ana")
    with pytest.raises(IncompleteDecision):
        firm.signoff.revise(ticket, by="ana")
    with pytest.raises(IncompleteDecision):
        firm.signoff.approve(ticket, by="")
    assert firm.approve_all().status == "completed"
    firm.assert_ends(Expect(ONCE, ["executed"], SENT))


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        ({"to": None}, "to None is not of type 'string'"),
        ({"amount": "much"}, "amount 'much' is not of type 'number'"),
        ({"cc": "cem"}, "send takes no argument cc"),
    ],
)
def test_an_edit_that_the_tool_would_not_take_is_refused_and_another_one_is_taken(
    firm: Agency, edit: dict[str, Any], problem: str
) -> None:
    firm.hire([SEND, "done"])
    [ticket] = firm.run().tickets
    with pytest.raises(RevisionRefused, match=problem):
        firm.signoff.revise(ticket, by="ana", args=edit)
    assert (firm.resume().status, firm.effects) == ("pending_approval", [])
    firm.signoff.revise(ticket, by="ana", args={"to": "eve"})
    assert firm.resume().status == "completed"
    assert firm.effects == ["send eve 5.0"]


def test_an_edit_is_checked_against_a_json_schema_too(firm: Agency) -> None:
    async def acall(**args: Any) -> str:
        return firm.send(**args)

    schema = {"type": "object", "properties": {"to": {"type": "string"}}}
    tool = StructuredTool(name="send", description="d", func=firm.send, coroutine=acall, args_schema=schema)
    firm.hire([[("send", {"to": "bob"})], "done"], tools=[tool])
    [ticket] = firm.run().tickets
    assert ticket.args_schema == schema
    with pytest.raises(RevisionRefused, match="5 is not of type 'string'"):
        firm.signoff.revise(ticket, by="ana", args={"to": 5})
    firm.signoff.revise(ticket, by="ana", args={"to": "eve"})
    assert firm.resume().status == "completed"
    assert firm.effects == ["send eve 5.0"]


def test_an_edit_that_the_policy_denies_is_refused(firm: Agency) -> None:
    rule = "{rules: [{when: 'args.to == \"eve\"', then: deny}], otherwise: review}"
    firm.hire([SEND, "done"], policy=f"version: 1\ntools: {{send: {rule}}}")
    [ticket] = firm.run().tickets
    with pytest.raises(RevisionRefused):
        firm.signoff.revise(ticket, by="ana", args={"to": "eve"})
    assert firm.approve_all().status == "completed"
    firm.assert_ends(Expect(ONCE, ["executed"], SENT))


def test_an_edit_leaves_parsing_and_injected_arguments_to_the_tool(firm: Agency) -> None:
    def send(to: Annotated[str, AfterValidator(lambda to: f"<{to}>")], runtime: ToolRuntime) -> str:
        """Sends."""
        firm.effect(f"send {to} {runtime.tool_call_id}")
        return f"sent to {to}"

    firm.hire([[("send", {"to": "bob"})], "done"], tools=[firm.tool("send", send)])
    [ticket] = firm.run().tickets
    assert (ticket.args, list(ticket.args_schema["properties"])) == ({"to": "<bob>"}, ["to"])
    firm.signoff.revise(ticket, by="ana", args={"to": "eve"})
    run = firm.resume()
    assert (run.status, run.tickets[0].args) == ("pending_approval", {"to": "<eve>"}), "parsed, it is another call"
    assert firm.approve_all().status == "completed"
    assert firm.effects == ["send <eve> call-0-0"], "parsed once"


def test_a_decision_on_record_holds_when_the_policy_is_tightened(firm: Agency) -> None:
    firm.hire([SEND, "done"])
    firm.signoff.revise(firm.run().tickets[0], by="ana", args={"to": "eve"})
    firm.hire([SEND, "done"], policy="version: 1\ntools: {send: deny}")
    assert firm.resume().status == "completed"
    firm.assert_ends(Expect(["send eve 5.0"], ["executed"], "A reviewer changed the call"))


# Notes on edited results -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [[{"type": "text", "text": "wrote"}], [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": "u"}], []],
    ids=["text", "mixed", "empty"],
)
def test_the_note_of_an_edit_stands_beside_the_blocks_of_a_result(firm: Agency, content: list[Any]) -> None:
    def send(to: str, call_id: Annotated[str, InjectedToolCallId]) -> ToolMessage:
        """Sends."""
        return ToolMessage(content, tool_call_id=call_id, name="send")

    firm.hire([[("send", {"to": "bob"})], "done"], tools=[firm.tool("send", send)])
    firm.signoff.revise(firm.run().tickets[0], by="ana", args={"to": "eve"})
    assert firm.resume().status == "completed"
    note = {"type": "text", "text": '(A reviewer changed the call; it ran with {"to": "eve"}.)'}
    assert firm.told()[0].content == [*content, note]


def test_the_note_of_an_edit_is_in_a_commands_own_message_only(firm: Agency) -> None:
    def send(to: str, call_id: Annotated[str, InjectedToolCallId]) -> Command:
        """Sends."""
        words = AIMessage("other")
        return Command(update={"messages": [ToolMessage("wrote", tool_call_id=call_id), words]})

    firm.hire([[("send", {"to": "bob"})], "done"], tools=[firm.tool("send", send)])
    firm.signoff.revise(firm.run().tickets[0], by="ana", args={"to": "eve"})
    run = firm.resume()
    told, other = run.output["messages"][2:4]
    assert told.text.startswith("wrote\n(A reviewer changed the call")
    assert other.text == "other"


def test_the_note_of_an_edit_is_not_repeated_by_whoever_tries_again(firm: Agency) -> None:
    retry = ToolRetryMiddleware(max_retries=2, initial_delay=0)
    for thread, place in (("t", "before"), ("u", "after")):
        firm.hire([SEND, "done"], **{place: [retry]})
        firm.signoff.revise(firm.run(thread=thread).tickets[0], by="ana", args={"to": "eve"})
        firm.resume(thread=thread)
        assert firm.told(thread)[0].text.count("A reviewer changed the call") == 1


def test_a_tool_that_is_tried_again_is_not_asked_about_again(firm: Agency) -> None:
    """LangChain's runs it twice under one approval; here it runs once, and whoever tries again gets the same error."""
    retry = ToolRetryMiddleware(max_retries=2, initial_delay=0)
    firm.hire([SEND, "done"], tools=[firm.failing(ConnectionError("mail server unavailable"))], after=[retry])
    firm.run()
    assert firm.approve_all().status == "completed"
    firm.assert_ends(Expect(ONCE, ["failed"], "failed after 3 attempts"))


# Several calls -----------------------------------------------------------------------------------------------------------------


def test_calls_that_wait_and_calls_that_need_not_keep_their_order(firm: Agency) -> None:
    firm.hire([FIVE, "done"], tools=five(firm), policy=POLICY)
    assert firm.run().status == "pending_approval"
    assert firm.effects == ["a 1", "c 3", "e 5"], "a call that is not reviewed does not wait"
    assert firm.approve_all().status == "completed"
    assert firm.effects == ["a 1", "b 2", "c 3", "d 4", "e 5"], "nothing ran twice"
    assert [name for name, _, _ in proposals(firm)] == list("abcde")
    assert firm.answers() == {f"call-0-{n}": f"{name} gave {n + 1}" for n, name in enumerate("abcde")}


def test_mixed_decisions_each_reach_their_own_call(firm: Agency) -> None:
    firm.hire([FIVE, "done"], tools=five(firm), policy=POLICY)
    firm.run()
    firm.signoff.revise(pending(firm, "b"), by="ana", args={"val": 200})
    firm.signoff.reject(pending(firm, "d"), by="cem", reason="Rejected tool D")
    assert firm.resume().status == "completed"
    assert firm.effects == ["a 1", "b 200", "c 3", "e 5"]
    assert proposals(firm)[1] == ("b", {"val": 2}, "call-0-1")
    answers = firm.answers()
    assert answers["call-0-1"].startswith("b gave 200\n(A reviewer changed the call")
    assert answers["call-0-3"].startswith("d was not run: rejected by cem: Rejected tool D")
    assert [message.status for message in firm.told() if message.tool_call_id == "call-0-3"] == ["error"]


def test_an_approval_beside_an_answer_in_words(firm: Agency) -> None:
    firm.hire([FIVE, "done"], tools=five(firm), policy=POLICY)
    firm.run()
    firm.signoff.approve(pending(firm, "b"), by="ana")
    firm.signoff.revise(pending(firm, "d"), by="ana", feedback="blue")
    assert firm.resume().status == "completed"
    assert firm.effects == ["a 1", "b 2", "c 3", "e 5"]
    assert "blue" in firm.answers()["call-0-3"]


def test_several_edits_at_once(firm: Agency) -> None:
    firm.hire([FIVE, "done"], tools=five(firm), policy=POLICY)
    firm.run()
    for name in "bd":
        firm.signoff.revise(pending(firm, name), by="ana", args={"val": 7})
    assert firm.resume().status == "completed"
    assert firm.effects == ["a 1", "b 7", "c 3", "d 7", "e 5"]


def test_decisions_may_come_one_by_one(firm: Agency) -> None:
    firm.hire([FIVE, "done"], tools=five(firm), policy=POLICY)
    firm.run()
    first, second = firm.state().interrupts
    assert first.id != second.id
    firm.signoff.approve(pending(firm, "d"), by="ana")
    assert firm.resume().status == "pending_approval"
    assert firm.effects == ["a 1", "c 3", "d 4", "e 5"]
    assert len(firm.state().interrupts) == 1
    assert firm.approve_all().status == "completed"
    assert firm.effects == ["a 1", "b 2", "c 3", "d 4", "e 5"]


@pytest.mark.parametrize("second", ["e2", ""])
def test_the_same_tool_twice_gets_two_decisions(firm: Agency, second: str) -> None:
    calls = [{"name": "send", "args": {"to": "bob"}, "id": id_} for id_ in ("e1", second)]
    firm.hire([AIMessage("", tool_calls=calls), "done"])
    run = firm.run()
    assert len(run.tickets) == 2
    by_call = {firm.signoff.desk.case(ticket.id).action["call_id"]: ticket for ticket in run.tickets}
    firm.signoff.approve(by_call["e1"], by="ana")
    firm.signoff.reject(by_call[second], by="ana")
    assert firm.resume().status == "completed"
    assert firm.effects == list(ONCE)
    statuses = {message.tool_call_id: message.status for message in firm.told()}
    assert statuses == {"e1": "success", second: "error"}


@pytest.mark.parametrize("decisions", [[], [{"type": "approve"}] * 2, [{"type": "unknown"}], [{"type": "approve"}]])
def test_too_few_too_many_and_well_formed_answers_to_a_pause_are_knocks(firm: Agency, decisions: list[Any]) -> None:
    firm.hire([SEND, "done"])
    firm.run()
    firm.invoke(Command(resume={"decisions": decisions}))
    assert firm.effects == []
    assert firm.approve_all().status == "completed"
    firm.assert_ends(Expect(ONCE, ["executed"], SENT))


def test_a_call_id_that_comes_again_does_not_bring_an_earlier_edit_back(firm: Agency) -> None:
    turns = [
        AIMessage("", tool_calls=[{"name": name, "args": args, "id": "1"}])
        for name, args in (("send", {"to": "bob"}), ("look", {"x": 1}), ("send", {"to": "bob"}))
    ]
    firm.hire([*turns, "done"])
    firm.signoff.revise(firm.run().tickets[0], by="ana", args={"to": "eve"})
    assert firm.resume().status == "pending_approval"
    assert firm.effects == ["look 1", "send eve 5.0"]
    assert firm.told()[-1].text == "saw 1"
    assert firm.approve_all().status == "completed"
    assert firm.effects == ["look 1", "send bob 5.0", "send eve 5.0"]


# What a reviewer is shown, and when ----------------------------------------------------------------------------------------------


def test_a_pause_shows_the_call_and_what_may_be_said_of_it(firm: Agency) -> None:
    firm.hire([SEND, "done"], policy="version: 1\ntools: {send: {otherwise: review, describe: 'Pay {args.to}?'}}")
    firm.run()
    [pause] = firm.state().interrupts
    [request], [config] = pause.value["action_requests"], pause.value["review_configs"]
    assert (request["name"], request["args"]) == ("send", {"to": "bob", "amount": 5.0})
    assert request["description"].startswith("Pay bob?")
    assert config == {"action_name": "send", "allowed_decisions": ["approve", "edit", "reject"]}


@pytest.mark.parametrize(
    ("describe", "shown"), [("Static words", "Static words"), ("{tool} {args.amount} to {args.to}", "send 5.0 to bob")]
)
def test_a_description_is_written_once_or_made_of_the_call(firm: Agency, describe: str, shown: str) -> None:
    firm.hire([SEND, "done"], policy=f"version: 1\ntools: {{send: {{otherwise: review, describe: '{describe}'}}}}")
    assert firm.run().tickets[0].description == shown


def test_what_a_reviewer_sees_may_be_computed_from_the_call_and_the_messages(firm: Agency) -> None:
    def resource(call: Any) -> str:
        return f"account of {call['args']['to']}"

    def trigger(messages: Any) -> str:
        return f"{len(messages)} messages, the first says {messages[0].text}"

    firm.hire([SEND, "done"], gate={"resource": resource, "trigger": trigger, "confidence": lambda call: 0.7})
    [ticket] = firm.run().tickets
    assert (ticket.resource, ticket.trigger, ticket.confidence) == (
        "account of bob",
        "2 messages, the first says go",
        0.7,
    )


WHEN = """
version: 1
tools:
  send:
    rules: [{when: 'args.amount < 10', then: allow}]
    otherwise: review
  look: {rules: [{when: 'true', then: allow}], otherwise: review}
"""


def test_a_rule_tells_calls_of_one_tool_apart(firm: Agency) -> None:
    calls = [("send", {"to": "bob", "amount": 50}), ("send", {"to": "eve", "amount": 5}), ("look", {"x": 1})]
    firm.hire([calls, "done"], policy=WHEN)
    [ticket] = firm.run().tickets
    assert ticket.args == {"to": "bob", "amount": 50.0}
    assert firm.effects == ["look 1", "send eve 5.0"], "what a rule lets through does not wait"
    assert firm.approve_all().status == "completed"
    assert firm.effects == ["look 1", "send bob 50.0", "send eve 5.0"]
    assert [args for _, args, _ in proposals(firm)] == [args for _, args in calls]


def test_a_rule_sees_the_call_its_thread_and_whom_it_is_for(firm: Agency) -> None:
    rule = 'tool == "send" && args.to == "bob" && args.amount == 5 && thread == "t" && requester == "cem" && actor == "clerk"'
    firm.hire(
        [SEND, "done"],
        policy=f"version: 1\ntools: {{send: {{rules: [{{when: '{rule}', then: allow}}], otherwise: review}}}}",
        signoff={"requester": lambda runtime: "cem"},
        gate={"agent": "clerk"},
    )
    assert firm.run().status == "completed"
    assert firm.run(thread="u").status == "pending_approval"


def test_a_decision_counts_for_what_was_seen_only(firm: Agency) -> None:
    firm.hire([SEND, "done"])
    [seen] = firm.run().tickets
    firm.signoff.revise(seen, by="ana", args={"to": "eve"})
    with pytest.raises((NotWhatYouSaw, TicketClosed)):
        firm.signoff.approve(seen, by="cem")

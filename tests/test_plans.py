"""Plans in a graph: steps that one approval lets run, and everything else that still asks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import StructuredTool, tool
from pydantic import BaseModel, Field, ValidationError

from cli_support import Desk
from langgraph_signoff import (
    Advice,
    GraphRefused,
    NotAllowedToDecide,
    Policy,
    RevisionRefused,
    Run,
    Standing,
    Ticket,
    TicketClosed,
    UngatedCall,
)
from langgraph_signoff.cards import ticket_html
from langgraph_signoff.nodes.payload import pause
from langgraph_signoff.nodes.plan_tool import plan_tool
from langgraph_signoff.nodes.schema import ToolSchema
from langgraph_signoff.plan_text import step_text
from langgraph_signoff.planning import rule
from langgraph_signoff.vocabulary import Counts, Fallback
from payments import Payments
from support import NOW, agent, opening

POLICY = """
version: 1
vars: {blocked: [mallory]}
tools:
  look: allow
  drop: deny
  propose_plan: review
  pay:
    risk: {reversible: false, stakes: high}
    redact: [args.pin]
    rules:
      - {when: "args.to in vars.blocked", then: deny, reason_code: blocked}
      - {when: "args.amount > 1000.0", then: deny, reason_code: too_much}
"""

PAY = {"tool": "pay", "args": {"to": "bob", "amount": 5}}
FEW = {"tool": "pay", "args": {"to": {"one_of": ["ana", "cem"]}, "amount": {"at_most": 50}, "pin": {"any": True}}}


def plan(*steps: dict[str, Any], **more: Any) -> list[tuple[str, dict[str, Any]]]:
    """The line of a model that proposes a plan of these steps."""
    return [("propose_plan", {"steps": list(steps), **more})]


def pay(to: str = "bob", amount: float = 5.0, **more: Any) -> tuple[str, dict[str, Any]]:
    return ("pay", {"to": to, "amount": amount, **more})


class Bank(Payments):
    """An agent that may plan what it pays."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        super().__init__(folder, stack, POLICY)

    def open(self, script: Sequence[Any], *, policy: str | None = None, **options: Any) -> None:
        self.signoff = self.new_signoff(policy, **options)
        tools = [self.pay, self.look, self.drop]
        everything = [*tools, self.signoff.plan(tools)]
        self.graph = self._stack.enter_context(
            agent(self.signoff, everything, script, threads=self.folder / "threads.db")
        )

    def run(self, text: str = "go", *, thread: str = "t") -> Run:
        return self.signoff.run(self.graph, {"messages": [("user", text)]}, thread_id=thread)

    def resume(self, *, thread: str = "t") -> Run:
        return self.signoff.resume(self.graph, thread_id=thread)

    def approved(self, *lines: Any, by: str = "ana", **options: Any) -> Run:
        """Runs a script that begins with a plan, approves that, and goes on."""
        self.open(lines, **options)
        run = self.run()
        self.signoff.approve(run.tickets[0], by=by)
        return self.resume()

    @property
    def plan(self) -> Ticket:
        return self.tickets("propose_plan")[-1]

    def tickets(self, tool: str | None = None) -> list[Ticket]:
        opened = (entry for _, entry in self.signoff.ledger.scan() if entry.kind == "opened")
        return [self.signoff.ticket(entry.stream) for entry in opened if tool in (None, entry.body["tool"])]

    def told(self, run: Run) -> list[str]:
        return [message.text for message in run.output["messages"] if isinstance(message, ToolMessage)]


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    with ExitStack() as stack:
        yield Bank(tmp_path, stack)


def asked(run: Run) -> list[tuple[str, dict[str, Any], str]]:
    """What a run waits for: tool, arguments, why."""
    return [(ticket.tool, ticket.args, ticket.reason_code) for ticket in run.tickets]


# What runs and what asks --------------------------------------------------------------------------------------------------


def test_approved_steps_run_without_asking_and_everything_else_asks(bank: Bank) -> None:
    run = bank.approved(
        plan(PAY, {**FEW, "times": 2}),
        [pay("bob")],
        [pay("ana", 50, pin="1234")],
        [pay("cem", 7)],
        [pay("cem", 8)],
    )
    assert bank.paid == [("bob", 5), ("ana", 50), ("cem", 7)]
    assert asked(run) == [("pay", {"to": "cem", "amount": 8, "pin": "•••"}, "default_review")]
    assert [(use.step, use.ticket) for use in bank.plan.uses] == [
        (place, ticket.id) for place, ticket in zip([1, 2, 2], bank.tickets("pay"), strict=False)
    ]
    for ticket in bank.tickets("pay")[:3]:
        assert (ticket.reason_code, ticket.planned.plan, ticket.approved_by) == ("planned", bank.plan.id, ("ana",))
        assert ticket.risk.stakes == "high"
        assert ticket.args["pin"] == "•••"
    assert bank.signoff.verify().broken == []


def test_the_model_is_told_until_when_its_plan_stands(bank: Bank) -> None:
    run = bank.approved(plan(PAY, valid_for="2h"), "ok")
    [told] = bank.told(run)
    assert told.startswith("The plan stands until 2026-03-02 11:30:00 UTC.")
    assert bank.plan.due_at == bank.clock.now + timedelta(hours=2)


@pytest.mark.parametrize(
    "call",
    [
        pay("eve"),
        pay("ana", 50.01),
        pay("ana", -float("inf")),
        pay("ana", float("nan")),
        pay("Ana", 5),
        pay("bob", 5.5),
    ],
    ids=str,
)
def test_a_call_beside_the_steps_asks(bank: Bank, call: Any) -> None:
    run = bank.approved(plan(PAY, FEW, ordered=False), [call])
    assert run.status == "pending_approval"
    assert bank.paid == []
    assert bank.plan.uses == ()


def test_an_argument_that_the_step_does_not_name_must_not_be_given(bank: Bank) -> None:
    run = bank.approved(plan(PAY), [pay("bob", 5, pin="4321")])
    assert run.status == "pending_approval"
    assert bank.paid == []


def test_defaults_are_part_of_the_plan_as_they_are_of_the_call(bank: Bank) -> None:
    bank.open([plan({"tool": "pay", "args": {"to": "bob"}}), [("pay", {"to": "bob"})], [pay("bob", 5.0)]])
    ticket = bank.run().tickets[0]
    assert ticket.args["steps"][0]["args"] == {"to": "bob", "amount": 5.0, "pin": "•••"}
    bank.signoff.approve(ticket, by="ana")
    assert bank.resume().status == "pending_approval"
    assert bank.paid == [("bob", 5)]


@pytest.mark.parametrize("ordered", [True, False])
def test_steps_out_of_their_order_ask_unless_the_plan_has_none(bank: Bank, ordered: bool) -> None:
    run = bank.approved(plan(PAY, FEW, ordered=ordered), [pay("ana", 1)], "ok")
    assert run.status == ("pending_approval" if ordered else "completed")
    assert bank.paid == ([] if ordered else [("ana", 1)])


@pytest.mark.parametrize(("x", "status"), [(1, "completed"), (2, "pending_approval")])
def test_a_step_that_the_policy_lets_run_anyway_keeps_its_place_in_the_order(bank: Bank, x: int, status: str) -> None:
    run = bank.approved(plan({"tool": "look", "args": {"x": 1}}, PAY), [("look", {"x": x})], [pay()], "ok")
    assert run.status == status
    assert "saw" in bank.told(run)[1], "the policy lets it run, planned or not"
    assert bank.paid == ([("bob", 5)] if x == 1 else [])


def test_calls_that_the_policy_allows_leave_no_record_where_nobody_plans(tmp_path: Path) -> None:
    with ExitStack() as stack:
        bank = Bank(tmp_path, stack)
        graph = stack.enter_context(agent(bank.signoff, [bank.look], [[("look", {"x": 1})], "ok"]))
        bank.signoff.run(graph, {"messages": [("user", "go")]}, thread_id="t")
        assert bank.signoff.ledger.last() == 0


def test_a_step_after_one_that_failed_asks(bank: Bank) -> None:
    def fail(to: str, amount: float = 5.0, pin: str = "none") -> str:
        raise ConnectionError("the bank does not answer")

    bank.pay = fail  # type: ignore[method-assign]  # the same tool on a bad day
    bank.pay.__name__, bank.pay.__doc__ = "pay", "Pays."
    bank.open([plan(PAY, FEW), [pay()], [pay("ana", 1)]])
    bank.signoff.approve(bank.run().tickets[0], by="ana")
    assert bank.resume().status == "failed"
    run = bank.resume()
    assert asked(run) == [("pay", {"to": "ana", "amount": 1, "pin": "•••"}, "default_review")]
    assert [use.step for use in bank.plan.uses] == [1]


# A person, and no less ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry",
    [
        "propose_plan: allow",
        "propose_plan: {otherwise: {then: allow, once: true}}",
        "propose_plan: {rules: [{then: allow}]}",
        '"propose_*": allow',
        "nothing: review",
    ],
)
def test_no_policy_lets_a_plan_run_without_a_person(bank: Bank, entry: str) -> None:
    bank.open([plan(PAY), [pay()]], policy=f"version: 1\ntools:\n  {entry}\n")
    [ticket] = bank.run().tickets
    assert (ticket.tool, ticket.kind, ticket.reason_code) == ("propose_plan", "plan", "plan")
    assert bank.resume().status == "pending_approval"
    assert bank.paid == []


def test_supervision_by_outcome_puts_no_plan_off() -> None:
    policy = Policy.parse(
        "version: 1\nsupervision: strategic\ntools: {propose_plan: {risk: {reversible: true}}, look: {risk: {reversible: true}}}"
    )
    proposed = opening({"steps": [{"tool": "look", "args": {"x": 1}}]}, kind="plan", tool="propose_plan").action
    assert policy.rule(proposed, now=NOW).at_the_end
    ruling = rule(policy, proposed, now=NOW, history=Counts())
    assert (ruling.mode, ruling.at_the_end, ruling.audit) == ("review", False, None)


@pytest.mark.parametrize(
    ("steps", "step"),
    [
        ([PAY, {"tool": "drop", "args": {"x": {"any": True}}}], "step 2, drop: the policy denies it (denied)"),
        ([{"tool": "pay", "args": {"to": "mallory"}}], "step 1, pay: the policy denies it (blocked)"),
    ],
)
def test_a_plan_with_a_step_that_the_policy_denies_is_denied_with_its_reason(
    bank: Bank, steps: list[dict[str, Any]], step: str
) -> None:
    bank.open([plan(*steps), "ok"])
    run = bank.run()
    assert run.status == "completed"
    assert f"the policy does not permit this call ({step})" in bank.told(run)[0]
    assert (bank.plan.standing, bank.plan.reason_code, bank.plan.detail) == (Standing.DENIED, "step_denied", step)


def test_a_denial_comes_before_a_plan(bank: Bank) -> None:
    wide = {"tool": "pay", "args": {"to": {"any": True}, "amount": {"any": True}, "pin": {"any": True}}, "times": 9}
    run = bank.approved(plan(wide), [pay("mallory", 1), pay("bob", 1001), pay("bob", 1)], "ok")
    assert run.status == "completed"
    assert bank.paid == [("bob", 1)]
    assert [(use.step) for use in bank.plan.uses] == [1]


STRICT = """
version: 1
people: {ana: {groups: [finance]}, cem: {groups: [finance]}, eve: {}}
queues: {money: {owner: ana, reviewers: ["group:finance"], use_within: 30m, window: 2h, reason: required, backup: [ana]}}
tools:
  look: review
  propose_plan: allow
  pay:
    rules: [{when: "args.amount > 100.0", then: review, queue: money, approvals: 2, reason_code: large}]
    otherwise: {then: review, queue: money}
"""


def test_a_plan_asks_for_as_much_as_the_strictest_of_its_steps(bank: Bank) -> None:
    bank.open([plan({"tool": "look", "args": {"x": 1}}, {**FEW}, valid_for="2h")], policy=STRICT)
    [ticket] = bank.run().tickets
    needs = ticket.requirements
    assert (needs.queue, needs.approvals, needs.reviewers) == ("money", 2, (("group:finance",),))
    assert (needs.use_within, needs.window, needs.reason) == (timedelta(minutes=30), timedelta(hours=2), "required")
    assert "within 30m of the approval" in ticket.description
    with pytest.raises(NotAllowedToDecide):
        bank.signoff.approve(ticket, by="eve", reason="please")


def test_silence_on_a_plan_calls_nothing_that_silence_on_a_step_would_call(bank: Bank) -> None:
    calls = "on_timeout: {tool: look, args: {x: '{args.amount}'}}"
    policy = f"version: 1\ntools: {{look: allow, pay: {{otherwise: {{then: review, {calls}}}}}}}\n"
    bank.open([plan(PAY), [pay("cem", 7)]], policy=policy)
    [proposed] = bank.run().tickets
    assert proposed.requirements.on_timeout == "deny"
    bank.signoff.reject(proposed, by="ana")
    [asked_apart] = bank.resume().tickets
    assert asked_apart.requirements.on_timeout == Fallback(tool="look", args={"x": "{args.amount}"})


def test_an_exact_step_asks_for_what_that_very_call_would_ask_for(bank: Bank) -> None:
    bank.open([plan({"tool": "pay", "args": {"to": "bob", "amount": 5}})], policy=STRICT)
    assert bank.run().tickets[0].requirements.approvals == 1


def test_a_plan_whose_steps_nobody_may_decide_together_is_denied(bank: Bank) -> None:
    policy = """
version: 1
people: {ana: {groups: [finance]}, cem: {groups: [law]}}
queues: {money: {owner: ana, reviewers: ["group:finance"], backup: [ana]}, words: {owner: cem, reviewers: ["group:law"], backup: [cem]}}
tools:
  propose_plan: review
  pay: {otherwise: {then: review, queue: money}}
  look: {otherwise: {then: review, queue: words}}
"""
    bank.open([plan(PAY, {"tool": "look", "args": {"x": 1}}), "ok"], policy=policy)
    run = bank.run()
    assert bank.plan.standing is Standing.DENIED
    assert "too few people may decide all of its steps; propose them apart" in bank.told(run)[0]


def test_a_plan_does_not_stand_in_for_an_approval_that_asks_for_more(bank: Bank) -> None:
    bank.approved(plan(PAY, {**PAY, "times": 3}), "ok")
    bank.open(
        [plan(PAY), "ok", [pay()], "ok"],
        policy=POLICY.replace("    rules:", "    otherwise: {then: review, approvals: 2}\n    rules:"),
    )
    run = bank.run("and now?")
    assert asked(run)[0][0] == "pay"
    assert run.tickets[0].requirements.approvals == 2
    assert bank.paid == []


def test_secrets_of_the_steps_are_masked_wherever_the_plan_is_shown(bank: Bank) -> None:
    secret = {"tool": "pay", "args": {"to": "bob", "pin": {"one_of": ["98761234", "98765678"]}, "amount": 5}}
    bank.open([plan(secret), "ok"])
    run = bank.run()
    [ticket] = run.tickets
    desk = bank.signoff.desk
    shown = [str(ticket), ticket_html(ticket), ticket.model_dump_json(), str(pause([desk.case(ticket.id)]))]
    bank.signoff.approve(ticket, by="ana")
    bank.resume()
    for text in [*shown, str(bank.plan), *map(str, bank.signoff.watch(after=0).__next__().values())]:
        assert "9876" not in text
    assert 'pin="•••" or "•••"' in shown[0]


@pytest.mark.parametrize(
    ("pattern", "shown"),
    [
        ("9876", '"•••"'),
        ({"exactly": "9876"}, '"•••"'),
        ({"any": True}, "anything"),
        ({"like": "9876*"}, 'like "•••"'),
        ({"one_of": ["9876", "9877"]}, '"•••" or "•••"'),
        ({"at_least": 1, "at_most": 9876}, '"•••" to "•••"'),
    ],
)
def test_a_secret_argument_that_may_be_anything_is_not_shown_as_one_value(bank: Bank, pattern: Any, shown: str) -> None:
    bank.open([plan({"tool": "pay", "args": {"to": "bob", "amount": 5, "pin": pattern}}), "ok"])
    [ticket] = bank.run().tickets
    assert f"pin={shown}" in str(ticket)
    assert f"pin={shown}" in pause([bank.signoff.desk.case(ticket.id)])["action_requests"][0]["description"]
    assert "9876" not in str(ticket) + ticket.model_dump_json() + ticket_html(ticket)
    bank.signoff.revise(ticket, by="ana", args={**ticket.args, "ordered": False})
    kept = bank.signoff.desk.case(ticket.id).parsed["steps"][0]["args"]["pin"]
    assert kept in (pattern, "9876")


# Proposals that are none --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([{"tool": "pay", "args": {"to": {"atmost": 5}}}], "to: an object with atmost is no pattern"),
        ([{"tool": "send", "args": {}}], "Input should be 'pay', 'look' or 'drop'"),
        ([{"tool": "propose_plan", "args": {}}], "Input should be 'pay', 'look' or 'drop'"),
        ([{"tool": "pay", "args": {"to": "bob", "whom": "eve"}}], "pay takes no whom"),
        ([{"tool": "pay", "args": {"amount": 5}}], "pay does not take these arguments"),
        ([{"tool": "pay", "args": {"amount": {"at_most": 5}}}], "pay needs to; say of each argument what it will be"),
        ([{"tool": "pay", "args": {"to": "bob", "amount": "much"}}], "pay does not take these arguments"),
        ([{"tool": "pay", "args": {"to": "bob"}, "times": 0}], "greater than or equal to 1"),
        ([], "at least 1 item"),
    ],
)
def test_a_mistake_in_a_plan_is_answered_to_the_model_and_asks_nobody(
    bank: Bank, steps: list[dict[str, Any]], words: str
) -> None:
    bank.open([plan(*steps), "ok"])
    run = bank.run()
    assert run.status == "completed"
    assert words in bank.told(run)[0]
    assert bank.tickets() == []


def test_steps_know_defaults_of_every_kind_and_want_to_hear_of_those_that_are_another_each_time() -> None:
    numbers = itertools.count()

    class Letter(BaseModel):
        to: str
        copies: list[str] = Field(default_factory=list)
        day: date = date(2026, 1, 2)
        number: int = Field(default_factory=lambda: next(numbers))

    @tool(args_schema=Letter)
    def send(**letter: Any) -> str:
        """Sends."""
        return "sent"

    listed = {
        "name": "search",
        "description": "Searches.",
        "args_schema": {"type": "object", "properties": {"q": {}, "n": {"default": 5}}, "required": ["q"]},
    }
    search = StructuredTool.from_function(func=lambda **given: "found", **listed)
    made = plan_tool([send, search], None)  # type: ignore[arg-type]  # it is not run
    schema = ToolSchema(made)

    def steps(*args: dict[str, Any]) -> list[dict[str, Any]]:
        parsed = schema.parse({"steps": [{"tool": tool, "args": given} for tool, given in args]})
        return [step["args"] for step in parsed["steps"]]

    with pytest.raises(ValidationError, match="send needs copies, number; say of each argument"):
        steps(("send", {"to": "bob"}))
    [found] = steps(("send", {"to": {"any": True}, "copies": [], "number": {"any": True}}))
    assert found == {"to": {"any": True}, "copies": [], "day": "2026-01-02", "number": {"any": True}}
    # A tool of an MCP server gets what it is given: its defaults are its own.
    assert steps(("search", {"q": {"like": "a-*"}})) == [{"q": {"like": "a-*"}}]
    with pytest.raises(ValidationError, match="search needs q"):
        steps(("search", {"n": {"any": True}}))


def test_a_tool_that_always_asks_is_no_step(bank: Bank) -> None:
    own = bank.signoff.plan([bank.pay])
    with pytest.raises(GraphRefused, match="propose_plan always asks a person"):
        bank.signoff.plan([bank.pay, own])
    with pytest.raises(GraphRefused, match="name them"):
        bank.signoff.plan([])


def test_a_plan_tool_outside_of_its_gate_is_refused(bank: Bank) -> None:
    with pytest.raises(UngatedCall):
        bank.signoff.plan([bank.pay]).invoke({"steps": [PAY]})


# Decisions other than yes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["reject", "send back", "expire", "lapse"])
def test_a_plan_that_is_not_approved_permits_nothing(bank: Bank, end: str) -> None:
    bank.open([plan(PAY), [pay()], "ok"])
    [ticket] = bank.run().tickets
    match end:
        case "reject":
            bank.signoff.reject(ticket, by="ana")
        case "send back":
            bank.signoff.revise(ticket, by="ana", feedback="smaller")
        case "lapse":
            bank.signoff.approve(ticket, by="ana")
    bank.clock.advance(hours=25 if end in ("expire", "lapse") else 0)
    run = bank.resume()
    assert asked(run)[0][0] == "pay"
    assert bank.paid == []


def test_a_plan_that_was_sent_back_may_be_proposed_again(bank: Bank) -> None:
    bank.open([plan(PAY, FEW), plan(PAY), [pay()], "ok"])
    bank.signoff.revise(bank.run().tickets[0], by="ana", feedback="only bob")
    [ticket] = bank.resume().tickets
    assert ticket.previous
    assert ticket.difference == ({"op": "remove", "path": "/steps/1"},)
    bank.signoff.approve(ticket, by="ana")
    assert bank.resume().status == "completed"
    assert bank.paid == [("bob", 5)]


def test_a_reviewer_edits_the_steps_and_the_edited_plan_stands(bank: Bank) -> None:
    open_policy = POLICY.replace("    redact: [args.pin]\n", "")
    bank.open([plan(PAY, {**PAY, "times": 9}), [pay()], [pay()], "ok"], policy=open_policy)
    [ticket] = bank.run().tickets
    first = ticket.args["steps"][0]
    revised = bank.signoff.revise(ticket, by="ana", args={"steps": [first], "valid_for": "5m"})
    assert revised.standing is Standing.APPROVED
    run = bank.resume()
    assert "(A reviewer changed the call; it ran with" in bank.told(run)[0]
    assert bank.paid == [("bob", 5)]
    assert asked(run) == [("pay", {"to": "bob", "amount": 5, "pin": "none"}, "default_review")]
    assert bank.plan.due_at == bank.clock.now + timedelta(minutes=5)
    assert bank.signoff.verify().broken == []


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([{"tool": "pay", "args": {"to": {"atmost": 1}}}], "no pattern"),
        ([{"tool": "send", "args": {}}], "breaks `enum`"),
        ([{"tool": "pay", "args": {"to": "mallory"}}], "denies the edited call"),
        ([], "steps"),
        ("all of them", "steps"),
    ],
    ids=str,
)
def test_an_edit_that_is_no_plan_or_is_denied_is_refused(bank: Bank, steps: Any, words: str) -> None:
    bank.open([plan(PAY), [pay()], "ok"])
    [ticket] = bank.run().tickets
    with pytest.raises(RevisionRefused, match=words):
        bank.signoff.revise(ticket, by="ana", args={"steps": steps})
    assert bank.signoff.ticket(ticket.id) == ticket


def test_an_edit_never_makes_a_plan_easier_to_approve(bank: Bank) -> None:
    bank.open([plan({"tool": "look", "args": {"x": 1}}, FEW)], policy=STRICT)
    [ticket] = bank.run().tickets
    revised = bank.signoff.revise(ticket, by="ana", reason="less", args={"steps": [ticket.args["steps"][0]]})
    assert (revised.standing, revised.requirements.approvals) == (Standing.PENDING, 2)


# Doubt --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("advice", [Advice(mode="review"), "nonsense"], ids=str)
def test_an_advisor_who_wants_a_person_gets_one_whatever_was_planned(bank: Bank, advice: Any) -> None:
    doubt = lambda action, ruling: advice if action.tool == "pay" else None  # noqa: E731  # one line
    run = bank.approved(plan(PAY), [pay()], advisors=[doubt])
    assert asked(run)[0][0] == "pay"
    assert bank.paid == []
    assert bank.plan.uses == ()


def test_an_advisor_who_denies_is_heard_before_a_plan_and_one_who_notes_is_noted(bank: Bank) -> None:
    def advise(action: Any, ruling: Any) -> Any:
        if action.parsed.get("to") == "ana":
            return Advice(mode="deny", reason_code="fraud")
        return Advice(note="seen before")

    run = bank.approved(plan(PAY, FEW, ordered=False), [pay(), pay("ana", 1)], "ok", advisors=[advise])
    assert run.status == "completed"
    assert bank.paid == [("bob", 5)]
    assert [t.notes for t in bank.tickets("pay") if t.planned] == [("advise: seen before",)]


def test_a_rule_that_fails_asks_whatever_was_planned(bank: Bank) -> None:
    policy = POLICY + '      - {when: "args.pin > 5", then: deny}\n'
    run = bank.approved(plan(PAY), [pay()], policy=policy)
    assert asked(run)[0][2] == "policy_error"
    assert bank.paid == []


def test_a_call_that_was_rejected_is_not_run_by_a_plan_that_would_permit_it(bank: Bank) -> None:
    doubts = iter([Advice(mode="review")])
    doubt = lambda action, ruling: next(doubts, None) if action.tool == "pay" else None  # noqa: E731  # one line
    run = bank.approved(plan({**PAY, "times": 3}), [pay()], [pay()], "ok", advisors=[doubt])
    bank.signoff.reject(run.tickets[0], by="ana", reason="bob is on holiday")
    assert bank.resume().status == "completed"
    assert bank.paid == []
    assert [ticket.reason_code for ticket in bank.tickets("pay")] == ["default_review", "rejected_before"]


# Whose plan it is ---------------------------------------------------------------------------------------------------------


def test_a_plan_of_another_thread_permits_nothing(bank: Bank) -> None:
    bank.approved(plan(PAY), "ok")
    bank.open([[pay()], "ok"])
    assert bank.run(thread="other").status == "pending_approval"
    assert bank.paid == []


@pytest.mark.parametrize(
    ("name", "status"), [("payroll", "pending_approval"), ("desk", "completed"), ("LangGraph", "completed")]
)
def test_a_plan_of_one_graph_permits_nothing_to_another_in_its_thread(bank: Bank, name: str, status: str) -> None:
    bank.open([plan(PAY), "ok", [pay()], "ok"])
    desk, other = [{"metadata": {"graph_id": graph}} for graph in ("desk", name)]
    run = bank.signoff.run(bank.graph, {"messages": [("user", "go")]}, thread_id="t", config=desk)
    bank.signoff.approve(run.tickets[0], by="ana")
    bank.signoff.resume(bank.graph, thread_id="t", config=desk)
    run = bank.signoff.run(bank.graph, {"messages": [("user", "go on")]}, thread_id="t", config=other)
    assert run.status == status
    assert bank.paid == ([("bob", 5.0)] if status == "completed" else [])


def test_a_plan_for_one_requester_permits_nothing_for_another(bank: Bank) -> None:
    who = ["ana"]
    bank.open([plan(PAY), "ok", [pay()], "ok"], requester=lambda runtime: who[0])
    [ticket] = bank.run().tickets
    with pytest.raises(NotAllowedToDecide):
        bank.signoff.approve(ticket, by="ana")
    bank.signoff.approve(ticket, by="cem")
    bank.resume()
    who[0] = "cem"
    assert bank.run("and pay").status == "pending_approval"
    assert bank.paid == []


def test_a_plan_still_holds_when_the_person_at_the_keyboard_says_something_new(bank: Bank) -> None:
    bank.approved(plan({**PAY, "times": 2}), [pay()], "ok", [pay()], "ok")
    assert bank.run("once more").status == "completed"
    assert bank.paid == [("bob", 5), ("bob", 5)]


def test_of_two_plans_the_older_is_used_first(bank: Bank) -> None:
    bank.approved(plan(PAY), "ok", plan(PAY), "ok", [pay()], [pay()], [pay()])
    bank.clock.advance(minutes=1)
    bank.signoff.approve(bank.run("again").tickets[0], by="ana")
    bank.resume()
    run = bank.run("now pay")
    assert bank.paid == [("bob", 5), ("bob", 5)]
    older, newer = bank.tickets("propose_plan")
    assert [use.ticket for use in older.uses + newer.uses] == [ticket.id for ticket in bank.tickets("pay")[:2]]
    assert run.status == "pending_approval"


# The end ------------------------------------------------------------------------------------------------------------------


def test_a_plan_ends_when_its_time_is_over(bank: Bank) -> None:
    bank.approved(plan({**PAY, "times": 9}, valid_for="10m"), "ok", [pay()], "ok", [pay()], "ok")
    bank.clock.advance(minutes=9, seconds=59)
    assert bank.run("pay").status == "completed"
    bank.clock.advance(seconds=1)
    assert bank.run("pay").status == "pending_approval"
    assert bank.paid == [("bob", 5)]
    assert bank.plan.ended == "its time is over"
    assert bank.signoff.expire() == []
    assert bank.signoff.history(bank.plan)[-1].kind == "ended"
    assert bank.signoff.verify().broken == []


def test_a_withdrawn_plan_permits_nothing_from_then_on(bank: Bank) -> None:
    bank.approved(plan({**PAY, "times": 9}), [pay()], "ok", [pay()], "ok")
    ended = bank.signoff.withdraw(bank.plan, by="cem", reason="bob has left")
    assert (ended.standing, ended.ended, ended.due_at) == (Standing.EXECUTED, "withdrawn by cem: bob has left", None)
    assert bank.run("pay").status == "pending_approval"
    assert bank.paid == [("bob", 5)]
    with pytest.raises(TicketClosed):
        bank.signoff.withdraw(bank.plan, by="cem")
    assert bank.signoff.verify().broken == []


def test_who_is_unknown_cannot_withdraw_a_plan(bank: Bank) -> None:
    bank.open([plan({"tool": "pay", "args": {"to": "bob"}}), "ok"], policy=STRICT)
    bank.signoff.approve(bank.run().tickets[0], by="ana", reason="fine")
    bank.resume()
    with pytest.raises(NotAllowedToDecide):
        bank.signoff.withdraw(bank.plan, by="mallory")
    assert bank.plan.ended == ""


def test_an_erased_plan_permits_nothing_and_the_record_stays_whole(bank: Bank) -> None:
    bank.approved(plan({**PAY, "times": 9}), [pay()], "ok", [pay()], "ok")
    bank.signoff.erase(bank.plan, by="ana", reason="asked for it")
    assert bank.run("pay").status == "pending_approval"
    assert "(erased)" in str(bank.plan)
    assert bank.signoff.verify().broken == []


def test_a_halt_holds_planned_calls_too(bank: Bank) -> None:
    bank.approved(plan(PAY), "ok", [pay()], "ok")
    bank.signoff.halt(by="cem", tool="pay")
    assert bank.run("pay").status == "halted"
    assert bank.paid == []
    bank.signoff.release(by="cem", tool="pay")
    assert bank.resume().status == "completed"
    assert bank.paid == [("bob", 5)]


def test_a_planned_call_that_was_held_back_until_its_plan_was_over_asks(bank: Bank) -> None:
    bank.approved(plan(PAY, valid_for="10m"), "ok", [pay()], "ok")
    bank.signoff.halt(by="cem", tool="pay")
    bank.run("pay")
    bank.clock.advance(minutes=10)
    bank.signoff.release(by="cem", tool="pay")
    run = bank.resume()
    assert asked(run) == [("pay", {"to": "bob", "amount": 5, "pin": "•••"}, "no_longer_planned")]
    assert bank.paid == []
    assert run.tickets[0].planned is None
    bank.signoff.approve(run.tickets[0], by="ana")
    assert bank.resume().status == "completed"
    assert bank.paid == [("bob", 5)]
    assert bank.signoff.verify().broken == []


# How it reads -------------------------------------------------------------------------------------------------------------


def test_a_plan_reads_as_a_list_of_its_steps(bank: Bank) -> None:
    some = {"to": {"like": "acme-*"}, "amount": {"at_least": 1, "at_most": 50}}
    bank.open(
        [plan(PAY, FEW, {"tool": "look", "args": {"x": {"any": True}}, "times": 3}, {"tool": "pay", "args": some})]
    )
    text = str(bank.run().tickets[0])
    for line in (
        "what  A plan of 6 calls, one after the other, within 1h of the approval",
        'steps  1. pay(amount=5.0, pin="•••", to="bob")',
        '2. pay(amount=at most 50, pin=anything, to="ana" or "cem")',
        "3. 3 times: look(x=anything)",
        '4. pay(amount=1 to 50, pin="•••", to=like "acme-*")',
        "(any other call is asked about)",
        "risk  irreversible, high stakes",
    ):
        assert line in text


def test_a_name_that_a_model_chose_cannot_look_like_another_argument_or_step() -> None:
    text = step_text({"tool": "pay", "args": {'x=1)\n2. pay(to="ana", amount': 5, "größe": 6}, "times": 1})
    assert text == r'pay("x=1)\n2. pay(to=\"ana\", amount"=5, größe=6)'


def test_the_end_of_a_plan_wakes_no_thread(bank: Bank) -> None:
    bank.approved(plan(PAY), "ok")
    assert bank.signoff.threads_to_wake() == []
    bank.signoff.withdraw(bank.plan, by="ana")
    assert bank.signoff.threads_to_wake() == []


def test_the_command_shows_a_plan_its_uses_and_its_end(bank: Bank) -> None:
    bank.clock.now = bank.clock.now.__class__.now(bank.clock.now.tzinfo)
    bank.approved(plan({**PAY, "times": 2}), [pay()], "ok")
    desk, call = Desk(bank.folder), bank.tickets("pay")[0]
    shown = desk.run("show", bank.plan.id).out
    assert f"step 1 at {call.opened_at:%Y-%m-%d %H:%M:%S} UTC, by ticket {call.id[:12]}" in shown
    assert "stands  until" in shown
    assert f"plan  step 1 of plan {bank.plan.id[:12]}, approved by ana" in desk.run("show", call.id).out
    assert f"used  step 1 by ticket {call.id[:12]}" in desk.run("history", bank.plan.id).out
    said = desk.run("withdraw", bank.plan.id, "--as", "cem", "--reason", "enough").out
    assert "the plan stands no more: withdrawn by cem: enough" in said
    assert "ended by cem: enough" in desk.run("history", bank.plan.id).out


def test_a_pause_shows_the_steps_to_other_peoples_clients(bank: Bank) -> None:
    bank.open([plan(PAY)])
    [ticket] = bank.run().tickets
    [request] = pause([bank.signoff.desk.case(ticket.id)])["action_requests"]
    assert "one after the other, within 1h of the approval" in request["description"]
    assert '1. pay(amount=5.0, pin="•••", to="bob")' in request["description"]


def test_planned_is_a_reason_of_ours_alone() -> None:
    source = "version: 1\ntools: {pay: {otherwise: {then: review, reason_code: planned}}}"
    with pytest.raises(Exception, match="planned is what the policy itself says"):
        Policy.parse(source)

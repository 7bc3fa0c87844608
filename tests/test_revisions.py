"""An edit of the arguments: what it is held against, what it keeps, and what it never shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import StructuredTool, tool
from pydantic import BaseModel, Field, field_validator

from langgraph_signoff import NotAllowedToDecide, NotWhatYouSaw, Policy, RevisionRefused, Run, Signoff, Standing, Ticket
from langgraph_signoff.cli.history import lines_of
from langgraph_signoff.ledger import Query
from langgraph_signoff.masking import MASK
from langgraph_signoff.view import words_of
from support import agent

GO = {"messages": [("user", "go")]}


class World:
    """A graph of its own for each tool and policy, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.stack, self.folder, self.number = ExitStack(), folder, 0

    def ask(self, policy: str, work: Any, *calls: dict[str, Any]) -> list[Ticket]:
        """The tickets of one message that proposes these calls."""
        self.number += 1
        self.path = self.folder / f"ledger-{self.number}.db"
        self.signoff = self.stack.enter_context(closing(Signoff(self.path, policy=Policy.parse(policy))))
        name = getattr(work, "name", None) or work.__name__
        script = [[(name, args) for args in calls], "Done."]
        self.graph = self.stack.enter_context(agent(self.signoff, [work], script))
        return list(self.signoff.run(self.graph, GO, thread_id="t").tickets)

    def resume(self) -> Run:
        return self.signoff.resume(self.graph, thread_id="t")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    with made.stack:
        yield made


ran: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_has_run() -> None:
    ran.clear()


REVIEW = "version: 1\ntools: {remind: review, transfer: review, open: review}"


def pay(to: str, amount: int = 1) -> str:
    """Pays."""
    ran.append((to, amount))
    return "paid"


# Ruled again ---------------------------------------------------------------------------------------------------------------

ONE_LARGE = "version: 1\ntools: {pay: {rules: [{when: 'history.proposed.pay >= 2 && args.amount > 5', then: deny}]}}"


def test_an_edit_is_ruled_with_the_calls_that_stood_before_it_in_the_message(world: World) -> None:
    first, _, third = world.ask(ONE_LARGE, pay, *({"to": name, "amount": 3} for name in ("a", "b", "c")))
    with pytest.raises(RevisionRefused, match="denies"):
        world.signoff.revise(third, by="ana", args={"amount": 9})
    assert world.signoff.revise(first, by="ana", args={"amount": 9}).standing is Standing.APPROVED


PAYMENTS = """
version: 1
queues: {payments: {reviewers: [ana, bob, cem], window: 2h}}
tools:
  pay:
    rules: [{when: "args.to == 'known'", then: allow}]
    otherwise: {then: review, queue: payments, approvals: 2, priority: 3}
"""


def test_an_edit_to_what_the_policy_allows_stays_where_it_is_reviewed(world: World) -> None:
    [ticket] = world.ask(PAYMENTS, pay, {"to": "x"})
    revised = world.signoff.revise(ticket, by="ana", args={"to": "known"})
    assert (revised.standing, revised.requirements) == (Standing.PENDING, ticket.requirements)
    assert [t.id for t in world.signoff.pending(queue="payments")] == [ticket.id]


def test_an_edit_under_a_policy_that_hides_less_hides_what_was_hidden(world: World) -> None:
    [ticket] = world.ask(
        "version: 1\ntools: {pay: {otherwise: {then: review, approvals: 2}, redact: [args.to]}}", pay, {"to": "S3CRET"}
    )
    newer = Policy.parse("version: 1\ntools: {pay: {otherwise: review, redact: [args.amount]}}")
    with closing(Signoff(world.path, policy=newer)) as signoff:
        assert signoff.revise(ticket, by="ana", args={"amount": 2}).args == {"to": MASK, "amount": MASK}
        assert "S3CRET" not in signoff.pending()[0].model_dump_json()


def test_a_ticket_that_was_seen_before_two_edits_is_not_what_is_decided_although_they_cancel_out(world: World) -> None:
    [seen] = world.ask("version: 1\ntools: {pay: {otherwise: {then: review, approvals: 3}}}", pay, {"to": "x"})
    back = world.signoff.revise(world.signoff.revise(seen, by="bob", args={"to": "y"}), by="bob", args={"to": "x"})
    assert (back.generation, back.digest) == (3, seen.digest)
    for say in (world.signoff.approve, world.signoff.reject):
        with pytest.raises(NotWhatYouSaw, match="show it again"):
            say(seen, by="ana")
    assert world.signoff.approve(back, by="ana").decisions[-1].generation == 3
    # Whoever names the digest alone has said what they saw of the call.
    assert world.signoff.approve(back.id, by="cem", if_digest=seen.digest).standing is Standing.APPROVED


# Held against the schema ---------------------------------------------------------------------------------------------------


def remind(to: str, note: str = None) -> str:  # noqa: RUF013  # as people write it
    """Reminds."""
    ran.append((to, note))
    return "reminded"


class Scaled(BaseModel):
    to: str
    amount: int = Field(le=100)

    @field_validator("amount")
    @classmethod
    def cents(cls, euros: int) -> int:
        return euros * 100


@tool("transfer", args_schema=Scaled)
def transfer(to: str, amount: int) -> str:
    """Transfers."""
    ran.append((to, amount))
    return "transferred"


@pytest.mark.parametrize(
    ("work", "args", "runs"),
    [
        (remind, {"to": "bob"}, ("eve", None)),
        (transfer, {"to": "bob", "amount": 5}, ("eve", 500)),
    ],
    ids=["a default beside the type", "a validator that scales"],
)
def test_what_an_edit_leaves_alone_is_not_held_against_the_schema(
    world: World, work: Any, args: dict[str, Any], runs: tuple[Any, ...]
) -> None:
    [ticket] = world.ask(REVIEW, work, args)
    assert world.signoff.revise(ticket, by="ana", args={**ticket.args, "to": "eve"}).standing is Standing.APPROVED
    assert world.resume().status == "completed"
    assert ran == [runs]


def test_what_is_asked_again_because_it_parses_to_something_else_stays_in_its_queue(world: World) -> None:
    policy = """
version: 1
queues: {payments: {reviewers: [ana], priority: 2}}
tools: {transfer: {rules: [{when: args.amount == 300, then: allow}], otherwise: {then: review, queue: payments}}}
"""
    [ticket] = world.ask(policy, transfer, {"to": "bob", "amount": 5})
    world.signoff.revise(ticket, by="ana", args={"amount": 3})
    [again] = world.resume().tickets
    assert (again.args["amount"], again.reason_code) == (300, "arguments_changed")
    assert again.requirements == ticket.requirements


def test_what_an_edit_changes_is_held_against_the_schema(world: World) -> None:
    [ticket] = world.ask(REVIEW, transfer, {"to": "bob", "amount": 5})
    for edit, why in (({"amount": 101}, "amount 101"), ({"to": 5}, "to 5"), ({"memo": "x"}, "takes no argument memo")):
        with pytest.raises(RevisionRefused, match=why):
            world.signoff.revise(ticket, by="ana", args=edit)


@pytest.mark.parametrize(
    ("more", "refused"),
    [
        ({}, "takes no argument b"),
        ({"additionalProperties": False}, "takes no argument b"),
        ({"additionalProperties": True}, ""),
        ({"additionalProperties": {}}, ""),
        ({"additionalProperties": {"type": "integer"}}, ""),
        ({"additionalProperties": {"type": "string"}}, "b 1 is not"),
        ({"additionalProperties": True, "dependentRequired": {"b": ["c"]}}, "'c' is a dependency"),
    ],
)
def test_an_argument_the_schema_does_not_name_is_taken_if_it_takes_any(
    world: World, more: dict[str, Any], refused: str
) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, **more}
    work = StructuredTool.from_function(
        func=lambda **given: str(ran.append(given)), name="open", description="Opens.", args_schema=schema
    )
    [ticket] = world.ask(REVIEW, work, {"a": "x"})
    if refused:
        with pytest.raises(RevisionRefused, match=refused):
            world.signoff.revise(ticket, by="ana", args={"b": 1})
    else:
        assert world.signoff.revise(ticket, by="ana", args={"b": 1}).args == {"a": "x", "b": 1}


# Masked items --------------------------------------------------------------------------------------------------------------


def order(items: list[dict[str, Any]]) -> str:
    """Orders."""
    ran.append(items)
    return "ordered"


HIDDEN_ACCOUNTS = "version: 1\ntools: {order: {otherwise: review, redact: [args.items.*.acct]}}"
ACCOUNTS = [{"name": "bob", "acct": "B1"}, {"name": "eve", "acct": "E1"}]


@pytest.mark.parametrize(
    "edit",
    [
        [{"name": "bob", "acct": MASK}, {"name": "carol", "acct": MASK}],
        [{"name": "eve", "acct": MASK}, {"name": "bob", "acct": MASK}],
        [{"name": "bob", "acct": MASK}],
        [{"name": "bob", "acct": MASK, "more": [MASK]}, {"name": "eve", "acct": "E2"}],
    ],
    ids=["renamed", "reordered", "shortened", "extended"],
)
def test_a_masked_item_of_a_list_goes_to_nobody_but_the_one_it_was_shown_with(world: World, edit: Any) -> None:
    [ticket] = world.ask(HIDDEN_ACCOUNTS, order, {"items": ACCOUNTS})
    with pytest.raises(RevisionRefused, match="write it out"):
        world.signoff.revise(ticket, by="ana", args={"items": edit})
    assert len(world.signoff.history(ticket)) == 1


def test_an_item_of_a_list_that_is_as_it_was_shown_keeps_its_secret(world: World) -> None:
    [ticket] = world.ask(HIDDEN_ACCOUNTS, order, {"items": ACCOUNTS})
    edit = [{"name": "bob", "acct": MASK}, {"name": "carol", "acct": "C1"}]
    world.signoff.revise(ticket, by="ana", args={"items": edit})
    world.resume()
    assert ran == [[{"name": "bob", "acct": "B1"}, {"name": "carol", "acct": "C1"}]]


# What outcomes quote -------------------------------------------------------------------------------------------------------

HIDDEN_CARD = "version: 1\ntools: {charge: {otherwise: review, redact: [args.card, args.amount, args.keys]}}"
SECRETS = {"card": 'S3C"RÉT', "amount": 77123, "keys": {"a": ["k3y-1", "no"]}}


def charge_and_fail(card: str, amount: float, keys: dict[str, list[str]]) -> str:
    """Charges."""
    raise ValueError(f"no such card {card} / {card!r} / {json.dumps(card)} for {amount}, or {int(amount)}; {keys}")


def charge(card: str, amount: float, keys: dict[str, list[str]]) -> dict[str, Any]:
    """Charges."""
    return {"card": card, "of": [amount], "said": f"{card} pays {amount}, no {keys}", card: "ok", "n": 7}


class Strict(BaseModel):
    key: str = Field(max_length=200)


def charge_strictly(card: str, amount: float, keys: dict[str, list[str]]) -> str:
    """Charges."""
    return Strict.model_validate({"key": {"all": [card * 20, amount, keys]}}).key


@pytest.mark.parametrize("work", [charge_and_fail, charge, charge_strictly], ids=lambda work: work.__name__)
def test_an_outcome_shows_no_secret_that_an_error_or_a_result_quotes(world: World, work: Any) -> None:
    made = StructuredTool.from_function(func=work, name="charge", description="Charges.")
    [ticket] = world.ask(HIDDEN_CARD, made, SECRETS)
    world.signoff.approve(ticket, by="ana", reason='S3C"RÉT is fine')
    world.resume()
    [after] = world.signoff.find(Query())
    assert after.outcome is not None
    assert MASK in json.dumps(after.outcome.model_dump(mode="json"), ensure_ascii=False)
    entries = words_of(world.signoff.history(ticket))
    for shown in (str(after), after._repr_html_(), str(after.model_dump()), str(entries), str(lines_of(entries))):
        for secret in ("S3C", "RÉT", "R\\xc9T", "77123", "k3y-1"):
            assert secret not in shown
    assert after.outcome.error or "no" in str(after.outcome.result)


def test_a_secret_of_one_or_two_characters_is_not_looked_for_in_texts(world: World) -> None:
    [ticket] = world.ask("version: 1\ntools: {pay: {otherwise: review, redact: [args.to]}}", pay, {"to": "ai"})
    world.signoff.approve(ticket, by="ana")
    world.resume()
    assert world.signoff.ticket(ticket.id).outcome.result == "paid"  # type: ignore[union-attr]  # it has just run


# Who revised it -------------------------------------------------------------------------------------------------------------


def test_who_sent_an_earlier_round_back_is_remembered_through_the_rounds_and_barred_where_the_policy_says_so(
    world: World,
) -> None:
    policy = "version: 1\ntools: {pay: {otherwise: {then: review, not: [previous_reviser]}}}"
    world.number += 1
    world.path = world.folder / "rounds.db"
    world.signoff = world.stack.enter_context(closing(Signoff(world.path, policy=Policy.parse(policy))))
    script = [*([("pay", {"to": "bob", "amount": amount})] for amount in (3, 2, 1)), "Done."]
    world.graph = world.stack.enter_context(agent(world.signoff, [pay], script))
    [first] = world.signoff.run(world.graph, GO, thread_id="t").tickets
    world.signoff.revise(first, by="ana", feedback="less")
    [second] = world.resume().tickets
    with pytest.raises(NotAllowedToDecide, match="ana had a part in an earlier round"):
        world.signoff.approve(second, by="ana")
    world.signoff.revise(second, by="cem", feedback="still less")
    [third] = world.resume().tickets
    for by in ("ana", "cem"):
        with pytest.raises(NotAllowedToDecide, match="had a part in an earlier round"):
            world.signoff.approve(third, by=by)
    world.signoff.approve(third, by="deniz")
    assert (world.resume().status, ran) == ("completed", [("bob", 1)])
    assert "not the previous reviser" in str(third)

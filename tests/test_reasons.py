"""Why a ticket was ruled as it was, and how it would be ruled now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cli_support import Desk
from langgraph_signoff import Action, Advice, Policy, Signoff, Ticket, Why
from langgraph_signoff.canonical import digest
from langgraph_signoff.masking import MASK
from langgraph_signoff.records import Opening
from support import Clock, agent

TOOLS: dict[str, Any] = {
    "send": {
        "redact": ["args.card"],
        "rules": [
            {"when": "args.to in vars.blocked", "then": "deny", "reason_code": "blocked"},
            {"when": "args.amount > 50.0 && has(args.card)", "then": "review", "reason_code": "large"},
            {"when": "history.proposed.send > 1", "then": "review", "reason_code": "often"},
        ],
        "otherwise": {"then": "allow", "record": True},
    },
    "my.tool": "review",
}
POLICY = Policy(tools=TOOLS, vars={"blocked": ["eve"]})


@pytest.fixture
def signoff(tmp_path: Path) -> Iterator[Signoff]:
    with closing(Signoff(tmp_path / "signoff.db", policy=POLICY, clock=Clock())) as made:
        yield made


def ruled(signoff: Signoff, args: dict[str, Any], *, tool: str = "send", thread: str = "t") -> Ticket:
    """A call as the gate rules and opens it."""
    number = len(list(signoff.ledger.all_rows()))
    action = Action(
        thread_id=thread,
        proposal=f"p{number}",
        tool=tool,
        args=args,
        parsed=args,
        digest=digest(tool, args),
        message_id=f"m{number}",
    )
    ruling = signoff.policy.rule(action, now=signoff.desk.clock(), history=signoff.desk.counts(thread, f"m{number}"))
    signoff.desk.open(
        [Opening(f"f{number:031x}", action, ruling)], policy=(signoff.policy.version, signoff.policy.document)
    )
    return signoff.ticket(f"f{number:031x}")


def said(why: Why) -> dict[str, str]:
    return {tried.rule: tried.said for tried in why.tried}


def test_it_names_the_rule_its_words_and_the_values_it_read_without_what_is_secret(signoff: Signoff) -> None:
    why = signoff.why(ruled(signoff, {"to": "bob", "amount": 70.0, "card": "4111-1111"}))
    assert (why.ruling.reason_code, why.ruling.policy_version) == ("large", POLICY.version)
    assert why.written == {"reason_code": "large", "then": "review", "when": "args.amount > 50.0 && has(args.card)"}
    assert said(why) == {"tools.send.rules.0": "false", "tools.send.rules.1": "true"}
    assert why.read == {"args.to": "bob", "vars.blocked": ["eve"], "args.amount": 70.0, "args.card": MASK}
    assert (why.doubt, why.now) == ("", None)


def test_what_no_rule_named_and_what_failed_is_told_as_it_was(signoff: Signoff) -> None:
    otherwise = signoff.why(ruled(signoff, {"to": "bob", "amount": 1.0, "card": "1"}))
    assert list(said(otherwise).values()) == ["false", "false", "false", "true"]
    assert otherwise.written == {"record": True, "then": "allow"}
    failed = signoff.why(ruled(signoff, {"to": "bob", "card": "1"}))
    assert failed.ruling.reason_code == "policy_error"
    assert said(failed)["tools.send.rules.1"] == "error"
    unlisted = signoff.why(ruled(signoff, {}, tool="unheard"))
    assert (unlisted.written, said(unlisted)) == (None, {"default": "true"})
    dotted = signoff.why(ruled(signoff, {}, tool="my.tool"))
    assert (dotted.doubt, said(dotted)) == ("", {"tools.my.tool.otherwise": "true"})


def test_counts_are_those_of_the_moment_it_was_ruled(signoff: Signoff) -> None:
    tickets = [ruled(signoff, {"to": "bob", "amount": 1.0, "card": "1"}) for _ in range(4)]
    assert [ticket.reason_code for ticket in tickets] == ["allowed", "allowed", "often", "often"]
    whys = [signoff.why(ticket) for ticket in tickets]
    assert [why.read["history.proposed.send"] for why in whys] == [0, 1, 2, 3]
    assert [why.doubt for why in whys] == [""] * 4
    assert whys[0].now is not None
    assert whys[0].now.reason_code == "often"  # there are three others by now
    assert whys[2].now is None


def test_another_policy_in_force_says_how_it_would_rule_now(signoff: Signoff, tmp_path: Path) -> None:
    ticket = ruled(signoff, {"to": "bob", "amount": 70.0, "card": "4111-1111"})
    stricter = {**TOOLS["send"], "rules": [TOOLS["send"]["rules"][1] | {"approvals": 2}]}
    for tools, expected in (({"send": "deny"}, ("deny", 1)), ({"send": stricter}, ("review", 2))):
        with closing(Signoff(tmp_path / "signoff.db", policy=Policy(tools=tools))) as other:
            why = other.why(ticket)
            assert why.ruling.policy_version == POLICY.version
            assert said(why)["tools.send.rules.1"] == "true"
            assert why.now is not None
            assert (why.now.mode, why.now.requirements.approvals) == expected
    with closing(Signoff(tmp_path / "signoff.db")) as bare:
        assert bare.why(ticket).now is None


def test_an_edit_is_explained_as_it_stands_and_what_was_erased_only_by_its_rule(signoff: Signoff) -> None:
    ticket = ruled(signoff, {"to": "bob", "amount": 70.0, "card": "4111-1111"})
    signoff.revise(ticket, by="ana", args={"amount": 60.0})
    assert signoff.why(ticket).read["args.amount"] == 60.0
    signoff.withdraw(ticket, by="ana")
    signoff.erase(ticket, by="ana", reason="asked")
    why = signoff.why(ticket)
    assert (why.tried, why.read) == ((), {})
    assert "erased" in why.doubt
    assert why.written


def test_what_an_advisor_ruled_is_told_with_the_note(tmp_path: Path) -> None:
    def careful(action: Action, ruling: Any) -> Advice:
        return Advice(mode="review", note=f"new recipient {action.args['to']}", reason_code="careful")

    def send(to: str) -> str:
        """Sends."""
        raise AssertionError("nobody has approved it")

    policy = Policy(tools={"send": {"otherwise": {"then": "allow", "record": True}}})
    with closing(Signoff(tmp_path / "signoff.db", policy=policy, advisors=[careful])) as signoff:
        with agent(signoff, [send], [[("send", {"to": "bob"})]]) as graph:
            [ticket] = signoff.run(graph, {"messages": [("user", "go")]}, thread_id="t").tickets
        why = signoff.why(ticket)
    assert why.ruling.reason_code == "careful"
    assert why.notes == ("careful: new recipient bob",)
    assert why.now is not None
    assert (why.now.mode, why.now.reason_code) == ("allow", "allowed")


def test_the_command_tells_it_on_a_page(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with closing(Signoff(tmp_path / "signoff.db", policy=POLICY)) as signoff:
        ticket = ruled(signoff, {"to": "bob\x1b[2J", "amount": 70.0, "card": "4111-1111"})
    (tmp_path / "new.yaml").write_text("version: 1\ntools: {send: deny}\n")
    told = desk.run("why", ticket.id[:12], "--policy", "new.yaml")
    for text in ("review (large, tools.send.rules.1)", "args.amount = 70.0", "blocked", "it would be deny (denied"):
        assert text in told.out
    assert all(c == "\n" or c.isprintable() for c in told.out)
    assert "4111" not in told.out + desk.run("why", ticket.id, "--json").out
    assert desk.run("why", ticket.id, "--json").json["ruling"]["reason_code"] == "large"
    assert desk.run("why", "ffff").code == 3

"""Grants in a graph: what runs without asking, what is kept from running, and what asks all the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from cli_support import Desk
from gates import Release
from langgraph_signoff import (
    Advice,
    Grant,
    GrantRefused,
    NotAllowedToDecide,
    NotWhatYouSaw,
    Policy,
    Run,
    Signoff,
    Standing,
    UnknownGrant,
)
from langgraph_signoff.cards import ticket_html
from langgraph_signoff.cli.history import lines_of
from langgraph_signoff.ledger import GrantQuery
from langgraph_signoff.ledger.sqlite_grants import READ_USE
from langgraph_signoff.policy.checks import RESERVED_CODES
from langgraph_signoff.view import words_of
from payments import Payments
from support import agent, open_ticket

POLICY = """
version: 1
people: {ana: {groups: [finance]}, cem: {groups: [finance]}, eve: {}}
queues:
  default: {owner: ana, backup: [cem], reviewers: [group:finance]}
tools:
  look: allow
  pay:
    redact: [args.pin]
    rules:
      - {when: "args.to == 'mallory'", then: deny, reason_code: blocked}
      - {when: "args.to == 'king'", then: review, always_ask: true}
      - {when: "args.amount > 1000.0", then: review, approvals: 2}
  drop: {always_ask: true}
  burn: {risk: {stakes: high}}
  wipe: deny
"""

SMALL = "args.amount <= 50.0"


def pay(to: str = "bob", amount: float = 5.0, **more: Any) -> list[tuple[str, dict[str, Any]]]:
    return [("pay", {"to": to, "amount": amount, **more})]


class Bank(Payments):
    """An agent that pays, under a policy that leaves room for grants."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        super().__init__(folder, stack, POLICY)

    def play(self, *script: Any, thread: str = "t", policy: str | None = None, gate: Any = None, **options: Any) -> Run:
        """Runs a script of the agent in a thread."""
        self.signoff = self.new_signoff(policy, **options)
        tools = [self.pay, self.look, self.drop]
        lines: Sequence[Any] = [*script, "ok"]
        file = self.folder / "threads.db"
        self.graph = self._stack.enter_context(agent(self.signoff, tools, lines, threads=file, **(gate or {})))
        return self.signoff.run(self.graph, {"messages": [("user", "go")]}, thread_id=thread)

    def grant(self, **more: Any) -> Grant:
        """A permission for small payments, as ana gives it."""
        given = {"by": "ana", "reason": "small ones", "until": "30d", "when": SMALL, **more}
        return self.signoff.grant("pay", **given)

    @property
    def only(self) -> Grant:
        [grant] = self.signoff.grants(ended=True)
        return grant


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    with ExitStack() as stack:
        yield Bank(tmp_path, stack)


def asked(run: Run) -> list[tuple[dict[str, Any], str]]:
    return [(ticket.args, ticket.reason_code) for ticket in run.tickets]


def told(run: Run) -> list[str]:
    return [message.text for message in run.output["messages"] if message.type == "tool"]


# What runs ----------------------------------------------------------------------------------------------------------------


def test_what_a_grant_permits_runs_without_asking_and_everything_else_asks(bank: Bank) -> None:
    grant = bank.grant()
    run = bank.play(pay("bob", 5), pay("eve", 50), pay("bob", 51))
    assert bank.paid == [("bob", 5), ("eve", 50)]
    assert asked(run) == [({"to": "bob", "amount": 51, "pin": "•••"}, "default_review")]
    entries = bank.signoff.history(grant)
    tickets = [entry.body["ticket"] for entry in entries if entry.kind == "used"]
    assert [entry.kind for entry in entries] == ["granted", "used", "used"]
    for id_ in tickets:
        ticket = bank.signoff.ticket(id_)
        assert (ticket.standing, ticket.reason_code) == (Standing.EXECUTED, "granted")
        assert (ticket.approved_by, ticket.granted and ticket.granted.grant) == (("ana",), grant.id)
        assert f"permitted by {grant.id[:18]} of ana, until 2026-04-01" in str(ticket)
        assert "permitted by" in ticket_html(ticket)
    assert bank.signoff.verify().broken == []


def test_one_use_permits_one_call_and_a_total_no_more_than_its_sum(bank: Bank) -> None:
    bank.grant(uses=3, total={"sum": "args.amount", "limit": 12})
    run = bank.play([*pay("a", 5), *pay("b", 5), *pay("c", 5), *pay("d", 2)])
    assert [args["to"] for args, _ in asked(run)] == ["c"], "which is too much for what is left"
    assert bank.paid == []
    bank.signoff.approve(run.tickets[0], by="ana")
    bank.signoff.resume(bank.graph, thread_id="t")
    assert sorted(bank.paid) == [("a", 5), ("b", 5), ("c", 5), ("d", 2)]
    assert (bank.only.used, bank.only.spent, bank.only.stands) == (3, 12, False)
    assert bank.signoff.grants() == []


@pytest.mark.parametrize(
    ("more", "runs"),
    [
        ({"when": "", "args": {"to": "bob", "amount": 5, "pin": "none"}}, True),
        ({"when": "", "args": {"to": "bob", "amount": 5.0, "pin": "1"}}, False),
        ({"when": "", "args": {"to": "bob", "amount": 5.0}}, False),
        ({"when": "args.to.startsWith('b') && actor == 'payer'", "agent": "payer"}, True),
        ({"agent": "other"}, False),
        ({"requester": "eve"}, True),
        ({"requester": "bob"}, False),
        ({"resource": "account 1"}, True),
        ({"resource": "account 2"}, False),
        ({"when": "args.amount <= 50"}, True),
        ({"when": "args.missing == 1"}, False),
        ({"when": "args.amount <= 50.0 && now > timestamp('2026-06-01T00:00:00Z')"}, False),
        ({"total": {"sum": "args.missing", "limit": 5}}, False),
        ({"total": {"sum": "0 - args.amount", "limit": 5}}, False),
    ],
    ids=str,
)
def test_a_grant_covers_only_what_it_says(bank: Bank, more: dict[str, Any], runs: bool) -> None:
    bank.grant(**more)
    gate = {"agent": "payer", "resource": lambda call: "account 1"}
    run = bank.play(pay(), gate=gate, requester=lambda _: "eve")
    assert (run.status, bool(bank.paid)) == (("completed", True) if runs else ("pending_approval", False))


def test_what_the_policy_lets_run_or_denies_is_no_use_of_a_grant(bank: Bank) -> None:
    bank.grant(when="args.amount < 9.0")
    run = bank.play([("look", {"x": 1})], pay("mallory"), [("wipe", {})])
    assert run.status == "completed"
    assert bank.paid == []
    assert "blocked" in told(run)[1]
    assert bank.only.used == 0


def test_a_permission_of_too_few_or_by_who_has_left_or_for_themselves_asks(bank: Bank) -> None:
    bank.grant(when="args.amount <= 5000.0")
    assert [args["amount"] for args, _ in asked(bank.play([*pay("bob", 2000), *pay("bob", 900)], thread="a"))] == [2000]
    for_ana = bank.play(pay("bob", 900), thread="b", requester=lambda _: "ana")
    assert [args["amount"] for args, _ in asked(for_ana)] == [900]
    left = POLICY.replace("ana: {groups: [finance]}", "ana: {}").replace("eve: {}", "eve: {groups: [finance]}")
    gone = bank.play(pay("bob", 900), thread="c", policy=left)
    assert [args["amount"] for args, _ in asked(gone)] == [900]
    with pytest.raises(NotAllowedToDecide):
        bank.new_signoff().second(bank.only, by="eve")
    bank.new_signoff().second(bank.only, by="cem")
    assert bank.play(pay("bob", 2000), thread="d").status == "completed"
    assert bank.paid[-1] == ("bob", 2000)


def test_what_is_always_asked_is_asked_whatever_was_granted_before(bank: Bank) -> None:
    bank.grant()
    assert [args["to"] for args, _ in asked(bank.play(pay("king")))] == ["king"]
    asking = POLICY.replace("  pay:\n", "  pay:\n    always_ask: true\n")
    assert asked(bank.play(pay(), thread="b", policy=asking))
    with pytest.raises(GrantRefused, match="always_ask"):
        bank.signoff.grant("drop", by="ana", reason="x", until="1d", args={"x": 1})
    with pytest.raises(GrantRefused, match="always_ask"):
        bank.grant(when="", args={"to": "king", "amount": 5.0, "pin": "none"})


def test_an_advisors_doubt_and_a_policy_that_fails_ask_whatever_was_granted(bank: Bank) -> None:
    bank.grant(when="args.to == 'bob'")
    bank.grant(when="true || args.to == 'bob'")
    doubts = lambda action, ruling: Advice(mode="review", note="odd")  # noqa: E731  # an advisor of one line
    assert asked(bank.play(pay(), advisors=[doubts]))
    failing = POLICY.replace("args.amount > 1000.0", "args.nothing > 1000.0")
    assert [why for _, why in asked(bank.play(pay(), thread="b", policy=failing))] == ["policy_error"]


def test_a_guarded_node_may_be_granted_too_and_is_no_tool_of_that_name(tmp_path: Path) -> None:
    release = Release(tmp_path)
    try:
        release.signoff.grant("deploy", by="ana", reason="x", until="1d", args={"version": "1.0"}, kind="node")
        release.signoff.grant("deploy", by="ana", reason="x", until="1d", args={"version": "2.0"})
        release.open(key=lambda state: state["version"])
        assert release.start().status == "completed"
        assert release.effects == ["deploy 1.0"]
        assert release.start(thread="b", version="2.0").status == "pending_approval"
    finally:
        release.close()


def test_a_share_of_what_is_permitted_gets_a_second_look_by_somebody_else(bank: Bank) -> None:
    seconded = POLICY.replace(
        "    redact: [args.pin]\n", "    redact: [args.pin]\n    otherwise: {then: review, second_look: 1.0}\n"
    )
    bank.grant()
    assert bank.play(pay(), policy=seconded).status == "completed"
    [look] = bank.signoff.audits()
    assert (look.reason_code, look.granted) == ("second_look", None)
    with pytest.raises(NotAllowedToDecide):
        bank.signoff.confirm(look, by="ana")
    assert bank.signoff.confirm(look, by="cem").standing is Standing.CONFIRMED
    assert bank.signoff.verify().broken == []


# With a decision ----------------------------------------------------------------------------------------------------------


def test_a_grant_given_with_an_approval_is_for_the_same_call_of_the_same_agent_and_requester(bank: Bank) -> None:
    run = bank.play(pay("bob", 7, pin="123456"), requester=lambda _: "eve")
    bank.signoff.approve(run.tickets[0], by="ana", reason="rent of 123456", grant={"until": "30d", "uses": 1})
    grant = bank.only
    assert (grant.ticket, grant.requester, grant.agent) == (run.tickets[0].id, "eve", run.tickets[0].agent)
    assert grant.args == {"to": "bob", "amount": 7, "pin": "•••"}
    assert grant.reason == "rent of •••"
    assert "123456" not in "".join(f"{words}" for words in lines_of(words_of(bank.signoff.history(grant))))
    assert bank.signoff.resume(bank.graph, thread_id="t").status == "completed"
    assert asked(bank.play(pay("bob", 7, pin="123456"), thread="b"))
    assert bank.play(pay("bob", 7, pin="123456"), thread="c", requester=lambda _: "eve").status == "completed"
    assert bank.paid == [("bob", 7), ("bob", 7)]


def test_a_decision_with_a_grant_that_is_refused_is_not_taken_and_the_other_way_round(bank: Bank) -> None:
    run = bank.play(pay("king"))
    [ticket] = run.tickets
    for bad in ({"until": "30d"}, {"until": "500d"}, {"until": "soon"}, {"uses": 5}, {"until": "1d", "who": "all"}):
        with pytest.raises(GrantRefused):
            bank.signoff.approve(ticket, by="ana", reason="x", grant=bad)
    with pytest.raises(NotWhatYouSaw):
        bank.signoff.reject(ticket.id, by="ana", reason="x", if_digest="0" * 64, grant={"until": "1d"})
    assert bank.signoff.ticket(ticket.id).standing is Standing.PENDING
    assert bank.signoff.grants(ended=True) == []


# Standing rejections ------------------------------------------------------------------------------------------------------


def test_a_standing_rejection_denies_such_calls_and_tells_the_agent_who_and_why(bank: Bank) -> None:
    bank.grant()
    run = bank.play(pay("bob"), pay("eve", 60))
    rejected = bank.signoff.grant(
        "pay", by="cem", reason="no more to eve", until="7d", when="args.to == 'eve'", effect="reject"
    )
    bank.signoff.reject(run.tickets[0], by="ana", reason="no")
    run = bank.play(pay("eve", 5), pay("eve", 6), pay("bob"), thread="b")
    assert run.status == "completed"
    assert bank.paid == [("bob", 5), ("bob", 5)]
    said = "pay was not run: cem rejects such calls: no more to eve. Do not propose it again."
    assert told(run) == [said, said, "paid 5 to bob"]
    uses = [entry.body["ticket"] for entry in bank.signoff.history(rejected) if entry.kind == "used"]
    tickets = [bank.signoff.ticket(id_) for id_ in uses]
    assert [(t.standing, t.reason_code) for t in tickets] == [(Standing.DENIED, "standing_rejection")] * 2
    assert f"rejected by {rejected.id[:18]} of cem" in str(tickets[0])
    assert "no more to eve" in tickets[0].detail
    bank.signoff.revoke(rejected, by="eve")
    assert bank.play(pay("eve", 5), thread="c").status == "completed"
    assert bank.signoff.verify().broken == []


def test_a_rejection_that_cannot_say_whether_it_is_meant_leaves_it_to_a_person(bank: Bank) -> None:
    bank.grant()
    bank.grant(when="args.missing == 1", effect="reject")
    assert asked(bank.play(pay()))


def test_a_rejection_needs_as_many_as_the_policy_wants_and_stops_no_question(bank: Bank) -> None:
    two = POLICY.replace("redact: [args.pin]", "redact: [args.pin]\n    otherwise: {then: review, rejections: 2}")
    bank.signoff = bank.new_signoff(two)
    made = bank.grant(effect="reject", when="", args={"to": "bob", "amount": 5.0, "pin": "none"})
    assert asked(bank.play(pay(), policy=two))
    bank.signoff.second(made, by="cem")
    assert bank.play(pay(), thread="b", policy=two).status == "completed"
    assert bank.paid == []


# Giving, listing, ending --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"when": "args.amount <"}, "no expression"),
        ({"when": "args.amount + 1"}, "must be true or false"),
        ({"when": "actor == 'payer'"}, "any arguments"),
        ({"when": "args.pin == '1'"}, "pin is redacted"),
        ({"when": "args.amount < 5.0", "total": {"sum": "args.amount > 1.0", "limit": 5}}, "must be a number"),
        ({"total": {"sum": "args.amount", "limit": 0}}, "total.limit"),
        ({"total": {"sum": "args.amount", "limit": float("nan")}}, "total.limit"),
        ({"uses": 0}, "uses"),
        ({"uses": True}, "uses"),
        ({"until": "2w"}, "until"),
        ({"when": "", "args": {"to": {1, 2}}}, "no arguments of a call"),
        ({"until": datetime(2026, 3, 9)}, "until"),
        ({"until": datetime(2026, 3, 1, tzinfo=UTC)}, "would have ended"),
        ({"when": "", "args": {"to": "mallory", "amount": 1.0}}, "denies this call .blocked."),
    ],
    ids=str,
)
def test_a_grant_that_says_too_much_or_nothing_is_refused(bank: Bank, more: dict[str, Any], problem: str) -> None:
    with pytest.raises(GrantRefused, match=problem):
        bank.grant(**more)
    assert bank.signoff.grants(ended=True) == []


@pytest.mark.parametrize(
    ("tool", "problem"), [("look", "before a person"), ("wipe", "before a person"), ("burn", "high stakes")]
)
def test_what_nobody_is_asked_about_or_costs_much_is_not_granted_so(bank: Bank, tool: str, problem: str) -> None:
    with pytest.raises(GrantRefused, match=problem):
        bank.signoff.grant(tool, by="ana", reason="x", until="30d", when="args.x == 1")


def test_grants_are_listed_by_their_end_and_found_by_the_beginning_of_their_id(bank: Bank) -> None:
    late, soon = bank.grant(until="9d"), bank.grant(until=datetime(2026, 3, 5, tzinfo=timezone(timedelta(hours=2))))
    other = bank.signoff.grant("burn", by="ana", reason="x", until="1d", uses=1, args={})
    assert [grant.id for grant in bank.signoff.grants(tool="pay")] == [soon.id, late.id]
    assert [grant.id for grant in bank.signoff.grants(limit=1)] == [other.id]
    assert bank.signoff.revoke(late.id[:14], by="cem", reason="enough").ended == "revoked by cem: enough"
    bank.clock.advance(days=1)
    assert [grant.id for grant in bank.signoff.grants()] == [soon.id]
    assert {grant.ended for grant in bank.signoff.grants(ended=True)} == {
        "", "its time is over", "revoked by cem: enough",
    }  # fmt: skip
    for unknown in ("grant-zz", "gränt", ""):
        with pytest.raises(UnknownGrant):
            bank.signoff.revoke(unknown, by="ana")
    for _ in range(14):  # with the others there are more than there are hexadecimal digits
        bank.grant()
    with pytest.raises(UnknownGrant, match="several"):
        bank.signoff.revoke("grant-", by="ana")


def test_expire_writes_down_what_is_over_so_that_no_clock_brings_it_back(bank: Bank) -> None:
    bank.grant(until="1h")
    bank.clock.advance(hours=2)
    bank.signoff.expire()
    bank.signoff.expire()
    assert [entry.kind for entry in bank.signoff.history(bank.only)] == ["granted", "ended"]
    bank.clock.advance(hours=-2)
    assert bank.signoff.grants() == []
    assert asked(bank.play(pay()))
    assert bank.signoff.verify().broken == []


def test_an_ended_grant_is_erased_for_good_and_the_record_still_verifies(bank: Bank) -> None:
    made = bank.grant(when="", args={"to": "bob", "amount": 5.0, "pin": "424242"})
    with pytest.raises(GrantRefused, match="still holds"):
        bank.signoff.erase_grant(made, by="dpo", reason="asked for")
    bank.signoff.revoke(made, by="ana")
    assert bank.signoff.erase_grant(made, by="dpo", reason="asked for").ended == "erased by dpo: asked for"
    assert (bank.only.args, bank.only.reason) == (None, "")
    assert "(erased)" in str(bank.only)
    assert b"424242" not in (bank.folder / "signoff.db").read_bytes()
    assert lines_of(words_of(bank.signoff.history(made)))
    assert bank.signoff.verify().broken == []
    assert asked(bank.play(pay(pin="424242")))


def test_an_erased_ticket_grants_nothing(bank: Bank) -> None:
    run = bank.play(pay())
    bank.signoff.reject(run.tickets[0], by="ana", reason="x")
    bank.signoff.erase(run.tickets[0], by="dpo", reason="asked for")
    with pytest.raises(GrantRefused, match="has been erased"):
        bank.signoff.grant(run.tickets[0], by="ana", reason="x", until="1d")


def test_watch_tells_of_grants(bank: Bank) -> None:
    made = bank.grant()
    bank.play(pay())
    events = bank.signoff.watch(after=0)
    seen = [next(events) for _ in range(5)]
    told = [(event["kind"], event["tool"]) for event in seen if event["stream"] == made.id]
    assert told == [("granted", "pay"), ("used", "pay")]


def test_a_policy_takes_no_reason_code_of_a_grant_and_says_always_ask_only_of_reviews() -> None:
    for code in ("granted", "standing_rejection"):
        assert code in RESERVED_CODES
    for entry in ({"then": "allow", "always_ask": True}, {"then": "deny", "always_ask": True}):
        with pytest.raises(Exception, match="nobody is asked"):
            Policy(tools={"send": {"otherwise": entry}})
    with pytest.raises(Exception, match="nothing of a question"):
        Policy(questions={"which": {"always_ask": True}})


def test_an_edit_is_ruled_as_the_same_agents_and_requesters_call(tmp_path: Path) -> None:
    rules = [{"when": "requester == 'eve' && args.amount > 10", "then": "deny"}]
    with closing(Signoff(tmp_path / "s.db", policy=Policy(tools={"send": {"rules": rules}}))) as signoff:
        ticket = open_ticket(signoff, requester="eve")
        with pytest.raises(Exception, match="the policy denies the edited call"):
            signoff.revise(ticket, by="ana", args={"amount": 11})


def test_many_grants_are_found_by_an_index(bank: Bank) -> None:
    plans = []
    ledger: Any = bank.signoff.ledger
    db = ledger._connection()
    for query in (GrantQuery(tool="pay", digest="d", until_after="2026"), GrantQuery(until_after="2026")):
        statements: list[str] = []
        db.set_trace_callback(statements.append)
        ledger.grants(query)
        db.set_trace_callback(None)
        plans += [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statements[-1]}")]
    plans += [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {READ_USE}", ("grant-1", "t"))]
    assert any("entries_used (stream=? AND <expr>=?)" in plan for plan in plans), plans
    assert any("grants_of_tool (tool=? AND digest=? AND until>?)" in plan for plan in plans), plans
    assert any("grants_until (until>?)" in plan for plan in plans), plans


# The command line ---------------------------------------------------------------------------------------------------------


def test_the_command_line_grants_lists_and_revokes(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    (tmp_path / "signoff.yaml").write_text(POLICY.replace("wipe: deny", "send: review"))
    ticket = desk.ticket({"to": "bob\x1b[2J", "amount": 5})
    said = desk.run(
        "approve",
        ticket.id,
        "--digest",
        ticket.digest,
        "--grant",
        "30d",
        "--grant-uses",
        "2",
        "-r",
        "rent",
        "--as",
        "ana",
    )
    assert said.code == 0, said
    made = desk.run("grant", "pay", "--when", "args.amount < 5.0", "--for", "8h", "--sum", "args.amount", "--limit", "9.5",
                    "-r", "small\x1b[2J", "--as", "ana", "--json").json  # fmt: skip
    assert (made["total"], made["given_by"], made["effect"]) == ({"sum": "args.amount", "limit": 9.5}, ["ana"], "allow")
    rejected = desk.run(
        "grant", "--ticket", ticket.id, "--reject", "--for", "1d", "-r", "no", "--as", "cem", "--json"
    ).json
    assert (rejected["effect"], rejected["ticket"]) == ("reject", ticket.id)
    assert "given by  ana and cem" in desk.run("second", made["id"], "--as", "cem").out
    listed = desk.run("grants")
    assert "\x1b" not in listed.out
    assert [line.split()[0] for line in listed.out.splitlines()] == [
        "id",
        *(g["id"][:18] for g in (made, rejected)),
        desk.run("grants", "--json").json[2]["id"][:18],
    ]
    assert [grant["tool"] for grant in desk.run("grants", "--tool", "pay", "--json").json] == ["pay"]
    gone = desk.run("revoke", made["id"][:12], "-r", "enough", "--as", "ana")
    assert "revoked by ana: enough" in gone.out
    assert "\x1b" not in gone.out
    assert "granted by ana: pay args.amount < 5.0 is permitted" in desk.run("history", made["id"]).out
    assert "revoked by ana" in desk.run("grants", "--all").out
    assert "--yes" in desk.run("erase", made["id"], "-r", "asked for", "--as", "ana").err
    assert "erased by ana: asked for" in desk.run("erase", made["id"], "-r", "asked for", "--yes", "--as", "ana").out
    assert desk.run("grants", "--tool", "nothing").out == "nothing is granted\n"


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (["grant", "pay", "--when", "true", "--for", "1d", "-r", "x"], 1, "any arguments"),
        (["grant", "pay", "--args", "[]", "--for", "1d", "-r", "x"], 2, "--args"),
        (["grant", "pay", "--args", "{}", "--for", "1d"], 2, "a name and a reason"),
        (["grant", "pay", "--args", "{}", "--for", "1d", "--sum", "args.x", "-r", "x"], 2, "--limit"),
        (["revoke", "abc"], 3, "no grant"),
        (["approve", "abc", "--grant-uses", "5"], 2, "--grant SPAN"),
    ],
    ids=str,
)
def test_the_command_line_says_what_is_wrong_with_a_grant(
    tmp_path: Path, words: list[str], code: int, problem: str
) -> None:
    desk = Desk(tmp_path)
    (tmp_path / "signoff.yaml").write_text(POLICY)
    desk.ticket()
    ended = desk.run(*words, "--as", "ana")
    assert (ended.code, problem in ended.err) == (code, True), ended
    assert ended.is_one_clear_sentence

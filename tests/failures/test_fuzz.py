"""Garbage from outside never runs a tool and never kills a ticket, whichever door it comes through.

Every input is made from a seed. Enough of them must parse, or they would only test the parsers; nothing runs while they come in,
and afterwards each ticket can still be approved and runs once. `--long`: 50,000 inputs in all.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from failures.world import MODES, Command, World
from langgraph_signoff import Policy, PolicyError, SignoffError
from langgraph_signoff.cli.app import app
from langgraph_signoff.cli.exits import USAGE, code_of
from langgraph_signoff.vocabulary import Action

PARSES = 0.30  # the least share of inputs that must come through the parser

# Only ana may decide; eve is known, and may look.
POLICY = """
version: 1
people: {ana: {groups: [leads]}, eve: {}}
queues: {money: {owner: ana, reviewers: ["group:leads"], backup: [ana]}}
tools:
  look: allow
  send: {otherwise: {then: review, queue: money}}
"""
NAMES = [
    "eve",
    "Ana",
    "ana\u200b",
    "a\u0301na",
    "\u0430na",
    "root",
    "",
    " ",
    "*",
    "group:leads",
    "ana,eve",
    "None",
    "0",
    "\ud800",
]
UNKNOWN_NAMES = [name for name in NAMES if name != "eve"]
TEXTS = [
    "",
    "ok",
    "approve",
    "'; DROP TABLE entries; --",
    "\x00",
    "\ud800",
    "\u202e",
    "{}",
    "null",
    "é" * 300,
    "../../etc",
]
TICKETS = 12


def amount(entry: str, request: pytest.FixtureRequest) -> int:
    """How many inputs an entry gets."""
    short, long = {"api": (1500, 30_000), "resume": (160, 4_000), "policy": (400, 10_000), "cli": (150, 6_000)}[entry]
    return long if request.config.getoption("--long") else short


def value(rng: random.Random, depth: int = 0) -> Any:
    """Some JSON value."""
    leaves: list[Callable[[], Any]] = [
        lambda: None,
        lambda: rng.random() < 0.5,
        lambda: rng.choice([0, 1, -1, 5, 2**53, 2**63, 10**30]),
        lambda: rng.choice([0.0, -0.0, 5.0, 1e308, float("nan"), float("inf")]),
        lambda: rng.choice([*TEXTS, *NAMES]),
        lambda: rng.choice(["approve", "accept", "edit", "reject", "signoff", "knock", "type", "decisions"]),
    ]
    if depth > 3 or rng.random() < 0.5:
        return rng.choice(leaves)()
    if rng.random() < 0.5:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    keys = ["type", "decisions", "args", "action", "approved", "by", "digest", "signoff", "to", "amount", *TEXTS]
    return {rng.choice(keys): value(rng, depth + 1) for _ in range(rng.randrange(4))}


def _open(world: World) -> list[Any]:
    world.open(lambda messages: [("send", {"to": messages[0].text})] if len(messages) == 1 else "done", policy=POLICY)
    for number in range(TICKETS):
        world.run({"messages": [("user", f"p{number}")]}, thread=f"t{number}")
    tickets = world.signoff.pending()
    assert len(tickets) == TICKETS
    return tickets


def _finish(world: World) -> None:
    """Nothing ran, and each ticket can still be approved and runs once."""
    assert world.effects == []
    assert len(world.signoff.pending()) == TICKETS
    for ticket in world.signoff.pending():
        world.signoff.approve(ticket, by="ana")
        assert world.resume(thread=ticket.thread_id).status == "completed"
    assert world.effects == sorted(f"send p{number} 5.0" for number in range(TICKETS))
    assert {t.standing for n in range(TICKETS) for t in world.tickets(f"t{n}")} == {"executed"}
    assert world.signoff.verify().broken == []


# The API ------------------------------------------------------------------------------------------------------------------


class Api:
    """Calls of every public method with made-up arguments; only what would be a true decision by ana is left out."""

    def __init__(self, world: World, rng: random.Random, tickets: list[Any]) -> None:
        self.world, self.rng, self.tickets = world, rng, tickets
        self.calls = [
            self.decide,
            self.decide,
            self.revise,
            self.comment,
            self.settle,
            self.withdraw,
            self.read,
            self.wake,
        ]

    def one(self) -> bool:
        """One call; whether its arguments parsed."""
        call = self.rng.choice(self.calls)
        try:
            call()
        except SignoffError:
            return True
        except (ValueError, UnicodeEncodeError):
            return False
        return True

    def which(self) -> Any:
        ticket = self.rng.choice(self.tickets)
        forged = ticket.model_copy(update={"digest": "0" * 64, "args": {"to": "eve"}})
        return self.rng.choice([ticket, ticket.id, ticket.id[:12], ticket.id.upper(), forged, "", "0" * 32, *TEXTS])

    def digest(self, ticket: Any) -> str | None:
        true = getattr(ticket, "digest", self.tickets[0].digest)
        return self.rng.choice([None, true, true[:12], true[::-1], "", "0" * 64, *TEXTS])

    def by(self, digest: str | None, ticket: Any) -> str:
        # ana decides only what nobody could have seen.
        wrong = digest in ("0" * 64, "\ud800") or (digest is None and isinstance(ticket, str))
        return "ana" if wrong and self.rng.random() < 0.3 else self.rng.choice(NAMES)

    def decide(self) -> None:
        ticket = self.which()
        digest = self.digest(ticket)
        decide = self.rng.choice([self.world.signoff.approve, self.world.signoff.reject])
        decide(ticket, by=self.by(digest, ticket), reason=self.rng.choice(TEXTS), if_digest=digest)

    def revise(self) -> None:
        ticket = self.which()
        digest = self.digest(ticket)
        how: dict[str, Any] = {"args": value(self.rng)} if self.rng.random() < 0.7 else {}
        if not isinstance(how.get("args", {}), dict):
            how = {"args": {"amount": how["args"]}}
        if self.rng.random() < 0.4:
            how["feedback"] = self.rng.choice(TEXTS)
        self.world.signoff.revise(ticket, by=self.by(digest, ticket), if_digest=digest, **how)

    def comment(self) -> None:
        self.world.signoff.comment(self.which(), by=self.rng.choice([*NAMES, "ana"]), text=self.rng.choice(TEXTS))

    def settle(self) -> None:
        answer = self.rng.choice(["happened", "did_not_happen", "give_up", "", "approved", "yes"])
        self.world.signoff.settle(self.which(), answer, by=self.rng.choice([*NAMES, "ana"]), result=value(self.rng))

    def withdraw(self) -> None:
        self.world.signoff.withdraw(self.which(), by=self.rng.choice(UNKNOWN_NAMES), reason=self.rng.choice(TEXTS))

    def read(self) -> None:
        signoff, text = self.world.signoff, self.rng.choice([*TEXTS, "t0", "money", "send"])
        reads: list[Callable[[], Any]] = [
            lambda: signoff.ticket(text),
            lambda: signoff.history(text),
            lambda: signoff.pending(queue=text, limit=self.rng.choice([-1, 0, 1, 50])),
            lambda: signoff.pending(thread_id=text, tool=text),
            lambda: signoff.in_doubt(thread_id=text),
            lambda: signoff.expire(),
            lambda: signoff.erase(self.which(), by="eve", reason="to be rid of it"),
            lambda: str(signoff.ticket(self.rng.choice(self.tickets).id)),
        ]
        self.rng.choice(reads)()

    def wake(self) -> None:
        thread = self.rng.choice(["t0", "t1", "nobody", *TEXTS])
        if self.rng.random() < 0.5:
            self.world.resume(thread=thread)
        else:
            self.world.resume(thread=thread, answers={self.rng.choice(["0" * 32, *TEXTS]): value(self.rng)})


def test_generated_calls_of_the_api_run_nothing_and_kill_no_ticket(
    sync_world: World, rng: random.Random, request: pytest.FixtureRequest
) -> None:
    tickets = _open(sync_world)
    api = Api(sync_world, rng, tickets)
    inputs = amount("api", request)
    parsed = 0
    for number in range(inputs):
        parsed += api.one()
        if number % 100 == 0:
            assert sync_world.effects == []
    assert parsed >= PARSES * inputs, f"only {parsed} of {inputs} parsed"
    _finish(sync_world)


# Resume values ------------------------------------------------------------------------------------------------------------


def test_generated_resume_values_run_nothing_and_kill_no_ticket(
    tmp_path: Path, rng: random.Random, request: pytest.FixtureRequest
) -> None:
    for mode in MODES:
        world = World(tmp_path / str(mode), mode)
        _open(world)
        inputs = amount("resume", request) // len(MODES)
        taken = sum(_taken(world, rng) for _ in range(inputs))
        assert taken >= PARSES * inputs, f"only {taken} of {inputs} were taken"
        _finish(world)
        world.close()


def _taken(world: World, rng: random.Random) -> bool:
    thread, answer = f"t{rng.randrange(TICKETS)}", value(rng)
    if rng.random() < 0.5:
        answer = {i.id: answer for i in world.state(thread).interrupts}
    command = Command(resume=answer)
    if rng.random() < 0.1:
        command = Command(resume=answer, goto="tools")
    try:
        world.invoke(command, thread=thread)
    except SignoffError:
        raise
    except Exception:
        return False  # LangGraph's own: no answer at all, or a text that its saver cannot write
    return True


# Policy files -------------------------------------------------------------------------------------------------------------

GOOD: dict[str, Any] = {
    "version": 1,
    "default": "review",
    "people": {"ana": {"groups": ["leads"]}, "cem": {"groups": ["leads"]}},
    "queues": {
        "money": {"owner": "ana", "backup": ["ana"], "reviewers": ["group:leads"], "window": "2h", "on_timeout": "deny"}
    },
    "vars": {"limit": 50.0},
    "tools": {
        "look": "allow",
        "send": {
            "risk": {"reversible": False, "stakes": "high"},
            "rules": [
                {"when": "args.amount > 10000.0", "then": "deny", "reason_code": "too_much"},
                {"when": "args.amount <= vars.limit", "then": "review", "queue": "money"},
            ],
            "otherwise": {"then": "review", "queue": "money", "approvals": 2},
        },
        "wire_*": {"otherwise": "deny"},
    },
}
WORDS: list[Any] = [
    *[
        "allow",
        "review",
        "deny",
        "execute",
        "approve",
        "open",
        "2h",
        "1s",
        "-1h",
        "0s",
        "money",
        "group:leads",
        "ana",
        "true",
    ],
    *[
        "args.amount > 1.0",
        "true",
        "args.nothing == 1",
        "1 / 0 == 1",
        "args.to in ['bob']",
        "vars.limit",
        "history.ran.send > 1",
    ],
    *[
        None,
        True,
        False,
        0,
        1,
        3,
        101,
        -1,
        1.5,
        float("inf"),
        [],
        {},
        ["ana"],
        {"then": "allow"},
        {"when": "true", "then": "deny"},
    ],
]
KEYS = [
    "default",
    "tools",
    "people",
    "queues",
    "vars",
    "version",
    "on_timeout",
    "window",
    "then",
    "when",
    "rules",
    "*",
    "send",
]


def _mutated(rng: random.Random, node: Any) -> Any:
    """The document with one place of it changed."""
    if isinstance(node, dict) and node and rng.random() < 0.95:
        key = rng.choice(list(node))
        match rng.randrange(8):
            case 0:
                return {k: v for k, v in node.items() if k != key}
            case 1:
                return {**node, rng.choice(KEYS): rng.choice(WORDS)}
        return {**node, key: _mutated(rng, node[key])}
    if isinstance(node, list) and node and rng.random() < 0.7:
        place = rng.randrange(len(node))
        return [*node[:place], _mutated(rng, node[place]), *node[place + 1 :]]
    return rng.choice([*WORDS, node, node])


def _good(rng: random.Random) -> dict[str, Any]:
    """A sound policy, never quite the same."""
    document = copy.deepcopy(GOOD)
    document["default"] = rng.choice(["review", "deny"])
    document["vars"]["limit"] = rng.random() * 1e4
    document["queues"]["money"] |= {
        "window": f"{rng.randrange(1, 99)}{rng.choice('smh')}",
        "priority": rng.randrange(9),
    }
    first, second = document["tools"]["send"]["rules"]
    first |= {"then": rng.choice(["allow", "review", "deny"]), "reason_code": f"code_{rng.randrange(9)}"}
    second["reason_code"] = f"code_{rng.randrange(9)}"
    document["tools"]["send"]["otherwise"] |= {"approvals": rng.choice([1, 2]), "reask": rng.randrange(3)}
    return document


def _text(rng: random.Random) -> str:
    document = _good(rng)
    for _ in range(rng.choice([0, 0, 1, 1, 1, 2])):
        document = _mutated(rng, document)
    text = json.dumps(document, indent=rng.choice([None, 1]))
    if rng.random() < 0.15:
        place = rng.randrange(len(text))
        junk = rng.choice(["", "\x00", "&a", "*a", "!!python/object:os.system", "<<: ", "\ud800", "- ", "}", "\t", "#"])
        text = text[:place] + junk + text[place + rng.randrange(3) :]
    return text


def test_generated_policies_never_allow_what_nobody_allowed(
    sync_world: World, rng: random.Random, request: pytest.FixtureRequest
) -> None:
    _open(sync_world)
    inputs = amount("policy", request)
    parsed = 0
    for _ in range(inputs):
        try:
            policy = Policy.parse(_text(rng))
        except PolicyError:
            continue
        parsed += 1
        assert Policy.parse(policy.document).version == policy.version
        _rules_soundly(policy, rng)
    assert parsed >= PARSES * inputs, f"only {parsed} of {inputs} parsed"
    _finish(sync_world)


def _rules_soundly(policy: Policy, rng: random.Random) -> None:
    for tool in ("nobody_named_it", "send", "look"):
        args = {"to": "bob", "amount": value(rng)}
        action = Action(thread_id="t", proposal="p", tool=tool, args=args, parsed=args, digest="0" * 64)
        ruling = policy.rule(action, now=datetime(2026, 1, 1, tzinfo=UTC))
        assert ruling.requirements.on_timeout == "deny"
        assert ruling.requirements.approvals >= 1
        assert ruling.requirements.window.total_seconds() > 0
        if ruling.mode == "allow":
            assert tool != "nobody_named_it"
            assert "allow" in policy.document


# The command line ---------------------------------------------------------------------------------------------------------


def _line(rng: random.Random, tickets: list[Any]) -> list[str]:
    """A command line that ana did not type with what she saw."""
    ticket = rng.choice(tickets)
    id_ = rng.choice([ticket.id, ticket.id[:12], "0" * 32, "--", *TEXTS])
    digest = rng.choice([ticket.digest, ticket.digest[:12], "0" * 64, *TEXTS])
    by = ["--as", "ana"] if digest == "0" * 64 else ["--as", rng.choice(UNKNOWN_NAMES)]
    edit = json.dumps(value(rng))
    commands = [
        ["approve", id_, "--digest", digest, *by],
        ["approve", id_, *by],
        ["reject", id_, "--digest", digest, "--reason", rng.choice(TEXTS), *by],
        ["revise", id_, "--digest", digest, "--args", edit, *by],
        ["revise", id_, "--digest", digest, "--feedback", rng.choice(TEXTS), *by],
        ["settle", id_, rng.choice(["happened", "did_not_happen", "give_up", "no"]), "--result", edit, *by],
        ["withdraw", id_, "--as", rng.choice(UNKNOWN_NAMES)],
        ["erase", id_, "--yes", "--reason", "gone", *by],
        ["show", id_],
        ["history", id_],
        ["list", "--json"],
        ["list", "--queue", rng.choice(TEXTS)],
        ["resume", "--thread", rng.choice(["t0", "nobody", *TEXTS])],
        ["expire"],
        ["verify", "--seal", rng.choice(["0" * 64, *TEXTS])],
        [rng.choice(["approve", "resume", "list", *TEXTS]), rng.choice(["--all", "--json", "--yes", "-h", *TEXTS])],
    ]
    line = rng.choice(commands)
    if rng.random() < 0.1:
        line.insert(rng.randrange(len(line) + 1), rng.choice(["--json", "--yes", *TEXTS]))
    return line


def test_generated_command_lines_run_nothing_and_kill_no_ticket(
    sync_world: World, rng: random.Random, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    tickets = _open(sync_world)
    (sync_world.folder / "signoff.yaml").write_text(POLICY)
    monkeypatch.chdir(sync_world.folder)
    inputs, runner = amount("cli", request), CliRunner()
    parsed = 0
    for _ in range(inputs):
        line = _line(rng, tickets)
        result = runner.invoke(app, line)
        if result.exception and not isinstance(result.exception, (SystemExit, SignoffError)):
            raise AssertionError(line) from result.exception
        code = code_of(result.exception) if isinstance(result.exception, SignoffError) else result.exit_code
        parsed += code != USAGE
        assert sync_world.effects == []
    assert parsed >= PARSES * inputs, f"only {parsed} of {inputs} parsed"
    _finish(sync_world)

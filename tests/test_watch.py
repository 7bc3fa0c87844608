"""What comes onto the record is seen as it comes, once each, and nothing secret with it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

from langgraph_signoff import Policy, Signoff
from support import agent, open_ticket

POLICY = Policy(tools={"send": {"redact": ["args.pin"]}})


@pytest.fixture
def signoff(tmp_path: Path) -> Iterator[Signoff]:
    with closing(Signoff(tmp_path / "signoff.db", policy=POLICY)) as signoff:
        yield signoff


def test_everything_is_seen_once_and_in_its_order(signoff: Signoff) -> None:
    before = open_ticket(signoff)
    events = signoff.watch(every=0.01)
    signoff.approve(before, by="ana", reason="good")
    after = open_ticket(signoff, thread_id="other")
    signoff.halt(by="op", reason="fire")
    signoff.seal()
    seen = list(islice(events, 4))
    assert [event["kind"] for event in seen] == ["decided", "opened", "halted", "sealed"]
    assert [event["stream"] for event in seen] == [before.id, after.id, "halts", "seals"]
    assert [event["thread_id"] for event in seen[:2]] == [before.thread_id, "other"]
    signoff.comment(before, by="ana", text="later")
    assert next(events)["reason"] == "later"
    assert [event["position"] for event in islice(signoff.watch(after=0), 6)] == [1, 2, 3, 4, 5, 6]


def test_a_halt_is_seen_with_its_own_thread_and_tool(signoff: Signoff) -> None:
    signoff.halt(by="op", tool="send")
    signoff.halt(by="op", thread_id="t-1")
    signoff.halt(by="op")
    signoff.release(by="op", tool="send")
    seen = [(event["thread_id"], event["tool"]) for event in islice(signoff.watch(after=0), 4)]
    assert seen == [(None, "send"), ("t-1", None), (None, None), (None, "send")]


def test_a_policy_that_records_all_has_every_ruling_seen(tmp_path: Path) -> None:
    def look() -> str:
        """Looks."""
        return "nice"

    for record, seen in ((False, 0), (True, 2)):
        policy = Policy(tools={"look": "allow"}, record=record)
        with closing(Signoff(tmp_path / f"{record}.db", policy=policy)) as signoff:
            with agent(signoff, [look], [[("look", {})], "Nice."]) as graph:
                assert signoff.run(graph, {"messages": [("user", "go")]}, thread_id="t").status == "completed"
            assert signoff.ledger.last() == seen
            kinds = [(event["kind"], event["tool"]) for event in islice(signoff.watch(after=0), seen)]
            assert kinds == [("opened", "look"), ("executed", "look")][:seen]


def test_what_is_secret_stays_masked(signoff: Signoff) -> None:
    ticket = open_ticket(signoff, {"to": "bob", "pin": "4711"}, redact=("pin",))
    signoff.reject(ticket, by="ana", reason="4711 is no pin")
    text = json.dumps(list(islice(signoff.watch(after=0, every=0.01), 2)))
    assert "4711" not in text
    assert "••• is no pin" in json.loads(text)[1]["reason"]


def test_a_terminal_shows_it_live_until_it_is_told_to_stop(signoff: Signoff, tmp_path: Path) -> None:
    ticket = open_ticket(signoff)
    command = [sys.executable, "-m", "langgraph_signoff.cli", "--ledger", str(tmp_path / "signoff.db"), "watch"]
    with subprocess.Popen([*command, "--all"], stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        first = watching.stdout.readline()
        signoff.approve(ticket, by="ana", reason="line one\nid  approve by eve")
        second = watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 0
        assert watching.stdout.read() == ""
    assert "opened  send: review" in first
    assert second.startswith(ticket.id[:12])
    assert "decided  approve by ana, generation 1: line one / id  approve by eve" in second
    done = subprocess.Popen([*command, "--all", "--json"], stdout=subprocess.PIPE, text=True)
    assert done.stdout is not None
    kinds = [json.loads(done.stdout.readline())["kind"] for _ in range(2)]
    done.send_signal(signal.SIGINT)
    done.communicate(timeout=20)
    assert (kinds, done.returncode) == (["opened", "decided"], 0)

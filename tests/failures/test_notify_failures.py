"""No notice is lost, and none is doubled without a crash: servers that die, deliverers that are killed, race, sleep, or find garbage."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli_support import environment
from langgraph_signoff import LedgerUnavailable, Policy, Signoff, liveness
from langgraph_signoff.ledger import Notice, moment, stamp
from langgraph_signoff.ledger.sqlite import SqliteLedger
from langgraph_signoff.links import Signer
from langgraph_signoff.notify import Notifier
from posts import HOOKS, MAIL, Post
from support import Clock, agent, until
from telling import SECRET, ask, diary, heard, policy, told

TESTS = str(Path(__file__).parents[1])

# Sends all that is due, and dies before or after a change of the outbox.
DELIVERER = """
import os, signal, sys
from langgraph_signoff import Policy, Signoff
from langgraph_signoff.ledger.sqlite import SqliteLedger
path, rules, moment, nth = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
class Mortal(SqliteLedger):
    seen = 0
    def swap_notice(self, old, new):
        what = "spread" if len(new) > 1 or new[0].person != old.person else "claim" if new[0].owner else "mark"
        self.near(f"before {what}")
        done = super().swap_notice(old, new)
        self.near(f"after {what}")
        return done
    def near(self, place):
        self.seen += place == moment
        if place == moment and self.seen == nth:
            os.kill(os.getpid(), signal.SIGKILL)
Signoff(Mortal(path), policy=rules).deliver(os.environ)
"""


def rules_in(folder: Path, **more: Any) -> Path:
    """A policy file of two people, whose diary hears of each ticket."""
    words = {
        "version": 1,
        "people": {"ana": {"address": "a"}, "bo": {"address": "b"}},
        "channels": {"diary": {**diary(folder), **more}},
        "notify": ["diary"],
        "queues": {"default": {"owner": "ana", "backup": ["bo"]}},
        "tools": {"send": "review"},
    }
    (folder / "signoff.yaml").write_text(json.dumps(words))
    return folder / "signoff.yaml"


def deliverer(path: Path, rules: Path, death: str = "never", nth: int = 0) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", DELIVERER, str(path), str(rules), death, str(nth)]
    return subprocess.Popen(words, env=environment(HOOK_SECRET=SECRET))


# Servers that die ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def posts(tmp_path: Path) -> Iterator[tuple[Post, Post]]:
    """A mail server and a receiver of webhooks, not started."""
    made = Post(MAIL, tmp_path / "mail.log"), Post(HOOKS, tmp_path / "hooks.log")
    yield made
    for post in made:
        post.kill()


def test_servers_that_are_killed_and_come_back_lose_nothing_and_get_nothing_twice(
    path: Path, posts: tuple[Post, Post]
) -> None:
    mail, hooks = posts
    channels = {
        "mail": {"apprise": "mailto://127.0.0.1:${PORT}?from=bot@example.org&to=desk@example.org"},
        "hook": {"webhook": f"http://127.0.0.1:{hooks.port}/", "secret": "${HOOK_SECRET}"},
    }
    clock, environ = Clock(), {"PORT": str(mail.port), "HOOK_SECRET": SECRET}
    with closing(Signoff(path, policy=policy("mail", "hook", channels=channels), clock=clock)) as signoff:
        tickets = [ask(signoff).id[:12] for _ in range(8)]
        assert signoff.deliver(environ).put_off == 6  # nobody is there yet
        deaths = 0
        while signoff.notices():
            for post, dies_at in ((mail, 3), (hooks, 4)):
                if post.process is None:
                    post.start(deaths=dies_at)
            done = signoff.deliver(environ)
            for post, channel in ((mail, "mail"), (hooks, "hook")):
                if channel in done.problems:
                    post.died()
                    deaths += 1
            clock.advance(hours=1)
            assert deaths < 20
        assert deaths >= 4
    assert sorted(str(mail["Subject"])[-13:-1] for mail in mail.mails) == sorted(tickets)
    assert sorted(hook["data"]["ticket"][:12] for hook in hooks.hooks) == sorted(tickets)


def test_channels_that_nobody_answers_neither_hold_a_run_nor_fail_it(path: Path, tmp_path: Path) -> None:
    channels = {
        "dead": {"webhook": "http://127.0.0.1:9/", "secret": "${HOOK_SECRET}"},
        "undefined": {"apprise": "${NOWHERE}"},
        "missing": {"command": [str(tmp_path / "no-such-program")]},
    }
    rules = Policy(channels=channels, notify=list(channels), tools={"send": "review"})

    def send(to: str) -> str:
        """Sends."""
        return f"sent to {to}"

    with (
        closing(Signoff(path, policy=rules)) as signoff,
        agent(signoff, [send], [[("send", {"to": "bob"})], "ok"]) as graph,
    ):
        run = signoff.run(graph, {"messages": [("user", "go")]}, thread_id="t")
        assert run.status == "pending_approval"
        done = signoff.deliver({"HOOK_SECRET": SECRET})
        assert (done.sent, done.put_off, sorted(done.problems)) == (0, 2, sorted(channels))
        signoff.approve(run.tickets[0], by="ana")
        assert signoff.resume(graph, thread_id="t").status == "completed"


# Deliverers that die -------------------------------------------------------------------------------------------------------

MOMENTS = ["after spread", "after claim", "before mark"]


@pytest.mark.parametrize("death", MOMENTS)
def test_of_a_killed_deliverers_messages_only_that_which_it_was_sending_can_come_twice(
    death: str, path: Path, tmp_path: Path
) -> None:
    rules = rules_in(tmp_path, to="people")
    with closing(Signoff(path, policy=rules)) as signoff:
        tickets = [ask(signoff) for _ in range(2)]
        assert deliverer(path, rules, death, nth=2).wait(60) == -signal.SIGKILL
        assert signoff.deliver({}).problems == {}
        assert signoff.notices() == []
    got = Counter((one["data"]["ticket"], one["data"]["person"]) for one in told(tmp_path))
    assert set(got) == {(ticket.id, person) for ticket in tickets for person in ("ana", "bo")}
    assert sorted(got.values()) == ([1, 1, 1, 2] if death == "before mark" else [1, 1, 1, 1])


def test_racing_deliverers_send_each_message_once(path: Path, tmp_path: Path) -> None:
    rules = rules_in(tmp_path)
    with closing(Signoff(path, policy=rules)) as signoff:
        tickets = [ask(signoff) for _ in range(30)]
        racers = [deliverer(path, rules) for _ in range(2)]
        assert [racer.wait(60) for racer in racers] == [0, 0]
        assert signoff.deliver({}).problems == {}
        assert signoff.notices() == []
        who = {notice.ticket for ticket in tickets for notice in signoff.notices(ticket)}
    assert Counter(one["data"]["ticket"] for one in told(tmp_path)) == Counter(who)
    assert len(who) == 30


def test_a_deliverer_that_is_killed_again_and_again_loses_nothing(
    path: Path, tmp_path: Path, posts: tuple[Post, Post], rng: random.Random
) -> None:
    _, hooks = posts
    hooks.start()
    rules = rules_in(tmp_path)
    words = json.loads(rules.read_text())
    words["channels"] = {"diary": {"webhook": f"http://127.0.0.1:{hooks.port}/slow", "secret": "${HOOK_SECRET}"}}
    rules.write_text(json.dumps(words))
    with closing(Signoff(path, policy=rules)) as signoff:
        tickets = [ask(signoff) for _ in range(20)]
        kills = 0
        while signoff.notices() and kills < 2:
            before = len(hooks.taken)
            process = deliverer(path, rules)
            until(lambda before=before, process=process: len(hooks.taken) > before or process.poll() is not None)
            time.sleep(rng.random() * 0.02)
            process.kill()
            kills += process.wait(60) == -signal.SIGKILL
        signoff.deliver({"HOOK_SECRET": SECRET})
        assert signoff.notices() == []
    assert kills, "it was never killed"
    got = Counter(hook["data"]["ticket"] for hook in hooks.hooks)
    assert set(got) == {ticket.id for ticket in tickets}
    assert sum(got.values()) <= 20 + kills


HOLDER = """
import sys, time
from dataclasses import replace
from langgraph_signoff import Signoff, liveness
signoff = Signoff(sys.argv[1])
[notice] = signoff.notices()
assert signoff.ledger.swap_notice(notice, [replace(notice, owner=liveness.me(), until=notice.since, tries=1)])
print("held", flush=True)
time.sleep(60)
"""


def test_what_a_sleeping_process_is_about_to_send_nobody_else_sends_before_it_is_gone(
    path: Path, tmp_path: Path
) -> None:
    rules = rules_in(tmp_path)
    with closing(Signoff(path, policy=rules)) as signoff:
        ask(signoff)
        with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            assert process.stdout.readline() == "held\n"
            os.kill(process.pid, signal.SIGSTOP)
            assert signoff.deliver({}).sent == 0
            process.kill()
            process.wait(60)
            assert signoff.deliver({}).sent == 1
    assert heard(tmp_path) == ["opened"]


def test_a_silent_deliverer_on_another_host_is_waited_for_until_its_time_is_over(path: Path, tmp_path: Path) -> None:
    clock = Clock()
    with closing(Signoff(path, policy=rules_in(tmp_path), clock=clock)) as signoff:
        ask(signoff)
        [notice] = signoff.notices()
        elsewhere = json.dumps({**json.loads(liveness.me()), "host": "elsewhere"})
        held = replace(notice, owner=elsewhere, until=stamp(moment(notice.since).replace(minute=45)), tries=1)
        assert signoff.ledger.swap_notice(notice, [held])
        assert signoff.deliver({}).sent == 0
        clock.advance(minutes=15)
        assert signoff.deliver({}).sent == 1


def waiting(folder: Path) -> dict[str, Any]:
    """A channel that takes a message as soon as there is a file `go`, and writes it down."""
    program = "import os, sys, time\nwhile not os.path.exists('go'): time.sleep(0.02)\nopen('slow', 'a').write('x')"
    return {"command": ["sh", "-c", f'touch {folder}/begun; cd {folder}; exec {sys.executable} -c "{program}"']}


def test_a_channel_that_takes_for_ever_holds_no_other_and_is_not_asked_twice(path: Path, tmp_path: Path) -> None:
    channels = {"slow": waiting(tmp_path), "diary": diary(tmp_path)}
    with closing(Signoff(path, policy=policy("slow", "diary", channels=channels))) as signoff:
        notifier = Notifier(signoff.desk, signoff.policy, Signer(b"secret"), patience=0.1)
        for number in (1, 2):
            ask(signoff)
            until(lambda number=number: notifier.deliver({}) and len(heard(tmp_path)) == number)
        until(lambda: len(signoff.notices()) == 2)
        assert [(notice.channel, notice.tries) for notice in signoff.notices()] == [("slow", 1), ("slow", 0)]
        (tmp_path / "go").touch()
        until(lambda: notifier.deliver({}) and not signoff.notices())
    assert (tmp_path / "slow").read_text() == "xx"


def test_a_deliverer_that_is_told_to_end_finishes_the_message_that_it_is_at(path: Path, tmp_path: Path) -> None:
    rules = rules_in(tmp_path, **waiting(tmp_path))
    with closing(Signoff(path, policy=rules)) as signoff:
        ask(signoff)
        words = [
            sys.executable,
            "-m",
            "langgraph_signoff.cli",
            "--ledger",
            str(path),
            "--policy",
            str(rules),
            "notify",
            "--watch",
        ]
        with subprocess.Popen(words, env=environment()) as process:
            until((tmp_path / "begun").exists)
            process.send_signal(signal.SIGTERM)
            (tmp_path / "go").touch()
            assert process.wait(60) == 0
        assert signoff.notices() == []
    assert (tmp_path / "slow").read_text() == "x"


class Forgetful(SqliteLedger):
    """A ledger that cannot be written just when a message has been sent."""

    fails = 1

    def swap_notice(self, old: Notice, new: Sequence[Notice]) -> bool:
        if new[0].state == "sent" and self.fails:
            self.fails -= 1
            raise LedgerUnavailable("the disk is full")
        return super().swap_notice(old, new)


def test_what_was_sent_while_the_ledger_could_not_be_written_is_not_sent_again(path: Path, tmp_path: Path) -> None:
    with closing(Signoff(Forgetful(path), policy=rules_in(tmp_path))) as signoff:
        ticket = ask(signoff)
        with pytest.raises(LedgerUnavailable):
            signoff.deliver({})
        assert [each.state for each in signoff.notices(ticket)] == ["waiting"]
        assert signoff.deliver({}).sent == 0
        assert [each.state for each in signoff.notices(ticket)] == ["sent"]
    assert heard(tmp_path) == ["opened"]


# Garbage -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "garbage",
    [
        {"ticket": "nobody"},
        {"seq": 99},
        {"seq": -7},
        {"event": "nonsense"},
        {"owner": "nobody"},
        {"owner": "[]"},
        {"since": "yesterday"},
        {},
        {"channel": "nowhere"},
    ],
    ids=str,
)
@pytest.mark.parametrize("to", [{}, {"to": "people"}], ids=["all", "people"])
def test_a_notice_that_somebody_has_written_into_the_outbox_keeps_no_other_from_leaving(
    garbage: dict[str, Any], to: dict[str, str], path: Path, tmp_path: Path
) -> None:
    with closing(Signoff(path, policy=rules_in(tmp_path, **to))) as signoff:
        ticket = ask(signoff)
        [notice] = signoff.notices(ticket)
        # It is looked at first.
        signoff.ledger.append([], notices=[replace(notice, **{"person": "nobody", "at": "", **garbage})])
        problems = signoff.deliver({}).problems
        assert ("cannot be read" in problems.get("diary", "")) == bool(
            garbage.keys() & {"ticket", "seq", "event", "since"}
        )
        signoff.deliver({})
        real = [each.state for each in signoff.notices(ticket) if each.person != "nobody"]
        assert set(real) == {"sent"}
    assert set(heard(tmp_path)) == {"opened"}


# Links ---------------------------------------------------------------------------------------------------------------------

CLICKER = """
import sys
from langgraph_signoff import Signoff
from langgraph_signoff.errors import DecisionRefused
path, rules, says = sys.argv[1:]
signoff = Signoff(path, policy=rules)
signoff.policy
print("ready", flush=True)
for token in map(str.strip, sys.stdin):
    try:
        signoff.decide_by_link(token, says, reason=says)
        print("decided", flush=True)
    except DecisionRefused as error:
        print(type(error).__name__, flush=True)
"""


def test_of_two_clicks_on_one_link_in_two_processes_one_decides(path: Path, tmp_path: Path) -> None:
    rules = rules_in(tmp_path, to="people")
    words = json.loads(rules.read_text())
    words |= {
        "links": "https://s.example",
        "queues": {"default": {"owner": "ana", "backup": ["bo"], "approvals": 2, "rejections": 2}},
    }
    rules.write_text(json.dumps(words))
    with closing(Signoff(path, policy=rules)) as signoff:
        tickets = [ask(signoff) for _ in range(10)]
        signoff.deliver({})
        links = {one["data"]["ticket"]: one["data"]["link"] for one in told(tmp_path) if one["data"]["person"] == "ana"}
        clicks = [clicker(path, rules, says) for says in ("approve", "reject")]
        for ticket in tickets:
            for click in clicks:
                click.stdin.write(links[ticket.id].rpartition("/")[2] + "\n")  # type: ignore[union-attr]  # a pipe
                click.stdin.flush()  # type: ignore[union-attr]  # as above
            assert sorted(line(click) for click in clicks) == ["LinkRefused", "decided"]
            assert len(signoff.ticket(ticket.id).decisions) == 1
        for click in clicks:
            click.communicate()


def clicker(path: Path, rules: Path, says: str) -> subprocess.Popen[str]:
    """A process that clicks on the links that it is given."""
    words = [sys.executable, "-c", CLICKER, str(path), str(rules), says]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert line(process) == "ready"
    return process


def line(process: subprocess.Popen[str]) -> str:
    """The next line that a process prints."""
    assert process.stdout
    return process.stdout.readline().strip()

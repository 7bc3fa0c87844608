"""Notices leave: as mails, as signed webhooks, through a command; what they say, what they never say, and how they are tried again."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from cli_support import Desk, environment
from langgraph_signoff import Signoff
from langgraph_signoff.ledger import Draft
from posts import HOOKS, MAIL, Post
from support import Clock, forge, open_ticket, until
from telling import ALL, SECRET, ask, diary, heard, policy, told

MAILTO = "mailto://127.0.0.1:${PORT}?from=bot@example.org&to={address}"


@pytest.fixture
def mail(tmp_path: Path) -> Iterator[Post]:
    post = Post(MAIL, tmp_path / "mail.log").start()
    yield post
    post.kill()


@pytest.fixture
def hooks(tmp_path: Path) -> Iterator[Post]:
    post = Post(HOOKS, tmp_path / "hooks.log").start()
    yield post
    post.kill()


def hook(post: Post, where: str = "/") -> dict[str, Any]:
    return {"webhook": f"http://127.0.0.1:{post.port}{where}", "secret": "${HOOK_SECRET}"}


# What arrives --------------------------------------------------------------------------------------------------------------


def test_each_person_who_may_decide_gets_a_mail_with_a_link_of_their_own(path: Path, mail: Post) -> None:
    channels = {"mail": {"apprise": MAILTO, "to": "people"}}
    rules = policy("mail", channels=channels, links="https://signoff.example.org/decide")
    with closing(Signoff(path, policy=rules)) as signoff:
        ticket = ask(signoff, requester="bo")
        assert signoff.deliver({"PORT": str(mail.port)}).sent == 2
        assert [one["to"] for one in mail.taken] == [["ana@example.org"], ["eda@example.org"]]
        to_ana, to_owner = mail.mails
        assert to_ana["Subject"] == f"send: decision wanted ({ticket.id[:12]})"
        body = to_ana.get_body().get_content()  # type: ignore[union-attr]  # ours have one
        [link] = [line.removeprefix("decide: ") for line in body.splitlines() if line.startswith("decide: ")]
        token = link.removeprefix("https://signoff.example.org/decide/")
        assert signoff.open_link(token).id == ticket.id
        assert "decide:" not in to_owner.get_body().get_content()  # type: ignore[union-attr]  # as above; she may not
        assert signoff.deliver({}).sent == 0
        assert [(one.person, one.state) for one in signoff.notices(ticket)] == [("ana", "sent"), ("eda", "sent")]


def test_an_escalation_is_told_to_whom_it_came_with_a_link_to_decide_by(path: Path, mail: Post) -> None:
    clock, channels = Clock(), {"mail": {"apprise": MAILTO, "to": "people"}}
    rules = policy(
        {"channel": "mail", "on": ["escalated"]},
        channels=channels,
        queue={"escalate": [{"at": 0.5}]},
        links="https://s.example",
    )
    with closing(Signoff(path, policy=rules, clock=clock)) as signoff:
        ask(signoff)
        clock.advance(hours=13)
        signoff.expire()
        assert signoff.deliver({"PORT": str(mail.port)}).sent == 2
        assert [one["to"] for one in mail.taken] == [["cem@example.org"], ["eda@example.org"]]
        lines = mail.mails[0].get_body().get_content().splitlines()  # type: ignore[union-attr]  # ours have one
        [token] = [line.split("/")[-1] for line in lines if line.startswith("decide: ")]
        assert signoff.decide_by_link(token, "approve").approved_by == ("cem",)


def test_a_webhook_is_signed_as_its_standard_wants(path: Path, hooks: Post) -> None:
    with closing(Signoff(path, policy=policy("hook", channels={"hook": hook(hooks)}))) as signoff:
        ticket = ask(signoff)
        assert signoff.deliver({"HOOK_SECRET": SECRET}).sent == 1
        [one] = hooks.taken
        said = Webhook(SECRET).verify(one["body"], one["headers"])
        assert (said["type"], said["data"]["ticket"]) == ("signoff.opened", ticket.id)
        for body, key in ((one["body"].replace("send", "pay"), SECRET), (one["body"], SECRET.replace("c2", "d2"))):
            with pytest.raises(WebhookVerificationError):
                Webhook(key).verify(body, one["headers"])


def test_a_command_gets_it_as_json_on_its_standard_input(path: Path, tmp_path: Path) -> None:
    rules = policy({"channel": "diary", "on": ALL}, channels={"diary": diary(tmp_path)})
    with closing(Signoff(path, policy=rules)) as signoff:
        ticket = ask(signoff, thread_id="t-1", requester="zoe")
        signoff.reject(ticket, by="ana", reason="no")
        assert signoff.deliver({}).sent == 2
    opened, decided = told(tmp_path)
    about = {"event": "opened", "ticket": ticket.id, "tool": "send", "queue": "payments", "thread_id": "t-1"}
    assert about.items() <= opened["data"].items()
    assert decided["data"].items() >= {"by": "ana", "verdict": "reject", "standing": "rejected"}.items()
    assert opened["data"]["standing"] == "rejected"  # as it stands when it is told
    assert opened["title"] == f"send: rejected ({ticket.id[:12]})"
    assert opened["id"] != decided["id"]


def test_what_an_agent_writes_passes_for_no_line_of_ours(path: Path, mail: Post) -> None:
    channel = {"mail": {"apprise": "mailto://127.0.0.1:${PORT}?from=bot@example.org&to=desk@example.org"}}
    tools = {"send": {"describe": "Send to {args.to}", "otherwise": {"then": "review", "queue": "payments"}}}
    rules = policy({"channel": "mail", "arguments": True}, channels=channel, tools=tools)
    with closing(Signoff(path, policy=rules)) as signoff:
        ask(
            signoff,
            {
                "to": "bob\ndecide: https://evil.example\r\nBcc: all@example.org\x1b[2J",
                "n": float("nan"),
                "\ndecide: evil": 1,
            },
        )
        assert signoff.deliver({"PORT": str(mail.port)}).sent == 1
    [one] = mail.mails
    lines = one.get_body().get_content().splitlines()  # type: ignore[union-attr]  # ours have one
    assert [line for line in lines if line.startswith(("decide", "Bcc"))] == []
    assert [line.split(":")[0] for line in lines if "evil" in line] == ["what", "with", "with"]
    assert one["Bcc"] is None
    assert "\x1b" not in mail.bytes


# What never leaves ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [False, True])
def test_no_secret_leaves_and_no_argument_unless_the_queue_says_so(
    path: Path, tmp_path: Path, mail: Post, hooks: Post, arguments: bool
) -> None:
    channels = {
        "mail": {"apprise": MAILTO, "to": "people"},
        "hook": hook(hooks),
        "mine": {**hook(hooks), "to": "people"},
        "diary": diary(tmp_path),
    }
    hears = [{"channel": name, "on": ALL, "arguments": arguments} for name in channels]
    tools = {
        "send": {
            "describe": "Send {args.amount} to {args.to}",
            "redact": ["args.pin"],
            "otherwise": {"then": "review", "queue": "payments"},
        }
    }
    rules = policy(*hears, channels=channels, tools=tools, links="https://signoff.example.org", queue={"approvals": 2})
    args = {"to": "recipient-xyzzy", "amount": 987654, "pin": "4711-secret", "note": "my pin is 4711-secret"}
    with closing(Signoff(path, policy=rules)) as signoff:
        ticket = ask(signoff, args, trigger="pay recipient-xyzzy with 4711-secret")
        changed = signoff.revise(
            ticket, by="ana", args={"amount": 987655}, reason="not 987654, and 4711-secret is right"
        )
        signoff.approve(changed, by="bo", reason="recipient-xyzzy is known")
        case, _ = signoff.claims.claim(ticket.id)
        outcome = {"error": "recipient-xyzzy refused 4711-secret", "rendering": None}
        signoff.desk.write(ticket.id, lambda _: [Draft("failed", {"attempt": case.attempts}, outcome)])
        done = signoff.deliver({"PORT": str(mail.port), "HOOK_SECRET": SECRET})
        assert (done.put_off, done.given_up, done.problems) == (0, 0, {})
        assert len(heard(tmp_path)) == 4
    left = "\n".join([mail.bytes, hooks.bytes, json.dumps(told(tmp_path))])
    left += decoded(left)
    assert "-secret" not in left  # four digits alone stand in some hash by chance
    for said in ("recipient-xyzzy", "987654", "987655", ticket.digest, changed.digest):
        assert (said in left) == (arguments and said != ticket.digest), said  # it tells of the call as it is now


def decoded(text: str) -> str:
    """What the links in a text say, if one takes them apart."""
    tokens = [
        word.split("/")[-1].split(".")[0] for word in text.replace('"', " ").split() if "signoff.example.org/" in word
    ]
    assert tokens
    return "".join(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode("latin-1") for token in tokens)


def test_what_was_erased_is_not_told_any_more(path: Path, tmp_path: Path) -> None:
    rules = policy({"channel": "diary", "arguments": True}, channels={"diary": diary(tmp_path)})
    with closing(Signoff(path, policy=rules)) as signoff:
        ticket = ask(signoff, {"to": "recipient-xyzzy"})
        signoff.withdraw(ticket, by="ana")
        signoff.erase(ticket, by="ana", reason="asked to")
        assert signoff.deliver({}).sent == 1
    assert "xyzzy" not in json.dumps(told(tmp_path))


def test_a_redirect_is_not_followed(path: Path, hooks: Post) -> None:
    with closing(Signoff(path, policy=policy("hook", channels={"hook": hook(hooks, "/elsewhere")}))) as signoff:
        ask(signoff)
        assert signoff.deliver({"HOOK_SECRET": SECRET}).problems == {"hook": "it answered 307"}
        assert hooks.taken == []


# Secrets -------------------------------------------------------------------------------------------------------------------


def test_a_value_comes_from_the_environment_or_a_file_and_nothing_is_tried_without(
    path: Path, hooks: Post, tmp_path: Path
) -> None:
    with closing(Signoff(path, policy=policy("hook", channels={"hook": hook(hooks)}))) as signoff:
        ticket = ask(signoff)
        for environ, problem in (
            ({}, "it needs HOOK_SECRET: set it in the environment, or HOOK_SECRET_FILE to a file that holds it"),
            ({"HOOK_SECRET_FILE": "/no/such"}, "HOOK_SECRET_FILE names /no/such, which cannot be read"),
            ({"HOOK_SECRET": "not base64!"}, "its secret is not written as whsec_ and base64"),
            (
                {"HOOK_SECRET": "whsec_c2hvcnQ="},
                "its secret is shorter than 24 bytes, which Standard Webhooks asks for at least",
            ),
        ):
            assert signoff.deliver(environ).problems == {"hook": problem}
        [notice] = signoff.notices(ticket)
        assert (notice.state, notice.tries) == ("waiting", 0)
        (tmp_path / "secret").write_text(SECRET + "\n")
        assert signoff.deliver({"HOOK_SECRET_FILE": str(tmp_path / "secret")}).sent == 1
    Webhook(SECRET).verify(hooks.taken[0]["body"], hooks.taken[0]["headers"])


def test_no_password_comes_into_the_ledger_also_when_a_channel_fails(path: Path) -> None:
    channels = {"mail": {"apprise": "mailto://me:${PASSWORD}@127.0.0.1:9?to=desk@example.org"}}
    channels["hook"] = {"webhook": "http://me:${PASSWORD}@127.0.0.1:9/${PASSWORD}", "secret": "${HOOK_SECRET}"}
    with closing(Signoff(path, policy=policy("mail", "hook", channels=channels))) as signoff:
        ask(signoff)
        done = signoff.deliver({"PASSWORD": "hunter22", "HOOK_SECRET": SECRET})
        assert done.put_off == 2
    written = b"".join(file.read_bytes() for file in path.parent.iterdir())
    for secret in ("hunter22", SECRET):
        assert secret not in str(done)
        assert secret.encode() not in written


def test_channels_are_those_of_the_policy_in_force_and_never_those_of_the_ledger(path: Path, tmp_path: Path) -> None:
    with closing(Signoff(path, policy=policy("diary", channels={"diary": diary(tmp_path, "old")}))) as signoff:
        ask(signoff)
    with closing(Signoff(path)) as signoff:
        assert list(signoff.deliver({}).problems) == ["diary"]
    with closing(Signoff(path, policy=policy(channels={"diary": diary(tmp_path, "new")}))) as signoff:
        assert signoff.deliver({}).sent == 1
    assert (heard(tmp_path, "old"), heard(tmp_path, "new")) == ([], ["opened"])


def test_a_package_that_is_missing_is_named(path: Path, tmp_path: Path) -> None:
    (tmp_path / "signoff.yaml").write_text(
        "version: 1\nchannels: {mail: {apprise: 'json://127.0.0.1:9'}}\nnotify: [mail]\ntools: {send: review}\n"
    )
    program = "import sys; sys.modules['apprise'] = None; from langgraph_signoff.cli import main; main()"
    desk = Desk(tmp_path)
    with closing(Signoff(tmp_path / "signoff.db", policy=tmp_path / "signoff.yaml")) as signoff:
        ask(signoff)
    words = [sys.executable, "-c", program, "notify"]
    done = subprocess.run(words, cwd=desk.folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "mail: it needs apprise: pip install 'langgraph-signoff[notify]'" in done.stdout


# Trying again --------------------------------------------------------------------------------------------------------------


def test_a_channel_that_takes_nothing_is_tried_ever_more_rarely_and_given_up_after_three_days(
    path: Path, tmp_path: Path
) -> None:
    clock, channels = Clock(), {"broken": {"command": ["false"]}, "diary": diary(tmp_path)}
    with closing(Signoff(path, policy=policy("broken", "diary", channels=channels), clock=clock)) as signoff:
        ticket = ask(signoff)
        done, days = signoff.deliver({}), 0.0
        assert (done.sent, done.put_off, done.problems) == (1, 1, {"broken": "false ended with 1"})
        tries = []
        while not done.given_up:
            [notice] = signoff.notices()
            tries.append(notice.tries)
            assert signoff.deliver({}) == type(done)()  # nothing is due
            clock.advance(hours=2)
            days += 2 / 24
            done = signoff.deliver({})
        assert 3 <= days <= 3.2
        assert tries == list(range(1, len(tries) + 1))
        [notice] = signoff.notices()
        assert (notice.state, notice.problem, signoff.deliver({})) == ("given_up", "false ended with 1", type(done)())
        assert signoff.try_again() == 1
    channels["broken"] = diary(tmp_path, "mended")
    with closing(Signoff(path, policy=policy(channels=channels), clock=clock)) as signoff:
        assert signoff.deliver({}).sent == 1
        assert signoff.notices() == []
        assert [one.state for one in signoff.notices(ticket)] == ["sent", "sent"]
    assert heard(tmp_path, "mended") == ["opened"]


def test_a_dead_channel_is_left_alone_after_three_messages_and_keeps_no_other_waiting(path: Path, hooks: Post) -> None:
    channels = {"dead": hook(hooks, "/refuses"), "alive": hook(hooks)}
    with closing(Signoff(path, policy=policy("dead", "alive", channels=channels))) as signoff:
        for _ in range(120):  # more than a page of the outbox
            ask(signoff)
        done = signoff.deliver({"HOOK_SECRET": SECRET})
        assert (done.sent, done.put_off, done.problems) == (120, 3, {"dead": "it answered 500"})


def test_a_message_that_its_channel_refuses_keeps_no_other_of_its_channel_waiting(path: Path, tmp_path: Path) -> None:
    program = "import json, sys; sys.exit('bo' == json.load(sys.stdin)['data']['person'])"
    channels = {"page": {"command": [sys.executable, "-c", program], "to": "people"}}
    with closing(Signoff(path, policy=policy("page", channels=channels))) as signoff:
        ask(signoff)
        done = signoff.deliver({})
        assert (done.sent, done.put_off) == (2, 1)
        assert [notice.person for notice in signoff.notices()] == ["bo"]


def test_where_nobody_has_an_address_it_is_said_so(path: Path) -> None:
    people = {
        "ana": {"groups": ["finance"]},
        "cem": {"groups": ["leads"]},
        "eda": {},
        "zoe": {"address": "zoe@example.org"},
    }
    rules = policy("page", channels={"page": {"command": ["true"], "to": "people"}}, people=people)
    with closing(Signoff(path, policy=rules)) as signoff:
        ask(signoff)
        assert signoff.deliver({}).given_up == 1
        assert signoff.notices()[0].problem == "nobody to tell: of ana, eda nobody has an address"


# The command ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A ledger with one ticket, of which a diary hears and a broken channel too."""
    (tmp_path / "signoff.yaml").write_text(
        f"version: 1\nchannels:\n  diary: {{command: {json.dumps(diary(tmp_path)['command'])}}}\n"
        "  broken: {command: ['false']}\nnotify: [diary, broken]\ntools: {send: review}\n"
    )
    with closing(Signoff(tmp_path / "signoff.db", policy=tmp_path / "signoff.yaml")) as signoff:
        ask(signoff)
    return Desk(tmp_path)


def test_notify_sends_what_is_due_and_lists_what_has_reached_nobody(desk: Desk) -> None:
    before = desk.run("notify", "--failed")
    assert before.out.count("tried 0 times") == 2
    first, second = desk.run("notify"), desk.run("notify", "--json")
    assert (first.code, first.out) == (1, "1 sent, 1 to be tried again\nbroken: false ended with 1\n")
    assert second.json == {"sent": 0, "put_off": 0, "given_up": 0, "problems": {}}
    after = desk.run("notify", "--failed")
    assert "opened  broken  tried 1 times, due at " in after.out
    assert after.out.endswith(": false ended with 1\n")
    assert desk.run("notify", "--failed", "--json").json[0]["channel"] == "broken"
    assert heard(desk.folder) == ["opened"]
    assert desk.run("notify", "--failed", "--watch").is_one_clear_sentence


def test_notify_tries_again_what_was_given_up(desk: Desk) -> None:
    signoff = desk.signoff
    [broken] = [each for each in signoff.notices() if each.channel == "broken"]
    signoff.ledger.swap_notice(broken, [replace(broken, state="given_up", problem="long ago")])
    assert desk.run("notify").out == "1 sent\n"
    assert desk.run("notify").code == 0
    assert "given up" in desk.run("notify", "--failed").out
    assert desk.run("notify", "--again").out == "1 to be tried again\nbroken: false ended with 1\n"


@pytest.mark.parametrize("command", [["notify", "--watch"], ["run-clock", "--every", "1s"]], ids=" ".join)
def test_a_command_that_keeps_running_sends_what_comes_up(desk: Desk, command: list[str]) -> None:
    words = [sys.executable, "-m", "langgraph_signoff.cli", *command]
    with subprocess.Popen(words, cwd=desk.folder, env=environment(), stdout=subprocess.PIPE, text=True) as watching:
        try:
            until(lambda: heard(desk.folder) == ["opened"])
            with closing(Signoff(desk.folder / "signoff.db", policy=desk.folder / "signoff.yaml")) as signoff:
                ask(signoff)
            until(lambda: heard(desk.folder) == ["opened", "opened"])
        finally:
            watching.kill()


def test_a_ticket_that_cannot_be_read_keeps_the_clock_from_telling_of_no_other(desk: Desk) -> None:
    words = [sys.executable, "-m", "langgraph_signoff.cli", "run-clock", "--every", "1s"]
    path, said = desk.folder / "signoff.db", desk.folder / "said.txt"
    with closing(Signoff(path, policy=desk.folder / "signoff.yaml")) as signoff, said.open("w") as errors:
        damaged = open_ticket(signoff, window=timedelta(seconds=1))
        forge(path, f"UPDATE entries SET body = '{{}}' WHERE stream = '{damaged.id}'")
        with subprocess.Popen(words, cwd=desk.folder, env=environment(), stderr=errors) as watching:
            try:
                until(lambda: "cannot be read" in said.read_text())
                ask(signoff)
                until(lambda: heard(desk.folder) == ["opened", "opened"])
                until(lambda: signoff.verify().unsealed == 0)
            finally:
                watching.kill()

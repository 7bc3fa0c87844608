"""What is owed to whom: the policy names channels, and each entry that they hear of puts its notices into the outbox."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from langgraph_signoff import Policy, PolicyError, Signoff, StaleTicket, Ticket, law
from langgraph_signoff.ledger import Draft, Notice, link
from langgraph_signoff.notify.delivery import LONGEST_PAUSE, pause
from support import NOW, Clock, open_audit, opening
from telling import ALL, ask, owed, policy

ONE = {"log": {"command": ["true"]}}


def signoff_of(path: Path, rules: Policy, clock: Clock) -> Signoff:
    return Signoff(path, policy=rules, clock=clock)


# The outbox ----------------------------------------------------------------------------------------------------------------


def test_every_event_of_a_ticket_is_owed_to_the_channels_that_hear_of_it(path: Path, clock: Clock) -> None:
    heard = [{"channel": "log", "on": ALL}, {"channel": "few", "on": ["failed"]}]
    rules = policy(*heard, channels={**ONE, "few": ONE["log"]}, queue={"approvals": 2})
    with closing(signoff_of(path, rules, clock)) as signoff:
        ticket = ask(signoff)
        signoff.take(ticket, by="ana")
        signoff.comment(ticket, by="ana", text="hm")
        signoff.assign(ticket, to="bo", by="ana")
        changed = signoff.revise(ticket, by="ana", args={"amount": 7})
        signoff.approve(changed, by="bo")
        claim, _ = signoff.claims.claim(ticket.id)
        signoff.desk.write(ticket.id, lambda _: [Draft("in_doubt", {"attempt": claim.attempts})])
        signoff.settle(ticket, "give_up", by="ana")
        assert [each for each in owed(signoff, ticket) if each.startswith("log:")] == [
            "log:opened",
            "log:assigned",
            "log:revised",
            "log:decided",
            "log:in_doubt",
            "log:failed",
        ]
        assert [each for each in owed(signoff, ticket) if each.startswith("few:")] == ["few:failed"]


def test_silence_is_told_too(path: Path, clock: Clock) -> None:
    queue = {"remind": [0.5], "escalate": [{"at": 0.75}]}
    with closing(signoff_of(path, policy({"channel": "log", "on": ALL}, channels=ONE, queue=queue), clock)) as signoff:
        late, unused, gone = ask(signoff), ask(signoff), ask(signoff)
        signoff.approve(unused, by="ana")
        signoff.withdraw(gone, by="ana")
        clock.advance(days=2)
        signoff.expire()
        assert owed(signoff, late) == ["log:opened", "log:reminded", "log:escalated", "log:expired"]
        assert owed(signoff, unused) == ["log:opened", "log:decided", "log:lapsed"]
        assert owed(signoff, gone) == ["log:opened", "log:withdrawn"]


def test_what_nobody_was_asked_about_is_told_to_nobody_but_a_doubt_is(path: Path, clock: Clock) -> None:
    tools = {"send": {"otherwise": {"then": "allow", "once": True, "record": True}}}
    with closing(signoff_of(path, policy("log", channels=ONE, tools=tools, notify=["log"]), clock)) as signoff:
        ran, doubtful, denied = ask(signoff), ask(signoff), opening(mode="deny")
        for ticket in (ran, doubtful):
            claim, granted = signoff.claims.claim(ticket.id)
            assert granted
        signoff.desk.write(ran.id, lambda _: [Draft("failed", {"attempt": claim.attempts}, {"error": "no"})])
        signoff.desk.write(doubtful.id, lambda _: [Draft("in_doubt", {"attempt": claim.attempts})])
        signoff.desk.open([denied], policy=(signoff.policy.version, signoff.policy.document))
        assert (owed(signoff, ran), owed(signoff, doubtful)) == ([], ["log:in_doubt"])
        assert owed(signoff, signoff.ticket(denied.id)) == []


def test_an_audit_is_told_of_when_it_opens_and_when_it_is_flagged(path: Path, clock: Clock) -> None:
    rules = policy({"channel": "log", "on": ALL}, channels=ONE)
    with closing(signoff_of(path, rules, clock)) as signoff:
        hears = signoff.policy.rule(opening().action, now=NOW).requirements.notify
        audit = open_audit(signoff, notify=hears)
        signoff.flag(audit, by="ana", reason="odd")
        assert owed(signoff, audit) == ["log:opened", "log:decided"]
        assert [notice for notice in signoff.notices() if notice.ticket == audit.about] == []


def test_a_queue_that_names_no_channel_hears_those_of_all_queues_and_an_empty_list_none(
    path: Path, clock: Clock
) -> None:
    tools = {
        "send": {"otherwise": {"then": "review", "queue": "quiet"}},
        "post": {"otherwise": {"then": "review", "queue": "plain"}},
    }
    queues = {"quiet": {"notify": []}, "plain": {}}
    rules = Policy(channels=ONE, notify=["log"], queues=queues, tools=tools)
    with closing(signoff_of(path, rules, clock)) as signoff:
        assert owed(signoff, ask(signoff)) == []
        assert owed(signoff, ask(signoff, tool="post")) == ["log:opened"]
        assert owed(signoff, ask(signoff, tool="unheard_of")) == ["log:opened"]


def test_an_entry_that_is_not_written_owes_nothing(path: Path, clock: Clock) -> None:
    with closing(signoff_of(path, policy("log", channels=ONE), clock)) as signoff:
        ticket = ask(signoff)
        [notice] = signoff.notices(ticket)
        again = link(ticket.id, None, [Draft("opened", {})], NOW)
        with pytest.raises(StaleTicket):
            signoff.ledger.append(again, notices=[Notice(**{**as_dict(notice), "entry": again[0].hash})])
        assert signoff.notices() == [notice]
        signoff.ledger.append([], notices=[Notice(**{**as_dict(notice), "event": "decided"})])
        assert signoff.notices() == [notice]  # one for each entry, channel and person


def as_dict(notice: Notice) -> dict[str, Any]:
    return {name: getattr(notice, name) for name in Notice.__slots__}


def test_of_two_who_change_one_notice_one_finds_it_changed(path: Path, clock: Clock) -> None:
    with closing(signoff_of(path, policy("log", channels=ONE), clock)) as signoff:
        ask(signoff)
        [notice] = signoff.notices()
        mine = Notice(**{**as_dict(notice), "owner": "me", "tries": 1})
        assert signoff.ledger.swap_notice(notice, [mine])
        assert not signoff.ledger.swap_notice(notice, [Notice(**{**as_dict(notice), "owner": "you"})])
        people = [Notice(**{**as_dict(notice), "person": name}) for name in ("ana", "bo")]
        assert not signoff.ledger.swap_notice(notice, people)
        assert signoff.ledger.swap_notice(mine, people)
        assert signoff.notices() == people


def test_a_ticket_of_which_nobody_hears_costs_no_statement_more(path: Path, clock: Clock) -> None:
    with closing(signoff_of(path, policy(channels=ONE), clock)) as signoff:
        ask(signoff)
        said: list[str] = []
        signoff.ledger._connection().set_trace_callback(said.append)  # type: ignore[attr-defined]  # SQLite's
        ticket = ask(signoff)
        signoff.approve(ticket, by="ana")
        assert said
        assert [statement for statement in said if "outbox" in statement] == []


def test_who_is_asked_about_a_ticket_is_told_and_who_asked_hears_the_answer(path: Path, clock: Clock) -> None:
    with closing(signoff_of(path, policy("log", channels=ONE), clock)) as signoff:
        ticket = ask(signoff)
        signoff.request_info(ticket, by="ana", of="cem", text="is it theirs?")
        assert told(signoff, ticket) == ["cem", "eda"]
        signoff.give_info(ticket, by="cem", text="it is")
        assert told(signoff, ticket) == ["ana", "eda"]
        assert owed(signoff, ticket) == ["log:opened", "log:info_requested", "log:info_given"]


def test_the_stricter_of_two_rulings_tells_the_channels_of_both() -> None:
    one, other = (
        policy({"channel": name, "on": on}, channels={name: ONE["log"]}).rule(opening().action, now=NOW).requirements
        for name, on in (("a", ["opened"]), ("b", ["failed"]))
    )
    assert [each.channel for each in law.ruled_again(*(rule(needs) for needs in (one, other))).requirements.notify] == [
        "a",
        "b",
    ]


def rule(needs: Any) -> Any:
    return opening().ruling.model_copy(update={"requirements": needs})


def test_pauses_grow_to_an_hour_and_no_two_deliverers_keep_step() -> None:
    spans = [pause(tries, 1.0).total_seconds() for tries in range(1, 40)]
    assert spans == sorted(spans)
    assert (spans[0], spans[1], spans[-1]) == (10, 20, LONGEST_PAUSE)
    assert pause(5, 0.0) * 2 == pause(5, 1.0)


# The policy ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("channels: {a: {}}", "is one of apprise, webhook and command"),
        ("channels: {a: null}", "is one of apprise, webhook and command"),
        ("channels: {a: {command: [x], apprise: 'json://x'}}", "is one of apprise, webhook and command"),
        ("channels: {a: {command: []}}", "channels.a.command"),
        ("channels: {a: {comand: [x]}}", "did you mean command?"),
        ("channels: {'a b': {command: [x]}}", "channels.a b"),
        ("channels: {a: {apprise: 'mailtos://me:hunter2@example.org'}}", "holds a password"),
        ("channels: {a: {apprise: 'json://${NAME'}}", "begins no name"),
        ("channels: {a: {webhook: 'https://example.org'}}", "needs its secret"),
        ("channels: {a: {webhook: 'https://example.org', secret: whsec_plain}}", "channels.a.secret"),
        ("channels: {a: {webhook: 'https://example.org', secret: 'x${NAME}'}}", "channels.a.secret"),
        ("channels: {a: {webhook: 'file:///etc/passwd', secret: '${NAME}'}}", "begins with https:// or http://"),
        ("channels: {a: {command: [x], secret: '${NAME}'}}", "nothing else has one"),
        ("channels: {a: {apprise: 'json://x?to={address}'}}", "write `to: people`"),
        ("channels: {a: {apprise: 'json://x', to: people}}", "say where a person's {address} stands"),
        ("channels: {a: {command: [x], to: people}}\nnotify: [a]", "nobody in `people` has an address"),
        ("notify: [a]", "unknown channel a; add it to `channels`"),
        ("queues: {q: {notify: [a]}}", "unknown channel a; add it to `channels`"),
        ("channels: {a: {command: [x]}}\nnotify: [a, {channel: a}]", "a hears of it already"),
        ("channels: {a: {command: [x]}}\nnotify: [{channel: a, on: [never]}]", "should be 'opened'"),
        ("channels: {a: {command: [x]}}\nnotify: [{chanel: a}]", "did you mean channel?"),
        ("links: example.org", "links"),
        ("links: 'https://example.org?x=1'", "links"),
        ("links: {url: 'https://example.org', valid_for: 400d}", "longer than 366d"),
    ],
)
def test_a_mistake_in_whom_to_tell_is_named_and_quotes_no_secret(written: str, says: str) -> None:
    with pytest.raises(PolicyError) as refused:
        Policy.parse(f"version: 1\n{written}\n")
    assert says in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_no_address_is_stored_and_none_is_part_of_the_version(path: Path, clock: Clock) -> None:
    there = {"mail": {"apprise": "mailto://token-in-the-path/x?to={address}", "to": "people"}}
    elsewhere = {"mail": {"command": ["page", "cem"], "to": "people"}}
    rules = policy("mail", channels=there, links="https://signoff.example.org")
    assert rules.version == policy("mail", channels=elsewhere).version
    assert rules.version != policy(channels=there).version
    with closing(signoff_of(path, rules, clock)) as signoff:
        ask(signoff)
        stored = Policy.parse(signoff.ledger.policy(rules.version) or "")
    written = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"token-in-the-path" not in written
    assert b"example.org" not in written
    assert stored.version == rules.version
    assert (stored.channel("mail"), stored.links, stored.addresses) == (None, None, {})
    assert json.loads(stored.document)["channels"] == {"mail": "elsewhere"}


def test_only_the_queue_lets_arguments_leave() -> None:
    rules = policy({"channel": "log", "arguments": True}, channels=ONE, notify=["log"])
    assert rules.shows_arguments("payments", "log")
    assert not rules.shows_arguments("default", "log")
    assert not rules.shows_arguments("payments", "other")
    assert not Policy().shows_arguments("payments", "log")


# Whom --------------------------------------------------------------------------------------------------------------------------


def test_whoever_is_asked_is_told_by_name_and_the_owner_of_everything(path: Path, clock: Clock) -> None:
    queue = {"remind": [0.5], "escalate": [{"at": 0.75}]}
    with closing(signoff_of(path, policy("log", channels=ONE, queue=queue), clock)) as signoff:
        ticket = ask(signoff, requester="bo")
        assert told(signoff, ticket) == ["ana", "eda"]  # bo asked for it
        signoff.assign(ticket, to="ana", by="eda")
        assert told(signoff, ticket) == ["ana", "eda"]
        clock.advance(hours=18)
        signoff.expire()
        assert told(signoff, ticket, 3) == ["ana", "cem", "eda"]  # reminded: by now cem may as well
        assert told(signoff, ticket) == ["cem", "eda"]
        clock.advance(hours=6)
        signoff.expire()
        assert told(signoff, ticket) == ["eda"]
        assert law.audience(signoff.desk.case(ticket.id), ("opened", signoff.history(ticket)[0]), None, {}) == []


def told(signoff: Signoff, ticket: Ticket, seq: int = 0) -> list[str]:
    """Who is told by name of an entry of a ticket, the last one if none is named."""
    case, entry = signoff.desk.case(ticket.id), signoff.history(ticket)[seq - 1]
    return list(law.audience(case, (law.event_of(case, entry) or "", entry), signoff.policy.people, {}))

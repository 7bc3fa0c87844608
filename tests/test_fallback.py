"""What silence may set off: another call, which the policy allows by itself, once; never the action that nobody approved."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator

from langgraph_signoff import Action, Advice, FollowUp, Policy, PolicyError, Query, Ruling, Standing
from support import NOW, agent, opening
from workplace import Workplace

POLICY = """
version: 1
vars: {desk: north}
queues:
  letters: {window: 2h, on_timeout: {tool: acknowledge, args: {to: '{args.to}', text: '{tool} waits at {vars.desk}'}}}
tools:
  acknowledge: allow
  send:
    redact: [args.pin]
    otherwise: {then: review, queue: letters}
"""
SEND = [("send", {"to": "bob", "pin": "4711"})]


EVERYTHING = Query(limit=100)


Restless = Annotated[str, AfterValidator(lambda value: f"{value} {next(_numbers)}")]
_numbers = itertools.count()


class Post(Workplace):
    """An agent that sends letters."""

    def __init__(self, folder: Path, policy: str = POLICY) -> None:
        super().__init__(folder, policy)

    def send(self, to: str, pin: str = "") -> str:
        """Sends a letter."""
        return self.effect(f"send {to} {pin}")

    def acknowledge(self, to: str, text: str = "") -> str:
        """Says that it has come."""
        return self.effect(f"acknowledge {to}: {text}")

    @contextmanager
    def overdue(self) -> Iterator[Any]:
        """The agent, with a letter that nobody has decided in time."""
        with agent(self.signoff, [self.send, self.acknowledge], [SEND, "Done."], threads=self.folder / "t.db") as graph:
            assert self.signoff.run(graph, {"messages": [("user", "go")]}, thread_id="t").status == "pending_approval"
            self.clock.advance(hours=3)
            yield graph

    @property
    def asked(self) -> str:
        [found] = [t.id for t in self.signoff.find(EVERYTHING) if t.tool == "send"]
        return found

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.signoff.history(self.asked)]


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    made = Post(tmp_path)
    yield made
    made.signoff.close()


def test_silence_calls_the_other_tool_once_and_never_the_action_itself(post: Post) -> None:
    with post.overdue() as graph:
        [done] = post.signoff.follow_up(graph)
        assert (done.about, done.did) == (post.asked, "call")
        assert post.effects == ["acknowledge bob: send waits at north"]
        assert post.signoff.follow_up(graph) == []
        run = post.signoff.resume(graph, thread_id="t")
        assert run.status == "completed"
        assert "nobody decided in time, and acknowledge is called instead" in run.output["messages"][-2].text
    assert post.effects == ["acknowledge bob: send waits at north"]
    assert post.kinds() == ["opened", "expired", "followed_up"]
    ticket = post.signoff.ticket(post.asked)
    assert ticket.standing is Standing.EXPIRED
    assert ticket.follow_up == FollowUp(about=ticket.id, did="call", tickets=done.tickets)
    assert post.signoff.ticket(done.tickets[0]).trigger == f"nobody decided in time on send, ticket {ticket.id[:12]}"
    assert post.signoff.verify().broken == []


def test_nothing_is_called_before_the_window_is_over_or_after_a_decision(post: Post) -> None:
    with post.overdue() as graph:
        post.clock.advance(hours=-2)
        assert post.signoff.follow_up(graph) == []
        post.signoff.reject(post.signoff.ticket(post.asked), by="ana")
        post.clock.advance(hours=5)
        assert post.signoff.follow_up(graph) == []
    assert post.effects == []


def test_two_at_once_call_it_once(post: Post) -> None:
    with post.overdue() as graph:
        threads = [Thread(target=post.again().follow_up, args=(graph,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        post.signoff.follow_up(graph)
    assert post.effects == ["acknowledge bob: send waits at north"]
    assert post.kinds() == ["opened", "expired", "followed_up"]


def test_a_call_that_fails_is_left_to_a_person_and_not_tried_again(post: Post) -> None:
    post.fails = True
    with post.overdue() as graph:
        [found] = post.signoff.follow_up(graph)
        assert (found.did, "ConnectionError" in found.why) == ("alert", True)
        assert post.signoff.follow_up(graph) == []
    assert len(post.effects) == 1
    assert post.kinds()[-1] == "alerted"


def test_what_the_policy_of_the_day_does_not_allow_is_not_called(post: Post) -> None:
    with post.overdue():
        stricter = Post(
            post.folder,
            POLICY.replace("acknowledge: allow", "acknowledge: {rules: [{when: 'args.to == \"eve\"', then: allow}]}"),
        )
        stricter.clock = post.clock
        with (
            closing(stricter.again()) as signoff,
            agent(signoff, [post.send, post.acknowledge], [SEND, "Done."], threads=post.folder / "t.db") as later,
        ):
            [found] = signoff.follow_up(later)
            assert (found.did, "not_allowed_on_timeout" in found.why) == ("alert", True)
            assert signoff.pending() == []
    assert post.effects == []


def test_an_advisors_doubt_denies_it_and_asks_nobody_a_second_time(post: Post) -> None:
    def doubt(action: Action, _: Ruling) -> Advice | None:
        return Advice(mode="review", note="odd") if action.tool == "acknowledge" else None

    post.signoff = post.again(advisors=[doubt])
    with post.overdue() as graph:
        [found] = post.signoff.follow_up(graph)
        assert (found.did, "not_allowed_on_timeout" in found.why) == ("alert", True)
        assert (post.signoff.pending(), post.signoff.follow_up(graph)) == ([], [])
    assert post.effects == []


def test_arguments_that_parse_otherwise_each_time_deny_it_and_ask_nobody(post: Post) -> None:
    def acknowledge(to: Restless, text: str = "") -> str:
        """Says that it has come."""
        return post.effect(f"acknowledge {to}: {text}")

    with post.overdue(), agent(post.signoff, [post.send, acknowledge], [], threads=post.folder / "t.db") as graph:
        [found] = post.signoff.follow_up(graph)
        assert (found.did, "not_allowed_on_timeout" in found.why) == ("alert", True)
        assert (post.signoff.pending(), post.signoff.follow_up(graph)) == ([], [])
    assert post.effects == []


ITSELF = """
version: 1
queues: {default: {window: 2h, on_timeout: {tool: acknowledge, args: {to: '{args.to}'}}}}
budgets: [{tool: acknowledge, sum: '7.0', limit: 10, per: hour, by: all}]
tools: {acknowledge: {otherwise: {then: allow, once: true}}}
"""


def test_an_allowed_call_that_a_person_was_asked_about_is_not_called_by_silence(tmp_path: Path) -> None:
    post = Post(tmp_path, ITSELF)
    script = [[("acknowledge", {"to": "bob"})], [("acknowledge", {"to": "eve"})], "Done."]
    with closing(post.signoff), agent(post.signoff, [post.acknowledge], script, threads=tmp_path / "t.db") as graph:
        [ticket] = post.signoff.run(graph, {"messages": [("user", "go")]}, thread_id="t").tickets
        assert (ticket.reason_code, ticket.requirements.on_timeout) == ("over_budget", "deny")
        post.clock.advance(hours=3)  # and the budget is as good as new
        assert post.signoff.follow_up(graph) == []
    assert post.effects == ["acknowledge bob: "]


def test_an_erased_ticket_sets_nothing_off(post: Post) -> None:
    with post.overdue() as graph:
        post.signoff.expire()
        post.signoff.erase(post.asked, by="dpo", reason="art. 17")
        [found] = post.signoff.follow_up(graph)
        assert (found.did, "erased" in found.why) == ("alert", True)
    assert post.effects == []


def test_a_halt_holds_it_until_the_release(post: Post) -> None:
    with post.overdue() as graph:
        post.signoff.halt(by="ana", tool="acknowledge")
        [found] = post.signoff.follow_up(graph)
        assert (found.did, post.effects) == ("wait", [])
        post.signoff.release(by="ana", tool="acknowledge")
        [found] = post.signoff.follow_up(graph)
    assert (found.did, len(post.effects)) == ("call", 1)


@pytest.mark.parametrize(
    ("written", "where", "says"),
    [
        ("{tool: send, args: {to: '{args.to}'}}", "queues.letters.on_timeout.tool", "nobody has approved it"),
        ("{tool: shred}", "queues.letters.on_timeout.tool", "review, never allow"),
        ("{tool: acknowledge, args: {to: '{args.pin}'}}", "queues.letters.on_timeout.args", "redacted"),
        ("{tool: acknowledge, args: {to: '{flag.by}'}}", "queues.letters.on_timeout.args", "nobody has flagged it"),
        ("{tool: acknowledge, args: {to: '{vars.none}'}}", "queues.letters.on_timeout.args", "unknown vars.none"),
        ("{tol: acknowledge}", "queues.letters.on_timeout", "did you mean tool"),
        ("approve", "queues.letters.on_timeout", "silence is no"),
        ("[acknowledge]", "queues.letters.on_timeout", "silence is no"),
    ],
)
def test_what_silence_may_not_set_off_is_refused_where_it_stands(written: str, where: str, says: str) -> None:
    start = POLICY.index("{tool: acknowledge")
    end = POLICY.index("}\ntools")
    with pytest.raises(PolicyError, match=says) as refused:
        Policy.parse(POLICY[:start] + written + POLICY[end:])
    assert all(mistake.where.startswith(where) for mistake in refused.value.mistakes)


def test_fixed_arguments_are_ruled_when_the_file_is_loaded() -> None:
    rules = "{rules: [{when: 'args.to == \"bob\"', then: allow}]}"
    policy = POLICY.replace("acknowledge: allow", f"acknowledge: {rules}")
    Policy.parse(policy.replace("'{args.to}'", "bob").replace("'{tool} waits at {vars.desk}'", "waits"))
    with pytest.raises(PolicyError, match="with these args is review"):
        Policy.parse(policy.replace("'{args.to}'", "eve").replace("'{tool} waits at {vars.desk}'", "waits"))


def test_a_queue_to_which_only_what_no_entry_names_comes_is_held_to_the_same() -> None:
    with pytest.raises(PolicyError, match=r"queues.default.on_timeout.tool: wipe is deny, never allow"):
        Policy(queues={"default": {"on_timeout": {"tool": "wipe"}}}, tools={"wipe": "deny"})


def test_a_rule_may_deny_where_its_queue_calls() -> None:
    policy = Policy.parse(POLICY.replace("queue: letters}", "queue: letters, on_timeout: deny}"))
    assert policy.rule(opening().action, now=NOW).requirements.on_timeout == "deny"


def test_an_approval_that_nobody_used_sets_nothing_off(post: Post) -> None:
    with post.overdue() as graph:
        post.clock.advance(hours=-2)
        post.signoff.revise(post.signoff.ticket(post.asked), by="ana", args={"to": "carl"})
        assert post.signoff.ticket(post.asked).standing is Standing.APPROVED
        post.clock.advance(hours=30)
        assert post.signoff.follow_up(graph) == []
    assert post.effects == []

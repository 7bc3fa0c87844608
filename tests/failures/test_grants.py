"""Grants under attack: uses taken at once, lost or won by a crash, after the end, after a revocation, by forgery."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from failures.world import SENT, World, human, swapped
from langgraph_signoff import Grant, LedgerCorrupt, Policy, Signoff, Standing, Ticket
from langgraph_signoff.claims import Unpermitted
from langgraph_signoff.granting import to_row
from langgraph_signoff.law.grants import read
from langgraph_signoff.ledger import Draft, link
from langgraph_signoff.ledger.sqlite import SqliteLedger
from langgraph_signoff.records import Opening
from langgraph_signoff.vocabulary import GRANTED, Granted
from support import NOW, Clock, forge, opening

from .crew import Scene

EXACT = {"to": "bob", "amount": 7.0}


def permit(signoff: Signoff, **more: Any) -> Grant:
    """A permission to send, as ana gives it."""
    given = {"by": "ana", "reason": "rent", "until": "1h", "when": "args.to == 'bob'", **more}
    return signoff.grant("send", **given)


def open_call(signoff: Signoff, **more: Any) -> Opening:
    """A call of `send` to bob as the gate opens it."""
    policy = signoff.policy
    made = opening(**{"call_id": "c", "policy_version": policy.version, **more})
    opened = signoff.plans.open([made], policy=(policy.version, policy.document), people=policy.people)
    return (opened or [])[0]


# At once ------------------------------------------------------------------------------------------------------------------


def test_of_many_calls_at_once_only_as_many_run_as_there_are_uses(tmp_path: Path) -> None:
    with closing(Signoff(tmp_path / "s.db")) as signoff:
        grant = permit(signoff, uses=3, total={"sum": "args.amount", "limit": 10})
    start = threading.Barrier(8)
    opened: list[Opening] = []

    def propose() -> None:
        with closing(Signoff(tmp_path / "s.db")) as own:
            start.wait()
            opened.append(open_call(own))

    threads = [threading.Thread(target=propose) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with closing(Signoff(tmp_path / "s.db")) as signoff:
        standings = sorted(signoff.ticket(each.id).standing for each in opened)
        assert standings == [Standing.APPROVED] * 2 + [Standing.PENDING] * 6, "the sum is reached before the uses are"
        [found] = signoff.grants(ended=True)
        assert (found.id, found.used, found.spent) == (grant.id, 2, 10)
        assert signoff.verify().broken == []


@pytest.mark.parametrize("door", ["message", "node"])
def test_two_processes_do_not_both_take_the_last_use(door: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    raced, wanted = 0, 20 if request.config.getoption("--long") else 2
    for trial in range(10 * wanted):
        scene = Scene(tmp_path / str(trial), door=door)
        with closing(scene.signoff()) as signoff:
            permit(signoff, uses=1, kind="node" if door == "node" else "tool")
        scene.make_threads()
        started = [scene.start("run", barrier="gate", thread=thread) for thread in ("a", "b")]
        one, other = (process.wait() for process in started)
        assert sorted((one.status, other.status)) == ["completed", "pending_approval"]
        assert len(scene.effects()) == 1
        with closing(scene.signoff()) as signoff:
            assert signoff.verify().broken == []
            assert [grant.used for grant in signoff.grants(ended=True)] == [1]
        raced += one.overlaps(other)
        if raced == wanted:
            return
    raise AssertionError("no two processes ever met")


# Crashes ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "effects", "used"),
    [
        ("used+opened:before", 0, 0),
        ("used+opened:after", 0, 1),
        ("claimed:after", 0, 1),
        ("effect:after", 1, 1),
        ("executed:before", 1, 1),
    ],
)
def test_a_crash_neither_frees_a_use_nor_takes_two(moment: str, effects: int, used: int, tmp_path: Path) -> None:
    scene = Scene(tmp_path, durability="sync")
    with closing(scene.signoff()) as signoff:
        permit(signoff, uses=1)
    scene.do("run", kill=moment)
    assert len(scene.effects()) == effects
    with closing(scene.signoff()) as signoff:
        assert [grant.used for grant in signoff.grants(ended=True)] == [used]
    last = scene.finish(answer="truth")
    assert len(scene.effects()) == 1
    assert scene.standings("bob") == ["executed"], "and nobody was asked to approve it"
    with closing(scene.signoff()) as signoff:
        assert [grant.used for grant in signoff.grants(ended=True)] == [1]
    scene.check(last)


def test_what_is_reviewed_with_the_outcome_of_its_run_only_is_rejected_before_it(tmp_path: Path) -> None:
    with closing(Signoff(tmp_path / "s.db")) as signoff:
        permit(signoff)
        permit(signoff, effect="reject", when="args.amount > 5")
        calls = [
            open_call(signoff, args={"to": "bob", "amount": n}, mode="allow", once=True, at_the_end=True)
            for n in (5, 6)
        ]
        assert [call.ruling.reason_code for call in calls] == ["test", "standing_rejection"]
        assert [signoff.ticket(call.id).standing for call in calls] == [Standing.APPROVED, Standing.DENIED]
        assert {grant.effect: grant.used for grant in signoff.grants()} == {"allow": 0, "reject": 1}
        assert signoff.verify().broken == []


# Ended between the use and the start --------------------------------------------------------------------------------------


def revoke(world: World) -> None:
    world.signoff.revoke(world.signoff.grants(ended=True)[0], by="ana", reason="enough")


def reject(world: World) -> None:
    permit(world.signoff, effect="reject")


@pytest.mark.parametrize("ending", [revoke, reject], ids=lambda ending: ending.__name__)
def test_what_is_revoked_or_rejected_between_the_use_and_the_start_asks(
    sync_world: World, ending: Callable[[World], None]
) -> None:
    world = sync_world
    world.open([[("send", {"to": "bob", "amount": 5.0})], "ok"])
    permit(world.signoff)
    claim = world.signoff.claims.claim

    def late(ticket_id: str, mine: Any) -> Any:
        world.signoff.claims.claim = claim  # type: ignore[method-assign]  # once
        ending(world)
        return claim(ticket_id, mine)

    world.signoff.claims.claim = late  # type: ignore[method-assign]  # a moment between two steps of ours
    run = world.run()
    assert [(ticket.reason_code, ticket.granted) for ticket in run.tickets] == [("no_longer_granted", None)]
    assert world.effects == []
    assert world.approve_all().status == "completed"
    assert world.effects == ["send bob 5.0"]
    assert world.signoff.verify().broken == []


def test_a_rejection_that_does_not_bind_keeps_no_permitted_call_from_its_start(tmp_path: Path) -> None:
    two = {"send": {"otherwise": {"then": "review", "rejections": 2}}}
    with closing(Signoff(tmp_path / "s.db", policy=Policy(tools=two))) as signoff:
        permit(signoff)
        rejection = permit(signoff, effect="reject")
        call = open_call(signoff, rejections=2)
        late = open_call(signoff, rejections=2)
        assert call.ruling.reason_code == GRANTED
        assert signoff.claims.claim(call.id)[1]
        permit(signoff, effect="reject")
        assert not rejection.is_backed
        assert signoff.claims.claim(late.id)[1]
        permit(signoff, effect="reject", when="args.missing == 1")
        third = open_call(signoff, rejections=2)
        signoff.second(permit(signoff, effect="reject"), by="cem")
        with pytest.raises(Unpermitted):
            signoff.claims.claim(third.id)


class Meddled(SqliteLedger):
    """A ledger in which somebody else writes just before an entry of some kind comes."""

    meddle: tuple[str, Callable[[], Any]] | None = None

    def append(self, entries: Any, *more: Any, **named: Any) -> None:
        if self.meddle and any(entry.kind == self.meddle[0] for entry in entries):
            (_, meddle), self.meddle = self.meddle, None
            meddle()
        super().append(entries, *more, **named)


@pytest.mark.parametrize("kind", ["claimed", "opened"])
def test_a_grant_that_is_revoked_between_the_look_at_it_and_the_write_lets_nothing_start(
    tmp_path: Path, kind: str
) -> None:
    with closing(Signoff(tmp_path / "s.db")) as other, closing(Signoff(Meddled(tmp_path / "s.db"))) as signoff:
        grant, ledger = permit(other), signoff.ledger
        ledger.meddle = (kind, lambda: other.revoke(grant, by="ana"))  # type: ignore[attr-defined]  # a ledger of ours
        call = open_call(signoff)
        if kind == "opened":
            assert signoff.ticket(call.id).standing is Standing.PENDING
        else:
            with pytest.raises(Unpermitted):
                signoff.claims.claim(call.id)
            assert [entry.kind for entry in signoff.history(call.id)] == ["opened"]
        assert signoff.verify().broken == []


@pytest.mark.parametrize("moved", [{"hours": 1}, {"days": 400}, {"hours": 2, "minutes": -1}], ids=str)
def test_a_permission_used_in_time_and_started_late_asks_wherever_the_clock_went(
    tmp_path: Path, moved: dict[str, float]
) -> None:
    clock = Clock()
    with closing(Signoff(tmp_path / "s.db", clock=clock)) as signoff:
        permit(signoff)
        call = open_call(signoff)
        assert call.ruling.reason_code == GRANTED
        clock.advance(**moved)
        with pytest.raises(Unpermitted):
            signoff.claims.claim(call.id)
        clock.now = NOW - timedelta(days=1)
        assert signoff.claims.claim(call.id)[1], "nobody has written down that it was over"


def test_what_is_halted_until_the_permission_is_over_asks(world: World) -> None:
    clock = Clock()
    world.signoff = world.new_signoff(clock=clock)
    world.graph = world.compile(world.agent([[("send", EXACT)], "ok"], world.signoff.tool_node(world.tools())))
    permit(world.signoff)
    world.signoff.halt(by="ana", tool="send")
    assert world.run().status == "halted"
    clock.advance(hours=1)
    world.signoff.release(by="ana", tool="send")
    run = world.resume()
    assert [ticket.reason_code for ticket in run.tickets] == ["no_longer_granted"]
    assert world.effects == []


# Swaps and replays --------------------------------------------------------------------------------------------------------


def test_arguments_that_are_swapped_after_the_use_ask_and_a_replay_takes_no_second_use(world: World) -> None:
    world.open([[("send", EXACT)], "ok", "ok"])
    permit(world.signoff, uses=2)
    world.signoff.halt(by="ana", tool="send")
    assert world.run().status == "halted"
    head = world.state().values["messages"][-1]
    world.update({"messages": [swapped(head, to="eve")]}, as_node="agent")
    world.signoff.release(by="ana", tool="send")
    run = world.invoke(None) and world.status()
    assert [ticket.args["to"] for ticket in run.tickets] == ["eve"]
    assert world.effects == []
    world.update({"messages": [head]}, as_node="agent")
    world.invoke(None)
    assert world.effects == ["send bob 7.0"]
    before = next(c for c in world.checkpoints() if c.next == ("tools",))
    world.invoke(None, config=before.config)
    assert world.effects == ["send bob 7.0"]
    assert [grant.used for grant in world.signoff.grants()] == [1]


def test_a_call_proposed_anew_is_one_more_use(world: World) -> None:
    world.open([[("send", EXACT)], "ok", [("send", EXACT)], "ok"])
    permit(world.signoff, uses=1)
    assert world.run().status == "completed"
    assert world.run(human()).status == "pending_approval"
    assert world.effects == ["send bob 7.0"]
    assert SENT.split()[0] in world.told()[0].text


# Forgery ------------------------------------------------------------------------------------------------------------------


def forged(signoff: Signoff, grant: Grant, **more: Any) -> Ticket:
    """A call that says it was permitted, without a word in the grant."""
    named = Granted(grant=grant.id, by=grant.given_by, until=grant.until)
    made = opening(
        mode="allow", reason_code=GRANTED, once=True, granted=named, policy_version=signoff.policy.version, **more
    )
    signoff.desk.open([made], policy=(signoff.policy.version, signoff.policy.document))
    return signoff.ticket(made.id)


def test_a_call_that_names_a_grant_which_does_not_name_it_starts_nothing_and_is_found(tmp_path: Path) -> None:
    with closing(Signoff(tmp_path / "s.db")) as signoff:
        grant = permit(signoff)
        made = [forged(signoff, grant), forged(signoff, grant.model_copy(update={"id": "grant-" + "f" * 32}))]
        for ticket in made:
            with pytest.raises(Unpermitted):
                signoff.claims.claim(ticket.id)
        assert len([text for text in signoff.verify().broken if "whose entries do not say so" in text]) == 2


def test_a_use_by_nobody_is_found(tmp_path: Path) -> None:
    with closing(Signoff(tmp_path / "s.db")) as signoff:
        grant = permit(signoff)
        history = signoff.history(grant)
        use = Draft(
            "used", {"ticket": "0" * 32, "amount": "0", "used": 1, "spent": "0", "givers": ["ana"], "is_backed": True}
        )
        entries = link(grant.id, history[-1], [use], signoff.desk.clock())
        row = to_row(read(history[0], entries[-1], signoff.desk.clock()), 2)
        signoff.ledger.append(entries, grants=[row])
        assert any("which is not there or does not say so" in text for text in signoff.verify().broken)


def tamper(path: Path, *statements: str) -> list[str]:
    """What a check finds after somebody with write access to the file has changed it and put the schema back."""
    forge(path, *statements)
    with closing(Signoff(path)) as signoff:
        return signoff.verify().broken


GRANT_ENTRIES = "stream LIKE 'grant-%'"


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE entries SET body = replace(body, '\"uses\":5', '\"uses\":9') WHERE {GRANT_ENTRIES} AND seq = 1",
        f"UPDATE entries SET body = replace(body, '2026-03', '2029-03') WHERE {GRANT_ENTRIES} AND seq = 1",
        f"UPDATE entries SET body = replace(body, '\"used\":1', '\"used\":0') WHERE {GRANT_ENTRIES} AND kind = 'used'",
        f"DELETE FROM entries WHERE {GRANT_ENTRIES} AND kind = 'used'",
        f"DELETE FROM entries WHERE {GRANT_ENTRIES} AND kind = 'revoked'",
        f"DELETE FROM entries WHERE {GRANT_ENTRIES}",
        "UPDATE contents SET data = replace(data, 'bob', 'eve') WHERE data LIKE '%rent%'",
        "UPDATE contents SET data = NULL, salt = NULL WHERE data LIKE '%rent%'",
        "UPDATE grants SET ended = 0",
        "UPDATE grants SET until = '2029-01-01T00:00:00.000000Z'",
        "UPDATE grants SET tool = 'pay'",
        "DELETE FROM grants",
        "INSERT INTO grants SELECT 'grant-x', tool, digest, until, ended, seq FROM grants",
    ],
)
def test_a_tampered_grant_is_found(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "s.db"
    with closing(Signoff(path, clock=Clock())) as signoff:
        grant = permit(signoff, uses=5)
        open_call(signoff)
        signoff.revoke(grant, by="ana")
        assert signoff.verify().broken == []
    assert tamper(path, statement)


def test_a_grant_that_cannot_be_read_lets_nothing_run(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with closing(Signoff(path)) as signoff:
        permit(signoff)
    assert tamper(path, f"UPDATE entries SET body = '{{}}' WHERE {GRANT_ENTRIES}")
    with closing(Signoff(path)) as signoff, pytest.raises(Exception, match="signoff verify"):
        open_call(signoff)


def test_a_grant_that_is_damaged_keeps_no_other_from_its_end(tmp_path: Path) -> None:
    path, clock = tmp_path / "s.db", Clock()
    with closing(Signoff(path, clock=clock)) as signoff:
        made = [permit(signoff), permit(signoff), permit(signoff)]
    spoil = f"UPDATE entries SET body = '{{}}' WHERE stream = '{made[0].id}'"
    assert tamper(path, spoil, f"DELETE FROM entries WHERE stream = '{made[1].id}'")
    with closing(Signoff(path, clock=clock)) as signoff:
        clock.advance(hours=2)
        with pytest.raises(LedgerCorrupt):
            signoff.expire()
        assert signoff.history(made[2])[-1].kind == "ended"


def test_a_check_beside_calls_that_use_a_grant_finds_nothing_broken(tmp_path: Path) -> None:
    with closing(Signoff(tmp_path / "s.db")) as signoff:
        permit(signoff)
        over = threading.Event()

        def use() -> None:
            with closing(Signoff(tmp_path / "s.db")) as own:
                while not over.is_set():
                    open_call(own)

        thread = threading.Thread(target=use)
        thread.start()
        try:
            assert [signoff.verify().broken for _ in range(8)] == [[]] * 8
        finally:
            over.set()
            thread.join()


def test_policies_that_grants_name_are_on_record(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with closing(Signoff(path, policy=Policy(tools={"send": "review"}))) as signoff:
        permit(signoff)
        assert len(dict(signoff.ledger.policies())) == 1
    assert any("was removed" in text for text in tamper(path, "DELETE FROM policies"))

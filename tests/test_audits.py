"""A look after the action: what is chosen for one, what its ticket says, and who may say what of it."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import secrets
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from langgraph_signoff import (
    NotAllowedToDecide,
    NotWhatYouSaw,
    OnFlag,
    Policy,
    PolicyError,
    Query,
    Ruling,
    Signoff,
    Standing,
    Ticket,
    TicketClosed,
    WrongVerdict,
    law,
)
from langgraph_signoff.audit import verify
from langgraph_signoff.law import Choice
from langgraph_signoff.ledger import Draft, link, open_ledger
from langgraph_signoff.policy.quoting import quote
from langgraph_signoff.vocabulary import AUDITS
from support import NOW, Clock, agent, as_of_version, forge, open_audit, open_ticket, opening
from test_policy import ruled

POLICY = """
version: 1
people: {ana: {groups: [quality]}, ben: {groups: [quality]}, bot: {}}
vars: {desk: north}
queues:
  afterwards: {owner: ana, reviewers: [group:quality], window: 2h, sample: {low: 0.0, medium: 0.5}, new_until: 2, backup: [ana]}
tools:
  tag:
    risk: {reversible: true, stakes: low}
    redact: [args.pin]
    describe: "Tag {args.order}"
    otherwise: {then: audit, queue: afterwards}
  send: review
"""


def tag(order: int, pin: str = "4711") -> str:
    """Tags an order."""
    return f"tagged {order} with {pin}"


def fails(order: int, pin: str = "4711") -> str:
    """Tags an order."""
    raise ConnectionError(f"no answer of {order}")


@pytest.fixture
def signoff(path: Path, clock: Clock) -> Iterator[Signoff]:
    with closing(Signoff(path, policy=Policy.parse(POLICY), clock=clock)) as signoff:
        yield signoff


def run(signoff: Signoff, *orders: int, thread: str = "t", tool: Any = tag, **more: Any) -> Any:
    """An agent that tags these orders, one after the other."""
    tool.__name__ = "tag"
    script = [*([("tag", {"order": order})] for order in orders), "Done."]
    with agent(signoff, [tool], script) as graph:
        return signoff.run(graph, {"messages": [("user", "go")]}, thread_id=thread, **more)


def allowed(policy: str | dict[str, Any], name: str = "t") -> Ruling:
    """The ruling on a call of a tool with this entry."""
    return ruled(Policy(tools={name: policy}), name)


# What the policy says -----------------------------------------------------------------------------------------------------


def test_an_audited_action_is_allowed_once_and_recorded() -> None:
    ruling = ruled(Policy.parse(POLICY), "tag")
    assert (ruling.mode, ruling.once, ruling.record, ruling.reason_code) == ("allow", True, True, "audited")
    assert ruling.requirements.queue == "afterwards"
    assert ruling.requirements.reviewers == (("group:quality",),)


@pytest.mark.parametrize(("stakes", "share"), [("low", 0.0), ("medium", 0.5), ("high", 1.0), (None, 1.0)])
def test_the_share_is_that_of_the_stakes_and_what_is_not_said_is_all(stakes: str | None, share: float) -> None:
    risk = {"reversible": True, **({"stakes": stakes} if stakes else {})}
    queues = {"default": {"sample": {"low": 0.0, "medium": 0.5}, "new_until": 3}}
    ruling = ruled(Policy(queues=queues, tools={"t": {"risk": risk, "otherwise": "audit"}}), "t")
    assert ruling.audit
    assert (ruling.audit.sample, ruling.audit.new_until) == (share, 3)
    own = {"then": "audit", "sample": 0.25, "new_until": 0}
    ruling = ruled(Policy(queues=queues, tools={"t": {"risk": risk, "otherwise": own}}), "t")
    assert ruling.audit
    assert (ruling.audit.sample, ruling.audit.new_until) == (0.25, 0)


def test_without_more_words_everything_is_looked_at_and_a_flag_alerts() -> None:
    audit = allowed({"undo": True, "otherwise": "audit"}).audit
    assert audit
    assert (audit.sample, audit.new_until, audit.on_flag) == (1.0, 20, OnFlag())


def test_a_rule_may_audit_what_another_reviews() -> None:
    rules = [{"when": "args.amount < 10.0", "then": "audit", "sample": 0.1}]
    policy = Policy(tools={"t": {"risk": {"reversible": True}, "rules": rules}})
    assert [ruled(policy, "t", {"amount": amount}).mode for amount in (5.0, 50.0)] == ["allow", "review"]
    assert policy.summary("t", kind="tool") == "audit or review"
    # An expression that fails is asked of those who would have looked afterwards.
    assert ruled(policy, "t", {"amount": "x"}).mode == "review"


def test_doubt_about_an_audited_tool_is_put_before_those_who_would_look_afterwards() -> None:
    ruling = ruled(Policy.parse(POLICY), "tag", {"order": float("nan")})
    assert (ruling.mode, ruling.requirements.queue, ruling.audit) == ("review", "afterwards", None)


def test_the_other_entries_that_fit_do_not_make_it_reversible() -> None:
    with pytest.raises(PolicyError, match=r"tools\.tag_x\.otherwise"):
        Policy(tools={"tag_*": {"risk": {"reversible": True}, "otherwise": "audit"}, "tag_x": "audit"})


def test_what_a_flag_calls_must_be_a_tool_of_the_graph() -> None:
    call = {"then": "audit", "on_flag": {"tool": "escalate"}}
    policy = Policy(tools={"t": {"undo": True, "rules": [{"when": "true", **call}], "otherwise": call}})
    policy.check_graph(["t", "escalate"])
    with pytest.raises(PolicyError) as caught:
        policy.check_graph(["t"])
    assert [m.where for m in caught.value.mistakes] == [
        "tools.t.otherwise.on_flag.tool",
        "tools.t.rules.0.on_flag.tool",
    ]


def test_a_graph_whose_gates_do_not_declare_the_undo_that_the_policy_counts_on_is_told_so(path: Path) -> None:
    with closing(Signoff(path, policy=Policy(tools={"tag": {"undo": True, "otherwise": "audit"}}))) as signoff:
        with agent(signoff, [tag], ["Done."]) as graph:
            [warning] = signoff.check(graph)
            assert warning.startswith("tag: the policy says `undo: true`, and no gate declares an undo for it")
        with agent(signoff, [tag], ["Done."], undo={"tag": print}) as graph:
            assert signoff.check(graph) == []


def test_what_no_gate_can_take_back_is_asked_before_it_runs(path: Path) -> None:
    with closing(Signoff(path, policy=Policy(tools={"tag": {"undo": True, "otherwise": "audit"}}))) as signoff:
        with agent(signoff, [tag], [[("tag", {"order": 1})], "Done."]) as graph:
            graph.invoke({"messages": [("user", "go")]}, {"configurable": {"thread_id": "t"}})
        [ticket] = signoff.pending()
        assert (ticket.reason_code, ticket.detail) == ("policy_error", "no gate declares an undo for it")
        assert signoff.audits() == []


def test_a_flag_quotes_the_action_the_flag_and_the_policy() -> None:
    args = {
        "order": "{args.order}",
        "items": ["{args.items.0}", "{args.none}"],
        "text": "{flag.by}: {flag.reason} {args}",
    }
    known = {"args": {"order": 7, "items": [{"a": 1}]}, "flag": {"by": "ana", "reason": "{args.order}"}, "tool": "tag"}
    assert quote(args, known) == {"order": 7, "items": [{"a": 1}, None], "text": "ana: {args.order} {args}"}
    on_flag = {"tool": "x", "args": {"desk": "{vars.desk}", "text": "{tool} at {vars.desk}: {args.to}, {args.all}"}}
    policy = Policy(
        vars={"desk": "north"}, tools={"t": {"undo": True, "otherwise": {"then": "audit", "on_flag": on_flag}}}
    )
    audit = ruled(policy, "t").audit
    assert audit
    settled = {"desk": "north", "text": "{tool} at north: {args.to}, {args.all}"}
    assert audit.on_flag.args == settled
    assert quote(settled, {"args": {"to": "bob", "all": ["x"]}, "tool": "t"})["text"] == 't at north: bob, ["x"]'


def test_the_schema_for_editors_knows_audits() -> None:
    validator = jsonschema.validators.validator_for(Policy.json_schema())(Policy.json_schema())
    assert validator.is_valid(json.loads(Policy.parse(POLICY).document))
    for then, is_right in (
        ({"sample": 0.2, "on_flag": "undo"}, True),
        ({"sample": {"low": 0.1}, "new_until": 5, "on_flag": {"tool": "x", "args": {"a": 1}}}, True),
        ({"sample": 2}, False),
        ({"sample": {"lower": 0.1}}, False),
        ({"on_flag": "call"}, False),
        ({"on_flag": {"args": {}}}, False),
    ):
        written = {"version": 1, "tools": {"t": {"undo": True, "otherwise": {"then": "audit", **then}}}}
        assert validator.is_valid(written) is is_right, then


# What is chosen -----------------------------------------------------------------------------------------------------------

MANY = 20_000


def ids(count: int) -> list[str]:
    """Ticket ids, as hashes are."""
    return [hashlib.sha256(str(number).encode()).hexdigest()[:32] for number in range(count)]


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2, 0.9, 1.0])
def test_the_share_that_is_drawn_is_the_share_that_was_asked_for(share: float) -> None:
    drawn = [law.draw(b"secret", id_) for id_ in ids(MANY)]
    assert all(0 <= number < 1 for number in drawn)
    found = sum(number < share for number in drawn)
    # Six standard deviations: a right draw misses this once in a thousand million times.
    assert abs(found - share * MANY) <= 6 * (MANY * share * (1 - share)) ** 0.5


def test_without_the_secret_nothing_can_be_told_of_a_draw() -> None:
    mine, guessed = secrets.token_bytes(32), secrets.token_bytes(32)
    chosen = [(law.draw(mine, id_) < 0.5, law.draw(guessed, id_) < 0.5) for id_ in ids(MANY)]
    counts = Counter(chosen)
    assert all(abs(counts[pair] - MANY / 4) <= 6 * (MANY * 3 / 16) ** 0.5 for pair in counts)
    assert len(counts) == 4


def test_a_draw_does_not_hang_on_the_arguments() -> None:
    small = [law.draw(b"secret", opening({"amount": 1}).id) < 0.3 for _ in range(3000)]
    large = [law.draw(b"secret", opening({"amount": 10**6}).id) < 0.3 for _ in range(3000)]
    assert abs(sum(small) - sum(large)) <= 6 * (2 * 3000 * 0.3 * 0.7) ** 0.5


def test_every_ledger_has_a_secret_of_its_own_that_never_changes(tmp_path: Path) -> None:
    made = []
    for name in ("a", "b"):
        with closing(open_ledger(str(tmp_path / name))) as ledger:
            assert ledger.secret() == b""
            made.append(ledger.keep_secret(secrets.token_bytes(32)))
            assert ledger.keep_secret(secrets.token_bytes(32)) == made[-1] == ledger.secret()
        with closing(open_ledger(str(tmp_path / name))) as ledger:
            assert ledger.secret() == made[-1]
    assert made[0] != made[1]
    with closing(sqlite3.connect(tmp_path / "a")) as db:
        for statement in ("UPDATE secrets SET value = x'00'", "DELETE FROM secrets"):
            with pytest.raises(sqlite3.IntegrityError, match="never changes"):
                db.execute(statement)


def test_a_ledger_from_before_there_were_audits_is_taken_on(path: Path) -> None:
    with closing(Signoff(path, policy=Policy())) as signoff:
        ticket = open_ticket(signoff)
    as_of_version(path, 1)
    with closing(Signoff(path, policy=Policy())) as signoff:
        assert signoff.ticket(ticket.id).standing is Standing.PENDING
        assert open_audit(signoff).standing is Standing.UNDER_AUDIT
        assert signoff.verify().broken == []


def _keep(path: str, barrier: Any, found: Any) -> None:
    with closing(open_ledger(path)) as ledger:
        barrier.wait(20)
        found.put(ledger.secret() or ledger.keep_secret(secrets.token_bytes(32)))


def test_processes_that_make_the_secret_at_once_agree(path: Path) -> None:
    open_ledger(str(path)).close()
    context = multiprocessing.get_context("spawn")
    barrier, found = context.Barrier(3), context.Queue()
    crowd = [context.Process(target=_keep, args=(str(path), barrier, found)) for _ in range(3)]
    for process in crowd:
        process.start()
    kept = {found.get(timeout=30) for _ in crowd}
    for process in crowd:
        process.join()
    assert len(kept) == 1


def test_the_first_of_a_tool_are_all_looked_at_and_then_as_its_share_says(signoff: Signoff) -> None:
    run(signoff, *range(6))
    assert sorted(ticket.args["order"] for ticket in signoff.audits()) == [0, 1]
    done = signoff.find(Query(thread_id="t", standings=(Standing.EXECUTED,)))
    why = {t.args["order"]: signoff.desk.case(t.id).choice["why"] for t in done}
    assert why == {0: "new_tool", 1: "new_tool", **dict.fromkeys(range(2, 6), "not_sampled")}
    assert [bool(t.audit) for t in sorted(done, key=lambda t: t.args["order"])] == [True, True, *[False] * 4]
    assert signoff.verify().broken == []


def test_a_tool_is_new_under_each_entry_of_the_policy(signoff: Signoff, path: Path, clock: Clock) -> None:
    run(signoff, 1, 2, 3)
    wider = Policy.parse(POLICY.replace("  tag:", "  t*:"))
    with closing(Signoff(path, policy=wider, clock=clock)) as other:
        run(other, 4, 5, 6, thread="u")
        assert sorted(ticket.args["order"] for ticket in other.audits()) == [1, 2, 4, 5]
        assert other.verify().broken == []


def test_the_choice_of_a_ticket_is_made_once(signoff: Signoff) -> None:
    """Whoever comes back to a ticket finds the choice that was made; a new proposal is another ticket."""
    made = opening(
        tool="tag", mode="allow", once=True, rule="tools.tag.otherwise", audit=_audit(sample=0.5, new_until=0)
    )
    signoff.desk.open([made], policy=("v", "d"))
    executed = Draft("executed", {"attempt": 1}, {"rendering": "done"})
    first = signoff.desk.write(made.id, lambda _: [executed]).choice
    again = signoff.desk.write(made.id, lambda _: [executed])
    assert again.choice == first
    kinds = [("audit" in entry.body) for entry in signoff.history(made.id)]
    assert kinds == [False, True, False]
    assert Choice(**first) == law.choose(
        made.ruling.audit,
        drawn=law.draw(signoff.ledger.secret(), made.id),
        earlier=0,  # type: ignore[arg-type]
    )


def _audit(**more: Any) -> Any:
    return {"sample": 1.0, "new_until": 20, **more}


# What is opened -----------------------------------------------------------------------------------------------------------


def test_the_audit_shows_what_ran_masked_with_its_result_and_its_own_due_time(signoff: Signoff, clock: Clock) -> None:
    run(signoff, 7)
    [audit] = signoff.audits()
    action = signoff.ticket(audit.about)
    assert (audit.id, audit.kind, audit.standing) == (law.audit_id(action.id), "audit", Standing.UNDER_AUDIT)
    assert (action.standing, action.audit) == (Standing.EXECUTED, audit.id)
    assert (audit.tool, audit.args, audit.thread_id) == ("tag", {"order": 7, "pin": "•••"}, "t")
    assert audit.outcome
    assert audit.outcome.result == "tagged 7 with •••"
    assert (audit.due_at, audit.options) == (
        NOW + Policy.parse("version: 1").review(opening().action, now=NOW).requirements.window / 12,
        ("confirm", "flag"),
    )
    assert (audit.reason_code, audit.description, audit.queue) == ("new_tool", "Tag 7", "afterwards")
    assert audit.digest == signoff.history(action.id)[-1].hash
    assert audit.trigger == "go"


def test_outcome_and_audit_come_in_one_transaction(signoff: Signoff) -> None:
    run(signoff, 7)
    [audit] = signoff.audits()
    entries = [(entry.stream, entry.kind) for _, entry in signoff.ledger.scan()]
    assert entries[-2:] == [(audit.about, "executed"), (audit.id, "opened")]


def test_an_audit_waits_for_nobody_and_wakes_nothing(signoff: Signoff) -> None:
    with agent(signoff, [tag], [[("tag", {"order": 1})], "Done."]) as graph:
        done = signoff.run(graph, {"messages": [("user", "go")]}, thread_id="t")
        assert (done.status, done.tickets, signoff.pending(), signoff.threads_to_wake()) == ("completed", (), [], [])
        [audit] = signoff.audits()
        signoff.confirm(audit, by="ana")
        assert (signoff.threads_to_wake(), signoff.status(graph, "t").status) == ([], "completed")
        assert signoff.resume(graph, thread_id="t").did == "nothing: it has finished"
    assert signoff.desk.counts("t", "").model_dump() == {"proposed": {"tag": 1}, "ran": {"tag": 1}, "refused": {}}


def test_what_failed_in_its_run_is_looked_at_too(signoff: Signoff) -> None:
    run(signoff, 1, tool=fails)
    [audit] = signoff.audits()
    assert audit.outcome
    assert (audit.outcome.standing, audit.outcome.error) == (Standing.FAILED, "no answer of 1")
    assert signoff.verify().broken == []


@pytest.mark.parametrize(("answer", "audits"), [("happened", 1), ("give_up", 0), ("did_not_happen", 0)])
def test_a_doubt_is_looked_at_once_somebody_says_that_it_happened(signoff: Signoff, answer: str, audits: int) -> None:
    made = opening({"order": 1}, tool="tag", mode="allow", once=True, rule="tools.tag.otherwise", audit=_audit())
    signoff.desk.open([made], policy=("v", "d"))
    about = {"attempt": 1, "owner": "{}", "lease": 1.0}
    signoff.desk.write(made.id, lambda _: [Draft("claimed", about), Draft("in_doubt", {"attempt": 1})])
    signoff.settle(made.id, answer, by="ana", result="found in the books")
    assert len(signoff.audits()) == audits
    # A late outcome of the first try: it did happen, whatever was said.
    signoff.desk.write(made.id, lambda _: [Draft("executed", {"attempt": 1}, {"rendering": "late"})])
    assert len(signoff.audits()) == 1
    assert signoff.audits()[0].about == made.id


# What is said of it -------------------------------------------------------------------------------------------------------


@pytest.fixture
def audit(signoff: Signoff) -> Ticket:
    """The audit of an action that has run."""
    run(signoff, 7)
    return signoff.audits()[0]


@pytest.mark.parametrize(("verdict", "standing"), [("confirm", Standing.CONFIRMED), ("flag", Standing.FLAGGED)])
def test_a_word_ends_it_and_is_on_the_record(signoff: Signoff, audit: Ticket, verdict: str, standing: Standing) -> None:
    said = getattr(signoff, verdict)(audit, by="ana", reason="looked at 4711")
    assert (said.standing, said.standing.is_final, said.options, signoff.audits()) == (standing, True, (), [])
    assert [(d.verdict, d.by, d.reason, d.seen) for d in said.decisions] == [
        (verdict, "ana", "looked at •••", audit.seen)
    ]
    alerts = [entry.kind for entry in signoff.history(audit)].count("alerted")
    assert alerts == (verdict == "flag")
    for again in (signoff.confirm, signoff.flag):
        with pytest.raises(TicketClosed, match=f"{standing} by ana"):
            again(audit, by="ben")
    assert signoff.ticket(audit.about).standing is Standing.EXECUTED
    assert signoff.verify().broken == []


def test_only_who_may_decide_says_it_of_what_they_saw(signoff: Signoff, audit: Ticket) -> None:
    for verdict in (signoff.confirm, signoff.flag):
        with pytest.raises(NotAllowedToDecide, match="not among group:quality"):
            verdict(audit, by="bot")
        with pytest.raises(NotAllowedToDecide, match="does not know 'eve'"):
            verdict(audit, by="eve")
        with pytest.raises(NotWhatYouSaw):
            verdict(audit.id, by="ana", if_digest=signoff.ticket(audit.about).digest)
    assert signoff.confirm(audit.id, by="ana", if_digest=audit.digest).standing is Standing.CONFIRMED


def test_each_kind_of_ticket_takes_its_own_words_and_says_which(signoff: Signoff, audit: Ticket) -> None:
    pending = open_ticket(signoff)
    for wrong in (signoff.approve, signoff.reject, lambda t, by: signoff.revise(t, by=by, feedback="no")):
        with pytest.raises(WrongVerdict, match="confirm or flag it"):
            wrong(audit, by="ana")  # type: ignore[operator]
    with pytest.raises(WrongVerdict, match=r"for audits only$"):
        signoff.confirm(pending, by="ana")
    with pytest.raises(WrongVerdict, match=f"its audit is ticket {audit.id[:12]}"):
        signoff.flag(signoff.ticket(audit.about), by="ana")
    with pytest.raises(TicketClosed, match="only a pending or approved one can be withdrawn"):
        signoff.withdraw(audit, by="ana")
    with pytest.raises(TicketClosed, match="no doubt to settle"):
        signoff.settle(audit, "happened", by="ana")
    assert signoff.comment(audit, by="ana", text="hm").standing is Standing.UNDER_AUDIT


def test_silence_is_logged_as_unreviewed(signoff: Signoff, audit: Ticket, clock: Clock) -> None:
    clock.advance(hours=2)
    assert (signoff.audits(), signoff.ticket(audit.id).standing) == ([], Standing.UNREVIEWED)
    with pytest.raises(TicketClosed, match="is unreviewed"):
        signoff.flag(audit, by="ana")
    assert [entry.kind for entry in signoff.history(audit)] == ["opened", "unreviewed"]
    assert signoff.expire() == []
    assert signoff.verify().broken == []


def test_expire_logs_it_and_wakes_no_thread(signoff: Signoff, audit: Ticket, clock: Clock) -> None:
    clock.advance(hours=3)
    assert signoff.expire() == []
    assert [entry.kind for entry in signoff.history(audit)] == ["opened", "unreviewed"]


def test_both_are_erased_whichever_is_named_and_neither_before_somebody_has_looked(
    signoff: Signoff, audit: Ticket
) -> None:
    for ticket in (audit.id, audit.about):
        with pytest.raises(TicketClosed, match="confirm or flag it, then erase it"):
            signoff.erase(ticket, by="dpo", reason="asked for")
    signoff.confirm(audit, by="ana")
    run(signoff, 8, thread="u")
    [other] = signoff.audits()
    signoff.confirm(other, by="ana")
    for named in (audit.id, other.about):
        erased = signoff.erase(named, by="dpo", reason="asked for")
        assert (erased.id, erased.erased) == (named, True)
    for ticket in signoff.find(Query()):
        assert (ticket.args, ticket.erased) == ({}, True)
        assert ticket.outcome
        assert ticket.outcome.result is None
    assert b"tagged" not in Path(signoff.ledger.path).read_bytes()  # type: ignore[attr-defined]  # SQLite's
    assert signoff.verify().broken == []


# The record ---------------------------------------------------------------------------------------------------------------


def test_every_choice_can_be_made_again_from_the_record(signoff: Signoff, path: Path, clock: Clock) -> None:
    half = Policy.parse(POLICY.replace("stakes: low", "stakes: medium"))
    with closing(Signoff(path, policy=half, clock=clock)) as other:
        run(other, *range(40))
        whys = Counter(
            case.choice["why"] for case in other.desk.cases(Query(standings=(Standing.EXECUTED,), limit=100))
        )
        assert whys["new_tool"] == 2
        assert set(whys) == {"new_tool", "sampled", "not_sampled"}
        assert len(other.audits(limit=100)) == whys["new_tool"] + whys["sampled"]
        assert other.verify().broken == []


def forged(path: Path, *statements: str) -> list[str]:
    """What a check finds when somebody with the file has changed it so, and put the triggers back."""
    forge(path, *statements)
    with closing(open_ledger(str(path))) as ledger:
        return verify(ledger).broken


def test_a_choice_that_is_not_the_secrets_is_found(path: Path, clock: Clock) -> None:
    half = Policy.parse(POLICY.replace("stakes: low", "stakes: medium"))
    with closing(Signoff(path, policy=half, clock=clock)) as signoff:
        run(signoff, *range(40))
    broken = forged(path, "UPDATE secrets SET value = x'00'")
    # Of 38 draws each differs with one chance in two; none is missed that differs.
    assert broken
    assert all("the policy and the secret say otherwise" in text for text in broken)
    assert forged(path, "DELETE FROM secrets")


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE entries SET body = replace(body, 'new_tool', 'not_sampled') WHERE kind = 'executed'", "was changed"),
        (
            "UPDATE entries SET body = replace(body, '\"audit\":', '\"audio\":') WHERE kind = 'executed'",
            "no entry says",
        ),
        ("DELETE FROM entries WHERE stream = '{audit}'", "was not audited"),
        ("DELETE FROM standings WHERE id = '{about}'", "not on record"),
        ("UPDATE standings SET audited = '' WHERE id = '{audit}'", "stands as under_audit"),
        ("UPDATE standings SET standing = 'confirmed' WHERE id = '{audit}'", "stands as confirmed"),
        ("UPDATE contents SET data = replace(data, 'tagged 7', 'tagged 8')", "contents that were changed"),
    ],
)
def test_an_audit_that_was_tampered_with_is_found(signoff: Signoff, path: Path, statement: str, words: str) -> None:
    run(signoff, 7)
    [audit] = signoff.audits()
    broken = forged(path, statement.replace("{audit}", audit.id).replace("{about}", audit.about))
    assert any(words in text for text in broken), broken


def test_a_stream_that_stands_where_an_audit_would_keeps_no_outcome_from_the_record(signoff: Signoff) -> None:
    made = opening({"order": 1}, tool="tag", mode="allow", once=True, rule="tools.tag.otherwise", audit=_audit())
    signoff.desk.open([made], policy=(signoff.policy.version, signoff.policy.document))
    signoff.ledger.append(link(law.audit_id(made.id), None, [Draft("opened", {"kind": "audit"})], NOW))
    signoff.desk.write(made.id, lambda _: [Draft("executed", {"attempt": 1}, {"rendering": "done"})])
    assert signoff.ticket(made.id).standing is Standing.EXECUTED
    assert any("has the audit of another outcome" in text for text in signoff.verify().broken)


def test_an_erasure_that_was_cut_off_in_the_middle_is_finished_by_the_next(signoff: Signoff, audit: Ticket) -> None:
    signoff.confirm(audit, by="ana")
    signoff.desk._erase(audit.id, "dpo", "asked for")  # and then the process dies
    assert signoff.ticket(audit.about).args != {}
    for _ in range(2):
        signoff.erase(audit.about, by="dpo", reason="asked for")
    assert [signoff.ticket(id_).args for id_ in (audit.id, audit.about)] == [{}, {}]
    assert signoff.verify().broken == []


def test_who_watches_sees_the_choice_the_flag_and_the_alert(signoff: Signoff) -> None:
    run(signoff, 7)
    [audit] = signoff.audits()
    events = signoff.watch(after=signoff.ledger.last() - 2)
    signoff.flag(audit, by="ana", reason="not 4711")
    ran, opened, flagged, alerted = islice(events, 4)
    assert (ran["kind"], ran["body"]["audit"]["why"]) == ("executed", "new_tool")
    assert (opened["stream"], opened["tool"], opened["body"]["about"]) == (audit.id, "tag", audit.about)
    assert (flagged["body"]["verdict"], flagged["reason"]) == ("flag", "not •••")
    assert (alerted["kind"], alerted["stream"], alerted["thread_id"]) == ("alerted", audit.id, "t")


def test_the_secret_is_shown_nowhere(signoff: Signoff, path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(signoff, 1)
    secret = signoff.ledger.secret()
    shown = json.dumps([e.body for _, e in signoff.ledger.scan()] + [e.contents for _, e in signoff.ledger.scan()])
    shown += str(signoff.audits()) + str(signoff.verify()) + json.dumps(signoff.audits()[0].model_dump(mode="json"))
    assert len(secret) == 32
    assert secret.hex() not in shown
    assert str(secret) not in shown


def test_nothing_but_an_audit_stands_as_one(signoff: Signoff, audit: Ticket) -> None:
    open_ticket(signoff)
    rows = list(signoff.ledger.all_rows())
    assert {row.id for row in rows if row.standing in AUDITS} == {row.id for row in rows if row.audited} == {audit.id}


def test_the_audit_of_a_planned_call_is_no_use_of_the_plan(tmp_path: Path) -> None:
    def send(to: str) -> str:
        """Sends."""
        return f"sent to {to}"

    tools = {"send": {"risk": {"reversible": True}, "otherwise": "audit"}, "propose_plan": "review"}
    steps = {"steps": [{"tool": "send", "args": {"to": "bob"}}]}
    with closing(Signoff(tmp_path / "s.db", policy=Policy(tools=tools))) as signoff:
        script = [[("propose_plan", steps)], [("send", {"to": "bob"})], "ok"]
        with agent(signoff, [send, signoff.plan([send])], script) as graph:
            run = signoff.run(graph, {"messages": [("user", "go")]}, thread_id="t")
            signoff.approve(run.tickets[0], by="ana")
            assert signoff.resume(graph, thread_id="t").status == "completed"
        [audit] = signoff.audits()
        assert (audit.planned, audit.approved_by) == (None, ())
        assert signoff.verify().broken == []

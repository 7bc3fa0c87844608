"""What people say, through the API: what counts, what is refused, and what stays on record."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonpatch
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import ToolMessage

from langgraph_signoff import (
    DecisionRefused,
    IncompleteDecision,
    LedgerError,
    NotAllowedToDecide,
    NotWhatYouSaw,
    Policy,
    RevisionRefused,
    Signoff,
    Standing,
    Ticket,
    TicketClosed,
    UnknownTicket,
)
from langgraph_signoff.ledger import Query
from langgraph_signoff.masking import MASK
from support import Clock, agent, json_values, open_ticket

PEOPLE = """
version: 1
people: {ana: {groups: [finance]}, cem: {groups: [finance]}, deniz: {}}
queues:
  payments: {owner: ana, reviewers: [group:finance], window: 2h, use_within: 1h, max_revisions: 1, backup: [ana]}
tools:
  send:
    redact: [args.card, args.items.*.pin]
    rules:
      - {when: "'to' in args && args.to == 'mallory'", then: deny, reason_code: blocked}
      - {when: "has(args.amount) && args.amount > 100.0", then: review, queue: payments, approvals: 2, reason_code: large}
    otherwise: {then: review, queue: payments}
"""
SCHEMA = {
    "type": "object",
    "properties": {
        "to": {"type": "string"},
        "amount": {"type": "number"},
        "card": {"type": "string"},
        "items": {"type": "array"},
    },
    "required": ["to"],
}
CARD = "4111-1111-1111-1111"


@pytest.fixture
def signoff(path: Path, clock: Clock) -> Iterator[Signoff]:
    with closing(Signoff(path, clock=clock)) as signoff:
        yield signoff


@pytest.fixture
def guarded(tmp_path: Path, clock: Clock) -> Iterator[Signoff]:
    """With known people."""
    with closing(Signoff(tmp_path / "guarded.db", policy=Policy.parse(PEOPLE), clock=clock)) as signoff:
        yield signoff


def ask(signoff: Signoff, args: dict[str, Any] | None = None, **more: Any) -> Any:
    """A ticket under the policy's own ruling."""
    args = {"to": "bob", "amount": 5.0, "card": CARD} if args is None else args
    more = {"args_schema": SCHEMA, "redact": ("card", "items.*.pin"), "reviewers": (("group:finance",),)} | more
    return open_ticket(signoff, args, **more)


# Saying --------------------------------------------------------------------------------------------------------------------


def test_a_decision_says_who_what_why_and_what_was_seen(signoff: Signoff, clock: Clock) -> None:
    ticket = open_ticket(signoff)
    decided = signoff.approve(ticket, by=" ana ", reason="matches the invoice")
    assert decided.standing is Standing.APPROVED
    [decision] = decided.decisions
    assert (decision.by, decision.reason, decision.at) == ("ana", "matches the invoice", clock.now)
    assert (decision.seen, decision.digest) == (ticket.seen, ticket.digest)
    assert [entry.kind for entry in signoff.history(ticket)] == ["opened", "decided"]


def test_what_a_reader_does_to_a_ticket_in_hand_changes_neither_the_call_nor_what_others_see(signoff: Signoff) -> None:
    args = {"to": "bob", "items": [{"pin": "1"}]}
    ticket = open_ticket(signoff, args, args_schema=SCHEMA)
    ticket.args["items"].append({"pin": "2"})
    ticket.args_schema["properties"].clear()
    case = signoff.desk.case(ticket.id)
    assert (case.args, case.parsed, signoff.ticket(ticket.id).args) == (args, args, args)
    assert signoff.ticket(ticket.id).args_schema == SCHEMA


def test_an_id_needs_the_digest_that_was_shown(signoff: Signoff) -> None:
    ticket = open_ticket(signoff)
    for say in (signoff.approve, signoff.reject):
        with pytest.raises(IncompleteDecision, match="if_digest"):
            say(ticket.id, by="ana")
    with pytest.raises(IncompleteDecision):
        signoff.revise(ticket.id, by="ana", args={"to": "eve"})
    with pytest.raises(NotWhatYouSaw):
        signoff.approve(ticket.id, by="ana", if_digest="0" * 64)
    with pytest.raises(NotWhatYouSaw):
        signoff.approve(ticket, by="ana", if_digest="0" * 64)
    assert signoff.approve(ticket.id[:30], by="ana", if_digest=ticket.digest).standing is Standing.APPROVED


def test_what_was_shown_before_a_revision_cannot_be_approved(signoff: Signoff) -> None:
    shown = open_ticket(signoff, approvals=2)
    signoff.revise(shown, by="cem", args={"to": "eve"})
    for seen in ({"ticket": shown}, {"ticket": shown.id, "if_digest": shown.digest}):
        with pytest.raises(NotWhatYouSaw, match="show it again"):
            signoff.approve(**seen, by="ana")
    again = signoff.ticket(shown.id)
    assert again.args["to"] == "eve"
    assert signoff.approve(again, by="ana").standing is Standing.APPROVED


def test_the_same_word_twice_counts_once(signoff: Signoff) -> None:
    ticket = open_ticket(signoff, approvals=2)
    signoff.approve(ticket, by="ana")
    with pytest.raises(TicketClosed, match="already said approve"):
        signoff.approve(ticket, by="ana")
    assert signoff.ticket(ticket.id).standing is Standing.PENDING
    assert signoff.reject(ticket, by="ana", reason="on second thoughts").standing is Standing.REJECTED
    with pytest.raises(TicketClosed, match="rejected by ana"):
        signoff.approve(ticket, by="cem")


def test_with_people_open_any_name_is_believed_and_with_people_known_a_stranger_is_refused(
    signoff: Signoff, guarded: Signoff
) -> None:
    assert signoff.approve(open_ticket(signoff), by="whoever").standing is Standing.APPROVED
    ticket = ask(guarded)
    for act in (guarded.approve, guarded.reject):
        with pytest.raises(NotAllowedToDecide, match="does not know 'mallory'"):
            act(ticket, by="mallory")
    for refused in (
        lambda: guarded.revise(ticket, by="mallory", args={"to": "eve"}),
        lambda: guarded.comment(ticket, by="mallory", text="hm"),
        lambda: guarded.withdraw(ticket, by="mallory"),
        lambda: guarded.approve(ticket, by="deniz"),
    ):
        with pytest.raises(NotAllowedToDecide):
            refused()
    assert len(guarded.history(ticket)) == 1
    assert guarded.approve(ticket, by="cem").decisions[0].groups == ("finance",)


def test_a_comment_and_a_withdrawal_need_words_and_a_name(signoff: Signoff) -> None:
    ticket = open_ticket(signoff)
    for wrong in (
        lambda: signoff.comment(ticket, by="ana", text=" "),
        lambda: signoff.withdraw(ticket, by=" "),
        lambda: signoff.revise(ticket, by="ana"),
        lambda: signoff.revise(ticket, by="ana", args={}, feedback="both"),
    ):
        with pytest.raises(IncompleteDecision):
            wrong()
    assert signoff.comment(ticket, by="ana", text="which bob?").standing is Standing.PENDING
    assert signoff.withdraw(ticket, by="ana", reason="not needed").standing is Standing.WITHDRAWN
    assert signoff.comment(ticket, by="cem", text="good").decisions[-1].reason == "good"


def test_a_ticket_that_is_not_there_is_said(signoff: Signoff) -> None:
    for id_ in ("0" * 32, "abc", "", "\ud800" * 32, "ä" * 32, "\x00" * 32):
        for ask_for in (signoff.ticket, signoff.history, lambda i: signoff.approve(i, by="ana", if_digest="d")):
            with pytest.raises(UnknownTicket):
                ask_for(id_)


# Revising ------------------------------------------------------------------------------------------------------------------


def test_an_edit_keeps_masked_values_and_the_patch_tells_what_changed(guarded: Signoff) -> None:
    proposed = {"to": "bob", "card": CARD, "items": [{"pin": "1234", "n": 1}, {"pin": "5678", "n": 1}]}
    ticket = ask(guarded, proposed)
    assert ticket.args == {"to": "bob", "card": MASK, "items": [{"pin": MASK, "n": 1}, {"pin": MASK, "n": 1}]}
    edit = {**ticket.args, "to": "eve", "items": [{"pin": MASK, "n": 1}, {"pin": "9", "n": 2}]}
    revised = guarded.revise(ticket, by="ana", args=edit, reason="wrong bob")
    case = guarded.desk.case(ticket.id)
    assert case.args == {"to": "eve", "card": CARD, "items": [{"pin": "1234", "n": 1}, {"pin": "9", "n": 2}]}
    assert revised.standing is Standing.APPROVED
    assert revised.args["items"] == [{"pin": MASK, "n": 1}, {"pin": MASK, "n": 2}]
    assert jsonpatch.apply_patch(proposed, _patch(guarded, ticket)) == case.args
    assert all(secret not in revised.model_dump_json() for secret in (CARD, "1234", '"9"'))


def _patch(signoff: Signoff, ticket: Ticket) -> Any:
    """The patch on record, with nothing masked."""
    return signoff.history(ticket)[-1].contents["patch"]


def test_a_mask_that_stands_for_nothing_is_refused(guarded: Signoff) -> None:
    ticket = ask(guarded, {"to": "bob", "items": [{"pin": "1234"}]})
    for edit in ({"card": MASK}, {"items": [{"pin": MASK}, {"pin": "5"}]}, {"items": [{"pin": "1", "more": [MASK]}]}):
        with pytest.raises(RevisionRefused, match="write it out"):
            guarded.revise(ticket, by="ana", args=edit)
    assert len(guarded.history(ticket)) == 1


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        ({"amount": "much"}, "amount"),
        ({"to": None}, "to"),
        ({"memo": "x"}, "takes no argument memo"),
        ({"to": "mallory"}, "denies"),
        ({"to": "bob"}, "changes nothing"),
        ({"amount": 5}, "changes nothing"),
        ({"to": {1, 2}}, "not JSON"),
    ],
)
def test_an_edit_that_schema_or_policy_refuse_leaves_the_ticket_as_it_was(
    guarded: Signoff, edit: dict[str, Any], why: str
) -> None:
    ticket = ask(guarded)
    with pytest.raises(RevisionRefused, match=why):
        guarded.revise(ticket, by="ana", args=edit)
    assert guarded.ticket(ticket.id) == ticket


def test_an_edit_is_ruled_again_and_may_need_more(guarded: Signoff) -> None:
    revised = guarded.revise(ask(guarded), by="ana", args={"amount": 500})
    assert (revised.standing, revised.requirements.approvals, revised.reason_code) == (Standing.PENDING, 2, "large")
    back = guarded.revise(revised, by="ana", args={"amount": 1})
    assert (back.requirements.approvals, back.standing) == (2, Standing.PENDING)
    assert guarded.approve(back, by="cem").standing is Standing.APPROVED


def test_an_edit_under_a_newer_policy_keeps_that_policy_on_record(path: Path) -> None:
    with closing(Signoff(path)) as signoff:
        ticket = open_ticket(signoff)
    newer = Policy(tools={"send": {"otherwise": {"then": "review", "reason_code": "newer"}}})
    with closing(Signoff(path, policy=newer)) as signoff:
        signoff.revise(ticket, by="ana", args={"to": "eve"})
        assert signoff.ledger.policy(newer.version) == newer.document
        assert signoff.verify().is_whole


def test_a_closed_ticket_is_said_to_be_closed_whatever_the_edit(signoff: Signoff) -> None:
    ticket = open_ticket(signoff, args_schema=SCHEMA)
    signoff.reject(ticket, by="ana")
    with pytest.raises(TicketClosed):
        signoff.revise(ticket, by="ana", args={"amount": "much"})


# Sent back, and proposed again ---------------------------------------------------------------------------------------------


def test_what_was_sent_back_comes_again_with_the_difference_for_as_many_rounds_as_allowed(tmp_path: Path) -> None:
    ran = list[str]()

    def send(to: str) -> str:
        """Sends."""
        ran.append(to)
        return "sent"

    policy = Policy(tools={"send": {"otherwise": {"then": "review", "max_revisions": 2}}})
    script = [[("send", {"to": name})] for name in ("a", "b", "c", "d")]
    with (
        closing(Signoff(tmp_path / "l.db", policy=policy)) as signoff,
        agent(signoff, [send], [*script, "Done."]) as graph,
    ):
        run = signoff.run(graph, {"messages": [("user", "go")]}, thread_id="t")
        first = run.tickets[0]
        assert signoff.revise(first, by="ana", feedback="not a").standing is Standing.RETURNED
        run = signoff.resume(graph, thread_id="t")
        second = run.tickets[0]
        assert "sent it back: not a" in _answers(run)[0].text
        assert (second.previous, second.difference) == (first.id, ({"op": "replace", "path": "/to", "value": "b"},))
        signoff.revise(second, by="ana", feedback="not b")
        third = signoff.resume(graph, thread_id="t").tickets[0]
        with pytest.raises(RevisionRefused, match="round 3"):
            signoff.revise(third, by="ana", feedback="not c")
        assert signoff.approve(third, by="ana").standing is Standing.APPROVED
        run = signoff.resume(graph, thread_id="t")
        assert run.tickets[0].previous is None
        signoff.reject(run.tickets[0], by="ana")
        assert signoff.resume(graph, thread_id="t").status == "completed"
        assert ran == ["c"]
        assert signoff.verify().is_whole


def _answers(run: Any) -> list[ToolMessage]:
    return [message for message in run.output["messages"] if isinstance(message, ToolMessage)]


# Listing, time -------------------------------------------------------------------------------------------------------------


def test_pending_shows_the_most_urgent_first_and_nothing_overdue(signoff: Signoff, clock: Clock) -> None:
    short = [open_ticket(signoff, window="90s", priority=9) for _ in range(60)]
    low, high = open_ticket(signoff, window="2h"), open_ticket(signoff, window="3h", priority=1, queue="q")
    assert [t.id for t in signoff.pending(limit=2)] == [short[0].id, short[1].id]
    clock.advance(minutes=2)
    assert [t.id for t in signoff.pending()] == [high.id, low.id]
    assert [t.id for t in signoff.pending(queue="q")] == [high.id]
    assert [t.id for t in signoff.pending(thread_id=low.thread_id, tool="send")] == [low.id]


def test_expire_ends_what_is_overdue_once_and_seals(signoff: Signoff, clock: Clock) -> None:
    overdue, waiting = open_ticket(signoff, window="90s"), open_ticket(signoff)
    unused = open_ticket(signoff, use_within="90s")
    signoff.approve(unused, by="ana")
    clock.advance(minutes=2)
    assert sorted(signoff.expire()) == sorted([overdue.thread_id, unused.thread_id])
    assert signoff.expire() == []
    assert [signoff.ticket(t.id).standing for t in (overdue, waiting, unused)] == ["expired", "pending", "lapsed"]
    assert signoff.verify().unsealed == 0
    clock.advance(days=-1)
    with pytest.raises(TicketClosed):
        signoff.approve(overdue, by="ana")


def test_a_doubt_is_settled_by_an_eligible_person_only(guarded: Signoff) -> None:
    ticket = ask(guarded)
    guarded.approve(ticket, by="ana")
    case, _ = guarded.claims.claim(ticket.id)
    with pytest.raises(TicketClosed, match="no doubt"):
        guarded.settle(ticket, "happened", by="ana")
    guarded.claims.doubt(case)
    assert [t.id for t in guarded.in_doubt()] == [ticket.id]
    with pytest.raises(NotAllowedToDecide):
        guarded.settle(ticket, "happened", by="deniz")
    with pytest.raises(IncompleteDecision, match="perhaps"):
        guarded.settle(ticket, "perhaps", by="cem")
    settled = guarded.settle(ticket, "happened", by="cem", reason="in the books", result={"id": 7})
    assert settled.outcome
    assert (settled.standing, settled.outcome.result, settled.outcome.by) == (Standing.EXECUTED, {"id": 7}, "cem")


# Erasing -------------------------------------------------------------------------------------------------------------------


def test_what_may_still_run_is_not_erased(signoff: Signoff) -> None:
    ticket = open_ticket(signoff)
    for step in ("pending", "approved", "running"):
        assert signoff.ticket(ticket.id).standing == step
        with pytest.raises(TicketClosed, match="then erase it"):
            signoff.erase(ticket, by="dpo", reason="asked for")
        if step == "pending":
            signoff.approve(ticket, by="ana")
        elif step == "approved":
            signoff.claims.claim(ticket.id)
    for by, reason in ((" ", "asked for"), ("dpo", " ")):
        with pytest.raises(IncompleteDecision):
            signoff.erase(ticket, by=by, reason=reason)


@pytest.mark.parametrize("answer", ["approve", "edit", "reject", "fail"])
def test_an_erased_ticket_says_so_and_a_run_that_comes_to_it_again_is_answered(tmp_path: Path, answer: str) -> None:
    ran = list[str]()

    def send(to: str) -> str:
        """Sends."""
        ran.append(to)
        if answer == "fail":
            raise ValueError("Elmstreet is closed")
        return f"sent to {to}"

    script = [[("send", {"to": "Elmstreet 5"})], "Done."]
    with closing(Signoff(tmp_path / "l.db")) as signoff, agent(signoff, [send], script) as graph:
        ticket = signoff.run(graph, {"messages": [("user", "to Elmstreet 5")]}, thread_id="t").tickets[0]
        if answer == "edit":
            signoff.revise(ticket, by="ana", args={"to": "Elmstreet 6"}, reason="Elmstreet 6")
        elif answer == "reject":
            signoff.reject(ticket, by="ana", reason="not to Elmstreet")
        else:
            signoff.approve(ticket, by="ana", reason="Elmstreet is right")
        end = signoff.resume(graph, thread_id="t")
        assert end.status == ("failed" if answer == "fail" else "completed")
        erased = signoff.erase(ticket, by="dpo", reason="request 17")
        assert (erased.erased, erased.args, erased.digest, erased.trigger) == (True, {}, "", "")
        assert erased.detail == "erased by dpo: request 17"
        assert "null" not in str(erased)
        assert erased.options == ()
        row = signoff.ledger.rows([ticket.id])[ticket.id]
        assert (row.digest, row.turn, row.message_id) == ("", "", "")
        assert "Elmstreet" not in str(signoff.history(ticket)) + erased.model_dump_json()
        assert not any(b"Elmstreet" in file.read_bytes() for file in tmp_path.iterdir())
        assert signoff.verify().broken == []
        # The call is proposed once more by the same message: an old checkpoint is replayed.
        before = next(s for s in graph.get_state_history({"configurable": {"thread_id": "t"}}) if s.next == ("tools",))
        again = graph.invoke(None, before.config)
        told = next(m for m in again["messages"] if isinstance(m, ToolMessage))
        assert told.status == "error"
        assert ("rejected by ana" if answer == "reject" else "erased by dpo: request 17") in told.text
        assert "Elmstreet" not in told.text
        assert ran == ([] if answer == "reject" else [ran[0]])
        with pytest.raises(TicketClosed):
            signoff.approve(ticket, by="ana")
        assert signoff.comment(ticket, by="ana", text="done").decisions[-1].reason == "done"
        assert signoff.verify().broken == []


# Many at once --------------------------------------------------------------------------------------------------------------


def test_of_many_decisions_at_once_each_ticket_gets_one_end(path: Path, request: pytest.FixtureRequest) -> None:
    tickets, each = (100, 25) if request.config.getoption("--long") else (20, 10)
    with closing(Signoff(path)) as signoff:
        ids = [open_ticket(signoff, approvals=2, rejections=2).id for _ in range(tickets)]
        with multiprocessing.get_context("fork").Pool(4) as pool:
            jobs = [(path, ids, number, each, time.time() + 0.5) for number in range(4)]
            found = pool.starmap(_decide_all, jobs, chunksize=1)
        taken = Counter(key for counts, _ in found for key, n in counts.items() for _ in range(n))
        spans = [span for _, span in found]
        assert max(begin for begin, _ in spans) < min(end for _, end in spans), "they did not overlap"
        said = taken.total()
        assert said == tickets * each * 4
        for id_ in ids:
            ticket = signoff.ticket(id_)
            words = Counter({d.by: d.verdict for d in ticket.decisions}.values())
            assert ticket.standing in (Standing.APPROVED, Standing.REJECTED)
            assert max(words["approve"], words["reject"]) == 2
            assert words["approve" if ticket.standing is Standing.APPROVED else "reject"] == 2
            assert [e.seq for e in signoff.history(id_)] == list(range(1, len(ticket.decisions) + 2))
        entries = sum(len(signoff.history(id_)) for id_ in ids)
        assert taken["taken"] == entries - tickets
        assert signoff.verify().broken == []
        rows = signoff.ledger.find(Query(limit=1000))
        assert {row.id: row.standing for row in rows} == {id_: str(signoff.ticket(id_).standing) for id_ in ids}


def _decide_all(
    path: Path, ids: list[str], number: int, each: int, start: float
) -> tuple[Counter[str], tuple[float, float]]:
    """Every ticket gets so many decisions from this process, by ever the same few people, in an order of its own."""
    counts = Counter[str]()
    with closing(Signoff(path)) as signoff:
        digests = {id_: signoff.ticket(id_).digest for id_ in ids}
        time.sleep(max(0.0, start - time.time()))
        begin = time.monotonic()
        for turn in range(each):
            for place in range(len(ids)):
                id_ = ids[(place * (7, 11, 13, 17)[number] + turn) % len(ids)]
                say = signoff.approve if (turn + number + place) % 2 else signoff.reject
                try:
                    say(id_, by=f"person-{number}-{turn % 3}", if_digest=digests[id_])
                    counts["taken"] += 1
                except DecisionRefused:
                    counts["refused"] += 1
        return counts, (begin, time.monotonic())


# Whatever is said ----------------------------------------------------------------------------------------------------------

words = st.text(max_size=6) | st.sampled_from(["ana", "\ud800", "\x00", "•••"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["approve", "reject", "revise", "send_back", "comment", "settle"]),
            words,
            words,
            json_values,
        ),
        max_size=4,
    )
)
def test_whatever_is_said_is_taken_or_refused_with_a_typed_error(signoff: Signoff, said: list[Any]) -> None:
    ticket = open_ticket(signoff, {"to": "bob"}, approvals=9, rejections=9)
    for verb, by, text, value in said:
        try:
            match verb:
                case "approve" | "reject":
                    getattr(signoff, verb)(ticket.id, by=by, reason=text, if_digest=text or ticket.digest)
                case "revise":
                    signoff.revise(ticket, by=by, args=value if isinstance(value, dict) else {text: value}, reason=text)
                case "comment":
                    signoff.comment(ticket, by=by, text=text)
                case "settle":
                    signoff.settle(ticket, "happened", by=by, reason=text, result=value)
                case "send_back":
                    signoff.revise(ticket.id[: 2 + len(text)], by=by, feedback=text, if_digest="d")
        except (DecisionRefused, UnknownTicket):
            continue
        except LedgerError as error:
            pytest.fail(f"the ledger was blamed: {error}")
    left = signoff.ticket(ticket.id)
    assert left.standing is Standing.PENDING
    assert signoff.reject(left, by="eda").decisions[-1].by == "eda"


def test_the_first_characters_of_a_digest_name_it_and_are_kept_in_full(signoff: Signoff) -> None:
    ticket = open_ticket(signoff)
    for too_little in (ticket.digest[:11], "0" * 16):
        with pytest.raises(NotWhatYouSaw):
            signoff.approve(ticket.id, by="ana", if_digest=too_little)
    approved = signoff.approve(ticket.id, by="ana", if_digest=ticket.digest[:16])
    assert approved.decisions[0].digest == ticket.digest
    assert approved.approved_by == ("ana",)


def test_an_answer_that_settles_nothing_is_refused_by_name(signoff: Signoff) -> None:
    with pytest.raises(IncompleteDecision, match="happened, did_not_happen, give_up"):
        signoff.settle(open_ticket(signoff), "yes", by="ana")


def test_tickets_are_found_as_they_stand_though_nobody_has_written_their_end_down(tmp_path: Path) -> None:
    clock = Clock()
    signoff = Signoff(tmp_path / "signoff.db", clock=clock)
    overdue = [open_ticket(signoff, window=timedelta(hours=1)).id for _ in range(3)]
    waiting = [open_ticket(signoff, window=timedelta(hours=5)).id for _ in range(3)]
    clock.advance(hours=2)
    found = {s: {t.id for t in signoff.find(Query(standings=(s,), limit=3))} for s in ("pending", "expired")}
    assert found == {"pending": set(waiting), "expired": set(overdue)}
    assert all(ticket.standing.is_silence for ticket in signoff.find(Query(standings=("expired",))))
    assert len(signoff.find(Query(standings=("expired",), limit=2))) == 2


def test_a_thread_is_started_or_gone_on_with_by_one_call(tmp_path: Path) -> None:
    signoff = Signoff(tmp_path / "signoff.db")
    ran: list[str] = []

    def send(to: str) -> str:
        """Sends."""
        ran.append(to)
        return "sent"

    ask = {"messages": [("user", "Go")]}
    with agent(signoff, [send], [[("send", {"to": "bob"})], "Sent."]) as graph:
        run = signoff.resume(graph, thread_id="t", start=ask)
        assert (run.status, run.did) == ("pending_approval", "started it")
        again = signoff.resume(graph, thread_id="t", start=ask)
        assert again.tickets == run.tickets
        signoff.approve(run.tickets[0], by="ana")
        assert [signoff.resume(graph, thread_id="t", start=ask).status for _ in range(2)] == ["completed"] * 2
    assert ran == ["bob"]

"""Links in messages: whom they bind to what, that looking uses nothing up, and that deciding does, once."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_signoff import Answer, DecisionRefused, LinkRefused, Signoff, Ticket, TooFast, Verdict
from langgraph_signoff.errors import IncompleteDecision
from langgraph_signoff.ledger import Draft
from langgraph_signoff.links import Signer
from support import NOW, Clock
from telling import ask, diary, policy, told

URL = "https://signoff.example.org/decide"


@pytest.fixture
def signoff(path: Path, tmp_path: Path, clock: Clock) -> Iterator[Signoff]:
    """A ledger whose messages go into a diary, one for each person."""
    with closing(Signoff(path, policy=rules(tmp_path), clock=clock)) as made:
        yield made


def rules(folder: Path, **more: Any) -> Any:
    channels = {"diary": {**diary(folder), "to": "people"}}
    return policy("diary", channels=channels, **{"links": URL, **more})


def tokens(signoff: Signoff, folder: Path, ticket: Ticket, person: str = "ana") -> list[str]:
    """The tokens that this person has been sent for a ticket, in order."""
    signoff.deliver({})
    sent = [one["data"] for one in told(folder)]
    mine = [said for said in sent if (said["ticket"], said.get("person")) == (ticket.id, person)]
    return [said["link"].removeprefix(f"{URL}/") for said in mine if "link" in said]


# Deciding ------------------------------------------------------------------------------------------------------------------


def test_looking_uses_nothing_up_and_deciding_does(signoff: Signoff, tmp_path: Path) -> None:
    ticket = ask(signoff)
    [token] = tokens(signoff, tmp_path, ticket)
    before = signoff.history(ticket)
    for _ in range(3):
        assert signoff.open_link(token) == signoff.ticket(ticket.id)
    assert signoff.history(ticket) == before
    done = signoff.decide_by_link(token, Verdict.APPROVE, reason="fine")
    assert (done.standing, done.approved_by, done.decisions[0].reason) == ("approved", ("ana",), "fine")
    assert done.decisions[0].seen == ticket.seen
    for use in (lambda: signoff.open_link(token), lambda: signoff.decide_by_link(token, Verdict.REJECT)):
        with pytest.raises(LinkRefused, match=r"this link was used at 2026-03-02T09:30 UTC; .* is approved"):
            use()
    assert signoff.verify().is_whole


def test_a_link_rejects_sends_back_edits_and_says_what_happened(signoff: Signoff, tmp_path: Path) -> None:
    for says, words, standing in (
        (Verdict.REJECT, {"reason": "no"}, "rejected"),
        (Verdict.REVISE, {"reason": "to bob only"}, "returned"),
        (Verdict.REVISE, {"args": {"amount": 4}}, "approved"),
    ):
        ticket = ask(signoff)
        [token] = tokens(signoff, tmp_path, ticket)
        assert signoff.decide_by_link(token, says, **words).standing == standing
    claim, _ = signoff.claims.claim(ticket.id)
    signoff.desk.write(ticket.id, lambda _: [Draft("in_doubt", {"attempt": claim.attempts})])
    *_, token = tokens(signoff, tmp_path, ticket)
    assert signoff.decide_by_link(token, Answer.HAPPENED, value="sent").standing == "executed"
    with pytest.raises(LinkRefused, match="was used"):
        signoff.decide_by_link(token, Answer.GIVE_UP)


def test_a_decision_that_the_law_refuses_leaves_the_link_as_it_was(path: Path, tmp_path: Path, clock: Clock) -> None:
    given = rules(tmp_path, queue={"reason": "required"})
    with closing(Signoff(path, policy=given, clock=clock)) as signoff:
        [token] = tokens(signoff, tmp_path, ask(signoff))
        with pytest.raises(IncompleteDecision):
            signoff.decide_by_link(token, Verdict.APPROVE)
        assert signoff.decide_by_link(token, Verdict.APPROVE, reason="fine").standing == "approved"


def test_a_link_takes_what_the_policy_asks_of_an_approval_and_one_that_was_too_fast_once_more(
    path: Path, tmp_path: Path, clock: Clock
) -> None:
    given = rules(tmp_path, queue={"checklist": ["is it theirs?"], "read_for": "1m"})
    with closing(Signoff(path, policy=given, clock=clock)) as signoff:
        [token] = tokens(signoff, tmp_path, ask(signoff))
        with pytest.raises(IncompleteDecision, match="is it theirs"):
            signoff.decide_by_link(token, "approve")
        answers = {"is it theirs?": "yes"}
        with pytest.raises(TooFast):
            signoff.decide_by_link(token, "approve", checked=answers, read_for=timedelta(seconds=5))
        assert signoff.decide_by_link(token, "approve", checked=answers).standing == "approved"
        [other] = tokens(signoff, tmp_path, ask(signoff))
        slow = timedelta(minutes=1)
        assert signoff.decide_by_link(other, "approve", checked=answers, read_for=slow).standing == "approved"


def test_a_link_answers_a_question(signoff: Signoff, tmp_path: Path) -> None:
    asked = {"kind": "question", "tool": "ask", "answer_schema": {"type": "string", "enum": ["yes", "no"]}}
    ticket = ask(signoff, {"question": "may we?"}, **asked)
    assert tokens(signoff, tmp_path, ticket) == []  # of another queue, of which nobody hears
    quiet = rules(tmp_path, notify=["diary"])
    with closing(Signoff(signoff.ledger.path, policy=quiet)) as heard:  # type: ignore[attr-defined]  # SQLite's
        ticket = ask(heard, {"question": "may we?"}, **asked)
        [token] = tokens(heard, tmp_path, ticket)
        assert heard.decide_by_link(token, "answer", value="yes").answer == "yes"


def test_what_decides_nothing_is_refused_by_its_name(signoff: Signoff, tmp_path: Path) -> None:
    [token] = tokens(signoff, tmp_path, ask(signoff))
    with pytest.raises(IncompleteDecision, match="'allow' decides nothing; say approve, reject,"):
        signoff.decide_by_link(token, "allow")
    assert signoff.decide_by_link(token, "approve").standing == "approved"


def test_each_message_has_a_link_of_its_own_and_a_retry_the_same(signoff: Signoff, tmp_path: Path) -> None:
    ticket = ask(signoff)
    [first] = tokens(signoff, tmp_path, ticket)
    [other] = tokens(signoff, tmp_path, ticket, "bo")
    [notice] = [each for each in signoff.notices(ticket) if each.person == "ana"]
    signoff.ledger.swap_notice(notice, [replace(notice, state="waiting")])
    assert tokens(signoff, tmp_path, ticket) == [first, first]
    assert first != other


def test_who_stands_in_for_somebody_away_is_told_and_decides_by_a_link_in_their_name(
    signoff: Signoff, tmp_path: Path, clock: Clock
) -> None:
    signoff.delegate("ana", to="eda", until=clock() + timedelta(days=1), by="ana")
    ticket = ask(signoff)
    [token] = tokens(signoff, tmp_path, ticket, "eda")
    [decision] = signoff.decide_by_link(token, Verdict.APPROVE).decisions
    assert (decision.by, decision.behalf) == ("eda", "ana")


# Refusals ------------------------------------------------------------------------------------------------------------------


def test_a_link_that_was_sent_before_an_edit_is_refused_also_when_the_edit_is_undone(
    path: Path, tmp_path: Path, clock: Clock
) -> None:
    with closing(Signoff(path, policy=rules(tmp_path, queue={"approvals": 2}), clock=clock)) as signoff:
        ticket = ask(signoff, {"amount": 5})
        [old] = tokens(signoff, tmp_path, ticket)
        edited = signoff.revise(ticket, by="bo", args={"amount": 6})
        back = signoff.revise(edited, by="bo", args={"amount": 5})
        assert back.digest == ticket.digest
        for use in (lambda: signoff.open_link(old), lambda: signoff.decide_by_link(old, Verdict.APPROVE)):
            with pytest.raises(LinkRefused, match="has been changed since this link was sent"):
                use()
        clock.advance(minutes=1)
        newest = tokens(signoff, tmp_path, ticket)[-1]
        assert signoff.decide_by_link(newest, Verdict.APPROVE).approved_by == ("bo", "ana")


def test_a_link_holds_for_its_time_and_no_longer(signoff: Signoff, tmp_path: Path, clock: Clock) -> None:
    [token] = tokens(signoff, tmp_path, ask(signoff))
    clock.advance(hours=24, microseconds=-1)
    signoff.open_link(token)
    clock.advance(microseconds=1)
    with pytest.raises(LinkRefused, match="this link held until 2026-03-03T09:30 UTC"):
        signoff.open_link(token)


def test_a_link_decides_only_as_the_person_that_it_was_sent_to_and_only_while_they_may(
    signoff: Signoff, path: Path, tmp_path: Path, clock: Clock
) -> None:
    ticket = ask(signoff)
    [token] = tokens(signoff, tmp_path, ticket)
    people = {
        "ana": {"groups": ["sales"]},
        "bo": {"groups": ["finance"], "address": "b"},
        "cem": {"groups": ["leads"]},
        "eda": {},
    }
    with closing(Signoff(path, policy=rules(tmp_path, people=people), clock=clock)) as later:
        for use in (later.open_link, lambda token: later.decide_by_link(token, Verdict.APPROVE)):
            with pytest.raises(LinkRefused, match=r"ana may not decide ticket .* now: ana is not among group:finance"):
                use(token)
    assert signoff.decide_by_link(token, Verdict.APPROVE).approved_by == ("ana",)


def test_a_link_to_what_somebody_else_has_decided_shows_it_and_decides_nothing(
    signoff: Signoff, tmp_path: Path
) -> None:
    ticket = ask(signoff)
    [token] = tokens(signoff, tmp_path, ticket)
    signoff.reject(ticket, by="bo")
    assert signoff.open_link(token).standing == "rejected"
    with pytest.raises(DecisionRefused, match="is rejected by bo"):
        signoff.decide_by_link(token, Verdict.APPROVE)


def test_where_links_are_off_none_is_sent_and_none_is_taken(
    signoff: Signoff, path: Path, tmp_path: Path, clock: Clock
) -> None:
    ticket = ask(signoff)
    [token] = tokens(signoff, tmp_path, ticket)
    with closing(Signoff(path, policy=rules(tmp_path, links="off"), clock=clock)) as off:
        assert tokens(off, tmp_path, ask(off)) == []
        for use in (off.open_link, lambda token: off.decide_by_link(token, Verdict.APPROVE)):
            with pytest.raises(LinkRefused, match="links are off"):
                use(token)


def test_a_link_of_another_ledger_is_none_of_this_one(signoff: Signoff, tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "other").mkdir()
    ticket = ask(signoff)
    with closing(Signoff(tmp_path / "other.db", policy=rules(tmp_path / "other"), clock=clock)) as other:
        made = signoff.ledger.history(ticket.id)
        other.ledger.append(made)
        with pytest.raises(LinkRefused, match="was not made here"):
            other.open_link(tokens(signoff, tmp_path, ticket)[0])


# The token -----------------------------------------------------------------------------------------------------------------

SIGNER = Signer(b"a secret of thirty-two bytes ....")
LINK = SIGNER.make(source="e", ticket=("a" * 32, 1, "d" * 64), person="ana", until=NOW + timedelta(hours=1))
TOKEN = SIGNER.sign(LINK)


def test_a_token_says_what_it_was_made_of_and_nothing_that_arguments_can_be_guessed_by() -> None:
    assert SIGNER.read(TOKEN, now=NOW) == LINK
    said = TOKEN.split(".")[0]
    words = json.loads(base64.urlsafe_b64decode(said + "=" * (-len(said) % 4)))
    assert words == [LINK.name, "a" * 32, "ana", 1, LINK.bound, "2026-03-02T10:30:00.000000Z"]
    assert "d" * 12 not in json.dumps(words)
    assert LINK.bound == SIGNER.bound("d" * 64) != Signer(b"another").bound("d" * 64)


@settings(max_examples=40)
@given(st.integers(0, len(TOKEN) - 1), st.characters())
def test_a_token_with_any_character_changed_is_refused(place: int, character: str) -> None:
    forged = TOKEN[:place] + character + TOKEN[place + 1 :]
    if forged != TOKEN:
        with pytest.raises(LinkRefused):
            SIGNER.read(forged, now=NOW)


@settings(max_examples=40)
@given(st.text(max_size=40) | st.sampled_from([TOKEN * 9, TOKEN + "=", "." + TOKEN, TOKEN.split(".")[0] + ".", "."]))
def test_garbage_is_refused(token: str) -> None:
    with pytest.raises(LinkRefused):
        SIGNER.read(token, now=NOW)


@settings(max_examples=40)
@given(st.text(max_size=8), st.integers(0, 9), st.text(max_size=8), st.text(max_size=8))
def test_links_to_different_things_never_share_a_name(person: str, generation: int, ticket: str, source: str) -> None:
    one = SIGNER.make(source=source, ticket=(ticket, generation, "d"), person=person, until=NOW)
    other = SIGNER.make(source=source, ticket=(ticket, generation + 1, "d"), person=person, until=NOW)
    moved = SIGNER.make(source=source + ticket, ticket=("", generation, "d"), person=person, until=NOW)
    assert one.name != other.name
    assert one.name != moved.name or not ticket

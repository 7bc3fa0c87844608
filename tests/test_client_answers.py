"""What other people's clients send, read as what it says: their own payloads, and everything else that JSON can be."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_signoff import (
    Answer,
    AnswerRefused,
    DecisionRefused,
    IncompleteDecision,
    NotAllowedToDecide,
    NotWhatYouSaw,
    Policy,
    RevisionRefused,
    Signoff,
    Standing,
    Ticket,
    TicketClosed,
    Verdict,
)
from langgraph_signoff.law import Halt, Scope
from langgraph_signoff.nodes.payload import KEY, halt_pause, is_pause, pause, pause_id, shown, tickets_of
from langgraph_signoff.runs import KNOCK
from langgraph_signoff.server.answers import answers, gone, knocked, replies
from langgraph_signoff.server.handler import fits
from langgraph_signoff.vocabulary import Reply
from support import NOW, json_values, open_ticket

SCHEMA = {"type": "object", "properties": {"to": {"type": "string"}, "amount": {"type": "number"}}}
BOB, EVE = {"to": "bob", "amount": 5}, {"to": "eve", "amount": 7}
APPROVE = (Verdict.APPROVE, "", None)
ONE, TWO = "1" * 32, "2" * 32


class Asked:
    """Tickets in a ledger, and the pause that shows them."""

    def __init__(self, signoff: Signoff, schema: Any, *args: dict[str, Any], **more: Any) -> None:
        self.signoff = signoff
        self.tickets = [open_ticket(signoff, each, args_schema=SCHEMA, **more) for each in args]
        self.value = pause([signoff.desk.case(ticket.id) for ticket in self.tickets], schema)
        self.id = pause_id(self.value)

    def says(self, answer: Any) -> list[tuple[Any, str, Any]]:
        """Verdict, words and arguments, in the order of the tickets."""
        said = replies(self.id, self.value, answer)
        assert [reply.ticket_id for reply in said] == [ticket.id for ticket in self.tickets[: len(said)]]
        return [(reply.says, reply.reason, reply.args) for reply in said]

    def takes(self, answer: Any, *, by: str = "ana") -> list[Ticket]:
        return self.signoff.hear(replies(self.id, self.value, answer), by=by)

    @property
    def standings(self) -> list[Standing]:
        return [self.signoff.ticket(ticket.id).standing for ticket in self.tickets]


@pytest.fixture
def signoff(path: Path) -> Signoff:
    return Signoff(path, policy=Policy(tools={"send": "review"}))


def edit(**args: Any) -> dict[str, Any]:
    return {"type": "edit", "edited_action": {"name": "send", "args": args}}


def decisions(*each: dict[str, Any]) -> dict[str, Any]:
    return {"decisions": list(each)}


# LangChain's own form, as Agent Chat UI and Studio send it ----------------------------------------------------------------


def test_decisions_go_by_position(signoff: Signoff) -> None:
    """`{resume: {decisions: allDecisions}}`: agent-chat-ui, src/components/thread/agent-inbox/components/thread-actions-view.tsx."""
    asked = Asked(signoff, "langchain", BOB, EVE)
    assert asked.says(decisions({"type": "approve"}, edit(to="eve", amount=9))) == [
        APPROVE,
        (Verdict.REVISE, "", {"to": "eve", "amount": 9}),
    ]
    assert asked.says(
        decisions({"type": "reject", "message": "no"}, {"type": "respond", "message": "ask Eve first"})
    ) == [(Verdict.REJECT, "no", None), (Verdict.REVISE, "ask Eve first", None)]


def test_a_single_decision_may_come_bare(signoff: Signoff) -> None:
    """As LangChain's middleware takes it in its mode `per_call`."""
    assert Asked(signoff, "langchain", BOB).says({"type": "approve"}) == [APPROVE]


def test_what_a_text_box_turned_into_text_is_a_value_again(signoff: Signoff) -> None:
    """`onEditChange` of both clients (.../components/inbox-item-input.tsx) puts the text of a box into the arguments."""
    asked = Asked(signoff, "langchain", {"to": "5", "amount": 5, "urgent": False, "tags": ["a"], "note": None})
    typed = edit(to="6", amount="7.5", urgent="true", tags='["a", "b"]', note="8")
    assert asked.says(decisions(typed)) == [
        (Verdict.REVISE, "", {"to": "6", "amount": 7.5, "urgent": True, "tags": ["a", "b"], "note": "8"})
    ]


@pytest.mark.parametrize("text", ["lots", "", "NaN", "1e999", "[" * 100_000, "{}"])
def test_a_text_that_is_no_number_is_refused_by_the_schema_of_the_tool(text: str, signoff: Signoff) -> None:
    asked = Asked(signoff, "langchain", BOB)
    with pytest.raises(RevisionRefused):
        asked.takes(decisions(edit(to="bob", amount=text)))
    assert asked.standings == [Standing.PENDING]


def test_an_edit_that_leaves_an_argument_out_is_refused_because_it_would_run_with_the_old_one(signoff: Signoff) -> None:
    with pytest.raises(IncompleteDecision, match="leaves out amount"):
        Asked(signoff, "langchain", BOB).says(decisions(edit(to="eve")))


def test_an_edit_cannot_name_another_tool(signoff: Signoff) -> None:
    other = {"type": "edit", "edited_action": {"name": "drop", "args": BOB}}
    with pytest.raises(IncompleteDecision, match='send is asked, not "drop"'):
        Asked(signoff, "langchain", BOB).says(decisions(other))


def test_a_masked_argument_that_an_edit_leaves_alone_keeps_its_value(path: Path) -> None:
    signoff = Signoff(path, policy=Policy(tools={"send": {"redact": ["args.amount"], "otherwise": "review"}}))
    asked = Asked(signoff, "langchain", BOB, redact=("amount",))
    seen = shown(asked.value)[0].args
    assert seen["amount"] != 5
    [ticket] = asked.takes(decisions(edit(**{**seen, "to": "cem"})))
    assert ticket.standing is Standing.APPROVED
    assert signoff.desk.case(ticket.id).args == {"to": "cem", "amount": 5}


# Agent Inbox --------------------------------------------------------------------------------------------------------------


def test_agent_inbox_reads_our_pause_as_its_own(signoff: Signoff) -> None:
    """A list of objects with these keys, whatever else is in them: `getInterruptFromThread` of agent-inbox,
    src/components/agent-inbox/contexts/utils.ts, and `isAgentInboxInterruptSchema` of agent-chat-ui's first version."""
    asked = Asked(signoff, "agent-inbox", BOB, EVE)
    for item, args in zip(asked.value, (BOB, EVE), strict=True):
        assert item["action_request"] == {"action": "send", "args": args}
        assert item["config"] == dict.fromkeys(("allow_accept", "allow_edit", "allow_respond", "allow_ignore"), True)
        assert isinstance(item["description"], str)
    assert tickets_of(asked.value) == [ticket.id for ticket in asked.tickets]
    assert is_pause(asked.value, asked.id)


def test_agent_inbox_gives_back_what_it_showed_when_it_accepts(signoff: Signoff) -> None:
    """`{type: "accept", args: r.args}`, the edit that was not made: agent-inbox, .../hooks/use-interrupted-actions.tsx."""
    asked = Asked(signoff, "agent-inbox", BOB)
    assert asked.says([{"type": "accept", "args": {"action": "send", "args": BOB}}]) == [APPROVE]
    assert asked.says([{"type": "accept", "args": None}]) == [APPROVE]
    with pytest.raises(NotWhatYouSaw):
        asked.says([{"type": "accept", "args": {"action": "send", "args": EVE}}])


def test_the_other_answers_of_agent_inbox(signoff: Signoff) -> None:
    """`HumanResponse`: agent-inbox, src/components/agent-inbox/types.ts."""
    asked = Asked(signoff, "agent-inbox", BOB)
    changed = {"action": "send", "args": {"to": "bob", "amount": "6"}}
    assert asked.says([{"type": "edit", "args": changed}]) == [(Verdict.REVISE, "", {"to": "bob", "amount": 6})]
    assert asked.says([{"type": "response", "args": "ask Bob"}]) == [(Verdict.REVISE, "ask Bob", None)]
    assert asked.says([{"type": "ignore", "args": None}]) == [(Verdict.REJECT, "", None)]


def test_agent_inbox_answers_the_first_of_several_calls_and_comes_back(signoff: Signoff) -> None:
    """It shows `threadData.interrupts[0]`, and sends a list of one."""
    asked = Asked(signoff, "agent-inbox", BOB, EVE)
    asked.takes([{"type": "accept", "args": None}])
    assert asked.standings == [Standing.APPROVED, Standing.PENDING]


def test_agent_inbox_answers_langchains_form_in_a_mixture_of_both(signoff: Signoff) -> None:
    """`mappedResponse` in `sendHumanResponse`: agent-inbox, src/components/agent-inbox/contexts/ThreadContext.tsx."""
    asked = Asked(signoff, "langchain", BOB)
    action = {"action": "send", "args": {"to": "bob", "amount": "6"}}
    assert asked.says(decisions({"type": "approve", "args": {"action": "send", "args": BOB}})) == [APPROVE]
    assert asked.says(decisions({"type": "edit", "args": action})) == [(Verdict.REVISE, "", {"to": "bob", "amount": 6})]
    assert asked.says(decisions({"type": "reject", "args": "not today"})) == [(Verdict.REJECT, "not today", None)]
    assert asked.says(decisions({"type": "ignore", "args": None})) == [(Verdict.REJECT, "", None)]


# What is refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        True,
        "approve",
        1,
        [],
        {},
        [None],
        ["approve"],
        {"decisions": None},
        {"decisions": {}},
        {"decisions": []},
        {"decisions": [{"type": "approve"}, {"type": "approve"}]},
        {"decisions": ["approve"]},
        {"decisions": [{}]},
        {"decisions": [{"type": None}]},
        {"decisions": [{"type": "APPROVE"}]},
        {"decisions": [{"type": ["approve"]}]},
        {"decisions": [{"type": "reject", "message": 5}]},
        {"decisions": [{"type": "respond"}]},
        {"decisions": [{"type": "respond", "message": "  "}]},
        {"decisions": [{"type": "edit"}]},
        {"decisions": [{"type": "edit", "edited_action": None}]},
        {"decisions": [{"type": "edit", "edited_action": {"name": "send"}}]},
        {"decisions": [{"type": "edit", "edited_action": {"name": "send", "args": []}}]},
        {"decisions": [{"type": "edit", "edited_action": {"args": BOB}}]},
        {"decisions": [{"type": "comment", "message": "hm"}]},
        {"decisions": [{"type": "happened"}]},
    ],
    ids=str,
)
def test_an_answer_that_says_nothing_is_refused_with_the_form_that_would(answer: Any, signoff: Signoff) -> None:
    for schema in ("langchain", "agent-inbox"):
        asked = Asked(signoff, schema, BOB)
        with pytest.raises(IncompleteDecision) as refused:
            asked.takes(answer)
        assert len(str(refused.value)) < 400
        assert asked.standings == [Standing.PENDING]


def test_langchains_form_needs_a_decision_for_each_call(signoff: Signoff) -> None:
    asked = Asked(signoff, "langchain", BOB, EVE)
    for answer in (decisions({"type": "approve"}), [{"type": "accept"}], {"type": "approve"}):
        with pytest.raises(IncompleteDecision, match="shows 2 calls, in order, and this answers 1"):
            asked.says(answer)


def test_several_decisions_are_taken_together_or_not_at_all(signoff: Signoff) -> None:
    asked = Asked(signoff, "langchain", BOB, EVE)
    for refused in (edit(to="eve", amount="lots"), {"type": "approve"}):
        if refused["type"] == "approve":
            signoff.reject(asked.tickets[1], by="cem")
        with pytest.raises(RevisionRefused if refused["type"] == "edit" else TicketClosed):
            asked.takes(decisions({"type": "approve"}, refused))
        assert asked.standings[0] is Standing.PENDING
        assert len(signoff.history(asked.tickets[0])) == 1


def test_answers_that_come_at_once_are_each_on_record_whole_or_not_at_all(path: Path) -> None:
    policy = Policy(tools={"send": "review"})
    doors = [Signoff(path, policy=policy) for _ in range(4)]
    for _ in range(10):
        one, two, three = (open_ticket(doors[0], args_schema=SCHEMA) for _ in range(3))
        pairs = [(one, two), (two, three), (three, one), (three, two)]

        def take(door: Signoff, by: str, pair: Any) -> bool:
            said = [Reply(ticket_id=t.id, says=Verdict.APPROVE, digest=t.digest, generation=1) for t in pair]
            try:
                return bool(door.hear(said, by=by))
            except TicketClosed:
                return False

        with ThreadPoolExecutor(4) as pool:
            taken = list(pool.map(take, doors, "abcd", pairs))
        decided = {t.id: [d.by for d in doors[0].ticket(t.id).decisions] for t in (one, two, three)}
        for by, pair, is_taken in zip("abcd", pairs, taken, strict=True):
            assert [decided[t.id].count(by) for t in pair] == [int(is_taken)] * 2
        assert sum(taken) == 1
    assert doors[0].verify().is_whole


def test_a_ticket_that_was_changed_since_the_pause_showed_it_takes_no_answer_from_there(signoff: Signoff) -> None:
    asked = Asked(signoff, "langchain", BOB, approvals=2)
    signoff.revise(asked.tickets[0], by="cem", args={"amount": 5000})
    with pytest.raises(NotWhatYouSaw):
        asked.takes(decisions({"type": "approve"}))
    back = signoff.revise(signoff.ticket(asked.tickets[0].id), by="cem", args={"amount": 5})
    assert back.digest == asked.tickets[0].digest
    with pytest.raises(NotWhatYouSaw):
        asked.takes(decisions({"type": "approve"}))


def test_a_plain_approval_of_what_was_changed_while_it_waited_must_say_what_was_seen(signoff: Signoff) -> None:
    asked = Asked(signoff, "langchain", BOB, approvals=3)
    signoff.revise(asked.tickets[0], by="cem", args={"amount": 5000})
    value = pause([signoff.desk.case(asked.tickets[0].id)])
    seen = {"type": "approve", "args": {"action": "send", "args": {**BOB, "amount": 5000}}}
    with pytest.raises(NotWhatYouSaw, match="in which form you saw it"):
        replies(pause_id(value), value, decisions({"type": "approve"}), by_id=False)
    for answer, by_id in (({"type": "approve"}, True), (seen, False), ({"type": "reject"}, False)):
        assert replies(pause_id(value), value, decisions(answer), by_id=by_id)


def test_a_name_that_only_looks_like_another_is_somebody_else(path: Path) -> None:
    signoff = Signoff(path, policy=Policy(people={"ana": {}}))
    with pytest.raises(NotAllowedToDecide):
        Asked(signoff, "langchain", BOB).takes(decisions({"type": "approve"}), by="ana ")


@pytest.mark.parametrize("depth", [500, 100_000])
def test_an_answer_that_is_nested_without_end_is_refused(depth: int, signoff: Signoff) -> None:
    nested: Any = None
    for _ in range(depth):
        nested = [nested]
    for answer in (nested, {"decisions": nested}, decisions({"type": nested}), decisions(edit(to=nested, amount=1))):
        with pytest.raises(DecisionRefused):
            Asked(signoff, "langchain", BOB).takes(answer)


def test_a_pause_has_another_id_as_soon_as_it_shows_something_else(signoff: Signoff) -> None:
    asked = Asked(signoff, "langchain", BOB, approvals=2)
    signoff.revise(asked.tickets[0], by="cem", args={"amount": 5000})
    again = pause([signoff.desk.case(asked.tickets[0].id)])
    assert pause_id(again) != asked.id
    assert pause_id(dict(reversed([(k, v) for k, v in asked.value.items() if k == KEY]))) == asked.id


def test_a_pause_that_waits_for_a_release_takes_no_decision() -> None:
    halted = halt_pause("t", ["send"], ["1"], Halt(Scope(), "ana", NOW, ""))
    with pytest.raises(IncompleteDecision, match="waits for a release"):
        replies(pause_id(halted), halted, decisions({"type": "approve"}))


# A call in doubt ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schema", ["langchain", "agent-inbox"])
def test_of_a_call_in_doubt_a_response_says_whether_it_happened(schema: Any, signoff: Signoff) -> None:
    asked = in_doubt(signoff, schema)
    for answer in (decisions({"type": "approve"}), decisions({"type": "respond", "message": "yes"}), "maybe"):
        with pytest.raises(IncompleteDecision, match="happened, did_not_happen, give_up"):
            asked.takes(answer)
    for answer in (decisions({"type": "respond", "message": "happened"}), [{"type": "response", "args": "happened"}]):
        assert asked.says(answer) == [(Answer.HAPPENED, "", None)]
    assert [ticket.standing for ticket in asked.takes("happened")] == [Standing.EXECUTED]


def in_doubt(signoff: Signoff, schema: Any) -> Asked:
    asked = Asked(signoff, schema, BOB)
    signoff.approve(asked.tickets[0], by="ana")
    case, _ = signoff.claims.claim(asked.tickets[0].id)
    signoff.claims.doubt(case)
    asked.value = pause([signoff.desk.case(case.id)], schema)
    asked.id = pause_id(asked.value)
    return asked


# A question ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schema", ["langchain", "agent-inbox"])
def test_a_response_to_a_question_is_its_answer(schema: Any, signoff: Signoff) -> None:
    asked = question(signoff, schema, {"type": "string", "enum": ["manually", "later"]})
    if schema == "langchain":
        [config], [request] = asked.value["review_configs"], asked.value["action_requests"]
        assert config["allowed_decisions"] == ["respond", "reject"]
    else:
        [request] = asked.value
        assert request["config"] == {
            "allow_accept": False,
            "allow_edit": False,
            "allow_respond": True,
            "allow_ignore": True,
        }
    assert "Which way?" in request["description"]
    for answer in (decisions({"type": "approve"}), decisions({"type": "respond", "message": "never"})):
        with pytest.raises(DecisionRefused):
            asked.takes(answer)
    key = "message" if schema == "langchain" else "args"
    [ticket] = asked.takes([{"type": "response", key: "later"}])
    assert (ticket.standing, ticket.answer) == (Standing.ANSWERED, "later")


def test_a_response_to_a_form_is_its_json_or_its_text(signoff: Signoff) -> None:
    form = {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]}
    for message in ('{"count": 3}', {"count": 3}):
        [ticket] = question(signoff, "langchain", form).takes(decisions({"type": "respond", "message": message}))
        assert ticket.answer == {"count": 3}
    with pytest.raises(AnswerRefused):
        question(signoff, "langchain", form).takes(decisions({"type": "respond", "message": "three"}))


def test_a_response_that_says_nothing_is_no_answer_even_where_null_would_be_one(signoff: Signoff) -> None:
    asked = question(signoff, "langchain", {"anyOf": [{"type": "integer"}, {"type": "null"}]})
    with pytest.raises(IncompleteDecision, match="an answer says what it is"):
        asked.takes(decisions({"type": "respond"}))
    [ticket] = asked.takes(decisions({"type": "respond", "message": None}))
    assert (ticket.standing, ticket.answer) == (Standing.ANSWERED, None)


def question(signoff: Signoff, schema: Any, answer_schema: dict[str, Any]) -> Asked:
    return Asked(signoff, schema, {"question": "Which way?"}, kind="question", answer_schema=answer_schema)


# Which pause an answer is for ---------------------------------------------------------------------------------------------


def test_a_plain_answer_is_for_the_only_pause() -> None:
    assert answers("yes", {ONE: "ours"}, ()) == {ONE: "yes"}
    assert answers("yes", {}, {ONE}) == {}
    assert answers("yes", {}, {ONE, TWO}) == {}


@pytest.mark.parametrize("others", [{TWO}, ()])
def test_a_plain_answer_where_several_pauses_wait_is_refused(others: Any) -> None:
    ours = {ONE: "ours"} if others else {ONE: "ours", TWO: "ours"}
    with pytest.raises(IncompleteDecision, match=ONE):
        answers("yes", ours, others)


def test_answers_by_id_are_for_those_that_are_ours() -> None:
    assert answers({ONE: "yes", TWO: "theirs"}, {ONE: "ours"}, {TWO}) == {ONE: "yes"}


def test_a_knock_answers_nothing() -> None:
    assert answers(KNOCK, {ONE: 1, TWO: 2}, ()) == {}
    assert answers({ONE: KNOCK, TWO: "yes"}, {ONE: 1, TWO: 2}, ()) == {TWO: "yes"}


def test_what_goes_into_the_run_is_a_knock_by_id() -> None:
    assert knocked("yes", [ONE]) == {ONE: KNOCK}
    assert knocked({ONE: "yes", TWO: "theirs"}, [ONE]) == {ONE: KNOCK, TWO: "theirs"}


def test_an_answer_to_what_nobody_asks_any_more_is_noticed() -> None:
    assert gone({ONE: "yes", TWO: KNOCK}, ()) == [ONE]
    assert gone({ONE: "yes"}, {ONE}) == []
    assert gone(decisions({"type": "approve"}), ()) == ["the pause"]
    assert gone("a new question", ()) == []
    assert gone(KNOCK, ()) == []


# Anything else ------------------------------------------------------------------------------------------------------------


said = st.fixed_dictionaries(
    {"type": st.sampled_from(["approve", "accept", "edit", "reject", "ignore", "respond", "response"]) | json_values},
    optional={"message": json_values, "args": json_values, "edited_action": json_values, "by": json_values},
)
anything = (
    json_values | st.lists(said, max_size=3) | st.builds(lambda each: {"decisions": each}, st.lists(said, max_size=3))
)


@settings(deadline=None)
@given(answer=anything, count=st.integers(1, 2), schema=st.sampled_from(["langchain", "agent-inbox"]))
def test_whatever_comes_is_a_decision_on_each_ticket_or_refused(
    shared: Signoff, answer: Any, count: int, schema: Any
) -> None:
    asked = Asked(shared, schema, *[BOB, EVE][:count])
    try:
        asked.takes(answer)
    except DecisionRefused:
        assert asked.standings == [Standing.PENDING] * count
    else:
        assert asked.standings[0] is not Standing.PENDING
    for ticket in asked.tickets:
        assert {decision.by for decision in shared.ticket(ticket.id).decisions} <= {"ana"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Signoff:
    return Signoff(tmp_path_factory.mktemp("answers") / "ledger.db")


# Whose thread it is -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "is_among"),
    [
        ({}, True),
        ({"owner": "ana"}, True),
        ({"owner": "bob"}, False),
        ({"team": None}, False),
        ({"owner": {"$eq": "ana"}}, True),
        ({"owner": {"$eq": "bob"}}, False),
        ({"groups": {"$contains": "x"}}, True),
        ({"groups": {"$contains": ["x", "z"]}}, False),
        ({"owner": {"$contains": "a"}}, False),
        ({"$or": [{"owner": "bob"}, {"groups": {"$contains": "y"}}]}, True),
        ({"$and": [{"owner": "ana"}, {"groups": {"$contains": "z"}}]}, False),
        ({"$or": [{"owner": "bob"}, {"owner": "ana"}], "groups": {"$contains": "z"}}, False),
        ({"owner": {"$ne": "bob"}}, False),
        ({"owner": {}}, False),
    ],
    ids=str,
)
def test_the_filter_of_an_auth_handler_says_whose_thread_it_is(wanted: dict[str, Any], is_among: bool) -> None:
    """`FilterType` of langgraph_sdk.auth.types; an operator that is not known there lets nobody."""
    assert fits({"owner": "ana", "groups": ["x", "y"]}, wanted) is is_among

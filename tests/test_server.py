"""Other people's clients at a real server: what they send decides as the user they are, or comes back with a clear 4xx."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langgraph.pregel.remote import RemoteGraph
from langgraph.types import Command

from langgraph_signoff import Standing, Verdict
from langgraph_signoff.runs import KNOCK
from serving import STUDIO, Server, Thread
from support import until

pytestmark = pytest.mark.xdist_group("server")  # one server for all of them

APPROVE = {"type": "approve"}
YES = {"decisions": [APPROVE]}


def send(to: str, amount: float = 5.0) -> tuple[str, dict[str, Any]]:
    return "send", {"to": to, "amount": amount}


def edit(**args: Any) -> dict[str, Any]:
    return {"type": "edit", "edited_action": {"name": "send", "args": args}}


def at_once(do: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """What comes of each, all at the same time."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(do, items))


def told(thread: Thread) -> str:
    """What the agent was told last."""
    return str([message for message in thread.messages if message["type"] == "tool"][-1]["content"])


# Agent Chat UI ------------------------------------------------------------------------------------------------------------


def chat(thread: Thread, decisions: list[Any], *, by: str, checkpoint: Any = None) -> tuple[int, Any]:
    """What its `stream.submit({}, {command: {resume: {decisions}}})` sends.

    agent-chat-ui, src/components/thread/agent-inbox/components/thread-actions-view.tsx; `submit` of `useStream` adds the
    checkpoint of the head that it shows (langgraphjs, libs/sdk, react/stream.lgp.tsx), `runs.stream` makes this body of it.
    """
    head = checkpoint or thread.head
    body = {
        "input": {},
        "command": {"resume": {"decisions": decisions}},
        "stream_mode": ["values", "messages-tuple", "updates", "custom"],
        "stream_subgraphs": True,
        "stream_resumable": True,
        "assistant_id": thread.graph,
        "checkpoint": {"checkpoint_id": head, "checkpoint_ns": ""},
        "on_disconnect": "continue",
    }
    return thread.server.post(f"/threads/{thread.id}/runs/stream", body, by=by)


def test_agent_chat_ui_approves(server: Server) -> None:
    thread = server.thread([send("chat-1")])
    assert thread.status == "interrupted"
    status, stream = chat(thread, [APPROVE], by="ana")
    assert status == 200, stream
    assert server.count("send chat-1") == 1
    assert told(thread) == "sent 5.0 to chat-1"
    [decision] = thread.tickets[0].decisions
    assert (decision.by, decision.verdict, decision.groups) == ("ana", Verdict.APPROVE, ("finance",))
    assert decision.seen


def test_agent_chat_ui_rejects_with_a_reason_that_the_agent_is_told(server: Server) -> None:
    thread = server.thread([send("chat-2")])
    chat(thread, [{"type": "reject", "message": "not on a Friday"}], by="cem")
    assert server.count("send chat-2") == 0
    assert "rejected by cem: not on a Friday" in told(thread)


def test_agent_chat_ui_edits_with_what_its_text_boxes_give(server: Server) -> None:
    thread = server.thread([send("chat-3")])
    chat(thread, [edit(to="chat-3b", amount="7.5", note="null")], by="ana")
    assert server.count("send chat-3b 7.5") == 1
    assert server.count("send chat-3 ") == 0
    assert "7.5" in told(thread)


def test_agent_chat_ui_submits_all_decisions_at_once(server: Server) -> None:
    thread = server.thread([send("chat-4"), send("chat-5"), send("chat-6")])
    assert len(thread.pause["action_requests"]) == 3
    chat(thread, [APPROVE, {"type": "reject", "message": "no"}, APPROVE], by="ana")
    assert [server.count(f"send chat-{n}") for n in (4, 5, 6)] == [1, 0, 1]


def test_agent_chat_ui_answers_one_of_several_pauses_by_its_id(server: Server) -> None:
    thread = server.thread([send("chat-7"), send("chat-8")], graph="each")
    first, second = thread.pauses
    name = thread.pauses[first]["action_requests"][0]["args"]["to"]
    thread.resume({first: YES}, by="ana")
    assert server.count(f"send {name}") == 1
    assert set(thread.pauses) == {second}
    thread.resume({second: YES}, by="cem")
    assert [server.count(f"send chat-{n}") for n in (7, 8)] == [1, 1]


def test_agent_chat_ui_answers_a_question_of_the_agent(server: Server) -> None:
    thread = server.thread([("clerk", {"question": "It fits no template. What now?"})])
    assert "What now?" in thread.pause["action_requests"][0]["description"]
    status, words = thread.refused({"decisions": [{"type": "respond", "message": "never"}]}, by="ana")
    assert (status, "later" in words) == (422, True)
    chat(thread, [{"type": "respond", "message": "later"}], by="ana")
    assert (thread.tickets[0].standing, thread.tickets[0].answer) == (Standing.ANSWERED, "later")
    assert told(thread) == "later"


def test_a_pause_inside_a_subgraph_is_answered_like_any_other(server: Server) -> None:
    thread = server.thread([send("nested-1"), send("nested-2")], [send("nested-3")], graph="nested")
    chat(thread, [APPROVE, {"type": "reject", "message": "no"}], by="ana")
    assert thread.refused(YES, by="eve")[0] == 403
    [id_] = thread.pauses
    thread.resume({id_: YES}, by="cem")
    assert [server.count(f"send nested-{n}") for n in (1, 2, 3)] == [1, 0, 1]


# Studio -------------------------------------------------------------------------------------------------------------------


def test_studio_decides_as_the_person_that_the_policy_knows_it_to_be(server: Server) -> None:
    """It sends the resume value that its user wrote, by interrupt id, beside the checkpoint that it shows."""
    thread = server.thread([send("studio-1")])
    [id_] = thread.pauses
    checkpoint = {"checkpoint_id": thread.head, "checkpoint_ns": ""}
    thread.resume({id_: YES}, by=STUDIO, checkpoint=checkpoint, multitask_strategy="rollback")
    assert server.count("send studio-1") == 1
    assert thread.tickets[0].approved_by == (STUDIO,)


def test_studio_decides_nothing_where_no_policy_names_it(server: Server) -> None:
    """Whoever says `x-auth-scheme: langsmith` to a development server is Studio; the policy of `minimal` knows no people."""
    thread = Thread(server, server.client("bob").threads.create()["thread_id"], "minimal")
    server.client("bob").runs.wait(thread.id, "minimal", input={"messages": [("user", "Pay invoice 114")]})
    status, words = thread.refused(YES, by=STUDIO)
    assert (status, "if the policy names them" in words) == (403, True)
    thread.resume(YES, by="ana")
    assert thread.tickets[0].standing is Standing.EXECUTED


# Agent Inbox --------------------------------------------------------------------------------------------------------------


def inbox(thread: Thread, kind: str, args: Any = None, *, by: str = "ana") -> tuple[int, Any]:
    """What `sendHumanResponse` sends: agent-inbox, src/components/agent-inbox/contexts/ThreadContext.tsx."""
    is_hitl = isinstance(thread.pause, dict)
    renamed = {"accept": "approve", "response": "reject"} if is_hitl else {}
    response = [{"type": renamed.get(kind, kind), "args": args}]
    body = {
        "command": {"resume": {"decisions": response} if is_hitl else response},
        "stream_mode": "events",
        "assistant_id": thread.graph,
    }
    return thread.server.post(f"/threads/{thread.id}/runs/stream", body, by=by)


@pytest.mark.parametrize("graph", ["whole", "inbox"])
def test_agent_inbox_accepts_edits_responds_and_ignores(graph: str, server: Server) -> None:
    names = [f"inbox-{graph}-{kind}" for kind in ("accept", "edit", "response", "ignore")]
    threads = at_once(lambda to: server.thread([send(to)], graph=graph), names)
    shown, changed = (
        {"action": "send", "args": {"to": to, "amount": amount, "note": None}}
        for to, amount in ((names[0], 5.0), (names[1], "8"))
    )
    answers = [("accept", shown), ("edit", changed), ("response", "ask Bob first"), ("ignore", None)]
    at_once(lambda each: inbox(each[0], *each[1]), zip(threads, answers, strict=True))
    assert [server.count(f"send {to}") for to in names] == [1, 1, 0, 0]
    assert server.count(f"send {names[1]} 8") == 1
    assert "ask Bob first" in told(threads[2])
    back = Standing.RETURNED if graph == "inbox" else Standing.REJECTED  # it makes a rejection of a response itself
    assert [thread.tickets[0].standing for thread in threads[2:]] == [back, Standing.REJECTED]


def test_agent_inbox_is_shown_one_call_after_the_other(server: Server) -> None:
    thread = server.thread([send("inbox-1"), send("inbox-2")], graph="inbox")
    assert [item["action_request"]["args"]["to"] for item in thread.pause] == ["inbox-1", "inbox-2"]
    inbox(thread, "accept")
    assert [item["action_request"]["args"]["to"] for item in thread.pause] == ["inbox-2"]
    assert server.count("send inbox-1") == 0
    inbox(thread, "accept", by="cem")
    assert [server.count(f"send inbox-{n}") for n in (1, 2)] == [1, 1]


# langgraph_sdk and RemoteGraph --------------------------------------------------------------------------------------------


def test_the_examples_are_served_and_a_remote_graph_runs_pauses_and_resumes_them(server: Server) -> None:
    config: Any = {"configurable": {"thread_id": server.client("bob").threads.create()["thread_id"]}}
    remote = RemoteGraph("minimal", url=server.url, headers=server.headers("bob"))
    remote.invoke({"messages": [("user", "Pay invoice 114")]}, config)
    [pause] = remote.get_state(config).tasks[0].interrupts
    assert pause.value["action_requests"][0]["name"] == "send_money"
    reviewer = RemoteGraph("minimal", url=server.url, headers=server.headers("ana"))
    ended = reviewer.invoke(Command(resume=YES), config)
    assert ended["messages"][-1]["content"] == "Invoice paid."
    assert reviewer.get_state(config).next == ()


def test_every_graph_of_langgraph_json_is_there(server: Server) -> None:
    named = json.loads((server.folder / "langgraph.json").read_text())["graphs"]
    assert {a["graph_id"] for a in server.client("bob").assistants.search(limit=100)} == set(named)


def test_an_answer_to_a_pause_of_another_ledger_is_refused_and_a_knock_is_none(server: Server) -> None:
    thread = server.thread([send("elsewhere-1")], graph="elsewhere")
    [id_] = thread.pauses
    for answer in (YES, {id_: YES}):
        status, words = thread.refused(answer, by="ana")
        assert (status, "another ledger than that of the server's guard" in words) == (422, True)
    thread.resume({id_: KNOCK}, by="ana")
    assert thread.status == "interrupted"


ASK = {"messages": [{"role": "user", "content": "Please."}]}


@pytest.mark.parametrize(
    ("graph", "given"),
    [
        ("newsletter", ASK),
        ("payroll", {"month": "2026-03", "pay": {"Kim": 9_500.0}}),
        ("planned_refunds", ASK),
        ("release", {"version": "1.1", "changes": ["Faster."]}),
        ("research_report", ASK),
        ("crm_export", ASK),
        ("sql_operator", ASK),
        ("support_agent", ASK),
        ("website", ASK),
        ("transfer", ASK),
    ],
)
def test_an_example_is_decided_by_clients_until_it_ends_and_never_blocks_the_servers_loop(
    graph: str, given: Any, server: Server
) -> None:
    thread = Thread(server, server.client("bob").threads.create()["thread_id"], graph)
    server.client("bob").runs.wait(thread.id, graph, input=given)
    for by in ("ana", "ben", "ana", "ben"):
        tasks = server.client("bob").threads.get_state(thread.id)["tasks"]
        for pause in [pause for task in tasks for pause in task["interrupts"]]:
            calls = pause["value"]["action_requests"]
            thread.resume({pause["id"]: {"decisions": [APPROVE | {"message": "seen"}] * len(calls)}}, by=by)
    assert thread.status == "idle"
    assert {str(ticket.standing) for ticket in thread.tickets} <= {"executed", "denied"}
    assert any(ticket.approved_by for ticket in thread.tickets)


# Who decides --------------------------------------------------------------------------------------------------------------


def test_an_answer_counts_as_its_senders_whatever_it_says_of_them(server: Server) -> None:
    thread = server.thread([send("who-1")])
    forged = {"type": "approve", "by": "cem", "user": "cem", "groups": ["leads"]}
    config: Any = {"configurable": {"user_id": "cem", "by": "cem"}}
    thread.resume({"decisions": [forged], "by": "cem"}, by="ana", config=config, metadata={"by": "cem"})
    assert thread.tickets[0].approved_by == ("ana",)


def test_a_name_that_the_server_has_not_authenticated_decides_nothing(server: Server) -> None:
    thread = server.thread([send("ana-2")])
    status, words = thread.refused(APPROVE, by="unsure ana")
    assert (status, "has not authenticated 'ana'" in words) == (403, True)
    assert server.get("/signoff/tickets", by="unsure ana")[0] == 401


def test_two_people_decide_where_it_takes_two_each_as_themselves(server: Server) -> None:
    thread = server.thread([("pay", {"to": "who-2", "amount": 9})])
    thread.resume(YES, by="ana")
    assert thread.status == "interrupted"
    assert thread.refused(YES, by="ana")[0] == 409
    assert server.count("pay who-2") == 0
    thread.resume(YES, by="cem")
    assert server.count("pay who-2") == 1


def test_what_was_changed_while_it_waited_is_approved_by_id_or_not_at_all(server: Server) -> None:
    thread = server.thread([("pay", {"to": "who-9", "amount": 9})])
    changed = {"type": "edit", "edited_action": {"name": "pay", "args": {"to": "who-9", "amount": 90}}}
    chat(thread, [changed], by="cem")
    assert thread.pause["action_requests"][0]["args"]["amount"] == 90
    status, words = chat(thread, [APPROVE], by="ana")  # from a page that may still show 9
    assert (status, "in which form you saw it" in words["detail"]) == (409, True)
    thread.resume({next(iter(thread.pauses)): YES}, by="ana")
    assert (server.count("pay who-9 90"), server.count("pay who-9")) == (1, 1)


def test_whoever_wakes_a_run_does_not_become_its_requester(server: Server) -> None:
    thread = server.thread([send("who-3")], [send("who-4")], [send("who-5")])
    assert thread.refused(YES, by="bob") == (
        403,
        f"bob may not decide ticket {thread.tickets[0].id[:12]}: {_REQUESTER}",
    )
    thread.resume(YES, by="ana")
    assert thread.refused(YES, by="bob")[0] == 403
    thread.resume(YES, by="ana")
    assert thread.refused(YES, by="bob")[0] == 403
    assert {ticket.requester for ticket in thread.tickets} == {"bob"}
    thread.go([[send("who-6")]], by="ana")
    assert thread.tickets[-1].requester == "ana"


_REQUESTER = "bob is the requester, and the policy wants somebody else"


@pytest.mark.parametrize("way", ["update", "breakpoint"])
def test_whoever_puts_a_request_into_a_thread_and_wakes_it_is_its_requester(way: str, server: Server) -> None:
    thread = server.thread([send("theirs-1")])
    thread.resume(YES, by="ana")
    cem = server.client("cem")
    said: Any = {"messages": [{"role": "user", "content": json.dumps([[send("theirs-2")]])}]}
    if way == "update":
        cem.threads.update_state(thread.id, said, as_node="__start__")
    else:
        cem.runs.wait(thread.id, thread.graph, input=said, interrupt_before=["tools"])
    cem.runs.wait(thread.id, thread.graph, input=None)
    assert thread.tickets[-1].requester == "cem"
    assert thread.refused(YES, by="cem")[0] == 403
    assert server.count("send theirs-2") == 0


def test_a_user_who_may_not_see_a_thread_decides_nothing_in_it(server: Server) -> None:
    thread = server.thread([send("who-7")])
    assert thread.refused(YES, by="stranger")[0] == 404


@pytest.mark.parametrize("by", ["eve", "nobody"])
def test_a_user_who_may_not_decide_is_refused(by: str, server: Server) -> None:
    thread = server.thread([send(f"who-{by}")])
    status, words = thread.refused(YES, by=by)
    assert status == 403
    assert by in words
    thread.resume(YES, by="ana")
    assert server.count(f"send who-{by}") == 1


def test_without_a_user_there_is_no_answer(server: Server) -> None:
    thread = server.thread([send("who-8")])
    assert thread.refused(YES, by="")[0] == 401


def test_a_ticket_takes_one_of_several_answers_that_come_at_once(server: Server) -> None:
    names = [f"race-{number}" for number in range(3)]
    for to, thread in zip(names, at_once(lambda to: server.thread([send(to)]), names), strict=True):
        answers = at_once(lambda by: chat(thread, [APPROVE], by=by), ["ana", "cem", "ana", "cem"])  # noqa: B023
        assert sorted(status for status, _ in answers) == [200, 409, 409, 409]
        assert len(thread.tickets[0].decisions) == 1
        assert server.count(f"send {to}") == 1


# What is refused ----------------------------------------------------------------------------------------------------------


def test_an_answer_that_says_nothing_comes_back_and_the_thread_waits_on(server: Server) -> None:
    thread = server.thread([send("bad-1"), send("bad-2")])
    [id_] = thread.pauses
    for answer, status, words in [
        (True, 422, "decides nothing"),
        ("approve", 422, "decides nothing"),
        ({"decisions": []}, 422, "decides nothing"),
        ({"decisions": [APPROVE, {"approved": True}]}, 422, "null is no decision on send"),
        (YES, 422, "shows 2 calls, in order, and this answers 1"),
        ({"decisions": [APPROVE] * 3}, 422, "answers 3"),
        ({"decisions": [APPROVE, {"type": "aprove"}]}, 422, '"aprove" is no decision on send'),
        ({"decisions": [APPROVE, edit(to="x", amount="lots", note="")]}, 422, "does not take these arguments"),
        ({"decisions": [APPROVE, edit(to="x")]}, 422, "leaves out amount, note"),
        ({"0" * 32: YES}, 409, "no longer waits at 00000000000000000000000000000000"),
        ({id_: {"decisions": [APPROVE]}, "0" * 32: YES}, 409, "no longer waits at"),
    ]:
        refused = thread.refused(answer, by="ana")
        assert refused[0] == status, (answer, refused)
        assert words in refused[1]
    thread.resume({id_: {"decisions": [APPROVE, APPROVE]}}, by="ana")
    assert [server.count(f"send bad-{n}") for n in (1, 2)] == [1, 1]


def test_an_answer_comes_without_a_change_of_the_state(server: Server) -> None:
    thread = server.thread([send("bad-3")])
    for beside in ({"update": {"messages": []}}, {"goto": "tools"}):
        assert thread.refused(YES, by="ana", command=beside) == (
            422,
            "an answer to a pause comes alone; leave out update and goto",
        )


def test_a_reason_that_the_policy_wants_is_the_message_of_the_decision(server: Server) -> None:
    thread = server.thread([("wire", {"to": "bad-4", "pin": "4711"})])
    assert "4711" not in json.dumps(thread.pauses)
    assert thread.refused(YES, by="ana") == (422, "the policy wants a reason with it")
    thread.resume({"decisions": [{"type": "approve", "message": "as agreed"}]}, by="ana")
    assert server.count("wire bad-4 4711") == 1
    assert thread.tickets[0].decisions[0].reason == "as agreed"


def test_what_was_changed_since_it_was_shown_is_shown_again_before_it_is_decided(server: Server) -> None:
    thread = server.thread([("pay", {"to": "stale-1", "amount": 9})])
    server.signoff.revise(thread.tickets[0], by="cem", args={"amount": 900})
    status, words = thread.refused(YES, by="ana")
    assert status == 409
    assert "show it again" in words
    [old] = thread.pauses
    thread.resume({old: KNOCK}, by="ana")
    assert thread.pause["action_requests"][0]["args"]["amount"] == 900
    assert thread.refused({old: YES}, by="ana")[0] == 409
    thread.resume({next(iter(thread.pauses)): YES}, by="ana")
    assert server.count("pay stale-1 900") == 1


def test_a_page_that_shows_an_earlier_pause_decides_nothing(server: Server) -> None:
    thread = server.thread([send("stale-2")], [send("stale-3")])
    [old], head = thread.pauses, thread.head
    thread.resume(YES, by="ana")
    before = thread.record()
    assert chat(thread, [APPROVE], by="cem", checkpoint=head)[0] == 409
    assert thread.refused({old: YES}, by="cem")[0] == 409
    assert thread.record() == before
    assert server.count("send stale-3") == 0


def test_what_was_decided_elsewhere_takes_no_answer_and_a_knock_lets_it_run(server: Server) -> None:
    thread = server.thread([send("closed-1")])
    server.signoff.approve(thread.tickets[0], by="cem")
    status, words = thread.refused(YES, by="ana")
    assert (status, "approved by cem" in words) == (409, True)
    thread.resume({next(iter(thread.pauses)): KNOCK}, by="bob")
    assert server.count("send closed-1") == 1
    status, words = thread.refused(YES, by="ana")
    assert (status, "no longer waits" in words) == (409, True)


def test_a_plain_answer_while_a_run_is_under_way_is_refused(server: Server) -> None:
    thread = server.thread([("slow", {"to": "busy-1"})], [send("busy-2")])
    command = {"resume": YES}
    server.client("ana").runs.create(thread.id, "whole", command=command)
    until(lambda: server.count("slow busy-1"))
    assert thread.refused(YES, by="cem")[0] == 409
    (server.folder / "busy-1.go").touch()
    until(lambda: thread.status == "interrupted")
    assert thread.pause["action_requests"][0]["args"]["to"] == "busy-2"
    assert server.count("send busy-2") == 0


# Whatever else a client can do --------------------------------------------------------------------------------------------


def test_a_jump_an_update_or_a_knock_runs_nothing(server: Server) -> None:
    thread = server.thread([send("jump-1")])
    client = server.client("ana")
    [id_] = thread.pauses
    for command in (
        {"resume": KNOCK},
        {"resume": {id_: KNOCK}, "goto": "tools"},
        {"goto": "tools"},
        {"goto": [{"node": "tools", "input": {"messages": thread.messages}}]},
        {"update": {"messages": []}, "resume": {}},
    ):
        client.runs.wait(thread.id, "whole", command=command, raise_error=False)
    client.runs.wait(thread.id, "whole", input=None, raise_error=False)
    client.threads.update_state(thread.id, {"messages": []}, as_node="agent")
    client.runs.wait(thread.id, "whole", input=None, raise_error=False)
    assert server.count("send jump-1") == 0
    assert {ticket.standing for ticket in thread.tickets} == {Standing.PENDING}


def test_the_authors_own_question_gets_its_answer_untouched(server: Server) -> None:
    thread = server.thread([("ask", {"question": "mine-1"})])
    thread.resume(YES, by="eve")
    assert server.effects[-1] == f"ask mine-1 {json.dumps(YES)}"


def test_the_authors_own_question_beside_a_pause_of_ours_is_answered_by_id(server: Server) -> None:
    thread = server.thread([("ask", {"question": "mine-2"}), send("mine-3")], graph="each")
    ours = next(id_ for id_, value in thread.pauses.items() if "signoff" in value)
    theirs = next(id_ for id_ in thread.pauses if id_ != ours)
    status, words = thread.refused(YES, by="ana")
    assert (status, ours in words) == (422, True)
    thread.resume({ours: YES, theirs: ["any", "thing"]}, by="ana")
    assert server.count("send mine-3") == 1
    assert 'ask mine-2 ["any", "thing"]' in server.effects


def test_a_pause_that_copies_our_mark_decides_nothing(server: Server) -> None:
    thread = server.thread([send("forged-1")])
    ticket = thread.tickets[0]
    forger = server.thread([("forge", {"ticket": ticket.id})])
    assert forger.pause["signoff"]["tickets"] == [ticket.id]
    forger.resume(YES, by="ana")
    assert thread.tickets[0].standing is Standing.PENDING
    assert json.dumps(YES) in told(forger)


def test_a_copy_of_a_thread_asks_for_itself(server: Server) -> None:
    thread = server.thread([send("copy-1")])
    copied: Any = server.client("ana").threads.copy(thread.id)
    copy = Thread(server, copied["thread_id"], "whole")
    copy.resume(YES, by="ana")
    assert thread.tickets[0].standing is Standing.PENDING
    assert copy.tickets[0].id != thread.tickets[0].id
    assert server.count("send copy-1") == 0
    copy.resume(YES, by="ana")
    assert server.count("send copy-1") == 1
    assert thread.tickets[0].standing is Standing.PENDING


def test_nobody_answers_by_a_clock(server: Server) -> None:
    """The server takes a `command` in a cron's payload, and runs it as the user who made the cron."""
    thread = server.thread([send("cron-1")])
    body = {"schedule": "* * * * *", "assistant_id": "whole", "command": {"resume": YES}}
    path = f"/threads/{thread.id}/runs"
    config = {"configurable": {"cron_id": "1"}}
    answer = {"assistant_id": "whole", "command": {"resume": YES}, "config": config}
    status, words = server.post(path, answer, by="ana")
    assert (status, "a cron decides nothing" in words["detail"]) == (403, True)
    status, cron = server.post(f"{path}/crons", body, by="ana")
    assert (status, cron["payload"]["config"]["configurable"]["cron_id"]) == (200, cron["cron_id"])
    server.client("ana").crons.delete(cron["cron_id"])


def test_a_run_without_a_thread_answers_nothing(server: Server) -> None:
    run = {"assistant_id": "whole", "command": {"resume": YES}}
    assert server.post("/runs", run, by="ana")[0] == 400
    assert server.post("/runs/stream", run, by="ana")[0] == 400
    assert server.post("/runs/batch", [run], by="ana")[0] == 400


def test_langgraphs_own_keys_are_not_a_clients_to_set(server: Server) -> None:
    thread = server.thread([send("own-1")])
    config = {"configurable": {"__pregel_resuming": True}}
    status, words = server.post(f"/threads/{thread.id}/runs", {"assistant_id": "whole", "config": config}, by="ana")
    assert (status, "__pregel_resuming" in words["detail"]) == (422, True)


def test_the_newer_protocol_decides_and_refuses_like_the_older_one(server: Server) -> None:
    """`input.respond` of langgraph_api.api.event_streaming, which answers a refusal with an error of its own form."""
    thread = server.thread([send("v2-1")])
    [id_] = thread.pauses

    def respond(by: str, response: Any) -> Any:
        params = {"namespace": [], "interrupt_id": id_, "response": response}
        command = {"id": 1, "method": "input.respond", "params": params}
        return server.post(f"/threads/{thread.id}/commands", command, by=by)[1]

    refused = respond("eve", YES)
    assert (refused["type"], "eve is not among" in refused["message"]) == ("error", True)
    assert "decides nothing" in respond("ana", "yes")["message"]
    assert thread.tickets[0].standing is Standing.PENDING
    assert respond("ana", YES)["type"] == "success"
    until(lambda: server.count("send v2-1"))
    assert thread.tickets[0].approved_by == ("ana",)


def test_of_a_call_that_was_cancelled_a_response_says_whether_it_happened(server: Server) -> None:
    thread = server.thread([("slow", {"to": "doubt-1"})])
    run = server.client("ana").runs.create(thread.id, "whole", command={"resume": YES})
    until(lambda: server.count("slow doubt-1"))
    server.client("ana").runs.cancel(thread.id, run["run_id"])
    until(lambda: thread.tickets[0].standing is Standing.IN_DOUBT and thread.status != "busy")
    server.client("bob").runs.wait(thread.id, "whole", input=None)
    assert thread.pause["review_configs"][0]["allowed_decisions"] == ["respond"]
    status, words = thread.refused(YES, by="cem")
    assert (status, "happened, did_not_happen, give_up" in words) == (422, True)
    thread.resume({"decisions": [{"type": "respond", "message": "happened"}]}, by="cem")
    assert thread.tickets[0].standing is Standing.EXECUTED
    assert thread.status == "idle"
    assert server.count("slow doubt-1") == 1


def test_a_halted_pause_takes_no_answer(server: Server) -> None:
    thread = server.thread([send("halt-1")])
    server.signoff.halt(by="ana", thread_id=thread.id)
    thread.resume(YES, by="ana")
    assert server.count("send halt-1") == 0
    status, words = thread.refused(YES, by="cem")
    assert (status, "waits for a release" in words) == (422, True)
    server.signoff.release(by="ana", thread_id=thread.id)
    thread.resume({next(iter(thread.pauses)): KNOCK}, by="bob")
    assert server.count("send halt-1") == 1

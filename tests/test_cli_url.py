"""The command line at a server: `--url` lists, shows, decides and resumes there as it does on the spot."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from cli_support import Desk, Ended
from langgraph_signoff import Policy, Signoff, Standing
from langgraph_signoff.desk import utc_now
from langgraph_signoff.server.wire import PAGE
from serving import Server, Thread
from support import open_ticket
from test_cli_startup import loaded

pytestmark = pytest.mark.xdist_group("server")  # one server for all of them


def send(to: str, amount: float = 5.0) -> tuple[str, dict[str, Any]]:
    return "send", {"to": to, "amount": amount}


class There:
    """Somebody at a terminal of another machine, which has nothing but the command."""

    def __init__(self, server: Server, folder: Path, user: str = "ana") -> None:
        self.server, self.desk, self.user = server, Desk(folder), user

    def run(self, *words: str) -> Ended:
        return self.desk.run(*words, "--url", self.server.url, "--header", f"x-user: {self.user}")


@pytest.fixture
def ana(server: Server, tmp_path: Path) -> There:
    return There(server, tmp_path)


def here(server: Server, *words: str) -> Ended:
    """The same command where the ledger is."""
    return Desk(server.folder).run(*words)


# Reading ------------------------------------------------------------------------------------------------------------------


def test_list_and_show_say_there_what_they_say_here(ana: There) -> None:
    server = ana.server
    thread = server.thread([send("list-1"), ("wire", {"to": "list-2", "pin": "4711"})])
    ids = [ticket.id for ticket in thread.tickets]
    for words in (
        ["list", "--thread", thread.id, "--json"],
        ["list", "--thread", thread.id, "--tool", "send", "--json"],
        ["list", "--thread", thread.id, "--standing", "executed"],
        ["list", "--thread", thread.id, "--queue", "nowhere"],
        ["list", "--all", "--thread", thread.id, "--json", "--limit", "1"],
        ["show", ids[0]],
        ["show", ids[1][:12]],
        ["show", ids[1], "--json"],
        ["who", ids[0]],
        ["who", ids[1], "--json"],
    ):
        there = ana.run(*words)
        assert there == here(server, *words), words
        assert there.code == 0
    listed = ana.run("list", "--thread", thread.id)
    assert all(id_[:12] in listed.out for id_ in ids)


@pytest.mark.parametrize(
    "words", [["show", "0" * 32], ["show", "zz"], ["who", "zz"], ["list", "--standing", "lost"], ["show"]]
)
def test_a_mistake_ends_there_as_here(words: list[str], ana: There) -> None:
    there, local = ana.run(*words), here(ana.server, *words)
    assert there == local
    assert there.code in (2, 3)


def test_whom_no_policy_knows_sees_only_what_was_asked_for_them(server: Server, tmp_path: Path) -> None:
    thread = server.thread([send("seen-1")], by="nobody")
    other = server.thread([send("seen-2")], by="bob")
    nobody = There(server, tmp_path, "nobody")
    assert [ticket["id"] for ticket in nobody.run("list", "--json").json] == [thread.tickets[0].id]
    ended = nobody.run("show", other.tickets[0].id)
    assert (ended.code, ended.is_one_clear_sentence) == (3, True)
    assert nobody.run("show", thread.tickets[0].id).code == 0
    server.signoff.approve(other.tickets[0], by="ana")
    assert other.id in server.get("/signoff/threads", by="ana")[1]["threads"]
    assert other.id not in server.get("/signoff/threads", by="nobody")[1]["threads"]
    assert server.get(f"/signoff/threads/{other.id}", by="nobody")[0] == 404
    assert server.get(f"/signoff/threads/{thread.id}", by="nobody")[0] == 200


def test_the_list_of_whoever_sees_a_few_only_holds_them_all(server: Server, tmp_path: Path) -> None:
    requesters = ("bob", "bob", "bob", "guest", "bob", "guest")
    ids = [open_ticket(of_ana(server), tool="few", requester=who).id for who in requesters]
    listed = There(server, tmp_path, "guest").run("list", "--tool", "few", "--limit", "2", "--json").json
    assert [ticket["id"] for ticket in listed] == [ids[3], ids[5]]


def test_a_long_list_is_as_long_there_as_here(ana: There) -> None:
    signoff = of_ana(ana.server)
    for _ in range(PAGE + 2):
        open_ticket(signoff, tool="many")
    for limit in (PAGE, PAGE + 1, PAGE + 2):
        words = ("list", "--tool", "many", "--limit", str(limit), "--json")
        assert len(ana.run(*words).json) == limit
        assert ana.run(*words) == here(ana.server, *words)
    assert "more with --limit" in ana.run("list", "--tool", "many", "--limit", str(PAGE + 1)).out


def of_ana(server: Server, ago: timedelta = timedelta(0)) -> Signoff:
    """The server's ledger under a policy that knows nobody else, as of some time ago."""
    path, policy = server.folder / "signoff.db", Policy(people={"ana": {}})
    return Signoff(path, policy=policy, clock=lambda: utc_now() - ago)


def test_the_worklists_there_are_those_here(ana: There) -> None:
    server, earlier = ana.server, of_ana(ana.server, timedelta(days=2))
    waiting = server.thread([send("mine-1")]).tickets[0]
    late = open_ticket(earlier, tool="late", window="1h")
    idle = earlier.assign(open_ticket(earlier, tool="idle", window="7d"), to="ana", by="ana")
    for words, there in (
        (["--mine", "--thread", waiting.thread_id], [waiting.id]),
        (["--mine", "--audits", "--thread", waiting.thread_id], []),
        (["--mine", "--tool", "late"], []),
        (["--overdue", "--tool", "late"], [late.id]),
        (["--stuck", "--for", "1d"], None),
    ):
        asked = ana.run("list", *words, "--json")
        assert asked == here(server, "list", *words, "--json", "--as", "ana"), words
        assert there is None or [ticket["id"] for ticket in asked.json] == there, words
    assert (idle.id, "in_hand") in {(each["ticket"]["id"], each["why"]) for each in asked.json}
    assert "overdue for 1d 23h" in ana.run("list", "--overdue", "--tool", "late").out
    assert idle.id[:12] in ana.run("list", "--stuck", "--for", "1d").out
    guest = There(server, ana.desk.folder, "guest")
    assert guest.run("list", "--overdue", "--tool", "late", "--json").json == []
    assert idle.id not in guest.run("list", "--stuck", "--json").out
    assert guest.run("list", "--mine", "--json").json == []
    # The server has no such thread to wake.
    of_ana(server).expire()
    wake = server.signoff.ledger.wake(late.thread_id)
    assert wake is not None
    server.signoff.ledger.drop_wake(wake)


def test_reading_there_loads_no_langgraph(ana: There) -> None:
    modules = loaded(ana.desk, ["list", "--url", ana.server.url, "--header", "x-user: ana", "--limit", "1"])
    assert not modules & {"langgraph", "langsmith", "langchain_core.messages"}


# Deciding -----------------------------------------------------------------------------------------------------------------


def test_decisions_there_count_as_those_of_the_user_whom_the_server_knows(ana: There) -> None:
    thread = ana.server.thread([send(f"decide-{n}") for n in range(4)])
    approve, reject, change, back = thread.tickets
    said = ana.run("approve", approve.id, "--digest", approve.digest[:12], "-r", "as agreed")
    assert said.code == 0
    assert f"{approve.id[:12]}  approved  send, by ana" in said.out
    assert f"signoff --url {ana.server.url} resume --thread {thread.id}" in said.out
    assert ana.run("reject", reject.id, "-r", "no").code == 0
    edit = ana.run("revise", change.id, "--args", '{"to": "decide-9"}', "--digest", change.digest, "--json")
    assert edit.json["args"]["to"] == "decide-9"
    assert ana.run("revise", back.id, "--feedback", "ask first").code == 0
    standings = [Standing.APPROVED, Standing.REJECTED, Standing.APPROVED, Standing.RETURNED]
    assert [ana.server.signoff.ticket(t.id).standing for t in (approve, reject, change, back)] == standings
    for ticket in (approve, reject, change, back):
        [decision] = ana.server.signoff.ticket(ticket.id).decisions
        assert (decision.by, bool(decision.seen)) == ("ana", True)
    ana.run("resume", "--thread", thread.id)
    assert [ana.server.count(f"send decide-{n}") for n in (0, 1, 2, 3, 9)] == [1, 0, 0, 0, 1]


def test_what_the_law_refuses_ends_there_with_the_same_code_and_words(server: Server, tmp_path: Path) -> None:
    thread = server.thread([send("refuse-1")])
    ticket = thread.tickets[0]
    named = ["--digest", ticket.digest]
    for user, words, code, told in [
        ("eve", ["approve", ticket.id, *named], 1, "eve is not among group:finance"),
        ("bob", ["approve", ticket.id, *named], 1, "bob is the requester"),
        ("nobody", ["reject", ticket.id], 3, "may see"),
        ("ana", ["approve", ticket.id], 2, "name what you saw"),
        ("ana", ["approve", ticket.id, "--digest", "0" * 64], 1, "show it again"),
        ("ana", ["approve", ticket.id, *named, "--as", "cem"], 2, "you are ana, and act as nobody else"),
        ("ana", ["revise", ticket.id, *named, "--args", '{"amount": "x"}'], 1, "does not take these arguments"),
        ("ana", ["settle", ticket.id, "happened"], 1, "no doubt to settle"),
        ("ana", ["answer", ticket.id, "yes", *named], 1, "asks nothing"),
    ]:
        ended = There(server, tmp_path, user).run(*words)
        assert (ended.code, told in ended.err) == (code, True), ended
        assert ended.is_one_clear_sentence
    assert len(server.signoff.history(ticket)) == 1
    server.signoff.approve(ticket, by="cem")
    ended = There(server, tmp_path).run("approve", ticket.id, *named)
    assert (ended.code, "approved by cem" in ended.err) == (1, True)


@pytest.mark.parametrize(("words", "value"), [('"5"', "5"), ("5", 5), ('"five"', "five")])
def test_an_answer_there_is_the_one_that_was_given(words: str, value: Any, ana: There) -> None:
    there, here = (ana.server.thread([("code", {"question": "Which?"})]) for _ in range(2))
    assert ana.run("answer", there.tickets[0].id, words, "--digest", there.tickets[0].digest).code == 0
    assert (
        Desk(ana.server.folder)
        .run("answer", here.tickets[0].id, words, "--digest", here.tickets[0].digest, "--as", "ana")
        .code
        == 0
    )
    assert [repr(thread.tickets[0].answer) for thread in (there, here)] == [repr(value)] * 2


def test_a_note_there_is_a_note_here(ana: There) -> None:
    thread = ana.server.thread([send("note-1")])
    assert ana.run("comment", thread.tickets[0].id, "called him").code == 0
    assert ana.server.signoff.ticket(thread.tickets[0].id).decisions[0].reason == "called him"


def test_a_ticket_is_handled_there_as_it_is_here(server: Server, tmp_path: Path) -> None:
    ana, bob, cem, eve = (There(server, tmp_path, name) for name in ("ana", "bob", "cem", "eve"))
    id_ = server.thread([send("hand-1")]).tickets[0].id
    assert ana.run("take", id_).out.startswith(f"{id_[:12]}  taken by ana until")
    for who in (cem, eve):
        refused = who.run("take", id_)
        assert refused == here(server, "take", id_, "--as", who.user)
        assert (refused.code, refused.is_one_clear_sentence) == (1, True)
    assert ana.run("put-back", id_).code == 0
    assert cem.run("assign", id_, "ana", "-r", "she knows him").code == 0
    least = server.signoff.suggest(id_)
    assert cem.run("assign", id_, "--json").json["assignee"] == least
    due = server.signoff.ticket(id_).due_at
    assert due is not None
    assert ana.run("extend", id_, "-r", "he is at lunch", "--for", "2h").code == 0
    assert server.signoff.ticket(id_).due_at == due + timedelta(hours=2)
    assert ana.run("request-info", id_, "Which invoice?", "--of", "bob").code == 0
    told = "The last one. " * 1000
    assert bob.run("give-info", id_, told).code == 0
    [inquiry] = server.signoff.ticket(id_).inquiries
    assert (inquiry.of, inquiry.text, inquiry.answer) == ("bob", "Which invoice?", told)
    [named] = {entry.body["by"] for entry in server.signoff.history(id_) if entry.kind == "extended"}
    assert named == "ana"
    assert ana.run("take", id_, "--as", "cem").is_one_clear_sentence, "nobody acts there as somebody else"


def test_commands_for_the_ledger_itself_are_refused_there(ana: There) -> None:
    for words in (["verify"], ["history", "0" * 32], ["expire"], ["withdraw", "0" * 32], ["seal"]):
        ended = ana.desk.run("--url", ana.server.url, *words)
        assert (ended.code, "without --url" in ended.err) == (2, True), words


# Resuming -----------------------------------------------------------------------------------------------------------------


def test_resume_there_knocks_at_decided_pauses_only(ana: There) -> None:
    thread = ana.server.thread([send("wake-1"), send("wake-2")], graph="each")
    first, second = sorted(thread.tickets, key=lambda ticket: str(ticket.args["to"]))  # they were opened side by side
    waits = ana.run("resume", "--thread", thread.id, "--json").json
    assert (waits["status"], waits["went_on"], waits["did"]) == ("pending_approval", False, "nothing: it waits")
    assert {ticket["id"] for ticket in waits["tickets"]} == {first.id, second.id}
    ana.server.signoff.approve(first, by="ana")
    woken = ana.run("resume", "--thread", thread.id, "--json").json
    assert (woken["status"], woken["did"]) == ("pending_approval", "knocked at 1 decided pause")
    assert [ticket["id"] for ticket in woken["tickets"]] == [second.id]
    assert [ana.server.count(f"send wake-{n}") for n in (1, 2)] == [1, 0]
    ana.server.signoff.reject(second, by="cem")
    ended = ana.run("resume", "--thread", thread.id)
    assert ended.code == 0
    assert ended.out.startswith(f"completed: thread {thread.id} (knocked at 1 decided pause)")
    assert ended.out.endswith("\n\nDone.\n")
    again = ana.run("resume", "--thread", thread.id, "--json").json
    assert (again["status"], again["did"]) == ("completed", "nothing: it has finished")


def test_resume_all_there_wakes_whatever_can_go_on_and_nothing_twice(ana: There) -> None:
    server = ana.server
    for name in server.signoff.threads_to_wake():
        ana.run("resume", "--thread", name)  # what other tests have left
    decided, waiting, finished = (server.thread([send(f"all-{n}")]) for n in range(3))
    server.signoff.approve(decided.tickets[0], by="ana")
    finished.resume({"decisions": [{"type": "approve"}]}, by="ana")
    assert set(server.signoff.threads_to_wake()) == {decided.id, finished.id}
    ended = ana.run("resume", "--all", "--json")
    assert ended.code == 0
    assert [run["thread_id"] for run in ended.json["runs"]] == [decided.id]
    assert [server.count(f"send all-{n}") for n in range(3)] == [1, 0, 1]
    assert server.signoff.threads_to_wake() == []
    again = ana.run("resume", "--all")
    assert (again.code, again.out) == (0, "no thread has anything to go on with\n")
    assert waiting.status == "interrupted"


def test_resume_leaves_the_authors_own_questions_alone(ana: There) -> None:
    thread = ana.server.thread([("ask", {"question": "mine-9"}), send("mine-10")], graph="each")
    ana.server.signoff.approve(thread.tickets[0], by="ana")
    woken = ana.run("resume", "--thread", thread.id, "--json").json
    assert woken["status"] == "waiting"
    assert list(woken["questions"].values()) == [{"question": "mine-9"}]
    assert ana.server.count("send mine-10") == 1
    assert ana.server.count("ask mine-9") == 0


@pytest.mark.parametrize("how", ["other input", "Agent Inbox's `ignoreThread`"])
def test_a_thread_whose_message_was_dropped_leaves_no_ticket_behind(how: str, ana: There) -> None:
    thread = ana.server.thread([send("drop-1")])
    if how == "other input":
        thread.go([], by="bob")
    else:
        ana.server.client("bob").threads.update_state(thread.id, None, as_node="__end__")
    assert thread.tickets[0].standing is Standing.PENDING
    ended = ana.run("resume", "--thread", thread.id, "--json").json
    assert ended["status"] == "completed"
    assert thread.tickets[0].standing is Standing.WITHDRAWN


def test_a_run_that_fails_there_ends_with_1(ana: There) -> None:
    thread = ana.server.thread([("fail", {"to": "fail-1"})])
    ana.server.signoff.approve(thread.tickets[0], by="ana")
    ended = ana.run("resume", "--thread", thread.id, "--json")
    assert (ended.code, ended.json["status"]) == (1, "failed")
    assert ended.json["error"].startswith("LookupError")  # the server keeps the words to itself


def test_threads_that_are_not_there_or_busy_end_as_they_do_here(ana: There) -> None:
    for name in ("00000000-0000-0000-0000-000000000000", "no such thread"):
        ended = ana.run("resume", "--thread", name)
        assert (ended.code, ended.is_one_clear_sentence) == (3, True)
    assert ana.run("resume").code == 2
    assert ana.run("resume", "--all", "--graph", "whole").code == 2


# Getting in ---------------------------------------------------------------------------------------------------------------


def test_a_server_that_does_not_answer_or_not_to_us_is_a_clear_sentence(ana: There) -> None:
    url = ana.server.url
    for words, told in [
        (["list", "--url", url], "SIGNOFF_TOKEN or --header"),
        (["list", "--url", "http://127.0.0.1:9"], "does not answer"),
        (["list", "--url", "file:///etc/hosts"], "is no address of a server"),
        (["list", "--url", f"{url}/docs", "--header", "x-user: ana"], "has no /signoff"),
    ]:
        ended = ana.desk.run(*words)
        assert (ended.code, told in ended.err) == (4, True), ended
        assert ended.is_one_clear_sentence
    assert ana.desk.run("list", "--url", url, "--header", "ana").code == 2


def test_a_token_goes_nowhere_but_to_the_address_that_was_given(ana: There) -> None:
    seen: list[str | None] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"])
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{self.server.server_port}/other")  # type: ignore[attr-defined]  # it has
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Elsewhere) as elsewhere:
        threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
        ended = ana.desk.run("list", "--url", f"http://127.0.0.1:{elsewhere.server_port}", SIGNOFF_TOKEN="secret")
        elsewhere.shutdown()
    assert (ended.code, "302" in ended.err) == (4, True)
    assert seen == ["Bearer secret"]


def test_a_token_from_the_environment_is_sent_as_bearer(ana: There) -> None:
    ended = ana.desk.run("list", "--url", ana.server.url, "--json", "--limit", "1", SIGNOFF_TOKEN="ana")
    assert (ended.code, isinstance(ended.json, list)) == (0, True)


def test_of_two_users_the_later_one_asks_in_every_request(ana: There) -> None:
    thread = ana.server.thread([send("twice-1")])
    words = ["resume", "--thread", thread.id, "--url", ana.server.url, "--json"]
    ended = ana.desk.run(*words, "--header", "authorization: Bearer ana", SIGNOFF_TOKEN="stranger")
    assert (ended.code, ended.err) == (0, "")  # a stranger sees no thread of bob's


# The routes themselves ----------------------------------------------------------------------------------------------------


def replies(thread: Thread, body: Any, *, by: str = "ana") -> tuple[int, Any]:
    return thread.server.post(f"/signoff/tickets/{thread.tickets[0].id}/replies", body, by=by)


def test_a_reply_that_says_nothing_or_names_somebody_else_is_refused(server: Server) -> None:
    thread = server.thread([send("reply-1")])
    seen = {"digest": thread.tickets[0].digest, "generation": 1}
    for body, words in [
        ({}, "says"),
        ([], "no JSON object"),
        (None, "no JSON object"),
        ({"says": "approve"}, "give its digest"),
        ({"says": "approve", "digest": ""}, "give its digest"),
        ({**seen, "says": "approve", "by": "cem"}, "by"),
        ({**seen, "says": "aprove"}, "says"),
        ({**seen, "says": "approve", "generation": "x"}, "generation"),
        ({**seen, "says": "revise"}, "either args"),
        ({**seen, "says": "answer", "value": 1}, "asks nothing"),
        ({**seen, "says": "confirm"}, "audit"),
    ]:
        status, told = replies(thread, body)
        assert (status, words in told["detail"]) == (422, True), (body, told)
    assert len(server.signoff.history(thread.tickets[0])) == 1


def test_a_deed_that_is_none_is_refused(server: Server) -> None:
    ticket = server.thread([send("deed-1")]).tickets[0]
    path = f"/signoff/tickets/{ticket.id}/deeds"
    for body, words in [
        ({}, "does"),
        ([], "no JSON object"),
        ({"does": "fly"}, "does"),
        ({"does": "take", "by": "cem"}, "by"),
        ({"does": "extend", "reason": "late", "span": "2x"}, "not a duration"),
        ({"does": "extend"}, "takes a reason"),
        ({"does": "request_info"}, "say"),
        ({"does": "extend", "reason": "late", "span": "999999999d"}, "it can have time until"),
    ]:
        status, told = server.post(path, body, by="ana")
        assert (status, words in told["detail"]) == (422, True), (body, told)
    assert server.post(path, {"does": "take"}, by="ana", kind="text/plain")[0] == 415
    assert server.post(path, {"does": "take"}, by="guest")[0] == 404
    assert server.get("/signoff/lists/all", by="ana")[0] == 404
    for odd in ("stuck?for=2x", "stuck?tool=send", "mine?limit=x"):
        assert server.get(f"/signoff/lists/{odd}", by="ana")[0] == 422
    assert server.get("/signoff/lists/stuck?for=999999999d", by="ana")[1]["found"] == []
    assert len(server.signoff.history(ticket)) == 1


def test_a_reply_for_another_ticket_than_the_address_names_decides_the_addressed_one(server: Server) -> None:
    one, other = server.thread([send("reply-2")]), server.thread([send("reply-3")])
    body = {"says": "reject", "digest": one.tickets[0].digest, "ticket_id": other.tickets[0].id}
    assert replies(one, body)[0] == 200
    assert [t.tickets[0].standing for t in (one, other)] == [Standing.REJECTED, Standing.PENDING]


def test_nobody_gets_in_without_a_user(server: Server) -> None:
    for path in ("user", "tickets", "threads", "tickets/1", "threads/1", "lists/mine"):
        assert server.get(f"/signoff/{path}")[0] == 401
    for path in ("replies", "deeds"):
        assert server.post(f"/signoff/tickets/1/{path}", {}, by="")[0] == 401


def test_a_form_of_another_page_is_no_reply(server: Server) -> None:
    thread = server.thread([send("reply-4")])
    body = json.dumps({"says": "approve", "digest": thread.tickets[0].digest})
    path = f"/signoff/tickets/{thread.tickets[0].id}/replies"
    assert server.post(path, body, by="ana", kind="text/plain")[0] == 415
    assert thread.tickets[0].standing is Standing.PENDING

"""The command line without a terminal: what it prints, what it decides, and how it refuses."""

from __future__ import annotations

import json
import math
import sqlite3
import stat
import subprocess
from pathlib import Path

import pytest

from cli_support import COMMAND, POLICY, Desk, Ended, environment
from langgraph_signoff import Signoff, Standing
from langgraph_signoff.cli.shell import os_user
from support import NOW, Clock, open_ticket

NASTY = "bob\x1b[2J\x9b2J\u202e[red]\r\n"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def standing(desk: Desk, ticket_id: str) -> Standing:
    return desk.signoff.ticket(ticket_id).standing


def refused(ended: Ended, code: int, *words: str) -> bool:
    assert ended.code == code, ended
    assert ended.is_one_clear_sentence, ended
    assert all(word in ended.err for word in words), ended.err
    return True


# Reading ------------------------------------------------------------------------------------------------------------------


def test_list_shows_what_waits_and_nothing_else(desk: Desk) -> None:
    waits, done = desk.ticket({"to": "acme", "amount": 7}), desk.ticket({"to": "globex"})
    desk.signoff.reject(done, by="ana")
    listed = desk.run("list")
    assert waits.id[:12] in listed.out
    assert 'send(amount=7, to="acme")' in listed.out
    assert "globex" not in listed.out
    assert [ticket["id"] for ticket in desk.run("list", "--json").json] == [waits.id]
    both = {ticket["id"]: ticket["standing"] for ticket in desk.run("list", "--all", "--json").json}
    assert both == {waits.id: "pending", done.id: "rejected"}


def test_list_filters_by_queue_thread_tool_and_standing(desk: Desk) -> None:
    one = desk.ticket(queue="payments", tool="send", thread_id="a b")
    other = desk.ticket(queue="mail", tool="mail", thread_id="c")
    desk.signoff.approve(other, by="ana")
    for filters, expected in {
        ("--queue", "payments"): [one.id],
        ("--queue", "mail"): [],
        ("--thread", "a b"): [one.id],
        ("--tool", "mail", "--all"): [other.id],
        ("--standing", "approved"): [other.id],
        ("--standing", "approved", "--standing", "pending", "--thread", "c"): [other.id],
    }.items():
        assert [ticket["id"] for ticket in desk.run("list", "--json", *filters).json] == expected, filters


def test_overdue_tickets_take_no_place_in_the_list(desk: Desk) -> None:
    past = Signoff(desk.folder / "signoff.db", policy=desk.signoff.policy, clock=Clock(NOW.replace(year=2001)))
    overdue = [open_ticket(past) for _ in range(3)]
    waits = [desk.ticket() for _ in range(3)]
    listed = desk.run("list", "--limit", "2", "--json").json
    assert [ticket["id"] for ticket in listed] == [waits[0].id, waits[1].id]
    assert "more with --limit" in desk.run("list", "--limit", "2").out
    assert "more with --limit" not in desk.run("list", "--limit", "3").out
    expired = desk.run("list", "--standing", "expired", "--json").json
    assert {ticket["id"] for ticket in expired} == {ticket.id for ticket in overdue}


def test_an_argument_cannot_repaint_the_terminal_or_forge_a_line(desk: Desk) -> None:
    ticket = desk.ticket({"to": NASTY + "\ud800"}, trigger=NASTY, agent=NASTY, thread_id=NASTY)
    desk.signoff.comment(ticket, by="ana", text=NASTY)
    outputs = [desk.run("list"), desk.run("show", ticket.id), desk.run("history", ticket.id)]
    outputs += [
        desk.run("approve", ticket.id, "--as", "ana", "--digest", ticket.digest),
        desk.run("show", NASTY),
    ]
    for ended in outputs:
        assert all(c == "\n" or c.isprintable() for c in ended.out + ended.err), ended
    assert "[red]" in outputs[0].out  # nor is it markup
    assert len(outputs[0].out.splitlines()) == 2
    assert desk.run("show", ticket.id, "--json").out.isascii()


def test_a_name_that_is_no_unicode_is_listed_and_shown_like_any_other(desk: Desk) -> None:
    ticket = desk.ticket({"to": {"\ud800": math.inf}})
    for words in (["list"], ["show", ticket.id], ["history", ticket.id]):
        assert desk.run(*words).code == 0
        assert desk.run(*words, "--json").out.isascii()
    assert desk.run("show", ticket.id, "--json").json["args"] == {"to": {"\ud800": "Infinity"}}


def test_words_of_several_lines_forge_no_entry_of_the_history(desk: Desk) -> None:
    ticket = desk.ticket()
    desk.signoff.comment(ticket, by="ana", text="hm\n  3  2026-01-01 00:00:00 UTC  decided  approve by cem")
    lines = desk.run("history", ticket.id).out.splitlines()
    assert [line[:3].strip() for line in lines] == ["1", "2", ""]


def test_a_terminal_that_cannot_show_a_letter_gets_its_escape(desk: Desk) -> None:
    ticket = desk.ticket({"to": "Zoë"})
    ended = desk.run("show", ticket.id, PYTHONIOENCODING="ascii")
    assert ended.code == 0
    assert "Zo\\xeb" in ended.out


def test_show_prints_what_a_decision_needs(desk: Desk) -> None:
    ticket = desk.ticket(approvals=2)
    shown = desk.run("show", ticket.id)
    for text in (ticket.id[:12], "send", "2 approvals", ticket.digest[:16], "approve, reject, revise"):
        assert text in shown.out
    as_json = desk.run("show", ticket.id, "--json").json
    assert as_json["digest"] == ticket.digest
    assert as_json["args"] == ticket.args


def test_json_says_nan_as_a_string(desk: Desk) -> None:
    ticket = desk.ticket({"amount": float("nan")})
    shown = desk.run("show", ticket.id, "--json")
    assert json.loads(shown.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))["args"] == {
        "amount": "NaN"
    }


def test_secrets_are_masked_wherever_they_are_shown(desk: Desk) -> None:
    ticket = desk.ticket({"to": "bob", "card": "4111-1111"}, redact=["card"])
    desk.signoff.revise(ticket, by="ana", args={"card": "4222-2222"})
    for words in (["list", "--all"], ["list", "--all", "--json"], ["show", ticket.id], ["show", ticket.id, "--json"]):
        assert not {"4111", "4222"} & set(desk.run(*words).out.split("-")), words
    for words in (["history", ticket.id], ["history", ticket.id, "--json"]):
        out = desk.run(*words).out
        assert "/card" in out
        assert "4111" not in out
        assert "4222" not in out


def test_a_refused_revision_does_not_tell_the_secret_beside_it(desk: Desk) -> None:
    schema = {"properties": {"card": {"type": "string"}, "amount": {"type": "number"}}, "not": {"required": ["card"]}}
    ticket = desk.ticket({"card": "4111-1111", "amount": 5}, redact=["card"], args_schema=schema)
    for args in ('{"amount": 7}', '{"card": 42221111}'):
        ended = desk.run("revise", ticket.id, "--args", args, "--digest", ticket.digest, "--as", "ana")
        assert refused(ended, 1, "does not take these arguments")
        assert "1111" not in ended.err


def test_history_tells_who_did_what_and_why(desk: Desk) -> None:
    ticket = desk.ticket({"to": "bob", "amount": 5})
    desk.signoff.comment(ticket, by="cem", text="who is bob?")
    desk.signoff.revise(ticket, by="ana", args={"amount": 2}, reason="too much")
    told = desk.run("history", ticket.id).out
    for text in ("opened", "comment by cem", "who is bob?", "revise by ana", "too much", "/amount replace 2"):
        assert text in told
    entries = desk.run("history", ticket.id, "--json").json
    assert [entry["seq"] for entry in entries] == [1, 2, 3]
    assert entries[2]["prev"] == entries[1]["hash"]
    assert entries[2]["reason"] == "too much"


# Naming a ticket ----------------------------------------------------------------------------------------------------------


def test_any_unique_beginning_names_a_ticket_and_an_ambiguous_one_does_not(desk: Desk) -> None:
    ticket = desk.ticket()
    assert desk.run("show", ticket.id[:-1]).code == 0
    desk.ticket()
    one, other = (row.id for row in desk.signoff.ledger.all_rows())
    shared = one[: next(place for place in range(32) if one[place] != other[place])]
    assert refused(desk.run("show", shared), 3, "several tickets begin with")
    for unknown in ("ffff", "f" * 32, "", "ü", "%"):
        assert refused(desk.run("show", unknown), 3, "there is no ticket")
    assert refused(desk.run("reject", "ffff"), 3, "there is no ticket")
    assert refused(desk.run("history", "f" * 32), 3, "no")


def test_the_shell_completes_the_ids_of_open_tickets(desk: Desk) -> None:
    ticket = desk.ticket()
    typed = f"signoff --ledger signoff.db show {ticket.id[:4]}"
    done = desk.start(_SIGNOFF_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD="4")
    assert ticket.id[:12] in done.out, done
    nowhere = desk.start(_SIGNOFF_COMPLETE="complete_bash", COMP_WORDS="signoff --ledger no.db show ", COMP_CWORD="4")
    assert (nowhere.out.strip(), nowhere.err) == ("", "")
    assert not (desk.folder / "no.db").exists()


# Deciding -----------------------------------------------------------------------------------------------------------------


def test_approve_needs_the_digest_that_show_printed(desk: Desk) -> None:
    ticket = desk.ticket()
    printed = desk.run("show", ticket.id).out.split("digest")[1].strip()
    assert refused(desk.run("approve", ticket.id, "--as", "ana"), 2, "--digest")
    assert refused(desk.run("approve", ticket.id, "--as", "ana", "--digest", printed[:11]), 2, "at least 12")
    assert refused(desk.run("approve", ticket.id, "--as", "ana", "--digest", ""), 2, "at least 12")
    assert refused(desk.run("approve", ticket.id, "--as", "ana", "--digest", "0" * 16), 1, "show it again")
    longer = ticket.digest + "0"
    assert refused(desk.run("approve", ticket.id, "--as", "ana", "--digest", longer), 1, "show it again")
    assert standing(desk, ticket.id) is Standing.PENDING
    done = desk.run("approve", ticket.id, "--as", "ana", "--digest", printed, "--reason", "fine")
    assert (done.code, standing(desk, ticket.id)) == (0, Standing.APPROVED)
    assert f"\nthe run goes on with: signoff resume --thread {ticket.thread_id}\n" in done.out
    [decision] = desk.signoff.ticket(ticket.id).decisions
    assert (decision.by, decision.reason, decision.digest) == ("ana", "fine", ticket.digest)


def test_shown_then_revised_by_somebody_then_approved_with_the_old_digest_is_refused(desk: Desk) -> None:
    ticket = desk.ticket({"to": "bob", "amount": 5}, approvals=2)
    printed = desk.run("show", ticket.id).out.split("digest")[1].strip()
    desk.signoff.revise(ticket, by="cem", args={"amount": 5000})
    assert refused(desk.run("approve", ticket.id, "--as", "ana", "--digest", printed), 1, "show it again")
    assert standing(desk, ticket.id) is Standing.PENDING


def test_the_first_of_two_approvals_says_that_it_waits(desk: Desk) -> None:
    ticket = desk.ticket(approvals=2)
    first = desk.run("approve", ticket.id, "--as", "ana", "--digest", ticket.digest)
    assert "1 of 2 approvals" in first.out
    assert refused(desk.run("approve", ticket.id, "--as", "ana", "--digest", ticket.digest), 1, "has already said")
    assert (
        desk.run("approve", ticket.id, "--as", "cem", "--digest", ticket.digest, "--json").json["standing"]
        == "approved"
    )


def test_a_decision_says_what_its_run_still_waits_for_and_how_it_goes_on(desk: Desk) -> None:
    first, second = (desk.ticket({"amount": n}, thread_id="both ends") for n in (1, 2))
    told = desk.run("--ledger", "./signoff.db", "reject", first.id, "--as", "ana").out
    assert f"once {second.id[:12]} is decided, the run goes on with: " in told
    assert "signoff --ledger signoff.db resume --thread 'both ends'" in told


def test_who_decides_is_the_user_of_the_process_unless_named(desk: Desk) -> None:
    (desk.folder / "signoff.yaml").write_text("version: 1\n")
    ticket = desk.ticket()
    assert desk.run("reject", ticket.id).code == 0
    assert desk.signoff.ticket(ticket.id).decisions[0].by == os_user()
    assert refused(desk.run("reject", desk.ticket().id, "--as", " "), 2, "--as NAME")


def test_the_policy_judges_who_may_decide_and_without_a_file_the_recorded_one_does(desk: Desk) -> None:
    ticket = desk.ticket()
    assert refused(desk.run("reject", ticket.id, "--as", "eve"), 1, "does not know 'eve'")
    (desk.folder / "signoff.yaml").write_text(POLICY)
    assert desk.run("reject", ticket.id, "--as", "eve").code == 0
    (desk.folder / "other.yaml").write_text("version: 1\npeople: {zoe: {}}\n")
    other = desk.ticket()
    assert refused(desk.run("reject", other.id, "--as", "eve", "--policy", "other.yaml"), 1, "'eve'")
    assert desk.run("reject", other.id, "--as", "zoe", SIGNOFF_POLICY="other.yaml").code == 0


@pytest.mark.parametrize(
    "content", [None, "version: 1\ndefault: allow\n", "version: 1\nqeues: {}\n", "\x00", "version: [\n"]
)
def test_an_unusable_policy_decides_nothing(desk: Desk, content: str | None) -> None:
    ticket = desk.ticket()
    if content is not None:
        (desk.folder / "p.yaml").write_text(content)
    ended = desk.run("reject", ticket.id, "--as", "ana", "--policy", "p.yaml")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("signoff: p.yaml")
    assert standing(desk, ticket.id) is Standing.PENDING
    assert desk.run("show", ticket.id, SIGNOFF_POLICY="p.yaml").code == 0  # reading needs no policy


def test_closed_tickets_take_no_decision(desk: Desk) -> None:
    ticket = desk.ticket()
    desk.signoff.withdraw(ticket, by="ana")
    for words in (
        ["approve", ticket.id, "--digest", ticket.digest],
        ["reject", ticket.id],
        ["revise", ticket.id, "--feedback", "no"],
        ["revise", ticket.id, "--args", '{"amount": 1}', "--digest", ticket.digest],
        ["withdraw", ticket.id],
        ["settle", ticket.id, "happened"],
    ):
        assert refused(desk.run(*words, "--as", "ana"), 1, "withdrawn"), words


def test_a_required_reason_must_be_given(desk: Desk) -> None:
    ticket = desk.ticket(reason="required")
    assert refused(desk.run("settle", ticket.id, "happened", "--as", "ana"), 1, "no doubt")
    assert refused(desk.run("reject", ticket.id, "--as", "ana"), 2, "reason")
    assert desk.run("reject", ticket.id, "--as", "ana", "-r", "no").code == 0


def test_a_comment_and_a_withdrawal_are_kept_with_their_author(desk: Desk) -> None:
    ticket = desk.ticket()
    assert "noted" in desk.run("comment", ticket.id, "hm", "--as", "cem").out
    assert refused(desk.run("comment", ticket.id, " ", "--as", "cem"), 2, "words")
    assert standing(desk, ticket.id) is Standing.PENDING
    assert desk.run("withdraw", ticket.id, "--as", "ana", "-r", "moot").code == 0
    assert standing(desk, ticket.id) is Standing.WITHDRAWN
    assert desk.run("show", ticket.id).out.count("moot") == 1


def test_why_a_call_was_rejected_is_shown_once(desk: Desk) -> None:
    ticket = desk.ticket()
    desk.run("reject", ticket.id, "--as", "ana", "-r", "not ours")
    assert desk.run("show", ticket.id).out.count("not ours") == 1


# Revising -----------------------------------------------------------------------------------------------------------------


def test_revise_with_arguments_changes_those_that_it_names(desk: Desk) -> None:
    ticket = desk.ticket({"to": "bob", "amount": 5, "card": "4111"}, redact=["card"])
    words = ["revise", ticket.id, "--args", '{"amount": 2.5, "card": "•••"}', "--as", "ana"]
    assert refused(desk.run(*words), 2, "--digest")
    revised = desk.run(*words, "--digest", ticket.digest[:12], "--json").json
    assert (revised["standing"], revised["generation"]) == ("approved", 2)
    assert desk.signoff.desk.case(ticket.id).parsed == {"to": "bob", "amount": 2.5, "card": "4111"}


@pytest.mark.parametrize(
    "text",
    ["{", "[1]", '"x"', "", '{"amount": NaN}', '{"amount": 1e999}', '{"amount": 1, "amount": 2}', "{" * 100_000, "'a'"],
)
def test_what_is_no_json_object_revises_nothing(desk: Desk, text: str) -> None:
    ticket = desk.ticket()
    assert refused(desk.run("revise", ticket.id, "--as", "ana", "--args", text, "--digest", ticket.digest), 2, "--args")
    assert standing(desk, ticket.id) is Standing.PENDING


def test_revise_takes_exactly_one_of_its_three_forms(desk: Desk) -> None:
    ticket = desk.ticket()
    for words in ([], ["--args", "{}", "--edit"], ["--edit", "--feedback", "x"]):
        assert refused(desk.run("revise", ticket.id, *words, "--as", "ana"), 2, "one of")
    assert refused(desk.run("revise", ticket.id, "--feedback", " ", "--as", "ana"), 2, "words")
    schema = {"properties": {"to": {"type": "string"}, "amount": {"type": "number"}}}
    strict = desk.ticket(args_schema=schema)
    for args in ('{"amount": "x"}', '{"much": 1}', "{}"):
        words = ["revise", strict.id, "--args", args, "--digest", strict.digest, "--as", "ana"]
        assert refused(desk.run(*words), 1)


def test_feedback_sends_the_call_back(desk: Desk) -> None:
    ticket = desk.ticket()
    assert desk.run("revise", ticket.id, "--feedback", "use the other account", "--as", "ana").code == 0
    assert standing(desk, ticket.id) is Standing.RETURNED


def editor(desk: Desk, script: str) -> str:
    """An editor that is a shell script; `$1` is the file."""
    file = desk.folder / "my editor"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return f"'{file}'"


def test_edit_opens_the_masked_arguments_in_the_editor_and_keeps_what_is_left_alone(desk: Desk) -> None:
    ticket = desk.ticket({"to": "bob", "amount": 5, "card": "4111"}, redact=["card"])
    command = editor(desk, 'cp "$1" seen.json; sed -i s/5/7/ "$1"')
    done = desk.run("revise", ticket.id, "--edit", "--as", "ana", EDITOR="false", VISUAL=command)
    assert done.code == 0, done
    assert json.loads((desk.folder / "seen.json").read_text()) == {"to": "bob", "amount": 5, "card": "•••"}
    assert desk.signoff.desk.case(ticket.id).parsed == {"to": "bob", "amount": 7, "card": "4111"}


@pytest.mark.parametrize(
    ("script", "code", "word"),
    [
        ("exit 3", 2, "exit code 3"),
        ("true", 2, "changes nothing"),
        ('echo "{" > "$1"', 2, "not JSON"),
        ('printf "\\377" > "$1"', 2, "cannot be read"),
        ('rm "$1"', 2, "cannot be read"),
        ('echo "{}" > "$1"', 1, "leaves out amount, to"),
    ],
)
def test_an_editor_that_fails_or_changes_nothing_decides_nothing(desk: Desk, script: str, code: int, word: str) -> None:
    ticket = desk.ticket()
    ended = desk.run("revise", ticket.id, "--edit", "--as", "ana", EDITOR=editor(desk, script))
    assert refused(ended, code, word)
    assert standing(desk, ticket.id) is Standing.PENDING


def test_an_editor_that_is_not_there_decides_nothing(desk: Desk) -> None:
    ticket = desk.ticket()
    for command in ("no-such-editor", "'unclosed"):
        ended = desk.run("revise", ticket.id, "--edit", "--as", "ana", EDITOR=command)
        assert refused(ended, 2, "cannot be started")


# Settling, erasing, time, the record --------------------------------------------------------------------------------------


def in_doubt(desk: Desk) -> str:
    """A ticket whose call was cut off."""
    signoff, ticket = desk.signoff, desk.ticket()
    signoff.approve(ticket, by="ana")
    case, granted = signoff.claims.claim(ticket.id)
    assert granted
    signoff.claims.doubt(case)
    return ticket.id


def test_a_call_in_doubt_is_listed_and_settled(desk: Desk) -> None:
    ids = [in_doubt(desk) for _ in range(3)]
    assert {ticket["standing"] for ticket in desk.run("list", "--json").json} == {"in_doubt"}
    shown = desk.run("show", ids[0]).out
    assert "happened, did_not_happen, give_up" in shown
    assert "1 answer by anybody" in shown
    refusal = desk.run("approve", ids[0], "--digest", desk.signoff.ticket(ids[0]).digest, "--as", "cem")
    assert refused(refusal, 1, "is in_doubt; it takes no decision")
    assert refused(desk.run("settle", ids[0], "give_up", "--result", "1", "--as", "ana"), 2, "--result")
    assert refused(desk.run("settle", ids[0], "happened", "--result", "{", "--as", "ana"), 2, "not JSON")
    assert desk.run("settle", ids[0], "maybe", "--as", "ana").code == 2
    done = desk.run(
        "settle", ids[0], "happened", "--result", '{"sent": 5}', "--as", "ana", "-r", "the bank says so", "--json"
    ).json
    assert (done["standing"], done["outcome"]["result"], done["outcome"]["by"]) == ("executed", {"sent": 5}, "ana")
    assert desk.run("settle", ids[1], "did_not_happen", "--as", "ana", "--json").json["standing"] == "approved"
    assert desk.run("settle", ids[2], "give_up", "--as", "ana", "--json").json["standing"] == "failed"


def test_erasing_takes_a_reason_and_a_yes_and_leaves_the_record_whole(desk: Desk) -> None:
    ticket = desk.ticket({"to": "Ms Private"}, describe="Send it to {args.to}")
    assert refused(desk.run("erase", ticket.id, "--yes", "-r", "asked", "--as", "ana"), 1, "withdraw it")
    desk.signoff.withdraw(ticket, by="ana")
    assert refused(desk.run("erase", ticket.id, "-r", "asked", "--as", "ana"), 2, "--yes")
    assert refused(desk.run("erase", ticket.id, "--yes", "--as", "ana"), 2, "reason")
    assert desk.run("erase", ticket.id, "--yes", "-r", "asked", "--as", "ana").code == 0
    for words in (["list", "--all"], ["show", ticket.id], ["history", ticket.id]):
        out = desk.run(*words).out
        assert "erased" in out
        assert "Private" not in out
        assert "not given" not in out
    assert desk.run("verify").code == 0


def test_expire_names_the_threads_to_wake_once(desk: Desk) -> None:
    past = Signoff(desk.folder / "signoff.db", policy=desk.signoff.policy, clock=Clock(NOW.replace(year=2001)))
    open_ticket(past, thread_id="late")
    assert desk.run("expire", "--json").json == {"threads": ["late"]}
    assert desk.run("expire").out == "nothing was overdue\n"


def test_verify_names_what_is_broken_and_a_seal_that_is_gone(desk: Desk) -> None:
    ticket = desk.ticket()
    seal = desk.run("seal").out.strip()
    whole = desk.run("verify", "--seal", seal, "--json")
    assert (whole.code, whole.json["is_whole"], whole.json["seal"]) == (0, True, seal)
    assert desk.run("seal", "--json").json == {"seal": seal}
    gone = desk.run("verify", "--seal", "0" * 64)
    assert gone.code == 5
    assert "noted seal" in gone.out
    assert refused(desk.run("verify", "--seal", ""), 2, "--seal")
    with sqlite3.connect(desk.folder / "signoff.db") as db:
        db.execute("DROP TRIGGER entries_keep")
        db.execute("UPDATE entries SET at = '2001-01-01T00:00:00.000000Z' WHERE stream = ?", (ticket.id,))
    db.close()
    broken = desk.run("verify")
    assert broken.code == 5
    assert f"entry {ticket.id[:12]}/1" in broken.out


@pytest.mark.parametrize(
    "words", [["list"], ["show", "ab"], ["verify"], ["reject", "ab"], ["expire"], ["resume", "--all"]]
)
def test_a_ledger_that_is_not_there_is_not_made(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "langgraph.json").write_text('{"graphs": {"g": "./g.py:g"}}')
    ended = Desk(tmp_path).run(*words)
    assert refused(ended, 4, "no ledger at signoff.db", "SIGNOFF_LEDGER")
    assert not (tmp_path / "signoff.db").exists()


def test_a_ledger_that_cannot_be_used_is_said_in_a_sentence(desk: Desk) -> None:
    desk.ticket()
    signoff = desk.folder / "signoff.db"
    with sqlite3.connect(signoff) as db:
        db.execute("PRAGMA user_version = 999")
    db.close()
    assert refused(desk.run("list"), 4, "upgrade")
    (desk.folder / "noise.db").write_bytes(b"noise " * 1000)
    assert refused(desk.run("list", "--ledger", "noise.db"), 5, "not a database")
    (desk.folder / "folder.db").mkdir()
    assert refused(desk.run("--ledger", "folder.db", "list"), 4, "unable to open")
    with sqlite3.connect(desk.folder / "others.db") as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    assert refused(desk.run("list", SIGNOFF_LEDGER="others.db"), 5, "another program")


def test_a_record_that_cannot_be_read_is_said_in_a_sentence(desk: Desk) -> None:
    ticket = desk.ticket()
    with sqlite3.connect(desk.folder / "signoff.db") as db:
        db.execute("DROP TRIGGER entries_keep")
        db.execute("UPDATE entries SET body = '{}'")
    db.close()
    for words in (["list"], ["show", ticket.id], ["reject", ticket.id, "--as", "ana"]):
        assert refused(desk.run(*words), 5), words
    assert desk.run("verify").code == 5


def test_options_stand_before_or_after_the_command_and_the_later_one_wins(desk: Desk) -> None:
    ticket = open_ticket(Signoff(desk.folder / "elsewhere.db"))
    assert desk.run("--json", "--ledger", "elsewhere.db", "list").json[0]["id"] == ticket.id
    assert desk.run("list", "--ledger", "elsewhere.db", "--json").json[0]["id"] == ticket.id
    assert desk.run("--ledger", "no.db", "list", "--ledger", "elsewhere.db").code == 0
    assert desk.run("list", SIGNOFF_LEDGER="elsewhere.db").code == 0


# Policies and help --------------------------------------------------------------------------------------------------------


def test_policy_check_names_every_mistake_with_its_place(desk: Desk) -> None:
    (desk.folder / "p.yaml").write_text("version: 1\ndefault: allow\nqeues: {}\n")
    told = desk.run("policy", "check", "p.yaml")
    assert (told.code, told.out) == (2, "")
    assert "p.yaml:2:" in told.err
    assert "p.yaml:3:" in told.err
    as_json = desk.run("policy", "check", "p.yaml", "--json")
    assert as_json.code == 2
    assert [mistake["line"] for mistake in as_json.json["mistakes"]] == [2, 3]


def test_policy_check_passes_a_right_file_and_schema_describes_it(desk: Desk) -> None:
    import jsonschema

    (desk.folder / "signoff.yaml").write_text(POLICY)
    assert "is right" in desk.run("policy", "check").out
    schema = desk.run("policy", "schema").json
    jsonschema.validate({"version": 1, "tools": {"send": "review"}}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"version": 1, "qeues": {}}, schema)


def test_help_documents_the_exit_codes_and_every_command(desk: Desk) -> None:
    text = desk.run("--help").out
    assert all(f"  {code}  " in text for code in range(7))
    for name in (
        "list",
        "show",
        "approve",
        "reject",
        "revise",
        "settle",
        "resume",
        "expire",
        "history",
        "verify",
        "policy",
    ):
        assert f"\n  {name} " in text
    assert desk.run("--version").out.startswith("signoff ")


def test_a_wrong_command_line_is_no_traceback(desk: Desk) -> None:
    for words in (["frob"], ["show"], ["list", "--standing", "odd"], ["list", "--limit", "0"], ["approve"], ["--nope"]):
        ended = desk.run(*words)
        assert (ended.code, ended.out) == (2, ""), words


def test_a_reader_who_goes_away_is_no_traceback(desk: Desk) -> None:
    for _ in range(3):
        desk.ticket({"to": "x" * 30_000})
    command = " ".join(f"'{word}'" for word in [*COMMAND, "list", "--json"])
    done = subprocess.run(
        ["sh", "-c", f"{command} | head -c 1"],
        cwd=desk.folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[", "")


# Who may decide --------------------------------------------------------------------------------------------------------------


def test_who_says_for_everybody_whether_they_may_decide_and_why(desk: Desk) -> None:
    (desk.folder / "signoff.yaml").write_text(POLICY)
    ticket = desk.ticket(requester="ana", reviewers=(("group:finance",),))
    words = ["--policy", "signoff.yaml", "who", ticket.id]
    assert desk.run(*words).out.splitlines() == [
        "    may  cem  is group:finance",
        "may not  ana  is the requester, and the policy wants somebody else",
        "may not  eve  is not among group:finance",
    ]
    assert [one["may"] for one in desk.run(*words, "--json").json] == [False, True, False]
    assert desk.run("who", "f" * 32).code == 3


def test_where_the_policy_names_nobody_anybody_may(tmp_path: Path) -> None:
    signoff = Signoff(tmp_path / "signoff.db")
    ticket = open_ticket(signoff)
    assert "anybody: the policy names no people" in Desk(tmp_path).run("who", ticket.id).out

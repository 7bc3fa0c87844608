"""The command line on a terminal: it shows, asks, and takes a yes for what it has shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest

from cli_support import COMMAND, Desk, environment
from langgraph_signoff import Standing


@contextmanager
def terminal(desk: Desk, *words: str, columns: int = 80, **env: str) -> Iterator[pexpect.spawn]:
    """The command on a terminal of that width."""
    [command] = COMMAND
    child = pexpect.spawn(
        command,
        list(words),
        cwd=str(desk.folder),
        env=environment(TERM="xterm", **env),  # type: ignore[arg-type]  # pexpect's stub wants os._Environ
        dimensions=(50, columns),
        encoding="utf-8",
        timeout=60,
        echo=False,
    )
    try:
        yield child
    finally:
        child.close(force=True)


def screen(child: pexpect.spawn) -> str:
    """What was printed until the command ended, without colours."""
    child.expect(pexpect.EOF)
    child.wait()
    return re.sub(r"\x1b\[[0-9;]*m", "", child.before or "").replace("\r\n", "\n")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_approve_shows_the_ticket_asks_and_takes_a_yes(desk: Desk) -> None:
    ticket = desk.ticket({"to": "acme \x1b[2J", "amount": 7})
    with terminal(desk, "approve", ticket.id, "--as", "ana") as child:
        child.expect(r"Approve it as ana\? \[y/N\]")
        shown = child.before
        assert 'to="acme \\u001b[2J"' in shown
        assert ticket.digest[:16] in shown
        child.sendline("y")
        assert "signoff resume --thread" in screen(child)
    assert child.exitstatus == 0
    assert desk.signoff.ticket(ticket.id).standing is Standing.APPROVED


@pytest.mark.parametrize("answer", ["n", "", "\x03"])
def test_anything_but_a_yes_decides_nothing(desk: Desk, answer: str) -> None:
    ticket = desk.ticket()
    with terminal(desk, "approve", ticket.id, "--as", "ana") as child:
        child.expect(r"\[y/N\]")
        child.sendline(answer)
        assert "Traceback" not in screen(child)
    assert child.exitstatus == 1
    assert desk.signoff.ticket(ticket.id).standing is Standing.PENDING


def test_a_ticket_that_changed_while_it_was_read_is_not_approved(desk: Desk) -> None:
    ticket = desk.ticket(approvals=2)
    with terminal(desk, "approve", ticket.id, "--as", "ana") as child:
        child.expect(r"\[y/N\]")
        desk.signoff.revise(ticket, by="cem", args={"amount": 5000})
        child.sendline("y")
        assert "show it again" in screen(child)
    assert child.exitstatus == 1
    assert [d.by for d in desk.signoff.ticket(ticket.id).decisions] == ["cem"]


def test_a_closed_ticket_is_refused_without_a_question(desk: Desk) -> None:
    ticket = desk.ticket()
    desk.signoff.reject(ticket, by="ana")
    with terminal(desk, "approve", ticket.id, "--as", "ana") as child:
        text = screen(child)
    assert "rejected by ana" in text
    assert "[y/N]" not in text
    assert child.exitstatus == 1


def test_a_required_reason_is_asked_for(desk: Desk) -> None:
    ticket = desk.ticket(reason="required")
    with terminal(desk, "reject", ticket.id, "--as", "ana") as child:
        child.expect(r"Why\?")
        child.sendline("not ours")
        screen(child)
    assert child.exitstatus == 0
    assert desk.signoff.ticket(ticket.id).decisions[0].reason == "not ours"


def test_a_change_of_arguments_is_asked_for_after_the_ticket_was_shown(desk: Desk) -> None:
    ticket = desk.ticket()
    with terminal(desk, "revise", ticket.id, "--args", '{"amount": 2}', "--as", "ana") as child:
        child.expect(r'Change it to \{"amount": 2\} as ana\?')
        assert ticket.digest[:16] in child.before
        child.sendline("y")
        screen(child)
    assert desk.signoff.ticket(ticket.id).args["amount"] == 2


def test_an_edit_that_is_no_json_can_be_edited_again(desk: Desk) -> None:
    ticket = desk.ticket({"amount": 5})
    script = desk.folder / "editor"
    script.write_text(
        '#!/bin/sh\nif [ -e again ]; then sed -i s/.*/\'{"amount": 7}\'/ "$1"; else echo { > "$1"; touch again; fi\n'
    )
    script.chmod(0o755)
    with terminal(desk, "revise", ticket.id, "--edit", "--as", "ana", EDITOR=str(script)) as child:
        child.expect(r"not JSON.*Edit it again\? \[Y/n\]")
        child.sendline("")
        screen(child)
    assert child.exitstatus == 0
    assert desk.signoff.ticket(ticket.id).args == {"amount": 7}


def test_json_asks_nobody(desk: Desk) -> None:
    ticket = desk.ticket()
    with terminal(desk, "approve", ticket.id, "--as", "ana", "--json") as child:
        assert "--digest" in screen(child)
    assert child.exitstatus == 2


def test_a_long_history_is_broken_beside_its_numbers(desk: Desk) -> None:
    ticket = desk.ticket()
    desk.signoff.comment(ticket, by="ana", text="a word " * 30)
    with terminal(desk, "history", ticket.id, columns=60) as child:
        lines = screen(child).rstrip().splitlines()
    assert all(len(line.rstrip()) <= 60 for line in lines), lines
    assert [line[0] for line in lines if line[0] != " "] == ["1", "2"]


@pytest.mark.parametrize("columns", [40, 80, 140])
def test_the_list_fits_the_terminal_and_keeps_its_ids_whole(desk: Desk, columns: int) -> None:
    tickets = [desk.ticket({"to": "someone@example.com", "amount": n}, agent="clerk") for n in (10, 20)]
    with terminal(desk, "list", columns=columns) as child:
        lines = screen(child).splitlines()
    assert all(len(line.rstrip()) <= columns for line in lines), lines
    text = "\n".join(lines)
    assert all(ticket.id[:12] in text for ticket in tickets)
    assert "due in" in lines[0]
    assert ("why" in lines[0], "asked by" in lines[0]) == (columns >= 80, columns >= 140)

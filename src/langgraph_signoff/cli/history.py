"""`history`: a ticket's entries as people may read them; what is secret stays masked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from langgraph_signoff.cli import screen
from langgraph_signoff.cli.command import READS, command
from langgraph_signoff.cli.options import TICKET
from langgraph_signoff.cli.shell import Shell
from langgraph_signoff.ledger import Entry
from langgraph_signoff.liveness import pid_of
from langgraph_signoff.masking import Hush, mask_patch
from langgraph_signoff.render import patch_lines

_TOLD = ("reason", "error", "rendering")  # of the erasable contents; arguments come masked, as patches


def history(shell: Shell, ticket: TICKET) -> None:
    """All that happened to a ticket: what, who, when and why."""
    words = words_of(shell.signoff.history(ticket))
    if shell.json:
        shell.tell(words, str)
    else:
        screen.show_lines(lines_of(words), width=3)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "history", *READS)(history)


def words_of(history: Sequence[Entry]) -> list[dict[str, Any]]:
    """Each entry as plain data: number, time, kind, open part, the words that were said, and its place in the chain."""
    redact = tuple({path for entry in history for path in entry.body.get("ruling", {}).get("redact", ())})
    hush = Hush(_args(history), redact)
    return [_words(entry, redact, hush) for entry in history]


def lines_of(entries: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """What there is to say of each entry: (number, text), the text may hold line breaks."""
    return [(str(entry["seq"]), _text(entry)) for entry in entries]


def _args(history: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    """The arguments of every generation, as proposed and as parsed."""
    for entry in history:
        for call in (entry.contents.get("action", {}), entry.contents.get("edit", {})):
            yield from (call[key] for key in ("args", "parsed") if key in call)


def _words(entry: Entry, redact: tuple[str, ...], hush: Hush) -> dict[str, Any]:
    contents = entry.contents
    said = {key: hush(contents[key]) for key in _TOLD if contents.get(key)}
    if contents.get("patch"):
        said["patch"] = mask_patch(contents["patch"], redact)
    return {
        "seq": entry.seq,
        "at": entry.at,
        "kind": entry.kind,
        "body": entry.body,
        **said,
        "erased": entry.erased,
        "prev": entry.prev,
        "hash": entry.hash,
    }


def _text(entry: dict[str, Any]) -> str:
    said = [entry["reason"]] if "reason" in entry else []
    said += [entry["error"]] if "error" in entry else []
    said += [json.dumps(entry["rendering"], ensure_ascii=False)] if "rendering" in entry else []
    said += ["(erased)"] if entry["erased"] else []
    head = f"{entry['at'][:19].replace('T', ' ')} UTC  {_deed(entry)}"
    return "\n".join([": ".join([head, *said[:1]]), *said[1:], *patch_lines(entry.get("patch", ()))])


def _deed(entry: dict[str, Any]) -> str:
    body = entry["body"]
    match entry["kind"]:
        case "opened":
            return f"opened  {body['tool']}: {_ruled(body['ruling'])}"
        case "amended":
            return f"amended  it would run with other arguments than were shown: {_ruled(body['ruling'])}"
        case "decided":
            groups = f" ({', '.join(body['groups'])})" if body["groups"] else ""
            return f"decided  {body['verdict']} by {body['by']}{groups}, generation {body['generation']}"
        case "claimed":
            return f"claimed  attempt {body['attempt']} by process {pid_of(body['owner'])}"
        case "in_doubt":
            return f"in_doubt  found by process {pid_of(body['found_by'])}"
        case "erased":
            return f"erased by {body['by']}: {body['reason']}"
    return str(entry["kind"]) + (f" by {body['by']}" if body.get("by") else "")


def _ruled(ruling: dict[str, Any]) -> str:
    return f"{ruling['mode']} ({ruling['reason_code']}, {ruling['rule']})"

"""`history`: a ticket's entries as people may read them; what is secret stays masked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import typer

from langgraph_signoff import law
from langgraph_signoff.cli import screen
from langgraph_signoff.cli.command import READS, command
from langgraph_signoff.cli.options import TICKET
from langgraph_signoff.cli.shell import Shell
from langgraph_signoff.liveness import pid_of
from langgraph_signoff.render import SHORT_ID, patch_lines
from langgraph_signoff.view import words_of


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


def lines_of(entries: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """What there is to say of each entry: (number, text), the text may hold line breaks."""
    return [(str(entry["seq"]), entry_text(entry)) for entry in entries]


def entry_text(entry: dict[str, Any]) -> str:
    """When something happened, what, and the words that were said; may hold line breaks."""
    said = [entry["reason"]] if "reason" in entry else []
    said += [entry["error"]] if "error" in entry else []
    said += [json.dumps(entry["rendering"], ensure_ascii=False)] if "rendering" in entry else []
    said += [json.dumps(entry["answer"], ensure_ascii=False)] if "answer" in entry else []
    said += ["(erased)"] if entry["erased"] else []
    head = f"{entry['at'][:19].replace('T', ' ')} UTC  {_deed(entry)}"
    return "\n".join([": ".join([head, *said[:1]]), *said[1:], *patch_lines(entry.get("patch", ()))])


def _deed(entry: dict[str, Any]) -> str:
    body = entry["body"]
    match entry["kind"]:
        case "opened":
            of = f"audit of ticket {body['about'][:SHORT_ID]}, " if body.get("about") else ""
            return f"opened  {of}{body['tool']}: {_ruled(body['ruling'])}"
        case "executed" | "failed" if "audit" in body:
            by = f" by {body['by']}" if body.get("by") else ""
            return f"{entry['kind']}{by} ({law.Choice(**body['audit']).words})"
        case "amended":
            return f"amended  {_WHY.get(body['ruling']['reason_code'], _CHANGED)}: {_ruled(body['ruling'])}"
        case "decided":
            groups = f" ({', '.join(body['groups'])})" if body["groups"] else ""
            together = f", together with {body['together'] - 1} others" if body.get("together", 1) > 1 else ""
            return f"decided  {body['verdict']} by {_who(body)}{groups}, generation {body['generation']}{together}"
        case "delegated":
            span = f"{body['start'][:16]} to {body['until'][:16]}".replace("T", " ")
            return f"delegated  {body['deputy']} for {body['absent']}, {span} UTC, by {body['by']}"
        case "claimed":
            return f"claimed  attempt {body['attempt']} by process {pid_of(body['owner'])}"
        case "taken":
            return f"taken by {_who(body)} until {body['until'][:16].replace('T', ' ')} UTC"
        case "info_requested":
            return f"info_requested of {body['of']} by {_who(body)}"
        case "reminded":
            return "reminded whoever may decide"
        case "escalated":
            return f"escalated to {', '.join(body['to'])}"
        case "extended":
            return f"extended by {_who(body)} until {body['until'][:16].replace('T', ' ')} UTC"
        case "assigned":
            return f"assigned to {body['to']} by {body['by']}"
        case "granted":
            what = "permitted" if body["effect"] == "allow" else "rejected"
            call = "…" if entry["erased"] else entry["when"] or json.dumps(entry["args"], ensure_ascii=False)
            until = body["until"][:16].replace("T", " ")
            return f"granted by {body['by']}: {body['tool']} {call} is {what} until {until} UTC"
        case "used" if "total" in body:
            whose = f" for {body['by']} {body['key']}" if body["key"] else ""
            return f"used  {body['amount']} by ticket {body['ticket'][:SHORT_ID]}{whose}, {body['total']} by now"
        case "used" if "amount" in body:
            return f"used  by ticket {body['ticket'][:SHORT_ID]}, {body['used']} times, {body['spent']} by now"
        case "used":
            return f"used  step {body['step']} by ticket {body['ticket'][:SHORT_ID]}"
        case "in_doubt":
            return f"in_doubt  found by process {pid_of(body['found_by'])}"
        case "halted" | "released" if "tool" in body:
            scope = law.Scope(body["thread_id"], body["tool"])
            return f"{entry['kind']}  {scope} by {body['by']}" + (f": {body['reason']}" if body["reason"] else "")
        case "rolled_back":
            return f"rolled_back  {len(body['undone'])} undone, {len(body['left'])} left for a person"
        case "alerted":
            return "alerted  a person must look to it"
        case "followed_up":
            return f"followed_up  {body['did']}, {', '.join(ticket[:SHORT_ID] for ticket in body['tickets'])}"
        case "sealed":
            return f"sealed  {body['count']} entries"
        case "erased":
            return f"erased by {body['by']}: {body['reason']}"
    return str(entry["kind"]) + (f" by {body['by']}" if body.get("by") else "")


def _who(body: dict[str, Any]) -> str:
    return f"{body['by']} for {body['behalf']}" if body.get("behalf") else str(body["by"])


_CHANGED = "it would run with other arguments than were shown"
_WHY = {
    "no_longer_planned": "its plan does not permit it any more",
    "no_longer_granted": "what was granted does not permit it any more",
    "over_budget": "it would spend too much",
}


def _ruled(ruling: dict[str, Any]) -> str:
    mode = "audit" if ruling.get("audit") else ruling["mode"]
    return f"{mode} ({ruling['reason_code']}, {ruling['rule']})"

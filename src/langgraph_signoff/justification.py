"""What a run did and why it may stand: the report that a person approves as a whole. Plain JSON, and the same as Markdown."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langgraph_signoff.vocabulary import Json, Standing, Ticket, Verdict

_RAN = (Standing.EXECUTED, Standing.FAILED, Standing.IN_DOUBT, Standing.RUNNING)


@dataclass(frozen=True)
class Undoings:
    """Which tools declare an undo, by name; which tickets' actions have been undone, and which leave nothing to undo, by id."""

    declared: Collection[str] = ()
    done: Collection[str] = ()
    unneeded: Collection[str] = ()


def justification(goal: str, tickets: Sequence[Ticket], *, result: Json, undoings: Undoings) -> dict[str, Json]:
    """The report of a run: `goal`, `result`, `actions` and `allowed` ones, in the order in which they were proposed, and
    `open_risks` in words.

    `allowed` are those that the policy lets run without a record elsewhere. What is secret in a ticket is masked there, and so
    it is here.
    """
    return {
        "goal": goal,
        "result": result,
        "actions": [_action(ticket, undoings) for ticket in tickets if ticket.id not in undoings.unneeded],
        "allowed": [_action(ticket, undoings) for ticket in tickets if ticket.id in undoings.unneeded],
        "open_risks": [risk for ticket in tickets for risk in _risks(ticket, undoings)],
    }


def _action(ticket: Ticket, undoings: Undoings) -> dict[str, Json]:
    outcome = ticket.outcome
    given = {"result": outcome.result} if outcome and not outcome.error else {}
    if ticket.standing is Standing.ANSWERED:
        given = {"result": ticket.answer}
    failed = {"error": outcome.error} if outcome and outcome.error else {}
    # A comment decides nothing, and may come at any time: it makes no other report of it.
    decisions = [decision for decision in ticket.decisions if decision.verdict is not Verdict.COMMENT]
    return {
        "ticket": ticket.id,
        "tool": ticket.tool,
        "args": ticket.args,
        "standing": str(ticket.standing),
        "why": f"{ticket.reason_code} ({ticket.rule})",
        "decided_by": [f"{d.who}: {d.verdict}" + (f", {d.reason}" if d.reason else "") for d in decisions],
        "can_undo": ticket.tool in undoings.declared,
        **({"undone": True} if ticket.id in undoings.done else {}),
        **given,
        **failed,
    }


def _risks(ticket: Ticket, undoings: Undoings) -> list[str]:
    what, standing = f"{ticket.tool} ({ticket.id[:12]})", ticket.standing
    if standing is Standing.FAILED:
        return [f"{what} failed, and nobody knows what it left behind"]
    if standing is Standing.IN_DOUBT:
        return [f"nobody knows whether {what} happened"]
    if standing in (Standing.PENDING, Standing.APPROVED, Standing.RUNNING):
        return [f"{what} is still {standing}"]
    if standing is Standing.ANSWERED:
        return []
    if standing is not Standing.EXECUTED:
        return [f"{what} was not run: {standing}"]
    if ticket.id in undoings.done:
        return [f"{what} has been undone"]
    is_settled = ticket.tool in undoings.declared or ticket.id in undoings.unneeded
    found = [] if is_settled else [f"{what} cannot be undone"]
    if ticket.risk.stakes == "high" and not ticket.approved_by:
        found.append(f"{what} has high stakes, and nobody was asked before it ran")
    return found


def summary(report: Mapping[str, Any]) -> str:
    """The report in a sentence."""
    actions, risks = report["actions"], len(report["open_risks"])
    ran = sum(action["standing"] in _RAN for action in actions)
    counts = f"{ran} of {len(actions)} actions ran, {risks or 'no'} open risk{'' if risks == 1 else 's'}"
    return f"{counts}. For: {_inline(report['goal'])}"


def to_markdown(report: Mapping[str, Any]) -> str:
    """The report for people."""
    actions = [_line(number, action) for number, action in enumerate(report["actions"], 1)]
    allowed = [_line(number, action) for number, action in enumerate(report.get("allowed", ()), 1)]
    risks = [f"- {_inline(risk)}" for risk in report["open_risks"]]
    parts = [
        f"# {_inline(report['goal']) or 'A run'}",
        "## Result\n\n" + _quoted(report["result"]),
        "## Actions\n\n" + ("\n".join(actions) or "None."),
        *(["## Allowed without asking\n\n" + "\n".join(allowed)] if allowed else []),
        "## Open risks\n\n" + ("\n".join(risks) or "None."),
    ]
    return "\n\n".join(parts) + "\n"


def _line(number: int, action: Mapping[str, Any]) -> str:
    args = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in action["args"].items())
    undone = ", undone" if action.get("undone") else ""
    lines = [
        f"{number}. **{_inline(action['tool'])}** {action['standing']}{undone}: {_code(args)}",
        f"   - why: {_inline(action['why'])}",
    ]
    lines += [f"   - decided by {_inline(word)}" for word in action["decided_by"]]
    lines += [f"   - {key}: {_code(action[key])}" for key in ("result", "error") if action.get(key) not in (None, "")]
    return "\n".join(lines)


def _code(value: Json) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "`" + _inline(text).replace("`", "'") + "`"


def _inline(text: str) -> str:
    # What an action says may not look like a heading, or another line, of the report.
    return " ".join(str(text).split())


def _quoted(result: Json) -> str:
    text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, indent=2)
    return "\n".join(f"> {line}" for line in text.splitlines()) or "> (none)"

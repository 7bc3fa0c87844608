"""How tickets and runs look in a notebook: cards that a person decides on in ten seconds.

Inline styles only, every colour translucent over whatever background there is, and every value escaped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape

from langgraph_signoff.justification import to_markdown
from langgraph_signoff.render import (
    SHORT_ID,
    answer_text,
    asked_by_text,
    difference_text,
    due_text,
    granted_text,
    headline,
    is_question,
    is_report,
    needs_text,
    planned_text,
    printable,
    progress_lines,
    question_text,
    steps_text,
)
from langgraph_signoff.vocabulary import Json, Risk, Run, Standing, Ticket

_GREY, _AMBER, _GREEN, _RED, _BLUE = "127,127,127", "217,119,6", "22,163,74", "220,38,38", "37,99,235"

_STANDING = {
    Standing.PENDING: _AMBER,
    Standing.IN_DOUBT: _AMBER,
    Standing.APPROVED: _GREEN,
    Standing.EXECUTED: _GREEN,
    Standing.ANSWERED: _GREEN,
    Standing.RUNNING: _BLUE,
    Standing.UNDER_AUDIT: _BLUE,
    Standing.CONFIRMED: _GREEN,
    Standing.UNREVIEWED: _GREY,
}
_STATUS = {
    "completed": _GREEN,
    "pending_approval": _AMBER,
    "in_doubt": _AMBER,
    "halted": _RED,
    "waiting": _AMBER,
    "stalled": _AMBER,
}

_CARD = (
    "font:14px/1.45 system-ui,sans-serif;color:inherit;text-align:left;max-width:46em;margin:.5em 0;padding:.7em 1em;"
    "border:1px solid rgba(127,127,127,.35);border-left:4px solid rgb({});border-radius:6px;overflow-wrap:anywhere"
)
_CHIP = (
    "display:inline-block;max-width:100%;box-sizing:border-box;padding:0 .55em;margin:0 .4em .15em 0;border-radius:1em;"
    "background:rgba({},.18)"
)
_DIM = "opacity:.7;font-size:.9em"
_LONG = "white-space:pre-wrap;max-height:12em;overflow:auto"
_VALUE = f"font-family:ui-monospace,monospace;{_LONG}"
_NAME = (
    "width:8em;padding:.1em 1em .1em 0;vertical-align:top;text-align:left;font-weight:normal;background:none;opacity:.7"
)
_CELL = "padding:.1em 0;vertical-align:top;text-align:left;background:none"
# A fixed layout: a long name must not push its value out of the card.
_TABLE = (
    "table-layout:fixed;width:100%;border-collapse:collapse;margin:.4em 0;font-size:inherit;color:inherit;"
    "background:none;border:0"
)


def ticket_html(ticket: Ticket) -> str:
    """A ticket: what would happen, why a person is asked, with which arguments, and what there is to say."""
    colour = _STANDING.get(ticket.standing, _RED)
    parts = [
        _div(_chip(headline(ticket), colour) + _chip(ticket.reason_code, _GREY) + _dim(_due(ticket))),
        _div(_text(_title(ticket)), "font-size:1.15em;font-weight:600;margin:.25em 0"),
        _div("".join(_risk_chips(ticket.risk))),
        _rows(_arguments(ticket), value=_VALUE),
        _rows(_facts(ticket), value=_LONG),
        _div(_dim(_footer(ticket)), "margin-top:.3em"),
    ]
    return _div("".join(parts), _CARD.format(colour))


def run_html(run: Run) -> str:
    """A run: its status, what it did, what it asks, and the tickets it waits for."""
    colour = _STATUS.get(run.status, _RED)
    head = _chip(run.status, colour) + _text(f"thread {run.thread_id} ") + _dim(run.did)
    said = [("error", run.error)] if run.error else []
    said += [(f"asks {id_}", str(value)) for id_, value in run.questions.items()]
    card = _div(_div(head) + _rows(said, value=_VALUE), _CARD.format(colour))
    return card + "".join(map(ticket_html, run.tickets))


def _arguments(ticket: Ticket) -> list[tuple[str, str]]:
    if ticket.erased:
        return [("arguments", "(erased)")]
    if is_report(ticket):
        return [("report", to_markdown(ticket.args))]
    if is_question(ticket):
        shown = {key for key in ticket.args if key != "question" or ticket.description}
        return [(key, _words(value)) for key, value in ticket.args.items() if key in shown]
    if ticket.kind == "plan":
        return [("steps", steps_text(ticket))]
    return [(name, json.dumps(value, ensure_ascii=False)) for name, value in ticket.args.items()]


def _words(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _title(ticket: Ticket) -> str:
    return ticket.description or (question_text(ticket) if is_question(ticket) else ticket.tool)


def _facts(ticket: Ticket) -> list[tuple[str, str]]:
    facts = [
        ("asked", ticket.trigger),
        ("by", asked_by_text(ticket)),
        ("resource", ticket.resource or ""),
        ("takes", answer_text(ticket) if is_question(ticket) else ""),
        ("changed", difference_text(ticket)),
        ("detail", ticket.detail),
        *(("note", note) for note in ticket.notes),
        ("plan", planned_text(ticket)),
        ("grant", granted_text(ticket)),
        ("needs", needs_text(ticket)),
        *progress_lines(ticket),
    ]
    return [(name, text) for name, text in facts if text]


def _risk_chips(risk: Risk) -> Iterable[str]:
    if risk.reversible is not None:
        yield _chip("reversible", _GREEN) if risk.reversible else _chip("irreversible", _RED)
    if risk.stakes:
        yield _chip(f"{risk.stakes} stakes", {"low": _GREY, "medium": _AMBER, "high": _RED}[risk.stakes])
    if risk.blast_radius:
        yield _chip(f"touches {risk.blast_radius}", _RED if risk.blast_radius == "all" else _GREY)
    yield from (_chip(name, _GREY) for name in risk.compliance)


def _due(ticket: Ticket) -> str:
    due = due_text(ticket)
    return f"due {due}" if due else ""


def _footer(ticket: Ticket) -> str:
    digest = f" · digest {ticket.digest[:16]}" if ticket.options else ""
    return f"ticket {ticket.id[:SHORT_ID]} · {ticket.tool} · {ticket.rule}{digest}"


def _rows(rows: Iterable[tuple[str, str]], *, value: str) -> str:
    lines = "".join(
        f'<tr style="background:none"><th style="{_NAME}">{_text(name)}</th>'
        f'<td style="{_CELL}"><div style="{value}">{_text(text)}</div></td></tr>'
        for name, text in rows
    )
    return f'<table style="{_TABLE}"><tbody>{lines}</tbody></table>' if lines else ""


def _chip(text: str, colour: str) -> str:
    return f'<span style="{_CHIP.format(colour)}">{_text(text)}</span>'


def _dim(text: str) -> str:
    return f'<span style="{_DIM}">{_text(text)}</span>'


def _div(inner: str, style: str = "") -> str:
    return f'<div style="{style}">{inner}</div>' if inner else ""


def _text(text: str) -> str:
    return escape(printable(text))

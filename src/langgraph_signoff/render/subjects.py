"""What a ticket is about: a call, a question, a plan, a report, and the risk that the policy states."""

from __future__ import annotations

import json

from langgraph_signoff.justification import to_markdown
from langgraph_signoff.plan_text import REST, step_lines
from langgraph_signoff.render.text import arguments_text, patch_lines
from langgraph_signoff.vocabulary import Json, Risk, Ticket


def subject_lines(ticket: Ticket) -> list[tuple[str, str]]:
    """What it is about: a call, a question with all that the person is told and what fits as its answer, a report, a plan."""
    if is_report(ticket):
        return [("report", to_markdown(ticket.args))]
    if ticket.kind == "plan":
        return [("steps", steps_text(ticket))]
    if not is_question(ticket):
        return [("call", call_text(ticket))]
    context = "\n".join(_named(key, value) for key, value in ticket.args.items() if key != "question")
    return [("question", question_text(ticket)), ("context", context), ("takes", answer_text(ticket))]


def _named(name: str, value: Json) -> str:
    # What a value says may not look like the next name.
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{name}: " + text.replace("\n", "\n" + " " * (len(name) + 2))


def is_question(ticket: Ticket) -> bool:
    """Whether it asks a person something, and still knows what that was."""
    return ticket.kind == "question" and not ticket.erased


def question_text(ticket: Ticket) -> str:
    """What is asked."""
    return str(ticket.args.get("question", ""))


def answer_text(ticket: Ticket) -> str:
    """What fits as an answer."""
    schema = ticket.answer_schema
    if ticket.choices:
        return f"one of {', '.join(ticket.choices)}"
    if schema.get("type") == "string":
        return "a text"
    if "properties" not in schema:
        return f"JSON that fits {json.dumps(schema, ensure_ascii=False)}"
    needed = schema.get("required", ())
    return "JSON with " + ", ".join(name if name in needed else f"{name} (optional)" for name in schema["properties"])


def what_text(ticket: Ticket) -> str:
    """What it is about, in a line."""
    asked = f"{ticket.tool}: {question_text(ticket)}" if is_question(ticket) else call_text(ticket)
    return ticket.description or asked


def is_report(ticket: Ticket) -> bool:
    """Whether it asks for what a run has done as a whole, and still knows what that was."""
    return ticket.kind == "outcome" and not ticket.erased


def call_text(ticket: Ticket) -> str:
    """The call with its arguments as `name=value`, each value as JSON."""
    if ticket.erased:
        return f"{ticket.tool}(… erased)"
    return f"{ticket.tool}({arguments_text(ticket.args)})"


def steps_text(ticket: Ticket) -> str:
    """The steps of a plan, one line each."""
    return "(erased)" if ticket.erased else "\n".join([*step_lines(ticket.args), f"({REST})"])


def asked_by_text(ticket: Ticket) -> str:
    """Which agent asks, or which graph, and for whom."""
    return " for ".join(filter(None, (ticket.agent or ticket.graph, ticket.requester)))


def difference_text(ticket: Ticket) -> str:
    """What differs from the previous proposal, one line a change."""
    return "\n".join(patch_lines(ticket.difference))


def risk_text(risk: Risk) -> str:
    """What the policy states of the risk."""
    parts = [
        {None: "", True: "reversible", False: "irreversible"}[risk.reversible],
        f"{risk.stakes} stakes" if risk.stakes else "",
        f"touches {risk.blast_radius}" if risk.blast_radius else "",
        ", ".join(risk.compliance),
    ]
    return ", ".join(filter(None, parts))

"""How tickets and runs read as text: what a person needs to decide in ten seconds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime

from langgraph_signoff.durations import format_duration
from langgraph_signoff.justification import to_markdown
from langgraph_signoff.panels import panel_text
from langgraph_signoff.plan_text import REST, step_lines
from langgraph_signoff.vocabulary import (
    Decision,
    FollowUp,
    Grant,
    Json,
    Requirements,
    Reviewer,
    Risk,
    Ruling,
    Run,
    Standing,
    Stuck,
    Ticket,
    Tried,
    Verdict,
    Why,
)
from langgraph_signoff.vocabulary.base import plain

Lines = Iterable[tuple[str, str]]

_SAID = {
    Verdict.APPROVE: "approved",
    Verdict.REJECT: "rejected",
    Verdict.REVISE: "revised",
    Verdict.ANSWER: "answered",
    Verdict.COMMENT: "said",
    Verdict.CONFIRM: "confirmed",
    Verdict.FLAG: "flagged",
}

LABEL_WIDTH = 10  # columns of the labels of `ticket_lines`
SHORT_ID = 12  # characters of an id that are shown; the commands take any unique beginning


def ticket_text(ticket: Ticket) -> str:
    """A ticket as aligned lines."""
    return aligned(ticket_lines(ticket), width=LABEL_WIDTH)


def run_text(run: Run) -> str:
    """A run as its status and the tickets it waits for."""
    parts = [f"{run.status}: thread {run.thread_id}" + (f" ({run.did})" if run.did else "")]
    parts += [run.error] if run.error else []
    parts += [f"asks {id_}: {value}" for id_, value in run.questions.items()]
    return "\n\n".join([*parts, *(ticket_text(ticket) for ticket in run.tickets)])


def ticket_lines(ticket: Ticket) -> list[tuple[str, str]]:
    """What there is to say of a ticket: (label, text), the text may hold line breaks."""
    lines = [
        ("ticket", f"{ticket.id[:SHORT_ID]}  {headline(ticket)}"),
        ("what", ticket.description or ticket.tool),
        *subject_lines(ticket),
        ("why", f"{ticket.reason_code} ({ticket.rule})"),
        ("detail", ticket.detail),
        *(("note", note) for note in ticket.notes),
        ("risk", risk_text(ticket.risk)),
        ("asked by", " for ".join(filter(None, (ticket.agent or ticket.graph, ticket.requester)))),
        ("resource", ticket.resource or ""),
        ("trigger", ticket.trigger),
        ("changed", difference_text(ticket)),
        ("plan", planned_text(ticket)),
        ("grant", granted_text(ticket)),
        ("needs", needs_text(ticket)),
        ("due", due_text(ticket)),
        ("if late", late_text(ticket)),
        ("in hand", in_hand_text(ticket)),
        ("asked", "\n".join(inquiry_lines(ticket))),
        ("escalated", escalated_text(ticket)),
        ("waits for", waiting_text(ticket)),
        ("decided", "\n".join(decision_lines(ticket))),
        ("outcome", outcome_text(ticket)),
        ("undone", rollback_text(ticket)),
        ("about", f"ticket {ticket.about[:SHORT_ID]}" if ticket.about else ""),
        ("audit", f"ticket {ticket.audit[:SHORT_ID]}" if ticket.audit else ""),
        ("a flag", flag_text(ticket)),
        ("follow-up", follow_up_text(ticket.follow_up) if ticket.follow_up else ""),
        ("used", "\n".join(use_lines(ticket))),
        ("stands", stands_text(ticket)),
        ("checklist", checklist_text(ticket)),
        ("templates", templates_text(ticket)),
        ("options", ", ".join(ticket.options)),
        ("digest", ticket.digest[:16] if ticket.options else ""),
    ]
    return [(label, text) for label, text in lines if text]


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


def rollback_text(ticket: Ticket) -> str:
    """What came of undoing what a rejected run had done: a line for each action that is left."""
    if ticket.rollback is None:
        return ""
    left = [f"left for a person: {one.tool} ({one.ticket_id[:SHORT_ID]}), {one.why}" for one in ticket.rollback.left]
    return "\n".join([counted(len(ticket.rollback.undone), "action"), *left])


def headline(ticket: Ticket) -> str:
    """The standing, with the generation if there were several."""
    return str(ticket.standing) + (f", generation {ticket.generation}" if ticket.generation > 1 else "")


def call_text(ticket: Ticket) -> str:
    """The call with its arguments as `name=value`, each value as JSON."""
    if ticket.erased:
        return f"{ticket.tool}(… erased)"
    arguments = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in ticket.args.items())
    return f"{ticket.tool}({arguments})"


def steps_text(ticket: Ticket) -> str:
    """The steps of a plan, one line each."""
    return "(erased)" if ticket.erased else "\n".join([*step_lines(ticket.args), f"({REST})"])


def planned_text(ticket: Ticket) -> str:
    """Which step of which plan lets a call run; empty if none does."""
    place = ticket.planned
    return (
        f"step {place.step} of plan {place.plan[:SHORT_ID]}, approved by {', '.join(place.approved_by)}"
        if place
        else ""
    )


def granted_text(ticket: Ticket) -> str:
    """Which grant lets a call run, or keeps it from running; empty if none does."""
    found = ticket.granted
    if found is None:
        return ""
    did = "rejected" if ticket.standing is Standing.DENIED else "permitted"
    return f"{did} by {grant_id(found.grant)} of {' and '.join(found.by)}, until {time_text(found.until)}"


def grant_id(id_: str) -> str:
    """The id of a grant as it is shown."""
    return id_[: len("grant-") + SHORT_ID]


def grant_text(grant: Grant) -> str:
    """A grant as aligned lines."""
    return aligned(grant_lines(grant), width=LABEL_WIDTH)


def grant_lines(grant: Grant) -> list[tuple[str, str]]:
    """What there is to say of a grant: (label, text)."""
    lines = [
        ("grant", f"{grant_id(grant.id)}  {_EFFECT[grant.effect]}"),
        ("call", grant_call_text(grant)),
        ("of", " for ".join(filter(None, (grant.agent, grant.requester)))),
        ("resource", grant.resource or ""),
        ("given by", f"{' and '.join(grant.given_by)} at {time_text(grant.at)}: {grant.reason}"),
        ("ticket", grant.ticket[:SHORT_ID]),
        ("until", time_text(grant.until)),
        ("used", grant_use_text(grant)),
        ("ended", grant.ended),
        ("waits for", "" if grant.is_backed or grant.ended else "somebody else to second it"),
    ]
    return [(label, text) for label, text in lines if text]


_EFFECT = {"allow": "permits", "reject": "rejects"}


def grant_call_text(grant: Grant) -> str:
    """Which calls a grant is about."""
    if grant.args is None:
        return f"{grant.tool} when {grant.when}" if grant.when else f"{grant.tool} (erased)"
    arguments = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in grant.args.items())
    return f"{grant.tool}({arguments})"


def grant_use_text(grant: Grant) -> str:
    """How much of a grant is used, of how much there is."""
    uses = f"{grant.used} of {counted(grant.uses, 'time')}" if grant.uses else counted(grant.used, "time")
    spent = f", {plain(grant.spent)} of {plain(grant.total.limit)} by {grant.total.sum}" if grant.total else ""
    return f"{uses}{spent}"


def use_lines(ticket: Ticket) -> list[str]:
    """The calls that ran on a plan, one line each."""
    return [f"step {use.step} at {time_text(use.at)}, by ticket {use.ticket[:SHORT_ID]}" for use in ticket.uses]


def stands_text(ticket: Ticket) -> str:
    """How long an approved plan stands, or why it does no more."""
    if ticket.ended:
        return f"no more: {ticket.ended}"
    return f"until {time_text(ticket.due_at)}" if ticket.due_at and ticket.standing is Standing.EXECUTED else ""


def risk_text(risk: Risk) -> str:
    """What the policy states of the risk."""
    parts = [
        {None: "", True: "reversible", False: "irreversible"}[risk.reversible],
        f"{risk.stakes} stakes" if risk.stakes else "",
        f"touches {risk.blast_radius}" if risk.blast_radius else "",
        ", ".join(risk.compliance),
    ]
    return ", ".join(filter(None, parts))


def needs_text(ticket: Ticket) -> str:
    """Who must say what; empty when nobody is asked."""
    needs = ticket.requirements
    if not ticket.options:
        return ""
    is_doubt, is_asked = ticket.standing is Standing.IN_DOUBT, ticket.kind in ("question", "audit")
    noun = {"question": "equal answer", "audit": "confirmation"}.get(ticket.kind, "approval")
    is_one_answer = is_doubt or (ticket.kind == "question" and needs.approvals == 1)
    said = "1 answer" if is_one_answer else counted(needs.approvals, noun)
    by = f" by {_reviewers(needs)}" if needs.reviewers or not needs.panels else ""
    parts = [said + by + "".join(f": {panel_text(panel)}" for panel in needs.panels if not is_one_answer)]
    parts += [f"not the {part.replace('_', ' ')}" for part in needs.barred]
    parts += [f"read for {format_duration(needs.read_for)}"] if needs.read_for and not is_doubt else []
    parts += ["with a reason"] if needs.reason == "required" else []
    parts += [] if is_doubt or is_asked else [f"to be used within {format_duration(needs.use_within)}"]
    return ", ".join(parts)


def flag_text(ticket: Ticket) -> str:
    """What a flag would set off."""
    if ticket.on_flag is None or not ticket.options:
        return ""
    calls = f"calls {ticket.on_flag.tool}" if ticket.on_flag.tool else "alerts"
    return "undoes it" if ticket.on_flag.undo else calls


def _reviewers(requirements: Requirements) -> str:
    clauses = [" or ".join(clause) for clause in requirements.reviewers]
    if len(clauses) > 1:
        clauses = [f"({clause})" if " or " in clause else clause for clause in clauses]
    return " and ".join(clauses) or "anybody"


def counted(count: int, noun: str) -> str:
    """A count with its noun, such as `1 entry` and `2 entries`."""
    several = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count} {noun if count == 1 else several}"


def follow_up_text(found: FollowUp) -> str:
    """What has come of a flag, in a line."""
    tickets = ", ".join(f"ticket {ticket[:SHORT_ID]}" for ticket in found.tickets)
    parts = {
        "undo": ("undone", tickets),
        "call": ("called", tickets),
        "alert": ("a person must look to it", found.why),
        "wait": ("waits for", ", ".join(filter(None, (tickets, found.why)))),
        "left": ("left", found.why),
    }[found.did]
    return ": ".join(filter(None, parts))


def difference_text(ticket: Ticket) -> str:
    """What differs from the previous proposal, one line a change."""
    return "\n".join(patch_lines(ticket.difference))


def patch_lines(patch: Iterable[dict[str, object]]) -> list[str]:
    """A JSON Patch, one line an operation."""
    return [
        f"{operation['path']} {operation['op']}"
        + (f" {json.dumps(operation['value'], ensure_ascii=False)}" if "value" in operation else "")
        for operation in patch
    ]


def due_text(ticket: Ticket) -> str:
    """When silence changes something."""
    if ticket.due_at is None or ticket.standing is Standing.EXECUTED:
        return ""
    business = ticket.requirements.business if ticket.standing is Standing.PENDING else ""
    within = "by the end of the working day" if business == "end_of_day" else f"within {business} of business time"
    return time_text(ticket.due_at) + (f", {within}" if business else "")


def late_text(ticket: Ticket) -> str:
    """What comes if nobody decides: who may too from when on, and what is called at the end."""
    needs = ticket.requirements
    if ticket.standing is not Standing.PENDING or ticket.due_at is None:
        return ""
    span = ticket.due_at - ticket.opened_at
    parts = [f"{', '.join(s.to)} from {time_text(ticket.opened_at + s.at * span)} on" for s in needs.escalations]
    parts += [f"{needs.on_timeout.tool} is called instead" if needs.on_timeout != "deny" else ""]
    return "; ".join(filter(None, parts))


def in_hand_text(ticket: Ticket) -> str:
    """Who has it, and until when."""
    parts = [f"assigned to {ticket.assignee}" if ticket.assignee else ""]
    parts += [f"taken by {ticket.taker} until {time_text(ticket.taken_until)}" if ticket.taker else ""]
    return ", ".join(filter(None, parts))


def escalated_text(ticket: Ticket) -> str:
    """Who may decide it too by now."""
    return f"to {', '.join(ticket.escalated_to)}" if ticket.escalated_to else ""


def waiting_text(ticket: Ticket) -> str:
    """Whose approval is missing yet, once somebody has said something."""
    return " and ".join(ticket.waits_for) if ticket.decisions else ""


def checklist_text(ticket: Ticket) -> str:
    """What an approval must answer, one numbered line an item."""
    items = ticket.requirements.checklist if ticket.options else ()
    return "\n".join(f"{n}. {item}" for n, item in enumerate(items, start=1))


def templates_text(ticket: Ticket) -> str:
    """The reasons at hand for who decides it, one line each."""
    return "\n".join(f"{name}: {text}" for name, text in ticket.templates.items()) if ticket.options else ""


def reviewers_text(reviewers: Sequence[Reviewer]) -> str:
    """Who may decide, a line each, those who may first; that anybody may where the policy names nobody."""
    if not reviewers:
        return "anybody: the policy names no people, so any name is believed"
    width = max(len(one.name) for one in reviewers)
    listed = sorted(reviewers, key=lambda one: not one.may)
    return "\n".join(
        f"{'may' if one.may else 'may not':>7}  {one.name:{width}}  {printable(one.why)}" for one in listed
    )


def stuck_text(stuck: Stuck) -> str:
    """Why a ticket does not move, in words."""
    who = stuck.ticket.taker or stuck.ticket.assignee
    return {
        "dead": "its runner is gone",
        "in_doubt": "in doubt",
        "unused": "approved, not used",
        "in_hand": f"in the hand of {who}",
        "unwoken": "its thread could go on",
    }[stuck.why]


def why_lines(why: Why) -> list[tuple[str, str]]:
    """Why a ticket was ruled as it was: (label, text), the text may hold line breaks."""
    read = [f"{place} = {json.dumps(value, ensure_ascii=False)}" for place, value in why.read.items()]
    lines = [
        ("ticket", why.ticket_id[:SHORT_ID]),
        ("ruled", ruling_text(why.ruling)),
        ("detail", why.ruling.detail),
        ("rule", json.dumps(why.written, ensure_ascii=False) if why.written is not None else ""),
        ("looked at", "\n".join(map(_tried_text, why.tried))),
        ("read", "\n".join(read)),
        *(("note", note) for note in why.notes),
        ("but", why.doubt),
        ("now", f"it would be {ruling_text(why.now)}{_needs_more(why)}" if why.now else ""),
    ]
    return [(label, text) for label, text in lines if text]


def ruling_text(ruling: Ruling) -> str:
    """A ruling with its reason, its rule and its policy."""
    return f"{ruling.word} ({ruling.reason_code}, {ruling.rule}) by policy {ruling.policy_version[:SHORT_ID]}"


def _tried_text(tried: Tried) -> str:
    said = f"{tried.said}: {tried.error}" if tried.error else tried.said
    return f"{tried.rule}  {tried.then}" + (f" when {tried.when.strip()}  ({said})" if tried.when else "")


def _needs_more(why: Why) -> str:
    return f"; it would need other {', '.join(why.needs)}" if why.needs else ""


def inquiry_lines(ticket: Ticket) -> list[str]:
    """What reviewers wanted to know, and were told."""
    return [
        f"{each.by} asked {each.of}: {each.text}"
        + (f"\n  {each.answered_by}: {each.answer}" if each.answered_by else "\n  (no answer yet)")
        for each in ticket.inquiries
    ]


def decision_lines(ticket: Ticket) -> list[str]:
    """Who said what, when and why."""
    lines = []
    for decision in ticket.decisions:
        lines.append(
            f"{decision.who} {_SAID[decision.verdict]}{_answer(ticket, decision)} at {time_text(decision.at)}"
            + (f": {decision.reason}" if decision.reason else "")
        )
        lines += [f"  {item}: {answer}" for item, answer in decision.checked.items()]
        lines += [f"  {line}" for line in patch_lines(decision.patch)]
    return lines


def _answer(ticket: Ticket, decision: Decision) -> str:
    if decision.verdict is not Verdict.ANSWER:
        return ""
    return " (erased)" if ticket.erased else f" {json.dumps(decision.answer, ensure_ascii=False)}"


def outcome_text(ticket: Ticket) -> str:
    """What came of it."""
    outcome = ticket.outcome
    if outcome is None:
        return "nobody knows whether it happened" if ticket.standing is Standing.IN_DOUBT else ""
    result = outcome.error or ("(erased)" if ticket.erased else json.dumps(outcome.result, ensure_ascii=False))
    return f"{outcome.standing} at {time_text(outcome.at)}: {result}" + (f" (says {outcome.by})" if outcome.by else "")


def time_text(moment: datetime | None) -> str:
    """A moment to the second, in UTC."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else ""


def aligned(lines: Lines, *, width: int) -> str:
    """Labels of that width with their texts beside them: no line of a text stands where a label would."""
    return "\n".join(f"{label:>{width}}  {line}" for label, line in _broken(lines))


def _broken(lines: Lines) -> Iterable[tuple[str, str]]:
    for label, text in lines:
        for place, line in enumerate(printable(text).split("\n")):
            yield (label if place == 0 else ""), line


def printable(text: str) -> str:
    """Text without control characters and direction marks, so that an argument cannot repaint a terminal."""
    return "".join(c if c == "\n" or c.isprintable() else f"\\x{ord(c):02x}" for c in text)

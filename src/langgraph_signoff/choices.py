"""A check of the record: whether what ran was chosen for an audit as the policy and the secret say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from langgraph_signoff import law
from langgraph_signoff.entries import Entry
from langgraph_signoff.law import Case, Choice
from langgraph_signoff.ledger import Ledger


def wrong_choice(ledger: Ledger, case: Case, history: Sequence[Entry]) -> Iterator[str]:
    """Says what is wrong with the choice that a ticket tells of, or with the audit that has come of it."""
    if case.kind == "audit":
        yield from _wrong_audit(ledger, case)
    elif case.look:
        ran = next((entry for entry in history if law.is_run(entry)), None)
        if ran and not any(entry.kind == "erased" for entry in history[: ran.seq]):
            yield from _wrong_run(ledger, case, ran)


def _wrong_audit(ledger: Ledger, case: Case) -> Iterator[str]:
    if case.id != law.audit_id(case.about) or not ledger.rows([case.about]):
        yield f"ticket {case.id:.12} is the audit of an action that is not on record"


def _wrong_run(ledger: Ledger, case: Case, ran: Entry) -> Iterator[str]:
    name, audit = f"ticket {case.id:.12}", case.look
    if audit is None or "audit" not in ran.body:
        yield f"{name} ran, and no entry says whether it was chosen for an audit"
        return
    said = Choice(**ran.body["audit"])
    entry, tool = law.entry_of(case.ruling.rule), case.opening["tool"]
    if said.earlier > ledger.audited(entry, tool, audit.new_until):
        yield f"{name} counts {said.earlier} audits of {tool} before it, and there are fewer"
    if said != law.choose(audit, drawn=law.draw(ledger.secret(), case.id), earlier=said.earlier):
        yield f"{name} says {said.why} of its audit, and the policy and the secret say otherwise"
    opened = ledger.history(law.audit_id(case.id))
    if said.is_audited != bool(opened):
        yield f"{name} was {'' if opened else 'not '}audited, and its choice says otherwise"
    elif opened and opened[0].body.get("ran") != ran.hash:
        yield f"{name} has the audit of another outcome"
    elif opened and opened[0].body.get("approved_by", []) != list(case.hands):
        yield f"{name} was approved by others than its second look says"

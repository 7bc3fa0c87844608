"""`approve`, `reject`, `revise` and the others: what a person says of a ticket goes on record, and wakes nobody."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import typer

from langgraph_signoff import law
from langgraph_signoff.cli import screen
from langgraph_signoff.cli.asking import ask
from langgraph_signoff.cli.batches import or_together
from langgraph_signoff.cli.care import CHECKS, TEMPLATE, Reading, answers, once_more, reason_of
from langgraph_signoff.cli.command import DECIDES, ELSEWHERE, Body, command
from langgraph_signoff.cli.exits import Unusable
from langgraph_signoff.cli.options import REASON, TICKET
from langgraph_signoff.cli.shell import Shell, read_json, read_object
from langgraph_signoff.errors import IncompleteDecision
from langgraph_signoff.law.grants import GRANT
from langgraph_signoff.render import SHORT_ID, grant_text, printable
from langgraph_signoff.vocabulary import SHORTEST_DIGEST, Answer, Ticket, Verdict

DIGEST = Annotated[
    str | None,
    typer.Option(
        "--digest", metavar="DIGEST", help=f"What you saw: the digest, or its first {SHORTEST_DIGEST}+ characters."
    ),
]


GRANT_FOR = Annotated[
    str | None,
    typer.Option("--grant", metavar="SPAN", help="Say the same of all such calls for this long, such as 30d."),
]
GRANT_USES = Annotated[int | None, typer.Option("--grant-uses", metavar="N", help="With --grant: of so many at most.")]


@or_together(Verdict.APPROVE)
def approve(
    shell: Shell,
    ticket: TICKET,
    digest: DIGEST = None,
    reason: REASON = "",
    template: TEMPLATE = None,
    checks: CHECKS = None,
    grant: GRANT_FOR = None,
    grant_uses: GRANT_USES = None,
) -> None:
    """Approve a call as it was shown.

    Name what you saw with --digest, as `show` prints it; on a terminal you are shown the ticket and asked instead.
    """
    given = _given(shell, grant, grant_uses)
    seen = shell.desk.ticket(ticket)
    say: Any = shell.desk.approve if given is None else partial(shell.signoff.approve, grant=given)
    say = partial(say, seen, by=shell.by, reason=reason_of(seen, template, reason))
    _agree(shell, seen, say, digest, checks or ())


@or_together(Verdict.REJECT)
def reject(
    shell: Shell,
    ticket: TICKET,
    digest: DIGEST = None,
    reason: REASON = "",
    template: TEMPLATE = None,
    grant: GRANT_FOR = None,
    grant_uses: GRANT_USES = None,
) -> None:
    """Reject a call: it does not run, and the agent is told why."""
    given = _given(shell, grant, grant_uses)
    seen = shell.desk.ticket(ticket)
    named = _named(shell, seen, digest) if digest is not None else None
    reason = _reason(shell, seen, reason_of(seen, template, reason))
    if given is None:
        _tell(shell, shell.desk.reject(seen, by=shell.by, reason=reason, if_digest=named))
    else:
        _tell(shell, shell.signoff.reject(seen, by=shell.by, reason=reason, if_digest=named, grant=given))


def answer(
    shell: Shell,
    ticket: TICKET,
    value: Annotated[
        str | None,
        typer.Argument(metavar="ANSWER", help="The words, or one of the options; JSON where a form is asked for."),
    ] = None,
    digest: DIGEST = None,
    reason: REASON = "",
) -> None:
    """Answer a question of an agent.

    Name what you saw with --digest, as `show` prints it; on a terminal you are shown the question and asked instead.
    """
    seen = shell.desk.ticket(ticket)
    if value is None:
        value, named = _prompted(shell, seen), digest or seen.digest
    else:
        named = _named(shell, seen, digest, question=f"Answer {printable(value)} as {shell.by}?")
    given = (
        law.worded(seen.answer_schema, value) if "answer" in seen.options else value
    )  # the law says why it is refused
    reason = _reason(shell, seen, reason)
    _tell(shell, shell.desk.answer(seen, given, by=shell.by, reason=reason, if_digest=named))


def revise(
    shell: Shell,
    ticket: TICKET,
    args: Annotated[
        str | None, typer.Option("--args", metavar="JSON", help="Approve with these arguments instead; others stay.")
    ] = None,
    edit: Annotated[bool, typer.Option("--edit", help="Edit the arguments in $VISUAL or $EDITOR.")] = False,
    feedback: Annotated[
        str | None, typer.Option("--feedback", metavar="TEXT", help="Send it back with these words.")
    ] = None,
    digest: DIGEST = None,
    reason: REASON = "",
) -> None:
    """Change a call's arguments, or send it back with words.

    Needs one of --args, --edit and --feedback. A change counts as your approval if you may approve it: with --args it needs
    --digest, or a terminal to ask you.
    """
    if (args is not None) + edit + (feedback is not None) != 1:
        raise Unusable("give one of --args, --edit and --feedback")
    seen = shell.desk.ticket(ticket)
    if feedback is not None:
        if not feedback.strip():
            raise IncompleteDecision("to send it back takes words: --feedback TEXT")
        named = _named(shell, seen, digest) if digest is not None else None
        _tell(shell, shell.desk.revise(seen, by=shell.by, feedback=feedback, reason=reason, if_digest=named))
        return
    change = read_object(args, "--args") if args is not None else None
    if change is None:
        named = _named(shell, seen, digest) if digest is not None else None
        change = _edited(shell, seen)
    else:
        named = _named(shell, seen, digest, question=f"Change it to {printable(args or '')} as {shell.by}?")
    reason = _reason(shell, seen, reason)
    _tell(shell, shell.desk.revise(seen, by=shell.by, args=change, reason=reason, if_digest=named))


def confirm(
    shell: Shell,
    ticket: TICKET,
    digest: DIGEST = None,
    reason: REASON = "",
    template: TEMPLATE = None,
    checks: CHECKS = None,
) -> None:
    """Say that an action under audit was right.

    Name what you saw with --digest, as `show` prints it; on a terminal you are shown the ticket and asked instead.
    """
    seen = shell.desk.ticket(ticket)
    say = partial(shell.desk.confirm, seen, by=shell.by, reason=reason_of(seen, template, reason))
    _agree(shell, seen, say, digest, checks or ())


def flag(shell: Shell, ticket: TICKET, digest: DIGEST = None, reason: REASON = "") -> None:
    """Say that an action under audit was wrong, and set off what the policy wants then."""
    seen = shell.desk.ticket(ticket)
    named = _named(shell, seen, digest) if digest is not None else None
    reason = _reason(shell, seen, reason)
    _tell(shell, shell.desk.flag(seen, by=shell.by, reason=reason, if_digest=named))


def comment(
    shell: Shell, ticket: TICKET, text: Annotated[str, typer.Argument(metavar="TEXT", help="What to note.")]
) -> None:
    """Leave a note on a ticket; it changes nothing."""
    noted = shell.desk.comment(ticket, by=shell.by, text=text)
    shell.tell(noted, lambda: f"{noted.id[:SHORT_ID]}  noted, by {shell.by}")


def withdraw(shell: Shell, ticket: TICKET, reason: REASON = "") -> None:
    """Abandon a ticket that is not running; the call never runs. A plan ends: from then on its calls are asked about."""
    _tell(shell, shell.signoff.withdraw(ticket, by=shell.by, reason=reason))


def erase(
    shell: Shell,
    ticket: TICKET,
    reason: Annotated[
        str, typer.Option("--reason", "-r", metavar="TEXT", help="Why; it must be given, and stays on record.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase what a finished ticket, or a grant that has ended, was about, for good.

    Arguments, words and result go; that there was a ticket, who erased it and why stay, and the record still verifies.
    """
    if not yes and not shell.asks:
        raise IncompleteDecision("what is erased does not come back: give --yes")
    if ticket.startswith(GRANT):
        if not yes:
            ask(f"Erase {printable(ticket)} for good as {shell.by}?")
        erased = shell.signoff.erase_grant(ticket, by=shell.by, reason=reason)
        shell.tell(erased, lambda: grant_text(erased))
        return
    seen = shell.signoff.ticket(ticket)
    if not yes:
        screen.show_ticket(seen)
        ask(f"Erase it for good as {shell.by}?")
    _tell(shell, shell.signoff.erase(seen, by=shell.by, reason=reason))


def settle(
    shell: Shell,
    ticket: TICKET,
    answer: Annotated[
        Answer, typer.Argument(metavar="ANSWER", help="Whether it happened; what did not happen is run.")
    ],
    result: Annotated[
        str | None, typer.Option("--result", metavar="JSON", help="What it gave, if it happened.")
    ] = None,
    reason: REASON = "",
) -> None:
    """Say whether a call in doubt has happened."""
    if result is not None and answer is not Answer.HAPPENED:
        raise Unusable("--result goes with `happened` only")
    gave = read_json(result, "--result") if result is not None else None
    _tell(shell, shell.desk.settle(ticket, answer, by=shell.by, reason=reason, result=gave))


_HERE: tuple[Body, ...] = (withdraw, erase)
"""What is said where the ledger is."""


def register(app: typer.Typer) -> None:
    """Adds these commands."""
    bodies: dict[str, Body] = {"approve": approve, "reject": reject, "revise": revise, "answer": answer}
    bodies |= {"confirm": confirm, "flag": flag}
    bodies |= {"comment": comment, "withdraw": withdraw, "settle": settle, "erase": erase}
    for name, body in bodies.items():
        command(app, name, *DECIDES, *(() if body in _HERE else ELSEWHERE))(body)


def _given(shell: Shell, span: str | None, uses: int | None) -> dict[str, object] | None:
    if span is None:
        if uses is not None:
            raise Unusable("--grant-uses goes with --grant SPAN")
        return None
    if shell.url is not None:
        raise Unusable("--grant works on a ledger's file: run it where that is, without --url")
    return {"until": span, "uses": uses}


def _agree(shell: Shell, seen: Ticket, say: partial[Ticket], digest: str | None, checks: Sequence[str]) -> None:
    """Approves or confirms: what is shown here is asked about, read for a while, and held against the checklist."""
    reading = Reading(is_shown=digest is None)
    named = _named(shell, seen, digest, question=f"{'Confirm' if seen.about else 'Approve'} it as {shell.by}?")
    checked, reason = answers(shell, seen, checks), _reason(shell, seen, say.keywords["reason"])

    def decide() -> Ticket:
        return say(reason=reason, if_digest=named, checked=checked, read_for=reading.span)

    _tell(shell, once_more(shell, decide, is_shown=digest is None))


def _named(shell: Shell, seen: Ticket, digest: str | None, *, question: str = "") -> str:
    """The digest that the person names; without one they are shown the ticket and asked."""
    if digest is not None:
        if len(digest) < SHORTEST_DIGEST:
            raise IncompleteDecision(
                f"give at least {SHORTEST_DIGEST} characters of the digest, as `signoff show` prints it"
            )
        return digest
    if not shell.asks:
        raise IncompleteDecision(f"name what you saw: give --digest as `signoff show {seen.id[:SHORT_ID]}` prints it")
    if seen.options:
        screen.show_ticket(seen)
        ask(question)
    return seen.digest


def _prompted(shell: Shell, seen: Ticket) -> str:
    if "answer" not in seen.options:
        return ""
    if not shell.asks:
        raise IncompleteDecision(f"say what you answer: signoff answer {seen.id[:SHORT_ID]} ANSWER --digest DIGEST")
    screen.show_ticket(seen)
    return str(typer.prompt(f"Your answer as {shell.by}"))


def _reason(shell: Shell, seen: Ticket, reason: str) -> str:
    if reason or not shell.asks or not seen.options or seen.requirements.reason == "optional":
        return reason
    return str(typer.prompt("Why?"))


def _edited(shell: Shell, seen: Ticket) -> dict[str, object]:
    from langgraph_signoff.cli.editor import edited

    return edited(seen, ask=shell.asks)


def _tell(shell: Shell, ticket: Ticket) -> None:
    shell.tell(ticket, lambda: _said(ticket, shell))


def _said(ticket: Ticket, shell: Shell) -> str:
    call = f"{ticket.id[:SHORT_ID]}  {ticket.standing}  {ticket.tool}, by {shell.by}"
    if ticket.erased:
        return f"{call}; erased"
    if ticket.ended:
        return f"{call}; the plan stands no more: {ticket.ended}"
    if not ticket.options:
        return call if ticket.about else f"{call}\n{_next(ticket, shell)}"
    if ticket.kind == "question":
        return f"{call}; it takes {ticket.requirements.approvals} equal answers, and waits for somebody else"
    if ticket.waits_for:
        return f"{call}; it waits for {' and '.join(ticket.waits_for)}"
    verb, count = ("confirmations" if ticket.about else "approvals"), len(ticket.approved_by)
    return f"{call}; {count} of {ticket.requirements.approvals} {verb}, it waits for somebody else"


def _next(ticket: Ticket, shell: Shell) -> str:
    place = f" --ledger {shlex.quote(str(shell.ledger))}" if shell.ledger else ""
    place = f" --url {shlex.quote(shell.url)}" if shell.url else place
    others = ", ".join(other.id[:SHORT_ID] for other in shell.desk.pending(thread_id=ticket.thread_id))
    when = f"once {others} is decided, the" if others else "the"
    return f"{when} run goes on with: signoff{place} resume --thread {shlex.quote(ticket.thread_id)}"

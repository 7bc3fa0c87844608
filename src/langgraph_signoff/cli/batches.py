"""`approve --all` and `reject --all`: several tickets shown as a table, and decided together."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from langgraph_signoff.cli import screen
from langgraph_signoff.cli.asking import ask
from langgraph_signoff.cli.command import Body
from langgraph_signoff.cli.exits import NO, Unusable
from langgraph_signoff.cli.options import TICKET
from langgraph_signoff.cli.shell import Shell
from langgraph_signoff.errors import IncompleteDecision
from langgraph_signoff.render import SHORT_ID, counted, printable, time_text, what_text
from langgraph_signoff.vocabulary import Batch, Ticket, Verdict

_OPTIONS: dict[str, tuple[Any, Any]] = {
    "everything": (
        Annotated[bool, typer.Option("--all", help="Decide together all that fit the options below, instead of ID.")],
        False,
    ),
    "queue": (Annotated[str | None, typer.Option(metavar="NAME", help="With --all: only of this queue.")], None),
    "tool": (Annotated[str | None, typer.Option(metavar="NAME", help="With --all: only of this tool.")], None),
    "reason_code": (
        Annotated[
            str | None, typer.Option("--because", metavar="CODE", help="With --all: only with this reason code.")
        ],
        None,
    ),
    "condition": (
        Annotated[
            str,
            typer.Option(
                "--if", metavar="CEL", help="With --all: only what this holds of, such as `args.amount < 10.0`."
            ),
        ],
        "",
    ),
    "limit": (Annotated[int, typer.Option(min=1, max=500, metavar="N", help="With --all: at most so many.")], 50),
    "yes": (Annotated[bool, typer.Option("--yes", help="With --all: do not ask.")], False),
}

_HELP = """

With --all, tickets of one tool and one reason code are shown as a table and decided together, each by the digest that was shown,
each with its own entry. What is irreversible, has high stakes or needs more than one approval is decided by itself; what has
changed between the table and the word is left out and named.
"""


def or_together(verdict: Verdict) -> Callable[[Body], Body]:
    """Lets a command that decides one ticket decide several together."""

    def wrap(body: Body) -> Body:
        def run(shell: Shell, ticket: str | None = None, **given: Any) -> None:
            batch = {name: given.pop(name) for name in _OPTIONS}
            if not batch.pop("everything"):
                if ticket is None or any(value != _OPTIONS[name][1] for name, value in batch.items()):
                    raise Unusable(
                        "name a ticket, or give --all; --queue, --tool, --because, --if, --limit and --yes go with --all"
                    )
                return body(shell, ticket, **given)
            reason = given.pop("reason")
            if ticket is not None or any(value not in (None, []) for value in given.values()):
                raise Unusable(
                    "--all goes with no ID, --digest, --grant, --template or --check: the table shows what is decided"
                )
            return _decide(shell, verdict, reason, **batch)

        shell, ticket, *own = inspect.signature(body, eval_str=True).parameters.values()
        optional = ticket.replace(annotation=_OPTIONAL_TICKET, default=None)
        more = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, (annotation, default) in _OPTIONS.items()
        ]
        own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
        run.__signature__ = inspect.Signature([shell, optional, *own, *more])  # type: ignore[attr-defined]  # functions may carry one
        run.__doc__ = f"{inspect.cleandoc(body.__doc__ or '')}{_HELP}"
        return run

    return wrap


_OPTIONAL_TICKET = Annotated[str | None, *TICKET.__metadata__]


def _decide(shell: Shell, verdict: Verdict, reason: str, *, limit: int, yes: bool, **chosen: Any) -> None:
    if not yes and not shell.asks:
        raise IncompleteDecision(
            "a table is shown on a terminal only: give --yes to decide what fits without being asked"
        )
    signoff, by = shell.signoff, shell.by
    batch = signoff.batch(verdict, by=by, reason=reason, limit=limit, **chosen)
    if not shell.json:
        _show(batch)
    if not batch.tickets:
        _say_nothing(shell, batch)
    if not yes:
        ask(f"{verdict.capitalize()} {counted(len(batch.tickets), 'ticket')} as {by}?")
    _tell(shell, batch, signoff.decide_together(batch))


def _show(batch: Batch) -> None:
    if batch.tickets:
        screen.show_table(["id", "digest", "due", "what"], list(map(_cells, batch.tickets)), left=4)
    _name_left_out(batch, "left out")
    if batch.more:
        print("(there are more; as many with --limit)")


def _cells(ticket: Ticket) -> list[str]:
    return [ticket.id[:SHORT_ID], ticket.digest[:16], time_text(ticket.due_at), what_text(ticket)]


def _name_left_out(batch: Batch, how: str) -> None:
    for each in batch.left_out:
        print(printable(f"{how}: {each.ticket_id[:SHORT_ID]}: {each.why}").replace("\n", " / "))


def _say_nothing(shell: Shell, batch: Batch) -> None:
    empty = "nothing of it can be decided together" if batch.left_out else "nothing that waits fits"
    shell.tell({"decided": [], "left_out": batch.left_out}, lambda: empty)
    raise typer.Exit(NO)


def _tell(shell: Shell, shown: Batch, done: Batch) -> None:
    if shell.json:
        shell.tell({"decided": done.tickets, "left_out": [*shown.left_out, *done.left_out]}, str)
    else:
        # As a person says it: a ticket may stand otherwise, where more rejections are asked for.
        said = {Verdict.APPROVE: "approved", Verdict.REJECT: "rejected"}[done.verdict]
        print(printable(f"{counted(len(done.tickets), 'ticket')} {said}, by {done.by}"))
        _name_left_out(done, "left out meanwhile")
        if done.tickets:
            print("the runs go on with: signoff resume --all")
    if done.left_out:
        raise typer.Exit(NO)

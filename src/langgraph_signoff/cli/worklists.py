"""`list --mine`, `--overdue` and `--stuck`: the lists that an operator works off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from langgraph_signoff.cli import screen
from langgraph_signoff.cli.exits import Unusable
from langgraph_signoff.cli.shell import Shell, to_span
from langgraph_signoff.render import printable, stuck_text
from langgraph_signoff.vocabulary import Stuck, Ticket


@dataclass(frozen=True, kw_only=True)
class Worklist:
    """One of these lists, at most so long; `where` narrows it to a queue, a thread or a tool."""

    shell: Shell
    limit: int
    where: Mapping[str, str | None]
    audits: bool
    span: str

    def show(self, name: str) -> None:
        """Prints it."""
        found, empty = {"mine": self._mine, "overdue": self._overdue, "stuck": self._stuck}[name]()
        shown = found[: self.limit]
        if self.shell.json:
            self.shell.tell(shown, str)
        elif not found:
            print(printable(empty))
        else:
            tickets = [each.ticket if isinstance(each, Stuck) else each for each in shown]
            why = self._stays(shown) if name == "stuck" else self._late(tickets) if name == "overdue" else {}
            screen.show_list(tickets, now=self.shell.now, more=len(found) > self.limit, filtered=True, why=why)
            if name == "overdue":
                print("`signoff expire` writes it down, and says which runs to wake")

    def _mine(self) -> tuple[Sequence[Ticket | Stuck], str]:
        desk, by = self.shell.desk, self.shell.by
        found = desk.mine(by=by, audits=self.audits, limit=self.limit + 1, **self.where)
        return found, f"nothing waits for {by}"

    def _overdue(self) -> tuple[Sequence[Ticket | Stuck], str]:
        return self.shell.desk.overdue(limit=self.limit + 1, **self.where), "nothing is overdue"

    def _stuck(self) -> tuple[Sequence[Ticket | Stuck], str]:
        if any(self.where.values()):
            raise Unusable("--stuck looks at all of the ledger: leave --queue, --thread and --tool out")
        after = to_span(self.span, "--for")
        return self.shell.desk.stuck(after=after, limit=self.limit + 1), "nothing is stuck"

    def _stays(self, found: Sequence[Ticket | Stuck]) -> dict[str, str]:
        now, stuck = self.shell.now, [each for each in found if isinstance(each, Stuck)]
        return {each.ticket.id: f"{stuck_text(each)}, {screen.span_text(now - each.since)}" for each in stuck}

    def _late(self, tickets: Sequence[Ticket]) -> dict[str, str]:
        now, due = self.shell.now, self.shell.desk.due_of(tickets)
        return {id_: f"overdue for {screen.span_text(now - each)}" for id_, each in due.items()}

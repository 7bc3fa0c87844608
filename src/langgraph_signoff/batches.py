"""Decides together what is alike and costs little: shown as a table first, then each by what was shown, each with its own entry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from langgraph_signoff import law
from langgraph_signoff.errors import DecisionRefused, IncompleteDecision, SignoffError, TogetherRefused
from langgraph_signoff.law import Case, Say
from langgraph_signoff.ledger import Draft, Query, stamp
from langgraph_signoff.policy.expressions import BadExpression
from langgraph_signoff.policy.patterns import Doubt, fits, pattern
from langgraph_signoff.speaking import Speaking
from langgraph_signoff.view import shown_args, to_ticket
from langgraph_signoff.vocabulary import Batch, LeftOut, Standing, Ticket, Verdict

_TOGETHER = (Verdict.APPROVE, Verdict.REJECT)


class Batches(Speaking):
    """Decides several tickets together."""

    def batch(
        self,
        verdict: Verdict | str,
        *,
        by: str,
        reason: str = "",
        queue: str | None = None,
        tool: str | None = None,
        reason_code: str | None = None,
        condition: str = "",
        limit: int = 50,
    ) -> Batch:
        """The tickets that one person could approve or reject together now: of one tool and one reason code, and of low risk.

        `condition`: CEL over tool, args, actor, requester, thread and now, which sees what a reviewer sees: secrets are masked.
        It looks at the `limit` most urgent that fit; what of them must be decided by itself, or cannot be by them, is left out and
        named. Decides nothing: `decide_together` does. Raises TogetherRefused for tickets of several tools or reason codes,
        IncompleteDecision for a condition that is none.
        """
        if verdict not in _TOGETHER:
            raise IncompleteDecision(f"{verdict!r} decides nothing together; say {' or '.join(_TOGETHER)}")
        _must_be_condition(condition)
        query = Query((Standing.PENDING,), queue=queue, tool=tool, ended_by=stamp(self.desk.clock()))
        fitting = (case for case in self._pending(query) if reason_code in (None, case.ruling.reason_code))
        found = list(self._chosen(fitting, condition, limit + 1))
        _must_be_alike([case for case, _ in found])
        made = Batch(verdict=Verdict(verdict), by=by.strip(), reason=reason, more=len(found) > limit)
        tickets, left_out = list[Ticket](), list[LeftOut]()
        for case, doubt in found[:limit]:
            why = doubt or self._refusal(case, made)
            if why:
                left_out.append(LeftOut(ticket_id=case.id, why=why))
            else:
                tickets.append(to_ticket(case))
        return made.model_copy(update={"tickets": tuple(tickets), "left_out": tuple(left_out)})

    def decide_together(self, batch: Batch) -> Batch:
        """Decides what a batch has shown: what was decided, and what was left out since, with why.

        Each ticket gets its own entry, and each is asked for by itself whether it still is what was shown: one that has changed
        meanwhile, or that the law refuses now, is left out. If the ledger stops answering, what was not reached is left out too.
        """
        decided, left_out = list[Ticket](), list[LeftOut]()
        for ticket in batch.tickets:
            try:
                decided.append(self._decide_with(ticket, batch))
            except SignoffError as error:
                left_out.append(LeftOut(ticket_id=ticket.id, why=str(error)))
        return batch.model_copy(update={"tickets": tuple(decided), "left_out": tuple(left_out), "more": False})

    # ------------------------------------------------------------------------------------------------------------------

    def _decide_with(self, ticket: Ticket, batch: Batch) -> Ticket:
        say = Say(batch.verdict, batch.by, ticket.digest, batch.reason, ticket.seen, ticket.generation)
        return self._spoken(ticket, say, lambda case, said: self._drafts(case, said, batch))

    def _drafts(self, case: Case, say: Say, batch: Batch) -> list[Draft]:
        return law.decide_with(case, say, self._people(case), count=len(batch.tickets), now=self.desk.clock())

    def _refusal(self, case: Case, batch: Batch) -> str:
        say = Say(batch.verdict, batch.by, case.digest, batch.reason, "", case.generation)
        try:
            self._speaker().step(say, lambda case, said: self._drafts(case, said, batch))(case)
        except DecisionRefused as error:
            return str(error)
        return ""

    def _pending(self, query: Query) -> Iterator[Case]:
        while rows := self.ledger.find(query):
            for row in rows:
                case = self.desk.case(row.id)
                if case.standing is Standing.PENDING:
                    yield case
            query = replace(query, after=rows[-1])

    def _chosen(self, cases: Iterator[Case], condition: str, most: int) -> Iterator[tuple[Case, str]]:
        """Those that a condition holds of, and with why those of which it cannot be said; so many at most."""
        for case in cases:
            doubt = ""
            try:
                if condition and not self._fits(case, condition):
                    continue
            except Doubt as error:
                doubt = f"the condition cannot be said of it: {error}"
            yield case, doubt
            most -= 1
            if not most:
                return

    def _fits(self, case: Case, condition: str) -> bool:
        # A condition on a secret would tell it, ticket by ticket.
        action = case.to_action().model_copy(update={"parsed": shown_args(case)})
        return not case.erased and fits(condition, action, self.desk.clock())


def _must_be_condition(text: str) -> None:
    try:
        pattern(text or "true")
    except BadExpression as error:
        raise IncompleteDecision(f"{text!r} is no condition: {error}") from error


def _must_be_alike(cases: list[Case]) -> None:
    for what, option, names in (
        ("tools", "tool=", {case.opening["tool"] for case in cases}),
        ("reasons", "reason_code=", {case.ruling.reason_code for case in cases}),
    ):
        if len(names) > 1:
            raise TogetherRefused(f"these are of several {what} ({', '.join(sorted(names))}); choose one with {option}")

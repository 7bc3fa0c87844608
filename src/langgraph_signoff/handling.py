"""What people do with a ticket before it is decided: take it, pass it on, ask about it, and say who decides in their place."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from langgraph_signoff import law
from langgraph_signoff.durations import parse_duration
from langgraph_signoff.law import Case, Delegation, Say
from langgraph_signoff.ledger import Draft
from langgraph_signoff.speaking import Speaking
from langgraph_signoff.view import to_ticket
from langgraph_signoff.vocabulary import Ticket, Verdict


class Handling(Speaking):
    """Who has a ticket in hand, what is asked about it, how long there is, and who stands in for whom."""

    def take(self, ticket: Ticket | str, *, by: str) -> Ticket:
        """Takes a ticket in hand for as long as its policy says (`take_for`), so that no two people read it at once.

        It keeps nobody from deciding. Raises TicketTaken if somebody else has it, NotAllowedToDecide for who may not decide it.
        """

        def step(case: Case, said: Say) -> list[Draft]:
            people, now = self._people(case), self.desk.clock()
            return law.take(case, by=said.by, people=people, now=now, behalf=said.behalf)

        return self._spoken(ticket, Say(Verdict.COMMENT, by.strip(), ""), step)

    def put_back(self, ticket: Ticket | str, *, by: str) -> Ticket:
        """Puts back what one has taken, or was assigned. Raises TicketTaken where it is another's."""
        return to_ticket(self.desk.write(self._id(ticket), lambda case: law.put_back(case, by=by.strip())))

    def assign(self, ticket: Ticket | str, *, by: str, to: str | None = None, reason: str = "") -> Ticket:
        """Gives a ticket to somebody who may decide it, whoever had it: by one who may too, the queue's owner or a backup.

        Without `to`, to whom `suggest` says.
        """
        whom = self.suggest(ticket) if to is None else to.strip()

        def step(case: Case) -> list[Draft]:
            return law.assign(case, by=by.strip(), to=whom, reason=reason, people=self._people(case))

        return to_ticket(self.desk.write(self._id(ticket), step))

    def suggest(self, ticket: Ticket | str) -> str:
        """Who had best decide a ticket: of those whose word it waits for, who has least in hand; by turns among equals.

        Who is away, and has a deputy, only if there is nobody else. Raises NotAllowedToDecide if there is nobody, or the policy
        names no people.
        """
        case = self.desk.case(self._id(ticket))
        now = self.desk.clock()
        away = {each.absent for each in self.desk.delegations().at(now) if each.holds(now)}
        return law.suggest(case, self._people(case), self.ledger.loads(), away=away)

    def request_info(self, ticket: Ticket | str, text: str, *, by: str, of: str = "") -> Ticket:
        """Asks about a ticket before deciding it: who is named, else its requester, else its queue's owner. It goes on waiting.

        Raises NotAllowedToDecide for who may not decide it, IncompleteDecision if there is nobody to ask.
        """

        def step(case: Case, said: Say) -> list[Draft]:
            who = {"by": said.by, "behalf": said.behalf, "of": of.strip()}
            return law.request_info(case, text=text, people=self._people(case), **who)

        return self._spoken(ticket, Say(Verdict.COMMENT, by.strip(), ""), step)

    def give_info(self, ticket: Ticket | str, text: str, *, by: str) -> Ticket:
        """Answers all that one has been asked about a ticket; the answer joins it. Raises NotAllowedToDecide where nobody asked."""
        return to_ticket(self.desk.write(self._id(ticket), lambda case: law.give_info(case, by=by.strip(), text=text)))

    def extend(self, ticket: Ticket | str, *, by: str, reason: str, span: timedelta | str | None = None) -> Ticket:
        """Gives a ticket more time to be decided in, once: as much as it had, or a `span` such as `2h`. The reason is recorded.

        Raises TicketClosed if it has had more already, or waits no more; NotAllowedToDecide for who may not decide it.
        """
        more = None if span is None else parse_duration(span)

        def step(case: Case, said: Say) -> list[Draft]:
            policy = self._policy_for(case)
            most, who = policy.due(case.requirements, case.due_at), {"by": said.by, "behalf": said.behalf}
            return law.extend(case, reason=reason, people=policy.people, most=most, span=more, **who)

        return self._spoken(ticket, Say(Verdict.COMMENT, by.strip(), ""), step)

    # Standing in ------------------------------------------------------------------------------------------------------

    def delegate(
        self, absent: str, *, to: str, until: datetime, by: str, start: datetime | None = None, reason: str = ""
    ) -> list[Delegation]:
        """Lets somebody decide in the name of one who is away, from `start` (now) until `until`; every delegation that holds.

        It is said by who is away, or by the owner of a queue, and then for that queue only; a later one replaces the one before.
        Both names are on the record of each decision, neither may have a part in the action that bars them, and together they count
        once. Raises NotAllowedToDecide, IncompleteDecision.
        """
        now = self.desk.clock()
        wanted = Delegation(absent.strip(), to.strip(), start or now, until, by.strip(), reason)
        return self._delegated(
            lambda _: law.delegate(wanted, people=self.policy.people, owners=self.policy.owners, now=now)
        )

    def end_delegation(self, absent: str, *, by: str) -> list[Delegation]:
        """Ends a delegation: whoever was away decides again by themselves alone. Raises IncompleteDecision if there is none."""
        now, owners = self.desk.clock(), self.policy.owners
        return self._delegated(lambda held: law.take_back(held, absent.strip(), by=by.strip(), owners=owners, now=now))

    def delegations(self) -> list[Delegation]:
        """Every delegation that holds now, or will."""
        return list(self.desk.delegations().at(self.desk.clock()))

    def _delegated(self, step: Callable[[law.Delegations], Draft]) -> list[Delegation]:
        return list(self.desk.write_delegation(step).at(self.desk.clock()))

"""In whose name somebody speaks: their own, or that of one who is away and for whom they stand in."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from langgraph_signoff import law
from langgraph_signoff.desk import Desk, Step
from langgraph_signoff.law import Case, Say
from langgraph_signoff.ledger import Draft
from langgraph_signoff.office import Office
from langgraph_signoff.view import to_ticket
from langgraph_signoff.vocabulary import Ticket


class Speaker:
    """Finds in whose name somebody speaks; `read`: the streams that this rests on, with the number of their last entry."""

    def __init__(self, desk: Desk, people: Callable[[Case], law.People]) -> None:
        self._desk, self._people = desk, people
        self.read: dict[str, int] = {}

    def step(self, say: Say, step: Callable[[Case, Say], list[Draft]]) -> Step:
        """A step of the desk that says this in the name that it is said in."""
        return lambda case: step(case, self._speaking(case, say))

    def _speaking(self, case: Case, say: Say) -> Say:
        people = self._people(case)
        if law.cannot(case, say.by, people) is None:
            return say
        held = self._desk.delegations()
        self.read = {law.DELEGATIONS: held.seq}
        return law.speaking(case, say, people, held.deputies(case, self._desk.clock()))


class Speaking(Office):
    """Puts on record what somebody says of a ticket, in the name that they say it in."""

    def _spoken(
        self,
        ticket: Ticket | str,
        say: Say,
        step: Callable[[Case, Say], list[Draft]],
        *,
        policies: Iterable[tuple[str, str]] = (),
    ) -> Ticket:
        speaker = self._speaker()
        heard = speaker.step(say, step)
        return to_ticket(self.desk.write(self._id(ticket), heard, policies=policies, ends=lambda: speaker.read))

    def _speaker(self) -> Speaker:
        return Speaker(self.desk, self._people)

"""What a reviewer wants to know before deciding: put to somebody, while the ticket goes on waiting. Pure."""

from __future__ import annotations

from langgraph_signoff.entries import Draft
from langgraph_signoff.errors import IncompleteDecision, NotAllowedToDecide, TicketClosed
from langgraph_signoff.law.case import Case
from langgraph_signoff.law.eligibility import People, cannot, spoken_by, unknown
from langgraph_signoff.vocabulary import Standing

_WAITS = (Standing.PENDING, Standing.UNDER_AUDIT, Standing.IN_DOUBT)


def request_info(case: Case, *, by: str, of: str, text: str, people: People, behalf: str = "") -> list[Draft]:
    """Asks somebody about a ticket: who is named, else its requester, else the owner of its queue. `behalf`: in whose name.

    Raises NotAllowedToDecide for who may not decide it, IncompleteDecision if there is nobody to ask.
    """
    _waits(case)
    if problem := cannot(case, behalf or by, people):
        raise NotAllowedToDecide(f"{by} may not decide ticket {case.id[:12]}: {problem}")
    if not text.strip():
        raise IncompleteDecision("a request for information says what you want to know")
    whom = of or case.requester or case.requirements.owner
    if not whom:
        raise IncompleteDecision(
            f"there is nobody to ask: ticket {case.id[:12]} has no requester, and its queue no owner; name somebody"
        )
    if people is not None and whom not in people and whom != case.requester:
        raise NotAllowedToDecide(unknown(whom, people))
    return [Draft("info_requested", {**spoken_by(by, behalf), "of": whom}, {"reason": text})]


def give_info(case: Case, *, by: str, text: str) -> list[Draft]:
    """Answers all that somebody has been asked of a ticket; the owner of its queue may answer for anybody.

    Raises NotAllowedToDecide where nobody has asked them.
    """
    _waits(case)
    if not text.strip():
        raise IncompleteDecision("say what you know")
    is_owner = by != "" and by == case.requirements.owner
    mine = [each.number for each in case.inquiries if not each.answered_by and (each.of == by or is_owner)]
    if not mine:
        waits = ", ".join(dict.fromkeys(each.of for each in case.inquiries if not each.answered_by))
        raise NotAllowedToDecide(
            f"{by or 'nobody'} has not been asked about ticket {case.id[:12]}; "
            + (f"it waits for {waits}" if waits else "nothing is open")
        )
    return [Draft("info_given", {"by": by, "of": mine}, {"reason": text})]


def _waits(case: Case) -> None:
    if case.erased or case.standing not in _WAITS:
        raise TicketClosed(
            f"ticket {case.id[:12]} is {'erased' if case.erased else case.standing}; it waits for nobody"
        )

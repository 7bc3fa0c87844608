"""A grant as aligned lines."""

from __future__ import annotations

from langgraph_signoff.render.text import LABEL_WIDTH, SHORT_ID, aligned, arguments_text, counted, time_text
from langgraph_signoff.vocabulary import Grant
from langgraph_signoff.vocabulary.base import plain


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


def grant_id(id_: str) -> str:
    """The id of a grant as it is shown."""
    return id_[: len("grant-") + SHORT_ID]


def grant_call_text(grant: Grant) -> str:
    """Which calls a grant is about."""
    if grant.args is None:
        return f"{grant.tool} when {grant.when}" if grant.when else f"{grant.tool} (erased)"
    return f"{grant.tool}({arguments_text(grant.args)})"


def grant_use_text(grant: Grant) -> str:
    """How much of a grant is used, of how much there is."""
    uses = f"{grant.used} of {counted(grant.uses, 'time')}" if grant.uses else counted(grant.used, "time")
    spent = f", {plain(grant.spent)} of {plain(grant.total.limit)} by {grant.total.sum}" if grant.total else ""
    return f"{uses}{spent}"

"""What a thread has proposed, run and been refused, counted by tool. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from langgraph_signoff.vocabulary import AUDITS, Counts, Standing

_PROPOSED = set(Standing) - set(AUDITS)
_RAN = {Standing.RUNNING, Standing.EXECUTED, Standing.FAILED, Standing.IN_DOUBT}
_REFUSED = {
    Standing.DENIED,
    Standing.REJECTED,
    Standing.RETURNED,
    Standing.EXPIRED,
    Standing.LAPSED,
    Standing.WITHDRAWN,
}


def counts(said: Iterable[tuple[str, str, int]], siblings: Iterable[str]) -> Counts:
    """The counts of calls by tool, standing and how many; `siblings`: the tools of calls that are only proposed."""
    found: dict[str, dict[str, int]] = {"proposed": {}, "ran": {}, "refused": {}}
    for tool, standing, count in said:
        for name, kinds in (("proposed", _PROPOSED), ("ran", _RAN), ("refused", _REFUSED)):
            if standing in kinds:
                found[name][tool] = found[name].get(tool, 0) + count
    for tool in siblings:
        found["proposed"][tool] = found["proposed"].get(tool, 0) + 1
    return Counts(**found)

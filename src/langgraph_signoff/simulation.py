"""What tickets would have been under another policy, from the arguments that they froze. Never writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from langgraph_signoff import law, planning
from langgraph_signoff.errors import PolicyError
from langgraph_signoff.law import Case
from langgraph_signoff.ledger import Entry, stamp
from langgraph_signoff.office import Office
from langgraph_signoff.policy import Policy
from langgraph_signoff.reasons import as_put_off, differing
from langgraph_signoff.vocabulary import Counts, Flip, Ruling, Simulation

_EXAMPLES = 3
_EACH = 500  # tickets between two words on progress

Key = tuple[str, str, str, str, str, tuple[str, ...]]


@dataclass(slots=True)
class _Tally:
    """What has come out so far."""

    ruled: int = 0
    erased: int = 0
    unreadable: int = 0
    uncertain: int = 0
    flips: dict[Key, list[str]] = field(default_factory=dict)
    counts: dict[Key, int] = field(default_factory=dict)

    def add(self, id_: str, key: Key) -> None:
        """Counts a flip."""
        self.counts[key] = self.counts.get(key, 0) + 1
        examples = self.flips.setdefault(key, [])
        if len(examples) < _EXAMPLES:
            examples.append(id_)

    def told(self) -> tuple[Flip, ...]:
        """The flips, the most first."""
        names = ("tool", "was", "would_be", "rule", "reason_code", "needs")
        flips = [
            Flip.model_validate({**dict(zip(names, key, strict=True)), "count": count, "examples": self.flips[key]})
            for key, count in self.counts.items()
        ]
        return tuple(sorted(flips, key=lambda flip: (-flip.count, flip.tool, flip.rule, flip.was)))


class Simulations(Office):
    """Rules again what was ruled."""

    def simulate(
        self, policy: Policy, *, days: int = 30, progress: Callable[[int, int], object] = lambda _done, _all: None
    ) -> Simulation:
        """What today's pending tickets and those of the last `days` would have been under another policy.

        Each is ruled on the arguments that it froze when it was opened, as of that moment, with the counts of its thread as the
        record has them. What advisors, grants and plans said of it stays as it was. A call that was allowed and not recorded has
        left nothing to be ruled again. `progress` is told how many are done of how many. Reads all of them, and writes nothing.
        """
        since, tally = stamp(self.desk.clock() - timedelta(days=days)), _Tally()
        total = self.ledger.count_openings(since)
        for done, entry in enumerate(self.ledger.openings(since), start=1):
            self._simulate(entry, policy, tally)
            if done % _EACH == 0 or done == total:
                progress(min(done, total), total)
        return Simulation(
            policy_version=policy.version,
            days=days,
            ruled=tally.ruled,
            flips=tally.told(),
            erased=tally.erased,
            unreadable=tally.unreadable,
            uncertain=tally.uncertain,
        )

    def _simulate(self, entry: Entry, policy: Policy, tally: _Tally) -> None:
        try:
            case = law.recorded([entry])
            if case.about:
                return  # the audit of an action; its own ticket is ruled again
            if case.erased:
                tally.erased += 1
                return
            would_be = self._ruled(case, policy)
            if self._is_flip(case, would_be):
                tally.add(case.id, _key(case, would_be))
            tally.uncertain += not self._is_certain(case, policy)
            tally.ruled += 1
        except (LookupError, ValueError, TypeError, AttributeError):  # whatever a changed entry makes of its reader
            tally.unreadable += 1

    def _ruled(self, case: Case, policy: Policy) -> Ruling:
        action = case.to_action()
        needs_history = planning.needs_history(policy, action)
        counts = self.desk.counts_then(case, case.opened_at) if needs_history else Counts()
        ruling = planning.rule(policy, action, now=case.opened_at, history=counts)
        return as_put_off(case.ruling, ruling)

    def _is_flip(self, case: Case, would_be: Ruling) -> bool:
        if _is_same(case.ruling, would_be):
            return False
        # An advisor, a grant, a plan or the thread's own past may have ruled too: then the two policies are compared.
        before = self._own_policy(case)
        alone = self._ruled(case, before) if before else case.ruling
        return _is_same(case.ruling, alone) or not _is_same(alone, would_be)

    def _own_policy(self, case: Case) -> Policy | None:
        version = case.ruling.policy_version
        is_known = version in self._recorded or self.ledger.policy(version) is not None
        try:
            return self._policy_of(version) if is_known else None
        except PolicyError:
            return None

    def _is_certain(self, case: Case, policy: Policy) -> bool:
        counted = policy.counted(case.to_action())
        before = self._own_policy(case) if counted else None
        return not counted or (before is not None and all(map(before.records, counted)))


def _is_same(was: Ruling, would_be: Ruling) -> bool:
    return was.word == would_be.word and not (was.mode == "review" and differing(was, would_be))


def _key(case: Case, would_be: Ruling) -> Key:
    was = case.ruling
    needs = differing(was, would_be) if was.mode == would_be.mode == "review" else ()
    return case.opening["tool"], was.word, would_be.word, would_be.rule, would_be.reason_code, needs

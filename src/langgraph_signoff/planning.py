"""Plans at work: how one is ruled, and how a call that fits one is opened as a use of it, so that no use is taken twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from langgraph_signoff import law
from langgraph_signoff.desk import Beside, Desk
from langgraph_signoff.errors import StaleTicket
from langgraph_signoff.granting import GrantShelf
from langgraph_signoff.law import Case, People, Plan
from langgraph_signoff.ledger import Draft, Query, Wake, link, stamp
from langgraph_signoff.policy import Policy
from langgraph_signoff.records import Opening, to_row
from langgraph_signoff.vocabulary import OVER_BUDGET, PLANNED, Action, Counts, Planned, Ruling, Standing

_NAMELESS = {
    "",
    "LangGraph",
}  # as LangGraph calls a graph that nobody has named: elsewhere the same one may have a name
_MOST_READS = 100  # how often one message is looked at again when others keep using its plans


# Ruling -------------------------------------------------------------------------------------------------------------------


def needs_history(policy: Policy, action: Action) -> bool:
    """Whether the rules that apply to this action, or to a step of this plan, read `history`."""
    return policy.needs_history(action) or (action.kind == "plan")


def rule(policy: Policy, action: Action, *, now: datetime, history: Counts) -> Ruling:
    """The policy's ruling on an action. A plan is never allowed: it asks for all that its steps would ask for."""
    own = policy.rule(action, now=now, history=history)
    if action.kind != "plan" or own.mode == "deny":
        return own
    plan = Plan.model_validate(action.parsed)
    steps = [_rule_step(policy, _as_call(action, step), step, now, history) for step in plan.steps]
    # Nobody has named plans, or somebody has and would let them go unseen.
    base = own if own.mode == "review" and own.rule != "default" else policy.review(action, now=now)
    ruling = law.ruled_as_plan(base.model_copy(update={"reason_code": "plan"} if base is not own else {}), steps)
    for number, step in enumerate(steps, start=1):
        if step.mode == "deny":
            why = f"step {number}, {plan.steps[number - 1].tool}: the policy denies it ({step.reason_code})"
            return _denied(ruling, "step_denied", why, rule=step.rule)
    if law.too_few(ruling.requirements, people=policy.people, requester=action.requester):
        return _denied(ruling, "no_reviewers", "too few people may decide all of its steps; propose them apart")
    return ruling


def _as_call(action: Action, step: law.Step) -> Action:
    args = step.exact or {}
    return action.model_copy(update={"kind": "tool", "tool": step.tool, "args": args, "parsed": args})


def _rule_step(policy: Policy, call: Action, step: law.Step, now: datetime, history: Counts) -> Ruling:
    modes = policy.summary(step.tool, kind="tool").split(" or ")
    if step.exact is not None or len(modes) == 1:
        return policy.rule(call, now=now, history=history)
    return policy.review(call, now=now)


def _denied(ruling: Ruling, reason_code: str, detail: str, *, rule: str = "") -> Ruling:
    about = {"mode": "deny", "reason_code": reason_code, "detail": detail, "rule": rule or ruling.rule}
    return ruling.model_copy(update=about)


# Using --------------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Plans:
    """Opens calls, as uses of an approved plan of their thread, or of a grant, where one permits them.

    `expected`: whether some agent here can propose plans. Only then are calls looked at that the policy lets run anyway: an
    ordered plan must know that they came.
    """

    desk: Desk
    expected: bool = False

    def open(
        self, openings: Sequence[Opening], *, policy: tuple[str, str], people: People, patient: bool = False
    ) -> list[Opening] | None:
        """Commits what needs a record, each use of a plan or a grant together with its call; gives what it has opened.

        None if `patient` and a call has only come too early for its step: nothing was written.
        """
        for _ in range(_MOST_READS):
            shelf, grants = _Shelf(self.desk, self._standing(openings)), GrantShelf(self.desk, people)
            # Whoever rejects such calls is heard before whoever permits them.
            placed = [grants.permitted(shelf.planned(grants.rejected(opening))) for opening in openings]
            made = [opening for opening in placed if opening.ruling.needs_record]
            if patient and shelf.is_early:
                return None
            try:
                if made:
                    self.desk.open(made, policy=policy, beside=_of_both(shelf.uses, grants.uses))
                return made
            except StaleTicket as stale:
                if stale.stream not in shelf.plans and stale.stream not in grants.streams:
                    raise
        raise StaleTicket(openings[0].id, 1)

    def _standing(self, openings: Sequence[Opening]) -> list[Case]:
        calls = [o for o in openings if _may_be_planned(o) and (self.expected or o.ruling.mode == "review")]
        plans, now = [], stamp(self.desk.clock())
        for thread_id in {opening.action.thread_id for opening in calls}:
            query = Query((Standing.EXECUTED,), thread_id=thread_id, tool=law.PLAN_TOOL, due_after=now, limit=1000)
            plans += [case for case in self.desk.cases(query) if law.stands(case)]
        return sorted(plans, key=lambda case: (case.opened_at, case.id))


Uses = Callable[[Sequence[Opening]], Beside]


def _of_both(one: Uses, other: Uses) -> Uses:
    return lambda opened: one(opened).and_(other(opened))


class _Shelf:
    """The plans that stand in a thread, as one message finds them, and what its calls take of them."""

    def __init__(self, desk: Desk, plans: Sequence[Case]) -> None:
        self._desk, self.plans = desk, {case.id: case for case in plans}
        self._taken: dict[str, list[int]] = {case.id: [] for case in plans}
        tickets = [use.ticket for case in plans for use in case.uses]
        self._standings = {id_: row.standing for id_, row in desk.ledger.rows(tickets).items()} if tickets else {}
        self.is_early = False

    def planned(self, opening: Opening) -> Opening:
        """The opening as it is, or as a use of the first plan that permits it."""
        action, ruling = opening.action, opening.ruling
        for case in self.plans.values() if _may_be_planned(opening) else ():
            if not _is_of_same(case, action) or not _is_enough(case, ruling):
                continue
            call = (action.tool, action.parsed)
            step = law.step_for(case, self._taken[case.id], call, self._standings)
            self.is_early = self.is_early or (step is None and law.permits_later(case, call))
            if step is not None:
                self._taken[case.id].append(step)
                return replace(
                    opening, ruling=_planned(ruling, Planned(plan=case.id, step=step, approved_by=case.approvers))
                )
        return opening

    def uses(self, opened: Sequence[Opening]) -> Beside:
        """What is written into the plans' streams for those that are being opened. Raises StaleTicket."""
        beside = Beside([], [], [], [])
        for case in self.plans.values():
            drafts = [
                Draft("used", {"step": place.step, "ticket": opening.id})
                for opening in opened
                if (place := opening.ruling.planned) and place.plan == case.id
            ]
            if drafts:
                self._add(beside, case, drafts)
        return beside

    def _add(self, beside: Beside, case: Case, drafts: list[Draft]) -> None:
        history = self._desk.history(case.id)
        if history[-1].seq != case.seq:
            raise StaleTicket(case.id, history[-1].seq)
        entries = link(case.id, history[-1], drafts, self._desk.clock())
        beside.entries.extend(entries)
        beside.rows.append(to_row(law.recorded([*history, *entries])))
        # It may die before it runs, in a thread that nobody waits for.
        beside.wakes.append(Wake(case.opening["thread_id"], entries[-1].hash, entries[-1].at))


def _may_be_planned(opening: Opening) -> bool:
    # Doubt means a person: an advisor's, or the policy's own, which cannot even say that it does not deny the call.
    is_doubted = opening.doubted or opening.ruling.reason_code in ("policy_error", OVER_BUDGET)
    # What a flag or a rollback sets off is no call that an agent proposes.
    is_proposed = opening.action.kind == "tool" and bool(opening.action.call_id)
    return is_proposed and opening.ruling.mode in ("allow", "review") and not is_doubted


def _is_of_same(case: Case, action: Action) -> bool:
    # Who may not approve for themselves is told by whom the agent acts for; and a sub-agent has its own plans. A tool of that
    # name may do something else in another graph.
    if len({case.opening["graph"], action.graph} - _NAMELESS) > 1:
        return False
    return case.opening["agent"] == action.agent and case.requester == action.requester


def _is_enough(case: Case, ruling: Ruling) -> bool:
    return ruling.mode == "allow" or law.covers(case.requirements, ruling.requirements)


def _planned(ruling: Ruling, place: Planned) -> Ruling:
    if ruling.mode == "allow":
        return ruling.model_copy(update={"once": True, "planned": place})
    return ruling.model_copy(update={"mode": "allow", "once": True, "reason_code": PLANNED, "planned": place})

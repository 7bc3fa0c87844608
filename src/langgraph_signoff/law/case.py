"""What a ticket's history amounts to at an instant."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from langgraph_signoff.panels import Voice
from langgraph_signoff.vocabulary import (
    Action,
    Audit,
    Decision,
    Fallback,
    FollowUp,
    Inquiry,
    Kind,
    Outcome,
    Part,
    Requirements,
    Rollback,
    Ruling,
    Standing,
    Use,
    Verdict,
)

_WAITS = (Standing.PENDING, Standing.IN_DOUBT, Standing.UNDER_AUDIT)
_NOT_FOR = (Verdict.REJECT, Verdict.FLAG, Verdict.ANSWER)


@dataclass(slots=True)
class Claim:
    """Who runs a ticket's tool, since when, and whether the tool itself has paused."""

    attempt: int
    owner: str
    at: datetime
    lease: float
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class Involved:
    """Who has had a part in an action before it is decided: for whom it is, who wrote its arguments, who revised it before."""

    requester: str | None = None
    authors: frozenset[str] = frozenset()
    previous_revisers: frozenset[str] = frozenset()
    approvers: frozenset[str] = frozenset()

    def who(self, part: Part) -> frozenset[str | None]:
        """Those who have had this part."""
        named = {"previous_reviser": self.previous_revisers, "author": self.authors}
        return named.get(part) or frozenset({self.requester} if part == "requester" else ())


@dataclass(slots=True)
class Case:
    """What the law and the desk need of a ticket's history, at the instant `now` of the fold."""

    id: str
    standing: Standing
    seq: int
    at: datetime
    moved_at: datetime
    generation: int
    ruling: Ruling
    requirements: Requirements
    opened_at: datetime
    due_at: datetime
    opening: dict[str, Any]
    action: dict[str, Any]
    args: dict[str, Any]
    parsed: dict[str, Any]
    digest: str
    erased: bool
    rounds: int = 1
    previous: str | None = None
    difference: list[dict[str, Any]] = field(default_factory=list)
    siblings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    approved_at: datetime | None = None
    agreed_at: datetime | None = None
    word_at: datetime | None = None
    doubted_at: datetime | None = None
    claim: Claim | None = None
    told_unknown: bool = False
    outcome: Outcome | None = None
    rollback: Rollback | None = None
    result: dict[str, Any] = field(default_factory=dict)
    why: str = ""
    erasure: str = ""
    decisions: list[Decision] = field(default_factory=list)
    authors: frozenset[str] = frozenset()
    assignee: str | None = None
    taker: str | None = None
    taken_until: datetime | None = None
    extended_by: str = ""
    inquiries: list[Inquiry] = field(default_factory=list)
    hurried: set[tuple[str, int]] = field(default_factory=set)
    reminded: int = 0
    level: int = 0
    gone: frozenset[str] = frozenset()
    choice: dict[str, Any] = field(default_factory=dict)
    follow_up: FollowUp | None = None
    uses: list[Use] = field(default_factory=list)
    ends_at: datetime | None = None
    ended: str = ""
    counted: int = 0

    @property
    def expires_at(self) -> datetime | None:
        """When silence changes the standing, None if it never does."""
        match self.standing:
            case Standing.PENDING | Standing.UNDER_AUDIT:
                return self.due_at
            case Standing.APPROVED if self.ruling.mode == "review" and self.approved_at:
                return self.approved_at + self.requirements.use_within
            case Standing.IN_DOUBT if self.doubted_at and not self.told_unknown:
                return self.doubted_at + self.requirements.window
            case Standing.EXECUTED if not self.ended:
                return self.ends_at
        return None

    @property
    def fallback(self) -> Fallback | None:
        """What is called instead if nobody decides in time."""
        ending = self.requirements.on_timeout
        return None if ending == "deny" else ending

    @property
    def look(self) -> Audit | None:
        """How it is chosen to be looked at once it has run, if it may be."""
        if self.ruling.mode == "allow" and not self.ruling.rests_on_grant:
            return self.ruling.audit
        share = self.requirements.second_look if self.ruling.mode != "deny" else 0.0
        return Audit(sample=share, new_until=0) if share else None

    @property
    def hands(self) -> tuple[str, ...]:
        """Who has approved it as it runs: in whose name, and who spoke for them."""
        if self.ruling.granted and self.ruling.rests_on_grant:
            return self.ruling.granted.by
        words = (self.latest()[name] for name in self.approvers if self.ruling.mode == "review")
        return tuple(dict.fromkeys(name for word in words for name in (word.principal, word.by)))

    @property
    def attempts(self) -> int:
        """How often the tool was started, or was about to be."""
        return self.claim.attempt if self.claim else 0

    @property
    def kind(self) -> Kind:
        """What it is about."""
        return self.opening["kind"]  # type: ignore[no-any-return]  # written by the desk, from an action

    @property
    def requester(self) -> str | None:
        """Whom the agent acts for."""
        return self.opening.get("requester")

    @property
    def involved(self) -> Involved:
        """Who has had a part in it."""
        approved_by = frozenset(self.opening.get("approved_by", ()))
        return Involved(self.requester, self.authors, frozenset(self.opening.get("revisers", ())), approved_by)

    @property
    def revisers(self) -> tuple[str, ...]:
        """Who has revised it, in this round or in one before: with arguments, or back to the agent with words."""
        said = (d for d in self.decisions if d.verdict is Verdict.REVISE)
        names = (name for d in said for name in (d.by, d.principal))
        return tuple(dict.fromkeys([*self.opening.get("revisers", ()), *names]))

    def verdicts(self) -> dict[str, Verdict]:
        """The words on this generation that count: the latest one of each person who may still decide."""
        return {by: verdict for by, verdict in self.words().items() if by not in self.gone}

    def words(self) -> dict[str, Verdict]:
        """The latest word of each person on this generation; comments are not words of this kind."""
        return {by: decision.verdict for by, decision in self.latest().items()}

    def latest(self) -> dict[str, Decision]:
        """What each person has said last of this generation."""
        words = (d for d in self.decisions if d.generation == self.generation and d.verdict is not Verdict.COMMENT)
        return {d.principal: d for d in words}

    @property
    def answer(self) -> Decision | None:
        """The answer that a question has got."""
        said = [decision for decision in self.decisions if decision.verdict is Verdict.ANSWER]
        return said[-1] if said and self.standing is Standing.ANSWERED else None

    @property
    def approvers(self) -> tuple[str, ...]:
        """Whose approval counts: of this generation, or of the plan or the grant that lets it run."""
        if self.ruling.planned:
            return self.ruling.planned.approved_by
        if self.ruling.granted and self.ruling.rests_on_grant:
            return self.ruling.granted.by
        if not self.decisions:
            return ()  # as of most tickets of a list
        return tuple(by for by, verdict in self.verdicts().items() if verdict not in _NOT_FOR)

    def voices(self, names: Collection[str]) -> list[Voice]:
        """What these people have said last, in the order in which they said it, as voices for a panel."""
        latest = self.latest()
        said = (decision for decision in self.decisions if latest.get(decision.principal) is decision)
        return [Voice(d.principal, frozenset(d.groups)) for d in said if d.principal in names]

    @property
    def in_hand(self) -> str:
        """Who has it in hand, taken or assigned, while it waits for a word; empty if nobody has."""
        return (self.taker or self.assignee or "") if self.standing in _WAITS else ""

    def in_hand_at(self, now: datetime) -> str:
        """The same at an instant, of a history that was read as it was `recorded`: a ticket is taken for a while only."""
        is_free = self.taken_until is not None and now >= self.taken_until
        return replace(self, taker=None).in_hand if is_free else self.in_hand

    @property
    def idle_since(self) -> datetime | None:
        """When anybody last moved what somebody has in hand, or has approved and nothing has used; else None."""
        is_unused = self.standing is Standing.APPROVED and self.ruling.mode == "review"
        return self.moved_at if is_unused or self.in_hand else None

    @property
    def about(self) -> str:
        """Of an audit: the id of its action's ticket; else empty."""
        return str(self.opening.get("about", ""))

    @property
    def reports(self) -> tuple[str, ...]:
        """Of an outcome: the ids of the tickets that it reports."""
        return tuple(self.opening.get("reports", ()))

    @property
    def visit(self) -> str:
        """Which visit of a node asked, in LangGraph's terms; empty if that has been erased."""
        return str(self.opening.get("visit") or self.action.get("visit", ""))

    @property
    def last_by(self) -> str:
        """Who has decided last, comments apart."""
        return next((d.who for d in reversed(self.decisions) if d.verdict is not Verdict.COMMENT), "")

    @property
    def is_chosen(self) -> bool:
        """Whether its action was chosen to be looked at after it had run."""
        return bool(self.choice) and self.choice["why"] != "not_sampled"

    def to_action(self) -> Action:
        """The action as it was proposed; what erasing took away is empty."""
        kept = {key: self.opening[key] for key in _OPEN if key in self.opening}
        return Action.model_validate({**_EMPTY_ACTION, **self.action, **kept})


_OPEN = ("kind", "thread_id", "tool", "graph", "agent", "requester", "reports", "visit")

_EMPTY_ACTION: dict[str, Any] = {"proposal": "", "args": {}, "parsed": {}, "digest": ""}

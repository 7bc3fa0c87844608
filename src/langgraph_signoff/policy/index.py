"""Finds the rulebook of a tool, of a node or of a question, by its name."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence

from langgraph_signoff.business import BusinessSpan
from langgraph_signoff.panels import fewest
from langgraph_signoff.policy.channels import Hearing
from langgraph_signoff.policy.describe import secret_path, settle_describe
from langgraph_signoff.policy.document import SECTIONS, Budget, Document, Queue, Rule, Sample, Terms, Then, Tool
from langgraph_signoff.policy.expressions import EVERY_TOOL, OWN_TOOL, Expression
from langgraph_signoff.policy.loading import Path
from langgraph_signoff.policy.panels import read_panel
from langgraph_signoff.policy.quoting import quote
from langgraph_signoff.policy.rulebook import Branch, Rulebook
from langgraph_signoff.vocabulary import Audit, Escalation, Fallback, Notify, Requirements, Risk, Ruling

MOST_NAMES = 1000
"""How many names matched by patterns are kept ready; a graph has fewer tools."""

ANY_TOOL = "*"


def fits(name: str, pattern: str) -> bool:
    """Whether a tool's name is an entry's name, or fits its pattern; `*` stands for any characters, also none."""
    return name == pattern or ("*" in pattern and fnmatch.fnmatchcase(name, pattern))


_PRIORITIES = {"high": 2, "medium": 1}
"""How urgent a review is whose priority nobody states, by the stakes; 0 for all others."""


def requirements(document: Document, then: Then, risk: Risk = Risk()) -> Requirements:  # noqa: B008  # it is frozen
    """What a decision needs: what the rule says, else its queue, else the defaults."""
    name = then.queue or "default"
    queue = document.queues.get(name, Queue())
    stated = {
        field: value
        for terms in (queue, then)
        for field in Terms.model_fields
        if (value := getattr(terms, field)) is not None
    }
    if isinstance(stated.get("approvals"), dict):
        panel = read_panel(stated["approvals"])
        stated |= {"approvals": fewest(panel), "panels": (panel,)}
    stated.setdefault("priority", _PRIORITIES.get(risk.stakes or "", 0))
    stated |= {"owner": queue.owner or "", "backup": tuple(queue.backup)}
    if "remind" in stated:
        stated["reminders"] = tuple(stated.pop("remind"))
    if "escalate" in stated:
        stated["escalations"] = tuple(
            Escalation(at=level.at, to=tuple(level.to or queue.backup)) for level in stated.pop("escalate")
        )
    if isinstance(ending := stated.get("on_timeout"), Fallback):
        args = quote(ending.args, {"vars": dict(document.vars)})
        stated["on_timeout"] = ending.model_copy(update={"args": args})
    if isinstance(stated.get("window"), BusinessSpan):
        stated["business"] = str(stated.pop("window"))
    stated["notify"] = tuple(Notify(channel=each.channel, on=tuple(each.on)) for each in hearings(document, name))
    return Requirements(queue=name, reviewers=(tuple(queue.reviewers),) if queue.reviewers else (), **stated)


def hearings(document: Document, queue: str) -> list[Hearing]:
    """The channels that hear of the tickets of a queue: those that it names, else those of all queues."""
    own = document.queues.get(queue, Queue()).notify
    return document.notify if own is None else own


def audit(document: Document, then: Then, risk: Risk) -> Audit | None:
    """How what runs is chosen to be looked at, by the stakes of its entry: what the rule says, else its queue."""
    if then.then != "audit":
        return None
    terms = (then, document.queues.get(then.queue or "default", Queue()))
    sample = next((t.sample for t in terms if t.sample is not None), Sample())
    new_until = next((t.new_until for t in terms if t.new_until is not None), Audit().new_until)
    args = quote(then.on_flag.args, {"vars": dict(document.vars)})
    return Audit(
        sample=getattr(sample, risk.stakes or "unstated"),
        new_until=new_until,
        on_flag=then.on_flag.model_copy(update={"args": args}),
    )


class Index:
    """The rulebooks for one kind of action: those of exact names made ready, those of patterns when first asked for."""

    def __init__(self, document: Document, expressions: Mapping[Path, Expression], *, kind: str, version: str) -> None:
        self._document, self._expressions, self._version = document, expressions, version
        self._kind, self._section = kind, SECTIONS[kind]
        self._entries: dict[str, Tool] = getattr(document, self._section)
        self._exact = {name: self._make(name) for name in self._entries if "*" not in name}
        self._matched: dict[str, Rulebook] = {}

    def rulebook(self, tool: str) -> Rulebook:
        """The rulebook for a name."""
        found = self._exact.get(tool) or self._matched.get(tool)
        if found:
            return found
        if len(self._matched) >= MOST_NAMES:
            self._matched.clear()
        return self._matched.setdefault(tool, self._make(tool))

    def entries(self, tool: str) -> list[str]:
        """The entries that a tool fits, the most specific first: its name, then the pattern with most letters, then with fewest stars."""
        found = [pattern for pattern in self._entries if fits(tool, pattern)]
        return sorted(
            found, key=lambda pattern: (pattern != tool, pattern.count("*") - len(pattern), pattern.count("*"), pattern)
        )

    def counts(self, tool: str) -> bool:
        """Whether some rule reads how often this tool was proposed, ran or was refused."""
        for (section, entry, *_), expression in self._expressions.items():
            if EVERY_TOOL in expression.counts or tool in expression.counts:
                return True
            if OWN_TOOL in expression.counts and section == self._section and fits(tool, str(entry)):
                return True
        return False

    def strangers(self, names: frozenset[str]) -> Iterator[tuple[Path, str]]:
        """Which entries fit none of these names: where, and in which words."""
        for entry in self._entries:
            if entry != ANY_TOOL and not any(fits(name, entry) for name in names):
                fit = "that fits " if "*" in entry else ""
                yield (self._section, entry), f"the graph has no {self._kind} {fit}{entry}"

    def called(self) -> Iterator[tuple[Path, str]]:
        """The tools that flags call: where, and which."""
        for name, entry in self._entries.items():
            for place, then in ((("otherwise",), entry.otherwise), *_placed(entry.rules)):
                if then.on_flag.tool:
                    yield (self._section, name, *place, "on_flag", "tool"), then.on_flag.tool

    def undoes(self, entry: str) -> bool:
        """Whether an entry says that what it names can be undone by what its gate declares."""
        return self._entries[entry].undo

    def _make(self, tool: str) -> Rulebook:
        names = self.entries(tool)
        if not names:
            return self._unlisted(tool)
        entry, shared = self._entries[names[0]], self._shared(tool, names)
        # A denial binds wherever it stands; everything else is the most specific entry's to say.
        branches = [*self._branches(names, shared, denials=True), *self._branches(names[:1], shared, denials=False)]
        otherwise = self._ruling(shared, entry.otherwise, rule=f"{shared.rule}.otherwise")
        doubt, budgets = self._doubt(shared, entry), self._budgets(tool)
        if self._kind == "tool":
            # An allowed call comes to the queue that calls it in time if an advisor doubts it, or a budget is used up.
            branches = [Branch(branch.when, _not_calling(tool, branch.ruling)) for branch in branches]
            otherwise, doubt = _not_calling(tool, otherwise), _not_calling(tool, doubt)
        return Rulebook(branches, otherwise=otherwise, doubt=doubt, variables=self._document.vars, budgets=budgets)

    def _shared(self, tool: str, names: list[str]) -> Ruling:
        """What all rulings on a tool have in common; its secrets are those of every entry it fits."""
        entry = self._entries[names[0]]
        is_tactical = (entry.supervision or self._document.supervision) == "tactical"
        return Ruling(
            mode="review",
            reason_code="default_review",
            rule=f"{self._section}.{names[0]}",
            policy_version=self._version,
            risk=entry.risk,
            record=self._document.record or self.counts(tool),
            idempotent=entry.idempotent,
            always_ask=any(self._entries[name].always_ask for name in names),
            at_the_end=self._kind != "question" and not is_tactical and entry.can_be_taken_back,
            describe=settle_describe(entry.describe, tool=tool, variables=self._document.vars),
            templates=entry.templates,
            redact=tuple(dict.fromkeys(path for name in names for path in _secrets(self._entries[name]))),
        )

    def _branches(self, names: list[str], shared: Ruling, *, denials: bool) -> Iterator[Branch]:
        for name in names:
            for number, rule in enumerate(self._entries[name].rules):
                if (rule.then == "deny") == denials:
                    ruling = self._ruling(shared, rule, rule=f"{self._section}.{name}.rules.{number}")
                    yield Branch(self._expressions.get((self._section, name, "rules", number, "when")), ruling)

    def _ruling(self, shared: Ruling, then: Then, *, rule: str) -> Ruling:
        unnamed = "needs_review" if isinstance(then, Rule) else "default_review"
        codes = {"allow": "allowed", "audit": "audited", "review": unnamed, "deny": "denied"}
        looked_at = audit(self._document, then, shared.risk)
        return shared.model_copy(
            update={
                "mode": "allow" if looked_at else then.then,
                "reason_code": then.reason_code or codes[then.then],
                "rule": rule,
                "requirements": requirements(self._document, then, shared.risk),
                "at_the_end": then.then == "review" and shared.at_the_end,
                "record": bool(looked_at) or (then.then == "allow" and (then.record or shared.record)),
                "once": bool(looked_at) or then.once,
                "audit": looked_at,
                "always_ask": shared.always_ask or then.always_ask,
            }
        )

    def _doubt(self, shared: Ruling, entry: Tool) -> Ruling:
        """The ruling when an expression fails: as many approvals as the strictest review of the tool asks for."""
        written = (entry.otherwise, *entry.rules)
        reviews = [then for then in written if then.then == "review"] or [t for t in written if t.then == "audit"]
        needs = [requirements(self._document, then, shared.risk) for then in reviews or [Then(then="review")]]
        strictest = max(
            needs,
            key=lambda n: (n.approvals, bool(n.panels), bool(n.reviewers), len(n.barred), n.reason == "required"),
        )
        return shared.model_copy(
            update={"reason_code": "policy_error", "requirements": strictest, "record": False, "at_the_end": False}
        )

    def _budgets(self, tool: str) -> tuple[Budget, ...]:
        written = self._document.budgets if self._kind == "tool" else []
        return tuple(budget for budget in written if fits(tool, budget.tool))

    def _unlisted(self, tool: str) -> Rulebook:
        then = Then(then=self._document.default)
        shared = Ruling(mode="review", reason_code="policy_error", rule="default", policy_version=self._version)
        doubt = self._doubt(shared, Tool())
        otherwise = self._ruling(shared, then, rule="default").model_copy(update={"reason_code": "unlisted_tool"})
        return Rulebook((), otherwise=otherwise, doubt=doubt, variables={}, budgets=self._budgets(tool))


def _placed(rules: Sequence[Rule]) -> Iterator[tuple[Path, Rule]]:
    return ((("rules", number), rule) for number, rule in enumerate(rules))


def _not_calling(tool: str, ruling: Ruling) -> Ruling:
    """The ruling; silence on a tool's call never calls that tool."""
    ending = ruling.requirements.on_timeout
    if not isinstance(ending, Fallback) or ending.tool != tool:
        return ruling
    return ruling.model_copy(update={"requirements": ruling.requirements.model_copy(update={"on_timeout": "deny"})})


def _secrets(tool: Tool) -> Iterator[str]:
    return (path for written in tool.redact if (path := secret_path(written)))

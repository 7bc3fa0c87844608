"""What a policy of the right shape can still get wrong: names nobody gave, expressions, rules that contradict each other."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from langgraph_signoff.business import BusinessSpan
from langgraph_signoff.panels import Voice, is_possible, named
from langgraph_signoff.policy.channels import Hearing
from langgraph_signoff.policy.describe import describe_mistake, secret_path
from langgraph_signoff.policy.document import SECTIONS, Document, Queue, Rule, Sampling, ServiceHours, Terms, Then, Tool
from langgraph_signoff.policy.expressions import BadExpression, Expression, compile_expression
from langgraph_signoff.policy.hours import to_hours
from langgraph_signoff.policy.index import ANY_TOOL, requirements
from langgraph_signoff.policy.loading import Path, Source
from langgraph_signoff.policy.panels import read_panel
from langgraph_signoff.policy.quoting import quote_mistake
from langgraph_signoff.policy.shape import shaped

RESERVED_CODES = ("granted", "over_budget", "planned", "policy_error", "standing_rejection", "unlisted_tool")

_OF_AUDITS = (*Sampling.model_fields, "on_flag")
_OF_REVIEWS = ("second_look", "use_within", "on_timeout", "max_revisions", "reask")

_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)  # any will do: hours without a working day have none in years

_NAME = re.compile(r"(?!.*\*\*)[^\s?\[\]{}]+")
_GROUP = "group:"


def checked(source: Source) -> tuple[Document, dict[Path, Expression]]:
    """The document and its compiled expressions by their paths. Raises PolicyError with every mistake."""
    document = shaped(source)
    checker = _Checker(source, document or Document(version=1))
    checker.check()
    source.refuse_mistakes()
    assert document is not None
    return document, checker.expressions


class _Checker:
    def __init__(self, source: Source, document: Document) -> None:
        self._source, self._document = source, document
        # A section that was cut for its shape cannot say which names are unknown.
        self._broken = {mistake.where.split(".")[0] for mistake in source.mistakes}
        self._groups = defaultdict[str, set[str]](set)
        for name, person in (document.people or {}).items():
            for group in person.groups:
                self._groups[group].add(name)
        self.expressions: dict[Path, Expression] = {}

    def check(self) -> None:
        self._check_hearings(self._document.notify, ("notify",))
        for name in self._document.people or {}:
            if name.startswith(_GROUP):
                self._source.blame(("people", name), "a person's name cannot begin with `group:`", key=True)
        for name, queue in self._document.queues.items():
            self._check_queue(name, queue)
        for section in SECTIONS.values():
            for name, tool in getattr(self._document, section).items():
                self._check_entry((section, name), name, tool)

    def _check_queue(self, name: str, queue: Queue) -> None:
        path: Path = ("queues", name)
        if self._document.people is not None:
            for field, whom in (("owner", "who answers for it"), ("backup", "who may decide when nobody else does")):
                if not getattr(queue, field):
                    self._source.blame(path, f"has no {field}; name {whom}", key=True)
        if queue.owner:
            self._check_known(queue.owner, (*path, "owner"))
        for field in ("reviewers", "backup"):
            for number, who in enumerate(getattr(queue, field)):
                self._check_known(who, (*path, field, number))
        if queue.hours:
            self._check_hours(queue.hours, (*path, "hours"))
        self._check_hearings(queue.notify or [], (*path, "notify"))
        self._check_window(queue, queue, path)
        self._check_escalation(queue, queue, path)
        self._check_panel(queue, path)
        self._check_quorum(Then(then="review", queue=name), path)

    def _check_hearings(self, heard: Sequence[Hearing], path: Path) -> None:
        channels, people = self._document.channels, self._document.people or {}
        for number, hearing in enumerate(heard):
            channel = channels.get(hearing.channel)
            if hearing.channel not in channels and "channels" not in self._broken:
                self._source.blame((*path, number), f"unknown channel {hearing.channel}; add it to `channels`")
            elif hearing.channel in [other.channel for other in heard[:number]]:
                self._source.blame((*path, number), f"{hearing.channel} hears of it already")
            elif channel and channel.to and not any(person.address for person in people.values()):
                self._source.blame(
                    (*path, number), f"{hearing.channel} writes to people, and nobody in `people` has an address"
                )

    def _check_hours(self, written: ServiceHours, path: Path) -> None:
        try:
            hours = to_hours(written)
            if hours.opens >= hours.closes:
                self._source.blame((*path, "closes"), "is not after it opens; hours are those of one day")
            else:
                hours.after(_SOME_DAY, BusinessSpan.parse("1d"))
        except ValueError as error:
            self._source.blame(path, str(error))

    def _check_window(self, terms: Terms, queue: Queue, path: Path) -> None:
        if isinstance(terms.window, BusinessSpan) and queue.hours is None and "queues" not in self._broken:
            self._source.blame(
                (*path, "window"), "counts business time; say under `hours` of its queue when people work"
            )

    def _check_escalation(self, terms: Terms, queue: Queue, path: Path) -> None:
        for number, level in enumerate(terms.escalate or ()):
            if level.to is None and not queue.backup and "queues" not in self._broken:
                self._source.blame(
                    (*path, "escalate"), "says nobody to escalate to; name a `backup` in its queue, or `to`"
                )
            for who in level.to or ():
                self._check_known(who, (*path, "escalate", number, "to"))

    def _check_known(self, who: str, path: Path) -> None:
        if "people" in self._broken or self._known(who):
            return
        if who.startswith(_GROUP):
            self._source.blame(path, f"unknown group {who.removeprefix(_GROUP)}; nobody in `people` is in it")
        else:
            self._source.blame(path, f"unknown person {who}; add them to `people`")

    def _known(self, who: str) -> bool:
        if who.startswith(_GROUP):
            return who.removeprefix(_GROUP) in self._groups
        return self._document.people is None or who in self._document.people

    def _check_entry(self, path: Path, name: str, tool: Tool) -> None:
        if not _NAME.fullmatch(name):
            self._source.blame(path, "is no name; * is the only wildcard, and no two stand together", key=True)
        for number, rule in enumerate(tool.rules):
            self._check_then(rule, (*path, "rules", number), tool, name)
            self._compile(rule, (*path, "rules", number, "when"))
        self._check_then(tool.otherwise, (*path, "otherwise"), tool, name)
        self._check_reach(tool, path)
        if path[0] == "questions":
            self._check_question(tool, path)
        self._check_supervision(tool, path)
        if (problem := describe_mistake(tool.describe, self._document.vars)) and "vars" not in self._broken:
            self._source.blame((*path, "describe"), problem)
        for number, written in enumerate(tool.redact):
            if not secret_path(written):
                self._source.blame(
                    (*path, "redact", number),
                    "names no argument; write args.NAME (lists are walked through without a number)",
                )

    def _check_question(self, question: Tool, path: Path) -> None:
        for field in ("always_ask", "idempotent", "supervision", "undo"):
            if field in question.model_fields_set:
                self._source.blame((*path, field), "means nothing of a question: nothing of it runs", key=True)

    def _check_then(self, then: Then, path: Path, tool: Tool, name: str) -> None:
        at = (*path, "then") if (*path, "then") in self._source.values else path
        if then.then in ("allow", "audit") and (path[0] == "questions" or name == ANY_TOOL):
            why = "nobody would answer" if path[0] == "questions" else "`*` stands for tools nobody thought of"
            self._source.blame(at, f"{why}: it may be review or deny, never {then.then}")
        elif then.then == "audit" and not tool.can_be_taken_back:
            self._source.blame(
                at,
                "audit looks only afterwards: the entry must say `risk: {reversible: true}`, or `undo: true` where a gate "
                "declares its undo",
            )
        if then.reason_code in RESERVED_CODES:
            self._source.blame(
                (*path, "reason_code"), f"{then.reason_code} is what the policy itself says; choose another"
            )
        if then.then == "audit":
            self._check_audit(then, path, tool)
        else:
            self._check_idle(then, path, _OF_AUDITS, "nobody looks afterwards")
        if then.then in ("review", "audit"):
            self._check_asked(then, path)
        else:
            self._check_idle(then, path, ("queue", *Terms.model_fields), "nobody is asked")
        if then.then != "allow":
            self._check_unrecorded(then, path)
        if then.then != "review":
            self._check_idle(then, path, ("always_ask",), "nobody is asked")

    def _check_audit(self, then: Then, path: Path, tool: Tool) -> None:
        self._check_idle(then, path, _OF_REVIEWS, "it has run before anybody looks")
        if then.on_flag.undo and not tool.undo:
            self._source.blame(
                (*path, "on_flag"),
                "nothing says that it can be undone; write `undo: true` where a gate declares its undo",
            )
        secrets = [found for written in tool.redact if (found := secret_path(written))]
        if (problem := quote_mistake(then.on_flag.args, self._document.vars, secrets)) and "vars" not in self._broken:
            self._source.blame((*path, "on_flag", "args"), problem)

    def _check_idle(self, then: Then, path: Path, fields: Iterable[str], because: str) -> None:
        for field in fields:
            if field in then.model_fields_set:
                written = type(then).model_fields[field].alias or field
                self._source.blame((*path, written), f"means nothing beside `then: {then.then}`; {because}", key=True)

    def _check_asked(self, then: Then, path: Path) -> None:
        written = self._source.data.get("queues", {})
        if then.queue and then.queue != "default" and isinstance(written, dict) and then.queue not in written:
            self._source.blame((*path, "queue"), f"unknown queue {then.queue}; add it to `queues`")
            return
        queue = self._document.queues.get(then.queue or "default", Queue())
        self._check_window(then, queue, path)
        self._check_escalation(then, queue, path)
        if then.approvals or then.rejections:
            self._check_panel(then, path)
            self._check_quorum(then, path)

    def _check_unrecorded(self, then: Then, path: Path) -> None:
        for field in ("record", "once"):
            if getattr(then, field):
                self._source.blame(
                    (*path, field),
                    f"means nothing beside `then: {then.then}`, which is always recorded and runs at most once",
                    key=True,
                )

    def _check_panel(self, terms: Terms, path: Path) -> None:
        if not isinstance(terms.approvals, dict):
            return
        names = dict.fromkeys(named(read_panel(terms.approvals)))
        if self._document.people is None:
            if any(name.startswith(_GROUP) for name in names):
                self._source.blame((*path, "approvals"), "asks for groups; say under `people` who is in them")
            return
        for name in names:
            self._check_known(name, (*path, "approvals"))

    def _check_quorum(self, then: Then, path: Path) -> None:
        people = self._document.people
        if people is None or self._broken & {"people", "queues"}:
            return
        needs = requirements(self._document, then)
        asked = [*needs.reviewers, *(named(panel) for panel in needs.panels)]
        if not all(self._known(who) for clause in asked for who in clause):
            return
        able = set(people)
        for clause in needs.reviewers:
            able &= set[str]().union(
                *(
                    self._groups.get(who.removeprefix(_GROUP), set()) if who.startswith(_GROUP) else {who}
                    for who in clause
                )
            )
        voices = [Voice(by, frozenset(people[by].groups)) for by in sorted(able)]
        if not all(is_possible(panel, voices) for panel in needs.panels):
            who = ", ".join(sorted(able)) or "nobody"
            self._source.blame(
                (*path, "approvals"), f"can never come: {who} may decide in queue {needs.queue}, and nobody twice"
            )
            return
        for field in ("approvals", "rejections"):
            if getattr(needs, field) > len(able):
                needed = getattr(needs, field)
                self._source.blame(
                    (*path, field), f"{needed} {field} can never come: {len(able)} may decide in queue {needs.queue}"
                )

    def _check_reach(self, tool: Tool, path: Path) -> None:
        always = next((number for number, rule in enumerate(tool.rules) if rule.when is None), len(tool.rules))
        for number, rule in enumerate(tool.rules):
            if number > always and rule.then != "deny":
                self._source.blame(
                    (*path, "rules", number), f"is never reached: rule {always} has no `when`, so it always holds"
                )

    def _check_supervision(self, tool: Tool, path: Path) -> None:
        strategic = (tool.supervision or self._document.supervision) == "strategic"
        is_reviewed = any(then.then == "review" for then in (tool.otherwise, *tool.rules))
        if strategic and path[0] == "tools" and is_reviewed and not tool.can_be_taken_back:
            self._source.blame(
                path,
                "would run before anybody has looked at it, and nothing says that it is reversible; state "
                "`risk: {reversible: true}`, or `undo: true` where a gate declares its undo, or write "
                "`supervision: hybrid` to be asked before what cannot be taken back",
                key=True,
            )

    def _compile(self, rule: Rule, path: Path) -> None:
        if rule.when is None:
            return
        try:
            self.expressions[path] = compile_expression(rule.when, self._document.vars)
        except BadExpression as error:
            if "vars" not in self._broken or "vars." not in str(error):
                self._source.blame(path, str(error), within=(error.line, error.column))

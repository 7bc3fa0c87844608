"""Detect: a policy file becomes rules, and an action becomes a ruling. Pure: no clock, no network, and no file but the policy itself."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from langgraph_signoff.canonical import strict_json
from langgraph_signoff.errors import Mistake, PolicyError
from langgraph_signoff.policy.describe import find, render_describe
from langgraph_signoff.policy.loading import Source, read_bytes, read_data, read_text
from langgraph_signoff.vocabulary import Action, Counts, Json, Requirements, Ruling, Tried

if TYPE_CHECKING:
    from langgraph_signoff.policy.channels import Channel, LinkTerms
    from langgraph_signoff.policy.rulebook import Rulebook

__all__ = ["Policy", "render_describe"]


RULED_AS = {"undo": "tool", "outcome": "node", "plan": "tool"}
"""What undoes a call or proposes a plan is a tool, or is ruled as one; who reviews an outcome does so at a node."""


Ruled = Literal["tool", "node", "question"]
"""The kinds of action of which the policy speaks, each in a section of its own."""


class Policy:
    """What may run alone, what a person decides, and what never runs; immutable.

    Written in Python it takes what the file takes, checked in the same way. Raises PolicyError with every mistake.
    """

    version: str
    """SHA-256 of `document` in hex: the same meaning gives the same version."""
    document: str
    """The policy in canonical form, to be stored under its version; `Policy.parse` reads it back to the same version."""
    people: Mapping[str, frozenset[str]] | None
    """The groups of each person who may decide; None when any name is believed."""

    def __init__(
        self,
        *,
        default: Literal["review", "deny"] = "review",
        tools: Mapping[str, Any] | None = None,
        nodes: Mapping[str, Any] | None = None,
        questions: Mapping[str, Any] | None = None,
        people: Mapping[str, Any] | Literal["open"] | None = None,
        queues: Mapping[str, Any] | None = None,
        vars: Mapping[str, Json] | None = None,
        channels: Mapping[str, Any] | None = None,
        notify: Sequence[Any] | None = None,
        links: Mapping[str, Any] | str | None = None,
        budgets: Sequence[Mapping[str, Any]] | None = None,
        record: bool | None = None,
        supervision: Literal["tactical", "strategic", "hybrid"] | None = None,
    ) -> None:
        given = {
            "default": default,
            "tools": tools,
            "nodes": nodes,
            "questions": questions,
            "people": people,
            "queues": queues,
            "vars": vars,
            "channels": channels,
            "notify": notify,
            "links": links,
            "budgets": budgets,
            "record": record,
            "supervision": supervision,
        }
        self._take(
            read_data(
                {"version": 1, **{key: value for key, value in given.items() if value is not None}}, "Policy(...)"
            )
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Policy:
        """The policy in a YAML file. Raises PolicyError, also when the file cannot be read."""
        try:
            content = Path(path).read_bytes()
        except (OSError, ValueError) as error:
            raise PolicyError(
                str(path), [Mistake("file", f"cannot be read: {getattr(error, 'strerror', None) or error}")]
            ) from error
        return cls._of(read_bytes(content, str(path)))

    @classmethod
    def parse(cls, text: str, source: str = "signoff.yaml") -> Policy:
        """The policy in a YAML text; `source` names it in errors. Raises PolicyError."""
        return cls._of(read_text(text, source))

    @classmethod
    def restore(cls, document: str) -> Policy:
        """The policy of a `document`, in a fraction of the time that `parse` takes. Raises PolicyError."""
        try:
            data = strict_json(document)
        except ValueError:
            return cls.parse(document, "the policy on record")  # which says what is wrong with it, and where
        return cls._of(read_data(data, "the policy on record"))

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """JSON Schema of the policy file, for editors."""
        from langgraph_signoff.policy.document import json_schema

        return json_schema()

    def rule(self, action: Action, *, now: datetime, history: Counts | None = None) -> Ruling:
        """The ruling on an action at `now`, given what its thread did before. Never raises; what is in doubt is reviewed."""
        rulebook = self._rulebook(action)
        ruling = rulebook.decide(action, now=now, history=history or Counts())
        return self.timed(self._charged(ruling, action, now) if rulebook.budgets else ruling, now)

    def lets_run(self, tool: str, parsed: Mapping[str, Json]) -> Ruling | None:
        """The ruling on a tool that always runs, with nothing written, as long as its arguments are sound; None otherwise."""
        return self._indexes["tool"].rulebook(tool).lets_run(parsed)

    def counted(self, action: Action) -> frozenset[str]:
        """The tools whose counts the rules for an action read; `*` for any."""
        return frozenset(name or action.tool for name in self._rulebook(action).counts)

    def records(self, name: str) -> bool:
        """Whether every call of a tool, run of a node and question of that name leaves a record; of `*`, every one at all."""
        if name == "*":
            return self._document.record
        kinds = [kind for kind in self._indexes if self._indexes[kind].entries(name)] or ["tool"]
        return all(self._indexes[kind].rulebook(name).records for kind in kinds)

    def try_out(
        self, action: Action, *, now: datetime, history: Counts | None = None
    ) -> tuple[list[Tried], dict[str, Json]]:
        """The rules that decide on an action, in the order in which they are looked at, and what their expressions read."""
        return self._rulebook(action).try_out(action, now=now, history=history or Counts())

    def written(self, rule: str) -> Json:
        """A rule as the policy has it, such as `tools.send_money.rules.2`; None if it has none, or says nothing there."""
        section, _, rest = rule.partition(".")
        entries = json.loads(self.document).get(section, {})
        # A name may hold dots itself: the longest one that fits is the entry's.
        name = max((name for name in entries if f"{rest}.".startswith(f"{name}.")), key=len, default=None)
        return (
            find(entries[name], [key for key in rest[len(name) + 1 :].split(".") if key]) if name is not None else None
        )

    def review(self, action: Action, *, now: datetime) -> Ruling:
        """The ruling that puts an action before people for a reason of another's: as many approvals as its strictest review."""
        rulebook = self._rulebook(action)
        return self.timed(self._charged(rulebook.doubt, action, now) if rulebook.budgets else rulebook.doubt, now)

    def _charged(self, ruling: Ruling, action: Action, now: datetime) -> Ruling:
        from langgraph_signoff.policy.budgets import charged

        # What undoes a call, or proposes it in a plan, spends nothing.
        return charged(ruling, self._rulebook(action), action, now) if action.kind == "tool" else ruling

    def timed(self, ruling: Ruling, now: datetime) -> Ruling:
        """The ruling with its window as it is on the clock from `now` on: business time comes to another span each time."""
        needs = ruling.requirements
        if not needs.business or ruling.mode == "deny":
            return ruling
        # It is kept in whole seconds: what ends at five would end just before.
        window = timedelta(seconds=math.ceil((self.due(needs, now) - now).total_seconds()))
        timed = {"window": window, "clock_shares": self._clock_shares(needs, now, window)}
        return ruling.model_copy(update={"requirements": needs.model_copy(update=timed)})

    def _clock_shares(self, needs: Requirements, now: datetime, window: timedelta) -> tuple[tuple[float, float], ...]:
        # Nobody is reminded, and nothing escalates, while those who could decide in time are at home.
        shares, hours = {*needs.reminders, *(step.at for step in needs.escalations)}, self._hours.get(needs.queue)
        if not shares or hours is None:
            return ()
        from langgraph_signoff.business import BusinessSpan

        work = hours.worked(now, now + window)
        moments = {share: hours.after(now, BusinessSpan(0, share * work)) for share in sorted(shares)}
        return tuple((share, (moment - now) / window) for share, moment in moments.items())

    def due(self, requirements: Requirements, start: datetime) -> datetime:
        """When a window of theirs is over that begins at `start`, in the hours of their queue if it counts business time."""
        hours = self._hours.get(requirements.queue)
        if not requirements.business or hours is None:
            return start + requirements.window
        from langgraph_signoff.business import BusinessSpan

        return hours.after(start, BusinessSpan.parse(requirements.business))

    @property
    def owners(self) -> frozenset[str]:
        """Who answers for some queue."""
        return frozenset(queue.owner for queue in self._document.queues.values() if queue.owner)

    def needs_history(self, action: Action) -> bool:
        """Whether the rules that apply to this action read `history`."""
        return self._rulebook(action).needs_history

    def summary(self, name: str, *, kind: Ruled) -> str:
        """What can become of a tool's calls, a node's runs or a question, in words such as `allow or review`."""
        return " or ".join(self._indexes[kind].rulebook(name).modes)

    def undoes(self, name: str, *, kind: Literal["tool", "node"]) -> bool:
        """Whether the entry of a tool or node says that its gate declares an undo."""
        index = self._indexes[kind]
        return any(index.undoes(entry) for entry in index.entries(name)[:1])

    def put_off(self, name: str, *, kind: Literal["tool", "node"]) -> tuple[Requirements, ...]:
        """What the reviews of a tool's calls or a node's runs need that can wait for the outcome of the run."""
        return self._indexes[kind].rulebook(name).put_off

    def reviews(self, name: str, *, kind: Ruled) -> tuple[Ruling, ...]:
        """The rulings that put a tool's calls, a node's runs or a question before people, as far as its rules say."""
        return self._indexes[kind].rulebook(name).reviews

    def channel(self, name: str) -> Channel | None:
        """How a channel is defined; None if the policy names none so, or was read from a ledger, which holds no definitions."""
        return self._document.channels.get(name)

    @property
    def tells(self) -> bool:
        """Whether it defines any channel."""
        return any(self._document.channels.values())

    def shows_arguments(self, queue: str, channel: str) -> bool:
        """Whether the arguments of a queue's calls may leave by a channel: only if the queue says so."""
        from langgraph_signoff.policy.index import hearings

        return any(heard.arguments for heard in hearings(self._document, queue) if heard.channel == channel)

    @property
    def links(self) -> LinkTerms | None:
        """Where the page behind a message's links is, and how long they hold; None if there are none."""
        return self._document.links

    @property
    def addresses(self) -> dict[str, str]:
        """Where messages reach people, by their names; who has no address is not in it."""
        return {name: person.address for name, person in (self._document.people or {}).items() if person.address}

    def names(self, name: str, *, kind: Ruled) -> bool:
        """Whether an entry of the section for this kind names it, or a pattern fits it."""
        return bool(self._indexes[kind].entries(name))

    def warnings(self, tools: Iterable[str], nodes: Iterable[str] = (), questions: Iterable[str] = ()) -> list[str]:
        """One sentence for each tool, each guarded node and each question of a graph that no entry names."""
        done = {"review": "reviewed", "deny": "denied"}[self._document.default]
        asked = {"review": "put to anybody", "deny": "denied"}[self._document.default]
        kinds = (("tool", "call", tools, done), ("node", "run", nodes, done), ("question", "asking", questions, asked))
        return [
            f"{name}: no entry of the policy names this {kind}; every {does} of it will be {end}"
            for kind, does, names, end in kinds
            for name in names
            if not self._indexes[kind].entries(name)
        ]

    def check_graph(self, tools: Iterable[str], nodes: Iterable[str] = (), questions: Iterable[str] = ()) -> None:
        """Raises PolicyError for each entry, and each count in an expression, that fits nothing gated in a graph.

        An entry of `questions` may be for one that a node asks, which no graph shows.
        """
        from langgraph_signoff.policy.fallbacks import fallbacks
        from langgraph_signoff.policy.index import fits

        source = Source(self._source.name, keys=self._source.keys, values=self._source.values)
        known = {"tool": frozenset(tools), "node": frozenset(nodes)}
        for kind, names in known.items():
            for path, message in self._indexes[kind].strangers(names):
                source.blame(path, message, key=True)
            for path, name in self._indexes[kind].called():
                if name not in known["tool"]:
                    source.blame(path, f"calls {name}, but the graph has no such tool")
        for number, budget in enumerate(self._document.budgets):
            if not any(fits(name, budget.tool) for name in known["tool"]):
                source.blame(
                    ("budgets", number, "tool"), f"counts calls of {budget.tool}, but the graph has no such tool"
                )
        for path, name in fallbacks(self._document):
            if name not in known["tool"]:
                source.blame(path, f"calls {name}, but the graph has no such tool")
        countable = frozenset(questions).union(*known.values())
        for path, expression in self._expressions.items():
            for name in sorted(
                name for name in expression.named - countable if not self._indexes["question"].entries(name)
            ):
                source.blame(path, f"counts {name}, but the graph has no such tool")
        source.refuse_mistakes()

    def __repr__(self) -> str:
        return f"<Policy {self._source.name} {self.version[:12]}>"

    def _rulebook(self, action: Action) -> Rulebook:
        return self._indexes[RULED_AS.get(action.kind, action.kind)].rulebook(action.tool)

    @classmethod
    def _of(cls, source: Source) -> Policy:
        policy = cls.__new__(cls)
        policy._take(source)
        return policy

    def _take(self, source: Source) -> None:
        # CEL and the model are loaded with the first policy, not with the package.
        from langgraph_signoff.policy.budgets import budget_mistakes
        from langgraph_signoff.policy.checks import checked
        from langgraph_signoff.policy.document import SECTIONS
        from langgraph_signoff.policy.fallbacks import fallback_mistakes
        from langgraph_signoff.policy.hours import to_hours
        from langgraph_signoff.policy.index import Index

        self._source = source
        self._document, self._expressions = checked(source)
        meaning = self._document.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        self.document = json.dumps(meaning, sort_keys=True, ensure_ascii=False)
        self.version = hashlib.sha256(self.document.encode()).hexdigest()
        hours = {name: queue.hours for name, queue in self._document.queues.items()}
        self._hours = {name: to_hours(written) for name, written in hours.items() if written}
        people = self._document.people
        self.people = None if people is None else {name: frozenset(person.groups) for name, person in people.items()}
        self._indexes = {
            kind: Index(self._document, self._expressions, kind=kind, version=self.version) for kind in SECTIONS
        }
        for path, problem, within in budget_mistakes(self._document):
            source.blame(path, problem, within=within)
        for path, problem in fallback_mistakes(self._document, self._indexes):
            source.blame(path, problem)
        source.refuse_mistakes()

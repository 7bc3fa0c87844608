"""The gate before a plain node or task: what it is about to do is the action, what it returned is the outcome."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config
from langgraph.runtime import Runtime, get_runtime

from langgraph_signoff.canonical import digest
from langgraph_signoff.errors import ActionRefused, RepeatedKey, UngatedCall
from langgraph_signoff.law import Case
from langgraph_signoff.ledger import Query, Row, find_all
from langgraph_signoff.nodes import visits
from langgraph_signoff.nodes.apart import Apart
from langgraph_signoff.nodes.as_json import as_json, fields_of
from langgraph_signoff.nodes.heart import BEGUN, CURRENT, Heart
from langgraph_signoff.nodes.internals import can_call_tasks, skip_call
from langgraph_signoff.nodes.messages import RecordedFailure, did_run, keep_result
from langgraph_signoff.nodes.steps import Io, Steps, Work
from langgraph_signoff.nodes.turn import (
    Call,
    Requester,
    graph_of,
    last_human,
    messages_of,
    requester_of,
    ticket_id,
    where_from,
)
from langgraph_signoff.view import to_ticket
from langgraph_signoff.vocabulary import Action, CurrentAction, Json, Kind, Standing, Ticket

_UNANSWERED = (Standing.PENDING, Standing.APPROVED)


@dataclass(frozen=True)
class Gate:
    """What a guarded node or task needs: who it is, how its action and its key are read, what stands in for a refused one.

    `by_visit`: LangGraph's own name of the visit is the key. It outlives a resume, and a fork of the thread asks again.
    `is_shared`: whether others may ask something in the same task.
    """

    name: str
    heart: Heart
    action: Callable[[Any], Mapping[str, Any]]
    key: Callable[[Any], object] | None = None
    apply: Callable[[Any, dict[str, Json]], Any] | None = None
    refused: Callable[[Any, Ticket, str], Any] | None = None
    requester: Requester | None = None
    agent: str = ""
    trigger: Callable[[Any], str] | None = None
    resource: Callable[[Any], str | None] | None = None
    by_visit: bool = False
    is_shared: bool = False
    kind: Kind = "node"

    def call(self, given: Any) -> Call:
        """The run that is about to begin, named by its key. Raises TypeError if its action is no object."""
        config, runtime = _run_of(self.name)
        args = as_json(self.action(given))
        if not isinstance(args, dict):
            raise TypeError(f"the action of {self.name!r} must be a dict of what it is about to do, not {args!r}")
        thread_id, trouble = where_from(config)
        own = visits.place_of(config) if self.by_visit else self.key and as_json(self.key(given))
        key = json.dumps(["node", self.name, own], sort_keys=True)
        turn, trigger = last_human(messages_in(given))
        hash_ = digest(self.name, args)
        id_ = ticket_id(thread_id, key, hash_)
        action = Action(
            thread_id=thread_id,
            kind=self.kind,
            proposal=key,
            tool=self.name,
            args=args,
            parsed=args,
            digest=hash_,
            message_id=key,
            turn=turn or key,
            graph=graph_of(config),
            agent=self.agent,
            requester=requester_of(config, runtime, self.requester),
            resource=self.resource(given) if self.resource else None,
            trigger=self.trigger(given) if self.trigger else trigger,
            args_schema=_only(args),
            visit=visits.visit_of(config, id_),
            editable=self.apply is not None,
        )
        return Call(action, id_, trouble=trouble)

    def steps(self, given: Any, body: Callable[[Any], Any]) -> Steps[Any]:
        """The heart's, for the run that is about to begin."""
        # What the author has to say of it may be read from a file.
        call = yield Io(functools.partial(self.call, given))
        return (yield from self.steps_of(call, given, body))

    def steps_of(self, call: Call, given: Any, body: Callable[[Any], Any]) -> Steps[Any]:
        """The heart's, after a look whether another run has used the key."""
        if self.by_visit:
            call = yield from self._brought_back(call)
        door = NodeDoor(self, call, given, body)
        earlier = yield Io(functools.partial(self._earlier, call))
        if earlier and (yield from visits.is_over(earlier)):
            raise self.repeated()
        try:
            yield from self.heart.admit([call])
            if call.known:
                yield Io(functools.partial(self._earlier, call))  # another one of this step may have come meanwhile
            return (yield from self.heart.perform(call, door))
        except RecordedFailure as failure:
            case = yield Io(functools.partial(self.heart.desk.case, call.id))
            return door.tell(case, failure.told(self.name))

    def _brought_back(self, call: Call) -> Steps[Call]:
        """The same call; under its old key if it runs only once, did, and a replay has led back before it."""
        newest = yield Io(functools.partial(self._newest, call))
        if newest is None or not newest.ruling.once or newest.standing not in BEGUN:
            return call
        if not (yield from visits.is_brought_back(_visit(newest))):
            return call
        key = newest.action["proposal"]
        action = call.action.model_copy(update={"proposal": key, "message_id": key})
        return Call(action, newest.id, trouble=call.trouble)

    def _newest(self, call: Call) -> Case | None:
        rows = [row for row in self._rows(call.action) if row.digest == call.action.digest]
        if not rows or any(row.id == call.id for row in rows):
            return None
        case = self.heart.desk.case(max(rows, key=lambda row: row.opened_at).id)
        return case if _visit(case) else None

    def _earlier(self, call: Call) -> str:
        """Another visit to which the record has an answer for this very action, empty if there is none."""
        answered, action = "", call.action
        for row in self._rows(action):
            if row.message_id != action.message_id:
                continue
            case = self.heart.desk.case(row.id)
            self.check_visit(case, action.visit)
            if row.id != call.id and case.standing in BEGUN:
                raise self.repeated()
            if row.id == call.id and case.standing not in _UNANSWERED:
                answered = _visit(case)
        return "" if not answered or visits.is_same(answered, action.visit) else answered

    def _rows(self, action: Action) -> list[Row]:
        return find_all(self.heart.desk.ledger, Query(thread_id=action.thread_id, tool=self.name, limit=1000))

    def check_visit(self, case: Case, visit: str) -> None:
        """Raises RepeatedKey if a case is about another visit in the same step."""
        if _visit(case) and visits.is_beside(_visit(case), visit):
            raise self.repeated()

    def repeated(self) -> RepeatedKey:
        """The error for a key that another run has used."""
        key = "each run a key of its own" if self.key else "key=, a name of its own for each run"
        return RepeatedKey(f"{self.name!r} runs again in this thread under the same key; give {key}")


class NodeDoor:
    """What the heart needs to know of one run of a node or task."""

    def __init__(self, gate: Gate, call: Call, given: Any, body: Callable[[Any], Any]) -> None:
        self.name = gate.name
        self.note: Mapping[str, str] = {"visit": call.action.visit}
        self._gate, self._call, self._given, self._body = gate, call, given, body

    def parse(self, args: dict[str, Any]) -> dict[str, Any]:
        return args

    def fit(self, case: Case) -> dict[str, Any]:
        self._check_visit(case)
        return case.args

    def work(self, args: dict[str, Any] | None, about: CurrentAction | None) -> Work:
        given, edit = self._given, self._gate.apply
        if args is not None and edit is not None and args != self._call.action.args:
            given = edit(given, args)
        run = functools.partial(self._body, given)
        if args is None or about is None or not self._is_apart():
            return Work(run, run, CURRENT, about)
        return Apart(run, run, CURRENT, about, keep=self._kept)

    def _is_apart(self) -> bool:
        return self._gate.is_shared and can_call_tasks(get_config())

    def _kept(self, response: Any) -> Any:
        return keep_result(response, name=self.name, tell=str)[1]

    def recall(self) -> None:
        if self._is_apart():
            skip_call(get_config()["configurable"])

    def tell(self, case: Case, text: str) -> Any:
        self._check_visit(case)
        if did_run(case):
            return self._update(case.outcome.result) if case.outcome else None
        if self._gate.refused is None:
            raise ActionRefused(text, case.id)
        return self._gate.refused(self._given, to_ticket(case), text)

    def _update(self, result: Json) -> Json:
        # What somebody says of it need not be an update; a state of several channels takes no other than an object.
        kind: type = type(self._given)
        has_channels = isinstance(self._given, Mapping) or fields_of(kind)
        return None if has_channels and not isinstance(result, dict) else result

    def give(self, case: Case, kept: Any) -> Any:
        self._check_visit(case)
        return kept

    def _check_visit(self, case: Case) -> None:
        self._gate.check_visit(case, self._call.action.visit)


def _run_of(name: str) -> tuple[RunnableConfig, Runtime[Any]]:
    with suppress(RuntimeError, KeyError):
        config, runtime = get_config(), get_runtime()
        if runtime:
            return config, runtime
    raise UngatedCall(f"{name!r} is guarded and runs only inside a graph; let the graph run it")


def messages_in(given: Any) -> list[Any]:
    """The messages of a node's state, if it has any."""
    # A plain node's state may hold anything under this name.
    named = given.get("messages") if isinstance(given, Mapping) else getattr(given, "messages", None)
    found = given if isinstance(given, list) else named
    return messages_of(found, "messages") if isinstance(found, list) else []


def _visit(case: Case) -> str:
    """The visit that ran, or else the one that asked; empty if that has been erased."""
    return str(case.result.get("visit") or case.visit)


def _only(args: Mapping[str, Json]) -> dict[str, Json]:
    """A schema that takes these arguments and no other."""
    return {"type": "object", "properties": {key: {} for key in args}, "additionalProperties": False}

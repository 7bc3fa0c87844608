"""What flags ask for, outside of any run and through the one heart: an undo, or the call of a tool; else an alert."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from langchain_core.tools import BaseTool
from langgraph.errors import GraphBubbleUp, GraphInterrupt

from langgraph_signoff import law
from langgraph_signoff.canonical import digest
from langgraph_signoff.errors import LedgerError, SignoffError
from langgraph_signoff.law import Case
from langgraph_signoff.ledger import Query
from langgraph_signoff.nodes import messages
from langgraph_signoff.nodes.checks import Graph, guards, undoings_of
from langgraph_signoff.nodes.heart import CURRENT, Heart
from langgraph_signoff.nodes.payload import tickets_of
from langgraph_signoff.nodes.reversal import undo_id
from langgraph_signoff.nodes.rollback import rollback
from langgraph_signoff.nodes.schema import ToolSchema
from langgraph_signoff.nodes.steps import Io, Steps, Work
from langgraph_signoff.nodes.turn import Call, ticket_id
from langgraph_signoff.policy.quoting import quote
from langgraph_signoff.view import secrets_of, to_ticket
from langgraph_signoff.vocabulary import (
    Action,
    CurrentAction,
    FollowUp,
    Json,
    OnFlag,
    Ruling,
    Standing,
    Ticket,
    Verdict,
)


class NotPossible(Exception):
    """What a flag asks for cannot be done without a person; the message says why."""


@dataclass(frozen=True, slots=True)
class FollowUps:
    """Does what the flags of a graph's actions ask for, as far as its gates know how. `own`: for what no gate of it shows.

    `others`: names of other graphs, to which what they have run is left: the same name of a tool may mean something else there.
    """

    graph: Graph
    own: Heart
    others: frozenset[str] = frozenset()

    def steps(self) -> Steps[list[FollowUp]]:
        """Goes through all flags that nothing has come of yet, the most urgent first."""
        done = []
        for audit in (yield Io(self._flagged)):
            done.append((yield from self._one(audit)))
        return done

    def _flagged(self) -> list[Case]:
        query, found = Query((Standing.FLAGGED,), told=False, limit=500), list[Case]()
        while page := self.own.desk.ledger.find(query):
            found += [self.own.desk.case(row.id) for row in page]
            query = replace(query, after=page[-1])
        return found

    def _one(self, audit: Case) -> Steps[FollowUp]:
        try:
            found = yield from self._done(audit)
        except NotPossible as reason:
            found = FollowUp(audit=audit.id, did="alert", why=str(reason))
        except GraphInterrupt as pause:
            return _waits(audit, pause)
        except LedgerError:
            raise
        except SignoffError as error:
            return FollowUp(audit=audit.id, did="wait", why=str(error))
        if found.did != "left":
            yield Io(partial(self.own.desk.write, audit.id, partial(law.follow_up, found=found)))
        return found

    def _done(self, audit: Case) -> Steps[FollowUp]:
        on_flag = audit.ruling.audit.on_flag if audit.ruling.audit else OnFlag()
        case = yield Io(partial(self.own.desk.case, audit.about))
        if (ran_by := case.opening["graph"]) in self.others:
            return FollowUp(audit=audit.id, did="left", why=f"graph {ran_by} has run it")
        name = on_flag.tool or case.opening["tool"]
        known = self._known(name)
        if known is None:
            return FollowUp(audit=audit.id, did="left", why=f"no gate of this graph knows {name}")
        if case.erased:
            raise NotPossible("what it was about has been erased")
        heart, tool = known
        if on_flag.undo and name not in heart.undoings:
            why = f"no gate of this graph declares an undo for {name}, or not each of them the same"
            return FollowUp(audit=audit.id, did="left", why=why)
        if on_flag.undo:
            return (yield from _undone(heart, audit, case))
        if tool is None:
            raise NotPossible(f"{name} is no tool")
        return (yield from OutsideCall(heart, audit, tool).steps())

    def _known(self, name: str) -> tuple[Heart, BaseTool | None] | None:
        for heart, names, tools in guards(self.graph):
            if name in names:
                # Its rules and its undos, and the record at hand: the graph may have opened that for itself.
                own, undoings = self.own, undoings_of(self.graph, heart)
                known = replace(heart, desk=own.desk, claims=own.claims, plans=own.plans, undoings=undoings)
                return known, tools.get(name)
        return (self.own, None) if name in self.own.undoings else None


def _waits(audit: Case, pause: GraphInterrupt) -> FollowUp:
    values = [interrupt.value for interrupt in pause.args[0]]
    held = [f"halted: {value['halted']}" for value in values if "halted" in value]
    tickets = [ticket for value in values for ticket in tickets_of(value)]
    return FollowUp(audit=audit.id, did="wait", tickets=tuple(tickets), why="; ".join(held))


def _undone(heart: Heart, audit: Case, case: Case) -> Steps[FollowUp]:
    done = yield from rollback(heart, [case], admit=heart.rule)
    if case.id not in done.undone:
        raise NotPossible(done.left[0].why if done.left else f"it is {case.standing}")
    return FollowUp(audit=audit.id, did="undo", tickets=(yield Io(partial(_tries, heart, case))))


def _tries(heart: Heart, case: Case) -> tuple[str, ...]:
    tries: list[str] = []
    while (id_ := undo_id(case, len(tries))) in heart.desk.ledger.rows([id_]):
        tries.append(id_)
    return tuple(tries)


class OutsideCall:
    """The call of a tool that a flag asks for: what the heart needs to know of it. Raises NotPossible."""

    note: Mapping[str, str] = {}

    def __init__(self, heart: Heart, audit: Case, tool: BaseTool) -> None:
        self.name, self._heart, self._tool = tool.name, heart, tool
        self._audit: Ticket = to_ticket(audit)
        self._hidden = secrets_of(audit)
        self._schema = ToolSchema(tool)
        if self._schema.injected:
            raise NotPossible(f"{tool.name} needs the state of a run, and there is none")
        args = self._schema.proposed(self._quoted())
        try:
            self._call = self._named(args, self._schema.parse(args))
        except Exception as error:
            raise NotPossible(f"{tool.name} does not take {sorted(args)} so: {_short(error)}") from error

    def steps(self) -> Steps[FollowUp]:
        """Calls it, asks, or finds it done."""
        yield from self._heart.rule([self._call])
        try:
            yield from self._heart.perform(self._call, self)
        except (GraphBubbleUp, SignoffError):
            raise
        except Exception as error:
            raise NotPossible(f"{self.name} failed: {_short(error)}") from error
        case: Case = yield Io(partial(self._heart.desk.case, self._call.id))
        if case.standing is not Standing.EXECUTED:
            raise NotPossible(messages.end(case, self.name))
        return FollowUp(audit=self._audit.id, did="call", tickets=(case.id,))

    def _quoted(self) -> dict[str, Json]:
        flag = next(said for said in reversed(self._audit.decisions) if said.verdict is Verdict.FLAG)
        about = {"args": self._audit.args, "tool": self._audit.tool, "flag": {"by": flag.by, "reason": flag.reason}}
        return dict(quote(self._audit.on_flag.args if self._audit.on_flag else {}, about))

    def _named(self, args: dict[str, Json], parsed: dict[str, Json]) -> Call:
        audit, proposal = self._audit, json.dumps(["follow_up", self._audit.id])
        action = Action(
            thread_id=audit.thread_id,
            proposal=proposal,
            tool=self.name,
            args=args,
            parsed=parsed,
            digest=digest(self.name, args),
            message_id=proposal,
            turn=proposal,
            agent=audit.agent,
            requester=audit.requester,
            resource=audit.resource,
            trigger=f"a flag on {audit.tool}, ticket {audit.about[:12]}",
            args_schema=self._schema.json_schema,
            hidden=self._hidden,
        )
        return Call(action, ticket_id(audit.thread_id, proposal, action.digest), adjust=_outside)

    def parse(self, args: dict[str, Any]) -> dict[str, Any]:
        """What the tool would get from these arguments."""
        return self._schema.parse(args)

    def fit(self, case: Case) -> dict[str, Any] | None:
        """The arguments to run with, or None if they no longer parse to what the case shows."""
        return self._schema.fit(case.args, case.parsed)

    def work(self, args: dict[str, Any] | None, about: CurrentAction | None) -> Work:
        """The call, ready to be run."""
        given = {"name": self.name, "args": args, "id": self._call.id, "type": "tool_call"}
        return Work(partial(self._tool.invoke, given), partial(self._tool.ainvoke, given), CURRENT, about)

    def recall(self) -> None:
        """Nothing: it takes no place among the calls of a task."""

    def tell(self, case: Case, text: str) -> str:  # noqa: ARG002  # one shape for every door
        """What stands in for a result that the tool has not given."""
        return text

    def give(self, case: Case, kept: Any) -> Any:  # noqa: ARG002  # one shape for every door
        """What the tool gave."""
        return kept


def _outside(ruling: Ruling) -> Ruling:
    # No run whose end somebody reviews; and what a flag has set off runs once, whoever comes back to it.
    if ruling.at_the_end:
        return ruling.model_copy(update={"mode": "review", "once": False, "at_the_end": False})
    return ruling.model_copy(update={"once": True}) if ruling.mode == "allow" else ruling


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {messages.spelled(error)}"[:500]

"""What flags and silence ask for, outside of any run and through the one heart: an undo, or the call of a tool; else an alert."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from langchain_core.tools import BaseTool
from langgraph.errors import GraphInterrupt

from langgraph_signoff import law
from langgraph_signoff.errors import LedgerError, SignoffError
from langgraph_signoff.law import Case
from langgraph_signoff.ledger import Query, find_all
from langgraph_signoff.nodes.checks import Graph, guards, undoings_of
from langgraph_signoff.nodes.heart import Heart
from langgraph_signoff.nodes.outside import NotPossible, OutsideCall, errand_of
from langgraph_signoff.nodes.payload import tickets_of
from langgraph_signoff.nodes.reversal import undo_id
from langgraph_signoff.nodes.rollback import rollback
from langgraph_signoff.nodes.steps import Io, Steps
from langgraph_signoff.vocabulary import (
    FollowUp,
    Standing,
)


@dataclass(frozen=True, slots=True)
class FollowUps:
    """Does what is asked for after a graph's actions, as far as its gates know how. `own`: for what no gate of it shows.

    `others`: names of other graphs, to which what they have run is left: the same name of a tool may mean something else there.
    """

    graph: Graph
    own: Heart
    others: frozenset[str] = frozenset()

    def steps(self) -> Steps[list[FollowUp]]:
        """Goes through all flags and timeouts that nothing has come of yet, the most urgent first of each."""
        done = []
        for asks in (yield Io(self._asking)):
            done.append((yield from self._one(asks)))
        return done

    def _asking(self) -> list[Case]:
        self.own.desk.expire()
        found = []
        for standing in (Standing.FLAGGED, Standing.EXPIRED):
            rows = find_all(self.own.desk.ledger, Query((standing,), told=False, limit=500))
            found += [self.own.desk.case(row.id) for row in rows]
        return found

    def _one(self, asks: Case) -> Steps[FollowUp]:
        try:
            found = yield from self._done(asks)
        except NotPossible as reason:
            found = FollowUp(about=asks.id, did="alert", why=str(reason))
        except GraphInterrupt as pause:
            return _waits(asks, pause)
        except LedgerError:
            raise
        except SignoffError as error:
            return FollowUp(about=asks.id, did="wait", why=str(error))
        if found.did != "left":
            yield Io(partial(self.own.desk.write, asks.id, partial(law.follow_up, found=found)))
        return found

    def _done(self, asks: Case) -> Steps[FollowUp]:
        case = (yield Io(partial(self.own.desk.case, asks.about))) if asks.about else asks
        if (ran_by := case.opening["graph"]) in self.others:
            return FollowUp(
                about=asks.id, did="left", why=f"graph {ran_by} has {'run' if asks.about else 'proposed'} it"
            )
        errand = errand_of(asks)
        name = errand.tool or case.opening["tool"]
        known = self._known(name)
        if known is None:
            return FollowUp(about=asks.id, did="left", why=f"no gate of this graph knows {name}")
        if case.erased:
            raise NotPossible("what it was about has been erased")
        heart, tool = known
        if errand.undo and name not in heart.undoings:
            why = f"no gate of this graph declares an undo for {name}, or not each of them the same"
            return FollowUp(about=asks.id, did="left", why=why)
        if errand.undo:
            return (yield from _undone(heart, asks, case))
        if tool is None:
            raise NotPossible(f"{name} is no tool")
        return (yield from OutsideCall(heart, asks, errand, tool).steps())

    def _known(self, name: str) -> tuple[Heart, BaseTool | None] | None:
        for heart, names, tools in guards(self.graph):
            if name in names:
                # Its rules and its undos, and the record at hand: the graph may have opened that for itself.
                own, undoings = self.own, undoings_of(self.graph, heart)
                known = replace(heart, desk=own.desk, claims=own.claims, plans=own.plans, undoings=undoings)
                return known, tools.get(name)
        return (self.own, None) if name in self.own.undoings else None


def _waits(asks: Case, pause: GraphInterrupt) -> FollowUp:
    values = [interrupt.value for interrupt in pause.args[0]]
    held = [f"halted: {value['halted']}" for value in values if "halted" in value]
    tickets = [ticket for value in values for ticket in tickets_of(value)]
    return FollowUp(about=asks.id, did="wait", tickets=tuple(tickets), why="; ".join(held))


def _undone(heart: Heart, asks: Case, case: Case) -> Steps[FollowUp]:
    done = yield from rollback(heart, [case], admit=heart.rule)
    if case.id not in done.undone:
        raise NotPossible(done.left[0].why if done.left else f"it is {case.standing}")
    return FollowUp(about=asks.id, did="undo", tickets=(yield Io(partial(_tries, heart, case))))


def _tries(heart: Heart, case: Case) -> tuple[str, ...]:
    tries: list[str] = []
    while (id_ := undo_id(case, len(tries))) in heart.desk.ledger.rows([id_]):
        tries.append(id_)
    return tuple(tries)

"""The front door: one object that knows the ledger and the policy, and loads what a call needs when it needs it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from langgraph_signoff import law
from langgraph_signoff.claims import Claims
from langgraph_signoff.desk import Clock, Desk, utc_now
from langgraph_signoff.errors import IncompleteDecision
from langgraph_signoff.law import Case, Halt, Say, Scope
from langgraph_signoff.leases import Leases
from langgraph_signoff.ledger import Draft, Entry, Ledger, Query, open_ledger, stamp
from langgraph_signoff.policy import Policy
from langgraph_signoff.revision import revise
from langgraph_signoff.view import to_ticket, words_of
from langgraph_signoff.vocabulary import Advisor, Answer, CurrentAction, Json, Probe, Run, Standing, Ticket, Verdict

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.pregel import Pregel
    from langgraph.runtime import Runtime

    from langgraph_signoff.audit import Report
    from langgraph_signoff.nodes.heart import Heart
    from langgraph_signoff.nodes.tool_node import GatedToolNode


class Signoff:
    """Gates tools, takes decisions, runs and resumes threads, over one ledger and one policy.

    `ledger`: path of the SQLite file, made if it is not there. `policy`: a YAML file's path or a `Policy`; without one,
    everything is reviewed, and decisions are judged by the policy under which their ticket was opened. `requester`: tells
    from a run's `Runtime` whom the agent acts for. `lease` and `wait`: seconds after which a silent runner whose process is
    gone counts as dead, and that a second runner waits for the first one's result. `advisors`: asked about each new action
    that the policy does not deny; they may make its ruling stricter or add a note, each within `advice_within` seconds.
    """

    def __init__(
        self,
        ledger: str | os.PathLike[str] | Ledger,
        *,
        policy: str | os.PathLike[str] | Policy | None = None,
        requester: Callable[[Runtime[Any]], str | None] | None = None,
        advisors: Sequence[Advisor] = (),
        advice_within: float = 30.0,
        clock: Clock = utc_now,
        lease: float = 10.0,
        wait: float = 15.0,
    ) -> None:
        self.ledger = open_ledger(os.fspath(ledger)) if isinstance(ledger, (str, os.PathLike)) else ledger
        self._given = policy
        self.requester = requester
        self._advisors, self._advice_within = tuple(advisors), advice_within
        self._recorded: dict[str, Policy] = {}
        self.desk = Desk(self.ledger, clock=clock)
        self.leases = Leases(self.ledger, self.desk.clock, seconds=lease)
        self.claims = Claims(self.desk, self.leases, wait=wait)

    @cached_property
    def policy(self) -> Policy:
        """The policy in force. Raises PolicyError on first use if its file is wrong."""
        if isinstance(self._given, Policy):
            return self._given
        return Policy() if self._given is None else Policy.load(self._given)

    # Gates ------------------------------------------------------------------------------------------------------------

    def tool_node(
        self, tools: Sequence[Any], *, verify: Mapping[str, Probe] | None = None, **options: Any
    ) -> GatedToolNode:
        """A drop-in for ToolNode whose tools run only as the policy or a person permits.

        `verify`: for a tool by name, a probe that says whether a call whose runner died has happened. The other options are
        ToolNode's, and those of `GatedToolNode`.
        """
        from langgraph_signoff.nodes.tool_node import GatedToolNode

        return GatedToolNode(tools, heart=self.heart(verify or {}), requester=self.requester, **options)

    def gate(
        self,
        name: str,
        *,
        action: Callable[[Any], Mapping[str, Any]],
        key: Callable[[Any], object] | None = None,
        refused: Callable[[Any, Ticket, str], Any] | None = None,
        apply: Callable[[Any, dict[str, Json]], Any] | None = None,
        verify: Probe | None = None,
        agent: str = "",
        trigger: Callable[[Any], str] | None = None,
        resource: Callable[[Any], str | None] | None = None,
    ) -> Callable[[Any], Any]:
        """Guards a node: a function of the state, sync or async, a runnable or a compiled graph.

        `action(state)` says what the node is about to do; the policy rules on it under `nodes: {name: ...}`. `key(state)`
        names this run within the thread; needed where the node may run more than once. `refused(state, ticket, text)` gives
        the node's update where it did not run, or nobody knows whether it did; without it the graph goes on without one.
        `apply(state, args)` gives the state with a reviewer's edit; without it the action cannot be edited, only sent back.
        """
        from langgraph_signoff.nodes.gate import Gate, guard_node

        gate = Gate(
            name,
            self.heart({name: verify} if verify else {}),
            action,
            key,
            apply=apply,
            refused=refused or _no_update,
            requester=self.requester,
            agent=agent,
            trigger=trigger,
            resource=resource,
        )
        return lambda node: guard_node(gate, node)

    def insert(
        self,
        graph: Any,
        *,
        actions: Mapping[str, Callable[[Any], Mapping[str, Any]]] | None = None,
        keys: Mapping[str, Callable[[Any], object]] | None = None,
        refused: Mapping[str, Callable[[Any, Ticket, str], Any]] | None = None,
        verify: Mapping[str, Probe] | None = None,
        trusted: Collection[str] = (),
        **options: Any,
    ) -> Any:
        """A gated copy of a `StateGraph`, or of a compiled graph, that knows nothing of us; subgraphs included.

        Its ToolNodes are replaced (`options` as for `tool_node`), the nodes that the policy names under `nodes:` guarded, its
        edges kept. For a guarded node by name: `actions` says what it is about to do (its state without messages), `keys`
        names a run of it (LangGraph's own name of the visit), `refused` gives its update where it does not run. Raises
        GraphRefused where something might stay ungated: a tool, a ToolNode or a graph in a node's closure, unless the node is
        `trusted`. `explain` says what has come of it.
        """
        from langgraph_signoff.nodes.gate import Gate
        from langgraph_signoff.nodes.insertion import Insertion, state_without_messages

        heart = self.heart(verify or {})

        def gate(name: str) -> Gate:
            return Gate(
                name,
                heart,
                (actions or {}).get(name, state_without_messages),
                (keys or {}).get(name),
                refused=(refused or {}).get(name, _no_update),
                requester=self.requester,
                by_visit=name not in (keys or {}),
            )

        def tool_node(tools: Sequence[Any], **own: Any) -> GatedToolNode:
            return self.tool_node(tools, verify=verify, **own, **options)

        return Insertion(tool_node, gate, self.policy.names_node, trusted).insert(graph)

    def explain(self, graph: Any) -> str:
        """What of a graph is gated and what runs as it is, a line for each node; its subgraphs indented below it."""
        from langgraph_signoff.nodes.checks import explain

        return explain(graph)

    def guarded(
        self,
        name: str = "",
        *,
        action: Callable[..., Mapping[str, Any]] | None = None,
        key: Callable[..., object] | None = None,
        verify: Probe | None = None,
        agent: str = "",
    ) -> Callable[[Any], Any]:
        """Guards a task of the Functional API: put it around `@task`, or around the function inside.

        The action is the function's arguments, unless `action(*args, **kwargs)` says it otherwise; `key(*args, **kwargs)`
        names this run within the thread. Raises ActionRefused in the task where it may not run.
        """
        from langgraph_signoff.nodes.gate import Gate, guard_task, with_arguments

        def guard(function: Any) -> Any:
            own = name or function.__name__
            gate = Gate(
                own,
                self.heart({own: verify} if verify else {}),
                (lambda given: action(*given.args, **given.kwargs)) if action else (lambda given: given.arguments),
                (lambda given: key(*given.args, **given.kwargs)) if key else None,
                apply=None if action else with_arguments,
                requester=self.requester,
                agent=agent,
            )
            return guard_task(gate, function)

        return guard

    def heart(self, probes: Mapping[str, Probe]) -> Heart:
        """What every door carries calls to; `probes` by the name of the tool or node they verify."""
        from langgraph_signoff.nodes.advice import Advisors
        from langgraph_signoff.nodes.heart import Heart

        return Heart(self.desk, self.claims, self.policy, probes, Advisors(self._advisors, self._advice_within))

    @staticmethod
    def current_action() -> CurrentAction | None:
        """Inside a gated tool: the ticket, an idempotency key, and who approved. None for a call that needed no ticket."""
        from langgraph_signoff.nodes.heart import CURRENT

        return CURRENT.get()

    @staticmethod
    def send_tool_calls(state: Any, **options: Any) -> Any:
        """A conditional edge that gives each proposed call a task of its own."""
        from langgraph_signoff.nodes.tool_node import send_tool_calls

        return send_tool_calls(state, **options)

    # Decisions --------------------------------------------------------------------------------------------------------

    def approve(self, ticket: Ticket | str, *, by: str, reason: str = "", if_digest: str | None = None) -> Ticket:
        """Approves what was seen: a `Ticket`, or an id with `if_digest`. Raises a DecisionRefused that says why not."""
        say = self._say(Verdict.APPROVE, ticket, by, reason, if_digest)
        return self._decide(ticket, say)

    def reject(self, ticket: Ticket | str, *, by: str, reason: str = "", if_digest: str | None = None) -> Ticket:
        """Rejects what was seen. The agent is told who and why."""
        say = self._say(Verdict.REJECT, ticket, by, reason, if_digest)
        return self._decide(ticket, say)

    def revise(
        self,
        ticket: Ticket | str,
        *,
        by: str,
        args: Mapping[str, Json] | None = None,
        feedback: str = "",
        reason: str = "",
        if_digest: str | None = None,
    ) -> Ticket:
        """Changes the arguments, or sends the call back with feedback.

        `args` replaces those arguments that it names; a masked value left as it is keeps the real one. The edit is checked
        against the tool's schema and ruled again, and counts as its author's approval if they may approve it. Raises
        RevisionRefused if the schema or the policy refuses it.
        """
        if (args is None) == (not feedback):
            raise IncompleteDecision(
                "a revision is either args= (what should run) or feedback= (what to propose instead)"
            )
        say = self._say(Verdict.REVISE, ticket, by, reason or feedback, if_digest)
        if args is None:
            return self._decide(ticket, say)

        def step(case: Case) -> list[Draft]:
            return revise(case, say, args, policy=self._policy_for(case), desk=self.desk)

        return to_ticket(self.desk.write(self._id(ticket), step, policies=self._policy_in_force()))

    def comment(self, ticket: Ticket | str, *, by: str, text: str) -> Ticket:
        """Adds a note to a ticket, at any time; it changes nothing."""
        case = self.desk.case(self._id(ticket))
        say = Say(Verdict.COMMENT, by.strip(), case.digest, text)
        return to_ticket(self.desk.write(case.id, lambda case: law.comment(case, say, self._people(case))))

    def withdraw(self, ticket: Ticket | str, *, by: str, reason: str = "") -> Ticket:
        """Abandons a ticket that is not running: nothing will come of it. Anybody known may, and the requester."""
        if not by.strip():
            raise IncompleteDecision("a withdrawal needs a name: give by=")

        def step(case: Case) -> list[Draft]:
            return law.withdraw(case, by=by.strip(), reason=reason, people=self._people(case))

        return to_ticket(self.desk.write(self._id(ticket), step))

    def erase(self, ticket: Ticket | str, *, by: str, reason: str) -> Ticket:
        """Erases what a finished ticket was about: arguments, words, result. That it was, and who erased it and why, stays.

        A run that comes to it again is answered from the record, without the contents. The checkpointer keeps its own copy
        of the conversation. Raises TicketClosed for a ticket that something may still come of: withdraw or settle it first.
        """
        return to_ticket(self.desk.erase(self._id(ticket), by=by.strip(), reason=reason.strip()))

    def settle(
        self, ticket: Ticket | str, answer: Answer | str, *, by: str, reason: str = "", result: Json = None
    ) -> Ticket:
        """Says of a call in doubt whether it `happened` (with its result), `did_not_happen` (it runs), or to `give_up`."""
        say = Say(Verdict.COMMENT, by.strip(), "", reason)
        if answer not in set(Answer):
            raise IncompleteDecision(f"{answer!r} settles nothing; say {', '.join(Answer)}")
        known = Answer(answer)
        step = lambda case: law.settle(case, known, say, self._people(case), result)  # noqa: E731  # a step of one line
        return to_ticket(self.desk.write(self._id(ticket), step))

    # Stopping ---------------------------------------------------------------------------------------------------------

    def halt(self, *, by: str, reason: str = "", thread_id: str | None = None, tool: str | None = None) -> list[Halt]:
        """Stops everything behind a gate, or one thread, or one tool or node: from now on none of it starts, on any machine.

        What has begun finishes and is recorded. Runs that come to it end as `halted`; decisions can still be taken. It is on the
        record, and holds until `release`. Gives all that is halted now.
        """
        draft = law.halt(Scope(thread_id, tool), by=by, reason=reason)
        return list(self.desk.write_halt(lambda _: draft).active)

    def release(
        self, *, by: str, reason: str = "", thread_id: str | None = None, tool: str | None = None
    ) -> list[Halt]:
        """Takes back a halt of exactly this scope; what is still halted. Raises NotHalted. `threads_to_wake` has the threads."""
        scope = Scope(thread_id, tool)
        return list(self.desk.write_halt(lambda held: law.release(held, scope, by=by, reason=reason)).active)

    def halts(self) -> list[Halt]:
        """What is halted now, the oldest first."""
        return list(self.desk.halts().active)

    # Reading ----------------------------------------------------------------------------------------------------------

    def ticket(self, ticket_id: str) -> Ticket:
        """A ticket by id, or by the beginning of its id. Raises UnknownTicket."""
        return to_ticket(self.desk.case(self._id(ticket_id)))

    def pending(
        self, *, queue: str | None = None, thread_id: str | None = None, tool: str | None = None, limit: int = 50
    ) -> list[Ticket]:
        """Tickets that wait for a decision, most urgent first; overdue ones are not among them."""
        query = Query(
            standings=(Standing.PENDING,),
            queue=queue,
            thread_id=thread_id,
            tool=tool,
            due_after=stamp(self.desk.clock()),
            limit=limit,
        )
        return [ticket for ticket in self.find(query) if ticket.standing is Standing.PENDING]

    def in_doubt(self, *, thread_id: str | None = None, limit: int = 50) -> list[Ticket]:
        """Tickets whose runner died, until somebody says what happened."""
        return self.find(Query(standings=(Standing.IN_DOUBT,), thread_id=thread_id, limit=limit))

    def find(self, query: Query) -> list[Ticket]:
        """Tickets as they stand now, by a query over the standings on record."""
        return [to_ticket(case) for case in self.desk.cases(query)]

    def history(self, ticket: Ticket | str) -> list[Entry]:
        """Every entry of a ticket, in order. Raises UnknownTicket."""
        return self.desk.history(self._id(ticket))

    def watch(self, *, after: int | None = None, every: float = 0.5) -> Iterator[dict[str, Any]]:
        """Whatever comes onto the record from now on, live and without end: rulings, tickets, decisions, outcomes, halts.

        `after`: the position to begin behind, 0 for the whole record. `every`: seconds between two looks. Each event has
        `position`, `stream` (a ticket's id, or `halts`, `seals`), `thread_id`, `tool`, and what `signoff history --json` says of
        an entry; what is secret stays masked. An allowed call that the policy does not record leaves nothing to see.
        """
        return self._events(self.ledger.last() if after is None else after, every)

    def _events(self, seen: int, every: float) -> Iterator[dict[str, Any]]:
        while True:
            for position, entry in self.ledger.scan(after=seen):
                seen, history = position, self.ledger.history(entry.stream)
                opened = history[0].body
                about = {"thread_id": opened.get("thread_id"), "tool": opened.get("tool")}
                yield {"position": position, "stream": entry.stream, **about, **words_of(history)[entry.seq - 1]}
            time.sleep(every)

    def expire(self) -> list[str]:
        """Settles everything overdue and seals the record; the ids of the threads to wake. Idempotent."""
        threads = self.desk.expire()
        self.seal()
        return threads

    def seal(self) -> str:
        """Chains all entries so far into one hash, to be noted outside; the hash of the newest seal if nothing is new."""
        from langgraph_signoff.audit import seal

        return seal(self.ledger, self.desk.clock())

    def verify(self, *, seal: str | None = None) -> Report:
        """Checks the whole record offline: every hash, every chain, every seal, every standing."""
        from langgraph_signoff.audit import verify

        return verify(self.ledger, noted_seal=seal)

    # Runs -------------------------------------------------------------------------------------------------------------

    def run(
        self, graph: Pregel[Any, Any, Any, Any], input: Any, *, thread_id: str, config: RunnableConfig | None = None
    ) -> Run:
        """Runs a graph until it completes, fails or pauses."""
        from langgraph_signoff import runs

        return runs.run(self, graph, input, thread_id=thread_id, config=config)

    def resume(
        self,
        graph: Pregel[Any, Any, Any, Any],
        *,
        thread_id: str,
        answers: Mapping[str, Any] | None = None,
        config: RunnableConfig | None = None,
    ) -> Run:
        """Goes on with a thread if there is something to go on with; `answers` are for the author's own interrupts, by id."""
        from langgraph_signoff import runs

        return runs.resume(self, graph, thread_id=thread_id, answers=answers, config=config)

    async def arun(
        self, graph: Pregel[Any, Any, Any, Any], input: Any, *, thread_id: str, config: RunnableConfig | None = None
    ) -> Run:
        """`run`, for async graphs."""
        from langgraph_signoff import runs

        return await runs.arun(self, graph, input, thread_id=thread_id, config=config)

    async def aresume(
        self,
        graph: Pregel[Any, Any, Any, Any],
        *,
        thread_id: str,
        answers: Mapping[str, Any] | None = None,
        config: RunnableConfig | None = None,
    ) -> Run:
        """`resume`, for async graphs."""
        from langgraph_signoff import runs

        return await runs.aresume(self, graph, thread_id=thread_id, answers=answers, config=config)

    def threads_to_wake(self) -> list[str]:
        """Threads that may have something to go on with, the longest waiting first.

        Those that somebody runs right now are left out. `resume` says what it did, also when there was nothing to do.
        """
        return [wake.thread_id for wake in self.ledger.wakes() if not self._is_run(wake.thread_id)]

    def status(self, graph: Pregel[Any, Any, Any, Any], thread_id: str) -> Run:
        """How a thread stands, without waking it."""
        from langgraph_signoff import runs

        return runs.status(self, graph, thread_id)

    def check(self, graph: Pregel[Any, Any, Any, Any]) -> list[str]:
        """Warnings about a graph's gates. Raises GraphRefused for what would break a promise."""
        from langgraph_signoff.nodes.checks import check

        return check(graph)

    def close(self) -> None:
        """Lets go of the ledger."""
        self.ledger.close()

    # ------------------------------------------------------------------------------------------------------------------

    def _is_run(self, thread_id: str) -> bool:
        if self.leases.is_taken(f"thread:{thread_id}"):
            return True
        running = self.ledger.find(Query(standings=(Standing.RUNNING,), thread_id=thread_id))
        return any(self.claims.is_alive(self.desk.case(row.id)) for row in running)

    def _id(self, ticket: Ticket | str) -> str:
        if isinstance(ticket, Ticket):
            return ticket.id
        return ticket if len(ticket) == 32 else self.desk.find_id(ticket)

    def _say(self, verdict: Verdict, ticket: Ticket | str, by: str, reason: str, if_digest: str | None) -> Say:
        if isinstance(ticket, Ticket):
            return Say(verdict, by.strip(), if_digest or ticket.digest, reason, ticket.seen, ticket.generation)
        if not if_digest:
            raise IncompleteDecision("name what you saw: give the Ticket, or if_digest= as it was shown")
        return Say(verdict, by.strip(), if_digest, reason)

    def _decide(self, ticket: Ticket | str, say: Say) -> Ticket:
        return to_ticket(self.desk.write(self._id(ticket), lambda case: law.decide(case, say, self._people(case))))

    def _policy_in_force(self) -> list[tuple[str, str]]:
        # Without a policy of its own, a Signoff rules by the one on record.
        return [(self.policy.version, self.policy.document)] if self._given is not None else []

    def _people(self, case: Case) -> law.People:
        return self._policy_for(case).people

    def _policy_for(self, case: Case) -> Policy:
        if self._given is not None:
            return self.policy
        version = case.ruling.policy_version
        if version not in self._recorded:
            document = self.ledger.policy(version)
            self._recorded[version] = Policy.parse(document) if document else self.policy
        return self._recorded[version]


def _no_update(state: Any, ticket: Ticket, text: str) -> None:  # noqa: ARG001  # the shape of `refused`
    return None

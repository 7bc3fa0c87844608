"""The doors of a `Signoff`: what is built here carries a call, a node or a task to the one heart."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from langgraph_signoff.errors import GraphRefused
from langgraph_signoff.office import Office
from langgraph_signoff.vocabulary import CurrentAction, Json, Probe, Rollback, Ticket, Undoing

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from langgraph_signoff.nodes.gate import Gate
    from langgraph_signoff.nodes.heart import Heart
    from langgraph_signoff.nodes.tool_node import GatedToolNode


class Gates(Office):
    """Guards tools, nodes, tasks and whole graphs."""

    def tool_node(
        self,
        tools: Sequence[Any],
        *,
        verify: Mapping[str, Probe] | None = None,
        undo: Mapping[str, Undoing] | None = None,
        **options: Any,
    ) -> GatedToolNode:
        """A drop-in for ToolNode whose tools run only as the policy or a person permits.

        `verify`: for a tool by name, a probe that says whether a call whose runner died has happened. `undo`: for a tool by
        name, what undoes a call of it: a function of its `Done`, or an `Undo` by another tool; where several gates of a graph
        have a tool of that name, each must declare the same. The other options are ToolNode's, and those of `GatedToolNode`.
        """
        from langgraph_signoff.nodes.tool_node import GatedToolNode

        return GatedToolNode(tools, heart=self.heart(verify, undo), requester=self.requester, **options)

    def gate(
        self,
        name: str,
        *,
        action: Callable[[Any], Mapping[str, Any]],
        key: Callable[[Any], object] | None = None,
        refused: Callable[[Any, Ticket, str], Any] | None = None,
        apply: Callable[[Any, dict[str, Json]], Any] | None = None,
        verify: Probe | None = None,
        undo: Undoing | None = None,
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
        from langgraph_signoff.nodes.gate import Gate
        from langgraph_signoff.nodes.guarding import guard_node

        gate = Gate(
            name,
            self.heart({name: verify} if verify else None, {name: undo} if undo else None),
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

    def outcome_review(
        self,
        name: str,
        *,
        back_to: str,
        then: str = "__end__",
        goal: Callable[[Any], str] | None = None,
        result: Callable[[Any], Json] | None = None,
        approved: Callable[[Any], Any] | None = None,
        sent_back: Callable[[Any, str], Any] | None = None,
        rejected: Callable[[Any, Rollback], Any] | None = None,
        agent: str = "",
    ) -> Any:
        """A node at the end of a run, or where its branches meet, that asks once for all that was done since the last review.

        A reviewer sees a report: `goal(state)` (the last human words), `result(state)` (the last words of the agent), every
        action with its ruling and outcome, those too that the policy lets run without a record elsewhere, and open risks. Approved, the graph goes on at `then`; sent back, at
        `back_to`, as often as the policy's `max_revisions`; rejected, what was done is undone, newest first, by what the doors
        declare as `undo`, and the graph ends. Without a decision in time nothing is undone, and it ends as well. `approved(state)`,
        `sent_back(state, feedback)` and `rejected(state, rollback)` give the node's update. Give the node no edges of its own.
        The policy speaks of it under `nodes:`, and puts other reviews off until here with `supervision:`.

        Whoever has the graph can lead it past this node (`goto`, `update_state(as_node=...)`), which approves and undoes nothing:
        what must not happen without the approval belongs into `approved`, which runs once and may be async, or behind a gate
        of its own. What is approved is the report: let `result` tell all that `approved` goes by. For one state, `goal` and
        `result` must give the same each time.
        """
        from langgraph_signoff.nodes.gate import Gate
        from langgraph_signoff.nodes.outcome import Endings, OutcomeReview

        gate = Gate(name, self.heart(None, None), lambda _: {}, requester=self.requester, agent=agent)
        self.reviews.add(name)
        endings = Endings(back_to, then, approved, sent_back, rejected)
        return OutcomeReview(gate, endings, goal=goal, result=result).node

    def plan(self, tools: Sequence[Any]) -> BaseTool:
        """A tool `propose_plan`, by which an agent has several calls of these tools approved as one ticket.

        Give it to the model and to the gate beside them. An approved plan stands for the graph, agent, thread and requester that
        proposed it until its `valid_for` is over, counted from the approval and never longer than `use_within`, or until it is
        withdrawn. A call that fits a free step then runs without asking and takes one use of it; the policy's denials and an
        advisor's doubt come before it. A plan always asks a person, whatever the policy says of `propose_plan`, and for no
        less than its steps would ask for. Raises GraphRefused for a tool that is no step.
        """
        from langgraph_signoff.nodes.plan_tool import plan_tool

        self.plans.expected = True
        return plan_tool(tools, self.desk)

    def insert(
        self,
        graph: Any,
        *,
        actions: Mapping[str, Callable[[Any], Mapping[str, Any]]] | None = None,
        keys: Mapping[str, Callable[[Any], object]] | None = None,
        refused: Mapping[str, Callable[[Any, Ticket, str], Any]] | None = None,
        verify: Mapping[str, Probe] | None = None,
        undo: Mapping[str, Undoing] | None = None,
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
        from langgraph_signoff.nodes.insertion import Insertion, state_in_short

        heart, guarded = self.heart(verify, undo), set[str]()

        def gate(name: str) -> Gate:
            guarded.add(name)
            return Gate(
                name,
                heart,
                (actions or {}).get(name, state_in_short),
                (keys or {}).get(name),
                refused=(refused or {}).get(name, _no_update),
                requester=self.requester,
                by_visit=name not in (keys or {}),
            )

        def tool_node(tools: Sequence[Any], **own: Any) -> GatedToolNode:
            return self.tool_node(tools, verify=verify, undo=undo, **own, **options)

        is_named = partial(self.policy.names, kind="node")
        gated = Insertion(tool_node, gate, is_named, trusted).insert(graph)
        if unknown := sorted({*(actions or {}), *(keys or {}), *(refused or {})} - guarded):
            raise GraphRefused(
                f"actions=, keys= or refused= name {', '.join(unknown)}, and the graph has no such node that the policy "
                "names under `nodes:`"
            )
        return gated

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
        undo: Undoing | None = None,
        agent: str = "",
    ) -> Callable[[Any], Any]:
        """Guards a task of the Functional API: put it around `@task`, or around the function inside.

        The action is the arguments of the call, without what LangGraph injects, unless `action(*args, **kwargs)` says it
        otherwise; `key(*args, **kwargs)` names this run within the thread. Raises ActionRefused in the task where it may not
        run.
        """
        from langgraph_signoff.nodes.gate import Gate
        from langgraph_signoff.nodes.guarding import arguments, guard_task, of_call, with_arguments

        def guard(function: Any) -> Any:
            own = name or getattr(function, "__name__", "")
            if not own:
                raise GraphRefused(f"{function!r} has no name; give it one: guarded('...')")
            gate = Gate(
                own,
                self.heart({own: verify} if verify else None, {own: undo} if undo else None),
                of_call(action) if action else arguments,
                of_call(key) if key else None,
                apply=None if action else with_arguments,
                requester=self.requester,
                agent=agent,
            )
            return guard_task(gate, function)

        return guard

    def heart(self, probes: Mapping[str, Probe] | None, undoings: Mapping[str, Undoing] | None) -> Heart:
        """What every door carries calls to; `probes` and `undoings` by the name of the tool or node that they are for."""
        from langgraph_signoff.nodes.advice import Advisors
        from langgraph_signoff.nodes.heart import Heart
        from langgraph_signoff.nodes.reversal import check_undoing

        for name, undoing in (undoings or {}).items():
            check_undoing(name, undoing)
        self.undoings.update(undoings or {})
        return Heart(
            desk=self.desk,
            claims=self.claims,
            policy=self.policy,
            plans=self.plans,
            advisors=Advisors(self._advisors, self._advice_within),
            probes=probes or {},
            undoings=self.undoings,
            reviews=self.reviews,
            own_undoings={} if undoings is None else undoings,
            inbox_schema=self._inbox_schema,
        )

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


def _no_update(state: Any, ticket: Ticket, text: str) -> None:  # noqa: ARG001  # the shape of `refused`
    return None

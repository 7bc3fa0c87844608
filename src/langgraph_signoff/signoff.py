"""The front door: one object that knows the ledger and the policy, and loads what a call needs when it needs it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from langgraph_signoff import law
from langgraph_signoff.canonical import digest
from langgraph_signoff.claims import Claims
from langgraph_signoff.desk import Clock, Desk, utc_now
from langgraph_signoff.errors import IncompleteDecision, RevisionRefused
from langgraph_signoff.law import Case, Edit, Say
from langgraph_signoff.ledger import Draft, Entry, Ledger, Query, open_ledger, stamp
from langgraph_signoff.policy import Policy
from langgraph_signoff.view import to_ticket
from langgraph_signoff.vocabulary import MASK, Answer, CurrentAction, Json, Run, Standing, Ticket, Verdict

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.pregel import Pregel
    from langgraph.runtime import Runtime

    from langgraph_signoff.audit import Report
    from langgraph_signoff.nodes.heart import Heart, Probe
    from langgraph_signoff.nodes.tool_node import GatedToolNode


class Signoff:
    """Gates tools, takes decisions, runs and resumes threads, over one ledger and one policy.

    `ledger`: path of the SQLite file, made if it is not there. `policy`: a YAML file's path or a `Policy`; without one,
    everything is reviewed, and decisions are judged by the policy under which their ticket was opened. `requester`: tells
    from a run's `Runtime` whom the agent acts for. `lease` and `wait`: seconds after which a silent runner whose process is
    gone counts as dead, and that a second runner waits for the first one's result.
    """

    def __init__(
        self,
        ledger: str | os.PathLike[str] | Ledger,
        *,
        policy: str | os.PathLike[str] | Policy | None = None,
        requester: Callable[[Runtime[Any]], str | None] | None = None,
        clock: Clock = utc_now,
        lease: float = 10.0,
        wait: float = 15.0,
    ) -> None:
        self.ledger = open_ledger(os.fspath(ledger)) if isinstance(ledger, (str, os.PathLike)) else ledger
        self._given = policy
        self._requester = requester
        self._recorded: dict[str, Policy] = {}
        self.desk = Desk(self.ledger, clock=clock)
        self.claims = Claims(self.desk, lease=lease, wait=wait)

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

        return GatedToolNode(tools, heart=self._heart(verify or {}), requester=self._requester, **options)

    def _heart(self, probes: Mapping[str, Probe]) -> Heart:
        from langgraph_signoff.nodes.heart import Heart

        return Heart(self.desk, self.claims, self.policy, probes)

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
        id_, policies = self._id(ticket), self._policy_in_force()
        return to_ticket(self.desk.write(id_, lambda case: self._revise(case, say, args), policies=policies))

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
        known = Answer(answer)
        step = lambda case: law.settle(case, known, say, self._people(case), result)  # noqa: E731  # a step of one line
        return to_ticket(self.desk.write(self._id(ticket), step))

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
        return [to_ticket(case) for case in self.desk.cases([row.id for row in self.ledger.find(query)])]

    def history(self, ticket: Ticket | str) -> list[Entry]:
        """Every entry of a ticket, in order. Raises UnknownTicket."""
        return self.desk.history(self._id(ticket))

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

    def status(self, graph: Pregel[Any, Any, Any, Any], thread_id: str) -> Run:
        """How a thread stands, without waking it."""
        from langgraph_signoff import runs

        return runs.status(self, graph, thread_id)

    def check(self, graph: Pregel[Any, Any, Any, Any]) -> list[str]:
        """Warnings about a graph's gates. Raises GraphRefused for what would break a promise."""
        from langgraph_signoff import runs

        return runs.check(graph)

    def close(self) -> None:
        """Lets go of the ledger."""
        self.ledger.close()

    # ------------------------------------------------------------------------------------------------------------------

    def _id(self, ticket: Ticket | str) -> str:
        if isinstance(ticket, Ticket):
            return ticket.id
        return ticket if len(ticket) == 32 else self.desk.find_id(ticket)

    def _say(self, verdict: Verdict, ticket: Ticket | str, by: str, reason: str, if_digest: str | None) -> Say:
        if isinstance(ticket, Ticket):
            return Say(verdict, by.strip(), if_digest or ticket.digest, reason, ticket.seen)
        if not if_digest:
            raise IncompleteDecision("name what you saw: give the Ticket, or if_digest= as it was shown")
        return Say(verdict, by.strip(), if_digest, reason)

    def _decide(self, ticket: Ticket | str, say: Say) -> Ticket:
        return to_ticket(self.desk.write(self._id(ticket), lambda case: law.decide(case, say, self._people(case))))

    def _revise(self, case: Case, say: Say, args: Mapping[str, Json]) -> list[Any]:
        import jsonpatch

        law.hear(case, say, self._people(case))
        wanted, shown = _edited(case, args)
        _check_schema(case, shown)
        action = case.to_action().model_copy(update={"args": wanted, "parsed": shown})
        history = self.desk.counts(action.thread_id, action.message_id)
        ruling = self._policy_for(case).rule(action, now=self.desk.clock(), history=history)
        if ruling.mode != "deny":
            requirements = law.stricter(case.requirements, ruling.requirements)
            ruling = ruling.model_copy(update={"mode": "review", "requirements": requirements})
        patch = list(jsonpatch.make_patch(case.parsed, shown))
        return law.revise(
            case, say, Edit(wanted, shown, digest(action.tool, wanted), patch, ruling), self._people(case)
        )

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


def _edited(case: Case, edit: Mapping[str, Json]) -> tuple[dict[str, Json], dict[str, Json]]:
    """The proposed and the shown arguments with an edit laid over them; what the edit leaves alone stays as proposed."""
    wanted, shown = dict(case.args), dict(case.parsed)
    for key, value in edit.items():
        real = _unmasked(value, case.parsed.get(key, _ABSENT))
        if not _is_same(key, real, case.parsed):
            wanted[key] = shown[key] = real
    return wanted, shown


_ABSENT: Any = object()


def _is_same(key: str, value: Json, args: Mapping[str, Json]) -> bool:
    try:
        hash_ = digest("", {key: value})
    except TypeError as error:
        raise RevisionRefused(f"{key}: {error}") from error
    # 5 and 5.0 are one JSON number, 1 and true are not.
    return key in args and hash_ == digest("", {key: args[key]})


def _unmasked(value: Json, original: Json) -> Json:
    """An edited value with each masked one in it replaced by what stands in its place. Raises RevisionRefused if nothing does."""
    if value == MASK:
        if original is _ABSENT:
            raise RevisionRefused(f"{MASK} stands for a secret value, and there is none in that place; write it out")
        return original
    if isinstance(value, dict):
        known = original if isinstance(original, dict) else {}
        return {key: _unmasked(item, known.get(key, _ABSENT)) for key, item in value.items()}
    if isinstance(value, list):
        # In a list of another length nobody can tell which item was which.
        same = isinstance(original, list) and len(original) == len(value)
        return [
            _unmasked(item, old) for item, old in zip(value, original if same else [_ABSENT] * len(value), strict=True)
        ]
    return value


def _check_schema(case: Case, args: dict[str, Json]) -> None:
    from jsonschema import SchemaError, ValidationError
    from jsonschema.validators import validator_for

    schema = case.action.get("args_schema", {})
    try:
        with suppress(SchemaError):
            validator_for(schema)(schema).validate(args)
    except ValidationError as error:
        # Its message quotes the value, or all values beside it, secret ones too.
        words = f"breaks `{error.validator}` of its schema" if case.ruling.redact else error.message
        told = " ".join(filter(None, (error.json_path[2:], words)))
        raise RevisionRefused(f"{case.opening['tool']} does not take these arguments: {told}") from error
    unknown = sorted(set(args) - set(schema.get("properties", args)) - set(case.parsed))
    if unknown:
        raise RevisionRefused(f"{case.opening['tool']} takes no argument {', '.join(unknown)}")

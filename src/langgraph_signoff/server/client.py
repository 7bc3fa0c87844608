"""The other end of the routes: a ledger that a server keeps, read and decided from anywhere as on the spot."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from langgraph_signoff import law
from langgraph_signoff.durations import format_duration, parse_duration
from langgraph_signoff.errors import IncompleteDecision, LedgerUnavailable, StillRunning
from langgraph_signoff.ledger import Query, moment
from langgraph_signoff.render import counted
from langgraph_signoff.server.caller import Caller
from langgraph_signoff.server.wire import PAGE, Deed
from langgraph_signoff.vocabulary import Answer, Json, Reply, Reviewer, Run, Standing, Stuck, Ticket, Verdict

if TYPE_CHECKING:
    from langgraph_sdk.client import SyncLangGraphClient

T = TypeVar("T")
_TICKETS = TypeAdapter(list[Ticket])
_STUCK = TypeAdapter(list[Stuck])
_REVIEWERS = TypeAdapter(tuple[Reviewer, ...])
_POLL = 0.2  # seconds between two looks at a thread that somebody else runs


class Remote:
    """What `Signoff` tells and takes, of a server's ledger. Whoever decides is the user that the server takes us for.

    `url`: where the server is, without our own part of the path; `headers`: what tells it who asks; `wait`: seconds to wait
    for a thread that somebody else runs. Raises LedgerUnavailable if the server does not answer, or not to us.
    """

    def __init__(self, url: str, *, headers: Mapping[str, str] | None = None, wait: float = 15.0) -> None:
        self._server, self._wait = Caller(url, headers or {}), wait
        self.now = datetime.now(UTC)
        self._due: dict[str, datetime] = {}

    @cached_property
    def user(self) -> str:
        """Whom the server takes us for."""
        return str(self._server.get("/user")["identity"])

    # Reading ----------------------------------------------------------------------------------------------------------

    def ticket(self, ticket_id: str) -> Ticket:
        """A ticket by id, or by the beginning of its id. Raises UnknownTicket."""
        return _ticket(self._server.get(_place(ticket_id)))

    def who(self, ticket_id: str) -> tuple[Reviewer, ...]:
        """Who may decide a ticket and why, and who may not."""
        told = self._server.get(f"{_place(ticket_id)}/reviewers")
        return _checked(_REVIEWERS, told["reviewers"])

    def find(self, query: Query) -> list[Ticket]:
        """Tickets by standing, queue, thread and tool. `now` is then the server's time."""
        found: list[Ticket] = []
        while len(found) < query.limit:
            page = self._page(query, limit=min(PAGE, query.limit - len(found)), after=found[-1].id if found else None)
            found += page
            if len(page) < PAGE:
                break
        return found

    def _page(self, query: Query, *, limit: int, after: str | None) -> list[Ticket]:
        asked = {"queue": query.queue, "thread": query.thread_id, "tool": query.tool, "limit": limit, "after": after}
        params = {key: value for key, value in asked.items() if value is not None}
        told = self._server.get("/tickets", {**params, "standing": list(query.standings)})
        self.now = moment(told["now"])
        return _tickets(told["tickets"])

    def pending(self, *, thread_id: str | None = None, limit: int = 50) -> list[Ticket]:
        """Tickets that wait for a decision, most urgent first."""
        return self.find(Query((Standing.PENDING,), thread_id=thread_id, limit=limit))

    def mine(
        self,
        *,
        by: str,
        queue: str | None = None,
        thread_id: str | None = None,
        tool: str | None = None,
        audits: bool = False,
        limit: int = 50,
    ) -> list[Ticket]:
        """What waits for the word of `by`, most urgent first."""
        self._check(by)
        where = {"queue": queue, "thread": thread_id, "tool": tool, "audits": "true" if audits else None}
        return _tickets(self._list("mine", limit, where)["found"])

    def overdue(
        self, *, queue: str | None = None, thread_id: str | None = None, tool: str | None = None, limit: int = 50
    ) -> list[Ticket]:
        """What time has ended and nobody has written down yet, the longest overdue first. `due_of` then knows since when."""
        told = self._list("overdue", limit, {"queue": queue, "thread": thread_id, "tool": tool})
        self._due = {id_: moment(at) for id_, at in told["due"].items()}
        return _tickets(told["found"])

    def due_of(self, tickets: Sequence[Ticket]) -> dict[str, datetime]:
        """When what was listed as overdue was due, by id."""
        return {ticket.id: self._due[ticket.id] for ticket in tickets if ticket.id in self._due}

    def stuck(self, *, after: timedelta | str = "1h", limit: int = 50) -> list[Stuck]:
        """What does not move, and why."""
        span = format_duration(parse_duration(after))
        return _checked(_STUCK, self._list("stuck", limit, {"for": span})["found"])

    def _list(self, name: str, limit: int, where: Mapping[str, str | None]) -> Any:
        given = {key: value for key, value in where.items() if value is not None}
        told = self._server.get(f"/lists/{name}", {**given, "limit": limit})
        self.now = moment(told["now"])
        return told

    # Handling ---------------------------------------------------------------------------------------------------------

    def take(self, ticket: Ticket | str, *, by: str) -> Ticket:
        """Takes a ticket in hand for a while."""
        return self._do(ticket, by, Deed(does="take"))

    def put_back(self, ticket: Ticket | str, *, by: str) -> Ticket:
        """Puts back what one has taken, or was assigned."""
        return self._do(ticket, by, Deed(does="put_back"))

    def assign(self, ticket: Ticket | str, *, by: str, to: str | None = None, reason: str = "") -> Ticket:
        """Gives a ticket to somebody who may decide it; without `to`, to who has least in hand."""
        return self._do(ticket, by, Deed(does="assign", to=to, reason=reason))

    def extend(self, ticket: Ticket | str, *, by: str, reason: str, span: timedelta | str | None = None) -> Ticket:
        """Gives a ticket more time to be decided in, once."""
        more = None if span is None else parse_duration(span)
        return self._do(ticket, by, Deed(does="extend", reason=reason, span=more))

    def request_info(self, ticket: Ticket | str, text: str, *, by: str, of: str = "") -> Ticket:
        """Asks about a ticket before deciding it."""
        return self._do(ticket, by, Deed(does="request_info", text=text, of=of))

    def give_info(self, ticket: Ticket | str, text: str, *, by: str) -> Ticket:
        """Answers what one has been asked about a ticket."""
        return self._do(ticket, by, Deed(does="give_info", text=text))

    def _do(self, ticket: Ticket | str, by: str, deed: Deed) -> Ticket:
        self._check(by)
        body = deed.model_dump(mode="json", exclude_defaults=True)
        return _ticket(self._server.post(f"{_place(_id(ticket))}/deeds", body))

    # Deciding ---------------------------------------------------------------------------------------------------------

    def approve(
        self,
        ticket: Ticket,
        *,
        by: str,
        reason: str = "",
        if_digest: str | None = None,
        checked: Mapping[str, str] | None = None,
        read_for: timedelta | None = None,
    ) -> Ticket:
        """Approves what was seen. Raises a DecisionRefused that says why not."""
        looked = {"checked": checked or {}, "read_for": read_for}
        return self._decide(ticket, by, says=Verdict.APPROVE, reason=reason, digest=if_digest, **looked)

    def reject(self, ticket: Ticket, *, by: str, reason: str = "", if_digest: str | None = None) -> Ticket:
        """Rejects what was seen."""
        return self._decide(ticket, by, says=Verdict.REJECT, reason=reason, digest=if_digest)

    def answer(self, ticket: Ticket, value: Json, *, by: str, reason: str = "", if_digest: str | None = None) -> Ticket:
        """Answers a question."""
        words = law.spelled(ticket.answer_schema, value)
        return self._decide(ticket, by, says=Verdict.ANSWER, value=words, reason=reason, digest=if_digest)

    def confirm(
        self,
        ticket: Ticket,
        *,
        by: str,
        reason: str = "",
        if_digest: str | None = None,
        checked: Mapping[str, str] | None = None,
        read_for: timedelta | None = None,
    ) -> Ticket:
        """Says of an audited action that it was right."""
        looked = {"checked": checked or {}, "read_for": read_for}
        return self._decide(ticket, by, says=Verdict.CONFIRM, reason=reason, digest=if_digest, **looked)

    def flag(self, ticket: Ticket, *, by: str, reason: str = "", if_digest: str | None = None) -> Ticket:
        """Says of an audited action that it was wrong."""
        return self._decide(ticket, by, says=Verdict.FLAG, reason=reason, digest=if_digest)

    def revise(
        self,
        ticket: Ticket,
        *,
        by: str,
        args: Mapping[str, Json] | None = None,
        feedback: str = "",
        reason: str = "",
        if_digest: str | None = None,
    ) -> Ticket:
        """Changes the arguments, or sends the call back with feedback."""
        given = None if args is None else dict(args)
        return self._decide(ticket, by, says=Verdict.REVISE, args=given, reason=reason or feedback, digest=if_digest)

    def comment(self, ticket: Ticket | str, *, by: str, text: str) -> Ticket:
        """Adds a note to a ticket."""
        return self._reply(by, Reply(ticket_id=_id(ticket), says=Verdict.COMMENT, reason=text))

    def settle(
        self, ticket: Ticket | str, answer: Answer | str, *, by: str, reason: str = "", result: Json = None
    ) -> Ticket:
        """Says of a call in doubt whether it happened."""
        return self._reply(by, Reply(ticket_id=_id(ticket), says=Answer(answer), reason=reason, value=result))

    def _decide(self, ticket: Ticket, by: str, *, digest: str | None, **more: Any) -> Ticket:
        seen: dict[str, Any] = {
            "ticket_id": ticket.id,
            "digest": digest or ticket.digest,
            "generation": ticket.generation,
        }
        return self._reply(by, Reply(**seen, **more))

    def _reply(self, by: str, reply: Reply) -> Ticket:
        self._check(by)
        body = reply.model_dump(mode="json", exclude={"ticket_id"})
        return _ticket(self._server.post(f"{_place(reply.ticket_id)}/replies", body))

    def _check(self, by: str) -> None:
        if by != self.user:
            raise IncompleteDecision(f"at {self._server.url} you are {self.user}, and act as nobody else")

    # Runs -------------------------------------------------------------------------------------------------------------

    def threads_to_wake(self) -> list[str]:
        """Threads that have something to go on with, the longest waiting first. Settles what is overdue."""
        return [str(name) for name in self._server.get("/threads")["threads"]]

    def resume(self, thread_id: str) -> Run:
        """Goes on with a thread if there is something to go on with: knocks at those of our pauses that are decided."""
        end = time.monotonic() + self._wait
        while True:
            try:
                return self._resume(thread_id)
            except StillRunning:
                if time.monotonic() > end:
                    raise
                time.sleep(_POLL)

    def _resume(self, thread_id: str) -> Run:
        from langgraph_signoff.runs import KNOCK

        told = self._server.get(f"/threads/{quote(thread_id, safe='')}")
        knocks = told["knocks"]
        if knocks:
            given: dict[str, Any] = {"command": {"resume": dict.fromkeys(knocks, KNOCK)}}
            return self._go(thread_id, told["assistant"], given, f"knocked at {counted(len(knocks), 'decided pause')}")
        if told["goes_on"]:
            return self._go(thread_id, told["assistant"], {"input": None}, "went on where it had stalled")
        return self._report(thread_id, _nothing(told))

    def _go(self, thread_id: str, assistant: str, given: dict[str, Any], did: str) -> Run:
        more: dict[str, Any] = {"multitask_strategy": "reject", "raise_error": False}
        ended = self._at_server(lambda client: client.runs.wait(thread_id, assistant, **more, **given))
        if isinstance(ended, dict) and (failed := ended.get("__error__")):
            told = f"{failed.get('error')}: {failed.get('message')}"
            return Run(status="failed", thread_id=thread_id, error=told, went_on=True, did=did)
        return self._report(thread_id, did, went_on=True)

    def _report(self, thread_id: str, did: str, *, went_on: bool = False) -> Run:
        from langgraph_signoff.server.threads import revived

        told = self._server.get(f"/threads/{quote(thread_id, safe='')}")
        state = self._at_server(lambda client: client.threads.get_state(thread_id))
        tasks = state["tasks"]
        interrupts = {each["id"]: each["value"] for task in tasks for each in task["interrupts"]}
        return Run(
            status=told["status"],
            thread_id=thread_id,
            output=revived(state["values"]),
            tickets=tuple(_tickets(told["tickets"])),
            questions={id_: interrupts[id_] for id_ in told["questions"] if id_ in interrupts},
            error="; ".join(str(task["error"]) for task in tasks if task.get("error")),
            went_on=went_on,
            did=did,
        )

    def _at_server(self, call: Callable[[SyncLangGraphClient], Any]) -> Any:
        # LangGraph's own client takes a second to load: reading and deciding do without.
        from httpx import HTTPError as Unreachable
        from langgraph_sdk import get_sync_client
        from langgraph_sdk.errors import APIStatusError

        try:
            return call(get_sync_client(url=self._server.url, api_key=None, headers=self._server.headers))
        except APIStatusError as error:
            if error.status_code == 409:
                raise StillRunning("the thread is being run by somebody else; try again later") from error
            raise self._server.refusal(error.status_code, error.body) from error
        except Unreachable as error:
            raise self._server.silence(error) from error


def _nothing(told: Mapping[str, Any]) -> str:
    if told["is_held"]:
        return "nothing: it stands at a breakpoint"
    return "nothing: it has finished" if told["is_finished"] else "nothing: it waits"


def _ticket(told: Any) -> Ticket:
    return _tickets([told])[0]


def _tickets(told: Any) -> list[Ticket]:
    return _checked(_TICKETS, told)


def _checked(words: TypeAdapter[T], told: Any) -> T:
    try:
        return words.validate_python(told)
    except ValidationError as error:
        raise LedgerUnavailable(
            f"what the server tells is of another version of this package ({error.errors()[0]['msg']})"
        ) from error


def _place(ticket_id: str) -> str:
    return f"/tickets/{quote(ticket_id, safe='')}"


def _id(ticket: Ticket | str) -> str:
    return ticket.id if isinstance(ticket, Ticket) else ticket

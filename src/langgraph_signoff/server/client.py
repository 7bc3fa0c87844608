"""The other end of the routes: a ledger that a server keeps, read and decided from anywhere as on the spot."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pydantic import TypeAdapter, ValidationError

from langgraph_signoff import law
from langgraph_signoff.errors import IncompleteDecision, LedgerUnavailable, SignoffError, StillRunning
from langgraph_signoff.ledger import Query, moment
from langgraph_signoff.render import counted
from langgraph_signoff.server.wire import PAGE, to_error
from langgraph_signoff.vocabulary import Answer, Json, Reply, Reviewer, Run, Standing, Ticket, Verdict

if TYPE_CHECKING:
    from langgraph_sdk.client import SyncLangGraphClient

T = TypeVar("T")
_TICKETS = TypeAdapter(list[Ticket])
_REVIEWERS = TypeAdapter(tuple[Reviewer, ...])
_POLL = 0.2  # seconds between two looks at a thread that somebody else runs
_PATIENCE = 60.0  # seconds for an answer of the routes


class _Stay(HTTPRedirectHandler):
    """Goes nowhere else: a redirected request would take the token along."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = build_opener(_Stay)


class Remote:
    """What `Signoff` tells and takes, of a server's ledger. Whoever decides is the user that the server takes us for.

    `url`: where the server is, without our own part of the path; `headers`: what tells it who asks; `wait`: seconds to wait
    for a thread that somebody else runs. Raises LedgerUnavailable if the server does not answer, or not to us.
    """

    def __init__(self, url: str, *, headers: Mapping[str, str] | None = None, wait: float = 15.0) -> None:
        self.url, self._wait = url.rstrip("/"), wait
        # Of a header that is given twice, in whatever case, the later one tells who asks: on every way to the server.
        self._headers = {name.lower(): value for name, value in (headers or {}).items()}
        self.now = datetime.now(UTC)

    @cached_property
    def user(self) -> str:
        """Whom the server takes us for."""
        return str(self._get("/user")["identity"])

    # Reading ----------------------------------------------------------------------------------------------------------

    def ticket(self, ticket_id: str) -> Ticket:
        """A ticket by id, or by the beginning of its id. Raises UnknownTicket."""
        return _ticket(self._get(f"/tickets/{quote(ticket_id, safe='')}"))

    def who(self, ticket_id: str) -> tuple[Reviewer, ...]:
        """Who may decide a ticket and why, and who may not."""
        told = self._get(f"/tickets/{quote(ticket_id, safe='')}/reviewers")
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
        told = self._get("/tickets", {**params, "standing": list(query.standings)})
        self.now = moment(told["now"])
        return _tickets(told["tickets"])

    def pending(self, *, thread_id: str | None = None, limit: int = 50) -> list[Ticket]:
        """Tickets that wait for a decision, most urgent first."""
        return self.find(Query((Standing.PENDING,), thread_id=thread_id, limit=limit))

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
        if by != self.user:
            raise IncompleteDecision(f"at {self.url} you are {self.user}, and decide as nobody else")
        body = reply.model_dump(mode="json", exclude={"ticket_id"})
        return _ticket(self._ask(f"/tickets/{quote(reply.ticket_id, safe='')}/replies", json.dumps(body).encode()))

    # Runs -------------------------------------------------------------------------------------------------------------

    def threads_to_wake(self) -> list[str]:
        """Threads that have something to go on with, the longest waiting first. Settles what is overdue."""
        return [str(name) for name in self._get("/threads")["threads"]]

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

        told = self._get(f"/threads/{quote(thread_id, safe='')}")
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

        told = self._get(f"/threads/{quote(thread_id, safe='')}")
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
            return call(get_sync_client(url=self.url, api_key=None, headers=self._headers))
        except APIStatusError as error:
            if error.status_code == 409:
                raise StillRunning("the thread is being run by somebody else; try again later") from error
            raise self._refusal(error.status_code, error.body) from error
        except Unreachable as error:
            raise self._silence(error) from error

    # HTTP -------------------------------------------------------------------------------------------------------------

    def _get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        return self._ask(f"{path}?{urlencode(params or {}, doseq=True)}")

    def _ask(self, path: str, body: bytes | None = None) -> Any:
        if not self.url.startswith(("http://", "https://")):
            raise LedgerUnavailable(f"{self.url!r} is no address of a server; it begins with http:// or https://")
        headers = {"content-type": "application/json", **self._headers}
        try:
            with _OPENER.open(Request(f"{self.url}/signoff{path}", body, headers), timeout=_PATIENCE) as answer:
                return json.load(answer)
        except HTTPError as error:
            raise self._refusal(error.code, _json(error.read())) from error
        except (OSError, HTTPException, ValueError) as error:
            raise self._silence(error) from error

    def _refusal(self, status: int, body: Any) -> SignoffError:
        known = to_error(body)
        return known if known is not None else _refusal(self.url, status, body)

    def _silence(self, error: Exception) -> SignoffError:
        return LedgerUnavailable(f"{self.url} does not answer: {error or type(error).__name__}")


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.decode("utf-8", "replace")[:200]


def _refusal(url: str, status: int, body: Any) -> SignoffError:
    detail = body.get("detail", body) if isinstance(body, dict) else body
    if status in (401, 403):
        return LedgerUnavailable(f"{url} lets nobody in without a name: {detail}; give SIGNOFF_TOKEN or --header")
    if status == 404:
        return LedgerUnavailable(f"{url} has no /signoff; mount langgraph_signoff.server.app under http.app there")
    return LedgerUnavailable(f"{url} answers {status}: {detail}")


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


def _id(ticket: Ticket | str) -> str:
    return ticket.id if isinstance(ticket, Ticket) else ticket

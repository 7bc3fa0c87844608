"""A ledger over HTTP: what waits, what it is, what people say of it, and which threads can go on.

A Starlette app for `http.app` of langgraph.json, beside the server's own routes. Its JSON is that of the command line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from langgraph_signoff.canonical import strict_json
from langgraph_signoff.durations import parse_duration
from langgraph_signoff.errors import (
    IncompleteDecision,
    NotAllowedToDecide,
    SignoffError,
    StillRunning,
    UnknownThread,
    UnknownTicket,
)
from langgraph_signoff.heads import let_sleep, newest_row, open_rows, withdraw_dropped
from langgraph_signoff.ledger import Query, Row, stamp
from langgraph_signoff.output import to_json
from langgraph_signoff.runs import report
from langgraph_signoff.server.threads import Thread, Waiting, find, head_of
from langgraph_signoff.server.wire import PAGE, Deed, status_of, to_body
from langgraph_signoff.vocabulary import Reply, Standing, Stuck, Ticket, Verdict

if TYPE_CHECKING:
    from langgraph_signoff.signoff import Signoff

W = TypeVar("W", Reply, Deed)

PREFIX = "/signoff"

_FARTHEST = 10_000  # tickets that one request looks through for those that its user may see


def authenticated(request: Request) -> str:
    """The user whom the server has authenticated."""
    user = request.scope.get("user")
    if user is None or not user.is_authenticated:
        raise HTTPException(
            401,
            'nobody is authenticated here; set "http": {"enable_custom_route_auth": true} and "auth" in langgraph.json',
        )
    return str(user.identity)


def app(signoff: Signoff, *, user: Callable[[Request], str] = authenticated) -> Starlette:
    """The app. `user` says in whose name a request comes: whom the server has authenticated, by its `auth`.

    - `GET /signoff/user`: `{"identity"}`.
    - `GET /signoff/tickets`: `{"tickets", "now"}`, by `standing` (may come again), `queue`, `thread`, `tool`, `limit`; at most
      500, and from behind the ticket whose id is `after`.
    - `GET /signoff/tickets/{id}`: one ticket; its id may be cut to a beginning.
    - `GET /signoff/tickets/{id}/reviewers`: `{"reviewers"}`, who may decide it and why, and who may not.
    - `POST /signoff/tickets/{id}/replies`: a `Reply` without its `ticket_id`; the ticket as it then stands.
    - `POST /signoff/tickets/{id}/deeds`: a `Deed`, such as `{"does": "take"}`; the ticket as it then stands.
    - `GET /signoff/lists/mine`, `overdue`: `{"found", "now"}`, by `queue`, `thread`, `tool`, `limit`; `mine` with `audits=true` of
      what has run, what is overdue with `due`, when each was. `GET /signoff/lists/stuck`: the same, by `for`, how long, and `limit`.
    - `GET /signoff/threads`: `{"threads"}`, those that have something to go on with, and settles what is overdue.
    - `GET /signoff/threads/{id}`: `{"assistant", "status", "tickets", "knocks", "questions", "goes_on", "is_finished", "is_held"}`;
      `knocks` are our pauses at which nobody is waited for any more, `questions` the author's own, `goes_on`: it has stalled.

    Tickets, and the threads of the newest of them, are shown to whom their policy knows, and to their requester. An error is `{"detail", "error"}`, with the
    name of its class.
    """
    served = _Served(signoff, user)
    places: list[tuple[str, str, Callable[[Request, str], Awaitable[Any]]]] = [
        ("GET", "/user", served.whoever),
        ("GET", "/tickets", served.tickets),
        ("GET", "/tickets/{ticket}", served.ticket),
        ("GET", "/tickets/{ticket}/reviewers", served.reviewers),
        ("POST", "/tickets/{ticket}/replies", served.reply),
        ("POST", "/tickets/{ticket}/deeds", served.deed),
        ("GET", "/lists/{name}", served.listed),
        ("GET", "/threads", served.threads),
        ("GET", "/threads/{thread}", served.thread),
    ]
    return Starlette(
        routes=[Route(PREFIX + path, partial(served.answer, body), methods=[method]) for method, path, body in places]
    )


class _Served:
    """The bodies of the routes; each gives plain data or words."""

    def __init__(self, signoff: Signoff, user: Callable[[Request], str]) -> None:
        self.signoff, self.user = signoff, user

    async def answer(self, body: Callable[[Request, str], Awaitable[Any]], request: Request) -> Response:
        try:
            value, status = await body(request, self.user(request)), 200
        except SignoffError as error:
            value, status = to_body(error), status_of(error)
        except HTTPException as error:
            value, status = {"detail": error.detail}, error.status_code
        return Response(to_json(value), status, media_type="application/json")

    async def whoever(self, request: Request, by: str) -> Any:  # noqa: ARG002  # the shape of a body
        return {"identity": by}

    async def tickets(self, request: Request, by: str) -> Any:
        query, after = _query(request), request.query_params.get("after")
        return await asyncio.to_thread(self._tickets, query, after, by)

    def _tickets(self, query: Query, after: str | None, by: str) -> Any:
        behind = query if after is None else self._behind(query, self._ticket(after, by))
        seen = (ticket for ticket in islice(self._all(behind), _FARTHEST) if self._sees(by, ticket))
        return {"tickets": list(islice(seen, query.limit)), "now": stamp(self.signoff.desk.clock())}

    def _all(self, query: Query) -> Iterator[Ticket]:
        """What a query finds, and what it would find behind that: whoever asks may not see the first of it."""
        while page := self.signoff.find(query):
            yield from page
            if len(page) < query.limit:
                return
            query = replace(self._behind(query, page[-1]), limit=PAGE)

    def _behind(self, query: Query, last: Ticket) -> Query:
        return replace(query, after=self.signoff.ledger.rows([last.id])[last.id])

    async def ticket(self, request: Request, by: str) -> Any:
        return await asyncio.to_thread(self._ticket, request.path_params["ticket"], by)

    def _ticket(self, id_: str, by: str) -> Ticket:
        found = self.signoff.ticket(id_)
        if not self._sees(by, found):
            raise UnknownTicket(f"there is no ticket {id_!r} that {by} may see")
        return found

    async def reviewers(self, request: Request, by: str) -> Any:
        return await asyncio.to_thread(self._reviewers, request.path_params["ticket"], by)

    def _reviewers(self, id_: str, by: str) -> Any:
        return {"reviewers": self.signoff.who(self._ticket(id_, by))}

    async def listed(self, request: Request, by: str) -> Any:
        name, given = request.path_params["name"], request.query_params
        if name not in ("mine", "overdue", "stuck"):
            raise HTTPException(404, f"there is no list {name!r}: mine, overdue and stuck")
        query, after = _query(request, most=_FARTHEST), _span(given.get("for", "1h"))
        if name == "stuck" and (query.queue or query.thread_id or query.tool):
            raise HTTPException(
                422, "what is stuck is looked for in all of the ledger: leave queue, thread and tool out"
            )
        return await asyncio.to_thread(self._listed, name, query, given.get("audits") == "true", after, by)

    def _listed(self, name: str, query: Query, audits: bool, after: timedelta, by: str) -> Any:
        where: dict[str, Any] = {"queue": query.queue, "thread_id": query.thread_id, "tool": query.tool}
        lists: dict[str, Callable[..., Sequence[Ticket | Stuck]]] = {
            "mine": partial(self._mine, by=by, audits=audits, **where),
            "overdue": partial(self.signoff.overdue, **where),
            "stuck": partial(self.signoff.stuck, after=after),
        }
        told = {"now": stamp(self.signoff.desk.clock()), "found": self._seen(lists[name], query.limit, by)}
        return {**told, "due": self.signoff.due_of(told["found"])} if name == "overdue" else told

    def _mine(self, **about: Any) -> list[Ticket]:
        try:
            return self.signoff.mine(**about)
        except NotAllowedToDecide:  # which would tell a stranger who is known
            return []

    def _seen(self, find: Callable[..., Sequence[Ticket | Stuck]], limit: int, by: str) -> Any:
        """The first of a list that somebody may see; it is made longer only if too few of them are."""
        wanted = limit
        while True:
            found = find(limit=wanted)
            seen = [each for each in found if self._sees(by, each.ticket if isinstance(each, Stuck) else each)]
            if len(seen) >= limit or len(found) < wanted or wanted == _FARTHEST:
                return seen[:limit]
            wanted = min(4 * wanted, _FARTHEST)

    async def deed(self, request: Request, by: str) -> Any:
        return await asyncio.to_thread(self._deed, request.path_params["ticket"], await _json_body(request), by)

    def _deed(self, id_: str, body: bytes, by: str) -> Ticket:
        seen = self._ticket(id_, by).id
        deed = _read(Deed, {}, body)
        match deed.does:
            case "take":
                return self.signoff.take(seen, by=by)
            case "put_back":
                return self.signoff.put_back(seen, by=by)
            case "assign":
                return self.signoff.assign(seen, by=by, to=deed.to, reason=deed.reason)
            case "extend":
                return self.signoff.extend(seen, by=by, reason=deed.reason, span=deed.span)
            case "request_info":
                return self.signoff.request_info(seen, deed.text, by=by, of=deed.of)
            case "give_info":
                return self.signoff.give_info(seen, deed.text, by=by)

    async def reply(self, request: Request, by: str) -> Any:
        return await asyncio.to_thread(self._reply, request.path_params["ticket"], await _json_body(request), by)

    def _reply(self, id_: str, body: bytes, by: str) -> Ticket:
        seen = self._ticket(id_, by)
        reply = _read(Reply, {"ticket_id": seen.id}, body)
        # A verdict on what nobody names would be one on whatever stands there now.
        if isinstance(reply.says, Verdict) and reply.says is not Verdict.COMMENT and not reply.digest:
            raise IncompleteDecision("name what you saw: give its digest")
        [ticket] = self.signoff.hear([reply], by=by)
        return ticket

    async def threads(self, request: Request, by: str) -> Any:  # noqa: ARG002  # the shape of a body
        await asyncio.to_thread(self.signoff.expire)
        names = await asyncio.to_thread(self.signoff.threads_to_wake)
        return {"threads": [name for name in names if await self._goes_on(name, by)]}

    async def _goes_on(self, thread_id: str, by: str) -> bool:
        try:
            told = await self._thread(thread_id, by)
        except (UnknownThread, StillRunning):
            return False
        return bool(told["knocks"] or told["goes_on"])

    async def thread(self, request: Request, by: str) -> Any:
        return await self._thread(request.path_params["thread"], by)

    async def _thread(self, thread_id: str, by: str) -> dict[str, Any]:
        # A run that begins in between opens tickets that this head knows nothing of.
        rows = await asyncio.to_thread(open_rows, self.signoff, thread_id)
        thread = await find(thread_id)
        if thread is None or not await asyncio.to_thread(self._may_look, thread_id, by):
            raise UnknownThread(f"the server holds no thread {thread_id!r} that {by} may see")
        if thread.is_busy:
            raise StillRunning(f"thread {thread_id!r} is being run by somebody else; try again later")
        return await asyncio.to_thread(self._told, thread, rows)

    def _may_look(self, thread_id: str, by: str) -> bool:
        newest = newest_row(self.signoff, thread_id)
        return newest is None or self._sees(by, self.signoff.ticket(newest.id))

    def _told(self, thread: Thread, rows: Sequence[Row]) -> dict[str, Any]:
        head = head_of(thread, Waiting.of(self.signoff, thread))
        graph = str(thread.metadata.get("graph_id", ""))
        knocks = head.decided(self.signoff)
        goes_on = not (head.is_finished or head.is_paused or head.is_held)
        if not (knocks or goes_on):
            withdraw_dropped(self.signoff, graph, head, rows)
            let_sleep(self.signoff, head, thread.id)
        run = report(self.signoff, thread.id, head, "")
        return {
            "assistant": str(thread.metadata.get("assistant_id") or graph),
            "status": run.status,
            "tickets": run.tickets,
            "knocks": knocks,
            "questions": list(head.questions),
            "goes_on": goes_on,
            "is_finished": head.is_finished,
            "is_held": head.is_held,
        }

    def _sees(self, by: str, ticket: Ticket) -> bool:
        people = self.signoff.people(ticket.id)
        return people is None or by in people or by == ticket.requester


def _query(request: Request, *, most: int = PAGE) -> Query:
    given = request.query_params
    try:
        standings = tuple(Standing(name) for name in given.getlist("standing"))
        limit = min(most, max(1, int(given.get("limit", 50))))
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    return Query(standings, given.get("queue"), given.get("thread"), given.get("tool"), limit=limit)


async def _json_body(request: Request) -> bytes:
    # A page elsewhere can have a browser send a form with its user's cookies, but no JSON.
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise HTTPException(415, "send application/json")
    return await request.body()


def _span(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error


def _read(word: type[W], known: dict[str, str], body: bytes) -> W:
    try:
        given = strict_json(body.decode())
        return word.model_validate({**given, **known})
    except ValidationError as error:
        first = error.errors()[0]
        raise IncompleteDecision(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise IncompleteDecision(f"the body is no JSON object: {error}") from error

"""The guard among an author's own auth handlers, and the routes where nobody is authenticated."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from langgraph_sdk import Auth
from starlette.testclient import TestClient

from langgraph_signoff import Signoff, SignoffError, StaleTicket, StillRunning, errors
from langgraph_signoff.server import app, guard
from langgraph_signoff.server.wire import status_of, to_body, to_error
from support import open_ticket

USER = Auth.types.AuthContext(permissions=[], user=None, resource="threads", action="create_run")  # type: ignore[arg-type]  # none is asked for


@pytest.fixture
def signoff(path: Path) -> Signoff:
    return Signoff(path)


async def ask(auth: Auth, **kwargs: Any) -> Any:
    """What the server does with a new run."""
    run: Any = {"thread_id": None, "kwargs": {"input": {}, "config": {"configurable": {}}, **kwargs}}
    return await auth._handlers["threads", "create_run"][-1](ctx=USER, value=run)


# Handlers -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["exact", "resource", "action", "global"])
async def test_the_authors_handler_is_heard_first_wherever_it_was_registered(place: str, signoff: Signoff) -> None:
    auth, heard = Auth(), []

    async def own(ctx: Any, value: Any) -> Any:
        heard.append(value)
        return {"owner": "ana"}

    if place == "exact":
        auth.on.threads.create_run(own)
    guard(auth, signoff)
    if place == "resource":
        auth.on.threads(own)
    elif place == "action":
        auth.on(resources="*", actions="create_run")(own)  # type: ignore[call-overload]  # the SDK's own words for it
    elif place == "global":
        auth.on(own)
    assert await ask(auth) == {"owner": "ana"}
    assert len(heard) == 1


async def test_without_a_handler_of_the_author_every_run_is_accepted_as_without_us(signoff: Signoff) -> None:
    assert await ask(guard(Auth(), signoff)) is None


async def test_what_the_author_refuses_is_refused(signoff: Signoff) -> None:
    auth = Auth()

    @auth.on
    async def nobody(ctx: Any, value: Any) -> bool:
        return False

    assert await ask(guard(auth, signoff)) is False


def test_a_handler_of_the_author_cannot_take_the_place_of_the_guard_unnoticed(signoff: Signoff) -> None:
    auth = guard(Auth(), signoff)
    with pytest.raises(ValueError, match="already set"):

        @auth.on.threads.create_run
        async def own(ctx: Any, value: Any) -> None: ...


async def test_a_run_may_not_say_for_whom_it_is(signoff: Signoff) -> None:
    configurable = {"langgraph_auth_permissions": ["read", "signoff:on-behalf-of:cem"]}
    await ask(guard(Auth(), signoff), config={"configurable": configurable})
    assert configurable == {"langgraph_auth_permissions": ["read"]}


async def test_langgraphs_own_keys_are_refused(signoff: Signoff) -> None:
    with pytest.raises(Auth.exceptions.HTTPException) as refused:
        await ask(guard(Auth(), signoff), config={"configurable": {"__pregel_resuming": True}})
    assert refused.value.status_code == 422


# Errors -------------------------------------------------------------------------------------------------------------------


def kinds(base: type[SignoffError]) -> list[type[SignoffError]]:
    return [base, *(found for kind in base.__subclasses__() for found in kinds(kind))]


@pytest.mark.parametrize("kind", [kind for kind in kinds(SignoffError) if kind.__module__ == errors.__name__])
def test_every_error_has_a_status_and_most_are_the_same_on_the_other_side(kind: type[SignoffError]) -> None:
    error = StaleTicket("t", 3) if kind is StaleTicket else kind.__new__(kind)
    if kind.__init__ is Exception.__init__:
        error = kind("words")
    assert 403 <= status_of(error) <= 503
    told = to_error(to_body(error))
    if kind is StaleTicket:
        assert isinstance(told, StillRunning)
    elif kind.__init__ is Exception.__init__:
        assert (type(told), str(told)) == (kind, "words")
    else:
        assert told is None


@pytest.mark.parametrize("body", [None, "x", [], {}, {"error": "SystemExit", "detail": "x"}, {"error": []}])
def test_other_peoples_errors_are_none_of_ours(body: Any) -> None:
    assert to_error(body) is None


# Routes -------------------------------------------------------------------------------------------------------------------


def test_routes_that_nobody_guards_tell_nothing_and_how_to_guard_them(signoff: Signoff) -> None:
    ticket = open_ticket(signoff)
    client = TestClient(app(signoff))
    for path in ("tickets", f"tickets/{ticket.id}", "user", "threads", f"threads/{uuid4()}"):
        answer = client.get(f"/signoff/{path}")
        assert answer.status_code == 401
        assert "enable_custom_route_auth" in answer.json()["detail"]
    assert client.post(f"/signoff/tickets/{ticket.id}/replies", json={"says": "approve"}).status_code == 401
    assert len(signoff.history(ticket)) == 1


def test_an_app_of_ones_own_says_who_asks(signoff: Signoff) -> None:
    ticket = open_ticket(signoff)
    client = TestClient(app(signoff, user=lambda request: request.headers["x-forwarded-user"]))
    reply = {"says": "approve", "digest": ticket.digest, "generation": 1, "reason": "agreed"}
    answer = client.post(f"/signoff/tickets/{ticket.id}/replies", json=reply, headers={"x-forwarded-user": "ana"})
    assert (answer.status_code, answer.json()["approved_by"]) == (200, ["ana"])


@pytest.mark.parametrize("query", ["standing=lost", "limit=many", "standing="])
def test_a_question_that_makes_no_sense_is_422(query: str, signoff: Signoff) -> None:
    client = TestClient(app(signoff, user=lambda request: "ana"))
    assert client.get(f"/signoff/tickets?{query}").status_code == 422
    assert client.get("/signoff/tickets?limit=-5").status_code == 200
    assert client.get("/signoff/tickets/../../etc/passwd").status_code == 404

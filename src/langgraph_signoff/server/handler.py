"""The server's auth handler that records an answer as its sender's decisions before it becomes a run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from langgraph_sdk import Auth

from langgraph_signoff.errors import IncompleteDecision, NotAllowedToDecide, NotWhatYouSaw, SignoffError, StillRunning
from langgraph_signoff.ledger import Row
from langgraph_signoff.nodes.gate import messages_in
from langgraph_signoff.nodes.turn import ON_BEHALF, PERMISSIONS, last_human
from langgraph_signoff.runs import KNOCK
from langgraph_signoff.server.answers import answers, gone, is_by_id, knocked, replies
from langgraph_signoff.server.threads import Thread, Waiting, find, revived
from langgraph_signoff.server.wire import status_of
from langgraph_signoff.vocabulary import Reply

if TYPE_CHECKING:
    from langgraph_signoff.signoff import Signoff

_PLACE = ("threads", "create_run")


def guard(auth: Auth, signoff: Signoff) -> Auth:
    """Lets the answers of the server's clients decide tickets, each as the user whom `auth` has authenticated.

    The law hears them before the run is created, and what it refuses becomes a response with status 403, 409 or 422 and no
    run; in the run that is created, the answer is a knock. Handlers of `auth` for runs are heard first, whether they were
    registered before or, for whole resources, after this. What answers somebody else's pause goes through untouched.
    """
    own = auth._handlers.get(_PLACE, [None])[-1]

    async def decide(ctx: Auth.types.AuthContext, value: Any) -> Auth.types.HandlerResult:
        handler = own or _wider(auth)
        allowed = await handler(ctx=ctx, value=value) if handler else None
        if allowed is not False:
            try:
                await _decide(signoff, ctx, value, allowed)
            except SignoffError as error:
                raise Auth.exceptions.HTTPException(status_of(error), str(error)) from error
        return allowed

    # There is one handler to a place, and the server reads them here.
    auth._handlers[_PLACE] = [decide]
    return auth


def _wider(auth: Auth) -> Any:
    """The handler that the server would have chosen if there were none for just this; in its order."""
    resource, action = _PLACE
    found = (auth._handlers.get(place) for place in ((resource, "*"), ("*", action), ("*", "*")))
    handlers = next(filter(None, found), auth._global_handlers)
    return handlers[-1] if handlers else None


async def _decide(signoff: Signoff, ctx: Auth.types.AuthContext, run: Any, allowed: Any) -> None:
    kwargs, command = run["kwargs"], run["kwargs"].get("command") or {}
    _check_config(kwargs)
    begins = (kwargs.get("input") is not None and not command) or (_changes(command) and command.get("resume") is None)
    found = None if begins or run["thread_id"] is None else await find(str(run["thread_id"]))
    if found is None or (isinstance(allowed, Mapping) and not fits(found.metadata, allowed)):
        return  # nothing goes on, or the server answers for a thread that is not there, or not for this user
    waiting = await asyncio.to_thread(Waiting.of, signoff, found)
    _check_ledger(command.get("resume"), waiting)
    if waiting.newest is None:
        return
    if command.get("resume") is not None:
        await asyncio.to_thread(_hear, signoff, ctx.user, run, found, waiting)
    if not (_changes(command) or _may_be_anothers(found, waiting, waiting.newest)):
        await asyncio.to_thread(_go_on_for_the_same, signoff, kwargs, waiting.newest)


def _check_ledger(resume: Any, waiting: Waiting) -> None:
    # In the run it would be a knock, and its sender would believe to have decided.
    given = resume if is_by_id(resume) else dict.fromkeys(waiting.elsewhere, resume)
    if any(given.get(id_, KNOCK) not in (KNOCK, None) for id_ in waiting.elsewhere):
        raise IncompleteDecision(
            "this pause is of another ledger than that of the server's guard; decide where that is, or give both the same one"
        )


def _hear(signoff: Signoff, user: Any, run: Any, found: Thread, waiting: Waiting) -> None:
    kwargs = run["kwargs"]
    resume = kwargs["command"]["resume"]
    if missing := gone(resume, waiting.all):
        raise NotWhatYouSaw(f"the thread no longer waits at {', '.join(missing)}; look again, then decide")
    answered = answers(resume, waiting.pauses, waiting.others)
    if not answered:
        return
    by_id = is_by_id(resume)
    said = [
        reply for id_, answer in answered.items() for reply in replies(id_, waiting.pauses[id_], answer, by_id=by_id)
    ]
    _check_run(kwargs, found)
    if found.is_busy and (not by_id or run.get("multitask_strategy") == "reject"):
        raise StillRunning("a run of this thread is under way; look again when it is done, then decide")
    _take(signoff, said, user)
    kwargs["command"] = {**kwargs["command"], "resume": knocked(resume, answered)}


def _take(signoff: Signoff, said: list[Reply], user: Any) -> None:
    if not user.is_authenticated:
        _check_studio(signoff, said, user)
    signoff.hear(said, by=str(user.identity))


def _check_studio(signoff: Signoff, said: list[Reply], user: Any) -> None:
    # Whoever claims to be Studio on a developer's machine is believed by the server, and must be trusted by the policy. Any
    # other name may be a person's, which somebody else has given.
    if not isinstance(user, Auth.types.StudioUser):
        raise NotAllowedToDecide(f"the server has not authenticated {user.identity!r}, and takes no decision of theirs")
    if any(signoff.people(reply.ticket_id) is None for reply in said):
        raise NotAllowedToDecide(
            f"the server has not authenticated {user.identity!r}; they may decide if the policy names them among its people"
        )


def _go_on_for_the_same(signoff: Signoff, kwargs: Mapping[str, Any], newest: Row) -> None:
    # Whoever wakes a run does not become the one it is for: they could not decide what it asks next, and its requester could.
    requester = signoff.desk.case(newest.id).requester
    configurable = kwargs["config"]["configurable"]
    configurable[PERMISSIONS] = [*_permissions(configurable), f"{ON_BEHALF}{requester or ''}"]


def _may_be_anothers(found: Thread, waiting: Waiting, newest: Row) -> bool:
    """Whether what comes next may not be what the requester of the newest ticket has asked for: somebody has said more.

    They would approve it themselves.
    """
    turn, _ = last_human(messages_in(revived(found.state["values"])))
    return found.is_edited or bool(turn and not waiting.pauses and turn != newest.turn)


def _permissions(configurable: Mapping[str, Any]) -> list[str]:
    return [given for given in configurable.get(PERMISSIONS) or () if not given.startswith(ON_BEHALF)]


def _changes(command: Mapping[str, Any]) -> bool:
    return bool(command.get("update") or command.get("goto"))


def _check_config(kwargs: Mapping[str, Any]) -> None:
    """Refuses what only LangGraph itself puts into a run's config, and what only this guard does."""
    configurable = _configurable(kwargs)
    if own := sorted(key for key in configurable if key.startswith("__pregel_")):
        raise IncompleteDecision(f"{', '.join(own)} in `configurable` is LangGraph's own; leave it out")
    if configurable.get(PERMISSIONS):
        configurable[PERMISSIONS] = _permissions(configurable)


def _check_run(kwargs: Mapping[str, Any], found: Thread) -> None:
    """Whether a run is of the kind in which somebody may answer. Raises a DecisionRefused."""
    configurable = _configurable(kwargs)
    if configurable.get("cron_id"):
        raise NotAllowedToDecide("a cron decides nothing: whoever made it has not seen what is asked now")
    if _changes(kwargs["command"]):
        raise IncompleteDecision("an answer to a pause comes alone; leave out update and goto")
    # Agent Chat UI and Studio name the checkpoint that they show.
    if configurable.get("checkpoint_id") not in (None, found.state["checkpoint"].get("checkpoint_id")):
        raise NotWhatYouSaw("the thread has gone on from what you saw; look again, then decide")


def _configurable(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return (kwargs.get("config") or {}).get("configurable") or {}


def fits(metadata: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a thread is among those that a handler's filter lets its user see. What is not understood lets nobody.

    The grammar is that of `langgraph_sdk.auth.types.FilterType`.
    """
    return all(_fits(metadata, key, value) for key, value in wanted.items())


def _fits(metadata: Mapping[str, Any], key: str, wanted: Any) -> bool:
    if key in ("$or", "$and"):
        either = any if key == "$or" else all
        return either(map(partial(fits, metadata), wanted))
    if not isinstance(wanted, Mapping):
        return key in metadata and bool(metadata[key] == wanted)
    has = metadata.get(key)
    match dict(wanted):
        case {"$eq": value}:
            return key in metadata and bool(has == value)
        case {"$contains": value}:
            return isinstance(has, list) and all(one in has for one in (value if isinstance(value, list) else [value]))
    return False

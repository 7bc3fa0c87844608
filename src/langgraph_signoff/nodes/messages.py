"""What the graph is told of a call, and how an outcome is kept so that a second runner gets the same."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from langchain_core.messages import ToolMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Command
from pydantic_core import to_jsonable_python

from langgraph_signoff.canonical import plain_json
from langgraph_signoff.law import Case
from langgraph_signoff.masking import mask
from langgraph_signoff.vocabulary import Standing, Verdict

_SERDE = JsonPlusSerializer()


class RecordedFailure(Exception):
    """A tool failed under this approval before; it looks like the error that was raised then."""

    def __init__(self, text: str, representation: str) -> None:
        super().__init__(text)
        self._representation = representation

    def __repr__(self) -> str:
        return self._representation

    def told(self, name: str) -> str:
        """What the graph is told where the error is not raised again."""
        return f"{name} failed: {self!r}. It was tried once, as approved, and is not tried again."


def keep_result(response: Any, *, name: str, tell: Callable[[str], Any]) -> tuple[dict[str, Any], Any]:
    """The contents of an `executed` entry, and what the graph gets: what cannot be serialized is told by its text.

    `tell`: makes what the graph gets of a text. Never raises: the work is done, and that must go on record whatever it gave.
    """
    try:
        kind, blob = _SERDE.dumps_typed(response)
    except Exception as error:
        kind, blob, response = _kept_as_text(response, error, name, tell)
    return {"rendering": _rendering(response), "kind": kind, "blob": base64.b64encode(blob).decode()}, response


def _kept_as_text(response: Any, error: Exception, name: str, tell: Callable[[str], Any]) -> tuple[str, bytes, Any]:
    try:
        plain = as_text(response, error)
        return (*_SERDE.dumps_typed(plain), plain)
    except Exception:
        told = tell(f"{name} ran; what it returned could not be kept: {spelled(response)}")
        return (*_SERDE.dumps_typed(told), told)


def has_result(case: Case) -> bool:
    """Whether what the work itself gave is on record."""
    return "blob" in case.result


def kept_result(case: Case) -> Any:
    """What the work itself gave."""
    return _SERDE.loads_typed((case.result["kind"], base64.b64decode(case.result["blob"])))


def did_run(case: Case) -> bool:
    """Whether the work was done, as far as anybody can still tell."""
    return case.standing is Standing.RUNNING or (case.standing is Standing.EXECUTED and not _is_erased(case))


def end(case: Case, name: str) -> str:
    """How a call ended of which no result is on record, in words."""
    if case.kind == "question":
        return f"{name} {_UNANSWERED.get(case.standing, _unanswered)(case)}"
    tell = _ENDS.get(case.standing, _lost)
    return tell(case, name)


def keep_error(error: BaseException) -> dict[str, Any]:
    """The contents of a `failed` entry."""
    return {"error": spelled(error) or type(error).__name__, "type": type(error).__name__, "repr": spelled(error, repr)}


def kept_error(case: Case) -> RecordedFailure | None:
    """The error that a failed call raised, or None if it failed in another way."""
    contents = case.result
    return RecordedFailure(contents["error"], contents["repr"]) if "repr" in contents else None


def as_text(response: Any, error: Exception) -> Any:
    """A response without what the serializer refuses: its messages' text, their artifacts dropped."""
    if isinstance(response, ToolMessage):
        note = f"{response.text}\n(An attachment could not be kept: {spelled(error)})".strip()
        return ToolMessage(note, name=response.name, tool_call_id=response.tool_call_id, status=response.status)
    if isinstance(response, list):
        return [as_text(item, error) for item in response]
    if isinstance(response, dict):
        return {key: _as_plain(value, error) for key, value in response.items()}
    if isinstance(response, Command) and isinstance(response.update, dict):
        return Command(graph=response.graph, update=as_text(response.update, error), goto=response.goto)
    return spelled(response)


def _as_plain(value: Any, error: Exception) -> Any:
    if isinstance(value, (list, ToolMessage)):
        return as_text(value, error) if isinstance(value, ToolMessage) else [_as_plain(item, error) for item in value]
    try:
        _SERDE.dumps_typed(value)
    except Exception:
        return spelled(value)
    return value


def with_note(response: Any, case: Case, call_id: str) -> Any:
    """The response, with a note of what really ran if a reviewer changed the arguments."""
    if case.erased or case.args == case.action.get("args"):
        return response
    ran = json.dumps(mask(case.parsed, case.ruling.redact), ensure_ascii=False)
    note = f"(A reviewer changed the call; it ran with {ran}.)"
    return _noted(response, note, call_id)


def _noted(response: Any, note: str, call_id: str) -> Any:
    if isinstance(response, ToolMessage) and response.tool_call_id == call_id:
        content = response.content
        new = f"{content}\n{note}" if isinstance(content, str) else [*content, {"type": "text", "text": note}]
        return response.model_copy(update={"content": new})
    if isinstance(response, list):
        return [_noted(item, note, call_id) for item in response]
    if isinstance(response, Command) and isinstance(response.update, dict):
        update = {key: _noted(value, note, call_id) for key, value in response.update.items()}
        return Command(graph=response.graph, update=update, goto=response.goto, resume=response.resume)
    return response


def _rendering(response: Any) -> Any:
    value = response.content if isinstance(response, ToolMessage) else response
    if isinstance(value, str):
        return value
    try:
        plain = to_jsonable_python(value, fallback=spelled, inf_nan_mode="constants", bytes_mode="base64")
        plain_json(plain)
    except Exception:
        return spelled(value)
    return plain


def spelled(value: Any, spell: Callable[[Any], str] = str) -> str:
    """A value as text; its type if it fails even at being spelled, as what a tool returns or raises may."""
    try:
        return spell(value)
    except Exception:
        return f"<{type(value).__name__}>"


def _is_erased(case: Case) -> bool:
    return case.erased and not case.result


def _erased_text(case: Case, name: str) -> str:
    did = "was run" if case.standing is Standing.EXECUTED else "was run and failed"
    return f"{name} {did} once, and what is known of it has been {case.erasure or 'erased'}. Do not repeat it."


def _executed(case: Case, name: str) -> str:
    if _is_erased(case):
        return _erased_text(case, name)
    by = case.outcome.by if case.outcome else ""
    result = case.outcome.result if case.outcome else None
    text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
    return (
        f"{text}\n(The run was cut off; {by} says that the call happened.)"
        if result is not None
        else f"It happened, says {by}."
    )


def _failed(case: Case, name: str) -> str:
    if _is_erased(case):
        return _erased_text(case, name)
    return f"{name} was not completed: {case.outcome.error if case.outcome else ''}."


def _in_doubt(case: Case, name: str) -> str:
    return (
        f"It is unknown whether {name} happened: its run was cut off, and nobody could say in time (ticket {case.id[:12]}). "
        "Do not repeat it. Tell the user that it must be checked."
    )


def _rejected(case: Case, name: str) -> str:
    return f"{name} was not run: rejected by {_rejecters(case)}{_because(case)}. Do not propose the same call again unless the user asks for it."


def _returned(case: Case, name: str) -> str:
    return (
        f"{name} was not run: {case.last_by} sent it back{_because(case)}. You may propose it again with that in mind."
    )


def _denied(case: Case, name: str) -> str:
    if granted := case.ruling.granted:
        by = " and ".join(granted.by)
        return f"{name} was not run: {by} rejects such calls{_because(case)}. Do not propose it again."
    why = case.ruling.detail if case.kind == "plan" and case.ruling.detail else case.ruling.reason_code
    return f"{name} was not run: the policy does not permit this call ({why}). Do not propose it again."


def _expired(case: Case, name: str) -> str:
    instead = f", and {case.fallback.tool} is called instead" if case.fallback else ""
    return (
        f"{name} was not run: nobody decided in time{instead}. Tell the user; propose it again only if they ask for it."
    )


def _lapsed(case: Case, name: str) -> str:  # noqa: ARG001  # one shape for every end
    return f"{name} was not run: its approval was not used in time. You may propose it again."


def _withdrawn(case: Case, name: str) -> str:
    return f"{name} was not run: the request was withdrawn{_because(case)}."


def _lost(case: Case, name: str) -> str:  # noqa: ARG001  # one shape for every end
    return f"{name} was not run: what was approved is no longer on record. Do not propose it again."


def _rejecters(case: Case) -> str:
    return " and ".join(dict.fromkeys(d.who for d in case.decisions if d.verdict is Verdict.REJECT))


def _because(case: Case) -> str:
    return f": {case.why}" if case.why else ""


_ENDS: dict[Standing, Callable[[Case, str], str]] = {
    Standing.EXECUTED: _executed,
    Standing.FAILED: _failed,
    Standing.IN_DOUBT: _in_doubt,
    Standing.REJECTED: _rejected,
    Standing.RETURNED: _returned,
    Standing.DENIED: _denied,
    Standing.EXPIRED: _expired,
    Standing.LAPSED: _lapsed,
    Standing.WITHDRAWN: _withdrawn,
}


def _unanswered(case: Case) -> str:
    return f"was not answered: it is {case.standing}."


def _not_answered(case: Case) -> str:
    return f"was not answered: rejected by {_rejecters(case)}{_because(case)}. Do not ask the same again unless the user wants it."


def _asked_back(case: Case) -> str:
    return f"was not answered: {case.last_by} sent it back{_because(case)}. You may ask again with that in mind."


def _answer_gone(case: Case) -> str:
    return f"was answered, and what is known of it has been {case.erasure or 'erased'}. Do not ask again."


_UNANSWERED: dict[Standing, Callable[[Case], str]] = {
    Standing.ANSWERED: _answer_gone,
    Standing.REJECTED: _not_answered,
    Standing.RETURNED: _asked_back,
    Standing.DENIED: lambda case: (
        f"was not asked: the policy does not permit it ({case.ruling.reason_code}). Do not ask it again."
    ),
    Standing.EXPIRED: lambda _: "was not answered: nobody did in time. Tell the user; ask again only if they want it.",
    Standing.WITHDRAWN: lambda case: f"was not answered: the question was withdrawn{_because(case)}.",
}

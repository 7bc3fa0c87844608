"""What other people's clients answer to a pause of ours, read as what it says of each ticket. Pure.

Three forms are read, each by the position of the calls that the pause shows:

- LangChain's `HITLResponse`: `{"decisions": [{"type": "approve"} | {"type": "edit", "edited_action": {"name", "args"}} |
  {"type": "reject", "message"} | {"type": "respond", "message"}]}` (langchain.agents.middleware.human_in_the_loop);
- the same as Agent Inbox sends it, with what belongs to a decision under `args`;
- Agent Inbox's own list of one `{"type": "accept" | "edit" | "response" | "ignore", "args"}`.

To a question `respond` gives the answer; of a call in doubt it says `happened`, `did_not_happen` or `give_up`; any other
call it sends back with words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from langgraph_signoff.canonical import strict_json
from langgraph_signoff.errors import IncompleteDecision, NotWhatYouSaw
from langgraph_signoff.nodes.payload import Shown, halted_calls, is_doubt, shown, shows_one
from langgraph_signoff.runs import KNOCK
from langgraph_signoff.vocabulary import Answer, Json, Reply, Verdict

_ID = re.compile("[0-9a-f]{32}")


def answers(resume: Json, pauses: Mapping[str, Any], others: Collection[str]) -> dict[str, Json]:
    """What a resume value answers to each of our pauses, by id; knocks are no answers.

    `pauses`: our own that the thread waits at, by id; `others`: the ids of those that are not ours. Raises IncompleteDecision
    where it does not say which pause it means.
    """
    if is_by_id(resume):
        return {id_: answer for id_, answer in resume.items() if id_ in pauses and answer != KNOCK}
    if not pauses or resume == KNOCK:
        return {}
    if len(pauses) + len(others) > 1:
        raise IncompleteDecision(
            f"the thread waits at several pauses; say which you answer: {{interrupt id: answer}}, with {', '.join(pauses)}"
        )
    return dict.fromkeys(pauses, resume)


def knocked(resume: Json, answered: Collection[str]) -> dict[str, Json]:
    """The same resume value, by id, with a knock in place of each answer that is on record."""
    return {**(resume if is_by_id(resume) else {}), **dict.fromkeys(answered, KNOCK)}


def is_by_id(resume: Json) -> bool:
    """Whether LangGraph reads a resume value as answers by interrupt id: all its keys look like one."""
    return isinstance(resume, dict) and all(_ID.fullmatch(key) for key in resume)


def gone(resume: Json, waiting: Collection[str]) -> list[str]:
    """The interrupts that a resume value answers although the thread does not wait at them."""
    if not is_by_id(resume):
        return ["the pause"] if not waiting and _is_decision(resume) else []
    return [id_ for id_, answer in resume.items() if id_ not in waiting and answer != KNOCK]


def replies(id_: str, asked: Any, answer: Json, *, by_id: bool = True) -> list[Reply]:
    """What an answer says of each ticket that a pause of ours shows. Raises IncompleteDecision and NotWhatYouSaw.

    `by_id`: whether the answer names this pause, and with it what was shown.
    """
    if halted_calls(asked, id_):
        raise IncompleteDecision("this pause waits for a release and asks nothing; `signoff release` ends the halt")
    calls = shown(asked)
    said = _said(answer, is_doubt(asked))
    if len(said) == 1 and shows_one(asked):
        calls = calls[:1]
    if len(said) != len(calls):
        raise IncompleteDecision(
            f"the pause shows {len(calls)} calls, in order, and this answers {len(said)}; give a decision for each"
        )
    if not by_id:
        for one, call in zip(said, calls, strict=True):
            _check_clear(one, call)
    read = _settling if is_doubt(asked) else _reply
    return [read(one, call) for one, call in zip(said, calls, strict=True)]


def _check_clear(said: dict[str, Any], call: Shown) -> None:
    # What was changed while it waited may still stand on somebody's page as it was before.
    is_approval = said.get("type") in ("approve", "accept")
    if call.generation > 1 and is_approval and not isinstance(said.get("args"), dict):
        raise NotWhatYouSaw(
            f"{call.tool} was changed while it waited, and this does not say in which form you saw it; answer by interrupt "
            f"id, or with `signoff approve {call.ticket_id[:12]}`"
        )


# One decision -------------------------------------------------------------------------------------------------------------


def _said(answer: Json, doubt: bool) -> Sequence[dict[str, Any]]:
    if doubt and isinstance(answer, str):
        return [{"type": "respond", "message": answer}]
    said = answer.get("decisions", [answer]) if isinstance(answer, dict) else answer
    if not (isinstance(said, list) and said and all(isinstance(one, dict) for one in said)):
        raise IncompleteDecision(f"{_quoted(answer)} decides nothing; {_FORMS}")
    return said


_FORMS = 'send {"decisions": [{"type": "approve"}]}, with edit and edited_action, or reject and message'


def _is_decision(answer: Json) -> bool:
    try:
        return all("type" in one for one in _said(answer, doubt=False))
    except IncompleteDecision:
        return False


def _reply(said: dict[str, Any], call: Shown) -> Reply:
    about: dict[str, Any] = {"ticket_id": call.ticket_id, "digest": call.digest, "generation": call.generation}
    match said.get("type"):
        case "approve" | "accept":
            _check_seen(said.get("args"), call)
            return Reply(**about, says=Verdict.APPROVE, reason=_words(said, "message"))
        case "edit":
            return Reply(**about, says=Verdict.REVISE, reason=_words(said, "message"), args=_edited(said, call))
        case "reject":
            return Reply(**about, says=Verdict.REJECT, reason=_words(said, "message", "args"))
        case "ignore":
            return Reply(**about, says=Verdict.REJECT)
        case "respond" | "response" if call.kind == "question":
            given = [said[key] for key in ("message", "args") if key in said]
            return Reply(**about, says=Verdict.ANSWER, **({"value": given[0]} if given else {}))
        case "respond" | "response":
            words = _words(said, "message", "args").strip()
            if not words:
                raise IncompleteDecision(f"to send {call.tool} back takes words: put them into `message`")
            return Reply(**about, says=Verdict.REVISE, reason=words)
    raise IncompleteDecision(f"{_quoted(said.get('type'))} is no decision on {call.tool}; {_FORMS}")


def _settling(said: dict[str, Any], call: Shown) -> Reply:
    word = _words(said, "message", "args").strip()
    if said.get("type") not in ("respond", "response") or word not in set(Answer):
        raise IncompleteDecision(
            f"nobody knows whether {call.tool} happened; respond with {', '.join(Answer)}: "
            '{"decisions": [{"type": "respond", "message": "happened"}]}'
        )
    return Reply(ticket_id=call.ticket_id, says=Answer(word))


def _words(said: dict[str, Any], *keys: str) -> str:
    text = next((said[key] for key in keys if said.get(key) is not None), "")
    if not isinstance(text, str):
        raise IncompleteDecision(f"`{keys[0]}` takes words, not {_quoted(text)}")
    return text


def _check_seen(action: Json, call: Shown) -> None:
    # Agent Inbox gives back what it showed.
    if isinstance(action, dict) and (action.get("action"), action.get("args")) != (call.tool, call.args):
        raise NotWhatYouSaw(f"this accepts {_quoted(action)}, which is not what is asked now; look again, then decide")


def _edited(said: dict[str, Any], call: Shown) -> dict[str, Json]:
    action = said.get("edited_action", said.get("args"))
    if not isinstance(action, dict) or not isinstance(action.get("args"), dict):
        raise IncompleteDecision(f'an edit of {call.tool} names its arguments: "edited_action": {{"name", "args"}}')
    tool, args = action.get("name", action.get("action")), action["args"]
    if tool != call.tool:
        raise IncompleteDecision(
            f"an edit changes arguments, not the tool: {call.tool} is asked, not {_quoted(tool)}; to have another one "
            "proposed, respond with words"
        )
    if missing := sorted(set(call.args) - set(args)):
        raise IncompleteDecision(f"the edit leaves out {', '.join(missing)}; name every argument that was shown")
    return {key: _typed(value, call.args.get(key)) for key, value in args.items()}


def _typed(value: Json, before: Json) -> Json:
    # The text boxes of both clients turn everything into text.
    if not isinstance(value, str) or before is None or isinstance(before, str):
        return value
    try:
        return strict_json(value)
    except (ValueError, RecursionError):
        return value


def _quoted(value: Json) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "this"
    return text if len(text) <= 80 else f"{text[:80]}…"

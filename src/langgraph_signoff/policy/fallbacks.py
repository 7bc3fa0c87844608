"""What is called if nobody decides in time: whether it may be, as far as the file tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from langgraph_signoff.policy.describe import secret_path
from langgraph_signoff.policy.document import SECTIONS, Document, Queue, Then, Tool
from langgraph_signoff.policy.index import Index, fits
from langgraph_signoff.policy.loading import Path
from langgraph_signoff.policy.quoting import quote, quote_mistake, quotes_anything
from langgraph_signoff.vocabulary import Action, Counts, Fallback, Json

_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)


def fallback_mistakes(document: Document, indexes: Mapping[str, Index]) -> Iterator[tuple[Path, str]]:
    """What is wrong with the calls that silence sets off: where, and why."""
    tools = indexes["tool"]
    for name, queue in document.queues.items():
        # What no entry names may be asked there too.
        if isinstance(queue.on_timeout, Fallback):
            for key, problem in _mistakes(queue.on_timeout, tools, document.vars, []):
                yield ("queues", name, "on_timeout", key), problem
    for section in SECTIONS.values():
        for name, entry in getattr(document, section).items():
            secrets = [found for written in entry.redact if (found := secret_path(written))]
            for fallback, at in _set_off((section, name), entry, document):
                if section == "tools" and fits(fallback.tool, name):
                    told = f"would call {fallback.tool} although nobody has approved it; name another tool"
                    yield (*at, "tool"), told
                    continue
                for key, problem in _mistakes(fallback, tools, document.vars, secrets):
                    yield (*at, key), problem


def _set_off(path: Path, entry: Tool, document: Document) -> Iterator[tuple[Fallback, Path]]:
    """What silence on the reviews of an entry calls, and where that is written."""
    for then, at in _asking(path, entry):
        name = then.queue or "default"
        fallback = then.on_timeout or document.queues.get(name, Queue()).on_timeout
        if isinstance(fallback, Fallback):
            yield fallback, at if then.on_timeout else ("queues", name, "on_timeout")


def _mistakes(
    fallback: Fallback, tools: Index, variables: Mapping[str, Json], secrets: Sequence[str]
) -> Iterator[tuple[str, str]]:
    if problem := quote_mistake(fallback.args, variables, secrets, of_flag=False):
        yield "args", problem
    if problem := _not_allowed(fallback, tools, variables):
        yield "tool", problem


def fallbacks(document: Document) -> Iterator[tuple[Path, str]]:
    """The tools that silence calls: where they are named, and which."""
    for name, queue in document.queues.items():
        if isinstance(queue.on_timeout, Fallback):
            yield ("queues", name, "on_timeout", "tool"), queue.on_timeout.tool
    for section in SECTIONS.values():
        for name, entry in getattr(document, section).items():
            for then, path in _asking((section, name), entry):
                if isinstance(then.on_timeout, Fallback):
                    yield (*path, "tool"), then.on_timeout.tool


def _asking(path: Path, entry: Tool) -> Iterator[tuple[Then, Path]]:
    written: list[tuple[Then, Path]] = [(entry.otherwise, (*path, "otherwise"))]
    written += [(rule, (*path, "rules", number)) for number, rule in enumerate(entry.rules)]
    return ((then, (*at, "on_timeout")) for then, at in written if then.then == "review")


def _not_allowed(fallback: Fallback, tools: Index, variables: Mapping[str, Json]) -> str | None:
    rulebook = tools.rulebook(fallback.tool)
    if "allow" not in rulebook.modes:
        modes = " or ".join(rulebook.modes)
        return f"{fallback.tool} is {modes}, never allow, so nothing would be called; allow it, or write deny"
    args = quote(fallback.args, {"vars": dict(variables)})
    if quotes_anything(args):
        return None  # what it comes to is ruled when it is called
    action = Action(thread_id="", proposal="", tool=fallback.tool, args=args, parsed=args, digest="")
    ruling = rulebook.decide(action, now=_SOME_DAY, history=Counts())
    return (
        None if ruling.mode == "allow" else f"{fallback.tool} with these args is {ruling.mode}, not allow; write deny"
    )

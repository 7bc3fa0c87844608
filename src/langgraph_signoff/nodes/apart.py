"""Work in a task of its own, where something else in the same task may ask too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from langgraph.func import task

from langgraph_signoff.nodes.internals import room
from langgraph_signoff.nodes.steps import WORKPLACE, workplace
from langgraph_signoff.vocabulary import CurrentAction


def apart(
    do: Callable[[], Any], ado: Callable[[], Awaitable[Any]], *, about: CurrentAction, keep: Callable[[Any], Any]
) -> tuple[Callable[[], Any], Callable[[], Awaitable[Any]]]:
    """The same work as a called task, sync and async: its own pauses are counted there.

    LangGraph numbers the pauses of a task. Work that is answered from the record makes none on a later pass, and whoever asks
    next in its task would get its answers. `keep` makes of a result what LangGraph can serialize.
    """
    # LangGraph keeps what a called task returned under its name and its number in this pass: the name must tell attempts apart.
    name = f"{about.tool}:{about.ticket_id[:12]}:{about.attempt}"

    def run() -> Any:
        WORKPLACE.set(workplace())
        return keep(do())

    async def arun() -> Any:
        WORKPLACE.set(workplace())
        return keep(await ado())

    named: Any = task(name=name)

    def called() -> Any:
        with room(workers=1) as context:
            return context.run(named(run)).result()

    async def acalled() -> Any:
        with room() as context:
            return await context.run(named(arun))

    return called, acalled

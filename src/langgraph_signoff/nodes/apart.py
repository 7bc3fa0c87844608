"""Work in a task of its own, where something else in the same task may ask too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from contextvars import ContextVar
from typing import Any

from langgraph.func import task

from langgraph_signoff.nodes.internals import room
from langgraph_signoff.nodes.steps import Work
from langgraph_signoff.vocabulary import CurrentAction


class Apart(Work):
    """The same work as a called task, sync and async: its own pauses are counted there.

    LangGraph numbers the pauses of a task. Work that is answered from the record makes none on a later pass, and whoever asks
    next in its task would get its answers. `keep` makes of a result what LangGraph can serialize.
    """

    def __init__(
        self,
        do: Callable[[], Any],
        ado: Callable[[], Awaitable[Any]],
        current: ContextVar[Any],
        about: CurrentAction,
        *,
        keep: Callable[[Any], Any],
    ) -> None:
        super().__init__(do, ado, current, about)
        # LangGraph keeps what a called task returned under its name and its number in this pass: the name must tell
        # attempts apart.
        self._task: Any = task(name=f"{about.tool}:{about.ticket_id[:12]}:{about.attempt}")
        self._keep, self._end = keep, Future[Any]()

    def run(self) -> Any:
        """Runs it. If the run is cancelled meanwhile, it still ends when the work has ended: a thread cannot be stopped."""
        with room(workers=1) as context:
            called = context.run(self._task(self._run))
            try:
                return called.result()
            except CancelledError:
                if not self.started:
                    raise
                return self._end.result()

    async def arun(self) -> Any:
        """The same for async."""
        with room() as context:
            return await context.run(self._task(self._arun))

    def _run(self) -> Any:
        try:
            kept = self._keep(super().run())
        except BaseException as error:
            self._end.set_exception(error)
            raise
        self._end.set_result(kept)
        return kept

    async def _arun(self) -> Any:
        return self._keep(await super().arun())

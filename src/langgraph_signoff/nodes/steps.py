"""What the heart asks of the world, one step at a time, so that it is written once for sync and async."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Generator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config
from langgraph.errors import GraphInterrupt
from langgraph.types import Interrupt

from langgraph_signoff.nodes import internals
from langgraph_signoff.nodes.payload import is_pause

T = TypeVar("T")


class Step(Protocol):
    """Something that the heart wants done before it goes on."""

    def run(self) -> Any:
        """Does it here and now."""

    async def arun(self) -> Any:
        """Does it without blocking the loop."""


Steps = Generator[Step, Any, T]


@dataclass(frozen=True, slots=True)
class Io:
    """A call of the ledger: it runs to its end even when the caller is cancelled, and the heart learns its result."""

    call: Callable[[], Any]

    def run(self) -> Any:
        """Calls."""
        return self.call()

    async def arun(self) -> Any:
        """Calls in a thread."""
        return await asyncio.to_thread(self.call)


@dataclass(frozen=True, slots=True)
class Ask:
    """A pause of the graph. Its answer is a knock: it says that there may be news, nothing more.

    `interrupt()` would count it among the pauses of its task, and hand an answer that comes late to the tool's own question.
    So it has an id of its own, which no other pause has, and is simply not made again once there is nothing to wait for.
    """

    value: Any
    id: str

    def run(self) -> NoReturn:
        """Pauses."""
        raise GraphInterrupt((Interrupt(self.value, self.id),))

    async def arun(self) -> NoReturn:
        """The same."""
        self.run()


@dataclass(frozen=True, slots=True)
class Hear:
    """Takes an answer without an id that came for a pause of ours, so that whoever pauses next does not get it."""

    def run(self) -> None:
        """Takes it. What is left over from a run before goes too: it was a knock, or has been given to its question."""
        try:
            config = get_config()
        except RuntimeError:  # a node may be called by itself, outside of a graph
            return
        configurable = config.get("configurable", {})
        is_left_over = internals.is_answered_by_id(configurable)
        if is_left_over or (internals.is_unheard(configurable) and self._came_for_us(config)):
            internals.hear(configurable)

    def _came_for_us(self, config: RunnableConfig) -> bool:
        return any(is_pause(pause.value, pause.id) for pause in internals.last_pauses(config))

    async def arun(self) -> None:
        """The same."""
        self.run()


@dataclass(frozen=True, slots=True)
class Sleep:
    """A wait, in seconds."""

    seconds: float

    def run(self) -> None:
        """Waits."""
        time.sleep(self.seconds)

    async def arun(self) -> None:
        """Waits without blocking the loop."""
        await asyncio.sleep(self.seconds)


WORKPLACE: ContextVar[str] = ContextVar("signoff_workplace", default="")
"""LangGraph's name of the task in which the guarded work runs that was begun last."""


def workplace() -> str:
    """LangGraph's name of the task that runs here, empty outside of a graph."""
    try:
        return str(get_config().get("metadata", {}).get("langgraph_checkpoint_ns") or "")
    except RuntimeError:
        return ""


class Work:
    """The guarded work itself. `started` tells whether it may have had an effect."""

    def __init__(
        self, do: Callable[[], Any], ado: Callable[[], Awaitable[Any]], current: ContextVar[Any], about: Any
    ) -> None:
        self._do, self._ado, self._current, self._about = do, ado, current, about
        self.started = False

    def run(self) -> Any:
        """Runs it, with `current_action()` set."""
        with self:
            return self._do()

    async def arun(self) -> Any:
        """Runs its async form, with `current_action()` set."""
        with self:
            return await self._ado()

    def __enter__(self) -> None:
        self._tokens = self._current.set(self._about), WORKPLACE.set(workplace())
        self.started = True

    def __exit__(self, *error: object) -> None:
        current, place = self._tokens
        WORKPLACE.reset(place)
        self._current.reset(current)


def at_once(function: Callable[[], Any]) -> Any:
    """What somebody's function gives in a sync run. Raises TypeError if it would have to be awaited: nothing of it has run."""
    result = function()
    if inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        raise TypeError("it is async, and nothing of it has run: resume the run with aresume()")
    return result


async def in_time(function: Callable[[], Any]) -> Any:
    """What it gives in an async run, sync or async, without blocking the loop."""
    result = await asyncio.to_thread(function)
    return await result if inspect.isawaitable(result) else result


def drive(steps: Steps[T]) -> T:
    """Does every step here and now; the result of the last."""
    value, error = None, None
    while True:
        try:
            step = steps.throw(error) if error else steps.send(value)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]  # the generator's return type is T
        value, error = None, None
        try:
            value = step.run()
        except BaseException as raised:
            error = raised


async def adrive(steps: Steps[T]) -> T:
    """Does every step without blocking the loop. A cancellation waits for a ledger call that is under way, and then holds."""
    before, value = _cancellations(), None
    error: BaseException | None = None
    cancelled: asyncio.CancelledError | None = None
    while True:
        try:
            step = steps.throw(error) if error else steps.send(value)
        except StopIteration as done:
            if cancelled:
                raise cancelled from None
            return done.value  # type: ignore[no-any-return]  # the generator's return type is T
        except Exception as failed:
            if _cancellations() > before:
                # A retry would take an error for leave to go on.
                raise cancelled or asyncio.CancelledError() from failed
            raise
        value, error = None, None
        try:
            if isinstance(step, Io):
                task, cancelled = await _to_the_end(step, cancelled)
                value = task.result()
            elif cancelled:
                raise cancelled
            else:
                value = await step.arun()
        except BaseException as raised:
            error = raised
            cancelled = None if raised is cancelled else cancelled


async def _to_the_end(
    step: Io, cancelled: asyncio.CancelledError | None
) -> tuple[asyncio.Task[Any], asyncio.CancelledError | None]:
    task: asyncio.Task[Any] = asyncio.ensure_future(step.arun())
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    return task, cancelled


def _cancellations() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task else 0

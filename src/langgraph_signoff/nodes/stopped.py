"""Errors of ours on their way to whoever runs the graph: past all that makes something else of a node's or a tool's error."""

from __future__ import annotations

from langgraph.errors import GraphBubbleUp

from langgraph_signoff.errors import ActionRefused, SignoffError


class Stopped(GraphBubbleUp):
    """Carries an error of ours. Error handlers of nodes and tools, and retries, let it pass as they do a pause."""

    def __init__(self, error: SignoffError) -> None:
        super().__init__(str(error))
        self.error = error


class unhandled:  # used like a function
    """Around a node's work: an error of ours ends the run. A caller can catch it as what it is.

    What a person has refused to a question or a task is an answer, which the author may handle.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        """Every call passes here: a generator would cost it ten times as much."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Stopped):
            raise _typed(error.error) from error.__cause__
        if isinstance(error, SignoffError) and not isinstance(error, ActionRefused):
            raise _typed(error) from error.__cause__


def _typed(error: SignoffError) -> Stopped:
    if isinstance(error, Stopped):
        return error
    kind = type(error)
    typed: Stopped = type(
        kind.__name__, (Stopped, kind), {"__init__": Stopped.__init__, "__module__": kind.__module__}
    )(error)
    vars(typed).update(vars(error))
    return typed

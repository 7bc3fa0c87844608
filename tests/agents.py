"""Agents of `create_agent` behind the middleware, in a `World` whose ledger, threads and effects are files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel

from failures.world import ONCE, SENT, Expect, Mode, World
from langgraph_signoff.middleware import SignoffMiddleware
from langgraph_signoff.testing import ScriptedModel

POLICY = """
version: 1
tools:
  look: allow
  drop: deny
  send: review
  task: allow
"""


class Agency(World):
    """A world whose graph is an agent of LangChain's; sync or async hides behind the same methods."""

    def __init__(self, folder: Path, *, is_async: bool = False) -> None:
        super().__init__(folder, Mode(is_async, each=True))

    def hire(
        self,
        script: Any,
        *,
        tools: Sequence[Any] | None = None,
        before: Sequence[Any] = (),
        after: Sequence[Any] = (),
        policy: str = POLICY,
        gate: dict[str, Any] | None = None,
        signoff: dict[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """An agent that follows a script, with other middlewares before (outside) and after (inside) the gate."""
        self.signoff = self.new_signoff(policy, **(signoff or {}))
        self.graph = create_agent(
            script if isinstance(script, BaseChatModel) else ScriptedModel(script),
            self.tools() if tools is None else list(tools),
            middleware=[*before, SignoffMiddleware(self.signoff, **(gate or {})), *after],
            **{"checkpointer": self.saver, **options},
        )
        return self.graph

    def answers(self, thread: str = "t") -> dict[str, str]:
        """What the model was told, by call id; each call exactly once."""
        told = self.told(thread)
        assert len({message.tool_call_id for message in told}) == len(told)
        return {message.tool_call_id: message.text for message in told}

    def assert_asks_and_sends(self, *, standing: str = "executed", last: str = SENT) -> None:
        """One question, one effect; and what the model was told of it."""
        assert self.run().status == "pending_approval"
        assert self.effects == []
        assert self.approve_all().status == "completed"
        self.assert_ends(Expect(ONCE, [standing], last))

    def standings(self, thread: str = "t") -> list[str]:
        """How every ticket stands, sorted."""
        return sorted(str(ticket.standing) for ticket in self.tickets(thread))


@contextmanager
def agency(folder: Path, *, is_async: bool = False) -> Iterator[Agency]:
    """One, closed in the end."""
    made = Agency(folder, is_async=is_async)
    try:
        yield made
    finally:
        made.close()

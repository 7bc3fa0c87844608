"""Where an agent works on a fixed clock: a ledger, and what its tools have done, kept outside of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langgraph_signoff import Policy, Signoff
from support import Clock


class Workplace:
    """A front door to a ledger under this policy; `fails`: tools do what they do, and then say that nobody answered."""

    def __init__(self, folder: Path, policy: str) -> None:
        self.folder, self.clock, self.policy = folder, Clock(), Policy.parse(policy)
        self.signoff = self.again()
        self.fails = False

    def again(self, **more: Any) -> Signoff:
        """Another process's front door to the same ledger."""
        return Signoff(self.folder / "signoff.db", policy=self.policy, clock=self.clock, lease=0.5, wait=1, **more)

    @property
    def effects(self) -> list[str]:
        path = self.folder / "effects.txt"
        return path.read_text().splitlines() if path.exists() else []

    def effect(self, text: str) -> str:
        with (self.folder / "effects.txt").open("a") as file:
            file.write(text + "\n")
        if self.fails:
            raise ConnectionError("no answer")
        return text

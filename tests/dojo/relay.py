"""A run in many processes: one ends at each pause, another decides, a third goes on. `python -m dojo.relay FOLDER`.

FOLDER holds `cases.json`, a list of [policy file, suite, task]; for each a JSON line is printed. The process that is
started here imports AgentDojo once and forks; it opens no ledger and no checkpointer itself.
"""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from langgraph.checkpoint.sqlite import SqliteSaver

import langgraph_signoff.runs  # noqa: F401  # what a fork need not import
from langgraph_signoff import Policy, Signoff

from .gates import MANY_STEPS, approve_everything, decide
from .replay import Case, World, graph, replay, tools

_FORK = get_context("fork")


@dataclass(frozen=True)
class Relay:
    """One case's folder, with all that its processes share: the world, the ledger, the checkpoints and a log."""

    folder: Path
    policy: str

    def play(self, world: World) -> World:
        """Hands the world from process to process until its run completes."""
        world.file = self.folder / "world.pickle"
        world.keep()
        self._in_a_process(self.start)
        while self._status() == "pending_approval":
            self._in_a_process(self.decide)
            self._in_a_process(self.resume)
        assert self._status() == "completed", self._status()
        return self._world()

    def start(self) -> None:
        """Runs until the first pause, or to the end."""
        self._go("start")

    def resume(self) -> None:
        """Goes on until the next pause, or to the end."""
        self._go("resume")

    def decide(self) -> None:
        """Approves what waits."""
        world, signoff = self._world(), Signoff(self.folder / "signoff.db", policy=self.policy)
        world.log("- decide")
        for ticket in signoff.pending(thread_id="t"):
            decide(signoff, ticket, world.step, approve_everything)
        world.decided()
        world.keep()
        signoff.close()

    def _go(self, how: str) -> None:
        world, signoff = self._world(), Signoff(self.folder / "signoff.db", policy=self.policy)
        world.log(f"- {how}")
        with SqliteSaver.from_conn_string(str(self.folder / "checkpoints.db")) as saver:
            compiled = graph(world, signoff.tool_node(tools(world)), saver)
            if how == "start":
                run = signoff.run(compiled, {"messages": [("user", world.prompt)]}, thread_id="t", config=MANY_STEPS)
            else:
                run = signoff.resume(compiled, thread_id="t", config=MANY_STEPS)
        if run.status == "pending_approval":
            world.paused()
            world.keep()
        (self.folder / "status").write_text(run.status)
        signoff.close()

    def _in_a_process(self, work: Callable[[], None]) -> None:
        process = _FORK.Process(target=work)
        process.start()
        process.join()
        assert process.exitcode == 0, f"{work.__name__} ended with {process.exitcode} in {self.folder}"

    def _status(self) -> str:
        return (self.folder / "status").read_text()

    def _world(self) -> World:
        return pickle.loads((self.folder / "world.pickle").read_bytes())


def main(folder: Path) -> None:
    """Plays every case in processes of its own, and prints what AgentDojo and the log say."""
    cases = json.loads((folder / "cases.json").read_text())
    for policy in {policy for policy, _, _ in cases}:
        Policy.load(policy)  # what a fork need not import
    for place, (policy, suite, task) in enumerate(cases):
        relay = Relay(folder / str(place), policy)
        relay.folder.mkdir()
        verdict = replay(Case(suite, task), relay.play)
        log = [line.split(" ", 1) for line in (relay.folder / "log").read_text().splitlines()]
        world = verdict.world
        row = {"useful": verdict.useful, "asked": world.asked, "still": world.was_still}
        print(json.dumps({**row, "proposed": [step.tool for step in world.script], "log": log}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

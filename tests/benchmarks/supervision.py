"""Pauses and tickets of AgentDojo's user tasks, supervised step by step, by the outcome, and by a mixture of both."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from measure import Figure

from dojo.replay import Case
from dojo.scripts import SUITES, suite
from dojo.supervision import MODES, counted


def figures(folder: Path) -> list[Figure]:
    """For each mode, its pauses against those of step by step; a suite a line."""
    found = []
    for name in SUITES:
        cases = [Case(name, task) for task in suite(name).user_tasks]
        counts = {mode: counted(cases, mode, folder) for mode in MODES}
        step = counts["tactical"]
        for mode in MODES[1:]:
            now = counts[mode]
            detail = f"{name}, {now['tasks']} of {len(cases)} tasks solved: "
            detail += ", ".join(f"{m} {c['pauses']} pauses, {c['tickets']} tickets" for m, c in counts.items())
            ratio = now["tickets"] / step["tickets"]
            found.append(Figure(f"tickets, {mode}, {name}", "step by step", ratio, None, detail))
    return found

"""All figures, one command: `python tests/benchmarks/run.py`. `--quick` for a look, names to choose."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import audits
import cycle
import doors
import people
import rulings
import starts
import supervision
import tickets
from measure import Figure


def main() -> None:
    """Measures and prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, fewer tickets")
    parser.add_argument(
        "names", nargs="*", help="cycle, audits, doors, rulings, page, decisions, people, memory, supervision, starts"
    )
    options = parser.parse_args()
    part = 10 if options.quick else 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts: dict[str, Callable[[], list[Figure]]] = {
            "cycle": lambda: cycle.figures(folder, rounds=300 // part),
            "audits": lambda: audits.figures(folder, rounds=300 // part, many=1_000_000 // part),
            "doors": lambda: doors.figures(folder, rounds=300 // part),
            "rulings": lambda: rulings.figures(rounds=500 // part),
            "page": lambda: tickets.page_figures(folder, rounds=200 // part, many=1_000_000 // part),
            "decisions": lambda: tickets.decision_figures(folder, rounds=1_000 // part),
            "people": lambda: people.figures(folder, rounds=max(3, 30 // part), many=1_000_000 // part),
            "memory": lambda: tickets.memory_figures(folder, count=100_000 // part),
            "supervision": lambda: supervision.figures(folder),
            "starts": lambda: starts.figures(folder, rounds=max(3, 15 // part)),
        }
        print("| figure | against | ratio | at most | |\n| --- | --- | --- | --- | --- |")
        for chosen in options.names or parts:
            for figure in parts[chosen]():
                limit = "" if figure.limit is None else f"{figure.limit:g}"
                print(
                    f"| {figure.name} | {figure.base} | {figure.ratio:.2f} | {limit} | {figure.verdict} |", flush=True
                )
                if figure.detail:
                    print(f"{' ' * 4}{figure.detail}", file=sys.stderr)


if __name__ == "__main__":
    main()

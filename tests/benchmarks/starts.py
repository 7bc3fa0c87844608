"""How long importing takes, and how fast the commands start that need no graph."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from measure import Figure, in_turn, microseconds

LANGGRAPH = "import langgraph.graph, langgraph.checkpoint.sqlite"


def figures(folder: Path, *, rounds: int) -> list[Figure]:
    """Whole processes, so that every import counts; a process that does nothing is subtracted."""
    ledger = str(folder / "start.db")
    command = str(Path(sys.executable).with_name("signoff"))

    def python(code: str) -> None:
        subprocess.run([sys.executable, "-c", code], check=True)

    def signoff(*words: str) -> None:
        subprocess.run([command, "--ledger", ledger, *words], check=True, stdout=subprocess.DEVNULL)

    python(f"from langgraph_signoff import Signoff; Signoff({ledger!r})")
    medians = in_turn(
        {
            "nothing": lambda: python("pass"),
            "langgraph": lambda: python(LANGGRAPH),
            "with us": lambda: python(f"{LANGGRAPH}; import langgraph_signoff"),
            "list": lambda: signoff("list"),
        },
        rounds=rounds,
        warm=2,
    )
    base = medians["langgraph"] - medians["nothing"]
    return [
        Figure(
            "import langgraph_signoff",
            "langgraph and its saver",
            (medians["with us"] - medians["nothing"]) / base,
            1.10,
            microseconds(medians),
        ),
        Figure(
            "signoff list", "importing langgraph and its saver", (medians["list"] - medians["nothing"]) / base, 0.5, ""
        ),
    ]

"""Starts the demo's processes one after another, and reads from the outside what they left behind."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from langgraph_signoff.demo.steps import THREAD
from langgraph_signoff.ledger import Query
from langgraph_signoff.signoff import Signoff
from langgraph_signoff.vocabulary import Ticket

_LANGGRAPH_JSON = {"dependencies": ["."], "graphs": {"crm_export": "./crm_export.py:graph"}}
_PATIENCE = 300  # seconds that one process may take


class DemoFailed(Exception):
    """A process of the demo ended in a way that the story does not know; the message holds what it wrote."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One process that has ended: its id, whether SIGKILL ended it, and what it said of itself."""

    step: str
    pid: int
    killed: bool
    said: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Effects:
    """What was read from the CRM's file and the outbox table. `times`: how often each approved customer arrived."""

    rows: int
    approved: int
    times: tuple[int, ...]
    mails: int

    @property
    def exports(self) -> str:
        """How often the approved export was made: a number, or the numbers that differ from customer to customer."""
        return " or ".join(map(str, self.times))

    def is_export_run(self, count: int) -> bool:
        """Whether the approved export, and nothing else, was made so many times."""
        return self.times == (count,) and self.rows == count * self.approved and self.mails == 0


class Stage:
    """A folder in which the story is played: the graph and its policy beside the files that it works on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("crm_export.py", "crm_export.yaml"):
            shutil.copyfile(_graph_file(name), folder / name)
        (folder / "langgraph.json").write_text(json.dumps(_LANGGRAPH_JSON, indent=2) + "\n", "utf-8")

    def play(self, step: str) -> Scene:
        """Plays a step in a process of its own, and waits for its end. Raises DemoFailed."""
        place = "bare" if step.startswith("bare") else "crm_export"
        command = [sys.executable, "-m", "langgraph_signoff.demo.steps", step, place]
        environment = {**os.environ, "LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false"}
        process = subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            out, err = process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.communicate()
            raise DemoFailed(f"{step} (pid {process.pid}) did not end within {_PATIENCE} s") from error
        killed = process.returncode == -getattr(signal, "SIGKILL", -signal.SIGTERM)
        if process.returncode and not killed:
            raise DemoFailed(f"{step} (pid {process.pid}) ended with {process.returncode}:\n{err}")
        return Scene(step, process.pid, killed, json.loads(out) if out.strip() else {})

    def effects(self, place: str) -> Effects:
        """What the world holds after what was played so far; `place`: `crm_export` or `bare`."""
        folder = self.folder / place
        rows = _customers_in(folder / "crm-hubspot.csv")
        held = Counter(rows)
        [mails] = _read(folder / "customers.db", "SELECT count(*) FROM outbox")[0]
        approved = [id_ for (id_,) in _read(folder / "customers.db", "SELECT id FROM customers WHERE active")]
        times = tuple(sorted({held[id_] for id_ in approved}))
        return Effects(rows=len(rows), approved=len(approved), times=times, mails=mails)

    def customers(self) -> int:
        """How many customers the database holds."""
        return int(_read(self.folder / "crm_export" / "customers.db", "SELECT count(*) FROM customers")[0][0])

    @cached_property
    def signoff(self) -> Signoff:
        """The ledger that the gated story is written in."""
        return Signoff(self.folder / "crm_export" / "signoff.db")

    def tickets(self) -> dict[str, Ticket]:
        """The tickets of the story as they stand now, by tool."""
        return {ticket.tool: ticket for ticket in self.signoff.find(Query(thread_id=THREAD))}


def _customers_in(file: Path) -> list[int]:
    # Read by nothing that the graph uses: what is counted is what is in the file.
    if not file.exists():
        return []
    with file.open(encoding="utf-8", newline="") as lines:
        return [int(row["customer_id"]) for row in csv.DictReader(lines)]


def _read(database: Path, statement: str) -> list[tuple[int]]:
    with closing(sqlite3.connect(database)) as db:
        return db.execute(statement).fetchall()


def _graph_file(name: str) -> Path:
    # A wheel carries the graph beside this file; a checkout has it in its folder of graphs.
    here = Path(__file__).parent
    places = (here / name, here.parents[2] / "graphs" / name)
    return next((place for place in places if place.exists()), places[0])

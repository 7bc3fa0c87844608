"""The test's side of the processes in `worker.py`: starts them, waits for them, and reads what they left behind."""

from __future__ import annotations

import atexit
import itertools
import json
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from langgraph.checkpoint.sqlite import SqliteSaver

from langgraph_signoff import Signoff
from langgraph_signoff.ledger import Query
from langgraph_signoff.vocabulary import Standing, Ticket

from . import guarded, worker
from .worker import Job, read_lines

DOORS = ("message", "send", "agent", *guarded.DOORS)
"""Where the gate stands: in a tool node that gets a message, or a call; in an agent; before a node, by hand or by `insert`; around a task."""

PATIENCE = 60.0  # seconds after which a process of a test counts as hung
_numbers = itertools.count()


@dataclass
class Ended:
    """A process that is over: its exit status (-9: killed), and what it saw if it got that far."""

    pid: int
    exit: int
    saw: dict[str, Any]

    @property
    def was_killed(self) -> bool:
        return self.exit == -9

    def __getattr__(self, name: str) -> Any:
        saw = object.__getattribute__(self, "saw")
        if name in saw:
            return saw[name]
        raise AttributeError(f"the process saw no {name!r}, only {saw}")

    @property
    def raised(self) -> str:
        return str(self.saw.get("raised", ""))

    def overlaps(self, other: Ended) -> bool:
        """Whether both were at work at one moment, in two processes."""
        return self.pid != other.pid and self.begin < other.end and other.begin < self.end


@dataclass
class Started:
    """A process under way."""

    path: Path
    over: threading.Event = field(default_factory=threading.Event)
    pid: int = 0
    exit: int = 0

    def wait(self) -> Ended:
        assert self.over.wait(PATIENCE), f"{self.path.read_text()} hangs"
        done = self.path.with_suffix(".done")
        return Ended(self.pid, self.exit, json.loads(done.read_text("utf-8")) if done.exists() else {})


class Crew:
    """Starts a process for each job: a fork of one that has imported everything, or a fresh interpreter."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[str] | None = None
        self._under_way: dict[str, Started] = {}

    def start(self, job: Job, *, fresh: bool = False) -> Started:
        path = job.path / f"job-{next(_numbers)}.json"
        path.write_text(json.dumps(asdict(job)), "utf-8")
        started = self._under_way[str(path)] = Started(path)
        if fresh:
            process = subprocess.Popen([sys.executable, worker.__file__, str(path)])
            threading.Thread(target=lambda: self._ended(str(path), process.pid, process.wait()), daemon=True).start()
            return started
        server = self._serving()
        assert server.stdin
        server.stdin.write(f"{path}\n")
        server.stdin.flush()
        return started

    def _serving(self) -> subprocess.Popen[str]:
        if self._server is None:
            command = [sys.executable, worker.__file__, "--serve"]
            self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            threading.Thread(target=self._listen, args=(self._server,), daemon=True).start()
            atexit.register(self._stop)
        return self._server

    def _listen(self, server: subprocess.Popen[str]) -> None:
        assert server.stdout
        for line in server.stdout:
            pid, status, path = line.rstrip("\n").split(" ", 2)
            self._ended(path, int(pid), int(status))

    def _ended(self, path: str, pid: int, status: int) -> None:
        started = self._under_way.pop(path)
        started.pid, started.exit = pid, status
        started.over.set()

    def _stop(self) -> None:
        if self._server and self._server.stdin:
            self._server.stdin.close()
            self._server.wait(10)


CREW = Crew()


class Scene:
    """A story in a folder of its own: ledger, threads, effects, marks."""

    def __init__(self, folder: Path, **fields: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.job = Job(folder=str(folder), **fields)
        self.folder = folder

    def make_threads(self) -> None:
        """LangGraph's file for threads: of two processes that both come to make it, one can be told that it is locked."""
        with SqliteSaver.from_conn_string(str(self.folder / "threads.db")) as saver:
            saver.setup()

    def start(self, op: str, *, fresh: bool = False, **fields: Any) -> Started:
        # A fork would remember on which host its parent was.
        return CREW.start(replace(self.job, op=op, **fields), fresh=fresh or "host" in fields)

    def do(self, op: str, *, fresh: bool = False, **fields: Any) -> Ended:
        """One process from beginning to end. One that was to be killed must have been, at the point that was named."""
        killed_before = self.marks("killed_at")
        ended = self.start(op, fresh=fresh, **fields).wait()
        if point := fields.get("kill"):
            assert ended.was_killed, f"{op} never came to {point}: {ended}"
            assert self.marks("killed_at") == [*killed_before, point.partition("#")[0]]
        else:
            assert ended.exit == 0, f"{op} ended with {ended.exit}"
        return ended

    def hold(self, op: str, **fields: Any) -> Started:
        """A process that is in the middle of its tool, and stays there until `let_go`."""
        times = len(self.marks("entered"))
        started = self.start(op, held=True, **fields)
        end = time.monotonic() + PATIENCE
        while len(self.marks("entered")) == times:
            assert time.monotonic() < end, "the tool was never entered"
            assert not started.over.is_set(), "the process ended without its tool"
            time.sleep(0.01)
        started.pid = next(line["pid"] for line in reversed(self.lines("marks.log")) if "entered" in line)
        return started

    def let_go(self) -> None:
        (self.folder / "let-go").touch()

    # What the world has seen ------------------------------------------------------------------------------------------

    def effects(self, **only: Any) -> list[dict[str, Any]]:
        return [line for line in worker.effects(self.folder) if all(line[key] == value for key, value in only.items())]

    def marks(self, kind: str) -> list[Any]:
        return [line[kind] for line in self.lines("marks.log") if kind in line]

    def lines(self, name: str) -> list[dict[str, Any]]:
        return read_lines(self.folder / name)

    def checkpoints(self) -> list[tuple[Any, ...]]:
        """Everything that the saver holds, byte for byte, but for LangGraph's own note that a task raised an error."""
        with closing(sqlite3.connect(self.folder / "threads.db", timeout=20)) as db:
            kept = db.execute("SELECT * FROM checkpoints ORDER BY 1, 2, 3").fetchall()
            return (
                kept + db.execute("SELECT * FROM writes WHERE channel <> '__error__' ORDER BY 1, 2, 3, 4, 5").fetchall()
            )

    def moments(self) -> list[str]:
        log = self.folder / "moments.log"
        return log.read_text("utf-8").split() if log.exists() else []

    def turn_clock(self, seconds: float) -> None:
        (self.folder / "clock.new").write_text(str(seconds))
        (self.folder / "clock.new").replace(self.folder / "clock")

    # The people, in the test's own process ----------------------------------------------------------------------------

    def signoff(self) -> Signoff:
        return worker.make_signoff(self.job)

    def tickets(self, to: str = "") -> list[Ticket]:
        signoff = self.signoff()
        try:
            found = signoff.find(Query(thread_id=self.job.thread, limit=1000))
            return sorted((t for t in found if not to or t.args.get("to") == to), key=lambda t: t.opened_at)
        finally:
            signoff.close()

    def standings(self, to: str = "") -> list[str]:
        return [str(ticket.standing) for ticket in self.tickets(to)]

    def kinds(self, ticket: Ticket) -> list[str]:
        signoff = self.signoff()
        try:
            return [entry.kind for entry in signoff.history(ticket)]
        finally:
            signoff.close()

    def say(self, verdict: str, *, to: str = "", by: str = "ana") -> Ticket:
        signoff = self.signoff()
        try:
            decide = {"approve": signoff.approve, "reject": signoff.reject}[verdict]
            return decide(self.tickets(to)[-1], by=by)
        finally:
            signoff.close()

    def settle(self, ticket: Ticket, answer: str, result: Any = None) -> Ticket:
        if result is not None and self.job.door in ("node", "inserted"):
            place = [args["to"] for _, args in self.job.lines[0]].index(ticket.args["to"])
            result = guarded.answer(result, f"call-0-{place}")
        signoff = self.signoff()
        try:
            return signoff.settle(ticket, answer, by="ana", result=result)
        finally:
            signoff.close()

    def tell_the_truth(self, ticket: Ticket) -> Ticket:
        """What a person does who looks into the books before they answer."""
        done = self.effects(ticket=ticket.id)
        return (
            self.settle(ticket, "happened", f"sent 7 to {done[0]['to']}")
            if done
            else self.settle(ticket, "did_not_happen")
        )

    def finish(self, verdict: str = "approve", *, answer: str = "truth", op: str = "resume") -> Ended:
        """People answer what is asked, and the thread is resumed, until it is finished; it must get there."""
        said: list[str] = []
        for _ in range(8):
            ended = self.do(op)
            said.append(f"{ended.saw.get('status')} {ended.saw.get('did')} {ended.raised}")
            if ended.raised == "UnknownThread":
                self.do("run")
                continue
            assert not ended.raised, f"{ended.raised}: {ended.text}"
            if ended.status == "completed":
                return ended
            self._answer(verdict, answer)
        raise AssertionError(f"the thread never finished: {said}, {self.standings()}")

    def _answer(self, verdict: str, answer: str) -> None:
        for ticket in self.tickets():
            if ticket.standing is Standing.PENDING:
                self._decide(ticket, verdict)
            elif ticket.standing is Standing.IN_DOUBT and ticket.due_at:
                self._settle(ticket, answer)

    def _decide(self, ticket: Ticket, verdict: str) -> None:
        signoff = self.signoff()
        try:
            (signoff.approve if verdict == "approve" else signoff.reject)(ticket, by="ana")
        finally:
            signoff.close()

    def _settle(self, ticket: Ticket, answer: str) -> None:
        match answer:
            case "truth":
                self.tell_the_truth(ticket)
            case "silence":
                self.turn_clock(3 * 3600)
            case "nobody":
                raise AssertionError(f"nobody should have been asked about {ticket.id}")
            case _:
                self.settle(ticket, answer)

    def check(self, last: Ended) -> None:
        """What holds at the end of every story: one answer for each call, nothing left open, the record whole."""
        ids = [call_id for call_id, _, _ in last.answers]
        assert len(ids) == len(set(ids)) == sum(len(line) for line in self.job.lines[:1]), last.answers
        assert not last.next
        assert not {"pending", "running"} & set(self.standings())
        # An approval whose proposal was lost with its process is asked again under a new one; the old one lapses unused.
        self.turn_clock(3 * 3600)
        signoff = self.signoff()
        try:
            signoff.expire()
            left = [t for t in self.tickets() if not t.standing.is_final and t.due_at is not None]
            assert not left, left
            assert signoff.verify().is_whole, signoff.verify().broken
        finally:
            signoff.close()

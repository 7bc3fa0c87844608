"""One real process of a story: it builds ledger, checkpointer and graph from files, does one thing, and may be killed at a named write.

`worker.py JOB.json` does one job. `worker.py --serve` imports everything once and forks a process for each job path that it
reads from stdin; it answers `PID STATUS PATH` when that process has ended.
"""

from __future__ import annotations

import asyncio
import fcntl
import gc
import json
import os
import selectors
import signal
import socket
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiosqlite
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt

from langgraph_signoff import Policy, Signoff
from langgraph_signoff.ledger import Entry, Lease, Query
from langgraph_signoff.ledger.sqlite import SqliteLedger
from langgraph_signoff.middleware import SignoffMiddleware
from langgraph_signoff.nodes.payload import tickets_of
from langgraph_signoff.testing import ScriptedModel
from langgraph_signoff.vocabulary import Answer, CurrentAction, Done, Happened, Run, Ticket

POLICY = """
version: 1
queues:
  payments: {window: 2h, use_within: 1h}
tools:
  look: allow
  send: {otherwise: {then: review, queue: payments}}
  pay: {otherwise: {then: review, queue: payments}}
nodes:
  send: {otherwise: {then: review, queue: payments}}
questions:
  which: {otherwise: {then: review, queue: payments}}
  account: {otherwise: {then: review, queue: payments}}
"""

IDEMPOTENT = POLICY.replace("send: {", "send: {idempotent: true, ")


@dataclass(frozen=True)
class Job:
    """What one process of a story does. `kill`: `NAME:before` or `NAME:after`, with `#N` for the N-th time in this process."""

    folder: str
    op: str = "run"
    thread: str = "t"
    door: str = "message"
    is_async: bool = False
    gate: str = "signoff"
    policy: str = POLICY
    lines: list[Any] = field(default_factory=lambda: [[["send", {"to": "bob", "amount": 7}]]])
    kill: str = ""
    probe: str = ""
    dedups: bool = False
    sleep: float = 0.0
    held: bool = False
    before: float = 0.0
    lease: float = 0.4
    wait: float = 5.0
    by: str = "ana"
    to: str = ""
    answer: str = ""
    result: Any = None
    value: Any = None
    text: str = "Pay bob."
    host: str = ""
    barrier: str = ""
    crowd: int = 2
    durability: Any = None

    @property
    def path(self) -> Path:
        return Path(self.folder)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of a file; none if it is not there."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def add_line(path: Path, **fields: Any) -> None:
    """One durable line, whole or not at all, whoever else writes."""
    line = json.dumps({"pid": os.getpid(), "at": time.monotonic_ns(), **fields}) + "\n"
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, line.encode())
        os.fsync(handle)
    finally:
        os.close(handle)


class Death:
    """Kills this process at a named moment, after it has left a mark that says so."""

    def __init__(self, job: Job) -> None:
        self._folder, self._seen = job.path, Counter[str]()
        point, _, nth = job.kill.partition("#")
        self._point, self._nth = point, int(nth or 1)
        self._lock = threading.Lock()

    @contextmanager
    def near(self, name: str) -> Iterator[None]:
        """Around a write: it may end before it, or when it is done."""
        self._at(f"{name}:before")
        yield
        self._at(f"{name}:after")

    def _at(self, moment: str) -> None:
        with self._lock:
            self._seen[moment] += 1
            nth = self._seen[moment]
        with (self._folder / "moments.log").open("a") as log:
            log.write(moment + "\n")
        if moment == self._point and nth == self._nth:
            add_line(self._folder / "marks.log", killed_at=moment)
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)  # another thread of the process may still be on its way here


class MortalLedger(SqliteLedger):
    """The real ledger, in a process that may be killed before or after any of its writes."""

    def __init__(self, job: Job, death: Death) -> None:
        self._death = death
        super().__init__(job.path / "ledger.db")

    def append(self, entries: Sequence[Entry], *more: Any, **named: Any) -> None:
        with self._death.near("+".join(dict.fromkeys(entry.kind for entry in entries))):
            super().append(entries, *more, **named)

    def swap_lease(self, name: str, old: Lease | None, new: Lease | None) -> bool:
        if not name.startswith("thread:") or (old and new and old.owner == new.owner):
            return super().swap_lease(name, old, new)  # a heartbeat: when it comes is chance
        with self._death.near("hold" if new else "let_go"):
            return super().swap_lease(name, old, new)


def name_of_writes(writes: Sequence[tuple[str, Any]]) -> str:
    """What a saver's `put_writes` is about."""
    channels = {channel for channel, _ in writes}
    for channel, name in (
        ("__interrupt__", "pause"),
        ("__resume__", "knock"),
        ("__error__", "error"),
    ):
        if channel in channels:
            return name
    return "return" if any(_is_answer(value) for _, value in writes) else "writes"


def name_of_checkpoint(checkpoint: Any) -> str:
    """What a saver's `put` is about: the last message of the state."""
    messages = checkpoint["channel_values"].get("messages") or []
    match messages[-1] if messages else None:
        case AIMessage(tool_calls=[_, *_]):
            return "proposed"
        case AIMessage():
            return "finished"
        case ToolMessage():
            return "answered"
    return "begun"


def _is_answer(value: Any) -> bool:
    return (isinstance(value, list) and any(_is_answer(v) for v in value)) or isinstance(value, ToolMessage)


class MortalSaver(SqliteSaver):
    """The real saver, likewise."""

    death: Death

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        with self.death.near(name_of_checkpoint(checkpoint)):
            return super().put(config, checkpoint, metadata, new_versions)

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        with self.death.near(name_of_writes(writes)):
            super().put_writes(config, writes, task_id, task_path)


class MortalAsyncSaver(AsyncSqliteSaver):
    """The real async saver, likewise."""

    death: Death

    async def aput(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        with self.death.near(name_of_checkpoint(checkpoint)):
            return await super().aput(config, checkpoint, metadata, new_versions)

    async def aput_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        with self.death.near(name_of_writes(writes)):
            await super().aput_writes(config, writes, task_id, task_path)


class Clock:
    """The machine's clock, moved by as many seconds as a file says: other processes can turn it."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"

    def __call__(self) -> datetime:
        moved = float(self._file.read_text()) if self._file.exists() else 0.0
        return datetime.now(UTC) + timedelta(seconds=moved)


# The tools -----------------------------------------------------------------------------------------------------------------


def effect(job: Job, death: Death, to: str, amount: float) -> str:
    """Has its effect: a line in a file. With `dedups`, at most one line for each key, as a payment service would."""
    about = Signoff.current_action()
    key, ticket = (about.key, about.ticket_id) if about else ("", "")
    with death.near("effect"), (job.path / "effects.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (job.dedups and any(line["key"] == key for line in effects(job.path))):
            add_line(job.path / "effects.log", tool="send", to=to, amount=amount, key=key, ticket=ticket)
    return f"sent {amount:g} to {to}"


def effects(folder: Path) -> list[dict[str, Any]]:
    """What the world has seen."""
    return read_lines(folder / "effects.log")


def started(job: Job, to: str) -> None:
    """Leaves a mark that the tool was entered."""
    about = Signoff.current_action()
    add_line(job.path / "marks.log", entered=to, key=about.key if about else "")


def is_held(job: Job) -> bool:
    """Whether the test still keeps the tool from going on."""
    return job.held and not (job.path / "let-go").exists()


def make_tools(job: Job, death: Death) -> list[BaseTool]:
    """`send` has an effect, `look` has none that anybody guards."""

    def send(to: str, amount: float = 5.0) -> str:
        """Sends money."""
        if job.gate == "bare" and interrupt({"send": to}) != "approve":
            return "rejected"
        started(job, to)
        time.sleep(job.sleep)
        while is_held(job):
            time.sleep(0.01)
        return effect(job, death, to, amount)

    async def asend(to: str, amount: float = 5.0) -> str:
        """Sends money."""
        if job.gate == "bare" and interrupt({"send": to}) != "approve":
            return "rejected"
        started(job, to)
        await asyncio.sleep(job.sleep)
        while is_held(job):
            await asyncio.sleep(0.01)
        return effect(job, death, to, amount)

    def look(at: str) -> str:
        """Looks something up."""
        add_line(job.path / "looks.log", looked=at)
        return f"looked at {at}"

    sender = (
        StructuredTool.from_function(coroutine=asend, name="send")
        if job.is_async
        else StructuredTool.from_function(send)
    )
    return [sender, StructuredTool.from_function(look)]


def make_asking(job: Job, death: Death, signoff: Signoff) -> list[BaseTool]:
    """`which` is a question of the model's own; `pay` asks from which account while it runs, and then has its effect."""

    def pay(to: str) -> str:
        """Pays from an account that a person names."""
        return effect(job, death, f"{to} from {signoff.ask('From which account?', name='account')}", 1)

    async def apay(to: str) -> str:
        """Pays from an account that a person names."""
        return effect(job, death, f"{to} from {await signoff.aask('From which account?', name='account')}", 1)

    payer = (
        StructuredTool.from_function(coroutine=apay, name="pay") if job.is_async else StructuredTool.from_function(pay)
    )
    return [payer, signoff.question("which")]


def make_undo(job: Job, death: Death) -> Callable[[Done], str]:
    """What undoes a call of `send`: a line in the same file."""

    def undo(done: Done) -> str:
        with death.near("undoing"):
            add_line(job.path / "effects.log", tool="undo", to=done.args["to"], ticket=done.ticket_id)
        return f"took back what {done.result}"

    return undo


def make_seal(job: Job, death: Death) -> Callable[[], None]:
    """What only the approval of an outcome does: a line in the same file."""

    def seal() -> None:
        with death.near("sealing"):
            add_line(job.path / "effects.log", tool="seal", to="all")

    return seal


def make_probe(job: Job) -> Callable[[CurrentAction], Any]:
    """The tool's own `verify`, of the kind that the job names."""

    def look(about: CurrentAction) -> Any:
        add_line(job.path / "marks.log", probed=about.ticket_id)
        match job.probe:
            case "raises":
                raise ConnectionError("the payment service does not answer")
            case "unknown":
                return None
        done = any(line["ticket"] == about.ticket_id for line in effects(job.path))
        return Happened(result="found in the books") if done else Answer.DID_NOT_HAPPEN

    return look


# The graph -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stage:
    """All that a process needs."""

    job: Job
    signoff: Signoff
    graph: Any

    @property
    def config(self) -> dict[str, Any]:
        return {"configurable": {"thread_id": self.job.thread}}

    def tickets(self) -> list[Ticket]:
        """The thread's tickets, oldest first; only those about `to`, if the job names it."""
        found = self.signoff.find(Query(thread_id=self.job.thread, limit=1000))
        return sorted(
            (t for t in found if not self.job.to or t.args.get("to") == self.job.to), key=lambda t: t.opened_at
        )


def make_signoff(job: Job, death: Death | None = None) -> Signoff:
    """A Signoff over the story's ledger."""
    ledger = MortalLedger(job, death) if death else SqliteLedger(job.path / "ledger.db")
    clock = Clock(job.path)
    return Signoff(ledger, policy=Policy.parse(job.policy), clock=clock, lease=job.lease, wait=job.wait)


def make_graph(job: Job, death: Death, signoff: Signoff, saver: Any) -> Any:
    """An agent that says its script, and its tools behind the gate that the job names."""
    tools = make_tools(job, death)
    probes, undo = {"send": make_probe(job)} if job.probe else None, {"send": make_undo(job, death)}
    if job.door in ("node", "inserted", "task"):
        import guarded  # beside this file, which runs as a script

        send, probe = tools[0].coroutine or tools[0].func, make_probe(job) if job.probe else None
        return guarded.make_graph(job.door, job.lines, send, None if job.gate == "bare" else signoff, probe, saver)
    if job.door.startswith("review"):
        import reviewed  # beside this file, which runs as a script

        seal = None if job.door == "review" else make_seal(job, death)
        return reviewed.make_graph(job.lines, tools, signoff, undo=undo["send"], seal=seal, saver=saver)
    if "propose_plan" in json.dumps(job.lines):
        tools = [*tools, signoff.plan(tools)]
    if job.gate != "bare":
        tools += make_asking(job, death, signoff)
    model = ScriptedModel([line if isinstance(line, str) else [(n, args) for n, args in line] for line in job.lines])
    if job.door == "agent":
        middleware = [] if job.gate == "bare" else [SignoffMiddleware(signoff, verify=probes, undo=undo)]
        return create_agent(model, tools, middleware=middleware, checkpointer=saver)
    if job.door == "deep":
        return make_deep_agent(model, tools, SignoffMiddleware(signoff, verify=probes), saver)
    node = ToolNode(tools) if job.gate == "bare" else signoff.tool_node(tools, verify=probes, undo=undo)

    def agent(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    def next_node(state: MessagesState) -> str:
        return "tools" if state["messages"][-1].tool_calls else END

    builder = StateGraph(MessagesState)
    builder.add_node("agent", agent)
    builder.add_node("tools", node)
    builder.add_edge(START, "agent")
    builder.add_conditional_edges(
        "agent", next_node if job.door == "message" else Signoff.send_tool_calls, ["tools", END]
    )
    builder.add_edge("tools", "agent")
    return builder.compile(checkpointer=saver)


def make_deep_agent(model: Any, tools: list[BaseTool], gate: SignoffMiddleware, saver: Any) -> Any:
    """A deep agent whose sub-agent says the script."""
    from deepagents import create_deep_agent

    task = {"name": "task", "args": {"description": "Pay bob.", "subagent_type": "clerk"}, "id": "task-1"}
    clerk = {"name": "clerk", "description": "Pays.", "model": model, "tools": tools}
    main = ScriptedModel([AIMessage("", tool_calls=[task]), "Done."])
    return create_deep_agent(main, tools, middleware=[gate], subagents=gate.subagents([clerk]), checkpointer=saver)


@contextmanager
def opened(job: Job) -> Iterator[Stage]:
    """The stage of a sync job."""
    death = Death(job)
    signoff = make_signoff(job, death)
    db = sqlite3.connect(job.path / "threads.db", check_same_thread=False, timeout=20)
    saver = MortalSaver(db)
    saver.death = death
    try:
        yield Stage(job, signoff, make_graph(job, death, signoff, saver))
    finally:
        db.close()
        signoff.close()


@asynccontextmanager
async def aopened(job: Job) -> AsyncIterator[Stage]:
    """The stage of an async job."""
    death = Death(job)
    signoff = make_signoff(job, death)
    async with aiosqlite.connect(job.path / "threads.db", timeout=20) as db:
        saver = MortalAsyncSaver(db)
        saver.death = death
        try:
            yield Stage(job, signoff, make_graph(job, death, signoff, saver))
        finally:
            signoff.close()


# What a process does -------------------------------------------------------------------------------------------------------


def decide(stage: Stage) -> Any:
    """What people do, through the API."""
    job, signoff = stage.job, stage.signoff
    match job.op:
        case "approve":
            return signoff.approve(stage.tickets()[-1], by=job.by)
        case "reject":
            return signoff.reject(stage.tickets()[-1], by=job.by)
        case "answer":
            asked = [ticket for ticket in stage.tickets() if ticket.kind == "question" and ticket.options]
            return signoff.answer(asked[-1], job.value, by=job.by)
        case "settle":
            return signoff.settle(stage.tickets()[-1], job.answer, by=job.by, result=job.result)
        case "expire":
            return signoff.expire()
        case "confirm" | "flag":
            [audit] = [ticket for ticket in stage.tickets() if ticket.kind == "audit"]
            return getattr(signoff, job.op)(audit, by=job.by)
        case "follow_up":
            return [found.did for found in signoff.follow_up(stage.graph)]
        case "nothing":
            return None
    raise ValueError(job.op)


def perform(stage: Stage) -> Any:
    """One thing, sync."""
    job, graph, signoff = stage.job, stage.graph, stage.signoff
    match job.op:
        case "run":
            return signoff.run(graph, {"messages": [("user", job.text)]}, thread_id=job.thread)
        case "resume":
            return signoff.resume(graph, thread_id=job.thread)
        case "start":
            return graph.invoke({"messages": [("user", job.text)]}, stage.config, durability=job.durability)
        case "none":
            return graph.invoke(None, stage.config)
        case "knock":
            return graph.invoke(_answered(graph.get_state(stage.config), job.value), stage.config)
        case "plain":
            return graph.invoke(Command(resume=job.value), stage.config)
    return decide(stage)


async def aperform(stage: Stage) -> Any:
    """The same, async."""
    job, graph, signoff = stage.job, stage.graph, stage.signoff
    match job.op:
        case "run":
            return await signoff.arun(graph, {"messages": [("user", job.text)]}, thread_id=job.thread)
        case "resume":
            return await signoff.aresume(graph, thread_id=job.thread)
        case "start":
            return await graph.ainvoke({"messages": [("user", job.text)]}, stage.config, durability=job.durability)
        case "none":
            return await graph.ainvoke(None, stage.config)
        case "knock":
            return await graph.ainvoke(_answered(await graph.aget_state(stage.config), job.value), stage.config)
        case "plain":
            return await graph.ainvoke(Command(resume=job.value), stage.config)
    return decide(stage)


def _answered(snapshot: Any, value: Any) -> Any:
    ids = [i.id for i in snapshot.interrupts]
    return Command(resume=dict.fromkeys(ids, value)) if ids else None


def report(stage: Stage, found: Any, snapshot: Any) -> dict[str, Any]:
    """What there is to see from outside when the thing is done."""
    messages = snapshot.values.get("messages", []) if snapshot.values else []
    return {
        "status": found.status if isinstance(found, Run) else "",
        "did": found.did if isinstance(found, Run) else "",
        "error": found.error if isinstance(found, Run) else "",
        "value": found if isinstance(found, list) else None,
        "next": list(snapshot.next),
        "pauses": [tickets_of(i.value) for i in snapshot.interrupts],
        "answers": [[m.tool_call_id, m.status, m.text] for m in messages if isinstance(m, ToolMessage)],
        "last": messages[-1].text if messages else "",
    }


def meet(job: Job) -> None:
    """Waits until the whole crowd of this barrier is there."""
    if not job.barrier:
        return
    (job.path / f"{job.barrier}.{os.getpid()}").touch()
    end = time.monotonic() + 60
    while len(list(job.path.glob(f"{job.barrier}.*"))) < job.crowd and time.monotonic() < end:
        time.sleep(0.001)
    time.sleep(job.before)


def work(job: Job) -> dict[str, Any]:
    """Does a job; what it saw, with the error that it met and the time it took, on the clock that all processes share."""
    if job.host:
        socket.gethostname = lambda: job.host  # this process is on another machine that shares the files
    span: dict[str, Any] = {"pid": os.getpid()}
    try:
        span |= asyncio.run(_awork(job, span)) if job.is_async else _work(job, span)
    except Exception as error:
        span |= {"raised": type(error).__name__, "text": str(error)}
    return span | {"end": time.monotonic_ns()}


def _work(job: Job, span: dict[str, Any]) -> dict[str, Any]:
    with opened(job) as stage:
        meet(job)
        span["begin"] = time.monotonic_ns()
        found = perform(stage)
        span["end"] = time.monotonic_ns()
        return report(stage, found, stage.graph.get_state(stage.config))


async def _awork(job: Job, span: dict[str, Any]) -> dict[str, Any]:
    async with aopened(job) as stage:
        meet(job)
        span["begin"] = time.monotonic_ns()
        found = await aperform(stage)
        span["end"] = time.monotonic_ns()
        return report(stage, found, await stage.graph.aget_state(stage.config))


def do_job(path: str) -> None:
    """Reads a job, does it, and writes beside it what it saw."""
    job = Job(**json.loads(Path(path).read_text("utf-8")))
    Path(path).with_suffix(".done").write_text(json.dumps(work(job)), "utf-8")


def rehearse() -> None:
    """Plays a story once, so that each fork finds everything imported; leaves no thread and no file behind."""
    for is_async in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            for op in ("run", "approve", "resume"):
                work(Job(folder=folder, op=op, is_async=is_async, lease=0.1))
            while threading.active_count() > 1:
                time.sleep(0.01)
    gc.freeze()


def serve() -> None:
    """Forks a process for each job: no start of an interpreter for each of a thousand processes."""
    rehearse()
    news, bell = os.pipe()
    os.set_blocking(bell, False)
    signal.set_wakeup_fd(bell, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    selector.register(news, selectors.EVENT_READ)
    children: dict[int, str] = {}
    rest = b""
    while True:
        for key, _ in selector.select(timeout=1.0):
            data = os.read(key.fd, 65536)
            if key.fd == 0 and not data:
                return
            if key.fd == 0:
                *paths, rest = (rest + data).split(b"\n")
                children |= dict(_fork(path.decode()) for path in paths)
        for pid in list(children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                os.write(1, f"{pid} {os.waitstatus_to_exitcode(status)} {children.pop(pid)}\n".encode())


def _fork(path: str) -> tuple[int, str]:
    pid = os.fork()
    if pid:
        return pid, path
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    try:
        do_job(path)
    except BaseException as error:
        sys.stderr.write(f"{path}: {error!r}\n")
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    serve() if sys.argv[1] == "--serve" else do_job(sys.argv[1])

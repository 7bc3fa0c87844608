"""A real `langgraph dev` in a folder of its own, and its clients as other people's programs call it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient
from langgraph_sdk.errors import APIStatusError

from langgraph_signoff import Run, Signoff, Ticket
from langgraph_signoff.ledger import Query
from support import until

HERE = Path(__file__).parent
GRAPHS = HERE.parent / "graphs"
STUDIO = "langgraph-studio-user"
OFFLINE = {
    "LANGGRAPH_CLI_NO_ANALYTICS": "1",
    "LANGGRAPH_NO_VERSION_CHECK": "true",
    "LANGSMITH_TRACING": "false",
    "DO_NOT_TRACK": "1",
}


@dataclass
class Server:
    """A server that runs in `folder`; `restart` starts another one there."""

    folder: Path
    url: str = ""
    process: subprocess.Popen[bytes] | None = None
    clients: dict[str, SyncLangGraphClient] = field(default_factory=dict)

    def start(self) -> None:
        self.clients.clear()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [str(Path(sys.executable).with_name("langgraph")), "dev", "--no-browser", "--no-reload"]
        command += ["--host", "127.0.0.1", "--port", str(port), "--n-jobs-per-worker", "4"]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env={**os.environ, **OFFLINE}, stdout=log, stderr=log, stdin=-3
            )
        until(self._answers, seconds=90)

    def _answers(self) -> bool:
        assert self.process
        assert self.process.poll() is None, (self.folder / "server.log").read_text()[-4000:]
        try:
            with urllib.request.urlopen(f"{self.url}/ok", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self, number: int = signal.SIGTERM) -> None:
        assert self.process
        self.process.send_signal(number)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def client(self, user: str) -> SyncLangGraphClient:
        if user not in self.clients:
            self.clients[user] = get_sync_client(url=self.url, api_key=None, headers=self.headers(user))
        return self.clients[user]

    def headers(self, user: str) -> dict[str, str]:
        """Who somebody is. Studio on a developer's machine says that it is Studio, and is believed."""
        if user == STUDIO:
            return {"x-auth-scheme": "langsmith"}
        return {"x-user": user, "authorization": f"Bearer {user}-token"} if user else {}

    def get(self, path: str, *, by: str = "") -> tuple[int, Any]:
        """What any program can read: status, and the JSON or the text of the answer."""
        return self._ask(urllib.request.Request(self.url + path, headers=self.headers(by)))

    def post(self, path: str, body: Any, *, by: str, kind: str = "application/json") -> tuple[int, Any]:
        """What any program can send: status, and the JSON or the text of the answer."""
        headers = {"content-type": kind, **self.headers(by)}
        return self._ask(urllib.request.Request(self.url + path, json.dumps(body).encode(), headers))

    def _ask(self, request: urllib.request.Request) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    @cached_property
    def signoff(self) -> Signoff:
        return Signoff(self.folder / "signoff.db")

    def count(self, effect: str) -> int:
        """How many effects begin so."""
        return sum(line.startswith(effect) for line in self.effects)

    @property
    def effects(self) -> list[str]:
        path = self.folder / "effects.txt"
        return path.read_text().splitlines() if path.exists() else []

    def thread(self, *script: Any, graph: str = "whole", by: str = "bob") -> Thread:
        """A thread that `by` has started, with what the agent does; it has come to its first pause, or its end."""
        thread = Thread(self, self.client(by).threads.create()["thread_id"], graph)
        thread.go(script, by=by)
        return thread


@dataclass(frozen=True)
class Thread:
    """One thread of a server."""

    server: Server
    id: str
    graph: str

    def go(self, script: Any, *, by: str) -> Any:
        message = {"role": "user", "content": json.dumps(script)}
        return self.server.client(by).runs.wait(self.id, self.graph, input={"messages": [message]})

    def resume(self, answer: Any, *, by: str, **options: Any) -> Any:
        """What a client does with an answer: it starts a run with a command, and reads its stream to the end."""
        command = {"resume": answer, **options.pop("command", {})}
        stream = self.server.client(by).runs.stream(self.id, self.graph, command=command, **options)
        return list(stream)

    def refused(self, answer: Any, *, by: str, **options: Any) -> tuple[int, str]:
        """How the server refuses an answer: status and words. The thread and the record are as they were."""
        before = self.whole
        try:
            self.resume(answer, by=by, **options)
        except APIStatusError as error:
            assert self.whole == before
            return error.status_code, str(error.body["detail"])  # type: ignore[index]  # the server answers in JSON
        raise AssertionError(f"{answer} was taken")

    @property
    def whole(self) -> Any:
        """Everything that an answer could change."""
        thread = self.server.client("bob").threads.get(self.id)
        return self.record(), thread["interrupts"], thread["status"], len(self.runs)

    @property
    def runs(self) -> list[Any]:
        return list(self.server.client("bob").runs.list(self.id))

    @property
    def status(self) -> str:
        return str(self.server.client("bob").threads.get(self.id)["status"])

    @property
    def pauses(self) -> dict[str, Any]:
        """What the thread waits at: interrupt id to value."""
        by_task = self.server.client("bob").threads.get(self.id)["interrupts"]
        return {each["id"]: each["value"] for interrupts in by_task.values() for each in interrupts}

    @property
    def pause(self) -> Any:
        """What the only pause shows."""
        [value] = self.pauses.values()
        return value

    @property
    def head(self) -> str:
        """The checkpoint that the thread is at."""
        return str(self.server.client("bob").threads.get_state(self.id)["checkpoint"]["checkpoint_id"])

    @property
    def messages(self) -> list[Any]:
        return list(self.server.client("bob").threads.get_state(self.id)["values"]["messages"])

    @property
    def tickets(self) -> list[Ticket]:
        """Every ticket of the thread, in the order of opening."""
        found = self.server.signoff.find(Query(thread_id=self.id, limit=100))
        return sorted(found, key=lambda ticket: (ticket.opened_at, ticket.args.get("to", "")))

    def record(self) -> list[str]:
        """Every entry of its tickets, by hash."""
        return [entry.hash for ticket in self.tickets for entry in self.server.signoff.history(ticket)]


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A server of the graphs in `graphs/` and of those in `served/`, with the handlers of the latter."""
    shutil.copytree(HERE / "served", folder, dirs_exist_ok=True, ignore=_LEFT_OUT)
    graphs = {name: f"./agents.py:{name}" for name in ("whole", "each", "inbox", "nested", "elsewhere")}
    with serving_examples(folder, graphs=graphs, auth={"path": "./who.py:auth"}, app="./who.py:app") as server:
        yield server


@contextmanager
def serving_examples(
    folder: Path, *, graphs: dict[str, str] | None = None, auth: dict[str, str] | None = None, app: str = ""
) -> Iterator[Server]:
    """A server of the graphs in `graphs/`, as their `langgraph.json` has it but for what is given here."""
    shutil.copytree(GRAPHS, folder, dirs_exist_ok=True, ignore=_LEFT_OUT)
    config = json.loads((folder / "langgraph.json").read_text())
    config["graphs"] |= graphs or {}
    config["auth"] |= auth or {}
    config["http"] |= {"app": app} if app else {}
    (folder / "langgraph.json").write_text(json.dumps(config))
    server = Server(folder)
    try:
        server.start()
        yield server
    finally:
        if server.process:
            server.stop()


_LEFT_OUT = shutil.ignore_patterns("*.db*", "__pycache__", ".langgraph_api")


__all__ = ["Run", "Server", "Thread", "serving"]

"""Where messages arrive: a mail server and a receiver of webhooks, each a process of its own that can be killed and brought back."""

from __future__ import annotations

import email
import email.policy
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from support import until

MAIL = """
import asyncio, json, os, sys
from aiosmtpd.controller import Controller
port, log, deaths = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
taken = 0
class Handler:
    async def handle_DATA(self, server, session, envelope):
        global taken
        taken += 1
        if taken == deaths:
            os._exit(9)  # in the middle: nothing was taken, and nobody is told so
        with open(log, "a") as file:
            file.write(json.dumps({"to": envelope.rcpt_tos, "content": envelope.content.decode("latin-1")}) + "\\n")
        return "250 taken"
Controller(Handler(), hostname="127.0.0.1", port=port).start()
print("ready", flush=True)
sys.stdin.read()
os._exit(0)
"""

HOOKS = """
import json, os, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
port, log, deaths = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
taken, lock = 0, threading.Lock()
class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        global taken
        if self.path == "/slow":
            time.sleep(0.1)
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with lock:
            taken += 1
            if taken == deaths:
                os._exit(9)
            if self.path == "/refuses":
                return self.answer(500)
            if self.path == "/elsewhere":
                self.send_response(307)
                self.send_header("Location", "/")
                self.end_headers()
                return
            with open(log, "a") as file:
                file.write(json.dumps({"path": self.path, "headers": dict(self.headers), "body": body}) + "\\n")
        self.answer(204)
    def answer(self, status):
        self.send_response(status)
        self.end_headers()
    def log_message(self, *_):
        pass
server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
os._exit(0)
"""


@dataclass
class Post:
    """A server on a port of its own; what it takes is in a file, whatever becomes of it."""

    program: str
    log: Path
    port: int = field(default_factory=lambda: free_port())
    process: subprocess.Popen[str] | None = None

    def start(self, *, deaths: int = 0) -> Post:
        """Up; with `deaths` it dies in the middle of that message."""
        words = [sys.executable, "-c", self.program, str(self.port), str(self.log), str(deaths)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        assert self.process.stdout.readline() == "ready\n"
        return self

    def kill(self) -> None:
        """Gone, without a word."""
        if self.process:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
            self.process.communicate()
        self.process = None

    def died(self) -> None:
        """Waits until it has died by itself."""
        assert self.process
        until(lambda: self.process and self.process.poll() is not None)
        self.kill()

    @property
    def taken(self) -> list[dict[str, Any]]:
        """Everything that has arrived, in order."""
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    @property
    def mails(self) -> list[EmailMessage]:
        """The mails that have arrived."""
        return [email.message_from_string(one["content"], policy=email.policy.default) for one in self.taken]  # type: ignore[misc]  # that policy makes these

    @property
    def hooks(self) -> list[dict[str, Any]]:
        """The JSON of the webhooks that have arrived."""
        return [json.loads(one["body"]) for one in self.taken]

    @property
    def bytes(self) -> str:
        """Every byte that has arrived, in plain and as mails are read."""
        texts = [mail.get_body().get_content() for mail in self.mails] if self.program is MAIL else []  # type: ignore[union-attr]  # ours have one
        return "\n".join([json.dumps(self.taken, ensure_ascii=False), *texts])


def free_port() -> int:
    """A port of the loopback that nobody uses now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])

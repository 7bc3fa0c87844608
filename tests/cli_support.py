"""The command line as its users have it: a process of its own, in a folder of its own."""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langgraph_signoff import Policy, Signoff, Ticket
from support import open_ticket

COMMAND = [str(Path(sys.executable).with_name("signoff"))]

POLICY = """\
version: 1
people:
  ana: {groups: [finance]}
  cem: {groups: [finance]}
  eve: {}
tools:
  send: review
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def is_one_clear_sentence(self) -> bool:
        """Whether the command refused as it should: nothing on stdout, one line on stderr, no traceback."""
        return not self.out and self.err.startswith("signoff: ") and self.err.count("\n") == 1


@dataclass(frozen=True)
class Desk:
    """A folder with a ledger, where commands run."""

    folder: Path

    @property
    def signoff(self) -> Signoff:
        return Signoff(
            self.folder / "signoff.db", policy=Policy(people={"ana": {}, "cem": {}}, tools={"send": "review"})
        )

    def ticket(self, args: dict[str, Any] | None = None, **more: Any) -> Ticket:
        """A pending ticket."""
        return open_ticket(self.signoff, args, **more)

    def run(self, *words: str, stdin: str = "", **env: str) -> Ended:
        """Runs `signoff` with these words, in a process of its own and without a terminal."""
        with tempfile.TemporaryDirectory() as place:
            files = {name: Path(place) / name for name in ("in", "out", "err")}
            for name, file in files.items():
                file.write_text(stdin if name == "in" else "", encoding="utf-8")
            request = {"words": words, "folder": str(self.folder), "env": environment(**env)}
            code = _ask({**request, **{name: str(file) for name, file in files.items()}})
            out, err = (files[name].read_bytes().decode("utf-8") for name in ("out", "err"))
        assert "Traceback" not in err, err
        return Ended(code, out, err)

    def start(self, *words: str, **env: str) -> Ended:
        """Runs `signoff` as a shell does: a fresh interpreter."""
        done = subprocess.run(
            [*COMMAND, *words],
            cwd=self.folder,
            env=environment(**env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Ended(done.returncode, done.stdout, done.stderr)


@functools.cache
def _server() -> subprocess.Popen[str]:
    file = Path(__file__).with_name("cli_server.py")
    server = subprocess.Popen([sys.executable, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(server.kill)
    return server


def _ask(request: dict[str, Any]) -> int:
    server = _server()
    assert server.stdin
    assert server.stdout
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    return int(server.stdout.readline())


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what steers the command."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith("SIGNOFF_") and k not in ("EDITOR", "VISUAL", "COLUMNS")
    }
    return {**kept, "PYTHONIOENCODING": "utf-8", **more}

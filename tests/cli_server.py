"""Starts commands quickly: a process that has imported the command line, and forks one of its own for each command.

Reads one request a line from stdin, `{"words", "folder", "env", "out", "err", "in"}`, and answers with the exit code.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any

import jsonpatch  # noqa: F401  # these are imported for the children
import jsonschema  # noqa: F401
import rich.table  # noqa: F401

import langgraph_signoff.audit
import langgraph_signoff.cli.app
import langgraph_signoff.cli.editor
import langgraph_signoff.cli.graphs
import langgraph_signoff.cli.history
import langgraph_signoff.nodes.tool_node
import langgraph_signoff.runs
import langgraph_signoff.testing  # noqa: F401
from langgraph_signoff import Policy, Signoff  # noqa: F401
from langgraph_signoff.cli import main

Policy()


def serve() -> None:
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            os._exit(become(json.loads(line)))
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def become(request: dict[str, Any]) -> int:
    """Is the command from here on, as if it had been started so."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["env"])
    encoding = request["env"]["PYTHONIOENCODING"]
    files = [os.open(request["in"], os.O_RDONLY), *(os.open(request[n], os.O_WRONLY) for n in ("out", "err"))]
    for number, file in enumerate(files):
        os.dup2(file, number)
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, encoding=encoding, closefd=False)  # noqa: SIM115  # the process ends with them
        for number, mode in enumerate("rww")
    )
    sys.argv = ["signoff", *request["words"]]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 99
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    serve()

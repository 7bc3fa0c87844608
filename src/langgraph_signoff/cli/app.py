"""The command as a whole: its options, its commands, and how it ends."""

from __future__ import annotations

import os
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from langgraph_signoff.cli import (
    clock,
    deciding,
    delegations,
    demo,
    following,
    granting,
    handling,
    history,
    operating,
    policy,
    reading,
    recording,
    resuming,
    telling,
    watching,
)
from langgraph_signoff.cli.exits import MEANINGS, code_of
from langgraph_signoff.cli.options import (
    HEADERS_OPTION,
    JSON_OPTION,
    LEDGER_OPTION,
    NAME_OPTION,
    POLICY_OPTION,
    URL_OPTION,
)
from langgraph_signoff.cli.shell import Shell
from langgraph_signoff.errors import SignoffError
from langgraph_signoff.render import printable

# The control character keeps the lines as they are.
EPILOG = "\n".join(["\b", "Exit codes:", *(f"  {code}  {meaning}" for code, meaning in MEANINGS.items())])

# Rich's help and its tracebacks would cost every command their import.
app = typer.Typer(
    name="signoff",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"signoff {version('langgraph-signoff')}")
        raise typer.Exit


VERSION_OPTION = Annotated[bool, typer.Option("--version", is_eager=True, callback=_version, help="Say the version.")]


@app.callback(epilog=EPILOG)
def signoff(
    ctx: typer.Context,
    *,
    ledger: LEDGER_OPTION = None,
    policy: POLICY_OPTION = None,
    name: NAME_OPTION = None,
    json: JSON_OPTION = False,
    url: URL_OPTION = None,
    headers: HEADERS_OPTION = None,
    version: VERSION_OPTION = False,  # noqa: ARG001  # its callback has answered
) -> None:
    """Decide what an agent may not do alone, and let its run go on.

    An id may be cut to any beginning that names one ticket only. Options of all commands may stand before or after the
    command's name.
    """
    token = os.environ.get("SIGNOFF_TOKEN")
    known = [f"Authorization: Bearer {token}"] if token else None
    environment = Shell(_place("SIGNOFF_LEDGER"), _place("SIGNOFF_POLICY"), headers=known)
    ctx.obj = Shell(ledger, policy, name, json, url, headers).over(environment)


for commands in (
    reading,
    operating,
    history,
    deciding,
    granting,
    resuming,
    following,
    handling,
    delegations,
    clock,
    recording,
    watching,
    telling,
    policy,
    demo,
):
    commands.register(app)


def run() -> None:
    """Runs the command of this process; a mistake of its user is one sentence on stderr and an exit code."""
    warnings.showwarning = _warn
    for stream in (sys.stdout, sys.stderr):
        _never_fails(stream)
    try:
        app(prog_name="signoff")
    except SignoffError as error:
        print(f"signoff: {printable(str(error))}", file=sys.stderr)
        sys.exit(code_of(error))


def _place(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


def _never_fails(stream: Any) -> None:
    # A terminal that cannot show a letter gets its escape.
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"signoff: warning: {printable(str(message))}", file=sys.stderr)

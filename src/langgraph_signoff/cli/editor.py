"""Arguments in the reviewer's own editor."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

import typer

from langgraph_signoff.cli.exits import Unusable
from langgraph_signoff.cli.shell import read_object
from langgraph_signoff.errors import IncompleteDecision, RevisionRefused
from langgraph_signoff.render import SHORT_ID
from langgraph_signoff.vocabulary import Json, Ticket


def edited(ticket: Ticket, *, ask: bool) -> dict[str, Json]:
    """The arguments that a person changed; masked values that were left alone stay masked, which keeps the real ones.

    `ask`: whether to offer the editor again when its text is no JSON. Raises when the editor fails or nothing was changed.
    """
    if ticket.erased or "revise" not in ticket.options:
        return dict(ticket.args)  # there is nothing to edit; the law says why
    before = json.dumps(ticket.args, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    with tempfile.TemporaryDirectory(prefix="signoff-") as folder:
        file = Path(folder) / f"{ticket.tool[:40]}-{ticket.id[:SHORT_ID]}.json".replace(os.sep, "_")
        file.write_text(before, encoding="utf-8", errors="surrogatepass")
        return _changes(ticket, _read(file, ask=ask))


def _read(file: Path, *, ask: bool) -> dict[str, Json]:
    while True:
        _open_editor(file)
        try:
            return read_object(file.read_text(encoding="utf-8", errors="surrogatepass"), "the edited text")
        except (UnicodeDecodeError, OSError) as error:
            raise Unusable(f"the edited text cannot be read: {error}; nothing was decided") from error
        except Unusable as error:
            if not (ask and typer.confirm(f"{error}. Edit it again?", default=True)):
                raise Unusable(f"{error}; nothing was decided") from error


def _open_editor(file: Path) -> None:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        code = subprocess.run([*shlex.split(editor), str(file)], check=False).returncode
    except (OSError, ValueError) as error:
        raise Unusable(f"the editor {editor!r} cannot be started ({error}); set EDITOR, or use --args") from error
    if code:
        raise Unusable(f"the editor {editor!r} ended with exit code {code}; nothing was decided")


def _changes(ticket: Ticket, after: dict[str, Json]) -> dict[str, Json]:
    gone = sorted(set(ticket.args) - set(after))
    if gone:
        raise RevisionRefused(f"the edit leaves out {', '.join(gone)}; an argument can be changed, not removed")
    changes = {
        key: value for key, value in after.items() if key not in ticket.args or not _same(value, ticket.args[key])
    }
    if not changes:
        raise IncompleteDecision("the edit changes nothing; nothing was decided")
    return changes


def _same(one: Json, other: Json) -> bool:
    # 1, 1.0 and true are equal to Python, but not to a tool.
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)

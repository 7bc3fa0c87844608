"""`demo`: tells the story of one export, approved once, and counts how often it was made."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langgraph_signoff.cli.exits import NO, Unusable
from langgraph_signoff.render import SHORT_ID

if TYPE_CHECKING:
    from rich.console import Console

    from langgraph_signoff.demo.story import Effects, Scene, Stage

_WIDTH = 118
_BARE = ("bare_propose", "bare_resume_and_die", "bare_recover")

KEEP = Annotated[
    Path | None, typer.Option("--keep", metavar="FOLDER", help="Keep the files there: a folder that is empty or new.")
]


def demo(keep: KEEP = None) -> None:
    """See it work: no key, no network, half a minute.

    A risky call is approved once, its process is killed while it runs, and it is still made once.
    """
    from langgraph_signoff.demo.story import DemoFailed, Stage

    console = _console()
    with _folder(keep) as folder, ThreadPoolExecutor(1) as aside:
        stage = Stage(folder)
        bare = aside.submit(lambda: [stage.play(step) for step in _BARE])
        try:
            kept = _tell(console, stage, bare.result)
        except DemoFailed as failed:
            raise Unusable(f"the demo could not be played: {failed}") from failed
        if keep:
            _invite(console, stage)
        stage.signoff.close()
    if not kept:
        raise typer.Exit(NO)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("demo")(demo)


def _tell(console: Console, stage: Stage, bare: Any) -> bool:
    scenes = _tell_gated(console, stage)
    _tell_bare(console, bare())
    gated, other = stage.effects("crm_export"), stage.effects("bare")
    _compare(console, stage, gated, other)
    whole = _history(console, stage)
    kept = _as_promised(scenes, gated) and whole and other.is_export_run(2)
    verdict = "Approved once, killed once, made once." if kept else "This is NOT what was promised; please report it."
    console.print(f"\n[bold {'green' if kept else 'red'}]{verdict}[/]")
    return kept


def _as_promised(scenes: Sequence[Scene], effects: Effects) -> bool:
    proposed, _, died, recovered = scenes
    return (
        proposed.said["status"] == "pending_approval"
        and died.killed
        and recovered.said["status"] == "completed"
        and len({scene.pid for scene in scenes}) == len(scenes)
        and effects.is_export_run(1)
    )


# The story ----------------------------------------------------------------------------------------------------------------


def _tell_gated(console: Console, stage: Stage) -> list[Scene]:
    console.print("An agent is asked, and LangGraph runs it; every line with a pid is a process of its own.")
    proposed = stage.play("propose")
    _quote(console, proposed.said["request"])
    console.print("[bold]With signoff[/]")
    _say(
        console,
        proposed,
        "proposes",
        *map(_call, proposed.said["tickets"]),
        f"The policy wants a person for both: the run ends as {_strong(proposed.said['status'])}, "
        "and so does its process. Nothing has been exported or sent.",
    )
    decided = stage.play("decide")
    _say(console, decided, decided.said["by"], *decided.said["words"])
    died = stage.play("resume_and_die")
    rows, standing = stage.effects("crm_export").rows, stage.tickets()["export_customers"].standing
    _say(
        console,
        died,
        "resumes",
        f"The approved export runs, and once {rows:,} customers are in the CRM: [red]SIGKILL[/]. "
        f"Nobody could write down what came of it. On the record it is {_strong(str(standing))}.",
    )
    recovered = stage.play("recover")
    _say(
        console,
        recovered,
        "recovers",
        "Its runner is dead, so the call is in doubt, and is not simply made again. The tool's own probe looks into the "
        f"CRM and finds it there. The agent gets that result, and finishes: the run is {_strong(recovered.said['status'])}.",
    )
    return [proposed, decided, died, recovered]


def _tell_bare(console: Console, scenes: Sequence[Scene]) -> None:
    proposed, died, recovered = scenes
    again = (
        "is asked the same question again, and gives the same answer" if recovered.said["asked_again"] else "goes on"
    )
    console.print("\n[bold]With a bare interrupt()[/], the same graph, tools and checkpointer")
    _say(console, proposed, "proposes", "The same two calls; interrupt() pauses the run.")
    _say(console, died, "resumes", "With the same decision, and dies at the same place: [red]SIGKILL[/].")
    _say(console, recovered, "recovers", f"It {again}: the export runs a second time.")


def _quote(console: Console, words: str) -> None:
    from rich.padding import Padding

    console.print(Padding(f'[italic]"{words}"[/]', (1, 4)))


def _say(console: Console, scene: Scene, who: str, *lines: str) -> None:
    from rich.table import Table

    table = Table.grid()
    for width in (14, 10, None):
        table.add_column(width=width, overflow="fold")
    table.add_row(f"  [cyan]pid {scene.pid}[/]", f"[bold]{who}[/]", "\n".join(lines))
    console.print(table)


def _call(ticket: dict[str, Any]) -> str:
    return f"{ticket['tool']} [dim]of[/] {ticket['args']['segment']}: [yellow]{ticket['reason_code']}[/]"


def _strong(text: str) -> str:
    return f"[yellow]{text}[/]"


# What is left -------------------------------------------------------------------------------------------------------------


def _compare(console: Console, stage: Stage, gated: Effects, bare: Effects) -> None:
    from rich.table import Table

    console.print(
        f"\n[bold]Counted in the CRM's file and the outbox[/]"
        f" ({stage.customers():,} customers; {gated.approved:,} of them active: the export that was approved)"
    )
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for column in ("", "customers in the CRM", "exports made", "mails queued"):
        table.add_column(column, justify="right" if column else "left")
    for name, effects, colour in (("  signoff", gated, "green"), ("  bare interrupt()", bare, "red")):
        table.add_row(name, f"{effects.rows:,}", f"[bold {colour}]{effects.exports}[/]", f"{effects.mails:,}")
    console.print(table)


def _history(console: Console, stage: Stage) -> bool:
    from langgraph_signoff.cli.history import lines_of
    from langgraph_signoff.cli.screen import grid
    from langgraph_signoff.view import words_of

    report = stage.signoff.verify()
    state = "verified" if report.is_whole else "BROKEN"
    console.print(f"\n[bold]On the record[/] ({report.entries} entries, hash chain {state})")
    for ticket in stage.tickets().values():
        console.print(grid(lines_of(words_of(stage.signoff.history(ticket)))), style="dim")
    return report.is_whole


def _invite(console: Console, stage: Stage) -> None:
    ticket = stage.tickets()["export_customers"].id[:SHORT_ID]
    console.print("\n[bold]The files are kept.[/] Look around:\n")
    console.print(f"  cd {stage.folder}", soft_wrap=True)
    for command in ("list --all", f"show {ticket}", f"history {ticket}", "verify"):
        console.print(f"  signoff --ledger crm_export/signoff.db {command}", soft_wrap=True)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="signoff-demo-") as name:
            yield Path(name)
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise Unusable(f"{keep} is not empty; name a folder that is empty or new")
    yield keep


def _console() -> Console:
    from rich.console import Console

    console = Console(highlight=False, emoji=False)
    console.width = min(console.width, _WIDTH) if console.is_terminal else _WIDTH
    return console

"""`resume`: wakes threads whose calls were decided. Besides `policy check --graph`, the only command that loads graphs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langgraph_signoff.cli.command import ELSEWHERE, READS, command
from langgraph_signoff.cli.exits import NO, Unusable, code_of
from langgraph_signoff.cli.options import CHECKPOINTER, CONFIG, GRAPH
from langgraph_signoff.cli.shell import Shell
from langgraph_signoff.errors import SignoffError
from langgraph_signoff.render import printable, run_text
from langgraph_signoff.vocabulary import Run

if TYPE_CHECKING:
    from langgraph_signoff.cli.graphs import Graph, Graphs
    from langgraph_signoff.server.client import Remote


def resume(
    shell: Shell,
    thread: Annotated[str | None, typer.Option("--thread", metavar="T", help="This thread.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every thread that has something to go on with.")] = False,
    graph: GRAPH = None,
    config: CONFIG = None,
    checkpointer: CHECKPOINTER = None,
) -> None:
    """Go on with a thread, or with all that can.

    It decides nothing: what nobody has decided yet goes on waiting.
    """
    if (thread is None) != everything:
        raise Unusable("say which: --thread T, or --all")
    if shell.url is not None:
        if graph or config or checkpointer:
            raise Unusable("--graph, --config and --checkpointer are for graphs here; the server at --url has its own")
        runs, errors = _at_server(shell.remote, thread)
    else:
        runs, errors = _here(shell, thread, graph, config, checkpointer)
    if everything:
        shell.tell({"runs": [_words(run) for run in runs], "errors": _failures(errors)}, lambda: _text(runs, errors))
    else:
        shell.tell(_words(runs[0]), lambda: _one(runs[0]))
    for name, error in errors:
        print(f"signoff: {printable(f'{name}: {error}')}", file=sys.stderr)
    code = max((code_of(error) for _, error in errors), default=0)
    if code or any(run.status == "failed" for run in runs):
        raise typer.Exit(code or NO)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "resume", *READS, "policy", *ELSEWHERE)(resume)


Woken = tuple[list[Run], list[tuple[str, SignoffError]]]
"""The runs that went on, or the only one that was asked for, and what failed by thread."""


def _at_server(remote: Remote, thread: str | None) -> Woken:
    if thread is not None:
        return [remote.resume(thread)], []
    runs, errors = list[Run](), list[tuple[str, SignoffError]]()
    for name in remote.threads_to_wake():
        try:
            runs.append(remote.resume(name))
        except SignoffError as error:
            errors.append((name, error))
    return [run for run in runs if run.went_on], errors


def _here(shell: Shell, thread: str | None, graph: str | None, config: Path | None, checkpointer: str | None) -> Woken:
    import asyncio

    _ = shell.signoff  # a ledger that is not there is said before the graphs are loaded
    with stdout_kept(shell):
        return asyncio.run(_resume(shell, thread, graph, config, checkpointer))


async def _resume(
    shell: Shell, thread: str | None, graph: str | None, config: Path | None, checkpointer: str | None
) -> Woken:
    from langgraph_signoff.cli.graphs import Graphs

    runs: list[Run] = []
    errors: list[tuple[str, SignoffError]] = []
    async with Graphs(config, checkpointer) as graphs:
        if thread is not None:
            return [await _wake(shell, graphs, thread, graph)], []
        shell.signoff.expire()
        for name in shell.signoff.threads_to_wake():
            try:
                runs.append(await _wake(shell, graphs, name, graph))
            except SignoffError as error:
                errors.append((name, error))
    return [run for run in runs if run.went_on], errors


async def _wake(shell: Shell, graphs: Graphs, thread: str, name: str | None) -> Run:
    import asyncio

    from langgraph_signoff.heads import newest_row

    signoff = shell.signoff
    newest = newest_row(signoff, thread)
    name = name or await graphs.name_for(newest.graph if newest else "", thread)
    graph = await graphs.load(name)
    if not graph.checkpointer:
        raise Unusable(f"the graph {name!r} has no checkpointer: name one in langgraph.json, or give --checkpointer")
    # Tickets that this run opens name the graph as langgraph.json does.
    config: Any = {"metadata": {"graph_id": name}}
    if await _is_async(graph, thread):
        return await signoff.aresume(graph, thread_id=thread, config=config)
    return await asyncio.to_thread(signoff.resume, graph, thread_id=thread, config=config)


async def _is_async(graph: Graph, thread: str) -> bool:
    try:
        await graph.checkpointer.aget_tuple(  # type: ignore[union-attr]  # `_wake` has seen that there is one
            {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
        )
    except NotImplementedError:  # so says a saver of LangGraph that has no async form
        return False
    return True


@contextlib.contextmanager
def stdout_kept(shell: Shell) -> Iterator[None]:
    """Keeps what a graph prints out of the JSON."""
    with contextlib.redirect_stdout(sys.stderr) if shell.json else contextlib.nullcontext():
        yield


def _words(run: Run) -> dict[str, Any]:
    # The state stays where it is: it is large, and holds arguments that the policy masks.
    return {**run.model_dump(exclude={"output", "tickets"}), "tickets": run.tickets, "says": _says(run)}


def _failures(errors: list[tuple[str, SignoffError]]) -> list[dict[str, str]]:
    return [{"thread_id": name, "error": str(error)} for name, error in errors]


def _text(runs: list[Run], errors: list[tuple[str, SignoffError]]) -> str:
    nothing = "no thread went on" if errors else "no thread has anything to go on with"
    return "\n\n".join(map(_one, runs)) or nothing


def _one(run: Run) -> str:
    says = _says(run)
    return f"{run_text(run)}\n\n{says}" if says else run_text(run)


def _says(run: Run) -> str:
    """What the agent said last, if the run has completed with a message."""
    messages = run.output.get("messages") if isinstance(run.output, dict) else run.output
    last = messages[-1] if isinstance(messages, list) and messages else None
    return str(getattr(last, "text", "")) if run.status == "completed" and getattr(last, "type", "") == "ai" else ""

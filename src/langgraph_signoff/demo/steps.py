"""What each process of the demo does: `python -m langgraph_signoff.demo.steps STEP FOLDER`. Says what came of it as JSON.

The steps named `bare_*` play the same story on LangGraph's own `interrupt()`, with the same graph, tools and checkpointer.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langgraph_signoff import Run, Signoff, Ticket

THREAD = "crm-1"
REVIEWER = "ana"
SEGMENT = "active_customers"
WHY_LESS = "only active customers agreed to be in a CRM"
WHY_NOT = "nobody agreed to get this mail"

_LEASE = 1.0  # seconds; the recovering process need not wait longer than that
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has one way to end a process, under the other name

Said = dict[str, Any]


def propose(folder: Path) -> Said:
    """The agent works until it needs a person."""
    with _checkpoints(folder) as saver:
        signoff, graph = _gated(_crm().Company(folder), saver)
        run = signoff.run(graph, {"messages": [("user", _crm().REQUEST)]}, thread_id=THREAD)
    return {"request": _crm().REQUEST, "status": run.status, "tickets": [_ticket(ticket) for ticket in run.tickets]}


def decide(folder: Path) -> Said:
    """A person decides; neither the graph nor LangGraph is loaded for that."""
    signoff = Signoff(folder / "signoff.db", policy="crm_export.yaml")
    tickets = {ticket.tool: ticket for ticket in signoff.pending(thread_id=THREAD)}
    signoff.revise(tickets["export_customers"], by=REVIEWER, args={"segment": SEGMENT}, reason=WHY_LESS)
    signoff.reject(tickets["send_campaign_email"], by=REVIEWER, reason=WHY_NOT)
    return {"by": REVIEWER, "words": [f"Changes the export to {SEGMENT}: {WHY_LESS}.", f"Rejects the mail: {WHY_NOT}."]}


def resume_and_die(folder: Path) -> Said:
    """The approved call runs, and the process is killed as soon as the CRM has the customers."""
    with _checkpoints(folder) as saver:
        signoff, graph = _gated(_dying(folder), saver)
        return _came_of(signoff.resume(graph, thread_id=THREAD))


def recover(folder: Path) -> Said:
    """Somebody resumes the thread again, knowing nothing."""
    with _checkpoints(folder) as saver:
        signoff, graph = _gated(_crm().Company(folder), saver)
        return _came_of(signoff.resume(graph, thread_id=THREAD))


def bare_propose(folder: Path) -> Said:
    """The same agent, up to the same question."""
    with _checkpoints(folder) as saver:
        state = _Bare(_crm().Company(folder), saver)({"messages": [("user", _crm().REQUEST)]})
        return {"status": "interrupted" if "__interrupt__" in state else "finished"}


def bare_resume_and_die(folder: Path) -> Said:
    """The same decision, given as the resume value, and the same death."""
    from langgraph.types import Command

    with _checkpoints(folder) as saver:
        _Bare(_dying(folder), saver)(Command(resume=_BARE_DECISION))
    return {}


def bare_recover(folder: Path) -> Said:
    """Goes on as LangGraph offers: with the answer if it asks again, with nothing if it does not."""
    from langgraph.types import Command

    with _checkpoints(folder) as saver:
        invoke = _Bare(_crm().Company(folder), saver)
        asks = bool(invoke.graph.get_state(invoke.config).interrupts)
        state = invoke(Command(resume=_BARE_DECISION) if asks else None)
        return {"asked_again": asks, "answer": state["messages"][-1].text}


STEPS: dict[str, Callable[[Path], Said]] = {
    step.__name__: step
    for step in (propose, decide, resume_and_die, recover, bare_propose, bare_resume_and_die, bare_recover)
}


def main() -> None:
    """Plays one step; its own files are in a folder beside `crm_export.py`."""
    step, place = sys.argv[1:]
    folder = Path(place)
    folder.mkdir(exist_ok=True)
    print(json.dumps(STEPS[step](folder)))


def _crm() -> Any:
    """The graph's module, which lies in the folder that the process was started in."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    return importlib.import_module("crm_export")


@contextmanager
def _checkpoints(folder: Path) -> Iterator[Any]:
    from langgraph.checkpoint.sqlite import SqliteSaver

    with SqliteSaver.from_conn_string(str(folder / "checkpoints.db")) as saver:
        yield saver


def _gated(company: Any, saver: Any) -> tuple[Signoff, Any]:
    signoff = _crm().gate(company, lease=_LEASE)
    return signoff, _crm().build(company, signoff=signoff, checkpointer=saver)


def _dying(folder: Path) -> Any:
    crm = _crm()

    class DyingCompany(crm.Company):  # type: ignore[name-defined,misc]  # a class of a module that is loaded by name
        def export(self, *args: Any, **options: Any) -> None:
            super().export(*args, **options)
            os.kill(os.getpid(), _KILL)

    return DyingCompany(folder)


def _ticket(ticket: Ticket) -> Said:
    return ticket.model_dump(mode="json", include={"id", "tool", "args", "standing", "reason_code"})


def _came_of(run: Run) -> Said:
    return {"status": run.status, "did": run.did, "answer": run.output["messages"][-1].text}


# The bare interrupt -------------------------------------------------------------------------------------------------------

_BARE_DECISION = {
    "export_customers": {"type": "edit", "args": {"segment": SEGMENT}},
    "send_campaign_email": {"type": "reject", "message": WHY_NOT},
}


class _Bare:
    """Invokes the same graph with a bare `interrupt()` in place of the gate, and LangGraph's most careful durability."""

    def __init__(self, company: Any, saver: Any) -> None:
        crm = _crm()
        self.graph = crm.wire(_bare_tools(crm.tools(company)), crm.chat(None, company)).compile(checkpointer=saver)
        self.config = {"configurable": {"thread_id": THREAD}}

    def __call__(self, input: Any) -> Any:
        return self.graph.invoke(input, self.config, durability="sync")


def _bare_tools(tools: Any) -> Callable[[Any], Any]:
    from langgraph.types import interrupt

    by_name = {tool.name: tool for tool in tools}

    def run_tools(state: Any) -> Any:
        calls = state["messages"][-1].tool_calls
        risky = [call for call in calls if call["name"] in _BARE_DECISION]
        words = interrupt(risky) if risky else {}
        return {"messages": [_obeyed(by_name[call["name"]], call, words.get(call["name"], {})) for call in calls]}

    return run_tools


def _obeyed(tool: Any, call: Any, word: Said) -> Any:
    from langchain_core.messages import ToolMessage

    if word.get("type") == "reject":
        return ToolMessage(f"Rejected: {word['message']}", tool_call_id=call["id"], status="error")
    return tool.invoke({**call, "args": {**call["args"], **word.get("args", {})}, "type": "tool_call"})


if __name__ == "__main__":
    main()

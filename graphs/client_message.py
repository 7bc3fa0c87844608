"""A message to a client: a trigger fires, a model drafts, and the message goes out only with a person's word within two hours.

Without one nothing is sent, the log says `unactioned`, and the next run fires the trigger again and asks anew.

    python graphs/client_message.py        # runs until it waits (`signoff list`); again, once decided or overdue: goes on

Files go to the current folder. The model is scripted; `SIGNOFF_MODEL=openai:gpt-5` takes a real one.
"""

from __future__ import annotations

import asyncio
import operator
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.language_models import BaseChatModel
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph

from langgraph_signoff import Run, Signoff, Ticket, UnknownThread
from langgraph_signoff.testing import ScriptedModel

POLICY = Path(__file__).with_suffix(".yaml")


class State(TypedDict, total=False):
    """A trigger, the draft it led to, and how its tickets ended: `outcome` the last one, `log` all of them."""

    client: str
    email: str
    trigger: str
    draft: str
    outcome: str
    feedback: str
    log: Annotated[list[str], operator.add]


TRIGGER: State = {"client": "Ada Adler", "email": "ada@example.com", "trigger": "invoice 114 is 30 days overdue"}


def build(folder: Path, *, signoff: Signoff, model: str | BaseChatModel | None = None, checkpointer: Any = None) -> Any:
    """The graph; it sends into the `outbox` of `folder`. `model`: a chat model or its name; a script if left out."""
    if isinstance(model, str):
        from langchain.chat_models import init_chat_model

        model = init_chat_model(model)
    chat = model or ScriptedModel(_script)

    def draft(state: State) -> State:
        ask = f"Write two friendly sentences to our client {state['client']}: {state['trigger']}."
        wish = f"\nYour last draft was: {state.get('draft')}\nIt came back: {state.get('feedback')}"
        return {"draft": chat.invoke(ask + wish if state.get("feedback") else ask).text}

    def unsent(state: State, ticket: Ticket, text: str) -> State:  # noqa: ARG001  # the shape of `refused`
        outcome = "unactioned" if ticket.standing.is_silence else str(ticket.standing)
        feedback = ticket.decisions[-1].reason if outcome == "returned" else ""
        return {"outcome": outcome, "feedback": feedback, "log": [f"{outcome}: ticket {ticket.id}"]}

    @signoff.gate(
        "send_message",
        action=lambda state: {name: state[name] for name in ("client", "email", "draft")},
        apply=lambda state, args: {**state, **args},
        key=lambda state: len(state.get("log", [])),  # what has ended is over: the next draft is another question
        trigger=lambda state: state["trigger"],
        refused=unsent,
    )
    def send(state: State) -> State:
        with closing(sqlite3.connect(folder / "clients.db")) as db, db:
            db.execute("CREATE TABLE IF NOT EXISTS outbox (email TEXT, text TEXT)")
            db.execute("INSERT INTO outbox VALUES (?, ?)", (state["email"], state["draft"]))
        return {"outcome": "sent", "feedback": "", "log": [f"sent to {state['email']}"]}

    builder = StateGraph(State)
    builder.add_node("draft", draft)
    builder.add_node("send", send)
    # What was sent or rejected is over, and what is in doubt must not be sent again: only silence asks anew.
    builder.add_conditional_edges(
        START, lambda s: s.get("outcome") in (None, "unactioned"), {True: "draft", False: END}
    )
    builder.add_edge("draft", "send")
    builder.add_conditional_edges("send", lambda s: bool(s["feedback"]), {True: "draft", False: END})
    return builder.compile(checkpointer=checkpointer, name="client_message")


def _script(messages: list[Any]) -> str:
    came_back = "It came back" in messages[-1].text
    return f"Dear Ada, invoice 114 is still open.{' Do call us if that is hard.' if came_back else ''} Kind regards"


def fire(graph: Any, trigger: State, *, signoff: Signoff, thread_id: str) -> Run:
    """One run of a trigger: goes on with the question it has asked; when there is none, fires."""
    with suppress(UnknownThread):
        if (run := signoff.resume(graph, thread_id=thread_id)).status != "completed":
            return run
    return signoff.run(graph, trigger, thread_id=thread_id)


async def graph() -> Any:
    """What `langgraph.json` names. A server calls it on its event loop, where opening files is forbidden."""
    model = os.environ.get("SIGNOFF_MODEL")
    return await asyncio.to_thread(lambda: build(Path(), signoff=Signoff("signoff.db", policy=POLICY), model=model))


def main() -> None:
    """One run of the trigger."""
    signoff = Signoff("signoff.db", policy=POLICY)
    with SqliteSaver.from_conn_string("checkpoints.db") as saver:
        compiled = build(Path(), signoff=signoff, model=os.environ.get("SIGNOFF_MODEL"), checkpointer=saver)
        run = fire(compiled, TRIGGER, signoff=signoff, thread_id="invoice-114")
    print(run, run.output, sep="\n")


if __name__ == "__main__":
    main()

"""A message that fits no template: a person reads all of it and says what becomes of it, the same day.

What fits a template is answered at once. Of anything else a person is asked: `handle_manually` puts it on somebody's desk,
`add_to_templates` asks for the template, keeps it and replies with it. Without an answer by the evening the message is logged
as unhandled, and nothing is sent.

    python graphs/unrecognised_input.py    # runs until it waits (`signoff list`); again, once answered or overdue: goes on

Files go to the current folder. There is no model in it.
"""

from __future__ import annotations

import asyncio
import operator
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from pydantic import BaseModel, Field

from langgraph_signoff import Signoff, Unanswered

POLICY = Path(__file__).with_suffix(".yaml")


class State(TypedDict, total=False):
    """A message, the reply to it if there is one, and what has become of it."""

    client: str
    message: str
    reply: str
    log: Annotated[list[str], operator.add]


class Template(BaseModel):
    """A reply, and the words by which a message shows that it is meant."""

    words: list[str] = Field(min_length=1)
    reply: str = Field(min_length=1)

    def fits(self, message: str) -> bool:
        """Whether all of its words are in a message."""
        return all(word.lower() in message.lower() for word in self.words)


MESSAGE: State = {"client": "ada@example.com", "message": "Hello,\n\ncan you deliver to the North Pole?\n\nAda"}


class Office:
    """The templates, the outbox and the desk of a small office: one file in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "office.db"
        first = Template(words=["opening", "hours"], reply="We are open from nine to five.")
        self.put("templates", "", first.model_dump_json())

    def put(self, where: str, client: str, text: str) -> None:
        """Puts a text there, once."""
        with closing(sqlite3.connect(self.file)) as db, db:
            db.execute(f"CREATE TABLE IF NOT EXISTS {where} (client TEXT, text TEXT, UNIQUE (client, text))")
            db.execute(f"INSERT OR IGNORE INTO {where} VALUES (?, ?)", (client, text))

    def reply_to(self, message: str) -> str:
        """What a template says to a message; empty if none fits."""
        with closing(sqlite3.connect(self.file)) as db:
            templates = [Template.model_validate_json(text) for (text,) in db.execute("SELECT text FROM templates")]
        return next((template.reply for template in templates if template.fits(message)), "")


def build(folder: Path, *, signoff: Signoff, checkpointer: Any = None) -> Any:
    """The graph; it replies into the `outbox` of the office in `folder`."""
    office = Office(folder)

    def ask(state: State) -> State:
        shown = {"client": state["client"], "message": state["message"]}  # the whole message, not a summary of it
        options = ["handle_manually", "add_to_templates"]
        try:
            choice = signoff.ask("No matching template", name="unrecognised_input", options=options, context=shown)
            if choice == "handle_manually":
                office.put("desk", state["client"], state["message"])
                return {"log": ["put on the desk"]}
            template = signoff.ask("Which template?", name="new_template", form=Template, context=shown)
        except Unanswered as unanswered:  # nobody in time, or nobody who wanted to: nothing is sent
            return {"log": [f"unhandled: {unanswered.standing}, ticket {unanswered.ticket_id}"]}
        office.put("templates", "", template.model_dump_json())
        return {"reply": template.reply, "log": ["added to the templates"]}

    # Goes out at most once, also if a process dies while it goes.
    @signoff.gate("reply", action=lambda state: {"client": state["client"], "reply": state["reply"]})
    def reply(state: State) -> State:
        office.put("outbox", state["client"], state["reply"])
        return {"log": [f"replied to {state['client']}"]}

    builder = StateGraph(State)
    builder.add_node("match", lambda state: {"reply": office.reply_to(state["message"])})
    builder.add_node("ask", ask)
    builder.add_node("reply", reply)
    builder.add_edge(START, "match")
    builder.add_conditional_edges("match", lambda state: "reply" if state["reply"] else "ask", ["reply", "ask"])
    builder.add_conditional_edges("ask", lambda s: "reply" if s["reply"] else "__end__", ["reply", "__end__"])
    return builder.compile(checkpointer=checkpointer, name="unrecognised_input")


async def graph() -> Any:
    """What `langgraph.json` names. A server calls it on its event loop, where opening files is forbidden."""
    return await asyncio.to_thread(lambda: build(Path(), signoff=Signoff("signoff.db", policy=POLICY)))


if __name__ == "__main__":
    gate = Signoff("signoff.db", policy=POLICY)
    with SqliteSaver.from_conn_string("checkpoints.db") as saver:
        compiled = build(Path(), signoff=gate, checkpointer=saver)
        run = gate.resume(compiled, thread_id="message-1", start=MESSAGE)
    print(run, run.output["log"], sep="\n")

"""An agent asked to "export the customer database to an external CRM and send an email to all contacts".

Counting is allowed, exporting and mailing are reviewed (`crm_export.yaml`). The tools do real work in one folder: a database
of generated customers, a CSV file that stands for the external CRM, and an outbox table. `signoff demo` tells the whole
story; from here, in two commands and with a decision between them:

    python graphs/crm_export.py                # runs until it pauses, and says what it waits for
    python graphs/crm_export.py                # once decided: goes on

Files go to `./crm_export`. The model is scripted; `SIGNOFF_MODEL=openai:gpt-5` (any name that LangChain's
`init_chat_model` knows) takes a real one.
"""

from __future__ import annotations

import asyncio
import csv
import os
import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import tools_condition

from langgraph_signoff import Answer, CurrentAction, Happened, Signoff
from langgraph_signoff.testing import Line, ScriptedModel

REQUEST = "Export the customer database to an external CRM and send an email to all contacts."
POLICY = Path(__file__).with_suffix(".yaml")
CUSTOMERS = 3000

Segment = Literal["all_customers", "active_customers", "inactive_customers"]
Destination = Literal["hubspot", "salesforce"]

# The world ----------------------------------------------------------------------------------------------------------------

_WHERE = {"all_customers": "1", "active_customers": "active", "inactive_customers": "NOT active"}
_FIRST = (
    "Ada",
    "Bela",
    "Chen",
    "Dora",
    "Emre",
    "Fatma",
    "Goran",
    "Hana",
    "Ivan",
    "Joana",
    "Kofi",
    "Lena",
    "Mei",
    "Noor",
)
_LAST = (
    "Adler",
    "Bianchi",
    "Costa",
    "Demir",
    "Eriksen",
    "Fischer",
    "Garcia",
    "Horvat",
    "Ito",
    "Jansen",
    "Kaya",
    "Lopez",
)


class Company:
    """The customer database, the outbox and the external CRM, all in one folder; made on first use, always the same."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.database = self.folder / "customers.db"
        with self._connect() as db, db:
            db.execute("BEGIN IMMEDIATE")
            if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
                db.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, email TEXT, active INTEGER)")
                db.execute("CREATE TABLE outbox (id INTEGER PRIMARY KEY, recipient TEXT, template TEXT)")
                db.executemany("INSERT INTO customers VALUES (?, ?, ?, ?)", _generated(CUSTOMERS))

    def customers(self, segment: Segment) -> list[tuple[int, str, str]]:
        """Id, name and address of everybody in a segment."""
        with self._connect() as db:
            return db.execute(f"SELECT id, name, email FROM customers WHERE {_WHERE[segment]} ORDER BY id").fetchall()

    def export(self, segment: Segment, destination: Destination, *, reference: str) -> None:
        """Adds a segment's customers to the CRM's file. A CRM does not mind duplicates: each import adds its rows."""
        path = self.crm_file(destination)
        with path.open("a", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            if file.tell() == 0:
                rows.writerow(("customer_id", "name", "email", "import_reference"))
            rows.writerows((*customer, reference) for customer in self.customers(segment))
            file.flush()
            os.fsync(file.fileno())

    def imported(self, destination: Destination) -> list[tuple[int, str]]:
        """What the CRM's file holds: customer id and import reference, one pair a row."""
        path = self.crm_file(destination)
        if not path.exists():
            return []
        with path.open(encoding="utf-8", newline="") as file:
            return [(int(row["customer_id"]), row["import_reference"]) for row in csv.DictReader(file)]

    def queue_mails(self, segment: Segment, template: str) -> int:
        """Queues one mail to everybody in a segment; how many."""
        mails = [(email, template) for _, _, email in self.customers(segment)]
        with self._connect() as db, db:
            db.executemany("INSERT INTO outbox (recipient, template) VALUES (?, ?)", mails)
        return len(mails)

    def outbox(self) -> int:
        """How many mails are queued."""
        with self._connect() as db:
            return int(db.execute("SELECT count(*) FROM outbox").fetchone()[0])

    def crm_file(self, destination: Destination) -> Path:
        """Where the CRM keeps what it was given."""
        return self.folder / f"crm-{destination}.csv"

    def _connect(self) -> closing[sqlite3.Connection]:
        return closing(sqlite3.connect(self.database, timeout=10))


def _generated(count: int) -> list[tuple[int, str, str, bool]]:
    dice = random.Random(20260101)
    people = [(dice.choice(_FIRST), dice.choice(_LAST), dice.random() < 0.4) for _ in range(count)]
    return [
        (id_, f"{first} {last}", f"{first}.{last}.{id_}@example.com".lower(), active)
        for id_, (first, last, active) in enumerate(people, start=1)
    ]


# The tools ----------------------------------------------------------------------------------------------------------------


def tools(company: Company) -> list[BaseTool]:
    """What the agent can do in a company."""

    @tool
    def count_customers(segment: Segment) -> str:
        """Count the customers in a segment."""
        return f"{len(company.customers(segment))} customers are in {segment}."

    @tool
    def export_customers(segment: Segment, destination: Destination) -> str:
        """Export a segment of the customer database to an external CRM."""
        action = Signoff.current_action()
        company.export(segment, destination, reference=action.key if action else "without-signoff")
        return _exported(company, segment, destination)

    @tool
    def send_campaign_email(template: str, segment: Segment) -> str:
        """Send an email, made from a template, to every customer in a segment."""
        return f"Queued {company.queue_mails(segment, template)} mails made from {template}."

    return [count_customers, export_customers, send_campaign_email]


def was_exported(company: Company, about: CurrentAction) -> Happened | Answer | None:
    """The probe of `export_customers`: whether the CRM holds the import of a call whose process died."""
    segment, destination = about.args["segment"], about.args["destination"]
    rows = sum(reference == about.key for _, reference in company.imported(destination))
    if rows == 0:
        return Answer.DID_NOT_HAPPEN
    whole = rows == len(company.customers(segment))
    return Happened(result=_exported(company, segment, destination)) if whole else None


def _exported(company: Company, segment: Segment, destination: Destination) -> str:
    return f"Exported {len(company.customers(segment))} {segment.replace('_', ' ')} to {destination}."


# The graph ----------------------------------------------------------------------------------------------------------------


def gate(company: Company, **options: Any) -> Signoff:
    """The gate of this graph: its policy, and a ledger in the company's folder."""
    return Signoff(company.folder / "signoff.db", policy=POLICY, **options)


def build(
    company: Company | None = None,
    *,
    signoff: Signoff | None = None,
    model: str | BaseChatModel | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The graph. `model`: a chat model or its name; a script if left out. Without a checkpointer, the server brings one."""
    company = company or Company("crm_export")
    signoff = signoff or gate(company)
    probes = {"export_customers": lambda about: was_exported(company, about)}
    gated = signoff.tool_node(tools(company), verify=probes, agent="crm-assistant")
    return wire(gated, chat(model, company)).compile(checkpointer=checkpointer, name="crm_export")


def wire(tool_node: Any, model: Any) -> StateGraph[Any, Any, Any, Any]:
    """An agent loop around any node that runs tools."""
    builder = StateGraph(MessagesState)
    builder.add_node("agent", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_node("tools", tool_node)
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", tools_condition)
    builder.add_edge("tools", "agent")
    return builder


def chat(model: str | BaseChatModel | None, company: Company) -> Any:
    """A chat model that knows the tools."""
    if isinstance(model, str):
        from langchain.chat_models import init_chat_model

        model = init_chat_model(model)
    return (model or ScriptedModel(_script)).bind_tools(tools(company))


def _script(messages: Sequence[BaseMessage]) -> Line:
    asked = max(place for place, message in enumerate(messages) if isinstance(message, HumanMessage))
    answers = [message for message in messages[asked:] if isinstance(message, ToolMessage)]
    if not answers:
        return [("count_customers", {"segment": "all_customers"})]
    if len(answers) == 1:
        return [
            ("export_customers", {"segment": "all_customers", "destination": "hubspot"}),
            ("send_campaign_email", {"template": "we_moved_to_hubspot", "segment": "all_customers"}),
        ]
    return "\n".join(["Here is what came of it:", *(f"- {answer.text.splitlines()[0]}" for answer in answers[1:])])


async def graph() -> CompiledStateGraph[Any, Any, Any, Any]:
    """What `langgraph.json` names, over the ledger of the server's guard. A server calls it on its event loop, where opening
    files is forbidden.
    """
    return await asyncio.to_thread(lambda: build(signoff=Signoff("signoff.db", policy=POLICY)))


def main() -> None:
    """Starts the thread, or goes on with it."""
    from langgraph.checkpoint.sqlite import SqliteSaver

    company = Company("crm_export")
    signoff = gate(company)
    with SqliteSaver.from_conn_string(str(company.folder / "checkpoints.db")) as saver:
        compiled = build(company, signoff=signoff, model=os.environ.get("SIGNOFF_MODEL"), checkpointer=saver)
        run = signoff.resume(compiled, thread_id="crm-1", start={"messages": [HumanMessage(REQUEST)]})
    print(run)
    if run.status == "completed":
        print(run.output["messages"][-1].text)
    else:
        print(
            f"\nDecide with: signoff --ledger {company.folder / 'signoff.db'} approve ID --as ana (or reject, revise, settle)"
        )


if __name__ == "__main__":
    main()

"""An agent with one tool, `run_sql(statement)`, on a real SQLite database; sqlglot says what a statement does.

Reads run, INSERT and UPDATE are reviewed, DELETE needs two people, DELETE without a WHERE is denied (`sql_operator.yaml`). A
statement counts as the most dangerous thing in it, and what is not plainly understood counts as `unclear`. SQLite itself is
told the same: its authorizer refuses whatever a statement of that kind has no business doing.

    pip install 'langgraph-signoff[sql]'
    python graphs/sql_operator.py              # runs until it pauses; again, once decided: goes on

Files go to `./sql_operator`. The model is scripted; `SIGNOFF_MODEL=openai:gpt-5` takes a real one.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import tools_condition
from pydantic import BaseModel, Field, model_validator
from pydantic.json_schema import SkipJsonSchema
from sqlglot import exp, parse

from langgraph_signoff import Signoff
from langgraph_signoff.testing import Line, ScriptedModel

REQUEST = "Close the accounts that nobody has used since 2020, and tell me how many are left."
POLICY = Path(__file__).with_suffix(".yaml")

# What a statement does ----------------------------------------------------------------------------------------------------

Kind = Literal["read", "insert", "update", "update_all", "delete", "delete_all", "schema", "unclear"]

_DANGER: tuple[Kind, ...] = ("read", "insert", "update", "update_all", "delete", "unclear", "schema", "delete_all")
_SCHEMA = (exp.Create, exp.Drop, exp.Alter, exp.TruncateTable)
_UNDERSTOOD = (exp.Query, exp.Insert, exp.Update, exp.Delete, *_SCHEMA)
_UNCLEAR = (exp.Command, exp.Into, exp.Merge, exp.Pragma, exp.Attach, exp.Detach)


def kind_of(statement: str) -> Kind:
    """The most dangerous thing that a statement does; `unclear` for several statements and for what does not parse."""
    try:
        trees = [tree for tree in parse(statement, dialect="sqlite") if tree is not None]
    except Exception:
        return "unclear"  # a parser that gives up, for whatever reason, has understood nothing
    kinds = [_kind(node) for tree in trees for node in tree.walk()]
    if len(trees) != 1 or not isinstance(trees[0], _UNDERSTOOD):
        kinds.append("unclear")
    return max(kinds, key=_DANGER.index)


def _kind(node: exp.Expr) -> Kind:
    match node:
        case exp.Delete():
            return "delete" if _is_bounded(node) else "delete_all"
        case exp.Update():
            return "update" if _is_bounded(node) else "update_all"
        case exp.Insert():
            return "insert"
    if isinstance(node, _SCHEMA):
        return "schema"
    return "unclear" if isinstance(node, _UNCLEAR) else "read"


def _is_bounded(node: exp.Delete | exp.Update) -> bool:
    # `WHERE 1` and `WHERE true` choose nothing: a condition counts only if it looks at a column.
    where = node.args.get("where")
    return where is not None and where.find(exp.Column) is not None


# The tool -----------------------------------------------------------------------------------------------------------------


class RunSql(BaseModel):
    """Run one SQL statement on the accounts database: accounts(id, owner, balance, last_used)."""

    statement: str = Field(description="One SQLite statement.")
    # Not for the model: it is read from the statement, whatever somebody sends in its place.
    kind: SkipJsonSchema[Kind] = "unclear"

    @model_validator(mode="before")
    @classmethod
    def _read_kind(cls, given: Any) -> Any:
        if not isinstance(given, dict) or not isinstance(given.get("statement"), str):
            return given
        return {**given, "kind": kind_of(given["statement"])}


_READS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_WRITES = {
    "insert": {sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE},
    "update": {sqlite3.SQLITE_UPDATE},
    "update_all": {sqlite3.SQLITE_UPDATE},
    "delete": {sqlite3.SQLITE_DELETE},
}


class Bank:
    """A database of accounts; made on first use, always the same."""

    def __init__(self, database: str | os.PathLike[str]) -> None:
        self.database = Path(database)
        self.database.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.database)) as db, db:
            db.execute("BEGIN IMMEDIATE")
            if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
                db.execute("CREATE TABLE accounts (id INTEGER PRIMARY KEY, owner TEXT, balance REAL, last_used TEXT)")
                rows = [(i, f"owner-{i}", i * 10.0, f"{2016 + i % 10}-06-01") for i in range(1, 201)]
                db.executemany("INSERT INTO accounts VALUES (?, ?, ?, ?)", rows)

    def execute(self, statement: str, kind: Kind) -> str:
        """Executes a statement; SQLite refuses what its kind does not cover."""
        with closing(sqlite3.connect(self.database, timeout=10)) as db, db:
            permitted = _READS | _WRITES.get(kind, set())
            begins_itself = {sqlite3.SQLITE_TRANSACTION} if kind in _WRITES else set()
            db.set_authorizer(lambda action, *_: int(action not in permitted | begins_itself))
            found = db.execute(statement)
            return str(found.fetchmany(50)) if found.description else f"{found.rowcount} rows changed"


def run_sql(bank: Bank) -> BaseTool:
    """The tool on a bank's database."""
    return StructuredTool.from_function(
        lambda statement, kind: bank.execute(statement, kind),
        name="run_sql",
        description=RunSql.__doc__,
        args_schema=RunSql,
    )


# The graph ----------------------------------------------------------------------------------------------------------------


def gate(bank: Bank, **options: Any) -> Signoff:
    """The gate of this graph: its policy, and a ledger beside the database."""
    return Signoff(bank.database.with_name("signoff.db"), policy=POLICY, **options)


def build(
    bank: Bank | None = None,
    *,
    signoff: Signoff | None = None,
    model: str | BaseChatModel | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The graph. `model`: a chat model or its name; a script if left out. Without a checkpointer, the server brings one."""
    bank = bank or Bank("sql_operator/accounts.db")
    signoff = signoff or gate(bank)
    tools = [run_sql(bank)]
    if isinstance(model, str):
        from langchain.chat_models import init_chat_model

        model = init_chat_model(model)
    agent = (model or ScriptedModel(_SCRIPT)).bind_tools(tools)
    builder = StateGraph(MessagesState)
    builder.add_node("agent", lambda state: {"messages": [agent.invoke(state["messages"])]})
    builder.add_node("tools", signoff.tool_node(tools, agent="sql-operator", handle_tool_errors=_told))
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", tools_condition)
    builder.add_edge("tools", "agent")
    return builder.compile(checkpointer=checkpointer, name="sql_operator")


def _told(error: sqlite3.Error) -> str:
    return f"SQLite says: {error}"


_SCRIPT: Sequence[Line] = (
    [("run_sql", {"statement": "SELECT count(*) FROM accounts WHERE last_used < '2020-01-01'"})],
    [("run_sql", {"statement": "DELETE FROM accounts"})],
    [("run_sql", {"statement": "DELETE FROM accounts WHERE last_used < '2020-01-01'"})],
    [("run_sql", {"statement": "SELECT count(*) FROM accounts"})],
)


async def graph() -> CompiledStateGraph[Any, Any, Any, Any]:
    """What `langgraph.json` names, over the ledger of the server's guard. A server calls it on its event loop, where opening
    files is forbidden.
    """
    return await asyncio.to_thread(lambda: build(signoff=Signoff("signoff.db", policy=POLICY)))


def main() -> None:
    """Starts the thread, or goes on with it."""
    from langgraph.checkpoint.sqlite import SqliteSaver

    bank = Bank("sql_operator/accounts.db")
    signoff = gate(bank)
    with SqliteSaver.from_conn_string(str(bank.database.with_name("checkpoints.db"))) as saver:
        compiled = build(bank, signoff=signoff, model=os.environ.get("SIGNOFF_MODEL"), checkpointer=saver)
        run = signoff.resume(compiled, thread_id="sql-1", start={"messages": [HumanMessage(REQUEST)]})
    print(run)
    if run.status == "completed":
        for message in run.output["messages"]:
            message.pretty_print()
    else:
        print("\nDecide with: signoff --ledger sql_operator/signoff.db approve ID --as ana (or reject, revise, settle)")


if __name__ == "__main__":
    main()

"""The graphs in `graphs/`: each opens from `langgraph.json`, and each does what its policy says, on real files."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
import random
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langgraph.checkpoint.sqlite import SqliteSaver

from langgraph_signoff import (
    Answer,
    CurrentAction,
    Happened,
    IncompleteDecision,
    NotAllowedToDecide,
    Policy,
    RepeatedKey,
    RevisionRefused,
    Run,
    Signoff,
    Standing,
)
from langgraph_signoff.cli.history import lines_of
from langgraph_signoff.testing import ScriptedModel
from langgraph_signoff.view import words_of

GRAPHS = Path(__file__).parents[1] / "graphs"
sys.path.insert(0, str(GRAPHS))

import crm_export  # noqa: E402  # the folder of graphs is no package
import newsletter  # noqa: E402  # the folder of graphs is no package
import payroll  # noqa: E402  # the folder of graphs is no package
import planned_refunds  # noqa: E402  # the folder of graphs is no package
import release  # noqa: E402  # the folder of graphs is no package
import research_report  # noqa: E402  # the folder of graphs is no package
import sql_operator  # noqa: E402  # the folder of graphs is no package
import support_agent  # noqa: E402  # the folder of graphs is no package
import website  # noqa: E402  # the folder of graphs is no package

NAMED = json.loads((GRAPHS / "langgraph.json").read_text())["graphs"]
THREAD = "t-1"


@pytest.fixture
def saver(tmp_path: Path) -> Iterator[SqliteSaver]:
    with SqliteSaver.from_conn_string(str(tmp_path / "checkpoints.db")) as saver:
        yield saver


# All of them --------------------------------------------------------------------------------------------------------------


def test_langgraph_json_names_every_graph_of_the_folder() -> None:
    files = [file.name for file in GRAPHS.glob("*.py") if file.name != "serve.py"]
    assert sorted(f"./{name}:graph" for name in files) == sorted(NAMED.values())


@pytest.mark.parametrize("name", sorted(NAMED))
def test_a_graph_opens_without_a_checkpointer_and_its_policy_names_all_of_its_tools(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saver: SqliteSaver
) -> None:
    monkeypatch.chdir(tmp_path)
    module = __import__(name)
    graph = asyncio.run(module.graph())
    assert graph.name == name
    assert graph.checkpointer is None
    gate = Signoff(tmp_path / "signoff.db", policy=Policy.load(module.POLICY))
    assert gate.check(graph.copy(update={"checkpointer": saver})) == []


def test_the_minimal_graph_is_a_program_of_less_than_sixty_lines(tmp_path: Path) -> None:
    assert len((GRAPHS / "minimal.py").read_text().splitlines()) < 60
    said = program("minimal", tmp_path)
    assert said.index("pending_approval") < said.index("Invoice paid.")


@pytest.mark.parametrize("name", ["crm_export", "sql_operator"])
def test_a_program_pauses_and_goes_on_when_it_is_started_again_after_the_decisions(name: str, tmp_path: Path) -> None:
    assert "pending_approval" in program(name, tmp_path)
    gate = Signoff(tmp_path / name / "signoff.db", policy=GRAPHS / f"{name}.yaml")
    for ticket in gate.pending():
        for by in ("ana", "ben")[: ticket.requirements.approvals]:
            gate.approve(gate.ticket(ticket.id), by=by, reason="as agreed")
    assert "completed" in program(name, tmp_path)
    assert {ticket.standing for ticket in tickets(gate)} <= {Standing.EXECUTED, Standing.DENIED}


def program(name: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(GRAPHS / f"{name}.py")], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def tickets(gate: Signoff) -> list[Any]:
    from langgraph_signoff.ledger import Query

    return gate.find(Query())


# crm_export ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def company(tmp_path: Path) -> crm_export.Company:
    return crm_export.Company(tmp_path)


def in_the_crm(company: crm_export.Company) -> Counter[int]:
    file = company.folder / "crm-hubspot.csv"
    if not file.exists():
        return Counter()
    with file.open(newline="") as lines:
        return Counter(int(row["customer_id"]) for row in csv.DictReader(lines))


def mails(company: crm_export.Company) -> int:
    with closing(sqlite3.connect(company.database)) as db:
        return int(db.execute("SELECT count(*) FROM outbox").fetchone()[0])


def test_only_what_a_person_left_of_the_export_runs_and_the_history_says_who_and_why(
    company: crm_export.Company, saver: SqliteSaver
) -> None:
    gate = crm_export.gate(company)
    graph = crm_export.build(company, signoff=gate, checkpointer=saver)
    run = gate.run(graph, {"messages": [("user", crm_export.REQUEST)]}, thread_id=THREAD)
    assert run.status == "pending_approval"
    export, mailing = run.tickets
    assert (export.tool, export.reason_code) == ("export_customers", "high_risk_data_export")
    assert mailing.tool == "send_campaign_email"
    assert (in_the_crm(company), mails(company)) == (Counter(), 0), "something ran before anybody decided"

    gate.revise(export, by="ana", args={"segment": "active_customers"}, reason="only they agreed")
    gate.reject(mailing, by="ben", reason="nobody agreed")
    run = gate.resume(graph, thread_id=THREAD)

    active = {id_ for id_, _, _ in company.customers("active_customers")}
    assert 1000 < len(active) < crm_export.CUSTOMERS / 2
    assert in_the_crm(company) == Counter(active)
    assert mails(company) == 0
    assert run.status == "completed"
    _, exported, mailed = answers(run)
    assert exported.startswith(f"Exported {len(active)} active customers to hubspot.\n(A reviewer changed the call;")
    assert mailed.startswith("send_campaign_email was not run: rejected by ben: nobody agreed.")
    assert [(d.by, str(d.verdict), d.reason) for d in gate.ticket(export.id).decisions] == [
        ("ana", "revise", "only they agreed")
    ]
    assert [(d.by, str(d.verdict), d.reason) for d in gate.ticket(mailing.id).decisions] == [
        ("ben", "reject", "nobody agreed")
    ]
    assert gate.verify().is_whole


def test_what_is_approved_as_it_was_proposed_exports_and_mails_everybody_once(
    company: crm_export.Company, saver: SqliteSaver
) -> None:
    gate = crm_export.gate(company)
    graph = crm_export.build(company, signoff=gate, checkpointer=saver)
    for ticket in gate.run(graph, {"messages": [("user", crm_export.REQUEST)]}, thread_id=THREAD).tickets:
        gate.approve(ticket, by="ana", reason="agreed with the board")
    gate.resume(graph, thread_id=THREAD)
    assert in_the_crm(company) == Counter(range(1, crm_export.CUSTOMERS + 1))
    assert mails(company) == crm_export.CUSTOMERS


def test_customer_data_is_for_privacy_to_decide_and_takes_a_reason(
    company: crm_export.Company, saver: SqliteSaver
) -> None:
    gate = crm_export.gate(company)
    graph = crm_export.build(company, signoff=gate, checkpointer=saver)
    export = gate.run(graph, {"messages": [("user", crm_export.REQUEST)]}, thread_id=THREAD).tickets[0]
    with pytest.raises(NotAllowedToDecide):
        gate.approve(export, by="cem", reason="marketing wants it")
    with pytest.raises(IncompleteDecision):
        gate.approve(export, by="ana")
    assert gate.ticket(export.id).standing is Standing.PENDING


def test_the_probe_tells_a_whole_import_from_none_and_from_a_part(company: crm_export.Company) -> None:
    args = {"segment": "active_customers", "destination": "hubspot"}
    about = CurrentAction(ticket_id="x", key="x-1", tool="export_customers", args=args, thread_id=THREAD)
    assert crm_export.was_exported(company, about) is Answer.DID_NOT_HAPPEN
    company.export("active_customers", "hubspot", reference="somebody-else")
    assert crm_export.was_exported(company, about) is Answer.DID_NOT_HAPPEN
    company.export("active_customers", "hubspot", reference="x-1")
    assert isinstance(crm_export.was_exported(company, about), Happened)
    file = company.crm_file("hubspot")
    file.write_text("\n".join(file.read_text().splitlines()[:-5]) + "\n")
    assert crm_export.was_exported(company, about) is None


def test_the_customers_are_the_same_in_every_folder(tmp_path: Path) -> None:
    here, there = (crm_export.Company(tmp_path / name).customers("all_customers") for name in ("a", "b"))
    assert here == there
    assert len(here) == crm_export.CUSTOMERS


def answers(run: Run) -> list[str]:
    return [message.text for message in run.output["messages"] if isinstance(message, ToolMessage)]


# sql_operator -------------------------------------------------------------------------------------------------------------

KINDS = {
    "SELECT 1": "read",
    "select * from accounts where id in (select 1)": "read",
    "SELECT 1 UNION SELECT 2;": "read",
    "WITH x AS (SELECT 1) SELECT * FROM x": "read",
    "SELECT '; DELETE FROM accounts'": "read",
    "SELECT 1 -- ; DELETE FROM accounts": "read",
    "INSERT INTO accounts VALUES (1, 'x', 1, 'y')": "insert",
    "INSERT INTO accounts SELECT * FROM accounts WHERE id = 1 ON CONFLICT(id) DO UPDATE SET balance = 0": "insert",
    "UPDATE accounts SET balance = 0 WHERE id = 3": "update",
    "UPDATE accounts SET balance = 0": "update_all",
    "UPDATE accounts SET balance = 0 WHERE 1": "update_all",
    "DELETE FROM accounts WHERE id = 3": "delete",
    "WITH x AS (SELECT 1) DELETE FROM accounts WHERE id = 3": "delete",
    "DELETE FROM accounts": "delete_all",
    "delete from accounts -- where id = 3": "delete_all",
    "DELETE /* WHERE id = 3 */ FROM accounts": "delete_all",
    "DELETE FROM accounts WHERE true": "delete_all",
    "DELETE FROM accounts WHERE 1 = 1": "delete_all",
    "DELETE FROM accounts LIMIT 5": "delete_all",
    "WITH x AS (SELECT 1) DELETE FROM accounts": "delete_all",
    "WITH gone AS (DELETE FROM accounts RETURNING *) SELECT * FROM gone": "delete_all",
    "SELECT 1; DELETE FROM accounts": "delete_all",
    "DROP TABLE accounts": "schema",
    "ALTER TABLE accounts RENAME TO a": "schema",
    "CREATE TABLE copied AS SELECT * FROM accounts": "schema",
    "SELECT 1; SELECT 2": "unclear",
    "SELECT * INTO copied FROM accounts": "unclear",
    "PRAGMA writable_schema = 1": "unclear",
    "ATTACH 'other.db' AS other": "unclear",
    "VACUUM INTO 'copy.db'": "unclear",
    "REPLACE INTO accounts VALUES (1, 'x', 1, 'y')": "unclear",
    "EXPLAIN DELETE FROM accounts": "unclear",
    "BEGIN": "unclear",
    "": "unclear",
    "-- nothing": "unclear",
    "please delete everything": "unclear",
    "SELECT 'unclosed": "unclear",
    "(" * 3000: "unclear",
}


@pytest.fixture
def bank(tmp_path: Path) -> sql_operator.Bank:
    return sql_operator.Bank(tmp_path / "accounts.db")


def contents(bank: sql_operator.Bank) -> str:
    with closing(sqlite3.connect(bank.database)) as db:
        return hashlib.sha256("\n".join(db.iterdump()).encode()).hexdigest()


@pytest.mark.parametrize("statement", KINDS, ids=lambda statement: statement[:40])
def test_a_statement_counts_as_the_most_dangerous_thing_in_it(statement: str) -> None:
    assert sql_operator.kind_of(statement) == KINDS[statement]


@pytest.mark.parametrize("statement", KINDS, ids=lambda statement: statement[:40])
def test_sqlite_changes_nothing_for_a_statement_that_was_let_through_as_a_read(
    statement: str, bank: sql_operator.Bank
) -> None:
    before = contents(bank)
    try:
        bank.execute(statement, "read")
    except (sqlite3.Error, sqlite3.Warning):
        assert KINDS[statement] != "read"
    assert contents(bank) == before
    assert [file.name for file in bank.database.parent.glob("*.db")] == ["accounts.db"]


BEGINNINGS = ["SELECT * FROM accounts", "SELECT 1", "SELECT id FROM accounts WHERE", "WITH x AS (SELECT 1) SELECT", ""]
PIECES = ["\n", "DELETE FROM accounts", "UPDATE accounts SET balance = 0", "SELECT 1", "SELECT", "DELETE", "UPDATE", "INSERT", "INTO", "FROM", "accounts", "WHERE", "SET", "balance", "=", "0", "id", "1", ",", "(", ")", ";", "--", "/*", "*/", "'", "WITH", "x", "AS", "UNION", "VALUES", "*", "RETURNING", "PRAGMA", "user_version", "REPLACE", "DROP", "TABLE", "OR", "LIMIT", "EXISTS"]  # fmt: skip


def test_whatever_text_counts_as_a_read_writes_nothing_even_if_sqlite_is_not_told(rng: random.Random) -> None:
    reads = [s for s in (random_statement(rng) for _ in range(3000)) if sql_operator.kind_of(s) == "read"]
    ran = sum(runs_and_changes_nothing(statement) for statement in reads)
    assert ran >= 100, "too few statements were tried"


def random_statement(rng: random.Random) -> str:
    return " ".join([rng.choice(BEGINNINGS), *rng.choices(PIECES, k=rng.randint(0, 6))])


def runs_and_changes_nothing(statement: str) -> bool:
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance REAL)")
        db.execute("INSERT INTO accounts VALUES (1, 10.0)")
        before = db.total_changes, list(db.iterdump())
        try:
            db.execute(statement).fetchall()
        except (sqlite3.Error, sqlite3.Warning):
            return False
        assert (db.total_changes, list(db.iterdump())) == before, statement
        return True


def play(bank: sql_operator.Bank, saver: SqliteSaver, statement: str, **forged: str) -> tuple[Signoff, Any, Run]:
    gate = sql_operator.gate(bank)
    model = ScriptedModel([[("run_sql", {"statement": statement, **forged})], "Done."])
    graph = sql_operator.build(bank, signoff=gate, model=model, checkpointer=saver)
    return gate, graph, gate.run(graph, {"messages": [("user", "go")]}, thread_id=THREAD)


def test_a_read_runs_at_once_and_leaves_no_ticket(bank: sql_operator.Bank, saver: SqliteSaver) -> None:
    gate, _, run = play(bank, saver, "SELECT count(*) FROM accounts")
    assert (run.status, answers(run)) == ("completed", ["[(200,)]"])
    assert tickets(gate) == []


def test_an_update_waits_for_one_person(bank: sql_operator.Bank, saver: SqliteSaver) -> None:
    before = contents(bank)
    gate, graph, run = play(bank, saver, "UPDATE accounts SET balance = 1 WHERE id = 7")
    assert (run.status, run.tickets[0].requirements.approvals, contents(bank)) == ("pending_approval", 1, before)
    gate.approve(run.tickets[0], by="ana")
    assert answers(gate.resume(graph, thread_id=THREAD)) == ["1 rows changed"]


def test_a_delete_waits_for_two_people(bank: sql_operator.Bank, saver: SqliteSaver) -> None:
    before = contents(bank)
    gate, graph, run = play(bank, saver, "DELETE FROM accounts WHERE id = 7")
    gate.approve(run.tickets[0], by="ana")
    assert gate.resume(graph, thread_id=THREAD).status == "pending_approval"
    assert contents(bank) == before
    gate.approve(gate.ticket(run.tickets[0].id), by="ben")
    assert answers(gate.resume(graph, thread_id=THREAD)) == ["1 rows changed"]


@pytest.mark.parametrize("forged", ["read", "delete", "no such kind"])
def test_a_delete_without_where_is_denied_whatever_kind_the_model_calls_it(
    forged: str, bank: sql_operator.Bank, saver: SqliteSaver
) -> None:
    before = contents(bank)
    gate, _, run = play(bank, saver, "DELETE FROM accounts -- WHERE id = 7", kind=forged)
    assert run.status == "completed"
    assert "does not permit" in answers(run)[0]
    assert [(t.standing, t.reason_code) for t in tickets(gate)] == [(Standing.DENIED, "delete_without_where")]
    assert contents(bank) == before


def test_the_model_is_not_shown_that_its_statement_has_a_kind(bank: sql_operator.Bank) -> None:
    assert list(sql_operator.run_sql(bank).tool_call_schema.model_json_schema()["properties"]) == ["statement"]


def play_revised(bank: sql_operator.Bank, saver: SqliteSaver, statement: str) -> tuple[Signoff, Any, Run]:
    """The model proposes an update, and a person makes this statement of it."""
    gate, graph, run = play(bank, saver, "UPDATE accounts SET balance = 1 WHERE id = 7")
    gate.revise(run.tickets[0], by="ana", args={"statement": statement})
    return gate, graph, gate.resume(graph, thread_id=THREAD)


def test_an_update_that_a_person_makes_a_delete_is_asked_again_as_one(
    bank: sql_operator.Bank, saver: SqliteSaver
) -> None:
    before = contents(bank)
    gate, graph, run = play_revised(bank, saver, "DELETE FROM accounts WHERE id = 7")
    assert run.status == "pending_approval"
    [ticket] = run.tickets
    assert (ticket.args["kind"], ticket.requirements.approvals, contents(bank)) == ("delete", 2, before)
    for by in ("ana", "ben"):
        gate.approve(gate.ticket(ticket.id), by=by)
    assert answers(gate.resume(graph, thread_id=THREAD))[0].startswith("1 rows changed")


def test_an_update_that_a_person_makes_a_delete_without_where_does_not_run(
    bank: sql_operator.Bank, saver: SqliteSaver
) -> None:
    before = contents(bank)
    gate, _, run = play_revised(bank, saver, "DELETE FROM accounts")
    [ticket] = [row.id for row in gate.ledger.all_rows() if row.standing == Standing.DENIED]
    told = str(lines_of(words_of(gate.history(ticket))))
    assert "it would run with other arguments than were shown: deny (delete_without_where" in told
    assert run.status == "completed"
    assert "does not permit" in answers(run)[0]
    assert contents(bank) == before


# release ------------------------------------------------------------------------------------------------------------------

VERSION: release.State = {"version": "1.4.0", "changes": ["Pays invoices"]}


@pytest.mark.parametrize("word", ["approve", "reject"])
def test_a_release_is_on_staging_at_once_and_on_production_with_a_persons_word(
    tmp_path: Path, saver: SqliteSaver, word: str
) -> None:
    with closing(Signoff(tmp_path / "signoff.db", policy=release.POLICY)) as signoff:
        graph = release.build(tmp_path / "site", signoff=signoff, checkpointer=saver)
        [ticket] = signoff.run(graph, VERSION, thread_id=THREAD).tickets
        assert ticket.description == "Put 1.4.0 (1 changes) on production"
        assert published(tmp_path) == ["staging/1.4.0.md"]
        with pytest.raises(RevisionRefused, match="send it back with feedback"):
            signoff.revise(ticket, by="ana", args={"target": "staging"})
        getattr(signoff, word)(ticket, by="ana", reason="looked at it")
        report = signoff.resume(graph, thread_id=THREAD).output["report"]
        assert signoff.verify().is_whole
    assert report[0] == "1.4.0 is on staging"
    if word == "approve":
        assert (report[1], published(tmp_path)) == (
            "1.4.0 is on production",
            ["production/1.4.0.md", "staging/1.4.0.md"],
        )
    else:
        assert report[1].startswith("publish was not run: rejected by ana: looked at it.")
        assert published(tmp_path) == ["staging/1.4.0.md"]


def test_a_version_is_not_published_twice_under_one_key(tmp_path: Path, saver: SqliteSaver) -> None:
    with closing(Signoff(tmp_path / "signoff.db", policy=release.POLICY)) as signoff:
        graph = release.build(tmp_path / "site", signoff=signoff, checkpointer=saver)
        signoff.approve(signoff.run(graph, VERSION, thread_id=THREAD).tickets[0], by="ana")
        assert signoff.resume(graph, thread_id=THREAD).status == "completed"
        with pytest.raises(RepeatedKey, match="'publish' runs again"):
            signoff.run(graph, VERSION, thread_id=THREAD)


def published(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder / "site")) for file in (folder / "site").rglob("*.md"))


# newsletter ---------------------------------------------------------------------------------------------------------------


ISSUE = {"messages": [("user", newsletter.REQUEST)]}


def test_a_newsletter_of_others_asks_before_it_loses_a_reader_and_before_it_mails(
    tmp_path: Path, saver: SqliteSaver
) -> None:
    with closing(Signoff(tmp_path / "signoff.db", policy=newsletter.POLICY)) as signoff:
        graph = newsletter.build(tmp_path, signoff=signoff, checkpointer=saver)
        [first] = signoff.run(graph, ISSUE, thread_id=THREAD).tickets
        assert first.description == "Take bo@example.com off the list of readers"
        assert mailed(tmp_path) == []
        signoff.approve(first, by="ana")
        [second] = signoff.resume(graph, thread_id=THREAD).tickets
        assert second.description == "Mail '# The issue of May' to 2 readers"
        assert mailed(tmp_path) == []
        signoff.approve(second, by="ana")
        run = signoff.resume(graph, thread_id=THREAD)
        assert (run.status, run.output["mailed"]) == ("completed", 2)
        assert mailed(tmp_path) == ["ada@example.com", "cleo@example.com"]
        assert signoff.verify().is_whole


def test_an_issue_that_is_rejected_is_mailed_to_nobody(tmp_path: Path, saver: SqliteSaver) -> None:
    with closing(Signoff(tmp_path / "signoff.db", policy=newsletter.POLICY)) as signoff:
        script = ["# The issue of May"]
        graph = newsletter.build(tmp_path, signoff=signoff, script=script, checkpointer=saver)
        [ticket] = signoff.run(graph, ISSUE, thread_id=THREAD).tickets
        signoff.reject(ticket, by="ana", reason="a typo in the title")
        run = signoff.resume(graph, thread_id=THREAD)
        assert (run.status, run.output["mailed"], mailed(tmp_path)) == ("completed", 0, [])
        assert "mail was not run: rejected by ana: a typo in the title." in run.output["messages"][-1].text


def test_without_its_gate_the_newsletter_asks_nobody(tmp_path: Path) -> None:
    theirs = newsletter.newsletter(tmp_path, ScriptedModel(newsletter.SCRIPT)).compile()
    assert theirs.invoke(ISSUE)["mailed"] == 2


def mailed(folder: Path) -> list[str]:
    return sorted(file.name for file in (folder / "outbox").glob("*"))


# payroll ------------------------------------------------------------------------------------------------------------------


def test_small_payments_are_made_alone_larger_ones_with_a_persons_word_and_the_largest_with_two(
    tmp_path: Path, saver: SqliteSaver
) -> None:
    bank = payroll.Bank(tmp_path)
    with closing(Signoff(tmp_path / "signoff.db", policy=payroll.POLICY)) as signoff:
        workflow = payroll.build(bank, signoff=signoff, checkpointer=saver)
        [bo] = signoff.run(workflow, payroll.MAY, thread_id=THREAD).tickets
        assert (bo.description, paid(bank)) == ("Pay bo 3100.0 EUR for 2026-05", ["ada"])
        signoff.revise(bo, by="ana", args={"amount": 3000.0}, reason="a day unpaid")
        [cleo] = signoff.resume(workflow, thread_id=THREAD).tickets
        assert (cleo.requirements.approvals, paid(bank)) == (2, ["ada", "bo"])
        signoff.approve(signoff.approve(cleo, by="ana"), by="ben")
        run = signoff.resume(workflow, thread_id=THREAD)
        assert run.output == ["ada has got 420.00 EUR", "bo has got 3000.00 EUR", "cleo has got 9400.00 EUR"]
        assert [amount for _, _, amount in bank.payments()] == [420.0, 3000.0, 9400.0]
        with pytest.raises(RepeatedKey, match="'pay' runs again"):
            signoff.run(workflow, payroll.MAY, thread_id=THREAD)
        assert signoff.verify().is_whole


def test_who_is_refused_is_not_paid_and_the_others_are(tmp_path: Path, saver: SqliteSaver) -> None:
    bank, due = payroll.Bank(tmp_path), {"month": "2026-05", "pay": {"dan": -5.0, "bo": 3100.0, "ada": 420.0}}
    with closing(Signoff(tmp_path / "signoff.db", policy=payroll.POLICY)) as signoff:
        workflow = payroll.build(bank, signoff=signoff, checkpointer=saver)
        [bo] = signoff.run(workflow, due, thread_id=THREAD).tickets
        signoff.reject(bo, by="ana", reason="has left")
        dan, bo_, ada = signoff.resume(workflow, thread_id=THREAD).output
    assert "the policy does not permit this call (no_payment)" in dan
    assert "pay was not run: rejected by ana: has left" in bo_
    assert (ada, paid(bank)) == ("ada has got 420.00 EUR", ["ada"])


@pytest.mark.parametrize("made", [True, False])
def test_a_payment_whose_process_died_is_looked_up_in_the_bank(tmp_path: Path, saver: SqliteSaver, made: bool) -> None:
    bank, torn = Torn(tmp_path, made), {"month": "2026-05", "pay": {"bo": 3100.0}}
    with closing(Signoff(tmp_path / "signoff.db", policy=payroll.POLICY)) as signoff:
        workflow = payroll.build(bank, signoff=signoff, checkpointer=saver)
        signoff.approve(signoff.run(workflow, torn, thread_id=THREAD).tickets[0], by="ana")
        with pytest.raises(KeyboardInterrupt):
            signoff.resume(workflow, thread_id=THREAD)
        run = signoff.resume(workflow, thread_id=THREAD)
        assert (run.status, run.output, paid(bank)) == ("completed", ["bo has got 3100.00 EUR"], ["bo"])


class Torn(payroll.Bank):
    """A bank in which the first payment is cut off, before it is made or after."""

    def __init__(self, folder: Path, made: bool) -> None:
        super().__init__(folder)
        self.made, self.first = made, True

    def transfer(self, month: str, person: str, amount: float) -> None:
        first, self.first = self.first, False
        if self.made or not first:
            super().transfer(month, person, amount)
        if first:
            raise KeyboardInterrupt


def paid(bank: payroll.Bank) -> list[str]:
    return [person for _, person, _ in bank.payments()]


# support_agent ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path) -> support_agent.Shop:
    return support_agent.Shop(tmp_path)


def asked(shop: support_agent.Shop, saver: SqliteSaver, script: Any = support_agent.SCRIPT) -> tuple[Signoff, Any, Run]:
    signoff = support_agent.gate(shop)
    agent = support_agent.build(shop, signoff=signoff, script=script, checkpointer=saver)
    return signoff, agent, signoff.run(agent, {"messages": [("user", support_agent.REQUEST)]}, thread_id=THREAD)


def test_a_small_refund_runs_alone_and_a_large_one_waits(shop: support_agent.Shop, saver: SqliteSaver) -> None:
    signoff, agent, paused = asked(shop, saver)
    with closing(signoff):
        [ticket] = paused.tickets
        assert (ticket.reason_code, ticket.agent, shop.refunds()) == ("large_refund", "support", [(7, 12.5)])
        signoff.approve(ticket, by="ana", reason="the parcel is lost")
        assert signoff.resume(agent, thread_id=THREAD).status == "completed"
        assert shop.refunds() == [(7, 12.5), (9, 240.0)]


def test_a_second_refund_of_one_order_waits_however_small(shop: support_agent.Shop, saver: SqliteSaver) -> None:
    again = [[("refund", {"order": 7, "amount": 12.5})], [("refund", {"order": 7, "amount": 5.0})], "Done."]
    signoff, agent, paused = asked(shop, saver, again)
    with closing(signoff):
        [ticket] = paused.tickets
        assert (ticket.reason_code, shop.refunds()) == ("second_refund", [(7, 12.5)])
        assert ticket.notes == ("second_refund: order 7 was paid back before",)
        signoff.reject(ticket, by="ana", reason="paid already")
        assert signoff.resume(agent, thread_id=THREAD).status == "completed"
        assert shop.refunds() == [(7, 12.5)]


@pytest.mark.parametrize("amount", [0.0, -5.0, 2500.0])
def test_an_implausible_refund_never_runs(shop: support_agent.Shop, saver: SqliteSaver, amount: float) -> None:
    signoff, _, ended = asked(shop, saver, [[("refund", {"order": 9, "amount": amount})], "Done."])
    with closing(signoff):
        assert (ended.status, shop.refunds()) == ("completed", [])


# website ------------------------------------------------------------------------------------------------------------------


def test_what_a_sub_agent_publishes_waits_and_each_page_gets_its_own_decision(
    tmp_path: Path, saver: SqliteSaver
) -> None:
    site = website.Website(tmp_path)
    with closing(Signoff(tmp_path / "signoff.db", policy=website.POLICY)) as signoff:
        agent = website.build(site, signoff=signoff, checkpointer=saver)
        paused = signoff.run(agent, {"messages": [("user", website.REQUEST)]}, thread_id=THREAD)
        asked = {ticket.args["page"]: ticket for ticket in paused.tickets}
        assert {ticket.agent for ticket in asked.values()} == {"publisher"}
        assert (sorted(asked), site.online()) == (["home", "hours"], {})
        signoff.approve(asked["hours"], by="ana")
        signoff.reject(asked["home"], by="ana", reason="it stays as it is")
        assert signoff.resume(agent, thread_id=THREAD).status == "completed"
        assert site.online() == {"hours": website.NOTICE}


# research_report ----------------------------------------------------------------------------------------------------------


def researched(folder: Path, saver: SqliteSaver, **options: Any) -> tuple[Signoff, Any, Run]:
    signoff = Signoff(folder / "signoff.db", policy=research_report.POLICY)
    graph = research_report.build(folder, signoff=signoff, checkpointer=saver, **options)
    return signoff, graph, signoff.run(graph, {"messages": [("user", research_report.REQUEST)]}, thread_id=THREAD)


def sections(folder: Path) -> list[str]:
    return sorted(file.stem for file in (folder / "drafts").glob("*.md"))


def test_a_report_is_written_unasked_and_published_with_one_approval(tmp_path: Path, saver: SqliteSaver) -> None:
    signoff, graph, run = researched(tmp_path, saver)
    [ticket] = run.tickets
    assert ticket.kind == "outcome"
    assert sections(tmp_path) == ["Efficiency", "Noise"]
    assert not (tmp_path / "report.md").exists()
    signoff.approve(ticket, by="ana")
    assert signoff.resume(graph, thread_id=THREAD).status == "completed"
    assert (tmp_path / "report.md").read_text().count("## ") == 2


def test_a_rejected_report_leaves_no_section_behind(tmp_path: Path, saver: SqliteSaver) -> None:
    signoff, graph, run = researched(tmp_path, saver)
    signoff.reject(run.tickets[0], by="ana", reason="the wrong houses")
    assert signoff.resume(graph, thread_id=THREAD).status == "completed"
    assert sections(tmp_path) == []
    assert not (tmp_path / "report.md").exists()


def test_a_report_that_is_sent_back_is_written_further(tmp_path: Path, saver: SqliteSaver) -> None:
    more = [[("write_section", {"title": "Costs", "text": "Unknown."})], "Three sections."]
    signoff, graph, run = researched(tmp_path, saver, script=[*research_report.SCRIPT, *more])
    signoff.revise(run.tickets[0], by="ana", feedback="say something of the costs")
    run = signoff.resume(graph, thread_id=THREAD)
    assert [len(ticket.args["actions"]) for ticket in run.tickets] == [3]
    assert sections(tmp_path) == ["Costs", "Efficiency", "Noise"]


def test_a_paper_that_costs_money_is_asked_for_before_it_is_ordered(tmp_path: Path, saver: SqliteSaver) -> None:
    script = [[("order_paper", {"name": "costs"})], "Ordered."]
    _, _, run = researched(tmp_path, saver, script=script)
    assert [(ticket.tool, ticket.reason_code) for ticket in run.tickets] == [("order_paper", "costs_money")]


# planned_refunds ----------------------------------------------------------------------------------------------------------


def recalled(folder: Path, saver: SqliteSaver, script: Any = planned_refunds.SCRIPT) -> tuple[Any, Signoff, Any, Run]:
    shop, gate = planned_refunds.Shop(folder), Signoff(folder / "signoff.db", policy=planned_refunds.POLICY)
    graph = planned_refunds.build(shop, signoff=gate, script=script, checkpointer=saver)
    return shop, gate, graph, gate.run(graph, {"messages": [("user", planned_refunds.REQUEST)]}, thread_id=THREAD)


DONE = [
    ("refund", "11", "24.0"),
    ("refund", "12", "24.0"),
    ("refund", "13", "19.5"),
    *(("letter", name, "recall-en") for name in ("kim", "lee", "max")),
]


def test_one_approval_of_a_plan_does_all_of_it_in_order_and_nothing_beside_it(
    tmp_path: Path, saver: SqliteSaver
) -> None:
    shop, gate, graph, run = recalled(tmp_path, saver)
    assert [ticket.tool for ticket in run.tickets] == ["propose_plan"]
    assert shop.done() == []
    gate.approve(run.tickets[0], by="ana")
    run = gate.resume(graph, thread_id=THREAD)
    assert shop.done()[:3] == DONE[:3]
    assert sorted(shop.done()) == sorted(DONE)
    assert [(ticket.tool, ticket.args) for ticket in run.tickets] == [("refund", {"order": 12, "amount": 50.0})]
    gate.reject(run.tickets[0], by="ana")
    assert gate.resume(graph, thread_id=THREAD).status == "completed"
    assert len(shop.done()) == 6


def test_a_recall_without_its_plan_asks_about_each_refund(tmp_path: Path, saver: SqliteSaver) -> None:
    shop, gate, graph, run = recalled(tmp_path, saver)
    gate.reject(run.tickets[0], by="ana", reason="one by one")
    assert [ticket.tool for ticket in gate.resume(graph, thread_id=THREAD).tickets] == ["refund"] * 3
    assert shop.done() == []


def test_the_recall_is_shown_in_less_than_120_lines() -> None:
    assert len((GRAPHS / "planned_refunds.py").read_text().splitlines()) < 120

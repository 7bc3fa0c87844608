"""Every notebook runs from its first cell to its last, imports its graph, and is committed without outputs."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def read(file: Path) -> Any:
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    return notebook


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_the_first_chapter_is_there() -> None:
    assert "01_first_approval" in [file.stem for file in NOTEBOOKS]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_committed_without_outputs(file: Path) -> None:
    for cell in code(read(file)):
        assert cell.outputs == []
        assert cell.execution_count is None


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_imports_a_graph_of_the_folder_and_defines_none(file: Path) -> None:
    trees = [ast.parse(cell.source) for cell in code(read(file))]
    names = {
        alias.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    assert names & {graph.stem for graph in (ROOT / "graphs").glob("*.py")}
    assert "StateGraph" not in file.read_text()


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_runs_whole_and_shows_what_it_tells(file: Path) -> None:
    notebook = read(file)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(file.parent)}}).execute()
    assert all(cell.execution_count for cell in code(notebook))
    TELLS[file.stem]([output for cell in code(notebook) for output in cell.outputs])


def first_approval(outputs: list[Any]) -> None:
    shown = [output.data for output in outputs if output.output_type == "execute_result"]
    pages = [data["text/html"] for data in shown if "text/html" in data]
    assert "high_risk_data_export" in pages[0]
    assert "mass_mailing" in pages[0]
    assert "executed" in pages[-1]
    counts = [data["text/plain"] for data in shown if "customers in the CRM" in data["text/plain"]]
    nothing, once = (f"{{'customers in the CRM': {rows}, 'mails in the outbox': 0}}" for rows in (0, 1209))
    assert counts == [nothing, nothing, once, once]


def before_a_node(outputs: list[Any]) -> None:
    shown = [output.data["text/plain"] for output in outputs if output.output_type == "execute_result"]
    said = [output.text for output in outputs if output.output_type == "stream"]
    assert shown[1] == "['site/staging/1.4.0.md']"
    assert "'1.4.0 is on production'" in shown[2]
    assert "runs again in this thread under the same key" in said[1]
    assert "publish was not run: rejected by ben: nobody asked for this" in shown[3]
    assert said[2].startswith("the record is whole")


def among_middlewares(outputs: list[Any]) -> None:
    shown = [output.data["text/plain"] for output in outputs if output.output_type == "execute_result"]
    said = [output.text for output in outputs if output.output_type == "stream"]
    assert shown[1:] == ["[(7, 12.5)]", "[(7, 12.5), (9, 240.0)]"]
    assert said[1].startswith("second_refund ('second_refund: order 7 was paid back before',)")
    assert said[2] == "halted [(7, 12.5), (9, 240.0)]\n"
    assert said[3] == "completed [(7, 12.5), (9, 240.0), (7, 5.0)]\n"
    assert said[4].startswith("the record is whole")


def into_a_graph(outputs: list[Any]) -> None:
    shown = [output.data["text/plain"] for output in outputs if output.output_type == "execute_result"]
    said = [output.text for output in outputs if output.output_type == "stream"]
    assert said[1] == (
        "write: runs as it is\ntools: gated tools: readers (allow), strike_off (review)\nmail: guarded (deny or review)\n"
    )
    assert "strike_off" in shown[0]
    assert "Mail '# The issue of May' to 2 readers" in shown[1]
    assert shown[2] == "('completed', 2, ['ada@example.com', 'cleo@example.com'])"
    assert said[2].startswith("node 'spring_clean' reaches the tool strike_off, which would run ungated")
    assert said[3].startswith("the record is whole")


def tasks_of_a_workflow(outputs: list[Any]) -> None:
    shown = [output.data["text/plain"] for output in outputs if output.output_type == "execute_result"]
    said = [output.text for output in outputs if output.output_type == "stream"]
    assert shown[1] == "[('2026-05', 'ada', 420.0)]"
    assert said[1] == "Pay cleo 9400.0 EUR for 2026-05 2\n"
    assert shown[2] == "[('2026-05', 'ada', 420.0), ('2026-05', 'bo', 3000.0)]"
    assert "'pay was not run: rejected by ben: the contract ends in April." in shown[3]
    assert said[2].splitlines() == ["cut off", "completed ['bo has got 3100.00 EUR'] 3"]
    assert [line.split()[0] for line in said[3].splitlines()] == [
        "opened",
        "decided",
        "claimed",
        "in_doubt",
        "executed",
    ]
    assert said[4].startswith("the record is whole")


def asking_a_person(outputs: list[Any]) -> None:
    shown = [output.data for output in outputs if output.output_type == "execute_result"]
    said = [output.text for output in outputs if output.output_type == "stream"]
    assert "can you deliver to the North Pole?" in shown[0]["text/html"]
    refusals = [line.split(":")[0] for line in said[1].splitlines()]
    assert refusals == ["AnswerRefused", "NotAllowedToDecide", "WrongVerdict"]
    assert said[2].startswith("AnswerRefused: ")
    logs = [data["text/plain"] for data in shown[1:4]]
    assert logs[:2] == ["['added to the templates', 'replied to ada@example.com']", "['replied to bo@example.com']"]
    assert logs[2].startswith("['unhandled: expired, ticket ")
    assert "is expired; it takes no decision" in said[3]
    assert shown[4]["text/plain"].count("We deliver everywhere.") == 2
    assert "ben answered" in shown[5]["text/html"]
    assert said[4].startswith("the record is whole")


def plans(outputs: list[Any]) -> None:
    shown = [output.data for output in outputs if output.output_type == "execute_result"]
    said = [output.text for output in outputs if output.output_type == "stream"]
    assert "3 times: write_to(customer=" in shown[0]["text/html"]
    done = shown[1]["text/plain"]
    assert [done.index(text) for text in ("'11'", "'12'", "'13'", "'recall-en'")] == sorted(
        done.index(text) for text in ("'11'", "'12'", "'13'", "'recall-en'")
    )
    assert "Pay back 50.0 EUR for order 12" in shown[2]["text/html"]
    assert said[1].count("by ticket") == 6
    assert "withdrawn by ben: the recall is over" in said[2]
    assert said[3].startswith("the record is whole")


def looking_afterwards(outputs: list[Any]) -> None:
    shown = [output.data for output in outputs if output.output_type == "execute_result"]
    said = [output.text for output in outputs if output.output_type == "stream"]
    assert said[1].startswith("Policy(...): tools.send_money.otherwise: audit looks only afterwards")
    assert shown[0]["text/plain"] == "('completed', [])"
    assert "under_audit" in shown[1]["text/html"]
    assert "undoes it" in shown[1]["text/html"]
    assert "[(1, 3, 15.0)]" in shown[2]["text/plain"]
    assert sorted(line.split(":")[0] for line in said[2].splitlines()[:2]) == ["called", "undone"]
    assert "'credits': [], 'cases': [(3, 'ben on the label angry: she was right to be angry')]" in said[2]
    assert said[3].startswith("61 credits, ")
    assert "the record is whole" in said[3]
    assert said[4] == "True []\n"
    assert "a fair credit" in shown[3]["text/html"]


def scenarios(outputs: list[Any]) -> None:
    shown = [output.data["text/plain"] for output in outputs if output.output_type == "execute_result"]
    said = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "unactioned" in shown[1]
    assert shown[2].endswith("'sent to ada@example.com']")
    assert shown[3] == "'won'"
    assert "Deal 12: from offer to won\nDeal 12: from open to won - arguments_changed\n" in said
    assert "pending_approval\npending\n['We have received your request.']\n" in said
    assert "pending_approval ['80 Acme 17', '1140.50 Globex 114']\n" in said
    assert "completed ['80 Acme 17', '1140.50 Globex 114', '9800 Initech 3']\n" in said
    assert "expired   send_message" in said
    assert "the record is whole" in said


def the_outcome(outputs: list[Any]) -> None:
    shown = [output.data["text/plain"] for output in outputs if output.output_type == "execute_result"]
    pages = [output.data.get("text/html", "") for output in outputs if output.output_type == "execute_result"]
    said = [output.text for output in outputs if output.output_type == "stream"]
    assert "2 of 2 actions ran, no open risks" in pages[0]
    assert shown[1] == "['Efficiency.md', 'Noise.md']"
    assert said[1].count("## ") == 2
    assert "2 actions" in pages[2]
    assert shown[3] == "[]"
    assert said[2].startswith("the record is whole")


def deep_agents(outputs: list[Any]) -> None:
    shown = [output.data["text/plain"] for output in outputs if output.output_type == "execute_result"]
    said = [output.text for output in outputs if output.output_type == "stream"]
    assert "('publisher', 'hours', 'Put the changed pages online.')" in shown[1]
    assert said[1] == "completed {'hours': 'We are closed on Monday, 7 December.'}\n"
    assert said[2].startswith("the sub-agent 'general-purpose' reaches a ToolNode")
    assert said[3].startswith("the record is whole")


def a_week_of_payments(outputs: list[Any]) -> None:
    pages = [output.data.get("text/html", "") for output in outputs if output.output_type == "execute_result"]
    said = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "ana asked eva: have both pallets arrived?" in pages[0]
    assert "due 2026-03-18 15:00:00 UTC" in pages[1], "Tuesday is a holiday"
    assert "expired" in pages[2]
    assert "287.15 EUR paid to Night Power\n" in said
    assert "[('To Mallory Ltd: Invoice 106 is not paid yet: we are looking at it.',)]" in said
    assert "IncompleteDecision: the policy wants an answer with the approval to: the goods have arrived;" in said
    assert "('1 by group:leads',)" in said
    assert "assigned to ben\n['opened', 'assigned', 'reminded', 'escalated']\n" in said
    assert "to group:leads" in pages[3]
    assert "a second look is somebody else's" in said
    assert "pay was not run: ben rejects such calls: we never ordered there." in said
    assert "payments: 5 decided, half of them within 1:00:00, 1 expired; ana 2, ben 2, cem 1\n" in said
    assert "7 invoices paid once each, none of Mallory Ltd\nthe record is whole" in said


TELLS = {
    "01_first_approval": first_approval,
    "02_before_a_node": before_a_node,
    "03_among_middlewares": among_middlewares,
    "04_into_a_graph": into_a_graph,
    "05_tasks_of_a_workflow": tasks_of_a_workflow,
    "06_questions": asking_a_person,
    "07_plans": plans,
    "08_audit": looking_afterwards,
    "09_scenarios": scenarios,
    "10_the_outcome": the_outcome,
    "11_deep_agents": deep_agents,
    "12_a_week_of_payments": a_week_of_payments,
}

"""Reading and deciding load no graph, so they need not load LangGraph."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from cli_support import POLICY, Desk, environment
from support import open_audit

PROGRAM = """
import json, sys
from langgraph_signoff.cli import main
codes = []
for words in json.loads(sys.argv[1]):
    sys.argv = ["signoff", *words]
    try:
        main()
    except SystemExit as end:
        codes.append(end.code or 0)
print(json.dumps({"codes": codes, "modules": sorted(sys.modules)}), file=sys.stderr)
"""

HEAVY = ("langgraph", "langchain_core", "langsmith", "httpx", "aiosqlite", "asyncio.base_events")


def loaded(desk: Desk, *commands: list[str]) -> set[str]:
    """Every module that a fresh process has loaded after these commands, which all have succeeded."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)],
        cwd=desk.folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stderr.splitlines()[-1])
    assert told["codes"] == [0] * len(commands), done.stderr
    return set(told["modules"])


def test_reading_deciding_and_verifying_do_not_import_langgraph(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    (tmp_path / "signoff.yaml").write_text(POLICY)
    ids = [desk.ticket({"amount": number}).id for number in range(5)]
    digests = [desk.signoff.ticket(id_).digest for id_ in ids]
    audits = [open_audit(desk.signoff) for _ in range(2)]
    by = ["--as", "ana"]
    modules = loaded(
        desk,
        ["list"],
        ["show", ids[0]],
        ["approve", ids[0], "--digest", digests[0], *by],
        ["reject", ids[1], *by],
        ["revise", ids[2], "--args", '{"amount": 7}', "--digest", digests[2], *by],
        ["revise", ids[3], "--feedback", "no", *by],
        ["comment", ids[4], "hm", *by],
        ["withdraw", ids[4], *by],
        ["erase", ids[4], "--yes", "-r", "asked", *by],
        ["list", "--audits"],
        ["confirm", audits[0].id, "--digest", audits[0].digest, *by],
        ["flag", audits[1].id, *by],
        ["history", ids[2]],
        ["expire"],
        ["seal"],
        ["verify"],
        ["policy", "check"],
        ["policy", "schema"],
        ["--help"],
    )
    assert sorted(modules & set(HEAVY)) == []
    assert {"langgraph_signoff.desk", "jsonschema", "rich.table"} <= modules  # it did do the work


def test_a_list_in_json_loads_neither_rich_nor_what_edits_need(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.ticket()
    spared = {*HEAVY, "rich.console", "jsonschema", "jsonpatch", "ruamel.yaml"}
    assert sorted(loaded(desk, ["list", "--json"]) & spared) == []

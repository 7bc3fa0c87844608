"""A server that dies between a decision's record and the run that would use it: both are found again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from httpx import HTTPError

from cli_support import Desk
from langgraph_signoff import Query, Standing
from serving import HERE, serving_examples

YES = {"decisions": [{"type": "approve"}]}


@pytest.mark.xdist_group("server that dies")
def test_a_server_killed_between_a_decision_and_its_run_loses_neither_and_runs_it_once(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    shutil.copy(HERE / "served" / "dying.py", folder)
    with serving_examples(folder, auth={"path": "./dying.py:auth"}) as server:
        agent, ana = server.client("agent"), server.client("ana")
        thread = agent.threads.create()["thread_id"]
        agent.runs.wait(thread, "minimal", input={"messages": [("user", "Pay invoice 114")]})
        (folder / "die").touch()
        with pytest.raises(HTTPError):
            ana.runs.wait(thread, "minimal", command={"resume": YES})
        assert server.process
        assert server.process.wait(20) == -9
        [ticket] = server.signoff.find(Query(thread_id=thread))
        assert (ticket.standing, ticket.approved_by) == (Standing.APPROVED, ("ana",))
        (folder / "die").unlink()
        server.start()
        assert server.client("ana").threads.get(thread)["status"] == "interrupted"
        desk = Desk(tmp_path)
        resume = ("resume", "--all", "--url", server.url, "--json")
        [run] = desk.run(*resume, SIGNOFF_TOKEN="ben-token").json["runs"]
        assert (run["thread_id"], run["status"], run["says"]) == (thread, "completed", "Invoice paid.")
        assert desk.run(*resume, SIGNOFF_TOKEN="ben-token").json == {"runs": [], "errors": []}
        ticket = server.signoff.ticket(ticket.id)
        assert (ticket.standing, ticket.requester) == (Standing.EXECUTED, "agent")
        kinds = [entry.kind for entry in server.signoff.history(ticket)]
        assert kinds == ["opened", "decided", "claimed", "executed"]
        assert server.signoff.verify().is_whole

"""`signoff demo`: real processes, one of them killed, and counts that are read from files."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from langgraph_signoff.cli.demo import _as_promised, _console, _tell_gated
from langgraph_signoff.demo.story import Effects, Stage

pytestmark = pytest.mark.xdist_group("demo")  # one playing of the demo serves several tests


def signoff(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "langgraph_signoff.cli", *words]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SIGNOFF_")}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, env=environment)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("demo") / "kept"
    done = signoff("demo", "--keep", str(folder), cwd=folder.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, folder


def test_the_demo_is_played_by_seven_processes_and_the_record_names_two_of_them(played: tuple[str, Path]) -> None:
    told, folder = played
    pids = re.findall(r"pid (\d+)", told)
    assert len(set(pids)) == len(pids) == 7
    stage = Stage(folder)
    runner, finder = (
        next(e for e in stage.signoff.history(stage.tickets()["export_customers"]) if e.kind == kind)
        for kind in ("claimed", "in_doubt")
    )
    assert f'"pid": {pids[2]},' in runner.body["owner"]
    assert f'"pid": {pids[3]},' in finder.body["found_by"]


def test_the_approved_export_was_made_once_and_by_the_bare_interrupt_twice(played: tuple[str, Path]) -> None:
    told, folder = played
    stage = Stage(folder)
    gated, bare = stage.effects("crm_export"), stage.effects("bare")
    assert gated.is_export_run(1)
    assert bare.is_export_run(2)
    assert re.search(rf"signoff +{gated.rows:,} +1 +0\n", told)
    assert re.search(rf"bare interrupt\(\) +{bare.rows:,} +2 +0\n", told)


def test_the_story_says_what_was_seen_at_each_step(played: tuple[str, Path]) -> None:
    told, _ = played
    told = " ".join(told.split())
    assert "…" not in told
    for words in (
        "the run ends as pending_approval",
        "Changes the export to active_customers: only active customers agreed to be in a CRM.",
        "Rejects the mail: nobody agreed to get this mail.",
        "On the record it is running.",
        "the run is completed.",
        "executed by verify",
        "Approved once, killed once, made once.",
    ):
        assert words in told


def test_each_command_that_the_demo_invites_to_works_on_the_kept_files(played: tuple[str, Path]) -> None:
    told, folder = played
    invited = [shlex.split(line)[1:] for line in told.splitlines() if line.startswith("  signoff --ledger")]
    assert len(invited) == 4
    for words in invited:
        done = signoff(*words, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()


def test_the_kept_thread_can_be_resumed_as_langgraph_json_says_and_has_finished(played: tuple[str, Path]) -> None:
    _, folder = played
    before = Stage(folder).effects("crm_export")
    done = signoff(
        *("--ledger", "crm_export/signoff.db", "resume", "--thread", "crm-1"),
        *("--checkpointer", "sqlite:///crm_export/checkpoints.db"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    assert "nothing: it has finished" in done.stdout
    assert done.stderr == "", "the graph's own policy names every tool"
    assert Stage(folder).effects("crm_export") == before


def test_a_folder_that_holds_something_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("dear diary")
    done = signoff("demo", "--keep", ".", cwd=tmp_path)
    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["diary.txt"]


def test_a_demo_whose_export_is_made_twice_says_that_the_promise_was_broken(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    policy = tmp_path / "crm_export.yaml"
    # A lie: an export that is declared harmless to repeat is repeated.
    text = policy.read_text()
    policy.write_text(text.replace("  export_customers:\n", "  export_customers:\n    idempotent: true\n"))
    scenes = _tell_gated(_console(), stage)
    effects = stage.effects("crm_export")
    assert scenes[2].killed
    assert effects.is_export_run(2)
    assert not _as_promised(scenes, effects)


@pytest.mark.parametrize(
    "effects",
    [
        Effects(rows=0, approved=10, times=(0,), mails=0),
        Effects(rows=15, approved=10, times=(1, 2), mails=0),
        Effects(rows=30, approved=10, times=(1,), mails=0),
        Effects(rows=10, approved=10, times=(1,), mails=3),
        Effects(rows=0, approved=0, times=(), mails=0),
    ],
)
def test_no_export_half_an_export_a_stranger_or_a_mail_does_not_count_as_one_export(effects: Effects) -> None:
    assert not effects.is_export_run(1)

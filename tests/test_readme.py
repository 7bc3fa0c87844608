"""The README's programs run.

Every ```python block runs, and so does every ```console, ```bash or ```sh block that is marked with `<!-- run -->` on the line
before it; `<!-- not run: reason -->` takes a Python block out. The blocks of the file run in their order, in one folder; Python
blocks share their names. In a console block lines that begin with `$ ` are commands, and what stands below one must appear in
its output in that order, `...` standing for anything.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[1] / "README.md"
SHELLS = ("console", "bash", "sh")

_FENCE = re.compile(
    r"(?:<!-- (?P<mark>run|not run: [^>]+?) -->\n+)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """A fenced block that is to run; `line` is where its text begins."""

    language: str
    text: str
    line: int


def blocks(markdown: str) -> Iterator[Block]:
    for found in _FENCE.finditer(markdown):
        mark, language = found["mark"] or "", found["language"]
        if (language == "python" and not mark.startswith("not run")) or (language in SHELLS and mark == "run"):
            yield Block(language, found["text"], markdown.count("\n", 0, found.start("text")) + 1)


def run_blocks(markdown: str, folder: Path) -> int:
    """Runs the blocks in a folder; how many there were. Raises what a block raises, AssertionError for a failed command."""
    names: dict[str, Any] = {"__name__": "__main__"}
    count = 0
    for block in blocks(markdown):
        count += 1
        if block.language == "python":
            # The line numbers of a traceback are the README's.
            exec(compile("\n" * (block.line - 1) + block.text, str(README), "exec"), names)
        elif block.language == "console" and block.text.startswith("$ "):
            for command, expected in transcript(block.text):
                assert_says(shell(command, folder), expected)
        else:
            shell(block.text, folder)
    return count


def transcript(text: str) -> Iterator[tuple[str, list[str]]]:
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, *expected = part.rstrip("\n").split("\n")
        while command.endswith("\\") and expected:
            command = command[:-1] + expected.pop(0)
        yield command, expected


def shell(command: str, folder: Path) -> str:
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SIGNOFF_")} | {"PATH": places}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def assert_says(said: str, expected: list[str]) -> None:
    rest = said
    for line in expected:
        found = re.search(".*".join(map(re.escape, line.strip().split("..."))), rest)
        assert found, f"{line!r} is not in what is left of the output:\n{rest}"
        rest = rest[found.end() :]


def test_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_blocks(README.read_text("utf-8"), tmp_path) >= 1
    said = capsys.readouterr().out
    assert said.index("pending_approval") < said.index("completed")


# The runner itself --------------------------------------------------------------------------------------------------------


def test_blocks_run_in_order_and_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    markdown = textwrap.dedent(
        """
        ```python
        open("a", "w").write("one two three")
        x = 1
        ```
        <!-- run -->
        ```console
        $ cat a; echo
        one ... three
        $ echo b > \\
            b
        ```
        ```console
        $ exit 9
        ```
        <!-- not run: it needs a key -->
        ```python
        raise SystemExit
        ```
        ```python
        assert open("b").read() == "b\\n" and x == 1
        ```
        """
    )
    assert run_blocks(markdown, tmp_path) == 3


@pytest.mark.parametrize("text", ["$ exit 1", "$ echo one\ntwo", "$ printf 'one\\ntwo\\n'\ntwo\none"])
def test_a_block_that_fails_or_says_something_else_is_an_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        run_blocks(f"<!-- run -->\n```console\n{text}\n```\n", tmp_path)


def test_the_lines_of_a_block_are_those_of_the_file() -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        run_blocks("# title\n\n```python\n1 / 0\n```\n", Path())
    assert raised.traceback[-1].lineno == 3

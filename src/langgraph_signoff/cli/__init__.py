"""The command `signoff`: lists, shows, decides, resumes, checks. Here the environment is read; below, nothing depends on it."""

from __future__ import annotations


def main() -> None:
    """Runs the command that the arguments of this process name, and ends the process with its exit code."""
    from langgraph_signoff.cli.app import run

    run()

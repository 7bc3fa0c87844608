"""Asks whoever sits at the terminal before anything is decided."""

from __future__ import annotations

import typer

from langgraph_signoff.cli.exits import NO


def ask(question: str) -> None:
    """Returns if they say yes; else the command ends, and nothing was decided."""
    if not typer.confirm(question, default=False):
        print("nothing was decided")
        raise typer.Exit(NO)

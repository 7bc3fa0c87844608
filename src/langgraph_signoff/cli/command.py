"""Makes commands out of functions of a `Shell`: the shared options may stand before or after a command's name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import typer

from langgraph_signoff.cli.options import (
    HEADERS_OPTION,
    JSON_OPTION,
    LEDGER_OPTION,
    NAME_OPTION,
    POLICY_OPTION,
    URL_OPTION,
)
from langgraph_signoff.cli.shell import Shell

_SHARED = {"ledger": LEDGER_OPTION, "policy": POLICY_OPTION, "name": NAME_OPTION, "json": JSON_OPTION}
_SHARED |= {"url": URL_OPTION, "headers": HEADERS_OPTION}
ELSEWHERE = ("url", "headers")
"""What a command takes besides, if it also works on a server's ledger."""
READS, DECIDES, CHECKS = ("ledger", "json"), ("ledger", "policy", "name", "json"), ("json",)

Body = Callable[..., None]


def command(app: typer.Typer, name: str, *shared: str) -> Callable[[Body], Body]:
    """Registers a function whose first parameter is a `Shell`, with the shared options that it names."""

    def register(body: Body) -> Body:
        own = list(inspect.signature(body, eval_str=True).parameters.values())[1:]

        def run(ctx: typer.Context, **given: Any) -> None:
            options = Shell(**{key: given.pop(key) for key in shared})
            body(options.over(ctx.find_object(Shell) or Shell()), **given)

        # Typer reads a command's options from its signature.
        parameters = [_keyword("ctx", typer.Context), *(p.replace(kind=p.KEYWORD_ONLY) for p in own)]
        parameters += [_keyword(key, _SHARED[key], default=False if key == "json" else None) for key in shared]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # functions may carry one
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        run.__doc__ = body.__doc__
        app.command(name)(run)
        return body

    return register


def _keyword(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)

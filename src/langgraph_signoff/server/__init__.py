"""Serving gated graphs with LangGraph Server: other people's clients decide, as the server's authenticated users.

`guard(auth, signoff)` belongs into the file that langgraph.json names under `auth.path`, and `app(signoff)`, which comes with
the extra `server`, into the one under `http.app`. `Remote` is the other end of `app`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langgraph_signoff.server.client import Remote
    from langgraph_signoff.server.handler import guard
    from langgraph_signoff.server.routes import app

__all__ = ["Remote", "app", "guard"]

_PLACES = {"Remote": "client", "app": "routes", "guard": "handler"}


def __getattr__(name: str) -> Any:
    # Each needs other packages: none is loaded before it is wanted.
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)

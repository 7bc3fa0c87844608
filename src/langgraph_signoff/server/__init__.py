"""Serving gated graphs with LangGraph Server: other people's clients decide, as the server's authenticated users.

It comes with the extra `server`. `guard(auth, signoff)` belongs into the file that langgraph.json names under `auth.path`,
`app(signoff)` into the one under `http.app`.
"""

from langgraph_signoff.server.guard import guard

__all__ = ["guard"]

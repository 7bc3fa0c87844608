"""Who asks, by a header; and an owner's threads are the owner's and the reviewers'."""

from __future__ import annotations

from typing import Any

from langgraph_sdk import Auth

from langgraph_signoff import Signoff, server

auth = Auth()


@auth.authenticate
async def authenticate(headers: dict[bytes, bytes]) -> Any:
    user = headers.get(b"x-user") or headers.get(b"authorization", b"").removeprefix(b"Bearer ")
    if not user:
        raise Auth.exceptions.HTTPException(401, "no x-user")
    if user.startswith(b"unsure "):
        return {"identity": user.removeprefix(b"unsure ").decode(), "is_authenticated": False}
    return user.decode()


@auth.on.threads
async def shared(ctx: Auth.types.AuthContext, value: Any) -> Any:
    """Whoever makes a private thread keeps it; others are everybody's."""
    if ctx.user.identity == "stranger":
        return {"owner": "stranger"}
    return None


signoff = Signoff("signoff.db")
server.guard(auth, signoff)
app = server.app(signoff)

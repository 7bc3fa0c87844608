"""Who may decide at a server, and the ledger over HTTP: what `langgraph.json` names under `auth` and under `http`.

A demonstration: the tokens stand here. A real server asks its identity provider, and its policy names the people.
"""

from __future__ import annotations

from langgraph_sdk import Auth

from langgraph_signoff import Signoff, server

USERS = {"Bearer ana-token": "ana", "Bearer ben-token": "ben", "Bearer agent-token": "agent"}

signoff = Signoff("signoff.db")  # without a policy of its own each ticket is judged by the one that opened it
auth = Auth()


@auth.authenticate
async def authenticate(authorization: str | None) -> str:
    """The user of a token."""
    if authorization not in USERS:
        raise Auth.exceptions.HTTPException(
            401, "send Authorization: Bearer ana-token, or another one of graphs/serve.py"
        )
    return USERS[authorization]


server.guard(auth, signoff)  # what a client answers to a pause decides as this user, or comes back as 403, 409 or 422
app = server.app(signoff)  # `signoff list --url ...`, and so on

"""Links in messages: tokens that bind one person to one ticket as it was shown, for a while. Pure.

A token is signed and not encrypted: it names a ticket and a person, and nothing that can be guessed at of the arguments.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from langgraph_signoff.entries import moment, stamp
from langgraph_signoff.errors import LinkRefused

_LONGEST = 1000  # characters of a token; ours have some three hundred
_PURPOSE = b"langgraph-signoff: links in messages, 1"


@dataclass(frozen=True, slots=True)
class Link:
    """What a token says: who may use it, once, on which generation of which ticket, and until when.

    `name`: what it is called when it is used up. `bound`: names the digest of the action to whoever has the secret.
    """

    name: str
    ticket_id: str
    person: str
    generation: int
    bound: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs and reads tokens with a secret of the ledger, which other purposes cannot use or be used for."""

    secret: bytes

    def make(self, *, source: str, ticket: tuple[str, int, str], person: str, until: datetime) -> Link:
        """The link for a person to a ticket: its id, generation and digest. The same `source` gives the same link."""
        ticket_id, generation, digest = ticket
        name = self._mac("name", source, ticket_id, str(generation), person)[:32]
        return Link(name, ticket_id, person, generation, self.bound(digest), until)

    def bound(self, digest: str) -> str:
        """What stands in a token for a digest: arguments can be guessed by their plain digest."""
        return self._mac("digest", digest)[:32]

    def sign(self, link: Link) -> str:
        """The token of a link: two parts of base64 that a URL can hold."""
        words = [link.name, link.ticket_id, link.person, link.generation, link.bound, stamp(link.until)]
        said = _encode(json.dumps(words, separators=(",", ":")).encode())
        return f"{said}.{_encode(bytes.fromhex(self._mac('token', said)))}"

    def read(self, token: str, *, now: datetime) -> Link:
        """The link of a token that this secret has signed. Raises LinkRefused for any other, and for one that is over."""
        said, _, mac = token.partition(".") if len(token) <= _LONGEST and token.isascii() else ("", "", "")
        if not hmac.compare_digest(mac, _encode(bytes.fromhex(self._mac("token", said)))):
            raise LinkRefused(
                "this link was not made here, or has been changed; open the ticket where you decide others"
            )
        name, ticket_id, person, generation, bound, until = _decode(said)
        if now >= moment(until):
            raise LinkRefused(
                f"this link held until {until[:16]} UTC; open ticket {ticket_id[:12]} where you decide others"
            )
        return Link(name, ticket_id, person, generation, bound, moment(until))

    def _mac(self, *parts: str) -> str:
        key = hmac.new(self.secret, _PURPOSE, hashlib.sha256).digest()
        return hmac.new(key, json.dumps(parts).encode(), hashlib.sha256).hexdigest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(said: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(said + "=" * (-len(said) % 4)))

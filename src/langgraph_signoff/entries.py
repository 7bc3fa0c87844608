"""What the ledger holds: chained entries, rows of current standings, leases, threads to wake."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from langgraph_signoff.canonical import plain_json


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened, chained to the one before it in its stream.

    `body` stays for ever. `contents` is what people may have erased; then it is None and `erased` is true. `body_json`,
    `salt` and `contents_json` are the stored forms that the hashes were taken over.
    """

    stream: str
    seq: int
    at: str
    kind: str
    body_json: str
    prev: str
    hash: str
    contents_hash: str = ""
    salt: str | None = None
    contents_json: str | None = None

    @property
    def body(self) -> dict[str, Any]:
        """The open part, parsed."""
        return json.loads(self.body_json)  # type: ignore[no-any-return]  # written by `link`, always an object

    @property
    def contents(self) -> dict[str, Any]:
        """The erasable part, parsed; empty when there is none or it was erased."""
        return json.loads(self.contents_json) if self.contents_json else {}

    @property
    def erased(self) -> bool:
        """Whether there was an erasable part and it is gone."""
        return bool(self.contents_hash) and self.contents_json is None

    def without_contents(self) -> Entry:
        """The entry as it is once its erasable part is erased."""
        return replace(self, salt=None, contents_json=None)


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody wants to add to a stream: `body` stays for ever, `contents` can be erased one day."""

    kind: str
    body: dict[str, Any]
    contents: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Where a ticket stands, for lists. `due_at` is when silence changes that, None if it never does; `next_at`, when the clock
    next adds anything to it.

    `told`: whether what came of it has been said where somebody waits for it. `audited`: of an audit, the policy's entry.
    `asked`: whom the policy asks for a word on it, as JSON; empty for anybody. `in_hand`: who has it. `idle_since`: when anybody
    last moved what is in hand, or approved and unused. `word_at`: when somebody last gave their word, or silence ended it.
    """

    id: str
    thread_id: str
    standing: str
    queue: str
    priority: int
    due_at: str | None
    opened_at: str
    tool: str
    graph: str
    reason_code: str
    seq: int
    digest: str
    turn: str
    message_id: str
    previous: str | None
    round: int
    reviewed: bool
    told: bool
    audited: str = ""
    next_at: str | None = None
    asked: str = ""
    in_hand: str = ""
    idle_since: str | None = None
    word_at: str | None = None


@dataclass(frozen=True, slots=True)
class GrantRow:
    """Where a grant stands, so that it is found. `digest`: of its exact arguments, empty for a pattern of them.

    `ended`: whether no call can be a use of it any more; not whether its time is over.
    """

    id: str
    tool: str
    digest: str
    until: str
    ended: bool
    seq: int


@dataclass(frozen=True, slots=True)
class Lease:
    """Who works on something, until when."""

    token: str
    owner: str
    until: str


@dataclass(frozen=True, slots=True)
class Wake:
    """A thread that may have something to go on with. `entry` is the hash of the newest entry that says so."""

    thread_id: str
    entry: str
    since: str


@dataclass(frozen=True, slots=True)
class Notice:
    """One event of a ticket that one channel is to be told, and how far that has come. Not part of the record.

    `entry`: the hash of the entry that it tells of, written at `since`. `person`: whom it is for, empty for whoever reads the
    channel. `state`: `waiting` (to be tried at `at`, being sent by `owner` if there is one), `sent` or `given_up` (then `at` is
    when). `until`: when an owner on another host counts as dead. `problem`: what the last try came to.
    """

    entry: str
    channel: str
    person: str
    ticket: str
    seq: int
    event: str
    since: str
    state: str
    at: str
    tries: int = 0
    owner: str = ""
    until: str = ""
    problem: str = ""


def stamp(moment: datetime) -> str:
    """A moment as fixed-width UTC text that sorts as the moments do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def moment(text: str) -> datetime:
    """The moment that `stamp` wrote."""
    return datetime.fromisoformat(text)


def link(stream: str, last: Entry | None, drafts: list[Draft], now: datetime) -> list[Entry]:
    """Chains drafts to the last entry of a stream. Time never runs backwards within a stream."""
    at = max(stamp(now), last.at) if last else stamp(now)
    entries = []
    for draft in drafts:
        last = _link(stream, last, draft, at)
        entries.append(last)
    return entries


def _link(stream: str, last: Entry | None, draft: Draft, at: str) -> Entry:
    seq, prev = (last.seq + 1, last.hash) if last else (1, "")
    body = plain_json(draft.body)
    salt, contents, contents_hash = None, None, ""
    if draft.contents is not None:
        salt, contents = secrets.token_hex(16), plain_json(draft.contents)
        contents_hash = hash_contents(salt, contents)
    hash_ = hash_entry(stream, seq, at, draft.kind, body, contents_hash, prev)
    return Entry(stream, seq, at, draft.kind, body, prev, hash_, contents_hash, salt, contents)


def hash_contents(salt: str, contents_json: str) -> str:
    """SHA-256 in hex of erasable contents, salted so that they cannot be guessed from it."""
    return hashlib.sha256(f"{salt}\n{contents_json}".encode()).hexdigest()


def hash_entry(stream: str, seq: int, at: str, kind: str, body_json: str, contents_hash: str, prev: str) -> str:
    """SHA-256 in hex over every stored field of an entry, each field's length included."""
    fields = (stream, str(seq), at, kind, body_json, contents_hash, prev)
    return hashlib.sha256("".join(f"{len(field)}:{field}," for field in fields).encode()).hexdigest()

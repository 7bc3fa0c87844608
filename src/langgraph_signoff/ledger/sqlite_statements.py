"""The statements of a ledger in a SQLite file; those of grants, notices, overviews and pages stand beside their readers."""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter

from langgraph_signoff.entries import Row

ROW_COLUMNS = ", ".join(field.name for field in fields(Row))
ROW_VALUES = attrgetter(*(field.name for field in fields(Row)))
"""The values of a row, as `PUT_ROW` and `REPLACE_ROW` take them."""
ENTRY_COLUMNS = "stream, seq, at, kind, body, prev, entries.hash, contents_hash, salt, data"

READ_HISTORY = f"SELECT {ENTRY_COLUMNS} FROM entries LEFT JOIN contents ON contents.hash = contents_hash WHERE stream = ? ORDER BY seq"
READ_HISTORIES = f"""
    SELECT {ENTRY_COLUMNS} FROM entries LEFT JOIN contents ON contents.hash = contents_hash
    WHERE stream IN (SELECT value FROM json_each(?)) ORDER BY stream, seq
"""
READ_FIRST_AND_LAST = f"""
    SELECT {ENTRY_COLUMNS} FROM json_each(?) AS asked
    JOIN entries ON stream = asked.value AND seq IN (1, (SELECT max(seq) FROM entries WHERE stream = asked.value))
    LEFT JOIN contents ON contents.hash = contents_hash ORDER BY stream, seq
"""
READ_ENTRIES = f"SELECT position, {ENTRY_COLUMNS} FROM entries LEFT JOIN contents ON contents.hash = contents_hash WHERE position > ? ORDER BY position LIMIT 1000"
ADD_ENTRY = (
    "INSERT INTO entries (stream, seq, at, kind, body, prev, hash, contents_hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
ADD_CONTENTS = "INSERT INTO contents (hash, salt, data) VALUES (?, ?, ?)"
ADD_POLICY = "INSERT OR IGNORE INTO policies (version, document) VALUES (?, ?)"
# Only what can change is set: SQLite rewrites every index whose column is named.
PUT_ROW = f"""
    INSERT INTO standings ({ROW_COLUMNS}) VALUES ({", ".join("?" * len(fields(Row)))})
    ON CONFLICT (id) DO UPDATE SET
        standing = excluded.standing, due_at = excluded.due_at, queue = excluded.queue, priority = excluded.priority,
        reason_code = excluded.reason_code, seq = excluded.seq, reviewed = excluded.reviewed,
        told = excluded.told, next_at = excluded.next_at,
        asked = excluded.asked, in_hand = excluded.in_hand, idle_since = excluded.idle_since, word_at = excluded.word_at
"""
READ_ORDER = """
    SELECT stream FROM entries WHERE stream IN (SELECT value FROM json_each(?)) AND kind = ?
    GROUP BY stream ORDER BY max(position)
"""
READ_LAST = "SELECT coalesce(max(position), 0) FROM entries"
READ_END = "SELECT coalesce(max(seq), 0) FROM entries WHERE stream = ?"
READ_POLICY = "SELECT document FROM policies WHERE version = ?"
READ_POLICIES = "SELECT version, document FROM policies ORDER BY version"
READ_LEASE = "SELECT token, owner, until FROM leases WHERE name = ?"
ADD_LEASE = "INSERT OR IGNORE INTO leases (name, token, owner, until) VALUES (?, ?, ?, ?)"
MOVE_LEASE = "UPDATE leases SET token = ?, owner = ?, until = ? WHERE name = ? AND token = ? AND until = ?"
DROP_LEASE = "DELETE FROM leases WHERE name = ? AND token = ? AND until = ?"
ADD_WAKE = "INSERT INTO wakes (thread_id, entry, since) VALUES (?, ?, ?) ON CONFLICT (thread_id) DO UPDATE SET entry = excluded.entry"
READ_WAKES = "SELECT thread_id, entry, since FROM wakes ORDER BY since"
READ_STALE_WAKES = """
    SELECT thread_id, entry, since FROM wakes WHERE since <= ? AND (since, thread_id) > (?, ?)
    ORDER BY since, thread_id LIMIT 100
"""
READ_WAKE = "SELECT thread_id, entry, since FROM wakes WHERE thread_id = ?"
DROP_WAKE = "DELETE FROM wakes WHERE thread_id = ? AND entry = ?"
FIND_IDS = "SELECT id FROM standings WHERE id >= ? AND id < ? ORDER BY id LIMIT 2"
TALLY = "SELECT tool, standing, count(*) FROM standings WHERE thread_id = ? AND message_id <> ? GROUP BY tool, standing"
COUNT_AUDITED = (
    "SELECT count(*) FROM (SELECT 1 FROM standings WHERE audited <> '' AND audited = ? AND tool = ? LIMIT ?)"
)
COUNT_IN_HAND = """
    SELECT in_hand, count(*) FROM standings
    WHERE in_hand <> '' AND standing IN ('pending', 'in_doubt', 'under_audit') GROUP BY in_hand
"""
READ_SECRET = "SELECT value FROM secrets WHERE name = 'audits'"
ADD_SECRET = "INSERT OR IGNORE INTO secrets (name, value) VALUES ('audits', ?)"
READ_ROWS = f"SELECT {ROW_COLUMNS} FROM standings WHERE id IN (SELECT value FROM json_each(?))"
_KNOWN_AND_END = """
    SELECT (SELECT coalesce(max(seq), 0) FROM entries WHERE stream = ?), id, reviewed
    FROM (SELECT 1) LEFT JOIN standings ON id IN (%s)
"""
READ_KNOWN_AND_END = _KNOWN_AND_END % "?"
READ_ALL_KNOWN_AND_END = _KNOWN_AND_END % "SELECT value FROM json_each(?)"
READ_ALL_ROWS = f"SELECT {ROW_COLUMNS} FROM standings WHERE id > ? ORDER BY id LIMIT 1000"
REPLACE_ROW = f"INSERT OR REPLACE INTO standings ({ROW_COLUMNS}) VALUES ({', '.join('?' * len(fields(Row)))})"
ERASE = "UPDATE contents SET salt = NULL, data = NULL WHERE data IS NOT NULL AND hash IN (SELECT contents_hash FROM entries WHERE stream = ?)"

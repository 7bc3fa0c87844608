-- The record: append-only entries, chained by stream.
CREATE TABLE entries (
    position      INTEGER PRIMARY KEY,
    stream        TEXT    NOT NULL,
    seq           INTEGER NOT NULL,
    at            TEXT    NOT NULL,
    kind          TEXT    NOT NULL,
    body          TEXT    NOT NULL,
    contents_hash TEXT    NOT NULL DEFAULT '',
    prev          TEXT    NOT NULL,
    hash          TEXT    NOT NULL,
    UNIQUE (stream, seq)
) STRICT;

CREATE TRIGGER entries_keep BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;

CREATE TRIGGER entries_stay BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;

-- What people may ask to have erased: the chain holds only `hash`, which is salted.
CREATE TABLE contents (
    hash   TEXT PRIMARY KEY,
    salt   TEXT,
    data   TEXT
) STRICT, WITHOUT ROWID;

CREATE TRIGGER contents_keep BEFORE UPDATE ON contents WHEN NEW.data IS NOT NULL OR NEW.salt IS NOT NULL OR NEW.hash <> OLD.hash
BEGIN SELECT RAISE(ABORT, 'contents can only be erased'); END;

CREATE TRIGGER contents_stay BEFORE DELETE ON contents
BEGIN SELECT RAISE(ABORT, 'contents can only be erased'); END;

CREATE TABLE policies (
    version  TEXT PRIMARY KEY,
    document TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER policies_keep BEFORE UPDATE ON policies
BEGIN SELECT RAISE(ABORT, 'a policy version never changes'); END;

CREATE TRIGGER policies_stay BEFORE DELETE ON policies
BEGIN SELECT RAISE(ABORT, 'a policy version never changes'); END;

-- Current standings, derived from the entries, written with them so that lists are fast.
CREATE TABLE standings (
    id          TEXT PRIMARY KEY,
    thread_id   TEXT    NOT NULL,
    standing    TEXT    NOT NULL,
    queue       TEXT    NOT NULL,
    priority    INTEGER NOT NULL,
    due_at      TEXT,
    opened_at   TEXT    NOT NULL,
    tool        TEXT    NOT NULL,
    graph       TEXT    NOT NULL,
    reason_code TEXT    NOT NULL,
    seq         INTEGER NOT NULL,
    digest      TEXT    NOT NULL,
    turn        TEXT    NOT NULL,
    message_id  TEXT    NOT NULL,
    previous    TEXT,
    round       INTEGER NOT NULL,
    reviewed    INTEGER NOT NULL,
    told        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX standings_pending ON standings (priority DESC, due_at, id) WHERE standing = 'pending';
CREATE INDEX standings_pending_by_queue ON standings (queue, priority DESC, due_at, id) WHERE standing = 'pending';
CREATE INDEX standings_due ON standings (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX standings_of_thread ON standings (thread_id, tool);
CREATE INDEX standings_in_doubt ON standings (due_at, id) WHERE standing = 'in_doubt';

-- Threads that may have something to go on with. Not part of the record.
CREATE TABLE wakes (
    thread_id TEXT PRIMARY KEY,
    entry     TEXT NOT NULL,
    since     TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX wakes_since ON wakes (since);

-- Who is at work right now. Not part of the record.
CREATE TABLE leases (
    name  TEXT PRIMARY KEY,
    token TEXT NOT NULL,
    owner TEXT NOT NULL,
    until TEXT NOT NULL
) STRICT, WITHOUT ROWID;

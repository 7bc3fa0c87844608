-- What keeps the choice of audits from being predicted. Not part of the record, and never shown.
CREATE TABLE secrets (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER secrets_keep BEFORE UPDATE ON secrets
BEGIN SELECT RAISE(ABORT, 'a secret never changes'); END;

CREATE TRIGGER secrets_stay BEFORE DELETE ON secrets
BEGIN SELECT RAISE(ABORT, 'a secret never changes'); END;

-- Of an audit: the entry of the policy under which its action ran.
ALTER TABLE standings ADD COLUMN audited TEXT NOT NULL DEFAULT '';

CREATE INDEX standings_audited ON standings (audited, tool) WHERE audited <> '';
CREATE INDEX standings_under_audit ON standings (priority DESC, due_at, id) WHERE standing = 'under_audit';
CREATE INDEX standings_flagged ON standings (told, priority DESC, due_at, id) WHERE standing = 'flagged';

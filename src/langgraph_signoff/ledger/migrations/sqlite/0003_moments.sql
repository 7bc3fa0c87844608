-- When the clock has something to add: a reminder, an escalation or the end.
ALTER TABLE standings ADD COLUMN next_at TEXT;
UPDATE standings SET next_at = due_at WHERE due_at IS NOT NULL;

DROP INDEX standings_due;
CREATE INDEX standings_next ON standings (next_at, id) WHERE next_at IS NOT NULL;

-- What expired may set off a call instead; of all that did so far, nothing is left to be done.
UPDATE standings SET told = 1 WHERE standing = 'expired';
CREATE INDEX standings_expired ON standings (told, priority DESC, due_at, id) WHERE standing = 'expired';

-- Where each grant stands, derived from the entries of its stream. `digest`: of the exact arguments, empty for a pattern.
CREATE TABLE grants (
    id     TEXT PRIMARY KEY,
    tool   TEXT    NOT NULL,
    digest TEXT    NOT NULL,
    until  TEXT    NOT NULL,
    ended  INTEGER NOT NULL,
    seq    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX grants_of_tool ON grants (tool, digest, until) WHERE ended = 0;
CREATE INDEX grants_until ON grants (until, id) WHERE ended = 0;

-- Which tickets were uses of a plan or a grant: a grant may have thousands.
CREATE INDEX entries_used ON entries (stream, CASE WHEN json_valid(body) THEN json_extract(body, '$.ticket') END) WHERE kind = 'used';

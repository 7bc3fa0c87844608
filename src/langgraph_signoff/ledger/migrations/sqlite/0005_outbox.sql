-- What is to be told to whom: one row for each event of a ticket, channel and person. Not part of the record.
CREATE TABLE outbox (
    entry   TEXT    NOT NULL,
    channel TEXT    NOT NULL,
    person  TEXT    NOT NULL,
    ticket  TEXT    NOT NULL,
    seq     INTEGER NOT NULL,
    event   TEXT    NOT NULL,
    since   TEXT    NOT NULL,
    state   TEXT    NOT NULL,
    at      TEXT    NOT NULL,
    tries   INTEGER NOT NULL,
    owner   TEXT    NOT NULL,
    until   TEXT    NOT NULL,
    problem TEXT    NOT NULL,
    PRIMARY KEY (entry, channel, person)
) STRICT, WITHOUT ROWID;

CREATE INDEX outbox_waiting ON outbox (channel, at) WHERE state = 'waiting';
CREATE INDEX outbox_unsent ON outbox (since) WHERE state <> 'sent';
CREATE INDEX outbox_of_ticket ON outbox (ticket);

-- The first schema. One text for SQLite and PostgreSQL: TEXT and BIGINT only. Times are in seconds
-- since the epoch where nothing else is said.

-- What the state knows about itself: the schema's version, the cluster's name.
CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- Numbers that only grow; each is given out once, in the transaction that uses it.
CREATE TABLE counters (
    name TEXT NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('sign-in-end', 0);

CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    -- the name by which names are compared
    folded TEXT NOT NULL UNIQUE,
    -- JSON arrays; no logins means all that the roles allow
    roles TEXT NOT NULL,
    logins TEXT,
    created BIGINT NOT NULL,
    locked BIGINT,
    lock_reason TEXT,
    locked_by TEXT,
    -- argon2id, as a PHC string
    password TEXT,
    -- the secret of RFC 6238, and the last time step that was accepted
    totp TEXT,
    totp_step BIGINT NOT NULL
);

CREATE TABLE recovery_codes (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash TEXT NOT NULL,
    PRIMARY KEY (user_id, hash)
);

CREATE TABLE registered_keys (
    -- SHA-256, as ssh-keygen -l prints it
    fingerprint TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- type and key, as in authorized_keys
    line TEXT NOT NULL,
    comment TEXT NOT NULL,
    registered BIGINT NOT NULL,
    used BIGINT
);
CREATE INDEX registered_keys_of_user ON registered_keys (user_id);

CREATE TABLE invitations (
    hash TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX invitations_of_user ON invitations (user_id);

-- The sign-ins that have not ended before their time.
CREATE TABLE sign_ins (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    fingerprint TEXT NOT NULL REFERENCES registered_keys (fingerprint) ON DELETE CASCADE,
    client TEXT NOT NULL,
    started BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX sign_ins_of_user ON sign_ins (user_id);
CREATE INDEX sign_ins_of_key ON sign_ins (fingerprint);
CREATE INDEX sign_ins_by_end ON sign_ins (expires);

-- The ends of sign-ins, in the order in which they were written.
CREATE TABLE sign_in_ends (
    number BIGINT NOT NULL PRIMARY KEY,
    sign_in TEXT NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX sign_in_ends_by_time ON sign_in_ends (at);

-- From where people have signed in.
CREATE TABLE sign_in_sources (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    client TEXT NOT NULL,
    used BIGINT NOT NULL,
    PRIMARY KEY (user_id, client)
);

-- Failed attempts to sign in. The account is a name as it was typed, folded: there need be no such user.
CREATE TABLE attempts (
    id TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL,
    source TEXT NOT NULL,
    -- a key of the account that has proved itself; empty if there was none
    fingerprint TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX attempts_of_account ON attempts (account, at);
CREATE INDEX attempts_of_source ON attempts (source, at);
CREATE INDEX attempts_by_time ON attempts (at);

-- The ledger.
CREATE TABLE issued (
    -- decimal
    serial TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    -- 'signed' by a command, or for a 'connection'
    how TEXT NOT NULL,
    key_id TEXT NOT NULL,
    -- in microseconds since the epoch
    time BIGINT NOT NULL,
    principals TEXT NOT NULL,
    valid_after BIGINT NOT NULL,
    valid_before BIGINT NOT NULL,
    public_key TEXT NOT NULL,
    ca TEXT NOT NULL,
    critical_options TEXT NOT NULL
);
CREATE INDEX issued_by_time ON issued (time, serial);
CREATE INDEX issued_by_how ON issued (how, time, serial);
CREATE INDEX issued_of_key_id ON issued (key_id, time, serial);
CREATE INDEX issued_by_end ON issued (valid_before);

-- The revocations: each a JSON object, in the order of their versions.
CREATE TABLE revocations (
    version BIGINT NOT NULL PRIMARY KEY,
    line TEXT NOT NULL
);

-- How far other files have come.
CREATE TABLE marks (
    kind TEXT NOT NULL,
    authority TEXT NOT NULL,
    moves BIGINT NOT NULL,
    PRIMARY KEY (kind, authority)
);

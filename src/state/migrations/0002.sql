-- Users of an identity provider, and their authorizations there.

-- The provider and its name for the user that never changes; both, or none of them.
ALTER TABLE users ADD COLUMN issuer TEXT;
ALTER TABLE users ADD COLUMN subject TEXT;
CREATE UNIQUE INDEX users_of_provider ON users (issuer, subject);

-- What a terminal waits for, until the browser is back and the code was typed.
CREATE TABLE authorizations (
    id TEXT NOT NULL PRIMARY KEY,
    -- hashes of the link's last part, and of what the provider gives back
    ticket TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL UNIQUE,
    nonce TEXT NOT NULL,
    verifier TEXT NOT NULL,
    -- the connection of the terminal, the address of its client, and the network by which it is counted
    connection TEXT NOT NULL,
    client TEXT NOT NULL,
    source TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    -- when the browser came back: once
    returned BIGINT,
    -- the hash of the code, and whom the provider has vouched for; the roles as a JSON array
    code TEXT,
    issuer TEXT,
    subject TEXT,
    name TEXT,
    roles TEXT
);
CREATE INDEX authorizations_of_source ON authorizations (source, expires);
CREATE INDEX authorizations_by_end ON authorizations (expires);

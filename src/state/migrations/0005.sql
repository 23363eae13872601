-- Sign-ins in a browser, which have a token in place of a key. SQLite cannot drop NOT NULL: the table is
-- made again.

CREATE TABLE sign_ins_of_all (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- the key that has proved itself, or the SHA-256 of the browser's token
    fingerprint TEXT REFERENCES registered_keys (fingerprint) ON DELETE CASCADE,
    token TEXT UNIQUE,
    client TEXT NOT NULL,
    started BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    CHECK ((fingerprint IS NULL) <> (token IS NULL))
);
INSERT INTO sign_ins_of_all (id, user_id, fingerprint, client, started, expires)
    SELECT id, user_id, fingerprint, client, started, expires FROM sign_ins;
DROP TABLE sign_ins;
ALTER TABLE sign_ins_of_all RENAME TO sign_ins;
CREATE INDEX sign_ins_of_user ON sign_ins (user_id);
CREATE INDEX sign_ins_of_key ON sign_ins (fingerprint);
CREATE INDEX sign_ins_by_end ON sign_ins (expires);

-- A state as the fifth version of the schema has left it.

CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE counters (
    name TEXT NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('sign-in-end', 0);

CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    folded TEXT NOT NULL UNIQUE,
    roles TEXT NOT NULL,
    logins TEXT,
    created BIGINT NOT NULL,
    locked BIGINT,
    lock_reason TEXT,
    locked_by TEXT,
    password TEXT,
    totp TEXT,
    totp_step BIGINT NOT NULL
);

ALTER TABLE users ADD COLUMN issuer TEXT;
ALTER TABLE users ADD COLUMN subject TEXT;
CREATE UNIQUE INDEX users_of_provider ON users (issuer, subject);

CREATE TABLE authorizations (
    id TEXT NOT NULL PRIMARY KEY,
    ticket TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL UNIQUE,
    nonce TEXT NOT NULL,
    verifier TEXT NOT NULL,
    connection TEXT NOT NULL,
    client TEXT NOT NULL,
    source TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    returned BIGINT,
    code TEXT,
    issuer TEXT,
    subject TEXT,
    name TEXT,
    roles TEXT
);
CREATE INDEX authorizations_of_source ON authorizations (source, expires);
CREATE INDEX authorizations_by_end ON authorizations (expires);

CREATE TABLE recovery_codes (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash TEXT NOT NULL,
    PRIMARY KEY (user_id, hash)
);

CREATE TABLE registered_keys (
    fingerprint TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
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

CREATE TABLE sign_ins (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    fingerprint TEXT REFERENCES registered_keys (fingerprint) ON DELETE CASCADE,
    token TEXT UNIQUE,
    client TEXT NOT NULL,
    started BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    CHECK ((fingerprint IS NULL) <> (token IS NULL))
);
CREATE INDEX sign_ins_of_user ON sign_ins (user_id);
CREATE INDEX sign_ins_of_key ON sign_ins (fingerprint);
CREATE INDEX sign_ins_by_end ON sign_ins (expires);

CREATE TABLE sign_in_ends (
    number BIGINT NOT NULL PRIMARY KEY,
    sign_in TEXT NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX sign_in_ends_by_time ON sign_in_ends (at);

CREATE TABLE sign_in_sources (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    client TEXT NOT NULL,
    used BIGINT NOT NULL,
    PRIMARY KEY (user_id, client)
);
CREATE INDEX sign_in_sources_by_time ON sign_in_sources (used);

CREATE TABLE attempts (
    id TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL,
    source TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX attempts_of_account ON attempts (account, at);
CREATE INDEX attempts_of_source ON attempts (source, at);
CREATE INDEX attempts_by_time ON attempts (at);

CREATE TABLE issued (
    serial TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    how TEXT NOT NULL,
    key_id TEXT NOT NULL,
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

CREATE TABLE revocations (
    version BIGINT NOT NULL PRIMARY KEY,
    line TEXT NOT NULL
);

CREATE TABLE marks (
    kind TEXT NOT NULL,
    authority TEXT NOT NULL,
    moves BIGINT NOT NULL,
    PRIMARY KEY (kind, authority)
);

INSERT INTO counters (name, value) VALUES ('node-change', 0), ('tunnel', 0);

CREATE TABLE tokens (
    id TEXT NOT NULL PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    names TEXT NOT NULL,
    labels TEXT NOT NULL,
    tunnel TEXT NOT NULL,
    uses BIGINT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    created_by TEXT NOT NULL
);
CREATE INDEX tokens_by_end ON tokens (expires);

CREATE TABLE nodes (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    names TEXT NOT NULL,
    host_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL UNIQUE,
    token TEXT NOT NULL,
    forced_labels TEXT NOT NULL,
    labels TEXT NOT NULL,
    tunnel TEXT NOT NULL,
    address TEXT NOT NULL,
    port BIGINT NOT NULL,
    joined BIGINT NOT NULL,
    certificate TEXT,
    certificate_begins BIGINT,
    certificate_expires BIGINT,
    certificate_ca TEXT,
    locked BIGINT,
    lock_reason TEXT,
    locked_by TEXT,
    heartbeat BIGINT,
    report TEXT,
    change BIGINT NOT NULL
);
CREATE INDEX nodes_by_change ON nodes (change);
CREATE INDEX nodes_by_heartbeat ON nodes (locked, heartbeat);

CREATE TABLE node_names (
    name TEXT NOT NULL PRIMARY KEY,
    node TEXT NOT NULL REFERENCES nodes (id) ON DELETE CASCADE
);
CREATE INDEX node_names_of_node ON node_names (node);

CREATE TABLE node_removals (
    number BIGINT NOT NULL PRIMARY KEY,
    node TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX node_removals_by_time ON node_removals (at);

CREATE TABLE tunnels (
    generation BIGINT NOT NULL PRIMARY KEY,
    node TEXT NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    proxy TEXT NOT NULL,
    since BIGINT NOT NULL
);
CREATE INDEX tunnels_of_node ON tunnels (node, generation);
CREATE INDEX tunnels_of_proxy ON tunnels (proxy);
CREATE INDEX tunnels_by_time ON tunnels (since);

CREATE TABLE proxies (
    id TEXT NOT NULL PRIMARY KEY,
    address TEXT NOT NULL,
    proxy_key TEXT NOT NULL,
    seen BIGINT NOT NULL
);
CREATE INDEX proxies_by_time ON proxies (seen);

INSERT INTO meta (name, value) VALUES ('schema', '5'), ('schema-made-by', '0.1.0'), ('cluster', 'example.com');
UPDATE counters SET value = 1 WHERE name = 'sign-in-end';
INSERT INTO users (id, name, folded, roles, logins, created, locked, lock_reason, locked_by, password, totp, totp_step) VALUES
    ('0196a3b0-0000-7000-8000-000000000001', 'Alice', 'alice', '["dba"]', '["deploy"]', 1799990000, NULL, NULL, NULL, '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA', 'JBSWY3DPEHPK3PXP', 59999666),
    ('0196a3b0-0000-7000-8000-000000000002', 'bob', 'bob', '[]', NULL, 1799990001, 1799990002, 'left', 'root', NULL, NULL, 0);
INSERT INTO recovery_codes (user_id, hash) VALUES ('0196a3b0-0000-7000-8000-000000000001', 'aa'), ('0196a3b0-0000-7000-8000-000000000001', 'bb');
INSERT INTO registered_keys (fingerprint, user_id, line, comment, registered, used) VALUES
    ('SHA256:a', '0196a3b0-0000-7000-8000-000000000001', 'ssh-ed25519 AAAA', 'laptop', 1799990000, 1799990010);
INSERT INTO invitations (hash, user_id, created, expires) VALUES ('cc', '0196a3b0-0000-7000-8000-000000000002', 1799990001, 1800086401);
INSERT INTO sign_ins (id, user_id, fingerprint, client, started, expires) VALUES
    ('0196a3b0-0000-7000-8000-000000000011', '0196a3b0-0000-7000-8000-000000000001', 'SHA256:a', '192.0.2.7', 1799990010, 1800033210);
INSERT INTO sign_ins (id, user_id, token, client, started, expires) VALUES
    ('0196a3b0-0000-7000-8000-000000000012', '0196a3b0-0000-7000-8000-000000000001', 'kk', '192.0.2.9', 1799990020, 1800033220);
INSERT INTO sign_in_ends (number, sign_in, reason, at) VALUES (1, '0196a3b0-0000-7000-8000-000000000010', 'logout', 1799990009);
INSERT INTO sign_in_sources (user_id, client, used) VALUES ('0196a3b0-0000-7000-8000-000000000001', '192.0.2.7', 1799990010);
INSERT INTO attempts (id, account, source, fingerprint, at) VALUES ('0196a3b0-0000-7000-8000-000000000021', 'alice', '192.0.2.8', '', 1799990005);
INSERT INTO issued (serial, kind, how, key_id, time, principals, valid_after, valid_before, public_key, ca, critical_options) VALUES
    ('18446744073709551615', 'host', 'signed', 'db1', 1799990000000000, '["db1"]', 1799990000, 9223372036854775807, 'SHA256:h', 'SHA256:ca', '{}'),
    ('7', 'user', 'connection', 'Alice', 1799990020000001, '["deploy"]', 1799990020, 1799990320, 'SHA256:a', 'SHA256:ca', '{"source-address":"192.0.2.1"}');
INSERT INTO revocations (version, line) VALUES (1, '{"version":1}'), (3, '{"version":3}');
INSERT INTO marks (kind, authority, moves) VALUES ('rotation', 'user', 3);
INSERT INTO users (id, name, folded, roles, logins, created, totp_step, issuer, subject) VALUES
    ('0196a3b0-0000-7000-8000-000000000003', 'dora', 'dora', '["dba"]', NULL, 1799990003, 0, 'https://id.example.com', '248289761001');
INSERT INTO authorizations (id, ticket, state, nonce, verifier, connection, client, source, created, expires, returned, code, issuer, subject, name, roles) VALUES
    ('0196a3b0-0000-7000-8000-000000000031', 'tt', 'ss', 'nn', 'vv', '0196a3b0-0000-7000-8000-000000000041', '192.0.2.7:50000', '192.0.2.7/32', 1799999900, 1800000200, NULL, NULL, NULL, NULL, NULL, NULL),
    ('0196a3b0-0000-7000-8000-000000000032', 'tu', 'su', 'nu', 'vu', '0196a3b0-0000-7000-8000-000000000042', '192.0.2.7:50001', '192.0.2.7/32', 1799999900, 1800000200, 1799999950, 'dd', 'https://id.example.com', '248289761001', 'dora', '["dba"]');
INSERT INTO tokens (id, hash, names, labels, tunnel, uses, created, expires, created_by) VALUES
    ('0196a3b0-0000-7000-8000-000000000051', 'th', '["db1"]', '["env=prod"]', 'required', 2, 1799990000, 1800086400, 'root');
INSERT INTO nodes (id, name, names, host_key, fingerprint, token, forced_labels, labels, tunnel, address, port, joined, certificate, certificate_begins, certificate_expires, certificate_ca, locked, lock_reason, locked_by, heartbeat, report, change) VALUES
    ('0196a3b0-0000-7000-8000-000000000061', 'db1', '["db1","db1.internal"]', 'ssh-ed25519 AAAA', 'SHA256:n', '0196a3b0-0000-7000-8000-000000000051', '["env=prod"]', '["env=prod","role=db"]', 'required', '10.0.0.5', 22, 1799990000, '18446744073709551614', 1799990000, 1802582000, 'SHA256:ca', 1799990005, 'stolen', 'root', 1799999990, '{"at":1799999990,"client":"203.0.113.7","sshd":"OpenSSH_9.2p1","uptime":7,"clock_ahead":-3,"addresses":["10.0.0.5"],"keeps_tunnel":true,"user_cas":["SHA256:u"],"host_cas":["SHA256:h"],"certificate":7,"revocations":3,"problem":null}', 3);
INSERT INTO node_names (name, node) VALUES ('db1', '0196a3b0-0000-7000-8000-000000000061'), ('db1.internal', '0196a3b0-0000-7000-8000-000000000061');
INSERT INTO node_removals (number, node, at) VALUES (2, '0196a3b0-0000-7000-8000-000000000062', 1799990004);
INSERT INTO tunnels (generation, node, proxy, since) VALUES (5, '0196a3b0-0000-7000-8000-000000000061', '0196a3b0-0000-7000-8000-000000000071', 1799999000);
INSERT INTO proxies (id, address, proxy_key, seen) VALUES ('0196a3b0-0000-7000-8000-000000000071', '10.0.0.1:3022', 'ssh-ed25519 AAAB', 1799999995);
UPDATE counters SET value = 3 WHERE name = 'node-change';
UPDATE counters SET value = 5 WHERE name = 'tunnel';

-- Nodes: hosts that have joined with a token.

INSERT INTO counters (name, value) VALUES ('node-change', 0), ('tunnel', 0);

-- What lets hosts join; the state has the hash of a token's text only.
CREATE TABLE tokens (
    id TEXT NOT NULL PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    -- JSON arrays; no names means any
    names TEXT NOT NULL,
    labels TEXT NOT NULL,
    tunnel TEXT NOT NULL,
    -- how many hosts may still join
    uses BIGINT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    created_by TEXT NOT NULL
);
CREATE INDEX tokens_by_end ON tokens (expires);

CREATE TABLE nodes (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- JSON array: all names, the one above first
    names TEXT NOT NULL,
    -- the host key: type and key, and its SHA-256, as ssh-keygen -l prints it
    host_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL UNIQUE,
    -- the token that it has joined with, which may be gone
    token TEXT NOT NULL,
    -- JSON arrays: those of the token, and those in force
    forced_labels TEXT NOT NULL,
    labels TEXT NOT NULL,
    tunnel TEXT NOT NULL,
    address TEXT NOT NULL,
    port BIGINT NOT NULL,
    joined BIGINT NOT NULL,
    -- the last host certificate; the serial is decimal
    certificate TEXT,
    certificate_begins BIGINT,
    certificate_expires BIGINT,
    certificate_ca TEXT,
    locked BIGINT,
    lock_reason TEXT,
    locked_by TEXT,
    -- when the last heartbeat came, and what it said, as a JSON object
    heartbeat BIGINT,
    report TEXT,
    -- the number of the last change that others have to know
    change BIGINT NOT NULL
);
CREATE INDEX nodes_by_change ON nodes (change);
CREATE INDEX nodes_by_heartbeat ON nodes (locked, heartbeat);

-- The names of nodes: each belongs to one.
CREATE TABLE node_names (
    name TEXT NOT NULL PRIMARY KEY,
    node TEXT NOT NULL REFERENCES nodes (id) ON DELETE CASCADE
);
CREATE INDEX node_names_of_node ON node_names (node);

-- The nodes that were removed, with numbers of the same sequence as changes.
CREATE TABLE node_removals (
    number BIGINT NOT NULL PRIMARY KEY,
    node TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX node_removals_by_time ON node_removals (at);

-- The tunnels that are open, each at one proxy. Of several of a node, the one with the greatest
-- generation is used.
CREATE TABLE tunnels (
    generation BIGINT NOT NULL PRIMARY KEY,
    node TEXT NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    proxy TEXT NOT NULL,
    since BIGINT NOT NULL
);
CREATE INDEX tunnels_of_node ON tunnels (node, generation);
CREATE INDEX tunnels_of_proxy ON tunnels (proxy);
CREATE INDEX tunnels_by_time ON tunnels (since);

-- The proxies that share this state, with the key by which others know them.
CREATE TABLE proxies (
    id TEXT NOT NULL PRIMARY KEY,
    address TEXT NOT NULL,
    proxy_key TEXT NOT NULL,
    seen BIGINT NOT NULL
);
CREATE INDEX proxies_by_time ON proxies (seen);

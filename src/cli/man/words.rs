//! The parts of the pages that are not generated: examples, files, variables, other pages.

use crate::model::DataDir;

/// The page, what is to be done, and the lines that do it.
pub(super) const EXAMPLES: &[(&str, &str, &str)] = &[
    (
        "rproxy",
        "Set up a proxy and run it, let a host join, and invite a user:",
        "rproxy init\n\
         rproxy serve\n\
         rproxy tokens add --type=node --names=db1\n\
         rproxy nodes script > join.sh\n\
         rproxy users add alice --roles=dba",
    ),
    (
        "rproxy",
        "What was recorded, and one session of it:",
        "rproxy recordings ls\nrproxy play 0192",
    ),
    (
        "rproxy-init",
        "Without questions, for a script:",
        "rproxy init --yes --cluster-name=example.com \\\n    \
         --public-addr=proxy.example.com --administrator=carol --format=json",
    ),
    (
        "rproxy-serve",
        "Check the configuration before the proxy reads it again:",
        "rproxy serve --check && systemctl reload rproxy",
    ),
    (
        "rproxy-serve",
        "Show what is in force, defaults included:",
        "rproxy serve --print-config",
    ),
    (
        "rproxy-auth-export",
        "What sshd reads as `TrustedUserCAKeys`:",
        "rproxy auth export --type=user > /etc/ssh/rproxy_user_ca.pub",
    ),
    (
        "rproxy-auth-export",
        "A line for the known_hosts file of clients:",
        "rproxy auth export --type=host --hosts='*.example.com' >> ~/.ssh/known_hosts",
    ),
    (
        "rproxy-auth-sign",
        "A person who may log in to two accounts, for a day:",
        "rproxy auth sign --user=alice --logins=deploy,postgres --ttl=24h \\\n    --public-key=alice.pub",
    ),
    (
        "rproxy-auth-sign",
        "A new key for a host, and its certificate:",
        "rproxy auth sign --host=db1,db1.example.com --out=/root/ssh_host_rproxy_key",
    ),
    (
        "rproxy-auth-sign",
        "Certificates for the keys that hosts have already:",
        "rproxy auth sign --batch=hosts.txt --out=/root/certificates",
    ),
    (
        "rproxy-auth-revoke",
        "Somebody leaves, with all their certificates:",
        "rproxy auth revoke --key-id=mallory --reason='left the team'",
    ),
    (
        "rproxy-auth-krl",
        "The file that sshd reads as `RevokedKeys`:",
        "rproxy auth krl --out=/etc/ssh/rproxy_revoked_keys",
    ),
    (
        "rproxy-config",
        "The block for ssh_config, for hosts of one domain:",
        "rproxy config --proxy=proxy.example.com:3023 --hosts='*.example.com'",
    ),
    (
        "rproxy-config",
        "Write it where ssh reads it:",
        "rproxy config --install",
    ),
    (
        "rproxy-explain",
        "Whether alice may log in to db1 as root, and why:",
        "rproxy explain alice@db1 --login=root",
    ),
    (
        "rproxy-host-setup",
        "What sshd of db1 needs, in a directory to be copied there:",
        "rproxy host setup --host=db1,db1.example.com --out-dir=/root/db1",
    ),
    (
        "rproxy-recordings-ls",
        "The commands that failed, with jq(1):",
        "rproxy recordings ls --format=json |\n    jq '.[] | select(.exit_status > 0) | .command'",
    ),
    (
        "rproxy-recordings-export",
        "What was on the screen, as text:",
        "rproxy recordings export 0192 --format=text",
    ),
    (
        "rproxy-recordings-export",
        "The very bytes that a command wrote:",
        "rproxy recordings export 0192 --format=raw --stream=stdout > stdout",
    ),
    (
        "rproxy-play",
        "Twice as fast, and silences of no more than two seconds:",
        "rproxy play 0192 --speed=2 --idle-limit=2",
    ),
    (
        "rproxy-play",
        "From the second hour on:",
        "rproxy play 0192 --at=2:00:00",
    ),
    (
        "rproxy-play",
        "All of it, without rproxy:",
        "zstd -dc /var/lib/rproxy/recordings/ID.cast.zst | asciinema play -",
    ),
    (
        "rproxy-users-add",
        "A person with the role dba, who has until tomorrow to sign up:",
        "rproxy users add alice --roles=dba --ttl=24h",
    ),
    (
        "rproxy-users-set",
        "A person changes teams, and may use one account only:",
        "rproxy users set alice --roles=web --logins=deploy",
    ),
    (
        "rproxy-users-lock",
        "A laptop is lost, and its owner has not been reached yet:",
        "rproxy users lock alice --reason='laptop lost'",
    ),
    (
        "rproxy-tokens-add",
        "A host that is to be called db1, with labels that it cannot change itself:",
        "rproxy tokens add --type=node --names=db1 --labels=env=prod,role=db",
    ),
    (
        "rproxy-tokens-add",
        "Twenty hosts behind NAT, which have to keep a tunnel, until tomorrow:",
        "rproxy tokens add --type=node --uses=20 --tunnel=required --ttl=24h",
    ),
    (
        "rproxy-nodes-script",
        "The script, to be run on each host as root:",
        "rproxy nodes script > join.sh",
    ),
    (
        "rproxy-nodes-ls",
        "The names of production's hosts that do not report, with jq(1):",
        "rproxy nodes ls --labels=env=prod --format=json |\n    \
         jq -r '.[] | select(.state == \"offline\") | .name'",
    ),
    (
        "rproxy-nodes-lock",
        "A host that may have been broken into:",
        "rproxy nodes lock db1 --reason='being looked at'",
    ),
    (
        "rproxy-state-backup",
        "Before an upgrade, beside the proxy that runs:",
        "rproxy state backup /var/backups/rproxy.db",
    ),
    (
        "rproxy-state-migrate",
        "To a PostgreSQL server on this machine:",
        "rproxy state migrate --to='postgresql://rproxy@/rproxy?host=/run/postgresql'",
    ),
    (
        "rproxy-completions",
        "For bash, until its end:",
        "source <(rproxy completions bash)",
    ),
];

/// A page, and those that its readers may want next, besides the commands above and below.
pub(super) const SEE_ALSO: &[(&str, &[&str])] = &[
    (
        "rproxy",
        &[
            "rproxy.yaml(5)",
            "rproxy-recording(5)",
            "ssh(1)",
            "ssh-agent(1)",
            "ssh_config(5)",
            "sshd_config(5)",
        ],
    ),
    ("rproxy-init", &["rproxy.yaml(5)", "rproxy-users(1)"]),
    ("rproxy-serve", &["rproxy.yaml(5)", "systemd.service(5)"]),
    ("rproxy-explain", &["rproxy.yaml(5)"]),
    ("rproxy-config", &["ssh_config(5)"]),
    ("rproxy-auth-export", &["sshd(8)", "sshd_config(5)"]),
    ("rproxy-auth-sign", &["ssh-keygen(1)", "sshd_config(5)"]),
    ("rproxy-auth-krl", &["ssh-keygen(1)", "sshd_config(5)"]),
    ("rproxy-host-setup", &["sshd_config(5)"]),
    ("rproxy-users", &["rproxy.yaml(5)", "ssh(1)"]),
    ("rproxy-tokens", &["rproxy-nodes(1)"]),
    (
        "rproxy-nodes",
        &["rproxy-tokens(1)", "rproxy.yaml(5)", "sshd_config(5)"],
    ),
    (
        "rproxy-recordings",
        &["rproxy-play(1)", "rproxy-recording(5)"],
    ),
    ("rproxy-recordings-export", &["rproxy-recording(5)"]),
    (
        "rproxy-play",
        &["rproxy-recordings(1)", "rproxy-recording(5)"],
    ),
];

/// What is where.
pub(super) const FILES: &[(&str, &str)] = &[
    (
        "/etc/rproxy/rproxy.yaml",
        "The configuration, see `rproxy.yaml`(5). Without it the defaults are in force.",
    ),
    (
        "/var/lib/rproxy",
        "The data directory of root. Others have `$XDG_STATE_HOME/rproxy`, or \
         `~/.local/state/rproxy`. What follows is below it.",
    ),
    ("ca/", "The CA keys. Who can read them can be anybody."),
    (
        DataDir::STATE,
        "The state, if `state.url` names no database: users, sign-ins, hosts that have joined, tokens, \
         certificates that were issued, what is revoked.",
    ),
    (
        DataDir::LEDGER,
        "A copy of the certificates that were requested, for earlier versions of rproxy.",
    ),
    (
        DataDir::REVOCATIONS,
        "A copy of what is revoked, for earlier versions of rproxy.",
    ),
    (DataDir::AUDIT_LOG, "The audit log."),
    (
        "recordings/ID.cast.zst",
        "The recordings, see `rproxy-recording`(5).",
    ),
];

/// What is read from the environment.
pub(super) const ENVIRONMENT: &[(&str, &str)] = &[
    (
        "RPROXY_CONFIG",
        "The configuration file, if `--config` names none.",
    ),
    (
        "RPROXY_DATA_DIR",
        "The data directory, if `--data-dir` names none.",
    ),
    (
        "RPROXY_LOG",
        "What is logged on standard error: `error`, `warn`, `info` (the default), `debug` or `trace`, \
         also for each part, as in `info,audit=off`.",
    ),
    (
        "SSH_AUTH_SOCK",
        "The agent that has a CA's key, if the configuration says so.",
    ),
    (
        "XDG_STATE_HOME",
        "Where the data directory of others than root is.",
    ),
];

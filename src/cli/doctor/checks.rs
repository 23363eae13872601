//! All checks: one entry for each, in the order of the report. `docs/troubleshooting.md` is printed
//! from it.

/// What belongs together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CheckGroup {
    /// The file.
    Configuration,
    /// The data directory.
    Files,
    /// The state and its people.
    State,
    /// The CAs.
    Keys,
    /// Time, disk and limits of the machine.
    Machine,
    /// Names and addresses.
    Names,
    /// The running proxy.
    Proxy,
    /// The hosts.
    Nodes,
    /// The user's machine.
    Client,
    /// The user's agent and certificate.
    Agent,
    /// From there to the proxy.
    Way,
}

impl CheckGroup {
    /// The line above its findings.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Files => "data directory",
            Self::State => "state",
            Self::Keys => "CAs",
            Self::Machine => "machine",
            Self::Names => "names and addresses",
            Self::Proxy => "running proxy",
            Self::Nodes => "nodes",
            Self::Client => "ssh",
            Self::Agent => "agent and certificate",
            Self::Way => "way to the proxy",
        }
    }

    /// The heading of its table.
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::Configuration => "Configuration",
            Self::Files => "Data directory",
            Self::State => "State and people",
            Self::Keys => "CAs",
            Self::Machine => "Machine",
            Self::Names => "Names and addresses",
            Self::Proxy => "Running proxy",
            Self::Nodes => "Nodes",
            Self::Client => "On the client: ssh",
            Self::Agent => "On the client: agent and certificate",
            Self::Way => "On the client: the way to the proxy",
        }
    }
}

/// One check.
#[derive(Debug)]
pub(crate) struct Check {
    /// Its name in reports; names do not change.
    pub(crate) name: &'static str,
    /// Where it stands.
    pub(crate) group: CheckGroup,
    /// What it looks at.
    pub(crate) about: &'static str,
    /// What may be wrong, and what to do about it.
    pub(crate) fix: &'static str,
}

/// Names the checks once, and lists them.
macro_rules! checks {
    ($($group:ident { $($constant:ident $name:literal: $about:literal => $fix:literal;)* })*) => {
        $($(pub(crate) static $constant: Check = Check {
            name: $name,
            group: CheckGroup::$group,
            about: $about,
            fix: $fix,
        };)*)*

        /// All of them, group by group.
        pub(crate) static ALL: &[&Check] = &[$($(&$constant,)*)*];
    };
}

checks! {
    Configuration {
        CONFIG "config": "every key and value of the configuration file"
            => "correct the line; what is risky is told as a warning. `rproxy serve --check` shows the same";
        CONFIG_MODE "config-mode": "who may write the configuration file"
            => "whoever may write it decides what the proxy does: `chmod go-w FILE`, `chown root FILE`";
    }
    Files {
        DATA_DIR "data-dir": "the data directory and `ca/`: there, of mode 0700, of the right owner"
            => "`chmod 0700 DIR`; `chown`, or run the doctor as the user that the proxy runs as";
        RECORDINGS_DIR "recordings-dir": "where recordings are written: mode, owner, whether a file can be made"
            => "`chmod 0700 DIR`, `chown`, mount it for writing. In strict mode there are no sessions until then";
        STATE_FILES "state-files": "`audit.jsonl`, `state.db`, `issued.jsonl`, `revoked.jsonl`: mode, owner, whether they can be written"
            => "`chmod 0600 FILE`, `chown`, mount it for writing";
        CUT_RECORDINGS "cut-recordings": "recordings of the last seven days without an end"
            => "the proxy was killed or the machine crashed; they are readable up to there. See the program's log of that time";
    }
    State {
        STATE "state": "the state: whether it can be read, of which version it is, how large it is, how long a read takes; `state.password_file`"
            => "what the hint says: `chmod`, start the database, correct `state.url`, restore a backup";
        STATE_SPACE "state-space": "free space and free inodes for `state.db`"
            => "make room, or give it a larger disk: without room users cannot sign in, and nothing can be revoked";
        STATE_PROMISE "state-promise": "PostgreSQL: whether `synchronous_commit` keeps what was confirmed"
            => "`ALTER ROLE .. SET synchronous_commit = on`";
        STATE_CLOCK "state-clock": "PostgreSQL: the server's clock, against this machine's"
            => "have both clocks kept, as by chrony";
        PEOPLE "people": "with `authentication.type: local`: whether there are users, whether they can sign in, whether the configuration has their roles and does not name them too"
            => "`rproxy users add`; add the missing role to the configuration; remove a name from the configuration or from the state";
        PROVIDER "provider": "with `authentication.type: oidc`: whether the identity provider answers, and has keys that can be used"
            => "what the hint says; users who are signed in stay so meanwhile";
        PROVIDER_CLOCK "provider-clock": "the identity provider's clock, against this machine's"
            => "have the clock kept of the machine that is wrong: an ID token that is more than a minute off is refused";
    }
    Keys {
        AUTHORITY "authority": "the keys of the user and the host CA: there, readable by nobody else, whole, signing; if an agent has one, whether it signs"
            => "what the hint says: `chmod`, restore from a backup, remove a `.pub` that does not fit, start the agent and add the key";
        ROTATION "rotation": "a rotation that should have moved on, or has been in a phase for more than a week"
            => "`rproxy auth status`, `rproxy auth rotate`";
        REVOCATIONS "revocations": "`revoked.jsonl`: damaged lines, or less than the ledger knows of"
            => "restore it from a backup; the proxy does not start without it";
        HTTPS_CERTIFICATE "https-certificate": "certificate and key of HTTPS: readable, fitting, the key not open to everybody, the certificate good for another two weeks"
            => "renew it; the running proxy reads the new files by itself";
    }
    Machine {
        CLOCK "clock": "whether the clock stands before what this machine has written already, and whether somebody sets it"
            => "set the clock, and have it kept: `timedatectl set-ntp true`, chrony. Certificates begin a minute before they are made, one-time codes are those of half a minute";
        DISK_SPACE "disk-space": "free space and free inodes for recordings"
            => "make room: move recordings away, or give them a larger disk. In strict mode a full disk ends every session";
        RECORDING_FAILURES "recording-failures": "recordings of the last seven days that could not be written, and whether the disk was full"
            => "make room and alert on free space; for other errors see the program's log of that time";
        FILE_SIZE_LIMIT "file-size-limit": "the limit of file sizes of the shell or service"
            => "`ulimit -f unlimited`, `LimitFSIZE=infinity` in the unit: recordings end at it";
        OPEN_FILES "open-files": "the hard limit of open files against `max_connections`"
            => "`LimitNOFILE=` in the unit, or a lower `proxy_service.max_connections`";
    }
    Names {
        NAME_SERVERS "name-servers": "who is asked about names, by `/etc/nsswitch.conf` and `/etc/resolv.conf`, if any have to be looked up"
            => "name a server there, or give the nodes addresses";
        PUBLIC_ADDR "public-addr": "`public_addr`: whether the name resolves, and whose host certificate is shown there"
            => "correct the name or DNS; let the port through to the listener";
        EGRESS "egress": "whether the machine has an address of `egress_addrs`"
            => "name the address that hosts see: user certificates are good from there only";
    }
    Proxy {
        LISTENER "listener": "`listen_addr`: whether the proxy answers there, or the port is free to be taken"
            => "start the proxy; end or move what has the port; for a port below 1024 give the right, as the unit does";
        PROXY_HOST_KEY "proxy-host-key": "the running proxy's host certificate: CA and names"
            => "another data directory, or somebody else: see what listens there";
        WEB_LISTENER "web-listener": "`web_listen_addr`, if there is one"
            => "see the proxy's log for why it does not listen";
    }
    Nodes {
        NODE_NAME "node-name": "whether the address of a node resolves"
            => "correct `nodes[].addr`, or DNS";
        NODE_PORT "node-port": "whether its port can be reached"
            => "on the host: start sshd, open the firewall; or correct the port";
        NODE_SSH "node-ssh": "whether SSH is spoken there"
            => "correct the port; if sshd ends connections before it speaks, see `MaxStartups` and `PerSourcePenalties` in docs/hosts.md";
        NODE_VERSION "node-version": "whether the release of sshd that the host announces has known holes, if no distribution announces to mend them"
            => "on the host: update openssh-server; see `docs/hosts.md` for what the announcement does not tell";
        NODE_HOST_KEY "node-host-key": "the host certificate: there, of our CA, of type host, with the node's name, good now and for a while, not revoked"
            => "copy the host's public key to the proxy; on the proxy: `rproxy auth sign --host=NAME --public-key=FILE`; copy the certificate to the host; on the host: `HostCertificate` in sshd_config, `systemctl reload ssh`";
        NODE_USER_CA "node-user-ca": "whether the host takes certificates of the user CA, asked without logging in"
            => "on the host: `TrustedUserCAKeys`, as `rproxy host setup` on the proxy writes it; `--login` for an account that exists there";
        NODE_CLOCK "node-clock": "if it takes none: whether it takes those of another time; of a host that has joined, the clock that it reports"
            => "on the host: set the clock";
        NODE_TWICE "node-twice": "whether a host that has joined has the name of a node of the configuration"
            => "remove the line of the configuration, or the host: `rproxy nodes rm NAME`";
        NODE_REPORT "node-report": "whether a host that has joined reports; it is offline if three reports are missing, which come once a minute"
            => "on the host: `systemctl status rproxy-heartbeat.timer`, or the cron line, and whether it reaches the proxy; for a host that is gone: `rproxy nodes rm NAME`";
        NODE_CERTIFICATE "node-certificate": "whether the certificate of a host that has joined is renewed, which is due when half of its life is over"
            => "on the host: `journalctl -u rproxy-heartbeat`; on the proxy: `rproxy nodes show NAME`";
        NODE_PROBLEM "node-problem": "what a host that has joined could not do, such as install what it got"
            => "correct it on the host: sshd there goes on with what it had before";
        NODE_TUNNEL "node-tunnel": "whether the tunnel of a host that has joined is open, if it has to keep one; such a host is not dialled"
            => "on the host: `systemctl status rproxy-tunnel`";
        NODE_EGRESS "node-egress": "with `egress_addrs`: whether it takes certificates that are good from there only"
            => "the host sees the proxy under another address: correct `egress_addrs`, or the translation of addresses";
    }
    Client {
        SSH_VERSION "ssh-version": "whether there is OpenSSH, and how old it is"
            => "install the OpenSSH client; 8.9 and later can bind agents to hosts";
        SSH_CONFIG "ssh-config": "whether `ssh -G` reads the configuration"
            => "correct the line that ssh names";
        PROXY_COMMAND "proxy-command": "with `--host`: the ProxyCommand or ProxyJump of the host, and whether it leads to this proxy"
            => "on the proxy: `rproxy config` prints a block; on your machine: put it into `~/.ssh/config`, before what else is said about the host";
        FORWARD_AGENT "forward-agent": "whether the agent goes along to the proxy"
            => "`ForwardAgent=yes` in the ProxyCommand (with ProxyJump: for the host)";
        HOST_KEY_CHECKING "host-key-checking": "`StrictHostKeyChecking`"
            => "remove `StrictHostKeyChecking no`: anybody could be the proxy";
        QUESTIONS "questions": "with `--signs-in`: whether ssh offers keys to the proxy and passes its questions on: `BatchMode`, `KbdInteractiveAuthentication`, `NumberOfPasswordPrompts`, `PubkeyAuthentication`, `PreferredAuthentications`"
            => "remove the setting for the proxy";
        CONTROL_PATH "control-path": "the length of `ControlPath`"
            => "a shorter one, such as `~/.ssh/%C`";
        KNOWN_HOSTS "known-hosts": "`@cert-authority` lines for the proxy and the host, in the files and the command that ssh reads"
            => "on the proxy: `rproxy auth export --type=host`; on your machine: append what it prints to `~/.ssh/known_hosts`, with a pattern that matches";
    }
    Agent {
        AGENT "agent": "`SSH_AUTH_SOCK` or `IdentityAgent`: whether an agent answers there"
            => "start one, `eval $(ssh-agent)`, and add the key";
        AGENT_KEYS "agent-keys": "whether it has keys"
            => "`ssh-add`, or `ssh-add -X` if it is locked";
        CERTIFICATE "certificate": "a user certificate, in the agent or in a file that ssh reads, for a key that the agent has; with `--signs-in`, a bare key"
            => "get one (on the proxy: `rproxy auth sign --user`), then on your machine `ssh-add KEY`; agents that keep no certificates (GNOME Keyring, gpg-agent): `CertificateFile` in ssh_config";
        CERTIFICATE_TIME "certificate-time": "whether it is good now"
            => "get a new one; for one that is not good yet, look at the clock";
        LOGIN "login": "whether the account is among its principals"
            => "log in as one that is, or get a certificate for it";
        CERTIFICATE_CHOICE "certificate-choice": "if the agent has certificates of several key ids: whether the proxy takes one that has the account"
            => "name the login to the proxy too: `ssh -J LOGIN@PROXY:PORT`, `%r@PROXY` in ProxyCommand; or `IdentitiesOnly yes` with `CertificateFile` and `IdentityFile`";
        IDENTITIES_ONLY "identities-only": "whether `IdentitiesOnly` keeps ssh from offering it"
            => "name the key with `IdentityFile`, or remove `IdentitiesOnly`";
    }
    Way {
        PROXY_NAME "proxy-name": "whether the proxy's name resolves"
            => "correct the name, or DNS";
        PROXY_PORT "proxy-port": "whether its port can be reached, and speaks SSH"
            => "ask whether it runs (on the proxy: `rproxy doctor`); correct the port; open the firewall";
        SHOWN_KEY "shown-key": "whose host certificate is shown there, and for which names"
            => "not the proxy that known_hosts means: do not log in before it is known why";
        CLIENT_CLOCK "client-clock": "the clock, against the proxy's certificate, which is never older than an hour"
            => "set the clock";
        PROXY_LOGIN "proxy-login": "a connection to the proxy by ssh itself, as far as its authentication; with `--signs-in`, as far as the proxy's questions"
            => "what the proxy says; on the proxy, the audit log has the event under the same id";
    }
}

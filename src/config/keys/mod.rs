//! Every key of the file, in one table: name, form, default, meaning.
//!
//! The reader takes names, forms and defaults from here, and so does whatever documents them.

mod ca;
mod permit;
mod roles;

use permit::PERMIT_KEYS;

pub use ca::{CA_AGENT, CA_HOST, CA_KEY, CA_KEYS, CA_NEXT, CA_USER};
pub use permit::{
    ACCEPT_ENV, AGENT, MAX_SESSIONS, NESTED_SSH, PERMIT, PERMIT_LISTEN, PERMIT_OPEN,
    PORT_FORWARDING, STREAMLOCAL, X11, of_permit,
};
pub use roles::{
    ALLOW, DENY, MAX_TTL, MAY_CONNECT_FROM, ROLE_NAME, ROLE_PERMIT, ROLES, RULE_LABELS,
    RULE_LOGINS, RULE_NODES, USER_NAME, USER_ROLES, USERS,
};

/// Length of the longest name, in bytes.
const LONGEST_NAME: usize = MAX_CONNECTIONS_PER_ADDRESS.name.len();

/// One key of the file.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name within its section.
    pub name: &'static str,
    /// What may stand after it.
    pub form: ValueType,
    /// What holds where it is not given.
    pub default: DefaultValue,
    /// What it means, in whole sentences.
    pub doc: &'static str,
}

/// What may stand after a key.
#[derive(Clone, Copy, Debug)]
pub enum ValueType {
    /// A text; the words name what it must be.
    Text(&'static str),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `yes` or `no`.
    Switch,
    /// A list of texts; the words name what each must be.
    Texts(&'static str),
    /// Texts under names of the user's choice.
    Labels,
    /// More keys.
    Section(&'static [Key]),
    /// A list of sections.
    Sections(&'static [Key]),
}

/// What holds where a key is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// This value, as the file would have it.
    Value(&'static str),
    /// A list of these values.
    Values(&'static [&'static str]),
    /// A value of the machine or of another key; the words name it.
    Derived(&'static str),
    /// Nothing.
    Nothing,
    /// The key must be given.
    Required,
}

impl ValueType {
    /// What to write, as in "expected a list of networks".
    #[must_use]
    pub fn expected(&self) -> String {
        match self {
            Self::Text(what) => (*what).to_owned(),
            Self::Choice(words) => words
                .iter()
                .map(|word| format!("{word:?}"))
                .collect::<Vec<_>>()
                .join(" or "),
            Self::Switch => "yes or no".to_owned(),
            Self::Texts(what) => format!("a list, each item {what}"),
            Self::Labels => "labels, as in { env: prod }".to_owned(),
            Self::Section(keys) => format!("a section with the keys {}", names(keys)),
            Self::Sections(keys) => format!("a list of items with the keys {}", names(keys)),
        }
    }

    /// What each item of a list of texts must be; empty for other forms.
    #[must_use]
    pub fn item(&self) -> &'static str {
        match self {
            Self::Texts(what) => what,
            _ => "",
        }
    }

    /// The keys below, where there are any.
    #[must_use]
    pub fn keys(&self) -> &'static [Key] {
        match self {
            Self::Section(keys) | Self::Sections(keys) => keys,
            _ => &[],
        }
    }
}

fn names(keys: &[Key]) -> String {
    keys.iter()
        .map(|key| key.name)
        .collect::<Vec<_>>()
        .join(", ")
}

/// `cluster_name`.
pub const CLUSTER_NAME: Key = Key {
    name: "cluster_name",
    form: ValueType::Text("a name of letters, digits, '-', '_' and '.'"),
    default: DefaultValue::Derived("the machine's host name"),
    doc: "The name of this installation: what may stand after '@' in proxy:HOST:PORT@CLUSTER, \
          and the comment of the CA keys.",
};

/// `data_dir`.
pub const DATA_DIR: Key = Key {
    name: "data_dir",
    form: ValueType::Text("an absolute path"),
    default: DefaultValue::Derived(
        "/var/lib/rproxy as root, else $XDG_STATE_HOME/rproxy, else ~/.local/state/rproxy",
    ),
    doc: "Where the CA keys, the recordings and the audit log are kept.",
};

/// `auth_service.session_recording`.
pub const SESSION_RECORDING: Key = Key {
    name: "session_recording",
    form: ValueType::Choice(&["proxy", "off"]),
    default: DefaultValue::Value("proxy"),
    doc: "Where sessions are recorded. \"proxy\": here, all of them. \"off\": nowhere. \
          \"node\" is refused: stock sshd records nothing.",
};

/// `auth_service.proxy_checks_host_keys`.
pub const PROXY_CHECKS_HOST_KEYS: Key = Key {
    name: "proxy_checks_host_keys",
    form: ValueType::Switch,
    default: DefaultValue::Value("yes"),
    doc: "Whether a host must present a certificate of the host CA. \"no\" admits plain \
          host keys, so anybody on the network path can be the host: insecure.",
};

/// `auth_service.max_ttl`.
pub const PEOPLE_MAX_TTL: Key = Key {
    name: "max_ttl",
    form: DURATION,
    default: DefaultValue::Value("30h"),
    doc: "How long the certificates of people may live that auth sign makes, if none of their roles \
          has a max_ttl; what a role says counts in place of this.",
};

/// `proxy_service.listen_addr`.
pub const LISTEN_ADDR: Key = Key {
    name: "listen_addr",
    form: ValueType::Text("an address with a port, as in 0.0.0.0:3023, [::]:3023 or :3023"),
    default: DefaultValue::Value("0.0.0.0:3023"),
    doc: "Where clients are accepted. \":PORT\" means every IPv4 address of the machine, an \
          address alone means port 3023, port 0 means a free one.",
};

/// `proxy_service.public_addr`.
pub const PUBLIC_ADDR: Key = Key {
    name: "public_addr",
    form: ValueType::Text("a host name or address with a port, as in proxy.example.com:3023"),
    default: DefaultValue::Nothing,
    doc: "Under which name clients reach the listener. The proxy's own host certificate is made \
          out to it. Without a port, the listener's.",
};

/// `proxy_service.egress_addrs`.
pub const EGRESS_ADDRS: Key = Key {
    name: "egress_addrs",
    form: ValueType::Texts("a network, as in 203.0.113.10/32 or 2001:db8::/64"),
    default: DefaultValue::Nothing,
    doc: "From which addresses this proxy connects to hosts. They are written as source-address \
          into user certificates, so that sshd accepts them through the proxy only.",
};

/// `proxy_service.banner_file`.
pub const BANNER_FILE: Key = Key {
    name: "banner_file",
    form: ValueType::Text("an absolute path"),
    default: DefaultValue::Nothing,
    doc: "A text that everybody reads before they log in through the proxy, such as that sessions \
          here are recorded. 64 KiB at most. It is read again when the configuration is.",
};

/// `proxy_service.web_listen_addr`.
pub const WEB_LISTEN_ADDR: Key = Key {
    name: "web_listen_addr",
    form: ValueType::Text("an address with a port, as in 0.0.0.0:3080, [::]:3080 or :3080"),
    default: DefaultValue::Nothing,
    doc: "Where HTTPS is served: the CAs' public keys and the list of what is revoked. \
          Without it, nowhere. An address alone means port 3080.",
};

/// `proxy_service.https_cert_file`.
pub const HTTPS_CERT_FILE: Key = Key {
    name: "https_cert_file",
    form: ValueType::Text("an absolute path"),
    default: DefaultValue::Nothing,
    doc: "The certificate of HTTPS in PEM, then those of its issuers. It is read again when the \
          file changes.",
};

/// `proxy_service.https_key_file`.
pub const HTTPS_KEY_FILE: Key = Key {
    name: "https_key_file",
    form: ValueType::Text("an absolute path"),
    default: DefaultValue::Nothing,
    doc: "The private key of that certificate in PEM, unencrypted. A group may read it, everybody \
          may not.",
};

/// `proxy_service.web_plain_http`.
pub const WEB_PLAIN_HTTP: Key = Key {
    name: "web_plain_http",
    form: ValueType::Switch,
    default: DefaultValue::Value("no"),
    doc: "Whether HTTP without TLS is served instead, as behind a reverse proxy. Whoever is on the \
          network path can then put keys of their own in the place of the CAs'.",
};

/// `proxy_service.metrics_listen_addr`.
pub const METRICS_LISTEN_ADDR: Key = Key {
    name: "metrics_listen_addr",
    form: ValueType::Text("an address with a port, as in 127.0.0.1:3081, [::1]:3081 or :3081"),
    default: DefaultValue::Nothing,
    doc: "Where metrics for Prometheus and the state of the proxy are served over plain HTTP, to \
          anybody who asks. Without it, nowhere. An address alone means port 3081.",
};

/// `nodes[].name`.
pub const NODE_NAME: Key = Key {
    name: "name",
    form: ValueType::Text("a host name"),
    default: DefaultValue::Required,
    doc: "What users call the host. Upper and lower case are the same, and so is NAME followed \
          by '.' and the cluster's name.",
};

/// `nodes[].addr`.
pub const NODE_ADDR: Key = Key {
    name: "addr",
    form: ValueType::Text("a host name or address with a port, as in 10.0.0.5:22 or [::1]:22"),
    default: DefaultValue::Required,
    doc: "Where the host's sshd listens. Without a port, 22.",
};

/// `nodes[].labels`.
pub const NODE_LABELS: Key = Key {
    name: "labels",
    form: ValueType::Labels,
    default: DefaultValue::Nothing,
    doc: "Labels by which users may ask for the host, as in env=prod. Only one node may carry \
          the label that is asked for.",
};

/// `nodes[].legacy_algorithms`.
pub const LEGACY_ALGORITHMS: Key = Key {
    name: "legacy_algorithms",
    form: ValueType::Texts(
        "diffie-hellman-group14-sha1, aes256-cbc, aes192-cbc, aes128-cbc, \
         hmac-sha1-etm@openssh.com, hmac-sha1 or ssh-rsa",
    ),
    default: DefaultValue::Nothing,
    doc: "What this host, and no other, is offered besides what everybody is, because it is too old \
          for better. \"ssh-rsa\" is for its own key and for users' RSA keys. Weak: warned about at \
          every start, and named in the audit events of its sessions.",
};

/// `recording.mode`.
pub const RECORDING_MODE: Key = Key {
    name: "mode",
    form: ValueType::Choice(&["strict", "best_effort"]),
    default: DefaultValue::Value("strict"),
    doc: "What happens when a recording cannot be written. \"strict\": the session ends. \
          \"best_effort\": the session goes on, the gap is marked and audited.",
};

/// `recording.pty_input`.
pub const PTY_INPUT: Key = Key {
    name: "pty_input",
    form: ValueType::Switch,
    default: DefaultValue::Value("no"),
    doc: "Whether what is typed into a terminal is stored, passwords included. What is not \
          stored is counted. The standard input of commands without a terminal is always stored.",
};

/// `proxy_service.max_connections`.
pub const MAX_CONNECTIONS: Key = Key {
    name: "max_connections",
    form: COUNT,
    default: DefaultValue::Value("1000"),
    doc: "Most clients at a time. One more is told so and disconnected.",
};

/// `proxy_service.max_connections_per_address`.
pub const MAX_CONNECTIONS_PER_ADDRESS: Key = Key {
    name: "max_connections_per_address",
    form: COUNT,
    default: DefaultValue::Value("500"),
    doc: "Most clients at a time from one address. Of IPv6, a /64 network counts as one.",
};

/// `proxy_service.max_connections_per_user`.
pub const MAX_CONNECTIONS_PER_USER: Key = Key {
    name: "max_connections_per_user",
    form: COUNT,
    default: DefaultValue::Value("500"),
    doc: "Most authenticated clients at a time with certificates of one key id.",
};

/// `proxy_service.max_starting`.
pub const MAX_STARTING: Key = Key {
    name: "max_starting",
    form: COUNT,
    default: DefaultValue::Value("300"),
    doc: "Most clients at a time that have not authenticated yet, three quarters of them from one \
          address (of IPv6, a /64 network). If all places are taken, a client from an address \
          with fewer of them gets the place of the oldest client from the address with the most; \
          any other is told so and disconnected. Nobody is dropped at random.",
};

/// `proxy_service.login_grace_time`.
pub const LOGIN_GRACE_TIME: Key = Key {
    name: "login_grace_time",
    form: DURATION,
    default: DefaultValue::Value("2m"),
    doc: "How long a client may take to authenticate, at the proxy and again inside.",
};

/// `proxy_service.client_idle_timeout`.
pub const CLIENT_IDLE_TIMEOUT: Key = Key {
    name: "client_idle_timeout",
    form: DURATION_OR_ZERO,
    default: DefaultValue::Value("0s"),
    doc: "After how long without a byte from the client, on any channel of a connection, the \
          connection ends. 0 means never.",
};

/// `proxy_service.disconnect_expired_cert`.
pub const DISCONNECT_EXPIRED_CERT: Key = Key {
    name: "disconnect_expired_cert",
    form: ValueType::Switch,
    default: DefaultValue::Value("no"),
    doc: "Whether connections end when the certificate expires that they were made with. Users at \
          a terminal are warned five minutes before, except with ProxyJump.",
};

/// `proxy_service.keep_alive_interval`.
pub const KEEP_ALIVE_INTERVAL: Key = Key {
    name: "keep_alive_interval",
    form: DURATION_OR_ZERO,
    default: DefaultValue::Value("30s"),
    doc: "After how long a silent client, or a silent host, is asked whether it is still there. \
          0 means never.",
};

/// `proxy_service.keep_alive_count_max`.
pub const KEEP_ALIVE_COUNT_MAX: Key = Key {
    name: "keep_alive_count_max",
    form: COUNT,
    default: DefaultValue::Value("3"),
    doc: "How many such questions may go unanswered before the connection counts as lost.",
};

/// `proxy_service.drain_timeout`.
pub const DRAIN_TIMEOUT: Key = Key {
    name: "drain_timeout",
    form: DURATION_OR_ZERO,
    default: DefaultValue::Value("30s"),
    doc: "How long connections may go on after SIGTERM or SIGINT: nobody is accepted any more, users \
          at a terminal are told, except with ProxyJump, and what is left then is ended. A second \
          signal ends it at once. 0 means that nobody is waited for.",
};

/// `proxy_service.sandbox`.
pub const SANDBOX: Key = Key {
    name: "sandbox",
    form: ValueType::Switch,
    default: DefaultValue::Value("yes"),
    doc: "Whether the process that talks to the network gives up the files and the system calls that it \
          has no use for, as far as the kernel can (Landlock, seccomp).",
};

/// `upstream.max_starting_per_host`.
pub const MAX_STARTING_PER_HOST: Key = Key {
    name: "max_starting_per_host",
    form: COUNT,
    default: DefaultValue::Value("8"),
    doc: "Most connections at a time to one host that have not authenticated there yet; the next \
          ones wait for their turn. sshd's default MaxStartups drops connections at random from \
          the tenth on.",
};

/// `upstream.connect_timeout`.
pub const CONNECT_TIMEOUT: Key = Key {
    name: "connect_timeout",
    form: DURATION,
    default: DefaultValue::Value("30s"),
    doc: "How long the way to a host may take, from dialling to its certificate. A host that \
          drops a connection before it has said anything is dialled again within this time; one \
          that refuses it, for five seconds, if it has answered lately.",
};

/// A number of things.
const COUNT: ValueType = ValueType::Text("a number from 1 to 1000000");
/// A span of time.
const DURATION: ValueType = ValueType::Text("a duration from 1s to 52w, as in 30s, 10m or 1h30m");
/// A span of time, or none.
const DURATION_OR_ZERO: ValueType =
    ValueType::Text("a duration up to 52w, as in 30s, 10m or 1h30m, or 0");
/// `auth_service`.
pub const AUTH_SERVICE: Key = Key {
    name: "auth_service",
    form: ValueType::Section(&[
        SESSION_RECORDING,
        PROXY_CHECKS_HOST_KEYS,
        PEOPLE_MAX_TTL,
        CA_KEYS,
    ]),
    default: DefaultValue::Nothing,
    doc: "What holds for the whole cluster.",
};

/// `proxy_service`.
pub const PROXY_SERVICE: Key = Key {
    name: "proxy_service",
    form: ValueType::Section(&[
        LISTEN_ADDR,
        PUBLIC_ADDR,
        EGRESS_ADDRS,
        BANNER_FILE,
        MAX_CONNECTIONS,
        MAX_CONNECTIONS_PER_ADDRESS,
        MAX_CONNECTIONS_PER_USER,
        MAX_STARTING,
        LOGIN_GRACE_TIME,
        CLIENT_IDLE_TIMEOUT,
        DISCONNECT_EXPIRED_CERT,
        KEEP_ALIVE_INTERVAL,
        KEEP_ALIVE_COUNT_MAX,
        DRAIN_TIMEOUT,
        SANDBOX,
        WEB_LISTEN_ADDR,
        HTTPS_CERT_FILE,
        HTTPS_KEY_FILE,
        WEB_PLAIN_HTTP,
        METRICS_LISTEN_ADDR,
    ]),
    default: DefaultValue::Nothing,
    doc: "The listener.",
};

/// `upstream`.
pub const UPSTREAM: Key = Key {
    name: "upstream",
    form: ValueType::Section(&[MAX_STARTING_PER_HOST, CONNECT_TIMEOUT]),
    default: DefaultValue::Nothing,
    doc: "How hosts are connected to.",
};

/// `nodes`.
pub const NODES: Key = Key {
    name: "nodes",
    form: ValueType::Sections(&[NODE_NAME, NODE_ADDR, NODE_LABELS, LEGACY_ALGORITHMS]),
    default: DefaultValue::Nothing,
    doc: "The static inventory of hosts. DNS is asked for names that are not here.",
};

/// `recording`.
pub const RECORDING: Key = Key {
    name: "recording",
    form: ValueType::Section(&[RECORDING_MODE, PTY_INPUT]),
    default: DefaultValue::Nothing,
    doc: "How sessions are recorded.",
};

/// The keys of the file's top level, in the order of the documentation.
pub const ROOT: &[Key] = &[
    CLUSTER_NAME,
    DATA_DIR,
    AUTH_SERVICE,
    PROXY_SERVICE,
    UPSTREAM,
    PERMIT,
    NODES,
    ROLES,
    USERS,
    RECORDING,
];

/// The word of `candidates` that was probably meant: at most a third of its letters differ.
pub(super) fn similar<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if word.len() > 2 * LONGEST_NAME {
        return None;
    }
    let word = word.to_ascii_lowercase().replace('-', "_");
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance: insertions, deletions and replacements that turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let mut previous: Vec<usize> = (0..=b.chars().count()).collect();
    for (row, from) in a.chars().enumerate() {
        let mut left = row + 1;
        let mut current = vec![left];
        for (pair, to) in previous.windows(2).zip(b.chars()) {
            let &[diagonal, above] = pair else { continue };
            left = (diagonal + usize::from(from != to))
                .min(above + 1)
                .min(left + 1);
            current.push(left);
        }
        previous = current;
    }
    previous.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits() {
        for (a, b, edits) in [
            ("", "", 0),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
            ("a", "a", 0),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }

    #[test]
    fn near_misses_are_recognised_and_far_ones_are_not() {
        let names = || ROOT.iter().map(|key| key.name);
        assert_eq!(similar("cluster-name", names()), Some("cluster_name"));
        assert_eq!(similar("Nodes", names()), Some("nodes"));
        assert_eq!(similar("proxy_services", names()), Some("proxy_service"));
        assert_eq!(similar("teleport", names()), None);
    }

    #[test]
    fn names_are_unique_within_their_section_and_documented() {
        fn walk(keys: &[Key]) {
            let mut names: Vec<_> = keys.iter().map(|key| key.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), keys.len());
            for key in keys {
                assert!(key.name.len() <= LONGEST_NAME, "{}", key.name);
                assert!(key.doc.ends_with('.'), "{}", key.name);
                walk(key.form.keys());
            }
        }
        walk(ROOT);
    }
}

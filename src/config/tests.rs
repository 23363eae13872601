//! The file as a whole: defaults, flags, and that what is printed loads back.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use ssh_key::Fingerprint;

use super::{
    AuthenticationType, Config, HttpsFiles, RecordingMode, SessionRecording, Source, StateDatabase,
    Web, WebTls, parse, to_yaml,
};
use crate::access::{Direction, EndpointPattern, EndpointPatterns, NamePatterns, Permissions};
use crate::ca::{AgentSocket, CaKeys, KeyInAgent, KeysInAgents};
use crate::model::{DataDir, text};
use crate::nodes::Node;
use crate::people::RequiredFactor;

fn parsed(text: &str) -> Config {
    match parse(Path::new("f"), text, Some(Path::new("/data"))) {
        Ok(loaded) => loaded.config,
        Err(error) => panic!("{error}\n{text}"),
    }
}

#[test]
fn an_empty_file_means_the_defaults() {
    let config = parsed("# nothing\n");
    assert_eq!(config.data_dir.path(), Path::new("/data"));
    assert_eq!(config.auth.session_recording, SessionRecording::Proxy);
    assert!(config.auth.proxy_checks_host_keys);
    assert_eq!(config.auth.max_ttl, crate::cert::MAX_USER_TTL);
    assert_eq!(config.proxy.listen_addr, "0.0.0.0:3023".parse().unwrap());
    assert_eq!(config.proxy.public_addr, None);
    assert!(config.proxy.egress_addrs.is_empty() && config.nodes.is_empty());
    assert_eq!(config.recording.mode, RecordingMode::Strict);
    assert!(!config.recording.pty_input);
    assert_eq!(config.upstream.max_starting_per_host, 8);
    assert_eq!(config.permit, Permissions::default());
    assert!(!config.auth.authentication.has_sign_in());
    assert_eq!(config.auth.authentication.oidc, None);
    assert_eq!(
        config.auth.authentication.second_factor,
        RequiredFactor::Otp
    );
    assert_eq!(config.state.database, None);
    assert_eq!(config.state.max_stale, Duration::from_secs(30));
}

#[test]
fn a_type_is_a_word_or_a_list_of_words() {
    let types = |value: &str| {
        let text = format!("auth_service: {{ authentication: {{ type: {value} }} }}");
        parsed(&text).auth.authentication.types
    };
    let (certificate, local) = (AuthenticationType::Certificate, AuthenticationType::Local);
    assert_eq!(
        parsed(&with_provider("", PROXY)).auth.authentication.types,
        [local, AuthenticationType::Oidc]
    );
    assert_eq!(types("local"), [local]);
    assert_eq!(types("[local]"), [local]);
    assert_eq!(types("[local, certificate]"), [local, certificate]);
}

/// A file with a provider; `more` is in its section, and `proxy` in that of the proxy.
fn with_provider(more: &str, proxy: &str) -> String {
    format!(
        "auth_service:\n  authentication:\n    type: [local, oidc]\n    oidc:\n      \
           issuer: https://id.example.com/realms/one\n      \
           client_id: 'rproxy \"1\"'\n      \
           claims_to_roles:\n        \
             - {{ claim: \"https://example.com/groups\", value: \"a: b, c\", roles: [r, s] }}\n        \
             - {{ claim: admin, value: true, roles: [s] }}\n      {more}\n\
         roles: [{{ name: r }}, {{ name: s }}]\n\
         proxy_service: {{ web_plain_http: yes, {proxy} }}\n"
    )
}

const PROXY: &str = "public_addr: \"p:22\", web_listen_addr: \"127.0.0.1:3080\"";

#[test]
fn a_provider_is_read_and_printed() {
    let oidc = |text: &str| parsed(text).auth.authentication.oidc.unwrap();
    let plain = oidc(&with_provider("", PROXY));
    assert_eq!(plain.issuer.as_str(), "https://id.example.com/realms/one");
    assert_eq!(plain.client_id, "rproxy \"1\"");
    assert_eq!(plain.name_claim, "preferred_username");
    assert_eq!(plain.scopes, ["openid", "profile", "email"]);
    assert_eq!((&plain.client_secret_file, &plain.ca_file), (&None, &None));
    let [first, second] = plain.claims_to_roles.as_slice() else {
        panic!("{plain:?}");
    };
    assert_eq!(first.claim, "https://example.com/groups");
    assert_eq!(first.value, "a: b, c");
    assert_eq!(first.roles, ["r", "s"]);
    assert_eq!((&*second.claim, &*second.value), ("admin", "true"));
    let all = "name_claim: email\n      scopes: [openid, groups]\n      ca_file: /ca.pem\n      \
               client_secret_file: /secret";
    for more in ["", all] {
        let config = parsed(&with_provider(more, PROXY));
        let again = parsed(&to_yaml(&config));
        assert_eq!(again.auth, config.auth);
        assert_eq!(again.proxy, config.proxy);
    }
    let all = oidc(&with_provider(all, PROXY));
    assert_eq!(all.name_claim, "email");
    assert_eq!(all.ca_file, Some(PathBuf::from("/ca.pem")));
    assert_eq!(all.client_secret_file, Some(PathBuf::from("/secret")));
}

#[test]
fn browsers_come_to_the_public_name_with_the_port_of_the_web() {
    let origin = |proxy: &str| {
        parsed(&format!("proxy_service: {{ {proxy} }}"))
            .proxy
            .web_origin()
    };
    let web = |more: &str| {
        origin(&format!(
            "web_plain_http: yes, web_listen_addr: \":3081\", {more}"
        ))
    };
    assert_eq!(origin("public_addr: \"p:22\""), None);
    assert_eq!(web(""), None);
    for (more, expected) in [
        (
            "public_addr: \"p.example.com:22\"",
            "https://p.example.com:3081",
        ),
        ("public_addr: \"[::1]:22\"", "https://[::1]:3081"),
        ("public_addr: p, web_public_addr: w", "https://w:3081"),
        ("web_public_addr: \"w:443\"", "https://w"),
        ("web_public_addr: \"w:8443\"", "https://w:8443"),
    ] {
        assert_eq!(web(more).as_deref(), Some(expected), "{more}");
    }
}

#[test]
fn the_client_secret_is_read_from_a_file_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    let secret = |mode: u32, bytes: &[u8]| {
        use crate::sys::fs::{Replace, write_whole};
        write_whole(&file, bytes, mode, Replace::Allow).unwrap();
        let more = format!("client_secret_file: {}", file.display());
        let config = parsed(&with_provider(&more, PROXY));
        assert!(!to_yaml(&config).contains("s3cret"));
        config.auth.authentication.oidc.unwrap().client_secret()
    };
    assert_eq!(
        secret(0o600, b"s3cret\n").unwrap().unwrap().as_str(),
        "s3cret"
    );
    secret(0o604, b"s3cret\n").unwrap_err();
    secret(0o600, b"\n").unwrap_err();
    let public = parsed(&with_provider("", PROXY)).auth.authentication.oidc;
    assert_eq!(public.unwrap().client_secret().unwrap(), None);
}

#[test]
fn the_password_of_the_state_is_not_printed() {
    let config = parsed("state: { url: \"postgresql://u:secret@localhost/d\" }");
    let url = &config.state.database.as_ref().unwrap().url;
    assert_eq!(url.password(), Some("secret"));
    assert!(!to_yaml(&config).contains("secret"));
    assert!(!format!("{config:?}").contains("secret"));
    assert_eq!(parsed("state: { url: \"\" }").state.database, None);
}

#[test]
fn an_empty_list_permits_nothing_and_an_empty_key_is_silent() {
    let permit = |text| parsed(text).permit;
    let nothing = permit("permit: { permit_open: [], permit_listen: [none], accept_env: [] }\n");
    assert!(!nothing.may_open("db1", 1) && !nothing.may_listen("", 1));
    assert!(!nothing.accepts_env("LANG"));
    let silent = permit("permit:\n  permit_open:\n  accept_env:\n");
    assert_eq!(silent, Permissions::default());
}

#[test]
fn empty_sections_mean_the_defaults_too() {
    let sections = "auth_service:\nproxy_service:\nupstream:\npermit:\nnodes:\nrecording:\n";
    assert_eq!(parsed(sections), parsed(""));
}

#[test]
fn the_flag_stands_above_the_file() {
    let text = "data_dir: /file\n";
    let loaded = |flag| parse(Path::new("f"), text, flag).unwrap().config.data_dir;
    assert_eq!(loaded(None).path(), Path::new("/file"));
    assert_eq!(loaded(Some(Path::new("/flag"))).path(), Path::new("/flag"));
    assert!(loaded(Some(Path::new("here"))).path().is_absolute());
}

#[test]
fn the_hash_is_that_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rproxy.yaml");
    let text = "cluster_name: c\n";
    crate::sys::fs::write_whole(
        &file,
        text.as_bytes(),
        0o600,
        crate::sys::fs::Replace::Refuse,
    )
    .unwrap();
    let source = Source {
        file: Some(file),
        data_dir: Some(directory.path().to_owned()),
    };
    let config = source.load().unwrap().config;
    let expected = "bdb08fc5bcf61215a2008a59ec9fb7eaedb89c7f4e5cb2b996a86a92cbd39ab7";
    assert_eq!(config.sha256.as_deref(), Some(expected));
    assert_eq!(config.defaults().unwrap().sha256, None);
}

#[test]
fn a_flood_of_problems_is_cut() {
    let text: String = (0..1000).map(|n| format!("wrong{n}: 1\n")).collect();
    let error = parse(Path::new("f"), &text, None).unwrap_err();
    let shown = error.to_string();
    assert!(shown.starts_with("1000 problems in f\n"), "{shown}");
    assert!(shown.ends_with("\n... and 950 more"), "{shown}");
}

fn name() -> impl Strategy<Value = String> {
    "[a-z0-9_]([a-z0-9-]{0,10}[a-z0-9])?"
}

fn permissions() -> impl Strategy<Value = Permissions> {
    let direction = || {
        use Direction::{Both, Local, Neither, Remote};
        proptest::sample::select(vec![Both, Neither, Local, Remote])
    };
    let endpoints = || {
        let some = proptest::collection::vec(("([a-z0-9.]{1,5}|\\[::1\\]|\\*)", 1u16..), 0..4)
            .prop_map(|endpoints| {
                let parse = |(host, port)| EndpointPattern::open(&format!("{host}:{port}"));
                EndpointPatterns::Only(
                    endpoints
                        .into_iter()
                        .map(parse)
                        .map(Result::unwrap)
                        .collect(),
                )
            });
        prop_oneof![Just(EndpointPatterns::Any), some]
    };
    let names = proptest::collection::vec("[A-Z_*?]{1,6}", 0..4);
    (
        (direction(), direction()),
        (endpoints(), endpoints()),
        names,
        proptest::array::uniform3(proptest::bool::ANY),
        1u32..1000,
    )
        .prop_map(
            |((tcp, unix), (open, listen), names, [x11, agent, nested], sessions)| Permissions {
                port_forwarding: tcp,
                permit_open: open,
                permit_listen: listen,
                x11,
                agent,
                streamlocal: unix,
                nested_ssh: nested,
                accept_env: NamePatterns::new(
                    names.iter().map(|name| name.parse().unwrap()).collect(),
                ),
                max_sessions: sessions,
            },
        )
}

fn ca_keys() -> impl Strategy<Value = CaKeys> {
    let agent = prop_oneof![
        Just(AgentSocket::Environment),
        "/[^\0]{0,20}".prop_map(|path| AgentSocket::Path(PathBuf::from(path))),
    ];
    let key = (agent, any::<[u8; 32]>()).prop_map(|(agent, key)| KeyInAgent {
        agent,
        key: Fingerprint::Sha256(key),
    });
    let key = || proptest::option::of(key.clone());
    let keys = || (key(), key()).prop_map(|(current, next)| KeysInAgents { current, next });
    (keys(), keys()).prop_map(|(user, host)| CaKeys { user, host })
}

/// Text of this pattern in which everything is seen.
fn visible(pattern: &'static str) -> impl Strategy<Value = String> {
    pattern.prop_filter("visible", |text| text::is_printable(text))
}

proptest! {
    #[test]
    fn what_is_printed_loads_back(
        cluster in "[a-zA-Z0-9._-]{1,20}",
        directory in "/[^\0]{0,20}",
        switches: [bool; 4],
        counts in proptest::array::uniform6(1u32..=1_000_000),
        seconds in proptest::array::uniform4(1u64..31_449_600),
        permit in permissions(),
        ca_keys in ca_keys(),
        max_ttl in (1u64..=52 * 7 * 86_400).prop_map(Duration::from_secs),
        listen: (u32, u16),
        web in proptest::option::of((proptest::bool::ANY, "/[^\0]{0,20}")),
        public in proptest::option::of((name(), 1u16..)),
        nodes in proptest::collection::btree_map(
            name(),
            (name(), 1u16.., proptest::collection::btree_map(visible("[^=\\s\\p{C}]{1,8}"), visible("\\PC{0,8}"), 0..3)),
            0..4,
        ),
    ) {
        let [off, checks, best_effort, pty_input] = switches;
        let seconds = seconds.map(Duration::from_secs);
        let second = Duration::from_secs(1);
        // What is not set here has its default.
        let mut config = parsed("");
        config.cluster_name = cluster.parse().unwrap();
        config.data_dir = DataDir::new(directory);
        let recorded = if off { SessionRecording::Off } else { SessionRecording::Proxy };
        config.auth.session_recording = recorded;
        config.auth.proxy_checks_host_keys = checks;
        config.auth.max_ttl = max_ttl;
        config.auth.ca_keys = ca_keys;
        let types = [AuthenticationType::Local, AuthenticationType::Certificate];
        let authentication = &mut config.auth.authentication;
        authentication.types = types[usize::from(checks)..].to_vec();
        authentication.second_factor = [
            RequiredFactor::Off,
            RequiredFactor::Any,
            RequiredFactor::Otp,
            RequiredFactor::Webauthn,
        ][usize::from(off) * 2 + usize::from(best_effort)];
        authentication.sign_in_ttl = max_ttl;
        config.state.database = off.then(|| StateDatabase {
            url: "postgresql://u@h:1/d?sslmode=disable".parse().unwrap(),
            password_file: checks.then(|| PathBuf::from("/etc/rproxy/password")),
        });
        config.state.max_stale = seconds[1];
        let proxy = &mut config.proxy;
        proxy.listen_addr = SocketAddr::new(Ipv4Addr::from(listen.0).into(), listen.1);
        proxy.peer_addr = off.then(|| ("10.0.0.2".to_owned(), listen.1.max(1)));
        proxy.public_addr = public;
        proxy.egress_addrs = vec!["10.0.0.0/8".to_owned(), "2001:db8::/32".to_owned()];
        proxy.banner_file = Some(PathBuf::from("/etc/rproxy/banner"));
        proxy.max_connections = counts[0];
        proxy.max_connections_per_address = counts[1];
        proxy.max_connections_per_user = counts[2];
        proxy.max_starting = counts[3];
        proxy.login_grace_time = seconds[0];
        proxy.client_idle_timeout = seconds[1] - second;
        proxy.disconnect_expired_cert = pty_input;
        proxy.keep_alive_interval = seconds[2] - second;
        proxy.keep_alive_count_max = counts[4];
        proxy.drain_timeout = seconds[0] - second;
        proxy.sandbox = checks;
        proxy.web = web.map(|(is_plain, path)| Web {
            listen_addr: SocketAddr::new(Ipv6Addr::LOCALHOST.into(), listen.1),
            tls: match (is_plain, off) {
                (true, _) => WebTls::Plain,
                (false, true) => WebTls::Own,
                (false, false) => WebTls::Files(HttpsFiles {
                    cert_file: PathBuf::from(&path),
                    key_file: PathBuf::from(&path),
                }),
            },
        });
        proxy.web_public_addr = off.then(|| ("web.example.com".to_owned(), listen.1.max(1)));
        proxy.metrics_listen_addr = checks.then_some(proxy.listen_addr);
        config.upstream.max_starting_per_host = counts[5];
        config.upstream.connect_timeout = seconds[3];
        config.permit = permit;
        config.nodes = nodes.into_iter().map(|(name, (host, port, labels))| Node {
            name,
            host,
            port,
            labels: labels
                .into_iter()
                .map(|(key, value)| crate::model::Label { key, value })
                .collect(),
            legacy: crate::wire::Legacy::all().take(usize::from(port) % 8).collect(),
            ..Node::default()
        }).collect();
        let mode = if best_effort { RecordingMode::BestEffort } else { RecordingMode::Strict };
        config.recording.mode = mode;
        config.recording.pty_input = pty_input;
        let text = to_yaml(&config);
        let loaded = match parse(Path::new("f"), &text, None) {
            Ok(loaded) => loaded.config,
            Err(error) => return Err(TestCaseError::fail(format!("{error}\n{text}"))),
        };
        prop_assert_eq!(loaded, config);
    }
}

#[test]
fn what_needs_a_restart_is_named_and_keeps_its_value() {
    let old = parsed("cluster_name: c\n");
    let mut new = parsed(
        "cluster_name: other\n\
         proxy_service: { listen_addr: \":22\", max_starting: 7, login_grace_time: 5s }\n\
         upstream: { max_starting_per_host: 1 }\n\
         permit: { x11: yes }\n",
    );
    let kept = new.keep_until_restart(&old);
    assert_eq!(
        kept,
        [
            "cluster_name",
            "proxy_service.listen_addr",
            "proxy_service.max_starting",
            "upstream.max_starting_per_host",
        ]
    );
    assert_eq!(new.cluster_name, old.cluster_name);
    assert_eq!(new.proxy.max_starting, old.proxy.max_starting);
    assert!(new.permit.x11, "the rest is the new one's");
    assert_ne!(new.proxy.login_grace_time, old.proxy.login_grace_time);
    assert!(old.clone().keep_until_restart(&old).is_empty());
}

/// The keys that a running proxy cannot change: each is named, whatever else has changed.
#[test]
fn every_key_that_needs_a_restart_is_known() {
    let old = parsed("cluster_name: c\n");
    let mut new = parsed(
        "cluster_name: d\n\
         data_dir: /other\n\
         auth_service:\n  \
           session_recording: off\n  \
           proxy_checks_host_keys: no\n  \
           max_ttl: 1h\n  \
           authentication:\n    \
             type: [local, oidc]\n    \
             second_factor: any\n    \
             sign_in_ttl: 1h\n    \
             oidc: { issuer: \"https://id.example.com\", client_id: c, claims_to_roles: [{ claim: g, value: v, roles: [r] }] }\n  \
           ca_keys: { host: { agent: /a, key: \"SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\" } }\n\
         state: { url: \"postgresql://u@localhost/d\", max_stale: 1s }\n\
         proxy_service:\n  \
           listen_addr: \":1\"\n  \
           public_addr: p\n  \
           peer_addr: q\n  \
           egress_addrs: [10.0.0.1]\n  \
           banner_file: /b\n  \
           max_connections: 1\n  \
           max_connections_per_address: 1\n  \
           max_connections_per_user: 1\n  \
           max_starting: 1\n  \
           login_grace_time: 1s\n  \
           client_idle_timeout: 1s\n  \
           disconnect_expired_cert: yes\n  \
           keep_alive_interval: 1s\n  \
           keep_alive_count_max: 1\n  \
           drain_timeout: 1s\n  \
           sandbox: no\n  \
           web_listen_addr: \"127.0.0.1:1\"\n  \
           web_plain_http: yes\n  \
           web_public_addr: w\n  \
           metrics_listen_addr: \"127.0.0.1:2\"\n\
         roles: [{ name: r }]\n\
         upstream: { max_starting_per_host: 1, connect_timeout: 1s }\n\
         recording: { mode: best_effort, pty_input: yes }\n",
    );
    new.data_dir = DataDir::new("/other");
    let wanted = new.clone();
    let kept = new.keep_until_restart(&old);
    assert_eq!(
        kept,
        [
            "cluster_name",
            "data_dir",
            "auth_service.ca_keys",
            "auth_service.authentication.type",
            "auth_service.authentication.second_factor",
            "auth_service.authentication.sign_in_ttl",
            "auth_service.authentication.oidc",
            "state.url",
            "state.max_stale",
            "proxy_service.listen_addr",
            "proxy_service.peer_addr",
            "proxy_service.banner_file",
            "proxy_service.max_connections",
            "proxy_service.max_connections_per_address",
            "proxy_service.max_connections_per_user",
            "proxy_service.max_starting",
            "proxy_service.sandbox",
            "proxy_service.web_listen_addr",
            "proxy_service.web_public_addr",
            "proxy_service.metrics_listen_addr",
            "upstream.max_starting_per_host",
        ]
    );
    // The rest is taken over.
    assert_eq!(new.recording, wanted.recording);
    assert_eq!(
        new.upstream.connect_timeout,
        wanted.upstream.connect_timeout
    );
    assert_eq!(new.auth.session_recording, wanted.auth.session_recording);
    assert_eq!(new.proxy.public_addr, wanted.proxy.public_addr);
    assert_eq!(new.auth.ca_keys, old.auth.ca_keys);
    assert_eq!(new.proxy.web, None);
}

//! The section `proxy_service`: the listeners, and the limits of the connections to them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::diagnostic::Diagnostics;
use super::key::{DefaultValue, Key, ValueType};
use super::scalar::{
    COUNT, Composite, DURATION, DURATION_OR_ZERO, NETWORK, NONE, PATH, SWITCH, listener,
};
use super::section::Section;
use super::table::{OnReload, Protection, section};
use super::value::{self, yaml_text};
use super::web::{self, HTTPS_CERT_FILE, HTTPS_KEY_FILE, WEB_PLAIN_HTTP, Web};
use crate::cert::SourceAddresses;

/// The port of the listener where none is given.
const LISTEN_PORT: u16 = 3023;
/// The port of the metrics where none is given.
const METRICS_PORT: u16 = 3081;

section! {
    PROXY_SERVICE = "proxy_service", ProxyService, "The listener.", [Clone] {
        LISTEN_ADDR = "listen_addr" => listen_addr: SocketAddr {
            value: listener::<LISTEN_PORT>(
                "an address with a port, as in 0.0.0.0:3023, [::]:3023 or :3023",
            ),
            default: DefaultValue::Value("0.0.0.0:3023"),
            reload: OnReload::NeedsRestart,
            protection: Protection::Unaffected,
            doc: "Where clients are accepted. \":PORT\" means every IPv4 address of the machine, an \
                  address alone means port 3023, port 0 means a free one.",
        }
        PUBLIC_ADDR = "public_addr" => public_addr: Option<(String, u16)> {
            value: PUBLIC,
            default: DefaultValue::Nothing,
            reload: OnReload::Applied,
            protection: Protection::Unaffected,
            doc: "Under which name clients reach the listener. The proxy's own host certificate is \
                  made out to it. Without a port, the listener's.",
        }
        EGRESS_ADDRS = "egress_addrs" => egress_addrs: Vec<String> {
            value: NETWORK.risky(|network| network.ends_with("/0").then_some(
                "every address is in it, so certificates are good from everywhere",
            )).list(),
            default: DefaultValue::Nothing,
            reload: OnReload::Applied,
            protection: Protection::Weaker(|old, new| admits_more(old, new)),
            doc: "From which addresses this proxy connects to hosts. They are written as \
                  source-address into user certificates, so that sshd accepts them through the \
                  proxy only.",
        }
        BANNER_FILE = "banner_file" => banner_file: Option<PathBuf> {
            value: PATH.optional(),
            default: DefaultValue::Nothing,
            // The file is read again; a worker that is confined can read no other one.
            reload: OnReload::NeedsRestart,
            protection: Protection::Unaffected,
            doc: "A text that everybody reads before they log in through the proxy, such as that \
                  sessions here are recorded. 64 KiB at most. It is read again when the \
                  configuration is.",
        }
        MAX_CONNECTIONS = "max_connections" => max_connections: u32 {
            value: COUNT,
            default: DefaultValue::Value("1000"),
            reload: OnReload::NeedsRestart,
            protection: Protection::Unaffected,
            doc: "Most clients at a time. One more is told so and disconnected.",
        }
        MAX_CONNECTIONS_PER_ADDRESS = "max_connections_per_address" => max_connections_per_address: u32 {
            value: COUNT,
            default: DefaultValue::Value("500"),
            reload: OnReload::NeedsRestart,
            protection: Protection::Unaffected,
            doc: "Most clients at a time from one address. Of IPv6, a /64 network counts as one.",
        }
        MAX_CONNECTIONS_PER_USER = "max_connections_per_user" => max_connections_per_user: u32 {
            value: COUNT,
            default: DefaultValue::Value("500"),
            reload: OnReload::NeedsRestart,
            protection: Protection::Unaffected,
            doc: "Most authenticated clients at a time with certificates of one key id.",
        }
        MAX_STARTING = "max_starting" => max_starting: u32 {
            value: COUNT,
            default: DefaultValue::Value("300"),
            reload: OnReload::NeedsRestart,
            protection: Protection::Unaffected,
            doc: "Most clients at a time that have not authenticated yet, three quarters of them \
                  from one address (of IPv6, a /64 network). If all places are taken, a client from \
                  an address with fewer of them gets the place of the oldest client from the \
                  address with the most; any other is told so and disconnected. Nobody is dropped \
                  at random.",
        }
        LOGIN_GRACE_TIME = "login_grace_time" => login_grace_time: Duration {
            value: DURATION,
            default: DefaultValue::Value("2m"),
            reload: OnReload::Applied,
            protection: Protection::Unaffected,
            doc: "How long a client may take to authenticate, at the proxy and again inside.",
        }
        CLIENT_IDLE_TIMEOUT = "client_idle_timeout" => client_idle_timeout: Duration {
            value: DURATION_OR_ZERO,
            default: DefaultValue::Value("0s"),
            reload: OnReload::Applied,
            protection: Protection::Weaker(|old, new| {
                !old.is_zero() && (new.is_zero() || new > old)
            }),
            doc: "After how long without a byte from the client, on any channel of a connection, \
                  the connection ends. 0 means never.",
        }
        DISCONNECT_EXPIRED_CERT = "disconnect_expired_cert" => disconnect_expired_cert: bool {
            value: SWITCH,
            default: DefaultValue::Value("no"),
            reload: OnReload::Applied,
            protection: Protection::WHILE_ON,
            doc: "Whether connections end when the certificate expires that they were made with. \
                  Users at a terminal are warned five minutes before, except with ProxyJump.",
        }
        KEEP_ALIVE_INTERVAL = "keep_alive_interval" => keep_alive_interval: Duration {
            value: DURATION_OR_ZERO,
            default: DefaultValue::Value("30s"),
            reload: OnReload::Applied,
            protection: Protection::Unaffected,
            doc: "After how long a silent client, or a silent host, is asked whether it is still \
                  there. 0 means never.",
        }
        KEEP_ALIVE_COUNT_MAX = "keep_alive_count_max" => keep_alive_count_max: u32 {
            value: COUNT,
            default: DefaultValue::Value("3"),
            reload: OnReload::Applied,
            protection: Protection::Unaffected,
            doc: "How many such questions may go unanswered before the connection counts as lost.",
        }
        DRAIN_TIMEOUT = "drain_timeout" => drain_timeout: Duration {
            value: DURATION_OR_ZERO,
            default: DefaultValue::Value("30s"),
            reload: OnReload::Applied,
            protection: Protection::Unaffected,
            doc: "How long connections may go on after SIGTERM or SIGINT: nobody is accepted any \
                  more, users at a terminal are told, except with ProxyJump, and what is left then \
                  is ended. A second signal ends it at once. 0 means that nobody is waited for.",
        }
        SANDBOX = "sandbox" => sandbox: bool {
            value: SWITCH,
            default: DefaultValue::Value("yes"),
            reload: OnReload::NeedsRestart,
            protection: Protection::WHILE_ON,
            doc: "Whether the process that talks to the network gives up the files and the system \
                  calls that it has no use for, as far as the kernel can (Landlock, seccomp).",
        }
        WEB_LISTEN_ADDR = "web_listen_addr" + HTTPS_CERT_FILE + HTTPS_KEY_FILE + WEB_PLAIN_HTTP
        => web: Option<Web> {
            value: web::WEB,
            default: DefaultValue::Nothing,
            reload: OnReload::NeedsRestart,
            protection: Protection::WeakerBy(&WEB_PLAIN_HTTP, |old, new| {
                !web::is_plain(old) && web::is_plain(new)
            }),
            doc: "Where HTTPS is served: the CAs' public keys and the list of what is revoked. \
                  Without it, nowhere. An address alone means port 3080.",
        }
        METRICS_LISTEN_ADDR = "metrics_listen_addr" => metrics_listen_addr: Option<SocketAddr> {
            value: listener::<METRICS_PORT>(
                "an address with a port, as in 127.0.0.1:3081, [::1]:3081 or :3081",
            ).optional(),
            default: DefaultValue::Nothing,
            reload: OnReload::NeedsRestart,
            protection: Protection::Weaker(|old, new| is_open(*new) && !is_open(*old)),
            doc: "Where metrics for Prometheus and the state of the proxy are served over plain \
                  HTTP, to anybody who asks. Without it, nowhere. An address alone means port 3081.",
        }
    }
}

/// A host and a port, which is the listener's where none is given.
const PUBLIC: Composite<Option<(String, u16)>> = Composite {
    form: ValueType::Text("a host name or address with a port, as in proxy.example.com:3023"),
    read: read_public,
    print: |key, public| {
        let print = |(host, port): &(String, u16)| {
            let address = value::format_host_and_port(host, *port);
            format!("{}: {}", key.name, yaml_text(&address))
        };
        public.iter().map(print).collect()
    },
    show: |public| {
        let show = |(host, port): &(String, u16)| value::format_host_and_port(host, *port);
        public.as_ref().map_or_else(|| NONE.to_owned(), show)
    },
};

fn read_public(
    section: &Section<'_>,
    key: &Key,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Option<(String, u16)>> {
    let public = section.value(key, value::host_and_port, diagnostics);
    let listener = section.peek(&LISTEN_ADDR, |text| {
        value::listener(&LISTEN_ADDR, LISTEN_PORT, text)
    });
    let default = listener.map_or(LISTEN_PORT, |address| address.port());
    Some(
        public
            .map(|public| public.value)
            .map(|(host, port)| (host, port.unwrap_or(default))),
    )
}

/// Whether certificates are good from more addresses than before. An empty list is no limit.
fn admits_more(old: &[String], new: &[String]) -> bool {
    // Each of them was read as a network already: only an empty list is none.
    let read = |networks: &[String]| networks.join(",").parse::<SourceAddresses>().ok();
    read(old).is_some_and(|old| read(new).is_none_or(|new| !new.is_within(&old)))
}

/// Whether other machines may ask there.
fn is_open(address: Option<SocketAddr>) -> bool {
    address.is_some_and(|address| !address.ip().is_loopback())
}

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
use super::web::{self, HTTPS_CERT_FILE, HTTPS_KEY_FILE, WEB_PLAIN_HTTP, WEB_PORT, Web};
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
        PEER_ADDR = "peer_addr" => peer_addr: Option<(String, u16)> {
            value: PUBLIC,
            default: DefaultValue::Nothing,
            reload: OnReload::NeedsRestart,
            protection: Protection::Unaffected,
            doc: "Where other proxies on the same PostgreSQL reach the listener: the clients of all \
                  proxies then reach the hosts that have a tunnel open to this one. Without it, only \
                  this proxy's clients do. Without a port, the listener's.",
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
            doc: "How long a client may take to authenticate, at the proxy and again inside. With \
                  authentication.type \"oidc\", at least five minutes, the time of a link.",
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
        WEB_PUBLIC_ADDR = "web_public_addr" => web_public_addr: Option<(String, u16)> {
            value: WEB_PUBLIC,
            default: DefaultValue::Derived(
                "the host of public_addr, with the port of web_listen_addr",
            ),
            reload: OnReload::NeedsRestart,
            protection: Protection::Unaffected,
            doc: "Under which name browsers reach the web, over HTTPS: the links to sign in with \
                  OpenID Connect have it, and the provider sends browsers back to it. Without a \
                  port, that of web_listen_addr.",
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

/// Notes that other proxies never come: they do not share the state.
pub(super) fn peers_need_a_database(root: &Section<'_>, diagnostics: &mut Diagnostics<'_>) {
    // What is wrong in this section was noted when it was read.
    let mut noted = Diagnostics::new("", "");
    let section = root.section(&PROXY_SERVICE, &mut noted);
    let message =
        "is not used: proxies find each other in a PostgreSQL database, which state.url names";
    diagnostics.warning(
        section.place_of(&PEER_ADDR),
        &section.path_to(PEER_ADDR.name),
        message,
    );
}

impl ProxyService {
    /// Where other proxies reach this one, as `host:port`.
    #[must_use]
    pub fn peer_address(&self) -> Option<String> {
        let (host, port) = self.peer_addr.as_ref()?;
        Some(value::format_host_and_port(host, *port))
    }

    /// The web as browsers reach it, as in `https://proxy.example.com:3080`; `None` without a web,
    /// and where neither `web_public_addr` nor `public_addr` names a host. A URL without TLS is never
    /// made: with `web_plain_http`, a reverse proxy speaks HTTPS with the browsers.
    #[must_use]
    pub fn web_origin(&self) -> Option<String> {
        let web = self.web.as_ref()?;
        let (host, port) = match (&self.web_public_addr, &self.public_addr) {
            (Some((host, port)), _) => (host, *port),
            (None, Some((host, _))) => (host, web.listen_addr.port()),
            (None, None) => return None,
        };
        let address = value::format_host_and_port(host, port);
        if port == 0 {
            return None;
        }
        // Browsers leave out the default port, and providers compare redirect URLs as texts.
        let address = address.strip_suffix(":443").unwrap_or(&address);
        Some(format!("https://{address}"))
    }
}

/// A host and a port, which is the listener's where none is given.
const PUBLIC: Composite<Option<(String, u16)>> = Composite {
    form: ValueType::Text("a host name or address with a port, as in proxy.example.com:3023"),
    read: |section, key, diagnostics| {
        let port = port(section, &LISTEN_ADDR, LISTEN_PORT);
        Some(read_public(section, key, port, diagnostics))
    },
    print: print_public,
    show: show_public,
};

/// The same for the web's listener.
const WEB_PUBLIC: Composite<Option<(String, u16)>> = Composite {
    form: ValueType::Text("a host name or address with a port, as in proxy.example.com:3080"),
    read: |section, key, diagnostics| {
        let port = port(section, &WEB_LISTEN_ADDR, WEB_PORT);
        Some(read_public(section, key, port, diagnostics))
    },
    print: print_public,
    show: show_public,
};

/// The port of a listener.
fn port(section: &Section<'_>, listener: &Key, default: u16) -> u16 {
    let address = section.peek(listener, |text| value::listener(listener, default, text));
    address.map_or(default, |address| address.port())
}

fn read_public(
    section: &Section<'_>,
    key: &Key,
    default: u16,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<(String, u16)> {
    let public = section.value(key, value::host_and_port, diagnostics)?;
    let (host, port) = public.value;
    Some((host, port.unwrap_or(default)))
}

fn print_public(key: &Key, public: &Option<(String, u16)>) -> Vec<String> {
    let print = |(host, port): &(String, u16)| {
        let address = value::format_host_and_port(host, *port);
        format!("{}: {}", key.name, yaml_text(&address))
    };
    public.iter().map(print).collect()
}

fn show_public(public: &Option<(String, u16)>) -> String {
    let show = |(host, port): &(String, u16)| value::format_host_and_port(host, *port);
    public.as_ref().map_or_else(|| NONE.to_owned(), show)
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

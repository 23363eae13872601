//! What is known about a host of the inventory, from the configuration or the state.

use serde::Serialize;

use crate::cli::inventory::{HostList, last_seen};
use crate::cli::table::{Cell, Tint};
use crate::cli::ui;
use crate::config::format_host_and_port;
use crate::model::{Label, TunnelRule};
use crate::nodes::Node;
use crate::state::{JoinedNode, NodeLock};

/// Whether a host that has joined reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Presence {
    Online,
    Offline,
}

impl Presence {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
        }
    }
}

/// The tunnel of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TunnelStanding {
    /// It may keep none.
    No,
    /// It may, and keeps none.
    Closed,
    /// It keeps one.
    Open,
}

impl TunnelStanding {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Closed => "closed",
            Self::Open => "open",
        }
    }
}

/// A host of the inventory.
#[derive(Clone, Copy, Debug)]
pub(super) struct HostOverview<'a> {
    pub(super) name: &'a str,
    pub(super) labels: &'a [Label],
    host: &'a str,
    port: u16,
    /// What the state has; `None` for a host of the configuration.
    pub(super) joined: Option<&'a JoinedNode>,
    /// `None` for a host of the configuration, which does not report.
    pub(super) presence: Option<Presence>,
    /// The tunnel that it keeps open.
    pub(super) open: Option<OpenAt<'a>>,
}

/// An open tunnel.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenAt<'a> {
    pub(super) since: u64,
    /// Where other proxies reach the proxy at which it ends, if it has said so.
    pub(super) proxy: Option<&'a str>,
}

impl<'a> HostOverview<'a> {
    /// All hosts, by their names.
    pub(super) fn all(hosts: &'a HostList) -> Vec<Self> {
        let listed = hosts.listed().iter().map(Self::of_listed);
        let joined = hosts.joined().map(|node| Self::of_joined(node, hosts));
        let mut all: Vec<Self> = listed.chain(joined).collect();
        all.sort_by_key(|one| one.name);
        all
    }

    fn of_listed(node: &'a Node) -> Self {
        Self {
            name: &node.name,
            labels: &node.labels,
            host: &node.host,
            port: node.port,
            joined: None,
            presence: None,
            open: None,
        }
    }

    fn of_joined(node: &'a JoinedNode, hosts: &'a HostList) -> Self {
        Self {
            name: &node.name,
            labels: &node.labels,
            host: &node.address,
            port: node.port,
            joined: Some(node),
            presence: Some(match hosts.is_online(node) {
                true => Presence::Online,
                false => Presence::Offline,
            }),
            open: hosts.tunnel_of(node).map(|tunnel| OpenAt {
                since: tunnel.since,
                proxy: hosts.proxy_of(tunnel),
            }),
        }
    }

    /// Where it is dialled.
    pub(super) fn address(&self) -> String {
        format_host_and_port(self.host, self.port)
    }

    /// When it has last reported, in seconds since the epoch.
    pub(super) fn last_seen(&self) -> Option<u64> {
        self.joined.map(last_seen)
    }

    pub(super) fn certificate_expires(&self) -> Option<u64> {
        Some(self.joined?.certificate.as_ref()?.expires)
    }

    /// What `sshd -V` says there.
    pub(super) fn sshd(&self) -> Option<&'a str> {
        let heartbeat = self.joined?.heartbeat.as_ref()?;
        Some(heartbeat.sshd.as_str()).filter(|sshd| !sshd.is_empty())
    }

    pub(super) fn problem(&self) -> Option<&'a str> {
        self.joined?.heartbeat.as_ref()?.problem.as_deref()
    }

    pub(super) fn lock(&self) -> Option<&'a NodeLock> {
        self.joined?.lock.as_ref()
    }

    /// Whether it may, or has to, keep a tunnel.
    pub(super) fn tunnel_rule(&self) -> TunnelRule {
        self.joined.map_or(TunnelRule::No, |node| node.tunnel)
    }

    pub(super) fn tunnel(&self) -> TunnelStanding {
        match (self.tunnel_rule(), self.open) {
            (_, Some(_)) => TunnelStanding::Open,
            (TunnelRule::No, None) => TunnelStanding::No,
            (TunnelRule::Allowed | TunnelRule::Required, None) => TunnelStanding::Closed,
        }
    }

    /// For a table: whether it is locked, reports, or is of the configuration.
    pub(super) fn standing(&self) -> Cell {
        let Some(presence) = self.presence else {
            return "-".into();
        };
        let text = presence.as_str();
        match (presence, self.lock()) {
            (_, Some(_)) => Cell::tinted(format!("{text}, locked"), Tint::Odd),
            (Presence::Online, None) => Cell::tinted(text, Tint::Good),
            (Presence::Offline, None) => Cell::tinted(text, Tint::Bad),
        }
    }
}

/// The fields of a host in `--format json`; the keys are fixed.
#[derive(Serialize)]
pub(super) struct HostObject<'a> {
    name: &'a str,
    id: Option<String>,
    /// Whether it is of the `configuration` or has `joined`.
    source: &'static str,
    state: Option<Presence>,
    last_seen: Option<String>,
    address: String,
    labels: Vec<String>,
    certificate_expires: Option<String>,
    sshd: Option<&'a str>,
    tunnel: TunnelStanding,
    tunnel_rule: TunnelRule,
    tunnel_since: Option<String>,
    tunnel_proxy: Option<&'a str>,
    locked: Option<NodeLockObject<'a>>,
    problem: Option<&'a str>,
}

#[derive(Serialize)]
struct NodeLockObject<'a> {
    since: String,
    reason: Option<&'a str>,
    by: &'a str,
}

impl<'a> HostObject<'a> {
    pub(super) fn new(host: &HostOverview<'a>) -> Self {
        let open = host.open;
        Self {
            name: host.name,
            id: host.joined.map(|node| node.id.to_string()),
            source: match host.joined {
                Some(_) => "joined",
                None => "configuration",
            },
            state: host.presence,
            last_seen: host.last_seen().map(ui::time),
            address: host.address(),
            labels: texts(host.labels),
            certificate_expires: host.certificate_expires().map(ui::time),
            sshd: host.sshd(),
            tunnel: host.tunnel(),
            tunnel_rule: host.tunnel_rule(),
            tunnel_since: open.map(|open| ui::time(open.since)),
            tunnel_proxy: open.and_then(|open| open.proxy),
            locked: host.lock().map(|lock| NodeLockObject {
                since: ui::time(lock.at),
                reason: lock.reason.as_deref(),
                by: &lock.by,
            }),
            problem: host.problem(),
        }
    }
}

/// Labels, for people.
pub(super) fn listed(labels: &[Label], between: &str) -> String {
    let labels: Vec<String> = labels.iter().map(Label::listed).collect();
    labels.join(between)
}

/// Labels as `key=value`.
pub(super) fn texts(labels: &[Label]) -> Vec<String> {
    labels.iter().map(Label::to_string).collect()
}

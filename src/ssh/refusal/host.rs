//! What is wrong with the host: it is out of reach, is no SSH server, or is not the one asked for.

use std::error::Error;
use std::fmt::Display;
use std::time::Duration;

use super::message::Refusal;
use super::reason::RefusalReason;
use crate::access::{HostWay, Route};
use crate::audit::Party;
use crate::cert::{HostKeyError, KeyError, PresentedKey, short_host_key_hint};
use crate::model::{Target, format_duration};
use crate::ssh::identify::NoServer;
use crate::wire::{Mismatch, NoCommonAlgorithm};

/// The host accepts no connection, or its key exchange failed.
pub(crate) fn unreachable(route: &Route, error: &dyn Error) -> Refusal {
    let mut text = format!(
        "cannot reach {} ({}): {error}",
        route.target.host,
        route.reached()
    );
    if let Some(source) = error.source() {
        text.push_str(&format!(": {source}"));
    }
    let host = &route.target.host;
    Refusal::new(Party::Proxy, RefusalReason::Unreachable, text).hint(match route.way {
        HostWay::Direct => format!("check that sshd runs on {host} and that the proxy can reach its port"),
        HostWay::Tunnel(_) | HostWay::TunnelOrDirect(_) => {
            format!("check that sshd and the tunnel run on {host}: systemctl status rproxy-tunnel (docs/nodes.md)")
        }
    })
}

/// The same for a host that has an address too: before that, its tunnel has failed.
pub(crate) fn neither_way(route: &Route, tunnel: &dyn Error, error: &dyn Error) -> Refusal {
    let mut refusal = unreachable(route, error);
    let before = format!(" (before that, through its tunnel: {tunnel})");
    refusal.message.push_str(&before);
    refusal
}

/// The host is reached through its tunnel only, and has had none open for this long.
pub(crate) fn no_tunnel(route: &Route, waited: Duration) -> Refusal {
    let host = &route.target.host;
    let text = format!(
        "cannot reach {host}: it is reached through its tunnel only, and has had none open for {}",
        format_duration(waited)
    );
    Refusal::new(Party::Proxy, RefusalReason::NoTunnel, text).hint(format!(
        "check that {host} is up and can reach this proxy; on {host}: systemctl status rproxy-tunnel (docs/nodes.md)"
    ))
}

/// What accepts connections there does not identify itself as an SSH server.
pub(crate) fn no_server(route: &Route, error: &NoServer) -> Refusal {
    let what = format!("{} ({}) {error}", route.target.host, route.reached());
    match error {
        NoServer::Other(_) => Refusal::new(Party::Proxy, RefusalReason::NotSsh, what)
            .hint("correct the port: the one that was asked for, or that of `addr` in the proxy's nodes"),
        NoServer::TurnedAway(_, source) => {
            Refusal::new(Party::Proxy, RefusalReason::HostDropped, format!("{what}: {source}"))
                .hint(format!("it is overloaded or blocks the proxy; on {}: see the log of sshd, and MaxStartups and PerSourcePenalties in sshd_config (docs/hosts.md)", route.target.host))
        }
        NoServer::Leg(source) => unreachable(route, source),
    }
}

/// The host's RSA key has only so many bits.
pub(crate) fn short_host_key(route: &Route, bits: usize) -> Refusal {
    let name = route.names.last().map_or("NAME", String::as_str);
    Refusal::new(
        Party::HostCertificate,
        RefusalReason::WeakKey,
        Mismatch::ShortHostKey(bits).to_string(),
    )
    .hint(short_host_key_hint(name))
}

/// The host has no algorithm in common with the proxy, in these lists.
pub(crate) fn nothing_in_common(route: &Route, lacking: &[NoCommonAlgorithm]) -> Refusal {
    let host = &route.target.host;
    let lists: Vec<String> = lacking.iter().map(NoCommonAlgorithm::to_string).collect();
    let text = format!(
        "cannot speak with {host} ({}): {}",
        route.reached(),
        lists.join("; ")
    );
    Refusal::new(Party::Proxy, RefusalReason::NoCommonAlgorithm, text)
        .hint(more_algorithms(host, lacking))
}

/// What to do about a host that knows no algorithm of ours.
fn more_algorithms(host: &impl Display, lacking: &[NoCommonAlgorithm]) -> String {
    let names: Vec<_> = lacking
        .iter()
        .flat_map(|lacking| &lacking.legacy)
        .map(|one| one.name())
        .collect();
    if lacking.iter().all(|lacking| !lacking.legacy.is_empty()) {
        return format!(
            "update sshd on {host}; if that is impossible, on the proxy, in its configuration at the entry of {host} in nodes: legacy_algorithms: [{}]",
            names.join(", ")
        );
    }
    if lacking
        .iter()
        .all(|lacking| lacking.kind == NoCommonAlgorithm::HOST_KEY)
    {
        return format!(
            "rproxy does not know this kind of key: on {host}, add an Ed25519 host key (ssh-keygen -A, HostKey in sshd_config) with a certificate"
        );
    }
    format!("on {host}: update sshd, or let its sshd_config have more algorithms")
}

/// A host key that cannot be read.
pub(crate) fn malformed_host_key(target: &Target, error: &KeyError) -> Refusal {
    let hint = format!("on {}: {}", target.host, error.hint());
    Refusal::new(Party::HostCertificate, error.into(), error.to_string()).hint(hint)
}

/// A host key or certificate that is not the one that it should be.
pub(crate) fn bad_host_key(error: &HostKeyError) -> Refusal {
    Refusal::new(Party::HostCertificate, error.into(), error.to_string()).hint(error.hint())
}

/// The host's certificate was made for another node than the one that was asked for.
pub(crate) fn other_node(route: &Route) -> Refusal {
    let host = &route.target.host;
    Refusal::new(
        Party::HostCertificate,
        RefusalReason::OtherNode,
        format!("remote host's certificate was made for another node than {host}, which has joined with another key or was removed since"),
    )
    .hint(format!(
        "find out which machine answers there before you trust it; on {host}: its next heartbeat brings its own certificate; on the proxy: rproxy nodes show {host}"
    ))
}

/// The host's key or certificate is revoked, for this reason where one was given.
pub(crate) fn revoked_host(presented: &PresentedKey, reason: Option<&str>) -> Refusal {
    let what = match presented {
        PresentedKey::Certificate(_) => "remote host's certificate revoked",
        PresentedKey::Plain(_) => "remote host's key revoked",
    };
    let text = match reason {
        Some(reason) => format!("{what}: {reason}"),
        None => what.to_owned(),
    };
    Refusal::new(Party::HostCertificate, RefusalReason::Revoked, text)
        .hint("tell the people who run this proxy: the host needs a new key, and a certificate for it; on the proxy: rproxy host setup")
}

/// The host's certificate no longer has a name that the client's ssh was shown.
pub(crate) fn name_lost(name: &str) -> Refusal {
    Refusal::new(
        Party::HostCertificate,
        RefusalReason::HostNameLost,
        format!("remote host's certificate is no longer for {name}, as it was the last time"),
    )
    .hint("connect again: the proxy has noticed, and shows that name no more")
}

/// The host has not answered for this long, on a connection that is relayed.
pub(crate) fn host_lost(silence: Duration) -> Refusal {
    let text = format!("the host has not answered for {}", format_duration(silence));
    Refusal::new(Party::Proxy, RefusalReason::HostLost, text)
}

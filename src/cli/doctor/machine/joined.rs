//! The hosts that have joined, as the state knows them: what they report, their certificates and tunnels.

use std::time::Duration;

use super::super::checks::{
    NODE_CERTIFICATE, NODE_CLOCK, NODE_PROBLEM, NODE_REPORT, NODE_TUNNEL, NODE_TWICE,
};
use super::super::report::Finding;
use crate::cli::inventory::{HostList, last_seen};
use crate::cli::ui::time;
use crate::config::Config;
use crate::model::{TunnelRule, format_duration};
use crate::state::{JoinedNode, NodeCertificate};

/// By how many seconds a host's clock may differ: its report took time too.
const TOLERANCE: u64 = 60;

/// Judges the hosts by what the state has about them.
pub(super) fn examine(config: &Config, hosts: &HostList, now: u64, findings: &mut Vec<Finding>) {
    for name in hosts.names_in_both() {
        let detail = format!(
            "is a node of {}, and has joined: the file counts",
            config.file
        );
        let hint = format!("remove it from the file, or from the state: rproxy nodes rm {name}");
        findings.push(Finding::error(&NODE_TWICE, name, detail, hint));
    }
    for node in hosts.joined() {
        let name = &node.name;
        if let Some(lock) = &node.lock {
            let detail = format!("locked by {} since {}", lock.by, time(lock.at));
            findings.push(Finding::ok(&NODE_REPORT, name, detail));
            continue;
        }
        findings.push(report(hosts, node));
        findings.push(certificate(node, now));
        findings.extend(tunnel(hosts, node));
        if hosts.is_online(node) {
            findings.extend(clock(node));
            findings.extend(problem(node));
        }
    }
}

/// Whether it reports.
fn report(hosts: &HostList, node: &JoinedNode) -> Finding {
    let (name, seen) = (&node.name, time(last_seen(node)));
    if hosts.is_online(node) {
        let detail = format!("online, last seen {seen}");
        return Finding::ok(&NODE_REPORT, name, detail);
    }
    let detail = format!("offline: it has not reported since {seen}");
    let hint = format!(
        "on {name}: `systemctl status rproxy-heartbeat.timer`, or the cron line, and whether the proxy \
         can be reached; if the host is gone, on the proxy: rproxy nodes rm {name}"
    );
    Finding::warning(&NODE_REPORT, name, detail, hint)
}

/// Whether its certificate was renewed in time: that is due when half of its life is over.
fn certificate(node: &JoinedNode, now: u64) -> Finding {
    let (check, name) = (&NODE_CERTIFICATE, &node.name);
    let hint = format!(
        "it is renewed with a report of the host; on {name}: `journalctl -u rproxy-heartbeat`"
    );
    let Some(NodeCertificate {
        begins, expires, ..
    }) = node.certificate
    else {
        return Finding::warning(check, name, "has no host certificate yet", hint);
    };
    let (left, life) = (expires.saturating_sub(now), expires.saturating_sub(begins));
    match left {
        0 => Finding::error(check, name, format!("expired at {}", time(expires)), hint),
        left if left < life / 4 => {
            let detail = format!("expires at {}, and was not renewed", time(expires));
            Finding::warning(check, name, detail, hint)
        }
        _ => Finding::ok(check, name, format!("good until {}", time(expires))),
    }
}

/// Whether the tunnel is there through which it is to be reached.
fn tunnel(hosts: &HostList, node: &JoinedNode) -> Option<Finding> {
    let (check, name) = (&NODE_TUNNEL, &node.name);
    let hint = format!(
        "on {name}: `systemctl status rproxy-tunnel`, or `rc-service rproxy-tunnel status`"
    );
    let keeps_one = node.heartbeat.as_ref().is_some_and(|one| one.keeps_tunnel);
    match (node.tunnel, hosts.tunnel_of(node)) {
        (_, Some(tunnel)) => {
            let since = time(tunnel.since);
            let detail = format!("open since {since}: the host is not dialled");
            Some(Finding::ok(check, name, detail))
        }
        (TunnelRule::No, None) => None,
        (TunnelRule::Required, None) => {
            let detail = "is closed, and the host is reached in no other way";
            Some(Finding::error(check, name, detail, hint))
        }
        (TunnelRule::Allowed, None) => keeps_one.then(|| {
            let detail = "is closed, though the host is set up to keep it: its address is dialled";
            Finding::warning(check, name, detail, hint)
        }),
    }
}

/// Whether its clock is right, as its last report has it.
fn clock(node: &JoinedNode) -> Option<Finding> {
    let (name, ahead) = (&node.name, node.heartbeat.as_ref()?.clock_ahead);
    if ahead.unsigned_abs() <= TOLERANCE {
        return None;
    }
    let direction = if ahead > 0 { "ahead of" } else { "behind" };
    let apart = format_duration(Duration::from_secs(ahead.unsigned_abs()));
    let detail = format!("its clock is {apart} {direction} this machine's");
    let hint = format!(
        "on the machine that is wrong: set the clock, and have it kept, as by `timedatectl set-ntp true` \
         on {name}"
    );
    Some(Finding::warning(&NODE_CLOCK, name, detail, hint))
}

/// What the host says that it could not do.
fn problem(node: &JoinedNode) -> Option<Finding> {
    let problem = node.heartbeat.as_ref()?.problem.as_ref()?;
    let hint = format!(
        "correct that on {}; its next reports say whether it is gone",
        node.name
    );
    Some(Finding::warning(&NODE_PROBLEM, &node.name, problem, hint))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::super::report::Status;
    use super::*;
    use crate::cli::nodes::testing::{HostsFixture, node};
    use crate::state::{Heartbeat, NodeLock};
    use crate::sys::clock::Clock;

    /// What a host may differ in, by its name.
    fn host(name: &str, change: impl FnOnce(&mut JoinedNode, &mut Heartbeat)) -> JoinedNode {
        let mut node = node(name, &[]);
        let mut heartbeat = node.heartbeat.take().unwrap();
        change(&mut node, &mut heartbeat);
        node.heartbeat = Some(heartbeat);
        node
    }

    #[test]
    fn each_fault_of_a_host_that_has_joined_is_found_and_its_fix_named() {
        let fixture = HostsFixture::new();
        let now = Clock::System.unix_seconds();
        let expires_in = |node: &mut JoinedNode, seconds: u64| {
            node.certificate.as_mut().unwrap().expires = now + seconds;
        };
        let open = host("tunnelled", |node, _| node.tunnel = TunnelRule::Required);
        for node in [
            host("well", |_, _| {}),
            host("web1", |_, _| {}),
            host("silent", |_, heartbeat| heartbeat.at = now - 400),
            host("none", |node, _| node.certificate = None),
            host("late", |node, _| expires_in(node, 60)),
            host("over", |node, _| expires_in(node, 0)),
            host("fast", |_, heartbeat| heartbeat.clock_ahead = 3_700),
            host("full", |_, heartbeat| {
                heartbeat.problem = Some("the disk is full".to_owned());
            }),
            host("closed", |node, _| node.tunnel = TunnelRule::Required),
            host("slack", |node, heartbeat| {
                node.tunnel = TunnelRule::Allowed;
                heartbeat.keeps_tunnel = true;
            }),
            open.clone(),
        ] {
            fixture.join(&node);
        }
        let state = fixture.state();
        state
            .nodes()
            .open_tunnel(open.id, Uuid::now_v7(), now)
            .unwrap();
        fixture.join(&host("locked", |node, heartbeat| {
            heartbeat.at = now - 400;
            node.certificate = None;
        }));
        let lock = NodeLock {
            at: now,
            by: "root".to_owned(),
            reason: None,
        };
        state.nodes().lock("locked", &lock).unwrap().unwrap();
        let config = &fixture.context.config;
        let hosts = HostList::read(config).unwrap();
        let mut findings = Vec::new();
        examine(config, &hosts, now, &mut findings);
        let told: Vec<String> = findings
            .iter()
            .filter(|finding| finding.status != Status::Ok)
            .map(ToString::to_string)
            .collect();
        let expected = [
            ("node-twice", "web1"),
            ("node-tunnel", "closed"),
            ("node-clock", "fast: its clock is 1h1m40s ahead"),
            ("node-problem", "full: the disk is full"),
            ("node-certificate", "late: expires at"),
            ("node-certificate", "none: has no host certificate"),
            ("node-certificate", "over: expired at"),
            ("node-report", "silent: offline"),
            ("node-tunnel", "slack: is closed"),
        ];
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for ((check, text), told) in expected.iter().zip(&told) {
            assert!(
                told.contains(check) && told.contains(text),
                "{check} {text}: {told}"
            );
            assert!(told.contains("hint: "), "{told}");
        }
        let dialled: Vec<String> = hosts.dialled().into_iter().map(|node| node.name).collect();
        for (name, is_dialled) in [
            ("web1", true),
            ("well", true),
            ("slack", true),
            ("closed", false),
            ("tunnelled", false),
            ("locked", false),
        ] {
            assert_eq!(dialled.iter().any(|one| one == name), is_dialled, "{name}");
        }
    }
}

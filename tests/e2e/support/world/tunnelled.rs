//! A world whose hosts are reached through tunnels: what works with hosts of the configuration has to
//! work with them too.

use super::World;
use crate::support::HostReport;
use crate::support::client::Live;

/// The variable with which the hosts of every usual world join, and keep tunnels.
pub(super) const TUNNELLED: &str = "RPROXY_TEST_TUNNELLED";

/// What the proxy logs when it knows of a node.
const KNOWN: &str = "the hosts that have joined have changed";

impl World {
    /// These hosts, which the configuration does not have, join and open tunnels.
    pub(super) fn reach_through_tunnels(&self, names: &[String]) -> Vec<Live> {
        let hosts = self
            .nodes()
            .iter()
            .filter(|node| names.contains(&node.name));
        let tunnels: Vec<Live> = hosts
            .map(|node| {
                let key = self.dir().join(&node.name).join("host_key");
                let token = format!("--names={}", node.name);
                let token = self.node_token(&[&token, "--tunnel=required"]);
                let report = HostReport {
                    names: vec![node.name.clone()],
                    port: node.port,
                    ..HostReport::default()
                };
                let join = self.host_ssh(&key).arg("join");
                join.stdin(report.lines(Some(&token))).run().success();
                let tunnel = self.host_ssh(&key).args(["-N", "-R"]);
                let tunnel = tunnel.arg(format!("22:127.0.0.1:{}", node.port));
                tunnel.args(["-o", "ExitOnForwardFailure=yes"]).start()
            })
            .collect();
        self.eventually("the hosts have joined", || {
            let log = self.proxy_log();
            let mut known = log.lines().filter(|line| line.contains(KNOWN));
            let all = format!("nodes={}", names.len());
            known.any(|line| line.contains(&all)).then_some(())
        });
        self.tunnels_opened(names.len());
        tunnels
    }

    /// Waits until so many tunnels have been opened.
    pub(crate) fn tunnels_opened(&self, count: usize) {
        self.eventually("a tunnel is open", || {
            (self.events("tunnel.opened").len() >= count).then_some(())
        });
    }
}

//! A user's machine, from ssh's configuration to the login at the proxy.
//!
//! ssh itself interprets its files (`ssh -G`, `ssh-keygen -F`); the last check runs ssh, up to the
//! authentication to the proxy.

mod agent;
mod certificate;
mod known_hosts;
mod options;
mod proxy;
mod proxy_path;
mod settings;
mod signing_in;
mod ssh;

use super::report::Finding;
use crate::cli::{Exit, Failure};
use crate::sys::clock::Clock;

use agent::AgentContents;
use certificate::Holdings;
use proxy_path::ProxyPath;
use ssh::{Effective, Ssh};

pub(super) use options::Client;

impl Client {
    /// Looks at everything that can be looked at: what depends on something that is not there is left
    /// out.
    pub(super) fn examine(&self) -> Result<Vec<Finding>, Failure> {
        let now = Clock::System.unix_seconds();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(Exit::Failed, "cannot ask the network").because(error))?;
        let mut findings = Vec::new();
        let ssh = Ssh::new(self.ssh_config.clone());
        let ssh_is_there = ssh.version(&mut findings);
        let found = if ssh_is_there {
            ProxyPath::find(self, &ssh, &mut findings)
        } else {
            Err(None)
        };
        // Where there is no way, what ssh makes of the host tells of keys and the account.
        let outer = match &found {
            Ok(way) => Some(&way.outer),
            Err(host) => host.as_ref(),
        };
        let way = found.as_ref().ok();
        let socket = agent::socket(outer);
        let held = runtime.block_on(agent::examine(socket.as_deref(), &mut findings));
        if let AgentContents::Keys(held) = &held
            && self.signs_in
        {
            findings.push(signing_in::keys(held));
        } else if let AgentContents::Keys(held) = &held {
            let holdings = Holdings::find(held, outer);
            holdings.examine(
                (
                    self.account(way, outer),
                    outer.and_then(|outer| outer.value("user")),
                ),
                (&self.proxy, self.port),
                now,
                socket.as_deref(),
                &mut findings,
            );
        }
        let trusted = way.map(|way| {
            settings::examine(way, &mut findings);
            if self.signs_in {
                findings.extend(signing_in::examine(&way.outer));
            }
            known_hosts::examine(way, &mut findings)
        });
        let target = proxy::ProxyTarget {
            host: &self.proxy,
            port: self.port,
            names: way.map(ProxyPath::names_of_proxy),
            trusted: trusted.as_ref(),
            now,
        };
        let is_there = runtime.block_on(target.examine(&mut findings));
        // ssh would wait for an agent that says nothing.
        let is_answered = !matches!(held, AgentContents::Silence);
        if let Some(way) = way.filter(|_| is_there && is_answered) {
            findings.push(proxy::log_in(way, self.signs_in));
        }
        Ok(findings)
    }

    /// The account on the host: what was given, else what ssh makes of its configuration.
    fn account<'a>(
        &'a self,
        way: Option<&'a ProxyPath>,
        outer: Option<&'a Effective>,
    ) -> Option<&'a str> {
        let host = way.and_then(|way| way.inner.as_ref()).or(outer);
        let given = self.login.as_deref();
        given.or_else(|| host?.value("user"))
    }
}

//! What a program knows of the connection that it runs on.

use std::net::IpAddr;
use std::sync::Arc;

use crate::audit::AuditEvent;
use crate::model::ConnectionId;
use crate::model::text::Printable;
use crate::net::canonical;
use crate::ssh::caller::Caller;
use crate::ssh::endpoint::AgentOpener;
use crate::ssh::proxy_address::ProxyAddress;
use crate::ssh::scope::Scope;
use crate::ssh::services::OuterServices;

use super::call::ProgramName;

/// The connection that a program runs on, and what it uses.
#[derive(Debug)]
pub(super) struct ProgramContext {
    pub(super) services: Arc<OuterServices>,
    pub(super) caller: Caller,
    pub(super) connection: ConnectionId,
    /// The life of the connection.
    pub(super) scope: Scope,
    /// The client's agent, if it is forwarded.
    pub(super) agent: Option<AgentOpener>,
}

impl ProgramContext {
    /// The cluster's name.
    pub(super) fn cluster(&self) -> &str {
        self.services.inner.router.cluster().as_str()
    }

    /// How clients reach this proxy.
    pub(super) fn reached(&self) -> ProxyAddress {
        self.services.inner.router.reached()
    }

    /// `ssh` to the proxy itself as this user, with an option.
    pub(super) fn command(&self, option: &str) -> String {
        let name = Printable(self.caller.identity.name()).to_string();
        self.reached().ssh_with(option, &name)
    }

    /// The time, in seconds since the epoch.
    pub(super) fn now(&self) -> u64 {
        self.services.inner.clock.unix_seconds()
    }

    /// The client's address as the policy compares it.
    pub(super) fn from(&self) -> IpAddr {
        canonical(self.caller.address.ip())
    }

    /// Audits what a program has come to.
    pub(super) fn audit(&self, program: ProgramName, exit_status: Option<u32>) {
        self.services.audit.emit_or_log(&AuditEvent::ProgramRun {
            program: program.name(),
            user: self.caller.identity.name().to_owned(),
            client_addr: self.caller.address,
            exit_status,
            connection: Some(self.connection),
        });
    }
}

//! The kinds of processes that the monitor starts: one table.
//!
//! A row says with which command a process is started, what it keeps of its rights, which services
//! it may call, and what happens when it exits and at an upgrade. The check of a call
//! ([`ProcessKind::may_call`]) and the documentation of confinement both read this table.

use std::fmt::Write as _;

use super::confinement;
use crate::config::Config;
use crate::ipc::Service;
use crate::sys::sandbox::Plan;

/// A kind of process.
#[derive(Debug)]
pub struct ProcessKind {
    /// Its name, in logs and documentation.
    pub name: &'static str,
    /// The first argument of this program that starts one.
    pub command: &'static str,
    /// What it does, for the documentation.
    pub purpose: &'static str,
    /// What it keeps of its rights.
    pub sandbox: fn(&Config) -> Plan,
    /// The services that it may call, and no others.
    pub calls: &'static [Service],
    /// What happens when one exits that was not told to.
    pub restart: RestartRule,
    /// What happens at an upgrade of the program.
    pub upgrade: UpgradeRule,
}

/// What happens when a process exits by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartRule {
    /// The proxy stops: the service manager starts it again, with a log that says why.
    StopProxy,
}

/// What happens to a process at an upgrade of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeRule {
    /// A new one is started beside it. When the new one is ready, the old one accepts no more
    /// connections and exits with its last session.
    Retire,
}

impl ProcessKind {
    /// Whether a process of this kind may call a service: the one place that decides it.
    #[must_use]
    pub fn may_call(&self, service: Service) -> bool {
        self.calls.contains(&service)
    }
}

/// The process that speaks with clients and hosts.
pub const WORKER: ProcessKind = ProcessKind {
    name: "worker",
    command: "worker",
    purpose: "speaks SSH with clients and hosts, HTTP with everybody and with the metrics' readers",
    sandbox: confinement::plan,
    calls: &[Service::Signing, Service::Files],
    restart: RestartRule::StopProxy,
    upgrade: UpgradeRule::Retire,
};

/// All kinds.
pub const KINDS: &[&ProcessKind] = &[&WORKER];

impl RestartRule {
    const fn text(self) -> &'static str {
        match self {
            Self::StopProxy => "the proxy stops",
        }
    }
}

impl UpgradeRule {
    const fn text(self) -> &'static str {
        match self {
            Self::Retire => {
                "a new one is started beside it; the old one exits with its last session"
            }
        }
    }
}

/// The table of processes, as the documentation has it.
#[must_use]
pub fn processes_markdown() -> String {
    let mut table =
        "| process | what it does | may call | if it exits by itself | at an upgrade |\n\
                     |---|---|---|---|---|\n"
            .to_owned();
    for kind in KINDS {
        let calls: Vec<_> = kind
            .calls
            .iter()
            .map(|service| format!("`{}`", service.name()))
            .collect();
        let _infallible = writeln!(
            table,
            "| `{}` | {} | {} | {} | {} |",
            kind.name,
            kind.purpose,
            calls.join(", "),
            kind.restart.text(),
            kind.upgrade.text(),
        );
    }
    table
}

/// The table of services, as the documentation has it.
#[must_use]
pub fn services_markdown() -> String {
    let mut table = "| service | who may call it | what a call yields | limits |\n\
                     |---|---|---|---|\n"
        .to_owned();
    for service in Service::ALL {
        let callers: Vec<_> = KINDS
            .iter()
            .filter(|kind| kind.may_call(service))
            .map(|kind| format!("`{}`", kind.name))
            .collect();
        let _infallible = writeln!(
            table,
            "| `{}` | {} | {} | {} calls of a process at a time, {} KiB, {} seconds |",
            service.name(),
            callers.join(", "),
            service.yields(),
            service.at_once(),
            service.max_request() / 1024,
            service.timeout().as_secs(),
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_call_what_its_row_names_and_nothing_else() {
        for &service in WORKER.calls {
            assert!(WORKER.may_call(service));
            let other = ProcessKind {
                calls: &[],
                ..WORKER
            };
            assert!(!other.may_call(service));
        }
        let signs = ProcessKind {
            calls: &[Service::Signing],
            ..WORKER
        };
        assert!(signs.may_call(Service::Signing) && !signs.may_call(Service::Files));
    }

    #[test]
    fn kinds_have_names_and_commands_of_their_own() {
        for (index, kind) in KINDS.iter().enumerate() {
            let others = KINDS.iter().skip(index + 1);
            for other in others {
                assert!(kind.name != other.name && kind.command != other.command);
            }
        }
    }
}

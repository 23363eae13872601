//! The kinds of processes that the monitor starts: one table.
//!
//! A row says with which command a process is started, what it keeps of its rights, which services
//! it may call, and what happens when it exits and at an upgrade. The check of a call
//! ([`ProcessKind::may_call`]) and the documentation of confinement both read this table.

use std::fmt::Write as _;

use super::confinement;
use crate::config::Config;
use crate::ipc::{CallerProcess, ListenerKind, Provider, Service};
use crate::model::format_duration;
use crate::sys::sandbox::{Confinement, Plan, SandboxError};

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
    /// The listeners that it has.
    pub listeners: &'static [ListenerKind],
    /// The services that it may call, and no others.
    pub calls: &'static [Service],
    /// Services that a process of an earlier program may call too, up to this version of the messages.
    pub called_before: &'static [(Service, u32)],
    /// Whose services it provides.
    pub provides: Option<Provider>,
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
    /// The monitor starts another one, at once or after some seconds if that happens often. Calls wait
    /// meanwhile.
    Restart,
}

/// What happens to a process at an upgrade of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeRule {
    /// A new one is started beside it. When the new one is ready, the old one accepts no more
    /// connections and exits with its last session, or its last answer.
    Retire,
    /// A new one is started beside it. When the new one is ready, it gets all new calls; the old one
    /// answers those that it has, and exits.
    Replace,
}

impl ProcessKind {
    /// Whether a process of this kind may call a service: the one place that decides it.
    #[must_use]
    pub fn may_call(&self, service: Service) -> bool {
        self.calls.contains(&service)
    }

    /// Whether a process of this kind that speaks this version may call a service.
    #[must_use]
    pub fn may_call_in(&self, version: u32, service: Service) -> bool {
        let mut before = self.called_before.iter();
        self.may_call(service) || before.any(|(one, last)| *one == service && version <= *last)
    }

    /// Confines the calling process to the plan of its kind, unless the configuration turns that off.
    /// Has to be called while the process has one thread.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn confine(&self, config: &Config) -> Result<Option<Confinement>, SandboxError> {
        let name = self.name;
        if !config.proxy.sandbox {
            tracing::warn!(
                process = name,
                "proxy_service.sandbox is off: a process that is taken over has the account's files"
            );
            return Ok(None);
        }
        let confinement = (self.sandbox)(config).apply()?;
        tracing::info!(process = name, "confined by {}", confinement.layers());
        let missing = confinement.layers().missing();
        if !missing.is_empty() {
            let missing = missing.join("; ");
            tracing::warn!("this kernel cannot confine it as far as it should be: {missing}");
        }
        Ok(Some(confinement))
    }

    /// The process of this kind with this id, as other processes know it.
    #[must_use]
    pub fn caller(&self, pid: i32) -> CallerProcess {
        CallerProcess {
            kind: self.name.to_owned(),
            pid,
        }
    }
}

/// The process that speaks with clients and hosts.
pub const WORKER: ProcessKind = ProcessKind {
    name: "worker",
    command: "worker",
    purpose: "speaks SSH with clients and hosts, and HTTP with the metrics' readers",
    sandbox: confinement::plan_of_worker,
    listeners: &[ListenerKind::Ssh, ListenerKind::Metrics],
    calls: &[
        Service::Signing,
        Service::Files,
        Service::People,
        Service::Nodes,
        Service::Peers,
        Service::Changes,
        Service::Telemetry,
    ],
    // Until the web had a process of its own, workers served it.
    called_before: &[(Service::Browser, 5)],
    provides: None,
    restart: RestartRule::StopProxy,
    upgrade: UpgradeRule::Retire,
};

/// The process that has the CAs' keys and the state.
pub const AUTH: ProcessKind = ProcessKind {
    name: "auth",
    command: "auth-service",
    purpose: "has the CAs' keys and the state, decides about people and certificates, and speaks with no \
              client and no host",
    sandbox: confinement::plan_of_auth,
    listeners: &[],
    calls: &[Service::Files],
    called_before: &[],
    provides: Some(Provider::Auth),
    restart: RestartRule::Restart,
    upgrade: UpgradeRule::Replace,
};

/// The process that speaks HTTP with everybody.
pub const WEB: ProcessKind = ProcessKind {
    name: "web",
    command: "web-service",
    purpose: "speaks HTTP with browsers and with everybody else, and no SSH",
    sandbox: confinement::plan_of_web,
    listeners: &[ListenerKind::Web],
    calls: &[
        Service::Files,
        Service::Browser,
        Service::BrowserSessions,
        Service::BrowserPasswords,
        Service::Published,
    ],
    called_before: &[],
    provides: None,
    restart: RestartRule::Restart,
    upgrade: UpgradeRule::Retire,
};

/// What the administrator can do if a process cannot be confined.
pub const WITHOUT_SANDBOX: &str = "with `proxy_service.sandbox: no` it runs without, and says so";

/// All kinds.
pub const KINDS: &[&ProcessKind] = &[&WORKER, &WEB, &AUTH];

impl RestartRule {
    const fn text(self) -> &'static str {
        match self {
            Self::StopProxy => "the proxy stops",
            Self::Restart => "another one is started; sessions go on, and calls wait",
        }
    }
}

impl UpgradeRule {
    const fn text(self) -> &'static str {
        match self {
            Self::Retire => {
                "a new one is started beside it; the old one exits with its last session or answer"
            }
            Self::Replace => {
                "a new one is started beside it; the old one answers the calls that it has, and exits"
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
    let mut table = "| service | who answers | who may call it | what a call yields | limits |\n\
                     |---|---|---|---|---|\n"
        .to_owned();
    for service in Service::ALL {
        let callers: Vec<_> = KINDS
            .iter()
            .filter(|kind| kind.may_call(service))
            .map(|kind| format!("`{}`", kind.name))
            .collect();
        let _infallible = writeln!(
            table,
            "| `{}` | {} | {} | {} | {} calls of a process at a time and {} in a second, {} KiB, {} |",
            service.name(),
            match service.provider() {
                Provider::Monitor => "the monitor",
                Provider::Auth => "`auth`",
            },
            callers.join(", "),
            service.yields(),
            service.at_once(),
            service.per_second(),
            service.max_request() / 1024,
            format_duration(service.timeout()),
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
    fn what_was_allowed_before_is_allowed_to_earlier_programs_only() {
        assert!(!WORKER.may_call(Service::Browser));
        for (version, may) in [(4, true), (5, true), (6, false), (7, false)] {
            assert_eq!(WORKER.may_call_in(version, Service::Browser), may);
            assert!(WORKER.may_call_in(version, Service::Signing));
            assert!(!WORKER.may_call_in(version, Service::Published));
        }
    }

    /// A listener that two kinds had would be read by either.
    #[test]
    fn a_listener_is_of_one_kind() {
        for listener in [ListenerKind::Ssh, ListenerKind::Web, ListenerKind::Metrics] {
            let having = KINDS
                .iter()
                .filter(|kind| kind.listeners.contains(&listener));
            assert_eq!(having.count(), 1, "{listener:?}");
        }
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

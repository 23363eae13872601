//! `rproxy nodes show`.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::failure;
use super::overview::{HostObject, HostOverview, listed, texts};
use super::reading::read_hosts;
use crate::cli::format::ReportFormat;
use crate::cli::inventory::has_name;
use crate::cli::{Context, Exit, Failure, ui};
use crate::model::{format_duration, text};
use crate::state::{Heartbeat, JoinedNode, NodeCertificate};

/// Show a host: its certificate, what it has reported, its tunnel
#[derive(Debug, clap::Args)]
pub(crate) struct NodesShowArgs {
    /// Name of the host
    #[arg(value_name = "NAME")]
    node: String,
    /// As text, or as an object
    #[arg(long, value_enum, default_value_t = ReportFormat::Text, value_name = "FORMAT")]
    format: ReportFormat,
}

impl NodesShowArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        ui::result(&self.show(context)?)
    }

    /// What is printed.
    pub(super) fn show(&self, context: &Context) -> Result<String, Failure> {
        let hosts = read_hosts(context, "nodes show", Some(&self.node))?;
        let hosts = HostOverview::all(&hosts);
        let is_it = |host: &&HostOverview<'_>| {
            host.name.eq_ignore_ascii_case(&self.node)
                || host.joined.is_some_and(|node| has_name(node, &self.node))
        };
        let host = hosts.iter().find(is_it);
        let host = host.ok_or_else(|| failure::no_such(context, &self.node))?;
        match self.format {
            ReportFormat::Text => Ok(told(host)),
            ReportFormat::Json => serde_json::to_string_pretty(&DetailObject::new(host))
                .map(|object| text::json(&object) + "\n")
                .map_err(|error| {
                    Failure::new(Exit::Internal, "cannot encode the report").because(error)
                }),
        }
    }
}

/// The object of `--format json`; the keys are fixed.
#[derive(Serialize)]
struct DetailObject<'a> {
    #[serde(flatten)]
    host: HostObject<'a>,
    joined: Option<JoinedObject<'a>>,
    certificate: Option<CertificateObject<'a>>,
    report: Option<ReportObject<'a>>,
}

/// What is known since the host has joined.
#[derive(Serialize)]
struct JoinedObject<'a> {
    at: String,
    token: String,
    names: &'a [String],
    key: &'a str,
    fingerprint: &'a str,
    forced_labels: Vec<String>,
}

/// The last certificate that was issued for it.
#[derive(Serialize)]
struct CertificateObject<'a> {
    serial: String,
    begins: String,
    expires: String,
    authority: &'a str,
}

/// What it has last said of itself.
#[derive(Serialize)]
struct ReportObject<'a> {
    at: String,
    client: &'a str,
    sshd: &'a str,
    uptime: u64,
    clock_ahead: i64,
    addresses: &'a [String],
    keeps_tunnel: bool,
    user_authorities: &'a [String],
    host_authorities: &'a [String],
    certificate: Option<String>,
    revocations: Option<u64>,
    problem: Option<&'a str>,
}

impl<'a> DetailObject<'a> {
    fn new(host: &HostOverview<'a>) -> Self {
        let node = host.joined;
        Self {
            host: HostObject::new(host),
            joined: node.map(JoinedObject::new),
            certificate: node
                .and_then(|node| node.certificate.as_ref())
                .map(CertificateObject::new),
            report: node
                .and_then(|node| node.heartbeat.as_ref())
                .map(ReportObject::new),
        }
    }
}

impl<'a> JoinedObject<'a> {
    fn new(node: &'a JoinedNode) -> Self {
        Self {
            at: ui::time(node.joined),
            token: node.token.to_string(),
            names: &node.names,
            key: &node.key,
            fingerprint: &node.fingerprint,
            forced_labels: texts(&node.forced_labels),
        }
    }
}

impl<'a> CertificateObject<'a> {
    fn new(certificate: &'a NodeCertificate) -> Self {
        Self {
            serial: certificate.serial.to_string(),
            begins: ui::time(certificate.begins),
            expires: ui::time(certificate.expires),
            authority: &certificate.authority,
        }
    }
}

impl<'a> ReportObject<'a> {
    fn new(heartbeat: &'a Heartbeat) -> Self {
        Self {
            at: ui::time(heartbeat.at),
            client: &heartbeat.client,
            sshd: &heartbeat.sshd,
            uptime: heartbeat.uptime,
            clock_ahead: heartbeat.clock_ahead,
            addresses: &heartbeat.addresses,
            keeps_tunnel: heartbeat.keeps_tunnel,
            user_authorities: &heartbeat.user_cas,
            host_authorities: &heartbeat.host_cas,
            certificate: heartbeat.certificate.map(|serial| serial.to_string()),
            revocations: heartbeat.revocations,
            problem: heartbeat.problem.as_deref(),
        }
    }
}

fn told(host: &HostOverview<'_>) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _infallible = writeln!(text, "{:<14} {value}", format!("{name}:"));
    };
    line("name", host.name);
    let Some(node) = host.joined else {
        line("source", "the configuration");
        line("address", &host.address());
        line("labels", &listed(host.labels, ", "));
        return text;
    };
    let others: Vec<&str> = node.names.iter().skip(1).map(String::as_str).collect();
    if !others.is_empty() {
        line("other names", &others.join(", "));
    }
    if let (Some(presence), Some(seen)) = (host.presence, host.last_seen()) {
        let presence = presence.as_str();
        line(
            "state",
            &format!("{presence}, last seen {}", ui::time(seen)),
        );
    }
    if let Some(lock) = host.lock() {
        let why = lock.reason.as_ref();
        let why = why.map_or_else(String::new, |reason| format!(": {reason}"));
        line(
            "locked",
            &format!("since {} by {}{why}", ui::time(lock.at), lock.by),
        );
    }
    if let Some(problem) = host.problem() {
        line("problem", problem);
    }
    line("address", &host.address());
    line("tunnel", &tunnel(host));
    line("labels", &listed(host.labels, ", "));
    if !node.forced_labels.is_empty() {
        line("of the token", &listed(&node.forced_labels, ", "));
    }
    match &node.certificate {
        Some(certificate) => line(
            "certificate",
            &format!(
                "serial {}, expires {}, signed by {}",
                certificate.serial,
                ui::time(certificate.expires),
                certificate.authority
            ),
        ),
        None => line("certificate", "none"),
    }
    line("host key", &node.fingerprint);
    line(
        "joined",
        &format!("{}, with token {}", ui::time(node.joined), node.token),
    );
    line("id", &node.id.to_string());
    if let Some(heartbeat) = &node.heartbeat {
        text.push_str(&reported(heartbeat));
    }
    text
}

fn tunnel(host: &HostOverview<'_>) -> String {
    let rule = host.tunnel_rule();
    match host.open {
        Some(open) => {
            let at = open
                .proxy
                .map_or_else(String::new, |proxy| format!(", at {proxy}"));
            format!("{rule}; open since {}{at}", ui::time(open.since))
        }
        None => format!("{rule}; {}", host.tunnel().as_str()),
    }
}

/// What the host has last said of itself.
fn reported(heartbeat: &Heartbeat) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _infallible = writeln!(text, "{:<14} {value}", format!("{name}:"));
    };
    line("reported from", &heartbeat.client);
    line("addresses", &heartbeat.addresses.join(", "));
    line("sshd", &heartbeat.sshd);
    line(
        "up for",
        &format_duration(Duration::from_secs(heartbeat.uptime)),
    );
    let apart = format_duration(Duration::from_secs(heartbeat.clock_ahead.unsigned_abs()));
    match heartbeat.clock_ahead {
        0 => line("clock", "as the proxy's"),
        1.. => line("clock", &format!("{apart} ahead of the proxy's")),
        _ => line("clock", &format!("{apart} behind the proxy's")),
    }
    line("user CAs", &heartbeat.user_cas.join(", "));
    line("host CAs", &heartbeat.host_cas.join(", "));
    if let Some(number) = heartbeat.revocations {
        line("revocations", &format!("list {number}"));
    }
    text
}

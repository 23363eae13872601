//! What is counted and timed, for Prometheus.
//!
//! [`Metrics`] is one value, passed to the code that counts; there are no globals. Counting is an atomic
//! addition, so nothing that relays waits for a scrape. Every label has a bounded set of values
//! ([`Values`]), and no name that a client made up is ever one of them. Knows neither HTTP nor where
//! the numbers come from.

mod auth;
mod family;
mod histogram;
mod label;
mod local_counter;
mod meter;
mod observed;
mod text;

use family::families;

pub use auth::{AuthMeters, StateMeters};
pub use family::Family;
pub use histogram::{Bounds, Histogram, HistogramReading, Network, SampledHistogram, Storage};
pub use label::{
    AgentTask, Authority, CertificateUse, ClosedSet, Flow, Label, Layer, LimitExceeded,
    NodeStanding, SignInMethod, SignInRefusal, StateTask, Step, ThrottleCounter, Values,
};
pub use local_counter::LocalCounter;
pub use meter::{
    Build, Counter, Gauge, GaugeGuard, Meter, MeterKind, MeterSet, NodeTimes, Refusals,
    SampledGauge, Total,
};
pub use text::TextFormat;

families! {
    build: Build, "rproxy_build_info",
        "Always 1; its label says which version runs.";
    open_connections: MeterSet<Layer, Gauge>, "rproxy_open_connections",
        "Connections that are open: outer ones, from clients to the listener, and the inner ones in their channels.";
    connections: MeterSet<Layer, Counter>, "rproxy_connections",
        "Connections that began, whatever became of them; those that a limit turned away are not among them.";
    turned_away: MeterSet<LimitExceeded, Counter>, "rproxy_connections_turned_away",
        "Clients that were turned away, by the limit that they were beyond. Each of them is here; the audit log has them once a minute.";
    open_sessions: MeterSet<crate::model::SessionKind, Gauge>, "rproxy_open_sessions",
        "Sessions that run. All forwarded channels of a connection are one session.";
    sessions: MeterSet<crate::model::SessionKind, Counter>, "rproxy_sessions",
        "Sessions that began.";
    session_participants: Gauge, "rproxy_session_participants",
        "People who have joined live sessions of others.";
    refusals: Refusals, "rproxy_refusals",
        "Refusals that the audit log has as auth.failure and refusal, by the leg that failed and the reason there.";
    channel_refusals: MeterSet<crate::audit::RefusedKind, Counter>, "rproxy_channel_refusals",
        "What was refused within a connection: channels, requests, data.";
    relayed: MeterSet<Flow, Counter>, "rproxy_relayed_bytes",
        "Bytes of channels that were taken into the recordings and passed on, without SSH's own overhead.";
    recording_commit: Histogram<Storage>, "rproxy_recording_commit_seconds",
        "How long what was read waited until the recording had it: compression and the write. Nothing is passed on before.";
    recording_written: Counter, "rproxy_recording_written_bytes",
        "Bytes that recordings have grown by on the disk.";
    recording_failures: Counter, "rproxy_recording_failures",
        "Recordings that could not be made or written.";
    recordings_free: SampledGauge, "rproxy_recordings_free_bytes",
        "Free bytes, for this program, where the recordings are.";
    recordings_size: SampledGauge, "rproxy_recordings_size_bytes",
        "Size of the file system where the recordings are.";
    client_authentication: Histogram<Network>, "rproxy_client_authentication_seconds",
        "From the begin of an outer connection until its client has authenticated, key exchange included. Those that fail are not in it.";
    agent: MeterSet<AgentTask, Histogram<Network>>, "rproxy_agent_seconds",
        "How long users' agents took to answer. Signing includes whoever has to confirm it or to touch a key.";
    host_turn: Histogram<Network>, "rproxy_host_turn_wait_seconds",
        "How long connections waited for their turn at a host.";
    host_connect: MeterSet<Step, Histogram<Network>>, "rproxy_host_connect_seconds",
        "How long hosts took to accept a connection, and then for the key exchange, where they did.";
    host_certificates: NodeTimes, "rproxy_host_certificate_expiry_timestamp_seconds",
        "When the certificate ends that a node of the inventory has last presented, in seconds since the epoch. Not there for nodes that nobody has been to, and for certificates without an end.";
    authority_keys: MeterSet<Authority, SampledGauge>, "rproxy_authority_keys",
        "Keys of a CA that are trusted: two while its key is being rotated.";
    revocations: SampledGauge, "rproxy_revocations",
        "Revocations that are in force.";
    audit_events: MeterSet<crate::audit::EventKind, Counter>, "rproxy_audit_events",
        "Events of the running proxy for the audit log, by their name there.";
    audit_failures: Counter, "rproxy_audit_failures",
        "Events that the file of the audit log did not take.";
    sign_ins: MeterSet<SignInMethod, Total>, "rproxy_sign_ins",
        "Clients that were signed in: by answers that began a sign-in, or by a registered key whose sign-in goes on.";
    sign_in_refusals: MeterSet<SignInRefusal, Total>, "rproxy_sign_in_refusals",
        "Clients that were not signed in, by the class of the reason; the audit log has the reason. Those that have to wait are not among them.";
    throttled: MeterSet<ThrottleCounter, Total>, "rproxy_sign_ins_throttled",
        "Clients whose answers were not looked at, because too many were wrong before.";
    live_sign_ins: SampledGauge, "rproxy_live_sign_ins",
        "Sign-ins in the state that are not over. Several proxies with one state have the same number.";
    user_certificates: MeterSet<CertificateUse, Total>, "rproxy_user_certificates",
        "Certificates that were made for users who are signed in.";
    nodes: MeterSet<NodeStanding, SampledGauge>, "rproxy_nodes",
        "Nodes that have joined, by how they are. Several proxies with one state have the same number.";
    tunnelled_nodes: SampledGauge, "rproxy_tunnelled_nodes",
        "Nodes with an open tunnel. Several proxies with one state have the same number.";
    node_heartbeats: Total, "rproxy_node_heartbeats",
        "Heartbeats of nodes that were answered.";
    node_refusals: Total, "rproxy_node_refusals",
        "Hosts that were refused when they wanted to join, or when they sent a heartbeat; the audit log has the reason.";
    state: MeterSet<StateTask, SampledHistogram<Storage>>, "rproxy_state_seconds",
        "How long the state took for what succeeded: waiting, reading or changing, and the disk.";
    state_errors: Total, "rproxy_state_errors",
        "Uses of the state that failed, because the database could not be used.";
    state_size: SampledGauge, "rproxy_state_size_bytes",
        "How much room the state takes up.";
    state_age: SampledGauge, "rproxy_state_age_seconds",
        "How old the knowledge is of what was revoked and which sign-ins have ended. Beyond the limit of the configuration, new logins are refused.";
    auth_up: SampledGauge, "rproxy_auth_up",
        "Whether the auth process has answered: 1 or 0. While it does not, what it has counted stays as it was.";
    auth_start: SampledGauge, "rproxy_auth_start_time_seconds",
        "When the auth process started, in seconds since the epoch: then what it counts began at zero.";
    auth_restarts: Total, "rproxy_auth_restarts",
        "How often the auth process was started again because it had ended by itself, since the proxy's start or upgrade.";
    auth_audit_events: MeterSet<crate::audit::EventKind, Total>, "rproxy_auth_audit_events",
        "Events of the auth process for the audit log, by their name there. The other processes' events are not among them.";
    auth_audit_failures: Total, "rproxy_auth_audit_failures",
        "Events of the auth process that the file of the audit log did not take.";
    process_start: SampledGauge, "process_start_time_seconds",
        "When the process that serves SSH started, in seconds since the epoch.";
    process_cpu: Total, "process_cpu_seconds",
        "Processor time that the process has used.";
    process_resident: SampledGauge, "process_resident_memory_bytes",
        "Memory of the process that is in RAM.";
    process_open_fds: SampledGauge, "process_open_fds",
        "File descriptors that are open.";
    process_max_fds: SampledGauge, "process_max_fds",
        "File descriptors that may be open.";
}

/// All families as a Markdown table, for the documentation.
#[must_use]
pub fn table() -> String {
    let mut text = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for family in Metrics::families() {
        let labels: Vec<_> = family.labels.iter().map(Label::to_string).collect();
        text.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            family.name(),
            family.kind.name(),
            labels.join("; "),
            family.meaning
        ));
    }
    text
}

impl Metrics {
    /// A connection began; it is open for as long as the result lives.
    #[must_use]
    pub fn connection(&self, layer: Layer) -> GaugeGuard {
        self.connections.add(layer, 1);
        self.open_connections.hold(layer)
    }

    /// A session began; it runs for as long as the result lives.
    #[must_use]
    pub fn session(&self, kind: crate::model::SessionKind) -> GaugeGuard {
        self.sessions.add(kind, 1);
        self.open_sessions.hold(kind)
    }
}

//! The events and their fields. Every field is always written, `null` where it is unknown.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::model::{ConnectionId, HostAddress, Serial, SessionId, SessionKind};
use crate::sys::account::Actor;

use super::EventKind;
use super::fields::{UnixSeconds, or_nulls};
use super::node::NodeEvent;
use super::participant::{JoinedSession, LeftSession};
use super::person::PersonEvent;

/// Which part of the way an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Party {
    /// The client: its certificate, its agent, what it asked for.
    Client,
    /// The proxy itself: policy, resolution, recording.
    Proxy,
    /// The certificate that the host presented.
    HostCertificate,
    /// The host's verdict on the user.
    HostAuthentication,
}

/// What became of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordingState {
    /// Everything that was relayed is in it, and the disk has it.
    Complete,
    /// Writing failed, and what was relayed before is in it; or the disk did not confirm its end.
    Incomplete,
    /// There is none.
    Off,
}

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusedKind {
    /// The opening of a channel.
    Channel,
    /// A request on a channel.
    ChannelRequest,
    /// A request on the connection.
    GlobalRequest,
    /// Data of a type or at a time at which it has no place.
    Data,
}

/// Whether a certificate is for a user or a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateType {
    /// A user.
    User,
    /// A host.
    Host,
}

/// A serial as a foreign certificate carries it, 0 too. A string in JSON, as [`Serial`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignSerial(pub u64);

impl Serialize for ForeignSerial {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A key of the configuration whose value protects less than another one did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Weaker {
    /// The key with its sections, as in `permit.nested_ssh` or `roles[dba].deny`.
    pub key: String,
    /// The value before: at the start the default.
    pub from: String,
    /// The value now.
    pub to: String,
}

/// Something on a connection that does not pass.
#[derive(Clone, Debug)]
pub struct NotPassed {
    /// What it is.
    pub what: RefusedKind,
    /// Who wants it: `client` or `host`.
    pub from: &'static str,
    /// What the protocol calls it.
    pub name: String,
    /// Which one exactly.
    pub detail: Option<String>,
    /// The identity.
    pub user: String,
    /// The account on the host, where there is one already.
    pub login: Option<String>,
    /// Where the connection leads.
    pub target: Option<String>,
    /// The client.
    pub client_addr: SocketAddr,
    /// The connection.
    pub connection: Option<ConnectionId>,
    /// The session that it is about.
    pub session: Option<SessionId>,
}

impl NotPassed {
    /// Its event: that it was refused, or passed over if clients send it `by_habit`.
    #[must_use]
    pub fn event(self, by_habit: bool) -> AuditEvent {
        let Self {
            what,
            from,
            name,
            detail,
            user,
            login,
            target,
            client_addr,
            connection,
            session,
        } = self;
        if by_habit {
            AuditEvent::RequestIgnored {
                what,
                from,
                name,
                detail,
                user,
                login,
                target,
                client_addr,
                connection,
                session,
            }
        } else {
            AuditEvent::ChannelRefused {
                what,
                from,
                name,
                detail,
                reason: "not-permitted",
                user,
                login,
                target,
                client_addr,
                connection,
                session,
            }
        }
    }
}

/// Something that an auditor may ask about later. `user` is the identity: the key id of the
/// certificate, or the name of the user who has signed in. `login` is the Unix account on the host. Fingerprints are `SHA256:...`, as
/// ssh-keygen prints them. A `reason` is a stable word in kebab-case, a `message` is what the user
/// read. A `rule` is the line of the policy that decides. Who has done something is an [`Actor`]: `by`,
/// `uid` and `sudo_user`.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
#[expect(
    missing_docs,
    reason = "the fields of a row in the documentation's table"
)]
pub enum AuditEvent {
    /// See [`EventKind::AuthSuccess`].
    AuthSuccess {
        leg: Party,
        user: String,
        login: Option<String>,
        client_addr: SocketAddr,
        serial: Option<Serial>,
        fingerprint: String,
        sign_in: Option<Uuid>,
        connection: Option<ConnectionId>,
    },
    /// See [`EventKind::AuthFailure`].
    AuthFailure {
        leg: Party,
        reason: &'static str,
        message: String,
        client_addr: SocketAddr,
        user: Option<String>,
        login: Option<String>,
        serial: Option<ForeignSerial>,
        fingerprint: Option<String>,
        connection: Option<ConnectionId>,
    },
    /// See [`EventKind::Refusal`].
    Refusal {
        leg: Party,
        reason: &'static str,
        message: String,
        rule: Option<String>,
        user: Option<String>,
        login: Option<String>,
        target: Option<String>,
        client_addr: SocketAddr,
        connection: Option<ConnectionId>,
        session: Option<SessionId>,
    },
    /// See [`EventKind::RefusalsCounted`].
    RefusalsCounted {
        client_ip: Option<IpAddr>,
        user: Option<String>,
        counts: BTreeMap<String, u64>,
        seconds: u64,
    },
    /// See [`EventKind::InsecureHostKey`].
    InsecureHostKey {
        user: String,
        login: Option<String>,
        target: String,
        host_addr: HostAddress,
        fingerprint: String,
        connection: Option<ConnectionId>,
    },
    /// See [`EventKind::SecondFactor`].
    SecondFactor {
        user: String,
        login: String,
        target: String,
        host_addr: HostAddress,
        client_addr: SocketAddr,
        questions: usize,
        accepted: bool,
        connection: Option<ConnectionId>,
    },
    /// See [`EventKind::ProgramRun`].
    ProgramRun {
        program: &'static str,
        user: String,
        client_addr: SocketAddr,
        exit_status: Option<u32>,
        connection: Option<ConnectionId>,
    },
    /// See [`EventKind::SessionStart`].
    SessionStart {
        session: SessionId,
        connection: ConnectionId,
        user: String,
        login: String,
        target: String,
        node: Option<String>,
        host_addr: HostAddress,
        egress_addr: Option<SocketAddr>,
        client_addr: SocketAddr,
        serial: Option<ForeignSerial>,
        fingerprint: String,
        sign_in: Option<Uuid>,
        kind: SessionKind,
        command: Option<String>,
        command_hex: Option<String>,
        recording: Option<String>,
        insecure_host_key: bool,
        legacy_algorithms: Vec<&'static str>,
        rule: Option<String>,
    },
    /// See [`EventKind::SessionEnd`].
    SessionEnd {
        session: SessionId,
        connection: ConnectionId,
        user: String,
        login: String,
        target: String,
        egress_addr: Option<SocketAddr>,
        serial: Option<ForeignSerial>,
        exit_status: Option<u32>,
        exit_signal: Option<String>,
        exit_signal_hex: Option<String>,
        bytes_in: u64,
        bytes_out: u64,
        duration_ms: u64,
        recording: RecordingState,
        reason: &'static str,
    },
    /// See [`EventKind::SessionJoined`].
    SessionJoined(JoinedSession),
    /// See [`EventKind::SessionLeft`].
    SessionLeft(LeftSession),
    /// See [`EventKind::ChannelRefused`].
    ChannelRefused {
        what: RefusedKind,
        from: &'static str,
        name: String,
        detail: Option<String>,
        reason: &'static str,
        user: String,
        login: Option<String>,
        target: Option<String>,
        client_addr: SocketAddr,
        connection: Option<ConnectionId>,
        session: Option<SessionId>,
    },
    /// See [`EventKind::RequestIgnored`].
    RequestIgnored {
        what: RefusedKind,
        from: &'static str,
        name: String,
        detail: Option<String>,
        user: String,
        login: Option<String>,
        target: Option<String>,
        client_addr: SocketAddr,
        connection: Option<ConnectionId>,
        session: Option<SessionId>,
    },
    /// See [`EventKind::RecordingFailed`].
    RecordingFailed {
        session: SessionId,
        connection: ConnectionId,
        user: String,
        error: String,
        session_ended: bool,
    },
    /// See [`EventKind::RecordingSyncFailed`].
    RecordingSyncFailed {
        session: SessionId,
        connection: ConnectionId,
        user: String,
        error: String,
    },
    /// See [`EventKind::ForwardOpened`].
    ForwardOpened {
        connection: ConnectionId,
        session: Option<SessionId>,
        user: String,
        login: String,
        target: String,
        channel: u64,
        kind: &'static str,
        address: String,
    },
    /// See [`EventKind::SessionWatched`].
    SessionWatched {
        session: SessionId,
        connection: ConnectionId,
        user: String,
        login: String,
        target: String,
        from_start: bool,
        #[serde(flatten)]
        actor: Actor,
    },
    /// See [`EventKind::SessionKilled`].
    SessionKilled {
        session: Option<SessionId>,
        connection: ConnectionId,
        user: String,
        login: String,
        target: String,
        message: Option<String>,
        #[serde(flatten)]
        actor: Actor,
    },
    /// See [`EventKind::RecordingRead`].
    RecordingRead {
        how: &'static str,
        session: Option<SessionId>,
        connection: Option<ConnectionId>,
        user: Option<String>,
        login: Option<String>,
        target: Option<String>,
        filter: Option<BTreeMap<&'static str, String>>,
        recordings: usize,
        #[serde(flatten)]
        actor: Actor,
    },
    /// See [`EventKind::CertificateIssued`].
    CertificateIssued {
        #[serde(rename = "type")]
        kind: CertificateType,
        serial: Serial,
        key_id: String,
        principals: Vec<String>,
        valid_after: UnixSeconds,
        valid_before: UnixSeconds,
        fingerprint: String,
        ca_fingerprint: String,
        #[serde(flatten)]
        actor: Actor,
    },
    /// See [`EventKind::CertificateRevoked`].
    CertificateRevoked {
        version: u64,
        serial: Option<Serial>,
        key_id: Option<String>,
        fingerprint: Option<String>,
        message: Option<String>,
        #[serde(flatten)]
        actor: Actor,
    },
    /// See [`EventKind::HostCertificateExpiring`].
    HostCertificateExpiring {
        host: String,
        host_addr: HostAddress,
        serial: ForeignSerial,
        key_id: String,
        principals: Vec<String>,
        valid_before: UnixSeconds,
        fingerprint: String,
        ca_fingerprint: String,
        seen_by: &'static str,
    },
    /// See [`EventKind::AuthorityRotated`].
    AuthorityRotated {
        #[serde(rename = "type")]
        kind: CertificateType,
        from: &'static str,
        to: &'static str,
        #[serde(flatten, serialize_with = "or_nulls")]
        actor: Option<Actor>,
    },
    /// See [`EventKind::AuthorityImported`].
    AuthorityImported {
        #[serde(rename = "type")]
        kind: CertificateType,
        fingerprint: String,
        replaced: Option<String>,
        #[serde(flatten)]
        actor: Actor,
    },
    /// See [`EventKind::AuthorityCreated`].
    AuthorityCreated {
        #[serde(rename = "type")]
        kind: CertificateType,
        fingerprint: String,
        how: &'static str,
        #[serde(flatten)]
        actor: Actor,
    },
    /// See [`EventKind::RevocationLifted`].
    RevocationLifted {
        version: u64,
        serial: Option<Serial>,
        key_id: Option<String>,
        fingerprint: Option<String>,
        message: Option<String>,
        #[serde(flatten)]
        actor: Actor,
    },
    /// See [`EventKind::AuthorityKeyRemoved`].
    AuthorityKeyRemoved {
        #[serde(rename = "type")]
        kind: CertificateType,
        fingerprint: String,
        #[serde(flatten)]
        actor: Actor,
    },
    /// See [`EventKind::ServerStarted`].
    ServerStarted {
        version: &'static str,
        listen_addr: SocketAddr,
        configuration: Option<String>,
        session_recording: bool,
        proxy_checks_host_keys: bool,
    },
    /// See [`EventKind::ServerStopped`].
    ServerStopped { reason: &'static str },
    /// See [`EventKind::ServerDraining`].
    ServerDraining { seconds: u64 },
    /// See [`EventKind::ServerUpgraded`].
    ServerUpgraded {
        version: &'static str,
        program: String,
    },
    /// See [`EventKind::UpgradeRefused`].
    UpgradeRefused { message: String },
    /// See [`EventKind::CallRefused`].
    CallRefused {
        process: String,
        pid: i32,
        service: Option<&'static str>,
        reason: &'static str,
        count: u64,
    },
    /// See [`EventKind::StateRead`].
    StateRead {
        #[serde(flatten)]
        actor: Actor,
    },
    /// See [`EventKind::StateCopied`].
    StateCopied {
        how: &'static str,
        to: String,
        #[serde(flatten)]
        actor: Actor,
    },
    /// See [`EventKind::StateRestored`].
    StateRestored {
        from: String,
        #[serde(flatten)]
        actor: Actor,
    },
    /// See [`EventKind::ConfigurationReloaded`].
    ConfigurationReloaded {
        at: &'static str,
        file: Option<String>,
        sha256: Option<String>,
        roles: usize,
        needs_restart: Vec<String>,
        weaker: Vec<Weaker>,
    },
    /// See [`EventKind::ConfigurationRefused`].
    ConfigurationRefused { message: String },
    /// What people and administrators do about people's credentials and sign-ins.
    Person(PersonEvent),
    /// What hosts do to become and stay nodes, and administrators about them.
    Node(NodeEvent),
}

impl AuditEvent {
    /// Its kind, which has its code and name.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self {
            Self::AuthSuccess { .. } => EventKind::AuthSuccess,
            Self::AuthFailure { .. } => EventKind::AuthFailure,
            Self::Refusal { .. } => EventKind::Refusal,
            Self::RefusalsCounted { .. } => EventKind::RefusalsCounted,
            Self::InsecureHostKey { .. } => EventKind::InsecureHostKey,
            Self::SecondFactor { .. } => EventKind::SecondFactor,
            Self::ProgramRun { .. } => EventKind::ProgramRun,
            Self::SessionStart { .. } => EventKind::SessionStart,
            Self::SessionEnd { .. } => EventKind::SessionEnd,
            Self::SessionJoined(_) => EventKind::SessionJoined,
            Self::SessionLeft(_) => EventKind::SessionLeft,
            Self::ChannelRefused { .. } => EventKind::ChannelRefused,
            Self::RequestIgnored { .. } => EventKind::RequestIgnored,
            Self::RecordingFailed { .. } => EventKind::RecordingFailed,
            Self::RecordingSyncFailed { .. } => EventKind::RecordingSyncFailed,
            Self::ForwardOpened { .. } => EventKind::ForwardOpened,
            Self::SessionWatched { .. } => EventKind::SessionWatched,
            Self::SessionKilled { .. } => EventKind::SessionKilled,
            Self::RecordingRead { .. } => EventKind::RecordingRead,
            Self::CertificateIssued { .. } => EventKind::CertificateIssued,
            Self::CertificateRevoked { .. } => EventKind::CertificateRevoked,
            Self::HostCertificateExpiring { .. } => EventKind::HostCertificateExpiring,
            Self::AuthorityRotated { .. } => EventKind::AuthorityRotated,
            Self::AuthorityImported { .. } => EventKind::AuthorityImported,
            Self::AuthorityCreated { .. } => EventKind::AuthorityCreated,
            Self::RevocationLifted { .. } => EventKind::RevocationLifted,
            Self::AuthorityKeyRemoved { .. } => EventKind::AuthorityKeyRemoved,
            Self::ServerStarted { .. } => EventKind::ServerStarted,
            Self::ServerStopped { .. } => EventKind::ServerStopped,
            Self::ServerDraining { .. } => EventKind::ServerDraining,
            Self::ServerUpgraded { .. } => EventKind::ServerUpgraded,
            Self::UpgradeRefused { .. } => EventKind::UpgradeRefused,
            Self::CallRefused { .. } => EventKind::CallRefused,
            Self::StateRead { .. } => EventKind::StateRead,
            Self::StateCopied { .. } => EventKind::StateCopied,
            Self::StateRestored { .. } => EventKind::StateRestored,
            Self::ConfigurationReloaded { .. } => EventKind::ConfigurationReloaded,
            Self::ConfigurationRefused { .. } => EventKind::ConfigurationRefused,
            Self::Person(event) => event.kind(),
            Self::Node(event) => event.kind(),
        }
    }
}

impl From<PersonEvent> for AuditEvent {
    fn from(event: PersonEvent) -> Self {
        Self::Person(event)
    }
}

impl From<NodeEvent> for AuditEvent {
    fn from(event: NodeEvent) -> Self {
        Self::Node(event)
    }
}

//! The end of a relayed connection, for every reason: what the client reads, what the host reads,
//! and what the audit log and the recording contain.
//!
//! Two real transports, the relay and its recorder on a disk, over in-memory streams, with a paused
//! clock that advances whenever no task can continue.

mod peers;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::duplex;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use self::peers::{Act, Seen};
use super::faults::{Faulty, GRACE, handshakes, recorder, transport};
use super::legs::Legs;
use super::pump::Bridge;
use crate::audit::AuditLog;
use crate::model::{ConnectionId, SessionId};
use crate::relay::Relay;
use crate::session::{RecordingLost, Registry, SessionCommand};
use crate::ssh::budget::Share;
use crate::ssh::end_reason::EndReason;
use crate::ssh::leg::Leg;
use crate::ssh::refusal::testing::origin;
use crate::ssh::refusal::{self, Refusal};
use crate::ssh::timers::{ConnectionTimers, TimeLimits};
use crate::store::StoreError;
use crate::sys::clock::Clock;
use crate::wire::DisconnectReason;

/// When a connection counts as never ending.
const FOREVER: Duration = Duration::from_secs(24 * 3600);
/// Room for all that is ever on its way.
const WIDE: usize = 1 << 20;
/// The moment at which everything here happens, in seconds after the epoch.
const NOW: u64 = crate::cert::testing::NOW;

/// No limit at all.
const LIMITS: TimeLimits = TimeLimits {
    idle: Duration::ZERO,
    ends_with_certificate: false,
    keep_alive_interval: Duration::ZERO,
    keep_alive_count_max: 3,
};

/// What ends a connection.
struct Cause {
    user: Act,
    host: Act,
    limits: TimeLimits,
    valid_before: u64,
    /// What comes from outside once the session runs.
    outside: Option<EndReason>,
    /// What an administrator wants once the session runs: the session, or the connection.
    kill: Option<What>,
}

/// What an administrator ends.
#[derive(Clone, Copy)]
enum What {
    Session,
    Connection,
}

impl Default for Cause {
    fn default() -> Self {
        Self {
            user: Act::Stay,
            host: Act::Stay,
            limits: LIMITS,
            valid_before: u64::MAX,
            outside: None,
            kill: None,
        }
    }
}

/// How it went.
struct EndOutcome {
    user: Seen,
    host: Seen,
    connection: ConnectionId,
    session: Option<SessionId>,
    audit: String,
}

impl EndOutcome {
    /// The value of `field` in the one event of this name.
    fn audited(&self, event: &str, field: &str) -> String {
        let name = format!("\"event\":\"{event}\"");
        let lines: Vec<_> = self
            .audit
            .lines()
            .filter(|line| line.contains(&name))
            .collect();
        let [line] = lines.as_slice() else {
            panic!("one {event}: {}", self.audit);
        };
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        event[field].as_str().unwrap_or_default().to_owned()
    }

    fn has_event(&self, event: &str) -> bool {
        self.audit.contains(&format!("\"event\":\"{event}\""))
    }
}

/// The proxy's part: both handshakes, then the relay until its end.
async fn proxy(
    (to_user, to_host): (Faulty, Faulty),
    directory: &TempDir,
    cause: &Cause,
    running: Arc<Notify>,
) -> (ConnectionId, Option<SessionId>) {
    let mut client = Leg::new(to_user, transport(true));
    let mut host = Leg::new(to_host, transport(false));
    let established = handshakes(&mut client, &mut host);
    timeout(GRACE, established).await.unwrap().unwrap();
    let (recorder, registry, inbox) = recorder(directory);
    let connection = recorder.connection();
    let timers = ConnectionTimers::new(&cause.limits, cause.valid_before, Clock::Fixed(NOW), None);
    let legs = Legs { client, host };
    let relay = Relay::new(legs.peers(), Arc::default());
    let mut bridge = Bridge::new(legs, relay, recorder, timers, Share::alone());
    let (_updates, updates) = mpsc::channel(1);
    let mut session = None;
    let end = {
        let ended = pin!(outside(cause, running, &registry, &mut session));
        let Err(end) = bridge.drive(ended, updates, inbox).await;
        end
    };
    let data = crate::model::DataDir::new(directory.path().join("data"));
    let cluster = "example.test".parse().unwrap();
    let audit = AuditLog::open(&data, cluster, Clock::Fixed(NOW)).unwrap();
    let tell = |refusal: &Refusal| audit.emit(&refusal.event(origin())).unwrap();
    bridge.finish(end, tell).await;
    (connection, session)
}

/// Ends the relay once its session runs, as the cause has it.
async fn outside(
    cause: &Cause,
    running: Arc<Notify>,
    registry: &Registry,
    session: &mut Option<SessionId>,
) -> EndReason {
    running.notified().await;
    let connections = registry.connections();
    let sessions = connections.iter().flat_map(|one| one.sessions());
    *session = sessions.map(|session| session.id).next();
    if let Some(end) = cause.outside.clone() {
        return end;
    }
    if let Some(what) = cause.kill {
        let command = SessionCommand {
            session: session.filter(|_| matches!(what, What::Session)),
            by: "root".to_owned(),
            reason: Some("lunch".parse().unwrap()),
        };
        assert!(connections.iter().all(|one| one.order(command.clone())));
    }
    std::future::pending().await
}

/// A connection with a session that runs, until this ends it.
async fn ended_by(cause: Cause) -> EndOutcome {
    let directory = tempfile::tempdir().unwrap();
    let (at_user, to_user) = duplex(WIDE);
    let (at_host, to_host) = duplex(WIDE);
    let (to_user, to_host) = (Faulty::new(to_user), Faulty::new(to_host));
    let running = Arc::new(Notify::new());
    let user = peers::user(at_user, cause.user, to_user.reading.garbled(), &running);
    let host = peers::host(at_host, cause.host, to_host.reading.garbled());
    let streams = (to_user, to_host);
    let proxy = proxy(streams, &directory, &cause, Arc::clone(&running));
    let work = Box::pin(async { tokio::join!(user, host, proxy) });
    let (user, host, (connection, session)) = timeout(FOREVER, work).await.expect("it ends");
    EndOutcome {
        user,
        host,
        connection,
        session,
        audit: audited(&directory).await,
    }
}

/// The audit log, once the end of each session is in it: the disk has its recording then.
async fn audited(directory: &TempDir) -> String {
    loop {
        let audit = std::fs::read_to_string(directory.path().join("data/audit.jsonl")).unwrap();
        let count = |event: &str| audit.matches(&format!("\"event\":\"{event}\"")).count();
        if count("session.start") == count("session.end") {
            return audit;
        }
        tokio::task::spawn_blocking(std::thread::yield_now)
            .await
            .unwrap();
    }
}

const BY_APPLICATION: u32 = DisconnectReason::ByApplication as u32;
const CONNECTION_LOST: u32 = DisconnectReason::ConnectionLost as u32;
const PROTOCOL_ERROR: u32 = DisconnectReason::ProtocolError as u32;
const MAC_ERROR: u32 = DisconnectReason::MacError as u32;
const ENDED: &str = "rproxy: the connection ended";
const BAD_MAC: &str = "the peer broke the protocol: message authentication code incorrect";

/// A disconnect as the reader's transport shows it: without control characters.
fn told(code: u32, text: impl AsRef<str>) -> Option<(u32, String)> {
    Some((code, text.as_ref().replace("\r\n", "\\r\\n")))
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_told_nothing_and_its_host_that_it_is_over() {
    for act in [Act::Leave, Act::SayGoodbye] {
        let outcome = ended_by(Cause {
            user: act,
            ..Cause::default()
        })
        .await;
        assert_eq!(outcome.host.goodbye, told(BY_APPLICATION, ENDED));
        assert_eq!(outcome.audited("session.end", "reason"), "client-left");
        assert!(!outcome.has_event("refusal"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_breaks_the_transport_is_told_how() {
    let outcome = ended_by(Cause {
        user: Act::Garble,
        ..Cause::default()
    })
    .await;
    let why = format!("rproxy: {BAD_MAC}");
    assert_eq!(outcome.user.goodbye, told(MAC_ERROR, why));
    assert_eq!(outcome.host.goodbye, told(CONNECTION_LOST, ENDED));
    assert_eq!(outcome.audited("session.end", "reason"), "protocol-error");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_leaves_is_named_to_the_client() {
    let outcome = ended_by(Cause {
        host: Act::Leave,
        ..Cause::default()
    })
    .await;
    let why = "rproxy: host: the connection was closed";
    assert_eq!(outcome.user.goodbye, told(CONNECTION_LOST, why));
    assert_eq!(outcome.user.stderr, "");
    assert_eq!(outcome.audited("session.end", "reason"), "host-left");
}

#[tokio::test(start_paused = true)]
async fn a_hosts_goodbye_reaches_the_client_where_a_recording_has_it() {
    let outcome = ended_by(Cause {
        host: Act::SayGoodbye,
        ..Cause::default()
    })
    .await;
    let why = "rproxy: host: the peer disconnected: bye";
    assert_eq!(outcome.user.goodbye, told(CONNECTION_LOST, why));
    assert_eq!(outcome.audited("session.end", "reason"), "host-left");

    // Without a session there is no recording, and its words go nowhere.
    let outcome = ended_by(Cause {
        host: Act::RefuseWithGoodbye,
        ..Cause::default()
    })
    .await;
    let why = "rproxy: host: the peer disconnected";
    assert_eq!(outcome.user.goodbye, told(CONNECTION_LOST, why));
    assert!(!outcome.has_event("session.end"));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_breaks_the_transport_is_told_how_and_the_client_too() {
    let outcome = ended_by(Cause {
        host: Act::Garble,
        ..Cause::default()
    })
    .await;
    let (to_host, to_user) = (
        format!("rproxy: {BAD_MAC}"),
        format!("rproxy: host: {BAD_MAC}"),
    );
    assert_eq!(outcome.host.goodbye, told(MAC_ERROR, to_host));
    assert_eq!(outcome.user.goodbye, told(CONNECTION_LOST, to_user));
    assert_eq!(outcome.audited("session.end", "reason"), "protocol-error");
}

#[tokio::test(start_paused = true)]
async fn a_breach_of_the_connection_protocol_ends_both_sides() {
    let outcome = ended_by(Cause {
        user: Act::WriteToNoChannel,
        ..Cause::default()
    })
    .await;
    let (code, text) = outcome.user.goodbye.clone().expect("it is told");
    assert_eq!(code, PROTOCOL_ERROR);
    assert!(text.starts_with("rproxy: "), "{text}");
    assert_eq!(outcome.host.goodbye, told(PROTOCOL_ERROR, ENDED));
    assert_eq!(outcome.user.stderr, "");
    assert_eq!(outcome.audited("session.end", "reason"), "protocol-error");
}

/// An end of the proxy's own: shown on the terminal, said to both sides.
fn check_shown(outcome: &EndOutcome, name: &str, stderr: &str, goodbye: &str) {
    assert_eq!(outcome.user.stderr, stderr, "{name}");
    assert_eq!(outcome.user.status, Some(255), "{name}");
    assert_eq!(
        outcome.user.goodbye,
        told(BY_APPLICATION, goodbye),
        "{name}"
    );
    assert_eq!(outcome.host.goodbye, told(BY_APPLICATION, ENDED), "{name}");
    assert_eq!(outcome.audited("session.end", "reason"), name);
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_reads_why_and_it_is_audited_by_itself() {
    let limits = TimeLimits {
        idle: Duration::from_secs(600),
        ..LIMITS
    };
    let outcome = ended_by(Cause {
        limits,
        ..Cause::default()
    })
    .await;
    let text = format!(
        "rproxy: client: idle for 10m, which is the limit here\r\n  id: {}\r\n",
        outcome.connection
    );
    check_shown(
        &outcome,
        "client-idle-timeout",
        &format!("{text}\r\n"),
        &text,
    );
    assert_eq!(outcome.audited("refusal", "reason"), "client-idle-timeout");
    assert_eq!(
        outcome.audited("refusal", "message"),
        "idle for 10m, which is the limit here"
    );
}

#[tokio::test(start_paused = true)]
async fn a_host_that_answers_no_more_is_given_up() {
    let limits = TimeLimits {
        keep_alive_interval: Duration::from_secs(30),
        ..LIMITS
    };
    let outcome = ended_by(Cause {
        host: Act::FallSilent,
        limits,
        ..Cause::default()
    })
    .await;
    let text = format!(
        "rproxy: proxy: the host has not answered for 2m\r\n  id: {}\r\n",
        outcome.connection
    );
    check_shown(&outcome, "host-lost", &format!("{text}\r\n"), &text);
    assert_eq!(outcome.audited("refusal", "reason"), "host-lost");
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_with_its_certificate() {
    let limits = TimeLimits {
        ends_with_certificate: true,
        ..LIMITS
    };
    let outcome = ended_by(Cause {
        limits,
        valid_before: NOW,
        ..Cause::default()
    })
    .await;
    let text = format!(
        "rproxy: client: your certificate has expired, and connections end with it here\r\n  hint: get a new certificate and connect again; on the proxy: rproxy auth sign --user\r\n  id: {}\r\n",
        outcome.connection
    );
    // The certificate had expired before the session could begin.
    assert_eq!(outcome.user.goodbye, told(BY_APPLICATION, text));
    assert_eq!(outcome.host.goodbye, told(BY_APPLICATION, ENDED));
    assert_eq!(outcome.audited("refusal", "reason"), "certificate-expired");
}

#[tokio::test(start_paused = true)]
async fn a_recording_that_fails_ends_the_connection() {
    let session = SessionId::new();
    let lost = RecordingLost {
        session,
        source: StoreError::NearlyFull,
    };
    let outcome = ended_by(Cause {
        outside: Some(lost.into()),
        ..Cause::default()
    })
    .await;
    let text = format!(
        "rproxy: proxy: the recording cannot be written: the disk is nearly full, and what is left is for the sessions that run\r\n  hint: sessions must be recorded here; tell the proxy's administrator\r\n  id: {session}\r\n"
    );
    check_shown(&outcome, "recording-failed", &format!("{text}\r\n"), &text);
    assert!(!outcome.has_event("refusal"));
}

/// This end is audited where it was noticed, and not here again.
#[tokio::test(start_paused = true)]
async fn a_revoked_certificate_ends_the_connection() {
    let revoked = refusal::revoked_user(Some("laptop lost"));
    let outcome = ended_by(Cause {
        outside: Some(EndReason::Withdrawn(Box::new(revoked))),
        ..Cause::default()
    })
    .await;
    let id = outcome.connection;
    check_shown(
        &outcome,
        "certificate-revoked",
        &format!(
            "\r\nrproxy: client: certificate revoked: laptop lost\r\n  hint: ask the people who run this proxy about a new one\r\n  id: {id}\r\n"
        ),
        &format!("rproxy: client: certificate revoked: laptop lost (id {id})"),
    );
    assert!(!outcome.has_event("refusal"));
}

#[tokio::test(start_paused = true)]
async fn an_administrator_ends_a_session_or_the_connection() {
    for what in [What::Session, What::Connection] {
        let outcome = ended_by(Cause {
            kill: Some(what),
            ..Cause::default()
        })
        .await;
        let (noun, id) = match what {
            What::Session => ("session", outcome.session.expect("it ran").to_string()),
            What::Connection => ("connection", outcome.connection.to_string()),
        };
        let text = format!("rproxy: proxy: an administrator ended this {noun}: lunch");
        check_shown(
            &outcome,
            "killed",
            &format!("\r\n{text}\r\n  id: {id}\r\n"),
            &format!("{text} (id {id})"),
        );
        assert!(!outcome.has_event("refusal"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_stops_says_so() {
    let outcome = ended_by(Cause {
        outside: Some(EndReason::Shutdown),
        ..Cause::default()
    })
    .await;
    let text = "rproxy: proxy: shutting down, connect again in a moment";
    check_shown(&outcome, "shutdown", &format!("{text}\r\n"), text);
}

/// The client is gone on the outer connection: only the host gets a disconnect.
#[tokio::test(start_paused = true)]
async fn the_end_of_the_outer_connection_is_told_to_the_host() {
    for (end, name) in [
        (EndReason::OuterLeft, "client-left"),
        (
            EndReason::OuterLost(Duration::from_secs(120)),
            "client-lost",
        ),
        (EndReason::OuterBroken, "protocol-error"),
    ] {
        let outcome = ended_by(Cause {
            outside: Some(end),
            ..Cause::default()
        })
        .await;
        assert_eq!(outcome.user.goodbye, None, "{name}");
        assert_eq!(outcome.user.stderr, "", "{name}");
        assert_eq!(outcome.host.goodbye, told(BY_APPLICATION, ENDED), "{name}");
        assert_eq!(outcome.audited("session.end", "reason"), name);
    }
}

//! Where events go: one line each, in the file and on the program's log.
//!
//! A line is one `write` to a file opened for appending, so the lines of several processes never
//! mix. It is in the kernel's hands when [`AuditLog::emit`] returns: a killed process loses none.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::SecondsFormat;
use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;
use uuid::Uuid;

use crate::model::{ClusterName, DataDir, text};
use crate::sys::clock::Clock;
use crate::sys::feasible;
use crate::sys::files::{Direct, Files, append_private};
use crate::sys::fs::{FsError, check_private, private_dir, read_end, reserve_is_touched};

use super::AuditEvent;
use super::bound::{MAX_STRANGERS_TEXT, MAX_TEXT, bound};
use super::flood::{Cause, Flood, Sum};
use super::kind::Severity;

/// How long what is known about the room on the disk is good for.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Why an event is not in the audit log.
#[derive(Debug, Error)]
pub enum AuditError {
    /// The log cannot be opened.
    #[error("cannot open the audit log")]
    Open(#[source] FsError),
    /// The line cannot be written.
    #[error("cannot write to the audit log {}", text::path(path))]
    Write {
        /// The log.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The event is not JSON: a bug.
    #[error("an audit event has no JSON form")]
    Encode(#[from] serde_json::Error),
}

impl AuditError {
    /// What the administrator can do, if there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Open(FsError::TooOpen { path, .. }) => {
                Some(format!("chmod 0600 {}", path.display()))
            }
            Self::Open(_) | Self::Write { .. } | Self::Encode(_) => None,
        }
    }
}

/// What has become of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is in the file.
    Written,
    /// It is one of too many like it, and in the next sum of them.
    Counted,
    /// It could not be written.
    Lost,
}

/// Is told of every event beside the log.
pub trait Observer: fmt::Debug + Send + Sync {
    /// An event was emitted.
    fn emitted(&self, event: &AuditEvent, fate: Fate);
}

/// The audit log; clones share one file.
#[derive(Clone, Debug)]
pub struct AuditLog {
    shared: Arc<SharedLog>,
    observer: Option<Arc<dyn Observer>>,
}

#[derive(Debug)]
struct SharedLog {
    cluster: ClusterName,
    clock: Clock,
    path: PathBuf,
    /// Who opens the file.
    files: Arc<dyn Files>,
    file: Mutex<LineFile>,
    flood: Mutex<Flood>,
    room: Mutex<Room>,
}

/// Whether the disk had room for what strangers cause when it was last looked at.
#[derive(Debug)]
struct Room {
    looked: Instant,
    is_left: bool,
}

/// What every line has, before the event's own fields.
#[derive(Debug, Serialize)]
struct LogLine<'a> {
    time: String,
    code: &'static str,
    event: &'static str,
    id: Uuid,
    cluster: &'a str,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl AuditLog {
    /// Opens the log of a data directory; makes both where they are missing, private to their
    /// owner.
    ///
    /// # Errors
    /// When it cannot be opened, or others may read or write it.
    pub fn open(
        data_dir: &DataDir,
        cluster: ClusterName,
        clock: Clock,
    ) -> Result<Self, AuditError> {
        Self::open_with(Arc::new(Direct), data_dir, cluster, clock)
    }

    /// As [`Self::open`]; `files` opens the file, now and whenever it is read or opened again.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(
        files: Arc<dyn Files>,
        data_dir: &DataDir,
        cluster: ClusterName,
        clock: Clock,
    ) -> Result<Self, AuditError> {
        if !data_dir.path().is_dir() {
            private_dir(data_dir.path()).map_err(AuditError::Open)?;
        }
        let path = data_dir.audit_log();
        let file = LineFile::open(&*files, &path).map_err(AuditError::Open)?;
        Ok(Self::of(path, files, file, cluster, clock))
    }

    /// Looks whether [`AuditLog::open`] could. Makes nothing.
    ///
    /// # Errors
    /// As [`AuditLog::open`].
    pub fn look(data_dir: &DataDir) -> Result<(), AuditError> {
        let path = data_dir.audit_log();
        feasible::append(&path).map_err(AuditError::Open)?;
        match check_private(&path) {
            Err(missing) if missing.is_not_found() => Ok(()),
            checked => checked.map_err(AuditError::Open),
        }
    }

    fn of(
        path: PathBuf,
        files: Arc<dyn Files>,
        file: LineFile,
        cluster: ClusterName,
        clock: Clock,
    ) -> Self {
        let looked = Instant::now();
        let shared = Arc::new(SharedLog {
            cluster,
            clock,
            path,
            files,
            file: Mutex::new(file),
            flood: Mutex::new(Flood::new(looked)),
            room: Mutex::new(Room {
                looked,
                is_left: true,
            }),
        });
        Self {
            shared,
            observer: None,
        }
    }

    /// The same log, with an observer of the events that this log and its clones emit.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn Observer>) -> Self {
        Self {
            observer: Some(observer),
            ..self
        }
    }

    /// Writes an event to the file and to the program's log. On an error it is on the program's log
    /// only; the caller decides whether things may go on. Refusals beyond the share of a client or person
    /// are counted instead, and told by [`AuditLog::tell_sums`].
    ///
    /// # Errors
    /// [`AuditError::Write`] when the file cannot be written, as on a full disk.
    pub fn emit(&self, event: &AuditEvent) -> Result<(), AuditError> {
        let emitted = self.write_or_count(event);
        if let Some(observer) = &self.observer {
            let fate = emitted.as_ref().map_or(Fate::Lost, |fate| *fate);
            observer.emitted(event, fate);
        }
        emitted.map(drop)
    }

    /// The same, for an event on which nothing depends: a failure is on the program's log, and that is
    /// all.
    pub fn emit_or_log(&self, event: &AuditEvent) {
        if let Err(error) = self.emit(event) {
            tracing::error!(%error, "cannot write the audit log");
        }
    }

    /// Tells what was counted in place of being written, once a minute; at the end of the log, at once.
    /// To be called now and then.
    ///
    /// # Errors
    /// As [`AuditLog::emit`].
    pub fn tell_sums(&self, is_end: bool) -> Result<(), AuditError> {
        let sums = lock(&self.shared.flood).sums(Instant::now(), is_end);
        sums.into_iter().try_for_each(|sum| self.emit(&event(sum)))
    }

    /// Whether a line of the program's log about a client that has not authenticated fits into its
    /// share.
    #[must_use]
    pub fn admits_line(&self, address: IpAddr, bytes: usize) -> bool {
        lock(&self.shared.flood).admits(&Cause::address(address), bytes)
    }

    fn write_or_count(&self, event: &AuditEvent) -> Result<Fate, AuditError> {
        let line = self.line(event)?;
        if let Some(cause) = Cause::of(event) {
            let has_room = !cause.is_stranger() || self.has_room();
            let mut flood = lock(&self.shared.flood);
            if !has_room || !flood.admits(&cause, line.len()) {
                flood.count(&cause, event);
                return Ok(Fate::Counted);
            }
        }
        self.write(event, line).map(|()| Fate::Written)
    }

    /// Whether more than the reserve is left on the disk, which is for recordings that run.
    fn has_room(&self) -> bool {
        let mut room = lock(&self.shared.room);
        if room.looked.elapsed() > LOOK_AGAIN {
            *room = Room {
                looked: Instant::now(),
                is_left: !reserve_is_touched(&self.shared.path),
            };
        }
        room.is_left
    }

    fn write(&self, event: &AuditEvent, line: String) -> Result<(), AuditError> {
        match event.kind().severity() {
            Severity::Info => tracing::info!(target: "audit", "{line}"),
            Severity::Warning => tracing::warn!(target: "audit", "{line}"),
            Severity::Error => tracing::error!(target: "audit", "{line}"),
        }
        lock(&self.shared.file).append(line).map_err(|source| {
            let path = self.shared.path.clone();
            let error = AuditError::Write { path, source };
            tracing::error!(error = &error as &dyn std::error::Error, "audit event lost");
            error
        })
    }

    /// Goes on in the file that has the log's name now, which is a new one after logrotate or an administrator has renamed
    /// the log in order to keep it. Clones do too.
    ///
    /// # Errors
    /// As [`AuditLog::open`]; events then go where they went before.
    pub fn reopen(&self) -> Result<(), AuditError> {
        let fresh =
            LineFile::open(&*self.shared.files, &self.shared.path).map_err(AuditError::Open)?;
        *lock(&self.shared.file) = fresh;
        Ok(())
    }

    /// The last bytes of the file, `limit` at most.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn tail(&self, limit: u64) -> io::Result<Vec<u8>> {
        let file = self.shared.files.open_read(self.path())?;
        read_end(file, limit)
    }

    pub(super) fn clock(&self) -> Clock {
        self.shared.clock
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    fn line(&self, event: &AuditEvent) -> Result<String, AuditError> {
        let kind = event.kind();
        let fields = match serde_json::to_value(event)? {
            Value::Object(mut fields) => {
                let limit = match Cause::of(event) {
                    Some(cause) if cause.is_stranger() => MAX_STRANGERS_TEXT,
                    _ => MAX_TEXT,
                };
                fields.values_mut().for_each(|value| bound(value, limit));
                fields
            }
            _ => Map::new(),
        };
        let line = serde_json::to_string(&LogLine {
            time: self
                .shared
                .clock
                .now()
                .to_rfc3339_opts(SecondsFormat::Millis, true),
            code: kind.code(),
            event: kind.name(),
            id: Uuid::now_v7(),
            cluster: self.shared.cluster.as_str(),
            fields,
        })?;
        Ok(text::json(&line))
    }
}

/// A file of whole lines.
#[derive(Debug)]
struct LineFile {
    file: File,
    /// Whether the file may end within a line: the next one then begins on a line of its own.
    torn: bool,
}

impl LineFile {
    fn open(files: &dyn Files, path: &Path) -> Result<Self, FsError> {
        let file = append_private(files, path)?;
        check_private(path)?;
        Ok(Self {
            torn: ends_torn(files, path),
            file,
        })
    }

    fn append(&mut self, mut line: String) -> io::Result<()> {
        line.push('\n');
        if self.torn {
            line.insert(0, '\n');
        }
        self.torn = true;
        self.file.write_all(line.as_bytes())?;
        self.torn = false;
        Ok(())
    }
}

/// Whether the last line of a file has no end: the machine stopped, or the disk was full. A line
/// that another process writes meanwhile is not torn: the file grows.
fn ends_torn(files: &dyn Files, path: &Path) -> bool {
    let Ok(file) = files.open_read(path) else {
        return false;
    };
    let length = || file.metadata().map(|metadata| metadata.len());
    length().is_ok_and(|before| {
        is_torn_at(&file, before) && length().is_ok_and(|after| after == before)
    })
}

/// Whether the first bytes of a file, of which there are `length`, end within a line.
fn is_torn_at(file: &File, length: u64) -> bool {
    let Some(last) = length.checked_sub(1) else {
        return false;
    };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last).is_ok() && byte != *b"\n"
}

/// A panic of the thread that held the lock leaves at worst a torn line, which `torn` accounts for.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The event of a sum.
fn event(sum: Sum) -> AuditEvent {
    let (client_ip, user) = match sum.cause {
        Cause::Address(address) => (Some(address), None),
        Cause::Person(name) => (None, Some(name)),
        Cause::Node(name) => (None, Some(format!("node:{name}"))),
        Cause::Others => (None, None),
    };
    AuditEvent::RefusalsCounted {
        client_ip,
        user,
        counts: sum.counts,
        seconds: sum.seconds,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::PermissionsExt;

    use crate::audit::bound::CUT;
    use proptest::prelude::*;

    use crate::audit::{
        CertificateType, EventKind, ForeignSerial, Party, RecordingState, RefusedKind, UnixSeconds,
        Weaker,
    };
    use crate::model::{ConnectionId, Serial, SessionId, SessionKind};
    use crate::sys::account::Actor;
    use crate::sys::fs::{PRIVATE_FILE, Replace, write_whole};

    use super::*;

    fn text(text: &str) -> String {
        text.to_owned()
    }

    fn root() -> Actor {
        Actor::new(text("root"), 0, Some("carol"))
    }

    /// One event of every kind.
    fn samples() -> Vec<AuditEvent> {
        let addr = "203.0.113.7:50000".parse().unwrap();
        let (session, connection) = (SessionId::new(), ConnectionId::new());
        vec![
            AuditEvent::AuthSuccess {
                leg: Party::Client,
                user: text("alice"),
                login: Some(text("root")),
                client_addr: addr,
                serial: Serial::new(7),
                fingerprint: text("SHA256:abc"),
                sign_in: None,
                connection: Some(connection),
            },
            AuditEvent::AuthFailure {
                leg: Party::Client,
                reason: "certificate-expired",
                message: text("your certificate expired"),
                client_addr: addr,
                user: None,
                login: None,
                serial: Some(ForeignSerial(0)),
                fingerprint: None,
                connection: None,
            },
            AuditEvent::Refusal {
                leg: Party::HostCertificate,
                reason: "plain-host-key",
                message: text("remote host presented a public key"),
                rule: None,
                user: Some(text("alice")),
                login: Some(text("root")),
                target: Some(text("db1:22")),
                client_addr: addr,
                connection: Some(connection),
                session: None,
            },
            AuditEvent::RefusalsCounted {
                client_ip: Some(addr.ip()),
                user: None,
                counts: [(text("auth.failure"), 3)].into(),
                seconds: 60,
            },
            AuditEvent::InsecureHostKey {
                user: text("alice"),
                login: None,
                target: text("db1:22"),
                host_addr: addr.into(),
                fingerprint: text("SHA256:abc"),
                connection: Some(connection),
            },
            AuditEvent::SecondFactor {
                user: text("alice"),
                login: text("root"),
                target: text("db1:22"),
                host_addr: addr.into(),
                client_addr: addr,
                questions: 1,
                accepted: true,
                connection: Some(connection),
            },
            AuditEvent::ProgramRun {
                program: "ls",
                user: text("alice"),
                client_addr: addr,
                exit_status: Some(0),
                connection: Some(connection),
            },
            AuditEvent::SessionStart {
                session,
                connection,
                user: text("alice"),
                login: text("root"),
                target: text("db1:22"),
                node: Some(text("db1")),
                host_addr: addr.into(),
                egress_addr: Some(addr),
                client_addr: addr,
                serial: Some(ForeignSerial(8)),
                fingerprint: text("SHA256:abc"),
                sign_in: Some(Uuid::now_v7()),
                kind: SessionKind::Exec,
                command: Some(text("uptime")),
                command_hex: None,
                recording: None,
                insecure_host_key: false,
                legacy_algorithms: vec!["hmac-sha1"],
                rule: Some(text("role dba, rproxy.yaml:3")),
            },
            AuditEvent::SessionEnd {
                session,
                connection,
                user: text("alice"),
                login: text("root"),
                target: text("db1:22"),
                egress_addr: None,
                serial: Some(ForeignSerial(0)),
                exit_status: Some(0),
                exit_signal: None,
                exit_signal_hex: None,
                bytes_in: 1,
                bytes_out: 2,
                duration_ms: 3,
                recording: RecordingState::Complete,
                reason: "closed",
            },
            AuditEvent::ChannelRefused {
                what: RefusedKind::ChannelRequest,
                from: "client",
                name: text("x11-req"),
                detail: None,
                reason: "not-permitted",
                user: text("alice"),
                login: Some(text("root")),
                target: Some(text("db1:22")),
                client_addr: addr,
                connection: Some(connection),
                session: Some(session),
            },
            AuditEvent::RequestIgnored {
                what: RefusedKind::ChannelRequest,
                from: "client",
                name: text("env"),
                detail: Some(text("GIT_PROTOCOL")),
                user: text("alice"),
                login: Some(text("root")),
                target: Some(text("db1:22")),
                client_addr: addr,
                connection: Some(connection),
                session: Some(session),
            },
            AuditEvent::ForwardOpened {
                connection,
                session: Some(session),
                user: text("alice"),
                login: text("root"),
                target: text("db1:22"),
                channel: 1,
                kind: "direct-tcpip",
                address: text("localhost:8080"),
            },
            AuditEvent::RecordingFailed {
                session,
                connection,
                user: text("alice"),
                error: text("no space left on device"),
                session_ended: true,
            },
            AuditEvent::RecordingSyncFailed {
                session,
                connection,
                user: text("alice"),
                error: text("Input/output error"),
            },
            AuditEvent::CertificateIssued {
                kind: CertificateType::User,
                serial: Serial::new(7).unwrap(),
                key_id: text("alice"),
                principals: vec![text("root")],
                valid_after: UnixSeconds(0),
                valid_before: UnixSeconds(u64::MAX),
                fingerprint: text("SHA256:abc"),
                ca_fingerprint: text("SHA256:def"),
                actor: root(),
            },
            AuditEvent::CertificateRevoked {
                version: 1,
                serial: Serial::new(7),
                key_id: None,
                fingerprint: None,
                actor: root(),
                message: None,
            },
            AuditEvent::HostCertificateExpiring {
                host: text("db1"),
                host_addr: addr.into(),
                serial: ForeignSerial(7),
                key_id: text("db1"),
                principals: vec![text("db1")],
                valid_before: UnixSeconds(0),
                fingerprint: text("SHA256:abc"),
                ca_fingerprint: text("SHA256:def"),
                seen_by: "proxy",
            },
            AuditEvent::AuthorityRotated {
                kind: CertificateType::Host,
                from: "standby",
                to: "init",
                actor: None,
            },
            AuditEvent::AuthorityImported {
                kind: CertificateType::User,
                fingerprint: text("SHA256:abc"),
                replaced: None,
                actor: root(),
            },
            AuditEvent::AuthorityCreated {
                kind: CertificateType::User,
                fingerprint: text("SHA256:abc"),
                how: "auth init",
                actor: root(),
            },
            AuditEvent::RevocationLifted {
                version: 2,
                serial: Serial::new(7),
                key_id: None,
                fingerprint: None,
                actor: root(),
                message: None,
            },
            AuditEvent::AuthorityKeyRemoved {
                kind: CertificateType::User,
                fingerprint: text("SHA256:abc"),
                actor: root(),
            },
            AuditEvent::ServerStarted {
                version: "1",
                listen_addr: addr,
                configuration: Some(text("/etc/rproxy/rproxy.yaml")),
                session_recording: true,
                proxy_checks_host_keys: true,
            },
            AuditEvent::ServerStopped { reason: "signal" },
            AuditEvent::SessionWatched {
                session,
                connection,
                user: text("alice"),
                login: text("deploy"),
                target: text("db1:22"),
                from_start: true,
                actor: root(),
            },
            AuditEvent::SessionKilled {
                session: Some(session),
                connection,
                user: text("alice"),
                login: text("deploy"),
                target: text("db1:22"),
                message: Some(text("maintenance")),
                actor: root(),
            },
            AuditEvent::RecordingRead {
                how: "play",
                session: Some(session),
                connection: Some(connection),
                user: Some(text("alice")),
                login: Some(text("deploy")),
                target: Some(text("db1:22")),
                filter: None,
                recordings: 1,
                actor: root(),
            },
            AuditEvent::ServerDraining { seconds: 30 },
            AuditEvent::ServerUpgraded {
                version: "0.1.0",
                program: text("/usr/bin/rproxy"),
            },
            AuditEvent::StateRead { actor: root() },
            AuditEvent::StateCopied {
                how: "backup",
                to: text("/backup/state.db"),
                actor: root(),
            },
            AuditEvent::StateRestored {
                from: text("/backup/state.db"),
                actor: root(),
            },
            AuditEvent::UpgradeRefused {
                message: text("exit status: 78"),
            },
            AuditEvent::CallRefused {
                process: text("worker"),
                pid: 7,
                service: Some("signing"),
                reason: "not-signed",
                count: 1,
            },
            AuditEvent::ConfigurationReloaded {
                at: "reload",
                file: Some(text("rproxy.yaml")),
                sha256: Some(text("e3b0")),
                roles: 2,
                needs_restart: vec![text("data_dir")],
                weaker: vec![Weaker {
                    key: text("recording.mode"),
                    from: text("strict"),
                    to: text("best_effort"),
                }],
            },
            AuditEvent::ConfigurationRefused {
                message: text("1 problem in rproxy.yaml"),
            },
        ]
    }

    fn open(directory: &Path) -> AuditLog {
        let clock = Clock::Fixed(1_700_000_000);
        AuditLog::open(
            &DataDir::new(directory),
            "example.com".parse().unwrap(),
            clock,
        )
        .unwrap()
    }

    /// A log on a full disk.
    fn full() -> AuditLog {
        let path = PathBuf::from("/dev/full");
        let file = LineFile {
            file: File::options().append(true).open(&path).unwrap(),
            torn: false,
        };
        AuditLog::of(
            path,
            Arc::new(Direct),
            file,
            "c".parse().unwrap(),
            Clock::System,
        )
    }

    /// Stores the events that it gets.
    #[derive(Debug, Default)]
    struct Emitted(Mutex<Vec<(EventKind, Fate)>>);

    impl Observer for Emitted {
        fn emitted(&self, event: &AuditEvent, fate: Fate) {
            self.0.lock().unwrap().push((event.kind(), fate));
        }
    }

    #[test]
    fn an_observer_is_told_whether_it_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let told = Arc::new(Emitted::default());
        let stopped = AuditEvent::ServerStopped { reason: "signal" };
        for log in [open(directory.path()), full()] {
            let log = log.observed_by(Arc::<Emitted>::clone(&told));
            let _full = log.clone().emit(&stopped);
        }
        let kind = EventKind::ServerStopped;
        let told = told.0.lock().unwrap();
        assert_eq!(*told, [(kind, Fate::Written), (kind, Fate::Lost)]);
    }

    fn lines(log: &AuditLog) -> Vec<Value> {
        let written = std::fs::read_to_string(log.path()).unwrap();
        assert!(written.ends_with('\n'));
        let parse = |line: &str| serde_json::from_str(line).unwrap();
        written.lines().map(parse).collect()
    }

    fn stop(reason: &'static str) -> AuditEvent {
        AuditEvent::ServerStopped { reason }
    }

    #[test]
    fn every_event_has_its_envelope_and_all_its_fields() {
        let directory = tempfile::tempdir().unwrap();
        let log = open(directory.path());
        let mut samples = samples();
        let addr = "203.0.113.7:50000".parse().unwrap();
        let people = crate::audit::person::testing::samples(&root(), addr);
        samples.extend(people.into_iter().map(AuditEvent::from));
        let nodes = crate::audit::node::testing::samples(&root(), addr);
        samples.extend(nodes.into_iter().map(AuditEvent::from));
        samples.extend(crate::audit::participant::testing::samples(addr));
        let kinds: BTreeSet<EventKind> = samples.iter().map(AuditEvent::kind).collect();
        assert_eq!(kinds.len(), EventKind::ALL.len(), "a kind has no sample");
        for event in &samples {
            log.emit(event).unwrap();
        }
        let lines = lines(&log);
        assert_eq!(lines.len(), samples.len());
        for (line, event) in lines.iter().zip(&samples) {
            let fields = serde_json::to_value(event).unwrap();
            for name in ["time", "code", "event", "id", "cluster"] {
                assert!(fields.get(name).is_none(), "{event:?} shadows {name}");
            }
            for (name, value) in fields.as_object().unwrap() {
                assert_eq!(line.get(name), Some(value), "{event:?}");
            }
            assert_eq!(line["time"], "2023-11-14T22:13:20.000Z");
            assert_eq!(line["code"], event.kind().code());
            assert_eq!(line["event"], event.kind().name());
            assert_eq!(line["cluster"], "example.com");
            assert!(line["id"].as_str().unwrap().parse::<Uuid>().is_ok());
        }
        let certificate = lines.iter().find(|line| line["code"] == "RP3001I").unwrap();
        assert_eq!(certificate["type"], "user");
        assert_eq!(certificate["valid_after"], "1970-01-01T00:00:00Z");
        assert_eq!(certificate["valid_before"], "forever");
        assert_eq!(
            (
                &certificate["by"],
                &certificate["uid"],
                &certificate["sudo_user"]
            ),
            (&Value::from("root"), &Value::from(0), &Value::from("carol"))
        );
        let rotated = lines.iter().find(|line| line["code"] == "RP3004I").unwrap();
        for name in ["by", "uid", "sudo_user"] {
            assert_eq!(rotated.get(name), Some(&Value::Null), "nobody did it");
        }
    }

    #[test]
    fn the_file_is_private_and_an_open_one_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("new/data");
        let log = open(&data);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(log.path()), mode(&data)), (0o600, 0o700));
        std::fs::set_permissions(log.path(), PermissionsExt::from_mode(0o640)).unwrap();
        let refused = AuditLog::open(&DataDir::new(&data), "c".parse().unwrap(), Clock::System);
        assert!(matches!(
            refused,
            Err(AuditError::Open(FsError::TooOpen { .. }))
        ));
    }

    /// Two processes that begin a new file at the same time: one sees it empty, and the other's line in
    /// it when it looks at its last byte.
    #[test]
    fn a_line_of_another_process_is_not_torn() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        for (text, is_torn) in [("", false), ("{}\n", false), ("{}\n{", true)] {
            write_whole(&path, text.as_bytes(), PRIVATE_FILE, Replace::Allow).unwrap();
            assert_eq!(ends_torn(&Direct, &path), is_torn, "{text:?}");
        }
        let file = File::open(&path).unwrap();
        for (length, is_torn) in [(0, false), (1, true), (2, true), (3, false)] {
            assert_eq!(is_torn_at(&file, length), is_torn, "{length}");
        }
    }

    #[test]
    fn a_torn_line_does_not_swallow_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let log = open(directory.path());
        log.emit(&stop("one")).unwrap();
        let whole = std::fs::read(log.path()).unwrap();
        File::options()
            .write(true)
            .open(log.path())
            .unwrap()
            .set_len(whole.len() as u64 - 10)
            .unwrap();
        open(directory.path()).emit(&stop("two")).unwrap();
        let written = std::fs::read_to_string(log.path()).unwrap();
        let last: Value = serde_json::from_str(written.lines().last().unwrap()).unwrap();
        assert_eq!(last["reason"], "two");
        assert_eq!(written.lines().count(), 2);
    }

    /// A certificate of the attacker's own CA, with the longest key id that there may be.
    #[test]
    fn a_stranger_cannot_fill_the_disk_and_what_is_not_written_is_told_as_a_sum() {
        let directory = tempfile::tempdir().unwrap();
        let log = open(directory.path());
        let key_id = "\u{1}".repeat(4096);
        for port in 0..5_000 {
            let event = AuditEvent::AuthFailure {
                leg: Party::Client,
                reason: "untrusted-authority",
                message: format!("the certificate of {key_id} is not ours"),
                client_addr: (std::net::Ipv4Addr::LOCALHOST, port).into(),
                user: Some(key_id.clone()),
                login: None,
                serial: Some(ForeignSerial(7)),
                fingerprint: Some(text("SHA256:abc")),
                connection: Some(ConnectionId::new()),
            };
            log.emit(&event).unwrap();
        }
        let size = || std::fs::metadata(log.path()).unwrap().len();
        assert!(size() < 32 * 1024, "{}", size());
        let written = lines(&log);
        for line in &written {
            assert!(
                line.to_string().len() < 2_000,
                "bounded after escaping: {line}"
            );
        }
        log.tell_sums(false).unwrap();
        assert_eq!(lines(&log).len(), written.len(), "the minute is not over");
        log.tell_sums(true).unwrap();
        let sum = lines(&log).pop().unwrap();
        assert_eq!(sum["event"], "refusals.counted");
        assert_eq!(sum["client_ip"], "127.0.0.1");
        let counted = sum["counts"]["auth.failure/untrusted-authority"]
            .as_u64()
            .unwrap();
        assert_eq!(counted, 5_000 - written.len() as u64);
        // Others lose nothing.
        log.emit(&stop("still written")).unwrap();
        assert_eq!(lines(&log).pop().unwrap()["reason"], "still written");
    }

    /// What one person is refused: bounded in bytes, and the rest is a sum.
    #[test]
    fn refused_requests_of_a_person_are_bounded_in_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let log = open(directory.path());
        let refused = |name: String| AuditEvent::ChannelRefused {
            what: RefusedKind::ChannelRequest,
            from: "client",
            detail: Some(name.clone()),
            name,
            reason: "not-permitted",
            user: text("mallory"),
            login: Some(text("root")),
            target: Some(text("db1:22")),
            client_addr: "192.0.2.1:1".parse().unwrap(),
            connection: None,
            session: None,
        };
        for _ in 0..10_000 {
            log.emit(&refused("\u{9b}".repeat(30_000))).unwrap();
        }
        let size = std::fs::metadata(log.path()).unwrap().len();
        assert!(size < 2 * 1024 * 1024, "{size}");
        log.tell_sums(true).unwrap();
        let sum = lines(&log).pop().unwrap();
        assert_eq!(sum["user"], "mallory");
        assert!(sum["counts"]["channel.refused/not-permitted"].as_u64() > Some(9_000));
    }

    #[test]
    fn a_renamed_file_is_kept_and_a_new_one_begun() {
        let directory = tempfile::tempdir().unwrap();
        let log = open(directory.path());
        let clone = log.clone();
        log.emit(&stop("one")).unwrap();
        let kept = directory.path().join("audit.jsonl.1");
        std::fs::rename(log.path(), &kept).unwrap();
        log.emit(&stop("two")).unwrap();
        log.reopen().unwrap();
        clone.emit(&stop("three")).unwrap();
        let reasons = |path: &Path| -> Vec<Value> {
            let text = std::fs::read_to_string(path).unwrap();
            let lines = text.lines().map(serde_json::from_str::<Value>);
            lines.map(|line| line.unwrap()["reason"].take()).collect()
        };
        assert_eq!(reasons(&kept), ["one", "two"]);
        assert_eq!(reasons(log.path()), ["three"]);

        // What cannot be opened leaves everything as it is.
        std::fs::set_permissions(log.path(), PermissionsExt::from_mode(0o644)).unwrap();
        log.reopen().unwrap_err();
        log.emit(&stop("four")).unwrap();
        assert_eq!(reasons(log.path()), ["three", "four"]);
    }

    #[test]
    fn a_full_disk_is_reported() {
        let log = full();
        assert!(matches!(
            log.emit(&stop("x")),
            Err(AuditError::Write { .. })
        ));
        assert!(log.shared.file.lock().unwrap().torn);
    }

    #[test]
    fn the_lines_of_many_writers_never_mix() {
        let directory = tempfile::tempdir().unwrap();
        std::thread::scope(|threads| {
            for _ in 0..4 {
                let log = open(directory.path());
                threads.spawn(move || {
                    for _ in 0..100 {
                        log.emit(&samples().remove(4)).unwrap();
                    }
                });
            }
        });
        assert_eq!(lines(&open(directory.path())).len(), 400);
    }

    proptest! {
        #[test]
        fn any_text_stays_one_harmless_bounded_line(command in any::<String>(), times in 1..2000usize) {
            let log = full();
            let hostile = format!("{command}\n\u{1b}[2J\u{9b}2J\u{202e}{}", "ä".repeat(times * 5));
            let event = AuditEvent::RecordingFailed {
                session: SessionId::new(),
                connection: ConnectionId::new(),
                user: text("alice"),
                error: hostile.clone(),
                session_ended: false,
            };
            let line = log.line(&event).unwrap();
            prop_assert!(!line.chars().any(char::is_control));
            let mark = '\u{202e}';
            prop_assert!(!line.contains(mark));
            prop_assert!(line.len() < 16 * MAX_TEXT);
            let parsed: Value = serde_json::from_str(&line).unwrap();
            let kept = parsed["error"].as_str().unwrap();
            prop_assert!(hostile.starts_with(kept.strip_suffix(CUT).unwrap_or(kept)));
        }
    }
}

//! Where events go: one line each, in the file and on the program's log.
//!
//! A line is one `write` to a file opened for appending, so the lines of several processes never
//! mix. It is in the kernel's hands when [`AuditLog::emit`] returns: a killed process loses none.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::SecondsFormat;
use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;
use uuid::Uuid;

use crate::model::ClusterName;
use crate::sys::clock::Clock;
use crate::sys::fs::{FsError, append_private, check_private, private_dir};
use crate::sys::lent;

use super::AuditEvent;
use super::kind::Severity;

/// The log's name in the data directory.
pub const FILE_NAME: &str = "audit.jsonl";
/// Longest text of a field, in bytes; the rest is cut.
const MAX_TEXT: usize = 4096;
/// Most items of a list; OpenSSH allows as many principals.
const MAX_ITEMS: usize = 256;
/// Stands where a text was cut.
const CUT: &str = "[...]";

/// Why an event is not in the audit log.
#[derive(Debug, Error)]
pub enum AuditError {
    /// The log cannot be opened.
    #[error("cannot open the audit log")]
    Open(#[source] FsError),
    /// The line cannot be written.
    #[error("cannot write to the audit log {}", path.display())]
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

/// Is told of every event beside the log.
pub trait Observer: fmt::Debug + Send + Sync {
    /// An event was emitted; it is in the file if `is_written`.
    fn emitted(&self, event: &AuditEvent, is_written: bool);
}

/// The audit log; clones share one file.
#[derive(Clone, Debug)]
pub struct AuditLog {
    shared: Arc<Shared>,
    observer: Option<Arc<dyn Observer>>,
}

#[derive(Debug)]
struct Shared {
    cluster: ClusterName,
    clock: Clock,
    path: PathBuf,
    file: Mutex<LineFile>,
}

/// What every line has, before the event's own fields.
#[derive(Debug, Serialize)]
struct Line<'a> {
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
    pub fn open(data_dir: &Path, cluster: ClusterName, clock: Clock) -> Result<Self, AuditError> {
        if !data_dir.is_dir() {
            private_dir(data_dir).map_err(AuditError::Open)?;
        }
        let path = data_dir.join(FILE_NAME);
        let file = Mutex::new(LineFile::open(&path).map_err(AuditError::Open)?);
        let shared = Arc::new(Shared {
            cluster,
            clock,
            path,
            file,
        });
        Ok(Self {
            shared,
            observer: None,
        })
    }

    /// The same log, with somebody who is told what this and its clones emit.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn Observer>) -> Self {
        Self {
            observer: Some(observer),
            ..self
        }
    }

    /// Writes an event to the file and to the program's log. On an error it is on the program's log
    /// only; the caller decides whether things may go on.
    ///
    /// # Errors
    /// [`AuditError::Write`] when the file cannot be written, as on a full disk.
    pub fn emit(&self, event: &AuditEvent) -> Result<(), AuditError> {
        let emitted = self.write(event);
        if let Some(observer) = &self.observer {
            observer.emitted(event, emitted.is_ok());
        }
        emitted
    }

    fn write(&self, event: &AuditEvent) -> Result<(), AuditError> {
        let line = self.line(event)?;
        match event.kind().severity() {
            Severity::Info => tracing::info!(target: "audit", "{line}"),
            Severity::Warning => tracing::warn!(target: "audit", "{line}"),
            Severity::Error => tracing::error!(target: "audit", "{line}"),
        }
        self.lock().append(line).map_err(|source| {
            let path = self.shared.path.clone();
            let error = AuditError::Write { path, source };
            tracing::error!(error = &error as &dyn std::error::Error, "audit event lost");
            error
        })
    }

    /// Goes on in the file that has the log's name now, which is a new one after somebody has renamed
    /// the log in order to keep it. Clones do too.
    ///
    /// # Errors
    /// As [`AuditLog::open`]; events then go where they went before.
    pub fn reopen(&self) -> Result<(), AuditError> {
        let fresh = LineFile::open(&self.shared.path).map_err(AuditError::Open)?;
        *self.lock() = fresh;
        Ok(())
    }

    /// A panic while somebody had it leaves at worst a torn line, which `torn` accounts for.
    fn lock(&self) -> MutexGuard<'_, LineFile> {
        self.shared
            .file
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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
                fields.values_mut().for_each(cut);
                fields
            }
            _ => Map::new(),
        };
        let line = serde_json::to_string(&Line {
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
        Ok(harmless(&line))
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
    fn open(path: &Path) -> Result<Self, FsError> {
        let file = append_private(path)?;
        check_private(path)?;
        Ok(Self {
            torn: ends_torn(path),
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

/// Whether the last line of a file has no end: the machine stopped, or the disk was full.
fn ends_torn(path: &Path) -> bool {
    let last = || -> io::Result<u8> {
        let mut file = lent::read(path)?;
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        let [last] = last;
        Ok(last)
    };
    // An empty file has no last byte.
    last().is_ok_and(|byte| byte != b'\n')
}

/// Bounds what a client can make us write.
fn cut(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > MAX_TEXT => {
            text.truncate(text.floor_char_boundary(MAX_TEXT));
            text.push_str(CUT);
        }
        Value::Array(items) => {
            items.truncate(MAX_ITEMS);
            items.iter_mut().for_each(cut);
        }
        _ => {}
    }
}

/// JSON escapes only the control characters of ASCII. Those of Latin-1 drive terminals too, and
/// directional marks make a line read as something else.
fn harmless(json: &str) -> String {
    let mut line = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}' => line.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => line.push(c),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use crate::audit::{
        CertificateType, EventKind, ForeignSerial, Leg, RecordingState, Refused, SessionKind,
        UnixSeconds,
    };
    use crate::model::{ConnectionId, Serial, SessionId};

    use super::*;

    fn text(text: &str) -> String {
        text.to_owned()
    }

    /// One event of every kind.
    fn samples() -> Vec<AuditEvent> {
        let addr = "203.0.113.7:50000".parse().unwrap();
        let (session, connection) = (SessionId::new(), ConnectionId::new());
        vec![
            AuditEvent::AuthSuccess {
                leg: Leg::Client,
                user: text("alice"),
                login: Some(text("root")),
                client_addr: addr,
                serial: Serial::new(7),
                fingerprint: text("SHA256:abc"),
                connection: Some(connection),
            },
            AuditEvent::AuthFailure {
                leg: Leg::Client,
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
                leg: Leg::HostCertificate,
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
            AuditEvent::InsecureHostKey {
                user: text("alice"),
                login: None,
                target: text("db1:22"),
                host_addr: addr,
                fingerprint: text("SHA256:abc"),
                connection: Some(connection),
            },
            AuditEvent::SecondFactor {
                user: text("alice"),
                login: text("root"),
                target: text("db1:22"),
                host_addr: addr,
                client_addr: addr,
                questions: 1,
                accepted: true,
                connection: Some(connection),
            },
            AuditEvent::SessionStart {
                session,
                connection,
                user: text("alice"),
                login: text("root"),
                target: text("db1:22"),
                node: Some(text("db1")),
                host_addr: addr,
                client_addr: addr,
                kind: SessionKind::Exec,
                command: Some(text("uptime")),
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
                exit_status: Some(0),
                exit_signal: None,
                bytes_in: 1,
                bytes_out: 2,
                duration_ms: 3,
                recording: RecordingState::Complete,
                reason: "closed",
            },
            AuditEvent::ChannelRefused {
                what: Refused::ChannelRequest,
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
                what: Refused::ChannelRequest,
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
            AuditEvent::CertificateIssued {
                kind: CertificateType::User,
                serial: Serial::new(7).unwrap(),
                key_id: text("alice"),
                principals: vec![text("root")],
                valid_after: UnixSeconds(0),
                valid_before: UnixSeconds(u64::MAX),
                fingerprint: text("SHA256:abc"),
                ca_fingerprint: text("SHA256:def"),
            },
            AuditEvent::CertificateRevoked {
                version: 1,
                serial: Serial::new(7),
                key_id: None,
                fingerprint: None,
                by: text("root"),
                message: None,
            },
            AuditEvent::HostCertificateExpiring {
                host: text("db1"),
                host_addr: addr,
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
                by: None,
            },
            AuditEvent::AuthorityImported {
                kind: CertificateType::User,
                fingerprint: text("SHA256:abc"),
                replaced: None,
                by: text("root"),
            },
            AuditEvent::AuthorityCreated {
                kind: CertificateType::User,
                fingerprint: text("SHA256:abc"),
                by: text("root"),
            },
            AuditEvent::RevocationLifted {
                version: 2,
                serial: Serial::new(7),
                key_id: None,
                fingerprint: None,
                by: text("root"),
                message: None,
            },
            AuditEvent::AuthorityKeyRemoved {
                kind: CertificateType::User,
                fingerprint: text("SHA256:abc"),
                by: text("root"),
            },
            AuditEvent::ServerStarted {
                version: "1",
                listen_addr: addr,
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
                by: text("root"),
                uid: 0,
                sudo_user: Some(text("carol")),
                from_start: true,
            },
            AuditEvent::SessionKilled {
                session: Some(session),
                connection,
                user: text("alice"),
                login: text("deploy"),
                target: text("db1:22"),
                by: text("root"),
                uid: 0,
                sudo_user: None,
                message: Some(text("maintenance")),
            },
            AuditEvent::ServerDraining { seconds: 30 },
            AuditEvent::ServerUpgraded {
                version: "0.1.0",
                program: text("/usr/bin/rproxy"),
            },
            AuditEvent::UpgradeRefused {
                message: text("exit status: 78"),
            },
            AuditEvent::ConfigurationReloaded {
                file: text("rproxy.yaml"),
                roles: 2,
                needs_restart: vec![text("data_dir")],
            },
            AuditEvent::ConfigurationRefused {
                message: text("1 problem in rproxy.yaml"),
            },
        ]
    }

    fn open(directory: &Path) -> AuditLog {
        let clock = Clock::Fixed(1_700_000_000);
        AuditLog::open(directory, "example.com".parse().unwrap(), clock).unwrap()
    }

    /// A log on a full disk.
    fn full() -> AuditLog {
        AuditLog {
            shared: Arc::new(Shared {
                cluster: "c".parse().unwrap(),
                clock: Clock::System,
                path: PathBuf::from("/dev/full"),
                file: Mutex::new(LineFile {
                    file: File::options().append(true).open("/dev/full").unwrap(),
                    torn: false,
                }),
            }),
            observer: None,
        }
    }

    /// Remembers what it is told.
    #[derive(Debug, Default)]
    struct Told(Mutex<Vec<(EventKind, bool)>>);

    impl Observer for Told {
        fn emitted(&self, event: &AuditEvent, is_written: bool) {
            self.0.lock().unwrap().push((event.kind(), is_written));
        }
    }

    #[test]
    fn an_observer_is_told_whether_it_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let told = Arc::new(Told::default());
        let stopped = AuditEvent::ServerStopped { reason: "signal" };
        for log in [open(directory.path()), full()] {
            let log = log.observed_by(Arc::<Told>::clone(&told));
            let _full = log.clone().emit(&stopped);
        }
        let kind = EventKind::ServerStopped;
        assert_eq!(*told.0.lock().unwrap(), [(kind, true), (kind, false)]);
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
        let samples = samples();
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
    }

    #[test]
    fn the_file_is_private_and_an_open_one_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("new/data");
        let log = open(&data);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(log.path()), mode(&data)), (0o600, 0o700));
        std::fs::set_permissions(log.path(), PermissionsExt::from_mode(0o640)).unwrap();
        let refused = AuditLog::open(&data, "c".parse().unwrap(), Clock::System);
        assert!(matches!(
            refused,
            Err(AuditError::Open(FsError::TooOpen { .. }))
        ));
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

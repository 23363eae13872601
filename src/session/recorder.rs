//! The relay's tap: one for each connection, with a recording for each session.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::closing::Closing;
use super::context::SessionContext;
use super::forwards::Forwards;
use super::recorded::{Recorded, Writer};
use super::recorded_session::{RecordedSession, note_of};
use super::recording_start::RecordingStart;
use super::refusal::refusal;
use super::registry::{Registration, SessionStart};
use super::{RecordingPolicy, RecordingSettings};
use crate::access::{LoginPermit, SignIn};
use crate::audit::{AuditEvent, AuditLog, ForeignSerial, RecordingState};
use crate::cert::VerifiedUserCert;
use crate::metrics::{Flow, LocalCounter, Metrics};
use crate::model::{ConnectionId, ParticipantId, SessionId, chain};
use crate::recording::{Header, Live, RecordingError, ScreenSnapshot, Verbatim};
use crate::relay::{
    ChannelKey, Destination, Exit, Note, RefusedMessage, RelayedMessage, Start, Stream, Tap,
};
use crate::store::{StoreError, file_name};
use crate::sys::clock::Clock;

/// In strict mode: a session cannot be recorded, so nothing more may be relayed.
#[derive(Debug, Error)]
#[error("the recording of session {session} cannot be written")]
pub struct RecordingLost {
    /// The session.
    pub session: SessionId,
    /// The cause.
    pub source: StoreError,
}

impl RecordingLost {
    /// The text for the user.
    #[must_use]
    pub fn text(&self) -> String {
        lost_text(self.session, &self.source)
    }
}

fn lost_text(session: SessionId, error: &dyn std::error::Error) -> String {
    format!(
        "rproxy: proxy: the recording cannot be written: {}\r\n  hint: sessions must be recorded here; tell the proxy's administrator\r\n  id: {session}\r\n",
        chain(error)
    )
}

/// The tap of one connection.
#[derive(Debug)]
pub struct Recorder {
    pub(super) recording: RecordingSettings,
    audit: AuditLog,
    pub(super) metrics: Arc<Metrics>,
    scene: SessionContext,
    clock: Clock,
    origin: Instant,
    /// Its place in the registry.
    seat: Registration,
    pub(super) sittings: BTreeMap<ChannelKey, RecordedSession>,
    /// The recording of the forwarded channels, once there was one.
    pub(super) forwards: Option<Forwards>,
    /// When something was last written, on the recorder's clock.
    pub(super) last_write: Duration,
    /// The memory of the compressors, in bytes.
    pub(super) held: usize,
    /// Bytes that are not counted in the metrics yet.
    tally: LocalCounter,
    /// The end of a session could not be recorded.
    lost: Option<RecordingLost>,
}

impl Recorder {
    /// A tap without sessions.
    #[must_use]
    pub fn new(
        recording: RecordingSettings,
        audit: AuditLog,
        metrics: Arc<Metrics>,
        clock: Clock,
        scene: SessionContext,
        seat: Registration,
    ) -> Self {
        Self {
            recording,
            audit,
            metrics,
            scene,
            clock,
            origin: Instant::now(),
            seat,
            sittings: BTreeMap::new(),
            forwards: None,
            last_write: Duration::ZERO,
            held: 0,
            tally: LocalCounter::default(),
            lost: None,
        }
    }

    /// The id of the connection.
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        self.scene.connection
    }

    /// Whether a session with a terminal is running.
    #[must_use]
    pub fn has_terminal(&self) -> bool {
        self.sittings.values().any(|sitting| sitting.terminal)
    }

    /// What the terminal of a session shows as of the last commit: for a viewer who joins then and is
    /// given all that is relayed from there on. `None` without a terminal, and where the session is not
    /// recorded: the screen is kept with the recording.
    pub fn screen(&mut self, channel: ChannelKey) -> Option<ScreenSnapshot> {
        self.sittings.get_mut(&channel)?.screen()
    }

    /// Stores everything that was recorded so far. Nothing may be relayed before this returns `Ok`.
    ///
    /// # Errors
    /// In strict mode, when a recording cannot be written.
    pub fn commit(&mut self) -> Result<(), RecordingLost> {
        match self.lost.take() {
            Some(lost) => Err(lost),
            None => self.write(RecordedSession::commit),
        }
    }

    /// Ends the sessions that still run, because the connection has ended.
    pub fn end(&mut self, reason: &'static str) {
        for (_, mut sitting) in std::mem::take(&mut self.sittings) {
            let now = self.now();
            sitting.broke_off(now, reason);
            self.finish(sitting, reason);
        }
        if let Some(forwards) = self.forwards.take() {
            self.finish(forwards.sitting, reason);
        }
        self.tally.settle(&self.metrics.relayed);
        self.seat.leave();
    }

    /// What is known about the connection.
    pub(super) fn scene(&self) -> &SessionContext {
        &self.scene
    }

    /// Where its events go.
    pub(super) fn audit_log(&self) -> &AuditLog {
        &self.audit
    }

    pub(super) fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    pub(super) fn write(
        &mut self,
        write: impl Fn(&mut RecordedSession) -> Result<(), RecordingError>,
    ) -> Result<(), RecordingLost> {
        let now = self.now();
        let mut grown = 0;
        self.held = 0;
        let forwards = self
            .forwards
            .iter_mut()
            .map(|forwards| &mut forwards.sitting);
        for sitting in self.sittings.values_mut().chain(forwards) {
            self.last_write = if sitting.dirty { now } else { self.last_write };
            let written = write(sitting);
            grown += sitting.grown();
            self.held += sitting.held();
            let Err(source) = written else {
                sitting.audience.publish();
                continue;
            };
            let first = sitting.misses_something();
            let strict = self.recording.policy == RecordingPolicy::Strict;
            let session = sitting.id;
            if first {
                let event = failed(&self.scene, session, &source, strict);
                tell(&self.audit, &event);
            }
            if strict {
                return Err(RecordingLost {
                    session,
                    source: source.into(),
                });
            }
            sitting.audience.publish();
        }
        // If nothing was recorded, neither the metrics nor the clock are needed.
        if grown > 0 {
            self.metrics.recording_written.add(grown);
            self.metrics
                .recording_commit
                .observe(self.now().saturating_sub(now));
        }
        self.tally.settle(&self.metrics.relayed);
        Ok(())
    }

    /// Starts a recording and audits the session's start.
    ///
    /// # Errors
    /// In strict mode, the text for the user.
    pub(super) fn begin(&mut self, beginning: &RecordingStart) -> Result<RecordedSession, String> {
        let id = SessionId::new();
        let now = self.now();
        let strict = self.recording.policy == RecordingPolicy::Strict;
        let recorded = match self.recording.policy {
            RecordingPolicy::Off => Recorded::Off,
            RecordingPolicy::Strict | RecordingPolicy::BestEffort => {
                match self.open(id, beginning, now) {
                    Ok(writer) => Recorded::To(Box::new(writer)),
                    Err(error) => {
                        tell(&self.audit, &failed(&self.scene, id, &error, strict));
                        if strict {
                            return Err(lost_text(id, &error));
                        }
                        Recorded::Lost
                    }
                }
            }
        };
        let file = recorded.is_kept().then(|| self.recording.store.path(id));
        let seat = self.seat.begin(SessionStart {
            id,
            kind: beginning.kind,
            command: beginning.command_text(),
            pty: beginning.pty.is_some(),
            start: self.clock.now(),
            file,
        });
        let mut sitting = RecordedSession::new(id, recorded, now, seat);
        for said in std::mem::take(&mut self.scene.said) {
            sitting.said(now, &said);
        }
        if !sitting.recorded.is_kept() {
            sitting.misses_something();
        }
        let event = self.start_event(&sitting, beginning);
        if let Err(error) = self.audit.emit(&event) {
            tracing::error!(error = %chain(&error), "cannot write the audit log");
            if strict {
                self.finish(sitting, "audit-failed");
                return Err(format!(
                    "rproxy: proxy: the audit log cannot be written: {}\r\n  id: {id}\r\n",
                    chain(&error)
                ));
            }
        }
        sitting.running = Some(self.metrics.session(beginning.kind));
        Ok(sitting)
    }

    /// The recording of the forwarded channels; it is started with the first channel.
    ///
    /// # Errors
    /// As [`Recorder::begin`].
    fn take_forwards(&mut self) -> Result<Forwards, String> {
        match self.forwards.take() {
            Some(forwards) => Ok(forwards),
            None => Ok(Forwards::new(self.begin(&RecordingStart::of_forwards())?)),
        }
    }

    fn open(
        &self,
        id: SessionId,
        beginning: &RecordingStart,
        now: Duration,
    ) -> Result<Writer, StoreError> {
        let SessionContext { permit, .. } = &self.scene;
        let (identity, route) = (permit.identity(), permit.route());
        let header = Header {
            session: id,
            connection: self.scene.connection,
            cluster: self.scene.cluster.to_string(),
            user: identity.name().to_owned(),
            login: permit.login().to_string(),
            target: route.target.to_string(),
            node: route.node.clone(),
            address: Some(self.scene.host_address.to_string()),
            egress_addr: self.scene.egress.as_ref().map(ToString::to_string),
            kind: beginning.kind,
            command: beginning.command.clone(),
            client: Some(self.scene.client.to_string()),
            serial: permit.credential().map(VerifiedUserCert::serial),
            fingerprint: Some(identity.fingerprint().to_string()),
            start: self.clock.now(),
            pty: beginning.pty.clone(),
        };
        let sink = self.recording.store.create(id)?;
        Ok(Live::start(sink, &header, self.recording.options, now)?)
    }

    fn start_event(&self, sitting: &RecordedSession, beginning: &RecordingStart) -> AuditEvent {
        let SessionContext { permit, .. } = &self.scene;
        let route = permit.route();
        AuditEvent::SessionStart {
            session: sitting.id,
            connection: self.scene.connection,
            user: permit.identity().name().to_owned(),
            login: permit.login().to_string(),
            target: route.target.to_string(),
            node: route.node.clone(),
            host_addr: self.scene.host_address,
            egress_addr: self.scene.egress,
            client_addr: self.scene.client,
            serial: shown_serial(permit),
            fingerprint: permit.identity().fingerprint().to_string(),
            sign_in: permit.identity().sign_in().map(SignIn::id),
            kind: beginning.kind,
            command: beginning.command_text(),
            command_hex: beginning.command.as_ref().and_then(Verbatim::hex),
            recording: sitting.recorded.is_kept().then(|| file_name(sitting.id)),
            insecure_host_key: self.scene.insecure_host_key,
            legacy_algorithms: self.scene.legacy_algorithms.clone(),
            rule: permit.grant().rule().map(ToString::to_string),
        }
    }

    pub(super) fn finish(&mut self, mut sitting: RecordedSession, reason: &'static str) {
        let now = self.now();
        self.dismiss(&sitting, now);
        let mut finished = None;
        let state = match std::mem::replace(&mut sitting.recorded, Recorded::Off) {
            // If the recording could not be created, `recording.failed` was audited.
            Recorded::Off | Recorded::Lost => RecordingState::Off,
            Recorded::To(writer) => match writer.finish(now) {
                Ok((sink, summary)) => {
                    let grown = sitting.growth(summary.file_bytes);
                    self.metrics.recording_written.add(grown);
                    self.tally.settle(&self.metrics.relayed);
                    finished = Some((sink, summary));
                    if sitting.incomplete {
                        RecordingState::Incomplete
                    } else {
                        RecordingState::Complete
                    }
                }
                Err(error) => {
                    tell(&self.audit, &failed(&self.scene, sitting.id, &error, true));
                    if self.recording.policy == RecordingPolicy::Strict {
                        self.lost = Some(RecordingLost {
                            session: sitting.id,
                            source: error.into(),
                        });
                    }
                    RecordingState::Incomplete
                }
            },
        };
        // What came with the end is recorded now, as far as it is relayed.
        if self.lost.is_none() {
            sitting.audience.publish();
        }
        let closing = Closing {
            audit: self.audit.clone(),
            end: self.end_event(&sitting, now, state, reason),
            departed: sitting.seat.leave(),
        };
        // The kernel has all the data. The end is audited on another thread, once the disk has it
        // too.
        match finished {
            Some((sink, summary)) => {
                sink.finish(summary, Box::new(|finished| closing.after(finished)));
            }
            None => closing.without_recording(),
        }
    }

    fn end_event(
        &self,
        sitting: &RecordedSession,
        now: Duration,
        recording: RecordingState,
        reason: &'static str,
    ) -> AuditEvent {
        let (permit, signal) = (&self.scene.permit, sitting.exit_signal());
        AuditEvent::SessionEnd {
            session: sitting.id,
            connection: self.scene.connection,
            user: permit.identity().name().to_owned(),
            login: permit.login().to_string(),
            target: permit.route().target.to_string(),
            egress_addr: self.scene.egress,
            serial: shown_serial(permit),
            exit_status: sitting.exit_status(),
            exit_signal: signal.as_ref().map(|name| name.text().into_owned()),
            exit_signal_hex: signal.as_ref().and_then(Verbatim::hex),
            bytes_in: sitting.bytes_in,
            bytes_out: sitting.bytes_out,
            duration_ms: u64::try_from((now.saturating_sub(sitting.started)).as_millis())
                .unwrap_or(u64::MAX),
            recording,
            reason,
        }
    }
}

impl Tap for Recorder {
    fn start(&mut self, channel: ChannelKey, start: &Start) -> Result<(), String> {
        let mut sitting = self.begin(&RecordingStart::of(start))?;
        if let Some(pty) = &start.pty {
            sitting.terminal = true;
            if !start.asked.iter().any(|request| request.name == "pty-req") {
                sitting.terminal(self.now(), pty);
            }
        }
        sitting.environment(self.now(), &start.environment);
        sitting.asked(self.now(), &start.asked);
        self.sittings.insert(channel, sitting);
        Ok(())
    }

    fn forward(&mut self, channel: ChannelKey, destination: &Destination) -> Result<(), String> {
        let mut forwards = self.take_forwards()?;
        let number = forwards.open(self.now(), channel, destination);
        let permit = &self.scene.permit;
        let event = AuditEvent::ForwardOpened {
            connection: self.scene.connection,
            session: Some(forwards.sitting.id),
            user: permit.identity().name().to_owned(),
            login: permit.login().to_string(),
            target: permit.route().target.to_string(),
            channel: number,
            kind: destination.kind(),
            address: destination.address(),
        };
        tell(&self.audit, &event);
        self.forwards = Some(forwards);
        Ok(())
    }

    fn global(&mut self, request: &RelayedMessage) -> Result<(), String> {
        let mut forwards = self.take_forwards()?;
        forwards.sitting.request(self.now(), &note_of(request));
        self.forwards = Some(forwards);
        Ok(())
    }

    fn abandoned(&mut self, asked: &Start) {
        self.never_began(asked);
    }

    fn data(&mut self, channel: ChannelKey, stream: Stream, bytes: &[u8]) {
        let now = self.now();
        if let Some(sitting) = self.sittings.get_mut(&channel) {
            sitting.data(now, stream, bytes);
            let flow = match stream {
                Stream::Stdin => Flow::Stdin,
                Stream::Stdout => Flow::Stdout,
                Stream::Stderr => Flow::Stderr,
            };
            self.tally.add(flow, bytes.len());
        } else if let Some(forwards) = &mut self.forwards
            && forwards.data(now, channel, stream, bytes)
        {
            let flow = match stream {
                Stream::Stdin => Flow::ForwardToHost,
                Stream::Stdout | Stream::Stderr => Flow::ForwardToClient,
            };
            self.tally.add(flow, bytes.len());
        }
    }

    fn injected(&mut self, channel: ChannelKey, participant: ParticipantId, bytes: &[u8]) {
        let now = self.now();
        if let Some(sitting) = self.sittings.get_mut(&channel) {
            sitting.injected(now, participant, bytes);
            self.tally.add(Flow::Stdin, bytes.len());
        }
    }

    fn notified(&mut self, _channel: ChannelKey, _text: &str) {
        // The marker of what it says is there already.
    }

    fn resize(&mut self, channel: ChannelKey, columns: u32, rows: u32) {
        let now = self.now();
        if let Some(sitting) = self.sittings.get_mut(&channel) {
            sitting.resize(now, columns, rows);
        }
    }

    fn note(&mut self, channel: ChannelKey, note: &Note) {
        let now = self.now();
        if let Some(sitting) = self.sittings.get_mut(&channel) {
            sitting.note(now, note);
        } else if let Some(forwards) = &mut self.forwards {
            forwards.note(now, channel, note);
        }
    }

    fn exit(&mut self, channel: ChannelKey, exit: &Exit) {
        let now = self.now();
        if let Some(sitting) = self.sittings.get_mut(&channel) {
            sitting.exit(now, exit);
        }
    }

    fn closed(&mut self, channel: ChannelKey) {
        let now = self.now();
        if let Some(sitting) = self.sittings.remove(&channel) {
            self.finish(sitting, "closed");
        } else if let Some(forwards) = &mut self.forwards {
            forwards.close(now, channel);
        }
    }

    fn refused(&mut self, refused: RefusedMessage<'_>) {
        let session = refused
            .channel
            .and_then(|channel| self.sittings.get(&channel))
            .map(|sitting| sitting.id);
        tell(&self.audit, &refusal(&self.scene, &refused, session));
    }
}

/// The serial of the certificate that the host was shown, 0 too: sshd logs it as it is.
fn shown_serial(permit: &LoginPermit) -> Option<ForeignSerial> {
    let credential = permit.credential();
    credential.map(|certificate| ForeignSerial(certificate.serial()))
}

fn failed(
    scene: &SessionContext,
    session: SessionId,
    error: &dyn std::error::Error,
    session_ended: bool,
) -> AuditEvent {
    AuditEvent::RecordingFailed {
        session,
        connection: scene.connection,
        user: scene.permit.identity().name().to_owned(),
        error: chain(error),
        session_ended,
    }
}

/// Writes an event; if the audit log fails, the program's log gets it.
pub(super) fn tell(audit: &AuditLog, event: &AuditEvent) {
    if let Err(error) = audit.emit(event) {
        tracing::error!(error = %chain(&error), "cannot write the audit log");
    }
}

//! One session of a connection, from its start to its end.

use std::time::Duration;

use super::context::EarlyText;
use super::participants::Audience;
use super::recorded::{Recorded, Writer};
use super::registry::SessionRegistration;
use crate::metrics::GaugeGuard;
use crate::model::{ParticipantId, SessionId, text};
use crate::recording::{
    self, ChannelNote, ExitNote, ExitSignal, GapNote, Live, RecordingError, ScreenSnapshot,
    Verbatim,
};
use crate::relay::{Exit, Note, Pty, RelayedMessage, Side, Stream, Value};

/// One session.
#[derive(Debug)]
pub(super) struct RecordedSession {
    pub(super) id: SessionId,
    /// Its recording.
    pub(super) recorded: Recorded,
    /// It has a terminal.
    pub(super) terminal: bool,
    /// When it started, on the recorder's clock.
    pub(super) started: Duration,
    /// Bytes from the client.
    pub(super) bytes_in: u64,
    /// Bytes from the host.
    pub(super) bytes_out: u64,
    pub(super) exit: Option<Exit>,
    /// Something is recorded and not committed yet.
    pub(super) dirty: bool,
    /// The recording holds its compressor's memory.
    pub(super) warm: bool,
    /// A part of it could not be recorded.
    pub(super) incomplete: bool,
    /// Its place in the registry.
    pub(super) seat: SessionRegistration,
    /// How many bytes of the recording were counted in the metrics.
    counted: u64,
    /// Who has joined it.
    pub(super) audience: Audience,
    /// Counts the session as running.
    pub(super) running: Option<GaugeGuard>,
}

impl RecordedSession {
    pub(super) fn new(
        id: SessionId,
        recorded: Recorded,
        started: Duration,
        seat: SessionRegistration,
    ) -> Self {
        Self {
            id,
            recorded,
            terminal: false,
            started,
            bytes_in: 0,
            bytes_out: 0,
            exit: None,
            dirty: false,
            warm: false,
            incomplete: false,
            seat,
            counted: 0,
            audience: Audience::default(),
            running: None,
        }
    }

    /// How much a recording of this size has grown since it was last counted.
    pub(super) fn growth(&mut self, size: u64) -> u64 {
        let before = std::mem::replace(&mut self.counted, size);
        size.saturating_sub(before)
    }

    /// How much the recording has grown since it was last counted.
    pub(super) fn grown(&mut self) -> u64 {
        let size = self.recorded.writer().map(Live::file_bytes);
        size.map_or(0, |size| self.growth(size))
    }

    /// The memory of its compressor, in bytes.
    pub(super) fn held(&self) -> usize {
        self.recorded.writer().map_or(0, Live::held) + self.audience.held()
    }

    /// The recording, to write to it.
    fn touch(&mut self) -> Option<&mut Writer> {
        self.dirty = true;
        self.warm = true;
        self.recorded.writer_mut()
    }

    pub(super) fn data(&mut self, now: Duration, stream: Stream, bytes: &[u8]) {
        let length = bytes.len() as u64;
        match stream {
            Stream::Stdin => self.bytes_in += length,
            Stream::Stdout | Stream::Stderr => self.bytes_out += length,
        }
        self.seat.carried(self.bytes_in, self.bytes_out);
        if stream != Stream::Stdin {
            self.audience.stage(bytes);
        }
        let Some(live) = self.touch() else { return };
        match stream {
            Stream::Stdin => live.input(now, bytes),
            Stream::Stdout => live.output(now, recording::Stream::Stdout, bytes),
            Stream::Stderr => live.output(now, recording::Stream::Stderr, bytes),
        }
    }

    /// Records what a participant has typed.
    pub(super) fn injected(&mut self, now: Duration, participant: ParticipantId, bytes: &[u8]) {
        let members = self.audience.members();
        let member = members.iter().find(|member| member.id == participant);
        let user = member.map_or_else(String::new, |member| member.joiner.user.clone());
        if let Some(live) = self.touch() {
            live.participant_input(now, participant.number(), &user, bytes);
        }
    }

    /// Who has joined, for people who look who is there.
    pub(super) fn list_participants(&self) {
        self.seat.list_participants(self.audience.rows());
    }

    pub(super) fn resize(&mut self, now: Duration, columns: u32, rows: u32) {
        self.audience.resize();
        if let Some(live) = self.touch() {
            live.resize(now, columns, rows);
        }
    }

    pub(super) fn note(&mut self, now: Duration, note: &Note) {
        let note = match note {
            Note::Eof(side) => ChannelNote::new(recorded(*side), "eof"),
            Note::Request(request) => note_of(request),
            Note::StartRefused => ChannelNote::new(recording::Side::Host, "refused"),
        };
        self.request(now, &note);
    }

    pub(super) fn request(&mut self, now: Duration, note: &ChannelNote) {
        if let Some(live) = self.touch() {
            live.request(now, note);
        }
    }

    /// Records what the user read or was asked before the session.
    pub(super) fn said(&mut self, now: Duration, said: &EarlyText) {
        let note = match said {
            EarlyText::Greeting(text) => {
                ChannelNote::new(recording::Side::Proxy, "banner").with("text", text.as_str())
            }
            EarlyText::Banner(text) => {
                let note = ChannelNote::new(recording::Side::Host, "banner");
                note.with_shown("text", text.shown(), text.sent())
            }
            EarlyText::Asked(challenge) => {
                let (name, todo) = (&challenge.name, &challenge.instruction);
                let prompts = challenge.prompts.iter().map(|prompt| &prompt.text);
                ChannelNote::new(recording::Side::Host, "keyboard-interactive")
                    .with_shown("name", name.shown(), name.sent())
                    .with_shown("instruction", todo.shown(), todo.sent())
                    .with_all_shown("prompts", prompts.map(|text| (text.shown(), text.sent())))
            }
        };
        self.request(now, &note);
    }

    /// Records the terminal that the client asked for, if the request itself is not recorded. The header has the
    /// values that players understand.
    pub(super) fn terminal(&mut self, now: Duration, pty: &Pty) {
        self.terminal = true;
        let note = ChannelNote::new(recording::Side::Client, "pty-req")
            .with_bytes("term", &pty.term)
            .with("cols", pty.columns)
            .with("rows", pty.rows);
        self.request(now, &note);
    }

    /// Records the requests before the session began.
    pub(super) fn asked(&mut self, now: Duration, requests: &[RelayedMessage]) {
        for request in requests {
            self.request(now, &note_of(request));
        }
    }

    /// Records the environment that the client asked for.
    pub(super) fn environment(
        &mut self,
        now: Duration,
        variables: &[(bytes::Bytes, bytes::Bytes)],
    ) {
        let Some(live) = self.touch() else { return };
        for (name, value) in variables {
            let note = ChannelNote::new(recording::Side::Client, "env")
                .with_bytes("variable", name)
                .with_bytes("value", value);
            live.request(now, &note);
        }
    }

    pub(super) fn exit(&mut self, now: Duration, exit: &Exit) {
        self.exit = Some(exit.clone());
        let Some(live) = self.touch() else { return };
        let note = match exit {
            Exit::Status(status) => ExitNote::Status(*status),
            Exit::Signal {
                name,
                core_dumped,
                message,
            } => ExitNote::Signal(ExitSignal {
                name: name.as_ref().into(),
                core: *core_dumped,
                message: message.as_ref().into(),
            }),
        };
        live.exit(now, &note);
    }

    /// Makes everything recorded so far durable.
    pub(super) fn commit(&mut self) -> Result<(), RecordingError> {
        if !std::mem::take(&mut self.dirty) {
            return Ok(());
        }
        self.recorded.writer_mut().map_or(Ok(()), Live::commit)
    }

    /// What its terminal shows as of the last commit.
    pub(super) fn screen(&mut self) -> Option<ScreenSnapshot> {
        self.recorded.writer_mut().and_then(Live::screen)
    }

    /// Frees memory that a silent session does not need.
    pub(super) fn rest(&mut self) -> Result<(), RecordingError> {
        if !std::mem::take(&mut self.warm) {
            return Ok(());
        }
        self.recorded.writer_mut().map_or(Ok(()), Live::idle)
    }

    /// Notes that a part is missing in the recording. Returns whether it is the first.
    pub(super) fn misses_something(&mut self) -> bool {
        self.seat.misses_something();
        !std::mem::replace(&mut self.incomplete, true)
    }

    /// Writes a marker for viewers.
    pub(super) fn mark(&mut self, now: Duration, text: &str) {
        if let Some(live) = self.touch() {
            live.marker(now, text);
        }
    }

    /// Marks that the recording ended before the session did.
    pub(super) fn broke_off(&mut self, now: Duration, reason: &str) {
        if let Some(live) = self.touch() {
            live.gap(
                now,
                &GapNote {
                    bytes: 0,
                    events: 0,
                    reason: reason.to_owned(),
                },
            );
        }
    }

    pub(super) fn exit_status(&self) -> Option<u32> {
        match &self.exit {
            Some(Exit::Status(status)) => Some(*status),
            Some(Exit::Signal { .. }) | None => None,
        }
    }

    pub(super) fn exit_signal(&self) -> Option<Verbatim> {
        match &self.exit {
            Some(Exit::Signal { name, .. }) => Some(name.as_ref().into()),
            Some(Exit::Status(_)) | None => None,
        }
    }
}

/// A message with its fields, each as text or as hexadecimal digits, so that the exact bytes are
/// known.
pub(super) fn note_of(request: &RelayedMessage) -> ChannelNote {
    let note = ChannelNote::new(recorded(request.from), request.name);
    let fields = request.fields.iter();
    fields.fold(note, |note, (name, value)| match value {
        Value::Number(number) => note.with(*name, *number),
        Value::Flag(flag) => note.with(*name, *flag),
        Value::Bytes(bytes) => note.with(format!("{name}_hex"), text::hex(bytes)),
        Value::Text(bytes) => note.with_bytes(name, bytes),
    })
}

fn recorded(side: Side) -> recording::Side {
    match side {
        Side::Client => recording::Side::Client,
        Side::Host => recording::Side::Host,
    }
}

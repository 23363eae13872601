//! Requests and their answers: a request is one line of JSON, an answer is lines of JSON, of which the last one
//! contains the result. Additions are new keys, which other versions ignore: processes of two versions share a
//! directory.

use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::model::{ConnectionId, SessionId};
use crate::session::{LiveConnection, LiveSession, Reason};

/// Longest request, in bytes, with its line feed.
pub(super) const MAX_REQUEST: usize = 4 * 1024;
/// Longest line of an answer, in bytes, with its line feed.
pub(super) const MAX_LINE: usize = 64 * 1024;
/// How much of a command line is in a listing, in bytes; the recording has all of it.
const MAX_COMMAND: usize = 4 * 1024;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum ControlRequest {
    /// What is live?
    Sessions,
    /// May I watch this session?
    Watch {
        /// The session.
        session: SessionId,
        /// From its beginning, or from now on.
        from_start: bool,
        /// The user that sudo says it works for: for the record, it proves nothing.
        sudo_user: Option<String>,
    },
    /// End this.
    Kill {
        /// What is to end.
        what: What,
        /// What the user reads, and the recording says.
        reason: Option<Reason>,
        /// As in [`ControlRequest::Watch`].
        sudo_user: Option<String>,
    },
}

/// What can be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// One session, and its connection if it has no other.
    Session(SessionId),
    /// A connection, with all its sessions.
    Connection(ConnectionId),
}

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ControlResponse {
    /// Something live; more lines follow.
    Row(Box<SessionRow>),
    /// It is done, or that was all.
    Done {},
    /// The command to end was passed on; it has not ended yet.
    Pending {},
    /// It is not done.
    Refused(ControlRefusal),
}

/// Why something is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControlRefusal {
    /// The peer is neither root nor the account of the proxy.
    NotPermitted,
    /// There is no such session or connection, or it has ended.
    NotLive,
    /// The session has no recording.
    NotRecorded,
    /// The audit log cannot be written.
    NotAudited,
    /// The line is not a request.
    NotUnderstood,
    /// There are too many clients.
    Busy,
}

/// How a live session is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordingHealth {
    /// All of it.
    Recording,
    /// A part could not be.
    Incomplete,
    /// Not at all.
    Off,
    /// Nothing runs that could be.
    Idle,
}

impl RecordingHealth {
    /// The word in listings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Incomplete => "incomplete",
            Self::Off => "off",
            Self::Idle => "idle",
        }
    }
}

/// A live session, or a connection on which nothing runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// The session; `None` for a connection without one.
    pub session: Option<SessionId>,
    /// The connection.
    pub connection: ConnectionId,
    /// The identity: the certificate's key id.
    pub user: String,
    /// The account on the host.
    pub login: String,
    /// The inventory's name of the host, else the host as it was asked for.
    pub host: String,
    /// What the user asked for.
    pub target: String,
    /// The client's address.
    pub client: SocketAddr,
    /// `shell`, `exec`, `subsystem`, `forward`, or `connection` without a session.
    pub kind: String,
    /// The command line, or the subsystem's name.
    pub command: Option<String>,
    /// Since when.
    pub start: DateTime<Utc>,
    /// How it is recorded.
    pub state: RecordingHealth,
    /// Whether it has a terminal.
    pub pty: bool,
    /// Bytes from the client so far.
    pub bytes_in: u64,
    /// Bytes from the host so far.
    pub bytes_out: u64,
    /// The recording.
    pub file: Option<String>,
    /// The process of the proxy that has it.
    pub pid: u32,
}

impl SessionRow {
    /// What there is to say of a connection: its sessions, or itself where there are none.
    pub(super) fn of(connection: &LiveConnection, pid: u32) -> Vec<Self> {
        let sessions = connection.sessions();
        if sessions.is_empty() {
            return vec![Self::idle(connection, pid)];
        }
        let row = |session| Self::session(connection, session, pid);
        sessions.iter().map(|session| row(session)).collect()
    }

    fn idle(connection: &LiveConnection, pid: u32) -> Self {
        Self {
            session: None,
            connection: connection.id,
            user: connection.user.clone(),
            login: connection.login.clone(),
            host: connection.host.clone(),
            target: connection.target.clone(),
            client: connection.client,
            kind: "connection".to_owned(),
            command: None,
            start: connection.start,
            state: RecordingHealth::Idle,
            pty: false,
            bytes_in: 0,
            bytes_out: 0,
            file: None,
            pid,
        }
    }

    fn session(connection: &LiveConnection, session: &LiveSession, pid: u32) -> Self {
        let state = match (&session.file, session.is_incomplete()) {
            (None, _) => RecordingHealth::Off,
            (Some(_), true) => RecordingHealth::Incomplete,
            (Some(_), false) => RecordingHealth::Recording,
        };
        let file = session.file.as_ref();
        Self {
            session: Some(session.id),
            kind: session.kind.as_str().to_owned(),
            command: session.command.as_deref().map(beginning),
            start: session.start,
            state,
            pty: session.pty,
            bytes_in: session.bytes_in(),
            bytes_out: session.bytes_out(),
            file: file.map(|file| file.to_string_lossy().into_owned()),
            ..Self::idle(connection, pid)
        }
    }

    /// Its id: the session's, or the connection's where there is none.
    #[must_use]
    pub fn id(&self) -> String {
        match self.session {
            Some(session) => session.to_string(),
            None => self.connection.to_string(),
        }
    }
}

fn beginning(command: &str) -> String {
    let (beginning, _) = command.split_at(command.floor_char_boundary(MAX_COMMAND));
    beginning.to_owned()
}

/// A message as a line.
pub(super) fn line(message: &impl Serialize) -> Vec<u8> {
    // Strings, numbers and times: there is always a JSON form.
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn questions_have_a_fixed_form() {
        let session: SessionId = "01920000-0000-7000-8000-000000000001".parse().unwrap();
        let connection: ConnectionId = "01920000-0000-7000-8000-000000000002".parse().unwrap();
        let forms = [
            (ControlRequest::Sessions, r#"{"ask":"sessions"}"#),
            (
                ControlRequest::Watch {
                    session,
                    from_start: true,
                    sudo_user: None,
                },
                r#"{"ask":"watch","session":"01920000-0000-7000-8000-000000000001","from_start":true,"sudo_user":null}"#,
            ),
            (
                ControlRequest::Kill {
                    what: What::Connection(connection),
                    reason: Some("lunch".parse().unwrap()),
                    sudo_user: Some("carol".to_owned()),
                },
                r#"{"ask":"kill","what":{"connection":"01920000-0000-7000-8000-000000000002"},"reason":"lunch","sudo_user":"carol"}"#,
            ),
        ];
        for (ask, form) in forms {
            assert_eq!(line(&ask), format!("{form}\n").as_bytes());
            assert_eq!(serde_json::from_str::<ControlRequest>(form).unwrap(), ask);
            let more = form.replacen('{', r#"{"new":1,"#, 1);
            assert_eq!(serde_json::from_str::<ControlRequest>(&more).unwrap(), ask);
        }
    }

    #[test]
    fn what_is_no_question_is_none() {
        for text in [
            "",
            "null",
            "[]",
            r#"{"ask":"shutdown"}"#,
            r#"{"ask":"kill"}"#,
            r#"{"ask":"kill","what":{"session":"1"}}"#,
            r#"{"ask":"kill","what":{},"reason":null}"#,
            r#"{"ask":"watch","session":"01920000-0000-7000-8000-000000000001","from_start":1}"#,
            r#"{"ask":"kill","what":{"session":"01920000-0000-7000-8000-000000000001"},"reason":"\u001b[2J"}"#,
            r#"{"ask":"kill","what":{"session":"01920000-0000-7000-8000-000000000001"},"reason":""}"#,
        ] {
            assert!(
                serde_json::from_str::<ControlRequest>(text).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_long_command_is_cut_between_characters() {
        let command = format!("x{}", "é".repeat(4000));
        let cut = beginning(&command);
        assert_eq!(cut.len(), 4095);
        assert!(command.starts_with(&cut));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_question_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(ask) = serde_json::from_slice::<ControlRequest>(&bytes) {
                prop_assert_eq!(serde_json::from_slice::<ControlRequest>(&line(&ask)).unwrap(), ask);
            }
        }
    }
}

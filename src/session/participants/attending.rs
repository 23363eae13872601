//! The recorder's part: participants join and leave, and both are recorded and audited.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use super::audience::Member;
use super::queue::{Leaving, Participation};
use super::request::{JoinRefusal, Joiner};
use crate::audit::{AuditEvent, JoinedSession, LeftSession};
use crate::model::text::Printable;
use crate::model::{ParticipantId, SessionId};
use crate::relay::ChannelKey;
use crate::session::recorder::{Recorder, tell};
use crate::session::{RecordedSession, RecordingPolicy, SessionLocation};

/// What a participant has typed and the host has not got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keystrokes {
    /// The session's channel.
    pub channel: ChannelKey,
    /// Who.
    pub participant: ParticipantId,
    /// What.
    pub bytes: Bytes,
}

/// A line for the session's own client: somebody has joined or left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientNotice {
    /// The session's channel.
    pub channel: ChannelKey,
    /// The line, without the proxy's name.
    pub text: String,
}

impl Recorder {
    /// Whether somebody has joined a session of this connection.
    #[must_use]
    pub fn has_participants(&self) -> bool {
        let mut sittings = self.sittings.values();
        sittings.any(|sitting| !sitting.audience.is_empty())
    }

    /// Lets somebody join a session. The marker in the recording is not committed yet. `wake` wakes the
    /// connection when the participant has typed something, or leaves.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(
        &mut self,
        session: SessionId,
        joiner: Joiner,
        wake: Arc<Notify>,
    ) -> Result<(Participation, ClientNotice), JoinRefusal> {
        let place = self.place(session).ok_or(JoinRefusal::Ended)?;
        let SessionLocation::Channel(channel) = place else {
            return Err(JoinRefusal::NoTerminal);
        };
        let sitting = self.sittings.get(&channel).ok_or(JoinRefusal::Ended)?;
        if !sitting.terminal {
            return Err(JoinRefusal::NoTerminal);
        }
        sitting.audience.has_room()?;
        let event = self.joined_event(sitting, &joiner);
        let screen = self.screen(channel).ok_or(JoinRefusal::NotRecorded)?;
        if self.audit_log().emit(&event).is_err()
            && self.recording.policy == RecordingPolicy::Strict
        {
            return Err(JoinRefusal::Unaudited);
        }
        let counted = self.metrics.session_participants.hold();
        let now = self.now();
        let sitting = self.sittings.get_mut(&channel).ok_or(JoinRefusal::Ended)?;
        let what = format!("{} joined ({})", Printable(&joiner.user), joiner.mode);
        sitting.mark(now, &what);
        let participation = sitting.audience.admit(joiner, screen, (now, wake), counted);
        // Also to the one who has joined: all terminals show the same then.
        sitting.audience.notify(&what);
        sitting.list_participants();
        let notice = ClientNotice {
            channel,
            text: what,
        };
        Ok((participation, notice))
    }

    /// What participants have typed and their hosts have not got.
    #[must_use]
    pub fn keystrokes(&self) -> Vec<Keystrokes> {
        let sittings = self.sittings.iter();
        sittings
            .flat_map(|(channel, sitting)| {
                let typed = sitting.audience.typed();
                typed.map(|(participant, bytes)| Keystrokes {
                    channel: *channel,
                    participant,
                    bytes,
                })
            })
            .collect()
    }

    /// The host gets so many bytes of them.
    pub fn took(&mut self, keystrokes: &Keystrokes, count: usize) {
        if let Some(sitting) = self.sittings.get_mut(&keystrokes.channel) {
            sitting.audience.took(keystrokes.participant, count);
        }
    }

    /// Shows the whole screen to participants who wait for it, and sees off those who have left.
    #[must_use]
    pub fn attend(&mut self) -> Vec<ClientNotice> {
        let attended = self.sittings.iter();
        let attended: Vec<ChannelKey> = attended
            .filter(|(_, sitting)| !sitting.audience.is_empty())
            .map(|(channel, _)| *channel)
            .collect();
        let mut notices = Vec::new();
        for channel in attended {
            self.show_screen(channel);
            self.see_off(channel, &mut notices);
        }
        notices
    }

    fn show_screen(&mut self, channel: ChannelKey) {
        let wants = |sitting: &RecordedSession| sitting.audience.wants_screen();
        if self.sittings.get(&channel).is_some_and(wants)
            && let Some(screen) = self.screen(channel)
            && let Some(sitting) = self.sittings.get(&channel)
        {
            sitting.audience.show_screen(&screen);
        }
    }

    fn see_off(&mut self, channel: ChannelKey, notices: &mut Vec<ClientNotice>) {
        let now = self.now();
        let Some(sitting) = self.sittings.get_mut(&channel) else {
            return;
        };
        let left = sitting.audience.take_left();
        if left.is_empty() {
            return;
        }
        for (member, _) in &left {
            let text = format!("{} left", Printable(&member.joiner.user));
            sitting.mark(now, &text);
            sitting.audience.notify(&text);
            notices.push(ClientNotice { channel, text });
        }
        sitting.list_participants();
        let session = sitting.id;
        for (member, leaving) in &left {
            let event = self.left_event(session, member, leaving, now);
            tell(self.audit_log(), &event);
        }
    }

    /// Audits that a session's end is the end for its participants.
    pub(in crate::session) fn dismiss(&self, sitting: &RecordedSession, now: Duration) {
        let leaving = Leaving {
            reason: "session-ended",
            message: None,
        };
        for member in sitting.audience.members() {
            let event = self.left_event(sitting.id, member, &leaving, now);
            tell(self.audit_log(), &event);
        }
    }

    fn joined_event(&self, sitting: &RecordedSession, joiner: &Joiner) -> AuditEvent {
        let permit = &self.scene().permit;
        AuditEvent::SessionJoined(JoinedSession {
            session: sitting.id,
            connection: self.connection(),
            owner: permit.identity().name().to_owned(),
            login: permit.login().to_string(),
            target: permit.route().target.to_string(),
            user: joiner.user.clone(),
            participant: sitting.audience.next_id().number(),
            mode: joiner.mode.word(),
            rule: joiner.rule.clone(),
            client_addr: joiner.client,
            client_connection: joiner.connection,
        })
    }

    fn left_event(
        &self,
        session: SessionId,
        member: &Member,
        leaving: &Leaving,
        now: Duration,
    ) -> AuditEvent {
        let duration = now.saturating_sub(member.joined);
        AuditEvent::SessionLeft(LeftSession {
            session,
            connection: self.connection(),
            user: member.joiner.user.clone(),
            participant: member.id.number(),
            mode: member.joiner.mode.word(),
            client_addr: member.joiner.client,
            client_connection: member.joiner.connection,
            bytes_typed: member.typed,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            reason: leaving.reason,
            message: leaving.message.clone(),
        })
    }
}

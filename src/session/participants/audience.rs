//! The participants of one session, as its connection sees them.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use super::queue::{Leaving, ParticipantQueue, Participation, ViewPiece};
use super::request::{JoinRefusal, Joiner, ParticipantRow};
use crate::metrics::GaugeGuard;
use crate::model::ParticipantId;
use crate::recording::ScreenSnapshot;

/// How many people may have joined one session at a time.
pub(super) const MAX_PARTICIPANTS: usize = 16;

/// A participant.
#[derive(Debug)]
pub(in crate::session) struct Member {
    pub(in crate::session) id: ParticipantId,
    pub(in crate::session) joiner: Joiner,
    /// When the participant joined, on the recorder's clock.
    pub(in crate::session) joined: Duration,
    /// How many bytes of the participant the host got.
    pub(in crate::session) typed: u64,
    queue: ParticipantQueue,
    _counted: GaugeGuard,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.queue.end();
    }
}

/// The participants of one session. Dropping it ends the session for them.
#[derive(Debug, Default)]
pub(in crate::session) struct Audience {
    members: Vec<Member>,
    /// Output that the recording may not have yet.
    staged: Vec<u8>,
    /// The size of the terminal has changed.
    is_resized: bool,
    /// How many have joined so far.
    count: u16,
}

impl Audience {
    /// Whether nobody has joined.
    pub(in crate::session) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The participants, in the order in which they came.
    pub(in crate::session) fn members(&self) -> &[Member] {
        &self.members
    }

    /// Who is there.
    pub(in crate::session) fn rows(&self) -> Vec<ParticipantRow> {
        let row = |member: &Member| ParticipantRow {
            user: member.joiner.user.clone(),
            mode: member.joiner.mode.word(),
        };
        self.members.iter().map(row).collect()
    }

    /// The memory that this takes up, in bytes.
    pub(in crate::session) fn held(&self) -> usize {
        let queues = self.members.iter().map(|member| member.queue.held());
        self.staged.capacity() + queues.sum::<usize>()
    }

    /// Whether one more may join.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn has_room(&self) -> Result<(), JoinRefusal> {
        match self.members.len() < MAX_PARTICIPANTS && self.count < u16::MAX {
            true => Ok(()),
            false => Err(JoinRefusal::Full),
        }
    }

    /// The number of the next participant.
    pub(super) fn next_id(&self) -> ParticipantId {
        ParticipantId::new(NonZeroU16::MIN.saturating_add(self.count))
    }

    /// Lets somebody join, who sees this screen first. The connection is woken through `wake`.
    pub(super) fn admit(
        &mut self,
        joiner: Joiner,
        screen: ScreenSnapshot,
        (joined, wake): (Duration, Arc<Notify>),
        counted: GaugeGuard,
    ) -> Participation {
        let id = self.next_id();
        self.count = id.number();
        let queue = ParticipantQueue::new(wake);
        queue.show_screen(screen);
        let participation = Participation::new(queue.clone(), id, joiner.mode);
        self.members.push(Member {
            id,
            joiner,
            joined,
            typed: 0,
            queue,
            _counted: counted,
        });
        participation
    }

    /// The host has sent this. The participants get it with the next [`Audience::publish`].
    pub(in crate::session) fn stage(&mut self, bytes: &[u8]) {
        if !self.is_empty() {
            self.staged.extend_from_slice(bytes);
        }
    }

    /// The terminal has another size: each participant gets the whole screen.
    pub(in crate::session) fn resize(&mut self) {
        self.is_resized = true;
    }

    /// What was staged is recorded: the participants get it.
    pub(in crate::session) fn publish(&mut self) {
        if std::mem::take(&mut self.is_resized) {
            for member in &self.members {
                member.queue.begin_again();
            }
        }
        if self.staged.is_empty() {
            return;
        }
        let bytes = Bytes::copy_from_slice(&self.staged);
        // A burst must not keep its memory.
        match self.staged.capacity() > super::queue::MAX_WAITING {
            true => self.staged = Vec::new(),
            false => self.staged.clear(),
        }
        for member in &self.members {
            member.queue.push(ViewPiece::Output(bytes.clone()));
        }
    }

    /// A line for all participants.
    pub(super) fn notify(&self, text: &str) {
        for member in &self.members {
            member.queue.push(ViewPiece::Notice(text.to_owned()));
        }
    }

    /// Whether somebody waits for the whole screen.
    pub(super) fn wants_screen(&self) -> bool {
        self.members
            .iter()
            .any(|member| member.queue.wants_screen())
    }

    /// The whole screen, for those who wait for it.
    pub(super) fn show_screen(&self, screen: &ScreenSnapshot) {
        for member in &self.members {
            if member.queue.wants_screen() {
                member.queue.show_screen(screen.clone());
            }
        }
    }

    /// What the participants have typed and the host has not got.
    pub(super) fn typed(&self) -> impl Iterator<Item = (ParticipantId, Bytes)> {
        self.members.iter().filter_map(|member| {
            let bytes = member.queue.typed();
            (!bytes.is_empty()).then_some((member.id, bytes))
        })
    }

    /// The host gets so many bytes of what a participant has typed.
    pub(super) fn took(&mut self, id: ParticipantId, count: usize) {
        let mut members = self.members.iter_mut();
        if let Some(member) = members.find(|member| member.id == id) {
            member.typed += count as u64;
            member.queue.took(count);
        }
    }

    /// Removes those who have left.
    pub(super) fn take_left(&mut self) -> Vec<(Member, Leaving)> {
        let mut left = Vec::new();
        let mut index = 0;
        while let Some(member) = self.members.get(index) {
            match member.queue.leaving() {
                Some(leaving) => left.push((self.members.remove(index), leaving)),
                None => index += 1,
            }
        }
        left
    }
}

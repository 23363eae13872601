//! What a participant and the session's connection share: output one way, typed bytes the other way.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::sync::Notify;

use crate::access::JoinMode;
use crate::model::ParticipantId;
use crate::recording::ScreenSnapshot;

/// The most output that waits for a participant, in bytes. Beyond it, the whole screen takes its place.
pub(super) const MAX_WAITING: usize = 256 * 1024;
/// The most that a participant has typed and the host has not taken, in bytes. Then the participant's
/// client waits.
pub(super) const MAX_TYPED: usize = 16 * 1024;
/// What a waiting piece takes beside its bytes, about.
const OVERHEAD: usize = 64;

/// What comes next for a participant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewPiece {
    /// The screen as it is now; it stands in place of everything before.
    Screen(ScreenSnapshot),
    /// What the host has sent since, as it came.
    Output(Bytes),
    /// A line for people, of the proxy.
    Notice(String),
    /// The session has ended, and nothing follows.
    End,
}

impl ViewPiece {
    fn weight(&self) -> usize {
        let bytes = match self {
            Self::Screen(screen) => screen.bytes.len(),
            Self::Output(bytes) => bytes.len(),
            Self::Notice(text) => text.len(),
            Self::End => 0,
        };
        bytes + OVERHEAD
    }
}

/// Why a participant leaves, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaving {
    pub(super) reason: &'static str,
    pub(super) message: Option<String>,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: VecDeque<ViewPiece>,
    /// What that takes up, in bytes.
    weight: usize,
    /// Output was left out since: what follows makes no sense before a new screen.
    lags: bool,
    /// The participant has read everything, and a new screen is due.
    wants_screen: bool,
    typed: BytesMut,
    leaving: Option<Leaving>,
    has_ended: bool,
}

/// The queue of one participant. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct ParticipantQueue {
    shared: Arc<Mutex<QueueState>>,
    /// Wakes the participant who waits for output.
    changed: Arc<Notify>,
    /// Wakes the participant who waits for room for what was typed.
    room: Arc<Notify>,
    /// Wakes the connection.
    wake: Arc<Notify>,
}

impl ParticipantQueue {
    /// An empty one of a connection that is woken through `wake`.
    pub(super) fn new(wake: Arc<Notify>) -> Self {
        Self {
            shared: Arc::default(),
            changed: Arc::default(),
            room: Arc::default(),
            wake,
        }
    }

    /// A panic in another thread cannot leave the state half changed: no method calls other code
    /// while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what follows; nothing for a participant who lags.
    pub(super) fn push(&self, shown: ViewPiece) {
        let mut shared = self.lock();
        if shared.lags || shared.has_ended {
            return;
        }
        shared.weight += shown.weight();
        if shared.weight > MAX_WAITING {
            shared.fall_behind();
        } else {
            shared.waiting.push_back(shown);
        }
        drop(shared);
        self.changed.notify_one();
    }

    /// What waits is worth nothing any more: the participant gets the whole screen.
    pub(super) fn begin_again(&self) {
        self.lock().fall_behind();
        self.changed.notify_one();
    }

    /// Shows the whole screen, from which on everything follows.
    pub(super) fn show_screen(&self, screen: ScreenSnapshot) {
        let mut shared = self.lock();
        if shared.has_ended {
            return;
        }
        let shown = ViewPiece::Screen(screen);
        shared.waiting.clear();
        // A screen that is larger than the queue is the only thing in it.
        shared.weight = shown.weight().min(MAX_WAITING / 2);
        shared.waiting.push_back(shown);
        (shared.lags, shared.wants_screen) = (false, false);
        drop(shared);
        self.changed.notify_one();
    }

    /// Whether the participant waits for a new screen.
    pub(super) fn wants_screen(&self) -> bool {
        self.lock().wants_screen
    }

    /// What was typed and not taken yet.
    pub(super) fn typed(&self) -> Bytes {
        Bytes::copy_from_slice(&self.lock().typed)
    }

    /// The host gets so many bytes of that.
    pub(super) fn took(&self, count: usize) {
        let mut shared = self.lock();
        let count = count.min(shared.typed.len());
        shared.typed.advance(count);
        drop(shared);
        self.room.notify_one();
    }

    /// Why the participant has left, if so.
    pub(super) fn leaving(&self) -> Option<Leaving> {
        self.lock().leaving.clone()
    }

    /// Nothing follows what waits.
    pub(super) fn end(&self) {
        self.lock().has_ended = true;
        self.changed.notify_one();
    }

    /// The memory that it takes up, in bytes.
    pub(super) fn held(&self) -> usize {
        let shared = self.lock();
        shared.weight + shared.typed.capacity()
    }
}

impl QueueState {
    fn fall_behind(&mut self) {
        self.waiting.clear();
        self.weight = 0;
        self.lags = true;
    }

    fn next(&mut self) -> Option<ViewPiece> {
        if let Some(shown) = self.waiting.pop_front() {
            self.weight = self.weight.saturating_sub(shown.weight());
            return Some(shown);
        }
        self.weight = 0;
        self.has_ended.then_some(ViewPiece::End)
    }
}

/// A participant's part of a session. Dropping it leaves the session.
#[derive(Debug)]
pub struct Participation {
    queue: ParticipantQueue,
    id: ParticipantId,
    mode: JoinMode,
}

impl Participation {
    pub(super) fn new(queue: ParticipantQueue, id: ParticipantId, mode: JoinMode) -> Self {
        Self { queue, id, mode }
    }

    /// The participant's number in the session.
    #[must_use]
    pub fn id(&self) -> ParticipantId {
        self.id
    }

    /// Waits for what comes next. The first is the screen. Cancel-safe.
    pub async fn next(&self) -> ViewPiece {
        loop {
            let asks = {
                let mut shared = self.queue.lock();
                if let Some(shown) = shared.next() {
                    return shown;
                }
                shared.lags && !std::mem::replace(&mut shared.wants_screen, true)
            };
            if asks {
                self.queue.wake.notify_one();
            }
            self.queue.changed.notified().await;
        }
    }

    /// Types: waits until there is room for all of it. Nothing reaches the session from a participant who
    /// only observes.
    pub async fn type_in(&self, mut bytes: &[u8]) {
        while self.mode == JoinMode::Type && !bytes.is_empty() {
            let taken = self.take(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
            if taken == 0 {
                self.queue.room.notified().await;
            }
        }
    }

    /// Takes as much as there is room for; how many bytes.
    fn take(&self, bytes: &[u8]) -> usize {
        let mut shared = self.queue.lock();
        let room = MAX_TYPED.saturating_sub(shared.typed.len());
        let fits = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        shared.typed.extend_from_slice(fits);
        drop(shared);
        if !fits.is_empty() {
            self.queue.wake.notify_one();
        }
        fits.len()
    }

    /// Leaves for this reason: a stable name for the audit log, and a sentence where there is one. Only
    /// the first call counts.
    pub fn leave(&self, reason: &'static str, message: Option<String>) {
        let mut shared = self.queue.lock();
        shared.leaving.get_or_insert(Leaving { reason, message });
        drop(shared);
        self.queue.wake.notify_one();
    }
}

impl Drop for Participation {
    fn drop(&mut self) {
        self.leave("disconnected", None);
    }
}

//! The side of a call that answers it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::call::{CallRefusal, Outcome, Response, ServiceCall};
use super::lifecycle::encode;
use super::requests::{Exchange, ServiceRequest};
use super::service::Service;
use super::socket::MessageSocket;
use crate::sys::clock;

/// A call that was received, and the socket on which its answer goes. Dropped without an answer, it
/// tells the caller to ask again.
#[derive(Debug)]
pub struct IncomingCall {
    id: u64,
    deadline: Duration,
    answers: MessageSocket,
}

impl IncomingCall {
    /// Takes a call apart: what is asked for, and where the answer goes. `length` is that of the
    /// message as it was received, and `files` came along with it. `None` for a call without a
    /// socket: it cannot be answered.
    #[must_use]
    pub fn new(
        call: ServiceCall,
        length: usize,
        files: impl IntoIterator<Item = OwnedFd>,
    ) -> Option<(Self, ServiceRequest)> {
        let answers = files.into_iter().next()?;
        let incoming = Self {
            id: call.id,
            deadline: Duration::from_millis(call.deadline_ms),
            answers: MessageSocket::from_fd(answers),
        };
        if length > call.request.service().max_request() {
            incoming.refuse(CallRefusal::Forbidden);
            return None;
        }
        Some((incoming, call.request))
    }

    /// Whether the caller has stopped waiting.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.deadline <= clock::monotonic()
    }

    /// Answers, with file descriptors where the answer has some. A caller that has stopped waiting
    /// does not read it.
    pub fn answer<E: Exchange>(self, answer: &E::Answer, files: &[BorrowedFd<'_>]) {
        self.send(Outcome::Answer(answer), E::SERVICE.max_answer(), files);
    }

    /// Refuses to work on the call.
    pub fn refuse(self, refusal: CallRefusal) {
        self.send(Outcome::<()>::Refused(refusal), usize::MAX, &[]);
    }

    fn send<A: serde::Serialize>(
        self,
        outcome: Outcome<A>,
        limit: usize,
        files: &[BorrowedFd<'_>],
    ) {
        let response = Response {
            id: self.id,
            outcome,
        };
        let sent = match encode(&response) {
            Ok(message) if message.len() > limit => Err(std::io::ErrorKind::InvalidData.into()),
            Ok(message) => self.answers.send(&message, files),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = sent {
            tracing::debug!(%error, call = self.id, "a caller did not wait for its answer");
        }
    }
}

impl AsFd for IncomingCall {
    /// The socket on which the answer goes.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.answers.as_fd()
    }
}

/// How many calls of a service one process has under way. Clones count together.
#[derive(Clone, Debug)]
pub struct Slots {
    limit: usize,
    taken: Arc<AtomicUsize>,
}

/// One of the calls that are under way, until it is dropped.
#[derive(Debug)]
pub struct Slot(Arc<AtomicUsize>);

impl Slots {
    /// As many as the service works on at a time for one process.
    #[must_use]
    pub fn of(service: Service) -> Self {
        Self {
            limit: service.at_once(),
            taken: Arc::default(),
        }
    }

    /// Takes a slot, if one is left.
    #[must_use]
    pub fn take(&self) -> Option<Slot> {
        let slot = Slot(Arc::clone(&self.taken));
        let before = self.taken.fetch_add(1, Ordering::AcqRel);
        (before < self.limit).then_some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

//! The side that answers calls.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::call::{CallRefusal, Outcome, Response, ServiceCall};
use super::lifecycle::encode;
use super::requests::{Exchange, ServiceRequest};
use super::service::Service;
use super::socket::MessageSocket;
use crate::sys::clock;

/// A received call, and the socket for its answer. If it is dropped without an answer, the caller
/// sends the call again.
#[derive(Debug)]
pub struct IncomingCall {
    id: u64,
    deadline: Duration,
    answers: MessageSocket,
    slot: Option<Slot>,
}

impl IncomingCall {
    /// Takes a received call and the socket for its answer. `length` is that of the received
    /// message, and `files` are the attached file descriptors. `None` for a call without a
    /// [`MessageSocket`], which cannot be answered.
    #[must_use]
    pub fn new(
        call: ServiceCall,
        length: usize,
        files: impl IntoIterator<Item = OwnedFd>,
    ) -> Option<(Self, ServiceRequest)> {
        let answers = MessageSocket::from_fd(files.into_iter().next()?).ok()?;
        let incoming = Self {
            id: call.id,
            deadline: Duration::from_millis(call.deadline_ms),
            answers,
            slot: None,
        };
        if length > call.request.service().max_request() {
            incoming.refuse(CallRefusal::Forbidden);
            return None;
        }
        Some((incoming, call.request))
    }

    /// Takes a call that the monitor has passed on, after it has checked the length. `None` for a call
    /// without a socket.
    #[must_use]
    pub fn forwarded(
        call: ServiceCall,
        files: impl IntoIterator<Item = OwnedFd>,
    ) -> Option<(Self, ServiceRequest)> {
        Self::new(call, 0, files)
    }

    /// The call with this request, as it was received.
    pub(super) fn to_call(&self, request: ServiceRequest) -> ServiceCall {
        let deadline_ms = u64::try_from(self.deadline.as_millis()).unwrap_or(u64::MAX);
        ServiceCall {
            id: self.id,
            deadline_ms,
            request,
        }
    }

    /// The socket for the answer.
    pub(super) fn answers(&self) -> &MessageSocket {
        &self.answers
    }

    /// Counts the call as in progress until it is answered.
    pub fn hold(&mut self, slot: Slot) {
        self.slot = Some(slot);
    }

    /// Whether the caller has stopped waiting.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.deadline <= clock::monotonic()
    }

    /// Sends the answer, with file descriptors if it has some. A caller that has stopped waiting
    /// does not read it.
    pub fn answer<E: Exchange>(self, answer: &E::Answer, files: &[BorrowedFd<'_>]) {
        self.send(Outcome::Answer(answer), E::SERVICE.max_answer(), files);
    }

    /// Refuses the call.
    pub fn refuse(self, refusal: CallRefusal) {
        self.send(Outcome::<()>::Refused(refusal), usize::MAX, &[]);
    }

    fn send<A: serde::Serialize>(
        mut self,
        outcome: Outcome<A>,
        limit: usize,
        files: &[BorrowedFd<'_>],
    ) {
        let response = Response {
            id: self.id,
            outcome,
        };
        // A caller that has its answer may call again.
        self.slot = None;
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

/// The number of calls of a service that one process has in progress. Clones share the count.
#[derive(Clone, Debug)]
pub struct Slots {
    limit: usize,
    taken: Arc<AtomicUsize>,
}

/// One call in progress, until it is dropped.
#[derive(Debug)]
pub struct Slot(Arc<AtomicUsize>);

impl Slots {
    /// As many slots as the service has for one process.
    #[must_use]
    pub fn of(service: Service) -> Self {
        Self {
            limit: service.at_once(),
            taken: Arc::default(),
        }
    }

    /// Takes a slot, if one is free.
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

//! The caller's side of a call. It blocks for a limited time.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use thiserror::Error;
use zeroize::Zeroizing;

use super::call::{CallRefusal, Outcome, Response, ServiceCall};
use super::lifecycle::{ProcessMessage, decode, encode};
use super::requests::Exchange;
use super::socket::{Datagram, MessageSocket};
use crate::sys::clock;

/// Why a call has no answer.
#[derive(Debug, Error)]
pub enum CallError {
    /// The other process closed the call's socket without an answer, twice.
    #[error("the other process gives no answer")]
    HungUp,
    /// The call cannot be sent, or its socket fails.
    #[error("cannot call the other process")]
    Io(#[from] io::Error),
    /// The answer is invalid.
    #[error("the other process gives an answer that makes no sense")]
    Nonsense,
    /// The other process refuses the call.
    #[error("the other process refuses the call")]
    Refused(CallRefusal),
    /// There was no answer in time.
    #[error("the other process did not answer within {} seconds", .0.as_secs())]
    Timeout(Duration),
}

/// Takes calls to where they are answered.
pub trait CallRoute: fmt::Debug + Send + Sync {
    /// Sends a call, and the socket for its answer along with it. It does not wait for the answer.
    ///
    /// # Errors
    /// When the call cannot be sent, or is longer than its service permits.
    fn send(&self, call: ServiceCall, answers: MessageSocket) -> io::Result<()>;
}

/// From a process to the monitor.
impl CallRoute for MessageSocket {
    fn send(&self, call: ServiceCall, answers: MessageSocket) -> io::Result<()> {
        let limit = call.request.service().max_request();
        // The call can contain what a person has typed.
        let message = Zeroizing::new(encode(&ProcessMessage::Call(call))?);
        if message.len() > limit {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Self::send(self, &message, &[answers.as_fd()])
    }
}

/// Calls services. Clones use the same route and count their calls together.
#[derive(Clone, Debug)]
pub struct Client {
    route: Arc<dyn CallRoute>,
    calls: Arc<AtomicU64>,
}

impl Client {
    /// A client whose calls take this route.
    #[must_use]
    pub fn new(route: Arc<dyn CallRoute>) -> Self {
        Self {
            route,
            calls: Arc::default(),
        }
    }

    /// Sends a request and waits for its answer and the file descriptors that come along.
    ///
    /// A monitor that replaces itself at an upgrade, and a process that dies, drop the calls in
    /// progress, so a call whose socket is closed without an answer is sent once more. Requests must be
    /// repeatable.
    ///
    /// # Errors
    /// Those of [`CallError`].
    pub fn call<E: Exchange>(&self, request: &E) -> Result<(E::Answer, Vec<OwnedFd>), CallError> {
        let until = clock::monotonic() + E::SERVICE.timeout();
        match self.attempt(request, until) {
            Err(CallError::HungUp) => self.attempt(request, until),
            answered => answered,
        }
    }

    fn attempt<E: Exchange>(
        &self,
        request: &E,
        until: Duration,
    ) -> Result<(E::Answer, Vec<OwnedFd>), CallError> {
        let id = self.calls.fetch_add(1, Ordering::Relaxed);
        let (ours, theirs) = MessageSocket::pair()?;
        let deadline_ms = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        let call = ServiceCall {
            id,
            deadline_ms,
            request: request.clone().into(),
        };
        self.route.send(call, theirs)?;
        let Datagram { bytes, files } = receive::<E>(&ours, until)?;
        let response: Response<E::Answer> =
            decode(&bytes).map_err(|_malformed| CallError::Nonsense)?;
        match response.outcome {
            _ if response.id != id => Err(CallError::Nonsense),
            Outcome::Answer(answer) => Ok((answer, files)),
            Outcome::Refused(refusal) => Err(CallError::Refused(refusal)),
        }
    }
}

/// Waits for the answer until the call's deadline.
fn receive<E: Exchange>(socket: &MessageSocket, until: Duration) -> Result<Datagram, CallError> {
    let late = || CallError::Timeout(E::SERVICE.timeout());
    let left = until.saturating_sub(clock::monotonic());
    if left.is_zero() {
        return Err(late());
    }
    // A timeout below one microsecond would mean no timeout.
    socket.set_timeout(left.max(Duration::from_millis(1)))?;
    match socket.receive() {
        Ok(Some(answer)) if answer.bytes.len() > E::SERVICE.max_answer() => {
            Err(CallError::Nonsense)
        }
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err(CallError::HungUp),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(late()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::SigningRequest;

    #[test]
    fn a_caller_waits_until_its_deadline_and_no_longer() {
        let (near, _far) = MessageSocket::pair().unwrap();
        let client = Client::new(Arc::new(near));
        for left in [Duration::ZERO, Duration::from_millis(5)] {
            let late = client.attempt(&SigningRequest::Check, clock::monotonic() + left);
            assert!(matches!(late, Err(CallError::Timeout(_))), "{late:?}");
        }
    }
}

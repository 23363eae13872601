//! A call on its way from one process to another: the monitor receives it, checks it, and passes it on
//! with the socket for the answer. The answer does not pass through the monitor.

use std::io;
use std::os::fd::AsFd as _;

use zeroize::Zeroizing;

use super::call::{CallRefusal, CallerProcess, ForwardedCall};
use super::lifecycle::{MonitorMessage, encode};
use super::requests::ServiceRequest;
use super::server::IncomingCall;
use super::socket::MessageSocket;

/// A call that the monitor has received and is about to pass on. If it is dropped instead, the caller
/// sends the call again.
#[derive(Debug)]
pub struct ForwardingCall {
    from: CallerProcess,
    incoming: IncomingCall,
    /// The call can contain what a person has typed.
    message: Zeroizing<Vec<u8>>,
}

impl ForwardingCall {
    /// Prepares a received call of this process to be passed on.
    ///
    /// # Errors
    /// Never for the requests of this room.
    pub fn new(
        incoming: IncomingCall,
        request: ServiceRequest,
        from: CallerProcess,
    ) -> io::Result<Self> {
        let call = incoming.to_call(request);
        let forwarded = ForwardedCall {
            from: from.clone(),
            call,
        };
        let message = Zeroizing::new(encode(&MonitorMessage::Call(forwarded))?);
        Ok(Self {
            from,
            incoming,
            message,
        })
    }

    /// Sends it to the process that provides the service. The call can be sent again if that fails,
    /// and is dropped if it succeeds: the receiver has the socket for the answer then.
    ///
    /// # Errors
    /// As [`MessageSocket::send`].
    pub fn send(&self, to: &MessageSocket) -> io::Result<()> {
        to.send(&self.message, &[self.incoming.answers().as_fd()])
    }

    /// Whether this process has made the call.
    #[must_use]
    pub fn is_of(&self, process: &CallerProcess) -> bool {
        self.from == *process
    }

    /// Whether the caller has stopped waiting.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.incoming.is_late()
    }

    /// Refuses the call.
    pub fn refuse(self, refusal: CallRefusal) {
        self.incoming.refuse(refusal);
    }
}

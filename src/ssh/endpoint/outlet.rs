//! The messages of an endpoint on their way into a leg.

use tokio::io::{AsyncRead, AsyncWrite};

use super::machine::Outlet;
use crate::ssh::leg::{Leg, LegError};
use crate::wire::connection::Message;

/// A leg that takes messages, and those of channels only while less than this waits in it.
#[derive(Debug)]
pub(crate) struct LegOutlet<'a, S> {
    leg: &'a mut Leg<S>,
    backlog: usize,
}

impl<'a, S> LegOutlet<'a, S> {
    /// A leg in which at most so many bytes of channels may wait, but for the last message.
    pub(crate) fn new(leg: &'a mut Leg<S>, backlog: usize) -> Self {
        Self { leg, backlog }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Outlet for LegOutlet<'_, S> {
    type Error = LegError;

    fn has_room(&mut self) -> bool {
        self.leg.backlog() < self.backlog
    }

    fn send(&mut self, message: &Message) -> Result<(), LegError> {
        let (head, body) = message.encode();
        Ok(self.leg.transport.send_parts(&head, &body)?)
    }
}

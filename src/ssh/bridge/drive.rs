//! The loop of a relayed connection: packets first, timers and commands after every [`TURN`] bytes.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::pump::Bridge;
use super::updates::ConnectionUpdate;
use crate::session::Inbox;
use crate::ssh::end_reason::EndReason;

/// How many bytes are relayed before the outer connection's task runs, so that they are sent while
/// they are still in the processor's cache.
const TURN: usize = 64 * 1024;

/// How many bytes one send counts for.
const SENT: usize = 4 * 1024;

impl<C, H> Bridge<C, H>
where
    C: AsyncRead + AsyncWrite + Unpin,
    H: AsyncRead + AsyncWrite + Unpin,
{
    /// Relays until one side, `ended` or a command ends the connection; applies the `updates` meanwhile.
    pub(super) async fn drive(
        &mut self,
        mut ended: Pin<&mut impl Future<Output = EndReason>>,
        mut updates: mpsc::Receiver<ConnectionUpdate>,
        mut inbox: Inbox,
    ) -> Result<Infallible, EndReason> {
        // How many bytes were relayed since timers and commands were last checked.
        let mut since_turn = 0;
        let wake = Arc::clone(&self.wake);
        loop {
            self.attend();
            self.relay_packets()?;
            self.legs.send_ready().await;
            self.count_held();
            let room = self.room();
            // Under load, timers and commands are checked once per `TURN`: each check costs time.
            if since_turn < TURN {
                let moved = poll_fn(|context| Poll::Ready(self.legs.poll_transfer(room, context)));
                if let Poll::Ready(bytes) = moved.await {
                    since_turn += bytes?.max(SENT);
                    continue;
                }
            } else {
                tokio::task::yield_now().await;
            }
            since_turn = 0;
            let idle = self.until_rest();
            tokio::select! {
                biased;
                end = &mut ended => return Err(end),
                Some(update) = updates.recv() => self.handle_update(update),
                Some(command) = inbox.commands.recv() => self.handle_command(&command)?,
                Some(request) = inbox.joining.recv() => self.handle_joining(request)?,
                () = wake.notified() => {}
                due = self.timers.due() => self.handle_expired(due)?,
                () = tokio::time::sleep(idle.unwrap_or_default()), if idle.is_some() => self.rest()?,
                read = poll_fn(|context| self.legs.poll_transfer(room, context)) => since_turn = read?,
            }
        }
    }
}

//! The connection layer as a translation: the messages of one side are passed on to the other.
//!
//! A pure state machine, modelled on OpenSSH's `nchan.c`: events change the state and cause actions,
//! actions never change the state. An event is a packet from one side; the actions are messages for
//! either side and calls of the [`Tap`], which sees every byte before the caller may send it on.
//!
//! Channel numbers are mapped; windows, packet sizes, replies, EOF and CLOSE are passed on, so that
//! neither side is ever sent more than it has granted. What participants type is sent to the host
//! between the client's bytes ([`Relay::inject`]); the window that it takes is kept in a ledger of its
//! own (`window`). One table decides what is passed on ([`table`]). The relay has no sockets, time,
//! files or identities.

mod channel;
mod content;
mod forward;
mod habits;
mod injecting;
mod nested;
mod opening;
mod permitting;
mod relaying;
mod requests;
mod step;
pub mod table;
mod tap;
#[cfg(test)]
mod tests;
mod window;

pub use content::Value;
pub use forward::Destination;
pub use habits::{Habit, Habits};
pub use relaying::{ExistingChannel, Outgoing, Peers, Relay, Violation, first_grant};
pub use tap::{
    ChannelKey, Exit, Kind, Note, Pty, RefusedMessage, RelayedMessage, Start, Stream, Tap, What,
};

/// The two sides of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The user's ssh.
    Client,
    /// The host's sshd.
    Host,
}

impl Side {
    /// The other side.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Host,
            Self::Host => Self::Client,
        }
    }
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Host => "host",
        })
    }
}

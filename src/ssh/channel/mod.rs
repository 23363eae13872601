//! A channel of an SSH connection that ends in the proxy: a byte stream on one side
//! ([`ChannelStream`]), the messages of the connection protocol on the other ([`Port`]).

mod port;
mod stream;

pub(crate) use port::{AGENT_WINDOW, EARLY_WINDOW, MAX_PACKET, PeerEnd, Port, Terms, WINDOW};
#[cfg(test)]
pub(crate) use stream::Piece;
pub(crate) use stream::{ChannelHandle, ChannelPort, ChannelStream, STDERR_LIMIT, channel};

//! The channels of a connection that ends here, by our numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Notify;

use super::session::PendingSession;
use crate::ssh::channel::{ChannelPort, ChannelStream, PeerEnd, Port, Terms, channel};
use crate::wire::connection::Breach;

/// What a channel is for.
#[derive(Debug)]
pub(super) enum Role {
    /// A session. `None` once a program was started on it.
    Session(Option<PendingSession>),
    /// Bytes and nothing else.
    Stream,
    /// What the peer says on it is kept for the relay that will take it over.
    Kept,
    /// It was kept, and no relay takes it over: what is asked for is answered with yes, for ssh shows
    /// nothing of a session whose start fails.
    Released,
}

/// An open channel.
#[derive(Debug)]
pub(super) struct OpenChannel {
    pub(super) port: Port,
    pub(super) role: Role,
    opened_here: bool,
}

#[derive(Debug)]
enum Slot {
    /// Opened by this side; the peer has not answered.
    Opening {
        port: ChannelPort,
        stream: ChannelStream,
        terms: Terms,
        role: Role,
    },
    Open(OpenChannel),
}

impl Slot {
    fn is_opened_here(&self) -> bool {
        match self {
            Self::Opening { .. } => true,
            Self::Open(channel) => channel.opened_here,
        }
    }
}

/// All channels. A number is given out again only after both sides have closed its channel.
#[derive(Debug)]
pub(super) struct Channels {
    slots: BTreeMap<u32, Slot>,
    wake: Arc<Notify>,
}

impl Channels {
    /// None; their streams wake the driver through `wake`.
    pub(super) fn new(wake: Arc<Notify>) -> Self {
        Self {
            slots: BTreeMap::new(),
            wake,
        }
    }

    /// Whether there is none, opening and closing ones included.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether there are channels, and this side's users are done with all of them.
    pub(super) fn are_finished(&self) -> bool {
        let is_finished =
            |slot: &Slot| matches!(slot, Slot::Open(channel) if channel.port.is_finished());
        !self.slots.is_empty() && self.slots.values().all(is_finished)
    }

    /// How many there are that this side has opened, or that the peer has.
    pub(super) fn count(&self, opened_here: bool) -> usize {
        let alike = |slot: &&Slot| slot.is_opened_here() == opened_here;
        self.slots.values().filter(alike).count()
    }

    /// Whether there is a channel with this number.
    pub(super) fn contains(&self, number: u32) -> bool {
        self.slots.contains_key(&number)
    }

    /// The smallest number that is not in use.
    pub(super) fn free_number(&self) -> u32 {
        // Bounded by what is in use, which memory bounds.
        (0..=u32::MAX)
            .find(|number| !self.slots.contains_key(number))
            .unwrap_or(u32::MAX)
    }

    /// The two sides of a new channel.
    pub(super) fn pair(&self) -> (ChannelStream, ChannelPort) {
        channel(Arc::clone(&self.wake))
    }

    /// Takes in a channel that the peer opens; its number here.
    pub(super) fn accept(
        &mut self,
        port: ChannelPort,
        peer: PeerEnd,
        terms: Terms,
        role: Role,
    ) -> u32 {
        let number = self.free_number();
        let opened = OpenChannel {
            port: Port::new(port, peer, terms),
            role,
            opened_here: false,
        };
        self.slots.insert(number, Slot::Open(opened));
        number
    }

    /// Takes note of a channel that this side opens under a number that is free.
    pub(super) fn open(&mut self, number: u32, terms: Terms, role: Role) {
        let (stream, port) = self.pair();
        let slot = Slot::Opening {
            port,
            stream,
            terms,
            role,
        };
        self.slots.insert(number, slot);
    }

    /// The peer has opened a channel that this side asked for.
    ///
    /// # Errors
    /// It was not asked to.
    pub(super) fn confirm(&mut self, number: u32, peer: PeerEnd) -> Result<ChannelStream, Breach> {
        match self.slots.remove(&number) {
            Some(Slot::Opening {
                port,
                stream,
                terms,
                role,
            }) => {
                let opened = OpenChannel {
                    port: Port::new(port, peer, terms),
                    role,
                    opened_here: true,
                };
                self.slots.insert(number, Slot::Open(opened));
                Ok(stream)
            }
            _ => Err(Breach::Reply),
        }
    }

    /// The peer opens no channel that this side asked for.
    ///
    /// # Errors
    /// It was not asked to.
    pub(super) fn refuse(&mut self, number: u32) -> Result<(), Breach> {
        match self.slots.remove(&number) {
            Some(Slot::Opening { .. }) => Ok(()),
            _ => Err(Breach::Reply),
        }
    }

    /// An open channel, whatever was said on it.
    pub(super) fn find(&mut self, number: u32) -> Option<&mut OpenChannel> {
        match self.slots.get_mut(&number) {
            Some(Slot::Open(channel)) => Some(channel),
            _ => None,
        }
    }

    /// An open channel on which the peer may speak.
    ///
    /// # Errors
    /// There is none with this number.
    pub(super) fn hearing(&mut self, number: u32) -> Result<&mut OpenChannel, Breach> {
        self.find(number)
            .filter(|channel| channel.port.hears())
            .ok_or(Breach::Misplaced(
                "a message for a channel that does not exist",
            ))
    }

    /// All open channels, by their numbers.
    pub(super) fn opened(&mut self) -> impl Iterator<Item = (u32, &mut OpenChannel)> {
        self.slots
            .iter_mut()
            .filter_map(|(number, slot)| match slot {
                Slot::Open(channel) => Some((*number, channel)),
                Slot::Opening { .. } => None,
            })
    }

    /// Lets go of a channel.
    pub(super) fn remove(&mut self, number: u32) -> Option<OpenChannel> {
        match self.slots.remove(&number) {
            Some(Slot::Open(channel)) => Some(channel),
            _ => None,
        }
    }

    /// Frees the numbers of the channels that both sides have closed; how many there were.
    pub(super) fn free_closed(&mut self) -> usize {
        let before = self.slots.len();
        self.slots
            .retain(|_, slot| !matches!(slot, Slot::Open(channel) if channel.port.is_over()));
        before - self.slots.len()
    }
}

//! Where answers come from: a client of ssh on its connection, or a browser.

use std::net::SocketAddr;

use super::conversation::{Conversation, Named, ProvedKey};
use crate::model::ConnectionId;

/// Who has answered, as it is counted and written down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker<'a> {
    /// The address of the client.
    pub(super) client: SocketAddr,
    /// The connection; `None` for a browser.
    pub(super) connection: Option<ConnectionId>,
    /// The key that has proved itself last.
    pub(super) proved: Option<&'a ProvedKey>,
    /// How long the answers have waited for their turn, in seconds.
    waited: u64,
}

impl<'a> Asker<'a> {
    /// A browser at this address.
    pub(super) fn browser(client: SocketAddr) -> Self {
        Self {
            client,
            connection: None,
            proved: None,
            waited: 0,
        }
    }

    /// The way of the answers, for the audit log.
    pub(super) fn via(&self) -> &'static str {
        match self.connection {
            Some(_) => "ssh",
            None => "browser",
        }
    }

    /// The registered key that has proved itself, and its person.
    pub(super) fn registered(&self) -> Option<(&'a ProvedKey, &'a Named)> {
        let proved = self.proved?;
        Some((proved, proved.person.as_ref()?))
    }

    /// When the answers were given, if it is `now`. When many people sign in at once, a code can have
    /// become old by the time that it is looked at.
    pub(super) fn given(&self, now: u64) -> u64 {
        now.saturating_sub(self.waited)
    }
}

impl Conversation {
    /// The client of the connection.
    pub(super) fn asker(&self) -> Asker<'_> {
        Asker {
            client: self.client,
            connection: Some(self.connection),
            proved: self.proved.as_ref(),
            waited: self.waited(),
        }
    }
}

//! The slow steps of a key exchange: computed at once, or elsewhere by the code that drives the transport.
//!
//! A transport that defers them returns [`Work`] and does nothing else until it has the result: no
//! packets may be exchanged before that anyway.

use std::fmt;

use super::Transport;
use crate::wire::algorithm::Kex;
use crate::wire::error::Error;
use crate::wire::kex::exchange::{ClientExchange, respond};
use crate::wire::kex::secret::SharedSecret;

/// A computation that takes milliseconds. It knows nothing of its transport, and can be done on any thread.
pub struct Work(Task);

enum Task {
    Start(Kex),
    Finish {
        half: Box<ClientExchange>,
        server_public: Vec<u8>,
    },
    Respond {
        kex: Kex,
        client_public: Vec<u8>,
    },
}

/// What came of it, for [`Transport::worked`](super::Transport::worked).
pub struct Worked(pub(super) Outcome);

pub(super) enum Outcome {
    Started(Result<(ClientExchange, Vec<u8>), Error>),
    Finished(Result<SharedSecret, Error>),
    Responded(Result<(Vec<u8>, SharedSecret), Error>),
}

impl Work {
    pub(super) fn start(kex: Kex) -> Self {
        Self(Task::Start(kex))
    }

    pub(super) fn finish(half: ClientExchange, server_public: Vec<u8>) -> Self {
        Self(Task::Finish {
            half: Box::new(half),
            server_public,
        })
    }

    pub(super) fn respond(kex: Kex, client_public: Vec<u8>) -> Self {
        Self(Task::Respond { kex, client_public })
    }

    /// Does it. Blocks for as long as it takes.
    #[must_use]
    pub fn run(self) -> Worked {
        Worked(match self.0 {
            Task::Start(kex) => Outcome::Started(ClientExchange::start(kex)),
            Task::Finish {
                half,
                server_public,
            } => Outcome::Finished(half.finish(&server_public)),
            Task::Respond { kex, client_public } => {
                Outcome::Responded(respond(kex, &client_public))
            }
        })
    }
}

impl Transport {
    /// From now on, what takes long in a key exchange is left to the driver, which looks for it with
    /// [`take_work`](Self::take_work) after each [`TransportEvent::NeedInput`](super::TransportEvent::NeedInput).
    pub fn defer_work(&mut self) {
        self.defers = true;
    }

    /// What is to be computed before anything goes on, once. Its result is for [`worked`](Self::worked).
    pub fn take_work(&mut self) -> Option<Work> {
        self.work.take()
    }

    /// The result of the work that was taken; [`receive`](Self::receive) goes on then.
    pub fn worked(&mut self, worked: Worked) {
        self.worked = Some(worked);
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Work(..)")
    }
}

impl fmt::Debug for Worked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Worked(..)")
    }
}

//! How long a client may take to authenticate.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::ssh::leg::{Leg, LegError};
use crate::ssh::refusal;
use crate::wire::DisconnectReason;

/// How long a client whose person is asked may take in all, with the time in which it waits for a decision.
const WITH_QUESTIONS: Duration = Duration::from_secs(5 * 60);

/// How long a client may take to authenticate. People type slowly: with each question the time begins
/// anew, up to [`WITH_QUESTIONS`] in all. Time in which the client waits for a decision is not the
/// client's: when a thousand people sign in at once, most of them wait for their turn.
pub(super) struct TimeAllowed {
    began: Instant,
    grace: Duration,
    pub(super) until: Instant,
}

impl TimeAllowed {
    pub(super) fn new(grace: Duration) -> Self {
        let began = Instant::now();
        let until = began + grace;
        Self {
            began,
            grace,
            until,
        }
    }

    /// The end of all, whatever the client waits for.
    pub(super) fn at_most(&self) -> Instant {
        self.began + self.grace.max(WITH_QUESTIONS)
    }

    /// The client is asked something.
    pub(super) fn asked(&mut self) {
        let again = Instant::now() + self.grace;
        self.until = self.until.max(again.min(self.at_most()));
    }

    /// The client has waited for a decision since then.
    pub(super) fn waited(&mut self, since: Instant) {
        self.until = (self.until + since.elapsed()).min(self.at_most());
    }

    /// Ends the leg because the time is over.
    pub(super) async fn over<S>(&self, leg: &mut Leg<S>, id: &str) -> LegError
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let limit = self.until - self.began;
        let text = refusal::not_authenticated(limit, id);
        leg.disconnect(DisconnectReason::ByApplication, &text).await;
        LegError::Timeout(limit)
    }
}

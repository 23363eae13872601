//! What a host shows to a user during the login, and what it asks.
//!
//! With ProxyCommand, the user's ssh waits for the result inside its own authentication, so a banner of
//! the host is passed on as a banner, and a question as a question (RFC 4256). Questions are passed on
//! only for a host that was verified, has accepted the user's key, and requires more. With ProxyJump,
//! the user's ssh is accepted before the host is dialled: banners are kept for the session's stderr,
//! and the user cannot be asked.
//!
//! Answers are passed on and not stored.

use zeroize::Zeroize as _;

use super::channel::ChannelStream;
use super::leg::{Leg, LegError};
use crate::session::EarlyText;
use crate::wire::auth::{
    Answers, AuthError, Challenge, ForeignText, Methods, ServerAuth, ServerAuthEvent,
};

/// Why the user gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// The client is gone.
    #[error(transparent)]
    Gone(#[from] LegError),
    /// The client broke the protocol.
    #[error(transparent)]
    Protocol(#[from] AuthError),
}

/// The user's side of a login at a host.
#[derive(Debug)]
pub(crate) struct Conversation<'a> {
    user: Option<InnerConnection<'a>>,
    said: Vec<EarlyText>,
    /// Whether the client was informed that its key alone is not enough.
    is_invited: bool,
}

/// An inner connection whose client has proved that it holds its key, and is not accepted yet.
#[derive(Debug)]
struct InnerConnection<'a> {
    leg: &'a mut Leg<ChannelStream>,
    auth: &'a mut ServerAuth,
}

impl<'a> Conversation<'a> {
    /// A conversation with a client that waits inside its authentication.
    pub(crate) fn with(leg: &'a mut Leg<ChannelStream>, auth: &'a mut ServerAuth) -> Self {
        Self {
            user: Some(InnerConnection { leg, auth }),
            ..Self::with_nobody()
        }
    }

    /// A conversation without a client: banners are kept.
    pub(crate) fn with_nobody() -> Self {
        Self {
            user: None,
            said: Vec::new(),
            is_invited: false,
        }
    }

    /// What was shown and asked so far.
    pub(crate) fn into_said(self) -> Vec<EarlyText> {
        self.said
    }

    /// The banners so far, for a user whose client has not shown them.
    pub(crate) fn banners(&self) -> impl Iterator<Item = &str> {
        self.said.iter().filter_map(|said| match said {
            EarlyText::Banner(text) => Some(text.shown()),
            EarlyText::Greeting(_) | EarlyText::Asked(_) => None,
        })
    }

    /// Whether there is a user to ask.
    pub(crate) fn can_ask(&self) -> bool {
        self.user.is_some()
    }

    /// Whether the user was asked something.
    pub(crate) fn was_asked(&self) -> bool {
        self.questions() > 0
    }

    /// How many questions there were.
    pub(crate) fn questions(&self) -> usize {
        let asked = self.said.iter().map(|said| match said {
            EarlyText::Asked(challenge) => challenge.prompts.len(),
            EarlyText::Banner(_) | EarlyText::Greeting(_) => 0,
        });
        asked.sum()
    }

    /// Shows the user a banner of the host.
    pub(crate) async fn banner(&mut self, text: ForeignText) -> Result<(), LegError> {
        if let Some(InnerConnection { leg, auth }) = &mut self.user {
            let mut out = Vec::new();
            auth.pass_on_banner(text.shown(), &mut out);
            leg.send_all(&mut out)?;
            leg.send_ready().await;
        }
        self.said.push(EarlyText::Banner(text));
        Ok(())
    }

    /// Informs the user's ssh that the host requires more than the key, or other answers than the
    /// last ones, and waits until ssh asks for the questions.
    ///
    /// # Errors
    /// If the client does not ask, or is gone.
    pub(crate) async fn invite(&mut self) -> Result<(), Unanswered> {
        let Some(inner) = &mut self.user else {
            return Err(LegError::Closed.into());
        };
        let mut out = Vec::new();
        let is_first = !std::mem::replace(&mut self.is_invited, true);
        if !(is_first
            && inner
                .auth
                .require_more(Methods::KEYBOARD_INTERACTIVE, &mut out))
        {
            inner.auth.reject(None, &mut out);
        }
        inner.leg.send_all(&mut out)?;
        loop {
            if let ServerAuthEvent::Interactive { .. } = inner.next().await? {
                return Ok(());
            }
        }
    }

    /// Passes the host's questions on; returns the user's answers.
    ///
    /// # Errors
    /// If the client is gone, or breaks the protocol.
    pub(crate) async fn ask(&mut self, challenge: &Challenge) -> Result<Answers, Unanswered> {
        let Some(inner) = &mut self.user else {
            return Err(LegError::Closed.into());
        };
        self.said.push(EarlyText::Asked(challenge.clone()));
        loop {
            let mut out = Vec::new();
            inner.auth.ask(challenge, &mut out);
            inner.leg.send_all(&mut out)?;
            match inner.next().await? {
                ServerAuthEvent::Answers(answers) => return Ok(answers),
                // The client begins again, which is allowed: the questions stay the same.
                _ => continue,
            }
        }
    }
}

impl InnerConnection<'_> {
    /// The next message of the client that needs an answer.
    async fn next(&mut self) -> Result<ServerAuthEvent, Unanswered> {
        loop {
            let mut payload = self.leg.next_secret().await?;
            let mut out = Vec::new();
            let event = self.auth.on_packet(&payload, &mut out);
            payload.as_mut().zeroize();
            self.leg.send_all(&mut out)?;
            // Keys are no longer judged, so no other event needs an answer.
            if let event @ (ServerAuthEvent::Interactive { .. } | ServerAuthEvent::Answers(_)) =
                event?
            {
                return Ok(event);
            }
        }
    }
}

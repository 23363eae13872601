//! What a host says to a user who logs in there, and what it asks.
//!
//! By ProxyCommand the user's ssh waits for the outcome inside its own authentication, so a banner is a
//! banner there, and a question a question (RFC 4256). Questions are passed on only for a host that was
//! verified, has taken the user's key, and wants more. By ProxyJump the user is let in before the host
//! is dialled: banners are kept for the session's stderr, and the user cannot be asked.
//!
//! Answers are passed on and kept nowhere.

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
    /// It does not keep to the protocol.
    #[error(transparent)]
    Protocol(#[from] AuthError),
}

/// The user's side of a login at a host.
#[derive(Debug)]
pub(crate) struct Conversation<'a> {
    user: Option<InnerConnection<'a>>,
    said: Vec<EarlyText>,
    /// Whether the client knows that more is wanted than its key.
    is_invited: bool,
}

/// An inner connection whose client has proved to hold its key and is not in yet.
#[derive(Debug)]
struct InnerConnection<'a> {
    leg: &'a mut Leg<ChannelStream>,
    auth: &'a mut ServerAuth,
}

impl<'a> Conversation<'a> {
    /// With a user whose client waits inside its authentication.
    pub(crate) fn with(leg: &'a mut Leg<ChannelStream>, auth: &'a mut ServerAuth) -> Self {
        Self {
            user: Some(InnerConnection { leg, auth }),
            ..Self::with_nobody()
        }
    }

    /// Without a user to talk to: what is said is kept.
    pub(crate) fn with_nobody() -> Self {
        Self {
            user: None,
            said: Vec::new(),
            is_invited: false,
        }
    }

    /// What was said and asked so far.
    pub(crate) fn into_said(self) -> Vec<EarlyText> {
        self.said
    }

    /// The banners so far, for a user who has not read them.
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

    /// Tells the user's ssh that the host wants more than the key, or other answers than the last
    /// ones, and waits until it wants to be asked.
    ///
    /// # Errors
    /// It does not, and is gone.
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

    /// Passes the host's questions on; the user's answers.
    ///
    /// # Errors
    /// The client is gone, or breaks the protocol.
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
                // It begins again, as a client may: the questions are the same.
                _ => continue,
            }
        }
    }
}

impl InnerConnection<'_> {
    /// What the client says next that has to be answered.
    async fn next(&mut self) -> Result<ServerAuthEvent, Unanswered> {
        loop {
            let mut payload = self.leg.next_secret().await?;
            let mut out = Vec::new();
            let event = self.auth.on_packet(&payload, &mut out);
            payload.as_mut().zeroize();
            self.leg.send_all(&mut out)?;
            // Keys are not looked at any more, so nothing else waits for a judgement.
            if let event @ (ServerAuthEvent::Interactive { .. } | ServerAuthEvent::Answers(_)) =
                event?
            {
                return Ok(event);
            }
        }
    }
}

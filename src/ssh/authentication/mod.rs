//! Server-side authentication of a leg: one [`Verifier`] decides, and there is a reason for every
//! refusal.

mod step;
#[cfg(test)]
mod tests;
mod time_allowed;

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use step::{Judged, ask, judged, message, reply};
use time_allowed::TimeAllowed;

use super::key_rounds::KeyRounds;
use super::leg::{Leg, LegError, LegEvent};
use super::refusal::{self, Refusal};
use super::verifier::{Decision, Verifier};
use crate::cert::PresentedKey;
use crate::wire::DisconnectReason;
use crate::wire::auth::{AuthLimits, Methods, ServerAuth};

/// Failed attempts after which a leg ends. More than sshd's `MaxAuthTries` because an agent offers
/// its plain keys first, and each is one attempt.
const MAX_ATTEMPTS: u32 = 20;

/// How long a client may take to identify itself: it sends one line, and needs no input for it.
const IDENTIFICATION: Duration = Duration::from_secs(10);

/// How the authentication of a leg failed.
#[derive(Debug)]
pub(crate) struct Unauthenticated {
    /// The refusal that explains most, if the client was refused. If the client broke the protocol
    /// after that, the breach.
    pub(crate) refusal: Option<Refusal>,
    /// The key that was refused.
    pub(crate) offered: Option<PresentedKey>,
    /// The error that ended the leg.
    pub(crate) ended: LegError,
}

/// A leg whose client has proved that it holds a key. The client is not informed yet.
#[derive(Debug)]
pub(crate) struct Authenticated<T> {
    /// What the verifier returned.
    pub(crate) verdict: T,
    /// Accepts the client, or still refuses it.
    pub(crate) auth: ServerAuth,
}

/// Authentication on a leg whose key exchange is complete.
struct Started {
    auth: ServerAuth,
    rounds: KeyRounds,
}

impl Started {
    fn new<S>(leg: &Leg<S>, greeting: Option<&str>, verifier: &impl Verifier) -> Self {
        let session_id = leg.transport.session_id().unwrap_or_default().to_vec();
        let host_key = leg.transport.host_key_blob().unwrap_or_default().to_vec();
        let limits = AuthLimits {
            max_attempts: MAX_ATTEMPTS,
        };
        let mut auth = ServerAuth::new(session_id, host_key, limits);
        auth.allow(verifier.methods());
        if verifier.forgives_queries() {
            auth.forgive_queries();
        }
        if let Some(text) = greeting {
            auth.greet(text);
        }
        Self {
            auth,
            rounds: KeyRounds::new(leg.transport.peer_ident()),
        }
    }
}

/// Runs key exchange and authentication until the verifier accepts the client, for as long as `grace`;
/// longer if the client's person is asked, or the verifier takes its time.
///
/// The verifier also decides about queries, so that no security key asks for a touch in vain. [`KeyRounds`]
/// decides which of several keys is taken, and when a banner gives the reason for a refusal. `greeting`
/// is a banner that every client gets first.
pub(crate) async fn authenticate<S, V>(
    leg: &mut Leg<S>,
    id: &str,
    grace: Duration,
    greeting: Option<&str>,
    verifier: &mut V,
) -> Result<Authenticated<V::Verdict>, Unauthenticated>
where
    S: AsyncRead + AsyncWrite + Unpin,
    V: Verifier,
{
    let mut started = None;
    let attempt = attempt(leg, id, (grace, greeting), verifier, &mut started).await;
    let (verdict, ended) = match attempt {
        Ok(verdict) => (Some(verdict), LegError::Closed),
        Err(ended) => (None, ended),
    };
    let (auth, rounds) = started.map_or((None, None), |Started { auth, rounds }| {
        (Some(auth), Some(rounds))
    });
    if let (Some(verdict), Some(auth)) = (verdict, auth) {
        return Ok(Authenticated { verdict, auth });
    }
    let (refusal, offered) = rounds.map_or((None, None), KeyRounds::into_refusal);
    // The user, the log and the audit log get the error that ended the leg, not an earlier refusal.
    let refusal = refusal.map(|refusal| breach(&ended).unwrap_or(refusal));
    Err(Unauthenticated {
        refusal,
        offered,
        ended,
    })
}

/// The client's breach of the protocol, if that ended the leg.
fn breach(ended: &LegError) -> Option<Refusal> {
    let is_breach = match ended {
        LegError::Protocol(_) | LegError::Breach(_) => true,
        LegError::Authentication(error) => error.is_breach(),
        LegError::Io(_)
        | LegError::Closed
        | LegError::Disconnected { .. }
        | LegError::Refused
        | LegError::Timeout(_)
        | LegError::Tunnel(_) => false,
    };
    is_breach.then(|| refusal::broke_login_protocol(ended))
}

/// Waits until the client has identified itself; returns the event that followed, if there was one.
async fn identified<S>(leg: &mut Leg<S>, id: &str) -> Result<Option<LegEvent>, LegError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let line = async {
        loop {
            let event = leg.poll_event()?;
            if event.is_some() || leg.transport.peer_ident().is_some() {
                return Ok(event);
            }
            leg.transfer(true).await?;
        }
    };
    if let Ok(identified) = tokio::time::timeout(IDENTIFICATION, line).await {
        return identified;
    }
    let text = refusal::not_identified(IDENTIFICATION, id);
    leg.disconnect(DisconnectReason::ByApplication, &text).await;
    Err(LegError::Timeout(IDENTIFICATION))
}

async fn attempt<S, V>(
    leg: &mut Leg<S>,
    id: &str,
    (grace, greeting): (Duration, Option<&str>),
    verifier: &mut V,
    started: &mut Option<Started>,
) -> Result<V::Verdict, LegError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    V: Verifier,
{
    let mut time = TimeAllowed::new(grace);
    let mut early = match timeout_at(time.until, identified(leg, id)).await {
        Ok(event) => event?,
        Err(_elapsed) => return Err(time.over(leg, id).await),
    };
    loop {
        let Some(Started { auth, rounds }) = started else {
            let established = established(leg, early.take());
            match timeout_at(time.until, established).await {
                Ok(established) => established?,
                Err(_elapsed) => return Err(time.over(leg, id).await),
            }
            *started = Some(Started::new(leg, greeting, verifier));
            continue;
        };
        let event = match timeout_at(time.until, message(leg, auth)).await {
            Ok(event) => event?,
            Err(_elapsed) => return Err(time.over(leg, id).await),
        };
        let since = Instant::now();
        let judged = judged(event, verifier, rounds);
        let judged = timeout_at(time.at_most(), judged).await;
        time.waited(since);
        let Ok(judged) = judged else {
            return Err(time.over(leg, id).await);
        };
        let mut out = Vec::new();
        match judged {
            Judged::Decided(Decision::Accept(verdict)) if auth.can_accept() => return Ok(verdict),
            Judged::Decided(Decision::Ask(questioning)) => {
                time.asked();
                ask(auth, rounds, questioning, &mut out);
            }
            Judged::Decided(Decision::End(no)) => {
                auth.reject(Some(&no.text(id)), &mut out);
                leg.send_all(&mut out)?;
                let text = no.disconnect_text(id);
                let reason = DisconnectReason::NoMoreAuthMethodsAvailable;
                leg.disconnect(reason, &text).await;
                return Err(LegError::Refused);
            }
            judged => {
                if !verifier.methods().keyboard_interactive {
                    auth.allow(Methods::PUBLIC_KEY);
                }
                reply(auth, rounds, judged, id, &mut out);
            }
        }
        leg.send_all(&mut out)?;
    }
}

/// Waits for the end of the key exchange.
async fn established<S>(leg: &mut Leg<S>, early: Option<LegEvent>) -> Result<(), LegError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut event = early;
    loop {
        match event.take() {
            Some(LegEvent::Established) => return Ok(()),
            // No packet of a client comes before it.
            Some(LegEvent::Packet(_) | LegEvent::HostKey(_)) | None => {}
        }
        event = Some(leg.next().await?);
    }
}

//! Server-side authentication of a leg: certificates only, one judge, and a reason for every no.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::leg::{Leg, LegError, LegEvent};
use super::refusal::{Refusal, offer_reason, user_certificate_reason};
use crate::audit;
use crate::cert::{PresentedKey, UserCertError};
use crate::model::format_duration;
use crate::wire::DisconnectReason;
use crate::wire::auth::{AuthLimits, Offer, OfferError, ServerAuth, ServerAuthEvent};

/// Failed attempts after which a leg ends. More than sshd's `MaxAuthTries` because an agent offers
/// its plain keys first, and each is one attempt.
const MAX_ATTEMPTS: u32 = 20;

/// How the authentication of a leg failed.
#[derive(Debug)]
pub(crate) struct Unauthenticated {
    /// The most telling refusal, if the client got as far as being refused.
    pub(crate) refusal: Option<Refusal>,
    /// The key that was refused.
    pub(crate) offered: Option<PresentedKey>,
    /// What ended the leg.
    pub(crate) ended: LegError,
}

/// A leg whose client has proved to hold a key; it is not told so yet.
#[derive(Debug)]
pub(crate) struct Authenticated<T> {
    /// What the judge made of it.
    pub(crate) verdict: T,
    /// To accept it, or to refuse it after all.
    pub(crate) auth: ServerAuth,
}

/// Runs key exchange and authentication until `judge` takes a signed offer, for as long as `grace`.
///
/// `judge` is asked about queries too, so that nobody touches a security key for nothing. A refused
/// certificate is answered with a banner that says why; a plain key, which agents offer first as a
/// matter of course, is refused in silence.
pub(crate) async fn authenticate<S, T>(
    leg: &mut Leg<S>,
    id: &str,
    grace: Duration,
    judge: impl Fn(&Offer) -> Result<T, Refusal>,
) -> Result<Authenticated<T>, Unauthenticated>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut refused = Refused::default();
    let attempt = tokio::time::timeout(grace, attempt(leg, id, &judge, &mut refused));
    let ended = match attempt.await {
        Ok(Ok(authenticated)) => return Ok(authenticated),
        Ok(Err(ended)) => ended,
        Err(_elapsed) => {
            let text = format!(
                "rproxy: client: not authenticated within {} (id {id})",
                format_duration(grace)
            );
            leg.disconnect(DisconnectReason::ByApplication, &text).await;
            LegError::Timeout(grace)
        }
    };
    Err(Unauthenticated {
        refusal: refused.refusal,
        offered: refused.offered,
        ended,
    })
}

async fn attempt<S, T>(
    leg: &mut Leg<S>,
    id: &str,
    judge: &impl Fn(&Offer) -> Result<T, Refusal>,
    refused: &mut Refused,
) -> Result<Authenticated<T>, LegError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut auth: Option<ServerAuth> = None;
    let mut out = Vec::new();
    loop {
        let payload = match leg.next().await? {
            LegEvent::Packet(payload) => payload,
            LegEvent::Established => {
                let session_id = leg.transport.session_id().unwrap_or_default().to_vec();
                let host_key = leg.transport.host_key_blob().unwrap_or_default().to_vec();
                let limits = AuthLimits {
                    max_attempts: MAX_ATTEMPTS,
                };
                auth = Some(ServerAuth::new(session_id, host_key, limits));
                continue;
            }
            LegEvent::HostKey(_) => continue,
        };
        let Some(auth_state) = auth.as_mut() else {
            continue;
        };
        match auth_state.on_packet(&payload, &mut out) {
            Ok(ServerAuthEvent::Nothing) => {}
            Ok(ServerAuthEvent::Query(offer)) => match judge(&offer) {
                Ok(_) => auth_state.accept_query(&mut out),
                Err(no) => {
                    auth_state.reject(refused.take(no, Some(offer.key), id).as_deref(), &mut out);
                }
            },
            Ok(ServerAuthEvent::Attempt(offer)) => match judge(&offer) {
                Ok(verdict) => {
                    leg.send_all(&mut out)?;
                    if let Some(auth) = auth {
                        return Ok(Authenticated { verdict, auth });
                    }
                    continue;
                }
                Err(no) => {
                    auth_state.reject(refused.take(no, Some(offer.key), id).as_deref(), &mut out);
                }
            },
            Ok(ServerAuthEvent::Refused { reason, .. }) => {
                let no = unusable(&reason);
                auth_state.reject(refused.take(no, None, id).as_deref(), &mut out);
            }
            Err(error) => {
                leg.send_all(&mut out)?;
                leg.disconnect(
                    DisconnectReason::NoMoreAuthMethodsAvailable,
                    &format!("rproxy: client: {error}"),
                )
                .await;
                return Err(LegError::Closed);
            }
        }
        leg.send_all(&mut out)?;
    }
}

/// The most telling refusal so far: a certificate's tells more than a plain key's.
#[derive(Debug, Default)]
struct Refused {
    refusal: Option<Refusal>,
    offered: Option<PresentedKey>,
}

impl Refused {
    /// Remembers a refusal; the banner that goes with it, if it is worth one.
    fn take(&mut self, no: Refusal, offered: Option<PresentedKey>, id: &str) -> Option<String> {
        let banner = (no.reason != PLAIN_KEY).then(|| no.text(id));
        if banner.is_some() || self.refusal.is_none() {
            self.refusal = Some(no);
            self.offered = offered;
        }
        banner
    }
}

/// The reason of a plain key's refusal: it is not worth a banner.
const PLAIN_KEY: &str = "not-a-certificate";

/// A plain key where only certificates count.
pub(crate) fn plain_key(key: &PresentedKey) -> Refusal {
    Refusal::new(
        audit::Leg::Client,
        PLAIN_KEY,
        format!(
            "a plain key was offered ({}), only user certificates count",
            key.fingerprint()
        ),
    )
    .hint("get a certificate for it: rproxy auth sign --user")
}

/// A certificate that does not count.
pub(crate) fn bad_certificate(error: &UserCertError) -> Refusal {
    Refusal::new(
        audit::Leg::Client,
        user_certificate_reason(error),
        error.to_string(),
    )
    .hint(error.hint())
}

fn unusable(reason: &OfferError) -> Refusal {
    Refusal::new(audit::Leg::Client, offer_reason(reason), reason.to_string())
        .hint("get a new certificate: rproxy auth sign --user")
}

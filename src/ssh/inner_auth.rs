//! Decides who authenticates an inner connection, and whether for the login that is asked for.

use std::net::SocketAddr;

use super::key_rounds::Fit;
use super::refusal::{self, Refusal};
use super::services::InnerServices;
use super::verifier::ByKey;
use crate::access::{Denial, InnerProof, LoginPermit, Permit};
use crate::cert::PresentedKey;
use crate::model::Login;
use crate::wire::auth::Offer;

/// Decides about the client of an inner connection. With a sign-in one key alone is the right one, and the
/// client may offer many before it.
pub(crate) fn verifier<D>(
    services: &InnerServices<D>,
    outer: &Permit,
    client: SocketAddr,
) -> ByKey<impl Fn(&Offer) -> Result<(LoginPermit, Fit), Refusal>> {
    let is_signed_in = outer.identity().sign_in().is_some();
    ByKey::new(move |offer: &Offer| judge(services, outer, client, offer))
        .forgiving_queries(is_signed_in)
}

/// Checks that the offer is by the user of the outer connection with the same key, for a login that the
/// certificate or the sign-in allows.
///
/// # Errors
/// The refusal for the user.
fn judge<D>(
    services: &InnerServices<D>,
    outer: &Permit,
    client: SocketAddr,
    offer: &Offer,
) -> Result<(LoginPermit, Fit), Refusal> {
    let inner = proof(services, outer, client, &offer.key)?;
    let login: Login = offer
        .user
        .parse()
        .map_err(|error| refusal::bad_login(&error))?;
    let settings = services.settings.now();
    let has_login = match &inner {
        InnerProof::Certificate(certificate) => certificate.allows_login(&login),
        InnerProof::Key(_) => false,
    };
    match outer.for_login(&settings.policy, inner, login.clone()) {
        Ok(permit) => Ok((permit, Fit::Good)),
        Err(denial @ (Denial::OtherIdentity { .. } | Denial::OtherKey)) if has_login => {
            let reached = services.router.reached();
            let jump = |login: &str| reached.jump(login);
            let destination = reached.destination();
            Err(refusal::another_certificate_first(
                &denial,
                &login,
                jump,
                &destination,
            ))
        }
        Err(denial) => Err(Refusal::from(&denial)),
    }
}

/// What an offered key proves. A key without a certificate counts only if the user has signed in on
/// the outer connection.
fn proof<D>(
    services: &InnerServices<D>,
    outer: &Permit,
    client: SocketAddr,
    key: &PresentedKey,
) -> Result<InnerProof, Refusal> {
    match key {
        PresentedKey::Certificate(certificate) => {
            let certificate = services.auth.admit(certificate, client)?;
            Ok(InnerProof::Certificate(Box::new(certificate)))
        }
        PresentedKey::Plain(plain) if outer.identity().sign_in().is_some() => {
            Ok(InnerProof::Key(plain.key_data().clone()))
        }
        PresentedKey::Plain(_) => Err(refusal::plain_key(key)),
    }
}

//! The certificate that a person who has signed in gets for one login at a host.
//!
//! The process with the user CA makes it, for the key that has signed in. It is used once, for the login
//! of this connection, and is given to no one but the host.

use super::front_auth::FrontAuth;
use super::people_client::PersonClient;
use super::refusal::{self, Refusal};
use crate::access::LoginPermit;
use crate::cert::{PresentedKey, VerifiedUserCert};
use crate::ipc::{PeopleAnswer, PeopleQuestion};

/// The permit with what the host is to be shown: a person who has signed in gets a certificate for this
/// login; a person with a certificate has one already.
///
/// # Errors
/// The refusal for the user: no certificate was made, or not the one that was asked for.
pub(crate) async fn with_credential(
    permit: LoginPermit,
    person: Option<&PersonClient>,
    auth: &FrontAuth,
) -> Result<LoginPermit, Refusal> {
    if permit.credential().is_some() {
        return Ok(permit);
    }
    let person =
        person.ok_or_else(|| refusal::certificate_not_minted(&"this client has not signed in"))?;
    let question = PeopleQuestion::Certificate {
        login: permit.login().clone(),
        target: permit.route().target.to_string(),
    };
    let answer = person.ask(question).await;
    let answer = answer.map_err(|error| refusal::certificate_not_minted(&error))?;
    let minted = match answer {
        PeopleAnswer::Certificate(line) => verified(&line, auth)?,
        PeopleAnswer::Refused(refused) => return Err(refusal::refused_person(&refused)),
        _ => return Err(refusal::certificate_not_minted(&UNEXPECTED)),
    };
    permit.with_credential(minted).map_err(|error| {
        tracing::error!(%error, "the certificate that was made for a login is for another one");
        refusal::certificate_not_minted(&error)
    })
}

const UNEXPECTED: &str = "the answer does not fit the question";

fn verified(line: &str, auth: &FrontAuth) -> Result<VerifiedUserCert, Refusal> {
    match PresentedKey::from_line(line) {
        Ok(PresentedKey::Certificate(certificate)) => auth.admit_minted(&certificate),
        Ok(PresentedKey::Plain(_)) => Err(refusal::certificate_not_minted(&UNEXPECTED)),
        Err(error) => Err(refusal::certificate_not_minted(&error)),
    }
}

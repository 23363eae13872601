//! What is wrong with the client: its keys and certificates, its protocol, its silence.

use std::fmt::Display;
use std::time::Duration;

use super::message::{Refusal, Worth};
use super::reason::RefusalReason;
use crate::access::{Denial, Route};
use crate::audit::Party;
use crate::cert::{CertFault, KeyError, OfferError, PresentedKey, SourceAddresses, UserCertError};
use crate::ipc::SignInEnd;
use crate::model::{Login, format_duration};

const ASK_OPERATOR: &str = "ask the people who run this proxy";

/// A plain key where only certificates count.
pub(crate) fn plain_key(key: &PresentedKey) -> Refusal {
    Refusal::new(
        Party::Client,
        RefusalReason::PlainKey,
        format!(
            "a plain key was offered ({}), only user certificates count",
            key.fingerprint()
        ),
    )
    .hint(
        "get a certificate for it; on the proxy: rproxy auth sign --user=NAME --logins=LOGIN --public-key=FILE",
    )
    .worth(Worth::PlainKey)
}

/// A certificate that does not count.
pub(crate) fn bad_certificate(error: &UserCertError) -> Refusal {
    let worth = match error {
        UserCertError::HostCertificate | UserCertError::Fault(CertFault::UnknownAuthority(_)) => {
            Worth::Foreign
        }
        _ => Worth::Usual,
    };
    Refusal::new(Party::Client, error.into(), error.to_string())
        .hint(error.hint())
        .worth(worth)
}

/// A key or signature that the wire does not take.
pub(crate) fn unusable_key(error: &OfferError) -> Refusal {
    let worth = match error {
        OfferError::Algorithm(_) | OfferError::Key(KeyError::Unsupported(_)) => Worth::Foreign,
        _ => Worth::Usual,
    };
    let hint = match error {
        OfferError::Key(_) => format!("on your machine: {}", error.hint()),
        _ => error.hint().to_owned(),
    };
    Refusal::new(Party::Client, error.into(), error.to_string())
        .hint(hint)
        .worth(worth)
}

/// The host is reached through its tunnel, and the user certificate counts from these networks only.
pub(crate) fn not_for_tunnels(route: &Route, bound: &SourceAddresses) -> Refusal {
    let host = &route.target.host;
    Refusal::new(
        Party::Client,
        RefusalReason::NotForTunnels,
        format!("your certificate counts from {bound} only, and {host} is reached through its own tunnel: its sshd sees you come from 127.0.0.1"),
    )
    .hint("sign in to this proxy, which makes a certificate for each login then; or get one that counts from 127.0.0.1: on the proxy, in its configuration, egress_addrs with 127.0.0.1/32 and ::1/128 beside the others, then rproxy auth sign --user (docs/nodes.md)")
}

/// The user certificate is revoked, for this reason where one was given.
pub(crate) fn revoked_user(reason: Option<&str>) -> Refusal {
    let text = match reason {
        Some(reason) => format!("certificate revoked: {reason}"),
        None => "certificate revoked".to_owned(),
    };
    Refusal::new(Party::Client, RefusalReason::Revoked, text)
        .hint("ask the people who run this proxy about a new one")
}

/// The name or the key of a person who has signed in is revoked, for this reason where one was given.
pub(crate) fn revoked_person(reason: Option<&str>) -> Refusal {
    let text = match reason {
        Some(reason) => format!("your name or your key is revoked: {reason}"),
        None => "your name or your key is revoked".to_owned(),
    };
    Refusal::new(Party::Client, RefusalReason::Revoked, text).hint(ASK_OPERATOR)
}

/// A user name that is no login.
pub(crate) fn bad_login(error: &dyn Display) -> Refusal {
    let text = format!("bad login: {error}");
    Refusal::new(Party::Client, RefusalReason::BadLogin, text)
}

/// A certificate that has the login, where the outer connection was authenticated with another one.
/// `jump` and `destination` name the login to the proxy, for `-J` and for ProxyCommand.
pub(crate) fn another_certificate_first(
    denial: &Denial,
    login: &Login,
    jump: impl Fn(&str) -> String,
    destination: &str,
) -> Refusal {
    Refusal::from(denial)
        .hint(format!(
            "the proxy was shown another certificate first; on your machine: name the login to the proxy too, so that it takes the one with it: `ssh -J {}`, or `{destination}` in ProxyCommand; or have ssh offer this one alone (IdentitiesOnly, CertificateFile)",
            jump(login.as_str()),
        ))
        .worth(Worth::WayOut)
}

/// The client broke the protocol while it logged in.
pub(crate) fn broke_login_protocol(ended: &dyn Display) -> Refusal {
    let text = format!("the client broke the protocol while it logged in: {ended}");
    Refusal::new(Party::Client, RefusalReason::ProtocolError, text)
        .hint("its program is at fault, not its certificate: update it, or report what it is")
}

/// The inner connection ended before its client had authenticated.
pub(crate) fn inner_connection_ended(ended: &dyn Display) -> Refusal {
    let text = format!("the inner connection ended before authentication: {ended}");
    Refusal::new(Party::Client, RefusalReason::InnerConnection, text)
}

/// The client has not answered for this long.
pub(crate) fn client_lost(silence: Duration) -> Refusal {
    let text = format!(
        "the client has not answered for {}",
        format_duration(silence)
    );
    Refusal::new(Party::Client, RefusalReason::ClientLost, text)
}

/// The client has had no channel for this long.
pub(crate) fn nothing_asked_for(limit: Duration) -> Refusal {
    let text = format!("nothing was asked for within {}", format_duration(limit));
    Refusal::new(Party::Client, RefusalReason::ClientIdle, text)
}

/// Nothing came from the client for this long, on a connection that is relayed.
pub(crate) fn client_idle(limit: Duration) -> Refusal {
    let text = format!(
        "idle for {}, which is the limit here",
        format_duration(limit)
    );
    Refusal::new(Party::Client, RefusalReason::ClientIdle, text)
}

/// The sign-in has ended during the connection.
pub(crate) fn sign_in_ended(end: SignInEnd) -> Refusal {
    let (why, hint) = match end {
        SignInEnd::Expired => ("it has expired", "connect again and sign in"),
        SignInEnd::Logout => ("you have logged out", "connect again and sign in"),
        SignInEnd::Locked => ("your account here is locked", ASK_OPERATOR),
        SignInEnd::Removed => ("your account here was removed", ASK_OPERATOR),
        SignInEnd::Reset => (
            "your credentials were reset",
            "sign up again with a new invitation; the people who run this proxy have it",
        ),
        SignInEnd::PasswordChanged => (
            "your password was changed",
            "connect again and sign in with the new one",
        ),
        SignInEnd::KeyRemoved => (
            "the key was removed from your account",
            "connect again with another key",
        ),
    };
    let text = format!("your sign-in has ended: {why}");
    Refusal::new(Party::Client, RefusalReason::SignInEnded, text).hint(hint)
}

/// The certificate expired during the connection.
pub(crate) fn certificate_expired() -> Refusal {
    Refusal::new(
        Party::Client,
        RefusalReason::Expired,
        "your certificate has expired, and connections end with it here",
    )
    .hint("get a new certificate and connect again; on the proxy: rproxy auth sign --user")
}

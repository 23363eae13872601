//! Refusals of people who sign in: what they have not proved yet, and what the process that decides about
//! people says.

use std::fmt::Display;
use std::time::Duration;

use super::message::{Refusal, Worth};
use super::reason::RefusalReason;
use crate::audit::Party;
use crate::cert::PresentedKey;
use crate::ipc::PeopleRefusal;
use crate::model::format_duration;

/// The client has to answer questions, or it is refused for that. `command` signs in ahead of time.
pub(crate) fn not_signed_in(command: &str) -> Refusal {
    Refusal::new(
        Party::Client,
        RefusalReason::NotSignedIn,
        "you are not signed in, and questions follow",
    )
    .hint(format!(
        "a program that cannot ask you needs this first; on your machine: {command}"
    ))
    .worth(Worth::Foreign)
}

/// A key of which a signature is of no use yet. `command` signs in with it.
pub(crate) fn unknown_key(key: &PresentedKey, command: &str) -> Refusal {
    let text = format!("the key {} is not registered", key.fingerprint());
    Refusal::new(Party::Client, RefusalReason::UnknownKey, text)
        .hint(format!("sign in with it; on your machine: {command}"))
        .worth(Worth::PlainKey)
}

/// A key that cannot be registered, after right answers.
pub(crate) fn key_not_usable(key: &PresentedKey) -> Refusal {
    let text = format!(
        "the key {} cannot be registered: it is another person's, or of a kind that is not accepted",
        key.fingerprint()
    );
    Refusal::new(Party::Client, RefusalReason::KeyNotUsable, text)
        .hint("on your machine, make a new key: ssh-keygen -t ed25519")
}

/// The answers are right, and the client has shown no key, or offers none twice.
pub(crate) fn key_required() -> Refusal {
    Refusal::new(
        Party::Client,
        RefusalReason::KeyRequired,
        "your answers are right, and now a key has to prove itself",
    )
    .hint(
        "a program that offers each key once cannot register it here: register it with OpenSSH's ssh; to make a key: ssh-keygen -t ed25519",
    )
}

/// The process that decides about people cannot be asked.
pub(crate) fn people_unavailable(error: &dyn Display) -> Refusal {
    let text = format!("the auth process cannot say who you are: {error}");
    Refusal::new(Party::Proxy, RefusalReason::PeopleUnavailable, text)
        .hint("try again in a moment; if it goes on, tell the people who run this proxy")
}

/// It has not been known for this long what was revoked since.
pub(crate) fn state_stale(age: Duration) -> Refusal {
    let text = format!(
        "for {} the state cannot be read, so nobody new is let in",
        format_duration(Duration::from_secs(age.as_secs()))
    );
    Refusal::new(Party::Proxy, RefusalReason::StateStale, text)
        .hint("try again in a moment; if it goes on, tell the people who run this proxy")
}

/// The process that decides about people gave an answer that has no place here.
pub(crate) fn unexpected_answer() -> Refusal {
    people_unavailable(&"its answer does not fit the question")
}

/// What the process that decides about people says.
pub(crate) fn refused_person(refused: &PeopleRefusal) -> Refusal {
    let reason = RefusalReason::of_person(&refused.reason);
    let leg = match reason {
        RefusalReason::StateUnavailable | RefusalReason::StateStale => Party::Proxy,
        _ => Party::Client,
    };
    let refusal = Refusal::new(leg, reason, refused.message.clone());
    match &refused.hint {
        Some(hint) => refusal.hint(hint.clone()),
        None => refusal,
    }
}

//! The constructors for people who sign in.

use super::{Expected, plain, row};
use crate::audit::Party::{Client, Proxy};
use crate::ipc::PeopleRefusal;
use crate::ssh::refusal::reason::RefusalReason;
use crate::ssh::refusal::*;

fn refused(reason: &str, hint: Option<&str>) -> Refusal {
    refused_person(&PeopleRefusal {
        reason: reason.to_owned(),
        message: "no".to_owned(),
        hint: hint.map(str::to_owned),
        is_final: false,
    })
}

pub(super) fn sign_in_rows() -> Vec<Expected> {
    let (key, command) = (plain(), "ssh -p 3023 alice@proxy login");
    let fingerprint = key.fingerprint();
    let mut rows = vec![
        row(
            not_signed_in(command),
            Client,
            "not-signed-in",
            "you are not signed in, and questions follow\na program that cannot ask you needs this first; on your machine: ssh -p 3023 alice@proxy login",
        ),
        row(
            unknown_key(&key, command),
            Client,
            "unknown-key",
            format!(
                "the key {fingerprint} is not registered\nsign in with it; on your machine: ssh -p 3023 alice@proxy login"
            ),
        ),
        row(
            key_not_usable(&key),
            Client,
            "key-not-usable",
            format!(
                "the key {fingerprint} cannot be registered: it is another person's, or of a kind that is not accepted\non your machine, make a new key: ssh-keygen -t ed25519"
            ),
        ),
        row(
            key_required(),
            Client,
            "key-required",
            "your answers are right, and now a key has to prove itself\na program that offers each key once cannot register it here: register it with OpenSSH's ssh; to make a key: ssh-keygen -t ed25519",
        ),
        row(
            people_unavailable(&"no answer"),
            Proxy,
            "people-unavailable",
            "the auth process cannot say who you are: no answer\ntry again in a moment; if it goes on, tell the people who run this proxy",
        ),
        row(
            unexpected_answer(),
            Proxy,
            "people-unavailable",
            "the auth process cannot say who you are: its answer does not fit the question\ntry again in a moment; if it goes on, tell the people who run this proxy",
        ),
        row(
            refused("of-tomorrow", None),
            Client,
            "sign-in-refused",
            "no",
        ),
        // A name of another part of the table is none of a person's.
        row(
            refused("killed", Some("so")),
            Client,
            "sign-in-refused",
            "no\nso",
        ),
    ];
    for reason in RefusalReason::OF_PEOPLE {
        let leg = match reason.name() {
            "state-unavailable" | "state-stale" => Proxy,
            _ => Client,
        };
        rows.push(row(refused(reason.name(), None), leg, reason.name(), "no"));
    }
    rows
}

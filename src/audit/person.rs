//! Events about people: their credentials and sign-ins.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;
use uuid::Uuid;

use super::EventKind;
use super::fields::{UnixSeconds, or_nulls};
use crate::model::ConnectionId;
use crate::sys::account::Actor;

/// Something that people did about their credentials and sign-ins, or an administrator about a person.
/// `user` is the person's name as the state has it. What was typed is in none of them.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
#[expect(
    missing_docs,
    reason = "the fields of a row in the documentation's table"
)]
pub enum PersonEvent {
    /// See [`EventKind::UserAdded`].
    UserAdded {
        user: String,
        roles: Vec<String>,
        logins: Option<Vec<String>>,
        #[serde(flatten)]
        actor: Actor,
    },
    /// See [`EventKind::UserChanged`].
    UserChanged {
        user: String,
        roles: Vec<String>,
        logins: Option<Vec<String>>,
        #[serde(flatten)]
        actor: Actor,
    },
    /// See [`EventKind::UserLocked`].
    UserLocked {
        user: String,
        message: Option<String>,
        #[serde(flatten)]
        actor: Actor,
    },
    /// See [`EventKind::UserUnlocked`].
    UserUnlocked {
        user: String,
        #[serde(flatten)]
        actor: Actor,
    },
    /// See [`EventKind::UserReset`].
    UserReset {
        user: String,
        #[serde(flatten)]
        actor: Actor,
    },
    /// See [`EventKind::UserRemoved`].
    UserRemoved {
        user: String,
        #[serde(flatten)]
        actor: Actor,
    },
    /// See [`EventKind::InvitationCreated`].
    InvitationCreated {
        user: String,
        expires: UnixSeconds,
        #[serde(flatten)]
        actor: Actor,
    },
    /// See [`EventKind::InvitationSpent`].
    InvitationSpent {
        user: String,
        client_addr: SocketAddr,
        connection: ConnectionId,
    },
    /// See [`EventKind::UserProvided`].
    UserProvided {
        user: String,
        previous_user: Option<String>,
        roles: Vec<String>,
        issuer: String,
        subject: String,
        client_addr: SocketAddr,
        connection: ConnectionId,
    },
    /// See [`EventKind::AuthorizationBegun`].
    AuthorizationBegun {
        client_addr: SocketAddr,
        connection: ConnectionId,
    },
    /// See [`EventKind::AuthorizationOpened`].
    AuthorizationOpened {
        browser_addr: IpAddr,
        client_addr: SocketAddr,
        connection: ConnectionId,
    },
    /// See [`EventKind::AuthorizationAnswered`].
    AuthorizationAnswered {
        name: String,
        issuer: String,
        subject: String,
        roles: Vec<String>,
        browser_addr: IpAddr,
        client_addr: SocketAddr,
        connection: ConnectionId,
    },
    /// See [`EventKind::AuthorizationRefused`].
    AuthorizationRefused {
        reason: &'static str,
        message: String,
        browser_addr: IpAddr,
        client_addr: Option<SocketAddr>,
        connection: Option<ConnectionId>,
    },
    /// See [`EventKind::UsersRead`].
    UsersRead {
        how: &'static str,
        user: Option<String>,
        #[serde(flatten)]
        actor: Actor,
    },
    /// See [`EventKind::SignInBegun`].
    SignInBegun {
        user: String,
        sign_in: Uuid,
        fingerprint: Option<String>,
        until: UnixSeconds,
        method: &'static str,
        second_factor: &'static str,
        client_addr: SocketAddr,
        connection: Option<ConnectionId>,
        via: &'static str,
    },
    /// See [`EventKind::SignInFailed`].
    SignInFailed {
        user: Option<String>,
        reason: &'static str,
        message: String,
        fingerprint: Option<String>,
        client_addr: SocketAddr,
        connection: Option<ConnectionId>,
        via: &'static str,
    },
    /// See [`EventKind::SignInThrottled`].
    SignInThrottled {
        user: Option<String>,
        reason: &'static str,
        seconds: u64,
        client_addr: SocketAddr,
        connection: Option<ConnectionId>,
        via: &'static str,
    },
    /// See [`EventKind::SignInEnded`].
    SignInEnded {
        user: String,
        sign_in: Uuid,
        reason: &'static str,
        client_addr: Option<SocketAddr>,
        connection: Option<ConnectionId>,
        #[serde(flatten, serialize_with = "or_nulls")]
        actor: Option<Actor>,
    },
    /// See [`EventKind::KeyRegistered`].
    KeyRegistered {
        user: String,
        fingerprint: String,
        client_addr: SocketAddr,
        connection: ConnectionId,
    },
    /// See [`EventKind::KeyRemoved`].
    KeyRemoved {
        user: String,
        sign_in: Uuid,
        fingerprint: String,
        client_addr: SocketAddr,
        connection: Option<ConnectionId>,
        via: &'static str,
    },
    /// See [`EventKind::PasswordChanged`].
    PasswordChanged {
        user: String,
        sign_in: Uuid,
        client_addr: SocketAddr,
        connection: Option<ConnectionId>,
        via: &'static str,
    },
    /// See [`EventKind::SecondFactorChanged`].
    SecondFactorChanged {
        user: String,
        sign_in: Uuid,
        client_addr: SocketAddr,
        connection: ConnectionId,
    },
    /// See [`EventKind::PeopleRefused`].
    PeopleRefused {
        what: &'static str,
        reason: &'static str,
        client_addr: SocketAddr,
        connection: Option<ConnectionId>,
    },
}

impl PersonEvent {
    /// Its kind, which has its code and name.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self {
            Self::UserAdded { .. } => EventKind::UserAdded,
            Self::UserChanged { .. } => EventKind::UserChanged,
            Self::UserLocked { .. } => EventKind::UserLocked,
            Self::UserUnlocked { .. } => EventKind::UserUnlocked,
            Self::UserReset { .. } => EventKind::UserReset,
            Self::UserRemoved { .. } => EventKind::UserRemoved,
            Self::InvitationCreated { .. } => EventKind::InvitationCreated,
            Self::InvitationSpent { .. } => EventKind::InvitationSpent,
            Self::UserProvided { .. } => EventKind::UserProvided,
            Self::AuthorizationBegun { .. } => EventKind::AuthorizationBegun,
            Self::AuthorizationOpened { .. } => EventKind::AuthorizationOpened,
            Self::AuthorizationAnswered { .. } => EventKind::AuthorizationAnswered,
            Self::AuthorizationRefused { .. } => EventKind::AuthorizationRefused,
            Self::UsersRead { .. } => EventKind::UsersRead,
            Self::SignInBegun { .. } => EventKind::SignInBegun,
            Self::SignInFailed { .. } => EventKind::SignInFailed,
            Self::SignInThrottled { .. } => EventKind::SignInThrottled,
            Self::SignInEnded { .. } => EventKind::SignInEnded,
            Self::KeyRegistered { .. } => EventKind::KeyRegistered,
            Self::KeyRemoved { .. } => EventKind::KeyRemoved,
            Self::PasswordChanged { .. } => EventKind::PasswordChanged,
            Self::SecondFactorChanged { .. } => EventKind::SecondFactorChanged,
            Self::PeopleRefused { .. } => EventKind::PeopleRefused,
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::model::ConnectionId;

    /// One event of every kind.
    pub(in crate::audit) fn samples(actor: &Actor, client_addr: SocketAddr) -> Vec<PersonEvent> {
        let connection = ConnectionId::new();
        let user = || "alice".to_owned();
        let fingerprint = || "SHA256:abc".to_owned();
        let issuer = || "https://id.example.com".to_owned();
        let subject = || "248289761001".to_owned();
        let browser_addr = client_addr.ip();
        let actor = || actor.clone();
        vec![
            PersonEvent::UserAdded {
                user: user(),
                roles: vec!["dba".to_owned()],
                logins: None,
                actor: actor(),
            },
            PersonEvent::UserChanged {
                user: user(),
                roles: vec!["dba".to_owned()],
                logins: None,
                actor: actor(),
            },
            PersonEvent::UserLocked {
                user: user(),
                message: None,
                actor: actor(),
            },
            PersonEvent::UserUnlocked {
                user: user(),
                actor: actor(),
            },
            PersonEvent::UserReset {
                user: user(),
                actor: actor(),
            },
            PersonEvent::UserRemoved {
                user: user(),
                actor: actor(),
            },
            PersonEvent::InvitationCreated {
                user: user(),
                expires: UnixSeconds(1_800_000_000),
                actor: actor(),
            },
            PersonEvent::InvitationSpent {
                user: user(),
                client_addr,
                connection,
            },
            PersonEvent::UserProvided {
                user: user(),
                previous_user: None,
                roles: vec!["dba".to_owned()],
                issuer: issuer(),
                subject: subject(),
                client_addr,
                connection,
            },
            PersonEvent::AuthorizationBegun {
                client_addr,
                connection,
            },
            PersonEvent::AuthorizationOpened {
                browser_addr,
                client_addr,
                connection,
            },
            PersonEvent::AuthorizationAnswered {
                name: user(),
                issuer: issuer(),
                subject: subject(),
                roles: vec!["dba".to_owned()],
                browser_addr,
                client_addr,
                connection,
            },
            PersonEvent::AuthorizationRefused {
                reason: "link-over",
                message: "this link is not valid".to_owned(),
                browser_addr,
                client_addr: None,
                connection: None,
            },
            PersonEvent::UsersRead {
                how: "show",
                user: Some(user()),
                actor: actor(),
            },
            PersonEvent::SignInBegun {
                user: user(),
                sign_in: Uuid::nil(),
                fingerprint: Some(fingerprint()),
                until: UnixSeconds(1_800_000_000),
                method: "local",
                second_factor: "otp",
                client_addr,
                connection: Some(connection),
                via: "ssh",
            },
            PersonEvent::SignInFailed {
                user: None,
                reason: "wrong-answers",
                message: "the password or the code is wrong".to_owned(),
                fingerprint: None,
                client_addr,
                connection: Some(connection),
                via: "ssh",
            },
            PersonEvent::SignInThrottled {
                user: None,
                reason: "source",
                seconds: 600,
                client_addr,
                connection: Some(connection),
                via: "ssh",
            },
            PersonEvent::SignInEnded {
                user: user(),
                sign_in: Uuid::nil(),
                reason: "logout",
                client_addr: Some(client_addr),
                connection: Some(connection),
                actor: None,
            },
            PersonEvent::KeyRegistered {
                user: user(),
                fingerprint: fingerprint(),
                client_addr,
                connection,
            },
            PersonEvent::KeyRemoved {
                user: user(),
                sign_in: Uuid::nil(),
                fingerprint: fingerprint(),
                client_addr,
                connection: Some(connection),
                via: "ssh",
            },
            PersonEvent::PasswordChanged {
                user: user(),
                sign_in: Uuid::nil(),
                client_addr,
                connection: Some(connection),
                via: "ssh",
            },
            PersonEvent::SecondFactorChanged {
                user: user(),
                sign_in: Uuid::nil(),
                client_addr,
                connection,
            },
            PersonEvent::PeopleRefused {
                what: "certificate",
                reason: "not-signed-in",
                client_addr,
                connection: Some(connection),
            },
        ]
    }
}

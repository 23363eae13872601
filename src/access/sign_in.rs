//! The sign-in of a person, as the process with the state confirms it.

use std::time::Duration;

use ssh_key::public::KeyData;
use thiserror::Error;
use uuid::Uuid;

use crate::model::Login;

/// What the process with the state says about a sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfirmedSignIn {
    /// Its id, by which its end is announced.
    pub id: Uuid,
    /// The person's name.
    pub name: String,
    /// The roles that the state gives the person.
    pub roles: Vec<String>,
    /// The logins that the person may use; `None` for all that the roles allow.
    pub logins: Option<Vec<Login>>,
    /// When it began, in seconds since the epoch.
    pub since: u64,
    /// When it expires, in seconds since the epoch.
    pub until: u64,
    /// The number of a change of sign-ins that had been announced before this was confirmed: the
    /// confirmation includes it, and all before it.
    pub known_changes: u64,
}

/// Why a confirmation is no sign-in.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SignInError {
    /// It names no person.
    #[error("the sign-in names no person")]
    NoName,
    /// It is over.
    #[error("the sign-in has expired")]
    Expired,
    /// It ends before it begins, or begins in the future.
    #[error("the sign-in's times contradict each other")]
    Times,
}

/// A sign-in that is in force: this person, with this key, until then.
///
/// A value of this type is made where the answer of the process with the state arrives, for the key
/// that the answer is about, and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    confirmed: ConfirmedSignIn,
    key: KeyData,
}

impl SignIn {
    /// How much earlier than the state's clock this machine's may be, in seconds: the state can be
    /// on another machine.
    const MAX_SKEW: u64 = 5 * 60;

    /// The confirmation for this key, at `now` (seconds since the epoch).
    ///
    /// # Errors
    /// The confirmation is not one for now.
    pub fn new(confirmed: ConfirmedSignIn, key: KeyData, now: u64) -> Result<Self, SignInError> {
        let ConfirmedSignIn {
            name, since, until, ..
        } = &confirmed;
        if name.trim().is_empty() {
            return Err(SignInError::NoName);
        }
        if since > until || *since > now.saturating_add(Self::MAX_SKEW) {
            return Err(SignInError::Times);
        }
        if *until <= now {
            return Err(SignInError::Expired);
        }
        Ok(Self { confirmed, key })
    }

    /// The same sign-in, of a user whom the state has given these roles and logins meanwhile.
    #[must_use]
    pub fn with_access(&self, roles: Vec<String>, logins: Option<Vec<Login>>) -> Self {
        let mut changed = self.clone();
        changed.confirmed.roles = roles;
        changed.confirmed.logins = logins;
        changed
    }

    /// Changes up to this number are included in its roles and logins.
    #[must_use]
    pub fn known_changes(&self) -> u64 {
        self.confirmed.known_changes
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.confirmed.id
    }

    /// The person's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.confirmed.name
    }

    /// The key that has proved itself.
    #[must_use]
    pub fn key(&self) -> &KeyData {
        &self.key
    }

    /// The roles that the state gives the person.
    #[must_use]
    pub fn roles(&self) -> &[String] {
        &self.confirmed.roles
    }

    /// The logins that the person may use; `None` for all that the roles allow.
    #[must_use]
    pub fn logins(&self) -> Option<&[Login]> {
        self.confirmed.logins.as_deref()
    }

    /// When it expires, in seconds since the epoch.
    #[must_use]
    pub fn until(&self) -> u64 {
        self.confirmed.until
    }

    /// How long it lasts in all.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        let ConfirmedSignIn { since, until, .. } = self.confirmed;
        Duration::from_secs(until.saturating_sub(since))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::confirmed;
    use super::*;
    use crate::cert::testing::{NOW, ed25519};

    fn at(now: u64, change: impl FnOnce(&mut ConfirmedSignIn)) -> Result<SignIn, SignInError> {
        let mut answer = confirmed("alice");
        change(&mut answer);
        SignIn::new(answer, ed25519().public_key().key_data().clone(), now)
    }

    #[test]
    fn a_sign_in_is_in_force_until_its_last_second() {
        let until = at(NOW, |_| {}).unwrap().until();
        at(until - 1, |_| {}).unwrap();
        assert_eq!(at(until, |_| {}), Err(SignInError::Expired));
        let lasts = at(NOW, |answer| answer.since = until - 60).map(|it| it.lifetime());
        assert_eq!(lasts, Err(SignInError::Times), "it begins in the future");
        let lasts = at(until - 1, |answer| answer.since = until - 60).unwrap();
        assert_eq!(lasts.lifetime(), Duration::from_secs(60));
    }

    #[test]
    fn what_contradicts_itself_is_no_sign_in() {
        let backwards = at(NOW, |answer| answer.since = answer.until + 1);
        assert_eq!(backwards, Err(SignInError::Times));
        let nameless = at(NOW, |answer| answer.name = " ".to_owned());
        assert_eq!(nameless, Err(SignInError::NoName));
        at(NOW, |answer| answer.since = NOW + SignIn::MAX_SKEW).unwrap();
    }
}

//! Why people are refused: the stable name, what they read, and what they can do.

use std::fmt::Display;

use chrono::DateTime;

use crate::ipc::{PeopleAnswer, PeopleRefusal};
use crate::model::format_duration;

/// A refusal before it is written down: the reason is one of a closed set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// The stable name.
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    pub(super) is_final: bool,
    /// For how many seconds nothing is looked at.
    pub(super) wait: Option<u64>,
}

impl Refused {
    pub(super) fn new(reason: &'static str, message: impl Display) -> Self {
        Self {
            reason,
            message: message.to_string(),
            hint: None,
            is_final: false,
            wait: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The connection has to end.
    pub(super) fn and_end(mut self) -> Self {
        self.is_final = true;
        self
    }

    pub(super) fn key_of_another() -> Self {
        Self::new(
            "key-of-another-user",
            "this key is registered for another person",
        )
        .hint("use a key of your own: ssh-keygen -t ed25519")
    }

    pub(super) fn unfit_key(why: impl Display) -> Self {
        Self::new("unfit-key", format!("this key cannot be used: {why}"))
            .hint("use another key: ssh-keygen -t ed25519")
    }

    pub(super) fn too_many_keys(most: usize) -> Self {
        Self::new(
            "too-many-keys",
            format!("you have {most} registered keys, more are not possible"),
        )
        .hint("sign in with one of them and remove another: ssh NAME@PROXY keys rm FINGERPRINT")
        .and_end()
    }

    pub(super) fn security_key_needed() -> Self {
        Self::new(
            "security-key-needed",
            "a security key is needed, and it has to be touched",
        )
        .hint("use a key of ssh-keygen -t ed25519-sk")
    }

    pub(super) fn no_second_factor() -> Self {
        Self::new(
            "no-second-factor",
            "a second factor is needed, and this account has none",
        )
        .hint("ask an administrator for a new invitation: rproxy users reset NAME")
        .and_end()
    }

    pub(super) fn wrong_answers() -> Self {
        Self::new("sign-in-wrong", "the password or the code is wrong")
    }

    pub(super) fn wrong_password() -> Self {
        Self::new("sign-in-wrong", "the password is wrong")
    }

    pub(super) fn code_spent() -> Self {
        Self::new("code-spent", "this code was used already")
            .hint("wait until your authenticator shows the next code")
    }

    /// `minutes` is positive if the authenticator's clock is ahead.
    pub(super) fn clock_off(minutes: i64) -> Self {
        let direction = if minutes > 0 { "ahead of" } else { "behind" };
        let minutes = minutes.unsigned_abs();
        Self::new(
            "clock-off",
            format!(
                "the code is of another time: the authenticator's clock is about {minutes} min \
                 {direction} the proxy's"
            ),
        )
        .hint("let the telephone set its time automatically; if it is right, tell an administrator")
    }

    /// `until` is in seconds since the epoch.
    pub(super) fn throttled(until: u64, now: u64) -> Self {
        let seconds = until.saturating_sub(now);
        let wait = std::time::Duration::from_secs(seconds);
        let mut refused = Self::new(
            "sign-in-throttled",
            format!(
                "too many wrong answers: try again in {}",
                format_duration(wait)
            ),
        )
        .hint(format!("try again after {}", time(until)))
        .and_end();
        refused.wait = Some(seconds);
        refused
    }

    pub(super) fn invitation() -> Self {
        Self::new(
            "invitation-invalid",
            "the invitation is not valid: it is wrong, was used, or has expired",
        )
        .hint("ask an administrator for a new one: rproxy users reset NAME")
    }

    pub(super) fn gave_up() -> Self {
        Self::new("too-many-tries", "too many tries").and_end()
    }

    pub(super) fn locked() -> Self {
        Self::new("user-locked", "this account is locked")
            .hint("ask an administrator: rproxy users unlock NAME")
            .and_end()
    }

    pub(super) fn sign_in_ended() -> Self {
        Self::new("sign-in-ended", "your sign-in has ended")
            .hint("connect again")
            .and_end()
    }

    /// The sign-in that a certificate was made for: another key may do.
    pub(super) fn certificate_over() -> Self {
        Self::new(
            "sign-in-ended",
            "the sign-in that this certificate was made for has ended",
        )
        .hint("sign in again, and get another one: ssh NAME@PROXY cert")
    }

    pub(super) fn not_signed_in() -> Self {
        Self::new(
            PeopleRefusal::NOT_SIGNED_IN,
            "this connection is not signed in, or the proxy has restarted",
        )
        .hint("connect again")
    }

    pub(super) fn login_not_allowed(login: impl Display) -> Self {
        Self::new(
            "login-not-allowed",
            format!("you may not log in as {login} at any host"),
        )
    }

    pub(super) fn no_logins() -> Self {
        Self::new(
            "no-logins",
            "your roles name no logins, so a certificate would be valid for none",
        )
        .hint("ask an administrator to name your logins: rproxy users add --logins=LOGIN,..")
    }

    pub(super) fn certificate(why: impl Display) -> Self {
        Self::new(
            "certificate",
            format!("no certificate could be signed: {why}"),
        )
        .hint("try again; if it goes on, tell an administrator")
    }

    pub(super) fn one_key() -> Self {
        Self::new(
            "one-key",
            "a certificate for another key was issued on this connection already",
        )
        .hint("connect again")
    }

    pub(super) fn not_used() -> Self {
        Self::new("not-used", "one-time codes are not used here")
    }

    pub(super) fn no_such_key() -> Self {
        Self::new(
            "no-such-key",
            "you have no registered key of this fingerprint",
        )
        .hint("list your keys: ssh NAME@PROXY keys ls")
    }

    pub(super) fn replayed() -> Self {
        Self::new(
            "key-replayed",
            "this signature was made for another connection",
        )
        .and_end()
    }

    pub(super) fn bad_signature() -> Self {
        Self::new("bad-signature", "the signature does not verify").and_end()
    }

    pub(super) fn user_changed() -> Self {
        Self::new(
            "user-changed",
            "the user name may not change on a connection",
        )
        .and_end()
    }

    pub(super) fn out_of_turn() -> Self {
        Self::new("out-of-turn", "there is no such question to answer").and_end()
    }

    pub(super) fn forgotten() -> Self {
        Self::new(
            PeopleRefusal::FORGOTTEN,
            "the proxy does not know any more what it has asked",
        )
        .hint("connect again")
    }

    pub(super) fn long_name() -> Self {
        Self::new("long-name", "the user name is too long").and_end()
    }

    pub(super) fn busy() -> Self {
        Self::new("busy", "too many clients sign in at this moment")
            .hint("try again in a minute")
            .and_end()
    }

    pub(super) fn unavailable() -> Self {
        Self::new(
            "state-unavailable",
            "the state of the proxy cannot be read, so it cannot tell who you are",
        )
        .hint("try again; if it goes on, tell an administrator")
        .and_end()
    }
}

impl From<Refused> for PeopleAnswer {
    fn from(refused: Refused) -> Self {
        Self::Refused(PeopleRefusal {
            reason: refused.reason.to_owned(),
            message: refused.message,
            hint: refused.hint,
            is_final: refused.is_final,
        })
    }
}

/// A moment in seconds since the epoch, for people.
pub(super) fn time(seconds: u64) -> String {
    let time = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    time.map_or_else(
        || "later".to_owned(),
        |time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

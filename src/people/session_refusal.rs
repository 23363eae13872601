//! Why people are refused in a browser in which they sign in.

use std::fmt::Display;

use super::refusal::Refused;
use crate::ipc::{BrowserSessionAnswer, BrowserSessionRefusal, BrowserSessionRefusalKind};

/// The kinds of the reasons. What has none is what the person may not do.
const KINDS: &[(BrowserSessionRefusalKind, &[&str])] = &[
    (BrowserSessionRefusalKind::NotSignedIn, &[NO_SESSION]),
    (
        BrowserSessionRefusalKind::Wrong,
        &["sign-in-wrong", "code-spent", "clock-off"],
    ),
    (
        BrowserSessionRefusalKind::Missing,
        &["no-such-key", "no-such-sign-in"],
    ),
    (BrowserSessionRefusalKind::Unfit, &["unfit-password"]),
    (
        BrowserSessionRefusalKind::Unavailable,
        &["state-unavailable"],
    ),
];

const NO_SESSION: &str = "not-signed-in";

fn kind(refused: &Refused) -> BrowserSessionRefusalKind {
    if let Some(seconds) = refused.wait {
        return BrowserSessionRefusalKind::Throttled(seconds);
    }
    let mut kinds = KINDS.iter();
    let found = kinds.find(|(_, reasons)| reasons.contains(&refused.reason));
    found.map_or(BrowserSessionRefusalKind::Forbidden, |(kind, _)| *kind)
}

impl Refused {
    /// There is no sign-in with the browser's token, or it is over.
    pub(super) fn no_session() -> Self {
        Self::new(
            NO_SESSION,
            "you are not signed in, or your sign-in has ended",
        )
        .hint("sign in")
    }

    pub(super) fn no_such_sign_in() -> Self {
        Self::new(
            "no-such-sign-in",
            "you have no such sign-in, or it has ended",
        )
    }

    pub(super) fn no_such_key_here() -> Self {
        Self::new(
            "no-such-key",
            "you have no registered key of this fingerprint",
        )
    }

    /// Nobody has a password here.
    pub(super) fn no_passwords() -> Self {
        Self::new(
            "no-passwords",
            "nobody has a password here: you sign in at the identity provider, and that begins in a \
             terminal",
        )
        .hint("type: ssh NAME@PROXY login")
    }

    /// The configuration wants a touched security key, and a browser has none.
    pub(super) fn no_security_key_here() -> Self {
        Self::new(
            "security-key-needed",
            "a security key is needed, and it cannot be used in the browser yet",
        )
        .hint("sign in in a terminal: ssh NAME@PROXY login")
    }

    /// The same refusal, where some people have no password. It says so to everybody: whose account is of
    /// which kind is no stranger's business.
    pub(super) fn or_at_the_provider(mut self) -> Self {
        if self.reason == "sign-in-wrong" {
            self.hint = Some(
                "if you sign in at the identity provider, you have no password here: type ssh \
                 NAME@PROXY login"
                    .to_owned(),
            );
        }
        self
    }

    pub(super) fn unfit_password(why: impl Display) -> Self {
        Self::new("unfit-password", why)
    }
}

impl From<Refused> for BrowserSessionAnswer {
    fn from(refused: Refused) -> Self {
        Self::Refused(BrowserSessionRefusal {
            kind: kind(&refused),
            reason: refused.reason.to_owned(),
            message: refused.message,
            hint: refused.hint,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_of_a_browser_has_its_kind() {
        use BrowserSessionRefusalKind as Kind;
        for (refused, expected) in [
            (Refused::no_session(), Kind::NotSignedIn),
            (Refused::wrong_answers(), Kind::Wrong),
            (Refused::wrong_password(), Kind::Wrong),
            (Refused::code_spent(), Kind::Wrong),
            (Refused::clock_off(-3), Kind::Wrong),
            (Refused::no_second_factor(), Kind::Forbidden),
            (Refused::locked(), Kind::Forbidden),
            (Refused::no_passwords(), Kind::Forbidden),
            (Refused::no_security_key_here(), Kind::Forbidden),
            (Refused::account_of_provider(), Kind::Forbidden),
            (Refused::no_such_sign_in(), Kind::Missing),
            (Refused::no_such_key_here(), Kind::Missing),
            (Refused::unfit_password("why"), Kind::Unfit),
            (Refused::throttled(1_100, 1_000), Kind::Throttled(100)),
            (Refused::unavailable(), Kind::Unavailable),
        ] {
            assert_eq!(kind(&refused), expected, "{refused:?}");
        }
    }
}

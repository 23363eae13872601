//! What of the events is counted: for each its class, so that no series depends on what a client does.

use crate::audit::PersonEvent;
use crate::metrics::{AuthMeters, SignInMethod, SignInRefusal, ThrottleCounter};

/// The classes of the reasons for which a client is not signed in. What has no class is `other`.
const CLASSES: &[(SignInRefusal, &[&str])] = &[
    (
        SignInRefusal::Answers,
        &[
            "sign-in-wrong",
            "code-spent",
            "clock-off",
            "too-many-tries",
            "browser-code-wrong",
            "link-over",
            "too-many-links",
        ],
    ),
    (SignInRefusal::Invitation, &["invitation-invalid"]),
    (
        SignInRefusal::Account,
        &[
            "user-locked",
            "no-second-factor",
            "sign-in-ended",
            "no-role",
            "name-unfit",
            "name-taken",
            "other-account",
            "no-sign-up",
            "no-provider",
            "no-passwords",
        ],
    ),
    (
        SignInRefusal::Key,
        &[
            "key-of-another-user",
            "unfit-key",
            "too-many-keys",
            "security-key-needed",
        ],
    ),
    (
        SignInRefusal::Provider,
        &[
            "provider-settings",
            "provider-unreachable",
            "provider-untrusted",
            "provider-refused",
            "provider-answer",
            "provider-token",
            "provider-clock",
            "provider-name",
        ],
    ),
];

fn class(reason: &str) -> SignInRefusal {
    let mut classes = CLASSES.iter();
    let found = classes.find(|(_, reasons)| reasons.contains(&reason));
    found.map_or(SignInRefusal::Other, |(class, _)| *class)
}

fn method(name: &str) -> SignInMethod {
    match name {
        "oidc" => SignInMethod::Oidc,
        _ => SignInMethod::Local,
    }
}

fn counter(name: &str) -> ThrottleCounter {
    match name {
        "source" => ThrottleCounter::Source,
        "everywhere" => ThrottleCounter::Everywhere,
        "key" => ThrottleCounter::Key,
        _ => ThrottleCounter::Account,
    }
}

/// Counts what an event says.
pub(super) fn count(meters: &AuthMeters, event: &PersonEvent) {
    match event {
        PersonEvent::SignInBegun { via: "browser", .. } => {
            meters.sign_ins.add(SignInMethod::Browser, 1);
        }
        PersonEvent::SignInBegun { method: name, .. } => meters.sign_ins.add(method(name), 1),
        PersonEvent::SignInFailed { reason, .. }
        | PersonEvent::AuthorizationRefused { reason, .. } => meters.refusals.add(class(reason), 1),
        PersonEvent::SignInThrottled { reason, .. } => meters.throttled.add(counter(reason), 1),
        PersonEvent::PeopleRefused { .. } => meters.refusals.add(SignInRefusal::Forbidden, 1),
        PersonEvent::UserAdded { .. }
        | PersonEvent::UserChanged { .. }
        | PersonEvent::UserLocked { .. }
        | PersonEvent::UserUnlocked { .. }
        | PersonEvent::UserReset { .. }
        | PersonEvent::UserRemoved { .. }
        | PersonEvent::UserProvided { .. }
        | PersonEvent::AuthorizationBegun { .. }
        | PersonEvent::AuthorizationOpened { .. }
        | PersonEvent::AuthorizationAnswered { .. }
        | PersonEvent::InvitationCreated { .. }
        | PersonEvent::InvitationSpent { .. }
        | PersonEvent::UsersRead { .. }
        | PersonEvent::SignInEnded { .. }
        | PersonEvent::KeyRegistered { .. }
        | PersonEvent::KeyRemoved { .. }
        | PersonEvent::PasswordChanged { .. }
        | PersonEvent::SecondFactorChanged { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::refusal::Refused;
    use super::*;
    use crate::oidc::ProviderError;

    #[test]
    fn every_reason_for_which_a_client_is_not_signed_in_has_a_class() {
        for (refused, expected) in [
            (Refused::wrong_answers(), SignInRefusal::Answers),
            (Refused::wrong_password(), SignInRefusal::Answers),
            (Refused::code_spent(), SignInRefusal::Answers),
            (Refused::clock_off(3), SignInRefusal::Answers),
            (Refused::gave_up(), SignInRefusal::Answers),
            (Refused::invitation(), SignInRefusal::Invitation),
            (Refused::locked(), SignInRefusal::Account),
            (Refused::no_second_factor(), SignInRefusal::Account),
            (Refused::sign_in_ended(), SignInRefusal::Account),
            (Refused::key_of_another(), SignInRefusal::Key),
            (Refused::unfit_key("why"), SignInRefusal::Key),
            (Refused::too_many_keys(20), SignInRefusal::Key),
            (Refused::security_key_needed(), SignInRefusal::Key),
            (Refused::wrong_browser_code(), SignInRefusal::Answers),
            (Refused::link_over(), SignInRefusal::Answers),
            (Refused::too_many_links(), SignInRefusal::Answers),
            (Refused::no_role("alice"), SignInRefusal::Account),
            (Refused::unfit_name("why"), SignInRefusal::Account),
            (Refused::name_taken("alice"), SignInRefusal::Account),
            (Refused::other_account("alice"), SignInRefusal::Account),
            (Refused::no_sign_up(), SignInRefusal::Account),
            (Refused::no_provider(), SignInRefusal::Account),
            (Refused::no_browsers(), SignInRefusal::Account),
            (Refused::no_passwords(), SignInRefusal::Account),
            (Refused::no_security_key_here(), SignInRefusal::Key),
            (
                Refused::provider(&ProviderError::Clock { seconds: 130 }),
                SignInRefusal::Provider,
            ),
        ] {
            assert_eq!(class(refused.reason), expected, "{refused:?}");
        }
        assert_eq!(class("of-a-later-version"), SignInRefusal::Other);
    }

    #[test]
    fn every_counter_of_the_throttle_has_a_series() {
        use crate::metrics::ClosedSet as _;
        for one in ThrottleCounter::ALL {
            assert_eq!(counter(one.values()[0]), *one);
        }
        for (name, expected) in [("local", SignInMethod::Local), ("oidc", SignInMethod::Oidc)] {
            assert_eq!(method(name), expected);
        }
    }
}

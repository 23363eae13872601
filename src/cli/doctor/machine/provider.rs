//! The identity provider: whether it can be used from here now, and what time it has.

use std::time::Duration;

use super::super::checks::{PROVIDER, PROVIDER_CLOCK};
use super::super::report::Finding;
use crate::auth::{self, IdentityProviderError};
use crate::config::Config;
use crate::model::{chain, format_duration};
use crate::oidc::ProviderStatus;

/// By how many seconds its clock may differ. An ID token that is a minute off is refused.
const TOLERANCE: u64 = 30;

/// Asks for its metadata and keys, as the auth process does.
pub(super) fn examine(config: &Config, findings: &mut Vec<Finding>) {
    let Some(oidc) = &config.auth.authentication.oidc else {
        return;
    };
    let issuer = oidc.issuer.as_str();
    match auth::check_provider(config) {
        Ok(Some(status)) => findings.extend(judged(issuer, &status)),
        Ok(None) => {}
        Err(error) => findings.push(unusable(issuer, &error)),
    }
}

fn judged(issuer: &str, status: &ProviderStatus) -> Vec<Finding> {
    let keys = match status.keys {
        0 => {
            let detail = "it has no key that can be used: no ID token of it can be checked";
            let hint = "look at its jwks_uri; keys of RSA, elliptic curves and Ed25519 can be used";
            Finding::error(&PROVIDER, issuer, detail, hint)
        }
        1 => Finding::ok(&PROVIDER, issuer, "answers, and has 1 key"),
        count => Finding::ok(&PROVIDER, issuer, format!("answers, and has {count} keys")),
    };
    let clock = status.ahead.map(|ahead| clock(issuer, ahead));
    [Some(keys), clock].into_iter().flatten().collect()
}

/// `ahead` is by how many seconds the provider's clock is ahead of this machine's.
fn clock(issuer: &str, ahead: i64) -> Finding {
    let apart = ahead.unsigned_abs();
    if apart <= TOLERANCE {
        let detail = format!("{apart} s from this machine's");
        return Finding::ok(&PROVIDER_CLOCK, issuer, detail);
    }
    let direction = if ahead > 0 { "ahead of" } else { "behind" };
    let apart = format_duration(Duration::from_secs(apart));
    let detail = format!("the provider's clock is {apart} {direction} this machine's");
    let hint = "have the clock of this machine kept, if it is this one that is wrong: an ID token \
                that is more than a minute off is refused";
    Finding::error(&PROVIDER_CLOCK, issuer, detail, hint)
}

fn unusable(issuer: &str, error: &IdentityProviderError) -> Finding {
    let hint = error.hint();
    let hint = hint.unwrap_or_else(|| {
        "users who are signed in stay so; others cannot sign in with a browser until it answers"
            .to_owned()
    });
    Finding::error(&PROVIDER, issuer, chain(error), hint)
}

#[cfg(test)]
mod tests {
    use super::super::super::report::Status;
    use super::*;

    #[test]
    fn a_provider_is_judged_by_its_keys_and_its_clock() {
        let found = |keys, ahead| {
            let status = ProviderStatus {
                keys,
                ahead,
                has_userinfo: true,
            };
            let findings = judged("https://id.example.com", &status);
            findings.iter().map(|one| one.status).collect::<Vec<_>>()
        };
        assert_eq!(found(2, None), [Status::Ok]);
        assert_eq!(found(1, Some(-30)), [Status::Ok, Status::Ok]);
        assert_eq!(found(1, Some(31)), [Status::Ok, Status::Error]);
        assert_eq!(found(0, Some(-90)), [Status::Error, Status::Error]);
        let text = clock("https://id.example.com", -90).to_string();
        assert!(text.contains("1m30s behind this machine's"), "{text}");
    }
}

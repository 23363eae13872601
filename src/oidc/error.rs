//! Why a provider could not be used, for the log and for the person who waits.

use thiserror::Error;

use crate::model::format_duration;
use crate::model::text::Printable;

/// Longest text of a provider in an error, in bytes.
const MAX_SHOWN: usize = 200;

/// Why a provider could not be used. The text is for the log; [`Self::message`] and [`Self::hint`] are
/// for the person who signs in. What the provider has sent is in it as one bounded line, and no secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProviderError {
    /// The configuration has something that cannot be used.
    #[error("the settings of the identity provider cannot be used: {0}")]
    Settings(String),
    /// There is no connection, or it broke.
    #[error("the identity provider {host} cannot be reached: {reason}")]
    Unreachable {
        /// The host and the port.
        host: String,
        /// What the operating system says.
        reason: String,
    },
    /// The certificate of TLS is not one that is trusted, or TLS failed otherwise.
    #[error(
        "the identity provider {host} cannot be trusted: {reason}; if its certificate is of an \
         authority of your own, name that in ca_file"
    )]
    Untrusted {
        /// The host and the port.
        host: String,
        /// What TLS says.
        reason: String,
    },
    /// An answer did not come in time.
    #[error("the identity provider {host} did not answer within {seconds} s")]
    TooSlow {
        /// The host and the port.
        host: String,
        /// How long it had.
        seconds: u64,
    },
    /// The provider has refused, with an error of OAuth (RFC 6749, sections 4.1.2.1 and 5.2).
    #[error("the identity provider refuses: {error}{}", described(.description.as_ref()))]
    Refused {
        /// The name of the error, such as `invalid_client`.
        error: String,
        /// What the provider says about it.
        description: Option<String>,
    },
    /// An answer is not what it should be.
    #[error("the identity provider's {of} cannot be used: {what}")]
    BadAnswer {
        /// Which answer.
        of: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// The ID token has failed a check.
    #[error("the identity provider's ID token is refused: {0}")]
    Token(TokenFault),
    /// The clocks of the proxy and of the provider differ too much. Positive: the provider's is ahead.
    #[error(
        "the proxy's clock is {} {} the identity provider's: set both by NTP",
        seconds_of(*.seconds),
        direction(*.seconds)
    )]
    Clock {
        /// By how many seconds.
        seconds: i64,
    },
    /// The browser came back from another provider (RFC 9207).
    #[error("the browser came back from another identity provider: {0}")]
    OtherProvider(String),
    /// There is no name for people to read.
    #[error(
        "the identity provider has sent no claim \"{claim}\": let it send one, or set name_claim to \
         a claim that it sends"
    )]
    NoName {
        /// The claim that should have it.
        claim: String,
    },
    /// The name would be an address of mail that the provider has not verified.
    #[error(
        "the identity provider has not verified the address of mail (email_verified), so it is no name"
    )]
    UnverifiedEmail,
}

/// Which check an ID token has failed (OpenID Connect Core 1.0, section 3.1.3.7).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TokenFault {
    /// It is no signed token, or has something in its header that is not supported.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// It is not signed, or not by a key of the provider.
    #[error("it is not signed with an algorithm of RS, PS, ES or EdDSA")]
    Algorithm,
    /// No key of the provider has the id and the kind.
    #[error("it is signed by a key that the provider does not publish for this algorithm")]
    UnknownKey,
    /// Several keys may be meant.
    #[error("it names no key, and the provider publishes several")]
    AmbiguousKey,
    /// The key cannot be used.
    #[error("the provider's key cannot be used: {0}")]
    UnfitKey(String),
    /// The signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// It is of another issuer.
    #[error("it is of another issuer (iss)")]
    Issuer,
    /// It is for another client.
    #[error("it is for another client (aud)")]
    Audience,
    /// It was issued to another client, or for several without saying to which.
    #[error("it was issued to another client (azp)")]
    AuthorizedParty,
    /// It is of another authorization.
    #[error("it is of another authorization (nonce)")]
    Nonce,
    /// It has expired.
    #[error("it expired {0} s ago (exp)")]
    Expired(u64),
    /// It was issued in the future.
    #[error("it was issued {0} s in the future (iat)")]
    InFuture(u64),
    /// It is not valid yet.
    #[error("it is valid in {0} s (nbf)")]
    NotYet(u64),
    /// The access token beside it is another one.
    #[error("the access token is not the one that it names (at_hash)")]
    AccessToken,
    /// The subject is missing, too long, or cannot be shown.
    #[error("its subject is not 1 to 255 printable bytes (sub)")]
    Subject,
}

impl ProviderError {
    /// A refusal as the provider has worded it, in an answer or through the browser.
    #[must_use]
    pub fn refused(error: &str, description: Option<&str>) -> Self {
        Self::Refused {
            error: shown(error),
            description: description.map(shown),
        }
    }

    /// What the person reads: one sentence without names of claims and protocols.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Settings(_) => "the proxy cannot use the identity provider".to_owned(),
            Self::Unreachable { host, .. } => {
                format!("the identity provider {host} cannot be reached")
            }
            Self::Untrusted { host, .. } => {
                format!("the proxy does not trust the certificate of the identity provider {host}")
            }
            Self::TooSlow { host, .. } => {
                format!("the identity provider {host} does not answer")
            }
            Self::Refused { error, .. } if error == "access_denied" => {
                "the identity provider says that you or it refused".to_owned()
            }
            Self::Refused { error, .. } => format!("the identity provider refuses ({error})"),
            Self::BadAnswer { of, .. } => format!("the identity provider's {of} cannot be used"),
            Self::Token(fault) => format!("the identity provider's answer is refused: {fault}"),
            Self::Clock { seconds } => format!(
                "the proxy's clock is {} {} the identity provider's",
                seconds_of(*seconds),
                direction(*seconds)
            ),
            Self::OtherProvider(_) => {
                "the browser came back from another identity provider".to_owned()
            }
            Self::NoName { claim } => {
                format!("the identity provider has not told your name (\"{claim}\")")
            }
            Self::UnverifiedEmail => {
                "the identity provider has not verified your address of mail".to_owned()
            }
        }
    }

    /// What the person can do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } | Self::TooSlow { .. } => {
                "try again later; if it lasts, tell an administrator"
            }
            Self::Refused { error, .. } if error == "access_denied" => {
                "connect again, and sign in there; if that is refused, ask an administrator of the \
                 identity provider"
            }
            Self::Token(_) | Self::OtherProvider(_) => {
                "connect again and follow the new link; if it happens again, tell an administrator"
            }
            Self::Clock { .. } => "tell an administrator: both clocks have to be right",
            Self::UnverifiedEmail => "let the identity provider verify it, then connect again",
            Self::Settings(_)
            | Self::Untrusted { .. }
            | Self::Refused { .. }
            | Self::BadAnswer { .. }
            | Self::NoName { .. } => {
                "tell an administrator: rproxy doctor and the proxy's log say more"
            }
        }
    }
}

/// A text of the provider, or about it, as one bounded line.
pub(super) fn shown(text: &str) -> String {
    Printable(text).within(MAX_SHOWN)
}

fn described(description: Option<&String>) -> String {
    description.map_or_else(String::new, |text| format!(" ({text})"))
}

fn seconds_of(seconds: i64) -> String {
    format_duration(std::time::Duration::from_secs(seconds.unsigned_abs()))
}

fn direction(provider_ahead: i64) -> &'static str {
    if provider_ahead > 0 {
        "behind"
    } else {
        "ahead of"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_told_with_its_direction() {
        let behind = ProviderError::Clock { seconds: 130 };
        assert!(behind.message().contains("2m10s behind"), "{behind}");
        let ahead = ProviderError::Clock { seconds: -45 };
        assert!(ahead.to_string().contains("45s ahead of"), "{ahead}");
    }
}

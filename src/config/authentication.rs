//! The section `auth_service.authentication`: how people prove to the proxy who they are.

use std::time::Duration;

use super::key::{DefaultValue, Key, ValueType};
use super::oidc::{self, Oidc};
use super::scalar::{Composite, DURATION, Scalar};
use super::table::{OnReload, Protection, section};
use super::value::expected;
use crate::model::format_in_one_unit;
use crate::people::RequiredFactor;

section! {
    AUTHENTICATION = "auth_service.authentication", Authentication,
    "How people prove to the proxy who they are.", [Clone] {
        AUTHENTICATION_TYPE = "type" => types: Vec<AuthenticationType> {
            value: TYPES,
            default: DefaultValue::Value("certificate"),
            reload: OnReload::NeedsRestart,
            protection: Protection::Weaker(|old, new| new.iter().any(|one| !old.contains(one))),
            doc: "\"certificate\": only with certificates of the user CA, as auth sign makes them. \
                  \"local\": the users of `rproxy users` sign in with their key, a password and a \
                  second factor. \"oidc\": users sign in with their key and, in a browser, at an \
                  OpenID Connect provider. With both, certificates of the user CA are accepted \
                  too.",
        }
        SECOND_FACTOR = "second_factor" => second_factor: RequiredFactor {
            value: FACTOR,
            default: DefaultValue::Value("otp"),
            reload: OnReload::NeedsRestart,
            protection: Protection::Weaker(|old, new| new < old),
            doc: "What users of type \"local\" need besides their key and their password. \"otp\": a \
                  one-time code of an authenticator app. \"webauthn\": a key on a security key that \
                  has to be touched (ed25519-sk, ecdsa-sk). \"any\": one of the two. \"off\": \
                  nothing.",
        }
        SIGN_IN_TTL = "sign_in_ttl" => sign_in_ttl: Duration {
            value: DURATION.shown_by(|span| format_in_one_unit(*span)),
            default: DefaultValue::Value("12h"),
            reload: OnReload::NeedsRestart,
            protection: Protection::Weaker(|old, new| new > old),
            doc: "How long a sign-in is valid. Until then, the same key needs no password, no second \
                  factor and no browser.",
        }
        OIDC = "oidc" => oidc: Option<Oidc> {
            value: oidc::PROVIDER,
            default: DefaultValue::Nothing,
            reload: OnReload::NeedsRestart,
            protection: Protection::Weaker(oidc::admits_more),
            doc: "The OpenID Connect provider of type \"oidc\". The redirect URL to register there is \
                  https://HOST:PORT/webapi/oidc/callback, with proxy_service.web_public_addr.",
        }
    }
}

impl Authentication {
    /// Whether people sign in with a password that the state has.
    #[must_use]
    pub fn has_local(&self) -> bool {
        self.types.contains(&AuthenticationType::Local)
    }

    /// Whether people sign in at a provider of OpenID Connect. Then there is `oidc`.
    #[must_use]
    pub fn has_oidc(&self) -> bool {
        self.types.contains(&AuthenticationType::Oidc)
    }

    /// Whether people sign in, in one way or another.
    #[must_use]
    pub fn has_sign_in(&self) -> bool {
        self.has_local() || self.has_oidc()
    }
}

/// An item of `auth_service.authentication.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticationType {
    /// With a certificate of the user CA.
    Certificate,
    /// With a key, a password and a second factor.
    Local,
    /// With a key, and in a browser at a provider of OpenID Connect.
    Oidc,
}

/// One word, or a list of words.
const TYPES: Composite<Vec<AuthenticationType>> = Composite {
    form: ValueType::Text("\"certificate\", \"local\", \"oidc\", or a list of them"),
    read: |section, key, diagnostics| {
        if section.is_empty(key, diagnostics) {
            return None;
        }
        let read = |text: &str| authentication_type(key, text);
        let types = if section.is_list(key) {
            section.texts(
                key,
                "\"certificate\", \"local\" or \"oidc\"",
                read,
                diagnostics,
            )
        } else {
            section.value(key, read, diagnostics).into_iter().collect()
        };
        let mut distinct = Vec::new();
        for one in types {
            if distinct.contains(&one.value) {
                diagnostics.error(one.place, &section.path_to(key.name), "given twice");
            }
            distinct.push(one.value);
        }
        (!distinct.is_empty()).then_some(distinct)
    },
    print: |key, types| {
        let words: Vec<&str> = types.iter().map(|one| type_word(*one)).collect();
        let value = match words.as_slice() {
            [word] => (*word).to_owned(),
            words => format!("[{}]", words.join(", ")),
        };
        vec![format!("{}: {value}", key.name)]
    },
    show: |types| {
        let words: Vec<&str> = types.iter().map(|one| type_word(*one)).collect();
        words.join(", ")
    },
};

const fn type_word(one: AuthenticationType) -> &'static str {
    match one {
        AuthenticationType::Certificate => "certificate",
        AuthenticationType::Local => "local",
        AuthenticationType::Oidc => "oidc",
    }
}

fn authentication_type(key: &Key, text: &str) -> Result<AuthenticationType, String> {
    match text {
        "certificate" => Ok(AuthenticationType::Certificate),
        "local" => Ok(AuthenticationType::Local),
        "oidc" => Ok(AuthenticationType::Oidc),
        _ => Err(expected(key, text)),
    }
}

const FACTOR: Scalar<RequiredFactor> = Scalar::new(
    ValueType::Choice(&["off", "otp", "webauthn", "any"]),
    second_factor,
    |factor| {
        match factor {
            RequiredFactor::Off => "off",
            RequiredFactor::Otp => "otp",
            RequiredFactor::Webauthn => "webauthn",
            RequiredFactor::Any => "any",
        }
        .to_owned()
    },
)
.quoted()
.risky(|factor| {
    (*factor == RequiredFactor::Off)
        .then_some("users of type \"local\" sign in with a key and a password alone")
});

fn second_factor(key: &Key, text: &str) -> Result<RequiredFactor, String> {
    match text {
        "off" => Ok(RequiredFactor::Off),
        "otp" => Ok(RequiredFactor::Otp),
        "webauthn" => Ok(RequiredFactor::Webauthn),
        "any" => Ok(RequiredFactor::Any),
        _ => Err(expected(key, text)),
    }
}

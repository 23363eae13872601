//! The provider: where to send a browser, and what its answer proves.

use std::sync::Arc;
use std::time::Duration;

use openidconnect::core::{CoreAuthenticationFlow, CoreClientAuthMethod};
use openidconnect::{
    AccessToken, AuthType, AuthorizationCode, ClientId, CsrfToken, IssuerUrl, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError,
    Scope, SubjectIdentifier, TokenResponse as _, UserInfoError, UserInfoUrl,
};

use super::authorization::Authorization;
use super::claims::{self, Claims};
use super::discovery::{Discovery, KnownProvider};
use super::error::{ProviderError, TokenFault, shown};
use super::http::{Errand, Http, Patience};
use super::id_token::{ExpectedToken, TOLERANCE};
use super::messages::{IdToken, ProviderClient, TokenAnswer, TokenRefusal, UserClaims};
use super::settings::ProviderSettings;
use super::subject::VerifiedSubject;
use crate::model::text::is_printable;
use crate::sys::clock::{self, Clock};

/// Longest code and longest access token that are taken, in bytes.
const MAX_CODE: usize = 4096;
const MAX_ACCESS_TOKEN: usize = 64 * 1024;
/// The scope without which it is not OpenID Connect.
const OPENID: &str = "openid";

/// A provider of OpenID Connect. All calls block; several threads may call at once.
#[derive(Debug)]
pub struct Provider {
    settings: ProviderSettings,
    issuer: IssuerUrl,
    redirect_url: RedirectUrl,
    http: Http,
    discovery: Discovery,
    clock: Clock,
}

/// How a provider is, for diagnostics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProviderStatus {
    /// How many of its keys can be used.
    pub keys: usize,
    /// By how many seconds its clock is ahead of this machine's, if it has told the time.
    pub ahead: Option<i64>,
    /// Whether it has an endpoint for claims that are not in the ID token.
    pub has_userinfo: bool,
}

impl Provider {
    /// A provider with these settings. Sends nothing yet.
    ///
    /// # Errors
    /// If a setting cannot be used.
    pub fn new(settings: ProviderSettings, clock: Clock) -> Result<Self, ProviderError> {
        Self::with(settings, clock, Patience::default(), clock::monotonic)
    }

    pub(super) fn with(
        settings: ProviderSettings,
        clock: Clock,
        patience: Patience,
        elapsed: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Result<Self, ProviderError> {
        let wrong = |what: &str| ProviderError::Settings(what.to_owned());
        if settings.client_id.is_empty() || !is_printable(&settings.client_id) {
            return Err(wrong("client_id is not one line"));
        }
        if settings.name_claim.is_empty() {
            return Err(wrong("name_claim is empty"));
        }
        let Ok(issuer) = IssuerUrl::new(settings.issuer.as_str().to_owned()) else {
            return Err(wrong("issuer is no URL"));
        };
        let Ok(redirect_url) = RedirectUrl::new(settings.redirect_url.clone()) else {
            return Err(wrong("the address to come back to is no URL"));
        };
        Ok(Self {
            http: Http::new(&settings.issuer, &settings.roots, clock, patience),
            discovery: Discovery::new(issuer.clone(), elapsed),
            settings,
            issuer,
            redirect_url,
            clock,
        })
    }

    /// A new authorization. Asks the provider for its metadata if they are not known, so that one that
    /// is down is noticed before a person follows a link.
    ///
    /// # Errors
    /// If the provider cannot be used.
    pub fn authorization(&self) -> Result<Authorization, ProviderError> {
        self.discovery.known(&self.http.errand())?;
        Ok(Authorization::random())
    }

    /// Where the browser has to go.
    ///
    /// # Errors
    /// If the provider cannot be used.
    pub fn url_of(&self, pending: &Authorization) -> Result<String, ProviderError> {
        let known = self.discovery.known(&self.http.errand())?;
        let client = self.client(&known)?;
        let verifier = PkceCodeVerifier::new(pending.verifier.to_string());
        let scopes = self.settings.scopes.iter();
        let scopes = scopes.filter(|scope| *scope != OPENID);
        let state = CsrfToken::new(pending.state.to_string());
        let nonce = Nonce::new(pending.nonce.to_string());
        let (url, _state, _nonce) = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                || state,
                || nonce,
            )
            .add_scopes(scopes.map(|scope| Scope::new(scope.clone())))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .url();
        Ok(url.into())
    }

    /// Redeems the code with which the browser has come back, and checks whom the provider vouches for.
    /// `iss` is the parameter of that name, if the browser has brought it.
    ///
    /// # Errors
    /// If the provider cannot be used, refuses, or its answer fails a check.
    pub fn redeem(
        &self,
        pending: &Authorization,
        code: &str,
        iss: Option<&str>,
    ) -> Result<VerifiedSubject, ProviderError> {
        let errand = self.http.errand();
        let known = self.discovery.known(&errand)?;
        self.check_issuer(&known, iss)?;
        if code.is_empty() || code.len() > MAX_CODE || !is_printable(code) {
            return Err(bad("answer in the browser", "it has no usable code"));
        }
        let answer = self.exchange(&errand, &known, pending, code)?;
        let Some(token) = answer.id_token() else {
            return Err(bad("token answer", "there is no ID token in it"));
        };
        let checked = self.check_token(&errand, &known, pending, token, answer.access_token());
        let mut claims = checked?;
        let subject = claims::subject(&claims).map_err(ProviderError::Token)?;
        let (name_claim, table) = (&self.settings.name_claim, &self.settings.claims_to_roles);
        if claims::lacks_any(&claims, name_claim, table)
            && let Some(endpoint) = known.metadata.userinfo_endpoint()
        {
            let more =
                self.user_info(&errand, &known, endpoint, answer.access_token(), &subject)?;
            for (claim, value) in more {
                claims.entry(claim).or_insert(value);
            }
        }
        let name = claims::name(&claims, name_claim)?;
        let roles = claims::roles(&claims, table);
        let issuer = self.settings.issuer.as_str().to_owned();
        Ok(VerifiedSubject::new(issuer, subject, name, roles))
    }

    /// Asks the provider for its metadata and its keys, whatever is known of them.
    ///
    /// # Errors
    /// If the provider cannot be used.
    pub fn check(&self) -> Result<ProviderStatus, ProviderError> {
        let known = self.discovery.fetched(&self.http.errand())?;
        Ok(ProviderStatus {
            keys: known.keys.keys().len(),
            ahead: self.http.ahead(),
            has_userinfo: known.metadata.userinfo_endpoint().is_some(),
        })
    }

    /// The browser has to come back from this provider and no other (RFC 9207, section 2.4).
    fn check_issuer(&self, known: &KnownProvider, iss: Option<&str>) -> Result<(), ProviderError> {
        let announced = known
            .metadata
            .additional_metadata()
            .authorization_response_iss_parameter_supported;
        match iss {
            Some(iss) if iss == self.settings.issuer.as_str() => Ok(()),
            Some(other) => Err(ProviderError::OtherProvider(shown(other))),
            None if announced => Err(ProviderError::OtherProvider("it names none".to_owned())),
            None => Ok(()),
        }
    }

    /// A client with the secret in it. It is made for each use: its types do not wipe what they had.
    fn client(&self, known: &KnownProvider) -> Result<ProviderClient, ProviderError> {
        let metadata = &known.metadata;
        let Some(token) = metadata.token_endpoint() else {
            return Err(bad("metadata", "it names no token_endpoint"));
        };
        let id = ClientId::new(self.settings.client_id.clone());
        let client = openidconnect::Client::new(id, self.issuer.clone(), known.keys.clone())
            .set_auth_uri(metadata.authorization_endpoint().clone())
            .set_token_uri(token.clone())
            .set_redirect_uri(self.redirect_url.clone());
        let Some(secret) = &self.settings.client_secret else {
            return Ok(client);
        };
        let methods = metadata.token_endpoint_auth_methods_supported();
        let knows = |method| methods.is_some_and(|methods| methods.contains(&method));
        let in_body = knows(CoreClientAuthMethod::ClientSecretPost)
            && !knows(CoreClientAuthMethod::ClientSecretBasic);
        let secret = openidconnect::ClientSecret::new(secret.expose().to_owned());
        Ok(client
            .set_client_secret(secret)
            .set_auth_type(match in_body {
                true => AuthType::RequestBody,
                false => AuthType::BasicAuth,
            }))
    }

    fn exchange(
        &self,
        errand: &Errand<'_>,
        known: &KnownProvider,
        pending: &Authorization,
        code: &str,
    ) -> Result<TokenAnswer, ProviderError> {
        let client = self.client(known)?;
        let answer = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(pending.verifier.to_string()))
            .request(errand);
        let secret = self.settings.client_secret.as_ref();
        let secret = secret.map_or("", |secret| secret.expose());
        let secrets = [secret, code, &pending.verifier, &pending.nonce];
        answer.map_err(|error| not_redeemed(error, &secrets))
    }

    /// Checks the token; if it fits no key, with newer keys once more.
    fn check_token(
        &self,
        errand: &Errand<'_>,
        known: &Arc<KnownProvider>,
        pending: &Authorization,
        token: &IdToken,
        access_token: &AccessToken,
    ) -> Result<Claims, ProviderError> {
        let check = |known: &KnownProvider| {
            let expected = ExpectedToken {
                issuer: self.issuer.clone(),
                client_id: &self.settings.client_id,
                keys: &known.keys,
                nonce: &pending.nonce,
                access_token,
                now: i64::try_from(self.clock.unix_seconds()).unwrap_or(i64::MAX),
            };
            expected.check(token)
        };
        let checked = match check(known) {
            Err(
                fault @ (TokenFault::UnknownKey | TokenFault::AmbiguousKey | TokenFault::Signature),
            ) => match self.discovery.with_newer_keys(known, errand)? {
                Some(newer) => check(&newer),
                None => Err(fault),
            },
            checked => checked,
        };
        checked.map_err(|fault| self.token_refused(fault))
    }

    /// A fault of times is told as one of the clocks, if the provider's last answer was of another time.
    fn token_refused(&self, fault: TokenFault) -> ProviderError {
        let ahead = self.http.ahead();
        match fault {
            TokenFault::InFuture(_) | TokenFault::NotYet(_) | TokenFault::Expired(_) => {
                match (ahead, &fault) {
                    (Some(seconds), _) if seconds.abs() > TOLERANCE => {
                        ProviderError::Clock { seconds }
                    }
                    (None, TokenFault::InFuture(seconds)) => ProviderError::Clock {
                        seconds: i64::try_from(*seconds).unwrap_or(i64::MAX),
                    },
                    _ => ProviderError::Token(fault),
                }
            }
            fault => ProviderError::Token(fault),
        }
    }

    /// The claims of the userinfo endpoint, of this person (OpenID Connect Core 1.0, section 5.3).
    fn user_info(
        &self,
        errand: &Errand<'_>,
        known: &KnownProvider,
        endpoint: &UserInfoUrl,
        token: &AccessToken,
        subject: &str,
    ) -> Result<Claims, ProviderError> {
        // The crate would panic on a token that fits in no header.
        let secret = token.secret();
        if secret.len() > MAX_ACCESS_TOKEN || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad("token answer", "its access token cannot be sent"));
        }
        let client = self.client(known)?.set_user_info_url(endpoint.clone());
        let subject = SubjectIdentifier::new(subject.to_owned());
        let answer: Result<UserClaims, _> = client
            .user_info(token.clone(), Some(subject))
            .request(errand);
        let of_nothing = |_: serde_json::Error| bad("userinfo", "it is no JSON object");
        let answer = answer.map_err(not_told)?;
        let mut claims = serde_json::to_value(answer.standard_claims()).map_err(of_nothing)?;
        let others = serde_json::to_value(answer.additional_claims()).map_err(of_nothing)?;
        let (Some(claims), serde_json::Value::Object(others)) = (claims.as_object_mut(), others)
        else {
            return Err(bad("userinfo", "it is no JSON object"));
        };
        claims.extend(others);
        Ok(std::mem::take(claims))
    }
}

fn bad(of: &'static str, what: &str) -> ProviderError {
    ProviderError::BadAnswer {
        of,
        what: shown(what),
    }
}

fn not_redeemed(
    error: RequestTokenError<ProviderError, TokenRefusal>,
    secrets: &[&str],
) -> ProviderError {
    const OF: &str = "token answer";
    match error {
        RequestTokenError::Request(ProviderError::BadAnswer { what, .. }) => bad(OF, &what),
        RequestTokenError::Request(error) => error,
        RequestTokenError::ServerResponse(refusal) => ProviderError::refused(
            &without(refusal.error().as_ref(), secrets),
            refusal
                .error_description()
                .map(|text| without(text, secrets))
                .as_deref(),
        ),
        RequestTokenError::Parse(_, body) => match unreadable_token(&body) {
            Some(fault) => ProviderError::Token(fault),
            // What the parser says may have a part of it.
            None => bad(OF, "it is not as RFC 6749 has it"),
        },
        RequestTokenError::Other(what) => bad(OF, &without(&what, secrets)),
    }
}

/// Why the ID token of an answer cannot be read, if that is what is wrong with the answer.
fn unreadable_token(body: &[u8]) -> Option<TokenFault> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let token: Result<IdToken, _> = answer.get("id_token")?.as_str()?.parse();
    token.err().map(|error| misread(&error.to_string()))
}

/// Why an ID token could not be read. What the parser says may have a part of it, and is not shown.
fn misread(said: &str) -> TokenFault {
    let missing = said
        .split_once("missing field `")
        .and_then(|(_, rest)| rest.split_once('`'));
    match missing {
        Some(("sub", _)) => TokenFault::Subject,
        Some((claim, _)) => TokenFault::Unreadable(format!("it has no \"{}\"", shown(claim))),
        None if said.contains("unrecognized JSON Web Algorithm") => TokenFault::Algorithm,
        None => TokenFault::Unreadable("it is no JSON Web Token with claims".to_owned()),
    }
}

fn not_told(error: UserInfoError<ProviderError>) -> ProviderError {
    const OF: &str = "userinfo";
    match error {
        UserInfoError::Request(ProviderError::BadAnswer { what, .. }) => bad(OF, &what),
        UserInfoError::Request(error) => error,
        UserInfoError::ClaimsVerification(_) => bad(OF, "it is about another person (sub)"),
        UserInfoError::Parse(error) => {
            bad(OF, &format!("it is not as expected at {}", error.path()))
        }
        UserInfoError::Response(status, _, _) => {
            bad(OF, &format!("HTTP status {}", status.as_u16()))
        }
        other => bad(OF, &other.to_string()),
    }
}

/// A text of the provider without what only this program and the provider know, which it may repeat.
fn without(text: &str, secrets: &[&str]) -> String {
    let secrets = secrets.iter().filter(|secret| !secret.is_empty());
    secrets.fold(text.to_owned(), |text, secret| {
        text.replace(secret, "[...]")
    })
}

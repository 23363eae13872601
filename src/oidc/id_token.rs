//! The check of an ID token (OpenID Connect Core 1.0, section 3.1.3.7).
//!
//! The crate checks the signature, the algorithm, `iss`, that `aud` has this client, and the nonce. It
//! leaves `azp`, `iat`, `nbf` and `at_hash` to its callers, and knows no tolerance for `exp`: these are
//! checked here, once the signature is right.

use chrono::DateTime;
use openidconnect::core::{CoreIdTokenVerifier, CoreJsonWebKeySet, CoreJwsSigningAlgorithm};
use openidconnect::{
    AccessToken, AccessTokenHash, ClaimsVerificationError, ClientId, IssuerUrl, Nonce,
    SignatureVerificationError,
};
use serde_json::Value;

use super::claims::Claims;
use super::error::{TokenFault, shown};
use super::messages::IdToken;

/// By how much the clocks of two machines may differ, in seconds.
pub(super) const TOLERANCE: i64 = 60;

/// The algorithms that are accepted: all that sign with a private key, and none that needs a secret
/// which both sides know.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// What an ID token is compared with.
#[derive(Debug)]
pub(super) struct ExpectedToken<'a> {
    pub(super) issuer: IssuerUrl,
    pub(super) client_id: &'a str,
    /// Those of the provider's keys that may sign.
    pub(super) keys: &'a CoreJsonWebKeySet,
    pub(super) nonce: &'a str,
    /// The token that came along.
    pub(super) access_token: &'a AccessToken,
    /// Seconds since the epoch.
    pub(super) now: i64,
}

impl ExpectedToken<'_> {
    /// The claims of a token that is what was expected.
    pub(super) fn check(&self, token: &IdToken) -> Result<Claims, TokenFault> {
        let client = ClientId::new(self.client_id.to_owned());
        // A public client's verifier has no secret with which a token could be made.
        let verifier =
            CoreIdTokenVerifier::new_public_client(client, self.issuer.clone(), self.keys.clone())
                .set_allowed_algs(ALGORITHMS)
                .set_other_audience_verifier_fn(|_other| true)
                .set_time_fn(|| DateTime::UNIX_EPOCH);
        let nonce = Nonce::new(self.nonce.to_owned());
        let claims = token.claims(&verifier, &nonce).map_err(failed)?;
        if let Some(hash) = claims.access_token_hash() {
            let algorithm = token.signing_alg().map_err(not_signed)?;
            let key = token.signing_key(&verifier).map_err(not_signed)?;
            let actual = AccessTokenHash::from_token(self.access_token, algorithm, key);
            if actual.ok().as_ref() != Some(hash) {
                return Err(TokenFault::AccessToken);
            }
        }
        let (issued, expires) = (claims.issue_time(), claims.expiration());
        let claims = as_map(serde_json::to_value(claims))?;
        self.check_party(&claims)?;
        self.check_times(issued.timestamp(), expires.timestamp(), claims.get("nbf"))?;
        Ok(claims)
    }

    /// For whom it is: `azp` has to be this client, and has to be there if `aud` has others too.
    fn check_party(&self, claims: &Claims) -> Result<(), TokenFault> {
        let audiences = claims.get("aud").and_then(Value::as_array);
        let several = audiences.is_none_or(|audiences| audiences.len() > 1);
        match claims.get("azp") {
            None if several => Err(TokenFault::AuthorizedParty),
            None => Ok(()),
            Some(party) if party == self.client_id => Ok(()),
            Some(_) => Err(TokenFault::AuthorizedParty),
        }
    }

    fn check_times(
        &self,
        issued: i64,
        expires: i64,
        not_before: Option<&Value>,
    ) -> Result<(), TokenFault> {
        let until = |moment: i64| moment.saturating_sub(self.now);
        if until(issued) > TOLERANCE {
            return Err(TokenFault::InFuture(until(issued).unsigned_abs()));
        }
        if let Some(begins) = not_before.map(seconds).transpose()?
            && until(begins) > TOLERANCE
        {
            return Err(TokenFault::NotYet(until(begins).unsigned_abs()));
        }
        if until(expires) < -TOLERANCE {
            return Err(TokenFault::Expired(until(expires).unsigned_abs()));
        }
        Ok(())
    }
}

/// Whole seconds since the epoch (a JSON number, RFC 7519, section 2).
fn seconds(value: &Value) -> Result<i64, TokenFault> {
    let whole = value.as_i64();
    let whole = whole.or_else(|| {
        let text = value.as_number()?.to_string();
        text.split('.').next()?.parse().ok()
    });
    whole.ok_or_else(|| unreadable("a time in it is no number"))
}

fn as_map(value: Result<Value, serde_json::Error>) -> Result<Claims, TokenFault> {
    match value {
        Ok(Value::Object(claims)) => Ok(claims),
        Ok(_) | Err(_) => Err(unreadable("its claims are no JSON object")),
    }
}

fn unreadable(why: &str) -> TokenFault {
    TokenFault::Unreadable(shown(why))
}

fn failed(error: ClaimsVerificationError) -> TokenFault {
    match error {
        ClaimsVerificationError::InvalidIssuer(_) => TokenFault::Issuer,
        ClaimsVerificationError::InvalidAudience(_) => TokenFault::Audience,
        ClaimsVerificationError::InvalidNonce(_) => TokenFault::Nonce,
        ClaimsVerificationError::SignatureVerification(error) => not_signed(error),
        // The clock that it was given stands at the epoch.
        ClaimsVerificationError::Expired(_) => unreadable("it expired before 1970"),
        other => unreadable(&other.to_string()),
    }
}

fn not_signed(error: SignatureVerificationError) -> TokenFault {
    match error {
        SignatureVerificationError::NoSignature
        | SignatureVerificationError::DisallowedAlg(_)
        | SignatureVerificationError::UnsupportedAlg(_) => TokenFault::Algorithm,
        SignatureVerificationError::NoMatchingKey => TokenFault::UnknownKey,
        SignatureVerificationError::AmbiguousKeyId(_) => TokenFault::AmbiguousKey,
        SignatureVerificationError::InvalidKey(why) => TokenFault::UnfitKey(shown(&why)),
        _ => TokenFault::Signature,
    }
}

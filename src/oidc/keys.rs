//! The keys of a provider that may sign an ID token.

use openidconnect::core::{CoreJsonWebKey, CoreJsonWebKeySet, CoreJsonWebKeyType};
use openidconnect::{JsonWebKey as _, JsonWebKeyUse as _};
use serde_json::Value;

/// Shortest modulus of RSA, in bits (RFC 7518, section 3.3).
const MIN_RSA: usize = 2048;

/// The keys of a set that may sign an ID token: public ones of RSA, of elliptic curves and of Edwards
/// curves, for signatures, of sufficient length. Keys of other kinds, and those that the crate did not
/// understand, are left out as RFC 7517, section 5, says.
pub(super) fn fit(set: &CoreJsonWebKeySet) -> CoreJsonWebKeySet {
    let fit = set.keys().iter().filter(|key| is_fit(key));
    CoreJsonWebKeySet::new(fit.cloned().collect())
}

fn is_fit(key: &CoreJsonWebKey) -> bool {
    let signs = key
        .key_use()
        .is_none_or(|key_use| key_use.allows_signature());
    signs
        && match key.key_type() {
            CoreJsonWebKeyType::RSA => modulus_bits(key) >= MIN_RSA,
            CoreJsonWebKeyType::EllipticCurve | CoreJsonWebKeyType::OctetKeyPair => true,
            _ => false,
        }
}

/// The length of the modulus, without leading zeros, rounded to six bits. The crate shows it as
/// base64url only.
fn modulus_bits(key: &CoreJsonWebKey) -> usize {
    let key = serde_json::to_value(key).unwrap_or_default();
    let modulus = key.get("n").and_then(Value::as_str).unwrap_or_default();
    modulus.trim_start_matches('A').len() * 6
}

//! Keys of a provider, and tokens that they sign.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding,
};
use serde_json::{Value, json};

/// A key that signs, and what is published of it.
pub(crate) struct SigningKey {
    pair: KeyMaterial,
    /// Its name in a token's header.
    pub(crate) algorithm: String,
    /// Its id; none is left out of the header.
    pub(crate) id: Option<String>,
    /// The public key as a member of the published set.
    pub(crate) public: Value,
}

enum KeyMaterial {
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Secret(Vec<u8>),
}

impl SigningKey {
    /// RSA, RS256.
    pub(crate) fn rsa(id: &str) -> Self {
        Self::of_rsa(id, "RS256", &RSA_PKCS1_SHA256)
    }

    /// RSA, RS512.
    pub(crate) fn rsa_512(id: &str) -> Self {
        Self::of_rsa(id, "RS512", &RSA_PKCS1_SHA512)
    }

    /// RSA, PS256.
    pub(crate) fn rsa_pss(id: &str) -> Self {
        Self::of_rsa(id, "PS256", &RSA_PSS_SHA256)
    }

    fn of_rsa(id: &str, algorithm: &str, encoding: &'static dyn RsaEncoding) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let (modulus, exponent) = of_der(pair.public_key().as_ref());
        let public = json!({ "kty": "RSA", "use": "sig", "kid": id, "n": modulus, "e": exponent });
        Self::new(KeyMaterial::Rsa(pair, encoding), algorithm, id, public)
    }

    /// P-256, ES256.
    pub(crate) fn p256(id: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self::of_curve(id, "ES256", "P-256", pair)
    }

    /// P-384, ES384.
    pub(crate) fn p384(id: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        Self::of_curve(id, "ES384", "P-384", pair)
    }

    fn of_curve(id: &str, algorithm: &str, curve: &str, pair: EcdsaKeyPair) -> Self {
        // 04, x, y
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        let public = json!({
            "kty": "EC", "crv": curve, "kid": id, "x": base64url(x), "y": base64url(y),
        });
        Self::new(KeyMaterial::Ec(pair), algorithm, id, public)
    }

    /// Ed25519, `EdDSA`.
    pub(crate) fn ed25519(id: &str) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let x = base64url(pair.public_key().as_ref());
        let public = json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": x });
        Self::new(KeyMaterial::Ed(pair), "EdDSA", id, public)
    }

    /// HS256 with a secret that both sides know, published or not.
    pub(crate) fn secret(id: &str, secret: &[u8]) -> Self {
        let public = json!({ "kty": "oct", "kid": id, "k": base64url(secret) });
        Self::new(KeyMaterial::Secret(secret.to_vec()), "HS256", id, public)
    }

    fn new(pair: KeyMaterial, algorithm: &str, id: &str, public: Value) -> Self {
        Self {
            pair,
            algorithm: algorithm.to_owned(),
            id: Some(id.to_owned()),
            public,
        }
    }

    /// The same without an id, in its tokens and in the set.
    pub(crate) fn without_id(mut self) -> Self {
        self.id = None;
        self.public.as_object_mut().unwrap().remove("kid");
        self
    }

    /// A token with these claims.
    pub(crate) fn token(&self, claims: &Value) -> String {
        let mut header = json!({ "typ": "JWT", "alg": self.algorithm });
        if let Some(id) = &self.id {
            header["kid"] = json!(id);
        }
        self.token_with(&header, claims)
    }

    /// A token with this header, whatever that says.
    pub(crate) fn token_with(&self, header: &Value, claims: &Value) -> String {
        self.token_of(header, claims.to_string().as_bytes())
    }

    /// A token with this header and these bytes in the place of the claims.
    pub(crate) fn token_of(&self, header: &Value, claims: &[u8]) -> String {
        let header = base64url(header.to_string().as_bytes());
        let signed = format!("{header}.{}", base64url(claims));
        let signature = base64url(&self.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            KeyMaterial::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature)
                    .unwrap();
                signature
            }
            KeyMaterial::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            KeyMaterial::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            KeyMaterial::Secret(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::sign(&key, message).as_ref().to_vec()
            }
        }
    }
}

/// A token without a signature.
pub(crate) fn unsigned_token(claims: &Value) -> String {
    let header = base64url(br#"{"alg":"none"}"#);
    format!("{header}.{}.", base64url(claims.to_string().as_bytes()))
}

/// Base64 for URLs, without padding (RFC 4648, section 5).
pub(crate) fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut bits = [0; 3];
        bits[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, bits[0], bits[1], bits[2]]);
        for i in 0..=chunk.len() {
            let index = (bits >> (18 - 6 * i)) & 63;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
    text
}

/// The modulus and the exponent of an `RSAPublicKey` (RFC 8017, appendix A.1.1).
fn of_der(der: &[u8]) -> (String, String) {
    let (sequence, _) = element(der);
    let (modulus, rest) = element(sequence);
    let (exponent, _) = element(rest);
    let unsigned = |bytes: &[u8]| base64url(bytes.strip_prefix(&[0]).unwrap_or(bytes));
    (unsigned(modulus), unsigned(exponent))
}

/// The content of the first element of DER, and what follows it.
fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let (mut length, mut begin) = (usize::from(der[1]), 2);
    if length > 0x80 {
        let bytes = &der[2..2 + (length - 0x80)];
        begin += bytes.len();
        length = bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    }
    (&der[begin..begin + length], &der[begin + length..])
}

//! An ECDSA security key in software, and the browser that has it sign: for tests, also those of whole
//! programs, which have this file too.

use ::signature::Signer as _;
use ssh_encoding::base64::{Base64Unpadded, Encoding as _};
use ssh_key::public::{EcdsaPublicKey, KeyData, SkEcdsaSha2NistP256};
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, PrivateKey, Signature};

/// An ECDSA security key in software, and the browser that has it sign (PROTOCOL.u2f, "webauthn
/// signatures"): each field can be made wrong.
#[derive(Clone)]
pub(crate) struct Browser {
    pub(crate) key: PrivateKey,
    pub(crate) application: String,
    /// The algorithm's name in the signature.
    pub(crate) name: &'static str,
    pub(crate) flags: u8,
    pub(crate) counter: u32,
    pub(crate) origin: Vec<u8>,
    pub(crate) extensions: Vec<u8>,
    /// What the browser makes of its honest `clientData` before the key signs.
    pub(crate) client_data: fn(Vec<u8>) -> Vec<u8>,
}

impl Browser {
    pub(crate) const TOUCHED: u8 = 0x01;
    pub(crate) const VERIFIED: u8 = 0x04;
    pub(crate) const EXTENDED: u8 = 0x80;

    pub(crate) fn new() -> Self {
        let curve = EcdsaCurve::NistP256;
        let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ecdsa { curve }).unwrap();
        Self {
            key,
            application: "login.example.com".to_owned(),
            name: "webauthn-sk-ecdsa-sha2-nistp256@openssh.com",
            flags: Self::TOUCHED,
            counter: 7,
            origin: b"https://login.example.com".to_vec(),
            extensions: Vec::new(),
            client_data: |honest| honest,
        }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn public(&self) -> KeyData {
        let KeyData::Ecdsa(EcdsaPublicKey::NistP256(point)) = self.key.public_key().key_data()
        else {
            panic!("not a P-256 key");
        };
        SkEcdsaSha2NistP256::new(*point, &*self.application).into()
    }

    /// The signature as it goes over the wire.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let client_data = (self.client_data)(self.honest_client_data(message));
        let trailer = [&[self.flags][..], &self.counter.to_be_bytes()].concat();
        let ecdsa = self.ecdsa(&client_data);
        [
            string(self.name.as_bytes()),
            string(&ecdsa),
            trailer,
            string(&self.origin),
            string(&client_data),
            string(&self.extensions),
        ]
        .concat()
    }

    /// The signature that the same key makes without a browser.
    pub(crate) fn sign_plainly(&self, message: &[u8]) -> Vec<u8> {
        let ecdsa = self.ecdsa(message);
        let name = string(b"sk-ecdsa-sha2-nistp256@openssh.com");
        let trailer = [&[self.flags][..], &self.counter.to_be_bytes()].concat();
        [name, string(&ecdsa), trailer].concat()
    }

    fn ecdsa(&self, data: &[u8]) -> Vec<u8> {
        let hash = HashAlg::Sha256;
        let signed = [
            hash.digest(self.application.as_bytes()).as_slice(),
            &[self.flags],
            &self.counter.to_be_bytes(),
            &self.extensions,
            &hash.digest(data),
        ]
        .concat();
        let signature: Signature = self.key.key_data().try_sign(&signed).unwrap();
        signature.as_bytes().to_vec()
    }

    fn honest_client_data(&self, message: &[u8]) -> Vec<u8> {
        let challenge = Base64Unpadded::encode_string(message);
        let challenge = challenge.replace('+', "-").replace('/', "_");
        let before =
            format!("{{\"type\":\"webauthn.get\",\"challenge\":\"{challenge}\",\"origin\":\"");
        let after = b"\",\"crossOrigin\":false}";
        [before.as_bytes(), &self.origin, after].concat()
    }
}

/// An SSH string: its length, then its bytes.
pub(crate) fn string(bytes: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    out.extend_from_slice(bytes);
    out
}

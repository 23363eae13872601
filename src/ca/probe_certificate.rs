//! Certificates that only probe what a host accepts. Their private keys are deleted before they are
//! signed, so that no login is possible with them, however long they are valid.

use std::time::Duration;

use ssh_key::{Algorithm, Certificate, PrivateKey, PublicKey};

use super::agent_key::SignTimeout;
use super::authority::Authority;
use super::error::CaError;
use super::key::CaKey;
use crate::cert::{MAX_USER_TTL, UserRequest, random_serial};
use crate::model::Principal;

/// How long one is good for, where it is not about time.
const TTL: Duration = Duration::from_secs(120);
/// A certificate begins this long before it is made.
const BACKDATED: u64 = 60;

/// A certificate that only asks. A host that answers it, trusts the key that signed it.
#[derive(Clone, Debug)]
pub struct ProbeCertificate {
    /// The user CA's key that signed.
    pub authority: PublicKey,
    /// The certificate, good for two minutes.
    pub certificate: Certificate,
}

/// Certificates that tell why a host does not take the usual ones.
#[derive(Clone, Debug)]
pub struct ClockSkewProbe {
    /// Good until a minute ago: taken by a host whose clock is behind.
    pub behind: Certificate,
    /// Good from two minutes from now on: taken by a host whose clock is ahead.
    pub ahead: Certificate,
}

impl Authority {
    /// A certificate of each key of this CA to ask a host with, for this login; good from these
    /// networks, or without any from anywhere. `now` is in seconds since the epoch.
    ///
    /// # Errors
    /// When a key cannot be made or does not sign.
    pub fn throwaways(
        &self,
        login: &Principal,
        networks: &[String],
        now: u64,
    ) -> Result<Vec<ProbeCertificate>, CaError> {
        let throwaway = |key: &CaKey| {
            Ok(ProbeCertificate {
                authority: key.public().clone(),
                certificate: signed(key, login, networks, (now, TTL))?,
            })
        };
        self.keys().map(throwaway).collect()
    }

    /// Certificates of the key that signs, for hosts that do not take the usual ones.
    ///
    /// # Errors
    /// As [`Self::throwaways`].
    pub fn trials(&self, login: &Principal, now: u64) -> Result<ClockSkewProbe, CaError> {
        let signed = |made| signed(self.signer(), login, &[], (made, MAX_USER_TTL));
        let ahead_of_usual = now + TTL.as_secs() + BACKDATED;
        Ok(ClockSkewProbe {
            behind: signed(now.saturating_sub(BACKDATED + MAX_USER_TTL.as_secs()))?,
            ahead: signed(ahead_of_usual)?,
        })
    }
}

fn signed(
    key: &CaKey,
    login: &Principal,
    networks: &[String],
    (made, ttl): (u64, Duration),
) -> Result<Certificate, CaError> {
    let subject = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519)
        .map_err(CaError::Throwaway)?
        .public_key()
        .clone();
    let request = UserRequest {
        identity: login.clone(),
        logins: vec![login.clone()],
        public_key: subject,
        ttl,
        source_addresses: networks.to_vec(),
        sign_in: None,
    };
    key.sign(
        &request.template(random_serial(), made, MAX_USER_TTL)?,
        SignTimeout::Person,
    )
}

//! Certificates that only probe what a host accepts. Their private keys are dropped before they are
//! signed, so that no login is possible with one, however long it is valid.

use std::time::Duration;

use ssh_key::{Algorithm, Certificate, PrivateKey, PublicKey};

use super::agent_key::SignTimeout;
use super::authority::Authority;
use super::error::CaError;
use super::key::CaKey;
use crate::cert::{MAX_USER_TTL, UserRequest, random_serial};
use crate::model::Principal;

/// How long a probe is valid, unless it probes the host's clock.
const TTL: Duration = Duration::from_secs(120);
/// A certificate begins this long before it is made.
const BACKDATED: u64 = 60;

/// A certificate that only probes. A host that accepts it trusts the key that signed it.
#[derive(Clone, Debug)]
pub struct ProbeCertificate {
    /// The user CA's key that signed.
    pub authority: PublicKey,
    /// The certificate, valid for two minutes.
    pub certificate: Certificate,
}

/// Certificates that tell whether a host's clock is the reason why it refuses the usual probe.
#[derive(Clone, Debug)]
pub struct ClockSkewProbe {
    /// Expired a minute ago: accepted by a host whose clock is behind.
    pub behind: Certificate,
    /// Valid from two minutes from now on: accepted by a host whose clock is ahead.
    pub ahead: Certificate,
}

impl Authority {
    /// A certificate of each key of this CA to probe a host with, for this login; valid from these
    /// networks, or without any from anywhere. `now` is in seconds since the epoch.
    ///
    /// # Errors
    /// When a key cannot be made or does not sign.
    pub fn probes(
        &self,
        login: &Principal,
        networks: &[String],
        now: u64,
    ) -> Result<Vec<ProbeCertificate>, CaError> {
        let probe = |key: &CaKey| {
            Ok(ProbeCertificate {
                authority: key.public().clone(),
                certificate: signed(key, login, networks, (now, TTL))?,
            })
        };
        self.keys().map(probe).collect()
    }

    /// Certificates of the key that signs, for hosts that refuse the usual probe.
    ///
    /// # Errors
    /// As [`Self::probes`].
    pub fn clock_skew_probes(
        &self,
        login: &Principal,
        now: u64,
    ) -> Result<ClockSkewProbe, CaError> {
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
        .map_err(CaError::ProbeKey)?
        .public_key()
        .clone();
    let request = UserRequest {
        identity: login.clone(),
        logins: vec![login.clone()],
        public_key: subject,
        ttl,
        max_ttl: MAX_USER_TTL,
        source_addresses: networks.to_vec(),
    };
    key.sign(
        &request.template(random_serial(), made)?,
        SignTimeout::Person,
    )
}

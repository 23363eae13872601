//! The person behind a connection.

use std::sync::Arc;
use std::time::Duration;

use ssh_key::public::KeyData;
use ssh_key::{Fingerprint, HashAlg};

use super::{Life, SignIn};
use crate::cert::VerifiedUserCert;
use crate::model::Login;

/// What proves who a person is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityProof {
    /// A certificate that passed every check.
    Certificate(Box<VerifiedUserCert>),
    /// A sign-in that the process with the state has confirmed.
    SignIn(Box<SignIn>),
    /// A certificate that was made for a sign-in, which the process with the state has confirmed.
    CertifiedSignIn(Box<VerifiedUserCert>, Box<SignIn>),
}

impl From<VerifiedUserCert> for IdentityProof {
    fn from(certificate: VerifiedUserCert) -> Self {
        Self::Certificate(Box::new(certificate))
    }
}

impl From<SignIn> for IdentityProof {
    fn from(sign_in: SignIn) -> Self {
        Self::SignIn(Box::new(sign_in))
    }
}

/// A person, with the key that the person has proved to hold. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Identity(Arc<IdentityProof>);

impl From<(VerifiedUserCert, SignIn)> for IdentityProof {
    fn from((certificate, sign_in): (VerifiedUserCert, SignIn)) -> Self {
        Self::CertifiedSignIn(Box::new(certificate), Box::new(sign_in))
    }
}

/// What the policy is asked with about a person. It permits nothing by itself: for that, it takes an
/// [`Identity`].
#[derive(Clone, Debug)]
pub struct PolicySubject<'a> {
    /// The person's name.
    pub(super) name: &'a str,
    /// The roles beside those that the configuration gives the name.
    pub(super) roles: &'a [String],
    /// The logins that the person may use; `None` for all that the roles allow.
    pub(super) logins: Option<Vec<&'a str>>,
    /// How long the proof of the person is valid in all.
    pub(super) life: Life,
}

impl<'a> PolicySubject<'a> {
    /// A person who has signed in for `lifetime`, with these roles and logins.
    #[must_use]
    pub fn signed_in(
        name: &'a str,
        roles: &'a [String],
        logins: Option<&'a [Login]>,
        lifetime: Duration,
    ) -> Self {
        Self {
            name,
            roles,
            logins: logins.map(|logins| logins.iter().map(Login::as_str).collect()),
            life: Life::SignIn(lifetime),
        }
    }
}

impl Identity {
    /// What the policy is asked with.
    #[must_use]
    pub fn subject(&self) -> PolicySubject<'_> {
        PolicySubject {
            name: self.name(),
            roles: self.roles(),
            logins: self.logins(),
            life: self.life(),
        }
    }

    /// The only way to an identity: a proof.
    #[must_use]
    pub fn new(proof: impl Into<IdentityProof>) -> Self {
        Self(Arc::new(proof.into()))
    }

    /// The same person, to whom the state has given other roles or logins meanwhile: `sign_in` stands in
    /// the place of the same sign-in. A certificate says itself what it allows, and stays.
    #[must_use]
    pub fn with_sign_in(&self, sign_in: SignIn) -> Self {
        match self.proof() {
            IdentityProof::SignIn(old) if old.id() == sign_in.id() => Self::new(sign_in),
            IdentityProof::CertifiedSignIn(certificate, old) if old.id() == sign_in.id() => {
                Self::new((VerifiedUserCert::clone(certificate), sign_in))
            }
            IdentityProof::Certificate(_)
            | IdentityProof::SignIn(_)
            | IdentityProof::CertifiedSignIn(..) => self.clone(),
        }
    }

    /// What proves it.
    #[must_use]
    pub fn proof(&self) -> &IdentityProof {
        &self.0
    }

    /// The certificate, if that is the proof.
    #[must_use]
    pub fn certificate(&self) -> Option<&VerifiedUserCert> {
        match self.proof() {
            IdentityProof::Certificate(certificate)
            | IdentityProof::CertifiedSignIn(certificate, _) => Some(certificate),
            IdentityProof::SignIn(_) => None,
        }
    }

    /// The sign-in, if that is the proof.
    #[must_use]
    pub fn sign_in(&self) -> Option<&SignIn> {
        match self.proof() {
            IdentityProof::Certificate(_) => None,
            IdentityProof::SignIn(sign_in) | IdentityProof::CertifiedSignIn(_, sign_in) => {
                Some(sign_in)
            }
        }
    }

    /// The person's name: the certificate's key id, or the name of the user who has signed in.
    #[must_use]
    pub fn name(&self) -> &str {
        match self.proof() {
            IdentityProof::Certificate(certificate) => certificate.key_id(),
            IdentityProof::SignIn(sign_in) | IdentityProof::CertifiedSignIn(_, sign_in) => {
                sign_in.name()
            }
        }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &KeyData {
        match self.proof() {
            IdentityProof::Certificate(certificate) => certificate.public_key(),
            IdentityProof::SignIn(sign_in) | IdentityProof::CertifiedSignIn(_, sign_in) => {
                sign_in.key()
            }
        }
    }

    /// SHA-256 of the key.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.key().fingerprint(HashAlg::Sha256)
    }

    /// The certificate's serial number, 0 if the CA does not number its certificates; `None` for a
    /// sign-in.
    #[must_use]
    pub fn serial(&self) -> Option<u64> {
        self.certificate().map(VerifiedUserCert::serial)
    }

    /// When the proof expires, in seconds since the epoch; `u64::MAX` is never.
    #[must_use]
    pub fn valid_before(&self) -> u64 {
        match self.proof() {
            IdentityProof::Certificate(certificate) => certificate.valid_before(),
            IdentityProof::SignIn(sign_in) => sign_in.until(),
            IdentityProof::CertifiedSignIn(certificate, sign_in) => {
                certificate.valid_before().min(sign_in.until())
            }
        }
    }

    /// How long the proof is valid in all.
    #[must_use]
    pub fn life(&self) -> Life {
        match self.proof() {
            IdentityProof::Certificate(certificate)
            | IdentityProof::CertifiedSignIn(certificate, _) => {
                Life::Certificate(Duration::from_secs(certificate.lifetime()))
            }
            IdentityProof::SignIn(sign_in) => Life::SignIn(sign_in.lifetime()),
        }
    }

    /// The roles that the proof brings along, beside those that the configuration gives the name.
    #[must_use]
    pub fn roles(&self) -> &[String] {
        self.sign_in().map_or(&[], SignIn::roles)
    }

    /// The logins that the proof names; `None` if it names none, and the policy alone decides.
    #[must_use]
    pub fn logins(&self) -> Option<Vec<&str>> {
        match self.proof() {
            IdentityProof::Certificate(certificate)
            | IdentityProof::CertifiedSignIn(certificate, _) => {
                let principals = certificate.principals().iter();
                Some(principals.map(String::as_str).collect())
            }
            IdentityProof::SignIn(sign_in) => {
                let logins = sign_in.logins()?.iter();
                Some(logins.map(Login::as_str).collect())
            }
        }
    }

    /// Whether the proof allows the login, letter for letter.
    #[must_use]
    pub fn allows_login(&self, login: &Login) -> bool {
        self.logins()
            .is_none_or(|logins| logins.contains(&login.as_str()))
    }
}

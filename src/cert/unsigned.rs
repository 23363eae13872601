//! A host certificate that lacks its signature: what a CA's key is asked to sign by a process
//! that is not to be believed.
//!
//! The bytes are all there is: what they mean is read from them, whole, and only what the proxy itself
//! shows to clients passes.

use std::time::Duration;

use ssh_encoding::Encode;
use ssh_key::public::KeyData;
use ssh_key::{Certificate, PublicKey};
use thiserror::Error;

use super::key::{KeyError, PresentedKey, signed_part};
use super::template::MAX_PRINCIPALS;
use crate::model::{HostName, HostPrincipal};

/// Longest life of what passes: that of the proxy's own host certificates.
pub const MAX_PROXY_HOST_TTL: Duration = Duration::from_secs(3_600);
/// How long before now it may begin, and how much later than allowed it may end: clocks are read twice.
const SLACK: u64 = 120;

/// Why it is not signed.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum UnsignedError {
    /// It is no certificate that lacks only its signature.
    #[error("what is to be signed is no certificate")]
    NotACertificate(#[source] KeyError),
    /// It is more, or less, than it reads as.
    #[error("what is to be signed is not what it reads as")]
    NotCanonical,
    /// A user certificate.
    #[error("what is to be signed is no host certificate")]
    NotAHost,
    /// A certificate that another program signs.
    #[error("what is to be signed names another CA")]
    OtherAuthority,
    /// A key that the proxy does not have.
    #[error("the certified key is not of the proxy's kind, Ed25519")]
    Subject,
    /// No names, too many, or what is none.
    #[error("the names are none that a host can have")]
    Names,
    /// It lives too long, or not now.
    #[error("it is not good from now on for an hour at most")]
    Validity,
    /// The proxy's certificates have no options.
    #[error("it has options")]
    Options,
    /// A serial number that means "none".
    #[error("it has no serial number")]
    Serial,
}

/// Decides whether `data` is what a certificate of the proxy itself has before its signature: for a
/// host, under names, with an Ed25519 key, for an hour at most from `now` on, under this CA.
///
/// # Errors
/// The first thing that is otherwise.
pub fn check_proxy_host(data: &[u8], authority: &PublicKey, now: u64) -> Result<(), UnsignedError> {
    let certificate = read(data)?;
    if !certificate.cert_type().is_host() {
        return Err(UnsignedError::NotAHost);
    }
    if certificate.signature_key() != authority.key_data() {
        return Err(UnsignedError::OtherAuthority);
    }
    if !matches!(certificate.public_key(), KeyData::Ed25519(_)) {
        return Err(UnsignedError::Subject);
    }
    let names = certificate.valid_principals();
    let are_names = names.iter().all(|name| is_asked(name));
    if names.is_empty()
        || names.len() > MAX_PRINCIPALS
        || !are_names
        || names.first().map(String::as_str) != Some(certificate.key_id())
    {
        return Err(UnsignedError::Names);
    }
    let (after, before) = (certificate.valid_after(), certificate.valid_before());
    let latest = now.saturating_add(MAX_PROXY_HOST_TTL.as_secs() + SLACK);
    if after > now || after.saturating_add(SLACK) < now || before <= now || before > latest {
        return Err(UnsignedError::Validity);
    }
    if !certificate.critical_options().is_empty() || !certificate.extensions().is_empty() {
        return Err(UnsignedError::Options);
    }
    if certificate.serial() == 0 {
        return Err(UnsignedError::Serial);
    }
    Ok(())
}

/// Whether a principal is a name that a user can ask for a host by, as the proxy writes it.
fn is_asked(name: &str) -> bool {
    let asked = name
        .parse::<HostName>()
        .map(|host| HostPrincipal::asked(&host));
    matches!(asked, Ok(Ok(asked)) if asked.as_str().eq_ignore_ascii_case(name))
}

/// Reads it as the certificate that it would be with a signature, and makes sure that it is that and
/// nothing else.
fn read(data: &[u8]) -> Result<Certificate, UnsignedError> {
    let blob = with_signature(data).map_err(|_too_long| UnsignedError::NotCanonical)?;
    let certificate = match PresentedKey::decode(&blob) {
        Ok(PresentedKey::Certificate(certificate)) => *certificate,
        Ok(PresentedKey::Plain(_)) => return Err(UnsignedError::NotCanonical),
        Err(error) => return Err(UnsignedError::NotACertificate(error)),
    };
    match signed_part(&certificate) {
        Ok(signed) if signed == data => Ok(certificate),
        _ => Err(UnsignedError::NotCanonical),
    }
}

/// The same with a signature that has the form of one.
fn with_signature(data: &[u8]) -> ssh_encoding::Result<Vec<u8>> {
    let mut signature = Vec::new();
    "ssh-ed25519".encode(&mut signature)?;
    [0_u8; 64].as_slice().encode(&mut signature)?;
    let mut blob = data.to_vec();
    signature.as_slice().encode(&mut blob)?;
    Ok(blob)
}

#[cfg(test)]
mod tests {
    use ssh_key::certificate::{Builder, CertType};

    use super::*;
    use crate::cert::testing::{ed25519, keys};

    const NOW: u64 = 1_800_000_000;

    /// A certificate of the proxy, changed by `change`, without its signature.
    fn unsigned(change: impl FnOnce(&mut Spec)) -> Vec<u8> {
        let mut spec = Spec {
            kind: CertType::Host,
            subject: ed25519().public_key().key_data().clone(),
            names: vec!["db1".to_owned()],
            key_id: "db1".to_owned(),
            after: NOW - 60,
            before: NOW + 3_600,
            serial: 7,
            option: None,
            extension: None,
        };
        change(&mut spec);
        let mut builder = Builder::new(vec![1; 32], spec.subject, spec.after, spec.before).unwrap();
        builder.serial(spec.serial).unwrap();
        builder.cert_type(spec.kind).unwrap();
        builder.key_id(spec.key_id).unwrap();
        if spec.names.is_empty() {
            builder.all_principals_valid().unwrap();
        }
        for name in spec.names {
            builder.valid_principal(name).unwrap();
        }
        if let Some(name) = spec.option {
            builder.critical_option(name, "").unwrap();
        }
        if let Some(name) = spec.extension {
            builder.extension(name, "").unwrap();
        }
        signed_part(&builder.sign(&authority()).unwrap()).unwrap()
    }

    struct Spec {
        kind: CertType,
        subject: KeyData,
        names: Vec<String>,
        key_id: String,
        after: u64,
        before: u64,
        serial: u64,
        option: Option<&'static str>,
        extension: Option<&'static str>,
    }

    fn authority() -> ssh_key::PrivateKey {
        keys()[0].clone()
    }

    fn check(data: &[u8]) -> Result<(), UnsignedError> {
        check_proxy_host(data, authority().public_key(), NOW)
    }

    #[test]
    fn what_the_proxy_shows_passes_and_nothing_else_does() {
        assert_eq!(check(&unsigned(|_| {})), Ok(()));
        let rsa = keys()[4].public_key().key_data().clone();
        type SpecEdit = Box<dyn FnOnce(&mut Spec)>;
        let wrong: Vec<(SpecEdit, UnsignedError)> = vec![
            (
                Box::new(|spec| spec.kind = CertType::User),
                UnsignedError::NotAHost,
            ),
            (
                Box::new(move |spec| spec.subject = rsa),
                UnsignedError::Subject,
            ),
            (Box::new(|spec| spec.names.clear()), UnsignedError::Names),
            (
                Box::new(|spec| spec.names.push("a\\tb".to_owned())),
                UnsignedError::Names,
            ),
            (
                Box::new(|spec| spec.names.push("[db1]:22".to_owned())),
                UnsignedError::Names,
            ),
            (
                Box::new(|spec| spec.names.push("no name".to_owned())),
                UnsignedError::Names,
            ),
            (
                Box::new(|spec| spec.key_id = "db2".to_owned()),
                UnsignedError::Names,
            ),
            (
                Box::new(|spec| spec.before = NOW + 365 * 86_400),
                UnsignedError::Validity,
            ),
            (
                Box::new(|spec| spec.before = u64::MAX),
                UnsignedError::Validity,
            ),
            (
                Box::new(|spec| spec.after = NOW + 1),
                UnsignedError::Validity,
            ),
            (Box::new(|spec| spec.after = 0), UnsignedError::Validity),
            (Box::new(|spec| spec.before = NOW), UnsignedError::Validity),
            (
                Box::new(|spec| spec.option = Some("force-command")),
                UnsignedError::Options,
            ),
            (
                Box::new(|spec| spec.extension = Some("permit-pty")),
                UnsignedError::Options,
            ),
            (Box::new(|spec| spec.serial = 0), UnsignedError::Serial),
        ];
        for (change, error) in wrong {
            assert_eq!(check(&unsigned(change)), Err(error));
        }
        let good = unsigned(|_| {});
        let other = keys()[1].public_key();
        assert_eq!(
            check_proxy_host(&good, other, NOW),
            Err(UnsignedError::OtherAuthority)
        );
        for now in [NOW - 3_600, NOW + 3_600] {
            let stale = check_proxy_host(&good, authority().public_key(), now);
            assert_eq!(stale, Err(UnsignedError::Validity));
        }
    }

    /// A login's signed data, a signature for a file, a certificate with something after it, and any
    /// beginning of one.
    #[test]
    fn other_bytes_are_never_signed() {
        let good = unsigned(|_| {});
        for end in 0..good.len() {
            assert!(check(&good[..end]).is_err(), "{end}");
        }
        for more in [&b"\0"[..], b"\0\0\0\0"] {
            assert!(check(&[&good, more].concat()).is_err());
        }
        assert!(check(b"SSHSIG\0\0\0\x04file").is_err());
        let mut session = vec![0, 0, 0, 32];
        session.extend([7; 32]);
        session.push(50);
        assert!(check(&session).is_err());
    }
}

//! The certificate of HTTPS where the administrator has given none: self-signed, under the names of the proxy,
//! for a year. It is made here, because this process may write files and talks to nobody; the web process
//! reads it through the monitor.
//!
//! It and its key are one file, `web/https.pem` in the data directory, so that they always fit. It is made anew
//! a month before its end, and when the proxy has another name.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Datelike as _, Days, Utc};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error as RustlsError, RootCertStore};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::model::{chain, text};
use crate::sys::clock::Clock;
use crate::sys::files::{Direct, read_limited};
use crate::sys::fs::{FsError, PRIVATE_FILE, Replace, private_dir, write_whole};

/// How long it is good, in days. Browsers take none that is good for more than 398.
const DAYS: u64 = 396;
/// How long before its end it is made anew.
const NOTICE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(60 * 60);
/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 64 * 1024;
/// Most names in it.
const MAX_NAMES: usize = 32;

/// Why there is none.
#[derive(Debug, Error)]
pub enum WebCertificateError {
    /// It cannot be written.
    #[error(transparent)]
    File(#[from] FsError),
    /// It cannot be made.
    #[error("cannot make it")]
    Make(#[from] rcgen::Error),
    /// The clock is outside of the years that certificates can have.
    #[error("cannot make it: the clock is wrong")]
    Clock,
}

/// It, for a configuration.
#[derive(Debug)]
pub(super) struct WebCertificate {
    config: Mutex<Config>,
    clock: Clock,
}

impl WebCertificate {
    /// Makes it, if the configuration wants one and the one that there is will not do.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub(super) fn settle(config: &Config, clock: Clock) -> Result<Self, WebCertificateError> {
        renew(config, clock)?;
        Ok(Self {
            config: Mutex::new(config.clone()),
            clock,
        })
    }

    /// Goes by this configuration from now on.
    pub(super) fn apply(&self, config: &Config) {
        let mut current = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        *current = config.clone();
        self.look(&current);
    }

    /// Looks at it now and then, until the sender of `stop` is dropped.
    pub(super) fn follow(&self, stop: &Receiver<()>) {
        while stop.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            let config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
            self.look(&config);
        }
    }

    fn look(&self, config: &Config) {
        if let Err(error) = renew(config, self.clock) {
            let error = chain(&error);
            tracing::error!(%error, "the certificate of HTTPS cannot be renewed, the one before stays");
        }
    }
}

/// Makes it anew if it has to be.
fn renew(config: &Config, clock: Clock) -> Result<(), WebCertificateError> {
    let Some(path) = config.own_https_file() else {
        return Ok(());
    };
    private_dir(&config.data_dir.web())?;
    let names = names(config);
    let now = clock.unix_seconds();
    let there = read_limited(&Direct, &path, MAX_FILE).map(Zeroizing::new);
    if there.is_ok_and(|pem| will_do(&pem, &names, now)) {
        return Ok(());
    }
    let pem = make(config, &names, now)?;
    write_whole(&path, pem.as_bytes(), PRIVATE_FILE, Replace::Allow)?;
    let (names, path) = (names.join(", "), text::path(&path));
    tracing::info!("made a certificate of HTTPS for {names}: {path}");
    Ok(())
}

/// The names under which browsers find the proxy.
fn names(config: &Config) -> Vec<String> {
    let listener = config.listener_names().unwrap_or_default();
    let listener = listener.iter().map(ToString::to_string);
    let web = config.proxy.web_public_addr.iter();
    let web = web.map(|(host, _port)| host.clone());
    let address = config.proxy.web.as_ref().map(|web| web.listen_addr.ip());
    let address = address.filter(|address| !address.is_unspecified());
    let mut names: Vec<String> = Vec::new();
    let all = listener
        .chain(web)
        .chain(address.map(|address| address.to_string()));
    for name in all.chain(["127.0.0.1".to_owned(), "::1".to_owned()]) {
        let name = name.to_ascii_lowercase();
        // The cluster's name, for one, need not be a name of DNS.
        let is_usable = ServerName::try_from(name.as_str()).is_ok();
        if is_usable && !names.contains(&name) && names.len() < MAX_NAMES {
            names.push(name);
        }
    }
    names
}

/// Whether a file has a certificate with its key that is good for all names, and for long enough.
fn will_do(pem: &[u8], names: &[String], now: u64) -> bool {
    let Ok(certificate) = CertificateDer::from_pem_slice(pem) else {
        return false;
    };
    if PrivateKeyDer::from_pem_slice(pem).is_err() {
        return false;
    }
    let Ok(certificate) = ParsedCertificate::try_from(&certificate) else {
        return false;
    };
    let is_named = |name: &String| {
        let name = ServerName::try_from(name.as_str());
        name.is_ok_and(|name| verify_server_name(&certificate, &name).is_ok())
    };
    let later = now.saturating_add(NOTICE.as_secs());
    names.iter().all(is_named)
        && [now, later]
            .into_iter()
            .all(|at| is_good_at(&certificate, at))
}

/// Whether a certificate is good at a second since the epoch. No signature is trusted here: it is asked for
/// its time before its signature is looked at.
fn is_good_at(certificate: &ParsedCertificate<'_>, second: u64) -> bool {
    let at = UnixTime::since_unix_epoch(Duration::from_secs(second));
    let algorithms = default_provider().signature_verification_algorithms.all;
    let nobody = RootCertStore::empty();
    let verified =
        verify_server_cert_signed_by_trust_anchor(certificate, &nobody, &[], at, algorithms);
    !matches!(
        verified,
        Err(RustlsError::InvalidCertificate(
            CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
        ))
    )
}

/// A new key and its certificate, in PEM.
fn make(
    config: &Config,
    names: &[String],
    now: u64,
) -> Result<Zeroizing<String>, WebCertificateError> {
    let today = i64::try_from(now).ok();
    let today = today.and_then(|now| DateTime::<Utc>::from_timestamp(now, 0));
    let today = today.ok_or(WebCertificateError::Clock)?.date_naive();
    // Clocks of browsers may be behind.
    let first = today.checked_sub_days(Days::new(1));
    let last = today.checked_add_days(Days::new(DAYS - 1));
    let (Some(first), Some(last)) = (first, last) else {
        return Err(WebCertificateError::Clock);
    };
    let date = |date: chrono::NaiveDate| {
        let small = |number: u32| u8::try_from(number).unwrap_or(1);
        date_time_ymd(date.year(), small(date.month()), small(date.day()))
    };
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(names.to_vec())?;
    let mut subject = DistinguishedName::new();
    let cluster = &config.cluster_name;
    subject.push(DnType::CommonName, format!("rproxy {cluster}"));
    params.distinguished_name = subject;
    (params.not_before, params.not_after) = (date(first), date(last));
    // It signs itself and nothing else.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.self_signed(&key)?.pem();
    let key = Zeroizing::new(key.serialize_pem());
    Ok(Zeroizing::new(format!("{certificate}{}", *key)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    use super::super::testing::parsed;
    use super::*;

    const CONFIG: &str =
        "cluster_name: example.test\nproxy_service:\n  web_listen_addr: 127.0.0.1:0\n";
    const DAY: u64 = 24 * 60 * 60;
    /// In 2026.
    const NOW: u64 = 1_790_000_000;

    fn file(directory: &Path) -> std::path::PathBuf {
        directory.join("data/web/https.pem")
    }

    fn content(directory: &Path) -> Vec<u8> {
        std::fs::read(file(directory)).unwrap()
    }

    #[test]
    fn it_is_made_once_and_again_before_its_end() {
        let directory = crate::sys::fs::private_tempdir();
        let config = parsed(directory.path(), CONFIG);
        let at = |now: u64| {
            renew(&config, Clock::Fixed(now)).unwrap();
            content(directory.path())
        };
        let first = at(NOW);
        let mode = std::fs::metadata(file(directory.path())).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert_eq!(at(NOW + DAY), first);
        assert_eq!(at(NOW + (DAYS - 33) * DAY), first);
        let second = at(NOW + (DAYS - 31) * DAY);
        assert_ne!(second, first);
        // A clock that was set back finds one that is not good yet.
        assert_ne!(at(NOW - 2 * DAY), second);
    }

    #[test]
    fn it_has_the_names_of_the_proxy_and_is_made_anew_for_others() {
        let directory = crate::sys::fs::private_tempdir();
        let config = parsed(directory.path(), CONFIG);
        renew(&config, Clock::Fixed(NOW)).unwrap();
        let first = content(directory.path());
        for name in ["localhost", "example.test", "127.0.0.1", "::1"] {
            assert!(will_do(&first, &[name.to_owned()], NOW), "{name}");
        }
        assert!(!will_do(&first, &["proxy.example.com".to_owned()], NOW));
        let text = format!(
            "{CONFIG}  public_addr: Proxy.example.com\n  web_public_addr: \"[2001:db8::7]:443\"\n"
        );
        let config = parsed(directory.path(), &text);
        renew(&config, Clock::Fixed(NOW)).unwrap();
        let second = content(directory.path());
        assert_ne!(second, first);
        for name in ["proxy.example.com", "2001:db8::7", "localhost"] {
            assert!(will_do(&second, &[name.to_owned()], NOW), "{name}");
        }
    }

    #[test]
    fn browsers_take_it_for_no_longer_than_they_like() {
        let directory = crate::sys::fs::private_tempdir();
        let config = parsed(directory.path(), CONFIG);
        let pem = make(&config, &names(&config), NOW).unwrap();
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let certificate = ParsedCertificate::try_from(&certificate).unwrap();
        let good = (0..800).filter(|day| is_good_at(&certificate, NOW - 200 * DAY + day * DAY));
        let good = good.count();
        assert!((390..=397).contains(&good), "{good}");
    }

    /// What is damaged, or was half written by another program, is replaced.
    #[test]
    fn what_cannot_be_used_is_replaced() {
        let directory = crate::sys::fs::private_tempdir();
        let config = parsed(directory.path(), CONFIG);
        renew(&config, Clock::Fixed(NOW)).unwrap();
        let whole = String::from_utf8(content(directory.path())).unwrap();
        let (certificate, _key) = whole.split_once("-----BEGIN PRIVATE KEY").unwrap();
        for damaged in ["", "nothing", certificate] {
            let path = file(directory.path());
            write_whole(&path, damaged.as_bytes(), PRIVATE_FILE, Replace::Allow).unwrap();
            renew(&config, Clock::Fixed(NOW)).unwrap();
            let pem = content(directory.path());
            assert!(will_do(&pem, &names(&config), NOW), "{damaged}");
        }
    }

    #[test]
    fn without_need_there_is_none() {
        let directory = crate::sys::fs::private_tempdir();
        for more in [
            "",
            "proxy_service:\n  web_listen_addr: 127.0.0.1:0\n  web_plain_http: yes\n",
            "proxy_service:\n  web_listen_addr: 127.0.0.1:0\n  https_cert_file: /a\n  https_key_file: /b\n",
        ] {
            let config = parsed(
                directory.path(),
                &format!("cluster_name: example.test\n{more}"),
            );
            renew(&config, Clock::Fixed(NOW)).unwrap();
            assert!(!file(directory.path()).exists(), "{more}");
        }
    }
}

//! TLS with the provider: whose certificate is trusted.

use std::path::Path;
use std::process::Command;

use super::*;
use crate::sys::skipped;

/// A certificate for 127.0.0.1 that has signed itself, and its key: PEM in a file, both in DER.
struct OwnCertificate {
    pem: std::path::PathBuf,
    der: Vec<u8>,
    key: Vec<u8>,
    _dir: tempfile::TempDir,
}

impl OwnCertificate {
    /// `None` if there is no openssl to make it.
    fn new(name: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let at = |file: &str| dir.path().join(file);
        let made = openssl(
            dir.path(),
            &format!(
                "req -x509 -addext basicConstraints=critical,CA:FALSE -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=op \
                 -addext subjectAltName={name} -keyout key.pem -out cert.pem"
            ),
        );
        if !made {
            skipped::lacks("openssl");
            return None;
        }
        assert!(openssl(
            dir.path(),
            "x509 -in cert.pem -outform DER -out cert.der"
        ));
        let key = "pkcs8 -topk8 -nocrypt -in key.pem -outform DER -out key.der";
        assert!(openssl(dir.path(), key));
        Some(Self {
            pem: at("cert.pem"),
            der: std::fs::read(at("cert.der")).unwrap(),
            key: std::fs::read(at("key.der")).unwrap(),
            _dir: dir,
        })
    }

    fn stage(&self, roots: Roots) -> OidcFixture {
        let provider = HostileProvider::start_with_tls(now, self.der.clone(), self.key.clone());
        OidcFixture::of(provider, Patience::default(), |settings| {
            settings.roots = roots;
        })
    }
}

fn openssl(dir: &Path, arguments: &str) -> bool {
    let mut openssl = Command::new("openssl");
    let output = openssl
        .args(arguments.split_whitespace())
        .current_dir(dir)
        .output();
    output.is_ok_and(|output| output.status.success())
}

#[test]
fn a_certificate_of_the_named_authority_is_trusted() {
    let Some(certificate) = OwnCertificate::new("IP:127.0.0.1") else {
        return;
    };
    let roots = Roots::read(Some(&certificate.pem)).unwrap();
    assert!(roots.count() > 0);
    assert!(certificate.stage(roots).sign_in().is_ok());
}

#[test]
fn another_certificate_is_refused_with_what_to_do() {
    let Some(certificate) = OwnCertificate::new("IP:127.0.0.1") else {
        return;
    };
    let Some(other) = OwnCertificate::new("IP:127.0.0.1") else {
        return;
    };
    for roots in [Roots::none(), Roots::read(Some(&other.pem)).unwrap()] {
        let error = certificate.stage(roots).sign_in().unwrap_err();
        assert!(
            matches!(&error, ProviderError::Untrusted { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("ca_file"), "{error}");
        assert!(
            error.message().contains("does not trust"),
            "{}",
            error.message()
        );
    }
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let Some(certificate) = OwnCertificate::new("DNS:id.example.com") else {
        return;
    };
    let roots = Roots::read(Some(&certificate.pem)).unwrap();
    let error = certificate.stage(roots).sign_in().unwrap_err();
    assert!(
        matches!(&error, ProviderError::Untrusted { .. }),
        "{error:?}"
    );
}

#[test]
fn a_provider_with_tls_cannot_send_anything_to_one_without() {
    let Some(certificate) = OwnCertificate::new("IP:127.0.0.1") else {
        return;
    };
    for endpoint in ["token_endpoint", "jwks_uri", "authorization_endpoint"] {
        let roots = Roots::read(Some(&certificate.pem)).unwrap();
        let plain = HostileProvider::start(now);
        let url = serde_json::json!(format!("{}/token", plain.issuer()));
        let stage = certificate.stage(roots).when(|provider| {
            provider.metadata = Box::new(move |metadata| metadata[endpoint] = url.clone());
        });
        let error = stage.sign_in().unwrap_err();
        assert!(error.to_string().contains("https"), "{endpoint}: {error}");
        assert_eq!(plain.asked("/token"), 0);
    }
}

#[test]
fn a_server_that_speaks_no_tls_is_refused() {
    let plain = HostileProvider::start(now);
    let issuer = plain.issuer().replace("http:", "https:");
    let stage = OidcFixture::of(plain, Patience::default(), |settings| {
        settings.issuer = issuer.parse().unwrap();
    });
    let error = stage.client.authorization().unwrap_err();
    assert!(
        matches!(&error, ProviderError::Untrusted { .. }),
        "{error:?}"
    );
}

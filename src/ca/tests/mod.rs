//! The CAs as a whole: what is on disk, what is refused, what many do at once.

mod agents;
mod imports;
mod issuing;
mod successors;
mod ticking;
mod waiting;

use std::collections::HashSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use ssh_key::{Algorithm, PrivateKey, PublicKey};

use super::*;
use crate::cert::{HostRequest, UserRequest};
use crate::model::DataDir;
use crate::sys::clock::Clock;
use crate::sys::fs::{FsError, PRIVATE_FILE, PUBLIC_FILE, Replace, write_whole};

const NOW: u64 = 1_800_000_000;

fn open(data_dir: &Path) -> Result<Authorities, CaError> {
    let made = Authorities::make(&Installation {
        data_dir: &DataDir::new(data_dir),
        cluster: &"example.com".parse().unwrap(),
        ca_keys: &CaKeys::default(),
        records: CaRecords::in_files(&DataDir::new(data_dir), Clock::Fixed(NOW)),
        clock: Clock::Fixed(NOW),
    });
    made.map(|(authorities, _made)| authorities)
}

fn some_key() -> PublicKey {
    let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap();
    key.public_key().clone()
}

fn host_request() -> HostRequest {
    HostRequest {
        names: vec!["db1".parse().unwrap(), "10.0.0.5".parse().unwrap()],
        public_key: some_key(),
        ttl: Duration::from_secs(3_600),
        extensions: None,
    }
}

fn user_request() -> UserRequest {
    UserRequest {
        identity: "alice".parse().unwrap(),
        logins: vec!["root".parse().unwrap()],
        public_key: some_key(),
        ttl: Duration::from_secs(60),
        source_addresses: vec!["203.0.113.10/32".to_owned()],
        sign_in: None,
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn put(path: &Path, content: &[u8], mode: u32) {
    write_whole(path, content, mode, Replace::Allow).unwrap();
}

fn ssh_keygen(args: &[&str], file: &Path) -> String {
    let output = Command::new("ssh-keygen")
        .args(args)
        .arg("-f")
        .arg(file)
        .output()
        .expect("ssh-keygen, of Debian's openssh-client");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn ledger(data_dir: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(data_dir.join("issued.jsonl")).unwrap();
    let parsed = text.lines().map(serde_json::from_str);
    parsed.collect::<Result<_, _>>().unwrap()
}

#[test]
fn the_first_use_makes_both_authorities_and_the_next_finds_them() {
    let directory = crate::sys::fs::private_tempdir();
    let data_dir = directory.path().join("state/rproxy");
    let first = open(&data_dir).unwrap();
    let second = open(&data_dir).unwrap();
    let ca = data_dir.join("ca");
    assert_eq!(mode(&ca), 0o700);
    for kind in [CaKind::User, CaKind::Host] {
        let (path, public) = (
            ca.join(format!("{kind}_ca")),
            ca.join(format!("{kind}_ca.pub")),
        );
        assert_eq!((mode(&path), mode(&public)), (0o600, 0o644));
        assert_eq!(first.of(kind).public_keys(), second.of(kind).public_keys());
        let by_keygen = PublicKey::from_openssh(&ssh_keygen(&["-y"], &path)).unwrap();
        assert_eq!(by_keygen.key_data(), first.of(kind).public_key().key_data());
        let written = std::fs::read_to_string(&public).unwrap();
        assert!(
            written.ends_with(&format!(" rproxy {kind} CA example.com\n")),
            "{written}"
        );
    }
    let (user, host) = (first.of(CaKind::User), first.of(CaKind::Host));
    assert_ne!(user.public_key().key_data(), host.public_key().key_data());
    assert!(user.trusted().contains(user.public_key().key_data()));
    assert!(!user.trusted().contains(host.public_key().key_data()));
}

#[test]
fn many_at_once_end_with_one_authority() {
    let directory = crate::sys::fs::private_tempdir();
    let data_dir = directory.path();
    let keys: HashSet<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let authorities = open(data_dir).unwrap();
                    let key = |kind| authorities.of(kind).public_key().to_openssh().unwrap();
                    (key(CaKind::User), key(CaKind::Host))
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(keys.len(), 1);
}

#[test]
fn keys_that_others_can_read_are_refused_with_the_remedy() {
    let directory = crate::sys::fs::private_tempdir();
    let ca = directory.path().join("ca");
    open(directory.path()).unwrap();
    for (path, open_mode, right_mode) in [
        (ca.clone(), 0o750, "0700"),
        (ca.join("user_ca"), 0o640, "0600"),
    ] {
        let before = mode(&path);
        chmod(&path, open_mode);
        let refused = open(directory.path()).unwrap_err();
        assert!(
            matches!(refused, CaError::Fs(FsError::TooOpen { .. })),
            "{refused}"
        );
        assert_eq!(
            refused.hint().unwrap(),
            format!("chmod {right_mode} {}", path.display())
        );
        chmod(&path, before);
    }
    open(directory.path()).unwrap();
}

/// Puts a file in the place of the user CA's key, which must not be changed.
fn refused_key(content: &[u8]) -> CaError {
    let directory = crate::sys::fs::private_tempdir();
    let ca = directory.path().join("ca");
    crate::sys::fs::private_dir(&ca).unwrap();
    let path = ca.join("user_ca");
    put(&path, content, PRIVATE_FILE);
    let refused = open(directory.path()).unwrap_err();
    assert_eq!(std::fs::read(&path).unwrap(), content);
    refused
}

#[test]
fn what_is_no_usable_key_is_named_and_left_alone() {
    let directory = crate::sys::fs::private_tempdir();
    let made = |name: &str, args: &[&str]| {
        let path = directory.path().join(name);
        ssh_keygen(&[&["-q", "-C", "x"], args].concat(), &path);
        std::fs::read(&path).unwrap()
    };
    let plain = made("plain", &["-t", "ed25519", "-N", ""]);
    let half = plain.get(..plain.len() / 2).unwrap();
    let public = std::fs::read(directory.path().join("plain.pub")).unwrap();
    for broken in [b"".as_slice(), b"not a key", half, &public] {
        let refused = refused_key(broken);
        assert!(matches!(refused, CaError::NotAKey { .. }), "{refused}");
    }
    let encrypted = made("encrypted", &["-t", "ed25519", "-N", "secret"]);
    assert!(matches!(refused_key(&encrypted), CaError::Encrypted(_)));
    let small = made("small", &["-t", "rsa", "-b", "1024", "-N", ""]);
    assert!(matches!(refused_key(&small), CaError::Unusable(_)));
}

#[test]
fn an_authority_of_another_key_type_signs_too() {
    let directory = crate::sys::fs::private_tempdir();
    let ca = directory.path().join("ca");
    crate::sys::fs::private_dir(&ca).unwrap();
    ssh_keygen(
        &["-q", "-t", "rsa", "-b", "2048", "-N", ""],
        &ca.join("user_ca"),
    );
    ssh_keygen(
        &["-q", "-t", "ecdsa", "-b", "384", "-N", ""],
        &ca.join("host_ca"),
    );
    let authorities = open(directory.path()).unwrap();
    for issued in [
        authorities.issue_user(user_request()).unwrap(),
        authorities.issue_host(host_request()).unwrap(),
    ] {
        let path = directory.path().join("cert.pub");
        let text = issued.certificate.to_openssh().unwrap();
        put(&path, text.as_bytes(), PUBLIC_FILE);
        assert!(ssh_keygen(&["-L"], &path).contains("Signing CA: "));
    }
}

#[test]
fn a_private_key_that_was_taken_away_is_not_replaced_by_a_new_authority() {
    let directory = crate::sys::fs::private_tempdir();
    let ca = directory.path().join("ca");
    open(directory.path()).unwrap();
    std::fs::remove_file(ca.join("host_ca")).unwrap();
    let refused = open(directory.path()).unwrap_err();
    assert!(
        matches!(refused, CaError::PrivateKeyGone { .. }),
        "{refused}"
    );
    assert!(!ca.join("host_ca").exists());
}

#[test]
fn the_public_key_file_never_lies() {
    let directory = crate::sys::fs::private_tempdir();
    let public = directory.path().join("ca/user_ca.pub");
    open(directory.path()).unwrap();
    let right = std::fs::read(&public).unwrap();
    std::fs::remove_file(&public).unwrap();
    open(directory.path()).unwrap();
    assert_eq!(std::fs::read(&public).unwrap(), right);
    let other = some_key().to_openssh().unwrap();
    put(&public, other.as_bytes(), PUBLIC_FILE);
    let refused = open(directory.path()).unwrap_err();
    assert!(
        matches!(refused, CaError::PublicMismatch { .. }),
        "{refused}"
    );
}

#[test]
fn the_ledger_says_what_the_certificate_says() {
    let directory = crate::sys::fs::private_tempdir();
    let authorities = open(directory.path()).unwrap();
    let issued = authorities.issue_user(user_request()).unwrap();
    let lines = ledger(directory.path());
    let certificate = &issued.certificate;
    let fingerprint = |key: &ssh_key::public::KeyData| key.fingerprint(Default::default());
    assert_eq!(
        lines,
        [serde_json::json!({
            "time": "2027-01-15T08:00:00Z",
            "type": "user",
            "serial": certificate.serial(),
            "key_id": "alice",
            "principals": ["root"],
            "valid_after": NOW - 60,
            "valid_before": NOW + 60,
            "public_key": fingerprint(certificate.public_key()).to_string(),
            "ca": fingerprint(authorities.of(CaKind::User).public_key().key_data()).to_string(),
            "critical_options": { "source-address": "203.0.113.10/32" },
        })]
    );
    assert_eq!(mode(&directory.path().join("issued.jsonl")), 0o600);
}

#[test]
fn lines_of_several_writers_stay_whole_and_serials_unique() {
    let directory = crate::sys::fs::private_tempdir();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let authorities = open(directory.path()).unwrap();
                for _ in 0..50 {
                    authorities.issue_host(host_request()).unwrap();
                }
            });
        }
    });
    let lines = ledger(directory.path());
    let serials: HashSet<_> = lines
        .iter()
        .filter_map(|line| line["serial"].as_u64())
        .collect();
    assert_eq!((lines.len(), serials.len()), (100, 100));
    assert!(!serials.contains(&0));
}

#[test]
fn no_certificate_without_its_line_in_the_ledger() {
    let directory = crate::sys::fs::private_tempdir();
    let authorities = open(directory.path()).unwrap();
    std::fs::create_dir(directory.path().join("issued.jsonl")).unwrap();
    assert!(matches!(
        authorities.issue_host(host_request()),
        Err(CaError::Fs(FsError::Io { .. }))
    ));
}

#[test]
fn a_line_torn_by_a_crash_stays_alone() {
    let directory = crate::sys::fs::private_tempdir();
    let authorities = open(directory.path()).unwrap();
    let path = directory.path().join("issued.jsonl");
    authorities.issue_host(host_request()).unwrap();
    let whole = std::fs::read_to_string(&path).unwrap();
    put(
        &path,
        format!("{whole}{{\"time\":\"20").as_bytes(),
        PRIVATE_FILE,
    );
    authorities.issue_host(host_request()).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let good = text
        .lines()
        .filter(|line| serde_json::from_str::<Value>(line).is_ok());
    assert_eq!((good.count(), text.lines().count()), (2, 2));
    assert!(text.starts_with(&whole) && text.ends_with("}\n"));
}

/// A lost serial would be used again; a lost certificate could not be revoked.
#[test]
fn a_damaged_ledger_signs_nothing_and_is_read_by_nobody() {
    let directory = crate::sys::fs::private_tempdir();
    let authorities = open(directory.path()).unwrap();
    let path = directory.path().join("issued.jsonl");
    authorities.issue_host(host_request()).unwrap();
    let whole = std::fs::read_to_string(&path).unwrap();
    authorities.issue_host(host_request()).unwrap();
    let both = std::fs::read_to_string(&path).unwrap();
    let second = &both[whole.len()..];
    put(
        &path,
        format!("{}\n{second}", &whole[..whole.len() / 2]).as_bytes(),
        PRIVATE_FILE,
    );
    let errors = [
        Ledger::of(&DataDir::new(directory.path()))
            .issued()
            .map(drop),
        open(directory.path()).map(drop),
        RevocationLog::new(&DataDir::new(directory.path()), Clock::Fixed(NOW))
            .read()
            .map(drop),
    ];
    for error in errors {
        let error = error.unwrap_err();
        assert!(matches!(error, CaError::Damaged { line: 1, .. }), "{error}");
        assert!(error.hint().unwrap().contains("from a backup"));
    }
}

#[test]
fn a_refused_request_leaves_no_line() {
    let directory = crate::sys::fs::private_tempdir();
    let authorities = open(directory.path()).unwrap();
    let mut request = user_request();
    request.ttl = Duration::ZERO;
    assert!(matches!(
        authorities.issue_user(request),
        Err(CaError::Refused(_))
    ));
    assert!(ledger(directory.path()).is_empty());
}

#[test]
fn nothing_shows_a_private_key() {
    let directory = crate::sys::fs::private_tempdir();
    let authorities = open(directory.path()).unwrap();
    let mint = HostCertIssuer::new(authorities.of(CaKind::Host).clone()).unwrap();
    let identity = mint.mint(&["db1".parse().unwrap()], NOW).unwrap();
    let new = NewHostKey::generate("db1").unwrap();
    let shown = format!("{authorities:?} {mint:?} {identity:?} {new:?}");
    assert!(
        !shown.contains("PRIVATE") && !shown.contains("PrivateKey"),
        "{shown}"
    );
}

//! Keys that exist elsewhere: which files are taken, what becomes of the key that is there.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::ca::testing::*;
use crate::ca::*;
use crate::cert::testing::{ed25519, keys};
use crate::sys::fs::{FsError, PRIVATE_FILE, Replace, write_whole};

const KIND: CaKind = CaKind::User;

/// A key pair made by ssh-keygen with these arguments.
fn made(home: &CaHome, name: &str, arguments: &[&str]) -> std::path::PathBuf {
    let path = home.path(name);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-f"])
        .arg(&path)
        .args(arguments)
        .output()
        .expect("ssh-keygen, of Debian's openssh-client");
    assert!(made.status.success(), "{made:?}");
    path
}

fn refused(path: &Path) -> ImportError {
    let refused = KeyFile::read(path).unwrap_err();
    if !matches!(refused, ImportError::Fs(FsError::Io { .. })) {
        assert!(refused.hint(path).is_some(), "{refused}");
    }
    refused
}

#[test]
fn keys_of_every_kind_are_taken_with_and_without_a_passphrase() {
    // Of ECDSA a size of which ssh-key reads every key, also behind a passphrase.
    for (kind, bits) in [("ed25519", "256"), ("ecdsa", "384"), ("rsa", "3072")] {
        for passphrase in ["", "correct horse"] {
            let home = CaHome::new();
            let path = made(&home, "key", &["-t", kind, "-b", bits, "-N", passphrase]);
            let key = match KeyFile::read(&path).unwrap() {
                KeyFile::Ready(key) => key,
                KeyFile::Locked(locked) => locked.unlock(passphrase.as_bytes()).unwrap(),
            };
            let imported = fingerprint(key.public());
            let done = home.with(|installation| {
                Authorities::import(installation, KIND, key, ImportMode::First)
            });
            assert_eq!(done.unwrap().0, None);
            assert_eq!(home.keys(KIND), (vec![imported.clone()], imported));
            let authorities = home.open().unwrap();
            authorities
                .issue_user(user_request(ed25519().public_key()))
                .unwrap();
            let comment = authorities.of(KIND).public_keys()[0].comment().clone();
            assert_eq!(comment.as_str_lossy(), "rproxy user CA example.com");
            let mode = home.ca("user_ca").metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, PRIVATE_FILE);
        }
    }
}

#[test]
fn a_wrong_passphrase_is_called_so() {
    let home = CaHome::new();
    let path = made(&home, "key", &["-t", "ed25519", "-N", "right"]);
    let KeyFile::Locked(locked) = KeyFile::read(&path).unwrap() else {
        panic!("no passphrase");
    };
    let wrong = locked.unlock(b"wrong").unwrap_err();
    assert!(matches!(wrong, ImportError::Passphrase), "{wrong}");
}

#[test]
fn what_cannot_be_an_authoritys_key_is_named() {
    let home = CaHome::new();
    for passphrase in ["", "secret"] {
        let weak = made(
            &home,
            &format!("weak{passphrase}"),
            &["-t", "rsa", "-b", "1024", "-N", passphrase],
        );
        assert!(matches!(refused(&weak), ImportError::Key(_)));
    }
    let pem = made(&home, "pem", &["-t", "rsa", "-m", "PEM", "-N", ""]);
    assert!(matches!(refused(&pem), ImportError::Format("PEM")));
    let pkcs8 = made(&home, "pkcs8", &["-t", "ecdsa", "-m", "PKCS8", "-N", ""]);
    assert!(matches!(refused(&pkcs8), ImportError::Format("PKCS#8")));

    let good = made(&home, "good", &["-t", "ed25519", "-N", ""]);
    let text = std::fs::read_to_string(&good).unwrap();
    let put = |content: &[u8]| {
        let path = home.path("put");
        write_whole(&path, content, PRIVATE_FILE, Replace::Allow).unwrap();
        refused(&path)
    };
    assert!(matches!(
        put(&text.as_bytes()[..200]),
        ImportError::Damaged(_)
    ));
    let damaged = text.replace("b3BlbnNzaC1rZXktdjEA", "b3BlbnNzaC1rZXktdjIA");
    assert!(matches!(put(damaged.as_bytes()), ImportError::Damaged(_)));
    let putty = b"PuTTY-User-Key-File-3: ssh-ed25519\n";
    assert!(matches!(put(putty), ImportError::Format("PuTTY's")));
    for nothing in [b"".as_slice(), b"\xff\xfe", b"hello", &[0; 70_000]] {
        let why = put(nothing);
        assert!(
            matches!(why, ImportError::Key(_) | ImportError::Fs(_)),
            "{why}"
        );
    }
    assert!(matches!(refused(&home.path("none")), ImportError::Fs(_)));

    std::fs::set_permissions(&good, Permissions::from_mode(0o644)).unwrap();
    let open = refused(&good);
    assert!(
        matches!(open, ImportError::Fs(FsError::TooOpen { .. })),
        "{open}"
    );
}

#[test]
fn a_key_that_is_there_stays_unless_somebody_says_otherwise() {
    let home = CaHome::new();
    let (_, made) = home.keys(KIND);
    let (first, second) = (ed25519(), keys()[1].clone());
    let path = home.write("first", &first);
    let kept = home.import(KIND, &path, ImportMode::First).unwrap_err();
    assert!(matches!(kept, CaError::HasKey { .. }), "{kept}");
    assert!(kept.to_string().contains(&made), "{kept}");
    assert_eq!(home.keys(KIND).1, made);

    let before = home.import(KIND, &path, ImportMode::Overwrite).unwrap();
    assert_eq!(before.as_ref().map(fingerprint), Some(made));
    let first = fingerprint(first.public_key());
    assert_eq!(home.keys(KIND), (vec![first.clone()], first.clone()));
    let same = home.import(KIND, &path, ImportMode::Overwrite).unwrap_err();
    assert!(matches!(same, CaError::HasThisKey(_)), "{same}");

    let path = home.write("second", &second);
    home.import(KIND, &path, ImportMode::Rotate).unwrap();
    let second = fingerprint(second.public_key());
    assert_eq!(
        home.keys(KIND),
        (vec![first.clone(), second.clone()], first)
    );
    for mode in [ImportMode::Rotate, ImportMode::Overwrite] {
        let path = home.write("third", &ed25519());
        let busy = home.import(KIND, &path, mode).unwrap_err();
        assert!(matches!(busy, CaError::Move(_)), "{busy}");
    }
    for phase in [
        RotationPhase::UpdateClients,
        RotationPhase::UpdateServers,
        RotationPhase::Standby,
    ] {
        home.go(KIND, phase).unwrap();
    }
    assert_eq!(home.keys(KIND), (vec![second.clone()], second));
    let files = ["host_ca", "host_ca.pub", "user_ca", "user_ca.pub"];
    assert_eq!(home.key_files(), files);
}

#[test]
fn a_private_key_that_was_lost_is_brought_back() {
    let home = CaHome::new();
    let (_, key) = home.keys(KIND);
    let backup = home.path("backup");
    std::fs::rename(home.ca("user_ca"), &backup).unwrap();
    let other = home.write("other", &ed25519());
    let gone = home
        .import(KIND, &other, ImportMode::Overwrite)
        .unwrap_err();
    assert!(matches!(gone, CaError::PrivateKeyGone { .. }), "{gone}");
    home.import(KIND, &backup, ImportMode::First).unwrap();
    assert_eq!(home.keys(KIND).1, key);
}

#[test]
fn a_public_key_is_taken_when_the_configuration_says_which_agent_has_it() {
    let mut home = CaHome::new();
    let agent = TestAgent::start(&home.path("agent"));
    let key = ed25519();
    home.write("key", &key);
    let public = home.path("key.pub");
    let unknown = home.import(KIND, &public, ImportMode::First).unwrap_err();
    assert!(matches!(unknown, CaError::NoAgentFor(_)), "{unknown}");
    let hint = unknown.hint().unwrap();
    assert!(hint.contains(&fingerprint(key.public_key())), "{hint}");

    let (_, file) = home.keys(KIND);
    home.ca_keys.user.current = in_agent(&agent.socket, &key);
    let private = home.import(KIND, &home.path("key"), ImportMode::Overwrite);
    assert!(matches!(private.unwrap_err(), CaError::InAgent(_)));
    let absent = home
        .import(KIND, &public, ImportMode::Overwrite)
        .unwrap_err();
    assert!(matches!(absent, CaError::Agent(_)), "{absent}");
    assert!(home.ca("user_ca").exists(), "the old key stays");
    agent.add(&[], &home.path("key"));
    let before = home.import(KIND, &public, ImportMode::Overwrite).unwrap();
    assert_eq!(before.as_ref().map(fingerprint), Some(file));
    assert_eq!(home.keys(KIND).1, fingerprint(key.public_key()));
    assert_eq!(home.key_files(), ["host_ca", "host_ca.pub", "user_ca.pub"]);

    let next = home.write("next", &ed25519());
    let other = home.import(KIND, &next, ImportMode::Overwrite).unwrap_err();
    assert!(matches!(other, CaError::OtherKey { .. }), "{other}");
    home.import(KIND, &next, ImportMode::Rotate)
        .expect("back to a file");
}

//! Certificates by which the keys of the host CA name each other: what a host gets that was off, read by
//! the real `ssh-keygen`.

use std::path::Path;
use std::process::Command;

use ssh_key::{HashAlg, PrivateKey};

use crate::ca::testing::*;
use crate::ca::*;
use crate::cert::testing::{ed25519, keys};
use crate::sys::fs::{PUBLIC_FILE, Replace, write_whole};

const KIND: CaKind = CaKind::Host;

/// What `ssh-keygen -L` says of a line; `None` if it refuses the certificate.
fn listed(directory: &Path, line: &str) -> Option<String> {
    let path = directory.join("successor-cert.pub");
    write_whole(&path, line.as_bytes(), PUBLIC_FILE, Replace::Allow).unwrap();
    let output = Command::new("ssh-keygen").arg("-Lf").arg(&path).output();
    let output = output.expect("ssh-keygen, of Debian's openssh-client");
    let text = String::from_utf8(output.stdout).unwrap();
    output.status.success().then_some(text)
}

/// The signer and the subject, after all that a host checks.
fn link(directory: &Path, line: &str) -> Option<(String, String)> {
    let text = listed(directory, line)?;
    let fingerprint = |what: &str| {
        let line = text.lines().find(|line| line.contains(what)).unwrap();
        let found = line
            .split_whitespace()
            .find(|word| word.starts_with("SHA256:"));
        found.unwrap().to_owned()
    };
    let after = |what: &str| {
        let mut lines = text.lines().skip_while(|line| !line.contains(what)).skip(1);
        lines.next().unwrap().trim().to_owned()
    };
    let is_one = text.contains(" host certificate")
        && after("Principals:") == "host-ca-successor@example.com"
        && after("Critical Options:").starts_with("host-ca-successor@rproxy");
    let plain = line
        .split_whitespace()
        .skip(2)
        .collect::<Vec<_>>()
        .join(" ");
    let plain = ssh_key::PublicKey::from_openssh(&plain).unwrap();
    let subject = fingerprint("Public key:");
    assert_eq!(plain.fingerprint(HashAlg::Sha256).to_string(), subject);
    is_one.then(|| (fingerprint("Signing CA:"), subject))
}

/// The keys that a host trusts which trusts this one and goes through the lines.
fn trusted_from(home: &CaHome, key: &str) -> Vec<String> {
    let mut trusted = vec![key.to_owned()];
    for line in home.open().unwrap().successors() {
        let (signer, subject) = link(&home.path(""), line).unwrap_or_else(|| panic!("{line}"));
        if trusted.contains(&signer) {
            trusted.push(subject);
        }
    }
    trusted
}

fn arrives(home: &CaHome, from: &str) -> bool {
    trusted_from(home, from).contains(&home.keys(KIND).1)
}

fn rotate_to_the_end(home: &CaHome) {
    for phase in [
        RotationPhase::UpdateClients,
        RotationPhase::UpdateServers,
        RotationPhase::Standby,
    ] {
        home.go(KIND, phase).unwrap();
    }
}

fn only_key(home: &CaHome) -> String {
    let (trusted, signs) = home.keys(KIND);
    assert_eq!(trusted, [signs.as_str()]);
    signs
}

#[test]
fn a_host_that_was_off_through_rotations_finds_todays_key() {
    let home = CaHome::new();
    assert!(home.open().unwrap().successors().is_empty());
    home.go(CaKind::User, RotationPhase::Init).unwrap();
    assert!(
        home.open().unwrap().successors().is_empty(),
        "of hosts' keys"
    );
    let mut earlier = vec![only_key(&home)];
    for key in keys() {
        let file = home.write("key", key);
        home.import(KIND, &file, ImportMode::Rotate).unwrap();
        // From the beginning on: while both sign, a host has to know both.
        let both = home.keys(KIND).0;
        for one in &earlier {
            let trusted = trusted_from(&home, one);
            assert!(both.iter().all(|key| trusted.contains(key)), "{trusted:?}");
        }
        rotate_to_the_end(&home);
        assert!(earlier.iter().all(|one| arrives(&home, one)));
        earlier.push(only_key(&home));
    }
    assert_eq!(home.open().unwrap().successors().len(), keys().len());
    let stranger = fingerprint(ed25519().public_key());
    assert_eq!(trusted_from(&home, &stranger), [stranger]);
    let mode =
        std::os::unix::fs::MetadataExt::mode(&home.ca("host_ca_successors").metadata().unwrap());
    assert_eq!(mode & 0o7777, PUBLIC_FILE);
}

/// `ssh-keygen -L` refuses what was changed, and here it is left out.
#[test]
fn a_forged_certificate_is_refused() {
    let home = CaHome::new();
    home.open().unwrap();
    home.go(KIND, RotationPhase::Init).unwrap();
    let line = home.open().unwrap().successors()[0].clone();
    assert!(link(&home.path(""), &line).is_some());
    let mut words = line.split(' ');
    let (name, encoded) = (words.next().unwrap(), words.next().unwrap());
    use ssh_encoding::base64::{Base64, Encoding as _};
    let blob = Base64::decode_vec(encoded).unwrap();
    let subject = blob.len() / 2;
    for at in [60, subject, blob.len() - 1] {
        let mut forged = blob.clone();
        forged[at] ^= 1;
        let forged = format!("{name} {} {}", Base64::encode_string(&forged), "x");
        assert!(listed(&home.path(""), &forged).is_none(), "byte {at}");
        let text = format!("{forged}\n{line}\nnonsense\n");
        let path = home.ca("host_ca_successors");
        write_whole(&path, text.as_bytes(), PUBLIC_FILE, Replace::Allow).unwrap();
        assert_eq!(home.open().unwrap().successors(), [line.as_str()]);
    }
}

/// A key that was withdrawn is reached by nobody, and whoever knows it finds the way back.
#[test]
fn a_rollback_leads_to_the_key_that_stays() {
    let home = CaHome::new();
    home.open().unwrap();
    let first = only_key(&home);
    home.go(KIND, RotationPhase::Init).unwrap();
    rotate_to_the_end(&home);
    let old = only_key(&home);
    home.go(KIND, RotationPhase::Init).unwrap();
    home.go(KIND, RotationPhase::UpdateClients).unwrap();
    let withdrawn = home.keys(KIND).0[1].clone();
    home.go(KIND, RotationPhase::Rollback).unwrap();
    for _ in 0..2 {
        assert!(!trusted_from(&home, &first).contains(&withdrawn));
        assert!(
            [&first, &old, &withdrawn]
                .into_iter()
                .all(|key| arrives(&home, key))
        );
        if home.keys(KIND).0.len() > 1 {
            home.go(KIND, RotationPhase::Standby).unwrap();
        }
    }
    assert_eq!(only_key(&home), old);
    // From standby: hosts know the new key alone.
    home.go(KIND, RotationPhase::Init).unwrap();
    rotate_to_the_end(&home);
    let new = only_key(&home);
    assert!(arrives(&home, &withdrawn));
    home.go(KIND, RotationPhase::Rollback).unwrap();
    home.go(KIND, RotationPhase::Standby).unwrap();
    assert_eq!(only_key(&home), old);
    assert!(
        [&first, &withdrawn, &new]
            .into_iter()
            .all(|key| arrives(&home, key))
    );
    assert!(!trusted_from(&home, &first).contains(&new));
}

/// An earlier version has begun the rotation, or the file was lost.
#[test]
fn a_certificate_that_is_missing_is_made_as_long_as_both_keys_are_there() {
    let home = CaHome::new();
    home.open().unwrap();
    let old = only_key(&home);
    for phase in [
        RotationPhase::Init,
        RotationPhase::UpdateClients,
        RotationPhase::UpdateServers,
    ] {
        home.go(KIND, phase).unwrap();
        std::fs::remove_file(home.ca("host_ca_successors")).unwrap();
        assert!(arrives(&home, &old), "{phase}");
    }
    std::fs::remove_file(home.ca("host_ca_successors")).unwrap();
    home.go(KIND, RotationPhase::Standby).unwrap();
    assert!(arrives(&home, &old));
}

/// The new key was put there, and the rotation did not begin.
#[test]
fn a_crash_at_the_beginning_leaves_no_way_to_a_key_that_nobody_has() {
    let home = CaHome::new();
    home.open().unwrap();
    home.go(KIND, RotationPhase::Init).unwrap();
    std::fs::remove_file(home.ca("host_rotation.json")).unwrap();
    std::fs::remove_file(home.data_dir().ledger()).unwrap();
    let before = std::fs::read_to_string(home.ca("host_ca_successors")).unwrap();
    assert_eq!(before.lines().count(), 1);
    assert!(home.open().unwrap().successors().is_empty());
    home.go(KIND, RotationPhase::Init).unwrap();
    assert_eq!(home.open().unwrap().successors().len(), 1);
}

fn home_with_agent(key: &PrivateKey) -> (CaHome, TestAgent) {
    let mut home = CaHome::new();
    let agent = TestAgent::start(&home.path("agent"));
    agent.add(&[], &home.write("key", key));
    home.ca_keys.host.current = in_agent(&agent.socket, key);
    home.open().unwrap();
    (home, agent)
}

#[test]
fn a_key_in_an_agent_names_its_successor_or_the_rotation_does_not_begin() {
    let (old, new) = (ed25519(), keys()[1].clone());
    let (mut home, agent) = home_with_agent(&old);
    home.ca_keys.host.next = in_agent(&agent.socket, &new);
    agent.add(&[], &home.write("next", &new));
    agent.ssh_add(|command| command.arg("-d").arg(home.path("key")));
    let refused = home.go(KIND, RotationPhase::Init).unwrap_err();
    assert!(matches!(refused, CaError::Agent(_)), "{refused}");
    assert_eq!(home.keys(KIND).0.len(), 1);
    agent.add(&[], &home.path("key"));
    home.go(KIND, RotationPhase::Init).unwrap();
    assert!(arrives(&home, &fingerprint(old.public_key())));
    // The old key may be gone by then.
    agent.ssh_add(|command| command.arg("-d").arg(home.path("key")));
    rotate_to_the_end(&home);
    assert_eq!(only_key(&home), fingerprint(new.public_key()));
    assert!(arrives(&home, &fingerprint(old.public_key())));
}

#[test]
fn an_import_that_replaces_the_key_at_once_names_it_if_the_old_one_signs() {
    let home = CaHome::new();
    home.open().unwrap();
    let old = only_key(&home);
    let file = home.write("other", &ed25519());
    home.import(KIND, &file, ImportMode::Overwrite).unwrap();
    assert!(arrives(&home, &old));

    let old = ed25519();
    let (mut home, agent) = home_with_agent(&old);
    agent.ssh_add(|command| command.arg("-D"));
    let file = home.write("other", &ed25519());
    home.ca_keys.host.current = None;
    home.ca_keys.host.next = in_agent(&agent.socket, &old);
    home.import(KIND, &file, ImportMode::Overwrite).unwrap();
    assert!(!arrives(&home, &fingerprint(old.public_key())));
}

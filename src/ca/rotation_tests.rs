//! Rotations on disk: which keys are there in each phase, and what a crash leaves.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ssh_key::{Algorithm, PrivateKey};

use super::*;
use crate::cert::{HostRequest, UserRequest};
use crate::sys::clock::Clock;
use crate::sys::fs::{PRIVATE_FILE, Replace, write_whole};

const NOW: u64 = 1_800_000_000;
const KINDS: [CaKind; 2] = [CaKind::User, CaKind::Host];

struct Scene {
    directory: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn open_at(&self, now: u64) -> Result<Authorities, CaError> {
        Authorities::open(&Installation {
            data_dir: self.directory.path(),
            cluster: &"example.com".parse().unwrap(),
            ca_keys: &CaKeys::default(),
            clock: Clock::Fixed(now),
        })
    }

    fn open(&self) -> Authorities {
        self.open_at(NOW).unwrap()
    }

    fn go(&self, kind: CaKind, to: Phase) -> Result<(Rotation, Rotation), CaError> {
        self.rotate(kind, |rotation, now| rotation.go(kind, to, now))
    }

    fn rotate(
        &self,
        kind: CaKind,
        change: impl FnOnce(&Rotation, u64) -> Result<Rotation, MoveError>,
    ) -> Result<(Rotation, Rotation), CaError> {
        let installation = Installation {
            data_dir: self.directory.path(),
            cluster: &"example.com".parse().unwrap(),
            ca_keys: &CaKeys::default(),
            clock: Clock::Fixed(NOW),
        };
        Authorities::rotate(&installation, kind, change)
    }

    /// Trusted keys in order, and the one that signs.
    fn keys(&self, kind: CaKind) -> (Vec<String>, String) {
        let authorities = self.open();
        let authority = authorities.of(kind);
        let text = |key: &ssh_key::PublicKey| key.fingerprint(Default::default()).to_string();
        let trusted = authority.public_keys().iter().map(text).collect();
        (trusted, text(authority.public_key()))
    }

    fn ca(&self, name: &str) -> PathBuf {
        self.directory.path().join("ca").join(name)
    }

    fn files(&self) -> BTreeSet<String> {
        let entries = std::fs::read_dir(self.directory.path().join("ca")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| !name.ends_with("_rotation.json"))
            .collect()
    }

    fn state(&self, kind: CaKind, text: &str) {
        let path = self.ca(&format!("{kind}_rotation.json"));
        write_whole(&path, text.as_bytes(), PRIVATE_FILE, Replace::Allow).unwrap();
    }
}

fn usual_files() -> BTreeSet<String> {
    let names = ["host_ca", "host_ca.pub", "lock", "user_ca", "user_ca.pub"];
    names.map(str::to_owned).into()
}

/// Takes a rotation through its phases up to this one.
fn up_to(scene: &Scene, kind: CaKind, phase: Phase) {
    for to in [Phase::Init, Phase::UpdateClients, Phase::UpdateServers] {
        scene.go(kind, to).unwrap();
        if to == phase {
            return;
        }
    }
}

#[test]
fn a_whole_rotation_ends_with_the_new_key_alone() {
    for kind in KINDS {
        let scene = Scene::new();
        let (before, old) = scene.keys(kind);
        assert_eq!(before, [old.as_str()]);
        scene.go(kind, Phase::Init).unwrap();
        let (both, signing) = scene.keys(kind);
        assert_eq!((both.len(), &both[0], &signing), (2, &old, &old));
        let new = both[1].clone();
        let signing_in = |phase| {
            scene.go(kind, phase).unwrap();
            let (trusted, signing) = scene.keys(kind);
            assert_eq!(trusted, both, "{phase}");
            signing
        };
        let early = if kind == CaKind::User { &new } else { &old };
        assert_eq!(&signing_in(Phase::UpdateClients), early);
        assert_eq!(signing_in(Phase::UpdateServers), new);
        scene.go(kind, Phase::Standby).unwrap();
        assert_eq!(scene.keys(kind), (vec![new.clone()], new));
        assert_eq!(scene.files(), usual_files());
        scene.go(kind, Phase::Init).expect("and again");
    }
}

#[test]
fn every_phase_can_be_rolled_back() {
    for kind in KINDS {
        for phase in [Phase::Init, Phase::UpdateClients, Phase::UpdateServers] {
            let scene = Scene::new();
            let (_, old) = scene.keys(kind);
            up_to(&scene, kind, phase);
            let (both, _) = scene.keys(kind);
            scene.go(kind, Phase::Rollback).unwrap();
            assert_eq!(scene.keys(kind), (both, old.clone()), "{phase}");
            scene.go(kind, Phase::Standby).unwrap();
            assert_eq!(scene.keys(kind), (vec![old.clone()], old), "{phase}");
            assert_eq!(scene.files(), usual_files());
        }
    }
}

#[test]
fn a_refused_move_changes_nothing() {
    let scene = Scene::new();
    up_to(&scene, CaKind::User, Phase::UpdateClients);
    let before = (scene.keys(CaKind::User), scene.files());
    for to in [Phase::Init, Phase::UpdateClients, Phase::Standby] {
        let refused = scene.go(CaKind::User, to).unwrap_err();
        assert!(matches!(refused, CaError::Move(_)), "{refused}");
        assert!(refused.hint().is_some());
    }
    assert_eq!((scene.keys(CaKind::User), scene.files()), before);
    assert_eq!(
        scene.keys(CaKind::Host).0.len(),
        1,
        "the other is not moved"
    );
}

#[test]
fn of_many_at_once_one_begins() {
    let scene = Scene::new();
    let begun: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| scene.go(CaKind::User, Phase::Init).is_ok()))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(begun.iter().filter(|begun| **begun).count(), 1);
    assert_eq!(scene.keys(CaKind::User).0.len(), 2);
}

#[test]
fn the_schedule_is_kept_whenever_somebody_looks() {
    let scene = Scene::new();
    let grace = Duration::from_secs(300);
    scene.open();
    scene
        .rotate(CaKind::User, |rotation, now| {
            rotation.begin(CaKind::User, Some(grace), now)
        })
        .unwrap();
    assert_eq!(scene.open().due(), Some(NOW + 100));
    let phase = |seconds: u64| {
        let authorities = scene.open_at(NOW + seconds).unwrap();
        authorities.of(CaKind::User).rotation().phase()
    };
    assert_eq!(phase(99), Phase::Init);
    assert_eq!(phase(100), Phase::UpdateClients);
    assert_eq!(phase(299), Phase::UpdateServers);
    assert_eq!(phase(1000), Phase::Standby);
    assert_eq!(phase(2000), Phase::Standby);
    assert_eq!(scene.files(), usual_files());
    // Each move is audited once, whoever it was that looked.
    let audit = std::fs::read_to_string(scene.directory.path().join("audit.jsonl")).unwrap();
    let moves: Vec<_> = audit
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .inspect(|event| assert_eq!(event["event"], "authority.rotated"))
        .inspect(|event| assert!(event["type"] == "user" && event["by"].is_null()))
        .map(|event| format!("{} {}", event["from"], event["to"]).replace('"', ""))
        .collect();
    assert_eq!(
        moves,
        [
            "init update_clients",
            "update_clients update_servers",
            "update_servers standby"
        ]
    );
}

/// Standby is decided, and the process dies before the keys are moved, between any two steps.
#[test]
fn a_crash_at_the_end_is_finished_by_whoever_comes_next() {
    let kind = CaKind::User;
    let standby = r#"{"phase":"standby","since":1,"keep":"new"}"#;
    for steps in 0..=4 {
        let scene = Scene::new();
        scene.open();
        up_to(&scene, kind, Phase::UpdateServers);
        let new = scene.keys(kind).0[1].clone();
        scene.state(kind, standby);
        let remove = |name: &str| std::fs::remove_file(scene.ca(name)).unwrap();
        if steps > 0 {
            remove("user_ca.pub");
        }
        if steps > 1 {
            std::fs::rename(scene.ca("user_ca_new"), scene.ca("user_ca")).unwrap();
        }
        if steps > 2 {
            remove("user_ca_new.pub");
        }
        if steps > 3 {
            scene.state(kind, r#"{"phase":"standby","since":1}"#);
        }
        assert_eq!(
            scene.keys(kind),
            (vec![new.clone()], new),
            "after {steps} steps"
        );
        assert_eq!(scene.files(), usual_files(), "after {steps} steps");
    }
}

/// The new key is on disk and the state is not: nobody was told of it.
#[test]
fn a_crash_at_the_beginning_leaves_a_key_that_nobody_uses() {
    let scene = Scene::new();
    scene.open();
    up_to(&scene, CaKind::Host, Phase::Init);
    let announced = scene.keys(CaKind::Host).0[1].clone();
    std::fs::remove_file(scene.ca("host_rotation.json")).unwrap();
    assert_eq!(scene.keys(CaKind::Host).0.len(), 1);
    scene.go(CaKind::Host, Phase::Init).unwrap();
    assert_ne!(scene.keys(CaKind::Host).0[1], announced);
}

#[test]
fn the_old_key_does_not_go_before_the_new_one_is_there() {
    let scene = Scene::new();
    let (old, _) = scene.keys(CaKind::User);
    up_to(&scene, CaKind::User, Phase::UpdateServers);
    std::fs::remove_file(scene.ca("user_ca_new")).unwrap();
    let refused = scene.go(CaKind::User, Phase::Standby).unwrap_err();
    assert!(matches!(refused, CaError::NewKeyGone(_)), "{refused}");
    assert!(matches!(scene.open_at(NOW), Err(CaError::NewKeyGone(_))));
    scene.go(CaKind::User, Phase::Rollback).unwrap();
    scene.go(CaKind::User, Phase::Standby).unwrap();
    assert_eq!(scene.keys(CaKind::User).0, old);
}

#[test]
fn a_state_that_says_nothing_is_named_and_left_alone() {
    let scene = Scene::new();
    scene.open();
    for broken in ["", "{}", "{\"phase\":\"x\",\"since\":1}", "null"] {
        scene.state(CaKind::User, broken);
        let refused = scene.open_at(NOW).unwrap_err();
        assert!(
            matches!(refused, CaError::RotationState { .. }),
            "{refused}"
        );
        let left = std::fs::read_to_string(scene.ca("user_rotation.json")).unwrap();
        assert_eq!(left, broken);
    }
}

#[test]
fn what_is_signed_by_the_key_that_leaves_is_listed_until_it_is_replaced() {
    let scene = Scene::new();
    let key = || {
        let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap();
        key.public_key().clone()
    };
    let user = |name: &str, seconds| UserRequest {
        identity: name.parse().unwrap(),
        logins: vec!["root".parse().unwrap()],
        public_key: key(),
        ttl: Duration::from_secs(seconds),
        source_addresses: Vec::new(),
    };
    let host = |name: &str| HostRequest {
        names: vec![name.parse().unwrap()],
        public_key: key(),
        ttl: Duration::from_secs(600),
    };
    let authorities = scene.open();
    authorities.issue_user(user("alice", 100)).unwrap();
    authorities.issue_user(user("bob", 200)).unwrap();
    authorities.issue_host(host("db1")).unwrap();
    let left = |now: u64| -> Vec<String> {
        let left = scene
            .open_at(now)
            .unwrap()
            .outstanding(CaKind::User)
            .unwrap();
        left.into_iter().map(|one| one.key_id).collect()
    };
    assert!(left(NOW).is_empty(), "no key leaves");
    up_to(&scene, CaKind::User, Phase::UpdateClients);
    assert_eq!(left(NOW), ["bob", "alice"]);
    assert_eq!(left(NOW + 150), ["bob"]);
    scene.open().issue_user(user("bob", 200)).unwrap();
    assert_eq!(left(NOW), ["alice"]);
    scene.go(CaKind::User, Phase::Rollback).unwrap();
    assert_eq!(left(NOW), ["bob"], "back: what the new key signed is left");
}

#[test]
fn a_throwaway_is_signed_by_each_key_and_kept_by_nobody() {
    let scene = Scene::new();
    scene.open();
    up_to(&scene, CaKind::User, Phase::Init);
    let authorities = scene.open();
    let user = authorities.of(CaKind::User);
    let root = "root".parse().unwrap();
    let networks = ["203.0.113.10/32".to_owned()];
    let throwaways = user.throwaways(&root, &networks, NOW).unwrap();
    assert_eq!(throwaways.len(), 2);
    for (throwaway, key) in throwaways.iter().zip(user.public_keys()) {
        let certificate = &throwaway.certificate;
        assert_eq!(certificate.signature_key(), key.key_data());
        assert_eq!(certificate.valid_principals(), ["root"]);
        assert_eq!(certificate.valid_before(), NOW + 120);
        let options = certificate.critical_options();
        assert_eq!(options.get("source-address").unwrap(), "203.0.113.10/32");
    }
    let trials = user.trials(&root, NOW).unwrap();
    let usual = &throwaways[0].certificate;
    assert_eq!(trials.behind.valid_before(), usual.valid_after());
    assert_eq!(trials.ahead.valid_after(), usual.valid_before());
    assert!(!Path::new(&scene.directory.path().join("issued.jsonl")).exists());
}

#[test]
fn whoever_only_looks_leaves_everything_as_it_is() {
    let scene = Scene::new();
    let look = |now| {
        let installation = Installation {
            data_dir: scene.directory.path(),
            cluster: &"example.com".parse().unwrap(),
            ca_keys: &CaKeys::default(),
            clock: Clock::Fixed(now),
        };
        Authorities::look(&installation, CaKind::User).map_err(|error| error.to_string())
    };
    let files = || {
        let entries = std::fs::read_dir(scene.directory.path().join("ca"));
        let entries = entries.into_iter().flatten().map(Result::unwrap);
        let read = |path: PathBuf| (path.clone(), std::fs::read(path).unwrap());
        let mut files: Vec<_> = entries.map(|entry| read(entry.path())).collect();
        files.sort();
        files
    };
    assert!(look(NOW).unwrap().is_none());
    assert!(files().is_empty());
    scene.open();
    let grace = Some(Duration::from_secs(300));
    let begin = |rotation: &Rotation, now| rotation.begin(CaKind::User, grace, now);
    scene.rotate(CaKind::User, begin).unwrap();
    let public = scene.directory.path().join("ca/user_ca.pub");
    std::fs::remove_file(&public).unwrap();
    let before = files();

    let seen = look(NOW).unwrap().unwrap();
    assert_eq!(seen.authority.public_keys().len(), 2);
    assert_eq!(seen.overdue, None);
    let seen = look(NOW + 250).unwrap().unwrap();
    assert_eq!(seen.authority.rotation().phase(), Phase::Init);
    assert_eq!(seen.overdue, Some((NOW + 100, Phase::UpdateClients)));
    write_whole(&public, b"ssh-ed25519 nonsense", 0o644, Replace::Refuse).unwrap();
    assert!(look(NOW).unwrap_err().contains("is not the public key of"));
    std::fs::remove_file(&public).unwrap();
    assert_eq!(files(), before);
}

//! Rotations on disk: which keys are there in each phase, and what a crash leaves.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use ssh_key::{Algorithm, PrivateKey};

use super::testing::everything_in;
use super::*;
use crate::cert::{HostRequest, UserRequest};
use crate::model::DataDir;
use crate::sys::clock::Clock;
use crate::sys::fs::{PRIVATE_FILE, Replace, write_whole};

const NOW: u64 = 1_800_000_000;
const KINDS: [CaKind; 2] = [CaKind::User, CaKind::Host];

struct RotationFixture {
    directory: tempfile::TempDir,
}

impl RotationFixture {
    fn new() -> Self {
        Self {
            directory: crate::sys::fs::private_tempdir(),
        }
    }

    fn open_at(&self, now: u64) -> Result<Authorities, CaError> {
        let made = Authorities::make(&Installation {
            data_dir: &DataDir::new(self.directory.path()),
            cluster: &"example.com".parse().unwrap(),
            ca_keys: &CaKeys::default(),
            records: CaRecords::in_files(&DataDir::new(self.directory.path()), Clock::Fixed(now)),
            clock: Clock::Fixed(now),
        });
        made.map(|(authorities, _made)| authorities)
    }

    fn open(&self) -> Authorities {
        self.open_at(NOW).unwrap()
    }

    fn go(&self, kind: CaKind, to: RotationPhase) -> Result<(Rotation, Rotation), CaError> {
        self.rotate(kind, |rotation, kept, now| rotation.go(kind, to, kept, now))
    }

    fn rotate(
        &self,
        kind: CaKind,
        change: impl FnOnce(&Rotation, Option<u64>, u64) -> Result<Rotation, MoveError>,
    ) -> Result<(Rotation, Rotation), CaError> {
        let installation = Installation {
            data_dir: &DataDir::new(self.directory.path()),
            cluster: &"example.com".parse().unwrap(),
            ca_keys: &CaKeys::default(),
            records: CaRecords::in_files(&DataDir::new(self.directory.path()), Clock::Fixed(NOW)),
            clock: Clock::Fixed(NOW),
        };
        if !self.ca("lock").exists() {
            Authorities::make(&installation)?;
        }
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

    /// The same as they lie there, without anything being done about it.
    fn keys_as_they_lie(&self, kind: CaKind) -> (Vec<String>, String) {
        let before = everything_in(self.directory.path());
        let authority = Authority::open(
            &Installation {
                data_dir: &DataDir::new(self.directory.path()),
                cluster: &"example.com".parse().unwrap(),
                ca_keys: &CaKeys::default(),
                records: CaRecords::in_files(
                    &DataDir::new(self.directory.path()),
                    Clock::Fixed(NOW),
                ),
                clock: Clock::Fixed(NOW),
            },
            kind,
        )
        .unwrap();
        assert_eq!(everything_in(self.directory.path()), before);
        let text = |key: &ssh_key::PublicKey| key.fingerprint(Default::default()).to_string();
        let trusted = authority.public_keys().iter().map(text).collect();
        (trusted, text(authority.public_key()))
    }

    fn ca(&self, name: &str) -> PathBuf {
        DataDir::new(self.directory.path()).ca().join(name)
    }

    fn files(&self) -> BTreeSet<String> {
        let entries = std::fs::read_dir(DataDir::new(self.directory.path()).ca()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| !name.ends_with("_rotation.json") && !name.contains("_kept_"))
            .filter(|name| name != "host_ca_successors")
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
fn up_to(scene: &RotationFixture, kind: CaKind, phase: RotationPhase) {
    for to in [
        RotationPhase::Init,
        RotationPhase::UpdateClients,
        RotationPhase::UpdateServers,
    ] {
        scene.go(kind, to).unwrap();
        if to == phase {
            return;
        }
    }
}

#[test]
fn a_whole_rotation_ends_with_the_new_key_alone() {
    for kind in KINDS {
        let scene = RotationFixture::new();
        let (before, old) = scene.keys(kind);
        assert_eq!(before, [old.as_str()]);
        scene.go(kind, RotationPhase::Init).unwrap();
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
        assert_eq!(&signing_in(RotationPhase::UpdateClients), early);
        assert_eq!(signing_in(RotationPhase::UpdateServers), new);
        scene.go(kind, RotationPhase::Standby).unwrap();
        assert_eq!(scene.keys(kind), (vec![new.clone()], new));
        assert_eq!(scene.files(), usual_files());
        scene.go(kind, RotationPhase::Init).expect("and again");
    }
}

#[test]
fn every_phase_can_be_rolled_back() {
    for kind in KINDS {
        for phase in [
            RotationPhase::Init,
            RotationPhase::UpdateClients,
            RotationPhase::UpdateServers,
        ] {
            let scene = RotationFixture::new();
            let (_, old) = scene.keys(kind);
            up_to(&scene, kind, phase);
            let (both, _) = scene.keys(kind);
            scene.go(kind, RotationPhase::Rollback).unwrap();
            assert_eq!(scene.keys(kind), (both, old.clone()), "{phase}");
            scene.go(kind, RotationPhase::Standby).unwrap();
            assert_eq!(scene.keys(kind), (vec![old.clone()], old), "{phase}");
            assert_eq!(scene.files(), usual_files());
        }
    }
}

#[test]
fn a_refused_move_changes_nothing() {
    let scene = RotationFixture::new();
    up_to(&scene, CaKind::User, RotationPhase::UpdateClients);
    let before = (scene.keys(CaKind::User), scene.files());
    for to in [
        RotationPhase::Init,
        RotationPhase::UpdateClients,
        RotationPhase::Standby,
    ] {
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
    let scene = RotationFixture::new();
    let begun: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| scene.go(CaKind::User, RotationPhase::Init).is_ok()))
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
    let scene = RotationFixture::new();
    let grace = Duration::from_secs(300);
    scene.open();
    scene
        .rotate(CaKind::User, |rotation, _kept, now| {
            rotation.begin(CaKind::User, Some(grace), now)
        })
        .unwrap();
    assert_eq!(scene.open().due(), Some(NOW + 100));
    let phase = |seconds: u64| {
        let authorities = scene.open_at(NOW + seconds).unwrap();
        authorities.of(CaKind::User).rotation().phase()
    };
    assert_eq!(phase(99), RotationPhase::Init);
    assert_eq!(phase(100), RotationPhase::UpdateClients);
    assert_eq!(phase(299), RotationPhase::UpdateServers);
    assert_eq!(phase(1000), RotationPhase::Standby);
    assert_eq!(phase(2000), RotationPhase::Standby);
    assert_eq!(scene.files(), usual_files());
    // Each step is audited once, whichever process made it.
    let audit = std::fs::read_to_string(DataDir::new(scene.directory.path()).audit_log()).unwrap();
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
    let standby = r#"{"phase":"standby","since":1,"keep":"new","moves":9}"#;
    for steps in 0..=4 {
        let scene = RotationFixture::new();
        scene.open();
        up_to(&scene, kind, RotationPhase::UpdateServers);
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
            scene.state(kind, r#"{"phase":"standby","since":1,"moves":9}"#);
        }
        let as_they_lie = scene.keys_as_they_lie(kind);
        assert_eq!(as_they_lie, (vec![new.clone()], new), "after {steps} steps");
        assert_eq!(scene.keys(kind), as_they_lie, "after {steps} steps");
        assert_eq!(scene.files(), usual_files(), "after {steps} steps");
    }
}

/// The new key is on disk and the state is not: no host trusts the key yet.
#[test]
fn a_crash_at_the_beginning_leaves_a_key_that_nobody_uses() {
    let scene = RotationFixture::new();
    let (old, _) = scene.keys(CaKind::Host);
    std::fs::copy(scene.ca("host_ca"), scene.ca("host_ca_new")).unwrap();
    assert_eq!(scene.keys(CaKind::Host).0.len(), 1);
    scene.go(CaKind::Host, RotationPhase::Init).unwrap();
    assert_ne!(scene.keys(CaKind::Host).0[1], old[0]);
}

/// With an old state, a key would sign that no host trusts any more.
#[test]
fn a_state_that_is_missing_or_from_before_is_refused() {
    let scene = RotationFixture::new();
    scene.open();
    up_to(&scene, CaKind::User, RotationPhase::Init);
    let early = std::fs::read_to_string(scene.ca("user_rotation.json")).unwrap();
    scene
        .go(CaKind::User, RotationPhase::UpdateClients)
        .unwrap();
    let late = std::fs::read_to_string(scene.ca("user_rotation.json")).unwrap();
    let refused = |what: &str| {
        let refused = scene.open_at(NOW).unwrap_err();
        assert!(
            matches!(refused, CaError::Older { .. }),
            "{what}: {refused}"
        );
        let hint = refused.hint().unwrap();
        assert!(hint.contains("user_rotation.json from a backup"), "{hint}");
    };
    scene.state(CaKind::User, &early);
    refused("a copy from before");
    std::fs::remove_file(scene.ca("user_rotation.json")).unwrap();
    refused("none");
    scene.state(CaKind::User, &late);
    scene.open_at(NOW).unwrap();
}

/// Whatever happened, and however often: with the key that was kept one can go back.
#[test]
fn from_standby_a_rollback_leads_back_to_the_key_that_was_kept() {
    for kind in KINDS {
        let scene = RotationFixture::new();
        let (old, _) = scene.keys(kind);
        let nothing = scene.go(kind, RotationPhase::Rollback).unwrap_err();
        assert!(
            nothing.to_string().contains("no key from before"),
            "{nothing}"
        );
        up_to(&scene, kind, RotationPhase::UpdateServers);
        scene.go(kind, RotationPhase::Standby).unwrap();
        let (new, _) = scene.keys(kind);
        let kept = |scene: &RotationFixture| {
            let authorities = scene.open();
            let kept = authorities.of(kind).kept_keys().iter();
            let kept = kept.map(|key| key.fingerprint(Default::default()).to_string());
            kept.collect::<Vec<_>>()
        };
        assert_eq!(kept(&scene), old);
        for (back, forth) in [(&old, &new), (&new, &old)] {
            scene.go(kind, RotationPhase::Rollback).unwrap();
            let both = vec![back[0].clone(), forth[0].clone()];
            assert_eq!(scene.keys(kind), (both, back[0].clone()));
            scene.go(kind, RotationPhase::Standby).unwrap();
            assert_eq!(&scene.keys(kind).0, back);
            assert_eq!(scene.files(), usual_files());
            assert_eq!(&kept(&scene), forth, "the other one can be gone back to");
        }
        let installation = Installation {
            data_dir: &DataDir::new(scene.directory.path()),
            cluster: &"example.com".parse().unwrap(),
            ca_keys: &CaKeys::default(),
            records: CaRecords::in_files(&DataDir::new(scene.directory.path()), Clock::Fixed(NOW)),
            clock: Clock::Fixed(NOW),
        };
        let removed = Authorities::remove_kept(&installation, kind).unwrap();
        assert_eq!(removed.len(), 1);
        assert!(kept(&scene).is_empty());
        scene.go(kind, RotationPhase::Rollback).unwrap_err();
    }
}

/// The process dies while a kept key is brought back, between any two steps.
#[test]
fn a_crash_on_the_way_back_is_finished_by_whoever_comes_next() {
    let kind = CaKind::User;
    for steps in 0..=3 {
        let scene = RotationFixture::new();
        let (old, _) = scene.keys(kind);
        up_to(&scene, kind, RotationPhase::UpdateServers);
        scene.go(kind, RotationPhase::Standby).unwrap();
        let (new, _) = scene.keys(kind);
        std::fs::hard_link(scene.ca("user_ca"), scene.ca("user_ca_new")).unwrap();
        std::fs::hard_link(scene.ca("user_ca.pub"), scene.ca("user_ca_new.pub")).unwrap();
        scene.state(
            kind,
            r#"{"phase":"rollback","since":1,"bring":4,"moves":5}"#,
        );
        if steps > 0 {
            std::fs::remove_file(scene.ca("user_ca.pub")).unwrap();
        }
        if steps > 1 {
            std::fs::rename(scene.ca("user_ca_kept_4"), scene.ca("user_ca")).unwrap();
        }
        if steps > 2 {
            std::fs::remove_file(scene.ca("user_ca_kept_4.pub")).unwrap();
        }
        let both = vec![old[0].clone(), new[0].clone()];
        let as_they_lie = scene.keys_as_they_lie(kind);
        assert_eq!(as_they_lie, (both, old[0].clone()), "{steps}");
        assert_eq!(scene.keys(kind), as_they_lie, "{steps}");
    }
}

#[test]
fn nothing_is_made_that_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let installation = Installation {
        data_dir: &DataDir::new(&data_dir),
        cluster: &"example.com".parse().unwrap(),
        ca_keys: &CaKeys::default(),
        records: CaRecords::in_files(&DataDir::new(&data_dir), Clock::Fixed(NOW)),
        clock: Clock::Fixed(NOW),
    };
    let none = Authorities::open(&installation).unwrap_err();
    assert!(
        none.to_string().contains(data_dir.to_str().unwrap()),
        "{none}"
    );
    assert!(none.hint().unwrap().contains("rproxy auth init"));
    assert!(!data_dir.exists());
    let (_, made) = Authorities::make(&installation).unwrap();
    assert_eq!(made.len(), 2);
    let (_, again) = Authorities::make(&installation).unwrap();
    assert!(again.is_empty());
    Authorities::open(&installation).unwrap();
}

#[test]
fn a_data_directory_that_others_may_read_or_write_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene = RotationFixture::new();
    scene.open();
    for (mode, is_good) in [
        (0o755, false),
        (0o750, false),
        (0o702, false),
        (0o711, true),
        (0o700, true),
    ] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(scene.directory.path(), permissions).unwrap();
        let opened = scene.open_at(NOW);
        assert_eq!(opened.is_ok(), is_good, "{mode:o}");
        if let Err(error) = opened {
            assert!(error.hint().unwrap().contains("chmod 0700"));
        }
    }
}

#[test]
fn the_old_key_does_not_go_before_the_new_one_is_there() {
    let scene = RotationFixture::new();
    let (old, _) = scene.keys(CaKind::User);
    up_to(&scene, CaKind::User, RotationPhase::UpdateServers);
    std::fs::remove_file(scene.ca("user_ca_new")).unwrap();
    let refused = scene.go(CaKind::User, RotationPhase::Standby).unwrap_err();
    assert!(matches!(refused, CaError::NewKeyGone(_)), "{refused}");
    assert!(matches!(scene.open_at(NOW), Err(CaError::NewKeyGone(_))));
    scene.go(CaKind::User, RotationPhase::Rollback).unwrap();
    scene.go(CaKind::User, RotationPhase::Standby).unwrap();
    assert_eq!(scene.keys(CaKind::User).0, old);
}

#[test]
fn a_state_that_says_nothing_is_named_and_left_alone() {
    let scene = RotationFixture::new();
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
    let scene = RotationFixture::new();
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
        sign_in: None,
    };
    let host = |name: &str| HostRequest {
        names: vec![name.parse().unwrap()],
        public_key: key(),
        ttl: Duration::from_secs(600),
        extensions: None,
    };
    let authorities = scene.open();
    authorities.issue_user(user("alice", 100)).unwrap();
    authorities.issue_user(user("bob", 200)).unwrap();
    authorities.issue_host(host("db1")).unwrap();
    let ledger = Ledger::of(&DataDir::new(scene.directory.path()));
    let left = |now: u64| -> Vec<String> {
        let authorities = scene.open_at(now).unwrap();
        let left = outstanding(authorities.of(CaKind::User), &ledger, now).unwrap();
        left.into_iter().map(|one| one.key_id).collect()
    };
    assert!(left(NOW).is_empty(), "no key leaves");
    up_to(&scene, CaKind::User, RotationPhase::UpdateClients);
    assert_eq!(left(NOW), ["bob", "alice"]);
    assert_eq!(left(NOW + 150), ["bob"]);
    scene.open().issue_user(user("bob", 200)).unwrap();
    assert_eq!(left(NOW), ["alice"]);
    scene.go(CaKind::User, RotationPhase::Rollback).unwrap();
    assert_eq!(left(NOW), ["bob"], "back: what the new key signed is left");
}

#[test]
fn a_throwaway_is_signed_by_each_key_and_kept_by_nobody() {
    let scene = RotationFixture::new();
    scene.open();
    up_to(&scene, CaKind::User, RotationPhase::Init);
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
    assert!(
        Ledger::of(&DataDir::new(scene.directory.path()))
            .issued()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn whoever_only_looks_leaves_everything_as_it_is() {
    let scene = RotationFixture::new();
    let look = |now| {
        let installation = Installation {
            data_dir: &DataDir::new(scene.directory.path()),
            cluster: &"example.com".parse().unwrap(),
            ca_keys: &CaKeys::default(),
            records: CaRecords::in_files(&DataDir::new(scene.directory.path()), Clock::Fixed(now)),
            clock: Clock::Fixed(now),
        };
        Authority::open(&installation, CaKind::User)
    };
    let files = || everything_in(scene.directory.path());
    assert!(matches!(look(NOW), Err(CaError::None(_))));
    assert!(files().is_empty());
    scene.open();
    let grace = Some(Duration::from_secs(300));
    let begin = |rotation: &Rotation, _kept, now| rotation.begin(CaKind::User, grace, now);
    scene.rotate(CaKind::User, begin).unwrap();
    let public = scene.directory.path().join("ca/user_ca.pub");
    std::fs::remove_file(&public).unwrap();
    let before = files();

    let seen = look(NOW).unwrap();
    assert_eq!(seen.public_keys().len(), 2);
    assert_eq!(seen.rotation().overdue(NOW), None);
    let seen = look(NOW + 250).unwrap();
    assert_eq!(seen.rotation().phase(), RotationPhase::Init);
    let overdue = seen.rotation().overdue(NOW + 250);
    assert_eq!(overdue, Some((NOW + 100, RotationPhase::UpdateClients)));
    assert_eq!(files(), before);
    write_whole(&public, b"ssh-ed25519 nonsense", 0o644, Replace::Refuse).unwrap();
    let other = look(NOW).unwrap_err().to_string();
    assert!(other.contains("is not the public key of"), "{other}");
}

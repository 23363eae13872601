//! The file of revocations: what is revoked, since when, by which account and why: `revoked.jsonl`, one
//! JSON object per line, append-only as the ledger.
//!
//! No line is ever removed. A mistaken revocation is lifted by another line, and the next version of
//! the list does not contain it. The ledger records the state of the file, so that a missing file or an
//! old copy is noticed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::CaError;
use super::ledger::{Ledger, Mark, Marks};
use super::lines::{self, LinesEnd};
use super::revocation::RevocationRecord;
use super::revocation_store::RevocationStore;
use super::revocations::Revocations;
use crate::model::DataDir;
use crate::sys::clock::Clock;
use crate::sys::files::{Direct, Files};
use crate::sys::fs::{FileLock, private_dir};

/// The revocations of a data directory, on disk.
#[derive(Clone, Debug)]
pub struct RevocationLog {
    data_dir: DataDir,
    path: PathBuf,
    /// Who opens the file.
    files: Arc<dyn Files>,
    clock: Clock,
}

impl RevocationLog {
    /// Names the place; nothing is read or made yet.
    #[must_use]
    pub fn new(data_dir: &DataDir, clock: Clock) -> Self {
        Self {
            data_dir: data_dir.clone(),
            path: data_dir.revocations(),
            files: Arc::new(Direct),
            clock,
        }
    }

    /// The same log, with its file opened by `files`.
    #[must_use]
    pub fn opened_by(self, files: Arc<dyn Files>) -> Self {
        Self { files, ..self }
    }

    /// The file, which is not there before the first revocation.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file has; whether that is all is not checked. For a process that has read it with
    /// [`Self::read`] before and follows its changes.
    ///
    /// # Errors
    /// When the file is there and cannot be read, or a line other than a torn last one is damaged.
    pub fn follow(&self) -> Result<Revocations, CaError> {
        Ok(self.read_to_end()?.0)
    }

    /// Adds the records that the file lacks, for versions that read it. It may have others too.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is damaged.
    pub fn complete(&self, records: &[RevocationRecord]) -> Result<(), CaError> {
        if records.is_empty() {
            return Ok(());
        }
        let _lock = self.lock()?;
        let (mut known, end) = self.read_to_end()?;
        let there: HashSet<_> = known.records().iter().collect();
        let missing: Vec<_> = records.iter().filter(|one| !there.contains(one)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for record in &missing {
            text += &line(record)?;
            text.push('\n');
        }
        lines::append(&*self.files, &self.path, &text, end)?;
        let missing: Vec<_> = missing.into_iter().cloned().collect();
        missing.into_iter().for_each(|record| known.add(record));
        self.mark(&known)
    }

    fn read_to_end(&self) -> Result<(Revocations, LinesEnd), CaError> {
        let mut records = Vec::new();
        let read = lines::read(
            &*self.files,
            &self.path,
            0,
            |line| match Revocations::parse(line) {
                Some(record) => {
                    records.push(record);
                    true
                }
                None => false,
            },
        );
        match read {
            Err(CaError::Fs(error)) if error.is_not_found() => Ok(Default::default()),
            read => Ok((Revocations::of(records), read?)),
        }
    }

    /// Refuses a file that has less than the ledger knows of.
    fn check(&self, found: &Revocations, marks: &Marks) -> Result<(), CaError> {
        let has = Mark::Revocations {
            version: found.list().version,
            lines: found.records().len() as u64,
        };
        match marks.revocations {
            Some((version, lines))
                if version > found.list().version || lines > found.records().len() as u64 =>
            {
                Err(CaError::Older {
                    path: self.path.clone(),
                    has: has.to_string(),
                    known: Mark::Revocations { version, lines }.to_string(),
                })
            }
            _ => Ok(()),
        }
    }

    fn mark(&self, known: &Revocations) -> Result<(), CaError> {
        let mark = Mark::Revocations {
            version: known.list().version,
            lines: known.records().len() as u64,
        };
        Ledger::of(&self.data_dir).mark(mark, self.clock)
    }

    /// What the ledger knows.
    fn marks(&self) -> Result<Marks, CaError> {
        Marks::read(&self.data_dir.ledger())
    }
}

impl RevocationStore for RevocationLog {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn clock(&self) -> Clock {
        self.clock
    }

    fn read(&self) -> Result<Revocations, CaError> {
        // The ledger first: it is always behind.
        let marks = self.marks()?;
        let found = self.read_to_end()?.0;
        self.check(&found, &marks)?;
        Ok(found)
    }

    fn settle(&self) -> Result<Revocations, CaError> {
        if !self.path.exists() {
            return self.read();
        }
        let _lock = self.lock()?;
        let found = self.read()?;
        self.mark(&found)?;
        Ok(found)
    }

    fn since(&self, known: u64, most: usize) -> Result<Vec<String>, CaError> {
        let found = self.follow()?;
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        let records = found.records().iter().skip(known).take(most);
        records.map(line).collect()
    }

    fn append(&self, after: u64, records: &[RevocationRecord]) -> Result<bool, CaError> {
        // This comes before the lock, which creates the file: a missing file must be reported as
        // missing.
        let marks = self.marks()?;
        let _lock = self.lock()?;
        let (mut known, end) = self.read_to_end()?;
        self.check(&known, &marks)?;
        if known.list().version != after {
            return Ok(false);
        }
        let mut text = String::new();
        for record in records {
            text += &line(record)?;
            text.push('\n');
            known.add(record.clone());
        }
        lines::append(&*self.files, &self.path, &text, end)?;
        self.mark(&known)?;
        Ok(true)
    }

    fn lock(&self) -> Result<FileLock, CaError> {
        private_dir(self.data_dir.path())?;
        Ok(FileLock::wait(&self.path)?)
    }
}

fn line(record: &RevocationRecord) -> Result<String, CaError> {
    serde_json::to_string(record).map_err(CaError::Record)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Duration;

    use ssh_key::{HashAlg, PublicKey};

    use super::*;
    use crate::ca::{CaKind, RevokeOutcome, Revoked};
    use crate::cert::krl::Why;
    use crate::cert::testing::{CertSpec, ed25519};
    use crate::model::Serial;
    use crate::model::text::MAX_REASON;
    use crate::sys::clock::processor_time;
    use crate::sys::fs::{PRIVATE_FILE, Replace, append_private, write_whole};

    const CLOCK: Clock = Clock::Fixed(1_800_000_000);

    struct LogFixture {
        directory: tempfile::TempDir,
        log: RevocationLog,
    }

    impl LogFixture {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let log = RevocationLog::new(&DataDir::new(directory.path().join("state")), CLOCK);
            Self { directory, log }
        }

        /// Gives the file another content.
        fn put(&self, text: &str) {
            let path = self.log.path();
            write_whole(path, text.as_bytes(), PRIVATE_FILE, Replace::Allow).unwrap();
        }

        fn revoke(&self, what: Revoked) -> RevokeOutcome {
            let verdicts = self.log.revoke(vec![what], "root", Some("stolen"));
            verdicts.unwrap().remove(0)
        }
    }

    fn of_serial(number: u64, ca_keys: &[&PublicKey]) -> Revoked {
        Revoked::Serial {
            serial: Serial::new(number).unwrap(),
            ca_keys: ca_keys.iter().map(|k| k.to_openssh().unwrap()).collect(),
        }
    }

    fn of_key_id(key_id: &str) -> Revoked {
        Revoked::of_key_id(key_id.to_owned())
    }

    #[test]
    fn what_is_revoked_is_found_with_its_reason() {
        let scene = LogFixture::new();
        let (ca, other, key) = (ed25519(), ed25519(), ed25519());
        assert!(scene.log.read().unwrap().list().is_empty());
        let certificate = CertSpec::user(&key).sign(&ca);
        let foreign = CertSpec::user(&key).sign(&other);
        scene.revoke(of_serial(42, &[ca.public_key()]));
        let found = scene.log.read().unwrap();
        assert_eq!(
            found.of_certificate(&certificate),
            Some((Why::Serial, Some("stolen")))
        );
        assert_eq!(found.of_certificate(&foreign), None);
        let fingerprint = key.public_key().fingerprint(HashAlg::Sha256).to_string();
        let revoked = Revoked::PublicKey {
            public_key: fingerprint,
        };
        scene.revoke(revoked);
        let found = scene.log.read().unwrap();
        assert_eq!(
            found.of_certificate(&foreign),
            Some((Why::Fingerprint, Some("stolen")))
        );
        assert_eq!(found.list().version, 2);
        assert_eq!(found.list().generated, 1_800_000_000);
    }

    #[test]
    fn nothing_is_revoked_twice() {
        let scene = LogFixture::new();
        let (ca, other) = (ed25519(), ed25519());
        let both = [ca.public_key(), other.public_key()];
        let first = scene.revoke(of_serial(7, &both));
        let RevokeOutcome::New(record) = first else {
            panic!("{first:?}")
        };
        for again in [of_serial(7, &both), of_serial(7, &both[..1])] {
            assert_eq!(scene.revoke(again), RevokeOutcome::Already(record.clone()));
        }
        // Any CA is more than these two.
        assert!(matches!(
            scene.revoke(of_serial(7, &[])),
            RevokeOutcome::New(_)
        ));
        assert!(matches!(
            scene.revoke(of_serial(7, &both)),
            RevokeOutcome::Already(_)
        ));
        assert_eq!(scene.log.read().unwrap().list().version, 2);
    }

    #[test]
    fn several_writers_lose_nothing() {
        let scene = LogFixture::new();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let log = scene.log.clone();
                scope.spawn(move || {
                    for number in 0..25 {
                        let what = of_key_id(&format!("person{writer}-{number}"));
                        log.revoke(vec![what], "root", None).unwrap();
                    }
                });
            }
        });
        let found = scene.log.read().unwrap();
        let versions: Vec<_> = found.records().iter().map(|r| r.version).collect();
        assert_eq!(versions, (1..=100).collect::<Vec<_>>());
    }

    #[test]
    fn a_torn_last_line_costs_nothing_else() {
        let scene = LogFixture::new();
        scene.revoke(of_key_id("alice"));
        let mut file = append_private(scene.log.path()).unwrap();
        file.write_all(b"{\"time\":\"2027-01-15T").unwrap();
        assert_eq!(scene.log.read().unwrap().records().len(), 1);
        scene.revoke(of_key_id("bob"));
        let found = scene.log.read().unwrap();
        let versions: Vec<_> = found.records().iter().map(|r| r.version).collect();
        assert_eq!(versions, [1, 2]);
    }

    /// The revoked certificate would be accepted.
    #[test]
    fn a_damaged_line_in_the_middle_is_refused() {
        for what in ["cut", "another word", "zeros"] {
            let damage = |line: &str| match what {
                "cut" => line[..line.len() / 2].to_owned(),
                "zeros" => "\0".repeat(line.len()),
                _ => line.replace("key_id", "kex_id"),
            };
            let scene = LogFixture::new();
            for name in ["alice", "bob", "carol"] {
                scene.revoke(of_key_id(name));
            }
            let text = std::fs::read_to_string(scene.log.path()).unwrap();
            let bob = text.lines().nth(1).unwrap();
            scene.put(&text.replace(bob, &damage(bob)));
            let refused = scene.log.read().unwrap_err();
            assert!(
                matches!(refused, CaError::Damaged { line: 2, .. }),
                "{what}: {refused}"
            );
            assert!(scene.log.follow().is_err(), "{what}");
            let more = scene.log.revoke(vec![of_key_id("dave")], "root", None);
            assert!(more.is_err(), "{what}");
        }
    }

    #[test]
    fn a_file_that_is_missing_or_from_before_is_refused() {
        let scene = LogFixture::new();
        scene.revoke(of_key_id("alice"));
        let early = std::fs::read_to_string(scene.log.path()).unwrap();
        scene.revoke(of_key_id("bob"));
        let late = std::fs::read_to_string(scene.log.path()).unwrap();
        let refused = |what: &str| {
            let refused = scene.log.read().unwrap_err();
            assert!(
                matches!(refused, CaError::Older { .. }),
                "{what}: {refused}"
            );
            let more = scene.log.revoke(vec![of_key_id("carol")], "root", None);
            assert!(more.is_err(), "{what}");
        };
        scene.put(&early);
        refused("a copy from before");
        // The version is the same, and a line is gone.
        let bob = late.lines().last().unwrap();
        scene.put(&format!("{bob}\n"));
        refused("a line that was taken out");
        std::fs::remove_file(scene.log.path()).unwrap();
        refused("none");
        scene.put(&late);
        assert_eq!(scene.log.read().unwrap().records().len(), 2);
    }

    /// Revocations of a version that marked nothing are known from the next start on.
    #[test]
    fn whoever_relies_on_the_file_has_the_ledger_know_it() {
        let scene = LogFixture::new();
        scene.revoke(of_key_id("alice"));
        let ledger = scene.directory.path().join("state/issued.jsonl");
        std::fs::remove_file(&ledger).unwrap();
        scene.log.settle().unwrap();
        std::fs::remove_file(scene.log.path()).unwrap();
        assert!(matches!(scene.log.read(), Err(CaError::Older { .. })));
    }

    #[test]
    fn a_mistake_is_lifted_by_a_list_of_a_higher_version() {
        let scene = LogFixture::new();
        let ca = ed25519();
        let certificate = CertSpec::user(&ed25519()).sign(&ca);
        let what = of_key_id(certificate.key_id());
        scene.revoke(what.clone());
        scene.revoke(of_key_id("bob"));
        let mut running = scene.log.read().unwrap();
        assert!(running.of_certificate(&certificate).is_some());
        let lift = |what: &Revoked| scene.log.lift(vec![what.clone()], "root", None).unwrap();
        assert_eq!(lift(&what).len(), 1);
        assert!(lift(&what).is_empty(), "there is nothing to lift any more");
        let found = scene.log.read().unwrap();
        assert_eq!(found.list().version, 3);
        assert_eq!(found.of_certificate(&certificate), None);
        assert_eq!(found.list().why_certificate(&certificate), None);
        assert_eq!(found.in_force().count(), 1);
        assert!(running.adopt(&found), "it is followed");
        assert_eq!(running.of_certificate(&certificate), None);
        assert_eq!(running.in_force().count(), 1);
        // And revoked again.
        assert!(matches!(scene.revoke(what), RevokeOutcome::New(_)));
        let found = scene.log.read().unwrap();
        assert!(found.of_certificate(&certificate).is_some());
        assert!(running.adopt(&found));
        assert!(running.of_certificate(&certificate).is_some());
        assert!(!running.adopt(&Revocations::default()), "nothing is lost");
    }

    #[test]
    fn a_key_id_of_people_is_none_of_hosts() {
        let scene = LogFixture::new();
        let (user_ca, host_ca) = (ed25519(), ed25519());
        let person = CertSpec::user(&ed25519()).sign(&user_ca);
        let machine = CertSpec::user(&ed25519()).sign(&host_ca);
        assert_eq!(person.key_id(), machine.key_id());
        scene.revoke(Revoked::KeyId {
            key_id: person.key_id().to_owned(),
            kind: Some(CaKind::User),
            ca_keys: vec![user_ca.public_key().to_openssh().unwrap()],
        });
        let found = scene.log.read().unwrap();
        assert_eq!(
            found.of_certificate(&person),
            Some((Why::KeyId, Some("stolen")))
        );
        assert_eq!(found.of_certificate(&machine), None);
        let key = ed25519().public_key().fingerprint(HashAlg::Sha256);
        let of = |kind| found.of_subject(kind, person.key_id(), &key).is_some();
        assert!(of(CaKind::User) && !of(CaKind::Host));
    }

    #[test]
    fn a_reason_cannot_drive_a_terminal() {
        let long = "x".repeat(1000);
        let line = format!(
            r#"{{"time":"2027-01-15T08:00:00Z","version":1,"by":"root","reason":"\u001b[2J{long}","key_id":"alice"}}"#
        );
        let found = Revocations::of(vec![Revocations::parse(line.as_bytes()).unwrap()]);
        let reason = found.records()[0].reason.as_deref().unwrap();
        assert!(reason.starts_with("\\u{1b}[2Jxx"));
        assert_eq!(reason.len(), MAX_REASON);
    }

    /// A line that does not say for whose certificates is about all of them.
    #[test]
    fn a_ca_that_cannot_be_read_is_any() {
        let line = br#"{"time":"2027-01-15T08:00:00Z","version":1,"by":"root","reason":null,"serial":42,"ca_keys":["?"]}"#;
        let found = Revocations::of(vec![Revocations::parse(line).unwrap()]);
        let certificate = CertSpec::user(&ed25519()).sign(&ed25519());
        assert_eq!(
            found.of_certificate(&certificate),
            Some((Why::Serial, None))
        );
    }

    /// The proxy reads it all again at every change, and has a second for that.
    #[test]
    fn a_hundred_thousand_revocations_are_read_in_no_time() {
        let scene = LogFixture::new();
        let ca = ed25519();
        let wanted = (1..=100_000).map(|number| of_serial(number, &[ca.public_key()]));
        let mut text = String::new();
        for (version, what) in (1..).zip(wanted) {
            let record = RevocationRecord {
                time: CLOCK.now(),
                version,
                by: "root".to_owned(),
                reason: None,
                what,
            };
            text += &format!("{}\n", serde_json::to_string(&record).unwrap());
        }
        std::fs::create_dir(scene.directory.path().join("state")).unwrap();
        lines::append(&Direct, scene.log.path(), &text, LinesEnd::default()).unwrap();
        let started = processor_time();
        let found = scene.log.read().unwrap();
        assert_eq!(found.records().len(), 100_000);
        // Seconds without optimisation; far more where each is compared with all others.
        let taken = processor_time() - started;
        assert!(taken < Duration::from_secs(30), "{taken:?}");
    }
}

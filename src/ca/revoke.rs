//! What is revoked, since when, by whom and why: `revoked.jsonl`, one JSON object per line, only
//! ever appended, as the ledger is.
//!
//! Nothing is ever taken off: a revocation list of a higher version revokes at least as much. The
//! lines become a [`RevocationList`], which decides here as its encoding does in sshd.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use ssh_key::{Certificate, Fingerprint, HashAlg, PublicKey};

use super::error::CaError;
use super::ledger::IssueRecord;
use super::lines;
use crate::cert::PresentedKey;
use crate::cert::krl::{RevocationList, Why};
use crate::model::{ClusterName, Serial};
use crate::sys::clock::Clock;
use crate::sys::fs::{FileLock, private_dir};

/// The file's name in the data directory.
const FILE_NAME: &str = "revoked.jsonl";
/// Longest reason, in characters: it is read in one line on a terminal.
pub const MAX_REASON: usize = 200;

/// One line: one thing that is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationRecord {
    /// When it was revoked (RFC 3339).
    pub time: DateTime<Utc>,
    /// The version of the revocation list that has it: each line's is higher than all before.
    pub version: u64,
    /// Who did it: the account that ran the command.
    pub by: String,
    /// Why; users read it.
    pub reason: Option<String>,
    /// What.
    #[serde(flatten)]
    pub what: Revoked,
}

/// What a line revokes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Revoked {
    /// One certificate.
    Serial {
        /// Its serial; a number, as earlier versions read it.
        #[serde(serialize_with = "Serial::as_number")]
        serial: Serial,
        /// The keys of the CAs that it may be of, as in a `.pub` file; none for any CA.
        ca_keys: Vec<String>,
    },
    /// All certificates with a key id, of any CA, past and future.
    KeyId {
        /// The key id.
        key_id: String,
    },
    /// A key: alone, in any certificate, and as a CA.
    PublicKey {
        /// Its SHA-256 fingerprint, as the ledger and `ssh-keygen -l` have it.
        public_key: String,
    },
}

impl Revoked {
    /// Whether all that `other` revokes is revoked by this already.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Serial { serial, ca_keys },
                Self::Serial {
                    serial: other,
                    ca_keys: others,
                },
            ) => {
                let has_all = !others.is_empty() && others.iter().all(|key| ca_keys.contains(key));
                serial == other && (ca_keys.is_empty() || has_all)
            }
            _ => self == other,
        }
    }
}

/// What became of a wish to revoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is revoked from now on.
    New(RevocationRecord),
    /// It was revoked before, by this line.
    Already(RevocationRecord),
}

/// The revocations of a data directory, on disk.
#[derive(Clone, Debug)]
pub struct RevocationLog {
    path: PathBuf,
    clock: Clock,
}

impl RevocationLog {
    /// Names the place; nothing is read or made yet.
    #[must_use]
    pub fn new(data_dir: &Path, clock: Clock) -> Self {
        Self {
            path: data_dir.join(FILE_NAME),
            clock,
        }
    }

    /// The file, which is not there before the first revocation.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is revoked now.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn read(&self) -> Result<Revocations, CaError> {
        let mut found = Revocations::default();
        match lines::read(&self.path, 0, |line| found.take(line)) {
            Ok((_, torn)) => found.torn = torn,
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(found)
    }

    /// Revokes: all of it is on disk when this returns, or nothing. What is revoked already gets no
    /// second line.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn revoke(
        &self,
        wanted: Vec<Revoked>,
        by: &str,
        reason: Option<&str>,
    ) -> Result<Vec<Verdict>, CaError> {
        let _lock = self.lock()?;
        let mut known = self.read()?;
        let mut text = String::new();
        let mut verdicts = Vec::new();
        for what in wanted {
            if let Some(record) = known.of_revoked(&what) {
                verdicts.push(Verdict::Already(record.clone()));
                continue;
            }
            let record = RevocationRecord {
                time: self.clock.now(),
                version: known.list.version + 1,
                by: by.to_owned(),
                reason: reason.map(str::to_owned),
                what,
            };
            text += &serde_json::to_string(&record).map_err(CaError::Record)?;
            text.push('\n');
            known.add(record.clone());
            verdicts.push(Verdict::New(record));
        }
        if !text.is_empty() {
            lines::append(&self.path, &text, known.torn)?;
        }
        Ok(verdicts)
    }

    /// Keeps other commands from revoking until it is dropped.
    ///
    /// # Errors
    /// When the file cannot be made or locked.
    pub fn lock(&self) -> Result<FileLock, CaError> {
        if let Some(data_dir) = self.path.parent() {
            private_dir(data_dir)?;
        }
        Ok(FileLock::wait(&self.path)?)
    }
}

/// What was revoked when the file was read.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    list: RevocationList,
    records: Vec<RevocationRecord>,
    /// Places in `records`.
    by_serial: HashMap<Serial, Vec<usize>>,
    by_key_id: HashMap<String, usize>,
    by_public_key: HashMap<String, usize>,
    unreadable: usize,
    torn: bool,
}

impl Revocations {
    /// The same as a key revocation list; its version is the last line's, its date too.
    #[must_use]
    pub fn list(&self) -> &RevocationList {
        &self.list
    }

    /// The list as it is published for a cluster's hosts: `RevokedKeys` of their sshd. The same
    /// revocations always make the same.
    #[must_use]
    pub fn published(&self, cluster: &ClusterName) -> RevocationList {
        let mut list = self.list.clone();
        list.comment = format!("rproxy {cluster}");
        list
    }

    /// The lines, oldest first.
    #[must_use]
    pub fn records(&self) -> &[RevocationRecord] {
        &self.records
    }

    /// How many lines are none. A crash leaves one at most, of a revocation that was never reported
    /// as done.
    #[must_use]
    pub fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// Whether a certificate is revoked, and by which line.
    #[must_use]
    pub fn of_certificate(&self, certificate: &Certificate) -> Option<(Why, Option<&str>)> {
        let why = self.list.why_certificate(certificate)?;
        let found = self.find(
            Serial::new(certificate.serial()),
            certificate.key_id(),
            &sha256(certificate.public_key()),
            &sha256(certificate.signature_key()),
        );
        Some((why, found.and_then(|record| record.reason.as_deref())))
    }

    /// Whether a key or certificate is revoked, and the reason that was given.
    #[must_use]
    pub fn of_key(&self, key: &PresentedKey) -> Option<(Why, Option<&str>)> {
        match key {
            PresentedKey::Certificate(certificate) => self.of_certificate(certificate),
            PresentedKey::Plain(plain) => {
                let why = self.list.why_revoked(key)?;
                let found = self.by_public_key(&sha256(plain.key_data()));
                Some((why, found.and_then(|record| record.reason.as_deref())))
            }
        }
    }

    /// The line that revokes a certificate of the ledger.
    #[must_use]
    pub fn of_issued(&self, issued: &IssueRecord) -> Option<&RevocationRecord> {
        self.find(
            Some(issued.serial),
            &issued.key_id,
            &issued.public_key,
            &issued.ca,
        )
    }

    /// The line that would revoke a certificate for this key id and key, whatever its serial.
    #[must_use]
    pub fn of_subject(&self, key_id: &str, public_key: &Fingerprint) -> Option<&RevocationRecord> {
        self.by_key_id(key_id)
            .or_else(|| self.by_public_key(&public_key.to_string()))
    }

    /// Adds what another reading has beside this one; `true` when there was something.
    #[must_use]
    pub fn adopt(&mut self, other: &Self) -> bool {
        let known = self.records.len();
        for record in &other.records {
            if self.of_revoked(&record.what).is_none() {
                self.add(record.clone());
            }
        }
        self.records.len() > known
    }

    /// The line that revokes all of this already.
    fn of_revoked(&self, what: &Revoked) -> Option<&RevocationRecord> {
        match what {
            Revoked::Serial { serial, .. } => {
                let places = self.by_serial.get(serial)?.iter();
                let mut records = places.filter_map(|place| self.records.get(*place));
                records.find(|record| record.what.covers(what))
            }
            Revoked::KeyId { key_id } => self.by_key_id(key_id),
            Revoked::PublicKey { public_key } => self.by_public_key(public_key),
        }
    }

    fn find(
        &self,
        serial: Option<Serial>,
        key_id: &str,
        public_key: &str,
        ca: &str,
    ) -> Option<&RevocationRecord> {
        self.by_public_key(public_key)
            .or_else(|| self.by_key_id(key_id))
            .or_else(|| self.by_serial(serial?, ca))
            .or_else(|| self.by_public_key(ca))
    }

    fn by_serial(&self, serial: Serial, ca: &str) -> Option<&RevocationRecord> {
        let places = self.by_serial.get(&serial)?.iter();
        let mut records = places.filter_map(|place| self.records.get(*place));
        records.find(|record| match &record.what {
            Revoked::Serial { ca_keys, .. } => {
                let keys = authorities(ca_keys);
                keys.is_empty() || keys.iter().any(|key| sha256(key.key_data()) == ca)
            }
            Revoked::KeyId { .. } | Revoked::PublicKey { .. } => false,
        })
    }

    fn by_key_id(&self, key_id: &str) -> Option<&RevocationRecord> {
        self.records.get(*self.by_key_id.get(key_id)?)
    }

    fn by_public_key(&self, public_key: &str) -> Option<&RevocationRecord> {
        self.records.get(*self.by_public_key.get(public_key)?)
    }

    /// Takes in a line of the file.
    fn take(&mut self, line: &[u8]) {
        if line.is_empty() {
            return;
        }
        match serde_json::from_slice::<RevocationRecord>(line) {
            Ok(mut record) => {
                record.reason = record.reason.as_deref().map(fit_to_show);
                self.add(record);
            }
            Err(_) => self.unreadable += 1,
        }
    }

    fn add(&mut self, record: RevocationRecord) {
        let place = self.records.len();
        match &record.what {
            Revoked::Serial { serial, ca_keys } => {
                let keys = authorities(ca_keys);
                for key in &keys {
                    self.list.revoke_serials(Some(key), *serial..=*serial);
                }
                if keys.is_empty() {
                    self.list.revoke_serials(None, *serial..=*serial);
                }
                self.by_serial.entry(*serial).or_default().push(place);
            }
            Revoked::KeyId { key_id } => {
                self.list.revoke_key_id(None, key_id);
                self.by_key_id.entry(key_id.clone()).or_insert(place);
            }
            Revoked::PublicKey { public_key } => {
                let listed = public_key
                    .parse()
                    .is_ok_and(|fingerprint| self.list.revoke_fingerprint(&fingerprint));
                if !listed {
                    self.unreadable += 1;
                }
                self.by_public_key
                    .entry(public_key.clone())
                    .or_insert(place);
            }
        }
        self.list.version = self.list.version.max(record.version);
        let time = u64::try_from(record.time.timestamp()).unwrap_or_default();
        self.list.generated = self.list.generated.max(time);
        self.records.push(record);
    }
}

/// The CAs of a line. Where one cannot be read, none is given, which stands for any: better one
/// certificate too many than one too few.
fn authorities(lines: &[String]) -> Vec<PublicKey> {
    let keys: Result<_, _> = lines.iter().map(|l| PublicKey::from_openssh(l)).collect();
    keys.unwrap_or_default()
}

fn sha256(key: &ssh_key::public::KeyData) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// Somebody may have written the file by hand, and users read this on their terminals.
fn fit_to_show(reason: &str) -> String {
    let harmless = reason.chars().filter(|c| !c.is_control());
    harmless.take(MAX_REASON).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Instant;

    use super::*;
    use crate::cert::testing::{CertSpec, ed25519};
    use crate::sys::fs::append_private;

    const CLOCK: Clock = Clock::Fixed(1_800_000_000);

    struct Scene {
        directory: tempfile::TempDir,
        log: RevocationLog,
    }

    impl Scene {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let log = RevocationLog::new(&directory.path().join("state"), CLOCK);
            Self { directory, log }
        }

        fn revoke(&self, what: Revoked) -> Verdict {
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
        Revoked::KeyId {
            key_id: key_id.to_owned(),
        }
    }

    #[test]
    fn what_is_revoked_is_found_with_its_reason() {
        let scene = Scene::new();
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
        let fingerprint = sha256(key.public_key().key_data());
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
        let scene = Scene::new();
        let (ca, other) = (ed25519(), ed25519());
        let both = [ca.public_key(), other.public_key()];
        let first = scene.revoke(of_serial(7, &both));
        let Verdict::New(record) = first else {
            panic!("{first:?}")
        };
        for again in [of_serial(7, &both), of_serial(7, &both[..1])] {
            assert_eq!(scene.revoke(again), Verdict::Already(record.clone()));
        }
        // Any CA is more than these two.
        assert!(matches!(scene.revoke(of_serial(7, &[])), Verdict::New(_)));
        assert!(matches!(
            scene.revoke(of_serial(7, &both)),
            Verdict::Already(_)
        ));
        assert_eq!(scene.log.read().unwrap().list().version, 2);
    }

    #[test]
    fn several_writers_lose_nothing() {
        let scene = Scene::new();
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
        assert_eq!(found.unreadable(), 0);
        let versions: Vec<_> = found.records().iter().map(|r| r.version).collect();
        assert_eq!(versions, (1..=100).collect::<Vec<_>>());
    }

    #[test]
    fn torn_and_foreign_lines_cost_nothing_else() {
        let scene = Scene::new();
        scene.revoke(of_key_id("alice"));
        let mut file = append_private(scene.log.path()).unwrap();
        file.write_all(b"nonsense\n\n{\"time\":\"2027-01-15T")
            .unwrap();
        let found = scene.log.read().unwrap();
        assert_eq!((found.records().len(), found.unreadable()), (1, 1));
        scene.revoke(of_key_id("bob"));
        let found = scene.log.read().unwrap();
        let versions: Vec<_> = found.records().iter().map(|r| r.version).collect();
        assert_eq!((versions, found.unreadable()), (vec![1, 2], 2));
    }

    #[test]
    fn a_reason_cannot_drive_a_terminal() {
        let mut found = Revocations::default();
        let long = "x".repeat(1000);
        found.take(
            format!(
                r#"{{"time":"2027-01-15T08:00:00Z","version":1,"by":"root","reason":"\u001b[2J{long}","key_id":"alice"}}"#
            )
            .as_bytes(),
        );
        let reason = found.records()[0].reason.as_deref().unwrap();
        assert!(reason.starts_with("[2Jxx"));
        assert_eq!(reason.chars().count(), MAX_REASON);
    }

    /// A line that does not say for whose certificates is about all of them.
    #[test]
    fn a_ca_that_cannot_be_read_is_any() {
        let mut found = Revocations::default();
        found.take(
            br#"{"time":"2027-01-15T08:00:00Z","version":1,"by":"root","reason":null,"serial":42,"ca_keys":["?"]}"#,
        );
        let certificate = CertSpec::user(&ed25519()).sign(&ed25519());
        assert_eq!(
            found.of_certificate(&certificate),
            Some((Why::Serial, None))
        );
    }

    /// The proxy reads it all again at every change, and has a second for that.
    #[test]
    fn a_hundred_thousand_revocations_are_read_in_no_time() {
        let scene = Scene::new();
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
        lines::append(scene.log.path(), &text, false).unwrap();
        let started = Instant::now();
        let found = scene.log.read().unwrap();
        assert_eq!(found.records().len(), 100_000);
        // Without optimisation, among other tests.
        assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
    }
}

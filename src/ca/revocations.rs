//! The revocations in memory: the lines of `revoked.jsonl` that are in force, and the
//! [`RevocationList`] made from them. Decisions here are the same as sshd's with the encoded list.

use std::collections::{HashMap, HashSet};

use ssh_key::{Certificate, Fingerprint, HashAlg, PublicKey};

use super::issue_log::IssueRecord;
use super::kind::CaKind;
use super::revocation::{RevocationRecord, Revoked};
use crate::cert::PresentedKey;
use crate::cert::krl::{RevocationList, Why};
use crate::model::text::{MAX_REASON, Printable};
use crate::model::{ClusterName, Serial};

/// What was revoked when the file was read.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    list: RevocationList,
    records: Vec<RevocationRecord>,
    /// Places in `records`, of those that are in force.
    in_force: Vec<usize>,
    by_serial: HashMap<Serial, Vec<usize>>,
    by_key_id: HashMap<String, Vec<usize>>,
    by_public_key: HashMap<String, usize>,
}

impl Revocations {
    /// What these lines revoke together.
    #[must_use]
    pub fn of(records: Vec<RevocationRecord>) -> Self {
        let mut by_what: HashMap<&Revoked, Vec<usize>> = HashMap::new();
        let mut lifted = HashSet::new();
        for (place, record) in records.iter().enumerate() {
            match &record.what {
                Revoked::Lifted { lifts } => {
                    lifted.extend(by_what.remove(&**lifts).unwrap_or_default());
                }
                what => by_what.entry(what).or_default().push(place),
            }
        }
        let mut found = Self::default();
        for (place, record) in records.iter().enumerate() {
            if !lifted.contains(&place) {
                found.index(place, record);
            }
            found.date(record);
        }
        found.records = records;
        found
    }

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

    /// All lines, oldest first, also those that were lifted and those that lift.
    #[must_use]
    pub fn records(&self) -> &[RevocationRecord] {
        &self.records
    }

    /// The lines that revoke something now, oldest first.
    pub fn in_force(&self) -> impl Iterator<Item = &RevocationRecord> {
        self.in_force
            .iter()
            .filter_map(|place| self.records.get(*place))
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

    /// The line that would revoke a certificate of our CA for this key id and key, whatever its serial.
    #[must_use]
    pub fn of_subject(
        &self,
        ca: CaKind,
        key_id: &str,
        public_key: &Fingerprint,
    ) -> Option<&RevocationRecord> {
        let of_key_id = self.at(self.by_key_id.get(key_id)).find(|record| {
            matches!(&record.what, Revoked::KeyId { kind, .. } if kind.is_none_or(|kind| kind == ca))
        });
        of_key_id.or_else(|| self.by_public_key(&public_key.to_string()))
    }

    /// Adds what another reading has beside this one; `true` when there was something.
    #[must_use]
    pub fn adopt(&mut self, other: &Self) -> bool {
        let known: HashSet<_> = self.records.iter().collect();
        let more: Vec<_> = other
            .records
            .iter()
            .filter(|r| !known.contains(r))
            .collect();
        if more.is_empty() {
            return false;
        }
        let all = self.records.iter().chain(more).cloned().collect();
        *self = Self::of(all);
        true
    }

    /// The line that revokes all of this already.
    pub(super) fn of_revoked(&self, what: &Revoked) -> Option<&RevocationRecord> {
        let covers = |record: &&RevocationRecord| record.what.covers(what);
        match what {
            Revoked::Serial { serial, .. } => self.at(self.by_serial.get(serial)).find(covers),
            Revoked::KeyId { key_id, .. } => self.at(self.by_key_id.get(key_id)).find(covers),
            Revoked::PublicKey { public_key } => self.by_public_key(public_key),
            Revoked::Lifted { .. } => None,
        }
    }

    fn find(
        &self,
        serial: Option<Serial>,
        key_id: &str,
        public_key: &str,
        ca: &str,
    ) -> Option<&RevocationRecord> {
        let of_ca = |record: &&RevocationRecord| match &record.what {
            Revoked::Serial { ca_keys, .. } | Revoked::KeyId { ca_keys, .. } => {
                let keys = authorities(ca_keys);
                keys.is_empty() || keys.iter().any(|key| sha256(key.key_data()) == ca)
            }
            Revoked::PublicKey { .. } | Revoked::Lifted { .. } => false,
        };
        self.by_public_key(public_key)
            .or_else(|| self.at(self.by_key_id.get(key_id)).find(of_ca))
            .or_else(|| self.at(self.by_serial.get(&serial?)).find(of_ca))
            .or_else(|| self.by_public_key(ca))
    }

    /// The lines at these places.
    fn at<'a>(
        &'a self,
        places: Option<&'a Vec<usize>>,
    ) -> impl Iterator<Item = &'a RevocationRecord> {
        let places = places.into_iter().flatten();
        places.filter_map(|place| self.records.get(*place))
    }

    fn by_public_key(&self, public_key: &str) -> Option<&RevocationRecord> {
        self.records.get(*self.by_public_key.get(public_key)?)
    }

    /// A line of the file; `None` where it is none.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<RevocationRecord> {
        let mut record = serde_json::from_slice::<RevocationRecord>(line).ok()?;
        record.reason = record.reason.as_deref().map(fit_to_show);
        if let Revoked::PublicKey { public_key } = &record.what {
            // One that cannot be listed would revoke nothing.
            let fingerprint = public_key.parse().ok()?;
            RevocationList::default()
                .revoke_fingerprint(&fingerprint)
                .then_some(())?;
        }
        Some(record)
    }

    pub(super) fn add(&mut self, record: RevocationRecord) {
        if matches!(record.what, Revoked::Lifted { .. }) {
            let mut records = std::mem::take(&mut self.records);
            records.push(record);
            *self = Self::of(records);
        } else {
            self.index(self.records.len(), &record);
            self.date(&record);
            self.records.push(record);
        }
    }

    fn index(&mut self, place: usize, record: &RevocationRecord) {
        match &record.what {
            Revoked::Serial { serial, ca_keys } => {
                for key in each_or_any(&authorities(ca_keys)) {
                    self.list.revoke_serials(key, *serial..=*serial);
                }
                self.by_serial.entry(*serial).or_default().push(place);
            }
            Revoked::KeyId {
                key_id, ca_keys, ..
            } => {
                for key in each_or_any(&authorities(ca_keys)) {
                    self.list.revoke_key_id(key, key_id);
                }
                let places = self.by_key_id.entry(key_id.clone()).or_default();
                places.push(place);
            }
            Revoked::PublicKey { public_key } => {
                // That it can be was seen when the line was parsed.
                let _is_listed = public_key
                    .parse()
                    .is_ok_and(|fingerprint| self.list.revoke_fingerprint(&fingerprint));
                let first = self.by_public_key.entry(public_key.clone());
                first.or_insert(place);
            }
            Revoked::Lifted { .. } => return,
        }
        self.in_force.push(place);
    }

    fn date(&mut self, record: &RevocationRecord) {
        self.list.version = self.list.version.max(record.version);
        let time = u64::try_from(record.time.timestamp()).unwrap_or_default();
        self.list.generated = self.list.generated.max(time);
    }
}

/// The CAs of a line. Where one cannot be read, none is given, which stands for any: better one
/// certificate too many than one too few.
fn authorities(lines: &[String]) -> Vec<PublicKey> {
    let keys: Result<_, _> = lines.iter().map(|l| PublicKey::from_openssh(l)).collect();
    keys.unwrap_or_default()
}

/// Each of the keys, or without any of them `None`, which stands for any CA.
fn each_or_any(keys: &[PublicKey]) -> impl Iterator<Item = Option<&PublicKey>> {
    let any = keys.is_empty().then_some(None);
    keys.iter().map(Some).chain(any)
}

fn sha256(key: &ssh_key::public::KeyData) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// The file may have been written by hand, and users read this on their terminals.
fn fit_to_show(reason: &str) -> String {
    Printable(reason).within(MAX_REASON)
}

//! `rproxy auth revoke`: revokes certificates and keys.

use std::path::{Path, PathBuf};

use clap::ArgGroup;
use ssh_key::{Certificate, HashAlg, PublicKey};

use super::client::AuthClient;
use super::export::ExportType;
use super::failure::ca_failure;
use super::subjects::Subjects;
use super::{Context, Exit, Failure, public_key, ui};
use crate::ca::{Authorities, CaKind, IssueRecord, RevokeOutcome, Revoked};
use crate::cert::{KeyError, PresentedKey, check_ca_signature};
use crate::cli::ui::time;
use crate::model::Serial;
use crate::model::text::{self, MAX_REASON, Printable};
use crate::sys::clock::Clock;
use crate::sys::fs::read_limited;

/// Most that is read of a certificate file, in bytes; one with 256 long names has 70 KiB.
const MAX_CERTIFICATE_FILE: u64 = 256 * 1024;
const REFUSED: &str = "cannot revoke";
/// Most certificates that are shown for one thing that is revoked.
const MAX_SHOWN: usize = 5;

/// Revoke certificates and keys
///
/// It shows what is hit, and asks. A running proxy ends their connections within a second. Hosts learn
/// of it by the file of `rproxy auth krl`. Serials, key ids, keys and certificates may be given several
/// times.
///
/// For a lost laptop: --key, and the person goes on with another key; or --serial. For somebody who
/// leaves: --key-id, after which the proxy signs nothing for that name any more.
#[derive(Debug, clap::Args)]
#[command(group(
    ArgGroup::new("what").required(true).multiple(true)
        .args(["serial", "key_id", "key", "certificate"])
))]
pub(crate) struct AuthRevokeArgs {
    #[command(flatten)]
    subjects: Subjects,
    /// With --key-id: only certificates of people, or only those of hosts
    #[arg(long = "type", value_name = "TYPE", requires = "key_id")]
    kind: Option<ExportType>,
    /// Revoke this certificate, by its serial
    #[arg(long, value_name = "FILE")]
    certificate: Vec<PathBuf>,
    /// Revoke a serial or a key id also if no certificate in the ledger has it
    #[arg(long)]
    unknown: bool,
}

impl AuthRevokeArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        ui::result(&self.revoke(context, ui::confirm)?)
    }

    /// Does it all and gives what is printed. `ask` puts a question to the user.
    pub(super) fn revoke(
        &self,
        context: &Context,
        ask: impl FnOnce(&str) -> Result<bool, Failure>,
    ) -> Result<String, Failure> {
        let subjects = &self.subjects;
        let reason = subjects.reason.as_deref().map(usable_reason).transpose()?;
        let serials: Vec<_> = subjects.serial.iter().map(|text| serial(text)).collect();
        let serials = serials.into_iter().collect::<Result<Vec<_>, _>>()?;
        let certificates: Vec<_> = self.certificate.iter().map(|f| certificate(f)).collect();
        let certificates = certificates.into_iter().collect::<Result<Vec<_>, _>>()?;
        let client = AuthClient::new(context);
        let given: Vec<_> = certificates.iter().map(Certificate::serial).collect();
        let given = given.into_iter().filter_map(Serial::new);
        let given: Vec<_> = serials.iter().copied().chain(given).collect();
        let authorities = client.authorities()?;
        let known = KnownCertificates {
            hits: Hits::read(&client, &given)?,
            authorities: &authorities,
        };
        let mut wanted = Vec::new();
        for serial in serials {
            self.check_known(
                known.entry(serial).is_some(),
                &format!("the serial {serial}"),
            )?;
            wanted.push(known.of_serial(serial)?);
        }
        for (file, certificate) in self.certificate.iter().zip(&certificates) {
            wanted.push(known.of_certificate(file, certificate)?);
        }
        for key_id in &subjects.key_id {
            let revoked = known.of_key_id(key_id, self.kind.map(CaKind::from))?;
            self.check_known(known.has_key_id(key_id), &format!("the key id {key_id:?}"))?;
            wanted.push(revoked);
        }
        for text in &subjects.key {
            wanted.push(known.of_key(text)?);
        }
        for what in &wanted {
            ui::note(&known.hits.of(what));
        }
        subjects.confirm("Revoke this?", "nothing is revoked", ask)?;
        let outcomes = client.revoke(wanted, reason)?;
        Ok(outcomes
            .iter()
            .map(|outcome| known.report(outcome))
            .collect())
    }

    /// A serial that some program has rounded, or a name with a typing error, matches no certificate:
    /// that must not look like success.
    fn check_known(&self, is_known: bool, what: &str) -> Result<(), Failure> {
        if is_known || self.unknown {
            return Ok(());
        }
        Err(Failure::new(Exit::Failed, format!("cannot revoke {what}"))
            .because("no certificate in the ledger has it, so nothing was revoked")
            .hint("`rproxy auth ls` lists what was issued, with every digit of the serials")
            .hint("if it was issued elsewhere or is yet to come, add --unknown"))
    }
}

/// What is known of certificates.
struct KnownCertificates<'a> {
    hits: Hits,
    authorities: &'a Authorities,
}

impl KnownCertificates<'_> {
    fn entry(&self, serial: Serial) -> Option<&IssueRecord> {
        self.hits.entry(serial)
    }

    fn has_key_id(&self, key_id: &str) -> bool {
        let mut issued = self.hits.issued.iter();
        issued.any(|record| record.key_id == key_id)
    }

    fn keys(&self) -> impl Iterator<Item = &PublicKey> {
        [CaKind::User, CaKind::Host]
            .into_iter()
            .flat_map(|kind| self.authorities.of(kind).public_keys())
    }

    /// The certificate of the ledger's CA; one that the ledger does not have may be of either.
    fn of_serial(&self, serial: Serial) -> Result<Revoked, Failure> {
        let entry = self.entry(serial);
        let ca_keys = self
            .keys()
            .filter(|key| entry.is_none_or(|entry| entry.ca == sha256(key)))
            .map(line)
            .collect::<Result<_, _>>()?;
        Ok(Revoked::Serial { serial, ca_keys })
    }

    fn of_certificate(&self, file: &Path, certificate: &Certificate) -> Result<Revoked, Failure> {
        let refused = |message: String| Failure::new(Exit::Failed, REFUSED).because(message);
        let name = file.display();
        let Some(serial) = Serial::new(certificate.serial()) else {
            return Err(
                refused(format!("{name} has no serial number: it is 0")).hint(format!(
                    "revoke its key with --key={}",
                    certificate.public_key().fingerprint(HashAlg::Sha256)
                )),
            );
        };
        let key = certificate.public_key().fingerprint(HashAlg::Sha256);
        if let Some(entry) = self.entry(serial)
            && entry.public_key != key.to_string()
        {
            return Err(refused(format!(
                "{name} has the serial {serial}, which belongs to another certificate"
            ))
            .hint(format!("revoke that one with --serial={serial}")));
        }
        let ca = PublicKey::from(certificate.signature_key().clone());
        Ok(Revoked::Serial {
            serial,
            ca_keys: vec![line(&ca)?],
        })
    }

    fn of_key(&self, text: &str) -> Result<Revoked, Failure> {
        let public_key = public_key::fingerprint(text)?;
        if self.keys().any(|key| sha256(key) == public_key) {
            return Err(
                Failure::new(Exit::Failed, format!("cannot revoke {text:?}"))
                    .because("this is the key of a CA in use: nobody could log in any more")
                    .hint("replace it first: rproxy auth rotate"),
            );
        }
        Ok(Revoked::PublicKey { public_key })
    }

    /// A name may be a person's and a host's: then it has to be said whose is meant.
    fn of_key_id(&self, key_id: &str, kind: Option<CaKind>) -> Result<Revoked, Failure> {
        let refused = || Failure::new(Exit::Failed, format!("cannot revoke {key_id:?}"));
        if key_id.trim().is_empty() || key_id.chars().any(char::is_control) {
            return Err(refused().because("a key id is a name, without control characters"));
        }
        let has = |kind| {
            let mut issued = self.hits.issued.iter();
            issued.any(|record| record.key_id == key_id && record.kind == kind)
        };
        if kind.is_none() && has(CaKind::User) && has(CaKind::Host) {
            return Err(refused()
                .because("a person and a host have certificates with this key id")
                .hint("give --type=user or --type=host"));
        }
        let keys = kind.map_or(&[][..], |kind| self.authorities.of(kind).public_keys());
        Ok(Revoked::KeyId {
            key_id: key_id.to_owned(),
            kind,
            ca_keys: keys.iter().map(line).collect::<Result<_, _>>()?,
        })
    }

    fn report(&self, verdict: &RevokeOutcome) -> String {
        let (record, done) = match verdict {
            RevokeOutcome::New(record) => (record, "Revoked"),
            RevokeOutcome::Already(record) => (record, "Revoked already:"),
        };
        let what = self.hits.name(&record.what);
        format!("{done} {what} (version {})\n", record.version)
    }
}

/// The certificates of the ledger, and which of them a revocation is about.
pub(super) struct Hits {
    issued: Vec<IssueRecord>,
    now: u64,
}

impl Hits {
    /// Reads the ledger: certificates that were requested, and of those for connections the ones with
    /// these serials.
    pub(super) fn read(client: &AuthClient<'_>, serials: &[Serial]) -> Result<Self, Failure> {
        let failed = |error| ca_failure("cannot read the ledger", error);
        let mut issued = client.issued().map_err(failed)?;
        for serial in serials {
            if !issued.iter().any(|record| record.serial == *serial) {
                issued.extend(client.find(*serial).map_err(failed)?);
            }
        }
        let now = Clock::System.unix_seconds();
        Ok(Self { issued, now })
    }

    fn entry(&self, serial: Serial) -> Option<&IssueRecord> {
        self.issued.iter().find(|record| record.serial == serial)
    }

    fn all(&self, what: &Revoked) -> Vec<&IssueRecord> {
        let is_hit = |record: &&IssueRecord| match what {
            Revoked::Serial { serial, .. } => record.serial == *serial,
            Revoked::KeyId { key_id, kind, .. } => {
                record.key_id == *key_id && kind.is_none_or(|kind| kind == record.kind)
            }
            Revoked::PublicKey { public_key } => record.public_key == *public_key,
            Revoked::Lifted { .. } => false,
        };
        self.issued.iter().filter(is_hit).collect()
    }

    /// What is revoked, in a few words.
    pub(super) fn name(&self, what: &Revoked) -> String {
        let count = match self.all(what).len() {
            1 => "1 certificate in the ledger has".to_owned(),
            count => format!("{count} certificates in the ledger have"),
        };
        match what {
            Revoked::Serial { serial, .. } => match self.entry(*serial) {
                Some(entry) => format!(
                    "serial {serial}, the {} certificate of {}",
                    entry.kind, entry.key_id
                ),
                None => format!("serial {serial}, which is not in the ledger"),
            },
            Revoked::KeyId { key_id, kind, .. } => match kind {
                Some(kind) => format!("{kind} key id {key_id}, which {count}"),
                None => format!("key id {key_id}, which {count}"),
            },
            Revoked::PublicKey { public_key } => format!("key {public_key}, which {count}"),
            Revoked::Lifted { lifts } => self.name(lifts),
        }
    }

    /// The same, with a line for each certificate that is good still.
    pub(super) fn of(&self, what: &Revoked) -> String {
        let mut text = self.name(what);
        let good = |record: &&&IssueRecord| record.valid_before > self.now;
        let all = self.all(what);
        let good: Vec<_> = all.iter().filter(good).collect();
        for record in good.iter().take(MAX_SHOWN) {
            text += &format!(
                "\n  {} {}, serial {}, for {}, until {}",
                record.kind,
                Printable(&record.key_id),
                record.serial,
                Printable(&record.principals.join(",")),
                time(record.valid_before)
            );
        }
        if good.len() > MAX_SHOWN {
            text += &format!("\n  and {} more", good.len() - MAX_SHOWN);
        }
        if let Revoked::KeyId { kind, .. } = what {
            let whose = match kind {
                Some(CaKind::User) => "of people",
                Some(CaKind::Host) => "of hosts",
                None => "of people and hosts",
            };
            text += &format!("\n  and all certificates {whose} with this key id to come");
        }
        text
    }
}

pub(super) fn serial(text: &str) -> Result<Serial, Failure> {
    let number = text.trim().parse().ok().and_then(Serial::new);
    number.ok_or_else(|| {
        Failure::new(Exit::Failed, format!("cannot revoke {text:?}"))
            .because("this is not a serial: expected a number from 1 to 18446744073709551615")
            .hint("`rproxy auth ls` lists the serials, `ssh-keygen -L -f FILE` shows one")
    })
}

/// A certificate that its CA has signed: a forged one could name the serial of another certificate.
fn certificate(file: &Path) -> Result<Certificate, Failure> {
    let refused = || {
        Failure::new(
            Exit::Failed,
            format!("cannot revoke the certificate of {}", file.display()),
        )
    };
    let bytes = read_limited(file, MAX_CERTIFICATE_FILE).map_err(|e| refused().because(e))?;
    let not_one = || {
        refused()
            .because("this is not one OpenSSH certificate")
            .hint("give the file that ends in -cert.pub, or name the key with --key")
    };
    let text = str::from_utf8(&bytes).map_err(|_binary| not_one())?.trim();
    if text.lines().count() != 1 {
        return Err(not_one());
    }
    match PresentedKey::from_line(text) {
        Ok(PresentedKey::Certificate(certificate)) => {
            check_ca_signature(&certificate).map_err(|fault| refused().because(fault))?;
            Ok(*certificate)
        }
        Ok(PresentedKey::Plain(_)) | Err(KeyError::Malformed(_)) => Err(not_one()),
        Err(error) => Err(refused().because(error)),
    }
}

pub(super) fn usable_reason(reason: &str) -> Result<&str, Failure> {
    let reason = reason.trim();
    let refused = |why: String| Failure::new(Exit::Failed, "cannot use --reason").because(why);
    if !text::is_printable(reason) {
        let why = "a reason is one line of text, without control or invisible characters";
        Err(refused(why.to_owned()))
    } else if reason.len() > MAX_REASON {
        Err(refused(format!("it is longer than {MAX_REASON} bytes")))
    } else if reason.is_empty() {
        Err(refused("it is empty".to_owned()))
    } else {
        Ok(reason)
    }
}

fn line(key: &PublicKey) -> Result<String, Failure> {
    let bare = PublicKey::from(key.key_data().clone());
    bare.to_openssh()
        .map_err(|error| Failure::new(Exit::Internal, "cannot encode a CA's key").because(error))
}

fn sha256(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

//! `rproxy auth unrevoke`: lifts a mistaken revocation.

use clap::ArgGroup;

use super::client::AuthClient;
use super::public_key;
use super::revoke::{self, Hits};
use super::subjects::Subjects;
use super::{Context, Exit, Failure, ui};
use crate::ca::{RevocationRecord, Revoked};

/// Lift revocations that were a mistake
///
/// What was revoked stays in the ledger, and so does the lifting. The revocation list gets a higher
/// version, which no longer has it: a running proxy goes by it within a second, hosts once they have
/// the new file of `rproxy auth krl`. It asks before it does so.
#[derive(Debug, clap::Args)]
#[command(group(
    ArgGroup::new("what").required(true).multiple(true).args(["serial", "key_id", "key"])
))]
pub(crate) struct AuthLiftArgs {
    #[command(flatten)]
    subjects: Subjects,
}

impl AuthLiftArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        ui::result(&self.lift(context, ui::confirm)?)
    }

    /// Does it all and gives what is printed. `ask` puts a question to the user.
    pub(super) fn lift(
        &self,
        context: &Context,
        ask: impl FnOnce(&str) -> Result<bool, Failure>,
    ) -> Result<String, Failure> {
        let subjects = &self.subjects;
        let reason = subjects.reason.as_deref().map(revoke::usable_reason);
        let reason = reason.transpose()?;
        let client = AuthClient::new(context);
        let known = client.revocations()?;
        let all: Vec<_> = known.in_force().collect();
        let mut lifted: Vec<&RevocationRecord> = Vec::new();
        for text in &subjects.serial {
            let wanted = revoke::serial(text)?;
            let is = |what: &Revoked| matches!(what, Revoked::Serial { serial, .. } if *serial == wanted);
            lifted.extend(matching(&all, &format!("the serial {wanted}"), is)?);
        }
        for wanted in &subjects.key_id {
            let is =
                |what: &Revoked| matches!(what, Revoked::KeyId { key_id, .. } if key_id == wanted);
            lifted.extend(matching(&all, &format!("the key id {wanted:?}"), is)?);
        }
        for text in &subjects.key {
            let wanted = public_key::fingerprint(text)?;
            let is = |what: &Revoked| matches!(what, Revoked::PublicKey { public_key } if *public_key == wanted);
            lifted.extend(matching(&all, &format!("the key {wanted}"), is)?);
        }
        let serials = lifted.iter().filter_map(|record| match &record.what {
            Revoked::Serial { serial, .. } => Some(*serial),
            _ => None,
        });
        let hits = Hits::read(&client, &serials.collect::<Vec<_>>())?;
        for record in &lifted {
            ui::note(&format!(
                "version {}, by {}: {}",
                record.version,
                record.by,
                hits.of(&record.what)
            ));
        }
        let question = "Lift this? What it revoked counts again.";
        subjects.confirm(question, "nothing is lifted", ask)?;
        let wanted = lifted.iter().map(|record| record.what.clone()).collect();
        let written = client.lift(wanted, reason)?;
        let mut text = String::new();
        for record in &written {
            if let Revoked::Lifted { lifts } = &record.what {
                let (what, version) = (hits.of(lifts), record.version);
                text += &format!("Revoked no more: {what} (version {version})\n");
            }
        }
        text += "Hosts refuse it until they have the new list. On the proxy: rproxy auth krl --out=FILE; copy \
                 FILE to where RevokedKeys points, on every host\n";
        Ok(text)
    }
}

/// The lines that revoke this; that there is none is an error.
fn matching<'a>(
    all: &[&'a RevocationRecord],
    name: &str,
    is: impl Fn(&Revoked) -> bool,
) -> Result<Vec<&'a RevocationRecord>, Failure> {
    let found: Vec<_> = all.iter().copied().filter(|r| is(&r.what)).collect();
    if found.is_empty() {
        return Err(Failure::new(Exit::Failed, "cannot lift the revocation")
            .because(format!("{name} is not revoked"))
            .hint("`rproxy auth ls --revoked` lists what is"));
    }
    Ok(found)
}

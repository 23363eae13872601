//! `rproxy auth krl`: the revocations, as the file for sshd's `RevokedKeys`.

use std::path::{Path, PathBuf};

use super::client::AuthClient;
use super::{Context, Exit, Failure, ui};
use crate::cert::krl::{MAX_KRL, RevocationList};
use crate::sys::fs::{PUBLIC_FILE, Replace, check_replaceable, read_limited, write_whole};

/// Write the key revocation list for sshd's RevokedKeys
///
/// FILE is replaced as a whole, only by a list of the same or a higher version, and only if it is a
/// revocation list or empty. The same revocations always make the same bytes.
#[derive(Debug, clap::Args)]
pub(crate) struct AuthKrlArgs {
    /// Where to write it; - is standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl AuthKrlArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        if self.out == Path::new("-") {
            let (_, bytes) = encoded(context)?;
            return ui::result_bytes(&bytes);
        }
        ui::result(&self.write(context)?)?;
        ui::note(&format!(
            "hint: copy {} to where RevokedKeys points in sshd_config, on every host",
            self.out.display()
        ));
        Ok(())
    }

    /// Writes the file and gives what is printed.
    pub(super) fn write(&self, context: &Context) -> Result<String, Failure> {
        let name = self.out.display();
        let refused = || Failure::new(Exit::Failed, format!("cannot write {name}"));
        // An older list must not come after a newer one.
        let _lock = AuthClient::new(context).lock_revocations()?;
        let (list, bytes) = encoded(context)?;
        let version = list.version;
        match existing(&self.out)? {
            Some(old) if old.version > version => {
                return Err(refused()
                    .because(format!(
                        "it has version {}, newer than version {version} of this data directory",
                        old.version
                    ))
                    .hint("is this the right --data-dir? if so, remove the file first"));
            }
            Some(old) if old == list => {
                return Ok(format!("{name} has version {version} already\n"));
            }
            Some(_) | None => {}
        }
        write_whole(&self.out, &bytes, PUBLIC_FILE, Replace::Allow)
            .map_err(|error| refused().because(error))?;
        Ok(format!("Version {version} has been written to {name}\n"))
    }
}

fn encoded(context: &Context) -> Result<(RevocationList, Vec<u8>), Failure> {
    let revocations = AuthClient::new(context).revocations()?;
    let list = revocations.published(&context.config.cluster_name);
    let bytes = list.encode().map_err(|error| {
        Failure::new(Exit::Failed, "cannot make the revocation list").because(error)
    })?;
    Ok((list, bytes))
}

/// The list that is there; `None` where nothing is lost.
fn existing(path: &Path) -> Result<Option<RevocationList>, Failure> {
    let refused = || {
        Failure::new(Exit::Failed, format!("cannot replace {}", path.display()))
            .hint("choose another --out, or remove the file first")
    };
    check_replaceable(path).map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot replace {}", path.display()))
            .because(error)
            .hint("choose another --out; - is standard output")
    })?;
    let bytes = match read_limited(path, MAX_KRL as u64) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(refused().because(error)),
    };
    if bytes.is_empty() {
        return Ok(None);
    }
    RevocationList::decode(&bytes)
        .map(Some)
        .map_err(|error| refused().because(error))
}

//! Writes everything, or nothing.
//!
//! The configuration is written under a temporary name, and the CAs, the state and the audit log are made
//! in a new directory within the data directory. Only when all of that is on the disk, each gets its
//! place. If something fails, what was made is removed again.

use std::os::unix::fs::lchown;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use uuid::Uuid;

use super::answers::{InitAnswers, SignInWay};
use super::configuration::{self, ADMIN_ROLE};
use super::undo::Undo;
use super::{Context, Exit, Failure, existing};
use crate::ca::Made;
use crate::cli::auth::client::AuthClient;
use crate::cli::users;
use crate::config::Loaded;
use crate::model::{UserName, text};
use crate::people::{NewInvitation, NewPerson};
use crate::sys::account::SystemAccount;
use crate::sys::fs::{
    FsError, PRIVATE_DIR, Staged, check_private, directory_of, sync_directory_of,
};

/// Mode of the configuration: it names networks and users.
const CONFIG_FILE: u32 = 0o640;
/// Mode of the directory of the configuration, if it has to be made.
const CONFIG_DIR: u32 = 0o750;

/// What was done.
#[derive(Debug)]
pub(super) struct Done {
    /// The new configuration.
    pub(super) context: Context,
    /// The keys of the CAs.
    pub(super) made: Vec<Made>,
    /// The invitation of the administrator, if administrators have passwords.
    pub(super) invited: Option<NewInvitation>,
    /// The account that the data directory belongs to, if it is not this one.
    pub(super) account: Option<SystemAccount>,
}

/// Sets up what was answered.
///
/// # Errors
/// When something is there already, or cannot be made. Then nothing has changed.
pub(super) fn make(answers: &InitAnswers) -> Result<Done, Failure> {
    let text = configuration::text(answers)?;
    let context = context(configuration::read(answers, &text, &answers.data_dir)?);
    let replace = existing::check_file(&answers.file)?;
    existing::check_data_dir(&answers.data_dir)?;
    let account = other_owner(&answers.data_dir);
    let written = |error| existing::cannot_write(&answers.file, error);

    let mut undo = Undo::default();
    undo.make_dir(directory_of(&answers.file), CONFIG_DIR)
        .map_err(written)?;
    let staged = Staged::write(&answers.file, text.as_bytes(), CONFIG_FILE).map_err(written)?;
    if let Some(account) = &account {
        // The account reads the configuration.
        for path in undo.dirs().chain([staged.temporary()]) {
            lchown(path, None, Some(account.gid))
                .map_err(FsError::io("give away", path))
                .map_err(written)?;
        }
    }
    let filled = as_owner(account.as_ref(), || fill(answers, &text))?;
    if let Err(error) = staged.place(replace) {
        // The first failure is the one to tell.
        let _second = as_owner(account.as_ref(), || {
            drop(filled);
            Ok(())
        });
        return Err(written(error));
    }
    undo.keep();
    filled.undo.keep();
    Ok(Done {
        context,
        made: filled.made,
        invited: filled.invited,
        account,
    })
}

/// A data directory with everything in it that is made before the first start.
pub(super) struct Filled {
    made: Vec<Made>,
    invited: Option<NewInvitation>,
    undo: Undo,
}

/// Makes everything that is in the data directory. It is removed again with the value.
///
/// # Errors
/// When something cannot be made. Then nothing has changed.
pub(super) fn fill(answers: &InitAnswers, text: &str) -> Result<Filled, Failure> {
    let cannot = |error| {
        let directory = text::path(&answers.data_dir);
        Failure::new(
            Exit::Failed,
            format!("cannot fill the data directory {directory}"),
        )
        .because(error)
    };
    let mut undo = Undo::default();
    undo.make_dir(&answers.data_dir, PRIVATE_DIR)
        .and_then(|()| check_private(&answers.data_dir))
        .map_err(cannot)?;
    let staging = answers
        .data_dir
        .join(format!(".init.{}", Uuid::now_v7().simple()));
    undo.make_tree(&staging, PRIVATE_DIR).map_err(cannot)?;
    let (made, invited) = {
        let context = context(configuration::read(answers, text, &staging)?);
        let (_authorities, made) = AuthClient::new(&context).make("init")?;
        let invited = match &answers.sign_in {
            SignInWay::Local(name) => Some(users::invite(&context, administrator(name))?),
            SignInWay::Oidc(_) | SignInWay::Certificate(_) => None,
        };
        (made, invited)
    };
    move_all(&staging, &answers.data_dir, &mut undo).map_err(cannot)?;
    Ok(Filled {
        made,
        invited,
        undo,
    })
}

fn administrator(name: &UserName) -> NewPerson {
    NewPerson {
        name: name.clone(),
        roles: vec![ADMIN_ROLE.to_owned()],
        logins: None,
    }
}

/// Moves everything that is in one directory to another one, where nothing is replaced.
fn move_all(from: &Path, to: &Path, undo: &mut Undo) -> Result<(), FsError> {
    let entries = std::fs::read_dir(from).map_err(FsError::io("read", from))?;
    for entry in entries {
        let entry = entry.map_err(FsError::io("read", from))?;
        let place = to.join(entry.file_name());
        renameat_with(CWD, entry.path(), CWD, &place, RenameFlags::NOREPLACE)
            .map_err(|errno| FsError::io("make", &place)(errno.into()))?;
        undo.moved(place);
    }
    std::fs::remove_dir(from).map_err(FsError::io("remove", from))?;
    sync_directory_of(from)
}

/// The account that a directory belongs to, if this is root and the directory is not root's.
fn other_owner(directory: &Path) -> Option<SystemAccount> {
    let owner = SystemAccount::owner_of(directory)?;
    (rustix::process::geteuid().is_root() && owner.uid != 0).then_some(owner)
}

/// Does something as the account that the data directory belongs to.
fn as_owner<T: Send>(
    account: Option<&SystemAccount>,
    act: impl FnOnce() -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    match account {
        None => act(),
        Some(account) => account.act(act).map_err(|error| {
            let message = format!("cannot work as the account {}", account.name);
            Failure::new(Exit::Failed, message).because(error)
        })?,
    }
}

fn context(loaded: Loaded) -> Context {
    Context {
        config: loaded.config,
        warnings: loaded.warnings,
    }
}

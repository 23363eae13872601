//! Landlock: which files, TCP ports and processes stay accessible. The only file that imports its
//! crate.
//!
//! Rights are named by the interface version that this was tested with, not by the kernel's version: a
//! newer kernel must not withdraw rights that this file has not considered.

use std::os::fd::AsFd;

use ::landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
};

use super::rights::{Bind, Keep, Landlock, Opened};

/// The version that this was tried with.
const TRIED: ABI = ABI::V7;

/// What came later than the first version: since which, with which Linux, and what is open before it.
pub(super) const LATER: &[(u8, &str, &str)] = &[
    (3, "6.2", "files that are out of reach can be cut by name"),
    (4, "6.7", "TCP ports are not confined"),
    (5, "6.10", "devices that are open take any command"),
    (6, "6.12", "abstract Unix sockets are in reach"),
];

/// Confines the calling thread, and all that it starts.
pub(super) fn restrict(
    places: &[Opened],
    connects_tcp: bool,
    binds_tcp: Bind,
) -> Result<Landlock, RulesetError> {
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(TRIED))?
        .scope(Scope::from_all(TRIED))?;
    if !connects_tcp {
        ruleset = ruleset.handle_access(AccessNet::ConnectTcp)?;
    }
    if binds_tcp != Bind::Anything {
        ruleset = ruleset.handle_access(AccessNet::BindTcp)?;
    }
    let mut rules = ruleset.create()?;
    if binds_tcp == Bind::Ephemeral {
        // As for `bind`, port 0 stands for one that the kernel picks.
        rules = rules.add_rule(NetPort::new(0, AccessNet::BindTcp))?;
    }
    for place in places {
        let access = rights(place.keep, place.is_directory);
        rules = rules.add_rule(PathBeneath::new(place.fd.as_fd(), access))?;
    }
    Ok(found(rules.restrict_self()?.landlock))
}

/// What the kernel has. It says so only to a thread that it confines: one that does nothing else.
pub(super) fn offered() -> Landlock {
    let ask = || {
        let rules = Ruleset::default()
            .handle_access(AccessFs::Execute)
            .and_then(Ruleset::create)?;
        rules.restrict_self().map(|status| found(status.landlock))
    };
    match std::thread::spawn(ask).join() {
        Ok(Ok(found)) => found,
        Ok(Err(_)) | Err(_) => Landlock::Missing("the kernel refuses it"),
    }
}

fn found(status: LandlockStatus) -> Landlock {
    match status {
        LandlockStatus::Available { effective_abi, .. } => Landlock::Abi(effective_abi as u8),
        LandlockStatus::NotEnabled => {
            Landlock::Missing("Landlock is not among the kernel's security modules (lsm=)")
        }
        LandlockStatus::NotImplemented => {
            Landlock::Missing("the kernel has no Landlock (Linux 5.13), or may not be asked")
        }
    }
}

/// The rights of a place. Those of a directory would be an error on a file.
fn rights(keep: Keep, is_directory: bool) -> BitFlags<AccessFs> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let rights = match keep {
        Keep::List => AccessFs::ReadDir.into(),
        Keep::Read => read,
        Keep::Write => read | AccessFs::WriteFile | AccessFs::Truncate,
        Keep::Make => AccessFs::WriteFile | AccessFs::MakeReg,
        Keep::Own => {
            read | AccessFs::WriteFile
                | AccessFs::Truncate
                | AccessFs::MakeReg
                | AccessFs::MakeSock
                | AccessFs::RemoveFile
        }
    };
    match is_directory {
        true => rights,
        false => rights & AccessFs::from_file(TRIED),
    }
}

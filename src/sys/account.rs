//! Accounts of this machine: the one that runs this process, and the name of an account.
//!
//! The account's number is reported by the kernel, its name by the user database. The account that runs sudo is
//! an environment variable: it is recorded, and proves nothing.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use serde::Serialize;

use super::fs::read_limited;
use crate::model::text;

/// The list of accounts, passwd(5).
const PASSWD: &str = "/etc/passwd";
/// Most that is read of it, in bytes.
const MAX_PASSWD: u64 = 1024 * 1024;
/// Longest name that an account claims to have, in bytes; longer ones are left out.
const MAX_CLAIM: usize = 64;

/// Who has done something: an administrator on the command line, or the proxy itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Actor {
    /// The name of the account, `uid N` for one without an entry in `/etc/passwd`.
    pub by: String,
    /// The account's number.
    pub uid: u32,
    /// The account that sudo worked for, as sudo says.
    pub sudo_user: Option<String>,
}

impl Actor {
    /// The account that runs this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        let uid = rustix::process::getuid().as_raw();
        Self::new(name(uid), uid, sudo_user().as_deref())
    }

    /// An account by its name and number; `sudo_user` is what it claims.
    #[must_use]
    pub fn new(by: String, uid: u32, sudo_user: Option<&str>) -> Self {
        Self {
            by,
            uid,
            sudo_user: sudo_user.and_then(claimed).map(str::to_owned),
        }
    }

    /// The name of the person, as far as it is known: the account that sudo worked for, or else this one.
    #[must_use]
    pub fn person(&self) -> &str {
        self.sudo_user.as_deref().unwrap_or(&self.by)
    }
}

/// An account of this machine, with the group that its files have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemAccount {
    /// Its number.
    pub uid: u32,
    /// The number of the group.
    pub gid: u32,
    /// Its name, `uid N` for one without an entry in `/etc/passwd`.
    pub name: String,
}

impl SystemAccount {
    /// The account that a file or directory belongs to; `None` if it is not there.
    #[must_use]
    pub fn owner_of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            uid: found.uid(),
            gid: found.gid(),
            name: name(found.uid()),
        })
    }

    /// Does something as this account, without supplementary groups, on a thread of its own: the rest of
    /// the process goes on as it is. What root does in a directory of another account that way, that
    /// account could have done itself, so links in it lead nowhere that it may not go.
    ///
    /// # Errors
    /// The operating system's, if this process may not; then nothing was done.
    pub fn act<T: Send>(&self, act: impl FnOnce() -> T + Send) -> io::Result<T> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        std::thread::scope(|scope| {
            let acting = scope.spawn(move || {
                set_thread_groups(&[])?;
                set_thread_res_gid(gid, gid, gid)?;
                set_thread_res_uid(uid, uid, uid)?;
                Ok(act())
            });
            acting
                .join()
                .unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))
        })
    }
}

/// The account that sudo works for in this process, as sudo says.
#[must_use]
pub fn sudo_user() -> Option<String> {
    std::env::var("SUDO_USER").ok()
}

/// The name of the account with this number, `uid N` where the list of accounts has none.
#[must_use]
pub fn name(uid: u32) -> String {
    let passwd = read_limited(Path::new(PASSWD), MAX_PASSWD).unwrap_or_default();
    name_in(&String::from_utf8_lossy(&passwd), uid).unwrap_or_else(|| format!("uid {uid}"))
}

/// The name of an account in the text of passwd(5).
fn name_in(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number = fields.nth(1)?.parse::<u32>().ok()?;
        (number == uid && claimed(name).is_some()).then(|| name.to_owned())
    })
}

/// A name as it may stand in the audit log.
fn claimed(name: &str) -> Option<&str> {
    let is_name = !name.is_empty() && name.len() <= MAX_CLAIM && text::is_printable(name);
    is_name.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_list_of_accounts() {
        let passwd = "root:x:0:0::/root:/bin/sh\nbroken\n:x:7:7::/:\nrproxy:x:997:997::/:\n";
        assert_eq!(name_in(passwd, 997).as_deref(), Some("rproxy"));
        assert_eq!(name_in(passwd, 0).as_deref(), Some("root"));
        assert_eq!(name_in(passwd, 7), None);
        assert_eq!(name_in(passwd, 8), None);
        assert_eq!(name(u32::MAX - 7), format!("uid {}", u32::MAX - 7));
    }

    #[test]
    fn a_claimed_name_is_short_and_safe() {
        assert_eq!(claimed("carol"), Some("carol"));
        for name in ["", "a\nb", "\u{1b}", &"x".repeat(65)] {
            assert_eq!(claimed(name), None);
        }
    }

    #[test]
    fn whoever_runs_this_is_known_by_number_and_name() {
        let actor = Actor::of_this_process();
        assert_eq!(actor.uid, rustix::process::getuid().as_raw());
        assert_eq!(actor.by, name(actor.uid));
        let by_sudo = Actor::new("root".to_owned(), 0, Some("carol"));
        assert_eq!((by_sudo.person(), by_sudo.by.as_str()), ("carol", "root"));
        let alone = Actor::new("root".to_owned(), 0, Some("a\nb"));
        assert_eq!((alone.person(), &alone.sudo_user), ("root", &None));
    }
}

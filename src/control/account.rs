//! Who asks: the kernel's word for it, and a name to it.

use std::path::Path;

use crate::model::text;
use crate::sys::fs::read_limited;

/// Most that is read of the list of accounts.
const MAX_PASSWD: u64 = 1024 * 1024;
/// Longest name that somebody claims to have, in bytes; longer ones are left out.
const MAX_CLAIM: usize = 64;

/// The account of the proxy, whose name is looked up once: later it may be out of reach.
#[derive(Debug)]
pub(super) struct Accounts {
    own: u32,
    own_name: String,
}

impl Accounts {
    /// Looks up the name of the account that this process runs under.
    pub(super) fn of_this_process() -> Self {
        let own = rustix::process::geteuid().as_raw();
        let passwd = read_limited(Path::new("/etc/passwd"), MAX_PASSWD).unwrap_or_default();
        let name = name_in(&String::from_utf8_lossy(&passwd), own);
        Self {
            own,
            own_name: name.unwrap_or_else(|| format!("uid {own}")),
        }
    }

    /// The name of a peer that is answered; `None` for one that is not.
    pub(super) fn admit(&self, uid: u32) -> Option<&str> {
        if uid == self.own {
            Some(&self.own_name)
        } else if uid == 0 {
            Some("root")
        } else {
            None
        }
    }
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
pub(super) fn claimed(name: &str) -> Option<&str> {
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
    }

    #[test]
    fn root_and_the_own_account_are_answered() {
        let accounts = Accounts {
            own: 997,
            own_name: "rproxy".to_owned(),
        };
        assert_eq!(accounts.admit(997), Some("rproxy"));
        assert_eq!(accounts.admit(0), Some("root"));
        assert_eq!(accounts.admit(65534), None);
        assert_eq!(accounts.admit(u32::MAX), None);
    }

    #[test]
    fn a_claimed_name_is_short_and_safe() {
        assert_eq!(claimed("carol"), Some("carol"));
        for name in ["", "a\nb", "\u{1b}", &"x".repeat(65)] {
            assert_eq!(claimed(name), None);
        }
    }
}

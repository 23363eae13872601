//! Which accounts are answered: root and the proxy's account. The kernel reports the account of a
//! client.

use crate::sys::account;

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
        Self {
            own,
            own_name: account::name(own),
        }
    }

    /// Those of an account that is not looked up.
    #[cfg(test)]
    pub(super) fn for_tests(own: u32, name: &str) -> Self {
        Self {
            own,
            own_name: name.to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_own_account_are_answered() {
        let accounts = Accounts::for_tests(997, "rproxy");
        assert_eq!(accounts.admit(997), Some("rproxy"));
        assert_eq!(accounts.admit(0), Some("root"));
        assert_eq!(accounts.admit(65534), None);
        assert_eq!(accounts.admit(u32::MAX), None);
    }
}

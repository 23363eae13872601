//! The configuration files of ssh: `outer` for the connection to the proxy, `inner` for the one through
//! it.

use std::path::Path;

use super::people::User;
use super::{World, login};
use crate::support::programs;
use crate::support::sshd::QUICK;

impl World {
    /// The inner connection authenticates as this user, the outer one as the default user.
    pub(crate) fn inner_user(&self, other: &User) {
        let lines = format!(
            "IdentityAgent {}\n{}",
            other.socket().display(),
            other.client_lines()
        );
        self.write_inner(&lines);
        let outer = format!(
            "IdentityAgent {}\n{}",
            self.user.socket().display(),
            self.user.client_lines()
        );
        self.write_outer(&outer, true);
    }

    /// Both files for this user.
    pub(crate) fn write_client_files(&self, user: &User, forward_agent: bool) {
        self.write_outer(&user.client_lines(), forward_agent);
        self.write_inner(&user.client_lines());
    }

    fn write_outer(&self, identity: &str, forward_agent: bool) {
        let text = format!(
            "{identity}Port {}\nForwardAgent {}\n{}",
            self.port(),
            if forward_agent { "yes" } else { "no" },
            self.common_lines(),
        );
        write(&self.dir().join("outer"), &text);
    }

    fn write_inner(&self, identity: &str) {
        let text = format!(
            "{identity}ProxyCommand {} -F {} %r@127.0.0.1 -s proxy:%h:%p\n{}",
            programs::path("ssh").display(),
            self.dir().join("outer").display(),
            self.common_lines(),
        );
        write(&self.dir().join("inner"), &text);
    }

    fn common_lines(&self) -> String {
        format!(
            "User {}\n\
             BatchMode yes\n\
             StrictHostKeyChecking yes\n\
             UserKnownHostsFile {}\n\
             GlobalKnownHostsFile /dev/null\n\
             SendEnv LANG LC_*\n\
             {QUICK}\
             EscapeChar none\n",
            login(),
            self.dir().join("known_hosts").display(),
        )
    }
}

pub(super) fn make_dir(path: &Path) {
    std::fs::create_dir(path).expect("a writable directory");
}

pub(super) fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a writable directory");
}

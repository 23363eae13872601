//! Files that are created here and used on a host: their paths there.

use std::io;
use std::path::{Path, PathBuf};

use crate::model::HostPrincipal;

/// Where sshd has its keys.
const SSHD_DIR: &str = "/etc/ssh";
/// Where home directories usually are.
const HOMES: [&str; 2] = ["/root", "/home"];

/// Whether one of these names is this machine's: then nothing has to be carried.
pub(super) fn is_this_machine(names: &[HostPrincipal]) -> bool {
    let uname = rustix::system::uname();
    let machine = uname.nodename().to_string_lossy();
    let short = machine.split('.').next().unwrap_or_default();
    names.iter().any(|name| {
        let name = name.as_str();
        name.eq_ignore_ascii_case(&machine) || name.eq_ignore_ascii_case(short)
    })
}

/// The path on the host of a file or directory that was named like this here. A path that was typed in
/// full is meant for the host too, unless it leads into a home directory; anything else is where the
/// command happened to run, and goes to where sshd has its keys.
///
/// # Errors
/// The operating system's, when there is no current directory.
pub(super) fn on_host(named: &Path) -> io::Result<PathBuf> {
    let here = std::path::absolute(named)?;
    match here.file_name() {
        Some(name) if named.is_relative() || is_in_a_home(&here) => {
            Ok(Path::new(SSHD_DIR).join(name))
        }
        _ => Ok(here),
    }
}

fn is_in_a_home(path: &Path) -> bool {
    let own = std::env::home_dir().filter(|home| home.parent().is_some());
    let homes = HOMES.into_iter().map(PathBuf::from).chain(own);
    homes.into_iter().any(|home| path.starts_with(home))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_where_sshd_keeps_its_keys_unless_its_place_was_typed() {
        for (named, expected) in [
            ("db1", "/etc/ssh/db1"),
            ("out/db1", "/etc/ssh/db1"),
            ("/root/db1", "/etc/ssh/db1"),
            ("/home/carol/keys/db1", "/etc/ssh/db1"),
            ("/etc/ssh/rproxy-db1", "/etc/ssh/rproxy-db1"),
            ("/srv/keys/db1", "/srv/keys/db1"),
        ] {
            assert_eq!(on_host(Path::new(named)).unwrap(), Path::new(expected));
        }
    }

    #[test]
    fn this_machine_is_known_by_its_name() {
        let uname = rustix::system::uname();
        let machine: HostPrincipal = uname.nodename().to_string_lossy().parse().unwrap();
        assert!(is_this_machine(&[machine]));
        let other: HostPrincipal = "some-other-host".parse().unwrap();
        assert!(!is_this_machine(&[other]));
    }
}

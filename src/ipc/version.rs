//! The versions of all messages between the processes of this program.
//!
//! At an upgrade two versions meet: the monitor replaces itself with the new program, and the
//! workers of the old program serve their connections until the last has ended. So a program
//! understands the processes of earlier versions, back to [`OLDEST`]. It need not understand those
//! of later versions: an upgrade to an earlier program is refused before anything has changed.
//!
//! | version | what changed |
//! |---|---|
//! | 1 | signatures and files were asked for by the messages `sign` and `lend` |
//! | 2 | signatures and files are services, which are called |
//! | 3 | an auth process has the CAs, and the monitor passes calls on to it; it is handed over too |
//! | 4 | workers call the auth process for browsers, and for what it has counted |
//! | 5 | workers call the auth process for hosts that join, and for other proxies |
//! | 6 | a process of its own serves the web |

/// The version of this program. Increase it with a change that an earlier program does not
/// understand, in this room or in the state that the monitor hands over to its successor.
pub const VERSION: u32 = 6;

/// The earliest version whose processes this program can take over.
pub const OLDEST: u32 = 1;

/// Whether this program can take over the processes of a program of that version.
#[must_use]
pub const fn can_follow(version: u32) -> bool {
    OLDEST <= version && version <= VERSION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_versions_can_be_followed_and_later_ones_cannot() {
        for (version, expected) in [(0, false), (1, true), (VERSION, true), (VERSION + 1, false)] {
            assert_eq!(can_follow(version), expected, "{version}");
        }
    }
}

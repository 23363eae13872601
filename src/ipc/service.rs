//! The services that a process can call, each with its limits: one table.

use std::time::Duration;

/// A service that one process provides to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Opens files that the caller's sandbox does not permit.
    Files,
    /// Signs with the host CA's key.
    Signing,
}

impl Service {
    /// All services, in the order of the documentation.
    pub const ALL: [Self; 2] = [Self::Signing, Self::Files];

    /// Its name, in messages and documentation.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Signing => "signing",
        }
    }

    /// What a call yields, for the documentation.
    #[must_use]
    pub const fn yields(self) -> &'static str {
        match self {
            Self::Files => {
                "a file of the list below, opened to read or to append. No other file, and not for \
                 another purpose"
            }
            Self::Signing => {
                "a host certificate that is valid for an hour at most, signed with the host CA's \
                 key; or whether that key can be used. No user certificate, no other signature"
            }
        }
    }

    /// Longest encoded request, in bytes.
    #[must_use]
    pub const fn max_request(self) -> usize {
        match self {
            // A path of 4096 bytes, each as a number.
            Self::Files => 20 * 1024,
            // A certificate in hexadecimal digits, and a key.
            Self::Signing => 60 * 1024,
        }
    }

    /// Longest encoded answer, in bytes.
    #[must_use]
    pub const fn max_answer(self) -> usize {
        match self {
            Self::Files => 1024,
            // An RSA key of 16384 bits has signatures of 2 KiB.
            Self::Signing => 16 * 1024,
        }
    }

    /// How long a caller waits for the answer.
    #[must_use]
    pub const fn timeout(self) -> Duration {
        match self {
            Self::Files | Self::Signing => Duration::from_secs(10),
        }
    }

    /// How many calls of one process are handled at a time. Further calls are refused.
    #[must_use]
    pub const fn at_once(self) -> usize {
        match self {
            Self::Files | Self::Signing => 8,
        }
    }
}

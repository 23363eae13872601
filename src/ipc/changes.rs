//! The service that tells a process what has been revoked and which sign-ins have ended.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Asks what has changed since the last answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangesRequest {
    /// How many lines of the revocations the caller has.
    pub revocations: u64,
    /// The number of the last end of a sign-in that the caller knows of; `None` for a caller that knows
    /// of none, and wants no earlier ones.
    pub sign_ins: Option<u64>,
}

/// The answer to [`ChangesRequest`]. If there is more, the caller asks again at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangesAnswer {
    /// The next lines of the revocations, each a JSON object as in `revoked.jsonl`.
    pub revocations: Vec<String>,
    /// How many lines there are in all. A caller that has more knows another state, and asks for all.
    pub revocations_in_all: u64,
    /// The sign-ins that have ended, in the order of their numbers.
    pub sign_ins: Vec<EndedSignIn>,
    /// The number of the last end of a sign-in that this answer covers.
    pub sign_ins_until: u64,
    /// Whether there is more.
    pub has_more: bool,
    /// How old the knowledge is that the answer was made from, in milliseconds: the time since the
    /// state was read successfully.
    pub age_ms: u64,
}

/// A sign-in that has ended before its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedSignIn {
    /// Its end's number; later ends have greater numbers.
    pub number: u64,
    /// The sign-in.
    pub id: Uuid,
    /// Why it has ended.
    pub reason: SignInEnd,
}

/// Why a sign-in has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignInEnd {
    /// Its time is over.
    Expired,
    /// The person has ended it.
    Logout,
    /// The person was locked.
    Locked,
    /// The person was removed.
    Removed,
    /// The person's credentials were reset.
    Reset,
    /// The person has changed the password.
    PasswordChanged,
    /// The key of the sign-in was removed.
    KeyRemoved,
}

impl SignInEnd {
    /// The stable name, for the state and the audit log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Logout => "logout",
            Self::Locked => "locked",
            Self::Removed => "removed",
            Self::Reset => "reset",
            Self::PasswordChanged => "password-changed",
            Self::KeyRemoved => "key-removed",
        }
    }

    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Expired,
        Self::Logout,
        Self::Locked,
        Self::Removed,
        Self::Reset,
        Self::PasswordChanged,
        Self::KeyRemoved,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::encode;

    #[test]
    fn the_stable_name_of_an_end_is_what_is_sent() {
        for end in SignInEnd::ALL {
            let sent = encode(&end).unwrap();
            assert_eq!(sent, format!("\"{}\"", end.name()).as_bytes());
        }
    }
}

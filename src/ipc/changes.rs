//! The service that tells a process what has been revoked, which sign-ins have ended, what the users of
//! others may do now, and which nodes have joined.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::{Login, NodeId, TunnelRule};

/// Asks what has changed since the last answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangesRequest {
    /// How many lines of the revocations the caller has.
    pub revocations: u64,
    /// The number of the last change of a sign-in that the caller knows of; `None` for a caller that
    /// knows of none, and wants no earlier ones.
    pub sign_ins: Option<u64>,
    /// The number of the last change of a node that the caller knows of, 0 for a caller that wants all
    /// nodes; `None` for one that wants none, as those of earlier versions.
    #[serde(default)]
    pub nodes_after: Option<u64>,
}

/// The answer to [`ChangesRequest`]. If there is more, the caller asks again at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangesAnswer {
    /// The next lines of the revocations, each a JSON object as in `revoked.jsonl`.
    pub revocations: Vec<String>,
    /// How many lines there are in all. A caller that has more knows another state, and asks for all.
    pub revocations_in_all: u64,
    /// What has become of sign-ins, in the order of the numbers.
    pub sign_ins: Vec<SignInChange>,
    /// The number of the last change of a sign-in that this answer covers.
    pub sign_ins_until: u64,
    /// What has become of nodes, in the order of the numbers. The last of them has the number for the next
    /// request.
    #[serde(default)]
    pub nodes: Vec<NodeNews>,
    /// Whether the caller has to forget the nodes that it knows before it takes these: it knows another
    /// state, and is told of all nodes again.
    #[serde(default)]
    pub nodes_anew: bool,
    /// Whether there is more.
    pub has_more: bool,
    /// How old the knowledge is that the answer was made from, in milliseconds: the time since the
    /// state was read successfully.
    pub age_ms: u64,
}

/// What has become of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeNews {
    /// The change's number; later changes have greater numbers.
    pub number: u64,
    /// The node.
    pub id: NodeId,
    /// How it is now; `None` if it was removed.
    pub now: Option<ListedNode>,
}

/// A host that has joined, as others have to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedNode {
    /// The name.
    pub name: String,
    /// All names, the one above first.
    pub names: Vec<String>,
    /// The labels, as `key=value`.
    pub labels: Vec<String>,
    /// The IP address by which it is dialled.
    pub address: String,
    /// The port of its sshd.
    pub port: u16,
    /// Whether it may, or has to, keep a tunnel.
    pub tunnel: TunnelRule,
    /// Whether it is locked: it is used for nothing.
    pub is_locked: bool,
    /// The SHA-256 of its host key, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
}

/// What has become of a sign-in before its time is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignInChange {
    /// The change's number; later changes have greater numbers.
    pub number: u64,
    /// The sign-in.
    pub id: Uuid,
    /// What has changed.
    pub what: SignInNews,
}

/// A change of a sign-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignInNews {
    /// It has ended, for this reason.
    Ended(SignInEnd),
    /// An administrator has given the user other roles or logins, which are these now.
    Access(UserAccess),
}

/// What the state lets a user do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserAccess {
    /// The roles, by their names in the configuration.
    pub roles: Vec<String>,
    /// The logins that the user may use; `None` for all that the roles allow.
    pub logins: Option<Vec<Login>>,
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

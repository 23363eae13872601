//! Labels, and the closed sets that their values are from.

use std::fmt;

use crate::audit::{EventKind, Party, RefusedKind};
use crate::model::SessionKind;

/// The labels of the series of a family.
#[derive(Clone, Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What it can be.
    pub values: Values,
}

/// What a label can be. Every set is bounded by the program or by the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// One of these.
    Closed(Vec<&'static str>),
    /// A word that stands in the program's text; what it says.
    Program(&'static str),
    /// A node of the inventory.
    Nodes,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: ", self.name)?;
        match &self.values {
            Values::Closed(values) if values.len() > 8 => write!(f, "one of {}", values.len()),
            Values::Closed(values) => f.write_str(&values.join(", ")),
            Values::Program(what) => f.write_str(what),
            Values::Nodes => f.write_str("a node of the inventory"),
        }
    }
}

/// A set whose members are known when the program is built.
pub trait ClosedSet: Copy + PartialEq + fmt::Debug + 'static {
    /// The names of its labels.
    const LABELS: &'static [&'static str];
    /// Its members.
    const ALL: &'static [Self];

    /// The value of each label.
    fn values(self) -> Vec<&'static str>;

    /// Its labels, described.
    #[must_use]
    fn described() -> Vec<Label> {
        let values_of = |place: usize| {
            let mut values = Vec::new();
            for member in Self::ALL {
                match member.values().get(place) {
                    Some(value) if !values.contains(value) => values.push(*value),
                    _ => {}
                }
            }
            values
        };
        let names = Self::LABELS.iter().enumerate();
        names
            .map(|(place, name)| Label {
                name,
                values: Values::Closed(values_of(place)),
            })
            .collect()
    }
}

macro_rules! closed_sets {
    ($($set:ident $label:literal $what:literal { $($member:ident $value:literal $meaning:literal)* })*) => {$(
        #[doc = $what]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $set {
            $(#[doc = $meaning] $member,)*
        }

        impl ClosedSet for $set {
            const LABELS: &'static [&'static str] = &[$label];
            const ALL: &'static [Self] = &[$(Self::$member,)*];

            fn values(self) -> Vec<&'static str> {
                vec![match self { $(Self::$member => $value,)* }]
            }
        }
    )*};
}

closed_sets! {
    Layer "layer" "Which connection of the two that a client has." {
        Outer "outer" "From the client to the listener."
        Inner "inner" "The user's own, in a channel of the outer one."
    }
    LimitExceeded "limit" "The limit that a client was beyond." {
        Connections "connections" "Of all clients."
        Address "address" "Of one address."
        User "user" "Of one person."
        Starting "starting" "Of those that have not authenticated."
    }
    AgentTask "task" "What a user's agent is asked to do." {
        List "list" "To list its keys."
        Sign "sign" "To sign."
    }
    Step "step" "A step on the way to a host." {
        Dial "dial" "The connection of TCP."
        Handshake "handshake" "The key exchange, with the host's certificate."
    }
    Authority "authority" "Whose keys." {
        User "user" "Those that users' certificates are signed with."
        Host "host" "Those that hosts' certificates are signed with."
    }
    SignInMethod "method" "How a client was signed in." {
        Local "local" "A password, and a second factor where one is needed."
        Oidc "oidc" "The identity provider."
        Key "key" "A registered key whose sign-in goes on: nothing was asked."
        Browser "browser" "A password, and a second factor where one is needed, in a browser."
    }
    SignInRefusal "reason" "The class of reasons for which a client was not signed in." {
        Answers "answers" "A wrong password or code."
        Invitation "invitation" "An invitation that is not valid."
        Account "account" "The account is locked, or may not sign in like this."
        Key "key" "The key cannot be used, or is another user's."
        Provider "provider" "The identity provider cannot be reached, or what it says is not true."
        Forbidden "forbidden" "A process has asked for what its connection may not have."
        Unavailable "unavailable" "The state or the audit log cannot be used."
        Other "other" "Any other reason."
    }
    ThrottleCounter "counter" "Which wrong answers a client has to wait for." {
        Account "account" "Those for the account from the address."
        Source "source" "All from the address."
        Everywhere "everywhere" "Those for the account from all addresses."
        Key "key" "Those with the user's key."
    }
    CertificateUse "purpose" "What a certificate was made for." {
        Connection "connection" "One connection to a host."
        User "user" "A user who has asked for it."
    }
    NodeStanding "state" "How a node is that has joined." {
        Online "online" "Its heartbeats come."
        Offline "offline" "Three heartbeats or more are missing."
        Locked "locked" "An administrator has locked it."
    }
    StateTask "task" "What is done with the state." {
        Read "read" "It is read."
        Write "write" "It is changed: the change is on the disk then."
    }
}

impl ClosedSet for SessionKind {
    const LABELS: &'static [&'static str] = &["kind"];
    const ALL: &'static [Self] = &Self::ALL;

    fn values(self) -> Vec<&'static str> {
        vec![self.as_str()]
    }
}

impl ClosedSet for RefusedKind {
    const LABELS: &'static [&'static str] = &["what"];
    const ALL: &'static [Self] = &[
        Self::Channel,
        Self::ChannelRequest,
        Self::GlobalRequest,
        Self::Data,
    ];

    fn values(self) -> Vec<&'static str> {
        vec![match self {
            Self::Channel => "channel",
            Self::ChannelRequest => "channel-request",
            Self::GlobalRequest => "global-request",
            Self::Data => "data",
        }]
    }
}

impl ClosedSet for Party {
    const LABELS: &'static [&'static str] = &["leg"];
    const ALL: &'static [Self] = &[
        Self::Client,
        Self::Proxy,
        Self::HostCertificate,
        Self::HostAuthentication,
    ];

    fn values(self) -> Vec<&'static str> {
        vec![match self {
            Self::Client => "client",
            Self::Proxy => "proxy",
            Self::HostCertificate => "host-certificate",
            Self::HostAuthentication => "host-authentication",
        }]
    }
}

impl ClosedSet for EventKind {
    const LABELS: &'static [&'static str] = &["event"];
    const ALL: &'static [Self] = Self::ALL;

    fn values(self) -> Vec<&'static str> {
        vec![self.name()]
    }
}

/// Where bytes of a channel go, and which stream they are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// A session's standard input.
    Stdin,
    /// A session's standard output, and what a terminal shows.
    Stdout,
    /// A session's standard error.
    Stderr,
    /// A forwarded channel, to the host.
    ForwardToHost,
    /// A forwarded channel, to the client.
    ForwardToClient,
}

impl ClosedSet for Flow {
    const LABELS: &'static [&'static str] = &["direction", "stream"];
    const ALL: &'static [Self] = &[
        Self::Stdin,
        Self::Stdout,
        Self::Stderr,
        Self::ForwardToHost,
        Self::ForwardToClient,
    ];

    fn values(self) -> Vec<&'static str> {
        match self {
            Self::Stdin => vec!["to_host", "stdin"],
            Self::Stdout => vec!["to_client", "stdout"],
            Self::Stderr => vec!["to_client", "stderr"],
            Self::ForwardToHost => vec!["to_host", "forward"],
            Self::ForwardToClient => vec!["to_client", "forward"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_has_a_value_for_every_label() {
        fn check<S: ClosedSet>() {
            for (number, member) in S::ALL.iter().enumerate() {
                let values = member.values();
                assert_eq!(values.len(), S::LABELS.len(), "{member:?}");
                assert!(
                    S::ALL[..number]
                        .iter()
                        .all(|other| other.values() != values)
                );
            }
        }
        check::<Layer>();
        check::<LimitExceeded>();
        check::<AgentTask>();
        check::<Step>();
        check::<Authority>();
        check::<SignInMethod>();
        check::<SignInRefusal>();
        check::<ThrottleCounter>();
        check::<CertificateUse>();
        check::<StateTask>();
        check::<SessionKind>();
        check::<RefusedKind>();
        check::<Party>();
        check::<EventKind>();
        check::<Flow>();
    }

    #[test]
    fn values_are_those_of_the_audit_log() {
        fn check<S: ClosedSet + serde::Serialize>() {
            for member in S::ALL {
                let json = serde_json::to_value(member).unwrap();
                assert_eq!(json, serde_json::json!(member.values()[0]));
            }
        }
        check::<SessionKind>();
        check::<RefusedKind>();
        check::<Party>();
    }
}

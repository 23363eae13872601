//! The table of reasons: stable names for the audit log, which never change once released.

use crate::access::Denial;
#[cfg(test)]
use crate::audit::Party;
use crate::cert::{CertFault, HostKeyError, KeyError, OfferError, UserCertError};
use crate::net::LimitExceeded;
use crate::nodes::ResolveError;

macro_rules! reasons {
    ($($reason:ident $name:literal [$($leg:ident),+])*) => {
        /// Why something is refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum RefusalReason {
            $(#[doc = $name] $reason,)*
        }

        impl RefusalReason {
            /// All of them, in the order of the table.
            #[cfg(test)]
            pub(super) const ALL: &'static [Self] = &[$(Self::$reason,)*];

            /// The stable name, as the audit log has it.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$reason => $name,)* }
            }

            /// On which legs it can be.
            #[cfg(test)]
            pub(super) const fn legs(self) -> &'static [Party] {
                match self { $(Self::$reason => &[$(Party::$leg),+],)* }
            }
        }
    };
}

impl RefusalReason {
    /// What the process that decides about people can say.
    pub(super) const OF_PEOPLE: &'static [Self] = &[
        Self::SignInWrong,
        Self::SignInThrottled,
        Self::TooManyTries,
        Self::CodeSpent,
        Self::ClockOff,
        Self::InvitationInvalid,
        Self::UserLocked,
        Self::KeyOfAnother,
        Self::UnfitKey,
        Self::TooManyKeys,
        Self::SecurityKeyNeeded,
        Self::NoSecondFactor,
        Self::KeyReplayed,
        Self::StateUnavailable,
        Self::StateStale,
    ];

    /// The one of this name; one for all others that another version may have.
    pub(super) fn of_person(name: &str) -> Self {
        let mut known = Self::OF_PEOPLE.iter().copied();
        let known = known.find(|reason| reason.name() == name);
        known.unwrap_or(Self::SignInRefused)
    }

    /// The one of this name that the process that decides about nodes can say while a host proves its key; one
    /// for all others.
    pub(super) fn of_node(name: &str) -> Self {
        const KNOWN: [RefusalReason; 5] = [
            RefusalReason::NodeLocked,
            RefusalReason::Revoked,
            RefusalReason::UnfitKey,
            RefusalReason::KeyReplayed,
            RefusalReason::StateUnavailable,
        ];
        let known = KNOWN.into_iter().find(|reason| reason.name() == name);
        known.unwrap_or(Self::NodeRefused)
    }
}

reasons! {
    // the client's key and certificate
    PlainKey "not-a-certificate" [Client]
    UserCertificateOfTypeHost "user-certificate-of-type-host" [Client]
    NoKeyId "no-key-id" [Client]
    SourceAddress "source-address" [Client]
    MalformedSourceAddress "malformed-source-address" [Client]
    NotForTunnels "certificate-not-for-tunnels" [Client]
    CorruptCriticalOption "corrupt-critical-option" [Client]
    OtherIdentity "different-identity" [Client]
    OtherKey "different-key" [Client]
    OtherProof "different-proof" [Client]
    LoginNotGranted "login-not-in-principals" [Client]
    LoginOfUser "login-not-of-user" [Client]
    BadLogin "bad-login" [Client]
    UnsupportedAlgorithm "unsupported-algorithm" [Client]
    OtherHostKey "other-host-key" [Client]
    BadSignature "bad-signature" [Client]
    NotTouched "security-key-not-touched" [Client]
    NotVerified "security-key-not-verified" [Client]
    // people who sign in
    NotSignedIn "not-signed-in" [Client]
    UnknownKey "unknown-key" [Client]
    KeyNotUsable "key-not-usable" [Client]
    KeyRequired "key-required" [Client]
    SignInWrong "sign-in-wrong" [Client]
    SignInThrottled "sign-in-throttled" [Client]
    TooManyTries "too-many-tries" [Client]
    CodeSpent "code-spent" [Client]
    ClockOff "clock-off" [Client]
    InvitationInvalid "invitation-invalid" [Client]
    UserLocked "user-locked" [Client]
    KeyOfAnother "key-of-another-user" [Client]
    UnfitKey "unfit-key" [Client]
    TooManyKeys "too-many-keys" [Client]
    SecurityKeyNeeded "security-key-needed" [Client]
    NoSecondFactor "no-second-factor" [Client]
    KeyReplayed "key-replayed" [Client]
    SignInRefused "sign-in-refused" [Client]
    PeopleUnavailable "people-unavailable" [Proxy]
    // hosts
    NodeLocked "node-locked" [Client, Proxy]
    NodeRefused "node-refused" [Client]
    NodesUnavailable "nodes-unavailable" [Proxy]
    StateUnavailable "state-unavailable" [Proxy]
    StateStale "state-stale" [Proxy]
    // other proxies
    UnknownPeer "unknown-peer" [Client]
    PeersUnavailable "peers-unavailable" [Proxy]
    // certificates and keys of either side
    NestedCertificate "nested-certificate" [Client, HostCertificate]
    UnknownAuthority "unknown-authority" [Client, HostCertificate]
    BadCaSignature "bad-ca-signature" [Client, HostCertificate]
    WeakKey "weak-key" [Client, HostCertificate]
    NotYetValid "certificate-not-yet-valid" [Client, HostCertificate]
    Expired "certificate-expired" [Client, HostCertificate]
    NoPrincipals "no-principals" [Client, HostCertificate]
    UnknownCriticalOption "unknown-critical-option" [Client, HostCertificate]
    Revoked "certificate-revoked" [Client, HostCertificate]
    MalformedKey "malformed-key" [Client, HostCertificate]
    UnsupportedKey "unsupported-key" [Client, HostCertificate]
    UnsupportedCaKey "unsupported-ca-key" [Client, HostCertificate]
    // the client's connections
    ProtocolError "protocol-error" [Client]
    InnerConnection "inner-connection" [Client]
    ClientIdle "client-idle-timeout" [Client]
    ClientLost "client-lost" [Client]
    SignInEnded "sign-in-ended" [Client]
    // the client's agent
    AgentNotForwarded "agent-forwarding-required" [Client]
    AgentNotOpened "agent-not-opened" [Client]
    AgentWithoutKey "agent-without-key" [Client]
    AgentRefused "agent-refused" [Client]
    AgentUnbound "agent-unbound" [Client]
    AgentFailed "agent-failed" [Client]
    AgentTimeout "agent-timeout" [Client]
    // the target and the policy
    Policy "policy" [Proxy]
    MalformedTarget "malformed-target" [Proxy]
    UnknownNode "unknown-node" [Proxy]
    AmbiguousNode "ambiguous-node" [Proxy]
    PortNotInInventory "port-not-in-inventory" [Proxy]
    UnknownCluster "unknown-cluster" [Proxy]
    OwnListener "own-listener" [Proxy]
    NodeRemoved "node-removed" [Proxy]
    // the way to the host
    Unreachable "unreachable" [Proxy]
    NoTunnel "no-tunnel" [Proxy]
    NotSsh "not-ssh" [Proxy]
    HostDropped "host-dropped" [Proxy]
    NoCommonAlgorithm "no-common-algorithm" [Proxy]
    HostLost "host-lost" [Proxy]
    // the host's key and certificate
    PlainHostKey "plain-host-key" [HostCertificate]
    HostCertificateOfTypeUser "host-certificate-of-type-user" [HostCertificate]
    WrongHostName "name-not-in-principals" [HostCertificate]
    HostNameLost "name-lost" [HostCertificate]
    OtherNode "other-node" [HostCertificate]
    // the login at the host
    HostAuthentication "host-authentication" [HostAuthentication]
    HostAuthenticationTimeout "host-authentication-timeout" [HostAuthentication]
    HostRefused "host-refused" [HostAuthentication]
    HostOpenedNoSession "host-opened-no-session" [HostAuthentication]
    SecondFactor "second-factor" [Client, HostAuthentication]
    SecondFactorTimeout "second-factor-timeout" [Client]
    // the proxy's own limits and failures
    TooManyConnections "too-many-connections" [Proxy]
    TooManyOfAddress "too-many-connections-from-address" [Proxy]
    TooManyOfUser "too-many-connections-of-user" [Proxy]
    TooManyStarting "too-many-unauthenticated-connections" [Proxy]
    TooManyStartingOfAddress "too-many-unauthenticated-connections-from-address" [Proxy]
    TooManyChannels "too-many-channels" [Proxy]
    TooMuchMemory "too-much-memory" [Proxy]
    TooMuchMemoryOfUser "too-much-memory-of-user" [Proxy]
    NoSubsystem "no-subsystem" [Proxy]
    NoHostCertificate "host-certificate-not-minted" [Proxy]
    NoUserCertificate "user-certificate-not-minted" [Proxy]
    ShuttingDown "shutting-down" [Proxy]
    Killed "killed" [Proxy]
    Internal "internal" [Proxy]
}

impl From<&UserCertError> for RefusalReason {
    fn from(error: &UserCertError) -> Self {
        match error {
            UserCertError::HostCertificate => Self::UserCertificateOfTypeHost,
            UserCertError::Fault(fault) => fault.into(),
            UserCertError::NoKeyId => Self::NoKeyId,
            UserCertError::SourceAddress { .. } => Self::SourceAddress,
            UserCertError::MalformedSourceAddress(_) => Self::MalformedSourceAddress,
            UserCertError::CorruptFlag => Self::CorruptCriticalOption,
        }
    }
}

impl From<&HostKeyError> for RefusalReason {
    fn from(error: &HostKeyError) -> Self {
        match error {
            HostKeyError::PlainKey { .. } => Self::PlainHostKey,
            HostKeyError::UserCertificate { .. } => Self::HostCertificateOfTypeUser,
            HostKeyError::Fault { fault, .. } => fault.into(),
            HostKeyError::WrongName { .. } => Self::WrongHostName,
        }
    }
}

impl From<&CertFault> for RefusalReason {
    fn from(fault: &CertFault) -> Self {
        match fault {
            CertFault::NestedCertificate => Self::NestedCertificate,
            CertFault::UnknownAuthority(_) => Self::UnknownAuthority,
            CertFault::Signature(_) => Self::BadCaSignature,
            CertFault::WeakKey(_) => Self::WeakKey,
            CertFault::NotYetValid(_) => Self::NotYetValid,
            CertFault::Expired(_) => Self::Expired,
            CertFault::NoPrincipals => Self::NoPrincipals,
            CertFault::UnknownCriticalOption(_) => Self::UnknownCriticalOption,
        }
    }
}

impl From<&KeyError> for RefusalReason {
    fn from(error: &KeyError) -> Self {
        match error {
            KeyError::Malformed(_) => Self::MalformedKey,
            KeyError::Unsupported(_) => Self::UnsupportedKey,
            KeyError::UnsupportedCa(_) => Self::UnsupportedCaKey,
            KeyError::NestedCertificate(_) => Self::NestedCertificate,
        }
    }
}

impl From<&OfferError> for RefusalReason {
    fn from(error: &OfferError) -> Self {
        match error {
            OfferError::Key(error) => error.into(),
            OfferError::Algorithm(_) | OfferError::Mismatch(_) => Self::UnsupportedAlgorithm,
            OfferError::OtherHostKey => Self::OtherHostKey,
            OfferError::MalformedSignature | OfferError::Signature(_) => Self::BadSignature,
            OfferError::ShortKey(_) => Self::WeakKey,
            OfferError::NoTouch => Self::NotTouched,
            OfferError::NotVerified => Self::NotVerified,
        }
    }
}

impl From<&ResolveError> for RefusalReason {
    fn from(error: &ResolveError) -> Self {
        match error {
            ResolveError::NotFound(_) => Self::UnknownNode,
            ResolveError::Ambiguous { .. } => Self::AmbiguousNode,
            ResolveError::Port { .. } => Self::PortNotInInventory,
            ResolveError::Cluster(_) => Self::UnknownCluster,
        }
    }
}

impl From<&Denial> for RefusalReason {
    fn from(denial: &Denial) -> Self {
        match denial {
            Denial::OtherIdentity { .. } => Self::OtherIdentity,
            Denial::OtherKey => Self::OtherKey,
            Denial::OtherProof { .. } => Self::OtherProof,
            Denial::Login { .. } => Self::LoginNotGranted,
            Denial::LoginOfUser { .. } => Self::LoginOfUser,
            Denial::Policy { .. } if denial.is_of_lock() => Self::NodeLocked,
            Denial::Policy { .. } => Self::Policy,
        }
    }
}

impl From<LimitExceeded> for RefusalReason {
    fn from(excess: LimitExceeded) -> Self {
        match excess {
            LimitExceeded::Connections(_) => Self::TooManyConnections,
            LimitExceeded::Address(_) => Self::TooManyOfAddress,
            LimitExceeded::User(_) => Self::TooManyOfUser,
            LimitExceeded::Starting(_) => Self::TooManyStarting,
            LimitExceeded::StartingFromAddress(_) | LimitExceeded::Displaced => {
                Self::TooManyStartingOfAddress
            }
        }
    }
}

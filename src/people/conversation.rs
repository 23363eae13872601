//! What is known about the client of one connection: what it has proved, what it was asked.

use std::net::SocketAddr;

use ssh_key::PublicKey;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::totp::OtpSecret;
use crate::ipc::{PeopleRequest, SessionDigest};
use crate::model::{ConnectionId, UserName};

/// The longest wait that a process is believed, in seconds: a client may take no longer in all.
const LONGEST_WAIT: u64 = 5 * 60;

/// A person, by the identity that stays and the name that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) id: Uuid,
    pub(super) name: UserName,
}

/// A key that has proved itself on this connection.
#[derive(Clone, Debug)]
pub(super) struct ProvedKey {
    pub(super) key: PublicKey,
    /// SHA-256, as `ssh-keygen -l` prints it.
    pub(super) fingerprint: String,
    /// Whether it is a security key that was touched.
    pub(super) is_touched: bool,
    /// The person who has registered it, when it proved itself.
    pub(super) person: Option<Named>,
}

/// What a client has been asked last, and what was right so far. Secrets in it are wiped when it is
/// dropped.
#[derive(Debug)]
pub(super) enum Stage {
    /// Nothing was asked.
    Idle,
    /// Who it is.
    Name,
    /// The password of an account, and a code. There need be no such person.
    Credentials {
        /// As it was typed.
        account: String,
        asks_code: bool,
    },
    /// The code that a browser shows after the identity provider has agreed.
    Browser {
        /// The authorization that the link leads to.
        authorization: Uuid,
        /// How many codes were wrong.
        tries: u8,
    },
    /// The invitation.
    Invitation,
    /// The first password, twice.
    NewPassword(Invited),
    /// The first code of a new authenticator.
    FirstCode(Box<SetUp>),
    /// That the recovery codes are stored.
    Stored(Box<Answered>),
    /// Nothing any more: the answers were right, and a key has to prove itself.
    Answered(Box<Answered>),
    /// The person is signed in.
    SignedIn(Box<Present>),
}

/// Somebody with a valid invitation.
#[derive(Clone, Debug)]
pub(super) struct Invited {
    pub(super) person: Named,
    /// The invitation's hash.
    pub(super) invitation: String,
    /// How many passwords were refused.
    pub(super) tries: u8,
}

/// A sign-up whose password is chosen.
#[derive(Debug)]
pub(super) struct SetUp {
    pub(super) invited: Invited,
    /// The password's hash.
    pub(super) password: Zeroizing<String>,
    pub(super) secret: OtpSecret,
}

/// [`Answered::factor`] where the identity provider has vouched for the person: it asks for what it wants.
pub(super) const BY_PROVIDER: &str = "provider";

/// A person whose answers were right.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) person: Named,
    /// Which second factor it was, for the audit log.
    pub(super) factor: &'static str,
    /// Whether only a touched security key completes it.
    pub(super) needs_touch: bool,
    /// What is stored when a key has proved itself, at sign-up.
    pub(super) sign_up: Option<NewCredentials>,
}

/// The credentials of a person who signs up.
#[derive(Debug)]
pub(super) struct NewCredentials {
    /// The invitation's hash.
    pub(super) invitation: String,
    /// The password's hash.
    pub(super) password: Zeroizing<String>,
    /// The second factor; `None` where none is used.
    pub(super) factor: Option<NewFactor>,
}

/// The second factor of a person who signs up. An authenticator that was not set up has a secret that
/// is known to none: the recovery codes work all the same.
#[derive(Debug)]
pub(super) struct NewFactor {
    pub(super) secret: OtpSecret,
    /// The step whose code has set it up; 0 if it was not set up.
    pub(super) step: u64,
    /// The hashes of the recovery codes.
    pub(super) recovery: Vec<String>,
}

/// A person who is signed in on this connection.
#[derive(Debug)]
pub(super) struct Present {
    pub(super) person: Named,
    pub(super) sign_in: Uuid,
    pub(super) key: ProvedKey,
    /// What the person changes at this moment.
    pub(super) change: Option<Change>,
}

/// What a person who is signed in changes.
#[derive(Debug)]
pub(super) enum Change {
    /// The password was asked for, and the new one twice.
    Password {
        /// How many were refused.
        tries: u8,
    },
    /// The password was asked for, and a code if there is one.
    Factor { asks_code: bool },
    /// The first code of the new authenticator was asked for.
    FirstCode {
        secret: OtpSecret,
        /// How many were wrong.
        tries: u8,
    },
}

/// What is known about the client of one connection.
#[derive(Debug)]
pub(super) struct Conversation {
    /// The number of the process whose connection it is.
    pub(super) caller: u64,
    pub(super) connection: ConnectionId,
    pub(super) client: SocketAddr,
    /// The user name of the client's requests (RFC 4252 section 5).
    pub(super) user: String,
    /// The session of the transport that the first proof was made for (RFC 4253 section 7.2).
    pub(super) session: Option<SessionDigest>,
    /// How long the last request has waited for its turn, in seconds.
    waited: u64,
    /// The key that has proved itself last.
    pub(super) proved: Option<ProvedKey>,
    /// Whether a certificate for another key was issued on this connection.
    pub(super) has_certified: bool,
    pub(super) stage: Stage,
}

impl Conversation {
    pub(super) fn new(caller: u64, request: &PeopleRequest) -> Self {
        Self {
            caller,
            connection: request.connection,
            client: request.client,
            user: request.user.clone(),
            session: None,
            waited: 0,
            proved: None,
            has_certified: false,
            stage: Stage::Idle,
        }
    }

    /// Takes the next request.
    pub(super) fn next(&mut self, request: &PeopleRequest) {
        self.waited = request.waited.min(LONGEST_WAIT);
    }

    /// How long the last request has waited for its turn, in seconds.
    pub(super) fn waited(&self) -> u64 {
        self.waited
    }

    /// The person who is signed in.
    pub(super) fn present(&mut self) -> Option<&mut Present> {
        match &mut self.stage {
            Stage::SignedIn(present) => Some(present),
            _ => None,
        }
    }

    /// The registered key that has proved itself, and its person.
    pub(super) fn registered(&self) -> Option<(&ProvedKey, &Named)> {
        let proved = self.proved.as_ref()?;
        Some((proved, proved.person.as_ref()?))
    }
}

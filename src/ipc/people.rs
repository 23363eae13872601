//! The service that decides about people: who holds which key, what they have to answer, and which
//! certificates their connections get. It is provided by the process that has the state.
//!
//! A caller can be controlled by an attacker. So each request names the connection that it is for, a
//! signature is passed on as it was made and is verified again, and no answer contains a secret.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::hexadecimal;
use crate::cert::proof::SignedRequest;
use crate::model::{ConnectionId, Login};

/// A request about the person on a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeopleRequest {
    /// The connection, as the caller numbers it.
    pub connection: ConnectionId,
    /// The address of the client.
    pub client: SocketAddr,
    /// The user name of the client's requests (RFC 4252 section 5).
    pub user: String,
    /// How many seconds it has waited in the calling process for its turn. An answer counts for the moment
    /// at which it was given.
    #[serde(default)]
    pub waited: u64,
    /// What is asked.
    pub ask: PeopleQuestion,
}

/// What is asked about the person on a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeopleQuestion {
    /// Whether a signature by this key could be of use. The client has not signed yet.
    Key {
        /// The public key, as RFC 4253 section 6.6 encodes it.
        #[serde(with = "hexadecimal")]
        key: Vec<u8>,
    },
    /// A client has signed.
    Prove(SignedProof),
    /// A client is ready for questions (RFC 4256).
    Begin,
    /// The answers to the last questions.
    Answer(Vec<SecretText>),
    /// A certificate for the proved key, to log in at a host under this login.
    Certificate {
        /// The account at the host.
        login: Login,
        /// The host, as the user has named it; for the ledger and the audit log.
        target: String,
        /// The host is reached through a tunnel that it keeps open, so that its sshd sees a connection of
        /// its own machine.
        #[serde(default)]
        through_tunnel: bool,
    },
    /// A command of the person about their own sign-in and credentials.
    Own(OwnCommand),
    /// The connection has ended.
    Close,
}

/// A signed request for `publickey` authentication, with everything that the signature covers
/// (RFC 4252 section 7, OpenSSH PROTOCOL section 3.3 for the host-bound variant).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedProof {
    /// The session identifier of the transport.
    #[serde(with = "hexadecimal")]
    pub session: Vec<u8>,
    /// The signature algorithm.
    pub algorithm: String,
    /// The public key.
    #[serde(with = "hexadecimal")]
    pub key: Vec<u8>,
    /// The host key that the request is bound to; empty if it is not.
    #[serde(with = "hexadecimal")]
    pub host_key: Vec<u8>,
    /// The signature.
    #[serde(with = "hexadecimal")]
    pub signature: Vec<u8>,
}

impl SignedProof {
    /// The request as the client sent it, to be verified. `user` is [`PeopleRequest::user`].
    #[must_use]
    pub fn request(self, user: &str) -> SignedRequest {
        SignedRequest {
            session: self.session,
            user: user.to_owned(),
            algorithm: self.algorithm,
            key: self.key,
            host_key: (!self.host_key.is_empty()).then_some(self.host_key),
            signature: self.signature,
        }
    }
}

impl From<&SignedRequest> for SignedProof {
    fn from(request: &SignedRequest) -> Self {
        Self {
            session: request.session.clone(),
            algorithm: request.algorithm.clone(),
            key: request.key.clone(),
            host_key: request.host_key.clone().unwrap_or_default(),
            signature: request.signature.clone(),
        }
    }
}

/// A command of a person about their own sign-in and credentials. Only a connection that is signed in
/// may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnCommand {
    /// The sign-in of this connection, and the person's others.
    Status,
    /// Ends the sign-ins of this key, or of all keys.
    Logout {
        /// All of the person's sign-ins.
        everywhere: bool,
    },
    /// A certificate for the key of this connection, for all of the person's logins, as long as the
    /// sign-in.
    Certificate,
    /// The same for a key that the person's agent is given.
    CertificateFor {
        /// The public key, as RFC 4253 section 6.6 encodes it.
        #[serde(with = "hexadecimal")]
        key: Vec<u8>,
    },
    /// Begins the conversation in which the password is changed; [`PeopleQuestion::Answer`] goes on.
    ChangePassword,
    /// Begins the conversation in which the one-time codes are set up again.
    ChangeSecondFactor,
    /// The registered keys.
    Keys,
    /// Removes a registered key, by its fingerprint.
    RemoveKey {
        /// SHA-256, as `ssh-keygen -l` prints it.
        fingerprint: String,
    },
}

/// The answer to [`PeopleRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeopleAnswer {
    /// To [`PeopleQuestion::Key`]: a signature by the key is of use.
    Usable,
    /// To [`PeopleQuestion::Key`]: a signature by the key is of no use now.
    Useless,
    /// The person is signed in on this connection.
    SignedIn(SignedIn),
    /// The person has to answer these questions, with [`PeopleQuestion::Answer`].
    Questions(Questions),
    /// The key is right, or not needed yet, and the person is not signed in: the client has to ask for
    /// questions, with [`PeopleQuestion::Begin`].
    AskFirst,
    /// The questions are answered: a key has to prove itself, with [`PeopleQuestion::Prove`].
    ProveKey,
    /// To [`PeopleQuestion::Certificate`] and the commands that ask for one: in one line, as OpenSSH
    /// writes it.
    Certificate(String),
    /// To [`PeopleQuestion::Own`]: what the person reads.
    Text(String),
    /// It was refused.
    Refused(PeopleRefusal),
    /// To [`PeopleQuestion::Close`].
    Closed,
}

/// A person who is signed in, as the caller needs to know them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedIn {
    /// The sign-in, as [`ChangesAnswer`](super::ChangesAnswer) names it when it ends.
    pub id: Uuid,
    /// The person's name.
    pub name: String,
    /// The roles that the state gives the person.
    pub roles: Vec<String>,
    /// The logins that the person may use; `None` for all that the roles allow.
    pub logins: Option<Vec<Login>>,
    /// When the sign-in began, in seconds since the epoch.
    pub since: u64,
    /// When the sign-in ends, in seconds since the epoch.
    pub until: u64,
    /// Whether the person has answered questions on this connection.
    pub was_asked: bool,
}

/// Questions to a person (RFC 4256 section 3.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Questions {
    /// A text that is shown before them, as a banner; empty if there is none. It can have several lines
    /// and characters outside ASCII, and contains no control characters besides newlines.
    pub banner: String,
    /// The questions. There may be none; then the text is all, and an empty answer is expected.
    pub prompts: Vec<Prompt>,
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// The question, without a newline.
    pub text: String,
    /// Whether the answer is shown while it is typed.
    pub echo: bool,
}

/// Why something is refused, for the person and for the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeopleRefusal {
    /// The stable name.
    pub reason: String,
    /// What the person reads.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether the connection has to end.
    pub is_final: bool,
}

impl PeopleRefusal {
    /// The reason where the connection is not signed in, as far as the service remembers. After a
    /// restart it remembers nothing, and another [`PeopleQuestion::Prove`] with the proof of before
    /// helps.
    pub const NOT_SIGNED_IN: &str = "not-signed-in";
    /// The reason where answers came for a conversation that the service does not remember. After a
    /// restart it remembers nothing, and the questions have to be asked anew, beginning with
    /// [`PeopleQuestion::Begin`] or the command that they came of.
    pub const FORGOTTEN: &str = "questions-forgotten";
}

/// An answer that a person has typed. It is wiped when it is dropped, and never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(#[serde(with = "secret")] Zeroizing<String>);

impl SecretText {
    /// Takes the text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}

/// A secret as a string.
mod secret {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use zeroize::Zeroizing;

    pub(super) fn serialize<S: Serializer>(
        text: &Zeroizing<String>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(text)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(
        from: D,
    ) -> Result<Zeroizing<String>, D::Error> {
        String::deserialize(from).map(Zeroizing::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::{decode, encode};

    #[test]
    fn a_proof_is_the_request_that_was_signed() {
        for host_key in [None, Some(vec![9; 51])] {
            let request = SignedRequest {
                session: vec![1; 32],
                user: "deploy".to_owned(),
                algorithm: "ssh-ed25519".to_owned(),
                key: vec![2; 51],
                host_key,
                signature: vec![3; 83],
            };
            let proof = decode::<SignedProof>(&encode(&SignedProof::from(&request)).unwrap());
            assert_eq!(proof.unwrap().request("deploy"), request);
        }
    }

    #[test]
    fn a_secret_is_passed_on_and_never_shown() {
        let secret = SecretText::new("correct horse".to_owned());
        assert_eq!(format!("{:?}", vec![secret.clone()]), "[SecretText(..)]");
        let bytes = encode(&secret).unwrap();
        assert_eq!(decode::<SecretText>(&bytes).unwrap(), secret);
        assert_eq!(secret.expose(), "correct horse");
    }
}

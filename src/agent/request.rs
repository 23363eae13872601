//! Requests to an agent, framed: a length of four bytes, then the message.

const REQUEST_IDENTITIES: u8 = 11;
const SIGN_REQUEST: u8 = 13;
const EXTENSION: u8 = 27;

/// The name of the extension of [`session_bind`].
pub const SESSION_BIND: &str = "session-bind@openssh.com";

/// The flags of a signature request (draft-miller-ssh-agent section 3.6.1): the hash for RSA keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignFlags(u32);

impl SignFlags {
    /// For keys that are not RSA.
    pub const NONE: Self = Self(0);
    /// `rsa-sha2-256`.
    pub const RSA_SHA2_256: Self = Self(2);
    /// `rsa-sha2-512`.
    pub const RSA_SHA2_512: Self = Self(4);

    /// What a public key algorithm name, plain or of a certificate, asks of the agent.
    #[must_use]
    pub fn for_algorithm(name: &str) -> Self {
        match name {
            "rsa-sha2-256" | "rsa-sha2-256-cert-v01@openssh.com" => Self::RSA_SHA2_256,
            "rsa-sha2-512" | "rsa-sha2-512-cert-v01@openssh.com" => Self::RSA_SHA2_512,
            _ => Self::NONE,
        }
    }
}

/// Asks for the identities that the agent holds.
#[must_use]
pub fn request_identities() -> Vec<u8> {
    framed(&[REQUEST_IDENTITIES])
}

/// Asks for a signature over `data` with the key or certificate `key_blob`, as the agent lists it.
#[must_use]
pub fn sign_request(key_blob: &[u8], data: &[u8], flags: SignFlags) -> Vec<u8> {
    let mut message = vec![SIGN_REQUEST];
    put_string(&mut message, key_blob);
    put_string(&mut message, data);
    message.extend_from_slice(&flags.0.to_be_bytes());
    framed(&message)
}

/// Tells the agent which session its connection serves (`session-bind@openssh.com`, PROTOCOL.agent
/// section 1), for keys with destination constraints.
///
/// `host_key` signed `session_id` with `signature` in the session's first key exchange; `forwarding` is
/// true for a hop that the agent is forwarded through, false for the one that authenticates.
#[must_use]
pub fn session_bind(
    host_key: &[u8],
    session_id: &[u8],
    signature: &[u8],
    forwarding: bool,
) -> Vec<u8> {
    let mut message = vec![EXTENSION];
    put_string(&mut message, SESSION_BIND.as_bytes());
    put_string(&mut message, host_key);
    put_string(&mut message, session_id);
    put_string(&mut message, signature);
    message.push(u8::from(forwarding));
    framed(&message)
}

/// Asks for the names of the extensions that the agent knows (RFC 9987 section 3.8.1). Most agents
/// do not know this one.
#[must_use]
pub fn query() -> Vec<u8> {
    let mut message = vec![EXTENSION];
    put_string(&mut message, b"query");
    framed(&message)
}

pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + message.len());
    put_string(&mut out, message);
    out
}

pub(super) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    // Whatever goes to an agent came in packets, which are shorter.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

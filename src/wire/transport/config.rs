//! The settings of a transport, and the values that it reports.

use std::time::Duration;

use crate::wire::algorithm::{Algorithms, Cipher, Compression, Kex, Mac};
use crate::wire::hostkey::{HostKey, HostKeyAlgorithm};
use crate::wire::legacy::Legacy;

/// How we call ourselves unless told otherwise. OpenSSH sends `eow@openssh.com`, without which a
/// command that writes for ever outlives its reader, only to peers whose name begins like this.
const IDENT: &str = concat!("SSH-2.0-OpenSSH_rproxy_", env!("CARGO_PKG_VERSION"));

/// Configuration of the server role.
#[derive(Debug)]
pub struct ServerConfig {
    /// Identification line, without CR LF: `SSH-2.0-` and printable ASCII, 253 bytes at most.
    pub ident: String,
    /// Host keys, the most preferred first.
    pub host_keys: Vec<HostKey>,
    /// What is offered.
    pub algorithms: Algorithms,
    /// When keys are changed.
    pub rekey: RekeyLimits,
}

impl ServerConfig {
    /// A server with these host keys and everything else as built in: what is offered is
    /// [`Algorithms::for_clients`].
    #[must_use]
    pub fn new(host_keys: Vec<HostKey>) -> Self {
        Self {
            ident: IDENT.to_owned(),
            host_keys,
            algorithms: Algorithms::for_clients(),
            rekey: RekeyLimits::default(),
        }
    }
}

/// Configuration of the client role.
#[derive(Debug)]
pub struct ClientConfig {
    /// Identification line, as for the server.
    pub ident: String,
    /// Names of the host key algorithms that are asked for, the most preferred first; names that
    /// are not supported are left out. `Default` has the certificates first.
    pub host_key_algorithms: Vec<String>,
    /// What is offered.
    pub algorithms: Algorithms,
    /// Whether a user's RSA key may sign with SHA-1 (`ssh-rsa`) for a server that does not say that
    /// it takes better.
    pub signs_with_sha1: bool,
    /// When keys are changed.
    pub rekey: RekeyLimits,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            ident: IDENT.to_owned(),
            host_key_algorithms: HostKeyAlgorithm::all()
                .map(|one| one.name().to_owned())
                .collect(),
            algorithms: Algorithms::default(),
            signs_with_sha1: false,
            rekey: RekeyLimits::default(),
        }
    }
}

impl ClientConfig {
    /// Offers these too, after everything else of their kind: a host that knows better takes better.
    /// Only certificates stay before plain keys, so that a host that has both shows its certificate.
    #[must_use]
    pub fn with_legacy(mut self, legacy: &[Legacy]) -> Self {
        for one in legacy {
            match *one {
                Legacy::Kex(kex) => append(&mut self.algorithms.kex, kex),
                Legacy::Cipher(cipher) => append(&mut self.algorithms.ciphers, cipher),
                Legacy::Mac(mac) => append(&mut self.algorithms.macs, mac),
                Legacy::Signature(way) => {
                    let names = &mut self.host_key_algorithms;
                    let is_certificate = |name: &String| name.contains("-cert-v01@");
                    let certificates = names.iter().take_while(|name| is_certificate(name));
                    names.insert(certificates.count(), way.certificate_name().to_owned());
                    names.push(way.name().to_owned());
                    self.signs_with_sha1 = true;
                }
            }
        }
        self
    }
}

fn append<T: PartialEq>(list: &mut Vec<T>, one: T) {
    if !list.contains(&one) {
        list.push(one);
    }
}

/// After how much use keys are changed, in either direction; whichever comes first. Only after
/// user authentication: OpenSSH's client cannot do it before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RekeyLimits {
    /// Bytes on the wire. Default 4 GiB: far under the 2^32 blocks of RFC 4344 section 3.2.
    pub bytes: u64,
    /// Packets. Default 2^31 (RFC 4344 section 3.1); 2^32 is the end of the connection.
    pub packets: u64,
    /// Time, seen at [`tick`](super::Transport::tick). Default one hour (RFC 4253 section 9).
    pub time: Duration,
}

impl Default for RekeyLimits {
    fn default() -> Self {
        Self {
            bytes: 4 << 30,
            packets: 1 << 31,
            time: Duration::from_secs(3600),
        }
    }
}

/// One of a thing for each direction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Directional<T> {
    /// What the client sends.
    pub client_to_server: T,
    /// What the server sends.
    pub server_to_client: T,
}

/// What a key exchange agreed upon; every algorithm has its `name()`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Negotiated {
    /// Key exchange.
    pub kex: Kex,
    /// Name of the host key algorithm.
    pub host_key: String,
    /// Ciphers.
    pub cipher: Directional<Cipher>,
    /// MACs; `None` where the cipher brings its own.
    pub mac: Directional<Option<Mac>>,
    /// Compression.
    pub compression: Directional<Compression>,
}

impl Negotiated {
    /// The legacy algorithms among these, each once.
    #[must_use]
    pub fn legacy(&self) -> Vec<Legacy> {
        let (ciphers, macs) = (&self.cipher, &self.mac);
        let names = [
            Some(self.kex.name()),
            Some(ciphers.client_to_server.name()),
            Some(ciphers.server_to_client.name()),
            macs.client_to_server.map(Mac::name),
            macs.server_to_client.map(Mac::name),
            Some(self.host_key.as_str()),
        ];
        let mut legacy = Vec::new();
        for one in names.into_iter().flatten().filter_map(Legacy::from_wire) {
            if !legacy.contains(&one) {
                legacy.push(one);
            }
        }
        legacy
    }
}

/// What `session-bind@openssh.com` tells an agent about the first key exchange (PROTOCOL.agent).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SessionBinding {
    /// The host's key or certificate, encoded.
    pub host_key: Vec<u8>,
    /// The session identifier.
    pub session_id: Vec<u8>,
    /// The host's signature over it, encoded.
    pub signature: Vec<u8>,
}

/// What the peer has said that it can do (RFC 8308).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PeerExtensions {
    /// `server-sig-algs`: signature algorithms that it takes for user authentication.
    pub server_sig_algs: Option<Vec<String>>,
    /// `publickey-hostbound@openssh.com`, version 0.
    pub hostbound: bool,
    /// `ping@openssh.com`, version 0.
    pub ping: bool,
    /// `agent-forward`, version 0 (RFC 9987): it knows `agent-req` and `agent-connect`.
    pub agent_forward: bool,
}

impl PeerExtensions {
    /// Whether a server has said that it takes RSA keys that sign as RFC 8332 has it, under the
    /// names of keys or of certificates.
    #[must_use]
    pub fn takes_rsa_with_sha2(&self) -> bool {
        let names = self.server_sig_algs.iter().flatten();
        names.into_iter().any(|name| name.starts_with("rsa-sha2-"))
    }
}

//! `wire`: the SSH transport layer as a state machine, both roles.
//!
//! Bytes in, bytes and events out: no sockets, no tasks, no clock. A driver reads from its stream into a
//! buffer, calls [`Transport::receive`] until it returns [`TransportEvent::NeedInput`], and writes the
//! content of [`Transport::output`]. All input is treated as hostile: sizes are limited, the order is
//! checked, and invalid input ends the connection with an [`Error`] that says which side is to blame.
//!
//! Supported: RFC 4253 (transport), 4344 (rekeying), 4344 and 5647 (AES-CTR and AES-GCM as
//! OpenSSH frames it), 5656 and 8731 (elliptic curves), 8268 (Diffie-Hellman with SHA-2), 8308
//! (extension negotiation), 8332 (RSA with SHA-2), the hybrids `mlkem768x25519-sha256` and
//! `sntrup761x25519-sha512`, and of OpenSSH's PROTOCOL: strict key exchange, `chacha20-poly1305@openssh.com`, encrypt-then-MAC,
//! `ping@openssh.com`, `zlib@openssh.com`, certificates as host keys.
//!
//! Supported only with a host whose configuration names it ([`Legacy`]): SHA-1, CBC, and `ssh-rsa`
//! signatures. Not supported: `ssh-dss`, 3DES and all other ciphers with blocks of 64 bits, groups
//! of 1024 bits and groups that a server chooses.
//!
//! This room has no policy: whether a host key is the expected one is decided by the driver
//! ([`TransportEvent::HostKey`]).

pub mod algorithm;
pub mod auth;
pub mod connection;
pub mod error;
pub mod hostkey;
pub mod legacy;
pub mod message;
pub mod signature;
pub mod transport;

mod cipher;
mod compression;
mod ident;
mod kex;
mod packet;

pub use algorithm::{Algorithms, Cipher, Compression, Kex, Mac};
pub use error::{DisconnectReason, Error, Mismatch, Misuse, NoCommonAlgorithm, Violation};
pub use hostkey::HostKey;
pub use legacy::Legacy;
pub use message::MAX_PACKET;
pub use transport::{
    ClientConfig, Directional, Negotiated, PeerExtensions, RekeyLimits, ServerConfig,
    SessionBinding, Transport, TransportEvent, Work, Worked,
};

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod interop_tests;
#[cfg(test)]
mod tests;

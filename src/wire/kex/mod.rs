//! Key exchange: the proposals and the choice between them ([`init`]), the shared secret
//! ([`exchange`], [`kem`], [`group`]), and the keys ([`mod@derive`]).

pub(super) mod derive;
pub(super) mod exchange;
mod group;
pub(super) mod init;
mod kem;
pub(super) mod secret;

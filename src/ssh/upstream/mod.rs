//! The connection to the host, one file for each task:
//!
//! - `connect`: waits in the host's queue, then tries its addresses in order;
//! - `retry`: whether an address is dialled again;
//! - `attempt`: dial, identification, key exchange;
//! - `dial`: which stream leads to a host: TCP, or the tunnel that it keeps open;
//! - `hostkey`: judges the host's key;
//! - `login`: the authentication at the host, signed by the user's agent.
//!
//! The texts for users are in `refusal`.

mod attempt;
mod connect;
mod dial;
mod established;
mod hostkey;
mod login;
mod retry;

pub(crate) use attempt::Attempts;
pub(crate) use connect::Dialler;
pub(crate) use dial::{Dial, HostDial};
pub(crate) use established::Upstream;
pub(crate) use hostkey::HostKeys;
pub(crate) use login::{Signer, TURN_LIMIT, authenticate, certificate_blob, key_blob};

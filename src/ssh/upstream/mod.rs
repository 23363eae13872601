//! The connection to the host, one file for each job:
//!
//! - `connect`: a turn in the host's queue, then its addresses in order;
//! - `retry`: whether an address is dialled again;
//! - `attempt`: dial, identification, key exchange;
//! - `dial`: which stream leads to a host; the place for ways that are not TCP;
//! - `hostkey`: the verdict on the host's key;
//! - `login`: the authentication there, signed by the user's agent.
//!
//! What users read when there is no connection is said by `refusal`.

mod attempt;
mod connect;
mod dial;
mod established;
mod hostkey;
mod login;
mod retry;

pub(crate) use attempt::Attempts;
pub(crate) use connect::Dialler;
pub(crate) use dial::{Dial, TcpDial};
pub(crate) use established::Upstream;
pub(crate) use hostkey::HostKeys;
pub(crate) use login::{Signer, TURN_LIMIT, authenticate, certificate_blob, key_blob};

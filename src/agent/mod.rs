//! The ssh-agent protocol (draft-miller-ssh-agent, OpenSSH's PROTOCOL.agent), client side, sans-I/O.
//!
//! The agent at the other end is the user's, forwarded: hostile input (CVE-2025-47913). Sizes and
//! counts are bounded, nothing panics, and an answer of the wrong kind is an error. Only five
//! requests can be written here: list the identities, sign, bind the session, name the extensions, and
//! hold a new key for a time. `serve` is the other side, for this program's own processes.

mod add;
mod reply;
mod request;
mod serve;
#[cfg(test)]
mod tests;

pub use add::add_identity;
pub use reply::{
    AgentError, AgentIdentity, AgentReply, MAX_IDENTITIES, MAX_REPLY, ReplyDecoder,
    expect_identities, expect_signature, expect_success,
};
pub use request::{SESSION_BIND, SignFlags, query, request_identities, session_bind, sign_request};
pub use serve::{AgentRequest, MAX_REQUEST, failure, identities_answer, sign_response};

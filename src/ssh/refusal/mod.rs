//! All texts that explain a refusal to a client, and the refusals' audit events.
//!
//! Each reason is one row of the table in `reason.rs` and one constructor, named by what happened. The
//! constructors take facts and write the sentence and the hint; no other room writes texts of
//! refusals. `message.rs` has the type, and how it is printed.

mod agent;
mod client;
mod host;
mod host_login;
mod lines;
mod message;
mod node;
mod notices;
mod peers;
mod proxy;
mod reason;
mod sign_in;
mod target;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub(crate) use agent::{
    agent_failed, agent_late, agent_lied, agent_not_forwarded, agent_not_forwarded_by_jump,
    agent_not_opened, agent_refused_bare_key, agent_silent,
};
pub(crate) use client::{
    another_certificate_first, bad_certificate, bad_login, broke_login_protocol,
    certificate_expired, client_idle, client_lost, inner_connection_ended, not_for_tunnels,
    nothing_asked_for, plain_key, revoked_person, revoked_user, sign_in_ended, unusable_key,
};
pub(crate) use host::{
    bad_host_key, host_lost, malformed_host_key, name_lost, neither_way, no_server, no_tunnel,
    nothing_in_common, other_node, revoked_host, short_host_key, unreachable,
};
pub(crate) use host_login::{
    answered_too_late, answers_refused, certificate_refused, host_login_failed,
    host_login_timed_out, no_host_session, second_factor_unanswered, second_factor_wanted,
};
pub(crate) use lines::{
    FORWARDS_NEED_SESSION, ONLY_NODE_PROGRAMS, ONLY_TARGETS, TOO_MANY_CHANNELS, login_broken,
    not_authenticated, not_identified,
};
pub(crate) use message::{Origin, Refusal, Worth};
pub(crate) use node::{nodes_unavailable, refused_node};
pub(crate) use notices::{
    NESTED_SSH, certificate_expires, forwards_ended, proxy_stops, sign_in_expires,
};
pub(crate) use peers::{peers_unavailable, unknown_peer};
pub(crate) use proxy::{
    SHUTTING_DOWN, certificate_not_minted, crowded_out, host_certificate_not_minted, killed,
    no_shell, not_encoded, shutting_down, too_many_channels, too_much_memory,
    too_much_memory_of_user,
};
pub(crate) use sign_in::{
    key_not_usable, key_required, not_signed_in, people_unavailable, refused_person, state_stale,
    unexpected_answer, unknown_key,
};
pub(crate) use target::{
    ambiguous_or_unknown, malformed_target, node_removed, own_listener, policy_changed,
    unknown_node,
};

//! The section `auth_service`: the settings of the whole cluster.

use std::time::Duration;

use super::authentication::{AUTHENTICATION, Authentication};
use super::ca_keys::KEYS_IN_AGENTS;
use super::key::{DefaultValue, Key, ValueType};
use super::scalar::{DURATION, SWITCH, Scalar};
use super::table::{OnReload, Protection, section};
use super::value::expected;
use crate::ca::CaKeys;
use crate::model::format_in_one_unit;

section! {
    AUTH_SERVICE = "auth_service", AuthService, "What holds for the whole cluster.", [Clone] {
        SESSION_RECORDING = "session_recording" => session_recording: SessionRecording {
            value: RECORDED,
            default: DefaultValue::Value("proxy"),
            reload: OnReload::Applied,
            protection: Protection::Weaker(|old, new| {
                *old == SessionRecording::Proxy && *new == SessionRecording::Off
            }),
            doc: "Where sessions are recorded. \"proxy\": here, all of them. \"off\": nowhere. \
                  \"node\" is refused: stock sshd records nothing.",
        }
        PROXY_CHECKS_HOST_KEYS = "proxy_checks_host_keys" => proxy_checks_host_keys: bool {
            value: SWITCH.risky(|on| (!*on).then_some(
                "insecure: hosts without a certificate are admitted, anybody on the network path \
                 can be the host",
            )),
            default: DefaultValue::Value("yes"),
            reload: OnReload::Applied,
            protection: Protection::WHILE_ON,
            doc: "Whether a host must present a certificate of the host CA. \"no\" admits plain \
                  host keys, so anybody on the network path can be the host: insecure.",
        }
        PEOPLE_MAX_TTL = "max_ttl" => max_ttl: Duration {
            value: DURATION.shown_by(|span| format_in_one_unit(*span)),
            default: DefaultValue::Value("30h"),
            reload: OnReload::Applied,
            protection: Protection::Weaker(|old, new| new > old),
            doc: "How long the certificates of people may live that auth sign makes, if none of \
                  their roles has a max_ttl; what a role says counts in place of this.",
        }
        NODE_TTL = "node_ttl" => node_ttl: Duration {
            value: DURATION.shown_by(|span| format_in_one_unit(*span)),
            default: DefaultValue::Value("30d"),
            reload: OnReload::Applied,
            protection: Protection::Weaker(|old, new| new > old),
            doc: "How long the host certificates of hosts that have joined are valid. They are renewed \
                  by themselves when half of that time is over; a host that was off for longer gets a new \
                  one when it is back.",
        }
        // The same guard, in a file or in an agent.
        CA_KEYS = "ca_keys" => ca_keys: CaKeys {
            value: KEYS_IN_AGENTS,
            default: DefaultValue::Nothing,
            reload: OnReload::NeedsRestart,
            protection: Protection::Unaffected,
            doc: "The CA keys that are in agents, and so perhaps in tokens or on other machines. \
                  The proxy has their public halves only.",
        }
    }
    sections { AUTHENTICATION => authentication: Authentication, }
}

/// `auth_service.session_recording`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionRecording {
    /// Every session is recorded.
    Proxy,
    /// No session is recorded.
    Off,
}

const RECORDED: Scalar<SessionRecording> = Scalar::new(
    ValueType::Choice(&["proxy", "off"]),
    session_recording,
    |place| {
        match place {
            SessionRecording::Proxy => "proxy",
            SessionRecording::Off => "off",
        }
        .to_owned()
    },
)
.quoted()
.risky(|place| (*place == SessionRecording::Off).then_some("no session is recorded"));

fn session_recording(key: &Key, text: &str) -> Result<SessionRecording, String> {
    match text {
        "proxy" => Ok(SessionRecording::Proxy),
        "off" => Ok(SessionRecording::Off),
        "node" => Err(
            "\"node\" is not possible: stock sshd records nothing, the proxy does; \
             expected \"proxy\" or \"off\""
                .to_owned(),
        ),
        _ => Err(expected(key, text)),
    }
}

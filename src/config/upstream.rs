//! The section `upstream`: how hosts are connected to.

use std::time::Duration;

use super::key::DefaultValue;
use super::scalar::{COUNT, DURATION};
use super::table::{OnReload, Protection, section};

section! {
    UPSTREAM = "upstream", Upstream, "How hosts are connected to.", [Clone, Copy] {
        MAX_STARTING_PER_HOST = "max_starting_per_host" => max_starting_per_host: u32 {
            value: COUNT,
            default: DefaultValue::Value("8"),
            reload: OnReload::NeedsRestart,
            protection: Protection::Unaffected,
            doc: "Most connections at a time to one host that have not authenticated there yet; \
                  the next ones wait for their turn. sshd's default MaxStartups drops connections \
                  at random from the tenth on.",
        }
        CONNECT_TIMEOUT = "connect_timeout" => connect_timeout: Duration {
            value: DURATION,
            default: DefaultValue::Value("30s"),
            reload: OnReload::Applied,
            protection: Protection::Unaffected,
            doc: "How long the way to a host may take, from dialling to its certificate. A host \
                  that drops a connection before it has said anything is dialled again within this \
                  time; one that refuses it, for five seconds, if it has answered lately.",
        }
    }
}

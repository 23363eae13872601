//! What is refused over and over is counted, and told as a sum once a minute: the disk is not a
//! stranger's to fill.
//!
//! Each address, each user, and each node has a share of the log for every minute. Events above it are
//! counted by address, user or node and by reason. The tables of counts have a limited size; causes without
//! a row of their own share one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::{AuditEvent, EventKind, NodeEvent, PersonEvent};
use crate::model::network;

/// How long a share is for, and how often sums are written.
const MINUTE: Duration = Duration::from_secs(60);
/// What one address that has not authenticated may have written in a minute, in bytes.
const OF_ADDRESS: usize = 16 * 1024;
/// What all of them may have written in a minute, in bytes.
const OF_STRANGERS: usize = 256 * 1024;
/// What one person may have written of refusals in a minute, in bytes.
const OF_PERSON: usize = 1024 * 1024;
/// What the tunnels of one node may have written in a minute, in bytes: that of some twenty.
const OF_NODE: usize = 16 * 1024;
/// How many addresses and users have sums of their own.
const MAX_ROWS: usize = 256;
/// How many nodes have rows of their own: all that there may be, because all of them open their tunnels at
/// the same time after a restart. They are known by their keys, so no stranger makes more of them.
const MAX_NODES: usize = 65_536;
/// How many bytes of a user's name are compared.
const MAX_NAME: usize = 256;

/// Who has caused an event of which there may be too many.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// A client that has not authenticated; of IPv6, the /64 network that one machine has to itself.
    Address(IpAddr),
    /// An authenticated user.
    Person(String),
    /// A node, by its name.
    Node(String),
    /// All clients and people without a row of their own.
    Others,
}

impl Cause {
    /// Who has caused an event; `None` for one that is always written.
    pub(super) fn of(event: &AuditEvent) -> Option<Self> {
        match event {
            AuditEvent::AuthFailure { client_addr, .. }
            | AuditEvent::Person(
                PersonEvent::SignInFailed { client_addr, .. }
                | PersonEvent::SignInThrottled { client_addr, .. }
                | PersonEvent::AuthorizationBegun { client_addr, .. }
                | PersonEvent::PeopleRefused { client_addr, .. },
            )
            | AuditEvent::Node(NodeEvent::NodeRefused { client_addr, .. })
            | AuditEvent::Refusal {
                user: None,
                client_addr,
                ..
            } => Some(Self::address(client_addr.ip())),
            AuditEvent::Person(
                PersonEvent::AuthorizationOpened { browser_addr, .. }
                | PersonEvent::AuthorizationRefused { browser_addr, .. },
            ) => Some(Self::address(*browser_addr)),
            AuditEvent::Node(
                NodeEvent::TunnelOpened { name, .. } | NodeEvent::TunnelEnded { name, .. },
            ) => Some(Self::Node(name.clone())),
            AuditEvent::Refusal {
                user: Some(user), ..
            }
            | AuditEvent::ChannelRefused { user, .. }
            | AuditEvent::RequestIgnored { user, .. } => {
                let length = user.floor_char_boundary(MAX_NAME);
                Some(Self::Person(user.get(..length)?.to_owned()))
            }
            _ => None,
        }
    }

    pub(super) fn address(address: IpAddr) -> Self {
        Self::Address(network(address))
    }

    pub(super) fn is_stranger(&self) -> bool {
        !matches!(self, Self::Person(_) | Self::Node(_))
    }
}

/// What was counted for one address, person or node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) cause: Cause,
    /// How often, by event and reason.
    pub(super) counts: BTreeMap<String, u64>,
    /// Since when it was counted.
    pub(super) seconds: u64,
}

/// The shares of this minute.
#[derive(Debug)]
pub(super) struct Flood {
    began: Instant,
    /// What was written for strangers.
    strangers: usize,
    rows: BTreeMap<Cause, FloodCounter>,
    /// Those of nodes, which take no room from others.
    nodes: BTreeMap<Cause, FloodCounter>,
}

#[derive(Debug, Default)]
struct FloodCounter {
    written: usize,
    counts: BTreeMap<(EventKind, &'static str), u64>,
}

impl Flood {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            began: now,
            strangers: 0,
            rows: BTreeMap::new(),
            nodes: BTreeMap::new(),
        }
    }

    /// Whether the share of a client, person or node has room for so many bytes more. If so, they are taken.
    pub(super) fn admits(&mut self, cause: &Cause, bytes: usize) -> bool {
        let is_stranger = cause.is_stranger();
        let strangers = self.strangers;
        let row = self.row(cause);
        let fits = if is_stranger {
            row.written + bytes <= OF_ADDRESS && strangers + bytes <= OF_STRANGERS
        } else {
            let most = match cause {
                Cause::Node(_) => OF_NODE,
                _ => OF_PERSON,
            };
            row.written + bytes <= most
        };
        if fits {
            row.written += bytes;
            if is_stranger {
                self.strangers += bytes;
            }
        }
        fits
    }

    /// Counts an event that is not written.
    pub(super) fn count(&mut self, cause: &Cause, event: &AuditEvent) {
        let reason = match event {
            AuditEvent::AuthFailure { reason, .. }
            | AuditEvent::Person(
                PersonEvent::SignInFailed { reason, .. }
                | PersonEvent::SignInThrottled { reason, .. }
                | PersonEvent::AuthorizationRefused { reason, .. }
                | PersonEvent::PeopleRefused { reason, .. },
            )
            | AuditEvent::Node(
                NodeEvent::NodeRefused { reason, .. } | NodeEvent::TunnelEnded { reason, .. },
            )
            | AuditEvent::Refusal { reason, .. }
            | AuditEvent::ChannelRefused { reason, .. } => reason,
            _ => "",
        };
        let counts = &mut self.row(cause).counts;
        *counts.entry((event.kind(), reason)).or_default() += 1;
    }

    fn row(&mut self, cause: &Cause) -> &mut FloodCounter {
        let (rows, most) = match cause {
            Cause::Node(_) => (&mut self.nodes, MAX_NODES),
            _ => (&mut self.rows, MAX_ROWS),
        };
        let is_full = rows.len() >= most && !rows.contains_key(cause);
        let key = if is_full { &Cause::Others } else { cause };
        rows.entry(key.clone()).or_default()
    }

    /// What was counted, once the minute is over, or at once when the log ends. The next one begins.
    pub(super) fn sums(&mut self, now: Instant, is_end: bool) -> Vec<Sum> {
        let elapsed = now.saturating_duration_since(self.began);
        if elapsed < MINUTE && !is_end {
            return Vec::new();
        }
        let over = std::mem::replace(self, Self::new(now));
        let rows = over.rows.into_iter().chain(over.nodes);
        let counted = rows.filter(|(_, row)| !row.counts.is_empty());
        counted
            .map(|(cause, row)| Sum {
                cause,
                counts: row.counts.into_iter().map(named).collect(),
                seconds: elapsed.as_secs(),
            })
            .collect()
    }
}

fn named(((kind, reason), count): ((EventKind, &'static str), u64)) -> (String, u64) {
    let name = match reason {
        "" => kind.name().to_owned(),
        reason => format!("{}/{reason}", kind.name()),
    };
    (name, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(address: &str) -> AuditEvent {
        AuditEvent::AuthFailure {
            leg: crate::audit::Party::Client,
            reason: "certificate-expired",
            message: String::new(),
            client_addr: format!("{address}:1").parse().unwrap(),
            user: None,
            login: None,
            serial: None,
            fingerprint: None,
            connection: None,
        }
    }

    #[test]
    fn one_address_does_not_use_up_what_others_have() {
        let now = Instant::now();
        let mut flood = Flood::new(now);
        let cause = |address| Cause::of(&failure(address)).unwrap();
        let mut written = 0;
        for _ in 0..1_000 {
            if flood.admits(&cause("192.0.2.1"), 1_000) {
                written += 1;
            } else {
                flood.count(&cause("192.0.2.1"), &failure("192.0.2.1"));
            }
        }
        assert_eq!(written, 16);
        assert!(flood.admits(&cause("192.0.2.2"), 1_000));
        // One machine has a whole /64.
        assert_eq!(cause("[2001:db8::1]"), cause("[2001:db8::2]"));
        assert!(flood.sums(now + MINUTE / 2, false).is_empty());
        let sums = flood.sums(now + MINUTE, false);
        let expected = BTreeMap::from([("auth.failure/certificate-expired".to_owned(), 984)]);
        assert_eq!(sums.len(), 1);
        assert_eq!(sums[0].counts, expected);
        assert_eq!(sums[0].seconds, 60);
        assert!(flood.admits(&cause("192.0.2.1"), 1_000), "a new minute");
        assert!(flood.sums(now + 2 * MINUTE, false).is_empty());
    }

    fn opened(name: &str) -> AuditEvent {
        AuditEvent::Node(NodeEvent::TunnelOpened {
            node: crate::model::NodeId::new(),
            name: name.to_owned(),
            client_addr: "192.0.2.1:1".parse().unwrap(),
            connection: crate::model::ConnectionId::new(),
        })
    }

    /// After a restart, all of them open their tunnels, also from one address.
    #[test]
    fn a_node_that_opens_tunnels_again_and_again_is_bounded_and_all_others_are_written() {
        let now = Instant::now();
        let mut flood = Flood::new(now);
        let flapping = opened("flapping");
        let cause = Cause::of(&flapping).unwrap();
        for _ in 0..1_000 {
            if !flood.admits(&cause, 400) {
                flood.count(&cause, &flapping);
            }
        }
        for number in 0..10_000 {
            let cause = Cause::of(&opened(&format!("db{number}"))).unwrap();
            assert!(flood.admits(&cause, 400));
        }
        // Nor do they take the rows of strangers.
        assert!(flood.rows.is_empty());
        let sums = flood.sums(now + MINUTE, false);
        let expected = BTreeMap::from([("tunnel.opened".to_owned(), 1_000 - 40)]);
        assert_eq!(sums.len(), 1);
        assert_eq!((&sums[0].cause, &sums[0].counts), (&cause, &expected));
    }

    #[test]
    fn a_crowd_of_addresses_has_bounds_too() {
        let now = Instant::now();
        let mut flood = Flood::new(now);
        let mut written = 0;
        for number in 0..10_000_u32 {
            let address = std::net::Ipv4Addr::from(number).to_string();
            let event = failure(&address);
            let cause = Cause::of(&event).unwrap();
            if flood.admits(&cause, 1_000) {
                written += 1_000;
            } else {
                flood.count(&cause, &event);
            }
        }
        assert!(written <= OF_STRANGERS);
        assert!(flood.rows.len() <= MAX_ROWS + 1);
        let sums = flood.sums(now, true);
        let counted: u64 = sums.iter().flat_map(|sum| sum.counts.values()).sum();
        assert_eq!(counted + written as u64 / 1_000, 10_000, "none is lost");
        assert!(sums.iter().any(|sum| sum.cause == Cause::Others));
    }
}

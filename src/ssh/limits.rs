//! How many clients the listener takes at a time: in all, from one address, of one person, and
//! without having authenticated.
//!
//! Counters and guards only. A guard gives back what it holds when it is dropped; one set of counters
//! is shared by all workers.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::metrics;

/// Clients at a time that are told why they are refused. More than this many are dropped without a
/// word, or the words would be what the limits are there to prevent.
const MAX_COURTESIES: usize = 64;
/// How long the same refusal of the same address is audited only once.
const AUDIT_INTERVAL: Duration = Duration::from_secs(60);
/// Addresses whose refusals are told apart in the audit log.
const MAX_AUDITED: usize = 1024;

/// The configured limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Clients in all.
    pub connections: u32,
    /// Clients from one address.
    pub per_address: u32,
    /// Authenticated clients of one person.
    pub per_user: u32,
    /// Clients that have not authenticated.
    pub starting: u32,
}

/// Which limit a client is beyond, and where that limit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Excess {
    Connections(u32),
    Address(u32),
    User(u32),
    Starting(u32),
}

impl Excess {
    /// A stable name for the audit log.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Connections(_) => "too-many-connections",
            Self::Address(_) => "too-many-connections-from-address",
            Self::User(_) => "too-many-connections-of-user",
            Self::Starting(_) => "too-many-unauthenticated-connections",
        }
    }

    /// Under which it is counted.
    pub(crate) fn metric(self) -> metrics::Excess {
        match self {
            Self::Connections(_) => metrics::Excess::Connections,
            Self::Address(_) => metrics::Excess::Address,
            Self::User(_) => metrics::Excess::User,
            Self::Starting(_) => metrics::Excess::Starting,
        }
    }

    /// One sentence for the user.
    pub(crate) fn message(self) -> String {
        match self {
            Self::Connections(limit) => {
                format!("too many connections: the limit is {limit}")
            }
            Self::Address(limit) => {
                format!("too many connections from your address: the limit is {limit}")
            }
            Self::User(limit) => {
                format!("too many connections with certificates of your name: the limit is {limit}")
            }
            Self::Starting(limit) => {
                format!("too many clients are logging in at the moment: the limit is {limit}")
            }
        }
    }

    /// What to do about it.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::Connections(_) | Self::Starting(_) => "try again in a moment",
            Self::Address(_) | Self::User(_) => {
                "close connections that are not used any more, or share one: ControlMaster in ssh_config(5)"
            }
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    connections: u32,
    starting: u32,
    courtesies: usize,
    addresses: BTreeMap<IpAddr, u32>,
    users: BTreeMap<String, u32>,
    audited: Audited,
}

/// The counters of one listener. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    limits: Limits,
    counts: Arc<Mutex<Counts>>,
}

/// A client that is let in no further.
#[derive(Debug)]
pub(crate) struct TurnedAway {
    pub(crate) excess: Excess,
    /// The right to tell it; without one it is dropped.
    pub(crate) courtesy: Option<Courtesy>,
    pub(crate) door: Door,
}

impl Door {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            counts: Arc::default(),
        }
    }

    /// A client is here.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<Admission, TurnedAway> {
        let address = network(address);
        let mut counts = self.lock();
        let from_here = counts.addresses.get(&address).copied().unwrap_or_default();
        let limits = self.limits;
        let excess = if counts.connections >= limits.connections {
            Excess::Connections(limits.connections)
        } else if from_here >= limits.per_address {
            Excess::Address(limits.per_address)
        } else if counts.starting >= limits.starting {
            Excess::Starting(limits.starting)
        } else {
            counts.connections += 1;
            counts.starting += 1;
            increase(&mut counts.addresses, address);
            return Ok(Admission {
                door: self.clone(),
                address,
                user: None,
            });
        };
        let courtesy = (counts.courtesies < MAX_COURTESIES).then(|| {
            counts.courtesies += 1;
            Courtesy { door: self.clone() }
        });
        Err(TurnedAway {
            excess,
            courtesy,
            door: self.clone(),
        })
    }

    /// Whether this refusal goes to the audit log, and how many like it have not since the last
    /// that did.
    pub(crate) fn audit(&self, excess: Excess, address: IpAddr) -> Option<u64> {
        self.lock()
            .audited
            .next(excess.reason(), network(address), Instant::now())
    }

    /// A panic elsewhere cannot leave the counters half changed: no method calls out while it has
    /// them.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One client's place. Dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Admission {
    door: Door,
    address: IpAddr,
    /// Who it is, once it has authenticated.
    user: Option<String>,
}

impl Admission {
    /// The client has authenticated as this person.
    pub(crate) fn authenticated(&mut self, user: &str) -> Result<(), Excess> {
        let limit = self.door.limits.per_user;
        let mut counts = self.door.lock();
        if self.user.is_some() {
            return Ok(());
        }
        if counts.users.get(user).copied().unwrap_or_default() >= limit {
            return Err(Excess::User(limit));
        }
        increase(&mut counts.users, user.to_owned());
        counts.starting -= 1;
        drop(counts);
        self.user = Some(user.to_owned());
        Ok(())
    }

    /// The door that it came through.
    pub(crate) fn door(&self) -> &Door {
        &self.door
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut counts = self.door.lock();
        counts.connections -= 1;
        decrease(&mut counts.addresses, &self.address);
        match &self.user {
            Some(user) => decrease(&mut counts.users, user),
            None => counts.starting -= 1,
        }
    }
}

/// The right to tell one client why it is refused.
#[derive(Debug)]
pub(crate) struct Courtesy {
    door: Door,
}

impl Drop for Courtesy {
    fn drop(&mut self) {
        self.door.lock().courtesies -= 1;
    }
}

fn increase<K: Ord>(counts: &mut BTreeMap<K, u32>, key: K) {
    *counts.entry(key).or_default() += 1;
}

fn decrease<K, Q>(counts: &mut BTreeMap<K, u32>, key: &Q)
where
    K: Ord + Borrow<Q>,
    Q: Ord + ?Sized,
{
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// What counts as one address: of IPv6, the /64 network that one machine has to itself.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & !u128::from(u64::MAX);
            Ipv6Addr::from(prefix).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Which refusals the audit log has seen lately.
#[derive(Debug, Default)]
struct Audited {
    seen: BTreeMap<(&'static str, Option<IpAddr>), Seen>,
}

#[derive(Debug)]
struct Seen {
    at: Instant,
    since: u64,
}

impl Audited {
    fn next(&mut self, reason: &'static str, address: IpAddr, now: Instant) -> Option<u64> {
        let key = (reason, Some(address));
        if self.seen.len() >= MAX_AUDITED && !self.seen.contains_key(&key) {
            self.seen
                .retain(|_, seen| now.saturating_duration_since(seen.at) < AUDIT_INTERVAL);
        }
        let is_full = self.seen.len() >= MAX_AUDITED && !self.seen.contains_key(&key);
        let key = if is_full { (reason, None) } else { key };
        let Some(seen) = self.seen.get_mut(&key) else {
            self.seen.insert(key, Seen { at: now, since: 0 });
            return Some(0);
        };
        if now.saturating_duration_since(seen.at) < AUDIT_INTERVAL {
            seen.since += 1;
            return None;
        }
        seen.at = now;
        Some(std::mem::take(&mut seen.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn door(connections: u32, per_address: u32, per_user: u32, starting: u32) -> Door {
        Door::new(Limits {
            connections,
            per_address,
            per_user,
            starting,
        })
    }

    fn there(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn excess(door: &Door, address: IpAddr) -> Option<Excess> {
        door.admit(address).err().map(|away| away.excess)
    }

    #[test]
    fn places_are_counted_in_all_and_given_back() {
        let door = door(2, 9, 9, 9);
        let first = door.admit(there(1)).unwrap();
        let _second = door.admit(there(2)).unwrap();
        assert_eq!(excess(&door, there(3)), Some(Excess::Connections(2)));
        drop(first);
        assert_eq!(excess(&door, there(3)), None);
    }

    #[test]
    fn places_are_counted_by_address() {
        let door = door(9, 1, 9, 9);
        let first = door.admit(HERE).unwrap();
        assert_eq!(excess(&door, HERE), Some(Excess::Address(1)));
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        assert_eq!(excess(&door, mapped), Some(Excess::Address(1)));
        assert_eq!(excess(&door, there(1)), None);
        drop(first);
        assert_eq!(excess(&door, HERE), None);
        assert!(door.lock().addresses.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let door = door(9, 1, 9, 9);
        let address = |text: &str| text.parse().unwrap();
        let _first = door.admit(address("2001:db8:0:1::1")).unwrap();
        assert_eq!(
            excess(&door, address("2001:db8:0:1:ffff::2")),
            Some(Excess::Address(1))
        );
        assert_eq!(excess(&door, address("2001:db8:0:2::1")), None);
    }

    #[test]
    fn who_has_authenticated_does_not_count_as_starting() {
        let door = door(9, 9, 9, 1);
        let mut first = door.admit(HERE).unwrap();
        assert_eq!(excess(&door, HERE), Some(Excess::Starting(1)));
        first.authenticated("alice").unwrap();
        let second = door.admit(HERE).unwrap();
        drop(first);
        assert_eq!(excess(&door, HERE), Some(Excess::Starting(1)));
        drop(second);
        assert_eq!(door.lock().starting, 0);
    }

    #[test]
    fn people_are_counted_once_they_are_known() {
        let door = door(9, 9, 1, 9);
        let mut first = door.admit(HERE).unwrap();
        let mut second = door.admit(HERE).unwrap();
        first.authenticated("alice").unwrap();
        assert_eq!(second.authenticated("alice"), Err(Excess::User(1)));
        assert_eq!(second.authenticated("bob"), Ok(()));
        let mut third = door.admit(HERE).unwrap();
        drop(first);
        assert_eq!(third.authenticated("alice"), Ok(()));
    }

    #[test]
    fn only_so_many_are_told_at_a_time() {
        let door = door(0, 9, 9, 9);
        let mut told: Vec<_> = (0..MAX_COURTESIES + 5)
            .filter_map(|_| door.admit(HERE).unwrap_err().courtesy)
            .collect();
        assert_eq!(told.len(), MAX_COURTESIES);
        told.pop();
        assert!(door.admit(HERE).unwrap_err().courtesy.is_some());
    }

    #[test]
    fn a_flood_is_audited_once_a_minute_and_counted() {
        let mut audited = Audited::default();
        let start = Instant::now();
        assert_eq!(audited.next("a", HERE, start), Some(0));
        for _ in 0..100 {
            assert_eq!(audited.next("a", HERE, start), None);
        }
        assert_eq!(audited.next("b", HERE, start), Some(0));
        assert_eq!(audited.next("a", there(1), start), Some(0));
        let later = start + AUDIT_INTERVAL;
        assert_eq!(audited.next("a", HERE, later), Some(100));
    }

    #[test]
    fn a_flood_from_everywhere_stays_bounded() {
        let mut audited = Audited::default();
        let start = Instant::now();
        let told = (0..100_000u32)
            .filter_map(|n| audited.next("a", IpAddr::from(n.to_be_bytes()), start))
            .count();
        assert_eq!(told, MAX_AUDITED + 1);
        assert_eq!(audited.seen.len(), MAX_AUDITED + 1);
        audited.next("a", HERE, start + AUDIT_INTERVAL);
        assert!(audited.seen.len() <= 2);
    }
}

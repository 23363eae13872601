//! How many clients a listener accepts at a time: in all, from one address, of one user, and
//! unauthenticated ones.
//!
//! Counters and guards only. A guard gives its slot back when it is dropped; all worker threads share
//! one set of counters.
//!
//! One client cannot keep others out: no address can occupy all slots for unauthenticated clients,
//! and if all slots are in use, the address with the most of them loses one to an address with fewer.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::client_set::{ClientSet, ClientTicket};
use crate::metrics;
use crate::model::network;

/// How many refused clients at a time get the reason. Further ones are disconnected without it,
/// because sending it would cost what the limits have to prevent.
const MAX_COURTESIES: usize = 64;
/// The same, from one address.
const MAX_COURTESIES_PER_ADDRESS: usize = 16;
/// How often the clients of one address may begin a key exchange in the long run: each costs the
/// proxy a millisecond or so. Clients that come faster wait for their turn.
const TURN: Duration = Duration::from_millis(20);
/// How many addresses have queues of their own; all others share one.
const MAX_TURNS: usize = 4096;
/// How long the same refusal of the same address is audited only once.
const AUDIT_INTERVAL: Duration = Duration::from_secs(60);
/// How many addresses have refusals of their own in the audit log; all others share one.
const MAX_AUDITED: usize = 1024;

/// The configured limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Clients in all.
    pub connections: u32,
    /// Clients from one address.
    pub per_address: u32,
    /// Authenticated clients of one person.
    pub per_user: u32,
    /// Clients that have not authenticated.
    pub starting: u32,
}

impl ConnectionLimits {
    /// How many of one address may be unauthenticated: three quarters of all, so that no single
    /// address has every place.
    fn starting_share(self) -> u32 {
        self.starting - self.starting / 4
    }
}

/// Which limit a client is beyond, and where that limit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LimitExceeded {
    Connections(u32),
    Address(u32),
    User(u32),
    Starting(u32),
    StartingFromAddress(u32),
    /// It was let in, and made room for a client of an address that has fewer.
    Displaced,
}

impl LimitExceeded {
    /// A stable name for the audit log.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Connections(_) => "too-many-connections",
            Self::Address(_) => "too-many-connections-from-address",
            Self::User(_) => "too-many-connections-of-user",
            Self::Starting(_) => "too-many-unauthenticated-connections",
            Self::StartingFromAddress(_) | Self::Displaced => {
                "too-many-unauthenticated-connections-from-address"
            }
        }
    }

    /// Under which it is counted.
    pub(crate) fn metric(self) -> metrics::LimitExceeded {
        match self {
            Self::Connections(_) => metrics::LimitExceeded::Connections,
            Self::Address(_) => metrics::LimitExceeded::Address,
            Self::User(_) => metrics::LimitExceeded::User,
            Self::Starting(_) | Self::StartingFromAddress(_) | Self::Displaced => {
                metrics::LimitExceeded::Starting
            }
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
            Self::StartingFromAddress(limit) => {
                format!(
                    "too many clients from your address are logging in at the moment: the limit is {limit}"
                )
            }
            Self::Displaced => {
                "too many clients from your address are logging in, and clients from other addresses need their places"
                    .to_owned()
            }
        }
    }

    /// What to do about it.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::Connections(_)
            | Self::Starting(_)
            | Self::StartingFromAddress(_)
            | Self::Displaced => "try again in a moment",
            Self::Address(_) | Self::User(_) => {
                "close connections that are not used any more, or share one: ControlMaster in ssh_config(5)"
            }
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    connections: u32,
    starting: ClientSet,
    courtesies: ClientSet,
    addresses: BTreeMap<IpAddr, u32>,
    users: BTreeMap<String, u32>,
    turns: ExchangeTurns,
    audited: Audited,
}

impl Counts {
    /// A client's place is free again.
    fn give_back(&mut self, network: IpAddr) {
        self.connections -= 1;
        decrease(&mut self.addresses, &network);
    }

    /// Makes room for a client of this network, at the cost of one that has more clients which have
    /// not authenticated; `false` where there is none.
    fn displace_for(&mut self, network: IpAddr) -> bool {
        let own = self.starting.count_from(network);
        let heavier = self.starting.heaviest().filter(|(_, count)| *count > own);
        let displaced = heavier.filter(|(heavier, _)| self.starting.displace(*heavier));
        if let Some((heavier, _)) = displaced {
            self.give_back(heavier);
        }
        displaced.is_some()
    }

    /// Sees that there is room for a client of this network.
    fn make_room(
        &mut self,
        network: IpAddr,
        limits: ConnectionLimits,
    ) -> Result<(), LimitExceeded> {
        if self.addresses.get(&network).copied().unwrap_or_default() >= limits.per_address {
            return Err(LimitExceeded::Address(limits.per_address));
        }
        if self.connections >= limits.connections && !self.displace_for(network) {
            return Err(LimitExceeded::Connections(limits.connections));
        }
        if self.starting.len() >= limits.starting as usize && !self.displace_for(network) {
            return Err(LimitExceeded::Starting(limits.starting));
        }
        let share = limits.starting_share();
        if self.starting.count_from(network) >= share as usize {
            return Err(LimitExceeded::StartingFromAddress(share));
        }
        Ok(())
    }

    /// The right to tell a client why it is refused, where there are not too many.
    fn courtesy(&mut self, network: IpAddr) -> Option<ClientTicket> {
        let is_free = self.courtesies.len() < MAX_COURTESIES
            && self.courtesies.count_from(network) < MAX_COURTESIES_PER_ADDRESS;
        is_free.then(|| self.courtesies.enter(network))
    }
}

/// The counters of one listener. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionLimiter {
    limits: ConnectionLimits,
    counts: Arc<Mutex<Counts>>,
}

/// A client that is let in no further.
#[derive(Debug)]
pub(crate) struct Rejected {
    pub(crate) excess: LimitExceeded,
    /// The right to tell it; without one it is dropped.
    pub(crate) courtesy: Option<RejectNotice>,
    pub(crate) door: ConnectionLimiter,
}

impl ConnectionLimiter {
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        Self {
            limits,
            counts: Arc::default(),
        }
    }

    /// A client is here.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<ConnectionGuard, Rejected> {
        let network = network(address);
        let mut counts = self.lock();
        if let Err(excess) = counts.make_room(network, self.limits) {
            let courtesy = counts.courtesy(network);
            drop(counts);
            return Err(Rejected {
                excess,
                courtesy: courtesy.map(|ticket| self.courtesy(ticket)),
                door: self.clone(),
            });
        }
        counts.connections += 1;
        increase(&mut counts.addresses, network);
        Ok(ConnectionGuard {
            ticket: counts.starting.enter(network),
            door: self.clone(),
            user: None,
        })
    }

    fn courtesy(&self, ticket: ClientTicket) -> RejectNotice {
        RejectNotice {
            door: self.clone(),
            ticket,
        }
    }

    /// Whether this refusal goes to the audit log, and how many like it have not since the last
    /// that did.
    pub(crate) fn audit(&self, excess: LimitExceeded, address: IpAddr) -> Option<u64> {
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
pub(crate) struct ConnectionGuard {
    door: ConnectionLimiter,
    ticket: ClientTicket,
    /// The name of the identity, once it has authenticated.
    user: Option<String>,
}

impl ConnectionGuard {
    /// Waits for the turn of this client's address to begin a key exchange: at once, unless its
    /// clients come in too fast.
    pub(crate) async fn turn(&self) {
        let network = self.ticket.network();
        let burst = TURN * self.door.limits.starting;
        let wait = self.door.lock().turns.next(network, burst, Instant::now());
        tokio::time::sleep(wait).await;
    }

    /// Ends when this client, which has not authenticated, has lost its place to another.
    pub(crate) async fn displaced(&self) {
        self.ticket.displaced().cancelled().await;
    }

    /// A client that has lost its place: the right to be told so.
    pub(crate) fn into_turned_away(self) -> Rejected {
        let ticket = self.door.lock().courtesy(self.ticket.network());
        Rejected {
            excess: LimitExceeded::Displaced,
            courtesy: ticket.map(|ticket| self.door.courtesy(ticket)),
            door: self.door.clone(),
        }
    }

    /// The client has authenticated as this person.
    pub(crate) fn authenticated(&mut self, user: &str) -> Result<(), LimitExceeded> {
        let limit = self.door.limits.per_user;
        let mut counts = self.door.lock();
        if self.user.is_some() {
            return Ok(());
        }
        if counts.users.get(user).copied().unwrap_or_default() >= limit {
            return Err(LimitExceeded::User(limit));
        }
        if !counts.starting.leave(&self.ticket) {
            return Err(LimitExceeded::Displaced);
        }
        increase(&mut counts.users, user.to_owned());
        drop(counts);
        self.user = Some(user.to_owned());
        Ok(())
    }

    /// The door that it came through.
    pub(crate) fn door(&self) -> &ConnectionLimiter {
        &self.door
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let mut counts = self.door.lock();
        let has_place = match &self.user {
            Some(user) => {
                decrease(&mut counts.users, user);
                true
            }
            // A client that was displaced has given its place back.
            None => counts.starting.leave(&self.ticket),
        };
        if has_place {
            counts.give_back(self.ticket.network());
        }
    }
}

/// The right to tell one client why it is refused.
#[derive(Debug)]
pub(crate) struct RejectNotice {
    door: ConnectionLimiter,
    ticket: ClientTicket,
}

impl Drop for RejectNotice {
    fn drop(&mut self) {
        self.door.lock().courtesies.leave(&self.ticket);
    }
}

/// Up to when each address has had its turns.
#[derive(Debug, Default)]
struct ExchangeTurns {
    used: BTreeMap<Option<IpAddr>, Instant>,
}

impl ExchangeTurns {
    /// How long a client of this address waits for its turn. `burst` is how far ahead of its time an
    /// address may be.
    fn next(&mut self, network: IpAddr, burst: Duration, now: Instant) -> Duration {
        if self.used.len() >= MAX_TURNS {
            self.used.retain(|_, until| *until > now);
        }
        let is_known = self.used.contains_key(&Some(network));
        let key = (is_known || self.used.len() < MAX_TURNS).then_some(network);
        let used = self.used.entry(key).or_insert(now);
        *used = now.max(*used) + TURN;
        used.saturating_duration_since(now + burst)
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

/// Which refusals the audit log has seen lately.
#[derive(Debug, Default)]
struct Audited {
    seen: BTreeMap<(&'static str, Option<IpAddr>), AuditWindow>,
}

#[derive(Debug)]
struct AuditWindow {
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
            self.seen.insert(key, AuditWindow { at: now, since: 0 });
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

    fn door(connections: u32, per_address: u32, per_user: u32, starting: u32) -> ConnectionLimiter {
        ConnectionLimiter::new(ConnectionLimits {
            connections,
            per_address,
            per_user,
            starting,
        })
    }

    fn there(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn excess(door: &ConnectionLimiter, address: IpAddr) -> Option<LimitExceeded> {
        door.admit(address).err().map(|away| away.excess)
    }

    #[test]
    fn places_are_counted_in_all_and_given_back() {
        let door = door(2, 9, 9, 9);
        let mut first = door.admit(there(1)).unwrap();
        first.authenticated("alice").unwrap();
        let mut second = door.admit(there(2)).unwrap();
        second.authenticated("bob").unwrap();
        assert_eq!(excess(&door, there(3)), Some(LimitExceeded::Connections(2)));
        drop(first);
        assert_eq!(excess(&door, there(3)), None);
    }

    #[test]
    fn places_are_counted_by_address() {
        let door = door(9, 1, 9, 9);
        let first = door.admit(HERE).unwrap();
        assert_eq!(excess(&door, HERE), Some(LimitExceeded::Address(1)));
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        assert_eq!(excess(&door, mapped), Some(LimitExceeded::Address(1)));
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
            Some(LimitExceeded::Address(1))
        );
        assert_eq!(excess(&door, address("2001:db8:0:2::1")), None);
    }

    #[test]
    fn who_has_authenticated_does_not_count_as_starting() {
        let door = door(9, 9, 9, 1);
        let mut first = door.admit(HERE).unwrap();
        assert_eq!(excess(&door, HERE), Some(LimitExceeded::Starting(1)));
        first.authenticated("alice").unwrap();
        let second = door.admit(HERE).unwrap();
        drop(first);
        assert_eq!(excess(&door, HERE), Some(LimitExceeded::Starting(1)));
        drop(second);
        assert_eq!(door.lock().starting.len(), 0);
    }

    #[test]
    fn people_are_counted_once_they_are_known() {
        let door = door(9, 9, 1, 9);
        let mut first = door.admit(HERE).unwrap();
        let mut second = door.admit(HERE).unwrap();
        first.authenticated("alice").unwrap();
        assert_eq!(second.authenticated("alice"), Err(LimitExceeded::User(1)));
        assert_eq!(second.authenticated("bob"), Ok(()));
        let mut third = door.admit(HERE).unwrap();
        drop(first);
        assert_eq!(third.authenticated("alice"), Ok(()));
    }

    #[test]
    fn only_so_many_are_told_at_a_time() {
        let door = door(0, 9, 9, 9);
        let courtesy = |address| door.admit(address).unwrap_err().courtesy;
        let mut told: Vec<_> = (0..100).filter_map(|_| courtesy(HERE)).collect();
        assert_eq!(told.len(), MAX_COURTESIES_PER_ADDRESS);
        told.pop();
        told.extend((0..=250).filter_map(|last| courtesy(there(last))));
        assert_eq!(told.len(), MAX_COURTESIES);
        told.remove(0);
        assert!(courtesy(HERE).is_some());
    }

    /// Four addresses hold every place, and come again as soon as they have lost one.
    #[test]
    fn strangers_cannot_keep_others_out() {
        let door = door(1000, 500, 100, 300);
        let mut held: Vec<ConnectionGuard> = Vec::new();
        let mut attack = || {
            let addresses = [1, 2, 3, 4].map(there).into_iter().cycle().take(2000);
            held.extend(addresses.filter_map(|address| door.admit(address).ok()));
        };
        attack();
        assert_eq!(door.lock().starting.len(), 300);
        for round in 0..50 {
            let mut honest = door.admit(there(9)).expect("there is always a place");
            attack();
            assert!(!honest.ticket.displaced().is_cancelled(), "{round}");
            honest.authenticated("alice").unwrap();
        }
        drop(held);
        assert_eq!(door.lock().connections, 0);
        assert!(door.lock().addresses.is_empty());
    }

    #[test]
    fn one_address_leaves_places_for_others() {
        let door = door(1000, 1000, 100, 300);
        let held: Vec<ConnectionGuard> = (0..300).filter_map(|_| door.admit(HERE).ok()).collect();
        assert_eq!(held.len(), 225);
        let share = LimitExceeded::StartingFromAddress(225);
        assert_eq!(excess(&door, HERE), Some(share));
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        assert_eq!(excess(&door, mapped), Some(share));
        let _others: Vec<_> = (0..75)
            .map(|last| door.admit(there(last)).unwrap())
            .collect();
        assert!(
            held.iter()
                .all(|one| !one.ticket.displaced().is_cancelled())
        );
    }

    #[test]
    fn who_has_authenticated_is_never_displaced() {
        let door = door(4, 9, 9, 4);
        let mut held: Vec<_> = (0..3).map(|_| door.admit(HERE).unwrap()).collect();
        for one in &mut held {
            one.authenticated("alice").unwrap();
        }
        let _last = door.admit(HERE).unwrap();
        let _instead = door.admit(there(1)).unwrap();
        assert_eq!(excess(&door, there(1)), Some(LimitExceeded::Connections(4)));
        assert!(
            held.iter()
                .all(|one| !one.ticket.displaced().is_cancelled())
        );
    }

    /// The place was lost in the moment in which the client authenticated.
    #[test]
    fn who_was_displaced_cannot_authenticate_any_more() {
        let door = door(9, 9, 9, 1);
        let mut slow = door.admit(HERE).unwrap();
        let _instead = door.admit(there(1)).unwrap();
        assert!(slow.ticket.displaced().is_cancelled());
        assert_eq!(slow.authenticated("alice"), Err(LimitExceeded::Displaced));
        let away = slow.into_turned_away();
        assert!(away.courtesy.is_some());
        assert_eq!(door.lock().connections, 1);
    }

    #[test]
    fn clients_of_one_address_take_turns_once_they_come_too_fast() {
        let mut turns = ExchangeTurns::default();
        let start = Instant::now();
        let burst = TURN * 10;
        let waits: Vec<_> = (0..30).map(|_| turns.next(HERE, burst, start)).collect();
        assert!(waits[..10].iter().all(Duration::is_zero), "{waits:?}");
        assert_eq!(waits[29], TURN * 20);
        assert_eq!(turns.next(there(1), burst, start), Duration::ZERO);
        let later = start + TURN * 1000;
        assert_eq!(turns.next(HERE, burst, later), Duration::ZERO);
        for n in 0..100_000_u32 {
            turns.next(IpAddr::from(n.to_be_bytes()), burst, later);
        }
        assert_eq!(turns.used.len(), MAX_TURNS + 1);
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

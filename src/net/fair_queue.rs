//! A fair queue: how many requests may use one thing at a time, and which is next.
//!
//! At a host: connections that are not authenticated yet, because sshd drops them at random when many
//! begin at once (`MaxStartups 10:30:100`). At the host CA's key: signatures. Here they wait instead:
//! users alternate, and the requests of one user keep their order. If too many wait, the user with the
//! most requests loses one.
//! [`TurnQueue`] decides and has no tasks; [`FairQueue`] waits.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::model::{HostAddress, network};

/// Connections that may wait for one host.
const MAX_WAITING: usize = 4096;

/// The owner of a place in a queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum QueueOwner {
    /// An authenticated user, by the name of the identity.
    Person(String),
    /// A client that has not authenticated, by network.
    Network(IpAddr),
}

impl QueueOwner {
    /// A client that has not authenticated.
    pub(crate) fn from(address: IpAddr) -> Self {
        Self::Network(network(address))
    }
}

/// The requests that wait, and how many turns are taken. `T` is what is handed to the next one.
#[derive(Debug)]
struct TurnQueue<T> {
    /// Turns at a time.
    limit: usize,
    /// Turns taken.
    taken: usize,
    /// The owners that wait, the next one first; each has an entry below.
    people: VecDeque<QueueOwner>,
    waiting: BTreeMap<QueueOwner, VecDeque<T>>,
}

impl<T> TurnQueue<T> {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            taken: 0,
            people: VecDeque::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Takes a turn if one is free and no request waits for it.
    fn try_take(&mut self) -> bool {
        let free = self.taken < self.limit && self.people.is_empty();
        self.taken += usize::from(free);
        free
    }

    fn wait(&mut self, whose: &QueueOwner, ticket: T) {
        match self.waiting.get_mut(whose) {
            Some(tickets) => tickets.push_back(ticket),
            None => {
                self.people.push_back(whose.clone());
                self.waiting.insert(whose.clone(), VecDeque::from([ticket]));
            }
        }
    }

    /// Makes room for one more ticket of an owner: the latest of the owner with the most goes. `false`
    /// if that owner has no more than this one would have then.
    fn make_room(&mut self, whose: &QueueOwner) -> bool {
        let theirs = self.waiting.get(whose).map_or(0, VecDeque::len);
        let heaviest = self
            .waiting
            .values_mut()
            .max_by_key(|tickets| tickets.len());
        match heaviest.filter(|tickets| tickets.len() > theirs + 1) {
            Some(tickets) => tickets.pop_back().is_some(),
            None => false,
        }
    }

    /// A turn is over.
    fn give_back(&mut self) {
        self.taken = self.taken.saturating_sub(1);
    }

    /// The next that may begin, if a slot is free. Other connections of the same owner go to the end.
    fn next(&mut self) -> Option<T> {
        if self.taken >= self.limit {
            return None;
        }
        let person = self.people.pop_front()?;
        let tickets = self.waiting.get_mut(&person)?;
        let ticket = tickets.pop_front();
        if tickets.is_empty() {
            self.waiting.remove(&person);
        } else {
            self.people.push_back(person);
        }
        self.taken += usize::from(ticket.is_some());
        ticket
    }

    /// Forgets the tickets that do not wait any more.
    fn retain(&mut self, is_here: impl Fn(&T) -> bool) {
        self.waiting.retain(|_, tickets| {
            tickets.retain(&is_here);
            !tickets.is_empty()
        });
        let waiting = &self.waiting;
        self.people.retain(|person| waiting.contains_key(person));
    }

    fn waiting(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }

    fn is_idle(&self) -> bool {
        self.taken == 0 && self.people.is_empty()
    }
}

type Queues<K> = BTreeMap<K, TurnQueue<oneshot::Sender<QueueSlot<K>>>>;

/// The queues of all things that turns are taken at, shared by all threads. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct FairQueue<K: Copy + Ord> {
    limit: usize,
    most_waiting: usize,
    queues: Arc<Mutex<Queues<K>>>,
}

/// Turns at hosts.
pub(crate) type HandshakeQueue = FairQueue<HostAddress>;

/// Too many wait already: how many may.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0} connections wait for this already")]
pub(crate) struct QueueFull(usize);

impl HandshakeQueue {
    /// At most `limit` turns at a time for each host.
    pub(crate) fn at_hosts(limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self::new(limit, MAX_WAITING)
    }
}

impl<K: Copy + Ord> FairQueue<K> {
    /// At most `limit` turns at a time at each thing, and `most_waiting` requests that wait for one
    /// there.
    pub(crate) fn new(limit: usize, most_waiting: usize) -> Self {
        Self {
            limit: limit.max(1),
            most_waiting,
            queues: Arc::default(),
        }
    }

    /// Waits for a turn. A request that stops waiting is passed over.
    ///
    /// # Errors
    /// If too many wait already, and no owner has more waiting than this one would have; also later, if
    /// an owner with fewer needs the place.
    pub(crate) async fn turn(&self, at: K, whose: &QueueOwner) -> Result<QueueSlot<K>, QueueFull> {
        let crowded = QueueFull(self.most_waiting);
        let receiver = {
            let mut queues = self.lock();
            let queue = queues
                .entry(at)
                .or_insert_with(|| TurnQueue::new(self.limit));
            if queue.try_take() {
                return Ok(self.issue(at));
            }
            if queue.waiting() >= self.most_waiting {
                queue.retain(|sender| !sender.is_closed());
            }
            if queue.waiting() >= self.most_waiting && !queue.make_room(whose) {
                return Err(crowded);
            }
            let (sender, receiver) = oneshot::channel();
            queue.wait(whose, sender);
            receiver
        };
        // The queue drops a ticket only to make room.
        receiver.await.map_err(|_displaced| crowded)
    }

    /// Takes a turn if one is free and no request waits for it.
    pub(crate) fn try_turn(&self, at: K) -> Option<QueueSlot<K>> {
        let mut queues = self.lock();
        let queue = queues
            .entry(at)
            .or_insert_with(|| TurnQueue::new(self.limit));
        queue.try_take().then(|| self.issue(at))
    }

    /// Whether another request waits for it.
    pub(crate) fn is_awaited(&self, at: K) -> bool {
        let mut queues = self.lock();
        queues.get_mut(&at).is_some_and(|queue| {
            queue.retain(|sender| !sender.is_closed());
            queue.waiting() > 0
        })
    }

    fn issue(&self, at: K) -> QueueSlot<K> {
        QueueSlot {
            turns: self.clone(),
            at,
            over: false,
        }
    }

    /// A turn is over: hands it to the next request that still waits.
    fn release(&self, at: K) {
        let mut queues = self.lock();
        if let Some(queue) = queues.get_mut(&at) {
            queue.give_back();
        }
        loop {
            let Some(queue) = queues.get_mut(&at) else {
                return;
            };
            if queue.is_idle() {
                queues.remove(&at);
                return;
            }
            let Some(sender) = queue.next() else { return };
            match sender.send(self.issue(at)) {
                Ok(()) => {}
                Err(mut turn) => {
                    // Not dropped as it is: that would come back here, and the lock is taken.
                    turn.over = true;
                    queue.give_back();
                }
            }
        }
    }

    /// A panic elsewhere cannot leave a queue half changed: no method calls out while it has it.
    fn lock(&self) -> MutexGuard<'_, Queues<K>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to be at work on it. Dropping it lets the next one begin.
#[derive(Debug)]
pub(crate) struct QueueSlot<K: Copy + Ord> {
    turns: FairQueue<K>,
    at: K,
    over: bool,
}

impl<K: Copy + Ord> QueueSlot<K> {
    /// Whether another request waits for it.
    pub(crate) fn is_awaited(&self) -> bool {
        self.turns.is_awaited(self.at)
    }
}

impl<K: Copy + Ord> Drop for QueueSlot<K> {
    fn drop(&mut self) {
        if !self.over {
            self.turns.release(self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const HOST: HostAddress = HostAddress::Tcp(SocketAddr::new(
        IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        22,
    ));

    fn person(name: &str) -> QueueOwner {
        QueueOwner::Person(name.to_owned())
    }

    #[test]
    fn people_take_turns_and_each_one_keeps_the_order() {
        let mut queue = TurnQueue::new(1);
        assert!(queue.try_take());
        for ticket in ["a1", "a2", "a3"] {
            queue.wait(&person("alice"), ticket);
        }
        queue.wait(&person("bob"), "b1");
        queue.wait(&person("carol"), "c1");
        queue.wait(&person("bob"), "b2");
        let order: Vec<_> = std::iter::from_fn(|| {
            queue.give_back();
            queue.next()
        })
        .collect();
        assert_eq!(order, ["a1", "b1", "c1", "a2", "b2", "a3"]);
    }

    #[test]
    fn nobody_overtakes_those_who_wait() {
        let mut queue = TurnQueue::new(1);
        assert!(queue.try_take());
        queue.wait(&person("alice"), 1);
        queue.give_back();
        assert!(!queue.try_take());
        assert_eq!(queue.next(), Some(1));
        assert_eq!(queue.next(), None);
    }

    proptest! {
        #[test]
        fn never_more_turns_than_the_limit_and_everybody_gets_one(
            limit in 1usize..5,
            steps in proptest::collection::vec((0u8..3, 0u8..4), 0..200),
        ) {
            let mut queue = TurnQueue::new(limit);
            let (mut asked, mut served) = (0usize, Vec::new());
            for (step, who) in steps {
                match step {
                    0 | 1 => {
                        if queue.try_take() {
                            served.push(asked);
                        } else {
                            queue.wait(&person(&who.to_string()), asked);
                        }
                        asked += 1;
                    }
                    _ if queue.taken > 0 => {
                        queue.give_back();
                        served.extend(queue.next());
                    }
                    _ => {}
                }
                prop_assert!(queue.taken <= limit);
                // A turn is never left unused while a request waits.
                prop_assert!(queue.taken == limit || queue.waiting() == 0);
                prop_assert_eq!(queue.people.len(), queue.waiting.len());
            }
            while queue.taken > 0 {
                queue.give_back();
                served.extend(queue.next());
            }
            served.sort_unstable();
            prop_assert_eq!(served, (0..asked).collect::<Vec<_>>());
            prop_assert!(queue.is_idle());
        }
    }

    #[tokio::test]
    async fn who_stops_waiting_is_passed_over() {
        let startups = HandshakeQueue::at_hosts(1);
        let first = startups.turn(HOST, &person("alice")).await.unwrap();
        let waiting = |name: &'static str| {
            let startups = startups.clone();
            tokio::spawn(async move { startups.turn(HOST, &person(name)).await.unwrap() })
        };
        let gone: Vec<_> = (0..100).map(|_| waiting("bob")).collect();
        let stays = waiting("carol");
        tokio::task::yield_now().await;
        assert!(first.is_awaited());
        for task in gone {
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        }
        assert!(first.is_awaited());
        drop(first);
        let second = stays.await.unwrap();
        assert!(!second.is_awaited());
        drop(second);
        assert!(
            startups.lock().is_empty(),
            "a host without turns is forgotten"
        );
    }

    #[tokio::test]
    async fn hosts_do_not_wait_for_each_other() {
        let startups = HandshakeQueue::at_hosts(1);
        let other: SocketAddr = "127.0.0.1:2222".parse().unwrap();
        let other = HostAddress::from(other);
        let _here = startups.turn(HOST, &person("alice")).await.unwrap();
        let _there = startups.turn(other, &person("alice")).await.unwrap();
        let alice = person("alice");
        let third = startups.turn(HOST, &alice);
        let third = tokio::time::timeout(Duration::from_millis(20), third).await;
        assert!(third.is_err());
    }

    #[tokio::test]
    async fn a_crowd_is_refused_and_who_left_makes_room() {
        let turns = FairQueue::new(1, 8);
        let _first = turns.turn((), &person("alice")).await.unwrap();
        let bob = person("bob");
        let mut waiting: Vec<_> = (0..8).map(|_| Box::pin(turns.turn((), &bob))).collect();
        for turn in &mut waiting {
            let polled = tokio::time::timeout(Duration::ZERO, turn).await;
            assert!(polled.is_err());
        }
        assert_eq!(turns.turn((), &bob).await.unwrap_err(), QueueFull(8));
        waiting.pop();
        let ninth = turns.turn((), &bob);
        assert!(tokio::time::timeout(Duration::ZERO, ninth).await.is_err());
    }

    /// One person's thousand requests delay another person's first by no more than the one in work, and
    /// take no other person's place.
    #[tokio::test]
    async fn who_has_most_waiting_makes_room_and_others_are_next() {
        let turns = FairQueue::new(1, 1000);
        let first = turns.turn((), &person("alice")).await.unwrap();
        let spawn = |whose: QueueOwner| {
            let turns = turns.clone();
            tokio::spawn(async move { turns.turn((), &whose).await })
        };
        let mut alices: Vec<_> = (0..1000).map(|_| spawn(person("alice"))).collect();
        while turns.lock().get(&()).map(TurnQueue::waiting) < Some(1000) {
            tokio::task::yield_now().await;
        }
        let stranger = QueueOwner::from("2001:db8::1".parse().unwrap());
        assert_eq!(stranger, QueueOwner::from("2001:db8::2".parse().unwrap()));
        let others = [spawn(person("bob")), spawn(stranger)];
        for displaced in alices.split_off(998) {
            assert_eq!(displaced.await.unwrap().unwrap_err(), QueueFull(1000));
        }
        drop(first);
        // One of alice's has come before them, and no more.
        drop(alices.remove(0).await.unwrap().unwrap());
        for other in others {
            drop(other.await.unwrap().unwrap());
        }
        assert_eq!(turns.lock().get(&()).map(TurnQueue::waiting), Some(996));
        for rest in alices {
            drop(rest.await.unwrap().unwrap());
        }
        assert!(turns.lock().is_empty());
    }

    #[test]
    fn nobody_makes_room_for_who_has_as_much() {
        let mut queue = TurnQueue::new(1);
        assert!(queue.try_take());
        for ticket in 0..3 {
            queue.wait(&person("alice"), ticket);
        }
        queue.wait(&person("bob"), 10);
        assert!(!queue.make_room(&person("alice")));
        assert!(queue.make_room(&person("bob")), "alice has two more");
        queue.wait(&person("bob"), 11);
        assert!(!queue.make_room(&person("bob")));
        assert!(queue.make_room(&person("carol")));
    }
}

//! Turns at a host: how many connections may be unauthenticated there at a time, and whose is next.
//!
//! sshd's `MaxStartups 10:30:100` drops connections at random when many begin at once. Here they wait
//! instead, fairly: people take turns, and the connections of one person come in their order.
//! [`Queue`] decides and knows nothing of tasks; [`Startups`] waits.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Connections that may wait for one host.
const MAX_WAITING: usize = 4096;

/// Who waits for one host, and how many have their turn. `T` is what is handed to whoever is next.
#[derive(Debug)]
struct Queue<T> {
    /// Turns at a time.
    limit: usize,
    /// Turns taken.
    taken: usize,
    /// People who wait, the next first; each has an entry below.
    people: VecDeque<String>,
    waiting: BTreeMap<String, VecDeque<T>>,
}

impl<T> Queue<T> {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            taken: 0,
            people: VecDeque::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Takes a turn if one is free and nobody waits for it.
    fn try_take(&mut self) -> bool {
        let free = self.taken < self.limit && self.people.is_empty();
        self.taken += usize::from(free);
        free
    }

    fn wait(&mut self, person: &str, ticket: T) {
        match self.waiting.get_mut(person) {
            Some(tickets) => tickets.push_back(ticket),
            None => {
                self.people.push_back(person.to_owned());
                self.waiting
                    .insert(person.to_owned(), VecDeque::from([ticket]));
            }
        }
    }

    /// A turn is over.
    fn give_back(&mut self) {
        self.taken = self.taken.saturating_sub(1);
    }

    /// Whose turn is next, if one is free. That person's other connections go to the end.
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

    /// Forgets those who do not wait any more.
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

type Hosts = BTreeMap<SocketAddr, Queue<oneshot::Sender<Turn>>>;

/// The queues of all hosts, shared by all workers. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Startups {
    limit: usize,
    hosts: Arc<Mutex<Hosts>>,
}

/// Too many wait for a host already.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{MAX_WAITING} connections wait for this host already")]
pub(crate) struct Crowded;

impl Startups {
    /// At most `limit` turns at a time for each host.
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX).max(1),
            hosts: Arc::default(),
        }
    }

    /// Waits for a turn at this host. Whoever stops waiting is passed over.
    ///
    /// # Errors
    /// When too many wait already.
    pub(crate) async fn turn(&self, host: SocketAddr, person: &str) -> Result<Turn, Crowded> {
        loop {
            let receiver = {
                let mut hosts = self.lock();
                let queue = hosts.entry(host).or_insert_with(|| Queue::new(self.limit));
                if queue.try_take() {
                    return Ok(self.issue(host));
                }
                if queue.waiting() >= MAX_WAITING {
                    queue.retain(|sender| !sender.is_closed());
                }
                if queue.waiting() >= MAX_WAITING {
                    return Err(Crowded);
                }
                let (sender, receiver) = oneshot::channel();
                queue.wait(person, sender);
                receiver
            };
            // The queue never drops a ticket of somebody who waits; if it did, waiting anew is right.
            if let Ok(turn) = receiver.await {
                return Ok(turn);
            }
        }
    }

    /// Whether anybody else waits for this host.
    pub(crate) fn is_awaited(&self, host: SocketAddr) -> bool {
        let mut hosts = self.lock();
        hosts.get_mut(&host).is_some_and(|queue| {
            queue.retain(|sender| !sender.is_closed());
            queue.waiting() > 0
        })
    }

    fn issue(&self, host: SocketAddr) -> Turn {
        Turn {
            startups: self.clone(),
            host,
            over: false,
        }
    }

    /// A turn is over: hands it to the next who still waits.
    fn release(&self, host: SocketAddr) {
        let mut hosts = self.lock();
        if let Some(queue) = hosts.get_mut(&host) {
            queue.give_back();
        }
        loop {
            let Some(queue) = hosts.get_mut(&host) else {
                return;
            };
            if queue.is_idle() {
                hosts.remove(&host);
                return;
            }
            let Some(sender) = queue.next() else { return };
            match sender.send(self.issue(host)) {
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
    fn lock(&self) -> MutexGuard<'_, Hosts> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One unauthenticated connection at a host. Dropping it lets the next one begin.
#[derive(Debug)]
pub(crate) struct Turn {
    startups: Startups,
    host: SocketAddr,
    over: bool,
}

impl Turn {
    /// Whether somebody else waits for it.
    pub(crate) fn is_awaited(&self) -> bool {
        self.startups.is_awaited(self.host)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.over {
            self.startups.release(self.host);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const HOST: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 22);

    #[test]
    fn people_take_turns_and_each_one_keeps_the_order() {
        let mut queue = Queue::new(1);
        assert!(queue.try_take());
        for ticket in ["a1", "a2", "a3"] {
            queue.wait("alice", ticket);
        }
        queue.wait("bob", "b1");
        queue.wait("carol", "c1");
        queue.wait("bob", "b2");
        let order: Vec<_> = std::iter::from_fn(|| {
            queue.give_back();
            queue.next()
        })
        .collect();
        assert_eq!(order, ["a1", "b1", "c1", "a2", "b2", "a3"]);
    }

    #[test]
    fn nobody_overtakes_those_who_wait() {
        let mut queue = Queue::new(1);
        assert!(queue.try_take());
        queue.wait("alice", 1);
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
            let mut queue = Queue::new(limit);
            let (mut asked, mut served) = (0usize, Vec::new());
            for (step, person) in steps {
                match step {
                    0 | 1 => {
                        if queue.try_take() {
                            served.push(asked);
                        } else {
                            queue.wait(&person.to_string(), asked);
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
                // A turn is never left unused while somebody waits.
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
        let startups = Startups::new(1);
        let first = startups.turn(HOST, "alice").await.unwrap();
        let waiting = |person: &'static str| {
            let startups = startups.clone();
            tokio::spawn(async move { startups.turn(HOST, person).await.unwrap() })
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
        let startups = Startups::new(1);
        let other: SocketAddr = "127.0.0.1:2222".parse().unwrap();
        let _here = startups.turn(HOST, "alice").await.unwrap();
        let _there = startups.turn(other, "alice").await.unwrap();
        let third = startups.turn(HOST, "alice");
        let third = tokio::time::timeout(Duration::from_millis(20), third).await;
        assert!(third.is_err());
    }

    #[tokio::test]
    async fn a_crowd_is_refused_and_who_left_makes_room() {
        let startups = Startups::new(1);
        let _first = startups.turn(HOST, "alice").await.unwrap();
        let mut waiting: Vec<_> = (0..MAX_WAITING)
            .map(|_| Box::pin(startups.turn(HOST, "bob")))
            .collect();
        for turn in &mut waiting {
            let polled = tokio::time::timeout(Duration::ZERO, turn).await;
            assert!(polled.is_err());
        }
        assert_eq!(startups.turn(HOST, "carol").await.unwrap_err(), Crowded);
        waiting.pop();
        let carol = startups.turn(HOST, "carol");
        assert!(tokio::time::timeout(Duration::ZERO, carol).await.is_err());
    }
}

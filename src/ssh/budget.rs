//! How much memory the proxy may hold for clients: in all, and for each user.
//!
//! Counters and guards only. The fixed part of a connection is counted when it begins. What waits in its
//! buffers is counted while it waits, by the memory that the buffers take up.
//!
//! No connection waits for the budget. When it is used up, existing connections continue with small buffers
//! ([`FLOOR`]): each side is still read while less than that waits for the other, so a peer that reads
//! continues, perhaps slower. Only new connections are refused. The budget of one user is used up long before
//! that of all users.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::refusal::{self, Refusal};

/// What may wait for a side, or on a channel, when the budget is used up, in bytes.
pub(crate) const FLOOR: usize = 64 * 1024;

/// The fixed part of an outer connection, in bytes.
const OUTER: usize = 128 * 1024;
/// The fixed part of the connection of a host: a tunnel that is idle has small buffers.
const NODE: usize = 64 * 1024;
/// The fixed part of an inner connection and its connection to the host: the buffers of both, and what
/// may wait in them when the budget is used up.
const INNER: usize = 512 * 1024;
/// What exceeds the fixed part is counted in steps of this size, in bytes.
const STEP: usize = 64 * 1024;

/// The budget is this process's memory divided by this: the rest is for what is not counted, and for
/// buffers that have grown by doubling.
const OF_MEMORY: u64 = 2;
/// One user may hold the budget divided by this.
const OF_BUDGET: usize = 4;
/// The memory that is assumed if it is not known, in bytes.
const UNKNOWN: u64 = 2 << 30;
/// The smallest budget, in bytes: on a smaller machine, the connection limits have to protect the memory.
const LEAST: u64 = 64 << 20;

/// The budget of this process. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    all: Arc<Allowance>,
    person: usize,
    people: Arc<Mutex<BTreeMap<String, Weak<Allowance>>>>,
}

/// What one user, or all users, may hold, and what is held.
#[derive(Debug)]
struct Allowance {
    limit: usize,
    held: AtomicUsize,
}

impl Allowance {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            held: AtomicUsize::new(0),
        }
    }

    fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// At least a quarter is free, which is kept for new connections.
    fn is_ample(&self) -> bool {
        self.held() < self.limit / 4 * 3
    }

    fn change(&self, from: usize, to: usize) {
        if to > from {
            self.held.fetch_add(to - from, Ordering::Relaxed);
        } else {
            self.held.fetch_sub(from - to, Ordering::Relaxed);
        }
    }

    /// Counts `bytes` as held, if that much is free.
    fn take(&self, bytes: usize) -> bool {
        let take = |held: usize| {
            let sum = held.checked_add(bytes)?;
            (sum <= self.limit).then_some(sum)
        };
        self.held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }
}

/// Why there is no room for another connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BudgetExceeded {
    /// The user's connections hold all that one user may hold.
    Person,
    /// All connections together hold the whole budget.
    Process,
}

impl BudgetExceeded {
    /// What the user reads.
    pub(crate) fn refusal(self) -> Refusal {
        match self {
            Self::Person => refusal::too_much_memory_of_user(),
            Self::Process => refusal::too_much_memory(),
        }
    }
}

impl Budget {
    /// The budget of a process that may have so many bytes of memory, if that is known.
    pub(crate) fn new(memory: Option<u64>) -> Self {
        let all = (memory.unwrap_or(UNKNOWN) / OF_MEMORY).max(LEAST);
        let all = usize::try_from(all).unwrap_or(usize::MAX);
        Self {
            all: Arc::new(Allowance::new(all)),
            person: all / OF_BUDGET,
            people: Arc::default(),
        }
    }

    /// What may be held in all and by one person, in bytes.
    pub(crate) fn limits(&self) -> (usize, usize) {
        (self.all.limit, self.person)
    }

    /// What is held now, in bytes.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.all.held()
    }

    /// The account of this user.
    pub(crate) fn account(&self, person: &str) -> Account {
        let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        let known = people.get(person).and_then(Weak::upgrade);
        let purse = known.unwrap_or_else(|| {
            people.retain(|_, purse| purse.strong_count() > 0);
            let purse = Arc::new(Allowance::new(self.person));
            people.insert(person.to_owned(), Arc::downgrade(&purse));
            purse
        });
        Account {
            all: Arc::clone(&self.all),
            person: purse,
        }
    }
}

/// One user's part of the budget.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    all: Arc<Allowance>,
    person: Arc<Allowance>,
}

impl Account {
    /// The share of an outer connection, whose number is limited otherwise.
    pub(crate) fn outer(&self) -> Share {
        self.all.change(0, OUTER);
        self.person.change(0, OUTER);
        self.share(OUTER)
    }

    /// The share of the connection of a host, whose number is limited otherwise.
    pub(crate) fn node(&self) -> Share {
        self.all.change(0, NODE);
        self.person.change(0, NODE);
        self.share(NODE)
    }

    /// The share of an inner connection.
    ///
    /// # Errors
    /// When the budget is used up.
    pub(crate) fn inner(&self) -> Result<Share, BudgetExceeded> {
        if !self.person.take(INNER) {
            return Err(BudgetExceeded::Person);
        }
        if !self.all.take(INNER) {
            self.person.change(INNER, 0);
            return Err(BudgetExceeded::Process);
        }
        Ok(self.share(INNER))
    }

    fn share(&self, base: usize) -> Share {
        Share {
            account: self.clone(),
            base,
            counted: base,
        }
    }
}

/// What is counted for one connection. Dropping it gives everything back.
#[derive(Debug)]
pub(crate) struct Share {
    account: Account,
    base: usize,
    counted: usize,
}

impl Share {
    /// Sets how many bytes are held for the connection.
    pub(crate) fn hold(&mut self, bytes: usize) {
        // In steps, so that the counters that all share are seldom touched.
        let counted = bytes.max(self.base).next_multiple_of(STEP);
        if counted != self.counted {
            let before = std::mem::replace(&mut self.counted, counted);
            self.account.all.change(before, counted);
            self.account.person.change(before, counted);
        }
    }

    /// Whether there is enough for buffers of the usual size.
    pub(crate) fn is_ample(&self) -> bool {
        self.account.person.is_ample() && self.account.all.is_ample()
    }

    /// How many bytes may wait: `usual`, or [`FLOOR`] if the budget is used up.
    pub(crate) fn room(&self, usual: usize) -> usize {
        if self.is_ample() {
            usual
        } else {
            usual.min(FLOOR)
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.account.all.change(self.counted, 0);
        self.account.person.change(self.counted, 0);
    }
}

#[cfg(test)]
impl Share {
    /// A share of a budget that no other connection uses.
    pub(crate) fn alone() -> Self {
        let account = Budget::new(None).account("alice");
        account.inner().unwrap()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: usize = 1 << 20;

    /// 1 GiB for the process: 512 MiB for all, 128 MiB for each.
    fn budget() -> Budget {
        Budget::new(Some(1 << 30))
    }

    #[test]
    fn it_follows_the_memory_that_there_is() {
        assert_eq!(budget().limits(), (512 * MIB, 128 * MIB));
        assert_eq!(Budget::new(None).limits(), (1024 * MIB, 256 * MIB));
        assert_eq!(Budget::new(Some(1)).limits(), (64 * MIB, 16 * MIB));
    }

    #[test]
    fn what_is_held_is_counted_and_given_back() {
        let budget = budget();
        let account = budget.account("alice");
        let outer = account.outer();
        let mut inner = account.inner().unwrap();
        assert_eq!(budget.held(), OUTER + INNER);
        inner.hold(INNER / 2);
        assert_eq!(budget.held(), OUTER + INNER, "that is counted in any case");
        inner.hold(3 * MIB + 1);
        assert_eq!(budget.held(), OUTER + 3 * MIB + STEP);
        inner.hold(0);
        assert_eq!(budget.held(), OUTER + INNER);
        inner.hold(MIB);
        drop((inner, outer));
        assert_eq!(budget.held(), 0);
        assert_eq!(account.person.held(), 0);
    }

    #[test]
    fn who_holds_much_has_small_buffers_and_others_have_not() {
        let budget = budget();
        let mut greedy = budget.account("mallory").inner().unwrap();
        let modest = budget.account("alice").inner().unwrap();
        assert_eq!(greedy.room(2 * MIB), 2 * MIB);
        greedy.hold(100 * MIB);
        assert_eq!(greedy.room(2 * MIB), FLOOR);
        assert_eq!(greedy.room(1000), 1000);
        assert!(modest.is_ample());
        greedy.hold(10 * MIB);
        assert!(greedy.is_ample());
    }

    #[test]
    fn all_connections_of_a_person_have_one_account() {
        let budget = budget();
        let mut first = budget.account("mallory").inner().unwrap();
        let second = budget.account("mallory").inner().unwrap();
        first.hold(100 * MIB);
        assert!(!second.is_ample());
        assert_eq!(budget.account("alice").person.held(), 0);
        drop((first, second));
        assert_eq!(budget.account("mallory").person.held(), 0);
        assert_eq!(budget.people.lock().unwrap().len(), 1, "nobody is kept");
    }

    #[test]
    fn connections_that_would_be_new_are_refused_and_no_others() {
        let budget = budget();
        let account = budget.account("mallory");
        let mut held = Vec::new();
        let spent = loop {
            match account.inner() {
                Ok(share) => held.push(share),
                Err(spent) => break spent,
            }
        };
        assert_eq!(spent, BudgetExceeded::Person);
        assert_eq!(held.len(), 128 * MIB / INNER);
        let alice = budget.account("alice").inner().unwrap();
        assert!(alice.is_ample());
        held.pop();
        account.inner().unwrap();
    }

    #[test]
    fn people_together_leave_room_for_connections_to_come() {
        let budget = budget();
        let mut held = Vec::new();
        for number in 0..4 {
            let mut share = budget.account(&format!("mallory{number}")).inner().unwrap();
            share.hold(96 * MIB);
            held.push(share);
        }
        let alice = budget.account("alice").inner().unwrap();
        assert_eq!(alice.room(2 * MIB), FLOOR, "slower, but there");
        for share in &mut held {
            share.hold(127 * MIB);
        }
        let mut last = Vec::new();
        let bob = budget.account("bob");
        let spent = loop {
            match bob.inner() {
                Ok(share) => last.push(share),
                Err(spent) => break spent,
            }
        };
        assert_eq!(spent, BudgetExceeded::Process);
        assert_eq!(bob.person.held(), last.len() * INNER, "nothing is lost");
    }

    proptest! {
        #[test]
        fn the_sum_is_that_of_the_shares(
            steps in proptest::collection::vec((0_usize..4, 0_usize..200 * MIB, any::<bool>()), 0..50),
        ) {
            let budget = budget();
            let mut shares: Vec<Option<Share>> = (0..4).map(|_| None).collect();
            for (which, bytes, ends) in steps {
                let person = if which < 2 { "alice" } else { "bob" };
                let share = &mut shares[which];
                if ends {
                    *share = None;
                } else if let Some(share) = share {
                    share.hold(bytes);
                } else {
                    *share = budget.account(person).inner().ok();
                }
                let sum: usize = shares.iter().flatten().map(|share| share.counted).sum();
                prop_assert_eq!(budget.held(), sum);
            }
            drop(shares);
            prop_assert_eq!(budget.held(), 0);
        }
    }
}

//! Who runs beside whom: a test that needs the whole machine has it for itself.
//!
//! Hundreds of processes at once would have every neighbour miss its time limits, and tell nothing
//! about it.

use std::cell::Cell;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

static CROWD: Mutex<Crowd> = Mutex::new(Crowd {
    worlds: 0,
    wants_all: false,
});
static CHANGED: Condvar = Condvar::new();

thread_local! {
    /// Worlds of this thread's test: the second one of a test never waits for somebody who waits for
    /// the first.
    static MINE: Cell<usize> = const { Cell::new(0) };
}

#[derive(Debug)]
struct Crowd {
    worlds: usize,
    wants_all: bool,
}

fn crowd() -> MutexGuard<'static, Crowd> {
    CROWD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait_while(condition: impl Fn(&Crowd) -> bool) -> MutexGuard<'static, Crowd> {
    CHANGED
        .wait_while(crowd(), |crowd| condition(crowd))
        .unwrap_or_else(PoisonError::into_inner)
}

/// A place on the machine, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    alone: bool,
}

impl Place {
    /// Among others, once nobody has the machine or waits for it.
    pub(crate) fn among_others() -> Self {
        let is_first = MINE.get() == 0;
        let mut crowd = wait_while(|crowd| is_first && crowd.wants_all);
        crowd.worlds += 1;
        MINE.set(MINE.get() + 1);
        Self { alone: false }
    }

    /// The whole machine, once the others have left.
    pub(crate) fn alone() -> Self {
        assert_eq!(MINE.get(), 0, "a test that wants it all has one world");
        wait_while(|crowd| crowd.wants_all).wants_all = true;
        drop(wait_while(|crowd| crowd.worlds > 0));
        MINE.set(1);
        Self { alone: true }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut crowd = crowd();
        if self.alone {
            crowd.wants_all = false;
        } else {
            crowd.worlds -= 1;
        }
        MINE.set(MINE.get().saturating_sub(1));
        drop(crowd);
        CHANGED.notify_all();
    }
}

#[test]
fn whoever_wants_the_machine_has_it_alone() {
    use std::sync::atomic::{AtomicBool, Ordering};
    static ALONE: AtomicBool = AtomicBool::new(false);
    let first = Place::among_others();
    let greedy = std::thread::spawn(|| {
        let _place = Place::alone();
        ALONE.store(true, Ordering::SeqCst);
        std::thread::sleep(std::time::Duration::from_millis(50));
        ALONE.store(false, Ordering::SeqCst);
    });
    std::thread::sleep(std::time::Duration::from_millis(50));
    // The test's own second world does not wait, also while somebody waits for the first.
    let second = Place::among_others();
    assert!(!ALONE.load(Ordering::SeqCst));
    drop((first, second));
    let third = Place::among_others();
    assert!(!ALONE.load(Ordering::SeqCst));
    drop(third);
    greedy.join().expect("it got its turn");
}

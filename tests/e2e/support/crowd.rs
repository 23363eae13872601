//! Which tests run at the same time: a test that needs the whole machine has it for itself.
//!
//! With hundreds of processes at once, other tests would exceed their time limits without a fault
//! of their own. Other tests do not wait for such a test before it has begun: it begins when no
//! other test runs, possibly at the end.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// All worlds of all tests.
static CROWD: Crowd = Crowd::new();

#[derive(Debug)]
struct Crowd {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    worlds: usize,
    is_taken: bool,
}

impl Crowd {
    const fn new() -> Self {
        Self {
            state: Mutex::new(State {
                worlds: 0,
                is_taken: false,
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, condition: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        self.changed
            .wait_while(self.lock(), |state| condition(state))
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn among_others(&'static self) -> Place {
        self.wait_while(|state| state.is_taken).worlds += 1;
        Place(self)
    }

    fn alone(&'static self) -> Place {
        let mut state = self.wait_while(|state| state.worlds > 0);
        state.worlds = 1;
        state.is_taken = true;
        Place(self)
    }
}

/// A place on the machine, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place(&'static Crowd);

impl Place {
    /// Among others.
    pub(crate) fn among_others() -> Self {
        CROWD.among_others()
    }

    /// The whole machine.
    pub(crate) fn alone() -> Self {
        CROWD.alone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.worlds -= 1;
        // A test that was alone has no other beside it.
        state.is_taken = false;
        drop(state);
        self.0.changed.notify_all();
    }
}

#[test]
fn whoever_has_the_machine_has_it_alone() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static CROWD: Crowd = Crowd::new();
    static OTHERS: AtomicUsize = AtomicUsize::new(0);
    let mut tests = Vec::new();
    for number in 0..12 {
        tests.push(std::thread::spawn(move || {
            if number % 4 == 0 {
                let _place = CROWD.alone();
                assert_eq!(OTHERS.load(Ordering::SeqCst), 0);
                std::thread::sleep(std::time::Duration::from_millis(5));
                assert_eq!(OTHERS.load(Ordering::SeqCst), 0);
            } else {
                // A test may have two worlds.
                let _places = (CROWD.among_others(), CROWD.among_others());
                OTHERS.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(5));
                OTHERS.fetch_sub(1, Ordering::SeqCst);
            }
        }));
    }
    for test in tests {
        test.join().expect("nobody else was there");
    }
}

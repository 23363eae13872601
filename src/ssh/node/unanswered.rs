//! How many questions of one host may be unanswered at a time: all hosts share the line for the process that
//! decides about them, and none may fill it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::NodeId;
use crate::ssh::waiting_line::AskError;

/// Questions of one node. Its script has one connection for each report and one for its tunnel, and each asks
/// for one thing at a time.
const OF_NODE: usize = 16;
/// Questions of all hosts at one address whose key is no node's: many may join at a time.
const OF_STRANGERS: usize = 256;
/// Proofs of all hosts at one address, an eighth of the line: after a restart of the proxy, a whole network
/// behind one address proves its keys. Strangers that ask for something else do not use it up.
const PROOFS: usize = 512;

/// Whose questions are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Asker {
    /// A node that has proved its key.
    Node(NodeId),
    /// All hosts of a network that have proved a key that is no node's.
    Strangers(IpAddr),
    /// All hosts of a network that have proved nothing yet.
    Unproved(IpAddr),
}

impl Asker {
    const fn most(self) -> usize {
        match self {
            Self::Node(_) => OF_NODE,
            Self::Strangers(_) => OF_STRANGERS,
            Self::Unproved(_) => PROOFS,
        }
    }

    /// As an error says it.
    const fn name(self) -> &'static str {
        match self {
            Self::Node(_) => "this node",
            Self::Strangers(_) => "hosts at this address that have not joined",
            Self::Unproved(_) => "hosts at this address",
        }
    }
}

/// The questions that are unanswered. Clones share them. There are no more entries than questions.
#[derive(Clone, Debug, Default)]
pub(super) struct Unanswered(Arc<Mutex<HashMap<Asker, usize>>>);

/// One question, until it is dropped.
#[derive(Debug)]
pub(super) struct UnansweredQuestion {
    unanswered: Unanswered,
    asker: Asker,
}

impl Unanswered {
    fn lock(&self) -> MutexGuard<'_, HashMap<Asker, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more question.
    ///
    /// # Errors
    /// [`AskError::TooManyOf`].
    pub(super) fn take(&self, asker: Asker) -> Result<UnansweredQuestion, AskError> {
        let mut counts = self.lock();
        let count = counts.entry(asker).or_default();
        if *count >= asker.most() {
            return Err(AskError::TooManyOf(asker.name()));
        }
        *count += 1;
        drop(counts);
        Ok(UnansweredQuestion {
            unanswered: self.clone(),
            asker,
        })
    }
}

impl Drop for UnansweredQuestion {
    fn drop(&mut self) {
        let mut counts = self.unanswered.lock();
        if let Some(count) = counts.get_mut(&self.asker) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.asker);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_remembered_of_what_is_answered() {
        let unanswered = Unanswered::default();
        let network = IpAddr::from([192, 0, 2, 1]);
        for asker in [
            Asker::Node(NodeId::new()),
            Asker::Strangers(network),
            Asker::Unproved(network),
        ] {
            let taken: Vec<_> = (0..asker.most()).map(|_| unanswered.take(asker)).collect();
            assert!(taken.iter().all(Result::is_ok));
            let refused = unanswered.take(asker).unwrap_err().to_string();
            assert!(refused.contains(asker.name()), "{refused}");
            unanswered.take(Asker::Node(NodeId::new())).unwrap();
            drop(taken);
            assert!(unanswered.lock().is_empty());
        }
    }
}

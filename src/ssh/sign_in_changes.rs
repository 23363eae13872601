//! The sign-ins that have ended before they expire: connections that were made with them end too.

use std::collections::{HashMap, VecDeque};

use uuid::Uuid;

use crate::ipc::{EndedSignIn, SignInEnd};

/// How many are remembered. A connection that lives reads each end when it is announced; an older end
/// matters only to a connection that began while it was announced.
const MAX_ENDED: usize = 65_536;

/// The sign-ins that have ended, the latest of them.
#[derive(Clone, Debug, Default)]
pub struct EndedSignIns {
    reasons: HashMap<Uuid, SignInEnd>,
    /// In the order of their ends.
    order: VecDeque<Uuid>,
}

impl EndedSignIns {
    /// Adds these. The first reason that was given for an end stays. Returns whether any is new.
    pub fn add(&mut self, ended: impl IntoIterator<Item = EndedSignIn>) -> bool {
        let mut has_more = false;
        for EndedSignIn { id, reason, .. } in ended {
            if self.reasons.contains_key(&id) {
                continue;
            }
            if self.order.len() >= MAX_ENDED
                && let Some(oldest) = self.order.pop_front()
            {
                self.reasons.remove(&oldest);
            }
            self.reasons.insert(id, reason);
            self.order.push_back(id);
            has_more = true;
        }
        has_more
    }

    /// Why a sign-in has ended; `None` if that is not known.
    #[must_use]
    pub fn reason(&self, id: Uuid) -> Option<SignInEnd> {
        self.reasons.get(&id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(id: Uuid, reason: SignInEnd) -> EndedSignIn {
        EndedSignIn {
            number: 1,
            id,
            reason,
        }
    }

    #[test]
    fn the_first_reason_stays() {
        let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
        let mut ended = EndedSignIns::default();
        assert!(ended.add([end(one, SignInEnd::Locked)]));
        assert!(!ended.add([end(one, SignInEnd::Logout)]));
        assert_eq!(ended.reason(one), Some(SignInEnd::Locked));
        assert_eq!(ended.reason(other), None);
    }

    #[test]
    fn memory_is_bounded_and_the_latest_are_known() {
        let mut ended = EndedSignIns::default();
        let ids: Vec<_> = (0..MAX_ENDED + 10).map(|_| Uuid::now_v7()).collect();
        assert!(ended.add(ids.iter().map(|id| end(*id, SignInEnd::Removed))));
        assert_eq!(ended.reasons.len(), MAX_ENDED);
        assert_eq!(ended.reason(ids[9]), None);
        assert_eq!(ended.reason(ids[10]), Some(SignInEnd::Removed));
    }
}

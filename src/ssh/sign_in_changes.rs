//! What has become of sign-ins before they expire. If one has ended, connections that were made with it end
//! too; if its user has other roles or logins, these connections are judged again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use crate::ipc::{SignInChange, SignInEnd, SignInNews, UserAccess};

/// How many sign-ins are remembered. A connection that lives reads each change when it is announced; an
/// older change matters only to a connection that began while it was announced.
const MAX_CHANGED: usize = 65_536;

/// The sign-ins that have changed, the latest of them.
#[derive(Clone, Debug, Default)]
pub struct SignInChanges {
    changed: HashMap<Uuid, Changed>,
    /// In the order of their first changes.
    order: VecDeque<Uuid>,
    /// The number of the latest change.
    last: u64,
}

/// What has become of one sign-in.
#[derive(Clone, Debug, Default)]
struct Changed {
    ended: Option<SignInEnd>,
    /// The last one, with its number.
    access: Option<(u64, Arc<UserAccess>)>,
}

impl SignInChanges {
    /// Adds these. The first reason that was given for an end stays, and the last access. Returns whether
    /// any is new.
    pub fn add(&mut self, changes: impl IntoIterator<Item = SignInChange>) -> bool {
        let mut has_more = false;
        for SignInChange { number, id, what } in changes {
            self.last = self.last.max(number);
            if !self.changed.contains_key(&id) {
                self.make_room();
                self.order.push_back(id);
            }
            let changed = self.changed.entry(id).or_default();
            has_more |= match what {
                SignInNews::Ended(reason) => {
                    let is_new = changed.ended.is_none();
                    changed.ended.get_or_insert(reason);
                    is_new
                }
                SignInNews::Access(access) => {
                    let known = changed.access.as_ref().map(|(_, access)| &**access);
                    let is_new = known != Some(&access);
                    changed.access = Some((number, Arc::new(access)));
                    is_new
                }
            };
        }
        has_more
    }

    fn make_room(&mut self) {
        if self.order.len() >= MAX_CHANGED
            && let Some(oldest) = self.order.pop_front()
        {
            self.changed.remove(&oldest);
        }
    }

    /// Why a sign-in has ended; `None` if that is not known.
    #[must_use]
    pub fn reason(&self, id: Uuid) -> Option<SignInEnd> {
        self.changed.get(&id)?.ended
    }

    /// The number of the latest change that is known. What the state says later includes it.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// What the user of a sign-in may do, if that has changed after the change of this number.
    #[must_use]
    pub fn access(&self, id: Uuid, after: u64) -> Option<Arc<UserAccess>> {
        let (number, access) = self.changed.get(&id)?.access.as_ref()?;
        (*number > after).then(|| Arc::clone(access))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(id: Uuid, reason: SignInEnd) -> SignInChange {
        SignInChange {
            number: 1,
            id,
            what: SignInNews::Ended(reason),
        }
    }

    fn access(id: Uuid, role: &str) -> SignInChange {
        let access = UserAccess {
            roles: vec![role.to_owned()],
            logins: None,
        };
        SignInChange {
            number: 1,
            id,
            what: SignInNews::Access(access),
        }
    }

    #[test]
    fn the_last_access_counts_and_is_no_end() {
        let id = Uuid::now_v7();
        let mut changes = SignInChanges::default();
        assert!(changes.add([access(id, "dba"), access(id, "web")]));
        assert!(!changes.add([access(id, "web")]));
        assert_eq!(changes.access(id, 0).unwrap().roles, ["web"]);
        // Who has signed in since then has been told so by the state.
        assert_eq!(changes.access(id, changes.last()), None);
        assert_eq!(changes.reason(id), None);
        assert!(changes.add([end(id, SignInEnd::Logout)]));
        assert_eq!(changes.reason(id), Some(SignInEnd::Logout));
    }

    #[test]
    fn the_first_reason_stays() {
        let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
        let mut ended = SignInChanges::default();
        assert!(ended.add([end(one, SignInEnd::Locked)]));
        assert!(!ended.add([end(one, SignInEnd::Logout)]));
        assert_eq!(ended.reason(one), Some(SignInEnd::Locked));
        assert_eq!(ended.reason(other), None);
    }

    #[test]
    fn memory_is_bounded_and_the_latest_are_known() {
        let mut ended = SignInChanges::default();
        let ids: Vec<_> = (0..MAX_CHANGED + 10).map(|_| Uuid::now_v7()).collect();
        assert!(ended.add(ids.iter().map(|id| end(*id, SignInEnd::Removed))));
        assert_eq!(ended.changed.len(), MAX_CHANGED);
        assert_eq!(ended.reason(ids[9]), None);
        assert_eq!(ended.reason(ids[10]), Some(SignInEnd::Removed));
    }
}

//! Which hosts have answered recently. If one of them refuses connections, it may be restarting its
//! sshd, and is dialled again; a host that has never answered is not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::HostAddress;

/// How long sshd may take to listen again.
const RESTART: Duration = Duration::from_secs(5);
/// How long an answer counts.
const LATELY: Duration = Duration::from_secs(60 * 60);
/// Hosts that are remembered.
const MAX_HOSTS: usize = 16 * 1024;

/// One host.
#[derive(Clone, Copy, Debug)]
struct HostState {
    answered: Instant,
    /// Since when it refuses connections, if it does.
    refuses: Option<Instant>,
}

/// What is known of all hosts, shared by all workers. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecentlyReachable {
    hosts: Arc<Mutex<BTreeMap<HostAddress, HostState>>>,
}

impl RecentlyReachable {
    /// A host has said something.
    pub(crate) fn note(&self, host: HostAddress, now: Instant) {
        let mut hosts = self.lock();
        if hosts.len() >= MAX_HOSTS {
            hosts.retain(|_, host| now < host.answered + LATELY);
        }
        if hosts.len() < MAX_HOSTS || hosts.contains_key(&host) {
            let fresh = HostState {
                answered: now,
                refuses: None,
            };
            hosts.insert(host, fresh);
        }
    }

    /// A host has refused a connection; whether it is worth another try. The time for that begins
    /// with the first refusal.
    pub(crate) fn may_be_restarting(&self, host: HostAddress, now: Instant) -> bool {
        let mut hosts = self.lock();
        let Some(known) = hosts.get_mut(&host) else {
            return false;
        };
        let since = *known.refuses.get_or_insert(now);
        let may = now < since + RESTART && now < known.answered + LATELY;
        if !may {
            hosts.remove(&host);
        }
        may
    }

    /// A panic elsewhere cannot leave the map half changed: no method calls out while it has it.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<HostAddress, HostState>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn host(port: u16) -> HostAddress {
        SocketAddr::from(([192, 0, 2, 1], port)).into()
    }

    #[test]
    fn only_a_host_that_has_answered_lately_is_worth_another_try() {
        let (answered, start) = (RecentlyReachable::default(), Instant::now());
        assert!(!answered.may_be_restarting(host(1), start));
        answered.note(host(1), start);
        assert!(!answered.may_be_restarting(host(2), start));
        assert!(answered.may_be_restarting(host(1), start + seconds(3_000)));
        answered.note(host(1), start);
        assert!(!answered.may_be_restarting(host(1), start + LATELY));
    }

    #[test]
    fn nobody_waits_for_it_longer_than_sshd_takes_to_restart() {
        let (answered, start) = (RecentlyReachable::default(), Instant::now());
        answered.note(host(1), start);
        assert!(answered.may_be_restarting(host(1), start + seconds(10)));
        assert!(answered.may_be_restarting(host(1), start + seconds(14)));
        assert!(!answered.may_be_restarting(host(1), start + seconds(15)));
        assert!(
            !answered.may_be_restarting(host(1), start + seconds(16)),
            "those who come later do not wait either"
        );
        answered.note(host(1), start + seconds(20));
        assert!(answered.may_be_restarting(host(1), start + seconds(21)));
    }

    #[test]
    fn it_remembers_no_more_than_it_may() {
        let (answered, start) = (RecentlyReachable::default(), Instant::now());
        for number in (0..).take(MAX_HOSTS + 1) {
            let address = std::net::Ipv4Addr::from_bits(number);
            answered.note(SocketAddr::from((address, 22)).into(), start);
        }
        assert_eq!(answered.lock().len(), MAX_HOSTS);
        answered.note(host(1), start + LATELY);
        assert_eq!(answered.lock().len(), 1);
    }
}

//! The service for the proxies that share the state: each is known by the host key and the address that its
//! worker announces, under an id that the worker cannot choose.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ssh_key::PublicKey;
use uuid::Uuid;

use crate::ipc::{Announcement, CallRefusal, CallerProcess, PeerProxy, PeersAnswer, PeersRequest};
use crate::model::{NodeId, chain};
use crate::state::{ProxyRow, State, StateError};
use crate::sys::clock::monotonic;

/// After how many seconds a proxy that has announced nothing is no longer believed to be there: it says so
/// every ten seconds.
const STALE: u64 = 30;
/// Longest address, in bytes: a host name, a colon and a port.
const MAX_ADDRESS: usize = 300;

/// How often a process may announce itself within [`ANNOUNCED_FOR`]: it does so every ten seconds, and when it
/// closes.
const MOST_ANNOUNCED: u32 = 30;
/// For how long announcements are counted.
const ANNOUNCED_FOR: Duration = Duration::from_secs(60);

/// What comes of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PeersDecision {
    /// This is answered.
    Answered(PeersAnswer),
    /// The caller does not get it, for this reason: an attacker may have taken it over.
    Refused(&'static str, CallRefusal),
}

impl From<PeersAnswer> for PeersDecision {
    fn from(answer: PeersAnswer) -> Self {
        Self::Answered(answer)
    }
}

/// What a process of this proxy has announced.
#[derive(Debug)]
struct OwnProcess {
    key: String,
    /// How often, since when by the monotonic clock.
    announced: u32,
    since: Duration,
}

/// Answers what proxies ask about each other. Each serving process is one of them; its tunnels are written
/// down under the same id.
#[derive(Debug)]
pub(super) struct PeersService {
    state: State,
    /// The processes of this proxy.
    own: Mutex<BTreeMap<CallerProcess, OwnProcess>>,
}

impl PeersService {
    /// Proxies are those in `state`.
    pub(super) fn new(state: State) -> Self {
        Self {
            state,
            own: Mutex::default(),
        }
    }

    fn own(&self) -> MutexGuard<'_, BTreeMap<CallerProcess, OwnProcess>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request of a process, which is known to others under `id`.
    pub(super) fn answer(
        &self,
        (caller, id): (&CallerProcess, Uuid),
        request: PeersRequest,
    ) -> PeersDecision {
        let decided = match request {
            PeersRequest::Announce(announcement) => self.announce((caller, id), announcement),
            PeersRequest::Find(node) => self.find(id, node).map(|at| PeersAnswer::Found(at).into()),
            PeersRequest::Knows(key) => self
                .knows(id, &key)
                .map(|is_known| PeersAnswer::Known(is_known).into()),
        };
        decided.unwrap_or_else(|error| {
            let error = chain(&error);
            tracing::warn!(%error, "no answer about other proxies");
            PeersAnswer::Unavailable.into()
        })
    }

    /// Forgets a process that has exited.
    pub(super) fn forget(&self, caller: &CallerProcess) {
        self.own().remove(caller);
    }

    fn announce(
        &self,
        (caller, id): (&CallerProcess, Uuid),
        announcement: Announcement,
    ) -> Result<PeersDecision, StateError> {
        let Announcement { address, key } = announcement;
        if address
            .as_deref()
            .is_some_and(|address| !is_address(address))
        {
            return Ok(PeersDecision::Refused("malformed", CallRefusal::Forbidden));
        }
        let address = address.unwrap_or_default();
        let key = line(&key);
        if !self.note(caller, &key) {
            return Ok(PeersDecision::Refused("too-often", CallRefusal::Busy));
        }
        if !address.is_empty() && self.is_anothers(id, &address, &key)? {
            return Ok(PeersDecision::Refused(
                "not-allowed",
                CallRefusal::Forbidden,
            ));
        }
        self.state.proxies().announce(&ProxyRow {
            id,
            address,
            key,
            seen: self.state.now(),
        })?;
        Ok(PeersAnswer::Noted.into())
    }

    /// Counts an announcement; `false` if it is one too many. The key counts as one of this proxy from now on.
    fn note(&self, caller: &CallerProcess, key: &str) -> bool {
        let now = monotonic();
        let mut own = self.own();
        let process = own.entry(caller.clone()).or_insert_with(|| OwnProcess {
            key: String::new(),
            announced: 0,
            since: now,
        });
        if now.saturating_sub(process.since) >= ANNOUNCED_FOR {
            (process.announced, process.since) = (0, now);
        }
        process.announced = process.announced.saturating_add(1);
        if process.announced > MOST_ANNOUNCED {
            return false;
        }
        key.clone_into(&mut process.key);
        true
    }

    /// Whether another proxy that is alive has announced this key for another address. Under another id and the
    /// same address, it is this one: an auth process of before has given the id.
    fn is_anothers(&self, id: Uuid, address: &str, key: &str) -> Result<bool, StateError> {
        let since = self.alive_since();
        Ok(self.state.proxies().list()?.iter().any(|proxy| {
            let is_elsewhere = !proxy.address.is_empty() && proxy.address != address;
            proxy.id != id && proxy.key == key && is_elsewhere && proxy.seen >= since
        }))
    }

    fn alive_since(&self) -> u64 {
        self.state.now().saturating_sub(STALE)
    }

    /// The other proxy with the newest tunnel of a node, if that is alive and has an address.
    fn find(&self, id: Uuid, node: NodeId) -> Result<Option<PeerProxy>, StateError> {
        let Some(tunnel) = self.state.nodes().tunnel_of(node)? else {
            return Ok(None);
        };
        let others = self.others(id)?;
        let found = others.into_iter().find(|proxy| proxy.id == tunnel.proxy);
        let found = found.filter(|proxy| !proxy.address.is_empty());
        Ok(found.and_then(|proxy| {
            let key = PublicKey::from_openssh(&proxy.key).ok()?;
            Some(PeerProxy {
                address: proxy.address,
                key,
            })
        }))
    }

    fn knows(&self, id: Uuid, key: &PublicKey) -> Result<bool, StateError> {
        let key = line(key);
        Ok(self.others(id)?.iter().any(|proxy| proxy.key == key))
    }

    /// The proxies that are alive, other than the one with this id. Not those with a key of this proxy: under an
    /// id that an auth process of before has given, it is no other one.
    fn others(&self, id: Uuid) -> Result<Vec<ProxyRow>, StateError> {
        let since = self.alive_since();
        let mut all = self.state.proxies().list()?;
        let own = self.own();
        all.retain(|proxy| {
            let is_own = own.values().any(|process| process.key == proxy.key);
            proxy.id != id && proxy.seen >= since && !is_own
        });
        Ok(all)
    }
}

/// Whether this is `host:port`, and not longer than a host name with a port.
fn is_address(text: &str) -> bool {
    let port = text.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    let is_graphic = text.bytes().all(|byte| byte.is_ascii_graphic());
    text.len() <= MAX_ADDRESS
        && is_graphic
        && !text.starts_with(':')
        && matches!(port, Some(Ok(port)) if port != 0)
}

/// Type and key, without a comment.
fn line(key: &PublicKey) -> String {
    let key = PublicKey::from(key.key_data().clone());
    // A key that was read can be written.
    key.to_openssh().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cert::testing::ed25519;
    use crate::model::TunnelRule;
    use crate::state::testing::{NOW, on_both};
    use crate::state::{JoinedNode, Token};

    fn worker(pid: i32) -> CallerProcess {
        CallerProcess {
            kind: "worker".to_owned(),
            pid,
        }
    }

    fn answered(decision: PeersDecision) -> PeersAnswer {
        match decision {
            PeersDecision::Answered(answer) => answer,
            refused => panic!("{refused:?}"),
        }
    }

    /// A proxy on the state of the others.
    struct TestProxy {
        service: PeersService,
        id: Uuid,
        key: PublicKey,
        address: Option<String>,
    }

    impl TestProxy {
        fn new(state: &State, address: Option<&str>) -> Self {
            Self {
                service: PeersService::new(state.clone()),
                id: Uuid::now_v7(),
                key: ed25519().public_key().clone(),
                address: address.map(str::to_owned),
            }
        }

        fn ask(&self, request: PeersRequest) -> PeersAnswer {
            answered(self.service.answer((&worker(1), self.id), request))
        }

        /// Announces this key and address; the reason, if it is refused.
        fn announces(&self, key: &PublicKey, address: Option<&str>) -> Option<&'static str> {
            let announcement = PeersRequest::Announce(Announcement {
                address: address.map(str::to_owned),
                key: key.clone(),
            });
            match self.service.answer((&worker(1), self.id), announcement) {
                PeersDecision::Answered(_) => None,
                PeersDecision::Refused(reason, _) => Some(reason),
            }
        }

        fn announce(&self) {
            let announcement = Announcement {
                address: self.address.clone(),
                key: self.key.clone(),
            };
            assert_eq!(
                self.ask(PeersRequest::Announce(announcement)),
                PeersAnswer::Noted
            );
        }

        fn knows(&self, other: &Self) -> bool {
            match self.ask(PeersRequest::Knows(other.key.clone())) {
                PeersAnswer::Known(is_known) => is_known,
                answer => panic!("{answer:?}"),
            }
        }

        fn find(&self, node: NodeId) -> Option<PeerProxy> {
            match self.ask(PeersRequest::Find(node)) {
                PeersAnswer::Found(found) => found,
                answer => panic!("{answer:?}"),
            }
        }

        fn as_peer(&self) -> Option<PeerProxy> {
            let address = self.address.clone()?;
            let key = self.key.clone();
            Some(PeerProxy { address, key })
        }

        /// The node opens a tunnel to this proxy.
        fn tunnel(&self, node: NodeId) -> u64 {
            let nodes = self.service.state.nodes();
            nodes.open_tunnel(node, self.id, NOW).unwrap()
        }

        /// It has said nothing for so many seconds.
        fn is_silent_for(&self, seconds: u64) {
            let proxies = self.service.state.proxies();
            let all = proxies.list().unwrap();
            let row = all.into_iter().find(|row| row.id == self.id);
            let seen = NOW - seconds;
            proxies
                .announce(&ProxyRow {
                    seen,
                    ..row.unwrap()
                })
                .unwrap();
        }
    }

    fn joined(state: &State) -> NodeId {
        let token = Token {
            id: Uuid::now_v7(),
            hash: "t".to_owned(),
            names: Vec::new(),
            labels: Vec::new(),
            tunnel: TunnelRule::Required,
            uses: 1,
            created: NOW,
            expires: NOW + 60,
            created_by: "root".to_owned(),
        };
        state.tokens().put(&token).unwrap();
        let node = JoinedNode {
            id: NodeId::new(),
            name: "db1".to_owned(),
            names: vec!["db1".to_owned()],
            key: "ssh-ed25519 AAAA".to_owned(),
            fingerprint: "SHA256:AAAA".to_owned(),
            token: token.id,
            forced_labels: Vec::new(),
            labels: Vec::new(),
            tunnel: token.tunnel,
            address: "10.0.0.5".to_owned(),
            port: 22,
            joined: NOW,
            certificate: None,
            lock: None,
            heartbeat: None,
        };
        state.nodes().join(&node, &token.hash, NOW).unwrap();
        node.id
    }

    #[test]
    fn a_node_is_found_at_the_other_proxy_with_its_newest_tunnel() {
        on_both(|state| {
            let node = joined(state);
            let [a, b, c] = ["10.0.0.1:3023", "10.0.0.2:3023", "[2001:db8::3]:3023"]
                .map(|address| TestProxy::new(state, Some(address)));
            for proxy in [&a, &b, &c] {
                proxy.announce();
            }
            assert_eq!(a.find(node), None);
            let at_b = b.tunnel(node);
            assert_eq!(a.find(node), b.as_peer());
            assert_eq!(b.find(node), None, "it is there already");
            let at_c = c.tunnel(node);
            assert_eq!((a.find(node), b.find(node)), (c.as_peer(), c.as_peer()));
            state.nodes().close_tunnel(node, at_c).unwrap();
            assert_eq!(a.find(node), b.as_peer());
            state.nodes().close_tunnel(node, at_b).unwrap();
            assert_eq!(a.find(node), None);
            assert_eq!(a.find(NodeId::new()), None);
        });
    }

    #[test]
    fn a_proxy_that_is_silent_or_has_no_address_is_not_found() {
        on_both(|state| {
            let node = joined(state);
            let (a, b) = (
                TestProxy::new(state, None),
                TestProxy::new(state, Some("b:3023")),
            );
            b.tunnel(node);
            assert_eq!(a.find(node), None, "it was never announced");
            b.announce();
            assert_eq!(a.find(node), b.as_peer());
            b.is_silent_for(STALE);
            assert_eq!(a.find(node), b.as_peer());
            b.is_silent_for(STALE + 1);
            assert_eq!((a.find(node), a.knows(&b)), (None, false));
            b.announce();
            assert!(a.knows(&b));
            // One that cannot be reached can reach others.
            a.announce();
            assert!(b.knows(&a));
            a.tunnel(node);
            assert_eq!(b.find(node), None);
        });
    }

    #[test]
    fn a_key_counts_only_as_another_proxys() {
        on_both(|state| {
            let (a, b) = (
                TestProxy::new(state, Some("a:1")),
                TestProxy::new(state, Some("b:1")),
            );
            assert!(!a.knows(&b));
            a.announce();
            b.announce();
            assert!(a.knows(&b) && b.knows(&a));
            assert!(!a.knows(&a), "it is this one");
            let stranger = TestProxy::new(state, None);
            assert!(!a.knows(&stranger));
            // The auth process was replaced: under its former id, it is still this one.
            let again = TestProxy {
                key: a.key.clone(),
                ..TestProxy::new(state, Some("a:1"))
            };
            again.announce();
            assert!(!again.knows(&a) && b.knows(&again));
            // A worker that is new has another key, and the one before does not count any more.
            let newer = TestProxy {
                service: PeersService::new(state.clone()),
                id: b.id,
                key: ed25519().public_key().clone(),
                address: b.address.clone(),
            };
            newer.announce();
            assert!(a.knows(&newer) && !a.knows(&b));
        });
    }

    #[test]
    fn a_worker_that_drains_is_not_found_and_may_find_others() {
        on_both(|state| {
            let node = joined(state);
            let (old, b) = (
                TestProxy::new(state, Some("a:1")),
                TestProxy::new(state, Some("b:1")),
            );
            old.announce();
            b.announce();
            old.tunnel(node);
            assert_eq!(b.find(node), old.as_peer());
            let drains = TestProxy {
                address: None,
                ..old
            };
            drains.announce();
            assert_eq!(b.find(node), None);
            assert!(b.knows(&drains));
            // Both workers are of one proxy.
            let new = PeersRequest::Announce(Announcement {
                address: Some("a:1".to_owned()),
                key: ed25519().public_key().clone(),
            });
            let id = Uuid::now_v7();
            let ask = |request| answered(drains.service.answer((&worker(2), id), request));
            assert_eq!(ask(new), PeersAnswer::Noted);
            let knows = PeersRequest::Knows(drains.key.clone());
            assert_eq!(ask(knows.clone()), PeersAnswer::Known(false));
            drains.service.forget(&worker(1));
            assert_eq!(ask(knows), PeersAnswer::Known(true), "until it is stale");
        });
    }

    #[test]
    fn what_a_worker_announces_is_bounded() {
        on_both(|state| {
            let proxy = TestProxy::new(state, Some("a:1"));
            let long = "x".repeat(MAX_ADDRESS) + ":22";
            let strange = [
                "", ":22", "a", "a:", "a:0", "a:65536", "a:22x", "a b:22", "a\n:22",
            ];
            for address in strange.into_iter().chain([long.as_str()]) {
                let refused = proxy.announces(&proxy.key, Some(address));
                assert_eq!(refused, Some("malformed"), "{address:?}");
            }
            assert!(state.proxies().list().unwrap().is_empty());
            for _ in 0..MOST_ANNOUNCED {
                proxy.announce();
            }
            assert_eq!(state.proxies().list().unwrap().len(), 1);
            assert_eq!(proxy.announces(&proxy.key, None), Some("too-often"));
        });
    }

    /// A worker that was taken over: the key of another proxy for its own address.
    #[test]
    fn a_worker_does_not_announce_the_key_of_another_proxy() {
        on_both(|state| {
            let (a, b) = (
                TestProxy::new(state, Some("a:1")),
                TestProxy::new(state, Some("b:1")),
            );
            b.announce();
            assert_eq!(a.announces(&b.key, Some("a:1")), Some("not-allowed"));
            let all = state.proxies().list().unwrap();
            assert_eq!((all.len(), all[0].id), (1, b.id));
            // Nobody is reached at an address that is none, and this one alone takes the key for its own then.
            assert_eq!(a.announces(&b.key, None), None);
            let c = TestProxy::new(state, None);
            assert!(c.knows(&b));
            b.is_silent_for(STALE + 1);
            assert_eq!(a.announces(&b.key, Some("a:1")), None);
        });
    }
}

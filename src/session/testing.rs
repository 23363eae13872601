//! A recorder for tests of this room and of the relay.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use super::{
    Inbox, Options, Recorder, RecordingPolicy, RecordingSettings, Registry, SessionContext,
};
use crate::access::{
    self, HostWay, Identity, InnerProof, LoginPermit, Permissions, RequestedHost, Route, authorize,
};
use crate::audit::AuditLog;
use crate::cert::testing::{CertSpec, NOW, ed25519};
use crate::cert::{TrustedKeys, verify_user};
use crate::model::{ClusterName, ConnectionId, DataDir, Target};
use crate::store::Recordings;
use crate::sys::clock::Clock;

/// A permit of alice for `deploy` on `db1`; the policy permits everything.
pub(crate) fn permit() -> LoginPermit {
    let (authority, key) = (ed25519(), ed25519());
    let trusted = TrustedKeys::from(vec![authority.public_key().clone()]);
    let certificate = CertSpec::user(&key).sign(&authority);
    let verified = verify_user(&certificate, &trusted, None, NOW).unwrap();
    let route = Route {
        target: Target::from_subsystem("proxy:db1.example.com:22").unwrap(),
        node: Some("db1".to_owned()),
        place: RequestedHost {
            name: "db1".to_owned(),
            labels: Vec::new(),
            is_locked: false,
        },
        also: Vec::new(),
        host: "db1".to_owned(),
        port: 22,
        names: vec!["db1".to_owned()],
        joined: None,
        way: HostWay::Direct,
    };
    let policy = access::Policy::new("", Permissions::default(), Vec::new(), Vec::new());
    let identity = Identity::new(verified.clone());
    let from = IpAddr::from([192, 0, 2, 1]);
    let permit = authorize(&policy, &identity, route, from).unwrap();
    let login = "deploy".parse().unwrap();
    let inner = InnerProof::Certificate(Box::new(verified));
    permit.for_login(&policy, inner, login).unwrap()
}

/// A recorder whose connection is in a registry, with `recordings` and `data` below a directory.
pub(crate) fn recorder(
    directory: &Path,
    permit: LoginPermit,
    policy: RecordingPolicy,
) -> (Recorder, Registry, Inbox) {
    let clock = Clock::Fixed(NOW);
    let cluster: ClusterName = "example.test".parse().unwrap();
    let anywhere = SocketAddr::from(([192, 0, 2, 1], 22));
    let scene = SessionContext {
        connection: ConnectionId::new(),
        cluster: cluster.clone(),
        permit,
        client: anywhere,
        host_address: anywhere.into(),
        egress: Some(anywhere),
        insecure_host_key: false,
        legacy_algorithms: Vec::new(),
        said: Vec::new(),
    };
    let recording = RecordingSettings {
        store: Recordings::new(directory.join("recordings")),
        policy,
        options: Options { pty_input: false },
    };
    let registry = Registry::default();
    let (seat, inbox) = registry.enter(&scene, clock.now());
    let audit = AuditLog::open(&DataDir::new(directory.join("data")), cluster, clock).unwrap();
    let recorder = Recorder::new(recording, audit, Arc::default(), clock, scene, seat);
    (recorder, registry, inbox)
}

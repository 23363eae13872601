//! Outer connections over in-memory streams, from the limits of the listener to what a session reads.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};
use tokio::time::{sleep, timeout};

use super::*;
use crate::ca::Revoked;
use crate::net::ConnectionLimits;
use crate::ssh::peers::{PeerParts, Peers};
use crate::ssh::people_client::PeopleClient;
use crate::ssh::testing::client::{SessionSaw, TestRequest, session, stay};
use crate::ssh::testing::user::{TestUser, UserSaw};
use crate::ssh::testing::{CLIENT, GRACE, SshFixture};
use crate::ssh::tunnels::Tunnels;

/// When a connection counts as never ending.
const FOREVER: Duration = Duration::from_secs(24 * 3600);
pub(super) const LIMITS: ConnectionLimits = ConnectionLimits {
    connections: 10,
    per_address: 10,
    per_user: 10,
    starting: 10,
};
const AGENT: TestRequest = ("auth-agent-req@openssh.com", None);

/// A listener without a socket.
pub(super) struct OuterFixture {
    pub(super) proxy: SshFixture,
    services: Arc<OuterServices>,
    door: ConnectionLimiter,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl OuterFixture {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        let proxy = SshFixture::new();
        Self {
            services: Arc::new(proxy.outer()),
            proxy,
            door: ConnectionLimiter::new(limits),
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// The same, where people sign in.
    pub(super) fn with_people(self, people: PeopleClient) -> Self {
        let services = OuterServices {
            people: Some(people),
            ..self.proxy.outer()
        };
        Self {
            services: Arc::new(services),
            ..self
        }
    }

    /// The same, where other proxies share the state.
    pub(super) fn with_peers(self, peers: Peers, tunnels: Tunnels) -> Self {
        let services = OuterServices {
            peers: Some(PeerParts { peers, tunnels }),
            ..self.proxy.outer()
        };
        Self {
            services: Arc::new(services),
            ..self
        }
    }

    /// The proxy exits.
    pub(super) fn shut_down(&self) {
        self.shutdown.cancel();
    }

    /// A client at this address connects; its end of the stream.
    fn connect_from(&self, address: SocketAddr) -> DuplexStream {
        let (near, far) = duplex(1 << 20);
        self.serve(near, address);
        far
    }

    /// The listener takes this client in.
    pub(super) fn serve<S: ClientStream>(&self, near: S, address: SocketAddr) {
        let services = Arc::clone(&self.services);
        match self.door.admit(address.ip()) {
            Ok(guard) => {
                let (shutdown, tasks) = (self.shutdown.clone(), self.tasks.clone());
                self.tasks
                    .spawn(serve(services, near, address, guard, shutdown, tasks));
            }
            Err(away) => {
                self.tasks.spawn(turn_away(services, near, address, away));
            }
        }
    }

    pub(super) fn connect(&self) -> DuplexStream {
        self.connect_from(CLIENT)
    }

    /// Alice is let in.
    async fn let_in(&self) -> Leg<DuplexStream> {
        let (saw, leg) = self.proxy.user().log_in(self.connect()).await;
        assert!(saw.is_in, "{saw:?}");
        leg
    }

    /// What alice reads of a session that is asked for these things.
    pub(super) async fn session(&self, requests: &[TestRequest]) -> SessionSaw {
        let mut leg = self.let_in().await;
        session(&mut leg, requests, Some(self.proxy.alice.clone())).await
    }

    /// Waits until every connection has ended.
    async fn over(&self) {
        self.tasks.close();
        let over = timeout(FOREVER, self.tasks.wait()).await;
        over.expect("the connections end");
    }
}

/// A client that connects and never logs in.
async fn silent(user: TestUser, stream: DuplexStream) -> UserSaw {
    let pause = FOREVER;
    TestUser { pause, ..user }.log_in(stream).await.0
}

fn at(number: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, number)), 40_000)
}

#[tokio::test(start_paused = true)]
async fn a_client_with_a_certificate_is_let_in_and_its_place_is_free_when_it_leaves() {
    let limits = ConnectionLimits {
        connections: 1,
        ..LIMITS
    };
    let outer = OuterFixture::new(limits);
    outer
        .proxy
        .change(|settings| settings.listener_names = vec!["proxy.test".parse().unwrap()]);
    let (saw, leg) = outer.proxy.user().log_in(outer.connect()).await;
    assert!(saw.is_in, "{saw:?}");
    // The client may know the proxy by its address alone.
    assert_eq!(saw.names(), ["192.0.2.200", "proxy.test"]);
    drop(leg);
    outer.over().await;
    assert_eq!(outer.proxy.audited_briefly(), ["auth.success"]);
    assert!(outer.door.admit(CLIENT.ip()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_client_without_a_certificate_that_counts_is_audited_with_the_reason() {
    let outer = OuterFixture::new(LIMITS);
    let plain = TestUser {
        certificate: None,
        ..outer.proxy.user()
    };
    let foreign = crate::cert::testing::CertSpec::user(&outer.proxy.alice);
    let foreign = TestUser {
        certificate: Some(foreign.sign(&crate::cert::testing::ed25519())),
        ..outer.proxy.user()
    };
    let mut audited = Vec::new();
    for (user, reason) in [(plain, "not-a-certificate"), (foreign, "unknown-authority")] {
        let (saw, leg) = user.log_in(outer.connect()).await;
        assert!(!saw.is_in, "{saw:?}");
        drop(leg);
        sleep(GRACE).await;
        audited.push(format!("auth.failure {reason}"));
        assert_eq!(outer.proxy.audited_briefly(), audited);
    }
    // A client that shows no key is no failed login.
    let silent = tokio::spawn(silent(outer.proxy.user(), outer.connect()));
    outer.over().await;
    assert_eq!(outer.proxy.audited_briefly(), audited);
    silent.abort();
}

/// A login that the certificate does not name is one at a host, and this client has no better one.
#[tokio::test(start_paused = true)]
async fn the_login_of_another_certificate_lets_in_too() {
    let outer = OuterFixture::new(LIMITS);
    let root = TestUser {
        login: "root",
        ..outer.proxy.user()
    };
    let (saw, _leg) = root.log_in(outer.connect()).await;
    assert!(saw.is_in, "{saw:?}");
}

#[tokio::test(start_paused = true)]
async fn one_client_too_many_reads_so_and_keeps_no_other_out() {
    let limits = ConnectionLimits {
        connections: 1,
        ..LIMITS
    };
    let outer = OuterFixture::new(limits);
    let first = outer.let_in().await;
    for _ in 0..2 {
        let (saw, _) = outer.proxy.user().log_in(outer.connect()).await;
        assert!(!saw.is_in);
        let told = "too many connections: the limit is 1";
        assert!(saw.text().contains(told), "{saw:?}");
    }
    // A flood of them is one event.
    let audited = ["auth.success", "refusal too-many-connections"];
    assert_eq!(outer.proxy.audited_briefly(), audited);
    drop(first);
    sleep(GRACE).await;
    outer.let_in().await;
}

#[tokio::test(start_paused = true)]
async fn one_connection_too_many_of_a_person_is_refused_after_the_login() {
    let limits = ConnectionLimits {
        per_user: 1,
        ..LIMITS
    };
    let outer = OuterFixture::new(limits);
    let _first = outer.let_in().await;
    let (saw, _) = outer.proxy.user().log_in(outer.connect_from(at(1))).await;
    assert!(!saw.is_in);
    let told = "too many connections with certificates of your name: the limit is 1";
    assert!(saw.banners.concat().contains(told), "{saw:?}");
    let audited = outer.proxy.audited();
    let last = audited.last().unwrap();
    assert_eq!(last["reason"], "too-many-connections-of-user");
    assert_eq!(last["user"], "alice");
    assert_eq!(audited.len(), 2, "that it has logged in is not audited");
}

/// A client that has not logged in makes room for one of an address that has fewer.
#[tokio::test(start_paused = true)]
async fn a_client_that_loses_its_place_reads_why() {
    let limits = ConnectionLimits {
        starting: 2,
        ..LIMITS
    };
    let outer = OuterFixture::new(limits);
    let waiting = [(); 2].map(|()| tokio::spawn(silent(outer.proxy.user(), outer.connect())));
    sleep(Duration::from_secs(1)).await;
    let (saw, leg) = outer.proxy.user().log_in(outer.connect_from(at(1))).await;
    assert!(saw.is_in, "{saw:?}");
    drop(leg);
    outer.over().await;
    let mut displaced = 0;
    for one in waiting {
        let text = one.await.unwrap().text();
        displaced += usize::from(text.contains("clients from other addresses need their places"));
    }
    assert_eq!(displaced, 1);
    let reason = "refusal too-many-unauthenticated-connections-from-address";
    assert!(
        outer.proxy.audited_briefly().contains(&reason.to_owned()),
        "{:?}",
        outer.proxy.audited_briefly()
    );
}

/// Nothing that this proxy says would be trusted.
#[tokio::test(start_paused = true)]
async fn without_a_host_certificate_nothing_is_said() {
    let limits = ConnectionLimits {
        connections: 1,
        ..LIMITS
    };
    let outer = OuterFixture::new(limits);
    outer.proxy.host_ca.is_broken(true);
    let held = outer.door.admit(at(1).ip()).unwrap();
    let away = outer.connect();
    drop(held);
    for mut stream in [outer.connect(), away] {
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.unwrap();
        assert!(said.is_empty(), "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_stops_says_so_before_the_login_and_after_it() {
    let outer = OuterFixture::new(LIMITS);
    let starting = tokio::spawn(silent(outer.proxy.user(), outer.connect()));
    let mut leg = outer.let_in().await;
    outer.shutdown.cancel();
    assert_eq!(stay(&mut leg).await.as_deref(), Some(SHUTTING_DOWN));
    outer.over().await;
    assert_eq!(starting.await.unwrap().text(), SHUTTING_DOWN);
}

/// A session of a connection that is about to end reads why, and leads nowhere.
#[tokio::test(start_paused = true)]
async fn a_session_that_comes_while_the_proxy_stops_is_refused() {
    let outer = OuterFixture::new(LIMITS);
    let mut leg = outer.let_in().await;
    let requests = [AGENT, ("subsystem", Some("proxy:db1:22"))];
    let session = session(&mut leg, &requests, None);
    let stop = async {
        tokio::task::yield_now().await;
        outer.shutdown.cancel();
    };
    let (saw, ()) = tokio::join!(session, stop);
    let told = saw.stderr + &saw.goodbye.unwrap_or_default();
    assert!(told.contains("shutting down, connect again"), "{told}");
    assert!(!saw.opened_agent);
    drop(leg);
    outer.over().await;
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_is_revoked_ends_the_connection_with_the_reason() {
    let outer = OuterFixture::new(LIMITS);
    let mut leg = outer.let_in().await;
    outer.proxy.revoke(Revoked::of_key_id("alice".to_owned()));
    let goodbye = stay(&mut leg).await.unwrap();
    assert!(goodbye.contains("certificate revoked: stolen"), "{goodbye}");
    outer.over().await;
    let audited = ["auth.success", "refusal certificate-revoked"];
    assert_eq!(outer.proxy.audited_briefly(), audited);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_for_nothing_is_let_go_when_idle_clients_are() {
    let outer = OuterFixture::new(LIMITS);
    outer
        .proxy
        .change(|settings| settings.time.idle = Duration::from_secs(600));
    let mut leg = outer.let_in().await;
    let goodbye = stay(&mut leg).await.unwrap();
    let told = "nothing was asked for within 10m";
    assert!(goodbye.contains(told), "{goodbye}");
    let audited = ["auth.success", "refusal client-idle-timeout"];
    assert_eq!(outer.proxy.audited_briefly(), audited);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_no_more_is_lost_and_one_that_answers_is_not() {
    let outer = OuterFixture::new(LIMITS);
    outer.proxy.change(|settings| {
        settings.time.keep_alive_interval = Duration::from_secs(30);
    });
    let mut answering = outer.let_in().await;
    assert!(timeout(FOREVER, stay(&mut answering)).await.is_err());
    drop(answering);
    // This one reads nothing, so it answers nothing.
    let _silent = outer.let_in().await;
    outer.over().await;
    let audited = outer.proxy.audited_briefly();
    assert_eq!(audited.last().unwrap(), "refusal client-lost");
    assert_eq!(audited.len(), 3, "{audited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_leads_nowhere_is_told_on_the_sessions_stderr() {
    let outer = OuterFixture::new(LIMITS);
    for (name, reason, text) in [
        ("sftp", "malformed-target", "-s proxy:%h:%p"),
        ("proxy:127.0.0.1:22", "unknown-node", "127.0.0.1"),
        ("proxy:db1:443", "port-not-in-inventory", "db1"),
    ] {
        let saw = outer.session(&[AGENT, ("subsystem", Some(name))]).await;
        assert_eq!(
            (&saw.answers[..], saw.status),
            (&[true, true][..], Some(255))
        );
        assert!(saw.stderr.contains(text), "{saw:?}");
        assert!(!saw.opened_agent);
        let audited = outer.proxy.audited();
        let last = audited.last().unwrap();
        assert_eq!(
            (&last["reason"], &last["target"]),
            (&reason.into(), &name.into())
        );
    }
}

/// The permission comes first: what is not permitted is refused whether or not there is an agent.
#[tokio::test(start_paused = true)]
async fn without_a_forwarded_agent_there_is_no_connection() {
    let outer = OuterFixture::new(LIMITS);
    let saw = outer.session(&[("subsystem", Some("proxy:db1:22"))]).await;
    assert_eq!(saw.status, Some(255));
    assert!(saw.stderr.contains("ForwardAgent"), "{saw:?}");
    let saw = outer
        .session(&[("subsystem", Some("proxy:127.0.0.1:22"))])
        .await;
    assert!(!saw.stderr.contains("ForwardAgent"), "{saw:?}");
    let audited = outer.proxy.audited_briefly();
    let refusals = audited.iter().filter(|line| line.starts_with("refusal"));
    let expected = ["refusal agent-forwarding-required", "refusal unknown-node"];
    assert!(refusals.eq(expected), "{audited:?}");
}

#[tokio::test(start_paused = true)]
async fn there_is_no_shell_and_no_command() {
    let outer = OuterFixture::new(LIMITS);
    for (request, status) in [(("shell", None), 255), (("exec", Some("id")), 127)] {
        let saw = outer.session(&[request]).await;
        assert_eq!(saw.status, Some(status));
        assert!(saw.stderr.contains("there is no shell here"), "{saw:?}");
        let audited = outer.proxy.audited_briefly();
        assert_eq!(audited.last().unwrap(), "refusal no-subsystem");
    }
}

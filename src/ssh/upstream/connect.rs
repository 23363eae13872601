//! Connects to a host: waits in its queue, tries its addresses in order, and decides about the host
//! that answers.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::{Attempts, UpstreamFailure};
use super::dial::{Dial, HostDial};
use super::established::Upstream;
use super::retry::begin;
use crate::access::{HostWay, Permit, Route};
use crate::metrics::Metrics;
use crate::model::HostAddress;
use crate::net::{HandshakeQueue, QueueOwner};
use crate::ssh::dial_plan::{self, DialPlan};
use crate::ssh::expiry_warnings::HostExpiry;
use crate::ssh::known_hosts::KnownHostKeys;
use crate::ssh::leg::LegError;
use crate::ssh::refusal::{self, Refusal};
use crate::ssh::route::Router;
use crate::ssh::settings::CurrentSettings;
use crate::ssh::tunnels::TunnelError;
use crate::wire::{self, ClientConfig, Mismatch};

/// Connects to hosts, once for each permit.
#[derive(Debug)]
pub(crate) struct Dialler<D = HostDial> {
    attempts: Attempts<D>,
    router: Arc<Router>,
    settings: CurrentSettings,
    queue: HandshakeQueue,
    known: KnownHostKeys,
    expiry: HostExpiry,
    config: Arc<ClientConfig>,
    metrics: Arc<Metrics>,
}

impl<D: Dial> Dialler<D> {
    /// `queue` limits the unauthenticated connections to each host; `expiry` warns of host
    /// certificates that expire soon.
    #[must_use]
    pub(crate) fn new(
        attempts: Attempts<D>,
        router: Arc<Router>,
        settings: CurrentSettings,
        queue: HandshakeQueue,
        expiry: HostExpiry,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            attempts,
            router,
            settings,
            queue,
            known: KnownHostKeys::default(),
            expiry,
            config: Arc::default(),
            metrics,
        }
    }

    /// Where a permitted route leads, and the names that its host had when it was seen last.
    ///
    /// # Errors
    /// The refusal for the user: no address, not reachable, denied, or this proxy itself.
    pub(crate) async fn find(&self, permit: &Permit) -> Result<DialPlan, Refusal> {
        dial_plan::find(&self.router, &self.settings, &self.known, permit).await
    }

    /// Waits in the host's queue, dials the permitted route and verifies the host's certificate.
    ///
    /// # Errors
    /// The refusal for the user: not reachable, not the expected host, or a host that is denied.
    pub(crate) async fn connect(
        &self,
        permit: &Permit,
        way: &DialPlan,
    ) -> Result<Upstream<D::Stream>, Refusal> {
        let route = permit.route();
        let settings = self.settings.now();
        let config = self.client_config(route);
        self.router.learn(&settings).await;
        let mut left = settings.connect_timeout;
        let mut failed: Vec<(HostAddress, LegError)> = Vec::new();
        for address in way.addresses.iter().copied() {
            if !self.router.is_worth_dialling(route, address).await {
                continue;
            }
            self.router.may_dial(&settings, permit, address)?;
            let person = QueueOwner::Person(permit.identity().name().to_owned());
            let asked = Instant::now();
            let turn = self
                .queue
                .turn(address, &person)
                .await
                .map_err(|crowded| refusal::unreachable(route, &crowded))?;
            // The time limit begins after the queue: waiting there is not the host's fault.
            let began = Instant::now();
            self.metrics.host_turn.observe(began - asked);
            match begin(&self.attempts, route, &config, address, began + left).await {
                Ok((leg, host)) => {
                    self.known.note(address, &host);
                    self.router
                        .may_enter(&settings, permit, address, Some(host.presented()))?;
                    way.is_as_shown(&host)?;
                    self.expiry.look(route, address, &host);
                    return Ok(Upstream {
                        egress: D::egress(leg.stream()),
                        leg,
                        host,
                        address,
                        config,
                        algorithm: String::new(),
                        turn: Some(turn),
                    });
                }
                Err(UpstreamFailure::Dial(error)) => {
                    // The names shown from memory belong to the host that was first in the list of
                    // addresses, and this is another host.
                    self.known.forget(address);
                    failed.push((address, error));
                }
                Err(failure) => return Err(refused(route, failure)),
            }
            left = left.saturating_sub(began.elapsed());
            if left.is_zero() {
                break;
            }
        }
        Err(none_reached(route, failed, settings.connect_timeout))
    }

    /// The algorithms that the host is offered; more of them if its node has `legacy_algorithms`.
    fn client_config(&self, route: &Route) -> Arc<ClientConfig> {
        let settings = self.settings.now();
        let node = route.node.as_deref();
        match node.and_then(|name| settings.inventory.node(name)) {
            Some(node) if !node.legacy.is_empty() => {
                Arc::new(ClientConfig::default().with_legacy(&node.legacy))
            }
            _ => Arc::clone(&self.config),
        }
    }
}

/// The refusal after all addresses have failed so, in their order, within this time.
fn none_reached(
    route: &Route,
    mut failed: Vec<(HostAddress, LegError)>,
    limit: Duration,
) -> Refusal {
    // Only a tunnel that has ended meanwhile is not dialled at all.
    let last = failed.pop().map(|(_, error)| error);
    let last = last.unwrap_or(LegError::Tunnel(TunnelError::None));
    let mut others = failed.iter();
    let tunnel = others.find(|(address, _)| address.socket().is_none());
    match (route.way, &last, tunnel) {
        (HostWay::Tunnel(_), LegError::Tunnel(TunnelError::None), _) => {
            refusal::no_tunnel(route, limit)
        }
        (_, last, Some((_, tunnel))) => refusal::neither_way(route, tunnel, last),
        (_, last, None) => refusal::unreachable(route, last),
    }
}

/// The refusal for an attempt after which no other address is tried.
fn refused(route: &Route, failure: UpstreamFailure) -> Refusal {
    match failure {
        UpstreamFailure::Refused(no) => no,
        UpstreamFailure::NoServer(error) => refusal::no_server(route, &error),
        UpstreamFailure::Handshake(LegError::Protocol(wire::Error::Mismatch(
            Mismatch::ShortHostKey(bits),
        ))) => refusal::short_host_key(route, bits),
        UpstreamFailure::Handshake(LegError::Protocol(wire::Error::Mismatch(
            Mismatch::Algorithms(lacking),
        ))) => refusal::nothing_in_common(route, &lacking),
        UpstreamFailure::Dial(error) | UpstreamFailure::Handshake(error) => {
            refusal::unreachable(route, &error)
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::sleep;

    use super::*;
    use crate::cert::testing::ed25519;
    use crate::model::TunnelRule;
    use crate::ssh::leg::Leg;
    use crate::ssh::testing::host::{Dialled, MemoryDial, TestHost};
    use crate::ssh::testing::{CONNECT_TIMEOUT, DB1, MAX_STARTING, SshFixture, memory_channel};
    use crate::ssh::tunnels::TunnelOpener;
    use crate::wire::{ClientConfig, Transport};

    /// A connection to `db1`, or the reason why there is none.
    async fn connect(
        dialler: &Dialler<MemoryDial>,
        permit: &Permit,
    ) -> Result<Upstream<tokio::io::DuplexStream>, Refusal> {
        let way = dialler.find(permit).await?;
        dialler.connect(permit, &way).await
    }

    /// Serves the next connection as this host.
    fn serve(dial: &MemoryDial, host: &TestHost) {
        let far = dial.next_stream();
        tokio::spawn(host.clone().serve(far));
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_proves_who_it_is_is_connected_to() {
        let (proxy, dial) = (SshFixture::new(), MemoryDial::default());
        let dialler = proxy.dialler(dial.clone());
        serve(&dial, &TestHost::certified(&proxy.host_ca.key, |_| {}));
        let permit = proxy.permit("db1:22");
        let upstream = connect(&dialler, &permit).await.unwrap();
        assert_eq!(upstream.address, DB1);
        assert!(upstream.host.is_checked() && upstream.turn.is_some());
        assert_eq!(upstream.legacy_algorithms(), Vec::<&str>::new());
        let names = dialler.find(&permit).await.unwrap().remembered;
        let names: Vec<_> = names.iter().map(|name| name.as_str()).collect();
        assert_eq!(
            names,
            ["db1", "10.0.0.5"],
            "what it is called is remembered"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn another_host_is_told_so_and_not_dialled_again() {
        let (proxy, dial) = (SshFixture::new(), MemoryDial::default());
        let far = dial.next_stream();
        let host = TestHost::certified(&ed25519(), |_| {});
        let told = tokio::spawn(async move {
            let mut leg = Leg::new(far, host.transport());
            leg.next().await.expect_err("it is refused").to_string()
        });
        let dialler = proxy.dialler(dial.clone());
        let refused = connect(&dialler, &proxy.permit("db1:22"))
            .await
            .unwrap_err();
        assert_eq!(refused.reason, "unknown-authority");
        assert!(told.await.unwrap().contains(&refused.message));
        assert_eq!(dial.dialled().len(), 1);
    }

    /// As sshd does with `MaxStartups`: the connection is accepted, and ends without a word.
    #[tokio::test(start_paused = true)]
    async fn a_host_that_drops_connections_is_dialled_until_it_has_a_place() {
        let (proxy, dial) = (SshFixture::new(), MemoryDial::default());
        let dialler = proxy.dialler(dial.clone());
        for _ in 0..6 {
            drop(dial.next_stream());
        }
        serve(&dial, &TestHost::certified(&proxy.host_ca.key, |_| {}));
        connect(&dialler, &proxy.permit("db1:22")).await.unwrap();
        let dialled = dial.dialled();
        let pauses: Vec<_> = dialled.windows(2).map(|two| two[1].1 - two[0].1).collect();
        assert_eq!(pauses.len(), 6);
        for (number, pause) in pauses.iter().enumerate() {
            let longest = Duration::from_millis(100) * (1 << number);
            let range = longest / 2..longest + Duration::from_millis(2);
            assert!(range.contains(pause), "{pauses:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_always_drops_them_is_given_up_in_time() {
        let (proxy, dial) = (SshFixture::new(), MemoryDial::default());
        let dialler = proxy.dialler(dial.clone());
        for _ in 0..100 {
            let mut far = dial.next_stream();
            far.write_all(b"Exceeded MaxStartups\r\n").await.unwrap();
        }
        let began = Instant::now();
        let refused = connect(&dialler, &proxy.permit("db1:22"))
            .await
            .unwrap_err();
        assert_eq!(refused.reason, "host-dropped");
        assert!(
            refused.message.contains("Exceeded MaxStartups"),
            "{refused:?}"
        );
        let took = began.elapsed();
        assert!(
            took > CONNECT_TIMEOUT / 2 && took <= CONNECT_TIMEOUT,
            "{took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_port_is_tried_again_only_where_the_host_has_answered_lately() {
        let (proxy, dial) = (SshFixture::new(), MemoryDial::default());
        let dialler = proxy.dialler(dial.clone());
        let permit = proxy.permit("db1:22");
        dial.next(Dialled::Refused);
        let refused = connect(&dialler, &permit).await.unwrap_err();
        assert_eq!((refused.reason, dial.dialled().len()), ("unreachable", 1));

        let host = TestHost::certified(&proxy.host_ca.key, |_| {});
        serve(&dial, &host);
        connect(&dialler, &permit).await.unwrap();
        // Its sshd restarts.
        for _ in 0..3 {
            dial.next(Dialled::Refused);
        }
        serve(&dial, &host);
        connect(&dialler, &permit).await.unwrap();
        assert_eq!(dial.dialled().len(), 1 + 1 + 4);

        for _ in 0..100 {
            dial.next(Dialled::Refused);
        }
        let began = Instant::now();
        connect(&dialler, &permit).await.unwrap_err();
        let took = began.elapsed();
        assert!(
            took < Duration::from_secs(10),
            "it did not come back: {took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_address_is_tried_and_all_together_have_their_time() {
        let (proxy, dial) = (SshFixture::new(), MemoryDial::default());
        let dialler = proxy.dialler(dial.clone());
        let permit = proxy.permit("db1:22");
        let second = HostAddress::Tcp("10.0.0.6:22".parse().unwrap());
        let way = DialPlan {
            addresses: vec![DB1, second],
            remembered: Vec::new(),
        };
        dial.next(Dialled::Refused);
        serve(&dial, &TestHost::certified(&proxy.host_ca.key, |_| {}));
        let upstream = dialler.connect(&permit, &way).await.unwrap();
        assert_eq!(upstream.address, second);

        let began = Instant::now();
        let refused = dialler.connect(&permit, &way).await.unwrap_err();
        assert_eq!(refused.reason, "unreachable");
        assert_eq!(
            began.elapsed(),
            CONNECT_TIMEOUT,
            "the first one took all of it"
        );
        assert_eq!(dial.dialled().len(), 3);
    }

    /// As long as connecting may take, for a host that was restarted opens its tunnel soon.
    #[tokio::test(start_paused = true)]
    async fn a_host_with_a_tunnel_only_is_waited_for_and_then_refused() {
        let proxy = SshFixture::new();
        let id = proxy.join_app(TunnelRule::Required);
        let dial = HostDial::new(proxy.current_settings(), proxy.tunnels.clone());
        let dialler = Arc::new(proxy.dialler(dial));
        let permit = proxy.permit("app:22");
        let way = dialler.find(&permit).await.unwrap();
        let began = Instant::now();
        let refused = dialler.connect(&permit, &way).await.unwrap_err();
        assert_eq!(refused.reason, "no-tunnel");
        assert_eq!(began.elapsed(), CONNECT_TIMEOUT);

        let connecting = {
            let (dialler, permit) = (Arc::clone(&dialler), permit.clone());
            tokio::spawn(async move { dialler.connect(&permit, &way).await })
        };
        sleep(CONNECT_TIMEOUT / 2).await;
        let (opener, mut requests) = TunnelOpener::new();
        let _guard = proxy.tunnels.open(id, opener);
        let names = vec!["app".to_owned()];
        let host = TestHost::certified(&proxy.host_ca.key, |spec| spec.principals = names);
        let (stream, far) = memory_channel();
        tokio::spawn(host.serve(far));
        let request = requests.recv().await.unwrap();
        request.send(Ok(stream)).unwrap();
        let upstream = connecting.await.unwrap().unwrap();
        assert_eq!(upstream.address, HostAddress::Tunnel(id));

        let again = dialler.find(&permit).await.unwrap();
        assert_eq!(again.remembered.len(), 1, "what it is called is remembered");
    }

    /// Its sshd restarts: the ssh that keeps the tunnel says so, as a closed port does.
    #[tokio::test(start_paused = true)]
    async fn a_host_whose_sshd_is_down_behind_its_tunnel_is_tried_again_if_it_has_answered() {
        let (proxy, dial) = (SshFixture::new(), MemoryDial::default());
        let id = proxy.join_app(TunnelRule::Required);
        let dialler = proxy.dialler(dial.clone());
        let permit = proxy.permit("app:22");
        let names = vec!["app".to_owned()];
        let host = TestHost::certified(&proxy.host_ca.key, |spec| spec.principals = names);
        let down = || Dialled::Failed(TunnelError::Refused("Connection refused".to_owned()).into());
        dial.next(down());
        let refused = connect(&dialler, &permit).await.unwrap_err();
        assert_eq!(refused.reason, "unreachable");
        assert!(refused.message.contains("its sshd"), "{refused:?}");
        serve(&dial, &host);
        connect(&dialler, &permit).await.unwrap();
        dial.next(down());
        dial.next(down());
        serve(&dial, &host);
        connect(&dialler, &permit).await.unwrap();
        assert_eq!(dial.dialled().len(), 1 + 1 + 3);
        let through = HostAddress::Tunnel(id);
        assert!(dial.dialled().iter().all(|(at, _)| *at == through));
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_may_have_a_tunnel_is_dialled_at_its_address_without_one() {
        let (proxy, dial) = (SshFixture::new(), MemoryDial::default());
        let id = proxy.join_app(TunnelRule::Allowed);
        let dialler = proxy.dialler(dial.clone());
        let permit = proxy.permit("app:22");
        let guard = proxy.open_tunnel(id);
        let way = dialler.find(&permit).await.unwrap();
        // The tunnel ends before it is dialled, and the next one has no sshd behind it.
        drop(guard);
        dial.next(Dialled::Refused);
        dialler.connect(&permit, &way).await.unwrap_err();
        let _guard = proxy.open_tunnel(id);
        dial.next(Dialled::Failed(TunnelError::Silent.into()));
        dial.next(Dialled::Refused);
        let refused = dialler.connect(&permit, &way).await.unwrap_err();
        let both = [
            "Connection refused",
            "through its tunnel: the host's ssh opened nothing",
        ];
        for failure in both.map(|text| text.to_lowercase()) {
            let told = refused.message.to_lowercase();
            assert!(told.contains(&failure), "{told}");
        }
        let direct = HostAddress::Tcp("10.0.0.8:22".parse().unwrap());
        let dialled: Vec<_> = dial.dialled().into_iter().map(|(at, _)| at).collect();
        assert_eq!(dialled, [direct, HostAddress::Tunnel(id), direct]);
    }

    /// Whatever holds the tunnel up, half of the time is left for the address.
    #[tokio::test(start_paused = true)]
    async fn a_tunnel_that_says_nothing_leaves_time_for_the_address() {
        let (proxy, dial) = (SshFixture::new(), MemoryDial::default());
        let id = proxy.join_app(TunnelRule::Allowed);
        let dialler = proxy.dialler(dial.clone());
        let permit = proxy.permit("app:22");
        let _guard = proxy.open_tunnel(id);
        let way = dialler.find(&permit).await.unwrap();
        let began = Instant::now();
        let refused = dialler.connect(&permit, &way).await.unwrap_err();
        assert_eq!(refused.reason, "unreachable");
        assert_eq!(began.elapsed(), CONNECT_TIMEOUT);
        let at: Vec<_> = dial.dialled().iter().map(|(_, at)| *at - began).collect();
        assert_eq!(at, [Duration::ZERO, CONNECT_TIMEOUT / 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_speaks_no_ssh_or_nothing_at_all_is_not_waited_for() {
        let (proxy, dial) = (SshFixture::new(), MemoryDial::default());
        let dialler = proxy.dialler(dial.clone());
        let permit = proxy.permit("db1:22");
        let mut web = dial.next_stream();
        web.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        let refused = connect(&dialler, &permit).await.unwrap_err();
        assert_eq!(refused.reason, "not-ssh");
        assert!(refused.message.contains("HTTP/1.1 400"), "{refused:?}");

        let mut silent = dial.next_stream();
        let began = Instant::now();
        let refused = connect(&dialler, &permit).await.unwrap_err();
        assert_eq!(refused.reason, "unreachable");
        assert!(
            refused.message.ends_with("no answer within 30 seconds"),
            "{refused:?}"
        );
        assert_eq!(began.elapsed(), CONNECT_TIMEOUT);
        assert!(
            silent.read(&mut [0; 64]).await.unwrap() > 0,
            "we have said who we are"
        );
        assert_eq!(dial.dialled().len(), 2, "neither was dialled again");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_agreed_upon_says_which_algorithms_would_do() {
        let (proxy, dial) = (SshFixture::new(), MemoryDial::default());
        let far = dial.next_stream();
        tokio::spawn(async move {
            let old = ClientConfig {
                host_key_algorithms: Vec::new(),
                ..ClientConfig::default()
            };
            let mut leg = Leg::new(far, Transport::client(Arc::new(old)));
            leg.next().await.ok();
        });
        let dialler = proxy.dialler(dial);
        let refused = connect(&dialler, &proxy.permit("db1:22"))
            .await
            .unwrap_err();
        assert_eq!(refused.reason, "no-common-algorithm", "{refused:?}");
    }

    /// The time of a connection begins with its turn: a host is not blamed for the queue.
    #[tokio::test(start_paused = true)]
    async fn connections_wait_for_their_turn_at_a_host_and_none_of_their_time_passes() {
        let (proxy, dial) = (SshFixture::new(), MemoryDial::default());
        let dialler = Arc::new(proxy.dialler(dial.clone()));
        let permit = proxy.permit("db1:22");
        let host = TestHost::certified(&proxy.host_ca.key, |_| {});
        let mut begun = Vec::new();
        for _ in 0..MAX_STARTING {
            serve(&dial, &host);
            begun.push(connect(&dialler, &permit).await.unwrap());
        }
        serve(&dial, &host);
        let one_more = {
            let (dialler, permit) = (Arc::clone(&dialler), permit.clone());
            tokio::spawn(async move { connect(&dialler, &permit).await.map(drop) })
        };
        sleep(CONNECT_TIMEOUT * 3).await;
        assert_eq!(dial.dialled().len(), MAX_STARTING as usize);
        begun.pop();
        one_more.await.unwrap().unwrap();
        assert_eq!(dial.dialled().len(), MAX_STARTING as usize + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_was_shown_and_is_lost_is_refused_once() {
        let (proxy, dial) = (SshFixture::new(), MemoryDial::default());
        let dialler = proxy.dialler(dial.clone());
        let permit = proxy.permit("db1:22");
        let named = |names: [&str; 2]| {
            let names = names.map(str::to_owned).to_vec();
            TestHost::certified(&proxy.host_ca.key, |spec| spec.principals = names)
        };
        serve(&dial, &named(["db1", "old"]));
        connect(&dialler, &permit).await.unwrap();
        let host = named(["db1", "new"]);
        serve(&dial, &host);
        let refused = connect(&dialler, &permit).await.unwrap_err();
        assert_eq!(refused.reason, "name-lost");
        serve(&dial, &host);
        connect(&dialler, &permit).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_whose_certificate_names_a_node_that_is_denied_is_left() {
        let (proxy, dial) = (SshFixture::new(), MemoryDial::default());
        proxy.configure(
            "
roles: [{ name: ops, allow: [{ logins: [deploy], nodes: [db1] }] }]
users: [{ name: alice, roles: [ops] }]
nodes: [{ name: db1, addr: 10.0.0.5 }, { name: vault, addr: 10.0.0.7 }]
",
        );
        let names = vec!["db1".to_owned(), "vault".to_owned()];
        let host = TestHost::certified(&proxy.host_ca.key, |spec| spec.principals = names);
        serve(&dial, &host);
        let dialler = proxy.dialler(dial);
        let refused = connect(&dialler, &proxy.permit("db1:22"))
            .await
            .unwrap_err();
        assert_eq!(refused.reason, "policy");
    }
}

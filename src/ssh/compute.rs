//! Computes key exchanges that take milliseconds on threads of their own, a few at a time, so that the
//! threads that serve sessions are not blocked.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use crate::wire::{Work, Worked};

/// The queue for these computations, shared by all connections, in order of arrival. Clones share
/// it.
#[derive(Clone, Debug)]
pub(crate) struct ComputeQueue(Arc<Semaphore>);

impl ComputeQueue {
    /// A queue that uses half of `processors`, and leaves at least one to the sessions.
    pub(crate) fn new(processors: usize) -> Self {
        Self(Arc::new(Semaphore::new((processors / 2).max(1))))
    }

    /// Computes `work` once a slot is free. If the handle is dropped before that, the computation
    /// does not start.
    pub(crate) fn compute(&self, work: Work) -> AbortOnDropHandle<Option<Worked>> {
        let turns = Arc::clone(&self.0);
        AbortOnDropHandle::new(tokio::spawn(async move {
            // The semaphore is never closed. A computation that was started keeps its slot until it
            // is done.
            let turn = turns.acquire_owned().await.ok()?;
            let computed = tokio::task::spawn_blocking(move || {
                let worked = work.run();
                drop(turn);
                worked
            });
            computed.await.ok()
        }))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncRead, AsyncWrite, duplex};
    use tokio::task::yield_now;

    use super::*;
    use crate::cert::testing::ed25519;
    use crate::ssh::leg::{Leg, LegEvent};
    use crate::wire::{Algorithms, ClientConfig, HostKey, Kex, ServerConfig, Transport};

    fn transports(kex: Kex) -> (Transport, Transport) {
        let algorithms = Algorithms::default().only_kex(kex);
        let key = HostKey::new(ed25519(), None).unwrap();
        let client = ClientConfig {
            algorithms: algorithms.clone(),
            host_key_algorithms: vec!["ssh-ed25519".to_owned()],
            ..ClientConfig::default()
        };
        let server = ServerConfig {
            algorithms,
            ..ServerConfig::new(vec![key])
        };
        (
            Transport::client(Arc::new(client)),
            Transport::server(Arc::new(server)),
        )
    }

    /// Gives the leg back: the other side may have something to say to it still.
    async fn establish<S: AsyncRead + AsyncWrite + Unpin>(mut leg: Leg<S>) -> Leg<S> {
        loop {
            match leg.next().await.unwrap() {
                LegEvent::HostKey(_) => leg.transport.accept_host_key().unwrap(),
                LegEvent::Established => break,
                LegEvent::Packet(_) => {}
            }
        }
        while !leg.transport.output().is_empty() {
            leg.transfer(false).await.unwrap();
        }
        leg
    }

    /// Both roles, with every turn taken: the rest of the thread goes on, the key exchange does not; and then
    /// it does.
    #[tokio::test]
    async fn a_slow_key_exchange_waits_for_its_turn_and_nobody_waits_for_it() {
        for kex in [
            Kex::DiffieHellmanGroup16Sha512,
            Kex::DiffieHellmanGroup14Sha256,
            Kex::Sntrup761X25519Sha512Openssh,
        ] {
            for client_is_ours in [true, false] {
                let workshop = ComputeQueue::new(1);
                let turn = Arc::clone(&workshop.0).acquire_owned().await.unwrap();
                let (near, far) = duplex(1 << 16);
                let (client, server) = transports(kex);
                let (client, server) = if client_is_ours {
                    (Leg::with(&workshop, near, client), Leg::new(far, server))
                } else {
                    (Leg::new(near, client), Leg::with(&workshop, far, server))
                };
                let both =
                    tokio::spawn(async { tokio::join!(establish(client), establish(server)) });
                for _ in 0..1_000 {
                    yield_now().await;
                }
                assert!(!both.is_finished(), "{kex}");
                drop(turn);
                both.await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_not_begun() {
        let workshop = ComputeQueue::new(4);
        assert_eq!(workshop.0.available_permits(), 2);
        let turns = Arc::clone(&workshop.0).acquire_many_owned(2).await.unwrap();
        let (mut client, mut server) = transports(Kex::DiffieHellmanGroup16Sha512);
        client.defer_work();
        let mut input = server.output().split();
        client.receive(&mut input).unwrap();
        let waiting = workshop.compute(client.take_work().unwrap());
        yield_now().await;
        drop(waiting);
        yield_now().await;
        drop(turns);
        yield_now().await;
        assert_eq!(workshop.0.available_permits(), 2);
    }
}

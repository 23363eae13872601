//! The connection slots of a web listener. Every client gets a slot; if there are too many, the oldest
//! connection of the address with the most of them is closed. A slow client, which sends its request or
//! reads the answer slowly, is closed before another client is refused.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::purpose::RequestPurpose;
use crate::model::network;
use crate::net::{ClientSet, ClientTicket};

/// Clients at a time that have not asked yet, and as many again that are being answered.
const MAX_CLIENTS: usize = 64;
/// The same, from one address; of IPv6, from a /64 network.
const MAX_CLIENTS_PER_ADDRESS: usize = 16;
/// How many health checks are answered at a time, beside the other clients.
const MAX_HEALTH: usize = 16;
/// The same, from one address.
const MAX_HEALTH_PER_ADDRESS: usize = 8;

/// How many browsers that sign in are answered at a time, beside the other clients: they wait for the
/// identity provider, and a request that is cut off cannot be made again.
const MAX_SIGN_INS: usize = 256;
/// The same, from one address, behind which an office can be.
const MAX_SIGN_INS_PER_ADDRESS: usize = 64;

/// How many browsers that show pages are connected at a time, beside the other clients: a page consists of
/// several files, and connections stay for the next ones.
const MAX_BROWSERS: usize = 256;
/// The same, from one address, behind which an office can be.
const MAX_BROWSERS_PER_ADDRESS: usize = 64;

/// The places of one listener. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Places {
    asking: Pool,
    answered: Pool,
    health: Pool,
    sign_ins: Pool,
    browsers: Pool,
}

impl Places {
    pub(super) fn new() -> Self {
        Self {
            asking: Pool::new(MAX_CLIENTS, MAX_CLIENTS_PER_ADDRESS),
            answered: Pool::new(MAX_CLIENTS, MAX_CLIENTS_PER_ADDRESS),
            health: Pool::new(MAX_HEALTH, MAX_HEALTH_PER_ADDRESS),
            sign_ins: Pool::new(MAX_SIGN_INS, MAX_SIGN_INS_PER_ADDRESS),
            browsers: Pool::new(MAX_BROWSERS, MAX_BROWSERS_PER_ADDRESS),
        }
    }

    /// A client is here, and has not asked for anything yet.
    pub(super) fn enter(&self, address: IpAddr) -> ClientSlot {
        let network = network(address);
        ClientSlot {
            places: self.clone(),
            network,
            place: Mutex::new((None, self.asking.enter(network))),
            moved: Notify::new(),
        }
    }
}

/// One client's place, as it moves from asking to being answered.
#[derive(Debug)]
pub(super) struct ClientSlot {
    places: Places,
    network: IpAddr,
    /// For what it is there, once it has asked.
    place: Mutex<(Option<RequestPurpose>, ListenerSlot)>,
    moved: Notify,
}

impl ClientSlot {
    /// The client has asked, and is going to be answered. If it has asked for the same before, it keeps its
    /// place.
    pub(super) fn asked(&self, purpose: RequestPurpose) {
        let pool = match purpose {
            RequestPurpose::Reading => &self.places.answered,
            RequestPurpose::Health => &self.places.health,
            RequestPurpose::SignIn => &self.places.sign_ins,
            RequestPurpose::Browsing => &self.places.browsers,
        };
        let mut place = self.lock();
        if place.0 == Some(purpose) {
            return;
        }
        *place = (Some(purpose), pool.enter(self.network));
        drop(place);
        self.moved.notify_one();
    }

    /// Ends when the client has to make room for others.
    pub(super) async fn displaced(&self) {
        loop {
            let displaced: CancellationToken = self.lock().1.ticket.displaced().clone();
            tokio::select! {
                () = displaced.cancelled() => return,
                () = self.moved.notified() => {}
            }
        }
    }

    /// A panic elsewhere cannot leave it half changed.
    fn lock(&self) -> MutexGuard<'_, (Option<RequestPurpose>, ListenerSlot)> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Places of one kind.
#[derive(Clone, Debug)]
struct Pool {
    crowd: Arc<Mutex<ClientSet>>,
    most: usize,
    most_per_network: usize,
}

impl Pool {
    fn new(most: usize, most_per_network: usize) -> Self {
        Self {
            crowd: Arc::default(),
            most,
            most_per_network,
        }
    }

    fn enter(&self, network: IpAddr) -> ListenerSlot {
        let mut crowd = self.lock();
        if crowd.count_from(network) >= self.most_per_network {
            crowd.displace(network);
        } else if crowd.len() >= self.most
            && let Some((heaviest, _)) = crowd.heaviest()
        {
            crowd.displace(heaviest);
        }
        ListenerSlot {
            ticket: crowd.enter(network),
            pool: self.clone(),
        }
    }

    /// A panic elsewhere cannot leave it half changed.
    fn lock(&self) -> MutexGuard<'_, ClientSet> {
        self.crowd.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Dropping it gives it back.
#[derive(Debug)]
struct ListenerSlot {
    pool: Pool,
    ticket: ClientTicket,
}

impl Drop for ListenerSlot {
    fn drop(&mut self) {
        self.pool.lock().leave(&self.ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(last: usize) -> IpAddr {
        IpAddr::from([192, 0, 2, u8::try_from(last).unwrap()])
    }

    fn is_displaced(seat: &ClientSlot) -> bool {
        seat.lock().1.ticket.displaced().is_cancelled()
    }

    #[test]
    fn dawdlers_make_room_the_oldest_of_the_heaviest_address_first() {
        let places = Places::new();
        let held: Vec<ClientSlot> = (0..100).map(|n| places.enter(there(n % 4))).collect();
        let gone = |held: &[ClientSlot]| held.iter().filter(|seat| is_displaced(seat)).count();
        assert_eq!(gone(&held), 100 - 64);
        assert_eq!(gone(&held[..36]), 36, "the oldest");
        let honest = places.enter(there(9));
        assert_eq!(gone(&held), 37);
        for n in 0..1000 {
            let _more = places.enter(there(n % 4));
        }
        assert!(!is_displaced(&honest));
        drop(held);
        drop(honest);
        assert_eq!(places.asking.lock().len(), 0);
    }

    #[test]
    fn browsers_that_sign_in_have_places_of_their_own() {
        let places = Places::new();
        let enter = |last: usize, purpose: RequestPurpose| {
            let seat = places.enter(there(last));
            seat.asked(purpose);
            seat
        };
        let office: Vec<ClientSlot> = (0..64).map(|_| enter(1, RequestPurpose::SignIn)).collect();
        let _readers: Vec<ClientSlot> = (0..200)
            .map(|n| enter(n, RequestPurpose::Reading))
            .collect();
        assert!(!office.iter().any(is_displaced));
        let _one_more = enter(1, RequestPurpose::SignIn);
        assert_eq!(office.iter().filter(|seat| is_displaced(seat)).count(), 1);
    }

    /// A browser asks for many files, and is one client.
    #[test]
    fn a_client_that_asks_again_keeps_its_place() {
        let places = Places::new();
        let browser = places.enter(there(1));
        for _ in 0..200 {
            browser.asked(RequestPurpose::Browsing);
        }
        assert!(!is_displaced(&browser));
        assert_eq!(places.browsers.lock().len(), 1);
        assert_eq!(places.asking.lock().len(), 0);
        let office = (0..64).map(|_| {
            let slot = places.enter(there(1));
            slot.asked(RequestPurpose::Browsing);
            slot
        });
        let office: Vec<ClientSlot> = office.collect();
        assert!(is_displaced(&browser) && !office.iter().any(is_displaced));
    }

    #[tokio::test]
    async fn health_has_places_of_its_own() {
        let places = Places::new();
        let readers: Vec<ClientSlot> = (0..200).map(|n| places.enter(there(n))).collect();
        for seat in &readers {
            seat.asked(RequestPurpose::Reading);
        }
        let probe = places.enter(there(201));
        probe.asked(RequestPurpose::Health);
        for seat in &readers {
            seat.asked(RequestPurpose::Reading);
        }
        assert!(!is_displaced(&probe));
        assert_eq!(places.answered.lock().len(), 64);
        assert_eq!(places.health.lock().len(), 1);
        // Who is displaced after it has moved learns of it too.
        let learns = probe.displaced();
        let more = (0..8).map(|_| {
            let seat = places.enter(there(201));
            seat.asked(RequestPurpose::Health);
            seat
        });
        let more: Vec<ClientSlot> = more.collect();
        learns.await;
        drop(more);
    }
}

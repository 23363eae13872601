//! The clients of a listener, by network and in order of arrival: which one is disconnected first
//! when there are too many.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use tokio_util::sync::CancellationToken;

/// One client of a [`ClientSet`].
#[derive(Debug)]
pub(crate) struct ClientTicket {
    network: IpAddr,
    number: u64,
    displaced: CancellationToken,
}

impl ClientTicket {
    /// Where it comes from.
    pub(crate) fn network(&self) -> IpAddr {
        self.network
    }

    /// Cancelled when the client has to make room.
    pub(crate) fn displaced(&self) -> &CancellationToken {
        &self.displaced
    }
}

/// The clients. Numbers grow, so that the smallest of a network is its oldest client.
#[derive(Debug, Default)]
pub(crate) struct ClientSet {
    networks: BTreeMap<IpAddr, BTreeMap<u64, CancellationToken>>,
    next: u64,
    len: usize,
}

impl ClientSet {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many of them come from this network.
    pub(crate) fn count_from(&self, network: IpAddr) -> usize {
        self.networks.get(&network).map_or(0, BTreeMap::len)
    }

    /// Another client, of this network.
    pub(crate) fn enter(&mut self, network: IpAddr) -> ClientTicket {
        let number = self.next;
        self.next += 1;
        self.len += 1;
        let displaced = CancellationToken::new();
        self.networks
            .entry(network)
            .or_default()
            .insert(number, displaced.clone());
        ClientTicket {
            network,
            number,
            displaced,
        }
    }

    /// A client leaves; `false` when it had been displaced before.
    pub(crate) fn leave(&mut self, ticket: &ClientTicket) -> bool {
        let Some(clients) = self.networks.get_mut(&ticket.network) else {
            return false;
        };
        let was_here = clients.remove(&ticket.number).is_some();
        if clients.is_empty() {
            self.networks.remove(&ticket.network);
        }
        self.len -= usize::from(was_here);
        was_here
    }

    /// The network with the most clients, and how many it has; of several, the one that has had one
    /// for the longest.
    pub(crate) fn heaviest(&self) -> Option<(IpAddr, usize)> {
        self.networks
            .iter()
            .filter_map(|(network, clients)| {
                let oldest = clients.first_key_value()?.0;
                Some((clients.len(), Reverse(*oldest), *network))
            })
            .max()
            .map(|(count, _, network)| (network, count))
    }

    /// Displaces the oldest client of a network; `false` when it has none.
    pub(crate) fn displace(&mut self, network: IpAddr) -> bool {
        let Some(clients) = self.networks.get_mut(&network) else {
            return false;
        };
        let oldest = clients.pop_first();
        if clients.is_empty() {
            self.networks.remove(&network);
        }
        let Some((_, displaced)) = oldest else {
            return false;
        };
        displaced.cancel();
        self.len -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn the_oldest_of_the_heaviest_goes_first() {
        let mut crowd = ClientSet::default();
        let tickets: Vec<_> = [1, 2, 2, 3, 2]
            .map(|last| crowd.enter(there(last)))
            .into_iter()
            .collect();
        assert_eq!(crowd.heaviest(), Some((there(2), 3)));
        assert!(crowd.displace(there(2)));
        let displaced: Vec<_> = tickets
            .iter()
            .map(|ticket| ticket.displaced().is_cancelled())
            .collect();
        assert_eq!(displaced, [false, true, false, false, false]);
        assert_eq!((crowd.len(), crowd.count_from(there(2))), (4, 2));
        assert!(!crowd.leave(&tickets[1]), "it is gone already");
        assert!(crowd.leave(&tickets[2]));
        assert_eq!(
            crowd.heaviest(),
            Some((there(1), 1)),
            "the oldest of equals"
        );
        for number in [0, 3, 4] {
            assert!(crowd.leave(&tickets[number]));
        }
        assert_eq!((crowd.len(), crowd.heaviest()), (0, None));
        assert!(crowd.networks.is_empty());
        assert!(!crowd.displace(there(1)));
    }
}

//! Whether an address is dialled again, and after what pause.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::{Attempts, UpstreamFailure};
use super::dial::Dial;
use crate::access::Route;
use crate::cert::VerifiedHost;
use crate::model::HostAddress;
use crate::ssh::identify::NoServer;
use crate::ssh::leg::{Leg, LegError};
use crate::ssh::tunnels::TunnelError;
use crate::wire::ClientConfig;

/// The longest first pause before a host is dialled again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Tries one address. It is dialled again while the host drops connections before sending anything,
/// as sshd does if too many begin at once; and for a short time if it refuses connections although it
/// has answered recently, as during a restart of its sshd.
pub(super) async fn begin<D: Dial>(
    attempts: &Attempts<D>,
    route: &Route,
    config: &Arc<ClientConfig>,
    address: HostAddress,
    deadline: Instant,
) -> Result<(Leg<D::Stream>, VerifiedHost), UpstreamFailure> {
    let mut pauses = Pauses::default();
    loop {
        let failure = match attempts.once(route, config, address, deadline).await {
            Ok(begun) => return Ok(begun),
            Err(failure) => failure,
        };
        let is_worth_another = match &failure {
            UpstreamFailure::NoServer(error) => matches!(error, NoServer::TurnedAway(..)),
            UpstreamFailure::Dial(error) => {
                is_refused(error) && attempts.may_be_restarting(address)
            }
            UpstreamFailure::Handshake(_) | UpstreamFailure::Refused(_) => false,
        };
        let pause = pauses.next_pause();
        if !is_worth_another || Instant::now() + pause >= deadline {
            return Err(failure);
        }
        tracing::debug!(host = %address, ?pause, "turned away before a word, will dial again");
        tokio::time::sleep(pause).await;
    }
}

/// Whether the port is closed, or the host's ssh that keeps its tunnel cannot connect to its sshd.
fn is_refused(error: &LegError) -> bool {
    match error {
        LegError::Io(error) => error.kind() == ErrorKind::ConnectionRefused,
        LegError::Tunnel(error) => matches!(error, TunnelError::Refused(_)),
        _ => false,
    }
}

/// How long to wait before a host is dialled again: longer each time, and randomised, so that
/// connections that were dropped together do not retry together.
#[derive(Debug, Default)]
struct Pauses {
    taken: u32,
}

impl Pauses {
    fn next_pause(&mut self) -> Duration {
        let longest = FIRST_PAUSE * (1 << self.taken.min(5));
        self.taken += 1;
        longest.mul_f64(rand::random_range(0.5..1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        let mut pauses = Pauses::default();
        let taken: Vec<Duration> = (0..40).map(|_| pauses.next_pause()).collect();
        for (number, pause) in taken.iter().enumerate() {
            let longest = FIRST_PAUSE * (1 << number.min(5));
            assert!(
                *pause >= longest / 2 && *pause < longest,
                "{number}: {pause:?}"
            );
        }
        let mut different = taken.clone();
        different.sort();
        different.dedup();
        assert!(different.len() > 30);
    }
}

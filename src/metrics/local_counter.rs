//! Bytes that one connection has counted and the counters of all do not have yet.

use super::label::{ClosedSet as _, Flow};
use super::meter::{Counter, MeterSet};

/// Bytes of one connection that are not in the counters yet. Other threads' counters are not touched
/// for each packet, but once for what a read has brought.
#[derive(Debug, Default)]
pub struct LocalCounter {
    stdin: u64,
    stdout: u64,
    stderr: u64,
    forward_to_host: u64,
    forward_to_client: u64,
}

impl LocalCounter {
    /// Notes bytes.
    pub fn add(&mut self, flow: Flow, bytes: usize) {
        *self.of(flow) += bytes as u64;
    }

    /// Takes everything over into the counters.
    pub fn settle(&mut self, counters: &MeterSet<Flow, Counter>) {
        for flow in Flow::ALL {
            let bytes = std::mem::take(self.of(*flow));
            if bytes > 0 {
                counters.add(*flow, bytes);
            }
        }
    }

    fn of(&mut self, flow: Flow) -> &mut u64 {
        match flow {
            Flow::Stdin => &mut self.stdin,
            Flow::Stdout => &mut self.stdout,
            Flow::Stderr => &mut self.stderr,
            Flow::ForwardToHost => &mut self.forward_to_host,
            Flow::ForwardToClient => &mut self.forward_to_client,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_is_settled_once() {
        let counters = MeterSet::<Flow, Counter>::default();
        let mut tally = LocalCounter::default();
        tally.add(Flow::Stdout, 3);
        tally.add(Flow::Stdout, 4);
        tally.settle(&counters);
        tally.settle(&counters);
        assert_eq!(counters.with(Flow::Stdout, Counter::value), Some(7));
        assert_eq!(counters.with(Flow::Stdin, Counter::value), Some(0));
    }
}

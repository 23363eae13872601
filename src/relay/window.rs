//! The window of one end of a channel (RFC 4254, 5.2): what the end has granted, what of that the other
//! side knows, and what the proxy has used for bytes of its own.
//!
//! Grants are passed on to the other side. Bytes of the proxy's own, which are what participants type
//! and its notices, use window that the other side was promised already. That is a debt: the end's next
//! grants pay it back before any of them is passed on. If the other side uses its promise before that,
//! the end has not granted enough for all of its data: the rest is held until it has. So:
//!
//! - an end is never sent more than it has granted;
//! - what is held is never more than the debt, which is bounded;
//! - all that was granted is passed on in the end, except for what the proxy has used;
//! - without bytes of the proxy's own, there is no debt, nothing is held, and grants and data are passed
//!   on at once.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::tap::Stream;

/// Smaller grants are collected, as long as the other side has that much window left, in bytes.
const GRANT: u32 = 32 * 1024;
/// The most that is granted at a time, in bytes: a link of 1 Gbit/s carries that in an eighth of a
/// second.
const MAX_GRANT: u32 = 16 * 1024 * 1024;
/// The debt that any end may have, in bytes.
const MAX_DEBT: u32 = 64 * 1024;
/// How much more it may be at an end that grants late, in bytes. Known hosts open with at most 2 MiB,
/// and grant at the latest when half of it is used.
const MAX_LATE: u32 = 1024 * 1024;

/// What may be sent to one end of a channel.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// How many bytes may be sent to this end now.
    granted: u32,
    /// How many bytes the other side may still send, as it knows.
    promised: u32,
    /// How many of the bytes that are promised or held were not granted: the proxy has used them.
    debt: u32,
    /// How many bytes of the other side are held, because this end has not granted them.
    held: u32,
    /// The most that was granted at any time.
    largest: u32,
    /// The bytes that are held.
    queue: Option<Box<Queue>>,
}

/// Data of the other side, split by what this end accepts now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) struct Spent {
    /// How many bytes, from the first, can be sent now.
    pub(super) now: u32,
    /// How many have to be held.
    pub(super) later: u32,
}

impl Window {
    /// The window of an end that grants so many bytes when it opens. What is due of them counts as
    /// passed on.
    pub(super) fn new(bytes: u32) -> Self {
        let mut window = Self {
            granted: bytes,
            largest: bytes,
            ..Self::default()
        };
        window.promise();
        window
    }

    /// How many bytes the other side may still send, as it knows.
    pub(super) fn promised(&self) -> u32 {
        self.promised
    }

    /// How many bytes this end accepts now, including grants that were not passed on.
    pub(super) fn granted(&self) -> u32 {
        self.granted
    }

    /// How many granted bytes were neither passed on nor used.
    fn untold(&self) -> u32 {
        let used = self.promised.saturating_add(self.held);
        self.granted.saturating_add(self.debt).saturating_sub(used)
    }

    /// Adds a grant of this end, which pays back the debt first; `false` when the sum is too large.
    #[must_use]
    pub(super) fn add(&mut self, bytes: u32) -> bool {
        let Some(sum) = self.granted.checked_add(bytes) else {
            return false;
        };
        self.granted = sum;
        self.largest = self.largest.max(sum);
        self.debt = self.debt.saturating_sub(bytes);
        true
    }

    /// How much window to grant to the other side now; zero for nothing.
    ///
    /// The number in a grant is passed on without being recorded, so a side could send data in it. So it is a
    /// round number, unless the other side has little window left, and it is limited, however much was
    /// granted.
    pub(super) fn promise(&mut self) -> u32 {
        let most = self.untold().min(MAX_GRANT.saturating_sub(self.promised));
        let bytes = match most / GRANT {
            0 if self.promised < GRANT => most,
            whole => whole * GRANT,
        };
        self.promised += bytes;
        bytes
    }

    /// Subtracts data of the other side; `None` when it is more than was promised. What has to be held
    /// counts as held at once: [`Window::hold`] or [`Window::discard`] must follow.
    pub(super) fn spend(&mut self, bytes: u32) -> Option<Spent> {
        self.promised = self.promised.checked_sub(bytes)?;
        // While something is held, nothing is granted, so that nothing overtakes it.
        let now = bytes.min(self.granted);
        let later = bytes - now;
        self.granted -= now;
        self.held = self.held.saturating_add(later);
        Some(Spent { now, later })
    }

    /// Holds the data that has to be held.
    pub(super) fn hold(&mut self, stream: Stream, data: &[u8]) {
        self.queue.get_or_insert_default().push(stream, data);
    }

    /// Forgets data that would have to be held: it is not sent. The window that it had been promised
    /// pays back the debt.
    pub(super) fn discard(&mut self, spent: Spent) {
        self.held = self.held.saturating_sub(spent.later);
        self.debt = self.debt.saturating_sub(spent.later);
    }

    /// Forgets all that is held: the end takes nothing more.
    pub(super) fn discard_all(&mut self) {
        let later = self.held;
        self.discard(Spent { now: 0, later });
        self.queue = None;
    }

    /// The next bytes that are held and can be sent now: of one stream, and at most `max_packet`.
    pub(super) fn release(&mut self, max_packet: u32) -> Option<(Stream, Bytes)> {
        let queue = self.queue.as_mut()?;
        let (stream, data) = queue.pop(self.granted.min(max_packet))?;
        let bytes = u32::try_from(data.len()).unwrap_or(u32::MAX);
        self.granted = self.granted.saturating_sub(bytes);
        self.held = self.held.saturating_sub(bytes);
        if self.held == 0 {
            self.queue = None;
        }
        Some((stream, data))
    }

    /// Whether bytes are held.
    pub(super) fn is_holding(&self) -> bool {
        self.held > 0
    }

    /// The memory of what is held, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.memory())
    }

    /// How many bytes of a notice can be added now, at most `most`: none while others are held.
    pub(super) fn room_for_notice(&self, most: u32) -> u32 {
        self.room(MAX_DEBT, most)
    }

    /// How many bytes of participants can be added now, at most `most`: none while others are held.
    ///
    /// A host may wait with its next grant until half of its window is used, and the client may type
    /// nothing meanwhile. So participants can use as much, and a little more, or they would wait for
    /// ever.
    pub(super) fn room_for_input(&self, most: u32) -> u32 {
        self.room(MAX_DEBT + MAX_LATE.min(self.largest / 2), most)
    }

    /// `most` also limits the debt, so that no more than that is held.
    fn room(&self, max_debt: u32, most: u32) -> u32 {
        let credit = max_debt.min(most).saturating_sub(self.debt);
        let room = self.untold().saturating_add(credit);
        room.min(self.granted).min(most)
    }

    /// Subtracts bytes of the proxy's own, of which there is room for that many.
    pub(super) fn add_own(&mut self, bytes: u32) {
        self.debt += bytes.saturating_sub(self.untold());
        self.granted = self.granted.saturating_sub(bytes);
    }
}

/// Bytes in their order, each with its stream.
#[derive(Debug, Default)]
struct Queue {
    bytes: BytesMut,
    /// The streams of the bytes: how many follow each other in each.
    runs: VecDeque<(Stream, u32)>,
}

impl Queue {
    /// Adds a copy: what is held must not keep the memory of its packet.
    fn push(&mut self, stream: Stream, data: &[u8]) {
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        match self.runs.back_mut() {
            Some((last, run)) if *last == stream => *run += length,
            _ => self.runs.push_back((stream, length)),
        }
        self.bytes.extend_from_slice(data);
    }

    /// Removes at most `most` bytes of the first stream; `None` for no bytes.
    fn pop(&mut self, most: u32) -> Option<(Stream, Bytes)> {
        let (stream, run) = self.runs.front_mut()?;
        let (stream, length) = (*stream, most.min(*run));
        if length == 0 {
            return None;
        }
        *run -= length;
        if *run == 0 {
            self.runs.pop_front();
        }
        Some((stream, self.bytes.split_to(length as usize).freeze()))
    }

    fn memory(&self) -> usize {
        self.bytes.capacity() + self.runs.capacity() * size_of::<(Stream, u32)>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A window with everything that has happened to it, counted apart.
    #[derive(Debug)]
    struct Account {
        window: Window,
        max_packet: u32,
        /// What the end has granted, what of it was passed on, and what the proxy has used.
        granted: u64,
        told: u64,
        own: u64,
        /// What the other side has sent that is passed on, and what of it has arrived.
        sent: Vec<u8>,
        arrived: Vec<u8>,
        /// Bytes that were discarded: of those that could be sent, and of those that could not.
        wasted: u64,
        forgotten: u64,
    }

    #[derive(Clone, Copy, Debug)]
    enum Movement {
        Grant(u32),
        /// The other side sends a part of what it may, in percent.
        Send(u32),
        /// The same, but it is not passed on.
        Waste(u32),
        /// Participants type a part of what they may, in percent.
        Type(u32),
        Notice(u32),
    }

    impl Account {
        fn new(window: u32, max_packet: u32) -> Self {
            let granted = u64::from(window);
            let window = Window::new(window);
            Self {
                told: window.promised().into(),
                window,
                max_packet,
                granted,
                own: 0,
                sent: Vec::new(),
                arrived: Vec::new(),
                wasted: 0,
                forgotten: 0,
            }
        }

        /// How much one call may add: as the relay limits it.
        fn most(&self) -> u32 {
            self.max_packet.saturating_mul(1_024)
        }

        fn grant(&mut self, bytes: u32) {
            if !self.window.add(bytes) {
                return;
            }
            self.granted += u64::from(bytes);
            while let Some((stream, data)) = self.window.release(self.max_packet) {
                assert_eq!(stream, Stream::Stdin);
                assert!(!data.is_empty() && data.len() <= self.max_packet as usize);
                self.arrived.extend_from_slice(&data);
            }
            self.told += u64::from(self.window.promise());
        }

        fn send(&mut self, bytes: u32, passes: bool) {
            let bytes = bytes.min(self.max_packet);
            let spent = self.window.spend(bytes).expect("as it may");
            assert_eq!(spent.now + spent.later, bytes);
            self.told += u64::from(self.window.promise());
            if !passes {
                self.window.discard(spent);
                self.wasted += u64::from(spent.now);
                self.forgotten += u64::from(spent.later);
                return;
            }
            let next = self.sent.len();
            let data: Vec<u8> = (next..next + bytes as usize)
                .map(|number| u8::try_from(number % 251).unwrap())
                .collect();
            let (now, later) = data.split_at(spent.now as usize);
            self.arrived.extend_from_slice(now);
            if !later.is_empty() {
                self.window.hold(Stream::Stdin, later);
            }
            self.sent.extend(data);
        }

        fn add_own(&mut self, bytes: u32) {
            self.window.add_own(bytes);
            self.own += u64::from(bytes);
        }

        fn act(&mut self, act: Movement) {
            let part = |most: u32, percent: u32| {
                u32::try_from(u64::from(most) * u64::from(percent) / 100).unwrap()
            };
            match act {
                Movement::Grant(bytes) => self.grant(bytes),
                Movement::Send(percent) => self.send(part(self.window.promised(), percent), true),
                Movement::Waste(percent) => self.send(part(self.window.promised(), percent), false),
                Movement::Type(percent) => {
                    self.add_own(part(self.window.room_for_input(self.most()), percent));
                }
                Movement::Notice(percent) => {
                    self.add_own(part(self.window.room_for_notice(self.most()), percent));
                }
            }
        }

        fn check(&self) {
            let window = &self.window;
            // Never more than was granted: what is left is what was not used.
            let used = self.arrived.len() as u64 + self.own + self.wasted;
            assert_eq!(
                Some(u64::from(window.granted)),
                self.granted.checked_sub(used)
            );
            // All that was granted and not used by the proxy is passed on, or will be.
            let passed_on = self.told + u64::from(window.untold());
            let lent = u64::from(window.debt) + self.forgotten;
            assert_eq!(passed_on + self.own, self.granted + lent);
            // What is promised can be taken: by what is granted, and by what may be held.
            let promised = u64::from(window.promised) + u64::from(window.held);
            assert!(promised <= u64::from(window.granted) + u64::from(window.debt));
            assert!(window.debt <= (MAX_DEBT + MAX_LATE).min(self.most()));
            assert!(window.held <= window.debt);
            let held = self.sent.len() - self.arrived.len();
            assert_eq!(window.held as usize, held);
            assert!(held == 0 || window.granted == 0, "it could be sent");
            assert_eq!(window.is_holding(), window.queue.is_some());
            assert!(self.sent.starts_with(&self.arrived));
        }
    }

    fn act() -> impl Strategy<Value = Movement> {
        prop_oneof![
            (0u32..100_000).prop_map(Movement::Grant),
            (0u32..=100).prop_map(Movement::Send),
            (0u32..=100).prop_map(Movement::Waste),
            (0u32..=100).prop_map(Movement::Type),
            (0u32..=100).prop_map(Movement::Notice),
            Just(Movement::Type(100)),
            Just(Movement::Send(100)),
            any::<u32>().prop_map(Movement::Grant),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn nothing_is_sent_beyond_a_grant_and_all_is_granted_back(
            first in prop_oneof![0u32..100_000, any::<u32>()],
            max_packet in prop_oneof![1u32..300, 1u32..40_000],
            acts in proptest::collection::vec(act(), 0..100),
        ) {
            let mut account = Account::new(first, max_packet);
            account.check();
            for act in acts {
                account.act(act);
                account.check();
            }
            // Grants pay everything back, unless the window is full.
            for _ in 0..200 {
                account.grant(10_000);
                account.check();
            }
            prop_assert_eq!(&account.arrived, &account.sent);
            prop_assert_eq!(account.window.debt, 0);
            prop_assert_eq!(account.window.memory(), 0);
        }

        /// Without bytes of the proxy's own, there is no debt, and data is passed on at once.
        #[test]
        fn nothing_is_held_where_nothing_was_added(
            first in prop_oneof![0u32..100_000, any::<u32>()],
            acts in proptest::collection::vec(act(), 0..100),
        ) {
            let mut account = Account::new(first, 32_768);
            for act in acts {
                if !matches!(act, Movement::Type(_) | Movement::Notice(_)) {
                    account.act(act);
                }
                prop_assert_eq!((account.window.debt, account.window.held), (0, 0));
                prop_assert_eq!(account.sent.len(), account.arrived.len());
            }
        }
    }

    /// OpenSSH grants after three packets, most others when half of the window is used.
    #[test]
    fn participants_never_wait_for_a_host_that_grants_late() {
        for window in [1, 2, 1_000, 24_576, 65_536, 1_280_000, 2_097_152] {
            let mut account = Account::new(window, 32_768);
            let mut left = window;
            let mut typed = 0;
            while typed < 5_000_000 {
                let room = account.window.room_for_input(account.most());
                assert!(room > 0, "{typed} bytes typed into a window of {window}");
                let bytes = room.min(10_000);
                account.add_own(bytes);
                typed += bytes;
                left -= bytes;
                if left < window.div_ceil(2) {
                    account.grant(window - left);
                    left = window;
                }
                account.check();
                if window < 1_000 && typed > 10_000 {
                    break;
                }
            }
        }
    }

    #[test]
    fn participants_who_type_all_they_can_leave_the_client_half_of_the_window() {
        let mut account = Account::new(1_000, 32_768);
        for _ in 0..1_000 {
            account.grant(1_000);
            account.act(Movement::Type(100));
            account.act(Movement::Send(100));
            account.check();
        }
        let arrived = account.arrived.len() as u64;
        assert!(arrived > 450_000, "{arrived} bytes of the client");
        assert!(
            account.own > 450_000,
            "{} bytes of participants",
            account.own
        );
    }

    #[test]
    fn streams_that_are_held_stay_apart_and_in_order() {
        let mut window = Window::new(10);
        window.add_own(10);
        let sent: [(Stream, &[u8]); 4] = [
            (Stream::Stdout, b"ab"),
            (Stream::Stdout, b"c"),
            (Stream::Stderr, b"de"),
            (Stream::Stdout, b"fg"),
        ];
        for (stream, data) in sent {
            let spent = window.spend(u32::try_from(data.len()).unwrap());
            assert_eq!(spent.map(|spent| spent.now), Some(0));
            window.hold(stream, data);
        }
        assert_eq!(window.spend(4), None, "more than was promised");
        assert!(window.add(5));
        let mut released = Vec::new();
        released.extend(std::iter::from_fn(|| window.release(2)));
        assert!(window.add(2));
        released.extend(std::iter::from_fn(|| window.release(2)));
        let expected: [(Stream, &'static [u8]); 4] = [
            (Stream::Stdout, b"ab"),
            (Stream::Stdout, b"c"),
            (Stream::Stderr, b"de"),
            (Stream::Stdout, b"fg"),
        ];
        assert_eq!(
            released,
            expected.map(|(stream, data)| (stream, Bytes::from_static(data)))
        );
        assert_eq!(window.memory(), 0);
        assert_eq!(window.promise(), 0, "three bytes of the debt are left");
        assert!(window.add(4));
        assert_eq!(window.promise(), 1);
    }
}

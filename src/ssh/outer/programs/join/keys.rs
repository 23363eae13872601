//! What a participant types: for the session, or to leave it.

use std::time::Duration;

use tokio::time::Instant;

use crate::access::JoinMode;

/// Ctrl-C, which leaves a session that is only observed.
const INTERRUPT: u8 = 0x03;
/// Ctrl-], as in telnet and in `machinectl login`.
const ESCAPE: u8 = 0x1d;
/// How often in a row it is pressed to leave.
const PRESSES: u8 = 3;
/// In which time.
const TOGETHER: Duration = Duration::from_secs(1);

/// The keys of one participant. A Ctrl-] is held back until it is known whether it is one of those that
/// leave, so that leaving types nothing.
#[derive(Debug)]
pub(super) struct Keys {
    mode: JoinMode,
    /// How many were pressed in a row, and are held back.
    presses: u8,
    /// When the first of them was.
    since: Instant,
}

impl Keys {
    /// Those of a participant in this mode.
    pub(super) fn new(mode: JoinMode) -> Self {
        Self {
            mode,
            presses: 0,
            since: Instant::now(),
        }
    }

    /// Takes typed bytes, and adds to `typed` what the session gets. Whether the participant leaves.
    pub(super) fn press(&mut self, bytes: &[u8], typed: &mut Vec<u8>) -> bool {
        let now = Instant::now();
        if now - self.since > TOGETHER {
            self.release(typed);
        }
        for byte in bytes {
            if *byte == ESCAPE {
                if self.presses == 0 {
                    self.since = now;
                }
                self.presses += 1;
                if self.presses == PRESSES {
                    return true;
                }
                continue;
            }
            self.release(typed);
            match self.mode {
                JoinMode::Type => typed.push(*byte),
                JoinMode::Observe if *byte == INTERRUPT => return true,
                JoinMode::Observe => {}
            }
        }
        false
    }

    /// Until when something is held back, if no other key is pressed.
    pub(super) fn held_until(&self) -> Option<Instant> {
        (self.presses > 0).then(|| self.since + TOGETHER)
    }

    /// Adds to `typed` what is held back: it does not leave.
    pub(super) fn release(&mut self, typed: &mut Vec<u8>) {
        let held = usize::from(std::mem::take(&mut self.presses));
        if self.mode == JoinMode::Type {
            typed.extend(std::iter::repeat_n(ESCAPE, held));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pressed(mode: JoinMode, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut typed = Vec::new();
        let leaves = Keys::new(mode).press(bytes, &mut typed);
        (typed, leaves)
    }

    #[test]
    fn three_escapes_in_a_row_leave_and_others_are_typed() {
        for (bytes, typed, leaves) in [
            (&b"ls\r\x03\x04\xff"[..], &b"ls\r\x03\x04\xff"[..], false),
            (b"a\x1d\x1db\x1dc", b"a\x1d\x1db\x1dc", false),
            (b"a\x1d\x1d\x1db", b"a", true),
        ] {
            let expected = (typed.to_vec(), leaves);
            assert_eq!(pressed(JoinMode::Type, bytes), expected, "{bytes:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn escapes_that_are_far_apart_do_not_leave() {
        let (mut keys, mut typed) = (Keys::new(JoinMode::Type), Vec::new());
        assert!(!keys.press(b"\x1d\x1d", &mut typed));
        tokio::time::advance(TOGETHER + Duration::from_millis(1)).await;
        assert!(!keys.press(b"\x1d\x1d", &mut typed));
        assert!(keys.press(b"\x1d", &mut typed));
        assert_eq!(typed, b"\x1d\x1d");
    }

    /// An escape alone is typed late, and once.
    #[tokio::test(start_paused = true)]
    async fn an_escape_that_nothing_follows_is_typed() {
        let (mut keys, mut typed) = (Keys::new(JoinMode::Type), Vec::new());
        assert_eq!(keys.held_until(), None);
        assert!(!keys.press(b"\x1d", &mut typed));
        assert_eq!(keys.held_until(), Some(Instant::now() + TOGETHER));
        assert_eq!(typed, b"");
        keys.release(&mut typed);
        assert_eq!((&typed[..], keys.held_until()), (&b"\x1d"[..], None));
        keys.release(&mut typed);
        assert_eq!(typed, b"\x1d");
    }

    #[test]
    fn an_observer_leaves_by_an_interrupt_too() {
        assert_eq!(pressed(JoinMode::Observe, b"ls\r"), (Vec::new(), false));
        assert_eq!(pressed(JoinMode::Observe, b"a\x03"), (Vec::new(), true));
        let escapes = b"\x1d\x1d\x1d";
        assert_eq!(pressed(JoinMode::Observe, escapes), (Vec::new(), true));
    }

    proptest! {
        #[test]
        fn nothing_that_an_observer_types_is_for_the_session(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..20),
        ) {
            let (mut keys, mut typed) = (Keys::new(JoinMode::Observe), Vec::new());
            for piece in pieces {
                let _leaves = keys.press(&piece, &mut typed);
                keys.release(&mut typed);
            }
            prop_assert!(typed.is_empty());
        }
    }
}

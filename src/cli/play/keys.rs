//! The keys of a replay.

use std::io::{self, Read};
use std::sync::mpsc::SyncSender;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum KeyPress {
    /// Space: stop, or go on.
    Pause,
    /// `+`, up: twice as fast.
    Faster,
    /// `-`, down: half as fast.
    Slower,
    /// Right: on to the next event.
    Skip,
    /// `q`, Ctrl-C: the end.
    Quit,
}

/// Finds keys in what a terminal sends; keeps its place between bytes.
#[derive(Debug, Default)]
pub(in crate::cli) struct KeyParser {
    state: EscapeState,
}

#[derive(Clone, Copy, Debug, Default)]
enum EscapeState {
    #[default]
    Plain,
    Escape,
    /// After CSI or SS3.
    Sequence,
}

impl KeyParser {
    pub(in crate::cli) fn feed(&mut self, byte: u8) -> Option<KeyPress> {
        let state = std::mem::take(&mut self.state);
        match (state, byte) {
            // Also in the middle of a sequence: these always work.
            (_, 0x03) => Some(KeyPress::Quit),
            (_, 0x1B) => {
                self.state = EscapeState::Escape;
                None
            }
            (EscapeState::Escape, b'[' | b'O') => {
                self.state = EscapeState::Sequence;
                None
            }
            (EscapeState::Sequence, b'A') => Some(KeyPress::Faster),
            (EscapeState::Sequence, b'B') => Some(KeyPress::Slower),
            (EscapeState::Sequence, b'C') => Some(KeyPress::Skip),
            (EscapeState::Sequence, 0x20..=0x3F) => {
                self.state = EscapeState::Sequence;
                None
            }
            (EscapeState::Plain | EscapeState::Escape, b' ') => Some(KeyPress::Pause),
            (EscapeState::Plain | EscapeState::Escape, b'+' | b'=') => Some(KeyPress::Faster),
            (EscapeState::Plain | EscapeState::Escape, b'-' | b'_') => Some(KeyPress::Slower),
            (EscapeState::Plain | EscapeState::Escape, b'q' | b'Q') => Some(KeyPress::Quit),
            _ => None,
        }
    }
}

/// Reads keys from standard input in a thread of its own, which ends with the process: a read
/// from a terminal cannot be called off. The end of the input is the end of the replay: without its
/// terminal there is no viewer, and no key could end a pause.
pub(in crate::cli) fn listen(keys: SyncSender<KeyPress>) {
    std::thread::spawn(move || {
        forward(io::stdin().lock(), &keys);
        // The replay may be over.
        let _sent = keys.send(KeyPress::Quit);
    });
}

fn forward(mut input: impl Read, keys: &SyncSender<KeyPress>) {
    let mut parser = KeyParser::default();
    let mut bytes = [0; 64];
    while let Ok(count @ 1..) = input.read(&mut bytes) {
        for byte in bytes.iter().take(count) {
            if let Some(key) = parser.feed(*byte)
                && keys.send(key).is_err()
            {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn keys_are_found_also_in_pieces() {
        let (sender, receiver) = sync_channel(64);
        let bytes = b" +=\x1b[A-\x1b[B\x1bOC\x1b[1;5Cx\x1b[D\x1bq\x1b[\x03";
        forward(bytes.as_slice(), &sender);
        drop(sender);
        let keys: Vec<KeyPress> = receiver.iter().collect();
        use KeyPress::{Faster, Pause, Quit, Skip, Slower};
        assert_eq!(
            keys,
            [
                Pause, Faster, Faster, Faster, Slower, Slower, Skip, Skip, Quit, Quit
            ]
        );
    }
}

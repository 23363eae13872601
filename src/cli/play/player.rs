//! Shows a recording's events on a terminal.

use std::io::{self, Read, Write};
use std::time::Duration;

use thiserror::Error;

use super::pace::{Flow, Pace};
use crate::model::text::{MAX_REASON, Printable};
use crate::recording::sanitizer::Sanitizer;
use crate::recording::{
    Event, EventKind, ExitNote, GapNote, Header, Reader, RecordingError, Sought,
};
use crate::store::StoreError;

/// How long a warning stands before the screen is cleared.
const WARNING: Duration = Duration::from_secs(2);

/// How a replay fails.
#[derive(Debug, Error)]
pub(in crate::cli) enum PlayError {
    /// The recording is damaged or cannot be read; what came before was shown.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// The recording cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The terminal cannot be used.
    #[error("cannot use the terminal")]
    Output(#[from] io::Error),
}

/// How a replay ends.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum ReplayEnd {
    /// The recording was shown to its end; how the session ended, if that is known.
    Played(Option<ExitNote>),
    /// The user ended it.
    Quit,
}

/// What the replay is shown on.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Screen {
    /// Its size in characters, where it has one.
    pub(in crate::cli) size: Option<(u16, u16)>,
    /// Whether it is a terminal, so that it needs clearing and restoring.
    pub(in crate::cli) is_watched: bool,
}

/// A replay.
#[derive(Debug)]
pub(in crate::cli) struct Player<W> {
    out: W,
    screen: Screen,
    pace: Option<Pace>,
    has_pty: bool,
    size: (u16, u16),
    outgrown: Option<(u16, u16)>,
    neutral: Sanitizer,
    shown: Vec<u8>,
    ends_in_cr: bool,
}

impl<W: Write> Player<W> {
    pub(in crate::cli) fn new(out: W, screen: Screen, pace: Option<Pace>, header: &Header) -> Self {
        Self {
            out,
            screen,
            pace,
            has_pty: header.pty.is_some(),
            size: header.size(),
            outgrown: None,
            neutral: Sanitizer::new(),
            shown: Vec::new(),
            ends_in_cr: false,
        }
    }

    /// Shows what the terminal showed at a time, then the events that followed, each when it is due.
    pub(super) fn play_from(
        &mut self,
        at: Duration,
        sought: &mut Sought<impl Read>,
    ) -> Result<ReplayEnd, PlayError> {
        if let Some(screen) = sought.screen() {
            self.size = (screen.cols, screen.rows);
        }
        if self.begin()? == Flow::Quit {
            return Ok(ReplayEnd::Quit);
        }
        if let Some(screen) = sought.screen() {
            self.output(&screen.bytes)?;
        }
        self.follow(at, sought)
    }

    /// Shows all events, each when it is due.
    pub(super) fn play(&mut self, reader: &mut Reader<impl Read>) -> Result<ReplayEnd, PlayError> {
        if self.begin()? == Flow::Quit {
            return Ok(ReplayEnd::Quit);
        }
        self.follow(Duration::ZERO, reader)
    }

    /// Shows events from a time on.
    fn follow(
        &mut self,
        at: Duration,
        events: impl Iterator<Item = Result<Event, RecordingError>>,
    ) -> Result<ReplayEnd, PlayError> {
        let mut last = at;
        let mut exit = None;
        for event in events {
            let event = event?;
            let is_visible = matches!(
                event.kind,
                EventKind::Output { .. } | EventKind::Resize { .. } | EventKind::Gap(_)
            );
            if is_visible {
                if self.wait(event.at.saturating_sub(last)) == Flow::Quit {
                    return Ok(ReplayEnd::Quit);
                }
                last = event.at;
            }
            if let EventKind::Exit(note) = &event.kind {
                exit = Some(note.clone());
            }
            self.show(&event)?;
        }
        Ok(ReplayEnd::Played(exit))
    }

    /// Puts the terminal back into its normal state.
    pub(in crate::cli) fn restore(&mut self) -> io::Result<()> {
        if self.screen.is_watched {
            self.shown.clear();
            self.neutral.reset(&mut self.shown);
            if self.has_pty {
                // Below what was shown, wherever the cursor stood.
                self.shown.extend_from_slice(b"\r\n");
            }
            self.out.write_all(&self.shown)?;
        }
        self.out.flush()
    }

    /// What the viewer has to know, if the session's terminal was larger than this one.
    pub(in crate::cli) fn outgrown(&self) -> Option<String> {
        let (cols, rows) = self.outgrown?;
        Some(format!(
            "rproxy: the session's terminal was {cols}x{rows}, larger than this one: \
             what did not fit was shown in the wrong place"
        ))
    }

    /// Whether it is shown on a terminal.
    pub(in crate::cli) fn is_watched(&self) -> bool {
        self.screen.is_watched
    }

    pub(in crate::cli) fn begin(&mut self) -> io::Result<Flow> {
        if !self.has_pty || !self.screen.is_watched {
            return Ok(Flow::Go);
        }
        self.measure();
        if let Some((cols, rows)) = self.outgrown {
            write!(
                self.out,
                "The session's terminal was {cols}x{rows}, larger than this one.\r\n"
            )?;
            self.out.flush()?;
            if self.wait_for(WARNING) == Flow::Quit {
                return Ok(Flow::Quit);
            }
        }
        self.out.write_all(b"\x1b[H\x1b[2J")?;
        self.confine()?;
        Ok(Flow::Go)
    }

    pub(in crate::cli) fn show(&mut self, event: &Event) -> io::Result<()> {
        match &event.kind {
            EventKind::Output { bytes, .. } => self.output(bytes),
            EventKind::Resize { cols, rows } => {
                self.size = (*cols, *rows);
                self.measure();
                self.confine()
            }
            EventKind::Gap(gap) => self.gap(gap),
            _ => Ok(()),
        }
    }

    pub(in crate::cli) fn output(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.shown.clear();
        if self.has_pty || !self.screen.is_watched {
            self.neutral.feed(bytes, &mut self.shown);
        } else {
            // Nothing translated the line feeds of a pipe, and nothing does it now.
            let mut lines = Vec::with_capacity(bytes.len());
            for byte in bytes {
                if *byte == b'\n' && !self.ends_in_cr {
                    lines.push(b'\r');
                }
                lines.push(*byte);
                self.ends_in_cr = *byte == b'\r';
            }
            self.neutral.feed(&lines, &mut self.shown);
        }
        self.out.write_all(&self.shown)?;
        self.out.flush()
    }

    fn gap(&mut self, gap: &GapNote) -> io::Result<()> {
        let what = if gap.bytes == 0 && gap.events == 0 {
            // The relay was in the middle of something. The file says why, and is not to be trusted.
            let reason = Printable(&gap.reason).within(MAX_REASON);
            format!("the session was broken off here: {reason}")
        } else {
            format!("{} bytes are missing here", gap.bytes)
        };
        write!(self.out, "\r\n[rproxy: {what}]\r\n")?;
        self.out.flush()
    }

    /// Notes when the session's terminal is larger than this one.
    fn measure(&mut self) {
        let Some((cols, rows)) = self.screen.size else {
            return;
        };
        if self.has_pty && (self.size.0 > cols || self.size.1 > rows) {
            let (most_cols, most_rows) = self.outgrown.unwrap_or(self.size);
            self.outgrown = Some((most_cols.max(self.size.0), most_rows.max(self.size.1)));
        }
    }

    /// Scrolls where the session's terminal did.
    fn confine(&mut self) -> io::Result<()> {
        let Some((_, rows)) = self.screen.size.filter(|_| self.has_pty) else {
            return Ok(());
        };
        self.shown.clear();
        self.neutral.confine(self.size.1.min(rows), &mut self.shown);
        self.out.write_all(&self.shown)?;
        self.out.flush()
    }

    fn wait(&mut self, recorded: Duration) -> Flow {
        match &mut self.pace {
            Some(pace) => pace.wait(recorded),
            None => Flow::Go,
        }
    }

    /// Waits for a time that no speed changes.
    fn wait_for(&mut self, time: Duration) -> Flow {
        match &mut self.pace {
            Some(pace) => pace.wait_unscaled(time),
            None => Flow::Go,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::super::keys::KeyPress;
    use super::*;
    use crate::model::SessionKind;
    use crate::recording::testing::header;
    use crate::recording::{Live, Options, Pty, Stream};

    const UNWATCHED: Screen = Screen {
        size: None,
        is_watched: false,
    };
    const SMALL: Screen = Screen {
        size: Some((80, 24)),
        is_watched: true,
    };

    fn recording(pty: Option<(u32, u32)>, record: impl FnOnce(&mut Live<Vec<u8>>)) -> Vec<u8> {
        let pty = pty.map(|(cols, rows)| Pty {
            term: "xterm".into(),
            cols,
            rows,
        });
        let header = Header {
            pty,
            ..header(SessionKind::Shell, false)
        };
        let mut live =
            Live::start(Vec::new(), &header, Options::default(), Duration::ZERO).unwrap();
        record(&mut live);
        live.finish(Duration::from_secs(3600)).unwrap().0
    }

    fn play(
        file: &[u8],
        screen: Screen,
        pace: Option<Pace>,
    ) -> (ReplayEnd, String, Option<(u16, u16)>) {
        let mut reader = Reader::open(file).unwrap();
        let mut player = Player::new(Vec::new(), screen, pace, reader.header());
        let ending = player.play(&mut reader).unwrap();
        player.restore().unwrap();
        let outgrown = player.outgrown;
        (ending, String::from_utf8(player.out).unwrap(), outgrown)
    }

    #[test]
    fn without_a_terminal_the_output_is_written_at_once_and_neutral() {
        let file = recording(Some((80, 24)), |live| {
            live.output(Duration::ZERO, Stream::Stdout, b"a\x1b]52;c;x\x07\r\n");
            live.output(Duration::from_secs(3000), Stream::Stdout, b"b\x1b[6n");
            live.exit(Duration::from_secs(3000), &ExitNote::Status(4));
        });
        let (ending, shown, _) = play(&file, UNWATCHED, None);
        assert_eq!(ending, ReplayEnd::Played(Some(ExitNote::Status(4))));
        assert_eq!(shown, "a\r\nb");
    }

    #[test]
    fn a_pipe_gets_its_line_feeds_on_a_terminal() {
        let file = recording(None, |live| {
            live.output(Duration::ZERO, Stream::Stdout, b"a\nb\r\n");
        });
        assert!(play(&file, SMALL, None).1.starts_with("a\r\nb\r\n\x1b"));
        assert_eq!(play(&file, UNWATCHED, None).1, "a\nb\r\n");
    }

    #[test]
    fn resizes_are_followed_and_too_large_ones_told() {
        let file = recording(Some((80, 20)), |live| {
            live.resize(Duration::ZERO, 100, 22);
            live.output(Duration::ZERO, Stream::Stdout, b"x\x1b[r");
            live.resize(Duration::ZERO, 70, 50);
        });
        let (_, shown, outgrown) = play(&file, SMALL, None);
        assert_eq!(outgrown, Some((100, 50)));
        let regions: Vec<&str> = shown
            .split("\x1b[1;")
            .skip(1)
            .map(|rest| &rest[..3])
            .collect();
        assert_eq!(regions, ["20r", "22r", "22r", "24r"]);
        assert!(shown.contains("\x1b[?25h"));
    }

    #[test]
    fn a_gap_is_shown() {
        let file = recording(Some((80, 24)), |live| {
            let reason = "disk full".to_owned();
            let gap = GapNote {
                bytes: 7,
                events: 1,
                reason,
            };
            live.gap(Duration::ZERO, &gap);
        });
        assert!(
            play(&file, UNWATCHED, None)
                .1
                .contains("7 bytes are missing")
        );
    }

    #[test]
    fn it_is_shown_why_a_session_was_broken_off() {
        let file = recording(Some((80, 24)), |live| {
            let gap = GapNote {
                bytes: 0,
                events: 0,
                reason: "kil\x1b\u{9b}led".to_owned(),
            };
            live.gap(Duration::ZERO, &gap);
        });
        let (_, shown, _) = play(&file, UNWATCHED, None);
        assert!(
            shown.ends_with("broken off here: kil\\u{1b}\\u{9b}led]\r\n"),
            "{shown:?}"
        );
    }

    #[test]
    fn a_replay_begins_with_what_the_terminal_showed() {
        let file = recording(Some((80, 20)), |live| {
            let at = Duration::from_secs;
            live.output(at(1), Stream::Stdout, b"one\r\n\x1b[31mtwo\x1b]52;c;x\x07");
            live.resize(at(2), 100, 22);
            live.output(at(3), Stream::Stdout, b"three");
            live.output(at(5), Stream::Stdout, b"\r\nfour");
        });
        let at = Duration::from_secs(3);
        let mut sought = Sought::open(io::Cursor::new(&file), at).unwrap();
        let mut player = Player::new(Vec::new(), SMALL, None, sought.header());
        let ending = player.play_from(at, &mut sought).unwrap();
        assert_eq!(ending, ReplayEnd::Played(None));
        assert_eq!(player.outgrown, Some((100, 22)));
        let shown = String::from_utf8(player.out).unwrap();
        let places = ["one", "two", "three", "four"].map(|text| shown.find(text).unwrap());
        assert!(places.is_sorted(), "{shown:?}");
        assert!(!shown.contains("52;c"));
    }

    #[test]
    fn a_pipe_that_is_played_from_a_time_begins_there() {
        let file = recording(None, |live| {
            live.output(Duration::from_secs(1), Stream::Stdout, b"before\n");
            live.output(Duration::from_secs(3), Stream::Stdout, b"after\n");
        });
        let at = Duration::from_secs(2);
        let mut sought = Sought::open(io::Cursor::new(&file), at).unwrap();
        let mut player = Player::new(Vec::new(), UNWATCHED, None, sought.header());
        player.play_from(at, &mut sought).unwrap();
        assert_eq!(player.out, b"after\n");
    }

    #[test]
    fn the_user_can_quit() {
        let file = recording(Some((80, 24)), |live| {
            live.output(Duration::from_secs(3600), Stream::Stdout, b"late");
        });
        let (sender, keys) = sync_channel(4);
        sender.send(KeyPress::Quit).unwrap();
        let (ending, shown, _) = play(&file, SMALL, Some(Pace::new(1.0, None, keys)));
        assert_eq!(ending, ReplayEnd::Quit);
        assert!(!shown.contains("late"));
    }
}

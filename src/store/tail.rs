//! Reads a recording's file while it is written: at the present end of the file, the reader waits.
//!
//! It does not communicate with the writer, so a slow reader does not slow the writer. A
//! [`Reader`](crate::recording::Reader) over it returns no partial event: it waits for the rest.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use super::error::StoreError;
use super::lock;
use crate::recording::{Footer, RecordingError};
use crate::sys::fs::{self, FsError};

/// How often a file is looked at that has nothing new.
const INTERVAL: Duration = Duration::from_millis(50);

/// A file that may grow. It ends when its writer is done with it, or is gone.
pub struct Tail {
    file: File,
    at: u64,
    /// What was there when it was opened.
    past: u64,
    /// Is told once, as soon as all of that was read.
    on_caught_up: Option<Box<dyn FnOnce() + Send>>,
    is_over: bool,
}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tail")
            .field("at", &self.at)
            .field("past", &self.past)
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}

impl Tail {
    /// Opens a file. `on_caught_up` is called when everything that is in it now was read, and more is
    /// asked for.
    ///
    /// # Errors
    /// When it cannot be opened, or is no regular file.
    pub fn open(
        path: &Path,
        on_caught_up: impl FnOnce() + Send + 'static,
    ) -> Result<Self, StoreError> {
        let failed = |error| FsError::io("read", path)(error);
        let metadata = std::fs::symlink_metadata(path).map_err(failed)?;
        if !metadata.is_file() {
            return Err(RecordingError::NotARecording("it is no regular file").into());
        }
        // It may have been replaced meanwhile.
        let file = fs::open_regular(path)?;
        Ok(Self {
            past: file.metadata().map_err(failed)?.len(),
            file,
            at: 0,
            on_caught_up: Some(Box::new(on_caught_up)),
            is_over: false,
        })
    }

    /// Whether nothing will come any more: there is a footer, or no writer holds the file.
    fn has_ended(&mut self) -> io::Result<bool> {
        if !lock::is_taken(&self.file) {
            return Ok(true);
        }
        let footer = Footer::find(&mut self.file);
        self.file.seek(SeekFrom::Start(self.at))?;
        match footer {
            Ok(footer) => Ok(footer.is_some()),
            Err(RecordingError::Read(error)) => Err(error),
            Err(_no_footer) => Ok(false),
        }
    }
}

impl Read for Tail {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.past.saturating_sub(self.at);
        let limit = if left > 0 {
            // The finished part is read separately, so that its end is reported when all of it was
            // read.
            usize::try_from(left).unwrap_or(usize::MAX)
        } else {
            if let Some(tell) = self.on_caught_up.take() {
                tell();
            }
            usize::MAX
        };
        let length = limit.min(buffer.len());
        let Some(buffer) = buffer.get_mut(..length).filter(|part| !part.is_empty()) else {
            return Ok(0);
        };
        loop {
            let count = self.file.read(buffer)?;
            if count > 0 {
                self.at += count as u64;
                return Ok(count);
            }
            if self.is_over {
                return Ok(0);
            }
            // What was written before the end is read after it was noticed.
            self.is_over = self.has_ended()?;
            if !self.is_over {
                std::thread::sleep(INTERVAL);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::model::{SessionId, SessionKind};
    use crate::recording::testing::header;
    use crate::recording::{Event, EventKind, ExitNote, Live, Options, Reader, State, Stream};
    use crate::store::file::{file_name, start};

    const ORIGIN: Duration = Duration::ZERO;
    const PATIENCE: Duration = Duration::from_secs(20);

    /// What a follower gives.
    #[derive(Debug)]
    enum TailEvent {
        CaughtUp,
        Event(Event),
        End(State),
    }

    struct Followed {
        live: Live<File>,
        given: Receiver<TailEvent>,
        _directory: tempfile::TempDir,
        path: std::path::PathBuf,
    }

    /// A recording with `past` in it, and a thread that follows it.
    fn follow(past: &[u8]) -> Followed {
        let directory = tempfile::tempdir().unwrap();
        let mut header = header(SessionKind::Exec, false);
        header.session = SessionId::new();
        let path = directory.path().join("r").join(file_name(header.session));
        let mut live = start(
            &directory.path().join("r"),
            &header,
            Options::default(),
            ORIGIN,
        )
        .unwrap();
        live.output(ORIGIN, Stream::Stdout, past);
        live.commit().unwrap();
        let (sender, given) = channel();
        let told = sender.clone();
        let tail = Tail::open(&path, move || told.send(TailEvent::CaughtUp).unwrap()).unwrap();
        std::thread::spawn(move || {
            let mut reader = Reader::open(tail).unwrap();
            for event in &mut reader {
                sender.send(TailEvent::Event(event.unwrap())).unwrap();
            }
            sender.send(TailEvent::End(reader.state().clone())).unwrap();
        });
        Followed {
            live,
            given,
            _directory: directory,
            path,
        }
    }

    impl Followed {
        fn next(&self) -> TailEvent {
            self.given.recv_timeout(PATIENCE).unwrap()
        }

        fn output(&self) -> Vec<u8> {
            match self.next() {
                TailEvent::Event(Event {
                    kind: EventKind::Output { bytes, .. },
                    ..
                }) => bytes,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn the_past_then_what_comes_then_the_end() {
        let mut followed = follow(b"past");
        assert_eq!(followed.output(), b"past");
        assert!(matches!(followed.next(), TailEvent::CaughtUp));
        for text in [b"one".as_slice(), b"two", &vec![b'x'; 300_000]] {
            followed.live.output(ORIGIN, Stream::Stdout, text);
            followed.live.commit().unwrap();
            let mut seen = Vec::new();
            while seen.len() < text.len() {
                seen.extend(followed.output());
            }
            assert_eq!(seen, text);
        }
        // Also when the file has lost its name.
        std::fs::remove_file(&followed.path).unwrap();
        followed.live.exit(ORIGIN, &ExitNote::Status(3));
        let Followed { live, given, .. } = followed;
        // The footer is the end, even if the file is still held.
        let (_held, _) = live.finish(ORIGIN).unwrap();
        let next = || given.recv_timeout(PATIENCE).unwrap();
        assert!(matches!(
            next(),
            TailEvent::Event(Event {
                kind: EventKind::Exit(ExitNote::Status(3)),
                ..
            })
        ));
        assert!(matches!(next(), TailEvent::End(State::Complete(_))));
    }

    #[test]
    fn a_writer_that_is_gone_is_the_end() {
        let followed = follow(b"past");
        assert_eq!(followed.output(), b"past");
        assert!(matches!(followed.next(), TailEvent::CaughtUp));
        let Followed { live, given, .. } = followed;
        drop(live);
        let end = given.recv_timeout(PATIENCE).unwrap();
        assert!(matches!(end, TailEvent::End(State::Truncated)), "{end:?}");
    }

    /// A commit that arrives byte by byte shows as whole events, each when its last byte is there.
    #[test]
    fn no_event_is_torn() {
        let directory = tempfile::tempdir().unwrap();
        let mut live = Live::start(
            Vec::new(),
            &header(SessionKind::Shell, true),
            Options::default(),
            ORIGIN,
        )
        .unwrap();
        for number in 0..20 {
            let text = format!("line {number}\u{e9}\r\n");
            live.output(ORIGIN, Stream::Stdout, text.as_bytes());
            live.output(ORIGIN, Stream::Stderr, b"\xff\xfe");
            live.commit().unwrap();
        }
        let (bytes, _) = live.finish(ORIGIN).unwrap();
        let whole: Vec<Event> = Reader::open(bytes.as_slice())
            .unwrap()
            .map(Result::unwrap)
            .collect();

        let path = directory.path().join("x.cast.zst");
        let mut file = fs::create_new(&path, 0o600).unwrap();
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
        let (sender, given) = channel();
        let tail = Tail::open(&path, || {}).unwrap();
        let reading = std::thread::spawn(move || {
            for event in Reader::open(tail).unwrap() {
                sender.send(event.unwrap()).unwrap();
            }
        });
        for part in bytes.chunks(7) {
            io::Write::write_all(&mut file, part).unwrap();
            std::thread::sleep(Duration::from_micros(500));
        }
        reading.join().unwrap();
        assert_eq!(given.into_iter().collect::<Vec<_>>(), whole);
    }

    #[test]
    fn only_a_regular_file_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        for path in [directory.path(), &link, &directory.path().join("missing")] {
            assert!(Tail::open(path, || {}).is_err());
        }
    }
}

//! A disk that fills up: nothing that was committed is lost, and the file stays readable.

use std::io::{self, Write};

use super::*;

/// Takes bytes until its room is used up.
#[derive(Debug, Default)]
struct Tight {
    bytes: Vec<u8>,
    room: usize,
}

impl Write for Tight {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.room);
        if count == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.room -= count;
        self.bytes.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Shares a [`Tight`] with the test.
#[derive(Clone, Debug)]
struct SharedDisk(std::rc::Rc<std::cell::RefCell<Tight>>);

impl SharedDisk {
    fn new(room: usize) -> Self {
        let bytes = Vec::new();
        Self(std::rc::Rc::new(std::cell::RefCell::new(Tight {
            bytes,
            room,
        })))
    }

    fn give(&self, room: usize) {
        self.0.borrow_mut().room += room;
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.borrow().bytes.clone()
    }
}

impl Write for SharedDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_write_that_fails_half_way_leaves_a_gap_and_a_sound_file() {
    for room in 1..120 {
        let disk = SharedDisk::new(usize::MAX);
        let origin = Duration::ZERO;
        let header = header(SessionKind::Shell, true);
        let mut live = Live::start(disk.clone(), &header, Options::default(), origin).unwrap();
        disk.0.borrow_mut().room = room;
        let mut relayed = 0;
        let mut is_full = false;
        for n in 0..20u8 {
            live.output(origin, Stream::Stdout, &[b'a' + n; 50]);
            relayed += 50;
            is_full |= live.commit().is_err();
            let so_far = disk.bytes();
            let mut reader = Reader::open(so_far.as_slice()).unwrap();
            assert!(reader.by_ref().all(|event| event.is_ok()));
            assert_eq!(reader.state(), &State::Truncated);
        }
        assert!(is_full);
        disk.give(usize::MAX / 2);
        live.output(origin, Stream::Stdout, b"after");
        live.commit().unwrap();
        let summary = live.finish(origin).unwrap().1;
        let (events, state) = read(&disk.bytes());
        assert_eq!(state, State::Complete(summary.footer.clone()));
        let totals = summary.footer.bytes;
        assert_eq!(totals.stdout + totals.lost, relayed + 5);
        assert!(totals.lost > 0);
        let gap = events
            .iter()
            .position(|event| matches!(event.kind, EventKind::Gap(_)));
        assert_eq!(
            gap,
            Some(events.len() - 2),
            "the gap stands before what came after it"
        );
        assert!(story(&disk.bytes()).stdout.ends_with(b"after"));
    }
}

#[test]
fn a_header_that_cannot_be_written_is_an_error() {
    let refused = Live::start(
        SharedDisk::new(20),
        &header(SessionKind::Shell, true),
        Options::default(),
        Duration::ZERO,
    );
    assert!(matches!(refused.unwrap_err(), RecordingError::Write(_)));
}

#[test]
fn an_idle_session_holds_little_memory() {
    let mut live = Live::start(
        io::sink(),
        &header(SessionKind::Shell, true),
        Options::default(),
        Duration::ZERO,
    )
    .unwrap();
    for _ in 0..100 {
        live.output(Duration::ZERO, Stream::Stdout, &[b'x'; 8000]);
        live.commit().unwrap();
    }
    let busy = live.held();
    live.idle().unwrap();
    assert!((64 << 10..4 << 20).contains(&busy), "{busy}");
    // What is left is what the terminal shows.
    assert!(live.held() < 4 << 10, "{}", live.held());
}

//! Bytes into a recording that goes nowhere: events, compression, framing.

use std::hint::black_box;
use std::io::{Read, Sink, sink};
use std::time::Duration;

use rproxy::model::{ConnectionId, SessionId, SessionKind};
use rproxy::recording::{Header, Live, Options, Pty, Stream};
use rproxy::sys::clock::Clock;

use super::{Result, Work};

/// The data of one read when much is waiting, in bytes.
const READ: usize = 128 * 1024;
/// Commits in one run.
const COMMITS: usize = 16;

pub(super) fn zeros() -> Result<Work> {
    record(vec![0; READ], None)
}

pub(super) fn random() -> Result<Work> {
    let mut bytes = vec![0; READ];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    record(bytes, None)
}

/// A listing with colours, as a program at a terminal writes it.
pub(super) fn terminal() -> Result<Work> {
    let mut text = String::new();
    for number in 0.. {
        text.push_str(&format!(
            "-rw-r--r-- 1 alice alice {:>8} Nov  1 10:{:02} \x1b[01;34mfile-{number}\x1b[0m\r\n",
            number * 7919 % 100_003,
            number % 60,
        ));
        if text.len() > 4 * 1024 {
            break;
        }
    }
    let pty = Pty {
        term: "xterm-256color".into(),
        cols: 80,
        rows: 24,
    };
    record(text.into_bytes(), Some(pty))
}

/// One commit for each read, as the relay does it.
fn record(bytes: Vec<u8>, pty: Option<Pty>) -> Result<Work> {
    let mut live = start(pty)?;
    let mut now = Duration::ZERO;
    Ok(Work {
        bytes: COMMITS * bytes.len(),
        operations: COMMITS,
        run: Box::new(move || {
            for _ in 0..COMMITS {
                now += Duration::from_millis(1);
                live.output(now, Stream::Stdout, black_box(&bytes));
                live.commit()?;
            }
            Ok(())
        }),
    })
}

fn start(pty: Option<Pty>) -> Result<Live<Sink>> {
    let (session, connection) = (SessionId::new(), ConnectionId::new());
    let header = Header {
        cluster: "example.com".to_owned(),
        user: "alice".to_owned(),
        login: "deploy".to_owned(),
        target: "db1:22".to_owned(),
        pty,
        ..Header::new(session, connection, SessionKind::Shell, Clock::System.now())
    };
    Ok(Live::start(
        sink(),
        &header,
        Options::default(),
        Duration::ZERO,
    )?)
}

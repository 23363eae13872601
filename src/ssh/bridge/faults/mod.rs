//! Faults at every packet boundary of a relayed session, on both legs, in both directions: a stream
//! that is cut, reset, delayed, stalled for good, or that gives single bytes.
//!
//! Everything is the real thing but the sockets and the time: two transports, the relay, its recorder
//! on a disk. The clock is wound forward whenever no task can go on, so a connection that nothing
//! would ever end shows as one that reaches [`FOREVER`].

mod held;
pub(super) mod opening;
mod peers;
pub(super) mod stream;

use std::fs::File;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ssh_key::PrivateKey;
use tempfile::TempDir;
use tokio::io::duplex;
use tokio::sync::mpsc;
use tokio::time::timeout;

use self::peers::{Observed, STATUS, TYPED, host, user};
use self::stream::Fault;
pub(super) use self::stream::Faulty;
use super::legs::Legs;
use super::pump::Bridge;
use crate::access::{LoginPermit, Permissions};
use crate::cert::testing::{NOW, ed25519};
use crate::model::DataDir;
use crate::recording::{EventKind, Reader, State};
use crate::relay::{Peers, Relay};
use crate::session::{Inbox, Recorder, RecordingPolicy, Registry, testing};
use crate::ssh::budget::Share;
use crate::ssh::leg::{Leg, LegError, LegEvent};
use crate::ssh::timers::{ConnectionTimers, TimeLimits};
use crate::sys::clock::Clock;
use crate::wire::{Algorithms, ClientConfig, HostKey, Kex, ServerConfig, Transport};

/// When a connection counts as never ending.
const FOREVER: Duration = Duration::from_secs(24 * 3600);
/// How long a side may be silent.
const LIMITS: TimeLimits = TimeLimits {
    idle: Duration::from_secs(600),
    ends_with_certificate: false,
    keep_alive_interval: Duration::from_secs(30),
    keep_alive_count_max: 3,
};
/// How long the handshake may take, as `login_grace_time` and `connect_timeout` have it.
pub(super) const GRACE: Duration = Duration::from_secs(120);
/// A delay that equals none of the time limits.
const DELAY: Duration = Duration::from_secs(50);
/// Between the bytes at which something happens, beside those at which a packet of the ends is known
/// to end. No encrypted packet is so short, so none is left out.
const STEP: usize = 23;

/// A leg, and a direction of it as the proxy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FaultPoint {
    FromUser,
    ToUser,
    FromHost,
    ToHost,
}

const PLACES: [FaultPoint; 4] = [
    FaultPoint::FromUser,
    FaultPoint::ToUser,
    FaultPoint::FromHost,
    FaultPoint::ToHost,
];

/// How a session went.
struct Run {
    user: Observed,
    host: Observed,
    /// The recording's streams; `None` without a session.
    recorded: Option<[Vec<u8>; 3]>,
    /// The proxy's half of both legs: how many bytes went each way.
    moved: [usize; 4],
}

/// A transport with few algorithms, so that there are few bytes to fail at.
pub(super) fn transport(is_server: bool) -> Transport {
    static KEY: OnceLock<PrivateKey> = OnceLock::new();
    let algorithms = Algorithms::default().only_kex(Kex::Curve25519Sha256);
    let algorithms = algorithms.only_cipher(crate::wire::Cipher::Aes128Gcm);
    if is_server {
        let key = HostKey::new(KEY.get_or_init(ed25519).clone(), None);
        Transport::server(Arc::new(ServerConfig {
            algorithms,
            ..ServerConfig::new(vec![key.expect("a host key")])
        }))
    } else {
        Transport::client(Arc::new(ClientConfig {
            algorithms,
            host_key_algorithms: vec!["ssh-ed25519".to_owned()],
            ..ClientConfig::default()
        }))
    }
}

/// A recorder that does not wait for new keys each time.
pub(super) fn recorder(directory: &TempDir) -> (Recorder, Registry, Inbox) {
    static PERMIT: OnceLock<LoginPermit> = OnceLock::new();
    let permit = PERMIT.get_or_init(testing::permit).clone();
    testing::recorder(directory.path(), permit, RecordingPolicy::Strict)
}

/// Both handshakes of a proxy; the client is let in once the host has let the proxy in.
pub(super) async fn handshakes(
    client: &mut Leg<Faulty>,
    host: &mut Leg<Faulty>,
) -> Result<(), LegError> {
    while !matches!(client.next().await?, LegEvent::Established) {}
    loop {
        match host.next().await? {
            LegEvent::HostKey(_) => host.transport.accept_host_key()?,
            LegEvent::Established => {}
            LegEvent::Packet(_success) => break,
        }
    }
    client
        .transport
        .send(&[crate::wire::message::USERAUTH_SUCCESS])?;
    Ok(())
}

/// The proxy between the two ends: both handshakes, then the bridge as it is.
async fn proxy(to_user: Faulty, to_host: Faulty, recorder: Recorder, share: Share) {
    let mut client = Leg::new(to_user, transport(true));
    let mut host = Leg::new(to_host, transport(false));
    let established = handshakes(&mut client, &mut host);
    if !matches!(timeout(GRACE, established).await, Ok(Ok(()))) {
        return;
    }
    let timers = ConnectionTimers::new(&LIMITS, u64::MAX, Clock::Fixed(NOW), None);
    let relay = Relay::new(Peers::default(), Arc::new(Permissions::default()));
    let legs = Legs { client, host };
    let mut bridge = Bridge::new(legs, relay, recorder, timers, share);
    // Nothing changes what it may carry, and no command ends it.
    let (_sender, updates) = mpsc::channel(1);
    let (_sender, commands) = mpsc::channel(1);
    let (_sender, joining) = mpsc::channel(1);
    let inbox = Inbox { commands, joining };
    let Err(end) = bridge
        .drive(pin!(std::future::pending()), updates, inbox)
        .await;
    bridge.finish(end, |_| ()).await;
}

/// One session, with what `prepare` does to the proxy's two streams.
async fn run(prepare: impl FnOnce(&mut Faulty, &mut Faulty)) -> Run {
    let directory = tempfile::tempdir().expect("a directory");
    let (at_user, to_user) = duplex(WIDE);
    let (at_host, to_host) = duplex(WIDE);
    let (mut to_user, mut to_host) = (Faulty::new(to_user), Faulty::new(to_host));
    prepare(&mut to_user, &mut to_host);
    let moved = [
        to_user.reading.moved(),
        to_user.writing.moved(),
        to_host.reading.moved(),
        to_host.writing.moved(),
    ];
    let work = Box::pin(async {
        tokio::join!(
            user(Faulty::new(at_user)),
            host(Faulty::new(at_host)),
            proxy(to_user, to_host, recorder(&directory).0, Share::alone()),
        )
    });
    let (user, host, ()) = timeout(FOREVER, work).await.expect("it ends");
    Run {
        user,
        host,
        recorded: recorded(&directory),
        moved: moved.map(|moved| moved.load(std::sync::atomic::Ordering::Relaxed)),
    }
}

/// More than ever waits.
const WIDE: usize = 1 << 20;

/// The streams of the one recording, which must be complete, and audited from its start to its end.
fn recorded(directory: &TempDir) -> Option<[Vec<u8>; 3]> {
    let read = || {
        let audit =
            std::fs::read_to_string(DataDir::new(directory.path().join("data")).audit_log());
        let audit = audit.unwrap_or_default();
        let count = |event: &str| audit.matches(&format!("\"event\":\"{event}\"")).count();
        (count("session.start"), count("session.end"), audit)
    };
    // The end is audited when the disk has the recording, by a thread of its own.
    let until = std::time::Instant::now() + FOREVER;
    let (mut starts, mut ends, mut audit) = read();
    while starts != ends && std::time::Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
        (starts, ends, audit) = read();
    }
    assert_eq!(starts, ends, "{audit}");
    let files = std::fs::read_dir(DataDir::new(directory.path()).recordings()).ok()?;
    let files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    let [file] = files.as_slice() else {
        panic!("one recording, not {files:?}");
    };
    assert_eq!(starts, 1, "{audit}");
    let mut streams = [const { Vec::new() }; 3];
    let mut reader = Reader::open(File::open(file).expect("a file")).expect("a recording");
    for event in reader.by_ref() {
        match event.expect("undamaged").kind {
            EventKind::Output { stream, bytes } => {
                streams[stream as usize].extend_from_slice(&bytes);
            }
            EventKind::Input(bytes) => streams[0].extend_from_slice(&bytes),
            _ => {}
        }
    }
    assert!(matches!(reader.state(), State::Complete(_)), "sealed");
    Some(streams)
}

/// What holds however a session ends: nothing changed, added or left out on the way, and nothing
/// shown that was not recorded.
fn check(run: &Run, what: &str) {
    let [stdin, stdout, stderr] = run.recorded.clone().unwrap_or_default();
    // The proxy's own last words are for the user, and no part of what the host said.
    let words = run
        .user
        .stderr
        .windows(8)
        .position(|word| word == b"rproxy: ");
    let heard = &run.user.stderr[..words.unwrap_or(run.user.stderr.len())];
    for (name, said, recorded, heard) in [
        ("stdin", &run.user.stdin, &stdin, &run.host.stdin[..]),
        ("stdout", &run.host.stdout, &stdout, &run.user.stdout),
        ("stderr", &run.host.stderr, &stderr, heard),
    ] {
        assert!(said.starts_with(recorded), "{what}: {name} recorded");
        assert!(recorded.starts_with(heard), "{what}: {name} heard");
    }
}

/// What a session must be on which nothing but time was spent.
fn check_whole(run: &Run, what: &str) {
    check(run, what);
    let typed = TYPED.concat();
    assert_eq!(run.host.stdin, typed, "{what}");
    assert_eq!(
        run.user.stdout,
        [b"hello ", typed.as_slice()].concat(),
        "{what}"
    );
    assert_eq!(
        run.user.stderr,
        [TYPED[1], TYPED[3], TYPED[5]].concat(),
        "{what}"
    );
    assert_eq!(run.user.status, Some(STATUS), "{what}");
    assert!(run.user.closed, "{what}");
    let [stdin, stdout, stderr] = run.recorded.as_ref().expect("a recording");
    assert_eq!(
        (stdin, stdout, stderr),
        (&typed, &run.host.stdout, &run.host.stderr),
        "{what}"
    );
}

fn at(place: FaultPoint, byte: usize, fault: Fault) -> impl FnOnce(&mut Faulty, &mut Faulty) {
    move |to_user, to_host| match place {
        FaultPoint::FromUser => to_user.reading.fault(byte, fault),
        FaultPoint::ToUser => to_user.writing.fault(byte, fault),
        FaultPoint::FromHost => to_host.reading.fault(byte, fault),
        FaultPoint::ToHost => to_host.writing.fault(byte, fault),
    }
}

/// Where something happens: at the ends of packets, just before, just after, and in between.
fn bytes(place: FaultPoint, whole: &Run) -> Vec<usize> {
    let total = whole.moved[place as usize];
    let marks = match place {
        FaultPoint::FromUser => &whole.user.marks[..],
        FaultPoint::FromHost => &whole.host.marks[..],
        FaultPoint::ToUser | FaultPoint::ToHost => &[],
    };
    let ends = marks.iter().map(|(position, _)| *position);
    let mut bytes: Vec<usize> = (0..total)
        .step_by(STEP)
        .chain(ends.flat_map(|end| [end - 1, end, end + 1]))
        .chain([total - 1, total])
        .collect();
    bytes.sort_unstable();
    bytes.dedup();
    bytes
}

/// Every place, every byte that matters.
async fn everywhere(fault: Fault, check: impl Fn(&Run, &Run, FaultPoint, usize, &str)) {
    let whole = run(|_, _| {}).await;
    check_whole(&whole, "without a fault");
    assert!(whole.host.closed);
    for place in PLACES {
        for byte in bytes(place, &whole) {
            let what = format!("{fault:?} {place:?} at {byte}");
            let run = run(at(place, byte, fault)).await;
            check(&run, &whole, place, byte, &what);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_loses_nothing_that_was_whole_before_it() {
    everywhere(Fault::Cut, |run, whole, place, byte, what| {
        check(run, what);
        let before = |marks: &[peers::Mark]| {
            let whole = marks.iter().filter(|(position, _)| *position <= byte);
            whole.map(|(_, said)| *said).max().unwrap_or_default()
        };
        match place {
            FaultPoint::FromUser => {
                let said = before(&whole.user.marks);
                assert!(run.host.stdin.len() >= said, "{what}: {said} bytes");
            }
            FaultPoint::FromHost => {
                let said = before(&whole.host.marks);
                assert!(run.user.stdout.len() >= said, "{what}: {said} bytes");
            }
            FaultPoint::ToUser | FaultPoint::ToHost => {}
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_reset_ends_both_sides() {
    everywhere(Fault::Reset, |run, _, _, _, what| check(run, what)).await;
}

#[tokio::test(start_paused = true)]
async fn a_stall_is_not_waited_out_for_ever() {
    everywhere(Fault::Stall, |run, _, _, _, what| check(run, what)).await;
}

#[tokio::test(start_paused = true)]
async fn a_delay_changes_nothing() {
    everywhere(Fault::Delay(DELAY), |run, _, place, _, what| {
        check_whole(run, what);
        // The proxy does not wait that long to inform the host that its user is gone.
        assert!(run.host.closed || place == FaultPoint::ToHost, "{what}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn single_bytes_change_nothing() {
    let all = |to_user: &mut Faulty, to_host: &mut Faulty| {
        for stream in [to_user, to_host] {
            stream.reading.singly();
            stream.writing.singly();
        }
    };
    check_whole(&run(all).await, "everywhere");
    check_whole(
        &run(|to_user, _| to_user.reading.singly()).await,
        "from the user",
    );
    check_whole(
        &run(|to_user, _| to_user.writing.singly()).await,
        "to the user",
    );
    check_whole(
        &run(|_, to_host| to_host.reading.singly()).await,
        "from the host",
    );
    check_whole(
        &run(|_, to_host| to_host.writing.singly()).await,
        "to the host",
    );
}

//! People join, see, type and leave, without a connection.

use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;
use serde_json::Value;
use tokio::sync::Notify;

use super::queue::MAX_WAITING;
use super::*;
use crate::access::{JoinMode, LoginPermit};
use crate::model::{ConnectionId, ParticipantId, SessionId};
use crate::recording::{EventKind, Screen, Typed};
use crate::relay::{ChannelKey, Kind, Pty, Start, Stream, Tap as _};
use crate::session::{Inbox, Recorder, RecordingPolicy, Registry, testing};
use crate::store::file_name;

const CHANNEL: ChannelKey = ChannelKey(0);
const SIZE: (u16, u16) = (20, 4);

/// A recorder with one session.
struct Sitting {
    recorder: Recorder,
    registry: Registry,
    session: SessionId,
    wake: Arc<Notify>,
    _inbox: Inbox,
    directory: tempfile::TempDir,
}

/// Made once: its keys take time.
fn permit() -> LoginPermit {
    static PERMIT: std::sync::OnceLock<LoginPermit> = std::sync::OnceLock::new();
    PERMIT.get_or_init(testing::permit).clone()
}

impl Sitting {
    fn new(policy: RecordingPolicy, has_terminal: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (mut recorder, registry, inbox) = testing::recorder(directory.path(), permit(), policy);
        let pty = Pty {
            term: "xterm".into(),
            columns: SIZE.0.into(),
            rows: SIZE.1.into(),
        };
        let start = Start {
            kind: Kind::Shell,
            pty: has_terminal.then_some(pty),
            environment: Vec::new(),
            asked: Vec::new(),
        };
        recorder.start(CHANNEL, &start).unwrap();
        recorder.commit().unwrap();
        let session = registry.connections()[0].sessions()[0].id;
        Self {
            recorder,
            registry,
            session,
            wake: Arc::default(),
            _inbox: inbox,
            directory,
        }
    }

    fn shell() -> Self {
        Self::new(RecordingPolicy::Strict, true)
    }

    fn try_join(&mut self, user: &str, mode: JoinMode) -> Result<Participation, JoinRefusal> {
        let joiner = Joiner {
            user: user.to_owned(),
            client: "192.0.2.9:5".parse().unwrap(),
            connection: ConnectionId::new(),
            mode,
            rule: "role r, f:1".to_owned(),
        };
        let wake = Arc::clone(&self.wake);
        let admitted = self.recorder.admit(self.session, joiner, wake);
        admitted.map(|(participation, notice)| {
            assert_eq!(notice.text, format!("{user} joined ({mode})"));
            participation
        })
    }

    /// Somebody who has joined, and has seen the screen and the notice.
    fn join(&mut self, user: &str, mode: JoinMode) -> Participation {
        let participation = self.try_join(user, mode).unwrap();
        assert!(matches!(ready(&participation), Some(ViewPiece::Screen(_))));
        assert!(matches!(ready(&participation), Some(ViewPiece::Notice(_))));
        participation
    }

    fn output(&mut self, bytes: &[u8]) {
        self.recorder.data(CHANNEL, Stream::Stdout, bytes);
    }

    fn audit(&self) -> Vec<Value> {
        let file = self.directory.path().join("data/audit.jsonl");
        let text = std::fs::read_to_string(file).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn events(&self, name: &str) -> Vec<Value> {
        let mut events = self.audit();
        events.retain(|event| event["event"] == name);
        events
    }

    /// What the recording has so far.
    fn recorded(&self) -> Vec<EventKind> {
        let path = self.directory.path().join("recordings");
        let file = std::fs::File::open(path.join(file_name(self.session))).unwrap();
        let reader = crate::recording::Reader::open(file).unwrap();
        reader.map(|event| event.unwrap().kind).collect()
    }
}

/// What there is for a participant without waiting.
fn ready(participation: &Participation) -> Option<ViewPiece> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(participation.next()).poll(&mut context) {
        Poll::Ready(shown) => Some(shown),
        Poll::Pending => None,
    }
}

/// Types, as far as there is room.
fn press(participation: &Participation, bytes: &[u8]) {
    let mut context = Context::from_waker(Waker::noop());
    let _is_all = pin!(participation.type_in(bytes)).poll(&mut context);
}

#[test]
fn nothing_is_shown_before_it_is_recorded() {
    let mut sitting = Sitting::shell();
    let bob = sitting.join("bob", JoinMode::Observe);
    sitting.output(b"one");
    assert_eq!(ready(&bob), None);
    sitting.recorder.commit().unwrap();
    assert_eq!(ready(&bob), Some(ViewPiece::Output("one".into())));
    sitting.output(b"last");
    sitting.recorder.closed(CHANNEL);
    assert_eq!(ready(&bob), Some(ViewPiece::Output("last".into())));
    assert_eq!(ready(&bob), Some(ViewPiece::End));
}

#[test]
fn what_was_typed_is_recorded_and_audited_by_name() {
    let mut sitting = Sitting::shell();
    let bob = sitting.join("bob", JoinMode::Type);
    press(&bob, b"ls\r");
    let [keystrokes] = sitting.recorder.keystrokes().try_into().unwrap();
    assert_eq!(&keystrokes.bytes[..], b"ls\r");
    sitting
        .recorder
        .injected(CHANNEL, keystrokes.participant, &keystrokes.bytes[..2]);
    sitting.recorder.took(&keystrokes, 2);
    assert_eq!(&sitting.recorder.keystrokes()[0].bytes[..], b"\r");
    bob.leave("left", None);
    let [notice] = sitting.recorder.attend().try_into().unwrap();
    assert_eq!(notice.text, "bob left");
    assert!(!sitting.recorder.has_participants());
    sitting.recorder.commit().unwrap();
    let recorded = sitting.recorded();
    let marks: Vec<_> = recorded
        .iter()
        .filter_map(|kind| match kind {
            EventKind::Marker(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(marks, ["bob joined (type)", "bob left"]);
    let typed = recorded.iter().find_map(|kind| match kind {
        EventKind::ParticipantInput(input) => Some(input.clone()),
        _ => None,
    });
    let typed = typed.unwrap();
    assert_eq!((typed.participant, typed.user.as_str()), (1, "bob"));
    assert_eq!(typed.typed, Typed::Withheld(2));
    let [joined] = sitting.events("session.joined").try_into().unwrap();
    let expected = [
        ("owner", "alice"),
        ("user", "bob"),
        ("mode", "type"),
        ("rule", "role r, f:1"),
    ];
    for (field, value) in expected {
        assert_eq!(joined[field], value, "{joined}");
    }
    let [left] = sitting.events("session.left").try_into().unwrap();
    assert_eq!(
        (&left["reason"], &left["bytes_typed"]),
        (&"left".into(), &2.into())
    );
}

#[test]
fn an_observer_types_nothing() {
    let mut sitting = Sitting::shell();
    let bob = sitting.join("bob", JoinMode::Observe);
    press(&bob, b"rm -r /\r");
    assert_eq!(sitting.recorder.keystrokes(), []);
}

#[test]
fn who_types_faster_than_the_host_reads_waits() {
    let mut sitting = Sitting::shell();
    let bob = sitting.join("bob", JoinMode::Type);
    press(&bob, &vec![b'x'; 1 << 20]);
    let [waiting] = sitting.recorder.keystrokes().try_into().unwrap();
    assert_eq!(waiting.bytes.len(), queue::MAX_TYPED);
}

#[test]
fn who_is_there_is_listed_and_told() {
    let mut sitting = Sitting::shell();
    let bob = sitting.join("bob", JoinMode::Observe);
    let carol = sitting.join("carol", JoinMode::Type);
    assert_eq!(
        ready(&bob),
        Some(ViewPiece::Notice("carol joined (type)".to_owned()))
    );
    let session = sitting.registry.session(sitting.session).unwrap().1;
    let there: Vec<_> = session
        .participants()
        .into_iter()
        .map(|row| (row.user, row.mode))
        .collect();
    assert_eq!(
        there,
        [("bob".to_owned(), "observe"), ("carol".to_owned(), "type")]
    );
    drop(carol);
    let notices = sitting.recorder.attend();
    assert_eq!(notices.len(), 1);
    assert_eq!(
        ready(&bob),
        Some(ViewPiece::Notice("carol left".to_owned()))
    );
    assert_eq!(session.participants().len(), 1);
    let [left] = sitting.events("session.left").try_into().unwrap();
    assert_eq!(left["reason"], "disconnected");
    // A person who comes again is another participant.
    let again = sitting.join("carol", JoinMode::Type);
    assert_eq!(again.id().number(), 3);
}

#[test]
fn there_is_a_limit_and_it_counts_who_is_there() {
    let mut sitting = Sitting::shell();
    let mut there: Vec<_> = (0..16)
        .map(|_| sitting.join("bob", JoinMode::Observe))
        .collect();
    let refused = sitting.try_join("bob", JoinMode::Observe);
    assert_eq!(refused.unwrap_err(), JoinRefusal::Full);
    drop(there.pop());
    assert_eq!(sitting.recorder.attend().len(), 1);
    assert!(sitting.try_join("bob", JoinMode::Observe).is_ok());
}

#[test]
fn only_a_recorded_session_with_a_terminal_is_joined() {
    let join = |sitting: &mut Sitting| sitting.try_join("bob", JoinMode::Observe).unwrap_err();
    let mut pipe = Sitting::new(RecordingPolicy::Strict, false);
    assert_eq!(join(&mut pipe), JoinRefusal::NoTerminal);
    let mut unrecorded = Sitting::new(RecordingPolicy::Off, true);
    assert_eq!(join(&mut unrecorded), JoinRefusal::NotRecorded);
    let mut ended = Sitting::shell();
    ended.recorder.closed(CHANNEL);
    assert_eq!(join(&mut ended), JoinRefusal::Ended);
    for sitting in [pipe, unrecorded, ended] {
        assert!(sitting.events("session.joined").is_empty());
    }
}

#[test]
fn a_session_that_ends_ends_for_its_participants() {
    let mut sitting = Sitting::shell();
    let bob = sitting.join("bob", JoinMode::Type);
    sitting.recorder.end("client-left");
    assert_eq!(ready(&bob), Some(ViewPiece::End));
    let [left] = sitting.events("session.left").try_into().unwrap();
    assert_eq!(left["reason"], "session-ended");
    drop(bob);
    assert_eq!(sitting.events("session.left").len(), 1);
}

/// The connection's task is gone without a word.
#[test]
fn a_recorder_that_is_dropped_ends_it_too() {
    let mut sitting = Sitting::shell();
    let bob = sitting.join("bob", JoinMode::Observe);
    drop(sitting);
    assert_eq!(ready(&bob), Some(ViewPiece::End));
}

#[test]
fn who_cannot_keep_up_gets_the_whole_screen_when_they_have_read_the_rest() {
    let mut sitting = Sitting::shell();
    let bob = sitting.join("bob", JoinMode::Observe);
    for _ in 0..MAX_WAITING / 1000 + 10 {
        sitting.output(&[b'x'; 1000]);
        sitting.recorder.commit().unwrap();
    }
    sitting.output(b"\r\nnow");
    sitting.recorder.commit().unwrap();
    assert_eq!(ready(&bob), None);
    assert!(sitting.recorder.attend().is_empty());
    let Some(ViewPiece::Screen(screen)) = ready(&bob) else {
        panic!("the whole screen");
    };
    assert!(String::from_utf8(screen.bytes).unwrap().contains("now"));
    assert_eq!(ready(&bob), None);
    sitting.output(b"then");
    sitting.recorder.commit().unwrap();
    assert_eq!(ready(&bob), Some(ViewPiece::Output("then".into())));
}

/// What happens at a session and at a participant.
#[derive(Clone, Debug)]
enum Happens {
    Output(Vec<u8>),
    Flood(u8),
    Resize(u16, u16),
    Commit,
    Read,
    Attend,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        6 => prop_oneof![
            "[ -~é漢]{0,12}".prop_map(String::into_bytes),
            Just(b"\r\n".to_vec()),
            "\x1b\\[[0-9]{0,2}(;[0-9]{0,2})?[ABCDHJKm]".prop_map(String::into_bytes),
            Just(b"\x1b[?1049h".to_vec()),
            Just(b"\x1b[?1049l".to_vec()),
            Just(b"\x1b[3".to_vec()),
            Just(b"\xc3".to_vec()),
        ].prop_map(Happens::Output),
        1 => any::<u8>().prop_map(Happens::Flood),
        1 => (2u16..30, 2u16..8).prop_map(|(cols, rows)| Happens::Resize(cols, rows)),
        5 => Just(Happens::Commit),
        4 => Just(Happens::Read),
        3 => Just(Happens::Attend),
    ]
}

fn rows(bytes: &[u8], size: (u16, u16)) -> Vec<String> {
    let mut screen = avt::Terminal::new(size.0.into(), size.1.into()).unwrap();
    screen.feed(String::from_utf8_lossy(bytes).as_ref());
    let rows = screen.screen().text();
    rows.iter().map(|row| row.trim_end().to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// However fast a participant reads: the screen and what follows is what the session's terminal
    /// shows.
    #[test]
    fn a_screen_and_what_follows_is_the_sessions_screen(
        all in proptest::collection::vec(happens(), 0..60),
    ) {
        let mut sitting = Sitting::shell();
        let bob = sitting.join("bob", JoinMode::Observe);
        let mut model = Screen::new(SIZE);
        let (mut seen, mut size, mut at) = (Vec::new(), SIZE, SIZE);
        let mut take = |shown: ViewPiece| match shown {
            ViewPiece::Screen(screen) => {
                (seen, at) = (screen.bytes, (screen.cols, screen.rows));
            }
            ViewPiece::Output(bytes) => seen.extend_from_slice(&bytes),
            ViewPiece::Notice(_) | ViewPiece::End => {}
        };
        for one in all {
            match one {
                Happens::Output(bytes) => {
                    sitting.output(&bytes);
                    model.feed(&bytes);
                }
                Happens::Flood(byte) => {
                    let line = [&vec![b'a' + byte % 26; 15][..], b"\r\n"].concat();
                    let flood = line.repeat(MAX_WAITING / line.len() + 1);
                    sitting.output(&flood);
                    model.feed(&flood);
                }
                Happens::Resize(cols, rows) => {
                    sitting.recorder.resize(CHANNEL, cols.into(), rows.into());
                    model.resize(cols, rows);
                    // Programs draw anew then: how lines are wrapped anew is another matter.
                    sitting.output(b"\x1b[2J\x1b[H");
                    model.feed(b"\x1b[2J\x1b[H");
                    size = (cols, rows);
                }
                Happens::Commit => sitting.recorder.commit().unwrap(),
                Happens::Read => if let Some(shown) = ready(&bob) { take(shown) },
                Happens::Attend => {
                    sitting.recorder.commit().unwrap();
                    prop_assert!(sitting.recorder.attend().is_empty());
                }
            }
        }
        sitting.recorder.commit().unwrap();
        for _ in 0..2 {
            while let Some(shown) = ready(&bob) {
                take(shown);
            }
            prop_assert!(sitting.recorder.attend().is_empty());
        }
        prop_assert_eq!(ready(&bob), None);
        prop_assert_eq!(at, size);
        prop_assert_eq!(rows(&seen, size), rows(&model.dump(), size));
    }
}

#[test]
fn the_number_of_a_participant_is_not_the_clients() {
    let mut sitting = Sitting::shell();
    let bob = sitting.join("bob", JoinMode::Observe);
    let first: ParticipantId = bob.id();
    assert_eq!(first.number(), 1);
}

//! The golden files of every version: written once, readable for ever.

use std::path::PathBuf;

use super::*;

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/recordings")
        .join(name)
}

/// Every kind of event, text and blobs.
pub(super) fn full() -> Vec<u8> {
    let signal = ExitSignal {
        name: "TERM".into(),
        core: false,
        message: "asked to".into(),
    };
    let calls = [
        Call::Request(ChannelNote::new(Side::Client, "env").with("value", "C.UTF-8")),
        Call::Output(
            Stream::Stdout,
            b"\x1b[1m$\x1b[0m gr\xc3\xbc\xc3\x9fe\r\n".to_vec(),
        ),
        Call::Commit,
        Call::Wait(1250),
        Call::Input(b"ls\r".to_vec()),
        Call::Output(Stream::Stdout, b"\xff\xfe\x00raw".to_vec()),
        Call::Commit,
        Call::Resize(100, 30),
        Call::Resize(0, 70_000),
        Call::Marker("here".to_owned()),
        Call::Idle,
        Call::Wait(60_000),
        Call::Output(Stream::Stderr, b"oops\n".to_vec()),
        Call::Gap(GapNote {
            bytes: 12,
            events: 2,
            reason: "disk full".to_owned(),
        }),
        Call::Commit,
        Call::Exit(ExitNote::Signal(signal)),
    ];
    recorded(&calls, true)
}

fn expected_full() -> Vec<Event> {
    let at = Duration::from_millis;
    let note = |name, key, value: serde_json::Value| {
        EventKind::Request(ChannelNote::new(Side::Client, name).with(key, value))
    };
    let stdout = |bytes: &[u8]| EventKind::Output {
        stream: Stream::Stdout,
        bytes: bytes.to_vec(),
    };
    let size = ChannelNote::new(Side::Client, "window-change")
        .with("cols", 0)
        .with("rows", 70_000);
    let gap = GapNote {
        bytes: 12,
        events: 2,
        reason: "disk full".to_owned(),
    };
    let signal = ExitSignal {
        name: "TERM".into(),
        core: false,
        message: "asked to".into(),
    };
    let stderr = EventKind::Output {
        stream: Stream::Stderr,
        bytes: b"oops\n".to_vec(),
    };
    [
        (0, note("env", "value", "C.UTF-8".into())),
        (0, stdout("\x1b[1m$\x1b[0m grüße\r\n".as_bytes())),
        (1250, EventKind::Input(b"ls\r".to_vec())),
        (1250, stdout(b"\xff\xfe\x00raw")),
        (
            1250,
            EventKind::Resize {
                cols: 100,
                rows: 30,
            },
        ),
        (1250, EventKind::Request(size)),
        (1250, EventKind::Marker("here".to_owned())),
        (61_250, stderr),
        (61_250, EventKind::Gap(gap)),
        (61_250, EventKind::Exit(ExitNote::Signal(signal))),
    ]
    .map(|(ms, kind)| Event { at: at(ms), kind })
    .to_vec()
}

#[test]
fn version_1_full() {
    let file = std::fs::read(data("v1-full.cast.zst")).unwrap();
    let reader = Reader::open(file.as_slice()).unwrap();
    assert_eq!(reader.header(), &header(SessionKind::Shell, true));
    let (events, state) = read(&file);
    assert_eq!(events, expected_full());
    let State::Complete(footer) = state else {
        panic!("complete");
    };
    assert_eq!(
        (footer.events, footer.blobs, footer.recovered),
        (10, 1, false)
    );
    assert!(matches!(footer.exit, ExitNote::Signal(_)));
}

#[test]
fn version_1_minimal() {
    let file = std::fs::read(data("v1-minimal.cast.zst")).unwrap();
    let reader = Reader::open(file.as_slice()).unwrap();
    assert_eq!(reader.header(), &header(SessionKind::Exec, false));
    let (events, state) = read(&file);
    assert_eq!(events, []);
    assert!(matches!(state, State::Complete(footer) if footer.exit == ExitNote::Unknown));
}

#[test]
fn version_1_truncated() {
    let file = std::fs::read(data("v1-truncated.cast.zst")).unwrap();
    let (events, state) = read(&file);
    assert_eq!(events, expected_full()[..4]);
    assert_eq!(state, State::Truncated);
}

#[test]
fn version_1_with_key_frames() {
    let file = std::fs::read(data("v1-key-frames.cast.zst")).unwrap();
    let index = Index::find(&mut io::Cursor::new(&file)).unwrap();
    let times: Vec<u128> = index.times().map(|time| time.as_millis()).collect();
    // Not right behind a new size.
    assert_eq!(times, [0, 1000, 1500, 2000, 3000, 3500]);
    assert_eq!(index.activity().bucket_ms, 1000);
    assert_eq!(index.activity().bytes.len(), 4);
    for at in (0..=4000).step_by(250) {
        seeking::check(&file, at_ms(at));
    }
    let State::Complete(footer) = read(&file).1 else {
        panic!("complete");
    };
    assert_eq!((footer.events, footer.blobs), (26, 8));
}

/// Files without key frames are sought by reading.
#[test]
fn earlier_files_are_sought_too() {
    for name in ["v1-full", "v1-minimal", "v1-truncated"] {
        let file = std::fs::read(data(&format!("{name}.cast.zst"))).unwrap();
        for at in [0, 1249, 1250, 70_000] {
            seeking::check(&file, at_ms(at));
        }
        let index = Index::find(&mut io::Cursor::new(&file)).unwrap();
        assert_eq!(index.times().count(), 0);
    }
}

fn at_ms(at: u64) -> Duration {
    Duration::from_millis(at)
}

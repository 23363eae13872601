//! Cut and hostile files: a prefix of the events, or damage; never a panic, never much memory.

use super::super::encoder::{After, Encoder};
use super::super::frame::{self, BLOB_TAG};
use super::*;

/// What can be read of a file, and whether it was damaged.
fn survey(file: &[u8]) -> (Vec<Event>, Option<RecordingError>) {
    let mut events = Vec::new();
    match Reader::open(file) {
        Err(error) => (events, Some(error)),
        Ok(reader) => {
            for event in reader {
                match event {
                    Ok(event) => events.push(event),
                    Err(error) => return (events, Some(error)),
                }
            }
            (events, None)
        }
    }
}

fn cut_everywhere(file: &[u8]) {
    let (whole, _) = read(file);
    let mut seen = 0;
    for end in 0..file.len() {
        let cut = &file[..end];
        let mut reader = match Reader::open(cut) {
            Ok(reader) => reader,
            Err(error) => {
                assert!(matches!(error, RecordingError::NotARecording(_)), "{error}");
                assert_eq!(seen, 0);
                continue;
            }
        };
        let events: Vec<Event> = reader.by_ref().map(Result::unwrap).collect();
        assert_eq!(reader.state(), &State::Truncated, "cut at {end}");
        assert!(events.len() >= seen, "fewer events from more bytes");
        assert_eq!(events.as_slice(), &whole[..events.len()]);
        seen = events.len();
    }
    assert_eq!(seen, whole.len());
}

#[test]
fn a_full_recording_cut_anywhere_is_a_prefix() {
    cut_everywhere(&golden::full());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_recording_cut_anywhere_is_a_prefix(
        calls in proptest::collection::vec(call(), 0..8),
        pty: bool,
    ) {
        cut_everywhere(&recorded(&calls, pty));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_mutated_recording_does_not_panic(
        calls in proptest::collection::vec(call(), 0..12),
        pty: bool,
        mutations in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut file = recorded(&calls, pty);
        for (index, byte) in mutations {
            let index = index.index(file.len());
            file[index] = byte;
        }
        let _whatever = survey(&file);
    }

    #[test]
    fn any_bytes_are_no_recording(bytes: Vec<u8>) {
        prop_assert!(survey(&bytes).1.is_some());
    }
}

/// A file whose lines, after the header, are these bytes.
fn with_lines(lines: &[u8]) -> Vec<u8> {
    let mut file = start();
    Encoder::default()
        .lines(&mut file, lines, After::Blobs)
        .unwrap();
    file
}

fn start() -> Vec<u8> {
    let mut file = Vec::new();
    let header = header(SessionKind::Exec, false).to_line().unwrap();
    Encoder::default()
        .lines(&mut file, &header, After::Blobs)
        .unwrap();
    file
}

fn damage(file: &[u8]) -> &'static str {
    match survey(file) {
        (_, Some(RecordingError::Damaged { what, .. })) => what,
        other => panic!("not damaged: {other:?}"),
    }
}

#[test]
fn a_line_that_never_ends_is_damage() {
    // 64 MiB of nothing compress to a few KiB.
    assert_eq!(
        damage(&with_lines(&vec![b' '; 64 << 20])),
        "a line is longer than its limit"
    );
}

#[test]
fn a_blob_that_lies_about_its_length_is_damage() {
    for claimed in [1u32, 1 << 20] {
        let mut file = start();
        let open = frame::begin(&mut file, BLOB_TAG);
        file.extend_from_slice(&[1, 1, 0, 0]);
        file.extend_from_slice(&0u64.to_le_bytes());
        file.extend_from_slice(&claimed.to_le_bytes());
        Encoder::default()
            .whole_frame(&mut file, &vec![0; 64 << 20])
            .unwrap();
        frame::end(&mut file, &open);
        let line = format!("[0.000,\"b\",\"stdout 0 {claimed}\"]\n");
        Encoder::default()
            .lines(&mut file, line.as_bytes(), After::Blobs)
            .unwrap();
        assert_eq!(damage(&file), "a blob does not decompress");
    }
}

#[test]
fn frames_over_their_limit_are_damage() {
    for (tag, length) in [(*b"rpxb", u32::MAX), (*b"rpxz", 1 << 20)] {
        let mut file = start();
        file.extend_from_slice(&0x184D_2A57u32.to_le_bytes());
        file.extend_from_slice(&length.to_le_bytes());
        file.extend_from_slice(&tag);
        assert_eq!(damage(&file), "a frame is longer than its limit");
    }
}

#[test]
fn foreign_frames_are_passed_over() {
    let mut file = start();
    for (magic, body) in [
        (0x184D_2A50u32, &b"abcd"[..]),
        (0x184D_2A57, b"rpxsseal"),
        (0x184D_2A5F, b""),
    ] {
        file.extend_from_slice(&magic.to_le_bytes());
        file.extend_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
        file.extend_from_slice(body);
    }
    Encoder::default()
        .lines(&mut file, b"[1.000,\"m\",\"here\"]\n", After::Blobs)
        .unwrap();
    let (events, error) = survey(&file);
    assert!(error.is_none());
    assert_eq!(events[0].kind, EventKind::Marker("here".to_owned()));
}

#[test]
fn what_follows_the_footer_is_damage() {
    let mut file = recorded(&[Call::Marker("a".to_owned())], true);
    file.extend_from_slice(&start());
    assert_eq!(damage(&file), "something follows the footer");
}

#[test]
fn a_footer_with_wrong_totals_is_damage() {
    let whole = recorded(&[Call::Marker("a".to_owned())], true);
    let events = whole
        .windows(10)
        .position(|text| text == b"\"events\":1")
        .unwrap();
    let mut file = whole;
    file[events + 9] = b'2';
    assert_eq!(damage(&file), "the footer does not fit what is before it");
}

#[test]
fn a_newer_format_is_refused_by_number() {
    let line = header(SessionKind::Exec, false).to_line().unwrap();
    let line = String::from_utf8(line)
        .unwrap()
        .replace("\"format\":1", "\"format\":2");
    let mut file = Vec::new();
    Encoder::default()
        .lines(&mut file, line.as_bytes(), After::Blobs)
        .unwrap();
    let refused = Reader::open(file.as_slice()).unwrap_err();
    assert!(matches!(refused, RecordingError::Version { found: 2 }));
}

//! Key frames and the time index: a screen and what follows are the whole; nothing that a file says
//! leads astray.

use std::io::Cursor;

use super::super::encoder::Encoder;
use super::super::key_frame::KeyFrame;
use super::super::lazy::ScreenSnapshot;
use super::super::model::Model;
use super::super::walk;
use super::*;

/// Key frames wherever there may be one.
const DENSE: Spacing = Spacing {
    recorded: 1,
    drawn: 1,
};

/// A terminal that is fed events.
fn model(size: (u16, u16)) -> Model {
    Model::new(size).unwrap()
}

fn feed(model: &mut Model, event: &Event) {
    match &event.kind {
        EventKind::Output { bytes, .. } => model.feed(bytes, &mut ()),
        EventKind::Resize { cols, rows } => model.resize(*cols, *rows),
        _ => {}
    }
}

fn state(model: &mut Model) -> (String, Vec<u8>, (u16, u16)) {
    let size = model.size();
    let (text, partial) = model.dump();
    (text, partial.to_vec(), size)
}

fn drawn(snapshot: &ScreenSnapshot) -> Model {
    let mut model = model((snapshot.cols, snapshot.rows));
    model.feed(&snapshot.bytes, &mut ());
    model
}

/// Checks what is there at a time against reading from the start.
pub(super) fn check(file: &[u8], at: Duration) {
    let mut reader = Reader::open(file).unwrap();
    let size = reader.header().pty.as_ref().map(|_| reader.header().size());
    let whole: Vec<Event> = reader.by_ref().map(Result::unwrap).collect();
    let (past, rest) = whole.split_at(whole.partition_point(|event| event.at <= at));

    let mut sought = Sought::open(Cursor::new(file), at).unwrap();
    let snapshot = sought.screen().cloned();
    let follows: Vec<Event> = sought.by_ref().map(Result::unwrap).collect();
    assert_eq!(follows, rest, "at {at:?}");
    assert_eq!(sought.state(), reader.state());

    assert_eq!(snapshot.is_some(), size.is_some());
    if let (Some(snapshot), Some(size)) = (snapshot, size) {
        let mut expected = model(size);
        past.iter().for_each(|event| feed(&mut expected, event));
        let mut shown = drawn(&snapshot);
        assert_eq!(state(&mut shown), state(&mut expected), "at {at:?}");
        rest.iter().for_each(|event| feed(&mut expected, event));
        rest.iter().for_each(|event| feed(&mut shown, event));
        assert_eq!(state(&mut shown), state(&mut expected), "from {at:?} on");
    }
}

/// Some of everything, with key frames.
pub(super) fn eventful() -> Vec<u8> {
    let mut calls = Vec::new();
    for number in 0..8u8 {
        calls.push(Call::Output(
            Stream::Stdout,
            format!(
                "\x1b[{};3Hline {number} gr\u{fc}n\x1b[3{}m",
                number + 1,
                number % 8
            )
            .into(),
        ));
        calls.push(Call::Output(Stream::Stderr, vec![0xFF, number, b'\xc3']));
        calls.push(Call::Input(vec![number, b'x']));
        if number % 4 == 1 {
            calls.push(Call::Resize(60 + u32::from(number), 12));
        }
        calls.extend([Call::Commit, Call::Wait(500)]);
    }
    recorded_with(&calls, true, DENSE)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_screen_and_what_follows_are_the_whole(
        calls in calls(),
        pty: bool,
        recorded in prop_oneof![Just(1u64), 1..2000u64],
        times in proptest::collection::vec(0..40_000u64, 1..4),
    ) {
        let spacing = Spacing { recorded, drawn: recorded };
        let file = recorded_with(&calls, pty, spacing);
        for time in times {
            check(&file, Duration::from_millis(time));
        }
    }

    #[test]
    fn a_mutated_recording_does_not_mislead_to_a_panic(
        calls in calls(),
        pty: bool,
        mutations in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        time in 0..20_000u64,
    ) {
        let mut file = recorded_with(&calls, pty, DENSE);
        for (index, byte) in mutations {
            let index = index.index(file.len());
            file[index] = byte;
        }
        if let Ok(sought) = Sought::open(Cursor::new(&file), Duration::from_millis(time)) {
            let _whatever = sought.count();
        }
        let _whatever = Index::find(&mut Cursor::new(&file));
    }

    #[test]
    fn any_bytes_have_no_index(bytes: Vec<u8>) {
        let index = Index::find(&mut Cursor::new(&bytes)).unwrap();
        prop_assert_eq!(index.times().count(), 0);
    }
}

#[test]
fn a_recording_that_was_cut_is_sought_as_far_as_it_goes() {
    let file = eventful();
    for end in 0..file.len() {
        let cut = &file[..end];
        if Reader::open(cut).is_ok() {
            check(cut, Duration::from_millis(1600));
        } else {
            assert!(Sought::open(Cursor::new(cut), Duration::ZERO).is_err());
        }
    }
}

/// Where the time index stands, and how long it is.
fn index_frame(file: &[u8]) -> std::ops::Range<usize> {
    let footer = Footer::find(&mut Cursor::new(file)).unwrap().unwrap();
    let start = usize::try_from(footer.index.unwrap()).unwrap();
    let length = u32::from_le_bytes(file[start + 4..start + 8].try_into().unwrap());
    start..start + 8 + usize::try_from(length).unwrap()
}

#[test]
fn the_index_is_what_a_walk_finds() {
    let file = eventful();
    let read = Index::read(&mut Cursor::new(&file)).unwrap().unwrap();
    let cut = &file[..index_frame(&file).start];
    let walked = Index::find(&mut Cursor::new(cut)).unwrap();
    assert!(read.times().count() >= 6, "{read:?}");
    assert!(read.times().eq(walked.times()));
    let shown: u64 = read.activity().bytes.iter().sum();
    let footer = Footer::find(&mut Cursor::new(&file)).unwrap().unwrap();
    assert_eq!(shown, footer.bytes.stdout + footer.bytes.stderr);
    assert!(walked.activity().bytes.is_empty());
}

#[test]
fn an_index_that_lies_leads_to_the_truth() {
    let file = eventful();
    let mut lies = 0;
    let footer = file.len() - 400..file.len();
    for place in index_frame(&file).chain(footer) {
        if !file[place].is_ascii_digit() {
            continue;
        }
        for digit in [b'0', b'9'] {
            let mut lying = file.clone();
            lying[place] = digit;
            if Reader::open(lying.as_slice())
                .unwrap()
                .any(|event| event.is_err())
            {
                continue;
            }
            for at in [1100, 60_000] {
                check(&lying, Duration::from_millis(at));
            }
            lies += 1;
        }
    }
    assert!(lies > 50, "{lies}");
}

/// The places of the key frames.
fn key_frames(file: &[u8]) -> Vec<usize> {
    let mut walk = walk::Walk::new(io::BufReader::new(Cursor::new(file)), 0);
    let keys = std::iter::from_fn(|| walk.next_key().unwrap());
    keys.map(|key| usize::try_from(key.offset).unwrap())
        .collect()
}

#[test]
fn a_key_frame_that_lies_about_what_was_before_is_damage() {
    let file = eventful();
    let places = key_frames(&file);
    // Each of its numbers, in one of the key frames.
    for (place, number) in places.iter().skip(1).cycle().zip(0..8) {
        let mut lying = file.clone();
        lying[place + 12 + number * 8] ^= 1;
        let events: Vec<_> = Reader::open(lying.as_slice()).unwrap().collect();
        assert!(matches!(
            events.last(),
            Some(Err(RecordingError::Damaged { what, .. }))
                if *what == "a key frame does not fit what is before it"
        ));
        // Who begins there learns so too, at the next one or at the end.
        let at = Duration::from_millis(1600);
        let sought = Sought::open(Cursor::new(&lying), at).unwrap();
        let honest = Sought::open(Cursor::new(&file), at).unwrap();
        let differs = sought.screen() != honest.screen();
        assert!(
            !differs || sought.last().unwrap().is_err(),
            "number {number}"
        );
    }
}

#[test]
fn a_screen_that_bursts_is_not_unpacked() {
    let file = eventful();
    let place = key_frames(&file)[4];
    let length = u32::from_le_bytes(file[place + 4..place + 8].try_into().unwrap());
    let end = place + 8 + usize::try_from(length).unwrap();
    let mut body = file[place + 12..place + 12 + 68].to_vec();
    body.extend_from_slice(&(1u32 << 20).to_le_bytes());
    Encoder::default()
        .whole_frame(&mut body, &vec![b' '; 64 << 20])
        .unwrap();
    let key = KeyFrame::from_body(&body).unwrap();
    let mut context = frames::decompressor().unwrap();
    assert!(key.screen(&mut context).is_err());

    // Reading from the start helps.
    let mut lying = file[..place].to_vec();
    let open = frame::begin(&mut lying, *b"rpxk");
    lying.extend_from_slice(&body);
    frame::end(&mut lying, &open);
    lying.extend_from_slice(&file[end..index_frame(&file).start]);
    for at in [0, 2000, 2500, 3000] {
        check(&lying, Duration::from_millis(at));
    }
}

#[test]
fn what_is_no_key_frame_is_none() {
    let whole = {
        let mut body = vec![0; 64];
        body.extend_from_slice(&[80, 0, 24, 0, 1, 0, 0, 0, 9]);
        body
    };
    assert!(KeyFrame::from_body(&whole).is_some());
    for (place, byte) in [(64, 0), (66, 0), (71, 1), (68, 0)] {
        let mut wrong = whole.clone();
        wrong[place] = byte;
        assert!(KeyFrame::from_body(&wrong).is_none(), "{place}");
    }
    for end in 0..=72 {
        assert!(KeyFrame::from_body(&whole[..end]).is_none(), "{end}");
    }
}

#[test]
fn a_long_recording_has_a_short_index() {
    let mut calls = Vec::new();
    for number in 0..5000 {
        let text = format!("{number}\r\n");
        calls.extend([
            Call::Output(Stream::Stdout, text.into_bytes()),
            Call::Commit,
            Call::Wait(700),
        ]);
    }
    let file = recorded_with(&calls, true, DENSE);
    assert!(index_frame(&file).len() < 64 << 10);
    let index = Index::read(&mut Cursor::new(&file)).unwrap().unwrap();
    assert!((512..=1024).contains(&index.times().count()));
    assert!(index.activity().bytes.len() <= 512);
    assert_eq!(key_frames(&file).len(), 5000);
    for at in [0, 1, 699, 700, 1_234_567, 3_499_300, 3_600_000] {
        check(&file, Duration::from_millis(at));
    }
}

/// A reader that counts.
struct Counted<'a>(Cursor<&'a [u8]>, &'a std::cell::Cell<usize>);

impl io::Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.set(self.1.get() + count);
        Ok(count)
    }
}

impl io::Seek for Counted<'_> {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn a_seek_reads_a_small_part() {
    let mut live = Live::start(
        Vec::new(),
        &header(SessionKind::Shell, true),
        Options::default(),
        Duration::ZERO,
    )
    .unwrap();
    let mut noise = 1u64;
    for second in 0..400 {
        let mut text = String::new();
        for _line in 0..600 {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            text.push_str(&format!("{noise:016x} {noise:>32}\r\n"));
        }
        live.output(Duration::from_secs(second), Stream::Stdout, text.as_bytes());
        live.commit().unwrap();
    }
    let (file, _) = live.finish(Duration::from_secs(400)).unwrap();
    for second in [0, 200, 399] {
        let read = std::cell::Cell::new(0);
        let counted = Counted(Cursor::new(&file), &read);
        let sought = Sought::open(counted, Duration::from_secs(second)).unwrap();
        let screen = sought.screen().unwrap().bytes.clone();
        assert!(!screen.is_empty());
        assert!(
            read.get() < file.len() / 8,
            "{} of {}",
            read.get(),
            file.len()
        );
    }
    check(&file, Duration::from_secs(399));
}

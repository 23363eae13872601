//! Any bytes in, the same bytes out; durable after every commit; readable with stock tools.

use std::io::Write;
use std::process::{Command, Stdio};

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_is_recorded_is_read(calls in calls(), pty: bool, pty_input: bool) {
        let header = header(if pty { SessionKind::Shell } else { SessionKind::Exec }, pty);
        let options = Options { pty_input };
        let origin = Duration::from_millis(7_000);
        let mut live = Live::start(Vec::new(), &header, options, origin).unwrap();
        let told = perform(&mut live, &calls, !pty || pty_input, |_, _, result| result.unwrap());
        let (file, summary) = live.finish(Duration::from_secs(1_000_000)).unwrap();

        prop_assert_eq!(summary.file_bytes, file.len() as u64);
        let mut reader = Reader::open(file.as_slice()).unwrap();
        prop_assert_eq!(reader.header(), &header);
        let mut heard = Story::default();
        for event in reader.by_ref() {
            heard.tell(event.unwrap());
        }
        prop_assert_eq!(&heard, &told);
        prop_assert_eq!(reader.state(), &State::Complete(summary.footer.clone()));
        let found = Footer::find(&mut io::Cursor::new(&file)).unwrap();
        prop_assert_eq!(found, Some(summary.footer));
    }

    #[test]
    fn a_commit_needs_no_later_write(calls in calls(), pty: bool) {
        let disk = Disk::default();
        let header = header(SessionKind::Shell, pty);
        let options = Options { pty_input: true };
        let origin = Duration::from_millis(7_000);
        let mut live = Live::start(disk.clone(), &header, options, origin).unwrap();
        let mut writes = disk.writes();
        perform(&mut live, &calls, true, |live, told, result| {
            result.unwrap();
            assert_eq!(live.pending(), 0);
            assert_eq!(&story(&disk.bytes()), told);
            assert!(disk.writes() - writes <= 2, "a commit took more than one write");
            writes = disk.writes();
        });
    }

    #[test]
    fn stock_zstd_sees_an_asciicast(calls in calls(), pty: bool) {
        let stream = zstd_dc(&recorded(&calls, pty));
        let mut lines = stream.lines();
        let header: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
        prop_assert_eq!(&header["version"], 3);
        prop_assert_eq!(&header["rproxy"]["user"], "alice");
        for line in lines {
            let (interval, code, _data): (f64, char, String) = serde_json::from_str(line).unwrap();
            prop_assert!(interval >= 0.0 && code.is_ascii_lowercase());
        }
    }
}

/// A file that several hands hold.
#[derive(Clone, Debug, Default)]
struct Disk(std::rc::Rc<std::cell::RefCell<(Vec<u8>, usize)>>);

impl Disk {
    fn bytes(&self) -> Vec<u8> {
        self.0.borrow().0.clone()
    }

    fn writes(&self) -> usize {
        self.0.borrow().1
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.0.borrow_mut();
        disk.0.extend_from_slice(bytes);
        disk.1 += 1;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn zstd_dc(file: &[u8]) -> String {
    let mut zstd = Command::new("zstd")
        .arg("-dcq")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the zstd program (package zstd) is needed");
    let mut stdin = zstd.stdin.take().unwrap();
    let file = file.to_vec();
    let feeder = std::thread::spawn(move || stdin.write_all(&file));
    let output = zstd.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bulk_data_of_every_size_comes_back() {
    let noise: Vec<u8> = (0..1_250_000u32)
        .flat_map(|n| {
            n.wrapping_mul(2_654_435_761)
                .rotate_left(n % 32)
                .to_le_bytes()
        })
        .collect();
    let calls = [
        Call::Output(Stream::Stdout, noise.clone()),
        Call::Input(noise[..1 << 20].to_vec()),
        Call::Output(Stream::Stderr, vec![0; (1 << 20) + 1]),
        Call::Commit,
        Call::Output(Stream::Stdout, noise.clone()),
    ];
    let file = recorded(&calls, false);
    let told = story(&file);
    assert_eq!(told.stdout, [noise.clone(), noise.clone()].concat());
    assert_eq!(told.stdin, noise[..1 << 20]);
    assert_eq!(told.stderr, vec![0; (1 << 20) + 1]);
    assert!(matches!(read(&file).1, State::Complete(_)));
}

#[test]
fn many_small_blobs_in_one_commit_keep_the_limits() {
    let calls: Vec<Call> = (0..1000u32)
        .flat_map(|n| {
            let stream = if n % 2 == 0 {
                Stream::Stdout
            } else {
                Stream::Stderr
            };
            [Call::Output(stream, n.to_be_bytes().to_vec())]
        })
        .collect();
    let file = recorded(&calls, false);
    assert_eq!(story(&file).stdout.len(), 2000);
    assert_eq!(story(&file).runs.len(), 1000);
}

#[test]
fn a_character_split_across_commits_survives() {
    let (head, tail) = "😀".as_bytes().split_at(2);
    for between in [Call::Commit, Call::Wait(5)] {
        let calls = [
            Call::Output(Stream::Stdout, head.to_vec()),
            between.clone(),
            Call::Output(Stream::Stdout, tail.to_vec()),
        ];
        let file = recorded(&calls, true);
        assert_eq!(story(&file).stdout, "😀".as_bytes());
        // Within one commit the halves meet again and are text.
        let is_text = zstd_dc(&file).contains("😀");
        assert_eq!(is_text, matches!(between, Call::Wait(_)));
    }
}

/// What joins a recording with the log of the host's sshd.
#[test]
fn the_header_keeps_the_proxys_end_of_the_connection_to_the_host() {
    let known = Header {
        egress_addr: Some("10.0.0.2:40112".to_owned()),
        serial: Some(u64::MAX),
        ..header(SessionKind::Exec, false)
    };
    let live = Live::start(Vec::new(), &known, Options::default(), Duration::ZERO).unwrap();
    let (bytes, _) = live.finish(Duration::ZERO).unwrap();
    let reader = Reader::open(bytes.as_slice()).unwrap();
    assert_eq!(reader.header(), &known);

    let line = header(SessionKind::Exec, false).to_line().unwrap();
    let line = String::from_utf8(line).unwrap();
    assert!(!line.contains("egress_addr"), "{line}");
}

#[test]
fn an_oversized_note_is_replaced() {
    let calls = [
        Call::Marker("x".repeat(5 << 20)),
        Call::Marker("after".to_owned()),
    ];
    let events = read(&recorded(&calls, true)).0;
    let [first, second] = events.as_slice() else {
        panic!("two events");
    };
    assert!(matches!(&first.kind, EventKind::Request(note) if note.name == "oversized"));
    assert_eq!(second.kind, EventKind::Marker("after".to_owned()));
}

#[test]
fn typed_bytes_are_counted_and_not_stored() {
    let origin = Duration::ZERO;
    let options = Options { pty_input: false };
    let mut live = Live::start(
        Vec::new(),
        &header(SessionKind::Shell, true),
        options,
        origin,
    )
    .unwrap();
    live.input(origin, b"hunter2\r");
    live.input(origin, b"x");
    let (file, summary) = live.finish(origin).unwrap();
    assert_eq!(read(&file).0[0].kind, EventKind::InputWithheld(9));
    assert_eq!(summary.footer.bytes.withheld, 9);
    assert!(!zstd_dc(&file).contains("hunter2"));
}

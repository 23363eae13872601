//! Seeks in a large recording: how long it takes until the screen of some time is there, and what the
//! key frames cost. See `benches/README.md`.

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use rproxy::model::SessionKind;
use rproxy::recording::{Header, Index, Live, Options, Pty, Sought, Stream};

type Fallible<T> = Result<T, Box<dyn Error>>;

/// How many places are sought.
const SEEKS: u32 = 50;
/// Output that is recorded with one commit.
const COMMIT: usize = 32 << 10;
/// The time between two commits.
const PACE: Duration = Duration::from_millis(440);

/// Options of `cargo bench --bench seek -- ...`.
#[derive(Debug, Parser)]
#[command(about = "Measure seeks in a large recording")]
struct Arguments {
    /// MiB of terminal output in the recording
    #[arg(long, default_value_t = 2048)]
    size: usize,
    /// Cargo passes this
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _unwritable = writeln!(std::io::stderr(), "seek: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Fallible<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("large.cast.zst");
    let mut out = std::io::stdout().lock();

    let begun = Instant::now();
    let length = record(&path, arguments.size << 20)?;
    let (keys, key_bytes) = key_frames(&path)?;
    let size = path.metadata()?.len();
    writeln!(
        out,
        "{} MiB of output in {} MiB, {:.0} s long, recorded in {:.1} s",
        arguments.size,
        size >> 20,
        length.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    )?;
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let share = key_bytes as f64 * 100.0 / size as f64;
    writeln!(
        out,
        "{keys} key frames, {key_bytes} bytes, {share:.2} % of the file"
    )?;

    measure(&mut out, "finished", &path, length)?;
    // Without footer and index, as one that is still written.
    let index = Index::find(&mut File::open(&path)?)?.times().count();
    File::options()
        .write(true)
        .open(&path)?
        .set_len(size - 60_000)?;
    measure(&mut out, "cut", &path, length)?;
    writeln!(out, "places in the index: {index}")?;
    Ok(())
}

fn measure(out: &mut impl Write, name: &str, path: &Path, length: Duration) -> Fallible<()> {
    let mut times = Vec::new();
    // In no order that a cache could like.
    for number in 0..SEEKS {
        let at = length / SEEKS * (number * 37 % SEEKS);
        let begun = Instant::now();
        let sought = Sought::open(BufReader::new(File::open(path)?), at)?;
        times.push(begun.elapsed());
        if sought.screen().is_none() {
            return Err("there is no screen".into());
        }
    }
    let first = times.first().copied().unwrap_or_default();
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let worst = times.last().copied().unwrap_or_default();
    writeln!(
        out,
        "{name}: first frame {:.1} ms; a seek {:.1} ms (median), {:.1} ms (worst of {SEEKS})",
        first.as_secs_f64() * 1e3,
        median.as_secs_f64() * 1e3,
        worst.as_secs_f64() * 1e3
    )?;
    Ok(())
}

/// Makes a recording of this much output. How long the session was.
fn record(path: &Path, size: usize) -> Fallible<Duration> {
    let header = Header {
        session: "01920000-0000-7000-8000-000000000001".parse()?,
        connection: "01920000-0000-7000-8000-000000000002".parse()?,
        cluster: "example.com".to_owned(),
        user: "alice".to_owned(),
        login: "deploy".to_owned(),
        target: "db1:22".to_owned(),
        node: None,
        address: None,
        egress_addr: None,
        kind: SessionKind::Shell,
        command: None,
        client: None,
        serial: None,
        fingerprint: None,
        start: chrono::DateTime::UNIX_EPOCH,
        pty: Some(Pty {
            term: "xterm-256color".into(),
            cols: 120,
            rows: 40,
        }),
    };
    let file = BufWriter::new(File::create_new(path)?);
    let mut live = Live::start(file, &header, Options::default(), Duration::ZERO)?;
    let mut terminal = Terminal { random: 1 };
    let mut now = Duration::ZERO;
    let mut written = 0;
    let mut output = Vec::new();
    while written < size {
        output.clear();
        while output.len() < COMMIT {
            terminal.put(&mut output)?;
        }
        live.output(now, Stream::Stdout, &output);
        live.commit()?;
        written += output.len();
        now += PACE;
    }
    live.finish(now)?.0.flush()?;
    Ok(now)
}

/// What somebody sees who reads logs, compiles, and has an editor open now and then.
struct Terminal {
    random: u64,
}

impl Terminal {
    fn next(&mut self, below: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    fn put(&mut self, out: &mut Vec<u8>) -> Fallible<()> {
        let number = self.next(1_000_000);
        match self.next(40) {
            0 => write!(
                out,
                "\x1b]0;deploy@db1: ~\x07\x1b[01;32mdeploy@db1\x1b[00m:\x1b[01;34m~\x1b[00m$ grep -n {number} log\r\n"
            )?,
            1 => {
                // A page of an editor.
                write!(out, "\x1b[?1049h\x1b[H\x1b[2J")?;
                for row in 1..40 {
                    let column = self.next(80) + 1;
                    write!(
                        out,
                        "\x1b[{row};{column}H\x1b[38;5;{row}mfn f{number}()\x1b[K"
                    )?;
                }
                write!(out, "\x1b[?1049l")?;
            }
            2..=9 => write!(
                out,
                "\x1b[01;31m\x1b[Ksrc/f{number}.c:{}:\x1b[m\x1b[K error: expected {number:x}\r\n",
                number % 977
            )?,
            _ => write!(
                out,
                "Dec  1 03:{:02}:{:02} db1 sshd[{number}]: Accepted publickey for u{} from 10.0.{}.{} port {}\r\n",
                number % 60,
                number / 60 % 60,
                number % 911,
                number % 251,
                number % 241,
                number % 65_521
            )?,
        }
        Ok(())
    }
}

/// How many key frames there are, and their bytes: found by what they begin with.
fn key_frames(path: &Path) -> Fallible<(usize, u64)> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    let (mut count, mut sum) = (0, 0);
    for head in bytes.windows(12) {
        if let [0x57, 0x2A, 0x4D, 0x18, length @ .., b'r', b'p', b'x', b'k'] = head {
            count += 1;
            sum += 8 + u64::from(u32::from_le_bytes(length.try_into()?));
        }
    }
    Ok((count, sum))
}

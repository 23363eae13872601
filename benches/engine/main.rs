//! In process, without sockets: the codec under each cipher, the relay, the recording writer. Best
//! time of several; with `--instructions`, counts from valgrind, which no other process disturbs.
//! See `benches/README.md`.

mod codec;
mod recorded;
mod relayed;

use std::error::Error;
use std::io::Write;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::Parser;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A measurement, ready to run.
struct Work {
    /// Bytes that one run moves.
    bytes: usize,
    /// Operations (packets, messages) in one run.
    operations: usize,
    run: Box<dyn FnMut() -> Result<()>>,
}

/// A thing to measure: its name, and how it is made ready.
type Case = (&'static str, fn() -> Result<Work>);

const CASES: [Case; 12] = [
    ("seal aes128-gcm", codec::seal_aes128),
    ("seal and open aes128-gcm", codec::open_aes128),
    ("seal aes256-gcm", codec::seal_aes256),
    ("seal and open aes256-gcm", codec::open_aes256),
    ("seal chacha20-poly1305", codec::seal_chacha),
    ("seal and open chacha20-poly1305", codec::open_chacha),
    ("seal and open, one byte", codec::open_small),
    ("relay, 32 KiB data", relayed::bulk),
    ("relay, one byte of data", relayed::small),
    ("record zeros", recorded::zeros),
    ("record random", recorded::random),
    ("record terminal text", recorded::terminal),
];

/// Instructions that are compared: what leads up to the runs varies by less than a 300th of it.
const ENOUGH: usize = 200_000_000;
/// The most runs that are added to count them.
const MOST_ADDED: u32 = 65_536;

/// Options of `cargo bench --bench engine -- ...`.
#[derive(Debug, Parser)]
#[command(about = "Measure the codec, the relay and the recording writer in process")]
struct Options {
    /// Count instructions with valgrind instead of measuring time
    #[arg(long)]
    instructions: bool,
    /// Only cases whose name contains this
    #[arg(value_name = "TEXT", default_value = "")]
    filter: String,
    /// Run one case so many times and say nothing
    #[arg(long, hide = true, value_name = "COUNT")]
    repeat: Option<u32>,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _nobody_reads = writeln!(std::io::stderr(), "failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let chosen = CASES
        .iter()
        .filter(|(name, _)| name.contains(&options.filter));
    let mut stdout = std::io::stdout();
    if let Some(count) = options.repeat {
        return repeat(&options.filter, count);
    }
    if options.instructions {
        writeln!(stdout, "| case | instructions per operation |\n|---|---|")?;
        for (name, prepare) in chosen {
            let count = instructions(name, prepare()?.operations)?;
            writeln!(stdout, "| {name} | {count} |")?;
        }
        return Ok(());
    }
    writeln!(stdout, "| case | MB/s | ns per operation |\n|---|---|---|")?;
    for (name, prepare) in chosen {
        let work = &mut prepare()?;
        let best = best_of(work)?.as_secs_f64();
        let (bytes, operations) = (to_f64(work.bytes), to_f64(work.operations));
        writeln!(
            stdout,
            "| {name} | {:.0} | {:.0} |",
            bytes / 1e6 / best,
            best * 1e9 / operations
        )?;
    }
    Ok(())
}

/// The least time of one run, over about half a second: what disturbs only ever adds.
fn best_of(work: &mut Work) -> Result<Duration> {
    let until = Instant::now() + Duration::from_millis(500);
    let mut best = Duration::MAX;
    while Instant::now() < until {
        let started = Instant::now();
        (work.run)()?;
        best = best.min(started.elapsed());
    }
    Ok(best)
}

fn repeat(name: &str, count: u32) -> Result<()> {
    let case = CASES.iter().find(|(one, _)| *one == name);
    let (_, prepare) = case.ok_or("no such case")?;
    let mut work = prepare()?;
    for _ in 0..count {
        (work.run)()?;
    }
    Ok(())
}

/// Instructions of one operation: the difference between few and more runs, so that what leads up
/// to them does not count. That varies from process to process, by the random numbers of a key
/// exchange; runs are added until the difference is far above it.
fn instructions(name: &str, operations: usize) -> Result<usize> {
    let few = 2;
    let before = collected(name, few)?;
    let mut added = 4;
    while added <= MOST_ADDED {
        let difference = collected(name, few + added)?.saturating_sub(before);
        if difference >= ENOUGH {
            return Ok(difference / (operations * added as usize));
        }
        added *= 4;
    }
    Err(format!("{name}: {MOST_ADDED} runs more make no difference").into())
}

/// The instructions that callgrind counts over a whole process.
fn collected(name: &str, count: u32) -> Result<usize> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .arg(format!("--repeat={count}"))
        .arg(name)
        .output()
        .map_err(|error| format!("cannot start valgrind: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let count = line.and_then(|(_, count)| count.trim().parse().ok());
    count.ok_or_else(|| format!("valgrind said: {said}").into())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn to_f64(number: usize) -> f64 {
    number as f64
}

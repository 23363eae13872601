//! End to end, with real OpenSSH on both sides and everything on loopback: a direct connection, an
//! OpenSSH jump host, and rproxy without and with recording, in turns. See `benches/README.md`.

mod measure;
mod process;
mod report;
mod world;

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::Parser;

use measure::{Direction, Echo, Payload};
use report::Report;
use world::{Binary, Kex, Way, World, short};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const CIPHERS: [&str; 3] = [
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
];

/// Round trips in a batch; each batch gives one p50 and one p99.
const BATCH: usize = 200;

/// Options of `cargo bench --bench e2e -- ...`.
#[derive(Debug, Parser)]
#[command(about = "Measure rproxy beside a direct connection and an OpenSSH jump host")]
struct Options {
    /// Fewer rounds, ciphers and bytes: under two minutes
    #[arg(long)]
    quick: bool,
    /// Measure only these: memory, connect, echo, transfer
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "memory,connect,echo,transfer"
    )]
    only: Vec<String>,
    /// Times that each transfer is repeated
    #[arg(long)]
    rounds: Option<usize>,
    /// Minutes after which no further round is begun; each measure is made at least once
    #[arg(long)]
    minutes: Option<u64>,
    /// Size of a transfer, in MiB
    #[arg(long)]
    mib: Option<u64>,
    /// Ciphers as `ssh -Q cipher` names them, separated by commas
    #[arg(long, value_delimiter = ',')]
    ciphers: Vec<String>,
    /// Only transfers whose name contains this, as in "download zeros"
    #[arg(long, value_name = "TEXT", default_value = "")]
    transfers: String,
    /// Write every sample to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where keys, data and recordings are kept meanwhile
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// The rproxy to measure, instead of the one just built
    #[arg(long, value_name = "FILE")]
    rproxy: Option<PathBuf>,
    /// A second rproxy to measure in the same run, to compare with
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("failed: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Progress, on stderr: stdout is for the table.
fn say(text: &str) {
    let _nobody_reads = writeln!(std::io::stderr(), "{text}");
}

/// What a run does, from the options.
struct Plan {
    rounds: usize,
    minutes: u64,
    mib: u64,
    ciphers: Vec<String>,
    connects: usize,
    batches: usize,
    idle_sessions: u32,
    transfers: String,
}

impl Plan {
    fn new(options: &Options) -> Self {
        let (rounds, minutes, mib, connects, batches, idle_sessions) = if options.quick {
            (3, 1, 128, 5, 10, 5)
        } else {
            (5, 9, 256, 15, 40, 20)
        };
        let mut ciphers = options.ciphers.clone();
        if ciphers.is_empty() {
            let count = if options.quick {
                [0, 2].as_slice()
            } else {
                &[0, 1, 2]
            };
            ciphers.extend(
                count
                    .iter()
                    .filter_map(|one| CIPHERS.get(*one))
                    .map(|one| (*one).to_owned()),
            );
        }
        Self {
            rounds: options.rounds.unwrap_or(rounds),
            minutes: options.minutes.unwrap_or(minutes),
            mib: options.mib.unwrap_or(mib),
            ciphers,
            connects,
            batches,
            idle_sessions,
            transfers: options.transfers.clone(),
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let started = Instant::now();
    let plan = Plan::new(options);
    let built = PathBuf::from(env!("CARGO_BIN_EXE_rproxy"));
    let mut binaries = vec![Binary {
        label: String::new(),
        path: options.rproxy.clone().unwrap_or(built),
    }];
    binaries.extend(options.against.clone().map(|path| Binary {
        label: "other ".to_owned(),
        path,
    }));
    let mut machine = report::machine(&options.dir)?;
    let known = process::output(Command::new("ssh").args(["-Q", "cipher"]))?;
    if let Some(odd) = plan
        .ciphers
        .iter()
        .find(|name| !known.lines().any(|line| line == **name))
    {
        return Err(format!("ssh knows no cipher {odd}; it knows:\n{known}").into());
    }
    let ciphers: Vec<&str> = plan.ciphers.iter().map(String::as_str).collect();
    let world = World::start(&options.dir, &ciphers, &binaries)?;
    let names = world.ways().iter().map(|way| way.name.clone()).collect();
    let mut bench = Bench {
        deadline: started + Duration::from_secs(60 * plan.minutes),
        report: Report::new(names),
        world,
        plan,
    };
    for (name, measure) in [
        ("memory", Bench::memory as fn(&mut Bench) -> Result<()>),
        ("connect", Bench::connect),
        ("echo", Bench::echo),
        ("transfer", Bench::transfer),
    ] {
        if options.only.iter().any(|only| only == name) {
            say(&format!("{name} (load {})", report::load()));
            measure(&mut bench)?;
        }
    }
    if let Some(machine) = machine.as_object_mut() {
        machine.insert("load_after".to_owned(), report::load().into());
        machine.insert("mib".to_owned(), bench.plan.mib.into());
        machine.insert("rounds".to_owned(), bench.plan.rounds.into());
    }
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", bench.report.table())?;
    for (name, value) in machine.as_object().into_iter().flatten() {
        writeln!(
            stdout,
            "- {name}: {}",
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        )?;
    }
    if let Some(path) = &options.json {
        let json = serde_json::to_vec_pretty(&bench.report.json(&machine))?;
        rproxy::sys::fs::write_whole(
            path,
            &json,
            rproxy::sys::fs::PUBLIC_FILE,
            rproxy::sys::fs::Replace::Allow,
        )?;
    }
    Ok(())
}

struct Bench {
    world: World,
    plan: Plan,
    report: Report,
    deadline: Instant,
}

impl Bench {
    fn ways(&self) -> Vec<Way> {
        self.world.ways().to_vec()
    }

    fn first_cipher(&self) -> Result<String> {
        Ok(self.plan.ciphers.first().ok_or("no cipher")?.clone())
    }

    /// First of all: a process that has worked before has memory to use again.
    fn memory(&mut self) -> Result<()> {
        let cipher = self.first_cipher()?;
        for way in self.ways() {
            let count = self.plan.idle_sessions;
            if way.middle.is_none() {
                continue;
            }
            if let Some((rss, pss)) = measure::idle_session(&self.world, &way, &cipher, count)? {
                self.report.add("idle session, PSS", "KiB", &way.name, pss);
                self.report.add("idle session, RSS", "KiB", &way.name, rss);
            }
        }
        Ok(())
    }

    fn connect(&mut self) -> Result<()> {
        let cipher = self.first_cipher()?;
        for round in 0..self.plan.connects {
            if round > 0 && self.is_late() {
                break;
            }
            for way in self.ways() {
                for (kex, name) in [
                    (Kex::Preferred, "ssh host true"),
                    (Kex::Curve25519, "ssh host true, curve25519"),
                ] {
                    let whole = measure::connect(&self.world, &way, &cipher, kex)?;
                    self.report.add(name, "ms", &way.name, whole);
                }
            }
        }
        Ok(())
    }

    fn echo(&mut self) -> Result<()> {
        let cipher = self.first_cipher()?;
        for (pty, name) in [(false, "echo"), (true, "echo, PTY")] {
            let mut echoes = Vec::new();
            for way in self.ways() {
                let mut echo = Echo::open(&self.world, &way, &cipher, pty)?;
                for _ in 0..BATCH {
                    echo.round_trip()?;
                }
                echoes.push((way, echo));
            }
            for _ in 0..self.plan.batches {
                for (way, echo) in &mut echoes {
                    let batch = (0..BATCH)
                        .map(|_| echo.round_trip())
                        .collect::<Result<_>>()?;
                    let (p50, p99) = report::percentiles(batch);
                    self.report
                        .add(&format!("{name}, p50"), "µs", &way.name, p50);
                    self.report
                        .add(&format!("{name}, p99"), "µs", &way.name, p99);
                }
            }
        }
        Ok(())
    }

    /// Round by round, so that what disturbs for a while does not disturb one row alone.
    fn transfer(&mut self) -> Result<()> {
        let mut cells = Vec::new();
        for content in Payload::ALL {
            let file = content.file(&self.world, self.plan.mib << 20)?;
            for cipher in &self.plan.ciphers {
                cells.extend(Direction::ALL.map(|direction| Cell {
                    content,
                    cipher: cipher.clone(),
                    direction,
                    file: file.clone(),
                }));
            }
        }
        cells.retain(|cell| cell.name().contains(&self.plan.transfers));
        for round in 0..self.plan.rounds {
            say(&format!("  round {} (load {})", round + 1, report::load()));
            for cell in &cells {
                if round > 0 && self.is_late() {
                    say("  the time is up");
                    return Ok(());
                }
                self.transfers(cell)?;
            }
        }
        Ok(())
    }

    fn transfers(&mut self, cell: &Cell) -> Result<()> {
        let name = cell.name();
        for way in self.ways() {
            let one =
                measure::transfer(&self.world, &way, &cell.cipher, cell.direction, &cell.file)?;
            self.report.add(&name, "MB/s", &way.name, one.mb_per_second);
            if let Some(cpu) = one.cpu_per_gib {
                self.report.add(&name, "CPU s/GiB", &way.name, cpu);
            }
        }
        Ok(())
    }

    fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }
}

/// One kind of transfer.
struct Cell {
    content: Payload,
    cipher: String,
    direction: Direction,
    file: PathBuf,
}

impl Cell {
    fn name(&self) -> String {
        let (direction, content) = (self.direction.name(), self.content.name());
        format!("{direction} {content} {}", short(&self.cipher))
    }
}

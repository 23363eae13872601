//! A PostgreSQL of the tests' own: without privileges, in a temporary directory, on a Unix socket only.
//! It ends, and its directory goes away, when the process that has started it is over, however that ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// The account that the server runs as if the tests are root's, which it refuses: `nobody`.
pub(super) const NOBODY: u32 = 65534;
/// The user of the server, who may do everything.
const USER: &str = "rproxy";

/// Starts the server, and does what it reads from its standard input: `stop`, `kill`, `start`. At the end
/// of the input, also when the process at its other end was killed, it ends the server and removes the
/// directory.
const GUARDIAN: &str = r#"
directory=$1 programs=$2 port=$4
server() {
    "$programs/postgres" -D "$directory/data" -k "$directory" -c listen_addresses= -c fsync=off \
        -c full_page_writes=off -c max_connections=500 -c shared_buffers=32MB -c port="$port" \
        $(cat "$directory/options") </dev/null >>"$directory/log" 2>&1 &
    pid=$!
}
: >"$directory/options"
"$programs/initdb" -D "$directory/data" -U "$3" -A trust -E UTF8 --locale=C --no-sync \
    </dev/null >"$directory/log" 2>&1 || { cat "$directory/log" >&2; rm -rf "$directory"; exit 1; }
server
echo started
while read -r command; do
    case $command in
    stop) kill -INT "$pid"; wait "$pid" ;;
    kill) kill -QUIT "$pid"; wait "$pid" ;;
    start) server ;;
    esac
    echo done
done
kill -QUIT "$pid"
wait "$pid"
rm -rf "$directory"
"#;

/// A server that runs.
#[derive(Debug)]
pub(crate) struct PostgresServer {
    pub(super) directory: PathBuf,
    port: u16,
    guardian: Mutex<Guardian>,
    databases: AtomicU32,
}

#[derive(Debug)]
struct Guardian {
    _child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl PostgresServer {
    /// Starts a server; `None` if PostgreSQL is not installed.
    ///
    /// # Panics
    /// If it cannot be started.
    pub(crate) fn start() -> Option<Self> {
        Self::start_at(5432)
    }

    /// The same, with this port in the name of its socket, and for connections over TCP if the file
    /// `options` in its directory says that there are some.
    ///
    /// # Panics
    /// If it cannot be started.
    pub(crate) fn start_at(port: u16) -> Option<Self> {
        let programs = programs()?;
        let directory = tempfile::Builder::new()
            .prefix("rproxy-postgres-")
            .tempdir()
            .expect("a temporary directory")
            .keep();
        let mut command = Command::new("setsid");
        if is_root() {
            chown(&directory, Some(NOBODY), Some(NOBODY)).expect("a directory of nobody's");
            command.args([
                "setpriv",
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
            ]);
        }
        command.args(["sh", "-c", GUARDIAN, "guardian"]);
        command.arg(&directory).arg(programs).arg(USER);
        command.arg(port.to_string());
        command.current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("setpriv and sh");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let guardian = Mutex::new(Guardian {
            _child: child,
            input,
            output,
        });
        let server = Self {
            directory,
            port,
            guardian,
            databases: AtomicU32::new(0),
        };
        server.expect("started");
        server.wait();
        Some(server)
    }

    /// The URL of a new database, which is empty.
    ///
    /// # Panics
    /// If the server does not make one.
    pub(crate) fn database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let sql = format!("CREATE DATABASE test_{number}");
        let mut client = self.connect().expect("a server that runs");
        client.batch_execute(&sql).expect("a database");
        self.url(&format!("test_{number}"))
    }

    /// Has the server do something: `stop` (connections are closed), `kill` (it ends at once), `start`.
    ///
    /// # Panics
    /// If it does not.
    pub(crate) fn tell(&self, command: &str) {
        let mut guardian = self.guardian.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(guardian.input, "{command}").expect("a guardian");
        drop(guardian);
        self.expect("done");
        if command == "start" {
            self.wait();
        }
    }

    fn url(&self, database: &str) -> String {
        let (directory, port) = (self.directory.display(), self.port);
        format!("postgresql://{USER}@/{database}?host={directory}&port={port}")
    }

    fn connect(&self) -> Result<postgres::Client, postgres::Error> {
        postgres::Client::connect(&self.url("postgres"), postgres::NoTls)
    }

    /// Waits until the server answers.
    fn wait(&self) {
        for _ in 0..400 {
            if self.connect().is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        panic!("PostgreSQL does not answer:\n{log}");
    }

    fn expect(&self, line: &str) {
        let mut guardian = self.guardian.lock().unwrap_or_else(PoisonError::into_inner);
        let mut said = String::new();
        guardian.output.read_line(&mut said).expect("a guardian");
        assert_eq!(
            said.trim_end(),
            line,
            "what the guardian of PostgreSQL says"
        );
    }
}

/// The directory of PostgreSQL's programs: Debian does not have them in `PATH`.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut debian: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    debian.sort();
    let has_both = |path: &PathBuf| ["postgres", "initdb"].iter().all(|p| path.join(p).exists());
    let mut all = debian.into_iter().rev().chain(std::env::split_paths(&path));
    all.find(has_both)
}

pub(super) fn is_root() -> bool {
    Path::new("/proc/self")
        .metadata()
        .is_ok_and(|own| own.uid() == 0)
}

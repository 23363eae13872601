//! A proxy in a directory of its own, at which users sign in.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rproxy::state::StatePlace;
use rproxy::sys::fs::{PRIVATE_FILE, Replace, private_dir, write_whole};

use super::Result;

/// The configuration and the data of a proxy. They go away with it.
pub(crate) struct Home {
    directory: tempfile::TempDir,
    rproxy: PathBuf,
    pub(crate) address: SocketAddr,
    database: Option<String>,
}

impl Home {
    /// With the limits of a large office; with a state in this database, or in a file.
    pub(crate) fn new(rproxy: &Path, database: Option<&str>) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let free = TcpListener::bind("127.0.0.1:0")?;
        let address = free.local_addr()?;
        drop(free);
        let home = Self {
            directory,
            rproxy: rproxy.to_owned(),
            address,
            database: database.map(str::to_owned),
        };
        private_dir(&home.data())?;
        let state = match database {
            Some(url) => format!("state: {{ url: \"{url}\" }}\n"),
            None => String::new(),
        };
        let text = format!(
            "cluster_name: bench.test\n\
             data_dir: {data}\n\
             {state}\
             auth_service: {{ authentication: {{ type: local }} }}\n\
             proxy_service:\n  \
               listen_addr: {address}\n  \
               public_addr: localhost:{port}\n  \
               max_connections: 10000\n  \
               max_connections_per_address: 10000\n  \
               max_starting: 4000\n\
             roles:\n  - {{ name: dba, allow: [{{ nodes: [\"db*\"] }}] }}\n",
            data = home.data().display(),
            port = address.port(),
        );
        write_whole(
            &home.config(),
            text.as_bytes(),
            PRIVATE_FILE,
            Replace::Allow,
        )?;
        Ok(home)
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("rproxy.yaml")
    }

    /// A file beside the configuration.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where the state is.
    pub(crate) fn place(&self) -> Result<StatePlace> {
        Ok(match &self.database {
            Some(url) => StatePlace::Postgres(url.parse()?),
            None => StatePlace::Sqlite(self.data().join("state.db")),
        })
    }

    /// A command of the program.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.rproxy);
        command.arg("--config").arg(self.config()).args(args);
        command.stdin(Stdio::null());
        command
    }

    /// Starts the proxy; gives it, and how long it took until it has spoken to a client.
    pub(crate) fn serve(&self) -> Result<(Proxy, Duration)> {
        let mut log = OpenOptions::new();
        let log = log.append(true).create(true).mode(0o600);
        let log = log.open(self.file("log"))?;
        let began = Instant::now();
        let mut command = self.command(&["serve"]);
        let proxy = Proxy(command.stderr(log).stdout(Stdio::null()).spawn()?);
        while self.greeting().is_err() {
            if began.elapsed() > Duration::from_secs(60) {
                let log = std::fs::read_to_string(self.file("log"))?;
                return Err(format!("the proxy does not start:\n{log}").into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok((proxy, began.elapsed()))
    }

    /// Waits for the first byte of the proxy's identification: the port is bound long before a worker
    /// reads it.
    fn greeting(&self) -> std::io::Result<()> {
        let mut client = TcpStream::connect(self.address)?;
        client.set_read_timeout(Some(Duration::from_secs(60)))?;
        client.read_exact(&mut [0])
    }
}

/// A proxy that runs; it ends when this is dropped.
pub(crate) struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let pid = self.0.id().cast_signed();
        if let Some(pid) = rustix::process::Pid::from_raw(pid) {
            // It may have exited by itself.
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _reaped = self.0.wait();
    }
}

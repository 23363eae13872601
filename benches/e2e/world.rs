//! Everything that a run needs: keys and certificates, hosts, a jump host, proxies, an agent, and
//! one ssh configuration for each cipher.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rproxy::sys::fs::{PRIVATE_FILE, create_new};

use super::Result;
use super::process::{Running, output, until};

/// One way from the client to the host.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    /// Its name in the table.
    pub(crate) name: String,
    /// Its name in the ssh configurations.
    host: &'static str,
    /// The process in the middle, whose cost counts.
    pub(crate) middle: Option<u32>,
    /// The proxy's directory of recordings.
    recordings: Option<PathBuf>,
}

impl Way {
    /// Removes what was recorded, so that long runs do not fill the disk.
    pub(crate) fn tidy(&self) {
        let files = self.recordings.iter().flat_map(fs::read_dir).flatten();
        for file in files.flatten() {
            // A file that cannot be removed now is removed with the directory.
            let _left = fs::remove_file(file.path());
        }
    }
}

/// An rproxy to measure.
#[derive(Debug)]
pub(crate) struct Binary {
    /// Put before its ways' names.
    pub(crate) label: String,
    pub(crate) path: PathBuf,
}

/// Key exchange on all legs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kex {
    /// The key exchange that each pair of programs prefers.
    Preferred,
    /// The same everywhere.
    Curve25519,
}

impl Kex {
    const ALL: [Self; 2] = [Self::Preferred, Self::Curve25519];
}

/// A running world. When it is dropped, its processes end and its directory is removed.
#[derive(Debug)]
pub(crate) struct World {
    directory: tempfile::TempDir,
    ways: Vec<Way>,
    _running: Vec<Running>,
}

/// The programs of the host's side.
struct Sshd {
    program: PathBuf,
    login: String,
}

impl World {
    /// Starts everything: a host for each cipher, that takes no other cipher.
    pub(crate) fn start(parent: &Path, ciphers: &[&str], binaries: &[Binary]) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("rproxy-bench-")
            .tempdir_in(parent)?;
        let at = |name: &str| directory.path().join(name);
        let first = binaries.first().ok_or("no rproxy to measure")?;
        let authority = Proxy::new(&first.path, at("authority"));
        let sshd = Sshd::find()?;
        authority.write_config("off", &[])?;
        authority.credentials(directory.path(), &sshd.login)?;

        let mut running = vec![agent(directory.path())?];
        let (jump, jump_port) = sshd.start(directory.path(), "jump", None)?;
        let jump_id = jump.id();
        running.push(jump);
        let mut host_ports = Vec::new();
        for cipher in ciphers {
            let (host, port) = sshd.start(directory.path(), cipher, Some(cipher))?;
            running.push(host);
            host_ports.push(port);
        }

        let mut ways = vec![
            Way {
                name: "direct".to_owned(),
                host: "direct",
                middle: None,
                recordings: None,
            },
            Way {
                name: "ProxyJump".to_owned(),
                host: "jumped",
                middle: Some(jump_id),
                recordings: None,
            },
        ];
        let mut proxy_ports = Vec::new();
        for (number, binary) in binaries.iter().enumerate() {
            for (mode, host) in [("off", "off"), ("proxy", "strict")] {
                let proxy = Proxy::new(&binary.path, at(&format!("proxy-{number}-{host}")));
                copy(&authority.directory, &proxy.directory)?;
                proxy.write_config(mode, &host_ports)?;
                let (process, port) = proxy.serve()?;
                proxy_ports.push((number, host, port));
                ways.push(Way {
                    name: format!("{}{}", binary.label, shown(host)),
                    host: alias(number, host),
                    middle: Some(process.id()),
                    recordings: Some(proxy.directory.join("data/recordings")),
                });
                running.push(process);
            }
        }
        let suites = ciphers.iter().zip(&host_ports).enumerate();
        for (number, (cipher, host_port), kex) in
            suites.flat_map(|(number, suite)| Kex::ALL.map(|kex| (number, suite, kex)))
        {
            let file = at(&client_file(cipher, kex));
            let mut text = client_config(directory.path(), &sshd.login, cipher, kex);
            text.push_str(&format!(
                "Host jump direct jumped\n HostName 127.0.0.1\n HostKeyAlias db\n\
                 Host jump\n Port {jump_port}\nHost direct jumped\n Port {host_port}\n\
                 Host jumped\n ProxyJump jump\n"
            ));
            for (binary, host, port) in &proxy_ports {
                text.push_str(&format!(
                    "Host {}\n HostName db{number}\n ProxyCommand ssh -F {} -o ForwardAgent=yes -p {port} %r@127.0.0.1 -s proxy:%h:%p\n",
                    alias(*binary, host),
                    file.display(),
                ));
            }
            write(&file, &text)?;
        }
        Ok(Self {
            directory,
            ways,
            _running: running,
        })
    }

    pub(crate) fn ways(&self) -> &[Way] {
        &self.ways
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `ssh` to a host on some way, with the same algorithms on all legs.
    pub(crate) fn ssh(&self, way: &Way, cipher: &str, kex: Kex) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F")
            .arg(self.path(&client_file(cipher, kex)))
            .arg(way.host)
            .env("LC_ALL", "C");
        ssh
    }
}

fn shown(host: &str) -> &'static str {
    match host {
        "off" => "rproxy",
        _ => "recording",
    }
}

/// Names in the ssh configuration of the first and the second binary.
fn alias(binary: usize, host: &str) -> &'static str {
    match (binary, host) {
        (0, "off") => "off",
        (0, _) => "strict",
        (_, "off") => "other-off",
        (..) => "other-strict",
    }
}

fn client_file(cipher: &str, kex: Kex) -> String {
    let kex = match kex {
        Kex::Preferred => "preferred",
        Kex::Curve25519 => "curve25519",
    };
    format!("ssh_config.{}.{kex}", short(cipher))
}

/// A cipher's name without its domain.
pub(crate) fn short(cipher: &str) -> &str {
    cipher.trim_end_matches("@openssh.com")
}

/// A proxy's directory and binary.
struct Proxy {
    binary: PathBuf,
    directory: PathBuf,
}

impl Proxy {
    fn new(binary: &Path, directory: PathBuf) -> Self {
        Self {
            binary: binary.to_owned(),
            directory,
        }
    }

    fn config(&self) -> PathBuf {
        self.directory.join("rproxy.yaml")
    }

    fn write_config(&self, session_recording: &str, host_ports: &[u16]) -> Result<()> {
        fs::create_dir_all(&self.directory)?;
        let mut text = format!(
            "cluster_name: example.com\ndata_dir: {}/data\nauth_service:\n  session_recording: \"{session_recording}\"\n\
             proxy_service:\n  listen_addr: 127.0.0.1:0\n",
            self.directory.display()
        );
        if !host_ports.is_empty() {
            text.push_str("nodes:\n");
        }
        for (number, port) in host_ports.iter().enumerate() {
            text.push_str(&format!(
                "  - {{ name: db{number}, addr: \"127.0.0.1:{port}\" }}\n"
            ));
        }
        write(&self.config(), &text)
    }

    fn run(&self, arguments: &[&str]) -> Result<String> {
        output(
            Command::new(&self.binary)
                .arg("--config")
                .arg(self.config())
                .args(arguments),
        )
    }

    /// Both CAs, the hosts' key and certificate, the user's.
    fn credentials(&self, at: &Path, login: &str) -> Result<()> {
        let path = |name: &str| at.join(name).display().to_string();
        self.run(&["auth", "init"])?;
        write(
            &at.join("user_ca.pub"),
            &self.run(&["auth", "export", "--type=user"])?,
        )?;
        write(
            &at.join("known_hosts"),
            &self.run(&["auth", "export", "--type=host"])?,
        )?;
        let host_key = format!("--out={}", path("host"));
        self.run(&["auth", "sign", "--host=db,db0,db1,db2,db3", &host_key])?;
        output(
            Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(at.join("id")),
        )?;
        self.run(&[
            "auth",
            "sign",
            "--user=bench",
            &format!("--logins={login}"),
            &format!("--public-key={}", path("id.pub")),
            &format!("--out={}", path("id-cert.pub")),
        ])?;
        Ok(())
    }

    fn serve(&self) -> Result<(Running, u16)> {
        let log = self.directory.join("serve.log");
        let file = create_new(&log, PRIVATE_FILE)?;
        let process = Running::start(
            Command::new(&self.binary)
                .arg("--config")
                .arg(self.config())
                .arg("serve")
                .stdin(Stdio::null())
                .stdout(file.try_clone()?)
                .stderr(file),
        )?;
        let port = until("rproxy to listen", || {
            let text = fs::read_to_string(&log).ok()?;
            let (_, rest) = text.split_once("listening on 127.0.0.1:")?;
            rest.lines().next()?.trim().parse().ok()
        })?;
        Ok((process, port))
    }
}

impl Sshd {
    fn find() -> Result<Self> {
        let program = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"]
            .map(PathBuf::from)
            .into_iter()
            .find(|path| path.exists())
            .ok_or("sshd is not installed")?;
        let login = output(Command::new("id").arg("-un"))?.trim().to_owned();
        if login == "root" {
            // The directory in which a privileged `sshd` confines its unprivileged part.
            fs::create_dir_all("/run/sshd")?;
        }
        Ok(Self { program, login })
    }

    fn start(&self, at: &Path, name: &str, cipher: Option<&str>) -> Result<(Running, u16)> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let path = |name: &str| at.join(name).display().to_string();
        let ciphers = cipher.map_or_else(String::new, |cipher| format!("Ciphers {cipher}\n"));
        let text = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {}\nHostCertificate {}\nTrustedUserCAKeys {}\n\
             PidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nMaxStartups 500\n{ciphers}",
            path("host"),
            path("host-cert.pub"),
            path("user_ca.pub"),
        );
        let config = at.join(format!("sshd_config.{}", short(name)));
        write(&config, &text)?;
        let log = create_new(&at.join(format!("sshd.{}.log", short(name))), PRIVATE_FILE)?;
        let process = Running::start(
            Command::new(&self.program)
                .args(["-D", "-e", "-f"])
                .arg(&config)
                .stdin(Stdio::null())
                .stderr(log),
        )?;
        until("sshd to listen", || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        })?;
        Ok((process, port))
    }
}

fn agent(at: &Path) -> Result<Running> {
    let socket = at.join("agent");
    let process = Running::start(
        Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null()),
    )?;
    until("ssh-agent", || socket.exists().then_some(()))?;
    output(
        Command::new("ssh-add")
            .arg("-q")
            .arg(at.join("id"))
            .env("SSH_AUTH_SOCK", &socket),
    )?;
    Ok(process)
}

fn client_config(at: &Path, login: &str, cipher: &str, kex: Kex) -> String {
    let at = at.display();
    let kex = match kex {
        Kex::Preferred => "",
        Kex::Curve25519 => " KexAlgorithms curve25519-sha256\n",
    };
    format!(
        "Host *\n User {login}\n IdentityFile {at}/id\n IdentityAgent {at}/agent\n\
         UserKnownHostsFile {at}/known_hosts\n GlobalKnownHostsFile /dev/null\n\
         StrictHostKeyChecking yes\n BatchMode yes\n LogLevel ERROR\n ControlMaster no\n\
         Compression no\n Ciphers {cipher}\n{kex}\
         IgnoreUnknown ObscureKeystrokeTiming\n ObscureKeystrokeTiming no\n"
    )
}

fn write(path: &Path, text: &str) -> Result<()> {
    // A configuration may be written again.
    let _none = fs::remove_file(path);
    create_new(path, PRIVATE_FILE)?.write_all(text.as_bytes())?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    output(Command::new("cp").arg("-a").arg(from).arg(to))?;
    Ok(())
}

//! A whole Debian as a host, with OpenSSH and nothing of ours.
//!
//! It is a root that `tests/openssh.sh --host` has unpacked, in a mount namespace in which `/etc` and what
//! else is written is the test's own. It has neither systemd nor a running cron: the tests do what these
//! would do.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::children::{Children, Running};
use crate::support::clock::PRELOAD;
use crate::support::ports::free_port;
use crate::support::{World, keys, programs, skipped};

/// Makes the host's own directories, says so, and waits for the end of its input.
const KEEPER: &str = "\
mount --bind \"$0\" \"$1\"\n\
mount -o remount,bind,ro \"$1\"\n\
for directory in etc root run tmp home; do\n\
    mount -t tmpfs none \"$1/$directory\"\n\
    cp -a \"$0/$directory/.\" \"$1/$directory/\"\n\
done\n\
for directory in proc dev; do mount --rbind \"/$directory\" \"$1/$directory\"; done\n\
echo ready\n\
exec cat >/dev/null";

/// What is in `/etc`: every file with its mode, owner and content.
const TREE: &str = "\
cd /etc && find . -printf '%p %y %m %u %g %l\\n' | sort && find . -type f -exec sha256sum {} + | sort";

/// A host.
pub(crate) struct DebianHost {
    keeper: Running,
    place: tempfile::TempDir,
    sshd: Option<Running>,
    pub(crate) port: u16,
    /// The library that makes the clock of its programs another one.
    clock: Option<PathBuf>,
}

impl DebianHost {
    /// `None` where there can be none.
    pub(crate) fn new(children: &Children, suite: &str) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("target/tools/hosts")
            .join(suite);
        if !crate::support::namespace::may_mount() {
            skipped::cannot("only root has hosts of its own");
            return None;
        }
        if !root.join("etc/ssh/sshd_config").is_file() {
            skipped::lacks(&format!("a host of Debian's {suite}"));
            return None;
        }
        let place = tempfile::Builder::new().prefix("rp-").tempdir_in("/tmp");
        let place = place.expect("a directory in /tmp");
        let mut keeper = Command::new(programs::path("unshare"));
        keeper
            .args(["--mount", "sh", "-ec", KEEPER])
            .arg(std::fs::canonicalize(&root).expect("it is there"))
            .arg(place.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut keeper = children.spawn(&mut keeper);
        let mut said = [0; 6];
        let stdout = keeper.child.stdout.as_mut().expect("it is piped");
        std::io::Read::read_exact(stdout, &mut said).expect("the host is made");
        let host = Self {
            keeper,
            place,
            sshd: None,
            port: free_port(),
            clock: None,
        };
        // The rest is as Debian has it. Here, PAM cannot note who has logged in.
        let settings = format!(
            "Port {}\nListenAddress 127.0.0.1\nUsePAM no\nPermitRootLogin prohibit-password\n",
            host.port
        );
        host.write("/etc/ssh/sshd_config.d/test.conf", &settings);
        host.shell("mkdir -p /run/sshd /etc/cron.d");
        Some(host)
    }

    /// A program of the machine, with the host's mounts.
    fn outside(&self) -> Command {
        let mut command = Command::new(programs::path("nsenter"));
        let keeper = self.keeper.child.id();
        command.arg(format!("--mount=/proc/{keeper}/ns/mnt"));
        command
    }

    /// A program of the host.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = self.outside();
        command
            .arg("chroot")
            .arg(self.place.path())
            .arg(program)
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", "/root");
        if let Some(library) = &self.clock {
            command.env(PRELOAD, library);
        }
        command
    }

    /// From now on its programs have the clock of the world.
    pub(crate) fn has_clock_of(&mut self, world: &World) {
        self.has_clock(world, world.clock_library());
    }

    /// From now on its programs have the clock of this library, which is in the directory of the world.
    pub(crate) fn has_clock(&mut self, world: &World, library: &Path) {
        const SHARE: &str =
            "[ -d \"$1$0\" ] || { mkdir -p \"$1$0\" && mount --bind \"$0\" \"$1$0\"; }";
        let mut share = self.outside();
        share.args(["sh", "-ec", SHARE]).arg(world.dir());
        keys::tool(share.arg(self.place.path()));
        self.clock = Some(library.to_owned());
    }

    /// Leaves no room in the file system of one of the host's directories.
    pub(crate) fn fill(&self, directory: &str) {
        const FILL: &str = "\
            mount -o \"remount,size=$(($(df -k --output=used \"$0\" | tail -n 1) + 64))k\" \"$0\"\n\
            ! dd if=/dev/zero of=\"$0/filler\" bs=4k 2>\"$1.filled\"\n\
            grep -q 'No space left' \"$1.filled\"\n\
            rm \"$1.filled\"";
        let mut fill = self.outside();
        let place = self.place.path();
        fill.args(["sh", "-ec", FILL]).arg(place.join(directory));
        keys::tool(fill.arg(place));
    }

    /// There is room again where [`Self::fill`] has left none.
    pub(crate) fn make_room(&self, directory: &str) {
        const FREE: &str = "rm \"$0/filler\" && mount -o remount,size=64m \"$0\"";
        let mut free = self.outside();
        free.args(["sh", "-ec", FREE]);
        keys::tool(free.arg(self.place.path().join(directory)));
    }

    /// Runs a line of a shell there, which has to succeed.
    pub(crate) fn shell(&self, line: &str) -> String {
        keys::tool(self.command("sh").args(["-c", line]))
    }

    /// Writes a file there.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let outcome = self.run(&["sh", "-c", &format!("cat >{path}")], text);
        assert!(outcome.0, "{}", outcome.1);
    }

    /// Runs a program with an input; whether it succeeds, and what it says.
    pub(crate) fn run(&self, words: &[&str], input: &str) -> (bool, String) {
        let (program, arguments) = words.split_first().expect("a program");
        let mut command = self.command(program);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        std::io::Write::write_all(&mut stdin, input.as_bytes()).expect("it reads");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        let said = format!("{}{said}", String::from_utf8_lossy(&output.stdout));
        println!("{words:?}: {said}");
        (output.status.success(), said)
    }

    /// Gets the script of the world's proxy, as `/root/join.sh`.
    pub(crate) fn gets_script(&self, world: &World) {
        let address = format!("127.0.0.1:{}", world.port());
        let script = world.about_nodes(&["script", "--proxy", &address]);
        self.write("/root/join.sh", &script);
    }

    /// Gets the script and joins by it, with these options and a new token of those.
    pub(crate) fn joins(&self, world: &World, token: &[&str], options: &[&str]) {
        self.gets_script(world);
        let token = world.node_token(token);
        let join = [&["sh", "/root/join.sh", "--yes"], options].concat();
        let (is_done, said) = self.run(&join, &format!("{token}\n"));
        assert!(is_done, "{said}");
    }

    /// Every file in `/etc` with its mode, owner and content.
    pub(crate) fn etc(&self) -> String {
        self.shell(TREE)
    }

    /// Starts its `sshd`.
    pub(crate) fn start_sshd(&mut self, children: &Children) {
        let log = std::fs::File::create(self.log()).expect("a writable directory");
        let mut sshd = self.command("/usr/sbin/sshd");
        sshd.args(["-D", "-e"]).stdin(Stdio::null()).stderr(log);
        self.sshd = Some(children.spawn(&mut sshd));
        let is_up = || std::net::TcpStream::connect(("127.0.0.1", self.port)).ok();
        children.eventually(is_up).expect("sshd listens");
    }

    /// The process that listens ends.
    pub(crate) fn stop_sshd(&mut self) {
        self.sshd.as_mut().expect("it was started").kill_alone();
    }

    fn log(&self) -> PathBuf {
        keys::with_suffix(self.place.path(), ".log")
    }

    /// How often sshd has read its configuration again.
    pub(crate) fn reloads(&self) -> usize {
        let log = std::fs::read_to_string(self.log()).expect("sshd was started");
        log.matches("Received SIGHUP").count()
    }

    /// sshd is the process that the test has started, and answers.
    pub(crate) fn has_its_sshd(&mut self, children: &Children) {
        let sshd = self.sshd.as_mut().expect("it was started");
        assert!(sshd.ended().is_none(), "sshd has ended");
        let is_up = || std::net::TcpStream::connect(("127.0.0.1", self.port)).ok();
        children.eventually(is_up).expect("sshd listens");
    }
}

impl Drop for DebianHost {
    fn drop(&mut self) {
        if let Ok(log) = std::fs::read_to_string(self.log()) {
            println!("==== sshd\n{log}");
            std::fs::remove_file(self.log()).expect("it is ours");
        }
    }
}

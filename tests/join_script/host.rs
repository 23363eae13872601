//! A host: a directory that stands for its root, and the programs that its shell finds.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::double::{Answer, CLUSTER, NAME, PORT, ProxyDouble, run, usual_key, with};
use crate::script::put_script;
use crate::skipped;

pub(crate) const TOKEN: &str = "rpt_abcdefghijklmnopqrstuvwxyz";

/// The shells of hosts. With busybox's come its other programs.
const SHELLS: [&str; 3] = ["dash", "busybox", "bash"];

/// What of busybox stands in for the usual programs, as on Alpine.
const APPLETS: &[&str] = &[
    "awk", "cat", "chmod", "cksum", "cmp", "cp", "cut", "date", "find", "grep", "head", "id", "ip",
    "kill", "ln", "ls", "mkdir", "mktemp", "mv", "od", "printf", "readlink", "rm", "rmdir", "sed",
    "setsid", "sleep", "sort", "stty", "tail", "tr", "uname", "wc",
];

/// Runs a case with each shell.
pub(crate) fn each_shell(case: impl Fn(&'static str)) {
    for shell in SHELLS {
        if is_installed(shell) {
            println!("with {shell}");
            case(shell);
        } else {
            skipped::lacks(shell);
        }
    }
}

/// Runs a case with one shell, which follows from the place of the test: a case takes seconds, and what all
/// shells have to do is in the cases of [`each_shell`].
#[track_caller]
pub(crate) fn one_shell(case: impl Fn(&'static str)) {
    let line = std::panic::Location::caller().line() as usize;
    let shells = SHELLS.iter().cycle().skip(line).take(SHELLS.len());
    match shells.copied().find(|shell| is_installed(shell)) {
        Some(shell) => case(shell),
        None => skipped::lacks("dash"),
    }
}

fn is_installed(shell: &str) -> bool {
    ["/usr/bin", "/bin"]
        .iter()
        .any(|place| Path::new(place).join(shell).is_file())
}

/// What starts the programs of the host again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manager {
    Systemd,
    OpenRc,
    Cron,
    Nothing,
}

pub(crate) struct ScratchHost {
    dir: tempfile::TempDir,
    shell: &'static str,
    pub(crate) proxy: ProxyDouble,
}

/// Every file and directory, with its mode and content.
pub(crate) type Tree = BTreeMap<String, (u32, Vec<u8>)>;

impl ScratchHost {
    /// A host with systemd, whose `sshd_config` includes a directory, as Debian's.
    pub(crate) fn new(shell: &'static str) -> Self {
        Self::managed(shell, Manager::Systemd)
    }

    pub(crate) fn managed(shell: &'static str, manager: Manager) -> Self {
        let host = Self {
            dir: tempfile::Builder::new()
                .prefix("rp-")
                .tempdir_in("/tmp")
                .unwrap(),
            shell,
            proxy: ProxyDouble::new(),
        };
        for directory in ["root/etc/ssh/sshd_config.d", "root/run", "bin", "calls"] {
            fs::create_dir_all(host.dir.path().join(directory)).unwrap();
        }
        let more: &[&str] = match manager {
            Manager::Systemd => &["run/systemd/system", "etc/systemd/system"],
            Manager::OpenRc => &["run/openrc", "etc/init.d", "etc/crontabs"],
            Manager::Cron => &["etc/cron.d"],
            Manager::Nothing => &[],
        };
        for directory in more {
            fs::create_dir_all(host.at(directory)).unwrap();
        }
        // Whatever the umask of the tests is.
        run(Command::new("chmod")
            .args(["-R", "g-w,o-w"])
            .arg(host.at("")));
        usual_key("of the host", &host.key());
        let include = format!(
            "Include {}/*.conf\n",
            host.at("etc/ssh/sshd_config.d").display()
        );
        host.configure(&include);
        host.programs();
        host.proxy.know(&host.key());
        let mut answer = Answer::new(&host.proxy);
        host.proxy.answer("heartbeat", &answer.text());
        answer.certificate = Some(host.proxy.certify("host_ca", &host.key(), 1));
        host.proxy.answer("join", &answer.text());
        host
    }

    /// Writes `sshd_config`, with lines before and after those that the host needs.
    pub(crate) fn configure(&self, before: &str) {
        let text = format!(
            "{before}HostKey {}\nPidFile {}\nPort 2222\n",
            self.key().display(),
            self.at("run/sshd.pid").display()
        );
        fs::write(self.at("etc/ssh/sshd_config"), text).unwrap();
    }

    /// Adds to `sshd_config`.
    pub(crate) fn append(&self, text: &str) {
        let path = self.at("etc/ssh/sshd_config");
        let old = fs::read_to_string(&path).unwrap();
        fs::write(path, old + text).unwrap();
    }

    fn programs(&self) {
        let bin = self.dir.path().join("bin");
        let calls = self.dir.path().join("calls").display().to_string();
        // The names of the proxy and of its user lead to the double.
        let ssh = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$*\" >>{calls}/ssh\n\
             case \" $* \" in\n*' -N '*) exec /bin/sleep 1000 ;;\nesac\n\
             cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\000' '\\n' |\n\
             grep -F -f {calls}/secret >>{calls}/leaks\n\
             exec {ssh} -l \"$(id -un)\" -o 'ProxyCommand={sshd} -i -f {config} 2>>{calls}/proxy' \"$@\"\n",
            ssh = found("ssh").display(),
            sshd = found("sshd").display(),
            config = self.proxy.path("sshd_config").display(),
        );
        fs::write(self.dir.path().join("calls/secret"), TOKEN).unwrap();
        put_script(&ssh, &bin.join("ssh"));
        let note = format!("#!/bin/sh\nprintf '%s\\n' \"$*\" >>{calls}/${{0##*/}}\n");
        put_script(&note, &bin.join("systemctl"));
        for name in ["rc-service", "rc-update"] {
            symlink(bin.join("systemctl"), bin.join(name)).unwrap();
        }
        put_script("#!/bin/sh\n", &bin.join("crond"));
        if self.shell == "busybox" {
            for applet in APPLETS {
                symlink(found("busybox"), bin.join(applet)).unwrap();
            }
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/nodes/join.sh");
        let mut text = fs::read_to_string(script).unwrap();
        for (placeholder, value) in [
            ("@PROXY_HOST@", NAME),
            ("@PROXY_PORT@", &PORT.to_string()),
            ("@CLUSTER@", CLUSTER),
            ("@VERSION@", "0.0.0"),
            ("@HOST_CAS@", &self.proxy.public("host_ca")),
        ] {
            assert_eq!(text.matches(placeholder).count(), 1, "{placeholder}");
            text = text.replace(placeholder, value);
        }
        fs::write(self.script(), text).unwrap();
    }

    /// A file of the host.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join("root").join(path)
    }

    /// A file of ours on the host.
    pub(crate) fn ours(&self, name: &str) -> PathBuf {
        self.at("etc/ssh/rproxy").join(name)
    }

    /// Makes the directory of our files.
    pub(crate) fn make_home(&self) {
        fs::create_dir(self.ours("")).unwrap();
        fs::set_permissions(self.ours(""), fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.at("etc/ssh/ssh_host_ed25519_key")
    }

    pub(crate) fn script(&self) -> PathBuf {
        self.dir.path().join("join.sh")
    }

    /// How a program of the host was called.
    pub(crate) fn calls(&self, program: &str) -> Vec<String> {
        let path = self.dir.path().join("calls").join(program);
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// How often sshd was reloaded.
    pub(crate) fn reloads(&self) -> usize {
        let calls = self.calls("systemctl");
        calls
            .iter()
            .filter(|call| call.starts_with("reload"))
            .count()
    }

    /// Puts another program in the place of one.
    pub(crate) fn put_program(&self, name: &str, text: &str) {
        let place = self.dir.path().join("bin").join(name);
        if place.exists() {
            fs::remove_file(&place).unwrap();
        }
        put_script(text, &place);
    }

    /// Has a program do something else first.
    pub(crate) fn wrap_program(&self, name: &str, first: &str) {
        let real = match self.shell {
            "busybox" if APPLETS.contains(&name) => {
                format!("{} {name}", found("busybox").display())
            }
            _ => found(name).display().to_string(),
        };
        self.put_program(name, &format!("#!/bin/sh\n{first}\nexec {real} \"$@\"\n"));
    }

    /// Has `systemctl` answer some questions otherwise: cases of a shell's `case`.
    pub(crate) fn wrap_systemctl(&self, cases: &str) {
        let calls = self.dir.path().join("calls/systemctl");
        self.put_program(
            "systemctl",
            &format!(
                "#!/bin/sh\nprintf '%s\\n' \"$*\" >>{}\ncase $1 in\n{cases}\nesac\n",
                calls.display()
            ),
        );
    }

    /// The programs of the machine without one of them: links to all the others.
    pub(crate) fn without_program(&self, name: &str) -> PathBuf {
        let place = self.dir.path().join(format!("without-{name}"));
        fs::create_dir(&place).unwrap();
        for directory in ["/usr/bin", "/bin"] {
            for entry in fs::read_dir(directory).unwrap() {
                let entry = entry.unwrap();
                let link = place.join(entry.file_name());
                if entry.file_name() != name && !link.is_symlink() {
                    symlink(entry.path(), link).unwrap();
                }
            }
        }
        let ours = self.dir.path().join("bin").join(name);
        if ours.is_symlink() {
            fs::remove_file(ours).unwrap();
        }
        place
    }

    /// A command with a script, without a terminal.
    pub(crate) fn command(&self, script: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(found("setsid"));
        command.arg("--wait").arg(found(self.shell));
        if self.shell == "busybox" {
            command.arg("ash");
        }
        let bin = self.dir.path().join("bin");
        command
            .arg(script)
            .args(arguments)
            .env_clear()
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", bin.display()),
            )
            .env("RPROXY_ROOT", self.dir.path().join("root"))
            .env("HOME", self.dir.path())
            // What somebody has exported by this name is no token.
            .env("token", "exported")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// A process that looks like a run of the script, until it is dropped.
    pub(crate) fn another_run(&self) -> OtherRun {
        let script = self.dir.path().join("holder.sh");
        fs::write(&script, "read -r line\n").unwrap();
        let mut shell = Command::new(found("sh"));
        OtherRun(shell.arg(script).stdin(Stdio::piped()).spawn().unwrap())
    }

    /// Runs a script with something on its standard input.
    pub(crate) fn run_with(&self, script: &Path, arguments: &[&str], input: &str) -> ScriptOutcome {
        let mut child = self.command(script, arguments).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A script that does not read it may have ended.
        if let Err(error) = stdin.write_all(input.as_bytes()) {
            assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
        }
        drop(stdin);
        let outcome = ScriptOutcome(child.wait_with_output().unwrap());
        println!("{arguments:?}: {}", outcome.text());
        assert_eq!(
            self.calls("leaks"),
            Vec::<String>::new(),
            "the token is shown to others"
        );
        outcome
    }

    /// Joins, with the token on standard input.
    pub(crate) fn join(&self, arguments: &[&str]) -> ScriptOutcome {
        let arguments = [&["--yes"], arguments].concat();
        self.run_with(&self.script(), &arguments, &format!("{TOKEN}\n"))
    }

    /// Joins, and has to succeed.
    pub(crate) fn joined(&self, arguments: &[&str]) {
        self.join(arguments).success();
    }

    pub(crate) fn heartbeat(&self) -> ScriptOutcome {
        self.run_with(&self.ours("node.sh"), &["heartbeat"], "")
    }

    pub(crate) fn leave(&self) -> ScriptOutcome {
        self.run_with(&self.ours("node.sh"), &["--leave", "--yes"], "")
    }

    /// What is on the host.
    pub(crate) fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        walk(&self.dir.path().join("root"), &mut tree);
        tree
    }

    /// The same with the times of the files, to see whether one was written again.
    pub(crate) fn stamped(&self) -> BTreeMap<String, (i64, i64, u64)> {
        let stamp = |path: &String| {
            let metadata = fs::symlink_metadata(path).unwrap();
            let inode = if metadata.is_dir() { 0 } else { metadata.ino() };
            (metadata.mode().into(), metadata.size().cast_signed(), inode)
        };
        let tree = self.tree();
        let files = tree.keys().filter(|path| !path.contains("/run"));
        files.map(|path| (path.clone(), stamp(path))).collect()
    }

    /// Has sshd read the whole configuration.
    pub(crate) fn effective(&self) -> String {
        let mut sshd = Command::new(found("sshd"));
        let output = sshd
            .arg("-T")
            .arg("-f")
            .arg(self.at("etc/ssh/sshd_config"))
            .output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().to_lowercase()
    }

    /// Whether sshd uses what is installed.
    pub(crate) fn is_in_force(&self) -> bool {
        let text = self.effective();
        ["hostcertificate", "trustedusercakeys", "revokedkeys"]
            .iter()
            .all(|keyword| {
                let home = self.ours("").display().to_string().to_lowercase();
                text.contains(&format!("{keyword} {home}"))
            })
    }
}

/// See [`ScratchHost::another_run`].
pub(crate) struct OtherRun(Child);

impl OtherRun {
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for OtherRun {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// How a script has ended.
pub(crate) struct ScriptOutcome(Output);

impl ScriptOutcome {
    pub(crate) fn text(&self) -> String {
        let stdout = String::from_utf8_lossy(&self.0.stdout);
        format!("{stdout}{}", String::from_utf8_lossy(&self.0.stderr))
    }

    pub(crate) fn success(self) -> String {
        assert!(self.0.status.success(), "{}", self.text());
        self.text()
    }

    /// What it says as it fails.
    pub(crate) fn failure(self) -> String {
        assert_eq!(self.0.status.code(), Some(1), "{}", self.text());
        self.text()
    }
}

fn walk(directory: &Path, tree: &mut Tree) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let content = match () {
            () if metadata.is_dir() => Vec::new(),
            () if metadata.is_symlink() => fs::read_link(&path)
                .unwrap()
                .into_os_string()
                .into_encoded_bytes(),
            () => fs::read(&path).unwrap(),
        };
        let mode = metadata.permissions().mode();
        tree.insert(path.display().to_string(), (mode, content));
        if metadata.is_dir() {
            walk(&path, tree);
        }
    }
}

/// A program of the machine that the tests run on.
pub(crate) fn found(name: &str) -> PathBuf {
    let places =
        ["/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(|place| Path::new(place).join(name));
    let place = places.into_iter().find(|path| path.is_file());
    place.unwrap_or_else(|| panic!("{name} is missing: run tests/run.sh"))
}

/// The text of a file.
pub(crate) fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The number of a file's revocation list.
pub(crate) fn list_number(path: &Path) -> u64 {
    let bytes = fs::read(path).unwrap();
    u64::from_be_bytes(bytes[12..20].try_into().unwrap())
}

/// A private key's public half.
pub(crate) fn public(path: &Path) -> String {
    text(&with(path, ".pub"))
}

/// Waits for a condition.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !holds() {
        assert!(
            std::time::Instant::now() < deadline,
            "{what}: not within a minute"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

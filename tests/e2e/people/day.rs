//! A working day after one sign-in: programs that cannot ask go on, until its twelve hours are over.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::support::client::ClientCommand;
use crate::support::one_time::CodeGenerator;
use crate::support::others::others;
use crate::support::recordings::text;
use crate::support::{PersonAnswers, World, ports, programs, service};

/// Forks of Ansible, each with a connection of its own.
const FORKS: usize = 20;

/// Where a person works: `ssh` may ask everywhere, and each question is written down.
struct Desk<'w> {
    world: &'w World,
    config: PathBuf,
    askpass: PathBuf,
    asked: PathBuf,
}

impl<'w> Desk<'w> {
    fn new(world: &'w World) -> Self {
        let path = |name: &str| world.dir().join(name);
        let outer = path("outer").display().to_string();
        for file in ["inner", "outer"] {
            let lines = std::fs::read_to_string(path(file)).expect("the harness wrote it");
            let lines = lines
                .replace("BatchMode yes\n", "")
                .replace(&format!("-F {outer} "), &format!("-F {outer}.asks "));
            std::fs::write(path(&format!("{file}.asks")), lines).expect("a writable directory");
        }
        let desk = Self {
            world,
            config: path("inner.asks"),
            askpass: path("recorder"),
            asked: path("asked"),
        };
        let script = format!("#!/bin/sh\necho \"$1\" >>'{}'\n", desk.asked.display());
        programs::put_script(&script, &desk.askpass);
        desk
    }

    /// `ssh`, as other programs call it.
    fn ssh(&self) -> String {
        let ssh = programs::path("ssh");
        format!("{} -F {}", ssh.display(), self.config.display())
    }

    /// A program without a terminal, whose `ssh` would ask the one that writes questions down.
    fn program(&self, program: &str) -> ClientCommand<'w> {
        let path = others(program).expect("it was looked for");
        self.world
            .program_at(&path)
            .env("SSH_ASKPASS", &self.askpass)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("DISPLAY", ":0")
            .env("LC_ALL", "C.UTF-8")
    }

    /// A command on the host.
    fn one_session(&self) {
        let ssh = self.program("ssh").arg("-F").arg(&self.config);
        ssh.args(["db1", "true"]).run().success();
    }

    /// Every question so far.
    fn asked(&self) -> String {
        std::fs::read_to_string(&self.asked).unwrap_or_default()
    }

    /// Twenty hosts at once, each by a connection of its own.
    fn ansible(&self) {
        let dir = self.world.dir().join("ansible");
        std::fs::create_dir(&dir).expect("a writable directory");
        let python = programs::other("python3").expect("Ansible has it");
        let inventory = format!(
            "web[01:{FORKS}] ansible_host=db1 ansible_python_interpreter={}\n",
            python.display()
        );
        let dir_name = dir.display();
        let config = format!(
            "[defaults]\ninventory = {dir_name}/hosts\nremote_tmp = {dir_name}/remote\n\
             local_tmp = {dir_name}/local\nforks = {FORKS}\n[ssh_connection]\npipelining = True\n\
             ssh_args = -F {} -o ControlMaster=no\n",
            self.config.display()
        );
        for (name, content) in [("hosts", inventory), ("ansible.cfg", config)] {
            std::fs::write(dir.join(name), content).expect("a writable directory");
        }
        let outcome = self
            .program("ansible")
            .env("ANSIBLE_CONFIG", dir.join("ansible.cfg"))
            .args(["all", "-m", "ping", "-o"])
            .run()
            .success();
        let pongs = outcome.text().matches("\"pong\"").count();
        assert_eq!(pongs, FORKS, "{}", outcome.text());
    }

    /// The remote extension of VS Code: with its server for questions, and by a terminal of its own.
    fn editors(&self) {
        for last in [&["db1"][..], &["db1", "bash"]] {
            let local = ports::free_port();
            let mut ssh = self
                .program("ssh")
                .arg("-F")
                .arg(&self.config)
                .args(["-v", "-T", "-D", &local.to_string()])
                .args(["-o", "ConnectTimeout=15"])
                .args(last)
                .start();
            let stdin = ssh.stdin.as_mut().expect("it is piped");
            stdin.write_all(b"uname -s\n").expect("a pipe");
            assert_eq!(ssh.read(6), b"Linux\n");
            let url = format!("http://127.0.0.1:{}/editor", service::on_port());
            let proxy = format!("127.0.0.1:{local}");
            let curl = self.program("curl");
            let curl = curl.args(["-sS", "--socks5-hostname", &proxy, &url]).run();
            assert!(curl.success().text().contains("GET /editor"));
            ssh.finish().success();
        }
    }

    /// Files, by every program that brings some.
    fn files(&self) {
        let tree = self.world.dir().join("tree");
        std::fs::create_dir(&tree).expect("a writable directory");
        std::fs::write(tree.join("with space"), service::bytes()).expect("a writable directory");
        let script = "\
            cd \"$DIR\"\n\
            rsync -a -e \"$SSH\" tree/ \"db1:$DIR/by-rsync/\"\n\
            for protocol in -O -s; do\n\
                scp -F \"$CONFIG\" -q -r $protocol tree \"db1:$DIR/by-scp$protocol\"\n\
                scp -F \"$CONFIG\" -q -r $protocol \"db1:$DIR/by-scp$protocol\" back$protocol\n\
            done\n\
            printf 'put \"tree/with space\" %s/by-sftp\\n' \"$DIR\" | sftp -q -F \"$CONFIG\" db1\n\
            cmp 'tree/with space' by-sftp\n\
            for copy in by-rsync by-scp-O by-scp-s back-O back-s; do diff -r tree \"$copy\"; done\n\
            export GIT_SSH_COMMAND=\"$SSH\" GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.com\n\
            export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.com\n\
            git init -q --bare there.git\n\
            git clone -q \"db1:$DIR/there.git\" clone\n\
            cp tree/* clone\n\
            cd clone\n\
            git add .\n\
            git commit -q -m one\n\
            git push -q origin HEAD:main\n\
            git -C ../there.git cat-file -e main:'with space'\n";
        self.program("bash")
            .args(["-euc", script])
            .env("SSH", self.ssh())
            .env("CONFIG", &self.config)
            .env("DIR", self.world.dir())
            .run()
            .success();
    }
}

/// The end of the last sign-in, in seconds after the epoch.
fn until(world: &World) -> u64 {
    let begun = world.events("sign_in.begun").pop().expect("a sign-in");
    let until = chrono::DateTime::parse_from_rfc3339(text(&begun, "until"));
    let until = until.expect("a time").timestamp();
    u64::try_from(until).expect("after 1970")
}

/// Moves every clock, that of the person's authenticator too.
fn set_clock(world: &World, account: &PersonAnswers, time: u64) {
    let ahead = world.set_clock(time);
    let authenticator: &Option<CodeGenerator> = &account.authenticator;
    authenticator
        .as_ref()
        .expect("one was set up")
        .set_ahead(ahead);
}

/// Everything is recorded as this user's: how many recordings there are, and the commands in them.
fn recorded_as(world: &World, user: &str) -> Vec<Value> {
    let recordings = world.recordings();
    for recording in &recordings {
        assert_eq!(text(recording, "user"), user, "{recording:#}");
    }
    recordings
}

#[test]
fn programs_go_on_for_twelve_hours_and_after_one_question_more() {
    if ["ansible", "rsync", "git"]
        .iter()
        .any(|name| others(name).is_none())
    {
        return;
    }
    let limit = Duration::from_secs(240);
    let world = World::with()
        .people()
        .moving_clock()
        .time_limit(limit)
        .start();
    let account = world.sign_up("alice", &world.invite("alice"));
    let desk = Desk::new(&world);
    let until = until(&world);
    let morning = world.shell();

    // Ten minutes before the end.
    set_clock(&world, &account, until - 600);
    desk.ansible();
    desk.editors();
    desk.files();
    assert_eq!(desk.asked(), "");
    let recordings = recorded_as(&world, "alice");
    let has = |word: &str| {
        let is = |one: &&Value| {
            one["command"]
                .as_str()
                .is_some_and(|line| line.contains(word))
        };
        recordings.iter().filter(is).count()
    };
    assert!(has("python") >= FORKS, "{recordings:#?}");
    for word in [
        "rsync --server",
        "scp -",
        "git-upload-pack",
        "git-receive-pack",
        "bash",
    ] {
        assert!(has(word) > 0, "{word}: {recordings:#?}");
    }

    // Just before the end, and long enough for a slow machine.
    set_clock(&world, &account, until - 60);
    let mut late = world.shell();
    late.expect("your sign-in expires in");
    desk.one_session();
    assert_eq!(desk.asked(), "");
    assert_eq!(world.events("sign_in.begun").len(), 1);

    set_clock(&world, &account, until + 1);
    // Connections read the time of day once in a minute, and whenever the proxy has news.
    world.reconfigure(str::to_owned);
    for mut session in [morning, late] {
        session.expect("your sign-in has ended: it has expired");
        assert_eq!(session.finish().0, Some(255));
    }
    // One question, and then on to the host.
    let mut terminal = world.asking_ssh_to("db1", "echo here").in_terminal(24, 80);
    account.answer(&mut terminal);
    terminal.expect("here");
    let (code, shown) = terminal.finish();
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(
        shown.matches("rproxy example.test: ").count(),
        2,
        "a password and a code: {shown}"
    );
    assert_eq!(world.events("sign_in.begun").len(), 2);
    desk.one_session();
    assert_eq!(desk.asked(), "");
    recorded_as(&world, "alice");
}

/// The recorder of questions works: without a sign-in it is asked, and what it does not answer is no login.
#[test]
fn a_program_that_cannot_ask_would_be_asked_without_a_sign_in() {
    let world = World::with().people().start();
    world.sign_up("alice", &world.invite("alice"));
    world.asking_ssh("alice").arg("logout").run().success();
    let desk = Desk::new(&world);
    let outcome = desk
        .program("ssh")
        .arg("-F")
        .arg(&desk.config)
        .args(["db1", "true"])
        .run();
    assert_eq!(outcome.code(), 255);
    let asked = desk.asked();
    assert!(
        asked.contains("rproxy example.test: password for alice"),
        "{asked}"
    );
}

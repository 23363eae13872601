//! Each in a process of its own, which the test starts: no process leaves a sandbox.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType};
use seccompiler::sock_filter;

use super::seccomp::filter;
use super::table::DENIED;
use super::*;

/// Names the test that a process was started for.
const MARK: &str = "RPROXY_TEST_SANDBOX";
/// An error that no system call gives by itself.
const OURS: i32 = libc::ENOTRECOVERABLE;

/// Starts this program again for one test; `true` in the process that was started.
fn alone(test: &str) -> bool {
    if std::env::var(MARK).is_ok_and(|name| name == test) {
        return true;
    }
    let output = again(test);
    assert!(
        output.status.success(),
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    false
}

fn again(test: &str) -> std::process::Output {
    let (_crate, module) = module_path!().split_once("::").unwrap();
    // What it makes, it may not remove any more.
    let directory = tempfile::tempdir().unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args([&format!("{module}::{test}"), "--exact", "--nocapture"])
        .env(MARK, test)
        .env("TMPDIR", directory.path())
        .output()
        .unwrap()
}

/// Whether the kernel has it; tests are not silent about what they leave out.
fn has_landlock(at_least: u8) -> bool {
    let found = Layers::offered().landlock;
    let enough = matches!(found, Landlock::Abi(abi) if abi >= at_least);
    if !enough {
        crate::sys::skipped::cannot(&format!("needs Landlock {at_least}, there is {found:?}"));
    }
    enough
}

fn write(path: &Path, text: &str) {
    crate::sys::fs::write_whole(path, text.as_bytes(), 0o600, crate::sys::fs::Replace::Allow)
        .unwrap();
}

fn refused<T: fmt::Debug>(result: io::Result<T>) {
    assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied);
}

/// A file without a name, made to find out whether a directory takes files.
fn unnamed(directory: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_TMPFILE)
        .open(directory)
}

/// Between directories the kernel may say it as it does between disks.
fn elsewhere<T: fmt::Debug>(result: io::Result<T>) {
    let kind = result.unwrap_err().kind();
    assert!(
        matches!(
            kind,
            ErrorKind::PermissionDenied | ErrorKind::CrossesDevices
        ),
        "{kind}"
    );
}

fn appending(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

#[test]
fn a_process_with_threads_is_refused_and_loses_nothing() {
    let here = thread::spawn(|| Plan::new().apply().map(drop));
    let refused = here.join().unwrap();
    assert!(
        matches!(refused, Err(SandboxError::Threads(2..))),
        "{refused:?}"
    );
    File::open("/proc/self/status").unwrap();
}

#[test]
fn a_place_that_is_needed_has_to_be_there() {
    let directory = tempfile::tempdir().unwrap();
    let absent = directory.path().join("absent");
    let Err(SandboxError::Place { path, .. }) = Plan::new().keep(Keep::Read, &absent).confine()
    else {
        panic!("confined without a place");
    };
    assert_eq!(path, absent);
}

#[test]
fn files_outside_the_plan_are_out_of_reach() {
    if !alone("files_outside_the_plan_are_out_of_reach") || !has_landlock(3) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let at = |path: &str| directory.path().join(path);
    for name in ["list", "read", "write", "make", "own", "ca"] {
        fs::create_dir(at(name)).unwrap();
        write(&at(name).join("old"), "old");
    }
    write(&at("one"), "one");
    let before = appending(&at("ca/old")).unwrap();
    let held = Plan::new()
        .keep(Keep::List, at("list"))
        .keep(Keep::Read, at("read"))
        .keep(Keep::Write, at("write"))
        .keep(Keep::Make, at("make"))
        .keep(Keep::Own, at("own"))
        .keep(Keep::Read, at("one"))
        .keep_if_there(Keep::Own, at("absent"))
        .confine()
        .unwrap();
    assert_eq!(
        held.layers(),
        Layers {
            seccomp: Seccomp::Filter,
            ..held.layers()
        }
    );
    assert_eq!(held.absent().collect::<Vec<_>>(), [at("absent")]);

    let read = |name: &str| fs::read_to_string(at(name));
    for (name, reads, overwrites, cuts, makes, removes) in [
        ("read", true, false, false, false, false),
        ("write", true, true, true, false, false),
        ("make", false, true, false, true, false),
        ("own", true, true, true, true, true),
    ] {
        let path = |file: &str| at(name).join(file);
        assert_eq!(read(&format!("{name}/old")).is_ok(), reads, "{name}");
        assert_eq!(fs::read_dir(at(name)).is_ok(), reads, "{name}");
        assert_eq!(unnamed(&at(name)).is_ok(), overwrites, "{name}");
        assert_eq!(appending(&path("old")).is_ok(), overwrites, "{name}");
        let cut = OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(path("old"));
        assert_eq!(cut.is_ok(), cuts, "{name}");
        assert_eq!(appending(&path("new")).is_ok(), makes, "{name}");
        assert_eq!(
            fs::rename(path("old"), path("moved")).is_ok(),
            removes,
            "{name}"
        );
        assert_eq!(fs::remove_file(path("new")).is_ok(), removes, "{name}");
        refused(fs::create_dir(path("directory")));
        refused(std::os::unix::fs::symlink("/etc", path("link")));
        elsewhere(fs::hard_link(at("ca/old"), path("link")));
    }
    assert_eq!(fs::read_dir(at("list")).unwrap().count(), 1);
    File::open(at("list")).unwrap().sync_all().unwrap();
    refused(read("list/old"));
    refused(appending(&at("list/old")));
    refused(appending(&at("list/new")));
    refused(fs::remove_file(at("list/old")));
    assert_eq!(read("one").unwrap(), "one");
    refused(appending(&at("one")));
    refused(read("ca/old"));
    refused(appending(&at("ca/old")));
    refused(appending(&at("ca/new")));
    refused(appending(&at("new")));
    refused(fs::remove_file(at("ca/old")));
    elsewhere(fs::rename(at("ca/old"), at("own/old")));
    refused(fs::read_dir(at("ca")));
    refused(File::open("/etc/passwd"));
    thread::spawn(move || refused(File::open("/etc/passwd")))
        .join()
        .unwrap();
    // Metadata is not confined, and what is open stays open.
    assert_eq!(fs::metadata(at("ca/old")).unwrap().len(), 3);
    (&before).write_all(b"more").unwrap();
    drop(held);
    refused(read("ca/old"));
}

#[test]
fn what_is_put_in_the_place_of_a_file_is_out_of_reach() {
    const TEST: &str = "what_is_put_in_the_place_of_a_file_is_out_of_reach";
    if !alone(TEST) || !has_landlock(1) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let at = |path: &str| directory.path().join(path);
    fs::create_dir(at("kept")).unwrap();
    write(&at("file"), "file");
    write(&at("kept/file"), "file");
    let path = directory.path().to_owned();
    let (go, wait) = std::sync::mpsc::channel();
    // A thread from before is not confined: it stands for another process.
    let other = thread::spawn(move || {
        wait.recv().unwrap();
        for file in ["file", "kept/file"] {
            write(&path.join(file), "other");
        }
    });
    let plan = Plan::new()
        .keep(Keep::Read, at("file"))
        .keep(Keep::Read, at("kept"));
    let places = plan
        .places()
        .iter()
        .map(|place| Opened::open(place).unwrap());
    let places: Vec<_> = places.collect();
    landlock::restrict(&places, true, Bind::Anything).unwrap();
    assert_eq!(fs::read(at("file")).unwrap(), b"file");
    go.send(()).unwrap();
    other.join().unwrap();
    refused(fs::read(at("file")));
    assert_eq!(fs::read(at("kept/file")).unwrap(), b"other");
}

#[test]
fn ports_are_those_of_the_plan() {
    if !alone("ports_are_those_of_the_plan") || !has_landlock(4) {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap();
    drop(free);
    let _held = Plan::new()
        .connect_tcp()
        .bind_tcp(Bind::Ephemeral)
        .confine()
        .unwrap();
    let _client = TcpStream::connect(address).unwrap();
    // What listened before goes on.
    listener.accept().unwrap();
    TcpListener::bind("127.0.0.1:0").unwrap();
    refused(TcpListener::bind(port));
    // What was kept can be given up.
    let thread = thread::spawn(move || {
        landlock::restrict(&[], false, Bind::Nothing).unwrap();
        refused(TcpStream::connect(address));
        refused(TcpListener::bind("127.0.0.1:0"));
    });
    thread.join().unwrap();
}

#[test]
fn ordinary_work_goes_on() {
    if !alone("ordinary_work_goes_on") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let plan = Plan::new()
        .keep(Keep::Own, &path)
        .connect_tcp()
        .bind_tcp(Bind::Ephemeral);
    let _held = plan.confine().unwrap();
    // Allocators map and unmap, threads come and go, a panic is caught.
    let threads: Vec<_> = (1..=4_u8)
        .map(|n| thread::spawn(move || vec![n; 8 << 20].iter().map(|n| u64::from(*n)).sum::<u64>()))
        .collect();
    let sums: u64 = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .sum();
    assert_eq!(sums, 10 * (8 << 20));
    thread::spawn(|| panic!("as expected")).join().unwrap_err();
    // A file is made, written, locked, synced and read.
    let mut file = crate::sys::fs::create_new(&path.join("file"), 0o600).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    file.write_all(b"text").unwrap();
    file.sync_all().unwrap();
    crate::sys::fs::sync_directory_of(&path.join("file")).unwrap();
    assert_eq!(fs::read(path.join("file")).unwrap(), b"text");
    // A name server is asked over UDP, a host over TCP, each on a thread.
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let answering = thread::spawn(move || {
        let mut question = [0; 512];
        let (length, from) = server.recv_from(&mut question).unwrap();
        server.send_to(&question[..length], from).unwrap();
    });
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    client.send_to(b"db1?", address).unwrap();
    assert_eq!(client.recv(&mut [0; 512]).unwrap(), 4);
    answering.join().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut accepted, _) = listener.accept().unwrap();
    stream.write_all(b"hello").unwrap();
    drop(stream);
    let mut text = String::new();
    accepted.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    // Signals and timers, as a runtime uses them.
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangup = signal(SignalKind::hangup()).unwrap();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP)
            .unwrap();
        let patience = Duration::from_secs(10);
        tokio::time::timeout(patience, hangup.recv())
            .await
            .unwrap()
            .unwrap();
    });
}

#[test]
fn programs_processes_and_foreign_sockets_are_refused() {
    if !alone("programs_processes_and_foreign_sockets_are_refused") {
        return;
    }
    let _held = Plan::new().keep(Keep::Read, "/").confine().unwrap();
    refused(Command::new("/bin/true").spawn());
    refused(Err::<(), _>(Command::new("/bin/true").exec()));
    for family in [
        AddressFamily::NETLINK,
        AddressFamily::PACKET,
        AddressFamily::UNIX,
    ] {
        refused(rustix::net::socket(family, SocketType::RAW, None).map_err(io::Error::from));
    }
    UnixStream::pair().unwrap();
    let parent = rustix::process::getppid().unwrap();
    refused(rustix::process::test_kill_process(parent).map_err(io::Error::from));
    rustix::process::test_kill_process(rustix::process::getpid()).unwrap();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(status.contains("Seccomp:\t2"), "{status}");
}

/// A datagram socket of a pair would reach any other: the log of the machine, the service manager.
#[test]
fn a_pair_of_datagram_sockets_leads_nowhere() {
    if !alone("a_pair_of_datagram_sockets_leads_nowhere") {
        return;
    }
    use rustix::net::{SocketAddrUnix, SocketFlags};
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let _listener = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let pair = |kind| {
        rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)
            .map_err(io::Error::from)
    };
    let _held = Plan::new().keep(Keep::Read, "/").confine().unwrap();
    refused(pair(SocketType::DGRAM));
    refused(pair(SocketType::RAW));
    // The others stay as they were made.
    for kind in [SocketType::STREAM, SocketType::SEQPACKET] {
        let (one, _other) = pair(kind).unwrap();
        let address = SocketAddrUnix::new(&path).unwrap();
        rustix::net::connect(&one, &address).unwrap_err();
    }
    refused(rustix::process::setpriority_process(None, 5).map_err(io::Error::from));
}

#[test]
fn unix_sockets_can_be_kept() {
    if !alone("unix_sockets_can_be_kept") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let own = directory.path().join("own");
    fs::create_dir(&own).unwrap();
    let _held = Plan::new()
        .keep(Keep::Own, &own)
        .unix_sockets()
        .confine()
        .unwrap();
    let _listener = UnixListener::bind(own.join("socket")).unwrap();
    UnixStream::connect(own.join("socket")).unwrap();
    fs::remove_file(own.join("socket")).unwrap();
    if has_landlock(1) {
        refused(UnixListener::bind(directory.path().join("socket")));
    }
}

/// Makes each call of the table with arguments that mean nothing, and prints its error.
const CALL_ALL: &str =
    r#"for (@ARGV) { $! = 0; syscall(0 + $_, -1, 0, 0, 0, 0); print "$_ ", 0 + $!, "\n" }"#;

#[test]
fn every_call_of_the_table_is_refused_by_the_kernel() {
    const TEST: &str = "every_call_of_the_table_is_refused_by_the_kernel";
    let group = |name| DENIED.iter().filter(move |group| group.name != name);
    // Whatever runs the calls has to be started.
    let calls = || group("programs").flat_map(|group| group.calls).copied();
    if std::env::var(MARK).is_ok_and(|name| name == TEST) {
        let rules: BTreeMap<_, _> = calls().map(|call| (call, Vec::new())).collect();
        let program = filter::program(rules, OURS.unsigned_abs()).unwrap();
        seccompiler::apply_filter(&program).unwrap();
        let calls = calls().map(|call| call.to_string());
        let error = Command::new("perl")
            .args(["-e", CALL_ALL])
            .args(calls)
            .exec();
        panic!("no perl: {error}");
    }
    let output = again(TEST);
    let printed = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<_> = printed.lines().collect();
    let mut count = 0;
    for group in group("programs") {
        for call in group.calls {
            count += 1;
            let line = format!("{call} {OURS}");
            assert!(
                lines.contains(&&*line),
                "{}: {call}, {}\n{printed}",
                group.name,
                group.why
            );
        }
    }
    assert!(count > 80, "{count}");
    let twice: std::collections::BTreeSet<_> = calls().collect();
    assert_eq!(twice.len(), count, "a call is in two groups");
}

/// What the kernel reads of a call: its number, the architecture, six arguments.
#[derive(Clone, Copy)]
struct Call {
    number: u32,
    arch: u32,
    arguments: [u64; 6],
}

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;
const I386: u32 = 0x4000_0003;
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const DENY: u32 = libc::SECCOMP_RET_ERRNO | 1;
const NO_SUCH_CALL: u32 = libc::SECCOMP_RET_ERRNO | 38;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;

impl Call {
    fn new(number: libc::c_long, arguments: &[u64]) -> Self {
        let mut six = [0; 6];
        six[..arguments.len()].copy_from_slice(arguments);
        Self {
            number: u32::try_from(number).unwrap(),
            arch: NATIVE,
            arguments: six,
        }
    }

    /// The word at an offset of `struct seccomp_data`, on a little-endian machine.
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.arch,
            16.. => {
                let at = usize::try_from(offset - 16).unwrap();
                let shift = if at % 8 == 0 { 0 } else { 32 };
                u32::try_from(self.arguments[at / 8] >> shift & 0xffff_ffff).unwrap()
            }
            _ => panic!("offset {offset}"),
        }
    }

    /// What a program decides, as the kernel runs it.
    fn judged(&self, program: &[sock_filter]) -> u32 {
        let (mut at, mut a) = (0, 0);
        loop {
            let step = &program[at];
            at += 1;
            let jump = |taken: bool| usize::from(if taken { step.jt } else { step.jf });
            match step.code {
                0x20 => a = self.word(step.k),
                0x54 => a &= step.k,
                0x05 => at += usize::try_from(step.k).unwrap(),
                0x15 => at += jump(a == step.k),
                0x25 => at += jump(a > step.k),
                0x35 => at += jump(a >= step.k),
                0x06 => return step.k,
                other => panic!("unknown instruction {other:#x}"),
            }
        }
    }
}

#[test]
fn arguments_decide_where_a_call_has_a_good_use() {
    let judge = |unix: bool, call: Call| {
        let [clone3, rest] = filter::programs(unix).unwrap();
        match call.judged(&clone3) {
            ALLOW => call.judged(&rest),
            other => other,
        }
    };
    let own = u64::from(std::process::id());
    let thread = 0x003d_0f00;
    let flag = |flag: libc::c_int| u64::from(flag.cast_unsigned());
    let high = 0xdead_beef_0000_0000;
    for (number, arguments, expected) in [
        (libc::SYS_clone, vec![thread], ALLOW),
        (libc::SYS_clone, vec![high | thread], ALLOW),
        (libc::SYS_clone, vec![17], DENY),
        (
            libc::SYS_clone,
            vec![flag(libc::CLONE_VM | libc::CLONE_VFORK)],
            DENY,
        ),
        (
            libc::SYS_clone,
            vec![thread | flag(libc::CLONE_NEWUSER)],
            DENY,
        ),
        (
            libc::SYS_clone,
            vec![thread | flag(libc::CLONE_NEWNET)],
            DENY,
        ),
        (libc::SYS_clone3, vec![], NO_SUCH_CALL),
        (libc::SYS_socket, vec![2, 1], ALLOW),
        (libc::SYS_socket, vec![10, 2], ALLOW),
        (libc::SYS_socket, vec![1, 1], DENY),
        (libc::SYS_socket, vec![2, 1 | 0x80000 | 0x800, 6], ALLOW),
        (libc::SYS_socket, vec![2, 2 | 0x80000, high | 17], ALLOW),
        (libc::SYS_socket, vec![2, 3, 1], DENY),
        (libc::SYS_socket, vec![2, 3 | 0x80000, 6], DENY),
        (libc::SYS_socket, vec![10, 5, 132], DENY),
        (libc::SYS_socket, vec![2, 1, 262], DENY),
        (libc::SYS_socket, vec![2, 2, 1], DENY),
        (libc::SYS_socket, vec![high | 16, 3], DENY),
        (libc::SYS_socket, vec![38, 5], DENY),
        (libc::SYS_socketpair, vec![1, 1], ALLOW),
        (libc::SYS_socketpair, vec![1, 5 | 0x80000], ALLOW),
        (libc::SYS_socketpair, vec![1, 2], DENY),
        (libc::SYS_socketpair, vec![1, 2 | 0x80000 | 0x800], DENY),
        // For Unix sockets the kernel makes a datagram socket of this kind.
        (libc::SYS_socketpair, vec![1, high | 3], DENY),
        (libc::SYS_socketpair, vec![30, 1], DENY),
        (libc::SYS_fcntl, vec![0, 4, 0x800], ALLOW),
        (libc::SYS_fcntl, vec![0, 1030], ALLOW),
        (libc::SYS_fcntl, vec![0, 8, 1], DENY),
        (libc::SYS_fcntl, vec![0, high | 8, 1], DENY),
        (libc::SYS_fcntl, vec![0, 10, 9], DENY),
        (libc::SYS_fcntl, vec![0, 15], DENY),
        (libc::SYS_ioctl, vec![0, 0x5421], ALLOW),
        (libc::SYS_ioctl, vec![0, 0x8901], DENY),
        (libc::SYS_ioctl, vec![0, 0x8902], DENY),
        (libc::SYS_setpriority, vec![0, 1, 19], DENY),
        (libc::SYS_ioprio_set, vec![1, 1, 0], DENY),
        (libc::SYS_sched_setaffinity, vec![1, 8, 0], DENY),
        (libc::SYS_mmap, vec![0, 4096, 3], ALLOW),
        (libc::SYS_mmap, vec![0, 4096, 5], DENY),
        (libc::SYS_mprotect, vec![0, 4096, 1], ALLOW),
        (libc::SYS_mprotect, vec![0, 4096, high | 4], DENY),
        (libc::SYS_pkey_mprotect, vec![0, 4096, 7], DENY),
        (libc::SYS_ioctl, vec![0, 0x5413], ALLOW),
        (libc::SYS_ioctl, vec![0, 0x5412], DENY),
        (libc::SYS_ioctl, vec![0, high | 0x5412], DENY),
        (libc::SYS_ioctl, vec![0, 0x541c], DENY),
        (libc::SYS_kill, vec![own, 15], ALLOW),
        (libc::SYS_kill, vec![1, 15], DENY),
        (libc::SYS_kill, vec![u64::MAX, 15], DENY),
        (libc::SYS_kill, vec![0, 15], DENY),
        (libc::SYS_tgkill, vec![own, 2, 6], ALLOW),
        (libc::SYS_tgkill, vec![1, 1, 6], DENY),
        (libc::SYS_prlimit64, vec![0, 7], ALLOW),
        (libc::SYS_prlimit64, vec![own, 7], ALLOW),
        (libc::SYS_prlimit64, vec![1, 7], DENY),
        (libc::SYS_execve, vec![], DENY),
        (libc::SYS_execveat, vec![], DENY),
        (libc::SYS_openat, vec![], ALLOW),
        (libc::SYS_read, vec![], ALLOW),
    ] {
        let call = Call::new(number, &arguments);
        assert_eq!(judge(false, call), expected, "{number} {arguments:x?}");
        let other = Call { arch: I386, ..call };
        assert_eq!(judge(false, other), KILL, "{number}");
        if cfg!(target_arch = "x86_64") {
            let number = 0x4000_0000 | call.number;
            assert_eq!(judge(false, Call { number, ..call }), KILL, "{number}");
        }
    }
    assert_eq!(judge(true, Call::new(libc::SYS_socket, &[1, 1])), ALLOW);
    assert_eq!(judge(true, Call::new(libc::SYS_socket, &[16, 1])), DENY);
}

#[test]
fn what_the_kernel_lacks_is_said() {
    let whole = Layers {
        landlock: Landlock::Abi(7),
        seccomp: Seccomp::Filter,
    };
    assert_eq!(whole.to_string(), "Landlock (ABI 7), seccomp");
    assert!(whole.missing().is_empty());
    let old = Layers {
        landlock: Landlock::Abi(3),
        ..whole
    };
    let missing = old.missing();
    assert_eq!(missing.len(), 3, "{missing:?}");
    assert!(
        missing[0].contains("TCP") && missing[0].contains("6.7"),
        "{missing:?}"
    );
    let none = Layers {
        landlock: Landlock::Missing("why"),
        seccomp: Seccomp::Missing("because"),
    };
    assert_eq!(none.to_string(), "no Landlock, no seccomp");
    assert_eq!(none.missing().len(), 2);
    // To be told takes nothing away.
    let _offered = Layers::offered();
    File::open("/proc/self/status").unwrap();
    assert!(!status("NoNewPrivs").ends_with('1') || status("Seccomp").ends_with('2'));
}

fn status(field: &str) -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mut lines = status.lines();
    lines
        .find(|line| line.starts_with(field))
        .unwrap_or_default()
        .to_owned()
}

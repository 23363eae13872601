//! Many unauthenticated clients: sockets that are held open, and key exchanges that are begun.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rproxy::wire::{Algorithms, ClientConfig, Kex, Transport};
use rustix::net;
use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};

use crate::support::World;
use crate::support::payload::{KEX_INIT, Payload};

use super::Bystander;

/// Addresses of the attackers; users have other ones.
const STRANGERS: [Ipv4Addr; 4] = [
    Ipv4Addr::new(127, 0, 0, 2),
    Ipv4Addr::new(127, 0, 0, 3),
    Ipv4Addr::new(127, 0, 0, 4),
    Ipv4Addr::new(127, 0, 0, 5),
];
/// Sockets that each of them holds.
const HELD: usize = 500;
/// After this time the proxy disconnects a client that sends nothing. A login that had to wait for
/// the slot of such a client would take that long, in addition to its usual time.
const SILENCE: Duration = Duration::from_secs(10);

/// A connection to a server, from an address of ours.
pub(crate) fn connect_from(source: Ipv4Addr, server: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = net::socket(net::AddressFamily::INET, net::SocketType::STREAM, None)?;
    net::bind(&socket, &SocketAddr::from((source, 0)))?;
    net::connect(&socket, &server)?;
    Ok(TcpStream::from(socket))
}

/// Raises the limit of open files as far as possible: the test and the proxy need thousands of
/// sockets.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).expect("up to the hard limit");
}

/// Attackers on threads of their own, until this value is dropped.
struct Attack {
    is_over: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Attack {
    fn start(work: impl Fn(Ipv4Addr, &AtomicBool) + Clone + Send + 'static) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let threads = STRANGERS.map(|source| {
            let (is_over, work) = (Arc::clone(&is_over), work.clone());
            std::thread::spawn(move || {
                // Real attackers would not use this machine's processors. For Linux, 0 means the
                // calling thread.
                let nice = setpriority_process(None, 19);
                nice.expect("everybody may step back");
                work(source, &is_over);
            })
        });
        Self {
            is_over,
            threads: threads.into(),
        }
    }

    fn end(mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a stranger has no expectations");
        }
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Whether the other side has closed the connection.
fn has_ended(mut stream: &TcpStream) -> bool {
    match stream.read(&mut [0; 4096]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

/// 2,000 sockets of four addresses, opened again as soon as they are closed: meanwhile, users from
/// other addresses log in without delay.
#[test]
fn silent_sockets_lock_nobody_out() {
    raise_file_limit();
    let world = World::with().alone().start();
    let quiet = time(|| drop(world.run("db1", "true").success()));
    let address = world.address();
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    let attack = Attack::start(move |source, is_over| {
        let mut held: Vec<TcpStream> = Vec::new();
        while !is_over.load(Ordering::Relaxed) {
            held.retain(|stream| !has_ended(stream));
            while held.len() < HELD && !is_over.load(Ordering::Relaxed) {
                let Ok(stream) = connect_from(source, address) else {
                    break;
                };
                stream.set_nonblocking(true).expect("a socket");
                count.fetch_add(1, Ordering::Relaxed);
                held.push(stream);
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    });
    world.eventually("the sockets are there", || {
        (opened.load(Ordering::Relaxed) >= STRANGERS.len() * HELD).then_some(())
    });
    for _ in 0..5 {
        let took = time(|| drop(world.run("db1", "true").success()));
        println!("a login took {took:?}, {quiet:?} without strangers");
        assert!(took < quiet + SILENCE, "{took:?}");
    }
    attack.end();
    let turned_away = world.refusals_so_far();
    assert!(turned_away.len() < 50, "{}", turned_away.len());
}

fn time(act: impl FnOnce()) -> Duration {
    let began = Instant::now();
    act();
    began.elapsed()
}

/// Everything that a client sends up to its part of the key exchange, all of it in the clear: it
/// costs nothing to send it again.
fn opening(kex: Kex, public: &[u8]) -> Vec<u8> {
    let config = ClientConfig {
        algorithms: Algorithms::default().only_kex(kex),
        ..ClientConfig::default()
    };
    let mut transport = Transport::client(Arc::new(config));
    let mut said: BytesMut = transport.output().split();
    said.extend_from_slice(&Payload::new(KEX_INIT).string(public).in_the_clear());
    said.to_vec()
}

/// How many key exchanges each attacker has begun and not abandoned.
const AT_ONCE: usize = 20;
/// How long it waits for its turn.
const ITS_TURN: Duration = Duration::from_millis(500);

/// The processor time, in ticks, of those threads of a worker process that its runtimes start for
/// slow computations and that serve no sessions.
fn computed(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let stats = tasks.flatten().filter_map(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        let (name, rest) = stat.rsplit_once(')')?;
        name.ends_with("(tokio-rt-worker").then(|| rest.to_owned())
    });
    // proc(5): utime and stime are the 14th and the 15th field, the third follows the name.
    let ticks = stats.map(|rest| {
        let fields = rest.split_whitespace().skip(11).take(2);
        fields
            .map(|field| field.parse::<u64>().expect("ticks"))
            .sum::<u64>()
    });
    ticks.sum()
}

/// Key exchanges that cost the attacker nothing: meanwhile sessions are as fast as without them.
#[test]
fn endless_key_exchanges_slow_nobody_down() {
    let world = World::with().alone().start();
    let mut bystander = Bystander::start(&world);
    let echo = |bystander: &mut Bystander<'_>| {
        let mut times: Vec<_> = (0..50).map(|_| time(|| bystander.speak())).collect();
        times.sort();
        times[times.len() / 2]
    };
    let quiet = echo(&mut bystander);
    // Valid public values: of finite fields, which clients are not offered, and of the slowest of
    // the other algorithms.
    let finite = opening(Kex::DiffieHellmanGroup16Sha512, &[4]);
    let slow = opening(Kex::Sntrup761X25519Sha512Openssh, &[9; 1158 + 32]);
    let address = world.address();
    let begun = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&begun);
    let before = computed(world.worker_pid());
    let attack = Attack::start(move |source, is_over| {
        // For a client that disconnects before its turn, nothing is computed.
        let mut held: VecDeque<(Instant, TcpStream)> = VecDeque::new();
        while !is_over.load(Ordering::Relaxed) {
            held.retain(|(opened, _)| opened.elapsed() < ITS_TURN);
            while held.len() < AT_ONCE && !is_over.load(Ordering::Relaxed) {
                for opening in [&finite, &slow] {
                    let Ok(mut stream) = connect_from(source, address) else {
                        continue;
                    };
                    let _hung_up = stream.write_all(opening);
                    count.fetch_add(1, Ordering::Relaxed);
                    held.push_back((Instant::now(), stream));
                }
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    // A fifth of a second of a processor, which the threads of sessions do not spend.
    world.eventually("key exchanges are computed beside the sessions", || {
        (computed(world.worker_pid()) >= before + 20).then_some(())
    });
    let busy = echo(&mut bystander);
    attack.end();
    world.logged("no common key exchange");
    println!("echo {quiet:?} without strangers, {busy:?} with {begun:?} key exchanges");
    assert!(
        busy < (quiet * 3).max(Duration::from_millis(100)),
        "{quiet:?} without strangers, {busy:?} with them"
    );
    bystander.unharmed();
}

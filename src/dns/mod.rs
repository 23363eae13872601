//! The one door to names: names to addresses, as this machine resolves them, in bounded time. The only
//! room that imports the resolver.
//!
//! `/etc/nsswitch.conf` says whether `/etc/hosts` or DNS comes first, `/etc/resolv.conf` which name
//! servers are asked. All three are read again when they change. What an address may be used for is not
//! decided here.

mod hosts;
mod order;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::parse_resolv_conf;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::sys::files::{Direct, Files, read_limited};
use crate::sys::fs::FsError;
use crate::sys::names;
use crate::sys::watch::FileWatch;
use hosts::Hosts;
use order::{LookupOrder, Source, Status};

/// Most addresses that one name resolves to; the rest is left out.
pub const MAX_ADDRESSES: usize = 8;
/// How long one name may take, retries included.
const LIMIT: Duration = Duration::from_secs(5);
/// How many names are looked up at a time where many are asked about.
const AT_ONCE: usize = 32;
/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// Why a name has no address.
#[derive(Debug, Error)]
pub enum DnsError {
    /// The resolver cannot be set up.
    #[error("cannot set up the resolver")]
    Setup(#[source] NetError),
    /// A file that says how names are resolved cannot be read.
    #[error("cannot find out how names are resolved")]
    File(#[from] FsError),
    /// The name is not known, or has no address.
    #[error("{0} has no address in /etc/hosts or DNS")]
    NotFound(String),
    /// No answer in time.
    #[error("DNS did not answer for {host} within {} s", limit.as_secs())]
    Timeout {
        /// The name that was asked for.
        host: String,
        /// How long was waited.
        limit: Duration,
    },
    /// DNS answered with a failure, or could not be asked.
    #[error("DNS failed for {host}")]
    Failed {
        /// The name that was asked for.
        host: String,
        /// What the resolver says.
        source: NetError,
    },
}

/// The files that say how names are resolved.
#[derive(Clone, Debug)]
struct ResolverFiles {
    opened_by: Arc<dyn Files>,
    order: PathBuf,
    hosts: PathBuf,
    servers: PathBuf,
}

impl ResolverFiles {
    fn of_the_system(opened_by: Arc<dyn Files>) -> Self {
        Self {
            opened_by,
            order: names::NSSWITCH.into(),
            hosts: names::HOSTS.into(),
            servers: names::RESOLV_CONF.into(),
        }
    }

    fn watch(&self) -> FileWatch {
        FileWatch::new([&self.order, &self.hosts, &self.servers].map(Clone::clone))
    }

    /// What they say now. One that is missing says nothing.
    fn read(&self) -> Result<ResolverState, DnsError> {
        let text = |path: &PathBuf| match read_limited(&*self.opened_by, path, MAX_FILE) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.is_not_found() => Ok(String::new()),
            Err(error) => Err(error),
        };
        let (dns, servers) = name_servers(&text(&self.servers)?)?;
        Ok(ResolverState {
            order: LookupOrder::parse(&text(&self.order)?),
            hosts: Hosts::parse(&text(&self.hosts)?),
            dns,
            servers,
        })
    }
}

/// How names are resolved, as it was read last.
struct ResolverState {
    order: LookupOrder,
    hosts: Hosts,
    dns: TokioResolver,
    servers: Vec<IpAddr>,
}

/// The resolver for the name servers of a resolv.conf(5), and their addresses. If the file has none,
/// only names that need no server can be resolved.
fn name_servers(text: &str) -> Result<(TokioResolver, Vec<IpAddr>), DnsError> {
    let (config, mut options) = parse_resolv_conf(text).unwrap_or_else(|error| {
        tracing::debug!(%error, "no name servers");
        let nobody = ResolverConfig::from_name_servers(Vec::new());
        (nobody, ResolverOpts::default())
    });
    let servers = config.name_servers().iter().map(|one| one.ip).collect();
    options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
    // They are read here, and come first only where the machine has it so.
    options.use_hosts_file = ResolveHosts::Never;
    let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        .with_options(options)
        .build()
        .map_err(DnsError::Setup)?;
    Ok((resolver, servers))
}

/// What is known, and whether it is still so.
struct Current {
    watch: FileWatch,
    known: Arc<ResolverState>,
}

/// Asks the machine's hosts file and name servers. Clones share what they know.
#[derive(Clone)]
pub struct Resolver {
    files: ResolverFiles,
    current: Arc<Mutex<Current>>,
    limit: Duration,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver")
            .field("files", &self.files)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// Who is asked about names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// In which order, for people.
    pub order: String,
    /// The name servers; none where DNS is not asked.
    pub servers: Vec<IpAddr>,
    /// Whether DNS is asked.
    pub dns: bool,
}

impl Resolver {
    /// The resolver of this machine. On a machine without name servers, only the hosts file is
    /// asked: an inventory of addresses needs no DNS.
    ///
    /// # Errors
    /// [`DnsError::Setup`], [`DnsError::File`].
    pub fn from_system() -> Result<Self, DnsError> {
        Self::from_system_with(Arc::new(Direct))
    }

    /// As [`Self::from_system`]; `files` opens the system's files, now and whenever they change.
    ///
    /// # Errors
    /// As [`Self::from_system`].
    pub fn from_system_with(files: Arc<dyn Files>) -> Result<Self, DnsError> {
        Self::of(ResolverFiles::of_the_system(files), LIMIT)
    }

    fn of(files: ResolverFiles, limit: Duration) -> Result<Self, DnsError> {
        // Looked at before it is read: what changes in between is seen the next time.
        let watch = files.watch();
        let known = Arc::new(files.read()?);
        Ok(Self {
            files,
            current: Arc::new(Mutex::new(Current { watch, known })),
            limit,
        })
    }

    /// Who is asked, as things are now.
    #[must_use]
    pub fn asked(&self) -> Asked {
        let known = self.now();
        let dns = known.order.asks_dns();
        Asked {
            order: known.order.to_string(),
            servers: if dns {
                known.servers.clone()
            } else {
                Vec::new()
            },
            dns,
        }
    }

    /// What the files say now. Where they cannot be read, what was known stays, until they can.
    fn now(&self) -> Arc<ResolverState> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.watch.changed() {
            match self.files.read() {
                Ok(known) => current.known = Arc::new(known),
                Err(error) => {
                    let error = crate::model::chain(&error);
                    tracing::warn!(%error, "names are resolved as before");
                    current.watch.forget();
                }
            }
        }
        Arc::clone(&current.known)
    }

    /// The addresses of a host, at most [`MAX_ADDRESSES`], the families taking turns (RFC 8305,
    /// section 4) so that neither crowds the other out. A literal address is returned as it is,
    /// no server is asked.
    ///
    /// # Errors
    /// All of [`DnsError`] but `Setup` and `File`; success has at least one address.
    pub async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, DnsError> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        // Files may have to be had from another process.
        let reader = self.clone();
        let known = match tokio::task::spawn_blocking(move || reader.now()).await {
            Ok(known) => known,
            Err(_stopping) => return Err(DnsError::NotFound(host.to_owned())),
        };
        let mut failure = None;
        for step in known.order.steps() {
            let answer = match step.source {
                Source::Files => found(host, known.hosts.addresses(host).iter().copied()),
                Source::Dns => self.ask(&known, host).await,
            };
            if step.ends_with(status(&answer)) {
                return answer;
            }
            // A failure tells more than that a name is not there.
            if let Err(error) = answer
                && !matches!(error, DnsError::NotFound(_))
            {
                failure = Some(error);
            }
        }
        Err(failure.unwrap_or_else(|| DnsError::NotFound(host.to_owned())))
    }

    /// The same for many names at once, for as long as `patience`: those that had an answer by then.
    pub async fn resolve_all(
        &self,
        hosts: Vec<String>,
        patience: Duration,
    ) -> Vec<(String, Vec<IpAddr>)> {
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let mut asking = JoinSet::new();
        for host in hosts {
            let (resolver, turns) = (self.clone(), Arc::clone(&turns));
            asking.spawn(async move {
                let _turn = turns.acquire().await;
                let addresses = resolver.resolve(&host).await.ok()?;
                Some((host, addresses))
            });
        }
        let mut found = Vec::new();
        let collect = async {
            while let Some(answer) = asking.join_next().await {
                found.extend(answer.ok().flatten());
            }
        };
        // Those that are late are asked again another time.
        let _late = timeout(patience, collect).await;
        found
    }

    async fn ask(&self, known: &ResolverState, host: &str) -> Result<Vec<IpAddr>, DnsError> {
        let name = || host.to_owned();
        match timeout(self.limit, known.dns.lookup_ip(host)).await {
            Ok(Ok(answer)) => found(host, answer.iter()),
            Ok(Err(error)) if error.is_no_records_found() => Err(DnsError::NotFound(name())),
            // No caller waits for an error.
            Ok(Err(_)) if known.servers.is_empty() => Err(DnsError::NotFound(name())),
            Ok(Err(NetError::Timeout)) | Err(_) => Err(DnsError::Timeout {
                host: name(),
                limit: self.limit,
            }),
            Ok(Err(source)) => Err(DnsError::Failed {
                host: name(),
                source,
            }),
        }
    }
}

fn found(host: &str, addresses: impl Iterator<Item = IpAddr>) -> Result<Vec<IpAddr>, DnsError> {
    let addresses = take_turns(addresses);
    if addresses.is_empty() {
        return Err(DnsError::NotFound(host.to_owned()));
    }
    Ok(addresses)
}

/// What nsswitch.conf(5) calls an answer.
fn status(answer: &Result<Vec<IpAddr>, DnsError>) -> Status {
    match answer {
        Ok(_) => Status::Success,
        Err(DnsError::NotFound(_)) => Status::NotFound,
        Err(DnsError::Timeout { .. }) => Status::TryAgain,
        Err(DnsError::Failed { .. } | DnsError::Setup(_) | DnsError::File(_)) => {
            Status::Unavailable
        }
    }
}

fn take_turns(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let (v6, v4): (Vec<IpAddr>, Vec<IpAddr>) = addresses.partition(IpAddr::is_ipv6);
    let mut turns = Vec::new();
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    while turns.len() < MAX_ADDRESSES {
        let pair = [v6.next(), v4.next()];
        if pair == [None, None] {
            break;
        }
        turns.extend(pair.into_iter().flatten());
    }
    turns.truncate(MAX_ADDRESSES);
    turns
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use hickory_resolver::config::{ConnectionConfig, NameServerConfig};
    use tokio::net::UdpSocket;

    use super::*;
    use crate::sys::fs::{PUBLIC_FILE, Replace, write_whole};

    const A: u8 = 1;
    const AAAA: u8 = 28;
    const NO_SUCH_NAME: u8 = 3;
    const SERVER_FAILURE: u8 = 2;

    async fn resolver(limit: Duration) -> Resolver {
        asking(server().await, limit)
    }

    /// A name server on loopback that knows a handful of names.
    async fn server() -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut query).await {
                if let Some(reply) = answer(&query[..length]) {
                    socket.send_to(&reply, client).await.unwrap();
                }
            }
        });
        server
    }

    /// Files of a machine of its own, which asks this name server.
    fn machine(server: SocketAddr, limit: Duration) -> (tempfile::TempDir, Resolver) {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let files = ResolverFiles {
            opened_by: Arc::new(Direct),
            order: at("nsswitch.conf"),
            hosts: at("hosts"),
            servers: at("resolv.conf"),
        };
        let resolver = Resolver::of(files, limit).unwrap();
        asks(&resolver, server);
        (directory, resolver)
    }

    /// A name server has no port of its own in resolv.conf(5).
    fn asks(resolver: &Resolver, server: SocketAddr) {
        let mut connection = ConnectionConfig::udp();
        connection.port = server.port();
        let server = NameServerConfig::new(server.ip(), true, vec![connection]);
        let config = ResolverConfig::from_name_servers(vec![server]);
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
        builder.options_mut().use_hosts_file = ResolveHosts::Never;
        let mut current = resolver.current.lock().unwrap();
        let known = resolver.files.read().unwrap();
        let (dns, servers) = (builder.build().unwrap(), vec![IpAddr::from([127, 0, 0, 1])]);
        current.known = Arc::new(ResolverState {
            dns,
            servers,
            ..known
        });
        current.watch = resolver.files.watch();
    }

    fn asking(server: SocketAddr, limit: Duration) -> Resolver {
        machine(server, limit).1
    }

    fn write(directory: &tempfile::TempDir, name: &str, text: &str) {
        let path = directory.path().join(name);
        write_whole(&path, text.as_bytes(), PUBLIC_FILE, Replace::Allow).unwrap();
    }

    async fn addresses(resolver: &Resolver, host: &str) -> Vec<String> {
        let found = resolver.resolve(host).await.unwrap_or_default();
        found.iter().map(ToString::to_string).collect()
    }

    /// No name server is asked, and none has to be: the file is read again when it changes.
    #[tokio::test]
    async fn the_hosts_file_is_read_again_when_it_changes() {
        let nobody = "127.0.0.1:9".parse().unwrap();
        let (directory, resolver) = machine(nobody, Duration::from_millis(200));
        write(&directory, "nsswitch.conf", "hosts: files\n");
        assert!(addresses(&resolver, "db1").await.is_empty());
        write(&directory, "hosts", "10.0.0.5 db1\nfd00::5 DB1\n");
        assert_eq!(addresses(&resolver, "db1").await, ["fd00::5", "10.0.0.5"]);
        write(&directory, "hosts", "10.0.0.6 db1 # moved\n");
        assert_eq!(addresses(&resolver, "db1").await, ["10.0.0.6"]);
        std::fs::remove_file(directory.path().join("hosts")).unwrap();
        assert!(addresses(&resolver, "db1").await.is_empty());
    }

    #[tokio::test]
    async fn nsswitch_says_who_is_asked_first() {
        let server = server().await;
        let (directory, resolver) = machine(server, LIMIT);
        write(&directory, "hosts", "10.9.9.9 one.example two.example\n");
        for (order, one, two) in [
            ("files dns", "10.9.9.9", Some("10.9.9.9")),
            ("dns files", "10.0.0.5", Some("10.9.9.9")),
            ("dns [NOTFOUND=return] files", "10.0.0.5", None),
            ("dns", "10.0.0.5", None),
            (
                "mdns4_minimal [NOTFOUND=return] files",
                "10.9.9.9",
                Some("10.9.9.9"),
            ),
        ] {
            write(&directory, "nsswitch.conf", &format!("hosts: {order}\n"));
            asks(&resolver, server);
            assert_eq!(addresses(&resolver, "one.example").await, [one], "{order}");
            let two: Vec<_> = two.into_iter().collect();
            assert_eq!(addresses(&resolver, "two.example").await, two, "{order}");
        }
    }

    #[tokio::test]
    async fn who_is_asked_is_told() {
        let nobody = "127.0.0.1:9".parse().unwrap();
        let (directory, resolver) = machine(nobody, LIMIT);
        write(&directory, "resolv.conf", "nameserver 10.0.0.53\n");
        let asked = resolver.asked();
        assert_eq!(asked.order, "/etc/hosts, then DNS");
        assert_eq!(asked.servers, [IpAddr::from([10, 0, 0, 53])]);
        write(&directory, "nsswitch.conf", "hosts: files\n");
        let asked = resolver.asked();
        assert_eq!((asked.order.as_str(), asked.dns), ("/etc/hosts", false));
        assert!(asked.servers.is_empty());
    }

    /// The reply to a query, or silence. The names say what is wanted.
    fn answer(query: &[u8]) -> Option<Vec<u8>> {
        let name_length = query[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
        let question = &query[12..12 + name_length + 4];
        let host = String::from_utf8(question[1..=usize::from(question[0])].to_vec()).unwrap();
        let kind = question[name_length + 1];
        let v6 = |last: u8| {
            let mut address = vec![0x20, 0x01, 0x0d, 0xb8];
            address.resize(15, 0);
            address.push(last);
            address
        };
        let (code, addresses) = match (host.to_ascii_lowercase().as_str(), kind) {
            ("silent", _) => return None,
            ("broken", _) => (SERVER_FAILURE, vec![]),
            ("one", A) => (0, vec![vec![10, 0, 0, 5]]),
            ("many", A) => (0, (1..=20).map(|last| vec![10, 0, 0, last]).collect()),
            ("many", AAAA) => (0, (1..=20).map(v6).collect()),
            ("one" | "empty", _) => (0, vec![]),
            _ => (NO_SUCH_NAME, vec![]),
        };
        let count = u8::try_from(addresses.len()).unwrap();
        let mut reply = query[..2].to_vec();
        reply.extend([0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
        reply.extend(question);
        for address in addresses {
            let length = u8::try_from(address.len()).unwrap();
            reply.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, length]);
            reply.extend(address);
        }
        Some(reply)
    }

    #[tokio::test]
    async fn names_have_addresses_of_both_families_and_not_too_many() {
        let resolver = resolver(LIMIT).await;
        assert_eq!(
            resolver.resolve("one.example").await.unwrap(),
            ["10.0.0.5".parse::<IpAddr>().unwrap()]
        );
        let many = resolver.resolve("many.example").await.unwrap();
        assert_eq!(many.len(), MAX_ADDRESSES);
        let families: Vec<bool> = many.iter().map(IpAddr::is_ipv6).collect();
        assert_eq!(
            families,
            [true, false, true, false, true, false, true, false]
        );
    }

    #[tokio::test]
    async fn no_such_name_and_no_address_read_the_same() {
        let resolver = resolver(LIMIT).await;
        for host in ["none.example", "empty.example"] {
            let error = resolver.resolve(host).await.unwrap_err();
            assert!(matches!(error, DnsError::NotFound(_)), "{host}: {error:?}");
        }
    }

    #[tokio::test]
    async fn failure_and_silence_are_told_apart() {
        let patient = resolver(LIMIT).await;
        let error = patient.resolve("broken.example").await.unwrap_err();
        assert!(matches!(error, DnsError::Failed { .. }), "{error:?}");
        let hasty = resolver(Duration::from_millis(200)).await;
        let error = hasty.resolve("silent.example").await.unwrap_err();
        assert!(matches!(error, DnsError::Timeout { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn literal_addresses_are_not_looked_up() {
        let nobody = asking("127.0.0.1:9".parse().unwrap(), LIMIT);
        for text in ["10.0.0.5", "::1"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(nobody.resolve(text).await.unwrap(), [address]);
        }
    }

    #[tokio::test]
    async fn this_machine_needs_no_name_server() {
        let addresses = Resolver::from_system()
            .unwrap()
            .resolve("localhost")
            .await
            .unwrap();
        assert!(addresses.iter().all(IpAddr::is_loopback), "{addresses:?}");
    }
}

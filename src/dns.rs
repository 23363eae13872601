//! The one door to DNS: names to addresses, in bounded time. The only file that imports the
//! resolver.
//!
//! `/etc/resolv.conf` and `/etc/hosts` are read once, when the resolver is made. What an address
//! may be used for is not decided here.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use thiserror::Error;
use tokio::time::timeout;

/// Most addresses that one name resolves to; the rest is left out.
pub const MAX_ADDRESSES: usize = 8;
/// How long one name may take, retries included.
const LIMIT: Duration = Duration::from_secs(5);

/// Why a name has no address.
#[derive(Debug, Error)]
pub enum DnsError {
    /// The resolver cannot be set up.
    #[error("cannot set up the resolver")]
    Setup(#[source] NetError),
    /// The name is not known, or has no address.
    #[error("{0} has no address in DNS")]
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

/// Asks the machine's hosts file and name servers.
#[derive(Clone)]
pub struct Resolver {
    inner: TokioResolver,
    limit: Duration,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Resolver {
    /// The resolver of this machine. On a machine without name servers, only the hosts file is
    /// asked: an inventory of addresses needs no DNS.
    ///
    /// # Errors
    /// [`DnsError::Setup`].
    pub fn from_system() -> Result<Self, DnsError> {
        let mut builder = TokioResolver::builder_tokio().unwrap_or_else(|error| {
            tracing::warn!(%error, "no name servers, only the hosts file is asked");
            let nobody = ResolverConfig::from_name_servers(Vec::new());
            TokioResolver::builder_with_config(nobody, TokioRuntimeProvider::default())
        });
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
        let inner = builder.build().map_err(DnsError::Setup)?;
        Ok(Self {
            inner,
            limit: LIMIT,
        })
    }

    /// The addresses of a host, at most [`MAX_ADDRESSES`], the families taking turns (RFC 8305,
    /// section 4) so that neither crowds the other out. A literal address is returned as it is,
    /// nobody is asked.
    ///
    /// # Errors
    /// All of [`DnsError`] but `Setup`; success has at least one address.
    pub async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, DnsError> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let answer = timeout(self.limit, self.inner.lookup_ip(host)).await;
        let name = || host.to_owned();
        match answer {
            Ok(Ok(answer)) => {
                let addresses = take_turns(answer.iter());
                if addresses.is_empty() {
                    return Err(DnsError::NotFound(name()));
                }
                Ok(addresses)
            }
            Ok(Err(error)) if error.is_no_records_found() => Err(DnsError::NotFound(name())),
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

    const A: u8 = 1;
    const AAAA: u8 = 28;
    const NO_SUCH_NAME: u8 = 3;
    const SERVER_FAILURE: u8 = 2;

    /// A name server on loopback that knows a handful of names, and a resolver that asks it.
    async fn resolver(limit: Duration) -> Resolver {
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
        asking(server, limit)
    }

    fn asking(server: SocketAddr, limit: Duration) -> Resolver {
        let mut connection = ConnectionConfig::udp();
        connection.port = server.port();
        let server = NameServerConfig::new(server.ip(), true, vec![connection]);
        let config = ResolverConfig::from_name_servers(vec![server]);
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
        Resolver {
            inner: builder.build().unwrap(),
            limit,
        }
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

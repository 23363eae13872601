//! Probes the hosts of the inventory, all at once: their addresses, their host keys, and which users
//! they accept.
//!
//! It judges nothing, logs in to no host and writes nothing: that is for the callers.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use ssh_key::{Algorithm, Certificate, PrivateKey};
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Exit, Failure, ui};
use crate::cert::{MAX_USER_TTL, UserRequest, random_serial};
use crate::dns::{DnsError, Resolver};
use crate::model::Principal;
use crate::nodes::{self, AddressError, Node};
use crate::ssh::probe::{self, Answers, ProbeError};
use crate::sys::clock::Clock;
use crate::wire::ClientConfig;

/// How many hosts are asked at the same time.
const AT_ONCE: usize = 32;

/// Why a host gave no answer.
#[derive(Debug, Error)]
pub(crate) enum Silence {
    /// It is nowhere.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// It is there, and says nothing that makes sense.
    #[error(transparent)]
    Probe(#[from] ProbeError),
}

/// Does the same with every host, many at a time, and gives what came of it in their order.
///
/// # Errors
/// When the operating system has no sockets or no resolver for it.
pub(crate) fn each<T, F>(
    hosts: &[Node],
    ask: impl Fn(Node, Arc<Resolver>) -> F,
) -> Result<Vec<T>, Failure>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    if hosts.is_empty() {
        return Ok(Vec::new());
    }
    let cannot = |error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::new(Exit::Failed, "cannot ask the hosts").because(error)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| cannot(error.into()))?;
    let resolver = Resolver::from_system().map_err(|error| cannot(error.into()))?;
    let resolver = Arc::new(resolver);
    let progress = ui::Progress::start(hosts.len(), "asking hosts");
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    runtime.block_on(async {
        let mut asking = JoinSet::new();
        for (index, node) in hosts.iter().cloned().enumerate() {
            let asked = ask(node, Arc::clone(&resolver));
            let turns = Arc::clone(&turns);
            asking.spawn(async move {
                let _turn = turns.acquire().await;
                (index, asked.await)
            });
        }
        let mut answers = Vec::new();
        while let Some(answer) = asking.join_next().await {
            answers.push(answer.map_err(|error| cannot(error.into()))?);
            progress.step();
        }
        answers.sort_by_key(|(index, _)| *index);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    })
}

/// Asks one host about certificates for a login: at its first address that answers.
///
/// # Errors
/// Why it does not answer; of several addresses, the last one's.
pub(crate) async fn ask(
    node: &Node,
    resolver: &Resolver,
    login: &str,
    certificates: &[Certificate],
) -> Result<(SocketAddr, Answers), Silence> {
    let addresses = nodes::addresses(&node.host, node.port, true, resolver).await?;
    let mut silence = None;
    for address in addresses {
        let config = Arc::new(ClientConfig::default().with_legacy(&node.legacy));
        match probe::ask(address, config, login, certificates).await {
            Ok(answers) => return Ok((address, answers)),
            Err(error) => silence = Some(error),
        }
    }
    // A name that resolves has an address.
    Err(match silence {
        Some(error) => error.into(),
        None => AddressError::from(DnsError::NotFound(node.host.clone())).into(),
    })
}

/// How an administrator at the proxy renews a host's certificate.
pub(crate) fn renewing(name: &str) -> String {
    format!(
        "copy the public key of {name} to the proxy; on the proxy: rproxy auth sign --host={name} \
         --public-key=FILE; copy the certificate back; on {name}: systemctl reload ssh"
    )
}

/// A certificate that no host can have a reason to take: its CA is forgotten at once.
///
/// # Errors
/// When no key can be made.
pub(crate) fn control(login: &Principal) -> Result<Certificate, Failure> {
    let cannot = |error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::new(Exit::Failed, "cannot make the certificate to ask with").because(error)
    };
    let key = || {
        PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519)
            .map_err(|error| cannot(error.into()))
    };
    let request = UserRequest {
        identity: login.clone(),
        logins: vec![login.clone()],
        public_key: key()?.public_key().clone(),
        ttl: std::time::Duration::from_secs(60),
        source_addresses: Vec::new(),
        sign_in: None,
    };
    let now = Clock::System.unix_seconds();
    let template = request.template(random_serial(), now, MAX_USER_TTL);
    let template = template.map_err(|error| cannot(error.into()))?;
    template.sign(&key()?).map_err(|error| cannot(error.into()))
}

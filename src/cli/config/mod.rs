//! `rproxy config`: the configuration for a client's OpenSSH, printed or installed.

mod install;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use super::auth::client::AuthClient;
use super::inventory::HostList;
use super::{Context, Exit, Failure, ui};
use crate::ca::{Authority, CaKind};
use crate::model::HostName;
use crate::openssh::{self, ClientBlock, HostPatterns, RenderError};

use install::{FileChange, InstallPaths, written};

/// The port of a proxy that is named without one.
const DEFAULT_PORT: u16 = 3023;

/// Print the block that sends OpenSSH clients through the proxy
///
/// The block is for ssh_config on Linux, macOS and Windows. It works alone, as in `ssh -F FILE db1`,
/// if ssh is 8.5 or newer and there is a /usr/bin/printf; otherwise the known-hosts file that it
/// names must be there, which --install sees to.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigArgs {
    /// Where clients reach the proxy [default: the configuration's `public_addr`]
    #[arg(long, value_name = "HOST:PORT")]
    proxy: Option<String>,
    /// Hosts behind the proxy, as patterns of ssh_config
    /// [default: those in the cluster's domain, and the names of the inventory]
    #[arg(long, value_name = "PATTERN,..", value_delimiter = ',')]
    hosts: Vec<String>,
    /// Write ProxyJump instead of ProxyCommand
    #[arg(long)]
    jump: bool,
    /// Account on the hosts, as User, for whoever is called otherwise on this machine
    #[arg(long, value_name = "LOGIN")]
    login: Option<String>,
    /// Private key to offer, as IdentityFile
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// User certificate to offer, as CertificateFile
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Print the lines of the known-hosts file alone
    #[arg(long, conflicts_with = "install")]
    known_hosts: bool,
    /// Write block and known-hosts file below ~/.ssh, and include them in ~/.ssh/config
    #[arg(long)]
    install: bool,
    /// Directory to use in place of ~/.ssh
    #[arg(long, value_name = "DIR")]
    ssh_dir: Option<PathBuf>,
}

impl ConfigArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        if self.known_hosts {
            let authorities = AuthClient::new(context).authorities()?;
            return ui::result(&known_hosts(authorities.of(CaKind::Host))?);
        }
        if self.install {
            let place = InstallPaths::find(self.ssh_dir.as_deref(), &context.config.cluster_name)?;
            let changes = self.install(context, &place)?;
            let told: String = changes.iter().map(ToString::to_string).collect();
            return ui::result(&told);
        }
        ui::result(&self.printed(context)?)
    }

    /// The block that does without any file, where ssh can.
    fn printed(&self, context: &Context) -> Result<String, Failure> {
        let place = InstallPaths::named(self.ssh_dir.as_deref(), &context.config.cluster_name)?;
        self.block(context, &place, Trust::Inside)
    }

    /// Writes the files; gives what changed.
    fn install(&self, context: &Context, place: &InstallPaths) -> Result<Vec<FileChange>, Failure> {
        let block = self.block(context, place, Trust::File)?;
        let authorities = AuthClient::new(context).authorities()?;
        place.install(&block, &known_hosts(authorities.of(CaKind::Host))?)
    }

    fn block(
        &self,
        context: &Context,
        place: &InstallPaths,
        trust: Trust,
    ) -> Result<String, Failure> {
        let config = &context.config;
        let (proxy_host, proxy_port) = proxy_address(context, self.proxy.as_deref())?;
        let hosts = self.patterns(context)?;
        let identity = self.identity.as_deref().map(written).transpose()?;
        let certificate = self.certificate.as_deref().map(written).transpose()?;
        let inline = match trust {
            Trust::File => Vec::new(),
            Trust::Inside => {
                let authorities = AuthClient::new(context).authorities()?;
                authority_lines(authorities.of(CaKind::Host), |_key| "")?
            }
        };
        ClientBlock {
            name: config.cluster_name.as_str(),
            proxy_host: &proxy_host,
            proxy_port,
            hosts: &hosts,
            known_hosts: &place.known_hosts_name(),
            inline_known_hosts: &inline,
            identity: identity.as_deref(),
            certificate: certificate.as_deref(),
            login: self.login.as_deref(),
            jump: self.jump,
        }
        .render()
        .map_err(cannot_write)
    }

    fn patterns(&self, context: &Context) -> Result<Vec<String>, Failure> {
        let config = &context.config;
        if self.hosts.is_empty() {
            let all = format!("*.{}", config.cluster_name);
            let names = HostList::readable(config).names();
            return Ok(std::iter::once(all).chain(names).collect());
        }
        let patterns = self.hosts.iter().map(|host| openssh::host_pattern(host));
        patterns.collect::<Result<_, _>>().map_err(|error| {
            Failure::new(Exit::Failed, "cannot use the patterns of --hosts")
                .because(error)
                .hint("write them as in ssh_config, for example --hosts='*.example.com,db1'")
        })
    }
}

/// Where a block has the host CA from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// From the known-hosts file.
    File,
    /// From its own text.
    Inside,
}

/// The whole known-hosts file.
fn known_hosts(authority: &Authority) -> Result<String, Failure> {
    let lines = authority_lines(authority, |key| key.comment().as_str_lossy())?;
    Ok(lines.join("\n") + "\n")
}

/// Every trusted key of the host CA, for all hosts: a certificate is good for its own names
/// only, and the file is read for this cluster's hosts and proxy only.
fn authority_lines(
    authority: &Authority,
    comment: impl Fn(&ssh_key::PublicKey) -> &str,
) -> Result<Vec<String>, Failure> {
    let any = HostPatterns::any();
    let lines = authority
        .public_keys()
        .iter()
        .map(|key| openssh::known_hosts_authority(&any, key.key_data(), comment(key)));
    lines
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::new(Exit::Internal, "cannot write the CA's key").because(error))
}

fn cannot_write(error: RenderError) -> Failure {
    Failure::new(Exit::Failed, "cannot write the block for ssh_config")
        .because(error)
        .hint("choose paths and a login of letters, digits and / . _ - + ~, without white space")
}

/// Where clients and hosts reach the proxy: what `--proxy` says, or the configuration.
///
/// # Errors
/// When that is no host with a port, or neither says it.
pub(super) fn proxy_address(
    context: &Context,
    flag: Option<&str>,
) -> Result<(String, u16), Failure> {
    if let Some(text) = flag {
        return host_and_port(text).ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                format!("--proxy={text} is no host with a port"),
            )
            .hint("write it as proxy.example.com:3023, 203.0.113.5:3023 or [2001:db8::5]:3023")
        });
    }
    public_address(context).ok_or_else(|| {
        Failure::new(Exit::Failed, "it is not known where the proxy is reached")
            .hint("give --proxy=HOST:PORT, or set proxy_service.public_addr in the configuration")
    })
}

/// Where clients reach the proxy, as far as the configuration says.
pub(super) fn public_address(context: &Context) -> Option<(String, u16)> {
    let service = &context.config.proxy;
    let listens = service.listen_addr;
    let is_one = listens.port() != 0 && !listens.ip().is_unspecified();
    let listener = || is_one.then(|| (listens.ip().to_string(), listens.port()));
    service.public_addr.clone().or_else(listener)
}

/// `host`, `host:port`, `address`, `[address]`, `[address]:port`.
pub(super) fn host_and_port(text: &str) -> Option<(String, u16)> {
    let host = |text: &str| match text.parse::<HostName>() {
        Ok(HostName::Name(name)) => Some(name),
        Ok(HostName::Address(address)) => Some(address.to_string()),
        _ => None,
    };
    if let Some(host) = host(text) {
        return Some((host, DEFAULT_PORT));
    }
    let (name, port) = text.rsplit_once(':')?;
    let is_number = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let port = port.parse().ok().filter(|port| *port != 0 && is_number)?;
    Some((host(name)?, port))
}

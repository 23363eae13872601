//! What is to be set up: as the flags say, as it was answered, or as it is proposed.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::asking::absolute;
use super::provider::{InitProvider, ProviderFlags};
use super::{Exit, Failure};
use crate::cli::config::host_and_port;
use crate::config::{self, DEFAULT_FILE, Source};
use crate::model::{ClusterName, UserName};
use crate::sys::account::Actor;

/// How users prove who they are, as `auth_service.authentication.type` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum SignInType {
    /// They sign in with their key, a password and a one-time code
    Local,
    /// They sign in with their key and, in a browser, at an OpenID Connect provider
    Oidc,
    /// They have certificates that an administrator signs
    Certificate,
}

impl SignInType {
    /// The word of the configuration.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Oidc => "oidc",
            Self::Certificate => "certificate",
        }
    }
}

impl fmt::Display for SignInType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Everything that is needed to set up a proxy.
#[derive(Clone, Debug)]
pub(super) struct InitAnswers {
    /// Where the configuration is written to. An absolute path.
    pub(super) file: PathBuf,
    /// The data directory. An absolute path.
    pub(super) data_dir: PathBuf,
    /// The name of the cluster.
    pub(super) cluster: ClusterName,
    /// Where users reach the proxy: a host and a port.
    pub(super) public: (String, u16),
    /// How users prove who they are.
    pub(super) sign_in: SignInWay,
}

/// How users prove who they are, with who the first administrator is.
#[derive(Clone, Debug)]
pub(super) enum SignInWay {
    /// With a password of the state; this is the first administrator.
    Local(UserName),
    /// At this provider, which says who is an administrator.
    Oidc(InitProvider),
    /// With certificates; this is the first administrator.
    Certificate(UserName),
}

impl SignInWay {
    /// The word of the configuration.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Local(_) => SignInType::Local.as_str(),
            Self::Oidc(_) => SignInType::Oidc.as_str(),
            Self::Certificate(_) => SignInType::Certificate.as_str(),
        }
    }
}

/// The same, as far as flags have said it.
#[derive(Clone, Debug)]
pub(super) struct InitRequest {
    pub(super) file: PathBuf,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) cluster: Option<ClusterName>,
    pub(super) public: Option<(String, u16)>,
    pub(super) sign_in: Option<SignInType>,
    pub(super) administrator: Option<UserName>,
    pub(super) provider: ProviderFlags,
}

impl InitRequest {
    /// With what is proposed in place of what is missing.
    ///
    /// # Errors
    /// When nothing can be proposed.
    pub(super) fn completed(self) -> Result<InitAnswers, Failure> {
        let data_dir = match self.data_dir {
            Some(directory) => absolute(&directory)?,
            None => proposed_data_dir().ok_or_else(|| missing("--data-dir"))?,
        };
        let cluster = self.cluster.or_else(proposed_cluster);
        let public = self.public.or_else(proposed_public);
        let config = self.file.clone();
        Ok(InitAnswers {
            file: self.file,
            data_dir,
            cluster: cluster.ok_or_else(|| missing("--cluster-name"))?,
            public: public.ok_or_else(|| missing("--public-addr"))?,
            sign_in: match self.sign_in.unwrap_or(SignInType::Local) {
                SignInType::Oidc => SignInWay::Oidc(self.provider.completed(&config)?),
                SignInType::Local => SignInWay::Local(administrator(self.administrator)?),
                SignInType::Certificate => {
                    SignInWay::Certificate(administrator(self.administrator)?)
                }
            },
        })
    }
}

fn administrator(given: Option<UserName>) -> Result<UserName, Failure> {
    given
        .or_else(proposed_administrator)
        .ok_or_else(|| missing("--administrator"))
}

fn missing(flag: &str) -> Failure {
    Failure::new(Exit::Usage, format!("nothing can be proposed for {flag}"))
        .hint(format!("give {flag}"))
}

/// The file of the configuration that the flags name.
///
/// # Errors
/// When a relative path is relative to nothing.
pub(super) fn file(source: &Source) -> Result<PathBuf, Failure> {
    absolute(
        source
            .file
            .as_deref()
            .unwrap_or_else(|| Path::new(DEFAULT_FILE)),
    )
}

/// `HOST[:PORT]` of `proxy_service.public_addr`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn public_addr(text: &str) -> Result<(String, u16), String> {
    host_and_port(text).ok_or_else(|| {
        format!("{text:?} is no host with a port; write it as in proxy.example.com:3023")
    })
}

/// The data directory that is used if none is named.
pub(super) fn proposed_data_dir() -> Option<PathBuf> {
    config::default_data_dir().ok()
}

/// The cluster's name, if the machine's name is one.
pub(super) fn proposed_cluster() -> Option<ClusterName> {
    config::machine_name().ok()
}

/// The machine's name, with the port of the listener.
pub(super) fn proposed_public() -> Option<(String, u16)> {
    host_and_port(proposed_cluster()?.as_str())
}

/// The account that runs this, or that sudo works for. The name of root says nothing about a person.
pub(super) fn proposed_administrator() -> Option<UserName> {
    let actor = Actor::of_this_process();
    let name = match actor.person() {
        "root" => "admin",
        person => person,
    };
    name.parse().ok()
}

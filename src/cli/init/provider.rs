//! The OpenID Connect provider at which users sign in, with what the browser needs of this proxy.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::asking::{absolute, ask_one, said};
use super::{Exit, Failure};
use crate::oidc::IssuerUrl;
use crate::sys::fs::directory_of;

/// What is proposed for the client id.
const CLIENT_ID: &str = "rproxy";
/// What is proposed for the claim of administrators.
const ADMIN_CLAIM: &str = "groups=rproxy-admins";
/// The files that are proposed, beside the configuration.
const SECRET_FILE: &str = "oidc.secret";
const CERT_FILE: &str = "web.pem";
const KEY_FILE: &str = "web.key";
/// The answer that names no file.
const NO_FILE: &str = "none";

/// A claim of the ID token, and the value that makes an administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AdminClaim {
    pub(super) claim: String,
    pub(super) value: String,
}

impl FromStr for AdminClaim {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((claim, value)) if !claim.is_empty() && !value.is_empty() => Ok(Self {
                claim: claim.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err(format!("write it as in {ADMIN_CLAIM}")),
        }
    }
}

impl fmt::Display for AdminClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { claim, value } = self;
        write!(f, "{claim}={value}")
    }
}

/// Everything about the provider.
#[derive(Clone, Debug)]
pub(super) struct InitProvider {
    pub(super) issuer: IssuerUrl,
    pub(super) client_id: String,
    /// `None` for a public client.
    pub(super) secret_file: Option<PathBuf>,
    pub(super) admin: AdminClaim,
    pub(super) cert_file: PathBuf,
    pub(super) key_file: PathBuf,
}

/// The flags for `--authentication=oidc`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ProviderFlags {
    /// Issuer of the OpenID Connect provider, with --authentication=oidc
    #[arg(long, value_name = "URL", requires = "authentication")]
    oidc_issuer: Option<IssuerUrl>,
    /// Client id of the proxy at the provider [default: rproxy]
    #[arg(long, value_name = "ID", requires = "authentication")]
    oidc_client_id: Option<String>,
    /// File with the client secret; "none" for a public client [default: oidc.secret beside the
    /// configuration]
    #[arg(long, value_name = "FILE", requires = "authentication")]
    oidc_secret_file: Option<PathBuf>,
    /// Claim of the ID token that makes an administrator [default: groups=rproxy-admins]
    #[arg(long, value_name = "CLAIM=VALUE", requires = "authentication")]
    oidc_admin_claim: Option<AdminClaim>,
    /// Certificate of HTTPS in PEM, for the browser [default: web.pem beside the configuration]
    #[arg(long, value_name = "FILE", requires = "authentication")]
    https_cert_file: Option<PathBuf>,
    /// Key of this certificate in PEM [default: web.key beside the configuration]
    #[arg(long, value_name = "FILE", requires = "authentication")]
    https_key_file: Option<PathBuf>,
}

impl ProviderFlags {
    /// Whether none is given.
    pub(super) fn are_absent(&self) -> bool {
        self.oidc_issuer.is_none()
            && self.oidc_client_id.is_none()
            && self.oidc_secret_file.is_none()
            && self.oidc_admin_claim.is_none()
            && self.https_cert_file.is_none()
            && self.https_key_file.is_none()
    }

    /// With what is proposed in place of what is missing.
    ///
    /// # Errors
    /// No issuer can be proposed.
    pub(super) fn completed(self, config: &Path) -> Result<InitProvider, Failure> {
        let beside = |file| proposed(config, file);
        let issuer = self.oidc_issuer.ok_or_else(|| {
            Failure::new(Exit::Usage, "nothing can be proposed for --oidc-issuer")
                .hint("give --oidc-issuer, as in --oidc-issuer=https://id.example.com")
        })?;
        let secret = self.oidc_secret_file.unwrap_or_else(|| beside(SECRET_FILE));
        Ok(InitProvider {
            issuer,
            client_id: self.oidc_client_id.unwrap_or_else(|| CLIENT_ID.to_owned()),
            secret_file: secret_file(&secret)?,
            admin: match self.oidc_admin_claim {
                Some(claim) => claim,
                None => ADMIN_CLAIM
                    .parse()
                    .map_err(|why: String| Failure::new(Exit::Internal, why))?,
            },
            cert_file: absolute(&self.https_cert_file.unwrap_or_else(|| beside(CERT_FILE)))?,
            key_file: absolute(&self.https_key_file.unwrap_or_else(|| beside(KEY_FILE)))?,
        })
    }

    /// Asks for what is missing.
    ///
    /// # Errors
    /// When the terminal goes away, or the user interrupts.
    pub(super) fn ask(self, config: &Path) -> Result<InitProvider, Failure> {
        let issuer = match self.oidc_issuer {
            Some(issuer) => issuer,
            None => ask_one(
                "The provider's issuer, exactly as its discovery document has it.",
                "Issuer, as in https://id.example.com",
                None,
                |typed| typed.parse().map_err(said),
            )?,
        };
        let client_id = match self.oidc_client_id {
            Some(id) => id,
            None => ask_one(
                "Under which client id the proxy is registered at the provider.",
                "Client id",
                Some(CLIENT_ID.to_owned()),
                |typed| match typed {
                    "" => Err("a client id has at least one character".to_owned()),
                    id => Ok(id.to_owned()),
                },
            )?,
        };
        let secret_file = match self.oidc_secret_file {
            Some(file) => secret_file(&file)?,
            None => ask_one(
                "A file with the client secret in one line, which you put there before the start;\n\
                 none for a public client.",
                "File with the client secret",
                Some(proposed(config, SECRET_FILE).display().to_string()),
                |typed| secret_file(Path::new(typed)).map_err(said),
            )?,
        };
        let admin = match self.oidc_admin_claim {
            Some(claim) => claim,
            None => ask_one(
                "Users whose ID token has this claim are administrators: they may log in to every host\n\
                 under every account.",
                "Claim of administrators",
                Some(ADMIN_CLAIM.to_owned()),
                str::parse,
            )?,
        };
        let file = |given: Option<PathBuf>, question: &str, name| match given {
            Some(file) => absolute(&file),
            None => ask_one(
                "The browser comes back to this proxy over HTTPS: a file in PEM, which you put there\n\
                 before the start.",
                question,
                Some(proposed(config, name).display().to_string()),
                |typed| absolute(Path::new(typed)).map_err(said),
            ),
        };
        Ok(InitProvider {
            issuer,
            client_id,
            secret_file,
            admin,
            cert_file: file(self.https_cert_file, "Certificate of HTTPS", CERT_FILE)?,
            key_file: file(self.https_key_file, "Key of this certificate", KEY_FILE)?,
        })
    }
}

fn proposed(config: &Path, file: &str) -> PathBuf {
    directory_of(config).join(file)
}

fn secret_file(named: &Path) -> Result<Option<PathBuf>, Failure> {
    match named == Path::new(NO_FILE) {
        true => Ok(None),
        false => absolute(named).map(Some),
    }
}

//! `rproxy auth init`: make the CAs.

use std::fmt::Write as _;

use ssh_key::{HashAlg, PublicKey};

use super::client::AuthClient;
use super::{Context, Failure, ui};
use crate::ca::CaKind;

/// Make the CAs, if there are none yet
///
/// Their keys go into the data directory, or stay in the agents that `auth_service.ca_keys` names.
/// `rproxy serve` does the same when it starts. What is there already stays as it is.
#[derive(Debug, clap::Args)]
pub(crate) struct AuthInitArgs {}

impl AuthInitArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        ui::result(&self.make(context)?)
    }

    /// Makes what is missing and gives what is printed.
    pub(super) fn make(&self, context: &Context) -> Result<String, Failure> {
        let (authorities, made) = AuthClient::new(context).make("auth init")?;
        let mut text = String::new();
        for kind in [CaKind::User, CaKind::Host] {
            let is_new = made.iter().any(|one| one.kind == kind);
            let verb = if is_new { "made" } else { "is there already" };
            let key = fingerprint(authorities.of(kind).public_key());
            let _infallible = writeln!(text, "{kind} CA: {verb}, {key}");
        }
        let _infallible = writeln!(text, "data directory: {}", context.config.data_dir);
        Ok(text)
    }
}

fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

//! The preconditions of the auth process, in one list, in the order in which they are needed. The process
//! creates and opens what they are about; `serve --check` only checks that it could.

use std::sync::Arc;

use super::authorities::{self, CurrentAuthorities};
use super::error::AuthProcessError;
use super::identity_provider::{self, ReadProvider};
use super::web_certificate::WebCertificate;
use crate::audit::{AuditLog, DeferredLog};
use crate::ca::{CaError, CaRecords};
use crate::config::Config;
use crate::monitor;
use crate::state::{self, State};
use crate::sys::clock::Clock;
use crate::sys::files::Files;
use crate::sys::fs::private_dir;

/// What to do with the preconditions.
#[derive(Debug)]
pub(super) enum Purpose {
    /// Create and open what is needed; the audit log is opened through [`Files`].
    Serve(Arc<dyn Files>),
    /// Check only: nothing is created or changed.
    Look,
}

/// What the process has then.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) state: State,
    /// What the CAs have issued, and what is revoked: in the state.
    pub(super) records: CaRecords,
    pub(super) authorities: CurrentAuthorities,
    pub(super) audit: AuditLog,
    /// The identity provider; `None` where people do not sign in with a browser.
    pub(super) provider: Option<ReadProvider>,
    /// The certificate of HTTPS, where the proxy makes it for itself.
    pub(super) certificate: Arc<WebCertificate>,
}

/// Goes through the list; returns the result with [`Purpose::Serve`].
///
/// # Errors
/// The first precondition that is not met.
pub(super) fn lay(config: &Config, purpose: Purpose) -> Result<Option<Ground>, AuthProcessError> {
    let (data_dir, cluster) = (&config.data_dir, &config.cluster_name);
    let place = config.state_place().map_err(AuthProcessError::Password)?;
    let provider = identity_provider::read(config)?;
    // The audit log is made for the first event of the CAs.
    let deferred = DeferredLog::new(data_dir, cluster, Clock::System);
    let Purpose::Serve(files) = purpose else {
        // None, and one with an older schema, are made and brought up to date when the process starts.
        drop(State::look(&place, Clock::System)?);
        authorities::look(config, &deferred, monitor::is_running(config))?;
        let revoked = config.installation(Clock::System).records.revoked;
        revoked.check_copy()?;
        revoked.read()?;
        AuditLog::look(data_dir)?;
        return Ok(None);
    };
    if !data_dir.path().is_dir() {
        private_dir(data_dir.path()).map_err(CaError::from)?;
    }
    let certificate = Arc::new(WebCertificate::settle(config, Clock::System)?);
    let state = State::open(&place, Clock::System)?;
    let records = state::records_in(&state, place, data_dir);
    let opened = authorities::open(config, &records, &deferred)?;
    // Nothing is served where it is not known what is revoked.
    records.revoked.settle()?;
    authorities::make_ledger(config)?;
    let audit = AuditLog::open_with(files, data_dir, cluster.clone(), Clock::System)?;
    Ok(Some(Ground {
        state,
        records,
        authorities: CurrentAuthorities::new(opened),
        audit,
        provider,
        certificate,
    }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::testing::parsed;
    use super::*;
    use crate::ca::CaKind;
    use crate::sys::files::Direct;
    use crate::sys::fs::{PRIVATE_FILE, Replace, write_whole};

    /// A data directory that does not exist yet.
    fn configured(directory: &Path) -> Config {
        parsed(directory, "cluster_name: example.test\n")
    }

    fn serve(config: &Config) -> Result<Ground, AuthProcessError> {
        let ground = lay(config, Purpose::Serve(Arc::new(Direct)))?;
        Ok(ground.expect("what is needed to serve"))
    }

    fn look(config: &Config) -> Result<(), AuthProcessError> {
        let nothing = lay(config, Purpose::Look)?;
        assert!(nothing.is_none(), "{nothing:?}");
        Ok(())
    }

    #[test]
    fn a_first_start_makes_what_is_missing_and_tells_of_it() {
        let directory = crate::sys::fs::private_tempdir();
        let config = configured(directory.path());
        let keys = |ground: &Ground| {
            let authorities = ground.authorities.now();
            [CaKind::User, CaKind::Host].map(|kind| authorities.of(kind).public_key().clone())
        };
        let made = keys(&serve(&config).unwrap());
        assert_ne!(made[0], made[1]);
        let audit = || std::fs::read_to_string(config.data_dir.audit_log()).unwrap();
        assert_eq!(
            audit().matches("authority.created").count(),
            2,
            "{}",
            audit()
        );
        // The next start finds it.
        assert_eq!(keys(&serve(&config).unwrap()), made);
        assert_eq!(
            audit().matches("authority.created").count(),
            2,
            "{}",
            audit()
        );
    }

    #[test]
    fn looking_makes_nothing() {
        let directory = crate::sys::fs::private_tempdir();
        look(&configured(directory.path())).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    /// Nothing is served where it is not known what is revoked.
    #[test]
    fn a_damaged_list_of_revocations_is_an_error() {
        let directory = crate::sys::fs::private_tempdir();
        let config = configured(directory.path());
        drop(serve(&config).unwrap());
        let list = config.data_dir.revocations();
        write_whole(&list, b"{}\n{}\n", PRIVATE_FILE, Replace::Allow).unwrap();
        for refused in [serve(&config).map(drop), look(&config)] {
            let Err(AuthProcessError::Authorities(error)) = refused else {
                panic!("{refused:?}")
            };
            assert!(!matches!(error, CaError::None(_)), "{error}");
        }
    }
}

//! The checks of the proxy's machine, by topic.

mod failures;
mod files;
mod joined;
mod keys;
mod listener;
mod names;
mod nodes;
mod provider;
mod release;
mod state;
mod system;

use super::checks::{CONFIG, CONFIG_MODE};
use super::report::Finding;
use crate::cli::inventory::{self, HostList};
use crate::cli::{Exit, Failure};
use crate::config::{Config, ConfigError, Diagnostic, Source};
use crate::dns::Resolver;
use crate::model::{Principal, chain};
use crate::sys::clock::Clock;

/// Looks at everything. Without a configuration there is nothing else to look at.
pub(super) fn examine(source: &Source, login: &str) -> Result<Vec<Finding>, Failure> {
    let login: Principal = login.parse().map_err(|error| {
        Failure::new(Exit::Usage, "--login is no account's name").because(error)
    })?;
    let mut findings = Vec::new();
    let Some(config) = configuration(source, &mut findings) else {
        return Ok(findings);
    };
    let now = Clock::System.unix_seconds();
    files::examine(&config, now, &mut findings);
    state::examine(&config, now, &mut findings);
    provider::examine(&config, &mut findings);
    let keys = keys::examine(&config, now, &mut findings);
    system::examine(&config, now, &mut findings);
    failures::examine(&config.data_dir, now, &mut findings);
    let cannot = |error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::new(Exit::Failed, "cannot ask the network").because(error)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| cannot(error.into()))?;
    runtime.block_on(async {
        let resolver = Resolver::from_system().map_err(|error| cannot(error.into()))?;
        let trusted = keys.host.as_ref().map(|host| host.trusted());
        let runs = listener::examine(&config, trusted.as_ref(), now, &mut findings).await;
        let place = names::NameChecks {
            config: &config,
            trusted: trusted.as_ref(),
            resolver: &resolver,
            now,
        };
        place.examine(runs, &mut findings).await;
        Ok::<_, Failure>(())
    })?;
    // A state that cannot be read is a finding already.
    let hosts = HostList::read(&config).unwrap_or_else(|_told| HostList::without_state(&config));
    joined::examine(&config, &hosts, now, &mut findings);
    let hosts = hosts.dialled();
    nodes::examine(&config, &hosts, &keys, &login, now, &mut findings)?;
    Ok(findings)
}

/// Reads the configuration as every command does.
fn configuration(source: &Source, findings: &mut Vec<Finding>) -> Option<Config> {
    match source.load() {
        Ok(loaded) => {
            let file = &loaded.config.file;
            for warning in inventory::that_hold(&loaded.config, &loaded.warnings) {
                findings.push(risk(file, warning));
            }
            let (check, detail) = (&CONFIG, format!("cluster {}", loaded.config.cluster_name));
            findings.push(Finding::ok(check, file, detail));
            Some(loaded.config)
        }
        Err(ConfigError::Invalid { problems, .. }) => {
            for problem in problems {
                let hint = match problem.key() {
                    "" => "correct the file; `rproxy serve --check` shows the line".to_owned(),
                    key => format!("correct {key}; `rproxy serve --check` shows the line"),
                };
                findings.push(Finding::error(&CONFIG, "", problem.headline(), hint));
            }
            None
        }
        Err(error) => {
            let hint = match &error {
                ConfigError::NoDataDir => "name one with --data-dir or RPROXY_DATA_DIR",
                ConfigError::NoClusterName(_) => "set cluster_name in the configuration",
                _ => "name the file with --config, and run this as a user that may read it",
            };
            findings.push(Finding::error(&CONFIG, "", chain(&error), hint));
            None
        }
    }
}

fn risk(file: &str, warning: &Diagnostic) -> Finding {
    if warning.key().is_empty() && warning.position().is_none() {
        let hint = format!("chown root {file} && chmod go-w {file}");
        return Finding::error(&CONFIG_MODE, file, warning.message(), hint);
    }
    let hint = format!("if that is not meant, change {}", warning.key());
    Finding::warning(&CONFIG, "", warning.headline(), hint)
}

//! What is printed of an invitation: the command that the person pastes, and until when.

use std::time::Duration;

use serde::Serialize;

use super::{Context, Exit, Failure, ui};
use crate::cli::config::public_address;
use crate::cli::format::ReportFormat;
use crate::model::{DurationError, parse_duration_with_units, text};
use crate::people::NewInvitation;

/// The port that `ssh` uses without being told.
const SSH_PORT: u16 = 22;
/// What stands for the proxy's name where the configuration has none.
const UNKNOWN_PROXY: &str = "PROXY";
/// How long an invitation is valid unless a flag says otherwise.
pub(super) const DEFAULT_TTL: Duration = Duration::from_secs(3_600);
/// The longest time that an invitation is valid: 30 days.
const MAX_TTL: Duration = Duration::from_secs(30 * 86_400);

/// `--ttl` of an invitation.
#[derive(Debug, clap::Args)]
pub(super) struct InvitationTtl {
    /// How long the invitation is valid, as in 30m, 1h, 2d; 30d at most
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    ttl: String,
}

impl InvitationTtl {
    pub(super) fn span(&self) -> Result<Duration, Failure> {
        let cannot = |exit| Failure::new(exit, "cannot use the value of --ttl");
        let span = parse_duration_with_units(&self.ttl).map_err(|error| {
            let exit = match error {
                DurationError::Syntax(_) => Exit::Usage,
                DurationError::Overflow(_) => Exit::Failed,
            };
            cannot(exit).because(error)
        })?;
        if span < Duration::from_secs(1) || span > MAX_TTL {
            return Err(cannot(Exit::Failed)
                .because("an invitation is valid for a second at least, and 30 days at most"));
        }
        Ok(span)
    }
}

/// One object of `--format json`; the keys are fixed.
#[derive(Serialize)]
struct Object<'a> {
    name: &'a str,
    invitation: &'a str,
    expires: String,
    command: String,
}

/// What is printed.
pub(in crate::cli) fn told(
    context: &Context,
    invited: &NewInvitation,
    format: ReportFormat,
) -> Result<String, Failure> {
    let (name, expires) = (invited.user.name.as_str(), ui::time(invited.expires));
    let command = command(context);
    let invitation = invited.invitation.as_str();
    match format {
        ReportFormat::Text => Ok(format!(
            "Send this to {name}, in a way that only {name} can read:\n\
             \n\
             Run this command, until {expires}:\n\
             \n    {command}\n\
             \n\
             It asks for this invitation, which can be used once:\n\
             \n    {invitation}\n"
        )),
        ReportFormat::Json => serde_json::to_string(&Object {
            name,
            invitation,
            expires,
            command,
        })
        .map(|object| text::json(&object) + "\n")
        .map_err(|error| {
            Failure::new(Exit::Internal, "cannot encode the invitation").because(error)
        }),
    }
}

/// The command with which a person signs up.
pub(in crate::cli) fn command(context: &Context) -> String {
    let listener = context.config.proxy.listen_addr.port();
    let (host, port) =
        public_address(context).unwrap_or_else(|| (UNKNOWN_PROXY.to_owned(), listener));
    match port {
        SSH_PORT => format!("ssh signup@{host}"),
        port => format!("ssh -p {port} signup@{host}"),
    }
}

/// Says on standard error what keeps the person from signing up.
pub(super) fn warn(context: &Context) {
    let config = &context.config;
    let authentication = &config.auth.authentication;
    if !authentication.has_local() {
        let hint = match authentication.has_oidc() {
            true => {
                "users of the identity provider need no invitation; for others, add \"local\" to \
                 auth_service.authentication.type and restart the proxy"
            }
            false => "set auth_service.authentication.type to local and restart the proxy",
        };
        ui::note(&format!(
            "rproxy: warning: auth_service.authentication.type has no \"local\", so users cannot sign \
             up or sign in with a password\n  hint: {hint}"
        ));
    }
    if public_address(context).is_none() {
        ui::note(&format!(
            "rproxy: warning: it is not known where clients reach the proxy: put its name in the \
             place of {UNKNOWN_PROXY}\n  \
             hint: set proxy_service.public_addr in the configuration"
        ));
    }
}
